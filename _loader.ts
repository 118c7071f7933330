/**
 * A worker's half of callable travel: finds or makes the function that a
 * definition tells of, and keeps it for the tasks to come.
 *
 * @module
 */

import type {
  Definition,
  GlobalDefinition,
  ModuleDefinition,
  SourceDefinition,
} from "./_definition.ts";
import { realm } from "./_realm.ts";
import { SerializationError } from "./errors.ts";

/** A function as a worker calls it. */
export interface Loaded {
  readonly name: string;
  /** Calls the function. */
  call(args: readonly unknown[]): unknown;
  /** Explains what the call threw, where the way of travel explains it. */
  explain(error: unknown): unknown;
}

/** The functions kept; the ones loaded first go first. */
const MOST_LOADED = 1024;

/** The functions that this worker knows, by their number in the pool. */
export class Loader {
  readonly #loaded = new Map<number, Loaded>();

  /** Returns a function that is loaded. */
  get(id: number): Loaded | undefined {
    return this.#loaded.get(id);
  }

  /** Loads a function; at once, unless it must be imported. */
  load(id: number, definition: Definition): Loaded | Promise<Loaded> {
    if (definition.kind === "module") {
      return importTask(definition).then((loaded) => this.#keep(id, loaded));
    }
    return this.#keep(
      id,
      definition.kind === "global"
        ? findGlobal(definition)
        : evaluate(definition),
    );
  }

  #keep(id: number, loaded: Loaded): Loaded {
    if (this.#loaded.size >= MOST_LOADED) {
      this.#loaded.delete(this.#loaded.keys().next().value!);
    }
    this.#loaded.set(id, loaded);
    return loaded;
  }
}

type AnyFunction = (...args: unknown[]) => unknown;

function asIs(error: unknown): unknown {
  return error;
}

// ---------------------------------------------------------------- modules

async function importTask(definition: ModuleDefinition): Promise<Loaded> {
  const { module, name } = definition;
  const { namespace } = await importWrapped(module);
  const fn = Object.hasOwn(namespace, name) ? namespace[name] : undefined;
  if (typeof fn !== "function") {
    const names = Object.keys(namespace).filter((key) =>
      typeof namespace[key] === "function"
    );
    throw new SerializationError(
      `Cannot call "${name}" as ${module} must export a function of that name: it exports ${
        names.length > 0 ? names.map((key) => `"${key}"`).join(", ") : "none"
      }`,
    );
  }
  return {
    name,
    call: (args) => (fn as AnyFunction)(...args),
    explain: asIs,
  };
}

/**
 * Imports a module. Its namespace comes inside of another one: a module that
 * exports `then` would be taken for a promise, by `import` as well as `await`.
 */
async function importWrapped(
  module: string,
): Promise<{ namespace: Record<string, unknown> }> {
  const before = realm.importing;
  realm.importing = module;
  try {
    const wrapper = `export * as namespace from ${JSON.stringify(module)};`;
    return await import(
      `data:text/javascript,${encodeURIComponent(wrapper)}`
    );
  } catch (error) {
    // The place that it names is the wrapper, which nobody knows.
    if (error instanceof TypeError) {
      error.message = error.message.replace(
        /\s+at [^\n]*data:text\/javascript.*$/s,
        "",
      );
    }
    throw error;
  } finally {
    realm.importing = before;
  }
}

// -------------------------------------------------------------- built-ins

function findGlobal({ name, path, source }: GlobalDefinition): Loaded {
  let holder: unknown;
  let value: unknown = globalThis;
  for (const key of path) {
    holder = value;
    value = (value as Record<string, unknown> | undefined)?.[key];
  }
  if (
    typeof value !== "function" ||
    sourceOf(value) !== source
  ) {
    throw new SerializationError(
      `Cannot call "${
        path.join(".")
      }" as the worker must have the same function under that name: it was set or replaced by the program; put it into a module and submit it through importTasks`,
    );
  }
  const fn = value as AnyFunction;
  return { name, call: (args) => fn.apply(holder, [...args]), explain: asIs };
}

/** A built-in's source text, also where the worker has put its own in its place. */
function sourceOf(fn: unknown): string {
  return realm.replaced.get(fn) ?? Function.prototype.toString.call(fn);
}

// ----------------------------------------------------------------- source

function evaluate({ name, expression }: SourceDefinition): Loaded {
  // Indirect eval: the text sees globals alone, as it would anywhere else.
  const fn: AnyFunction = (0, eval)(
    `"use strict";${expression}\n//# sourceURL=${
      encodeURI(name || "anonymous")
    }`,
  );
  return {
    name: name || "anonymous",
    call: (args) => fn(...args),
    explain: (error) => explainMissingName(error, name || "anonymous"),
  };
}

/** Says why a name that the function's module knows is not known here. */
function explainMissingName(error: unknown, name: string): unknown {
  if (!(error instanceof ReferenceError)) return error;
  const missing = /^(\S+) is not defined$/.exec(error.message)?.[1];
  if (missing === undefined) return error;
  const { message, stack } = error;
  if (Object.isFrozen(error)) return error;
  error.message =
    `${message}: the function "${name}" travelled to the worker by its source, which leaves its module behind; ` +
    `pass "${missing}" as an argument, define it inside the function, or move the function to a module and submit it through importTasks`;
  error.stack = stack?.replace(message, () => error.message);
  return error;
}
