/**
 * Plays the terminal of stderr, and reads what was drawn there.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { delay } from "@std/async";

const FRAME_START = "\r\x1b[2K\x1b[?7l";
const FRAME_END = " \x1b[?7h";

/** Takes the place of stderr's terminal, up to the end of a `using` block. */
export class Screen implements Disposable {
  /** All that was written. */
  text = "";
  readonly #own = new Map<string, PropertyDescriptor | undefined>();

  /** @param isTerminal Whether stderr is a terminal. */
  constructor(isTerminal: boolean = true) {
    this.#replace("isTerminal", () => isTerminal);
    this.#replace("writeSync", (bytes: Uint8Array) => {
      this.text += new TextDecoder().decode(bytes);
      return bytes.length;
    });
  }

  /** Has each write fail, as where the terminal was closed. */
  close(): void {
    Deno.stderr.writeSync = () => {
      throw new Error("Input/output error (os error 5)");
    };
  }

  #replace(name: string, value: unknown): void {
    if (!this.#own.has(name)) {
      const own = Object.getOwnPropertyDescriptor(Deno.stderr, name);
      this.#own.set(name, own);
    }
    Object.defineProperty(Deno.stderr, name, {
      value,
      configurable: true,
      writable: true,
    });
  }

  /** Each drawing of a bar, without the bar itself. */
  get frames(): string[] {
    return readFrames(this.text);
  }

  /** Waits until a drawing has all of these texts. */
  async untilDrawn(...parts: string[]): Promise<void> {
    const isDrawn = (frame: string) =>
      parts.every((part) => frame.includes(part));
    while (!this.frames.some(isDrawn)) await delay(1);
  }

  /** Asserts that a bar's line was ended, and nothing written after it. */
  assertEnded(): void {
    assertEquals(this.text.slice(-FRAME_END.length - 1), `${FRAME_END}\n`);
  }

  [Symbol.dispose](): void {
    for (const [name, own] of this.#own) {
      if (own) Object.defineProperty(Deno.stderr, name, own);
      else delete (Deno.stderr as unknown as Record<string, unknown>)[name];
    }
  }
}

/** Returns each drawing of a bar in a terminal's output, without the bar itself. */
export function readFrames(text: string): string[] {
  return text.split(FRAME_START).slice(1).map((rest) =>
    rest.split(FRAME_END)[0].replace(/[█░]+ */, "")
  );
}
