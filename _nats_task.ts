/**
 * What runs in a thread or process of a node: a task as it came, decoded, called
 * and encoded here, so that the node's own thread has only bytes to pass on.
 *
 * @module
 */

import { aligned, readBuffers, readText } from "./_bytes.ts";
import { wallClockMs } from "./_clock.ts";
import { Format } from "./_layout.ts";
import { type Loaded, Loader } from "./_loader.ts";
import { type PayloadPart, toPart } from "./_nats_protocol.ts";
import { decodeValue, hasRich, loadRich, type Payload } from "./_payload.ts";
import { isPlain, LONG_STRING } from "./_plain.ts";
import type { RichOptions } from "./_rich.ts";
import { type RunnerPort, TaskRunner } from "./_task_runner.ts";

/**
 * A payload on its way between the node's thread and its workers: short text as
 * it is, as plain data is much faster; what is long, or has buffers, in bytes.
 */
export type Passed = readonly [
  format: number,
  content: string | Uint8Array,
  textBytes: number,
  buffers: number,
];

/** What came of a task: what it is (`Kind`), and when it ran. */
export type Outcome = readonly [
  kind: number,
  payload: Passed,
  startMs: number,
  endMs: number,
];

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();

/** Makes a payload of a frame ready for a worker. */
export function pass(part: PayloadPart, bytes: Uint8Array): Passed {
  const { format, textBytes, buffers } = part;
  const isText = buffers === 0 && textBytes <= LONG_STRING;
  return [format, isText ? decoder.decode(bytes) : bytes, textBytes, buffers];
}

/** Makes a payload that came from a worker a part of a frame. */
export function unpass(
  [format, content, textBytes, buffers]: Passed,
): { readonly part: PayloadPart; readonly bytes: Uint8Array } {
  const bytes = typeof content === "string" ? encoder.encode(content) : content;
  const length = typeof content === "string" ? bytes.length : textBytes;
  return { part: { format, textBytes: length, buffers }, bytes };
}

// ---------------------------------------------------------------- functions

/** Functions kept; those loaded first go first. */
const MOST_LOADED = 1_024;

const loader = new Loader();
const loaded = new Map<string, Loaded>();

function load(definition: string): Loaded | Promise<Loaded> {
  const loading = loader.load(0, definition);
  return loading instanceof Promise
    ? loading.then((found) => keep(definition, found))
    : keep(definition, loading);
}

function keep(definition: string, found: Loaded): Loaded {
  if (loaded.size >= MOST_LOADED) loaded.delete(loaded.keys().next().value!);
  loaded.set(definition, found);
  return found;
}

// -------------------------------------------------------------------- calls

let outcome: readonly [kind: number, payload: Passed] | undefined;

/** Keeps the outcome; the worker that this runs in does all else. */
const port: RunnerPort<undefined> = {
  copy: { canMove: false } satisfies RichOptions,
  // Strays are the business of the worker's own runner.
  context: { run: (_, fn) => fn(), getStore: () => undefined },
  prepare: (value) =>
    hasRich() || isSurelyPlain(value) ? undefined : loadRich(),
  finish(_, kind, payload) {
    outcome = [kind, passOut(payload)];
    return true;
  },
  setAwaiting() {},
  giveUp() {},
  die() {},
  leave() {},
};

const runner = new TaskRunner<undefined>(port);

/** Whether a value is plain; one whose getters throw is left to the rich codec. */
function isSurelyPlain(value: unknown): boolean {
  try {
    return value === undefined || isPlain(value);
  } catch {
    return false;
  }
}

function passOut(payload: Payload): Passed {
  const { format, text, buffers } = payload;
  if (buffers.length === 0 && text.length <= LONG_STRING) {
    return [format, text, 0, 0];
  }
  const { part, bytes } = toPart(payload);
  return [format, bytes, part.textBytes, part.buffers];
}

function readArguments(
  [format, content, textBytes, buffers]: Passed,
): unknown[] {
  if (format === Format.EMPTY) return [];
  if (typeof content === "string") {
    return decodeValue(format, content, [], []) as unknown[];
  }
  const bytes = aligned(content);
  return decodeValue(
    format,
    readText(bytes, 0, textBytes),
    readBuffers(bytes, 0, textBytes, buffers),
    [],
  ) as unknown[];
}

function isReady([format]: Passed): boolean {
  return format !== Format.RICH || hasRich();
}

/**
 * Runs a task, whatever comes of it.
 *
 * @param definition What to call, as JSON.
 * @param args What to call it with.
 * @param isChunk Whether these are the columns of a chunk of `map`.
 */
export function runTask(
  definition: string,
  args: Passed,
  isChunk: boolean,
): Outcome | Promise<Outcome> {
  const startMs = wallClockMs();
  const known = loaded.get(definition);
  const running = known !== undefined && isReady(args)
    ? call(known, args, isChunk)
    : callLater(definition, args, isChunk);
  return running === undefined
    ? conclude(startMs)
    : running.then(() => conclude(startMs));
}

function conclude(startMs: number): Outcome {
  const [kind, payload] = outcome!;
  outcome = undefined;
  return [kind, payload, startMs, wallClockMs()];
}

function call(
  found: Loaded,
  args: Passed,
  isChunk: boolean,
): Promise<void> | undefined {
  return runner.call(undefined, found, () => readArguments(args), isChunk);
}

/** Runs a task for which something must be loaded first. */
async function callLater(
  definition: string,
  args: Passed,
  isChunk: boolean,
): Promise<void> {
  runner.begin(undefined);
  let found: Loaded;
  try {
    found = await (loaded.get(definition) ?? load(definition));
    if (!isReady(args)) await loadRich();
  } catch (error) {
    await runner.fail(error, "the function");
    return;
  }
  await call(found, args, isChunk);
}

/** Calls what a worker calls first; what that throws breaks the pool. */
export async function initialize(
  definition: string,
  args: Passed,
): Promise<void> {
  if (!isReady(args)) await loadRich();
  const found = await loader.load(0, definition);
  await found.call(readArguments(args));
}
