/**
 * The tasks of the soak. Each first leaves a note that it runs; both sides import this module.
 *
 * @module
 */

import { crc32 } from "node:zlib";
import { registerClass } from "../mod.ts";

/** Where runs are noted: words that all threads share, or a file for processes. */
export type Log = SharedArrayBuffer | string;

/** How the worker of a task ends. */
export type Death =
  | "Deno.exit"
  | "self.close"
  | "stray error"
  | "stray rejection"
  | "SIGKILL"
  | "SIGTERM";

/** An error of a class that both sides know. */
export class SoakError extends Error {
  override name = "SoakError";
  readonly id: number;

  constructor(id: number, options?: ErrorOptions) {
    super(`Task ${id} throws as it was told to`, options);
    this.id = id;
  }
}
registerClass(SoakError);

/** Bytes of a run in the file. */
export const RECORD_BYTES = 8;

/** Second half of each record: one that lacks it was torn or overwritten. */
export const RECORD_MARK = 0x534f414b;

let file: Deno.FsFile | undefined;

/** Notes that a task runs, in a way that a worker's death can't undo. */
export function noteRun(log: Log, id: number): void {
  if (typeof log !== "string") {
    Atomics.add(new Int32Array(log), id, 1);
    return;
  }
  file ??= Deno.openSync(log, { append: true });
  // appended in one system call, so no two can overlap
  file.writeSync(new Uint8Array(new Uint32Array([id, RECORD_MARK]).buffer));
}

// ----------------------------------------------------------- the initializer

let prepared: number | undefined;

/** An initializer: what it is given is there for all tasks. */
export function prepare(value: number): void {
  prepared = value;
}

/** An initializer that takes a while. */
export async function prepareLater(value: number): Promise<void> {
  await sleep(5);
  prepared = value;
}

/** An initializer that fails, and breaks its pool. */
export function failToPrepare(value: number): never {
  throw new SoakError(value);
}

/** Returns what the initializer was given. */
export function isPrepared(log: Log, id: number): number | undefined {
  noteRun(log, id);
  return prepared;
}

// ------------------------------------------------------------------ returning

/** Returns a number made of its own. */
export function tiny(log: Log, id: number): number {
  noteRun(log, id);
  return id * 2 + 1;
}

/** A message of many bytes, and what they come to. */
export interface Large {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly text: string;
  readonly sums: readonly [bytes: number, text: number];
}

/** Makes a message with its sums. */
export function makeLarge(
  bytes: Uint8Array<ArrayBuffer>,
  text: string,
): Large {
  return { bytes, text, sums: [crc32(bytes), crc32(text)] };
}

/** Tells whether a message has what its sums say. */
export function isWhole({ bytes, text, sums }: Large): boolean {
  return crc32(bytes) === sums[0] && crc32(text) === sums[1];
}

/** Checks a large message, and returns another: the bytes inverted, the text turned around. */
export function large(log: Log, id: number, message: Large): Large {
  noteRun(log, id);
  if (!isWhole(message)) throw new Error(`The message of ${id} came damaged`);
  const { bytes, text } = message;
  const half = text.length >> 1;
  return makeLarge(
    bytes.map((byte) => ~byte),
    text.slice(half) + text.slice(0, half),
  );
}

/** Returns what it was given. */
export function echo(log: Log, id: number, value: unknown): unknown {
  noteRun(log, id);
  return value;
}

/** The sum of bytes that were moved here. */
export function sumMoved(
  log: Log,
  id: number,
  bytes: Uint8Array<ArrayBuffer>,
): number {
  noteRun(log, id);
  return crc32(bytes);
}

/** Computes for so long. */
export function slow(log: Log, id: number, ms: number): number {
  noteRun(log, id);
  spin(ms);
  return id;
}

/** Awaits for so long. */
export async function later(log: Log, id: number, ms: number): Promise<number> {
  noteRun(log, id);
  await sleep(ms);
  return id;
}

/** Prints a line. */
export function print(log: Log, id: number, text: string): number {
  noteRun(log, id);
  // deno-lint-ignore no-console -- what a task prints is what is tried
  console.log(text);
  return id;
}

/** One row of `map`; a negative number throws. */
export function square(log: Log, id: number, n: number): number {
  noteRun(log, id);
  if (n < 0) throw new SoakError(id);
  return n * n;
}

// ------------------------------------------------------------------- throwing

/** Throws an error of a registered class. */
export function fail(log: Log, id: number): never {
  noteRun(log, id);
  throw new SoakError(id, { cause: new RangeError(`cause ${id}`) });
}

/** Rejects with it, later. */
export async function failLater(
  log: Log,
  id: number,
  ms: number,
): Promise<never> {
  noteRun(log, id);
  await sleep(ms);
  throw new SoakError(id, { cause: new RangeError(`cause ${id}`) });
}

/** Returns what cannot travel. */
export function returnStuck(log: Log, id: number): unknown {
  noteRun(log, id);
  return { id, stuck: () => id };
}

// -------------------------------------------------------------------- endless

/** Awaits what never comes. */
export function awaitForever(log: Log, id: number): Promise<never> {
  noteRun(log, id);
  return new Promise(() => setTimeout(() => {}, 2 ** 30));
}

/** Computes without end; for processes, which can be stopped. */
export function spinForever(log: Log, id: number): never {
  noteRun(log, id);
  for (;;);
}

// ---------------------------------------------------------------------- dying

/** Ends its worker; the promise stays pending, as nobody is left to settle it. */
export function die(log: Log, id: number, how: Death): Promise<never> {
  noteRun(log, id);
  kill(how);
  return new Promise(() => {});
}

/** Returns at once, and ends its worker some time after. */
export function dieLater(
  log: Log,
  id: number,
  how: Death,
  ms: number,
): number {
  noteRun(log, id);
  setTimeout(() => kill(how), ms);
  return id;
}

function kill(how: Death): void {
  switch (how) {
    case "Deno.exit":
      Deno.exit(3);
      break;
    case "self.close":
      self.close();
      break;
    case "stray error":
      setTimeout(() => {
        throw new SoakError(-1);
      });
      break;
    case "stray rejection":
      Promise.reject(new SoakError(-1));
      break;
    default:
      Deno.kill(Deno.pid, how);
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function spin(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}
