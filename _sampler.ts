/**
 * Decides which tasks are timed: each, where they come slowly or are few, and
 * some where they come fast. Timing one takes a message of its own and looks at
 * the clock, about as much as a small task.
 *
 * Each task that is timed takes credit, of which there is some for a burst, and
 * which comes back as time goes by. Where it is used up, the clock is looked at
 * once in 16 tasks, in gaps by lot, as fixed ones could fall in step with what is
 * submitted. A task that is timed stands for all since the last one that was:
 * that is its weight. Else of a burst the first, which wait least, would count
 * most. After a pause it stands for itself alone: those before it were others.
 *
 * @module
 */

import { wallClockMs } from "./_clock.ts";

/** About how many tasks are timed in a second at the most. */
const TIMED_A_SECOND = 5_000;

/** How many are timed at once, however fast they come. */
const MOST_CREDIT = 1_000;

/** Mean gap from one look at the clock to the next, without credit. */
const GAP = 16;

/** What is a pause between two looks. */
const PAUSE_MS = 10;

/** Weights are powers of this, for the sake of `TimeHistogram`. */
export const WEIGHT_BASE = 4;

/** Says which tasks are timed. */
export interface TaskSampler {
  /** Counts a task; returns for how many it is to be timed, 0 where it is not. */
  take(): number;
}

/** Picks tasks by lot, about as many a second. */
export class Sampler implements TaskSampler {
  readonly #clockMs: () => number;
  /** Tasks to come up to the next look at the clock. */
  #left = 1;
  /** Tasks since the last one that was timed. */
  #since = 0;
  #credit = MOST_CREDIT;
  #lastMs = 0;

  /** @param clockMs For tests. */
  constructor(clockMs: () => number = wallClockMs) {
    this.#clockMs = clockMs;
  }

  take(): number {
    this.#since++;
    if (--this.#left > 0) return 0;
    const nowMs = this.#clockMs();
    const passedMs = Math.max(0, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    this.#credit += passedMs * TIMED_A_SECOND / 1_000;
    this.#credit = Math.min(this.#credit, MOST_CREDIT);
    if (passedMs >= PAUSE_MS) this.#since = 1;
    const weight = this.#credit >= 1 ? this.#spend() : 0;
    this.#left = this.#credit >= 1
      ? 1
      : 1 + Math.floor(Math.random() * (2 * GAP - 1));
    return weight;
  }

  #spend(): number {
    const weight = roundByLot(this.#since);
    this.#since = 0;
    this.#credit--;
    return weight;
  }
}

/** Rounds up or down to a power of `WEIGHT_BASE`, which is right in the mean. */
function roundByLot(count: number): number {
  let low = 1;
  while (low * WEIGHT_BASE <= count) low *= WEIGHT_BASE;
  const share = (count - low) / (low * WEIGHT_BASE - low);
  return Math.random() < share ? low * WEIGHT_BASE : low;
}
