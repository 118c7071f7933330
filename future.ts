/**
 * `Future`: the outcome of a call that may not have happened yet.
 *
 * ```ts
 * import { Future } from "@concurrent/futures/future";
 * import { assertEquals } from "@std/assert";
 *
 * const future = new Future<number>();
 * future.setResult(7);
 * assertEquals([future.done(), await future], [true, 7]);
 * ```
 *
 * @module
 */

import { bell } from "./_bell.ts";
import { access, type Driver, type Watcher } from "./_future_access.ts";
import {
  checkOptions,
  checkSignal,
  checkTimeout,
  LONGEST_TIMER_MS,
} from "./_options.ts";
import { REFUSAL } from "./_refusal.ts";
import {
  CancelledError,
  DeadlockError,
  InvalidStateError,
  TimeoutError,
} from "./errors.ts";

/** How long to wait for an outcome. */
export interface WaitOptions {
  /** Longest wait in milliseconds, `>= 0`; 0 does not wait. Default: no limit. */
  timeout?: number;
  /** Ends the wait with the signal's reason; the task goes on. */
  signal?: AbortSignal;
}

type State =
  | "pending"
  | "running"
  | "cancelled"
  | "cancelled and notified"
  | "finished";

/** Every legal step; any other throws `InvalidStateError`. */
const NEXT: Readonly<Record<State, readonly State[]>> = {
  // a worker took it | cancel() came first | set before it ran, as CPython allows
  pending: ["running", "cancelled", "finished"],
  // cancel() answers false: a worker has the call
  running: ["finished"],
  // the executor has noticed: wait() and asCompleted() count it as done
  cancelled: ["cancelled and notified"],
  "cancelled and notified": [],
  finished: [],
};

/**
 * Called with the future once it is done. The parameter is not `Future<T>`:
 * a `Future<string>` is to be a `Future<unknown>` too.
 */
type Listener = (future: never) => void;

/**
 * The outcome of a call that may not have happened yet.
 *
 * An executor makes one for each call. Wait for it with `await`, with a
 * callback, or by blocking (`resultSync`). A failed future that nobody looks
 * at stays silent.
 *
 * Python: `concurrent.futures.Future`. Differs: it is also a promise-like;
 * `result` and `exception` return promises, their blocking forms end in `Sync`.
 *
 * @example Three ways to wait
 * ```ts
 * import { ThreadPoolExecutor } from "@concurrent/futures";
 * import { assertEquals } from "@std/assert";
 *
 * using pool = new ThreadPoolExecutor();
 * const future = pool.submit(Math.pow, 2, 10);
 * future.addDoneCallback((f) => assertEquals(f.done(), true));
 * assertEquals(await future, 1024);
 * assertEquals(future.resultSync(), 1024);
 * ```
 *
 * @typeParam T What the call returns.
 */
export class Future<T> implements PromiseLike<T> {
  #state: State = "pending";
  /** INVARIANT: says how a finished future ended; meaningless in other states. */
  #failed = false;
  /** The value, the error, or why it was cancelled; set with the last step. */
  #outcome: unknown = undefined;
  /** Callbacks and promises, in the order they were added; emptied when done. */
  #listeners: Listener | Listener[] | undefined = undefined;
  /** Waits; told when settled, which for a cancelled future comes later. */
  #watchers: Set<Watcher> | undefined = undefined;
  /** The task behind it; absent where it was made by hand, and when done. */
  #driver: Driver | undefined = undefined;

  static {
    const inside = (future: object) => future as Future<unknown>;
    access.setDriver = (future, driver) => {
      inside(future).#driver = driver;
    };
    access.hasDriver = (future) => inside(future).#driver !== undefined;
    access.isSettled = (future) => inside(future).#isSettled();
    access.hasFailed = (future) => inside(future).#failed;
    access.cancelWith = (future, cause) => {
      if (!inside(future).#isDone()) inside(future).#endCancelled(cause);
    };
    access.finish = (future, outcome, hasFailed) => {
      if (!inside(future).#isDone()) inside(future).#finish(outcome, hasFailed);
    };
    access.watch = (future, watcher) => {
      (inside(future).#watchers ??= new Set()).add(watcher);
    };
    access.unwatch = (future, watcher) => {
      inside(future).#watchers?.delete(watcher);
    };
  }

  /**
   * Returns a future that follows a promise, for `wait` and `asCompleted`.
   *
   * It is running from the start, so it cannot be cancelled. This thread
   * cannot block on it: nothing could settle the promise meanwhile.
   *
   * Python: `asyncio.wrap_future` goes the other way.
   *
   * @example A fetch beside a pool's futures
   * ```ts
   * import { Future, wait } from "@concurrent/futures";
   * import { assertEquals } from "@std/assert";
   *
   * const { done } = await wait([Future.from(Promise.resolve(7))]);
   * for (const future of done) assertEquals(await future, 7);
   * ```
   *
   * @typeParam T What the promise resolves to.
   * @param promise A promise, or anything that has `then`.
   * @returns A future with the promise's outcome.
   */
  static from<T>(promise: PromiseLike<T>): Future<T> {
    const future = new Future<T>();
    future.setRunningOrNotifyCancel();
    Promise.resolve(promise).then(
      (value) => future.setResult(value),
      (error) => future.setException(error),
    );
    return future;
  }

  // ----------------------------------------------------------------- state

  /**
   * Cancels the call, unless a worker has started it.
   *
   * Python: `Future.cancel()`.
   *
   * @example Before and after
   * ```ts
   * import { Future } from "@concurrent/futures";
   * import { assertEquals } from "@std/assert";
   *
   * const future = new Future<number>();
   * assertEquals(future.cancel(), true);
   * assertEquals(future.cancelled(), true);
   * ```
   *
   * @returns `false` once the call runs or is finished; `true` if it is
   * cancelled, now or before.
   */
  cancel(): boolean {
    if (
      this.#state === "cancelled" || this.#state === "cancelled and notified"
    ) {
      return true;
    }
    if (this.#state !== "pending") return false;
    const driver = this.#driver;
    if (driver === undefined) {
      this.#move("cancelled");
      this.#tellListeners();
      return true;
    }
    if (!driver.cancel()) return false;
    this.#endCancelled(undefined);
    return true;
  }

  /** Tells whether the call was cancelled. Python: `Future.cancelled()`. */
  cancelled(): boolean {
    return this.#state === "cancelled" ||
      this.#state === "cancelled and notified";
  }

  /**
   * Tells whether a worker has started the call and not ended it. Python:
   * `Future.running()`.
   */
  running(): boolean {
    return this.#state === "running" ||
      (this.#state === "pending" && this.#driver !== undefined &&
        this.#driver.isRunning());
  }

  /** Tells whether the call is cancelled or finished. Python: `Future.done()`. */
  done(): boolean {
    // An outcome that lies there counts, so that a loop over done() sees it.
    if (this.#state === "pending" && this.#driver?.isReady()) {
      bell.block(0, () => this.#isDone());
    }
    return this.#isDone();
  }

  // --------------------------------------------------------------- waiting

  /**
   * Resolves with the value of the call, once it is there.
   *
   * Running out of time, or a signal, does not touch the call: ask again, or
   * `cancel()`.
   *
   * Python: `Future.result(timeout)`. Differs: milliseconds, and a promise.
   *
   * @example Give up early
   * ```ts
   * import { Future, TimeoutError } from "@concurrent/futures";
   * import { assertEquals, assertRejects } from "@std/assert";
   *
   * const future = new Future<string>();
   * await assertRejects(() => future.result({ timeout: 1 }), TimeoutError);
   * future.setResult("late");
   * assertEquals(await future.result(), "late");
   * ```
   *
   * @param options.timeout Longest wait in milliseconds, `>= 0`; 0 does not wait.
   * @param options.signal Ends the wait with the signal's reason.
   * @returns What the call returned.
   * @throws {TimeoutError} If the call is not done after `timeout` ms.
   * @throws {CancelledError} If the call was cancelled.
   * @throws {RangeError} If `timeout` is negative; at the call, not in the promise.
   * @throws {TypeError} If an option has a wrong type; at the call, not in the promise.
   */
  result(options?: WaitOptions): Promise<T> {
    if (options === undefined && !this.#poll()) {
      return new Promise((resolve, reject) => {
        this.#listen(() =>
          this.#state === "finished" && !this.#failed
            ? resolve(this.#outcome as T)
            : reject(this.#error())
        );
      });
    }
    return this.#wait(options, () => this.#value());
  }

  /**
   * Resolves with what the call threw, `null` where it returned.
   *
   * Python: `Future.exception(timeout)`. Differs: milliseconds, and a promise.
   *
   * @example Looking without throwing
   * ```ts
   * import { Future } from "@concurrent/futures";
   * import { assertEquals } from "@std/assert";
   *
   * const future = new Future<string>();
   * future.setException(new RangeError("too far"));
   * assertEquals(String(await future.exception()), "RangeError: too far");
   * ```
   *
   * @param options.timeout Longest wait in milliseconds, `>= 0`; 0 does not wait.
   * @param options.signal Ends the wait with the signal's reason.
   * @returns What the call threw, or `null`.
   * @throws {TimeoutError} If the call is not done after `timeout` ms.
   * @throws {CancelledError} If the call was cancelled.
   * @throws {RangeError} If `timeout` is negative; at the call, not in the promise.
   * @throws {TypeError} If an option has a wrong type; at the call, not in the promise.
   */
  exception(options?: WaitOptions): Promise<unknown> {
    return this.#wait(options, () => this.#exception());
  }

  /**
   * Blocks this thread until the call is done, and returns its value.
   *
   * Python: `Future.result(timeout)`.
   *
   * @example No await
   * ```ts
   * import { ThreadPoolExecutor } from "@concurrent/futures";
   * import { assertEquals } from "@std/assert";
   *
   * using pool = new ThreadPoolExecutor();
   * assertEquals(pool.submit(Math.sqrt, 81).resultSync(), 9);
   * ```
   *
   * @param options.timeout Longest wait in milliseconds, `>= 0`; 0 does not wait.
   * @returns What the call returned.
   * @throws {TimeoutError} If the call is not done after `timeout` ms.
   * @throws {CancelledError} If the call was cancelled.
   * @throws {DeadlockError} If only this thread could complete the future, and
   * there is no `timeout`.
   * @throws {RangeError} If `timeout` is negative.
   * @throws {TypeError} If `timeout` is no number.
   */
  resultSync(options?: { timeout?: number }): T {
    this.#block(options);
    return this.#value();
  }

  /**
   * Blocks this thread until the call is done, and returns what it threw,
   * `null` where it returned.
   *
   * Python: `Future.exception(timeout)`.
   *
   * @example No await
   * ```ts
   * import { ThreadPoolExecutor } from "@concurrent/futures";
   * import { assertEquals } from "@std/assert";
   *
   * using pool = new ThreadPoolExecutor();
   * assertEquals(pool.submit(Math.sqrt, 81).exceptionSync(), null);
   * ```
   *
   * @param options.timeout Longest wait in milliseconds, `>= 0`; 0 does not wait.
   * @returns What the call threw, or `null`.
   * @throws {TimeoutError} If the call is not done after `timeout` ms.
   * @throws {CancelledError} If the call was cancelled.
   * @throws {DeadlockError} If only this thread could complete the future, and
   * there is no `timeout`.
   * @throws {RangeError} If `timeout` is negative.
   * @throws {TypeError} If `timeout` is no number.
   */
  exceptionSync(options?: { timeout?: number }): unknown {
    this.#block(options);
    return this.#exception();
  }

  /**
   * Calls `fn` with the future as soon as it is done, at once where it already
   * is. Callbacks run in the order they were added; one that throws is reported
   * on `console.error`.
   *
   * Python: `Future.add_done_callback(fn)`.
   *
   * @example Following up
   * ```ts
   * import { Future } from "@concurrent/futures";
   * import { assertEquals } from "@std/assert";
   *
   * const future = new Future<number>();
   * const seen: number[] = [];
   * future.addDoneCallback((f) => seen.push(f.resultSync()));
   * future.setResult(3);
   * assertEquals(seen, [3]);
   * ```
   *
   * @param fn Called with this future.
   * @throws {TypeError} If `fn` is no function.
   */
  addDoneCallback(fn: (future: Future<T>) => void): void {
    if (typeof fn !== "function") {
      throw new TypeError(
        `Cannot add a done callback as it must be a function: received ${typeof fn}`,
      );
    }
    if (this.#isDone()) this.#call(fn);
    else this.#listen(fn);
  }

  /** Waits as `result()` does: what `await future` calls. Python: none. */
  then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.result().then(onFulfilled, onRejected);
  }

  /** Handles a failure, as a promise's `catch` does. Python: none. */
  catch<B = never>(
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<T | B> {
    return this.result().catch(onRejected);
  }

  /** Runs `onFinally` when done, as a promise's `finally` does. Python: none. */
  finally(onFinally?: (() => void) | null): Promise<T> {
    return this.result().finally(onFinally);
  }

  // --------------------------------------------- for executors and tests

  /**
   * Marks the call as running, unless it was cancelled. For executors and
   * tests: to be called once, before the call is run.
   *
   * Python: `Future.set_running_or_notify_cancel()`.
   *
   * @returns Whether the call is to be run.
   * @throws {InvalidStateError} If the call runs or is done already.
   */
  setRunningOrNotifyCancel(): boolean {
    if (this.#state === "cancelled") {
      this.#move("cancelled and notified");
      this.#tellWatchers();
      return false;
    }
    this.#move("running");
    return true;
  }

  /**
   * Ends the call with a value. For executors and tests.
   *
   * Python: `Future.set_result(result)`.
   *
   * @param value What the call returned.
   * @throws {InvalidStateError} If the future is done.
   */
  setResult(value: T): void {
    this.#finish(value, false);
  }

  /**
   * Ends the call with what it threw. For executors and tests.
   *
   * Python: `Future.set_exception(exception)`.
   *
   * @param error What the call threw.
   * @throws {InvalidStateError} If the future is done.
   */
  setException(error: unknown): void {
    this.#finish(error, true);
  }

  // ----------------------------------------------------------- appearance

  /** Says the state and the type of the outcome. Python: `repr(future)`. */
  [Symbol.for("Deno.customInspect")](): string {
    return `Future { ${this.#describe()} }`;
  }

  /** The same for Node's `util.inspect`. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `Future { ${this.#describe()} }`;
  }

  /** Names the class to `Object.prototype.toString`. */
  get [Symbol.toStringTag](): string {
    return "Future";
  }

  /** Why a future is no argument and no result. */
  get [REFUSAL](): string {
    return "is a Future, which stays with its pool, as a task that waits for its own pool would never end: wait for it here, and send what it gives";
  }

  // -------------------------------------------------------------- private

  #describe(): string {
    if (this.cancelled()) return "cancelled";
    if (this.#state !== "finished") {
      return this.running() ? "running" : "pending";
    }
    const type = typeName(this.#outcome);
    return `finished, ${this.#failed ? "raised" : "returned"} ${type}`;
  }

  #isDone(): boolean {
    return this.#state !== "pending" && this.#state !== "running";
  }

  /** As `#isDone`, once an outcome that lies there is taken in. */
  #poll(): boolean {
    if (this.#state === "pending" && this.#driver?.isReady()) bell.poll();
    return this.#isDone();
  }

  #isSettled(): boolean {
    return this.#state === "finished" ||
      this.#state === "cancelled and notified";
  }

  #move(to: State): void {
    if (!NEXT[this.#state].includes(to)) {
      throw new InvalidStateError(
        `Cannot make the future ${to} as its state must allow it: current state is "${this.#state}"`,
      );
    }
    this.#state = to;
  }

  #finish(outcome: unknown, failed: boolean): void {
    this.#move("finished");
    this.#outcome = outcome;
    this.#failed = failed;
    this.#driver = undefined;
    this.#tellListeners();
    this.#tellWatchers();
  }

  #endCancelled(cause: unknown): void {
    this.#move("cancelled");
    this.#move("cancelled and notified"); // its pool has noticed
    this.#outcome = cause;
    this.#driver = undefined;
    this.#tellListeners();
    this.#tellWatchers();
  }

  #listen(listener: Listener): void {
    const listeners = this.#listeners;
    if (listeners === undefined) this.#listeners = listener;
    else if (Array.isArray(listeners)) listeners.push(listener);
    else this.#listeners = [listeners, listener];
  }

  #unlisten(listener: Listener): void {
    const listeners = this.#listeners;
    this.#listeners = Array.isArray(listeners)
      ? listeners.filter((other) => other !== listener)
      : listeners === listener
      ? undefined
      : listeners;
  }

  #tellListeners(): void {
    const listeners = this.#listeners;
    this.#listeners = undefined;
    if (typeof listeners === "function") this.#call(listeners);
    else listeners?.forEach((listener) => this.#call(listener));
  }

  #tellWatchers(): void {
    const watchers = this.#watchers;
    this.#watchers = undefined;
    watchers?.forEach((watcher) => watcher(this));
  }

  #call(fn: Listener): void {
    try {
      (fn as (future: Future<T>) => void)(this);
    } catch (error) {
      // deno-lint-ignore no-console -- Python logs it: nobody is there to catch it
      console.error("Cannot let a done callback of a Future throw:", error);
    }
  }

  #value(): T {
    if (this.#state === "finished" && !this.#failed) return this.#outcome as T;
    throw this.#error();
  }

  #exception(): unknown {
    if (this.#state !== "finished") throw this.#error();
    return this.#failed ? this.#outcome : null;
  }

  #error(): unknown {
    if (this.#state === "finished") return this.#outcome;
    return new CancelledError(
      "Cannot get the outcome of the call as the future was cancelled",
      this.#outcome === undefined ? undefined : { cause: this.#outcome },
    );
  }

  /** Waits until done, then resolves with what `read` returns. */
  #wait<V>(options: WaitOptions | undefined, read: () => V): Promise<V> {
    const { timeout, signal } = checkOptions(options);
    const ms = checkTimeout(timeout);
    checkSignal(signal);
    return new Promise((resolve, reject) => {
      if (this.done()) return settle();
      if (signal?.aborted) return reject(signal.reason);
      if (ms === 0) return reject(this.#timeoutError(ms));
      const timer = ms <= LONGEST_TIMER_MS
        ? setTimeout(() => giveUp(this.#timeoutError(ms)), ms)
        : undefined;
      const onAbort = () => giveUp(signal!.reason);
      signal?.addEventListener("abort", onAbort, { once: true });
      const listener = () => {
        release();
        settle();
      };
      this.#listen(listener);
      const release = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      };
      const giveUp = (reason: unknown) => {
        // This thread may have been busy for longer than the outcome took.
        if (this.done()) return;
        release();
        this.#unlisten(listener);
        reject(reason);
      };

      function settle() {
        try {
          resolve(read());
        } catch (error) {
          reject(error);
        }
      }
    });
  }

  #block(options: { timeout?: number } | undefined): void {
    const ms = checkTimeout(checkOptions(options).timeout);
    if (this.#isDone()) return;
    if (this.#driver === undefined && ms === Infinity) {
      throw new DeadlockError(
        "Cannot block on this future as only the event loop of this thread could complete it: await it, or give a timeout",
      );
    }
    bell.block(performance.now() + ms, () => this.#isDone());
    if (!this.#isDone()) throw this.#timeoutError(ms);
  }

  #timeoutError(ms: number): TimeoutError {
    return new TimeoutError(
      `Cannot get the outcome of the call within ${ms} ms as it is ${
        this.running() ? "still running" : "not started yet"
      }: wait longer, or cancel it`,
    );
  }
}

/** Names the type of an outcome: the class of an object, else `typeof`. */
function typeName(value: unknown): string {
  if (value === null) return "null";
  if (typeof value !== "object") return typeof value;
  try {
    return String(value.constructor?.name || "object");
  } catch {
    return "object"; // a revoked proxy, a getter that throws
  }
}
