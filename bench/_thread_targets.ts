/**
 * The thread pool beside a bare Worker, the pools of npm, and CPython's
 * `ThreadPoolExecutor` where there is a `python3`; and its targets.
 *
 * CPython is asked in the blocking form, its only one. A row with "blocking" or
 * `for` in it is the same form on our side.
 *
 * The round trips depend on where the system lets the threads run, for every
 * contender: on the same core a wake-up takes some 5 µs, on another one that is
 * halted some 40 in a virtual machine. A round trip that is once 10 and once 80
 * µs is that.
 *
 * @module
 */

import { ThreadPoolExecutor } from "../mod.ts";
import { BlockingWorker } from "./_blocking_worker.ts";
import { check } from "./_check.ts";
import {
  compete,
  conclude,
  contend,
  type Contender,
  type Effort,
  type Measurements,
  type Question,
  type Remarks,
  takeTurns,
  timed,
} from "./_contest.ts";
import { contendAwaited, contendFirst, contendMap } from "./_contenders.ts";
import { contendPython, CPython } from "./_cpython.ts";
import { bestPeerOf, type Measurement, type Target } from "./_measurement.ts";
import {
  burst,
  type Bytes,
  createPeers,
  MAX_WORKERS,
  openWarm,
  type Peer,
  sumByHand,
  type ThreadPeer,
} from "./_peers.ts";
import { identity, increment, mix, mixExact } from "./_tasks.ts";
import { measureInProcess, PENDING } from "./_memory.ts";

const TASKS = 50_000;
/** Some pools are slow where very many wait. */
const FEW_TASKS = 2_000;
const ROUND_TRIPS = 3_000;
const CHUNK_SIZE = 1_000;
const NUMBERS = Array.from({ length: 300_000 }, (_, i) => i);
const MAPPED = {
  count: NUMBERS.length,
  sum: NUMBERS.reduce((sum, n) => sum + n + 1, 0),
};
const SEEDS = Array.from({ length: 32 }, (_, i) => i + 1);
const MIXED_SUM = SEEDS.reduce((sum, seed) => sum + mix(seed), 0);
/** Those of `cpython.py`, which takes long for each. */
export const EXACT_SEEDS = [1, 2, 3, 4];
/** What `mixExact` makes of them, added up. */
export const EXACT_SUM = EXACT_SEEDS.reduce((sum, n) => sum + mixExact(n), 0);
const PAYLOAD_BYTES = 64_000_000;

const MIN_TASKS_A_SECOND = 400_000;
const MIN_TASKS_RATIO = 5;
const MAX_BLOCKING_MICROS = 25;
const MIN_MAPPED_A_SECOND = 3_000_000;
const MAX_CPU_RATIO = 1.05;
const MAX_PAYLOAD_RATIO = 1.3;
const MAX_PENDING_BYTES = 500;

const NPM = ["piscina", "workerpool", "poolifier"];

/** Why others are ahead, where they are. */
const REASONS = {
  sharedHeap:
    "Threads of CPython share one heap: nothing is encoded, sent or decoded.",
  wakeUps:
    "Most of a round trip is the wake-up of a sleeping thread, which differs from run to run.",
  noQueue:
    "Most of a round trip is the wake-up of a sleeping thread; and the bare Worker has no queue to claim a task from.",
  byHand:
    "By hand, a task is an array and its result is one too; `map` hands out each value by itself.",
  start:
    "A new pool makes shared memory, and its worker loads the module of the pool before the task.",
  pythonStart: "A thread of CPython is a stack; a Worker is a whole runtime.",
  claims:
    "The worker claims a task first, and asks for what is moved afterwards: one message more, while others post it with the task.",
  sameWork: "The same arithmetic in as many threads: a few per cent are noise.",
} as const;

/** All that is measured side by side, with warm workers. */
export interface Threads {
  readonly ours: ThreadPeer;
  readonly bare: ThreadPeer;
  readonly npm: readonly ThreadPeer[];
  /** A pool of this module's, for what the others do not have. */
  readonly pool: ThreadPoolExecutor;
  readonly python: CPython | null;
}

/** Starts all. */
export async function openThreads(): Promise<Threads> {
  const [bare, piscina, workerpool, poolifier, ours] = createPeers();
  const npm = [piscina, workerpool, poolifier];
  for (const peer of [bare, ...npm, ours]) await openWarm(peer);
  const pool = new ThreadPoolExecutor({ maxWorkers: MAX_WORKERS });
  return { ours, bare, npm, pool, python: await CPython.open("threads") };
}

/** Ends all. */
export async function stopThreads(threads: Threads): Promise<void> {
  const { ours, bare, npm, pool, python } = threads;
  for (const peer of [bare, ...npm, ours]) await peer.stop();
  await pool.shutdown();
  await python?.stop();
}

function ask(
  question: string,
  unit: string,
  better: Question["better"],
): Question {
  return { group: "Threads", question, unit, better };
}

async function measureTasks(
  threads: Threads,
  effort: Effort,
): Promise<Measurement[]> {
  return [
    await measureBurst(threads, effort, TASKS, (measured) => [
      {
        text: "at least 400,000 /s",
        isReached: measured.ours.median >= MIN_TASKS_A_SECOND,
      },
      {
        text: "at least 5 times npm's best",
        isReached: bestOfNpm(measured) >= MIN_TASKS_RATIO,
      },
    ]),
    await measureBurst(threads, effort, FEW_TASKS),
  ];
}

function measureBurst(
  { ours, bare, npm, python }: Threads,
  effort: Effort,
  tasks: number,
  judge?: Parameters<typeof compete>[4],
): Promise<Measurement> {
  const rate = (peer: Peer) =>
    contend(
      peer.name,
      async () => tasks / await timed(() => burst(peer, tasks)) * 1e3,
    );
  const cpython = contendPython(
    python,
    async (python) => tasks / await python.time("burst", tasks) * 1e3,
    { reason: REASONS.sharedHeap },
  );
  return compete(
    ask(
      `${tasks.toLocaleString("en-US")} no-op tasks, each awaited`,
      "/s",
      "higher",
    ),
    effort.repetitions(5),
    rate(ours),
    [...[bare, ...npm].map(rate), ...cpython],
    judge,
  );
}

/** The ratio to the best of npm's pools. */
function bestOfNpm({ opponents }: Pick<Measurement, "opponents">): number {
  const npm = opponents.filter(({ name }) => NPM.includes(name));
  return bestPeerOf({ opponents: npm })!.ratio;
}

async function measureAwaited(
  { ours, bare, npm, python }: Threads,
  effort: Effort,
): Promise<Measurement[]> {
  const micros = (peer: Peer) =>
    contendAwaited(peer, ROUND_TRIPS, { reason: REASONS.wakeUps });
  return [
    await compete(
      ask("one call and its result, awaited", "µs", "lower"),
      effort.repetitions(9),
      micros(ours),
      [...[bare, ...npm].map(micros), ...contendRoundTrips(python)],
      (measured) => [{
        text: "shorter than npm's best",
        isReached: bestOfNpm(measured) > 1,
      }],
    ),
  ];
}

function contendRoundTrips(python: CPython | null): Contender[] {
  return contendPython(
    python,
    async (python) =>
      await python.time("round_trips", ROUND_TRIPS) / ROUND_TRIPS * 1e3,
    { reason: REASONS.sharedHeap },
  );
}

async function measureBlocking(
  { ours, pool, python }: Threads,
  effort: Effort,
): Promise<Measurement[]> {
  const worker = new BlockingWorker();
  const micros = (
    name: string,
    run: (value: number) => number,
    remarks: Remarks = {},
  ) =>
    contend(name, async () => {
      const roundTrips = () => {
        for (let i = 0; i < ROUND_TRIPS; i++) check({ name }, run(i), i);
      };
      return await timed(roundTrips) / ROUND_TRIPS * 1e3;
    }, remarks);
  const measurement = await compete(
    ask("one call and its result, blocking", "µs", "lower"),
    effort.repetitions(15),
    micros(ours.name, (i) => pool.submit(identity, i).resultSync()),
    [
      micros("bare Worker", (i) => worker.run(i), {
        way: "with Atomics",
        reason: REASONS.noQueue,
      }),
      ...contendRoundTrips(python),
    ],
    (measured) => [{
      text: "at most 25 µs",
      isReached: measured.ours.median <= MAX_BLOCKING_MICROS,
    }],
  );
  worker.stop();
  return [measurement];
}

async function measureFirst(
  { python }: Threads,
  effort: Effort,
): Promise<Measurement[]> {
  const peers = createPeers().map((peer) =>
    contendFirst(peer, { reason: REASONS.start })
  );
  const cpython = contendPython(
    python,
    (python) => python.time("first_result"),
    { reason: REASONS.pythonStart },
  );
  return [
    await compete(
      ask("first result of a new pool", "ms", "lower"),
      effort.repetitions(15),
      peers.pop()!,
      [...peers, ...cpython],
    ),
  ];
}

async function measureMap(
  { bare, npm, pool, python }: Threads,
  effort: Effort,
): Promise<Measurement[]> {
  const rate = (
    name: string,
    add: () => number | Promise<number>,
    remarks?: Remarks,
  ) => contendMap(name, MAPPED, add, remarks);
  const options = { chunkSize: CHUNK_SIZE };
  const awaited = rate("for await", async () => {
    let sum = 0;
    for await (const n of pool.map(increment, NUMBERS, options)) sum += n;
    return sum;
  });
  const blocking = rate("for", () => {
    let sum = 0;
    for (const n of pool.map(increment, NUMBERS, options)) sum += n;
    return sum;
  });
  const byHand = [bare, ...npm].map((peer) =>
    rate(peer.name, () => sumByHand(peer, NUMBERS, CHUNK_SIZE), {
      way: "by hand",
      reason: REASONS.byHand,
    })
  );
  const cpython = contendPython(
    python,
    async (python) =>
      NUMBERS.length / await python.time("map_numbers", NUMBERS.length) * 1e3,
    { way: "by hand", reason: REASONS.sharedHeap },
  );
  const others = [...byHand, ...cpython];
  await takeTurns(effort.repetitions(7), [awaited, blocking, ...others]);
  return [awaited, blocking].map((subject) =>
    conclude(
      ask(
        `numbers through \`map\`, \`chunkSize\` 1,000, \`${subject.name}\``,
        "/s",
        "higher",
      ),
      subject,
      others,
      ({ ours }) => [{
        text: "at least 3,000,000 /s",
        isReached: ours.median >= MIN_MAPPED_A_SECOND,
      }],
    )
  );
}

async function measureCpu(
  { ours, bare, npm }: Threads,
  effort: Effort,
): Promise<Measurement[]> {
  const compute = async (peer: Peer) => {
    const results = SEEDS.map((seed) => peer.run("mix", seed));
    let sum = 0;
    for (const result of results) sum += await result;
    check(peer, sum, MIXED_SUM);
  };
  const ms = (peer: Peer) =>
    contend(peer.name, () => timed(() => compute(peer)), {
      reason: REASONS.sameWork,
    });
  return [
    await compete(
      ask("32 computing tasks, 7 ms each, in two workers", "ms", "lower"),
      effort.repetitions(11),
      ms(ours),
      [bare, ...npm].map(ms),
      (measured) => atMost(MAX_CPU_RATIO, measured),
    ),
  ];
}

/** The target of a time that may be so many times that of a bare Worker. */
function atMost(
  times: number,
  { opponents }: Pick<Measurement, "opponents">,
): Target[] {
  const { ratio } = opponents.find(({ name }) => name === "bare Worker")!;
  return [{
    text: `at most ${times} times the bare Worker's`,
    isReached: 1 / ratio <= times,
  }];
}

/** The arithmetic of `cpython.py`, which has one lock for all of its threads. */
async function measureSplit(
  { ours, bare, python }: Threads,
  effort: Effort,
): Promise<Measurement[]> {
  const ms = (peer: Peer) => contendSplit(peer, { reason: REASONS.sameWork });
  const cpython = contendPython(python, (python) => python.time("split"));
  return [
    await compete(
      ask("four tasks that compute in Python too", "ms", "lower"),
      effort.repetitions(7),
      ms(ours),
      [ms(bare), ...cpython],
    ),
  ];
}

/** The tasks that `cpython.py` calls `split`, in another pool. */
export function contendSplit(peer: Peer, remarks?: Remarks): Contender {
  const split = async () => {
    const results = EXACT_SEEDS.map((seed) => peer.run("mixExact", seed));
    let sum = 0;
    for (const result of results) sum += await result;
    check(peer, sum, EXACT_SUM);
  };
  return contend(peer.name, () => timed(split), remarks);
}

/** 64 MB there and back, in milliseconds. */
function contendPayload(
  peer: ThreadPeer,
  way: "echo" | "move",
  roundTrips: number,
): Contender {
  let bytes: Bytes = new Uint8Array(PAYLOAD_BYTES);
  const run = async () => {
    for (let i = 1; i <= roundTrips; i++) {
      bytes[0] = bytes[PAYLOAD_BYTES - 1] = i;
      bytes = await peer[way](bytes);
      check(peer, bytes.length, PAYLOAD_BYTES);
      check(peer, bytes[0], i);
      check(peer, bytes[PAYLOAD_BYTES - 1], i);
    }
  };
  const isCopied = way === "move" && peer.name === "poolifier";
  return contend(peer.name, async () => await timed(run) / roundTrips, {
    way: isCopied ? "back by copy" : undefined,
    reason: way === "move" ? REASONS.claims : undefined,
  });
}

async function measureCopy(
  { ours, bare, npm }: Threads,
  effort: Effort,
): Promise<Measurement[]> {
  const ms = (peer: ThreadPeer) => contendPayload(peer, "echo", 3);
  return [
    await compete(
      ask("64 MB there and back, copied", "ms", "lower"),
      effort.repetitions(7),
      ms(ours),
      [bare, ...npm].map(ms),
      (measured) => atMost(MAX_PAYLOAD_RATIO, measured),
    ),
  ];
}

async function measureTransfer(
  { ours, bare, npm, python }: Threads,
  effort: Effort,
): Promise<Measurement[]> {
  const ms = (peer: ThreadPeer) =>
    contendPayload(peer, "move", peer.name === "poolifier" ? 2 : 50);
  const cpython = contendPython(
    python,
    (python) => python.time("echo", PAYLOAD_BYTES),
    {
      way: "shared",
      reason:
        "Threads of CPython share one heap: nothing moves. Here a `SharedArrayBuffer` is what need not.",
    },
  );
  return [
    await compete(
      ask("64 MB there and back, moved by `transfer`", "ms", "lower"),
      effort.repetitions(15),
      ms(ours),
      [...[bare, ...npm].map(ms), ...cpython],
      (measured) => atMost(MAX_PAYLOAD_RATIO, measured),
    ),
  ];
}

/** Once each, as each fills its memory for it. */
async function measureMemory(
  { ours, npm, python }: Threads,
  effort: Effort,
): Promise<Measurement[]> {
  const pending = effort.size(PENDING);
  const bytes = ({ name }: Peer) =>
    contend(name, () => measureInProcess(name, pending));
  const subject = bytes(ours);
  const others = [
    ...npm.map(bytes),
    ...contendPython(
      python,
      (python) => python.measure("pending_bytes", pending),
    ),
  ];
  for (const { measure, figures } of [subject, ...others]) {
    figures.push(await measure());
  }
  return [
    conclude(
      ask("a pending future with a small argument", "bytes", "lower"),
      subject,
      others,
      ({ ours }) => [{
        text: "below 500 bytes",
        isReached: ours.median < MAX_PENDING_BYTES,
      }],
    ),
  ];
}

/** All measurements, by the names that `targets.ts` takes. */
export const THREAD_MEASUREMENTS: Measurements<Threads> = {
  "thread-tasks": measureTasks,
  "thread-awaited": measureAwaited,
  "thread-blocking": measureBlocking,
  "thread-first": measureFirst,
  "thread-map": measureMap,
  "thread-cpu": measureCpu,
  "thread-split": measureSplit,
  "thread-copy": measureCopy,
  "thread-transfer": measureTransfer,
  "thread-memory": measureMemory,
};
