import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { Rows } from "../_rows.ts";

/** Takes every row, one by one. */
function takeAll(...iterables: Iterable<unknown>[]): unknown[][] {
  const rows = new Rows(iterables);
  const taken: unknown[][] = [];
  for (let row; (row = rows.take()) !== undefined;) taken.push(row);
  assertEquals(rows.take(), undefined);
  return taken;
}

/** Takes every row, `size` at a time, and turns the columns into rows again. */
function takeAllByColumns(
  size: number,
  ...iterables: Iterable<unknown>[]
): unknown[][] {
  const rows = new Rows(iterables);
  const taken: unknown[][] = [];
  for (let columns; (columns = rows.takeColumns(size)) !== undefined;) {
    assertEquals(columns.length, iterables.length);
    const lengths = new Set(columns.map((column) => column.length));
    assertEquals(lengths.size, 1, "columns are equally long");
    for (let i = 0; i < columns[0].length; i++) {
      taken.push(columns.map((column) => column[i]));
    }
  }
  assertEquals(rows.takeColumns(size), undefined);
  return taken;
}

/** An iterator that says what was done to it. */
class Spied implements IterableIterator<number> {
  readonly #last: number;
  pulls = 0;
  returns = 0;
  opened = 0;

  /** Counts from 1 to `last`. */
  constructor(last: number) {
    this.#last = last;
  }

  [Symbol.iterator](): this {
    this.opened++;
    return this;
  }

  next(): IteratorResult<number> {
    this.pulls++;
    return this.pulls <= this.#last
      ? { done: false, value: this.pulls }
      : { done: true, value: undefined };
  }

  return(): IteratorResult<number> {
    this.returns++;
    return { done: true, value: undefined };
  }
}

class Doubled extends Array<number> {
  override *[Symbol.iterator](): ArrayIterator<number> {
    for (let i = 0; i < this.length; i++) yield this[i] * 2;
  }
}

function doubledInPlace(...items: number[]): number[] {
  items[Symbol.iterator] = () => items.map((n) => n * 2).values();
  return items;
}

/** Iterables and the rows that a zip makes of them. */
const ZIPS: readonly [
  what: string,
  make: () => Iterable<unknown>[],
  rows: unknown[][],
][] = [
  ["no iterable", () => [], []],
  ["an empty array", () => [[]], []],
  ["one array", () => [[1, 2, 3]], [[1], [2], [3]]],
  ["two equally long", () => [[1, 2], "ab"], [[1, "a"], [2, "b"]]],
  ["the first shorter", () => [[1], [2, 3]], [[1, 2]]],
  ["the last shorter", () => [[1, 2, 3], [4, 5]], [[1, 4], [2, 5]]],
  ["the middle one empty", () => [[1, 2], [], [3, 4]], []],
  ["three", () => [[1, 2], [3, 4], [5, 6, 7]], [[1, 3, 5], [2, 4, 6]]],
  ["a string of astral letters", () => ["a😀b"], [["a"], ["😀"], ["b"]]],
  ["a set and a map", () => [new Set([1, 2]), new Map([["k", 3]])], [
    [1, ["k", 3]],
  ]],
  ["a typed array", () => [Uint8Array.of(7, 8)], [[7], [8]]],
  ["undefined items", () => [[undefined, 1], [null, undefined]], [
    [undefined, null],
    [1, undefined],
  ]],
  ["a sparse array", () => [Array.of(1).concat(new Array(1), [3])], [
    [1],
    [undefined],
    [3],
  ]],
  ["an iterator", () => [Iterator.from(new Spied(3))], [[1], [2], [3]]],
  ["an endless one that is not the shortest", () => [
    new Spied(Infinity),
    [9, 8],
  ], [[1, 9], [2, 8]]],
  ["an array class with an iterator of its own", () => [Doubled.of(1, 2)], [
    [2],
    [4],
  ]],
  ["an array with an iterator of its own", () => [doubledInPlace(1, 2)], [
    [2],
    [4],
  ]],
  ["the same array twice", () => {
    const array = [1, 2, 3];
    return [array, array];
  }, [[1, 1], [2, 2], [3, 3]]],
  ["the same iterator twice", () => {
    const iterator = [1, 2, 3, 4, 5].values();
    return [iterator, iterator];
  }, [[1, 2], [3, 4]]],
];

for (const [what, make, expected] of ZIPS) {
  Deno.test(`Rows.take() zips when given ${what}`, () => {
    assertEquals(takeAll(...make()), expected);
  });

  for (const size of [1, 2, 3, 100]) {
    Deno.test(`Rows.takeColumns(${size}) zips when given ${what}`, () => {
      assertEquals(takeAllByColumns(size, ...make()), expected);
    });
  }
}

Deno.test("Rows.takeColumns() takes full pieces, and the rest as the last", () => {
  const rows = new Rows([[1, 2, 3, 4, 5], "abcde"]);
  assertEquals(rows.takeColumns(2), [[1, 2], ["a", "b"]]);
  assertEquals(rows.takeColumns(2), [[3, 4], ["c", "d"]]);
  assertEquals(rows.takeColumns(2), [[5], ["e"]]);
  assertEquals(rows.takeColumns(2), undefined);
  assertEquals(rows.take(), undefined);
});

Deno.test("Rows.takeColumns() gives away arrays that nobody else holds", () => {
  const array = [1, 2, 3];
  const columns = new Rows([array]).takeColumns(3);
  columns?.[0].push(4);
  assertEquals(array, [1, 2, 3]);
});

Deno.test("Rows sees what is appended to an array while it is gone through", () => {
  const array = [1];
  const rows = new Rows([array]);
  assertEquals(rows.take(), [1]);
  array.push(2);
  assertEquals(rows.take(), [2]);
  assertEquals(rows.take(), undefined);
  array.push(3); // too late, as with an iterator of the array
  assertEquals(rows.take(), undefined);
});

Deno.test("Rows opens each iterable once and pulls nothing before it must", () => {
  const spied = [new Spied(2), new Spied(2)];
  const rows = new Rows(spied);
  assertEquals(spied.map(({ pulls }) => pulls), [0, 0]);
  rows.take();
  assertEquals(spied.map(({ pulls }) => pulls), [1, 1]);
  assertEquals(spied.map(({ opened }) => opened), [1, 1]);
});

for (const size of [1, 2, 10]) {
  Deno.test(`Rows.takeColumns(${size}) pulls no more than a zip does`, () => {
    // The one before the shortest is pulled once too often, the one after is not.
    const before = new Spied(Infinity);
    const shortest = new Spied(2);
    const after = new Spied(Infinity);
    takeAllByColumns(size, before, shortest, after);
    const pulls = [before.pulls, shortest.pulls, after.pulls];
    assertEquals(pulls, [3, 3, 2]);
  });

  Deno.test(`Rows.takeColumns(${size}) closes the others once when the shortest ends`, () => {
    const before = new Spied(Infinity);
    const shortest = new Spied(2);
    const after = new Spied(3);
    takeAllByColumns(size, before, shortest, after, [1, 2, 3]);
    const returns = [before.returns, shortest.returns, after.returns];
    assertEquals(returns, [1, 0, 1]);
  });
}

Deno.test("Rows closes a generator so that its finally runs", () => {
  const log: string[] = [];
  function* generate() {
    try {
      yield* [1, 2, 3];
    } finally {
      log.push("closed");
    }
  }
  assertEquals(takeAll(generate(), [1]), [[1, 1]]);
  assertEquals(log, ["closed"]);
});

Deno.test("Rows ends in peace when an iterator has no return", () => {
  let n = 0;
  const bare = {
    [Symbol.iterator]: () => ({ next: () => ({ done: false, value: n++ }) }),
  };
  assertEquals(takeAll(bare, [1]), [[0, 1]]);
  assertEquals(takeAll([1], bare), [[1, 2]]);
});

Deno.test("Rows does not ask an iterator again that has ended", () => {
  const spied = new Spied(1);
  const rows = new Rows([spied]);
  assertEquals(rows.takeColumns(5), [[1]]);
  assertEquals(spied.pulls, 2);
  assertEquals(rows.takeColumns(5), undefined);
  assertEquals(rows.take(), undefined);
  assertEquals(spied.pulls, 2);
});

Deno.test("Rows throws what an iterable throws", () => {
  const oops = new Error("oops");
  function* broken() {
    yield 1;
    throw oops;
  }
  const rows = new Rows([[1, 2], broken()]);
  assertEquals(rows.take(), [1, 1]);
  assertStrictEquals(assertThrows(() => rows.take()), oops);
});

Deno.test("Rows.total is known beforehand where all iterables tell their sizes", () => {
  const totalOf = (...iterables: Iterable<unknown>[]) =>
    new Rows(iterables).total;
  assertEquals(totalOf([1, 2, 3], new Set([1, 2])), 2);
  assertEquals(totalOf([1, 2, 3], [1].values()), undefined);
  assertEquals(totalOf(), 0);
});

Deno.test("Rows.total is what was taken once the rows have ended by themselves", () => {
  for (const size of [1, 2]) {
    const rows = new Rows([[1, 2, 3].values()]);
    for (let i = 0; i < 3; i += size) rows.takeColumns(size);
    if (size === 1) assertEquals(rows.total, undefined);
    assertEquals(rows.take(), undefined);
    assertEquals([rows.taken, rows.total], [3, 3]);
  }
});

Deno.test("Rows.total stays as it was where the rows are left before their end", () => {
  for (const [iterable, total] of [[[1, 2], 2], [[1, 2].values(), undefined]]) {
    const rows = new Rows([iterable as Iterable<number>]);
    rows.take();
    rows.end();
    assertEquals([rows.taken, rows.total], [1, total]);
  }
});
