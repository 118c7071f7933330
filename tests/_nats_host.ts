/**
 * The process in which the nodes of tests live: starts and ends them as files in a folder tell it,
 * see `_nats_pool.ts`.
 *
 * @module
 */

import { startNode } from "../nats_worker.ts";
import type { NodeOrder } from "./_nats_pool.ts";

const [folder] = Deno.args;

/** Nodes by their streams; each is gone once its promise has resolved and it was drained. */
const nodes = new Map<string, ReturnType<typeof startNode>>();

async function follow(): Promise<void> {
  using watcher = Deno.watchFs(folder);
  Deno.stdout.writeSync(new TextEncoder().encode("ready\n"));
  for await (const { kind, paths } of watcher) {
    if (kind === "remove" || kind === "access") continue;
    for (const path of paths) take(path);
  }
}

function take(path: string): void {
  const [, stream, order] = /([^/]+)\.(start|stop)$/.exec(path) ?? [];
  if (order === "start" && !nodes.has(stream)) {
    nodes.set(stream, start(path));
  } else if (order === "stop" && nodes.has(stream)) stop(stream);
}

async function start(path: string): ReturnType<typeof startNode> {
  const { servers, stream, maxWorkers }: NodeOrder = JSON.parse(
    await Deno.readTextFile(path),
  );
  return await startNode({
    servers,
    stream,
    maxWorkers,
    name: `node of ${stream}`,
    allowModules: [import.meta.resolve("./_tasks.ts")],
    allowSource: true,
  });
}

async function stop(stream: string): Promise<void> {
  const node = await nodes.get(stream);
  await node?.drain();
  // The order of its start stays, so that it is not started again.
}

await follow();
