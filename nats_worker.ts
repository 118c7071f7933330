/**
 * A node: the program that runs the tasks which `NatsExecutor` submits to a
 * stream of a NATS server with JetStream.
 *
 * ```sh
 * nats-server -js &
 * deno run -A jsr:@concurrent/futures/nats-worker --stream thumbnails --allow-module ./tasks.ts
 * ```
 *
 * It says `ready: node "…" serves stream "thumbnails" with 8 workers` on stdout
 * once it pulls tasks, and logs to stderr, one JSON object a line. `--help`
 * lists what can be set. Start as many as there is work for, anywhere, at any
 * time: each takes as many tasks as it has workers free, and no more.
 *
 * A node runs what the modules export that it is told to allow, and nothing
 * else. The file here must be, byte by byte, the one that was submitted: a task
 * of another version goes to another node, or fails and says so. What comes by
 * source, closures and built-ins, is run with `--allow-source` alone: then
 * whoever may submit to the stream may run anything here.
 *
 * `SIGTERM` or Ctrl-C drains it: it takes no more tasks, finishes those that
 * run, and exits; a second one ends it at once, and what ran goes to other nodes
 * when its lease ends.
 *
 * | exit code  | why                                                      |
 * | ---------- | -------------------------------------------------------- |
 * | 0          | drained                                                  |
 * | 1          | the server cannot be reached or used, or is lost for good |
 * | 2          | the command line is wrong, or a module cannot be read    |
 * | 130, 143   | a second Ctrl-C, a second `SIGTERM`                      |
 *
 * A program can be a node by itself, too: see {@linkcode startNode}.
 *
 * @module
 */

import { describeError } from "./_describe.ts";
import type {
  NatsConnectionOptions,
  NatsTlsOptions,
} from "./_nats_connection.ts";
import { checkConnection } from "./_nats_connection.ts";
import type { NodeLog } from "./_nats_link.ts";
import { Node } from "./_nats_node.ts";
import { isStreamName } from "./_nats_protocol.ts";
import {
  checkArray,
  checkCount,
  checkFlag,
  checkOptions,
  checkString,
  wrongType,
} from "./_options.ts";
import { toUrl } from "./_nats_modules.ts";

export type { NatsConnectionOptions, NatsTlsOptions, NodeLog };

/** Options of a node; `name` is the node's name, by default the host's and the process's number. */
export interface NodeOptions extends NatsConnectionOptions {
  /** The stream whose tasks it runs: up to 64 letters, digits, `-` and `_`. */
  stream: string;
  /** The modules whose functions it runs: paths, or URLs. Default: none. */
  allowModules?: (string | URL)[];
  /** Whether it runs what comes by source, that is, anything at all. Default: `false`. */
  allowSource?: boolean;
  /** How many tasks it runs at once, whole and `>= 1`. Default: `navigator.hardwareConcurrency`. */
  maxWorkers?: number;
  /** Whether tasks run in processes instead of threads. Default: `false`. */
  processes?: boolean;
  /** Where it says what happens. Default: nowhere. */
  log?: NodeLog;
}

/** A node that runs; see `startNode`. */
export interface NatsNode extends AsyncDisposable {
  /** Its name, which results and errors tell. */
  readonly name: string;
  /**
   * Resolves once the node is over: to nothing after `drain`, to an error where
   * the connection was lost for good.
   */
  readonly closed: Promise<void | Error>;
  /**
   * Takes no more tasks; resolves once those that run are over and their results
   * are stored, and nothing is left of the node.
   */
  drain(): Promise<void>;
}

const SILENT: NodeLog = { debug() {}, info() {}, warn() {}, error() {} };

/** Nodes that were started in this thread, for their names. */
let nodes = 0;

/**
 * Makes this program a node of a stream; its tasks run in workers of its own.
 *
 * Python: none.
 *
 * @example Nobody is there
 * ```ts
 * import { startNode } from "@concurrent/futures/nats-worker";
 * import { RuntimeError } from "@concurrent/futures";
 * import { assertRejects } from "@std/assert";
 *
 * await assertRejects(
 *   () => startNode({ servers: "nats://127.0.0.1:9", stream: "thumbnails" }),
 *   RuntimeError,
 *   "Cannot connect to NATS at nats://127.0.0.1:9",
 * );
 * ```
 *
 * @param options Server, stream, and what it runs; see `NodeOptions`.
 * @returns The node, once it pulls tasks; `await using` drains it.
 * @throws {TypeError} If an option has a wrong type.
 * @throws {RangeError} If an option is out of range, or a module cannot be read.
 * @throws {RuntimeError} If the server cannot be reached or used.
 */
export async function startNode(options: NodeOptions): Promise<NatsNode> {
  const given = checkOptions(options);
  const node = await Node.start({
    connection: checkConnection(given),
    stream: checkStream(given.stream),
    name: checkString("name", given.name) || defaultName(),
    allowModules: (checkArray("allowModules", given.allowModules) ?? [])
      .map(checkModule),
    allowSource: checkFlag("allowSource", given.allowSource, false),
    maxWorkers: checkCount("maxWorkers", given.maxWorkers) ??
      navigator.hardwareConcurrency,
    processes: checkFlag("processes", given.processes, false),
    log: given.log ?? SILENT,
  });
  return {
    name: node.name,
    closed: node.closed,
    drain: () => node.drain(),
    [Symbol.asyncDispose]: () => node.drain(),
  };
}

function checkStream(stream: unknown): string {
  const text = checkString("stream", stream);
  if (text !== undefined && isStreamName(text)) return text;
  throw new RangeError(
    `Cannot take the option as "stream" must be a name of 1 to 64 letters, digits, "-" and "_": received ${
      text === undefined ? text : `"${text}"`
    }`,
  );
}

function checkModule(module: unknown, index: number): string {
  if (typeof module === "string" || module instanceof URL) return toUrl(module);
  throw wrongType(`allowModules[${index}]`, "a string or a URL", module);
}

function defaultName(): string {
  const number = ++nodes;
  return `${hostname()}-${Deno.pid}${number === 1 ? "" : `-${number}`}`;
}

/** The host's name, where this program may know it. */
function hostname(): string {
  try {
    return Deno.hostname();
  } catch {
    return "node";
  }
}

if (import.meta.main) {
  const { runCommand } = await import("./_nats_command.ts");
  await runCommand(startNode).catch((error) => {
    // deno-lint-ignore no-console -- no log is there yet
    console.error(`Cannot go on: ${describeError(error)}`);
    Deno.exit(1);
  });
}
