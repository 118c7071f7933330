/**
 * Stands in for `jsr:@std/testing/time` where the JSR registry is out of reach:
 * the same class over npm's `@sinonjs/fake-timers`.
 *
 * @module
 */

import fakeTimers from "npm:@sinonjs/fake-timers@15.5.0";

/** What wrong use of {@linkcode FakeTime} throws. */
export class TimeError extends Error {
  override name = "TimeError";
}

/** Options of {@linkcode FakeTime}. */
export interface FakeTimeOptions {
  /** How many fake milliseconds pass in a real one; time stands still by default. */
  advanceRate: number;
  /** Real milliseconds between two steps of the clock, where it runs by itself. */
  advanceFrequency?: number;
}

/** Options of {@linkcode FakeTime.delay}. */
export interface DelayOptions {
  /** Gives up the wait. */
  signal?: AbortSignal;
}

const FAKED = [
  "Date",
  "setTimeout",
  "clearTimeout",
  "setInterval",
  "clearInterval",
] as const;

const real = currentGlobals();
let current: FakeTime | undefined;

function currentGlobals() {
  const { Date, setTimeout, clearTimeout, setInterval, clearInterval } =
    globalThis;
  return { Date, setTimeout, clearTimeout, setInterval, clearInterval };
}

/** Replaces `Date` and the global timers until it is restored. */
export class FakeTime implements Disposable {
  /** The first moment of this clock, in milliseconds since 1970. */
  readonly start: number;
  readonly #clock: ReturnType<typeof fakeTimers.install>;
  readonly #advance?: ReturnType<typeof setInterval>;

  constructor(
    start?: number | string | Date | null,
    options?: FakeTimeOptions,
  ) {
    if (current) throw new TimeError("Cannot fake time: time is faked already");
    this.start = new Date(start ?? Date.now()).getTime();
    if (Number.isNaN(this.start)) {
      throw new TimeError(
        `Cannot fake time as "start" must be a date: received "${start}"`,
      );
    }
    this.#clock = fakeTimers.withGlobal(globalThis).install({
      now: this.start,
      toFake: [...FAKED],
      ignoreMissingTimers: true,
    });
    current = this;
    if (options && options.advanceRate > 0) {
      const { advanceRate, advanceFrequency = 10 } = options;
      this.#advance = real.setInterval(
        () => this.tick(advanceRate * advanceFrequency),
        advanceFrequency,
      );
    }
  }

  /** Restores the real time of whichever `FakeTime` holds it. */
  static restore(): void {
    if (!current) throw new TimeError("Cannot restore time: time is real");
    current.restore();
  }

  /** Calls `callback` with the real `Date` and timers in place. */
  static async restoreFor<T, A extends unknown[]>(
    callback: (...args: A) => Promise<T> | T,
    ...args: A
  ): Promise<T> {
    if (!current) throw new TimeError("Cannot restore time: time is real");
    const fake = currentGlobals();
    Object.assign(globalThis, real);
    try {
      return await callback(...args);
    } finally {
      Object.assign(globalThis, fake);
    }
  }

  /** Milliseconds since 1970 on this clock; setting it runs what falls due. */
  get now(): number {
    return this.#clock.now;
  }

  set now(value: number) {
    if (value < this.now) throw new RangeError("Cannot turn time back");
    this.#clock.tick(value - this.now);
  }

  /** Waits in real time. */
  delay(ms: number, { signal }: DelayOptions = {}): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (signal?.aborted) return Promise.reject(signal.reason);
    const timer = real.setTimeout(resolve, ms);
    const abort = () => {
      real.clearTimeout(timer);
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", abort, { once: true });
    return promise.finally(() => signal?.removeEventListener("abort", abort));
  }

  /** Lets every waiting microtask run. */
  async runMicrotasks(): Promise<void> {
    await this.delay(0);
  }

  /** Advances the clock and runs what falls due. */
  tick(ms = 0): void {
    this.now += ms;
  }

  /** {@linkcode FakeTime.tick}, after the microtasks. */
  async tickAsync(ms = 0): Promise<void> {
    await this.runMicrotasks();
    this.tick(ms);
  }

  /** Advances to the next timer; `false` where there is none. */
  next(): boolean {
    if (this.#clock.countTimers() === 0) return false;
    this.#clock.next();
    return true;
  }

  /** {@linkcode FakeTime.next}, after the microtasks. */
  async nextAsync(): Promise<boolean> {
    await this.runMicrotasks();
    return this.next();
  }

  /** Advances until no timer is left. */
  runAll(): void {
    while (this.next());
  }

  /** {@linkcode FakeTime.runAll}, the microtasks before each timer. */
  async runAllAsync(): Promise<void> {
    while (await this.nextAsync());
  }

  /** Puts the real `Date` and timers back. */
  restore(): void {
    if (current !== this) {
      throw new TimeError("Cannot restore time: it is restored already");
    }
    current = undefined;
    real.clearInterval(this.#advance);
    this.#clock.uninstall();
  }

  /** {@linkcode FakeTime.restore}. */
  [Symbol.dispose](): void {
    this.restore();
  }
}
