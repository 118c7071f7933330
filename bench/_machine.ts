/**
 * What a run is made on: the machine, the versions, the commit.
 *
 * @module
 */

import { cpus } from "node:os";
import type { Results } from "./_measurement.ts";

/** As in `["piscina", "5.3.2"]`. */
type Version = Results["versions"][number];

/** The machine that this runs on. */
export function readMachine(): Results["machine"] {
  const { arch, os } = Deno.build;
  const cpu = cpus()[0]?.model.trim();
  return {
    cores: navigator.hardwareConcurrency,
    cpu: cpu === "" || cpu === "unknown" ? undefined : cpu,
    os: `${os} ${Deno.osRelease().split("-")[0]}`, // the rest is the builder's own
    arch,
  };
}

/** This module, what it runs on, and packages of npm, by name and version. */
export async function readVersions(
  packages: readonly string[],
): Promise<Version[]> {
  const lock = JSON.parse(
    await Deno.readTextFile(new URL("../deno.lock", import.meta.url)),
  );
  const config = JSON.parse(
    await Deno.readTextFile(new URL("../deno.json", import.meta.url)),
  );
  return [
    ["@concurrent/futures", config.version],
    ["Deno", Deno.version.deno],
    ["V8", Deno.version.v8],
    ...packages.map((name): Version => [name, findVersion(lock, name)]),
  ];
}

/** The version that a program prints when it is asked; none where it is not there. */
export async function readProgram(
  name: string,
  command: string,
): Promise<Version[]> {
  const text = await run(command, "--version");
  const version = text?.match(/\d+(\.\d+)+/)?.[0];
  return version === undefined ? [] : [[name, version]];
}

/** The version that was resolved for a package: of `npm:name@range`. */
function findVersion(
  { specifiers }: { specifiers: Record<string, string> },
  name: string,
): string {
  const found = Object.entries(specifiers).find(([specifier]) =>
    specifier.startsWith(`npm:${name}@`)
  );
  if (found === undefined) {
    throw new Error(`Cannot find the version of "${name}" in deno.lock`);
  }
  return found[1].split("_")[0]; // without the peers that it was resolved with
}

/** The commit, with a word on what was changed since, but for what a run writes. */
export async function readCommit(): Promise<string | undefined> {
  const commit = await run("git", "rev-parse", "--short", "HEAD");
  const changes = await run(
    "git",
    "status",
    "--porcelain",
    "--",
    ":/",
    ":(exclude,top)bench/QUEUE.md",
    ":(exclude,top)bench/RESULTS.md",
    ":(exclude,top)bench/results.svg",
  );
  return commit && changes ? `${commit}, with changes` : commit;
}

/** What a program prints; `undefined` where it is not there, or fails. */
async function run(
  name: string,
  ...args: string[]
): Promise<string | undefined> {
  try {
    const command = new Deno.Command(name, {
      args,
      cwd: import.meta.dirname,
      stderr: "null",
    });
    const { success, stdout } = await command.output();
    return success ? new TextDecoder().decode(stdout).trim() : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
