/**
 * How the workers of a process pool are launched: from the user's options to a command line of
 * `deno run`.
 *
 * What this file says of Deno was tried with Deno 2.9.6, 2026-11.
 *
 * @module
 */

import { checkArray, checkFlag, checkString, wrongType } from "./_options.ts";

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

/** A command line, as plain data that can be posted to a worker. */
export interface ProcessCommand {
  /** The program to run. */
  readonly execPath: string;
  /** Its arguments, of which the last is the entry module. */
  readonly args: readonly string[];
  /** Environment variables to set. */
  readonly env: Record<string, string>;
  /** Whether no other variable is passed on. */
  readonly clearEnv: boolean;
  /** The working folder, this program's where it is `undefined`. */
  readonly cwd: string | undefined;
}

const NAMES = [
  "read",
  "write",
  "net",
  "env",
  "sys",
  "run",
  "ffi",
  "import",
] as const;
type Name = typeof NAMES[number];

/** The permissions whose items are paths, or may be. */
const WITH_PATHS: readonly Name[] = ["read", "write", "run", "ffi"];

/** Everything, or a list of items. */
type Grant = true | readonly string[];
type Grants = Readonly<Record<Name, Grant>>;

/** What the child must have to load its own code. */
interface Needs {
  readonly files: readonly string[];
  readonly hosts: readonly string[];
}

/** From where Deno imports where no flag says otherwise (`deno run --help`). */
const DEFAULT_HOSTS = [
  "deno.land:443",
  "jsr.io:443",
  "esm.sh:443",
  "raw.esm.sh:443",
  "cdn.jsdelivr.net:443",
  "raw.githubusercontent.com:443",
  "gist.githubusercontent.com:443",
];

/**
 * A host that cannot exist (RFC 6761), to import from no host at all.
 *
 * A bare `--deny-import` leaves the default hosts open, as they are named with their ports and the
 * narrower rule wins; any `--allow-import=` list takes their place. `--no-remote` would refuse a
 * child whose own entry is remote.
 */
const NO_HOST = "none.invalid:1";

// ------------------------------------------------------------------- checks

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
function checkComma(item: string): void {
  if (!item.includes(",")) return;
  throw new RangeError(
    `Cannot name an item of a permission as Deno separates them by commas: received "${item}"`,
  );
}

function isName(name: string): name is Name {
  return (NAMES as readonly string[]).includes(name);
}

// ------------------------------------------------------------------ command

/**
 * Makes the command that starts a worker process.
 *
 * @param context A context that was checked.
 * @param entry The child's entry module.
 * @param modules Our own modules that the child imports dynamically or starts a `Worker` from: a
 *     static import needs no permission to read, these do.
 * @returns The command line.
 * @throws {Deno.errors.NotCapable} If this program may not run it.
 * @throws {RangeError} If a path to be granted has a comma in it.
 */
export function makeCommand(
  context: ProcessContext,
  entry: URL,
  modules: readonly URL[],
): ProcessCommand {
  const execPath = context.execPath ?? Deno.execPath();
  checkMayRun(execPath);
  const denoArgs = context.denoArgs ?? [];
  return {
    execPath,
    args: [
      "run",
      ...commonFlags(denoArgs),
      ...permissionFlags(context.permissions ?? "inherit", {
        entry,
        modules,
        denoArgs,
      }),
      ...configFlags(context.config, entry, denoArgs),
      ...denoArgs,
      // A flag of ours comes last: a bare `--lock` at the end would take the entry for its value.
      // Standard input carries frames, so that a prompt would eat them.
      "--no-prompt",
      entry.href,
    ],
    env: { ...context.env },
    clearEnv: context.clearEnv ?? false,
    cwd: context.cwd,
  };
}

function checkMayRun(execPath: string): void {
  if (isGranted({ name: "run", command: execPath })) return;
  throw new Deno.errors.NotCapable(
    `Cannot start a worker process as running ${execPath} is not permitted: run with --allow-run`,
  );
}

function commonFlags(denoArgs: readonly string[]): string[] {
  const flags: string[] = [];
  // Progress of downloads belongs to the program, not to each worker. Quiet wins over a level.
  if (!hasFlag(denoArgs, /^(--log-level|-L)/)) flags.push("--quiet");
  // Many children at once would write the user's deno.lock. Beside --lock, --no-lock would win.
  if (!hasFlag(denoArgs, /^--(lock|frozen|frozen-lockfile)(=|$)/)) {
    flags.push("--no-lock");
  }
  return flags;
}

function hasFlag(denoArgs: readonly string[], pattern: RegExp): boolean {
  return denoArgs.some((arg) => pattern.test(arg));
}

// -------------------------------------------------------------- permissions

function permissionFlags(
  permissions: NonNullable<ProcessContext["permissions"]>,
  { entry, modules, denoArgs }: {
    entry: URL;
    modules: readonly URL[];
    denoArgs: readonly string[];
  },
): string[] {
  const users = userPermissions(denoArgs);
  // Deno refuses --allow-all beside any other --allow.
  if (users.has("all")) return [];
  const files = modules.filter(({ protocol }) => protocol === "file:").map(
    toPath,
  );
  const needs: Needs = {
    // "inherit" must not add to what the parent may
    files: permissions === "inherit" ? files.filter(isReadable) : files,
    hosts: [entry, ...modules].flatMap(hostOf),
  };
  const grants = grantsOf(permissions, needs);
  // Not only shorter: reading /proc/self/environ needs all, which all eight together are as well.
  if (users.size === 0 && NAMES.every((name) => grants[name] === true)) {
    return ["--allow-all"];
  }
  return NAMES.flatMap((name) =>
    permissionFlag(
      name,
      users.has(name)
        ? besideUser(name, users.get(name) === true, needs)
        : grants[name],
    )
  );
}

/** What is left of ours where the user has a flag for it: a list of ours would narrow a bare one. */
function besideUser(name: Name, isBare: boolean, needs: Needs): Grant {
  if (isBare) return [];
  return name === "read" ? needs.files : name === "import" ? needs.hosts : [];
}

function permissionFlag(name: Name, grant: Grant): string[] {
  if (grant === true) return [`--allow-${name}`];
  if (grant.length === 0) return [];
  grant.forEach(checkComma);
  return [`--allow-${name}=${[...new Set(grant)].join(",")}`];
}

function grantsOf(
  permissions: NonNullable<ProcessContext["permissions"]>,
  needs: Needs,
): Grants {
  const grants = {} as Record<Name, Grant>;
  for (const name of NAMES) {
    const wanted = permissions === "none"
      ? false
      : permissions === "inherit"
      ? permissions
      : permissions[name];
    grants[name] = withNeeds(name, grantOf(name, wanted), needs);
  }
  return grants;
}

function grantOf(
  name: Name,
  wanted: "inherit" | boolean | readonly (string | URL)[] | undefined,
): Grant {
  if (wanted === "inherit") return inherited(name);
  if (wanted === undefined || typeof wanted === "boolean") {
    return wanted ? true : [];
  }
  return wanted.map((item) =>
    // the child's working folder may be another
    item instanceof URL
      ? toPath(item)
      : isPath(name, item)
      ? toAbsolute(item)
      : item
  );
}

/**
 * Adds what the child needs to load itself; a list of hosts is never left empty, see `NO_HOST`.
 *
 * The host of a remote entry stays open to tasks as well, since Deno does not tell them apart.
 */
function withNeeds(name: Name, grant: Grant, needs: Needs): Grant {
  if (grant === true) return grant;
  if (name === "read") return [...grant, ...needs.files];
  if (name !== "import") return grant;
  const hosts = [...grant, ...needs.hosts];
  return hosts.length > 0 ? hosts : [NO_HOST];
}

/** What this program may, as far as it can be told. */
function inherited(name: Name): Grant {
  if (isGranted({ name })) return true;
  return inheritedItems(name).filter((item) => !item.includes(","));
}

function inheritedItems(name: Name): string[] {
  switch (name) {
    case "read":
    case "write":
      return ownFolders().filter((path) => isGranted({ name, path }));
    case "run": {
      const command = Deno.execPath();
      return isGranted({ name, command }) ? [command] : [];
    }
    case "import":
      return importHosts().filter((host) => isGranted({ name, host }));
    default:
      return [];
  }
}

/** Partial means that a denial takes something away which no API tells: then it is not ours to give. */
function isGranted(descriptor: Deno.PermissionDescriptor): boolean {
  const status = Deno.permissions.querySync(descriptor);
  return status.state === "granted" && !status.partial;
}

function isReadable(path: string): boolean {
  return !path.includes(",") && isGranted({ name: "read", path });
}

function ownFolders(): string[] {
  const main = mainModule();
  const folders = [Deno.cwd()];
  if (main?.protocol === "file:") folders.push(toPath(new URL(".", main)));
  return folders;
}

function importHosts(): string[] {
  const main = mainModule();
  return main === undefined
    ? DEFAULT_HOSTS
    : [...DEFAULT_HOSTS, ...hostOf(main)];
}

/** The program's main module; in a `Worker`, `Deno.mainModule` is `undefined`. */
function mainModule(): URL | undefined {
  const main: string | undefined = Deno.mainModule;
  return main === undefined ? undefined : new URL(main);
}

/** The host of a remote module, with its port: Deno asks for `example.com:443`. */
function hostOf({ protocol, hostname, port }: URL): string[] {
  if (protocol !== "https:" && protocol !== "http:") return [];
  return [`${hostname}:${port || (protocol === "https:" ? 443 : 80)}`];
}

const SHORT_NAMES: Readonly<Record<string, Name | "all">> = {
  A: "all",
  R: "read",
  W: "write",
  N: "net",
  E: "env",
  S: "sys",
  I: "import",
};

/** The permissions that the user's own flags name, and whether by a bare flag. */
function userPermissions(
  denoArgs: readonly string[],
): Map<Name | "all", boolean> {
  const found = new Map<Name | "all", boolean>();
  for (const arg of denoArgs) {
    const [flag] = arg.split("=", 1);
    for (const name of namesInFlag(flag)) {
      // a list beside a bare flag narrows it, whichever comes first
      found.set(name, (found.get(name) ?? true) && flag === arg);
    }
  }
  return found;
}

function namesInFlag(flag: string): (Name | "all")[] {
  const long = /^--allow-(.+)$/.exec(flag)?.[1];
  if (long !== undefined) return long === "all" || isName(long) ? [long] : [];
  // short flags may be joined, as in -RW; no letter here but the last takes a value
  if (!/^-[ARWNESIq]+$/.test(flag)) return [];
  return [...flag.slice(1)].flatMap((letter) => SHORT_NAMES[letter] ?? []);
}

// ------------------------------------------------------------------- config

function configFlags(
  config: string | undefined,
  entry: URL,
  denoArgs: readonly string[],
): string[] {
  // Deno refuses --config beside --no-config.
  if (hasFlag(denoArgs, /^(--config|--no-config|-c)/)) return [];
  if (config !== undefined) {
    const isUrl = config.startsWith("file:");
    return ["--config", isUrl ? toPath(new URL(config)) : toAbsolute(config)];
  }
  const found = findConfig(entry);
  // Without a flag Deno looks for itself, and needs no permission: from the folder of the entry.
  if (found === "unreadable") return [];
  return found === undefined ? ["--no-config"] : ["--config", found];
}

/** The path of a config file, or why there is none. */
type Found = string | "unreadable" | undefined;

/** By the folder of the search, which blocks, as the files of a program stay where they are. */
const configs = new Map<string, Found>();

/**
 * Finds the config file as Deno did for the main module, then that of a library run from a folder.
 *
 * A remote main module has none, wherever it is started. In a `Worker` the main module is not told:
 * the working folder is the best guess.
 */
function findConfig(entry: URL): Found {
  const main = mainModule();
  const starts: string[] = [];
  if (main === undefined) starts.push(Deno.cwd());
  if (main?.protocol === "file:") starts.push(toPath(new URL(".", main)));
  if (entry.protocol === "file:") starts.push(toPath(new URL(".", entry)));
  for (const start of starts) {
    const found = findFrom(start);
    if (found !== undefined) return found;
  }
  return undefined;
}

function findFrom(start: string): Found {
  if (!configs.has(start)) configs.set(start, searchUp(start));
  return configs.get(start);
}

function searchUp(start: string): Found {
  let folder = start.replace(/[\\/]+$/, "");
  while (true) {
    for (const name of ["deno.json", "deno.jsonc"]) {
      const path = `${folder}/${name}`;
      const state = look(path);
      if (state === "file") return path;
      if (state === "unreadable") return state;
    }
    const parent = folder.replace(/[\\/][^\\/]*$/, "");
    if (parent === folder) return undefined;
    folder = parent;
  }
}

function look(path: string): "file" | "missing" | "unreadable" {
  // Asked first, since without --no-prompt a stat would ask the user.
  if (Deno.permissions.querySync({ name: "read", path }).state !== "granted") {
    return "unreadable";
  }
  try {
    return Deno.statSync(path).isFile ? "file" : "missing";
  } catch {
    return "missing";
  }
}

// -------------------------------------------------------------------- paths

// By hand: loading node:url and node:path takes Deno some 20 ms.

function toPath(url: URL): string {
  const path = decodeURIComponent(url.pathname);
  if (Deno.build.os !== "windows") return path;
  return url.hostname === ""
    ? path.replace(/^\/+(?=[a-zA-Z]:)/, "")
    : `//${url.hostname}${path}`;
}

function toAbsolute(path: string): string {
  return /^([a-zA-Z]:)?[\\/]/.test(path) ? path : `${Deno.cwd()}/${path}`;
}

/** Whether an item is a path: of the programs to run, those with a separator; others are on the `PATH`. */
function isPath(name: Name, item: string): boolean {
  if (name === "run") return /[\\/]/.test(item);
  return WITH_PATHS.includes(name);
}
