/**
 * The time limits of tasks that have started.
 *
 * A timer ends a task while the event loop turns; while this thread blocks the
 * bell asks for the next deadline instead (`_bell.ts`).
 *
 * @module
 */

import { LONGEST_TIMER_MS } from "./_options.ts";
import type { Task } from "./_task.ts";

/** The time limits of a pool's tasks. */
export class TimeLimits {
  readonly #tasks = new Set<Task>();
  readonly #onExpired: (task: Task) => void;

  /** @param onExpired Called with each task whose time has run out. */
  constructor(onExpired: (task: Task) => void) {
    this.#onExpired = onExpired;
  }

  /** Starts the clock of a task that started at `startedAt`, by `Date.now()`; it may start again. */
  start(task: Task, startedAt: number): void {
    const { extras } = task;
    if (extras === undefined || extras.timeoutMs === Infinity) return;
    // By the wall clock, which both threads share: the news may have waited.
    const left = Math.max(0, extras.timeoutMs - (Date.now() - startedAt));
    extras.deadline = performance.now() + left;
    this.#tasks.add(task);
    clearTimeout(extras.timer);
    if (left <= LONGEST_TIMER_MS) {
      extras.timer = setTimeout(() => this.#onExpired(task), left);
    }
  }

  /** Stops the clock of a task. */
  stop(task: Task): void {
    clearTimeout(task.extras?.timer);
    this.#tasks.delete(task);
  }

  /** When the next one runs out, by `performance.now()`. */
  get deadline(): number {
    let deadline = Infinity;
    for (const { extras } of this.#tasks) {
      deadline = Math.min(deadline, extras!.deadline);
    }
    return deadline;
  }

  /** Ends what has run out of time by `now`. */
  expire(now: number): void {
    for (const task of [...this.#tasks]) {
      if (task.extras!.deadline <= now) this.#onExpired(task);
    }
  }
}
