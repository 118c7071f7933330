// deno-lint-ignore-file no-console -- an example prints
/**
 * Counts the words of this package's documents, a document a process, then asks
 * which of them say what was asked for.
 *
 * `countWords` uses an import, a constant and a helper of this file: the workers
 * import the file and find it there by its name. The closure in `main` uses
 * `topics`: a copy goes along.
 *
 * ```sh
 * deno run --allow-read --allow-run --allow-sys examples/words.ts
 * ```
 *
 * It prints:
 *
 * ```text
 * README.md and CHANGELOG.md: more than 1000 words
 * pool, worker, future: each in both
 * ```
 *
 * @module
 */

import { ProcessPoolExecutor } from "@concurrent/futures";
import { basename } from "node:path";

const WORD = /\p{L}+/gu;

function normalize(word: string): string {
  return word.normalize("NFC").toLowerCase();
}

/** A document's words, and how often each comes. */
export interface Words {
  name: string;
  counts: Map<string, number>;
}

/** Counts the words of a text; what it needs of this module comes along. */
export function countWords(name: string, text: string): Words {
  const counts = new Map<string, number>();
  for (const [word] of text.matchAll(WORD)) {
    const key = normalize(word);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return { name: basename(name), counts };
}

/** Runs the example. */
export async function main(): Promise<void> {
  const paths = ["../README.md", "../CHANGELOG.md"];
  const texts = paths.map((path) =>
    Deno.readTextFileSync(new URL(path, import.meta.url))
  );
  await using pool = new ProcessPoolExecutor();

  const words = await Array.fromAsync(pool.map(countWords, paths, texts));
  const total = words.flatMap(({ counts }) => [...counts.values()])
    .reduce((sum, count) => sum + count);
  const names = words.map(({ name }) => name).join(" and ");
  console.log(`${names}: ${total > 1000 ? "more" : "no more"} than 1000 words`);

  const topics = new Set(["pool", "worker", "future"]);
  const found = await Array.fromAsync(
    pool.map(({ counts }: Words) => topics.intersection(counts).size, words),
  );
  const areInBoth = found.every((count) => count === topics.size);
  console.log(
    `${[...topics].join(", ")}: ${areInBoth ? "each" : "not"} in both`,
  );
}

if (import.meta.main) await main();
