/**
 * BullMQ as a contender: a queue on a redis-server, results awaited by the caller.
 *
 * Tried, under Deno 2.9.6 on two cores, with 10,000 no-op tasks a burst:
 *
 * | what                            | tasks/s, or round trip                              |
 * | ------------------------------- | --------------------------------------------------- |
 * | `concurrency` 8                 | 12,800                                              |
 * | `concurrency` 50, 100, 300      | 15,500 to 17,000: the same                          |
 * | `addBulk` of 100, 1,000, 10,000 | 1,000 is as fast as 100, all at once 10 % slower    |
 * | 2 and 4 `Worker`s in a program  | the same as one                                     |
 * | in threads, 2 and 8 of them     | 4,500 and 7,200: BullMQ's way for what computes     |
 * | in processes, 2 and 8 of them   | 4,100 and 6,000                                     |
 * | `enableAutoPipelining`          | 10,000 to 11,000; 0.8 ms instead of 0.45            |
 * | results by `waitUntilFinished`  | the same round trip; not with `removeOnComplete`    |
 * | without `appendonly`            | the same; `appendfsync always` 15 % slower, 1.0 ms  |
 *
 * @module
 */

import { Queue, QueueEvents } from "npm:bullmq@6.7.0";
import { Redis } from "npm:ioredis@6.0.0";
import type { WorkerConfig } from "./_bullmq_worker.ts";
import { Program } from "./_program.ts";
import { JOBS_AT_ONCE, type Lease, type QueuePeer } from "./_queue_peer.ts";

/** Jobs that are added by one call. */
const BULK = 1_000;

/** Room for what a burst says: BullMQ drops events that nobody has read beyond its 10,000. */
const MAX_EVENTS = 200_000;

/** What a queue is made with. */
export interface BullmqOptions {
  /** How it stands in the report. */
  readonly name: string;
  /** Where the redis-server is. */
  readonly port: number;
  readonly queue: string;
  /** How many threads a worker runs jobs in; without it, they run in its event loop. */
  readonly threads?: number;
  /** BullMQ's defaults without it. */
  readonly lease?: Lease;
}

type Waiter = PromiseWithResolvers<number>;

/** A queue, and who waits for the results of its jobs. */
export class Bullmq implements QueuePeer {
  readonly name: string;
  readonly #options: BullmqOptions;
  readonly #connections: Redis[] = [];
  readonly #queue: Queue;
  readonly #events: QueueEvents;
  /** By the id of the job. */
  readonly #waiters = new Map<string, Waiter>();
  #nextId = 0;

  private constructor(options: BullmqOptions) {
    this.name = options.name;
    this.#options = options;
    this.#queue = new Queue(options.queue, {
      connection: this.#connect(),
      streams: { events: { maxLen: MAX_EVENTS } },
    });
    this.#events = new QueueEvents(options.queue, {
      connection: this.#connect(),
    });
    this.#listen();
  }

  /** Makes a queue, and waits until it can be used. */
  static async connect(options: BullmqOptions): Promise<Bullmq> {
    const bullmq = new Bullmq(options);
    await bullmq.#queue.waitUntilReady();
    await bullmq.#events.waitUntilReady();
    return bullmq;
  }

  add(a: number, b: number): Promise<number> {
    return this.#submit("add", a, b);
  }

  pass(gate: string): Promise<number> {
    return this.#submit("pass", gate);
  }

  addMany(count: number): Promise<number>[] {
    const results: Promise<number>[] = [];
    for (let start = 0; start < count; start += BULK) {
      const jobs = [];
      for (let i = start; i < Math.min(start + BULK, count); i++) {
        const { job, result } = this.#make("add", i, 1);
        jobs.push(job);
        results.push(result);
      }
      this.#queue.addBulk(jobs).catch((error) => this.#fail(error));
    }
    return results;
  }

  startWorker(): Promise<Program> {
    const { port, queue, threads, lease } = this.#options;
    const config: WorkerConfig = {
      port,
      queue,
      concurrency: threads ?? JOBS_AT_ONCE,
      isInThreads: threads !== undefined,
      lockMs: lease?.leaseMs,
      checkMs: lease?.checkMs,
    };
    const program = import.meta.resolve("./_bullmq_worker.ts");
    return Program.start({
      command: Deno.execPath(),
      args: ["run", "--allow-all", program, JSON.stringify(config)],
      ready: /^ready$/m,
    });
  }

  async stop(): Promise<void> {
    await this.#events.close();
    await this.#queue.close();
    for (const connection of this.#connections) connection.disconnect();
  }

  #submit(name: string, ...data: unknown[]): Promise<number> {
    const { job, result } = this.#make(name, ...data);
    this.#queue.add(job.name, job.data, job.opts)
      .catch((error) => this.#fail(error));
    return result;
  }

  #make(name: string, ...data: unknown[]) {
    // Ours: the result may be there before BullMQ has told its own.
    const jobId = `job-${this.#nextId++}`;
    const waiter: Waiter = Promise.withResolvers();
    this.#waiters.set(jobId, waiter);
    const opts = { jobId, removeOnComplete: true, removeOnFail: true };
    return { job: { name, data, opts }, result: waiter.promise };
  }

  /** BullMQ does not make clients by itself under Deno. */
  #connect(): Redis {
    const connection = new Redis(this.#options.port, "127.0.0.1", {
      maxRetriesPerRequest: null,
      retryStrategy: () => null, // it would try again for ever
    });
    this.#connections.push(connection);
    return connection;
  }

  #listen(): void {
    this.#events.on("completed", ({ jobId, returnvalue }) => {
      // BullMQ has parsed it, whatever its types say.
      this.#take(jobId)?.resolve(returnvalue as unknown as number);
    });
    this.#events.on("failed", ({ jobId, failedReason }) => {
      this.#take(jobId)?.reject(new Error(failedReason));
    });
    this.#events.on("error", (error) => this.#fail(error));
    this.#queue.on("error", (error) => this.#fail(error));
  }

  #take(jobId: string): Waiter | undefined {
    const waiter = this.#waiters.get(jobId);
    this.#waiters.delete(jobId);
    return waiter;
  }

  /** Without the server nothing comes any more. */
  #fail(error: Error): void {
    for (const { reject } of this.#waiters.values()) reject(error);
    this.#waiters.clear();
  }
}
