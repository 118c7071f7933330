// deno-lint-ignore-file no-console -- an example prints
/**
 * Uses a pool in plain synchronous code: this file never awaits, it blocks.
 *
 * Python: any example of the page, since there every wait blocks. This one goes
 * through `Executor.map`, `Future.result`, `wait`, `as_completed` and the `with`
 * block.
 *
 * ```sh
 * deno run --allow-read examples/synchronous.ts
 * ```
 *
 * It prints:
 *
 * ```text
 * squares: 1 4 9 16 25
 * 2 ** 10: 1024
 * done: 3, not done: 0
 * square roots, sorted: 2 3 4
 * ```
 *
 * @module
 */

import { asCompleted, ThreadPoolExecutor, waitSync } from "@concurrent/futures";

function square(x: number): number {
  return x * x;
}

/** Runs the example. */
export function main(): void {
  using pool = new ThreadPoolExecutor();

  const squares: number[] = [];
  for (const result of pool.map(square, [1, 2, 3, 4, 5])) squares.push(result);
  console.log(`squares: ${squares.join(" ")}`);

  const future = pool.submit(Math.pow, 2, 10);
  console.log(`2 ** 10: ${future.resultSync()}`);

  const futures = [4, 9, 16].map((x) => pool.submit(Math.sqrt, x));
  const { done, notDone } = waitSync(futures);
  console.log(`done: ${done.size}, not done: ${notDone.size}`);

  const roots: number[] = [];
  for (const future of asCompleted(futures)) roots.push(future.resultSync());
  console.log(`square roots, sorted: ${roots.sort().join(" ")}`);
}

if (import.meta.main) main();
