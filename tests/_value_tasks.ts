/**
 * Tasks that look at values in a worker; workers import this module.
 *
 * @module
 */

import { depthOf, HOSTILE, nest } from "./_hostile_values.ts";
import { expectedOf, type Graph, makeValue } from "./_value_graph.ts";
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

/** Makes the value of a graph; in an object, since a promise would be awaited. */
export function makeGraph(graph: Graph): { value: unknown } {
  return { value: makeValue(graph) };
}

/** Throws the value of a graph. */
export function throwGraph(graph: Graph): never {
  throw makeValue(graph);
}

/** Asserts that what has come is what is to come of the value of a graph. */
export function checkGraph(graph: Graph, value: unknown): void {
  assertSameValue(value, expectedOf(graph));
}

/** Makes the hostile value of that name; in an object, since JavaScript awaits what is returned. */
export function makeHostile(name: string): { value: unknown } {
  return { value: findHostile(name)() };
}

/** Returns the hostile value of that name itself. */
export function returnHostile(name: string): unknown {
  return findHostile(name)();
}

/** Throws the hostile value of that name. */
export function throwHostile(name: string): never {
  throw findHostile(name)();
}

function findHostile(name: string): () => unknown {
  return HOSTILE.find((value) => value.name === name)!.make;
}

export { depthOf, nest };

function find(name: string): () => unknown {
  return VALUES.find((value) => value.name === name)!.make;
}
