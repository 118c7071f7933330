/**
 * The process pool beside workerpool's processes, CPython's `ProcessPoolExecutor`
 * where there is a `python3`, and this module's threads; and its targets.
 *
 * CPython is asked in the blocking form, its only one.
 *
 * @module
 */

import { ProcessPoolExecutor } from "../mod.ts";
import { check } from "./_check.ts";
import {
  compete,
  contend,
  type Contender,
  type Effort,
  type Measurements,
  type Question,
  type Remarks,
  timed,
} from "./_contest.ts";
import { contendAwaited, contendFirst, contendMap } from "./_contenders.ts";
import { contendPython, CPython } from "./_cpython.ts";
import type { Measurement, Opponent, Target } from "./_measurement.ts";
import {
  burst,
  type Bytes,
  countDoneWhileBusy,
  createProcessPeers,
  MAX_WORKERS,
  openWarm,
  type Peer,
  sumByHand,
} from "./_peers.ts";
import { identity, increment } from "./_tasks.ts";
import { contendSplit } from "./_thread_targets.ts";

/** As many for everybody, and as many as in threads: a rate depends on it. */
const TASKS = 50_000;
const ROUND_TRIPS = 1_000;
const CHUNK_SIZE = 1_000;
const NUMBERS = Array.from({ length: 300_000 }, (_, i) => i);
const MAPPED = {
  count: NUMBERS.length,
  sum: NUMBERS.reduce((sum, n) => sum + n + 1, 0),
};
const PAYLOAD_BYTES = 64_000_000;
const BUSY_MS = 1_000;
const BUSY_TASKS = 20_000;

const MIN_TASKS_A_SECOND = 200_000;
const MIN_TASKS_RATIO = 10;
const MAX_FIRST_MS = 60;
const MIN_MB_A_SECOND = 400;

/** This module too, for what processes cost. */
const OURS: Remarks = { isOurs: true };

/** Why others are ahead, where they are. */
const REASONS = {
  noManager:
    "The main thread of workerpool talks to the processes itself. That is shorter by a thread, and stands still while the main thread is busy.",
  wakeUps:
    "A round trip wakes the manager, the process and the main thread: most of it is the machine's.",
  noManagerStart:
    "workerpool starts a process alone; here the manager, a thread, starts as well.",
  fork:
    "CPython forks, before Python 3.14: a copy of a process that runs already. Deno starts anew.",
  byHand:
    "By hand, a task is an array and its result is one too; `map` hands out each value by itself.",
  managerCopies:
    "Here bytes go through shared memory to the manager, a thread, before they reach a pipe: a copy more each way.",
} as const;

/** All that is measured side by side, with warm workers. */
export interface Rivals {
  readonly ours: Peer;
  readonly threads: Peer;
  readonly workerpool: Peer;
  readonly python: CPython | null;
}

/** Starts all. */
export async function openRivals(): Promise<Rivals> {
  const { ours, threads, workerpool } = createProcessPeers();
  for (const peer of [ours, threads, workerpool]) await openWarm(peer);
  return {
    ours,
    threads,
    workerpool,
    python: await CPython.open("processes"),
  };
}

/** Ends all. */
export async function stopRivals(rivals: Rivals): Promise<void> {
  const { ours, threads, workerpool, python } = rivals;
  for (const peer of [ours, threads, workerpool]) await peer.stop();
  await python?.stop();
}

function ask(
  question: string,
  unit: string,
  better: Question["better"],
): Question {
  return { group: "Processes", question, unit, better };
}

async function measureTasks(
  { ours, threads, workerpool, python }: Rivals,
  effort: Effort,
): Promise<Measurement[]> {
  const rate = (peer: Peer, remarks?: Remarks) =>
    contend(
      peer.name,
      async () => TASKS / await timed(() => burst(peer, TASKS)) * 1e3,
      remarks,
    );
  const cpython = contendPython(
    python,
    async (python) => TASKS / await python.time("burst", TASKS) * 1e3,
  );
  return [
    await compete(
      ask("50,000 no-op tasks, each awaited", "/s", "higher"),
      effort.repetitions(7),
      rate(ours),
      [
        rate(workerpool),
        ...cpython,
        rate(threads, OURS),
      ],
      ({ ours, opponents }) => [
        {
          text: "at least 200,000 /s",
          isReached: ours.median >= MIN_TASKS_A_SECOND,
        },
        ...opponents.filter(({ isOurs }) => !isOurs).map((opponent) => ({
          text: `at least 10 times ${opponent.name}'s`,
          isReached: opponent.ratio >= MIN_TASKS_RATIO,
        })),
      ],
    ),
  ];
}

async function measureAwaited(
  { ours, threads, workerpool, python }: Rivals,
  effort: Effort,
): Promise<Measurement[]> {
  const micros = (peer: Peer, remarks?: Remarks) =>
    contendAwaited(peer, ROUND_TRIPS, remarks);
  return [
    await compete(
      ask("one call and its result, awaited", "µs", "lower"),
      effort.repetitions(9),
      micros(ours),
      [
        micros(workerpool, { reason: REASONS.noManager }),
        ...contendRoundTrips(python),
        micros(threads, OURS),
      ],
      ({ opponents }) => aheadOfPython(opponents),
    ),
  ];
}

function contendRoundTrips(python: CPython | null): Contender[] {
  return contendPython(
    python,
    async (python) =>
      await python.time("round_trips", ROUND_TRIPS) / ROUND_TRIPS * 1e3,
    { reason: REASONS.wakeUps },
  );
}

/** The target of being no worse than CPython, where it is there. */
function aheadOfPython(opponents: readonly Opponent[]): Target[] {
  return opponents.filter(({ name }) => name === "CPython").map((
    { ratio },
  ) => ({ text: "no worse than CPython", isReached: ratio >= 1 }));
}

async function measureBlocking(
  { ours, python }: Rivals,
  effort: Effort,
): Promise<Measurement[]> {
  await using pool = new ProcessPoolExecutor({ maxWorkers: MAX_WORKERS });
  const roundTrips = () => {
    for (let i = 0; i < ROUND_TRIPS; i++) {
      check(ours, pool.submit(identity, i).resultSync(), i);
    }
  };
  return [
    await compete(
      ask("one call and its result, blocking", "µs", "lower"),
      effort.repetitions(9),
      contend(
        ours.name,
        async () => await timed(roundTrips) / ROUND_TRIPS * 1e3,
      ),
      contendRoundTrips(python),
    ),
  ];
}

async function measureFirst(
  { python }: Rivals,
  effort: Effort,
): Promise<Measurement[]> {
  const { ours, threads, workerpool } = createProcessPeers();
  return [
    await compete(
      ask("first result of a new pool", "ms", "lower"),
      effort.repetitions(15),
      contendFirst(ours),
      [
        contendFirst(workerpool, { reason: REASONS.noManagerStart }),
        ...contendPython(python, (python) => python.time("first_result"), {
          reason: REASONS.fork,
        }),
        contendFirst(threads, OURS),
      ],
      ({ ours }) => [{
        text: "at most 60 ms",
        isReached: ours.median <= MAX_FIRST_MS,
      }],
    ),
  ];
}

async function measureMap(
  { workerpool, python }: Rivals,
  effort: Effort,
): Promise<Measurement[]> {
  await using pool = new ProcessPoolExecutor({ maxWorkers: MAX_WORKERS });
  const rate = (
    name: string,
    add: () => number | Promise<number>,
    remarks?: Remarks,
  ) => contendMap(name, MAPPED, add, remarks);
  const options = { chunkSize: CHUNK_SIZE };
  const subject = rate("for await", async () => {
    let sum = 0;
    for await (const n of pool.map(increment, NUMBERS, options)) sum += n;
    return sum;
  });
  const cpython = contendPython(
    python,
    async (python) =>
      NUMBERS.length / await python.time("map_numbers", NUMBERS.length) * 1e3,
  );
  const byHand = rate(
    workerpool.name,
    () => sumByHand(workerpool, NUMBERS, CHUNK_SIZE),
    { way: "by hand", reason: REASONS.byHand },
  );
  return [
    await compete(
      ask(
        "numbers through `map`, `chunkSize` 1,000, `for await`",
        "/s",
        "higher",
      ),
      effort.repetitions(7),
      subject,
      [byHand, ...cpython],
      ({ opponents }) => aheadOfPython(opponents),
    ),
  ];
}

async function measureSplit(
  { ours, threads, workerpool, python }: Rivals,
  effort: Effort,
): Promise<Measurement[]> {
  const cpython = contendPython(python, (python) => python.time("split"));
  return [
    await compete(
      ask("four tasks that compute in Python too", "ms", "lower"),
      effort.repetitions(7),
      contendSplit(ours),
      [
        contendSplit(workerpool, { reason: REASONS.noManager }),
        ...cpython,
        contendSplit(threads, OURS),
      ],
    ),
  ];
}

async function measureCopy(
  { ours, threads, workerpool, python }: Rivals,
  effort: Effort,
): Promise<Measurement[]> {
  // Both ways take about as long, so that the rate of each is that of all.
  const rateOf = (elapsed: number) => 2 * PAYLOAD_BYTES / 1e6 / elapsed * 1e3;
  const rate = (peer: Peer, remarks?: Remarks) => {
    const bytes: Bytes = new Uint8Array(PAYLOAD_BYTES);
    const run = async () => {
      bytes[0]++;
      bytes[PAYLOAD_BYTES - 1]--;
      const back = await peer.echo(bytes);
      check(peer, back.length, PAYLOAD_BYTES);
      check(peer, back[0], bytes[0]);
      check(peer, back[PAYLOAD_BYTES - 1], bytes[PAYLOAD_BYTES - 1]);
    };
    return contend(peer.name, async () => rateOf(await timed(run)), remarks);
  };
  const cpython = contendPython(
    python,
    async (python) => rateOf(await python.time("echo", PAYLOAD_BYTES)),
    { reason: REASONS.managerCopies },
  );
  return [
    await compete(
      ask("64 MB there and back, each way", "MB/s", "higher"),
      effort.repetitions(9),
      rate(ours),
      [
        rate(workerpool, { reason: REASONS.noManager }),
        ...cpython,
        rate(threads, OURS),
      ],
      ({ ours }) => [{
        text: "at least 400 MB/s",
        isReached: ours.median >= MIN_MB_A_SECOND,
      }],
    ),
  ];
}

async function measureBusy(
  { ours, threads, workerpool, python }: Rivals,
  effort: Effort,
): Promise<Measurement[]> {
  const done = (peer: Peer, remarks?: Remarks) =>
    contend(
      peer.name,
      () => countDoneWhileBusy(peer, BUSY_TASKS, BUSY_MS),
      remarks,
    );
  const cpython = contendPython(
    python,
    (python) => python.measure("done_while_busy", BUSY_TASKS),
  );
  return [
    await compete(
      ask(
        "of 20,000 tasks, done while main is busy for 1 s",
        "tasks",
        "higher",
      ),
      effort.repetitions(3),
      done(ours),
      [done(workerpool), ...cpython, done(threads, OURS)],
      (
        { ours },
      ) => [{ text: "all 20,000", isReached: ours.min === BUSY_TASKS }],
    ),
  ];
}

/** All measurements, by the names that `targets.ts` takes. */
export const PROCESS_MEASUREMENTS: Measurements<Rivals> = {
  "process-tasks": measureTasks,
  "process-awaited": measureAwaited,
  "process-blocking": measureBlocking,
  "process-first": measureFirst,
  "process-map": measureMap,
  "process-split": measureSplit,
  "process-copy": measureCopy,
  "process-busy": measureBusy,
};
