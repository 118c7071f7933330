import {
  assert,
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { delay } from "@std/async/delay";
import { FakeTime } from "@std/testing/time";
import { getEventListeners } from "node:events";
import {
  type Callable,
  CancelledError,
  Executor,
  Future,
  importTasks,
  type MapOptions,
  MapResults,
  RuntimeError,
  SerializationError,
  type SubmitOptions,
  ThreadPoolExecutor,
  TimeoutError,
} from "../mod.ts";
import { Gate, passGate } from "./_gate.ts";
import { liveWorkers } from "./_leaks.ts";

const TIMEOUT_MS = 30_000;
const HOUR_MS = 3_600_000;
const FORMS = ["for await", "for"] as const;

/** Defines a test with a pool, and asserts that no worker is left after it. */
function testPool(
  name: string,
  maxWorkers: number,
  fn: (pool: ThreadPoolExecutor) => Promise<void>,
): void {
  Deno.test(name, { timeout: TIMEOUT_MS }, async () => {
    const pool = new ThreadPoolExecutor({ maxWorkers });
    try {
      await fn(pool);
    } finally {
      await pool.shutdown();
    }
    assertEquals(liveWorkers(), 0);
  });
}

/** What came out of an iteration: the values, and what it threw in the end. */
interface Outcome<R> {
  values: R[];
  thrown?: [unknown];
}

/** Goes through `results` in one form or the other, until `stop` says so. */
async function collect<R>(
  form: (typeof FORMS)[number],
  results: MapResults<R>,
  stop: (value: R) => boolean = () => false,
): Promise<Outcome<R>> {
  const values: R[] = [];
  try {
    if (form === "for") {
      for (const value of results) {
        values.push(value);
        if (stop(value)) break;
      }
    } else {
      for await (const value of results) {
        values.push(value);
        if (stop(value)) break;
      }
    }
  } catch (error) {
    return { values, thrown: [error] };
  }
  return { values };
}

async function assertOver(results: MapResults<unknown>): Promise<void> {
  assertEquals(await results.next(), { done: true, value: undefined });
  assertEquals([...results], []);
}

/** Counts from 0 on, and says how far it was pulled and whether it was closed. */
class Naturals implements IterableIterator<number> {
  readonly #length: number;
  pulls = 0;
  returns = 0;

  constructor(length = Infinity) {
    this.#length = length;
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<number> {
    const value = this.pulls++;
    return value < this.#length
      ? { done: false, value }
      : { done: true, value: undefined };
  }

  return(): IteratorResult<number> {
    this.returns++;
    return { done: true, value: undefined };
  }
}

function double(n: number): number {
  return n * 2;
}

/** Throws at 3; what it is called with is counted. */
function failAtThree(memory: SharedArrayBuffer, n: number): number {
  Atomics.add(new Int32Array(memory), 0, 1);
  if (n === 3) throw new RangeError("three");
  return n;
}

function counter(): { memory: SharedArrayBuffer; read(): number } {
  const memory = new SharedArrayBuffer(4);
  return { memory, read: () => Atomics.load(new Int32Array(memory), 0) };
}

/** The same item again and again, for one parameter of a call. */
function repeat<T>(item: T, times: number): T[] {
  return Array.from({ length: times }, () => item);
}

// ------------------------------------------------------------------ values

testPool(
  "map() yields in input order whatever is done first",
  2,
  async (pool) => {
    function turnstile(memory: SharedArrayBuffer, i: number): number {
      const words = new Int32Array(memory);
      if (i === 0) Atomics.wait(words, 0, 0);
      else {
        Atomics.store(words, 0, 1);
        Atomics.notify(words, 0);
      }
      return i;
    }
    for (const form of FORMS) {
      const memory = new SharedArrayBuffer(4);
      const results = pool.map(turnstile, repeat(memory, 2), [0, 1]);
      assertEquals(await collect(form, results), { values: [0, 1] });
    }
  },
);

for (const form of FORMS) {
  testPool(
    `map() with ${form} gives what a loop gives, whatever the options`,
    2,
    async (pool) => {
      for (const length of [0, 1, 2, 5, 8]) {
        const bases = Array.from({ length }, (_, i) => i + 1);
        const exponents = [3, 2, 1, 0, 1, 2];
        const expected = bases.slice(0, exponents.length)
          .map((base, i) => base ** exponents[i]);
        for (const chunkSize of [undefined, 1, 2, 3, 100]) {
          for (const bufferSize of [undefined, 1, 2, 100]) {
            for (const timeout of [undefined, HOUR_MS]) {
              const options = { chunkSize, bufferSize, timeout };
              const results = pool.map(Math.pow, bases, exponents, options);
              assertEquals(
                await collect(form, results),
                { values: expected },
                `${length} items with ${JSON.stringify(options)}`,
              );
              await assertOver(results);
            }
          }
        }
      }
    },
  );

  testPool(
    `map() with ${form} keeps every kind of value in its place`,
    1,
    async (pool) => {
      const items = [undefined, null, NaN, -0, 1n, new Date(0), "", [
        undefined,
      ]];
      for (const chunkSize of [1, 3, 100]) {
        const identity = pool.map((value: unknown) => value, items, {
          chunkSize,
        });
        assertEquals(await collect(form, identity), { values: items });
        const nothing = pool.map((_: unknown) => {}, items, { chunkSize });
        assertEquals(await collect(form, nothing), {
          values: repeat(undefined, items.length),
        });
      }
    },
  );

  testPool(
    `map() with ${form} calls with undefined for the holes of an array`,
    1,
    async (pool) => {
      const sparse: (number | undefined)[] = [1];
      sparse[2] = 3;
      for (const chunkSize of [1, 2, 3]) {
        const results = pool.map(
          (value: number | undefined) => `${value}`,
          sparse,
          { chunkSize },
        );
        assertEquals(await collect(form, results), {
          values: ["1", "undefined", "3"],
        });
      }
    },
  );

  testPool(
    `map() with ${form} awaits what an async function returns`,
    2,
    async (pool) => {
      async function later(n: number): Promise<number> {
        await new Promise((resolve) => setTimeout(resolve, 3 - n));
        return n;
      }
      for (const chunkSize of [1, 2]) {
        const results = pool.map(later, [0, 1, 2], { chunkSize });
        assertEquals(await collect(form, results), { values: [0, 1, 2] });
      }
    },
  );

  testPool(
    `map() with ${form} zips and stops at the shortest`,
    1,
    async (pool) => {
      function join(...parts: (string | number)[]): string {
        return parts.join("");
      }
      for (const chunkSize of [1, 2, 3]) {
        const naturals = new Naturals();
        const results = pool.map(join, "abc", naturals, [7, 8, 9, 10], {
          chunkSize,
        });
        assertEquals(await collect(form, results), {
          values: ["a07", "b18", "c29"],
        });
        assertEquals(naturals.returns, 1);
        const none = pool.map(join, "abc", [], new Naturals(), { chunkSize });
        assertEquals(await collect(form, none), { values: [] });
      }
    },
  );

  testPool(
    `map() with ${form} pairs the items of one iterator, whatever chunkSize`,
    1,
    async (pool) => {
      for (const chunkSize of [1, 2, 3]) {
        const items = [2, 1, 3, 2, 5, 3].values();
        const results = pool.map(Math.pow, items, items, { chunkSize });
        assertEquals(await collect(form, results), { values: [2, 9, 125] });
      }
    },
  );

  testPool(
    `map() with ${form} sends a callable by reference`,
    1,
    async (pool) => {
      const tasks = importTasks<{ half(n: number): number }>(
        "data:text/javascript,export const half = (n) => n / 2;",
      );
      for (const chunkSize of [1, 2]) {
        const results = pool.map(tasks.half, [2, 4, 6], { chunkSize });
        assertEquals(await collect(form, results), { values: [1, 2, 3] });
      }
    },
  );
}

testPool(
  "map() calls nothing when it is given no iterable",
  1,
  async (pool) => {
    const results = pool.map(() => 1);
    assertEquals(await Array.fromAsync(results), []);
    assertEquals([...pool.map(() => 1, { chunkSize: 2 })], []);
  },
);

testPool(
  "map() collects its iterables at once without bufferSize",
  1,
  (pool) => {
    for (const chunkSize of [1, 4]) {
      const naturals = new Naturals(10);
      pool.map(double, naturals, { chunkSize });
      assertEquals(naturals.pulls, 11);
    }
    return Promise.resolve();
  },
);

testPool(
  "map() runs its calls though nobody consumes them",
  1,
  async (pool) => {
    const { memory, read } = counter();
    pool.map(failAtThree, repeat(memory, 5), [1, 2, 4, 5, 6]);
    await pool.shutdown();
    assertEquals(read(), 5);
  },
);

// -------------------------------------------------------------- bufferSize

for (const form of FORMS) {
  for (const bufferSize of [1, 3]) {
    for (const chunkSize of [1, 2]) {
      testPool(
        `map() with ${form} takes ${bufferSize} tasks of ${chunkSize} ahead from an endless iterable`,
        1,
        async (pool) => {
          const naturals = new Naturals();
          const ahead = bufferSize * chunkSize;
          const results = pool.map(double, naturals, { bufferSize, chunkSize });
          assertEquals(naturals.pulls, ahead);

          const pulls: number[] = [];
          const { values } = await collect(form, results, (value) => {
            pulls.push(naturals.pulls);
            return value === 10;
          });
          assertEquals(values, [0, 2, 4, 6, 8, 10]);
          // With each task that the consumer begins, one more is sent.
          const expected = values.map((_, i) =>
            ahead + (Math.floor(i / chunkSize) + 1) * chunkSize
          );
          assertEquals(pulls, expected);
        },
      );
    }
  }

  testPool(
    `map() with ${form} closes an iterable when its consumer stops early`,
    1,
    async (pool) => {
      for (const chunkSize of [1, 2]) {
        const naturals = new Naturals();
        const other = new Naturals();
        const results = pool.map(Math.max, naturals, other, {
          bufferSize: 2,
          chunkSize,
        });
        await collect(form, results, (value) => value === 3);
        assertEquals([naturals.returns, other.returns], [1, 1]);
      }
    },
  );

  testPool(
    `map() with ${form} closes an iterable when a call fails`,
    1,
    async (pool) => {
      const { memory } = counter();
      const naturals = new Naturals();
      const results = pool.map(failAtThree, repeat(memory, 100), naturals, {
        bufferSize: 2,
      });
      const { values, thrown } = await collect(form, results);
      assertEquals(values, [0, 1, 2]);
      assertInstanceOf(thrown?.[0], RangeError);
      assertEquals(naturals.returns, 1);
    },
  );

  testPool(
    `map() with ${form} does not close an iterable that has ended`,
    1,
    async (pool) => {
      const naturals = new Naturals(3);
      const results = pool.map(double, naturals, { bufferSize: 1 });
      assertEquals(await collect(form, results), { values: [0, 2, 4] });
      assertEquals([naturals.pulls, naturals.returns], [4, 0]);
    },
  );

  testPool(
    `map() with ${form} throws what an iterable throws on the way`,
    1,
    async (pool) => {
      const oops = new Error("oops");
      function* broken() {
        yield* [1, 2, 3];
        throw oops;
      }
      const results = pool.map(double, broken(), { bufferSize: 1 });
      const { thrown } = await collect(form, results);
      assertStrictEquals(thrown?.[0], oops);
      await assertOver(results);
    },
  );
}

testPool(
  "map() throws what an iterable throws at the call",
  1,
  async (pool) => {
    const oops = new Error("oops");
    function* broken() {
      yield 1;
      throw oops;
    }
    for (const chunkSize of [1, 2]) {
      const error = assertThrows(() =>
        pool.map(double, broken(), { chunkSize, bufferSize: 2 })
      );
      assertStrictEquals(error, oops);
    }
    assertEquals(await pool.submit(double, 2), 4);
  },
);

testPool(
  "map() ends with RuntimeError when it must send more after shutdown",
  1,
  async (pool) => {
    const results = pool.map(double, [1, 2, 3], { bufferSize: 2 });
    const shutdown = pool.shutdown();
    await assertRejects(() => Array.fromAsync(results), RuntimeError);
    await shutdown;
    await assertOver(results);
  },
);

testPool("map() hands out what it has sent after shutdown", 1, async (pool) => {
  const results = pool.map(double, [1, 2, 3]);
  const blocking = pool.map(double, [1, 2, 3], { chunkSize: 2 });
  const shutdown = pool.shutdown();
  assertEquals(await Array.fromAsync(results), [2, 4, 6]);
  assertEquals([...blocking], [2, 4, 6]);
  await shutdown;
});

testPool(
  "map() throws CancelledError where shutdown cancelled a call",
  1,
  async (pool) => {
    using gate = new Gate();
    const memories = repeat(gate.memory, 3);
    const results = pool.map(passGate, memories, "abc");
    await gate.arrived(1);
    const shutdown = pool.shutdown({ cancelFutures: true });
    gate.open();
    const { values, thrown } = await collect("for await", results);
    assertEquals(values, ["a"]);
    assertInstanceOf(thrown?.[0], CancelledError);
    await shutdown;
  },
);

// ---------------------------------------------------------------- failures

for (const form of FORMS) {
  for (const chunkSize of [1, 2, 3, 4, 100]) {
    testPool(
      `map() with ${form} and chunkSize ${chunkSize} throws a call's error where its value would be`,
      1,
      async (pool) => {
        const { memory, read } = counter();
        const items = [1, 2, 3, 4, 5, 6, 7, 8];
        const results = pool.map(failAtThree, repeat(memory, 8), items, {
          chunkSize,
        });
        const { values, thrown } = await collect(form, results);
        assertEquals(values, [1, 2]);
        const [error] = thrown ?? [];
        assertInstanceOf(error, RangeError);
        assertEquals(error.message, "three");
        await assertOver(results);
        await pool.shutdown();
        // A call that fails ends its chunk.
        if (chunkSize >= 100) assertEquals(read(), 3);
      },
    );
  }

  testPool(`map() with ${form} throws even undefined`, 1, async (pool) => {
    function throwUndefined(n: number): number {
      if (n === 2) throw undefined;
      return n;
    }
    for (const chunkSize of [1, 3]) {
      const results = pool.map(throwUndefined, [1, 2, 3], { chunkSize });
      const outcome = await collect(form, results);
      assertEquals(outcome, { values: [1], thrown: [undefined] });
    }
  });

  testPool(
    `map() with ${form} throws the rejection of an async function`,
    1,
    async (pool) => {
      async function reject(n: number): Promise<number> {
        await Promise.resolve();
        if (n === 2) throw new RangeError("two");
        return n;
      }
      for (const chunkSize of [1, 3]) {
        const results = pool.map(reject, [1, 2, 3], { chunkSize });
        const { values, thrown } = await collect(form, results);
        assertEquals(values, [1]);
        assertInstanceOf(thrown?.[0], RangeError);
      }
    },
  );

  testPool(
    `map() with ${form} throws SerializationError for what cannot travel`,
    1,
    async (pool) => {
      const items: unknown[] = [1, () => {}, 3];
      const arriving = pool.map((item: unknown) => typeof item, items);
      const there = await collect(form, arriving);
      assertEquals(there.values, ["number"]);
      assertInstanceOf(there.thrown?.[0], SerializationError);

      function make(n: number): unknown {
        return n === 2 ? () => {} : n;
      }
      for (const chunkSize of [1, 3]) {
        const leaving = pool.map(make, [1, 2, 3], { chunkSize });
        const back = await collect(form, leaving);
        assertEquals(back.values, [1], `chunkSize ${chunkSize}`);
        assertInstanceOf(back.thrown?.[0], SerializationError);
      }
      assertEquals(await pool.submit(double, 2), 4);
    },
  );

  testPool(
    `map() with ${form} cancels the rest when a call fails`,
    1,
    async (pool) => {
      function failOrWait(memory: SharedArrayBuffer, fails: boolean): boolean {
        if (fails) throw new RangeError("at once");
        const words = new Int32Array(memory);
        Atomics.add(words, 1, 1);
        Atomics.notify(words, 1);
        Atomics.wait(words, 0, 0);
        return fails;
      }
      for (const chunkSize of [1, 2]) {
        using gate = new Gate();
        const fails = [true, ...repeat(false, 9)];
        const memories = repeat(gate.memory, 10);
        const results = pool.map(failOrWait, memories, fails, { chunkSize });
        await gate.arrived(1); // the worker is in the second task
        const { values, thrown } = await collect(form, results);
        assertEquals(values, []);
        assertInstanceOf(thrown?.[0], RangeError);
        gate.open();
        // One worker: what comes later is done later.
        assertEquals(await pool.submit(double, 2), 4);
        assertEquals(gate.arrivals, chunkSize);
      }
    },
  );
}

// -------------------------------------------------------------- early ends

/** How a consumer may leave, with what it throws. */
const LEAVES: readonly [
  what: string,
  leave: (results: MapResults<string>) => Promise<void>,
][] = [
  ["breaks out of for await", async (results) => {
    for await (const value of results) {
      assertEquals(value, "0");
      break;
    }
  }],
  ["breaks out of for", (results) => {
    for (const value of results) {
      assertEquals(value, "0");
      break;
    }
    return Promise.resolve();
  }],
  ["throws out of for await", async (results) => {
    await assertRejects(
      async () => {
        for await (const _ of results) throw new Error("oops");
      },
      Error,
      "oops",
    );
  }],
  ["throws out of for", (results) => {
    assertThrows(
      () => {
        for (const _ of results) throw new Error("oops");
      },
      Error,
      "oops",
    );
    return Promise.resolve();
  }],
  ["calls return()", async (results) => {
    assertEquals((await results.next()).value, "0");
    const end = await results.return();
    assertEquals(end, { done: true, value: undefined });
  }],
  ["calls return() before next()", async (results) => {
    await results.return();
  }],
];

for (const [what, leave] of LEAVES) {
  testPool(
    `map() cancels what has not started when its consumer ${what}`,
    1,
    async (pool) => {
      for (const chunkSize of [1, 2]) {
        using open = new Gate();
        using gate = new Gate();
        open.open();
        const memories = repeat(open.memory, chunkSize)
          .concat(repeat(gate.memory, 20));
        const names = memories.map((_, i) => String(i));
        const results = pool.map(passGate, memories, names, { chunkSize });
        await gate.arrived(1); // the worker is in the second task
        await leave(results);
        await assertOver(results);
        gate.open();
        // One worker: what comes later is done later.
        assertEquals(await pool.submit(double, 2), 4);
        assertEquals(gate.arrivals, chunkSize);
      }
    },
  );
}

testPool(
  "map() is used up by one iteration, in either form",
  1,
  async (pool) => {
    const results = pool.map(double, [1, 2, 3, 4], { chunkSize: 3 });
    assertInstanceOf(results, MapResults);
    assertStrictEquals(results[Symbol.asyncIterator](), results);
    assertEquals(await results.next(), { done: false, value: 2 });
    // The other form goes on where this one stopped.
    assertEquals([...results], [4, 6, 8]);
    await assertOver(results);
  },
);

// ------------------------------------------------- next() calls that overlap

for (const chunkSize of [1, 2, 3, 100]) {
  testPool(
    `MapResults.next() answers in order when calls overlap, chunkSize ${chunkSize}`,
    2,
    async (pool) => {
      const results = pool.map(double, [0, 1, 2, 3, 4], { chunkSize });
      const calls = Array.from({ length: 7 }, () => results.next());
      const order: number[] = [];
      calls.forEach((call, i) => call.then(() => order.push(i)));
      const answers = await Promise.all(calls);
      assertEquals(
        answers.map(({ value }) => value),
        [0, 2, 4, 6, 8, undefined, undefined],
      );
      assertEquals(
        answers.map(({ done }) => done),
        [false, false, false, false, false, true, true],
      );
      assertEquals(order, [0, 1, 2, 3, 4, 5, 6]);
    },
  );

  testPool(
    `MapResults.next() keeps the order when a call comes between two answers, chunkSize ${chunkSize}`,
    1,
    async (pool) => {
      const results = pool.map(double, [0, 1, 2, 3], { chunkSize });
      const first = results.next();
      const second = results.next();
      const third = first.then(() => results.next());
      const answers = await Promise.all([first, second, third]);
      assertEquals(answers.map(({ value }) => value), [0, 2, 4]);
      assertEquals((await results.next()).value, 6);
    },
  );

  testPool(
    `MapResults.next() rejects once when calls overlap and one fails, chunkSize ${chunkSize}`,
    1,
    async (pool) => {
      const { memory } = counter();
      const results = pool.map(failAtThree, repeat(memory, 4), [1, 3, 1, 3], {
        chunkSize,
      });
      const answers = await Promise.allSettled(
        Array.from({ length: 5 }, () => results.next()),
      );
      const [first, second, ...rest] = answers;
      assertEquals(first, {
        status: "fulfilled",
        value: { done: false, value: 1 },
      });
      assertEquals(second.status, "rejected");
      assertInstanceOf((second as PromiseRejectedResult).reason, RangeError);
      for (const answer of rest) {
        assertEquals(answer, {
          status: "fulfilled",
          value: { done: true, value: undefined },
        });
      }
    },
  );
}

testPool(
  "MapResults.return() ends next() calls that wait for tasks not started",
  1,
  async (pool) => {
    using gate = new Gate();
    const held = pool.submit(passGate, gate.memory, "held");
    await gate.arrived(1);
    const results = pool.map(double, [1, 2, 3]);
    const calls = [results.next(), results.next()];
    await delay(0);
    await results.return();
    for (const call of calls) {
      assertEquals(await call, { done: true, value: undefined });
    }
    gate.open();
    assertEquals(await held, "held");
  },
);

testPool(
  "MapResults.return() ends a next() call that waits for a running task",
  1,
  async (pool) => {
    using gate = new Gate();
    const results = pool.map(passGate, [gate.memory], ["late"]);
    await gate.arrived(1);
    const call = results.next();
    await delay(0);
    await results.return();
    gate.open();
    assertEquals(await call, { done: true, value: undefined });
  },
);

// ----------------------------------------------------------------- timeout

for (const form of FORMS) {
  for (const timeout of [0, 5]) {
    testPool(
      `map() with ${form} throws TimeoutError when a value is not there after ${timeout} ms`,
      1,
      async (pool) => {
        using open = new Gate();
        using gate = new Gate();
        open.open();
        const memories = [open.memory, open.memory, gate.memory, gate.memory];
        const results = pool.map(passGate, memories, "abcd", { timeout });
        await gate.arrived(1);
        await delay(timeout + 5); // the time counts from the call
        const { values, thrown } = await collect(form, results);
        // What is there comes out, however late.
        assertEquals(values, ["a", "b"]);
        assertInstanceOf(thrown?.[0], TimeoutError);
        await assertOver(results);
        gate.open();
        assertEquals(await pool.submit(double, 2), 4);
        assertEquals(gate.arrivals, 1, "the rest is cancelled");
      },
    );
  }

  testPool(
    `map() with ${form} throws TimeoutError when the first task is not started in time`,
    1,
    async (pool) => {
      using gate = new Gate();
      const held = pool.submit(passGate, gate.memory, "held");
      for (const chunkSize of [1, 2]) {
        const results = pool.map(double, [1, 2, 3], { timeout: 3, chunkSize });
        const { values, thrown } = await collect(form, results);
        assertEquals(values, []);
        assertInstanceOf(thrown?.[0], TimeoutError);
        await assertOver(results);
      }
      gate.open();
      assertEquals(await held, "held");
    },
  );

  testPool(
    `map() with ${form} gives all when all is there in time, whatever the time`,
    1,
    async (pool) => {
      for (const timeout of [0, 1, HOUR_MS, 2 ** 40, Infinity]) {
        const results = pool.map(double, [1, 2, 3], { timeout });
        await pool.submit(double, 1); // done after them: one worker
        await delay(2);
        assertEquals(await collect(form, results), { values: [2, 4, 6] });
      }
    },
  );

  testPool(
    `map() with ${form} tells a task's own TimeoutError from its own`,
    1,
    async (pool) => {
      const { runOutOfTime } = importTasks<typeof import("./_error_tasks.ts")>(
        import.meta.resolve("./_error_tasks.ts"),
      );
      for (const chunkSize of [1, 2]) {
        const fn = runOutOfTime as unknown as (n: number) => number;
        const results = pool.map(fn, [1], { timeout: HOUR_MS, chunkSize });
        const { thrown } = await collect(form, results);
        const [error] = thrown ?? [];
        assertInstanceOf(error, TimeoutError);
        assertEquals(error.message, "the task's own");
      }
    },
  );
}

testPool(
  "map() counts the time from its call, not from a step",
  1,
  async (pool) => {
    using gate = new Gate();
    for (const chunkSize of [1, 2]) {
      const results = pool.map(passGate, repeat(gate.memory, 2), "ab", {
        timeout: 5,
        chunkSize,
      });
      await gate.arrived(1);
      await delay(10);
      using time = new FakeTime(); // no timer will fire any more
      await assertRejects(() => results.next(), TimeoutError);
      assertFalse(time.next(), "no timer is left");
      assertEquals(await results.next(), { done: true, value: undefined });
    }
  },
);

// ------------------------------------------------------------------ signal

for (const chunkSize of [1, 2]) {
  Deno.test(
    `map() rejects with the signal's reason when it aborts, chunkSize ${chunkSize}`,
    {
      timeout: TIMEOUT_MS,
    },
    async () => {
      using open = new Gate();
      using gate = new Gate();
      open.open();
      const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
      const controller = new AbortController();
      const { signal } = controller;
      const memories = repeat(open.memory, 2).concat(repeat(gate.memory, 4));
      const results = pool.map(passGate, memories, "abcdef", {
        signal,
        chunkSize,
        timeout: HOUR_MS,
      });
      assertEquals((await results.next()).value, "a");
      assertEquals((await results.next()).value, "b");
      const next = results.next();
      await gate.arrived(1);
      const settled = Promise.allSettled([next]);
      const reason = new Error("enough");
      controller.abort(reason);
      const [answer] = await settled;
      assertStrictEquals((answer as PromiseRejectedResult).reason, reason);
      await assertOver(results);
      assertEquals(getEventListeners(signal, "abort"), []);

      // The running task was stopped, its worker replaced, the rest cancelled.
      assertEquals(await pool.submit(double, 2), 4);
      assertEquals(gate.arrivals, 1);
      gate.open();
      await pool.shutdown();
      // The worker that was set aside goes when its code has returned.
      while (liveWorkers() > 0) await delay(1);
      assertEquals(liveWorkers(), 0);
    },
  );
}

for (const form of FORMS) {
  testPool(
    `map() with ${form} throws the reason when aborted before`,
    1,
    async (pool) => {
      const reason = new Error("enough");
      const signal = AbortSignal.abort(reason);
      for (const chunkSize of [1, 2]) {
        const { memory, read } = counter();
        const results = pool.map(failAtThree, repeat(memory, 3), [1, 2, 4], {
          signal,
          chunkSize,
        });
        const outcome = await collect(form, results);
        assertEquals(outcome.values, []);
        assertStrictEquals(outcome.thrown?.[0], reason);
        await assertOver(results);
        assertEquals(await pool.submit(double, 2), 4);
        assertEquals(read(), 0);
      }
    },
  );

  testPool(
    `map() with ${form} throws the reason when its consumer aborts`,
    1,
    async (pool) => {
      const reason = new Error("enough");
      const controller = new AbortController();
      const { signal } = controller;
      const naturals = new Naturals();
      const results = pool.map(double, naturals, { signal, bufferSize: 1 });
      const { values, thrown } = await collect(form, results, (value) => {
        if (value === 4) controller.abort(reason);
        return value > 100;
      });
      assertStrictEquals(thrown?.[0], reason);
      assertEquals(values.slice(0, 3), [0, 2, 4]);
      assertEquals(getEventListeners(signal, "abort"), []);
      // Where a task was running, its worker was set aside and replaced.
      assertEquals(await pool.submit(double, 2), 4);
      while (liveWorkers() > 1) await delay(1);
    },
  );

  testPool(
    `map() with ${form} forgets the signal when all is done`,
    1,
    async (pool) => {
      const { signal } = new AbortController();
      for (const chunkSize of [1, 2]) {
        const results = pool.map(double, [1, 2, 3], { signal, chunkSize });
        assert(getEventListeners(signal, "abort").length > 0);
        assertEquals(await collect(form, results), { values: [2, 4, 6] });
        assertEquals(getEventListeners(signal, "abort"), []);
      }
    },
  );
}

// ----------------------------------------------------------- wrong arguments

const WRONG: readonly [
  options: Record<string, unknown>,
  errorClass: typeof TypeError | typeof RangeError,
][] = [
  [{ chunkSize: 0 }, RangeError],
  [{ chunkSize: -1 }, RangeError],
  [{ chunkSize: 1.5 }, RangeError],
  [{ chunkSize: NaN }, RangeError],
  [{ chunkSize: Infinity }, RangeError],
  [{ chunkSize: "2" }, TypeError],
  [{ chunkSize: 2n }, TypeError],
  [{ bufferSize: 0 }, RangeError],
  [{ bufferSize: -1 }, RangeError],
  [{ bufferSize: 1.5 }, RangeError],
  [{ bufferSize: NaN }, RangeError],
  [{ bufferSize: "2" }, TypeError],
  [{ timeout: -1 }, RangeError],
  [{ timeout: NaN }, RangeError],
  [{ timeout: "5" }, TypeError],
  [{ timeout: null }, TypeError],
  [{ signal: {} }, TypeError],
  [{ signal: null }, TypeError],
];

for (const [options, errorClass] of WRONG) {
  Deno.test(`map() throws ${errorClass.name} at the call when given ${Deno.inspect(options)}`, async () => {
    const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
    const naturals = new Naturals(3);
    const error = assertThrows(
      () => pool.map(double, naturals, options as MapOptions),
      errorClass,
      `"${Object.keys(options)[0]}"`,
    );
    assertStrictEquals(error.constructor, errorClass);
    assertEquals(naturals.pulls, 0, "nothing was taken");
    await pool.shutdown();
    assertEquals(liveWorkers(), 0);
  });
}

Deno.test("map() throws TypeError at the call when an argument is no iterable", async () => {
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  const map = pool.map.bind(pool) as (...args: unknown[]) => unknown;
  const naturals = new Naturals(3);
  for (
    const args of [
      [5],
      [naturals, 5],
      [5, naturals],
      [{ chunkSize: 1 }, naturals],
      [naturals, null],
      [naturals, {}, {}],
      [naturals, () => {}],
    ]
  ) {
    assertThrows(() => map(double, ...args), TypeError);
  }
  assertEquals(naturals.pulls, 0, "nothing was taken");
  await pool.shutdown();
  assertEquals(liveWorkers(), 0);
});

Deno.test("map() throws TypeError at the call when there is nothing to call", async () => {
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  const map = pool.map.bind(pool) as (...args: unknown[]) => unknown;
  for (const wrong of [undefined, null, "double", {}]) {
    for (const chunkSize of [1, 2]) {
      assertThrows(() => map(wrong, [1, 2], { chunkSize }), TypeError);
    }
  }
  await pool.shutdown();
  assertEquals(liveWorkers(), 0);
});

Deno.test("map() throws RuntimeError at the call after shutdown", async () => {
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  await pool.shutdown();
  const naturals = new Naturals(3);
  for (const chunkSize of [1, 2]) {
    assertThrows(() => pool.map(double, naturals, { chunkSize }), RuntimeError);
  }
  assertEquals(naturals.pulls, 0, "nothing was taken");
  assertEquals(liveWorkers(), 0);
});

testPool("map() takes options of undefined as no options", 1, async (pool) => {
  const map = pool.map.bind(pool) as (
    fn: typeof double,
    items: number[],
    options: undefined,
  ) => MapResults<number>;
  assertEquals(await Array.fromAsync(map(double, [1, 2], undefined)), [2, 4]);
});

testPool(
  "map() results are no future and do not settle as one",
  1,
  async (pool) => {
    const results = pool.map(double, [1]);
    assertFalse("then" in results);
    assertFalse((results as unknown) instanceof Future);
    assertStrictEquals(await results, results);
    assertEquals([...results], [2]);
  },
);

// ------------------------------------------------- executors of other kinds

/** Calls at once, in this thread; knows nothing of chunks. */
class InlineExecutor extends Executor {
  calls = 0;

  override submitWith<A extends unknown[], R>(
    _: SubmitOptions,
    fn: Callable<A, R>,
    ...args: A
  ): Future<Awaited<R>> {
    this.calls++;
    const future = new Future<Awaited<R>>();
    try {
      future.setResult((fn as (...args: A) => Awaited<R>)(...args));
    } catch (error) {
      future.setException(error);
    }
    return future;
  }

  override shutdown(): Promise<void> {
    return Promise.resolve();
  }

  override shutdownSync(): void {}
}

for (const form of FORMS) {
  Deno.test(`Executor.map() with ${form} works for an executor that knows no chunks`, async () => {
    for (const chunkSize of [undefined, 1, 3]) {
      const inline = new InlineExecutor();
      const results = inline.map(Math.pow, [2, 3, 4, 5], [3, 2, 1], {
        chunkSize,
      });
      assertEquals(await collect(form, results), { values: [8, 9, 4] });
      assertEquals(inline.calls, 3);
    }
  });

  Deno.test(`Executor.map() with ${form} and bufferSize asks an executor one call at a time`, async () => {
    const inline = new InlineExecutor();
    const results = inline.map(double, new Naturals(), { bufferSize: 2 });
    assertEquals(inline.calls, 2);
    const { values } = await collect(form, results, (value) => value === 6);
    assertEquals(values, [0, 2, 4, 6]);
    assertEquals(inline.calls, 6);
  });
}
