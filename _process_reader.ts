/**
 * The reading thread of a worker process: takes in what comes on stdin while
 * the main thread runs tasks, answers recalls, and ends the process when the
 * parent is gone.
 *
 * It blocks in `read`, as it has nothing else to do: that is faster than the
 * event loop's way, and needs no turn of it.
 *
 * @module
 */

import { ChildMemory } from "./_child_memory.ts";
import { FrameReader } from "./_frames.ts";
import {
  GRACE_MS,
  INTERRUPTED_GRACE_MS,
  INTERRUPTS,
  RUN_NUMBERS,
} from "./_process_protocol.ts";
import { READER_STREAM, SegmentWriter } from "./_segments.ts";

/** The reader's one message. */
export interface ReaderBoot {
  readonly memory: SharedArrayBuffer;
  readonly token: string;
  /** What the main thread has read already, and keeps: what follows comes after it. */
  readonly first: Uint8Array;
}

addEventListener("message", (event) => {
  const { memory, token, first } = (event as MessageEvent).data as ReaderBoot;
  const reader = new Reader(new ChildMemory(memory), token);
  for (const signal of INTERRUPTS) {
    Deno.addSignalListener(signal, () => reader.onInterrupt());
  }
  reader.run(first);
});

class Reader {
  readonly #memory: ChildMemory;
  readonly #writer: SegmentWriter;
  readonly #frames = new FrameReader({ isSkipping: true });
  /** Number of the next task that will come. */
  #received = 0;

  constructor(memory: ChildMemory, token: string) {
    this.#memory = memory;
    this.#writer = new SegmentWriter(Deno.stdout, token, READER_STREAM);
  }

  run(first: Uint8Array): void {
    this.#scan(first);
    for (;;) {
      const room = this.#memory.waitForRoom();
      const length = Deno.stdin.readSync(room);
      if (length === null) break;
      this.#memory.advance(length);
      this.#scan(room.subarray(0, length));
    }
    this.#memory.end();
    // An idle main thread exits meanwhile.
    this.#exitWithin(GRACE_MS);
  }

  /**
   * Takes notice of an interrupt. It does so after the end of stdin, whenever the
   * signal came: the event loop stands still until then.
   */
  onInterrupt(): void {
    this.#exitWithin(INTERRUPTED_GRACE_MS);
  }

  #exitWithin(ms: number): void {
    // Oneself needs no permission (Deno 2.9.6).
    setTimeout(() => Deno.kill(Deno.pid, "SIGKILL"), ms);
  }

  /** Looks for what is this thread's business. */
  #scan(bytes: Uint8Array): void {
    this.#frames.push(bytes);
    for (let frame; (frame = this.#frames.next()) !== undefined;) {
      const { header } = frame;
      if (header[0] === "run") {
        this.#received += (header.length - 2) / RUN_NUMBERS;
        this.#received |= 0;
      } else if (header[0] === "recall") {
        const from = this.#memory.recall(this.#received);
        this.#writer.write("recalled", from >>> 0, this.#received >>> 0);
      }
    }
  }
}
