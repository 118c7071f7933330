/**
 * Starts a thread of the pools' own: a worker, or the manager of processes.
 *
 * @module
 */

import { leaveInspector } from "./_inspector.ts";
import { setWorkerRef } from "./_worker_ref.ts";

/**
 * Starts a thread that does not keep the process alive. It blocks this one for
 * the 10 ms that Deno needs.
 *
 * @param onFailure Told of what nobody in the thread has caught.
 * @throws {Deno.errors.NotCapable} If the thread may not read its module.
 */
export function startThread(
  module: URL,
  name: string,
  onFailure: (error: unknown) => void,
): Worker {
  checkReadPermission(module);
  leaveInspector(); // else the worker starts a second late
  // By the global name: a program may have put a class of its own there.
  const worker = new globalThis.Worker(module, { type: "module", name });
  setWorkerRef(worker, false);
  worker.onerror = (event) => {
    event.preventDefault();
    onFailure(event.error ?? new Error(event.message));
  };
  worker.onmessageerror = (event) => {
    event.preventDefault();
    onFailure(new Error("a message could not be read"));
  };
  return worker;
}

/**
 * Throws what the worker would fail with, while it can still be caught: a
 * thread that blocks does not hear of it.
 */
function checkReadPermission(url: URL): void {
  if (url.protocol !== "file:") return;
  const path = new URL(".", url);
  const { state } = Deno.permissions.querySync({ name: "read", path });
  if (state === "granted") return;
  throw new Deno.errors.NotCapable(
    `Cannot start a worker as reading its modules in ${path.href} is not permitted: run with --allow-read`,
  );
}
