/**
 * What executors and waits may do to a future and users may not.
 *
 * `future.ts` fills the table from inside of its class, so that none of it
 * shows on the class.
 *
 * @module
 */

/** What stands behind the future of a pool: its task. */
export interface Driver {
  /** Cancels the task, unless a worker has started it; returns whether it did. */
  cancel(): boolean;
  /** Whether a worker has started the task. */
  isRunning(): boolean;
  /** Whether the outcome lies there to be taken in. */
  isReady(): boolean;
}

/** Told once, as soon as a future is finished, or cancelled and notified. */
export type Watcher = (future: object) => void;

/** Access to a future's inside; each `future` is a `Future`. */
export interface FutureAccess {
  /** Puts a task behind a new future. */
  setDriver(future: object, driver: Driver): void;
  /** Whether workers can complete the future while this thread blocks. */
  hasDriver(future: object): boolean;
  /** Ends a future as cancelled, with the reason, unless it is done. */
  cancelWith(future: object, cause: unknown): void;
  /** Ends a future with a value or what was thrown, unless it is done: somebody may have set it by hand. */
  finish(future: object, outcome: unknown, hasFailed: boolean): void;
  /** Whether the future is finished, or cancelled and notified. */
  isSettled(future: object): boolean;
  /** Whether it finished with an exception. */
  hasFailed(future: object): boolean;
  /** Adds a watcher to a future that is not settled. */
  watch(future: object, watcher: Watcher): void;
  /** Removes a watcher. */
  unwatch(future: object, watcher: Watcher): void;
}

/** The table; empty until `future.ts` has been evaluated. */
export const access: FutureAccess = {} as FutureAccess;
