/**
 * The rows that `map` makes of its iterables: one item of each, up to the end
 * of the shortest. Python: `zip`.
 *
 * @module
 */

/** Takes rows, one by one or many at a time as columns. */
export class Rows {
  readonly #sources: Source[];
  #isOver = false;

  constructor(iterables: readonly Iterable<unknown>[]) {
    this.#sources = iterables.map((iterable) =>
      isPlainArray(iterable)
        ? new ArraySource(iterable)
        : new IteratorSource(iterable)
    );
    this.#isOver = iterables.length === 0;
  }

  /** Takes one row; `undefined` where none is left. */
  take(): unknown[] | undefined {
    const columns = this.takeColumns(1);
    return columns?.map((column) => column[0]);
  }

  /** Takes up to `size` rows as one array a column; `undefined` where none is left. */
  takeColumns(size: number): unknown[][] | undefined {
    if (this.#isOver) return undefined;
    let rows = size;
    const columns = this.#sources.map((source) => {
      const column = source.take(rows);
      rows = Math.min(rows, column.length);
      return column;
    });
    if (rows < size) this.#end();
    if (rows === 0) return undefined;
    // An earlier column may have gone on where a later one ended.
    return columns.map((column) =>
      column.length === rows ? column : column.slice(0, rows)
    );
  }

  #end(): void {
    this.#isOver = true;
    for (const source of this.#sources) source.end();
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

function isPlainArray(iterable: Iterable<unknown>): iterable is unknown[] {
  return Array.isArray(iterable) &&
    iterable[Symbol.iterator] === Array.prototype[Symbol.iterator];
}
