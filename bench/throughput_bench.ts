/**
 * How many no-op tasks a second get through two workers, all submitted at once
 * and each awaited?
 *
 * Expected: 400,000 a second here (25 ms an iteration) and five times as many as
 * the fastest pool of npm, since a task is some bytes in shared memory and one
 * wake-up serves many.
 *
 * Last numbers: 2 cores of a virtual machine, x86-64 Linux, Deno 2.9.6,
 * 2026-11-20, commit f10a802: see docs/threads_or_processes.md.
 *
 * @module
 */

import { burst, isBaseline, openAllForBench } from "./_peers.ts";

const TASKS = 10_000;

for (const peer of await openAllForBench()) {
  Deno.bench({
    name: `${peer.name}: ${TASKS} tasks`,
    group: "no-op throughput",
    baseline: isBaseline(peer),
    n: 10,
    warmup: 2,
    async fn() {
      await burst(peer, TASKS);
    },
  });
}
