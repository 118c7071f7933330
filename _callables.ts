/**
 * The callables that a pool's workers can look up: each definition lies once
 * in shared memory, for as long as tasks use it and a while beyond.
 *
 * @module
 */

import { define, nameOf } from "./_callable.ts";
import type { ChunkAllocator, OwnedChunk } from "./_chunks.ts";
import { align } from "./_layout.ts";

/** A callable that workers can look up. */
export interface Registration {
  readonly id: number;
  /** The function's name, for messages. */
  readonly name: string;
  /** Where the definition lies: its length in bytes as a word, then the text. */
  readonly chunk: OwnedChunk;
  readonly at: number;
  /** How many unsettled tasks call it. */
  users: number;
  /** Cleared when the definition is taken out of shared memory. */
  isValid: boolean;
}

/** Definitions kept, beyond those in use; the ones registered first go first. */
const MOST_DEFINITIONS = 1024;

const encoder = new TextEncoder();

/** The callables of one pool. */
export class Callables {
  readonly #chunks: ChunkAllocator;
  readonly #byCallable = new WeakMap<object, Registration>();
  readonly #byDefinition = new Map<string, Registration>();
  #nextId = 1;

  constructor(chunks: ChunkAllocator) {
    this.#chunks = chunks;
  }

  /**
   * Returns the registration of a callable, made if need be.
   *
   * @throws {SerializationError} If the callable cannot travel.
   */
  register(callable: object): Registration {
    const known = this.#byCallable.get(callable);
    if (known?.isValid) return known;
    const definition = define(callable);
    let registration = this.#byDefinition.get(definition);
    if (registration === undefined) {
      if (this.#byDefinition.size >= MOST_DEFINITIONS) this.#evict();
      registration = this.#write(definition, nameOf(callable));
      this.#byDefinition.set(definition, registration);
    }
    this.#byCallable.set(callable, registration);
    return registration;
  }

  #write(definition: string, name: string): Registration {
    const text = encoder.encode(definition);
    const bytes = align(Int32Array.BYTES_PER_ELEMENT + text.byteLength);
    const chunk = this.#chunks.definitionRoom(bytes);
    const at = chunk.top;
    chunk.words[at >> 2] = text.byteLength;
    chunk.bytes.set(text, at + Int32Array.BYTES_PER_ELEMENT);
    chunk.top += bytes;
    chunk.live++;
    return { id: this.#nextId++, name, chunk, at, users: 0, isValid: true };
  }

  /** Takes out an old definition that no task uses. */
  #evict(): void {
    let tries = 8; // those in use go to the end, so that no search is long
    for (const [definition, registration] of this.#byDefinition) {
      this.#byDefinition.delete(definition);
      if (registration.users > 0) {
        this.#byDefinition.set(definition, registration);
        if (--tries === 0) return;
        continue;
      }
      registration.isValid = false;
      this.#chunks.release(registration.chunk);
      return;
    }
  }
}
