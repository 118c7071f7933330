/**
 * What the main thread of a worker process does: takes frames, runs the tasks
 * in them, writes the outcomes, and sleeps when there is nothing to do.
 *
 * @module
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { aligned, readBuffers, readText } from "./_bytes.ts";
import type { ChildMemory } from "./_child_memory.ts";
import { OutputMarks } from "./_child_output.ts";
import { MICROS, wallClockMs } from "./_clock.ts";
import { type Frame, FrameReader } from "./_frames.ts";
import { Flag, Format, Kind } from "./_layout.ts";
import { type Loaded, Loader } from "./_loader.ts";
import { decodeValue, hasRich, loadRich, type Payload } from "./_payload.ts";
import { isPlain } from "./_plain.ts";
import {
  checkSize,
  type OutcomeTag,
  RUN_NUMBERS,
} from "./_process_protocol.ts";
import type { RichOptions } from "./_rich.ts";
import type { SegmentWriter } from "./_segments.ts";
import { Shelf } from "./_shelf.ts";
import { Sleeper } from "./_sleeper.ts";
import { type RunnerPort, TaskRunner } from "./_task_runner.ts";

/** What `_process_protocol.ts` calls the outcomes. */
const TAGS: Readonly<{ [kind: number]: OutcomeTag }> = {
  [Kind.RETURNED]: "returned",
  [Kind.THREW]: "threw",
  [Kind.CHUNK_THREW]: "part",
};

const NOTHING: readonly never[] = [];

/** A payload in the bytes of a frame. */
interface Part {
  readonly format: number;
  readonly textBytes: number;
  readonly buffers: number;
  readonly bytes: Uint8Array;
  readonly from: number;
  readonly to: number;
}

/** The loop of a worker process. */
export class ProcessLoop implements RunnerPort<number> {
  readonly copy: RichOptions = { canMove: false };
  readonly context = new AsyncLocalStorage<number>();
  readonly #memory: ChildMemory;
  readonly #writer: SegmentWriter;
  readonly #marks: OutputMarks;
  readonly #frames = new FrameReader();
  readonly #definitions = new Shelf<string>();
  readonly #loader = new Loader();
  readonly #runner = new TaskRunner<number>(this);
  readonly #sleeper: Sleeper;
  /** Whether the task that runs is the last of its frame. */
  #isLastOfFrame = false;
  /** When the task that runs began, where it is timed. */
  #startMs: number | undefined;
  /** Number of the next task in the frames. */
  #next = 0;

  constructor(
    memory: ChildMemory,
    stdout: SegmentWriter,
    stderr: SegmentWriter,
  ) {
    this.#memory = memory;
    this.#writer = stdout;
    this.#marks = new OutputMarks(stderr);
    this.#sleeper = new Sleeper(
      memory.words,
      () => memory.isEmpty() && !memory.hasEnded(),
    );
  }

  /** Serves until it is told to end. */
  async run(): Promise<void> {
    while (!this.#runner.isOver) {
      const frame = this.#take();
      if (frame !== undefined) {
        const handled = this.#handle(frame);
        if (handled !== undefined) await handled;
      } else if (this.#memory.hasEnded()) Deno.exit(0);
      else if (!this.#sleeper.nap()) await this.#sleeper.sleep();
      else if (this.#sleeper.isTurnDue()) await this.#sleeper.takeTurn();
    }
  }

  /** Reports an error that nobody caught; the task that left it fails, if it still runs. */
  onStray(what: string, error: unknown): void {
    this.#runner.onStray(what, error);
  }

  // ---------------------------------------------------------------- frames

  #take(): Frame | undefined {
    for (;;) {
      const frame = this.#frames.next();
      if (frame !== undefined) return frame;
      if (this.#memory.isEmpty()) return undefined;
      const { room } = this.#frames;
      if (room !== undefined) this.#frames.fill(this.#memory.takeInto(room));
      else this.#frames.push(this.#memory.take()!);
    }
  }

  #handle({ header, bytes }: Frame): Promise<void> | undefined {
    const [tag, , ...rest] = header;
    switch (tag) {
      case "run":
        return this.#runAll(header as number[], bytes);
      case "define":
        return this.#define(rest[0] as number, bytes);
      case "initialize":
        return this.#initialize(rest as number[], bytes);
      case "serve":
        return void this.#writer.write("serving");
      case "end":
        Deno.exit(0);
    }
  }

  #define(id: number, bytes: Uint8Array): undefined {
    const text = readText(bytes, 0, bytes.length);
    this.#definitions.set(id, text, bytes.length);
  }

  async #initialize(rest: number[], bytes: Uint8Array): Promise<void> {
    const [format, textBytes, buffers, length] = rest;
    const part = { format, textBytes, buffers, bytes, from: 0, to: length };
    if (format === Format.RICH) await this.#loadRich();
    await this.#runner.initialize(this.#loader, {
      definition: readText(bytes, length, bytes.length - length),
      payload: readPayload(part),
    });
    if (!this.#runner.isOver) this.#writer.write("serving");
  }

  // ----------------------------------------------------------------- tasks

  /** Runs the tasks of a frame; returns a promise where not all are over at once. */
  #runAll(
    header: readonly number[],
    bytes: Uint8Array,
    from = 2,
    at = 0,
  ): Promise<void> | undefined {
    for (; from < header.length; from += RUN_NUMBERS) {
      const end = at + header[from + 4];
      const part: Part = {
        format: header[from + 1],
        textBytes: header[from + 2],
        buffers: header[from + 3],
        bytes,
        from: at,
        to: end,
      };
      at = end;
      const task = this.#next;
      this.#next = (this.#next + 1) | 0;
      if (!this.#memory.claim(task)) continue; // recalled
      this.#isLastOfFrame = from + RUN_NUMBERS >= header.length;
      if ((part.format & Flag.WATCHED) !== 0) {
        this.#writer.write("started", task >>> 0);
      }
      this.#startMs = (part.format & Flag.TIMED) === 0
        ? undefined
        : wallClockMs();
      const running = this.#run(task, header[from], part);
      const turn = running === undefined && this.#sleeper.isTurnDue()
        ? this.#sleeper.takeTurn()
        : running;
      if (turn !== undefined) {
        const next = from + RUN_NUMBERS;
        return turn.then(() => this.#runAll(header, bytes, next, end));
      }
      if (this.#runner.isOver) return;
    }
  }

  #run(task: number, id: number, part: Part): Promise<void> | undefined {
    const loaded = this.#loader.get(id);
    const isReady = hasRich() || (part.format & Format.MASK) !== Format.RICH;
    return loaded === undefined || !isReady
      ? this.#runLater(task, id, part)
      : this.#call(loaded, task, part);
  }

  /** Runs a task for which something must be loaded first. */
  async #runLater(task: number, id: number, part: Part): Promise<void> {
    this.#runner.begin(task);
    let loaded: Loaded;
    try {
      const found = this.#loader.get(id) ??
        this.#loader.load(id, this.#definitions.get(id)!);
      loaded = found instanceof Promise ? await found : found;
      if ((part.format & Format.MASK) === Format.RICH) await this.#loadRich();
    } catch (error) {
      await this.#runner.fail(error, "the function");
      return;
    }
    if (this.#runner.isOver) return;
    await this.#call(loaded, task, part);
  }

  #call(loaded: Loaded, task: number, part: Part): Promise<void> | undefined {
    return this.#runner.call(
      task,
      loaded,
      () => readArguments(part),
      (part.format & Flag.CHUNK) !== 0,
    );
  }

  // ------------------------------------------------------------- outcomes

  prepare(value: unknown): Promise<void> | undefined {
    return hasRich() || value === undefined || isSurelyPlain(value)
      ? undefined
      : this.#loadRich();
  }

  /** Without the rich codec not even the error can be told: then stderr must do. */
  async #loadRich(): Promise<void> {
    try {
      await loadRich();
    } catch (error) {
      // deno-lint-ignore no-console -- the manager shows the last lines
      console.error("Cannot load the codec of values:", error);
      Deno.exit(1);
    }
  }

  finish(task: number, kind: number, outcome: Payload): boolean {
    checkSize(outcome, "the outcome of the call");
    this.#tellTimes(task);
    this.#writer.writePayload(TAGS[kind], [task >>> 0], outcome, [
      this.#marks.leave(this.#isLastOfFrame && this.#memory.isEmpty()),
    ]);
    return true;
  }

  #tellTimes(task: number): void {
    if (this.#startMs === undefined) return;
    const startMicros = Math.round(this.#startMs * MICROS);
    const endMicros = Math.round(wallClockMs() * MICROS);
    const runMicros = Math.max(0, endMicros - startMicros);
    this.#writer.write("timed", task >>> 0, startMicros, runMicros);
  }

  setAwaiting(): void {
    // A process is killed for good, whatever it does.
  }

  giveUp(reason: Payload): void {
    this.#writer.writePayload("unfit", [], reason, []);
    Deno.exit(1);
  }

  die(_task: number | undefined, reason: Payload): void {
    this.#writer.writePayload("died", [], reason, []);
    Deno.exit(1);
  }

  leave(): void {
    Deno.exit(0);
  }
}

/** Whether a value is plain; one whose getters throw is left to the rich codec. */
function isSurelyPlain(value: unknown): boolean {
  try {
    return isPlain(value);
  } catch {
    return false;
  }
}

function readPayload(part: Part): Payload {
  const { textBytes, buffers, bytes, from, to } = part;
  const format = part.format & Format.MASK;
  const text = readText(bytes, from, textBytes);
  if (buffers === 0) return { format, text, buffers: NOTHING, moved: NOTHING };
  const source = aligned(bytes.subarray(from, to));
  const copies = readBuffers(source, 0, textBytes, buffers);
  return { format, text, buffers: copies, moved: NOTHING };
}

function readArguments(part: Part): unknown[] {
  const { format, text, buffers, moved } = readPayload(part);
  if (format === Format.EMPTY) return [];
  return decodeValue(format, text, [...buffers], [...moved]) as unknown[];
}
