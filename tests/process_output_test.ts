/**
 * What tasks in processes print and read: their output comes out where the program's does, whole and
 * before their futures settle, and their input is empty.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { delay } from "@std/async";
import { testProcesses } from "./_process_tasks.ts";
import { type ProgramOptions, runProgram } from "./_program.ts";

const NAME = "@concurrent/futures";
const MODULE = import.meta.resolve("../mod.ts");

/** Runs a program, here with every permission. */
function run(source: string, options: ProgramOptions = {}) {
  return runProgram(source, { flags: ["--allow-all"], ...options });
}

/** A program that runs one task in one process, prints its value, and exits at once. */
function programOf(task: string): string {
  return `
    import { ProcessPoolExecutor } from "${NAME}";
    const pool = new ProcessPoolExecutor({ maxWorkers: 1 });
    const value = await pool.submit(${task});
    Deno.stdout.writeSync(new TextEncoder().encode("returned " + value + "\\n"));
    Deno.exit(0);
  `;
}

/** What a program writes, as bytes; its output goes to files, which it may look at as \`out\` and \`err\`. */
async function runToFiles(
  folder: string,
  source: string,
): Promise<{ code: number; out: Uint8Array; err: Uint8Array }> {
  const text = source.replaceAll(`"${NAME}"`, `"${MODULE}"`);
  await Deno.writeTextFile(`${folder}/main.ts`, text);
  const { code } = await new Deno.Command("sh", {
    args: [
      "-c",
      `exec "$0" run --quiet --no-lock --allow-all main.ts > out 2> err`,
      Deno.execPath(),
    ],
    cwd: folder,
    env: { NO_COLOR: "1" },
  }).output();
  return {
    code,
    out: await Deno.readFile(`${folder}/out`),
    err: await Deno.readFile(`${folder}/err`),
  };
}

const decoder = new TextDecoder();

/** Asserts that the bytes are that text; large ones are not shown in full. */
function assertText(bytes: Uint8Array, expected: string): void {
  const text = decoder.decode(bytes);
  if (text === expected) return;
  assertEquals(text.slice(0, 300), expected.slice(0, 300));
  throw new Error(
    `${text.length} characters must be ${expected.length}: ends on ${
      JSON.stringify(text.slice(-300))
    }`,
  );
}

// ----------------------------------------------------------- ways to print

/** A task's body, and what comes out: on stdout, on stderr. */
interface Way {
  body: string;
  out?: string;
  err?: string;
}

const BYTES = `const bytes = (text) => new TextEncoder().encode(text);`;
const PROCESS = `const { default: process } = await import("node:process");`;
const NODE =
  `const { spawn, spawnSync, execSync } = await import("node:child_process");
  const ended = (child) => new Promise((resolve) => child.on("close", resolve));`;
/** Much on stderr, so that it is late if anything is. */
const SCRIPT = `echo out; head -c 50000 /dev/zero | tr "\\\\0" e >&2; echo >&2`;
const MUCH = `${"e".repeat(50_000)}\n`;
const SH = `"sh", ["-c", ${JSON.stringify(SCRIPT)}]`;
const DENO_SH = `"sh", { args: ["-c", ${JSON.stringify(SCRIPT)}],`;

const WAYS: Record<string, Way> = {
  "console.log": { body: `console.log("%s is", "a", 1);`, out: "a is 1\n" },
  "console.info": { body: `console.info("a");`, out: "a\n" },
  "console.debug": { body: `console.debug("a");`, out: "a\n" },
  "console.error": { body: `console.error("a");`, err: "a\n" },
  "console.warn": { body: `console.warn("a");`, err: "a\n" },
  "console.assert": {
    body: `console.assert(false, "a");`,
    err: "Assertion failed: a\n",
  },
  "console.table": {
    body: `console.table([[1]]);`,
    out:
      "┌───────┬───┐\n│ (idx) │ 0 │\n├───────┼───┤\n│     0 │ 1 │\n└───────┴───┘\n",
  },
  "console.group": {
    body: `console.group("a"); console.log("b"); console.groupEnd();`,
    out: "a\n  b\n",
  },
  "console.log of a destructured console": {
    body: `const { log, error } = console; log("a"); error("b");`,
    out: "a\n",
    err: "b\n",
  },
  "Deno.stdout.write and Deno.stderr.write": {
    body:
      `${BYTES} await Deno.stdout.write(bytes("a\\n")); await Deno.stderr.write(bytes("b\\n"));`,
    out: "a\n",
    err: "b\n",
  },
  "Deno.stdout.writeSync and Deno.stderr.writeSync": {
    body:
      `${BYTES} Deno.stdout.writeSync(bytes("a\\n")); Deno.stderr.writeSync(bytes("b\\n"));`,
    out: "a\n",
    err: "b\n",
  },
  "Deno.stdout.writable and Deno.stderr.writable": {
    body: `${BYTES}
      for (const [to, text] of [[Deno.stdout, "a\\n"], [Deno.stderr, "b".repeat(50_000) + "\\n"]]) {
        const writer = to.writable.getWriter();
        await writer.write(bytes(text));
        writer.releaseLock();
      }`,
    out: "a\n",
    err: `${"b".repeat(50_000)}\n`,
  },
  "process.stdout.write and process.stderr.write": {
    body:
      `${PROCESS} process.stdout.write("a\\n"); process.stderr.write("b\\n");`,
    out: "a\n",
    err: "b\n",
  },
  "fs.writeSync to 1 and 2": {
    body:
      `const fs = await import("node:fs"); fs.writeSync(1, "a\\n"); fs.writeSync(2, "b".repeat(50_000) + "\\n");`,
    out: "a\n",
    err: `${"b".repeat(50_000)}\n`,
  },
  "Deno.Command.spawn with what it inherits": {
    body: `await new Deno.Command(${DENO_SH} }).spawn().status;`,
    out: "out\n",
    err: MUCH,
  },
  "Deno.Command.output with what it inherits": {
    body:
      `try { new Deno.Command(${DENO_SH} stdout: "inherit", stderr: "inherit" }).outputSync(); } catch {}`,
    out: "out\n",
    err: MUCH,
  },
  "Deno.spawn with what it inherits": {
    body: `await Deno.spawn("sh", ["-c", ${
      JSON.stringify(SCRIPT)
    }], { stdin: "null" }).status;`,
    out: "out\n",
    err: MUCH,
  },
  "console in a Worker of its own": {
    body:
      `const source = 'console.log("a"); console.error("b".repeat(50_000)); postMessage(1);';
      const url = "data:text/javascript," + encodeURIComponent(source);
      const worker = new Worker(url, { type: "module" });
      await new Promise((resolve) => worker.onmessage = resolve);
      worker.terminate();`,
    out: "a\n",
    err: `${"b".repeat(50_000)}\n`,
  },
  "node:child_process spawn with what it inherits": {
    body:
      `${NODE} await ended(spawn(${SH}, { stdio: ["ignore", "inherit", "inherit"] }));`,
    out: "out\n",
    err: MUCH,
  },
  "node:child_process spawnSync with what it inherits": {
    body:
      `${NODE} spawnSync(${SH}, { stdio: ["ignore", "inherit", "inherit"] });`,
    out: "out\n",
    err: MUCH,
  },
  "node:child_process execSync, whose stderr is inherited": {
    body: `${NODE} execSync(${
      JSON.stringify(SCRIPT)
    }, { stdio: ["ignore", "pipe", "inherit"] });`,
    err: MUCH,
  },
};

for (const [way, { body, out = "", err = "" }] of Object.entries(WAYS)) {
  testProcesses(
    `ProcessPoolExecutor has output out before the future settles when a task prints by ${way}`,
    async ({ gates: { folder } }) => {
      // Many times, as the two streams race; the program looks at what has come out.
      const { code, out: bytes, err: errors } = await runToFiles(
        folder,
        `
        import { ProcessPoolExecutor } from "${NAME}";
        const pool = new ProcessPoolExecutor({ maxWorkers: 1 });
        const lengths = () => ["out", "err"].map((path) => Deno.statSync(path).size).join();
        const seen = [];
        for (let n = 0; n < 25; n++) {
          await pool.submit(async () => { ${body} });
          seen.push(lengths());
        }
        Deno.writeTextFileSync("seen", seen.join("\\n"));
        Deno.exit(0);
        `,
      );
      assertText(errors, err.repeat(25));
      assertText(bytes, out.repeat(25));
      assertEquals(code, 0);
      const encoder = new TextEncoder();
      const [o, e] = [out, err].map((text) => encoder.encode(text).length);
      assertEquals(
        Deno.readTextFileSync(`${folder}/seen`).split("\n"),
        Array.from({ length: 25 }, (_, n) => `${o * (n + 1)},${e * (n + 1)}`),
      );
    },
  );
}

testProcesses(
  "ProcessPoolExecutor has output out when the program exits as soon as the future settles, each of 20 times",
  async () => {
    const program = programOf(
      `() => { console.log("to stdout"); console.error("to stderr"); return 1; }`,
    );
    for (let n = 0; n < 20; n++) {
      const { code, stdout, stderr } = await run(program);
      assertEquals(
        [code, stdout, stderr],
        [0, "to stdout\nreturned 1\n", "to stderr\n"],
      );
    }
  },
);

testProcesses(
  "ProcessPoolExecutor has output out when a program that blocks exits as soon as the future settles",
  async () => {
    const { code, stdout, stderr } = await run(`
      import { ProcessPoolExecutor } from "${NAME}";
      const pool = new ProcessPoolExecutor({ maxWorkers: 1 });
      pool.submit(() => { console.log("to stdout"); console.error("to stderr"); }).resultSync();
      Deno.exit(0);
    `);
    assertEquals([code, stdout, stderr], [0, "to stdout\n", "to stderr\n"]);
  },
);

testProcesses(
  "ProcessPoolExecutor has output out before the future settles when the task throws, or a chunk of map is done",
  async () => {
    const { code, stdout, stderr } = await run(`
      import { ProcessPoolExecutor } from "${NAME}";
      const pool = new ProcessPoolExecutor({ maxWorkers: 1 });
      const failing = () => { console.log("a"); console.error("b"); throw new Error("c"); };
      await pool.submit(failing).exception();
      console.log("1"), console.error("1");
      const show = (n: number) => { console.log("n", n); console.error("e", n); };
      await Array.fromAsync(pool.map(show, [1, 2, 3, 4], { chunkSize: 2 }));
      console.log("2"), console.error("2");
      Deno.exit(0);
    `);
    assertEquals([code, stdout, stderr], [
      0,
      "a\n1\nn 1\nn 2\nn 3\nn 4\n2\n",
      "b\n1\ne 1\ne 2\ne 3\ne 4\n2\n",
    ]);
  },
);

testProcesses(
  "ProcessPoolExecutor passes on what an initializer prints",
  async () => {
    const { code, stdout, stderr } = await run(`
      import { ProcessPoolExecutor } from "${NAME}";
      await using pool = new ProcessPoolExecutor({
        maxWorkers: 1,
        initializer: () => { console.log("set up"); console.error("with care"); },
      });
      await pool.submit(Math.abs, 1);
    `);
    assertEquals([code, stdout, stderr], [0, "set up\n", "with care\n"]);
  },
);

testProcesses(
  "ProcessPoolExecutor passes on what a task leaves behind to be printed while its process is idle",
  async () => {
    const { code, stdout, stderr } = await run(`
      import { ProcessPoolExecutor } from "${NAME}";
      await using pool = new ProcessPoolExecutor({ maxWorkers: 1 });
      const path = import.meta.dirname + "/printed";
      await pool.submit((path: string) => {
        setTimeout(() => {
          console.log("later");
          console.error("as well");
          Deno.writeTextFileSync(path, "");
        }, 20);
      }, path);
      console.log("first");
      for (let isThere = false; !isThere;) {
        isThere = await Deno.stat(path).then(() => true, () => false);
      }
    `);
    assertEquals([code, stdout, stderr], [0, "first\nlater\n", "as well\n"]);
  },
);

testProcesses(
  "ProcessPoolExecutor works on when nobody reads what its tasks print any more",
  async ({ gates: { folder } }) => {
    const source = `
      import { ProcessPoolExecutor } from "${MODULE}";
      await using pool = new ProcessPoolExecutor({ maxWorkers: 2 });
      const print = (n: number) => {
        console.log("x".repeat(100_000));
        console.error("y".repeat(100_000));
        return n;
      };
      const values = await Array.fromAsync(pool.map(print, Array.from({ length: 20 }, (_, n) => n)));
      Deno.writeTextFileSync("values", values.join());
    `;
    Deno.writeTextFileSync(`${folder}/main.ts`, source);
    await new Deno.Command("sh", {
      args: [
        "-c",
        `"$0" run --quiet --no-lock --allow-all main.ts 2>&1 | head -c 10`,
        Deno.execPath(),
      ],
      cwd: folder,
    }).output();
    // The pipe's first process may be there after its last is gone.
    const numbers = Array.from({ length: 20 }, (_, n) => n).join();
    const read = () =>
      Deno.readTextFile(`${folder}/values`).catch(() => undefined);
    let values = await read();
    while (values !== numbers) {
      await delay(1);
      values = await read();
    }
    assertEquals(values, numbers);
  },
);

// ---------------------------------------------------------- size and bytes

testProcesses(
  "ProcessPoolExecutor loses nothing when a task prints a megabyte, in a line and in lines",
  async ({ gates: { folder } }) => {
    const { code, out, err } = await runToFiles(
      folder,
      programOf(`() => {
        console.log("x".repeat(2 ** 20));
        for (let n = 0; n < 20_000; n++) console.log("line " + n + " ".repeat(40));
        console.error("y".repeat(2 ** 20));
      }`),
    );
    assertEquals(code, 0);
    const lines = Array.from(
      { length: 20_000 },
      (_, n) => `line ${n}${" ".repeat(40)}\n`,
    );
    const expected = `${"x".repeat(2 ** 20)}\n${
      lines.join("")
    }returned undefined\n`;
    assert(decoder.decode(out) === expected, "stdout differs");
    assert(
      decoder.decode(err) === `${"y".repeat(2 ** 20)}\n`,
      "stderr differs",
    );
  },
);

testProcesses(
  "ProcessPoolExecutor keeps lines whole when several processes print at once, in parts too",
  async () => {
    const { code, stdout, stderr } = await run(`
      import { ProcessPoolExecutor } from "${NAME}";
      const print = async (who: string) => {
        const bytes = (text: string) => new TextEncoder().encode(text);
        for (let n = 0; n < 300; n++) {
          console.log(who + n + who.repeat(200));
          console.error(who + n + who.repeat(200));
          for (const to of [Deno.stdout, Deno.stderr]) {
            to.writeSync(bytes(who + "+" + n));
            if (n % 10 === 0) await new Promise((resolve) => setTimeout(resolve));
            to.writeSync(bytes(who.repeat(3) + "\\n"));
          }
        }
      };
      await using pool = new ProcessPoolExecutor({ maxWorkers: 3 });
      await Promise.all(["a", "b", "c"].map((who) => pool.submit(print, who)));
    `);
    assertEquals(code, 0);
    for (const text of [stdout, stderr]) {
      const lines = text.trimEnd().split("\n");
      for (const who of ["a", "b", "c"]) {
        const own = lines.filter((line) => line.startsWith(who));
        const expected = Array.from({ length: 300 }, (_, n) => [
          who + n + who.repeat(200),
          `${who}+${n}${who.repeat(3)}`,
        ]);
        assertEquals(own, expected.flat());
      }
      assertEquals(lines.length, 3 * 600);
    }
  },
);

for (
  const [when, rest] of Object.entries({
    "is shut down": "await pool.shutdown();",
    "is shut down, blocking": "pool.shutdownSync();",
    "is not shut down": "",
    "is killed": "pool.killWorkers(); await pool.shutdown();",
  })
) {
  testProcesses(
    `ProcessPoolExecutor passes on output without a final newline when the pool ${when}`,
    async () => {
      const { code, stdout, stderr } = await run(`
        import { ProcessPoolExecutor } from "${NAME}";
        const pool = new ProcessPoolExecutor({ maxWorkers: 1 });
        await pool.submit(() => {
          Deno.stdout.writeSync(new TextEncoder().encode("no end"));
          Deno.stderr.writeSync(new TextEncoder().encode("none"));
        });
        ${rest}
      `);
      assertEquals(code, 0);
      assertMatch(stdout, /^no end\n?$/);
      assertMatch(stderr, /^none\n?$/);
    },
  );
}

testProcesses(
  "ProcessPoolExecutor passes bytes on as they are when they are no text",
  async ({ gates: { folder } }) => {
    const { code, out, err } = await runToFiles(
      folder,
      programOf(`() => {
        const all = Uint8Array.from({ length: 256 * 64 }, (_, n) => n & 255);
        Deno.stdout.writeSync(all);
        Deno.stdout.writeSync(Uint8Array.of(0xff, 0xfe, 0xc3, 10));
        Deno.stderr.writeSync(all);
        Deno.stderr.writeSync(Uint8Array.of(0x80, 0xe2, 0x82, 10));
      }`),
    );
    const all = Array.from({ length: 256 * 64 }, (_, n) => n & 255);
    const tail = [...new TextEncoder().encode("returned undefined\n")];
    assertEquals(code, 0);
    assertEquals([...out], [...all, 0xff, 0xfe, 0xc3, 10, ...tail]);
    assertEquals([...err], [...all, 0x80, 0xe2, 0x82, 10]);
  },
);

const FORGED = [
  "\x1e",
  "\x1e".repeat(5_000),
  "a\x1eb\x1e\x1ec",
  "\x1e0123456789ab000a[1,2,3,4]x",
  "\x1e0123456789abffff" + "z".repeat(70_000),
  "\x1e0123456789ab00",
  '["returned",2,0,1,2,0,0]\n42',
  '\x1e["returned",2,0,1,2,0,0]\n42',
  '["hello",0,2]',
  '["mark",0,1]',
];

testProcesses(
  "ProcessPoolExecutor takes text for output when it looks like a frame or begins like one",
  async ({ gates: { folder } }) => {
    const { code, out, err } = await runToFiles(
      folder,
      `
      import { ProcessPoolExecutor } from "${NAME}";
      await using pool = new ProcessPoolExecutor({ maxWorkers: 1 });
      const print = (text: string) => {
        console.log(text);
        console.error(text);
        const token = crypto.randomUUID().replaceAll("-", "").slice(0, 12);
        return token.length + text.length;
      };
      // Frames follow these at once: no newline comes between.
      const write = (text: string) => {
        Deno.stdout.writeSync(new TextEncoder().encode(text));
        Deno.stderr.writeSync(new TextEncoder().encode(text));
        return text.length;
      };
      const all: string[] = ${JSON.stringify(FORGED)};
      for (const text of all) {
        if (await pool.submit(print, text) !== text.length + 12) throw new Error(text);
        if (await pool.submit(write, text) !== text.length) throw new Error(text);
      }
      `,
    );
    const expected = FORGED.map((text) => `${text}\n${text}`).join("");
    assertEquals(code, 0);
    assertEquals(decoder.decode(out), expected);
    assertEquals(decoder.decode(err), expected);
  },
);

testProcesses(
  "ProcessPoolExecutor mixes nothing up when a grandchild prints while its parent sends large results",
  async ({ gates: { folder } }) => {
    const { code, out, err } = await runToFiles(
      folder,
      `
      import { ProcessPoolExecutor } from "${NAME}";
      await using pool = new ProcessPoolExecutor({ maxWorkers: 1 });
      const start = () => {
        const script = 'i=0; while [ $i -lt 20000 ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); done';
        const child = new Deno.Command("sh", { args: ["-c", script], stdout: "inherit", stderr: "inherit" }).spawn();
        const state = { isOver: false };
        child.status.then(() => state.isOver = true);
        Object.assign(globalThis, { state });
      };
      const make = (n: number) => {
        const bytes = new Uint8Array(10_000_000).fill(n);
        const map = new Map([["text", "\\x1e".repeat(1_000_000)]]);
        const { isOver } = (globalThis as unknown as { state: { isOver: boolean } }).state;
        return { bytes, map, isOver };
      };
      await pool.submit(start);
      let during = 0;
      for (let n = 0;; n++) {
        const { bytes, map, isOver } = await pool.submit(make, n);
        if (bytes.length !== 10_000_000 || bytes.some((byte) => byte !== (n & 255))) throw new Error("bytes");
        if (map.get("text") !== "\\x1e".repeat(1_000_000)) throw new Error("map");
        if (isOver) break;
        during++;
      }
      Deno.writeTextFileSync("during", String(during));
      `,
    );
    const errors = decoder.decode(err).replaceAll(/^err \d+\n/gm, "");
    assertEquals([code, errors], [0, ""]);
    for (const [name, bytes] of Object.entries({ out, err })) {
      const expected = Array.from({ length: 20_000 }, (_, n) => `${name} ${n}`);
      assertEquals(decoder.decode(bytes).trimEnd().split("\n"), expected);
    }
    const during = Number(Deno.readTextFileSync(`${folder}/during`));
    assert(during > 0, "no result was sent while the grandchild printed");
  },
);

// Deno 2.9.6 writes to stdout by Rust's LineWriter: what has a line feed inside is written in parts.
testProcesses(
  "ProcessPoolExecutor mixes nothing up when grandchildren print while their parent sends small results",
  async ({ gates: { folder } }) => {
    const { code, out, err } = await runToFiles(
      folder,
      `
      import { ProcessPoolExecutor } from "${NAME}";
      await using pool = new ProcessPoolExecutor({ maxWorkers: 1 });
      const start = () => {
        const state = { over: 0 };
        for (const who of ["a", "b", "c"]) {
          const script = 'i=0; while [ $i -lt 10000 ]; do echo "' + who + ' $i"; i=$((i+1)); done';
          new Deno.Command("sh", { args: ["-c", script] }).spawn().status.then(() => state.over++);
        }
        Object.assign(globalThis, { state });
      };
      const make = (n: number) => [n, "x".repeat(n % 3000), (globalThis as any).state.over] as const;
      await pool.submit(start);
      let during = 0;
      for (let isOver = false; !isOver;) {
        const futures = Array.from({ length: 200 }, (_, n) => pool.submit(make, n * 31));
        for (const [n, future] of futures.entries()) {
          const [number, text, over] = await future;
          if (number !== n * 31 || text !== "x".repeat(number % 3000)) throw new Error("result " + n);
          isOver = over === 3;
          if (!isOver) during++;
        }
      }
      Deno.writeTextFileSync("during", String(during));
      `,
    );
    assertEquals([code, decoder.decode(err)], [0, ""]);
    const lines = decoder.decode(out).trimEnd().split("\n");
    for (const who of ["a", "b", "c"]) {
      assertEquals(
        lines.filter((line) => line.startsWith(who)),
        Array.from({ length: 10_000 }, (_, n) => `${who} ${n}`),
      );
    }
    assertEquals(lines.length, 30_000);
    const during = Number(Deno.readTextFileSync(`${folder}/during`));
    assert(during > 0, "no result was sent while the grandchildren printed");
  },
);

// ----------------------------------------------------------------- deaths

for (
  const [how, end] of Object.entries({
    "exits": "Deno.exit(3)",
    "is killed": `Deno.kill(Deno.pid, "SIGKILL")`,
    "throws where nobody catches it":
      `setTimeout(() => { throw new Error("stray"); }); return new Promise(() => {})`,
  })
) {
  testProcesses(
    `ProcessPoolExecutor has output out before the future fails when the task prints, then ${how}`,
    async () => {
      const { code, stdout, stderr } = await run(`
        import { ProcessPoolExecutor } from "${NAME}";
        const pool = new ProcessPoolExecutor({ maxWorkers: 1 });
        const task = (): unknown => {
          console.log("x".repeat(100_000));
          console.error("y".repeat(100_000));
          Deno.stdout.writeSync(new TextEncoder().encode("begun"));
          Deno.stderr.writeSync(new TextEncoder().encode("too"));
          ${end};
          return 1;
        };
        const error = await pool.submit(task).exception();
        Deno.stdout.writeSync(new TextEncoder().encode((error as Error).name + "\\n"));
        Deno.exit(0);
      `);
      assertEquals(code, 0);
      assertEquals(
        stdout,
        `${"x".repeat(100_000)}\nbegun\nBrokenProcessPool\n`,
      );
      assert(
        stderr.startsWith(`${"y".repeat(100_000)}\ntoo`),
        `stderr is ${stderr.slice(-200)}`,
      );
    },
  );
}

// ------------------------------------------------------------------- stdin

/** When a program that reads what is not there is ended. */
const LIMIT_MS = 5_000;

/** Tasks that read; each returns what it has read. */
const READERS: Record<string, string> = {
  "Deno.stdin.read": `const buffer = new Uint8Array(10);
    return [await Deno.stdin.read(buffer), buffer[0]].join();`,
  "Deno.stdin.readSync": `const buffer = new Uint8Array(10);
    return [Deno.stdin.readSync(buffer), buffer[0]].join();`,
  "Deno.stdin.readable": `let length = 0;
    for await (const piece of Deno.stdin.readable) length += piece.length;
    return ["", length].join();`,
  "process.stdin": `${PROCESS}
    let length = 0;
    for await (const piece of process.stdin) length += piece.length;
    return ["", length].join();`,
  "prompt()": `return [prompt("name?"), 0].join();`,
};

/** Grandchildren that inherit stdin; each returns what came of it. */
const INHERITORS: Record<string, string> = {
  "Deno.Command.spawn":
    `const child = new Deno.Command("cat", { stdin: "inherit" }).spawn();
    return ["", (await child.status).code].join();`,
  "Deno.Command.spawn, by default":
    `const child = new Deno.Command("cat").spawn();
    return ["", (await child.status).code].join();`,
  "Deno.Command.output":
    `const child = new Deno.Command("cat", { stdin: "inherit" });
    return [new TextDecoder().decode((await child.output()).stdout), 0].join();`,
  "Deno.Command.outputSync":
    `const child = new Deno.Command("cat", { stdin: "inherit" });
    return [new TextDecoder().decode(child.outputSync().stdout), 0].join();`,
  "Deno.spawn": `const child = Deno.spawn("cat", { stdout: "inherit" });
    return ["", (await child.status).code].join();`,
  "Deno.spawnAndWaitSync":
    `const child = Deno.spawnAndWaitSync("cat", { stdin: "inherit" });
    return [new TextDecoder().decode(child.stdout), 0].join();`,
};

for (
  const [who, body] of [
    ...Object.entries(READERS).map(([name, body]) => [
      `a task reads by ${name}`,
      body,
    ]),
    ...Object.entries(INHERITORS).map(([name, body]) => [
      `a task's \`cat\` inherits stdin by ${name}`,
      body,
    ]),
  ]
) {
  testProcesses(
    `ProcessPoolExecutor gives an empty stdin, and no frame is lost, when ${who}`,
    async () => {
      const { code, stdout, stderr } = await run(
        `
        import { ProcessPoolExecutor } from "${NAME}";
        const pool = new ProcessPoolExecutor({ maxWorkers: 1 });
        await Promise.all(Array.from({ length: 50 }, (_, n) => pool.submit(Math.abs, -n)));
        const read = async () => { ${body} };
        const future = pool.submit(read);
        const behind = Array.from({ length: 50 }, (_, n) => pool.submit(Math.abs, -n));
        console.log(await future, (await Promise.all(behind)).every((value, n) => value === n));
        await pool.shutdown();
        `,
        { limitMs: LIMIT_MS },
      );
      assertEquals([code, stderr], [0, ""]);
      assertMatch(stdout, /^(name\? )?,0 true\n$/);
    },
  );
}
