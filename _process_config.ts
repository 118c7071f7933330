/**
 * The config file of worker processes, as a flag of `deno run`.
 *
 * What this file says of Deno was tried with Deno 2.9.6, 2026-11.
 *
 * @module
 */

import { mainModule, toAbsolute, toPath } from "./_process_paths.ts";

/** Returns the flag that names the config file. */
export function configFlags(
  config: string | undefined,
  entry: URL,
): string[] {
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
