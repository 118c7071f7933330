/**
 * The targets of the process pool, beside workerpool's processes, CPython's
 * `ProcessPoolExecutor` where there is a `python3`, and this module's threads.
 *
 * @module
 */

import { ProcessPoolExecutor } from "../mod.ts";
import {
  contend,
  type Contender,
  ratioOf,
  report,
  takeTurns,
  timed,
} from "./_contest.ts";
import { CPython } from "./_cpython.ts";
import {
  burst,
  type Bytes,
  check,
  countDoneWhileBusy,
  createProcessPeers,
  MAX_WORKERS,
  openWarm,
  type Peer,
  sumByHand,
} from "./_peers.ts";
import { median } from "./_report.ts";
import { increment } from "./_tasks.ts";

/** Each takes about a second: a short burst of a quick pool is mostly its start. */
const QUICK_TASKS = 200_000;
const TASKS = 20_000;
const ROUND_TRIPS = 1_000;
const CHUNK_SIZE = 1_000;
const NUMBERS = Array.from({ length: 300_000 }, (_, i) => i);
const MAPPED_SUM = NUMBERS.reduce((sum, n) => sum + n + 1, 0);
const PAYLOAD_BYTES = 64_000_000;
const BUSY_MS = 1_000;

const MIN_TASKS_A_SECOND = 200_000;
const MIN_TASKS_RATIO = 10;
const MAX_FIRST_MS = 60;
const MIN_MB_A_SECOND = 400;

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

/** CPython as a contender, in a list that is empty where it is not there. */
function contendPython(
  { python }: Rivals,
  measure: (python: CPython) => Promise<number>,
): Contender[] {
  if (python === null) return [];
  return [contend(`CPython ${python.version}`, () => measure(python))];
}

async function measureTasks(rivals: Rivals): Promise<void> {
  const rate = (peer: Peer, tasks: number) =>
    contend(
      peer.name,
      async () => tasks / await timed(() => burst(peer, tasks)) * 1e3,
    );
  const subject = rate(rivals.ours, QUICK_TASKS);
  const threads = rate(rivals.threads, QUICK_TASKS);
  const workerpool = rate(rivals.workerpool, TASKS);
  const cpython = contendPython(
    rivals,
    async (python) => TASKS / await python.time("burst", TASKS) * 1e3,
  );
  await takeTurns(7, [subject, threads, workerpool, ...cpython]);
  report(
    "processes, no-op tasks, each awaited: >= 200,000/s",
    subject,
    "/s",
    median(subject.figures) >= MIN_TASKS_A_SECOND,
    threads,
  );
  for (const peer of [workerpool, ...cpython]) {
    const isFaster = ratioOf(subject, peer) >= MIN_TASKS_RATIO;
    report(`... and >= 10 times ${peer.name}`, subject, "/s", isFaster, peer);
  }
}

async function measureAwaited(rivals: Rivals): Promise<void> {
  const roundTrips = async (peer: Peer) => {
    for (let i = 0; i < ROUND_TRIPS; i++) {
      check(peer, await peer.run("identity", i), i);
    }
  };
  const micros = (peer: Peer) =>
    contend(
      peer.name,
      async () => await timed(() => roundTrips(peer)) / ROUND_TRIPS * 1e3,
    );
  const subject = micros(rivals.ours);
  const cpython = contendPython(
    rivals,
    async (python) =>
      await python.time("round_trips", ROUND_TRIPS) / ROUND_TRIPS * 1e3,
  );
  const others = [rivals.workerpool, rivals.threads].map(micros);
  await takeTurns(9, [subject, ...cpython, ...others]);
  for (const peer of cpython) {
    const reached = ratioOf(subject, peer) <= 1;
    report(
      "processes, awaited round trip: <= CPython's",
      subject,
      "µs",
      reached,
      peer,
    );
  }
  for (const peer of others) {
    report("... no target", subject, "µs", undefined, peer);
  }
}

async function measureFirst(rivals: Rivals): Promise<void> {
  const first = (peer: Peer) =>
    contend(peer.name, async () => {
      const elapsed = await timed(async () => {
        peer.open(1);
        check(peer, await peer.run("identity", 7), 7);
      });
      await peer.stop();
      return elapsed;
    });
  const { ours, threads, workerpool } = createProcessPeers();
  const subject = first(ours);
  const others = [
    first(workerpool),
    ...contendPython(rivals, (python) => python.time("first_result")),
    first(threads),
  ];
  await takeTurns(15, [subject, ...others]);
  const reached = median(subject.figures) <= MAX_FIRST_MS;
  report(
    "processes, first result of a new pool: <= 60 ms",
    subject,
    "ms",
    reached,
    others[0],
  );
  for (const peer of others.slice(1)) {
    report("... no target", subject, "ms", undefined, peer);
  }
}

async function measureMap(rivals: Rivals): Promise<void> {
  await using pool = new ProcessPoolExecutor({ maxWorkers: MAX_WORKERS });
  const rate = (name: string, add: () => number | Promise<number>) =>
    contend(name, async () => {
      const elapsed = await timed(async () =>
        check({ name }, await add(), MAPPED_SUM)
      );
      return NUMBERS.length / elapsed * 1e3;
    });
  const options = { chunkSize: CHUNK_SIZE };
  const subject = rate("for await", async () => {
    let sum = 0;
    for await (const n of pool.map(increment, NUMBERS, options)) sum += n;
    return sum;
  });
  const cpython = contendPython(
    rivals,
    async (python) =>
      NUMBERS.length / await python.time("map_numbers", NUMBERS.length) * 1e3,
  );
  const byHand = rate(
    `${rivals.workerpool.name}, by hand`,
    () => sumByHand(rivals.workerpool, NUMBERS, CHUNK_SIZE),
  );
  await takeTurns(7, [subject, ...cpython, byHand]);
  for (const peer of cpython) {
    report(
      "processes, map, chunkSize 1000: faster than CPython's",
      subject,
      "/s",
      ratioOf(subject, peer) > 1,
      peer,
    );
  }
  report("... no target", subject, "/s", undefined, byHand);
}

async function measureCopy(rivals: Rivals): Promise<void> {
  // Both ways take about as long, so that the rate of each is that of all.
  const rateOf = (elapsed: number) => 2 * PAYLOAD_BYTES / 1e6 / elapsed * 1e3;
  const rate = (peer: Peer) => {
    const bytes: Bytes = new Uint8Array(PAYLOAD_BYTES);
    const run = async () => {
      bytes[0]++;
      bytes[PAYLOAD_BYTES - 1]--;
      const back = await peer.echo(bytes);
      check(peer, back.length, PAYLOAD_BYTES);
      check(peer, back[0], bytes[0]);
      check(peer, back[PAYLOAD_BYTES - 1], bytes[PAYLOAD_BYTES - 1]);
    };
    return contend(peer.name, async () => rateOf(await timed(run)));
  };
  const subject = rate(rivals.ours);
  const others = [
    rate(rivals.workerpool),
    ...contendPython(
      rivals,
      async (python) => rateOf(await python.time("echo", PAYLOAD_BYTES)),
    ),
    rate(rivals.threads),
  ];
  await takeTurns(9, [subject, ...others]);
  report(
    "processes, 64 MB there and back: >= 400 MB/s each way",
    subject,
    "MB/s",
    median(subject.figures) >= MIN_MB_A_SECOND,
    others[0],
  );
  for (const peer of others.slice(1)) {
    report("... no target", subject, "MB/s", undefined, peer);
  }
}

async function measureBusy(rivals: Rivals): Promise<void> {
  const done = (peer: Peer) =>
    contend(peer.name, () => countDoneWhileBusy(peer, TASKS, BUSY_MS));
  const subject = done(rivals.ours);
  const others = [
    done(rivals.workerpool),
    ...contendPython(
      rivals,
      (python) => python.measure("done_while_busy", TASKS),
    ),
    done(rivals.threads),
  ];
  await takeTurns(3, [subject, ...others]);
  report(
    "processes, done while this thread is busy for 1 s: all 20,000",
    subject,
    "tasks",
    Math.min(...subject.figures) === TASKS,
    others[0],
  );
  for (const peer of others.slice(1)) {
    report("... no target", subject, "tasks", undefined, peer);
  }
}

/** All measurements, by the names that `targets.ts` takes. */
export const PROCESS_MEASUREMENTS: Readonly<
  Record<string, (rivals: Rivals) => Promise<void>>
> = {
  "process-tasks": measureTasks,
  "process-awaited": measureAwaited,
  "process-first": measureFirst,
  "process-map": measureMap,
  "process-copy": measureCopy,
  "process-busy": measureBusy,
};
