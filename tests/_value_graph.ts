/**
 * Graphs of values, told by plain data: a test makes the same value on either side of a pool, and
 * knows what is to come of it.
 *
 * @module
 */

import { bytes } from "./_values.ts";

/** What has no parts. */
export type Primitive =
  | undefined
  | null
  | boolean
  | number
  | bigint
  | string;

/** A primitive, or a node by its place among those of the graph, counted round and round. */
export type Ref = { readonly value: Primitive } | { readonly node: number };

/** An own property. One that is hidden is not enumerable, and stays behind. */
export interface Entry {
  readonly key: string;
  readonly as: "data" | "getter" | "hidden";
  readonly ref: Ref;
}

/** What a node is, and what it refers to. */
export type Node =
  | { kind: "object" | "bare" | "instance"; entries: readonly Entry[] }
  | {
    kind: "array";
    /** Items in a row; `null` leaves a hole. */
    items: readonly (Ref | null)[];
    /** Elements further on, and fields that are no elements. */
    entries: readonly Entry[];
  }
  | { kind: "map"; pairs: readonly (readonly [Ref, Ref])[] }
  | { kind: "set"; items: readonly Ref[] }
  | {
    kind: "error";
    errorClass: keyof typeof ERROR_CLASSES;
    name: string | undefined;
    message: string | undefined;
    cause: Ref | undefined;
    errors: readonly Ref[];
    entries: readonly Entry[];
  }
  | { kind: "date"; time: number }
  | { kind: "expression"; source: string; flags: string; lastIndex: number }
  | { kind: "box"; content: boolean | number | bigint | string }
  | { kind: "buffer"; length: number; maxByteLength: number | undefined }
  | {
    kind: "view";
    view: keyof typeof VIEWS;
    /** The node whose memory it shows; it has memory of its own where that has none. */
    buffer: number;
    offset: number;
    /** Elements at most; `undefined` for a view that grows with its buffer. */
    length: number | undefined;
  }
  | { kind: "refused"; what: keyof typeof REFUSED };

/** Values that may hold each other, and themselves. */
export interface Graph {
  readonly root: Ref;
  readonly nodes: readonly Node[];
}

class Instance {
  #hidden = 1;

  get sum(): number {
    return this.#hidden;
  }

  toJSON(): string {
    return "never";
  }
}

class QuirkError extends RangeError {}

/** Classes of errors; the last one is known to nobody. */
export const ERROR_CLASSES = {
  Error,
  RangeError,
  TypeError,
  AggregateError,
  NotFound: Deno.errors.NotFound,
  QuirkError,
};

type ViewClass = new (
  buffer: ArrayBuffer,
  byteOffset: number,
  length?: number,
) => ArrayBufferView;

/** Every kind of view. */
export const VIEWS = {
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Float16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
};

/** What structured clone refuses, by its name. */
export const REFUSED = {
  function: () => () => {},
  class: () => class {},
  symbol: () => Symbol("refused"),
  weakMap: () => new WeakMap(),
  promise: () => Promise.resolve(),
  generator: () => (function* () {})(),
};

/** Makes the value of a graph. */
export function makeValue(graph: Graph): unknown {
  return resolve(graph.root, makeNodes(graph.nodes));
}

/**
 * What is to come of the value of a graph: what structured clone gives, but for errors, which keep
 * their class, their name and their fields.
 *
 * @throws {DOMException} If structured clone refuses the value.
 */
export function expectedOf(graph: Graph): unknown {
  const value = makeValue(graph);
  const errors = errorsIn(value);
  // In one call, so that parts of an error are the objects that others hold.
  const copy = structuredClone({
    value,
    errors,
    parts: errors.map(partsOf),
  });
  for (const [i, error] of copy.errors.entries()) {
    rebuild(error, errors[i], copy.parts[i]);
  }
  return copy.value;
}

// ---------------------------------------------------------------- making

/** Makes all nodes: memory first, then what is in it or holds nothing yet, then what they hold. */
function makeNodes(nodes: readonly Node[]): unknown[] {
  const made: unknown[] = nodes.map((node) =>
    node.kind === "buffer" ? makeBuffer(node) : undefined
  );
  nodes.forEach((node, i) => made[i] ??= makeEmpty(node, made));
  nodes.forEach((node, i) => fill(made[i], node, made));
  return made;
}

function makeBuffer(
  { length, maxByteLength }: Node & { kind: "buffer" },
): ArrayBuffer {
  const options = maxByteLength === undefined
    ? undefined
    : { maxByteLength: length + maxByteLength };
  const buffer = new ArrayBuffer(length, options);
  new Uint8Array(buffer).set(bytes(length));
  return buffer;
}

function makeEmpty(node: Node, made: readonly unknown[]): unknown {
  switch (node.kind) {
    case "object":
      return {};
    case "bare":
      return Object.create(null);
    case "instance":
      return new Instance();
    case "array":
      return [];
    case "map":
      return new Map();
    case "set":
      return new Set();
    case "error":
      return makeError(node);
    case "date":
      return withLeftovers(new Date(node.time));
    case "expression":
      return Object.assign(new RegExp(node.source, node.flags), {
        lastIndex: node.lastIndex,
      });
    case "box":
      return withLeftovers(Object(node.content));
    case "view":
      return makeView(node, made);
    case "refused":
      return REFUSED[node.what]();
  }
}

/** Adds properties that structured clone leaves behind. */
function withLeftovers<T extends object>(value: T): T {
  return Object.assign(value, { toJSON: () => "never", [Symbol("left")]: 1 });
}

function makeError(
  { errorClass, name, message }: Node & { kind: "error" },
): Error {
  const error = errorClass === "AggregateError"
    ? new AggregateError([], message)
    : new ERROR_CLASSES[errorClass](message);
  // The same on both sides.
  error.stack = `${errorClass}: ${message}\n    at here (file:///here.ts:1:1)`;
  if (name !== undefined) error.name = name;
  return error;
}

function makeView(
  { view, buffer, offset, length }: Node & { kind: "view" },
  made: readonly unknown[],
): ArrayBufferView {
  const found = made[buffer % made.length];
  const memory = found instanceof ArrayBuffer ? found : bytes(40).buffer;
  const View: ViewClass = VIEWS[view];
  const size = view === "DataView" ? 1 : VIEWS[view].BYTES_PER_ELEMENT;
  const start = offset % (memory.byteLength + 1);
  const aligned = start - start % size;
  const most = Math.floor((memory.byteLength - aligned) / size);
  if (length === undefined && memory.resizable) {
    return new View(memory, aligned);
  }
  return new View(memory, aligned, Math.min(length ?? most, most));
}

function resolve(ref: Ref, made: readonly unknown[]): unknown {
  return "node" in ref ? made[ref.node % made.length] : ref.value;
}

function fill(target: unknown, node: Node, made: readonly unknown[]): void {
  switch (node.kind) {
    case "array":
      node.items.forEach((item, i) => {
        if (item !== null) (target as unknown[])[i] = resolve(item, made);
        else (target as unknown[]).length = i + 1;
      });
      return define(target as object, node.entries, made);
    case "object":
    case "bare":
    case "instance":
      return define(target as object, node.entries, made);
    case "map":
      for (const [key, value] of node.pairs) {
        (target as Map<unknown, unknown>).set(
          resolve(key, made),
          resolve(value, made),
        );
      }
      return;
    case "set":
      for (const item of node.items) {
        (target as Set<unknown>).add(resolve(item, made));
      }
      return;
    case "error":
      return fillError(target as Error, node, made);
  }
}

function fillError(
  error: Error,
  { cause, errors, entries }: Node & { kind: "error" },
  made: readonly unknown[],
): void {
  if (cause !== undefined) {
    Object.defineProperty(error, "cause", {
      value: resolve(cause, made),
      writable: true,
      configurable: true,
    });
  }
  if (error instanceof AggregateError) {
    error.errors.push(...errors.map((ref) => resolve(ref, made)));
  }
  define(error, entries, made);
}

function define(
  target: object,
  entries: readonly Entry[],
  made: readonly unknown[],
): void {
  for (const { key, as, ref } of entries) {
    const value = resolve(ref, made);
    const enumerable = as !== "hidden", configurable = true;
    Object.defineProperty(
      target,
      key,
      as === "getter"
        ? { get: () => value, enumerable, configurable }
        : { value, writable: true, enumerable, configurable },
    );
  }
}

// ------------------------------------------------------------- expecting

/** The errors in a value, each once. */
function errorsIn(value: unknown): Error[] {
  const found = new Set<object>();
  const rest = [value];
  while (rest.length > 0) {
    const next = rest.pop();
    if (typeof next !== "object" || next === null || found.has(next)) continue;
    found.add(next);
    rest.push(...partsIn(next));
  }
  return [...found].filter((object) => object instanceof Error);
}

function partsIn(value: object): unknown[] {
  if (value instanceof Map) return [...value].flat();
  if (value instanceof Set) return [...value];
  if (ArrayBuffer.isView(value)) return [];
  const hidden = value instanceof Error ? hiddenOf(value) : {};
  return [...Object.values(hidden), ...Object.values(value)];
}

/** The own properties of built-in errors that travel though they are not enumerable. */
const HIDDEN = ["message", "stack", "cause", "errors"];

interface Parts {
  hidden: Record<string, unknown>;
  fields: Record<string, unknown>;
}

function hiddenOf(error: Error): Record<string, unknown> {
  const values = error as unknown as Record<string, unknown>;
  return Object.fromEntries(
    HIDDEN.filter((key) => Object.hasOwn(error, key)).map((key) => [
      key,
      values[key],
    ]),
  );
}

function partsOf(error: Error): Parts {
  const hidden = hiddenOf(error);
  const fields = Object.fromEntries(
    Object.entries(error).filter(([key]) => key !== "name"),
  );
  if (Object.hasOwn(error, "name") || !isKnown(error)) hidden.name = error.name;
  return { hidden, fields };
}

function isKnown(error: Error): boolean {
  return Object.getPrototypeOf(error) !== QuirkError.prototype;
}

/** Makes of structured clone's copy of an error what it is to be. */
function rebuild(
  copy: Error,
  original: Error,
  { hidden, fields }: Parts,
): void {
  Object.setPrototypeOf(
    copy,
    isKnown(original) ? Object.getPrototypeOf(original) : Error.prototype,
  );
  for (const key of Reflect.ownKeys(copy)) Reflect.deleteProperty(copy, key);
  for (const [key, value] of Object.entries(hidden)) {
    Object.defineProperty(copy, key, {
      value,
      writable: true,
      configurable: true,
    });
  }
  Object.defineProperties(copy, Object.getOwnPropertyDescriptors(fields));
}
