/**
 * A real nats-server for tests, on a free port of the loopback with a store in a temporary folder;
 * and `testNats`, which registers a test that needs one.
 *
 * @module
 */

import { TIMEOUT_MS } from "./_harness.ts";

const BINARY = "nats-server";

/** Whether the server is installed; tests that need it are ignored otherwise, and say so. */
export const hasNatsServer: boolean = isInstalled();

function isInstalled(): boolean {
  try {
    const command = new Deno.Command(BINARY, {
      args: ["--version"],
      stdout: "null",
      stderr: "null",
    });
    return command.outputSync().success;
  } catch {
    return false;
  }
}

/** A server with JetStream. */
export class NatsServer implements AsyncDisposable {
  readonly port: number;
  readonly #folder: string;
  #running: Running | undefined;

  private constructor(folder: string, port: number) {
    this.#folder = folder;
    this.port = port;
  }

  /**
   * Starts a server, and waits until it takes connections and has its store.
   *
   * @param config More text for its configuration, `max_payload: 64KB` say.
   */
  static async start(config = ""): Promise<NatsServer> {
    const folder = await Deno.makeTempDir({ prefix: "nats-" });
    const server = new NatsServer(folder, freePort());
    try {
      await server.restart(config);
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  }

  /** Where it is. */
  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** What it has said since it was started last. */
  get log(): string {
    return this.#running?.log.text ?? "";
  }

  /** Ends it at once, as a power cut would; its store stays. */
  async kill(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    if (running === undefined) return;
    running.child.kill("SIGKILL");
    await running.child.status;
    await running.log.ended;
  }

  /** Starts it again at the same port with the same store, killing it first if it runs. */
  async restart(config?: string): Promise<void> {
    await this.kill();
    const file = `${this.#folder}/server.conf`;
    if (config !== undefined) {
      await Deno.writeTextFile(file, this.#configure(config));
    }
    const child = new Deno.Command(BINARY, {
      args: ["-c", file],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const log = new ServerLog(child.stderr);
    this.#running = { child, log };
    await log.ready;
  }

  #configure(more: string): string {
    const store = JSON.stringify(`${this.#folder}/store`);
    return `listen: "127.0.0.1:${this.port}"\njetstream { store_dir: ${store} }\n${more}\n`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await Deno.remove(this.#folder, { recursive: true });
  }
}

interface Running {
  readonly child: Deno.ChildProcess;
  readonly log: ServerLog;
}

/** What the server says: that it is ready, or why it is not. */
class ServerLog {
  /** Resolves once the server takes connections; rejects with its log if it ends before. */
  readonly ready: Promise<void>;
  /** Resolves once the server says nothing any more, as it has ended. */
  readonly ended: Promise<void>;
  /** What it has said so far. */
  text = "";

  constructor(stderr: ReadableStream<Uint8Array<ArrayBuffer>>) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.ready = promise;
    this.ended = this.#read(stderr, resolve, reject);
  }

  /** Reads to the end: a full pipe would stop the server. */
  async #read(
    stderr: ReadableStream<Uint8Array<ArrayBuffer>>,
    onReady: () => void,
    onFailed: (error: Error) => void,
  ): Promise<void> {
    for await (const part of stderr.pipeThrough(new TextDecoderStream())) {
      this.text += part;
      if (this.text.includes("Server is ready")) onReady();
    }
    onFailed(
      new Error(`Cannot start ${BINARY} as it has ended: ${this.text}`),
    );
  }
}

/** A port that nobody has: of what the system gives out next, it is not the first. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Registers a test with a server of its own; ignored, by name, where there is no binary. */
export function testNats(
  name: string,
  fn: (server: NatsServer) => Promise<void>,
  config?: string,
): void {
  Deno.test(
    hasNatsServer ? name : `${name} (ignored: without the ${BINARY} binary)`,
    { ignore: !hasNatsServer, timeout: TIMEOUT_MS },
    async () => {
      await using server = await NatsServer.start(config);
      await fn(server);
    },
  );
}
