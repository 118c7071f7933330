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
import {
  contend,
  type Contender,
  pickBest,
  report,
  takeTurns,
  timed,
} from "./_contest.ts";
import { check, MAX_WORKERS } from "./_peers.ts";
import { median } from "./_report.ts";
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
  readonly name = "workerpool's processes";
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

/** The first `submit` of a process, whose result also waits for a worker to start. */
async function measureFirst({ workers }: Side): Promise<void> {
  for (const state of ["new", "warm"]) {
    const results = new Map<Kind, Contender>();
    const calls = new Map<Kind, Contender>();
    for (const kind of KINDS) {
      const call = contend(kind, () => NaN);
      const result = contend(kind, async () => {
        const first = await measureFirstHere(kind, workers, state);
        call.figures.push(first.call);
        return first.result;
      });
      results.set(kind, result);
      calls.set(kind, call);
    }
    await takeTurns(15, [...results.values()]);
    const reference = results.get("task reference")!;
    for (const kind of KINDS.slice(1)) {
      const call = calls.get(kind)!;
      call.figures.shift(); // as takeTurns leaves out the first repetition
      // A snapshot of the heap has no target.
      const reached = kind === "arrow with `this`"
        ? undefined
        : median(call.figures) <= MAX_FIRST_MS;
      const pool = state === "new"
        ? `${workers}, new pool`
        : `${workers}, warm pool`;
      const target = reached === undefined ? "no target" : "<= 50 ms";
      report(
        `${pool}, first \`submit\` of a process, ${kind}: ${target}`,
        call,
        "ms",
        reached,
      );
      report(
        "... until its result, beside a task reference's",
        results.get(kind)!,
        "ms",
        undefined,
        reference,
      );
    }
  }
}

/** A function that captures nothing, once it is known: the calls alone. */
async function measureAgain({ workers, pool }: Side): Promise<void> {
  const micros = (name: string, fn: Adding) =>
    contend(
      name,
      async () => await submitAll(pool, fn, SUBMITS) / SUBMITS * 1e3,
    );
  const baseline = micros("task reference", reference);
  const subjects = [
    micros("self-contained", alone),
    micros("with a global name", withGlobal),
    micros("by reference", byReference),
  ];
  await takeTurns(11, [baseline, ...subjects]);
  for (const subject of subjects) {
    const extra = subject.figures.map((figure, i) =>
      figure - baseline.figures[i]
    );
    report(
      `${workers}, later \`submit\`, ${subject.name}: <= 1 µs more`,
      subject,
      "µs",
      median(extra) <= MAX_EXTRA_MICROS,
      baseline,
    );
  }
}

/** A closure in `map`, captured once a call. */
async function measureMap({ workers, pool, peers }: Side): Promise<void> {
  for (const chunkSize of [1, 100] as const) {
    const numbers = Array.from({ length: MAPPED[chunkSize] }, (_, i) => i);
    const rate = (name: string, run: () => Promise<void>) =>
      contend(name, async () => numbers.length / await timed(run) * 1e3);
    const subject = rate("closure", () => mapClosure(pool, numbers, chunkSize));
    const byHand = peers.map((peer) =>
      rate(
        `${peer.name}, by arguments`,
        () => mapByArguments(peer, numbers, chunkSize),
      )
    );
    await takeTurns(7, [subject, ...byHand]);
    report(
      `${workers}, closure in map, chunkSize ${chunkSize}: >= 100,000/s`,
      subject,
      "/s",
      median(subject.figures) >= MIN_MAPPED_A_SECOND,
      pickBest(byHand, "higher"),
    );
  }
}

/** A closure at each `submit`: new, the same, and one of a variable that changes. */
async function measureClosure({ workers, pool, peers }: Side): Promise<void> {
  const rate = (name: string, tasks: number, run: () => Promise<unknown>) =>
    contend(name, async () => tasks / await timed(run) * 1e3);
  const byArguments = (tasks: number) =>
    peers.map((peer) =>
      rate(
        `${peer.name}, by arguments`,
        tasks,
        () => addByArguments(peer, tasks),
      )
    );
  const subject = rate(
    "new closure",
    CLOSURES,
    () => submitClosures(pool, CLOSURES, makeAdder),
  );
  const inTurn = async (add: (i: number) => PromiseLike<number>) => {
    for (let i = 0; i < AWAITED; i++) {
      check({ name: "submit" }, await add(i), i + 1);
    }
  };
  const awaited = rate(
    "new closure, awaited",
    AWAITED,
    () => inTurn((i) => pool.submit(makeAdder(i), 1)),
  );
  const awaitedPeers = peers.map((peer) =>
    rate(
      `${peer.name}, by arguments`,
      AWAITED,
      () => inTurn((i) => peer.add(1, i)),
    )
  );
  const adder = makeAdder(STEP);
  const same = rate(
    "the same closure",
    SUBMITS,
    () => submitAll(pool, adder, SUBMITS),
  );
  const { add: adding, raise } = makeCounting();
  raise();
  const changing = rate(
    "closure of a variable that changes",
    CLOSURES,
    () => submitAll(pool, adding, CLOSURES),
  );
  const plain = rate(
    "self-contained",
    SUBMITS,
    () => submitAll(pool, alone, SUBMITS),
  );
  const peersInBursts = byArguments(CLOSURES);
  await takeTurns(7, [subject, ...peersInBursts]);
  await takeTurns(7, [awaited, ...awaitedPeers]);
  await takeTurns(7, [same, changing, plain]);
  for (
    const [name, contender, others] of [
      ["1,000 at once", subject, peersInBursts],
      ["each awaited", awaited, awaitedPeers],
    ] as const
  ) {
    // A round trip to a process takes about 200 µs by itself.
    const hasTarget = workers === "threads" || contender === subject;
    report(
      `${workers}, new closure a \`submit\`, ${name}: ${
        hasTarget ? ">= 5,000/s" : "no target"
      }`,
      contender,
      "/s",
      hasTarget
        ? median(contender.figures) >= MIN_CLOSURES_A_SECOND
        : undefined,
      pickBest([...others], "higher"),
    );
  }
  report("... the same closure, no target", same, "/s", undefined, plain);
  report(
    "... one of a variable that changes, no target",
    changing,
    "/s",
    undefined,
    plain,
  );
}

/** An arrow function that uses `this`, whose first `submit` looks through the heap. */
async function measureThis({ workers, pool }: Side): Promise<void> {
  const ms = (name: string, make: () => (value: number) => number) =>
    contend(
      name,
      () =>
        timed(async () =>
          check({ name }, await pool.submit(make(), 1), 1 + STEP)
        ),
    );
  const subject = ms("arrow with `this`", () => makeArrowWithThis(STEP));
  const known = makeArrowWithThis(STEP);
  const again = ms("the same arrow again", () => known);
  await takeTurns(5, [subject, again]);
  report(
    `${workers}, a new arrow function with \`this\`, no target`,
    subject,
    "ms",
    undefined,
    again,
  );
}

/** All measurements, by the names that `targets.ts` takes. */
export const TRAVEL_MEASUREMENTS: Readonly<
  Record<string, (side: Side) => Promise<void>>
> = {
  "travel-first": measureFirst,
  "travel-again": measureAgain,
  "travel-map": measureMap,
  "travel-closure": measureClosure,
  "travel-this": measureThis,
};
