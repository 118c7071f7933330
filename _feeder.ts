/**
 * Feeds one worker process: claims tasks for it, sends them, and tells the
 * owner what came of them. To the owner it is a worker like any other.
 *
 * ```text
 * starting -- "serving" --> serving ------ a task was stopped, the pool closes ------> leaving
 *     | ^                      |                                                          |
 *     | +-- it has run as many tasks as it may: another process takes its place           |
 *     |                        |                                                          |
 *     +-- fault, exit ---------+------------------------------------------> gone <--------+
 * ```
 *
 * Where a process is quick, tasks are sent ahead, so that it need not wait for
 * the next one (`_ahead_window.ts`). They are called back as soon as another
 * process has nothing to do, or one proves to be slow (`_manager.ts`).
 *
 * INVARIANT: `#tasks` are the tasks without an outcome in the order in which
 * they were sent. The first has begun, for all that is known here, and its
 * STATE is RUNNING; the others' is SENT, until they move up or are called back.
 *
 * @module
 */

import { AheadWindow } from "./_ahead_window.ts";
import { ring } from "./_bell.ts";
import { Child, type ChildSink } from "./_child.ts";
import { ChunkTable } from "./_chunks.ts";
import { encodeValue, type Payload } from "./_codec.ts";
import { MICROS } from "./_clock.ts";
import { describeError } from "./_describe.ts";
import {
  describeExit,
  type Exit,
  likelyCause,
  quoteLastLines,
} from "./_exit.ts";
import { Control, Flag, Kind, NO_TASK, Record, State } from "./_layout.ts";
import type { ChildStart, ManagerBoot } from "./_manager_protocol.ts";
import {
  AHEAD_BYTES,
  FrameError,
  type FromChild,
  INTERRUPTS,
  makeHeader,
  type OutcomeTag,
  type PayloadShape,
  PROTOCOL_VERSION,
} from "./_process_protocol.ts";
import { receive } from "./_receive.ts";
import { ResultWriter, type Staged } from "./_result_ring.ts";
import { encodeTimes } from "./_run_times.ts";
import {
  moveState,
  runningState,
  sentState,
  TaskSource,
} from "./_task_queue.ts";
import { encodeReason } from "./_task_runner.ts";
import { type Entry, TaskSender } from "./_task_sender.ts";
import { SerializationError } from "./errors.ts";

/** What a feeder needs of its manager. */
export interface FeederHost {
  readonly boot: ManagerBoot;
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly bell: Int32Array<SharedArrayBuffer>;
  /** Starts a process. */
  spawn(): Deno.ChildProcess;
  /** Takes tasks that were not begun, to be given to anybody. */
  takeBack(entries: readonly Entry[]): void;
  /** There may be tasks to give, or somebody to give them to. */
  onChange(): void;
  onGone(feeder: Feeder): void;
}

type Phase = "starting" | "serving" | "leaving" | "gone";

const KINDS: Readonly<Record<OutcomeTag, number>> = {
  returned: Kind.RETURNED,
  threw: Kind.THREW,
  part: Kind.CHUNK_THREW,
};

const COPY = { canMove: false };

/** How long a process may take to be ready: it loads and compiles its modules meanwhile. */
const START_MS = 20_000;

/** How long a process may take to answer a recall before it is killed. */
const RECALL_MS = 10_000;

/**
 * How often a process that was interrupted while it started is started again.
 * Not for ever: it may be sent that signal each time.
 */
const MOST_RESTARTS = 2;

/** A task that was sent. */
interface Sent extends Entry {
  /** Its number, as the process counts. */
  readonly number: number;
  /** Bytes that were sent for it. */
  readonly bytes: number;
}

/** What a process said before it exits. */
interface LastWords {
  readonly kind: number;
  readonly shape: PayloadShape;
  readonly bytes: Uint8Array;
}

/** Feeds one process. */
export class Feeder implements ChildSink {
  readonly number: number;
  readonly #host: FeederHost;
  readonly #chunks: ChunkTable;
  readonly #source: TaskSource;
  readonly #results: ResultWriter;
  readonly #running: number;
  readonly #sent: number;
  /** How many messages about chunks the owner knows to be taken in. */
  #toldTaken: number;
  #child!: Child;
  #sender!: TaskSender;
  /** Processes that were replaced and have not exited. */
  readonly #dismissed = new Set<Child>();

  #phase: Phase = "starting";
  /** Whether the process has said hello, and that it serves. */
  #isGreeted = false;
  #isServing = false;
  /** Whether it was told to end, or killed: then its exit is no death. */
  #isEnding = false;
  /** Whether the pool cannot go on for what it sent. */
  #isBroken = false;
  #lastWords: LastWords | undefined;
  /** Tells the owner how it ended. */
  #tellEnd: (() => void) | undefined;
  #startTimer: ReturnType<typeof setTimeout> | undefined;
  /** How often it was started again and did not say hello. */
  #restarts = 0;

  #tasks: Sent[] = [];
  /** Number of the next task that is sent. */
  #next = 0;
  /** Number of the last task whose start was told, and of that whose times were. */
  #started = -1;
  #timed = -1;
  /** Tasks that it may still be given. */
  #quota = 0;

  readonly #window = new AheadWindow();
  #aheadBytes = 0;
  /** Whether the owner waits for the answer to a recall. */
  #isWanted = false;
  /** Set while a recall has no answer. */
  #recallTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(start: ChildStart, host: FeederHost) {
    const { number, ring, port, chunks, posted } = start;
    this.number = number;
    this.#running = runningState(number);
    this.#sent = sentState(number);
    this.#host = host;
    const mail = chunks.slice();
    this.#chunks = new ChunkTable(() => mail.shift() ?? receive(port));
    this.#chunks.update();
    // Those that came with the start were counted by the owner already.
    this.#chunks.taken += posted - chunks.length;
    this.#toldTaken = posted;
    this.#source = new TaskSource(host.control, this.#chunks, number);
    this.#results = new ResultWriter(
      ring,
      (message, transfer) => port.postMessage(message, transfer),
    );
  }

  /** Starts a process. */
  begin(): void {
    this.#phase = "starting";
    this.#isGreeted = this.#isServing = false;
    this.#next = 0;
    this.#started = this.#timed = -1;
    this.#quota = this.#host.boot.maxTasks;
    this.#window.close();
    try {
      this.#child = new Child(this.#host.spawn(), this);
    } catch (error) {
      const why = `could not be started: ${describeError(error)}`;
      const reason = encodeReason(why, error, COPY);
      this.#tellEnd = () => this.#tell(Kind.BROKE, NO_TASK, reason);
      return this.#goAway();
    }
    this.#sender = new TaskSender(this.#child, this.#chunks);
    this.#sender.begin(this.#host.boot.initializer);
    this.#startTimer = setTimeout(
      () => this.#child.fail(`was not ready within ${START_MS} ms`),
      START_MS,
    );
  }

  // ----------------------------------------------------------------- giving

  /** Whether it waits for a task. */
  get isIdle(): boolean {
    return this.#phase === "serving" && !this.#child.hasExited &&
      this.#tasks.length === 0 &&
      this.#recallTimer === undefined;
  }

  /** Whether tasks may be sent ahead. */
  get hasRoom(): boolean {
    const { length } = this.#tasks;
    return this.#phase === "serving" && !this.#child.hasExited &&
      this.#recallTimer === undefined && this.#quota > 0 &&
      length > 0 && this.#window.hasRoom(length) &&
      this.#aheadBytes < AHEAD_BYTES;
  }

  /** How many tasks can be called back now. */
  get ahead(): number {
    return this.#recallTimer === undefined
      ? Math.max(0, this.#tasks.length - 1)
      : 0;
  }

  /** Claims the next task of the queue, if there is one; it will be the one of that order. */
  claim(isAhead: boolean, order: number): Entry | undefined {
    if (!this.#source.claim(isAhead ? this.#sent : this.#running)) return;
    const { chunk, at } = this.#source;
    return { chunk, at, order };
  }

  /** Claims a task that was taken back; returns whether it was not cancelled since. */
  reclaim({ chunk, at }: Entry, isAhead: boolean): boolean {
    const state = isAhead ? this.#sent : this.#running;
    return moveState(chunk, at, State.PENDING, state);
  }

  /** Gives up the claim to a task that cannot be sent ahead. */
  unclaim(entry: Entry): void {
    moveState(entry.chunk, entry.at, this.#sent, State.PENDING);
    notifyState(entry); // an owner may have seen it as sent, and wait for a change
  }

  /** Whether a task may be sent ahead: not one whose time counts, nor a large one. */
  canSendAhead(entry: Entry): boolean {
    const { chunk, at } = entry;
    if ((chunk.words[at + Record.FORMAT] & Flag.WATCHED) !== 0) return false;
    return this.#aheadBytes + this.#sender.weigh(entry) <= AHEAD_BYTES;
  }

  /** Takes a task that was claimed for it; `flush` follows. */
  give(entry: Entry): void {
    this.#quota--;
    this.#send(entry);
  }

  #send(entry: Entry): void {
    const { chunk, at, order } = entry;
    const bytes = this.#sender.weigh(entry);
    const sent = { chunk, at, order, number: this.#next, bytes };
    this.#next = (this.#next + 1) >>> 0;
    if (this.#tasks.push(sent) > 1) this.#aheadBytes += bytes;
    this.#sender.add(entry);
  }

  /** Sends what was given. */
  flush(): void {
    if (this.#sender.flush()) this.#window.onSent();
  }

  /** Calls all back, as the owner wants one of them; nothing is sent ahead for a while. */
  callBack(): void {
    this.#isWanted = true;
    this.recall();
  }

  /** Calls back what waits behind a slow task: its turn is later, or somebody else's. */
  recallIfSlow(): void {
    if (this.#window.isSlow()) this.recall();
  }

  /** Calls all back that can be. */
  recall(): void {
    if (this.ahead === 0) return;
    this.flush();
    this.#child.write(makeHeader("recall", 0));
    this.#recallTimer = setTimeout(
      () => this.#child.fail(`did not answer within ${RECALL_MS} ms`),
      RECALL_MS,
    );
  }

  // ----------------------------------------------------------------- frames

  onFrame(frame: FromChild, bytes: Uint8Array): void {
    // But the reading thread may answer still.
    if (this.#lastWords !== undefined && frame.tag !== "recalled") {
      throw new FrameError(
        `nothing must follow the last words: "${frame.tag}"`,
      );
    }
    switch (frame.tag) {
      case "hello":
        return this.#onHello(frame.version);
      case "serving":
        return this.#onServing();
      case "unfit":
        return this.#onLastWords(Kind.UNFIT, frame, bytes);
      case "died":
        return this.#onLastWords(Kind.DIED, frame, bytes);
      case "started":
        return this.#onStarted(frame.task);
      case "timed":
        return this.#onTimed(frame);
      case "recalled":
        return this.#onRecalled(frame.from, frame.to);
      case "mark":
        throw new FrameError("a mark must come on stderr");
      default:
        return this.#onOutcome(frame, bytes);
    }
  }

  #onHello(version: number): void {
    if (version !== PROTOCOL_VERSION) {
      throw new FrameError(
        `the version must be ${PROTOCOL_VERSION}: received ${version}`,
      );
    }
    if (this.#isGreeted) throw new FrameError(`"hello" must come once`);
    this.#isGreeted = true;
    this.#restarts = 0;
    // An initializer may take as long as it takes.
    if (this.#host.boot.initializer !== undefined) {
      clearTimeout(this.#startTimer);
    }
    this.#tell(Kind.READY, NO_TASK);
  }

  #onServing(): void {
    if (!this.#isGreeted || this.#isServing) {
      throw new FrameError(`"serving" must come once, after "hello"`);
    }
    this.#isServing = true;
    clearTimeout(this.#startTimer);
    if (this.#phase === "starting") this.#phase = "serving";
    this.#tell(Kind.SERVING, NO_TASK);
  }

  #onLastWords(kind: number, shape: PayloadShape, bytes: Uint8Array): void {
    this.#lastWords = { kind, shape, bytes: bytes.slice() };
    this.#child.expectExit("did not exit");
  }

  #onStarted(number: number): void {
    const [first] = this.#tasks;
    if (first?.number !== number) {
      throw new FrameError(
        `the task that starts must be the one sent: received task ${number}`,
      );
    }
    const { chunk: { words }, at } = first;
    // Told once, and to those who wait for it: the ring is not for anybody to fill.
    if ((words[at + Record.FORMAT] & Flag.WATCHED) === 0) return;
    if (this.#started === number) return;
    this.#started = number;
    const now = encodeValue(Date.now(), COPY, "");
    this.#tell(Kind.STARTED, words[at + Record.TASK], now);
  }

  #onTimed(
    { task, startMicros, runMicros }: FromChild & { tag: "timed" },
  ): void {
    const [first] = this.#tasks;
    if (first?.number !== task) {
      throw new FrameError(
        `the times must be those of the task that ends: received task ${task}`,
      );
    }
    const { chunk: { words }, at } = first;
    // Told once, and to those who wait for it, see above.
    if ((words[at + Record.FORMAT] & Flag.TIMED) === 0) return;
    if (this.#timed === task) return;
    this.#timed = task;
    const startMs = startMicros / MICROS;
    const times = encodeTimes(startMs, startMs + runMicros / MICROS);
    const staged = this.#results.stage(times);
    // The bell is rung for the outcome.
    this.#results.send(Kind.TIMED, words[at + Record.TASK], staged);
  }

  #onOutcome(
    frame: FromChild & { tag: OutcomeTag },
    bytes: Uint8Array,
  ): void {
    const [done] = this.#tasks;
    if (done === undefined || done.number !== frame.task) {
      throw new FrameError(
        `an outcome must be that of ${
          done === undefined ? "a task" : `task ${done.number}`
        }: received that of task ${frame.task}`,
      );
    }
    this.#tasks.shift();
    const { chunk, at } = done;
    // ORDER: the STATE first. What is posted for an outcome that is not wanted
    // would be taken for that of the next one.
    if (moveState(chunk, at, this.#running, State.DONE)) {
      this.#tellOutcome(frame, bytes, chunk.words[at + Record.TASK]);
    } else this.#phase = "leaving"; // stopped, as it ended
    this.#moveUp();
    if (this.#phase === "leaving") this.#leave();
    else this.#renewIfDue();
  }

  #tellOutcome(
    frame: FromChild & { tag: OutcomeTag },
    bytes: Uint8Array,
    index: number,
  ): void {
    this.#results.countFinished();
    let kind = KINDS[frame.tag];
    let staged: Staged;
    try {
      staged = this.#stage(frame, bytes);
    } catch (cause) {
      kind = Kind.THREW;
      const error = new SerializationError(
        `Cannot pass on the outcome of the call: ${describeError(cause)}`,
      );
      staged = this.#results.stage(encodeValue(error, COPY, "the error"));
    }
    this.#results.send(kind, index, staged);
  }

  /** The first task has begun, for all that is known here. */
  #moveUp(): void {
    const [first] = this.#tasks;
    if (first !== undefined) {
      const { chunk, at, bytes } = first;
      this.#aheadBytes -= bytes;
      moveState(chunk, at, this.#sent, this.#running);
      notifyState(first); // an owner who wants it back waits for a change
    }
    this.#window.onOutcome(this.#tasks.length);
  }

  #onRecalled(from: number, to: number): void {
    const { length } = this.#tasks;
    const kept = this.#tasks.findIndex(({ number }) => number === from);
    if (
      this.#recallTimer === undefined || to !== this.#next ||
      (kept < 0 && from !== to)
    ) {
      throw new FrameError(
        `tasks must be recalled from what was sent: received ${from} to ${to}`,
      );
    }
    clearTimeout(this.#recallTimer);
    this.#recallTimer = undefined;
    if (this.#isWanted || this.#window.isSlow()) this.#window.close();
    else this.#window.open();
    this.#isWanted = false;
    const recalled = this.#tasks.splice(kept < 0 ? length : kept);
    // What the owner believes to run is not given to another.
    const first = kept === 0 ? recalled.shift() : undefined;
    this.#quota += recalled.length;
    this.#giveBack(recalled);
    if (first !== undefined && stateOf(first) === this.#running) {
      this.#send(first);
      this.flush();
    } else if (first !== undefined) this.#phase = "leaving"; // it was stopped
    if (this.#phase === "leaving") this.#leave();
    else this.#renewIfDue();
    this.#host.onChange();
  }

  /** Makes tasks that were sent ahead pending again. */
  #giveBack(tasks: readonly Sent[]): void {
    const pending = tasks.filter(({ chunk, at, bytes }) => {
      this.#aheadBytes -= bytes;
      return moveState(chunk, at, this.#sent, State.PENDING);
    });
    this.#host.takeBack(pending);
    for (const task of tasks) notifyState(task);
  }

  onPause(): void {
    // Once for all outcomes: each ring wakes an owner who is quick to sleep again.
    ring(this.#host.bell);
    this.#host.onChange();
  }

  // ---------------------------------------------------------------- endings

  /** Ends the process, whose task was stopped or which is not needed; no other task is lost. */
  stop(): void {
    if (this.#phase === "gone") return;
    this.#phase = "leaving";
    this.#leave();
  }

  /**
   * Ends the process as soon as nothing else can be hurt: a task that was sent
   * ahead may have begun just now, when the stopped one was done.
   */
  #leave(): void {
    if (this.#isEnding || this.#recallTimer !== undefined) return;
    if (this.ahead > 0) return this.recall();
    const [first] = this.#tasks;
    if (first === undefined) this.#end();
    else if (stateOf(first) === State.STOPPED) this.kill("SIGKILL");
  }

  /** Has another process take the place of one that has run as many tasks as it may. */
  #renewIfDue(): void {
    if (
      this.#quota > 0 || this.#tasks.length > 0 ||
      this.#recallTimer !== undefined
    ) return;
    const child = this.#child;
    this.#dismissed.add(child);
    child.dismiss(() => {
      this.#dismissed.delete(child);
      if (this.#phase === "gone") this.#goAway();
    });
    this.begin();
  }

  #end(): void {
    this.#isEnding = true;
    this.#child.write(makeHeader("end", 0));
  }

  /** Sends a signal that is to end the process. */
  kill(signal: Deno.Signal): void {
    if (this.#phase === "gone") return;
    this.#phase = "leaving";
    this.#isEnding = true;
    this.#child.kill(signal);
    for (const child of this.#dismissed) child.kill(signal);
  }

  onBroken(): void {
    this.#isBroken = true;
  }

  onExit(exit: Exit): void {
    if (this.#wasInterrupted(exit) && this.#restarts++ < MOST_RESTARTS) {
      clearTimeout(this.#startTimer);
      return this.begin();
    }
    const wasStarting = this.#phase === "starting";
    const [first, ...others] = this.#tasks;
    this.#tasks = [];
    this.#giveBack(others);
    const hasLost = first !== undefined &&
      moveState(first.chunk, first.at, this.#running, State.DONE);
    const index = hasLost ? first.chunk.words[first.at + Record.TASK] : NO_TASK;
    this.#tellEnd = this.#endOf(exit, index, wasStarting);
    this.#goAway();
  }

  /** Whether an interrupt ended it before it could take no notice of that: no fault of its own. */
  #wasInterrupted({ signal, fault }: Exit): boolean {
    return this.#phase === "starting" && !this.#isGreeted &&
      fault === undefined && signal !== null && INTERRUPTS.includes(signal);
  }

  /** Returns what tells the owner of the end. */
  #endOf(exit: Exit, index: number, wasStarting: boolean): () => void {
    const words = this.#lastWords;
    if (words !== undefined) {
      const { kind, shape, bytes } = words;
      return () => this.#tellStaged(kind, index, this.#stage(shape, bytes));
    }
    if (wasStarting || this.#isBroken) {
      return () => this.#tell(Kind.BROKE, index, this.#explain(exit));
    }
    return index !== NO_TASK || !this.#isEnding
      ? () => this.#tell(Kind.DIED, index, this.#explain(exit))
      : () => this.#tell(Kind.GONE, NO_TASK);
  }

  #explain(exit: Exit): Payload {
    const why = `(process ${this.#child.pid}) ${describeExit(exit)}`;
    const cause = likelyCause(exit);
    const likely = cause === "" ? "" : ` (${cause})`;
    const reason = [why, undefined, likely, quoteLastLines(exit)];
    return encodeValue(reason, COPY, "the reason");
  }

  /** Is gone, once the processes that were replaced are. */
  #goAway(): void {
    this.#phase = "gone";
    clearTimeout(this.#startTimer);
    clearTimeout(this.#recallTimer);
    // Its tasks, taken back, need not wait for that.
    if (this.#dismissed.size > 0) return this.#host.onChange();
    // ORDER: before the end is told, as all is closed then.
    this.#results.shutMail();
    this.#chunks.update();
    this.#tellEnd?.();
    this.#host.onGone(this);
  }

  // ----------------------------------------------------------------- telling

  /** Takes in what the owner posted about memory. */
  look(): void {
    const posted = Atomics.load(this.#host.control, Control.POSTED);
    if (this.#phase === "gone" || this.#toldTaken === posted) return;
    this.#chunks.update();
    this.#toldTaken = this.#chunks.taken;
    this.#results.setTaken(this.#toldTaken);
    this.#tell(Kind.TAKEN, NO_TASK);
  }

  #stage(shape: PayloadShape, bytes: Uint8Array): Staged {
    const { format, textBytes, buffers } = shape;
    return this.#results.stageBytes(format, bytes, textBytes, buffers);
  }

  #tell(kind: number, index: number, payload?: Payload): void {
    this.#tellStaged(kind, index, payload && this.#results.stage(payload));
  }

  #tellStaged(kind: number, index: number, staged?: Staged): void {
    this.#results.send(kind, index, staged);
    ring(this.#host.bell);
  }
}

function stateOf({ chunk, at }: Entry): number {
  return Atomics.load(chunk.words, at + Record.STATE);
}

function notifyState({ chunk, at }: Entry): void {
  Atomics.notify(chunk.words, at + Record.STATE);
}
