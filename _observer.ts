/**
 * Who wants to know of each task of a pool: a trace, OpenTelemetry.
 *
 * @module
 */

/** How a task ended. */
export interface TaskEnd {
  readonly outcome: "finished" | "failed" | "cancelled";
  /** What it failed with. */
  readonly error?: unknown;
  /** The worker that ran it; absent where none did. */
  readonly worker?: string;
  /**
   * When it started there, in milliseconds since 1970. Absent where it did not,
   * or where it could not say so: it was stopped, or lost with its worker.
   */
  readonly startMs?: number;
  /** When it ended, in milliseconds since 1970. */
  readonly endMs: number;
}

/** Told of each task of one pool. */
export interface TaskObserver {
  /**
   * Takes note of a task that is being submitted.
   *
   * @param name The name of the function.
   * @param submitMs When, in milliseconds since 1970.
   * @returns What to call once, when the task has ended.
   */
  begin(name: string, submitMs: number): (end: TaskEnd) => void;
}
