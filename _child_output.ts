/**
 * What tasks and their processes do with the standard streams of a worker
 * process: stdin is the pool's, so to tasks it is empty, as it is in Python.
 * stdout and stderr are shared with the pool's frames (`_segments.ts`).
 *
 * A result overtakes what was printed on stderr, which is another pipe; so a
 * mark is left there after it, which the manager waits for. Marks after every
 * task would cost four fifths of the throughput (Deno 2.9.6, x86-64 Linux,
 * 2026-11): in a row of tasks only one that is known to have printed, or to have
 * started a process, leaves one; the last of the row always does.
 *
 * @module
 */

import { realm, replace } from "./_realm.ts";
import type { SegmentWriter } from "./_segments.ts";

/** Marks on stderr what was printed there before an outcome. */
export class OutputMarks {
  readonly #writer: SegmentWriter;
  #hasPrinted = false;
  /** Whether processes were started that may print at any time. */
  #hasStarted = false;
  #last = 0;

  /** @param writer Writes to stderr. */
  constructor(writer: SegmentWriter) {
    this.#writer = writer;
    closeStdin();
    this.#watchPrinting();
    this.#watchCommands();
  }

  /**
   * Leaves a mark, where something may have been printed; returns its number, 0
   * for none.
   *
   * @param isLast Whether no other task is there: then a mark hurts nobody.
   */
  leave(isLast: boolean): number {
    if (!isLast && !this.#hasPrinted && !this.#hasStarted) return 0;
    this.#hasPrinted = false;
    this.#last = (this.#last % 0x7fff_ffff) + 1;
    this.#writer.write("mark", this.#last);
    return this.#last;
  }

  #watchPrinting(): void {
    const note = () => {
      this.#hasPrinted = true;
    };
    for (const name of ["assert", "error", "trace", "warn"] as const) {
      watch(console as unknown as Record<string, unknown>, name, note);
    }
    for (const name of ["write", "writeSync"] as const) {
      watch(Deno.stderr as unknown as Record<string, unknown>, name, note);
    }
  }

  /** A process that inherits stdin would eat frames: it gets none. */
  #watchCommands(): void {
    const note = () => {
      this.#hasStarted = true;
    };
    const { Command } = Deno;
    class WatchedCommand extends Command {
      constructor(command: string | URL, options: Deno.CommandOptions = {}) {
        const { stdin = "inherit" } = options;
        super(command, {
          ...options,
          stdin: stdin === "inherit" ? "null" : stdin,
        });
        note();
      }
    }
    Object.defineProperty(WatchedCommand, "name", { value: "Command" });
    for (const [name, method] of SPAWNERS) {
      const spawner = (command: string | URL, ...rest: unknown[]) => {
        const [args, options] = Array.isArray(rest[0])
          ? [{ args: rest[0] }, rest[1]]
          : [{}, rest[0]];
        const all = { ...options as Deno.CommandOptions, ...args };
        return new WatchedCommand(command, all)[method]();
      };
      if (name in Deno) replaceOf(Deno, name, spawner);
    }
    replaceOf(Deno, "Command", WatchedCommand);
  }
}

/** Deno's shorter ways to a command, and what they call. */
const SPAWNERS = [
  ["spawn", "spawn"],
  ["spawnAndWait", "output"],
  ["spawnAndWaitSync", "outputSync"],
] as const;

function replaceOf(holder: object, name: string, value: unknown): void {
  replace<string, unknown>(holder as Record<string, unknown>, name, value);
}

function watch(
  holder: Record<string, unknown>,
  name: string,
  note: () => void,
): void {
  const original = holder[name] as (...args: unknown[]) => unknown;
  const watched = function (this: unknown, ...args: unknown[]): unknown {
    note();
    return Reflect.apply(original, this, args);
  };
  Object.defineProperty(watched, "name", { value: name });
  realm.replaced.set(watched, Function.prototype.toString.call(original));
  holder[name] = watched;
}

/** PYTHON: a worker's stdin is the null device there too. */
function closeStdin(): void {
  Object.defineProperties(Deno.stdin, {
    read: { value: () => Promise.resolve(null), configurable: true },
    readSync: { value: () => null, configurable: true },
    readable: { get: () => new Blob().stream(), configurable: true },
  });
}
