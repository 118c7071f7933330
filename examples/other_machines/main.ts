// deno-lint-ignore-file no-console -- an example prints
/**
 * Counts primes on other machines; or on this one, in three terminals:
 *
 * ```sh
 * nats-server -js -a 127.0.0.1
 * deno run -A nats_worker.ts --stream primes --allow-module examples/other_machines/tasks.ts --name a
 * deno run -A nats_worker.ts --stream primes --allow-module examples/other_machines/tasks.ts --name b
 * ```
 *
 * Then, with a server and how far to count in one task, where they are others:
 *
 * ```sh
 * deno run --allow-net --allow-read examples/other_machines/main.ts 127.0.0.1:4222 1000000
 * ```
 *
 * It never imports `tasks.ts`: the nodes do. At the end it submits a task, and asks
 * for its value by its id, as another program could that knows no more than that.
 *
 * It prints:
 *
 * ```text
 * below 1000000: 78498 primes
 * below 2000000: 148933 primes
 * below 3000000: 216816 primes
 * below 4000000: 283146 primes
 * by the id of a task, below 100000: 9592 primes
 * ```
 *
 * @module
 */

import { importTasks } from "@concurrent/futures";
import { NatsExecutor } from "@concurrent/futures/nats";

const { countPrimes } = importTasks<typeof import("./tasks.ts")>(
  import.meta.resolve("./tasks.ts"),
);

/** Connects to the nodes' stream. */
function connect(servers: string): Promise<NatsExecutor> {
  return NatsExecutor.connect({ servers, stream: "primes" });
}

/** Submits a task and returns its id; the executor ends once the task is done. */
async function order(servers: string): Promise<string> {
  await using pool = await connect(servers);
  return pool.taskId(pool.submit(countPrimes, 0, 100_000));
}

/** Runs the example. */
export async function main(
  servers = "127.0.0.1:4222",
  step = 1_000_000,
): Promise<void> {
  await using pool = await connect(servers);
  const ends = [1, 2, 3, 4].map((n) => n * step);
  const counts = pool.map(countPrimes, [0, ...ends], ends);
  let sum = 0, next = 0;
  for await (const count of counts) {
    sum += count;
    console.log(`below ${ends[next++]}: ${sum} primes`);
  }
  const count = await pool.attach<number>(await order(servers));
  console.log(`by the id of a task, below 100000: ${count} primes`);
}

if (import.meta.main) {
  const [servers, step] = Deno.args;
  await main(servers, step === undefined ? undefined : Number(step));
}
