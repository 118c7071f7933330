/**
 * What does it cost to send bytes to a task and get them back, by copy and by
 * transfer?
 *
 * Expected: at 1 kB the fixed costs decide, as in `round_trip_bench.ts`. At 64 MB
 * only the copies count: this pool is within 1.3 times of a bare Worker, by copy
 * and by transfer. poolifier can't transfer a result.
 *
 * Last numbers: 2 cores of a virtual machine, x86-64 Linux, Deno 2.9.6,
 * 2026-11-20, commit f10a802: see docs/threads_or_processes.md.
 *
 * @module
 */

import { check } from "./_check.ts";
import { type Bytes, isBaseline, openAllForBench } from "./_peers.ts";

const SIZES: [name: string, bytes: number, iterations: number][] = [
  ["1 kB", 1_000, 2_000],
  ["1 MB", 1_000_000, 100],
  ["64 MB", 64_000_000, 10],
];

const peers = await openAllForBench();
let mark = 0;

/** Writes a new mark at both ends, so that bytes of an earlier iteration are no answer. */
function stamp(bytes: Bytes): void {
  mark = (mark + 1) % 256;
  bytes[0] = bytes[bytes.length - 1] = mark;
}

/** Throws unless these are all the bytes, with the last mark. */
function checkBytes(
  peer: { name: string },
  bytes: Bytes,
  length: number,
): void {
  check(peer, bytes.length, length);
  check(peer, bytes[0], mark);
  check(peer, bytes[length - 1], mark);
}

for (const [size, length, n] of SIZES) {
  const bytes: Bytes = new Uint8Array(length);
  for (const peer of peers) {
    Deno.bench({
      name: peer.name,
      group: `${size} there and back, copied`,
      baseline: isBaseline(peer),
      n,
      warmup: 3,
      async fn() {
        stamp(bytes);
        checkBytes(peer, await peer.echo(bytes), length);
      },
    });
  }
}

for (const [size, length, n] of SIZES) {
  for (const peer of peers) {
    let bytes: Bytes = new Uint8Array(length);
    Deno.bench({
      name: peer.name,
      group: `${size} there and back, transferred`,
      baseline: isBaseline(peer),
      n,
      warmup: 3,
      async fn() {
        stamp(bytes);
        bytes = await peer.move(bytes);
        checkBytes(peer, bytes, length);
      },
    });
  }
}
