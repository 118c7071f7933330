/**
 * Tasks that are sent ahead to processes: `cancel()` and time limits stay exact, nothing is lost and
 * nothing runs twice, no task waits behind another while a process is idle, and processes stay fed
 * while the program's thread is busy.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
} from "@std/assert";
import { delay } from "@std/async";
import {
  CancelledError,
  type Future,
  ProcessPoolExecutor,
  type ProcessPoolOptions,
  TimeoutError,
} from "../mod.ts";
import { type Form, type Gates, tasks } from "./_harness.ts";
import {
  countEach,
  testProcesses,
  testProcessForms,
} from "./_process_tasks.ts";
import { add, hold, note } from "./_tasks.ts";

/** Runs quick tasks until many are sent ahead. */
async function warmUp(form: Form, pool: ProcessPoolExecutor): Promise<void> {
  const futures = Array.from(
    { length: 2_000 },
    (_, n) => pool.submit(add, n, n),
  );
  for (const [n, future] of futures.entries()) {
    assertEquals(await form.result(future), 2 * n);
  }
}

/** Runs a row of quick tasks whose last one is held, so that its process has room for many more. */
async function runRowAndHold(
  form: Form,
  pool: ProcessPoolExecutor,
  gates: Gates,
  round: number,
) {
  const stop = new AbortController();
  const quick = Array.from({ length: 400 }, (_, n) => pool.submit(add, n, 1));
  const { signal } = stop;
  const gate = `held ${round}`;
  const held = pool.submitWith({ signal }, hold, gates.folder, gate);
  for (const future of quick) await form.result(future);
  await form.until(() => gates.isReached(gate));
  return { stop, held };
}

/** Numbers that look random, the same each time. */
function makeRandom(seed: number): () => number {
  return () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return seed / 2 ** 32;
  };
}

/** Quick tasks, one that is held, and tasks behind it that leave notes. */
function submitAround(
  pool: ProcessPoolExecutor,
  gates: Gates,
  counts: { before: number; behind: number },
) {
  const before = Array.from(
    { length: counts.before },
    (_, n) => pool.submit(add, n, 1),
  );
  const held = pool.submit(hold, gates.folder, "a");
  const behind = Array.from(
    { length: counts.behind },
    (_, n) => pool.submit(note, gates.folder, `${n}`),
  );
  return { before, held, behind };
}

// ------------------------------------------------------------ sent ahead

for (const pauseMs of [0, 1, 4, 7, 50]) {
  testProcessForms(
    `Future.cancel() returns true for each task behind a held one, and none runs, ${pauseMs} ms after that began`,
    async ({ form, own, gates }) => {
      const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
      await warmUp(form, pool);
      const { before, held, behind } = submitAround(pool, gates, {
        before: 300,
        behind: 200,
      });
      await form.until(() => gates.isReached("a"));
      // Several moments: sent ahead, being called back, pending again.
      const start = performance.now();
      await form.until(() => performance.now() - start >= pauseMs);
      assertEquals(
        behind.map((future) => future.running()).includes(true),
        false,
      );
      assertEquals(
        behind.map((future) => future.cancel()).includes(false),
        false,
      );
      for (const future of behind) {
        assert(future.cancelled() && future.done() && future.cancel());
        await assertRejects(() => form.result(future), CancelledError);
      }
      assertEquals(held.done(), false);
      gates.open("a");
      assertEquals(await form.result(held), "a");
      for (const [n, future] of before.entries()) {
        assertEquals(await form.result(future), n + 1);
      }
      const last = pool.submit(note, gates.folder, "last");
      assertEquals(await form.result(last), "last");
      assertEquals(gates.notes(), ["last"]);
    },
  );
}

testProcessForms(
  "Future.cancel() returns false for the task that holds the process",
  async ({ form, own, gates }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
    await warmUp(form, pool);
    const { held, behind } = submitAround(pool, gates, {
      before: 300,
      behind: 100,
    });
    await form.until(() => held.running());
    assertEquals(held.cancel(), false);
    gates.open("a");
    assertEquals(await form.result(held), "a");
    for (const [n, future] of behind.entries()) {
      assertEquals(await form.result(future), `${n}`);
    }
    const names = Array.from({ length: 100 }, (_, n) => `${n}`);
    assertEquals(gates.notes(), names); // once each, in order
  },
);

testProcessForms(
  "ProcessPoolExecutor runs what was sent ahead of a held task's process on the other one",
  async ({ form, own, gates }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 2 }));
    await warmUp(form, pool);
    const { before, held, behind } = submitAround(pool, gates, {
      before: 300,
      behind: 300,
    });
    for (const future of before) await form.result(future);
    for (const future of behind) await form.result(future);
    await form.until(() => gates.isReached("a"));
    assertEquals([held.running(), held.done()], [true, false]);
    const names = Array.from({ length: 300 }, (_, n) => `${n}`);
    assertEquals(
      gates.notes().sort(),
      names.sort(),
    );
    // submitted meanwhile, too
    const later = Array.from({ length: 300 }, (_, n) => pool.submit(add, n, 2));
    for (const [n, future] of later.entries()) {
      assertEquals(await form.result(future), n + 2);
    }
    assertEquals(held.done(), false);
    gates.open("a");
    assertEquals(await form.result(held), "a");
  },
);

testProcessForms(
  "ProcessPoolExecutor runs what was sent ahead when all processes but one are held, one after the other",
  async ({ form, own, gates }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 3 }));
    await warmUp(form, pool);
    const quick: Future<number>[] = [];
    const submitSome = () => {
      for (let n = 0; n < 200; n++) quick.push(pool.submit(add, n, 3));
    };
    submitSome();
    const first = pool.submit(hold, gates.folder, "a");
    submitSome();
    const second = pool.submit(hold, gates.folder, "b");
    submitSome();
    for (const [n, future] of quick.entries()) {
      assertEquals(await form.result(future), n % 200 + 3);
    }
    await form.until(() => gates.isReached("a") && gates.isReached("b"));
    assertEquals([first.done(), second.done()], [false, false]);
    gates.openEvery();
    assertEquals(await form.result(first), "a");
    assertEquals(await form.result(second), "b");
  },
);

testProcessForms(
  "Future.running() is false for every task that waits, also while tasks are called back",
  async ({ form, own, gates }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
    await warmUp(form, pool);
    const { held, behind } = submitAround(pool, gates, {
      before: 300,
      behind: 100,
    });
    await form.until(() => gates.isReached("a"));
    let looks = 0;
    const start = performance.now();
    await form.until(() => {
      assertEquals(behind.some((future) => future.running()), false);
      assertEquals(behind.some((future) => future.done()), false);
      return ++looks > 20 && performance.now() - start > 20;
    });
    assert(held.running());
  },
);

// The manager did not sleep while the pool closed and a process had room for more, so it never came to
// read that the task there was stopped: every other round hung.
testProcessForms(
  "ProcessPoolExecutor.shutdown() ends, right after the last of a row of quick tasks was stopped",
  async ({ form, gates, own }) => {
    for (let round = 0; round < 8; round++) {
      const pool = own(new ProcessPoolExecutor({ maxWorkers: 2 }));
      const { stop, held } = await runRowAndHold(form, pool, gates, round);
      stop.abort();
      await form.shutdown(pool);
      assert(held.cancelled());
    }
  },
);

// A process that is to leave was not told of new memory, and was given a task that lies there, as its
// manager had not read yet that it is to leave: the manager failed, or looked for the memory for ever.
for (
  const [what, submit] of [
    ["a large task", (pool: ProcessPoolExecutor) => {
      const large = new Uint8Array(400_000);
      return [pool.submit((bytes: Uint8Array) => bytes.length, large)];
    }],
    [
      "more tasks than there are places",
      (pool: ProcessPoolExecutor) =>
        Array.from({ length: 3_000 }, (_, n) => pool.submit(Math.abs, n)),
    ],
  ] as const
) {
  testProcessForms(
    `ProcessPoolExecutor runs ${what}, right after the last of a row of quick tasks was stopped`,
    async ({ form, gates, own }) => {
      for (let round = 0; round < 6; round++) {
        const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
        const { stop } = await runRowAndHold(form, pool, gates, round);
        stop.abort();
        const futures = submit(pool);
        for (const future of futures) await form.result(future);
        await form.shutdown(pool);
      }
    },
  );
}

testProcessForms(
  "ProcessPoolExecutor.shutdown({ cancelFutures: true }) cancels what was sent ahead",
  async ({ form, own, gates }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
    await warmUp(form, pool);
    const { held, behind } = submitAround(pool, gates, {
      before: 300,
      behind: 200,
    });
    await form.until(() => gates.isReached("a"));
    await form.shutdown(pool, { wait: false, cancelFutures: true });
    assertEquals(behind.every((future) => future.cancelled()), true);
    gates.open("a");
    await form.shutdown(pool);
    assertEquals(await form.result(held), "a");
    assertEquals(gates.notes(), []);
  },
);

testProcessForms(
  "ProcessPoolExecutor.submitWith({ timeout }) runs what waits behind the task that it stops, once each and in order",
  async ({ form, own, gates }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
    await warmUp(form, pool);
    const before = Array.from(
      { length: 200 },
      (_, n) => pool.submit(note, gates.folder, `${n}`),
    );
    const stopped = pool.submitWith({ timeout: 10 }, hold, gates.folder, "a");
    const behind = Array.from(
      { length: 200 },
      (_, n) => pool.submit(note, gates.folder, `${200 + n}`),
    );
    await assertRejects(() => form.result(stopped), TimeoutError);
    for (const [n, future] of [...before, ...behind].entries()) {
      assertEquals(await form.result(future), `${n}`);
    }
    const names = Array.from({ length: 400 }, (_, n) => `${n}`);
    assertEquals(gates.notes(), names);
  },
);

testProcesses(
  "ProcessPoolExecutor.submitWith({ signal }) cancels those that wait among what was sent ahead, and no other",
  async ({ own, gates }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
    const { signal } = new AbortController();
    const controller = new AbortController();
    for (let n = 0; n < 2_000; n++) pool.submit(add, n, n);
    const held = pool.submit(hold, gates.folder, "a");
    const behind = Array.from({ length: 200 }, (_, n) =>
      pool.submitWith(
        { signal: n % 2 === 0 ? controller.signal : signal },
        note,
        gates.folder,
        `${n}`,
      ));
    while (!gates.isReached("a")) await delay(1);
    controller.abort(new RangeError("enough"));
    for (const [n, future] of behind.entries()) {
      assertEquals(future.cancelled(), n % 2 === 0);
    }
    gates.open("a");
    await held;
    for (const [n, future] of behind.entries()) {
      if (n % 2 === 0) {
        const error = await assertRejects(
          () => future.result(),
          CancelledError,
        );
        assertInstanceOf(error.cause, RangeError);
      } else assertEquals(await future, `${n}`);
    }
    const odd = Array.from({ length: 100 }, (_, n) => `${2 * n + 1}`);
    assertEquals(gates.notes(), odd);
  },
);

// ------------------------------------------------------------ accounting

/** Asserts that each task ran once or was cancelled, and that futures and notes agree. */
async function assertAccounts(
  form: Form,
  futures: readonly Future<string>[],
  cancelled: ReadonlySet<number>,
  settled: readonly number[],
  gates: Gates,
): Promise<void> {
  for (const [n, future] of futures.entries()) {
    if (cancelled.has(n)) {
      await assertRejects(() => form.result(future), CancelledError);
    } else assertEquals(await form.result(future), `${n}`);
  }
  const notes = countEach(gates.notes());
  for (const n of futures.keys()) {
    assertEquals([n, notes.get(`${n}`) ?? 0], [n, cancelled.has(n) ? 0 : 1]);
  }
  assertEquals(notes.size, futures.length - cancelled.size);
  assertEquals(settled.length, futures.length);
  assertEquals(new Set(settled).size, futures.length);
}

const POOLS: [string, ProcessPoolOptions][] = [
  ["one process takes", { maxWorkers: 1 }],
  ["two processes take", { maxWorkers: 2 }],
  ["three processes take", { maxWorkers: 3 }],
  ["many processes take, 150 each at the most,", {
    maxWorkers: 2,
    maxTasksPerChild: 150,
  }],
];

for (const [index, [who, options]] of POOLS.entries()) {
  testProcessForms(
    `Future.cancel() returns true exactly for tasks that never run, as ${who} thousands of them`,
    async ({ form, own, gates }) => {
      const pool = own(new ProcessPoolExecutor(options));
      const random = makeRandom(index);
      const futures: Future<string>[] = [];
      const cancelled = new Set<number>();
      const settled: number[] = [];
      while (futures.length < 4_000) {
        for (let more = 1 + random() * 400; more > 0; more--) {
          const n = futures.length;
          const future = pool.submit(note, gates.folder, `${n}`);
          future.addDoneCallback(() => settled.push(n));
          futures.push(future);
        }
        // From anywhere: done, running, sent ahead, in the queue.
        for (let more = random() * 80; more > 0; more--) {
          const back = Math.floor(random() ** 2 * 600);
          const n = Math.max(0, futures.length - 1 - back);
          const was = futures[n].cancelled();
          if (futures[n].cancel()) cancelled.add(n);
          else assert(!was);
        }
        const n = Math.floor(futures.length * (1 - random() * 0.2));
        if (random() < 0.7 && n < futures.length && !cancelled.has(n)) {
          assertEquals(await form.result(futures[n]), `${n}`);
        }
      }
      await assertAccounts(form, futures, cancelled, settled, gates);
      assert(cancelled.size > 100, `${cancelled.size} were cancelled`);
    },
  );

  testProcessForms(
    `ProcessPoolExecutor.submitWith() loses no neighbour of a task that it stops, as ${who} thousands`,
    async ({ form, own, gates }) => {
      const pool = own(new ProcessPoolExecutor(options));
      const random = makeRandom(10 + index);
      const futures: Future<string>[] = [];
      const cancelled = new Set<number>();
      const settled: number[] = [];
      const stopped: [Future<unknown>, typeof TimeoutError][] = [];
      const controllers: AbortController[] = [];
      for (let round = 0; round < 6; round++) {
        for (let n = 0; n < 300; n++) {
          const number = futures.length;
          const request = random() < 0.1 ? { timeout: 60_000 } : {};
          const future = pool.submitWith(
            request,
            note,
            gates.folder,
            `${number}`,
          );
          future.addDoneCallback(() => settled.push(number));
          futures.push(future);
          if (n === 150) {
            if (round % 2 === 0) {
              const future = pool.submitWith(
                { timeout: 5 },
                hold,
                gates.folder,
                "never",
              );
              stopped.push([future, TimeoutError]);
            } else {
              const controller = new AbortController();
              const { signal } = controller;
              const future = pool.submitWith(
                { signal },
                hold,
                gates.folder,
                "never",
              );
              controllers.push(controller);
              stopped.push([future, CancelledError]);
            }
          }
        }
        for (let more = 30; more > 0; more--) {
          const n = futures.length - 1 - Math.floor(random() * 300);
          if (futures[n].cancel()) cancelled.add(n);
        }
        const n = futures.length - 250;
        // Where it runs, or while it is pending: whatever comes first.
        if (round % 4 === 1 && index > 0 && !cancelled.has(n)) {
          await form.result(futures[n]);
        }
        if (round % 2 === 1) controllers.pop()!.abort();
      }
      await assertAccounts(form, futures, cancelled, settled, gates);
      for (const [future, Class] of stopped) {
        await assertRejects(() => form.result(future), Class);
      }
      assertEquals(stopped.length, 6);
    },
  );
}

testProcessForms(
  "Future.cancel() and what settles it agree when tasks of all lengths and sizes mix",
  async ({ form, own, gates }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 2 }));
    const random = makeRandom(99);
    const work = (
      folder: string,
      name: string,
      ms: number,
      bytes: Uint8Array,
    ) => {
      Deno.writeTextFileSync(`${folder}/notes`, `${name}\n`, { append: true });
      for (const end = performance.now() + ms; performance.now() < end;);
      return [name, bytes.length] as const;
    };
    const futures: Future<readonly [string, number]>[] = [];
    const sizes: number[] = [];
    const cancelled = new Set<number>();
    for (let n = 0; n < 600; n++) {
      const ms = random() < 0.03 ? 12 : 0;
      const size = random() < 0.05 ? 300_000 : random() < 0.3 ? 2_000 : 1;
      sizes.push(size);
      futures.push(
        pool.submit(work, gates.folder, `${n}`, ms, new Uint8Array(size)),
      );
      if (n % 4 === 3) {
        const victim = Math.floor(random() * futures.length);
        if (futures[victim].cancel()) cancelled.add(victim);
      }
      if (n % 50 === 49 && !cancelled.has(n - 40)) {
        await form.result(futures[n - 40]);
      }
    }
    for (const [n, future] of futures.entries()) {
      if (cancelled.has(n)) assert(future.cancelled());
      else assertEquals(await form.result(future), [`${n}`, sizes[n]]);
    }
    const notes = countEach(gates.notes());
    for (const n of futures.keys()) {
      assertEquals([n, notes.get(`${n}`) ?? 0], [n, cancelled.has(n) ? 0 : 1]);
    }
    assert(cancelled.size > 20);
  },
);

// ------------------------------------------------------------- busy thread

/** Computes, as far as the event loop can tell, until a condition is true; no library call is made. */
function computeUntil(condition: () => boolean): void {
  for (const end = performance.now() + 10_000; !condition();) {
    assert(performance.now() < end, "the tasks made no progress meanwhile");
  }
}

for (
  const [what, options] of Object.entries({
    "": {},
    ", with maxTasksPerChild": { maxTasksPerChild: 50 },
  })
) {
  for (const isWarm of [false, true]) {
    testProcesses(
      `ProcessPoolExecutor${what} finishes all that was queued while the program's thread computes, ${
        isWarm ? "when processes run already" : "when none is started yet"
      }`,
      async ({ own, gates }) => {
        const pool = own(
          new ProcessPoolExecutor({ maxWorkers: 2, ...options }),
        );
        if (isWarm) {
          await Promise.all([1, 2, 3, 4].map((n) => pool.submit(add, n, n)));
        }
        const names = Array.from({ length: 300 }, (_, n) => `${n}`);
        const futures = names.map((name) =>
          pool.submit(note, gates.folder, name)
        );
        computeUntil(() => gates.notes().length === names.length);
        assertEquals(gates.notes().sort(), [...names].sort());
        assertEquals(await Promise.all(futures), names);
      },
    );
  }
}

testProcesses(
  "ProcessPoolExecutor keeps long tasks and what waits behind them going while the program's thread computes",
  async ({ own, gates }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 2 }));
    for (let n = 0; n < 2_000; n++) pool.submit(add, n, n);
    const held = pool.submit(tasks.hold, gates.folder, "a");
    const names = Array.from({ length: 200 }, (_, n) => `${n}`);
    const futures = names.map((name) => pool.submit(note, gates.folder, name));
    computeUntil(() => gates.notes().length === names.length);
    assertEquals(held.done(), false);
    gates.open("a");
    assertEquals(await held, "a");
    assertEquals(await Promise.all(futures), names);
  },
);
