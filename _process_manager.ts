/**
 * The entry module of the thread that manages the worker processes of a pool.
 *
 * @module
 */

import { Manager } from "./_manager.ts";
import type { ManagerBoot, ToManager } from "./_manager_protocol.ts";

let manager: Manager | undefined;

addEventListener("message", (event) => {
  const { data } = event as MessageEvent;
  if (manager === undefined) manager = new Manager(data as ManagerBoot);
  else manager.onMessage(data as ToManager);
});
