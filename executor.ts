/**
 * `Executor`: what all pools have in common, and the ways to name a task.
 *
 * ```ts
 * import type { Executor } from "@concurrent/futures/executor";
 * import { ThreadPoolExecutor } from "@concurrent/futures/thread_pool";
 * import { assertEquals } from "@std/assert";
 *
 * function power(pool: Executor): PromiseLike<number> {
 *   return pool.submit(Math.pow, 2, 10);
 * }
 *
 * await using pool = new ThreadPoolExecutor();
 * assertEquals(await power(pool), 1024);
 * ```
 *
 * @module
 */

import { checkCallable } from "./_callable.ts";
import { type ChunkOutcome, type MapPlan, MapResults } from "./_map_results.ts";
import {
  checkCount,
  checkOptions,
  checkSignal,
  checkTimeout,
} from "./_options.ts";
import { REFUSAL } from "./_refusal.ts";
import { Rows } from "./_rows.ts";
import type { TaskReference } from "./_task_reference.ts";
import type { Future } from "./future.ts";

export { importTasks, TaskReference, type Tasks } from "./_task_reference.ts";
export { type ChunkOutcome, MapResults } from "./_map_results.ts";

/**
 * What can be submitted: a function, or a reference made by `importTasks`.
 *
 * A function that uses nothing from outside itself travels by its source. One
 * that its module exports travels by module and name, and the worker imports
 * the module: guard the work of a program's own file by `import.meta.main`. Any
 * other travels by its source with what it uses: values as a copy, imports and
 * functions by these same rules. To see what that is takes `--allow-sys`.
 *
 * Bound functions, generators, classes, and methods that use `this` cannot
 * travel, but for those that an exported class or object holds.
 *
 * Python: any callable that pickle takes, by module and name alone.
 *
 * @typeParam A The parameters.
 * @typeParam R What the call returns.
 */
export type Callable<A extends unknown[], R> =
  | ((...args: A) => R)
  | TaskReference<A, R>;

/** Options of `submitWith`. */
export interface SubmitOptions {
  /** Cancels the task while it is pending, and stops it while it runs. */
  signal?: AbortSignal;
  /** Longest run in milliseconds, `>= 0`, from the start of the task. */
  timeout?: number;
  /** What is moved to the worker instead of copied. Thread pool only. */
  transfer?: Transferable[];
}

/** Options of `map`. */
export interface MapOptions {
  /** Longest time in milliseconds, `>= 0`, from the call of `map` to a value. */
  timeout?: number;
  /** How many calls make up one task; 1 by default. */
  chunkSize?: number;
  /** How many tasks to send ahead of the consumer. Default: all. */
  bufferSize?: number;
  /** Ends the iteration with the signal's reason, and all its tasks. */
  signal?: AbortSignal;
}

/** Options of `shutdown`. */
export interface ShutdownOptions {
  /** Whether to wait until all is done and every worker gone; `true` by default. */
  wait?: boolean;
  /** Whether to cancel what has not started; `false` by default. */
  cancelFutures?: boolean;
}

/**
 * One iterable for each parameter.
 *
 * @typeParam A The parameters.
 */
export type Iterables<A extends unknown[]> = {
  [K in keyof A]: Iterable<A[K]>;
};

/**
 * What follows `fn` in `map` where it has optional parameters: iterables for
 * some of them, then perhaps options.
 *
 * @typeParam A The parameters.
 */
export type MapArguments<A extends unknown[]> = A extends readonly []
  ? [options?: MapOptions]
  : A extends readonly [unknown, ...unknown[]]
    ? A extends readonly [infer First, ...infer Rest]
      ? [Iterable<First>, ...MapArguments<Rest>]
    : never
  : number extends A["length"]
    ? Iterable<A[number]>[] | [...Iterable<A[number]>[], MapOptions | undefined]
  : A extends readonly [(infer First)?, ...infer Rest]
    ? [options?: MapOptions] | [
      Iterable<First | undefined>,
      ...MapArguments<Rest>,
    ]
  : never;

/**
 * Runs calls elsewhere and hands out futures for their outcomes.
 *
 * Python: `concurrent.futures.Executor`. Differs: `using` takes the place of
 * `with`, `submitWith` adds time limits and signals.
 *
 * @example Any executor will do
 * ```ts
 * import { type Executor, ThreadPoolExecutor } from "@concurrent/futures";
 * import { assertEquals } from "@std/assert";
 *
 * async function sum(pool: Executor, numbers: number[]): Promise<number> {
 *   let total = 0;
 *   for await (const n of pool.map(Math.sqrt, numbers)) total += n;
 *   return total;
 * }
 *
 * await using pool = new ThreadPoolExecutor({ maxWorkers: 2 });
 * assertEquals(await sum(pool, [1, 4, 9]), 6);
 * ```
 */
export abstract class Executor implements Disposable, AsyncDisposable {
  /**
   * Schedules `fn(...args)` with a time limit, a signal, or things to move.
   *
   * A signal or a time limit ends the future at once, with `CancelledError`
   * (its `cause` the signal's reason) or `TimeoutError`. The worker of a running
   * task is ended and replaced; a thread in synchronous code cannot be stopped,
   * and ends when that code returns.
   *
   * Python: none.
   *
   * @example A limit of ten milliseconds
   * ```ts
   * import { ThreadPoolExecutor, TimeoutError } from "@concurrent/futures";
   * import { assertRejects } from "@std/assert";
   *
   * await using pool = new ThreadPoolExecutor();
   * const future = pool.submitWith(
   *   { timeout: 10 },
   *   () => new Promise(() => setTimeout(() => {}, 60_000)),
   * );
   * await assertRejects(() => future.result(), TimeoutError);
   * ```
   *
   * @typeParam A The parameters.
   * @typeParam R What the call returns.
   * @param options Signal, time limit in milliseconds, things to move.
   * @param fn What to call.
   * @param args What to call it with; copied now, as is what `fn` has captured.
   * @returns The call's future.
   * @throws {TypeError} If `fn` cannot be called, or an option has a wrong type.
   * @throws {RangeError} If `timeout` is negative.
   * @throws {RuntimeError} If the executor was shut down.
   * @throws {BrokenExecutor} If the executor is broken.
   */
  abstract submitWith<A extends unknown[], R>(
    options: SubmitOptions,
    fn: Callable<A, R>,
    ...args: A
  ): Future<Awaited<R>>;

  /**
   * Takes no more calls and frees the workers when all is done.
   *
   * Python: `Executor.shutdown(wait=True, *, cancel_futures=False)`.
   *
   * @example Drop what has not started
   * ```ts
   * import { ThreadPoolExecutor } from "@concurrent/futures";
   *
   * const pool = new ThreadPoolExecutor();
   * await pool.shutdown({ cancelFutures: true });
   * ```
   *
   * @param options.wait `true`, the default, waits until every future is done
   * and every worker gone; `false` does not wait, pending futures still finish.
   * @param options.cancelFutures Cancels what has not started. Default: `false`.
   * @returns A promise that never rejects.
   * @throws {TypeError} If an option is no boolean; at the call, not in the promise.
   */
  abstract shutdown(options?: ShutdownOptions): Promise<void>;

  /**
   * Does as `shutdown`, and blocks this thread where that would wait.
   *
   * Python: `Executor.shutdown(wait=True, *, cancel_futures=False)`.
   *
   * @example No await
   * ```ts
   * import { ThreadPoolExecutor } from "@concurrent/futures";
   *
   * const pool = new ThreadPoolExecutor();
   * pool.shutdownSync();
   * ```
   *
   * @param options.wait `true` by default.
   * @param options.cancelFutures `false` by default.
   * @throws {TypeError} If an option is no boolean.
   */
  abstract shutdownSync(options?: ShutdownOptions): void;

  /**
   * Throws where the executor takes no more calls; for executors.
   *
   * @throws {RuntimeError} If it was shut down, or is broken.
   */
  protected checkOpen(): void {}

  /**
   * Returns what `map` is to submit in place of `fn`, with what `fn` has
   * captured now; for executors whose functions travel.
   *
   * @typeParam A The parameters.
   * @typeParam R What the call returns.
   * @param fn What to call.
   * @returns What `submit` and `submitChunk` take for it.
   */
  protected bind<A extends unknown[], R>(fn: Callable<A, R>): Callable<A, R> {
    return fn;
  }

  /**
   * Schedules several calls of `fn` as one task; for executors that can.
   * Without it each call is a task of its own, whatever `chunkSize` says.
   *
   * @typeParam A The parameters.
   * @typeParam R What the call returns.
   * @param options Signal and time limit of the task.
   * @param fn What to call.
   * @param columns One array of arguments for each parameter, all equally long.
   * @returns The future of the values.
   */
  protected submitChunk?<A extends unknown[], R>(
    options: SubmitOptions,
    fn: Callable<A, R>,
    columns: unknown[][],
  ): Future<ChunkOutcome<Awaited<R>>>;

  /**
   * Schedules `fn(...args)` and returns its future.
   *
   * What cannot travel (the function, an argument, the result) fails that
   * future alone, with `SerializationError`.
   *
   * Python: `Executor.submit(fn, /, *args, **kwargs)`. Differs: no keyword
   * arguments.
   *
   * @example One call
   * ```ts
   * import { ThreadPoolExecutor } from "@concurrent/futures";
   * import { assertEquals } from "@std/assert";
   *
   * await using pool = new ThreadPoolExecutor({ maxWorkers: 1 });
   * const future = pool.submit((a: number, b: number) => a + b, 2, 3);
   * assertEquals(await future, 5);
   * ```
   *
   * @typeParam A The parameters.
   * @typeParam R What the call returns.
   * @param fn What to call.
   * @param args What to call it with; copied now.
   * @returns The call's future.
   * @throws {TypeError} If `fn` cannot be called.
   * @throws {RuntimeError} If the executor was shut down.
   * @throws {BrokenExecutor} If the executor is broken.
   */
  submit<A extends unknown[], R>(
    fn: Callable<A, R>,
    ...args: A
  ): Future<Awaited<R>> {
    return this.submitWith({}, fn, ...args);
  }

  /**
   * Calls `fn` with the items of the iterables, one of each, and returns an
   * iterator over the values in that order: `for await` waits, `for` blocks.
   *
   * What `fn` has captured is copied once, now; calls that run in one worker may
   * share the copy.
   *
   * All calls are scheduled at once; with `bufferSize`, only so many tasks ahead
   * of the consumer. The iteration stops at the shortest iterable. It throws
   * what a call threw when that call's value is reached, and ends; what is left
   * is cancelled, also when the consumer stops early.
   *
   * Python: `Executor.map(fn, *iterables, timeout, chunksize, buffersize)`.
   * Differs: milliseconds; the options come last; chunks work in every pool.
   *
   * @example Several calls in one task
   * ```ts
   * import { ThreadPoolExecutor } from "@concurrent/futures";
   * import { assertEquals } from "@std/assert";
   *
   * await using pool = new ThreadPoolExecutor({ maxWorkers: 2 });
   * const powers = pool.map(Math.pow, [2, 3, 4], [5, 2, 3], { chunkSize: 2 });
   * assertEquals(await Array.fromAsync(powers), [32, 9, 64]);
   * ```
   *
   * @typeParam A The parameters.
   * @typeParam R What a call returns.
   * @param fn What to call.
   * @param iterables One iterable for each parameter; then perhaps `MapOptions`.
   * @returns An iterator that can be used once, in either way.
   * @throws {TypeError} If `fn` cannot be called or an argument is no iterable.
   * @throws {RangeError} If `chunkSize` or `bufferSize` is below 1 or not whole, or
   * `timeout` is negative.
   * @throws {RuntimeError} If the executor was shut down.
   * @throws {BrokenExecutor} If the executor is broken.
   */
  map<A extends unknown[], R>(
    fn: Callable<A, R>,
    ...iterables: Iterables<A>
  ): MapResults<Awaited<R>>;
  /** The same with options. */
  map<A extends unknown[], R>(
    fn: Callable<A, R>,
    ...args: [...Iterables<A>, options: MapOptions | undefined]
  ): MapResults<Awaited<R>>;
  /** The same where `fn` has parameters that may be left out. */
  map<A extends unknown[], R>(
    fn: Callable<A, R>,
    ...args: MapArguments<A>
  ): MapResults<Awaited<R>>;
  map<A extends unknown[], R>(
    fn: Callable<A, R>,
    ...args: unknown[]
  ): MapResults<Awaited<R>> {
    const { iterables, options } = splitMapArguments(args);
    const timeoutMs = checkTimeout(options.timeout);
    const chunkSize = checkCount("chunkSize", options.chunkSize) ?? 1;
    const bufferSize = checkCount("bufferSize", options.bufferSize);
    const signal = checkSignal(options.signal);
    checkCallable(fn);
    this.checkOpen();
    const bound = this.bind(fn);
    const isChunked = chunkSize > 1 && this.submitChunk !== undefined;
    const taskOptions: SubmitOptions = signal === undefined ? {} : { signal };
    const rows = new Rows(iterables);
    const submitRow = () => {
      const row = rows.take();
      if (row === undefined) return undefined;
      return signal === undefined
        ? this.submit(bound, ...row as A)
        : this.submitWith(taskOptions, bound, ...row as A);
    };
    const submitRows = () => {
      const columns = rows.takeColumns(chunkSize);
      return columns && this.submitChunk!(taskOptions, bound, columns);
    };
    const plan = {
      submitNext: isChunked ? submitRows : submitRow,
      isChunked,
      bufferSize: bufferSize ?? Infinity,
      timeoutMs,
      signal,
      chunkSize: isChunked ? chunkSize : 1,
      calls: rows,
      end: () => rows.end(),
    } as MapPlan<Awaited<R>>;
    return new MapResults(plan);
  }

  /** Shuts down at the end of an `await using` block. Python: `__exit__`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  /** Shuts down at the end of a `using` block, blocking. Python: `__exit__`. */
  [Symbol.dispose](): void {
    this.shutdownSync();
  }

  /** Why an executor is no argument and no result. */
  get [REFUSAL](): string {
    return "is an executor, which stays in its thread: make one inside of the task";
  }
}

interface SplitArguments {
  iterables: Iterable<unknown>[];
  options: MapOptions;
}

/** Tells the options, which are no iterable, from the iterables before them. */
function splitMapArguments(args: readonly unknown[]): SplitArguments {
  const last = args.at(-1);
  const hasOptions = args.length > 0 && !isIterable(last) &&
    (last === undefined || typeof last === "object");
  const iterables = hasOptions ? args.slice(0, -1) : args.slice();
  const odd = iterables.findIndex((arg) => !isIterable(arg));
  if (odd >= 0) {
    throw new TypeError(
      `Cannot map as argument ${
        odd + 1
      } after the function must be iterable: received ${typeof iterables[odd]}`,
    );
  }
  return {
    iterables: iterables as Iterable<unknown>[],
    options: hasOptions ? checkOptions(last as MapOptions | undefined) : {},
  };
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return value !== undefined && value !== null &&
    typeof (value as Iterable<unknown>)[Symbol.iterator] === "function";
}
