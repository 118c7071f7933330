// deno-lint-ignore-file no-console -- an example prints
/**
 * Runs every example, then measures what pools gain over one thread.
 *
 * ```sh
 * deno task demo
 * ```
 *
 * It takes a few seconds, ends by itself, and prints what each example prints,
 * then how long the same real work takes on one thread and on all cores, and how
 * many times as fast that is.
 *
 * @module
 */

import {
  type Executor,
  ProcessPoolExecutor,
  ThreadPoolExecutor,
} from "@concurrent/futures";
import { main as copyFiles } from "./copy_files.ts";
import { main as deadlock } from "./deadlock.ts";
import { main as gzipTree } from "./gzip_tree.ts";
import { main as hashServer } from "./hash_server.ts";
import { main as monteCarlo } from "./monte_carlo.ts";
import { main as pow } from "./pow.ts";
import { isPrime, main as primes } from "./primes.ts";
import { main as sandbox } from "./sandbox.ts";
import { main as synchronous } from "./synchronous.ts";
import { main as thumbnails } from "./thumbnails.ts";
import { main as trace } from "./trace.ts";
import { main as urlFetcher } from "./url_fetcher.ts";
import { main as wordCount } from "./word_count.ts";
import { main as words } from "./words.ts";

type Main = () => void | Promise<void>;

const EXAMPLES: [heading: string, main: Main][] = [
  ["pow.ts: one call in one thread", pow],
  ["url_fetcher.ts: five URLs in five threads, as they complete", urlFetcher],
  ["copy_files.ts: four copies in a `using` block", copyFiles],
  ["primes.ts: which of six large numbers are prime, by processes", primes],
  [
    "sandbox.ts: what strangers send in, in processes without permissions",
    sandbox,
  ],
  ["words.ts: the words of these documents, by processes", words],
  ["synchronous.ts: a script without `await`", synchronous],
  [
    "hash_server.ts: a server that hashes, without a pool and with one",
    hashServer,
  ],
  ["thumbnails.ts: smaller pictures, by WebAssembly in processes", thumbnails],
  ["gzip_tree.ts: every file of a folder tree, compressed", gzipTree],
  [
    "word_count.ts: the counts of each file, merged as they complete",
    wordCount,
  ],
  ["monte_carlo.ts: 8,000 simulated days, by a closure", monteCarlo],
  [
    "trace.ts: what two pools did, written for Perfetto and Chrome",
    () => trace(),
  ],
  ["deadlock.ts: what hangs in Python fails here", deadlock],
];

const MAX_LINE_LENGTH = 100;
const ROUNDS = 3;
const NUMBERS = Array.from({ length: 2000 }, (_, i) => 10 ** 12 + i);
/** How many of them are prime. */
const EXPECTED = 70;
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
  return `${
    line.slice(0, MAX_LINE_LENGTH - 24)
  }... (${line.length} characters)`;
}

function countPrimesHere(): number {
  return NUMBERS.filter(isPrime).length;
}

async function countPrimesIn(pool: Executor): Promise<number> {
  const options = { chunkSize: CHUNK_SIZE };
  let count = 0;
  for await (const prime of pool.map(isPrime, NUMBERS, options)) {
    if (prime) count++;
  }
  return count;
}

type Pool = new (options: { maxWorkers: number }) => Executor;

async function countPrimesInNew(Pool: Pool): Promise<number> {
  await using pool = new Pool({ maxWorkers: WORKERS });
  return await countPrimesIn(pool);
}

/** Returns a name for each way to count, with the milliseconds of each round. */
async function measure(): Promise<Map<string, number[]>> {
  await using threads = new ThreadPoolExecutor({ maxWorkers: WORKERS });
  await using processes = new ProcessPoolExecutor({ maxWorkers: WORKERS });
  for (const pool of [threads, processes]) {
    await countPrimesIn(pool); // its workers are started
  }
  const ways: [name: string, count: () => number | Promise<number>][] = [
    ["one thread, no pool", countPrimesHere],
    [
      `${WORKERS} threads, started for it`,
      () => countPrimesInNew(ThreadPoolExecutor),
    ],
    [
      `${WORKERS} processes, started for it`,
      () => countPrimesInNew(ProcessPoolExecutor),
    ],
    [`${WORKERS} threads, there already`, () => countPrimesIn(threads)],
    [`${WORKERS} processes, there already`, () => countPrimesIn(processes)],
  ];
  const times = new Map(ways.map(([name]) => [name, [] as number[]]));
  // In turn, so that a slow moment of the machine hits all of them.
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, count] of ways) {
      const start = performance.now();
      const found = await count();
      times.get(name)!.push(performance.now() - start);
      checkCount(name, found);
    }
  }
  return times;
}

function checkCount(name: string, found: number): void {
  if (found === EXPECTED) return;
  throw new Error(
    `Cannot compare as "${name}" must find ${EXPECTED} primes: found ${found}`,
  );
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

async function compare(): Promise<void> {
  const last = NUMBERS[NUMBERS.length - 1];
  console.log(`\nHow many primes are there from ${NUMBERS[0]} to ${last}?`);
  const times = await measure();
  console.log(`  ${EXPECTED}; each way counted ${ROUNDS} times, the medians:`);
  let baselineMs: number | undefined;
  for (const [name, values] of times) {
    const ms = median(values);
    baselineMs ??= ms;
    const ratio = (baselineMs / ms).toFixed(2);
    console.log(
      `  ${name.padEnd(28)} ${ms.toFixed(0).padStart(5)} ms  ${ratio} x`,
    );
  }
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
