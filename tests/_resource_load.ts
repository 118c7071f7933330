/**
 * Scenarios of `resources.ts` with many pools, many tasks, and none for a while.
 *
 * @module
 */

import { delay } from "@std/async";
import type { Executor, Future } from "../mod.ts";
import { children, type Handles, measure } from "./_handles.ts";
import { Gates, tasks } from "./_harness.ts";
import {
  checkGone,
  collectUntil,
  countWorkers,
  cpuMillis,
  formatAll,
  type Kind,
  makePool,
  measureBefore,
  type Report,
  scaled,
  type Setup,
  sleeps,
  sleepsSince,
  workerThreads,
} from "./_resource_report.ts";

/** Most bytes by which the heap may grow for each pool that was made and shut down, and at all. */
const HEAP_PER_POOL = 1_000;
const HEAP_AT_ALL = 500e3; // compiled code and what the runtime learns of it
/** Most bytes by which the heap may grow under tasks that come and go. */
const HEAP_GROWTH = 8e6;
/**
 * Most bytes by which a process may grow once it has warmed up. Most of it is V8's young generation,
 * of which each thread has one, and which grows late: in a thread pool 10,000,000 tasks took 61 MB
 * more, and 13 MB where `--max-semi-space-size=1` kept it small (Deno 2.9.6, 2026-11).
 */
const RSS_GROWTH = 100e6;
/** Most CPU time of an idle pool, in milliseconds a second. */
const IDLE_CPU = 1;
/**
 * Most CPU time that V8 takes, once, to collect the garbage of a thread or process that it finds
 * idle: it did so after 25 to 40 s, in 22 ms each (Deno 2.9.6, x86-64 Linux, 2026-11).
 */
const TIDY_MS = 50;
/** To how many milliseconds the CPU time of a process is known. */
const CPU_STEP_MS = 10;

/** How long the pool of `idle` is left alone before anything is counted. */
const CALM_MS = 3_000;

const STEPS = 10;
/** The step from which on memory may grow no more. */
const WARM_STEP = 2;

/** A task: returns what it is given. */
function same(value: number): number {
  return value;
}

/** Memory at each tenth of the way. */
class Course {
  readonly #report: Report;
  readonly #total: number;
  readonly #unit: string;
  readonly #handles: Handles[] = [];

  constructor(report: Report, total: number, unit: string) {
    this.#report = report;
    this.#total = total;
    this.#unit = unit;
  }

  /** Notes what is held after so many, where a step is full. */
  note(count: number): void {
    const step = this.#handles.length + 1;
    if (count < this.#total * step / STEPS) return;
    const handles = measure();
    this.#handles.push(handles);
    this.#report.say(`${count} ${this.#unit}: ${formatAll(handles)}`);
  }

  /** By how many bytes memory grew from when all was warm to its end, or its highest point. */
  growth(): { heap: number; rss: number } {
    const warm = this.#handles[WARM_STEP - 1];
    const later = this.#handles.slice(WARM_STEP);
    const rss = Math.max(...later.map(({ rssBytes }) => rssBytes));
    return {
      heap: later.at(-1)!.heapBytes - warm.heapBytes,
      rss: rss - warm.rssBytes,
    };
  }

  checkFlat(): void {
    const { heap, rss } = this.growth();
    const name = `from ${WARM_STEP} tenths of the way on`;
    const mb = 1e6;
    this.#report.atMost(
      `growth of heap ${name}`,
      heap / mb,
      HEAP_GROWTH / mb,
      " MB",
    );
    this.#report.atMost(
      `growth of rss ${name}`,
      rss / mb,
      RSS_GROWTH / mb,
      " MB",
    );
  }
}

// ---------------------------------------------------------------- many pools

/** Ways to end a pool that has futures. */
const ENDS: readonly ((pool: Executor) => Promise<void> | void)[] = [
  (pool) => pool.shutdownSync(),
  (pool) => {
    using _ = pool;
  },
  async (pool) => {
    await using _ = pool;
  },
  (pool) => pool.shutdown({ cancelFutures: true }),
  (pool) => pool.shutdownSync({ cancelFutures: true }),
  (pool) => pool.shutdown({ wait: false }),
];

/** 1,000 pools made, used and shut down, one after another. */
export async function runPools(setup: Setup): Promise<void> {
  const { kind, report } = setup;
  const count = scaled(1_000, setup, 20);
  report.say(`${count} ${kind} pools made, used, and shut down in every way`);
  const before = await measureBefore(async () => {
    for (let n = 0; n < 2 * ENDS.length; n++) await usePool(kind, n);
  });
  const course = new Course(report, count, "pools");
  let finished = 0;
  for (let n = 0; n < count; n++) {
    finished += await usePool(kind, n);
    course.note(n + 1);
  }
  await checkGone(report, before);
  const { heap, rss } = course.growth();
  const pools = count * (1 - WARM_STEP / STEPS);
  report.say(
    `growth a pool over the last ${pools}, in bytes: heap ${
      Math.round(heap / pools)
    }, rss at its highest ${Math.round(rss / pools)}`,
  );
  report.atMost(
    "growth of heap",
    heap / 1e6,
    (HEAP_PER_POOL * pools + HEAP_AT_ALL) / 1e6,
    " MB",
  );
  report.atMost("growth of rss", rss / 1e6, RSS_GROWTH / 1e6, " MB");
  report.verdict(
    finished >= count,
    `tasks that returned their number: ${finished}`,
  );
}

/** Makes a pool, uses it and ends it; returns how many of its tasks were not cancelled. */
async function usePool(kind: Kind, n: number): Promise<number> {
  const pool = makePool(kind, { maxWorkers: 1 + n % 2 });
  const futures = [pool.submit(same, n)];
  await futures[0];
  for (let i = 1; i <= n % 3; i++) futures.push(pool.submit(same, n));
  if (n % 2 === 0) await pool.shutdown();
  else await ENDS[(n >> 1) % ENDS.length](pool);
  let finished = 0;
  for (const future of futures) {
    if (future.cancelled()) continue;
    checkValue(await future, n);
    finished++;
  }
  return finished;
}

function checkValue(actual: number, expected: number): void {
  if (actual === expected) return;
  throw new Error(
    `Cannot go on as task ${expected} must return its number: it returned ${actual}`,
  );
}

// ---------------------------------------------------------------- many tasks

/** How many tasks may be pending. */
const IN_FLIGHT = 10_000;

/** 10,000,000 tasks through one pool. */
export async function runTasks(setup: Setup): Promise<void> {
  const { kind, report } = setup;
  const count = scaled(10_000_000, setup, 20_000);
  report.say(
    `${count} tasks through one ${kind} pool, at most ${IN_FLIGHT} pending`,
  );
  const before = await measureUsed(kind);
  const pool = makePool(kind, { maxWorkers: 2 });
  const course = new Course(report, count, "tasks");
  const started = performance.now();
  const ring: Future<number>[] = [];
  let sum = 0n;
  for (let n = 0; n < count + IN_FLIGHT; n++) {
    const place = n % IN_FLIGHT;
    if (n >= IN_FLIGHT) {
      const expected = n - IN_FLIGHT;
      const value = await ring[place];
      checkValue(value, expected);
      sum += BigInt(value);
      course.note(expected + 1);
    }
    if (n < count) ring[place] = pool.submit(same, n);
  }
  sayRate(report, count, started);
  report.same("sum of the results", sum, sumBelow(count));
  course.checkFlat();
  await pool.shutdown();
  ring.length = 0;
  await checkGone(report, before);
}

/** Measures with no pool there; two have come and gone. */
function measureUsed(kind: Kind): Promise<Handles> {
  return measureBefore(async () => {
    await usePool(kind, 1);
    await usePool(kind, 2);
  });
}

function sayRate(report: Report, count: number, started: number): void {
  const seconds = (performance.now() - started) / 1_000;
  report.say(
    `${seconds.toFixed(1)} s, ${
      Math.round(count / seconds)
    } a second, samples included`,
  );
}

function sumBelow(count: number): bigint {
  return BigInt(count) * BigInt(count - 1) / 2n;
}

/** How many tasks `map` may be ahead of its consumer. */
const BUFFER_SIZE = 1_000;

/** 1,000,000 calls through `map`, each a task, then in chunks. */
export async function runMap(setup: Setup): Promise<void> {
  const before = await measureUsed(setup.kind);
  const pool = makePool(setup.kind, { maxWorkers: 2 });
  await mapAll(setup, pool, 1, BUFFER_SIZE);
  await mapAll(setup, pool, 100, BUFFER_SIZE / 100);
  await pool.shutdown();
  await checkGone(setup.report, before);
}

async function mapAll(
  setup: Setup,
  pool: Executor,
  chunkSize: number,
  bufferSize: number,
): Promise<void> {
  const { kind, report } = setup;
  const count = scaled(1_000_000, setup, 10_000);
  report.say(
    `${count} calls through map of a ${kind} pool, chunkSize ${chunkSize}, bufferSize ${bufferSize}`,
  );
  const course = new Course(report, count, "values");
  const started = performance.now();
  /** Tasks whose first value the consumer has asked for. */
  let asked = 0;
  let mostAhead = 0;
  function* numbers() {
    for (let n = 0; n < count; n++) {
      const tasks = Math.floor(n / chunkSize) + 1;
      mostAhead = Math.max(mostAhead, tasks - asked);
      yield n;
    }
  }
  let sum = 0n;
  let consumed = 0;
  const results = pool.map(same, numbers(), { bufferSize, chunkSize });
  asked = 1;
  for await (const value of results) {
    checkValue(value, consumed++);
    sum += BigInt(value);
    course.note(consumed);
    asked = Math.floor(consumed / chunkSize) + 1;
  }
  sayRate(report, count, started);
  report.same("values", consumed, count);
  report.same("sum of the values", sum, sumBelow(count));
  report.atMost("most tasks ahead of the consumer", mostAhead, bufferSize);
  course.checkFlat();
}

// ---------------------------------------------------------------------- idle

/** A pool with all its workers started, left alone for a minute. */
export async function runIdle(setup: Setup): Promise<void> {
  const { kind, report, idleSeconds } = setup;
  const maxWorkers = kind === "thread" ? 8 : 4;
  report.say(
    `a ${kind} pool of ${maxWorkers} workers left alone for ${idleSeconds} s`,
  );
  const before = await measureUsed(kind);
  const pool = makePool(kind, { maxWorkers });
  await useAll(pool, maxWorkers);
  await delay(CALM_MS);
  report.say(`with its workers: ${formatAll(measure())}`);
  report.same("workers", countWorkers(kind), maxWorkers);
  await checkIdle(setup);
  await pool.shutdown();
  await checkGone(report, before);
}

/** Has every worker run a task, all at once. */
async function useAll(pool: Executor, maxWorkers: number): Promise<void> {
  using gates = new Gates();
  const names = Array.from({ length: maxWorkers }, (_, n) => `${n}`);
  const futures = names.map((name) =>
    pool.submit(tasks.hold, gates.folder, name)
  );
  await collectUntil(() => names.every((name) => gates.isReached(name)));
  gates.openEvery();
  await Promise.all(futures);
}

/** Leaves all alone, and says in which quarter who used CPU time. */
async function checkIdle({ kind, report, idleSeconds }: Setup): Promise<void> {
  const pids = [Deno.pid, ...children()];
  let all = 0;
  let last = 0;
  for (let quarter = 1; quarter <= 4; quarter++) {
    const [cpu, slept] = [pids.map(cpuMillis), pids.map(sleeps)];
    await delay(idleSeconds * 1_000 / 4);
    const used = pids.map((pid, i) => cpuMillis(pid) - cpu[i]);
    const woken = pids.map((pid, i) => sleepsSince(pid, slept[i]));
    report.say(
      `quarter ${quarter}: CPU time in ms: this process ${used[0]}, children [${
        used.slice(1)
      }]; wake-ups: this process ${woken[0]}, children [${woken.slice(1)}]`,
    );
    last = used.reduce((a, b) => a + b);
    all += last;
  }
  const tidied = workerThreads() + pids.length;
  const unknown = CPU_STEP_MS * pids.length;
  report.atMost(
    "CPU time of all",
    all,
    IDLE_CPU * idleSeconds + TIDY_MS * tidied + unknown,
    " ms",
  );
  report.atMost(
    `CPU time of all in the last quarter of the ${kind} pool's rest`,
    last,
    IDLE_CPU * idleSeconds / 4 + unknown,
    " ms",
  );
}
