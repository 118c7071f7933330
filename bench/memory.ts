/**
 * How much memory does a pending future take: a million no-op tasks with a small
 * argument, submitted while both workers are busy?
 *
 * ```sh
 * deno run --allow-read --allow-env --allow-sys=cpus --allow-run bench/memory.ts
 * ```
 *
 * Each pool is measured in a process of its own, with the V8 flag `--expose-gc`.
 * The growth of the whole process (RSS) decides; beside it stands what of it is
 * JavaScript heap of the main thread. Both are counted after a collection. Then
 * the workers are let go and results checked, for at most ten seconds: the queue
 * of workerpool takes a millisecond a task when it is that long.
 *
 * Expected: under 500 bytes a future for this pool, argument and queue included.
 *
 * Last numbers: 2 cores of a virtual machine, x86-64 Linux, Deno 2.9.6,
 * 2026-11-20, commit f10a802: see "Speed" in README.md.
 *
 * @module
 */

import { check, createPeers, openWarm, type Peer } from "./_peers.ts";
import { describeMachine, print, printTable, whole } from "./_report.ts";

const PENDING = 1_000_000;
const MAX_PENDING_BYTES = 500;
const CHECK_MS = 10_000;

/** What one process found. */
export interface Usage {
  /** Bytes a pending future: of the process, and of the main thread's heap. */
  rss: number;
  heap: number;
  /** How many results were right; a wrong one is an error. */
  checked: number;
}

/** Measures one pool in a process of its own. */
export async function measureInProcess(name: string): Promise<Usage> {
  const args = [
    "run",
    "--no-lock",
    "--allow-read",
    "--allow-env",
    "--allow-sys=cpus",
    "--v8-flags=--expose-gc",
    import.meta.filename!,
    name,
  ];
  const command = new Deno.Command(Deno.execPath(), {
    args,
    stderr: "inherit",
  });
  const { success, stdout } = await command.output();
  if (!success) throw new Error(`Cannot measure ${name}: its process failed`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** Fills this process with pending futures of one pool. */
async function measureHere(peer: Peer): Promise<Usage> {
  await openWarm(peer);
  const flag = new Int32Array(new SharedArrayBuffer(8));
  const gates = [peer.run("gate", flag), peer.run("gate", flag)];
  while (Atomics.load(flag, 1) < gates.length) await turn();

  const results = new Array<PromiseLike<number>>(PENDING).fill(gates[0]);
  const before = await usage();
  for (let i = 0; i < PENDING; i++) results[i] = peer.run("identity", i);
  const after = await usage();

  Atomics.store(flag, 0, 1);
  Atomics.notify(flag, 0);
  for (const result of gates) check(peer, await result, 1);
  const end = performance.now() + CHECK_MS;
  let checked = 0;
  for (; checked < PENDING && performance.now() < end; checked++) {
    check(peer, await results[checked], checked);
  }
  return {
    rss: (after.rss - before.rss) / PENDING,
    heap: (after.heapUsed - before.heapUsed) / PENDING,
    checked,
  };
}

async function usage(): Promise<Deno.MemoryUsage> {
  for (let i = 0; i < 3; i++) {
    (globalThis as unknown as { gc(): void }).gc();
    await turn();
  }
  return Deno.memoryUsage();
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}

async function printAll(): Promise<void> {
  const rows = [[
    "pool",
    "bytes a pending future",
    "of it heap",
    "under 500?",
    "results checked",
  ]];
  for (const { name } of createPeers()) {
    const { rss, heap, checked } = await measureInProcess(name);
    const reached = rss < MAX_PENDING_BYTES ? "yes" : "no";
    rows.push([name, whole(rss), whole(heap), reached, whole(checked)]);
  }
  print(`${whole(PENDING)} pending futures, ${describeMachine()}\n`);
  printTable(rows);
}

if (import.meta.main) {
  const peer = createPeers().find(({ name }) => name === Deno.args[0]);
  if (peer === undefined) {
    await printAll();
  } else {
    print(JSON.stringify(await measureHere(peer)));
    Deno.exit(); // a pool of npm may keep a process alive, or take long to end
  }
}
