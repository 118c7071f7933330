/**
 * Does the thread pool reach what it promises? Measures every target in one run
 * and prints a table.
 *
 * ```sh
 * deno run --allow-read --allow-env --allow-sys=cpus --allow-run bench/targets.ts
 * deno run --allow-read --allow-env --allow-sys=cpus --allow-run bench/targets.ts map memory
 * ```
 *
 * With names (`tasks`, `awaited`, `blocking`, `map`, `cpu`, `copy`, `transfer`,
 * `memory`) it measures only those. Contenders take turns (ours, a peer, ours, a
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

import { setTimeout as delay } from "node:timers/promises";
import { ThreadPoolExecutor } from "../mod.ts";
import { BlockingWorker } from "./_blocking_worker.ts";
import {
  burst,
  type Bytes,
  check,
  createPeers,
  MAX_WORKERS,
  openWarm,
  type Peer,
} from "./_peers.ts";
import {
  describeMachine,
  median,
  print,
  printTable,
  whole,
} from "./_report.ts";
import { identity, increment, mix } from "./_tasks.ts";
import { measureInProcess } from "./memory.ts";

const TASKS = 50_000;
const ROUND_TRIPS = 3_000;
const CHUNK_SIZE = 1_000;
const NUMBERS = Array.from({ length: 300_000 }, (_, i) => i);
const MAPPED_SUM = NUMBERS.reduce((sum, n) => sum + n + 1, 0);
const SEEDS = Array.from({ length: 32 }, (_, i) => i + 1);
const MIXED_SUM = SEEDS.reduce((sum, seed) => sum + mix(seed), 0);
const PAYLOAD_BYTES = 64_000_000;

/** Before each measurement, so that collections and wake-ups of the last one are over. */
const PAUSE_MS = 20;

const MIN_TASKS_A_SECOND = 400_000;
const MIN_TASKS_RATIO = 5;
const MAX_BLOCKING_MICROS = 25;
const MIN_MAPPED_A_SECOND = 3_000_000;
const MAX_CPU_RATIO = 1.05;
const MAX_PAYLOAD_RATIO = 1.3;
const MAX_PENDING_BYTES = 500;

/** One way to do the work, and its figures, one a repetition. */
interface Contender {
  name: string;
  measure(): number | Promise<number>;
  figures: number[];
}

const [bare, piscina, workerpool, poolifier, ours] = createPeers();
const npm = [piscina, workerpool, poolifier];
const rows: string[][] = [];

/** Lets contenders take turns for some repetitions. */
async function takeTurns(
  repetitions: number,
  contenders: Contender[],
): Promise<void> {
  for (let repetition = -1; repetition < repetitions; repetition++) {
    for (const { measure, figures } of contenders) {
      await delay(PAUSE_MS);
      const figure = await measure();
      if (repetition >= 0) figures.push(figure);
    }
  }
}

function contend(
  name: string,
  measure: () => number | Promise<number>,
): Contender {
  return { name, measure, figures: [] };
}

/** Milliseconds that some work takes. */
async function timed(run: () => unknown): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

/** The median of the ratios of each repetition. */
function ratioOf(a: Contender, b: Contender): number {
  return median(a.figures.map((figure, i) => figure / b.figures[i]));
}

function pickBest(
  contenders: Contender[],
  better: "higher" | "lower",
): Contender {
  const sorted = contenders.toSorted((a, b) =>
    median(a.figures) - median(b.figures)
  );
  return better === "higher" ? sorted.at(-1)! : sorted[0];
}

/** Adds a row to the table; without a peer the target is an absolute one. */
function report(
  target: string,
  subject: Contender,
  unit: string,
  reached: boolean,
  peer?: Contender,
): void {
  const round = (figure: number) =>
    figure < 1_000 ? figure.toPrecision(3) : whole(figure);
  const show = ({ figures }: Contender) => {
    const spread = [Math.min(...figures), Math.max(...figures)].map(round);
    return `${round(median(figures))} ${unit} [${spread.join(" - ")}]`;
  };
  rows.push([
    target,
    show(subject),
    peer === undefined ? "" : `${peer.name}: ${show(peer)}`,
    peer === undefined ? "" : ratioOf(subject, peer).toFixed(2),
    reached ? "yes" : "NO",
  ]);
}

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
    rate(peer.name, () => sumByHand(peer))
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

/** What `map` does, with a pool that has none. */
async function sumByHand(peer: Peer): Promise<number> {
  const chunks: PromiseLike<number[]>[] = [];
  for (let i = 0; i < NUMBERS.length; i += CHUNK_SIZE) {
    chunks.push(peer.run("incrementAll", NUMBERS.slice(i, i + CHUNK_SIZE)));
  }
  let sum = 0;
  for (const chunk of chunks) for (const n of await chunk) sum += n;
  return sum;
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
  const ms = (peer: Peer) => {
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

if (import.meta.main) {
  using pool = new ThreadPoolExecutor({ maxWorkers: MAX_WORKERS });
  const measurements = {
    tasks: measureTasks,
    awaited: measureAwaited,
    blocking: () => measureBlocking(pool),
    map: () => measureMap(pool),
    cpu: measureCpu,
    copy: () => measurePayload("echo", 7, 5),
    transfer: () => measurePayload("move", 15, 50),
    memory: measureMemory,
  };
  for (const peer of [bare, ...npm, ours]) await openWarm(peer);
  for (const [name, measure] of Object.entries(measurements)) {
    if (Deno.args.length === 0 || Deno.args.includes(name)) await measure();
  }
  for (const peer of [bare, ...npm, ours]) await peer.stop();
  print(`${describeMachine()}, two workers a pool\n`);
  printTable([["target", "ours", "peer", "ratio", "reached?"], ...rows]);
}
