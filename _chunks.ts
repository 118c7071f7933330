/**
 * The memory that a pool shares with its workers, in chunks.
 *
 * A chunk is one `SharedArrayBuffer`. The owner fills it from the front and
 * begins again at the front once nothing in it is in use, so a pool that keeps
 * up runs in one chunk that stays in the cache. Chunks double while a backlog
 * grows, and go when it shrinks. What is large gets a chunk of its own.
 *
 * Workers learn of a chunk by a message posted before anything in the chunk is
 * published; they read it synchronously when they first meet its number. So
 * every worker that may still claim gets each message, one that is to leave too.
 * INVARIANT: the owner lets go of a chunk only when every worker has taken in
 * all messages posted, else a worker busy for an hour would hoard in its mail
 * what the owner believes to be free. Until then a free chunk waits for reuse.
 *
 * @module
 */

import { noteDropped } from "./_collector.ts";
import type { ShareMessage } from "./_shared_objects.ts";
import { align, Record, State } from "./_layout.ts";

const FIRST_BYTES = 1 << 16;
const LARGEST_BYTES = 1 << 22;
const MOST_FREE_BYTES = 1 << 25;

/** Above this, a payload gets a chunk of its own, which goes with it. */
export const LARGE_PAYLOAD = 1 << 18;

/** One shared buffer with its views. */
export class Chunk {
  readonly id: number;
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly bytes: Uint8Array<SharedArrayBuffer>;

  constructor(id: number, buffer: SharedArrayBuffer) {
    this.id = id;
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
    this.bytes = new Uint8Array(buffer);
  }
}

/** A chunk as its owner sees it. */
export class OwnedChunk extends Chunk {
  /** Bytes in use, from the front. */
  top = 0;
  /** How many things in it are in use: tasks not settled, definitions registered. */
  live = 0;
  /** Words of cancelled tasks that a worker may still come upon. */
  readonly cancelled: number[] = [];

  /** Whether nothing in it is in use, and no worker can come upon anything in it. */
  isIdle(): boolean {
    if (this.live > 0) return false;
    for (let at; (at = this.cancelled.at(-1)) !== undefined;) {
      const state = Atomics.load(this.words, at + Record.STATE);
      if (state !== State.SKIPPED) return false;
      this.cancelled.pop();
    }
    return true;
  }
}

/** What the owner tells workers about chunks. */
export type ChunkMessage =
  | { readonly take: number; readonly buffer: SharedArrayBuffer }
  | { readonly drop: readonly number[] }
  | ShareMessage;

/** What the allocator must know of the rest. */
export interface ChunkUse {
  /** Posts a message to every worker. */
  post(message: ChunkMessage): void;
  /** Whether every worker has taken in all that was posted. */
  allTaken(): boolean;
}

/** The owner's half: hands out room, takes it back. */
export class ChunkAllocator {
  readonly #use: ChunkUse;
  readonly #chunks = new Map<number, OwnedChunk>();
  #nextId = 1;
  #current: OwnedChunk | undefined;
  #definitions: OwnedChunk | undefined;
  /** In use by nobody, but perhaps not idle yet. */
  readonly #free = new Set<OwnedChunk>();
  #nextBytes = FIRST_BYTES;
  /** Whether memory is to go once a worker has taken in its messages. */
  #isWaiting = false;

  constructor(use: ChunkUse) {
    this.#use = use;
  }

  /** Every chunk there is, for a worker that starts. */
  messages(): ChunkMessage[] {
    return Array.from(
      this.#chunks.values(),
      ({ id, buffer }) => ({ take: id, buffer }),
    );
  }

  /** Bytes of all chunks, for tests and benches. */
  get byteLength(): number {
    return bytesOf(this.#chunks.values());
  }

  /** Returns the chunk of that number, which must exist. */
  get(id: number): OwnedChunk {
    return this.#chunks.get(id)!;
  }

  /** Returns the chunk with room for `bytes` more at its `top`, which the caller moves. */
  room(bytes: number): OwnedChunk {
    const current = this.#current;
    if (current !== undefined) {
      if (current.live === 0 && current.isIdle()) current.top = 0;
      if (current.top + bytes <= current.buffer.byteLength) return current;
      this.#current = undefined;
      if (current.live === 0) this.#free.add(current);
      else this.#nextBytes = Math.min(this.#nextBytes * 2, LARGEST_BYTES);
    }
    return this.#current = this.#take(Math.max(this.#nextBytes, bytes));
  }

  /** Returns a chunk for something large, which lives and goes alone. */
  exclusive(bytes: number): OwnedChunk {
    return this.#take(bytes);
  }

  /** Returns the chunk with room for the definition of a callable, which lives long. */
  definitionRoom(bytes: number): OwnedChunk {
    const current = this.#definitions;
    if (
      current !== undefined && current.top + bytes <= current.buffer.byteLength
    ) return current;
    if (current !== undefined && current.live === 0) this.#free.add(current);
    return this.#definitions = this.#take(Math.max(FIRST_BYTES, bytes));
  }

  /** Ends one use of a chunk. */
  release(chunk: OwnedChunk): void {
    if (
      --chunk.live > 0 || chunk === this.#current || chunk === this.#definitions
    ) return;
    this.#free.add(chunk);
    // A pool that is never idle gives memory back too.
    if (!this.#isWaiting && bytesOf(this.#free) > MOST_FREE_BYTES) this.trim();
  }

  /** Lets go of all that is not needed; for when nothing is pending. */
  trim(): void {
    const current = this.#current;
    if (
      current !== undefined && current.live === 0 &&
      current.buffer.byteLength > FIRST_BYTES
    ) {
      this.#free.add(current);
      this.#current = undefined;
    }
    this.#nextBytes = FIRST_BYTES;
    this.#isWaiting = this.#free.size > 0 && !this.#use.allTaken();
    if (this.#free.size === 0 || this.#isWaiting) return;
    const dropped = [...this.#free].filter((chunk) => chunk.isIdle());
    if (dropped.length === 0) return;
    for (const chunk of dropped) {
      this.#free.delete(chunk);
      this.#chunks.delete(chunk.id);
    }
    this.#use.post({ drop: dropped.map(({ id }) => id) });
    noteDropped(bytesOf(dropped));
  }

  #take(bytes: number): OwnedChunk {
    for (const chunk of this.#free) {
      const size = chunk.buffer.byteLength;
      if (size >= bytes && size <= bytes * 4 && chunk.isIdle()) {
        this.#free.delete(chunk);
        chunk.top = 0;
        return chunk;
      }
    }
    const id = this.#nextId++;
    const chunk = new OwnedChunk(id, new SharedArrayBuffer(align(bytes)));
    this.#chunks.set(id, chunk);
    this.#use.post({ take: id, buffer: chunk.buffer });
    return chunk;
  }
}

/** A worker's half: the chunks that it has been told of. */
export class ChunkTable {
  readonly #chunks = new Map<number, Chunk>();
  readonly #shared = new Map<number, unknown>();
  readonly #receive: () => ChunkMessage | undefined;
  /** How many messages it has taken in. */
  taken = 0;

  /** @param receive Takes one message from the mail, if there is one. */
  constructor(receive: () => ChunkMessage | undefined) {
    this.#receive = receive;
  }

  /** Returns the chunk of that number, if it has not been dropped. */
  find(id: number): Chunk | undefined {
    const chunk = this.#chunks.get(id);
    if (chunk !== undefined) return chunk;
    this.update();
    return this.#chunks.get(id);
  }

  /** Returns the chunk of that number, which must be in use. */
  get(id: number): Chunk {
    const chunk = this.find(id);
    if (chunk === undefined) {
      throw new Error(
        `Cannot find shared memory as chunk ${id} must be announced before use`,
      );
    }
    return chunk;
  }

  /** Returns the shared object of that number, which must be in use. */
  shared(id: number): unknown {
    if (!this.#shared.has(id)) this.update();
    return this.#shared.get(id);
  }

  #drop(ids: readonly number[]): void {
    const dropped = ids.map((id) => this.#chunks.get(id)!);
    for (const id of ids) this.#chunks.delete(id);
    noteDropped(bytesOf(dropped));
  }

  /** Takes in all messages that have come. */
  update(): void {
    let message: ChunkMessage | undefined;
    while ((message = this.#receive()) !== undefined) {
      this.taken++;
      if ("take" in message) {
        this.#chunks.set(message.take, new Chunk(message.take, message.buffer));
      } else if ("drop" in message) this.#drop(message.drop);
      else if ("share" in message) {
        this.#shared.set(message.share, message.object);
      } else this.#shared.delete(message.unshare);
    }
  }
}

function bytesOf(chunks: Iterable<Chunk>): number {
  let bytes = 0;
  for (const { buffer } of chunks) bytes += buffer.byteLength;
  return bytes;
}
