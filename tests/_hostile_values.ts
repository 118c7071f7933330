/**
 * Values that mean ill: they throw when they are read, change while they are read, pose as something
 * else, or try to reach the prototypes of all objects.
 *
 * @module
 */

import { registerClass } from "../mod.ts";
import { bytes, type NamedValue, withOwn } from "./_values.ts";

/** A value, and what is to come of it where that is not what structured clone gives. */
export interface HostileValue extends NamedValue {
  /** Makes what is to come; throws where the value is to be refused. */
  readonly expected?: () => unknown;
}

/** An error class whose constructor throws where nobody calls it as it wants to be called. */
export class SpitefulError extends Error {
  override name = "SpitefulError";
  readonly level: number;

  constructor(level: number) {
    if (typeof level !== "number") throw new Error("not like this");
    super("spite");
    this.level = level;
  }
}
registerClass(SpitefulError);

function refuse(): never {
  throw new DOMException("refused", "DataCloneError");
}

/** Adds an accessor; enumerable unless told otherwise. */
function withGetter<T extends object>(
  target: T,
  key: string | number,
  get: () => unknown,
  enumerable = true,
): T {
  return Object.defineProperty(target, key, {
    get,
    enumerable,
    configurable: true,
  });
}

function withHidden<T extends object>(
  target: T,
  key: string,
  value: unknown,
): T {
  return Object.defineProperty(target, key, { value, configurable: true });
}

/** How a value may lie in another. */
const WRAPS: Record<string, (value: unknown) => unknown> = {
  list: (value) => [value],
  object: (value) => ({ value }),
  map: (value) => new Map([[1, value]]),
  key: (value) => new Map([[value, 1]]),
  set: (value) => new Set([value]),
  cause: (value) => {
    const error = new Error("it broke", { cause: value });
    delete error.stack; // there would be one for each of them
    return error;
  },
};

/** The ways in which a value may lie in another. */
export const WAYS: readonly string[] = Object.keys(WRAPS);

/** Makes a value that lies so deep. */
export function nest(way: string, depth: number): unknown {
  let value: unknown = "bottom";
  for (let i = 0; i < depth; i++) value = WRAPS[way](value);
  return value;
}

/** How deep the value lies that `nest` has made; does not recurse. */
export function depthOf(value: unknown): number {
  let depth = 0;
  while (typeof value === "object" && value !== null) {
    depth++;
    if (value instanceof Error) value = value.cause;
    else if (value instanceof Map) {
      value = [...value].flat().find((item) => item !== 1);
    } else if (value instanceof Set) [value] = value;
    else value = Object.values(value)[0];
  }
  return value === "bottom" ? depth : -1;
}

const MILLION = 1_000_000;

/** A value of a million parts, and a look at each part of a copy. */
export interface VastValue {
  readonly make: () => unknown;
  readonly isWhole: (copy: never) => boolean;
}

/** Values of a million parts, by name. */
export const VAST: Record<string, VastValue> = {
  keys: {
    make: () => withKeys({ last: 1 }),
    isWhole: (copy: Record<string, unknown>) =>
      hasKeys(copy) && copy.last === 1,
  },
  "keys beside undefined": {
    make: () => withKeys({ last: undefined }),
    isWhole: (copy: Record<string, unknown>) =>
      hasKeys(copy) && Object.hasOwn(copy, "last") && copy.last === undefined,
  },
  "entries of a map": {
    make: () => new Map(Array.from({ length: MILLION }, (_, i) => [i, i])),
    isWhole: (copy: Map<number, number>) =>
      copy.size === MILLION && isCounting(copy.keys()) &&
      isCounting(copy.values()),
  },
  "items of a set": {
    make: () => new Set(Array(MILLION).keys()),
    isWhole: (copy: Set<number>) => copy.size === MILLION && isCounting(copy),
  },
  "references to one object": {
    make: () => new Array(MILLION).fill({ a: 1 }),
    isWhole: (copy: { a: number }[]) =>
      copy.length === MILLION && copy.every((item) => item === copy[0]) &&
      copy[0].a === 1,
  },
};

function withKeys(value: Record<string, unknown>): Record<string, unknown> {
  for (let i = 0; i < MILLION; i++) value[`key${i}`] = i;
  return value;
}

function hasKeys(value: Record<string, unknown>): boolean {
  for (let i = 0; i < MILLION; i++) if (value[`key${i}`] !== i) return false;
  return Object.keys(value).length === MILLION + 1;
}

function isCounting(numbers: Iterable<number>): boolean {
  let next = 0;
  for (const number of numbers) if (number !== next++) return false;
  return next === MILLION;
}

function spring(): never {
  throw new RangeError("sprung");
}

function revoked(target: object): unknown {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return proxy;
}

/** JSON whose keys would reach the prototype of all objects, if they were assigned. */
const POLLUTING =
  '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":2}},"prototype":{"polluted":3}}';

function polluting(): object {
  return JSON.parse(POLLUTING);
}

function withPollutingFields(error: Error): Error {
  return Object.defineProperties(
    error,
    Object.getOwnPropertyDescriptors(polluting()),
  );
}

/** An error whose stack is the same wherever it is made. */
function plainError(message: string): Error {
  const error = new RangeError(message);
  error.stack = `RangeError: ${message}`;
  return error;
}

export const HOSTILE: readonly HostileValue[] = [
  // --------------------------------------------------------------- keys
  { name: "keys that pollute", make: polluting },
  {
    name: "keys that pollute, beside undefined",
    make: () => ({ u: undefined, list: [polluting()] }),
  },
  {
    name: "keys that pollute, in keys and values of a map, and in a set",
    make: () =>
      new Map<unknown, unknown>([
        [polluting(), polluting()],
        ["__proto__", new Set([polluting(), "__proto__"])],
      ]),
  },
  {
    name: "keys that pollute, as fields of an array",
    make: () =>
      Object.defineProperties(
        [1],
        Object.getOwnPropertyDescriptors(polluting()),
      ),
  },
  {
    name: "keys that pollute, as fields of an error",
    make: () => withPollutingFields(plainError("it broke")),
    expected: () => withPollutingFields(plainError("it broke")),
  },
  {
    name: "keys that pollute, in the cause of an error",
    make: () => withHidden(plainError("it broke"), "cause", polluting()),
    expected: () =>
      Object.defineProperty(plainError("it broke"), "cause", {
        value: polluting(),
        writable: true,
        configurable: true,
      }),
  },
  {
    name: "a key of 10,000 __proto__",
    make: () => ({ ["__proto__".repeat(10_000)]: undefined }),
  },
  {
    name: "keys of lone surrogates, and such values",
    make: () => ({
      "\ud800": "\udfff",
      "\udfff\ud800": ["\ud800"],
      "\ud83d\ude00": new Map([["\ud800", "\udc00"]]),
    }),
  },
  {
    name: "lone surrogates that join where they meet",
    make: () => ["\ud83d", "\ude00", new Set(["\ud83d", "\ude00"])],
  },

  // ------------------------------------------------------------ getters
  { name: "a getter that throws", make: () => withGetter({}, "a", spring) },
  {
    name: "a getter that throws, deep inside",
    make: () => new Map([[1, [new Set([withGetter({}, "a", spring)])]]]),
  },
  {
    name: "a getter that throws, beside what is refused",
    make: () => withGetter({ fn() {} }, "a", spring),
  },
  {
    name: "a getter that throws, in front of what is refused",
    make: () => Object.assign(withGetter({}, "a", () => 1), { fn() {} }),
  },
  {
    name: "what is refused behind a getter that throws the second time",
    make: () => {
      let count = 0;
      return {
        u: undefined,
        trap: withGetter({}, "a", () => count++ > 1 ? spring() : count),
        fn() {},
      };
    },
  },
  {
    name: "a getter that throws, on the prototype",
    make: () =>
      new (class {
        own = 1;
        get a(): never {
          return spring();
        }
      })(),
  },
  {
    name: "a hidden getter that throws",
    make: () => withGetter({ a: 1 }, "b", spring, false),
  },
  {
    name: "an element that throws",
    make: () => withGetter([1, 2], 1, spring),
  },
  {
    name: "a getter that throws null",
    make: () =>
      withGetter({}, "a", () => {
        throw null;
      }),
  },
  {
    name: "a getter that throws what cannot be written out",
    make: () =>
      withGetter({ u: undefined }, "a", () => {
        throw Object.create(null);
      }),
  },
  {
    name: "a getter that throws what throws when it is written out",
    make: () =>
      withGetter({ u: undefined }, "a", () => {
        throw { toString: spring };
      }),
  },
  {
    name: "a getter that throws an error whose message throws",
    make: () =>
      withGetter({ u: undefined }, "a", () => {
        throw withGetter(new Error(), "message", spring);
      }),
  },
  {
    name: "a getter that throws a function",
    make: () =>
      withGetter({}, "a", () => {
        throw () => {};
      }),
  },
  {
    name: "a getter that overflows the stack",
    make: () => {
      const self: object = withGetter(
        {},
        "a",
        () => (self as { a: unknown }).a,
      );
      return self;
    },
  },

  // ------------------------------------------------------------- toJSON
  {
    name: "a toJSON of its own, which is a function",
    make: () => ({ toJSON: () => 1 }),
  },
  { name: "a toJSON of its own, which is none", make: () => ({ toJSON: 5 }) },
  {
    name: "a toJSON that is inherited",
    make: () => [
      new (class {
        a = 1;
        toJSON() {
          return "never";
        }
      })(),
      Object.assign(Object.create({ toJSON: () => "never" }), { b: 2 }),
    ],
  },
  {
    name: "a toJSON that is inherited and throws",
    make: () =>
      Object.assign(Object.create({ toJSON: spring }), { a: undefined }),
  },
  {
    name: "a toJSON that throws when it is asked for",
    make: () => withGetter({ a: 1 }, "toJSON", spring, false),
  },
  {
    name: "a date of a class with methods of its own",
    make: () =>
      new (class extends Date {
        override toJSON() {
          return "never";
        }
        override toISOString() {
          return spring();
        }
        override valueOf() {
          return 7;
        }
        override getTime() {
          return 7;
        }
      })(5),
  },
  {
    name: "a list of a class with methods of its own",
    make: () =>
      new (class extends Array<number> {
        toJSON() {
          return "never";
        }
        override [Symbol.iterator](): ArrayIterator<number> {
          return spring();
        }
        override keys(): ArrayIterator<number> {
          return spring();
        }
      })(1, 2, 3),
  },

  // ----------------------------------------------------------- thenables
  {
    name: "a then that is a function",
    make: () => [{ then: (resolve: (value: unknown) => void) => resolve(1) }],
  },
  {
    name: "a then that is hidden",
    make: () => [withHidden({ a: 1 }, "then", spring)],
  },
  {
    name: "a then that is inherited",
    make: () => [
      new (class {
        a = undefined;
        then() {
          spring();
        }
      })(),
    ],
  },
  {
    name: "a then that throws when it is asked for",
    make: () => [withGetter({ a: 1 }, "then", spring, false)],
  },

  // -------------------------------------------------------- conversions
  {
    name: "conversions that throw",
    make: () => ({
      [Symbol.toPrimitive]: spring,
      get [Symbol.toStringTag]() {
        return spring();
      },
      get [Symbol.iterator]() {
        return spring();
      },
      a: undefined,
    }),
  },
  {
    name: "hidden conversions that throw",
    make: () =>
      withHidden(
        withHidden({ a: undefined }, "toString", spring),
        "valueOf",
        spring,
      ),
  },
  {
    name: "boxes with conversions of their own",
    make: () =>
      [1, "text", true, 1n].map((value) =>
        withHidden(
          withHidden(Object(value), "valueOf", spring),
          "toString",
          spring,
        )
      ),
  },
  {
    name: "a map and a set that lie about their size",
    make: () => [
      withGetter(new Map([[1, 2]]), "size", spring, false),
      withHidden(new Set([1]), "values", spring),
    ],
  },
  {
    name: "a view that lies about its length",
    make: () =>
      withGetter(new Uint8Array([1, 2, 3]), "length", () => 99, false),
  },
  {
    name: "a view that lies about its buffer",
    make: () =>
      withHidden(new Uint8Array([1, 2, 3]), "buffer", new ArrayBuffer(99)),
  },
  {
    name: "a view that lies about its kind",
    make: () =>
      Object.defineProperty(new Uint8Array([1, 2, 3, 4]), Symbol.toStringTag, {
        value: "Float64Array",
      }),
  },
  {
    name: "a part of a buffer that lies about where it lies",
    make: () =>
      withGetter(
        withGetter(bytes(16).subarray(3, 9), "byteOffset", () => 0, false),
        "byteLength",
        () => 1,
        false,
      ),
  },
  {
    name: "a buffer that lies about its length",
    make: () => withHidden(new ArrayBuffer(3), "byteLength", 99),
  },
  {
    name: "a class that calls itself an ArrayBuffer",
    make: () => ({ [Symbol.toStringTag]: "ArrayBuffer", byteLength: 5 }),
  },
  {
    name: "a constructor that throws when it is asked for",
    make: () =>
      Object.assign(
        Object.create(withGetter({}, "constructor", spring, false)),
        { a: undefined },
      ),
  },

  {
    name: "a prototype that throws whatever it is asked",
    make: () =>
      Object.assign(
        Object.create(Object.create(null, { a: { get: spring, set() {} } })),
        { b: undefined },
      ),
  },

  // ------------------------------------------------------------ proxies
  { name: "a revoked proxy", make: () => revoked({}) },
  { name: "a revoked proxy of a list", make: () => ({ list: revoked([]) }) },
  {
    name: "a revoked proxy as a key of a map, and in a set",
    make: () => new Map([[revoked({}), new Set([revoked([])])]]),
  },
  { name: "a revoked proxy of a function", make: () => [revoked(() => {})] },
  {
    name: "a proxy with traps that throw",
    make: () =>
      new Proxy({ a: 1 }, {
        get: spring,
        ownKeys: spring,
        getPrototypeOf: spring,
        getOwnPropertyDescriptor: spring,
        has: spring,
      }),
  },
  {
    name: "a proxy that throws when it is asked for its prototype",
    make: () => new Proxy({ a: 1 }, { getPrototypeOf: spring }),
  },
  { name: "a proxy of a map", make: () => [new Proxy(new Map(), {})] },
  { name: "a proxy of an error", make: () => [new Proxy(new Error(), {})] },
  {
    name: "a proxy of a class's instance",
    make: () => new Proxy(new (class A {})(), {}),
  },
  {
    name: "the cause of an error, a revoked proxy",
    make: () => new Error("it broke", { cause: revoked({}) }),
  },

  // ------------------------------------------------------------- arrays
  {
    name: "the longest array, with one element",
    make: () => withOwn([], "4294967294", 1),
  },
  {
    name: "the longest array, with one element and a field",
    make: () => withOwn(withOwn([], "4294967294", 1), "field", [1]),
  },
  {
    name: "the longest array, with a field and no element",
    make: () => withOwn(new Array(2 ** 32 - 1), "field", 1),
  },
  { name: "a million holes", make: () => new Array(1_000_000) },
  {
    name: "holes here and there",
    make: () => {
      const list = new Array(100_000);
      for (let i = 0; i < list.length; i += 3) list[i] = i;
      return list;
    },
  },
  {
    name: "an element that is not enumerable",
    make: () => withHidden([1, 2, 3], "1", 5),
  },
  {
    name: "an element that is not enumerable, beside a field",
    make: () => Object.assign(withHidden([1, 2, 3], "1", 5), { x: 1 }),
  },
  {
    name: "frozen objects",
    make: () =>
      Object.freeze([Object.freeze({ a: Object.freeze([undefined]) })]),
  },
  {
    name: "sealed objects",
    make: () => Object.seal({ a: Object.preventExtensions(new Map([[1, 2]])) }),
  },

  // ------------------------------------------------------------- memory
  {
    name: "a view that is out of bounds",
    make: () => {
      const buffer = new ArrayBuffer(8, { maxByteLength: 16 });
      const view = new Uint8Array(buffer, 4, 4);
      buffer.resize(2);
      return { view };
    },
  },
  {
    name: "a DataView that is out of bounds",
    make: () => {
      const buffer = new ArrayBuffer(8, { maxByteLength: 16 });
      const view = new DataView(buffer, 4, 4);
      buffer.resize(2);
      return { view };
    },
  },
  {
    name: "a view that follows its buffer down to nothing",
    make: () => {
      const buffer = new ArrayBuffer(8, { maxByteLength: 16 });
      const view = new Uint8Array(buffer);
      buffer.resize(0);
      return [view, buffer];
    },
  },
  {
    name: "a wide view that grows with a buffer of odd length",
    make: () => new Float64Array(new ArrayBuffer(16, { maxByteLength: 17 })),
  },
  {
    name: "a detached buffer",
    make: () => {
      const buffer = new ArrayBuffer(8);
      buffer.transfer();
      return [new Map([[buffer, 1]])];
    },
  },
  {
    name: "a view on a detached buffer",
    make: () => {
      const view = new Float64Array(8);
      view.buffer.transfer();
      return [view];
    },
  },

  // -------------------------------------------------------------- errors
  ...["message", "stack", "cause", "name"].map((key) => ({
    name: `an error whose ${key} throws`,
    make: () => withGetter(new Error("it broke"), key, spring, false),
    expected: refuse,
  })),
  {
    name: "an error whose name is no string",
    make: () =>
      withHidden(plainError("it broke"), "name", { toString: spring }),
    expected: refuse,
  },
  {
    name: "an error that is its own cause",
    make: () => {
      const error = plainError("it broke");
      return withHidden(error, "cause", error);
    },
    expected: () => {
      const error = plainError("it broke");
      return Object.defineProperty(error, "cause", {
        value: error,
        writable: true,
        configurable: true,
      });
    },
  },
  {
    name: "an AggregateError that holds itself",
    make: () => {
      const error = new AggregateError([]);
      error.stack = "AggregateError";
      error.errors.push(error, [error]);
      return error;
    },
    expected: () => {
      const error = new AggregateError([]);
      error.stack = "AggregateError";
      error.errors.push(error, [error]);
      return error;
    },
  },
  {
    name: "an AggregateError whose errors are no list",
    make: () => {
      const error = new AggregateError([]);
      error.stack = "AggregateError";
      return withHidden(error, "errors", 5);
    },
    expected: () => {
      const error = new AggregateError([]);
      error.stack = "AggregateError";
      error.errors = 5 as never;
      return error;
    },
  },
  {
    name: "an error of a class whose constructor throws",
    make: () => {
      const error = new SpitefulError(3);
      error.stack = "SpitefulError";
      return error;
    },
    expected: () => {
      const error = new SpitefulError(3);
      error.stack = "SpitefulError";
      return withHiddenName(error);
    },
  },
];

/** An own name arrives as built-ins have theirs: not enumerable. */
function withHiddenName(error: Error): Error {
  return Object.defineProperty(error, "name", {
    value: error.name,
    enumerable: false,
    writable: true,
    configurable: true,
  });
}
