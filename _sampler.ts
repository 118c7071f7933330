/**
 * Decides which tasks are timed: each, where they come slowly or are few, and
 * some where they come fast. Timing one takes a message of its own and looks at
 * the clock, about as much as a small task.
 *
 * There is a store of credit for a burst, which fills up again as time goes by.
 * When it is used up, the gap to the next timed task follows from how fast
 * tasks have come since the last one; so nobody looks at the clock for a task
 * that is not timed. A task that is timed stands for as many as the mean gap,
 * which counts as its weight: else of a burst the first, which wait least, would
 * count most. Gaps are drawn by lot around the mean, as a fixed one could fall
 * in step with what is submitted.
 *
 * @module
 */

import { wallClockMs } from "./_clock.ts";

/** About how many tasks are timed in a second at the most. */
const TIMED_A_SECOND = 5_000;

/** How many are timed at once, however fast they come. */
const MOST_CREDIT = 1_000;

/** Weights are powers of this, for the sake of `TimeHistogram`. */
export const WEIGHT_BASE = 4;

/** Largest weight: beyond it the cost is nil. */
export const MOST_WEIGHT = WEIGHT_BASE ** 4;

/** Says which tasks are timed. */
export interface TaskSampler {
  /** Counts a task; returns for how many it is to be timed, 0 where it is not. */
  take(): number;
}

/** Picks tasks by lot, about as many a second. */
export class Sampler implements TaskSampler {
  readonly #clockMs: () => number;
  /** Tasks to come up to the next one that is timed, that one included. */
  #left = 1;
  /** Tasks from the last one that was timed to the next one. */
  #gap = 1;
  /** For how many that one stands. */
  #weight = 1;
  #credit = MOST_CREDIT;
  #lastMs = 0;

  /** @param clockMs For tests. */
  constructor(clockMs: () => number = wallClockMs) {
    this.#clockMs = clockMs;
  }

  take(): number {
    if (--this.#left > 0) return 0;
    const weight = this.#weight;
    const nowMs = this.#clockMs();
    const earned = (nowMs - this.#lastMs) * TIMED_A_SECOND / 1_000;
    this.#lastMs = nowMs;
    this.#credit = Math.min(this.#credit + Math.max(earned, 0), MOST_CREDIT) -
      1;
    // Of the tasks of the last gap so many came for one that was earned.
    this.#weight = this.#credit >= 1 ? 1 : roundUp(this.#gap / earned);
    this.#gap = 1 + Math.floor(Math.random() * (2 * this.#weight - 1));
    this.#left = this.#gap;
    return weight;
  }
}

function roundUp(gap: number): number {
  let weight = 1;
  while (weight < gap && weight < MOST_WEIGHT) weight *= WEIGHT_BASE;
  return weight;
}
