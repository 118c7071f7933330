/**
 * A span for each task, where the program runs with OpenTelemetry switched on:
 * `OTEL_DENO=true`. Deno brings tracer, context and exporter along; no package
 * is needed.
 *
 * A task's span is a child of that which was active at `submit`, and lasts from
 * the start to the end in the worker; how long the task waited is an attribute.
 * It is made here, at the end: so that of a task whose worker died is there too.
 * Where the start is not known, or there was none, it lasts from `submit` on.
 *
 * @module
 */

import { describeError } from "./_describe.ts";
import type { TaskEnd, TaskObserver } from "./_observer.ts";

// Of @opentelemetry/api 1.10.0, what is used here: `Deno.telemetry` is `any`.

interface Span {
  setStatus(status: { code: number; message?: string }): unknown;
  recordException(error: unknown, timeMs?: number): unknown;
  end(timeMs?: number): void;
}

interface Tracer {
  startSpan(
    name: string,
    options: {
      startTime?: number;
      attributes?: { readonly [name: string]: string | number };
    },
    context: unknown,
  ): Span;
}

interface Telemetry {
  readonly tracerProvider: { getTracer(name: string): Tracer };
  readonly contextManager: { active(): unknown };
}

const SCOPE = "@concurrent/futures";

/** `SpanStatusCode.ERROR`. */
const ERROR = 2;

/** Returns what makes spans of a pool's tasks; nothing where OpenTelemetry is off. */
export function observeTelemetry(pool: string): TaskObserver | undefined {
  const { telemetry } = Deno as { telemetry?: Telemetry };
  const tracer = telemetry?.tracerProvider.getTracer(SCOPE);
  if (tracer === undefined || !isOn(tracer, telemetry!)) return undefined;
  return {
    begin(name, submitMs) {
      const context = telemetry!.contextManager.active();
      return (end) => addSpan(tracer, context, { pool, name, submitMs }, end);
    },
  };
}

/** Only a try tells, without a permission: a tracer throws where it is off (Deno 2.9.6). */
function isOn(tracer: Tracer, { contextManager }: Telemetry): boolean {
  try {
    // Not ended, so not exported.
    tracer.startSpan("", {}, contextManager.active());
    return true;
  } catch {
    return false;
  }
}

interface Submitted {
  readonly pool: string;
  readonly name: string;
  readonly submitMs: number;
}

function addSpan(
  tracer: Tracer,
  context: unknown,
  { pool, name, submitMs }: Submitted,
  { outcome, error, worker, startMs, endMs }: TaskEnd,
): void {
  const startTime = startMs ?? submitMs;
  // One that nobody ran waited to its end.
  const leftQueueMs = worker === undefined ? endMs : startMs;
  const attributes = {
    "executor.name": pool,
    "task.outcome": outcome,
    ...(leftQueueMs === undefined
      ? {}
      : { "task.queue_time_ms": Math.max(0, leftQueueMs - submitMs) }),
    ...(worker === undefined ? {} : { "worker.name": worker }),
  };
  const span = tracer.startSpan(name, { startTime, attributes }, context);
  if (outcome === "failed") {
    const message = describeError(error);
    span.recordException(exceptionOf(error, message), endMs);
    span.setStatus({ code: ERROR, message });
  }
  span.end(Math.max(startTime, endMs));
}

/** What Deno's span can take: it reads fields of what was thrown, which may be anything. */
function exceptionOf(error: unknown, message: string): unknown {
  try {
    const { name, message, stack, code } = error as Error & { code?: unknown };
    if (typeof message === "string") return { name, message, stack, code };
  } catch {
    // No object, or one whose getters throw.
  }
  return message;
}
