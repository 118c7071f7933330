/**
 * Puts together what a worker process is sent about tasks: definitions ahead of
 * the first task that needs them, and as many tasks in a frame as are given.
 *
 * @module
 */

import { measurePayload, toParts } from "./_bytes.ts";
import type { Child } from "./_child.ts";
import type { Chunk, ChunkTable } from "./_chunks.ts";
import { Record } from "./_layout.ts";
import { makeHeader } from "./_process_protocol.ts";
import { Shelf, SHELF_BYTES, SHELF_ITEMS } from "./_shelf.ts";
import type { Initializer } from "./_task_runner.ts";

/** A task's record, and its place among all that were claimed. */
export interface Entry {
  readonly chunk: Chunk;
  readonly at: number;
  readonly order: number;
}

/** Sends tasks to one process. */
export class TaskSender {
  readonly #child: Child;
  readonly #chunks: ChunkTable;
  /** Definitions that the process is sure to hold. */
  readonly #known = new Shelf<true>(SHELF_ITEMS / 2, SHELF_BYTES / 2);
  #numbers: number[] = [];
  #payloads: Uint8Array[] = [];

  constructor(child: Child, chunks: ChunkTable) {
    this.#child = child;
    this.#chunks = chunks;
  }

  /** Sends the initializer, if there is one; the process answers that it serves. */
  begin(initializer: Initializer | undefined): void {
    if (initializer === undefined) {
      return this.#child.write(makeHeader("serve", 0));
    }
    const { definition, payload } = initializer;
    const { parts, length, textBytes } = toParts(payload);
    const text = new TextEncoder().encode(definition);
    const header = makeHeader(
      "initialize",
      length + text.length,
      payload.format,
      textBytes,
      payload.buffers.length,
      length,
    );
    this.#child.write(header, [...parts, text]);
  }

  /** How many bytes are sent for a task, its definition included where that is new. */
  weigh(entry: Entry): number {
    const { chunk: { words }, at } = entry;
    const payload = this.#payloadOf(entry).length;
    return this.#known.get(words[at + Record.CALLABLE])
      ? payload
      : payload + this.#definitionOf(entry).length;
  }

  #payloadOf({ chunk: { words }, at }: Entry): Uint8Array {
    const { bytes } = this.#chunks.get(words[at + Record.PAYLOAD_CHUNK]);
    const from = words[at + Record.PAYLOAD_AT];
    const length = measurePayload(
      bytes,
      from,
      words[at + Record.TEXT_BYTES],
      words[at + Record.BUFFERS],
    );
    return bytes.subarray(from, from + length);
  }

  #definitionOf({ chunk, at }: Entry): Uint8Array {
    const { words, bytes } = this.#chunks.get(
      chunk.words[at + Record.CALLABLE_CHUNK],
    );
    const from = chunk.words[at + Record.CALLABLE_AT];
    const textAt = from + Int32Array.BYTES_PER_ELEMENT;
    return bytes.subarray(textAt, textAt + words[from >> 2]);
  }

  /** Adds a task to those that `flush` sends. */
  add(entry: Entry): void {
    const { chunk: { words }, at } = entry;
    const payload = this.#payloadOf(entry);
    const id = words[at + Record.CALLABLE];
    if (!this.#known.get(id)) this.#define(id, entry);
    this.#numbers.push(
      id,
      words[at + Record.FORMAT],
      words[at + Record.TEXT_BYTES],
      words[at + Record.BUFFERS],
      payload.length,
    );
    if (payload.length > 0) this.#payloads.push(payload);
  }

  #define(id: number, entry: Entry): void {
    this.flush(); // in the frames before it an older definition may be in use
    // A copy: the memory may have another use before it is written.
    const definition = this.#definitionOf(entry).slice();
    this.#known.set(id, true, definition.length);
    this.#child.write(makeHeader("define", definition.length, id), [
      definition,
    ]);
  }

  /** Sends what was added; returns whether there was anything. */
  flush(): boolean {
    if (this.#numbers.length === 0) return false;
    let length = 0;
    for (const payload of this.#payloads) length += payload.length;
    this.#child.write(
      makeHeader("run", length, ...this.#numbers),
      this.#payloads,
    );
    this.#numbers = [];
    this.#payloads = [];
    return true;
  }
}
