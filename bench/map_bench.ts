/**
 * How many calls a second does `map` make, a thousand a task?
 *
 * Expected: 3,000,000 a second here (33 ms an iteration). The pools of npm have
 * no chunks, so theirs are made by hand, as is the bare Worker's; poolifier's
 * `mapExecute` sends one task an item and would be far slower. A plain loop beats
 * all of them: adding one is not worth a thread.
 *
 * Last numbers: 2 cores of a virtual machine, x86-64 Linux, Deno 2.9.6,
 * 2026-11-20, commit f10a802: see docs/threads_or_processes.md.
 *
 * @module
 */

import { ThreadPoolExecutor } from "../mod.ts";
import { check } from "./_check.ts";
import {
  isBaseline,
  MAX_WORKERS,
  openAllForBench,
  sumByHand,
} from "./_peers.ts";
import { increment } from "./_tasks.ts";

const CHUNK_SIZE = 1_000;
const NUMBERS = Array.from({ length: 100_000 }, (_, i) => i);
const EXPECTED = NUMBERS.reduce((sum, n) => sum + n + 1, 0);
const SETTINGS = { group: "map of 100,000 numbers, 1,000 a task", n: 20 };

const pool = new ThreadPoolExecutor({ maxWorkers: MAX_WORKERS });
for (let round = 0; round < 5; round++) await sumAwaited();
globalThis.addEventListener("unload", () => pool.shutdownSync());

/** The sum of all results of `map`, consumed with `for await`. */
async function sumAwaited(): Promise<number> {
  let sum = 0;
  const options = { chunkSize: CHUNK_SIZE };
  for await (const n of pool.map(increment, NUMBERS, options)) sum += n;
  return sum;
}

/** The sum of all results of `map`, consumed with `for`. */
function sumBlocking(): number {
  let sum = 0;
  const options = { chunkSize: CHUNK_SIZE };
  for (const n of pool.map(increment, NUMBERS, options)) sum += n;
  return sum;
}

for (const peer of await openAllForBench()) {
  Deno.bench({
    ...SETTINGS,
    name: `${peer.name}, chunks by hand`,
    baseline: isBaseline(peer),
    async fn() {
      check(peer, await sumByHand(peer, NUMBERS, CHUNK_SIZE), EXPECTED);
    },
  });
}

Deno.bench({
  ...SETTINGS,
  name: "@concurrent/futures, map with for await",
  async fn() {
    check({ name: "map with for await" }, await sumAwaited(), EXPECTED);
  },
});

Deno.bench({
  ...SETTINGS,
  name: "@concurrent/futures, map with for",
  fn() {
    check({ name: "map with for" }, sumBlocking(), EXPECTED);
  },
});

Deno.bench({
  ...SETTINGS,
  name: "plain loop",
  fn() {
    let sum = 0;
    for (const n of NUMBERS) sum += increment(n);
    check({ name: "plain loop" }, sum, EXPECTED);
  },
});
