/**
 * The messages between the thread that made a pool and its worker threads;
 * all else goes through shared memory (`_layout.ts`).
 *
 * | message        | way                | when                       | what for                                   |
 * | -------------- | ------------------ | -------------------------- | ------------------------------------------ |
 * | `Boot`         | owner to worker    | first, once                | the memory, the port, the initializer      |
 * | `{ moved }`    | owner to worker    | asked for by `WANTS_MOVED` | objects that only a message can carry      |
 * | `{ look }`     | owner to worker    | memory is to be dropped    | makes a worker that awaits read the port   |
 * | `{ stop }`     | owner to worker    | its task was stopped       | ends a worker that awaits                  |
 * | `ChunkMessage` | owner, by the port | before a chunk is used     | read synchronously when the chunk is met   |
 * | `Posted`       | worker, by the port | before the ring tells of it | a result too large for the ring, a new ring |
 *
 * The port is never started: both ends read it synchronously, the worker in
 * the middle of taking a task, the owner also while it blocks.
 *
 * @module
 */

import type { ChunkMessage } from "./_chunks.ts";
import type { Initializer } from "./_task_runner.ts";

/** A worker's first message. */
export interface Boot {
  readonly number: number;
  readonly control: SharedArrayBuffer;
  readonly bell: SharedArrayBuffer;
  readonly ring: SharedArrayBuffer;
  readonly port: MessagePort;
  readonly chunks: readonly ChunkMessage[];
  /** How many chunk messages the owner had posted so far. */
  readonly posted: number;
  readonly initializer: Initializer | undefined;
}

/** What a worker is sent after that. */
export type ToWorker =
  | { readonly moved: readonly unknown[] }
  | { readonly look: true }
  | { readonly stop: true };
