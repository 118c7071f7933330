/**
 * Runs programs of several files, in a folder with a config file of its own, as a user's program has
 * one: what `_program.ts` cannot give are packages, import maps and `deno test`.
 *
 * @module
 */

import { assertEquals } from "@std/assert";

const MODULE = import.meta.resolve("../mod.ts");
const LIMIT_MS = 100_000;

/** When a test of a program is ended; the program itself ends before. */
export const TIMEOUT_MS = 120_000;

/** The pools that programs are written for. */
export const POOLS = ["ThreadPoolExecutor", "ProcessPoolExecutor"] as const;

/** The name of a pool's class. */
export type PoolName = typeof POOLS[number];

/** What a process pool needs, and what it takes to look at functions. */
export const FLAGS: readonly string[] = [
  "--allow-read",
  "--allow-run",
  "--allow-sys",
];

/** A program of several files. */
export interface FileProgram {
  /** By name; `POOL` in them stands for the class of the pool. */
  readonly files: Readonly<Record<string, string>>;
  /** The pool that is meant by `POOL`. */
  readonly pool?: PoolName;
  /** Flags of permissions and others. */
  readonly flags?: readonly string[];
  /** More fields of deno.json; `imports` come beside the package's own. */
  readonly config?: {
    imports?: Record<string, string>;
    nodeModulesDir?: "auto";
  };
  readonly env?: Record<string, string>;
  /** What deno is to do with `main.ts`. */
  readonly command?: "run" | "test";
}

/** What became of a program. */
export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** Writes a program into a folder, runs its `main.ts` there, and removes the folder. */
export async function runFiles(program: FileProgram): Promise<Ended> {
  const folder = await Deno.makeTempDir();
  try {
    const { imports, ...config } = program.config ?? {};
    const json = {
      ...config,
      imports: { "@concurrent/futures": MODULE, ...imports },
      lock: false,
    };
    const files = { "deno.json": JSON.stringify(json), ...program.files };
    for (const [name, text] of Object.entries(files)) {
      const source = text.replaceAll("POOL", program.pool ?? "POOL");
      await Deno.writeTextFile(`${folder}/${name}`, source);
    }
    return await run(folder, program);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function run(
  folder: string,
  { flags = FLAGS, command = "run", env }: FileProgram,
): Promise<Ended> {
  const ended = new AbortController();
  const limit = setTimeout(() => ended.abort(), LIMIT_MS);
  try {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        command,
        "--quiet",
        "--no-check",
        "--no-prompt",
        ...flags,
        "main.ts",
      ],
      cwd: folder,
      env: { NO_COLOR: "1", ...env },
      stdin: "null",
      signal: ended.signal,
    }).output();
    const decoder = new TextDecoder();
    return {
      code,
      stdout: decoder.decode(stdout),
      stderr: decoder.decode(stderr),
    };
  } finally {
    clearTimeout(limit);
  }
}

/** Runs a program that prints JSON, and returns what it printed once it has ended well. */
export async function jsonOf(program: FileProgram): Promise<unknown> {
  const { code, stdout, stderr } = await runFiles(program);
  assertEquals([code, stderr], [0, ""], stdout);
  return JSON.parse(stdout);
}

/** Registers a test for each pool of a program that prints `expected` as JSON and ends by itself. */
export function testProgram(
  name: string,
  program: Omit<FileProgram, "pool">,
  expected: unknown,
): void {
  for (const pool of POOLS) {
    Deno.test(`${pool}.${name}`, { timeout: TIMEOUT_MS }, async () => {
      assertEquals(await jsonOf({ ...program, pool }), expected);
    });
  }
}
