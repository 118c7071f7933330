/**
 * Starts a worker process.
 *
 * @module
 */

import type { ProcessCommand } from "./_process_command.ts";

/**
 * Starts a worker process.
 *
 * @throws {Error} If it cannot be started.
 */
export function spawn(command: ProcessCommand): Deno.ChildProcess {
  const { execPath, args, env, clearEnv, cwd } = command;
  return new Deno.Command(execPath, {
    args: [...args],
    env,
    clearEnv,
    cwd,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}
