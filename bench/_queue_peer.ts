/**
 * One small interface over two queues that a server keeps: BullMQ's on Redis, and
 * this module's on NATS.
 *
 * @module
 */

import type { Program } from "./_program.ts";

/** How many threads a program runs tasks in, where it runs them in threads. */
export const WORKERS = 8;

/** How many jobs a worker of BullMQ has at once, where it runs them in its event loop. */
export const JOBS_AT_ONCE = 100;

/** What workers of a queue may be told. */
export interface Lease {
  /** How long a worker that says nothing is taken to be alive. */
  readonly leaseMs: number;
  /** How often it is looked for workers that are dead, where that is to be set. */
  readonly checkMs?: number;
}

/** A queue, and the programs that work on it. */
export interface QueuePeer {
  readonly name: string;
  /** Runs one `add`. */
  add(a: number, b: number): PromiseLike<number>;
  /** Runs `add(i, 1)` for so many `i`, all at once; results in that order. */
  addMany(count: number): readonly PromiseLike<number>[];
  /** Runs one `pass`. */
  pass(gate: string): PromiseLike<number>;
  /** Starts a program that works on the queue, and waits until it is ready. */
  startWorker(): Promise<Program>;
  /** Ends what the caller has of the queue. */
  stop(): Promise<void>;
}
