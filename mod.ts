/**
 * Python's `concurrent.futures` for Deno: pools of workers that run any
 * function, and futures to await, to call back or to block on.
 *
 * ```ts
 * import { ThreadPoolExecutor } from "@concurrent/futures";
 * import { assertEquals } from "@std/assert";
 *
 * await using pool = new ThreadPoolExecutor();
 * const future = pool.submit((a: number, b: number) => a ** b, 2, 10);
 * assertEquals(await future, 1024);
 * ```
 *
 * @module
 */

export * from "./errors.ts";
export * from "./executor.ts";
export * from "./future.ts";
export * from "./process_pool.ts";
export * from "./stats.ts";
export * from "./thread_pool.ts";
export * from "./trace.ts";
export * from "./wait.ts";
