/**
 * Scenarios of `resources.ts` in which a pool is dropped without `shutdown`.
 *
 * @module
 */

import {
  BrokenExecutor,
  type Executor,
  type Future,
  importTasks,
} from "../mod.ts";
import { measure } from "./_handles.ts";
import { Gates, tasks } from "./_harness.ts";
import {
  checkGone,
  collectUntil,
  countWorkers,
  formatAll,
  type Kind,
  makePool,
  measureBefore,
  type PoolOptions,
  scaled,
  type Setup,
} from "./_resource_report.ts";

const { dropInner, same } = importTasks<typeof import("./_resource_tasks.ts")>(
  import.meta.resolve("./_resource_tasks.ts"),
);

/** Tasks that wait behind those that run. */
const PENDING = 100;
const NUMBERS: readonly number[] = Array.from({ length: PENDING }, (_, n) => n);

/** The gates at which the tasks of a busy pool wait, one for each of its workers. */
const GATES: readonly string[] = ["first", "second"];

/** What a case may use. */
interface Bench extends Setup {
  readonly gates: Gates;
}

const CASES: Readonly<Record<string, (bench: Bench) => Promise<void>>> = {
  "with all its workers idle": dropIdle,
  "before its first task": dropUnused,
  "with tasks running and pending": dropPending,
  "with tasks running and pending whose futures nobody has": dropUnheld,
  "while the values of its map are to come": dropMapped,
  "with its map left half-way": dropMapHalfWay,
  "broken by its initializer": dropUnfit,
  "broken by the death of a worker": dropBroken,
  "in a worker": dropInWorker,
  "many in a row": dropRow,
};

/** Pools dropped in every state: their workers end, and no task is lost. */
export async function runDropped(setup: Setup): Promise<void> {
  const { kind, report } = setup;
  const before = await measureBefore(() => makeAndDrop(kind, {}, startAll));
  for (const [name, run] of Object.entries(CASES)) {
    report.say(`a ${kind} pool dropped ${name}`);
    using gates = new Gates();
    await run({ ...setup, gates });
    await checkGone(report, before);
  }
}

/** Makes a pool, has it used, and lets go of it; returns what its use left. */
async function makeAndDrop<T>(
  kind: Kind,
  options: PoolOptions,
  use: (pool: Executor) => T,
): Promise<{ pool: WeakRef<Executor>; left: Awaited<T> }> {
  const pool = makePool(kind, { maxWorkers: GATES.length, ...options });
  return { left: await use(pool), pool: new WeakRef(pool) };
}

/** Starts all workers. */
function startAll(pool: Executor): Promise<unknown> {
  return Promise.all(GATES.map((_, n) => pool.submit(same, n)));
}

function checkWorkers({ kind, report }: Setup, expected: number): void {
  report.same("workers when it was dropped", countWorkers(kind), expected);
}

async function dropIdle(bench: Bench): Promise<void> {
  await makeAndDrop(bench.kind, {}, async (pool) => {
    await startAll(pool);
    checkWorkers(bench, GATES.length);
  });
}

async function dropUnused(bench: Bench): Promise<void> {
  await makeAndDrop(bench.kind, {}, () => checkWorkers(bench, 0));
}

/** Has every worker busy until its gate opens. */
async function occupy(pool: Executor, { gates }: Bench): Promise<void> {
  for (const gate of GATES) pool.submit(tasks.hold, gates.folder, gate);
  await collectUntil(() => GATES.every((gate) => gates.isReached(gate)));
}

async function dropPending(bench: Bench): Promise<void> {
  const { kind, report, gates } = bench;
  const { pool, left: futures } = await makeAndDrop(kind, {}, async (pool) => {
    await occupy(pool, bench);
    checkWorkers(bench, GATES.length);
    return NUMBERS.map((n) => pool.submit(same, n));
  });
  const isCollected = await collectUntil(() => pool.deref() === undefined);
  report.verdict(isCollected, "the pool was collected with its tasks pending");
  report.same("tasks done by then", countDone(futures), 0);
  gates.openEvery();
  const results = await Promise.all(futures);
  report.same("results in order", results.every((n, i) => n === i), true);
}

function countDone(futures: readonly Future<unknown>[]): number {
  return futures.filter((future) => future.done()).length;
}

async function dropUnheld(bench: Bench): Promise<void> {
  const { kind, report, gates } = bench;
  const { pool } = await makeAndDrop(kind, {}, async (pool) => {
    await occupy(pool, bench);
    checkWorkers(bench, GATES.length);
    for (const n of NUMBERS) pool.submit(tasks.note, gates.folder, `${n}`);
  });
  const isCollected = await collectUntil(() => pool.deref() === undefined);
  report.verdict(isCollected, "the pool was collected with its tasks pending");
  gates.openEvery();
  await collectUntil(() => gates.notes().length >= PENDING);
  const ran = new Set(gates.notes());
  report.same("tasks that ran, each once", ran.size, gates.notes().length);
  report.same("tasks that ran", ran.size, PENDING);
}

async function dropMapped(bench: Bench): Promise<void> {
  const { kind, report, gates } = bench;
  const { left: results } = await makeAndDrop(kind, {}, async (pool) => {
    await occupy(pool, bench);
    checkWorkers(bench, GATES.length);
    return { values: pool.map(same, NUMBERS) };
  });
  gates.openEvery();
  const values = await Array.fromAsync(results.values);
  report.same("values", values.length, PENDING);
  report.same("in order", values.every((n, i) => n === i), true);
}

/** The iterator holds on to the pool, to send it more: it is dropped as well. */
async function dropMapHalfWay(bench: Bench): Promise<void> {
  const { kind, report } = bench;
  await makeAndDrop(kind, {}, async (pool) => {
    const results = pool.map(same, NUMBERS, { bufferSize: 10 });
    for (const n of NUMBERS.slice(0, PENDING / 2)) {
      const { value } = await results.next();
      if (value !== n) report.same("value", value, n);
    }
    checkWorkers(bench, GATES.length);
  });
}

async function dropUnfit(bench: Bench): Promise<void> {
  const initializer = () => {
    throw new Error("unfit");
  };
  await makeAndDrop(bench.kind, { initializer }, async (pool) => {
    const error = await pool.submit(same, 1).exception();
    bench.report.same("broken", error instanceof BrokenExecutor, true);
  });
}

async function dropBroken(bench: Bench): Promise<void> {
  const options = { onWorkerDeath: "break" } as const;
  await makeAndDrop(bench.kind, options, async (pool) => {
    await startAll(pool);
    const error = await pool.submit(() => Deno.exit(3)).exception();
    bench.report.same("broken", error instanceof BrokenExecutor, true);
  });
}

async function dropInWorker({ kind, report }: Bench): Promise<void> {
  await using pool = makePool(kind, { maxWorkers: 1 });
  for (const inner of ["thread", "process"] as const) {
    const { isGone, before, after } = await pool.submit(dropInner, inner);
    report.say(`a ${inner} pool in there: before ${before}; after ${after}`);
    report.same("its workers are gone", isGone, true);
  }
}

async function dropRow(bench: Bench): Promise<void> {
  const { kind, report } = bench;
  const count = scaled(100, bench, 5);
  const futures: Future<number>[] = [];
  for (let n = 0; n < count; n++) {
    await makeAndDrop(kind, { maxWorkers: 1 }, async (pool) => {
      await pool.submit(same, n);
      if (n % 2 === 0) futures.push(pool.submit(same, n)); // pending
    });
  }
  // V8 may have collected some on the way.
  report.say(`${count} pools; workers: ${countWorkers(kind)}`);
  report.say(`once collected: ${formatAll(measure())}`);
  const results = await Promise.all(futures);
  report.same("results", results.every((n, i) => n === 2 * i), true);
}
