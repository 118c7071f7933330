/**
 * How quick functions have proved to be, and how many of their tasks go together.
 *
 * @module
 */

/** What is known of a function. */
interface Pace {
  meanMs: number;
  samples: number;
}

/** Tasks that must have been seen before any go together. */
const FEW_SAMPLES = 8;

/** A task that takes longer goes by itself. */
const QUICK_MS = 1;

/** How long a bundle is to run, and how many tasks it has at the most. */
const BUNDLE_MS = 4;
const MOST_ROWS = 100;

/** How much a task counts that is quicker than the mean, and one that is slower. */
const QUICKER = 0.1;
const SLOWER = 0.5;

/** Functions that are remembered; the oldest go first. */
const MOST_FUNCTIONS = 1_024;

/** The pace of functions, by their numbers. */
export class Paces {
  readonly #paces = new Map<number, Pace>();

  /** Takes note of how long a task has run. */
  note(callable: number, ms: number): void {
    const pace = this.#paces.get(callable);
    if (pace === undefined) {
      if (this.#paces.size >= MOST_FUNCTIONS) {
        this.#paces.delete(this.#paces.keys().next().value!);
      }
      this.#paces.set(callable, { meanMs: ms, samples: 1 });
      return;
    }
    const weight = ms > pace.meanMs ? SLOWER : QUICKER;
    pace.meanMs += (ms - pace.meanMs) * weight;
    pace.samples++;
  }

  /** How many tasks of a function may go in one bundle. */
  rowsOf(callable: number): number {
    const pace = this.#paces.get(callable);
    if (pace === undefined || pace.samples < FEW_SAMPLES) return 1;
    if (pace.meanMs > QUICK_MS) return 1;
    const rows = Math.floor(BUNDLE_MS / Math.max(pace.meanMs, 1e-3));
    return Math.min(MOST_ROWS, Math.max(1, rows));
  }
}
