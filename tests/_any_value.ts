/**
 * Any value that a program may send, for properties: objects of every kind that structured clone
 * knows, in any graph. What is made is plain data, which shrinks; `_value_graph.ts` builds the value.
 *
 * @module
 */

import fc from "fast-check";
import {
  type Entry,
  ERROR_CLASSES,
  type Graph,
  type Node,
  type Primitive,
  type Ref,
  REFUSED,
  VIEWS,
} from "./_value_graph.ts";

/** Keys that something might take for more than a key. */
const KEYS = [
  "a",
  "b",
  "__proto__",
  "\0__proto__",
  "constructor",
  "prototype",
  "toJSON",
  "toString",
  "valueOf",
  "cause",
  "",
  "0",
  "1",
  "7",
  "-1",
  "01",
  "1.5",
  "4294967295",
  "\0",
  "\ud800",
  "\u2028",
  "é😀",
];

const STRINGS = [
  "",
  "__proto__",
  "\0",
  "\ud83d",
  "\ude00\ud83d",
  "😀",
  "\u2028\u2029\\\"'</script>",
  "\ufeff",
  "NaN",
  "-2",
  "\x7f\x1b\b",
];

// Units, not characters: surrogates come alone as well.
const text = fc.oneof(
  fc.constantFrom(...STRINGS),
  fc.string({
    unit: fc.nat({ max: 0xffff }).map((n) => String.fromCharCode(n)),
    maxLength: 12,
  }),
);

const number = fc.oneof(
  fc.constantFrom(0, -0, NaN, Infinity, -Infinity, -1, -7, 2 ** 53, 5e-324),
  fc.integer(),
  fc.double(),
);

const primitive: fc.Arbitrary<Primitive> = fc.oneof(
  fc.constantFrom(undefined, null, true, false),
  number,
  fc.bigInt(),
  text,
);

/** More places than there are nodes: they are counted round and round. */
const place = fc.nat({ max: 11 });

const ref: fc.Arbitrary<Ref> = fc.oneof(
  fc.record({ value: primitive }),
  fc.record({ node: place }),
);

const key = fc.oneof(fc.constantFrom(...KEYS), text);

function entries(keys: fc.Arbitrary<string>): fc.Arbitrary<Entry[]> {
  const entry = fc.record({
    key: keys,
    as: fc.oneof(
      { arbitrary: fc.constant("data" as const), weight: 8 },
      fc.constantFrom("getter" as const, "hidden" as const),
    ),
    ref,
  });
  return fc.array(entry, { maxLength: 5 });
}

function keysOf<K extends string>(table: Record<K, unknown>): K[] {
  return Object.keys(table) as K[];
}

const record = fc.record({
  kind: fc.constantFrom(
    "object" as const,
    "bare" as const,
    "instance" as const,
  ),
  entries: entries(key),
});

const array = fc.record({
  kind: fc.constant("array" as const),
  items: fc.array(
    fc.oneof({ arbitrary: ref, weight: 6 }, fc.constant(null)),
    { maxLength: 6 },
  ),
  entries: fc.oneof(
    { arbitrary: fc.constant([]), weight: 3 },
    entries(
      fc.oneof(fc.constantFrom(...KEYS), fc.constantFrom("999")),
    ),
  ),
});

const map = fc.record({
  kind: fc.constant("map" as const),
  pairs: fc.array(fc.tuple(ref, ref), { maxLength: 5 }),
});

const set = fc.record({
  kind: fc.constant("set" as const),
  items: fc.array(ref, { maxLength: 5 }),
});

const error = fc.record({
  kind: fc.constant("error" as const),
  errorClass: fc.constantFrom(...keysOf(ERROR_CLASSES)),
  name: fc.option(text, { nil: undefined, freq: 2 }),
  message: fc.option(text, { nil: undefined }),
  cause: fc.option(ref, { nil: undefined }),
  errors: fc.array(ref, { maxLength: 3 }),
  entries: entries(
    fc.constantFrom(...KEYS),
  ),
});

const date = fc.record({
  kind: fc.constant("date" as const),
  time: fc.oneof(
    fc.constantFrom(0, NaN, 8.64e15, -8.64e15),
    fc.integer(),
    fc.integer({ min: -8.64e15, max: 8.64e15 }),
  ),
});

const expression = fc.record({
  kind: fc.constant("expression" as const),
  source: fc.constantFrom(
    "",
    "a",
    "[\\/]/",
    "\n\u2028",
    "\ud800",
    "(?<x>.)\\1",
  ),
  flags: fc.constantFrom("", "g", "dgimsuy", "v", "y"),
  lastIndex: fc.nat({ max: 2 }),
});

const box = fc.record({
  kind: fc.constant("box" as const),
  content: fc.oneof(fc.boolean(), number, fc.bigInt(), text),
});

const buffer = fc.record({
  kind: fc.constant("buffer" as const),
  length: fc.nat({ max: 40 }),
  maxByteLength: fc.option(fc.nat({ max: 20 }), { nil: undefined }),
});

const view = fc.record({
  kind: fc.constant("view" as const),
  view: fc.constantFrom(...keysOf(VIEWS)),
  buffer: place,
  offset: fc.nat({ max: 40 }),
  length: fc.option(fc.nat({ max: 40 }), { nil: undefined }),
});

const refused = fc.record({
  kind: fc.constant("refused" as const),
  what: fc.constantFrom(...keysOf(REFUSED)),
});

const sendable: fc.Arbitrary<Node> = fc.oneof(
  { arbitrary: record, weight: 4 },
  { arbitrary: array, weight: 3 },
  { arbitrary: map, weight: 2 },
  { arbitrary: set, weight: 2 },
  { arbitrary: error, weight: 2 },
  date,
  expression,
  box,
  buffer,
  { arbitrary: view, weight: 2 },
);

function graphs(node: fc.Arbitrary<Node>): fc.Arbitrary<Graph> {
  return fc.record({
    root: fc.oneof(
      { arbitrary: fc.record({ node: fc.constant(0) }), weight: 9 },
      fc.record({ value: primitive }),
    ),
    nodes: fc.array(node, { minLength: 1, maxLength: 9 }),
  });
}

/** Values that structured clone takes. */
export const sendableGraph: fc.Arbitrary<Graph> = graphs(sendable);

/** Values of which one in a few holds something that structured clone refuses. */
export const anyGraph: fc.Arbitrary<Graph> = graphs(
  fc.oneof({ arbitrary: sendable, weight: 30 }, refused),
);
