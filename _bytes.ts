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

/** A payload whose room in bytes is known. */
export class ByteForm {
  readonly #text: string | Uint8Array;
  readonly #buffers: readonly Uint8Array[];
  /** The most bytes that it takes; `write` says how many it took. */
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

  /** Bytes of text that the last `write` wrote. */
  textBytes = 0;

  /** Writes the payload at `at`; returns where it ends, a multiple of 8. */
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
