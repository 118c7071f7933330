/**
 * The iterator that `map` returns.
 *
 * @module
 */

import { access } from "./_future_access.ts";
import { progressAccess } from "./_progress_access.ts";
import { REFUSAL } from "./_refusal.ts";
import { Tally } from "./_tally.ts";
import { TimeoutError } from "./errors.ts";
import type { Future } from "./future.ts";

/** How a `map` call is carried out; made by `Executor.map`. */
export type MapPlan<R> = CallPlan<R> | ChunkPlan<R>;

interface PlanBase {
  /** How many tasks to send ahead of the consumer. */
  readonly bufferSize: number;
  /** Longest time from now to any value. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** How many calls make up a task; the last may have fewer. */
  readonly chunkSize: number;
  /** How many calls were submitted, and how many there will be: for progress. */
  readonly calls: {
    readonly taken: number;
    readonly total: number | undefined;
  };
  /** Takes leave of the iterables. */
  end(): void;
}

/** A task a call. */
interface CallPlan<R> extends PlanBase {
  readonly isChunked: false;
  /** Schedules the next task; `undefined` where none is left. */
  submitNext(): Future<R> | undefined;
}

/** A task for several calls. */
interface ChunkPlan<R> extends PlanBase {
  readonly isChunked: true;
  /** Schedules the next task; `undefined` where none is left. */
  submitNext(): Future<ChunkOutcome<R>> | undefined;
}

/**
 * The outcome of a chunk: the values, up to a call that failed.
 *
 * @typeParam R What a call returns.
 */
export interface ChunkOutcome<R> {
  /** The values in order. */
  readonly values: R[];
  /** What the next call threw, in a list of one; absent where none did. */
  readonly thrown?: [error: unknown];
}

/**
 * The values of a `map` call, in the order of its input: `for await` waits for
 * each, `for` blocks. It can be gone through once, in either way.
 *
 * Stopping early cancels what has not started, as does an error.
 *
 * Python: the iterator that `Executor.map` returns.
 *
 * @example Stop at the first that fits
 * ```ts
 * import { ThreadPoolExecutor } from "@concurrent/futures";
 * import { assertEquals } from "@std/assert";
 *
 * using pool = new ThreadPoolExecutor({ maxWorkers: 1 });
 * let found = 0;
 * for (const root of pool.map(Math.sqrt, [1, 4, 9, 16, 25])) {
 *   found = root;
 *   if (root > 2) break;
 * }
 * assertEquals(found, 3);
 * ```
 *
 * @typeParam R What a call returns.
 */
export class MapResults<R> implements AsyncIterableIterator<R>, Iterable<R> {
  #plan: MapPlan<R>;
  readonly #until: number;
  /** Tasks sent and not consumed, from `#head` on. */
  #tasks: Future<unknown>[] = [];
  #head = 0;
  /** Values of the task that is being consumed, from `#at` on. */
  #values: readonly R[] = [];
  #at = 0;
  /** What the call after the last of `#values` threw. */
  #thrown: [error: unknown] | undefined;
  #isOver = false;
  /** How many `next` calls have not been answered: each waits for the one before. */
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  static {
    progressAccess.followMap = (iterator) =>
      #plan in iterator ? iterator.#follow() : undefined;
  }

  /** For executors: `map` makes it. */
  constructor(plan: MapPlan<R>) {
    this.#plan = plan;
    this.#until = performance.now() + plan.timeoutMs;
    while (this.#tasks.length < plan.bufferSize && this.#sendOne());
  }

  /** Returns this iterator. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Returns an iterator that blocks until the next value is there. */
  *[Symbol.iterator](): Generator<R, undefined> {
    try {
      for (;;) {
        const values = this.#takeValues();
        if (values) yield* values;
        if (!this.#hasMore()) return;
        this.#takeInSync();
      }
    } finally {
      this.#close();
    }
  }

  /**
   * Resolves with the next value.
   *
   * @throws What the call threw; the iterator then ends.
   * @throws {TimeoutError} If the value is not there in time.
   */
  next(): Promise<IteratorResult<R, undefined>> {
    // Counted rather than told by `#last`, which settles a moment too late: a
    // `for await` would then never get here, and take three times as long.
    if (this.#waiting === 0 && this.#at < this.#values.length) {
      return Promise.resolve({ done: false, value: this.#values[this.#at++] });
    }
    const answer = this.#waiting++ === 0
      ? this.#next()
      : this.#last.then(() => this.#next());
    this.#last = answer.catch(ignore);
    return answer;
  }

  /** Ends the iteration and cancels what has not started. */
  return(): Promise<IteratorResult<R, undefined>> {
    this.#close();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Why it is no argument and no result. */
  get [REFUSAL](): string {
    return "is the iterator of a map call: collect its values first";
  }

  async #next(): Promise<IteratorResult<R, undefined>> {
    try {
      while (this.#at >= this.#values.length) {
        if (!this.#hasMore()) return { done: true, value: undefined };
        await this.#takeIn();
      }
      return { done: false, value: this.#values[this.#at++] };
    } finally {
      this.#waiting--;
    }
  }

  /** The values at hand, which the caller then owns. */
  #takeValues(): readonly R[] | undefined {
    if (this.#at >= this.#values.length) return undefined;
    const values = this.#at === 0 ? this.#values : this.#values.slice(this.#at);
    this.#values = [];
    this.#at = 0;
    return values;
  }

  /** Whether values can come; throws what the next call threw. */
  #hasMore(): boolean {
    if (this.#thrown !== undefined) {
      const [error] = this.#thrown;
      this.#close();
      throw error;
    }
    if (!this.#isOver && this.#head < this.#tasks.length) return true;
    this.#close();
    return false;
  }

  async #takeIn(): Promise<void> {
    const { signal } = this.#plan;
    try {
      const task = this.#tasks[this.#head];
      const timeout = this.#remaining();
      const isPatient = timeout === Infinity && signal === undefined;
      this.#consume(
        await (isPatient ? task.result() : task.result({ timeout, signal })),
      );
    } catch (error) {
      // The iteration may have been ended while this outcome was waited for.
      if (!this.#isOver) throw this.#fail(error);
    }
  }

  #takeInSync(): void {
    try {
      const timeout = this.#remaining();
      this.#consume(this.#tasks[this.#head].resultSync({ timeout }));
    } catch (error) {
      throw this.#fail(error);
    }
  }

  #remaining(): number {
    return Math.max(0, this.#until - performance.now());
  }

  /** Takes the outcome of the first task, lets go of it, and sends another. */
  #consume(outcome: unknown): void {
    // The iteration may have been ended while this outcome was waited for.
    if (this.#isOver) return;
    this.#drop();
    this.#sendOne();
    if (this.#plan.isChunked) {
      const { values, thrown } = outcome as ChunkOutcome<R>;
      this.#values = values;
      this.#thrown = thrown;
    } else this.#values = [outcome as R];
    this.#at = 0;
  }

  /** Forgets the first task, and now and then the places of those forgotten. */
  #drop(): void {
    this.#tasks[this.#head++] = undefined!;
    if (this.#head > 1024 && this.#head * 2 > this.#tasks.length) {
      this.#tasks = this.#tasks.slice(this.#head);
      this.#head = 0;
    }
  }

  #sendOne(): boolean {
    const task = this.#plan.submitNext();
    if (task === undefined) return false;
    this.#tasks.push(task);
    return true;
  }

  /** Ends the iteration; returns the error that the consumer is to see. */
  #fail(error: unknown): unknown {
    const { signal, timeoutMs } = this.#plan;
    const isLate = error instanceof TimeoutError &&
      !this.#tasks[this.#head]?.done();
    this.#close();
    if (signal?.aborted) return signal.reason;
    return isLate
      ? new TimeoutError(
        `Cannot get the next value of map as it was not there within ${timeoutMs} ms of the call: allow more time`,
      )
      : error;
  }

  /** Counts the calls from now on; those whose outcomes were consumed are done. */
  #follow(): Tally {
    const plan = this.#plan;
    const tally = new Tally(() => plan.calls.total);
    const open = this.#tasks.slice(this.#head);
    const sent = Math.ceil(plan.calls.taken / plan.chunkSize);
    const consumed = (sent - open.length) * plan.chunkSize;
    tally.done = Math.min(consumed, plan.calls.taken);
    let left = plan.calls.taken - tally.done;
    for (const task of open) {
      this.#count(task, Math.min(left, plan.chunkSize), tally);
      left -= plan.chunkSize;
    }
    this.#plan = this.#countNext(plan, tally);
    return tally;
  }

  /** The plan, with its tasks counted as they are sent. */
  #countNext(plan: MapPlan<R>, tally: Tally): MapPlan<R> {
    const submitNext = () => {
      const before = plan.calls.taken;
      const task = plan.submitNext();
      if (task) this.#count(task, plan.calls.taken - before, tally);
      return task;
    };
    return { ...plan, submitNext } as MapPlan<R>;
  }

  /** Counts the calls of a task once it is done. */
  #count(task: Future<unknown>, calls: number, tally: Tally): void {
    task.addDoneCallback(() => {
      // What is cancelled as the iteration ends early tells nobody anything.
      if (this.#isOver) return;
      const chunk = this.#plan.isChunked && chunkOf(task);
      if (!chunk) return tally.addFuture(task, calls);
      // The calls after one that failed are never made.
      const failed = chunk.thrown === undefined ? 0 : 1;
      tally.add(chunk.values.length + failed, failed);
    });
  }

  #close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#plan.end();
    const left = this.#tasks.slice(this.#head);
    this.#tasks = [];
    this.#head = 0;
    this.#values = [];
    this.#at = 0;
    this.#thrown = undefined;
    for (const task of left) task.cancel();
  }
}

/** The outcome of a chunk that is done; `undefined` where it failed as a whole. */
function chunkOf(task: Future<unknown>): ChunkOutcome<unknown> | undefined {
  if (task.cancelled() || access.hasFailed(task)) return undefined;
  return task.resultSync() as ChunkOutcome<unknown>;
}

function ignore(): void {}
