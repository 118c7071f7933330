/**
 * `wait` and `asCompleted`: waiting on many futures, of any executors.
 *
 * ```ts
 * import { ThreadPoolExecutor } from "@concurrent/futures";
 * import { wait } from "@concurrent/futures/wait";
 * import { assertEquals } from "@std/assert";
 *
 * await using pool = new ThreadPoolExecutor({ maxWorkers: 1 });
 * const futures = [1, 4].map((n) => pool.submit(Math.sqrt, n));
 * const { done, notDone } = await wait(futures);
 * assertEquals([done.size, notDone.size], [2, 0]);
 * ```
 *
 * @module
 */

import { bell } from "./_bell.ts";
import { access } from "./_future_access.ts";
import {
  checkChoice,
  checkOptions,
  checkSignal,
  checkTimeout,
  LONGEST_TIMER_MS,
} from "./_options.ts";
import { progressAccess } from "./_progress_access.ts";
import { Tally } from "./_tally.ts";
import { DeadlockError, TimeoutError } from "./errors.ts";
import type { Future } from "./future.ts";

/** Return when any future is done. Python: `FIRST_COMPLETED`. */
export const FIRST_COMPLETED = "FIRST_COMPLETED";
/**
 * Return when any future has failed, or all are done. A cancelled future is no
 * failure. Python: `FIRST_EXCEPTION`.
 */
export const FIRST_EXCEPTION = "FIRST_EXCEPTION";
/** Return when all futures are done. Python: `ALL_COMPLETED`. */
export const ALL_COMPLETED = "ALL_COMPLETED";

/** When `wait` returns. */
export type ReturnWhen =
  | typeof ALL_COMPLETED
  | typeof FIRST_COMPLETED
  | typeof FIRST_EXCEPTION;

/** Options of `wait`. */
export interface WaitManyOptions {
  /** Longest wait in milliseconds, `>= 0`. Default: no limit. */
  timeout?: number;
  /** When to return; `ALL_COMPLETED` by default. */
  returnWhen?: ReturnWhen;
  /** Ends the wait with the signal's reason; the tasks go on. */
  signal?: AbortSignal;
}

/** What a wait found. Python: `DoneAndNotDoneFutures`. */
export interface DoneAndNotDone<F> {
  /** The futures that are finished or cancelled. */
  done: Set<F>;
  /** The others. */
  notDone: Set<F>;
}

/**
 * Resolves once the futures are done, or `returnWhen` or the time limit says
 * so. Running out of time is no error: look at `notDone`.
 *
 * Python: `concurrent.futures.wait(fs, timeout, return_when)`. Differs:
 * milliseconds, and a promise of an object.
 *
 * @example The first of two
 * ```ts
 * import { FIRST_COMPLETED, Future, wait } from "@concurrent/futures";
 * import { assertEquals } from "@std/assert";
 *
 * const quick = new Future<number>(), slow = new Future<number>();
 * quick.setResult(1);
 * const { done, notDone } = await wait([quick, slow], {
 *   returnWhen: FIRST_COMPLETED,
 * });
 * assertEquals([done.has(quick), notDone.has(slow)], [true, true]);
 * ```
 *
 * @typeParam F The type of the futures.
 * @param fs Futures of any executors; duplicates count once.
 * @param options.timeout Longest wait in milliseconds, `>= 0`; 0 looks only.
 * @param options.returnWhen `ALL_COMPLETED` (default), `FIRST_COMPLETED` or `FIRST_EXCEPTION`.
 * @param options.signal Ends the wait with the signal's reason.
 * @returns The futures that are done and those that are not.
 * @throws {RangeError} If `timeout` is negative or `returnWhen` is unknown; at the call.
 * @throws {TypeError} If `fs` is no iterable, or an option has a wrong type; at the call.
 */
export function wait<F extends Future<unknown>>(
  fs: Iterable<F>,
  options?: WaitManyOptions,
): Promise<DoneAndNotDone<F>> {
  const { timeout, returnWhen, signal } = checkOptions(options);
  const ms = checkTimeout(timeout);
  checkSignal(signal);
  const group = new Group(fs, checkReturnWhen(returnWhen));
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    if (group.isOver() || ms === 0) return resolve(group.split());
    let isEnded = false;
    const timer = ms <= LONGEST_TIMER_MS ? setTimeout(end, ms) : undefined;
    signal?.addEventListener("abort", end, { once: true });
    group.watch(end);

    function end() {
      // This thread may have been busy for longer than the outcomes took.
      group.takeIn();
      if (isEnded) return;
      isEnded = true;
      group.unwatch();
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      if (signal?.aborted && !group.isOver()) reject(signal.reason);
      else resolve(group.split());
    }
  });
}

/**
 * Blocks this thread until the futures are done, or `returnWhen` or the time
 * limit says so.
 *
 * Python: `concurrent.futures.wait(fs, timeout, return_when)`.
 *
 * @example No await
 * ```ts
 * import { ThreadPoolExecutor, waitSync } from "@concurrent/futures";
 * import { assertEquals } from "@std/assert";
 *
 * using pool = new ThreadPoolExecutor({ maxWorkers: 1 });
 * const futures = [1, 4, 9].map((n) => pool.submit(Math.sqrt, n));
 * assertEquals(waitSync(futures).done.size, 3);
 * ```
 *
 * @typeParam F The type of the futures.
 * @param fs Futures of any executors; duplicates count once.
 * @param options.timeout Longest wait in milliseconds, `>= 0`; 0 looks only.
 * @param options.returnWhen `ALL_COMPLETED` (default), `FIRST_COMPLETED` or `FIRST_EXCEPTION`.
 * @returns The futures that are done and those that are not.
 * @throws {DeadlockError} If only this thread could complete what is waited
 * for, and there is no `timeout`.
 * @throws {RangeError} If `timeout` is negative or `returnWhen` is unknown; at the call.
 * @throws {TypeError} If `fs` is no iterable, or an option has a wrong type; at the call.
 */
export function waitSync<F extends Future<unknown>>(
  fs: Iterable<F>,
  options?: { timeout?: number; returnWhen?: ReturnWhen },
): DoneAndNotDone<F> {
  const { timeout, returnWhen } = checkOptions(options);
  const ms = checkTimeout(timeout);
  const group = new Group(fs, checkReturnWhen(returnWhen));
  group.block(performance.now() + ms);
  return group.split();
}

/**
 * What `asCompleted` returns, for `for await` as well as `for`.
 *
 * @typeParam F The type of the futures.
 */
export interface CompletionIterator<F>
  extends AsyncIterableIterator<F>, Iterable<F> {}

/**
 * The same as `CompletionIterator`, under another name; see `Completions`.
 *
 * @typeParam F The type of the futures.
 */
export interface CompletionIteratorToo<F>
  extends AsyncIterableIterator<F>, Iterable<F> {}

/**
 * `CompletionIterator`, as TypeScript needs it told. From the second `for await`
 * over one type on, it takes the loop's variable for the awaited future, the
 * string and not the `Future<string>`; over a union of two it does not
 * (TypeScript 6.0.3, 2026-11).
 *
 * @typeParam F The type of the futures.
 */
export type Completions<F> = CompletionIterator<F> | CompletionIteratorToo<F>;

/**
 * Returns an iterator over the futures as they are done: `for await` waits,
 * `for` blocks. Those that are done already come first.
 *
 * Python: `concurrent.futures.as_completed(fs, timeout)`.
 *
 * @example In the order of completion
 * ```ts
 * import { asCompleted, Future } from "@concurrent/futures";
 * import { assertEquals } from "@std/assert";
 *
 * const first = new Future<string>(), second = new Future<string>();
 * second.setResult("b");
 * setTimeout(() => first.setResult("a"));
 * const seen: string[] = [];
 * for await (const future of asCompleted([first, second])) {
 *   seen.push(future.resultSync());
 * }
 * assertEquals(seen, ["b", "a"]);
 * ```
 *
 * @typeParam F The type of the futures.
 * @param fs Futures of any executors; duplicates count once.
 * @param options.timeout Longest time in milliseconds from this call on, `>= 0`.
 * @param options.signal Ends the iteration with the signal's reason.
 * @returns An iterator that can be used once, in either way.
 * @throws {TimeoutError} From the iteration, once `timeout` ms have passed since
 * the call with some not done: `1 (of 3) futures unfinished`.
 * @throws {RangeError} If `timeout` is negative; at the call.
 * @throws {TypeError} If `fs` is no iterable, or an option has a wrong type; at the call.
 */
export function asCompleted<F extends Future<unknown>>(
  fs: Iterable<F>,
  options?: { timeout?: number; signal?: AbortSignal },
): Completions<F> {
  const { timeout, signal } = checkOptions(options);
  return new AsCompleted(
    toSet(fs),
    performance.now() + checkTimeout(timeout),
    checkSignal(signal),
  );
}

/** Counts duplicates once. */
function toSet<F>(fs: Iterable<F>): Set<F> {
  if (typeof fs?.[Symbol.iterator] === "function") return new Set(fs);
  throw new TypeError(
    `Cannot wait as the futures must come in an iterable: received ${typeof fs}`,
  );
}

function checkReturnWhen(returnWhen: unknown): ReturnWhen {
  return checkChoice("returnWhen", returnWhen, [
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
  ]);
}

/** The futures of one wait. */
class Group<F extends Future<unknown>> {
  readonly #futures: Set<F>;
  readonly #returnWhen: ReturnWhen;
  readonly #open: Set<F> = new Set();
  /** Those of the open ones that only the event loop can complete. */
  readonly #manual: Set<object> = new Set();
  #failed = false;
  #onOver: (() => void) | undefined;

  constructor(fs: Iterable<F>, returnWhen: ReturnWhen) {
    this.#futures = toSet(fs);
    this.#returnWhen = returnWhen;
    // ORDER: all mail first. Taking it in settles any of the futures, and one
    // that is already among the open ones would never be seen to settle.
    for (const future of this.#futures) future.done();
    for (const future of this.#futures) {
      if (access.isSettled(future)) this.#failed ||= access.hasFailed(future);
      else {
        this.#open.add(future);
        if (!access.hasDriver(future)) this.#manual.add(future);
      }
    }
  }

  /** Whether what was waited for has come. */
  isOver(): boolean {
    if (this.#open.size === 0) return true;
    switch (this.#returnWhen) {
      case FIRST_COMPLETED:
        return this.#open.size < this.#futures.size;
      case FIRST_EXCEPTION:
        return this.#failed;
      case ALL_COMPLETED:
        return false;
    }
  }

  /** Takes in the outcomes that lie there. */
  takeIn(): void {
    for (const future of [...this.#open]) future.done();
  }

  split(): DoneAndNotDone<F> {
    const done = new Set<F>(), notDone = new Set<F>();
    for (const future of this.#futures) {
      (access.isSettled(future) ? done : notDone).add(future);
    }
    return { done, notDone };
  }

  /** Calls `onOver` as soon as `isOver()`. */
  watch(onOver: () => void): void {
    this.#onOver = onOver;
    for (const future of this.#open) access.watch(future, this.#onSettled);
  }

  unwatch(): void {
    for (const future of this.#open) access.unwatch(future, this.#onSettled);
  }

  /** Blocks until `isOver()` or `until`. */
  block(until: number): void {
    this.watch(() => {});
    try {
      const isStuck = () => until === Infinity && !this.#canGoOn();
      bell.block(until, () => this.isOver() || isStuck());
      if (!this.isOver() && isStuck()) {
        throw new DeadlockError(stuckMessage(this.#open.size));
      }
    } finally {
      this.unwatch();
    }
  }

  readonly #onSettled = (future: object) => {
    this.#open.delete(future as F);
    this.#manual.delete(future);
    this.#failed ||= access.hasFailed(future);
    if (this.isOver()) this.#onOver?.();
  };

  /** Whether workers could still bring the wait to its end. */
  #canGoOn(): boolean {
    return this.#returnWhen === ALL_COMPLETED
      ? this.#manual.size === 0
      : this.#manual.size < this.#open.size;
  }
}

function stuckMessage(count: number): string {
  return `Cannot block as only the event loop of this thread could complete what is waited for: await it, or give a timeout (futures not done: ${count})`;
}

/** The iterator of `asCompleted`. By hand: an async generator would await the futures that it yields. */
class AsCompleted<F extends Future<unknown>> implements CompletionIterator<F> {
  readonly #total: number;
  readonly #until: number;
  readonly #signal: AbortSignal | undefined;
  readonly #open = new Set<F>();
  /** Those of the open ones that only the event loop can complete. */
  readonly #manual: Set<object> = new Set();
  /** Done and not yielded yet: a set, as its first is removed at no cost. */
  readonly #ready = new Set<F>();
  /** Wakes the `next` that waits. */
  #wake: (() => void) | undefined;
  /** The last `next`, so that calls answer one after another. */
  #turn: Promise<unknown> = Promise.resolve();
  /** Counts the futures, where somebody follows. */
  #tally: Tally | undefined;

  static {
    progressAccess.followCompletions = (iterator) =>
      #tally in iterator ? iterator.#follow() : undefined;
  }

  constructor(
    futures: Set<F>,
    until: number,
    signal: AbortSignal | undefined,
  ) {
    this.#total = futures.size;
    this.#until = until;
    this.#signal = signal;
    for (const future of futures) future.done(); // takes in what lies there
    for (const future of futures) {
      if (access.isSettled(future)) this.#ready.add(future);
      else {
        this.#open.add(future);
        if (!access.hasDriver(future)) this.#manual.add(future);
        access.watch(future, this.#onSettled);
      }
    }
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  *[Symbol.iterator](): Generator<F> {
    try {
      while (this.#isOpen()) {
        this.#block();
        yield this.#take();
      }
    } finally {
      this.#close();
    }
  }

  next(): Promise<IteratorResult<F>> {
    const next = this.#turn.then(() => this.#next());
    this.#turn = next.catch(() => {});
    return next;
  }

  return(): Promise<IteratorResult<F>> {
    this.#close();
    return Promise.resolve({ done: true, value: undefined });
  }

  async #next(): Promise<IteratorResult<F>> {
    if (!this.#isOpen()) return { done: true, value: undefined };
    if (this.#ready.size === 0) await this.#wait();
    if (!this.#isOpen()) return { done: true, value: undefined };
    // A future is thenable: inside of a result object it is not awaited.
    return { done: false, value: this.#take() };
  }

  #isOpen(): boolean {
    return this.#ready.size + this.#open.size > 0;
  }

  #take(): F {
    for (const future of this.#ready) {
      this.#ready.delete(future);
      return future;
    }
    // This thread may have been busy for longer than the outcomes took.
    for (const future of [...this.#open]) {
      if (future.done() && this.#ready.size > 0) return this.#take();
    }
    const error = this.#signal?.aborted
      ? this.#signal.reason
      : new TimeoutError(
        `${this.#open.size} (of ${this.#total}) futures unfinished`,
      );
    this.#close();
    throw error;
  }

  /** Waits for a future to be done, the end of the time, or the signal. */
  async #wait(): Promise<void> {
    const ms = this.#until - performance.now();
    if (ms <= 0 || this.#signal?.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    this.#wake = wake;
    const timer = ms <= LONGEST_TIMER_MS ? setTimeout(wake, ms) : undefined;
    this.#signal?.addEventListener("abort", wake, { once: true });
    await promise;
    clearTimeout(timer);
    this.#signal?.removeEventListener("abort", wake);
    this.#wake = undefined;
  }

  #block(): void {
    if (this.#ready.size > 0) return;
    const isStuck = () =>
      this.#until === Infinity && this.#manual.size === this.#open.size;
    bell.block(
      this.#until,
      () => this.#ready.size > 0 || this.#signal?.aborted || isStuck(),
    );
    if (this.#signal?.aborted) return;
    if (this.#ready.size === 0 && isStuck()) {
      throw new DeadlockError(stuckMessage(this.#open.size));
    }
  }

  readonly #onSettled = (future: object) => {
    this.#open.delete(future as F);
    this.#manual.delete(future);
    this.#ready.add(future as F);
    this.#tally?.addFuture(future as F);
    this.#wake?.();
  };

  /** Counts the futures from now on; those that were yielded are done. */
  #follow(): Tally {
    const tally = new Tally(() => this.#total);
    tally.done = this.#total - this.#open.size - this.#ready.size;
    for (const future of this.#ready) tally.addFuture(future);
    return this.#tally = tally;
  }

  #close(): void {
    for (const future of this.#open) access.unwatch(future, this.#onSettled);
    this.#open.clear();
    this.#ready.clear();
    this.#wake?.();
  }
}
