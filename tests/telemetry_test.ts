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

Deno.test("OpenTelemetry: a task may throw anything, and its future has it", {
  timeout: TIMEOUT_MS,
}, async () => {
  const spans = await collectSpans(`
    const odd = [undefined, null, 0, "", "text", Symbol.iterator, {}, []];
    class Spiteful extends Error {
      get code(): never { throw new Error("no code"); }
      override get message(): never { throw new Error("no message"); }
    }
    await using pool = new futures.ThreadPoolExecutor({ maxWorkers: 1 });
    const futuresOf = odd.map((_, i) =>
      pool.submit(function throwOdd(i: number) {
        throw [undefined, null, 0, "", "text", new RangeError("r"), {}, []][i];
      }, i)
    );
    for (const future of futuresOf) {
      await future.result().then(
        () => { throw new Error("must fail"); },
        () => {},
      );
    }
    const here = pool.submit(Object.assign(() => {}, {}), new Proxy({}, {
      ownKeys() { throw new Spiteful(); },
    }) as never);
    await here.result().then(() => {}, () => {});
    const { tasks } = pool.stats();
    if (tasks.failed !== odd.length + 1) throw new Error("wrong: " + tasks.failed);
  `);
  const names = (spans.get(SCOPE) ?? []).map(({ name }) => name);
  assertEquals(names.filter((name) => name === "throwOdd").length, 8);
});

Deno.test(
  "OpenTelemetry: spans of tasks that were stopped, lost or cancelled tell what is known",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    const before = Date.now();
    const spans = await collectSpans(`
    await using pool = new futures.ProcessPoolExecutor({ maxWorkers: 1, onWorkerDeath: "replace" });
    function forever() { for (;;); }
    function exit() { Deno.exit(3); }
    function never() {}
    const stopped = pool.submitWith({ timeout: 30 }, forever);
    const cancelled = pool.submit(never);
    cancelled.cancel();
    await stopped.exception();
    await pool.submit(exit).exception();
  `);
    const byName = new Map(
      (spans.get(SCOPE) ?? []).map((span) => [span.name, span]),
    );
    const { forever, exit, never } = Object.fromEntries(byName);
    for (const span of [forever, exit, never]) {
      const start = Number(BigInt(span.startTimeUnixNano) / 1_000_000n);
      assertGreaterOrEqual(start, before - 1_000);
      assertGreaterOrEqual(
        Number(span.endTimeUnixNano),
        Number(span.startTimeUnixNano),
      );
    }
    assertEquals(attributesOf(forever)["task.outcome"], "failed");
    assertMatch(forever.status?.message ?? "", /^TimeoutError/);
    assertEquals(typeof attributesOf(forever)["task.queue_time_ms"], "number");
    assertMatch(exit.status?.message ?? "", /^BrokenProcessPool.*code 3/);
    assertEquals("task.queue_time_ms" in attributesOf(exit), false); // not known
    assertEquals(typeof attributesOf(exit)["worker.name"], "string");
    assertEquals(attributesOf(never)["task.outcome"], "cancelled");
    assertEquals("worker.name" in attributesOf(never), false);
  },
);
