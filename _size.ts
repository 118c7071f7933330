/**
 * How many items an iterable has, without going through it.
 *
 * @module
 */

/** What tells the number of items, by the function that gives the iterator: a class may have its own. */
const SIZED_BY: ReadonlyMap<unknown, "length" | "size"> = new Map<
  unknown,
  "length" | "size"
>([
  [Array.prototype[Symbol.iterator], "length"],
  [Uint8Array.prototype[Symbol.iterator], "length"], // every typed array's
  [Map.prototype[Symbol.iterator], "size"],
  [Set.prototype[Symbol.iterator], "size"],
]);

/** Returns how many items there are; `undefined` where only going through them tells. */
export function sizeOf(iterable: Iterable<unknown>): number | undefined {
  const name = SIZED_BY.get(iterable[Symbol.iterator]);
  return name && (iterable as { length?: number; size?: number })[name];
}
