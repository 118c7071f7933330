/**
 * How does this pool compare with the one it is modelled on, CPython's
 * `ThreadPoolExecutor`, on the same work?
 *
 * ```sh
 * deno run --allow-read --allow-env --allow-sys=cpus --allow-run bench/cpython.ts
 * ```
 *
 * Says so and ends where there is no `python3`. Both sides use the blocking
 * forms, since Python has no others, and measure the same batches.
 *
 * Expected: CPython's first result is there a hundred times sooner, since its
 * threads share one heap and start in microseconds, and a payload costs it
 * nothing, since nothing is copied. Here more small tasks a second go through,
 * a pending future takes less memory, and computing really runs in parallel. A
 * `map` of chunks costs CPython no copies either, and wins.
 *
 * Last numbers: 2 cores of a virtual machine, x86-64 Linux, Deno 2.9.6,
 * 2026-11-20, commit f10a802: see "Speed" in README.md.
 *
 * @module
 */

import { ThreadPoolExecutor } from "../mod.ts";
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

/** What `cpython.py` prints. */
interface Results {
  version: string;
  splitSum: number;
  firstResultMs: number;
  roundTripMicros: number;
  tasksPerSecond: number;
  mappedPerSecond: number;
  payloadMs: number;
  splitMs: number;
  pendingBytes: number;
}

const SUBJECT = { name: "@concurrent/futures" };

/** The arithmetic of `mix` in `cpython.py`, exact in both languages. */
function mix(seed: number): number {
  let value = seed;
  for (let step = 0; step < 200_000; step++) {
    value = (value * 1_664_525 + step) & 0x3fffff;
  }
  return value;
}

async function runPython(): Promise<Results | null> {
  const args = [
    new URL("cpython.py", import.meta.url).pathname,
    String(PENDING),
  ];
  try {
    const command = new Deno.Command("python3", { args, stderr: "inherit" });
    const { success, stdout } = await command.output();
    if (!success) {
      throw new Error("Cannot compare with CPython: cpython.py failed");
    }
    return JSON.parse(new TextDecoder().decode(stdout));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** The median of some runs, in milliseconds. */
function timed(repetitions: number, run: () => void): number {
  return median(Array.from({ length: repetitions }, () => {
    const start = performance.now();
    run();
    return performance.now() - start;
  }));
}

function roundTrips(pool: ThreadPoolExecutor): void {
  for (let value = 0; value < ROUND_TRIPS; value++) {
    check(SUBJECT, pool.submit(identity, value).resultSync(), value);
  }
}

function burst(pool: ThreadPoolExecutor): void {
  const futures = Array.from(
    { length: TASKS },
    (_, i) => pool.submit(identity, i),
  );
  futures.forEach((future, i) => check(SUBJECT, future.resultSync(), i));
}

function mapNumbers(pool: ThreadPoolExecutor): void {
  let sum = 0;
  const options = { chunkSize: CHUNK_SIZE };
  for (const value of pool.map(increment, NUMBERS, options)) sum += value;
  check(SUBJECT, sum, NUMBERS.reduce((total, value) => total + value + 1, 0));
}

function echoPayload(
  pool: ThreadPoolExecutor,
  payload: Uint8Array<ArrayBuffer>,
): void {
  check(SUBJECT, pool.submit(echo, payload).resultSync().length, PAYLOAD_BYTES);
}

function split(pool: ThreadPoolExecutor, expected: number): void {
  let sum = 0;
  for (const value of pool.map(mix, SEEDS)) sum += value;
  check(SUBJECT, sum, expected);
}

function firstResult(): void {
  using pool = new ThreadPoolExecutor({ maxWorkers: MAX_WORKERS });
  check(SUBJECT, pool.submit(identity, 7).resultSync(), 7);
}

async function runHere(splitSum: number): Promise<Results> {
  const payload = new Uint8Array(PAYLOAD_BYTES);
  using pool = new ThreadPoolExecutor({ maxWorkers: MAX_WORKERS });
  burst(pool);
  mapNumbers(pool);
  split(pool, splitSum);
  return {
    version: Deno.version.deno,
    splitSum,
    firstResultMs: timed(20, firstResult),
    roundTripMicros: timed(5, () => roundTrips(pool)) / ROUND_TRIPS * 1e3,
    tasksPerSecond: TASKS / timed(5, () => burst(pool)) * 1e3,
    mappedPerSecond: NUMBERS.length / timed(5, () => mapNumbers(pool)) * 1e3,
    payloadMs: timed(5, () => echoPayload(pool, payload)),
    splitMs: timed(5, () => split(pool, splitSum)),
    pendingBytes: (await measureInProcess(SUBJECT.name)).rss,
  };
}

if (import.meta.main) {
  const python = await runPython();
  if (python === null) {
    print("There is no python3 here: nothing to compare with.");
  } else {
    const here = await runHere(python.splitSum);
    const row = (name: string, key: keyof Results, digits = 0): string[] => {
      const [a, b] = [Number(here[key]), Number(python[key])];
      const show = (value: number) =>
        digits ? value.toFixed(digits) : whole(value);
      return [name, show(a), show(b), (a / b).toPrecision(2)];
    };
    print(`${describeMachine()}; CPython ${python.version}\n`);
    printTable([
      ["blocking, two workers", SUBJECT.name, "CPython", "ratio"],
      row("first result of a new pool, and its end (ms)", "firstResultMs", 2),
      row("round trip (µs)", "roundTripMicros", 1),
      row("no-op tasks a second", "tasksPerSecond"),
      row("numbers mapped a second, 1,000 a task", "mappedPerSecond"),
      row("64 MB there and back (ms)", "payloadMs", 2),
      row("four computing tasks (ms)", "splitMs", 1),
      row("bytes a pending future", "pendingBytes"),
    ]);
  }
}
