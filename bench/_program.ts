/**
 * Programs that run beside a bench: servers, and the workers of queues.
 *
 * @module
 */

/** How much of what a program says is kept, for the message if it fails. */
const MAX_CHARACTERS = 4_000;

/** How a program is started. */
export interface ProgramOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** What it says once it can be used. */
  readonly ready: RegExp;
}

/** A program in a process of its own, which has said that it is ready. */
export class Program {
  readonly #child: Deno.ChildProcess;
  readonly #said: Promise<void>[];
  #text = "";

  private constructor({ command, args, ready }: ProgramOptions, done: Waiter) {
    this.#child = new Deno.Command(command, {
      args: [...args],
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const { stdout, stderr } = this.#child;
    this.#said = [stdout, stderr].map((stream) =>
      this.#listen(stream, () => {
        if (ready.test(this.#text)) done.resolve();
      })
    );
    this.#ended().then(() =>
      done.reject(
        new Error(
          `Cannot start ${command} as it must say ${ready}: it has ended; it said: ${this.#text.trim()}`,
        ),
      )
    );
  }

  /**
   * Starts a program, and waits until it is ready.
   *
   * @throws {Error} If it is not installed, or ends before it is ready.
   */
  static async start(options: ProgramOptions): Promise<Program> {
    const done = Promise.withResolvers<void>();
    try {
      const program = new Program(options, done);
      await done.promise;
      return program;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      throw new Error(
        `Cannot start ${options.command} as it must be installed: it is not on the path; install the package that has it`,
        { cause: error },
      );
    }
  }

  /** The process. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Ends it at once, as a power cut would; nothing comes of it where it has ended. */
  async kill(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      // It is gone, and its status is known.
      if (!(error instanceof TypeError)) throw error;
    }
    await this.#ended();
  }

  async #ended(): Promise<void> {
    await Promise.all([this.#child.status, ...this.#said]);
  }

  /** Reads to the end: a full pipe would stop the program. */
  async #listen(
    stream: ReadableStream<Uint8Array<ArrayBuffer>>,
    onText: () => void,
  ): Promise<void> {
    for await (const part of stream.pipeThrough(new TextDecoderStream())) {
      this.#text = (this.#text + part).slice(-MAX_CHARACTERS);
      onText();
    }
  }
}

/** Who waits for a program to be ready. */
type Waiter = Pick<PromiseWithResolvers<void>, "resolve" | "reject">;
