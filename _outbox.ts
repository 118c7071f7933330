/**
 * Outcomes that are decided and not told yet.
 *
 * Telling a future runs callbacks, and a callback may do anything: submit,
 * cancel, shut down, block on another future. So a pool first brings its own
 * state to an end, then tells. A callback that blocks goes on telling the rest
 * itself: else it could wait for a future that only the frame below it tells.
 *
 * @module
 */

import { access } from "./_future_access.ts";

/** Tells futures their outcomes, in order. */
export class Outbox {
  #entries: Entry[] = [];
  #next = 0;

  /** Whether all is told. */
  get isEmpty(): boolean {
    return this.#next >= this.#entries.length;
  }

  /** Adds a value, or what was thrown. */
  add(future: object, outcome: unknown, hasFailed: boolean): void {
    this.#entries.push({ future, outcome, hasFailed, isCancelled: false });
  }

  /** Adds a cancellation, with its reason. */
  addCancelled(future: object, reason: unknown): void {
    const hasFailed = true;
    this.#entries.push({
      future,
      outcome: reason,
      hasFailed,
      isCancelled: true,
    });
  }

  /** Tells all there is; what callbacks add as well. */
  deliver(): void {
    while (!this.isEmpty) {
      const { future, outcome, hasFailed, isCancelled } =
        this.#entries[this.#next++];
      if (this.isEmpty) { // before the callback runs: it may add and deliver
        this.#entries = [];
        this.#next = 0;
      }
      if (isCancelled) access.cancelWith(future, outcome);
      else access.finish(future, outcome, hasFailed);
    }
  }
}

interface Entry {
  readonly future: object;
  readonly outcome: unknown;
  readonly hasFailed: boolean;
  readonly isCancelled: boolean;
}
