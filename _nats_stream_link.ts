/**
 * The owner's end of a stream on a NATS server: the thread that manages the
 * connection, in the place of a worker that has many tasks at once.
 *
 * @module
 */

import type { ChunkMessage } from "./_chunks.ts";
import {
  Hand,
  type NatsBoot,
  type Opened,
  type ToNatsManager,
} from "./_nats_manager_protocol.ts";
import { closePort, receive } from "./_receive.ts";
import { makeRing, type Posted, ResultReader } from "./_result_ring.ts";
import { startThread } from "./_start_thread.ts";
import type { Task } from "./_task.ts";
import type { WorkerLink, WorkerStart } from "./_worker_link.ts";
import { setWorkerRef } from "./_worker_ref.ts";
import { RuntimeError } from "./errors.ts";

/** How long `running()` waits for the server's word at the most. */
const CATCH_UP_MS = 2_000;

/** What a manager is told to begin with. */
export type NatsManagerOptions = Omit<NatsBoot, "hand" | "port">;

/** The thread that manages the connection of one executor. */
export class NatsManager {
  readonly #hand = new Int32Array(
    new SharedArrayBuffer(Hand.WORDS * Int32Array.BYTES_PER_ELEMENT),
  );
  readonly #title: string;
  readonly #worker: Worker;
  readonly #opened: MessagePort;
  #link: NatsLink | undefined;
  /** What nobody in the thread has caught. */
  #failure: unknown;
  #catchUps = 0;

  /** Starts the thread, which connects. */
  constructor(options: NatsManagerOptions) {
    this.#title = `stream "${options.stream}"`;
    this.#worker = startThread(
      new URL("./_nats_manager.ts", import.meta.url),
      "NATS manager",
      (error) => this.#fail(error),
    );
    const { port1, port2 } = new MessageChannel();
    this.#opened = port1;
    const boot: NatsBoot = { ...options, hand: this.#hand.buffer, port: port2 };
    this.#worker.postMessage(boot, [port2]);
  }

  /**
   * Resolves once the connection is there.
   *
   * @throws {RuntimeError} If it cannot be made.
   */
  async opened(): Promise<void> {
    this.setRef(true); // waiting for a word in memory keeps no process alive
    try {
      await Atomics.waitAsync(this.#hand, Hand.OPENED, 0).value;
    } finally {
      this.setRef(false);
    }
    this.#checkOpened();
  }

  /**
   * Blocks until the connection is there.
   *
   * @throws {RuntimeError} If it cannot be made.
   */
  blockUntilOpened(): void {
    Atomics.wait(this.#hand, Hand.OPENED, 0);
    this.#checkOpened();
  }

  #checkOpened(): void {
    const opened = receive<Opened>(this.#opened);
    closePort(this.#opened);
    const error = opened === undefined
      ? { message: "Cannot connect to NATS", cause: this.#failure }
      : opened.error;
    if (error === undefined) return;
    this.end();
    throw new RuntimeError(error.message, { cause: error.cause });
  }

  /** Puts it in the place of a worker. */
  start(start: WorkerStart): NatsLink {
    if (this.#failure !== undefined) throw this.#failure;
    this.#link = new NatsLink(this, start, this.#title);
    return this.#link;
  }

  /** Sends a message. */
  send(message: ToNatsManager, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  /** Blocks until it is known here whether a task has started, or a while has passed. */
  catchUp({ chunk, at }: Task): void {
    const number = ++this.#catchUps;
    this.send({ catchUp: [chunk.id, at], number });
    const until = performance.now() + CATCH_UP_MS;
    for (;;) {
      const done = Atomics.load(this.#hand, Hand.CAUGHT_UP);
      const ms = until - performance.now();
      if (done >= number || ms <= 0) return;
      Atomics.wait(this.#hand, Hand.CAUGHT_UP, done, ms);
    }
  }

  /** Whether it keeps this process alive. */
  setRef(isRef: boolean): void {
    setWorkerRef(this.#worker, isRef);
  }

  /** Ends the thread, and with it the connection. */
  end(): void {
    this.#worker.terminate();
    closePort(this.#opened);
  }

  #fail(error: unknown): void {
    this.#failure = error;
    Atomics.store(this.#hand, Hand.OPENED, 1);
    Atomics.notify(this.#hand, Hand.OPENED);
    this.#link?.fail(error);
  }
}

/** The stream, as a worker. */
export class NatsLink implements WorkerLink {
  readonly number: number;
  readonly name: string;
  readonly title: string;
  readonly reader: ResultReader;
  takenIn = 0;
  isReady = true; // it is connected already
  isServing = true;
  readonly isResponsive = true; // the manager runs no code of the user's
  readonly readyDeadline = Infinity;
  readonly #manager: NatsManager;
  readonly #port: MessagePort;
  readonly #onFailure: WorkerStart["onFailure"];

  constructor(manager: NatsManager, start: WorkerStart, title: string) {
    const { number, control, bell, chunks, posted } = start;
    this.#manager = manager;
    this.number = number;
    this.name = this.title = title;
    this.#onFailure = start.onFailure;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const ring = makeRing();
    this.reader = new ResultReader(ring, () => receive<Posted>(port1));
    manager.send({
      start: {
        number,
        control: control.buffer,
        bell: bell.buffer,
        chunks,
        posted,
        ring,
        port: port2,
      },
    }, [port2]);
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
      "Cannot move an object to another machine as `submitWith` must have refused it",
    );
  }

  sendLook(): void {
    this.#manager.send({ look: true });
  }

  callBack(tasks: readonly Task[]): void {
    const places = tasks.map(({ chunk, at }) => [chunk.id, at] as const);
    this.#manager.send({ callBack: places });
  }

  sendStop(): void {
    // It leaves when the pool closes; its tasks are stopped one by one.
  }

  stopTask({ chunk, at }: Task, number: number): void {
    this.#manager.send({ stop: [chunk.id, at], number });
  }

  catchUp(task: Task): void {
    this.#manager.catchUp(task);
  }

  leave(): void {
    this.#manager.send({ leave: true });
  }

  kill(): boolean {
    return false; // it is left behind, and ends with its thread
  }

  setRef(isRef: boolean): void {
    this.#manager.setRef(isRef);
  }

  end(): void {
    closePort(this.#port);
  }
}
