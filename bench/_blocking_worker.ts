/**
 * A bare Worker that its owner can wait for without an event loop: the value
 * goes by `MessagePort`, the news of it by `Atomics`.
 *
 * The module is both sides: the class for the owner, and the worker's loop.
 *
 * @module
 */

import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
} from "node:worker_threads";
import { identity } from "./_tasks.ts";

const REQUESTS = 0;
const RESPONSES = 1;
const WORDS = 2;
const STOP = -1;

interface Start {
  counts: Int32Array<SharedArrayBuffer>;
  port: MessagePort;
}

/** The owner's side. */
export class BlockingWorker {
  #counts = new Int32Array(
    new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT),
  );
  #channel = new MessageChannel();
  #worker = new Worker(import.meta.url, { type: "module" });

  constructor() {
    const port = this.#channel.port2;
    this.#worker.postMessage({ counts: this.#counts, port }, [
      port as unknown as Transferable,
    ]);
  }

  /** One no-op task, waited for by blocking. */
  run(value: number): number {
    const seen = Atomics.load(this.#counts, RESPONSES);
    this.#channel.port1.postMessage(value);
    Atomics.add(this.#counts, REQUESTS, 1);
    Atomics.notify(this.#counts, REQUESTS);
    Atomics.wait(this.#counts, RESPONSES, seen);
    return receive(this.#channel.port1);
  }

  /** Lets the loop end: `terminate()` does not stop a worker in `Atomics.wait`. */
  stop(): void {
    this.#channel.port1.postMessage(STOP);
    Atomics.add(this.#counts, REQUESTS, 1);
    Atomics.notify(this.#counts, REQUESTS);
    this.#worker.terminate();
    this.#channel.port1.close();
  }
}

/** Takes a message that was posted: one that was posted just now is not always there yet. */
function receive(port: MessagePort): number {
  for (;;) {
    const received = receiveMessageOnPort(port);
    if (received !== undefined) return received.message;
  }
}

function serve({ counts, port }: Start): void {
  for (let seen = 0;; seen++) {
    Atomics.wait(counts, REQUESTS, seen);
    const value = receive(port);
    if (value === STOP) return;
    port.postMessage(identity(value));
    Atomics.add(counts, RESPONSES, 1);
    Atomics.notify(counts, RESPONSES);
  }
}

if ("WorkerGlobalScope" in globalThis) {
  globalThis.addEventListener("message", (event) => {
    serve((event as MessageEvent<Start>).data);
  });
}
