/**
 * The kinds of tasks of the soak that throw, are stopped, or end their worker.
 *
 * @module
 */

import { SerializationError, TimeoutError } from "../mod.ts";
import type { Call } from "./_soak_account.ts";
import {
  type Bench,
  isId,
  type Kind,
  submitTimed,
  submitTiny,
  take,
  tasksOf,
} from "./_soak_kinds.ts";
import type { Random } from "./_soak_random.ts";
import { type Death, SoakError } from "./_soak_tasks.ts";

/** Says what is wrong unless an error is of a class. */
function mustBe(
  ErrorClass: typeof TimeoutError | typeof SerializationError,
): (error: unknown) => string | undefined {
  return (error) =>
    error instanceof ErrorClass ? undefined : `must throw ${ErrorClass.name}`;
}

// ------------------------------------------------------------------- throwing

function submitThrow(bench: Bench, random: Random, isLater: boolean): void {
  const { fail, failLater } = tasksOf(random);
  const error = (error: unknown, id: number) =>
    error instanceof SoakError && error.id === id &&
      error.cause instanceof RangeError &&
      error.cause.message === `cause ${id}`
      ? undefined
      : "must throw its SoakError";
  const kind = isLater ? "throw later" : "throw";
  take(
    bench,
    { kind, error },
    (id) =>
      isLater
        ? bench.pool.submit(
          failLater,
          bench.log,
          id,
          random.whole(0, 20),
        )
        : bench.pool.submit(fail, bench.log, id),
  );
}

function submitStuck(bench: Bench, random: Random): void {
  const { echo, returnStuck } = tasksOf(random);
  const error = mustBe(SerializationError);
  if (random.chance(0.5)) {
    take(
      bench,
      { kind: "stuck", error },
      (id) => bench.pool.submit(returnStuck, bench.log, id),
    );
  } else {
    const stuck = { future: bench.recent[0], fn: () => {} };
    take(
      bench,
      { kind: "stuck", error, errorRuns: [0, 0] },
      (id) => bench.pool.submit(echo, bench.log, id, stuck),
    );
  }
}

// ------------------------------------------------------------------- stopping

function submitCancelled(bench: Bench, random: Random): void {
  const { account, future } = random.chance(0.7)
    ? submitTiny(bench, random, "cancel")
    : submitTimed(bench, random, "async", 10, { kind: "cancel" });
  if (random.chance(0.4)) return bench.ledger.cancel(account);
  const ms = random.whole(0, 20);
  const timer = setTimeout(() => bench.ledger.cancel(account), ms);
  future.addDoneCallback(() => clearTimeout(timer));
}

function submitAborted(bench: Bench, random: Random): void {
  const controller = new AbortController();
  const { signal } = controller;
  const abort = () => controller.abort(new SoakError(-2));
  const when = random.whole(-2, 30);
  if (when === -2) abort();
  const kind = random.chance(0.6) ? "async" : "slow";
  const rules = { kind: "abort", signal };
  const { future } = submitTimed(bench, random, kind, 30, rules, { signal });
  if (when === -1) abort();
  if (when < 0) return;
  const timer = setTimeout(abort, when);
  future.addDoneCallback(() => clearTimeout(timer));
}

function submitEndless(bench: Bench, random: Random): void {
  const { awaitForever, spinForever } = tasksOf(random);
  const canSpin = bench.name === "process"; // nothing stops it in a thread
  const task = canSpin && random.chance(0.5) ? spinForever : awaitForever;
  const options = { timeout: random.whole(0, 40) };
  const error = mustBe(TimeoutError);
  take(
    bench,
    { kind: "time-out", error, errorRuns: [0, 1] },
    (id) => bench.pool.submitWith(options, task, bench.log, id),
  );
}

/** A limit that may come before the end or after it. */
function submitClose(bench: Bench, random: Random): void {
  const kind = random.chance(0.5) ? "async" : "slow";
  const error = mustBe(TimeoutError);
  const rules: Partial<Call> = { kind: "limit", error, errorRuns: [0, 1] };
  const timeout = random.chance(0.8) ? 60_000 : random.whole(5, 20);
  submitTimed(bench, random, kind, 15, rules, { timeout });
}

// ---------------------------------------------------------------------- dying

function pickDeath(bench: Bench, random: Random): Death {
  const deaths: Death[] = [
    "Deno.exit",
    "self.close",
    "stray error",
    "stray rejection",
  ];
  // a signal would end a thread's whole program
  if (bench.name === "process") deaths.push("SIGKILL", "SIGTERM");
  return random.pick(deaths);
}

function submitDying(bench: Bench, random: Random): void {
  const { die } = tasksOf(random);
  const how = pickDeath(bench, random);
  take(
    bench,
    { kind: "die", isDeadly: true },
    (id) => bench.pool.submit(die, bench.log, id, how),
  );
}

function submitDyingLater(bench: Bench, random: Random): void {
  const { dieLater } = tasksOf(random);
  const how = pickDeath(bench, random);
  take(
    bench,
    { kind: "die later", isDeadly: true, value: isId },
    (id) =>
      bench.pool.submit(
        dieLater,
        bench.log,
        id,
        how,
        random.whole(0, 20),
      ),
  );
}

/** The kinds of tasks that fail, or may. */
export const FAILING: readonly Kind[] = [
  { name: "throw", weight: 40, submit: (b, r) => submitThrow(b, r, false) },
  {
    name: "throw later",
    isSlow: true,
    weight: 20,
    submit: (b, r) => submitThrow(b, r, true),
  },
  { name: "stuck", weight: 15, submit: submitStuck },
  { name: "cancel", weight: 100, submit: submitCancelled },
  { name: "abort", isSlow: true, weight: 12, submit: submitAborted },
  { name: "time-out", isSlow: true, weight: 5, submit: submitEndless },
  { name: "limit", isSlow: true, weight: 25, submit: submitClose },
  { name: "die", weight: 2, isDeadly: true, submit: submitDying },
  { name: "die later", weight: 2, isDeadly: true, submit: submitDyingLater },
];
