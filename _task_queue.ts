/**
 * The queue of tasks that an owner publishes and workers claim, in order.
 * `_layout.ts` describes it, with the races and who wins them.
 *
 * @module
 */

import {
  type Chunk,
  ChunkAllocator,
  type ChunkMessage,
  type ChunkTable,
  type ChunkUse,
  type OwnedChunk,
} from "./_chunks.ts";
import { Control, POINTER_WORDS, Record, State } from "./_layout.ts";

/** Sizes of a queue; tests of schedules have small ones. */
export interface QueueSizes {
  /** Places of the first ring, a power of two. */
  readonly firstPlaces: number;
  /** Cancelled tasks that may stay in the ring before it is worth tidying. */
  readonly manyCancelled: number;
}

const SIZES: QueueSizes = { firstPlaces: 1 << 10, manyCancelled: 1 << 10 };

/** The owner's half of the queue. */
export class TaskQueue {
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly chunks: ChunkAllocator;
  readonly #post: (message: ChunkMessage) => void;
  readonly #sizes: QueueSizes;
  #tail = 0;
  #ring: OwnedChunk;
  #mask: number;
  #cancelled = 0;

  constructor(use: ChunkUse, sizes: QueueSizes = SIZES) {
    this.#post = use.post;
    this.#sizes = sizes;
    this.#mask = sizes.firstPlaces - 1;
    this.control = new Int32Array(
      new SharedArrayBuffer(Control.WORDS * Int32Array.BYTES_PER_ELEMENT),
    );
    this.chunks = new ChunkAllocator({
      ...use,
      post: (message) => this.post(message),
    });
    this.#ring = this.#makeRing();
  }

  /** Posts a message to every worker, which counts those it has taken in. */
  post(message: ChunkMessage): void {
    Atomics.add(this.control, Control.POSTED, 1);
    this.#post(message);
  }

  /** Publishes the record at word `at` of `chunk`: from now on a worker may claim it. */
  publish(chunk: OwnedChunk, at: number): void {
    const isFull = this.length > this.#mask;
    if (isFull) this.#rebuild();
    this.#place(chunk, at);
    this.#show();
    // ORDER: after #show. Who looked while all was taken back went to sleep.
    if (isFull) this.wakeAll();
  }

  /** How many tasks no worker has claimed, cancelled ones included. */
  get length(): number {
    return (this.#tail - Atomics.load(this.control, Control.HEAD)) | 0;
  }

  /** Cancels a task that no worker has claimed; returns whether it was so. */
  cancel(chunk: OwnedChunk, at: number): boolean {
    if (!moveState(chunk, at, State.PENDING, State.CANCELLED)) return false;
    chunk.cancelled.push(at);
    if (
      ++this.#cancelled > this.#sizes.manyCancelled &&
      this.#cancelled * 2 > this.length
    ) {
      this.#rebuild();
      this.#show();
      this.wakeAll(); // as in `publish`
    }
    return true;
  }

  /** Lets go of memory that is not needed; for when nothing is pending. */
  rest(): void {
    if (this.#mask + 1 > this.#sizes.firstPlaces) {
      this.#rebuild();
      this.#show();
    }
    this.chunks.trim();
  }

  /** Wakes one worker, where one sleeps; returns how many do. Follows every publication. */
  wake(): number {
    // ORDER: TAIL was stored before SLEEPERS is read, see "Wake-ups".
    const sleepers = Atomics.load(this.control, Control.SLEEPERS);
    if (sleepers > 0) {
      Atomics.add(this.control, Control.WAKE, 1);
      Atomics.notify(this.control, Control.WAKE, 1);
    }
    return sleepers;
  }

  /** Wakes every sleeping worker. */
  wakeAll(): void {
    Atomics.add(this.control, Control.WAKE, 1);
    Atomics.notify(this.control, Control.WAKE);
  }

  /** Tells the workers to leave once they are idle. */
  close(): void {
    Atomics.store(this.control, Control.CLOSING, 1);
    this.wakeAll();
  }

  #place(chunk: OwnedChunk, at: number): void {
    const place = this.#tail & this.#mask;
    this.#ring.words[place * POINTER_WORDS] = chunk.id;
    this.#ring.words[place * POINTER_WORDS + 1] = at;
    this.#tail = (this.#tail + 1) | 0;
  }

  /** Makes all that was placed visible to the workers. */
  #show(): void {
    Atomics.store(this.control, Control.TAIL, this.#tail);
  }

  /**
   * Takes all unclaimed tasks back and places those again that are not
   * cancelled, in a ring with room for twice as many. The caller shows them.
   */
  #rebuild(): void {
    const head = this.#takeBack();
    const pending: [OwnedChunk, number][] = [];
    for (let ticket = head; ticket !== this.#tail; ticket = (ticket + 1) | 0) {
      const place = ticket & this.#mask;
      const chunk = this.chunks.get(this.#ring.words[place * POINTER_WORDS]);
      const at = this.#ring.words[place * POINTER_WORDS + 1];
      if (Atomics.load(chunk.words, at + Record.STATE) === State.PENDING) {
        pending.push([chunk, at]);
      } else Atomics.store(chunk.words, at + Record.STATE, State.SKIPPED);
    }
    this.#cancelled = 0;
    let places = this.#sizes.firstPlaces;
    while (places < pending.length * 2) places *= 2;
    if (places !== this.#mask + 1) {
      this.chunks.release(this.#ring);
      this.#mask = places - 1;
      this.#ring = this.#makeRing();
    }
    for (const [chunk, at] of pending) this.#place(chunk, at);
  }

  /** Moves HEAD to TAIL in one step; returns where it was. */
  #takeBack(): number {
    for (;;) {
      const head = Atomics.load(this.control, Control.HEAD);
      if (
        Atomics.compareExchange(
          this.control,
          Control.HEAD,
          head,
          this.#tail,
        ) === head
      ) return head;
    }
  }

  #makeRing(): OwnedChunk {
    const places = this.#mask + 1;
    const ring = this.chunks.exclusive(
      places * POINTER_WORDS * Int32Array.BYTES_PER_ELEMENT,
    );
    ring.live = 1;
    // A worker that still looks into the former ring fails to move HEAD, which
    // was moved past all that lay there. So the two words need not change at once.
    Atomics.store(this.control, Control.RING_CHUNK, ring.id);
    Atomics.store(this.control, Control.RING_MASK, this.#mask);
    return ring;
  }
}

/** A worker's half of the queue. */
export class TaskSource {
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #chunks: ChunkTable;
  readonly #running: number;
  /** Chunk and word of the task that was claimed last. */
  chunk!: Chunk;
  at = 0;

  /** @param worker The worker's number, unique in its pool. */
  constructor(
    control: Int32Array<SharedArrayBuffer>,
    chunks: ChunkTable,
    worker: number,
  ) {
    this.#control = control;
    this.#chunks = chunks;
    this.#running = runningState(worker);
  }

  /**
   * Claims the next task, if there is one; `chunk` and `at` then say where it is.
   *
   * @param state What its STATE becomes: that it runs here, or was sent ahead.
   */
  claim(state: number = this.#running): boolean {
    const control = this.#control;
    for (;;) {
      const head = Atomics.load(control, Control.HEAD);
      if (head === Atomics.load(control, Control.TAIL)) return false;
      const ringId = Atomics.load(control, Control.RING_CHUNK);
      const ring = this.#chunks.find(ringId);
      if (ring === undefined) {
        // Replaced just now; else this throws, as nobody would ever tell of it.
        if (Atomics.load(control, Control.RING_CHUNK) === ringId) {
          this.#chunks.get(ringId);
        }
        continue;
      }
      const place = head & Atomics.load(control, Control.RING_MASK);
      // ORDER: the pointer is read before HEAD moves, see "The task ring".
      const id = ring.words[place * POINTER_WORDS];
      const at = ring.words[place * POINTER_WORDS + 1];
      if (
        Atomics.compareExchange(
          control,
          Control.HEAD,
          head,
          (head + 1) | 0,
        ) !== head
      ) continue;
      const chunk = this.#chunks.get(id);
      if (moveState(chunk, at, State.PENDING, state)) {
        this.chunk = chunk;
        this.at = at;
        return true;
      }
      // ORDER: this worker's last look at the record, whose memory is free hereafter.
      Atomics.store(chunk.words, at + Record.STATE, State.SKIPPED);
    }
  }

  /** Whether there is nothing to claim. */
  isEmpty(): boolean {
    return Atomics.load(this.#control, Control.HEAD) ===
      Atomics.load(this.#control, Control.TAIL);
  }

  /** Ends the claimed task; returns whether the owner had not stopped it. */
  finish(chunk: Chunk, at: number): boolean {
    return moveState(chunk, at, this.#running, State.DONE);
  }
}

/** The STATE of a task that this worker runs. */
export function runningState(worker: number): number {
  return State.RUNNING + (worker << State.SHIFT);
}

/** The STATE of a task that was sent ahead to this worker. */
export function sentState(worker: number): number {
  return State.SENT + (worker << State.SHIFT);
}

/** Moves a record from one STATE to another; returns whether it was in the first. */
export function moveState(
  chunk: Chunk,
  at: number,
  from: number,
  to: number,
): boolean {
  return Atomics.compareExchange(
    chunk.words,
    at + Record.STATE,
    from,
    to,
  ) === from;
}
