/**
 * How do the pools compare with others that do the same, and do they reach what
 * they promise? Measures all of it in one run, and writes `RESULTS.md` and
 * `results.svg` beside this file.
 *
 * ```sh
 * deno task bench
 * deno task bench --quick
 * deno task bench thread-map process
 * ```
 *
 * With names it measures only those, and writes nothing:
 *
 * | group     | measurements                                                                |
 * | --------- | --------------------------------------------------------------------------- |
 * | `thread`  | `-tasks -awaited -blocking -first -map -cpu -split -copy -transfer -memory` |
 * | `process` | `-tasks -awaited -blocking -first -map -split -copy -busy`                  |
 * | `travel`  | `-first -again -map -closure -this`                                         |
 *
 * With `--quick` each contender has one turn after warming up, so that all takes
 * about a minute: to see that it works, not for figures. `_contest.ts` says how
 * figures are found.
 *
 * Expected, on an otherwise idle machine with two cores: every target is reached.
 * Threads of CPython answer sooner, one call at a time, and move bytes for
 * nothing, since they share one heap; the processes of workerpool answer sooner
 * while the main thread has nothing else to do. A closure at each `submit` costs
 * what looking at it takes. `RESULTS.md` has machine, versions and commit of the
 * last numbers.
 *
 * @module
 */

import {
  readCommit,
  readMachine,
  readProgram,
  readVersions,
} from "./_machine.ts";
import { renderMarkdown } from "./_markdown.ts";
import type { Measurement, Results } from "./_measurement.ts";
import { print } from "./_print.ts";
import { type Arguments, measureWith, parse, printMissed } from "./_run.ts";
import {
  openRivals,
  PROCESS_MEASUREMENTS,
  stopRivals,
} from "./_process_targets.ts";
import {
  openThreads,
  stopThreads,
  THREAD_MEASUREMENTS,
} from "./_thread_targets.ts";
import {
  openSides,
  stopSides,
  TRAVEL_MEASUREMENTS,
} from "./_travel_targets.ts";

/** The pools of npm, as `deno.lock` names them. */
const POOLS = ["piscina", "workerpool", "poolifier"];

const NAMES = [
  THREAD_MEASUREMENTS,
  PROCESS_MEASUREMENTS,
  TRAVEL_MEASUREMENTS,
].flatMap(Object.keys);

/** One set after the other, so that the pools of one take no time from another. */
async function measureAll(args: Arguments): Promise<Measurement[]> {
  return [
    ...await measureWith(THREAD_MEASUREMENTS, openThreads, stopThreads, args),
    ...await measureWith(PROCESS_MEASUREMENTS, openRivals, stopRivals, args),
    ...await measureWith(TRAVEL_MEASUREMENTS, openSides, stopSides, args),
  ];
}

async function write(results: Results): Promise<void> {
  // Only now: a library in memory is no part of what is measured.
  const { renderChart } = await import("./_chart.ts");
  const here = (name: string) => new URL(name, import.meta.url);
  await Deno.writeTextFile(here("results.svg"), renderChart(results));
  await Deno.writeTextFile(here("RESULTS.md"), renderMarkdown(results));
  print("\nWrote bench/RESULTS.md and bench/results.svg");
}

async function main(): Promise<void> {
  const args = parse(Deno.args, NAMES);
  const python = await readProgram("CPython", "python3");
  const hasPython = python.length > 0;
  const versions = [...await readVersions(POOLS), ...python];
  print(versions.map(([name, version]) => `${name} ${version}`).join(", "));
  if (!hasPython) print("There is no python3 here: no CPython");
  const commit = await readCommit();
  const started = performance.now();
  const measurements = await measureAll(args);
  const minutes = (performance.now() - started) / 60_000;
  print(`\n${minutes.toFixed(1)} minutes in all`);
  printMissed(measurements);
  if (args.names.length > 0) return;
  await write({
    date: new Date().toISOString().slice(0, 10),
    commit,
    isQuick: args.isQuick,
    minutes,
    machine: readMachine(),
    versions,
    hasPython,
    measurements,
  });
}

if (import.meta.main) await main();
