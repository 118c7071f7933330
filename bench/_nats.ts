/**
 * This module as a contender: `NatsExecutor`, and nodes that are programs of
 * their own.
 *
 * @module
 */

import { importTasks } from "../mod.ts";
import { NatsExecutor } from "../nats_executor.ts";
import { Program } from "./_program.ts";
import { type QueuePeer, WORKERS } from "./_queue_peer.ts";

const MODULE = import.meta.resolve("./_queue_tasks.ts");
const TASKS = importTasks<typeof import("./_queue_tasks.ts")>(MODULE);

/** What a stream is made with. */
export interface NatsPeerOptions {
  /** Where the nats-server is. */
  readonly port: number;
  readonly stream: string;
  /** The default of this module without it. */
  readonly leaseMs?: number;
}

/** A stream, and an executor on it. */
export class NatsPeer implements QueuePeer {
  readonly name = "@concurrent/futures";
  readonly #options: NatsPeerOptions;
  readonly #pool: NatsExecutor;

  private constructor(options: NatsPeerOptions, pool: NatsExecutor) {
    this.#options = options;
    this.#pool = pool;
  }

  /** Makes a stream, and waits until it can be used. */
  static async connect(options: NatsPeerOptions): Promise<NatsPeer> {
    const { port, stream, leaseMs } = options;
    const servers = serversAt(port);
    const lease = leaseMs === undefined ? {} : { lease: leaseMs };
    return new NatsPeer(
      options,
      await NatsExecutor.connect({ servers, stream, ...lease }),
    );
  }

  add(a: number, b: number): PromiseLike<number> {
    return this.#pool.submit(TASKS.add, a, b);
  }

  addMany(count: number): PromiseLike<number>[] {
    return Array.from({ length: count }, (_, i) => this.add(i, 1));
  }

  /** Runs `add(i, 1)` for so many `i` by `map`, in chunks of so many; the sum of all. */
  async sumOf(count: number, chunkSize: number): Promise<number> {
    const numbers = Array.from({ length: count }, (_, i) => i);
    const ones = new Array<number>(count).fill(1);
    let sum = 0;
    for await (
      const n of this.#pool.map(TASKS.add, numbers, ones, { chunkSize })
    ) {
      sum += n;
    }
    return sum;
  }

  pass(gate: string): PromiseLike<number> {
    return this.#pool.submit(TASKS.pass, gate);
  }

  startWorker(): Promise<Program> {
    const { port, stream } = this.#options;
    const program = import.meta.resolve("../nats_worker.ts");
    return Program.start({
      command: Deno.execPath(),
      args: [
        ...["run", "--allow-all", program, "--servers", serversAt(port)],
        ...["--stream", stream, "--max-workers", `${WORKERS}`],
        ...["--allow-module", MODULE],
      ],
      ready: /^ready/m,
    });
  }

  stop(): Promise<void> {
    return this.#pool.shutdown();
  }
}

function serversAt(port: number): string {
  return `nats://127.0.0.1:${port}`;
}
