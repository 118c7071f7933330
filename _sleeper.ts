/**
 * How a worker waits for work.
 *
 * A worker that sleeps in `Atomics.wait` wakes within 2 µs but runs none of its
 * timers and promises meanwhile; one that sleeps in its event loop runs them
 * all and wakes within 24 µs (Deno 2.9.6, x86-64 Linux, 2026-11). So it naps the
 * first way for a moment, as the next task mostly follows the last closely, and
 * then sleeps the second way for as long as it takes. A stream of synchronous
 * tasks would starve the event loop: now and then it has a turn.
 *
 * INVARIANT: a worker leaves the long sleep through its own wake-up alone. One
 * that left otherwise would leave its place in the list of sleepers behind, and
 * a later wake-up would go there instead of to a sleeper.
 *
 * @module
 */

import { Control } from "./_layout.ts";

/** How long a worker naps before it goes to sleep in its event loop. */
const NAP_MS = 1;

/** How long tasks may keep the event loop waiting, beyond the one that runs. */
const TURN_MS = 4;

/** A worker's sleep. */
export class Sleeper {
  readonly #control: Int32Array;
  readonly #isIdle: () => boolean;
  #isSleeping = false;
  #hasQuit = false;
  /** By `Date.now()`, at half the price of `performance.now()`: it is asked after every task. */
  #lastTurn = 0;

  /** @param isIdle Whether there is nothing to do; looked at before each sleep. */
  constructor(control: Int32Array, isIdle: () => boolean) {
    this.#control = control;
    this.#isIdle = isIdle;
  }

  /** Sleeps for a moment without the event loop; returns whether to look again. */
  nap(): boolean {
    Atomics.add(this.#control, Control.SLEEPERS, 1);
    const wake = Atomics.load(this.#control, Control.WAKE);
    const isWoken = !this.#isIdle() ||
      Atomics.wait(this.#control, Control.WAKE, wake, NAP_MS) !== "timed-out";
    Atomics.sub(this.#control, Control.SLEEPERS, 1);
    return isWoken;
  }

  /** Sleeps in the event loop until woken. */
  async sleep(): Promise<void> {
    Atomics.add(this.#control, Control.SLEEPERS, 1);
    this.#isSleeping = true;
    const wake = Atomics.load(this.#control, Control.WAKE);
    if (this.#isIdle()) {
      await Atomics.waitAsync(this.#control, Control.WAKE, wake).value;
    }
    if (this.#hasQuit) return;
    this.#isSleeping = false;
    Atomics.sub(this.#control, Control.SLEEPERS, 1);
    this.#lastTurn = Date.now();
  }

  /** Ends the sleep of a worker that dies in it. */
  quit(): void {
    if (this.#isSleeping) Atomics.sub(this.#control, Control.SLEEPERS, 1);
    this.#hasQuit = true;
  }

  /** Whether the event loop has waited for long enough. */
  isTurnDue(): boolean {
    return Date.now() - this.#lastTurn > TURN_MS;
  }

  /** Lets the event loop turn once. */
  async takeTurn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#lastTurn = Date.now();
  }
}
