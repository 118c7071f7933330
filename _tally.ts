/**
 * The count behind a progress bar.
 *
 * @module
 */

import { access } from "./_future_access.ts";
import type { Future } from "./future.ts";

/** What has become of calls, futures or items. */
export class Tally {
  /** Those that are over, the failed and the cancelled among them. */
  done = 0;
  failed = 0;
  cancelled = 0;
  /** Called after each change. */
  onChange: (() => void) | undefined;
  readonly #getTotal: () => number | undefined;

  /** @param getTotal How many there will be; `undefined` while that is not known. */
  constructor(getTotal: () => number | undefined) {
    this.#getTotal = getTotal;
  }

  /** How many there will be; `undefined` while that is not known. */
  get total(): number | undefined {
    return this.#getTotal();
  }

  /** Counts some that are over, of which `failed` failed. */
  add(done: number, failed: number = 0): void {
    this.done += done;
    this.failed += failed;
    this.onChange?.();
  }

  /** Counts a future that is done, and stands for so many calls. */
  addFuture(future: Future<unknown>, calls: number = 1): void {
    if (future.cancelled()) this.cancelled += calls;
    this.add(calls, access.hasFailed(future) ? calls : 0);
  }
}
