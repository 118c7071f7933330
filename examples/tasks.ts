/**
 * Holds the tasks that other examples hand to a pool by reference.
 *
 * A worker imports this module, the program that submits its functions never
 * does, so they may use imports and helpers as they like.
 *
 * @module
 */

import { ThreadPoolExecutor } from "@concurrent/futures";

/** Retrieves a single page and returns its contents; gives up after `timeout` ms. */
export async function loadUrl(
  url: string,
  timeout: number,
): Promise<Uint8Array> {
  const response = await fetch(url, { signal: AbortSignal.timeout(timeout) });
  return await response.bytes();
}

/** Waits on a future inside a task: safe, since the pool is the task's own. */
export async function powInOwnPool(
  base: number,
  exponent: number,
): Promise<number> {
  await using executor = new ThreadPoolExecutor({ maxWorkers: 1 });
  return await executor.submit(Math.pow, base, exponent);
}
