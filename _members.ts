/**
 * Objects that hold functions: they travel as values, and the functions by the
 * rules for functions; in the worker they are put together again.
 *
 * @module
 */

/** A function in an object. */
export interface FoundFunction {
  /** The way from the value to it. */
  readonly path: readonly string[];
  /** What holds it. */
  readonly holder: object;
  readonly fn: object;
}

/** A value without its functions. */
export interface TakenOut {
  /** The value with `null` in place of functions; a copy as far as there are any. */
  readonly rest: object;
  readonly functions: readonly FoundFunction[];
}

/** Beyond these, functions are not looked for: data is large, and holds none. */
const DEEPEST = 4;
const MOST_LOOKED_AT = 1000;

/** Takes the functions out of plain objects and arrays; `undefined` where there are none. */
export function takeOutFunctions(value: object): TakenOut | undefined {
  const functions: FoundFunction[] = [];
  let left = MOST_LOOKED_AT;
  const seen = new Set<object>();
  const copy = (object: object, path: readonly string[]): object => {
    if (!isPlain(object) || path.length > DEEPEST || seen.has(object)) {
      return object;
    }
    seen.add(object);
    let result: Record<string, unknown> | undefined;
    for (const key of Object.keys(object)) {
      if (left-- === 0) break;
      const part = Object.getOwnPropertyDescriptor(object, key)!
        .value as unknown;
      let rest = part;
      const way = [...path, key];
      if (typeof part === "function") {
        functions.push({ path: way, holder: object, fn: part });
        rest = null;
      } else if (typeof part === "object" && part !== null) {
        rest = copy(part, way);
      }
      if (rest === part) continue;
      result ??= cloneOf(object);
      result[key] = rest;
    }
    return result ?? object;
  };
  const rest = copy(value, []);
  return functions.length === 0 ? undefined : { rest, functions };
}

function isPlain(object: object): boolean {
  if (Array.isArray(object)) return true;
  const prototype = Object.getPrototypeOf(object);
  return prototype === Object.prototype || prototype === null;
}

function cloneOf(object: object): Record<string, unknown> {
  const clone = Array.isArray(object) ? object.slice() : { ...object };
  return clone as Record<string, unknown>;
}
