/**
 * Spans of tasks, as a program sends them with OpenTelemetry switched on: to a collector that is
 * played by the test.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertGreaterOrEqual,
  assertMatch,
} from "@std/assert";

const MODULE = import.meta.resolve("../mod.ts");
const CONFIG = `${import.meta.dirname}/../deno.json`;
const TIMEOUT_MS = 60_000;

/** A span in OTLP's JSON, as far as it is looked at here. */
interface Span {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly {
    readonly key: string;
    readonly value: {
      readonly stringValue?: string;
      readonly doubleValue?: number;
    };
  }[];
  readonly status?: { readonly code?: number; readonly message?: string };
  readonly events?: readonly { readonly name: string }[];
}

interface TracesMessage {
  readonly resourceSpans: readonly {
    readonly scopeSpans: readonly {
      readonly scope?: { readonly name: string };
      readonly spans: readonly Span[];
    }[];
  }[];
}

/** Runs a program with OpenTelemetry on, or not; returns its spans by scope. */
async function collectSpans(
  source: string,
  isOn = true,
): Promise<Map<string, Span[]>> {
  const spans = new Map<string, Span[]>();
  const take = ({ resourceSpans }: TracesMessage) => {
    for (const { scopeSpans } of resourceSpans) {
      for (const { scope, spans: some } of scopeSpans) {
        const name = scope?.name ?? "";
        spans.set(name, [...spans.get(name) ?? [], ...some]);
      }
    }
  };
  await using collector = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const isTraces = new URL(request.url).pathname === "/v1/traces";
      const body = await request.json();
      if (isTraces) take(body);
      return Response.json({});
    },
  );
  const folder = await Deno.makeTempDir();
  try {
    const file = `${folder}/main.ts`;
    await Deno.writeTextFile(
      file,
      `import * as futures from "${MODULE}";\n${source}`,
    );
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-prompt",
        `--config=${CONFIG}`,
        "--allow-read",
        "--allow-run",
        file,
      ],
      env: {
        NO_COLOR: "1",
        OTEL_DENO: `${isOn}`,
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.addr.port}`,
      },
      stdin: "null",
    }).output();
    assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  return spans;
}

const SCOPE = "@concurrent/futures";

function attributesOf({ attributes }: Span): Record<string, unknown> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [key, Object.values(value)[0]]),
  );
}

const PROGRAM = `
  function sleep(ms: number): void {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  }
  function fail(): never {
    throw new RangeError("as it was told to");
  }
  const tracer = Deno.telemetry.tracerProvider.getTracer("program");
  for (const Pool of [futures.ThreadPoolExecutor, futures.ProcessPoolExecutor]) {
    await using pool = new Pool({ maxWorkers: 1 });
    await tracer.startActiveSpan(Pool.name, {}, async (span: { end(): void }) => {
      const slept = pool.submit(sleep, 5), failed = pool.submit(fail);
      const cancelled = pool.submit(sleep, 0);
      cancelled.cancel();
      await slept;
      await failed.exception();
      span.end();
    });
    await pool.submit(sleep, 0); // outside of any span
  }
`;

Deno.test(
  "OpenTelemetry: each task is a span, the child of the one that was active at submit",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    const spans = await collectSpans(PROGRAM);
    const parents = spans.get("program") ?? [];
    assertEquals(parents.map(({ name }) => name), [
      "ThreadPoolExecutor",
      "ProcessPoolExecutor",
    ]);
    const tasks = spans.get(SCOPE) ?? [];
    assertEquals(tasks.length, 8);
    for (const { name: pool, traceId, spanId } of parents) {
      const children = tasks.filter(({ parentSpanId }) =>
        parentSpanId === spanId
      );
      const names = children.map((
        span,
      ) => [span.name, attributesOf(span)["task.outcome"]]);
      assertEquals(names.toSorted(), [
        ["fail", "failed"],
        ["sleep", "cancelled"],
        ["sleep", "finished"],
      ]);
      for (const child of children) {
        assertEquals(child.traceId, traceId);
        assertMatch(
          String(attributesOf(child)["executor.name"]),
          new RegExp(`^${pool}-\\d$`),
        );
      }
      const slept = children.find((span) =>
        attributesOf(span)["task.outcome"] === "finished"
      )!;
      const nanos = Number(
        BigInt(slept.endTimeUnixNano) - BigInt(slept.startTimeUnixNano),
      );
      assertGreaterOrEqual(nanos, 5e6 * 0.99);
      assertMatch(
        String(attributesOf(slept)["worker.name"]),
        new RegExp(`^${pool}-\\d_0$`),
      );
      const failed = children.find(({ name }) => name === "fail")!;
      assertEquals(failed.status, {
        code: 2,
        message: "RangeError: as it was told to",
      });
      assertEquals(failed.events?.map(({ name }) => name), ["exception"]);
    }
    const ids = new Set(parents.map(({ spanId }) => spanId));
    const outside = tasks.filter(({ parentSpanId = "" }) =>
      !ids.has(parentSpanId)
    );
    assertEquals(outside.map(({ name }) => name), ["sleep", "sleep"]);
    assert(outside.every(({ parentSpanId }) => !parentSpanId));
  },
);

Deno.test("OpenTelemetry: without it there are no spans", {
  timeout: TIMEOUT_MS,
}, async () => {
  const spans = await collectSpans(
    `
    await using pool = new futures.ThreadPoolExecutor({ maxWorkers: 1 });
    await pool.submit(Math.sqrt, 4);
  `,
    false,
  );
  assertEquals([...spans], []);
});
