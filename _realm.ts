/**
 * What this thread is to the pools in it.
 *
 * @module
 */

/** The modules that a worker is importing for a task: see `checkNotImporting`. */
export const realm: {
  importing: readonly string[];
  /** The source texts of the built-ins in whose place a worker has put its own. */
  readonly replaced: Map<unknown, string>;
} = {
  importing: [],
  replaced: new Map(),
};

/** The names that the platform has given, before the program could set its own. */
const PLATFORM_NAMES = new Set(Object.getOwnPropertyNames(globalThis));

/** Whether a name means what the platform set on the global object. */
export function isPlatformName(name: string): boolean {
  return PLATFORM_NAMES.has(name) || name === "undefined";
}

/** Puts a function in the place of a built-in, which may still be submitted by name. */
export function replace<K extends string, F>(
  holder: { [key in K]: F },
  key: K,
  fn: F,
): void {
  realm.replaced.set(fn, Function.prototype.toString.call(holder[key]));
  holder[key] = fn;
}
