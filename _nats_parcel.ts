/**
 * A task on its way to a node, as the manager of a connection knows it.
 *
 * @module
 */

import type { Chunk } from "./_chunks.ts";
import { Format, Record } from "./_layout.ts";
import { bundleId, type PayloadPart } from "./_nats_protocol.ts";
import type { Payload } from "./_payload.ts";

/** A task of the owner's, from its claim until nobody asks for it any more. */
export interface Parcel {
  /** `<session>.<n>`. */
  readonly id: string;
  /** The number in it. */
  readonly number: number;
  /** Where its record lies. */
  readonly chunk: Chunk;
  readonly at: number;
  /** The owner's number for it. */
  readonly index: number;
  /** Number of the callable, and its definition. */
  readonly callable: number;
  readonly definition: string;
  readonly isChunk: boolean;
  readonly timeoutMs: number;
  /** The arguments; gone once the server has them. */
  arguments: ArgumentPart | undefined;
  /** Whether it is one that was submitted before, and only waited for. */
  readonly isAttached: boolean;
  /** What it went to the server in, once it was given to it. */
  shipment: Shipment | undefined;
  /** How often it was withdrawn in vain, and sent again. */
  resent: number;
  /** Whether it was withdrawn, and is pending for the owner to cancel. */
  isGivenBack: boolean;
  /** Whether nobody waits for it any more. */
  isOver: boolean;
  /** Another one of the same id. */
  next: Parcel | undefined;
}

/** What goes to the server in one message: a task, or a bundle of them. */
export interface Shipment {
  /** That of its only task, or the bundle's. */
  readonly id: string;
  /** Its key in the bucket of starts. */
  readonly key: string;
  readonly parcels: readonly Parcel[];
  /** How many of them are not over. */
  open: number;
  /** Its place in the stream, once the server has it. */
  sequence: number | undefined;
  /** Resolves once the server has it, or never will; nothing before it is published. */
  taken: Promise<void> | undefined;
  /** Whether it is being withdrawn, or was. */
  isWithdrawn: boolean;
  /** Whether it is a bundle of another program, with tasks that are not ours to withdraw. */
  isForeign: boolean;
}

/** Makes what is to be sent of a task, or of several of one function. */
export function ship(
  parcels: readonly Parcel[],
  key?: string,
): Shipment {
  const [{ id: first, resent }] = parcels;
  const id = parcels.length === 1 ? first : bundleId(first);
  const shipment: Shipment = {
    id,
    key: key ?? (resent === 0 ? id : `${id}-${resent}`),
    parcels,
    open: parcels.length,
    sequence: undefined,
    taken: undefined,
    isWithdrawn: false,
    isForeign: false,
  };
  for (const parcel of parcels) parcel.shipment = shipment;
  return shipment;
}

/** Arguments, as they go into a frame. */
export interface ArgumentPart {
  readonly part: PayloadPart;
  readonly bytes: Uint8Array;
}

/** What the executor adds to the arguments of each call, as their last buffer. */
export interface Label {
  /** The task's number in its executor. */
  readonly number: number;
  /** Longest run in milliseconds; `Infinity` for none. */
  readonly timeoutMs: number;
}

const LABEL_BYTES = 2 * Float64Array.BYTES_PER_ELEMENT;

/** Adds a label to the payload of a call. */
export function addLabel(payload: Payload, label: Label): Payload {
  const bytes = new Uint8Array(
    Float64Array.of(label.number, label.timeoutMs).buffer,
  );
  const { format, text } = payload;
  const isEmpty = format === Format.EMPTY;
  return {
    format: isEmpty ? Format.PLAIN : format,
    text: isEmpty ? "[]" : text, // what has no text has no buffers
    buffers: [...payload.buffers, bytes],
    moved: payload.moved,
  };
}

/** Takes the label off the arguments of a call, whose bytes are copied. */
export function takeLabel(
  part: PayloadPart,
  bytes: Uint8Array,
): Label & { readonly arguments: ArgumentPart } {
  const { format, textBytes, buffers } = part;
  const labelAt = bytes.length - LABEL_BYTES;
  const [number, timeoutMs] = new Float64Array(
    bytes.slice(labelAt).buffer,
  );
  if (buffers === 1) { // none but the label: the text is all
    const text = bytes.slice(0, textBytes);
    const part = { format, textBytes, buffers: 0 };
    return { number, timeoutMs, arguments: { part, bytes: text } };
  }
  // Nothing in the text points to the last buffer, so it may stay.
  return { number, timeoutMs, arguments: { part, bytes: bytes.slice() } };
}

/** Reads where a claimed record has its payload. */
export function payloadPartOf({ words }: Chunk, at: number): PayloadPart {
  return {
    format: words[at + Record.FORMAT] & Format.MASK,
    textBytes: words[at + Record.TEXT_BYTES],
    buffers: words[at + Record.BUFFERS],
  };
}

/** Returns a number of its own for the place of a record. */
export function placeNumber(chunk: number, at: number): number {
  return chunk * 2 ** 32 + at;
}
