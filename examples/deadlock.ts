// deno-lint-ignore-file no-console -- an example prints
/**
 * Tries to deadlock a pool by tasks that wait on its futures; they fail instead.
 *
 * Python: the two deadlocks under "ThreadPoolExecutor", `wait_on_b` with
 * `wait_on_a`, and `wait_on_future`; there they hang for ever. Differs: a task
 * runs on copies, and of a future or a pool there is none, so such a call fails
 * at once and says why. A task that needs a pool makes its own.
 *
 * ```sh
 * deno run --allow-read examples/deadlock.ts
 * ```
 *
 * It prints, with the reason at the end of the first two lines:
 *
 * ```text
 * waitOnB: SerializationError: ...
 * waitOnFuture: SerializationError: ...
 * powInOwnPool: 25
 * ```
 *
 * @module
 */

import {
  type Future,
  importTasks,
  ThreadPoolExecutor,
} from "@concurrent/futures";

const { powInOwnPool } = importTasks<typeof import("./tasks.ts")>(
  import.meta.resolve("./tasks.ts"),
);

function waitOnB(b: Future<number>): number {
  return b.resultSync() + 5;
}

function waitOnFuture(executor: ThreadPoolExecutor): number {
  const future = executor.submit(Math.pow, 5, 2);
  // In Python this never completes: the one worker thread is executing this.
  return future.resultSync();
}

/** Runs the example. */
export async function main(): Promise<void> {
  await using executor = new ThreadPoolExecutor({ maxWorkers: 1 });
  const b = executor.submit(Math.pow, 2, 10);
  await report("waitOnB", executor.submit(waitOnB, b));
  await report("waitOnFuture", executor.submit(waitOnFuture, executor));
  await report("powInOwnPool", executor.submit(powInOwnPool, 5, 2));
}

async function report(name: string, future: Future<number>): Promise<void> {
  const error = await future.exception();
  console.log(`${name}: ${error === null ? await future : error}`);
}

if (import.meta.main) await main();
