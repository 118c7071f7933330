/**
 * Frames on a pipe that others write to as well: a child's tasks, and the
 * processes that they start, share its stdout and stderr with the pool.
 *
 * ```text
 * output RS token 0 002a 42 bytes of frames LF output RS token 1 0019 25 bytes LF ...
 * ```
 *
 * A segment is the record separator (0x1E, as in RFC 7464), the token that only
 * the two ends know, the number of a stream, how many bytes follow as four
 * hexadecimal digits, these bytes, and a line feed. Each thread that writes has a stream of its
 * own, as its frames may take many segments, with those of others between them. POSIX writes up to `PIPE_BUF` bytes in one go (4,096 on Linux, 512 at
 * the least), so nobody's output falls into a segment, whoever holds the pipe;
 * a large frame takes many segments, with output between them. All that is no
 * segment is output.
 *
 * @module
 */

import { concat, toParts, writeText } from "./_bytes.ts";
import type { Payload } from "./_payload.ts";
import { FrameError, makeHeader } from "./_process_protocol.ts";
import { type SyncWriter, writeAll } from "./_sync_writer.ts";

const RECORD_SEPARATOR = 0x1e;

/** Length of a token. */
export const TOKEN_BYTES = 12;

const LENGTH_DIGITS = 4;
const STREAM_AT = 1 + TOKEN_BYTES;
const LENGTH_AT = STREAM_AT + 1;
const HEAD_BYTES = LENGTH_AT + LENGTH_DIGITS;

/** The streams of a worker process: its main thread's, and its reader's. */
export const MAIN_STREAM = 0;
export const READER_STREAM = 1;
export const STREAMS = 2;

/** Longest segment, its head included. */
export const SEGMENT_BYTES = Deno.build.os === "linux" ? 4096 : 512;

/**
 * A segment ends in a line feed, as `Deno.stdout` writes up to the last line feed
 * in one go and what follows in another (Rust's `LineWriter`; Deno 2.9.6).
 */
const LINE_FEED = 0x0a;

const BODY_BYTES = SEGMENT_BYTES - HEAD_BYTES - 1;
const BODY_END = SEGMENT_BYTES - 1;

/** Text up to this length fits into a segment, behind a header. */
const SMALL_TEXT = 64;

const NOTHING = new Uint8Array();
const encoder = new TextEncoder();

/** Makes a token that nobody guesses. */
export function makeToken(): string {
  return crypto.randomUUID().replaceAll("-", "").slice(0, TOKEN_BYTES);
}

/** Writes frames in segments. */
export class SegmentWriter {
  readonly #target: SyncWriter;
  readonly #segment = new Uint8Array(SEGMENT_BYTES);
  readonly #digits = this.#segment.subarray(LENGTH_AT, HEAD_BYTES);
  #filled = HEAD_BYTES;
  readonly #text = new Uint8Array(SMALL_TEXT * 3);
  /** The segment's beginnings, by their length: a view costs more than to keep it. */
  readonly #views: Uint8Array[] = [];

  constructor(
    target: SyncWriter,
    token: string,
    stream: number = MAIN_STREAM,
  ) {
    this.#target = target;
    this.#segment[0] = RECORD_SEPARATOR;
    encoder.encodeInto(`${token}${stream}`, this.#segment.subarray(1));
  }

  /** Writes a frame without bytes. */
  write(tag: string, ...rest: (string | number)[]): void {
    this.#add(encoder.encode(makeHeader(tag, 0, ...rest)));
    this.#flush();
  }

  /** Writes a frame with a payload; `before` and `after` are what its header says around the shape. */
  writePayload(
    tag: string,
    before: number[],
    payload: Payload,
    after: number[],
  ): void {
    const { format, text, buffers } = payload;
    if (buffers.length > 0 || text.length > SMALL_TEXT) {
      const { parts, length, textBytes } = toParts(payload);
      const rest = [...before, format, textBytes, buffers.length, ...after];
      this.#add(encoder.encode(makeHeader(tag, length, ...rest)));
      for (const part of parts) this.#add(part);
    } else {
      const length = writeText(text, this.#text, 0);
      const rest = [...before, format, length, 0, ...after];
      this.#addSmall(makeHeader(tag, length, ...rest), length);
    }
    this.#flush();
  }

  /** Adds a header and so many bytes of text, without memory of its own for either. */
  #addSmall(header: string, textBytes: number): void {
    const segment = this.#segment;
    let at = this.#filled;
    for (let i = 0; i < header.length; i++) {
      segment[at++] = header.charCodeAt(i);
    }
    for (let i = 0; i < textBytes; i++) segment[at++] = this.#text[i];
    this.#filled = at;
  }

  #add(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length;) {
      const part = bytes.subarray(from, from + BODY_END - this.#filled);
      this.#segment.set(part, this.#filled);
      this.#filled += part.length;
      from += part.length;
      if (this.#filled === BODY_END) this.#flush();
    }
  }

  #flush(): void {
    if (this.#filled === HEAD_BYTES) return;
    writeDigits(this.#filled - HEAD_BYTES, this.#digits);
    this.#segment[this.#filled++] = LINE_FEED;
    const view = this.#views[this.#filled] ??= this.#segment.subarray(
      0,
      this.#filled,
    );
    writeAll(this.#target, view);
    this.#filled = HEAD_BYTES;
  }
}

const ZERO = 0x30;
const LOWER_A = 0x61;

function writeDigits(value: number, target: Uint8Array): void {
  for (let i = LENGTH_DIGITS - 1; i >= 0; i--) {
    const digit = value & 15;
    target[i] = digit < 10 ? ZERO + digit : LOWER_A + digit - 10;
    value >>= 4;
  }
}

/** Reads digits at `at`; -1 where they are none. */
function readDigits(bytes: Uint8Array, at: number): number {
  let value = 0;
  for (let i = at; i < at + LENGTH_DIGITS; i++) {
    const byte = bytes[i];
    let digit = byte - ZERO;
    if (digit < 0 || digit > 9) {
      digit = byte - LOWER_A + 10;
      if (digit < 10 || digit > 15) return -1;
    }
    value = value << 4 | digit;
  }
  return value;
}

/** What the bytes on a pipe are, in order. */
export interface SegmentSink {
  /** Bytes that are no segment's. */
  onOutput(bytes: Uint8Array): void;
  /** Bytes of a stream's frames. */
  onFrames(bytes: Uint8Array, stream: number): void;
}

function checkEnd(byte: number): void {
  if (byte === LINE_FEED) return;
  throw new FrameError(
    `a segment must end in a line feed: received byte ${byte}`,
  );
}

/** Takes segments and output apart. */
export class SegmentReader {
  readonly #sink: SegmentSink;
  readonly #token: Uint8Array;
  /** The beginning of what may be a segment's head. */
  #begun: Uint8Array = NOTHING;
  /** Stream of the segment, and its bytes that are to come, the line feed included. */
  #stream = MAIN_STREAM;
  #left = 0;

  constructor(token: string, sink: SegmentSink) {
    this.#token = encoder.encode(token);
    this.#sink = sink;
  }

  /**
   * Takes the next piece.
   *
   * @throws {FrameError} If a segment says that it is longer than any can be.
   */
  push(piece: Uint8Array): void {
    if (this.#begun.length > 0) {
      piece = concat(this.#begun, piece);
      this.#begun = NOTHING;
    }
    let at = 0;
    while (at < piece.length) {
      if (this.#left > 1) {
        const end = Math.min(at + this.#left - 1, piece.length);
        this.#left -= end - at;
        this.#sink.onFrames(piece.subarray(at, end), this.#stream);
        at = end;
      } else if (this.#left === 1) {
        checkEnd(piece[at++]);
        this.#left = 0;
      } else at = this.#readBetween(piece, at);
    }
  }

  /** Takes the end of the pipe: what is left was no segment. */
  end(): void {
    if (this.#begun.length > 0) this.#sink.onOutput(this.#begun);
    this.#begun = NOTHING;
  }

  /** Passes output on up to the next segment, and reads its head; returns where to go on. */
  #readBetween(piece: Uint8Array, from: number): number {
    let at = piece[from] === RECORD_SEPARATOR
      ? from
      : piece.indexOf(RECORD_SEPARATOR, from);
    while (at >= 0 && !this.#isHead(piece, at)) {
      at = piece.indexOf(RECORD_SEPARATOR, at + 1);
    }
    const end = at < 0 ? piece.length : at;
    if (end > from) this.#sink.onOutput(piece.subarray(from, end));
    if (at < 0) return piece.length;
    if (at + HEAD_BYTES > piece.length) {
      this.#begun = piece.slice(at);
      return piece.length;
    }
    const stream = piece[at + STREAM_AT] - ZERO;
    const length = readDigits(piece, at + LENGTH_AT);
    if (
      length < 1 || length > BODY_BYTES || !(stream >= 0 && stream < STREAMS)
    ) {
      const head = piece.slice(at + STREAM_AT, at + HEAD_BYTES);
      throw new FrameError(
        `a segment must be of stream 0 to ${
          STREAMS - 1
        } and have 1 to ${BODY_BYTES} bytes: received ${
          JSON.stringify(new TextDecoder().decode(head))
        }`,
      );
    }
    this.#stream = stream;
    this.#left = length + 1;
    return at + HEAD_BYTES;
  }

  /** Whether a segment begins at `at`, as far as can be seen. */
  #isHead(piece: Uint8Array, at: number): boolean {
    const seen = Math.min(TOKEN_BYTES, piece.length - at - 1);
    for (let i = 0; i < seen; i++) {
      if (piece[at + 1 + i] !== this.#token[i]) return false;
    }
    return true;
  }
}
