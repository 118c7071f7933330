/**
 * Functions named by module and export instead of held: see `importTasks`.
 *
 * @module
 */

import { REFUSAL } from "./_refusal.ts";

/**
 * Names a function that a worker is to import; made by `importTasks`.
 *
 * Python: what pickle makes of a function, a module and a name.
 *
 * @example Where it points
 * ```ts
 * import { importTasks } from "@concurrent/futures";
 * import { assertEquals } from "@std/assert";
 *
 * const tasks = importTasks<{ hash(text: string): string }>(
 *   "file:///project/tasks.ts",
 * );
 * assertEquals(String(tasks.hash), "hash of file:///project/tasks.ts");
 * ```
 *
 * @typeParam A The parameters of the function.
 * @typeParam R What it returns.
 */
export class TaskReference<A extends unknown[], R> {
  /** Absolute URL of the module. */
  readonly module: string;
  /** Name under which the module exports the function. */
  readonly export: string;
  /** Only a type: carries the parameters and the result. */
  declare readonly signature?: (...args: A) => R;

  /** Names the export `name` of `module`, an absolute URL. */
  constructor(module: string, name: string) {
    this.module = module;
    this.export = name;
  }

  /** Returns the name and the module, for messages. */
  toString(): string {
    return `${this.export} of ${this.module}`;
  }

  /** Why it is no argument: the name would arrive, not the function. */
  get [REFUSAL](): string {
    return "is a task reference";
  }
}

/**
 * The functions of a module as references; other exports are left out.
 *
 * @typeParam M The type of the module: `typeof import("./tasks.ts")`.
 */
export type Tasks<M> = {
  readonly [
    K in keyof M as M[K] extends (...args: never[]) => unknown ? K : never
  ]: M[K] extends (...args: infer A) => infer R ? TaskReference<A, R> : never;
};

/**
 * Returns typed references to the functions that a module exports, for
 * `submit` and `map`. A worker imports the module; this thread never does.
 *
 * The module is loaded by the worker that first runs one of its functions.
 * What goes wrong there, a missing file or export, is the error of that task.
 *
 * Python: none needed; pickle does it for every function.
 *
 * @example Tasks in a module of their own
 * ```ts
 * import { importTasks, ThreadPoolExecutor } from "@concurrent/futures";
 * import { assertEquals } from "@std/assert";
 *
 * const source = "export const shout = (text) => text.toUpperCase();";
 * const tasks = importTasks<{ shout(text: string): string }>(
 *   "data:text/javascript," + encodeURIComponent(source),
 * );
 * await using pool = new ThreadPoolExecutor();
 * assertEquals(await pool.submit(tasks.shout, "hello"), "HELLO");
 * ```
 *
 * @typeParam M The type of the module: `typeof import("./tasks.ts")`.
 * @param specifier Absolute URL of the module, from `import.meta.resolve`.
 * @returns An object with a reference for each function that the module exports.
 * @throws {TypeError} If `specifier` is no absolute URL.
 */
export function importTasks<M>(specifier: string | URL): Tasks<M> {
  const module = String(specifier);
  if (!URL.canParse(module)) {
    throw new TypeError(
      `Cannot import tasks as the module must be an absolute URL: received "${module}"; use import.meta.resolve("${module}")`,
    );
  }
  const references = new Map<string, TaskReference<never[], unknown>>();
  return new Proxy({} as Tasks<M>, {
    get(_, name) {
      if (typeof name !== "string") return undefined;
      let reference = references.get(name);
      if (reference === undefined) {
        reference = new TaskReference(module, name);
        references.set(name, reference);
      }
      return reference;
    },
  });
}
