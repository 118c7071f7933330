/**
 * Does a pool give back what it takes? Memory, file descriptors, threads and processes before and
 * after much use, and CPU time without any.
 *
 * ```sh
 * deno task resources
 * deno task resources --pool=thread --scale=0.01 --idle-seconds=5 idle dropped
 * ```
 *
 * | scenario  | what is done, with threads and with processes                         |
 * | --------- | --------------------------------------------------------------------- |
 * | `pools`   | 1,000 pools made, used, and shut down in every way                    |
 * | `tasks`   | 10,000,000 tasks through one pool, at most 10,000 pending             |
 * | `map`     | 1,000,000 calls through `map` with `bufferSize`, twice                |
 * | `idle`    | a pool with all its workers started, left alone for 60 s              |
 * | `dropped` | pools dropped without `shutdown`, in every state, and 100 in a row    |
 *
 * With names it runs only those. Each scenario runs in a process of its own; each figure stands
 * beside what is allowed, and the exit code is 1 where one is beyond that. Counts are multiplied by
 * `--scale`. Handles and CPU time are read from `/proc`: it takes Linux.
 *
 * @module
 */

import { runDropped } from "./_resource_dropped.ts";
import { runIdle, runMap, runPools, runTasks } from "./_resource_load.ts";
import {
  type Kind,
  KINDS,
  print,
  Report,
  type Setup,
} from "./_resource_report.ts";

const SCENARIOS: Readonly<Record<string, (setup: Setup) => Promise<void>>> = {
  pools: runPools,
  tasks: runTasks,
  map: runMap,
  idle: runIdle,
  dropped: runDropped,
};

/** The command line. */
interface Arguments {
  names: string[];
  kinds: Kind[];
  scale: number;
  idleSeconds: number;
}

function parse(args: readonly string[]): Arguments {
  const parsed: Arguments = {
    names: [],
    kinds: [...KINDS],
    scale: 1,
    idleSeconds: 60,
  };
  for (const arg of args) {
    const [flag, value] = arg.split("=");
    if (flag === "--pool") parsed.kinds = [parseKind(value)];
    else if (flag === "--scale") parsed.scale = Number(value);
    else if (flag === "--idle-seconds") parsed.idleSeconds = Number(value);
    else if (arg in SCENARIOS) parsed.names.push(arg);
    else {throw new TypeError(
        `Cannot run as there is no such scenario or flag: "${arg}"`,
      );}
  }
  if (parsed.names.length === 0) parsed.names = Object.keys(SCENARIOS);
  return parsed;
}

function parseKind(value: string): Kind {
  const kind = KINDS.find((kind) => kind === value);
  if (kind !== undefined) return kind;
  throw new TypeError(
    `Cannot run as --pool must be one of ${KINDS}: received "${value}"`,
  );
}

/** Runs one scenario with one kind of pool, here; returns whether all was within its allowance. */
async function runHere(
  name: string,
  kind: Kind,
  { scale, idleSeconds }: Arguments,
): Promise<boolean> {
  const report = new Report();
  await SCENARIOS[name]({ kind, scale, idleSeconds, report });
  return report.failures === 0;
}

/** Runs each in a process of its own, so that none starts with what another left. */
async function runEach(args: Arguments): Promise<boolean> {
  const bad: string[] = [];
  for (const name of args.names) {
    for (const kind of args.kinds) {
      const title = `${name}, ${kind} pool`;
      print(`\n${title}`);
      const started = performance.now();
      if (!await runApart(name, kind, args)) bad.push(title);
      print(
        `  ${((performance.now() - started) / 1_000).toFixed(1)} s in all`,
      );
    }
  }
  print(
    `\n${
      bad.length === 0
        ? "All within what is allowed"
        : `NOT OK: ${bad.join("; ")}`
    }`,
  );
  return bad.length === 0;
}

async function runApart(
  name: string,
  kind: Kind,
  { scale, idleSeconds }: Arguments,
): Promise<boolean> {
  const command = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--v8-flags=--expose-gc",
      import.meta.filename!,
      name,
      `--pool=${kind}`,
      `--scale=${scale}`,
      `--idle-seconds=${idleSeconds}`,
    ],
    stdin: "null",
  });
  const { success } = await command.spawn().status;
  return success;
}

if (import.meta.main) {
  const args = parse(Deno.args);
  const isOne = args.names.length === 1 && args.kinds.length === 1;
  const isGood = isOne
    ? await runHere(args.names[0], args.kinds[0], args)
    : await runEach(args);
  if (!isGood) Deno.exitCode = 1;
}
