/**
 * The entry module of the thread that manages the worker processes of a pool.
 *
 * It starts the first process before anything else: both load their modules at
 * the same time.
 *
 * @module
 */

import type { Manager } from "./_manager.ts";
import type { ManagerBoot, ToManager } from "./_manager_protocol.ts";
import { spawn } from "./_spawn.ts";

let manager: Promise<Manager> | undefined;

addEventListener("message", async (event) => {
  const { data } = event as MessageEvent;
  if (manager === undefined) manager = start(data as ManagerBoot);
  else (await manager).onMessage(data as ToManager);
});

async function start(boot: ManagerBoot): Promise<Manager> {
  const first = spawnFirst(boot);
  const { Manager } = await import("./_manager.ts");
  return new Manager(boot, first);
}

function spawnFirst({ command }: ManagerBoot): Deno.ChildProcess | undefined {
  try {
    return spawn(command);
  } catch {
    return undefined; // it is tried again where the error can be told
  }
}
