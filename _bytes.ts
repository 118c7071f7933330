/**
 * Payloads as bytes: the text in UTF-8, then each buffer behind its length,
 * every part beginning at a multiple of 8.
 *
 * ```text
 * text | pad | length of 1, length of 2, ... | pad | bytes of 1 | pad | bytes of 2 | pad
 * ```
 *
 * Text is mostly short, so short text is written and read by hand: the
 * platform's encoder and decoder cost 0.07 and 0.14 µs a call, a loop over ten
 * characters 0.02 and 0.04 (Deno 2.9.6, x86-64 Linux, 2026-11).
 *
 * @module
 */

import { align } from "./_layout.ts";
import type { Payload } from "./_codec.ts";

/** Text up to this length is written and read by hand. */
const SHORT = 24;

/** Text above this length is encoded first, so that its room is known exactly. */
const LONG = 1 << 12;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
let scratch = new Uint8Array(1 << 14);

/** A payload that is to be written, whose room in bytes is known. */
export interface Form {
  /** The most bytes that it takes; `write` says how many it took. */
  readonly capacity: number;
  /** Bytes of text that the last `write` wrote. */
  readonly textBytes: number;
  /** Writes the payload at `at`; returns where it ends, a multiple of 8. */
  write(target: Uint8Array<ArrayBufferLike>, at: number): number;
}

/** A payload of values as its bytes will be. */
export class ByteForm implements Form {
  readonly #text: string | Uint8Array;
  readonly #buffers: readonly Uint8Array[];
  readonly capacity: number;

  constructor(payload: Payload) {
    const { text, buffers } = payload;
    this.#text = text.length > LONG ? encoder.encode(text) : text;
    this.#buffers = buffers;
    // A UTF-16 unit takes three bytes of UTF-8 at the most.
    let capacity = align(
      typeof this.#text === "string" ? text.length * 3 : this.#text.byteLength,
    );
    if (buffers.length > 0) capacity += align(buffers.length * 4);
    for (const buffer of buffers) capacity += align(buffer.byteLength);
    this.capacity = capacity;
  }

  textBytes = 0;

  write(target: Uint8Array<ArrayBufferLike>, at: number): number {
    this.textBytes = typeof this.#text === "string"
      ? writeText(this.#text, target, at)
      : (target.set(this.#text, at), this.#text.byteLength);
    let end = at + align(this.textBytes);
    if (this.#buffers.length === 0) return end;
    const lengths = new Uint32Array(
      target.buffer,
      target.byteOffset + end,
      this.#buffers.length,
    );
    end += align(lengths.byteLength);
    for (const [i, buffer] of this.#buffers.entries()) {
      lengths[i] = buffer.byteLength;
      target.set(buffer, end);
      end += align(buffer.byteLength);
    }
    return end;
  }
}

/** Returns `a` and `b` in a row, in memory of their own. */
export function concat(
  a: Uint8Array,
  b: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** Bytes that are a payload already. */
export class CopyForm implements Form {
  readonly #bytes: Uint8Array;
  readonly textBytes: number;
  readonly capacity: number;

  constructor(bytes: Uint8Array, textBytes: number) {
    this.#bytes = bytes;
    this.textBytes = textBytes;
    this.capacity = align(bytes.length);
  }

  write(target: Uint8Array<ArrayBufferLike>, at: number): number {
    target.set(this.#bytes, at);
    return at + this.capacity;
  }
}

/** A payload as bytes in parts, so that its buffers need not be copied. */
export interface PayloadParts {
  readonly parts: readonly Uint8Array[];
  /** Bytes of all parts. */
  readonly length: number;
  readonly textBytes: number;
}

/** Makes the parts of a payload; where it has no buffers, the text alone. */
export function toParts({ text, buffers }: Payload): PayloadParts {
  const parts = [encoder.encode(text)];
  const textBytes = parts[0].byteLength;
  if (buffers.length > 0) {
    parts.push(padding(textBytes));
    const lengths = Uint32Array.from(buffers, ({ byteLength }) => byteLength);
    parts.push(new Uint8Array(lengths.buffer), padding(lengths.byteLength));
    for (const buffer of buffers) {
      parts.push(buffer as Uint8Array<ArrayBuffer>, padding(buffer.byteLength));
    }
  }
  let length = 0;
  for (const part of parts) length += part.byteLength;
  return { parts, length, textBytes };
}

const ZEROS = new Uint8Array(8);

function padding(bytes: number): Uint8Array<ArrayBuffer> {
  return ZEROS.subarray(0, align(bytes) - bytes);
}

/**
 * Returns how many bytes the payload at `at` takes; where it has no buffers, the
 * text alone. -1 where its lengths cannot be true.
 */
export function measurePayload(
  source: Uint8Array<ArrayBufferLike>,
  at: number,
  textBytes: number,
  buffers: number,
): number {
  if (buffers === 0) return textBytes;
  const table = at + align(textBytes);
  let end = table + align(buffers * Uint32Array.BYTES_PER_ELEMENT);
  if (end > source.length) return -1;
  const view = new DataView(source.buffer, source.byteOffset + table);
  for (let i = 0; i < buffers; i++) end += align(view.getUint32(i * 4, true));
  return end > source.length ? -1 : end - at;
}

/** Writes short text at `at`; returns its length in bytes. */
export function writeText(
  text: string,
  target: Uint8Array<ArrayBufferLike>,
  at: number,
): number {
  const length = text.length;
  if (length <= SHORT) {
    let i = 0;
    for (; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0x7f) break;
      target[at + i] = unit;
    }
    if (i === length) return length;
  }
  return encoder.encodeInto(text, target.subarray(at)).written;
}

/** Reads the text of `length` bytes at `at`. */
export function readText(
  source: Uint8Array<ArrayBufferLike>,
  at: number,
  length: number,
): string {
  if (length <= SHORT) {
    let text = "";
    let i = at;
    for (const end = at + length; i < end; i++) {
      const byte = source[i];
      if (byte > 0x7f) break;
      text += String.fromCharCode(byte);
    }
    if (i === at + length) return text;
  }
  // The platform decodes memory of its own four times as fast as shared memory.
  if (length > scratch.length) {
    if (length > 1 << 20) return decoder.decode(source.slice(at, at + length));
    scratch = new Uint8Array(1 << 20);
  }
  scratch.set(source.subarray(at, at + length));
  return decoder.decode(scratch.subarray(0, length));
}

/** Returns the bytes where words may lie: buffers have their lengths in words. */
export function aligned(bytes: Uint8Array): Uint8Array {
  return (bytes.byteOffset & 7) === 0 ? bytes : bytes.slice();
}

/** Copies out the buffers that follow `textBytes` of text at `at`. */
export function readBuffers(
  source: Uint8Array<ArrayBufferLike>,
  at: number,
  textBytes: number,
  count: number,
): Uint8Array[] {
  if (count === 0) return [];
  let from = at + align(textBytes);
  const lengths = new Uint32Array(
    source.buffer,
    source.byteOffset + from,
    count,
  );
  from += align(lengths.byteLength);
  return Array.from(lengths, (length) => {
    const buffer = new Uint8Array(length);
    buffer.set(source.subarray(from, from + length));
    from += align(length);
    return buffer;
  });
}
