/**
 * The kinds of the soak that take many tasks together: `map`, and waits for several, some of them
 * blocking.
 *
 * @module
 */

import {
  ALL_COMPLETED,
  asCompleted,
  BrokenExecutor,
  CancelledError,
  FIRST_COMPLETED,
  type MapOptions,
  type MapResults,
  type ReturnWhen,
  RuntimeError,
  TimeoutError,
  wait,
  waitSync,
} from "../mod.ts";
import type { Account } from "./_soak_account.ts";
import {
  type Bench,
  type Kind,
  must,
  submitTimed,
  submitTiny,
  tasksOf,
} from "./_soak_kinds.ts";
import type { Random } from "./_soak_random.ts";
import { SoakError } from "./_soak_tasks.ts";

/** How long a blocking wait may take before something is taken for lost. */
const LOST_MS = 60_000;

/** Goes on with something beside, to be waited for at the end. */
function goOn(bench: Bench, job: Promise<void>): void {
  const noted = job.catch((error) =>
    bench.ledger.blame(undefined, `a wait failed: ${Deno.inspect(error)}`)
  ).finally(() => bench.jobs.delete(noted));
  bench.jobs.add(noted);
}

// ------------------------------------------------------------------------ map

/** The rows of one `map` call, and how far its consumer has come. */
class Rows {
  readonly #bench: Bench;
  readonly #accounts: Account[];
  readonly #numbers: readonly number[];
  readonly #isBuffered: boolean;
  #seen = 0;

  constructor(
    bench: Bench,
    ids: readonly number[],
    numbers: readonly number[],
    isBuffered: boolean,
  ) {
    this.#bench = bench;
    this.#numbers = numbers;
    this.#isBuffered = isBuffered;
    this.#accounts = ids.map((id, i) =>
      bench.ledger.open({
        kind: "map",
        id,
        value: numbers[i] < 0 ? undefined : must(numbers[i] ** 2),
        error: (error) => this.#judge(error, id, numbers[i]),
      })
    );
  }

  #judge(error: unknown, id: number, number: number): string | undefined {
    const isOwn = error instanceof SoakError && error.id === id && number < 0;
    return isOwn ? undefined : "must throw its SoakError where it is negative";
  }

  /** Takes in the next value. */
  onValue(value: unknown): void {
    const account = this.#accounts[this.#seen++];
    if (account === undefined) {
      this.#bench.ledger.blame(undefined, "map gave more values than rows");
    } else this.#bench.ledger.settle(account, { state: "finished", value });
  }

  /** Takes in what was thrown in place of the next value. */
  onError(error: unknown): void {
    const account = this.#accounts[this.#seen];
    const { ledger, isShut } = this.#bench;
    const isRefused = error instanceof RuntimeError &&
      !(error instanceof BrokenExecutor);
    // Tasks that a shut pool refuses are rows after this one, or this one.
    if (isRefused && isShut && this.#isBuffered) return;
    if (account === undefined) {
      return ledger.blame(undefined, `map threw after its last row: ${error}`);
    }
    this.#seen++;
    const state = error instanceof CancelledError ? "cancelled" : "failed";
    ledger.settle(account, { state, error });
  }

  /** What was not consumed; it has run at most once. */
  onEnd(isStopped: boolean): void {
    const { ledger } = this.#bench;
    if (!isStopped && this.#seen < this.#numbers.length) {
      ledger.blame(this.#accounts[this.#seen], "map ended before this row");
    }
    for (const account of this.#accounts.slice(this.#seen)) {
      ledger.drop(account);
    }
  }
}

function submitMap(bench: Bench, random: Random): void {
  const { square } = tasksOf(random);
  const count = random.whole(1, 40);
  const ids = Array.from({ length: count }, () => bench.nextId());
  const numbers = ids.map(() =>
    random.chance(0.005) ? -1 : random.whole(0, 1000)
  );
  const options: MapOptions = {};
  if (random.chance(0.5)) options.chunkSize = random.whole(1, 12);
  if (random.chance(0.4)) options.bufferSize = random.whole(1, 10);
  const isBlocked = random.chance(0.15);
  if (isBlocked) options.timeout = LOST_MS;
  const most = random.chance(0.3) ? random.whole(1, count) : Infinity;
  const logs = ids.map(() => bench.log);
  const results = bench.pool.map(square, logs, ids, numbers, options);
  const rows = new Rows(bench, ids, numbers, options.bufferSize !== undefined);
  if (isBlocked) consumeSync(results, rows, most);
  else goOn(bench, consume(results, rows, most));
}

async function consume(
  results: MapResults<number>,
  rows: Rows,
  most: number,
): Promise<void> {
  let count = 0;
  try {
    for await (const value of results) {
      rows.onValue(value);
      if (++count === most) break;
    }
    rows.onEnd(count === most);
  } catch (error) {
    rows.onError(error);
    rows.onEnd(true);
  }
}

function consumeSync(
  results: MapResults<number>,
  rows: Rows,
  most: number,
): void {
  let count = 0;
  try {
    for (const value of results) {
      rows.onValue(value);
      if (++count === most) break;
    }
    rows.onEnd(count === most);
  } catch (error) {
    rows.onError(error);
    rows.onEnd(true);
  }
}

// ---------------------------------------------------------------------- waits

function blockForOne(bench: Bench, random: Random): void {
  const { account, future } = random.chance(0.5)
    ? submitTiny(bench, random, "block")
    : submitTimed(bench, random, "async", 10, { kind: "block" });
  try {
    if (random.chance(0.5)) future.resultSync({ timeout: LOST_MS });
    else future.exceptionSync({ timeout: LOST_MS });
  } catch (error) {
    if (!(error instanceof TimeoutError) && future.done()) return; // as the accounts say
    bench.ledger.blame(account, `was blocked for, and: ${error}`);
  }
  if (!future.done()) {
    bench.ledger.blame(account, "must be done: it was waited for");
  }
}

function blockForSome(bench: Bench, random: Random): void {
  submitTiny(bench, random);
  const futures = [...bench.recent];
  const returnWhen = random.pick<ReturnWhen>([ALL_COMPLETED, FIRST_COMPLETED]);
  const { done, notDone } = waitSync(futures, { returnWhen, timeout: LOST_MS });
  const isEnough = returnWhen === ALL_COMPLETED
    ? notDone.size === 0
    : done.size > 0;
  const isWhole = done.size + notDone.size === new Set(futures).size;
  if (isEnough && isWhole) return;
  bench.ledger.blame(
    undefined,
    `waitSync(${returnWhen}) of ${futures.length}: ${done.size} done, ${notDone.size} not`,
  );
}

async function awaitSome(bench: Bench, random: Random): Promise<void> {
  const futures = new Set(bench.recent);
  if (random.chance(0.5)) {
    const { done, notDone } = await wait(futures);
    if (done.size === futures.size && notDone.size === 0) return;
    bench.ledger.blame(undefined, "wait() must give every future as done");
  } else {
    for await (const future of asCompleted(futures)) {
      if (!future.done() || !futures.delete(future)) {
        bench.ledger.blame(
          undefined,
          "asCompleted() must give each once, done",
        );
      }
    }
    if (futures.size === 0) return;
    bench.ledger.blame(undefined, "asCompleted() must give every future");
  }
}

/** The kinds that take many tasks together, or block. */
export const TOGETHER: readonly Kind[] = [
  { name: "map", weight: 8, submit: submitMap },
  { name: "block", isSlow: true, weight: 6, submit: blockForOne },
  { name: "block for some", isSlow: true, weight: 2, submit: blockForSome },
  {
    name: "await some",
    weight: 6,
    submit: (bench, random) => {
      submitTiny(bench, random);
      goOn(bench, awaitSome(bench, random));
    },
  },
];
