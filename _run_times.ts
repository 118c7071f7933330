/**
 * When a task ran, as its worker says it to the owner.
 *
 * @module
 */

import { Format } from "./_layout.ts";
import type { Payload } from "./_payload.ts";

/** When a task ran, in milliseconds since 1970. */
export interface RunTimes {
  readonly startMs: number;
  readonly endMs: number;
}

/** Makes times ready to travel; without `JSON.stringify`, which a task may have replaced. */
export function encodeTimes(startMs: number, endMs: number): Payload {
  const text = `[${startMs},${endMs}]`;
  return { format: Format.PLAIN, text, buffers: [], moved: [] };
}

/** Returns the times that were read; nothing where they are none, whoever sent them. */
export function checkTimes(times: unknown): RunTimes | undefined {
  if (!Array.isArray(times)) return undefined;
  const [startMs, endMs] = times;
  return Number.isFinite(startMs) && Number.isFinite(endMs)
    ? { startMs, endMs }
    : undefined;
}
