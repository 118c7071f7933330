import { assertEquals } from "@std/assert";
import {
  describeExit,
  type Exit,
  likelyCause,
  quoteLastLines,
} from "../_exit.ts";

const MEMORY =
  "likely it ran out of memory: send it less, or allow it more by " +
  'context: { denoArgs: ["--v8-flags=--max-old-space-size=<MB>"] }';
const CRASH = "likely native code crashed";
const SIGNAL = "likely somebody sent it that signal";

interface Row {
  readonly name: string;
  readonly exit: Partial<Exit>;
  readonly says: string;
  readonly explains: string;
  readonly quotes?: string;
}

function bySignal(signal: Deno.Signal, explains: string): Row {
  return {
    name: signal,
    exit: { code: 128, signal },
    says: `was killed by ${signal}`,
    explains,
  };
}

const ROWS: Row[] = [
  {
    name: "code 0",
    exit: { code: 0 },
    says: "exited with code 0",
    explains: "likely Deno.exit() was called",
  },
  {
    name: "code 1",
    exit: { code: 1 },
    says: "exited with code 1",
    explains: "",
  },
  {
    name: "code 137, no signal",
    exit: { code: 137 },
    says: "exited with code 137",
    explains: "",
  },
  bySignal(
    "SIGKILL",
    "likely the system ran out of memory, or somebody killed it",
  ),
  bySignal("SIGABRT", CRASH),
  bySignal("SIGBUS", CRASH),
  bySignal("SIGILL", CRASH),
  bySignal("SIGSEGV", CRASH),
  bySignal("SIGTRAP", CRASH),
  bySignal("SIGTERM", SIGNAL),
  bySignal("SIGINT", SIGNAL),
  bySignal("SIGHUP", SIGNAL),
  {
    name: "code 1 and last lines",
    exit: { code: 1, lastLines: "one\ntwo" },
    says: "exited with code 1",
    explains: "",
    quotes: "; its last lines on stderr:\n  one\n  two",
  },
  {
    name: "code 0 and last lines",
    exit: { code: 0, lastLines: "bye" },
    says: "exited with code 0",
    explains: "likely Deno.exit() was called",
    quotes: "; its last lines on stderr:\n  bye",
  },
  {
    name: "a signal after V8 ran out of memory",
    exit: {
      code: 133,
      signal: "SIGTRAP",
      lastLines: "# Fatal JavaScript out of memory: Reached heap limit",
    },
    says: "was killed by SIGTRAP",
    explains: MEMORY,
    quotes: "; its last lines on stderr:\n" +
      "  # Fatal JavaScript out of memory: Reached heap limit",
  },
  {
    name: "a code after it ran Out Of Memory",
    exit: { code: 1, lastLines: "Out Of Memory" },
    says: "exited with code 1",
    explains: MEMORY,
    quotes: "; its last lines on stderr:\n  Out Of Memory",
  },
  {
    name: "a fault, which tells more than the kill for it",
    exit: { code: 137, signal: "SIGKILL", fault: "sent what it must not: x" },
    says: "sent what it must not: x",
    explains: "",
  },
  {
    name: "a fault and last lines",
    exit: {
      code: 137,
      signal: "SIGKILL",
      fault: "closed its stdout",
      lastLines: "out of memory",
    },
    says: "closed its stdout",
    explains: "",
    quotes: "; its last lines on stderr:\n  out of memory",
  },
];

for (const { name, exit, says, explains, quotes = "" } of ROWS) {
  const whole: Exit = {
    code: 0,
    signal: null,
    fault: undefined,
    lastLines: "",
    ...exit,
  };

  Deno.test(`describeExit() says what happened, for ${name}`, () => {
    assertEquals(describeExit(whole), says);
  });

  Deno.test(`likelyCause() says why, for ${name}`, () => {
    assertEquals(likelyCause(whole), explains);
  });

  Deno.test(`quoteLastLines() ends a message, for ${name}`, () => {
    assertEquals(quoteLastLines(whole), quotes);
  });
}
