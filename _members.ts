/**
 * Objects that hold functions: they travel as values, and the functions by the
 * rules for functions; in the worker they are put together again.
 *
 * @module
 */

import { types } from "node:util";
import { isRecord } from "./_rich.ts";

/** A function in an object. */
export interface FoundFunction {
  /** The way to it from the value that was searched. */
  readonly path: readonly string[];
  readonly fn: object;
}

/** A value without its functions. */
export interface TakenOut {
  /** The value with `null` in place of functions; a copy, as far as there are any. */
  readonly rest: object;
  readonly functions: readonly FoundFunction[];
}

/** Beyond so many properties functions are not looked for: data is large, and holds none. */
const MOST_LOOKED_AT = 10_000;

/** An object whose properties travel one by one. */
interface Container {
  readonly object: object;
  /** The way to it from the value in which it was found. */
  readonly path: readonly string[];
  readonly parts: ReadonlyMap<string, unknown>;
  /** The containers that hold it. */
  readonly holders: Container[];
  /** Whether a function is in it, or in what it holds. */
  hasFunctions: boolean;
  /** What travels in its place. */
  rest: object;
}

/**
 * Takes functions out of values that belong together: an object that several of
 * them hold stays one object.
 */
export class FunctionRemover {
  readonly #containers = new Map<object, Container>();
  #left = MOST_LOOKED_AT;

  /** Takes the functions out of a value; `undefined` where it may stay as it is. */
  takeOut(value: object): TakenOut | undefined {
    const known = this.#containers.get(value);
    if (known !== undefined) {
      return known.hasFunctions
        ? { rest: known.rest, functions: [] }
        : undefined;
    }
    const found: Container[] = [];
    this.#explore(value, [], found);
    const functions = found.flatMap(functionsOf);
    for (const container of found) {
      if (functionsOf(container).length > 0) mark(container);
    }
    const copied = found.filter(({ hasFunctions }) => hasFunctions);
    for (const container of copied) container.rest = emptyOf(container.object);
    for (const container of copied) this.#fill(container);
    const { hasFunctions, rest } = this.#containers.get(value) ?? {};
    return hasFunctions ? { rest: rest!, functions } : undefined;
  }

  /** Adds what can be reached from an object, near things first. */
  #explore(object: object, path: readonly string[], found: Container[]): void {
    const first = this.#add(object, path, found);
    if (first === undefined) return;
    for (let i = found.indexOf(first); i < found.length; i++) {
      const holder = found[i];
      for (const [key, part] of holder.parts) {
        if (typeof part !== "object" || part === null) continue;
        const inner = this.#containers.get(part) ??
          this.#add(part, [...holder.path, key], found);
        inner?.holders.push(holder);
        if (inner?.hasFunctions) mark(holder);
      }
    }
  }

  #add(
    object: object,
    path: readonly string[],
    found: Container[],
  ): Container | undefined {
    if (this.#left <= 0 || !isContainer(object)) return undefined;
    const parts = new Map<string, unknown>();
    for (const key of keysOf(object)) {
      if (this.#left-- <= 0) break;
      parts.set(key, Object.getOwnPropertyDescriptor(object, key)?.value);
    }
    const container: Container = {
      object,
      path,
      parts,
      holders: [],
      hasFunctions: false,
      rest: object,
    };
    this.#containers.set(object, container);
    found.push(container);
    return container;
  }

  #fill({ object, parts, rest }: Container): void {
    Object.assign(rest, object);
    const target = rest as Record<string, unknown>;
    for (const [key, part] of parts) {
      if (typeof part === "function") target[key] = null;
      const inner = this.#containers.get(part as object);
      if (inner !== undefined) target[key] = inner.rest;
    }
  }
}

/** Names an array's elements one by one: there may be very many. */
function keysOf(object: object): Iterable<string> {
  return Array.isArray(object)
    ? Iterator.from(Array.prototype.keys.call(object)).map(String)
    : Object.keys(object);
}

function functionsOf({ parts, path }: Container): FoundFunction[] {
  const functions: FoundFunction[] = [];
  for (const [key, part] of parts) {
    if (typeof part === "function") {
      functions.push({ path: [...path, key], fn: part });
    }
  }
  return functions;
}

/** Marks a container and all that hold it. */
function mark(container: Container): void {
  if (container.hasFunctions) return;
  container.hasFunctions = true;
  container.holders.forEach(mark);
}

/** Arrays, and what travels as its fields; an error travels as more than that. */
function isContainer(object: object): boolean {
  return !types.isProxy(object) &&
    (Array.isArray(object) || (isRecord(object) && !(object instanceof Error)));
}

function emptyOf(object: object): object {
  return Array.isArray(object) ? new Array(object.length) : {};
}
