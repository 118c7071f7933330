/**
 * Writes to what may take a part only: a pipe, a terminal.
 *
 * @module
 */

/** What can be written to: `Deno.stdout`, say. */
export interface SyncWriter {
  writeSync(bytes: Uint8Array): number;
}

const RETRY_MS = 1;
const clock = new Int32Array(new SharedArrayBuffer(4));

/** Writes all of `bytes`, also where somebody who holds the pipe too made it non-blocking. */
export function writeAll(target: SyncWriter, bytes: Uint8Array): void {
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(target.writeSync(bytes));
    } catch (error) {
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
      Atomics.wait(clock, 0, 0, RETRY_MS);
    }
  }
}
