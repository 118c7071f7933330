/**
 * A worker process as its manager has it: the pipes, the exit.
 *
 * @module
 */

import type { Exit } from "./_exit.ts";
import { type Frame, FrameReader } from "./_frames.ts";
import { LineRelay } from "./_line_relay.ts";
import {
  FrameError,
  type FromChild,
  makeHeader,
  PROTOCOL_VERSION,
  readFromChild,
} from "./_process_protocol.ts";
import { MAIN_STREAM, makeToken, SegmentReader, STREAMS } from "./_segments.ts";

/** How long output may go on after the exit: processes that the child started hold the pipes. */
const DRAIN_MS = 200;

/** How long a mark on stderr is waited for: somebody may have closed it. */
const MARK_MS = 1_000;

/** How long a child that closed a pipe has to exit. */
const EXIT_MS = 100;

/** How long a child that was told to end may take. */
const DISMISS_MS = 1_000;

/** Small parts are written together, up to this size; a larger part is written in such pieces. */
const PIECE_BYTES = 1 << 18;

const encoder = new TextEncoder();

/** Who is told of what a child does. */
export interface ChildSink {
  onFrame(frame: FromChild, bytes: Uint8Array): void;
  /** All that came in one go has been told. */
  onPause(): void;
  /** It sent what it must not; it is being killed. */
  onBroken(): void;
  /** It is gone, and all that it said was told. */
  onExit(exit: Exit): void;
}

/** A worker process. */
export class Child {
  #sink: ChildSink;
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #outputs: SegmentReader;
  readonly #errors: SegmentReader;
  readonly #stdout = new LineRelay(Deno.stdout);
  readonly #stderr = new LineRelay(Deno.stderr);
  readonly #frames = Array.from({ length: STREAMS }, () => new FrameReader());
  #fault: string | undefined;
  #isGone = false;

  /** Parts to write, in order. */
  readonly #parts: Uint8Array[] = [];
  #isWriting = false;

  /** Last mark seen on stderr. */
  #mark = 0;
  #hasMarks = true;
  /** The frame that waits for a mark. */
  #waiting: { frame: FromChild; bytes: Uint8Array } | undefined;
  #waitTimer: ReturnType<typeof setTimeout> | undefined;
  /** What came after it, in the same piece. */
  #held: (() => void)[] = [];
  #resumed = Promise.withResolvers<void>();

  /** Takes charge of a process that was just started, and says hello. */
  constructor(process: Deno.ChildProcess, sink: ChildSink) {
    this.#sink = sink;
    this.#process = process;
    const token = makeToken();
    this.#outputs = new SegmentReader(token, {
      onOutput: (bytes) => this.#inOrder(() => this.#stdout.push(bytes)),
      onFrames: (bytes, stream) =>
        this.#inOrder(() => this.#takeFrames(bytes, this.#frames[stream])),
    });
    const marks = new FrameReader();
    this.#errors = new SegmentReader(token, {
      onOutput: (bytes) => this.#stderr.push(bytes),
      onFrames: (bytes) => {
        marks.push(bytes);
        for (let frame; (frame = marks.next()) !== undefined;) {
          this.#onMark(frame);
        }
      },
    });
    // Deno 2.9.6 writes shared memory as well, whatever the type says.
    const stdin: WritableStream<Uint8Array> = this.#process.stdin;
    this.#input = stdin.getWriter();
    this.#input.closed.catch(() => this.#onInputClosed());
    this.write(makeHeader("hello", 0, PROTOCOL_VERSION, token));
    this.#watch();
  }

  /** Whether it has exited, though what it said last may not have been told. */
  get hasExited(): boolean {
    return this.#isGone;
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Ends a process that has no tasks any more; what it says is not told. */
  dismiss(onExit: () => void): void {
    const timer = setTimeout(() => this.kill("SIGKILL"), DISMISS_MS);
    this.#sink = {
      onFrame: () => {},
      onPause: () => {},
      onBroken: () => {},
      onExit: () => {
        clearTimeout(timer);
        onExit();
      },
    };
    this.write(makeHeader("end", 0));
  }

  /** Sends a signal, unless it is gone. */
  kill(signal: Deno.Signal): void {
    if (this.#isGone) return;
    try {
      this.#process.kill(signal);
    } catch {
      // It exits just now.
    }
  }

  // --------------------------------------------------------------- writing

  /** Writes a frame; its bytes may be shared, and must not change until they are written. */
  write(header: string, bytes: readonly Uint8Array[] = []): void {
    this.#parts.push(encoder.encode(header), ...bytes);
    if (!this.#isWriting) this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    try {
      while (this.#parts.length > 0) await this.#input.write(this.#nextPiece());
    } catch {
      this.#parts.length = 0; // `closed` tells as well
    }
    this.#isWriting = false;
  }

  /** Takes what is written next: small parts together, large ones piece by piece. */
  #nextPiece(): Uint8Array {
    const parts = this.#parts;
    const [first] = parts;
    if (first.length > PIECE_BYTES) {
      parts[0] = first.subarray(PIECE_BYTES);
      return first.subarray(0, PIECE_BYTES);
    }
    let count = 0;
    let length = 0;
    while (
      count < parts.length && length + parts[count].length <= PIECE_BYTES
    ) length += parts[count++].length;
    const piece = new Uint8Array(length);
    let at = 0;
    for (const part of parts.splice(0, count)) {
      piece.set(part, at);
      at += part.length;
    }
    return piece;
  }

  #onInputClosed(): void {
    this.expectExit("closed its stdin");
  }

  // --------------------------------------------------------------- reading

  async #watch(): Promise<void> {
    const ends = Promise.all([this.#readOutput(), this.#readErrors()]);
    const { code, signal } = await this.#process.status;
    this.#isGone = true;
    await within(DRAIN_MS, ends);
    this.#hasMarks = false; // what it said last is told whether or not one is missing
    this.#resume();
    this.#stdout.end();
    this.#stderr.end();
    this.#input.abort().catch(() => {});
    this.#sink.onExit({
      code,
      signal,
      fault: this.#fault,
      lastLines: this.#stderr.lastLines,
    });
  }

  async #readOutput(): Promise<void> {
    try {
      for await (const piece of this.#process.stdout) {
        if (this.#fault !== undefined) continue;
        this.#outputs.push(piece);
        this.#sink.onPause();
        // Nothing more is taken in meanwhile.
        while (this.#waiting !== undefined) await this.#resumed.promise;
      }
      this.#outputs.end();
      this.expectExit("closed its stdout");
    } catch (error) {
      this.#onBadFrame(error);
    }
  }

  async #readErrors(): Promise<void> {
    try {
      for await (const piece of this.#process.stderr) this.#errors.push(piece);
      this.#errors.end();
      this.#hasMarks = false;
      this.#resume();
    } catch (error) {
      this.#onBadFrame(error);
    }
  }

  /** Handles what came once all before it was told. */
  #inOrder(handle: () => void): void {
    if (this.#waiting === undefined) handle();
    else this.#held.push(handle);
  }

  #takeFrames(bytes: Uint8Array, frames: FrameReader): void {
    frames.push(bytes);
    this.#tellFrames(frames);
  }

  #tellFrames(frames: FrameReader): void {
    while (this.#waiting === undefined) {
      const next = frames.next();
      if (next === undefined) return;
      const frame = readFromChild(next.header, next.bytes);
      if (this.#isAhead(frame)) return this.#waitForMark(frame, next.bytes);
      this.#tell(frame, next.bytes);
    }
  }

  #tell(frame: FromChild, bytes: Uint8Array): void {
    // A line that a task has begun and not ended is not held back for longer.
    if ("mark" in frame) {
      this.#stdout.flush();
      this.#stderr.flush();
    }
    this.#sink.onFrame(frame, bytes);
  }

  // ----------------------------------------------------------------- marks

  #waitForMark(frame: FromChild, bytes: Uint8Array): void {
    this.#waiting = { frame, bytes };
    this.#resumed = Promise.withResolvers<void>();
    this.#waitTimer = setTimeout(() => {
      this.#hasMarks = false; // nobody is to pay for it again
      this.#resume();
    }, MARK_MS);
  }

  #onMark({ header, bytes }: Frame): void {
    const frame = readFromChild(header, bytes);
    if (frame.tag !== "mark") {
      throw new FrameError(
        `only marks must come on stderr: received ${JSON.stringify(header)}`,
      );
    }
    this.#mark = frame.mark;
    if (this.#waiting !== undefined && !this.#isAhead(this.#waiting.frame)) {
      this.#resume();
    }
  }

  /** Whether an outcome has overtaken what its task printed on stderr. */
  #isAhead(frame: FromChild): boolean {
    return this.#hasMarks && "mark" in frame && frame.mark !== 0 &&
      ((frame.mark - this.#mark) << 1) > 0; // marks are 31 bits, and wrap
  }

  /** Goes on with the frame that waited for a mark. */
  #resume(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    clearTimeout(this.#waitTimer);
    this.#waiting = undefined;
    const { resolve } = this.#resumed; // the next wait has its own
    try {
      this.#tell(waiting.frame, waiting.bytes);
      // Only the main thread's frames wait.
      this.#tellFrames(this.#frames[MAIN_STREAM]);
      const held = this.#held;
      this.#held = [];
      for (const handle of held) this.#inOrder(handle);
    } catch (error) {
      this.#onBadFrame(error);
    }
    resolve();
    this.#sink.onPause();
  }

  // ---------------------------------------------------------------- faults

  #onBadFrame(error: unknown): void {
    const why = error instanceof FrameError
      ? `sent what it must not: ${error.message}`
      : `could not be understood: ${error}`;
    if (this.#fault === undefined) this.#sink.onBroken();
    this.fail(why);
  }

  /** Kills it unless it exits by itself, in a moment. */
  async expectExit(fault: string): Promise<void> {
    if (!await within(EXIT_MS, this.#process.status)) this.fail(fault);
  }

  /** Kills it for what it did. */
  fail(fault: string): void {
    this.#fault ??= fault;
    this.kill("SIGKILL");
  }
}

/** Waits for a promise, for so long at the most; returns whether it was in time. */
async function within(ms: number, promise: Promise<unknown>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), ms);
  const isInTime = await Promise.race([promise.then(() => true), late]);
  clearTimeout(timer);
  return isInTime;
}
