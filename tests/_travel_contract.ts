/**
 * The contract of function travel: which functions every executor takes, with what they use of the
 * place where they were written. `testTravel` registers it for a pool.
 *
 * The functions here are written where they are submitted, as most are; those that must live in
 * another module are in `_travel_tasks.ts`.
 *
 * @module
 */

import {
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertThrows,
} from "@std/assert";
import { EventEmitter } from "node:events";
import { basename, extname as extensionOf } from "node:path";
import * as path from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { type Executor, Future, SerializationError } from "../mod.ts";
import type { Create } from "./_executor_contract.ts";
import { type Form, tasks, testForms } from "./_harness.ts";
import describeDefault, {
  countCalls,
  describeArrow,
  describeFile,
  describeLater,
  failLabelled,
  generateLabels,
  geometry,
  getHidden,
  getOffset,
  getOtherDescribeFile,
  getWhere,
  LIMITS,
  outerName,
  prepare,
  readPrepared,
  recapitalize,
  Shape,
  STEP as PACE,
} from "./_travel_tasks.ts";
import * as travelTasks from "./_travel_tasks.ts";

/**
 * Registers the tests of function travel for an executor.
 *
 * @param name The class, as `mod.ts` exports it.
 * @param create Makes one.
 */
export function testTravel(name: string, create: Create): void {
  testReferences(name, create);
  testModuleParts(name, create);
  testCapturedValues(name, create);
  testCopies(name, create);
  testMap(name, create);
  testCapturedFunctions(name, create);
  testNames(name, create);
  testClasses(name, create);
  testImports(name, create);
  testThis(name, create);
  testEveryForm(name, create);
  testObjects(name, create);
  testModuleMeta(name, create);
  testRefusals(name, create);
  testInitializers(name, create);
  testThrown(name, create);
}

/** What no type allows. */
function wrong<T>(value: unknown): T {
  return value as T;
}

/** Asserts that the future failed as what was sent could not travel, and that the pool is good. */
async function assertRefused(
  form: Form,
  pool: Executor,
  future: Future<unknown>,
  ...messages: RegExp[]
): Promise<void> {
  const error = await form.exception(future);
  assertInstanceOf(error, SerializationError);
  for (const message of messages) assertMatch(error.message, message);
  assertEquals(await form.result(pool.submit(tasks.add, 20, 22)), 42);
}

/** Imports a module that is written here, by a data: URL. */
async function importSource<T>(source: string): Promise<T> {
  return await import(`data:text/javascript,${encodeURIComponent(source)}`);
}

// -------------------------------------------------------------- references

function testReferences(name: string, create: Create): void {
  testForms(
    `${name}.submit() calls an exported function that uses its module's imports and helpers`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const cases: [(...args: never[]) => unknown, unknown[], unknown][] = [
        [describeFile, ["a/b.txt"], "b.txt: txt"],
        [describeArrow, [1], "arrow: 1"],
        [describeLater, [2], "later: 2"],
        [outerName, [3], "inner: 3"], // exported by another name than its own
        [describeDefault, [4], "default: 4"],
        [recapitalize, ["word"], "Word"], // of the module that this module has it from
        [geometry.area, [2, 5], "area: 30"], // a method of what is exported
        [Shape.describeSides, [], "sides: 4"],
        [Shape.describeLength, [6], "length: 6m"],
        [travelTasks.describeFile, ["c.ts"], "c.ts: ts"],
        [basename, ["a/b"], "b"], // a module of Node
        [path.posix.join, ["a", "b"], "a/b"],
      ];
      for (const [fn, args, wanted] of cases) {
        const future = pool.submit(fn, ...args as never[]);
        assertEquals(await form.result(future), wanted, fn.name);
      }
    },
  );

  testForms(
    `${name}.submit() calls an exported function in the worker's own module, once for all tasks`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const first = pool.submit(countCalls);
      const second = pool.submit(countCalls);
      assertEquals([await form.result(first), await form.result(second)], [
        1,
        2,
      ]);
    },
  );

  testForms(
    `${name}.submit() calls what a module exports as default, when it has no name`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const defaults = [
        "export default function (n) { return label(n); }",
        "export default (n) => label(n);",
        "export default async (n) => label(n);",
        "export default function named(n) { return label(n); }",
        "const named = (n) => label(n); export { named as default };",
      ];
      for (const text of defaults) {
        const source = `let calls = 0;
          const label = (n) => "default " + n + " " + ++calls;
          ${text}`;
        const { default: fn } = await importSource<
          { default(n: number): unknown }
        >(source);
        // The second call sees what the first has left in the module.
        for (const wanted of ["default 7 1", "default 7 2"]) {
          assertEquals(await form.result(pool.submit(fn, 7)), wanted, text);
        }
      }
    },
  );

  testForms(
    `${name}.submit() calls the module's own function, when the default is a name that nothing else uses`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const { default: fn } = await importSource<{ default(): number }>(
        "let calls = 0; const named = () => ++calls; export default named;",
      );
      for (const wanted of [1, 2]) {
        assertEquals(await form.result(pool.submit(fn)), wanted);
      }
    },
  );

  testForms(
    `${name}.submit() calls both of two functions with one name`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const other = getOtherDescribeFile();
      assertEquals(other.name, describeFile.name);
      assertEquals(await form.result(pool.submit(other, "a.b")), "other: a.b");
      assertEquals(
        await form.result(pool.submit(describeFile, "a.b")),
        "a.b: b",
      );
      const both = (file: string) => [describeFile(file), other(file)];
      assertEquals(await form.result(pool.submit(both, "a.b")), [
        "a.b: b",
        "other: a.b",
      ]);
    },
  );

  testForms(
    `${name}.submit() fails when the worker's module exports another function under the name`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const MARK = `the owner of ${crypto.randomUUID()}`;
      const source = `const base = 10;
        export const pick = ${JSON.stringify(MARK)} in globalThis
          ? (n) => n + base
          : (n) => n - base;`;
      Object.defineProperty(globalThis, MARK, {
        value: true,
        configurable: true,
      });
      const { pick } = await importSource<{ pick(n: number): number }>(source);
      Reflect.deleteProperty(globalThis, MARK);
      assertEquals(pick(1), 11);
      await assertRefused(
        form,
        pool,
        pool.submit(pick, 1),
        /"pick"/,
        /another source/,
      );
    },
  );

  testForms(
    `${name}.submit() fails when the worker's module does not export the function`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const source = `const base = 10;
        export const picked = (n) => n + base;
        export const setPicked = 1;`;
      const file = await Deno.makeTempFile({ suffix: ".mjs" });
      try {
        await Deno.writeTextFile(file, source);
        const { picked } = await import(`file://${file}`);
        await Deno.writeTextFile(file, "export const other = () => 1;");
        await assertRefused(form, pool, pool.submit(picked, 1), /"picked"/);
      } finally {
        await Deno.remove(file);
      }
    },
  );
}

// ------------------------------------------------------------ module parts

const GREETING = "Hello";
const greet = (who: string) => join(GREETING, who);
function join(...words: string[]): string {
  return words.join(" ");
}

function testModuleParts(name: string, create: Create): void {
  testForms(
    `${name}.submit() sends a function that is not exported with the helpers and constants of its module`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      assertEquals(await form.result(pool.submit(greet, "you")), "Hello you");
      assertEquals(
        await form.result(pool.submit(getHidden(), "a/b.txt")),
        "b.txt: m: 3",
      );
    },
  );

  testForms(
    `${name}.submit() sends what a variable of another module holds at that time`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const { add, set } = getOffset();
      for (const offset of [10, 20]) {
        set(offset);
        assertEquals(await form.result(pool.submit(add, 1)), 1 + offset);
      }
    },
  );
}

// --------------------------------------------------------- captured values

function testCapturedValues(name: string, create: Create): void {
  const capturing = <T>(value: T) => () => value;

  testForms(
    `${name}.submit() sends captured values of every kind`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const values = [
        "text",
        true,
        1.5,
        -0,
        NaN,
        -Infinity,
        12345678901234567890n,
        null,
        undefined,
        new Date(0),
        new Date(NaN),
        /a+/gi,
        new Map<unknown, unknown>([["a", new Map([[{ b: 1 }, NaN]])]]),
        new Set<unknown>([1, "1", undefined]),
        new Uint8Array([1, 2, 3]),
        new Float64Array([NaN, -0]),
        new Uint8Array([1, 2, 3]).buffer,
        [1, [2, { three: 3 }]],
        { a: undefined, b: [null], "not a name": { c: 1n } },
        "long".repeat(100_000),
      ];
      for (const value of values) {
        const result = await form.result(pool.submit(capturing(value)));
        assertEquals<unknown>(result, value);
        assertEquals(
          Object.prototype.toString.call(result),
          Object.prototype.toString.call(value),
        );
      }
    },
  );

  testForms(
    `${name}.submit() sends captured values as what they are, not only as what comes back`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const nothing = undefined, no = null, zero = -0, none = NaN, big = 2n;
      const date = new Date(5), words = new Map([["a", 1]]);
      const bytes = new Uint16Array([1, 515]), flag = false;
      const fn = (...given: unknown[]) => [
        nothing === undefined,
        no === null,
        Object.is(zero, -0),
        Number.isNaN(none),
        big ** 64n,
        date instanceof Date && date.getTime(),
        words instanceof Map && words.get("a"),
        bytes instanceof Uint16Array && bytes[1],
        flag,
        given.length,
      ];
      assertEquals(await form.result(pool.submit(fn, 1, 2)), [
        true,
        true,
        true,
        true,
        2n ** 64n,
        5,
        1,
        515,
        false,
        2,
      ]);
    },
  );

  testForms(
    `${name}.submit() sends captured errors with their class, cause and fields`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const failure = Object.assign(
        new RangeError("too far", { cause: new TypeError("a cause") }),
        { code: 7 },
      );
      const read = () => [
        failure instanceof RangeError,
        failure.message,
        failure.cause instanceof TypeError,
        failure.code,
        failure.stack!.includes("_travel_contract.ts"),
      ];
      assertEquals(await form.result(pool.submit(read)), [
        true,
        "too far",
        true,
        7,
        true,
      ]);
      const raise = () => {
        throw failure;
      };
      const error = await form.exception(pool.submit(raise));
      assertInstanceOf(error, RangeError);
      assertEquals(error.message, "too far");
    },
  );

  testForms(
    `${name}.submit() keeps cycles in what was captured`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      interface Node {
        self?: Node;
        list: unknown[];
      }
      const node: Node = { list: [] };
      node.self = node;
      node.list.push(node.list);
      const isCyclic = () =>
        node.self === node && node.list[0] === node.list && "list" in node;
      assertEquals(await form.result(pool.submit(isCyclic)), true);
    },
  );

  testForms(
    `${name}.submit() keeps one object one, when two variables or a variable and an argument hold it`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const shared = { n: 1 };
      const first = { shared }, second = [shared];
      const same = shared;
      const ofVariables = () => [
        first.shared === second[0],
        shared === same,
        first.shared === shared,
      ];
      assertEquals(await form.result(pool.submit(ofVariables)), [
        true,
        true,
        true,
      ]);
      const ofArgument = (given: typeof shared, others: unknown[]) => [
        given === shared,
        others[0] === first,
        others[1] === second,
      ];
      assertEquals(
        await form.result(pool.submit(ofArgument, shared, [first, second])),
        [true, true, true],
      );
      const helper = () => shared;
      const ofHelper = (given: typeof shared) =>
        helper() === shared && given === helper();
      assertEquals(await form.result(pool.submit(ofHelper, shared)), true);
    },
  );

  testForms(
    `${name}.submit() sends a function that captured very many values`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const names = Array.from({ length: 500 }, (_, n) => `v${n}`);
      const fn = new Function(
        `${names.map((name, n) => `let ${name} = ${n};`).join("")}
        return () => ${names.join("+")};`,
      )() as () => number;
      assertEquals(await form.result(pool.submit(fn)), 500 * 499 / 2);
    },
  );
}

// ------------------------------------------------------------------ copies

function testCopies(name: string, create: Create): void {
  testForms(
    `${name}.submit() copies what was captured when it is called`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const held = pool.submit(tasks.hold, gates.folder, "a");
      let number = 1;
      const object = { list: [1] }, map = new Map([["a", 1]]);
      const read = () => [number, object.list.length, map.get("a")];
      const before = pool.submit(read);
      number = 2;
      object.list.push(2);
      map.set("a", 2);
      const after = pool.submit(read);
      number = 3;
      gates.open("a");
      assertEquals(await form.result(before), [1, 1, 1]);
      assertEquals(await form.result(after), [2, 2, 2]);
      assertEquals(await form.result(held), "a");
      assertEquals(number, 3);
    },
  );

  testForms(
    `${name}.submit() sends the new value when a captured variable of any kind has changed`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      let ofLet = 1;
      // deno-lint-ignore no-var
      var ofVar = 1;
      const object = { n: 1 };
      const list = [1];
      const makeReader = (parameter: number) => ({
        readParameter: () => parameter,
        setParameter: (n: number) => void (parameter = n),
      });
      const { readParameter, setParameter } = makeReader(1);
      let helper = () => 1;
      const readers = [
        () => ofLet,
        () => ofVar,
        () => object.n,
        () => list[0],
        readParameter,
        () => helper(),
      ];
      const readAll = async () => {
        const results: number[] = [];
        for (const reader of readers) {
          results.push(await form.result(pool.submit(reader)));
        }
        return results;
      };
      assertEquals(await readAll(), [1, 1, 1, 1, 1, 1]);
      ofLet = 2, ofVar = 3, object.n = 4, list[0] = 5;
      setParameter(6);
      helper = () => 7;
      assertEquals(await readAll(), [2, 3, 4, 5, 6, 7]);
      ofLet = 1;
      assertEquals(await readAll(), [1, 3, 4, 5, 6, 7]);
    },
  );

  testForms(
    `${name}.submit() gives each task a copy of its own of what was captured`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const seen: number[] = [];
      let count = 0;
      const note = (n: number) => [seen.push(n), ++count];
      for (const n of [5, 6, 7]) {
        assertEquals(await form.result(pool.submit(note, n)), [1, 1]);
      }
      assertEquals([seen, count], [[], 0]);
    },
  );

  testForms(
    `${name}.submit() gives each task helpers of its own, when these change what they captured`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const cache = new Map<number, number>();
      const square = (n: number) => {
        if (!cache.has(n)) cache.set(n, n * n);
        return cache.get(n);
      };
      const fn = (n: number) => [square(n), square(n + 1), cache.size];
      assertEquals(await form.result(pool.submit(fn, 1)), [1, 4, 2]);
      assertEquals(await form.result(pool.submit(fn, 5)), [25, 36, 2]);
      assertEquals(cache.size, 0);
    },
  );

  testForms(
    `${name}.submit() sends each turn's own variable of a loop`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 2 }));
      const futures: Future<unknown>[] = [];
      for (let n = 0; n < 5; n++) futures.push(pool.submit(() => n));
      for (const n of [5, 6]) {
        const double = n * 2;
        futures.push(pool.submit(() => [n, double]));
      }
      for (const [n, word] of ["a", "b"].entries()) {
        futures.push(pool.submit((end: string) => word + n + end, "."));
      }
      const results: unknown[] = [];
      for (const future of futures) results.push(await form.result(future));
      assertEquals(results, [
        0,
        1,
        2,
        3,
        4,
        [5, 10],
        [6, 12],
        "a0.",
        "b1.",
      ]);
    },
  );

  testForms(
    `${name}.submit() sends what each of many closures with one text has captured`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 2 }));
      const futures = Array.from(
        { length: 200 },
        (_, n) => pool.submit((m: number) => n * m, 3),
      );
      for (const [n, future] of futures.entries()) {
        assertEquals(await form.result(future), n * 3);
      }
    },
  );
}

// --------------------------------------------------------------------- map

function testMap(name: string, create: Create): void {
  testForms(
    `${name}.map() copies what was captured when it is called, with any chunkSize and bufferSize`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 2 }));
      const numbers = Array.from({ length: 20 }, (_, n) => n);
      for (
        const options of [{}, { chunkSize: 7 }, { bufferSize: 1 }, {
          chunkSize: 3,
          bufferSize: 2,
        }]
      ) {
        let factor = 2;
        const added = [1];
        const results = pool.map(
          (n: number) => n * factor + added.length,
          numbers,
          options,
        );
        factor = 100;
        added.push(2);
        const { values, thrown } = await form.collect(results);
        assertEquals(thrown, []);
        assertEquals(values, numbers.map((n) => n * 2 + 1));
        assertEquals(factor + added.length, 102);
      }
    },
  );

  testForms(
    `${name}.map() sends the new value at the next call, when what was captured has changed`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      let factor = 1;
      const scale = (n: number) => n * factor;
      for (factor of [2, 3]) {
        const { values } = await form.collect(pool.map(scale, [1, 2]));
        assertEquals(values, [factor, 2 * factor]);
      }
    },
  );

  testForms(
    `${name}.map() shares one copy among the tasks of a call in one worker, and with no other call`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      let count = 0;
      const next = (_: number) => ++count;
      for (const options of [{}, { chunkSize: 2 }, { bufferSize: 1 }]) {
        const results = pool.map(next, [0, 0, 0, 0], options);
        assertEquals((await form.collect(results)).values, [1, 2, 3, 4]);
      }
      assertEquals(count, 0);
    },
  );

  testForms(
    `${name}.map() calls exported functions, and functions with helpers`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 2 }));
      const files = ["a.txt", "b.md"];
      const described = await form.collect(pool.map(describeFile, files));
      assertEquals(described.values, ["a.txt: txt", "b.md: md"]);
      const greeted = await form.collect(pool.map(greet, files));
      assertEquals(greeted.values, ["Hello a.txt", "Hello b.md"]);
      const method = await form.collect(
        pool.map(geometry.area, [1, 2], [3, 4]),
      );
      assertEquals(method.values, ["area: 9", "area: 24"]);
    },
  );

  testForms(
    `${name}.map() throws SerializationError, naming the variable, when that cannot travel`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const token = Symbol("token");
      const check = (n: number) => [n, token];
      let thrown: unknown;
      try {
        thrown = (await form.collect(pool.map(check, [1, 2]))).thrown[0];
      } catch (error) {
        thrown = error;
      }
      assertInstanceOf(thrown, SerializationError);
      assertMatch(thrown.message, /"token" captured by "check" holds a symbol/);
      assertEquals(await form.result(pool.submit(tasks.add, 1, 2)), 3);
    },
  );
}

// ------------------------------------------------------ captured functions

function isEvenAtTop(n: number): boolean {
  return n === 0 || isOddAtTop(n - 1);
}

const isOddAtTop = (n: number): boolean => n !== 0 && isEvenAtTop(n - 1);

function testCapturedFunctions(name: string, create: Create): void {
  testForms(
    `${name}.submit() sends captured functions, mutually recursive ones too`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const isEven = (n: number): boolean => n === 0 || isOdd(n - 1);
      function isOdd(n: number): boolean {
        return n !== 0 && isEven(n - 1);
      }
      const factorial = (n: number): number =>
        n === 0 ? 1 : n * factorial(n - 1);
      assertEquals(await form.result(pool.submit(isEven, 10)), true);
      assertEquals(await form.result(pool.submit(isOdd, 10)), false);
      assertEquals(await form.result(pool.submit(isEvenAtTop, 7)), false);
      assertEquals(await form.result(pool.submit(isOddAtTop, 7)), true);
      assertEquals(await form.result(pool.submit(factorial, 5)), 120);
      const all = (n: number) => [isEven(n), isOddAtTop(n), factorial(n)];
      assertEquals(await form.result(pool.submit(all, 4)), [true, false, 24]);
    },
  );

  testForms(
    `${name}.submit() sends a chain of captured functions`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const wrap =
        (inner: (n: number) => number, step: number) => (n: number) =>
          inner(n) + step;
      let chain = (n: number) => n;
      for (let n = 1; n <= 30; n++) chain = wrap(chain, n);
      assertEquals(await form.result(pool.submit(chain, 1)), 1 + 30 * 31 / 2);
      const base = 1;
      const a = (n: number) => n + base;
      const b = (n: number) => a(n) * 2;
      const c = async (n: number) => b(await n) + base;
      const d = (n: number) => c(n).then((m) => a(m) + b(m));
      assertEquals(await form.result(pool.submit(d, 1)), 6 + 12);
    },
  );

  testForms(
    `${name}.submit() has a variable shared by functions that change it`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      let total = 0;
      const add = (n: number) => {
        total += n;
      };
      const sum = (numbers: number[]) => {
        numbers.forEach(add);
        return total;
      };
      assertEquals(await form.result(pool.submit(sum, [1, 2, 3])), 6);
      assertEquals(
        await form.result(pool.submit((numbers: number[]) => {
          numbers.forEach(add);
          total *= 10;
          add(1);
          return total;
        }, [1, 2])),
        31,
      );
      assertEquals(total, 0);
    },
  );

  testForms(
    `${name}.submit() has a variable of an outer function shared by functions within`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      function makeTask() {
        let count = 0;
        const up = () => ++count;
        {
          const down = () => --count;
          return () => {
            up();
            up();
            down();
            return [count, up(), count];
          };
        }
      }
      assertEquals(await form.result(pool.submit(makeTask())), [1, 2, 2]);
    },
  );

  testForms(
    `${name}.submit() keeps variables of one name apart, when they are of different scopes`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const value = "outer";
      const readOuter = () => value;
      let task: () => unknown;
      {
        const value = "inner";
        const readInner = () => value;
        {
          const value = "innermost";
          task = () => [readOuter(), readInner(), value];
        }
      }
      assertEquals(await form.result(pool.submit(task)), [
        "outer",
        "inner",
        "innermost",
      ]);
      const makeCounter = (start: number) => {
        let count = start;
        const next = () => ++count;
        return next;
      };
      const first = makeCounter(10), second = makeCounter(20);
      const useBoth = () => [first(), second(), first(), second()];
      assertEquals(await form.result(pool.submit(useBoth)), [11, 21, 12, 22]);
    },
  );

  testForms(
    `${name}.submit() never takes two variables for one, when their scopes hold the same values`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const makeCounter = () => {
        let count = 0;
        return () => ++count;
      };
      const first = makeCounter(), second = makeCounter();
      const useBoth = () => [first(), first(), second()];
      await assertRightOrRefused(form, pool.submit(useBoth), [1, 2, 1]);
      // one scope holds the function of the other
      const makeCounterBeside = (other?: () => number) => {
        let count = 0;
        const next = () => other === undefined ? 0 : ++count;
        other ??= next;
        return next;
      };
      const third = makeCounterBeside(), fourth = makeCounterBeside(third);
      const useOthers = () => [third(), third(), fourth()];
      await assertRightOrRefused(form, pool.submit(useOthers), [1, 2, 1]);
    },
  );

  async function assertRightOrRefused(
    form: Form,
    future: Future<unknown>,
    wanted: unknown,
  ): Promise<void> {
    const error = await form.exception(future);
    if (error === null) assertEquals(await form.result(future), wanted);
    else {
      assertInstanceOf(error, SerializationError);
      assertMatch(error.message, /"count"/);
    }
  }

  testForms(
    `${name}.submit() fails, naming the variable, when nothing tells whether functions share it`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const makeCounter = () => {
        let count = 0;
        return { up: () => ++count, read: () => count };
      };
      const { up, read } = makeCounter();
      const count = () => {
        up();
        return read();
      };
      await assertRefused(
        form,
        pool,
        pool.submit(count),
        /"up" and "read"|"read" and "up"/,
        /"count"/,
      );
      // nothing is doubtful where nobody changes the variable
      const makeReaders = (n: number) => ({ one: () => n, two: () => n * 2 });
      const { one, two } = makeReaders(4);
      assertEquals(await form.result(pool.submit(() => one() + two())), 12);
    },
  );

  testForms(
    `${name}.submit() sends a captured function once, when several hold it`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const step = 1;
      const helper = (n: number) => n + step;
      const again = helper;
      const holder = { helper };
      const getHelper = () => helper;
      const fn = () => [
        helper === again,
        holder.helper === helper,
        getHelper() === helper,
        holder.helper(1),
      ];
      assertEquals(await form.result(pool.submit(fn)), [true, true, true, 2]);
    },
  );

  testForms(
    `${name}.submit() sends captured generators, for use in the worker`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const from = 2;
      function* range(to: number) {
        for (let n = from; n < to; n++) yield n;
      }
      async function* later(to: number) {
        yield* range(await to);
      }
      assertEquals(
        await form.result(pool.submit((to: number) => [...range(to)], 5)),
        [2, 3, 4],
      );
      const collect = async (to: number) => {
        const all: number[] = [];
        for await (const n of later(to)) all.push(n);
        return all;
      };
      assertEquals(await form.result(pool.submit(collect, 5)), [2, 3, 4]);
      const label = () => [...generateLabels(2)];
      assertEquals(await form.result(pool.submit(label)), [
        "label: 0",
        "label: 1",
      ]);
    },
  );
}

// ------------------------------------------------------------------- names

function testNames(name: string, create: Create): void {
  testForms(
    `${name}.submit() prefers what was captured to a global of that name`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const Math = { floor: (n: number) => `my floor of ${n}` };
      const console = {
        lines: ["first"],
        log(line: string) {
          this.lines.push(line);
          return this.lines;
        },
      };
      const fetch = (n: number) => n + 1;
      function parseInt(text: string) {
        return `parsed ${text}`;
      }
      class Map {
        size = -1;
      }
      const undefinedLike = "defined";
      const structuredClone = 5, name = "a name", length = 3;
      const fn = () => [
        Math.floor(1.5),
        console.log("second"),
        fetch(1),
        parseInt("7"),
        new Map().size,
        structuredClone,
        name,
        length,
        undefinedLike,
      ];
      assertEquals(await form.result(pool.submit(fn)), [
        "my floor of 1.5",
        ["first", "second"],
        2,
        "parsed 7",
        -1,
        5,
        "a name",
        3,
        "defined",
      ]);
      assertEquals(console.lines, ["first"]);
    },
  );

  testForms(
    `${name}.submit() prefers what was imported to a global of that name`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const wait = async () => await setTimeout(1, "waited");
      assertEquals(await form.result(pool.submit(wait)), "waited");
      assertEquals(
        await form.result(pool.submit(setTimeout<string>, 1, "waited")),
        "waited",
      );
    },
  );

  testForms(
    `${name}.submit() takes parameters and inner names for what they are, when they hide captured ones`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const hidden = Symbol("cannot travel");
      const shown = 1;
      const fn = (hidden: number) => {
        const inner = (hidden: number) => hidden + shown;
        return inner(hidden) + ((hidden) => hidden)(10);
      };
      assertEquals(await form.result(pool.submit(fn, 1)), 12);
      assertEquals(typeof hidden, "symbol");
    },
  );

  testForms(
    `${name}.submit() sends names of any alphabet, and names like those of generated code`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const größe = 1, $ = 2, _ = 3, $0_V = 4, $0_F = [5], V = 6, 名 = 7;
      const fn = ($0_U: number) => [größe, $, _, $0_V, $0_F[0], V, 名, $0_U];
      assertEquals(await form.result(pool.submit(fn, 8)), [
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
      ]);
    },
  );

  testForms(
    `${name}.submit() sends built-ins that were captured under a local name`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const { floor, max: biggest } = Math;
      const parse = JSON.parse, List = Array, Base = RangeError;
      const hasOwn = Object.hasOwn, now = Date.now;
      const fn = () => [
        floor(1.5),
        biggest(1, 2),
        parse("[3]"),
        List.from("ab"),
        new Base("far") instanceof RangeError,
        hasOwn({ a: 1 }, "a"),
        typeof now(),
      ];
      assertEquals(await form.result(pool.submit(fn)), fn());
    },
  );

  testForms(
    `${name}.submit() sends built-in objects that were captured under a local name`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const numbers = Math, json = JSON, system = Deno, reflect = Reflect;
      const printer = console, secrets = crypto, everything = globalThis;
      const fns: [() => unknown, unknown][] = [
        [() => numbers.ceil(1.5), 2],
        [() => json.parse("[1]"), [1]],
        [() => reflect.ownKeys({ a: 1 }), ["a"]],
        [() => typeof system.pid, "number"],
        [() => typeof printer.log, "function"],
        [() => typeof secrets.randomUUID(), "string"],
        [() => everything.parseInt("7"), 7],
      ];
      for (const [fn, wanted] of fns) {
        assertEquals(await form.result(pool.submit(fn)), wanted, String(fn));
      }
    },
  );

  testForms(
    `${name}.submit() keeps the name of a function, its length and its source`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const factor = 2;
      const double = (n: number, _scale = 1) => n * factor;
      function triple(n: number) {
        return n + double(n);
      }
      const { renamed: other } = { renamed: (n: number) => n * factor };
      const tell = () => [
        double.name,
        triple.name,
        other.name,
        tell.name,
        double.length,
        String(double),
      ];
      assertEquals(await form.result(pool.submit(tell)), [
        "double",
        "triple",
        "renamed",
        "tell",
        1,
        String(double),
      ]);
    },
  );
}

// ----------------------------------------------------------------- classes

function testClasses(name: string, create: Create): void {
  testForms(
    `${name}.submit() sends captured classes with their members`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const unit = "m";
      const key = "computed";
      const widen = (n: number) => n * 2;
      class Box {
        static made = 0;
        static #secret = 7;
        static readonly kinds = ["small", "large"];
        #width: number;
        height = widen(2);

        static {
          Box.made = 1;
        }

        constructor(width: number) {
          this.#width = width;
          Box.made++;
        }

        static of(width: number) {
          return new this(width);
        }

        static get secret() {
          return Box.#secret;
        }

        get width() {
          return this.#width + unit;
        }

        set width(text: string) {
          this.#width = parseFloat(text);
        }

        [key]() {
          return key;
        }

        #hidden() {
          return this.#width;
        }

        area() {
          return this.#hidden() * this.height;
        }

        *[Symbol.iterator]() {
          yield this.#width;
          yield this.height;
        }
      }
      const fn = () => {
        const box = Box.of(3);
        const before = box.area();
        box.width = "5m";
        return [
          before,
          box.width,
          box[key](),
          [...box],
          Box.secret,
          Box.kinds,
          Box.name,
          Box.made,
          box instanceof Box,
        ];
      };
      assertEquals(await form.result(pool.submit(fn)), [
        12,
        "5m",
        "computed",
        [5, 4],
        7,
        ["small", "large"],
        "Box",
        2,
        true,
      ]);
    },
  );

  testForms(
    `${name}.submit() sends a chain of classes that extend each other`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const sound = "...";
      class Animal {
        speak() {
          return sound;
        }
        static kind = "animal";
      }
      class Dog extends Animal {
        override speak() {
          return super.speak() + "woof";
        }
      }
      class Puppy extends Dog {
        override speak() {
          return `${super.speak()}!`;
        }
      }
      const fn = () => {
        const puppy = new Puppy();
        return [
          puppy.speak(),
          puppy instanceof Animal,
          Puppy.kind,
          Object.getPrototypeOf(Puppy) === Dog,
        ];
      };
      assertEquals(await form.result(pool.submit(fn)), [
        "...woof!",
        true,
        "animal",
        true,
      ]);
    },
  );

  testForms(
    `${name}.submit() sends classes that extend an imported one, or a built-in`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const prefix = "a ";
      class Square extends Shape {
        constructor() {
          super(prefix + "square");
        }
      }
      class Counts extends Map<string, number> {
        add(key: string) {
          return this.set(key, (this.get(key) ?? 0) + PACE);
        }
      }
      class Bus extends EventEmitter {
        label = prefix;
      }
      class Nothing extends Object {}
      class Failure extends RangeError {
        override name = prefix + "Failure";
      }
      const fn = () => {
        const heard: unknown[] = [];
        const bus = new Bus();
        bus.on("event", (value) => heard.push(bus.label + value));
        bus.emit("event", 1);
        return [
          new Square().describe(),
          new Square() instanceof Shape,
          Square.describeSides(),
          new Counts().add("x").get("x"),
          heard,
          new Nothing() instanceof Nothing,
          `${new Failure("far")}`,
        ];
      };
      assertEquals(await form.result(pool.submit(fn)), [
        "shape: a square",
        true,
        "sides: 4",
        5,
        ["a 1"],
        true,
        "a Failure: far",
      ]);
    },
  );

  testForms(
    `${name}.submit() sends classes that have no name of their own, and ones that a function has made`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const mixin = (Base: new () => object, tag: string) =>
        class extends Base {
          tag = tag;
        };
      class Root {
        root = true;
      }
      const Mixed = mixin(Root, "outer");
      const Plain = class {
        n = 1;
      };
      const fn = () => [{ ...new Mixed() }, { ...new Plain() }, Plain.name];
      assertEquals<unknown>(await form.result(pool.submit(fn)), [
        { root: true, tag: "outer" },
        { n: 1 },
        "Plain",
      ]);
    },
  );

  testForms(
    `${name}.submit() makes a class after the one that it extends, whatever scopes they are in`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const readTags = (tagged: object): string[] =>
        Reflect.get(tagged, "tags") ?? [];
      const mixin = (Base: new () => object, tag: string) =>
        class extends Base {
          tags: string[] = [...readTags(this), tag];
        };
      class Root {
        root = true;
      }
      const Mixed = mixin(mixin(mixin(Root, "a"), "b"), "c");
      const mixed = () => ({ ...new Mixed() });
      assertEquals<unknown>(await form.result(pool.submit(mixed)), {
        root: true,
        tags: ["a", "b", "c"],
      });
      const makeBase = (n: number) =>
        class {
          n = n;
        };
      const Base = makeBase(4);
      class Derived extends Base {
        m = 5;
      }
      const derived = () => ({ ...new Derived() });
      assertEquals(await form.result(pool.submit(derived)), { n: 4, m: 5 });
    },
  );
}

// ----------------------------------------------------------------- imports

function testImports(name: string, create: Create): void {
  testForms(
    `${name}.submit() imports in the worker what a function has captured of imports`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const suffix = "!";
      const fn = (file: string) => [
        basename(file) + suffix,
        extensionOf(file),
        path.dirname(file),
        typeof process.pid,
        describeFile(file),
        describeDefault(1),
        travelTasks.describeArrow(2),
        outerName(3),
        geometry.area(1, 1),
        new Shape("round").describe(),
      ];
      assertEquals(await form.result(pool.submit(fn, "a/b.txt")), [
        "b.txt!",
        ".txt",
        "a",
        "number",
        "b.txt: txt",
        "default: 1",
        "arrow: 2",
        "inner: 3",
        "area: 3",
        "shape: round",
      ]);
    },
  );

  testForms(
    `${name}.submit() imports values too, which are the worker's own`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const read = () => [
        PACE,
        LIMITS.high,
        [...LIMITS.seen],
        LIMITS === travelTasks.LIMITS,
        travelTasks.STEP,
      ];
      assertEquals(await form.result(pool.submit(read)), [
        5,
        10,
        ["a"],
        true,
        5,
      ]);
    },
  );

  testForms(
    `${name}.submit() imports what a captured function has captured of imports`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const helper = (file: string) => basename(file) + PACE;
      const fn = (file: string) => helper(file) + extensionOf(file);
      assertEquals(await form.result(pool.submit(fn, "a/b.c")), "b.c5.c");
    },
  );
}

// -------------------------------------------------------------------- this

function testThis(name: string, create: Create): void {
  testForms(
    `${name}.submit() sends the this of an arrow function`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const job = {
        factor: 3,
        words: new Set(["a"]),
        scale() {
          return (n: number) => n * this.factor;
        },
        scaleAll() {
          return (list: number[]) => {
            const inner = (n: number) => n * this.factor;
            return [list.map(inner), this.words.has("a")];
          };
        },
        addWithin() {
          const within = () => (n: number) => n + this.factor;
          return within();
        },
        callOther() {
          return () => this.scale()(2);
        },
      };
      assertEquals(await form.result(pool.submit(job.scale(), 2)), 6);
      assertEquals(await form.result(pool.submit(job.scaleAll(), [1, 2])), [
        [3, 6],
        true,
      ]);
      assertEquals(await form.result(pool.submit(job.addWithin(), 4)), 7);
      assertEquals(await form.result(pool.submit(job.callOther())), 6);
      const scale = job.scale();
      job.factor = 5;
      assertEquals(await form.result(pool.submit(scale, 2)), 10);
    },
  );

  testForms(
    `${name}.submit() sends the fields of the object that is the this of an arrow function`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      class Job {
        factor = 4;
        future = pool.submit((n: number) => n * this.factor, 2);
      }
      assertEquals(await form.result(new Job().future), 8);
      class Runner {
        static base = 1;
        size: number;
        constructor(size: number) {
          this.size = size;
        }
        run(n: number) {
          return pool.submit(() => this.size + n);
        }
      }
      const runner = new Runner(10);
      assertEquals(await form.result(runner.run(1)), 11);
      runner.size = 20;
      assertEquals(await form.result(runner.run(1)), 21);
    },
  );

  testForms(
    `${name}.submit() sends the this of an arrow function that is a field of a class`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      class Scaler {
        factor = 3;
        scale = (n: number) => n * this.factor;
      }
      assertEquals(await form.result(pool.submit(new Scaler().scale, 2)), 6);
    },
  );

  testForms(
    `${name}.submit() fails, naming "this", when that cannot travel`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      class Job {
        pool = pool;
        n = 1;
        run() {
          const check = () => this.n;
          return this.pool.submit(check);
        }
      }
      await assertRefused(
        form,
        pool,
        new Job().run(),
        /"this.*" captured by "check"/,
      );
    },
  );

  testForms(
    `${name}.submit() gives a function of the old kind no this`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const mark = 1;
      const fn = function (this: unknown) {
        return [this === undefined, new.target === undefined, mark];
      };
      assertEquals(await form.result(pool.submit(fn)), [true, true, 1]);
    },
  );
}

// ------------------------------------------------------------------- forms

function testEveryForm(name: string, create: Create): void {
  testForms(
    `${name}.submit() sends functions of every form with what they captured`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const step = 2;
      const key = "computed name";
      const object = {
        shorthand(n: number) {
          return n + step;
        },
        async asyncShorthand(n: number) {
          return await n + step;
        },
        [key](n: number) {
          return n + step;
        },
        async [`async ${key}`](n: number) {
          return await n + step;
        },
        "a string"(n: number) {
          return n + step;
        },
        7(n: number) {
          return n + step;
        },
        get(n: number) {
          return n + step;
        },
        set(n: number) {
          return n + step;
        },
        async(n: number) {
          return n + step;
        },
        static(n: number) {
          return n + step;
        },
        arrow: (n: number) => n + step,
      };
      class Holder {
        static plain(n: number) {
          return n + step;
        }
        static async later(n: number) {
          return await n + step;
        }
        static [key](n: number) {
          return n + step;
        }
        method(n: number) {
          return n + step;
        }
        field = (n: number) => n + step;
      }
      const functions: ((n: number) => number | Promise<number>)[] = [
        ...Object.values(object),
        Holder.plain,
        Holder.later,
        Holder[key],
        new Holder().method,
        new Holder().field,
        async (n) => await n + step,
        async function (n) {
          return await n + step;
        },
        function named(n): number {
          return n > 0 ? named(-n) + 2 * n : n + step;
        },
        (n) => {
          return n + step;
        },
      ];
      for (const fn of functions) {
        const result = await form.result(pool.submit(fn, 1));
        assertEquals(result, 3, String(fn));
      }
    },
  );

  testForms(
    `${name}.submit() sends a method with a private name, when it uses no other private name`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const step = 2;
      class Holder {
        static #hidden(n: number) {
          return n + step;
        }
        static getHidden() {
          return Holder.#hidden;
        }
      }
      const hidden = Holder.getHidden();
      assertEquals(await form.result(pool.submit(hidden, 1)), 3);
    },
  );

  testForms(
    `${name}.submit() sends functions whose parameters use what was captured`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const one = 1, key = "k";
      const getTwo = () => one + one;
      const defaults = (a = one, b = getTwo(), c = (() => a + b)()) => [
        a,
        b,
        c,
      ];
      assertEquals(await form.result(pool.submit(defaults)), [1, 2, 3]);
      assertEquals(await form.result(pool.submit(defaults, 5)), [5, 2, 7]);
      const destructured = (
        { [key]: value = getTwo(), ...rest }: Record<string, number>,
        [first = one, ...others]: number[] = [],
      ) => [value, rest, first, others];
      assertEquals(await form.result(pool.submit(destructured, { a: 1 })), [
        2,
        { a: 1 },
        1,
        [],
      ]);
      assertEquals(
        await form.result(
          pool.submit(destructured, { k: 3, b: 4 }, [5, 6, 7]),
        ),
        [3, { b: 4 }, 5, [6, 7]],
      );
      const rest = (...numbers: number[]) => numbers.map((n) => n + one);
      assertEquals(await form.result(pool.submit(rest, 1, 2)), [2, 3]);
    },
  );

  testForms(
    `${name}.submit() sends functions that make and use closures of their own`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const start = 10;
      const fn = (n: number) => {
        let count = start;
        const up = () => count += n;
        function twice(run: () => number) {
          run();
          return run();
        }
        const tagged = { up, [`k${start}`]: twice(up) };
        outer: for (const _ of [1, 2]) {
          for (const _ of [1, 2]) {
            if (up() > 0) break outer;
          }
        }
        let caught: unknown;
        try {
          twice(() => {
            throw start;
          });
        } catch (error) {
          caught = error;
        }
        return [count, Object.keys(tagged), caught];
      };
      assertEquals(await form.result(pool.submit(fn, 1)), [
        13,
        ["up", "k10"],
        10,
      ]);
    },
  );

  testForms(
    `${name}.submit() sends the function that is a getter or a setter`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const value = 5;
      const holder = {
        get size() {
          return value;
        },
        set size(n: number) {
          if (n !== value) throw new RangeError(`${n}`);
        },
      };
      class Holder {
        static get size() {
          return value;
        }
      }
      for (const place of [holder, Holder]) {
        const getter = Object.getOwnPropertyDescriptor(place, "size")!.get!;
        assertEquals(await form.result(pool.submit(getter)), 5);
      }
      const { set } = Object.getOwnPropertyDescriptor(holder, "size")!;
      const error = await form.exception(pool.submit(set!, 6));
      assertInstanceOf(error, RangeError);
      assertEquals(await form.result(pool.submit(set!, 5)), undefined);
    },
  );

  testForms(
    `${name}.submit() sends minified code`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const source =
        `let a=2,b=e=>e*a,c=(e,t=b(e))=>{let{x:n=a,...r}={y:t};return[n,r.y,d(e)]};` +
        `function d(e){return e?b(d(e-1)+1):0}class f{static#g=a;static h(){return f.#g}}` +
        `export{c as default,i};function i(){return()=>[f.h(),b(3),typeof c]}`;
      const { default: exported, i } = await importSource<
        { default(n: number): unknown; i(): () => unknown }
      >(source);
      assertEquals(await form.result(pool.submit(exported, 3)), [2, 6, 14]);
      assertEquals(await form.result(pool.submit(i())), [2, 6, "function"]);
    },
  );

  testForms(
    `${name}.submit() sends functions with properties of their own`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const step = 1;
      interface Counting {
        (n: number): unknown;
        calls: number;
        options: { names: Set<string> };
        helper(n: number): number;
        self?: Counting;
      }
      const fn = ((n: number) => [
        ++fn.calls,
        fn.options.names.has("a"),
        fn.helper(n),
        fn.self === fn,
        Object.keys(fn),
      ]) as Counting;
      fn.calls = 4;
      fn.options = { names: new Set(["a"]) };
      fn.helper = (n) => n + step;
      fn.self = fn;
      const wanted = [
        5,
        true,
        2,
        true,
        ["calls", "options", "helper", "self"],
      ];
      assertEquals(await form.result(pool.submit(fn, 1)), wanted);
      assertEquals(await form.result(pool.submit(fn, 1)), wanted);
      assertEquals(fn.calls, 4);
      fn.calls = 10;
      const captured = (n: number) => fn(n);
      const [calls] = await form.result(pool.submit(captured, 1)) as number[];
      assertEquals(calls, 11);
    },
  );
}

// ----------------------------------------------------------------- objects

function testObjects(name: string, create: Create): void {
  testForms(
    `${name}.submit() sends functions in captured plain objects and arrays`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const base = 100;
      const ops = {
        add(a: number, b: number) {
          return a + b + base;
        },
        nested: { twice: (n: number) => n * 2, file: basename },
        floor: Math.floor,
        data: new Map([["a", 1]]),
      };
      const steps = [(n: number) => n + 1, (n: number) => n * base];
      const table = Object.assign(Object.create(null), { go: describeFile });
      const fn = () => [
        ops.add(1, 2),
        ops.nested.twice(4),
        ops.nested.file("a/b"),
        ops.floor(1.5),
        ops.data.get("a"),
        steps.reduce((n, step) => step(n), 1),
        steps.length,
        table.go("a.b"),
        Object.keys(ops),
      ];
      assertEquals(await form.result(pool.submit(fn)), fn());
      assertEquals(typeof ops.nested.twice, "function"); // the object is as it was
    },
  );

  testForms(
    `${name}.submit() has methods of a captured object mean its copy by this`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const counter = {
        count: 1,
        up() {
          this.count++;
          return this;
        },
        upOld: function () {
          return this.up();
        },
      };
      const fn = () => counter.up().upOld().count + counter.count;
      assertEquals(await form.result(pool.submit(fn)), 6);
      assertEquals(counter.count, 1);
      counter.count = 11;
      assertEquals(await form.result(pool.submit(fn)), 26);
    },
  );

  testForms(
    `${name}.submit() sends the new function when a captured object holds another`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const hooks = { run: (n: number) => n + 1 };
      const fn = (n: number) => hooks.run(n);
      assertEquals(await form.result(pool.submit(fn, 1)), 2);
      hooks.run = (n) => n * 10;
      assertEquals(await form.result(pool.submit(fn, 1)), 10);
    },
  );

  testForms(
    `${name}.submit() keeps a captured object one, when it holds functions and several hold it`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const tools = { n: 1, run: () => 1 };
      const same = tools;
      const helper = () => tools;
      const fn = () => [tools === same, helper() === tools, same.run()];
      assertEquals(await form.result(pool.submit(fn)), [true, true, 1]);
    },
  );

  testForms(
    `${name}.submit() sends a captured object with functions that hold the object`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const api = {
        base: 2,
        double: (n: number): number => n * api.base,
        quadruple: (n: number): number => api.double(api.double(n)),
      };
      const fn = (n: number) => api.quadruple(n) + api.base;
      assertEquals(await form.result(pool.submit(fn, 3)), 14);
      assertEquals(await form.result(pool.submit(api.quadruple, 3)), 12);
    },
  );

  testForms(
    `${name}.submit() keeps cycles and shared references in captured objects with functions`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const item = { run: () => 1 };
      const list = [item, item];
      const ofList = () => [list[0] === list[1], list[1].run()];
      assertEquals(await form.result(pool.submit(ofList)), [true, 1]);
      interface Node {
        run: () => number;
        self?: Node;
      }
      const node: Node = { run: () => 2 };
      node.self = node;
      const ofNode = () => [node.self === node, node.self!.run()];
      assertEquals(await form.result(pool.submit(ofNode)), [true, 2]);
    },
  );

  testForms(
    `${name}.submit() keeps data one, when a captured object with functions and another variable hold it`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const data = { n: 1 };
      const tools = { data, up: () => ++data.n };
      const fn = (given: typeof data) => [
        tools.up(),
        tools.data.n,
        data.n,
        given.n,
      ];
      assertEquals(await form.result(pool.submit(fn, data)), [2, 2, 2, 2]);
      assertEquals(data.n, 1);
    },
  );
}

// ------------------------------------------------------------- import.meta

function testModuleMeta(name: string, create: Create): void {
  testForms(
    `${name}.submit() has import.meta mean the module where the function was written`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const read = () => [
        import.meta.url,
        import.meta.dirname,
        import.meta.filename,
        import.meta.main,
        import.meta.resolve("./_tasks.ts"),
        import.meta.resolve("data:text/plain,x"),
        import.meta.resolve("@std/assert"),
      ];
      assertEquals(await form.result(pool.submit(read)), read());
      const captured = () => read()[0];
      assertEquals(await form.result(pool.submit(captured)), import.meta.url);
      assertEquals(
        await form.result(pool.submit(getWhere())),
        `${new URL("_travel_tasks.ts", import.meta.url)}: `,
      );
    },
  );

  testForms(
    `${name}.submit() has import() mean the module where the function was written`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const load = async () => {
        const { add } = await import("./_tasks.ts");
        return add(1, 2);
      };
      assertEquals(await form.result(pool.submit(load)), 3);
      const file = "./_travel_tasks.ts";
      const loadNamed = async (name: string) => {
        const module = await import(file);
        const { join } = await import("node:path");
        return [module[name]("a.b"), join("a", "b")];
      };
      assertEquals(await form.result(pool.submit(loadNamed, "describeFile")), [
        "a.b: b",
        "a/b",
      ]);
      const missing = () => import("./_no_such_module.ts" + "");
      const error = await form.exception(pool.submit(missing));
      assertInstanceOf(error, TypeError);
      assertMatch(error.message, /tests\/_no_such_module\.ts/);
    },
  );
}

// ---------------------------------------------------------------- refusals

function testRefusals(name: string, create: Create): void {
  /** What cannot travel, and how an error says what it is. */
  const makers: [
    what: string,
    make: (pool: Executor) => unknown,
    said: RegExp,
  ][] = [
    ["a symbol", () => Symbol("s"), /holds a symbol/],
    ["a WeakMap", () => new WeakMap(), /holds (a value that is )?.*WeakMap/],
    [
      "a Promise",
      () => Promise.resolve(),
      /holds (a value that is )?.*Promise/,
    ],
    ["an executor", (pool) => pool, /holds .*(executor|Executor|pool)/],
    ["a future", () => Future.from(Promise.resolve()), /holds .*[fF]uture/],
  ];

  for (const [what, make, said] of makers) {
    testForms(
      `${name}.submit() fails that future alone, naming variable and function, when ${what} was captured`,
      async ({ form, own }) => {
        const pool = own(create({ maxWorkers: 1 }));
        await assertCapturedRefused(form, pool, make(pool), said);
      },
    );
  }

  testForms(
    `${name}.submit() fails that future alone, naming variable and function, when a Worker was captured`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const worker = new Worker("data:text/javascript,", { type: "module" });
      try {
        await assertCapturedRefused(
          form,
          pool,
          worker,
          /holds a (Counted)?Worker/,
        );
      } finally {
        worker.terminate();
      }
    },
  );

  async function assertCapturedRefused(
    form: Form,
    pool: Executor,
    onDone: unknown,
    said: RegExp,
  ): Promise<void> {
    const check = () => onDone;
    await assertRefused(
      form,
      pool,
      pool.submit(check),
      /^Cannot send the function "check" as "onDone" captured by "check" /,
      said,
    );
    const options = { deep: [onDone] };
    const within = () => options;
    await assertRefused(
      form,
      pool,
      pool.submit(within),
      /"within".*"options\S*deep\S*0\S*" captured by "within"/,
      said,
    );
    const byHelper = () => check();
    await assertRefused(
      form,
      pool,
      pool.submit(byHelper),
      /"byHelper".*"onDone" captured by "check"/,
      said,
    );
  }

  testForms(
    `${name}.submit() fails, naming variable and function, when a captured function cannot travel`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const add = ((a: number, b: number) => a + b).bind(null, 1);
      const usesBound = (n: number) => add(n);
      await assertRefused(
        form,
        pool,
        pool.submit(usesBound, 1),
        /"add" captured by "usesBound" holds a function that cannot travel.*bound/,
      );
      const tools = { list: [1, { add }] };
      const usesTools = () => tools.list.length;
      await assertRefused(
        form,
        pool,
        pool.submit(usesTools),
        /"tools\S*add" captured by "usesTools".*bound/,
      );
      const { get } = Map.prototype;
      const usesNative = () => get.name;
      await assertRefused(
        form,
        pool,
        pool.submit(usesNative),
        /"get" captured by "usesNative".*native/,
      );
    },
  );

  testForms(
    `${name}.submit() fails, naming the variable, when that has no value yet, and works when it has`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const read = () => late + 1;
      await assertRefused(
        form,
        pool,
        pool.submit(read),
        /"late" captured by "read" has no value yet/,
      );
      const viaHelper = () => read();
      await assertRefused(
        form,
        pool,
        pool.submit(viaHelper),
        /"late" captured by "read" has no value yet/,
      );
      const late = 1;
      assertEquals(await form.result(pool.submit(read)), 2);
      assertEquals(await form.result(pool.submit(viaHelper)), 2);
    },
  );

  testForms(
    `${name}.submit() works when what could not travel has been put right`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      let onDone: unknown = new WeakMap();
      const state: { hook: unknown } = { hook: Symbol("s") };
      let helper: () => unknown = (() => 1).bind(null);
      const first = () => onDone;
      const second = () => state.hook;
      const third = () => helper();
      for (const fn of [first, second, third]) {
        await assertRefused(form, pool, pool.submit(fn), /captured by/);
        await assertRefused(form, pool, pool.submit(fn), /captured by/);
      }
      onDone = 1;
      state.hook = 2;
      helper = () => 3;
      assertEquals(await form.result(pool.submit(first)), 1);
      assertEquals(await form.result(pool.submit(second)), 2);
      assertEquals(await form.result(pool.submit(third)), 3);
      onDone = new WeakSet();
      await assertRefused(form, pool, pool.submit(first), /"onDone".*WeakSet/);
    },
  );

  testForms(
    `${name}.submit() fails, saying that values cannot travel, when it is a generator`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const to = 3;
      function* count() {
        for (let n = 0; n < to; n++) yield n;
      }
      async function* countLater() {
        yield await to;
      }
      const object = {
        *method() {
          yield to;
        },
      };
      const fns = [
        count,
        countLater,
        object.method,
        generateLabels,
        function* () {
          yield 1;
        },
      ];
      for (const fn of fns) {
        await assertRefused(
          form,
          pool,
          pool.submit(wrong<() => unknown>(fn)),
          /generator/,
          /values/,
          new RegExp(`"${fn.name || "anonymous"}"`),
        );
      }
    },
  );

  testForms(
    `${name}.submit() fails, naming the class, when that is to be called`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const n = 1;
      class Local {
        n = n;
      }
      class Derived extends Local {}
      for (const Class of [Local, Derived, Shape]) {
        await assertRefused(
          form,
          pool,
          pool.submit(wrong<() => unknown>(Class)),
          new RegExp(`"${Class.name}"`),
          /class/,
        );
      }
    },
  );

  testForms(
    `${name}.submit() fails, saying what stays behind, when a function is bound to its place`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      class Local extends Object {
        static sides = 4;
        #secret = 1;
        static usesThis() {
          return this.sides;
        }
        readSecret(other: Local) {
          return other.#secret;
        }
        getTag() {
          return super.valueOf();
        }
      }
      function useTarget(this: unknown, ..._args: unknown[]) {
        return () => new.target;
      }
      function useArguments(..._args: unknown[]) {
        return () => arguments.length;
      }
      const fns: [() => unknown, RegExp][] = [
        [Local.usesThis, /"usesThis".*"this"/],
        [wrong(Local.prototype.readSecret), /"readSecret".*private/],
        [Local.prototype.getTag, /"getTag".*"super"/],
        [useTarget(), /new\.target/],
        [useArguments(1), /"arguments"/],
      ];
      for (const [fn, message] of fns) {
        await assertRefused(form, pool, pool.submit(fn), message);
      }
    },
  );

  testForms(
    `${name}.submit() fails, saying how to write it, when a class of the old kind was captured`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      function Point(this: { x: number }) {
        this.x = 1;
      }
      Point.prototype.getX = function (this: { x: number }) {
        return this.x;
      };
      const read = () => Reflect.construct(Point, []).getX();
      assertEquals(read(), 1);
      await assertRefused(
        form,
        pool,
        pool.submit(read),
        /"Point" captured by "read".*write it as a class/,
      );
    },
  );

  testForms(
    `${name}.submit() takes a class with private names for what it is, when a function uses it`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      class Secret {
        #n: number;
        constructor(n: number) {
          this.#n = n;
        }
        static same(a: Secret, b: Secret) {
          return #n in a && a.#n === b.#n;
        }
      }
      const fn = (n: number) => Secret.same(new Secret(n), new Secret(1));
      assertEquals(await form.result(pool.submit(fn, 1)), true);
      assertEquals(await form.result(pool.submit(fn, 2)), false);
    },
  );

  testForms(
    `${name}.submit() tells a call by new from a plain one, when a captured function uses new.target`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const mark = 1;
      const made: unknown[] = [];
      function Old(this: unknown) {
        made.push(new.target === undefined ? "called" : new.target.name, mark);
      }
      const fn = () => {
        Reflect.construct(Old, []);
        (Old as () => void)();
        return made;
      };
      assertEquals(await form.result(pool.submit(fn)), [
        "Old",
        1,
        "called",
        1,
      ]);
    },
  );
}

// ------------------------------------------------------------ initializers

function testInitializers(name: string, create: Create): void {
  testForms(
    `${name}() runs an initializer that is a closure`,
    async ({ form, own }) => {
      const start = 40, words = new Set(["a"]);
      const getName = () => "travelMark";
      const pool = own(create({
        maxWorkers: 1,
        initializer: (added: number) => {
          Object.assign(globalThis, {
            [getName()]: [start + added, words.has("a")],
          });
        },
        initArgs: [2],
      }));
      const read = () => Reflect.get(globalThis, getName());
      assertEquals(await form.result(pool.submit(read)), [42, true]);
      assertEquals("travelMark" in globalThis, false);
    },
  );

  testForms(
    `${name}() runs an exported initializer in the module whose functions are submitted`,
    async ({ form, own }) => {
      const pool = own(create({
        maxWorkers: 2,
        initializer: prepare,
        initArgs: [new Map([["ready", 1n]])],
      }));
      for (let n = 0; n < 3; n++) {
        assertEquals(
          await form.result(pool.submit(readPrepared)),
          new Map([["ready", 1n]]),
        );
      }
      assertEquals(readPrepared(), undefined);
    },
  );

  testForms(
    `${name}() gives every worker a copy of what its initializer had captured`,
    async ({ form, own, gates }) => {
      let value = 1;
      const pool = own(create({
        maxWorkers: 2,
        initializer: () => void Object.assign(globalThis, { travelled: value }),
      }));
      value = 2;
      const read = () => Reflect.get(globalThis, "travelled");
      const held = pool.submit(tasks.hold, gates.folder, "a");
      assertEquals(await form.result(pool.submit(read)), 1); // by the second worker
      gates.open("a");
      assertEquals(await form.result(held), "a");
      assertEquals(value, 2);
    },
  );

  testForms(
    `${name}() throws SerializationError, naming the variable, when its initializer captured what cannot travel`,
    ({ own }) => {
      const token = Symbol("token");
      const initializer = () => void Reflect.set(globalThis, "mark", token);
      assertThrows(
        () => own(create({ initializer })),
        SerializationError,
        '"token" captured by "initializer" holds a symbol',
      );
      return Promise.resolve();
    },
  );
}

// ------------------------------------------------------------------ thrown

function testThrown(name: string, create: Create): void {
  testForms(
    `${name}.submit() throws what a travelled function throws, its name in the stack`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const limit = 5;
      const checkLimit = (n: number) => {
        if (n > limit) throw new RangeError(`${n} is above ${limit}`);
        return n;
      };
      const callsHelper = (n: number) => checkLimit(n) + 1;
      const touchesNothing = (n: number) =>
        wrong<{ a: { b: number } }>({}).a.b + n;
      const error = await form.exception(pool.submit(callsHelper, 6));
      assertInstanceOf(error, RangeError);
      assertEquals(error.message, "6 is above 5");
      assertMatch(error.stack!, /checkLimit[^]*callsHelper/);
      const other = await form.exception(pool.submit(touchesNothing, 6));
      assertInstanceOf(other, TypeError);
      assertMatch(other.message, /reading 'b'/);
      const labelled = await form.exception(pool.submit(failLabelled, 1));
      assertInstanceOf(labelled, RangeError);
      assertEquals(labelled.message, "failed: 1");
      assertMatch(labelled.stack!, /_travel_tasks\.ts/);
      assertEquals(await form.result(pool.submit(callsHelper, 1)), 2);
    },
  );

  testForms(
    `${name}.submit() throws an Error with the name of a captured class that nobody registered`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      class LimitError extends RangeError {
        override name = "LimitError";
        limit = 5;
      }
      const fail = async () => {
        await null;
        const error = new LimitError("too many");
        if (!(error instanceof RangeError)) return 0;
        throw error;
      };
      const error = await form.exception(pool.submit(fail));
      assertInstanceOf(error, Error);
      assertEquals(
        [error.name, error.message, Reflect.get(error, "limit")],
        ["LimitError", "too many", 5],
      );
      const readLimit = () => {
        try {
          throw new LimitError("caught");
        } catch (error) {
          return error instanceof LimitError && error.limit;
        }
      };
      assertEquals(await form.result(pool.submit(readLimit)), 5);
    },
  );

  testForms(
    `${name}.submit() fails with ReferenceError when a function uses a name that nobody knows`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const known = 1;
      const fn = new Function(
        "known",
        "return () => known + nobodyKnowsIt",
      )(known) as () => unknown;
      const error = await form.exception(pool.submit(fn));
      assertInstanceOf(error, ReferenceError);
      assertMatch(error.message, /nobodyKnowsIt/);
      const careful = () => [typeof wrong, known];
      assertEquals(await form.result(pool.submit(careful)), ["function", 1]);
    },
  );
}
