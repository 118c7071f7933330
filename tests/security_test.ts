/**
 * What a task can do to its parent, and what it cannot: `SECURITY.md` names a test of this file, or
 * of another one, for each of its claims.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import { decodeValue, encodeValue } from "../_codec.ts";
import { Format } from "../_layout.ts";
import {
  BrokenExecutor,
  BrokenProcessPool,
  type Future,
  importTasks,
  ProcessPoolExecutor,
  SerializationError,
  ThreadPoolExecutor,
} from "../mod.ts";
import {
  type Form,
  type Setting,
  tasks,
  testForms,
  testPool,
} from "./_harness.ts";
import {
  childPids,
  pidOf,
  testProcesses,
  testProcessForms,
} from "./_process_tasks.ts";
import { runProgram } from "./_program.ts";
import type { Forgery } from "./_security_tasks.ts";
import { bytes, VALUES } from "./_values.ts";

const hostile = importTasks<typeof import("./_security_tasks.ts")>(
  import.meta.resolve("./_security_tasks.ts"),
);

// ------------------------------------------------- the parent evaluates nothing

interface Info {
  readonly modules: readonly {
    readonly specifier: string;
    readonly dependencies?: readonly {
      readonly code?: { readonly specifier?: string };
    }[];
  }[];
}

/** The modules that a module loads, itself included, other than for types. */
async function modulesOf(module: string): Promise<Set<string>> {
  const root = import.meta.resolve(`../${module}`);
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", root],
  }).output();
  const { modules }: Info = JSON.parse(new TextDecoder().decode(stdout));
  const found = new Set<string>();
  const visit = (specifier: string) => {
    if (found.has(specifier)) return;
    found.add(specifier);
    const module = modules.find((module) => module.specifier === specifier);
    for (const { code } of module?.dependencies ?? []) {
      if (code?.specifier !== undefined) visit(code.specifier);
    }
  };
  visit(root);
  return found;
}

/** The parent's modules: of the thread that made the pool, and of the one that manages processes. */
async function parentModules(): Promise<Set<string>> {
  const own = await modulesOf("mod.ts");
  return own.union(await modulesOf("_process_manager.ts"));
}

/** Ways from text to code. */
const EVALUATORS: Readonly<Record<string, RegExp>> = {
  "eval": /\beval\b(?!["'])/,
  "Function": /\bnew\s+Function\b|(?<![\w.^])Function\s*\(/,
  "constructor of a function": /\.constructor\s*\(|constructor\.constructor/,
  "import of what is no literal": /\bimport\s*\((?!\s*")/,
  "timer with text": /\bset(Timeout|Interval)\(\s*["'`]/,
  "Worker": /\bnew\s+(globalThis\.)?Worker\s*\(/,
  "module from text": /createObjectURL|["'`]data:/,
  "node:vm": /["']node:(vm|module|repl|child_process)["']/,
  "inspector":
    /["'](Runtime|Debugger)\.(evaluate|callFunctionOn|compileScript|runScript|setScriptSource)["']/,
  "WebAssembly": /WebAssembly\.(compile|instantiate|Instance)/,
  "FFI": /\bdlopen\b/,
};

/** What the parent's modules hold all the same, and why that evaluates nothing of a worker's. */
const ARGUED: Readonly<Record<string, string>> = {
  "_inspector.ts: inspector":
    "fixed text on functions that the program submits itself; nothing of a worker's gets there",
  "_start_thread.ts: Worker": "started from the URLs of two own modules",
  "_references.ts: node:vm":
    "the names of Node's modules, and `createRequire`, for functions that the program submits itself",
};

/** Code without its comments; text that looks like one goes as well, which hides no call. */
function withoutComments(source: string): string {
  return source.replaceAll(/\/\*[^]*?\*\/|(?<![:"'`])\/\/.*$/gm, "");
}

Deno.test("no module of the parent turns text into code, but those argued for", async () => {
  const modules = await parentModules();
  const found: string[] = [];
  for (const module of modules) {
    if (!module.startsWith("file:")) continue;
    const code = withoutComments(await Deno.readTextFile(new URL(module)));
    for (const [name, pattern] of Object.entries(EVALUATORS)) {
      const file = module.slice(module.lastIndexOf("/") + 1);
      if (pattern.test(code)) found.push(`${file}: ${name}`);
    }
  }
  assertEquals(found.toSorted(), Object.keys(ARGUED).toSorted());
});

Deno.test("no module of the parent loads functions, and what it imports from elsewhere is known", async () => {
  const modules = [...await parentModules()];
  const files = modules.map((module) =>
    module.slice(module.lastIndexOf("/") + 1)
  );
  assert(files.includes("_dispatcher.ts") && files.includes("_feeder.ts"));
  // It makes functions of definitions: in workers.
  assert(!files.includes("_loader.ts"));
  const foreign = modules.filter((module) => !module.startsWith("file:"));
  assertEquals(
    foreign.map((module) => module.replace(/@[\d.]+$/, "")).toSorted(),
    [
      // Reads and writes payloads; see the next test.
      "npm:devalue",
      // They read the source of functions that the program submits, and evaluate none.
      "npm:acorn",
      "npm:periscopic",
      "node:buffer",
      "node:perf_hooks",
      "node:process",
      "node:util",
      "node:worker_threads",
    ].toSorted(),
  );
});

Deno.test("the reader of payloads, devalue's, turns no text into code", async () => {
  const { unflatten } = await import("npm:devalue@6.0.3");
  const source = withoutComments(String(unflatten));
  assertStringIncludes(source, "hydrate");
  assert(!/\beval\b|\bFunction\b|\bimport\b/.test(source));
});

// ------------------------------------------------------------ forged payloads

/** What a payload would change if it could. */
const GUARDED: readonly object[] = [
  globalThis,
  Object,
  Object.prototype,
  Function.prototype,
  Array.prototype,
  String.prototype,
  Number.prototype,
  Boolean.prototype,
  Symbol.prototype,
  RegExp.prototype,
  Date.prototype,
  Promise.prototype,
  Map.prototype,
  Set.prototype,
  Error.prototype,
  TypeError.prototype,
  DOMException.prototype,
  ArrayBuffer.prototype,
  Object.getPrototypeOf(Uint8Array.prototype),
  Uint8Array.prototype,
  SerializationError.prototype,
  BrokenProcessPool.prototype,
  JSON,
  Reflect,
];

/** A picture of all that is guarded: each property, and what it holds. */
function picture(): unknown[] {
  return GUARDED.flatMap((object) => [
    Object.getPrototypeOf(object),
    ...Reflect.ownKeys(object).flatMap((key) => {
      const { value, get, set } = Object.getOwnPropertyDescriptor(object, key)!;
      return [key, value, get, set];
    }),
  ]);
}

function isSame(before: readonly unknown[], after: readonly unknown[]) {
  return before.length === after.length &&
    before.every((item, i) => Object.is(item, after[i]));
}

/** What code in a payload would call. */
const canary = { calls: 0 };
Object.defineProperty(globalThis, "__canary", {
  configurable: true,
  value: () => canary.calls++,
});

/** Runs `use` and sees to it that it has evaluated and polluted nothing. */
async function unharmed<T>(use: () => T | Promise<T>): Promise<T> {
  const before = picture();
  try {
    return await use();
  } finally {
    assertEquals(canary.calls, 0);
    assert(isSame(before, picture()), "a built-in was changed");
  }
}

/** Whether an object is of a class that payloads are made of. */
function isOfKnownClass(object: object): boolean {
  const prototype = Object.getPrototypeOf(object);
  const { name } = prototype.constructor;
  const known = Object.hasOwn(globalThis, name)
    ? (globalThis as unknown as Record<string, unknown>)[name]
    : (Deno.errors as Record<string, unknown>)[name] ??
      (Temporal as unknown as Record<string, unknown>)[name];
  return (known as { prototype?: object } | undefined)?.prototype ===
      prototype || prototype instanceof Error || name === "ArrayFields";
}

/** Looks at every part of a decoded value: no function, no accessor, no prototype but those of known classes. */
function assertHarmless(root: unknown): void {
  const seen = new Set<unknown>();
  const rest = [root];
  while (rest.length > 0) {
    const value = rest.pop();
    assert(typeof value !== "function" && typeof value !== "symbol");
    if (typeof value !== "object" || value === null || seen.has(value)) {
      continue;
    }
    seen.add(value);
    // An error of a registered class is one, and nothing that looks so.
    assert(!GUARDED.includes(value), "a payload holds a built-in");
    const isOwn = isOfKnownClass(value);
    assert(
      isOwn,
      `a payload has the class ${Object.prototype.toString.call(value)}`,
    );
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) continue;
    if (value instanceof Map) rest.push(...value.keys(), ...value.values());
    if (value instanceof Set) rest.push(...value);
    for (const key of Object.keys(value).concat("cause", "errors", "stack")) {
      const own = Object.getOwnPropertyDescriptor(value, key);
      assert(own?.get === undefined || key === "stack");
      rest.push(own?.value);
    }
  }
}

const CODE = "globalThis.__canary()";

/** Plain payloads: JSON. */
const PLAIN_FORGERIES: Readonly<Record<string, string>> = {
  "text that is code": JSON.stringify([CODE, `(${CODE})`, "`${__canary()}`"]),
  "a definition of a function": JSON.stringify({
    kind: "source",
    source: `() => ${CODE}`,
    module: `data:text/javascript,${CODE}`,
  }),
  "the key __proto__": '{"__proto__":{"polluted":1},"a":{"__proto__":null}}',
  "the path constructor.prototype":
    '{"constructor":{"prototype":{"polluted":1}}}',
  "what looks like a promise": `{"then":${JSON.stringify(CODE)}}`,
  "what looks like an object with toJSON and toString":
    '{"toJSON":1,"toString":1,"valueOf":1}',
};

/** Rich payloads, as parsed JSON, that are read all the same: as what they are. */
const READ_FORGERIES: Readonly<Record<string, unknown>> = {
  "text that is code": [[1, 2], CODE, `javascript:${CODE}`],
  "an escaped key __proto__": [{ "\0__proto__": 1 }, { polluted: 2 }, 3],
  "the path constructor.prototype": [
    { constructor: 1 },
    { prototype: 2 },
    { polluted: 3 },
    1,
  ],
  "an error of the class __proto__": [
    ["null", "class", 1, "message", 1],
    "__proto__",
  ],
  "an error of the class constructor": [["null", "class", 1], "constructor"],
  "an error of the class toString": [["null", "class", 1], "toString"],
  "an error of the class Function": [["null", "class", 1], "Function"],
  "an error of a class that is a list": [["null", "class", 1], [2], "Error"],
  "an error with its constructor as a field": [
    ["null", "constructor", 1, "\0__proto__", 1],
    { polluted: 2 },
    3,
  ],
  "an error whose fields have the key __proto__": [
    ["null", "class", 1, "fields", 2],
    "TypeError",
    { "\0__proto__": 3 },
    { polluted: 4 },
    5,
  ],
  "an error whose name, message and stack are objects": [
    ["null", "class", 1, "name", 2, "message", 2, "stack", 2, "cause", 0],
    "RangeError",
    { toString: 3, valueOf: 3 },
    1,
  ],
  "an array whose fields have the key __proto__": [
    [1, 2],
    3,
    ["Fields", 3],
    { "\0__proto__": 4 },
    { polluted: 5 },
    6,
  ],
  "a sparse array as long as there are": [[-7, 2 ** 32 - 1, 5, 1], "x"],
  "a map that is its own key and value": [["Map", 0, 0]],
  "a date that is none": [["Date", { a: 1 }]],
  "a URL of code": [["URL", `javascript:${CODE}`]],
  "a regular expression that takes for ever": [["RegExp", "(a+)+$", ""]],
  "what looks like a promise": [{ then: 1 }, CODE],
};

/** Rich payloads that are refused. */
const REFUSED_FORGERIES: Readonly<Record<string, unknown>> = {
  "no array": 5,
  "no item": [],
  "null": null,
  "the key __proto__": JSON.parse('[{"__proto__":1},{"polluted":2},3]'),
  "an error with the key __proto__": [["null", "__proto__", 1], 5],
  "the unknown tag Function": [["Function", CODE]],
  "the unknown tag eval": [["eval", CODE]],
  "the unknown tag constructor": [["constructor", 1], CODE],
  "the unknown tag __proto__": [["__proto__", 1], { polluted: 1 }],
  "the unknown tag toString": [["toString", 1], 1],
  "the unknown tag hasOwnProperty": [["hasOwnProperty", 1], 1],
  "an index out of range": [[99]],
  "an index without bounds": [[1e300]],
  "an index that is text": [["0"]],
  "an index that is an object": [[{}]],
  "a tag that holds itself": [["DOMException", 0]],
  "a box that holds itself": [["Object", 0]],
  "a box of an object": [["Object", 1], {}],
  "a negative length": [[-7, -1, 0, 1], 1],
  "a length beyond any": [[-7, 2 ** 32, 0, 1], 1],
  "a place beyond the length": [[-7, 5, 5, 1], 1],
  "a place that is none": [[-7, 5, "length", 1], 1],
  "a buffer that is not there": [["ArrayBuffer", 1], 99],
  "a buffer of number 0": [["ArrayBuffer", 1], 0],
  "a buffer without a number": [["ArrayBuffer", 1], {}],
  "a buffer that may grow without bounds": [
    ["ArrayBuffer", 1],
    [2, 3],
    1,
    2 ** 53,
  ],
  "a buffer that may grow below nothing": [["ArrayBuffer", 1], [2, 3], 1, -1],
  "a view of a number": [["Uint8Array", 1], 4e9],
  "a view longer than its buffer": [
    ["Uint8Array", 1, 0, 4e9],
    ["ArrayBuffer", 2],
    1,
  ],
  "a view before its buffer": [["DataView", 1, -1], ["ArrayBuffer", 2], 1],
  "a view that is not aligned": [
    ["Float64Array", 1, 1],
    ["ArrayBuffer", 2],
    1,
  ],
  "text of half a unit": [["Text", 1], -2],
  "a bigint that is none": [["BigInt", CODE]],
  "a bigint with a point": [["BigInt", 1.5]],
  "a regular expression that is none": [["RegExp", "(", ""]],
  "flags that are none": [["RegExp", "a", CODE]],
  "a URL that is none": [["URL", CODE]],
  "a time that is none": [["Temporal.Instant", CODE]],
  "a class of Temporal that there is not": [["Temporal.Now", CODE]],
};

/** An array with something in its last places: to make text or a number of it takes minutes. */
const ENDLESS = [-7, 2 ** 32 - 1, 7, -1, 2 ** 32 - 2, 2];

/** Rich payloads that would cost far more than their size, in memory or time. */
const GROWING_FORGERIES: Readonly<Record<string, unknown>> = {
  "an array without end for a number of an object": [["Moved", 1], ENDLESS, 1],
  "an array without end for a number of text": [["Text", 1], ENDLESS, 1],
  "an array without end for a number of a buffer": [
    ["ArrayBuffer", 3],
    ENDLESS,
    1,
    [1, 2],
  ],
  "an array without end for the length of a buffer": [
    ["ArrayBuffer", 3],
    ENDLESS,
    1,
    [2, 1],
  ],
  "an array without end for a DOMException's message": [
    ["DOMException", 3],
    ENDLESS,
    1,
    { message: 1, name: 1 },
  ],
  "a buffer named twice": [[1, 2], ["ArrayBuffer", 3], ["ArrayBuffer", 3], 1],
  "text named twice": [[1, 2], ["Text", 3], ["Text", 3], 1],
  "text named by text": [[1, 2], ["Text", 3], ["Text", 4], 1, "01"],
  "text in both forms": [[1, 2], ["Text", 3], ["Text", 4], 1, -1],
  "a growing buffer named twice": [
    [1, 2],
    ["ArrayBuffer", 3],
    ["ArrayBuffer", 3],
    [4, 5],
    1,
    2 ** 20,
  ],
  "fields of two arrays": [[1, 2], [3], [3], ["Fields", 4], { a: 5 }, 1],
  "fields of an array, twice": [[1, 1], ["Fields", 2], { a: 3 }, 1],
  "fields of an object": [{ a: 1 }, ["Fields", 2], { b: 3 }, 1],
  "fields of two errors": [
    [1, 2],
    ["null", "fields", 3],
    ["null", "fields", 3],
    { a: 4 },
    1,
  ],
  "fields of two DOMExceptions": [
    [1, 2],
    ["DOMException", 3],
    ["DOMException", 4],
    { message: 5, name: 5, stack: 5, fields: 6 },
    { message: 5, name: 5, stack: 5, fields: 6 },
    "text",
    { a: 5 },
  ],
  "a DOMException twice": [
    [1, 2],
    ["DOMException", 3],
    ["DOMException", 3],
    { message: 4, name: 4, stack: 4, fields: 5 },
    "text",
    { a: 4 },
  ],
  "bytes for fields": [
    ["null", "fields", 1],
    ["Uint8Array", 2],
    ["ArrayBuffer", 3],
    1,
  ],
  "a view of what is no buffer": [["Uint8Array", 1], ["ArrayBuffer", 2], -1],
};

/** One of 8 bytes, one of 3. */
function forgedBuffers(): Uint8Array[] {
  return [bytes(8), bytes(3)];
}

for (const [name, text] of Object.entries(PLAIN_FORGERIES)) {
  Deno.test(`decodeValue() takes ${name} for plain data`, async () => {
    const value = await unharmed(() => decodeValue(Format.PLAIN, text, [], []));
    assertHarmless(value);
    assertEquals(JSON.stringify(value), text);
  });
}

for (const [name, forged] of Object.entries(READ_FORGERIES)) {
  Deno.test(`decodeValue() evaluates and pollutes nothing when a rich payload has ${name}`, async () => {
    const text = JSON.stringify(forged);
    const value = await unharmed(() =>
      decodeValue(Format.RICH, text, forgedBuffers(), [])
    );
    assertHarmless(value);
  });
}

for (
  const [name, forged] of Object.entries({
    ...REFUSED_FORGERIES,
    ...GROWING_FORGERIES,
  })
) {
  Deno.test(`decodeValue() refuses a rich payload that has ${name}`, async () => {
    let error: unknown;
    await unharmed(() => {
      try {
        decodeValue(Format.RICH, JSON.stringify(forged), forgedBuffers(), []);
      } catch (thrown) {
        error = thrown;
      }
    });
    assertInstanceOf(error, Error);
  });
}

Deno.test("decodeValue() gives an error of a name that is no class an Error's prototype", () => {
  for (const name of ["__proto__", "constructor", "toString", "Function"]) {
    const text = JSON.stringify([["null", "class", 1], name]);
    const error = decodeValue(Format.RICH, text, [], []);
    assertEquals(Object.getPrototypeOf(error), Error.prototype);
  }
});

Deno.test("decodeValue() keeps __proto__ a key of the object that has it", () => {
  const text = JSON.stringify([{ "\0__proto__": 1 }, { polluted: 2 }, 3]);
  for (
    const value of [
      decodeValue(Format.RICH, text, [], []),
      decodeValue(Format.PLAIN, '{"__proto__":{"polluted":3}}', [], []),
    ] as { polluted?: number }[]
  ) {
    assertEquals(Object.getPrototypeOf(value), Object.prototype);
    assertEquals(Object.keys(value), ["__proto__"]);
    assertEquals(value.polluted, undefined);
  }
});

Deno.test("decodeValue() gives an array that says to be long no memory for that", () => {
  const length = 2 ** 32 - 1;
  const text = JSON.stringify(
    Array.from(
      { length: 1_000 },
      (_, i) => i === 0 ? rangeTo(1_000) : [-7, length],
    ),
  );
  // As many as would take terabytes.
  const arrays = decodeValue(Format.RICH, text, [], []) as unknown[][];
  assert(arrays.every((array) => array.length === length));
});

function rangeTo(end: number): number[] {
  return Array.from({ length: end - 1 }, (_, i) => i + 1);
}

Deno.test("decodeValue() refuses what is nested beyond the stack, and plain data of that depth comes", () => {
  const depth = 200_000;
  const rich = [...rangeTo(depth).map((i) => [i]), 0];
  assertThrows(() => decodeValue(Format.RICH, JSON.stringify(rich), [], []));
  const text = "[".repeat(depth) + "]".repeat(depth);
  let value = decodeValue(Format.PLAIN, text, [], []) as unknown[];
  for (let i = 1; i < depth; i++) value = value[0] as unknown[];
  assertEquals(value, []);
});

// ------------------------------------------------------- any damage to payloads

interface Genuine {
  readonly nodes: unknown[];
  readonly buffers: readonly Uint8Array[];
}

/** Rich payloads as the codec writes them. */
function genuinePayloads(): Genuine[] {
  const found: Genuine[] = [];
  for (const { make } of VALUES) {
    const { format, text, buffers } = encodeValue(
      [undefined, make()],
      { canMove: false },
      "it",
    );
    if (format !== Format.RICH || text.length > 2_000) continue;
    if (buffers.some(({ byteLength }) => byteLength > 10_000)) continue;
    found.push({ nodes: JSON.parse(text), buffers });
  }
  return found;
}

const TAGS = [
  "ArrayBuffer",
  "Text",
  "Moved",
  "LongStringObject",
  "DOMException",
  "Fields",
  "null",
  "Object",
  "Map",
  "Set",
  "Date",
  "RegExp",
  "BigInt",
  "Uint8Array",
  "Float64Array",
  "DataView",
  "URL",
  "class",
  "fields",
  "message",
  "stack",
  "cause",
  "constructor",
  "prototype",
  "__proto__",
  "\0__proto__",
  "toString",
  "then",
  CODE,
];

/** What is put in the place of a part. */
const part = fc.oneof(
  fc.integer({ min: -8, max: 30 }),
  fc.constantFrom(...TAGS),
  fc.constantFrom(-7, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53, 1e300, 0.5),
  fc.constantFrom(null, true, [], {}),
  fc.array(
    fc.oneof(fc.integer({ min: -8, max: 30 }), fc.constantFrom(...TAGS)),
    {
      maxLength: 4,
    },
  ),
);

/** Changes to a list of nodes, each at some place of it. */
const change = fc.record({
  kind: fc.constantFrom("replace", "insert", "remove", "rename", "swap"),
  node: fc.nat(),
  item: fc.nat(),
  part,
});

interface Change {
  readonly kind: string;
  readonly node: number;
  readonly item: number;
  readonly part: unknown;
}

function applyChange(nodes: unknown[], change: Change) {
  const { kind, node, item } = change;
  const part = structuredClone(change.part); // it may be put in twice
  const at = node % nodes.length;
  const target = nodes[at];
  if (kind === "swap") {
    const other = item % nodes.length;
    [nodes[at], nodes[other]] = [nodes[other], nodes[at]];
  } else if (Array.isArray(target)) {
    const place = item % (target.length + 1);
    if (kind === "insert") target.splice(place, 0, part);
    else if (kind === "remove") target.splice(place, 1);
    else target[place] = part;
  } else if (typeof target === "object" && target !== null) {
    const record = target as Record<string, unknown>;
    const keys = Object.keys(record);
    const key = keys[item % Math.max(1, keys.length)] ?? "a";
    const name = kind === "rename" && typeof part === "string" ? part : key;
    Object.defineProperty(record, name, {
      value: kind === "rename" ? record[key] : part,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  } else nodes[at] = part;
}

Deno.test("decodeValue() of any damaged payload gives data or an error, and harms nothing", async () => {
  const genuine = genuinePayloads();
  assert(genuine.length > 50, `${genuine.length}`);
  let given = 0;
  let refused = 0;
  await unharmed(() =>
    fc.assert(
      fc.property(
        fc.nat({ max: genuine.length - 1 }),
        fc.array(change, { minLength: 1, maxLength: 6 }),
        (which, changes) => {
          const { nodes, buffers } = genuine[which];
          const forged = structuredClone(nodes);
          for (const change of changes) applyChange(forged, change);
          const text = JSON.stringify(forged);
          let value: unknown;
          try {
            const copies = buffers.map((buffer) => buffer.slice());
            value = decodeValue(Format.RICH, text, copies, []);
            given++;
          } catch (error) {
            assertInstanceOf(error, Error);
            refused++;
            return;
          }
          assertHarmless(value);
        },
      ),
      { numRuns: 5_000 },
    )
  );
  assert(given > 500 && refused > 500, `${given} given, ${refused} refused`);
});

Deno.test("decodeValue() of any damaged text gives data or an error, and harms nothing", async () => {
  const genuine = genuinePayloads();
  await unharmed(() =>
    fc.assert(
      fc.property(
        fc.nat({ max: genuine.length - 1 }),
        fc.array(
          fc.tuple(fc.nat(), fc.constantFrom(...'[]{},:"0123456789-\\ue')),
          {
            minLength: 1,
            maxLength: 3,
          },
        ),
        (which, edits) => {
          const { nodes, buffers } = genuine[which];
          let text = JSON.stringify(nodes);
          for (const [place, letter] of edits) {
            const at = place % text.length;
            text = text.slice(0, at) + letter + text.slice(at + 1);
          }
          let value: unknown;
          try {
            const copies = buffers.map((buffer) => buffer.slice());
            value = decodeValue(Format.RICH, text, copies, []);
          } catch (error) {
            return assertInstanceOf(error, Error);
          }
          assertHarmless(value);
        },
      ),
      { numRuns: 2_000 },
    )
  );
});

// ------------------------------------------------- forged outcomes, in a pool

interface Pools {
  /** Submits a task that has its worker send a forgery. */
  forge(
    pool: ProcessPoolExecutor | ThreadPoolExecutor,
    forgery: Forgery,
  ): Future<unknown>;
  make(
    own: Setting["own"],
    maxWorkers?: number,
  ): ProcessPoolExecutor | ThreadPoolExecutor;
}

const POOLS: Readonly<Record<string, Pools>> = {
  ProcessPoolExecutor: {
    forge: (pool, forgery) =>
      pool.submit(hostile.forgeFrame, "returned", forgery),
    make: (own, maxWorkers = 1) => own(new ProcessPoolExecutor({ maxWorkers })),
  },
  ThreadPoolExecutor: {
    forge: (pool, forgery) => pool.submit(hostile.forgeResult, forgery),
    make: (own, maxWorkers = 1) => own(new ThreadPoolExecutor({ maxWorkers })),
  },
};

/** Forged payloads that are refused, one of each kind. */
const POOL_FORGERIES: Readonly<Record<string, Forgery>> = {
  "no JSON": { format: Format.PLAIN, text: CODE },
  "no rich text": { format: Format.RICH, text: CODE },
  ...Object.fromEntries(
    [
      "the key __proto__",
      "the unknown tag Function",
      "an index out of range",
      "a tag that holds itself",
      "a length beyond any",
      "a buffer that may grow without bounds",
      "a bigint that is none",
    ].map((name) => [name, {
      format: Format.RICH,
      text: JSON.stringify(REFUSED_FORGERIES[name]),
      buffers: [[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3]],
    }]),
  ),
  "text nested beyond the stack": {
    format: Format.RICH,
    text: JSON.stringify([...rangeTo(50_000).map((i) => [i]), 0]),
  },
};

for (const [kind, { forge, make }] of Object.entries(POOLS)) {
  const register = kind === "ProcessPoolExecutor"
    ? testProcessForms
    : testForms;

  register(
    `${kind} fails the call alone, and evaluates nothing, when a task has its worker send what cannot be read`,
    async ({ form, own }) => {
      const pool = make(own);
      await unharmed(async () => {
        for (const [name, forgery] of Object.entries(POOL_FORGERIES)) {
          const error = await form.exception(forge(pool, forgery));
          assertInstanceOf(error, SerializationError, name);
        }
        assertEquals(await form.result(pool.submit(Math.abs, -1)), 1);
      });
    },
  );

  register(
    `${kind} gives data, and evaluates nothing, when a task has its worker send what looks like code`,
    async ({ form, own }) => {
      const pool = make(own);
      const rich = Object.entries(READ_FORGERIES).map((
        [name, forged],
      ) => [name, Format.RICH, JSON.stringify(forged)] as const);
      const plain = Object.entries(PLAIN_FORGERIES).map((
        [name, text],
      ) => [name, Format.PLAIN, text] as const);
      await unharmed(async () => {
        for (const [name, format, text] of [...rich, ...plain]) {
          const value = await form.result(forge(pool, { format, text }));
          assert(value !== "not forged", name);
          assertHarmless(value);
        }
      });
    },
  );

  register(
    `${kind} breaks, and goes on to its end, when its initializer has broken the built-ins that it needs`,
    async ({ form, own }) => {
      const Pool = kind === "ProcessPoolExecutor"
        ? ProcessPoolExecutor
        : ThreadPoolExecutor;
      const pool = own(
        new Pool({
          maxWorkers: 1,
          initializer() {
            JSON.stringify = () => {
              throw new Error("replaced");
            };
            throw new Error("unfit");
          },
        }),
      );
      const error = await form.exception(pool.submit(Math.abs, -1));
      assertInstanceOf(error, BrokenExecutor);
      await form.shutdown(pool);
    },
  );

  register(
    `${kind} fails the call, and goes on to its end, when a task has broken the built-ins that it needs`,
    async ({ form, own }) => {
      for (const sabotage of SABOTAGES) {
        const pool = make(own);
        const error = await form.exception(pool.submit(sabotage));
        assertInstanceOf(error, BrokenExecutor, sabotage.name);
        await form.shutdown(pool);
      }
    },
  );
}

/** Tasks after which their worker cannot even make an error ready to travel. */
const SABOTAGES: readonly (() => unknown)[] = [
  function replaceStringify() {
    JSON.stringify = () => {
      throw new Error("replaced");
    };
    return {};
  },
  function replaceGet() {
    Map.prototype.get = () => {
      throw new Error("replaced");
    };
    return { inside: new Map() };
  },
  function replacePush() {
    Array.prototype.push = () => {
      throw new Error("replaced");
    };
    return { inside: new Map() };
  },
];

/** What is told when a worker dies, as no worker tells it. */
const ODD_REASONS: Readonly<Record<string, string>> = {
  "no reason": "[]",
  "a reason that is no text": '[{"toString":1,"valueOf":1}]',
  "a likely cause that is no text": '["why",0,{"toString":1,"valueOf":1}]',
  "details that are no text": '["why",0,"",{"toString":1,"valueOf":1}]',
  "no JSON": CODE,
};

for (const onWorkerDeath of ["break", "replace"] as const) {
  testProcessForms(
    `ProcessPoolExecutor({ onWorkerDeath: "${onWorkerDeath}" }) fails the call, and the program lives, when a task has its worker die for an odd reason`,
    async ({ form, own }) => {
      const make = () =>
        own(new ProcessPoolExecutor({ maxWorkers: 1, onWorkerDeath }));
      let pool = make();
      for (const [name, text] of Object.entries(ODD_REASONS)) {
        const forgery = { format: Format.PLAIN, text };
        const future = pool.submit(hostile.forgeFrame, "died", forgery);
        const error = await unharmed(() => form.exception(future));
        assertInstanceOf(error, BrokenProcessPool, name);
        assertMatch(error.message, /worker "\w+-\d+_\d+" (why|died)/, name);
        if (onWorkerDeath === "break") pool = make();
      }
      assertEquals(await form.result(pool.submit(Math.abs, -1)), 1);
    },
  );
}

// --------------------------------------------------- a process and its results

/** Submits two tasks that run at the same time, hence in two processes; returns what comes of each. */
async function runOnBoth(
  pool: ProcessPoolExecutor,
  { gates, form }: Setting & { form: Form },
): Promise<string[]> {
  const futures = ["a", "b"].map((name) =>
    pool.submit(tasks.hold, gates.folder, name)
  );
  await form.until(() => gates.isReached("a") && gates.isReached("b"));
  gates.openEvery();
  const results: string[] = [];
  for (const future of futures) results.push(await form.result(future));
  return results;
}

testProcessForms(
  "ProcessPoolExecutor gives the results of one process as they are when a task has taken over another",
  async (bench) => {
    const { form, own } = bench;
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 2 }));
    const pid = await form.result(pool.submit(hostile.takeOver, '"forged"'));
    const results = await runOnBoth(pool, bench);
    // The process is one realm: what a task has done to it, later tasks meet.
    assertEquals(results.filter((result) => result === "forged").length, 1);
    assertEquals(
      results.filter((result) => ["a", "b"].includes(result)).length,
      1,
    );
    assert(childPids().includes(pid));
  },
);

testProcessForms(
  "ProcessPoolExecutor({ maxTasksPerChild: 1 }) gives each result as it is when tasks take over their processes",
  async ({ form, own }) => {
    const pool = own(
      new ProcessPoolExecutor({ maxWorkers: 1, maxTasksPerChild: 1 }),
    );
    const pids: number[] = [];
    for (let i = 0; i < 2; i++) {
      const taken = pool.submit(hostile.takeOver, '"forged"');
      const sum = pool.submit(tasks.add, i, 1);
      pids.push(await form.result(taken));
      assertEquals(await form.result(sum), i + 1);
    }
    assert(pids[0] !== pids[1]);
  },
);

testProcessForms(
  "ProcessPoolExecutor breaks, and settles nothing with it, when a task sends an outcome of a task that was not sent",
  async ({ form, own }) => {
    for (const shift of [1, 7, 2 ** 31]) {
      const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
      await form.result(pool.submit(hostile.spy));
      // Written by now, and seen by the task.
      assertMatch(
        await form.result(pool.submit(hostile.lootedToken)),
        /^\w{12}$/,
      );
      const error = await form.exception(
        pool.submit(hostile.forgeAhead, shift),
      );
      assertInstanceOf(error, BrokenProcessPool);
      assertMatch(
        error.message,
        /sent what it must not.*received that of task/,
      );
    }
  },
);

testProcessForms(
  "ProcessPoolExecutor takes an outcome once, and breaks at the second, when a task sends its own by itself",
  async ({ form, own }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
    await form.result(pool.submit(hostile.spy));
    await form.result(pool.submit(hostile.lootedToken));
    // What it would have returned otherwise; its worker sends that as well.
    const future = pool.submit(hostile.forgeAhead, 0);
    assertEquals(await form.result(future), "forged");
    let error: unknown;
    try {
      error = await form.exception(pool.submit(tasks.add, 1, 2));
    } catch (thrown) {
      error = thrown; // noticed before
    }
    assertInstanceOf(error, BrokenProcessPool);
    assertMatch(error.message, /sent what it must not/);
    assertEquals(await form.result(future), "forged");
  },
);

testProcessForms(
  "ProcessPoolExecutor breaks, and settles nothing twice, when a task writes genuine frames once more",
  async ({ form, own }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
    await form.result(pool.submit(hostile.spy));
    const sums = [1, 2, 3].map((n) => pool.submit(tasks.add, n, n));
    for (const [i, sum] of sums.entries()) {
      assertEquals(await form.result(sum), 2 * i + 2);
    }
    const error = await form.exception(pool.submit(hostile.replay));
    assertInstanceOf(error, BrokenProcessPool);
    assertMatch(error.message, /sent what it must not.*received that of task/);
    for (const [i, sum] of sums.entries()) {
      assertEquals(await form.result(sum), 2 * i + 2);
    }
  },
);

testProcesses(
  "ProcessPoolExecutor takes frames with tokens that a task guesses for output, also past Deno.stdout",
  async () => {
    const { code, stdout, stderr } = await runProgram(
      `
      import { ProcessPoolExecutor } from "@concurrent/futures";

      const forge = async (turn: number) => {
        const { writeSync } = await import("node:fs");
        const guesses = ["0".repeat(12), "f".repeat(12), "undefinednul"];
        for (const guess of guesses) {
          const frame = '["returned",8,' + turn + ',1,8,0,0]\\n"forged"';
          const length = frame.length.toString(16).padStart(4, "0");
          for (const fd of [1, 2]) {
            writeSync(fd, new TextEncoder().encode(
              "\\x1e" + guess + "0" + length + frame + "\\n",
            ));
          }
        }
        return turn;
      };
      const pool = new ProcessPoolExecutor({ maxWorkers: 1 });
      for (let turn = 0; turn < 3; turn++) {
        const result = await pool.submit(forge, turn);
        if (result !== turn) throw new Error(String(result));
      }
      await pool.shutdown();
      `,
      { flags: ["--allow-run"] },
    );
    assertEquals(code, 0, stderr);
    // All that it wrote was passed on, as output.
    for (const text of [stdout, stderr]) {
      assertEquals(text.match(/"forged"/g)?.length, 9);
    }
  },
);

// -------------------------------------------------------------- permissions

/** What a task may try, by the permission that it would take. */
const DEEDS: Readonly<Record<string, (path: string) => unknown>> = {
  "read a file": (path) => Deno.readTextFileSync(path),
  "read a file by node:fs": async (path) =>
    (await import("node:fs")).readFileSync(path, "utf8"),
  "list a folder": (path) => [...Deno.readDirSync(path)],
  "change the working folder": () => Deno.chdir("/"),
  "import a file": (path) => import(`file://${path}`),
  "write a file": (path) => Deno.writeTextFileSync(path, ""),
  "make a symbolic link": (path) => Deno.symlinkSync("/", `${path}/link`),
  "remove a file": (path) => Deno.removeSync(path),
  "connect": () => Deno.connect({ hostname: "127.0.0.1", port: 1 }),
  "listen": () => Deno.listen({ hostname: "127.0.0.1", port: 0 }).close(),
  "fetch": () => fetch("http://127.0.0.1:8000/"),
  "see a variable": () => Deno.env.get("HOME"),
  "set a variable": () => Deno.env.set("HOME", "/"),
  "see every variable by node:process": async () => ({
    ...(await import("node:process")).default.env,
  }),
  "see the host's name": () => Deno.hostname(),
  "run a program": () => new Deno.Command("true").outputSync().code,
  "run a program by node:child_process": async () =>
    (await import("node:child_process")).execFileSync("true").length,
  "send its parent a signal": () => Deno.kill(Deno.ppid, "SIGCONT"),
  "load a library": () => Deno.dlopen("/lib/libc.so.6", {}).close(),
  "import from a host": () =>
    import(`https://${"jsr.io"}/@std/assert/1.0.0/mod.ts`),
  "read a file in a thread": async (path) => {
    const source = `postMessage(Deno.readTextFileSync(${
      JSON.stringify(path)
    }))`;
    const worker = new Worker(
      `data:text/javascript,${encodeURIComponent(source)}`,
      { type: "module" },
    );
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message));
    };
    try {
      return await promise;
    } finally {
      worker.terminate();
    }
  },
  "ask for more": async (path) => {
    await Deno.permissions.request({ name: "read", path });
    return Deno.readTextFileSync(path);
  },
};

const REFUSED = /NotCapable|Requires|not permitted|permission|EACCES|EPERM/i;

testProcessForms(
  'ProcessPoolExecutor({ context: { permissions: "none" } }) fails each call alone that does what it may not',
  async ({ form, own, gates }) => {
    const path = `${gates.folder}/secret`;
    Deno.writeTextFileSync(path, "secret");
    const pool = own(
      new ProcessPoolExecutor({
        maxWorkers: 1,
        context: { permissions: "none" },
      }),
    );
    const pid = await form.result(pool.submit(pidOf));
    for (const [name, deed] of Object.entries(DEEDS)) {
      const error = await form.exception(pool.submit(deed, path));
      assertInstanceOf(error, Error, name);
      assertMatch(`${error.name} ${error.message}`, REFUSED, name);
    }
    assertEquals(await form.result(pool.submit(pidOf)), pid);
    assertEquals(Deno.readTextFileSync(path), "secret");
    assertEquals([...Deno.readDirSync(gates.folder)].length, 1);
  },
);

testProcessForms(
  "ProcessPoolExecutor({ context: { permissions } }) lets no task beyond what was granted",
  async ({ form, own, gates }) => {
    const outside = Deno.makeTempDirSync();
    try {
      Deno.writeTextFileSync(`${outside}/secret`, "secret");
      const inside = `${gates.folder}/inside`;
      Deno.mkdirSync(inside);
      const pool = own(
        new ProcessPoolExecutor({
          maxWorkers: 1,
          context: {
            permissions: {
              read: [inside],
              write: [inside],
              net: ["127.0.0.1:1"],
              sys: ["hostname"],
            },
          },
        }),
      );
      const write = (path: string) => Deno.writeTextFileSync(path, "mine");
      const read = (path: string) => Deno.readTextFileSync(path);
      await form.result(pool.submit(write, `${inside}/file`));
      assertEquals(
        await form.result(pool.submit(read, `${inside}/file`)),
        "mine",
      );
      assertEquals(
        typeof await form.result(pool.submit(() => Deno.hostname())),
        "string",
      );
      const refused = [
        pool.submit(read, `${outside}/secret`),
        pool.submit(read, `${inside}/../inside/../../${outside}/secret`),
        pool.submit(write, `${outside}/secret`),
        pool.submit(
          (path: string) => Deno.symlinkSync("/etc", `${path}/link`),
          inside,
        ),
        pool.submit(() => Deno.connect({ hostname: "127.0.0.1", port: 2 })),
        pool.submit(() => Deno.osRelease()),
        pool.submit(() => Deno.env.get("HOME")),
        pool.submit(() => new Deno.Command("true").outputSync().code),
      ];
      for (const future of refused) {
        assertInstanceOf(await form.exception(future), Deno.errors.NotCapable);
      }
      assertEquals(Deno.readTextFileSync(`${outside}/secret`), "secret");
    } finally {
      Deno.removeSync(outside, { recursive: true });
    }
  },
);

// ----------------------------------------------------------------- threads

const PERMISSIONS = `
const look = (folder: string) => {
  const names = ["read", "write", "net", "env", "sys", "run", "ffi", "import"] as const;
  return names.map((name) => Deno.permissions.querySync({ name }).state)
    .concat(
      Deno.permissions.querySync({ name: "read", path: folder }).state,
      Deno.permissions.querySync({ name: "env", variable: "GIVEN" }).state,
      Deno.permissions.querySync({ name: "env", variable: "OTHER" }).state,
    ).join();
};
`;

testPool(
  "ThreadPoolExecutor gives tasks the permissions of the program, no more and no fewer",
  async () => {
    for (
      const flags of [
        ["--allow-all"],
        ["--allow-env=GIVEN", "--allow-sys"],
        ["--allow-net=127.0.0.1", "--deny-env=OTHER", "--allow-env"],
      ]
    ) {
      const { code, stderr } = await runProgram(
        `
        import { ThreadPoolExecutor } from "@concurrent/futures";
        ${PERMISSIONS}
        const folder = import.meta.dirname!;
        const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
        const seen = await pool.submit(look, folder);
        await pool.shutdown();
        if (seen !== look(folder)) throw new Error(seen + " and " + look(folder));
        `,
        { flags },
      );
      assertEquals([code, stderr], [0, ""]);
    }
  },
);

testForms(
  "ThreadPoolExecutor leaves the built-ins of the program and of other threads alone when a task spoils those of its thread",
  async ({ form, own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    await unharmed(async () => {
      const spoilt = pool.submit(hostile.spoilGlobals);
      assertEquals(await form.result(spoilt), "spoilt");
    });
    assertEquals(({} as { polluted?: unknown }).polluted, undefined);
    const other = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const look = () => typeof ({} as { polluted?: unknown }).polluted;
    assertEquals(await form.result(other.submit(look)), "undefined");
  },
);

testForms(
  "ThreadPoolExecutor has threads that share memory: a task can send what it returns as the outcome of another",
  async (bench) => {
    const { form, own, gates } = bench;
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 2 }));
    const held = pool.submit(tasks.hold, gates.folder, "a"); // task 0
    await form.until(() => gates.isReached("a"));
    pool.submit(hostile.forgeIndex, 0);
    // Not so in processes: see the tests above.
    assertEquals(await form.result(held), "forged");
  },
);

testPool(
  "ThreadPoolExecutor has threads that share the process: a task can end it, exhaust it, and change its folder, without a permission for that",
  async () => {
    const source = (task: string) => `
      import { ThreadPoolExecutor } from "@concurrent/futures";
      const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
      await pool.submit(() => ${task});
      await pool.shutdown();
      console.log(Deno.cwd());
    `;
    const killed = await runProgram(source(`Deno.kill(Deno.pid, "SIGKILL")`));
    assertEquals(killed.code, 137);
    const hoard =
      "{ const hoard = []; for (;;) hoard.push(new Array(1_000).fill(0)); }";
    const exhausted = await runProgram(source(hoard), {
      flags: ["--v8-flags=--max-old-space-size=64"],
    });
    // In a process it ends that process alone: see process_death_test.ts.
    assert(exhausted.code !== 0);
    assertEquals(exhausted.stdout, "");
    const moved = await runProgram(source(`Deno.chdir("/")`));
    assertEquals([moved.code, moved.stdout], [0, "/\n"]);
  },
);

// ------------------------------------------------------------- SECURITY.md

Deno.test("SECURITY.md names tests that there are", async () => {
  const text = await Deno.readTextFile(
    new URL("../SECURITY.md", import.meta.url),
  );
  const rows = text.split("\n").filter((line) => line.startsWith("| "));
  let named = 0;
  for (const row of rows) {
    let file = "security_test.ts";
    for (const [, quoted] of row.split("|")[2].matchAll(/`([^`]+)`/g)) {
      if (quoted.endsWith("_test.ts")) file = quoted;
      const source = await Deno.readTextFile(new URL(file, import.meta.url));
      if (quoted === file) continue;
      named++;
      // A name in a loop has parts that only a run fills in.
      const parts = quoted.split("...").map((part) => part.trim());
      assert(
        parts.every((part) => source.includes(part)),
        `${file}: ${quoted}`,
      );
    }
  }
  assert(named > 20);
});
