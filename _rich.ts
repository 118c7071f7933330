/**
 * Everything that structured clone takes and JSON does not, as JSON text by
 * way of devalue, with the bytes of buffers and long strings beside the text.
 *
 * | value                                  | how it travels                                   |
 * | -------------------------------------- | ------------------------------------------------ |
 * | `undefined`, `NaN`, `-0`, `bigint`, `Date`, `RegExp`, `Map`, `Set`, boxed primitives, cycles, shared references, holes | as devalue writes them |
 * | `ArrayBuffer` and views on it          | the bytes beside the text, the view in the text   |
 * | strings above 64 Ki units              | UTF-8 (UTF-16 with lone surrogates) beside the text |
 * | errors                                 | class name, message, stack, `cause`, fields; see `_error_classes.ts` |
 * | instances of a class                   | a plain object of the own fields, as in structured clone |
 * | `SharedArrayBuffer`, what is to be transferred, `Blob`, `CryptoKey`, `WebAssembly.Module` | moved by a message, where the transport can |
 *
 * Nothing in the text is ever evaluated, and only the classes in
 * `_error_classes.ts` are built from it.
 *
 * @module
 */

// Named in full, as `_function_source.ts` does: a worker process has the import
// map of the user's deno.json.
import {
  DevalueError,
  type ParseOperations,
  stringify,
  type StringifyOperations,
  unflatten,
} from "npm:devalue@6.0.3";
import { types } from "node:util";
import { nameOfClass, prototypeFor } from "./_error_classes.ts";
import { LONG_STRING } from "./_plain.ts";
import { findPath } from "./_path.ts";
import { isPlatformName } from "./_realm.ts";
import { refusalOf } from "./_refusal.ts";
import { isClonedByPlatform } from "./_transferable.ts";

/** What lies beside the text of a rich payload. */
export interface Attachments {
  /** The bytes of buffers and long strings, in the order of their numbers. */
  readonly buffers: Uint8Array[];
  /** Objects that only a message can carry. */
  readonly moved: unknown[];
}

/** What the transport can do for the encoder. */
export interface RichOptions {
  /** Whether there are messages that can carry objects. */
  readonly canMove: boolean;
  /** What the caller wants moved instead of copied. */
  readonly transfer?: ReadonlySet<unknown>;
}

/** Writes `value` as text; its bytes and objects go to `attachments`. */
export function stringifyRich(
  value: unknown,
  attachments: Attachments,
  options: RichOptions,
): string {
  return stringify(value, reducers(attachments, options), {
    operations: WRITING,
  });
}

/** Reads what `stringifyRich` wrote. */
export function parseRich(text: string, attachments: Attachments): unknown {
  return unflatten(JSON.parse(text), revivers(attachments) as Revivers, {
    operations: READING,
  });
}

/** Where a value could not travel, and why. */
export interface Failure {
  /** The path from the encoded value on: `.options.onDone`. */
  readonly path: string;
  /** `is a function`, say. */
  readonly why: string;
  /** What reading the value threw, if it did. */
  readonly cause?: unknown;
}

/** Says where in `root` a value could not travel, and why. */
export function describeFailure(error: unknown, root: unknown): Failure {
  if (error instanceof DevalueError) return describeRefused(error.value, root);
  const { message, isStackOverflow } = readError(error);
  if (isStackOverflow) return { path: "", why: "is nested too deeply" };
  const why = `has a part that cannot be read (${message})`;
  return { path: "", why, cause: error };
}

function describeRefused(value: unknown, root: unknown): Failure {
  const path = orElse(() => findPath(root, value), "");
  const why = orElse(() => describeUnsendable(value), "cannot be copied");
  // Nobody knows where what a getter made a moment ago lies, or what lies too deep.
  return path === "" && value !== root
    ? { path, why: `has a part that ${why}` }
    : { path, why };
}

/** Reads what a getter threw, which may be anything. */
function readError(
  error: unknown,
): { message: string; isStackOverflow: boolean } {
  const message = orElse(
    () => error instanceof Error ? `${error.message}` : String(error),
    "for a reason that cannot be read either",
  );
  const isStackOverflow = orElse(
    () => error instanceof RangeError && /call stack/.test(message),
    false,
  );
  return { message, isStackOverflow };
}

/** Returns what `read` returns, or `otherwise` where the program's own code throws in it. */
function orElse<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}

function describeUnsendable(value: unknown): string {
  if (typeof value === "function") return "is a function";
  if (typeof value === "symbol") return "is a symbol";
  if (typeof value !== "object" || value === null) return "cannot be copied";
  if (types.isProxy(value)) return "is a Proxy";
  const refusal = refusalOf(value);
  if (refusal !== undefined) return refusal;
  if (value instanceof ArrayBuffer) return "is a detached ArrayBuffer";
  if (MOVED_ONLY.some((known) => value instanceof known)) {
    return `is a ${value.constructor.name}, which can only be moved, by "transfer" of submitWith`;
  }
  const { constructor } = value;
  const name = typeof constructor === "function" && constructor.name !== ""
    ? constructor.name
    : Object.prototype.toString.call(value).slice(8, -1);
  return `is ${/^[AEIOU]/.test(name) ? "an" : "a"} ${name}`;
}

const MOVED_ONLY = [
  MessagePort,
  ReadableStream,
  WritableStream,
  TransformStream,
];

// ---------------------------------------------------------------- writing

type Reducer = (value: unknown) => unknown;

function reducers(
  { buffers, moved }: Attachments,
  { canMove, transfer }: RichOptions,
): Record<string, Reducer> {
  // devalue takes a falsy answer for "not mine", so numbers count from 1.
  const move = (value: unknown) => canMove ? -moved.push(value) : undefined;
  return {
    ArrayBuffer(value) {
      if (types.isSharedArrayBuffer(value)) return move(value);
      if (!types.isArrayBuffer(value)) return;
      const buffer = value as ArrayBuffer & { maxByteLength: number };
      if (transfer?.has(buffer)) return move(buffer);
      if (buffer.detached) return; // refused further on
      const place = buffers.push(new Uint8Array(buffer));
      return buffer.resizable ? [place, buffer.maxByteLength] : place;
    },
    Text(value) {
      if (typeof value !== "string" || value.length <= LONG_STRING) return;
      return value.isWellFormed()
        ? buffers.push(new TextEncoder().encode(value))
        : -buffers.push(utf16(value));
    },
    Moved(value) {
      if (typeof value !== "object" || value === null) return undefined;
      return transfer?.has(value) || isClonedByPlatform(value)
        ? move(value)
        : undefined;
    },
    LongStringObject(value) {
      if (!types.isStringObject(value)) return;
      const text = String.prototype.valueOf.call(value);
      return text.length > LONG_STRING ? [text] : undefined;
    },
    DOMException(value) {
      if (!(value instanceof DOMException)) return;
      const { message, name, stack } = value;
      return { message, name, stack, fields: fieldsOf(value) };
    },
    Fields: (value) => value instanceof ArrayFields ? value.fields : undefined,
  };
}

/** The fields of an array beside its items; travels as if it were the last item. */
class ArrayFields {
  readonly fields: Record<string, unknown>;

  constructor(fields: Record<string, unknown>) {
    this.fields = fields;
  }
}

/** The most elements that an array can have. */
const MAX_LENGTH = 2 ** 32 - 1;

function hasFields(array: unknown[]): boolean {
  const lastKey = Object.keys(array).at(-1);
  return lastKey !== undefined && !isIndex(lastKey);
}

/** How many places an array takes: one more where it has fields. */
function placesOf(array: unknown[]): number {
  const { length } = array;
  return length < MAX_LENGTH && hasFields(array) ? length + 1 : length;
}

/**
 * Where an array's fields travel: behind its items, or in the last hole but one
 * of the longest array that there can be, whose items no memory could hold.
 */
function placeOfFields(array: unknown[]): number {
  if (array.length < MAX_LENGTH) return array.length;
  let place = MAX_LENGTH - 2;
  while (isElement(array, place)) place--;
  return place;
}

/** Whether a place holds an item that travels: one that is not enumerable is a hole in the copy. */
function isElement(array: unknown[], place: PropertyKey): boolean {
  return Object.prototype.propertyIsEnumerable.call(array, place);
}

function isIndex(key: string): boolean {
  const index = Number(key) >>> 0;
  return String(index) === key && index < MAX_LENGTH;
}

/** UTF-16 units as bytes, for text that has no UTF-8. */
function utf16(text: string): Uint8Array {
  const units = new Uint16Array(text.length);
  for (let i = 0; i < text.length; i++) units[i] = text.charCodeAt(i);
  return new Uint8Array(units.buffer);
}

/** An object's own enumerable fields; index keys of arrays are left out. */
function fieldsOf(value: object): Record<string, unknown> | undefined {
  const entries = Object.entries(value).filter(([key]) =>
    !(Array.isArray(value) && isIndex(key))
  );
  return entries.length > 0 ? Object.fromEntries(entries) : undefined;
}

/** Own properties of built-in errors that are not enumerable. */
const HIDDEN_ERROR_KEYS = [
  "message",
  "stack",
  "cause",
  "errors",
  "error",
  "suppressed",
];

/** An error taken apart. `class` comes first: the reader builds by it. */
function errorKeys(error: Error): string[] {
  return [
    "class",
    ...(nameOfClass(error) === undefined || Object.hasOwn(error, "name")
      ? ["name"]
      : []),
    ...HIDDEN_ERROR_KEYS.filter((key) => Object.hasOwn(error, key)),
    "fields",
  ];
}

function errorPart(error: Error, key: string): unknown {
  switch (key) {
    case "class":
      return nameOfClass(error) ?? "Error";
    case "name":
      return String(error.name);
    case "fields": {
      const { name: _, ...fields } = fieldsOf(error) ?? {};
      return Object.keys(fields).length > 0 ? fields : undefined;
    }
    default:
      return (error as unknown as Record<string, unknown>)[key];
  }
}

const NOT_PLAIN = { kind: "not-plain" } as const;

const WRITING: Partial<StringifyOperations> = {
  tagOf,
  isThenable: types.isPromise,
  // By the built-ins' own methods: an object may have others under their names.
  unbox: (box) => boxPrototype(box).valueOf.call(box),
  toISOString: (date) =>
    isNaN(Date.prototype.getTime.call(date))
      ? ""
      : Date.prototype.toISOString.call(date),
  regExpInfo: (regExp) => ({
    source: ownGetter(RegExp.prototype, "source").call(regExp),
    flags: FLAGS.filter(([name]) =>
      ownGetter(RegExp.prototype, name).call(regExp)
    ).map(([, flag]) => flag).join(""),
  }),
  valuesOf: (set) => Set.prototype.values.call(set),
  entriesOf: (map) => Map.prototype.entries.call(map),
  viewInfo,
  lengthOf: placesOf,
  hasOwn: (array, place) => place === array.length || isElement(array, place),
  indicesOf: (array) => [
    ...Object.keys(array).filter(isIndex),
    ...(hasFields(array) ? [String(placeOfFields(array))] : []),
  ],
  shapeOf(value) {
    if (types.isNativeError(value)) {
      return { kind: "null-proto", keys: errorKeys(value) };
    }
    return isRecord(value)
      ? { kind: "plain", keys: Object.keys(value).map(escapeKey) }
      : NOT_PLAIN;
  },
  get(value, key) {
    if (types.isNativeError(value)) return errorPart(value, key as string);
    if (Array.isArray(value)) {
      return Number(key) === placeOfFields(value)
        ? new ArrayFields(fieldsOf(value)!)
        : value[key as number];
    }
    return value[unescapeKey(key as string)];
  },
};

/** A regular expression's flags, by the properties that tell of them. */
const FLAGS = [
  ["hasIndices", "d"],
  ["global", "g"],
  ["ignoreCase", "i"],
  ["multiline", "m"],
  ["dotAll", "s"],
  ["unicode", "u"],
  ["unicodeSets", "v"],
  ["sticky", "y"],
] as const;

function ownGetter(prototype: object, name: PropertyKey): () => never {
  return Object.getOwnPropertyDescriptor(prototype, name)!.get as () => never;
}

function boxPrototype(box: object): object {
  if (types.isNumberObject(box)) return Number.prototype;
  if (types.isStringObject(box)) return String.prototype;
  return types.isBooleanObject(box) ? Boolean.prototype : BigInt.prototype;
}

/** What a view shows of its buffer; a length of `null` grows with the buffer. */
function viewInfo(view: ArrayBufferView): ViewInfo {
  const { buffer, byteOffset, byteLength, length } = readView(view);
  if (!(buffer as ArrayBuffer).resizable) {
    const bufferByteLength = buffer.byteLength;
    return { buffer, byteOffset, byteLength, length, bufferByteLength };
  }
  const isFixed = !isGrowing(view);
  return {
    buffer,
    byteOffset,
    // The one is written for a DataView, the other for a typed array.
    byteLength: isFixed ? byteLength : null as never,
    length: isFixed ? length : null as never,
    bufferByteLength: -1, // never equal, so that offset and length are written
  };
}

/** Reads a view by the built-ins' own getters: it may have others under their names. */
function readView(view: ArrayBufferView): {
  buffer: ArrayBufferLike;
  byteOffset: number;
  byteLength: number;
  length: number;
} {
  const prototype = types.isDataView(view) ? DataView.prototype : TypedArray;
  const read = (name: string) => ownGetter(prototype, name).call(view);
  const byteLength = read("byteLength");
  return {
    buffer: read("buffer"),
    byteOffset: read("byteOffset"),
    byteLength,
    length: types.isDataView(view) ? byteLength : read("length"),
  };
}

const TypedArray: object = Object.getPrototypeOf(Uint8Array.prototype);

type ViewInfo = ReturnType<StringifyOperations["viewInfo"]>;

/** Whether a view grows with its buffer: nothing tells but a try, on a copy. */
function isGrowing(view: ArrayBufferView): boolean {
  const copy = structuredClone(view);
  const buffer = copy.buffer as ArrayBuffer;
  if (copy.byteLength === 0) {
    buffer.resize(buffer.maxByteLength);
    return copy.byteLength > 0;
  }
  // Less than it shows: a view of a fixed length is out of bounds then.
  buffer.resize(copy.byteOffset + copy.byteLength - 1);
  return isInBounds(copy);
}

function isInBounds(view: ArrayBufferView): boolean {
  try {
    if (types.isTypedArray(view)) view.values();
    return view.byteLength >= 0; // a DataView tells by this, which throws
  } catch {
    return false;
  }
}

/** The brand of an object, which no property of it can forge. */
function tagOf(value: object): string {
  if (Array.isArray(value)) return "Array";
  if (types.isDate(value)) return "Date";
  if (types.isRegExp(value)) return "RegExp";
  if (types.isMap(value)) return "Map";
  if (types.isSet(value)) return "Set";
  if (types.isBoxedPrimitive(value)) return boxTag(value);
  if (types.isAnyArrayBuffer(value)) return "Buffer"; // not plain: `isRecord` refuses it
  if (types.isTypedArray(value)) return kindOfTypedArray.call(value);
  if (types.isDataView(value)) return "DataView";
  if (value instanceof URL) return "URL";
  if (value instanceof URLSearchParams) return "URLSearchParams";
  return temporalTag(value) ?? "Object";
}

const kindOfTypedArray = ownGetter(TypedArray, Symbol.toStringTag);

function boxTag(value: object): string {
  if (types.isNumberObject(value)) return "Number";
  if (types.isStringObject(value)) return "String";
  if (types.isBooleanObject(value)) return "Boolean";
  return types.isBigIntObject(value) ? "BigInt" : "Symbol";
}

type AnyClass = abstract new (...args: never[]) => object;

function temporalTag(value: object): string | undefined {
  const { Temporal } = globalThis as unknown as {
    Temporal?: Record<string, AnyClass>;
  };
  if (Temporal === undefined) return undefined;
  const name = TEMPORAL.find((name) => value instanceof Temporal[name]);
  return name && `Temporal.${name}`;
}

const TEMPORAL = [
  "Duration",
  "Instant",
  "PlainDate",
  "PlainTime",
  "PlainDateTime",
  "PlainMonthDay",
  "PlainYearMonth",
  "ZonedDateTime",
];

/**
 * Tells whether an object is its fields and no more: an object literal, or an
 * instance of a class of the user's. A platform object has state that no copy
 * of its fields holds.
 */
export function isRecord(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  if (prototype === Object.prototype) return !types.isArgumentsObject(value);
  return refusalOf(value) === undefined && !hasHiddenState(value);
}

function hasHiddenState(value: object): boolean {
  if (
    types.isPromise(value) || types.isWeakMap(value) ||
    types.isWeakSet(value) || types.isGeneratorObject(value) ||
    types.isAnyArrayBuffer(value) || types.isBoxedPrimitive(value) ||
    types.isProxy(value) || types.isKeyObject(value)
  ) return true;
  for (
    let prototype = Object.getPrototypeOf(value);
    prototype !== null;
    prototype = Object.getPrototypeOf(prototype)
  ) if (isPlatformPrototype(prototype)) return true;
  return false;
}

/** Tells whether instances have state beside their fields. Errors have none: they are told by brand. */
function isPlatformPrototype(prototype: object): boolean {
  if (prototype === Object.prototype) return false;
  const own = Object.getOwnPropertyDescriptor(prototype, "constructor");
  // The platform has some behind getters; one that throws is none of those.
  const { get } = own ?? {};
  const constructor = get === undefined
    ? own?.value
    : orElse(() => get.call(prototype), undefined);
  if (
    typeof constructor !== "function" ||
    constructor.prototype instanceof Error || constructor === Error
  ) return false;
  const { name } = constructor;
  return (isPlatformName(name) &&
    (globalThis as Record<string, unknown>)[name] === constructor) ||
    /\[native code\]\s*}$/.test(Function.prototype.toString.call(constructor));
}

/** devalue refuses the key `__proto__`: it travels behind a NUL, and so do keys that look so. */
function escapeKey(key: string): string {
  return key.endsWith("__proto__") && /^\0*__proto__$/.test(key)
    ? `\0${key}`
    : key;
}

function unescapeKey(key: string): string {
  return key.charCodeAt(0) === 0 && /^\0+__proto__$/.test(key)
    ? key.slice(1)
    : key;
}

// ---------------------------------------------------------------- reading

type Revivers = Parameters<typeof unflatten>[1];

/** Each reviver knows what its reducer wrote. */
type Reviver = (value: never) => unknown;

function revivers(
  { buffers, moved }: Attachments,
): Record<string, Reviver> {
  const exceptions = new Map<ErrorParts, DOMException>();
  const taken = new Set<number>();
  /** The writer names each buffer once; else short text could have it copied without end. */
  const take = (place: number) => {
    const index = checkNumber(place) - 1;
    if (buffers[index] === undefined || taken.has(index)) {
      throw new Error("a buffer must be there, and be named once");
    }
    taken.add(index);
    return buffers[index];
  };
  return {
    ArrayBuffer(place: number | [number, number]) {
      if (typeof place !== "number") {
        return resizable(take(place[0]), checkNumber(place[1]));
      }
      return place < 0 ? moved[-place - 1] : wholeBuffer(take(place));
    },
    Text(place: number) {
      return checkNumber(place) > 0
        ? new TextDecoder("utf-8", { ignoreBOM: true }).decode(take(place))
        : textOf(new Uint16Array(wholeBuffer(take(-place))));
    },
    Moved: (place: number) => moved[-checkNumber(place) - 1],
    LongStringObject: ([text]: [string]) => Object(text),
    DOMException(parts: ErrorParts) {
      // Called twice where the error holds itself: the first time from within.
      const known = exceptions.get(parts);
      const { message, name } = parts;
      if (typeof message !== "string" || typeof name !== "string") {
        throw new Error("a DOMException's message and name must be text");
      }
      const error = known ?? new DOMException(message, name);
      exceptions.set(parts, error);
      hide(error, "stack", parts.stack);
      if (parts.fields !== undefined) defineAll(error, parts.fields);
      return error;
    },
    Fields: (fields: Record<string, unknown>) => new ArrayFields(fields),
  };
}

/** Anything else would be made a number: of an array of 2^32 places, that takes minutes. */
function checkNumber(value: number): number {
  if (typeof value === "number") return value;
  throw new Error("a number must be one");
}

interface ErrorParts {
  message: string;
  name: string;
  stack: string;
  fields?: Record<string, unknown>;
}

/** The bytes' own buffer, which they fill: the transport copied them out so. */
function wholeBuffer(bytes: Uint8Array): ArrayBuffer {
  return bytes.byteLength === bytes.buffer.byteLength
    ? bytes.buffer as ArrayBuffer
    : bytes.slice().buffer as ArrayBuffer;
}

function resizable(bytes: Uint8Array, maxByteLength: number): ArrayBuffer {
  const buffer = new ArrayBuffer(bytes.byteLength, { maxByteLength });
  new Uint8Array(buffer).set(bytes);
  return buffer;
}

function textOf(units: Uint16Array): string {
  let text = "";
  for (let i = 0; i < units.length; i += 8192) {
    text += String.fromCharCode(...units.subarray(i, i + 8192));
  }
  return text;
}

const READING: Partial<ParseOperations> = {
  // The writer uses objects without prototype for errors alone.
  createNullPrototypeObject: () => {
    const error = new Error();
    Reflect.deleteProperty(error, "stack");
    return error;
  },
  fromViewInfo(tag, buffer, byteOffset, length) {
    // Of a number, the constructor would make a buffer of that size.
    const isBuffer: boolean = types.isAnyArrayBuffer(buffer);
    if (!isBuffer) throw new Error("a view must be one on a buffer");
    const View = (globalThis as unknown as Record<string, ViewConstructor>)[
      tag
    ];
    return byteOffset === undefined
      ? new View(buffer)
      : new View(buffer, byteOffset, length ?? undefined);
  },
  set(target, key, value) {
    if (types.isNativeError(target)) setErrorPart(target, key as string, value);
    else if (value instanceof ArrayFields) {
      if (!Array.isArray(target)) {
        throw new Error("fields beside items must be those of an array");
      }
      // They were behind the last item.
      if (key === target.length - 1) target.length = Number(key);
      defineAll(target, value.fields);
    } else if (typeof key === "string" && key.endsWith("__proto__")) {
      Object.defineProperty(target, unescapeKey(key), {
        value,
        writable: true,
        enumerable: true,
        configurable: true,
      });
    } else target[key] = value;
  },
};

type ViewConstructor = new (
  buffer: ArrayBuffer,
  byteOffset?: number,
  length?: number,
) => ArrayBufferView;

function setErrorPart(error: Error, key: string, value: unknown): void {
  if (key === "class") {
    Object.setPrototypeOf(error, prototypeFor(value as string));
  } else if (key === "fields") {
    if (value !== undefined) defineAll(error, value as object);
  } else hide(error, key, value);
}

/** Fields that an object has been given. */
const given = new WeakSet<object>();

/**
 * Defines fields without calling a setter of the object's class. The writer
 * makes an object of them for each owner; else short text could give many fields
 * to each of many objects, or a field for each byte of a buffer.
 */
function defineAll(object: object, fields: object): void {
  if (
    Object.getPrototypeOf(fields) !== Object.prototype || given.has(fields)
  ) throw new Error("fields must be an object, and those of one owner");
  given.add(fields);
  Object.defineProperties(object, Object.getOwnPropertyDescriptors(fields));
}

/** Defines a property as built-in errors have theirs: not enumerable. */
function hide(error: Error, key: string, value: unknown): void {
  Object.defineProperty(error, key, {
    value,
    writable: true,
    configurable: true,
  });
}
