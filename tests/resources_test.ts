/**
 * What pools give back, seen from small versions of the scenarios of `resources.ts`, each a program
 * of its own that can have its memory collected; and how a program bounds what `submit` queues.
 */

import { assert, assertEquals } from "@std/assert";
import { delay } from "@std/async";
import {
  type Executor,
  FIRST_COMPLETED,
  type Future,
  ProcessPoolExecutor,
  ThreadPoolExecutor,
  wait,
  waitSync,
} from "../mod.ts";
import { Gates, tasks, testPool } from "./_harness.ts";
import { testProcesses } from "./_process_tasks.ts";
import { runProgram } from "./_program.ts";
import { KINDS } from "./_resource_report.ts";

const TIMEOUT_MS = 300_000;

/** The module of `hold`, for programs elsewhere. */
const HOLD = import.meta.resolve("./_tasks.ts");

/** Runs a small version of a scenario; returns the lines that it printed. */
async function runScenario(name: string, kind: string): Promise<string[]> {
  const program = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--v8-flags=--expose-gc",
      `${import.meta.dirname}/resources.ts`,
      name,
      `--pool=${kind}`,
      "--scale=0.001",
      "--idle-seconds=1",
    ],
    env: { NO_COLOR: "1" },
    stdin: "null",
  });
  const { code, stdout, stderr } = await program.output();
  const decoder = new TextDecoder();
  const text = decoder.decode(stdout);
  assertEquals([code, decoder.decode(stderr)], [0, ""], text);
  return text.trimEnd().split("\n").map((line) => line.trim());
}

/** What each scenario must have found to be right, by the beginnings of its lines. */
const VERDICTS: Readonly<Record<string, readonly string[]>> = {
  pools: ["ok: growth of heap", "ok: tasks that returned their number"],
  tasks: [
    "ok: sum of the results: 199990000",
    "ok: growth of heap",
    "ok: growth of rss",
  ],
  map: [
    "ok: values: 10000",
    "ok: most tasks ahead of the consumer: 1000 (allowed: 1000)",
    "ok: most tasks ahead of the consumer: 10 (allowed: 10)",
  ],
  idle: [
    "ok: workers: ",
    "ok: CPU time of all: ",
    "ok: CPU time of all in the last quarter",
  ],
  dropped: [
    "ok: the pool was collected with its tasks pending",
    "ok: tasks done by then: 0",
    "ok: results in order: true",
    "ok: tasks that ran: 100",
    "ok: its workers are gone: true",
  ],
};

/** What each of them must have found at its end. */
const GONE: readonly string[] = [
  "ok: workers' threads left: 0",
  "ok: child processes left: 0",
  "ok: file descriptors more than before: ",
];

for (const kind of KINDS) {
  for (const [name, verdicts] of Object.entries(VERDICTS)) {
    Deno.test(`a ${kind} pool gives back what it took: ${name}`, {
      timeout: TIMEOUT_MS,
    }, async () => {
      const lines = await runScenario(name, kind);
      for (const verdict of [...verdicts, ...GONE]) {
        assert(
          lines.some((line) => line.startsWith(verdict)),
          `"${verdict}" is missing in:\n${lines.join("\n")}`,
        );
      }
    });
  }
}

// ------------------------------------------------------- dropped, at the end

for (const kind of KINDS) {
  Deno.test(
    `a program whose ${kind} pool was dropped and collected goes on until its futures are done`,
    { timeout: TIMEOUT_MS },
    async () => {
      using gates = new Gates();
      const name = kind === "thread"
        ? "ThreadPoolExecutor"
        : "ProcessPoolExecutor";
      const { code, stdout, stderr } = await runProgram(
        `
        import { importTasks, ${name} } from "@concurrent/futures";
        const { hold } = importTasks<typeof import("${HOLD}")>("${HOLD}");
        const folder = ${JSON.stringify(gates.folder)};
        const { gc } = globalThis as unknown as { gc(): void };
        function leave() {
          const pool = new ${name}({ maxWorkers: 1 });
          const future = pool.submit(hold, folder, "gate");
          future.addDoneCallback(() => console.log("done"));
          return new WeakRef(pool);
        }
        const pool = leave();
        do {
          await new Promise((resolve) => setTimeout(resolve, 1));
          gc();
        } while (pool.deref() !== undefined);
        console.log("collected");
        Deno.writeTextFileSync(folder + "/gate.open", "");
        `,
        { flags: ["--allow-all", "--v8-flags=--expose-gc"], limitMs: 100_000 },
      );
      assertEquals([code, stdout, stderr], [0, "collected\ndone\n", ""]);
    },
  );
}

// ------------------------------------------------------------ bounding submit

const LIMIT = 10;
const COUNT = 200;

/** A program that bounds what it submits, as README.md shows; with its blocking form. */
class BoundedProgram {
  readonly futures: Future<string>[] = [];
  readonly results: string[] = [];
  /** Most futures that were not done at once. */
  mostPending = 0;
  readonly #pool: Executor;
  readonly #folder: string;

  constructor(pool: Executor, { folder }: Gates) {
    this.#pool = pool;
    this.#folder = folder;
  }

  /** Submits a task that ends once its gate is open. */
  submit(n: number): Future<string> {
    const future = this.#pool.submit(tasks.hold, this.#folder, `${n}`);
    this.futures.push(future);
    const pending = this.futures.filter((future) => !future.done()).length;
    this.mostPending = Math.max(this.mostPending, pending);
    return future;
  }

  async run(): Promise<void> {
    let pending = new Set<Future<string>>();
    for (let n = 0; n < COUNT; n++) {
      pending.add(this.submit(n));
      if (pending.size < LIMIT) continue;
      const { done, notDone } = await wait(pending, {
        returnWhen: FIRST_COMPLETED,
      });
      for (const future of done) this.results.push(await future);
      pending = notDone;
    }
    for (const future of pending) this.results.push(await future);
  }

  runBlocking(): void {
    let pending = new Set<Future<string>>();
    for (let n = 0; n < COUNT; n++) {
      pending.add(this.submit(n));
      if (pending.size < LIMIT) continue;
      const { done, notDone } = waitSync(pending, {
        returnWhen: FIRST_COMPLETED,
      });
      for (const future of done) this.results.push(future.resultSync());
      pending = notDone;
    }
    for (const future of pending) this.results.push(future.resultSync());
  }

  /** Checks that each task ran, and that never more than so many were pending. */
  check(): void {
    const numbers = this.results.map(Number).sort((a, b) => a - b);
    assertEquals(numbers, Array.from({ length: COUNT }, (_, n) => n));
    assertEquals(this.mostPending, LIMIT);
  }
}

const POOLS = [
  [
    "ThreadPoolExecutor",
    testPool,
    () => new ThreadPoolExecutor({ maxWorkers: 2 }),
  ],
  [
    "ProcessPoolExecutor",
    testProcesses,
    () => new ProcessPoolExecutor({ maxWorkers: 2 }),
  ],
] as const;

for (const [name, test, create] of POOLS) {
  test(
    `${name}.submit() is called no more while as many futures are pending as a program allows`,
    async ({ own, gates }) => {
      const program = new BoundedProgram(own(create()), gates);
      const running = program.run();
      assertEquals(program.futures.length, LIMIT);
      gates.open("0");
      await program.futures[0];
      await delay(0); // a turn, for the program
      // One more for each that is done: the gate of a second one is closed.
      assertEquals(program.futures.length, LIMIT + 1);
      gates.openEvery();
      await running;
      program.check();
    },
  );

  test(
    `${name}.submit() is called no more while as many futures are pending as a blocking program allows`,
    ({ own, gates }) => {
      const program = new BoundedProgram(own(create()), gates);
      gates.openEvery();
      program.runBlocking();
      program.check();
      return Promise.resolve();
    },
  );
}
