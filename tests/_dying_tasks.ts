/**
 * Tasks that end their worker, in every way that there is. Self-contained, as those of `_tasks.ts`.
 *
 * @module
 */

/** How a worker's end comes about. */
export type Death =
  | "Deno.exit"
  | "self.close"
  | "process.exit"
  | "stray error"
  | "stray rejection";

/** Ends the worker; the promise stays pending, as there is nobody left to settle it. */
export function die(how: Death): Promise<never> {
  switch (how) {
    case "Deno.exit":
      Deno.exit(7);
      break;
    case "self.close":
      self.close();
      break;
    case "process.exit":
      (globalThis as unknown as { process: { exit(code: number): void } })
        .process.exit(7);
      break;
    case "stray error":
      setTimeout(() => {
        throw new RangeError("stray");
      });
      break;
    case "stray rejection":
      Promise.reject(new RangeError("stray"));
  }
  return new Promise(() => {});
}

/**
 * Returns at once, and ends the worker by a timer once the first word of the memory is 1; the second
 * word is 1 from then on.
 */
export function dieLater(memory: SharedArrayBuffer, how: Death): void {
  const words = new Int32Array(memory);
  const act: Record<Death, () => void> = {
    "Deno.exit": () => Deno.exit(7),
    "self.close": () => self.close(),
    "process.exit": () =>
      (globalThis as unknown as { process: { exit(code: number): void } })
        .process.exit(7),
    "stray error": () => {
      throw new RangeError("stray");
    },
    "stray rejection": () => {
      Promise.reject(new RangeError("stray"));
    },
  };
  const timer = setInterval(() => {
    if (Atomics.load(words, 0) === 0) return;
    clearInterval(timer);
    // Before, as nothing runs after; this thread takes no task in between.
    Atomics.store(words, 1, 1);
    Atomics.notify(words, 1);
    act[how]();
  }, 1);
}

/** Returns a value with a part that ends the worker while it is made ready to travel. */
export function returnDeadly(how: Death): { part: number } {
  return {
    get part() {
      switch (how) {
        case "Deno.exit":
          Deno.exit(7);
          break;
        case "self.close":
          self.close();
          break;
        case "process.exit":
          (globalThis as unknown as { process: { exit(code: number): void } })
            .process.exit(7);
          break;
        case "stray error":
          setTimeout(() => {
            throw new RangeError("stray");
          });
          break;
        case "stray rejection":
          Promise.reject(new RangeError("stray"));
      }
      return 1;
    },
  };
}
