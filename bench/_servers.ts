/**
 * The servers that queues need, each on a free port of the loopback with what it
 * stores in a temporary folder.
 *
 * Both keep what they are given on the disk, and neither waits for the disk with
 * an answer. JetStream writes a message to its file before it answers, and the
 * file to the disk every two minutes (`sync_interval`). Redis writes to a log
 * that only grows, as BullMQ's documentation recommends (`appendonly`), before it
 * answers, and the log to the disk every second (`appendfsync everysec`, its
 * default). So both lose nothing when they are killed, and little when the power
 * is cut: Redis less.
 *
 * @module
 */

import { Program } from "./_program.ts";

/** Only programs of this machine reach the servers. */
const HOST = "127.0.0.1";

/** A server that runs. */
export interface Server {
  readonly port: number;
  /** Ends it at once, and removes what it stored. */
  kill(): Promise<void>;
}

/**
 * Starts a nats-server with JetStream.
 *
 * @throws {Error} If it is not installed, or does not start.
 */
export function startNats(): Promise<Server> {
  return start("nats-server", /Server is ready/, (port, folder) => [
    ...["--addr", HOST, "--port", `${port}`],
    ...["--jetstream", "--store_dir", folder],
  ]);
}

/**
 * Starts a redis-server that logs what it is given.
 *
 * @throws {Error} If it is not installed, or does not start.
 */
export function startRedis(): Promise<Server> {
  return start("redis-server", /Ready to accept connections/, (
    port,
    folder,
  ) => [
    ...["--bind", HOST, "--port", `${port}`, "--dir", folder],
    ...["--appendonly", "yes", "--appendfsync", "everysec"],
    ...["--save", ""], // no snapshots beside the log
    ...["--maxmemory-policy", "noeviction"],
  ]);
}

async function start(
  command: string,
  ready: RegExp,
  argsOf: (port: number, folder: string) => string[],
): Promise<Server> {
  const folder = await Deno.makeTempDir({ prefix: `${command}-` });
  const remove = () => Deno.remove(folder, { recursive: true });
  const port = freePort();
  try {
    const args = argsOf(port, folder);
    const program = await Program.start({ command, args, ready });
    return {
      port,
      async kill() {
        await program.kill();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** A port that nobody has: of what the system gives out next, it is not the first. */
function freePort(): number {
  using listener = Deno.listen({ hostname: HOST, port: 0 });
  return listener.addr.port;
}
