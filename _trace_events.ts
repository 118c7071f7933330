/**
 * Turns what a trace has noted into events of Chrome's trace event format, by
 * its description "Trace Event Format" (docs.google.com, as of 2016-10, the
 * last): what Perfetto and `chrome://tracing` open.
 *
 * ```text
 * process  "ThreadPoolExecutor-0"                     one a pool
 *   counter  queued, running                          C
 *   thread   submit      | | ||  |                    i: an instant a task
 *   thread   worker _0    [isPrime][isPrime]   [sum]  X: a slice a task
 *   thread   worker _1    [isPrime]      [sum]
 * ```
 *
 * @module
 */

/** A task as a trace has noted it. Times are milliseconds since 1970. */
export interface TracedTask {
  /** Number of its pool. */
  readonly pool: number;
  readonly name: string;
  readonly submitMs: number;
  outcome: "pending" | "finished" | "failed" | "cancelled";
  /** The error's class and message, where it failed. */
  error?: string;
  worker?: string;
  startMs?: number;
  endMs: number;
}

/** An event of Chrome's trace event format. */
export interface TraceEvent {
  /** What is shown: a function's name, a counter's. */
  readonly name: string;
  /** The kind of event: `X` a slice, `i` an instant, `C` a counter, `M` a name. */
  readonly ph: "X" | "i" | "C" | "M";
  /** Number of the pool. */
  readonly pid: number;
  /** Number of the worker in its pool; 0 is who submits. */
  readonly tid: number;
  /** When, in microseconds since the trace began. */
  readonly ts: number;
  /** How long, in microseconds. */
  readonly dur?: number;
  /** The category: `task`. */
  readonly cat?: string;
  /** The scope of an instant: its thread. */
  readonly s?: "t";
  /** What is shown beside it. */
  readonly args?: { readonly [name: string]: string | number };
}

const SUBMIT_THREAD = 0;

/** Makes events of tasks, in the order of their time. */
export function makeEvents(
  pools: readonly string[],
  tasks: readonly TracedTask[],
  beginMs: number,
): TraceEvent[] {
  const events = pools.flatMap((name, pool) =>
    new PoolEvents(
      name,
      pool,
      tasks.filter((task) => task.pool === pool),
      beginMs,
    ).make()
  );
  return events.sort((a, b) => a.ts - b.ts);
}

/** The events of one pool. */
class PoolEvents {
  readonly #name: string;
  readonly #pid: number;
  readonly #tasks: readonly TracedTask[];
  readonly #beginMs: number;
  /** Numbers of the workers by their names, in the order of their first task. */
  readonly #threads = new Map<string, number>();

  constructor(
    name: string,
    pool: number,
    tasks: readonly TracedTask[],
    beginMs: number,
  ) {
    this.#name = name;
    this.#pid = pool + 1; // Perfetto takes 0 for the system's idle process
    this.#tasks = tasks;
    this.#beginMs = beginMs;
  }

  make(): TraceEvent[] {
    const slices = this.#slices();
    return [
      this.#meta("process_name", this.#name, SUBMIT_THREAD),
      this.#meta("thread_name", "submit", SUBMIT_THREAD),
      ...Array.from(
        this.#threads,
        ([name, tid]) => this.#meta("thread_name", name, tid),
      ),
      ...this.#tasks.map((task) => this.#submitted(task)),
      ...slices,
      ...this.#counters(slices),
    ];
  }

  #meta(name: string, value: string, tid: number): TraceEvent {
    return { name, ph: "M", pid: this.#pid, tid, ts: 0, args: { name: value } };
  }

  #submitted({ name, submitMs, outcome, worker }: TracedTask): TraceEvent {
    return {
      name: worker === undefined ? `${name} (${outcome})` : name,
      cat: "task",
      ph: "i",
      s: "t",
      pid: this.#pid,
      tid: SUBMIT_THREAD,
      ts: this.#micros(submitMs),
    };
  }

  /** A slice for each task that a worker ran. */
  #slices(): TraceEvent[] {
    const freeMs = new Map<string, number>();
    const slices: TraceEvent[] = [];
    for (const task of this.#tasks.toSorted((a, b) => a.endMs - b.endMs)) {
      const { worker, submitMs, endMs } = task;
      if (worker === undefined) continue;
      // One that was stopped, or lost, could not say when it had started: then
      // it had at the earliest when its worker was free.
      const earliestMs = Math.max(submitMs, freeMs.get(worker) ?? 0);
      const startMs = Math.min(task.startMs ?? earliestMs, endMs);
      freeMs.set(worker, endMs);
      slices.push(this.#slice(task, worker, startMs));
    }
    return slices;
  }

  #slice(task: TracedTask, worker: string, startMs: number): TraceEvent {
    const { name, submitMs, endMs, outcome, error } = task;
    const ts = this.#micros(startMs);
    return {
      name,
      cat: "task",
      ph: "X",
      pid: this.#pid,
      tid: this.#threadOf(worker),
      ts,
      dur: Math.max(0, this.#micros(endMs) - ts),
      args: {
        outcome,
        "queued, ms": round(Math.max(0, startMs - submitMs)),
        ...(error === undefined ? {} : { error }),
        ...(task.startMs === undefined
          ? { start: "not known, see queued" }
          : {}),
      },
    };
  }

  #threadOf(worker: string): number {
    const known = this.#threads.get(worker);
    if (known !== undefined) return known;
    const tid = this.#threads.size + 1;
    this.#threads.set(worker, tid);
    return tid;
  }

  /** How many tasks wait, and how many run, whenever that changes. */
  #counters(slices: readonly TraceEvent[]): TraceEvent[] {
    const steps: [ts: number, queued: number, running: number][] = [];
    for (const { submitMs, worker, outcome, endMs } of this.#tasks) {
      steps.push([this.#micros(submitMs), 1, 0]);
      if (worker === undefined && outcome !== "pending") {
        steps.push([this.#micros(endMs), -1, 0]);
      }
    }
    for (const { ts, dur = 0 } of slices) {
      steps.push([ts, -1, 1], [ts + dur, 0, -1]);
    }
    steps.sort(([a], [b]) => a - b);
    let queued = 0, running = 0;
    return steps.flatMap(([ts, waits, runs], i) => {
      queued += waits;
      running += runs;
      const isLast = steps[i + 1]?.[0] !== ts;
      return isLast ? [this.#counter(ts, queued, running)] : [];
    });
  }

  #counter(ts: number, queued: number, running: number): TraceEvent {
    const args = { queued: Math.max(0, queued), running: Math.max(0, running) };
    return { name: "tasks", ph: "C", pid: this.#pid, tid: 0, ts, args };
  }

  #micros(ms: number): number {
    return round((ms - this.#beginMs) * 1_000);
  }
}

/** To a thousandth, which keeps the text short. */
function round(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
