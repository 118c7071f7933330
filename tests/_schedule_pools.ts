/**
 * Races of a whole pool for `_schedule.ts`: the real dispatcher in one actor, the real loop of a
 * worker in each of the others. Only the thread's start and its mail are made up.
 *
 * @module
 */

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { bell, ring } from "../_bell.ts";
import type { ChunkMessage } from "../_chunks.ts";
import { Dispatcher, type DispatcherOptions } from "../_dispatcher.ts";
import { Control } from "../_layout.ts";
import { PoolExecutor } from "../_pool_executor.ts";
import { replace } from "../_realm.ts";
import { makeRing, type Posted, ResultReader } from "../_result_ring.ts";
import { TaskQueue } from "../_task_queue.ts";
import { WorkerLoop } from "../_worker_loop.ts";
import type { WorkerLink, WorkerStart } from "../_worker_link.ts";
import { BrokenThreadPool, type Future } from "../mod.ts";
import type { Notes, Part, Scenario, Stage } from "./_schedule_scenarios.ts";

const OWNER = 0;

/** Sent in the place of a start. */
const NOT_NEEDED = "not needed";

/** Sent to the one that was doomed. */
const DIE = "die";

/** Sent to the owner by a call that is about to end its worker. */
const RUNNING = "running";

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
  /** A process always is, and can be killed; a thread's tasks are synchronous here. */
  readonly isResponsive: boolean;
  takenIn = 0;
  isReady = false;
  isServing = false;
  readonly #stage: Stage;
  readonly #actor: number;
  isOver = false;

  constructor(
    stage: Stage,
    { number, control, chunks, posted }: WorkerStart,
    isProcess: boolean,
  ) {
    this.number = number;
    this.isResponsive = isProcess;
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
    return this.isResponsive;
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

/** What kind of pool it is, and its first calls. */
interface PoolPlan {
  readonly onWorkerDeath?: DispatcherOptions["onWorkerDeath"];
  readonly maxWorkers?: number;
  /** Whether each task is timed and observed: with messages and steps of its own. */
  readonly isTimed?: boolean;
  /** Whether its workers pass for processes: a shutdown waits for each that was stopped. */
  readonly isProcess?: boolean;
  /** How many actors wait for a start, where not all may get one. */
  readonly actors?: number;
  /** Submits what is there when the others begin. */
  submit?(pool: PlayedPool): Future<number>[];
}

/** A pool whose workers are played. */
class PlayedPool extends PoolExecutor {
  readonly links: readonly PlayedLink[];

  constructor(
    stage: Stage,
    plan: PoolPlan,
  ) {
    const { onWorkerDeath = "replace", maxWorkers = 1, isProcess = false } =
      plan;
    const links: PlayedLink[] = [];
    const dispatcher = new Dispatcher({
      observers: plan.isTimed ? [{ begin: () => onEnd }] : [],
      sampler: { take: () => plan.isTimed ? 1 : 0 }, // not by lot: executions are repeated
      maxWorkers,
      onWorkerDeath,
      Broken: BrokenThreadPool,
      start(start) {
        const link = new PlayedLink(stage, start, isProcess);
        links.push(link);
        return link;
      },
    });
    super(dispatcher, { canMove: true });
    this.links = links;
  }
}

/** The one who owns the pool; at the end nothing is left of the pool in this thread. */
function owner(
  play: (pool: PlayedPool, calls: Future<number>[], stage: Stage) => unknown,
  plan: PoolPlan = {},
): Part {
  const { submit = (pool) => [call(pool, 0)], actors = 1 } = plan;
  return (stage) => {
    const pool = new PlayedPool(stage, plan);
    const calls = submit(pool);
    return async () => {
      await play(pool, calls, stage);
      // A pool that was shut down does not wait for who was set aside; a spare may not be needed.
      bell.block(Infinity, () => pool.links.every(({ isOver }) => isOver));
      for (let n = pool.links.length; n < actors; n++) {
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

/** Calls what returns once another such call runs on the other of two workers. */
function meet(pool: PlayedPool, task: number): Future<number> {
  return pool.submit(Math.sign, task);
}

/**
 * Calls what returns the number of its actor. Once that sleeps in its event loop it waits for `DIE`,
 * as a callback would that holds it up and then ends it: its sleep is never over.
 */
function doom(pool: PlayedPool, task: number): Future<number> {
  return pool.submit(Math.abs, task);
}

const { max, min, sign, abs, cbrt } = Math;

/** A worker, and what `call`, `die`, `meet`, `doom` and `submitDying` call there. */
function worker(stage: Stage): () => Promise<void> {
  return async () => {
    const start = stage.waitFor<Start | typeof NOT_NEEDED>(OWNER);
    if (start === NOT_NEEDED) return;
    const { number, control, chunks } = start;
    stage.name(control, "control");
    stage.name(start.ring, "ring", number);
    stage.name(start.bell, "bell");
    nameChunks(stage, chunks);
    const closed = Promise.withResolvers<void>();
    const loop = new WorkerLoop({
      ...start,
      control: new Int32Array(control),
      bell: new Int32Array(start.bell),
      receiveChunk() {
        const message = stage.take<ChunkMessage | typeof DIE>(OWNER);
        if (message === undefined || message === DIE) return undefined;
        nameChunks(stage, [message]);
        return message;
      },
      post: (message: Posted, transfer) => stage.send(OWNER, message, transfer),
      close: closed.resolve,
    });
    Object.assign(Math, { max, min, sign, abs, cbrt }); // as they were before the last execution
    replace(Math, "max", (...values: number[]) => {
      stage.note(values[0]);
      return max(...values);
    });
    replace(Math, "min", () => {
      loop.fail("was told to");
      return 0;
    });
    replace(Math, "cbrt", () => {
      stage.send(OWNER, RUNNING);
      loop.fail("was told to");
      return 0;
    });
    replace(Math, "sign", (task: number) => {
      stage.note(task);
      const other = 2 - number; // of the actors 1 and 2
      stage.send(other, task);
      stage.waitFor(other);
      return task;
    });
    let isDoomed = false;
    replace(Math, "abs", (task: number) => {
      stage.note(task);
      isDoomed = true;
      return number + 1;
    });
    let isOver = false;
    // A loop that dies in its sleep never ends.
    const running = Promise.race([loop.run(undefined), closed.promise])
      .finally(() => isOver = true);
    // Called only where the worker sleeps in its event loop.
    const endsSleep = () => {
      if (!isDoomed) return isOver;
      isDoomed = false;
      stage.waitFor(OWNER);
      loop.fail("was told to");
      return true;
    };
    while (!isOver) await stage.idle(endsSleep);
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
const LOST = -2;

/** The outcome of a future, which is waited for. */
function outcomeOf(future: Future<number>): number {
  if (future.cancelled()) return CANCELLED;
  const error = future.exceptionSync();
  if (error === null) return future.resultSync();
  assertInstanceOf(error, BrokenThreadPool);
  return LOST;
}

/** Two calls, for each of which a worker is started. */
const TWO: PoolPlan = {
  maxWorkers: 2,
  submit: (pool) => [call(pool, 0), call(pool, 1)],
};

const TWO_OF_WHICH_ONE_DIES: PoolPlan = {
  maxWorkers: 2,
  submit: (pool) => [doom(pool, 0), call(pool, 1)],
};

/** Calls once more while one of the two workers dies: the wake-up may go to that one. */
async function playDeath(
  pool: PlayedPool,
  [first, second]: Future<number>[],
  stage: Stage,
): Promise<void> {
  const doomed = await settle(stage, first);
  stage.note(await settle(stage, second));
  stage.send(doomed, DIE);
  stage.note(await settle(stage, call(pool, 2)));
  await settle(stage, pool.shutdown());
}

function checkDeath({ owner, worker, other }: Notes): void {
  assertEquals(owner, [11, 12]);
  assertEquals(sorted(worker, other), [0, 1, 2]);
}

const { wakeAll } = TaskQueue.prototype;

/** Leaves out every wake-up for all but the last: before a pool closes, only a loss has one here. */
function wakeForTheEndAlone(): void {
  TaskQueue.prototype.wakeAll = function () {
    if (Atomics.load(this.control, Control.CLOSING) === 1) wakeAll.call(this);
  };
}

function sorted(...lists: (readonly number[])[]): number[] {
  return lists.flat().sort((a, b) => a - b);
}

/** Scenarios by their names. */
export const POOL_SCENARIOS: { readonly [name: string]: Scenario } = {
  "pool: results that are blocked on, then shutdown": {
    preemptions: 2,
    actors: {
      owner: owner((pool, [first], stage) => {
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
      owner: owner(async (pool, [first], stage) => {
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
      owner: owner((pool, [first], stage) => {
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
      owner: owner((pool, [first], stage) => {
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
      owner: owner((pool, [first], stage) => {
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
        (pool, [first], stage) => {
          const second = submitIfOpen(pool);
          assertInstanceOf(first.exceptionSync(), BrokenThreadPool);
          if (second !== undefined) {
            assertInstanceOf(second.exceptionSync(), BrokenThreadPool);
          }
          stage.note(second === undefined ? 0 : 1);
          pool.shutdownSync();
        },
        { submit: (pool) => [die(pool)], onWorkerDeath: "break" },
      ),
      worker,
    },
    check: ({ worker }) => assertEquals(worker, []),
  },
  "pool: a worker that dies and is replaced": {
    preemptions: 1,
    actors: {
      owner: owner((pool, [first], stage) => {
        const second = call(pool, 1);
        assertInstanceOf(first.exceptionSync(), BrokenThreadPool);
        stage.note(second.resultSync());
        pool.shutdownSync();
      }, { submit: (pool) => [die(pool)] }),
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
        (pool, [first], stage) => {
          const second = call(pool, 1);
          stopper.abort();
          stage.note(second.resultSync());
          stage.note(outcomeOf(first));
          pool.shutdownSync();
        },
        {
          submit(pool) {
            stopper = new AbortController();
            const { signal } = stopper;
            return [pool.submitWith({ signal }, Math.max, 0, 10)];
          },
          actors: 2,
        },
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
  "pool: a signal that stops a call whose worker dies": {
    preemptions: 2,
    actors: {
      owner: owner(stopDying, {
        submit: submitDying,
        isProcess: true,
        actors: 2,
      }),
      worker,
      spare: worker,
    },
    check({ owner: [second, first] }) {
      assertEquals(second, 11);
      assert([CANCELLED, LOST].includes(first));
    },
  },
  "pool: a signal that stops a call whose worker dies, which breaks the pool": {
    preemptions: 2,
    actors: {
      owner: owner(stopDying, {
        submit: submitDying,
        isProcess: true,
        onWorkerDeath: "break",
        actors: 2,
      }),
      worker,
      spare: worker,
    },
    check({ owner: [second, first] }) {
      assert([11, LOST].includes(second));
      assert([CANCELLED, LOST].includes(first));
    },
  },
  "pool: timed calls, of which one is cancelled": {
    preemptions: 1,
    actors: {
      owner: owner((pool, [first], stage) => {
        const second = call(pool, 1);
        second.cancel();
        pool.shutdownSync();
        stage.note(outcomeOf(first));
        stage.note(outcomeOf(second));
        stage.note(ends);
        const { finished, cancelled } = pool.stats().tasks;
        stage.note(finished + cancelled);
      }, {
        isTimed: true,
        submit(pool) {
          ends = 0;
          return [call(pool, 0)];
        },
      }),
      worker,
    },
    check({ owner: [first, second, ends, counted], worker }) {
      assertEquals([first, ends, counted], [10, 2, 2]);
      assertEquals(worker, second === CANCELLED ? [0] : [0, 1]);
    },
  },
  "pool: two workers, and calls for both": {
    preemptions: 1,
    actors: {
      owner: owner((pool, [first, second], stage) => {
        const third = call(pool, 2);
        for (const future of [first, second, third]) {
          stage.note(future.resultSync());
        }
        pool.shutdownSync();
      }, TWO),
      worker,
      other: worker,
    },
    check({ owner, worker, other }) {
      assertEquals(owner, [10, 11, 12]);
      assertEquals(sorted(worker, other), [0, 1, 2]);
    },
  },
  "pool: two workers, and two calls that need both": {
    preemptions: 1,
    actors: {
      owner: owner(async (pool, [first, second], stage) => {
        for (const future of [first, second, meet(pool, 2)]) {
          stage.note(await settle(stage, future));
        }
        await settle(stage, pool.shutdown());
      }, {
        maxWorkers: 2,
        submit: (pool) => [meet(pool, 0), call(pool, 1)],
      }),
      worker,
      other: worker,
    },
    timesOut: true,
    check({ owner, worker, other }) {
      assertEquals(owner, [0, 11, 2]);
      assertEquals(sorted(worker, other), [0, 1, 2]);
      assertEquals(worker.includes(0), other.includes(2));
    },
  },
  "pool: two workers, of which one dies after it was woken": {
    preemptions: 1,
    actors: {
      owner: owner(playDeath, TWO_OF_WHICH_ONE_DIES),
      worker,
      other: worker,
    },
    timesOut: true,
    check: checkDeath,
  },
  "pool: two workers, and a shutdown that cancels what they claim": {
    preemptions: 1,
    actors: {
      owner: owner((pool, [first, second], stage) => {
        const calls = [first, second, call(pool, 2)];
        pool.shutdownSync({ cancelFutures: true });
        for (const future of calls) stage.note(outcomeOf(future));
      }, TWO),
      worker,
      other: worker,
    },
    check({ owner, worker, other }) {
      const ran = [0, 1, 2].filter((task) => owner[task] !== CANCELLED);
      assertEquals(sorted(worker, other), ran);
      assertEquals(
        ran.map((task) => owner[task]),
        ran.map((task) => task + 10),
      );
    },
  },
  "planted: a pool that wakes nobody when it loses a worker": {
    preemptions: 1,
    actors: {
      owner: (stage) => {
        wakeForTheEndAlone();
        return owner(playDeath, TWO_OF_WHICH_ONE_DIES)(stage);
      },
      worker,
      other: worker,
    },
    timesOut: true,
    check: checkDeath,
  },
};

/** Aborts the first call of an execution. */
let stopper: AbortController;

function submitDying(pool: PlayedPool): Future<number>[] {
  stopper = new AbortController();
  const { signal } = stopper;
  return [pool.submitWith({ signal }, Math.cbrt, 0), call(pool, 1)];
}

/** Stops the first call, whose worker dies of it; all else goes on, and the shutdown ends. */
function stopDying(
  pool: PlayedPool,
  [first, second]: Future<number>[],
  stage: Stage,
): void {
  const dying = 1;
  stage.waitFor(dying);
  stopper.abort();
  stage.note(outcomeOf(second));
  stage.note(outcomeOf(first));
  pool.shutdownSync();
}

/** How often an observer was told that a task has ended, in this execution. */
let ends = 0;

function onEnd(): void {
  ends++;
}

/** Submits where the pool is not broken yet. */
function submitIfOpen(pool: PlayedPool): Future<number> | undefined {
  try {
    return call(pool, 1);
  } catch (error) {
    assertInstanceOf(error, BrokenThreadPool);
    return undefined;
  }
}
