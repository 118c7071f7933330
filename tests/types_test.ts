import { assertEquals, assertInstanceOf } from "@std/assert";
import { assertType, type IsAny, type IsExact } from "@std/testing/types";
import {
  asCompleted,
  type Callable,
  Executor,
  Future,
  importTasks,
  type MapOptions,
  type MapResults,
  type SubmitOptions,
  type TaskReference,
  type Tasks,
  ThreadPoolExecutor,
} from "../mod.ts";

/**
 * Takes code that is checked by the compiler and never run: a wrong type in it
 * keeps this file from being run at all.
 */
function compiles(code: (pool: Executor) => void): void {
  assertInstanceOf(code, Function);
}

/** The exports of a module of tasks, as `typeof import("./tasks.ts")` gives them. */
interface TaskModule {
  area(width: number, height?: number): number;
  load(url: string | URL): Promise<Uint8Array>;
  sum: (...numbers: number[]) => number;
  now(): Date;
  readonly LIMIT: number;
  readonly settings: { depth: number };
  Shape: new (sides: number) => object;
}

// ------------------------------------------------------------------ submit

Deno.test("Executor.submit() infers the result when the function is synchronous", () => {
  compiles((pool) => {
    const number = pool.submit((a: number, b: number) => a + b, 1, 2);
    assertType<IsExact<typeof number, Future<number>>>(true);
    const text = pool.submit(String.raw, { raw: ["a"] });
    assertType<IsExact<typeof text, Future<string>>>(true);
    const nothing = pool.submit(() => {});
    assertType<IsExact<typeof nothing, Future<void>>>(true);
    const never = pool.submit((message: string) => {
      throw new Error(message);
    }, "oops");
    assertType<IsExact<typeof never, Future<never>>>(true);
    const object = pool.submit((n: number) => ({ n, list: [n] }), 1);
    assertType<IsExact<typeof object, Future<{ n: number; list: number[] }>>>(
      true,
    );
    const union = pool.submit((n: number) => n > 0 ? n : "none", 1);
    assertType<IsExact<typeof union, Future<number | "none">>>(true);
    const parsed = pool.submit(JSON.parse, "{}");
    assertType<IsAny<Awaited<typeof parsed>>>(true);
  });
});

Deno.test("Executor.submit() infers the awaited result when the function is asynchronous", () => {
  compiles((pool) => {
    const number = pool.submit(
      async (n: number) => await Promise.resolve(n),
      1,
    );
    assertType<IsExact<typeof number, Future<number>>>(true);
    const nested = pool.submit(() => Promise.resolve(Promise.resolve("text")));
    assertType<IsExact<typeof nested, Future<string>>>(true);
    const thenable = pool.submit((): PromiseLike<bigint> =>
      Promise.resolve(1n)
    );
    assertType<IsExact<typeof thenable, Future<bigint>>>(true);
    const perhaps = pool.submit(
      (n: number) => n > 0 ? n : Promise.resolve("a"),
      1,
    );
    assertType<IsExact<typeof perhaps, Future<number | string>>>(true);
    const copied = pool.submit(Deno.copyFile, "from", "to");
    assertType<IsExact<typeof copied, Future<void>>>(true);
    const response = pool.submit(fetch, "https://example.com", {
      method: "HEAD",
    });
    assertType<IsExact<typeof response, Future<Response>>>(true);
  });
});

Deno.test("Executor.submit() takes optional, default and rest parameters", () => {
  compiles((pool) => {
    const optional = (a: number, b?: string) => b ?? a;
    const either = pool.submit(optional, 1);
    assertType<IsExact<typeof either, Future<string | number>>>(true);
    pool.submit(optional, 1, "b");
    pool.submit(optional, 1, undefined);
    pool.submit((a: number, b: number = 2) => a + b, 1);
    pool.submit((a: number, b: number = 2) => a + b, 1, 2);
    const max = pool.submit(Math.max, 1, 2, 3, 4);
    assertType<IsExact<typeof max, Future<number>>>(true);
    pool.submit(Math.max);
    pool.submit(Math.max, ...[1, 2, 3]);
    pool.submit(
      (name: string, ...rest: number[]) => name + rest.length,
      "a",
      1,
      2,
    );
    pool.submit(parseInt, "ff", 16);
    pool.submit(parseInt, "12");
  });
});

Deno.test("Executor.submit() takes generic functions and unions", () => {
  function first<T extends { length: number }>(list: T): number {
    return list.length;
  }
  compiles((pool) => {
    const length = pool.submit(first, "text");
    assertType<IsExact<typeof length, Future<number>>>(true);
    pool.submit(first, [1, 2]);
    pool.submit(structuredClone, { a: 1 });
    pool.submit((value: number | string) => `${value}`, 1);
    pool.submit((value: unknown) => typeof value, Symbol.iterator);
    pool.submit((value: { a: number; b?: string }) => value.a, { a: 1 });
    pool.submit((list: readonly number[]) => list.length, [1, 2] as const);
  });
  compiles((pool) => {
    // A function that is generic over the callable itself.
    function run<A extends unknown[], R>(fn: Callable<A, R>, ...args: A) {
      return pool.submit(fn, ...args);
    }
    const future = run((a: number, b: string) => [a, b] as const, 1, "b");
    assertType<IsExact<typeof future, Future<readonly [number, string]>>>(true);
  });
});

Deno.test("Executor.submit() does not compile when an argument is wrong", () => {
  compiles((pool) => {
    // @ts-expect-error a string is no number
    pool.submit((n: number) => n, "1");
    // @ts-expect-error one is missing
    pool.submit((a: number, b: number) => a + b, 1);
    // @ts-expect-error all are missing
    pool.submit((a: number) => a);
    // @ts-expect-error one too many
    pool.submit((a: number) => a, 1, 2);
    // @ts-expect-error one too many for none
    pool.submit(() => 1, 1);
    // @ts-expect-error a wrong optional one
    pool.submit((a: number, b?: string) => b ?? a, 1, 2);
    // @ts-expect-error a wrong one among the rest
    pool.submit(Math.max, 1, "2");
    // @ts-expect-error null is no number
    pool.submit(Math.sqrt, null);
    // @ts-expect-error undefined is no number
    pool.submit(Math.sqrt, undefined);
    // @ts-expect-error a property is missing
    pool.submit((value: { a: number }) => value.a, {});
    // @ts-expect-error the order matters
    pool.submit((a: number, b: string) => b + a, "b", 1);
  });
});

Deno.test("Executor.submit() does not compile when there is nothing to call", () => {
  compiles((pool) => {
    // @ts-expect-error nothing at all
    pool.submit();
    // @ts-expect-error a string is no function
    pool.submit("Math.sqrt", 1);
    // @ts-expect-error the result of a call is no function
    pool.submit(Math.sqrt(4));
    // @ts-expect-error a class is called with new
    pool.submit(Map);
    // @ts-expect-error undefined is no function
    pool.submit(undefined);
  });
});

Deno.test("Executor.submit() does not compile when the result is taken for another", () => {
  compiles((pool) => {
    // @ts-expect-error a number is no string
    const text: Future<string> = pool.submit(Math.sqrt, 4);
    // @ts-expect-error what is awaited is no promise
    const promise: Future<Promise<number>> = pool.submit(async () => await 1);
    return [text, promise];
  });
});

// -------------------------------------------------------------- submitWith

Deno.test("Executor.submitWith() infers as submit() does", () => {
  compiles((pool) => {
    const { signal } = new AbortController();
    const { port1 } = new MessageChannel();
    const all: SubmitOptions = { signal, timeout: 5, transfer: [port1] };
    const number = pool.submitWith(all, (a: number, b: number) => a + b, 1, 2);
    assertType<IsExact<typeof number, Future<number>>>(true);
    const text = pool.submitWith({}, async () => await Promise.resolve("a"));
    assertType<IsExact<typeof text, Future<string>>>(true);
    const max = pool.submitWith({ timeout: 1 }, Math.max, 1, 2, 3);
    assertType<IsExact<typeof max, Future<number>>>(true);
    pool.submitWith({ signal }, parseInt, "12");
    pool.submitWith({ signal: undefined }, parseInt, "ff", 16);
  });
});

Deno.test("Executor.submitWith() does not compile when options or arguments are wrong", () => {
  compiles((pool) => {
    // @ts-expect-error options come first
    pool.submitWith(Math.sqrt, 4);
    // @ts-expect-error a string is no number
    pool.submitWith({}, Math.sqrt, "4");
    // @ts-expect-error one is missing
    pool.submitWith({}, Math.sqrt);
    // @ts-expect-error one too many
    pool.submitWith({}, Math.sqrt, 4, 5);
    // @ts-expect-error times are numbers
    pool.submitWith({ timeout: "5" }, Math.sqrt, 4);
    // @ts-expect-error a controller is no signal
    pool.submitWith({ signal: new AbortController() }, Math.sqrt, 4);
    // @ts-expect-error no such option
    pool.submitWith({ timeoutMs: 5 }, Math.sqrt, 4);
    // @ts-expect-error a number can't be moved
    pool.submitWith({ transfer: [5] }, Math.sqrt, 4);
    // @ts-expect-error options are no iterable of calls
    pool.submitWith({ chunkSize: 5 }, Math.sqrt, 4);
  });
});

// --------------------------------------------------------------------- map

Deno.test("Executor.map() infers the awaited result", () => {
  compiles((pool) => {
    const numbers = pool.map(Math.sqrt, [1, 4]);
    assertType<IsExact<typeof numbers, MapResults<number>>>(true);
    const texts = pool.map(async (n: number) => await Promise.resolve(`${n}`), [
      1,
    ]);
    assertType<IsExact<typeof texts, MapResults<string>>>(true);
    for (const root of numbers) assertType<IsExact<typeof root, number>>(true);
    const all = Array.fromAsync(texts);
    assertType<IsExact<typeof all, Promise<string[]>>>(true);
    const next = numbers.next();
    assertType<
      IsExact<typeof next, Promise<IteratorResult<number, undefined>>>
    >(
      true,
    );
  });
  compiles(async (pool) => {
    for await (const text of pool.map((n: number) => `${n}`, [1])) {
      assertType<IsExact<typeof text, string>>(true);
    }
  });
});

Deno.test("Executor.map() takes one iterable of any kind per parameter", () => {
  function* generate(): Generator<number> {
    yield 1;
  }
  compiles((pool) => {
    const fixed: readonly number[] = [1];
    pool.map(Math.sqrt, fixed);
    pool.map(Math.sqrt, new Set([1]));
    pool.map(Math.sqrt, generate());
    pool.map(Math.sqrt, new Uint8Array(4));
    pool.map(Math.sqrt, new Map<number, string>().keys());
    pool.map((letter: string) => letter.length, "text");
    pool.map(([k, v]: [string, number]) => k + v, new Map([["a", 1]]));
    const powers = pool.map(Math.pow, [1, 2], generate());
    assertType<IsExact<typeof powers, MapResults<number>>>(true);
    pool.map((a: number, b: string, c: boolean) => a + b + c, [1], "b", [true]);
    pool.map((value: number | string) => value, [1, "a"]);
    pool.map((items: Iterable<number>) => [...items], [[1], new Set([2])]);
    pool.map(() => 1);
    pool.map(() => 1, { chunkSize: 2 });
  });
});

Deno.test("Executor.map() takes iterables for rest and optional parameters", () => {
  compiles((pool) => {
    const max = pool.map(Math.max, [1], [2], [3], { timeout: 5 });
    assertType<IsExact<typeof max, MapResults<number>>>(true);
    pool.map(Math.max, [1]);
    pool.map(Math.max, ...[[1], [2]]);
    pool.map((a: string, ...rest: number[]) => a + rest.length, "a", [1], [2], {
      chunkSize: 2,
    });
    pool.map((a: number, b?: string) => b ?? a, [1]);
    pool.map((a: number, b?: string) => b ?? a, [1], "b");
    pool.map((a: number, b?: string) => b ?? a, [1], ["b", undefined]);
    pool.map((a: number, b?: string) => b ?? a, [1], "b", { chunkSize: 2 });
    pool.map(parseInt, ["1"], [10]);
  });
});

Deno.test("Executor.map() takes its options last", () => {
  compiles((pool) => {
    const { signal } = new AbortController();
    const all: MapOptions = { timeout: 5, chunkSize: 2, bufferSize: 3, signal };
    const roots = pool.map(Math.sqrt, [1, 4], all);
    assertType<IsExact<typeof roots, MapResults<number>>>(true);
    const powers = pool.map(Math.pow, [1, 4], [2, 2], { chunkSize: 2 });
    assertType<IsExact<typeof powers, MapResults<number>>>(true);
    pool.map(Math.sqrt, [1, 4], {});
    pool.map(Math.sqrt, [1, 4], { timeout: undefined });
    // Items may look like options, for they come in an iterable.
    pool.map((options: MapOptions) => options.timeout, [{ timeout: 1 }], {
      timeout: 1,
    });
  });
});

Deno.test("Executor.map() takes its options when optional parameters are left out", () => {
  compiles((pool) => {
    const some = pool.map((a: number, b?: string) => b ?? a, [1], {
      chunkSize: 2,
    });
    assertType<IsExact<typeof some, MapResults<number | string>>>(true);
    const numbers = pool.map(parseInt, ["1", "2"], { chunkSize: 2 });
    assertType<IsExact<typeof numbers, MapResults<number>>>(true);
    pool.map((a?: number, b?: string) => b ?? a, { chunkSize: 2 });
    pool.map((a?: number, b?: string) => b ?? a, [1], { chunkSize: 2 });
    pool.map((a?: number, b?: string) => b ?? a, [1], "b", { chunkSize: 2 });
    // @ts-expect-error no such option
    pool.map(parseInt, ["1"], { chunksize: 2 });
  });
});

Deno.test("Executor.map() takes options that may be missing", () => {
  compiles((pool) => {
    function roots(numbers: number[], options?: MapOptions) {
      return pool.map(Math.sqrt, numbers, options);
    }
    assertType<IsExact<ReturnType<typeof roots>, MapResults<number>>>(true);
  });
});

Deno.test("Executor.submit() and map() type the parameters of a function that leaves them out", () => {
  compiles((pool) => {
    const sum = pool.submit((n, s) => n + s, 1, "a");
    assertType<IsExact<typeof sum, Future<string>>>(true);
    const doubled = pool.map((n) => n * 2, [1, 2]);
    assertType<IsExact<typeof doubled, MapResults<number>>>(true);
    const joined = pool.map((n, s) => n + s, [1, 2], "ab", { chunkSize: 2 });
    assertType<IsExact<typeof joined, MapResults<string>>>(true);
    // @ts-expect-error a string has no power
    pool.map((s) => s ** 2, ["a"]);
  });
});

Deno.test("Executor.map() takes what is generic over the items", () => {
  compiles((pool) => {
    function each<T, R>(fn: (item: T) => R, items: Iterable<T>) {
      return pool.map(fn, items);
    }
    const texts = each((n: number) => `${n}`, [1]);
    assertType<IsExact<typeof texts, MapResults<string>>>(true);
    function eachWith<T, R>(
      fn: Callable<[T], R>,
      items: Iterable<T>,
      options?: MapOptions,
    ) {
      return pool.map(fn, items, options);
    }
    const numbers = eachWith(async (s: string) => await s.length, ["a"]);
    assertType<IsExact<typeof numbers, MapResults<number>>>(true);
  });
});

Deno.test("Executor.map() does not compile when an iterable is wrong", () => {
  async function* generateLater(): AsyncGenerator<number> {
    yield await Promise.resolve(1);
  }
  compiles((pool) => {
    // @ts-expect-error a string's letters are no numbers
    pool.map(Math.sqrt, "14");
    // @ts-expect-error strings are no numbers
    pool.map(Math.sqrt, ["1"]);
    // @ts-expect-error a number is no iterable
    pool.map(Math.sqrt, 4);
    // @ts-expect-error one is missing
    pool.map(Math.pow, [1]);
    // @ts-expect-error all are missing
    pool.map(Math.sqrt);
    // @ts-expect-error options are no iterable
    pool.map(Math.sqrt, { chunkSize: 2 });
    // @ts-expect-error one too many
    pool.map(Math.sqrt, [1], [2]);
    // @ts-expect-error the second is wrong
    pool.map(Math.pow, [1], ["2"]);
    // @ts-expect-error the order matters
    pool.map((a: number, b: string) => b + a, "b", [1]);
    // @ts-expect-error one of the rest is wrong
    pool.map(Math.max, [1], ["2"]);
    // @ts-expect-error an async iterable can't be collected at once
    pool.map(Math.sqrt, generateLater());
    // @ts-expect-error promises are no numbers
    pool.map(Math.sqrt, [Promise.resolve(1)]);
  });
});

Deno.test("Executor.map() does not compile when its options are wrong", () => {
  compiles((pool) => {
    // @ts-expect-error sizes are numbers
    pool.map(Math.sqrt, [1], { chunkSize: "2" });
    // @ts-expect-error no such option
    pool.map(Math.sqrt, [1], { chunksize: 2 });
    // @ts-expect-error no such option
    pool.map(Math.sqrt, [1], { transfer: [] });
    // @ts-expect-error options come last
    pool.map(Math.sqrt, { chunkSize: 2 }, [1]);
    // @ts-expect-error options come once
    pool.map(Math.sqrt, [1], { chunkSize: 2 }, { timeout: 2 });
    // @ts-expect-error a controller is no signal
    pool.map(Math.sqrt, [1], { signal: new AbortController() });
  });
});

// ------------------------------------------------------------- importTasks

Deno.test("importTasks() gives a reference for each function of the module", () => {
  const tasks = importTasks<TaskModule>("file:///tasks.ts");
  assertType<IsExact<typeof tasks, Tasks<TaskModule>>>(true);
  assertType<
    IsExact<
      typeof tasks.area,
      TaskReference<[width: number, height?: number], number>
    >
  >(true);
  assertType<
    IsExact<
      typeof tasks.load,
      TaskReference<[url: string | URL], Promise<Uint8Array>>
    >
  >(true);
  assertType<IsExact<typeof tasks.sum, TaskReference<number[], number>>>(true);
  assertType<IsExact<typeof tasks.now, TaskReference<[], Date>>>(true);
  type Names = keyof typeof tasks;
  assertType<IsExact<Names, "area" | "load" | "sum" | "now">>(true);
  assertEquals(String(tasks.area), "area of file:///tasks.ts");
});

Deno.test("importTasks() leaves out what is no function", () => {
  const tasks = importTasks<TaskModule>("file:///tasks.ts");
  compiles(() => {
    // @ts-expect-error a constant
    tasks.LIMIT;
    // @ts-expect-error an object
    tasks.settings;
    // @ts-expect-error a class
    tasks.Shape;
    // @ts-expect-error no export of that name
    tasks.aera;
    // @ts-expect-error a reference is not called, but submitted
    tasks.now();
    // @ts-expect-error a reference is not set
    tasks.now = tasks.sum;
    // @ts-expect-error one argument: an address
    importTasks<TaskModule>();
  });
});

Deno.test("importTasks() takes the type of a module", () => {
  const tasks = importTasks<typeof import("./_gate.ts")>(
    import.meta.resolve("./_gate.ts"),
  );
  assertType<
    IsExact<
      typeof tasks.passGate,
      TaskReference<[memory: SharedArrayBuffer, value: string], string>
    >
  >(true);
  // @ts-expect-error a class is no task
  assertEquals(String(tasks.Gate).split(" ")[0], "Gate");
});

Deno.test("Executor.submit() and map() take references as they take functions", () => {
  const tasks = importTasks<TaskModule>("file:///tasks.ts");
  compiles((pool) => {
    const area = pool.submit(tasks.area, 1, 2);
    assertType<IsExact<typeof area, Future<number>>>(true);
    pool.submit(tasks.area, 1);
    const page = pool.submit(tasks.load, "https://example.com");
    assertType<IsExact<typeof page, Future<Uint8Array>>>(true);
    const sum = pool.submitWith({ timeout: 5 }, tasks.sum, 1, 2, 3);
    assertType<IsExact<typeof sum, Future<number>>>(true);
    const now = pool.submit(tasks.now);
    assertType<IsExact<typeof now, Future<Date>>>(true);
    const pages = pool.map(tasks.load, ["https://example.com"], {
      chunkSize: 2,
    });
    assertType<IsExact<typeof pages, MapResults<Uint8Array>>>(true);
    const areas = pool.map(tasks.area, [1, 2], [3, 4]);
    assertType<IsExact<typeof areas, MapResults<number>>>(true);

    // @ts-expect-error a string is no number
    pool.submit(tasks.area, "1");
    // @ts-expect-error one is missing
    pool.submit(tasks.load);
    // @ts-expect-error one too many
    pool.submit(tasks.now, 1);
    // @ts-expect-error one too many
    pool.submitWith({}, tasks.area, 1, 2, 3);
    // @ts-expect-error numbers are no addresses
    pool.map(tasks.load, [1]);
  });
});

// -------------------------------------------------------------- asCompleted

function finished(value: string): Future<string> {
  const future = new Future<string>();
  future.setResult(value);
  return future;
}

// The same loop more than once: the compiler's first look at a type may differ
// from the later ones, which it answers from a cache.
Deno.test("asCompleted() is typed as yielding futures wherever it is gone through", async () => {
  const futures = [finished("a"), finished("b")];
  const seen: string[] = [];
  for await (const future of asCompleted(futures)) {
    assertType<IsExact<typeof future, Future<string>>>(true);
    seen.push(future.resultSync());
  }
  for await (const future of asCompleted(futures)) {
    assertType<IsExact<typeof future, Future<string>>>(true);
    seen.push(future.resultSync());
  }
  const completed = asCompleted(futures);
  for await (const future of completed) {
    assertType<IsExact<typeof future, Future<string>>>(true);
    seen.push(future.resultSync());
  }
  for (const future of asCompleted(futures)) {
    assertType<IsExact<typeof future, Future<string>>>(true);
    seen.push(future.resultSync());
  }
  for (const future of await Array.fromAsync(asCompleted(futures))) {
    seen.push(future.resultSync());
  }
  const next = await asCompleted(futures).next();
  if (!next.done) {
    assertType<IsExact<typeof next.value, Future<string>>>(true);
  }
  assertEquals(seen.join(""), "ababababab");
});

// ---------------------------------------------------------------- the pools

Deno.test("ThreadPoolExecutor does not compile when its options are wrong", () => {
  const make = () => {
    const pool = new ThreadPoolExecutor({
      maxWorkers: 2,
      threadNamePrefix: "name",
      initializer: (level: number) => level,
      initArgs: [1],
      onWorkerDeath: "break",
    });
    assertType<IsExact<typeof pool extends Executor ? true : false, true>>(
      true,
    );
    // @ts-expect-error numbers are no strings
    new ThreadPoolExecutor({ maxWorkers: "2" });
    // @ts-expect-error no such way
    new ThreadPoolExecutor({ onWorkerDeath: "ignore" });
    // @ts-expect-error no such option
    new ThreadPoolExecutor({ workers: 2 });
    // @ts-expect-error arguments come in a list
    new ThreadPoolExecutor({ initializer: (n: number) => n, initArgs: 1 });
    // @ts-expect-error a name is no function
    new ThreadPoolExecutor({ initializer: "init" });
    // @ts-expect-error only a pool can be made
    new Executor();
  };
  compiles(make);
});
