/**
 * Where the tasks of a generation note that they run, and how often each of them did.
 *
 * @module
 */

import type { PoolName } from "./_soak_kinds.ts";
import { type Log, RECORD_BYTES, RECORD_MARK } from "./_soak_tasks.ts";

/** The runs of one generation: in shared memory for threads, in a file for processes. */
export class Runs implements Disposable {
  readonly log: Log;

  /** @param most Above the largest number of a task. */
  constructor(name: PoolName, most: number) {
    this.log = name === "thread"
      ? new SharedArrayBuffer(4 * most)
      : Deno.makeTempFileSync({ prefix: "soak-" });
  }

  /**
   * How often each task ran; those that did not are not there.
   *
   * @throws {Error} If what was noted cannot be read.
   */
  count(): Map<number, number> {
    return typeof this.log === "string"
      ? countRecords(Deno.readFileSync(this.log))
      : countWords(new Int32Array(this.log));
  }

  [Symbol.dispose](): void {
    if (typeof this.log === "string") Deno.removeSync(this.log);
  }
}

function countWords(words: Int32Array): Map<number, number> {
  const counts = new Map<number, number>();
  for (const [id, count] of words.entries()) {
    if (count !== 0) counts.set(id, count);
  }
  return counts;
}

/** Counts the records of a file; for tests too. */
export function countRecords(bytes: Uint8Array): Map<number, number> {
  if (bytes.length % RECORD_BYTES !== 0) {
    throw new Error(`The log of runs was torn: it has ${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const counts = new Map<number, number>();
  for (let at = 0; at < bytes.length; at += RECORD_BYTES) {
    if (view.getUint32(at + 4, true) !== RECORD_MARK) {
      throw new Error(`The log of runs was damaged at byte ${at}`);
    }
    const id = view.getUint32(at, true);
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return counts;
}
