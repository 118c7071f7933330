/**
 * The contract of function travel, continued: what changes between two calls of `submit`, and state
 * that a copy could lose without a word.
 *
 * @module
 */

import { assertEquals, assertInstanceOf, assertMatch } from "@std/assert";
import {
  type Executor,
  SerializationError,
  ThreadPoolExecutor,
} from "../mod.ts";
import type { Create } from "./_executor_contract.ts";
import { type Form, testForms } from "./_harness.ts";
import { geometry, LIMITS } from "./_travel_tasks.ts";

/** Makes the functions here use something of their module, and so be looked at. */
const zero = 0;

/**
 * Registers the tests for an executor.
 *
 * @param name The class, as `mod.ts` exports it.
 * @param create Makes one.
 */
export function testTravelChanges(name: string, create: Create): void {
  testChanges(name, create);
  testClassState(name, create);
  testSameness(name, create);
  testRefusedMaps(name, create);
}

async function assertRefused(
  form: Form,
  pool: Executor,
  fn: () => unknown,
  message: RegExp,
): Promise<void> {
  const error = await form.exception(pool.submit(fn));
  assertInstanceOf(error, SerializationError);
  assertMatch(error.message, message);
  assertEquals(await form.result(pool.submit(Math.abs, -1)), 1);
}

// ---------------------------------------------------------------- changes

type Counting = ((n: number) => number) & { step?: number };

function testChanges(name: string, create: Create): void {
  testForms(
    `${name}.submit() sees a property that a function was given since the last time`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const add: Counting = (n) => n + (add.step ?? zero);
      const useAdd = () => add(1);
      for (let i = 0; i < 3; i++) {
        assertEquals(await form.result(pool.submit(useAdd)), 1);
        assertEquals(await form.result(pool.submit(add, 1)), 1);
      }
      add.step = 5;
      assertEquals(await form.result(pool.submit(useAdd)), 6);
      assertEquals(await form.result(pool.submit(add, 1)), 6);
    },
  );

  testForms(
    `${name}.submit() sees a property that a function which uses nothing was given since`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const count = function count(n: number): number {
        return n + ((count as Counting).step ?? 0);
      };
      assertEquals(await form.result(pool.submit(count, 1)), 1);
      (count as Counting).step = 2;
      assertEquals(await form.result(pool.submit(count, 1)), 3);
    },
  );

  testForms(
    `${name}.submit() sees a static field that a class was given since the last time`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      class Late {
        static late?: number;
        static get() {
          return Late.late ?? "none";
        }
      }
      const get = () => Late.get();
      for (let i = 0; i < 3; i++) {
        assertEquals(await form.result(pool.submit(get)), "none");
      }
      Late.late = 3;
      assertEquals(await form.result(pool.submit(get)), 3);
    },
  );

  testForms(
    `${name}.submit() sees a function that was put into an object since the last time`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const object: { n: number; f?: () => number } = { n: 1 };
      const list: (() => number)[] = [];
      const use = () => [object.f?.() ?? object.n, ...list.map((f) => f())];
      for (let i = 0; i < 3; i++) {
        assertEquals(await form.result(pool.submit(use)), [1]);
      }
      object.f = () => 55;
      list.push(() => 2);
      assertEquals(await form.result(pool.submit(use)), [55, 2]);
    },
  );

  testForms(
    `${name}.map() keeps a captured function that is assigned after the call`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      let change = (n: number) => n + 1;
      const results = pool.map((n: number) => change(n), [1, 2, 3, 4], {
        bufferSize: 1,
      });
      change = (n) => n * 100;
      const { values, thrown } = await form.collect(results);
      assertEquals([values, thrown], [[2, 3, 4, 5], []]);
      assertEquals(change(1), 100);
    },
  );
}

// ----------------------------------------------------------------- classes

function testClassState(name: string, create: Create): void {
  testForms(
    `${name}.submit() does not run again what a class ran when it was made`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      let made = zero;
      const seen: string[] = [];
      class Registered {
        static id = ++made;
        static {
          seen.push("made");
        }
        static tell() {
          return [Registered.id, made, seen.length];
        }
      }
      assertEquals(await form.result(pool.submit(() => Registered.tell())), [
        1,
        1,
        1,
      ]);
    },
  );

  testForms(
    `${name}.submit() refuses a captured class with private static fields`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      class Counter {
        static #count = zero;
        static next() {
          return ++Counter.#count;
        }
      }
      Counter.next();
      await assertRefused(
        form,
        pool,
        () => Counter.next(),
        /"Counter".*private static/s,
      );
    },
  );

  testForms(
    `${name}.submit() refuses a captured class whose methods were changed`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      class Changed {
        get() {
          return 1 + zero;
        }
      }
      Changed.prototype.get = () => 2;
      class Added {
        get() {
          return 1 + zero;
        }
      }
      Object.defineProperty(Added.prototype, "more", { value: () => 2 });
      await assertRefused(
        form,
        pool,
        () => new Changed().get(),
        /"Changed".*changed/s,
      );
      await assertRefused(
        form,
        pool,
        () => new Added().get(),
        /"Added".*changed/s,
      );
    },
  );

  testForms(
    `${name}.submit() refuses a captured class with a static object of a class`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      class Color {
        static readonly RED = new Color("red");
        readonly name: string;
        constructor(name: string) {
          this.name = name;
        }
        upper() {
          return this.name.toUpperCase();
        }
      }
      await assertRefused(
        form,
        pool,
        () => Color.RED.upper(),
        /"Color\.RED" holds an object/,
      );
    },
  );
}

// ---------------------------------------------------------------- sameness

function testSameness(name: string, create: Create): void {
  testForms(
    `${name}.submit() keeps 0 and -0 apart, and the length of an array with functions`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const minus = -0;
      const list = [() => 1];
      list.length = 5;
      const look = () => [1 / zero, 1 / minus, list.length, list[0]()];
      assertEquals(await form.result(pool.submit(look)), [
        Infinity,
        -Infinity,
        5,
        1,
      ]);
    },
  );

  testForms(
    `${name}.submit() never takes two variables for one, when a function is handed on by assignment`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      type Handed = [() => number, () => number, () => () => number];
      const make = (given?: () => number): Handed => {
        let count = 0;
        let first = () => ++count;
        if (given) first = given;
        const second = () => ++count;
        return [first, second, () => first];
      };
      const [first, second] = make();
      const [, other] = make(first);
      const future = pool.submit(() => [second(), other(), first()]);
      const error = await form.exception(future);
      if (error === null) {
        assertEquals(await form.result(future), [1, 1, 2]);
      } else assertInstanceOf(error, SerializationError);
    },
  );

  testForms(
    `${name}.submit() lets a task make a pool after functions of several modules were imported at once`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const both = async (n: number) => {
        const inner = new ThreadPoolExecutor({ maxWorkers: 1 });
        try {
          return await inner.submit(
            Math.max,
            n,
            LIMITS.low,
            typeof geometry === "object" ? 0 : 1,
          );
        } finally {
          await inner.shutdown();
        }
      };
      assertEquals(await form.result(pool.submit(both, 1000)), 1000);
      assertEquals(await form.result(pool.submit(both, 2000)), 2000);
    },
  );

  testForms(
    `${name}.submit() fails with SerializationError when a captured object's getter throws`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const odd = {
        f: () => zero,
        get danger(): number {
          throw new Error("the getter was called");
        },
      };
      await assertRefused(form, pool, () => odd.f(), /the getter was called/);
    },
  );
}

// -------------------------------------------------------------------- map

function testRefusedMaps(name: string, create: Create): void {
  for (const chunkSize of [1, 2]) {
    testForms(
      `${name}.map() with chunkSize ${chunkSize} fails each call of a closure that cannot travel`,
      async ({ form, own }) => {
        const pool = own(create({ maxWorkers: 1 }));
        const log = { rate: 2, cache: new WeakMap() };
        const rows = [[{ rate: 100 }], [{ rate: 50 }]];
        const results = pool.map(
          (row: { rate: number }[]) => row[0].rate * log.rate,
          rows,
          { chunkSize },
        );
        const { values, thrown: [error] } = await form.collect(results);
        assertEquals(values, []);
        assertInstanceOf(error, SerializationError);
        assertMatch(
          error.message,
          /"log\.cache" captured by .* holds a WeakMap/,
        );
      },
    );
  }

  testForms(
    `${name}.map() refuses what is too large to be copied for all calls`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const large = new Uint8Array((1 << 28) + 1);
      const results = pool.map((n: number) => large[n], [1, 2]);
      const { thrown: [error] } = await form.collect(results);
      assertInstanceOf(error, SerializationError);
      assertMatch(error.message, /at most 256 MB/);
    },
  );
}
