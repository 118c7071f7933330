/**
 * The rows that `map` makes of its iterables: one item of each, up to the end
 * of the shortest. Python: `zip`.
 *
 * @module
 */

import { sizeOf } from "./_size.ts";

/** Takes rows, one by one or many at a time as columns. */
export class Rows {
  readonly #sources: Source[];
  readonly #areArrays: boolean;
  /** How many rows there were to be; `undefined` where an iterable does not tell. */
  readonly #size: number | undefined;
  #taken = 0;
  #isOver = false;
  /** Whether the rows came to their end, and were not left before it. */
  #isExhausted = false;

  constructor(iterables: readonly Iterable<unknown>[]) {
    this.#sources = iterables.map((iterable) =>
      isPlainArray(iterable)
        ? new ArraySource(iterable)
        : new IteratorSource(iterable)
    );
    this.#areArrays = iterables.every(isPlainArray);
    this.#size = shortest(iterables.map(sizeOf));
    this.#isOver = this.#isExhausted = iterables.length === 0;
  }

  /** How many rows have been taken. */
  get taken(): number {
    return this.#taken;
  }

  /** How many rows there are in all; `undefined` while that is not known. */
  get total(): number | undefined {
    return this.#isExhausted ? this.#taken : this.#size;
  }

  /** Takes one row; `undefined` where none is left. */
  take(): unknown[] | undefined {
    const columns = this.takeColumns(1);
    return columns?.map((column) => column[0]);
  }

  /** Takes leave of the iterables. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const source of this.#sources) source.end();
  }

  /** Takes up to `size` rows as one array a column; `undefined` where none is left. */
  takeColumns(size: number): unknown[][] | undefined {
    if (this.#isOver) return undefined;
    const columns = this.#areArrays
      ? this.#cut(size)
      : this.#pull(size, this.#sources.map(() => []));
    const rows = columns[0].length;
    this.#taken += rows;
    if (rows < size) {
      this.#isExhausted = true;
      this.end();
    }
    return rows === 0 ? undefined : columns;
  }

  /** Takes from arrays by the piece: several times as fast as item by item. */
  #cut(size: number): unknown[][] {
    const columns = this.#sources.map((source) => source.take(size));
    const rows = Math.min(...columns.map((column) => column.length));
    return columns.map((column) =>
      column.length === rows ? column : column.slice(0, rows)
    );
  }

  /** Takes from iterators row by row, as two of them may be one and the same. */
  #pull(size: number, columns: unknown[][]): unknown[][] {
    for (let row = 0; row < size; row++) {
      const items: unknown[] = [];
      for (const source of this.#sources) {
        const taken = source.take(1);
        if (taken.length === 0) return columns;
        items.push(taken[0]);
      }
      columns.forEach((column, i) => column.push(items[i]));
    }
    return columns;
  }
}

interface Source {
  /** Takes up to `count` items. */
  take(count: number): unknown[];
  /** Takes leave of the iterable. */
  end(): void;
}

/** Items of an array, by the piece: several times as fast as its iterator. */
class ArraySource implements Source {
  readonly #items: readonly unknown[];
  #at = 0;

  constructor(items: readonly unknown[]) {
    this.#items = items;
  }

  take(count: number): unknown[] {
    const piece = this.#items.slice(this.#at, this.#at + count);
    this.#at += piece.length;
    return piece;
  }

  end(): void {}
}

class IteratorSource implements Source {
  readonly #iterator: Iterator<unknown>;
  #isDone = false;

  constructor(iterable: Iterable<unknown>) {
    this.#iterator = iterable[Symbol.iterator]();
  }

  take(count: number): unknown[] {
    const items: unknown[] = [];
    while (items.length < count && !this.#isDone) {
      const { done, value } = this.#iterator.next();
      if (done) this.#isDone = true;
      else items.push(value);
    }
    return items;
  }

  end(): void {
    if (!this.#isDone) this.#iterator.return?.();
  }
}

/** The least of the sizes, where all are known. */
function shortest(sizes: readonly (number | undefined)[]): number | undefined {
  const least = Math.min(...sizes.map((size) => size ?? NaN));
  return Number.isFinite(least) ? least : undefined;
}

function isPlainArray(iterable: Iterable<unknown>): iterable is unknown[] {
  return Array.isArray(iterable) &&
    iterable[Symbol.iterator] === Array.prototype[Symbol.iterator];
}
