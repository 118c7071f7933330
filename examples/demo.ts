// deno-lint-ignore-file no-console -- an example prints
/**
 * Runs every example, then measures what a pool gains over one thread.
 *
 * ```sh
 * deno task demo
 * ```
 *
 * It takes a few seconds, ends by itself, and prints what each example prints,
 * then how long one thread and the pool take for the same real work.
 *
 * @module
 */

import { ThreadPoolExecutor } from "@concurrent/futures";
import { main as copyFiles } from "./copy_files.ts";
import { main as deadlock } from "./deadlock.ts";
import { main as pow } from "./pow.ts";
import { isPrime, main as primes } from "./primes.ts";
import { main as synchronous } from "./synchronous.ts";
import { main as urlFetcher } from "./url_fetcher.ts";

type Main = () => void | Promise<void>;

const EXAMPLES: [heading: string, main: Main][] = [
  ["pow.ts: one call in one thread", pow],
  ["url_fetcher.ts: five URLs in five threads, as they complete", urlFetcher],
  ["copy_files.ts: four copies in a `using` block", copyFiles],
  ["primes.ts: which of six large numbers are prime", primes],
  ["synchronous.ts: a script without `await`", synchronous],
  ["deadlock.ts: what hangs in Python fails here", deadlock],
];

const MAX_LINE_LENGTH = 110;
const ROUNDS = 5;
const FIRST_NUMBER = 10 ** 12;
const NUMBERS = Array.from({ length: 3000 }, (_, i) => FIRST_NUMBER + i);
const CHUNK_SIZE = 50;
const WORKERS = navigator.hardwareConcurrency;

/** Runs one example, its output indented and long lines cut. */
async function runIndented(example: Main): Promise<void> {
  const log = console.log;
  console.log = (line: unknown) => log(`  ${cut(String(line))}`);
  try {
    await example();
  } finally {
    console.log = log;
  }
}

function cut(line: string): string {
  if (line.length <= MAX_LINE_LENGTH) return line;
  return `${line.slice(0, 40)}... (${line.length} characters)`;
}

function countPrimesHere(): number {
  return NUMBERS.filter(isPrime).length;
}

/** Counts in a pool; to start it and to shut it down is part of the time. */
async function countPrimesInPool(): Promise<number> {
  await using pool = new ThreadPoolExecutor({ maxWorkers: WORKERS });
  const options = { chunkSize: CHUNK_SIZE };
  let count = 0;
  for await (const prime of pool.map(isPrime, NUMBERS, options)) {
    if (prime) count++;
  }
  return count;
}

/** Measures both in turn, so that a slow moment of the machine hits both. */
async function measure(): Promise<{ here: number[]; pool: number[] }> {
  const times = { here: [] as number[], pool: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    const expected = countPrimesHere();
    const middle = performance.now();
    const count = await countPrimesInPool();
    times.here.push(middle - start);
    times.pool.push(performance.now() - middle);
    if (count !== expected) {
      throw new Error(
        `Cannot compare as the pool must count ${expected} primes: it counts ${count}`,
      );
    }
  }
  return times;
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

function printRow(name: string, ms: number, note: string): void {
  console.log(`  ${name.padEnd(18)} ${ms.toFixed(0).padStart(6)} ms  ${note}`);
}

async function compare(): Promise<void> {
  const last = NUMBERS[NUMBERS.length - 1];
  console.log(`\nHow many primes are there from ${FIRST_NUMBER} to ${last}?`);
  console.log(`  ${countPrimesHere()}; the median of ${ROUNDS} counts took`);
  const times = await measure();
  const here = median(times.here);
  const pool = median(times.pool);
  const ratio = (here / pool).toFixed(2);
  printRow("one thread", here, "without a pool");
  printRow(
    "ThreadPoolExecutor",
    pool,
    `${WORKERS} threads, ${ratio} times as fast`,
  );
}

/** Runs the examples, then the comparison. */
export async function main(): Promise<void> {
  for (const [heading, example] of EXAMPLES) {
    console.log(`\n${heading}`);
    await runIndented(example);
  }
  await compare();
}

if (import.meta.main) await main();
