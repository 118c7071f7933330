/**
 * Plain JSON data, which travels as `JSON.stringify` writes it: told apart from
 * all else by one walk that costs a fraction of the writing.
 *
 * Plain is what `JSON.parse` gives back equal to what `structuredClone` would:
 * strings, booleans, `null`, finite numbers but `-0`, and arrays and objects of
 * these, each reached once only (a second reference must stay the same object).
 * A getter is read twice, once here and once for the text, and a built-in that
 * was given the prototype of plain objects is taken for one: to see either would
 * cost every object a look at its properties' descriptors and at its brand.
 *
 * @module
 */

/** Strings above this length travel as bytes beside the text: JSON would copy and escape them. */
export const LONG_STRING = 1 << 16;

/** Deeper data is left to the rich codec, which says so where it is too deep. */
const MAX_DEPTH = 1000;

/** Above so many objects a Set finds a repeated one faster than a search. */
const MANY = 16;

/** The objects met so far, to find one that is reached twice. */
class Seen {
  #few: object[] = [];
  #many: Set<object> | undefined;

  /** Adds `value`; returns whether it is new. */
  add(value: object): boolean {
    if (this.#many === undefined) {
      if (this.#few.includes(value)) return false;
      if (this.#few.push(value) > MANY) this.#many = new Set(this.#few);
      return true;
    }
    return this.#many.size !== this.#many.add(value).size;
  }
}

/** Tells whether each of `values` is plain, and no object is reached twice. */
export function arePlain(values: readonly unknown[]): boolean {
  let seen: Seen | undefined;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (typeof value === "object" && value !== null) {
      if (!isPlainObject(value, seen ??= new Seen(), 0)) return false;
    } else if (!isPlainPrimitive(value)) return false;
  }
  return true;
}

/** Tells whether `value` is plain. */
export function isPlain(value: unknown): boolean {
  return typeof value === "object" && value !== null
    ? isPlainObject(value, new Seen(), 0)
    : isPlainPrimitive(value);
}

function isPlainPrimitive(value: unknown): boolean {
  switch (typeof value) {
    case "string":
      return value.length <= LONG_STRING;
    case "boolean":
      return true;
    case "number":
      // NaN and the infinities are the numbers whose difference to themselves is not 0.
      return value - value === 0 && (value !== 0 || 1 / value > 0);
    default:
      return value === null;
  }
}

function isPlainObject(value: object, seen: Seen, depth: number): boolean {
  if (depth > MAX_DEPTH || !seen.add(value)) return false;
  return Array.isArray(value)
    ? isPlainArray(value, seen, depth)
    : isPlainRecord(value, seen, depth);
}

function isPlainArray(
  array: unknown[],
  seen: Seen,
  depth: number,
): boolean {
  const { length } = array;
  const keys = Object.keys(array);
  if (
    Object.getPrototypeOf(array) !== Array.prototype ||
    // Own properties beside the elements, as the result of `match` has them; by
    // the last key too, as an element that is not enumerable makes up for one.
    keys.length !== length ||
    length > 0 && keys[length - 1] !== `${length - 1}` || hasToJson(array)
  ) return false;
  for (let i = 0; i < array.length; i++) {
    const item = array[i]; // a hole reads as undefined, which is not plain
    if (typeof item === "object" && item !== null) {
      if (!isPlainObject(item, seen, depth + 1)) return false;
    } else if (!isPlainPrimitive(item)) return false;
  }
  return true;
}

function isPlainRecord(
  record: object,
  seen: Seen,
  depth: number,
): boolean {
  const prototype = Object.getPrototypeOf(record);
  if (prototype !== Object.prototype && prototype !== null) return false;
  if (hasToJson(record)) return false;
  for (const key in record) {
    const item = (record as Record<string, unknown>)[key];
    if (typeof item === "object" && item !== null) {
      if (!isPlainObject(item, seen, depth + 1)) return false;
    } else if (!isPlainPrimitive(item)) return false;
  }
  return true;
}

/** Whether `JSON.stringify` would ask the object for something else. */
function hasToJson(object: object): boolean {
  try {
    return (object as { toJSON?: unknown }).toJSON !== undefined;
  } catch {
    return true; // a getter that throws, which structured clone does not ask
  }
}
