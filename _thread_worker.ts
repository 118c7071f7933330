/**
 * The entry module of a worker thread.
 *
 * It sees to it that the thread does not die without a word: an error that
 * nobody catches is reported, or fails the task that left it, and `Deno.exit`
 * and `self.close` tell the owner before they act.
 *
 * @module
 */

import { receiveMessageOnPort } from "node:worker_threads";
import type { ChunkMessage } from "./_chunks.ts";
import { realm } from "./_realm.ts";
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

// Registered before any code of the user's, so they come first.
scope.addEventListener("error", (event) => {
  event.preventDefault();
  const { error, message } = event as ErrorEvent;
  loop?.onStray("an uncaught error", error ?? new Error(message));
});
scope.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  loop?.onStray(
    "an unhandled rejection",
    (event as PromiseRejectionEvent).reason,
  );
});

replace(scope, "close", () => {
  loop?.fail("called self.close()");
});
replace(Deno, "exit", (code = Deno.exitCode): never => {
  loop?.fail(`called Deno.exit(${code})`);
  // Nothing after the call is to run; who catches this is over all the same.
  throw new Error("Cannot go on as this worker has exited");
});

/** Puts a function in the place of a built-in, which may still be submitted by name. */
function replace<K extends string, F>(
  holder: { [key in K]: F },
  key: K,
  fn: F,
): void {
  realm.replaced.set(fn, Function.prototype.toString.call(holder[key]));
  holder[key] = fn;
}

// An error event does not tell whose timer it was; within the callback it shows.
for (const name of ["setTimeout", "setInterval", "setImmediate"] as const) {
  const original = globalThis[name] as (...args: unknown[]) => unknown;
  const timer = (callback: unknown, ...rest: unknown[]) =>
    original(
      typeof callback === "function" ? guard(callback) : callback,
      ...rest,
    );
  // Node's `promisify` looks for a form of its own on the function.
  Object.defineProperties(timer, Object.getOwnPropertyDescriptors(original));
  replace<string, unknown>(
    globalThis as unknown as Record<string, unknown>,
    name,
    timer,
  );
}

/** Reports what a callback throws while it is known whose it is. */
function guard(callback: unknown): unknown {
  return function (this: unknown, ...args: unknown[]): unknown {
    try {
      return Reflect.apply(callback as () => unknown, this, args);
    } catch (error) {
      loop?.onStray("an uncaught error", error);
    }
  };
}

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
  const receiveChunk = () =>
    receiveMessageOnPort(port as never)?.message as ChunkMessage | undefined;
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
