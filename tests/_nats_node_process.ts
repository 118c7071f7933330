/**
 * Nodes in processes of their own, as users start them.
 *
 * @module
 */

const WORKER = `${import.meta.dirname}/../nats_worker.ts`;
const CONFIG = `${import.meta.dirname}/../deno.json`;

/** What a node is started with. */
export interface NodeSettings {
  readonly servers: string;
  readonly stream: string;
  readonly name?: string;
  readonly maxWorkers?: number;
  readonly modules?: readonly string[];
  /** More arguments of the command. */
  readonly args?: readonly string[];
}

/** A node in a process of its own. */
export class NodeProcess implements AsyncDisposable {
  readonly child: Deno.ChildProcess;
  /** What it has written to stderr. */
  log = "";
  readonly #output: Promise<unknown>;
  readonly #ready = Promise.withResolvers<void>();

  private constructor(child: Deno.ChildProcess) {
    this.child = child;
    const lines = readAll(child.stdout, (text) => {
      if (text.includes("ready")) this.#ready.resolve();
    });
    const log = readAll(child.stderr, (text) => this.log += text);
    this.#output = Promise.all([lines, log]).then(() =>
      this.#ready.reject(new Error(`The node has ended: ${this.log}`))
    );
    this.#ready.promise.catch(() => {}); // who waits for it hears of it
  }

  /** Starts a node, and waits for its ready line. */
  static async start(settings: NodeSettings): Promise<NodeProcess> {
    const { servers, stream, name, maxWorkers = 2 } = settings;
    const { modules = [], args = [] } = settings;
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        `--config=${CONFIG}`,
        WORKER,
        `--servers=${servers}`,
        `--stream=${stream}`,
        `--max-workers=${maxWorkers}`,
        ...(name === undefined ? [] : [`--name=${name}`]),
        ...modules.map((module) => `--allow-module=${module}`),
        ...args,
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const node = new NodeProcess(child);
    await node.#ready.promise;
    return node;
  }

  /** Sends a signal, and waits for the end if it is one that ends it. */
  async kill(signal: Deno.Signal = "SIGKILL"): Promise<Deno.CommandStatus> {
    this.child.kill(signal);
    return await this.status();
  }

  /** Waits for its end. */
  async status(): Promise<Deno.CommandStatus> {
    const status = await this.child.status;
    await this.#output;
    return status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.child.kill("SIGKILL");
    } catch {
      // it has ended
    }
    await this.status();
  }
}

async function readAll(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  take: (text: string) => void,
): Promise<void> {
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    take(text);
  }
}
