/**
 * What the tests of executors share: gates that hold tasks, the two forms in which a program waits,
 * and a test that ends with every pool shut down and every worker gone.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { delay } from "@std/async";
import {
  type Executor,
  type Future,
  importTasks,
  type MapResults,
  type ShutdownOptions,
} from "../mod.ts";
import { liveWorkers } from "./_leaks.ts";

/** The tasks of `_tasks.ts`, by reference. */
export const tasks = importTasks<typeof import("./_tasks.ts")>(
  import.meta.resolve("./_tasks.ts"),
);

/** When a test that waits for ever is ended. */
export const TIMEOUT_MS = 60_000;

/** A folder whose files hold tasks and let them go; `hold` of `_tasks.ts` is the other side. */
export class Gates implements Disposable {
  /** What `hold` and `note` take as their first argument. */
  readonly folder: string = Deno.makeTempDirSync();

  /** Lets the task at `gate` go. */
  open(gate: string): void {
    Deno.writeTextFileSync(`${this.folder}/${gate}.open`, "");
  }

  /** Lets every task go. */
  openEvery(): void {
    this.open("every");
  }

  /** Lets the task at `gate` go from another thread, so that this one may block meanwhile. */
  openFromElsewhere(gate: string): Worker {
    const path = JSON.stringify(`${this.folder}/${gate}.open`);
    const source = `setTimeout(() => Deno.writeTextFileSync(${path}, ""), 30);`;
    const url = `data:text/javascript,${encodeURIComponent(source)}`;
    return new Worker(url, { type: "module" });
  }

  /** Tells whether a task has reached `gate`. */
  isReached(gate: string): boolean {
    return exists(`${this.folder}/${gate}.started`);
  }

  /** The names that `note` was called with, in that order. */
  notes(): string[] {
    const path = `${this.folder}/notes`;
    return exists(path)
      ? Deno.readTextFileSync(path).trimEnd().split("\n")
      : [];
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** How a program waits: by `await`, or by blocking its thread. */
export interface Form {
  readonly name: "awaited" | "blocked";
  result<T>(future: Future<T>): Promise<T>;
  exception(future: Future<unknown>): Promise<unknown>;
  shutdown(pool: Executor, options?: ShutdownOptions): Promise<void>;
  /** Goes through all values, up to an error. */
  collect<T>(results: MapResults<T>): Promise<Collected<T>>;
  /** Takes `count` values, then stops. */
  take<T>(results: MapResults<T>, count: number): Promise<T[]>;
  until(condition: () => boolean): Promise<void>;
}

/** The values of a `map` call, and what ended it. */
export interface Collected<T> {
  values: T[];
  /** What was thrown, in a list of one; empty where nothing was. */
  thrown: unknown[];
}

const awaited: Form = {
  name: "awaited",
  result: (future) => future.result(),
  exception: (future) => future.exception(),
  shutdown: (pool, options) => pool.shutdown(options),
  async collect<T>(results: MapResults<T>) {
    const collected: Collected<T> = { values: [], thrown: [] };
    try {
      for await (const value of results) collected.values.push(value);
    } catch (error) {
      collected.thrown.push(error);
    }
    return collected;
  },
  async take<T>(results: MapResults<T>, count: number) {
    const values: T[] = [];
    for await (const value of results) {
      if (values.push(value) === count) break;
    }
    return values;
  },
  async until(condition) {
    while (!condition()) await delay(1);
  },
};

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** Calls `fn` at once; what it throws is the promise's reason. */
function at<T>(fn: () => T): Promise<T> {
  return new Promise((resolve) => resolve(fn()));
}

const blocked: Form = {
  name: "blocked",
  result: (future) => at(() => future.resultSync()),
  exception: (future) => at(() => future.exceptionSync()),
  shutdown: (pool, options) => at(() => pool.shutdownSync(options)),
  collect: <T>(results: MapResults<T>) =>
    at(() => {
      const collected: Collected<T> = { values: [], thrown: [] };
      try {
        for (const value of results) collected.values.push(value);
      } catch (error) {
        collected.thrown.push(error);
      }
      return collected;
    }),
  take: <T>(results: MapResults<T>, count: number) =>
    at(() => {
      const values: T[] = [];
      for (const value of results) {
        if (values.push(value) === count) break;
      }
      return values;
    }),
  until: (condition) =>
    at(() => {
      while (!condition()) Atomics.wait(sleeper, 0, 0, 1);
    }),
};

/** Both forms. */
export const FORMS: readonly Form[] = [awaited, blocked];

/** What a test of an executor is given. */
export interface Setting {
  readonly gates: Gates;
  /** Has the pool shut down at the end, whatever comes of the test. */
  own<E extends Executor>(pool: E): E;
}

let isIgnoring = false;

/**
 * Registers what `register` does as ignored where `isIgnored`: the runner then reports each test by
 * its name. For tests of what is not there on every machine, a server say.
 */
export function ignoring(isIgnored: boolean, register: () => void): void {
  isIgnoring = isIgnored;
  try {
    register();
  } finally {
    isIgnoring = false;
  }
}

/**
 * Registers a test that ends with its pools shut down, and with no worker left.
 *
 * A test that leaves a worker behind in synchronous code opens its gate; that worker ends by itself.
 */
export function testPool(
  name: string,
  fn: (bench: Setting) => Promise<void>,
): void {
  // ignored where `ignoring` says why
  Deno.test(name, { timeout: TIMEOUT_MS, ignore: isIgnoring }, async () => {
    using gates = new Gates();
    const pools: Executor[] = [];
    try {
      await fn({
        gates,
        own(pool) {
          pools.push(pool);
          return pool;
        },
      });
    } finally {
      gates.openEvery();
      for (const pool of pools) await pool.shutdown({ cancelFutures: true });
    }
    await workersLeft();
    assertEquals(liveWorkers(), 0);
  });
}

/** Registers a test for each form. */
export function testForms(
  name: string,
  fn: (bench: Setting & { form: Form }) => Promise<void>,
): void {
  for (const form of FORMS) {
    testPool(`${name} (${form.name})`, (bench) => fn({ ...bench, form }));
  }
}

/** Waits for workers that were set aside, and end when their code returns: a while, not for ever. */
async function workersLeft(): Promise<void> {
  for (let i = 0; i < 20_000 && liveWorkers() > 0; i++) await delay(1);
}
