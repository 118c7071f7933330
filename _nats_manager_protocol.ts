/**
 * The messages between the thread that made a `NatsExecutor` and the thread that
 * manages its connection; tasks and outcomes go through shared memory
 * (`_layout.ts`), in which the manager has the place of a worker that has many
 * tasks at once: those that are published are `SENT`, those that a node has
 * started are `RUNNING`.
 *
 * | message         | when                              | what for                                        |
 * | --------------- | --------------------------------- | ----------------------------------------------- |
 * | `NatsBoot`      | first, once                       | to connect; the answer is an `Opened`           |
 * | `{ start }`     | before the first task             | the memory                                      |
 * | `{ look }`      | memory is to be dropped           | makes the manager read its mail                 |
 * | `{ callBack }`  | published tasks are to be cancelled | each is pending again, or runs                |
 * | `{ stop }`      | a task was stopped                | the manager answers `Kind.RELEASED`             |
 * | `{ catchUp }`   | `running()` of a published task   | whether it was started is known here            |
 * | `{ leave }`     | the pool ends, all is done        | tidies up, and closes the connection            |
 * | `ChunkMessage`  | by the port, before a chunk is used | as for threads                                |
 *
 * @module
 */

import type { NatsConnectionOptions } from "./_nats_connection.ts";
import type { StreamSettings } from "./_nats_store.ts";
import type { Initializer } from "./_task_runner.ts";
import type { WorkerStart } from "./_worker_link.ts";

/** The manager's first message. */
export interface NatsBoot {
  readonly connection: NatsConnectionOptions;
  readonly stream: string;
  readonly settings: StreamSettings;
  /** The first part of the ids of the executor's tasks. */
  readonly session: string;
  /** Most tasks on their way at once. */
  readonly maxWorkers: number;
  readonly initializer: Initializer | undefined;
  readonly allowSource: boolean;
  /** Whether a task whose nodes have died breaks the pool. */
  readonly isBrokenByDeath: boolean;
  /** Words of a `Hand`. */
  readonly hand: SharedArrayBuffer;
  /** Where the `Opened` is posted. */
  readonly port: MessagePort;
}

/** Words in which the manager answers a thread that may block. */
export const Hand = {
  /** 1 once an `Opened` was posted. */
  OPENED: 0,
  /** The number of the last `catchUp` that is through. */
  CAUGHT_UP: 1,
  WORDS: 2,
} as const;

/** What came of the connection; the error's message, where there is none. */
export type Opened = { readonly error?: { message: string; cause?: string } };

/** How the manager takes the place of a worker. */
export type NatsStart =
  & Omit<WorkerStart, "onFailure" | "control" | "bell">
  & {
    readonly control: SharedArrayBuffer;
    readonly bell: SharedArrayBuffer;
    readonly ring: SharedArrayBuffer;
    readonly port: MessagePort;
  };

/** Where a task's record lies: its chunk's number, its first word. */
export type RecordPlace = readonly [chunk: number, at: number];

/** What the manager is sent after that. */
export type ToNatsManager =
  | { readonly start: NatsStart }
  | { readonly look: true }
  | { readonly leave: true }
  | { readonly callBack: readonly RecordPlace[] }
  | { readonly stop: RecordPlace; readonly number: number }
  | { readonly catchUp: RecordPlace; readonly number: number };

/** The definition of the task that waits for one submitted before; its one argument is the id. */
export const ATTACH = '{"kind":"attach"}';
