/**
 * How long does one no-op task take, from the call until its result is there,
 * with nothing else under way?
 *
 * Expected: awaited, this pool is the shortest, bare Worker included, since
 * nothing is cloned and no message is posted. Blocking, 25 µs at most, and less
 * than an awaited round trip, since no event loop has to turn. The pools of npm
 * cannot block.
 *
 * Last numbers: 2 cores of a virtual machine, x86-64 Linux, Deno 2.9.6,
 * 2026-11-20, commit f10a802: see docs/threads_or_processes.md.
 *
 * @module
 */

import { ThreadPoolExecutor } from "../mod.ts";
import { BlockingWorker } from "./_blocking_worker.ts";
import { check } from "./_check.ts";
import { isBaseline, MAX_WORKERS, openAllForBench } from "./_peers.ts";
import { identity } from "./_tasks.ts";

// Every `fn` that returns a promise is an `async` function: `deno bench` awaits no other.
let value = 0;

for (const peer of await openAllForBench()) {
  Deno.bench({
    name: peer.name,
    group: "awaited round trip",
    baseline: isBaseline(peer),
    async fn() {
      value++;
      check(peer, await peer.run("identity", value), value);
    },
  });
}

const bare = new BlockingWorker();
const pool = new ThreadPoolExecutor({ maxWorkers: MAX_WORKERS });
for (let i = 0; i < 2_000; i++) {
  bare.run(i);
  pool.submit(identity, i).resultSync();
}
globalThis.addEventListener("unload", () => {
  bare.stop();
  pool.shutdownSync();
});

Deno.bench({
  name: "bare Worker, MessagePort and Atomics",
  group: "blocking round trip",
  baseline: true,
  fn() {
    value++;
    check({ name: "bare Worker" }, bare.run(value), value);
  },
});

Deno.bench({
  name: "@concurrent/futures",
  group: "blocking round trip",
  fn() {
    value++;
    const result = pool.submit(identity, value).resultSync();
    check({ name: "@concurrent/futures" }, result, value);
  },
});
