/**
 * What does it cost to run a task in a process of this module, beside workerpool's
 * processes, CPython's (where there is a `python3`), and this module's threads?
 *
 * Expected: processes take no-op tasks at 200,000 a second, ten times as fast as
 * workerpool and CPython do, since many go in one write and several are ahead of
 * each process; threads take three times as many. One task at a time gains nothing
 * by that: a round trip is no longer than CPython's, but longer than workerpool's,
 * whose task does not pass a manager thread. A first result takes 60 ms, most of
 * it the start of a Deno (by `targets.ts`; under `deno bench` our pools start some
 * ten to thirty ms later); CPython forks, which is quicker. 64 MB go at 400 MB/s or
 * more each way, in 320 ms or less there and back. What is done while the main
 * thread is busy is a count, so it is in `targets.ts`.
 *
 * CPython measures the same batch on request, which adds one trip through its
 * standard input, some 0.1 ms an iteration.
 *
 * Last numbers: 2 cores of a virtual machine, x86-64 Linux, Deno 2.9.6,
 * 2026-11-20, commit 6b05190: see docs/threads_or_processes.md.
 *
 * @module
 */

import { ProcessPoolExecutor } from "../mod.ts";
import { check } from "./_check.ts";
import type { Measurement } from "./_cpython.ts";
import {
  burst,
  type Bytes,
  createProcessPeers,
  MAX_WORKERS,
  type Peer,
  sumByHand,
} from "./_peers.ts";
import { openRivals, stopRivals } from "./_process_targets.ts";
import { increment } from "./_tasks.ts";

const TASKS = 10_000;
const ROUND_TRIPS = 100;
const CHUNK_SIZE = 1_000;
const NUMBERS = Array.from({ length: 100_000 }, (_, i) => i);
const EXPECTED = NUMBERS.reduce((sum, n) => sum + n + 1, 0);
const PAYLOAD_BYTES = 64_000_000;

const rivals = await openRivals();
const pool = new ProcessPoolExecutor({ maxWorkers: MAX_WORKERS });
for (let round = 0; round < 5; round++) await sumAwaited();
globalThis.addEventListener("unload", () => {
  pool.shutdownSync();
  stopRivals(rivals);
});

const { ours, threads, workerpool, python } = rivals;

/** The sum of all results of `map`. */
async function sumAwaited(): Promise<number> {
  let sum = 0;
  const options = { chunkSize: CHUNK_SIZE };
  for await (const n of pool.map(increment, NUMBERS, options)) sum += n;
  return sum;
}

/** Benches workerpool, the baseline, ours, and our threads. */
function benchPeers(
  settings: { group: string; n: number; warmup: number },
  run: (peer: Peer) => Promise<void>,
): void {
  for (const peer of [workerpool, ours, threads]) {
    Deno.bench({
      ...settings,
      name: peer.name,
      baseline: peer === workerpool,
      async fn() {
        await run(peer);
      },
    });
  }
}

/** Benches CPython, if it is there. */
function benchPython(
  settings: { group: string; n: number; warmup: number },
  measurement: Measurement,
  n: number,
): void {
  if (python === null) return;
  Deno.bench({
    ...settings,
    name: `CPython ${python.version}`,
    async fn() {
      await python.measure(measurement, n);
    },
  });
}

const burstSettings = {
  group: `processes, ${TASKS} no-op tasks`,
  n: 10,
  warmup: 2,
};
benchPeers(burstSettings, (peer) => burst(peer, TASKS));
benchPython(burstSettings, "burst", TASKS);

const tripSettings = {
  group: `processes, ${ROUND_TRIPS} awaited round trips`,
  n: 20,
  warmup: 2,
};
benchPeers(tripSettings, async (peer) => {
  for (let i = 0; i < ROUND_TRIPS; i++) {
    check(peer, await peer.run("identity", i), i);
  }
});
benchPython(tripSettings, "round_trips", ROUND_TRIPS);

const firstSettings = {
  group: "processes, time to first result",
  n: 10,
  warmup: 2,
};
const newPeers = createProcessPeers();
for (const peer of [newPeers.workerpool, newPeers.ours, newPeers.threads]) {
  Deno.bench({
    ...firstSettings,
    name: peer.name,
    baseline: peer === newPeers.workerpool,
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
benchPython(firstSettings, "first_result", 0);

const mapSettings = {
  group: "processes, map of 100,000 numbers, 1,000 a task",
  n: 20,
  warmup: 2,
};
Deno.bench({
  ...mapSettings,
  name: `${workerpool.name}, chunks by hand`,
  baseline: true,
  async fn() {
    check(
      workerpool,
      await sumByHand(workerpool, NUMBERS, CHUNK_SIZE),
      EXPECTED,
    );
  },
});
Deno.bench({
  ...mapSettings,
  name: "@concurrent/futures, map with for await",
  async fn() {
    check(ours, await sumAwaited(), EXPECTED);
  },
});
benchPython(mapSettings, "map_numbers", NUMBERS.length);

const copySettings = {
  group: "processes, 64 MB there and back, copied",
  n: 10,
  warmup: 2,
};
const bytes: Bytes = new Uint8Array(PAYLOAD_BYTES);
benchPeers(copySettings, async (peer) => {
  bytes[0]++;
  bytes[PAYLOAD_BYTES - 1]--;
  const back = await peer.echo(bytes);
  check(peer, back.length, PAYLOAD_BYTES);
  check(peer, back[0], bytes[0]);
  check(peer, back[PAYLOAD_BYTES - 1], bytes[PAYLOAD_BYTES - 1]);
});
benchPython(copySettings, "echo", PAYLOAD_BYTES);
