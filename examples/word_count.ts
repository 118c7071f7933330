// deno-lint-ignore-file no-console -- an example prints
/**
 * Counts the words of many files, and merges each file's counts as soon as it is
 * done, so that no more of them are kept than are needed.
 *
 * Python: `as_completed`, with a dictionary from each future to its file. The
 * files are in a temporary folder that the example fills and removes; one of those
 * it names is not there.
 *
 * ```sh
 * deno run --allow-read --allow-write examples/word_count.ts
 * ```
 *
 * It prints:
 *
 * ```text
 * lost.txt: NotFound
 * the: 34859
 * of: 14452
 * and: 10999
 * to: 9375
 * a: 8257
 * ```
 *
 * @module
 */

import {
  asCompleted,
  type Future,
  ThreadPoolExecutor,
} from "@concurrent/futures";
import { basename, join } from "node:path";

const FILES = 12;
const TOP = 5;
const WORDS =
  "the of and to a in is it you that he was for on are with as I his they"
    .split(" ");

type Counts = Map<string, number>;

/** Counts the words of a file; travels by its source, as it needs nothing else. */
async function countWords(path: string): Promise<Counts> {
  const counts: Counts = new Map();
  const words = new Intl.Segmenter("en", { granularity: "word" });
  const text = await Deno.readTextFile(path);
  for (const { segment, isWordLike } of words.segment(text)) {
    if (!isWordLike) continue;
    const word = segment.toLowerCase();
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return counts;
}

async function countAll(paths: string[]): Promise<Counts> {
  await using pool = new ThreadPoolExecutor({
    maxWorkers: navigator.hardwareConcurrency,
  });
  const futureToPath = new Map<Future<Counts>, string>();
  for (const path of paths) {
    futureToPath.set(pool.submit(countWords, path), path);
  }
  const total: Counts = new Map();
  for await (const future of asCompleted(futureToPath.keys())) {
    const path = futureToPath.get(future)!;
    futureToPath.delete(future); // its counts are no longer needed
    try {
      for (const [word, count] of await future) {
        total.set(word, (total.get(word) ?? 0) + count);
      }
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      console.log(`${basename(path)}: ${error.name}`);
    }
  }
  return total;
}

/** Writes texts of different lengths, always the same; returns their paths. */
async function writeTexts(folder: string): Promise<string[]> {
  let seed = 1;
  function random(): number {
    seed = seed * 48271 % 2147483647; // Park and Miller's, `minstd_rand` of C++
    return seed / 2147483647;
  }
  const paths: string[] = [];
  for (let n = 1; n <= FILES; n++) {
    const words = Array.from(
      { length: n * 2000 },
      () => WORDS[Math.floor(WORDS.length * random() ** 2)],
    );
    const path = join(folder, `text${n}.txt`);
    await Deno.writeTextFile(path, words.join(" "));
    paths.push(path);
  }
  return paths;
}

/** Runs the example. */
export async function main(): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const paths = await writeTexts(folder);
    const counts = await countAll([...paths, join(folder, "lost.txt")]);
    const top = [...counts].sort(([, a], [, b]) => b - a).slice(0, TOP);
    for (const [word, count] of top) console.log(`${word}: ${count}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) await main();
