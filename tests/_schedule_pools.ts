/**
 * Races of a whole pool for `_schedule.ts`: the real dispatcher in one actor, the real loop of a
 * worker in each of the others. Only the thread's start and its mail are made up.
 *
 * @module
 */

import { assertEquals, assertInstanceOf } from "@std/assert";
import { bell, ring } from "../_bell.ts";
import type { ChunkMessage } from "../_chunks.ts";
import { Dispatcher, type DispatcherOptions } from "../_dispatcher.ts";
import { PoolExecutor } from "../_pool_executor.ts";
import { replace } from "../_realm.ts";
import { makeRing, type Posted, ResultReader } from "../_result_ring.ts";
import { WorkerLoop } from "../_worker_loop.ts";
import type { WorkerLink, WorkerStart } from "../_worker_link.ts";
import { BrokenThreadPool, type Future } from "../mod.ts";
import type { Part, Scenario, Stage } from "./_schedule_scenarios.ts";

const OWNER = 0;

/** Sent in the place of a start. */
const NOT_NEEDED = "not needed";

/** What a worker gets to begin with. */
interface Start {
  readonly number: number;
  readonly control: SharedArrayBuffer;
  readonly bell: SharedArrayBuffer;
  readonly ring: SharedArrayBuffer;
  readonly chunks: readonly ChunkMessage[];
  readonly posted: number;
}

/** A worker that is played by another actor. */
class PlayedLink implements WorkerLink {
  readonly number: number;
  readonly name: string;
  readonly reader: ResultReader;
  readonly readyDeadline = Infinity;
  readonly isResponsive = false; // its tasks are synchronous
  takenIn = 0;
  isReady = false;
  isServing = false;
  readonly #stage: Stage;
  readonly #actor: number;
  isOver = false;

  constructor(stage: Stage, { number, control, chunks, posted }: WorkerStart) {
    this.number = number;
    this.#actor = number + 1;
    this.#stage = stage;
    this.name = `worker ${number}`;
    const memory = makeRing();
    stage.name(control.buffer, "control");
    stage.name(memory, "ring", number);
    stage.name(bell.words.buffer, "bell");
    nameChunks(stage, chunks);
    this.reader = new ResultReader(memory, () => stage.take(this.#actor));
    const start: Start = {
      number,
      control: control.buffer,
      bell: bell.words.buffer,
      ring: memory,
      chunks,
      posted,
    };
    stage.send(this.#actor, start);
  }

  postChunk(message: ChunkMessage): void {
    nameChunks(this.#stage, [message]);
    this.#stage.send(this.#actor, message);
  }

  sendMoved(): void {}
  sendLook(): void {}
  sendStop(): void {}

  kill(): boolean {
    return false;
  }

  setRef(): void {}

  end(): void {
    this.isOver = true;
  }
}

function nameChunks(stage: Stage, messages: readonly ChunkMessage[]): void {
  for (const message of messages) {
    if ("take" in message) stage.name(message.buffer, "chunk", message.take);
  }
}

/** A pool whose workers are played. */
class PlayedPool extends PoolExecutor {
  readonly links: readonly PlayedLink[];

  constructor(
    stage: Stage,
    onWorkerDeath: DispatcherOptions["onWorkerDeath"] = "replace",
  ) {
    const links: PlayedLink[] = [];
    const dispatcher = new Dispatcher({
      maxWorkers: 1,
      onWorkerDeath,
      Broken: BrokenThreadPool,
      start(start) {
        const link = new PlayedLink(stage, start);
        links.push(link);
        return link;
      },
    });
    super(dispatcher, true);
    this.links = links;
  }
}

/** The one who owns the pool; at the end nothing is left of the pool in this thread. */
function owner(
  play: (pool: PlayedPool, first: Future<number>, stage: Stage) => unknown,
  first: (pool: PlayedPool) => Future<number> = (pool) => call(pool, 0),
  onWorkerDeath?: DispatcherOptions["onWorkerDeath"],
  workers = 1,
): Part {
  return (stage) => {
    const pool = new PlayedPool(stage, onWorkerDeath);
    const future = first(pool);
    return async () => {
      await play(pool, future, stage);
      // A pool that was shut down does not wait for who was set aside; a spare may not be needed.
      bell.block(Infinity, () => pool.links.every(({ isOver }) => isOver));
      for (let n = pool.links.length; n < workers; n++) {
        stage.send(n + 1, NOT_NEEDED);
      }
      ring(bell.words); // ends the wait in the event loop, which would be in the way of the next
      await stage.idle();
    };
  };
}

/** Calls what notes its first argument, and returns the larger one. */
function call(pool: PlayedPool, task: number): Future<number> {
  return pool.submit(Math.max, task, task + 10);
}

/** Calls what ends its worker. */
function die(pool: PlayedPool): Future<number> {
  return pool.submit(Math.min, 0, 0);
}

const { max, min } = Math;

/** A worker; `Math.max` notes what it is called with, `Math.min` ends the worker. */
function worker(stage: Stage): () => Promise<void> {
  return async () => {
    const start = stage.waitFor<Start | typeof NOT_NEEDED>(OWNER);
    if (start === NOT_NEEDED) return;
    const { number, control, chunks } = start;
    stage.name(control, "control");
    stage.name(start.ring, "ring", number);
    stage.name(start.bell, "bell");
    nameChunks(stage, chunks);
    const loop = new WorkerLoop({
      ...start,
      control: new Int32Array(control),
      bell: new Int32Array(start.bell),
      receiveChunk() {
        const message = stage.take<ChunkMessage>(OWNER);
        nameChunks(stage, message === undefined ? [] : [message]);
        return message;
      },
      post: (message: Posted, transfer) => stage.send(OWNER, message, transfer),
      close() {},
    });
    Object.assign(Math, { max, min }); // as they were before the last execution
    replace(Math, "max", (...values: number[]) => {
      stage.note(values[0]);
      return max(...values);
    });
    replace(Math, "min", () => {
      loop.fail("was told to");
      return 0;
    });
    let isOver = false;
    const running = loop.run(undefined).finally(() => isOver = true);
    while (!isOver) await stage.idle(() => isOver);
    await running;
  };
}

/** Waits in the event loop. */
async function settle<T>(stage: Stage, promise: PromiseLike<T>): Promise<T> {
  let isOver = false;
  const over = () => isOver = true;
  promise.then(over, over);
  while (!isOver) await stage.idle(() => isOver);
  return await promise;
}

const CANCELLED = -1;

/** The outcome of a future that is done. */
function outcomeOf(future: Future<number>): number {
  return future.cancelled() ? CANCELLED : future.resultSync();
}

/** Scenarios by their names. */
export const POOL_SCENARIOS: { readonly [name: string]: Scenario } = {
  "pool: results that are blocked on, then shutdown": {
    preemptions: 2,
    actors: {
      owner: owner((pool, first, stage) => {
        const second = call(pool, 1);
        stage.note(first.resultSync());
        stage.note(second.resultSync());
        pool.shutdownSync();
      }),
      worker,
    },
    check({ owner, worker }) {
      assertEquals(owner, [10, 11]);
      assertEquals(worker, [0, 1]);
    },
  },
  "pool: results that are awaited, then shutdown": {
    preemptions: 2,
    actors: {
      owner: owner(async (pool, first, stage) => {
        const second = call(pool, 1);
        stage.note(await settle(stage, first));
        stage.note(await settle(stage, second));
        await settle(stage, pool.shutdown());
      }),
      worker,
    },
    check({ owner, worker }) {
      assertEquals(owner, [10, 11]);
      assertEquals(worker, [0, 1]);
    },
  },
  "pool: a call, then cancel, then shutdown": {
    preemptions: 2,
    actors: {
      owner: owner((pool, first, stage) => {
        const second = call(pool, 1);
        second.cancel();
        pool.shutdownSync({ cancelFutures: true });
        stage.note(outcomeOf(first));
        stage.note(outcomeOf(second));
      }),
      worker,
    },
    check({ owner, worker }) {
      // What ran has its result, what was cancelled did not run.
      const ran = [0, 1].filter((task) => owner[task] !== CANCELLED);
      assertEquals(worker, ran);
      assertEquals(
        ran.map((task) => owner[task]),
        ran.map((task) => task + 10),
      );
    },
  },
  "pool: shutdown that does not wait, with calls under way": {
    preemptions: 2,
    actors: {
      owner: owner((pool, first, stage) => {
        const second = call(pool, 1);
        pool.shutdownSync({ wait: false });
        stage.note(second.resultSync());
        stage.note(first.resultSync());
        pool.shutdownSync();
      }),
      worker,
    },
    check({ owner, worker }) {
      assertEquals(owner, [11, 10]);
      assertEquals(worker, [0, 1]);
    },
  },
  "pool: a call to a worker that has just gone to sleep": {
    preemptions: 2,
    actors: {
      owner: owner((pool, first, stage) => {
        stage.note(first.resultSync());
        stage.note(call(pool, 1).resultSync());
        stage.note(call(pool, 2).resultSync());
        pool.shutdownSync();
      }),
      worker,
    },
    timesOut: true,
    check({ owner, worker }) {
      assertEquals(owner, [10, 11, 12]);
      assertEquals(worker, [0, 1, 2]);
    },
  },
  "pool: a worker that dies, which breaks the pool": {
    preemptions: 2,
    actors: {
      owner: owner(
        (pool, first, stage) => {
          const second = submitIfOpen(pool);
          assertInstanceOf(first.exceptionSync(), BrokenThreadPool);
          if (second !== undefined) {
            assertInstanceOf(second.exceptionSync(), BrokenThreadPool);
          }
          stage.note(second === undefined ? 0 : 1);
          pool.shutdownSync();
        },
        die,
        "break",
      ),
      worker,
    },
    check: ({ worker }) => assertEquals(worker, []),
  },
  "pool: a worker that dies and is replaced": {
    preemptions: 1,
    actors: {
      owner: owner((pool, first, stage) => {
        const second = call(pool, 1);
        assertInstanceOf(first.exceptionSync(), BrokenThreadPool);
        stage.note(second.resultSync());
        pool.shutdownSync();
      }, die),
      worker,
      spare: worker,
    },
    check({ owner, worker, spare }) {
      assertEquals(owner, [11]);
      assertEquals([worker, spare], [[], [1]]);
    },
  },
  "pool: a signal that stops a call, which may be over": {
    preemptions: 1,
    actors: {
      owner: owner(
        (pool, first, stage) => {
          const second = call(pool, 1);
          stopper.abort();
          stage.note(second.resultSync());
          stage.note(outcomeOf(first));
          pool.shutdownSync();
        },
        (pool) => {
          stopper = new AbortController();
          return pool.submitWith({ signal: stopper.signal }, Math.max, 0, 10);
        },
        "replace",
        2,
      ),
      worker,
      spare: worker,
    },
    check({ owner: [second, first], worker, spare }) {
      assertEquals(second, 11);
      // Who was stopped runs nothing more, and no call is run twice.
      const ran = first === CANCELLED && !worker.includes(0) ? [1] : [0, 1];
      assertEquals([...worker, ...spare], ran);
      if (first !== CANCELLED) assertEquals([first, ...spare], [10]);
    },
  },
};

/** Aborts the first call of an execution. */
let stopper: AbortController;

/** Submits where the pool is not broken yet. */
function submitIfOpen(pool: PlayedPool): Future<number> | undefined {
  try {
    return call(pool, 1);
  } catch (error) {
    assertInstanceOf(error, BrokenThreadPool);
    return undefined;
  }
}
