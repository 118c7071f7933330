/**
 * Values as payloads: text and buffers that both pools can carry. Plain data
 * goes as JSON, all else through the rich codec; `format` tells which.
 *
 * The rich codec is handed in: a worker process, whose start its first caller
 * waits for, loads it only when the first rich value comes (15 ms, Deno 2.9.6,
 * x86-64 Linux, 2026-11). All others import `_codec.ts`, which has it at once.
 *
 * @module
 */

import { Format } from "./_layout.ts";
import { arePlain, isPlain } from "./_plain.ts";
import type * as RichCodec from "./_rich.ts";
import type { RichOptions } from "./_rich.ts";
import { SerializationError } from "./errors.ts";

let richCodec: typeof RichCodec | undefined;

/** Takes the rich codec into use. */
export function provideRich(codec: typeof RichCodec): void {
  richCodec = codec;
}

/** Whether values beyond plain data can be written and read. */
export function hasRich(): boolean {
  return richCodec !== undefined;
}

/** Loads the rich codec. */
export async function loadRich(): Promise<void> {
  richCodec ??= await import("./_rich.ts");
}

function getRich(): typeof RichCodec {
  if (richCodec === undefined) {
    throw new Error(
      "Cannot write or read a value as the rich codec must be loaded first",
    );
  }
  return richCodec;
}

/** A value made ready to travel. */
export interface Payload {
  /** One of `Format`. */
  readonly format: number;
  readonly text: string;
  readonly buffers: readonly Uint8Array[];
  /** Objects that only a message can carry. */
  readonly moved: readonly unknown[];
}

const NOTHING: readonly never[] = [];

const EMPTY: Payload = {
  format: Format.EMPTY,
  text: "",
  buffers: NOTHING,
  moved: NOTHING,
};

/**
 * Makes the arguments of a call ready to travel.
 *
 * @throws {SerializationError} If one cannot; it names which and where.
 */
export function encodeArguments(
  args: readonly unknown[],
  options: RichOptions,
): Payload {
  if (args.length === 0) return EMPTY;
  return encode(
    args,
    arePlain,
    options,
    ({ path, why }) => tell(argumentPlace(path), why),
  );
}

/** A value that a function has captured. */
export interface CapturedValue {
  /** The variable's name. */
  readonly name: string;
  /** The name of the function that captured it. */
  readonly by: string;
  readonly value: unknown;
}

/**
 * Makes what a function has captured ready to travel, and the arguments of the
 * call behind it: what both hold stays one object.
 *
 * @throws {SerializationError} If something cannot; it names which and where.
 */
export function encodeCall(
  name: string,
  captured: readonly CapturedValue[],
  args: readonly unknown[],
  options: RichOptions,
): Payload {
  const values = captured.map(({ value }) => value);
  return encode([values, ...args], isPlain, options, (failure) => {
    const { path, why } = failure;
    const [, index, rest] = /^\[0\]\[(\d+)\](.*)$/s.exec(path) ?? [];
    if (index !== undefined) {
      return tellCaptured(name, captured[Number(index)], rest, why);
    }
    if (path === "") {
      return tell(`what "${name}" has captured, or an argument, as it`, why);
    }
    const shifted = path.replace(/^\[(\d+)\]/, (_, i) => `[${i - 1}]`);
    return tell(argumentPlace(shifted), why);
  });
}

/**
 * Makes what a function has captured ready to travel by itself.
 *
 * @throws {SerializationError} If something cannot; it names which and where.
 */
export function encodeCaptured(
  name: string,
  captured: readonly CapturedValue[],
  options: RichOptions,
): Payload {
  const values = captured.map(({ value }) => value);
  return encode(values, isPlain, options, ({ path, why }) => {
    const [, index, rest] = /^\[(\d+)\](.*)$/s.exec(path) ?? [];
    return index === undefined
      ? tell(`what "${name}" has captured as it`, why)
      : tellCaptured(name, captured[Number(index)], rest, why);
  });
}

function tellCaptured(
  name: string,
  variable: CapturedValue,
  path: string,
  why: string,
): string {
  const holds = /^is an? /.test(why)
    ? why.replace("is ", "holds ")
    : `holds a value that ${why}`;
  const what =
    `Cannot send the function "${name}" as "${variable.name}${path}" captured by "${variable.by}" ${holds}`;
  return hasAdvice(why)
    ? what
    : `${what}; pass the data that it needs as an argument, or export it, so that the worker imports its module`;
}

/**
 * Makes one value ready to travel; `what` names it in errors.
 *
 * @throws {SerializationError} If it cannot travel.
 */
export function encodeValue(
  value: unknown,
  options: RichOptions,
  what: string,
): Payload {
  if (value === undefined) return EMPTY;
  return encode(
    value,
    isPlain,
    options,
    ({ path, why }) =>
      tell(path === "" ? `${what} as it` : `${what}: ${path}`, why),
  );
}

/**
 * Makes the columns of a chunk of `map` ready to travel.
 *
 * @throws {SerializationError} If a value cannot; it names the argument.
 */
export function encodeColumns(
  columns: readonly (readonly unknown[])[],
  options: RichOptions,
): Payload {
  return encode(
    columns,
    arePlain,
    options,
    // The path begins with column and row: name the argument, not the row.
    ({ path, why }) =>
      tell(argumentPlace(path.replace(/^(\[\d+\])\[\d+\]/, "$1")), why),
  );
}

function encode<T>(
  value: T,
  isPlain: (value: T) => boolean,
  options: RichOptions,
  tellFailure: (failure: RichCodec.Failure) => string,
): Payload {
  try {
    return isPlain(value) ? plain(value) : rich(value, options);
  } catch (error) {
    const failure = getRich().describeFailure(error, value);
    const { cause } = failure;
    throw new SerializationError(
      tellFailure(failure),
      cause === undefined ? undefined : { cause },
    );
  }
}

/** Says that something cannot be sent. */
function tell(what: string, why: string): string {
  return hasAdvice(why)
    ? `Cannot send ${what} ${why}`
    : `Cannot send ${what} ${why}: send the data that the other side needs, and make the rest there`;
}

/** Whether a reason says what to do by itself, as those of this module's classes do. */
function hasAdvice(why: string): boolean {
  return why.includes(": ");
}

function plain(value: unknown): Payload {
  return {
    format: Format.PLAIN,
    text: JSON.stringify(value),
    buffers: NOTHING,
    moved: NOTHING,
  };
}

function rich(value: unknown, options: RichOptions): Payload {
  const buffers: Uint8Array[] = [];
  const moved: unknown[] = [];
  const text = getRich().stringifyRich(value, { buffers, moved }, options);
  return { format: Format.RICH, text, buffers, moved };
}

/** Turns `[0].options.onDone` into `argument 1: .options.onDone`. */
function argumentPlace(path: string): string {
  const [, index, rest] = /^\[(\d+)\](.*)$/s.exec(path) ?? [];
  if (index === undefined) return "the arguments as one";
  const name = `argument ${Number(index) + 1}`;
  return rest === "" ? `${name} as it` : `${name}: ${rest}`;
}

/**
 * Builds the value of a payload again.
 *
 * @throws {SerializationError} If what came is no payload.
 */
export function decodeValue(
  format: number,
  text: string,
  buffers: Uint8Array[],
  moved: unknown[],
): unknown {
  switch (format) {
    case Format.EMPTY:
      return undefined;
    case Format.PLAIN:
      return JSON.parse(text);
    case Format.RICH:
      return getRich().parseRich(text, { buffers, moved });
    default:
      throw new SerializationError(
        `Cannot read a payload as its format must be known: received ${format}`,
      );
  }
}
