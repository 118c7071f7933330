/**
 * Sees to it that no worker dies without a word: errors that nobody catches
 * are reported, in threads and processes alike.
 *
 * @module
 */

import { replace } from "./_realm.ts";

/** Takes an error that nobody caught. */
export type OnStray = (what: string, error: unknown) => void;

/** Reports what nobody catches. Comes before any code of the user's, so that it is first. */
export function guardRealm(onStray: OnStray): void {
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    const { error, message } = event as ErrorEvent;
    onStray("an uncaught error", error ?? new Error(message));
  });
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    const { reason } = event as PromiseRejectionEvent;
    onStray("an unhandled rejection", reason);
  });
  guardTimers(onStray);
}

/** An error event does not tell whose timer it was; within the callback it shows. */
function guardTimers(onStray: OnStray): void {
  for (const name of ["setTimeout", "setInterval", "setImmediate"] as const) {
    const original = globalThis[name] as (...args: unknown[]) => unknown;
    const timer = (callback: unknown, ...rest: unknown[]) =>
      original(
        typeof callback === "function" ? guard(callback, onStray) : callback,
        ...rest,
      );
    // Node's `promisify` looks for a form of its own on the function.
    Object.defineProperties(timer, Object.getOwnPropertyDescriptors(original));
    replace<string, unknown>(
      globalThis as unknown as Record<string, unknown>,
      name,
      timer,
    );
  }
}

/** Reports what a callback throws while it is known whose it is. */
function guard(callback: unknown, onStray: OnStray): unknown {
  return function (this: unknown, ...args: unknown[]): unknown {
    try {
      return Reflect.apply(callback as () => unknown, this, args);
    } catch (error) {
      onStray("an uncaught error", error);
    }
  };
}
