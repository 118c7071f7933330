// deno-lint-ignore-file no-console -- an example prints
/**
 * Runs formulas that nobody has read, in processes that may do nothing.
 *
 * Python: no such example, as its processes may do whatever the program may.
 * Here a process has no permissions and half a second for each formula: what asks
 * for a file is refused, what never ends is killed, and what ends its process ends
 * nothing else. A thread has the permissions of the program, and in a loop it
 * could not be stopped.
 *
 * ```sh
 * deno run --allow-read --allow-run examples/sandbox.ts
 * ```
 *
 * It prints, with more behind the names of the errors:
 *
 * ```text
 * 6 * 7: 42
 * Deno.readTextFileSync("deno.json"): NotCapable
 * for (;;);: TimeoutError
 * Deno.exit(0): BrokenProcessPool
 * [3, 1, 2].sort().join(): 1,2,3
 * ```
 *
 * @module
 */

import { ProcessPoolExecutor } from "@concurrent/futures";

const MAX_RUN_MS = 500;

/** What users sent in. */
const FORMULAS = [
  "6 * 7",
  'Deno.readTextFileSync("deno.json")',
  "for (;;);",
  "Deno.exit(0)",
  "[3, 1, 2].sort().join()",
];

/** Returns the value of a formula, as text: it might be anything. */
function evaluate(formula: string): string {
  return String((0, eval)(formula));
}

/** Runs the example. */
export async function main(): Promise<void> {
  await using executor = new ProcessPoolExecutor({
    context: {
      permissions: "none",
      env: {},
      clearEnv: true,
    },
    maxTasksPerChild: 1, // what a formula leaves behind is gone with its process
    onWorkerDeath: "replace",
  });
  const limits = { timeout: MAX_RUN_MS };
  const futures = FORMULAS.map((formula) =>
    executor.submitWith(limits, evaluate, formula)
  );
  for (const [i, future] of futures.entries()) {
    const error = await future.exception();
    const outcome = error === null ? await future : (error as Error).name;
    console.log(`${FORMULAS[i]}: ${outcome}`);
  }
}

if (import.meta.main) await main();
