/**
 * The owner's end of a worker thread.
 *
 * @module
 */

import type { ChunkMessage } from "./_chunks.ts";
import { makeRing, type Posted, ResultReader } from "./_result_ring.ts";
import { receive } from "./_receive.ts";
import type { Initializer } from "./_task_runner.ts";
import type { Boot, ToWorker } from "./_thread_protocol.ts";
import { isTransferable } from "./_transferable.ts";
import type { WorkerLink, WorkerStart } from "./_worker_link.ts";
import { setWorkerRef } from "./_worker_ref.ts";

/**
 * How long a thread may take to load its modules. Only a blocked owner waits for
 * that long: in the event loop it hears of a failure at once.
 */
const READY_MS = 60_000;

/** A worker thread. */
export class ThreadLink implements WorkerLink {
  readonly number: number;
  readonly name: string;
  readonly reader: ResultReader;
  takenIn = 0;
  isReady = false;
  isServing = false;
  readonly readyDeadline = performance.now() + READY_MS;
  readonly #worker: Worker;
  readonly #port: MessagePort;

  /** Starts the thread, which blocks this one for the 10 ms that Deno needs. */
  constructor(
    start: WorkerStart,
    name: string,
    initializer: Initializer | undefined,
  ) {
    this.number = start.number;
    this.name = name;
    const url = new URL("./_thread_worker.ts", import.meta.url);
    checkReadPermission(url);
    // By the global name: a program may have put a class of its own there.
    this.#worker = new globalThis.Worker(url, { type: "module", name });
    setWorkerRef(this.#worker, false);
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const ring = makeRing();
    this.reader = new ResultReader(ring, () => receive<Posted>(port1));
    // Not `start`: a closure over it would hold on to all the memory there was.
    const tell = start.onFailure;
    const onFailure = (event: Event, error: unknown) => {
      event.preventDefault();
      tell(this, error);
    };
    this.#worker.onerror = (event) =>
      onFailure(event, event.error ?? new Error(event.message));
    this.#worker.onmessageerror = (event) =>
      onFailure(event, new Error("a message could not be read"));
    const boot: Boot = {
      number: start.number,
      control: start.control.buffer,
      bell: start.bell.buffer,
      ring,
      port: port2,
      chunks: start.chunks,
      posted: start.posted,
      initializer,
    };
    this.#worker.postMessage(boot, [port2]);
  }

  get isResponsive(): boolean {
    return this.reader.isAwaiting;
  }

  postChunk(message: ChunkMessage): void {
    this.#port.postMessage(message);
  }

  sendMoved(moved: readonly unknown[]): void {
    this.#send({ moved }, moved.filter(isTransferable));
  }

  sendLook(): void {
    this.#send({ look: true });
  }

  sendStop(): void {
    this.#send({ stop: true });
    this.#port.close();
  }

  kill(): boolean {
    return false; // Deno does not stop synchronous code
  }

  setRef(isRef: boolean): void {
    setWorkerRef(this.#worker, isRef);
  }

  end(): void {
    this.#worker.terminate();
    this.#port.close();
  }

  #send(message: ToWorker, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }
}

/**
 * Throws what the worker would fail with, while it can still be caught: a
 * thread that blocks does not hear of it.
 */
export function checkReadPermission(url: URL): void {
  if (url.protocol !== "file:") return;
  const path = new URL(".", url);
  const { state } = Deno.permissions.querySync({ name: "read", path });
  if (state === "granted") return;
  throw new Deno.errors.NotCapable(
    `Cannot start a worker as reading its modules in ${path.href} is not permitted: run with --allow-read`,
  );
}
