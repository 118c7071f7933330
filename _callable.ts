/**
 * Decides how a callable travels, once for each function.
 *
 * In this order: a reference made by `importTasks`; a built-in that the global
 * object reaches; the source of a function that is self-contained. What is
 * none of these is refused with the way to write it so that it can travel.
 *
 * @module
 */

import type { Definition } from "./_definition.ts";
import { type FunctionSource, readFunctionSource } from "./_function_source.ts";
import { TaskReference } from "./_task_reference.ts";
import { SerializationError } from "./errors.ts";

/** What the decision came to: the definition as text, or why there is none. */
type Decision = string | SerializationError;

const decisions = new WeakMap<object, Decision>();

/**
 * Decisions by source text, for functions that are made anew again and again.
 * The oldest go first, so that memory stays bounded.
 */
const bySource = new Map<string, Decision>();
const MOST_SOURCES = 1024;

function isCallable(value: unknown): value is object {
  return typeof value === "function" || value instanceof TaskReference;
}

/**
 * Returns `value` if it may be submitted.
 *
 * @param what How the error is to begin.
 * @throws {TypeError} If it is neither a function nor a task reference.
 */
export function checkCallable(
  value: unknown,
  what = "Cannot submit as what is to be called",
): object {
  if (isCallable(value)) return value;
  const type = value === null ? "null" : typeof value;
  throw new TypeError(
    `${what} must be a function or a task reference: received ${type}`,
  );
}

/** Returns the name of a callable, for messages. */
export function nameOf(callable: object): string {
  return callable instanceof TaskReference
    ? callable.export
    : (callable as { name?: string }).name || "anonymous";
}

/**
 * Returns the definition of a callable as JSON.
 *
 * @throws {SerializationError} If it cannot travel; a new error each time.
 */
export function define(callable: object): string {
  let decision = decisions.get(callable);
  if (decision === undefined) {
    decision = decide(callable);
    decisions.set(callable, decision);
  }
  if (typeof decision === "string") return decision;
  throw new SerializationError(decision.message);
}

function decide(callable: object): Decision {
  if (callable instanceof TaskReference) {
    return write({
      kind: "module",
      module: callable.module,
      name: callable.export,
    });
  }
  const fn = callable as () => unknown;
  const source = Function.prototype.toString.call(fn);
  const path = pathFromGlobal(fn);
  if (path !== undefined) {
    return write({ kind: "global", name: fn.name, path, source });
  }
  const key = `${fn.name}\0${source}`;
  let decision = bySource.get(key);
  if (decision === undefined) {
    decision = decideBySource(fn.name, source);
    if (bySource.size >= MOST_SOURCES) {
      bySource.delete(bySource.keys().next().value!);
    }
    bySource.set(key, decision);
  }
  return decision;
}

function write(definition: Definition): string {
  return JSON.stringify(definition);
}

// ------------------------------------------------------------- built-ins

/** Where built-in functions live: ways from the global object to their holders. */
const HOLDERS: readonly (readonly string[])[] = [
  [],
  ...("Array ArrayBuffer Atomics BigInt Date Deno Error Intl Iterator JSON Map Math Number Object Promise " +
    "Reflect RegExp Response String Symbol Uint8Array URL WebAssembly console crypto performance " +
    "crypto.subtle Temporal.Now Temporal.Instant Temporal.PlainDate Temporal.Duration")
    .split(" ").map((path) => path.split(".")),
];

/** Returns the way from the global object to a built-in, or `undefined`. */
function pathFromGlobal(fn: () => unknown): string[] | undefined {
  if (fn.name === "") return undefined;
  for (const path of HOLDERS) {
    const holder = follow(path);
    if (holder !== undefined && fn.name in holder && holder[fn.name] === fn) {
      return [...path, fn.name];
    }
  }
  return undefined;
}

/** Follows a path from the global object, as far as it leads to an object. */
function follow(
  path: readonly string[],
): Record<string, unknown> | undefined {
  let holder: unknown = globalThis;
  for (const key of path) holder = (holder as Record<string, unknown>)?.[key];
  return holder === undefined ? undefined : holder as Record<string, unknown>;
}

// ---------------------------------------------------------------- source

function decideBySource(name: string, source: string): Decision {
  if (/\{\s*\[native code\]\s*\}$/.test(source)) {
    return refuse(
      name,
      name.startsWith("bound ")
        ? "it is a bound function, whose target and arguments cannot be read: submit the target, and pass the bound values as arguments"
        : "it is a native function that the global object does not reach: wrap the call in a function that a worker can find, such as an export of a module for importTasks",
    );
  }
  const read = readFunctionSource(source);
  const why = read === undefined
    ? "its source cannot stand alone (a private name, a computed name): write it as a plain function"
    : whyNot(read);
  return read === undefined || why !== undefined
    ? refuse(name, why!)
    : write({ kind: "source", name, expression: read.expression });
}

/** Says why a function cannot travel by its source. */
function whyNot(read: FunctionSource): string | undefined {
  if (read.isClass) {
    return "it is a class: submit a function that makes the object and returns what you need of it";
  }
  if (read.isMethod && read.usesThis) {
    return 'it is a method that uses "this", and its object stays behind: write a function that takes the data that it needs as arguments';
  }
  if (read.isArrow && read.usesThis) {
    return 'it is an arrow function that uses the "this" of its place, which stays behind: pass the values that it needs as arguments';
  }
  if (read.usesModule) {
    return "it uses import.meta or imports by a relative path, which belong to its module: move it to a module and submit it through importTasks, or pass the value as an argument";
  }
  return undefined;
}

function refuse(name: string, why: string): SerializationError {
  return new SerializationError(
    `Cannot send the function "${name.trim() || "anonymous"}" as ${why}`,
  );
}
