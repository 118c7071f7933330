/**
 * The targets of callable travel, in threads and in processes: what it costs to
 * submit a function of each kind, beside a task reference or a self-contained
 * function, and beside what a user of another pool does instead of a closure:
 * name a function of the worker's file, and pass the value as an argument.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { FixedQueue, Piscina } from "npm:piscina@5.3.2";
import workerpool from "npm:workerpool@10.0.3";
import {
  type Callable,
  type Executor,
  importTasks,
  ProcessPoolExecutor,
  ThreadPoolExecutor,
} from "../mod.ts";
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
import type { Measurement, Target } from "./_measurement.ts";
import { MAX_WORKERS } from "./_peers.ts";
import { median } from "./_statistics.ts";
import {
  add,
  addAll,
  alone,
  byReference,
  type First,
  type Kind,
  KINDS,
  makeAdder,
  makeArrowWithThis,
  makeCounting,
  STEP,
  withGlobal,
} from "./_travel_tasks.ts";

const SUBMITS = 20_000;
const CLOSURES = 5_000;
const AWAITED = 2_000;
/** How many closures are submitted before their results are awaited. */
export const BURST = 1_000;
/** How many numbers `map` is given, by chunk size. */
const MAPPED = { 1: 30_000, 100: 300_000 };

const MAX_FIRST_MS = 50;
const MAX_EXTRA_MICROS = 1;
const MIN_MAPPED_A_SECOND = 100_000;
const MIN_CLOSURES_A_SECOND = 5_000;

/** This module too, for what a kind of function costs. */
const OURS: Remarks = { isOurs: true };

/** Others are given no closure, but its value. */
const BY_ARGUMENTS = "by arguments";

/** Why others are ahead, where they are. */
const REASONS = {
  captured:
    "To see what a new closure has captured takes some 0.1 ms. By arguments, the programmer has said what is sent.",
  awaited:
    "To see what a new closure has captured takes some 0.1 ms, and to reach a process some 0.2 ms. By arguments, the programmer has said what is sent.",
  chunks:
    "By hand, a task is an array and its result is one too; `map` hands out each value by itself.",
} as const;

/** A way to add a value of this program to numbers elsewhere. */
export interface AddingPeer {
  readonly name: string;
  add(value: number, step: number): PromiseLike<number>;
  addAll(values: number[], step: number): PromiseLike<number[]>;
  stop(): unknown;
}

// ------------------------------------------------------------------ peers

/** The other side of `BareAdder`. */
const BARE_WORKER = `${add};${addAll};
onmessage = ({ data: [id, name, argument] }) =>
  postMessage([id, { add, addAll }[name](argument)]);`;

/** Two Workers and the least that one can write around them. */
class BareAdder implements AddingPeer {
  readonly name = "bare Worker";
  readonly #calls = new Map<number, (result: never) => void>();
  readonly #workers = Array.from({ length: MAX_WORKERS }, () => {
    const url = `data:text/javascript,${encodeURIComponent(BARE_WORKER)}`;
    const worker = new Worker(url, { type: "module" });
    worker.onmessage = ({ data: [id, result] }) => {
      this.#calls.get(id)!(result as never);
      this.#calls.delete(id);
    };
    return worker;
  });
  #nextId = 0;

  add(value: number, step: number): Promise<number> {
    return this.#send("add", { value, step });
  }

  addAll(values: number[], step: number): Promise<number[]> {
    return this.#send("addAll", { values, step });
  }

  #send<R>(name: string, argument: unknown): Promise<R> {
    const { promise, resolve } = Promise.withResolvers<R>();
    const id = this.#nextId++;
    this.#calls.set(id, resolve);
    this.#workers[id % MAX_WORKERS].postMessage([id, name, argument]);
    return promise;
  }

  stop(): void {
    for (const worker of this.#workers) worker.terminate();
  }
}

/** With the settings that `_peers.ts` found to be its fastest. */
class PiscinaAdder implements AddingPeer {
  readonly name = "piscina";
  readonly #pool = new Piscina({
    filename: fileURLToPath(import.meta.resolve("./_travel_tasks.ts")),
    minThreads: MAX_WORKERS,
    maxThreads: MAX_WORKERS,
    concurrentTasksPerWorker: 10,
    taskQueue: new FixedQueue(),
    recordTiming: false,
  });

  add(value: number, step: number): Promise<number> {
    return this.#pool.run({ value, step }, { name: "add" });
  }

  addAll(values: number[], step: number): Promise<number[]> {
    return this.#pool.run({ values, step }, { name: "addAll" });
  }

  stop(): Promise<void> {
    return this.#pool.destroy();
  }
}

/** workerpool sends the text of a function with each call; it must stand on its own. */
class WorkerpoolAdder implements AddingPeer {
  readonly name = "workerpool";
  readonly #pool = workerpool.pool({
    minWorkers: MAX_WORKERS,
    maxWorkers: MAX_WORKERS,
    workerType: "process",
    forkOpts: { serialization: "advanced" },
  });

  add(value: number, step: number): PromiseLike<number> {
    const result: unknown = this.#pool.exec(add, [{ value, step }]);
    return result as PromiseLike<number>;
  }

  addAll(values: number[], step: number): PromiseLike<number[]> {
    const result: unknown = this.#pool.exec(addAll, [{ values, step }]);
    return result as PromiseLike<number[]>;
  }

  async stop(): Promise<void> {
    await this.#pool.terminate(true);
  }
}

/** A pool of this module's, and what others do in workers of the same kind. */
export interface Side {
  readonly workers: "threads" | "processes";
  readonly pool: Executor;
  readonly peers: readonly AddingPeer[];
}

/** Starts all, and runs tasks until all workers have long been busy. */
export async function openSides(): Promise<Side[]> {
  const options = { maxWorkers: MAX_WORKERS };
  const sides: Side[] = [{
    workers: "threads",
    pool: new ThreadPoolExecutor(options),
    peers: [new BareAdder(), new PiscinaAdder()],
  }, {
    workers: "processes",
    pool: new ProcessPoolExecutor(options),
    peers: [new WorkerpoolAdder()],
  }];
  for (const { pool, peers } of sides) {
    await submitAll(pool, alone, 2 * BURST);
    for (const peer of peers) await addByArguments(peer, 2 * BURST);
  }
  return sides;
}

/** Ends all. */
export async function stopSides(sides: readonly Side[]): Promise<void> {
  for (const { pool, peers } of sides) {
    await pool.shutdown();
    for (const peer of peers) await peer.stop();
  }
}

// ------------------------------------------------------------------- work

/** `alone`, by name instead of by source. */
export const { alone: reference } = importTasks<{ alone: typeof alone }>(
  import.meta.resolve("./_travel_tasks.ts"),
);

/** A function that adds `STEP` to a number. */
type Adding = Callable<[number], number>;

/** Submits one function for many numbers, then checks all; returns the milliseconds of the calls alone. */
export async function submitAll(
  pool: Executor,
  fn: Adding,
  tasks: number,
): Promise<number> {
  const results = new Array<PromiseLike<number>>(tasks);
  const elapsed = await timed(() => {
    for (let i = 0; i < tasks; i++) results[i] = pool.submit(fn, i);
  });
  for (let i = 0; i < tasks; i++) {
    check({ name: "submit" }, await results[i], i + STEP);
  }
  return elapsed;
}

/** Submits closures, `BURST` of them before the results are awaited. */
export async function submitClosures(
  pool: Executor,
  tasks: number,
  makeAdding: (step: number) => (value: number) => number,
): Promise<void> {
  for (let from = 0; from < tasks; from += BURST) {
    const results = Array.from(
      { length: BURST },
      (_, i) => pool.submit(makeAdding(i), from),
    );
    for (let i = 0; i < BURST; i++) {
      check({ name: "submit" }, await results[i], from + i);
    }
  }
}

/** The same work where the value is an argument. */
export async function addByArguments(
  peer: AddingPeer,
  tasks: number,
): Promise<void> {
  for (let from = 0; from < tasks; from += BURST) {
    const results = Array.from(
      { length: BURST },
      (_, i) => peer.add(from, i),
    );
    for (let i = 0; i < BURST; i++) check(peer, await results[i], from + i);
  }
}

/** Gives a closure to `map`, and checks the sum. */
export async function mapClosure(
  pool: Executor,
  numbers: number[],
  chunkSize: number,
): Promise<void> {
  let sum = 0;
  const results = pool.map(makeAdder(STEP), numbers, { chunkSize });
  for await (const result of results) sum += result;
  check({ name: "map" }, sum, sumOf(numbers));
}

/** What `map` does, by hand, with the value as an argument. */
export async function mapByArguments(
  peer: AddingPeer,
  numbers: number[],
  chunkSize: number,
): Promise<void> {
  let sum = 0;
  if (chunkSize === 1) {
    const results = numbers.map((value) => peer.add(value, STEP));
    for (const result of results) sum += await result;
  } else {
    const results: PromiseLike<number[]>[] = [];
    for (let i = 0; i < numbers.length; i += chunkSize) {
      results.push(peer.addAll(numbers.slice(i, i + chunkSize), STEP));
    }
    for (const chunk of results) for (const value of await chunk) sum += value;
  }
  check(peer, sum, sumOf(numbers));
}

function sumOf(numbers: number[]): number {
  return numbers.reduce((sum, value) => sum + value + STEP, 0);
}

// ----------------------------------------------------------- measurements

async function measureFirstHere(
  kind: Kind,
  workers: string,
  state: string,
): Promise<First> {
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-lock",
      "--allow-read",
      "--allow-run",
      "--allow-sys",
      fileURLToPath(import.meta.resolve("./_travel_tasks.ts")),
      kind,
      workers,
      state,
    ],
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`Cannot measure "${kind}": its process failed`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** A question in the table of one kind of workers. */
function ask(
  { workers }: Side,
  question: string,
  unit: string,
  better: Question["better"],
): Question {
  return { group: `Functions that travel, ${workers}`, question, unit, better };
}

/** The same for the first `submit` of a process. */
function askOfFirst({ workers }: Side, question: string): Question {
  const group = `The first \`submit\` of a process, ${workers}`;
  return { group, question, unit: "ms", better: "lower" };
}

/** The first `submit` of a process, whose result also waits for a worker to start. */
async function measureFirst(
  side: Side,
  effort: Effort,
): Promise<Measurement[]> {
  const found: Measurement[] = [];
  for (const state of ["new", "warm"]) {
    const results = new Map<Kind, Contender>();
    const calls = new Map<Kind, Contender>();
    for (const kind of KINDS) {
      const call = contend(kind, () => NaN, OURS);
      const result = contend(kind, async () => {
        const first = await measureFirstHere(kind, side.workers, state);
        call.figures.push(first.call);
        return first.result;
      }, OURS);
      results.set(kind, result);
      calls.set(kind, call);
    }
    await takeTurns(effort.repetitions(9), [...results.values()]);
    for (const { figures } of calls.values()) {
      figures.shift(); // as takeTurns leaves out the first repetition
    }
    for (const kind of KINDS.slice(1)) {
      const name = `${state} pool, ${kind}`;
      // A snapshot of the heap has no target.
      const setTargets = kind === "arrow with `this`"
        ? undefined
        : ({ ours }: Pick<Measurement, "ours">): Target[] => [{
          text: "at most 50 ms",
          isReached: ours.median <= MAX_FIRST_MS,
        }];
      found.push(
        conclude(
          askOfFirst(side, `${name}: the call`),
          calls.get(kind)!,
          [calls.get("task reference")!],
          setTargets,
        ),
        conclude(
          askOfFirst(side, `${name}: until its result`),
          results.get(kind)!,
          [results.get("task reference")!],
        ),
      );
    }
  }
  return found;
}

/** A function that captures nothing, once it is known: the calls alone. */
async function measureAgain(
  side: Side,
  effort: Effort,
): Promise<Measurement[]> {
  const micros = (name: string, fn: Adding) =>
    contend(
      name,
      async () => await submitAll(side.pool, fn, SUBMITS) / SUBMITS * 1e3,
      OURS,
    );
  const baseline = micros("task reference", reference);
  const subjects = [
    micros("self-contained", alone),
    micros("with a global name", withGlobal),
    micros("by reference", byReference),
  ];
  await takeTurns(effort.repetitions(11), [baseline, ...subjects]);
  return subjects.map((subject) => {
    const extra = subject.figures.map((figure, i) =>
      figure - baseline.figures[i]
    );
    return conclude(
      ask(side, `later \`submit\`, ${subject.name}: the call`, "µs", "lower"),
      subject,
      [baseline],
      () => [{
        text: "at most 1 µs more than a task reference",
        isReached: median(extra) <= MAX_EXTRA_MICROS,
      }],
    );
  });
}

/** A closure in `map`, captured once a call. */
async function measureMap(side: Side, effort: Effort): Promise<Measurement[]> {
  const found: Measurement[] = [];
  for (const chunkSize of [1, 100] as const) {
    const numbers = Array.from({ length: MAPPED[chunkSize] }, (_, i) => i);
    const rate = (name: string, run: () => Promise<void>, remarks?: Remarks) =>
      contend(
        name,
        async () => numbers.length / await timed(run) * 1e3,
        remarks,
      );
    found.push(
      await compete(
        ask(
          side,
          `numbers through \`map\` of a closure, \`chunkSize\` ${chunkSize}`,
          "/s",
          "higher",
        ),
        effort.repetitions(7),
        rate("closure", () => mapClosure(side.pool, numbers, chunkSize)),
        side.peers.map((peer) =>
          rate(peer.name, () => mapByArguments(peer, numbers, chunkSize), {
            way: BY_ARGUMENTS,
            reason: chunkSize === 1 ? undefined : REASONS.chunks,
          })
        ),
        ({ ours }) => [{
          text: "at least 100,000 /s",
          isReached: ours.median >= MIN_MAPPED_A_SECOND,
        }],
      ),
    );
  }
  return found;
}

/** A closure at each `submit`: new, the same, and one of a variable that changes. */
async function measureClosure(
  side: Side,
  effort: Effort,
): Promise<Measurement[]> {
  return [
    await measureBursts(side, effort),
    await measureInTurn(side, effort),
    ...await measureKnown(side, effort),
  ];
}

/** Tasks a second of some work. */
function rateOf(
  name: string,
  tasks: number,
  run: () => Promise<unknown>,
  remarks?: Remarks,
): Contender {
  return contend(name, async () => tasks / await timed(run) * 1e3, remarks);
}

/** New closures, a thousand at once. */
async function measureBursts(
  side: Side,
  effort: Effort,
): Promise<Measurement> {
  const remarks = { way: BY_ARGUMENTS, reason: REASONS.captured };
  return await compete(
    ask(side, "a new closure a `submit`, 1,000 at once", "/s", "higher"),
    effort.repetitions(7),
    rateOf(
      "new closure",
      CLOSURES,
      () => submitClosures(side.pool, CLOSURES, makeAdder),
    ),
    side.peers.map((peer) =>
      rateOf(
        peer.name,
        CLOSURES,
        () => addByArguments(peer, CLOSURES),
        remarks,
      )
    ),
    ({ ours }) => atLeastClosures(ours.median),
  );
}

/** New closures, each awaited before the next is made. */
async function measureInTurn(
  side: Side,
  effort: Effort,
): Promise<Measurement> {
  const inTurn = async (add: (i: number) => PromiseLike<number>) => {
    for (let i = 0; i < AWAITED; i++) {
      check({ name: "submit" }, await add(i), i + 1);
    }
  };
  const isThreads = side.workers === "threads";
  const remarks = {
    way: BY_ARGUMENTS,
    reason: isThreads ? REASONS.captured : REASONS.awaited,
  };
  return await compete(
    ask(side, "a new closure a `submit`, each awaited", "/s", "higher"),
    effort.repetitions(7),
    rateOf(
      "new closure",
      AWAITED,
      () => inTurn((i) => side.pool.submit(makeAdder(i), 1)),
    ),
    side.peers.map((peer) =>
      rateOf(peer.name, AWAITED, () => inTurn((i) => peer.add(1, i)), remarks)
    ),
    // A round trip to a process takes about 200 µs by itself.
    ({ ours }) => isThreads ? atLeastClosures(ours.median) : [],
  );
}

function atLeastClosures(aSecond: number): Target[] {
  return [{
    text: "at least 5,000 /s",
    isReached: aSecond >= MIN_CLOSURES_A_SECOND,
  }];
}

/** One closure again and again, beside a function that captures nothing. */
async function measureKnown(
  side: Side,
  effort: Effort,
): Promise<Measurement[]> {
  const adder = makeAdder(STEP);
  const { add: adding, raise } = makeCounting();
  raise();
  const rate = (name: string, fn: Adding, tasks: number) =>
    rateOf(name, tasks, () => submitAll(side.pool, fn, tasks), OURS);
  const same = rate("the same closure", adder, SUBMITS);
  const changing = rate(
    "a closure of a variable that changes",
    adding,
    CLOSURES,
  );
  const plain = rate("self-contained", alone, SUBMITS);
  await takeTurns(effort.repetitions(7), [same, changing, plain]);
  return [same, changing].map((subject) =>
    conclude(
      ask(side, `${subject.name} a \`submit\``, "/s", "higher"),
      subject,
      [plain],
    )
  );
}

/** An arrow function that uses `this`, whose first `submit` looks through the heap. */
async function measureThis(side: Side, effort: Effort): Promise<Measurement[]> {
  const ms = (name: string, make: () => (value: number) => number) =>
    contend(
      name,
      () =>
        timed(async () =>
          check({ name }, await side.pool.submit(make(), 1), 1 + STEP)
        ),
      OURS,
    );
  const known = makeArrowWithThis(STEP);
  return [
    await compete(
      ask(side, "a new arrow function with `this`", "ms", "lower"),
      effort.repetitions(5),
      ms("arrow with `this`", () => makeArrowWithThis(STEP)),
      [ms("the same arrow again", () => known)],
    ),
  ];
}

/** Measures in threads, then in processes. */
function onEachSide(
  measure: (side: Side, effort: Effort) => Promise<Measurement[]>,
): (sides: readonly Side[], effort: Effort) => Promise<Measurement[]> {
  return async (sides, effort) => {
    const found: Measurement[] = [];
    for (const side of sides) found.push(...await measure(side, effort));
    return found;
  };
}

/** All measurements, by the names that `targets.ts` takes. */
export const TRAVEL_MEASUREMENTS: Measurements<readonly Side[]> = {
  "travel-first": onEachSide(measureFirst),
  "travel-again": onEachSide(measureAgain),
  "travel-map": onEachSide(measureMap),
  "travel-closure": onEachSide(measureClosure),
  "travel-this": onEachSide(measureThis),
};
