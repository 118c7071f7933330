/**
 * The owner's end of worker processes, and of the thread that manages them.
 *
 * @module
 */

import type { ChunkMessage } from "./_chunks.ts";
import type {
  ChildStart,
  ManagerBoot,
  ToManager,
} from "./_manager_protocol.ts";
import { closePort, receive } from "./_receive.ts";
import { makeRing, type Posted, ResultReader } from "./_result_ring.ts";
import { startThread } from "./_start_thread.ts";
import type { WorkerLink, WorkerStart } from "./_worker_link.ts";
import { setWorkerRef } from "./_worker_ref.ts";

/**
 * How long an owner that blocks waits for the manager to begin. The manager has
 * a shorter limit for a process.
 */
const READY_MS = 60_000;

/** How the worker processes of a pool are managed. */
export type ManagerOptions = Pick<
  ManagerBoot,
  "command" | "initializer" | "maxTasks"
>;

/** The thread that manages a pool's processes, started when first needed. */
export class ProcessManager {
  readonly #makeOptions: () => ManagerOptions;
  #worker: Worker | undefined;
  readonly #links = new Set<ProcessLink>();

  /** @param makeOptions Called when the first process is needed; what it throws breaks the pool. */
  constructor(makeOptions: () => ManagerOptions) {
    this.#makeOptions = makeOptions;
  }

  /** Starts a process. */
  start(start: WorkerStart, name: string): ProcessLink {
    this.#worker ??= this.#startThread(start);
    const { port1, port2 } = new MessageChannel();
    const link = new ProcessLink(this, start, name, port1);
    this.#links.add(link);
    const { number, chunks, posted } = start;
    const child: ChildStart = {
      number,
      ring: link.ring,
      port: port2,
      chunks,
      posted,
    };
    this.#worker.postMessage({ start: child } satisfies ToManager, [port2]);
    return link;
  }

  #startThread({ control, bell }: WorkerStart): Worker {
    const options = this.#makeOptions();
    const worker = startThread(
      new URL("./_process_manager.ts", import.meta.url),
      "process manager",
      (error) => {
        this.end(); // a process that is needed gets another manager
        for (const link of this.#links) link.fail(error);
      },
    );
    const boot: ManagerBoot = {
      ...options,
      control: control.buffer,
      bell: bell.buffer,
    };
    worker.postMessage(boot);
    return worker;
  }

  /** Sends a message, where there is anybody to send it to. */
  send(message: ToManager): void {
    this.#worker?.postMessage(message);
  }

  /** Whether it keeps this process alive. */
  setRef(isRef: boolean): void {
    if (this.#worker !== undefined) setWorkerRef(this.#worker, isRef);
  }

  forget(link: ProcessLink): void {
    this.#links.delete(link);
  }

  /** Ends the thread; the processes are gone. */
  end(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
  }
}

/** A worker process. */
export class ProcessLink implements WorkerLink {
  readonly number: number;
  readonly name: string;
  readonly ring: SharedArrayBuffer = makeRing();
  readonly reader: ResultReader;
  takenIn = 0;
  isReady = false;
  isServing = false;
  readonly isResponsive = true; // the manager runs no code of the user's
  readonly readyDeadline = performance.now() + READY_MS;
  readonly #manager: ProcessManager;
  readonly #port: MessagePort;
  readonly #onFailure: WorkerStart["onFailure"];

  constructor(
    manager: ProcessManager,
    start: WorkerStart,
    name: string,
    port: MessagePort,
  ) {
    this.#manager = manager;
    this.number = start.number;
    this.name = name;
    this.#port = port;
    this.#onFailure = start.onFailure;
    this.reader = new ResultReader(this.ring, () => receive<Posted>(port));
  }

  /** Fails, as the manager does. */
  fail(error: unknown): void {
    this.#onFailure(this, error);
  }

  postChunk(message: ChunkMessage): void {
    this.reader.postMail(() => this.#port.postMessage(message));
  }

  sendMoved(): void {
    throw new Error(
      "Cannot move an object to a process as `submitWith` must have refused it",
    );
  }

  sendLook(): void {
    this.#manager.send({ look: this.number });
  }

  callBack(): void {
    this.#manager.send({ callBack: this.number });
  }

  sendStop(): void {
    this.#manager.send({ stop: this.number });
  }

  kill(): boolean {
    this.#manager.send({ kill: this.number });
    return true;
  }

  setRef(isRef: boolean): void {
    this.#manager.setRef(isRef);
  }

  end(): void {
    closePort(this.#port);
    this.#manager.forget(this);
  }
}
