/**
 * A node as a program of its own, as an operator starts it.
 *
 * @module
 */

import { TASKS_PATH } from "./_nats_caller.ts";
import type { NatsServer } from "./_nats_server.ts";

const PROGRAM = `${import.meta.dirname}/../nats_worker.ts`;
const CONFIG = `${import.meta.dirname}/../deno.json`;

/** A node of the stream `S` in a process. */
export class NodeProgram implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #stdout: Lines;
  readonly #stderr: Lines;
  /** What it has said when it was ready. */
  readyLine = "";

  private constructor(args: string[]) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: command(args),
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#stdout = new Lines(this.#child.stdout);
    this.#stderr = new Lines(this.#child.stderr);
  }

  /** Starts a node, and waits until it is ready. */
  static async start(
    server: NatsServer,
    args: string[],
  ): Promise<NodeProgram> {
    const program = new NodeProgram([
      ...["--servers", server.url, "--stream", "S"],
      ...["--allow-module", TASKS_PATH, ...args],
    ]);
    try {
      program.readyLine = await program.#stdout.find("ready: ");
    } catch {
      await program.kill();
      throw new Error(`Cannot start a node: ${program.#stderr.text}`);
    }
    return program;
  }

  /** Runs a node that ends by itself. */
  static async output(
    args: string[],
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    const child = new Deno.Command(Deno.execPath(), {
      args: command(args),
      stdin: "null",
    });
    const { code, stdout, stderr } = await child.output();
    const decoder = new TextDecoder();
    return {
      code,
      stdout: decoder.decode(stdout),
      stderr: decoder.decode(stderr),
    };
  }

  signal(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Waits until it has logged something with `text` in it. */
  logged(text: string): Promise<string> {
    return this.#stderr.find(text);
  }

  /** Waits until it ends; returns its exit code. */
  async ended(): Promise<number> {
    const { code } = await this.#child.status;
    await Promise.all([this.#stdout.ended, this.#stderr.ended]);
    return code;
  }

  /** Ends it at once, without a word. */
  async kill(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // it has ended
    }
    await this.ended();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

function command(args: string[]): string[] {
  return ["run", "-A", "--no-check", "--config", CONFIG, PROGRAM, ...args];
}

/** What a program writes. */
class Lines {
  text = "";
  readonly ended: Promise<void>;
  readonly #waiting = new Set<() => void>();
  #isOver = false;

  constructor(stream: ReadableStream<Uint8Array<ArrayBuffer>>) {
    this.ended = this.#read(stream);
  }

  async #read(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    for await (const part of stream.pipeThrough(new TextDecoderStream())) {
      this.text += part;
      this.#wake();
    }
    this.#isOver = true;
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  /** Waits for a whole line with `text` in it. */
  async find(text: string): Promise<string> {
    for (;;) {
      const lines = this.text.split("\n").slice(0, -1);
      const found = lines.find((line) => line.includes(text));
      if (found !== undefined) return found;
      if (this.#isOver) throw new Error(`it has ended without "${text}"`);
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }
}
