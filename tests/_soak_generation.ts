/**
 * One pool of the soak, from its start to its end, and all that is submitted to it.
 *
 * @module
 */

import { delay } from "@std/async";
import { RuntimeError } from "../mod.ts";
import { children } from "./_handles.ts";
import type { Bench, PoolName } from "./_soak_kinds.ts";
import { Ledger } from "./_soak_ledger.ts";
import { endPool, makePlan, MOST_TASKS, type Plan } from "./_soak_plan.ts";
import type { Random } from "./_soak_random.ts";
import { Runs } from "./_soak_runs.ts";
import type { Totals } from "./_soak_totals.ts";

/** Above the number of any task: the last one may be a `map` of some rows. */
const MOST_IDS = MOST_TASKS + 100;

/** What all generations of one pool share. */
export interface Line {
  readonly name: PoolName;
  readonly random: Random;
  readonly totals: Totals;
  /** Most tasks that are submitted and not done. */
  readonly inFlight: number;
  /** When to stop, by `performance.now()`. */
  until: number;
  /** What is wrong, in words; nothing more is started once there is anything. */
  readonly violations: string[];
  /** What goes on, for whoever asks why nothing does. */
  phase: string;
  ledger: Ledger | undefined;
}

/** Runs generations until the time is over, or something is wrong. */
export async function runLine(line: Line): Promise<void> {
  while (!isOver(line)) await runGeneration(line);
  line.phase = "over";
}

function isOver({ until, violations }: Line): boolean {
  return performance.now() >= until || violations.length > 0;
}

/** Makes a pool, submits to it, ends it, and closes its books. */
export async function runGeneration(line: Line): Promise<void> {
  const random = line.random.fork();
  const plan = makePlan(line.name, random);
  const number = ++line.totals.generations;
  const ledger = line.ledger = new Ledger({
    name: `${line.name} pool ${number} ${plan.text}`,
    Broken: plan.Broken,
    mayBreak: plan.onWorkerDeath === "break",
    violations: line.violations,
    onChange: (account) => line.totals.onChange(account),
  });
  ledger.mayFailAll = plan.isUnfit;
  using runs = new Runs(line.name, MOST_IDS);
  const bench = makeBench(plan, ledger, runs);
  const stopKiller = plan.hasKiller
    ? startKiller(random.fork(), ledger)
    : () => {};
  line.phase = `submitting to ${plan.text}`;
  await submitAll(line, plan, bench, random);
  line.phase = `ending ${plan.text}`;
  bench.isShut = true;
  await endPool(plan.ending, bench.pool, ledger);
  stopKiller();
  ledger.checkAllDone();
  line.phase = `waiting for what is pending in ${plan.text}`;
  await settle(bench);
  checkEnded(bench);
  closeBooks(line, ledger, runs);
  line.ledger = undefined;
}

function makeBench(plan: Plan, ledger: Ledger, { log }: Runs): Bench {
  let ids = 0;
  return {
    name: plan.name,
    pool: plan.create(),
    ledger,
    log,
    prepared: plan.prepared,
    recent: [],
    jobs: new Set(),
    isShut: false,
    nextId: () => ids++,
  };
}

// ------------------------------------------------------------------ submitting

async function submitAll(
  line: Line,
  plan: Plan,
  bench: Bench,
  random: Random,
): Promise<void> {
  const { ledger } = bench;
  const end = performance.now() + plan.ms;
  while (
    performance.now() < end && !isOver(line) &&
    ledger.submitted < plan.mostTasks
  ) {
    if (ledger.inFlight >= line.inFlight) {
      await ledger.change();
      continue;
    }
    if (!submitOne(plan, bench, random)) return;
    if (random.chance(0.01)) await delay(0);
    if (random.chance(0.0005)) await rest(ledger, random);
  }
}

/** Submits what comes next; returns whether the pool took it. */
function submitOne(plan: Plan, bench: Bench, random: Random): boolean {
  const kind = random.weigh(plan.kinds);
  try {
    kind.submit(bench, random);
    return true;
  } catch (error) {
    if (error instanceof plan.Broken) bench.ledger.wasBroken = true;
    else {
      bench.ledger.blame(
        undefined,
        `cannot submit ${kind.name}: ${Deno.inspect(error)}`,
      );
    }
    return false;
  }
}

/** Lets all be done and the workers be idle for a while. */
async function rest(ledger: Ledger, random: Random): Promise<void> {
  while (ledger.inFlight > 0) await ledger.change();
  await delay(random.whole(0, 60));
}

/** Kills a child of this program now and then, until it is told to stop. */
function startKiller(random: Random, ledger: Ledger): () => void {
  const goOn = () => setTimeout(kill, random.whole(100, 1500));
  const kill = () => {
    const pids = children();
    const signal = random.pick(["SIGKILL", "SIGTERM"] as const);
    if (pids.length > 0 && kills(random.pick(pids), signal)) ledger.kills++;
    timer = goOn();
  };
  let timer = goOn();
  return () => clearTimeout(timer);
}

function kills(pid: number, signal: Deno.Signal): boolean {
  try {
    Deno.kill(pid, signal);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false; // it has ended by itself
    throw error;
  }
}

// --------------------------------------------------------------------- closing

/** Waits until all promises have settled, and all consumers have come to their end. */
async function settle({ ledger, jobs }: Bench): Promise<void> {
  await Promise.all(jobs);
  while (ledger.inFlight > 0) await ledger.change();
}

function checkEnded({ name, pool, ledger }: Bench): void {
  try {
    pool.submit(Math.abs, 1);
    ledger.blame(undefined, "took a task after its end");
  } catch (error) {
    if (!(error instanceof RuntimeError)) {
      ledger.blame(undefined, `must refuse by a RuntimeError: ${error}`);
    }
  }
  if (name !== "process") return;
  const left = children();
  if (left.length > 0) {
    ledger.blame(undefined, `left processes behind: ${left.join(", ")}`);
  }
}

function closeBooks({ totals }: Line, ledger: Ledger, runs: Runs): void {
  try {
    totals.deaths += ledger.close(runs.count());
  } catch (error) {
    ledger.blame(undefined, `its runs cannot be told: ${error}`);
  }
  totals.kills += ledger.kills;
  if (ledger.wasBroken) totals.broken++;
}
