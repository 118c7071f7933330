/**
 * What a worker does: claims tasks, runs them, tells of the outcome, and sleeps
 * when there is nothing to do.
 *
 * @module
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { ring } from "./_bell.ts";
import { readBuffers, readText } from "./_bytes.ts";
import { wallClockMs } from "./_clock.ts";
import { type Chunk, type ChunkMessage, ChunkTable } from "./_chunks.ts";
import { decodeValue, encodeValue, type Payload } from "./_codec.ts";
import { Control, Flag, Format, Kind, NO_TASK, Record } from "./_layout.ts";
import { type Loaded, Loader } from "./_loader.ts";
import { type Posted, ResultWriter } from "./_result_ring.ts";
import type { RichOptions } from "./_rich.ts";
import { encodeTimes } from "./_run_times.ts";
import { Sleeper } from "./_sleeper.ts";
import { TaskSource } from "./_task_queue.ts";
import {
  type Initializer,
  type RunnerPort,
  TaskRunner,
} from "./_task_runner.ts";
import type { ToWorker } from "./_thread_protocol.ts";
import { isTransferable } from "./_transferable.ts";

/** What ties a worker to its owner. */
export interface LoopOptions {
  readonly number: number;
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly bell: Int32Array<SharedArrayBuffer>;
  readonly ring: SharedArrayBuffer;
  readonly chunks: readonly ChunkMessage[];
  readonly posted: number;
  /** Takes one message about chunks from the mail, if there is one. */
  receiveChunk(): ChunkMessage | undefined;
  /** Posts what does not fit into the ring. */
  post(message: Posted, transfer: Transferable[]): void;
  /** Ends this thread. */
  close(): void;
}

const COPY: RichOptions = { canMove: true };

/** How long a message that was posted may take to come out of the event loop. */
const LAST_MAIL_MS = 20;

/** As it is before a task can replace it. */
const startTimer = setTimeout;

/** Where the record of a task lies. */
interface Claimed {
  readonly chunk: Chunk;
  readonly at: number;
  readonly index: number;
  readonly format: number;
  /** When it was claimed, where it is timed. */
  readonly startMs: number;
  /** Whether its STATE is `DONE`: what is left is to tell the outcome. */
  isDone: boolean;
}

/** A worker's loop. */
export class WorkerLoop implements RunnerPort<Claimed> {
  readonly copy = COPY;
  readonly context = new AsyncLocalStorage<number>();
  // The rest of the options is not kept: it names memory that is to go.
  readonly #bell: Int32Array<SharedArrayBuffer>;
  readonly #close: () => void;
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #chunks: ChunkTable;
  readonly #source: TaskSource;
  readonly #results: ResultWriter;
  readonly #loader: Loader;
  readonly #runner = new TaskRunner<Claimed>(this);
  readonly #sleeper: Sleeper;
  /** How many messages about chunks the owner knows to be taken in. */
  #toldTaken: number;
  /** Hands the objects that a task asked for to the task. */
  #onMoved: ((moved: unknown[]) => void) | undefined;

  constructor(options: LoopOptions) {
    this.#bell = options.bell;
    this.#close = options.close;
    this.#control = options.control;
    const mail = options.chunks.slice();
    const { receiveChunk } = options;
    this.#chunks = new ChunkTable(() => mail.shift() ?? receiveChunk());
    this.#chunks.update();
    // Those that came with the start were counted by the owner already.
    this.#chunks.taken += options.posted - options.chunks.length;
    this.#toldTaken = options.posted;
    this.#source = new TaskSource(
      options.control,
      this.#chunks,
      options.number,
    );
    this.#loader = new Loader((id) => this.#chunks.shared(id));
    this.#sleeper = new Sleeper(options.control, () => this.#isIdle());
    this.#results = new ResultWriter(options.ring, options.post);
  }

  /** Initializes, then serves until the pool closes. */
  async run(initializer: Initializer | undefined): Promise<void> {
    this.#tell(Kind.READY, NO_TASK);
    if (initializer !== undefined) {
      await this.#runner.initialize(this.#loader, initializer);
    }
    this.#tell(Kind.SERVING, NO_TASK);
    while (!this.#runner.isOver) {
      if (this.#source.claim()) {
        const running = this.#runClaimed();
        if (running !== undefined) await running;
        if (this.#sleeper.isTurnDue()) await this.#sleeper.takeTurn();
      } else if (this.#isClosing()) this.#runner.leave();
      else if (!this.#sleeper.nap()) await this.#sleeper.sleep();
      else if (this.#sleeper.isTurnDue()) await this.#sleeper.takeTurn();
    }
  }

  /** Takes a message that is not about memory. */
  onMessage(message: ToWorker): void {
    if ("moved" in message) {
      this.#onMoved?.([...message.moved]);
      this.#onMoved = undefined;
    } else if ("look" in message) this.#takeMail();
    else this.#runner.leave();
  }

  /** Reports an error that nobody caught; the task that left it fails, if it still runs. */
  onStray(what: string, error: unknown): void {
    this.#runner.onStray(what, error);
  }

  /** Tells the owner why this worker ends, and ends it. */
  fail(why: string, cause?: unknown): void {
    this.#runner.die(why, cause);
  }

  // --------------------------------------------------------------- tasks

  /** Runs the task that was claimed; returns a promise where it is not over at once. */
  #runClaimed(): Promise<void> | undefined {
    const { chunk, at } = this.#source;
    const words = chunk.words;
    const index = words[at + Record.TASK];
    const format = words[at + Record.FORMAT];
    const startMs = (format & Flag.TIMED) === 0 ? 0 : wallClockMs();
    const claimed: Claimed = {
      chunk,
      at,
      index,
      format,
      startMs,
      isDone: false,
    };
    if ((format & Flag.WATCHED) !== 0) {
      this.#tell(
        Kind.STARTED,
        index,
        encodeValue(Date.now(), COPY, ""),
      );
    }
    const loaded = this.#loader.get(words[at + Record.CALLABLE]);
    if (loaded === undefined || (format & Flag.MOVED) !== 0) {
      return this.#runLater(claimed);
    }
    return this.#call(loaded, claimed, []);
  }

  /** Runs a task for which something must be fetched first. */
  async #runLater(claimed: Claimed): Promise<void> {
    const { chunk, at, index, format } = claimed;
    this.#runner.begin(claimed);
    this.setAwaiting(true);
    let loaded: Loaded;
    let moved: unknown[];
    try {
      const id = chunk.words[at + Record.CALLABLE];
      const found = this.#loader.get(id) ??
        this.#loader.load(id, this.#readDefinition(chunk, at));
      loaded = found instanceof Promise ? await found : found;
      moved = (format & Flag.MOVED) === 0 ? [] : await this.#askForMoved(index);
    } catch (error) {
      await this.#runner.fail(error, "the function");
      return;
    } finally {
      this.setAwaiting(false);
    }
    if (this.#runner.isOver) return;
    await this.#call(loaded, claimed, moved);
  }

  #call(
    loaded: Loaded,
    claimed: Claimed,
    moved: unknown[],
  ): Promise<void> | undefined {
    return this.#runner.call(
      claimed,
      loaded,
      () => this.#readArguments(claimed, moved),
      (claimed.format & Flag.CHUNK) !== 0,
      moved.length === 0 ? COPY : moveBack(moved),
    );
  }

  #readDefinition(chunk: Chunk, at: number): string {
    const { words, bytes } = this.#chunks.get(
      chunk.words[at + Record.CALLABLE_CHUNK],
    );
    const from = chunk.words[at + Record.CALLABLE_AT];
    const textAt = from + Int32Array.BYTES_PER_ELEMENT;
    return readText(bytes, textAt, words[from >> 2]);
  }

  #askForMoved(index: number): Promise<unknown[]> {
    return new Promise((resolve) => {
      this.#onMoved = resolve;
      this.#tell(Kind.WANTS_MOVED, index);
    });
  }

  #readArguments({ chunk, at, format }: Claimed, moved: unknown[]): unknown[] {
    const { words } = chunk;
    if ((format & Format.MASK) === Format.EMPTY) return [];
    const { bytes } = this.#chunks.get(words[at + Record.PAYLOAD_CHUNK]);
    const payloadAt = words[at + Record.PAYLOAD_AT];
    const textBytes = words[at + Record.TEXT_BYTES];
    const buffers = readBuffers(
      bytes,
      payloadAt,
      textBytes,
      words[at + Record.BUFFERS],
    );
    if ((format & Flag.SHARED) !== 0) {
      const ids = new Int32Array(buffers.pop()!.buffer);
      moved = Array.from(ids, (id) => this.#chunks.shared(id));
    }
    const text = readText(bytes, payloadAt, textBytes);
    return decodeValue(format & Format.MASK, text, buffers, moved) as unknown[];
  }

  // ------------------------------------------------------------- outcomes

  finish(claimed: Claimed, kind: number, outcome: Payload) {
    const { chunk, at, index } = claimed;
    // ORDER: the STATE before anything is posted. What was stopped posts nothing,
    // as its port is closed, see `closePort`.
    claimed.isDone ||= this.#source.finish(chunk, at);
    if (!claimed.isDone) return false;
    // ORDER: nothing comes between what is staged and its message.
    this.#tellTimes(claimed);
    const staged = this.#results.stage(outcome);
    this.#results.countFinished();
    this.#results.send(kind, index, staged);
    ring(this.#bell);
    return true;
  }

  #tellTimes({ index, format, startMs }: Claimed): void {
    if ((format & Flag.TIMED) === 0) return;
    const times = encodeTimes(startMs, wallClockMs());
    this.#results.send(Kind.TIMED, index, this.#results.stage(times));
  }

  setAwaiting(isAwaiting: boolean): void {
    this.#results.setAwaiting(isAwaiting);
  }

  giveUp(reason: Payload): void {
    this.#end(Kind.UNFIT, NO_TASK, reason);
  }

  die(task: Claimed | undefined, reason: Payload): void {
    // One that is done, and whose outcome cannot be told, is lost with this worker.
    if (
      task !== undefined && !task.isDone &&
      !this.#source.finish(task.chunk, task.at)
    ) return this.leave();
    this.#end(Kind.DIED, task?.index ?? NO_TASK, reason);
  }

  leave(): void {
    this.#end(Kind.GONE, NO_TASK);
  }

  #tell(kind: number, index: number, payload?: Payload): void {
    if (!this.#runner.isOver) this.#send(kind, index, payload);
  }

  #send(kind: number, index: number, payload?: Payload): void {
    const staged = payload && this.#results.stage(payload);
    this.#results.send(kind, index, staged);
    ring(this.#bell);
  }

  #end(kind: number, index: number, payload?: Payload): void {
    this.#sleeper.quit();
    // ORDER: before the end is told, as the owner closes all then.
    this.#results.shutMail();
    this.#chunks.update();
    const tellAndClose = () => {
      this.#send(kind, index, payload);
      this.#close();
    };
    // What was moved to a task may be in the event loop's mail: it is kept for
    // ever if that is not read.
    if (this.#onMoved === undefined) tellAndClose();
    else startTimer(tellAndClose, LAST_MAIL_MS);
  }

  // ---------------------------------------------------------------- sleep

  #isClosing(): boolean {
    return Atomics.load(this.#control, Control.CLOSING) === 1;
  }

  /** Whether there is nothing to do; takes in the mail. */
  #isIdle(): boolean {
    this.#takeMail();
    return this.#source.isEmpty() && !this.#isClosing();
  }

  #takeMail(): void {
    if (this.#toldTaken !== Atomics.load(this.#control, Control.POSTED)) {
      this.#chunks.update();
      this.#toldTaken = this.#chunks.taken;
      this.#results.setTaken(this.#toldTaken);
      this.#tell(Kind.TAKEN, NO_TASK);
    }
  }
}

/** What was moved to a task is the task's: if the result holds it, it moves on. */
function moveBack(moved: unknown[]): RichOptions {
  return { canMove: true, transfer: new Set(moved.filter(isTransferable)) };
}
