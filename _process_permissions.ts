/**
 * The permissions of worker processes, as flags of `deno run`.
 *
 * What this file says of Deno was tried with Deno 2.9.6, 2026-11.
 *
 * @module
 */

import {
  checkComma,
  isName,
  type Name,
  NAMES,
  type ProcessContext,
  WITH_PATHS,
} from "./_process_context.ts";
import { mainModule, toAbsolute, toPath } from "./_process_paths.ts";

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

/** Returns the flags that grant what the context says, and what the child needs for itself. */
export function permissionFlags(
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
export function isGranted(descriptor: Deno.PermissionDescriptor): boolean {
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

/** Whether an item is a path: of the programs to run, those with a separator; others are on the `PATH`. */
function isPath(name: Name, item: string): boolean {
  if (name === "run") return /[\\/]/.test(item);
  return WITH_PATHS.includes(name);
}
