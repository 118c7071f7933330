/**
 * The rows of a bundle on a node: what they are, where their results go, and how
 * they become tasks by themselves. `_nats_bundle.ts` runs them.
 *
 * @module
 */

import { Bundle, type BundlePort, type RowEnd } from "./_nats_bundle.ts";
import { hasResult } from "./_nats_claim.ts";
import { type Ending, endingOf, type Teller } from "./_nats_ending.ts";
import { isByItself, rowsWithResult } from "./_nats_exhausted.ts";
import type { Link } from "./_nats_link.ts";
import type { LocalCall, LocalPool } from "./_nats_local.ts";
import {
  type Frame,
  type PayloadPart,
  readStart,
  type Row,
  siblingId,
  type TaskHeader,
  writeFrame,
} from "./_nats_protocol.ts";
import type { Store } from "./_nats_store.ts";
import { pass } from "./_nats_task.ts";
import { BrokenExecutor } from "./errors.ts";

/** The slots of a node: so many tasks at once. */
export interface Slots {
  /** Takes another slot, whether there is one or not. */
  occupy(): void;
  /** Gives a slot back. */
  free(): void;
}

/** What rows need of their node. */
export interface RowsParts {
  readonly store: Store;
  readonly link: Link;
  readonly teller: Teller;
}

/** The rows of a bundle. */
export class BundleRows {
  readonly #parts: RowsParts;
  readonly #id: string;
  readonly #header: TaskHeader;
  readonly #rows: readonly Row[];
  /** Definition, and both of the initializer; then the rows' arguments. */
  readonly #common: readonly Uint8Array[];
  readonly #arguments: readonly Uint8Array[];
  readonly #attempt: number;
  #bundle: Bundle | undefined;

  /**
   * @param id The bundle's.
   * @param attempt Which delivery of it this is, from 1, those counted before it was passed on.
   */
  constructor(
    parts: RowsParts,
    id: string,
    { header, parts: all }: Frame<TaskHeader>,
    attempt: number,
  ) {
    this.#parts = parts;
    this.#id = id;
    this.#header = header;
    this.#rows = header.rows!;
    const end = all.length - this.#rows.length;
    const [definition, , ...initializer] = all.slice(0, end);
    this.#common = [definition, ...initializer];
    this.#arguments = all.slice(end);
    this.#attempt = attempt;
  }

  /** Runs them, and tells what comes of them. */
  async run(call: LocalCall, pool: LocalPool, slots: Slots): Promise<void> {
    try {
      this.#bundle = new Bundle(this.#makePort(call, pool, slots), pool);
    } catch (error) {
      if (!(error instanceof BrokenExecutor)) throw error;
      // It broke just before: they fail as those do that run in it.
      const ends = this.#rows.map((_, row) => [row, { error }] as const);
      return await this.#tellTogether(new Map(ends), pool);
    }
    await this.#bundle.run();
  }

  #makePort(call: LocalCall, pool: LocalPool, slots: Slots): BundlePort {
    const { teller } = this.#parts;
    let hasLong = false;
    return {
      count: this.#rows.length,
      callOf: (row) => ({
        ...call,
        args: pass(this.#partOf(row), this.#arguments[row]),
        isChunk: false,
      }),
      tellTogether: (ends) => this.#tellTogether(ends, pool),
      tellOne: (row, end) =>
        teller.tell(this.#idOf(row), this.#endingOf(end, pool), this.#attempt),
      onLong: (row) => {
        if (hasLong) slots.occupy();
        hasLong = true; // the first one has that of the bundle
        teller.tellStarted(this.#idOf(row));
      },
      onLongEnd: () => slots.free(),
      passOn: (row) => this.#passOn(row),
    };
  }

  #idOf(row: number): string {
    return siblingId(this.#id, this.#rows[row][0]);
  }

  #partOf(row: number): PayloadPart {
    const [, format, textBytes, buffers] = this.#rows[row];
    return { format, textBytes, buffers };
  }

  #endingOf(end: RowEnd, pool: LocalPool): Ending {
    return "error" in end
      ? this.#parts.teller.endingOfFailure(pool, end.error, this.#header.name)
      : endingOf(end.outcome);
  }

  async #tellTogether(
    ends: ReadonlyMap<number, RowEnd>,
    pool: LocalPool,
  ): Promise<void> {
    if (ends.size === 0) return; // all were stopped
    const endings = Array.from(
      ends,
      ([row, end]) => [this.#rows[row][0], this.#endingOf(end, pool)] as const,
    );
    await this.#parts.teller.tellTogether(this.#id, endings, this.#attempt);
  }

  /** The node that had the bundle is dead: what has no result goes by itself. */
  async takeApart(): Promise<void> {
    const { link, store } = this.#parts;
    const done = await link.insist(
      "look for results",
      () => rowsWithResult(store, this.#id),
    );
    for (const row of this.#rows.keys()) {
      const id = this.#idOf(row);
      const isDone = done.has(id) || await link.insist(
        "look for a result",
        async () => await hasResult(store, id) || await isByItself(store, id),
      );
      if (!isDone) await this.#passOn(row);
    }
  }

  /** Publishes a row as a task; whoever does it again is not heard. */
  async #passOn(row: number): Promise<void> {
    const { link, store: { publisher, names } } = this.#parts;
    const [definition, ...initializer] = this.#common;
    const parts = [definition, this.#arguments[row], ...initializer];
    const id = this.#idOf(row);
    // Not the id: an entry of that name may be of a time before the bundle.
    const key = `${id}-${this.#header.key.slice(id.indexOf(".") + 1)}`;
    const frame = writeFrame({
      ...this.#header,
      key,
      arguments: this.#partOf(row),
      rows: undefined,
      spent: this.#attempt - 1,
      parts: parts.map(({ length }) => length),
    }, parts);
    const condition = { id: key };
    await link.insist(
      "pass a task on",
      () => publisher.publish(names.task(id), frame, condition),
    );
  }

  /** Stops a row, if it is one of these. */
  stop(id: string): void {
    const row = this.#rows.findIndex((_, row) => this.#idOf(row) === id);
    if (row >= 0) this.#bundle?.stop(row);
  }

  /** Stops all that run, as nobody can be told what comes of them. */
  stopAll(): void {
    for (const row of this.#rows.keys()) this.#bundle?.stop(row);
  }

  /** Makes good orders to stop rows that got lost. */
  async lookAfter(): Promise<void> {
    for (const row of this.#bundle?.long ?? []) {
      const entry = await this.#parts.store.starts.get(this.#idOf(row));
      const start = entry === null ? undefined : readStart(entry.value);
      if (start?.state === "stopped") this.#bundle!.stop(row);
    }
  }
}
