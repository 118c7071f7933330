/**
 * `NatsExecutor`: runs calls on other machines, through a stream of NATS
 * JetStream. The nodes run `@concurrent/futures/nats-worker`.
 *
 * ```ts
 * import { importTasks } from "@concurrent/futures";
 * import { NatsExecutor } from "@concurrent/futures/nats";
 *
 * const tasks = importTasks<{ thumbnail(path: string): string }>(
 *   new URL("tasks.ts", import.meta.url),
 * );
 *
 * async function main(files: string[]): Promise<void> {
 *   await using pool = await NatsExecutor.connect({
 *     servers: "nats://queue.example:4222",
 *     stream: "thumbnails",
 *   });
 *   for await (const path of pool.map(tasks.thumbnail, files)) {
 *     console.log(path);
 *   }
 * }
 *
 * await main(Deno.args).catch(console.error); // there is no such server
 * ```
 *
 * @module
 */

import { referenceOf, type Travel, travelOf } from "./_callable.ts";
import { encodeArguments } from "./_codec.ts";
import type { Definition } from "./_definition.ts";
import { Dispatcher } from "./_dispatcher.ts";
import {
  checkConnection,
  type NatsConnectionOptions,
  type NatsTlsOptions,
} from "./_nats_connection.ts";
import { NatsManager } from "./_nats_stream_link.ts";
import { ATTACH } from "./_nats_manager_protocol.ts";
import { addLabel } from "./_nats_parcel.ts";
import { isStreamName } from "./_nats_protocol.ts";
import { makeObservers } from "./_observers.ts";
import {
  checkChoice,
  checkCount,
  checkFlag,
  checkOptions,
  checkString,
} from "./_options.ts";
import {
  checkNotImporting,
  makeInitializer,
  PoolExecutor,
} from "./_pool_executor.ts";
import { BrokenExecutor } from "./errors.ts";
import type { Callable } from "./executor.ts";
import type { Future } from "./future.ts";
import type { Trace } from "./trace.ts";

export type { NatsConnectionOptions, NatsTlsOptions };

/** Options of `NatsExecutor.connect`: those here, and those of the connection. */
export interface NatsOptions extends NatsConnectionOptions {
  /**
   * The stream that holds the tasks, which callers and nodes share: 1 to 64 of
   * `A-Z`, `a-z`, `0-9`, `_` and `-`. It is made where it is missing.
   */
  stream: string;
  /**
   * Most tasks of this executor that are with the server at once, whole and
   * `>= 1`. Those beyond it wait in this program, and end with it. Default: no limit.
   */
  maxWorkers?: number;
  /** Called in each worker of a node before its first task for this executor; if it fails, the executor is broken. */
  initializer?: Callable<never[], unknown>;
  /** Arguments of `initializer`; copied now. */
  initArgs?: unknown[];
  /**
   * What becomes of a task whose nodes have died, as often as `retries` allows:
   * `"replace"`, the default, fails that task; `"break"` fails all that is pending.
   */
  onWorkerDeath?: "replace" | "break";
  /**
   * Whether functions may go by their source, built-ins too; `false` by default.
   * Each node has to allow it as well.
   */
  allowSource?: boolean;
  /**
   * How long a node may be silent in milliseconds, `>= 100`, before its tasks are
   * given to another. It holds for the whole stream; who sets it last decides.
   * Default: as it is, 10,000 in a new stream.
   */
  lease?: number;
  /**
   * How often a task is given to another node after the death of one, whole and
   * `>= 0`. A task that throws is not run again. It holds for the whole stream.
   * Default: as it is, 2 in a new stream.
   */
  retries?: number;
  /**
   * How long results are kept in milliseconds, `>= 1,000`, for `attach`. It holds
   * for the whole stream. Default: as it is, an hour in a new stream.
   */
  resultTtl?: number;
  /** Takes note of what happens when, to be looked at in Perfetto or Chrome. Default: none. */
  trace?: Trace;
}

/** Numbers the executors, for traces. */
let executors = 0;

/** The form of a task's id. */
const TASK_ID = /^[0-9a-f]{32}\.\d{1,15}$/;

const MIN_LEASE_MS = 100;
const MIN_RESULT_TTL_MS = 1_000;

/**
 * Runs calls on the nodes of a NATS JetStream stream.
 *
 * A task is with the server until a node has run it. So it outlives a node that
 * dies, whose tasks are given to others after `lease`, the server, which has it
 * in its store, and this program: see `attach`. It may therefore run more than
 * once, if a node dies with it; its future is settled once.
 *
 * What is called has to be exported by a module, which a node must have under
 * the same file name, with the same content, and allow (`--allow-module`).
 * A value that is too large for one message goes through an object store.
 *
 * Quick tasks of one function go to a node together, and start as one.
 *
 * `cancel()`, and `running()` of a task that is not known to have started, ask
 * the server, and block this thread meanwhile: a round trip, 0.5 ms on one
 * machine (2026-11), 2 s at the most where the server does not answer.
 * `cancel()` then returns `false`.
 *
 * Python: none; `dask.distributed.Client` is a `concurrent.futures` of that kind.
 *
 * @example What is wrong is said at once
 * ```ts
 * import { NatsExecutor } from "@concurrent/futures/nats";
 * import { RuntimeError } from "@concurrent/futures";
 * import { assertRejects } from "@std/assert";
 *
 * await assertRejects(
 *   () => NatsExecutor.connect({ servers: "127.0.0.1:1", stream: "thumbnails" }),
 *   RuntimeError,
 *   'start a server there with "nats-server -js"',
 * );
 * ```
 */
export class NatsExecutor extends PoolExecutor {
  readonly #dispatcher: Dispatcher;
  readonly #ids: WeakMap<object, string>;

  private constructor({ dispatcher, session, travelOf }: Prepared) {
    const ids = new WeakMap<object, string>();
    let tasks = 0;
    super(dispatcher, {
      canMove: false,
      travelOf,
      complete: (payload, request) =>
        addLabel(payload, {
          number: tasks++,
          timeoutMs: request?.timeoutMs ?? Infinity,
        }),
      onSubmitted: (future) => void ids.set(future, `${session}.${tasks - 1}`),
    });
    this.#dispatcher = dispatcher;
    this.#ids = ids;
  }

  /**
   * Connects to a server, and makes the stream there if it is missing.
   *
   * @param options See `NatsOptions`; at least the stream.
   * @returns An executor, to be shut down at the end: `await using`.
   * @throws {RuntimeError} If there is no connection, or the server has no JetStream, or
   * has something else of the stream's name; its message says what to do.
   * @throws {RangeError} If a number is out of range, `onWorkerDeath` is unknown, or
   * the stream cannot have that name.
   * @throws {TypeError} If an option has a wrong type.
   * @throws {SerializationError} If `initializer` or `initArgs` cannot travel.
   */
  static async connect(options: NatsOptions): Promise<NatsExecutor> {
    const prepared = prepare(options);
    await prepared.manager.opened();
    return new NatsExecutor(prepared);
  }

  /**
   * Does as `connect`, and blocks this thread meanwhile.
   *
   * @param options See `NatsOptions`; at least the stream.
   * @returns An executor, to be shut down at the end: `using`.
   * @throws {RuntimeError} If there is no connection, see `connect`.
   * @throws {RangeError} If an option is out of range, see `connect`.
   * @throws {TypeError} If an option has a wrong type.
   * @throws {SerializationError} If `initializer` or `initArgs` cannot travel.
   */
  static connectSync(options: NatsOptions): NatsExecutor {
    const prepared = prepare(options);
    prepared.manager.blockUntilOpened();
    return new NatsExecutor(prepared);
  }

  /**
   * Returns the id of a task, with which any program can `attach` to it, now or
   * while its result is kept.
   *
   * @param future A future that `submit`, `submitWith` or `attach` of this executor returned.
   * @returns The id: 32 hexadecimal digits, a point, a number.
   * @throws {TypeError} If the future is of another executor, or its task did not travel.
   */
  taskId(future: Future<unknown>): string {
    const id = this.#ids.get(future);
    if (id !== undefined) return id;
    throw new TypeError(
      "Cannot tell the id of a task as the future must be one that this executor has submitted: it is another one, or its call could not travel",
    );
  }

  /**
   * Returns a future of a task that was submitted before, by this program or
   * another one, which may be dead.
   *
   * It is as the first one would be: its value, or its error, for as long as
   * `resultTtl`. It can be cancelled, unless its task went in one message with
   * others (see `docs/other_machines.md`, "Bundles"). It fails with
   * `RuntimeError` if the server has neither the task nor its result.
   *
   * @typeParam T What the call returns.
   * @param taskId What `taskId()` has returned.
   * @returns A new future.
   * @throws {TypeError} If it is no text.
   * @throws {RangeError} If it is no task's id.
   * @throws {RuntimeError} If the executor was shut down.
   * @throws {BrokenExecutor} If the executor is broken.
   */
  attach<T = unknown>(taskId: string): Future<T> {
    checkId(taskId);
    this.checkOpen();
    const payload = addLabel(encodeArguments([taskId], { canMove: false }), {
      number: 0,
      timeoutMs: Infinity,
    });
    const registration = this.#dispatcher.callables.register(ATTACHING);
    const future = this.#dispatcher.submit(registration, payload, {
      rows: 0,
      timeoutMs: Infinity,
      isElsewhere: true,
    });
    this.#ids.set(future, taskId);
    return future as Future<T>;
  }
}

/** What calls a task that was submitted before: the manager knows it, no node does. */
const ATTACHING: Travel = {
  name: "attach",
  definition: JSON.parse(ATTACH) as Definition,
  text: ATTACH,
};

/** All that an executor stands on. */
interface Prepared {
  readonly dispatcher: Dispatcher;
  readonly manager: NatsManager;
  readonly session: string;
  readonly travelOf: (callable: object) => Travel;
}

/** Checks the options and starts to connect. */
function prepare(options: NatsOptions): Prepared {
  checkNotImporting();
  const checked = checkOptions(options);
  const { lease, retries, resultTtl } = checked;
  const stream = checkStream(checked.stream);
  const connection = checkConnection(checked);
  const maxWorkers = checkCount("maxWorkers", checked.maxWorkers) ?? Infinity;
  const onWorkerDeath = checkChoice("onWorkerDeath", checked.onWorkerDeath, [
    "replace",
    "break",
  ]);
  const allowSource = checkFlag("allowSource", checked.allowSource, false);
  const settings = {
    leaseMs: checkCount("lease", lease, MIN_LEASE_MS),
    retries: checkCount("retries", retries, 0),
    resultTtlMs: checkCount("resultTtl", resultTtl, MIN_RESULT_TTL_MS),
  };
  const travel = allowSource ? travelOf : referenceOf;
  const initializer = makeInitializer(checked, false, travel);
  const observers = makeObservers(`NatsExecutor-${executors}`, checked.trace);
  executors++;
  const session = crypto.randomUUID().replaceAll("-", "");
  const manager = new NatsManager({
    connection,
    stream,
    settings,
    session,
    maxWorkers,
    initializer,
    allowSource,
    isBrokenByDeath: onWorkerDeath === "break",
  });
  const dispatcher = new Dispatcher({
    observers,
    maxWorkers: 1, // the stream, which has many tasks at once
    onWorkerDeath: "break",
    Broken: BrokenExecutor,
    start: (start) => manager.start(start),
    onEnded: () => manager.end(),
  });
  return { dispatcher, manager, session, travelOf: travel };
}

function checkStream(stream: unknown): string {
  const name = checkString("stream", stream);
  if (name === undefined) {
    throw new TypeError(
      'Cannot take the options as "stream" must be a string: it is missing',
    );
  }
  if (isStreamName(name)) return name;
  throw new RangeError(
    `Cannot take the option as "stream" must be 1 to 64 of A-Z, a-z, 0-9, "_" and "-": received "${name}"`,
  );
}

function checkId(taskId: unknown): void {
  if (typeof taskId !== "string") {
    throw new TypeError(
      `Cannot attach to a task as its id must be a string: received ${typeof taskId}`,
    );
  }
  if (TASK_ID.test(taskId)) return;
  throw new RangeError(
    `Cannot attach to a task as its id must be what taskId() returns: received "${taskId}"`,
  );
}
