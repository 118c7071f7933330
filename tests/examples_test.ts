import {
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { startNode } from "../nats_worker.ts";
import type { TraceEvent } from "../trace.ts";
import { testNats } from "./_nats_server.ts";

const ROOT = new URL("../", import.meta.url);
const EXAMPLES = new URL("examples/", ROOT);
const TIMEOUT_MS = 60_000;

async function matchHeader(file: string, pattern: RegExp): Promise<string> {
  const source = await Deno.readTextFile(new URL(file, EXAMPLES));
  const match = source.match(pattern);
  if (match === null) {
    throw new Error(`Cannot read the header of ${file}: it lacks ${pattern}`);
  }
  return match[1];
}

/** The arguments of the `deno run` line in the header of an example. */
async function namedArguments(file: string): Promise<string[]> {
  const line = await matchHeader(file, / \* deno (run .*)\n/);
  return line.split(" ");
}

/** The lines that an example prints, by its header. */
async function namedOutput(file: string): Promise<string[]> {
  const block = await matchHeader(file, / \* ```text\n([^]*?)\n \* ```\n/);
  return block.split("\n").map((line) => line.replace(" * ", ""));
}

/** Runs `deno` in an empty temporary folder for temporary files, left empty. */
async function runDeno(args: string[]): Promise<string> {
  const folder = await Deno.makeTempDir();
  try {
    const program = new Deno.Command(Deno.execPath(), {
      args,
      cwd: ROOT,
      env: { NO_COLOR: "1", TMPDIR: folder, TMP: folder, TEMP: folder },
      stdin: "null",
    });
    const { code, stdout, stderr } = await program.output();
    const decoder = new TextDecoder();
    // The first run on a machine says what it downloads.
    const errors = decoder.decode(stderr).replace(
      /^(Download|Initialize) .*\n/gm,
      "",
    );
    assertEquals({ code, errors }, { code: 0, errors: "" });
    assertEquals([...Deno.readDirSync(folder)], []);
    return decoder.decode(stdout);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function runExample(file: string): Promise<string[]> {
  const output = await runDeno(await namedArguments(file));
  return output.trimEnd().split("\n");
}

for (
  const file of [
    "copy_files.ts",
    "monte_carlo.ts",
    "primes.ts",
    "sandbox.ts",
    "synchronous.ts",
    "thumbnails.ts",
    "word_count.ts",
    "words.ts",
  ]
) {
  Deno.test(`examples/${file} prints what its header says`, {
    timeout: TIMEOUT_MS,
  }, async () => {
    assertEquals(await runExample(file), await namedOutput(file));
  });
}

Deno.test("examples/pow.ts prints every digit of the power", {
  timeout: TIMEOUT_MS,
}, async () => {
  const [power, small] = await runExample("pow.ts");
  assertEquals(power, String(323n ** 1235n));
  const cut = `${power.slice(0, 20)}...${power.slice(-10)}`;
  assertEquals([cut, small], await namedOutput("pow.ts"));
});

Deno.test("examples/url_fetcher.ts reports every page and the dead port", {
  timeout: TIMEOUT_MS,
}, async () => {
  // Ports, order and the system's reason differ from run to run.
  function normalize(lines: string[]): string[] {
    return lines.map((line) =>
      line.replace(/:\d+/, "").replace(/(error sending request).*/, "$1")
    ).sort();
  }
  const lines = normalize(await runExample("url_fetcher.ts"));
  assertEquals(lines, normalize(await namedOutput("url_fetcher.ts")));
});

/** The lines without their figures, and the figures. */
function takeFigures(lines: string[]): { text: string[]; figures: number[] } {
  const figure = /\b\d+(\.\d+)?(?= (ms|files|workers|kB|MB|%))/g;
  return {
    text: lines.map((line) => line.replace(figure, "?")),
    figures: lines.flatMap((line) => line.match(figure) ?? []).map(Number),
  };
}

Deno.test(
  "examples/hash_server.ts blocks its event loop without a pool, and less with one",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    const { text, figures } = takeFigures(await runExample("hash_server.ts"));
    assertEquals(text, takeFigures(await namedOutput("hash_server.ts")).text);
    // How late it is with a pool is up to the machine, but for being less late.
    const [longestMs, stuckMs, , stuckWithPoolMs] = figures;
    assertGreater(longestMs, 0);
    assertGreaterOrEqual(stuckMs, longestMs);
    assertGreater(stuckMs, stuckWithPoolMs);
  },
);

Deno.test("examples/gzip_tree.ts reports a lost file and compresses the rest", {
  timeout: TIMEOUT_MS,
}, async () => {
  const { text, figures } = takeFigures(await runExample("gzip_tree.ts"));
  assertEquals(text, takeFigures(await namedOutput("gzip_tree.ts")).text);
  const [files, plain, compressed, percent] = figures;
  assertGreater(files, [...Deno.readDirSync(EXAMPLES)].length);
  assertGreater(plain, compressed);
  assertGreater(percent, 0);
});

Deno.test(
  "examples/trace.ts says what took most of the time, and leaves no file",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    const { text, figures } = takeFigures(await runExample("trace.ts"));
    assertEquals(text, takeFigures(await namedOutput("trace.ts")).text);
    const [workers, percent, kilobytes] = figures;
    assertGreater(workers, 1); // one alone may have run all of a pool
    assertGreater(percent, 33); // of three functions
    assertGreater(kilobytes, 1);
  },
);

Deno.test("examples/trace.ts keeps the trace where it is told to", {
  timeout: TIMEOUT_MS,
}, async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/trace.json`;
    await runDeno([...await namedArguments("trace.ts"), path]);
    const { traceEvents } = JSON.parse(await Deno.readTextFile(path));
    const names = traceEvents.flatMap(
      ({ ph, name }: TraceEvent) => ph === "X" ? [name] : [],
    );
    assertEquals(
      new Set(names),
      new Set(["readTextFile", "countWords", "compressText"]),
    );
    const failed = traceEvents.filter(
      ({ args }: TraceEvent) => args?.outcome === "failed",
    );
    assertEquals(failed.map(({ name }: TraceEvent) => name), ["readTextFile"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("examples/deadlock.ts refuses what would hang and ends", {
  timeout: TIMEOUT_MS,
}, async () => {
  const lines = (await runExample("deadlock.ts")).map((line) =>
    line.replace(/(SerializationError: ).+/, "$1...")
  );
  assertEquals(lines, await namedOutput("deadlock.ts"));
});

testNats(
  "examples/other_machines prints what its header says",
  async ({ url: servers }) => {
    const allowModules = [new URL("other_machines/tasks.ts", EXAMPLES)];
    const options = { servers, stream: "primes", allowModules, maxWorkers: 1 };
    await using _node = await startNode({ ...options, name: "a" });
    await using _other = await startNode({ ...options, name: "b" });
    const file = "other_machines/main.ts";
    const line = await matchHeader(file, / \* deno (run .*main\.ts) /);
    const output = await runDeno([...line.split(" "), servers]);
    assertEquals(output.trimEnd().split("\n"), await namedOutput(file));
  },
);

Deno.test("examples/synchronous.ts never awaits", async () => {
  const source = await Deno.readTextFile(new URL("synchronous.ts", EXAMPLES));
  const code = source.replace(/\/\*\*[^]*?\*\//g, "");
  assertEquals(code.match(/\b(await|async|then|Promise)\b/), null);
});

Deno.test("examples/demo.ts runs every example and ends by itself", {
  timeout: 2 * TIMEOUT_MS, // each of them once more, and what it measures itself
}, async () => {
  const output = await runDeno(["task", "--quiet", "demo"]);
  for (const { name, isFile } of Deno.readDirSync(EXAMPLES)) {
    if (!isFile || name === "demo.ts" || name === "tasks.ts") continue;
    assertStringIncludes(output, `\n${name}: `);
  }
  assertMatch(output, /\n {2}one thread, no pool +\d+ ms {2}1\.00 x\n/);
  for (const workers of ["threads", "processes"]) {
    for (const state of ["started for it", "there already"]) {
      assertMatch(
        output,
        new RegExp(`\\n {2}\\d+ ${workers}, ${state} +\\d+ ms {2}[\\d.]+ x\\n`),
      );
    }
  }
});
