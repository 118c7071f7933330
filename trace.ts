/**
 * `Trace`: what happened when, to look at in Perfetto or Chrome.
 *
 * ```ts
 * import { ThreadPoolExecutor } from "@concurrent/futures";
 * import { Trace } from "@concurrent/futures/trace";
 * import { assertEquals } from "@std/assert";
 *
 * const trace = new Trace();
 * await using pool = new ThreadPoolExecutor({ maxWorkers: 1, trace });
 * await pool.submit(Math.pow, 2, 10);
 * assertEquals(trace.size, 1);
 * ```
 *
 * @module
 */

import { wallClockMs } from "./_clock.ts";
import { describeError } from "./_describe.ts";
import type { TaskEnd, TaskObserver } from "./_observer.ts";
import { checkCount, checkOptions } from "./_options.ts";
import { traceAccess } from "./_trace_access.ts";
import {
  makeEvents,
  type TracedTask,
  type TraceEvent,
} from "./_trace_events.ts";

export type { TraceEvent };

/** Options of a trace. */
export interface TraceOptions {
  /** Most tasks to take note of, whole and `>= 1`; later ones are counted. Default: 250,000. */
  maxTasks?: number;
}

/** What `JSON.stringify` makes of a trace: the object form of Chrome's trace event format. */
export interface TraceFile {
  /** The events, in the order of time. */
  readonly traceEvents: TraceEvent[];
  /** What the viewer shows times in. */
  readonly displayTimeUnit: "ms";
  /** When the trace began, and how many tasks came when it was full. */
  readonly otherData: { readonly begin: string; readonly dropped: number };
}

const MAX_TASKS = 250_000;

/** Events that are written at a time: about 400 kB. */
const PIECE_EVENTS = 4_096;

/** An error's message in a trace is cut here. */
const MAX_ERROR_LENGTH = 200;

/**
 * Takes note of each task of the pools that are given it: when it was submitted,
 * when it started and ended, in which worker, and how it ended.
 *
 * Chrome's trace event format comes of it, which https://ui.perfetto.dev and
 * `chrome://tracing` open: a row a worker, and a curve of how many tasks wait and
 * run. The Performance panel of Chrome's developer tools has the rows alone.
 *
 * A traced task takes about 160 bytes until the trace is dropped, 450 in the file,
 * and a message of its own from the worker: a stream of no-op calls is about half
 * as fast, at 0.48 of the rate in threads and 0.54 in processes (2026-11-27).
 * A chunk of `map` is one task. A task that was stopped or lost with its worker
 * could not say when it had started; it is shown from when it can have, and says so.
 *
 * Python: none.
 *
 * @example Look at what the workers do
 * ```ts
 * import { ThreadPoolExecutor, Trace } from "@concurrent/futures";
 * import { assertEquals } from "@std/assert";
 *
 * const trace = new Trace();
 * const pool = new ThreadPoolExecutor({ maxWorkers: 2, trace });
 * await Array.fromAsync(pool.map(Math.sqrt, [1, 4, 9]));
 * await pool.shutdown();
 *
 * const file = await Deno.makeTempFile({ suffix: ".json" });
 * await trace.write(file); // open it in https://ui.perfetto.dev
 * const { traceEvents } = JSON.parse(await Deno.readTextFile(file));
 * const slices = traceEvents.filter(({ ph }: { ph: string }) => ph === "X");
 * assertEquals(slices.length, 3);
 * await Deno.remove(file);
 * ```
 */
export class Trace {
  readonly #maxTasks: number;
  readonly #beginMs = wallClockMs();
  readonly #pools: string[] = [];
  readonly #tasks: TracedTask[] = [];
  #dropped = 0;

  static {
    traceAccess.observe = (trace, pool) => (trace as Trace).#observe(pool);
  }

  /**
   * Makes a trace that begins now; give it to pools as their option `trace`.
   *
   * @param options.maxTasks Most tasks to take note of. Default: 250,000.
   * @throws {RangeError} If `maxTasks` is below 1 or not whole.
   * @throws {TypeError} If an option has a wrong type.
   */
  constructor(options?: TraceOptions) {
    const { maxTasks } = checkOptions(options);
    this.#maxTasks = checkCount("maxTasks", maxTasks) ?? MAX_TASKS;
  }

  /** How many tasks it has taken note of. */
  get size(): number {
    return this.#tasks.length;
  }

  /** How many tasks came when it was full. */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * Returns what is known so far as events; tasks that have not ended are only
   * shown as submitted.
   *
   * @returns Events of Chrome's trace event format, in the order of time.
   */
  events(): TraceEvent[] {
    return makeEvents(this.#pools, this.#tasks, this.#beginMs);
  }

  /** Returns what `JSON.stringify` is to write: a whole trace file. */
  toJSON(): TraceFile {
    return {
      traceEvents: this.events(),
      displayTimeUnit: "ms",
      otherData: {
        begin: new Date(this.#beginMs).toISOString(),
        dropped: this.#dropped,
      },
    };
  }

  /**
   * Writes a file for Perfetto or Chrome; takes `--allow-write`.
   *
   * @param path Where to; a file that is there is replaced.
   * @throws {Deno.errors.NotCapable} If the program may not write there.
   * @throws {Error} If the file cannot be written: its folder is not there, say.
   */
  async write(path: string | URL): Promise<void> {
    const text = ReadableStream.from(piecesOf(this.toJSON()));
    await Deno.writeTextFile(path, text);
  }

  #observe(pool: string): TaskObserver {
    const number = this.#pools.push(pool) - 1;
    return { begin: (name, submitMs) => this.#begin(number, name, submitMs) };
  }

  #begin(
    pool: number,
    name: string,
    submitMs: number,
  ): (end: TaskEnd) => void {
    if (this.#tasks.length >= this.#maxTasks) {
      this.#dropped++;
      return ignore;
    }
    const task: TracedTask = {
      pool,
      name,
      submitMs,
      outcome: "pending",
      endMs: Infinity,
    };
    this.#tasks.push(task);
    return ({ outcome, error, worker, startMs, endMs }) => {
      Object.assign(task, { outcome, worker, startMs, endMs });
      if (outcome !== "failed") return;
      // Not the error itself, which may hold on to anything.
      task.error = cut(describeError(error));
    };
  }
}

function ignore(): void {}

/** Cuts a text to length, as a copy: a slice would hold on to the whole (V8 15.0). */
function cut(text: string): string {
  return JSON.parse(JSON.stringify(text.slice(0, MAX_ERROR_LENGTH)));
}

/**
 * The text of a trace file, in pieces: one string cannot hold that of a million
 * tasks with long names, and the program gets its turn between two of them.
 */
function* piecesOf({ traceEvents, ...rest }: TraceFile): Generator<string> {
  yield `{"traceEvents":[`;
  for (let i = 0; i < traceEvents.length; i += PIECE_EVENTS) {
    const text = JSON.stringify(traceEvents.slice(i, i + PIECE_EVENTS));
    yield `${i === 0 ? "" : ","}${text.slice(1, -1)}`;
  }
  yield `],${JSON.stringify(rest).slice(1)}`;
}
