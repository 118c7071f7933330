/**
 * The rows of a bundle on a node: quick tasks, that run one by one in its local
 * pool. Where they take longer than they should, those that have not begun are
 * given to others, and those that run go on by themselves.
 *
 * ```text
 *  all in the pool --all done in time--> one result for all
 *        |
 *        | not in time
 *        v
 *  done: one result | not begun: each published as a task | running: a result each
 * ```
 *
 * @module
 */

import type { LocalCall, LocalPool } from "./_nats_local.ts";
import type { Outcome } from "./_nats_task.ts";
import type { Future } from "./future.ts";
import { CancelledError } from "./errors.ts";

/** How long a bundle may take; a few times what its caller has meant it to. */
const IN_TIME_MS = 20;

/** What came of a row: what the pool returned, or failed with. */
export type RowEnd =
  | { readonly outcome: Outcome }
  | { readonly error: unknown };

/** Where the rows of a bundle come from, and where they go; rows by their places. */
export interface BundlePort {
  /** How many there are. */
  readonly count: number;
  callOf(row: number): LocalCall;
  /** Tells what came of rows, in one result. */
  tellTogether(ends: ReadonlyMap<number, RowEnd>): Promise<void>;
  /** Tells what came of one row that has run for long. */
  tellOne(row: number, end: RowEnd): Promise<void>;
  /** A row runs for long, with a slot of its own. */
  onLong(row: number): void;
  /** A row with a slot of its own is over. */
  onLongEnd(): void;
  /** Gives a row to another node. */
  passOn(row: number): Promise<void>;
}

/** The rows of a bundle while they run. */
export class Bundle {
  readonly #port: BundlePort;
  readonly #futures: Future<Outcome>[] = [];
  readonly #controllers: AbortController[] = [];
  /** Rows that are not over. Not asked of the futures: `done()` may take in others, whose callbacks ask again. */
  readonly #open = new Set<number>();
  readonly #ends = new Map<number, RowEnd>();
  readonly #allDone = Promise.withResolvers<void>();
  /** What is told of rows by themselves. */
  readonly #told: Promise<void>[] = [];
  /** Rows that run by themselves. */
  readonly #long = new Set<number>();
  /** Whether it is too late for one result for all. */
  #isLate = false;

  constructor(port: BundlePort, pool: LocalPool) {
    this.#port = port;
    for (let row = 0; row < port.count; row++) this.#open.add(row);
    for (let row = 0; row < port.count; row++) {
      const controller = new AbortController();
      const { signal } = controller;
      const future = pool.submit({ signal }, port.callOf(row));
      this.#controllers.push(controller);
      this.#futures.push(future);
      future.addDoneCallback(() => this.#onDone(row));
    }
  }

  /** Rows that run for long. */
  get long(): Iterable<number> {
    return this.#long;
  }

  /** Stops a row, as its caller wants; its result is told by the caller. */
  stop(row: number): void {
    this.#controllers[row].abort();
  }

  /** Remembers what is being told; `run` rejects as it does, and nobody before. */
  #tell(telling: Promise<void>): void {
    telling.catch(() => {});
    this.#told.push(telling);
  }

  /** Resolves once all rows are over, and told. */
  async run(): Promise<void> {
    const timer = setTimeout(() => this.#part(), IN_TIME_MS);
    await this.#allDone.promise;
    clearTimeout(timer);
    if (!this.#isLate) await this.#port.tellTogether(this.#ends);
    await Promise.all(this.#told);
  }

  #onDone(row: number): void {
    const end = endOf(this.#futures[row], this.#controllers[row].signal);
    if (this.#long.delete(row)) {
      if (end !== undefined) this.#tell(this.#port.tellOne(row, end));
      this.#port.onLongEnd();
    } else if (end !== undefined) this.#ends.set(row, end);
    this.#open.delete(row);
    if (this.#open.size === 0) this.#allDone.resolve();
  }

  /** Parts with what has not begun, and tells what is done. */
  #part(): void {
    const left: number[] = [];
    for (const row of [...this.#open]) {
      if (this.#futures[row].cancel()) left.push(row);
      else if (this.#open.has(row)) {
        this.#long.add(row);
        this.#port.onLong(row);
      }
    }
    // ORDER: after the loop, as to cancel one row may bring others to their end.
    this.#isLate = true;
    if (this.#ends.size > 0) {
      this.#tell(this.#port.tellTogether(this.#ends));
    }
    for (const row of left) this.#tell(this.#port.passOn(row));
  }
}

/** What came of a row; nothing where it was stopped, or taken back. */
function endOf(
  future: Future<Outcome>,
  signal: AbortSignal,
): RowEnd | undefined {
  if (future.cancelled()) return undefined;
  try {
    return { outcome: future.resultSync() };
  } catch (error) {
    return signal.aborted && error instanceof CancelledError
      ? undefined
      : { error };
  }
}
