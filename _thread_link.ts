/**
 * The owner's end of a worker thread.
 *
 * @module
 */

import type { ChunkMessage } from "./_chunks.ts";
import { makeRing, type Posted, ResultReader } from "./_result_ring.ts";
import { closePort, receive } from "./_receive.ts";
import { startThread } from "./_start_thread.ts";
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
    // Not `start`: a closure over it would hold on to all the memory there was.
    const tell = start.onFailure;
    this.#worker = startThread(
      new URL("./_thread_worker.ts", import.meta.url),
      name,
      (error) => tell(this, error),
    );
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const ring = makeRing();
    this.reader = new ResultReader(ring, () => receive<Posted>(port1));
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
    this.reader.postMail(() => this.#port.postMessage(message));
  }

  sendMoved(moved: readonly unknown[]): void {
    const transfer = moved.filter(isTransferable);
    this.reader.postMail(() => this.#send({ moved }, transfer));
  }

  sendLook(): void {
    this.#send({ look: true });
  }

  sendStop(): void {
    this.#send({ stop: true });
    closePort(this.#port);
  }

  kill(): boolean {
    return false; // Deno does not stop synchronous code
  }

  setRef(isRef: boolean): void {
    setWorkerRef(this.#worker, isRef);
  }

  end(): void {
    this.#worker.terminate();
    closePort(this.#port);
  }

  #send(message: ToWorker, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }
}
