/**
 * Says in words how a process ended, and why it may have.
 *
 * @module
 */

/** How a process ended. */
export interface Exit {
  readonly code: number;
  readonly signal: Deno.Signal | null;
  /** What it did before that made it be killed. */
  readonly fault: string | undefined;
  /** The last lines that it wrote to stderr. */
  readonly lastLines: string;
}

/** Says what happened; the subject comes before. */
export function describeExit({ code, signal, fault }: Exit): string {
  if (fault !== undefined) return fault;
  return signal === null
    ? `exited with code ${code}`
    : `was killed by ${signal}`;
}

/** What it wrote last, for the end of a message; empty where that was nothing. */
export function quoteLastLines({ lastLines }: Exit): string {
  if (lastLines === "") return "";
  return `; its last lines on stderr:\n${lastLines.replaceAll(/^/gm, "  ")}`;
}

/** Says what the cause may be; empty where nothing is known. */
export function likelyCause({ code, signal, fault, lastLines }: Exit): string {
  if (fault !== undefined) return "";
  if (/out of memory/i.test(lastLines)) {
    return "likely it ran out of memory: send it less, or allow it more by " +
      'context: { denoArgs: ["--v8-flags=--max-old-space-size=<MB>"] }';
  }
  switch (signal) {
    case "SIGKILL":
      return "likely the system ran out of memory, or somebody killed it";
    case "SIGABRT":
    case "SIGBUS":
    case "SIGILL":
    case "SIGSEGV":
    case "SIGTRAP":
      return "likely native code crashed";
    case null:
      return code === 0 ? "likely Deno.exit() was called" : "";
    default:
      return "likely somebody sent it that signal";
  }
}
