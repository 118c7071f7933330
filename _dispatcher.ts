/**
 * The owner's side of a pool: turns calls into tasks, starts workers when they
 * are needed, and settles futures with what comes back.
 *
 * ```text
 *   open ---- shutdown() ----> shut ---- nothing pending ----> ending ---- last worker gone ----> ended
 *     |                         |                                ^
 *     +---- a worker died, ---- broken --------------------------+
 *           an initializer failed
 * ```
 *
 * INVARIANT: every pending task has a place in `#tasks`, and leaves it before
 * its future is told, so that a callback finds the pool as it is.
 *
 * A worker is one of: usable, set aside (its task was stopped and its code has
 * not returned), gone. How many are needed is derived from live counts each
 * time, never from tokens: CPython lost workers that way (issue 115634).
 *
 * @module
 */

import { bell, type Listener } from "./_bell.ts";
import { ByteForm } from "./_bytes.ts";
import { Callables, type Registration } from "./_callables.ts";
import { type ChunkMessage, LARGE_PAYLOAD } from "./_chunks.ts";
import { decodeValue, type Payload } from "./_codec.ts";
import { access } from "./_future_access.ts";
import { Control, Flag, Kind, NO_TASK, Record, State } from "./_layout.ts";
import { LONGEST_TIMER_MS } from "./_options.ts";
import type { Received } from "./_result_ring.ts";
import {
  isRunningState,
  Task,
  type TaskExtras,
  type TaskOwner,
} from "./_task.ts";
import { TaskQueue } from "./_task_queue.ts";
import type { WorkerLink, WorkerStart } from "./_worker_link.ts";
import {
  type BrokenExecutor,
  RuntimeError,
  SerializationError,
  TimeoutError,
} from "./errors.ts";
import type { ChunkOutcome } from "./executor.ts";
import { Future } from "./future.ts";

/** What a pool tells its dispatcher. */
export interface DispatcherOptions {
  readonly maxWorkers: number;
  /** Whether one death breaks the pool or costs only the task that ran there. */
  readonly onWorkerDeath: "break" | "replace";
  /** The pool's class of `BrokenExecutor`. */
  readonly Broken: new (message: string, init?: ErrorOptions) => BrokenExecutor;
  /** Starts a worker. */
  start(start: WorkerStart): WorkerLink;
}

/** What a call asks for beyond its function and arguments. */
export interface TaskRequest {
  readonly isChunk: boolean;
  readonly signal?: AbortSignal;
  /** Longest run in milliseconds; `Infinity` for none. */
  readonly timeoutMs: number;
}

type PoolState = "open" | "shut" | "broken" | "ending" | "ended";

const NO_OUTCOME = "Cannot get the outcome of the call";

/** How long an idle worker may take to leave before it is left behind. */
const LEAVE_MS = 2_000;

/** Messages taken from one worker before the next has its turn. */
const MOST_IN_A_ROW = 4_096;

/** Places in the table of tasks above which it is emptied when nothing is pending. */
const MANY_TASKS = 1_024;

const RECORD_BYTES = Record.WORDS * Int32Array.BYTES_PER_ELEMENT;

/** The owner's side of a pool. */
export class Dispatcher implements Listener, TaskOwner {
  readonly #options: DispatcherOptions;
  readonly #queue: TaskQueue;
  /** The functions that workers can look up. */
  readonly callables: Callables;
  #state: PoolState = "open";
  /** Why the pool is broken. */
  #reason: { why: string; cause: unknown } | undefined;

  /** Tasks by their index; the free places are in `#freeIndexes`. */
  readonly #tasks: (Task | undefined)[] = [];
  readonly #freeIndexes: number[] = [];
  #pending = 0;
  /** Started tasks with a time limit. */
  readonly #timed = new Set<Task>();

  readonly #links = new Set<WorkerLink>();
  #nextWorker = 0;
  /** Workers whose task was stopped, with that task: its record is theirs until they are gone. */
  readonly #aside = new Map<WorkerLink, Task>();
  /** The worker that keeps the process alive while tasks are pending. */
  #keeper: WorkerLink | undefined;

  readonly #ended = Promise.withResolvers<void>();
  #leaveTimer: ReturnType<typeof setTimeout> | undefined;
  #leaveDeadline = Infinity;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#queue = new TaskQueue({
      post: (message) => this.#postChunk(message),
      allTaken: () => this.#allTaken(),
    });
    this.callables = new Callables(this.#queue.chunks);
  }

  // ------------------------------------------------------------ submitting

  /**
   * Throws where the pool takes no more calls.
   *
   * @throws {RuntimeError} If it was shut down.
   * @throws {BrokenExecutor} If it is broken.
   */
  checkOpen(): void {
    if (this.#state === "open") return;
    if (this.#reason !== undefined) throw this.#brokenError("Cannot submit");
    throw new RuntimeError(
      "Cannot submit as the pool must be open: it was shut down; make a new one",
    );
  }

  /** Makes a task of a call and publishes it. The pool is open. */
  submit(
    registration: Registration,
    payload: Payload,
    request: TaskRequest | undefined,
  ): Future<unknown> {
    const future = new Future<unknown>();
    const task = this.#makeTask(future, registration, payload, request);
    access.setDriver(future, task);
    if (this.#pending++ === 0) this.#keepAlive();
    this.#queue.publish(task.chunk, task.at);
    this.#queue.wake();
    if (this.#pending > this.#links.size) this.#staff();
    if (request?.signal !== undefined) this.#followSignal(task, request.signal);
    return future;
  }

  #makeTask(
    future: Future<unknown>,
    registration: Registration,
    payload: Payload,
    request: TaskRequest | undefined,
  ): Task {
    const index = this.#freeIndexes.pop() ?? this.#tasks.length;
    const isChunk = request?.isChunk ?? false;
    const extras = makeExtras(payload, request);
    let format = payload.format;
    if (isChunk) format |= Flag.CHUNK;
    if (extras !== undefined) {
      if (extras.timeoutMs < Infinity) format |= Flag.WATCHED;
      if (extras.moved.length > 0) format |= Flag.MOVED;
    }
    const form = payload.text === "" ? undefined : new ByteForm(payload);
    const capacity = form?.capacity ?? 0;
    const large = form !== undefined && capacity > LARGE_PAYLOAD
      ? this.#queue.chunks.exclusive(capacity)
      : undefined;
    const chunk = this.#queue.chunks.room(
      RECORD_BYTES + (large === undefined ? capacity : 0),
    );
    const at = chunk.top >> 2;
    const payloadAt = large === undefined ? chunk.top + RECORD_BYTES : 0;
    const end = form?.write((large ?? chunk).bytes, payloadAt) ?? payloadAt;
    if (large !== undefined) large.live = 1;
    chunk.top = large === undefined ? end : chunk.top + RECORD_BYTES;
    chunk.live++;
    registration.users++;

    const words = chunk.words;
    words[at + Record.TASK] = index;
    words[at + Record.CALLABLE] = registration.id;
    words[at + Record.CALLABLE_CHUNK] = registration.chunk.id;
    words[at + Record.CALLABLE_AT] = registration.at;
    words[at + Record.FORMAT] = format;
    words[at + Record.PAYLOAD_CHUNK] = (large ?? chunk).id;
    words[at + Record.PAYLOAD_AT] = payloadAt;
    words[at + Record.TEXT_BYTES] = form?.textBytes ?? 0;
    words[at + Record.BUFFERS] = payload.buffers.length;
    Atomics.store(words, at + Record.STATE, State.PENDING);

    const task = new Task(
      this,
      future,
      index,
      registration,
      chunk,
      at,
      large,
      isChunk,
    );
    task.extras = extras;
    this.#tasks[index] = task;
    return task;
  }

  #followSignal(task: Task, signal: AbortSignal): void {
    const onAbort = () =>
      this.#stop(task, () => {
        access.cancelWith(task.future, signal.reason);
      });
    signal.addEventListener("abort", onAbort, { once: true });
    task.extras!.forgetSignal = () =>
      signal.removeEventListener("abort", onAbort);
  }

  // ----------------------------------------------------- ending one task

  cancelTask(task: Task): boolean {
    if (!this.#queue.cancel(task.chunk, task.at)) return false;
    this.#forget(task);
    return true;
  }

  /** Ends a task wherever it is, and its future by `settle`; too late is too late. */
  #stop(task: Task, settle: () => void): void {
    if (this.cancelTask(task)) return settle();
    const { state } = task;
    if (!isRunningState(state)) return; // its outcome is on the way
    if (
      Atomics.compareExchange(
        task.chunk.words,
        task.at + Record.STATE,
        state,
        State.STOPPED,
      ) !== state
    ) return;
    this.#setAside(task, state >> State.SHIFT);
    this.#staff();
    settle();
  }

  /** Takes leave of the worker of a stopped task, which ends as soon as it can. */
  #setAside(task: Task, number: number): void {
    for (const link of this.#links) {
      if (link.number !== number) continue;
      this.#remove(link);
      this.#aside.set(link, task);
      link.setRef(false);
      link.sendStop();
    }
    this.#forget(task, false);
  }

  /** Takes a task out of the table and gives its memory back. */
  #forget(task: Task, isOutOfReach = true): void {
    this.#tasks[task.index] = undefined;
    this.#freeIndexes.push(task.index);
    task.registration.users--;
    if (isOutOfReach) this.#release(task);
    if (task.extras !== undefined) {
      clearTimeout(task.extras.timer);
      task.extras.forgetSignal?.();
      this.#timed.delete(task);
    }
    if (--this.#pending === 0) this.#rest();
  }

  #release(task: Task): void {
    this.#queue.chunks.release(task.chunk);
    if (task.payload !== undefined) this.#queue.chunks.release(task.payload);
  }

  /** Nothing is pending. */
  #rest(): void {
    this.#keeper?.setRef(false);
    this.#keeper = undefined;
    if (this.#tasks.length > MANY_TASKS) {
      this.#tasks.length = this.#freeIndexes.length = 0;
    }
    this.#queue.rest();
    if (this.#state === "shut" || this.#state === "broken") this.#end();
  }

  // ---------------------------------------------------------- time limits

  /** When the next time limit runs out, by `performance.now()`. */
  get deadline(): number {
    let deadline = this.#leaveDeadline;
    for (const { extras } of this.#timed) {
      deadline = Math.min(deadline, extras!.deadline);
    }
    for (const link of this.#links) {
      if (!link.isReady) deadline = Math.min(deadline, link.readyDeadline);
    }
    return deadline;
  }

  /** Stops what has run out of time. */
  expire(): void {
    const now = performance.now();
    if (this.#timed.size > 0) {
      for (const task of [...this.#timed]) {
        if (task.extras!.deadline <= now) this.#runOut(task);
      }
    }
    for (const link of this.#links) {
      if (!link.isReady && link.readyDeadline <= now) {
        this.#onFailure(link, new Error("it did not get ready in time"));
      }
    }
    if (this.#leaveDeadline <= now) this.#leaveBehind();
  }

  #startClock(task: Task, startedAt: number): void {
    const { extras } = task;
    if (extras === undefined || extras.timeoutMs === Infinity) return;
    // By the wall clock, which both threads share: the message may have waited.
    const left = Math.max(0, extras.timeoutMs - (Date.now() - startedAt));
    extras.deadline = performance.now() + left;
    this.#timed.add(task);
    if (left <= LONGEST_TIMER_MS) {
      extras.timer = setTimeout(() => this.#runOut(task), left);
    }
  }

  #runOut(task: Task): void {
    const ms = task.extras!.timeoutMs;
    this.#stop(task, () => {
      task.future.setException(
        new TimeoutError(
          `Cannot go on with the task as it ran for more than ${ms} ms: it was stopped; allow it more time`,
        ),
      );
    });
  }

  // ------------------------------------------------------------- results

  hasMail(): boolean {
    for (const link of this.#links) if (!link.reader.isEmpty()) return true;
    for (const link of this.#aside.keys()) {
      if (!link.reader.isEmpty()) return true;
    }
    return false;
  }

  drain(): boolean {
    let any = false;
    for (const link of this.#links) any = this.#drainOne(link) || any;
    for (const link of this.#aside.keys()) any = this.#drainOne(link) || any;
    return any;
  }

  #drainOne(link: WorkerLink): boolean {
    const { reader } = link;
    for (let n = 0; n < MOST_IN_A_ROW; n++) {
      const message = reader.next();
      if (message === undefined) return n > 0;
      this.#handle(link, message);
    }
    return true;
  }

  #handle(link: WorkerLink, message: Received): void {
    switch (message.kind) {
      case Kind.RETURNED:
      case Kind.THREW:
      case Kind.CHUNK_THREW:
        return this.#settle(link, message);
      case Kind.READY:
        link.isReady = true;
        return;
      case Kind.STARTED:
        return this.#onStarted(link, message);
      case Kind.WANTS_MOVED:
        return this.#sendMoved(link, message);
      case Kind.UNFIT:
        return this.#onUnfit(link, message);
      case Kind.DIED:
        return this.#onDied(link, message);
      case Kind.GONE:
        return this.#onGone(link);
      case Kind.TAKEN:
        if (this.#pending === 0) this.#queue.rest();
        return;
    }
  }

  #settle(link: WorkerLink, message: Received): void {
    link.takenIn++;
    const task = this.#tasks[message.task];
    if (task === undefined) return; // failed with the pool
    const { future, isChunk } = task;
    let outcome: unknown;
    let kind = message.kind;
    try {
      outcome = readPayload(message);
      if (isChunk && kind !== Kind.THREW) {
        outcome = readChunk(outcome, kind === Kind.CHUNK_THREW);
      }
    } catch (error) {
      kind = Kind.THREW;
      outcome = error instanceof SerializationError
        ? error
        : new SerializationError(
          `Cannot read the result that worker "${link.name}" sent: ${
            String(error)
          }`,
          { cause: error },
        );
    }
    this.#forget(task);
    if (kind === Kind.THREW) future.setException(outcome);
    else future.setResult(outcome);
  }

  #onStarted(link: WorkerLink, message: Received): void {
    // The place of a stopped task may have a new owner by now.
    if (this.#aside.has(link)) return;
    const task = this.#tasks[message.task];
    if (task !== undefined) {
      this.#startClock(task, readPayload(message) as number);
    }
  }

  #sendMoved(link: WorkerLink, message: Received): void {
    if (this.#aside.has(link)) return;
    const { extras } = this.#tasks[message.task] ?? {};
    if (extras === undefined) return;
    link.sendMoved(extras.moved);
    extras.moved = [];
  }

  // ------------------------------------------------------------- workers

  /** Starts workers until there is one for every task that waits, or no more may be. */
  #staff(): void {
    if (this.#state !== "open" && this.#state !== "shut") return;
    while (
      this.#links.size < this.#options.maxWorkers &&
      this.#pending - this.#unread() > this.#links.size
    ) {
      if (!this.#start()) return;
    }
  }

  /** How many outcomes lie there and were not taken in: their workers are idle. */
  #unread(): number {
    let unread = 0;
    for (const { reader, takenIn } of this.#links) {
      unread += reader.finished - takenIn;
    }
    return unread;
  }

  /** Starts a worker; where none can run, the pool is broken. */
  #start(): boolean {
    try {
      const { control, chunks } = this.#queue;
      const link = this.#options.start({
        number: this.#nextWorker++,
        control,
        bell: bell.words,
        chunks: chunks.messages(),
        posted: Atomics.load(control, Control.POSTED),
        onFailure: (link, error) => this.#onFailure(link, error),
      });
      link.reader.taken = Atomics.load(control, Control.POSTED);
      this.#links.add(link);
      bell.add(this);
      this.#keepAlive();
      return true;
    } catch (error) {
      if (this.#links.size === 0) {
        this.#break(`no worker could be started: ${describe(error)}`, error);
      }
      return false;
    }
  }

  #keepAlive(): void {
    if (this.#pending === 0 || this.#keeper !== undefined) return;
    for (const link of this.#links) {
      link.setRef(true);
      this.#keeper = link;
      return;
    }
  }

  /** Takes a worker out of those that can be counted on. */
  #remove(link: WorkerLink): boolean {
    if (!this.#links.delete(link)) return false;
    if (this.#keeper === link) {
      link.setRef(false);
      this.#keeper = undefined;
      this.#keepAlive();
    }
    return true;
  }

  #onUnfit(link: WorkerLink, message: Received): void {
    const cause = readPayload(message);
    this.#remove(link);
    link.end();
    this.#break(
      `the initializer of worker "${link.name}" failed: ${describe(cause)}`,
      cause,
    );
    this.#endIfLast();
  }

  #onDied(link: WorkerLink, message: Received): void {
    const [why, cause] = readPayload(message) as [string, unknown];
    this.#lose(link, message.task, why, cause);
  }

  /** A worker failed and could not say so itself: its module did not load, say. */
  #onFailure(link: WorkerLink, error: unknown): void {
    if (!this.#links.has(link) && !this.#aside.has(link)) return;
    this.drain();
    if (!link.isReady) {
      // Another one would fail as well, and so on without end.
      this.#remove(link);
      link.end();
      this.#break(
        `worker "${link.name}" failed: ${describe(error)}`,
        error,
      );
      return this.#endIfLast();
    }
    this.#lose(link, this.#taskOf(link), `failed: ${describe(error)}`, error);
  }

  #taskOf(link: WorkerLink): number {
    const running = State.RUNNING + (link.number << State.SHIFT);
    const task = this.#tasks.find((task) => task?.state === running);
    return task?.index ?? NO_TASK;
  }

  /** A worker is dead: its task fails with it, or all do. */
  #lose(link: WorkerLink, index: number, why: string, cause: unknown): void {
    if (this.#aside.has(link)) return this.#onGone(link);
    if (!this.#remove(link)) return;
    link.end();
    // A sleeper's wake-up may have gone to the dead.
    this.#queue.wakeAll();
    const task = index === NO_TASK ? undefined : this.#tasks[index];
    const during = task === undefined
      ? "while it was idle"
      : `while it ran "${task.registration.name}"`;
    why = `worker "${link.name}" ${why} ${during}`;
    if (this.#options.onWorkerDeath === "break") this.#break(why, cause);
    else if (task !== undefined) {
      this.#forget(task);
      task.future.setException(
        new this.#options.Broken(
          `${NO_OUTCOME} as ${why}; other tasks go on, submit this one again if it may run twice`,
          toInit(cause),
        ),
      );
    }
    this.#staff();
    this.#endIfLast();
  }

  #onGone(link: WorkerLink): void {
    const task = this.#aside.get(link);
    if (task !== undefined) {
      this.#aside.delete(link);
      this.#release(task);
    } else this.#remove(link);
    link.end();
    this.#endIfLast();
  }

  // -------------------------------------------------------------- endings

  /**
   * Fails all that is pending, each with an error of its own, and takes no
   * more. One error for all would grow with each that throws it (CPython 101267).
   */
  #break(why: string, cause: unknown): void {
    if (this.#reason !== undefined) return;
    this.#reason = { why, cause };
    if (this.#state === "open") this.#state = "broken";
    for (const task of this.#tasks.slice()) {
      if (task === undefined) continue;
      const fail = () =>
        task.future.setException(this.#brokenError(NO_OUTCOME));
      this.#stop(task, fail);
      if (this.#tasks[task.index] !== task) continue;
      this.#forget(task); // its outcome was on the way
      fail();
    }
    if (this.#pending === 0 && this.#state === "broken") this.#end();
  }

  #brokenError(what: string): BrokenExecutor {
    const { why, cause } = this.#reason!;
    return new this.#options.Broken(
      `${what} as the pool is broken: ${why}; make a new one`,
      toInit(cause),
    );
  }

  /** Takes no more calls; ends the workers when all is done. */
  shutdown(cancelFutures: boolean): void {
    if (this.#state === "open") this.#state = "shut";
    if (cancelFutures) {
      for (const task of this.#tasks.slice()) task?.future.cancel();
    }
    if (this.#pending === 0 && this.#state === "shut") this.#end();
  }

  /** Resolves once nothing is pending and every worker is gone. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Blocks until nothing is pending and every worker is gone. */
  blockUntilEnded(): void {
    bell.block(Infinity, () => this.#state === "ended");
  }

  #end(): void {
    this.#state = "ending";
    this.#queue.close();
    if (this.#links.size > 0) {
      this.#leaveDeadline = performance.now() + LEAVE_MS;
      // Keeps the process alive meanwhile: a caller may be waiting for the end.
      this.#leaveTimer = setTimeout(() => this.#leaveBehind(), LEAVE_MS);
    }
    this.#endIfLast();
  }

  #endIfLast(): void {
    if (this.#aside.size === 0 && this.#links.size === 0) bell.remove(this);
    if (this.#state !== "ending" || this.#links.size > 0) return;
    this.#state = "ended";
    clearTimeout(this.#leaveTimer);
    this.#leaveDeadline = Infinity;
    this.#ended.resolve();
  }

  /** Goes on without workers that do not leave: a stray callback blocks them. */
  #leaveBehind(): void {
    for (const link of this.#links) {
      this.#links.delete(link);
      link.setRef(false);
      link.sendStop();
    }
    this.#endIfLast();
  }

  // ---------------------------------------------------------------- memory

  #postChunk(message: ChunkMessage): void {
    for (const link of this.#links) link.postChunk(message);
    // A sleeper would hold on to what is dropped.
    if ("drop" in message) this.#queue.wakeAll();
  }

  #allTaken(): boolean {
    const posted = Atomics.load(this.#queue.control, Control.POSTED);
    let all = true;
    for (const { reader } of this.#links) all &&= reader.taken === posted;
    if (!all) this.#queue.wakeAll();
    return all;
  }
}

/** Returns what only some tasks have, where this one has any of it. */
function makeExtras(
  payload: Payload,
  request: TaskRequest | undefined,
): TaskExtras | undefined {
  const timeoutMs = request?.timeoutMs ?? Infinity;
  if (
    timeoutMs === Infinity && payload.moved.length === 0 &&
    request?.signal === undefined
  ) return undefined;
  return {
    timeoutMs,
    deadline: Infinity,
    timer: undefined,
    forgetSignal: undefined,
    moved: payload.moved,
  };
}

function readPayload({ format, text, buffers, moved }: Received): unknown {
  return decodeValue(format, text, buffers, moved);
}

function readChunk(
  outcome: unknown,
  hasThrown: boolean,
): ChunkOutcome<unknown> {
  if (!hasThrown) return { values: outcome as unknown[] };
  const [values, error] = outcome as [unknown[], unknown];
  return { values, thrown: [error] };
}

function toInit(cause: unknown): ErrorOptions | undefined {
  return cause === undefined ? undefined : { cause };
}

function describe(error: unknown): string {
  return error instanceof Error
    ? `${error.name}: ${error.message}`
    : String(error);
}
