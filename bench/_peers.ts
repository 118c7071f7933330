/**
 * One small interface over five ways to run a task in one of two threads (bare
 * Workers, the three pools of npm, and this module's), and over two to run it in
 * one of two processes (workerpool's and this module's).
 *
 * Each pool has the settings that were its fastest for no-op tasks under Deno
 * 2.9.6, of those that its documentation offers; each adapter says which were
 * tried. They send bytes as an `ArrayBuffer`: a message of `node:worker_threads`
 * costs Deno 100 ns a byte if it holds a `Uint8Array`, but 2 where it holds the
 * buffer. poolifier has no way to transfer a result, so its `move` copies on the
 * way back.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { setTimeout as delay } from "node:timers/promises";
import { FixedQueue, Piscina } from "npm:piscina@5.3.2";
import { DynamicThreadPool, FixedThreadPool } from "npm:poolifier@5.3.2";
import workerpool from "npm:workerpool@10.0.3";
import {
  type Executor,
  ProcessPoolExecutor,
  ThreadPoolExecutor,
} from "../mod.ts";
import type { Request } from "./_bare_worker.ts";
import { check } from "./_check.ts";
import { TASKS, type Tasks } from "./_tasks.ts";

/** How many workers every pool may have. */
export const MAX_WORKERS = 2;

const STOP_MS = 200;

/** Bytes that can be transferred. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** A way to run tasks in other threads or processes. */
export interface Peer {
  readonly name: string;
  /** Creates the pool, with so many of its two workers at once where the pool lets us say so. */
  open(workersAtStart?: 1 | 2): void;
  /** Runs one task. */
  run<K extends keyof Tasks>(
    task: K,
    argument: Parameters<Tasks[K]>[0],
  ): PromiseLike<ReturnType<Tasks[K]>>;
  /** Sends bytes there and back by copy. */
  echo(bytes: Bytes): PromiseLike<Bytes>;
  /** Ends the workers. */
  stop(): Promise<void>;
}

/** A way to run tasks in other threads. */
export interface ThreadPeer extends Peer {
  /** Sends bytes there and back by transfer. */
  move(bytes: Bytes): PromiseLike<Bytes>;
}

/** Two Workers and the least that one can write around them: the baseline. */
class BareWorkers implements ThreadPeer {
  readonly name = "bare Worker";
  #workers: Worker[] = [];
  #calls = new Map<number, (result: never) => void>();
  #nextId = 0;

  open(workersAtStart = MAX_WORKERS): void {
    this.#workers = Array.from({ length: workersAtStart }, () => {
      const worker = new Worker(import.meta.resolve("./_bare_worker.ts"), {
        type: "module",
      });
      worker.onmessage = ({ data: [id, result] }) => {
        this.#calls.get(id)!(result as never);
        this.#calls.delete(id);
      };
      return worker;
    });
  }

  run<K extends keyof Tasks>(
    task: K,
    argument: Parameters<Tasks[K]>[0],
  ): Promise<ReturnType<Tasks[K]>> {
    return this.#send(task, argument, []);
  }

  echo(bytes: Bytes): Promise<Bytes> {
    return this.#send("echo", bytes, []);
  }

  move(bytes: Bytes): Promise<Bytes> {
    return this.#send("echo", bytes, [bytes.buffer]);
  }

  #send<R>(
    task: keyof Tasks,
    argument: unknown,
    transfer: Transferable[],
  ): Promise<R> {
    const { promise, resolve } = Promise.withResolvers<R>();
    const id = this.#nextId++;
    this.#calls.set(id, resolve);
    const request: Request = [id, task, argument, transfer.length > 0];
    this.#workers[id % this.#workers.length].postMessage(request, transfer);
    return promise;
  }

  stop(): Promise<void> {
    for (const worker of this.#workers) worker.terminate();
    return Promise.resolve();
  }
}

/**
 * Tried: `ArrayTaskQueue` (slower) and `FixedQueue`; `recordTiming` on (slower)
 * and off; `concurrentTasksPerWorker` 1 (less than half as many tasks a second),
 * 10 and 100 (the same); `atomics` "sync", "async" (the same) and "disabled"
 * (slower with many tasks in a worker).
 */
class PiscinaPeer implements ThreadPeer {
  readonly name = "piscina";
  #pool!: Piscina;

  open(workersAtStart = MAX_WORKERS): void {
    this.#pool = new Piscina({
      filename: fileURLToPath(import.meta.resolve("./_piscina_worker.ts")),
      minThreads: workersAtStart,
      maxThreads: MAX_WORKERS,
      concurrentTasksPerWorker: 10,
      taskQueue: new FixedQueue(),
      recordTiming: false,
    });
  }

  run<K extends keyof Tasks>(
    task: K,
    argument: Parameters<Tasks[K]>[0],
  ): Promise<ReturnType<Tasks[K]>> {
    return this.#pool.run(argument, { name: task });
  }

  async echo(bytes: Bytes): Promise<Bytes> {
    return new Uint8Array(await this.run("echoBuffer", bytes.buffer));
  }

  async move({ buffer }: Bytes): Promise<Bytes> {
    const options = { name: "move", transferList: [buffer] };
    return new Uint8Array(await this.#pool.run(buffer, options));
  }

  stop(): Promise<void> {
    return this.#pool.destroy(); // `close()` leaves a timer of 30 s behind
  }
}

/**
 * Tried: `workerType` "thread"; "web" fails in Deno, whose Workers have no
 * `process.connected`. For processes the `serialization` "json" (as fast for
 * numbers, but bytes arrive as an array, 150 times later) and "advanced".
 */
class WorkerpoolPeer implements ThreadPeer {
  readonly name;
  readonly #workerType;
  #pool!: ReturnType<typeof workerpool.pool>;

  constructor(name: string, workerType: "thread" | "process") {
    this.name = name;
    this.#workerType = workerType;
  }

  open(workersAtStart = MAX_WORKERS): void {
    this.#pool = workerpool.pool(
      fileURLToPath(import.meta.resolve("./_workerpool_worker.ts")),
      {
        minWorkers: workersAtStart,
        maxWorkers: MAX_WORKERS,
        workerType: this.#workerType,
        forkOpts: { serialization: "advanced" },
      },
    );
  }

  run<K extends keyof Tasks>(
    task: K,
    argument: Parameters<Tasks[K]>[0],
  ): PromiseLike<ReturnType<Tasks[K]>> {
    return this.#pool.exec(task, [argument]) as unknown as PromiseLike<
      ReturnType<Tasks[K]>
    >;
  }

  async echo(bytes: Bytes): Promise<Bytes> {
    return new Uint8Array(await this.run("echoBuffer", bytes.buffer));
  }

  async move({ buffer }: Bytes): Promise<Bytes> {
    const result = this.#pool.exec("move", [buffer], { transfer: [buffer] });
    return new Uint8Array(
      await (result as unknown as PromiseLike<ArrayBuffer>),
    );
  }

  async stop(): Promise<void> {
    await this.#pool.terminate(true);
  }
}

/**
 * Tried: `enableEvents` on (slower) and off; `enableTasksQueue` off and on, with
 * a `concurrency` of 1 (seven times slower) and 100 (slower).
 */
class PoolifierPeer implements ThreadPeer {
  readonly name = "poolifier";
  #pool!: FixedThreadPool;
  #keepAlive?: ReturnType<typeof setInterval>;

  open(workersAtStart = MAX_WORKERS): void {
    const file = fileURLToPath(import.meta.resolve("./_poolifier_worker.ts"));
    const options = { enableEvents: false };
    this.#pool = workersAtStart === MAX_WORKERS
      ? new FixedThreadPool(MAX_WORKERS, file, options)
      : new DynamicThreadPool(workersAtStart, MAX_WORKERS, file, options);
    // Under Deno a pending task of poolifier does not keep the program alive.
    this.#keepAlive = setInterval(() => {}, 60_000);
  }

  run<K extends keyof Tasks>(
    task: K,
    argument: Parameters<Tasks[K]>[0],
  ): Promise<ReturnType<Tasks[K]>> {
    return this.#pool.execute(argument, task) as Promise<ReturnType<Tasks[K]>>;
  }

  async echo(bytes: Bytes): Promise<Bytes> {
    return new Uint8Array(await this.run("echoBuffer", bytes.buffer));
  }

  async move({ buffer }: Bytes): Promise<Bytes> {
    const result = this.#pool.execute(buffer, "echoBuffer", undefined, [
      buffer,
    ]);
    return new Uint8Array(await (result as Promise<ArrayBuffer>));
  }

  async stop(): Promise<void> {
    // Under Deno `destroy()` never resolves in one of five cases.
    await Promise.race([this.#pool.destroy(), delay(STOP_MS)]);
    clearInterval(this.#keepAlive);
  }
}

/** A pool of this module's, which starts its workers when they are needed. */
class FuturesPeer implements ThreadPeer {
  readonly name;
  readonly #Pool;
  #pool!: Executor;

  constructor(
    name: string,
    Pool: new (options: { maxWorkers: number }) => Executor,
  ) {
    this.name = name;
    this.#Pool = Pool;
  }

  open(): void {
    this.#pool = new this.#Pool({ maxWorkers: MAX_WORKERS });
  }

  run<K extends keyof Tasks>(
    task: K,
    argument: Parameters<Tasks[K]>[0],
  ): PromiseLike<ReturnType<Tasks[K]>> {
    const fn = TASKS[task] as (argument: unknown) => ReturnType<Tasks[K]>;
    return this.#pool.submit(fn, argument) as PromiseLike<ReturnType<Tasks[K]>>;
  }

  echo(bytes: Bytes): PromiseLike<Bytes> {
    return this.#pool.submit(TASKS.echo, bytes);
  }

  move(bytes: Bytes): PromiseLike<Bytes> {
    return this.#pool.submitWith(
      { transfer: [bytes.buffer] },
      TASKS.echo,
      bytes,
    );
  }

  stop(): Promise<void> {
    return this.#pool.shutdown();
  }
}

/** Makes one of each way to use threads, not yet open, the baseline first. */
export function createPeers(): ThreadPeer[] {
  return [
    new BareWorkers(),
    new PiscinaPeer(),
    new WorkerpoolPeer("workerpool", "thread"),
    new PoolifierPeer(),
    new FuturesPeer("@concurrent/futures", ThreadPoolExecutor),
  ];
}

/** Makes one of each way to use processes, not yet open, and our threads beside them. */
export function createProcessPeers(): {
  ours: Peer;
  threads: Peer;
  workerpool: Peer;
} {
  return {
    ours: new FuturesPeer("@concurrent/futures", ProcessPoolExecutor),
    threads: new FuturesPeer("our threads", ThreadPoolExecutor),
    workerpool: new WorkerpoolPeer("workerpool", "process"),
  };
}

/** Whether a peer is the baseline of its group. */
export function isBaseline(peer: Peer): boolean {
  return peer instanceof BareWorkers;
}

/** Submits so many no-op tasks at once, then awaits and checks each. */
export async function burst(peer: Peer, tasks: number): Promise<void> {
  const results = new Array<PromiseLike<number>>(tasks);
  for (let i = 0; i < tasks; i++) results[i] = peer.run("identity", i);
  for (let i = 0; i < tasks; i++) check(peer, await results[i], i);
}

/** What `map` does with a function that adds one, for a pool that has no `map`; returns the sum. */
export async function sumByHand(
  peer: Peer,
  numbers: number[],
  chunkSize: number,
): Promise<number> {
  const chunks: PromiseLike<number[]>[] = [];
  for (let i = 0; i < numbers.length; i += chunkSize) {
    chunks.push(peer.run("incrementAll", numbers.slice(i, i + chunkSize)));
  }
  let sum = 0;
  for (const chunk of chunks) for (const n of await chunk) sum += n;
  return sum;
}

/** Queues tasks, computes for so long, and returns how many were done by then. */
export async function countDoneWhileBusy(
  peer: Peer,
  tasks: number,
  busyMs: number,
): Promise<number> {
  const times = Array.from({ length: tasks }, (_, i) => peer.run("clock", i));
  const end = performance.now() + busyMs;
  while (performance.now() < end);
  const ended = Date.now();
  let done = 0;
  for (const time of times) if (await time <= ended) done++;
  return done;
}

/** Opens a pool and runs tasks until both workers have long been busy. */
export async function openWarm<P extends Peer>(peer: P): Promise<P> {
  peer.open();
  for (let round = 0; round < 5; round++) await burst(peer, 2_000);
  return peer;
}

/**
 * Opens and warms all, and ends them when the program does: a bench file has no
 * other hook after its last bench.
 */
export async function openAllForBench(): Promise<ThreadPeer[]> {
  const peers = createPeers();
  for (const peer of peers) await openWarm(peer);
  globalThis.addEventListener(
    "unload",
    () => peers.forEach((peer) => peer.stop()),
  );
  return peers;
}
