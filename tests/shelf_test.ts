/** What is kept for later, and for how long. */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { Shelf } from "../_shelf.ts";

/** The numbers up to `last` whose values are on the shelf. */
function kept(shelf: Shelf<string>, last: number): number[] {
  return Array.from({ length: last + 1 }, (_, id) => id)
    .filter((id) => shelf.get(id) !== undefined);
}

Deno.test("Shelf keeps as many as it may, and lets the oldest go", () => {
  const shelf = new Shelf<string>(3, 1_000);
  for (let id = 0; id < 3; id++) shelf.set(id, `v${id}`, 1);
  assertEquals(kept(shelf, 5), [0, 1, 2]);
  shelf.set(3, "v3", 1);
  assertEquals(kept(shelf, 5), [1, 2, 3]);
  assertEquals(shelf.get(3), "v3");
});

Deno.test("Shelf keeps as many bytes as it may, to the last one", () => {
  const shelf = new Shelf<string>(100, 10);
  shelf.set(0, "v", 4);
  shelf.set(1, "v", 6);
  assertEquals(kept(shelf, 5), [0, 1]);
  shelf.set(2, "v", 1);
  assertEquals(kept(shelf, 5), [1, 2]);
  shelf.set(3, "v", 10); // all others go
  assertEquals(kept(shelf, 5), [3]);
});

Deno.test("Shelf keeps the newest, even where it alone is too large", () => {
  const shelf = new Shelf<string>(100, 10);
  shelf.set(0, "v", 5);
  shelf.set(1, "v", 11);
  assertEquals(kept(shelf, 5), [1]);
  shelf.set(2, "v", 0);
  assertEquals(kept(shelf, 5), [2]);
});

Deno.test("Shelf that may keep none keeps the newest", () => {
  const shelf = new Shelf<string>(0, 0);
  shelf.set(0, "v", 5);
  shelf.set(1, "v", 5);
  assertEquals(kept(shelf, 5), [1]);
});

Deno.test("Shelf.set() of a number that it has replaces value and weight, and makes it the newest", () => {
  const shelf = new Shelf<string>(2, 10);
  shelf.set(0, "old", 9);
  shelf.set(1, "v", 1);
  shelf.set(0, "new", 2);
  assertEquals([shelf.get(0), shelf.get(1)], ["new", "v"]);
  shelf.set(2, "v", 8); // 10 bytes, but 3 values
  assertEquals(kept(shelf, 5), [0, 2]);
});

Deno.test("Shelf.get() does not make a value newer", () => {
  const shelf = new Shelf<string>(2, 10);
  shelf.set(0, "v", 1);
  shelf.set(1, "v", 1);
  shelf.get(0);
  shelf.set(2, "v", 1);
  assertEquals(kept(shelf, 5), [1, 2]);
});

const sets = fc.array(
  fc.record({ id: fc.nat(12), bytes: fc.nat(30) }),
  { maxLength: 60 },
);

Deno.test("Shelf of half the size never holds what the full one has lost", () => {
  fc.assert(
    fc.property(
      sets,
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 50 }),
      (sets, items, bytes) => {
        const half = new Shelf<string>(items, bytes);
        const full = new Shelf<string>(2 * items, 2 * bytes);
        for (const { id, bytes } of sets) {
          half.set(id, "v", bytes);
          full.set(id, "v", bytes);
          for (const id of kept(half, 12)) assert(full.get(id) !== undefined);
        }
      },
    ),
    { numRuns: 500 },
  );
});

// As the pool does: what the half shelf still has is not sent again.
Deno.test("Shelf of half the size, fed with what it lost, never holds what the full one has lost", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(12), { maxLength: 100 }),
      fc.array(fc.nat(30), { minLength: 13, maxLength: 13 }),
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 50 }),
      (uses, weights, items, bytes) => {
        const sender = new Shelf<string>(items, bytes);
        const receiver = new Shelf<string>(2 * items, 2 * bytes);
        for (const id of uses) {
          if (sender.get(id) === undefined) {
            sender.set(id, "v", weights[id]);
            receiver.set(id, "v", weights[id]);
          }
          assert(receiver.get(id) !== undefined);
        }
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("Shelf keeps within its limits, but for the newest", () => {
  fc.assert(
    fc.property(sets, (sets) => {
      const shelf = new Shelf<string>(4, 50);
      const weights = new Map<number, number>();
      for (const { id, bytes } of sets) {
        shelf.set(id, "v", bytes);
        weights.set(id, bytes);
        const ids = kept(shelf, 12);
        const total = ids.reduce((sum, id) => sum + weights.get(id)!, 0);
        assert(ids.includes(id));
        assert(ids.length <= 4);
        assert(total <= 50 || ids.length === 1);
      }
    }),
    { numRuns: 500 },
  );
});
