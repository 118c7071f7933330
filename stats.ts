/**
 * What `stats()` of an executor tells.
 *
 * ```ts
 * import { ThreadPoolExecutor } from "@concurrent/futures";
 * import type { ExecutorStats } from "@concurrent/futures/stats";
 * import { assertEquals } from "@std/assert";
 *
 * await using pool = new ThreadPoolExecutor({ maxWorkers: 1 });
 * await pool.submit(Math.pow, 2, 10);
 * const { tasks, workers }: ExecutorStats = pool.stats();
 * assertEquals([tasks.finished, workers.idle], [1, 1]);
 * ```
 *
 * @module
 */

/** How many tasks of an executor are where. */
export interface TaskCounts {
  /** All that were submitted; a chunk of `map` is one. It is the sum of those below. */
  readonly submitted: number;
  /** Not started, and not cancelled. */
  readonly queued: number;
  /** Started; those too whose outcome lies there and was not taken in. */
  readonly running: number;
  /** Returned. */
  readonly finished: number;
  /** Threw, ran out of time, could not travel, or were lost with a worker. */
  readonly failed: number;
  /** Cancelled while queued, or stopped by a signal. */
  readonly cancelled: number;
}

/** How many workers of an executor do what. */
export interface WorkerCounts {
  /** How many were started so far, replacements included. */
  readonly started: number;
  /** Alive, and running a task. */
  readonly busy: number;
  /** Alive, and without a task; those too that get ready. */
  readonly idle: number;
  /**
   * Set aside because their task was stopped: they run nothing more, and end as
   * soon as their code lets them.
   */
  readonly stopping: number;
}

/** A distribution of times in milliseconds; all are 0 where none was measured. */
export interface TimeStats {
  /** How many times were measured. */
  readonly count: number;
  /** The mean. */
  readonly mean: number;
  /** The shortest. */
  readonly min: number;
  /** Half of them took no longer. */
  readonly p50: number;
  /** 90 % of them took no longer. */
  readonly p90: number;
  /** 99 % of them took no longer. */
  readonly p99: number;
  /** The longest. */
  readonly max: number;
}

/**
 * What an executor has done so far, and does now: plain data, for a log line or
 * a metrics endpoint.
 */
export interface ExecutorStats {
  /** How many tasks are where. */
  readonly tasks: TaskCounts;
  /** How many workers do what. */
  readonly workers: WorkerCounts;
  /** From `submit` to the start, of tasks that have come to an end. */
  readonly queueTime: TimeStats;
  /** From the start to the end in the worker. */
  readonly runTime: TimeStats;
}
