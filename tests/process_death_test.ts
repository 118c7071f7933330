/**
 * Processes that die, by what they were doing, how they died, what the pool was told to do about it,
 * and how the program waited:
 *
 * | process was ...        | throws | exit, signal, no memory, no stdout | stray error, stray rejection |
 * | ---------------------- | ------ | ---------------------------------- | ---------------------------- |
 * | idle, while the owner sends arguments | fails alone | the task runs elsewhere | (reported, costs nothing) |
 * | being sent arguments   | -      | dead   | -                            |
 * | reading the function   | fails alone | dead   | dead                         |
 * | reading the arguments  | fails alone | dead   | dead                         |
 * | running, awaiting      | fails alone | dead   | dead                         |
 * | sending the result     | fails alone | dead   | (reported, costs nothing)    |
 * | idle, before the owner reads the result | fails alone | the result arrives | (reported, costs nothing) |
 * | idle                   | -      | dead   | reported, costs nothing      |
 * | initializing           | breaks the pool | breaks the pool | breaks the pool |
 * | starting               | see `process_faults_test.ts` |  |                 |
 *
 * "Dead" fails the task that ran with `BrokenProcessPool`, and under `"break"` all that is pending.
 * What is in parentheses is the same code as in threads, and tested there.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertNotEquals,
  assertNotStrictEquals,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  BrokenProcessPool,
  CancelledError,
  type Future,
  importTasks,
  type ProcessContext,
  ProcessPoolExecutor,
  RuntimeError,
  SerializationError,
} from "../mod.ts";
import {
  alive,
  assertEnd,
  childPids,
  type Death,
  die,
  dieAtGate,
  dieAwaiting,
  ignoreSigterm,
  ownPid,
  returnDeadly,
  spoilMaps,
  testProcesses,
  untilDead,
} from "./_dying_processes.ts";
import {
  type Form,
  FORMS,
  type Gates,
  type Setting,
  tasks,
  testPool,
} from "./_harness.ts";
import { runProgram } from "./_program.ts";

/** Deaths that come in the midst of a statement. */
const EXITS: readonly Death[] = [
  "Deno.exit(0)",
  "Deno.exit(3)",
  "process.exit(3)",
  "SIGKILL",
  "SIGTERM",
];
const STRAYS: readonly Death[] = ["stray error", "stray rejection"];
const DEATHS: readonly Death[] = [...EXITS, ...STRAYS];
const EVERY_DEATH: readonly Death[] = [...DEATHS, "closed stdout", "heap"];
/** Where the way does not matter, but for how the end is heard of: one of each kind. */
const FEW_EXITS: readonly Death[] = ["Deno.exit(3)", "SIGKILL"];
const FEW_DEATHS: readonly Death[] = [...FEW_EXITS, "stray error"];
const POLICIES = ["break", "replace"] as const;
type Policy = typeof POLICIES[number];

/** What the message says of each way. */
const WORDS: Readonly<Record<Death, RegExp>> = {
  "Deno.exit(0)": /exited with code 0\b.*likely Deno\.exit\(\) was called/,
  "Deno.exit(3)": /exited with code 3\b/,
  "process.exit(3)": /exited with code 3\b/,
  "SIGKILL": /was killed by SIGKILL\b.*likely/,
  "SIGTERM": /was killed by SIGTERM\b.*likely/,
  "closed stdout": /stdout/,
  "stray error": /uncaught error.*stray/,
  "stray rejection": /unhandled rejection.*stray/,
  "heap": /was killed by SIG[A-Z]+\b.*likely it ran out of memory/,
};

/** A heap that is soon full. */
const SMALL_HEAP: ProcessContext = {
  denoArgs: ["--v8-flags=--max-old-space-size=24"],
};

const DIE = String(die);

function makePool(
  onWorkerDeath: Policy,
  maxWorkers = 1,
  how?: Death,
): ProcessPoolExecutor {
  return new ProcessPoolExecutor({
    maxWorkers,
    onWorkerDeath,
    context: how === "heap" ? SMALL_HEAP : undefined,
  });
}

/** Asserts that `error` tells of this death of a worker. */
function assertTells(error: unknown, how: Death): void {
  assertInstanceOf(error, BrokenProcessPool);
  assertMatch(error.message, /worker "ProcessPoolExecutor-\d+_\d+"/);
  assertMatch(error.message, WORDS[how]);
  if (STRAYS.includes(how)) {
    assertInstanceOf(error.cause, RangeError);
    assertEquals(error.cause.message, "stray");
  } else assertMatch(error.message, /\(process \d+\)/);
}

/** Asserts that each future failed of this death, with an error of its own. */
async function assertAllTell(
  futures: readonly Future<unknown>[],
  how: Death,
  form: Form,
): Promise<void> {
  const errors: unknown[] = [];
  for (const future of futures) errors.push(await form.exception(future));
  for (const error of errors) assertTells(error, how);
  assertEquals(new Set(errors).size, futures.length);
}

/** Asserts that the pool goes on with another process, or is broken, as its policy says. */
async function assertPolicyKept(
  pool: ProcessPoolExecutor,
  policy: Policy,
  form: Form,
  first: number,
): Promise<void> {
  if (policy === "break") return assertBroken(pool);
  assertEquals(await form.result(pool.submit(tasks.add, 1, 2)), 3);
  assertNotEquals(await form.result(pool.submit(ownPid)), first);
}

/**
 * Waits until a death has been noticed: the pool is broken, or runs the next task elsewhere. A task
 * that was sent to the dead before fails.
 */
async function untilNoticed(
  pool: ProcessPoolExecutor,
  policy: Policy,
  form: Form,
  how: Death,
): Promise<void> {
  let error: unknown;
  try {
    error = await form.exception(pool.submit(Math.abs, 1));
  } catch (thrown) {
    assertEquals(policy, "break"); // noticed before
    error = thrown;
  }
  if (policy === "break" || error !== null) assertTells(error, how);
}

function assertBroken(pool: ProcessPoolExecutor): void {
  const [a, b] = [1, 2].map(() =>
    assertThrows(() => pool.submit(Math.abs, 1), BrokenProcessPool)
  );
  assertNotStrictEquals(a, b);
  assertInstanceOf(a, RuntimeError);
  assertThrows(() => pool.map(Math.abs, [1]), BrokenProcessPool);
  assertThrows(() => pool.submitWith({}, Math.abs, 1), BrokenProcessPool);
}

interface DeathSetting extends Setting {
  readonly form: Form;
  readonly policy: Policy;
  /** A pool whose one process runs already. */
  readonly pool: ProcessPoolExecutor;
  /** The process's id. */
  readonly pid: number;
}

/** Registers a test for each policy and form. */
function testDeath(
  name: string,
  fn: (setting: DeathSetting) => Promise<void>,
  how?: Death,
): void {
  for (const policy of POLICIES) {
    testProcesses(
      `ProcessPoolExecutor({ onWorkerDeath: "${policy}" }) ${name}`,
      async (bench) => {
        const pool = bench.own(makePool(policy, 1, how));
        const pid = await bench.form.result(pool.submit(ownPid));
        await fn({ ...bench, policy, pool, pid });
      },
    );
  }
}

// ------------------------------------------------------- sending arguments

testDeath(
  "fails the call alone when reading an argument throws",
  async ({ form, pool, pid }) => {
    const cause = new RangeError("unreadable");
    const poison = {
      get part(): number {
        throw cause;
      },
    };
    const future = pool.submit((value) => value, poison);
    const error = await form.exception(future);
    assertInstanceOf(error, SerializationError);
    assertStrictEquals(error.cause, cause);
    assertEquals(await form.result(pool.submit(ownPid)), pid);
  },
);

/** Blocks until the process has died. */
function pullTrigger(gates: Gates, pid: number): void {
  gates.open("trigger");
  while (alive([pid]).length > 0);
}

for (const how of FEW_EXITS) {
  testDeath(
    `runs a task elsewhere, or is broken, when the idle worker dies by ${how} while arguments are sent`,
    async ({ form, policy, pool, pid, gates }) => {
      await form.result(
        pool.submit(dieAtGate, gates.folder, "trigger", DIE, how),
      );
      const deadly = {
        get part() {
          pullTrigger(gates, pid);
          return 5;
        },
      };
      const future = pool.submit(({ part }) => [part, Deno.pid], deadly);
      const error = await form.exception(future);
      if (policy === "replace" && error === null) {
        const [part, other] = await form.result(future);
        assertEquals(part, 5);
        assertNotEquals(other, pid);
      } else assertTells(error, how); // under "replace" where it was sent to the dead
      await assertPolicyKept(pool, policy, form, pid);
    },
  );
}

for (const signal of ["SIGKILL", "SIGTERM"] as const) {
  testDeath(
    `fails the call when its process is killed by ${signal} in the midst of its 30 MB argument`,
    async ({ form, policy, pool, pid, gates }) => {
      Deno.kill(pid, "SIGSTOP"); // so that it reads no more than the pipe holds
      const future = pool.submit(
        (bytes: Uint8Array) => bytes.length,
        new Uint8Array(30_000_000),
      );
      const behind = pool.submit(tasks.note, gates.folder, "behind");
      await form.until(() => future.running());
      Deno.kill(pid, signal);
      // SIGKILL does not wait for it, and the process may be gone by now.
      if (signal !== "SIGKILL") Deno.kill(pid, "SIGCONT");
      assertTells(await form.exception(future), signal);
      if (policy === "replace") {
        assertEquals(await form.result(behind), "behind");
      } else assertTells(await form.exception(behind), signal);
      await assertPolicyKept(pool, policy, form, pid);
      await form.shutdown(pool);
      assertEquals(gates.notes(), policy === "replace" ? ["behind"] : []);
    },
  );
}

// ------------------------------------------------------ reading the function

/** A module that does `work` when it is imported, and then exports a function. */
function moduleThat(work: string) {
  const source = `${work}; export function f() { return 1; }`;
  return importTasks<{ f(): number }>(
    `data:text/javascript,${encodeURIComponent(source)}`,
  );
}

testDeath(
  "fails the call alone when its module throws on import",
  async ({ form, pool, pid }) => {
    const { f } = moduleThat(`throw new RangeError("no licence")`);
    for (let i = 0; i < 2; i++) {
      const error = await form.exception(pool.submit(f));
      assertInstanceOf(error, RangeError);
      assertEquals(error.message, "no licence");
    }
    assertEquals(await form.result(pool.submit(ownPid)), pid);
  },
);

for (const how of FEW_DEATHS) {
  testDeath(
    `fails the call when its module dies by ${how} on import`,
    async ({ form, policy, pool, pid }) => {
      const { f } = moduleThat(`${DIE}; await die(${JSON.stringify(how)})`);
      assertTells(await form.exception(pool.submit(f)), how);
      await assertPolicyKept(pool, policy, form, pid);
    },
  );
}

// ----------------------------------------------------- reading the arguments

testDeath(
  "fails the call alone when the process cannot read an argument",
  async ({ form, pool, pid }) => {
    const spoil = () => {
      const { set } = Map.prototype;
      Map.prototype.set = function (this: Map<unknown, unknown>, key, value) {
        if (key === "poison") throw new RangeError("spoiled");
        return set.call(this, key, value);
      };
    };
    await form.result(pool.submit(spoil));
    const future = pool.submit((map) => map.size, new Map([["poison", 2]]));
    const error = await form.exception(future);
    assertInstanceOf(error, Error);
    assertStringIncludes(error.message, "spoiled");
    assertEquals(await form.result(pool.submit(ownPid)), pid);
  },
);

for (const how of FEW_DEATHS) {
  testDeath(
    `fails the call when the process dies by ${how} as it reads an argument`,
    async ({ form, policy, pool, pid }) => {
      await form.result(pool.submit(spoilMaps, DIE, how));
      const future = pool.submit(
        (_: unknown) => new Promise<void>(() => {}),
        new Map([["poison", 2]]),
      );
      assertTells(await form.exception(future), how);
      await assertPolicyKept(pool, policy, form, pid);
    },
  );
}

// --------------------------------------------------------- running the task

testDeath(
  "fails the call alone when the task throws",
  async ({ form, pool, pid }) => {
    for (const task of [tasks.fail, tasks.failAwaiting]) {
      const error = await form.exception(pool.submit(task, "thrown"));
      assertInstanceOf(error, RangeError);
      assertEquals(error.message, "thrown");
    }
    assertEquals(await form.result(pool.submit(ownPid)), pid);
  },
);

for (const how of EVERY_DEATH) {
  testDeath(
    `fails the call when its task dies by ${how}`,
    async ({ form, policy, pool, pid }) => {
      const error = await form.exception(pool.submit(die, how));
      assertTells(error, how);
      assertStringIncludes((error as Error).message, '"die"');
      if (!STRAYS.includes(how)) {
        assertStringIncludes((error as Error).message, `(process ${pid})`);
      }
      await assertPolicyKept(pool, policy, form, pid);
    },
    how,
  );

  testDeath(
    `fails the call when its task dies by ${how} after an await`,
    async ({ form, policy, pool, pid }) => {
      const error = await form.exception(pool.submit(dieAwaiting, DIE, how));
      assertTells(error, how);
      assertStringIncludes((error as Error).message, '"dieAwaiting"');
      await assertPolicyKept(pool, policy, form, pid);
    },
    how,
  );
}

for (const how of FEW_DEATHS) {
  testDeath(
    `fails the values of a chunk of map whose task dies by ${how}`,
    async ({ form, policy, pool, pid }) => {
      const results = pool.map(die, [how, how], { chunkSize: 2 });
      const { values, thrown: [error] } = await form.collect(results);
      assertEquals(values, []);
      assertTells(error, how);
      await assertPolicyKept(pool, policy, form, pid);
    },
  );
}

testDeath(
  "quotes the last lines that a process wrote to stderr before it died",
  async ({ form, pool }) => {
    const lament = () => {
      // deno-lint-ignore no-console -- what a task does, too
      console.error("first words");
      Deno.stderr.writeSync(new TextEncoder().encode("last words"));
      Deno.exit(3);
    };
    const error = await form.exception(pool.submit(lament));
    assertTells(error, "Deno.exit(3)");
    assertMatch(
      (error as Error).message,
      /stderr[^]*first words[^]*last words/,
    );
  },
);

for (const stream of ["stdin", "stderr"] as const) {
  testDeath(
    `goes on when a task closes Deno.${stream}`,
    async ({ form, pool }) => {
      const close = (stream: "stdin" | "stderr") => Deno[stream].close();
      assertEquals(await form.result(pool.submit(close, stream)), undefined);
      assertEquals(await form.result(pool.submit(tasks.add, 1, 2)), 3);
    },
  );
}

// -------------------------------------------------------- sending the result

testDeath(
  "fails the call alone when reading its result throws",
  async ({ form, pool, pid }) => {
    const future = pool.submit(() => ({
      get part(): number {
        throw new RangeError("unreadable");
      },
    }));
    const error = await form.exception(future);
    assertInstanceOf(error, SerializationError);
    assertStringIncludes(error.message, "unreadable");
    assertEquals(await form.result(pool.submit(ownPid)), pid);
  },
);

for (const how of FEW_EXITS) {
  testDeath(
    `fails the call when the process dies by ${how} as it sends the result`,
    async ({ form, policy, pool, pid }) => {
      const error = await form.exception(pool.submit(returnDeadly, DIE, how));
      assertTells(error, how);
      assertStringIncludes((error as Error).message, '"returnDeadly"');
      await assertPolicyKept(pool, policy, form, pid);
    },
  );
}

// -------------------------------------------------------- reading the result

testDeath(
  "fails the call alone when the owner cannot read its result",
  async ({ form, pool, pid }) => {
    const { set } = Map.prototype;
    Map.prototype.set = function (this: Map<unknown, unknown>, key, value) {
      if (key === "poison") throw new RangeError("spoiled");
      return set.call(this, key, value);
    };
    try {
      const future = pool.submit(() => new Map([["poison", 1]]));
      const error = await form.exception(future);
      assertInstanceOf(error, SerializationError);
      assertStringIncludes(error.message, "spoiled");
    } finally {
      Map.prototype.set = set;
    }
    assertEquals(await form.result(pool.submit(ownPid)), pid);
  },
);

for (const how of FEW_EXITS) {
  testDeath(
    `gives a result that was sent before its process died by ${how}`,
    async ({ form, policy, pool, pid, gates }) => {
      const future = pool.submit(
        dieAtGate,
        gates.folder,
        "trigger",
        DIE,
        how,
      );
      // Nobody has read the result: this thread has neither awaited nor blocked on it since.
      pullTrigger(gates, pid);
      assertEquals(await form.result(future), pid);
      await untilNoticed(pool, policy, form, how);
      await assertPolicyKept(pool, policy, form, pid);
    },
  );
}

testDeath(
  "gives a result of 10 MB that was sent before its process died",
  async ({ form, pool, pid, gates }) => {
    const sendAndDie = (folder: string) => {
      const timer = setInterval(() => {
        try {
          Deno.statSync(`${folder}/trigger.open`);
        } catch {
          return;
        }
        clearInterval(timer);
        Deno.exit(3);
      }, 1);
      return new Uint8Array(10_000_000).fill(7);
    };
    const future = pool.submit(sendAndDie, gates.folder);
    pullTrigger(gates, pid);
    const bytes = await form.result(future);
    assertEquals([bytes.length, bytes[0], bytes.at(-1)], [10_000_000, 7, 7]);
  },
);

// --------------------------------------------------------- an idle process

for (const how of EXITS) {
  testDeath(
    `notices a process that died idle by ${how}`,
    async ({ form, policy, pool, pid, gates }) => {
      await form.result(
        pool.submit(dieAtGate, gates.folder, "trigger", DIE, how),
      );
      pullTrigger(gates, pid);
      await untilNoticed(pool, policy, form, how);
      await assertPolicyKept(pool, policy, form, pid);
    },
  );
}

for (const how of STRAYS) {
  testDeath(
    `goes on when a ${how} comes up in an idle process`,
    async ({ form, pool, pid, gates }) => {
      await form.result(
        pool.submit(dieAtGate, gates.folder, "trigger", DIE, how),
      );
      gates.open("trigger");
      const linger = () => new Promise((resolve) => setTimeout(resolve, 20));
      await form.result(pool.submit(linger)); // the stray comes up meanwhile
      assertEquals(await form.result(pool.submit(ownPid)), pid);
    },
  );
}

for (const how of ["Deno.exit(3)", "SIGKILL"] as const) {
  testProcesses(
    `ProcessPoolExecutor({ onWorkerDeath: "break" }) fails what runs elsewhere when an idle process dies by ${how}`,
    async ({ form, own, gates }) => {
      const pool = own(makePool("break", 2));
      const beside = pool.submit(tasks.hold, gates.folder, "a");
      await form.until(() => gates.isReached("a"));
      const pid = await form.result(
        pool.submit(dieAtGate, gates.folder, "trigger", DIE, how),
      );
      pullTrigger(gates, pid);
      assertTells(await form.exception(beside), how);
      assertBroken(pool);
    },
  );

  testProcesses(
    `ProcessPoolExecutor({ onWorkerDeath: "replace" }) lets the task beside go on when an idle process dies by ${how}`,
    async ({ form, own, gates }) => {
      const pool = own(makePool("replace", 2));
      const beside = pool.submit(tasks.hold, gates.folder, "a");
      await form.until(() => gates.isReached("a"));
      const pid = await form.result(
        pool.submit(dieAtGate, gates.folder, "trigger", DIE, how),
      );
      pullTrigger(gates, pid);
      await untilNoticed(pool, "replace", form, how);
      assertNotEquals(await form.result(pool.submit(ownPid)), pid);
      assertEquals(beside.running(), true);
      gates.open("a");
      assertEquals(await form.result(beside), "a");
    },
  );
}

// ------------------------------------------------------------ initializers

for (const policy of POLICIES) {
  for (const how of EVERY_DEATH) {
    testProcesses(
      `ProcessPoolExecutor({ onWorkerDeath: "${policy}" }) breaks when the initializer dies by ${how}`,
      async ({ form, own }) => {
        const pool = own(
          new ProcessPoolExecutor({
            maxWorkers: 2,
            onWorkerDeath: policy,
            context: how === "heap" ? SMALL_HEAP : undefined,
            initializer: die,
            initArgs: [how],
          }),
        );
        const futures = [1, 2, 3].map((n) => pool.submit(Math.abs, n));
        await assertAllTell(futures, how, form);
        assertBroken(pool);
        await form.shutdown(pool);
        assertEquals(childPids(), []);
      },
    );
  }

  testProcesses(
    `ProcessPoolExecutor({ onWorkerDeath: "${policy}" }) breaks with its error as cause when the initializer throws`,
    async ({ form, own }) => {
      const pool = own(
        new ProcessPoolExecutor({
          maxWorkers: 2,
          onWorkerDeath: policy,
          initializer: tasks.fail,
          initArgs: ["unfit"],
        }),
      );
      for (const future of [1, 2].map((n) => pool.submit(Math.abs, n))) {
        const error = await form.exception(future);
        assertInstanceOf(error, BrokenProcessPool);
        assertInstanceOf(error.cause, RangeError);
        assertEquals(error.cause.message, "unfit");
      }
      assertBroken(pool);
    },
  );
}

testProcesses(
  `ProcessPoolExecutor({ onWorkerDeath: "replace" }) breaks when the initializer of a replacement dies`,
  async ({ form, own, gates }) => {
    const dieOnceNoted = (folder: string) => {
      const path = `${folder}/initialized`;
      try {
        Deno.statSync(path);
      } catch {
        return Deno.writeTextFileSync(path, "");
      }
      Deno.exit(3);
    };
    const pool = own(
      new ProcessPoolExecutor({
        maxWorkers: 1,
        onWorkerDeath: "replace",
        initializer: dieOnceNoted,
        initArgs: [gates.folder],
      }),
    );
    const futures = [
      pool.submit(die, "SIGKILL"),
      pool.submit(tasks.add, 1, 2),
      pool.submit(tasks.add, 3, 4),
    ];
    assertTells(await form.exception(futures[0]), "SIGKILL");
    await assertAllTell(futures.slice(1), "Deno.exit(3)", form);
    assertBroken(pool);
  },
);

// -------------------------------------------------------- what others see

testDeath(
  "tells each future of a death by an error of its own",
  async ({ form, pool }) => {
    const futures = [1, 2, 3].map(() => pool.submit(die, "Deno.exit(3)"));
    await assertAllTell(futures, "Deno.exit(3)", form);
    // The same future tells the same error each time.
    const [future] = futures;
    assertStrictEquals(
      await form.exception(future),
      await form.exception(future),
    );
  },
);

for (const how of FEW_DEATHS) {
  testProcesses(
    `ProcessPoolExecutor({ onWorkerDeath: "break" }) fails what runs beside a death by ${how} and what waits behind it`,
    async ({ form, own, gates }) => {
      const pool = own(makePool("break", 2));
      const beside = pool.submit(tasks.hold, gates.folder, "a");
      await form.until(() => gates.isReached("a"));
      const futures: Future<unknown>[] = [
        pool.submit(die, how),
        beside,
        pool.submit(tasks.add, 1, 2),
        pool.submit(tasks.add, 3, 4),
      ];
      await assertAllTell(futures, how, form);
      assertBroken(pool);
    },
  );

  testProcesses(
    `ProcessPoolExecutor({ onWorkerDeath: "replace" }) lets the task beside a death by ${how} go on`,
    async ({ form, own, gates }) => {
      const pool = own(makePool("replace", 2));
      const beside = pool.submit(tasks.hold, gates.folder, "a");
      await form.until(() => gates.isReached("a"));
      assertTells(await form.exception(pool.submit(die, how)), how);
      assertEquals(beside.running(), true);
      gates.open("a");
      assertEquals(await form.result(beside), "a");
    },
  );
}

testProcesses(
  `ProcessPoolExecutor({ onWorkerDeath: "replace" }) goes on after many deaths beside other tasks`,
  async ({ form, own, gates }) => {
    const pool = own(makePool("replace", 2));
    const futures: [Future<string>, Death | undefined][] = [];
    for (let n = 0; n < 30; n++) {
      const how = n % 3 === 1 ? DEATHS[n % DEATHS.length] : undefined;
      futures.push([
        how === undefined
          ? pool.submit(tasks.note, gates.folder, `${n}`)
          : pool.submit(die, how),
        how,
      ]);
    }
    const names: string[] = [];
    for (const [future, how] of futures) {
      if (how === undefined) names.push(await form.result(future));
      else assertTells(await form.exception(future), how);
    }
    assertEquals(gates.notes().sort(), names.sort());
  },
);

testDeath(
  "runs nothing of a task after Deno.exit()",
  async ({ form, policy, pool, gates }) => {
    const future = pool.submit((path: string) => {
      Deno.exit(3);
      // @ts-ignore: what follows is reached only where exit returns
      Deno.writeTextFileSync(path, "");
    }, `${gates.folder}/a.started`);
    assertTells(await form.exception(future), "Deno.exit(3)");
    if (policy === "replace") await form.result(pool.submit(tasks.add, 1, 2));
    assertEquals(gates.isReached("a"), false);
  },
);

testDeath(
  "shuts down while its process dies",
  async ({ form, policy, pool }) => {
    const futures = [1, 2, 3].map(() => pool.submit(die, "SIGKILL"));
    await form.shutdown(pool);
    assertEquals(childPids(), []);
    for (const future of futures) assert(future.done());
    await assertAllTell(futures, "SIGKILL", form);
    assertThrows(
      () => pool.submit(Math.abs, 1),
      policy === "break" ? BrokenProcessPool : RuntimeError,
    );
  },
);

testDeath(
  "tells a done callback of a death",
  async ({ form, pool }) => {
    const future = pool.submit(die, "SIGKILL");
    const told: boolean[] = [];
    future.addDoneCallback((future) => told.push(future.done()));
    await form.exception(future);
    assertEquals(told, [true]);
  },
);

testProcesses(
  `ProcessPoolExecutor({ onWorkerDeath: "replace" }) lets a done callback submit again after a death`,
  async ({ form, own }) => {
    const pool = own(makePool("replace"));
    let again: Future<number> | undefined;
    const future = pool.submit(die, "SIGKILL");
    future.addDoneCallback(() => again = pool.submit(tasks.add, 1, 2));
    await form.exception(future);
    assertEquals(await form.result(again!), 3);
  },
);

testProcesses(
  'ProcessPoolExecutor({ maxTasksPerChild: 1, onWorkerDeath: "replace" }) replaces processes that die and those that are through',
  async ({ form, own, gates }) => {
    const pool = own(
      new ProcessPoolExecutor({
        maxWorkers: 2,
        maxTasksPerChild: 1,
        onWorkerDeath: "replace",
      }),
    );
    const futures = Array.from(
      { length: 8 },
      (_, n) =>
        n % 2 === 0
          ? pool.submit(die, "SIGKILL")
          : pool.submit(tasks.note, gates.folder, `${n}`),
    );
    for (const [n, future] of futures.entries()) {
      if (n % 2 === 0) assertTells(await form.exception(future), "SIGKILL");
      else assertEquals(await form.result(future), `${n}`);
    }
    assertEquals(gates.notes().sort(), ["1", "3", "5", "7"]);
  },
);

// ---------------------------------------------------- tasks sent ahead

const MANY = 300;

function submitNotes(
  pool: ProcessPoolExecutor,
  gates: Gates,
  name: string,
): Future<string>[] {
  return Array.from(
    { length: MANY },
    (_, n) => pool.submit(tasks.note, gates.folder, `${name}${n}`),
  );
}

const namesOf = (name: string) =>
  Array.from({ length: MANY }, (_, n) => `${name}${n}`);

for (const how of FEW_DEATHS) {
  testDeath(
    `neither loses nor repeats a task sent ahead when one among many dies by ${how}`,
    async ({ form, policy, pool, gates }) => {
      const before = submitNotes(pool, gates, "before");
      const deadly = pool.submit(die, how);
      const behind = submitNotes(pool, gates, "behind");
      for (const [n, future] of before.entries()) {
        assertEquals(await form.result(future), `before${n}`);
      }
      assertTells(await form.exception(deadly), how);
      if (policy === "replace") {
        for (const [n, future] of behind.entries()) {
          assertEquals(await form.result(future), `behind${n}`);
        }
        assertEquals(gates.notes(), [
          ...namesOf("before"),
          ...namesOf("behind"),
        ]);
      } else {
        await assertAllTell(behind, how, form);
        await form.shutdown(pool);
        assertEquals(gates.notes(), namesOf("before"));
      }
    },
  );
}

// ------------------------------------------------------ killed from outside

testDeath(
  "notices an idle process that is killed from outside",
  async ({ form, policy, pool, pid }) => {
    Deno.kill(pid, "SIGKILL");
    await untilDead(pid, form);
    await untilNoticed(pool, policy, form, "SIGKILL");
    await assertPolicyKept(pool, policy, form, pid);
  },
);

for (const task of ["hold", "holdAwaiting"] as const) {
  testDeath(
    `fails the call when its process is killed from outside in ${task}`,
    async ({ form, policy, pool, pid, gates }) => {
      const future = pool.submit<[string, string], unknown>(
        tasks[task],
        gates.folder,
        "a",
      );
      const behind = submitNotes(pool, gates, "behind");
      await form.until(() => gates.isReached("a"));
      Deno.kill(pid, "SIGKILL");
      assertTells(await form.exception(future), "SIGKILL");
      if (policy === "replace") {
        for (const future of behind) await form.result(future);
        assertEquals(gates.notes(), namesOf("behind"));
      } else {
        await assertAllTell(behind, "SIGKILL", form);
        assertEquals(gates.notes(), []);
      }
      await assertPolicyKept(pool, policy, form, pid);
    },
  );
}

/** Leaves a note that it ran, and where. */
function noteWithPid(folder: string, name: string): string {
  const note = `${name} ${Deno.pid}\n`;
  Deno.writeTextFileSync(`${folder}/notes`, note, { append: true });
  return name;
}

testProcesses(
  `ProcessPoolExecutor({ onWorkerDeath: "replace" }) loses one task at the most to each process that is killed from outside among hundreds of quick ones`,
  async ({ form, own, gates }) => {
    const pool = own(makePool("replace", 2));
    const names: string[] = [];
    const futures: Future<string>[] = [];
    for (const round of "abcd") {
      const first = names.length;
      names.push(...namesOf(round));
      for (const name of names.slice(first)) {
        futures.push(pool.submit(noteWithPid, gates.folder, name));
      }
      await form.exception(futures[first + 50]);
      // Who ran a task, and lives: one that is starting would break the pool.
      const living = childPids();
      const pid = gates.notes().map((note) => Number(note.split(" ")[1]))
        .findLast((pid) => living.includes(pid));
      Deno.kill(pid!, "SIGKILL");
    }
    const failed: string[] = [];
    for (const [n, future] of futures.entries()) {
      const error = await form.exception(future);
      if (error === null) {
        assertEquals(await form.result(future), names[n]);
      } else {
        assertTells(error, "SIGKILL");
        failed.push(names[n]);
      }
    }
    assert(failed.length <= "abcd".length, `${failed}`);
    const notes = gates.notes().map((note) => note.split(" ")[0]);
    assertEquals(new Set(notes).size, notes.length);
    const missing = names.filter((name) => !notes.includes(name));
    assert(missing.every((name) => failed.includes(name)));
  },
);

// -------------------------------------- terminateWorkers() and killWorkers()

const ENDS = ["terminateWorkers", "killWorkers"] as const;

/** Never returns. */
const spin = () => {
  for (;;);
};

function assertGivenUp(error: unknown, end: typeof ENDS[number]): void {
  assertInstanceOf(error, BrokenProcessPool);
  assertStringIncludes(error.message, `${end}() was called`);
}

for (const end of ENDS) {
  for (const policy of POLICIES) {
    testProcesses(
      `ProcessPoolExecutor({ onWorkerDeath: "${policy}" }).${end}() fails what runs and what is queued`,
      async ({ form, own, gates }) => {
        const pool = own(makePool(policy, 2));
        const running = [
          pool.submit(tasks.hold, gates.folder, "a"),
          pool.submit(tasks.holdAwaiting, gates.folder, "b"),
        ];
        const queued = submitNotes(pool, gates, "queued");
        await form.until(() => gates.isReached("a") && gates.isReached("b"));
        const pids = childPids();
        assertEquals(pids.length, 2);
        pool[end]();
        const errors: unknown[] = [];
        for (const future of [...running, ...queued]) {
          assert(future.done());
          errors.push(await form.exception(future));
        }
        for (const error of errors) assertGivenUp(error, end);
        assertEquals(new Set(errors).size, errors.length);
        assertBroken(pool);
        await form.shutdown(pool);
        assertEquals(childPids(), []);
        assertEquals(gates.notes(), []);
      },
    );
  }

  testProcesses(
    `ProcessPoolExecutor.${end}() ends processes in endless loops`,
    async ({ form, own }) => {
      const pool = own(makePool("break", 2));
      const futures = [pool.submit(spin), pool.submit(spin)];
      await form.until(() => futures.every((future) => future.running()));
      pool[end]();
      for (const future of futures) {
        assertGivenUp(await form.exception(future), end);
      }
      await form.shutdown(pool);
      assertEquals(childPids(), []);
    },
  );

  testProcesses(
    `ProcessPoolExecutor.${end}() ends the pool when idle`,
    async ({ form, own }) => {
      const pool = own(makePool("break"));
      const pid = await form.result(pool.submit(ownPid));
      pool[end]();
      assertBroken(pool);
      await form.shutdown(pool);
      assertEquals(alive([pid]), []);
    },
  );

  testProcesses(
    `ProcessPoolExecutor.${end}() ends processes that start`,
    async ({ form, own }) => {
      const pool = own(makePool("break", 2));
      const futures = [1, 2, 3].map((n) => pool.submit(Math.abs, n));
      pool[end]();
      for (const future of futures) {
        assertGivenUp(await form.exception(future), end);
      }
      assertBroken(pool);
      await form.shutdown(pool);
      assertEquals(childPids(), []);
    },
  );

  testProcesses(
    `ProcessPoolExecutor.${end}() breaks a pool that has not started anything`,
    async ({ form, own }) => {
      const pool = own(makePool("break"));
      pool[end]();
      assertGivenUp(assertThrows(() => pool.submit(Math.abs, 1)), end);
      assertBroken(pool);
      await form.shutdown(pool);
      assertEquals(childPids(), []);
    },
  );

  testProcesses(
    `ProcessPoolExecutor.${end}() does nothing after shutdown`,
    async ({ form, own }) => {
      const pool = own(makePool("break"));
      const future = pool.submit(tasks.add, 1, 2);
      await form.shutdown(pool);
      pool[end]();
      pool[end]();
      assertEquals(await form.result(future), 3);
      assertThrows(() => pool.submit(Math.abs, 1), RuntimeError);
    },
  );

  testProcesses(
    `ProcessPoolExecutor.${end}() fails what is pending after shutdown without waiting`,
    async ({ form, own, gates }) => {
      const pool = own(makePool("break"));
      const futures = [
        pool.submit(tasks.hold, gates.folder, "a"),
        pool.submit(tasks.hold, gates.folder, "b"),
      ];
      await form.until(() => gates.isReached("a"));
      await form.shutdown(pool, { wait: false });
      pool[end]();
      for (const future of futures) {
        assertGivenUp(await form.exception(future), end);
      }
      await form.shutdown(pool);
      assertEquals(childPids(), []);
    },
  );

  for (const next of ENDS) {
    testProcesses(
      `ProcessPoolExecutor.${next}() comes too late to tell another reason than ${end}()`,
      async ({ form, own, gates }) => {
        const pool = own(makePool("break"));
        const future = pool.submit(tasks.hold, gates.folder, "a");
        await form.until(() => gates.isReached("a"));
        pool[end]();
        pool[next]();
        assertGivenUp(await form.exception(future), end);
        assertGivenUp(assertThrows(() => pool.submit(Math.abs, 1)), end);
        await form.shutdown(pool);
        pool[next]();
        assertEquals(childPids(), []);
      },
    );
  }

  testProcesses(
    `ProcessPoolExecutor.${end}() leaves results and cancelled futures as they are`,
    async ({ form, own, gates }) => {
      const pool = own(makePool("break"));
      const sum = pool.submit(tasks.add, 1, 2);
      await form.result(sum);
      const future = pool.submit(tasks.hold, gates.folder, "a");
      const cancelled = pool.submit(tasks.add, 3, 4);
      await form.until(() => gates.isReached("a"));
      assert(cancelled.cancel());
      pool[end]();
      assertGivenUp(await form.exception(future), end);
      assertEquals(await form.result(sum), 3);
      assertThrows(() => cancelled.resultSync(), CancelledError);
    },
  );

  testProcesses(
    `ProcessPoolExecutor.${end}() ends a map with BrokenProcessPool`,
    async ({ form, own, gates }) => {
      const pool = own(makePool("break", 2));
      const { folder } = gates;
      const results = pool.map(tasks.hold, [folder, folder], ["a", "b"]);
      await form.until(() => gates.isReached("a") && gates.isReached("b"));
      pool[end]();
      const { values, thrown } = await form.collect(results);
      assertEquals(values, []);
      assertGivenUp(thrown[0], end);
    },
  );

  testProcesses(
    `ProcessPoolExecutor.${end}() works in a done callback`,
    async ({ form, own, gates }) => {
      const pool = own(makePool("replace", 2));
      const running = pool.submit(tasks.hold, gates.folder, "a");
      await form.until(() => gates.isReached("a"));
      const sum = pool.submit(tasks.add, 1, 2);
      sum.addDoneCallback(() => pool[end]());
      assertEquals(await form.result(sum), 3);
      assertGivenUp(await form.exception(running), end);
      await form.shutdown(pool);
      assertEquals(childPids(), []);
    },
  );
}

testProcesses(
  "ProcessPoolExecutor.terminateWorkers() then shutdown() ends an idle process that ignores SIGTERM",
  async ({ form, own }) => {
    const pool = own(makePool("break"));
    const pid = await form.result(pool.submit(ignoreSigterm));
    pool.terminateWorkers();
    assertBroken(pool);
    await form.shutdown(pool);
    assertEquals(alive([pid]), []);
  },
);

testProcesses(
  "ProcessPoolExecutor.terminateWorkers() then shutdown() ends a busy process that ignores SIGTERM",
  async ({ form, own, gates }) => {
    const pool = own(makePool("break"));
    const pid = await form.result(pool.submit(ignoreSigterm));
    const future = pool.submit(tasks.holdAwaiting, gates.folder, "a");
    await form.until(() => gates.isReached("a"));
    pool.terminateWorkers();
    assertGivenUp(await form.exception(future), "terminateWorkers");
    await form.shutdown(pool);
    assertEquals(alive([pid]), []);
  },
);

testProcesses(
  "ProcessPoolExecutor.terminateWorkers() lets a process end by a handler of its own",
  async ({ form, own, gates }) => {
    const pool = own(makePool("break"));
    const handle = (path: string) =>
      Deno.addSignalListener("SIGTERM", () => {
        Deno.writeTextFileSync(path, "");
        Deno.exit(0);
      });
    await form.result(pool.submit(handle, `${gates.folder}/farewell.started`));
    pool.terminateWorkers();
    await form.shutdown(pool);
    assert(gates.isReached("farewell"));
  },
);

testProcesses(
  "ProcessPoolExecutor.killWorkers() ends at once what ignores terminateWorkers()",
  async ({ form, own }) => {
    const pool = own(makePool("break"));
    const pid = await form.result(pool.submit(ignoreSigterm));
    pool.terminateWorkers();
    pool.killWorkers();
    await assertEnd([pid], form);
    await form.shutdown(pool);
  },
);

// ---------------------------------------------------- shutdown and the rest

testProcesses(
  "ProcessPoolExecutor.shutdown() leaves no process, whatever the tasks left behind",
  async ({ form, own }) => {
    const pool = own(makePool("break", 2));
    const leave = () => {
      setInterval(() => {}, 1);
      return Deno.pid;
    };
    const pids = [
      await form.result(pool.submit(leave)),
      await form.result(pool.submit(ignoreSigterm)),
    ];
    await form.shutdown(pool);
    assertEquals(alive(pids), []);
    assertEquals(childPids(), []);
  },
);

/** Makes a pool in a task; it has a process in an endless loop, an idle one, and is left behind. */
async function nest(module: string): Promise<number[]> {
  const { ProcessPoolExecutor } = await import(module);
  const pool = new ProcessPoolExecutor({ maxWorkers: 2 });
  const pids = [
    await pool.submit(() => Deno.pid),
    await pool.submit(() => Deno.pid),
  ];
  (globalThis as Record<string, unknown>).pool = pool;
  return pids;
}

for (const end of ["shutdown", ...ENDS] as const) {
  testProcesses(
    `ProcessPoolExecutor.${end}() ends the processes of a pool that a task made`,
    async ({ form, own }) => {
      const pool = own(makePool("break"));
      const pids = await form.result(
        pool.submit(nest, import.meta.resolve("../mod.ts")),
      );
      assertEquals(alive(pids), [...new Set(pids)]);
      if (end === "shutdown") await form.shutdown(pool);
      else pool[end]();
      await assertEnd(pids, form);
    },
  );
}

// ------------------------------------------------------------------ orphans

const [AWAITED] = FORMS;

/** Tasks that leave a file named after their process, in the words of a program. */
const CROWD = `
  import { ProcessPoolExecutor } from "@concurrent/futures";

  const note = (folder) => {
    Deno.writeTextFileSync(folder + "/" + Deno.pid + ".pid", "");
  };
  const spin = (folder) => {
    Deno.writeTextFileSync(folder + "/" + Deno.pid + ".pid", "");
    for (;;);
  };
  const wait = (folder) => {
    Deno.writeTextFileSync(folder + "/" + Deno.pid + ".pid", "");
    return new Promise(() => {});
  };
  const nest = async (folder, module, task) => {
    const { ProcessPoolExecutor } = await import(module);
    const pool = new ProcessPoolExecutor({ maxWorkers: 1 });
    globalThis.pool = pool;
    Deno.writeTextFileSync(folder + "/" + Deno.pid + ".pid", "");
    await pool.submit((0, eval)("(" + task + ")"), folder);
  };
`;

const NESTED = JSON.stringify(import.meta.resolve("../mod.ts"));

/** The processes that left a file, once so many did. */
async function untilNoted(folder: string, count: number): Promise<number[]> {
  let pids: number[] = [];
  await AWAITED.until(() => {
    pids = [...Deno.readDirSync(folder)].flatMap(({ name }) =>
      name.endsWith(".pid") ? [parseInt(name)] : []
    );
    return pids.length >= count;
  });
  return pids;
}

/** How a program ends that has processes in every state; the code that it exits with. */
const PROGRAM_ENDS: Readonly<Record<string, number>> = {
  "SIGKILL": 137,
  "SIGTERM": 143,
  "Deno.exit(5)": 5,
  "throw new Error()": 1,
};

for (const [end, expected] of Object.entries(PROGRAM_ENDS)) {
  testPool(
    `ProcessPoolExecutor leaves no process behind when the program ends by ${end}`,
    async ({ gates }) => {
      const program = runProgram(
        `
        ${CROWD}
        const folder = ${JSON.stringify(gates.folder)};
        const busy = new ProcessPoolExecutor({ maxWorkers: 4 });
        const idle = new ProcessPoolExecutor({ maxWorkers: 1 });
        busy.submit(spin, folder);
        busy.submit(spin, folder);
        busy.submit(wait, folder);
        busy.submit(nest, folder, ${NESTED}, String(spin));
        await idle.submit(note, folder);
        Deno.writeTextFileSync(folder + "/main", String(Deno.pid));
        for (;;) {
          await new Promise((resolve) => setTimeout(resolve, 1));
          try {
            Deno.statSync(folder + "/end.open");
          } catch {
            continue;
          }
          ${end.startsWith("SIG") ? "" : end};
        }
        `,
        { flags: ["--allow-all"] },
      );
      const pids = await untilNoted(gates.folder, 6);
      if (end.startsWith("SIG")) {
        const main = Number(Deno.readTextFileSync(`${gates.folder}/main`));
        Deno.kill(main, end as Deno.Signal);
      } else gates.open("end");
      assertEquals((await program).code, expected);
      await assertEnd(pids, AWAITED);
    },
  );
}

testPool(
  "ProcessPoolExecutor leaves no process behind when the program is killed while its first task spins",
  async ({ gates }) => {
    const program = runProgram(
      `
      ${CROWD}
      const folder = ${JSON.stringify(gates.folder)};
      const pool = new ProcessPoolExecutor({ maxWorkers: 2 });
      Deno.writeTextFileSync(folder + "/main", String(Deno.pid));
      const futures = [pool.submit(spin, folder), pool.submit(spin, folder)];
      futures[0].resultSync(); // no turn of the event loop
      `,
      { flags: ["--allow-all"] },
    );
    const pids = await untilNoted(gates.folder, 2);
    const main = Number(Deno.readTextFileSync(`${gates.folder}/main`));
    Deno.kill(main, "SIGKILL");
    assertEquals((await program).code, 137);
    await assertEnd(pids, AWAITED);
  },
);

testPool(
  "ProcessPoolExecutor lets a program with idle pools end by itself, and leaves no process behind",
  async ({ gates }) => {
    const { code, stdout, stderr } = await runProgram(
      `
      ${CROWD}
      const folder = ${JSON.stringify(gates.folder)};
      const pool = new ProcessPoolExecutor({ maxWorkers: 2 });
      await Promise.all([
        pool.submit(nest, folder, ${NESTED}, String(note)),
        pool.submit(note, folder),
      ]);
      console.log("done");
      `,
      { flags: ["--allow-all"] },
    );
    assertEquals([code, stdout, stderr], [0, "done\n", ""]);
    await assertEnd(await untilNoted(gates.folder, 2), AWAITED);
  },
);

testPool(
  "ProcessPoolExecutor keeps the program alive while a future is pending, and leaves no process behind",
  async ({ gates }) => {
    const { code, stdout } = await runProgram(
      `
      ${CROWD}
      const folder = ${JSON.stringify(gates.folder)};
      const pool = new ProcessPoolExecutor({ maxWorkers: 1, onWorkerDeath: "replace" });
      pool.submit(() => Deno.exit(3)).addDoneCallback(() => console.log("dead"));
      pool.submit(note, folder).addDoneCallback(() => console.log("done"));
      `,
      { flags: ["--allow-all"] },
    );
    assertEquals([code, stdout], [0, "dead\ndone\n"]);
    await assertEnd(await untilNoted(gates.folder, 1), AWAITED);
  },
);
