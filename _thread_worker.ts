/**
 * The entry module of a worker thread.
 *
 * It sees to it that the thread does not die without a word: an error that
 * nobody catches is reported, or fails the task that left it, and `Deno.exit`
 * and `self.close` tell the owner before they act.
 *
 * @module
 */

import type { ChunkMessage } from "./_chunks.ts";
import { guardRealm } from "./_guards.ts";
import { replace } from "./_realm.ts";
import { receive } from "./_receive.ts";
import type { Posted } from "./_result_ring.ts";
import type { Boot, ToWorker } from "./_thread_protocol.ts";
import { WorkerLoop } from "./_worker_loop.ts";

/** What a dedicated worker's global object has beside a window's. */
interface WorkerScope extends EventTarget {
  close(): void;
  onmessage: ((event: MessageEvent) => void) | null;
}

const scope = globalThis as unknown as WorkerScope;
const close = scope.close.bind(scope);

let loop: WorkerLoop | undefined;

guardRealm((what, error) => loop?.onStray(what, error));

replace(scope, "close", () => {
  loop?.fail("called self.close()");
});
replace(Deno, "exit", (code = Deno.exitCode): never => {
  loop?.fail(`called Deno.exit(${code})`);
  // Nothing after the call is to run; who catches this is over all the same.
  throw new Error("Cannot go on as this worker has exited");
});

/** Messages after the first go to the loop; user code that sets `onmessage` does not meet them. */
scope.addEventListener("message", (event) => {
  const { data } = event as MessageEvent;
  event.stopImmediatePropagation();
  if (loop === undefined) start(data as Boot);
  else loop.onMessage(data as ToWorker);
});

function start(boot: Boot): void {
  // No closure holds on to `boot`: it names memory that is to go.
  const { port, number, ring, chunks, posted } = boot;
  const receiveChunk = () => receive<ChunkMessage>(port);
  const post = (message: Posted, transfer: Transferable[]) =>
    port.postMessage(message, transfer);
  loop = new WorkerLoop({
    number,
    control: new Int32Array(boot.control),
    bell: new Int32Array(boot.bell),
    ring,
    chunks,
    posted,
    receiveChunk,
    post,
    close,
  });
  const serving = loop;
  // No loop ends without a word, whatever it was.
  serving.run(boot.initializer).catch((error) =>
    serving.fail("failed in its own code", error)
  );
}
