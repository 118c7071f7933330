/**
 * A task as its pool sees it: what stands behind a future until it is done.
 *
 * @module
 */

import type { Registration } from "./_callables.ts";
import type { OwnedChunk } from "./_chunks.ts";
import type { Payload } from "./_codec.ts";
import type { Driver } from "./_future_access.ts";
import { Record, State } from "./_layout.ts";
import type { Timing } from "./_meter.ts";
import type { Place } from "./_record.ts";
import type { Future } from "./future.ts";

/** What a task needs of its pool. */
export interface TaskOwner {
  /** Cancels a task that no worker has claimed; returns whether it was so. */
  cancelTask(task: Task): boolean;
  /** Sees to it that the STATE of a task that was sent ahead is as it is there. */
  catchUp(task: Task): void;
}

/** A task that is not settled. */
export class Task implements Driver {
  readonly #owner: TaskOwner;
  readonly future: Future<unknown>;
  /** Its place in the pool's table, which comes back with the outcome. */
  readonly index: number;
  readonly registration: Registration;
  /** Where its record lies. */
  readonly chunk: OwnedChunk;
  readonly at: number;
  /** The chunk of a payload that has one of its own. */
  readonly payload: OwnedChunk | undefined;
  /** How many calls a chunk of `map` has; 0 for a task that is none. */
  readonly rows: number;
  /** What only some tasks have: a signal, a time limit, objects to move, times. */
  extras: TaskExtras | undefined;

  constructor(
    owner: TaskOwner,
    future: Future<unknown>,
    index: number,
    registration: Registration,
    { chunk, at, payload }: Place,
    rows: number,
  ) {
    this.#owner = owner;
    this.future = future;
    this.index = index;
    this.registration = registration;
    this.chunk = chunk;
    this.at = at;
    this.payload = payload;
    this.rows = rows;
  }

  /** The record's STATE word. */
  get state(): number {
    return Atomics.load(this.chunk.words, this.at + Record.STATE);
  }

  cancel(): boolean {
    return this.#owner.cancelTask(this);
  }

  isRunning(): boolean {
    if (isSentState(this.state)) this.#owner.catchUp(this);
    return this.isKnownToRun();
  }

  /** The same, for all that is known here and now. */
  isKnownToRun(): boolean {
    const { state } = this;
    // Done, but its outcome not taken in: to the caller it still runs.
    return state === State.DONE || isRunningState(state);
  }

  isReady(): boolean {
    return this.state === State.DONE;
  }
}

const LOW_BITS = (1 << State.SHIFT) - 1;

/** Whether a STATE is that of a task which a worker runs. */
export function isRunningState(state: number): boolean {
  return (state & LOW_BITS) === State.RUNNING;
}

/** Whether a STATE is that of a task which was sent ahead to a worker. */
export function isSentState(state: number): boolean {
  return (state & LOW_BITS) === State.SENT;
}

/** What only some tasks have. */
export interface TaskExtras {
  /** Longest run in milliseconds. */
  readonly timeoutMs: number;
  /** When, by `performance.now()`, its time runs out; `Infinity` before it starts. */
  deadline: number;
  timer: ReturnType<typeof setTimeout> | undefined;
  /** Removes the listener from the signal. */
  forgetSignal: (() => void) | undefined;
  /** Objects to move to the worker that asks for them. */
  moved: readonly unknown[];
  /** Numbers of the objects that it shares with its worker. */
  readonly shared: readonly number[] | undefined;
  /** For a chunk: what the call after its last one fails with. */
  readonly afterwards: [error: unknown] | undefined;
  /** Whether it stands for a task elsewhere, so that only a worker can cancel it. */
  readonly isElsewhere: boolean;
  /** When it was submitted, and when it ran. */
  readonly timing: Timing | undefined;
}

/** What a call asks for beyond its function and arguments. */
export interface TaskRequest {
  /** How many calls a chunk of `map` has; 0 for a task that is none. */
  readonly rows: number;
  readonly signal?: AbortSignal;
  /** Longest run in milliseconds; `Infinity` for none. */
  readonly timeoutMs: number;
  /** For a chunk: what the call after its last one fails with. */
  readonly afterwards?: [error: unknown];
  /** Whether it stands for a task elsewhere. */
  readonly isElsewhere?: boolean;
}

/** Returns what only some tasks have, where this one has any of it. */
export function makeExtras(
  payload: Payload,
  request: TaskRequest | undefined,
  shared: readonly number[] | undefined,
  timing: Timing | undefined,
): TaskExtras | undefined {
  const timeoutMs = request?.timeoutMs ?? Infinity;
  if (
    timeoutMs === Infinity && payload.moved.length === 0 &&
    shared === undefined && timing === undefined &&
    request?.signal === undefined && request?.afterwards === undefined &&
    !request?.isElsewhere
  ) return undefined;
  return {
    timeoutMs,
    deadline: Infinity,
    timer: undefined,
    forgetSignal: undefined,
    moved: payload.moved,
    shared,
    afterwards: request?.afterwards,
    isElsewhere: request?.isElsewhere ?? false,
    timing,
  };
}
