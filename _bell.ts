/**
 * One bell for each thread that owns pools: workers ring it when they have
 * written something, and the owner answers in its event loop, or at once while
 * it blocks. One for all pools, so that one wait can span several executors.
 *
 * INVARIANT: while `WAITING` is 1, whoever writes a message sets it to 0 and
 * notifies. The owner sets it to 1, looks at the rings once more, and only
 * then waits: so either the writer sees the 1 or the owner sees the message.
 * Of several writers one sets it to 0; the owner then does not wait, or is woken,
 * and looks at all rings. All who wait there are notified: he may block while he
 * also waits in his event loop.
 *
 * `Atomics.waitAsync` keeps no process alive: that is left to a pool's workers.
 *
 * @module
 */

/** The bell's only word. */
const WAITING = 0;

/** Longer waits are cut: a limit that `Atomics.wait` can take as it is. */
const LONGEST_WAIT_MS = 1 << 30;

/** How long polling may keep the event loop from its turn. */
const TURN_MS = 4;

/** One who is to be told when the bell rings. */
export interface Listener {
  /** Takes in what has been written so far; returns whether there was anything. */
  drain(): boolean;
  /** Whether something has been written. */
  hasMail(): boolean;
  /** When, by `performance.now()`, it has something to do on its own. */
  readonly deadline: number;
  /** Does what is due. */
  expire(): void;
}

/** The bell of a thread. */
export class Bell {
  readonly words = new Int32Array(
    new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT),
  );
  readonly #listeners = new Set<Listener>();
  /** Whether a wait in the event loop is under way. */
  #armed = false;
  /** When, by `performance.now()`, `poll` was first called since the event loop had its turn. */
  #polledSince = Infinity;

  /** Adds a listener, until it is removed. */
  add(listener: Listener): void {
    this.#listeners.add(listener);
    this.#arm();
  }

  /** Removes a listener. */
  remove(listener: Listener): void {
    this.#listeners.delete(listener);
  }

  /**
   * Blocks this thread until `isDone()` or until `performance.now()` is
   * `until`, taking in all that is written meanwhile.
   */
  block(until: number, isDone: () => unknown): void {
    for (;;) {
      this.#drain();
      if (isDone()) break;
      const now = performance.now();
      if (now >= until) break;
      Atomics.store(this.words, WAITING, 1);
      if (this.#hasMail()) continue;
      const ms = Math.min(until, this.#deadline()) - now;
      if (ms > 0) {
        Atomics.wait(this.words, WAITING, 1, Math.min(ms, LONGEST_WAIT_MS));
      }
      for (const listener of this.#listeners) listener.expire();
    }
    // The wait in the event loop, if there is one, must not sleep through what
    // is written from now on.
    if (this.#armed) this.#listen();
  }

  /**
   * Takes in what has been written, without the way through the event loop:
   * for one who is about to wait for something that lies there already.
   *
   * A loop that awaits one outcome after another would never let the event loop
   * turn while workers are ahead of it. So after a while it has to wait.
   */
  poll(): void {
    const now = performance.now();
    this.#polledSince = Math.min(this.#polledSince, now);
    if (now - this.#polledSince < TURN_MS) this.#drain();
  }

  #arm(): void {
    if (this.#armed || this.#listeners.size === 0) return;
    this.#armed = true;
    Atomics.store(this.words, WAITING, 1);
    const { value } = Atomics.waitAsync(this.words, WAITING, 1);
    Promise.resolve(value).then(() => {
      this.#armed = false;
      this.#polledSince = Infinity;
      try {
        this.#drain();
      } finally {
        this.#arm();
      }
    });
    this.#listen();
  }

  /** Sees to it that the wait in the event loop ends once there is something to read. */
  #listen(): void {
    Atomics.store(this.words, WAITING, 1);
    if (this.#hasMail()) ring(this.words);
  }

  #drain(): void {
    for (const listener of this.#listeners) listener.drain();
  }

  #hasMail(): boolean {
    for (const listener of this.#listeners) {
      if (listener.hasMail()) return true;
    }
    return false;
  }

  #deadline(): number {
    let deadline = Infinity;
    for (const listener of this.#listeners) {
      deadline = Math.min(deadline, listener.deadline);
    }
    return deadline;
  }
}

/** Rings: called by workers, after they have written. */
export function ring(words: Int32Array): void {
  if (
    Atomics.load(words, WAITING) === 1 &&
    Atomics.compareExchange(words, WAITING, 1, 0) === 1
  ) Atomics.notify(words, WAITING);
}

/** This thread's bell. */
export const bell: Bell = new Bell();
