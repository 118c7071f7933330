/**
 * The process pool: the contract of every executor, its options, and what processes alone can do.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertNotEquals,
  assertNotMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  CancelledError,
  importTasks,
  type ProcessContext,
  ProcessPoolExecutor,
  RuntimeError,
  SerializationError,
  TimeoutError,
} from "../mod.ts";
import { testExecutor } from "./_executor_contract.ts";
import { tasks } from "./_harness.ts";
import { liveWorkers } from "./_leaks.ts";
import {
  childPids,
  countEach,
  isAlive,
  notePid,
  pidOf,
  testProcesses,
  testProcessForms,
  withPid,
} from "./_process_tasks.ts";
import { runProgram } from "./_program.ts";
import { note } from "./_tasks.ts";

const MODULE = import.meta.resolve("../mod.ts");
const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");

testExecutor(
  "ProcessPoolExecutor",
  (options) => new ProcessPoolExecutor(options),
);

/** What no type allows, for the checks that are made when the program runs. */
function wrong<T>(value: unknown): T {
  return value as T;
}

// ----------------------------------------------------------------- options

testProcesses(
  "ProcessPoolExecutor() throws RangeError when maxTasksPerChild is below 1 or not whole",
  () => {
    for (const maxTasksPerChild of [0, -1, 1.5, NaN, Infinity]) {
      assertThrows(
        () => new ProcessPoolExecutor({ maxTasksPerChild }),
        RangeError,
        "maxTasksPerChild",
      );
    }
    return Promise.resolve();
  },
);

testProcesses(
  "ProcessPoolExecutor() throws TypeError when maxTasksPerChild is no number",
  () => {
    for (const value of ["2", null, {}, 2n]) {
      assertThrows(
        () => new ProcessPoolExecutor({ maxTasksPerChild: wrong(value) }),
        TypeError,
        "maxTasksPerChild",
      );
    }
    return Promise.resolve();
  },
);

testProcesses(
  "ProcessPoolExecutor() throws at once when its context has a wrong part",
  () => {
    const typeErrors: [unknown, string][] = [
      [null, "context"],
      ["none", "context"],
      [[], "context"],
      [{ execPath: 1 }, "execPath"],
      [{ permissions: 1 }, "permissions"],
      [{ permissions: { reed: true } }, "reed"],
      [{ permissions: { read: 1 } }, "permissions.read"],
      [{ permissions: { read: [1] } }, "permissions.read[0]"],
      [{ env: { A: 1 } }, "env.A"],
      [{ env: "A=1" }, "env"],
      [{ clearEnv: "yes" }, "clearEnv"],
      [{ cwd: new URL("file:///tmp") }, "cwd"],
      [{ config: {} }, "config"],
      [{ denoArgs: "--v8-flags" }, "denoArgs"],
      [{ denoArgs: [1] }, "denoArgs[0]"],
    ];
    for (const [context, name] of typeErrors) {
      assertThrows(
        () => new ProcessPoolExecutor({ context: wrong(context) }),
        TypeError,
        name,
      );
    }
    const rangeErrors: [unknown, string][] = [
      [{ permissions: "all" }, "permissions"],
      [{ permissions: { read: "none" } }, "permissions.read"],
      [{ permissions: { read: ["a,b"] } }, "commas"],
      [{ permissions: { net: [""] } }, "permissions.net[0]"],
    ];
    for (const [context, name] of rangeErrors) {
      assertThrows(
        () => new ProcessPoolExecutor({ context: wrong(context) }),
        RangeError,
        name,
      );
    }
    return Promise.resolve();
  },
);

testProcessForms(
  "ProcessPoolExecutor({ context }) keeps its context when the program changes the object later",
  async ({ form, own }) => {
    const context: ProcessContext = {
      permissions: { env: true },
      env: { GREETING: "first" },
    };
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1, context }));
    context.permissions = "none";
    context.env!.GREETING = "second";
    const future = pool.submit(() => Deno.env.get("GREETING"));
    assertEquals(await form.result(future), "first");
  },
);

// ----------------------------------------------------------- lazy and reuse

testProcessForms(
  "ProcessPoolExecutor starts no process and no thread when nothing is submitted",
  async ({ form, own }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 4 }));
    assertEquals([liveWorkers(), childPids()], [0, []]);
    await form.shutdown(pool);
    assertEquals([liveWorkers(), childPids()], [0, []]);
  },
);

testProcessForms(
  "ProcessPoolExecutor reuses its one process when submits follow each other",
  async ({ form, own }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 4 }));
    const pids = new Set<number>();
    for (let n = 0; n < 50; n++) {
      pids.add(await form.result(pool.submit(pidOf)));
    }
    assertEquals([...pids], childPids());
    assertNotEquals([...pids], [Deno.pid]);
  },
);

testProcessForms(
  "ProcessPoolExecutor starts a process for each task that waits, and at most maxWorkers",
  async ({ form, own, gates }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 3 }));
    const counts: number[] = [];
    for (const gate of ["a", "b", "c"]) {
      const held = pool.submit(tasks.hold, gates.folder, gate);
      await form.until(() => gates.isReached(gate));
      assert(held.running());
      counts.push(childPids().length);
    }
    const waiting = ["d", "e"].map((gate) =>
      pool.submit(tasks.hold, gates.folder, gate)
    );
    counts.push(childPids().length);
    assertEquals(counts, [1, 2, 3, 3]);
    assertEquals(waiting.map((future) => future.running()), [false, false]);
    gates.openEvery();
    const pids = new Set<number>();
    const futures = Array.from({ length: 300 }, () => pool.submit(pidOf));
    for (const future of futures) pids.add(await form.result(future));
    const children = childPids();
    assertEquals(children.length, 3);
    for (const pid of pids) assert(children.includes(pid));
  },
);

testProcessForms(
  "ProcessPoolExecutor() has a process per processor when maxWorkers is not given",
  async ({ form, own, gates }) => {
    const pool = own(new ProcessPoolExecutor());
    const most = navigator.hardwareConcurrency;
    const names = Array.from({ length: most + 2 }, (_, n) => `${n}`);
    for (const name of names) pool.submit(tasks.hold, gates.folder, name);
    const reached = () => names.filter((name) => gates.isReached(name)).length;
    await form.until(() => reached() === most);
    assertEquals([childPids().length, reached()], [most, most]);
  },
);

testProcessForms(
  "ProcessPoolExecutor.shutdown() has every process gone when it settles",
  async ({ form, own, gates }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 3 }));
    const held = ["a", "b", "c"].map((gate) =>
      pool.submit(tasks.hold, gates.folder, gate)
    );
    await form.until(() => held.every((future) => future.running()));
    const pids = childPids();
    assertEquals(pids.length, 3);
    gates.openEvery();
    await form.shutdown(pool);
    assertEquals(pids.filter(isAlive), []);
  },
);

// -------------------------------------------------------- maxTasksPerChild

const CALLS_FOR: Record<number, number> = { 1: 12, 2: 25, 7: 60 };

for (const maxTasksPerChild of [1, 2, 7]) {
  for (const maxWorkers of [1, 3]) {
    testProcessForms(
      `ProcessPoolExecutor({ maxTasksPerChild: ${maxTasksPerChild}, maxWorkers: ${maxWorkers} }) replaces a process after so many tasks, and loses none`,
      async ({ form, own, gates }) => {
        const pool = own(
          new ProcessPoolExecutor({
            maxWorkers,
            maxTasksPerChild,
            initializer: notePid,
            initArgs: [gates.folder],
          }),
        );
        const count = CALLS_FOR[maxTasksPerChild];
        const futures = Array.from(
          { length: count },
          (_, n) => pool.submit(withPid, n),
        );
        const pids: number[] = [];
        for (const [n, future] of futures.entries()) {
          const { value, pid } = await form.result(future);
          assertEquals(value, n);
          pids.push(pid);
        }
        const served = countEach(pids);
        for (const calls of served.values()) assert(calls <= maxTasksPerChild);
        if (maxWorkers === 1) {
          // one after the other: each but the last serves as many as it may
          assertEquals(served.size, Math.ceil(count / maxTasksPerChild));
        }
        // those that have served as many as they may go by themselves
        const done = [...served].filter(([, n]) => n === maxTasksPerChild);
        await form.until(() => !done.some(([pid]) => isAlive(pid)));
        const initialized = gates.notes().map(Number);
        assertEquals(new Set(initialized).size, initialized.length);
        for (const pid of served.keys()) assert(initialized.includes(pid));
        await form.shutdown(pool);
        assertEquals(initialized.filter(isAlive), []);
      },
    );
  }
}

testProcessForms(
  "ProcessPoolExecutor({ maxTasksPerChild }) counts a chunk of map as one task",
  async ({ form, own }) => {
    const pool = own(
      new ProcessPoolExecutor({ maxWorkers: 1, maxTasksPerChild: 2 }),
    );
    const numbers = Array.from({ length: 15 }, (_, n) => n);
    const results = pool.map(withPid<number>, numbers, { chunkSize: 3 });
    const { values, thrown } = await form.collect(results);
    assertEquals(thrown, []);
    assertEquals(values.map(({ value }) => value), numbers);
    const served = countEach(values.map(({ pid }) => pid));
    assertEquals([...served.values()], [6, 6, 3]);
  },
);

testProcessForms(
  "ProcessPoolExecutor({ maxTasksPerChild }) counts a task that throws",
  async ({ form, own }) => {
    const pool = own(
      new ProcessPoolExecutor({ maxWorkers: 1, maxTasksPerChild: 2 }),
    );
    const pids: number[] = [];
    for (let n = 0; n < 3; n++) {
      const error = await form.exception(pool.submit(tasks.fail, `${n}`));
      assertInstanceOf(error, RangeError);
      pids.push(await form.result(pool.submit(pidOf)));
    }
    assertEquals(new Set(pids).size, 3);
  },
);

testProcessForms(
  "ProcessPoolExecutor({ maxTasksPerChild }) does not count a task that was cancelled behind another",
  async ({ form, own, gates }) => {
    const pool = own(
      new ProcessPoolExecutor({ maxWorkers: 1, maxTasksPerChild: 4 }),
    );
    const first = await form.result(pool.submit(pidOf));
    const held = pool.submit(tasks.hold, gates.folder, "a");
    await form.until(() => gates.isReached("a"));
    const waiting = Array.from({ length: 20 }, () => pool.submit(pidOf));
    for (const future of waiting) assert(future.cancel());
    gates.open("a");
    await form.result(held);
    const pids = [];
    for (let n = 0; n < 3; n++) {
      pids.push(await form.result(pool.submit(pidOf)));
    }
    assertEquals(pids.slice(0, 2), [first, first]);
    assertNotEquals(pids[2], first);
  },
);

testProcessForms(
  "ProcessPoolExecutor({ maxTasksPerChild }) runs or cancels each task when cancel() and shutdown() come meanwhile",
  async ({ form, own, gates }) => {
    const pool = own(
      new ProcessPoolExecutor({ maxWorkers: 2, maxTasksPerChild: 2 }),
    );
    const names = Array.from({ length: 40 }, (_, n) => `${n}`);
    const futures = names.map((name) => pool.submit(note, gates.folder, name));
    const cancelled = new Set<string>();
    for (const [n, name] of names.entries()) {
      if (n % 10 === 0) await form.result(futures[n]); // others start meanwhile
      if (n % 3 === 1 && futures[n].cancel()) cancelled.add(name);
    }
    await form.shutdown(pool, { wait: false });
    for (const [n, name] of names.entries()) {
      if (cancelled.has(name)) {
        await assertRejects(() => form.exception(futures[n]), CancelledError);
      } else assertEquals(await form.result(futures[n]), name);
    }
    await form.shutdown(pool);
    assert(cancelled.size > 0);
    assertEquals(
      gates.notes().sort(),
      names.filter((name) => !cancelled.has(name)).sort(),
    );
  },
);

testProcessForms(
  "ProcessPoolExecutor({ maxTasksPerChild }) goes on when a task is stopped by its time limit",
  async ({ form, own }) => {
    const pool = own(
      new ProcessPoolExecutor({ maxWorkers: 1, maxTasksPerChild: 3 }),
    );
    const endless = () => {
      for (;;);
    };
    const pids: number[] = [];
    for (let n = 0; n < 2; n++) {
      pids.push(await form.result(pool.submit(pidOf)));
      const limited = pool.submitWith({ timeout: 20 }, endless);
      const later = [1, 2, 3].map(() => pool.submit(pidOf));
      assertInstanceOf(await form.exception(limited), TimeoutError);
      for (const future of later) pids.push(await form.result(future));
    }
    for (const calls of countEach(pids).values()) assert(calls <= 3);
  },
);

// ----------------------------------------------------------------- context

const SEEN = `
const granted = (descriptor: object) =>
  Deno.permissions.querySync(descriptor as Deno.PermissionDescriptor).state === "granted";
export function see() {
  return {
    names: ["read", "write", "net", "env", "sys", "run", "ffi", "import"]
      .filter((name) => granted({ name })),
    etc: granted({ name: "read", path: "/etc/passwd" }),
    own: granted({ name: "read", path: import.meta.filename }),
    run: granted({ name: "run", command: Deno.execPath() }),
    sh: granted({ name: "run", command: "/bin/sh" }),
  };
}`;

const SEE = `
import { importTasks, ProcessPoolExecutor } from "@concurrent/futures";
const { see } = importTasks<typeof import("./seen.ts")>(import.meta.resolve("./seen.ts"));
await using pool = new ProcessPoolExecutor({ maxWorkers: 1 });
console.log(JSON.stringify(await pool.submit(see)));
`;

/** What a process may, when the program that starts it has these flags. */
async function seeWith(flags: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await runProgram(SEE, {
    flags,
    files: { "seen.ts": SEEN },
  });
  assertEquals([code, stderr], [0, ""]);
  return JSON.parse(stdout);
}

testProcesses(
  'ProcessPoolExecutor({ context: { permissions: "inherit" } }) gives its processes what the program has, by each flag',
  async () => {
    assertEquals(await seeWith(["--allow-all"]), {
      names: ["read", "write", "net", "env", "sys", "run", "ffi", "import"],
      etc: true,
      own: true,
      run: true,
      sh: true,
    });
    assertEquals(await seeWith(["--allow-run"]), {
      names: ["read", "run"],
      etc: true,
      own: true,
      run: true,
      sh: true,
    });
    assertEquals(
      await seeWith([
        `--allow-run=${Deno.execPath()}`,
        "--allow-env",
        "--deny-env=SECRET",
        "--allow-net=example.com",
        "--allow-sys",
      ]),
      { names: ["read", "sys"], etc: true, own: true, run: true, sh: false },
    );
  },
);

testProcesses(
  'ProcessPoolExecutor({ context: { permissions: "inherit" } }) works when the program may read its own folder and this package alone',
  async () => {
    // Not by runProgram, whose programs may read everything.
    const folder = await Deno.makeTempDir();
    try {
      await Deno.writeTextFile(`${folder}/seen.ts`, SEEN);
      await Deno.writeTextFile(
        `${folder}/main.ts`,
        SEE.replace("@concurrent/futures", MODULE),
      );
      const output = await new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "--no-prompt",
          "--no-lock",
          `--allow-read=${folder},${ROOT}`,
          "--allow-run",
          `${folder}/main.ts`,
        ],
      }).output();
      const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
      assertEquals([output.code, text(output.stderr)], [0, ""]);
      assertEquals(JSON.parse(text(output.stdout)), {
        names: ["run"],
        etc: false,
        own: true,
        run: true,
        sh: true,
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

testProcesses(
  "ProcessPoolExecutor.submit() breaks the pool, naming the flag, when the program may not run Deno",
  async () => {
    const { code, stdout, stderr } = await runProgram(`
      import { BrokenProcessPool, ProcessPoolExecutor } from "@concurrent/futures";
      const pool = new ProcessPoolExecutor();
      const error = await pool.submit(Math.abs, 1).exception() as Error;
      console.log(error instanceof BrokenProcessPool, (error.cause as Error).name);
      console.log(error.message + (error.cause as Error).message);
      await pool.shutdown();
    `);
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, /^true NotCapable\n/);
    assertStringIncludes(stdout, "--allow-run");
  },
);

const NARROW: [string, ProcessContext["permissions"]][] = [
  ["none", "none"],
  ["{}", {}],
  ["{ read: [] }", { read: [] }],
  ["{ import: false }", { import: false }],
];

for (const [shown, permissions] of NARROW) {
  testProcessForms(
    `ProcessPoolExecutor({ context: { permissions: ${shown} } }) carries every kind of value, and runs built-ins`,
    async ({ form, own }) => {
      const pool = own(
        new ProcessPoolExecutor({ maxWorkers: 1, context: { permissions } }),
      );
      const echo = <T>(value: T): T => value;
      assertEquals(await form.result(pool.submit(Math.pow, 2, 10)), 1024);
      assertEquals(await form.result(pool.submit(echo, null)), null);
      // here the codec of rich values is loaded by the process
      const rich = {
        map: new Map([["now", new Date(5)]]),
        set: new Set([1n, NaN, -0]),
        pattern: /a+/g,
        bytes: new Uint8Array([1, 2, 3]),
      };
      assertEquals(await form.result(pool.submit(echo, rich)), rich);
      const large = new Uint8Array(3_000_001).fill(7);
      large[3_000_000] = 9;
      assertEquals(await form.result(pool.submit(echo, large)), large);
      const long = "ü".repeat(100_000);
      assertEquals(await form.result(pool.submit(echo, long)), long);
      const made = pool.submit(() => new Map([[1, new Set([2])]]));
      assertEquals(await form.result(made), new Map([[1, new Set([2])]]));
      const error = await form.exception(pool.submit(() => {
        throw new RangeError("deep", { cause: new Map([[1, 2]]) });
      }));
      assertInstanceOf(error, RangeError);
      assertEquals(error.cause, new Map([[1, 2]]));
      const abort = await form.exception(
        pool.submit(() => AbortSignal.abort().throwIfAborted()),
      );
      assertInstanceOf(abort, DOMException);
      const refused = await form.exception(
        pool.submit(() => ({ deep: [() => 1] })),
      );
      assertInstanceOf(refused, SerializationError);
      assertStringIncludes(refused.message, ".deep[0]");
      const inner = await form.exception(
        pool.submit((path: string) => Deno.readTextFileSync(path), "/etc/x"),
      );
      assertInstanceOf(inner, Deno.errors.NotCapable);
    },
  );

  for (const part of ["error", "result", "argument", "wait"]) {
    testProcesses(
      `ProcessPoolExecutor({ context: { permissions: ${shown} } }) loads what it needs when the first task has a rich ${part}`,
      async ({ own }) => {
        const pool = own(
          new ProcessPoolExecutor({ maxWorkers: 1, context: { permissions } }),
        );
        if (part === "error") {
          const fail = () => {
            throw new TypeError("first", { cause: new Date(3) });
          };
          const error = await pool.submit(fail).exception();
          assertInstanceOf(error, TypeError);
          assertEquals(error.cause, new Date(3));
        } else if (part === "result") {
          assertEquals(await pool.submit(() => new Date(4)), new Date(4));
        } else if (part === "argument") {
          const time = (date: Date) => date.getTime();
          assertEquals(await pool.submit(time, new Date(5)), 5);
        } else {
          const late = () =>
            new Promise<number>((resolve) => setTimeout(resolve, 5, 6));
          assertEquals(await pool.submit(late), 6);
        }
      },
    );
  }
}

testProcessForms(
  'ProcessPoolExecutor({ context: { permissions: "none" } }) grants nothing to tasks',
  async ({ form, own }) => {
    const pool = own(
      new ProcessPoolExecutor({
        maxWorkers: 1,
        context: { permissions: "none" },
      }),
    );
    const names = await form.result(
      pool.submit(() =>
        ([
          "read",
          "write",
          "net",
          "env",
          "sys",
          "run",
          "ffi",
          "import",
        ] as const)
          .filter((name) =>
            Deno.permissions.querySync({ name }).state !== "prompt"
          )
      ),
    );
    assertEquals(names, []);
    for (
      const refused of [
        () => Deno.readTextFileSync("/etc/passwd"),
        () => void new Deno.Command("true").outputSync(),
        () => Deno.writeTextFileSync("/tmp/never", ""),
        () => Deno.env.get("HOME"),
        () => import("https://jsr.io/@std/assert/1.0.0/mod.ts"),
      ]
    ) {
      const error = await form.exception(
        pool.submit(refused as () => unknown),
      );
      assertInstanceOf(error, Error);
      assertMatch(`${error.name} ${error.message}`, /NotCapable|Requires/);
    }
  },
);

testProcessForms(
  "ProcessPoolExecutor({ context: { permissions } }) grants what an object names, and no more",
  async ({ form, own, gates }) => {
    Deno.writeTextFileSync(`${gates.folder}/given`, "text");
    const pool = own(
      new ProcessPoolExecutor({
        maxWorkers: 1,
        context: { permissions: { read: [gates.folder], env: ["GIVEN"] } },
      }),
    );
    const read = (path: string) => Deno.readTextFileSync(path);
    const given = pool.submit(read, `${gates.folder}/given`);
    assertEquals(await form.result(given), "text");
    const other = pool.submit(read, "/etc/passwd");
    assertInstanceOf(await form.exception(other), Deno.errors.NotCapable);
    const variable = (name: string) => Deno.env.get(name) ?? "unset";
    assertEquals(await form.result(pool.submit(variable, "GIVEN")), "unset");
    const home = pool.submit(variable, "HOME");
    assertInstanceOf(await form.exception(home), Deno.errors.NotCapable);
  },
);

testProcessForms(
  "ProcessPoolExecutor({ context: { env, clearEnv } }) sets variables, over those of the program or alone",
  async ({ form, own }) => {
    const variables = () => Deno.env.toObject();
    const env = { GREETING: "hello", HOME: "/nowhere" };
    const inherited: string[][] = [];
    for (const clearEnv of [false, true]) {
      const pool = own(
        new ProcessPoolExecutor({
          maxWorkers: 1,
          context: { permissions: { env: true }, env, clearEnv },
        }),
      );
      const seen = await form.result(pool.submit(variables));
      assertEquals([seen.GREETING, seen.HOME], ["hello", "/nowhere"]);
      // Deno sets what begins so, and a PATH, by itself.
      inherited.push(
        Object.keys(seen).filter((name) => !/^(DENO_|PATH$)/.test(name)),
      );
    }
    assert(inherited[0].length > 2, `the program has ${inherited[0]}`);
    assertEquals(inherited[1].sort(), ["GREETING", "HOME"]);
  },
);

testProcessForms(
  "ProcessPoolExecutor({ context: { cwd } }) sets the working folder",
  async ({ form, own, gates }) => {
    const context = { cwd: gates.folder };
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1, context }));
    const folder = await form.result(pool.submit(Deno.cwd));
    assertEquals(folder, Deno.realPathSync(gates.folder));
  },
);

testProcessForms(
  "ProcessPoolExecutor({ context }) breaks the pool, saying why, when a process cannot be started",
  async ({ form, own, gates: { folder } }) => {
    const contexts: ProcessContext[] = [
      { execPath: `${folder}/missing/deno` },
      { cwd: `${folder}/missing` },
      { config: `${folder}/missing/deno.json` },
      { denoArgs: ["--no-such-flag"] },
    ];
    for (const context of contexts) {
      const pool = own(new ProcessPoolExecutor({ maxWorkers: 2, context }));
      const futures = [1, 2, 3].map((n) => pool.submit(Math.abs, n));
      for (const future of futures) {
        const error = await form.exception(future);
        assertInstanceOf(error, Error);
        assertEquals(error.name, "BrokenProcessPool");
        assertMatch(
          `${error.message} ${error.cause}`,
          /missing|no-such-flag/,
        );
      }
      assertThrows(() => pool.submit(Math.abs, 1), RuntimeError);
    }
  },
);

testProcessForms(
  "ProcessPoolExecutor({ context: { denoArgs } }) passes flags on to deno run",
  async ({ form, own }) => {
    const pool = own(
      new ProcessPoolExecutor({
        maxWorkers: 1,
        context: {
          denoArgs: [
            "--v8-flags=--max-old-space-size=77",
            "--location=http://a.b/",
          ],
        },
      }),
    );
    const seen = pool.submit(async () => {
      const v8 = await import("node:v8");
      return [v8.getHeapStatistics().heap_size_limit, `${location}`] as const;
    });
    const [limit, href] = await form.result(seen);
    assertEquals(href, "http://a.b/");
    assert(limit < 200 * 2 ** 20, `the heap may have ${limit} bytes`);
  },
);

const PROJECT: Record<string, string> = {
  "deno.json": JSON.stringify({ imports: { "greeter": "./greeter.ts" } }),
  "greeter.ts": `export const greet = (name: string) => "hello " + name;`,
  "tasks.ts": `
    import { greet } from "greeter";
    export const welcome = (name: string) => greet(name) + "!";
  `,
};

const WELCOME = `
import { importTasks, ProcessPoolExecutor } from "@concurrent/futures";
const { welcome } = importTasks<{ welcome(name: string): string }>(import.meta.resolve("./tasks.ts"));
await using pool = new ProcessPoolExecutor({ maxWorkers: 1 });
console.log(await pool.submit(welcome, "you"));
`;

testProcesses(
  "ProcessPoolExecutor finds the deno.json beside the main module for tasks that import by its names",
  async () => {
    const { code, stdout, stderr } = await runProgram(WELCOME, {
      flags: ["--allow-run"],
      files: PROJECT,
    });
    assertEquals([code, stdout, stderr], [0, "hello you!\n", ""]);
  },
);

testProcesses(
  "ProcessPoolExecutor serves a project whose deno.json maps the package and more, from another working folder",
  async ({ gates: { folder } }) => {
    const imports = {
      "@concurrent/futures": MODULE,
      "greeter": "./greeter.ts",
    };
    const files: Record<string, string> = {
      ...PROJECT,
      "deno.json": JSON.stringify({ imports }),
      "main.ts": WELCOME,
    };
    for (const [name, text] of Object.entries(files)) {
      Deno.writeTextFileSync(`${folder}/${name}`, text);
    }
    const before = [...Deno.readDirSync(folder)].map(({ name }) => name);
    const output = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-lock",
        "--allow-read",
        "--allow-run",
        `${folder}/main.ts`,
      ],
      cwd: "/",
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assertEquals(
      [output.code, text(output.stdout), text(output.stderr)],
      [0, "hello you!\n", ""],
    );
    const after = [...Deno.readDirSync(folder)].map(({ name }) => name);
    assertEquals(after.sort(), before.sort()); // no deno.lock, no node_modules
  },
);

testProcessForms(
  "ProcessPoolExecutor({ context: { config } }) has tasks import by the names of that file",
  async ({ form, own, gates }) => {
    for (const [name, text] of Object.entries(PROJECT)) {
      Deno.writeTextFileSync(`${gates.folder}/${name}`, text);
    }
    const { welcome } = importTasks<{ welcome(name: string): string }>(
      `file://${gates.folder}/tasks.ts`,
    );
    for (const prefix of ["", "file://"]) {
      const context = { config: `${prefix}${gates.folder}/deno.json` };
      const pool = own(new ProcessPoolExecutor({ maxWorkers: 1, context }));
      const future = pool.submit(welcome, "you");
      assertEquals(await form.result(future), "hello you!");
    }
    // the tests' own deno.json has no such name
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
    const error = await form.exception(pool.submit(welcome, "you"));
    assertInstanceOf(error, Error);
    assertStringIncludes(error.message, "greeter");
  },
);

// ------------------------------------------------------------------ import

for (const kind of ["ProcessPoolExecutor", "ThreadPoolExecutor"]) {
  testProcessForms(
    `${kind}() throws RuntimeError naming import.meta.main when a process imports the module that makes it`,
    async ({ form, own, gates }) => {
      const path = `${gates.folder}/script.ts`;
      Deno.writeTextFileSync(
        path,
        `import { ${kind} } from "${MODULE}";
         export const double = (n: number) => n * 2;
         const pool = new ${kind}();
         await pool.submit(double, 1);`,
      );
      const script = importTasks<{ double(n: number): number }>(
        `file://${path}`,
      );
      const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
      const error = await form.exception(pool.submit(script.double, 1));
      assertInstanceOf(error, RuntimeError);
      assertStringIncludes(error.message, "import.meta.main");
      assertStringIncludes(error.message, "script.ts");
      assertEquals(await form.result(pool.submit(tasks.add, 1, 2)), 3);
    },
  );
}

testProcessForms(
  "ProcessPoolExecutor.submit() throws RuntimeError naming import.meta.main when a pool made earlier is used by a module that a process imports",
  async ({ form, own, gates }) => {
    const path = `${gates.folder}/script.ts`;
    Deno.writeTextFileSync(
      path,
      `export const double = (n: number) => n * 2;
       const { pool } = globalThis as any;
       try {
         pool.submit(double, 1);
       } finally {
         pool.shutdownSync();
       }`,
    );
    const script = importTasks<{ double(n: number): number }>(
      `file://${path}`,
    );
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
    await form.result(pool.submit(async (module: string) => {
      const { ThreadPoolExecutor } = await import(module);
      Object.assign(globalThis, { pool: new ThreadPoolExecutor() });
    }, MODULE));
    const error = await form.exception(pool.submit(script.double, 1));
    assertInstanceOf(error, RuntimeError);
    assertStringIncludes(error.message, "import.meta.main");
  },
);

testProcesses(
  "ProcessPoolExecutor ends the program with the guard explained when its script has none",
  async () => {
    const script = (importing: string) => `
      import { importTasks, ProcessPoolExecutor } from "@concurrent/futures";
      export const double = (n: number) => n * 2;
      Deno.writeTextFileSync(import.meta.dirname + "/runs.txt", Deno.pid + "\\n", { append: true });
      const pool = new ProcessPoolExecutor({ maxWorkers: 2 });
      const futures = [1, 2, 3].map((n) => pool.submit(${importing}, n));
      const errors = await Promise.all(futures.map((future) => future.exception()));
      for (const error of errors) console.log((error as Error)?.name, (error as Error)?.message);
      console.log("runs", Deno.readTextFileSync(import.meta.dirname + "/runs.txt").trim().split("\\n").length);
    `;
    const { code, stdout, stderr } = await runProgram(
      script(
        `importTasks<{ double(n: number): number }>(import.meta.url).double`,
      ),
      { flags: ["--allow-run", "--allow-write"] },
    );
    assertEquals([code, stderr], [0, ""]);
    const lines = stdout.trimEnd().split("\n");
    for (const line of lines.slice(0, 3)) {
      assertMatch(line, /^RuntimeError .*main\.ts.*import\.meta\.main/);
    }
    // The program itself, and each of two processes; a failed import is not tried again.
    assertMatch(lines[3], /^runs [23]$/);
  },
);

testProcesses(
  "ProcessPoolExecutor ends the program with the guard explained when its script has none and lets the error go",
  async () => {
    const { code, stdout, stderr } = await runProgram(
      `
      import { importTasks, ProcessPoolExecutor } from "@concurrent/futures";
      export const double = (n: number) => n * 2;
      const main = importTasks<{ double(n: number): number }>(import.meta.url);
      await using pool = new ProcessPoolExecutor({ maxWorkers: 2 });
      for await (const value of pool.map(main.double, [1, 2, 3])) console.log(value);
      `,
      { flags: ["--allow-run"] },
    );
    assertEquals([code, stdout], [1, ""]);
    assertStringIncludes(stderr, "import.meta.main");
    assertStringIncludes(stderr, "RuntimeError");
  },
);

testProcesses(
  "ProcessPoolExecutor runs the tasks of its own script when the script's work is guarded",
  async () => {
    const { code, stdout, stderr } = await runProgram(
      `
      import { importTasks, ProcessPoolExecutor } from "@concurrent/futures";
      export const double = (n: number) => n * 2;
      if (import.meta.main) {
        await using pool = new ProcessPoolExecutor({ maxWorkers: 1 });
        const main = importTasks<typeof import("./main.ts")>(import.meta.url);
        console.log(await pool.submit(main.double, 21));
      }
      `,
      { flags: ["--allow-run"] },
    );
    assertEquals([code, stdout, stderr], [0, "42\n", ""]);
  },
);

// ------------------------------------------------------------------ nested

for (const kind of ["ProcessPoolExecutor", "ThreadPoolExecutor"]) {
  testProcessForms(
    `ProcessPoolExecutor runs tasks that have a ${kind} of their own, awaited and blocking`,
    async ({ form, own }) => {
      const pool = own(new ProcessPoolExecutor({ maxWorkers: 2 }));
      const nest = async (
        module: string,
        kind: string,
        isBlocking: boolean,
      ) => {
        const { [kind]: Pool } = await import(module);
        const triple = (n: number) => [n * 3, Deno.pid];
        if (isBlocking) {
          using inner = new Pool({ maxWorkers: 1 });
          return [...inner.submit(triple, 5).resultSync(), Deno.pid];
        }
        await using inner = new Pool({ maxWorkers: 1 });
        return [...await inner.submit(triple, 5), Deno.pid];
      };
      for (const isBlocking of [true, false]) {
        const future = pool.submit(nest, MODULE, kind, isBlocking);
        const [value, inner, outer] = await form.result(future);
        assertEquals(value, 15);
        assertEquals(inner === outer, kind === "ThreadPoolExecutor");
        assert(!isAlive(inner) || inner === outer);
      }
    },
  );
}

for (const state of ["idle", "busy"]) {
  testProcessForms(
    `ProcessPoolExecutor.shutdown() ends the processes of a pool that a task left behind ${state}`,
    async ({ form, own, gates }) => {
      const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
      const leave = async (module: string, folder: string, isBusy: boolean) => {
        const { ProcessPoolExecutor } = await import(module);
        const inner = new ProcessPoolExecutor({ maxWorkers: 2 });
        Object.assign(globalThis, { inner });
        // Each waits for the other, so that there are two.
        const meet = async (folder: string, isBusy: boolean) => {
          Deno.writeTextFileSync(`${folder}/${Deno.pid}.pid`, "");
          const others = () =>
            [...Deno.readDirSync(folder)]
              .filter(({ name }) => name.endsWith(".pid"));
          while (others().length < 2) {
            await new Promise((resolve) => setTimeout(resolve, 1));
          }
          while (isBusy);
        };
        const met = [1, 2].map(() => inner.submit(meet, folder, isBusy));
        if (!isBusy) await Promise.all(met);
      };
      const pids = () =>
        [...Deno.readDirSync(gates.folder)]
          .filter(({ name }) => name.endsWith(".pid"))
          .map(({ name }) => parseInt(name));
      await form.result(
        pool.submit(leave, MODULE, gates.folder, state === "busy"),
      );
      await form.until(() => pids().length === 2);
      assertEquals(pids().filter(isAlive).length, 2);
      await form.shutdown(pool);
      await form.until(() => !pids().some(isAlive));
    },
  );
}

// ---------------------------------------------------------------- transfer

testProcessForms(
  "ProcessPoolExecutor.submit() refuses a SharedArrayBuffer and a MessagePort, in arguments",
  async ({ form, own }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
    const { port1, port2 } = new MessageChannel();
    const memory = new SharedArrayBuffer(8);
    const values: [unknown, RegExp][] = [
      [memory, /argument 1 as it is a SharedArrayBuffer/],
      [{ deep: [memory] }, /\.deep\[0\].*SharedArrayBuffer/],
      [new Int32Array(memory), /argument 1.*shared/i],
      [{ port: port1 }, /\.port is a MessagePort/],
      [ReadableStream.from([1]), /argument 1.*ReadableStream/],
    ];
    const taken = (_: unknown) => "taken";
    for (const [value, message] of values) {
      const error = await form.exception(pool.submit(taken, value));
      assertInstanceOf(error, SerializationError);
      assertMatch(error.message, message);
    }
    port1.close(), port2.close();
    assertEquals(await form.result(pool.submit(tasks.add, 1, 2)), 3);
  },
);

testProcessForms(
  "ProcessPoolExecutor.submit() refuses a SharedArrayBuffer and a MessagePort, in results and errors",
  async ({ form, own }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
    const results: [() => unknown, RegExp][] = [
      [() => ({ deep: new SharedArrayBuffer(8) }), /\.deep.*SharedArrayBuffer/],
      [() => new Uint8Array(new SharedArrayBuffer(8)), /shared/i],
      [() => [new MessageChannel().port1], /\[0\] is a MessagePort/],
      [() => new ReadableStream(), /ReadableStream/],
    ];
    for (const [task, message] of results) {
      const error = await form.exception(pool.submit(task));
      assertInstanceOf(error, SerializationError);
      assertMatch(error.message, message);
    }
    const thrown = await form.exception(pool.submit(() => {
      throw new SharedArrayBuffer(8);
    }));
    assertInstanceOf(thrown, SerializationError);
    assertEquals(await form.result(pool.submit(tasks.add, 1, 2)), 3);
  },
);

testProcessForms(
  "ProcessPoolExecutor.submitWith({ transfer }) fails that future alone and moves nothing",
  async ({ form, own }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
    const { port1, port2 } = new MessageChannel();
    const buffer = new ArrayBuffer(8);
    const stream = ReadableStream.from([1]);
    const taken = (_: unknown) => "taken";
    for (const value of [buffer, port1, stream]) {
      for (const argument of [value, "another"]) {
        const future = pool.submitWith({ transfer: [value] }, taken, argument);
        const error = await form.exception(future);
        assertInstanceOf(error, SerializationError);
        assertMatch(error.message, /transfer|moved?/);
        // what helps in the thread pool does not help here
        assertNotMatch(error.message, /by "transfer"|detached/);
      }
    }
    assertEquals([buffer.detached, stream.locked], [false, false]);
    const heard = Promise.withResolvers<unknown>();
    port2.onmessage = ({ data }) => heard.resolve(data);
    port1.postMessage("still here");
    assertEquals(await heard.promise, "still here");
    port1.close(), port2.close();

    const none = pool.submitWith({ transfer: [] }, taken, buffer);
    assertEquals(await form.result(none), "taken");
  },
);

testProcesses(
  "ProcessPoolExecutor() throws SerializationError when initArgs hold shared memory",
  () => {
    assertThrows(
      () =>
        new ProcessPoolExecutor({
          initializer: (_: unknown) => {},
          initArgs: [new SharedArrayBuffer(4)],
        }),
      SerializationError,
      "SharedArrayBuffer",
    );
    return Promise.resolve();
  },
);
