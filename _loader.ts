/**
 * A worker's half of callable travel: finds or makes the function that a
 * definition tells of, and keeps it for the tasks to come.
 *
 * @module
 */

import type {
  BlindDefinition,
  Definition,
  DefinitionValues,
  GlobalDefinition,
  MetaUse,
  ModuleDefinition,
  SourceDefinition,
  Use,
} from "./_definition.ts";
import { describeError } from "./_describe.ts";
import { Format } from "./_layout.ts";
import { decodeValue, hasRich, loadRich } from "./_payload.ts";
import { isPlatformName, realm } from "./_realm.ts";
import { Shelf } from "./_shelf.ts";
import { SerializationError } from "./errors.ts";

/** A function as a worker calls it. */
export interface Loaded {
  readonly name: string;
  /** Calls the function; what it captured comes first, where the call brings it. */
  call(args: readonly unknown[]): unknown;
}

/** Returns the object that the pool shares under a number. */
export type ResolveShared = (id: number) => unknown;

/** The functions that this worker knows, by their number in the pool. */
export class Loader {
  readonly #loaded = new Shelf<Loaded>();
  readonly #resolveShared: ResolveShared;

  constructor(resolveShared: ResolveShared = () => undefined) {
    this.#resolveShared = resolveShared;
  }

  /** Returns a function that is loaded. */
  get(id: number): Loaded | undefined {
    return this.#loaded.get(id);
  }

  /** Loads a function by its definition's text; at once, unless something must be imported. */
  load(id: number, text: string): Loaded | Promise<Loaded> {
    const definition: Definition = JSON.parse(text);
    const loaded = this.#make(definition);
    const keep = (loaded: Loaded) => {
      this.#loaded.set(id, loaded, text.length);
      return loaded;
    };
    return loaded instanceof Promise ? loaded.then(keep) : keep(loaded);
  }

  #make(definition: Definition): Loaded | Promise<Loaded> {
    switch (definition.kind) {
      case "module":
        return importTask(definition);
      case "global":
        return findGlobal(definition);
      case "blind":
        return this.#makeBlindly(definition);
      case "source":
        return definition.uses.length === 0 && isReadable(definition.values)
          ? this.#evaluate(definition, [])
          : this.#evaluateLater(definition);
    }
  }

  /** What an initializer has put on the global object counts before any module. */
  #makeBlindly(definition: BlindDefinition): Loaded | Promise<Loaded> {
    const { name, text, missing } = definition;
    return text !== undefined && missing.length > 0 &&
        missing.every((name) => name in globalThis && !isPlatformName(name))
      ? this.#evaluate({
        kind: "source",
        name,
        text,
        uses: [],
        isCapturing: false,
      }, [])
      : importBySource(definition);
  }

  async #evaluateLater(definition: SourceDefinition): Promise<Loaded> {
    if (!isReadable(definition.values)) await loadRich();
    const uses = await Promise.all(definition.uses.map(find));
    return this.#evaluate(definition, uses.map(({ value }) => value));
  }

  #evaluate(definition: SourceDefinition, uses: readonly unknown[]): Loaded {
    const { name, text, isCapturing, values } = definition;
    // Indirect eval: the text sees globals alone, as it would anywhere else.
    const make: Factory = (0, eval)(
      `"use strict";${text}\n//# sourceURL=${encodeURI(name.toWellFormed())}`,
    );
    if (isCapturing) {
      return {
        name,
        call: ([captured, ...args]) =>
          make(captured as unknown[], uses)(...args),
      };
    }
    const fn = make(
      values === undefined ? [] : readValues(values, this.#resolveShared),
      uses,
    );
    return { name, call: (args) => fn(...args) };
  }
}

type AnyFunction = (...args: unknown[]) => unknown;

/** What the text of a function that travels by source is. */
type Factory = (
  captured: readonly unknown[],
  uses: readonly unknown[],
) => AnyFunction;

// ----------------------------------------------------------------- values

function isReadable(values: DefinitionValues | undefined): boolean {
  return values?.format !== Format.RICH || hasRich();
}

function readValues(
  { format, text, buffers, shared }: DefinitionValues,
  resolveShared: ResolveShared,
): unknown[] {
  return decodeValue(
    format,
    text,
    buffers.map(fromBase64),
    shared.map(resolveShared),
  ) as unknown[];
}

function fromBase64(text: string): Uint8Array {
  return (Uint8Array as unknown as { fromBase64(text: string): Uint8Array })
    .fromBase64(text);
}

// ------------------------------------------------------------------- uses

/** What was found; in an object, as a value may be thenable. */
interface Found {
  readonly value: unknown;
}

function find(use: Use): Found | Promise<Found> {
  switch (use.kind) {
    case "module":
      return importValue(use);
    case "global":
      return { value: walk(globalThis, use.path).value };
    case "meta":
      return makeMeta(use);
  }
}

async function importValue(use: ModuleDefinition): Promise<Found> {
  const { value } = await importPath(use);
  if (use.source !== undefined) check(use, value);
  return { value };
}

/** Makes what `import.meta` and `import()` are in the module where a function was written. */
async function makeMeta({ module }: MetaUse): Promise<Found> {
  const resolve = (specifier: string) =>
    /^\.{0,2}\//.test(specifier)
      ? new URL(specifier, module).href
      : import.meta.resolve(specifier);
  const meta: Record<string, unknown> = { url: module, main: false, resolve };
  if (module.startsWith("file:")) {
    const { fileURLToPath } = await import("node:url");
    meta.filename = fileURLToPath(module);
    meta.dirname = fileURLToPath(new URL(".", module)).replace(
      /(?<=.)[\\/]$/,
      "",
    );
  }
  const load = (specifier: unknown, options?: ImportCallOptions) =>
    import(resolve(String(specifier)), options);
  return { value: { meta, load } };
}

// ---------------------------------------------------------------- modules

async function importTask(definition: ModuleDefinition): Promise<Loaded> {
  const { name, path } = definition;
  const { value, holder } = await importPath(definition);
  check(definition, value);
  const fn = value as AnyFunction;
  return path.length < 2
    ? { name, call: (args) => fn(...args) }
    : { name, call: (args) => fn.apply(holder, [...args]) };
}

interface Step extends Found {
  /** The object that the value is a property of. */
  readonly holder: unknown;
}

function walk(start: unknown, path: readonly string[]): Step {
  let holder: unknown;
  let value = start;
  for (const key of path) {
    holder = value;
    value = (holder as Record<string, unknown> | undefined)?.[key];
  }
  return { holder, value };
}

async function importPath(
  { name, module, path, source }: ModuleDefinition,
): Promise<Step> {
  const { namespace } = await importWrapped(module);
  if (path.length > 0 && !Object.hasOwn(namespace, path[0])) {
    const isAny = source === undefined && path.length > 1;
    throw new SerializationError(
      `Cannot call "${name}" as ${module} must export ${
        isAny ? "it" : "a function of that name"
      }: it exports ${listFunctions(namespace)}`,
    );
  }
  return walk(namespace, path);
}

function listFunctions(namespace: Record<string, unknown>): string {
  const names = Object.keys(namespace).filter((key) =>
    typeof namespace[key] === "function"
  );
  return names.length > 0 ? names.map((key) => `"${key}"`).join(", ") : "none";
}

/** Finds the one export whose text is that of the function. */
async function importBySource(
  { name, module, source, hint }: BlindDefinition,
): Promise<Loaded> {
  const { namespace } = await importWrapped(module).catch((cause) => {
    throw new SerializationError(
      `Cannot send the function "${name}" as ${hint}; ${module}, which submitted it, cannot be looked through, as its import failed: ${
        describeError(cause)
      }`,
      { cause },
    );
  });
  const candidates = Object.values(namespace).filter((value) =>
    typeof value === "function" && sourceOf(value) === source
  );
  const same = new Set(candidates);
  if (same.size === 1) {
    const fn = candidates[0] as AnyFunction;
    return { name, call: (args) => fn(...args) };
  }
  throw new SerializationError(
    `Cannot send the function "${name}" as ${hint}; or export it from ${module}, which submitted it and exports ${
      same.size === 0 ? "no function" : "several functions"
    } of its source`,
  );
}

/** Makes sure that what was found is the function that was submitted. */
function check(
  { name, module, path, source }: ModuleDefinition,
  value: unknown,
): void {
  const place = path.join(".");
  if (typeof value !== "function") {
    throw new SerializationError(
      `Cannot call "${name}" as ${module} must export it: its "${place}" is no function`,
    );
  }
  if (source === undefined || sourceOf(value) === source) return;
  throw new SerializationError(
    `Cannot call "${name}" as ${module} must export the function that was submitted: its "${place}" has another source in the worker; ` +
      "a module has to export the same function in every thread and process",
  );
}

/**
 * Imports a module. Its namespace comes inside of another one: a module that
 * exports `then` would be taken for a promise, by `import` as well as `await`.
 */
async function importWrapped(
  module: string,
): Promise<{ namespace: Record<string, unknown> }> {
  realm.importing = [...realm.importing, module];
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
    realm.importing = realm.importing.toSpliced(
      realm.importing.indexOf(module),
      1,
    );
  }
}

// -------------------------------------------------------------- built-ins

function findGlobal({ name, path, source }: GlobalDefinition): Loaded {
  const { holder, value } = walk(globalThis, path);
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
  return { name, call: (args) => fn.apply(holder, [...args]) };
}

/** A built-in's source text, also where the worker has put its own in its place. */
function sourceOf(fn: unknown): string {
  return realm.replaced.get(fn) ?? Function.prototype.toString.call(fn);
}
