/**
 * What nodes run in tests.
 *
 * @module
 */

export { hold, holdAwaiting, note } from "./_tasks.ts";

/** Returns the sum. */
export function add(a: number, b: number): number {
  return a + b;
}

/** Returns what it is given. */
export function echo(value: unknown): unknown {
  return value;
}

/** Throws. */
export function fail(message: string): never {
  throw new RangeError(message);
}

/** Returns so many bytes, each with its place. */
export function fill(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => i);
}

/** Returns how many bytes it was given. */
export function measure(bytes: Uint8Array): number {
  return bytes.length;
}

/** Ends its worker. */
export function exit(): void {
  Deno.exit(7);
}

let prepared = "nothing";

/** What `prepare` was called with. */
export function recall(): string {
  return prepared;
}

/** An initializer. */
export function prepare(what: string): void {
  prepared = what;
}

/** An initializer that fails. */
export async function prepareBadly(what: string): Promise<void> {
  await Promise.resolve();
  throw new RangeError(what);
}
