/**
 * Tasks that look at values in a worker; workers import this module.
 *
 * @module
 */

import { assertSameValue, bytes, VALUES } from "./_values.ts";

/** Asserts that what has come is what structured clone gives of the value of that name. */
export function check(name: string, value: unknown): void {
  assertSameValue(value, structuredClone(find(name)()));
}

/** Makes the value of that name. */
export function make(name: string): unknown {
  return find(name)();
}

/** As `make`, and awaits first. */
export async function makeAwaiting(name: string): Promise<unknown> {
  await Promise.resolve();
  return find(name)();
}

/** Asserts for values beside each other. */
export function checkAll(values: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(values)) check(name, value);
}

/** Makes every value, in one object. */
export function makeAll(): Record<string, unknown> {
  return Object.fromEntries(VALUES.map(({ name, make }) => [name, make()]));
}

/** Returns bytes as `bytes` makes them. */
export function makeBytes(length: number): Uint8Array<ArrayBuffer> {
  return bytes(length);
}

/** Where the first byte lies that is none of `bytes`; -1 where all are. */
export function firstWrongByte(data: Uint8Array): number {
  const expected = bytes(data.length);
  return data.findIndex((byte, i) => byte !== expected[i]);
}

function find(name: string): () => unknown {
  return VALUES.find((value) => value.name === name)!.make;
}
