/**
 * How do the pools compare with those they are modelled on, CPython's
 * `ThreadPoolExecutor` and `ProcessPoolExecutor`, on the same work?
 *
 * ```sh
 * deno run --allow-read --allow-env --allow-sys=cpus --allow-run bench/cpython.ts
 * ```
 *
 * Says so and ends where there is no `python3`. Both sides use the blocking
 * forms, since Python has no others, and take turns at the same batches.
 *
 * Expected of threads: CPython's first result is there a hundred times sooner,
 * since its threads share one heap and start in microseconds, and a payload costs
 * it nothing, since nothing is copied. Here more small tasks a second go through,
 * a pending future takes less memory, and computing really runs in parallel. A
 * `map` of chunks costs CPython no copies either, and wins.
 *
 * Expected of processes: CPython's first result is there sooner, since it forks
 * where Deno starts anew (before Python 3.14, which starts anew as well). All else
 * is faster here.
 *
 * Last numbers: 2 cores of a virtual machine, x86-64 Linux, Deno 2.9.6,
 * 2026-11-20, commit 6b05190. The README quotes `targets.ts` instead.
 *
 * @module
 */

import {
  type Executor,
  ProcessPoolExecutor,
  ThreadPoolExecutor,
} from "../mod.ts";
import {
  contend,
  type Contender,
  ratioOf,
  takeTurns,
  timed,
} from "./_contest.ts";
import { CPython, type Measurement } from "./_cpython.ts";
import { check, MAX_WORKERS } from "./_peers.ts";
import { measureInProcess } from "./memory.ts";
import {
  describeMachine,
  median,
  print,
  printTable,
  whole,
} from "./_report.ts";
import { echo, identity, increment } from "./_tasks.ts";

const ROUND_TRIPS = 2_000;
const TASKS = 20_000;
const NUMBERS = Array.from({ length: 100_000 }, (_, i) => i);
const CHUNK_SIZE = 1_000;
const PAYLOAD_BYTES = 64_000_000;
const SEEDS = [1, 2, 3, 4];
const PENDING = 1_000_000;
const REPETITIONS = 7;

const SUBJECT = { name: "@concurrent/futures" };

const POOLS = { threads: ThreadPoolExecutor, processes: ProcessPoolExecutor };

/** The arithmetic of `mix` in `cpython.py`, exact in both languages. */
function mix(seed: number): number {
  let value = seed;
  for (let step = 0; step < 200_000; step++) {
    value = (value * 1_664_525 + step) & 0x3fffff;
  }
  return value;
}

function roundTrips(pool: Executor): void {
  for (let value = 0; value < ROUND_TRIPS; value++) {
    check(SUBJECT, pool.submit(identity, value).resultSync(), value);
  }
}

function burst(pool: Executor): void {
  const futures = Array.from(
    { length: TASKS },
    (_, i) => pool.submit(identity, i),
  );
  futures.forEach((future, i) => check(SUBJECT, future.resultSync(), i));
}

function mapNumbers(pool: Executor): void {
  let sum = 0;
  const options = { chunkSize: CHUNK_SIZE };
  for (const value of pool.map(increment, NUMBERS, options)) sum += value;
  check(SUBJECT, sum, NUMBERS.reduce((total, value) => total + value + 1, 0));
}

function echoPayload(
  pool: Executor,
  payload: Uint8Array<ArrayBuffer>,
): void {
  check(SUBJECT, pool.submit(echo, payload).resultSync().length, PAYLOAD_BYTES);
}

function split(pool: Executor, expected: number): void {
  let sum = 0;
  for (const value of pool.map(mix, SEEDS)) sum += value;
  check(SUBJECT, sum, expected);
}

/** Two contenders: this module's pool and CPython's. */
async function contest(
  here: () => number | Promise<number>,
  there: () => Promise<number>,
  repetitions = REPETITIONS,
): Promise<[ours: Contender, cpython: Contender]> {
  const ours = contend(SUBJECT.name, here);
  const cpython = contend("CPython", there);
  await takeTurns(repetitions, [ours, cpython]);
  return [ours, cpython];
}

async function compare(
  kind: keyof typeof POOLS,
  python: CPython,
): Promise<void> {
  const rows = [[
    `blocking, two ${kind}`,
    SUBJECT.name,
    "CPython",
    "ratio",
  ]];
  const addRow = (name: string, contenders: Contender[], digits = 0) => {
    const [a, b] = contenders.map(({ figures }) => {
      const figure = median(figures);
      return digits ? figure.toFixed(digits) : whole(figure);
    });
    const ratio = ratioOf(contenders[0], contenders[1]);
    rows.push([name, a, b, ratio.toPrecision(2)]);
  };
  /** A batch on both sides, its milliseconds made into a figure. */
  const batch = (
    run: () => void,
    measurement: Measurement,
    n: number,
    toFigure: (ms: number) => number,
  ) =>
    contest(
      async () => toFigure(await timed(run)),
      async () => toFigure(await python.time(measurement, n)),
    );

  const Pool = POOLS[kind];
  const payload = new Uint8Array(PAYLOAD_BYTES);
  const splitSum = await python.measure("split_sum");
  using pool: Executor = new Pool({ maxWorkers: MAX_WORKERS });
  burst(pool);

  const firstResult = async () => {
    const start = performance.now();
    const pool = new Pool({ maxWorkers: MAX_WORKERS });
    check(SUBJECT, pool.submit(identity, 7).resultSync(), 7);
    const elapsed = performance.now() - start;
    await pool.shutdown();
    return elapsed;
  };
  const there = () => python.time("first_result");
  addRow(
    "first result of a new pool (ms)",
    await contest(firstResult, there, 20),
    2,
  );
  addRow(
    "round trip (µs)",
    await batch(
      () => roundTrips(pool),
      "round_trips",
      ROUND_TRIPS,
      (ms) => ms / ROUND_TRIPS * 1e3,
    ),
    1,
  );
  addRow(
    "no-op tasks a second",
    await batch(() => burst(pool), "burst", TASKS, (ms) => TASKS / ms * 1e3),
  );
  addRow(
    "numbers mapped a second, 1,000 a task",
    await batch(
      () => mapNumbers(pool),
      "map_numbers",
      NUMBERS.length,
      (ms) => NUMBERS.length / ms * 1e3,
    ),
  );
  addRow(
    "64 MB there and back (ms)",
    await batch(
      () => echoPayload(pool, payload),
      "echo",
      PAYLOAD_BYTES,
      (ms) => ms,
    ),
    2,
  );
  addRow(
    "four computing tasks (ms)",
    await batch(() => split(pool, splitSum), "split", 0, (ms) => ms),
    1,
  );
  if (kind === "threads") {
    addRow("bytes a pending future", await comparePending(python));
  }
  printTable(rows);
  print("");
}

/** Once each, as both fill their memory for it. */
async function comparePending(python: CPython): Promise<Contender[]> {
  const ours = contend(
    SUBJECT.name,
    async () => (await measureInProcess(SUBJECT.name)).rss,
  );
  const cpython = contend(
    "CPython",
    () => python.measure("pending_bytes", PENDING),
  );
  for (const { measure, figures } of [ours, cpython]) {
    figures.push(await measure());
  }
  return [ours, cpython];
}

async function main(): Promise<void> {
  for (const kind of ["threads", "processes"] as const) {
    const python = await CPython.open(kind);
    if (python === null) {
      print("There is no python3 here: nothing to compare with.");
      return;
    }
    if (kind === "threads") {
      print(`${describeMachine()}; CPython ${python.version}\n`);
    }
    await compare(kind, python);
    await python.stop();
  }
}

if (import.meta.main) await main();
