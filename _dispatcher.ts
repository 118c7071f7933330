/**
 * The owner's side of a pool: turns calls into tasks, starts workers when they
 * are needed, and settles futures with what comes back.
 *
 * ```text
 *   open -- shutdown() --> shut ---- nothing pending ---> ending -- last worker gone --> ended
 *     |                                                     ^
 *     +-- an initializer failed, a worker died ---> broken -+
 *         (under "break"): all that was pending fails
 * ```
 *
 * What breaks a pool that is shut fails what is pending there too; it stays shut.
 *
 * INVARIANT: every pending task has a place in `#tasks`, and leaves it before
 * its future is told, so that a callback finds the pool as it is.
 *
 * How many workers are needed is derived from live counts each time, never from
 * tokens: CPython lost workers that way (issue 115634).
 *
 * @module
 */

import { bell, type Listener } from "./_bell.ts";
import { Callables, type Registration } from "./_callables.ts";
import type { ChunkMessage } from "./_chunks.ts";
import { decodeValue, type Payload } from "./_codec.ts";
import { describeError } from "./_describe.ts";
import { access } from "./_future_access.ts";
import { Control, Flag, Kind, NO_TASK, Record, State } from "./_layout.ts";
import { Meter } from "./_meter.ts";
import type { TaskObserver } from "./_observer.ts";
import { Outbox } from "./_outbox.ts";
import { type Place, writeRecord } from "./_record.ts";
import type { Received } from "./_result_ring.ts";
import { checkTimes } from "./_run_times.ts";
import type { TaskSampler } from "./_sampler.ts";
import { SharedObjects } from "./_shared_objects.ts";
import { Staff } from "./_staff.ts";
import {
  isRunningState,
  isSentState,
  makeExtras,
  Task,
  type TaskOwner,
  type TaskRequest,
} from "./_task.ts";
import { moveState, TaskQueue } from "./_task_queue.ts";
import { TimeLimits } from "./_time_limits.ts";
import { isTransferable } from "./_transferable.ts";
import type { WorkerLink, WorkerStart } from "./_worker_link.ts";
import {
  type BrokenExecutor,
  RuntimeError,
  SerializationError,
  TimeoutError,
} from "./errors.ts";
import type { ChunkOutcome } from "./executor.ts";
import { Future } from "./future.ts";
import type { ExecutorStats, TaskCounts, WorkerCounts } from "./stats.ts";

/** What a pool tells its dispatcher. */
export interface DispatcherOptions {
  /** Who is told of each task. */
  readonly observers: readonly TaskObserver[];
  /** Says which tasks are timed; for tests. */
  readonly sampler?: TaskSampler;
  readonly maxWorkers: number;
  /** Whether one death breaks the pool or costs only the task that ran there. */
  readonly onWorkerDeath: "break" | "replace";
  /** The pool's class of `BrokenExecutor`. */
  readonly Broken: new (message: string, init?: ErrorOptions) => BrokenExecutor;
  /** Starts a worker. */
  start(start: WorkerStart): WorkerLink;
  /** Called once, when every worker is gone. */
  onEnded?(): void;
}

type PoolState = "open" | "shut" | "broken" | "ending" | "ended";

const NO_OUTCOME = "Cannot get the outcome of the call";

/** How long an answer to `callBack` is waited for. */
const CALL_BACK_MS = 2_000;

/** How long the worker that was woken may take to claim the task. */
const DOUBT_MS = 1;

/** How long a worker that can leave may take to do so before it is left behind. */
const LEAVE_MS = 1_000;

/** Messages taken from one worker before the next has its turn. */
const MOST_IN_A_ROW = 4_096;

/** Places in the table of tasks above which it is emptied when nothing is pending. */
const MANY_TASKS = 1_024;

/** The owner's side of a pool. */
export class Dispatcher implements Listener, TaskOwner {
  readonly #options: DispatcherOptions;
  readonly #queue: TaskQueue;
  readonly #shared: SharedObjects;
  /** Whether sleeping workers hold on to objects that are shared no more. */
  #hasUnshared = false;
  /** The functions that workers can look up. */
  readonly callables: Callables;
  #state: PoolState = "open";
  /** Why the pool is broken. */
  #reason: Reason | undefined;

  /** Tasks by their index; the free places are in `#freeIndexes`. */
  readonly #tasks: (Task | undefined)[] = [];
  readonly #freeIndexes: number[] = [];
  #pending = 0;
  readonly #limits = new TimeLimits((task) => this.#runOut(task));

  readonly #outbox = new Outbox();
  readonly #staff = new Staff();
  #nextWorker = 0;
  /** How many workers were started, replacements included. */
  #started = 0;
  readonly #meter: Meter;
  /** Whether the workers were sent a signal that ends them. */
  #isSignalled = false;
  /** Stopped tasks of workers that have many at once: who may still look at their records. */
  readonly #stopped = new Map<number, Task>();
  #nextStop = 0;
  /** Those that did not call tasks back in time, and have not been heard of since. */
  readonly #unresponsive = new Set<WorkerLink>();
  /** Whether workers are to be started as soon as the caller is through. */
  #isRecruiting = false;

  readonly #ended = Promise.withResolvers<void>();
  #leaveTimer: ReturnType<typeof setTimeout> | undefined;
  #leaveDeadline = Infinity;
  /** When to see whether the worker that was woken has come; see `#doubt`. */
  #doubtTimer: ReturnType<typeof setTimeout> | undefined;
  #doubtDeadline = Infinity;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#meter = new Meter(options);
    this.#queue = new TaskQueue({
      post: (message) => this.#postChunk(message),
      allTaken: () => this.#allTaken(),
    });
    this.#shared = new SharedObjects((message) => this.#queue.post(message));
    this.callables = new Callables(this.#queue.chunks, this.#shared);
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
    if (this.#pending++ === 0) this.#staff.keepAlive(true);
    this.#queue.publish(task.chunk, task.at);
    if (this.#queue.wake() > 1) this.#doubt();
    if (request?.signal !== undefined) this.#followSignal(task, request.signal);
    if (this.#pending > this.#staff.size) {
      this.#recruit();
      this.#deliver();
    }
    return future;
  }

  /**
   * Wakes everybody a moment later, if the task is still there. The one that was
   * woken may be held up by a callback that an earlier task left behind, while
   * another sleeps on.
   */
  #doubt(): void {
    if (this.#doubtTimer !== undefined) return;
    this.#doubtDeadline = performance.now() + DOUBT_MS;
    this.#doubtTimer = setTimeout(() => this.#settleDoubt(), DOUBT_MS);
  }

  #settleDoubt(): void {
    clearTimeout(this.#doubtTimer);
    this.#doubtTimer = undefined;
    this.#doubtDeadline = Infinity;
    if (this.#queue.length > 0) this.#queue.wakeAll();
  }

  #makeTask(
    future: Future<unknown>,
    registration: Registration,
    payload: Payload,
    request: TaskRequest | undefined,
  ): Task {
    const rows = request?.rows ?? 0;
    const shared = this.#share(payload.moved);
    if (shared !== undefined) payload = withShared(payload, shared);
    const timing = this.#meter.begin(registration.name);
    const extras = makeExtras(payload, request, shared, timing);
    let format = payload.format;
    if (shared !== undefined) format |= Flag.SHARED;
    if (rows > 0) format |= Flag.CHUNK;
    if (extras !== undefined) {
      if (extras.timeoutMs < Infinity) format |= Flag.WATCHED;
      if (extras.moved.length > 0) format |= Flag.MOVED;
      if (timing !== undefined) format |= Flag.TIMED;
    }
    const index = this.#freeIndexes.at(-1) ?? this.#tasks.length;
    const { chunks } = this.#queue;
    let place: Place;
    try {
      place = writeRecord(chunks, index, registration, payload, format);
    } catch (error) { // for want of memory
      this.#meter.end(timing, "failed", error);
      throw error;
    }
    this.#freeIndexes.pop(); // not before
    registration.users++;
    const task = new Task(this, future, index, registration, place, rows);
    task.extras = extras;
    this.#tasks[index] = task;
    return task;
  }

  /** Tells the workers of objects that need not be moved; returns their numbers. */
  #share(objects: readonly unknown[]): number[] | undefined {
    return objects.length === 0 || objects.some(isTransferable)
      ? undefined
      : objects.map((object) => this.#shared.use(object));
  }

  #followSignal(task: Task, signal: AbortSignal): void {
    const onAbort = () => {
      this.#noteWorker(task);
      if (!this.#stop(task)) return;
      this.#note(task, "cancelled", signal.reason);
      this.#outbox.addCancelled(task.future, signal.reason);
      this.#deliver();
    };
    signal.addEventListener("abort", onAbort, { once: true });
    task.extras!.forgetSignal = () =>
      signal.removeEventListener("abort", onAbort);
  }

  // ----------------------------------------------------- ending one task

  cancelTask(task: Task): boolean {
    if (!this.#takeBack(task)) return false;
    this.#note(task, "cancelled");
    return true;
  }

  /** Takes a task away from the workers; returns whether none had begun it. */
  #takeBack(task: Task): boolean {
    if (task.extras?.isElsewhere && !this.#waitForClaim(task)) return false;
    // Called back, it may be sent ahead again before it is cancelled.
    while (!this.#queue.cancel(task.chunk, task.at)) {
      const { state } = task;
      if (state === State.PENDING) continue; // just now
      if (!isSentState(state) || !this.#callBack(task, state)) return false;
    }
    this.#forget(task);
    return true;
  }

  /** Waits until a worker knows of a task that stands for one elsewhere. */
  #waitForClaim({ chunk: { words }, at }: Task): boolean {
    return Atomics.wait(
      words,
      at + Record.STATE,
      State.PENDING,
      CALL_BACK_MS,
    ) !== "timed-out";
  }

  /**
   * Has a task called back that was sent ahead, and waits for the answer: it is
   * pending then, or has begun. Who answers runs none of the user's code.
   * Returns whether its STATE has changed.
   */
  #callBack(task: Task, state: number): boolean {
    const link = this.#staff.find(state >>> State.SHIFT);
    if (link === undefined || this.#unresponsive.has(link)) return false;
    link.callBack?.([task]);
    const { words } = task.chunk;
    const answer = Atomics.wait(
      words,
      task.at + Record.STATE,
      state,
      CALL_BACK_MS,
    );
    if (answer !== "timed-out") return true;
    this.#unresponsive.add(link);
    return false;
  }

  catchUp(task: Task): void {
    this.#staff.find(task.state >>> State.SHIFT)?.catchUp?.(task);
  }

  /**
   * Ends a task wherever it is; too late is too late. Where it returns `true`
   * the caller tells the future, and delivers.
   */
  #stop(task: Task): boolean {
    if (this.#takeBack(task)) return true;
    return this.#stopRunning(task);
  }

  /** Stops a task that a worker has. */
  #stopRunning(task: Task): boolean {
    const { state } = task;
    // Else its outcome is on the way.
    if (!isRunningState(state) && !isSentState(state)) return false;
    if (!moveState(task.chunk, task.at, state, State.STOPPED)) return false;
    // ORDER: out of the table first, as what is read may break the pool, which
    // forgets all that is in it.
    this.#forget(task, false);
    const link = this.#takeLastWords(state >>> State.SHIFT);
    if (link === undefined) this.#release(task);
    else if (link.stopTask !== undefined) {
      this.#stopped.set(this.#nextStop, task);
      link.stopTask(task, this.#nextStop);
      this.#nextStop = (this.#nextStop + 1) | 0;
    } else this.#staff.setAside(link, task);
    this.#recruitSoon();
    this.#endIfLast(); // it may be that a shutdown waits for nobody else
    return true;
  }

  /**
   * Reads what a worker has told that is to be set aside: it is still good, and
   * its port closes now. It may be that it is gone; then there is nobody to set
   * aside, and nobody whose leave a shutdown could wait for.
   */
  #takeLastWords(number: number): WorkerLink | undefined {
    const link = this.#staff.find(number);
    if (link !== undefined) this.#read(link, Infinity);
    return this.#staff.find(number);
  }

  /** Takes a task out of the table and gives its memory back. */
  #forget(task: Task, isOutOfReach = true): void {
    this.#tasks[task.index] = undefined;
    this.#freeIndexes.push(task.index);
    task.registration.users--;
    if (isOutOfReach) this.#release(task);
    if (task.extras !== undefined) {
      task.extras.forgetSignal?.();
      task.extras.shared?.forEach((id) => this.#shared.release(id));
      this.#limits.stop(task);
    }
    if (--this.#pending === 0) this.#rest();
  }

  /** Takes note of how a task ended, once. */
  #note(
    { extras }: Task,
    outcome: "finished" | "failed" | "cancelled",
    error?: unknown,
  ): void {
    this.#meter.end(extras?.timing, outcome, error);
  }

  /** Takes note of the worker that runs a task, if one does. */
  #noteWorker(
    { extras, state }: Task,
    link: WorkerLink | undefined = isRunningState(state)
      ? this.#staff.find(state >>> State.SHIFT)
      : undefined,
  ): void {
    if (extras?.timing !== undefined && link !== undefined) {
      extras.timing.worker = link.name;
    }
  }

  #release(task: Task): void {
    this.#queue.chunks.release(task.chunk);
    if (task.payload !== undefined) this.#queue.chunks.release(task.payload);
  }

  /** Nothing is pending. */
  #rest(): void {
    this.#staff.keepAlive(false);
    if (this.#tasks.length > MANY_TASKS) {
      this.#tasks.length = this.#freeIndexes.length = 0;
    }
    if (this.#hasUnshared) {
      this.#hasUnshared = false;
      this.#queue.wakeAll();
    }
    this.#queue.rest();
    if (this.#state === "shut" || this.#state === "broken") this.#end();
  }

  // ---------------------------------------------------------- time limits

  /** When there is something to do next, by `performance.now()`. */
  get deadline(): number {
    return Math.min(
      this.#limits.deadline,
      this.#staff.readyDeadline,
      this.#leaveDeadline,
      this.#doubtDeadline,
    );
  }

  /** Does what is due. */
  expire(): void {
    const now = performance.now();
    this.#limits.expire(now);
    for (const link of this.#staff) {
      if (!link.isReady && link.readyDeadline <= now) {
        this.#onFailure(link, new Error("it did not get ready in time"));
      }
    }
    if (this.#leaveDeadline <= now) this.#leaveBehind();
    if (this.#doubtDeadline <= now) this.#settleDoubt();
  }

  #runOut(task: Task): void {
    const ms = task.extras!.timeoutMs;
    this.#noteWorker(task);
    if (!this.#stop(task)) return;
    const error = new TimeoutError(
      `Cannot go on with the task as it ran for more than ${ms} ms: it was stopped; allow it more time`,
    );
    this.#note(task, "failed", error);
    this.#outbox.add(task.future, error, true);
    this.#deliver();
  }

  // ------------------------------------------------------------- results

  hasMail(): boolean {
    if (!this.#outbox.isEmpty) return true;
    for (const { reader } of this.#staff) if (!reader.isEmpty()) return true;
    for (const { reader } of this.#staff.aside) {
      if (!reader.isEmpty()) return true;
    }
    return false;
  }

  drain(): boolean {
    let any = !this.#outbox.isEmpty;
    this.#deliver();
    this.#recruitNow(); // microtasks do not run while this thread blocks
    for (const link of this.#staff) any = this.#drainOne(link) || any;
    for (const link of this.#staff.aside) any = this.#drainOne(link) || any;
    return any;
  }

  #drainOne(link: WorkerLink): boolean {
    let any = false;
    for (let n = 0; n < MOST_IN_A_ROW && this.#read(link, 1); n++) {
      any = true;
      this.#deliver();
    }
    return any;
  }

  /** Tells futures what was decided; callbacks run here and nowhere else. */
  #deliver(): void {
    this.#outbox.deliver();
    this.#leaveBell();
  }

  /** Listens no more once nobody is left to listen to, and all is told. */
  #leaveBell(): void {
    if (this.#staff.isEmpty && this.#outbox.isEmpty) bell.remove(this);
  }

  /** Takes in up to `most` messages, without telling anybody; returns whether there was one. */
  #read(link: WorkerLink, most: number): boolean {
    let n = 0;
    for (; n < most; n++) {
      const message = link.reader.next();
      if (message === undefined) break;
      this.#handle(link, message);
    }
    return n > 0;
  }

  #handle(link: WorkerLink, message: Received): void {
    this.#unresponsive.delete(link);
    switch (message.kind) {
      case Kind.RETURNED:
      case Kind.THREW:
      case Kind.CHUNK_THREW:
        return this.#settle(link, message);
      case Kind.READY:
        if (link.isReady) this.#started++; // a process in the place of another
        link.isReady = true;
        return;
      case Kind.TIMED:
        return this.#onTimed(link, message);
      case Kind.STARTED:
        return this.#onStarted(link, message);
      case Kind.WANTS_MOVED:
        return this.#sendMoved(link, message);
      case Kind.UNFIT:
        return this.#onUnfit(link, message);
      case Kind.DIED:
        return this.#onDied(link, message);
      case Kind.BROKE:
        return this.#onBroke(link, message);
      case Kind.GONE:
        return this.#onGone(link);
      case Kind.SERVING:
        link.isServing = true;
        return;
      case Kind.RELEASED:
        return this.#onReleased(message.task);
      case Kind.TAKEN:
        if (this.#pending === 0) this.#queue.rest();
        else this.#queue.chunks.trim();
        return;
    }
  }

  #settle(link: WorkerLink, message: Received): void {
    link.takenIn++;
    const task = this.#tasks[message.task];
    if (task === undefined) return; // failed with the pool
    const { future, rows } = task;
    let outcome: unknown;
    let kind = message.kind;
    try {
      outcome = readPayload(message);
      if (rows === 0 && kind === Kind.CHUNK_THREW) {
        throw new Error("only a chunk has values before its error");
      }
      if (rows > 0 && kind !== Kind.THREW) {
        const { afterwards } = task.extras ?? {};
        outcome = readChunk(outcome, kind, rows, afterwards);
      }
    } catch (error) {
      kind = Kind.THREW;
      outcome = error instanceof SerializationError
        ? error
        : new SerializationError(
          `Cannot read the result that worker "${link.name}" sent: ${
            describeError(error)
          }`,
          { cause: error },
        );
    }
    this.#forget(task);
    const hasFailed = kind === Kind.THREW;
    this.#noteWorker(task, link);
    if (hasFailed) this.#note(task, "failed", outcome);
    else this.#note(task, "finished");
    this.#outbox.add(future, outcome, hasFailed);
  }

  #onTimed(link: WorkerLink, message: Received): void {
    // The place of a stopped task may have a new owner by now.
    if (this.#staff.isAside(link)) return;
    const timing = this.#tasks[message.task]?.extras?.timing;
    if (timing !== undefined) timing.run = checkTimes(tryPayload(message));
  }

  #onStarted(link: WorkerLink, message: Received): void {
    // The place of a stopped task may have a new owner by now.
    if (this.#staff.isAside(link)) return;
    const task = this.#tasks[message.task];
    if (task !== undefined) {
      const told = tryPayload(message);
      const startMs = typeof told === "number" ? told : Date.now();
      const timing = task.extras?.timing;
      if (timing !== undefined) timing.startMs = startMs;
      this.#limits.start(task, startMs);
    }
  }

  #onReleased(number: number): void {
    const task = this.#stopped.get(number);
    if (task !== undefined) this.#release(task);
    this.#stopped.delete(number);
  }

  #sendMoved(link: WorkerLink, message: Received): void {
    if (this.#staff.isAside(link)) return;
    const { extras } = this.#tasks[message.task] ?? {};
    if (extras === undefined) return;
    link.sendMoved(extras.moved);
    extras.moved = [];
  }

  // ------------------------------------------------------------- workers

  /** Starts workers until there is one for every task that waits, or no more may be. */
  #recruit(): void {
    if (this.#reason !== undefined) return;
    while (
      this.#staff.size < this.#options.maxWorkers &&
      this.#pending - this.#staff.unread > this.#staff.size
    ) {
      if (!this.#start()) return;
    }
  }

  /**
   * Starts workers in place of those set aside, once the caller is through: an
   * abort may be about to cancel the very tasks that they would claim.
   */
  #recruitSoon(): void {
    if (this.#isRecruiting) return;
    this.#isRecruiting = true;
    queueMicrotask(() => this.#recruitNow());
  }

  #recruitNow(): void {
    if (!this.#isRecruiting) return;
    this.#isRecruiting = false;
    this.#recruit();
    this.#deliver();
  }

  /** Starts a worker; where none can run, the pool is broken. */
  #start(): boolean {
    try {
      const { control, chunks } = this.#queue;
      const link = this.#options.start({
        number: this.#nextWorker++,
        control,
        bell: bell.words,
        chunks: [...chunks.messages(), ...this.#shared.messages()],
        posted: Atomics.load(control, Control.POSTED),
        onFailure: (link, error) => this.#onFailure(link, error),
      });
      link.reader.taken = Atomics.load(control, Control.POSTED);
      this.#started++;
      this.#staff.add(link);
      bell.add(this);
      return true;
    } catch (error) {
      if (this.#staff.size === 0) {
        this.#break(
          `no worker could be started: ${describeError(error)}`,
          { cause: error },
        );
      }
      return false;
    }
  }

  #onUnfit(link: WorkerLink, message: Received): void {
    const reason = readReason(message);
    this.#dismiss(link);
    this.#break(
      `the initializer of worker "${link.name}" ${reason.why}`,
      reason,
    );
    this.#endIfLast();
  }

  #onDied(link: WorkerLink, message: Received): void {
    this.#lose(link, message.task, readReason(message));
  }

  /** What a worker met ends the pool, also where one death would not. */
  #onBroke(link: WorkerLink, message: Received): void {
    const reason = readReason(message);
    const task = this.#tasks[message.task];
    if (task !== undefined) this.#noteWorker(task, link);
    this.#dismiss(link);
    this.#break(this.#tellOf(link, reason, message.task), reason);
    this.#endIfLast();
  }

  /** A worker failed and could not say so itself: its module did not load, say. */
  #onFailure(link: WorkerLink, error: unknown): void {
    if (!this.#staff.has(link) && !this.#staff.isAside(link)) return;
    this.#read(link, Infinity);
    if (!link.isReady) {
      // Another one would fail as well, and so on without end.
      this.#dismiss(link);
      this.#break(
        `worker "${link.name}" failed: ${describeError(error)}`,
        { cause: error },
      );
      this.#endIfLast();
    } else {
      const why = `failed: ${describeError(error)}`;
      this.#lose(link, this.#taskOf(link), { why, cause: error });
    }
    this.#deliver();
  }

  #taskOf(link: WorkerLink): number {
    const running = State.RUNNING + (link.number << State.SHIFT);
    const task = this.#tasks.find((task) => task?.state === running);
    return task?.index ?? NO_TASK;
  }

  /** A worker is dead: its task fails with it, or all do. */
  #lose(link: WorkerLink, index: number, reason: Reason): void {
    const wasUsable = this.#staff.has(link);
    const task = index === NO_TASK ? undefined : this.#tasks[index];
    if (!wasUsable && !this.#staff.isAside(link)) return;
    this.#dismiss(link);
    if (task !== undefined) this.#noteWorker(task, link);
    // A sleeper's wake-up may have gone to the dead.
    this.#queue.wakeAll();
    const idle = wasUsable ? " while it was idle" : "";
    const why = this.#tellOf(link, reason, index, idle);
    // One that never got ready would be followed by others without end.
    if (
      wasUsable &&
      (this.#options.onWorkerDeath === "break" || !link.isReady)
    ) {
      this.#break(why, reason);
    } else if (task !== undefined) {
      this.#forget(task);
      const error = new this.#options.Broken(
        `${NO_OUTCOME} as ${why}; other tasks go on, submit this one again if it may run twice${
          reason.details ?? ""
        }`,
        toInit(reason.cause),
      );
      this.#note(task, "failed", error);
      this.#outbox.add(task.future, error, true);
    }
    this.#recruit();
    this.#endIfLast();
  }

  /** Says what became of a worker, and which task it ran. */
  #tellOf(
    link: WorkerLink,
    { why, likely = "" }: Reason,
    index: number,
    idle = "",
  ): string {
    const task = index === NO_TASK ? undefined : this.#tasks[index];
    const during = task === undefined
      ? idle
      : ` while it ran "${task.registration.name}"`;
    const title = link.title ?? `worker "${link.name}"`;
    return `${title} ${why}${during}${likely}`;
  }

  #onGone(link: WorkerLink): void {
    this.#dismiss(link);
    this.#recruit();
    this.#endIfLast();
  }

  /** Frees what is left of a worker that has ended, wherever it was counted. */
  #dismiss(link: WorkerLink): void {
    this.#staff.remove(link);
    this.#unresponsive.delete(link);
    for (const task of this.#staff.forget(link)) this.#release(task);
    // Who has many tasks at once is the only one of its pool.
    for (const number of this.#stopped.keys()) this.#onReleased(number);
    link.end();
  }

  // -------------------------------------------------------------- endings

  /**
   * Fails all that is pending, each with an error of its own, and takes no
   * more. One error for all would grow with each that throws it (CPython 101267).
   */
  #break(why: string, { cause, details }: Omit<Reason, "why">): void {
    if (this.#reason !== undefined) return;
    this.#reason = { why, cause, details };
    if (this.#state === "open") this.#state = "broken";
    for (const task of this.#tasks.slice()) {
      if (task === undefined || this.#tasks[task.index] !== task) continue;
      this.#noteWorker(task);
      // Where it is too late to stop it, its outcome is on the way: not wanted.
      // What was sent ahead need not be called back first: it fails as well.
      if (
        isSentState(task.state) ? !this.#stopRunning(task) : !this.#stop(task)
      ) this.#forget(task);
      const error = this.#brokenError(NO_OUTCOME);
      this.#note(task, "failed", error);
      this.#outbox.add(task.future, error, true);
    }
    if (this.#pending === 0 && this.#state === "broken") this.#end();
  }

  #brokenError(what: string): BrokenExecutor {
    const { why, cause, details = "" } = this.#reason!;
    return new this.#options.Broken(
      `${what} as the pool is broken: ${why}; make a new one${details}`,
      toInit(cause),
    );
  }

  /** Breaks the pool, whose workers were sent a signal that ends them. */
  breakUp(why: string): void {
    if (this.#state === "ended" || this.#state === "ending") return;
    this.#isSignalled = true;
    this.#break(why, { cause: undefined });
    this.#deliver();
  }

  /** Takes no more calls; ends the workers when all is done. */
  shutdown(cancelFutures: boolean): void {
    if (this.#state === "open") this.#state = "shut";
    if (cancelFutures) this.#cancelAll();
    if (this.#pending === 0 && this.#state === "shut") this.#end();
  }

  /** Cancels what has not begun. What is far away is called back in one go, then waited for. */
  #cancelAll(): void {
    const tasks = this.#tasks.filter((task) => task !== undefined);
    const sent = tasks.filter(({ state }) => isSentState(state));
    for (const link of this.#staff) {
      if (link.stopTask !== undefined) link.callBack?.(sent);
    }
    for (const task of tasks) task.future.cancel();
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
    // Who was sent a signal is not told to leave as well: the signal would be late.
    if (!this.#isSignalled) this.#queue.close();
    for (const link of this.#staff) link.leave?.();
    if (!this.#staff.hasLeft) this.#waitForLeave();
    this.#endIfLast();
  }

  #waitForLeave(): void {
    this.#leaveDeadline = performance.now() + LEAVE_MS;
    // Keeps the process alive meanwhile: a caller may be waiting for the end.
    this.#leaveTimer = setTimeout(() => this.#leaveBehind(), LEAVE_MS);
  }

  #endIfLast(): void {
    this.#leaveBell();
    if (this.#state !== "ending" || !this.#staff.hasLeft) return;
    this.#state = "ended";
    clearTimeout(this.#leaveTimer);
    this.#leaveDeadline = Infinity;
    clearTimeout(this.#doubtTimer);
    this.#doubtDeadline = Infinity;
    this.#options.onEnded?.();
    this.#ended.resolve();
  }

  /** Goes on without workers that do not leave: a stray callback holds them up. */
  #leaveBehind(): void {
    this.#staff.leaveBehind(this.#reason !== undefined);
    clearTimeout(this.#leaveTimer);
    if (!this.#staff.hasLeft) this.#waitForLeave();
    this.#endIfLast();
  }

  // ----------------------------------------------------------------- stats

  /** Counts a call that never became a task. */
  countRefused(
    name: string,
    outcome: "failed" | "cancelled",
    error: unknown,
  ): void {
    this.#meter.end(this.#meter.begin(name), outcome, error);
  }

  /** What the pool has done so far, and does now. */
  stats(): ExecutorStats {
    const { tasks, busy } = this.#countTasks();
    const workers: WorkerCounts = {
      started: this.#started,
      busy,
      idle: Math.max(0, this.#staff.size - busy),
      stopping: [...this.#staff.aside].length,
    };
    return { tasks, workers, ...this.#meter.times() };
  }

  /** Counts the tasks, and the workers that run one. */
  #countTasks(): { tasks: TaskCounts; busy: number } {
    let running = 0, busy = 0;
    for (const task of this.#tasks) {
      if (task?.isKnownToRun()) running++;
      if (task !== undefined && isRunningState(task.state)) busy++;
    }
    const queued = this.#pending - running;
    return { tasks: this.#meter.counts(queued, running), busy };
  }

  // ---------------------------------------------------------------- memory

  #postChunk(message: ChunkMessage): void {
    for (const link of this.#staff) link.postChunk(message);
    // A process that is to leave may be given tasks until its manager has heard
    // of it. A thread takes none.
    for (const link of this.#staff.aside) {
      if (link.callBack !== undefined) link.postChunk(message);
    }
    // A sleeper would hold on to what is dropped. What is shared no more can
    // wait until nothing is pending.
    if ("drop" in message) this.#queue.wakeAll();
    if ("unshare" in message) this.#hasUnshared = true;
  }

  #allTaken(): boolean {
    const posted = Atomics.load(this.#queue.control, Control.POSTED);
    const late = [...this.#staff].filter(({ reader }) =>
      reader.taken !== posted
    );
    if (late.length > 0) this.#queue.wakeAll();
    for (const link of late) if (link.isResponsive) link.sendLook();
    return late.length === 0;
  }
}

/** Adds the numbers of shared objects to a payload, in place of the objects. */
function withShared(payload: Payload, shared: number[]): Payload {
  const numbers = new Uint8Array(Int32Array.from(shared).buffer);
  return { ...payload, buffers: [...payload.buffers, numbers], moved: [] };
}

/** Reads what is not worth an error: nothing comes of what cannot be read. */
function tryPayload(message: Received): unknown {
  try {
    return readPayload(message);
  } catch {
    return undefined;
  }
}

function readPayload({ format, text, buffers, moved }: Received): unknown {
  return decodeValue(format, text, buffers, moved);
}

/** Why a worker, or the pool, ends. */
interface Reason {
  /** What happened; for a worker, what it did. */
  readonly why: string;
  readonly cause: unknown;
  /** What the cause may be, in parentheses. */
  readonly likely?: string;
  /** What else is known, for the end of a message. */
  readonly details?: string;
}

function readReason(message: Received): Reason {
  try {
    const reason = readPayload(message);
    if (Array.isArray(reason) && typeof reason[0] === "string") {
      const [why, cause, likely, details] = reason;
      return { why, cause, likely: toText(likely), details: toText(details) };
    }
    return { why: "died and gave no reason that can be read", cause: reason };
  } catch (cause) {
    return { why: "died and gave no reason that can be read", cause };
  }
}

/** What is no text could throw where it becomes part of a message, whoever sent it. */
function toText(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function readChunk(
  outcome: unknown,
  kind: number,
  rows: number,
  afterwards: [error: unknown] | undefined,
): ChunkOutcome<unknown> {
  if (kind === Kind.RETURNED) {
    const values = checkValues(outcome, (count) => count === rows);
    return { values, thrown: afterwards };
  }
  const [values, error] = checkValues(outcome, (count) => count === 2);
  return {
    values: checkValues(values, (count) => count < rows),
    thrown: [error],
  };
}

/** A chunk has as many values as calls, whatever a worker says. */
function checkValues(
  values: unknown,
  isRight: (count: number) => boolean,
): unknown[] {
  if (Array.isArray(values) && isRight(values.length)) return values;
  throw new Error("the values of a chunk must be as many as its calls");
}

function toInit(cause: unknown): ErrorOptions | undefined {
  return cause === undefined ? undefined : { cause };
}
