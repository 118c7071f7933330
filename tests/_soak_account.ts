/**
 * A task of the soak: what it may come to, and what came of it.
 *
 * @module
 */

import type { Future } from "../mod.ts";

/** A task, and what it may come to. */
export interface Call {
  readonly kind: string;
  /** Its number, by which its runs are counted. */
  readonly id: number;
  /** Says what is wrong with a value; absent where the task never returns. */
  readonly value?: (value: unknown, id: number) => string | undefined;
  /** Says what is wrong with an error of its own; absent where it has none. */
  readonly error?: (error: unknown, id: number) => string | undefined;
  /** How often it has run where it failed by `error`: once, unless this says otherwise. */
  readonly errorRuns?: Bounds;
  /** Whether each run may end a worker. */
  readonly isDeadly?: boolean;
  /** What may stop it. */
  readonly signal?: AbortSignal;
}

/** Least and most. */
export type Bounds = readonly [least: number, most: number];

/** What came of a task. */
export type Outcome =
  | { readonly state: "finished"; readonly value: unknown }
  | { readonly state: "failed"; readonly error: unknown }
  | { readonly state: "cancelled"; readonly error?: unknown };

/** The columns of the table: the first is what finished, the last what was cancelled. */
export const LABELS = [
  "finished",
  "threw",
  "unsendable",
  "timed out",
  "lost",
  "broken",
  "cancelled",
] as const;
export type Label = typeof LABELS[number];

/** A task in the books. */
export class Account {
  /** Without its checks once all is told, as these may hold on to what was sent. */
  call: Call;
  /** Dropped once all is told, as results may be large. */
  future: Future<unknown> | undefined;
  /** Whether it has a future of its own. */
  readonly isFollowed: boolean;
  /** How often its done callback was called, and what that saw. */
  callbacks = 0;
  told: Outcome | undefined;
  /** Whether a `cancel()` of ours returned `true`. */
  isCancelled = false;
  label: Label | undefined;
  /** How often it must have run. */
  runs: Bounds = [0, 1];

  constructor(call: Call, future?: Future<unknown>) {
    this.call = call;
    this.future = future;
    this.isFollowed = future !== undefined;
  }

  /** Lets go of all that is not needed for the books. */
  forget(): void {
    const { kind, id, isDeadly } = this.call;
    this.call = { kind, id, isDeadly };
    this.future = this.told = undefined;
  }
}

/** What a future's state is now, without waiting; `undefined` where it is not done. */
export function peek(future: Future<unknown>): Outcome | undefined {
  if (!future.done()) return undefined;
  if (future.cancelled()) return { state: "cancelled" };
  const error = future.exceptionSync({ timeout: 0 });
  if (error !== null) return { state: "failed", error };
  return { state: "finished", value: future.resultSync({ timeout: 0 }) };
}

/** Whether two were told the very same. */
export function isSame(outcome: Outcome, other: Outcome | undefined): boolean {
  if (other === undefined || outcome.state !== other.state) return false;
  switch (outcome.state) {
    case "finished":
      return Object.is(outcome.value, (other as typeof outcome).value);
    case "failed":
      return Object.is(outcome.error, (other as typeof outcome).error);
    case "cancelled":
      return true; // each who asks gets an error of his own
  }
}

/** Says it in words, for a message. */
export function show(outcome: Outcome | undefined): string {
  return Deno.inspect(outcome, {
    strAbbreviateSize: 300,
    depth: 2,
    iterableLimit: 5,
  });
}
