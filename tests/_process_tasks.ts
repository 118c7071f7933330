/**
 * What the tests of the process pool share: a test that ends with no process left, and tasks that
 * tell of their process. The tasks are self-contained, so that they travel by their source.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import type { Executor } from "../mod.ts";
import { type Form, FORMS, type Setting, testPool } from "./_harness.ts";

/** Registers a test that ends with its pools shut down, and with no process left. */
export function testProcesses(
  name: string,
  fn: (bench: Setting) => Promise<void>,
): void {
  testPool(name, async ({ gates, own }) => {
    const pools: Executor[] = [];
    try {
      await fn({
        gates,
        own(pool) {
          pools.push(pool);
          return own(pool);
        },
      });
    } finally {
      gates.openEvery();
      for (const pool of pools) await pool.shutdown({ cancelFutures: true });
    }
    assertEquals(childPids(), []);
  });
}

/** Registers a test of processes for each form. */
export function testProcessForms(
  name: string,
  fn: (bench: Setting & { form: Form }) => Promise<void>,
): void {
  for (const form of FORMS) {
    testProcesses(
      `${name} (${form.name})`,
      (bench) => fn({ ...bench, form }),
    );
  }
}

/** The processes that this one started and that are not gone, zombies included. */
export function childPids(): number[] {
  const { stdout } = new Deno.Command("pgrep", {
    args: ["-P", `${Deno.pid}`],
  }).outputSync();
  const text = new TextDecoder().decode(stdout).trim();
  return text === "" ? [] : text.split("\n").map(Number);
}

/** Whether there is a process of that number, a zombie included. */
export function isAlive(pid: number): boolean {
  try {
    Deno.kill(pid, "SIGCONT");
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** A task: the process that it runs in. */
export function pidOf(): number {
  return Deno.pid;
}

/** A task: what it was given, and the process that it ran in. */
export function withPid<T>(value: T): { value: T; pid: number } {
  return { value, pid: Deno.pid };
}

/** A task: leaves a note of its process; returns that. */
export function notePid(folder: string): number {
  Deno.writeTextFileSync(`${folder}/notes`, `${Deno.pid}\n`, { append: true });
  return Deno.pid;
}

/** How often each value comes. */
export function countEach<T>(values: Iterable<T>): Map<T, number> {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}
