/**
 * `NatsExecutor` beside BullMQ, each with its server and one program that works
 * on the queue; and the targets.
 *
 * BullMQ runs jobs in the event loop of its worker: that is its fastest way for
 * tasks that do not compute, and the targets are set by it. Its way for those
 * that do is in threads, so that the worker can go on renewing its locks. Nodes
 * of this module have no other.
 *
 * @module
 */

import { Bullmq } from "./_bullmq.ts";
import { check } from "./_check.ts";
import {
  compete,
  contend,
  type Effort,
  type Measurements,
  type Question,
  type Remarks,
  timed,
} from "./_contest.ts";
import type { Measurement, Opponent, Target } from "./_measurement.ts";
import { NatsPeer } from "./_nats.ts";
import type { Program } from "./_program.ts";
import { QueueGate } from "./_queue_gate.ts";
import { type QueuePeer, WORKERS } from "./_queue_peer.ts";
import { type Server, startNats, startRedis } from "./_servers.ts";

const TASKS = 20_000;
const ROUND_TRIPS = 500;
const CHUNK_SIZE = 100;

/** The lease of a task, the lock of a job. */
const LEASE_MS = 2_000;
/** What is added to it until another worker has the result. */
const MAX_EXTRA_MS = 1_000;
/** How often BullMQ looks for dead workers where it does so more often than a lease lasts. */
const OFTEN_MS = 500;

const WARMING_UPS = 3;

const BULLMQ = "BullMQ";

/** Why BullMQ is ahead, where it is. */
const BEHIND: Remarks = {
  reason:
    "A task by itself is three writes to the store that the server confirms, the task, its start and its result, so that `cancel()` is exact and `attach` finds the result; a worker of BullMQ ends a job and takes the next in one. And here a task goes through two threads more: the caller's manager, and the worker within the node, which leaves the node's own thread free to renew leases. Of 0.72 ms, 0.21 go to the way to the node, 0.15 to the start, 0.17 to the node's thread and back, 0.2 to the way back.",
};

/** All that is measured side by side, warm, and where their servers are. */
export interface Queues {
  readonly ours: NatsPeer;
  readonly bullmq: Bullmq;
  readonly inThreads: Bullmq;
  readonly nats: Server;
  readonly redis: Server;
  /** Ends all. */
  readonly end: AsyncDisposable;
}

/** Starts servers, queues and a worker for each. */
export async function openQueues(): Promise<Queues> {
  await using stack = new AsyncDisposableStack();
  const keep = <T extends { kill(): Promise<void> }>(started: T) =>
    stack.adopt(started, () => started.kill());
  const nats = keep(await startNats());
  const redis = keep(await startRedis());
  const named = { port: redis.port, queue: "bench" };
  const ours = await NatsPeer.connect({ port: nats.port, stream: "bench" });
  const bullmq = await Bullmq.connect({ ...named, name: BULLMQ });
  const inThreads = await Bullmq.connect({
    port: redis.port,
    name: `${BULLMQ} in threads`,
    queue: "threads",
    threads: WORKERS,
  });
  for (const peer of [ours, bullmq, inThreads]) {
    stack.defer(() => peer.stop());
    keep(await peer.startWorker());
    for (let i = 0; i < WARMING_UPS; i++) await burst(peer);
  }
  return { ours, bullmq, inThreads, nats, redis, end: stack.move() };
}

/** Ends all. */
export async function stopQueues({ end }: Queues): Promise<void> {
  await end[Symbol.asyncDispose]();
}

function ask(
  question: string,
  unit: string,
  better: Question["better"],
): Question {
  return { group: "Queues", question, unit, better };
}

async function burst(peer: QueuePeer): Promise<void> {
  const results = peer.addMany(TASKS);
  for (let i = 0; i < TASKS; i++) check(peer, await results[i], i + 1);
}

async function measureTasks(
  { ours, bullmq, inThreads }: Queues,
  effort: Effort,
): Promise<Measurement[]> {
  const rateOf = (elapsed: number) => TASKS / elapsed * 1e3;
  const rate = (peer: QueuePeer, remarks?: Remarks) =>
    contend(
      peer.name,
      async () => rateOf(await timed(() => burst(peer))),
      remarks,
    );
  const sum = TASKS * (TASKS + 1) / 2;
  const map = async () => check(ours, await ours.sumOf(TASKS, CHUNK_SIZE), sum);
  return [
    await compete(
      ask("20,000 no-op tasks, each awaited", "/s", "higher"),
      effort.repetitions(7),
      rate(ours),
      [
        rate(bullmq, BEHIND),
        rate(inThreads, BEHIND),
        contend(
          "`map`, `chunkSize` 100",
          async () => rateOf(await timed(map)),
          {
            isOurs: true,
          },
        ),
      ],
      ({ opponents }) => notBehind(opponents, "at least BullMQ's"),
    ),
  ];
}

async function measureAwaited(
  { ours, bullmq, inThreads }: Queues,
  effort: Effort,
): Promise<Measurement[]> {
  const micros = (peer: QueuePeer, remarks?: Remarks) =>
    contend(peer.name, async () => {
      const elapsed = await timed(async () => {
        for (let i = 0; i < ROUND_TRIPS; i++) {
          check(peer, await peer.add(i, 1), i + 1);
        }
      });
      return elapsed / ROUND_TRIPS * 1e3;
    }, remarks);
  return [
    await compete(
      ask("one call and its result, awaited", "µs", "lower"),
      effort.repetitions(9),
      micros(ours),
      [micros(bullmq, BEHIND), micros(inThreads, BEHIND)],
      ({ opponents }) => notBehind(opponents, "at most BullMQ's"),
    ),
  ];
}

/** The target of being no worse than BullMQ in its fastest way. */
function notBehind(opponents: readonly Opponent[], text: string): Target[] {
  return opponents.filter(({ name }) => name === BULLMQ)
    .map(({ ratio }) => ({ text, isReached: ratio >= 1 }));
}

async function measureRecovery(
  { nats, redis }: Queues,
  effort: Effort,
): Promise<Measurement[]> {
  await using stack = new AsyncDisposableStack();
  const contendHere = async (peer: QueuePeer) => {
    const pair = stack.use(await Pair.start(peer));
    return contend(peer.name, () => pair.timeRecovery());
  };
  const theirs = async (name: string, checkMs: number) =>
    await contendHere(
      await Bullmq.connect({
        port: redis.port,
        name,
        queue: `recovery-${checkMs}`,
        lease: { leaseMs: LEASE_MS, checkMs },
      }),
    );
  return [
    await compete(
      ask(
        "from a worker's death to its task's result, lease 2 s",
        "ms",
        "lower",
      ),
      effort.repetitions(5),
      await contendHere(
        await NatsPeer.connect({
          port: nats.port,
          stream: "recovery",
          leaseMs: LEASE_MS,
        }),
      ),
      [
        await theirs(BULLMQ, LEASE_MS),
        await theirs(`${BULLMQ}, looking every 0.5 s`, OFTEN_MS),
      ],
      ({ ours }) => [{
        text: "each time within the lease and a second",
        isReached: ours.max <= LEASE_MS + MAX_EXTRA_MS,
      }],
    ),
  ];
}

/** A queue with two workers, one of which dies again and again. */
class Pair implements AsyncDisposable {
  readonly #peer: QueuePeer;
  readonly #workers: Program[] = [];

  private constructor(peer: QueuePeer) {
    this.#peer = peer;
  }

  static async start(peer: QueuePeer): Promise<Pair> {
    const pair = new Pair(peer);
    for (let i = 0; i < 2; i++) pair.#workers.push(await peer.startWorker());
    return pair;
  }

  /** Kills the worker that has a task: milliseconds until the other one's result is there. */
  async timeRecovery(): Promise<number> {
    const peer = this.#peer;
    await using gate = new QueueGate();
    const result = peer.pass(gate.url);
    const pid = await gate.first;
    const at = this.#workers.findIndex((worker) => worker.pid === pid);
    const elapsed = await timed(async () => {
      await this.#workers[at].kill();
      check(peer, await result, this.#workers[1 - at].pid);
    });
    this.#workers[at] = await peer.startWorker();
    return elapsed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const worker of this.#workers) await worker.kill();
    await this.#peer.stop();
  }
}

/** All measurements, by the names that `queue.ts` takes. */
export const QUEUE_MEASUREMENTS: Measurements<Queues> = {
  "queue-tasks": measureTasks,
  "queue-awaited": measureAwaited,
  "queue-recovery": measureRecovery,
};
