/**
 * How long from no pool at all until the first result is awaited?
 *
 * Expected: close to a bare Worker, most of it the start of a thread and the
 * import of the worker's modules. Every pool starts as few workers as it lets us
 * ask for.
 *
 * Last numbers: machine ?, versions ?, commit ?.
 *
 * @module
 */

import { check, createPeers, isBaseline } from "./_peers.ts";

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
