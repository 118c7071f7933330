/**
 * Processes that die, in every way that there is, and who is left of them.
 *
 * The tasks are self-contained, as those of `_tasks.ts`. Files are the gates, since nothing else is
 * seen from everywhere.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import type { Executor } from "../mod.ts";
import { type Form, type Setting, testForms } from "./_harness.ts";

/** How a worker's end comes about. */
export type Death =
  | "Deno.exit(0)"
  | "Deno.exit(3)"
  | "process.exit(3)"
  | "SIGKILL"
  | "SIGTERM"
  | "closed stdout"
  | "stray error"
  | "stray rejection"
  | "heap";

/** Ends its process; the promise stays pending, as there is nobody left to settle it. */
export function die(how: Death): Promise<never> {
  switch (how) {
    case "Deno.exit(0)":
      Deno.exit(0);
      break;
    case "Deno.exit(3)":
      Deno.exit(3);
      break;
    case "process.exit(3)":
      (globalThis as unknown as { process: { exit(code: number): void } })
        .process.exit(3);
      break;
    case "SIGKILL":
    case "SIGTERM":
      Deno.kill(Deno.pid, how);
      for (;;); // until it has come
    case "closed stdout":
      Deno.stdout.close();
      return Promise.resolve() as Promise<never>; // dies as it tells of it
    case "stray error":
      setTimeout(() => {
        throw new RangeError("stray");
      });
      break;
    case "stray rejection":
      Promise.reject(new RangeError("stray"));
      break;
    case "heap": {
      const hoard: unknown[] = [];
      for (;;) hoard.push(new Array(1_000).fill(0));
    }
  }
  return new Promise(() => {});
}

/** Does as `die`, after the event loop has turned. */
export async function dieAwaiting(dieSource: string, how: Death) {
  await new Promise((resolve) => setTimeout(resolve, 1));
  await (0, eval)(`(${dieSource})`)(how);
}

/** Has the process die when it reads a map with a "poison" in it. */
export function spoilMaps(dieSource: string, how: Death): void {
  const die = (0, eval)(`(${dieSource})`);
  const { set } = Map.prototype;
  Map.prototype.set = function (this: Map<unknown, unknown>, key, value) {
    if (key === "poison") die(how);
    return set.call(this, key, value);
  };
}

/** Returns a value with a part that ends the process while it is made ready to travel. */
export function returnDeadly(
  dieSource: string,
  how: Death,
): { readonly part: number } {
  return {
    get part() {
      (0, eval)(`(${dieSource})`)(how);
      return 1;
    },
  };
}

/** Returns its process id at once, and ends the process by a timer once the gate is open. */
export function dieAtGate(
  folder: string,
  gate: string,
  dieSource: string,
  how: Death,
): number {
  const timer = setInterval(() => {
    try {
      Deno.statSync(`${folder}/${gate}.open`);
    } catch {
      return;
    }
    clearInterval(timer);
    (0, eval)(`(${dieSource})`)(how);
  }, 1);
  return Deno.pid;
}

/** Returns its process id. */
export function ownPid(): number {
  return Deno.pid;
}

/** Returns its process id, and handles SIGTERM from now on by doing nothing. */
export function ignoreSigterm(): number {
  Deno.addSignalListener("SIGTERM", () => {});
  return Deno.pid;
}

// --------------------------------------------------------------- processes

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly isDead: boolean;
  readonly command: string;
}

function processes(): Process[] {
  const { stdout } = new Deno.Command("ps", {
    args: ["-A", "-o", "pid=,ppid=,stat=,comm="],
  }).outputSync();
  const lines = new TextDecoder().decode(stdout).trim().split("\n");
  return lines.map((line) => {
    const [pid, parent, state, command] = line.trim().split(/\s+/);
    return {
      pid: Number(pid),
      parent: Number(parent),
      isDead: state.startsWith("Z"), // nobody has asked for its exit code
      command,
    };
  });
}

/** The processes that this program has started and that have not ended, by their ids. */
export function childPids(): number[] {
  return processes().filter(({ parent, isDead, command }) =>
    parent === Deno.pid && !isDead && command !== "ps"
  ).map(({ pid }) => pid);
}

/** Which of these processes have not ended. */
export function alive(pids: readonly number[]): number[] {
  return processes().filter(({ pid, isDead }) => pids.includes(pid) && !isDead)
    .map(({ pid }) => pid);
}

/** How often processes that end by themselves are looked for: for some ten seconds. */
const MOST_LOOKS = 800;

/** Asserts that these processes end by themselves. */
export async function assertEnd(
  pids: readonly number[],
  form: Form,
): Promise<void> {
  let left: number[] = [];
  let looks = 0;
  await form.until(() => {
    left = alive(pids);
    return left.length === 0 || ++looks > MOST_LOOKS;
  });
  assertEquals(left, []);
}

/** Waits until a process has ended. */
export async function untilDead(pid: number, form: Form): Promise<void> {
  await form.until(() => alive([pid]).length === 0);
}

/** Registers a test for each form, after which no pool, no worker and no child process is left. */
export function testProcesses(
  name: string,
  fn: (bench: Setting & { form: Form }) => Promise<void>,
): void {
  testForms(name, async (bench) => {
    const pools: Executor[] = [];
    const own = <E extends Executor>(pool: E): E => {
      pools.push(pool);
      return bench.own(pool);
    };
    await fn({ ...bench, own });
    bench.gates.openEvery();
    for (const pool of pools) {
      await bench.form.shutdown(pool, { cancelFutures: true });
    }
    assertEquals(childPids(), []);
  });
}
