/**
 * Soak: does a pool account for every task, for as long as asked, whatever its tasks do and however
 * its workers die?
 *
 * ```sh
 * deno task soak
 * deno run -A --v8-flags=--expose-gc tests/soak.ts --minutes 5 --seed 7 --pool both --in-flight 100
 * ```
 *
 * Pools are made with random options, given a random mix of tasks (`_soak_kinds.ts`,
 * `_soak_failures.ts`, `_soak_waits.ts`), lose workers to their tasks and, processes, to signals
 * from outside, and are ended in a random way (`_soak_plan.ts`). Of each task it is known which ends
 * it may come to, and how often it has run (`_soak_ledger.ts`). Anything else is printed, and the
 * exit code is 1; so it is where a thread, a process, a file or memory is left at the end.
 *
 * The same seed gives the same tasks in the same pools, but not the same timing.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { delay } from "@std/async";
import {
  collect,
  formatBytes,
  formatHandles,
  type Handles,
  measure,
} from "./_handles.ts";
import { liveWorkers } from "./_leaks.ts";
import { judgeHandles, judgeMemory } from "./_soak_left.ts";
import { type Line, runGeneration, runLine } from "./_soak_generation.ts";
import type { PoolName } from "./_soak_kinds.ts";
import { Random } from "./_soak_random.ts";
import { Totals } from "./_soak_totals.ts";
import { Watch } from "./_soak_watch.ts";

const PROGRESS_MS = 5_000;

/** How long handles may take to be let go of: idle threads of the runtime live for 10 s. */
const SETTLE_MS = 30_000;

/** Workers of the soak's own, which are there from the start to the end. */
const WATCHERS = 1;

/** How long a warm-up is: one pool of each. */
const WARM_UP_MS = 1_000;

interface Settings {
  readonly ms: number;
  readonly seed: number;
  readonly pools: readonly PoolName[];
  readonly inFlight: number;
}

function print(text: string): void {
  // at once, and whole, also where the program is about to exit
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

function readSettings(): Settings {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      minutes: { type: "string", default: "5" },
      seconds: { type: "string" },
      seed: { type: "string" },
      pool: { type: "string", default: "both" },
      "in-flight": { type: "string", default: "100" },
    },
  });
  const seconds = values.seconds === undefined
    ? readNumber("minutes", values.minutes) * 60
    : readNumber("seconds", values.seconds);
  const { pool } = values;
  if (pool !== "both" && pool !== "thread" && pool !== "process") {
    throw new RangeError(
      `Cannot soak as "--pool" must be thread, process or both: received ${pool}`,
    );
  }
  return {
    ms: seconds * 1000,
    seed: values.seed === undefined
      ? Math.floor(Math.random() * 2 ** 31)
      : readNumber("seed", values.seed),
    pools: pool === "both" ? ["thread", "process"] : [pool],
    inFlight: Math.max(1, readNumber("in-flight", values["in-flight"])),
  };
}

function readNumber(name: string, text: string): number {
  const number = Number(text);
  if (text.trim() !== "" && Number.isFinite(number) && number >= 0) {
    return number;
  }
  throw new RangeError(
    `Cannot soak as "--${name}" must be a number >= 0: received ${text}`,
  );
}

function makeLines({ seed, pools, inFlight }: Settings): Line[] {
  const random = new Random(seed);
  const violations: string[] = [];
  const seeds = { thread: random.fork(), process: random.fork() };
  return pools.map((name) => ({
    name,
    random: seeds[name],
    totals: new Totals(name),
    inFlight,
    until: 0,
    violations,
    phase: "starting",
    ledger: undefined,
  }));
}

/** Runs one short pool of each kind, so that all is loaded and compiled that stays. */
async function warmUp(lines: readonly Line[]): Promise<void> {
  for (const line of lines) {
    line.until = performance.now() + WARM_UP_MS;
    await runGeneration(line);
    line.phase = "over";
  }
}

/** Runs all pools at the same time, and says every few seconds how far they have come. */
async function run(lines: readonly Line[], ms: number): Promise<void> {
  const start = performance.now();
  const progress = setInterval(() => {
    const seconds = (performance.now() - start) / 1000;
    const all = lines.reduce((sum, { totals }) => sum + totals.submitted, 0);
    const { rss, heapUsed } = Deno.memoryUsage();
    const head = `${seconds.toFixed(0)} s: ${
      (all / seconds).toFixed(0)
    } tasks/s, rss ${formatBytes(rss)}, heap ${formatBytes(heapUsed)}`;
    print(
      [head, ...lines.map(({ totals }) => `  ${totals.line()}`)].join("\n"),
    );
  }, PROGRESS_MS);
  for (const line of lines) {
    line.until = start + ms;
    line.totals.changedAt = start;
  }
  await Promise.all(lines.map((line) => runLine(line)));
  clearInterval(progress);
}

/** Measures once all that was let go of is gone, or it is plain that it stays. */
async function settle(start?: Handles): Promise<Handles> {
  const end = performance.now() + SETTLE_MS;
  for (;;) {
    for (let i = 0; i < 10; i++) {
      collect();
      await delay(20); // what was collected is told to its owners, which let go of more
    }
    const now = measure();
    const isSettled = start === undefined
      ? liveWorkers() <= WATCHERS
      : judgeHandles(start, now).length === 0;
    if (isSettled || performance.now() > end) return now;
  }
}

async function main(): Promise<number> {
  const settings = readSettings();
  const again = `deno run -A --v8-flags=--expose-gc tests/soak.ts --seconds ${
    settings.ms / 1000
  } --seed ${settings.seed} --pool ${
    settings.pools.length === 2 ? "both" : settings.pools[0]
  } --in-flight ${settings.inFlight}`;
  print(again);
  const lines = makeLines(settings);
  const [{ violations }] = lines;
  using _watch = new Watch(lines);
  const { threads } = measure();
  await warmUp(lines);
  // idle threads of the runtime may be there for a while after the warm-up
  const start = { ...await settle(), threads };
  print(`start: ${formatHandles(start)}`);
  await run(lines, settings.ms);
  const end = await settle(start);
  for (const { totals } of lines) {
    print(
      `\n${totals.line()}, ${totals.kills} of the deaths from outside, ${totals.broken} broken pools`,
    );
    print(totals.table());
    if (totals.open !== 0) {
      violations.push(`${totals.name}: ${totals.open} tasks not accounted for`);
    }
  }
  print(`\nstart: ${formatHandles(start)}\nend:   ${formatHandles(end)}`);
  violations.push(...judgeHandles(start, end), ...judgeMemory(start, end));
  if (liveWorkers() > WATCHERS) {
    violations.push(`${liveWorkers() - WATCHERS} workers are left`);
  }
  if (violations.length === 0) {
    print("every task is accounted for, and nothing is left");
    return 0;
  }
  for (const violation of violations.slice(0, 20)) {
    print(`VIOLATION: ${violation}`);
  }
  print(`${violations.length} violations; again: ${again}`);
  return 1;
}

if (import.meta.main) Deno.exit(await main());
