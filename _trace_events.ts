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
 *                                                     M: names, and the order of rows
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
  /** The kind of event: `X` a slice, `i` an instant, `C` a counter, `M` a name or a place. */
  readonly ph: "X" | "i" | "C" | "M";
  /** Number of the pool. */
  readonly pid: number;
  /** Number of the row in its pool: `pid` is who submits, above it are the workers. */
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

/** By their numbers, so that `_10` comes after `_9`. */
const WORKER_ORDER = new Intl.Collator("en", { numeric: true });

/** Makes events of tasks, in the order of their time. */
export function makeEvents(
  pools: readonly string[],
  tasks: readonly TracedTask[],
  beginMs: number,
): TraceEvent[] {
  const tasksByPool = Map.groupBy(tasks, ({ pool }) => pool);
  const events = pools.flatMap((name, pool) =>
    new PoolEvents(name, pool, tasksByPool.get(pool) ?? [], beginMs).make()
  );
  return events.sort((a, b) => a.ts - b.ts);
}

/** The events of one pool. */
class PoolEvents {
  readonly #name: string;
  readonly #pid: number;
  /** Where it is submitted; as in a system, the main thread has its process' number. */
  readonly #submitThread: number;
  readonly #tasks: readonly TracedTask[];
  readonly #beginMs: number;
  /** Numbers of the workers by their names, in the order of these. */
  readonly #threads: ReadonlyMap<string, number>;

  constructor(
    name: string,
    pool: number,
    tasks: readonly TracedTask[],
    beginMs: number,
  ) {
    this.#name = name;
    this.#pid = pool + 1; // Perfetto takes 0 for the system's idle process
    // Perfetto puts it first. No worker may have it: that one would come first.
    this.#submitThread = this.#pid;
    this.#tasks = tasks;
    this.#beginMs = beginMs;
    const workers = new Set(tasks.map(({ worker }) => worker));
    workers.delete(undefined);
    const names = [...workers as Set<string>].sort(WORKER_ORDER.compare);
    this.#threads = new Map(
      names.map((worker, i) => [worker, this.#submitThread + 1 + i]),
    );
  }

  make(): TraceEvent[] {
    const slices = this.#slices();
    return [
      ...this.#processMeta(),
      ...this.#threadMeta("submit", this.#submitThread),
      ...Array.from(
        this.#threads,
        ([name, tid]) => this.#threadMeta(name, tid),
      ).flat(),
      ...this.#tasks.map((task) => this.#submitted(task)),
      ...slices,
      ...this.#counters(slices),
    ];
  }

  // Without an index `chrome://tracing` has processes and threads in the order of
  // their names: `_10` before `_2`.

  #processMeta(): TraceEvent[] {
    const [pid, tid] = [this.#pid, this.#submitThread];
    return [
      meta("process_name", pid, tid, { name: this.#name }),
      meta("process_sort_index", pid, tid, { sort_index: pid }),
    ];
  }

  #threadMeta(name: string, tid: number): TraceEvent[] {
    return [
      meta("thread_name", this.#pid, tid, { name }),
      meta("thread_sort_index", this.#pid, tid, { sort_index: tid }),
    ];
  }

  #submitted({ name, submitMs, outcome, worker }: TracedTask): TraceEvent {
    return {
      name: worker === undefined ? `${name} (${outcome})` : name,
      cat: "task",
      ph: "i",
      s: "t",
      pid: this.#pid,
      tid: this.#submitThread,
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
      tid: this.#threads.get(worker)!,
      ts,
      dur: Math.max(0, round(this.#micros(endMs) - ts)),
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
      steps.push([ts, -1, 1], [round(ts + dur), 0, -1]);
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
    const [pid, tid] = [this.#pid, this.#submitThread];
    return { name: "tasks", ph: "C", pid, tid, ts, args };
  }

  #micros(ms: number): number {
    return round((ms - this.#beginMs) * 1_000);
  }
}

/** What a viewer is told of a process or a thread. */
function meta(
  name: string,
  pid: number,
  tid: number,
  args: TraceEvent["args"],
): TraceEvent {
  return { name, ph: "M", pid, tid, ts: 0, args };
}

/** To a thousandth, which keeps the text short. */
function round(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
