/**
 * What tests of `NatsExecutor` lie on: a real server, and a process with nodes.
 *
 * @module
 */

import { NatsServer } from "./_nats_server.ts";
import type { NatsBed } from "./_nats_pool.ts";

/** A server and a host of nodes, for all tests of a file. */
export class TestBed implements NatsBed, AsyncDisposable {
  readonly server: NatsServer;
  readonly folder: string;
  readonly #host: Deno.ChildProcess;

  private constructor(
    server: NatsServer,
    folder: string,
    host: Deno.ChildProcess,
  ) {
    this.server = server;
    this.folder = folder;
    this.#host = host;
  }

  get url(): string {
    return this.server.url;
  }

  /** Starts both, and waits until they are ready. */
  static async start(): Promise<TestBed> {
    const server = await NatsServer.start();
    const folder = await Deno.makeTempDir({ prefix: "nats-nodes-" });
    const host = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        `--config=${import.meta.dirname}/../deno.json`,
        `${import.meta.dirname}/_nats_host.ts`,
        folder,
      ],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    await sayReady(host.stdout);
    return new TestBed(server, folder, host);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#host.kill("SIGKILL");
    await this.#host.status;
    await this.server[Symbol.asyncDispose]();
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** Waits for a program's first line, then lets go of its output. */
async function sayReady(stdout: ReadableStream<Uint8Array>): Promise<void> {
  const reader = stdout.getReader();
  const { done } = await reader.read();
  await reader.cancel();
  if (done) throw new Error("Cannot go on as the host of nodes has ended");
}
