/**
 * What the pools have in common: calls go through a dispatcher.
 *
 * @module
 */

import {
  BoundCallable,
  checkCallable,
  isCapturing,
  type Travel,
  travelOf,
} from "./_callable.ts";
import {
  type CapturedValue,
  encodeArguments,
  encodeCall,
  encodeCaptured,
  encodeColumns,
  type Payload,
} from "./_codec.ts";
import type { Dispatcher } from "./_dispatcher.ts";
import { access } from "./_future_access.ts";
import {
  checkArray,
  checkFlag,
  checkOptions,
  checkSignal,
  checkTimeout,
} from "./_options.ts";
import { realm } from "./_realm.ts";
import type { RichOptions } from "./_rich.ts";
import type { TaskRequest } from "./_task.ts";
import type { Initializer } from "./_task_runner.ts";
import { takeOver } from "./_transferable.ts";
import { RuntimeError, SerializationError } from "./errors.ts";
import {
  type Callable,
  type ChunkOutcome,
  Executor,
  type ShutdownOptions,
  type SubmitOptions,
  TaskReference,
} from "./executor.ts";
import { Future } from "./future.ts";
import type { ExecutorStats } from "./stats.ts";

/** Most that a function may have captured for `map`. */
const MOST_BOUND_BYTES = 1 << 28;

/** Ends the workers of pools that were dropped without `shutdown`. */
const dropped = new FinalizationRegistry<Dispatcher>((dispatcher) =>
  dispatcher.shutdown(false)
);

/** How calls reach the workers of a pool. */
export interface Way {
  /** Whether messages can carry objects to the workers. */
  readonly canMove: boolean;
  /** Throws where a payload is too large for the way there. */
  checkSize?(payload: Payload, what: string): void;
  /** Decides how a callable travels; by default as `_callable.ts` does. */
  travelOf?(callable: object): Travel;
  /** Adds to the payload of a call what else has to go with it. */
  complete?(payload: Payload, request: TaskRequest | undefined): Payload;
  /** Called with the future of each task, at once after `complete`. */
  onSubmitted?(future: Future<unknown>): void;
}

/**
 * An executor with workers of its own.
 *
 * @internal
 */
export abstract class PoolExecutor extends Executor {
  readonly #dispatcher: Dispatcher;
  readonly #way: Way;
  readonly #rich: RichOptions;

  protected constructor(dispatcher: Dispatcher, way: Way) {
    super();
    this.#dispatcher = dispatcher;
    this.#way = way;
    this.#rich = { canMove: way.canMove };
    dropped.register(this, dispatcher);
  }

  override submit<A extends unknown[], R>(
    fn: Callable<A, R>,
    ...args: A
  ): Future<Awaited<R>> {
    return this.#run<Awaited<R>>(fn, undefined, args);
  }

  override submitWith<A extends unknown[], R>(
    options: SubmitOptions,
    fn: Callable<A, R>,
    ...args: A
  ): Future<Awaited<R>> {
    const request = readRequest(options, 0);
    const transfer = checkArray<Transferable>("transfer", options.transfer);
    return this.#run<Awaited<R>>(fn, request, args, transfer);
  }

  protected override submitChunk<A extends unknown[], R>(
    options: SubmitOptions,
    fn: Callable<A, R>,
    columns: unknown[][],
  ): Future<ChunkOutcome<Awaited<R>>> {
    const request = readRequest(options, columns[0].length);
    try {
      const payload = encodeColumns(columns, this.#rich);
      return this.#send(fn, request, () => payload);
    } catch (error) {
      if (!(error instanceof SerializationError)) throw error;
      return this.#runSendable(fn, request, columns);
    }
  }

  /** Runs the rows of a chunk before the one that cannot travel. */
  #runSendable<R>(
    fn: unknown,
    request: TaskRequest,
    columns: unknown[][],
  ): Future<ChunkOutcome<R>> {
    const rows = columns[0].length;
    for (let row = 0; row < rows; row++) {
      try {
        encodeArguments(columns.map((column) => column[row]), this.#rich);
      } catch (error) {
        if (row === 0) return this.#refuse(fn, error);
        const before = columns.map((column) => column.slice(0, row));
        return this.#send(
          fn,
          { ...request, rows: row, afterwards: [error] },
          () => encodeColumns(before, this.#rich),
        );
      }
    }
    // Each row can travel, but not all of them at once.
    return this.#send(fn, request, () => encodeColumns(columns, this.#rich));
  }

  override shutdown(options?: ShutdownOptions): Promise<void> {
    return this.#shutDown(options) ? this.#dispatcher.ended : Promise.resolve();
  }

  override shutdownSync(options?: ShutdownOptions): void {
    if (this.#shutDown(options)) this.#dispatcher.blockUntilEnded();
  }

  /**
   * Tells what the pool has done so far, and does now: its tasks, its workers,
   * how long tasks waited and ran.
   *
   * Counts are exact. Times are those of all tasks, as long as they are no more
   * than a thousand at once and 5,000 a second; of more, some are picked by lot,
   * each counts for those since the last one, and after a burst up to 31 go by.
   * Percentiles are right within 1 %. Takes longer where much is pending: 2 ms
   * for 100,000 tasks.
   *
   * Python: none.
   *
   * @example How busy is it?
   * ```ts
   * import { ThreadPoolExecutor } from "@concurrent/futures";
   * import { assertEquals } from "@std/assert";
   *
   * await using pool = new ThreadPoolExecutor({ maxWorkers: 2 });
   * await Array.fromAsync(pool.map(Math.sqrt, [1, 4, 9]));
   * const { tasks, workers, runTime } = pool.stats();
   * assertEquals([tasks.finished, tasks.queued, workers.busy], [3, 0, 0]);
   * console.log(`half of the tasks took ${runTime.p50} ms or less`);
   * ```
   *
   * @returns Plain data, as of now.
   */
  stats(): ExecutorStats {
    return this.#dispatcher.stats();
  }

  protected override checkOpen(): void {
    checkNotImporting();
    this.#dispatcher.checkOpen();
  }

  /** Shuts down; returns whether the caller wants to wait for the end. */
  #shutDown(options: ShutdownOptions | undefined): boolean {
    const { wait, cancelFutures } = checkOptions(options);
    const isWaiting = checkFlag("wait", wait, true);
    this.#dispatcher.shutdown(checkFlag("cancelFutures", cancelFutures, false));
    return isWaiting;
  }

  protected override bind<A extends unknown[], R>(
    fn: Callable<A, R>,
  ): Callable<A, R> {
    return this.#bind(fn) as Callable<A, R>;
  }

  #travelOf(callable: object): Travel {
    return this.#way.travelOf?.(callable) ?? travelOf(callable);
  }

  #complete(payload: Payload, request: TaskRequest | undefined): Payload {
    this.#way.checkSize?.(payload, "the arguments");
    return this.#way.complete?.(payload, request) ?? payload;
  }

  #bind(fn: object): unknown {
    try {
      const travel = this.#travelOf(fn);
      if (!isCapturing(fn)) return fn;
      const { name, captured } = travel;
      if (captured === undefined) return new BoundCallable(travel);
      const values = encodeCaptured(name, captured, this.#rich);
      checkBound(name, values);
      return new BoundCallable(travel, values);
    } catch (error) {
      if (error instanceof SerializationError) return new BoundCallable(error);
      throw error;
    }
  }

  #run<T>(
    fn: unknown,
    request: TaskRequest | undefined,
    args: unknown[],
    transfer?: Transferable[],
  ): Future<T> {
    return this.#send(
      fn,
      request,
      ({ name, captured }) =>
        transfer === undefined || transfer.length === 0
          ? encode(name, captured, args, this.#rich)
          : this.#encodeMoving(name, captured, args, transfer),
    );
  }

  #send<T>(
    fn: unknown,
    request: TaskRequest | undefined,
    encode: (travel: Travel) => Payload,
  ): Future<T> {
    const callable = checkCallable(fn);
    this.checkOpen();
    if (request?.signal?.aborted) {
      const { reason } = request.signal;
      this.#dispatcher.countRefused(nameOf(callable), "cancelled", reason);
      return cancelled(reason);
    }
    try {
      const travel = this.#travelOf(callable);
      const payload = this.#complete(encode(travel), request);
      // A getter in an argument may have shut the pool down.
      this.checkOpen();
      const registration = this.#dispatcher.callables.register(travel);
      const future = this.#dispatcher.submit(registration, payload, request);
      this.#way.onSubmitted?.(future);
      return future as Future<T>;
    } catch (error) {
      // What cannot travel fails its own future; anything else is no business of it.
      if (error instanceof SerializationError) {
        return this.#refuse(callable, error);
      }
      throw error;
    }
  }

  /** What cannot travel is a task that has failed. */
  #refuse<T>(fn: unknown, error: unknown): Future<T> {
    this.#dispatcher.countRefused(nameOf(fn), "failed", error);
    return failed(error);
  }

  #encodeMoving(
    name: string,
    captured: readonly CapturedValue[] | undefined,
    args: unknown[],
    transfer: Transferable[],
  ): Payload {
    if (!this.#rich.canMove) {
      throw new SerializationError(
        'Cannot move what "transfer" names as nothing can be moved to another process: leave it out to have it copied, or use a ThreadPoolExecutor',
      );
    }
    const payload = encode(name, captured, args, {
      ...this.#rich,
      transfer: new Set<unknown>(transfer),
    });
    try {
      return { ...payload, moved: takeOver(payload.moved, transfer) };
    } catch (error) {
      throw new SerializationError(
        `Cannot move what "transfer" names: ${(error as Error).message}`,
        { cause: error },
      );
    }
  }
}

/**
 * Throws where a copy for all calls of a `map` would be too large for text.
 *
 * @throws {SerializationError} If it is.
 */
function checkBound(name: string, { text, buffers }: Payload): void {
  let bytes = text.length;
  for (const buffer of buffers) bytes += buffer.byteLength;
  if (bytes <= MOST_BOUND_BYTES) return;
  throw new SerializationError(
    `Cannot send the function "${name}" to map as what it has captured must have at most ${
      MOST_BOUND_BYTES >> 20
    } MB: it has ${
      bytes >> 20
    }; share it by a SharedArrayBuffer, or have an initializer load it`,
  );
}

function encode(
  name: string,
  captured: readonly CapturedValue[] | undefined,
  args: readonly unknown[],
  options: RichOptions,
): Payload {
  return captured === undefined
    ? encodeArguments(args, options)
    : encodeCall(name, captured, args, options);
}

function readRequest(options: SubmitOptions, rows: number): TaskRequest {
  const { signal, timeout } = checkOptions(options);
  return {
    rows,
    signal: checkSignal(signal),
    timeoutMs: checkTimeout(timeout),
  };
}

function cancelled<T>(reason: unknown): Future<T> {
  const future = new Future<T>();
  access.cancelWith(future, reason);
  return future;
}

/** What a callable is called, also where it cannot travel; never throws. */
function nameOf(fn: unknown): string {
  try {
    const name = fn instanceof TaskReference
      ? fn.export
      : (fn as { name?: unknown }).name;
    return typeof name === "string" && name !== "" ? name : "anonymous";
  } catch {
    return "anonymous"; // a getter, or a revoked proxy
  }
}

function failed<T>(error: unknown): Future<T> {
  const future = new Future<T>();
  future.setException(error);
  return future;
}

/**
 * Refuses a pool in a module that a worker is importing for a task: it would
 * do in every worker what the script means to do once, without end.
 *
 * @throws {RuntimeError} If such an import is under way.
 */
export function checkNotImporting(): void {
  const [module] = realm.importing;
  if (module === undefined) return;
  throw new RuntimeError(
    `Cannot use a pool while a worker imports ${module} for a task: ` +
      "that module does its own work when it is imported; put that work behind `if (import.meta.main)`",
  );
}

/** Makes the initializer that the options of a pool name ready to travel, as `travel` says. */
export function makeInitializer(
  options: { initializer?: Callable<never[], unknown>; initArgs?: unknown[] },
  canMove: boolean,
  travel: (callable: object) => Travel = travelOf,
): Initializer | undefined {
  const initArgs = checkArray("initArgs", options.initArgs) ?? [];
  if (options.initializer === undefined) return undefined;
  const callable = checkCallable(
    options.initializer,
    'Cannot take the option as "initializer"',
  );
  const { name, text, captured } = travel(callable);
  return {
    definition: text,
    payload: encode(name, captured, initArgs, { canMove }),
  };
}
