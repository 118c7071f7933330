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

import { FULL, type Measurements, QUICK } from "./_contest.ts";
import { readCommit, readMachine, readVersions } from "./_machine.ts";
import { renderLines, renderMarkdown } from "./_markdown.ts";
import type { Measurement, Results } from "./_measurement.ts";
import { print } from "./_print.ts";
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

/** The command line. */
interface Arguments {
  /** Measurements, or groups of them; all where it is empty. */
  readonly names: readonly string[];
  readonly isQuick: boolean;
}

const NAMES = [
  THREAD_MEASUREMENTS,
  PROCESS_MEASUREMENTS,
  TRAVEL_MEASUREMENTS,
].flatMap(Object.keys);

const FLAG = "--quick";

function parse(args: readonly string[]): Arguments {
  const names = args.filter((arg) => arg !== FLAG);
  for (const name of names) {
    if (!NAMES.some((one) => isWanted([name], one))) {
      throw new TypeError(
        `Cannot measure as there is no such name or flag: "${name}"`,
      );
    }
  }
  return { names, isQuick: args.includes(FLAG) };
}

/** Whether a measurement is named, by its own name or that of its group. */
function isWanted(names: readonly string[], name: string): boolean {
  return names.length === 0 ||
    names.some((wanted) => name === wanted || name.startsWith(`${wanted}-`));
}

/** Starts contenders, asks them what is wanted, and ends them. */
async function measureWith<Contenders>(
  measurements: Measurements<Contenders>,
  open: () => Promise<Contenders>,
  stop: (contenders: Contenders) => Promise<void>,
  { names, isQuick }: Arguments,
): Promise<Measurement[]> {
  const wanted = Object.entries(measurements)
    .filter(([name]) => isWanted(names, name));
  if (wanted.length === 0) return [];
  const contenders = await open();
  const found: Measurement[] = [];
  for (const [name, measure] of wanted) {
    print(`${name} ...`);
    const started = performance.now();
    const here = await measure(contenders, isQuick ? QUICK : FULL);
    for (const line of here.flatMap(renderLines)) print(line);
    print(`  took ${((performance.now() - started) / 1e3).toFixed(1)} s`);
    found.push(...here);
  }
  await stop(contenders);
  return found;
}

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
  const args = parse(Deno.args);
  const { versions, hasPython } = await readVersions();
  print(versions.map(([name, version]) => `${name} ${version}`).join(", "));
  if (!hasPython) print("There is no python3 here: no CPython");
  const commit = await readCommit();
  const started = performance.now();
  const measurements = await measureAll(args);
  const minutes = (performance.now() - started) / 60_000;
  print(`\n${minutes.toFixed(1)} minutes in all`);
  const missed = measurements.flatMap(({ group, question, targets }) =>
    targets.filter(({ isReached }) => !isReached)
      .map(({ text }) => `${group}: ${question}: ${text}`)
  );
  for (const target of missed) print(`NOT REACHED: ${target}`);
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
