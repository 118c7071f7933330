/**
 * The command line of a node: see `nats_worker.ts`.
 *
 * @module
 */

import process from "node:process";
import { parseArgs } from "node:util";
import config from "./deno.json" with { type: "json" };
import { describeError } from "./_describe.ts";
import type { NatsNode, NodeLog, NodeOptions } from "./nats_worker.ts";

/** What the program ends with. */
export const ExitCode = {
  DRAINED: 0,
  /** The server cannot be reached or used, or was lost for good. */
  LOST: 1,
  /** The command line is wrong. */
  USAGE: 2,
  /** To these the number of the signal is added that came twice. */
  SIGNALLED: 128,
} as const;

const LEVELS = ["debug", "info", "warn", "error", "silent"] as const;

/** How much is logged. */
export type LogLevel = typeof LEVELS[number];

const HELP = `Runs tasks that NatsExecutor submits to a stream of a NATS server.

Usage: deno run -A jsr:@concurrent/futures/nats-worker --stream NAME [options]

  --stream NAME         the stream whose tasks it runs
  --servers URL         where the servers are; more than one by commas, or again
                        (default: 127.0.0.1:4222)
  --allow-module WHICH  a path or URL of a module whose functions it runs; again
                        for more
  --allow-source        run what comes by source, too: anything at all
  --max-workers N       how many tasks it runs at once (default: one a core)
  --processes           run tasks in processes instead of threads
  --name NAME           the node's name (default: HOST-PID)
  --user NAME           with --pass, or NATS_PASS in the environment
  --pass PASSWORD       is seen by who lists processes: NATS_PASS is not
  --token TOKEN         is seen by who lists processes: NATS_TOKEN is not
  --credentials FILE    a .creds file: a JWT and its key
  --tls-ca FILE         the certificate authority's certificate
  --tls-cert FILE       the client's certificate
  --tls-key FILE        the client's private key
  --log-level LEVEL     ${LEVELS.join(", ")} (default: info)
  --help, --version

It says "ready: …" on stdout once it pulls tasks, and logs to stderr. SIGTERM or
Ctrl-C drains it, a second one ends it.

Exit codes: 0 drained; 1 the server cannot be reached or used, or is lost for
good; 2 the command line is wrong; 130, 143 a second Ctrl-C or SIGTERM.
`;

/** What a command line asks for. */
export type Command =
  | { readonly kind: "say"; readonly text: string }
  | {
    readonly kind: "run";
    readonly options: NodeOptions;
    readonly logLevel: LogLevel;
  };

/** Tells that a command line is wrong. */
export class UsageError extends Error {}

const text = { type: "string" } as const;
const texts = { type: "string", multiple: true } as const;
const flag = { type: "boolean" } as const;

/**
 * Reads a command line.
 *
 * @param args The arguments.
 * @param env Returns a variable of the environment.
 * @throws {UsageError} If it is wrong.
 */
export function parseCommand(
  args: string[],
  env: (name: string) => string | undefined,
): Command {
  const values = parseOptions(args);
  if (values.help) return { kind: "say", text: HELP };
  if (values.version) return { kind: "say", text: `${config.version}\n` };
  if (values.stream === undefined) {
    throw new UsageError("--stream must be given");
  }
  const servers = values.servers?.flatMap((list) => list.split(","))
    .map((one) => one.trim()).filter((one) => one !== "");
  return {
    kind: "run",
    logLevel: parseLevel(values["log-level"]),
    options: {
      stream: values.stream,
      servers,
      allowModules: values["allow-module"],
      allowSource: values["allow-source"],
      maxWorkers: parseCount(values["max-workers"]),
      processes: values.processes,
      name: values.name,
      user: values.user,
      pass: values.pass ?? (values.user && env("NATS_PASS")),
      token: values.token ?? env("NATS_TOKEN"),
      credentials: readCredentials(values.credentials),
      tls: parseTls(values["tls-ca"], values["tls-cert"], values["tls-key"]),
    },
  };
}

function parseOptions(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: false,
      options: {
        stream: text,
        servers: texts,
        "allow-module": texts,
        "allow-source": flag,
        "max-workers": text,
        processes: flag,
        name: text,
        user: text,
        pass: text,
        token: text,
        credentials: text,
        "tls-ca": text,
        "tls-cert": text,
        "tls-key": text,
        "log-level": text,
        help: flag,
        version: flag,
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function parseLevel(level: string = "info"): LogLevel {
  const found = LEVELS.find((one) => one === level);
  if (found !== undefined) return found;
  throw new UsageError(
    `--log-level must be one of ${LEVELS.join(", ")}: received "${level}"`,
  );
}

function parseCount(count: string | undefined): number | undefined {
  if (count === undefined) return undefined;
  if (/^[1-9]\d*$/.test(count)) return Number(count);
  throw new UsageError(
    `--max-workers must be a whole number >= 1: received "${count}"`,
  );
}

function readCredentials(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  try {
    return Deno.readTextFileSync(file);
  } catch (error) {
    throw new UsageError(
      `--credentials must be a file that can be read: ${describeError(error)}`,
    );
  }
}

function parseTls(
  caFile: string | undefined,
  certFile: string | undefined,
  keyFile: string | undefined,
): NodeOptions["tls"] {
  const given = Object.entries({ caFile, certFile, keyFile })
    .filter(([, file]) => file !== undefined);
  return given.length === 0 ? undefined : Object.fromEntries(given);
}

// ---------------------------------------------------------------------- run

/** Does what the command line of this program says; ends the program. */
export async function runCommand(
  startNode: (options: NodeOptions) => Promise<NatsNode>,
): Promise<never> {
  let command: Command;
  try {
    command = parseCommand(Deno.args, readVariable);
  } catch (error) {
    if (error instanceof UsageError) return fail(ExitCode.USAGE, error);
    throw error;
  }
  if (command.kind === "say") {
    say(Deno.stdout, command.text);
    return Deno.exit(ExitCode.DRAINED);
  }
  const { options, logLevel } = command;
  const log = await makeLog(logLevel);
  let node: NatsNode;
  try {
    node = await startNode({ ...options, log });
  } catch (error) {
    const isUsage = error instanceof RangeError || error instanceof TypeError;
    return fail(isUsage ? ExitCode.USAGE : ExitCode.LOST, error as Error);
  }
  drainOnSignals(node);
  const workers = options.maxWorkers ?? navigator.hardwareConcurrency;
  say(
    Deno.stdout,
    `ready: node "${node.name}" serves stream "${options.stream}" with ${workers} ${
      workers === 1 ? "worker" : "workers"
    }\n`,
  );
  const error = await node.closed;
  // A thread whose task was stopped in synchronous code would keep the program.
  return Deno.exit(error === undefined ? ExitCode.DRAINED : ExitCode.LOST);
}

/** A variable that this program may not read is none. */
function readVariable(name: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: name });
  return state === "granted" ? Deno.env.get(name) : undefined;
}

function fail(code: number, { message }: Error): never {
  const hint = code === ExitCode.USAGE ? "\nSee --help." : "";
  say(Deno.stderr, `${message}${hint}\n`);
  return Deno.exit(code);
}

function say(
  stream: { writeSync(bytes: Uint8Array): number },
  text: string,
): void {
  let rest = new TextEncoder().encode(text);
  try {
    while (rest.length > 0) rest = rest.subarray(stream.writeSync(rest));
  } catch {
    // nobody listens
  }
}

/** Signals that drain a node, with their numbers. */
const SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const;

function drainOnSignals(node: NatsNode): void {
  let isDraining = false;
  for (const [signal, number] of Object.entries(SIGNALS)) {
    const onSignal = () => {
      if (isDraining) Deno.exit(ExitCode.SIGNALLED + number);
      isDraining = true;
      node.drain();
    };
    try {
      Deno.addSignalListener(signal as Deno.Signal, onSignal);
    } catch {
      // Windows has no SIGTERM
    }
  }
}

/**
 * Makes the log: JSON lines on stderr, written at once. `pino` needs to read
 * the environment (`NODE_V8_COVERAGE`), so no other module imports it.
 */
async function makeLog(level: LogLevel): Promise<NodeLog> {
  const { default: pino } = await import("npm:pino@10.4.0");
  const log: NodeLog = pino(
    { level, base: { pid: process.pid } },
    pino.destination({ dest: 2, sync: true }),
  );
  return log;
}
