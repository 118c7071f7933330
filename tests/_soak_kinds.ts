/**
 * The kinds of tasks of the soak, how each is submitted, and what it may come to: those that return.
 *
 * @module
 */

import { crc32 } from "node:zlib";
import {
  type Callable,
  type Executor,
  type Future,
  importTasks,
  type SubmitOptions,
} from "../mod.ts";
import type { Account, Call } from "./_soak_account.ts";
import type { Ledger } from "./_soak_ledger.ts";
import type { Random } from "./_soak_random.ts";
import * as functions from "./_soak_tasks.ts";
import {
  isWhole,
  type Large,
  type Log,
  makeLarge,
  noteRun,
} from "./_soak_tasks.ts";
import { assertSameValue, VALUES } from "./_values.ts";

/** Which pool. */
export type PoolName = "thread" | "process";

/** One pool, and what is needed to submit to it. */
export interface Bench {
  readonly name: PoolName;
  readonly pool: Executor;
  readonly ledger: Ledger;
  readonly log: Log;
  /** What the initializer was given. */
  readonly prepared: number | undefined;
  /** Futures of late, to wait for several at once. */
  readonly recent: Future<unknown>[];
  /** What goes on beside: consumers of `map` and the like. */
  readonly jobs: Set<Promise<void>>;
  /** Whether a consumer of `map` may find the pool shut. */
  isShut: boolean;
  nextId(): number;
}

/** A kind of task. */
export interface Kind {
  readonly name: string;
  /** How often it comes, beside the others. */
  readonly weight: number;
  /** The only pool for it, if it is not for both. */
  readonly only?: PoolName;
  readonly isDeadly?: boolean;
  /** Whether it keeps a worker or this thread for milliseconds. */
  readonly isSlow?: boolean;
  submit(bench: Bench, random: Random): void;
}

const references = importTasks<typeof functions>(
  import.meta.resolve("./_soak_tasks.ts"),
);

/** The tasks, now as functions and now as references: they travel by module and name either way. */
export function tasksOf(random: Random): typeof functions | typeof references {
  return random.chance(0.5) ? functions : references;
}

/** Submits one task and takes it in; throws what `submit` throws. */
export function take(
  bench: Bench,
  rules: Omit<Call, "id">,
  submit: (id: number) => Future<unknown>,
): { account: Account; future: Future<unknown> } {
  const id = bench.nextId();
  const future = submit(id);
  if (bench.recent.push(future) > 8) bench.recent.shift();
  return { account: bench.ledger.take({ ...rules, id }, future), future };
}

/** Says what is wrong unless a value is the one. */
export function must(
  expected: unknown,
): (value: unknown) => string | undefined {
  return (value) =>
    Object.is(value, expected) ? undefined : `must return ${expected}`;
}

/** Says what is wrong unless a task returned its own number. */
export function isId(value: unknown, id: number): string | undefined {
  return must(id)(value);
}

// ------------------------------------------------------------------ returning

const TEXT = Array.from({ length: 1 << 20 }, (_, i) => "aé€\u{1f600}\0z"[i % 7])
  .join("").concat("\ud800");
const BYTES = Uint8Array.from({ length: 1 << 22 }, (_, i) => (i * 31) >> 3);

/** Submits a task of no work at all. */
export function submitTiny(bench: Bench, random: Random, kind = "tiny") {
  const { tiny } = tasksOf(random);
  const value = (value: unknown, id: number) => must(id * 2 + 1)(value);
  return take(
    bench,
    { kind, value },
    (id) => bench.pool.submit(tiny, bench.log, id),
  );
}

function submitLarge(bench: Bench, random: Random): void {
  const { large } = tasksOf(random);
  const length = random.whole(1 << 20, BYTES.length);
  const at = random.whole(0, BYTES.length - length);
  const sent = makeLarge(
    BYTES.slice(at, at + length),
    TEXT.slice(random.whole(0, 1000)),
  );
  const { length: textLength } = sent.text;
  const first = ~sent.bytes[0] & 0xff;
  const value = (value: unknown) => {
    const message = value as Large;
    const isRight = isWhole(message) && message.bytes[0] === first &&
      message.bytes.length === length && message.text.length === textLength;
    return isRight ? undefined : "must return its message, whole";
  };
  take(
    bench,
    { kind: "large", value },
    (id) => bench.pool.submit(large, bench.log, id, sent),
  );
}

function submitRich(bench: Bench, random: Random): void {
  const { echo } = tasksOf(random);
  const { name, make } = random.pick(VALUES);
  const value = (value: unknown) => {
    try {
      assertSameValue(value, structuredClone(make()));
      return undefined;
    } catch (error) {
      return `must return ${name}: ${error}`;
    }
  };
  take(
    bench,
    { kind: "rich", value },
    (id) => bench.pool.submit(echo, bench.log, id, make()),
  );
}

function submitMoved(bench: Bench, random: Random): void {
  const bytes = BYTES.slice(0, random.whole(1, 1 << 16));
  const { account } = take(
    bench,
    { kind: "moved", value: must(crc32(bytes)) },
    (id) =>
      bench.pool.submitWith(
        { transfer: [bytes.buffer] },
        functions.sumMoved,
        bench.log,
        id,
        bytes,
      ),
  );
  if (bytes.length > 0) bench.ledger.blame(account, "its bytes must be gone");
}

function submitClosure(bench: Bench, random: Random): void {
  const { log } = bench;
  const factors = new Map([["n", random.whole(1, 1000)]]);
  const twice = (n: number) => 2 * n;
  const value = (value: unknown, id: number) =>
    must(twice(factors.get("n")!) + id)(value);
  take(
    bench,
    { kind: "closure", value },
    (id) =>
      bench.pool.submit((n: number) => {
        noteRun(log, n);
        return twice(factors.get("n")!) + n;
      }, id),
  );
}

/** Submits a task that computes or awaits for a while. */
export function submitTimed(
  bench: Bench,
  random: Random,
  kind: "slow" | "async",
  mostMs: number,
  rules: Partial<Call> = {},
  options?: SubmitOptions,
) {
  const tasks = tasksOf(random);
  const task: Callable<[Log, number, number], number | Promise<number>> =
    kind === "slow" ? tasks.slow : tasks.later;
  const ms = random.whole(0, mostMs);
  return take(
    bench,
    { kind, value: isId, ...rules },
    (id) =>
      options === undefined
        ? bench.pool.submit(task, bench.log, id, ms)
        : bench.pool.submitWith(options, task, bench.log, id, ms),
  );
}

function submitPrint(bench: Bench, random: Random): void {
  take(bench, { kind: "print", value: isId }, (id) =>
    bench.pool.submit(
      tasksOf(random).print,
      bench.log,
      id,
      `~ a task printed this: ${id}`,
    ));
}

function submitPrepared(bench: Bench, random: Random): void {
  take(
    bench,
    { kind: "prepared", value: must(bench.prepared) },
    (id) => bench.pool.submit(tasksOf(random).isPrepared, bench.log, id),
  );
}

/** The kinds of tasks that return. */
export const RETURNING: readonly Kind[] = [
  { name: "tiny", weight: 400, submit: submitTiny },
  { name: "large", isSlow: true, weight: 5, submit: submitLarge },
  { name: "rich", isSlow: true, weight: 80, submit: submitRich },
  { name: "moved", weight: 15, only: "thread", submit: submitMoved },
  { name: "closure", weight: 60, submit: submitClosure },
  {
    name: "slow",
    isSlow: true,
    weight: 25,
    submit: (b, r) => void submitTimed(b, r, "slow", 15),
  },
  {
    name: "async",
    isSlow: true,
    weight: 80,
    submit: (b, r) => void submitTimed(b, r, "async", 20),
  },
  { name: "prepared", weight: 20, submit: submitPrepared },
  { name: "print", weight: 0.3, only: "process", submit: submitPrint },
];
