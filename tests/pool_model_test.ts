/**
 * Random programs against a plain model of a pool. A program that fails is printed with the seed and
 * the path that make it again.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertThrows,
} from "@std/assert";
import { delay } from "@std/async";
import fc from "fast-check";
import {
  ALL_COMPLETED,
  BrokenProcessPool,
  BrokenThreadPool,
  CancelledError,
  type Executor,
  FIRST_COMPLETED,
  FIRST_EXCEPTION,
  type Future,
  ProcessPoolExecutor,
  type ReturnWhen,
  RuntimeError,
  SerializationError,
  ThreadPoolExecutor,
  TimeoutError,
  wait,
  waitSync,
} from "../mod.ts";
import { childPids } from "./_dying_processes.ts";
import { liveWorkers } from "./_leaks.ts";

const TIMEOUT_MS = 120_000;
const GATES = 3;
const MOST_TASKS = 64;

/** What a task does, beside counting its runs. */
const KINDS = [
  "return",
  "throw",
  "return later",
  "throw later",
  "hold",
  "hold later",
  "return what cannot travel",
  "take what cannot travel",
  "exit",
  "exit later",
] as const;
type Kind = typeof KINDS[number];

const isDeadly = (kind: Kind) => kind.startsWith("exit");
const isHeld = (kind: Kind) => kind.startsWith("hold");

type OnWorkerDeath = "replace" | "break";

/** Gates and counts, where tasks find them: an argument would have to be handed over by the event loop. */
function keepWords(words: Int32Array): void {
  (globalThis as unknown as { words: Int32Array }).words = words;
}

/** Every task; in words, gates come first and then the count of each task's runs. */
function act(kind: Kind, place: number, gate: number, _: unknown): unknown {
  const { words } = globalThis as unknown as { words: Int32Array };
  Atomics.add(words, place, 1);
  switch (kind) {
    case "return":
    case "take what cannot travel":
      return place;
    case "throw":
      throw new RangeError(`thrown by ${place}`);
    case "return later":
      return Promise.resolve().then(() => place);
    case "throw later":
      return new Promise((_, reject) =>
        setTimeout(() => reject(new RangeError(`thrown by ${place}`)))
      );
    case "hold":
      Atomics.wait(words, gate, 0);
      return place;
    case "hold later":
      return (async () => {
        await Atomics.waitAsync(words, gate, 0).value;
        return place;
      })();
    case "return what cannot travel":
      return { place, fn: () => {} };
    case "exit":
      return Deno.exit(3);
    case "exit later":
      return new Promise(() => setTimeout(() => Deno.exit(3)));
  }
}

/** The folder of gates and counts, where tasks find it. */
function keepFolder(folder: string): void {
  (globalThis as unknown as { folder: string }).folder = folder;
}

/** Does as `act`, by files instead of words. */
function actByFiles(
  kind: Kind,
  place: number,
  gate: number,
  _: unknown,
): unknown {
  const { folder } = globalThis as unknown as { folder: string };
  Deno.writeTextFileSync(`${folder}/runs`, `${place}\n`, { append: true });
  const isOpen = () => {
    try {
      return Deno.statSync(`${folder}/${gate}.open`).isFile;
    } catch {
      return false;
    }
  };
  switch (kind) {
    case "return":
    case "take what cannot travel":
      return place;
    case "throw":
      throw new RangeError(`thrown by ${place}`);
    case "return later":
      return Promise.resolve().then(() => place);
    case "throw later":
      return new Promise((_, reject) =>
        setTimeout(() => reject(new RangeError(`thrown by ${place}`)))
      );
    case "hold": {
      const sleeper = new Int32Array(new SharedArrayBuffer(4));
      while (!isOpen()) Atomics.wait(sleeper, 0, 0, 1);
      return place;
    }
    case "hold later":
      return (async () => {
        while (!isOpen()) await new Promise((next) => setTimeout(next, 1));
        return place;
      })();
    case "return what cannot travel":
      return { place, fn: () => {} };
    case "exit":
      return Deno.exit(3);
    case "exit later":
      return new Promise(() =>
        setTimeout(() => Deno.kill(Deno.pid, "SIGKILL"))
      );
  }
}

/** What the model knows of a task. */
interface Entry {
  readonly kind: Kind;
  readonly place: number;
  readonly gate: number;
  readonly future: Future<unknown>;
  /** How often its done callback was called. */
  calls: number;
  /** Whether a cancel() of it returned true. */
  isCancelled: boolean;
  /** Whether it was seen done; then it must stay so. */
  wasDone: boolean;
}

class Model {
  readonly tasks: Entry[] = [];
  readonly open = new Set<number>();
  isShut = false;
  mayCancelAll = false;

  /** Whether nothing that is pending could wait for a gate. */
  get canBlock(): boolean {
    return this.tasks.every((task) =>
      !isHeld(task.kind) || this.open.has(task.gate) || task.future.done()
    );
  }

  hasDeath(): boolean {
    return this.tasks.some((task) => isDeadly(task.kind));
  }
}

/** A pool, and what its tasks and the model share. */
interface Real {
  readonly onWorkerDeath: OnWorkerDeath;
  readonly Broken: typeof BrokenThreadPool | typeof BrokenProcessPool;
  readonly pool: Executor;
  readonly act: typeof act;
  openGate(gate: number): void;
  /** How often each task was run, by its place. */
  countRuns(): (place: number) => number;
  /** Waits until no worker is left. */
  settle(): Promise<void>;
}

class RealThreads implements Real {
  readonly onWorkerDeath: OnWorkerDeath;
  readonly Broken = BrokenThreadPool;
  readonly act = act;
  readonly words = new Int32Array(
    new SharedArrayBuffer((GATES + MOST_TASKS) * 4),
  );
  readonly pool: ThreadPoolExecutor;

  constructor(onWorkerDeath: OnWorkerDeath) {
    this.onWorkerDeath = onWorkerDeath;
    this.pool = new ThreadPoolExecutor({
      maxWorkers: 2,
      onWorkerDeath,
      initializer: keepWords,
      initArgs: [this.words],
    });
  }

  openGate(gate: number): void {
    Atomics.store(this.words, gate, 1);
    Atomics.notify(this.words, gate);
  }

  countRuns(): (place: number) => number {
    return (place) => Atomics.load(this.words, place);
  }

  async settle(): Promise<void> {
    // A worker that was set aside in synchronous code ends by itself: nobody waits for it.
    while (liveWorkers() > 0) await delay(1);
  }
}

class RealProcesses implements Real {
  readonly onWorkerDeath: OnWorkerDeath;
  readonly Broken = BrokenProcessPool;
  readonly act = actByFiles;
  readonly folder = Deno.makeTempDirSync();
  readonly pool: ProcessPoolExecutor;

  constructor(onWorkerDeath: OnWorkerDeath, maxTasksPerChild?: number) {
    this.onWorkerDeath = onWorkerDeath;
    Deno.writeTextFileSync(`${this.folder}/runs`, "");
    this.pool = new ProcessPoolExecutor({
      maxWorkers: 2,
      maxTasksPerChild,
      onWorkerDeath,
      initializer: keepFolder,
      initArgs: [this.folder],
    });
  }

  openGate(gate: number): void {
    Deno.writeTextFileSync(`${this.folder}/${gate}.open`, "");
  }

  countRuns(): (place: number) => number {
    const runs = Deno.readTextFileSync(`${this.folder}/runs`).split("\n");
    return (place) => runs.filter((run) => run === `${place}`).length;
  }

  settle(): Promise<void> {
    assertEquals(liveWorkers(), 0);
    assertEquals(childPids(), []);
    return Deno.remove(this.folder, { recursive: true });
  }
}

/** Looks at every task, and at what a task that is done came to. */
function lookAtAll(model: Model, real: Real): void {
  // To ask one may take in what has come for others: so each is seen at one moment.
  const seen = model.tasks.map(({ future }, i) => {
    const isDone = future.done();
    return { isDone, calls: model.tasks[i].calls };
  });
  const runsOf = real.countRuns(); // after that: a task runs before it is done
  for (const [i, task] of model.tasks.entries()) {
    const { isDone, calls } = seen[i];
    if (task.wasDone) assert(isDone, `${task.place} was done and is not`);
    task.wasDone = isDone;
    assertEquals(calls, isDone ? 1 : 0);
    if (isDone) checkOutcome(task, runsOf(task.place), model, real);
    else if (task.isCancelled) throw new Error(`${task.place} is cancelled`);
  }
}

function checkOutcome(
  task: Entry,
  runs: number,
  model: Model,
  real: Real,
): void {
  const { future, kind, place } = task;
  if (future.cancelled()) {
    assert(task.isCancelled || model.mayCancelAll);
    assertEquals(runs, 0, `${place} was cancelled and ran`);
    assertThrows(() => future.resultSync(), CancelledError);
    return;
  }
  assert(!task.isCancelled, `${place} was cancelled and is not any more`);
  const error = future.exceptionSync({ timeout: 0 });
  if (error instanceof real.Broken) {
    if (real.onWorkerDeath === "replace") {
      assert(isDeadly(kind), `${place} failed with another's worker`);
      assertEquals(runs, 1);
    } else assert(model.hasDeath());
    assert(runs <= 1);
    return;
  }
  if (kind === "take what cannot travel") {
    assertInstanceOf(error, SerializationError);
    assertEquals(runs, 0);
    return;
  }
  assertEquals(runs, 1, `${place} (${kind}) ran ${runs} times`);
  assert(!isDeadly(kind), `${place} outlived its worker`);
  if (kind === "return what cannot travel") {
    assertInstanceOf(error, SerializationError);
    assertEquals(error.message.includes(".fn is a function"), true);
  } else if (kind.startsWith("throw")) {
    assertInstanceOf(error, RangeError);
    assertEquals(error.message, `thrown by ${place}`);
  } else {
    assertEquals(error, null);
    assertEquals(future.resultSync(), place);
  }
}

// ------------------------------------------------------------- commands

type Command = fc.AsyncCommand<Model, Real>;

/** A command that can always come, and after which everything is looked at. */
abstract class Step implements Command {
  check(_model: Readonly<Model>): boolean {
    return true;
  }

  async run(model: Model, real: Real): Promise<void> {
    await this.act(model, real);
    lookAtAll(model, real);
  }

  abstract act(model: Model, real: Real): void | Promise<void>;
  abstract toString(): string;
}

class Submit extends Step {
  constructor(readonly calls: readonly { kind: Kind; gate: number }[]) {
    super();
  }

  override check(model: Readonly<Model>): boolean {
    return model.tasks.length + this.calls.length <= MOST_TASKS;
  }

  act(model: Model, real: Real): void {
    for (const { kind, gate } of this.calls) {
      this.#submit(kind, gate, model, real);
    }
  }

  #submit(kind: Kind, gate: number, model: Model, real: Real): void {
    const place = GATES + model.tasks.length;
    const extra = kind === "take what cannot travel" ? () => {} : null;
    let future: Future<unknown>;
    try {
      future = real.pool.submit(real.act, kind, place, gate, extra);
    } catch (error) {
      assertInstanceOf(error, RuntimeError);
      if (error instanceof real.Broken) {
        assertEquals(real.onWorkerDeath, "break");
        assert(model.hasDeath());
      } else assert(model.isShut);
      return;
    }
    assert(!model.isShut);
    const task: Entry = {
      kind,
      place,
      gate,
      future,
      calls: 0,
      isCancelled: false,
      wasDone: false,
    };
    model.tasks.push(task);
    future.addDoneCallback((f) => {
      task.calls++;
      assert(f === future);
    });
  }

  toString(): string {
    const calls = this.calls.map(({ kind, gate }) =>
      isHeld(kind) ? `${kind} at ${gate}` : kind
    );
    return `submit(${calls.join(", ")})`;
  }
}

class Cancel extends Step {
  constructor(readonly pick: number) {
    super();
  }

  override check(model: Readonly<Model>): boolean {
    return model.tasks.length > 0;
  }

  act(model: Model): void {
    const task = model.tasks[this.pick % model.tasks.length];
    const before = task.future.cancelled();
    const wasRunning = task.future.running();
    const answer = task.future.cancel();
    assertEquals(answer, task.future.cancelled());
    if (before) assert(answer);
    if (wasRunning) assert(!answer);
    task.isCancelled ||= answer;
  }

  toString(): string {
    return `cancel(${this.pick})`;
  }
}

class Open extends Step {
  constructor(readonly gate: number) {
    super();
  }

  act(model: Model, real: Real): void {
    model.open.add(this.gate);
    real.openGate(this.gate);
  }

  toString(): string {
    return `open(${this.gate})`;
  }
}

class Wait extends Step {
  constructor(
    readonly returnWhen: ReturnWhen,
    readonly timeout: number,
    readonly isSync: boolean,
  ) {
    super();
  }

  async act(model: Model): Promise<void> {
    const { returnWhen, timeout } = this;
    const futures = model.tasks.map((task) => task.future);
    // Where no gate is in the way, without a limit: this must not hang.
    const options = model.canBlock ? { returnWhen } : { returnWhen, timeout };
    const { done, notDone } = this.isSync
      ? waitSync(futures, options)
      : await wait(futures, options);
    assertEquals(done.size + notDone.size, futures.length);
    for (const future of done) assert(future.done() && !notDone.has(future));
    if (!model.canBlock) return;
    if (returnWhen === ALL_COMPLETED) assertEquals(notDone.size, 0);
    else assert(done.size > 0 || futures.length === 0);
  }

  toString(): string {
    return `wait${
      this.isSync ? "Sync" : ""
    }(${this.returnWhen}, ${this.timeout})`;
  }
}

class Result extends Step {
  constructor(
    readonly pick: number,
    readonly timeout: number,
    readonly isSync: boolean,
  ) {
    super();
  }

  override check(model: Readonly<Model>): boolean {
    return model.tasks.length > 0;
  }

  async act(model: Model): Promise<void> {
    const { future } = model.tasks[this.pick % model.tasks.length];
    const options = model.canBlock ? {} : { timeout: this.timeout };
    try {
      if (this.isSync) future.exceptionSync(options);
      else await future.exception(options);
    } catch (error) {
      if (error instanceof CancelledError) assert(future.cancelled());
      else {
        assertInstanceOf(error, TimeoutError);
        assert(!model.canBlock);
      }
      return;
    }
    assert(future.done());
  }

  toString(): string {
    return `exception${
      this.isSync ? "Sync" : ""
    }(${this.pick}, ${this.timeout})`;
  }
}

class Turn extends Step {
  constructor(readonly ms: number) {
    super();
  }

  async act(): Promise<void> {
    await delay(this.ms);
  }

  toString(): string {
    return `turn(${this.ms})`;
  }
}

class Shutdown extends Step {
  constructor(
    readonly cancelFutures: boolean,
    readonly isSync: boolean,
    readonly after: number,
  ) {
    super();
  }

  /** Mostly not at the start: there is little to see of a pool that was shut down. */
  override check(model: Readonly<Model>): boolean {
    return model.tasks.length >= this.after;
  }

  async act(model: Model, real: Real): Promise<void> {
    const { cancelFutures } = this;
    model.isShut = true;
    model.mayCancelAll ||= cancelFutures;
    const running = model.tasks.filter((task) => task.future.running());
    const options = { cancelFutures, wait: model.canBlock };
    if (this.isSync) real.pool.shutdownSync(options);
    else await real.pool.shutdown(options);
    if (options.wait) {
      assert(model.tasks.every((task) => task.future.done()));
    }
    if (cancelFutures) {
      for (const { future } of model.tasks) {
        assert(future.done() || future.running());
      }
    }
    assert(running.every((task) => !task.future.cancelled()));
    assertThrows(() => real.pool.submit(Math.abs, 1), RuntimeError);
  }

  toString(): string {
    return `shutdown${this.isSync ? "Sync" : ""}(${
      this.cancelFutures ? "cancelFutures" : ""
    })`;
  }
}

const gate = fc.nat({ max: GATES - 1 });
const pick = fc.nat({ max: MOST_TASKS });
const waitMs = fc.constantFrom(0, 1, 5);

/** Commands in the mix in which programs are the most telling. */
function programs(): fc.Arbitrary<Iterable<Command>> {
  const submit = fc.array(
    fc.record({ kind: fc.constantFrom(...KINDS), gate }),
    { minLength: 1, maxLength: 6, size: "max" },
  ).map((calls) => new Submit(calls));
  const returnWhen = fc.constantFrom<ReturnWhen>(
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
  );
  const cancel = pick.map((n) => new Cancel(n));
  return fc.commands<Model, Real, false>([
    submit,
    submit,
    submit,
    cancel,
    cancel,
    gate.map((n) => new Open(n)),
    fc.record({ returnWhen, waitMs, isSync: fc.boolean() }).map((o) =>
      new Wait(o.returnWhen, o.waitMs, o.isSync)
    ),
    fc.record({ pick, waitMs, isSync: fc.boolean() }).map((o) =>
      new Result(o.pick, o.waitMs, o.isSync)
    ),
    fc.constantFrom(0, 1, 3).map((ms) => new Turn(ms)),
    fc.record({
      cancelFutures: fc.boolean(),
      isSync: fc.boolean(),
      after: fc.nat({ max: MOST_TASKS }),
    }).map((o) => new Shutdown(o.cancelFutures, o.isSync, o.after)),
  ], { maxCommands: 50, size: "max" });
}

/** Ends a program: all gates open, everything accounted for, nothing left. */
async function settle(model: Model, real: Real): Promise<void> {
  for (let n = 0; n < GATES; n++) real.openGate(n);
  await real.pool.shutdown();
  for (const { future } of model.tasks) assert(future.done());
  lookAtAll(model, real);
  await real.settle();
}

function testModel(name: string, numRuns: number, create: () => Real): void {
  Deno.test(name, { timeout: TIMEOUT_MS }, async () => {
    await fc.assert(
      fc.asyncProperty(programs(), async (program) => {
        const model = new Model();
        const real = create();
        try {
          await fc.asyncModelRun(() => ({ model, real }), program);
        } finally {
          await settle(model, real);
        }
      }),
      { numRuns, endOnFailure: true },
    );
  });
}

for (const onWorkerDeath of ["replace", "break"] as const) {
  testModel(
    `ThreadPoolExecutor does as its model in any program, with onWorkerDeath "${onWorkerDeath}"`,
    15,
    () => new RealThreads(onWorkerDeath),
  );

  testModel(
    `ProcessPoolExecutor does as its model in any program, with onWorkerDeath "${onWorkerDeath}"`,
    12,
    () => new RealProcesses(onWorkerDeath),
  );
}

testModel(
  "ProcessPoolExecutor does as its model in any program, with maxTasksPerChild 3",
  12,
  () => new RealProcesses("replace", 3),
);
