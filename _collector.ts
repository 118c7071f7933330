/**
 * Gets shared memory collected that nobody uses any more.
 *
 * V8 does not count shared memory, so it sees no reason to collect a dropped
 * `SharedArrayBuffer`, on neither side: an idle worker would hold on to 100 MB
 * for ever. It does count buffers of its own. Allocating some that are never
 * touched costs no memory and makes it collect: four of 160 MB did so in every
 * one of 75 tries, in 1 to 20 ms (Deno 2.9.6, x86-64 Linux, 2026-11).
 *
 * @module
 */

const BUFFERS = 4;
const BUFFER_BYTES = 160 << 20;

/** Below this, what is dropped can wait for a collection that comes anyway. */
const WORTHWHILE_BYTES = 8 << 20;

let droppedBytes = 0;

/** Notes that `bytes` of shared memory were dropped by this thread. */
export function noteDropped(bytes: number): void {
  droppedBytes += bytes;
  if (droppedBytes < WORTHWHILE_BYTES) return;
  droppedBytes = 0;
  try {
    for (let i = 0; i < BUFFERS; i++) new ArrayBuffer(BUFFER_BYTES);
  } catch {
    // No address space for them: then there is no memory to spare either, and
    // V8 collects by itself.
  }
}
