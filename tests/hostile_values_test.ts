/**
 * Values that mean ill, through both pools: each arrives as structured clone would have it, or fails
 * its own future; nothing else is touched, and the pool stays good.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  type Executor,
  type Future,
  importTasks,
  ProcessPoolExecutor,
  RuntimeError,
  SerializationError,
  ThreadPoolExecutor,
} from "../mod.ts";
import { decodeValue, encodeValue } from "../_codec.ts";
import { type Form, FORMS, testPool } from "./_harness.ts";
import {
  depthOf,
  HOSTILE,
  type HostileValue,
  nest,
  VAST,
  WAYS,
} from "./_hostile_values.ts";
import { testProcesses } from "./_process_tasks.ts";
import { runProgram } from "./_program.ts";
import { assertSameValue } from "./_values.ts";

const tasks = importTasks<typeof import("./_value_tasks.ts")>(
  import.meta.resolve("./_value_tasks.ts"),
);

/** A task: returns what it is given. */
function echo<T>(value: T): T {
  return value;
}

/** A task: how many tasks of its kind its worker has run. */
function countHere(): number {
  const counts = globalThis as { hostileCount?: number };
  return counts.hostileCount = (counts.hostileCount ?? 0) + 1;
}

/** What can be found on the prototypes of all objects; a task as well. */
function prototypeKeys(): string {
  return [Object, Array, Function, Map, Set, Error, Uint8Array, String]
    .map(({ prototype }) => Reflect.ownKeys(prototype).map(String).join())
    .join("\n");
}

/** What is to come of a value; `undefined` where it is to be refused. */
function outcomeOf(
  { make, expected }: HostileValue,
): { value: unknown } | undefined {
  try {
    return {
      value: expected === undefined ? structuredClone(make()) : expected(),
    };
  } catch {
    return undefined;
  }
}

/** Does `fn` for every hostile value, and says at the end for which it failed. */
async function forEveryValue(
  pool: Executor,
  fn: (value: HostileValue) => Promise<void>,
): Promise<void> {
  const keys = prototypeKeys();
  await pool.submit(countHere);
  await pool.submit(tasks.makeHostile, HOSTILE[0].name); // it knows the module from now on
  const keysThere = await pool.submit(prototypeKeys);
  const failures: string[] = [];
  for (const value of HOSTILE) {
    try {
      await fn(value);
      assertEquals(await pool.submit(echo, "good"), "good");
    } catch (error) {
      failures.push(`${value.name}: ${error}`);
    }
  }
  assertEquals(failures, []);
  assertEquals(prototypeKeys(), keys);
  assertEquals(await pool.submit(prototypeKeys), keysThere);
  assertEquals(await pool.submit(countHere), 2); // the same worker has done it all
}

/** Asserts that a future comes to what is expected, or that it is refused where nothing is. */
async function check(
  form: Form,
  future: Future<unknown>,
  expected: { value: unknown } | undefined,
): Promise<void> {
  if (expected === undefined) {
    await assertRejects(() => form.result(future), SerializationError);
  } else assertSameValue(await form.result(future), expected.value);
}

// ------------------------------------------------------------- the codec

function roundTrip(value: unknown): unknown {
  const payload = encodeValue(value, { canMove: true }, "it");
  const buffers = payload.buffers.map((buffer) => buffer.slice());
  return decodeValue(payload.format, payload.text, buffers, [
    ...payload.moved,
  ]);
}

Deno.test("encodeValue() brings hostile values back as structured clone does, or refuses them", () => {
  const keys = prototypeKeys();
  for (const hostile of HOSTILE) {
    const expected = outcomeOf(hostile);
    let copy: { value: unknown } | undefined;
    try {
      copy = { value: roundTrip(hostile.make()) };
    } catch (error) {
      assertInstanceOf(error, SerializationError, hostile.name);
    }
    assertSameValue([hostile.name, copy], [hostile.name, expected]);
  }
  assertEquals(prototypeKeys(), keys);
});

Deno.test("encodeValue() says what is refused where a getter is in the way of saying where", () => {
  const value = Object.defineProperty({ fn() {} }, "a", {
    get() {
      throw new RangeError("sprung");
    },
    enumerable: true,
  });
  assertThrows(
    () => encodeValue(value, { canMove: true }, "it"),
    SerializationError,
    "Cannot send it as it has a part that is a function",
  );
});

Deno.test("encodeValue() keeps a DOMException's prototype where it has a field named __proto__", () => {
  const error = Object.defineProperty(new DOMException("m", "n"), "__proto__", {
    value: { polluted: 1 },
    enumerable: true,
  });
  const copy = roundTrip(error) as DOMException;
  assertStrictEquals(Object.getPrototypeOf(copy), DOMException.prototype);
  assertEquals(Object.getOwnPropertyDescriptor(copy, "__proto__")?.value, {
    polluted: 1,
  });
});

/** Of vast values, those that go through the pools; the others go through the codec alone, to save time. */
const THROUGH_POOLS = ["keys", "references to one object"];

for (const [what, { make, isWhole }] of Object.entries(VAST)) {
  if (THROUGH_POOLS.includes(what)) continue;
  Deno.test(`encodeValue() takes a million ${what}`, () => {
    assert(isWhole(roundTrip(make()) as never));
  });
}

// --------------------------------------------------------------- the pools

const POOLS = [
  { name: "ThreadPoolExecutor", Pool: ThreadPoolExecutor, test: testPool },
  {
    name: "ProcessPoolExecutor",
    Pool: ProcessPoolExecutor,
    test: testProcesses,
  },
];

for (const { name, Pool, test } of POOLS) {
  for (const form of FORMS) {
    test(`${name} takes hostile arguments, or refuses them (${form.name})`, async ({ own }) => {
      const pool = own(new Pool({ maxWorkers: 1 }));
      await forEveryValue(
        pool,
        (hostile) =>
          check(form, pool.submit(echo, hostile.make()), outcomeOf(hostile)),
      );
    });

    test(`${name} takes hostile results, or refuses them (${form.name})`, async ({ own }) => {
      const pool = own(new Pool({ maxWorkers: 1 }));
      await forEveryValue(pool, (hostile) => {
        const expected = outcomeOf(hostile);
        const future = pool.submit(tasks.makeHostile, hostile.name);
        return check(form, future, expected && { value: expected });
      });
    });
  }

  test(`${name} goes on when a task returns something hostile itself`, async ({ own }) => {
    const pool = own(new Pool({ maxWorkers: 1 }));
    await forEveryValue(pool, async (hostile) => {
      const expected = outcomeOf(hostile);
      const future = pool.submit(tasks.returnHostile, hostile.name);
      // What is awaited may throw before it is to travel.
      if (expected === undefined) await assertRejects(() => future.result());
      else assertSameValue(await future, expected.value);
    });
  });

  test(`${name} brings hostile things that were thrown, or refuses them`, async ({ own }) => {
    const pool = own(new Pool({ maxWorkers: 1 }));
    await forEveryValue(pool, async (hostile) => {
      const expected = outcomeOf(hostile);
      const future = pool.submit(tasks.throwHostile, hostile.name);
      const thrown = await future.then(
        () => Promise.reject(new Error("it returned")),
        (value: unknown) => ({ value }),
      );
      if (expected === undefined) {
        assertInstanceOf(thrown.value, SerializationError);
      } else assertSameValue(thrown, expected);
    });
  });

  test(`${name} takes hostile values that a function has captured, or refuses them`, async ({ own }) => {
    const pool = own(new Pool({ maxWorkers: 1 }));
    await forEveryValue(pool, (hostile) => {
      const captured = { value: hostile.make() };
      const expected = outcomeOf(hostile);
      return check(
        FORMS[0],
        pool.submit(() => captured),
        expected && { value: expected },
      );
    });
  });

  test(`${name}.map() brings the values before a hostile one, in any chunk`, async ({ own }) => {
    const pool = own(new Pool({ maxWorkers: 1 }));
    await forEveryValue(pool, async (hostile) => {
      const expected = outcomeOf(hostile);
      const first = "keys of lone surrogates, and such values";
      const names = [first, hostile.name, "frozen objects"];
      const [before, , after] = names.map((name) =>
        outcomeOf(HOSTILE.find((value) => value.name === name)!)
      );
      for (const chunkSize of [1, 2, 3]) {
        const results = await FORMS[0].collect(
          pool.map(tasks.makeHostile, names, { chunkSize }),
        );
        const copies = await FORMS[0].collect(
          pool.map(echo, [1, hostile.make(), 2], { chunkSize }),
        );
        if (expected !== undefined) {
          const all = [before, expected, after];
          // One by one: values of one chunk may share what they hold.
          all.forEach((value, i) => assertSameValue(results.values[i], value));
          assertEquals(results.values.length, 3);
          assertSameValue(copies.values, [1, expected.value, 2]);
          continue;
        }
        assertSameValue(results.values, [before]);
        assertInstanceOf(results.thrown[0], SerializationError);
        assertEquals(copies.values, [1]);
        assertInstanceOf(copies.thrown[0], SerializationError);
      }
    });
  });
}

// ------------------------------------------------------------ deep and vast

/** What a future came to; a refusal is told as `undefined`, and anything else is thrown. */
async function orRefused<T>(future: Future<T>): Promise<T | undefined> {
  const error = await future.exception();
  if (error instanceof SerializationError) return undefined;
  return await future;
}

for (const { name, Pool, test } of POOLS) {
  test(`${name} takes what lies 1,000 deep, and 10,000 or 100,000 deep or refuses it`, async ({ own }) => {
    const pool = own(new Pool({ maxWorkers: 1 }));
    for (const way of WAYS) {
      for (const depth of [1_000, 3_000, 10_000, 100_000]) {
        const there = pool.submit(tasks.depthOf, nest(way, depth));
        const back = pool.submit(tasks.nest, way, depth);
        const found = await orRefused(there);
        const copy = await orRefused(back);
        const isTaken = [found !== undefined, copy !== undefined];
        if (depth === 1_000) assertEquals([way, ...isTaken], [way, true, true]);
        if (found !== undefined) assertEquals([way, found], [way, depth]);
        if (copy !== undefined) {
          assertEquals([way, depthOf(copy)], [way, depth]);
        }
      }
    }
    assertEquals(await pool.submit(countHere), 1);
  });

  for (const what of THROUGH_POOLS) {
    test(`${name} takes a million ${what}, there and back`, async ({ own }) => {
      const { make, isWhole } = VAST[what];
      const pool = own(new Pool({ maxWorkers: 1 }));
      assert(isWhole(await pool.submit(echo, make()) as never));
    });
  }
}

// ------------------------------------------------- what fails half way

for (const { name, Pool, test } of POOLS) {
  test(`${name} says where a result cannot travel, at the end of 100,000 items and a large buffer`, async ({ own }) => {
    const pool = own(new Pool({ maxWorkers: 1 }));
    const refused = pool.submit(() => [
      new Uint8Array(4 << 20),
      ...new Array(100_000).fill(1n),
      () => {},
    ]);
    await assertRejects(
      () => refused.result(),
      SerializationError,
      "[100001] is a function",
    );
    const unreadable = pool.submit(() => [
      "x".repeat(1 << 20),
      new Uint8Array(4 << 20),
      {
        get a() {
          throw new RangeError("sprung");
        },
      },
    ]);
    const error = await assertRejects(
      () => unreadable.result(),
      SerializationError,
      "sprung",
    );
    assertInstanceOf(error.cause, RangeError);
    assertEquals(await pool.submit(countHere), 1);
  });

  test(`${name} brings the same getter's error as the cause of a refused argument`, async ({ own }) => {
    const pool = own(new Pool({ maxWorkers: 1 }));
    const cause = new RangeError("sprung");
    const future = pool.submit(echo, {
      get a(): never {
        throw cause;
      },
    });
    const error = await assertRejects(
      () => future.result(),
      SerializationError,
    );
    assertStrictEquals(error.cause, cause);
  });

  test(`${name}.submit() takes a getter that submits, cancels and asks meanwhile`, async ({ own }) => {
    const pool = own(new Pool({ maxWorkers: 1 }));
    for (const beside of [1, undefined]) {
      const inner: Future<unknown>[] = [];
      const outer = pool.submit(echo, {
        beside,
        get a() {
          inner.push(pool.submit(echo, "inner"));
          const cancelled = pool.submit(echo, "never");
          cancelled.cancel();
          return pool.submit(echo, "asked").resultSync();
        },
      });
      assertSameValue(await outer, { beside, a: "asked" });
      assert(inner.length > 0);
      for (const future of inner) assertEquals(await future, "inner");
    }
  });

  test(`${name}.submit() throws RuntimeError when a getter shuts the pool down meanwhile`, async ({ own }) => {
    for (const isBlocked of [false, true]) {
      const pool = own(new Pool({ maxWorkers: 1 }));
      const before = pool.submit(echo, "before");
      const value = {
        get a() {
          if (isBlocked) pool.shutdownSync();
          else pool.shutdown();
          return 1;
        },
      };
      assertThrows(() => pool.submit(echo, value), RuntimeError);
      assertEquals(await before, "before");
    }
  });

  test(`${name} takes values while prototypes have more than they should`, async ({ own }) => {
    const pool = own(new Pool({ maxWorkers: 1 }));
    await pool.submit(echo, 1);
    const values = [{ a: [1, { b: "x" }] }, {
      u: undefined,
      a: [1n, new Map([[1, {}]])],
    }];
    const patches: [object, string, unknown][] = [
      [Object.prototype, "patched", 1],
      [Object.prototype, "patched", () => {}],
      [Object.prototype, "toJSON", () => "never"],
      [Array.prototype, "toJSON", () => "never"],
      [Array.prototype, "patched", 1],
      [String.prototype, "toJSON", () => "never"],
      [BigInt.prototype, "toJSON", () => "never"],
    ];
    for (const [target, key, patch] of patches) {
      for (const value of values) {
        const expected = structuredClone(value);
        Object.defineProperty(target, key, {
          value: patch,
          enumerable: true,
          configurable: true,
        });
        let future: Future<unknown>;
        try {
          future = pool.submit(echo, value);
        } finally {
          Reflect.deleteProperty(target, key);
        }
        assertSameValue(await future, expected);
      }
    }
  });
}

// ------------------------------------------------------------- memory

Deno.test("1,000 values that fail half way leave no shared memory behind", {
  timeout: 120_000,
}, async () => {
  const { code, stdout, stderr } = await runProgram(
    `
  // @ts-nocheck: the program counts by a class of its own
  import { ThreadPoolExecutor } from "@concurrent/futures";

  let bytes = 0;
  const made = SharedArrayBuffer;
  globalThis.SharedArrayBuffer = class extends made {
    constructor(length, options) {
      super(length, options);
      bytes += length;
    }
  };
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  const half = (length) => [new Uint8Array(length), "x".repeat(70_000), () => {}];
  const make = (length) => [new Uint8Array(length), "x".repeat(70_000), () => {}];
  const isRefused = async (future) =>
    (await future.exception())?.name === "SerializationError";
  const round = async () => {
    let refused = 0;
    for (let i = 0; i < 250; i++) {
      refused += await isRefused(pool.submit((value) => value, half(100_000)));
      refused += await isRefused(pool.submit(make, 100_000));
    }
    return refused;
  };
  await pool.submit((value) => value, 1);
  const counts = [await round(), bytes, await round(), bytes];
  console.log(JSON.stringify(counts));
  await pool.shutdown();
`,
  );
  assertEquals([code, stderr], [0, ""]);
  const [first, before, second, after] = JSON.parse(stdout);
  assertEquals([first, second], [500, 500]);
  assert(after - before < 1 << 20, `${after - before} bytes more`);
});
