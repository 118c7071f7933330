import { assertEquals, assertInstanceOf } from "@std/assert";
import { assertType, type IsExact } from "@std/testing/types";
import {
  asCompleted,
  type Executor,
  Future,
  type MapOptions,
  type MapResults,
} from "../mod.ts";

/**
 * Takes code that is checked by the compiler and never run: a wrong type in it
 * keeps this file from being run at all.
 */
function compiles(code: (pool: Executor) => void): void {
  assertInstanceOf(code, Function);
}

function finished(value: string): Future<string> {
  const future = new Future<string>();
  future.setResult(value);
  return future;
}

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
