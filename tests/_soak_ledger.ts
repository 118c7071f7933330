/**
 * The accounts of the soak: what was submitted to one pool, what came of it, and whether that may be.
 *
 * @module
 */

import {
  type BrokenExecutor,
  CancelledError,
  type Future,
  SerializationError,
  TimeoutError,
} from "../mod.ts";
import {
  Account,
  type Bounds,
  type Call,
  isSame,
  type Label,
  type Outcome,
  peek,
  show,
} from "./_soak_account.ts";

/** What a ledger must know of its pool. */
export interface LedgerOptions {
  /** For messages: which pool, which generation. */
  readonly name: string;
  readonly Broken: new (message: string) => BrokenExecutor;
  /** Whether one death may break the pool. */
  readonly mayBreak: boolean;
  /** Where to write down what is wrong, in words. */
  readonly violations: string[];
  /** Called with each task that is submitted or has come to an end. */
  readonly onChange?: (account: Account) => void;
}

/** The accounts of one pool, from its start to its end. */
export class Ledger {
  readonly #options: LedgerOptions;
  readonly #accounts = new Map<number, Account>();
  readonly #pending = new Set<Account>();
  #wake = Promise.withResolvers<void>();

  /** How many workers were killed from outside. */
  kills = 0;
  /** Whether `shutdown` was told to cancel what is pending. */
  cancelsPending = false;
  /** Whether all that is pending may fail: its workers are told to end, or can't begin. */
  mayFailAll = false;
  /** Whether the pool refused a task as it was broken. */
  wasBroken = false;

  constructor(options: LedgerOptions) {
    this.#options = options;
  }

  /** How many tasks were taken in. */
  get submitted(): number {
    return this.#accounts.size;
  }

  /** Tasks that have come to no end. */
  get pending(): readonly Account[] {
    return [...this.#pending];
  }

  /** How many have come to no end. */
  get inFlight(): number {
    return this.#pending.size;
  }

  /** Settles when the next task comes to an end, or soon where something is wrong. */
  change(): Promise<void> {
    return this.#wake.promise;
  }

  /** Writes down what is wrong with a task. */
  blame(account: Account | undefined, what: string): void {
    const task = account === undefined
      ? ""
      : `, ${account.call.kind} ${account.call.id}`;
    this.#options.violations.push(`${this.#options.name}${task}: ${what}`);
    this.#notify();
  }

  // ----------------------------------------------------------------- taking in

  /** Takes in a task with its future, and follows that to its end. */
  take(call: Call, future: Future<unknown>): Account {
    const account = this.open(call, future);
    future.addDoneCallback((same) => this.#onCallback(account, future, same));
    future.result().then(
      (value) => this.#onPromise(account, { state: "finished", value }),
      (error) => {
        const state = future.cancelled() ? "cancelled" : "failed";
        this.#onPromise(account, { state, error });
      },
    );
    return account;
  }

  /** Takes in a task whose future is somebody else's, as those of `map` are: `settle` follows. */
  open(call: Call, future?: Future<unknown>): Account {
    const account = new Account(call, future);
    if (this.#accounts.has(call.id)) this.blame(account, "was taken in twice");
    this.#accounts.set(call.id, account);
    this.#pending.add(account);
    this.#options.onChange?.(account);
    return account;
  }

  /** Cancels a task; from then on it must never have run. */
  cancel(account: Account): void {
    const { future } = account;
    if (future === undefined) return;
    const wasCancelled = future.cancelled();
    const answer = future.cancel();
    if (answer !== future.cancelled()) {
      this.blame(account, `cancel() said ${answer}, cancelled() the contrary`);
    }
    if (!answer || wasCancelled) return;
    account.isCancelled = true;
    if (account.callbacks !== 1) {
      this.blame(
        account,
        `cancel() must call its callback once: ${account.callbacks}`,
      );
    }
  }

  #onCallback(
    account: Account,
    future: Future<unknown>,
    same: Future<unknown>,
  ): void {
    account.callbacks++;
    if (same !== future) this.blame(account, "its callback got another future");
    account.told = peek(future);
    if (account.told === undefined) {
      this.blame(account, "its callback was called before it was done");
    }
    this.#notify(); // this thread may be blocked, so that promises wait
  }

  #onPromise(account: Account, outcome: Outcome): void {
    const { future, told } = account;
    const now = peek(future!);
    for (const [who, other] of [["callback", told], ["state", now]] as const) {
      if (!isSame(outcome, other)) {
        this.blame(
          account,
          `its promise and its ${who} must tell the same: ${
            show(outcome)
          } and ${show(other)}`,
        );
      }
    }
    if (
      outcome.state === "cancelled" &&
      !(outcome.error instanceof CancelledError)
    ) {
      this.blame(account, `must reject with CancelledError: ${show(outcome)}`);
    }
    this.settle(account, outcome);
  }

  // ------------------------------------------------------------------- judging

  /** Writes down what came of a task, and whether that may be. */
  settle(account: Account, outcome: Outcome): void {
    if (account.label !== undefined) {
      return this.blame(account, `ended twice: ${show(outcome)}`);
    }
    this.#judge(account, outcome);
    this.#end(account);
  }

  #end(account: Account): void {
    account.forget();
    this.#pending.delete(account);
    this.#options.onChange?.(account);
    this.#notify();
  }

  /** Writes a task off that nobody looks at any more: a row of `map` after its consumer stopped. */
  drop(account: Account): void {
    account.label = "cancelled";
    account.runs = [0, 1];
    this.#end(account);
  }

  #judge(account: Account, outcome: Outcome): void {
    const { call } = account;
    if (outcome.state === "cancelled") {
      account.label = "cancelled";
      account.runs = this.#judgeCancelled(account, outcome.error);
    } else if (account.isCancelled) {
      account.label = "cancelled";
      this.blame(account, `was cancelled, but came to ${show(outcome)}`);
    } else if (outcome.state === "finished") {
      account.label = "finished";
      account.runs = [1, 1];
      const wrong = call.value === undefined
        ? "must never return"
        : call.value(outcome.value, call.id);
      if (wrong !== undefined) {
        this.blame(account, `${wrong}: ${show(outcome)}`);
      }
    } else this.#judgeFailed(account, outcome.error);
  }

  #judgeCancelled({ call, isCancelled }: Account, error: unknown): Bounds {
    if (isCancelled) return [0, 0];
    if (call.signal?.aborted) {
      const { cause } = error as Error;
      if (cause !== call.signal.reason) {
        this.blame(
          this.#accounts.get(call.id),
          "the error of a stopped task must have the signal's reason as its cause",
        );
      }
      return [0, 1];
    }
    if (!this.cancelsPending) {
      this.blame(this.#accounts.get(call.id), "nobody has cancelled it");
    }
    return [0, 0];
  }

  #judgeFailed(account: Account, error: unknown): void {
    const { call } = account;
    if (error instanceof this.#options.Broken) {
      // The task of a worker that died, or one of all that were pending.
      const isAll = error.message.includes("the pool is broken");
      account.label = isAll ? "broken" : "lost";
      account.runs = [0, 1];
      return;
    }
    account.label = error instanceof TimeoutError
      ? "timed out"
      : error instanceof SerializationError
      ? "unsendable"
      : "threw";
    account.runs = call.errorRuns ?? [1, 1];
    const wrong = call.error === undefined
      ? "must throw nothing of its own"
      : call.error(error, call.id);
    if (wrong !== undefined) {
      this.blame(account, `${wrong}: ${show({ state: "failed", error })}`);
    }
  }

  // ------------------------------------------------------------------- closing

  /** Says what is wrong where a pool is said to have ended: every future must be done. */
  checkAllDone(): void {
    for (const account of this.#pending) {
      if (account.future?.done() === false) {
        this.blame(account, "shutdown() ended, and it is not done");
      }
    }
  }

  /**
   * Closes the books, with how often each task has run.
   *
   * @returns How many times a worker was brought to its end, all told.
   */
  close(runs: ReadonlyMap<number, number>): number {
    const counts = new Map<Label, number>();
    let deaths = this.kills;
    for (const account of this.#accounts.values()) {
      const ran = runs.get(account.call.id) ?? 0;
      this.#checkEnd(account, ran);
      if (account.call.isDeadly) deaths += ran;
      if (account.label !== undefined) {
        counts.set(account.label, (counts.get(account.label) ?? 0) + 1);
      }
    }
    for (const id of runs.keys()) {
      if (!this.#accounts.has(id)) {
        this.blame(undefined, `task ${id} ran and was never taken in`);
      }
    }
    this.#checkDeaths(deaths, counts);
    return deaths;
  }

  #checkEnd(account: Account, ran: number): void {
    const { label, callbacks, runs: [least, most], call, isFollowed } = account;
    if (label === undefined) this.blame(account, "was lost: no end to it");
    if (isFollowed && callbacks !== 1) {
      this.blame(account, `its callback was called ${callbacks} times`);
    }
    if (ran < least || ran > most) {
      this.blame(
        account,
        `${label} (${call.kind}) must have run ${least} to ${most} times: ${ran}`,
      );
    }
  }

  /** One death costs one task at the most, unless it breaks the pool. */
  #checkDeaths(deaths: number, counts: ReadonlyMap<Label, number>): void {
    const lost = counts.get("lost") ?? 0, broken = counts.get("broken") ?? 0;
    if (lost > deaths) {
      this.blame(
        undefined,
        `${deaths} deaths cost ${lost} tasks: one each at most`,
      );
    }
    // A process that is killed while it starts breaks the pool under "replace" too.
    const mayBreak = this.mayFailAll || this.kills > 0 ||
      (this.#options.mayBreak && deaths > 0);
    if ((broken > 0 || this.wasBroken) && !mayBreak) {
      this.blame(
        undefined,
        `${broken} tasks failed with a broken pool that nothing broke`,
      );
    }
  }

  #notify(): void {
    const { resolve } = this.#wake;
    this.#wake = Promise.withResolvers();
    resolve();
  }
}
