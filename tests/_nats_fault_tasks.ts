/**
 * Tasks for nodes in processes of their own.
 *
 * @module
 */

import { holdAwaiting } from "./_tasks.ts";

/** Kills the process that it runs in, at once. */
export function dieAtOnce(): never {
  Deno.kill(Deno.pid, "SIGKILL");
  for (;;);
}

/** Leaves a note, then kills its process, unless `folder` has a file `spare`. */
export function dieUnlessSpared(folder: string): string {
  Deno.writeTextFileSync(`${folder}/notes`, "run\n", { append: true });
  try {
    Deno.statSync(`${folder}/spare`);
    return "spared";
  } catch {
    Deno.writeTextFileSync(`${folder}/spare`, "");
    return dieAtOnce();
  }
}

/** Leaves a note of its number after a short time; returns its double. */
export async function noteSlowly(folder: string, n: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 5));
  Deno.writeTextFileSync(`${folder}/notes`, `${n}\n`, { append: true });
  return n * 2;
}

/** Returns its double. */
export function double(n: number): number {
  return n * 2;
}

/** Returns so many bytes, of the value `n`. */
export function fill(bytes: number, n: number): Uint8Array {
  return new Uint8Array(bytes).fill(n);
}

/** Returns it, or throws where it is odd. */
export function throwIfOdd(n: number): number {
  if (n % 2 === 1) throw new RangeError(`${n} is odd`);
  return n;
}

/** Returns the sum of the bytes. */
export function sum(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte) => sum + byte, 0);
}

/** Returns what it is given. */
export function echo(value: unknown): unknown {
  return value;
}

/** Throws, whatever it is given. */
export function refuse(_: unknown): never {
  throw new RangeError("refused");
}

/** Does as `hold` of `_tasks.ts`, with an argument of any size; awaits meanwhile. */
export function holdWith(
  folder: string,
  gate: string,
  _: unknown,
): Promise<string> {
  return holdAwaiting(folder, gate);
}

let prepared: Uint8Array = new Uint8Array();

/** An initializer, with an argument of any size. */
export function prepare(bytes: Uint8Array): void {
  prepared = bytes;
}

/** What `prepare` was called with: how many bytes. */
export function recall(): number {
  return prepared.length;
}

/**
 * Leaves a note, at once: so it is quick. Unless `folder` has a file `<name>.die`, which it removes
 * and kills its process, or `<name>.hold`: then it says that it has started and waits for its gate.
 */
export function act(
  folder: string,
  name: string,
): string | Promise<string> {
  Deno.writeTextFileSync(`${folder}/notes`, `${name}\n`, { append: true });
  if (take(`${folder}/${name}.die`)) return dieAtOnce();
  return take(`${folder}/${name}.hold`) ? holdAwaiting(folder, name) : name;
}

/** Whether there was a file; it is gone hereafter. */
function take(path: string): boolean {
  try {
    Deno.removeSync(path);
    return true;
  } catch {
    return false;
  }
}
