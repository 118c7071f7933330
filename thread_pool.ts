/**
 * `ThreadPoolExecutor`: a pool of Web Workers.
 *
 * ```ts
 * import { ThreadPoolExecutor } from "@concurrent/futures/thread_pool";
 * import { assertEquals } from "@std/assert";
 *
 * await using pool = new ThreadPoolExecutor({ maxWorkers: 1 });
 * assertEquals(await pool.submit(Math.pow, 2, 10), 1024);
 * ```
 *
 * @module
 */

import { Dispatcher } from "./_dispatcher.ts";
import { makeObservers } from "./_observers.ts";
import {
  checkChoice,
  checkCount,
  checkOptions,
  checkString,
} from "./_options.ts";
import {
  checkNotImporting,
  makeInitializer,
  PoolExecutor,
} from "./_pool_executor.ts";
import { ThreadLink } from "./_thread_link.ts";
import { BrokenThreadPool } from "./errors.ts";
import type { Callable } from "./executor.ts";
import type { Trace } from "./trace.ts";

/** Options of a thread pool. */
export interface ThreadPoolOptions {
  /** Most workers, whole and `>= 1`. Default: `min(32, navigator.hardwareConcurrency + 4)`. */
  maxWorkers?: number;
  /** Workers are named `${prefix}_${n}`. Default: `"ThreadPoolExecutor-<k>"`. */
  threadNamePrefix?: string;
  /** Called in each worker before its first task; if it fails, the pool is broken. */
  initializer?: Callable<never[], unknown>;
  /** Arguments of `initializer`; copied now. */
  initArgs?: unknown[];
  /**
   * `"replace"`, the default, fails the task that ran on a worker that died and
   * starts another worker; `"break"` fails all that is pending.
   */
  onWorkerDeath?: "replace" | "break";
  /** Takes note of what happens when, to be looked at in Perfetto or Chrome. Default: none. */
  trace?: Trace;
}

/** Numbers the pools without a prefix, for the names of their workers. */
let pools = 0;

/**
 * Runs calls in threads: Deno's Web Workers, started when first needed.
 *
 * Threads share the process, its permissions and its memory limit. What blocks
 * a thread cannot be stopped; a worker that is needed no more ends when its
 * code returns.
 *
 * Python: `concurrent.futures.ThreadPoolExecutor(max_workers,
 * thread_name_prefix, initializer, initargs)`. Differs: threads run JavaScript
 * in parallel and share nothing but `SharedArrayBuffer`s.
 *
 * @example Work on all cores
 * ```ts
 * import { ThreadPoolExecutor } from "@concurrent/futures";
 * import { assertEquals } from "@std/assert";
 *
 * function isPrime(n: number): boolean {
 *   for (let i = 2; i * i <= n; i++) if (n % i === 0) return false;
 *   return n > 1;
 * }
 *
 * await using pool = new ThreadPoolExecutor();
 * const found = await Array.fromAsync(pool.map(isPrime, [97, 98, 99]));
 * assertEquals(found, [true, false, false]);
 * ```
 */
export class ThreadPoolExecutor extends PoolExecutor {
  /**
   * Makes a pool; no worker is started yet.
   *
   * @param options See `ThreadPoolOptions`.
   * @throws {RangeError} If `maxWorkers` is below 1 or not whole, or
   * `onWorkerDeath` is unknown.
   * @throws {TypeError} If an option has a wrong type.
   * @throws {RuntimeError} If a worker is importing the module for a task, which
   * does its own work as it is imported: see `import.meta.main`.
   * @throws {SerializationError} If `initializer` or `initArgs` cannot travel.
   */
  constructor(options?: ThreadPoolOptions) {
    checkNotImporting();
    const checked = checkOptions(options);
    const maxWorkers = checkCount("maxWorkers", checked.maxWorkers) ??
      Math.min(32, navigator.hardwareConcurrency + 4);
    // PYTHON: an empty prefix is none, and only pools without one are counted.
    const prefix = checkString("threadNamePrefix", checked.threadNamePrefix) ||
      `ThreadPoolExecutor-${pools++}`;
    const onWorkerDeath = checkChoice("onWorkerDeath", checked.onWorkerDeath, [
      "replace",
      "break",
    ]);
    const initializer = makeInitializer(checked, true);
    const dispatcher = new Dispatcher({
      observers: makeObservers(prefix, checked.trace),
      maxWorkers,
      onWorkerDeath,
      Broken: BrokenThreadPool,
      start: (start) =>
        new ThreadLink(start, `${prefix}_${start.number}`, initializer),
    });
    super(dispatcher, { canMove: true });
  }
}
