/**
 * Values that structured clone takes, and an assertion that a copy of one is what structured clone
 * gives: to the last hole, the sign of a zero, and the references that it shares.
 *
 * @module
 */

import { AssertionError } from "@std/assert";
import { types } from "node:util";

/** A value by its name; made anew for each use, as some tests change theirs. */
export interface NamedValue {
  readonly name: string;
  readonly make: () => unknown;
}

/** Makes an object whose prototype is `prototype`, with the fields of `fields`. */
function inherit(prototype: object | null, fields: object): object {
  return Object.assign(Object.create(prototype), fields);
}

/** Adds a property that is not enumerable. */
function withHidden<T extends object>(target: T, key: string, value: unknown) {
  return Object.defineProperty(target, key, { value });
}

/** Adds an enumerable own property, also where `=` would call a setter. */
export function withOwn<T extends object>(
  target: T,
  key: string,
  value: unknown,
): T {
  return Object.defineProperty(target, key, {
    value,
    enumerable: true,
    writable: true,
    configurable: true,
  });
}

class Point {
  readonly x = 1;
  y: number | undefined = undefined;
  #hidden = 3;

  get sum(): number {
    return this.x + this.#hidden;
  }
}

/** What is quick to look at; every row of the contract has one here. */
export const VALUES: readonly NamedValue[] = [
  // --------------------------------------------------------- primitives
  { name: "undefined", make: () => undefined },
  { name: "null", make: () => null },
  { name: "true", make: () => true },
  { name: "false", make: () => false },
  { name: "0", make: () => 0 },
  { name: "-0", make: () => -0 },
  { name: "NaN", make: () => NaN },
  { name: "Infinity", make: () => Infinity },
  { name: "-Infinity", make: () => -Infinity },
  { name: "the smallest number", make: () => Number.MIN_VALUE },
  { name: "the largest number", make: () => Number.MAX_VALUE },
  { name: "an unsafe integer", make: () => 2 ** 53 + 2 },
  { name: "a bigint", make: () => -(2n ** 200n) },
  { name: "0n", make: () => 0n },
  { name: "an empty string", make: () => "" },
  { name: "text of every width", make: () => 'aé€😀\0\u2028\u2029\\"<\x7f' },
  { name: "a byte order mark", make: () => "\ufefftext" },
  { name: "a lone high surrogate", make: () => "a\ud83d" },
  { name: "a lone low surrogate", make: () => "\ude00b" },
  { name: "surrogates in the wrong order", make: () => "\ude00\ud83d" },

  // ------------------------------------------------------ plain objects
  { name: "an empty object", make: () => ({}) },
  { name: "an empty array", make: () => [] },
  {
    name: "plain data",
    make: () => ({ id: 1, tags: ["a", "b"], at: { x: 0.5, y: null } }),
  },
  {
    name: "every odd value at once",
    make: () => ({
      none: undefined,
      numbers: [NaN, -0, Infinity, -Infinity],
      big: 12n,
    }),
  },
  {
    name: "keys that look like numbers",
    make: () => ({ b: 1, 10: 2, a: 3, 2: 4, "-1": 5, "01": 6, "": 7 }),
  },
  {
    name: "keys that look like numbers, beside undefined",
    make: () => ({ b: 1, 10: undefined, a: 3, 2: 4, "-1": 5, "01": 6, "": 7 }),
  },
  {
    name: "keys with surrogates and NULs",
    make: () => ({ "\ud800": 1, "\0": undefined, "😀": 3, "\u2028": 4 }),
  },
  {
    name: "an object without prototype",
    make: () => inherit(null, { a: 1 }),
  },
  {
    name: "an object without prototype, beside undefined",
    make: () => inherit(null, { a: undefined }),
  },
  { name: "an instance of a class", make: () => new Point() },
  {
    name: "an instance with a field named constructor",
    make: () => Object.assign(new Point(), { constructor: 5 }),
  },
  {
    name: "an object that inherits from another",
    make: () => inherit({ inherited: 1 }, { own: 2 }),
  },
  {
    name: "an object that inherits from one without prototype",
    make: () => inherit(Object.create(null), { own: 2 }),
  },
  {
    name: "an object that inherits from an error class's prototype",
    make: () => inherit(Error.prototype, { own: 2 }),
  },
  {
    name: "symbols as keys, which stay behind",
    make: () => ({ [Symbol("key")]: 1, a: undefined }),
  },
  {
    name: "hidden properties, which stay behind",
    make: () => withHidden({ a: undefined }, "hidden", () => {}),
  },
  {
    name: "getters, which arrive as what they gave",
    make: () => ({
      get a() {
        return 1;
      },
      get b() {
        return undefined;
      },
    }),
  },

  // ------------------------------------------------------------- arrays
  { name: "nested arrays", make: () => [[], [[1]], [[[undefined]]]] },
  // deno-lint-ignore no-sparse-arrays -- holes are what is tried
  { name: "holes", make: () => [, 1, , undefined, , ,] },
  { name: "nothing but holes", make: () => new Array(3) },
  {
    name: "a sparse array",
    make: () => withOwn(new Array(2_000_000), "1999999", 1),
  },
  {
    name: "the longest array that there can be",
    make: () => withOwn(withOwn([], "4294967294", 1), "7", undefined),
  },
  {
    name: "an array with fields",
    make: () => Object.assign([1, undefined], { x: 1, "-1": 2, "01": 3 }),
  },
  {
    name: "an array with fields, plain but for them",
    make: () => Object.assign([1, 2], { x: 1 }),
  },
  {
    name: "an array with holes and fields",
    // deno-lint-ignore no-sparse-arrays -- a hole is what is tried
    make: () => Object.assign([1, , 3], { x: 1 }),
  },
  {
    name: "an array with a field that is no index by one",
    make: () => withOwn([1], "4294967295", 1),
  },
  {
    name: "the outcome of a match",
    make: () => /(?<first>a)(?<second>b)?/d.exec("xay"),
  },
  {
    name: "an array of a class of its own",
    make: () => (class List extends Array {}).from([1, undefined]),
  },

  // ---------------------------------------------------- boxes and brands
  {
    name: "boxed primitives",
    make: () =>
      [1, "text", true, 1n, NaN, -0, ""].map((value) => Object(value)),
  },
  { name: "a boxed long string", make: () => Object("x".repeat(70_000)) },
  {
    name: "a box with a valueOf of its own",
    make: () => withHidden(new Number(1), "valueOf", () => 2),
  },
  {
    name: "dates",
    make: () => [
      new Date(0),
      new Date(8.64e15),
      new Date(-8.64e15),
      new Date(-1),
      new Date(NaN),
    ],
  },
  {
    name: "a date with a toISOString of its own",
    make: () => withHidden(new Date(5), "toISOString", () => "never"),
  },
  {
    name: "regular expressions",
    make: () => [
      /a/dgimsuy,
      // deno-lint-ignore no-invalid-regexp -- valid since ES2024
      /[\p{L}--[a-z]]/v,
      new RegExp(""),
      new RegExp("/\n\u2028"),
      new RegExp("\ud800"),
    ],
  },
  {
    name: "a regular expression that is in use",
    make: () => Object.assign(/a/g, { lastIndex: 3 }),
  },
  {
    name: "a regular expression with flags of its own",
    make: () => withHidden(/a/g, "flags", "never"),
  },
  {
    name: "maps",
    make: () =>
      new Map<unknown, unknown>([
        [NaN, -0],
        [undefined, { a: 1 }],
        [{ key: true }, new Map()],
        ["1", 1],
        [1, "1"],
      ]),
  },
  { name: "sets", make: () => new Set([NaN, 0, undefined, [1], new Set()]) },
  {
    name: "a map that iterates in a way of its own",
    make: () =>
      new (class extends Map<number, number> {
        override *[Symbol.iterator](): MapIterator<[number, number]> {
          yield [8, 9];
        }
      })([[1, 2]]),
  },
  {
    name: "a set that iterates in a way of its own",
    make: () =>
      new (class extends Set<number> {
        override *[Symbol.iterator](): SetIterator<number> {
          yield 9;
        }
      })([1, 2]),
  },
  {
    name: "an object that calls itself a map",
    make: () => ({ [Symbol.toStringTag]: "Map", a: undefined }),
  },
  {
    name: "an object that calls itself a Temporal.Instant",
    make: () => ({ [Symbol.toStringTag]: "Temporal.Instant", a: undefined }),
  },
  {
    name: "an object that throws when it is asked for its tag",
    make: () => ({
      get [Symbol.toStringTag](): string {
        throw new Error("no tag");
      },
      a: undefined,
    }),
  },
  {
    name: "an object with a hidden toJSON",
    make: () => withHidden({ a: 1 }, "toJSON", () => "never"),
  },
  {
    name: "an array with a hidden toJSON",
    make: () => withHidden([1], "toJSON", () => "never"),
  },
  {
    name: "an object with a then of its own that is no function",
    make: () => ({ then: undefined }),
  },

  // ------------------------------------------------------ hostile keys
  {
    name: "__proto__ as a key",
    make: () => withOwn({ a: 1 }, "__proto__", { b: 2 }),
  },
  {
    name: "__proto__ as a key, beside undefined",
    make: () => withOwn({ a: undefined }, "__proto__", { b: undefined }),
  },
  {
    name: "keys that are escapes of __proto__",
    make: () => ({
      "\0__proto__": undefined,
      "\0\0__proto__": 1,
      a__proto__: 2,
      __proto__x: 3,
    }),
  },
  {
    name: "__proto__ as a field of an array",
    make: () => withOwn([1, undefined], "__proto__", { b: 2 }),
  },
  {
    name: "the names of methods as keys",
    make: () => ({
      constructor: undefined,
      hasOwnProperty: 1,
      toString: 2,
      valueOf: 3,
      __defineGetter__: 4,
      length: 5,
    }),
  },

  // --------------------------------------------------------- references
  {
    name: "an object that holds itself",
    make: () => {
      const self: Record<string, unknown> = {};
      self.self = self;
      return self;
    },
  },
  {
    name: "an array that holds itself",
    make: () => {
      const self: unknown[] = [];
      self.push(self, [self]);
      return self;
    },
  },
  {
    name: "an array with fields that holds itself",
    make: () => {
      const self: unknown[] & { self?: unknown } = [];
      self.push(self);
      self.self = self;
      return self;
    },
  },
  {
    name: "a map and a set that hold themselves",
    make: () => {
      const map = new Map<unknown, unknown>();
      const set = new Set<unknown>([map]);
      map.set(map, set).set(set, map);
      set.add(set);
      return { map, set };
    },
  },
  {
    name: "two that hold each other",
    make: () => {
      const a: Record<string, unknown> = {}, b = { a };
      a.b = b;
      return [b, a];
    },
  },
  {
    name: "an object shared by two",
    make: () => {
      const shared = { a: 1 };
      return [shared, { shared }, new Map([[shared, shared]])];
    },
  },
  {
    name: "an empty object shared by many",
    make: () => new Array(40).fill({}),
  },
  {
    name: "a box, a date and an expression, each shared",
    make: () => {
      const box = new Number(1), date = new Date(5), expression = /a/;
      return [box, date, expression, box, date, expression];
    },
  },

  // --------------------------------------------------------- binary data
  { name: "an empty ArrayBuffer", make: () => new ArrayBuffer(0) },
  { name: "an ArrayBuffer", make: () => bytes(5).buffer },
  {
    name: "a resizable ArrayBuffer",
    make: () => new ArrayBuffer(3, { maxByteLength: 8 }),
  },
  {
    name: "an empty resizable ArrayBuffer",
    make: () => new ArrayBuffer(0, { maxByteLength: 8 }),
  },
  {
    name: "typed arrays of every kind",
    make: () => [
      new Int8Array([-1, 127]),
      new Uint8Array([0, 255]),
      new Uint8ClampedArray([0, 255]),
      new Int16Array([-1]),
      new Uint16Array([65_535]),
      new Float16Array([1.5, -0, NaN]),
      new Int32Array([-1]),
      new Uint32Array([2 ** 32 - 1]),
      new Float32Array([1.5, -0, NaN]),
      new Float64Array([0.1, -0, NaN, Infinity]),
      new BigInt64Array([-1n]),
      new BigUint64Array([2n ** 64n - 1n]),
      new DataView(bytes(4).buffer),
    ],
  },
  {
    name: "views on a part of a buffer",
    make: () => {
      const { buffer } = bytes(32);
      return [
        new Uint8Array(buffer, 3, 5),
        new Float64Array(buffer, 8, 2),
        new DataView(buffer, 1, 0),
        new Uint8Array(buffer, 32),
        buffer,
      ];
    },
  },
  {
    name: "the same view twice",
    make: () => {
      const view = bytes(3);
      return [view, view];
    },
  },
  {
    name: "a typed array with fields, which stay behind",
    make: () => Object.assign(bytes(2), { x: 1 }),
  },
  {
    name: "a typed array of a class of its own",
    make: () => new (class Bytes extends Uint8Array {})([1, 2]),
  },
  { name: "an empty typed array", make: () => new Float64Array(0) },

  // ------------------------------------------------------- long strings
  { name: "a string of 64 Ki units", make: () => "x".repeat(1 << 16) },
  { name: "a string of one more", make: () => "x".repeat((1 << 16) + 1) },
  {
    name: "long text of every width",
    make: () => "aé€😀\0".repeat(20_000),
  },
  {
    name: "long text that begins with a byte order mark",
    make: () => "\ufeff" + "é".repeat(70_000),
  },
  {
    name: "long text with a lone surrogate",
    make: () => "é".repeat(70_000) + "\ud800",
  },
  {
    name: "a long string here and there",
    make: () => {
      const long = "long".repeat(20_000);
      return {
        [long]: long,
        list: [long, new Set([long])],
        map: new Map([[long, 1]]),
      };
    },
  },
];

/** `length` bytes, no two neighbours alike. */
export function bytes(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + 3) & 0xff);
}

/**
 * Asserts that two values are the same in everything that a program can see, but for identity:
 * which references are shared must be the same as well.
 */
export function assertSameValue(actual: unknown, expected: unknown): void {
  compare(actual, expected, "value", new Map(), new Map());
}

type Pairs = Map<object, object>;

function compare(
  actual: unknown,
  expected: unknown,
  path: string,
  there: Pairs,
  back: Pairs,
): void {
  if (!isObject(actual) || !isObject(expected)) {
    if (!Object.is(actual, expected)) differ(path, actual, expected);
    return;
  }
  if (there.has(actual) || back.has(expected)) {
    if (there.get(actual) !== expected || back.get(expected) !== actual) {
      throw new AssertionError(
        `${path} is ${
          there.has(actual) ? "" : "not "
        }an object met before: it is to be ${
          back.has(expected) ? "one" : "a new one"
        }`,
      );
    }
    return;
  }
  there.set(actual, expected);
  back.set(expected, actual);
  same(
    path + "'s prototype",
    Object.getPrototypeOf(actual),
    Object.getPrototypeOf(expected),
  );
  const goOn = (a: unknown, b: unknown, step: string) =>
    compare(a, b, path + step, there, back);
  if (compareBrand(actual, expected, path, goOn)) {
    compareProperties(actual, expected, path, goOn);
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

type GoOn = (actual: unknown, expected: unknown, step: string) => void;

/** Compares what is inside; returns whether the properties are to be compared as well. */
function compareBrand(
  actual: object,
  expected: object,
  path: string,
  goOn: GoOn,
): boolean {
  same(path + "'s kind", kindOf(actual), kindOf(expected));
  if (types.isDate(expected)) {
    const { getTime } = Date.prototype;
    same(path + "'s time", getTime.call(actual), getTime.call(expected));
  } else if (types.isRegExp(expected)) {
    const { source, flags } = actual as RegExp;
    same(path + "'s source", source, expected.source);
    same(path + "'s flags", flags, expected.flags);
  } else if (types.isBoxedPrimitive(expected)) {
    same(path + "'s content", actual.valueOf(), expected.valueOf());
  } else if (types.isMap(expected)) {
    const entries = [...actual as Map<unknown, unknown>];
    same(path + "'s size", entries.length, expected.size);
    for (const [i, [key, value]] of [...expected].entries()) {
      goOn(entries[i][0], key, ` key ${i}`);
      goOn(entries[i][1], value, ` value ${i}`);
    }
  } else if (types.isSet(expected)) {
    const items = [...actual as Set<unknown>];
    same(path + "'s size", items.length, expected.size);
    for (const [i, item] of [...expected].entries()) {
      goOn(items[i], item, ` item ${i}`);
    }
  } else if (types.isArrayBuffer(expected)) {
    compareBuffers(actual as ArrayBuffer, expected as ArrayBuffer, path);
  } else if (ArrayBuffer.isView(expected)) {
    const view = actual as ArrayBufferView;
    same(path + "'s offset", view.byteOffset, expected.byteOffset);
    same(path + "'s length", view.byteLength, expected.byteLength);
    same(path + "'s growth", growthOf(view), growthOf(expected));
    goOn(view.buffer, expected.buffer, ".buffer");
    return types.isDataView(expected);
  }
  return true;
}

function kindOf(value: object): string {
  const kinds = Object.entries(types).filter(([name, is]) =>
    name !== "isExternal" && name !== "isProxy" &&
    (is as (value: object) => boolean)(value)
  );
  return [...kinds.map(([name]) => name), Array.isArray(value)].join();
}

/** What a view shows at each length of its buffer, if that can be resized; tried on a copy. */
function growthOf(view: ArrayBufferView): string {
  if (!(view.buffer as ArrayBuffer).resizable) return "";
  const copy = structuredClone(view) as ArrayBufferView<ArrayBuffer>;
  const { buffer } = copy;
  const lengths: string[] = [];
  for (let length = buffer.maxByteLength; length >= 0; length--) {
    buffer.resize(length);
    lengths.push(lengthOf(copy));
  }
  return lengths.join();
}

function lengthOf(view: ArrayBufferView): string {
  try {
    if (types.isTypedArray(view)) view.values();
    return `${view.byteOffset}+${view.byteLength}`;
  } catch {
    return "out of bounds";
  }
}

function compareBuffers(
  actual: ArrayBuffer,
  expected: ArrayBuffer,
  path: string,
): void {
  same(path + "'s length", actual.byteLength, expected.byteLength);
  same(path + " resizable", actual.resizable, expected.resizable);
  same(path + "'s most", actual.maxByteLength, expected.maxByteLength);
  const other = new Uint8Array(expected);
  // faster by far than to compare as an array of numbers
  const at = new Uint8Array(actual).findIndex((byte, i) => byte !== other[i]);
  same(path + "'s first byte that differs", at, -1);
}

function compareProperties(
  actual: object,
  expected: object,
  path: string,
  goOn: GoOn,
): void {
  const keys = Reflect.ownKeys(expected), otherKeys = Reflect.ownKeys(actual);
  if (types.isNativeError(expected)) {
    keys.sort(), otherKeys.sort(); // the order in which V8 adds them is nobody's business
  }
  same(path + "'s keys", otherKeys.join(), keys.join());
  for (const key of keys) {
    const step = `[${JSON.stringify(String(key))}]`;
    const { value, ...rest } = Object.getOwnPropertyDescriptor(actual, key)!;
    const { value: other, ...otherRest } = Object.getOwnPropertyDescriptor(
      expected,
      key,
    )!;
    // V8 keeps a stack behind an accessor until somebody sets it
    if (key === "stack" && types.isNativeError(expected)) {
      goOn((actual as Error).stack, expected.stack, step);
      continue;
    }
    same(path + step, JSON.stringify(rest), JSON.stringify(otherRest));
    goOn(value, other, step);
  }
}

function same(what: string, actual: unknown, expected: unknown): void {
  if (!Object.is(actual, expected)) differ(what, actual, expected);
}

function differ(what: string, actual: unknown, expected: unknown): never {
  const options = { strAbbreviateSize: 100, depth: 1 };
  throw new AssertionError(
    `${what} is ${Deno.inspect(actual, options)}: it is to be ${
      Deno.inspect(expected, options)
    }`,
  );
}
