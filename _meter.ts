/**
 * Counts a pool's tasks, times them, and tells who observes them.
 *
 * @module
 */

import { wallClockMs } from "./_clock.ts";
import { TimeHistogram } from "./_histogram.ts";
import type { TaskEnd, TaskObserver } from "./_observer.ts";
import type { RunTimes } from "./_run_times.ts";
import { Sampler, type TaskSampler } from "./_sampler.ts";
import type { TaskCounts, TimeStats } from "./stats.ts";

/** What is known of the times of a task that is timed. */
export interface Timing {
  readonly submitMs: number;
  /** For how many tasks it stands; 0 for one that is observed alone. */
  readonly weight: number;
  /** What the worker said at the end: when the task started and ended. */
  run: RunTimes | undefined;
  /** When it started, where the worker said so at once. */
  startMs: number | undefined;
  /** The worker that ran it. */
  worker: string | undefined;
  /** Told how it ended. */
  readonly tell: readonly ((end: TaskEnd) => void)[];
}

type Outcome = TaskEnd["outcome"];

/** Whose tasks a meter counts. */
export interface MeterOptions {
  readonly observers: readonly TaskObserver[];
  /** Says which tasks are timed where nobody observes them. */
  readonly sampler?: TaskSampler;
}

/** Counts and times the tasks of a pool. */
export class Meter {
  readonly #observers: readonly TaskObserver[];
  readonly #sampler: TaskSampler;
  readonly #queueTime = new TimeHistogram();
  readonly #runTime = new TimeHistogram();
  readonly #ended: Record<Outcome, number> = {
    finished: 0,
    failed: 0,
    cancelled: 0,
  };

  constructor({ observers, sampler = new Sampler() }: MeterOptions) {
    this.#observers = observers;
    this.#sampler = sampler;
  }

  /** Counts a task that begins its life; returns its times, where it is to be timed. */
  begin(name: string): Timing | undefined {
    const weight = this.#sampler.take();
    if (weight === 0 && this.#observers.length === 0) return undefined;
    const submitMs = wallClockMs();
    const tell = this.#observers.map((observer) =>
      guard(() => observer.begin(name, submitMs)) ?? ignore
    );
    return {
      submitMs,
      weight,
      run: undefined,
      startMs: undefined,
      worker: undefined,
      tell,
    };
  }

  /** Counts a task that has ended. */
  end(
    timing: Timing | undefined,
    outcome: Outcome,
    error?: unknown,
  ): void {
    this.#ended[outcome]++;
    if (timing === undefined) return;
    this.#record(timing);
    const { run, worker, tell } = timing;
    if (tell.length === 0) return;
    const startMs = run?.startMs ?? timing.startMs;
    const endMs = run?.endMs ?? wallClockMs();
    const end: TaskEnd = { outcome, error, worker, startMs, endMs };
    for (const one of tell) guard(() => one(end));
  }

  #record({ submitMs, weight, run }: Timing): void {
    if (weight === 0 || run === undefined) return;
    const { startMs, endMs } = run;
    // The clocks of two threads may differ by a little.
    this.#queueTime.record(Math.max(0, startMs - submitMs), weight);
    this.#runTime.record(Math.max(0, endMs - startMs), weight);
  }

  /** How many tasks ended which way, with those that have not. */
  counts(queued: number, running: number): TaskCounts {
    const { finished, failed, cancelled } = this.#ended;
    const submitted = queued + running + finished + failed + cancelled;
    return { submitted, queued, running, finished, failed, cancelled };
  }

  /** How long tasks waited, and how long they ran. */
  times(): { queueTime: TimeStats; runTime: TimeStats } {
    return {
      queueTime: this.#queueTime.summarize(),
      runTime: this.#runTime.summarize(),
    };
  }
}

/** Who observes is not to come between a task and its future. */
function guard<T>(observe: () => T): T | undefined {
  try {
    return observe();
  } catch (error) {
    // deno-lint-ignore no-console -- there is nobody else to tell
    console.error("Cannot tell an observer of a task:", error);
    return undefined;
  }
}

function ignore(): void {}
