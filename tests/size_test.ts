import { assertEquals } from "@std/assert";
import { sizeOf } from "../_size.ts";

Deno.test("sizeOf() tells the number of items of the language's own collections", () => {
  assertEquals(sizeOf([1, 2, 3]), 3);
  assertEquals(sizeOf(new Float64Array(3)), 3);
  assertEquals(sizeOf(new Set([1, 1, 2])), 2);
  assertEquals(sizeOf(new Map([[1, 2]])), 1);
  assertEquals(sizeOf(new (class extends Set<number> {})([1])), 1);
});

Deno.test("sizeOf() does not guess where only going through the items tells", () => {
  class Twice extends Array<number> {
    override *[Symbol.iterator](): ArrayIterator<number> {
      for (let i = 0; i < 2 * this.length; i++) yield i;
    }
  }
  assertEquals(sizeOf(new Twice(1, 2)), undefined);
  assertEquals(sizeOf("a\u{1F600}"), undefined);
  assertEquals(sizeOf([1].values()), undefined);
  assertEquals(sizeOf(new URLSearchParams("a=1")), undefined);
});
