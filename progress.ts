/**
 * `progress`: a bar in the terminal for `map`, `asCompleted`, and whatever else
 * is gone through.
 *
 * A module of its own: who does not import it loads nothing of cli-progress.
 *
 * ```ts
 * import { ThreadPoolExecutor } from "@concurrent/futures";
 * import { progress } from "@concurrent/futures/progress";
 * import { assertEquals } from "@std/assert";
 *
 * await using pool = new ThreadPoolExecutor();
 * let sum = 0;
 * for await (const root of progress(pool.map(Math.sqrt, [1, 4, 9]))) sum += root;
 * assertEquals(sum, 6);
 * ```
 *
 * @module
 */

import { checkCount, checkOptions, checkString } from "./_options.ts";
import { progressAccess } from "./_progress_access.ts";
import { type BarOptions, ProgressBar } from "./_progress_bar.ts";
import { sizeOf } from "./_size.ts";
import { Tally } from "./_tally.ts";
import type { MapResults } from "./executor.ts";
import type { Future } from "./future.ts";
import type { Completions } from "./wait.ts";

/** Options of `progress`. */
export interface ProgressOptions {
  /** How many there will be, `>= 0`; goes before what is known otherwise. */
  total?: number;
  /** What stands before the bar. */
  label?: string;
}

/**
 * Returns an iterator over the same values that shows in a terminal how far
 * they are: done, failed, rate, time, time left.
 *
 * ```text
 * hash ██████████████████░░░░░░░░░░░░  60% | 6/10 done | 1 failed | 2.0/s | 3s | ETA 2s
 * ```
 *
 * The bar is drawn on stderr from the first `next` on, and left there at the
 * end, whichever that is. Where stderr is no terminal, nothing is written.
 * Values, order, errors, and what stopping early does stay as they are.
 *
 * What is counted: of `map` the calls, also in chunks, when they complete and
 * not when they are consumed; of `asCompleted` the futures; of anything else
 * the items whose successors were asked for. Failed and cancelled ones are done,
 * too. `total` is known for arrays, typed arrays, maps and sets, for `asCompleted`, and
 * for `map` of such, or once it has taken in its input. Without it there is no
 * bar, no percentage and no time left, only the counts.
 *
 * The rate is the mean since this call. While a `for` loop blocks, the bar moves
 * when something completes. Lines that are printed to the same terminal begin
 * where the bar ends; it is drawn anew below them. Follow one at a time: two
 * bars would share a line.
 *
 * Python: `tqdm(iterable, desc, total)`; with `map` it is
 * `tqdm.contrib.concurrent.thread_map` or `process_map`. Differs: wraps the
 * iterator, so pool and chunks stay yours; counts what failed; shows nothing
 * where there is no terminal.
 *
 * @example In one line
 * ```ts
 * import { asCompleted, ThreadPoolExecutor } from "@concurrent/futures";
 * import { progress } from "@concurrent/futures/progress";
 * import { assertEquals } from "@std/assert";
 *
 * using pool = new ThreadPoolExecutor();
 * const roots: number[] = [];
 * for (const root of progress(pool.map(Math.sqrt, [1, 4]), { label: "root" })) {
 *   roots.push(root);
 * }
 * const futures = [9, 16].map((n) => pool.submit(Math.sqrt, n));
 * for await (const future of progress(asCompleted(futures))) {
 *   roots.push(future.resultSync());
 * }
 * assertEquals(roots.toSorted(), [1, 2, 3, 4]);
 * ```
 *
 * @example Anything that is gone through
 * ```ts
 * import { progress } from "@concurrent/futures/progress";
 * import { assertEquals } from "@std/assert";
 *
 * function* countDown() {
 *   for (let n = 3; n > 0; n--) yield n;
 * }
 * const seen: number[] = [];
 * for (const n of progress(countDown(), { total: 3 })) seen.push(n);
 * assertEquals(seen, [3, 2, 1]);
 * ```
 *
 * @typeParam R What a call returns.
 * @param source What `map` or `asCompleted` returned, or any iterable.
 * @param options.total How many there will be, `>= 0`. Default: what is known.
 * @param options.label What stands before the bar. Default: nothing.
 * @returns An iterator that can be used once, in either way; for an iterable
 * that is not asynchronous, one that can be used as often as that.
 * @throws {TypeError} If `source` is no iterable, or an option has a wrong type.
 * @throws {RangeError} If `total` is negative or not whole.
 */
export function progress<R>(
  source: MapResults<R>,
  options?: ProgressOptions,
): AsyncIterableIterator<R> & Iterable<R>;
/** The same for `asCompleted`: yields the futures. */
export function progress<F extends Future<unknown>>(
  source: Completions<F>,
  options?: ProgressOptions,
): Completions<F>;
/** The same for what `for await` goes through. */
export function progress<T>(
  source: AsyncIterable<T>,
  options?: ProgressOptions,
): AsyncIterableIterator<T>;
/** The same for what `for` goes through. */
export function progress<T>(
  source: Iterable<T>,
  options?: ProgressOptions,
): Iterable<T>;
export function progress(
  source: unknown,
  options?: ProgressOptions,
): unknown {
  const shown = checkProgressOptions(options);
  const isShown = Deno.stderr.isTerminal();
  if (isAsync(source)) {
    if (!isShown && has(source, "next")) return source;
    const watch = isShown ? watchAsync(source, shown) : undefined;
    return isSync(source)
      ? new WatchedBoth(source, watch)
      : new WatchedAsync(source, watch);
  }
  if (!isSync(source)) {
    throw new TypeError(
      `Cannot show progress as the source must be iterable: received ${
        source === null ? "null" : typeof source
      }`,
    );
  }
  if (!isShown) return source;
  return {
    [Symbol.iterator]: () => iterate(source, watchItems(source, shown)),
  };
}

function checkProgressOptions(options?: ProgressOptions): BarOptions {
  const { total, label } = checkOptions(options);
  return {
    total: checkCount("total", total, 0),
    label: checkString("label", label)?.replace(/\p{Cc}/gu, " "),
  };
}

/** Watches an iterator of this module, which counts by itself, or any other. */
function watchAsync(source: AsyncIterable<unknown>, shown: BarOptions): Watch {
  const tally = progressAccess.followMap?.(source) ??
    progressAccess.followCompletions?.(source);
  return tally
    ? new Watch(new ProgressBar(tally, shown))
    : watchItems(source, shown);
}

function watchItems(source: unknown, shown: BarOptions): Watch {
  const items = new Tally(() => isSync(source) ? sizeOf(source) : undefined);
  return new Watch(new ProgressBar(items, shown), items);
}

/** What an iteration tells its bar. */
class Watch {
  readonly #bar: ProgressBar;
  /** The items that were asked for, where the source does not count by itself. */
  readonly #items: Tally | undefined;
  #given = 0;

  constructor(bar: ProgressBar, items?: Tally) {
    this.#bar = bar;
    this.#items = items;
  }

  /** The consumer asks for an item, so it is done with those before. */
  ask(): void {
    this.#bar.start();
    this.#countGiven();
    this.#bar.refresh();
  }

  /** An item was given. */
  give(): void {
    this.#given++;
  }

  /** There are no more items. */
  finish(): void {
    this.#countGiven();
    this.#bar.stop();
  }

  /** The iteration is over, perhaps before its end. */
  end(): void {
    this.#bar.stop();
  }

  #countGiven(): void {
    const items = this.#items;
    if (items && items.done < this.#given) items.add(this.#given - items.done);
  }
}

function* iterate<T>(
  source: Iterable<T>,
  watch: Watch | undefined,
): Generator<T, undefined> {
  try {
    watch?.ask();
    for (const item of source) {
      watch?.give();
      yield item;
      watch?.ask();
    }
    watch?.finish();
  } finally {
    watch?.end();
  }
}

/** By hand: an async generator would await futures that it yields. */
class WatchedAsync<T> implements AsyncIterableIterator<T> {
  readonly #source: AsyncIterable<T>;
  #opened: AsyncIterator<T> | undefined;
  protected readonly watch: Watch | undefined;

  constructor(source: AsyncIterable<T>, watch: Watch | undefined) {
    this.#source = source;
    this.watch = watch;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<T>> {
    try {
      this.watch?.ask();
      const result = await this.#iterator().next();
      if (result.done) this.watch?.finish();
      else this.watch?.give();
      return result;
    } catch (error) {
      this.watch?.end();
      throw error;
    }
  }

  async return(value?: unknown): Promise<IteratorResult<T>> {
    this.watch?.end();
    return await this.#iterator().return?.(value) ?? { done: true, value };
  }

  #iterator(): AsyncIterator<T> {
    return this.#opened ??= this.#source[Symbol.asyncIterator]();
  }
}

/** The same over what can be gone through in both ways. */
class WatchedBoth<T> extends WatchedAsync<T> implements Iterable<T> {
  readonly #source: Iterable<T>;

  constructor(
    source: AsyncIterable<T> & Iterable<T>,
    watch: Watch | undefined,
  ) {
    super(source, watch);
    this.#source = source;
  }

  [Symbol.iterator](): Generator<T, undefined> {
    return iterate(this.#source, this.watch);
  }
}

function isAsync(source: unknown): source is AsyncIterable<unknown> {
  return has(source, Symbol.asyncIterator);
}

function isSync(source: unknown): source is Iterable<unknown> {
  return has(source, Symbol.iterator);
}

/** Whether a value has a method of that name. */
function has(value: unknown, name: PropertyKey): boolean {
  return value !== undefined && value !== null &&
    typeof (value as Record<PropertyKey, unknown>)[name] === "function";
}
