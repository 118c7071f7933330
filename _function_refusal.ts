/**
 * Why the text of a function is not enough to make it again.
 *
 * @module
 */

import type { FunctionSource } from "./_function_source.ts";
import { isOfDeno, type Place } from "./_inspector.ts";
import { nameOf, textOf } from "./_references.ts";

/** Whether a function has no text. */
export function isNative(fn: object): boolean {
  return /\{\s*\[native code\]\s*\}$/.test(textOf(fn));
}

/** Says why a function cannot be made again from its text, and what to do. */
export function refusalOfFunction(
  fn: object,
  source: FunctionSource | undefined,
  place?: Place,
): string | undefined {
  if (place !== undefined && isOfDeno(place)) {
    return "it is a part of Deno that neither the global object nor a module of Node gives out: wrap the call in a function";
  }
  if (isNative(fn)) {
    return /^bound\b/.test(nameOf(fn))
      ? "it is a bound function, whose target and arguments cannot be read: submit the target, and pass the bound values as arguments"
      : "it is a native function that the global object does not reach: wrap the call in a function";
  }
  if (source === undefined) {
    return "its source cannot stand alone (a private name, new.target of its place, code that is not strict): write it as a plain function";
  }
  if (source.bound === "arguments") {
    return 'it is an arrow function that uses the "arguments" of its place, which stay behind: give it parameters of its own';
  }
  if (source.bound === "super" || (source.isMethod && source.usesThis)) {
    return `it is a method that uses "${
      source.bound ?? "this"
    }", and the object that "this" means stays behind: write a function that takes the data that it needs as arguments`;
  }
  if (source.isClass) return refusalOfClass(fn, source);
  return hasMethods(fn)
    ? "its prototype has properties of its own: write it as a class"
    : undefined;
}

function refusalOfClass(
  fn: object,
  { hasHiddenState }: FunctionSource,
): string | undefined {
  if (hasHiddenState) {
    return "it is a class with private static fields, whose values only its own code can read: keep them in variables of the module";
  }
  const text = textOf(fn);
  const { prototype } = fn as { prototype: object };
  return [...functionsOf(fn), ...functionsOf(prototype)].every((member) =>
      member === fn || text.includes(textOf(member))
    )
    ? undefined
    : "it is a class whose methods were changed after it was written, by a decorator, say: wrap it in a function";
}

/** The methods, getters and setters of a class or its prototype. */
function functionsOf(holder: object): object[] {
  return Object.values(Object.getOwnPropertyDescriptors(holder))
    .filter(({ enumerable }) => !enumerable)
    .flatMap(({ value, get, set }) => [value, get, set])
    .filter((member) => typeof member === "function");
}

/** Whether a function serves as a class of the old kind. */
function hasMethods(fn: object): boolean {
  const { prototype } = fn as { prototype?: object };
  return typeof prototype === "object" && prototype !== null &&
    Object.getPrototypeOf(prototype) === Object.prototype &&
    Reflect.ownKeys(prototype).some((key) => key !== "constructor");
}
