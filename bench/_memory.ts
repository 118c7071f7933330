/**
 * How much memory does a pending future take: a million no-op tasks with a small
 * argument, submitted while both workers are busy?
 *
 * The module is both sides: what asks, and the program that measures one pool, in
 * a process of its own with the V8 flag `--expose-gc`. The growth of the whole
 * process (RSS) counts, after a collection. Then the workers are let go and
 * results checked, for at most ten seconds: the queue of workerpool takes a
 * millisecond a task when it is that long.
 *
 * @module
 */

import { check } from "./_check.ts";
import { createPeers, openWarm, type Peer } from "./_peers.ts";
import { print } from "./_print.ts";

/** How many futures are pending. */
export const PENDING = 1_000_000;

const CHECK_MS = 10_000;

/** Measures one pool in a process of its own; returns the bytes of a pending future. */
export async function measureInProcess(
  name: string,
  pending: number,
): Promise<number> {
  const args = [
    "run",
    "--no-lock",
    "--allow-read",
    "--allow-env",
    "--allow-sys=cpus",
    "--v8-flags=--expose-gc",
    import.meta.filename!,
    name,
    String(pending),
  ];
  const command = new Deno.Command(Deno.execPath(), {
    args,
    stderr: "inherit",
  });
  const { success, stdout } = await command.output();
  if (!success) throw new Error(`Cannot measure ${name}: its process failed`);
  return Number(new TextDecoder().decode(stdout));
}

/** Fills this process with pending futures of one pool. */
async function measureHere(peer: Peer, pending: number): Promise<number> {
  await openWarm(peer);
  const flag = new Int32Array(new SharedArrayBuffer(8));
  const gates = [peer.run("gate", flag), peer.run("gate", flag)];
  while (Atomics.load(flag, 1) < gates.length) await turn();

  const results = new Array<PromiseLike<number>>(pending).fill(gates[0]);
  const before = await residentBytes();
  for (let i = 0; i < pending; i++) results[i] = peer.run("identity", i);
  const after = await residentBytes();

  Atomics.store(flag, 0, 1);
  Atomics.notify(flag, 0);
  for (const result of gates) check(peer, await result, 1);
  const end = performance.now() + CHECK_MS;
  for (let i = 0; i < pending && performance.now() < end; i++) {
    check(peer, await results[i], i);
  }
  return (after - before) / pending;
}

async function residentBytes(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    (globalThis as unknown as { gc(): void }).gc();
    await turn();
  }
  return Deno.memoryUsage().rss;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}

if (import.meta.main) {
  const [name, pending] = Deno.args;
  const peer = createPeers().find((peer) => peer.name === name);
  if (peer === undefined) {
    throw new TypeError(`Cannot measure as there is no such pool: "${name}"`);
  }
  print(String(await measureHere(peer, Number(pending))));
  Deno.exit(); // a pool of npm may keep a process alive, or take long to end
}
