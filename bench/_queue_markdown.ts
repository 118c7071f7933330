/**
 * The results of the queues as Markdown: `QUEUE.md`.
 *
 * @module
 */

import {
  HOW_TO_READ,
  QUICK_RUN,
  renderBody,
  renderRun,
  renderScore,
} from "./_markdown.ts";
import type { Results } from "./_measurement.ts";
import { JOBS_AT_ONCE, WORKERS } from "./_queue_peer.ts";

/** A generated file is no business of `deno fmt`. */
const HEADER =
  "<!-- deno-fmt-ignore-file -->\n<!-- Written by `deno task bench:queue`. -->";

/** What is to be known of the contenders. */
const SETUP = [
  "Server, caller and workers are programs of one machine, so that all share its cores: figures say how much work a task makes, not what a network adds.",
  [
    `- **ours**: \`NatsExecutor\` and one node, \`nats_worker.ts --max-workers ${WORKERS}\`, which runs tasks in threads. nats-server with JetStream, its store in a file.`,
    `- **BullMQ**: a \`Queue\`, and one \`Worker\` as a program that runs jobs in its event loop, ${JOBS_AT_ONCE} at once: its fastest way for tasks that do not compute. Jobs are added by \`addBulk\`, 1,000 a call, and removed when they are finished (\`removeOnComplete\`); results come by \`QueueEvents\`. redis-server with \`appendonly yes\`, as BullMQ's documentation recommends for production, and \`appendfsync everysec\`, Redis' default.`,
    `- **BullMQ in threads**: the same with \`useWorkerThreads\` and ${WORKERS} threads, BullMQ's way for tasks that compute.`,
  ].join("\n"),
  "Neither server waits for the disk before it answers: both have written to a file by then, which reaches the disk after a second at the latest (Redis), or two minutes (NATS). For recovery there are two workers, and the one that has the task is killed by SIGKILL; `lease`, and BullMQ's `lockDuration` and `stalledInterval`, are 2 s, or `stalledInterval` is 0.5 s.",
];

/** Makes the whole report. */
export function renderQueueMarkdown(
  results: Omit<Results, "hasPython">,
): string {
  const { isQuick, measurements } = results;
  return [
    HEADER,
    "# Queues: NATS beside BullMQ",
    ...isQuick ? [QUICK_RUN] : [],
    renderRun(results),
    HOW_TO_READ,
    renderScore(measurements),
    ...renderBody(measurements),
    "## How they were set up",
    ...SETUP,
    "## Again on your machine",
    "`deno task bench:queue` measures all of this and writes this file; it needs `nats-server` and `redis-server` (Debian packages of these names). `deno task bench:queue queue-recovery` measures only what is named, and writes nothing. With `--quick` everything has one turn: to see that it works, not for figures.",
  ].join("\n\n") + "\n";
}
