import {
  assert,
  assertEquals,
  assertFalse,
  assertGreaterOrEqual,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { delay } from "@std/async/delay";
import { stub } from "@std/testing/mock";
import { FakeTime } from "@std/testing/time";
import { assertType, type IsExact } from "@std/testing/types";
import { getEventListeners } from "node:events";
import { access, type Watcher } from "../_future_access.ts";
import {
  ALL_COMPLETED,
  asCompleted,
  DeadlockError,
  type DoneAndNotDone,
  FIRST_COMPLETED,
  FIRST_EXCEPTION,
  Future,
  type ReturnWhen,
  ThreadPoolExecutor,
  TimeoutError,
  wait,
  waitSync,
} from "../mod.ts";
import { failAtGate, Gate, passGate } from "./_gate.ts";
import { liveWorkers } from "./_leaks.ts";

const TIMEOUT_MS = 30_000;
const HOUR_MS = 3_600_000;
const EVERY = [ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION] as const;

type Kind =
  | "pending"
  | "running"
  | "returned"
  | "raised"
  | "cancelled"
  | "notified";

function futureOf(kind: Kind): Future<string> {
  const future = new Future<string>();
  if (kind === "running") future.setRunningOrNotifyCancel();
  if (kind === "returned") future.setResult("value");
  if (kind === "raised") future.setException(new RangeError("too far"));
  if (kind === "cancelled" || kind === "notified") future.cancel();
  if (kind === "notified") future.setRunningOrNotifyCancel();
  return future;
}

/** Counts watchers on futures: those added, less those removed or told. */
class Watchers implements Disposable {
  readonly #live = new Set<{ future: object; watcher: Watcher }>();
  readonly #stubs: Disposable[] = [];

  constructor() {
    const { watch, unwatch } = access;
    this.#stubs.push(
      stub(access, "watch", (future, watcher) => {
        const entry = { future, watcher };
        this.#live.add(entry);
        watch(future, watcher);
        watch(future, () => this.#live.delete(entry));
      }),
      stub(access, "unwatch", (future, watcher) => {
        for (const entry of this.#live) {
          if (entry.future === future && entry.watcher === watcher) {
            this.#live.delete(entry);
          }
        }
        unwatch(future, watcher);
      }),
    );
  }

  get count(): number {
    return this.#live.size;
  }

  [Symbol.dispose](): void {
    for (const replaced of this.#stubs) replaced[Symbol.dispose]();
  }
}

/** Lets promises and timers that are due run. */
function turn(): Promise<void> {
  return delay(0);
}

/** What `promise` has come to by now: its value, or `"waits"`. */
async function peek<T>(promise: Promise<T>): Promise<T | "waits"> {
  await turn();
  return await Promise.race([promise, "waits" as const]);
}

function places<F>(futures: F[], found: Iterable<F>): number[] {
  return [...found].map((future) => futures.indexOf(future)).sort();
}

// ------------------------------------------------------- wait, what is over

/** Whether a wait on these futures is over at once, for each `returnWhen`. */
const OVER: readonly [
  kinds: Kind[],
  over: Record<ReturnWhen, boolean>,
  done: number[],
][] = [
  [[], {
    ALL_COMPLETED: true,
    FIRST_COMPLETED: true,
    FIRST_EXCEPTION: true,
  }, []],
  [["pending"], {
    ALL_COMPLETED: false,
    FIRST_COMPLETED: false,
    FIRST_EXCEPTION: false,
  }, []],
  [["pending", "running", "cancelled"], {
    ALL_COMPLETED: false,
    FIRST_COMPLETED: false,
    FIRST_EXCEPTION: false,
  }, []],
  [["pending", "returned"], {
    ALL_COMPLETED: false,
    FIRST_COMPLETED: true,
    FIRST_EXCEPTION: false,
  }, [1]],
  [["notified", "pending"], {
    ALL_COMPLETED: false,
    FIRST_COMPLETED: true,
    FIRST_EXCEPTION: false,
  }, [0]],
  [["notified", "cancelled", "returned"], {
    ALL_COMPLETED: false,
    FIRST_COMPLETED: true,
    FIRST_EXCEPTION: false,
  }, [0, 2]],
  [["running", "raised"], {
    ALL_COMPLETED: false,
    FIRST_COMPLETED: true,
    FIRST_EXCEPTION: true,
  }, [1]],
  [["returned", "raised", "notified"], {
    ALL_COMPLETED: true,
    FIRST_COMPLETED: true,
    FIRST_EXCEPTION: true,
  }, [0, 1, 2]],
  [["returned", "notified"], {
    ALL_COMPLETED: true,
    FIRST_COMPLETED: true,
    FIRST_EXCEPTION: true,
  }, [0, 1]],
];

for (const [kinds, over, done] of OVER) {
  for (const returnWhen of EVERY) {
    const does = over[returnWhen] ? "is over at once" : "goes on";
    const what = `${returnWhen} ${does} when given [${kinds.join(", ")}]`;

    Deno.test(`wait() with ${what}`, async () => {
      const futures = kinds.map(futureOf);
      const controller = new AbortController();
      const waiting = wait(futures, { returnWhen, signal: controller.signal });
      const found = await peek(waiting);
      if (over[returnWhen]) {
        assert(found !== "waits");
        assertEquals(places(futures, found.done), done);
        const rest = futures.filter((future) => !found.done.has(future));
        assertEquals(found.notDone, new Set(rest));
      } else {
        assertEquals(found, "waits");
        controller.abort();
        await assertRejects(() => waiting);
      }
    });

    Deno.test(`waitSync() with ${what}`, () => {
      const futures = kinds.map(futureOf);
      if (over[returnWhen]) {
        const found = waitSync(futures, { returnWhen });
        assertEquals(places(futures, found.done), done);
        assertEquals(found.done.size + found.notDone.size, kinds.length);
      } else {
        assertThrows(() => waitSync(futures, { returnWhen }), DeadlockError);
      }
    });
  }

  Deno.test(`wait() looks only when timeout is 0 and given [${kinds.join(", ")}]`, async () => {
    using time = new FakeTime();
    const futures = kinds.map(futureOf);
    for (const returnWhen of EVERY) {
      const options = { timeout: 0, returnWhen };
      for (
        const found of [
          await wait(futures, options),
          waitSync(futures, options),
        ]
      ) {
        assertInstanceOf(found.done, Set);
        assertInstanceOf(found.notDone, Set);
        assertEquals(places(futures, found.done), done);
        assertEquals(found.done.size + found.notDone.size, kinds.length);
        assert(found.done.isDisjointFrom(found.notDone));
      }
    }
    assertFalse(time.next(), "no timer is left");
  });
}

// ---------------------------------------------------- wait, what comes later

Deno.test("wait() waits for all when returnWhen is not given", async () => {
  const futures = [futureOf("pending"), futureOf("running")];
  const waiting = wait(futures);
  futures[0].setException(new Error("no end of the wait"));
  assertEquals(await peek(waiting), "waits");
  futures[1].setResult("value");
  const { done, notDone } = await waiting;
  assertEquals(done, new Set(futures));
  assertEquals(notDone, new Set());
});

Deno.test("wait() with FIRST_COMPLETED is over when the first is done", async () => {
  for (const end of ["setResult", "setException"] as const) {
    const futures = [futureOf("pending"), futureOf("running")];
    const waiting = wait(futures, { returnWhen: FIRST_COMPLETED });
    assertEquals(await peek(waiting), "waits");
    futures[1][end]("value");
    const { done, notDone } = await waiting;
    assertEquals(done, new Set([futures[1]]));
    assertEquals(notDone, new Set([futures[0]]));
  }
});

Deno.test("wait() with FIRST_EXCEPTION is over when one fails", async () => {
  const futures = Array.from({ length: 4 }, () => futureOf("pending"));
  const waiting = wait(futures, { returnWhen: FIRST_EXCEPTION });
  futures[0].setResult("value");
  futures[1].cancel();
  futures[1].setRunningOrNotifyCancel();
  assertEquals(await peek(waiting), "waits");
  futures[2].setException(new Error("now"));
  const { done, notDone } = await waiting;
  assertEquals(places(futures, done), [0, 1, 2]);
  assertEquals(places(futures, notDone), [3]);
});

Deno.test("wait() with FIRST_EXCEPTION waits for all when none fails", async () => {
  const futures = Array.from({ length: 3 }, () => futureOf("pending"));
  const waiting = wait(futures, { returnWhen: FIRST_EXCEPTION });
  futures[0].setResult("value");
  futures[1].cancel();
  futures[1].setRunningOrNotifyCancel();
  assertEquals(await peek(waiting), "waits");
  futures[2].setResult("value");
  const { done } = await waiting;
  assertEquals(done.size, 3);
});

for (const returnWhen of [ALL_COMPLETED, FIRST_COMPLETED] as const) {
  Deno.test(`wait() with ${returnWhen} counts a cancelled future once it is notified`, async () => {
    const future = futureOf("pending");
    const waiting = wait([future], { returnWhen });
    future.cancel();
    assert(future.done());
    assertEquals(await peek(waiting), "waits");
    assertEquals((await wait([future], { timeout: 1 })).done.size, 0);
    assertEquals(waitSync([future], { timeout: 1 }).done.size, 0);
    future.setRunningOrNotifyCancel();
    assertEquals((await waiting).done, new Set([future]));
    assertEquals(waitSync([future], { returnWhen }).done, new Set([future]));
  });
}

Deno.test("wait() counts what is done between the end of the wait and its handler", async () => {
  const futures = [futureOf("pending"), futureOf("pending")];
  const waiting = wait(futures, { returnWhen: FIRST_COMPLETED });
  futures[0].setResult("value");
  const { done, notDone } = await waiting;
  futures[1].setResult("value");
  // A picture of the moment: it does not change any more.
  assertEquals([done.size, notDone.size], [1, 1]);
});

Deno.test("wait() returns what is done when the time runs out", async () => {
  using time = new FakeTime();
  const futures = [futureOf("pending"), futureOf("pending")];
  const waiting = wait(futures, { timeout: 100 });
  let isOver = false;
  waiting.then(() => isOver = true);
  futures[0].setResult("value");
  await time.tickAsync(99);
  await time.runMicrotasks();
  assertFalse(isOver);
  await time.tickAsync(1);
  const { done, notDone } = await waiting;
  assertEquals(places(futures, done), [0]);
  assertEquals(places(futures, notDone), [1]);
  assertEquals(futures[1].done(), false);
  assertFalse(time.next(), "no timer is left");
});

Deno.test("waitSync() blocks for the whole timeout and returns what is done", () => {
  const futures = [futureOf("pending"), futureOf("returned")];
  for (const returnWhen of [ALL_COMPLETED, FIRST_EXCEPTION] as const) {
    const start = performance.now();
    const { done, notDone } = waitSync(futures, { timeout: 20, returnWhen });
    assertGreaterOrEqual(performance.now() - start, 20);
    assertEquals(places(futures, done), [1]);
    assertEquals(places(futures, notDone), [0]);
  }
});

Deno.test("wait() does not run out of time when that is beyond a timer's reach", async () => {
  const future = futureOf("pending");
  const waits = [2 ** 31 - 1, 2 ** 31, Number.MAX_SAFE_INTEGER, Infinity]
    .map((timeout) => wait([future], { timeout }));
  const all = Promise.all(waits);
  assertEquals(await peek(all), "waits");
  await delay(2); // a timer out of range would fire at once
  future.setResult("value");
  for (const { done } of await all) assertEquals(done.size, 1);
});

Deno.test("wait() and waitSync() count duplicates once", async () => {
  const done = futureOf("returned"), open = futureOf("pending");
  const list = [done, open, done, open, done];
  for (
    const found of [
      await wait(list, { timeout: 0 }),
      waitSync(list, { timeout: 0 }),
    ]
  ) {
    assertEquals([...found.done], [done]);
    assertEquals([...found.notDone], [open]);
  }
  const waiting = wait([open, open], { returnWhen: ALL_COMPLETED });
  open.setResult("value");
  assertEquals((await waiting).done, new Set([open]));
});

Deno.test("wait() and waitSync() take any iterable once", async () => {
  const futures = [futureOf("returned"), futureOf("notified")];
  let starts = 0;
  function* generate() {
    starts++;
    yield* futures;
  }
  for (const make of [generate, () => new Set(futures), () => futures]) {
    assertEquals((await wait(make())).done, new Set(futures));
    assertEquals(waitSync(make()).done, new Set(futures));
    const completed = await Array.fromAsync(asCompleted(make()));
    assertEquals(new Set(completed), new Set(futures));
  }
  assertEquals(starts, 3);
});

// ------------------------------------------------------------ wait, signals

Deno.test("wait() rejects with the signal's reason when it aborts", async () => {
  using watchers = new Watchers();
  using time = new FakeTime();
  const futures = [futureOf("pending"), futureOf("running")];
  const controller = new AbortController();
  const { signal } = controller;
  const waiting = wait(futures, { signal, timeout: HOUR_MS });
  assertEquals(watchers.count, 2);
  const settled = Promise.allSettled([waiting]);
  const reason = new Error("enough");
  controller.abort(reason);
  const [result] = await settled;
  assertStrictEquals((result as PromiseRejectedResult).reason, reason);
  assertEquals(getEventListeners(signal, "abort"), []);
  assertEquals(watchers.count, 0);
  assertFalse(time.next(), "no timer is left");
  assertEquals(futures.map((future) => future.done()), [false, false]);
  assertEquals(futures[1].running(), true);
});

Deno.test("wait() rejects with the reason when aborted before", async () => {
  using watchers = new Watchers();
  using time = new FakeTime();
  for (const reason of [new Error("enough"), "a string", undefined]) {
    const signal = AbortSignal.abort(reason);
    const [result] = await Promise.allSettled([
      wait([futureOf("pending")], { signal, timeout: HOUR_MS }),
    ]);
    assertStrictEquals((result as PromiseRejectedResult).reason, signal.reason);
    assertEquals(getEventListeners(signal, "abort"), []);
  }
  assertEquals(watchers.count, 0);
  assertFalse(time.next(), "no timer is left");
});

Deno.test("wait() forgets signal, timer and futures when it is over", async () => {
  using watchers = new Watchers();
  using time = new FakeTime();
  const { signal } = new AbortController();
  for (const returnWhen of EVERY) {
    const futures = [futureOf("pending"), futureOf("pending")];
    const waiting = wait(futures, { returnWhen, signal, timeout: HOUR_MS });
    assertEquals(watchers.count, 2);
    futures[0].setException(new Error("now"));
    if (returnWhen === ALL_COMPLETED) futures[1].setResult("value");
    await waiting;
    assertEquals(watchers.count, 0);
    assertEquals(getEventListeners(signal, "abort"), []);
  }
  assertFalse(time.next(), "no timer is left");
});

Deno.test("wait() and waitSync() forget the futures when time runs out", async () => {
  using watchers = new Watchers();
  const { signal } = new AbortController();
  const futures = [futureOf("pending"), futureOf("returned")];
  await wait(futures, { timeout: 1, signal });
  assertEquals(getEventListeners(signal, "abort"), []);
  assertEquals(watchers.count, 0);
  waitSync(futures, { timeout: 1 });
  assertEquals(watchers.count, 0);
  assertThrows(() => waitSync(futures), DeadlockError);
  assertEquals(watchers.count, 0);
});

// ------------------------------------------------------------ wrong options

const WRONG: readonly [
  what: string,
  options: unknown,
  errorClass: typeof TypeError | typeof RangeError,
][] = [
  ["timeout: -1", { timeout: -1 }, RangeError],
  ["timeout: NaN", { timeout: NaN }, RangeError],
  ["timeout: '5'", { timeout: "5" }, TypeError],
  ["timeout: null", { timeout: null }, TypeError],
  ["null", null, TypeError],
  ["a number", 5, TypeError],
];
const WRONG_SIGNALS: typeof WRONG = [
  ["signal: {}", { signal: {} }, TypeError],
  ["signal: null", { signal: null }, TypeError],
];
const WRONG_CONSTANTS: typeof WRONG = [
  ["returnWhen: 'ANY'", { returnWhen: "ANY" }, RangeError],
  ["returnWhen: ''", { returnWhen: "" }, RangeError],
  ["returnWhen: 'first_completed'", {
    returnWhen: "first_completed",
  }, RangeError],
  ["returnWhen: 1", { returnWhen: 1 }, TypeError],
  ["returnWhen: null", { returnWhen: null }, TypeError],
];

for (
  const [fn, wrong] of [
    [wait, [...WRONG, ...WRONG_SIGNALS, ...WRONG_CONSTANTS]],
    [waitSync, [...WRONG, ...WRONG_CONSTANTS]],
    [asCompleted, [...WRONG, ...WRONG_SIGNALS]],
  ] as const
) {
  Deno.test(`${fn.name}() throws at the call when its options are wrong`, () => {
    using watchers = new Watchers();
    for (const [what, options, errorClass] of wrong) {
      for (const futures of [[], [futureOf("pending")]]) {
        const error = assertThrows(
          () => fn(futures, options as { timeout?: number }),
          errorClass,
          undefined,
          what,
        );
        assertStrictEquals(error.constructor, errorClass, what);
      }
    }
    assertEquals(watchers.count, 0);
  });

  Deno.test(`${fn.name}() throws TypeError when given no iterable`, () => {
    for (const wrong of [undefined, null, 5, {}]) {
      // A missing iterable is not an empty one.
      assertThrows(
        () => fn(wrong as unknown as Future<string>[], { timeout: 0 }),
        TypeError,
      );
    }
  });
}

// ------------------------------------------------------------- asCompleted

Deno.test("asCompleted() yields those that are done, then each as it is done", async () => {
  const futures = [
    futureOf("pending"),
    futureOf("returned"),
    futureOf("running"),
    futureOf("raised"),
  ];
  const [a, b, c, d] = futures;
  const seen: Future<string>[] = [];
  for await (const future of asCompleted(futures)) {
    seen.push(future);
    if (future === d) setTimeout(() => c.setResult("later"));
    if (future === c) a.setException(new Error("last"));
  }
  assertEquals(seen.map((future) => futures.indexOf(future)), [1, 3, 2, 0]);
  assertStrictEquals(seen[0], b);
});

Deno.test("asCompleted() yields the futures themselves", async () => {
  const raised = futureOf("raised"), returned = futureOf("returned");
  const completed = asCompleted([raised, returned]);
  const first = await completed.next();
  assertEquals(first.done, false);
  assertStrictEquals(first.value, raised);
  for await (const future of completed) assertStrictEquals(future, returned);
  for (const future of asCompleted([raised])) {
    assertStrictEquals(future, raised);
  }
});

Deno.test("asCompleted() yields in order of completion when all are done between two steps", async () => {
  const futures = Array.from({ length: 4 }, () => futureOf("pending"));
  const completed = asCompleted(futures);
  for (const i of [2, 0, 3, 1]) futures[i].setResult("value");
  const seen = await Array.fromAsync(completed);
  assertEquals(seen.map((future) => futures.indexOf(future)), [2, 0, 3, 1]);
});

Deno.test("asCompleted() yields duplicates once", async () => {
  const done = futureOf("returned"), open = futureOf("pending");
  const completed = asCompleted([open, done, open, done]);
  open.setResult("value");
  assertEquals(await Array.fromAsync(completed), [done, open]);
  assertEquals([...asCompleted([open, done, open, done])], [open, done]);
});

Deno.test("asCompleted() yields nothing when given nothing", async () => {
  assertEquals(await Array.fromAsync(asCompleted([])), []);
  assertEquals([...asCompleted([])], []);
  assertEquals([...asCompleted([], { timeout: 0 })], []);
  assertEquals(await asCompleted([]).next(), { done: true, value: undefined });
});

Deno.test("asCompleted() yields a cancelled future once it is notified", async () => {
  const future = futureOf("cancelled");
  const completed = asCompleted([future]);
  const next = completed.next();
  assertEquals(await peek(next), "waits");
  future.setRunningOrNotifyCancel();
  assertStrictEquals((await next).value, future);
  assertEquals((await completed.next()).done, true);
});

Deno.test("asCompleted() is used up by one iteration, in either form", async () => {
  const futures = [futureOf("returned"), futureOf("returned")];
  const asynchronous = asCompleted(futures);
  assertEquals((await Array.fromAsync(asynchronous)).length, 2);
  assertEquals(await Array.fromAsync(asynchronous), []);
  assertEquals([...asynchronous], []);

  const blocking = asCompleted(futures);
  assertEquals([...blocking].length, 2);
  assertEquals([...blocking], []);

  const mixed = asCompleted(futures);
  const { value } = await mixed.next();
  assertStrictEquals(value, futures[0]);
  assertEquals([...mixed], [futures[1]]);
});

Deno.test("asCompleted() answers next() calls in order when they overlap", async () => {
  const futures = [futureOf("pending"), futureOf("pending")];
  const completed = asCompleted(futures);
  const answers: (Future<string> | undefined)[] = [];
  const calls = Array.from(
    { length: 4 },
    () => completed.next().then(({ value }) => answers.push(value)),
  );
  await turn();
  assertEquals(answers, []);
  futures[1].setResult("value");
  await turn();
  assertEquals(answers, [futures[1]]);
  futures[0].setResult("value");
  await Promise.all(calls);
  assertEquals(answers, [futures[1], futures[0], undefined, undefined]);
});

// --------------------------------------------------- asCompleted, time limits

const UNFINISHED: readonly [kinds: Kind[], message: string][] = [
  [["returned", "notified", "pending"], "1 (of 3) futures unfinished"],
  [["running", "cancelled"], "2 (of 2) futures unfinished"],
];

for (const [kinds, message] of UNFINISHED) {
  for (const timeout of [0, 2]) {
    Deno.test(`asCompleted() with timeout ${timeout} throws "${message}" after the done ones`, async () => {
      using watchers = new Watchers();
      const futures = kinds.map(futureOf);
      const doubled = [...futures, ...futures];
      const finished = kinds.filter((kind) =>
        kind === "returned" || kind === "notified"
      ).length;

      const seen: unknown[] = [];
      const completed = asCompleted(doubled, { timeout });
      const error = await assertRejects(async () => {
        for await (const future of completed) seen.push(future);
      }, TimeoutError);
      assertEquals(error.message, message);
      assertEquals(seen, futures.slice(0, finished));
      assertEquals((await completed.next()).done, true);
      assertEquals(watchers.count, 0);

      const blockingSeen: unknown[] = [];
      const blocking = asCompleted(doubled, { timeout });
      const blockingError = assertThrows(() => {
        for (const future of blocking) blockingSeen.push(future);
      }, TimeoutError);
      assertEquals(blockingError.message, message);
      assertEquals(blockingSeen, seen);
      assertEquals([...blocking], []);
      assertEquals(watchers.count, 0);
    });
  }
}

Deno.test("asCompleted() throws nothing when all are done in time, whatever the time", async () => {
  const futures = [futureOf("returned"), futureOf("raised")];
  for (const timeout of [0, 1, Infinity]) {
    const completed = asCompleted(futures, { timeout });
    await delay(2);
    assertEquals(await Array.fromAsync(completed), futures);
    const blocking = asCompleted(futures, { timeout });
    assertEquals([...blocking], futures);
  }
});

Deno.test("asCompleted() counts the time from its call, not from a step", async () => {
  const future = futureOf("pending");
  const completed = asCompleted([future], { timeout: 5 });
  const blocking = asCompleted([future], { timeout: 5 });
  await delay(10);
  using time = new FakeTime(); // no timer will fire any more
  await assertRejects(() => completed.next(), TimeoutError, "1 (of 1)");
  assertThrows(() => [...blocking], TimeoutError, "1 (of 1)");
  assertFalse(time.next(), "no timer is left");
});

Deno.test("asCompleted() in its blocking form blocks for the whole timeout", () => {
  const start = performance.now();
  assertThrows(
    () => [...asCompleted([futureOf("pending")], { timeout: 20 })],
    TimeoutError,
  );
  assertGreaterOrEqual(performance.now() - start, 20);
});

Deno.test("asCompleted() does not run out of time when that is beyond a timer's reach", async () => {
  const future = futureOf("pending");
  const nexts = [2 ** 31 - 1, 2 ** 31, Number.MAX_SAFE_INTEGER, Infinity]
    .map((timeout) => asCompleted([future], { timeout }).next());
  const all = Promise.all(nexts);
  assertEquals(await peek(all), "waits");
  await delay(2); // a timer out of range would fire at once
  future.setResult("value");
  for (const { value } of await all) assertStrictEquals(value, future);
});

// ------------------------------------------------- asCompleted, early ends

Deno.test("asCompleted() leaves nothing behind when the consumer breaks", async () => {
  using watchers = new Watchers();
  using time = new FakeTime();
  const { signal } = new AbortController();
  const futures = [futureOf("returned"), futureOf("pending")];
  const completed = asCompleted(futures, { timeout: HOUR_MS, signal });
  assertEquals(watchers.count, 1);
  for await (const _ of completed) break;
  assertEquals(watchers.count, 0);
  assertEquals(await completed.next(), { done: true, value: undefined });

  const blocking = asCompleted(futures, { timeout: HOUR_MS, signal });
  for (const _ of blocking) break;
  assertEquals(watchers.count, 0);
  assertEquals([...blocking], []);
  assertFalse(time.next(), "no timer is left");
  assertEquals(getEventListeners(signal, "abort"), []);
  assertEquals(futures[1].done(), false);
});

Deno.test("asCompleted() leaves nothing behind when the consumer throws", async () => {
  using watchers = new Watchers();
  const futures = [futureOf("returned"), futureOf("pending")];
  const oops = new Error("oops");
  const error = await assertRejects(async () => {
    for await (const _ of asCompleted(futures)) throw oops;
  });
  assertStrictEquals(error, oops);
  assertEquals(watchers.count, 0);
  assertThrows(
    () => {
      for (const _ of asCompleted(futures)) throw oops;
    },
    Error,
    "oops",
  );
  assertEquals(watchers.count, 0);
});

Deno.test("asCompleted() leaves nothing behind when all are done", async () => {
  using watchers = new Watchers();
  using time = new FakeTime();
  const { signal } = new AbortController();
  const futures = [futureOf("pending"), futureOf("pending")];
  const completed = asCompleted(futures, { timeout: HOUR_MS, signal });
  for (const future of futures) {
    const next = completed.next();
    await time.runMicrotasks();
    future.setResult("value");
    assertStrictEquals((await next).value, future);
    assertEquals(getEventListeners(signal, "abort"), []);
  }
  assertEquals((await completed.next()).done, true);
  assertEquals(watchers.count, 0);
  assertFalse(time.next(), "no timer is left");
});

Deno.test("asCompleted().return() ends a next() that waits", async () => {
  using watchers = new Watchers();
  using time = new FakeTime();
  const { signal } = new AbortController();
  const completed = asCompleted([futureOf("pending")], {
    timeout: HOUR_MS,
    signal,
  });
  const next = completed.next();
  await time.runMicrotasks();
  assertEquals(await completed.return?.(), { done: true, value: undefined });
  assertEquals(await next, { done: true, value: undefined });
  assertEquals(watchers.count, 0);
  assertEquals(getEventListeners(signal, "abort"), []);
  assertFalse(time.next(), "no timer is left");
});

// ---------------------------------------------------- asCompleted, signals

Deno.test("asCompleted() rejects with the signal's reason when it aborts", async () => {
  using watchers = new Watchers();
  using time = new FakeTime();
  const futures = [futureOf("returned"), futureOf("running")];
  const controller = new AbortController();
  const { signal } = controller;
  const completed = asCompleted(futures, { signal, timeout: HOUR_MS });
  assertStrictEquals((await completed.next()).value, futures[0]);
  const settled = Promise.allSettled([completed.next()]);
  await time.runMicrotasks();
  const reason = new Error("enough");
  controller.abort(reason);
  const [result] = await settled;
  assertStrictEquals((result as PromiseRejectedResult).reason, reason);
  assertEquals((await completed.next()).done, true);
  assertEquals(getEventListeners(signal, "abort"), []);
  assertEquals(watchers.count, 0);
  assertFalse(time.next(), "no timer is left");
  assertEquals(futures[1].running(), true);
});

Deno.test("asCompleted() rejects with the reason when aborted before", async () => {
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  const completed = asCompleted([futureOf("pending")], { signal });
  assertStrictEquals(await assertRejects(() => completed.next()), reason);
  assertEquals((await completed.next()).done, true);
  assertEquals(getEventListeners(signal, "abort"), []);
});

Deno.test("asCompleted() in its blocking form throws the reason when aborted before", () => {
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  const completed = asCompleted([futureOf("pending")], { signal });
  assertStrictEquals(assertThrows(() => [...completed]), reason);
  assertEquals([...completed], []);
});

Deno.test("asCompleted() in its blocking form throws the reason when its consumer aborts", () => {
  const reason = new Error("enough");
  const controller = new AbortController();
  const { signal } = controller;
  const futures = [futureOf("returned"), futureOf("pending")];
  const seen: unknown[] = [];
  const error = assertThrows(() => {
    for (const future of asCompleted(futures, { signal })) {
      seen.push(future);
      controller.abort(reason);
    }
  });
  assertStrictEquals(error, reason);
  assertEquals(seen, [futures[0]]);
});

// --------------------------------------------------------------- deadlocks

Deno.test("waitSync() throws DeadlockError without a timeout when only this thread could go on", () => {
  const followed = Future.from(Promise.resolve("value"));
  for (const returnWhen of [undefined, ...EVERY]) {
    for (const timeout of [undefined, Infinity]) {
      for (const futures of [[futureOf("running")], [followed]]) {
        assertThrows(
          () => waitSync(futures, { returnWhen, timeout }),
          DeadlockError,
        );
      }
    }
    assertEquals(waitSync([followed], { returnWhen, timeout: 1 }).done.size, 0);
  }
  return followed.result().then((value) => assertEquals(value, "value"));
});

Deno.test("asCompleted() in its blocking form throws DeadlockError after the done ones", () => {
  using watchers = new Watchers();
  const futures = [futureOf("returned"), futureOf("pending")];
  const seen: unknown[] = [];
  const completed = asCompleted(futures);
  assertThrows(() => {
    for (const future of completed) seen.push(future);
  }, DeadlockError);
  assertEquals(seen, [futures[0]]);
  assertEquals(watchers.count, 0);
});

// ------------------------------------------------------------ with a pool

Deno.test("wait() spans futures of different executors", {
  timeout: TIMEOUT_MS,
}, async () => {
  using gate = new Gate();
  const one = new ThreadPoolExecutor({ maxWorkers: 1 });
  const other = new ThreadPoolExecutor({ maxWorkers: 1 });
  const manual = new Future<string>();
  const promise = Promise.withResolvers<string>();
  const futures = [
    one.submit(passGate, gate.memory, "one"),
    other.submit(passGate, gate.memory, "other"),
    manual,
    Future.from(promise.promise),
  ];
  const waiting = wait(futures);
  const collected = Array.fromAsync(asCompleted(futures));
  await gate.arrived(2);
  assertEquals(await peek(waiting), "waits");
  manual.setResult("manual");
  gate.open();
  await wait(futures.slice(0, 2));
  assertEquals(await peek(waiting), "waits");
  promise.resolve("promise");
  assertEquals(places(futures, (await waiting).done), [0, 1, 2, 3]);
  const completed = await collected;
  assertEquals(completed.map((future) => futures.indexOf(future))[0], 2);
  assertEquals(futures.indexOf(completed[3]), 3);
  assertEquals(places(futures, completed), [0, 1, 2, 3]);
  await Promise.all([one.shutdown(), other.shutdown()]);
  assertEquals(liveWorkers(), 0);
});

Deno.test("waitSync() spans futures of different executors", {
  timeout: TIMEOUT_MS,
}, async () => {
  const one = new ThreadPoolExecutor({ maxWorkers: 1 });
  const other = new ThreadPoolExecutor({ maxWorkers: 1 });
  const futures = [
    one.submit(Math.sqrt, 4),
    other.submit(Math.sqrt, 9),
    one.submit(Math.sqrt, 16),
  ];
  assertEquals(waitSync(futures).done, new Set(futures));
  assertEquals(futures.map((future) => future.resultSync()), [2, 3, 4]);
  const later = [one.submit(Math.sqrt, 4), other.submit(Math.sqrt, 9)];
  const completed = [...asCompleted([...later, ...futures])];
  assertEquals(new Set(completed), new Set([...later, ...futures]));
  await Promise.all([one.shutdown(), other.shutdown()]);
  assertEquals(liveWorkers(), 0);
});

Deno.test("waitSync() blocks as returnWhen says", {
  timeout: TIMEOUT_MS,
}, async () => {
  using gate = new Gate();
  using failing = new Gate();
  const pool = new ThreadPoolExecutor({ maxWorkers: 2 });
  const held = pool.submit(passGate, gate.memory, "held");
  const good = pool.submit(Math.sqrt, 4);
  const bad = pool.submit(failAtGate, failing.memory, "too far");
  const futures: Future<unknown>[] = [held, good, bad];
  await gate.arrived(1);

  const first = waitSync(futures, { returnWhen: FIRST_COMPLETED });
  assertEquals([...first.done], [good]);
  await failing.arrived(1);
  failing.open();
  const failed = waitSync(futures, { returnWhen: FIRST_EXCEPTION });
  assertEquals(places(futures, failed.done), [1, 2]);
  const timed = waitSync(futures, { timeout: 3 });
  assertEquals(places(futures, timed.notDone), [0]);
  gate.open();
  assertEquals(waitSync(futures).notDone.size, 0);
  await pool.shutdown();
  assertEquals(liveWorkers(), 0);
});

Deno.test(
  "waitSync() with FIRST_EXCEPTION waits for all when only a cancelled one did not return",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    using gate = new Gate();
    const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
    const held = pool.submit(passGate, gate.memory, "held");
    const cancelled = pool.submit(passGate, gate.memory, "never");
    await gate.arrived(1);
    cancelled.cancel();
    // A pool notices at once.
    const first = waitSync([held, cancelled], { returnWhen: FIRST_COMPLETED });
    assertEquals([...first.done], [cancelled]);
    const timed = waitSync([held, cancelled], {
      returnWhen: FIRST_EXCEPTION,
      timeout: 3,
    });
    assertEquals([...timed.notDone], [held]);
    gate.open();
    const all = waitSync([held, cancelled], { returnWhen: FIRST_EXCEPTION });
    assertEquals(all.done.size, 2);
    await pool.shutdown();
    assertEquals(liveWorkers(), 0);
  },
);

Deno.test(
  "asCompleted() yields a pool's futures as they are done, in both forms",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    const pool = new ThreadPoolExecutor({ maxWorkers: 2 });
    for (const isBlocking of [true, false]) {
      using slow = new Gate();
      using quick = new Gate();
      const futures = [
        pool.submit(passGate, slow.memory, "slow"),
        pool.submit(passGate, quick.memory, "quick"),
      ];
      await Promise.all([slow.arrived(1), quick.arrived(1)]);
      quick.open();
      const seen: string[] = [];
      if (isBlocking) {
        for (const future of asCompleted(futures)) {
          seen.push(future.resultSync({ timeout: 0 }));
          slow.open();
        }
      } else {
        for await (const future of asCompleted(futures)) {
          seen.push(await future);
          slow.open();
        }
      }
      assertEquals(seen, ["quick", "slow"]);
    }
    await pool.shutdown();
    assertEquals(liveWorkers(), 0);
  },
);

Deno.test(
  "asCompleted() in its blocking form times out on a pool and leaves the tasks alone",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    using gate = new Gate();
    const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
    const quick = pool.submit(Math.sqrt, 4);
    const held = pool.submit(passGate, gate.memory, "held");
    await gate.arrived(1);
    const seen: unknown[] = [];
    const error = assertThrows(() => {
      for (const future of asCompleted([held, quick], { timeout: 3 })) {
        seen.push(future);
      }
    }, TimeoutError);
    assertEquals(error.message, "1 (of 2) futures unfinished");
    assertEquals(seen, [quick]);
    gate.open();
    assertEquals(held.resultSync(), "held");
    await pool.shutdown();
    assertEquals(liveWorkers(), 0);
  },
);

Deno.test(
  "waitSync() throws DeadlockError when the pool's part is over and the rest is made by hand",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    using watchers = new Watchers();
    const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
    const manual = new Future<number>();
    const make = () => [pool.submit(Math.sqrt, 4), manual];

    const first = make();
    const { done } = waitSync(first, { returnWhen: FIRST_COMPLETED });
    assertEquals([...done], [first[0]]);
    const second = make();
    assertThrows(
      () => waitSync(second, { returnWhen: FIRST_EXCEPTION }),
      DeadlockError,
    );
    assertEquals(second[0].resultSync(), 2);
    assertThrows(() => waitSync(make()), DeadlockError);
    const third = make();
    const seen: unknown[] = [];
    assertThrows(() => {
      for (const future of asCompleted(third)) seen.push(future);
    }, DeadlockError);
    assertEquals(seen, [third[0]]);
    await pool.shutdown();
    assertEquals(watchers.count, 0);
    assertEquals(liveWorkers(), 0);
  },
);

Deno.test(
  "waitSync() throws DeadlockError at once when one of all is made by hand",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    using gate = new Gate();
    const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
    const held = pool.submit(passGate, gate.memory, "held");
    await gate.arrived(1);
    const futures = [held, new Future<string>()];
    // The task is not waited for: that would not end the wait.
    assertThrows(() => waitSync(futures), DeadlockError);
    assertEquals(held.running(), true);
    gate.open();
    assertEquals(await held, "held");
    await pool.shutdown();
    assertEquals(liveWorkers(), 0);
  },
);

Deno.test(
  "asCompleted() in its blocking form goes on when what was made by hand is done meanwhile",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    using gate = new Gate();
    const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
    const held = pool.submit(passGate, gate.memory, "held");
    await gate.arrived(1);
    const [first, second, never] = [
      futureOf("returned"),
      futureOf("pending"),
      futureOf("pending"),
    ];
    const seen: unknown[] = [];
    assertThrows(() => {
      for (const future of asCompleted([never, held, second, first])) {
        seen.push(future);
        if (future === first) second.setResult("value");
        if (future === second) gate.open();
      }
    }, DeadlockError);
    assertEquals(seen, [first, second, held]);
    await pool.shutdown();
    assertEquals(liveWorkers(), 0);
  },
);

Deno.test(
  "wait() and asCompleted() see a task that is done though no event was handled",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
    await pool.submit(Math.sqrt, 1); // the worker is there
    for (
      const sees of [
        async (task: Future<number>) =>
          (await wait([task], { timeout: 0 })).done.has(task),
        (task: Future<number>) =>
          waitSync([task], { timeout: 0 }).done.has(task),
        (task: Future<number>) =>
          asCompleted([task], { timeout: 0 }).next().then(
            ({ value }) => value === task,
            () => false,
          ),
      ]
    ) {
      const task = pool.submit(Math.sqrt, 4);
      const limit = performance.now() + TIMEOUT_MS / 4;
      // Promises alone: the event loop has no turn.
      while (!await sees(task)) assert(performance.now() < limit, String(sees));
      assertEquals(task.resultSync({ timeout: 0 }), 2);
    }
    await pool.shutdown();
    assertEquals(liveWorkers(), 0);
  },
);

Deno.test("wait() sees what a callback settles while it looks at the futures", {
  timeout: TIMEOUT_MS,
}, async () => {
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  for (
    const waitFor of [
      async (futures: Future<number>[]) => (await wait(futures)).done.size,
      (futures: Future<number>[]) =>
        waitSync(futures, { timeout: TIMEOUT_MS }).done.size,
      async (futures: Future<number>[]) =>
        (await Array.fromAsync(asCompleted(futures))).length,
      (futures: Future<number>[]) =>
        [...asCompleted(futures, { timeout: TIMEOUT_MS })].length,
    ]
  ) {
    await pool.submit(Math.sqrt, 1); // the worker is there
    const task = pool.submit(Math.sqrt, 4);
    const manual = new Future<number>();
    task.addDoneCallback(() => manual.setResult(0));
    // Lets the outcome lie unread, for the wait to come upon.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    assertEquals(await waitFor([manual, task]), 2);
  }
  await pool.shutdown();
  assertEquals(liveWorkers(), 0);
});

Deno.test("waitSync() lets a callback settle what it waits for", {
  timeout: TIMEOUT_MS,
}, async () => {
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  const task = pool.submit(Math.sqrt, 4);
  const manual = new Future<number>();
  task.addDoneCallback((future) => manual.setResult(future.resultSync()));
  const { done } = waitSync([manual, task], { timeout: TIMEOUT_MS });
  assertEquals(done.size, 2);
  assertEquals(manual.resultSync(), 2);
  await pool.shutdown();
  assertEquals(liveWorkers(), 0);
});

// ------------------------------------------------------------------- types

Deno.test("wait(), waitSync() and asCompleted() are typed by their futures", async () => {
  const numbers = [new Future<number>()];
  numbers[0].setResult(1);
  const found = await wait(numbers);
  assertType<IsExact<typeof found, DoneAndNotDone<Future<number>>>>(true);
  assertType<IsExact<typeof found.done, Set<Future<number>>>>(true);
  const blocked = waitSync(new Set(numbers));
  assertType<IsExact<typeof blocked.notDone, Set<Future<number>>>>(true);

  const text = futureOf("returned");
  const mixed = await wait([numbers[0], text]);
  assertType<IsExact<typeof mixed.done, Set<Future<number> | Future<string>>>>(
    true,
  );
  for (const future of asCompleted([text])) {
    assertType<IsExact<typeof future, Future<string>>>(true);
    assertEquals(future.resultSync(), "value");
  }
  // @ts-expect-error a promise is no future: Future.from makes it one
  assertThrows(() => waitSync([Promise.resolve(1)]), TypeError);
  // @ts-expect-error no such constant
  assertThrows(() => waitSync(numbers, { returnWhen: "ANY" }), RangeError);
  const { signal } = new AbortController();
  // @ts-expect-error a blocked thread could not see the signal
  waitSync(numbers, { signal });
});
