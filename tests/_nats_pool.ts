/**
 * Makes a `NatsExecutor` with a stream and a node of its own, at once: what a contract for all
 * executors asks for, in this program and in child programs that import this module.
 *
 * The nodes live in a process of their own (`_nats_host.ts`), as a test may block its thread. It is
 * told by files what to do, since those can be written without the event loop.
 *
 * @module
 */

import { NatsExecutor, type NatsOptions } from "../nats_executor.ts";
import type { ShutdownOptions } from "../mod.ts";
import type { ContractOptions } from "./_executor_contract.ts";

/** Where the server is, and the folder that the host of nodes watches. */
export interface NatsBed {
  readonly url: string;
  readonly folder: string;
}

/** What the host of nodes reads in a file of the stream's name. */
export interface NodeOrder {
  readonly servers: string;
  readonly stream: string;
  readonly maxWorkers: number;
}

const DEFAULT_WORKERS = 2;

/** The executor waits on the server for a worker, not in its program: its own limit is far away. */
const FAR = 1_000;

/** Returns a function that makes executors on a server. */
export function poolMaker(
  { url, folder }: NatsBed,
): (options?: ContractOptions) => NatsExecutor {
  return (options) => {
    const stream = `s${crypto.randomUUID().replaceAll("-", "")}`;
    const pool = NatsExecutor.connectSync(complete(options, url, stream));
    const maxWorkers = options?.maxWorkers ?? DEFAULT_WORKERS;
    const order: NodeOrder = { servers: url, stream, maxWorkers };
    writeWhole(`${folder}/${stream}.start`, JSON.stringify(order));
    endNode(pool, () => writeWhole(`${folder}/${stream}.stop`, ""));
    return pool;
  };
}

function complete(
  options: ContractOptions | undefined,
  servers: string,
  stream: string,
): NatsOptions {
  // What is no object is for the executor to refuse.
  if (options !== undefined && typeof options !== "object") return options;
  const { maxWorkers, ...rest } = options ?? {};
  const most = Number.isInteger(maxWorkers) && maxWorkers! > 0
    ? maxWorkers! * FAR
    : maxWorkers;
  return { ...rest, maxWorkers: most, servers, stream, allowSource: true };
}

/** Ends the node when the executor is shut down and all is done. */
function endNode(pool: NatsExecutor, end: () => void): void {
  const { shutdown, shutdownSync } = pool;
  pool.shutdown = (options?: ShutdownOptions) => {
    const ended = shutdown.call(pool, options);
    shutdown.call(pool).then(end);
    return ended;
  };
  pool.shutdownSync = (options) => {
    shutdownSync.call(pool, options);
    shutdown.call(pool).then(end);
  };
}

/** Writes a file that nobody can see half of. */
function writeWhole(path: string, text: string): void {
  Deno.writeTextFileSync(`${path}.part`, text);
  Deno.renameSync(`${path}.part`, path);
}

/** The same as a class, for child programs: the bed is in the query of this module's URL. */
class MadeAtOnce {
  constructor(options?: ContractOptions) {
    const query = new URL(import.meta.url).searchParams;
    return poolMaker({
      url: query.get("url")!,
      folder: query.get("folder")!,
    })(options);
  }
}

export { MadeAtOnce as NatsExecutor };
