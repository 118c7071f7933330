/**
 * Functions of each kind that `submit` takes, and the program that measures the
 * first `submit` of one.
 *
 * It imports nothing, so that a worker that imports it is given no more than
 * the task, and piscina can take it as its worker's file.
 *
 * ```sh
 * deno run --allow-read --allow-run --allow-sys bench/_travel_tasks.ts closure threads new
 * ```
 *
 * @module
 */

/** What the functions that use something of their place add. */
export const STEP = 3;

const table = [STEP];

/** Uses nothing but its parameter. */
export function alone(value: number): number {
  return value + 3;
}

/** Uses a name of the global object. */
export function withGlobal(value: number): number {
  return Math.max(value, 0) + 3;
}

/** Uses something of its module, and travels by the module and its name. */
export function byReference(value: number): number {
  return value + table[0];
}

/** Makes a closure. */
export function makeAdder(step: number): (value: number) => number {
  return (value) => value + step;
}

/** Makes closures that share a variable which one of them changes. */
export function makeCounting(): {
  add: (value: number) => number;
  raise: () => void;
} {
  let count = STEP - 1; // a name that no other scope of this module has
  return { add: (value) => value + count, raise: () => void count++ };
}

/** Makes an arrow function that uses the `this` of its place. */
export function makeArrowWithThis(step: number): (value: number) => number {
  return new class {
    step = step;
    make() {
      return (value: number) => value + this.step;
    }
  }().make();
}

/** What a closure captures, as an argument: how other pools are given it. */
export function add({ value, step }: { value: number; step: number }): number {
  return value + step;
}

/** A chunk of `add`s. */
export function addAll(
  { values, step }: { values: number[]; step: number },
): number[] {
  return values.map((value) => value + step);
}

/** The kinds of functions whose first `submit` is measured. */
export const KINDS = [
  "task reference",
  "self-contained",
  "with a global name",
  "by reference",
  "closure",
  "arrow with `this`",
] as const;

/** One of `KINDS`. */
export type Kind = typeof KINDS[number];

/** Milliseconds of the first `submit` of a function, in a process of its own. */
export interface First {
  /** Of the call. */
  readonly call: number;
  /** From the call to the result. */
  readonly result: number;
}

/** @param state `new`: no worker runs yet; `warm`: one has run a built-in. */
async function measureHere(
  kind: Kind,
  workers: string,
  state: string,
): Promise<First> {
  const { importTasks, ProcessPoolExecutor, ThreadPoolExecutor } = await import(
    "../mod.ts"
  );
  const Pool = workers === "threads" ? ThreadPoolExecutor : ProcessPoolExecutor;
  const { alone: reference } = importTasks<{ alone: typeof alone }>(
    import.meta.url,
  );
  const make = {
    "task reference": () => reference,
    "self-contained": () => alone,
    "with a global name": () => withGlobal,
    "by reference": () => byReference,
    "closure": () => makeAdder(STEP),
    "arrow with `this`": () => makeArrowWithThis(STEP),
  }[kind];
  await using pool = new Pool({ maxWorkers: 1 });
  if (state === "warm") await pool.submit(Math.abs, -1);
  const fn = make();
  const start = performance.now();
  const future = pool.submit(fn, 7);
  const called = performance.now();
  const value = await future;
  const done = performance.now();
  if (value !== 7 + STEP) throw new Error(`the result must be 10: ${value}`);
  return { call: called - start, result: done - start };
}

if (import.meta.main) {
  const [kind, workers, state] = Deno.args;
  const first = await measureHere(kind as Kind, workers, state);
  // deno-lint-ignore no-console
  console.log(JSON.stringify(first));
}
