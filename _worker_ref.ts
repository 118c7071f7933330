/**
 * Lets a Worker keep the process alive, or not.
 *
 * Deno's `Worker` has no public `ref` and `unref`. It has one method under a
 * nameless symbol that does it, by which the Worker of `node:worker_threads`
 * offers both in public (tried on Deno 2.9.6, 2026-11).
 *
 * @module
 */

type RefMethod = (this: Worker, isRef: boolean) => void;

/** Makes `worker` keep the process alive, or not; calls must alternate, the first with `false`. */
export function setWorkerRef(worker: Worker, isRef: boolean): void {
  refMethod(worker).call(worker, isRef);
}

let found: RefMethod | undefined;

function refMethod(worker: Worker): RefMethod {
  return found ??= findRefMethod(worker);
}

function findRefMethod(worker: Worker): RefMethod {
  for (
    let object: object | null = worker;
    object !== null;
    object = Object.getPrototypeOf(object)
  ) {
    for (const symbol of Object.getOwnPropertySymbols(object)) {
      const value: unknown =
        (worker as unknown as Record<symbol, unknown>)[symbol];
      if (!symbol.description && typeof value === "function") {
        return value as RefMethod;
      }
    }
  }
  throw new Error(
    `Cannot let the program end beside idle workers as this Deno has no way to unref a Worker: version is ${Deno.version.deno}`,
  );
}
