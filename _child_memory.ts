/**
 * What the two threads of a worker process share: the bytes that came on stdin,
 * in a ring, and the number of the next task to begin. `_process_protocol.ts`
 * says what the bytes are.
 *
 * The reader's thread writes the ring, the main thread empties it. The manager
 * sends no more ahead of a task than the ring holds, so the reader waits for room
 * only while the main thread should be taking bytes in, and sees the end of stdin
 * at once also where the main thread is busy for long.
 *
 * @module
 */

import { Control } from "./_layout.ts";
import { AHEAD_BYTES } from "./_process_protocol.ts";

/** Word offsets beside those of `Control` that a sleeper needs. */
const Word = {
  /** Number of the next task to begin. */
  CLAIM: 0,
  /** 1 once stdin has ended. */
  ENDED: 1,
  /** Bytes written and read, both counted from the start and wrapping at 2^32. */
  WRITE: 8,
  READ: 16,
} as const;

const RING_BYTES = AHEAD_BYTES * 2;

/** How often a reader that has no room looks whether its parent lives. */
const ORPHAN_MS = 500;
const PARENT = Deno.ppid;

/** The memory that the threads of a worker process share. */
export class ChildMemory {
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly #ring: Uint8Array<SharedArrayBuffer>;

  /** @param buffer The other thread's memory; without it, memory is made. */
  constructor(
    buffer: SharedArrayBuffer = new SharedArrayBuffer(
      Control.WORDS * Int32Array.BYTES_PER_ELEMENT + RING_BYTES,
    ),
  ) {
    this.words = new Int32Array(buffer, 0, Control.WORDS);
    this.#ring = new Uint8Array(buffer, this.words.byteLength);
  }

  get buffer(): SharedArrayBuffer {
    return this.words.buffer;
  }

  // ----------------------------------------------------------- both threads

  /** Begins task `task`; returns whether it had not been recalled. */
  claim(task: number): boolean {
    return this.#moveClaim(task, (task + 1) | 0);
  }

  /** Takes all tasks back from the next one on up to `end`; returns the first of them. */
  recall(end: number): number {
    for (;;) {
      const next = this.next;
      if (((end - next) | 0) <= 0) return end; // all are begun
      if (this.#moveClaim(next, end)) return next;
    }
  }

  /** Number of the next task to begin. */
  get next(): number {
    return Atomics.load(this.words, Word.CLAIM);
  }

  #moveClaim(from: number, to: number): boolean {
    return Atomics.compareExchange(this.words, Word.CLAIM, from, to) === from;
  }

  // ------------------------------------------------------- the reader's thread

  /** Waits for room in the ring, and returns it. */
  waitForRoom(): Uint8Array<SharedArrayBuffer> {
    const write = this.words[Word.WRITE];
    for (;;) {
      const read = Atomics.load(this.words, Word.READ);
      const free = RING_BYTES - ((write - read) | 0);
      const at = write & (RING_BYTES - 1);
      if (free > 0) {
        return this.#ring.subarray(at, Math.min(at + free, RING_BYTES));
      }
      const isLate = Atomics.wait(this.words, Word.READ, read, ORPHAN_MS);
      // The end of stdin lies behind what there is no room for.
      if (isLate === "timed-out" && Deno.ppid !== PARENT) {
        Deno.kill(Deno.pid, "SIGKILL");
      }
    }
  }

  /** Puts bytes into the ring, which has room for them; before the reader begins. */
  put(bytes: Uint8Array): void {
    this.waitForRoom().set(bytes);
    this.advance(bytes.length);
  }

  /** Passes on what was written into the room. */
  advance(bytes: number): void {
    // ORDER: the bytes lie there before WRITE says so.
    Atomics.add(this.words, Word.WRITE, bytes);
    this.#wake();
  }

  /** Tells the main thread that nothing more comes. */
  end(): void {
    Atomics.store(this.words, Word.ENDED, 1);
    this.#wake();
  }

  #wake(): void {
    Atomics.add(this.words, Control.WAKE, 1);
    if (Atomics.load(this.words, Control.SLEEPERS) > 0) {
      Atomics.notify(this.words, Control.WAKE);
    }
  }

  // ---------------------------------------------------------- the main thread

  /** Takes what has come, up to the end of the ring; memory of its own. */
  take(): Uint8Array | undefined {
    if (this.isEmpty()) return undefined;
    const bytes = new Uint8Array(this.#filled);
    this.takeInto(bytes);
    return bytes;
  }

  /** Takes what has come, as far as it fits into `target`; returns how many bytes. */
  takeInto(target: Uint8Array): number {
    const length = Math.min(this.#filled, target.length);
    const at = this.words[Word.READ] & (RING_BYTES - 1);
    target.set(this.#ring.subarray(at, at + length));
    Atomics.add(this.words, Word.READ, length);
    Atomics.notify(this.words, Word.READ);
    return length;
  }

  /** How many bytes lie there in a row. */
  get #filled(): number {
    const read = this.words[Word.READ];
    const filled = (Atomics.load(this.words, Word.WRITE) - read) | 0;
    return Math.min(filled, RING_BYTES - (read & (RING_BYTES - 1)));
  }

  /** Whether nothing has come that was not taken. */
  isEmpty(): boolean {
    return Atomics.load(this.words, Word.WRITE) === this.words[Word.READ];
  }

  /** Whether nothing more comes. */
  hasEnded(): boolean {
    return Atomics.load(this.words, Word.ENDED) === 1;
  }
}
