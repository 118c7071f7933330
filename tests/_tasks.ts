/**
 * Tasks that tests run in workers. Each is self-contained, so that it travels by its source as well
 * as by reference; files are the gates, since every kind of worker can see them.
 *
 * @module
 */

/** Says that it has started, then blocks its thread until the gate opens; returns the gate's name. */
export function hold(folder: string, gate: string): string {
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  Deno.writeTextFileSync(`${folder}/${gate}.started`, "");
  for (;;) {
    for (const name of [gate, "every"]) {
      try {
        Deno.statSync(`${folder}/${name}.open`);
        return gate;
      } catch {
        // not open
      }
    }
    Atomics.wait(sleeper, 0, 0, 1);
  }
}

/** Does as `hold`, but awaits meanwhile. */
export async function holdAwaiting(
  folder: string,
  gate: string,
): Promise<string> {
  Deno.writeTextFileSync(`${folder}/${gate}.started`, "");
  for (;;) {
    for (const name of [gate, "every"]) {
      try {
        Deno.statSync(`${folder}/${name}.open`);
        return gate;
      } catch {
        // not open
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Leaves a note that it ran; returns the note's name. */
export function note(folder: string, name: string): string {
  Deno.writeTextFileSync(`${folder}/notes`, `${name}\n`, { append: true });
  return name;
}

/** Returns the sum. */
export function add(a: number, b: number): number {
  return a + b;
}

/** Returns the first letter in upper case, through a helper of its module. */
export function capitalize(text: string): string {
  return first(text).toUpperCase() + text.slice(1);
}

function first(text: string): string {
  return text.charAt(0);
}

/** Throws a `RangeError`. */
export function fail(message: string): never {
  throw new RangeError(message);
}

/** Rejects with a `RangeError`, later. */
export async function failAwaiting(message: string): Promise<never> {
  await Promise.resolve();
  throw new RangeError(message);
}

/** No function, though exported. */
export const answer = 42;
