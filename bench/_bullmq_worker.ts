/**
 * A worker of BullMQ, a program of its own, as its documentation recommends.
 *
 * @module
 */

import { type Job, Worker } from "npm:bullmq@6.7.0";
import { Redis } from "npm:ioredis@6.0.0";
import run from "./_bullmq_processor.ts";
import { print } from "./_print.ts";

/** What the worker is told, as JSON. */
export interface WorkerConfig {
  readonly port: number;
  readonly queue: string;
  /** How many jobs it has at once. */
  readonly concurrency: number;
  /** Whether jobs run in threads, or in the event loop of the worker. */
  readonly isInThreads: boolean;
  /** For how long a job is the worker's, unless renewed; BullMQ's default without it. */
  readonly lockMs?: number;
  /** How often it is looked for jobs whose lock has run out; BullMQ's default without it. */
  readonly checkMs?: number;
}

async function main(config: WorkerConfig): Promise<void> {
  const { port, queue, concurrency, isInThreads, lockMs, checkMs } = config;
  const connection = new Redis(port, "127.0.0.1", {
    maxRetriesPerRequest: null, // BullMQ asks for it
    retryStrategy: () => null,
  });
  // BullMQ would try again for ever.
  connection.on("end", () => Deno.exit(1));
  const worker = new Worker(
    queue,
    isInThreads
      ? new URL("./_bullmq_processor.ts", import.meta.url)
      : (job: Job) => run(job),
    {
      connection,
      concurrency,
      useWorkerThreads: true,
      ...lockMs === undefined ? {} : { lockDuration: lockMs },
      ...checkMs === undefined ? {} : { stalledInterval: checkMs },
    },
  );
  worker.on("error", ({ message }) => print(message));
  await worker.waitUntilReady();
  print("ready");
}

if (import.meta.main) await main(JSON.parse(Deno.args[0]));
