import {
  assert,
  assertEquals,
  assertFalse,
  assertGreaterOrEqual,
  assertInstanceOf,
  assertNotStrictEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { delay } from "@std/async/delay";
import { assertSpyCalls, stub } from "@std/testing/mock";
import { FakeTime } from "@std/testing/time";
import { assertType, type IsExact } from "@std/testing/types";
import { getEventListeners } from "node:events";
import { inspect } from "node:util";
import {
  asCompleted,
  CancelledError,
  DeadlockError,
  Future,
  InvalidStateError,
  RuntimeError,
  ThreadPoolExecutor,
  TimeoutError,
  wait,
  waitSync,
} from "../mod.ts";
import { failAtGate, Gate, passGate } from "./_gate.ts";
import { liveWorkers } from "./_leaks.ts";
import { runProgram } from "./_program.ts";

const TIMEOUT_MS = 30_000;
const HOUR_MS = 3_600_000;

// --------------------------------------------------------- state machine

type StateName =
  | "pending"
  | "running"
  | "cancelled"
  | "cancelled and notified"
  | "returned"
  | "raised";
type StepName =
  | "setRunningOrNotifyCancel"
  | "setResult"
  | "setException"
  | "cancel";

const THROWS = "throws";

/** For each state and each step: what the step gives, and the state after it. */
const TABLE: Record<
  StateName,
  Record<StepName, [gives: unknown, after: StateName]>
> = {
  pending: {
    setRunningOrNotifyCancel: [true, "running"],
    setResult: [undefined, "returned"],
    setException: [undefined, "raised"],
    cancel: [true, "cancelled"],
  },
  running: {
    setRunningOrNotifyCancel: [THROWS, "running"],
    setResult: [undefined, "returned"],
    setException: [undefined, "raised"],
    cancel: [false, "running"],
  },
  cancelled: {
    setRunningOrNotifyCancel: [false, "cancelled and notified"],
    setResult: [THROWS, "cancelled"],
    setException: [THROWS, "cancelled"],
    cancel: [true, "cancelled"],
  },
  "cancelled and notified": {
    setRunningOrNotifyCancel: [THROWS, "cancelled and notified"],
    setResult: [THROWS, "cancelled and notified"],
    setException: [THROWS, "cancelled and notified"],
    cancel: [true, "cancelled and notified"],
  },
  returned: {
    setRunningOrNotifyCancel: [THROWS, "returned"],
    setResult: [THROWS, "returned"],
    setException: [THROWS, "returned"],
    cancel: [false, "returned"],
  },
  raised: {
    setRunningOrNotifyCancel: [THROWS, "raised"],
    setResult: [THROWS, "raised"],
    setException: [THROWS, "raised"],
    cancel: [false, "raised"],
  },
};

/** For each state: how it looks from outside. `counts` is what `wait` says. */
const LOOKS: Record<
  StateName,
  {
    cancelled: boolean;
    running: boolean;
    done: boolean;
    counts: boolean;
    text: string;
  }
> = {
  pending: {
    cancelled: false,
    running: false,
    done: false,
    counts: false,
    text: "Future { pending }",
  },
  running: {
    cancelled: false,
    running: true,
    done: false,
    counts: false,
    text: "Future { running }",
  },
  cancelled: {
    cancelled: true,
    running: false,
    done: true,
    counts: false,
    text: "Future { cancelled }",
  },
  "cancelled and notified": {
    cancelled: true,
    running: false,
    done: true,
    counts: true,
    text: "Future { cancelled }",
  },
  returned: {
    cancelled: false,
    running: false,
    done: true,
    counts: true,
    text: "Future { finished, returned string }",
  },
  raised: {
    cancelled: false,
    running: false,
    done: true,
    counts: true,
    text: "Future { finished, raised RangeError }",
  },
};

const STATES = Object.keys(TABLE) as StateName[];
const STEPS = Object.keys(TABLE.pending) as StepName[];
const ERROR = new RangeError("the call's own");

function futureIn(state: StateName): Future<string> {
  const future = new Future<string>();
  if (state === "running") future.setRunningOrNotifyCancel();
  if (state.startsWith("cancelled")) future.cancel();
  if (state === "cancelled and notified") future.setRunningOrNotifyCancel();
  if (state === "returned") future.setResult("first");
  if (state === "raised") future.setException(ERROR);
  return future;
}

function take(future: Future<string>, step: StepName): unknown {
  switch (step) {
    case "setResult":
      return future.setResult("first");
    case "setException":
      return future.setException(ERROR);
    default:
      return future[step]();
  }
}

function looks(future: Future<unknown>): (typeof LOOKS)[StateName] {
  return {
    cancelled: future.cancelled(),
    running: future.running(),
    done: future.done(),
    counts: waitSync([future], { timeout: 0 }).done.has(future),
    text: Deno.inspect(future, { colors: false }),
  };
}

for (const state of STATES) {
  Deno.test(`Future looks ${state} when it is`, () => {
    assertEquals(looks(futureIn(state)), LOOKS[state]);
  });

  for (const step of STEPS) {
    const [gives, after] = TABLE[state][step];
    const what = gives === THROWS
      ? "throws InvalidStateError"
      : gives === undefined
      ? "ends the call"
      : `returns ${gives}`;

    Deno.test(`Future.${step}() ${what} when ${state}`, () => {
      const future = futureIn(state);
      let callbacks = 0;
      future.addDoneCallback(() => callbacks++);
      if (gives === THROWS) {
        const error = assertThrows(
          () => take(future, step),
          InvalidStateError,
        );
        const name = LOOKS[state].done && !LOOKS[state].cancelled
          ? "finished"
          : state;
        assertStringIncludes(error.message, `"${name}"`);
      } else assertStrictEquals(take(future, step), gives);
      assertEquals(looks(future), LOOKS[after]);
      assertEquals(callbacks, LOOKS[after].done ? 1 : 0);
    });
  }
}

Deno.test("Future.setResult() leaves the outcome alone when finished", async () => {
  const returned = futureIn("returned");
  assertThrows(() => returned.setResult("second"), InvalidStateError);
  assertThrows(() => returned.setException(new Error()), InvalidStateError);
  assertEquals(await returned.result(), "first");
  assertEquals(await returned.exception(), null);

  const raised = futureIn("raised");
  assertThrows(() => raised.setResult("second"), InvalidStateError);
  assertThrows(() => raised.setException(new Error()), InvalidStateError);
  assertStrictEquals(await raised.exception(), ERROR);
});

Deno.test("Future.cancel() returns false and true about tasks of a pool", {
  timeout: TIMEOUT_MS,
}, async () => {
  using gate = new Gate();
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  const running = pool.submit(passGate, gate.memory, "ran");
  const pending = pool.submit(passGate, gate.memory, "never");
  await gate.arrived(1);
  assertEquals(looks(running), LOOKS.running);
  assertEquals(looks(pending), LOOKS.pending);

  assertEquals(running.cancel(), false);
  assertEquals(pending.cancel(), true);
  assertEquals(pending.cancel(), true);
  assertEquals(looks(running), LOOKS.running);
  // A pool notices at once.
  assertEquals(looks(pending), LOOKS["cancelled and notified"]);

  gate.open();
  assertEquals(await running, "ran");
  assertEquals(running.cancel(), false);
  await pool.shutdown();
  assertEquals(gate.arrivals, 1);
  assertEquals(liveWorkers(), 0);
});

Deno.test("Future.done() turns true in a loop that never awaits", {
  timeout: TIMEOUT_MS,
}, async () => {
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  const future = pool.submit(Math.sqrt, 16);
  while (!future.done());
  assertEquals(looks(future).text, "Future { finished, returned number }");
  assertEquals(future.resultSync({ timeout: 0 }), 4);
  await pool.shutdown();
  assertEquals(liveWorkers(), 0);
});

Deno.test(
  "Future.result({ timeout: 0 }) resolves though no event was handled",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
    await pool.submit(Math.sqrt, 1); // the worker is there
    for (
      const ask of [
        (task: Future<number>) => task.result({ timeout: 0 }),
        (task: Future<number>) => task.exception({ timeout: 0 }),
      ]
    ) {
      const task = pool.submit(Math.sqrt, 4);
      const limit = performance.now() + TIMEOUT_MS / 4;
      const isThere = () => ask(task).then(() => true, () => false);
      // Promises alone: the event loop has no turn.
      while (!await isThere()) assert(performance.now() < limit);
      assertEquals(task.resultSync({ timeout: 0 }), 2);
    }
    await pool.shutdown();
    assertEquals(liveWorkers(), 0);
  },
);

// -------------------------------------------------------------- callbacks

/** Each way to be done, with the state that it leads to. */
const ENDS: readonly [what: string, end: (future: Future<string>) => void][] = [
  ["a result", (future) => future.setResult("first")],
  ["an exception", (future) => future.setException(ERROR)],
  ["a cancel", (future) => future.cancel()],
];

for (const [what, end] of ENDS) {
  Deno.test(`Future.addDoneCallback() calls back in order within ${what}`, () => {
    const future = new Future<string>();
    const calls: string[] = [];
    for (const name of ["a", "b", "c", "d"]) {
      future.addDoneCallback((given) => {
        assertStrictEquals(given, future);
        assert(given.done());
        calls.push(name);
      });
    }
    assertEquals(calls, []);
    end(future);
    assertEquals(calls, ["a", "b", "c", "d"]);
  });

  Deno.test(`Future.addDoneCallback() calls back at once after ${what}`, () => {
    const future = new Future<string>();
    end(future);
    const calls: unknown[] = [];
    future.addDoneCallback((given) => calls.push(given));
    assertEquals(calls.length, 1);
    assertStrictEquals(calls[0], future);
  });

  Deno.test(`Future.addDoneCallback() calls back once whatever follows ${what}`, () => {
    const future = new Future<string>();
    let calls = 0;
    future.addDoneCallback(() => calls++);
    end(future);
    future.cancel();
    assertThrows(() => future.setResult("again"), InvalidStateError);
    try {
      future.setRunningOrNotifyCancel();
    } catch (error) {
      assertInstanceOf(error, InvalidStateError);
    }
    assertEquals(calls, 1);
  });

  Deno.test(`Future.addDoneCallback() reports one that throws within ${what} and calls the rest`, () => {
    const future = new Future<string>();
    const calls: string[] = [];
    const oops = new Error("oops");
    future.addDoneCallback(() => calls.push("before"));
    future.addDoneCallback(() => {
      throw oops;
    });
    future.addDoneCallback(() => calls.push("after"));
    {
      using errors = stub(console, "error");
      end(future);
      assertSpyCalls(errors, 1);
      assert(errors.calls[0].args.includes(oops));
    }
    assertEquals(calls, ["before", "after"]);
    assert(future.done());
  });
}

Deno.test("Future.addDoneCallback() reports one that throws when done already", () => {
  const oops = new Error("oops");
  const future = futureIn("returned");
  using errors = stub(console, "error");
  future.addDoneCallback(() => {
    throw oops;
  });
  assertSpyCalls(errors, 1);
  assert(errors.calls[0].args.includes(oops));
});

Deno.test("Future.addDoneCallback() calls a function as often as it was added", () => {
  const future = new Future<string>();
  let calls = 0;
  const callback = () => calls++;
  future.addDoneCallback(callback);
  future.addDoneCallback(callback);
  future.setResult("first");
  assertEquals(calls, 2);
});

Deno.test("Future.addDoneCallback() within a callback calls back at once", () => {
  const future = new Future<string>();
  const calls: string[] = [];
  future.addDoneCallback(() => {
    calls.push("outer");
    future.addDoneCallback(() => calls.push("inner"));
    calls.push("outer ends");
  });
  future.addDoneCallback(() => calls.push("last"));
  future.setResult("first");
  assertEquals(calls, ["outer", "inner", "outer ends", "last"]);
});

Deno.test("Future.addDoneCallback() lets a callback read the outcome and blocks nowhere", () => {
  const future = new Future<string>();
  const seen: unknown[] = [];
  future.addDoneCallback((f) => seen.push(f.resultSync(), f.exceptionSync()));
  future.addDoneCallback((f) => seen.push(f.cancel()));
  future.setResult("first");
  assertEquals(seen, ["first", null, false]);
});

Deno.test("Future.addDoneCallback() throws TypeError when given no function", () => {
  const future = new Future<string>();
  for (const wrong of [undefined, null, "log", {}]) {
    assertThrows(
      () => future.addDoneCallback(wrong as unknown as () => void),
      TypeError,
      "must be a function",
    );
  }
  future.setResult("first");
  assertThrows(
    () => future.addDoneCallback(undefined as unknown as () => void),
    TypeError,
  );
});

Deno.test("Future.addDoneCallback() calls back in order for a task of a pool", {
  timeout: TIMEOUT_MS,
}, async () => {
  using gate = new Gate();
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  const future = pool.submit(passGate, gate.memory, "ran");
  const cancelled = pool.submit(passGate, gate.memory, "never");
  const calls: string[] = [];
  future.addDoneCallback((f) => calls.push(`a ${f.resultSync()}`));
  future.addDoneCallback((f) => calls.push(`b ${f.resultSync()}`));
  cancelled.addDoneCallback((f) => calls.push(`cancelled ${f.cancelled()}`));
  cancelled.cancel();
  assertEquals(calls, ["cancelled true"]);
  gate.open();
  await future;
  assertEquals(calls, ["cancelled true", "a ran", "b ran"]);
  await pool.shutdown();
  assertEquals(calls.length, 3);
  assertEquals(liveWorkers(), 0);
});

Deno.test(
  "Future.addDoneCallback() lets a callback block on another task of the pool",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
    for (const isBlocking of [true, false]) {
      using gate = new Gate();
      const first = pool.submit(passGate, gate.memory, "first");
      const second = pool.submit(passGate, gate.memory, "second");
      const seen: string[] = [];
      first.addDoneCallback(() => seen.push(second.resultSync()));
      gate.open();
      seen.push(isBlocking ? first.resultSync() : await first.result());
      assertEquals(seen, ["second", "first"]);
    }
    await pool.shutdown();
    assertEquals(liveWorkers(), 0);
  },
);

// --------------------------------------------------- result and exception

for (const state of ["pending", "running"] as const) {
  Deno.test(`Future.result() resolves with what is set later when ${state}`, async () => {
    const future = futureIn(state);
    const results = [future.result(), future.result({ timeout: HOUR_MS })];
    const exceptions = [future.exception(), future.exception({})];
    future.setResult("first");
    assertEquals(await Promise.all(results), ["first", "first"]);
    assertEquals(await Promise.all(exceptions), [null, null]);
  });

  Deno.test(`Future.result() rejects with the very error that is set later when ${state}`, async () => {
    const future = futureIn(state);
    const results = [future.result(), future.result({ timeout: HOUR_MS })];
    const exceptions = [future.exception(), future.exception({})];
    const settled = Promise.allSettled(results);
    future.setException(ERROR);
    for (const result of await settled) {
      assertEquals(result.status, "rejected");
      assertStrictEquals((result as PromiseRejectedResult).reason, ERROR);
    }
    for (const exception of await Promise.all(exceptions)) {
      assertStrictEquals(exception, ERROR);
    }
  });

  Deno.test(`Future.result({ timeout: 0 }) rejects without waiting when ${state}`, async () => {
    using time = new FakeTime();
    const future = futureIn(state);
    await assertRejects(() => future.result({ timeout: 0 }), TimeoutError);
    await assertRejects(() => future.exception({ timeout: 0 }), TimeoutError);
    assertEquals(looks(future), LOOKS[state]);
    assertFalse(time.next(), "no timer is left");
  });

  Deno.test(`Future.result() rejects with TimeoutError after so many ms when ${state}`, async () => {
    using time = new FakeTime();
    const future = futureIn(state);
    const log: string[] = [];
    for (const method of ["result", "exception"] as const) {
      future[method]({ timeout: 100 }).catch((error) =>
        log.push(`${method} ${error.name}`)
      );
    }
    await time.tickAsync(99);
    await time.runMicrotasks();
    assertEquals(log, []);
    await time.tickAsync(1);
    await time.runMicrotasks();
    assertEquals(log, ["result TimeoutError", "exception TimeoutError"]);

    // Neither touches the task: ask again.
    assertEquals(looks(future), LOOKS[state]);
    future.setResult("late");
    assertEquals(await future.result({ timeout: 0 }), "late");
  });
}

Deno.test("Future.result() resolves with the value when returned, whatever the timeout", async () => {
  const future = futureIn("returned");
  for (const timeout of [undefined, 0, 5, Infinity]) {
    assertEquals(await future.result({ timeout }), "first");
    assertEquals(await future.exception({ timeout }), null);
  }
});

Deno.test("Future.result() rejects with the very error when raised, whatever the timeout", async () => {
  const future = futureIn("raised");
  for (const timeout of [undefined, 0, 5, Infinity]) {
    const error = await assertRejects(() => future.result({ timeout }));
    assertStrictEquals(error, ERROR);
    assertStrictEquals(await future.exception({ timeout }), ERROR);
  }
});

for (const state of ["cancelled", "cancelled and notified"] as const) {
  Deno.test(`Future.result() and exception() reject with CancelledError when ${state}`, async () => {
    const future = futureIn(state);
    for (const options of [undefined, {}, { timeout: 0 }]) {
      await assertRejects(() => future.result(options), CancelledError);
      await assertRejects(() => future.exception(options), CancelledError);
    }
    const error = await assertRejects(() => future.result(), CancelledError);
    assertFalse("cause" in error, "nobody gave a reason");
    const other = await assertRejects(() => future.result(), CancelledError);
    assertNotStrictEquals(error, other);
  });
}

Deno.test("Future.result() rejects with CancelledError when cancelled meanwhile", async () => {
  const future = new Future<string>();
  const waits = [
    future.result(),
    future.exception(),
    future.result({ timeout: HOUR_MS }),
  ];
  const settled = Promise.allSettled(waits);
  future.cancel();
  for (const result of await settled) {
    assertEquals(result.status, "rejected");
    assertInstanceOf((result as PromiseRejectedResult).reason, CancelledError);
  }
});

for (const thrown of [undefined, null, 0, "", "text"]) {
  Deno.test(`Future.setException() keeps ${JSON.stringify(thrown)} as an error`, async () => {
    const future = new Future<string>();
    future.setException(thrown);
    const [caught] = await future.result().then(
      (value) => ["resolved", value],
      (error) => [error],
    );
    assertStrictEquals(caught, thrown);
    assertStrictEquals(await future.exception(), thrown);
    assertStrictEquals(future.exceptionSync(), thrown);
    let blocked: unknown = "nothing was thrown";
    try {
      future.resultSync();
    } catch (error) {
      blocked = error;
    }
    assertStrictEquals(blocked, thrown);
    const { done } = await wait([future, new Future()], {
      returnWhen: "FIRST_EXCEPTION",
    });
    assertEquals(done, new Set([future]));
  });
}

Deno.test("Future.result() does not time out when the time is beyond a timer's reach", async () => {
  const far = [2 ** 31 - 1, 2 ** 31, Number.MAX_SAFE_INTEGER, Infinity];
  const future = new Future<string>();
  const results = far.map((timeout) => future.result({ timeout }));
  const settled = Promise.all(results);
  await delay(2); // a timer out of range would fire at once
  future.setResult("first");
  assertEquals(await settled, far.map(() => "first"));
});

// ---------------------------------------------------------------- signals

for (const method of ["result", "exception"] as const) {
  Deno.test(`Future.${method}() rejects with the signal's reason when it aborts`, async () => {
    const future = futureIn("running");
    const controller = new AbortController();
    const { signal } = controller;
    const promise = future[method]({ signal, timeout: HOUR_MS });
    assertEquals(getEventListeners(signal, "abort").length, 1);
    const reason = new Error("enough");
    const settled = Promise.allSettled([promise]);
    controller.abort(reason);
    const [result] = await settled;
    assertStrictEquals((result as PromiseRejectedResult).reason, reason);

    assertEquals(getEventListeners(signal, "abort"), []);
    assertEquals(looks(future), LOOKS.running);
    future.setResult("late");
    assertEquals(await future.result(), "late");
  });

  Deno.test(`Future.${method}() rejects with the reason when aborted before`, async () => {
    using time = new FakeTime();
    const future = new Future<string>();
    for (const reason of [new Error("enough"), "a string", undefined]) {
      const signal = AbortSignal.abort(reason);
      const [result] = await Promise.allSettled([
        future[method]({ signal, timeout: HOUR_MS }),
      ]);
      assertStrictEquals(
        (result as PromiseRejectedResult).reason,
        signal.reason,
      );
      assertEquals(getEventListeners(signal, "abort"), []);
    }
    assertFalse(time.next(), "no timer is left");
    assertEquals(looks(future), LOOKS.pending);
  });

  Deno.test(`Future.${method}() forgets signal and timer when the future is done first`, async () => {
    using time = new FakeTime();
    for (const [, end] of ENDS) {
      const future = new Future<string>();
      const { signal } = new AbortController();
      const promise = future[method]({ signal, timeout: HOUR_MS });
      assertEquals(getEventListeners(signal, "abort").length, 1);
      end(future);
      await Promise.allSettled([promise]);
      assertEquals(getEventListeners(signal, "abort"), []);
    }
    assertFalse(time.next(), "no timer is left");
  });

  Deno.test(`Future.${method}() forgets the signal when its time runs out`, async () => {
    const future = new Future<string>();
    const { signal } = new AbortController();
    await assertRejects(
      () => future[method]({ signal, timeout: 1 }),
      TimeoutError,
    );
    assertEquals(getEventListeners(signal, "abort"), []);
  });

  Deno.test(`Future.${method}() keeps waiting when another wait is given up`, async () => {
    const future = new Future<string>();
    const controller = new AbortController();
    const first = future[method]();
    const given = future[method]({ signal: controller.signal });
    const last = future[method]();
    const settled = Promise.allSettled([given]);
    controller.abort();
    assertEquals((await settled)[0].status, "rejected");
    future.setResult("first");
    const value = method === "result" ? "first" : null;
    assertEquals(await Promise.all([first, last]), [value, value]);
  });
}

// ------------------------------------------------------------ wrong options

const WRONG_WAITS: readonly [
  what: string,
  options: unknown,
  errorClass: typeof TypeError | typeof RangeError,
][] = [
  ["timeout: -1", { timeout: -1 }, RangeError],
  ["timeout: -0.5", { timeout: -0.5 }, RangeError],
  ["timeout: NaN", { timeout: NaN }, RangeError],
  ["timeout: -Infinity", { timeout: -Infinity }, RangeError],
  ["timeout: '5'", { timeout: "5" }, TypeError],
  ["timeout: 5n", { timeout: 5n }, TypeError],
  ["timeout: null", { timeout: null }, TypeError],
  ["null", null, TypeError],
  ["a number", 5, TypeError],
];
const WRONG_SIGNALS: typeof WRONG_WAITS = [
  ["signal: {}", { signal: {} }, TypeError],
  ["signal: null", { signal: null }, TypeError],
  ["a controller as signal", { signal: new AbortController() }, TypeError],
];

for (const state of ["pending", "returned", "cancelled"] as const) {
  for (
    const [method, wrong] of [
      ["result", [...WRONG_WAITS, ...WRONG_SIGNALS]],
      ["exception", [...WRONG_WAITS, ...WRONG_SIGNALS]],
      ["resultSync", WRONG_WAITS],
      ["exceptionSync", WRONG_WAITS],
    ] as const
  ) {
    Deno.test(`Future.${method}() throws at the call when its options are wrong and it is ${state}`, () => {
      const future = futureIn(state);
      for (const [what, options, errorClass] of wrong) {
        const error = assertThrows(
          () => future[method](options as { timeout?: number }),
          errorClass,
          undefined,
          what,
        );
        assertStrictEquals(error.constructor, errorClass, what);
      }
    });
  }
}

// ----------------------------------------------------------------- silence

Deno.test("Future.setException() is silent when nobody looks", async () => {
  let stray = 0;
  const count = (event: Event) => {
    event.preventDefault();
    stray++;
  };
  globalThis.addEventListener("unhandledrejection", count);
  try {
    new Future<string>().setException(new Error("nobody looks"));
    Future.from(Promise.reject(new Error("nobody looks")));
    const cancelled = new Future<string>();
    cancelled.cancel();
    await delay(1); // rejections are reported before the next timer
    assertEquals(stray, 0);
    // The test would see one.
    Promise.reject(new Error("a real one"));
    await delay(1);
    assertEquals(stray, 1);
  } finally {
    globalThis.removeEventListener("unhandledrejection", count);
  }
});

Deno.test(
  "Future lets a program end in silence when failed ones are not looked at",
  {
    timeout: 2 * TIMEOUT_MS,
  },
  async () => {
    const { code, stdout, stderr } = await runProgram(`
    import { asCompleted, Future, wait } from "@concurrent/futures";
    const failed = new Future<number>();
    failed.setException(new Error("nobody looks"));
    const late = new Future<number>();
    late.addDoneCallback((f) => console.log("called back", f.done()));
    setTimeout(() => late.setException(new Error("nobody looks")), 1);
    const followed = Future.from(Promise.reject(new Error("nobody looks")));
    const { done } = await wait([failed, late, followed]);
    let count = 0;
    for await (const _ of asCompleted([failed, late, followed])) count++;
    for (const _ of asCompleted([failed, late, followed])) count++;
    console.log(done.size, count);
  `);
    assertEquals([code, stderr], [0, ""]);
    assertEquals(stdout, "called back true\n3 6\n");
  },
);

Deno.test(
  "Future lets a program end in silence when a pool's failed ones are not looked at",
  {
    timeout: 2 * TIMEOUT_MS,
  },
  async () => {
    const { code, stdout, stderr } = await runProgram(`
    import { ThreadPoolExecutor } from "@concurrent/futures";
    const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
    const failed = pool.submit(() => { throw new Error("nobody looks"); });
    const rejected = pool.submit(() => Promise.reject(new Error("nobody looks")));
    const unsent = pool.submit((f: unknown) => f, () => {});
    const cancelled = pool.submit(Math.sqrt, 4);
    cancelled.cancel();
    await pool.shutdown();
    console.log([failed, rejected, unsent].map((f) => f.done()).join());
  `);
    assertEquals([code, stderr], [0, ""]);
    assertEquals(stdout, "true,true,true\n");
  },
);

Deno.test("Future.result() leaves no timer that keeps a program alive", {
  timeout: 2 * TIMEOUT_MS,
}, async () => {
  const { code, stdout, stderr } = await runProgram(`
    import { Future, asCompleted, wait } from "@concurrent/futures";
    const timeout = ${HOUR_MS};
    const future = new Future<string>(), open = new Future<string>();
    const controller = new AbortController();
    const { signal } = controller;
    const waits = [
      future.result({ timeout }),
      future.exception({ timeout }),
      wait([future], { timeout }),
      wait([future, open], { timeout, returnWhen: "FIRST_COMPLETED" }),
      asCompleted([future, open], { timeout }).next(),
    ];
    const given = [
      open.result({ timeout, signal }),
      wait([open], { timeout, signal }),
      asCompleted([open], { timeout, signal }).next(),
    ];
    setTimeout(() => {
      future.setResult("done");
      controller.abort();
    }, 1);
    await Promise.allSettled(given);
    console.log((await Promise.all(waits)).length);
    console.log(await future.result({ timeout }));
  `);
  assertEquals([code, stderr], [0, ""]);
  assertEquals(stdout, "5\ndone\n");
});

// ------------------------------------------------------------- promise-like

Deno.test("Future is awaited as its result is", async () => {
  assertEquals(await futureIn("returned"), "first");
  assertStrictEquals(
    await assertRejects(async () => await futureIn("raised")),
    ERROR,
  );
  await assertRejects(async () => await futureIn("cancelled"), CancelledError);

  const late = futureIn("running");
  setTimeout(() => late.setResult("late"));
  assertEquals(await late, "late");
  const all = await Promise.all([late, futureIn("returned"), 3]);
  assertEquals(all, ["late", "first", 3]);
});

Deno.test("Future.then() calls one handler and resolves with what it returns", async () => {
  const onValue = (value: string) => [`value ${value}`];
  const onError = (error: unknown) => [error];
  assertEquals(await futureIn("returned").then(onValue, onError), [
    "value first",
  ]);
  assertEquals(await futureIn("raised").then(onValue, onError), [ERROR]);
  const cancelled = await futureIn("cancelled").then(onValue, onError);
  assertInstanceOf(cancelled[0], CancelledError);
});

Deno.test("Future.then() passes on what it has no handler for", async () => {
  assertEquals(await futureIn("returned").then(), "first");
  assertEquals(await futureIn("returned").then(null, () => "no"), "first");
  const error = await assertRejects(() => futureIn("raised").then(() => "no"));
  assertStrictEquals(error, ERROR);
});

Deno.test("Future.then() returns a promise and calls no handler at once", async () => {
  const calls: string[] = [];
  const promise = futureIn("returned").then((value) => calls.push(value));
  assertInstanceOf(promise, Promise);
  assertEquals(calls, []);
  await promise;
  assertEquals(calls, ["first"]);
});

Deno.test("Future.catch() handles a failure alone", async () => {
  assertEquals(await futureIn("returned").catch(() => "no"), "first");
  assertStrictEquals(await futureIn("raised").catch((error) => error), ERROR);
  const cancelled = await futureIn("cancelled").catch((error) => error);
  assertInstanceOf(cancelled, CancelledError);
});

Deno.test("Future.finally() runs whatever the outcome and passes it on", async () => {
  let runs = 0;
  const count = () => runs++;
  assertEquals(await futureIn("returned").finally(count), "first");
  const error = await assertRejects(() => futureIn("raised").finally(count));
  assertStrictEquals(error, ERROR);
  await assertRejects(
    () => futureIn("cancelled").finally(count),
    CancelledError,
  );
  assertEquals(runs, 3);
});

// -------------------------------------------------------------------- from

Deno.test("Future.from() is running until the promise settles", async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const future = Future.from(promise);
  assertEquals(looks(future), LOOKS.running);
  assertEquals(future.cancel(), false);
  assertEquals(looks(future), LOOKS.running);
  resolve("first");
  assertEquals(await future, "first");
  assertEquals(looks(future), LOOKS.returned);
});

Deno.test("Future.from() fails with what the promise rejects with", async () => {
  const future = Future.from<string>(Promise.reject(ERROR));
  assertStrictEquals(await future.exception(), ERROR);
  assertEquals(looks(future), LOOKS.raised);
  const empty = Future.from(Promise.reject());
  assertEquals(await empty.exception(), undefined);
  assertEquals(looks(empty).done, true);
});

Deno.test("Future.from() follows anything that has then", async () => {
  const thenable: PromiseLike<string> = {
    then(onFulfilled) {
      return Promise.resolve("first").then(onFulfilled);
    },
  };
  assertEquals(await Future.from(thenable), "first");
  const broken: PromiseLike<string> = {
    then() {
      throw ERROR;
    },
  };
  assertStrictEquals(await Future.from(broken).exception(), ERROR);
  const source = new Future<string>();
  const follower = Future.from(source);
  source.setResult("first");
  assertEquals(await follower, "first");
});

Deno.test("Future.from() fails when it follows a future that is cancelled", async () => {
  const source = new Future<string>();
  const follower = Future.from(source);
  source.cancel();
  assertInstanceOf(await follower.exception(), CancelledError);
  assertEquals(follower.cancelled(), false);
});

Deno.test("Future.from() can be waited for beside others", async () => {
  const { promise, resolve } = Promise.withResolvers<number>();
  const followed = Future.from(promise);
  const manual = new Future<string>();
  manual.setResult("first");
  const seen: unknown[] = [];
  for await (const future of asCompleted([followed, manual])) {
    seen.push(await future);
    resolve(2);
  }
  assertEquals(seen, ["first", 2]);
});

// ------------------------------------------------------------------ inspect

class Matrix {}

const OUTCOMES: readonly [value: unknown, type: string][] = [
  [1, "number"],
  ["text", "string"],
  [undefined, "undefined"],
  [null, "null"],
  [true, "boolean"],
  [1n, "bigint"],
  [[1, 2], "Array"],
  [new Map(), "Map"],
  [new Date(), "Date"],
  [{ a: 1 }, "Object"],
  [new Matrix(), "Matrix"],
  [new Uint8Array(2), "Uint8Array"],
  [new RangeError("far"), "RangeError"],
  [new CancelledError(), "CancelledError"],
];

for (const [value, type] of OUTCOMES) {
  Deno.test(`Future shows as returned or raised ${type} when inspected`, () => {
    const returned = new Future<unknown>(), raised = new Future<unknown>();
    returned.setResult(value);
    raised.setException(value);
    const texts = {
      returned: `Future { finished, returned ${type} }`,
      raised: `Future { finished, raised ${type} }`,
    };
    assertEquals(Deno.inspect(returned), texts.returned);
    assertEquals(Deno.inspect(raised), texts.raised);
    assertEquals(inspect(returned), texts.returned);
    assertEquals(inspect(raised), texts.raised);
    assertEquals(Deno.inspect({ f: returned }), `{ f: ${texts.returned} }`);
  });
}

Deno.test("Future shows an outcome that has no prototype when inspected", () => {
  const future = new Future<unknown>();
  future.setResult(Object.create(null));
  assertEquals(
    Deno.inspect(future).toLowerCase(),
    "future { finished, returned object }",
  );
});

Deno.test("Future names itself in Object.prototype.toString", () => {
  assertEquals(String(new Future()), "[object Future]");
});

// ---------------------------------------------------------------- blocking

Deno.test("Future.resultSync() and exceptionSync() tell the outcome when done", () => {
  for (const options of [undefined, {}, { timeout: 0 }, { timeout: 5 }]) {
    assertEquals(futureIn("returned").resultSync(options), "first");
    assertEquals(futureIn("returned").exceptionSync(options), null);
    const error = assertThrows(() => futureIn("raised").resultSync(options));
    assertStrictEquals(error, ERROR);
    assertStrictEquals(futureIn("raised").exceptionSync(options), ERROR);
    for (const state of ["cancelled", "cancelled and notified"] as const) {
      const future = futureIn(state);
      assertThrows(() => future.resultSync(options), CancelledError);
      assertThrows(() => future.exceptionSync(options), CancelledError);
    }
  }
});

const STUCK: readonly [what: string, make: () => Future<string>][] = [
  ["pending", () => futureIn("pending")],
  ["running", () => futureIn("running")],
  ["made of a promise", () => Future.from(Promise.resolve("first"))],
];

for (const [what, make] of STUCK) {
  for (const method of ["resultSync", "exceptionSync"] as const) {
    Deno.test(`Future.${method}() throws DeadlockError without a timeout when ${what}`, async () => {
      const future = make();
      for (const options of [undefined, {}, { timeout: Infinity }]) {
        const error = assertThrows(
          () => future[method](options),
          DeadlockError,
        );
        assertInstanceOf(error, RuntimeError);
      }
      // It is as good as before.
      if (what !== "made of a promise") future.setResult("first");
      assertEquals(await future, "first");
      assertEquals(future.resultSync(), "first");
    });

    Deno.test(`Future.${method}() blocks for the whole timeout when ${what}`, async () => {
      const future = make();
      const before = looks(future);
      for (const timeout of [0, 20]) {
        const start = performance.now();
        const error = assertThrows(
          () => future[method]({ timeout }),
          TimeoutError,
        );
        assertGreaterOrEqual(performance.now() - start, timeout);
        assertStringIncludes(error.message, `${timeout} ms`);
        assertEquals(looks(future), before);
      }
      if (what !== "made of a promise") future.setResult("first");
      assertEquals(await future, "first");
    });
  }
}

Deno.test("Future.resultSync() blocks until a task of a pool is done", {
  timeout: TIMEOUT_MS,
}, async () => {
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  assertEquals(pool.submit(Math.sqrt, 16).resultSync(), 4);
  assertEquals(pool.submit(Math.sqrt, 16).exceptionSync(), null);
  assertEquals(
    pool.submit(() => Promise.resolve("later")).resultSync(),
    "later",
  );
  assertThrows(
    () => pool.submit(JSON.parse, "{").resultSync({ timeout: TIMEOUT_MS }),
    SyntaxError,
  );
  const error = pool.submit(JSON.parse, "{").exceptionSync();
  assertInstanceOf(error, SyntaxError);
  await pool.shutdown();
  assertEquals(liveWorkers(), 0);
});

Deno.test(
  "Future.resultSync() gives up a task of a pool and leaves it alone when time runs out",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    using gate = new Gate();
    const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
    const running = pool.submit(passGate, gate.memory, "ran");
    const pending = pool.submit(failAtGate, gate.memory, "too far");
    await gate.arrived(1);
    for (const future of [running, pending]) {
      assertThrows(() => future.resultSync({ timeout: 0 }), TimeoutError);
      assertThrows(() => future.resultSync({ timeout: 3 }), TimeoutError);
      assertThrows(() => future.exceptionSync({ timeout: 0 }), TimeoutError);
      assertThrows(() => future.exceptionSync({ timeout: 3 }), TimeoutError);
      await assertRejects(() => future.result({ timeout: 0 }), TimeoutError);
      await assertRejects(() => future.result({ timeout: 3 }), TimeoutError);
      await assertRejects(() => future.exception({ timeout: 3 }), TimeoutError);
    }
    assertEquals(looks(running), LOOKS.running);
    assertEquals(looks(pending), LOOKS.pending);
    gate.open();
    assertEquals(running.resultSync(), "ran");
    assertThrows(() => pending.resultSync(), RangeError, "too far");
    assertInstanceOf(await pending.exception(), RangeError);
    await pool.shutdown();
    assertEquals(liveWorkers(), 0);
  },
);

Deno.test("Future.result() of a pool gives the very same error each time", {
  timeout: TIMEOUT_MS,
}, async () => {
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  const future = pool.submit(JSON.parse, "{");
  const error = await assertRejects(() => future.result(), SyntaxError);
  assertStrictEquals(await future.exception(), error);
  assertStrictEquals(future.exceptionSync(), error);
  assertStrictEquals(
    assertThrows(() => future.resultSync(), SyntaxError),
    error,
  );
  await pool.shutdown();
  assertEquals(liveWorkers(), 0);
});

// ------------------------------------------------------------------- types

Deno.test("Future is typed by what the call returns", () => {
  type Text = Future<string>;
  assertType<IsExact<Awaited<Text>, string>>(true);
  assertType<IsExact<ReturnType<Text["result"]>, Promise<string>>>(true);
  assertType<IsExact<ReturnType<Text["resultSync"]>, string>>(true);
  assertType<IsExact<ReturnType<Text["exception"]>, Promise<unknown>>>(true);
  assertType<IsExact<ReturnType<Text["exceptionSync"]>, unknown>>(true);
  assertType<IsExact<ReturnType<Text["cancel"]>, boolean>>(true);

  const followed = Future.from(Promise.resolve(3));
  assertType<IsExact<typeof followed, Future<number>>>(true);
  const mapped = followed.then((n) => String(n), () => false);
  assertType<IsExact<typeof mapped, Promise<string | boolean>>>(true);
  const caught = followed.catch(() => "no");
  assertType<IsExact<typeof caught, Promise<number | string>>>(true);
  const same = followed.finally(() => {});
  assertType<IsExact<typeof same, Promise<number>>>(true);
  followed.addDoneCallback((future) => {
    assertType<IsExact<typeof future, Future<number>>>(true);
  });
});

Deno.test("Future is covariant", () => {
  const text = new Future<"text">();
  const wider: Future<string> = text;
  const either: Future<string | number> = text;
  const unknown: Future<unknown> = text;
  const promiseLike: PromiseLike<unknown> = text;
  // @ts-expect-error what may be any string is no "text"
  const narrower: Future<"text"> = wider;
  // @ts-expect-error what may be a number is no string
  const other: Future<string> = either;
  for (const same of [wider, either, unknown, promiseLike, narrower, other]) {
    assertStrictEquals(same, text);
  }
});
