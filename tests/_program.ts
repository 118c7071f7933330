/**
 * Runs small programs as processes of their own, for what a test can't see from inside: whether a
 * program ends by itself, when, with which exit code, and what it prints.
 *
 * @module
 */

const NAME = "@concurrent/futures";
const MODULE = import.meta.resolve("../mod.ts");
const CONFIG = `${import.meta.dirname}/../deno.json`;
const LIMIT_MS = 30_000;
const PIPE_LIMIT_MS = 2_000;

/** How a program is run. */
export interface ProgramOptions {
  /** Flags of `deno run`; reading is allowed without being named. */
  flags?: string[];
  /** More files for the program's folder, by name: a module of tasks, say. */
  files?: Record<string, string>;
  /** Milliseconds after which the program is killed: then its `code` is 137. */
  limitMs?: number;
  /** Whether it runs in a terminal, by util-linux' `script`: all that it prints is then in `stdout`. */
  inTerminal?: boolean;
}

/** What became of a program. */
export interface ProgramResult {
  code: number;
  stdout: string;
  stderr: string;
  /** Milliseconds from its start to its exit. */
  ms: number;
}

/**
 * Writes a program into a temporary folder, runs it there as `main.ts`, and removes the folder.
 *
 * The program and its files import this package by its name, as its users do.
 *
 * @param source The program, in TypeScript.
 * @param options How to run it.
 * @returns Its exit code, its output and its time, once it has exited or was killed.
 */
export async function runProgram(
  source: string,
  options: ProgramOptions = {},
): Promise<ProgramResult> {
  const folder = await Deno.makeTempDir();
  try {
    const files = { ...options.files, "main.ts": source };
    for (const [name, text] of Object.entries(files)) {
      // by file URL, since a folder elsewhere has no deno.json that knows the name
      const resolved = text.replaceAll(`"${NAME}"`, `"${MODULE}"`);
      await Deno.writeTextFile(`${folder}/${name}`, resolved);
    }
    return await run(`${folder}/main.ts`, options);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function run(
  file: string,
  { flags = [], limitMs = LIMIT_MS, inTerminal = false }: ProgramOptions,
): Promise<ProgramResult> {
  const start = performance.now();
  const command = [
    Deno.execPath(),
    "run",
    "--no-prompt",
    // the package's own imports are found by its deno.json
    `--config=${CONFIG}`,
    ...(flags.includes("--allow-all") ? [] : ["--allow-read"]), // they exclude each other
    ...flags,
    file,
  ];
  const [path, ...args] = inTerminal ? playTerminal(command) : command;
  const program = new Deno.Command(path, {
    args,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const pipes = new AbortController();
  const output = Promise.all([
    readText(program.stdout, pipes.signal),
    readText(program.stderr, pipes.signal),
  ]);

  const killer = setTimeout(() => program.kill("SIGKILL"), limitMs);
  const { code } = await program.status;
  clearTimeout(killer);
  const ms = performance.now() - start;

  // A process that outlives the program may hold its pipes open for ever.
  const closer = setTimeout(() => pipes.abort(), PIPE_LIMIT_MS);
  const [stdout, stderr] = await output;
  clearTimeout(closer);
  return { code, stdout, stderr, ms };
}

/** The command that runs another one in a pseudo-terminal, with its exit code. */
function playTerminal(command: readonly string[]): string[] {
  const quoted = command.map((part) => `'${part.replaceAll("'", `'\\''`)}'`);
  return ["script", "-qec", quoted.join(" "), "/dev/null"];
}

/** Reads until the end of the stream or the signal, whichever comes first. */
async function readText(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  signal: AbortSignal,
): Promise<string> {
  let text = "";
  const sink = new WritableStream<string>({
    write(chunk) {
      text += chunk;
    },
  });
  try {
    await stream.pipeThrough(new TextDecoderStream()).pipeTo(sink, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return text;
}
