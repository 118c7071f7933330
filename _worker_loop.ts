/**
 * What a worker does: claims tasks, runs them, tells of the outcome, and sleeps
 * when there is nothing to do.
 *
 * @module
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { ring } from "./_bell.ts";
import { readBuffers, readText } from "./_bytes.ts";
import { callChunk, ChunkResult, isThenable } from "./_call.ts";
import { type Chunk, type ChunkMessage, ChunkTable } from "./_chunks.ts";
import { decodeValue, encodeValue, type Payload } from "./_codec.ts";
import type { Definition } from "./_definition.ts";
import { Control, Flag, Format, Kind, NO_TASK, Record } from "./_layout.ts";
import { type Loaded, Loader } from "./_loader.ts";
import { type Posted, ResultWriter, type Staged } from "./_result_ring.ts";
import type { RichOptions } from "./_rich.ts";
import { Sleeper } from "./_sleeper.ts";
import { TaskSource } from "./_task_queue.ts";
import type { Initializer, ToWorker } from "./_thread_protocol.ts";
import { isTransferable } from "./_transferable.ts";
import { describeError } from "./_describe.ts";
import { SerializationError } from "./errors.ts";

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

/** The task that a worker runs. */
interface Running {
  readonly chunk: Chunk;
  readonly at: number;
  readonly index: number;
  /** Tells the task's own stray errors from those of tasks before it. */
  readonly number: number;
  /** How its result travels: what was moved here for it moves back. */
  readonly sending: RichOptions;
}

/** A worker's loop. */
export class WorkerLoop {
  // The rest of the options is not kept: it names memory that is to go.
  readonly #bell: Int32Array<SharedArrayBuffer>;
  readonly #close: () => void;
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #chunks: ChunkTable;
  readonly #source: TaskSource;
  readonly #results: ResultWriter;
  readonly #loader = new Loader();
  readonly #context = new AsyncLocalStorage<number>();
  #isInitializing = false;
  #running: Running | undefined;
  #taskNumber = 0;
  readonly #sleeper: Sleeper;
  /** How many messages about chunks the owner knows to be taken in. */
  #toldTaken: number;
  /** Set once and for all when this worker leaves or dies: nothing is told after that. */
  #isOver = false;
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
    this.#sleeper = new Sleeper(options.control, () => this.#isIdle());
    this.#results = new ResultWriter(options.ring, options.post);
  }

  /** Initializes, then serves until the pool closes. */
  async run(initializer: Initializer | undefined): Promise<void> {
    this.#tell(Kind.READY, NO_TASK);
    if (initializer !== undefined) await this.#initialize(initializer);
    this.#tell(Kind.SERVING, NO_TASK);
    while (!this.#isOver) {
      if (this.#source.claim()) {
        const running = this.#runClaimed();
        if (running !== undefined) await running;
        if (this.#sleeper.isTurnDue()) await this.#sleeper.takeTurn();
      } else if (this.#isClosing()) this.#leave();
      else if (!this.#sleeper.nap()) await this.#sleeper.sleep();
      else if (this.#sleeper.isTurnDue()) await this.#sleeper.takeTurn();
    }
  }

  /** Takes a message that is not about memory. */
  onMessage(message: ToWorker): void {
    if ("moved" in message) this.#onMoved?.([...message.moved]);
    else if ("look" in message) this.#takeMail();
    else this.#leave();
  }

  /** Reports an error that nobody caught; the task that left it fails, if it still runs. */
  onStray(what: string, error: unknown): void {
    if (this.#isOver) return;
    const owner = this.#context.getStore();
    const running = this.#running;
    if (
      this.#isInitializing ||
      (running !== undefined &&
        (owner === undefined || owner === running.number))
    ) {
      return this.die(`died of ${what} (${describeError(error)})`, error);
    }
    // deno-lint-ignore no-console -- nobody is there to catch it
    console.error(
      `Cannot tell a task of ${what} as it had ended before:`,
      error,
    );
  }

  /** Tells the owner why this worker ends, and ends it. */
  die(why: string, cause?: unknown): void {
    if (this.#isOver) return;
    if (this.#isInitializing) return this.#giveUp(why, cause);
    const running = this.#running;
    if (
      running !== undefined &&
      !this.#source.finish(running.chunk, running.at)
    ) return this.#leave();
    const reason = encodeReason(why, cause);
    this.#tell(Kind.DIED, running?.index ?? NO_TASK, reason);
    this.#end();
  }

  // --------------------------------------------------------------- tasks

  async #initialize({ definition, payload }: Initializer): Promise<void> {
    this.#isInitializing = true;
    const { format, text, buffers, moved } = payload;
    try {
      const args = decodeValue(format, text, [...buffers], [...moved]);
      const loaded = await this.#loader.load(0, definition);
      try {
        await this.#context.run(
          NO_TASK,
          () => loaded.call(args as unknown[] | undefined ?? []),
        );
      } catch (error) {
        throw loaded.explain(error);
      }
    } catch (error) {
      this.#giveUp(`failed: ${describeError(error)}`, error);
    }
    this.#isInitializing = false;
  }

  /** The initializer failed: this worker is of no use, nor is the pool. */
  #giveUp(why: string, cause: unknown): void {
    this.#tell(Kind.UNFIT, NO_TASK, encodeReason(why, cause));
    this.#end();
  }

  /** Runs the task that was claimed; returns a promise where it is not over at once. */
  #runClaimed(): Promise<void> | undefined {
    const { chunk, at } = this.#source;
    const words = chunk.words;
    const index = words[at + Record.TASK];
    const format = words[at + Record.FORMAT];
    if ((format & Flag.WATCHED) !== 0) {
      this.#tell(
        Kind.STARTED,
        index,
        encodeValue(Date.now(), COPY, ""),
      );
    }
    const loaded = this.#loader.get(words[at + Record.CALLABLE]);
    if (loaded === undefined || (format & Flag.MOVED) !== 0) {
      return this.#runLater(chunk, at, index, format);
    }
    return this.#call(loaded, chunk, at, index, format, []);
  }

  /** Runs a task for which something must be fetched first. */
  async #runLater(
    chunk: Chunk,
    at: number,
    index: number,
    format: number,
  ): Promise<void> {
    this.#begin(chunk, at, index);
    this.#results.setAwaiting(true);
    let loaded: Loaded;
    let moved: unknown[];
    try {
      const id = chunk.words[at + Record.CALLABLE];
      const found = this.#loader.get(id) ??
        this.#loader.load(id, this.#readDefinition(chunk, at));
      loaded = found instanceof Promise ? await found : found;
      moved = (format & Flag.MOVED) === 0 ? [] : await this.#askForMoved(index);
    } catch (error) {
      return this.#finish(Kind.THREW, error, "the function");
    } finally {
      this.#results.setAwaiting(false);
    }
    if (this.#isOver) return;
    await this.#call(loaded, chunk, at, index, format, moved);
  }

  #readDefinition(chunk: Chunk, at: number): Definition {
    const { words, bytes } = this.#chunks.get(
      chunk.words[at + Record.CALLABLE_CHUNK],
    );
    const from = chunk.words[at + Record.CALLABLE_AT];
    const textAt = from + Int32Array.BYTES_PER_ELEMENT;
    return JSON.parse(readText(bytes, textAt, words[from >> 2]));
  }

  #askForMoved(index: number): Promise<unknown[]> {
    return new Promise((resolve) => {
      this.#onMoved = resolve;
      this.#tell(Kind.WANTS_MOVED, index);
    });
  }

  #begin(
    chunk: Chunk,
    at: number,
    index: number,
    sending: RichOptions = COPY,
  ): void {
    const number = ++this.#taskNumber;
    this.#running = { chunk, at, index, number, sending };
  }

  #call(
    loaded: Loaded,
    chunk: Chunk,
    at: number,
    index: number,
    format: number,
    moved: unknown[],
  ): Promise<void> | undefined {
    const sending = moved.length === 0 ? COPY : moveBack(moved);
    this.#begin(chunk, at, index, sending);
    // All of it runs as this task's, so that strays are known for its own.
    return this.#context.run(
      this.#taskNumber,
      () => this.#perform(loaded, chunk, at, format, moved),
    );
  }

  #perform(
    loaded: Loaded,
    chunk: Chunk,
    at: number,
    format: number,
    moved: unknown[],
  ): Promise<void> | undefined {
    let value: unknown;
    let isOver: boolean;
    try {
      const args = this.#readArguments(chunk, at, format, moved);
      value = (format & Flag.CHUNK) !== 0
        ? callChunk(loaded, args as unknown[][])
        : loaded.call(args);
      isOver = !isThenable(value); // may throw: `then` can be a getter
    } catch (error) {
      return this.#finish(Kind.THREW, loaded.explain(error), loaded.name);
    }
    if (isOver) return this.#conclude(value, loaded.name);
    return this.#whenDone(value as PromiseLike<unknown>, loaded);
  }

  async #whenDone(value: PromiseLike<unknown>, loaded: Loaded): Promise<void> {
    this.#results.setAwaiting(true);
    try {
      const result = await value;
      this.#results.setAwaiting(false);
      this.#conclude(result, loaded.name);
    } catch (error) {
      this.#results.setAwaiting(false);
      this.#finish(Kind.THREW, loaded.explain(error), loaded.name);
    }
  }

  #readArguments(
    chunk: Chunk,
    at: number,
    format: number,
    moved: unknown[],
  ): unknown[] {
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

  #conclude(value: unknown, name: string): undefined {
    if (!(value instanceof ChunkResult)) {
      return this.#finish(Kind.RETURNED, value, name);
    }
    const { values, thrown } = value;
    if (thrown === undefined) this.#finish(Kind.RETURNED, values, name, true);
    else this.#finish(Kind.CHUNK_THREW, [values, ...thrown], name, true);
  }

  /** Tells the outcome of the task, unless it was stopped. */
  #finish(
    kind: number,
    outcome: unknown,
    name: string,
    isChunk = false,
  ): undefined {
    const running = this.#running;
    if (this.#isOver || running === undefined) return;
    let staged: Staged;
    try {
      staged = this.#results.stage(
        kind === Kind.THREW
          ? encodeThrown(outcome, name)
          : encodeValue(outcome, running.sending, `the result of "${name}"`),
      );
    } catch (error) {
      if (isChunk) return this.#finishPart(kind, outcome, name);
      kind = Kind.THREW;
      staged = this.#results.stage(
        encodeThrown(asUnsendable(error, name), name),
      );
    }
    this.#running = undefined;
    if (!this.#source.finish(running.chunk, running.at)) return this.#leave();
    this.#results.countFinished();
    this.#results.send(kind, running.index, staged);
    ring(this.#bell);
  }

  /** Tells the values of a chunk up to the first that cannot travel. */
  #finishPart(kind: number, outcome: unknown, name: string): undefined {
    const values =
      (kind === Kind.RETURNED
        ? outcome
        : (outcome as [unknown[]])[0]) as unknown[];
    const sendable: unknown[] = [];
    for (const value of values) {
      try {
        encodeValue(value, COPY, `the result of "${name}"`);
      } catch (error) {
        return this.#finish(Kind.CHUNK_THREW, [sendable, error], name);
      }
      sendable.push(value);
    }
    // All values can travel, so it is the error that cannot.
    const [, thrown] = outcome as [unknown[], unknown];
    try {
      encodeValue(thrown, COPY, `the error of "${name}"`);
    } catch (error) {
      this.#finish(Kind.CHUNK_THREW, [sendable, error], name);
    }
  }

  #tell(kind: number, index: number, payload?: Payload): void {
    if (this.#isOver) return;
    const staged = payload && this.#results.stage(payload);
    this.#results.send(kind, index, staged);
    ring(this.#bell);
  }

  #leave(): undefined {
    this.#tell(Kind.GONE, NO_TASK);
    this.#end();
  }

  #end(): void {
    this.#isOver = true;
    this.#sleeper.quit();
    this.#close();
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

/** Makes what a call threw ready to travel; what cannot travel is told instead. */
function encodeThrown(error: unknown, name: string): Payload {
  try {
    return encodeValue(error, COPY, `the error of "${name}"`);
  } catch (failure) {
    return encodeValue(insteadOf(error, failure), COPY, "the error");
  }
}

/** Makes the reason why a worker ends ready to travel. */
function encodeReason(why: string, cause: unknown): Payload {
  try {
    return encodeValue([why, cause], COPY, "the reason");
  } catch (failure) {
    return encodeValue([why, insteadOf(cause, failure)], COPY, "the reason");
  }
}

/** The failure to send `error`, with what can be sent of it as the cause. */
function insteadOf(error: unknown, failure: unknown): unknown {
  (failure as Error).cause = error instanceof Error
    ? bare(error)
    : describeError(error);
  return failure;
}

/** An error's name, message and stack, without its fields. */
function bare(error: Error): Error {
  const copy = new Error(error.message);
  copy.name = error.name;
  copy.stack = error.stack;
  return copy;
}

/** Turns what posting a result threw into an error that says so. */
function asUnsendable(error: unknown, name: string): unknown {
  if (error instanceof SerializationError) return error;
  return new SerializationError(
    `Cannot send the result of "${name}" as a part of it can neither be copied nor moved: ${
      describeError(error)
    }`,
  );
}
