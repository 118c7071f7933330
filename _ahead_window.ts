/**
 * How many tasks may be sent ahead to a process: more and more while it is
 * quick, none behind a task that is slow.
 *
 * @module
 */

/** Most tasks sent ahead. */
const MOST_AHEAD = 512;

/** The window grows so many times over each time that half of it was done in time. */
const GROWTH = 4;

/** A task that takes longer is slow: what waits behind it is called back. */
const SLOW_MS = 5;

/** How many tasks may be sent ahead. */
export class AheadWindow {
  #size = 0;
  /** Whether tasks are added until the window is full; then half of it is waited for. */
  #isOpen = true;
  /** When, by `performance.now()`, tasks were last sent, or there was an outcome. */
  #movedAt = 0;

  /** Begins again with none. */
  close(): void {
    this.#size = 0;
    this.#isOpen = true;
  }

  /** Goes on as it was; what was sent has been called back. */
  open(): void {
    this.#isOpen = true;
  }

  /** Whether one may be sent behind so many. */
  hasRoom(tasks: number): boolean {
    return this.#isOpen && tasks <= this.#size;
  }

  /** Tasks were sent. */
  onSent(): void {
    this.#isOpen = false;
    this.#movedAt = performance.now();
  }

  /** There was an outcome; so many tasks have none. */
  onOutcome(tasks: number): void {
    const now = performance.now();
    const isSlow = now - this.#movedAt > SLOW_MS;
    this.#movedAt = now;
    if (isSlow) this.close();
    else if (!this.#isOpen && tasks <= this.#size >> 1) {
      this.#size = Math.min(this.#size * GROWTH || GROWTH, MOST_AHEAD);
      this.#isOpen = true;
    }
  }

  /** Whether the task that runs is slow. */
  isSlow(): boolean {
    return performance.now() - this.#movedAt > SLOW_MS;
  }
}
