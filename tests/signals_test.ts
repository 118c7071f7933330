/**
 * What a terminal sends, to all processes of a program at once: Ctrl-C, and its end. In full, for
 * threads and processes:
 *
 * | workers are ...        | no listener  | a listener that shuts down | a listener that does nothing |
 * | ---------------------- | ------------ | -------------------------- | ---------------------------- |
 * | idle                   | nothing left | ends by itself             | take the next task           |
 * | awaiting               | nothing left | finish, the rest cancelled | finish, and what waits       |
 * | in synchronous code    | nothing left | finish, the rest cancelled | finish, and what waits       |
 * | ... and so is the program | nothing left | the listener is late    | finish, and what waits       |
 * | starting               | nothing left | all cancelled              | are started again            |
 * | in a pool of a task's  | nothing left | finish, the rest cancelled | finish, and what waits       |
 * | waiting for a program  | nothing left | it dies, as it was sent the signal too | the same         |
 *
 * `_interrupted.ts` is the program. In a pseudo terminal all this was tried by hand.
 *
 * @module
 */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { BrokenProcessPool, ProcessPoolExecutor } from "../mod.ts";
import { FORMS, Gates, tasks, testPool, TIMEOUT_MS } from "./_harness.ts";
import {
  countLines,
  LISTENERS,
  type Plan,
  POOLS,
  STATES,
} from "./_interrupted.ts";
import {
  childPids,
  isAlive,
  pidOf,
  testProcesses,
  testProcessForms,
} from "./_process_tasks.ts";
import { Terminal } from "./_terminal.ts";

const [AWAITED] = FORMS;
const PROGRAM = import.meta.resolve("./_interrupted.ts");

/**
 * What stands for Deno: it never gets ready, until the gate is open for those that come then. As
 * every worker it ends with its stdin.
 */
function slowStart(folder: string): string {
  const path = `${folder}/deno`;
  const script = `#!/bin/sh
if [ -e '${folder}/go.open' ]; then exec '${Deno.execPath()}' "$@"; fi
echo $$ >> '${folder}/starts'
exec sed d
`;
  Deno.writeTextFileSync(path, script, { mode: 0o700 });
  return path;
}

function open(plan: Plan, gates: Gates): Terminal {
  const { pool, state, listener } = plan;
  const execPath = state === "starting" && pool === "process"
    ? [slowStart(gates.folder)]
    : [];
  const args = [pool, state, listener, gates.folder, ...execPath];
  return new Terminal(PROGRAM, args);
}

/** Registers a test of the program. */
function testProgram(
  name: string,
  plan: Plan,
  fn: (terminal: Terminal, gates: Gates) => Promise<void>,
): void {
  const { pool, state, listener } = plan;
  const title = `a ${pool} pool (${state}; listener: ${listener}) ${name}`;
  Deno.test(title, { timeout: TIMEOUT_MS }, async () => {
    using gates = new Gates();
    await using terminal = open(plan, gates);
    await terminal.untilPrinted("ready");
    await fn(terminal, gates);
    await terminal.assertEmpty();
  });
}

// ------------------------------------------------------------- no listener

for (const pool of POOLS) {
  for (const state of STATES) {
    testProgram(
      "ends with its program, and nothing is left or printed",
      { pool, state, listener: "none" },
      async (terminal) => {
        terminal.interrupt();
        assertEquals(await terminal.ended(), {
          code: 130,
          signal: "SIGINT",
          lines: ["ready"],
          stderr: "",
        });
      },
    );
  }
}

for (const state of ["idle", "awaiting", "spinning", "grandchild"] as const) {
  testProgram(
    "ends with its terminal, and nothing is left or printed",
    { pool: "process", state, listener: "none" },
    async (terminal) => {
      terminal.interrupt("SIGHUP");
      assertEquals(await terminal.ended(), {
        code: 129,
        signal: "SIGHUP",
        lines: ["ready"],
        stderr: "",
      });
    },
  );
}

// --------------------------------------------------------------- listeners

/** The lines about the tasks, in one; what a thread is asked first is up to the system. */
const OUTCOMES: Readonly<
  Record<"graceful" | "mere", Record<Plan["state"], RegExp>>
> = {
  graceful: {
    idle: /^$/,
    awaiting: /^a b cancelled $/,
    spinning: /^a b cancelled $/,
    blocked: /^a b (cancelled|waiting) $/,
    starting: /^(a|cancelled) (b|cancelled) cancelled $/,
    nested: /^a b cancelled $/,
    grandchild: /^a SIGINT b SIGINT (cancelled|waiting) $/,
  },
  mere: {
    idle: /^3 $/,
    awaiting: /^a b waiting $/,
    spinning: /^a b waiting $/,
    blocked: /^a b waiting $/,
    starting: /^a b waiting $/,
    nested: /^a b waiting $/,
    grandchild: /^a SIGINT b SIGINT waiting $/,
  },
};

/** Lets the program end, and asserts that nothing got lost. */
async function assertEndsWell(
  terminal: Terminal,
  { pool, state, listener }: Plan,
  signal: Deno.Signal = "SIGINT",
): Promise<void> {
  const { lines, ...rest } = await terminal.ended();
  assertEquals(rest, { code: 0, signal: null, stderr: "" });
  const outcomes = lines.filter((line) =>
    !["ready", signal, "end"].includes(line)
  );
  assertEquals(lines.length, outcomes.length + 3);
  const expected = OUTCOMES[listener as "graceful" | "mere"][state];
  assertMatch(outcomes.map((line) => `${line} `).join(""), expected);
  // None of them can have begun.
  if (listener === "graceful" && state === "starting" && pool === "process") {
    assertEquals(outcomes, ["cancelled", "cancelled", "cancelled"]);
  }
}

for (const listener of LISTENERS) {
  if (listener === "none") continue;
  for (const pool of POOLS) {
    for (const state of STATES) {
      const plan = { pool, state, listener };
      testProgram(
        listener === "graceful"
          ? "finishes what runs, and lets the program end"
          : "goes on, and loses nothing",
        plan,
        async (terminal, gates) => {
          gates.open("go");
          terminal.interrupt();
          // A program that blocks hears of it when it does no more.
          if (state !== "blocked") await terminal.untilPrinted("SIGINT");
          gates.openEvery();
          await assertEndsWell(terminal, plan);
          if (state === "starting" && pool === "process") {
            assertEquals(countLines(`${gates.folder}/starts`), 2);
          }
        },
      );
    }
  }
}

{
  const plan = {
    pool: "process",
    state: "spinning",
    listener: "mere",
  } as const;
  testProgram(
    "goes on when its terminal ends, and loses nothing",
    plan,
    async (terminal, gates) => {
      terminal.interrupt("SIGHUP");
      await terminal.untilPrinted("SIGHUP");
      gates.openEvery();
      await assertEndsWell(terminal, plan, "SIGHUP");
    },
  );
}

for (const pool of POOLS) {
  const plan = { pool, state: "spinning", listener: "graceful" } as const;
  testProgram(
    "finishes what runs when the program alone is sent SIGTERM",
    plan,
    async (terminal, gates) => {
      terminal.kill("SIGTERM");
      await terminal.untilPrinted("SIGTERM");
      gates.openEvery();
      await assertEndsWell(terminal, plan, "SIGTERM");
    },
  );
}

{
  const plan = {
    pool: "process",
    state: "starting",
    listener: "mere",
  } as const;
  testProgram(
    "starts its workers again each time, when interrupted twice",
    plan,
    async (terminal, gates) => {
      terminal.interrupt();
      await AWAITED.until(() => countLines(`${gates.folder}/starts`) === 4);
      gates.open("go");
      gates.openEvery();
      terminal.interrupt();
      const { code, lines, stderr } = await terminal.ended();
      assertEquals([code, stderr], [0, ""]);
      assertEquals(lines.filter((line) => !line.startsWith("SIG")), [
        "ready",
        "a",
        "b",
        "waiting",
        "end",
      ]);
      assertEquals(countLines(`${gates.folder}/starts`), 4);
    },
  );
}

// ------------------------------------------------------------ a worker alone

for (const onWorkerDeath of ["break", "replace"] as const) {
  testProcessForms(
    `ProcessPoolExecutor breaks when a worker is interrupted at each start (${onWorkerDeath})`,
    async ({ form, gates, own }) => {
      const execPath = `${gates.folder}/deno`;
      const script = `#!/bin/sh
echo $$ >> '${gates.folder}/starts'
kill -INT $$
`;
      Deno.writeTextFileSync(execPath, script, { mode: 0o700 });
      const pool = own(
        new ProcessPoolExecutor({
          maxWorkers: 1,
          onWorkerDeath,
          context: { execPath },
        }),
      );
      const error = await form.exception(pool.submit(Math.abs, 1));
      assertEquals(error instanceof BrokenProcessPool, true);
      assertStringIncludes(`${error}`, "was killed by SIGINT");
      assertEquals(countLines(`${gates.folder}/starts`), 3);
    },
  );
}

for (const signal of ["SIGINT", "SIGHUP"] as const) {
  for (const permissions of ["inherit", "none"] as const) {
    testProcesses(
      `ProcessPoolExecutor takes no notice of ${signal} to an idle worker (permissions: ${permissions})`,
      async ({ own }) => {
        const pool = own(
          new ProcessPoolExecutor({ maxWorkers: 1, context: { permissions } }),
        );
        const pid = await pool.submit(pidOf);
        for (let i = 0; i < 3; i++) {
          Deno.kill(pid, signal);
          assertEquals(await pool.submit(pidOf), pid);
        }
      },
    );
  }
}

testProcessForms(
  "ProcessPoolExecutor takes no notice of SIGINT to a worker in its initializer",
  async ({ form, gates, own }) => {
    const pool = own(
      new ProcessPoolExecutor({
        maxWorkers: 1,
        initializer: tasks.hold,
        initArgs: [gates.folder, "initializer"],
      }),
    );
    const future = pool.submit(pidOf);
    await form.until(() => gates.isReached("initializer"));
    const [pid] = childPids();
    Deno.kill(pid, "SIGINT");
    gates.open("initializer");
    assertEquals(await form.result(future), pid);
  },
);

/** A task: listens, says so, and returns how often it was called, once it was. */
function listen(folder: string): Promise<number> {
  let calls = 0;
  const { promise, resolve } = Promise.withResolvers<number>();
  const listener = () => {
    Deno.removeSignalListener("SIGINT", listener);
    resolve(++calls);
  };
  Deno.addSignalListener("SIGINT", listener);
  Deno.writeTextFileSync(`${folder}/listens.started`, "");
  return promise;
}

testProcessForms(
  "ProcessPoolExecutor lets a task listen to SIGINT, and no longer",
  async ({ form, gates, own }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
    const pid = await form.result(pool.submit(pidOf));
    const future = pool.submit(listen, gates.folder);
    await form.until(() => gates.isReached("listens"));
    Deno.kill(pid, "SIGINT");
    assertEquals(await form.result(future), 1);
    Deno.kill(pid, "SIGINT"); // the task's listener is gone, the pool's is not
    assertEquals(await form.result(pool.submit(pidOf)), pid);
  },
);

/** A task: tries to take away what listens to SIGINT. */
function removeListeners(): number {
  Deno.removeSignalListener("SIGINT", () => {});
  const scope = globalThis as unknown as {
    process: { removeAllListeners(name: string): void };
  };
  scope.process.removeAllListeners("SIGINT");
  return Deno.pid;
}

testProcessForms(
  "ProcessPoolExecutor takes no notice of SIGINT after a task has removed all listeners",
  async ({ form, own }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
    const pid = await form.result(pool.submit(removeListeners));
    Deno.kill(pid, "SIGINT");
    assertEquals(await form.result(pool.submit(pidOf)), pid);
  },
);

testPool(
  "ProcessPoolExecutor.terminateWorkers() ends a worker that was interrupted",
  async ({ gates, own }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
    const pid = await pool.submit(pidOf);
    const future = pool.submit(tasks.hold, gates.folder, "busy");
    await AWAITED.until(() => gates.isReached("busy"));
    Deno.kill(pid, "SIGINT");
    pool.terminateWorkers();
    const error = await future.exception();
    assertEquals(error instanceof BrokenProcessPool, true);
    await pool.shutdown();
    assertEquals(isAlive(pid), false);
  },
);
