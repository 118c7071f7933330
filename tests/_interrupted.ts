/**
 * A program that is interrupted, run by `signals_test.ts`, and the tasks that keep its workers busy.
 *
 * ```sh
 * deno run -A tests/_interrupted.ts process spinning graceful /tmp/some-folder
 * ```
 *
 * It prints "ready" once its workers are in that state, then what comes of the tasks. Without a
 * listener an interrupt ends it. A graceful one finishes what runs, cancels what waits, and lets the
 * program end by itself; a mere one does nothing about it. Either says so in a line.
 *
 * @module
 */

import { delay } from "@std/async";
import {
  CancelledError,
  type Executor,
  type Future,
  importTasks,
  ProcessPoolExecutor,
  type TaskReference,
  ThreadPoolExecutor,
} from "../mod.ts";

/** Where the program's tasks run. */
export const POOLS = ["thread", "process"] as const;

/** What its workers do when it is interrupted. */
export const STATES = [
  "idle",
  "awaiting",
  "spinning",
  "blocked",
  "starting",
  "nested",
  "grandchild",
] as const;

/** What it does about interrupts. */
export const LISTENERS = ["none", "graceful", "mere"] as const;

/** How the program is run. */
export interface Plan {
  readonly pool: typeof POOLS[number];
  readonly state: typeof STATES[number];
  readonly listener: typeof LISTENERS[number];
}

const WORKERS = 2;

const tasks = importTasks<typeof import("./_tasks.ts")>(
  import.meta.resolve("./_tasks.ts"),
);
const own = importTasks<typeof import("./_interrupted.ts")>(import.meta.url);

// -------------------------------------------------------------------- tasks

/** Holds a process of a pool of its own at that gate. */
export async function nest(folder: string, gate: string): Promise<string> {
  await using pool = new ProcessPoolExecutor({ maxWorkers: 1 });
  return await pool.submit(tasks.hold, folder, gate);
}

/** Starts a program that takes long, and tells how that ended. */
export async function startLong(folder: string, gate: string): Promise<string> {
  const long = new Deno.Command("sleep", { args: ["1000"] }).spawn();
  Deno.writeTextFileSync(`${folder}/${gate}.started`, "");
  const { signal } = await long.status;
  return `${gate} ${signal}`;
}

/** Computes without an end. */
export function spin(folder: string, gate: string): string {
  Deno.writeTextFileSync(`${folder}/${gate}.started`, "");
  for (;;);
}

// ------------------------------------------------------------------ program

/** The tasks of each state, but of the idle one. */
function work(
  { state, listener }: Plan,
): TaskReference<[folder: string, gate: string], string | Promise<string>> {
  switch (state) {
    case "awaiting":
      return tasks.holdAwaiting;
    case "nested":
      return own.nest;
    case "grandchild":
      return own.startLong;
    default:
      // Where nobody waits for it, it need not end.
      return listener === "none" && state !== "starting"
        ? own.spin
        : tasks.hold;
  }
}

function makePool({ pool }: Plan, execPath: string | undefined): Executor {
  const maxWorkers = WORKERS;
  return pool === "thread"
    ? new ThreadPoolExecutor({ maxWorkers })
    : new ProcessPoolExecutor({ maxWorkers, context: { execPath } });
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

async function printOutcome(future: Future<unknown>): Promise<void> {
  const error = await future.exception().catch((error) => error);
  if (error instanceof CancelledError) print("cancelled");
  else print(error === null ? `${await future}` : `${error}`);
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

async function run(plan: Plan, folder: string, execPath?: string) {
  const { state, listener } = plan;
  const pool = makePool(plan, execPath);
  // An idle pool keeps no program alive.
  const keeper = setInterval(() => {}, 1_000);
  const isHeard = Promise.withResolvers<void>();
  if (listener !== "none") {
    for (const signal of ["SIGINT", "SIGHUP", "SIGTERM"] as const) {
      Deno.addSignalListener(signal, async () => {
        const isShut = listener === "graceful"
          ? pool.shutdown({ cancelFutures: true })
          : undefined;
        print(signal);
        await isShut;
        isHeard.resolve();
      });
    }
  }
  const futures: Future<unknown>[] = [];
  if (state === "idle") {
    await Array.fromAsync(pool.map(Math.abs, [-1, -2]));
  } else {
    const task = work(plan);
    for (const gate of ["a", "b"]) {
      futures.push(pool.submit(task, folder, gate));
    }
    futures.push(pool.submit(tasks.note, folder, "waiting"));
    if (state !== "starting") await untilReached(folder);
    else if (execPath !== undefined) await untilStarting(folder);
  }
  print("ready");
  if (state === "blocked") futures[0].resultSync();
  await isHeard.promise;
  clearInterval(keeper);
  if (state === "idle" && listener === "mere") {
    futures.push(pool.submit(Math.abs, -3));
  }
  for (const future of futures) await printOutcome(future);
  print("end");
}

async function untilReached(folder: string): Promise<void> {
  for (const gate of ["a", "b"]) {
    while (!exists(`${folder}/${gate}.started`)) await delay(1);
  }
}

/** Each worker says so itself, in what stands for its program. */
async function untilStarting(folder: string): Promise<void> {
  const path = `${folder}/starts`;
  while (!exists(path) || countLines(path) < WORKERS) await delay(1);
}

/** How many lines there are in a file. */
export function countLines(path: string): number {
  return Deno.readTextFileSync(path).split("\n").length - 1;
}

if (import.meta.main) {
  const [pool, state, listener, folder, execPath] = Deno.args as [
    Plan["pool"],
    Plan["state"],
    Plan["listener"],
    string,
    string?,
  ];
  await run({ pool, state, listener }, folder, execPath);
}
