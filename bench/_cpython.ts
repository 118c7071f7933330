/**
 * CPython's pools as contenders: a `python3` that runs `cpython.py` and measures
 * what it is asked to.
 *
 * @module
 */

import { contend, type Contender, type Remarks } from "./_contest.ts";

/** The measurements of `cpython.py`. */
export type Measurement =
  | "first_result"
  | "round_trips"
  | "burst"
  | "map_numbers"
  | "echo"
  | "split"
  | "pending_bytes"
  | "done_while_busy";

/** A running `cpython.py`. */
export class CPython {
  /** As in `3.14.0`. */
  readonly version: string;
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #lines: AsyncIterator<string>;

  private constructor(
    child: Deno.ChildProcess,
    lines: AsyncIterator<string>,
    version: string,
  ) {
    this.version = version;
    this.#child = child;
    this.#writer = child.stdin.getWriter();
    this.#lines = lines;
  }

  /** Starts CPython with warm workers; `null` where there is no `python3`. */
  static async open(kind: "threads" | "processes"): Promise<CPython | null> {
    const file = new URL("cpython.py", import.meta.url).pathname;
    let child: Deno.ChildProcess;
    try {
      child = new Deno.Command("python3", {
        args: [file, kind],
        stdin: "piped",
        stdout: "piped",
      }).spawn();
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    }
    const lines = readLines(child.stdout);
    return new CPython(child, lines, await nextLine(lines));
  }

  /** Asks for one measurement, in the unit that `cpython.py` names. */
  async measure(name: Measurement, n = 0): Promise<number> {
    const request = JSON.stringify([name, n]) + "\n";
    await this.#writer.write(new TextEncoder().encode(request));
    return Number(await nextLine(this.#lines));
  }

  /** The same in milliseconds, for what is measured in seconds. */
  async time(name: Measurement, n = 0): Promise<number> {
    return await this.measure(name, n) * 1e3;
  }

  /** Ends it. */
  async stop(): Promise<void> {
    await this.#writer.close();
    await this.#child.status;
  }
}

/** CPython as a contender, in a list that is empty where it is not there. */
export function contendPython(
  python: CPython | null,
  measure: (python: CPython) => Promise<number>,
  remarks: Remarks = {},
): Contender[] {
  if (python === null) return [];
  return [contend("CPython", () => measure(python), remarks)];
}

async function nextLine(lines: AsyncIterator<string>): Promise<string> {
  const { done, value } = await lines.next();
  if (!done) return value;
  throw new Error("Cannot compare with CPython as cpython.py ended: see above");
}

async function* readLines(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}
