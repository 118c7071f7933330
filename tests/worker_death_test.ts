/**
 * Workers that die, by what they were doing, how they died, what the pool was told to do about it,
 * and how the program waited:
 *
 * | worker was ...         | throws | Deno.exit, self.close, process.exit | stray error, stray rejection |
 * | ---------------------- | ------ | ----------------------------------- | ---------------------------- |
 * | idle, while the owner sends arguments | fails alone | the task runs elsewhere | reported, costs nothing |
 * | reading the function   | fails alone | dead   | dead                         |
 * | reading the arguments  | fails alone | dead   | dead                         |
 * | running the task       | fails alone | dead   | dead                         |
 * | sending the result     | fails alone | dead   | reported, costs nothing      |
 * | idle, before the owner reads the result | fails alone | the result arrives | reported, costs nothing |
 *
 * "Dead" fails the task that ran with `BrokenThreadPool`, and under `"break"` all that is pending.
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
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  BrokenThreadPool,
  type Executor,
  type Future,
  importTasks,
  SerializationError,
  ThreadPoolExecutor,
} from "../mod.ts";
import { type Death, die, dieLater, returnDeadly } from "./_dying_tasks.ts";
import { type Form, tasks, testForms, testPool } from "./_harness.ts";
import { liveWorkers } from "./_leaks.ts";
import { runProgram } from "./_program.ts";

const EXITS: readonly Death[] = ["Deno.exit", "self.close", "process.exit"];
const STRAYS: readonly Death[] = ["stray error", "stray rejection"];
const DEATHS: readonly Death[] = [...EXITS, ...STRAYS];
const POLICIES = ["replace", "break"] as const;
type Policy = typeof POLICIES[number];

/** What the message says of each way. */
const WORDS: Readonly<Record<Death, RegExp>> = {
  "Deno.exit": /Deno\.exit\(7\)/,
  "self.close": /self\.close\(\)/,
  "process.exit": /exit\(7\)/,
  "stray error": /uncaught error.*stray/,
  "stray rejection": /unhandled rejection.*stray/,
};

const nameOfWorker = () => self.name;

function makePool(
  onWorkerDeath: Policy,
  maxWorkers = 1,
): ThreadPoolExecutor {
  return new ThreadPoolExecutor({
    maxWorkers,
    onWorkerDeath,
    threadNamePrefix: "mortal",
  });
}

/** Asserts that `error` tells of this death of a worker. */
function assertTells(error: unknown, how: Death): void {
  assertInstanceOf(error, BrokenThreadPool);
  assertMatch(error.message, /worker "mortal_\d+"/);
  assertMatch(error.message, WORDS[how]);
  if (STRAYS.includes(how)) {
    assertInstanceOf(error.cause, RangeError);
    assertEquals(error.cause.message, "stray");
  } else assertEquals(error.cause, undefined);
}

/** Asserts that the pool goes on with another worker, or is broken, as its policy says. */
async function assertPolicyKept(
  pool: ThreadPoolExecutor,
  policy: Policy,
  form: Form,
): Promise<void> {
  if (policy === "replace") {
    assertEquals(await form.result(pool.submit(tasks.add, 1, 2)), 3);
    assertNotEquals(await form.result(pool.submit(nameOfWorker)), "mortal_0");
    return;
  }
  assertThrows(() => pool.submit(Math.abs, 1), BrokenThreadPool);
  assertThrows(() => pool.map(Math.abs, [1]), BrokenThreadPool);
  assertThrows(() => pool.submitWith({}, Math.abs, 1), BrokenThreadPool);
}

/** Asserts that the first worker still serves. */
async function assertSpared(
  pool: ThreadPoolExecutor,
  form: Form,
): Promise<void> {
  assertEquals(await form.result(pool.submit(nameOfWorker)), "mortal_0");
}

/** Two words of shared memory: the first lets a worker die, the second says that it did. */
class Trigger {
  readonly memory = new SharedArrayBuffer(8);
  readonly #words = new Int32Array(this.memory);

  /** Lets the worker die, and blocks until it has. */
  pull(): void {
    Atomics.store(this.#words, 0, 1);
    while (Atomics.load(this.#words, 1) === 0) {
      Atomics.wait(this.#words, 1, 0);
    }
  }
}

/** Registers a test for each policy and form. */
function testDeath(
  name: string,
  fn: (
    setting: {
      form: Form;
      policy: Policy;
      own: <E extends Executor>(p: E) => E;
    },
  ) => Promise<void>,
): void {
  for (const policy of POLICIES) {
    testForms(
      `ThreadPoolExecutor({ onWorkerDeath: "${policy}" }) ${name}`,
      ({ form, own }) => fn({ form, policy, own }),
    );
  }
}

// ------------------------------------------------------- sending arguments

testDeath(
  "fails the call alone when reading an argument throws",
  async ({ form, policy, own }) => {
    const pool = own(makePool(policy));
    assertEquals(await form.result(pool.submit(nameOfWorker)), "mortal_0");
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
    await assertSpared(pool, form);
  },
);

for (const how of EXITS) {
  testForms(
    `ThreadPoolExecutor({ onWorkerDeath: "replace" }) runs a task elsewhere when the idle worker dies by ${how} while arguments are sent`,
    async ({ form, own }) => {
      const pool = own(makePool("replace"));
      const trigger = new Trigger();
      await form.result(pool.submit(dieLater, trigger.memory, how));
      const deadly = {
        get part() {
          trigger.pull();
          return 5;
        },
      };
      const future = pool.submit(({ part }) => [part, self.name], deadly);
      assertEquals(await form.result(future), [5, "mortal_1"]);
    },
  );

  testForms(
    `ThreadPoolExecutor({ onWorkerDeath: "break" }) fails a task when the idle worker dies by ${how} while arguments are sent`,
    async ({ form, own }) => {
      const pool = own(makePool("break"));
      const trigger = new Trigger();
      await form.result(pool.submit(dieLater, trigger.memory, how));
      const deadly = {
        get part() {
          trigger.pull();
          return 5;
        },
      };
      const future = pool.submit(({ part }) => part, deadly);
      assertTells(await form.exception(future), how);
      await assertPolicyKept(pool, "break", form);
    },
  );
}

// ------------------------------------------------------ reading the function

/** A module that does `work` when it is imported, and then exports a function. */
function moduleThat(work: string): { f: ReturnType<typeof reference> } {
  const source = `${work}; export function f() { return 1; }`;
  return { f: reference(source) };
}

function reference(source: string) {
  return importTasks<{ f(): number }>(
    `data:text/javascript,${encodeURIComponent(source)}`,
  ).f;
}

testDeath(
  "fails the call alone when its module throws on import",
  async ({ form, policy, own }) => {
    const pool = own(makePool(policy));
    const { f } = moduleThat(`throw new RangeError("no licence")`);
    for (let i = 0; i < 2; i++) {
      const error = await form.exception(pool.submit(f));
      assertInstanceOf(error, RangeError);
      assertEquals(error.message, "no licence");
    }
    await assertSpared(pool, form);
  },
);

for (const how of DEATHS) {
  testDeath(
    `fails the call when its module dies by ${how} on import`,
    async ({ form, policy, own }) => {
      const pool = own(makePool(policy));
      const { f } = moduleThat(`${die}; await die(${JSON.stringify(how)})`);
      assertTells(await form.exception(pool.submit(f)), how);
      await assertPolicyKept(pool, policy, form);
    },
  );
}

// ----------------------------------------------------- reading the arguments

testDeath(
  "fails the call alone when the worker cannot read an argument",
  async ({ form, policy, own }) => {
    const pool = own(makePool(policy));
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
    await assertSpared(pool, form);
  },
);

for (const how of DEATHS) {
  testDeath(
    `fails the call when the worker dies by ${how} as it reads an argument`,
    async ({ form, policy, own }) => {
      const pool = own(makePool(policy));
      const spoil = (dieSource: string, how: Death) => {
        const die = (0, eval)(`(${dieSource})`);
        const { set } = Map.prototype;
        Map.prototype.set = function (this: Map<unknown, unknown>, key, value) {
          if (key === "poison") die(how);
          return set.call(this, key, value);
        };
      };
      await form.result(pool.submit(spoil, String(die), how));
      const future = pool.submit(
        (_: unknown) => new Promise<void>(() => {}),
        new Map([["poison", 2]]),
      );
      assertTells(await form.exception(future), how);
      await assertPolicyKept(pool, policy, form);
    },
  );
}

// --------------------------------------------------------- running the task

testDeath(
  "fails the call alone when the task throws",
  async ({ form, policy, own }) => {
    const pool = own(makePool(policy));
    for (const task of [tasks.fail, tasks.failAwaiting]) {
      const error = await form.exception(pool.submit(task, "thrown"));
      assertInstanceOf(error, RangeError);
      assertEquals(error.message, "thrown");
    }
    await assertSpared(pool, form);
  },
);

for (const how of DEATHS) {
  testDeath(
    `fails the call when its task dies by ${how}`,
    async ({ form, policy, own }) => {
      const pool = own(makePool(policy));
      const error = await form.exception(pool.submit(die, how));
      assertTells(error, how);
      assertStringIncludes((error as Error).message, '"die"');
      await assertPolicyKept(pool, policy, form);
    },
  );

  testDeath(
    `fails the values of a chunk of map whose task dies by ${how}`,
    async ({ form, policy, own }) => {
      const pool = own(makePool(policy));
      const results = pool.map(die, [how, how], { chunkSize: 2 });
      const { values, thrown: [error] } = await form.collect(results);
      assertEquals(values, []);
      assertTells(error, how);
      await assertPolicyKept(pool, policy, form);
    },
  );
}

// -------------------------------------------------------- sending the result

testDeath(
  "fails the call alone when reading its result throws",
  async ({ form, policy, own }) => {
    const pool = own(makePool(policy));
    const future = pool.submit(() => ({
      get part(): number {
        throw new RangeError("unreadable");
      },
    }));
    const error = await form.exception(future);
    assertInstanceOf(error, SerializationError);
    assertStringIncludes(error.message, "unreadable");
    await assertSpared(pool, form);
  },
);

testDeath(
  "fails the call alone when its result has a then that throws on reading",
  async ({ form, policy, own }) => {
    const pool = own(makePool(policy));
    const future = pool.submit(() => ({
      get then(): number {
        throw new RangeError("unreadable");
      },
    }));
    const error = await form.exception(future);
    assertInstanceOf(error, Error);
    assertStringIncludes(error.message, "unreadable");
    await assertSpared(pool, form);
  },
);

for (const how of EXITS) {
  testDeath(
    `fails the call when the worker dies by ${how} as it sends the result`,
    async ({ form, policy, own }) => {
      const pool = own(makePool(policy));
      const error = await form.exception(pool.submit(returnDeadly, how));
      assertTells(error, how);
      await assertPolicyKept(pool, policy, form);
    },
  );
}

// -------------------------------------------------------- reading the result

testDeath(
  "fails the call alone when the owner cannot read its result",
  async ({ form, policy, own }) => {
    const pool = own(makePool(policy));
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
    await assertSpared(pool, form);
  },
);

for (const how of EXITS) {
  testDeath(
    `gives a result that was sent before its worker died by ${how}`,
    async ({ form, policy, own }) => {
      const pool = own(makePool(policy));
      const trigger = new Trigger();
      await form.result(pool.submit(dieLater, trigger.memory, how));
      const future = pool.submit(tasks.add, 1, 2);
      trigger.pull(); // the result was sent before, and nobody has read it yet
      assertEquals(await form.result(future), 3);
    },
  );
}

// --------------------------------------------------------- an idle worker

for (const how of EXITS) {
  testForms(
    `ThreadPoolExecutor({ onWorkerDeath: "replace" }) replaces a worker that died idle by ${how}`,
    async ({ form, own }) => {
      const pool = own(makePool("replace"));
      const trigger = new Trigger();
      await form.result(pool.submit(dieLater, trigger.memory, how));
      trigger.pull();
      const future = pool.submit(nameOfWorker);
      assertEquals(await form.result(future), "mortal_1");
    },
  );

  testForms(
    `ThreadPoolExecutor({ onWorkerDeath: "break" }) fails what runs elsewhere when an idle worker dies by ${how}`,
    async ({ form, own, gates }) => {
      const pool = own(makePool("break", 2));
      const trigger = new Trigger();
      const beside = pool.submit(tasks.hold, gates.folder, "a");
      await form.until(() => beside.running());
      await form.result(pool.submit(dieLater, trigger.memory, how));
      trigger.pull();
      assertTells(await form.exception(beside), how);
      await assertPolicyKept(pool, "break", form);
    },
  );
}

// ------------------------------------------------------------ initializers

for (const how of DEATHS) {
  testDeath(
    `breaks when the initializer dies by ${how}`,
    async ({ form, policy, own }) => {
      const pool = own(
        new ThreadPoolExecutor({
          maxWorkers: 2,
          onWorkerDeath: policy,
          threadNamePrefix: "mortal",
          initializer: die,
          initArgs: [how],
        }),
      );
      const futures = [1, 2, 3].map((n) => pool.submit(Math.abs, n));
      for (const future of futures) {
        assertTells(await form.exception(future), how);
      }
      assertThrows(() => pool.submit(Math.abs, 1), BrokenThreadPool);
      await form.shutdown(pool);
      assertEquals(liveWorkers(), 0);
    },
  );
}

// -------------------------------------------------------- what others see

testDeath(
  "tells each future of a death by an error of its own",
  async ({ form, policy, own }) => {
    const pool = own(makePool(policy));
    const futures = [1, 2, 3].map(() => pool.submit(die, "Deno.exit"));
    const errors: unknown[] = [];
    for (const future of futures) errors.push(await form.exception(future));
    assertEquals(new Set(errors).size, 3);
    for (const error of errors) assertTells(error, "Deno.exit");
    // The same future tells the same error each time.
    assertStrictEquals(await form.exception(futures[0]), errors[0]);
  },
);

testForms(
  `ThreadPoolExecutor({ onWorkerDeath: "break" }) fails what runs beside a death and what waits behind it`,
  async ({ form, own, gates }) => {
    const pool = own(makePool("break", 2));
    const beside = pool.submit(tasks.hold, gates.folder, "a");
    await form.until(() => beside.running());
    const futures: Future<unknown>[] = [
      pool.submit(die, "Deno.exit"),
      beside,
      pool.submit(tasks.add, 1, 2),
      pool.submit(tasks.add, 3, 4),
    ];
    const errors: unknown[] = [];
    for (const future of futures) errors.push(await form.exception(future));
    assertEquals(new Set(errors).size, futures.length);
    for (const error of errors) assertTells(error, "Deno.exit");
    await assertPolicyKept(pool, "break", form);
  },
);

testForms(
  `ThreadPoolExecutor({ onWorkerDeath: "break" }) throws a new error at each submit once it is broken`,
  async ({ form, own }) => {
    const pool = own(makePool("break"));
    await form.exception(pool.submit(die, "Deno.exit"));
    const [a, b] = [1, 2].map(() =>
      assertThrows(() => pool.submit(Math.abs, 1), BrokenThreadPool)
    );
    assertNotStrictEquals(a, b);
    assertTells(a, "Deno.exit");
  },
);

testForms(
  `ThreadPoolExecutor({ onWorkerDeath: "replace" }) goes on after many deaths beside other tasks`,
  async ({ form, own }) => {
    const pool = own(makePool("replace", 2));
    const futures: [Future<number>, boolean][] = [];
    for (let n = 0; n < 30; n++) {
      const isDeadly = n % 3 === 1;
      const how = DEATHS[n % DEATHS.length];
      futures.push([
        isDeadly ? pool.submit(die, how) : pool.submit(tasks.add, n, 0),
        isDeadly,
      ]);
    }
    for (const [n, [future, isDeadly]] of futures.entries()) {
      if (isDeadly) {
        assertTells(await form.exception(future), DEATHS[n % DEATHS.length]);
      } else assertEquals(await form.result(future), n);
    }
    await form.shutdown(pool);
    assertEquals(liveWorkers(), 0);
  },
);

testForms(
  `ThreadPoolExecutor({ onWorkerDeath: "replace" }) lets the task beside a death go on`,
  async ({ form, own, gates }) => {
    const pool = own(makePool("replace", 2));
    const beside = pool.submit(tasks.hold, gates.folder, "a");
    await form.until(() => beside.running());
    await form.exception(pool.submit(die, "self.close"));
    assertEquals(beside.running(), true);
    gates.open("a");
    assertEquals(await form.result(beside), "a");
  },
);

testDeath(
  "runs nothing of a task after Deno.exit()",
  async ({ form, policy, own }) => {
    const pool = own(makePool(policy));
    const memory = new SharedArrayBuffer(4);
    const future = pool.submit((memory: SharedArrayBuffer) => {
      Deno.exit(7);
      // @ts-ignore: what follows is reached only where exit returns
      new Int32Array(memory)[0] = 1;
    }, memory);
    assertTells(await form.exception(future), "Deno.exit");
    await form.shutdown(pool);
    assertEquals(new Int32Array(memory)[0], 0);
  },
);

testDeath(
  "shuts down while its worker dies",
  async ({ form, policy, own }) => {
    const pool = own(makePool(policy));
    const futures = [1, 2, 3].map(() => pool.submit(die, "self.close"));
    await form.shutdown(pool);
    assertEquals(liveWorkers(), 0);
    for (const future of futures) {
      assert(future.done());
      assertTells(await form.exception(future), "self.close");
    }
  },
);

testDeath(
  "tells a done callback of a death",
  async ({ form, policy, own }) => {
    const pool = own(makePool(policy));
    const future = pool.submit(die, "Deno.exit");
    const told: boolean[] = [];
    future.addDoneCallback((future) => told.push(future.done()));
    await form.exception(future);
    assertEquals(told, [true]);
  },
);

testPool(
  `ThreadPoolExecutor({ onWorkerDeath: "replace" }) lets a done callback submit again after a death`,
  async ({ own }) => {
    const pool = own(makePool("replace"));
    const again = Promise.withResolvers<number>();
    const future = pool.submit(die, "Deno.exit");
    future.addDoneCallback(() => again.resolve(pool.submit(tasks.add, 1, 2)));
    assertEquals(await again.promise, 3);
    await assertRejects(() => future.result(), BrokenThreadPool);
  },
);

// ------------------------------------------------ errors left behind

/** Ways to leave an error behind that comes up `tick` later, in the words of a program. */
const LEFT_BEHIND: Readonly<Record<string, string>> = {
  "setTimeout": `tick(() => setTimeout(() => { throw new Error("stray"); }))`,
  "setInterval":
    `const id = setInterval(() => { if (!isDue()) return; clearInterval(id); throw new Error("stray"); }, 1)`,
  "setImmediate":
    `tick(() => setImmediate(() => { throw new Error("stray"); }))`,
  "queueMicrotask":
    `tick(() => queueMicrotask(() => { throw new Error("stray"); }))`,
  "process.nextTick":
    `tick(() => process.nextTick(() => { throw new Error("stray"); }))`,
  "an event listener":
    `const target = new EventTarget(); target.addEventListener("x", () => { throw new Error("stray"); }); tick(() => target.dispatchEvent(new Event("x")))`,
  "a rejected promise": `tick(() => { Promise.reject(new Error("stray")); })`,
  "an async function":
    `(async () => { await new Promise((resolve) => tick(resolve)); throw new Error("stray"); })()`,
};

/** The first task leaves an error that comes up while the second, in the same worker, awaits. */
function programWithStray(left: string): string {
  return `
    import { ThreadPoolExecutor } from "@concurrent/futures";

    const pool = new ThreadPoolExecutor({ maxWorkers: 1, threadNamePrefix: "mortal" });
    const memory = new SharedArrayBuffer(4);
    await pool.submit((memory) => {
      const words = new Int32Array(memory);
      const isDue = () => Atomics.load(words, 0) === 1;
      const tick = (act) => {
        const timer = setInterval(() => {
          if (!isDue()) return;
          clearInterval(timer);
          act();
        }, 1);
      };
      ${left};
    }, memory);
    const second = pool.submit(async (memory) => {
      Atomics.store(new Int32Array(memory), 0, 1);
      for (let turn = 0; turn < 30; turn++) {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      return self.name;
    }, memory);
    console.log(await second.catch(String));
    console.log(await pool.submit(() => self.name));
    await pool.shutdown();
  `;
}

for (const [way, left] of Object.entries(LEFT_BEHIND)) {
  testPool(
    `ThreadPoolExecutor reports an error that an earlier task left behind by ${way}, and goes on`,
    async () => {
      const { code, stdout, stderr } = await runProgram(programWithStray(left));
      assertEquals([code, stdout], [0, "mortal_0\nmortal_0\n"]);
      assertStringIncludes(stderr, "Error: stray");
    },
  );
}

for (const how of STRAYS) {
  for (const policy of POLICIES) {
    testPool(
      `ThreadPoolExecutor({ onWorkerDeath: "${policy}" }) reports a ${how} that comes up while its worker is idle, and goes on`,
      async () => {
        const { code, stdout, stderr } = await runProgram(
          `
          import { ThreadPoolExecutor } from "@concurrent/futures";
          import { dieLater } from "./tasks.ts";

          const pool = new ThreadPoolExecutor({ maxWorkers: 1, threadNamePrefix: "mortal", onWorkerDeath: "${policy}" });
          const memory = new SharedArrayBuffer(8);
          await pool.submit(dieLater, memory, "${how}");
          const words = new Int32Array(memory);
          Atomics.store(words, 0, 1);
          await Atomics.waitAsync(words, 1, 0).value;
          await new Promise((resolve) => setTimeout(resolve, 20));
          console.log(await pool.submit(() => self.name));
          await pool.shutdown();
          `,
          { files: { "tasks.ts": `export ${dieLater}` } },
        );
        assertEquals([code, stdout], [0, "mortal_0\n"]);
        assertStringIncludes(stderr, "RangeError: stray");
      },
    );

    testPool(
      `ThreadPoolExecutor({ onWorkerDeath: "${policy}" }) gives the result whose sending left a ${how} behind, and reports it`,
      async () => {
        const { code, stdout, stderr } = await runProgram(
          `
          import { ThreadPoolExecutor } from "@concurrent/futures";
          import { returnDeadly } from "./tasks.ts";

          const pool = new ThreadPoolExecutor({ maxWorkers: 1, threadNamePrefix: "mortal", onWorkerDeath: "${policy}" });
          const { part } = await pool.submit(returnDeadly, "${how}");
          const name = await pool.submit(async () => {
            await new Promise((resolve) => setTimeout(resolve, 20));
            return self.name;
          });
          console.log(part, name);
          await pool.shutdown();
          `,
          { files: { "tasks.ts": `export ${returnDeadly}` } },
        );
        assertEquals([code, stdout], [0, "1 mortal_0\n"]);
        assertStringIncludes(stderr, "RangeError: stray");
      },
    );
  }
}
