/**
 * Runs a program as a terminal does: in a session and a process group of its own, to all of which a
 * signal goes at once.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { delay } from "@std/async";

/** What became of a program. */
export interface Ended {
  readonly code: number;
  readonly signal: Deno.Signal | null;
  /** What it printed. */
  readonly lines: readonly string[];
  readonly stderr: string;
}

/** A program in a session of its own; at the end of an `await using` block nothing is left of it. */
export class Terminal implements AsyncDisposable {
  readonly #program: Deno.ChildProcess;
  readonly #stdout: Promise<void>;
  readonly #stderr: Promise<string>;
  #text = "";
  #hasEnded = false;

  /**
   * Starts a program.
   *
   * @param module Its module's URL.
   * @param args Its arguments.
   */
  constructor(module: string, args: readonly string[]) {
    this.#program = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--allow-all", module, ...args],
      env: { NO_COLOR: "1" },
      detached: true, // it leads a session
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#stdout = this.#read();
    this.#stderr = new Response(this.#program.stderr).text();
  }

  async #read(): Promise<void> {
    const pieces = this.#program.stdout.pipeThrough(new TextDecoderStream());
    for await (const piece of pieces) this.#text += piece;
    this.#hasEnded = true;
  }

  /** The lines that it has printed. */
  get lines(): string[] {
    return this.#text.split("\n").slice(0, -1);
  }

  /** Waits until it has printed a line. */
  async untilPrinted(line: string): Promise<void> {
    while (!this.lines.includes(line)) {
      if (this.#hasEnded) throw new Error(await this.#stderr);
      await delay(1);
    }
  }

  /** Does as a terminal: sends a signal to all that has begun there. */
  interrupt(signal: Deno.Signal = "SIGINT"): void {
    Deno.kill(-this.#program.pid, signal);
  }

  /** Sends a signal to the program alone. */
  kill(signal: Deno.Signal): void {
    this.#program.kill(signal);
  }

  /** Waits for its end. */
  async ended(): Promise<Ended> {
    const { code, signal } = await this.#program.status;
    const stderr = await this.#stderr;
    await this.#stdout;
    return { code, signal, lines: this.lines, stderr };
  }

  /** Asserts that no process of its session stays. */
  async assertEmpty(): Promise<void> {
    for (let i = 0; i < MOST_LOOKS && this.#left().length > 0; i++) {
      await delay(1);
    }
    assertEquals(this.#left(), []);
  }

  /** What is left of its group; the dead, whose exit code nobody has asked for, are gone. */
  #left(): string[] {
    const { stdout } = new Deno.Command("ps", {
      args: ["-A", "-o", "pgid=,stat=,pid=,args="],
    }).outputSync();
    return new TextDecoder().decode(stdout).trim().split("\n").filter(
      (line) => {
        const [group, state] = line.trim().split(/\s+/);
        return Number(group) === this.#program.pid && !state.startsWith("Z");
      },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.interrupt("SIGKILL");
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    await this.ended();
  }
}

/** How often processes that end by themselves are looked for: for some ten seconds. */
const MOST_LOOKS = 800;
