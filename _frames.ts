/**
 * Takes frames (`_process_protocol.ts`) out of a stream of bytes that comes in
 * pieces of any size.
 *
 * @module
 */

import { concat } from "./_bytes.ts";
import {
  FrameError,
  MAX_FRAME_BYTES,
  MAX_HEADER_BYTES,
  show,
} from "./_process_protocol.ts";

/** One frame. */
export interface Frame {
  readonly header: readonly unknown[];
  /** What follows the header: a view of what was pushed, or memory of its own. */
  readonly bytes: Uint8Array;
}

const LINE_FEED = 0x0a;
const NOTHING = new Uint8Array();

/**
 * Up to this size the memory for a frame is made when its header comes, which
 * costs nothing before it is filled; above, it grows with what has come.
 */
const FIRST_BYTES = 1 << 27;

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Frames out of a stream. */
export class FrameReader {
  /** Whether bytes are passed over, and frames come without them. */
  readonly #isSkipping: boolean;
  #piece: Uint8Array = NOTHING;
  #at = 0;
  /** The beginning of a header whose end has not come. */
  #begun: Uint8Array = NOTHING;
  /** The header whose bytes have not all come. */
  #header: readonly unknown[] | undefined;
  /** Bytes of it that are to come. */
  #left = 0;
  #bytes: Uint8Array = NOTHING;
  #filled = 0;

  constructor({ isSkipping = false }: { isSkipping?: boolean } = {}) {
    this.#isSkipping = isSkipping;
  }

  /** Whether the stream may end here. */
  get isBetweenFrames(): boolean {
    return this.#header === undefined && this.#begun.length === 0 &&
      this.#at === this.#piece.length;
  }

  /** Adds the next piece; all frames of the last one have been taken. It must not change any more. */
  push(piece: Uint8Array): void {
    this.#piece = piece;
    this.#at = 0;
  }

  /**
   * Returns where the bytes of a large frame are to be put that come next, so
   * that they need not be pushed; `fill` follows.
   */
  get room(): Uint8Array | undefined {
    if (this.#filled === 0) return undefined; // not begun, or none
    if (this.#filled === this.#bytes.length) this.#grow(this.#filled + 1);
    return this.#bytes.subarray(this.#filled);
  }

  /** Counts what was put into the room; `next` returns the frame once all has come. */
  fill(bytes: number): void {
    this.#filled += bytes;
    this.#left -= bytes;
  }

  /**
   * Takes the next frame, if all of it has come.
   *
   * @throws {FrameError} If what came is no frame.
   */
  next(): Frame | undefined {
    if (this.#header === undefined && !this.#readHeader()) return undefined;
    const header = this.#header!;
    const bytes = this.#isSkipping ? this.#skip() : this.#collect();
    if (bytes === undefined) return undefined;
    this.#header = undefined;
    return { header, bytes };
  }

  #readHeader(): boolean {
    const piece = this.#piece;
    if (this.#at === piece.length) return false;
    const end = piece.indexOf(LINE_FEED, this.#at);
    const part = piece.subarray(this.#at, end < 0 ? piece.length : end);
    if (this.#begun.length + part.length > MAX_HEADER_BYTES) {
      throw new FrameError(
        `a header must end after ${MAX_HEADER_BYTES} bytes: received ${
          show(decodeLoosely(concat(this.#begun, part)))
        }`,
      );
    }
    const line = concat(this.#begun, part);
    if (end < 0) {
      this.#begun = line.slice();
      this.#at = piece.length;
      return false;
    }
    this.#begun = NOTHING;
    this.#at = end + 1;
    const header = parseHeader(line);
    this.#header = header;
    this.#left = header[1] as number;
    return true;
  }

  /** Returns the bytes once all have come. */
  #collect(): Uint8Array | undefined {
    const piece = this.#piece;
    if (this.#filled === 0 && piece.length - this.#at >= this.#left) {
      const bytes = piece.subarray(this.#at, this.#at + this.#left);
      this.#at += this.#left;
      return bytes;
    }
    const part = piece.subarray(this.#at, this.#at + this.#left);
    this.#at += part.length;
    if (this.#filled + part.length > this.#bytes.length) {
      this.#grow(this.#filled + part.length);
    }
    this.#bytes.set(part, this.#filled);
    this.#filled += part.length;
    this.#left -= part.length;
    if (this.#left > 0) return undefined;
    const bytes = this.#bytes.subarray(0, this.#filled);
    this.#bytes = NOTHING;
    this.#filled = 0;
    return bytes;
  }

  #grow(needed: number): void {
    const total = this.#filled + this.#left;
    const capacity = Math.max(needed, this.#bytes.length * 2, FIRST_BYTES);
    const bytes = new Uint8Array(Math.min(capacity, total));
    bytes.set(this.#bytes.subarray(0, this.#filled));
    this.#bytes = bytes;
  }

  #skip(): Uint8Array | undefined {
    const part = Math.min(this.#left, this.#piece.length - this.#at);
    this.#at += part;
    this.#left -= part;
    return this.#left > 0 ? undefined : NOTHING;
  }
}

/** Headers up to this length are decoded by hand: the platform's decoder costs 0.3 µs a call. */
const SHORT_LINE = 64;

function decodeLine(line: Uint8Array): string {
  if (line.length > SHORT_LINE) return decoder.decode(line);
  let text = "";
  for (let i = 0; i < line.length; i++) {
    if (line[i] > 0x7f) return decoder.decode(line);
    text += String.fromCharCode(line[i]);
  }
  return text;
}

function parseHeader(line: Uint8Array): readonly unknown[] {
  let header: unknown;
  try {
    header = JSON.parse(decodeLine(line));
  } catch {
    header = undefined;
  }
  if (
    Array.isArray(header) && typeof header[0] === "string" &&
    Number.isInteger(header[1]) && header[1] >= 0 &&
    header[1] <= MAX_FRAME_BYTES
  ) return header;
  throw new FrameError(
    `a frame must begin with a header, and ${MAX_FRAME_BYTES} bytes must follow at the most: received ${
      show(decodeLoosely(line))
    }`,
  );
}

/** Text for a message, whatever the bytes are. */
function decodeLoosely(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes.slice(0, 1_000));
}
