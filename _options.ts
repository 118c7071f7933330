/**
 * Checks of options at the door: `TypeError` for a wrong type, `RangeError`
 * for a number out of range, as built-ins throw.
 *
 * @module
 */

/** The longest time that a timer of the platform takes; above it, it would fire at once. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Returns a time limit in milliseconds, `Infinity` where there is none. */
export function checkTimeout(timeout: unknown): number {
  if (timeout === undefined) return Infinity;
  if (typeof timeout !== "number") {
    throw wrongType("timeout", "a number of milliseconds", timeout);
  }
  if (!(timeout >= 0)) throw outOfRange("timeout", ">= 0", timeout);
  return timeout;
}

/** Returns a count that is whole and at least 1, or another `least`; `undefined` stays. */
export function checkCount<T extends number | undefined>(
  name: string,
  count: T,
  least: number = 1,
): T {
  if (count === undefined) return count;
  if (typeof count !== "number") throw wrongType(name, "a number", count);
  if (!Number.isInteger(count) || count < least) {
    throw outOfRange(name, `a whole number >= ${least}`, count);
  }
  return count;
}

/** Returns one of `allowed`, the first where none is given. */
export function checkChoice<T extends string>(
  name: string,
  choice: unknown,
  allowed: readonly [T, ...T[]],
): T {
  if (choice === undefined) return allowed[0];
  if (typeof choice !== "string") throw wrongType(name, "a string", choice);
  const found = allowed.find((value) => value === choice);
  if (found === undefined) {
    const list = allowed.map((value) => `"${value}"`).join(" or ");
    throw outOfRange(name, list, `"${choice}"`);
  }
  return found;
}

/** Returns a flag, `fallback` where it is not given. */
export function checkFlag(
  name: string,
  flag: unknown,
  fallback: boolean,
): boolean {
  if (flag === undefined) return fallback;
  if (typeof flag !== "boolean") throw wrongType(name, "a boolean", flag);
  return flag;
}

/** Returns a string; `undefined` stays. */
export function checkString(name: string, value: unknown): string | undefined {
  if (value !== undefined && typeof value !== "string") {
    throw wrongType(name, "a string", value);
  }
  return value;
}

/** Returns an abort signal; `undefined` stays. */
export function checkSignal(signal: unknown): AbortSignal | undefined {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw wrongType("signal", "an AbortSignal", signal);
  }
  return signal;
}

/** Returns a list as an array of its own. */
export function checkArray<T>(name: string, value: unknown): T[] | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) throw wrongType(name, "an array", value);
  return value.slice();
}

/** Returns an options object; `undefined` is one without options. */
export function checkOptions<T extends object>(options: T | undefined): T {
  if (options === undefined) return {} as T;
  if (typeof options !== "object" || options === null) {
    throw wrongType("options", "an object", options);
  }
  return options;
}

/** The error for an option of a wrong type. */
export function wrongType(
  name: string,
  wanted: string,
  value: unknown,
): TypeError {
  const actual = value === null
    ? "null"
    : Array.isArray(value)
    ? "array"
    : typeof value;
  return new TypeError(
    `Cannot take the option as "${name}" must be ${wanted}: received ${actual}`,
  );
}

function outOfRange(name: string, wanted: string, value: unknown): RangeError {
  return new RangeError(
    `Cannot take the option as "${name}" must be ${wanted}: received ${value}`,
  );
}
