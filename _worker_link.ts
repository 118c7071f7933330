/**
 * What a dispatcher knows of a worker, whatever kind of worker it is.
 *
 * @module
 */

import type { ChunkMessage } from "./_chunks.ts";
import type { ResultReader } from "./_result_ring.ts";
import type { Task } from "./_task.ts";

/** The owner's end of one worker. */
export interface WorkerLink {
  /** Unique in its pool, never used again: it marks the tasks that the worker runs. */
  readonly number: number;
  readonly name: string;
  /** What it is called in messages; by default a worker of its name. */
  readonly title?: string;
  readonly reader: ResultReader;
  /** How many outcomes the dispatcher has taken in. */
  takenIn: number;
  /** Whether the worker has loaded its modules. */
  isReady: boolean;
  /** Whether the initializer is through. */
  isServing: boolean;
  /** When, by `performance.now()`, it is given up if it is not ready. */
  readonly readyDeadline: number;
  /** Posts a message that the worker reads when it comes upon new memory. */
  postChunk(message: ChunkMessage): void;
  /** Sends the objects that a task asked for. */
  sendMoved(moved: readonly unknown[]): void;
  /** Whether it takes messages now: a thread in synchronous code does not. */
  readonly isResponsive: boolean;
  /** Makes a responsive worker read its mail about memory. */
  sendLook(): void;
  /**
   * Calls back what was sent ahead to the worker and not begun, where that is
   * done: all of it, or these tasks at the least.
   */
  callBack?(tasks: readonly Task[]): void;
  /**
   * Tells a worker that its task was stopped: it is to close, at once where it
   * awaits. All that it posted has been read.
   */
  sendStop(): void;
  /**
   * Stops one task of a worker that has many at once, which goes on. It answers
   * `Kind.RELEASED` with that number when it does not look at the record any more.
   */
  stopTask?(task: Task, number: number): void;
  /** Tells one that has many tasks at once that the pool ends; what was posted before comes first. */
  leave?(): void;
  /**
   * Blocks until a task that was sent ahead has the STATE of one that runs, if it
   * does; for a worker that hears of it later than others may.
   */
  catchUp?(task: Task): void;
  /** Ends a worker that has not done what it was told; returns whether that is possible. */
  kill(): boolean;
  /** Whether the worker keeps the process alive. */
  setRef(isRef: boolean): void;
  /** Frees what is left of a worker that has ended, or is idle. */
  end(): void;
}

/** How a worker of a pool is started. */
export interface WorkerStart {
  readonly number: number;
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly bell: Int32Array<SharedArrayBuffer>;
  /** All memory there is, and how many messages told of it and of what is gone. */
  readonly chunks: readonly ChunkMessage[];
  readonly posted: number;
  /** Called where the worker fails without having said so itself. */
  readonly onFailure: (link: WorkerLink, error: unknown) => void;
}
