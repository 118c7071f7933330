/**
 * What a pool may do to a `Trace` and users may not.
 *
 * `trace.ts` fills the table from inside of its class, so that none of it shows
 * on the class.
 *
 * @module
 */

import type { TaskObserver } from "./_observer.ts";

/** Access to a trace's inside; each `trace` is a `Trace`. */
export interface TraceAccess {
  /** Returns what takes note of the tasks of one pool, whose name is shown. */
  observe(trace: object, pool: string): TaskObserver;
}

/** The table; empty until `trace.ts` has been evaluated. */
export const traceAccess: TraceAccess = {} as TraceAccess;
