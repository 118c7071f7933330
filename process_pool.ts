/**
 * `ProcessPoolExecutor`: a pool of processes.
 *
 * ```ts
 * import { ProcessPoolExecutor } from "@concurrent/futures/process_pool";
 * import { assertEquals } from "@std/assert";
 *
 * await using pool = new ProcessPoolExecutor({ maxWorkers: 1 });
 * assertEquals(await pool.submit(Math.pow, 2, 10), 1024);
 * ```
 *
 * @module
 */

import { Dispatcher } from "./_dispatcher.ts";
import { makeObservers } from "./_observers.ts";
import { checkChoice, checkCount, checkOptions } from "./_options.ts";
import {
  checkNotImporting,
  makeInitializer,
  PoolExecutor,
} from "./_pool_executor.ts";
import { makeCommand } from "./_process_command.ts";
import { checkContext, type ProcessContext } from "./_process_context.ts";
import { ProcessManager } from "./_process_link.ts";
import { ENTRY, LOADED_LATER } from "./_process_modules.ts";
import { checkSize } from "./_process_protocol.ts";
import { BrokenProcessPool } from "./errors.ts";
import type { Callable } from "./executor.ts";
import type { Trace } from "./trace.ts";

export type { ProcessContext };

/** Options of a process pool. */
export interface ProcessPoolOptions {
  /** Most workers, whole and `>= 1`. Default: `navigator.hardwareConcurrency`. */
  maxWorkers?: number;
  /** How workers are launched: permissions, environment, flags. Default: as this program was. */
  context?: ProcessContext;
  /** Called in each worker before its first task; if it fails, the pool is broken. */
  initializer?: Callable<never[], unknown>;
  /** Arguments of `initializer`; copied now. */
  initArgs?: unknown[];
  /** A worker is replaced after so many tasks, whole and `>= 1`; a chunk of `map` is one. Default: never. */
  maxTasksPerChild?: number;
  /**
   * `"break"`, the default, fails all that is pending when a worker dies;
   * `"replace"` fails the task that ran on it and starts another worker.
   */
  onWorkerDeath?: "break" | "replace";
  /** Takes note of what happens when, to be looked at in Perfetto or Chrome. Default: none. */
  trace?: Trace;
}

/** Numbers the pools, for the names of their workers. */
let pools = 0;

/**
 * Runs calls in processes: Deno's own, started when first needed.
 *
 * A process has memory, permissions and an end of its own: what runs there can
 * be killed, may run out of memory or call `Deno.exit`, and takes nothing else
 * along. A call costs about three times as much as in a thread.
 *
 * A worker's stdin is empty to its tasks, as its stdin carries the calls. Who
 * reads the descriptor 0 itself, by `node:fs` or `/dev/stdin`, or has
 * `node:child_process` pass it on by `"inherit"`, would take them away: give a
 * process of `node:child_process` a stdin of its own.
 *
 * A terminal sends Ctrl-C (`SIGINT`) and its end (`SIGHUP`) to the workers as
 * well. They take no notice: the program decides. Without a listener it ends,
 * and they end with it, whatever they do. With one (`Deno.addSignalListener`)
 * what runs goes on, until `shutdown` or the program ends it. A listener is not
 * called while its thread blocks. Who sends `SIGTERM` to the workers too ends
 * them: systemd (set `KillMode=mixed`), timeout(1).
 *
 * Python: `concurrent.futures.ProcessPoolExecutor(max_workers, mp_context,
 * initializer, initargs, max_tasks_per_child)`. Differs: closures travel too; a
 * dead worker can be replaced instead of breaking the pool; Ctrl-C raises
 * nothing in a worker.
 *
 * @example A worker that dies takes nothing along
 * ```ts
 * import { BrokenProcessPool, ProcessPoolExecutor } from "@concurrent/futures";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * await using pool = new ProcessPoolExecutor({
 *   maxWorkers: 2,
 *   onWorkerDeath: "replace",
 * });
 * const lost = pool.submit(() => Deno.exit(3));
 * const kept = pool.map((n: number) => n ** 2, [1, 2, 3]);
 * await assertRejects(() => lost.result(), BrokenProcessPool, "code 3");
 * assertEquals(await Array.fromAsync(kept), [1, 4, 9]);
 * ```
 *
 * @example When told to stop, finish what runs and cancel what waits
 * ```ts
 * import { ProcessPoolExecutor } from "@concurrent/futures";
 * import { assert } from "@std/assert";
 *
 * const pool = new ProcessPoolExecutor();
 * const { promise: isStopped, resolve } = Promise.withResolvers<void>();
 * const stop = () => resolve(pool.shutdown({ cancelFutures: true }));
 * const signals = ["SIGINT", "SIGTERM"] as const; // Ctrl-C, `docker stop`
 * for (const signal of signals) Deno.addSignalListener(signal, stop);
 *
 * const square = (n: number) => n ** 2;
 * const futures = [1, 2, 3, 4, 5].map((n) => pool.submit(square, n));
 * Deno.kill(Deno.pid, "SIGTERM"); // stands for somebody else
 * await isStopped;
 * assert(futures.every((future) => future.done()));
 * for (const signal of signals) Deno.removeSignalListener(signal, stop);
 * ```
 */
export class ProcessPoolExecutor extends PoolExecutor {
  readonly #dispatcher: Dispatcher;
  readonly #manager: ProcessManager;

  /**
   * Makes a pool; no worker is started yet.
   *
   * @param options See `ProcessPoolOptions`.
   * @throws {RangeError} If `maxWorkers` or `maxTasksPerChild` is below 1 or not
   * whole, `onWorkerDeath` or `context.permissions` is unknown, or an item of a
   * permission cannot be named: it is empty, or has a comma.
   * @throws {TypeError} If an option or a part of `context` has a wrong type.
   * @throws {RuntimeError} If a worker is importing the module for a task, which
   * does its own work as it is imported: see `import.meta.main`.
   * @throws {SerializationError} If `initializer` or `initArgs` cannot travel.
   */
  constructor(options?: ProcessPoolOptions) {
    checkNotImporting();
    const checked = checkOptions(options);
    const maxWorkers = checkCount("maxWorkers", checked.maxWorkers) ??
      navigator.hardwareConcurrency;
    const maxTasks = checkCount("maxTasksPerChild", checked.maxTasksPerChild) ??
      Infinity;
    const onWorkerDeath = checkChoice("onWorkerDeath", checked.onWorkerDeath, [
      "break",
      "replace",
    ]);
    const context = checkContext(checked.context);
    const initializer = makeInitializer(checked, false);
    const prefix = `ProcessPoolExecutor-${pools++}`;
    const manager = new ProcessManager(() => ({
      command: makeCommand(context, ENTRY, LOADED_LATER),
      initializer,
      maxTasks,
    }));
    const dispatcher = new Dispatcher({
      observers: makeObservers(prefix, checked.trace),
      maxWorkers,
      onWorkerDeath,
      Broken: BrokenProcessPool,
      start: (start) => manager.start(start, `${prefix}_${start.number}`),
      onEnded: () => manager.end(),
    });
    super(dispatcher, { canMove: false, checkSize });
    this.#dispatcher = dispatcher;
    this.#manager = manager;
  }

  /**
   * Sends `SIGTERM` to every worker; what was pending or running fails with
   * `BrokenProcessPool`, and the pool takes no more calls.
   *
   * A worker that handles `SIGTERM` ends when its handler ends it; `shutdown`
   * waits for that for a second or two, then kills it.
   *
   * Python: `ProcessPoolExecutor.terminate_workers()`, new in 3.14.
   *
   * @example Give up
   * ```ts
   * import { BrokenProcessPool, ProcessPoolExecutor } from "@concurrent/futures";
   * import { assertRejects } from "@std/assert";
   *
   * await using pool = new ProcessPoolExecutor();
   * const endless = pool.submit(() => {
   *   for (;;);
   * });
   * pool.terminateWorkers();
   * await assertRejects(() => endless.result(), BrokenProcessPool);
   * ```
   */
  terminateWorkers(): void {
    this.#end("SIGTERM", "terminateWorkers() was called");
  }

  /**
   * Sends `SIGKILL` to every worker; what was pending or running fails with
   * `BrokenProcessPool`, and the pool takes no more calls.
   *
   * Python: `ProcessPoolExecutor.kill_workers()`, new in 3.14.
   *
   * @example Give up for good
   * ```ts
   * import { BrokenProcessPool, ProcessPoolExecutor } from "@concurrent/futures";
   * import { assertRejects } from "@std/assert";
   *
   * await using pool = new ProcessPoolExecutor();
   * const endless = pool.submit(() => {
   *   for (;;);
   * });
   * pool.killWorkers();
   * await assertRejects(() => endless.result(), BrokenProcessPool);
   * ```
   */
  killWorkers(): void {
    this.#end("SIGKILL", "killWorkers() was called");
  }

  #end(signal: Deno.Signal, why: string): void {
    // ORDER: the signal first, as what follows kills those that run a task.
    this.#manager.send({ signal });
    this.#dispatcher.breakUp(why);
  }
}
