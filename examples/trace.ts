// deno-lint-ignore-file no-console -- an example prints
/**
 * Takes note of what two pools do, and writes it for Perfetto and Chrome: threads
 * read the largest modules of this package and count their words, processes
 * compress them.
 *
 * Both pools share one trace, which shows them below each other: where a task
 * waits, which worker had nothing to do, and the file that is not there.
 *
 * ```sh
 * deno run --allow-read --allow-write --allow-run --allow-sys examples/trace.ts
 * ```
 *
 * It prints, with other figures:
 *
 * ```text
 * gone.ts: NotFound
 * 37 tasks of 2 pools, in 4 workers
 * most of the time is in compressText: 86 %
 * the trace has 20 kB
 * ```
 *
 * With `trace.json` after it, it keeps the trace there: open it in
 * https://ui.perfetto.dev, in `chrome://tracing`, or in the Performance panel of
 * Chrome's developer tools: `docs/trace.png` shows it there.
 *
 * @module
 */

import {
  ProcessPoolExecutor,
  ThreadPoolExecutor,
  Trace,
} from "@concurrent/futures";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync } from "node:zlib";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const FILES = 12;
const WORKERS = 2;

/** Counts the different words of a text. */
export function countWords(text: string): number {
  const words = new Set<string>();
  const segmenter = new Intl.Segmenter("en", { granularity: "word" });
  for (const { segment, isWordLike } of segmenter.segment(text)) {
    if (isWordLike) words.add(segment.toLowerCase());
  }
  return words.size;
}

/** Compresses a text as small as it goes: how long that takes is up to its length. */
export function compressText(text: string): number {
  return brotliCompressSync(text).length;
}

/** The paths of this package's largest modules, and of one that is not there. */
function listModules(): string[] {
  const modules = [...Deno.readDirSync(ROOT)]
    .map(({ name }) => join(ROOT, name))
    .filter((path) => path.endsWith(".ts"))
    .map((path) => ({ path, size: Deno.statSync(path).size }))
    .sort((a, b) => b.size - a.size)
    .slice(0, FILES);
  return [...modules.map(({ path }) => path), join(ROOT, "gone.ts")];
}

async function handleAll(trace: Trace): Promise<void> {
  await using threads = new ThreadPoolExecutor({ maxWorkers: WORKERS, trace });
  await using processes = new ProcessPoolExecutor({
    maxWorkers: WORKERS,
    trace,
  });
  async function handle(path: string): Promise<void> {
    try {
      const text = await threads.submit(Deno.readTextFile, path);
      await Promise.all([
        threads.submit(countWords, text),
        processes.submit(compressText, text),
      ]);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      console.log(`${basename(path)}: ${error.name}`);
    }
  }
  await Promise.all(listModules().map(handle));
}

function describe(trace: Trace): string[] {
  const slices = trace.events().filter(({ ph }) => ph === "X");
  const workers = new Set(slices.map(({ pid, tid }) => `${pid} ${tid}`));
  const pools = new Set(slices.map(({ pid }) => pid));
  const micros = new Map<string, number>();
  for (const { name, dur = 0 } of slices) {
    micros.set(name, (micros.get(name) ?? 0) + dur);
  }
  const [[name, most]] = [...micros].sort(([, a], [, b]) => b - a);
  const all = micros.values().reduce((sum, one) => sum + one);
  return [
    `${slices.length} tasks of ${pools.size} pools, in ${workers.size} workers`,
    `most of the time is in ${name}: ${(100 * most / all).toFixed()} %`,
  ];
}

/** Runs the example; keeps the trace where there is a path. */
export async function main(keepAt?: string): Promise<void> {
  const trace = new Trace();
  await handleAll(trace);
  for (const line of describe(trace)) console.log(line);

  const path = keepAt ?? await Deno.makeTempFile({ suffix: ".json" });
  await trace.write(path);
  const { size } = await Deno.stat(path);
  console.log(`the trace has ${(size / 1e3).toFixed()} kB`);
  if (keepAt === undefined) await Deno.remove(path);
}

if (import.meta.main) await main(Deno.args[0]);
