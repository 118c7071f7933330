/**
 * The command line that starts a worker process.
 *
 * What this file says of Deno was tried with Deno 2.9.6, 2026-11.
 *
 * @module
 */

import { configFlags } from "./_process_config.ts";
import type { ProcessContext } from "./_process_context.ts";
import { isGranted, permissionFlags } from "./_process_permissions.ts";

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
      // Deno refuses --config beside --no-config.
      ...(hasFlag(denoArgs, /^(--config|--no-config|-c)/)
        ? []
        : configFlags(context.config, entry)),
      ...denoArgs,
      // A flag of ours comes last: a bare `--lock` at the end would take the entry for its value.
      // Standard input carries frames, so that a prompt would eat them.
      "--no-prompt",
      entry.href,
      ...Deno.args, // Python: the child has the parent's `sys.argv` too
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
