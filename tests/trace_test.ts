/**
 * `Trace`, as the option of both pools.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import {
  ProcessPoolExecutor,
  ThreadPoolExecutor,
  type ThreadPoolOptions,
  Trace,
  type TraceEvent,
} from "../mod.ts";
import { tasks, testForms, testPool } from "./_harness.ts";

type Options = Pick<
  ThreadPoolOptions,
  "maxWorkers" | "onWorkerDeath" | "trace"
>;

const POOLS = {
  ThreadPoolExecutor: (options: Options) => new ThreadPoolExecutor(options),
  ProcessPoolExecutor: (options: Options) => new ProcessPoolExecutor(options),
};

const SLEEP_MS = 5;

function sleep(ms: number): number {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  return ms;
}

function fail(): never {
  throw new RangeError("as it was told to");
}

function exit(): void {
  Deno.exit(7);
}

function slicesOf(trace: Trace): TraceEvent[] {
  return trace.events().filter(({ ph }) => ph === "X");
}

/** Outcomes by the names of functions. */
function outcomesOf(trace: Trace): Record<string, unknown> {
  const slices = slicesOf(trace).map(({ name, args }) => [name, args?.outcome]);
  return Object.fromEntries(slices);
}

for (const [name, create] of Object.entries(POOLS)) {
  testForms(
    `${name}: a trace has a slice for each task, in its worker`,
    async ({ own, form }) => {
      const trace = new Trace();
      const pool = own(create({ maxWorkers: 2, trace }));
      const futures = [1, 2, 3, 4, 5, 6].map(() =>
        pool.submit(sleep, SLEEP_MS)
      );
      for (const future of futures) await form.result(future);
      await form.shutdown(pool);

      const slices = slicesOf(trace);
      assertEquals(slices.length, futures.length);
      const freeAt = new Map<number, number>();
      for (const { tid, ts, dur = 0, args } of slices) {
        assertGreaterOrEqual(dur, SLEEP_MS * 1_000 * 0.99);
        assertGreater(ts, 0);
        assertEquals(args?.outcome, "finished");
        // one at a time in each worker
        assertGreaterOrEqual(ts, freeAt.get(tid) ?? 0);
        freeAt.set(tid, ts + dur);
      }
      const events = trace.events();
      const times = events.map(({ ts }) => ts);
      assertEquals(times, times.toSorted((a, b) => a - b));
      const last = events.findLast(({ ph }) => ph === "C");
      assertEquals(last?.args, { queued: 0, running: 0 });
    },
  );

  testPool(`${name}: a trace tells how tasks ended`, async ({ own, gates }) => {
    const trace = new Trace();
    const pool = own(
      create({ maxWorkers: 1, onWorkerDeath: "replace", trace }),
    );
    await pool.submit(fail).exception();
    await pool.submit(exit).exception();
    const held = pool.submitWith(
      { timeout: 1 },
      tasks.holdAwaiting,
      gates.folder,
      "held",
    );
    const waiting = pool.submit(sleep, 0);
    assert(waiting.cancel() || waiting.running());
    await held.exception();
    await pool.submit((() => {}) as never, (() => {}) as never).exception();
    await pool.shutdown();
    const { fail: failed, exit: lost, holdAwaiting } = outcomesOf(trace);
    assertEquals([failed, lost, holdAwaiting], ["failed", "failed", "failed"]);
    const errors = slicesOf(trace).map(({ args }) => String(args?.error));
    assertEquals(errors[0], "RangeError: as it was told to");
    assertMatch(errors[1], /Deno\.exit\(7\)|code 7/);
    assertEquals(trace.size, 5);
  });

  testPool(
    `${name}: a trace shows a task that waits, and what ran of it later`,
    async ({ own, gates }) => {
      const trace = new Trace();
      const pool = own(create({ maxWorkers: 1, trace }));
      const held = pool.submit(tasks.hold, gates.folder, "held");
      const waiting = pool.submit(sleep, 0);
      while (!held.running()) await held.result({ timeout: 1 }).catch(() => {});
      assertEquals(slicesOf(trace), []);
      assert(waiting.cancel());
      gates.open("held");
      await held;
      assertEquals(slicesOf(trace).map(({ name }) => name), ["hold"]);
      const submitted = trace.events().filter(({ ph }) => ph === "i");
      assertEquals(submitted.map(({ name }) => name), [
        "hold",
        "sleep (cancelled)",
      ]);
    },
  );

  testPool(
    `${name}: a trace shows the task that broke its pool in its worker`,
    async ({ own }) => {
      const trace = new Trace();
      const pool = own(
        create({ maxWorkers: 1, onWorkerDeath: "break", trace }),
      );
      const lost = pool.submit(exit);
      const waiting = pool.submit(sleep, 0);
      await lost.exception();
      await waiting.exception();
      assertEquals(outcomesOf(trace), { exit: "failed" });
      const submitted = trace.events().filter(({ ph }) => ph === "i");
      assertEquals(submitted.map(({ name }) => name), [
        "exit",
        "sleep (failed)",
      ]);
    },
  );

  testPool(
    `${name}: a trace shows a chunk of map as one task`,
    async ({ own }) => {
      const trace = new Trace();
      const pool = own(create({ maxWorkers: 1, trace }));
      await Array.fromAsync(pool.map(sleep, [0, 0, 0], { chunkSize: 2 }));
      assertEquals(slicesOf(trace).map(({ name }) => name), ["sleep", "sleep"]);
    },
  );

  Deno.test(`${name}() throws TypeError when trace is none`, () => {
    for (const trace of [true, {}, null]) {
      assertThrows(
        () => create({ trace: trace as unknown as Trace }),
        TypeError,
        `"trace" must be a Trace`,
      );
    }
  });
}

testPool(
  "Trace: pools that share one have processes of their own in it",
  async ({ own }) => {
    const trace = new Trace();
    const threads = own(
      new ThreadPoolExecutor({
        maxWorkers: 1,
        threadNamePrefix: "mine",
        trace,
      }),
    );
    const others = own(
      new ThreadPoolExecutor({
        maxWorkers: 1,
        threadNamePrefix: "mine",
        trace,
      }),
    );
    await Promise.all([threads.submit(sleep, 0), others.submit(sleep, 0)]);
    assertEquals(slicesOf(trace).map(({ pid }) => pid).sort(), [1, 2]);
    const names = trace.events().filter(({ name }) => name === "process_name");
    assertEquals(names.map(({ args }) => args?.name), ["mine", "mine"]);
  },
);

testPool(
  "Trace takes note of maxTasks tasks, and counts the rest",
  async ({ own }) => {
    const trace = new Trace({ maxTasks: 3 });
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1, trace }));
    await Array.fromAsync(pool.map(Math.sqrt, [1, 4, 9, 16, 25]));
    assertEquals([trace.size, trace.dropped], [3, 2]);
    assertEquals(trace.toJSON().otherData.dropped, 2);
  },
);

testPool(
  "Trace.write() writes what Chrome and Perfetto open",
  async ({ own, gates }) => {
    const trace = new Trace();
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1, trace }));
    await pool.submit(Math.sqrt, 4);
    const file = `${gates.folder}/trace.json`;
    await trace.write(file);
    const read = JSON.parse(await Deno.readTextFile(file));
    assertEquals(read, JSON.parse(JSON.stringify(trace.toJSON())));
    assertEquals(read.displayTimeUnit, "ms");
    assertEquals(
      new Date(read.otherData.begin).toISOString(),
      read.otherData.begin,
    );
  },
);

testPool(
  "Trace.write() writes what JSON.stringify() makes, in pieces",
  async ({ own, gates }) => {
    const trace = new Trace();
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1, trace }));
    await Array.fromAsync(pool.map(Math.sqrt, Array(5_000).keys()));
    await pool.shutdown();
    assertGreater(trace.events().length, 2 * 4_096); // of which a piece has so many
    const file = `${gates.folder}/trace.json`;
    await trace.write(file);
    assert(await Deno.readTextFile(file) === JSON.stringify(trace));
  },
);

testPool(
  "Trace.write() replaces a file, and writes one without tasks",
  async ({ gates }) => {
    const file = `${gates.folder}/trace.json`;
    await Deno.writeTextFile(file, "x".repeat(10_000));
    const trace = new Trace();
    await trace.write(file);
    assertEquals(await Deno.readTextFile(file), JSON.stringify(trace));
  },
);

testPool(
  "Trace.write() rejects when the file cannot be made",
  async ({ own, gates }) => {
    const trace = new Trace();
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1, trace }));
    await pool.submit(Math.sqrt, 4);
    await assertRejects(
      () => trace.write(`${gates.folder}/none/trace.json`),
      Deno.errors.NotFound,
    );
  },
);

Deno.test("Trace() throws when maxTasks is below 1, not whole, or no number", () => {
  assertThrows(() => new Trace({ maxTasks: 0 }), RangeError, `"maxTasks"`);
  assertThrows(() => new Trace({ maxTasks: 1.5 }), RangeError, `"maxTasks"`);
  assertThrows(
    () => new Trace({ maxTasks: "1" as unknown as number }),
    TypeError,
    `"maxTasks"`,
  );
});

Deno.test("Trace.events() of a trace that no pool was given is empty", () => {
  assertEquals(new Trace().events(), []);
});

testPool(
  "Trace keeps the beginning of an error's message alone",
  async ({ own }) => {
    const trace = new Trace();
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1, trace }));
    await pool.submit((length: number) => {
      throw new Error("x".repeat(length));
    }, 10_000).exception();
    const [{ args }] = slicesOf(trace);
    assertEquals(args?.error, `Error: ${"x".repeat(193)}`);
  },
);
