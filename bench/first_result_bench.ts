/**
 * How long from no pool at all until the first result is awaited?
 *
 * Expected: close to a bare Worker, most of it the start of a thread and the
 * import of the worker's modules. Every pool starts as few workers as it lets us
 * ask for.
 *
 * Last numbers: 2 cores of a virtual machine, x86-64 Linux, Deno 2.9.6,
 * 2026-11-20, commit f10a802: see docs/threads_or_processes.md.
 *
 * @module
 */

import { check } from "./_check.ts";
import { createPeers, isBaseline } from "./_peers.ts";

for (const peer of createPeers()) {
  Deno.bench({
    name: peer.name,
    group: "time to first result",
    baseline: isBaseline(peer),
    n: 10,
    warmup: 2,
    async fn(b) {
      b.start();
      peer.open(1);
      const result = await peer.run("identity", 7);
      b.end();
      check(peer, result, 7);
      await peer.stop();
    },
  });
}
