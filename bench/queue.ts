/**
 * How does `NatsExecutor` compare with BullMQ, the queue on Redis, and does it
 * reach what it promises? Measures in one run, and writes `QUEUE.md` beside this
 * file.
 *
 * ```sh
 * deno task bench:queue
 * deno task bench:queue --quick
 * deno task bench:queue queue-tasks
 * ```
 *
 * Starts a nats-server and a redis-server, which have to be installed, and ends
 * them. With names, `queue-tasks`, `queue-awaited` and `queue-recovery`, it
 * measures only those, and writes nothing. With `--quick` each contender has one
 * turn after warming up.
 *
 * Expected: recovery is one lease, as it is the server that gives the task to
 * another node; BullMQ's workers look for dead ones themselves, and need two
 * looks. `QUEUE.md` has machine, versions and commit of the last numbers.
 *
 * @module
 */

import {
  readCommit,
  readMachine,
  readProgram,
  readVersions,
} from "./_machine.ts";
import { print } from "./_print.ts";
import { renderQueueMarkdown } from "./_queue_markdown.ts";
import {
  openQueues,
  QUEUE_MEASUREMENTS,
  stopQueues,
} from "./_queue_targets.ts";
import { measureWith, parse, printMissed } from "./_run.ts";

/** The clients, as `deno.lock` names them. */
const CLIENTS = ["@nats-io/jetstream", "bullmq", "ioredis"];

async function main(): Promise<void> {
  const args = parse(Deno.args, Object.keys(QUEUE_MEASUREMENTS));
  const versions = [
    ...await readVersions(CLIENTS),
    ...await readProgram("nats-server", "nats-server"),
    ...await readProgram("redis-server", "redis-server"),
  ];
  print(versions.map(([name, version]) => `${name} ${version}`).join(", "));
  const commit = await readCommit();
  const started = performance.now();
  const measurements = await measureWith(
    QUEUE_MEASUREMENTS,
    openQueues,
    stopQueues,
    args,
  );
  const minutes = (performance.now() - started) / 60_000;
  print(`\n${minutes.toFixed(1)} minutes in all`);
  printMissed(measurements);
  if (args.names.length > 0) return;
  const report = renderQueueMarkdown({
    date: new Date().toISOString().slice(0, 10),
    commit,
    isQuick: args.isQuick,
    minutes,
    machine: readMachine(),
    versions,
    measurements,
  });
  await Deno.writeTextFile(new URL("QUEUE.md", import.meta.url), report);
  print("\nWrote bench/QUEUE.md");
}

if (import.meta.main) await main();
