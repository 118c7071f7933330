/**
 * How the user wants the workers of a process pool to be launched.
 *
 * What this file says of Deno was tried with Deno 2.9.6, 2026-11.
 *
 * @module
 */

import { checkArray, checkFlag, checkString, wrongType } from "./_options.ts";
import { toPath } from "./_process_paths.ts";

/** How the worker processes of a pool are launched. */
export interface ProcessContext {
  /** The Deno to run, a path or a name on the `PATH`; by default the one that runs this program. */
  execPath?: string;
  /**
   * What a worker may do; `"inherit"` by default: what this program may, and never more.
   *
   * `"inherit"` passes on each permission that is granted as a whole. Deno does not tell the items
   * of a list (`--allow-net=example.com`), nor what a denial takes away (`--deny-read=/etc`), so of
   * such a permission a worker gets only what can be asked for by name: reading and writing the
   * working folder and the main module's folder, reading this library's own modules, running
   * `Deno.execPath()`, importing from Deno's default hosts. Name the rest in an object.
   *
   * `"none"` grants nothing but what a worker needs to load itself. An object grants what it names,
   * `"inherit"` for a permission meaning the same as above; relative paths in it start at this
   * program's working folder. No permission of Deno governs `npm:` imports.
   */
  permissions?: "inherit" | "none" | Deno.PermissionOptionsObject;
  /** Environment variables for the workers, over those of this program; by default none. */
  env?: Record<string, string>;
  /** Whether the workers get no variables but those in `env`; `false` by default. */
  clearEnv?: boolean;
  /** The working folder of the workers; by default this program's. */
  cwd?: string;
  /**
   * The `deno.json` of the workers, a path or a `file:` URL; by default the one that Deno finds for
   * the main module.
   *
   * Deno looks for a `package.json` beside this file only: a project without a `deno.json` needs
   * one, an empty one will do, for its tasks to import packages by their bare names.
   */
  config?: string;
  /**
   * More flags of `deno run`, as in `["--v8-flags=--max-old-space-size=200"]`; by default none.
   *
   * A flag here takes the place of one that the pool would give.
   */
  denoArgs?: string[];
}

export const NAMES = [
  "read",
  "write",
  "net",
  "env",
  "sys",
  "run",
  "ffi",
  "import",
] as const;
export type Name = typeof NAMES[number];

/** The permissions whose items are paths, or may be. */
export const WITH_PATHS: readonly Name[] = ["read", "write", "run", "ffi"];

/** Returns a copy of a context that is of the right types all through. */
export function checkContext(context: unknown): ProcessContext {
  if (context === undefined) return {};
  const given = checkRecord("context", context);
  return {
    execPath: checkString("context.execPath", given.execPath),
    permissions: checkPermissions(given.permissions),
    env: checkEnv(given.env),
    clearEnv: checkFlag("context.clearEnv", given.clearEnv, false),
    cwd: checkString("context.cwd", given.cwd),
    config: checkString("context.config", given.config),
    denoArgs: checkStrings("context.denoArgs", given.denoArgs),
  };
}

function checkPermissions(value: unknown): ProcessContext["permissions"] {
  const name = "context.permissions";
  if (value === undefined || value === "inherit" || value === "none") {
    return value;
  }
  if (typeof value === "string") {
    throw new RangeError(
      `Cannot take the option as "${name}" must be "inherit", "none" or an object: received "${value}"`,
    );
  }
  const copy: Partial<Record<Name, unknown>> = {};
  for (const [key, permission] of Object.entries(checkRecord(name, value))) {
    if (!isName(key)) {
      throw new TypeError(
        `Cannot take the option as "${name}" must hold names of permissions only: received "${key}"`,
      );
    }
    copy[key] = checkPermission(`${name}.${key}`, permission, key);
  }
  return copy as Deno.PermissionOptionsObject;
}

function checkPermission(name: string, value: unknown, key: Name): unknown {
  if (value === undefined || typeof value === "boolean") return value;
  if (value === "inherit") return value;
  if (typeof value === "string") {
    throw new RangeError(
      `Cannot take the option as "${name}" must be "inherit", a boolean or an array: received "${value}"`,
    );
  }
  if (!Array.isArray(value)) {
    throw wrongType(name, `"inherit", a boolean or an array`, value);
  }
  const takesUrls = WITH_PATHS.includes(key);
  return value.map((item, i) => checkItem(`${name}[${i}]`, item, takesUrls));
}

function checkItem(name: string, item: unknown, takesUrls: boolean): string {
  if (takesUrls && item instanceof URL) {
    if (item.protocol === "file:") return toPath(item);
    throw new RangeError(
      `Cannot take the option as "${name}" must be a file: URL: received "${item}"`,
    );
  }
  if (typeof item !== "string") {
    throw wrongType(name, takesUrls ? "a string or a URL" : "a string", item);
  }
  if (item === "") {
    throw new RangeError(
      `Cannot take the option as "${name}" must not be empty: received ""`,
    );
  }
  checkComma(item);
  return item;
}

function checkEnv(value: unknown): Record<string, string> | undefined {
  if (value === undefined) return undefined;
  const copy: Record<string, string> = {};
  for (const [key, text] of Object.entries(checkRecord("context.env", value))) {
    if (typeof text !== "string") {
      throw wrongType(`context.env.${key}`, "a string", text);
    }
    copy[key] = text;
  }
  return copy;
}

function checkStrings(name: string, value: unknown): string[] | undefined {
  const items = checkArray<unknown>(name, value);
  return items?.map((item, i) => {
    if (typeof item === "string") return item;
    throw wrongType(`${name}[${i}]`, "a string", item);
  });
}

function checkRecord(name: string, value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrongType(name, "an object", value);
  }
  return value as Record<string, unknown>;
}

/**
 * Refuses what would become two items, and grant something else.
 *
 * `,,` was the escape of a comma; Deno 2.9.6 refuses it as an empty item, and knows no other.
 */
export function checkComma(item: string): void {
  if (!item.includes(",")) return;
  throw new RangeError(
    `Cannot name an item of a permission as Deno separates them by commas: received "${item}"`,
  );
}

export function isName(name: string): name is Name {
  return (NAMES as readonly string[]).includes(name);
}
