/**
 * What a worker tells its owner, in a ring of shared memory of its own:
 * one writer, one reader, no lock. `_layout.ts` lists the messages.
 *
 * A ring that is full is not waited for: the writer goes on in one twice as
 * large, which it posts to the reader, and returns to the first when all has
 * been read. So an owner that is busy for long finds all results waiting, and
 * the memory goes again. Payloads too large for a ring are posted as well.
 *
 * @module
 */

import { noteDropped } from "./_collector.ts";
import {
  aligned,
  ByteForm,
  CopyForm,
  type Form,
  readBuffers,
  readText,
} from "./_bytes.ts";
import type { Payload } from "./_codec.ts";
import { isTransferable } from "./_transferable.ts";
import {
  Kind,
  Mail,
  Message,
  NO_TASK,
  POSTED_PAYLOAD,
  Ring,
} from "./_layout.ts";

const FIRST_BYTES = 1 << 16;
const LARGEST_BYTES = 1 << 24;
const HEADER_BYTES = Ring.WORDS * Int32Array.BYTES_PER_ELEMENT;
const MESSAGE_BYTES = Message.WORDS * Int32Array.BYTES_PER_ELEMENT;

/** Payloads above this part of a ring are posted. */
const LARGEST_PART = 4;

/** Room that stays free for the message that names the next ring, and a wrap before it. */
const RESERVE_BYTES = MESSAGE_BYTES * 2;

/** What travels by message instead of in a ring. */
export type Posted =
  | { readonly ring: SharedArrayBuffer }
  | {
    readonly text: string;
    /** Not as views: `receiveMessageOnPort` goes through their elements one by one, 300 ms a MB (Deno 2.9.6). */
    readonly buffers: ArrayBuffer[];
    readonly moved: unknown[];
  };

/** A message as its reader gets it. */
export interface Received {
  kind: number;
  task: number;
  format: number;
  text: string;
  buffers: Uint8Array[];
  moved: unknown[];
}

/** A payload that is on its way, or ready to be written. */
export interface Staged {
  readonly format: number;
  readonly form: Form | undefined;
  readonly buffers: number;
}

const NO_PAYLOAD: Staged = { format: 0, form: undefined, buffers: 0 };

/** Makes the memory of a worker's first ring. */
export function makeRing(bytes: number = FIRST_BYTES): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER_BYTES + bytes);
}

/** The views on one ring. */
class RingMemory {
  readonly header: Int32Array;
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  readonly capacity: number;

  constructor(buffer: SharedArrayBuffer) {
    this.header = new Int32Array(buffer, 0, Ring.WORDS);
    this.words = new Int32Array(buffer, HEADER_BYTES);
    this.bytes = new Uint8Array(buffer, HEADER_BYTES);
    this.capacity = this.bytes.byteLength;
  }

  /** Where in the data a count of bytes lies. */
  offset(count: number): number {
    return count & (this.capacity - 1);
  }
}

/** The worker's end. */
export class ResultWriter {
  readonly #first: RingMemory;
  readonly #post: (message: Posted, transfer: Transferable[]) => void;
  #ring: RingMemory;
  #write = 0;

  /** @param post Sends a message to the owner's end. */
  constructor(
    ring: SharedArrayBuffer,
    post: (message: Posted, transfer: Transferable[]) => void,
  ) {
    this.#first = this.#ring = new RingMemory(ring);
    this.#post = post;
  }

  /** Counts a task that this worker has brought to an outcome. */
  countFinished(): void {
    Atomics.add(this.#first.header, Ring.FINISHED, 1);
  }

  /** Notes whether the task awaits. */
  setAwaiting(isAwaiting: boolean): void {
    Atomics.store(this.#first.header, Ring.AWAITING, isAwaiting ? 1 : 0);
  }

  /** Notes how many messages about chunks were taken in. */
  setTaken(count: number): void {
    Atomics.store(this.#first.header, Ring.TAKEN, count);
  }

  /** Takes no more messages with memory; those that were posted can be read now. */
  shutMail(): void {
    const { header } = this.#first;
    const { MAIL } = Ring;
    while (
      Atomics.compareExchange(header, MAIL, Mail.OPEN, Mail.SHUT) ===
        Mail.POSTING
    ) Atomics.wait(header, MAIL, Mail.POSTING);
  }

  /**
   * Does what can fail of sending a payload: posts it where it does not fit
   * into the ring. `send` is to follow at once.
   *
   * @throws {DOMException} If an object in it cannot be moved.
   */
  stage(payload: Payload): Staged {
    this.#tidy();
    const { format, buffers } = payload;
    if (payload.text === "") return { format, form: undefined, buffers: 0 };
    const form = new ByteForm(payload);
    return payload.moved.length === 0 && this.#isSmall(form)
      ? { format, form, buffers: buffers.length }
      : this.#stagePosted(format, () => postPayload(payload, this.#post));
  }

  /** The same for a payload that is bytes already. */
  stageBytes(
    format: number,
    bytes: Uint8Array,
    textBytes: number,
    buffers: number,
  ): Staged {
    this.#tidy();
    if (bytes.length === 0) return { format, form: undefined, buffers: 0 };
    const form = new CopyForm(bytes, textBytes);
    return this.#isSmall(form)
      ? { format, form, buffers }
      : this.#stagePosted(format, () => {
        const source = aligned(bytes);
        const text = readText(source, 0, textBytes);
        const copies = readBuffers(source, 0, textBytes, buffers)
          .map((copy) => copy.buffer as ArrayBuffer);
        this.#post({ text, buffers: copies, moved: [] }, copies);
      });
  }

  #isSmall(form: Form): boolean {
    return form.capacity <= this.#first.capacity / LARGEST_PART;
  }

  #stagePosted(format: number, post: () => void): Staged {
    // ORDER: the next ring, if it comes to that, is posted before the payload,
    // as the reader will ask for them.
    this.#makeRoom(MESSAGE_BYTES);
    post();
    return { format: format | POSTED_PAYLOAD, form: undefined, buffers: 0 };
  }

  /** Writes a message; the owner sees it once the bell is rung. */
  send(kind: number, task: number, staged: Staged = NO_PAYLOAD): void {
    const { format, form, buffers } = staged;
    this.#put(kind, task, format, form, buffers);
  }

  #put(
    kind: number,
    task: number,
    format: number,
    form: Form | undefined,
    buffers: number,
  ): void {
    const at = this.#makeRoom(MESSAGE_BYTES + (form?.capacity ?? 0));
    const ring = this.#ring;
    const end = form === undefined
      ? at + MESSAGE_BYTES
      : form.write(ring.bytes, at + MESSAGE_BYTES);
    this.#head(ring, at, kind, task, end - at);
    const word = at >> 2;
    ring.words[word + Message.FORMAT] = format;
    ring.words[word + Message.TEXT_BYTES] = form?.textBytes ?? 0;
    ring.words[word + Message.BUFFERS] = buffers;
    this.#advance(end - at);
  }

  /** Returns where `bytes` in a row are free, in another ring if need be. */
  #makeRoom(bytes: number): number {
    for (;;) {
      const ring = this.#ring;
      const at = ring.offset(this.#write);
      const wrap = at + bytes > ring.capacity ? ring.capacity - at : 0;
      const used = (this.#write - Atomics.load(ring.header, Ring.READ)) | 0;
      if (used + wrap + bytes + RESERVE_BYTES > ring.capacity) {
        this.#goOn();
        continue;
      }
      if (wrap === 0) return at;
      ring.words[(at >> 2) + Message.KIND] = Kind.WRAP;
      this.#advance(wrap);
    }
  }

  /** Goes on in a ring twice as large. */
  #goOn(): void {
    const bytes = Math.min(this.#ring.capacity * 2, LARGEST_BYTES);
    const buffer = makeRing(bytes);
    this.#post({ ring: buffer }, []);
    this.#change(Kind.NEXT_RING, new RingMemory(buffer));
  }

  /** Returns to the first ring, once all in another one has been read. */
  #tidy(): void {
    if (this.#ring === this.#first || !this.#isRead()) return;
    noteDropped(this.#ring.capacity);
    this.#change(Kind.FIRST_RING, this.#first);
  }

  #change(kind: number, next: RingMemory): void {
    const ring = this.#ring;
    let at = ring.offset(this.#write);
    if (at + MESSAGE_BYTES > ring.capacity) {
      ring.words[(at >> 2) + Message.KIND] = Kind.WRAP;
      this.#advance(ring.capacity - at);
      at = 0;
    }
    this.#head(ring, at, kind, NO_TASK, MESSAGE_BYTES);
    this.#advance(MESSAGE_BYTES);
    this.#ring = next;
    this.#write = next.header[Ring.WRITE];
  }

  #head(
    ring: RingMemory,
    at: number,
    kind: number,
    task: number,
    length: number,
  ): void {
    const word = at >> 2;
    ring.words[word + Message.KIND] = kind;
    ring.words[word + Message.TASK] = task;
    ring.words[word + Message.LENGTH] = length;
  }

  #advance(bytes: number): void {
    this.#write = (this.#write + bytes) | 0;
    // ORDER: the message lies there before WRITE says so.
    Atomics.store(this.#ring.header, Ring.WRITE, this.#write);
  }

  #isRead(): boolean {
    return Atomics.load(this.#ring.header, Ring.READ) === this.#write;
  }
}

/** Posts a payload with its buffers moved: copies of them, as the sender keeps its own. */
function postPayload(
  { text, buffers, moved }: Payload,
  post: (message: Posted, transfer: Transferable[]) => void,
): void {
  const copies = buffers.map((buffer) => buffer.slice().buffer as ArrayBuffer);
  const transfer = [...copies, ...moved.filter(isTransferable)];
  post({ text, buffers: copies, moved: [...moved] }, transfer);
}

/** The owner's end. */
export class ResultReader {
  readonly #first: RingMemory;
  readonly #receive: () => Posted | undefined;
  #ring: RingMemory;
  #read = 0;

  /** @param receive Takes one posted message, if there is one. */
  constructor(ring: SharedArrayBuffer, receive: () => Posted | undefined) {
    this.#first = this.#ring = new RingMemory(ring);
    this.#receive = receive;
  }

  /** How many tasks the worker has brought to an outcome. */
  get finished(): number {
    return Atomics.load(this.#first.header, Ring.FINISHED);
  }

  /** Whether the worker's task awaits. */
  get isAwaiting(): boolean {
    return Atomics.load(this.#first.header, Ring.AWAITING) === 1;
  }

  /** How many messages about chunks the worker has taken in. */
  get taken(): number {
    return Atomics.load(this.#first.header, Ring.TAKEN);
  }

  /** Says, before the worker starts, how many chunk messages it will know of. */
  set taken(count: number) {
    Atomics.store(this.#first.header, Ring.TAKEN, count);
  }

  /** Calls `post`, which posts a message with memory, unless the worker takes no more. */
  postMail(post: () => void): void {
    const { header } = this.#first;
    const { MAIL } = Ring;
    const mail = Atomics.compareExchange(
      header,
      MAIL,
      Mail.OPEN,
      Mail.POSTING,
    );
    if (mail !== Mail.OPEN) return;
    try {
      post();
    } finally {
      Atomics.store(header, MAIL, Mail.OPEN);
      Atomics.notify(header, MAIL); // a worker that waits to shut it
    }
  }

  /** Whether there is anything to read. */
  isEmpty(): boolean {
    return Atomics.load(this.#ring.header, Ring.WRITE) === this.#read;
  }

  /** Takes the next message, if there is one, and gives its room back. */
  next(): Received | undefined {
    while (!this.isEmpty()) {
      const ring = this.#ring;
      const at = ring.offset(this.#read);
      const kind = ring.words[(at >> 2) + Message.KIND];
      if (kind === Kind.WRAP) this.#advance(ring.capacity - at);
      else if (kind === Kind.NEXT_RING || kind === Kind.FIRST_RING) {
        this.#advance(MESSAGE_BYTES);
        this.#change(kind);
      } else return this.#take(kind, at);
    }
    return undefined;
  }

  #take(kind: number, at: number): Received {
    const { words, bytes } = this.#ring;
    const word = at >> 2;
    const task = words[word + Message.TASK];
    const format = words[word + Message.FORMAT];
    const length = words[word + Message.LENGTH];
    if ((format & POSTED_PAYLOAD) !== 0) {
      this.#advance(length);
      return {
        kind,
        task,
        format: format & ~POSTED_PAYLOAD,
        ...this.#posted(),
      };
    }
    const textBytes = words[word + Message.TEXT_BYTES];
    const payloadAt = at + MESSAGE_BYTES;
    const text = readText(bytes, payloadAt, textBytes);
    const buffers = readBuffers(
      bytes,
      payloadAt,
      textBytes,
      words[word + Message.BUFFERS],
    );
    this.#advance(length);
    return { kind, task, format, text, buffers, moved: [] };
  }

  #posted(): Pick<Received, "text" | "buffers" | "moved"> {
    const posted = this.#receive();
    if (posted === undefined || "ring" in posted) {
      throw new Error(
        "Cannot read a result as its payload must be posted first",
      );
    }
    const { text, buffers, moved } = posted;
    return {
      text,
      buffers: buffers.map((buffer) => new Uint8Array(buffer)),
      moved,
    };
  }

  #change(kind: number): void {
    if (this.#ring !== this.#first) noteDropped(this.#ring.capacity);
    if (kind === Kind.FIRST_RING) this.#ring = this.#first;
    else {
      const posted = this.#receive();
      if (posted === undefined || !("ring" in posted)) {
        throw new Error(
          "Cannot go on reading as the next ring must be posted first",
        );
      }
      this.#ring = new RingMemory(posted.ring);
    }
    this.#read = this.#ring.header[Ring.READ];
  }

  #advance(bytes: number): void {
    this.#read = (this.#read + bytes) | 0;
    Atomics.store(this.#ring.header, Ring.READ, this.#read);
  }
}
