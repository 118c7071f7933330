/**
 * Functions that need not travel, as a worker has them too: built-ins of the
 * platform, and what modules export.
 *
 * @module
 */

import process from "node:process";
import { types } from "node:util";
import type { GlobalDefinition, ModuleDefinition, Use } from "./_definition.ts";
import {
  isOfDeno,
  type Place,
  readVariable,
  type Scope,
  type Script,
  withoutGuard,
} from "./_inspector.ts";
import {
  type Import,
  type ModuleSource,
  readModuleSource,
} from "./_module_source.ts";
import { isPlatformName } from "./_realm.ts";

/** Returns the text of a function. */
export function textOf(fn: object): string {
  return Function.prototype.toString.call(fn);
}

/** Returns the name of a function, for messages. */
export function nameOf(fn: object): string {
  const { name } = fn as { name?: unknown };
  return typeof name === "string" && name.trim() !== ""
    ? name.trim()
    : "anonymous";
}

// ------------------------------------------------------------- built-ins

/** Where built-in functions live: ways from the global object to their holders. */
const HOLDERS: readonly (readonly string[])[] = [
  [],
  ...("AbortSignal Array ArrayBuffer Atomics BigInt Date Deno Deno.env Deno.permissions Deno.stderr Deno.stdin Deno.stdout Error Intl " +
    "Intl.DateTimeFormat Intl.NumberFormat Intl.Collator Intl.PluralRules Intl.ListFormat " +
    "Intl.RelativeTimeFormat Intl.Segmenter Iterator JSON Map Math Number Object Promise Proxy " +
    "Reflect RegExp Response String Symbol Uint8Array URL WebAssembly console crypto performance " +
    "crypto.subtle navigator process Temporal Temporal.Now Temporal.Instant Temporal.PlainDate Temporal.PlainTime " +
    "Temporal.PlainDateTime Temporal.PlainMonthDay Temporal.PlainYearMonth Temporal.ZonedDateTime " +
    "Temporal.Duration")
    .split(" ").map((path) => path.split(".")),
];

/** Finds the way from the global object to a built-in. */
export function findGlobal(fn: object): GlobalDefinition | undefined {
  const { name } = fn as { name?: string };
  if (typeof name !== "string" || name === "") return undefined;
  for (const [holder, path] of findHolders()) {
    if (
      name in holder &&
      (path.length > 0 ? holder[name] === fn : isPlatformName(name) &&
        withoutGuard(holder[name]) === withoutGuard(fn))
    ) {
      return {
        kind: "global",
        name,
        path: [...path, name],
        source: textOf(withoutGuard(fn) as object),
      };
    }
  }
  return undefined;
}

/** Finds the way from the global object to an object that is there in every worker. */
export function findGlobalObject(object: object): GlobalDefinition | undefined {
  const path = findHolders().get(object as Holder);
  if (path === undefined) return undefined;
  return { kind: "global", name: path.join("."), path, source: "" };
}

type Holder = Record<string, unknown>;

let holders: Map<Holder, readonly string[]> | undefined;

/** Returns the holders with the ways to them. Every new closure asks, so they are found once. */
function findHolders(): Map<Holder, readonly string[]> {
  if (holders !== undefined) return holders;
  holders = new Map();
  for (const path of HOLDERS) {
    let holder: unknown = globalThis;
    for (const key of path) holder = (holder as Holder | undefined)?.[key];
    if (holder !== undefined) holders.set(holder as Holder, path);
  }
  return holders;
}

/** Finds a function of the platform among the modules of Node that Deno brings. */
function findInNode(fn: object): ModuleDefinition | undefined {
  const { builtinModules } = process.getBuiltinModule("node:module");
  for (const module of builtinModules) {
    if (module.startsWith("_")) continue; // deprecated: to load one warns
    const key = keyOf(process.getBuiltinModule(module), fn);
    if (key !== undefined) {
      return makeReference(`node:${module.replace(/^node:/, "")}`, [key], fn);
    }
  }
  return undefined;
}

// --------------------------------------------------------------- modules

/** What was read of scripts. */
const moduleSources = new WeakMap<Script, ModuleSource>();

/** Returns what the source of a script tells of its names. */
export function moduleSourceOf(script: Script): ModuleSource {
  let source = moduleSources.get(script);
  if (source === undefined) {
    source = readModuleSource(script.source);
    moduleSources.set(script, source);
  }
  return source;
}

/** Whether a scope is that of a module. */
export function isModuleScope({ description }: Scope): boolean {
  return description === "Module";
}

/**
 * Finds a function, or a class, among what the module where it was written
 * exports; the module is known by its place.
 */
export function findExport(
  fn: object,
  place: Place,
): ModuleDefinition | undefined {
  const { script, scopes } = place;
  if (script === undefined) return undefined;
  const { url } = script;
  if (isOfDeno(place)) return findInNode(fn);
  if (!isImportable(url)) return undefined;
  const module = scopes.find(isModuleScope);
  const path = module === undefined && !isAtTop(scopes)
    ? findRequired(fn, url)
    : findExported(fn, module, moduleSourceOf(script), isAtTop(scopes));
  return path && makeReference(url, path, fn);
}

/** Whether a worker can import a script: not the text of an `eval`, or of a command line. */
function isImportable(url: string): boolean {
  return url !== "" && !/\/\$deno\$\w+\.m?[jt]sx?$/.test(url);
}

/**
 * Whether a function was made at the top of its module: there is no other like
 * it. A module none of whose names a function uses has no scope of its own.
 */
export function isAtTop([innermost]: readonly Scope[]): boolean {
  return isModuleScope(innermost) || innermost.object === globalThis;
}

function findExported(
  fn: object,
  { object }: Pick<Scope, "object"> = { object: {} },
  { exports, defaultText, isAssigned }: ModuleSource,
  isAtTop: boolean,
): string[] | undefined {
  const name = nameOf(fn);
  for (const [local, exported] of exports) {
    // What was made by a function and put into its name later is another one elsewhere.
    if (!isAtTop && isAssigned(local)) continue;
    const [value] = readVariable(object, local) ?? [];
    if (value === fn) return [exported];
    if (ownValue(value, name) === fn) return [exported, name];
  }
  return isAtTop && textOf(fn) === defaultText ? ["default"] : undefined;
}

/** Returns the value of an object's own property; no getter is called. */
function ownValue(holder: unknown, key: string): unknown {
  if (
    holder === null || types.isProxy(holder) ||
    (typeof holder !== "object" && typeof holder !== "function")
  ) return undefined;
  const property = Object.getOwnPropertyDescriptor(holder, key);
  return property?.value;
}

/** Finds what a CommonJS module exports. */
function findRequired(fn: object, url: string): string[] | undefined {
  if (!url.startsWith("file:")) return undefined;
  const { createRequire } = process.getBuiltinModule("node:module");
  const { fileURLToPath } = process.getBuiltinModule("node:url");
  const loaded = createRequire(url).cache[fileURLToPath(url)];
  const exports: unknown = loaded?.exports;
  if (exports === fn) return ["default"];
  const key = keyOf(exports, fn);
  return key === undefined ? undefined : ["default", key];
}

/** Returns the key under which an object holds a function. */
function keyOf(holder: unknown, fn: object): string | undefined {
  const name = nameOf(fn);
  if (ownValue(holder, name) === fn) return name;
  return typeof holder === "object" && holder !== null && !types.isProxy(holder)
    ? Object.keys(holder).find((key) => ownValue(holder, key) === fn)
    : undefined;
}

function makeReference(
  module: string,
  path: readonly string[],
  fn: object,
): ModuleDefinition {
  return { kind: "module", name: nameOf(fn), module, path, source: textOf(fn) };
}

/** Makes the use of what a module imports under one of its names; not where only it knows what that means. */
export function makeImport(
  { specifier, name }: Import,
  local: string,
  value: unknown,
  url: string,
): Use | undefined {
  const module = resolve(specifier, url);
  return module === undefined ? undefined : {
    kind: "module",
    name: local,
    module,
    path: name === undefined ? [] : [name],
    source: typeof value === "function" ? textOf(value) : undefined,
  };
}

/**
 * Makes a specifier mean in any module what it means in one. What a package.json
 * names means something in its folder alone.
 */
function resolve(specifier: string, url: string): string | undefined {
  if (/^\.{0,2}\//.test(specifier)) return new URL(specifier, url).href;
  if (URL.canParse(specifier)) return specifier;
  try {
    return import.meta.resolve(specifier);
  } catch {
    return undefined;
  }
}
