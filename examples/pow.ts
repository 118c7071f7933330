// deno-lint-ignore-file no-console -- an example prints
/**
 * Computes one power in a worker thread.
 *
 * Python: the example of `Executor.submit`, `pow(323, 1235)`. Differs: as a
 * `number` that power is `Infinity`, so it is computed on `bigint`s, by a
 * function that travels to the worker by its source. `Math.pow` is the built-in
 * for a power that fits: the worker takes the one of its own global object.
 *
 * ```sh
 * deno run --allow-read examples/pow.ts
 * ```
 *
 * It prints the same 3099 digits as Python, here cut short, then `3 ** 5`:
 *
 * ```text
 * 73301874197116625252...3630500507
 * 243
 * ```
 *
 * @module
 */

import { ThreadPoolExecutor } from "@concurrent/futures";

function pow(base: bigint, exponent: bigint): bigint {
  return base ** exponent;
}

/** Runs the example. */
export async function main(): Promise<void> {
  await using executor = new ThreadPoolExecutor({ maxWorkers: 1 });
  const future = executor.submit(pow, 323n, 1235n);
  console.log(String(await future.result()));

  console.log(await executor.submit(Math.pow, 3, 5));
}

if (import.meta.main) await main();
