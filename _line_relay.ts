/**
 * Passes a process's output on in whole lines, so that lines of several
 * processes do not mix.
 *
 * @module
 */

import { concat } from "./_bytes.ts";
import { type SyncWriter, writeAll } from "./_sync_writer.ts";

const LINE_FEED = 0x0a;

/** A line that is longer goes on in parts. */
const LONGEST_LINE_BYTES = 1 << 16;

/** How much of the end is kept for messages. */
const TAIL_BYTES = 2_048;
const TAIL_LINES = 10;

/** Passes one stream on. */
export class LineRelay {
  readonly #target: SyncWriter;
  /** The beginning of a line whose end has not come. */
  #begun = new Uint8Array();
  #tail = new Uint8Array();
  /** Whether what was passed on last does not end a line. */
  #isWithinLine = false;

  constructor(target: SyncWriter) {
    this.#target = target;
  }

  /** Takes the next piece. */
  push(piece: Uint8Array): void {
    const end = piece.subarray(-TAIL_BYTES);
    this.#tail = concat(this.#tail, end).slice(-TAIL_BYTES);
    const lines = piece.lastIndexOf(LINE_FEED) + 1;
    if (lines > 0) {
      this.#write(concat(this.#begun, piece.subarray(0, lines)));
    }
    const rest = piece.slice(lines);
    this.#begun = lines > 0 ? rest : concat(this.#begun, rest);
    if (this.#begun.length > LONGEST_LINE_BYTES) {
      this.#write(this.#begun);
      this.#begun = new Uint8Array();
    }
  }

  /** Passes a line on that has begun, and may never end. */
  flush(): void {
    if (this.#begun.length === 0) return;
    this.#write(this.#begun);
    this.#begun = new Uint8Array();
    this.#isWithinLine = false; // so it was meant
  }

  /** Takes the end of the stream. A line without an end gets one: the next is another process's. */
  end(): void {
    if (this.#begun.length === 0 && !this.#isWithinLine) return;
    this.#write(concat(this.#begun, Uint8Array.of(LINE_FEED)));
    this.#begun = new Uint8Array();
  }

  /** The last lines that came. */
  get lastLines(): string {
    const text = new TextDecoder().decode(this.#tail);
    const lines = text.trimEnd().split("\n");
    // Of a line that was cut only the end is there.
    if (this.#tail.length === TAIL_BYTES && lines.length > 1) lines.shift();
    return lines.slice(-TAIL_LINES).join("\n");
  }

  #write(bytes: Uint8Array): void {
    this.#isWithinLine = bytes.at(-1) !== LINE_FEED;
    try {
      writeAll(this.#target, bytes);
    } catch {
      // Nobody reads this program's output any more: its business, not the pool's.
    }
  }
}
