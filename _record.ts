/**
 * Writes a task's record and its payload into shared memory.
 *
 * @module
 */

import { ByteForm } from "./_bytes.ts";
import type { Registration } from "./_callables.ts";
import {
  type ChunkAllocator,
  LARGE_PAYLOAD,
  type OwnedChunk,
} from "./_chunks.ts";
import type { Payload } from "./_codec.ts";
import { Record, State } from "./_layout.ts";

const RECORD_BYTES = Record.WORDS * Int32Array.BYTES_PER_ELEMENT;

/** Where a record lies. */
export interface Place {
  readonly chunk: OwnedChunk;
  /** The record's first word. */
  readonly at: number;
  /** The chunk of a payload that has one of its own. */
  readonly payload: OwnedChunk | undefined;
}

/** Writes a record that is pending, and not published yet. */
export function writeRecord(
  chunks: ChunkAllocator,
  index: number,
  registration: Registration,
  payload: Payload,
  format: number,
): Place {
  const form = payload.text === "" ? undefined : new ByteForm(payload);
  const capacity = form?.capacity ?? 0;
  const own = capacity > LARGE_PAYLOAD ? chunks.exclusive(capacity) : undefined;
  const chunk = chunks.room(
    RECORD_BYTES + (own === undefined ? capacity : 0),
  );
  const at = chunk.top >> 2;
  const payloadAt = own === undefined ? chunk.top + RECORD_BYTES : 0;
  const end = form?.write((own ?? chunk).bytes, payloadAt) ?? payloadAt;
  chunk.top = own === undefined ? end : chunk.top + RECORD_BYTES;
  chunk.live++;
  if (own !== undefined) own.live++;

  const { words } = chunk;
  words[at + Record.TASK] = index;
  words[at + Record.CALLABLE] = registration.id;
  words[at + Record.CALLABLE_CHUNK] = registration.chunk.id;
  words[at + Record.CALLABLE_AT] = registration.at;
  words[at + Record.FORMAT] = format;
  words[at + Record.PAYLOAD_CHUNK] = (own ?? chunk).id;
  words[at + Record.PAYLOAD_AT] = payloadAt;
  words[at + Record.TEXT_BYTES] = form?.textBytes ?? 0;
  words[at + Record.BUFFERS] = payload.buffers.length;
  Atomics.store(words, at + Record.STATE, State.PENDING);
  return { chunk, at, payload: own };
}
