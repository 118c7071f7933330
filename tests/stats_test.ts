/**
 * What `stats()` of both pools tells.
 *
 * @module
 */

import { assert, assertEquals, assertGreaterOrEqual } from "@std/assert";
import {
  type Callable,
  type ExecutorStats,
  ProcessPoolExecutor,
  ThreadPoolExecutor,
} from "../mod.ts";
import { tasks, testForms, testPool } from "./_harness.ts";

interface Options {
  maxWorkers?: number;
  onWorkerDeath?: "replace" | "break";
  initializer?: Callable<never[], unknown>;
}

const POOLS = {
  ThreadPoolExecutor: (options?: Options) => new ThreadPoolExecutor(options),
  ProcessPoolExecutor: (options?: Options) => new ProcessPoolExecutor(options),
};

/** The counts, and whether they add up. */
function countsOf({ tasks, workers }: ExecutorStats) {
  const { submitted, queued, running, finished, failed, cancelled } = tasks;
  assertEquals(submitted, queued + running + finished + failed + cancelled);
  const { started, busy, idle, stopping } = workers;
  return {
    tasks: [queued, running, finished, failed, cancelled],
    workers: [started, busy, idle, stopping],
  };
}

function sleep(ms: number): number {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  return ms;
}

function fail(): never {
  throw new RangeError("as it was told to");
}

function square(n: number): number {
  return n * n;
}

const SLEEP_MS = 20;

for (const [name, create] of Object.entries(POOLS)) {
  testPool(`${name}.stats() is all 0 when the pool is new`, ({ own }) => {
    const stats = own(create()).stats();
    const { tasks, workers, queueTime, runTime } = stats;
    const numbers = [tasks, workers, queueTime, runTime].flatMap(Object.values);
    assertEquals([...new Set(numbers)], [0]);
    return Promise.resolve();
  });

  testForms(
    `${name}.stats() tells what waits, what runs and what is over`,
    async ({ own, gates, form }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const held = pool.submit(tasks.hold, gates.folder, "first");
      const second = pool.submit(square, 2), third = pool.submit(square, 3);
      await form.until(() => held.running());
      assertEquals(countsOf(pool.stats()), {
        tasks: [2, 1, 0, 0, 0],
        workers: [1, 1, 0, 0],
      });
      assert(third.cancel());
      assertEquals(countsOf(pool.stats()).tasks, [1, 1, 0, 0, 1]);
      gates.open("first");
      await form.result(second);
      assertEquals(countsOf(pool.stats()), {
        tasks: [0, 0, 2, 0, 1],
        workers: [1, 0, 1, 0],
      });
      await form.shutdown(pool);
      assertEquals(countsOf(pool.stats()).workers, [1, 0, 0, 0]);
    },
  );

  testPool(`${name}.stats() counts each way to fail`, async ({ own }) => {
    const pool = own(create({ maxWorkers: 1, onWorkerDeath: "replace" }));
    const futures = [
      pool.submit(fail),
      pool.submit(square, (() => {}) as never), // cannot travel
      pool.submit(() => () => {}), // its result cannot
      pool.submitWith({ timeout: 1 }, tasks.holdAwaiting, "none", "none"),
      pool.submit(() => Deno.exit(7)),
    ];
    for (const future of futures) await future.exception();
    const { tasks: [queued, running, finished, failed, cancelled] } = countsOf(
      pool.stats(),
    );
    assertEquals([queued, running, finished, failed, cancelled], [
      0,
      0,
      0,
      5,
      0,
    ]);
  });

  testPool(
    `${name}.stats() counts each way to cancel`,
    async ({ own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const stopper = new AbortController();
      const { signal } = stopper;
      const running = pool.submitWith(
        { signal },
        tasks.holdAwaiting,
        gates.folder,
        "running",
      );
      const waiting = pool.submitWith({ signal }, square, 2);
      while (!gates.isReached("running")) {
        await running.result({ timeout: 1 }).catch(() => {});
      }
      stopper.abort();
      assert(running.cancelled() && waiting.cancelled());
      const late = pool.submitWith({ signal }, square, 3);
      assert(late.cancelled());
      assertEquals(countsOf(pool.stats()).tasks, [0, 0, 0, 0, 3]);
    },
  );

  testPool(
    `${name}.stats() counts a chunk of map as one task`,
    async ({ own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const values = pool.map(square, [1, 2, 3, 4, 5], { chunkSize: 2 });
      assertEquals(await Array.fromAsync(values), [1, 4, 9, 16, 25]);
      assertEquals(countsOf(pool.stats()).tasks, [0, 0, 3, 0, 0]);
    },
  );

  testPool(
    `${name}.stats() counts what fails with a broken pool`,
    async ({ own }) => {
      const pool = own(create({ maxWorkers: 1, onWorkerDeath: "break" }));
      const futures = [
        pool.submit(() => Deno.exit(7)),
        pool.submit(square, 2),
        pool.submit(square, 3),
      ];
      for (const future of futures) await future.exception();
      await pool.shutdown();
      assertEquals(countsOf(pool.stats()), {
        tasks: [0, 0, 0, 3, 0],
        workers: [1, 0, 0, 0],
      });
    },
  );

  testForms(
    `${name}.stats() tells how long tasks waited and ran`,
    async ({ own, form }) => {
      const pool = own(create({ maxWorkers: 1 }));
      await form.result(pool.submit(square, 1)); // the worker is there
      const before = pool.stats();
      assertEquals([before.queueTime.count, before.runTime.count], [1, 1]);
      const futures = [1, 2, 3].map(() => pool.submit(sleep, SLEEP_MS));
      for (const future of futures) await form.result(future);
      const { queueTime, runTime } = pool.stats();
      assertEquals([queueTime.count, runTime.count], [4, 4]);
      assertGreaterOrEqual(runTime.p90, SLEEP_MS);
      assertGreaterOrEqual(runTime.mean, 3 * SLEEP_MS / 4);
      // the last one waited for two others
      assertGreaterOrEqual(queueTime.max, 2 * SLEEP_MS * 0.99);
      for (const { min, p50, p90, p99, max } of [queueTime, runTime]) {
        const times = [min, p50, p90, p99, max];
        assertEquals(times, times.toSorted((a, b) => a - b));
      }
    },
  );

  testPool(
    `${name}.stats() times some of many quick tasks`,
    async ({ own }) => {
      const pool = own(create({ maxWorkers: 2 }));
      const numbers = Array.from({ length: 50_000 }, (_, n) => n);
      const futures = numbers.map((n) => pool.submit(square, n));
      for (const n of numbers) assertEquals(await futures[n], n * n);
      const { tasks, runTime, queueTime } = pool.stats();
      assertEquals(tasks.finished, numbers.length);
      assertGreaterOrEqual(runTime.count, numbers.length / 512);
      assertEquals(runTime.count, queueTime.count);
    },
  );
}

testPool(
  "ThreadPoolExecutor.stats() tells of workers that were set aside",
  async ({ own, gates }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const stuck = pool.submitWith(
      { timeout: 1 },
      tasks.hold,
      gates.folder,
      "stuck",
    );
    await stuck.exception();
    assertEquals(await pool.submit(square, 2), 4);
    assertEquals(countsOf(pool.stats()).workers, [2, 0, 1, 1]);
    gates.open("stuck");
    await until(() => pool.stats().workers.stopping === 0);
  },
);

for (const stop of ["a time limit", "a signal"]) {
  // It once waited a second for workers to leave, of which there were none.
  testPool(
    `ThreadPoolExecutor.shutdown() ends with the last task when ${stop} sets its worker aside`,
    async ({ own, gates }) => {
      const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
      const stopper = new AbortController();
      const options = stop === "a signal"
        ? { signal: stopper.signal }
        : { timeout: 20 };
      const stuck = pool.submitWith(options, tasks.hold, gates.folder, "stuck");
      await until(() => gates.isReached("stuck"));
      let isShut = false;
      const shut = pool.shutdown().then(() => isShut = true);
      stopper.abort();
      await stuck.exception().catch(() => {});
      for (let turns = 0; turns < 5; turns++) {
        await new Promise((resolve) => setTimeout(resolve));
      }
      assert(isShut);
      assertEquals(pool.stats().workers.stopping, 1);
      gates.open("stuck");
      await shut;
      await until(() => pool.stats().workers.stopping === 0);
    },
  );
}

testPool(
  "ProcessPoolExecutor.stats() counts processes that were replaced",
  async ({ own }) => {
    const pool = own(
      new ProcessPoolExecutor({ maxWorkers: 1, maxTasksPerChild: 1 }),
    );
    for (const n of [1, 2, 3]) await pool.submit(square, n);
    await pool.shutdown();
    const { started } = pool.stats().workers;
    // the last one is replaced ahead of the next task, where there was time
    assert(started === 3 || started === 4, `${started} were started`);
  },
);

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}
