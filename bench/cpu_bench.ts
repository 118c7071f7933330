/**
 * What does a pool cost where the work is worth a thread: 32 tasks of some 7 ms
 * over two workers?
 *
 * Expected: on a machine with two free cores, half the time of a plain loop, for
 * everyone; this pool within 5% of two bare Workers with the work split by hand.
 *
 * Last numbers: 2 cores of a virtual machine, x86-64 Linux, Deno 2.9.6,
 * 2026-11-20, commit f10a802: see docs/threads_or_processes.md.
 *
 * @module
 */

import { check } from "./_check.ts";
import { isBaseline, openAllForBench } from "./_peers.ts";
import { mix } from "./_tasks.ts";

const SEEDS = Array.from({ length: 32 }, (_, i) => i + 1);
const EXPECTED = SEEDS.reduce((sum, seed) => sum + mix(seed), 0);
const SETTINGS = { group: "32 tasks of CPU-bound work", n: 10, warmup: 2 };

for (const peer of await openAllForBench()) {
  Deno.bench({
    ...SETTINGS,
    name: peer.name,
    baseline: isBaseline(peer), // which deals the tasks out in turn
    async fn() {
      const results = SEEDS.map((seed) => peer.run("mix", seed));
      let sum = 0;
      for (const result of results) sum += await result;
      check(peer, sum, EXPECTED);
    },
  });
}

Deno.bench({
  ...SETTINGS,
  name: "plain loop, one thread",
  fn() {
    let sum = 0;
    for (const seed of SEEDS) sum += mix(seed);
    check({ name: "plain loop" }, sum, EXPECTED);
  },
});
