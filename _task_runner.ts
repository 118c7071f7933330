/**
 * Runs calls in a worker of any kind, one at a time, and makes what comes of
 * them ready to travel. Where the calls come from and where the outcomes go is
 * the business of the worker's loop.
 *
 * @module
 */

import { callChunk, ChunkResult, isThenable } from "./_call.ts";
import { describeError } from "./_describe.ts";
import { Format, Kind } from "./_layout.ts";
import type { Loaded, Loader } from "./_loader.ts";
import { decodeValue, encodeValue, type Payload } from "./_payload.ts";
import type { RichOptions } from "./_rich.ts";
import { SerializationError } from "./errors.ts";

/** The function that every worker calls first. */
export interface Initializer {
  /** Its definition as JSON. */
  readonly definition: string;
  readonly payload: Payload;
}

/** Tells which task a piece of code belongs to: `AsyncLocalStorage`, or less. */
export interface TaskContext {
  run<T>(number: number, fn: () => T): T;
  getStore(): number | undefined;
}

/** What a runner needs of the loop that it works for; `T` is what the loop knows of a task. */
export interface RunnerPort<T> {
  /** How values travel from here. */
  readonly copy: RichOptions;
  readonly context: TaskContext;
  /** Returns what must be waited for before `value` can be made ready to travel. */
  prepare?(value: unknown): Promise<void> | undefined;
  /**
   * Sends the outcome of a task; returns `false` where it was stopped.
   *
   * @throws {DOMException} If an object in it cannot be moved.
   */
  finish(task: T, kind: number, outcome: Payload): boolean;
  /** Notes whether the task awaits. */
  setAwaiting(isAwaiting: boolean): void;
  /** Tells that the initializer failed; the worker is of no use, nor is the pool. */
  giveUp(reason: Payload): void;
  /** Tells that this worker dies, and the task that it ran with it. */
  die(task: T | undefined, reason: Payload): void;
  /** Ends this worker, whose task was stopped. */
  leave(): void;
}

/** Told where not even a reason can be. */
const NO_REASON: Payload = {
  format: Format.EMPTY,
  text: "",
  buffers: [],
  moved: [],
};

interface Running<T> {
  readonly task: T;
  /** Tells the task's own stray errors from those of tasks before it. */
  readonly number: number;
  /** How its result travels: what was moved here for it moves back. */
  readonly sending: RichOptions;
}

/** The number of the initializer, which is no task. */
const INITIALIZER = -1;

/** Runs calls, one at a time. */
export class TaskRunner<T> {
  readonly #port: RunnerPort<T>;
  #running: Running<T> | undefined;
  #number = 0;
  #isInitializing = false;
  /** Set once and for all when the worker leaves or dies: nothing is told after that. */
  #isOver = false;

  constructor(port: RunnerPort<T>) {
    this.#port = port;
  }

  /** Whether the worker leaves or dies. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Calls the initializer; where that fails, the worker is over. */
  async initialize(loader: Loader, initializer: Initializer): Promise<void> {
    this.#isInitializing = true;
    const { definition, payload } = initializer;
    const { format, text, buffers, moved } = payload;
    try {
      const args = decodeValue(format, text, [...buffers], [...moved]);
      const loaded = await loader.load(0, definition);
      await this.#port.context.run(
        INITIALIZER,
        () => loaded.call(args as unknown[] | undefined ?? []),
      );
    } catch (error) {
      await this.#port.prepare?.(error);
      this.#giveUp(`failed: ${describeError(error)}`, error);
    }
    this.#isInitializing = false;
  }

  /** Runs a task; returns a promise where it is not over at once. */
  call(
    task: T,
    loaded: Loaded,
    readArguments: () => unknown[],
    isChunk: boolean,
    sending: RichOptions = this.#port.copy,
  ): Promise<void> | undefined {
    this.begin(task, sending);
    // All of it runs as this task's, so that strays are known for its own.
    return this.#port.context.run(
      this.#number,
      () => this.#perform(loaded, readArguments, isChunk),
    );
  }

  /** Takes strays for this task's from now on, if they are nobody else's. */
  begin(task: T, sending: RichOptions = this.#port.copy): void {
    this.#running = { task, number: ++this.#number, sending };
  }

  #perform(
    loaded: Loaded,
    readArguments: () => unknown[],
    isChunk: boolean,
  ): Promise<void> | undefined {
    let value: unknown;
    let isOver: boolean;
    let args: unknown[];
    try {
      args = readArguments();
    } catch (error) {
      return this.fail(asUnreadable(error, loaded.name), loaded.name);
    }
    try {
      value = isChunk
        ? callChunk(loaded, args as unknown[][])
        : loaded.call(args);
      isOver = !isThenable(value); // may throw: `then` can be a getter
    } catch (error) {
      return this.fail(error, loaded.name);
    }
    if (isOver) return this.#conclude(value, loaded.name);
    return this.#whenDone(value as PromiseLike<unknown>, loaded);
  }

  async #whenDone(value: PromiseLike<unknown>, loaded: Loaded): Promise<void> {
    this.#port.setAwaiting(true);
    try {
      const result = await value;
      this.#port.setAwaiting(false);
      await this.#conclude(result, loaded.name);
    } catch (error) {
      this.#port.setAwaiting(false);
      await this.fail(error, loaded.name);
    }
  }

  // ------------------------------------------------------------- outcomes

  /** Brings the running task to its end with what was thrown. */
  fail(error: unknown, name: string): Promise<void> | undefined {
    return this.#finishPrepared(Kind.THREW, error, name);
  }

  #conclude(value: unknown, name: string): Promise<void> | undefined {
    if (!ChunkResult.is(value)) {
      return this.#finishPrepared(Kind.RETURNED, value, name);
    }
    const { values, thrown } = value;
    return thrown === undefined
      ? this.#finishPrepared(Kind.RETURNED, values, name, true)
      : this.#finishPrepared(
        Kind.CHUNK_THREW,
        [values, ...thrown],
        name,
        true,
      );
  }

  #finishPrepared(
    kind: number,
    outcome: unknown,
    name: string,
    isChunk = false,
  ): Promise<void> | undefined {
    const preparing = this.#port.prepare?.(outcome);
    if (preparing === undefined) {
      return this.#finish(kind, outcome, name, isChunk);
    }
    return preparing.then(() => this.#finish(kind, outcome, name, isChunk));
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
    const { task, sending } = running;
    const { copy } = this.#port;
    let isWanted: boolean;
    try {
      const payload = kind === Kind.THREW
        ? encodeThrown(outcome, name, copy)
        : encodeValue(outcome, sending, `the result of "${name}"`);
      isWanted = this.#port.finish(task, kind, payload);
    } catch (error) {
      if (isChunk) return this.#finishPart(kind, outcome, name);
      const payload = encodeThrown(asUnsendable(error, name), name, copy);
      isWanted = this.#port.finish(task, Kind.THREW, payload);
    }
    this.#running = undefined;
    if (!isWanted) this.leave();
  }

  /** Tells the values of a chunk up to the first that cannot travel. */
  #finishPart(kind: number, outcome: unknown, name: string): undefined {
    const { copy } = this.#port;
    const values =
      (kind === Kind.RETURNED
        ? outcome
        : (outcome as [unknown[]])[0]) as unknown[];
    const sendable: unknown[] = [];
    for (const value of values) {
      try {
        encodeValue(value, copy, `the result of "${name}"`);
      } catch (error) {
        const told = toSendable(error, name, copy); // its cause may not travel
        return this.#finish(Kind.CHUNK_THREW, [sendable, told], name);
      }
      sendable.push(value);
    }
    // All values can travel, so it is the error that cannot.
    const [, thrown] = outcome as [unknown[], unknown];
    const told = toSendable(thrown, name, copy);
    this.#finish(Kind.CHUNK_THREW, [sendable, told], name);
  }

  // --------------------------------------------------------------- endings

  /** Reports an error that nobody caught; the task that left it fails, if it still runs. */
  onStray(what: string, error: unknown): void {
    if (this.#isOver) return;
    const owner = this.#port.context.getStore();
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
    const preparing = this.#port.prepare?.([why, cause]);
    if (preparing === undefined) return this.#die(why, cause);
    preparing.then(() => this.#die(why, cause));
  }

  #die(why: string, cause: unknown): void {
    if (this.#isOver) return;
    if (this.#isInitializing) return this.#giveUp(why, cause);
    this.#isOver = true;
    this.#port.die(this.#running?.task, this.#encodeReason(why, cause));
  }

  /** Where a task has broken what encodes, JSON.stringify say, the end is told all the same. */
  #encodeReason(why: string, cause: unknown): Payload {
    try {
      return encodeReason(why, cause, this.#port.copy);
    } catch {
      return NO_REASON;
    }
  }

  /** Ends this worker, whose task was stopped. */
  leave(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#port.leave();
  }

  #giveUp(why: string, cause: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#port.giveUp(this.#encodeReason(why, cause));
  }
}

/** Makes what a call threw ready to travel; what cannot travel is told instead. */
function encodeThrown(
  error: unknown,
  name: string,
  copy: RichOptions,
): Payload {
  try {
    return encodeValue(error, copy, `the error of "${name}"`);
  } catch (failure) {
    return encodeValue(insteadOf(error, failure), copy, "the error");
  }
}

/** Returns an error as it is where it can travel, else what is told instead. */
function toSendable(error: unknown, name: string, copy: RichOptions): unknown {
  try {
    encodeValue(error, copy, `the error of "${name}"`);
    return error;
  } catch (failure) {
    return insteadOf(error, failure);
  }
}

/** Makes the reason why a worker ends ready to travel. */
export function encodeReason(
  why: string,
  cause: unknown,
  copy: RichOptions,
): Payload {
  try {
    return encodeValue([why, cause], copy, "the reason");
  } catch (failure) {
    return encodeValue([why, insteadOf(cause, failure)], copy, "the reason");
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

/** Turns what reading arguments threw into an error that says so. */
function asUnreadable(error: unknown, name: string): SerializationError {
  if (error instanceof SerializationError) return error;
  // The sender may have had more of a stack than is left here.
  return new SerializationError(
    `Cannot read the arguments of "${name}": ${
      describeError(error)
    }; if they are nested deeply, send them flatter`,
    { cause: error },
  );
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
