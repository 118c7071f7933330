/**
 * Do the pools reach what they promise? Measures every target in one run and
 * prints a table.
 *
 * ```sh
 * deno run --allow-read --allow-env --allow-sys --allow-run bench/targets.ts
 * deno run --allow-read --allow-env --allow-sys=cpus --allow-run bench/targets.ts map memory process
 * deno run --allow-read --allow-env --allow-sys --allow-run bench/targets.ts travel
 * ```
 *
 * With names it measures only those: `tasks`, `awaited`, `blocking`, `map`, `cpu`,
 * `copy`, `transfer`, `memory` of the thread pool, `process-tasks`,
 * `process-awaited`, `process-first`, `process-map`, `process-copy`,
 * `process-busy` of the process pool, and `process` for those six,
 * `travel-first`, `travel-again`, `travel-map`, `travel-closure`, `travel-this`
 * of functions that travel, in both pools, and `travel` for those five; these need
 * `--allow-sys` as a whole. Contenders take turns (ours, a peer, ours, a
 * peer ...), so that what else the machine does slows all of them alike. Figures
 * are medians of the repetitions, with the lowest and the highest, and a ratio is
 * the median of the ratios of each repetition. The first repetition warms up and
 * is not counted.
 *
 * The two round trips depend on where the system lets the threads run, for every
 * contender: on the same core a wake-up takes some 5 µs, on another one that is
 * halted some 40 in a virtual machine. A round trip that is once 10 and once 80
 * µs is that.
 *
 * Expected: every row says yes on an otherwise idle machine with two cores.
 *
 * Last numbers: 2 cores of a virtual machine, x86-64 Linux, Deno 2.9.6,
 * 2026-11-20, commit f10a802: see "Speed" in README.md.
 *
 * @module
 */

import { ThreadPoolExecutor } from "../mod.ts";
import { BlockingWorker } from "./_blocking_worker.ts";
import {
  contend,
  pickBest,
  ratioOf,
  report,
  rows,
  takeTurns,
  timed,
} from "./_contest.ts";
import {
  burst,
  type Bytes,
  check,
  createPeers,
  MAX_WORKERS,
  openWarm,
  type Peer,
  sumByHand,
  type ThreadPeer,
} from "./_peers.ts";
import {
  openRivals,
  PROCESS_MEASUREMENTS,
  stopRivals,
} from "./_process_targets.ts";
import { describeMachine, median, print, printTable } from "./_report.ts";
import { identity, increment, mix } from "./_tasks.ts";
import {
  openSides,
  stopSides,
  TRAVEL_MEASUREMENTS,
} from "./_travel_targets.ts";
import { measureInProcess } from "./memory.ts";

const TASKS = 50_000;
const ROUND_TRIPS = 3_000;
const CHUNK_SIZE = 1_000;
const NUMBERS = Array.from({ length: 300_000 }, (_, i) => i);
const MAPPED_SUM = NUMBERS.reduce((sum, n) => sum + n + 1, 0);
const SEEDS = Array.from({ length: 32 }, (_, i) => i + 1);
const MIXED_SUM = SEEDS.reduce((sum, seed) => sum + mix(seed), 0);
const PAYLOAD_BYTES = 64_000_000;

const MIN_TASKS_A_SECOND = 400_000;
const MIN_TASKS_RATIO = 5;
const MAX_BLOCKING_MICROS = 25;
const MIN_MAPPED_A_SECOND = 3_000_000;
const MAX_CPU_RATIO = 1.05;
const MAX_PAYLOAD_RATIO = 1.3;
const MAX_PENDING_BYTES = 500;

const [bare, piscina, workerpool, poolifier, ours] = createPeers();
const npm = [piscina, workerpool, poolifier];

async function measureTasks(): Promise<void> {
  const rate = (peer: Peer) =>
    contend(
      peer.name,
      async () => TASKS / await timed(() => burst(peer, TASKS)) * 1e3,
    );
  const [subject, ...peers] = [ours, bare, ...npm].map(rate);
  await takeTurns(5, [subject, ...peers]);
  const best = pickBest(peers.slice(1), "higher");
  const isFast = median(subject.figures) >= MIN_TASKS_A_SECOND;
  const isFaster = ratioOf(subject, best) >= MIN_TASKS_RATIO;
  report(
    "no-op tasks, each awaited: >= 400,000/s",
    subject,
    "/s",
    isFast,
    peers[0],
  );
  report("... and >= 5 times npm's best", subject, "/s", isFaster, best);
}

async function measureAwaited(): Promise<void> {
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
  const [subject, ...peers] = [ours, bare, ...npm].map(micros);
  await takeTurns(9, [subject, ...peers]);
  const best = pickBest(peers.slice(1), "lower");
  report(
    "awaited round trip: shorter than npm's best",
    subject,
    "µs",
    ratioOf(subject, best) < 1,
    best,
  );
}

async function measureBlocking(pool: ThreadPoolExecutor): Promise<void> {
  const worker = new BlockingWorker();
  const micros = (name: string, run: (value: number) => number) =>
    contend(name, async () => {
      const roundTrips = () => {
        for (let i = 0; i < ROUND_TRIPS; i++) check({ name }, run(i), i);
      };
      return await timed(roundTrips) / ROUND_TRIPS * 1e3;
    });
  const subject = micros(
    ours.name,
    (i) => pool.submit(identity, i).resultSync(),
  );
  const peer = micros("bare Worker, Atomics", (i) => worker.run(i));
  await takeTurns(15, [subject, peer]);
  worker.stop();
  const reached = median(subject.figures) <= MAX_BLOCKING_MICROS;
  report("blocking round trip: <= 25 µs", subject, "µs", reached, peer);
}

async function measureMap(pool: ThreadPoolExecutor): Promise<void> {
  const rate = (name: string, add: () => number | Promise<number>) =>
    contend(name, async () => {
      const elapsed = await timed(async () =>
        check({ name }, await add(), MAPPED_SUM)
      );
      return NUMBERS.length / elapsed * 1e3;
    });
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
    rate(peer.name, () => sumByHand(peer, NUMBERS, CHUNK_SIZE))
  );
  await takeTurns(7, [awaited, blocking, ...byHand]);
  const best = pickBest(byHand.slice(1), "higher");
  for (const subject of [awaited, blocking]) {
    const reached = median(subject.figures) >= MIN_MAPPED_A_SECOND;
    report(
      `map, chunkSize 1000, \`${subject.name}\`: >= 3,000,000/s`,
      subject,
      "/s",
      reached,
      best,
    );
  }
}

async function measureCpu(): Promise<void> {
  const compute = async (peer: Peer) => {
    const results = SEEDS.map((seed) => peer.run("mix", seed));
    let sum = 0;
    for (const result of results) sum += await result;
    check(peer, sum, MIXED_SUM);
  };
  const [subject, peer] = [ours, bare].map((peer) =>
    contend(peer.name, () => timed(() => compute(peer)))
  );
  await takeTurns(11, [subject, peer]);
  const reached = ratioOf(subject, peer) <= MAX_CPU_RATIO;
  report(
    "computing in two workers: <= 1.05 of bare",
    subject,
    "ms",
    reached,
    peer,
  );
}

async function measurePayload(
  way: "echo" | "move",
  repetitions: number,
  roundTrips: number,
): Promise<void> {
  const ms = (peer: ThreadPeer) => {
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
    return contend(peer.name, async () => await timed(run) / roundTrips);
  };
  const [subject, peer] = [ours, bare].map(ms);
  await takeTurns(repetitions, [subject, peer]);
  const name = way === "echo" ? "copied" : "transferred";
  const reached = ratioOf(subject, peer) <= MAX_PAYLOAD_RATIO;
  report(
    `64 MB there and back, ${name}: <= 1.3 of bare`,
    subject,
    "ms",
    reached,
    peer,
  );
}

async function measureMemory(): Promise<void> {
  const contenders = [ours, ...npm].map(({ name }) =>
    contend(name, async () => (await measureInProcess(name)).rss)
  );
  for (const { measure, figures } of contenders) figures.push(await measure());
  const [subject, ...peers] = contenders;
  const reached = median(subject.figures) < MAX_PENDING_BYTES;
  report(
    "a pending future: < 500 bytes",
    subject,
    "bytes",
    reached,
    pickBest(peers, "lower"),
  );
}

/** Whether the command line names a measurement, by its own name or that of its group. */
function isWanted(name: string): boolean {
  return Deno.args.length === 0 ||
    Deno.args.some((arg) => name === arg || name.startsWith(`${arg}-`));
}

async function measureThreads(): Promise<void> {
  using pool = new ThreadPoolExecutor({ maxWorkers: MAX_WORKERS });
  const measurements = Object.entries({
    tasks: measureTasks,
    awaited: measureAwaited,
    blocking: () => measureBlocking(pool),
    map: () => measureMap(pool),
    cpu: measureCpu,
    copy: () => measurePayload("echo", 7, 5),
    transfer: () => measurePayload("move", 15, 50),
    memory: measureMemory,
  }).filter(([name]) => isWanted(name));
  if (measurements.length === 0) return;
  for (const peer of [bare, ...npm, ours]) await openWarm(peer);
  for (const [, measure] of measurements) await measure();
  for (const peer of [bare, ...npm, ours]) await peer.stop();
}

async function measureProcesses(): Promise<void> {
  const measurements = Object.entries(PROCESS_MEASUREMENTS)
    .filter(([name]) => isWanted(name));
  if (measurements.length === 0) return;
  const rivals = await openRivals();
  if (rivals.python === null) print("There is no python3 here: no CPython.\n");
  for (const [, measure] of measurements) await measure(rivals);
  await stopRivals(rivals);
}

async function measureTravel(): Promise<void> {
  const measurements = Object.entries(TRAVEL_MEASUREMENTS)
    .filter(([name]) => isWanted(name));
  if (measurements.length === 0) return;
  const sides = await openSides();
  for (const [, measure] of measurements) {
    for (const side of sides) await measure(side);
  }
  await stopSides(sides);
}

if (import.meta.main) {
  await measureThreads();
  await measureProcesses();
  await measureTravel();
  print(`${describeMachine()}, two workers a pool\n`);
  printTable(rows);
}
