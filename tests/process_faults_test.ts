/**
 * Workers that are not what they should be: programs that do not start, that exit at once, and that
 * say what no worker says. They are small shell scripts, so what they write is seen here as it is.
 *
 * None of it may hang the pool, answer another task, or end the parent: the pool is broken, under
 * either policy, by an error that shows what came.
 *
 * Not here: a worker that never says hello is given up after 20 seconds (`START_MS`).
 *
 * @module
 */

import {
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  BrokenProcessPool,
  type Future,
  importTasks,
  ProcessPoolExecutor,
  SerializationError,
} from "../mod.ts";
import { childPids, testProcesses, untilDead } from "./_dying_processes.ts";
import { type Form, type Gates, type Setting, tasks } from "./_harness.ts";
import { runProgram } from "./_program.ts";

const POLICIES = ["break", "replace"] as const;
type Policy = typeof POLICIES[number];

/**
 * What scripts begin with: `frame` and `errorFrame` write one segment on stdout and stderr, with
 * escapes as `printf` knows them, and `line` waits for the next header. The token is the last item
 * of the manager's first frame.
 */
const PRELUDE = String.raw`#!/bin/sh
line() {
  IFS= read -r header || exit 0
  case $header in *'["end",0]') exit 0 ;; esac
}
head() { printf '\036%s%s%04x' "$token" 0 "$1"; }
frame() {
  body=$(printf "$1_")
  body=${"$"}{body%_}
  head ${"$"}{#body}
  printf '%s\n' "$body"
}
errorFrame() { frame "$1" >&2; }
hello() {
  line
  token=${"$"}{header##*,\"}
  token=${"$"}{token%%\"*}
  frame '["hello",0,2]\n'
}
serve() {
  hello
  line
  frame '["serving",0]\n'
}
task() { line; line; }
stay() { while :; do line; done; }
`;

function writeScript(gates: Gates, script: string, mode = 0o700): string {
  const path = `${gates.folder}/worker.sh`;
  Deno.writeTextFileSync(path, PRELUDE + script);
  Deno.chmodSync(path, mode);
  return path;
}

/** A pool whose workers are that script. */
function makePool(
  { gates, own }: Setting,
  script: string,
  onWorkerDeath: Policy = "break",
  maxWorkers = 1,
): ProcessPoolExecutor {
  const execPath = writeScript(gates, script);
  return own(
    new ProcessPoolExecutor({
      maxWorkers,
      onWorkerDeath,
      context: { execPath },
    }),
  );
}

/** Asserts that all fail, each with an error of its own that says so; that the pool is broken; and that no process is left. */
async function assertBroken(
  pool: ProcessPoolExecutor,
  futures: readonly Future<unknown>[],
  words: RegExp,
  form: Form,
): Promise<unknown> {
  const errors: unknown[] = [];
  for (const future of futures) errors.push(await form.exception(future));
  errors.push(assertThrows(() => pool.submit(Math.abs, 1)));
  for (const error of errors) {
    assertInstanceOf(error, BrokenProcessPool);
    assertMatch(error.message, words);
    assertMatch(error.message, /worker "ProcessPoolExecutor-\d+_\d+"/);
  }
  assertEquals(new Set(errors).size, errors.length);
  await form.shutdown(pool);
  assertEquals(childPids(), []);
  return errors[0];
}

// ---------------------------------------------------------------- start-up

interface Fault {
  readonly script: string;
  readonly words: RegExp;
}

const START_FAULTS: Readonly<Record<string, Fault>> = {
  "exits at once with a code": {
    script: "exit 7",
    words: /exited with code 7\b/,
  },
  "exits at once with code 0": {
    script: "exit 0",
    words: /exited with code 0\b/,
  },
  "says why on stderr and exits": {
    script: "echo 'no licence' >&2; exit 3",
    words: /exited with code 3\b[^]*stderr[^]*no licence/,
  },
  "prints something and exits": {
    script: "echo 'of no account'; exit 3",
    words: /exited with code 3\b/,
  },
  "is killed": {
    script: "kill -9 $$",
    words: /was killed by SIGKILL\b/,
  },
  "exits after hello": {
    script: "hello; exit 7",
    words: /exited with code 7\b/,
  },
  "closes its stdout": {
    script: "exec sleep 600 >&-",
    words: /closed its stdout/,
  },
  "speaks another version": {
    script: String.raw`line
token=${"$"}{header##*,\"}
token=${"$"}{token%%\"*}
frame '["hello",0,999]\n'
stay`,
    words: /version must be 2\b.*received 999\b/,
  },
  "serves before hello": {
    script: String.raw`line
token=${"$"}{header##*,\"}
token=${"$"}{token%%\"*}
frame '["serving",0]\n'
task
frame '["returned",2,0,1,2,0,0]\n42'
exit 9`,
    words: /sent what it must not.*serving/,
  },
  "sends an outcome before it serves": {
    script: String.raw`hello; frame '["returned",2,0,1,2,0,0]\n42'; stay`,
    words: /sent what it must not.*task 0\b/,
  },
  "says that it is unfit in words that cannot be read": {
    script: String.raw`hello; frame '["unfit",3,1,3,0]\n{{{'; exit 1`,
    words: /initializer|sent what it must not/,
  },
  "says that it is unfit for nothing": {
    script: String.raw`hello; frame '["unfit",0,0,0,0]\n'; exit 1`,
    words: /initializer|sent what it must not/,
  },
};

for (const [fault, { script, words }] of Object.entries(START_FAULTS)) {
  for (const policy of POLICIES) {
    testProcesses(
      `ProcessPoolExecutor({ onWorkerDeath: "${policy}" }) breaks when its worker ${fault}`,
      async (bench) => {
        const pool = makePool(bench, script, policy, 2);
        const futures = [1, 2, 3].map((n) => pool.submit(Math.abs, n));
        await assertBroken(pool, futures, words, bench.form);
      },
    );
  }
}

testProcesses(
  "ProcessPoolExecutor breaks with its error as cause when its worker cannot be found",
  async ({ form, own, gates }) => {
    const execPath = `${gates.folder}/nowhere`;
    const pool = own(new ProcessPoolExecutor({ context: { execPath } }));
    const futures = [1, 2].map((n) => pool.submit(Math.abs, n));
    const error = await assertBroken(pool, futures, /nowhere/, form);
    assertInstanceOf((error as Error).cause, Deno.errors.NotFound);
  },
);

testProcesses(
  "ProcessPoolExecutor breaks with its error as cause when its worker may not be executed",
  async ({ form, own, gates }) => {
    const execPath = writeScript(gates, "exit 0", 0o600);
    const pool = own(new ProcessPoolExecutor({ context: { execPath } }));
    const futures = [1, 2].map((n) => pool.submit(Math.abs, n));
    const error = await assertBroken(pool, futures, /worker\.sh/, form);
    assertInstanceOf((error as Error).cause, Deno.errors.PermissionDenied);
  },
);

testProcesses(
  "ProcessPoolExecutor breaks with its error as cause when its working folder cannot be found",
  async ({ form, own, gates }) => {
    const cwd = `${gates.folder}/nowhere`;
    const pool = own(new ProcessPoolExecutor({ context: { cwd } }));
    const futures = [1, 2].map((n) => pool.submit(Math.abs, n));
    const error = await assertBroken(pool, futures, /nowhere/, form);
    assertInstanceOf((error as Error).cause, Deno.errors.NotFound);
  },
);

testProcesses(
  "ProcessPoolExecutor breaks when Deno refuses a flag of its context, and shows what Deno said",
  async ({ form, own }) => {
    const denoArgs = ["--no-such-flag"];
    const pool = own(new ProcessPoolExecutor({ context: { denoArgs } }));
    const futures = [pool.submit(Math.abs, 1)];
    const words = /exited with code 1\b[^]*stderr[^]*--no-such-flag/;
    await assertBroken(pool, futures, words, form);
  },
);

for (const end of ["terminateWorkers", "killWorkers"] as const) {
  for (const state of ["has not said hello", "does not serve yet"]) {
    testProcesses(
      `ProcessPoolExecutor.${end}() ends a worker that ${state}`,
      async (bench) => {
        const { form, gates } = bench;
        const begin = state === "has not said hello" ? "" : "hello";
        const pool = makePool(
          bench,
          `${begin}\n: > "$(dirname "$0")/a.started"; exec sleep 600`,
        );
        const futures = [1, 2].map((n) => pool.submit(Math.abs, n));
        await form.until(() => gates.isReached("a"));
        pool[end]();
        for (const future of futures) {
          const error = await form.exception(future);
          assertInstanceOf(error, BrokenProcessPool);
          assertStringIncludes(error.message, `${end}() was called`);
        }
        await form.shutdown(pool);
        assertEquals(childPids(), []);
      },
    );
  }
}

// ------------------------------------------------------------------- frames

/** As long as a segment can be everywhere, or nearly so. */
const LONG = "x".repeat(480);

/** What a worker that serves does when it is given its first task, which is task 0. */
const FRAME_FAULTS: Readonly<Record<string, Fault>> = {
  "sends a header that is no JSON": {
    script: String.raw`frame 'nonsense\n'`,
    words: /must not.*nonsense/,
  },
  "sends a header that is no array": {
    script: String.raw`frame '{"a":1}\n'`,
    words: /must not.*\{.*a.*1/,
  },
  "sends a header without a length": {
    script: String.raw`frame '["returned"]\n'`,
    words: /must not.*returned/,
  },
  "sends a header with a negative length": {
    script: String.raw`frame '["returned",-1,0,1,2,0,0]\n'`,
    words: /must not.*-1/,
  },
  "sends a header that is no UTF-8": {
    script: String.raw`frame '["\377",0]\n'`,
    words: /must not.*header/,
  },
  "sends a header that does not end": {
    script: `for i in ${
      "1 ".repeat(140)
    }; do frame '${LONG}'; done; frame 'y\\n'`,
    words: /must not.*header must end.*xxx/,
  },
  "sends a frame that is too large": {
    script: String.raw`frame '["returned",1073741825,0,1,2,0,0]\n42'`,
    words: /must not.*1073741825/,
  },
  "sends a frame of an unknown kind": {
    script: String.raw`frame '["surprise",0]\n'`,
    words: /must not.*surprise/,
  },
  "sends a frame with too many numbers": {
    script: String.raw`frame '["serving",0,1,2]\n'`,
    words: /must not.*serving/,
  },
  "sends a frame with a number that is no count": {
    script: String.raw`frame '["returned",2,0.5,1,2,0,0]\n42'`,
    words: /must not.*0\.5/,
  },
  "sends a payload of an unknown format": {
    script: String.raw`frame '["returned",2,0,77,2,0,0]\n42'`,
    words: /must not.*77/,
  },
  "sends text that is shorter than it says": {
    script: String.raw`frame '["returned",2,0,1,3,0,0]\n42'`,
    words: /must not.*2 bytes/,
  },
  "sends fewer buffers than it says": {
    script: String.raw`frame '["returned",8,0,2,2,4000000000,0]\n42xxxxxx'`,
    words: /4000000000|understood/,
  },
  "says hello twice": {
    script: String
      .raw`frame '["hello",0,2]\n'; frame '["returned",2,0,1,2,0,0]\n42'; exit 9`,
    words: /must not.*hello/,
  },
  "serves twice": {
    script: String.raw`frame '["serving",0]\n'`,
    words: /must not.*serving/,
  },
  "sends the outcome of another task": {
    script: String.raw`frame '["returned",2,1,1,2,0,0]\n42'`,
    words: /must not.*task 0.*task 1\b/,
  },
  "sends the outcome of a task of long ago": {
    script: String.raw`frame '["returned",2,4294967295,1,2,0,0]\n42'`,
    words: /must not.*task 0.*task 4294967295\b/,
  },
  "sends the times of another task": {
    script: String.raw`frame '["timed",0,1,1795772212856014,42]\n'`,
    words: /must not.*times.*task 1\b/,
  },
  "sends times that are no counts": {
    script: String.raw`frame '["timed",0,0,17957722.5,42]\n'`,
    words: /must not.*timed/,
  },
  "sends a recall that nobody asked for": {
    script: String.raw`frame '["recalled",0,0,1]\n'`,
    words: /must not.*recalled.*0 to 1\b/,
  },
  "recalls what was never sent": {
    script: String.raw`frame '["recalled",0,5,9]\n'`,
    words: /must not.*recalled.*5 to 9\b/,
  },
  "sends a mark on stdout": {
    script: String.raw`frame '["mark",0,1]\n'`,
    words: /must not.*mark.*stderr/,
  },
  "sends an outcome on stderr": {
    script: String.raw`errorFrame '["returned",2,0,1,2,0,0]\n42'`,
    words: /must not.*only marks.*returned/,
  },
  "sends nonsense on stderr": {
    script: String.raw`errorFrame 'nonsense\n'`,
    words: /must not.*nonsense/,
  },
  "sends an empty segment": {
    script: "head 0",
    words: /must not.*segment.*0000/,
  },
  "sends a segment that is too long": {
    script: "head 65535",
    words: /must not.*segment.*ffff/,
  },
  "sends a segment whose length is no number": {
    script: String.raw`printf '\036%s0zzzz' "$token"`,
    words: /must not.*segment.*zzzz/,
  },
  "sends a segment of an unknown stream": {
    script: String.raw`printf '\036%s90001x' "$token"`,
    words: /must not.*segment.*90001/,
  },
  "says that it died in words that cannot be read": {
    script: String.raw`frame '["died",3,1,3,0]\n{{{'; exit 1`,
    words: /"abs"/,
  },
  "says that it died for nothing": {
    script: String.raw`frame '["died",0,0,0,0]\n'; exit 1`,
    words: /"abs"/,
  },
  "says that it died of what is no reason": {
    script: String.raw`frame '["died",7,1,7,0]\n[[],{}]'; exit 1`,
    words: /"abs"/,
  },
  "says that it died and does not exit": {
    script: String.raw`frame '["died",10,1,10,0]\n["of joy"]'`,
    words: /of joy.*"abs"/,
  },
  "says that it died, then more": {
    script: String
      .raw`frame '["died",10,1,10,0]\n["of joy"]'; frame '["returned",2,0,1,2,0,0]\n42'`,
    words: /of joy/,
  },
};

for (const [fault, { script, words }] of Object.entries(FRAME_FAULTS)) {
  testProcesses(
    `ProcessPoolExecutor breaks when a worker ${fault}`,
    async (bench) => {
      const pool = makePool(bench, `serve; task; ${script}\nstay`);
      const futures = [1, 2, 3].map((n) => pool.submit(Math.abs, n));
      await assertBroken(pool, futures, words, bench.form);
    },
  );
}

/** What breaks the pool also where one death would not. */
for (
  const fault of [
    "sends a header that is no JSON",
    "sends the outcome of another task",
    "recalls what was never sent",
    "sends a segment that is too long",
    "sends nonsense on stderr",
  ]
) {
  const { script, words } = FRAME_FAULTS[fault];
  testProcesses(
    `ProcessPoolExecutor({ onWorkerDeath: "replace" }) breaks when a worker ${fault}`,
    async (bench) => {
      const pool = makePool(bench, `serve; task; ${script}\nstay`, "replace");
      const futures = [1, 2, 3].map((n) => pool.submit(Math.abs, n));
      const error = await assertBroken(pool, futures, words, bench.form);
      // whose frame it was, and what it should have been doing
      assertMatch((error as Error).message, /\(process \d+\).*"abs"/);
    },
  );
}

const RIGHT = String.raw`frame '["returned",2,0,1,2,0,0]\n42'`;

for (
  const [what, frame] of Object.entries({
    "the outcome of the next task": String.raw`["returned",2,1,1,2,0,0]\n42`,
    "an outcome once more": String.raw`["returned",2,0,1,2,0,0]\n42`,
    "a recall": String.raw`["recalled",0,1,1]\n`,
  })
) {
  for (const policy of POLICIES) {
    testProcesses(
      `ProcessPoolExecutor({ onWorkerDeath: "${policy}" }) breaks when an idle worker sends ${what}`,
      async (bench) => {
        const { form } = bench;
        const pool = makePool(
          bench,
          `serve; task; ${RIGHT}; until [ -e "$(dirname "$0")/a.open" ]; do :; done; frame '${frame}'; stay`,
          policy,
        );
        assertEquals(await form.result(pool.submit(Math.abs, 1)), 42);
        const [pid] = childPids();
        bench.gates.open("a");
        await untilDead(pid, form); // killed for it
        let error: unknown;
        try {
          error = await form.exception(pool.submit(Math.abs, 1));
        } catch (thrown) {
          error = thrown; // noticed before
        }
        assertInstanceOf(error, BrokenProcessPool);
        assertMatch(error.message, /sent what it must not/);
        await assertBroken(pool, [], /sent what it must not/, form);
      },
    );
  }
}

// ------------------------------------------------------------- frames cut off

for (
  const [what, script] of Object.entries({
    "a header": String.raw`frame '["returned",2,0'`,
    "a payload": String.raw`frame '["returned",1000000000,0,1,2,0,0]\n42'`,
    "a segment": "head 100; printf abc",
    "the head of a segment": String.raw`printf '\036%s0' "$token"`,
  })
) {
  testProcesses(
    `ProcessPoolExecutor({ onWorkerDeath: "replace" }) fails the call alone when its worker exits within ${what}`,
    async (bench) => {
      const { form } = bench;
      const pool = makePool(bench, `serve; task; ${script}; exit 7`, "replace");
      const futures = [1, 2, 3].map((n) => pool.submit(Math.abs, n));
      const errors: unknown[] = [];
      for (const future of futures) errors.push(await form.exception(future));
      for (const error of errors) {
        assertInstanceOf(error, BrokenProcessPool);
        assertMatch(error.message, /exited with code 7\b.*"abs"/);
        assertMatch(error.message, /other tasks go on/);
      }
      assertEquals(new Set(errors).size, 3);
    },
  );

  testProcesses(
    `ProcessPoolExecutor({ onWorkerDeath: "break" }) breaks when its worker exits within ${what}`,
    async (bench) => {
      const pool = makePool(bench, `serve; task; ${script}; exit 7`);
      const futures = [1, 2, 3].map((n) => pool.submit(Math.abs, n));
      const words = /exited with code 7\b.*"abs"/;
      await assertBroken(pool, futures, words, bench.form);
    },
  );
}

testProcesses(
  "ProcessPoolExecutor breaks when its worker closes its stdout within a task",
  async (bench) => {
    const pool = makePool(bench, "serve; task; exec sleep 600 >&-");
    const futures = [1, 2].map((n) => pool.submit(Math.abs, n));
    await assertBroken(pool, futures, /closed its stdout.*"abs"/, bench.form);
  },
);

testProcesses(
  "ProcessPoolExecutor breaks when its worker has closed its stdin",
  async (bench) => {
    const { form, gates } = bench;
    const pool = makePool(
      bench,
      `serve; task; exec <&-; : > "$(dirname "$0")/a.started"; ${RIGHT}; exec sleep 600`,
    );
    const first = pool.submit(Math.abs, 1);
    await form.until(() => gates.isReached("a"));
    const futures = [2, 3].map((n) => pool.submit(Math.abs, n));
    assertEquals(await form.result(first), 42);
    await assertBroken(pool, futures, /closed its stdin.*"abs"/, form);
  },
);

// -------------------------------------------------------- forged payloads

testProcesses(
  "ProcessPoolExecutor fails the call alone when its result cannot be read",
  async (bench) => {
    const { form } = bench;
    const pool = makePool(
      bench,
      String.raw`serve; task; frame '["returned",3,0,1,3,0,0]\n{{{'
line; frame '["returned",3,1,2,3,0,0]\n{{{'
line; frame '["returned",2,2,1,2,0,0]\n42'; stay`,
    );
    for (let i = 0; i < 2; i++) {
      const error = await form.exception(pool.submit(Math.abs, 1));
      assertInstanceOf(error, SerializationError);
      assertMatch(error.message, /worker "ProcessPoolExecutor-\d+_0"/);
    }
    assertEquals(await form.result(pool.submit(Math.abs, 1)), 42);
  },
);

for (
  const [what, frame] of Object.entries({
    "a number": String.raw`["returned",2,0,1,2,0,0]\n42`,
    "null": String.raw`["returned",4,0,1,4,0,0]\nnull`,
    "one value of two": String.raw`["returned",3,0,1,3,0,0]\n[7]`,
    "a part without an error": String.raw`["part",2,0,1,2,0,0]\n[]`,
    "a part without values": String.raw`["part",8,0,1,8,0,0]\n[null,1]`,
  })
) {
  testProcesses(
    `ProcessPoolExecutor.map() throws when a worker sends ${what} for a chunk`,
    async (bench) => {
      const pool = makePool(bench, `serve; task; frame '${frame}'; stay`);
      const results = pool.map(Math.abs, [1, 2], { chunkSize: 2 });
      const { thrown } = await bench.form.collect(results);
      assertEquals(thrown.length, 1);
      assertInstanceOf(thrown[0], Error);
    },
  );
}

testProcesses(
  "ProcessPoolExecutor fails the call when a worker sends a part where none was asked for",
  async (bench) => {
    const pool = makePool(
      bench,
      String.raw`serve; task; frame '["part",7,0,1,7,0,0]\n[[1],2]'; stay`,
    );
    const future = pool.submit(Math.abs, 1);
    assertInstanceOf(await bench.form.exception(future), Error);
  },
);

// ------------------------------------------------------- forged by tasks

testProcesses(
  "ProcessPoolExecutor takes what a task prints for output, whatever it looks like",
  async ({ form }) => {
    const { code, stdout, stderr } = await runProgram(
      String.raw`
      import { ProcessPoolExecutor } from "@concurrent/futures";

      const pool = new ProcessPoolExecutor({ maxWorkers: 1 });
      const forge = () => {
        const texts = [
          "\x1e",
          "\x1e0123456789ab00002",
          '["returned",2,0,1,2,0,0]\n42\n',
          '\x1e0123456789ab0001a["returned",2,0,1,2,0,0]\n42\n',
        ];
        for (const text of texts) {
          Deno.stdout.writeSync(new TextEncoder().encode(text));
          Deno.stderr.writeSync(new TextEncoder().encode(text));
        }
        return 5;
      };
      const results = [await pool.submit(forge), await pool.submit(forge)];
      await pool.shutdown();
      if (String(results) !== "5,5") throw new Error(String(results));
      `,
      { flags: ["--allow-run"] },
    );
    const once = "\x1e\x1e0123456789ab00002" +
      '["returned",2,0,1,2,0,0]\n42\n' +
      '\x1e0123456789ab0001a["returned",2,0,1,2,0,0]\n42\n';
    assertEquals([code, stdout, stderr], [0, once + once, once + once]);
    await form.until(() => true);
  },
);

// ------------------------------------------------ what takes long is no fault

/** A module of some megabytes. */
const bulky = importTasks<{ f(): number }>(
  `data:text/javascript,export function f() { return 1; }//${
    "x".repeat(3_000_000)
  }`,
);

testProcesses(
  "ProcessPoolExecutor waits for a slow task with bulky functions behind it",
  async ({ form, own }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
    const quick = Array.from(
      { length: 200 },
      (_, n) => pool.submit(tasks.add, n, 0),
    );
    // Longer than an answer to a recall may take.
    const sleep = () => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_500);
      return "slept";
    };
    const slow = pool.submit(sleep);
    const behind = [1, 2, 3].map(() => pool.submit(bulky.f));
    assertEquals(await form.result(slow), "slept");
    for (const future of behind) assertEquals(await form.result(future), 1);
    for (const [n, future] of quick.entries()) {
      assertEquals(await form.result(future), n);
    }
  },
);
