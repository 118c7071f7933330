/**
 * The pools of a node: one for each initializer that its tasks come with, and
 * one for tasks without.
 *
 * @module
 */

import type { Outcome, Passed } from "./_nats_task.ts";
import { importTasks } from "./_task_reference.ts";
import { BrokenExecutor } from "./errors.ts";
import type { SubmitOptions } from "./executor.ts";
import type { Future } from "./future.ts";
import { ProcessPoolExecutor } from "./process_pool.ts";
import { ThreadPoolExecutor } from "./thread_pool.ts";

const tasks = importTasks<typeof import("./_nats_task.ts")>(
  import.meta.resolve("./_nats_task.ts"),
);

/** What every worker calls before its first task. */
export interface LocalInitializer {
  /** Its definition, as JSON. */
  readonly definition: string;
  readonly args: Passed;
}

/** A call, as a worker takes it. */
export interface LocalCall {
  readonly definition: string;
  readonly args: Passed;
  readonly isChunk: boolean;
}

/** How the pools of a node are made. */
export interface LocalOptions {
  readonly maxWorkers: number;
  /** Whether tasks run in processes, not threads. */
  readonly processes: boolean;
  /** How long a pool with an initializer is kept without tasks, in milliseconds. */
  readonly idleMs?: number;
}

const IDLE_MS = 60_000;

/** A pool. */
export class LocalPool {
  readonly #executor: ThreadPoolExecutor | ProcessPoolExecutor;
  readonly hasInitializer: boolean;
  #users = 0;
  #isEnding = false;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    { maxWorkers, processes }: LocalOptions,
    initializer: LocalInitializer | undefined,
  ) {
    const options = {
      maxWorkers,
      onWorkerDeath: "replace" as const,
      ...(initializer === undefined ? {} : {
        initializer: tasks.initialize,
        initArgs: [initializer.definition, initializer.args],
      }),
    };
    this.hasInitializer = initializer !== undefined;
    this.#executor = processes
      ? new ProcessPoolExecutor(options)
      : new ThreadPoolExecutor(options);
  }

  /**
   * Runs a call.
   *
   * @throws {BrokenExecutor} If the pool is broken.
   */
  submit(options: SubmitOptions, call: LocalCall): Future<Outcome> {
    const { definition, args, isChunk } = call;
    return this.#executor.submitWith(
      options,
      tasks.runTask,
      definition,
      args,
      isChunk,
    );
  }

  /** Whether it takes no more calls, as its initializer failed, say. */
  get isBroken(): boolean {
    try {
      this.#executor.map(tasks.runTask, [], [], []);
      return false;
    } catch (error) {
      return error instanceof BrokenExecutor;
    }
  }

  /** Notes that a task needs it. */
  use(): void {
    this.#users++;
    clearTimeout(this.#idleTimer);
  }

  /** Notes that a task needs it no more; `onIdle` is called if none does for a while. */
  release(idleMs: number, onIdle: () => void): void {
    if (--this.#users === 0 && this.hasInitializer && !this.#isEnding) {
      this.#idleTimer = setTimeout(onIdle, idleMs);
    }
  }

  /** Ends it once its tasks have; those that wait are cancelled. */
  async shutdown(): Promise<void> {
    this.#isEnding = true;
    clearTimeout(this.#idleTimer);
    await this.#executor.shutdown({ cancelFutures: true });
  }
}

const latin1 = new TextDecoder("latin1");

/** All pools of a node. */
export class LocalPools {
  readonly #options: LocalOptions;
  /** By the initializer, as text. */
  readonly #pools = new Map<string, LocalPool>();
  /** Those that end. */
  readonly #ending = new Set<Promise<void>>();

  constructor(options: LocalOptions) {
    this.#options = options;
  }

  /** How many there are, without those that end. */
  get size(): number {
    return this.#pools.size;
  }

  /** Returns the pool for tasks with an initializer, or without; to be released. */
  take(initializer?: LocalInitializer): LocalPool {
    const key = keyOf(initializer);
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      pool = new LocalPool(this.#options, initializer);
      this.#pools.set(key, pool);
    }
    pool.use();
    return pool;
  }

  /** Gives a pool back. */
  release(pool: LocalPool): void {
    pool.release(
      this.#options.idleMs ?? IDLE_MS,
      () => this.drop(pool),
    );
  }

  /** Ends a pool, so that the next task gets another. */
  drop(pool: LocalPool): void {
    for (const [key, one] of this.#pools) {
      if (one === pool) this.#pools.delete(key);
    }
    const ending = pool.shutdown();
    this.#ending.add(ending);
    ending.finally(() => this.#ending.delete(ending));
  }

  /** Ends all of them. */
  async shutdown(): Promise<void> {
    for (const pool of [...this.#pools.values()]) this.drop(pool);
    await Promise.all(this.#ending);
  }
}

function keyOf(initializer: LocalInitializer | undefined): string {
  if (initializer === undefined) return "";
  const { definition, args: [format, content, textBytes] } = initializer;
  const text = typeof content === "string" ? content : latin1.decode(content);
  return `${format} ${textBytes} ${definition} ${text}`;
}
