/**
 * What the scenarios of `resources.ts` share: pools of either kind, figures of this process and its
 * children, and verdicts.
 *
 * @module
 */

import { delay } from "@std/async";
import {
  type Executor,
  ProcessPoolExecutor,
  ThreadPoolExecutor,
} from "../mod.ts";
import {
  children,
  collect,
  formatBytes,
  formatHandles,
  type Handles,
  measure,
  threads,
} from "./_handles.ts";

/** What the workers of a pool are. */
export const KINDS = ["thread", "process"] as const;
export type Kind = (typeof KINDS)[number];

/** How a scenario is run. */
export interface Setup {
  readonly kind: Kind;
  /** What each count is multiplied by. */
  readonly scale: number;
  /** How long the pool of `idle` is left alone. */
  readonly idleSeconds: number;
  readonly report: Report;
}

/** How long to wait at most for what must come: threads and processes to be gone, say. */
const GONE_MS = 20_000;

/** How long the runtime tidies up after pools that are gone. */
const CALM_MS = 200;

const encoder = new TextEncoder();

/** Writes a line to stdout. */
export function print(line: string): void {
  Deno.stdout.writeSync(encoder.encode(`${line}\n`));
}

/** Says what is measured, and whether it is within what is allowed. */
export class Report {
  #failures = 0;

  /** How many figures were beyond their allowance. */
  get failures(): number {
    return this.#failures;
  }

  say(text: string): void {
    print(`  ${text}`);
  }

  /** Says a verdict. */
  verdict(isGood: boolean, text: string): void {
    if (!isGood) this.#failures++;
    this.say(`${isGood ? "ok" : "NOT OK"}: ${text}`);
  }

  /** Says a figure that may have at most a certain value. */
  atMost(what: string, actual: number, allowed: number, unit = ""): void {
    const text = `${what}: ${round(actual)}${unit}`;
    this.verdict(
      actual <= allowed,
      `${text} (allowed: ${round(allowed)}${unit})`,
    );
  }

  /** Says that two values are the same. */
  same(what: string, actual: unknown, expected: unknown): void {
    const isSame = actual === expected;
    const text = isSame ? "" : ` (expected: ${expected})`;
    this.verdict(isSame, `${what}: ${actual}${text}`);
  }
}

function round(value: number): number {
  return Math.abs(value) < 100 ? Number(value.toFixed(1)) : Math.round(value);
}

/** A count at this scale, and at least `least`. */
export function scaled(count: number, { scale }: Setup, least: number): number {
  return Math.max(least, Math.round(count * scale));
}

/** Options that both kinds of pools have. */
export interface PoolOptions {
  maxWorkers?: number;
  onWorkerDeath?: "replace" | "break";
  initializer?: () => void;
}

/** Makes a pool; its processes can have their memory collected. */
export function makePool(kind: Kind, options: PoolOptions): Executor {
  const context = { denoArgs: ["--v8-flags=--expose-gc"] };
  return kind === "thread"
    ? new ThreadPoolExecutor(options)
    : new ProcessPoolExecutor({ ...options, context });
}

/** Collects garbage until `isDone()`, or until it is plain that it never will be; returns which. */
export async function collectUntil(isDone: () => boolean): Promise<boolean> {
  const end = performance.now() + GONE_MS;
  for (let ms = 1; performance.now() < end; ms = Math.min(ms * 2, 100)) {
    await delay(ms); // nothing tells of the end of a thread
    // ORDER: before the look: what a `WeakRef` was asked for stays until the next turn.
    collect();
    if (isDone()) return true;
  }
  return false;
}

/**
 * Measures what there is without a pool, after pools have come and gone.
 *
 * @param warmUp Uses pools: the runtime has a part of its own started by the first.
 */
export async function measureBefore(
  warmUp: () => Promise<unknown>,
): Promise<Handles> {
  startSignals();
  await warmUp();
  await collectUntil(() => workerThreads() + children().length === 0);
  await delay(CALM_MS);
  return measure();
}

/** Has the runtime start its thread for signals, which else comes with one worker or another. */
function startSignals(): void {
  const ignore = () => {};
  Deno.addSignalListener("SIGUSR2", ignore);
  Deno.removeSignalListener("SIGUSR2", ignore);
}

/** The threads of Deno's workers, managers of processes among them. */
export function workerThreads(): number {
  return threads().filter((name) => name.startsWith("worker-")).length;
}

/** The workers of all pools of that kind; where there are processes, their managers are none. */
export function countWorkers(kind: Kind): number {
  return kind === "thread" ? workerThreads() : children().length;
}

/** Says what is held, and that no handle is left that was not there before. */
export async function checkGone(
  report: Report,
  before: Handles,
): Promise<void> {
  const started = performance.now();
  await collectUntil(() => leftOver(before).every(([, more]) => more <= 0));
  const ms = Math.round(performance.now() - started);
  report.say(`before: ${formatHandles(before)}`);
  report.say(`after:  ${formatHandles(measure())}; gone in ${ms} ms`);
  for (const [what, more] of leftOver(before)) report.atMost(what, more, 0);
}

/**
 * How many handles there are that were not there before. Threads of the runtime's own, which come
 * and end with the work, are none.
 */
function leftOver(before: Handles): [what: string, more: number][] {
  const { fds = 0, children = 0 } = measure();
  return [
    ["workers' threads left", workerThreads()],
    ["child processes left", children],
    ["file descriptors more than before", fds - (before.fds ?? 0)],
  ];
}

/** What this process and its children hold, in a line. */
export function formatAll(handles: Handles): string {
  const rss = children().reduce((sum, pid) => sum + rssOf(pid), 0);
  return `${formatHandles(handles)}${
    rss === 0 ? "" : ` of ${formatBytes(rss)}`
  }`;
}

/** Resident memory of a child, in bytes. */
export function rssOf(pid: number): number {
  const status = readStatus(`/proc/${pid}/status`);
  return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}

/** CPU time in milliseconds that a process has used with all its threads; known to 10 ms. */
export function cpuMillis(pid: number): number {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [user, system] = fields.slice(11, 13).map(Number);
  return (user + system) * 10; // Linux counts for programs in hundredths of a second
}

/** How often each thread of a process went to sleep, by the thread's number. */
export function sleeps(pid: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    const status = readStatus(`/proc/${pid}/task/${name}/status`);
    const match = /^voluntary_ctxt_switches:\s*(\d+)$/m.exec(status);
    if (match !== null) counts.set(name, Number(match[1]));
  }
  return counts;
}

/** How often the threads of a process that are still there went to sleep since then. */
export function sleepsSince(pid: number, before: Map<string, number>): number {
  let count = 0;
  for (const [thread, now] of sleeps(pid)) {
    count += now - (before.get(thread) ?? 0);
  }
  return count;
}

/** The state of a process or thread; nothing where it has ended. */
function readStatus(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    // ESRCH, which has no class of its own: ended between the file's opening and its reading
    const isGone = error instanceof Deno.errors.NotFound ||
      (error instanceof Error && error.message.includes("os error 3)"));
    if (!isGone) throw error;
    return "";
  }
}
