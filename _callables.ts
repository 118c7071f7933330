/**
 * The callables that a pool's workers can look up: each definition lies once
 * in shared memory, for as long as tasks use it and a while beyond.
 *
 * @module
 */

import type { Travel } from "./_callable.ts";
import type { ChunkAllocator, OwnedChunk } from "./_chunks.ts";
import type { DefinitionValues } from "./_definition.ts";
import { align } from "./_layout.ts";
import type { Payload } from "./_payload.ts";
import type { SharedObjects } from "./_shared_objects.ts";

/** A callable that workers can look up. */
export interface Registration {
  readonly id: number;
  /** The function's name, for messages. */
  readonly name: string;
  /** Where the definition lies: its length in bytes as a word, then the text. */
  readonly chunk: OwnedChunk;
  readonly at: number;
  readonly bytes: number;
  /** Numbers of the shared objects that its values hold. */
  readonly shared: readonly number[];
  /** How many unsettled tasks call it. */
  users: number;
}

/** Definitions kept, beyond those in use; the ones registered first go first. */
const MOST_DEFINITIONS = 1024;
const MOST_BYTES = 1 << 24;

const encoder = new TextEncoder();

/** The callables of one pool. */
export class Callables {
  readonly #chunks: ChunkAllocator;
  readonly #shared: SharedObjects;
  /** By the definition's text; by the payload of values where it brings its own. */
  readonly #registrations = new Map<string | Payload, Registration>();
  #bytes = 0;
  #nextId = 1;

  constructor(chunks: ChunkAllocator, shared: SharedObjects) {
    this.#chunks = chunks;
    this.#shared = shared;
  }

  /** Returns the registration of a callable, made if need be. */
  register(travel: Travel): Registration {
    const key = travel.values ?? travel.text;
    return this.#registrations.get(key) ?? this.#add(key, travel);
  }

  #add(key: string | Payload, travel: Travel): Registration {
    const shared =
      travel.values?.moved.map((object) => this.#shared.use(object)) ?? [];
    const registration = this.#write(writeText(travel, shared), travel, shared);
    this.#bytes += registration.bytes;
    this.#evict();
    this.#registrations.set(key, registration);
    return registration;
  }

  #write(
    text: string,
    { name }: Travel,
    shared: readonly number[],
  ): Registration {
    const encoded = encoder.encode(text);
    const bytes = align(Int32Array.BYTES_PER_ELEMENT + encoded.byteLength);
    const chunk = this.#chunks.definitionRoom(bytes);
    const at = chunk.top;
    chunk.words[at >> 2] = encoded.byteLength;
    chunk.bytes.set(encoded, at + Int32Array.BYTES_PER_ELEMENT);
    chunk.top += bytes;
    chunk.live++;
    return { id: this.#nextId++, name, chunk, at, bytes, shared, users: 0 };
  }

  /** Takes out old definitions that no task uses, down to what may be kept. */
  #evict(): void {
    let tries = 8; // those in use go to the end, so that no search is long
    for (const [key, registration] of this.#registrations) {
      if (
        this.#registrations.size < MOST_DEFINITIONS && this.#bytes <= MOST_BYTES
      ) return;
      this.#registrations.delete(key);
      if (registration.users > 0) {
        this.#registrations.set(key, registration);
        if (--tries === 0) return;
        continue;
      }
      this.#bytes -= registration.bytes;
      this.#chunks.release(registration.chunk);
      for (const id of registration.shared) this.#shared.release(id);
    }
  }
}

function writeText({ definition, text, values }: Travel, shared: number[]) {
  if (values === undefined) return text;
  const written: DefinitionValues = {
    format: values.format,
    text: values.text,
    buffers: values.buffers.map(toBase64),
    shared,
  };
  return JSON.stringify({ ...definition, isCapturing: false, values: written });
}

function toBase64(bytes: Uint8Array): string {
  return (bytes as Uint8Array & { toBase64(): string }).toBase64();
}
