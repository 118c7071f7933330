/**
 * Who observes a pool: the trace that it was given, and OpenTelemetry.
 *
 * @module
 */

import type { TaskObserver } from "./_observer.ts";
import { wrongType } from "./_options.ts";
import { observeTelemetry } from "./_telemetry.ts";
import { traceAccess } from "./_trace_access.ts";
import { Trace } from "./trace.ts";

/**
 * Returns those who are told of each task of a pool.
 *
 * @throws {TypeError} If `trace` is none.
 */
export function makeObservers(pool: string, trace: unknown): TaskObserver[] {
  if (trace !== undefined && !(trace instanceof Trace)) {
    throw wrongType("trace", "a Trace", trace);
  }
  const observers = [
    trace && traceAccess.observe(trace, pool),
    observeTelemetry(pool),
  ];
  return observers.filter((observer) => observer !== undefined);
}
