/**
 * What becomes of tasks when nodes, the server, the connection or the caller fail: real processes,
 * really killed.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
} from "@std/assert";
import { delay } from "@std/async";
import type { BrokenExecutor, Future } from "../mod.ts";
import * as errors from "../errors.ts";
import { tasks } from "./_harness.ts";
import { MODULES, nats, testFaults, until } from "./_nats_faults.ts";

// ------------------------------------------------------------------- nodes

testFaults(
  "NatsExecutor loses no task and settles none twice when one of two nodes is killed under load",
  async ({ gates, connect, node }) => {
    const [killed] = await Promise.all([node("killed"), node("kept")]);
    const pool = await connect();
    const numbers = Array.from({ length: 500 }, (_, n) => n);
    const settled = new Map<number, number>();
    const futures = numbers.map((n) => {
      const future = pool.submit(nats.noteSlowly, gates.folder, n);
      future.addDoneCallback(() => settled.set(n, (settled.get(n) ?? 0) + 1));
      return future;
    });
    await until(() => settled.size >= 50);
    await killed.kill();
    assertEquals(
      await Promise.all(futures.map((future) => future.result())),
      numbers.map((n) => n * 2),
    );
    assertEquals([...settled.values()], numbers.map(() => 1));
    const ran = new Set(gates.notes().map(Number));
    assertEquals(ran.size, numbers.length);
  },
);

testFaults(
  "NatsExecutor gives a task to another node when its node is killed, within the lease and a second",
  async ({ gates, connect, node }) => {
    const first = await node("first");
    const pool = await connect({ lease: 1_000 });
    const future = pool.submit(tasks.hold, gates.folder, "a");
    await until(() => gates.isReached("a"));
    assertEquals(future.running(), true);
    await node("second");
    await first.kill();
    gates.open("a");
    assertEquals(await future, "a");
    assertEquals(future.running(), false);
  },
);

testFaults(
  "NatsExecutor settles a future once when a node comes back after its lease with a result",
  async ({ gates, connect, node }) => {
    const stopped = await node("stopped", { maxWorkers: 1 });
    const pool = await connect({ lease: 1_000 });
    let settled = 0;
    const future = pool.submit(tasks.hold, gates.folder, "a");
    future.addDoneCallback(() => settled++);
    await until(() => gates.isReached("a"));
    stopped.child.kill("SIGSTOP");
    Deno.removeSync(`${gates.folder}/a.started`);
    await node("other", { maxWorkers: 1 });
    await until(() => gates.isReached("a"));
    gates.open("a");
    assertEquals(await future, "a");
    stopped.child.kill("SIGCONT");
    // The one that came back serves on; what it has to say of the task changes nothing.
    const later = pool.map(
      nats.double,
      Array.from({ length: 20 }, (_, n) => n),
    );
    assertEquals((await Array.fromAsync(later)).length, 20);
    assertEquals([settled, await pool.attach(pool.taskId(future))], [1, "a"]);
  },
);

testFaults(
  "NatsExecutor fails a task with BrokenExecutor when it has killed as many nodes as it may",
  async ({ connect, node }) => {
    const nodes = [await node("n1"), await node("n2")];
    const pool = await connect({ lease: 500, retries: 1 });
    const future = pool.submit(nats.dieAtOnce);
    const error = await future.exception() as BrokenExecutor;
    assertInstanceOf(error, errors.BrokenExecutor);
    assertMatch(error.message, /2 node.*"n[12]".*lease of 500 ms.*retries/s);
    for (const node of nodes) await node.status();
    // Others are served, by a node that is started anew; who attaches sees the same.
    await node("n3");
    assertEquals(await pool.submit(tasks.add, 1, 2), 3);
    const again = pool.attach(pool.taskId(future));
    assertInstanceOf(await again.exception(), errors.BrokenExecutor);
  },
);

testFaults(
  "NatsExecutor({ retries }) runs a task again when its node died, and not when it threw",
  async ({ gates, connect, node }) => {
    await Promise.all([node("n1"), node("n2")]);
    const pool = await connect({ lease: 500 });
    assertEquals(
      await pool.submit(nats.dieUnlessSpared, gates.folder),
      "spared",
    );
    assertEquals(gates.notes(), ["run", "run"]);
    await assertRejects(
      () => pool.submit(tasks.fail, "once").result(),
      RangeError,
      "once",
    );
  },
);

testFaults(
  'NatsExecutor({ onWorkerDeath: "break" }) is broken when a task has killed its nodes',
  async ({ connect, node }) => {
    await node("n1");
    const pool = await connect({
      lease: 500,
      retries: 0,
      onWorkerDeath: "break",
    });
    const future = pool.submit(nats.dieAtOnce);
    const error = await future.exception();
    assertInstanceOf(error, errors.BrokenExecutor);
    assertMatch(error.message, /"n1"/);
    await assertRejects(
      async () => await pool.submit(tasks.add, 1, 2),
      errors.BrokenExecutor,
    );
  },
);

testFaults(
  "NatsExecutor waits for a node when there is none, and cancels exactly meanwhile",
  async ({ gates, connect, node }) => {
    const pool = await connect();
    const cancelled = pool.submit(tasks.note, gates.folder, "cancelled");
    const kept = pool.submit(tasks.note, gates.folder, "kept");
    assertEquals([cancelled.running(), kept.running()], [false, false]);
    assertEquals(cancelled.cancel(), true);
    await node("late");
    assertEquals(await kept, "kept");
    assertEquals(kept.cancel(), false);
    assertEquals(gates.notes(), ["kept"]);
  },
);

testFaults(
  "NatsExecutor.cancel() or a node gets each task, never both, when two nodes race two callers",
  async ({ gates, connect, node }) => {
    await Promise.all([node("n1"), node("n2")]);
    const pools = [await connect(), await connect()];
    const ran = new Set<string>();
    const all: Promise<unknown>[] = [];
    for (let n = 0; n < 300; n++) {
      const future = pools[n % 2].submit(tasks.note, gates.folder, `${n}`);
      if (n % 3 === 0) await delay(0);
      if (n % 2 === 0 && future.cancel()) continue;
      ran.add(`${n}`);
      all.push(future.result());
    }
    await Promise.all(all);
    assertEquals(new Set(gates.notes()), ran);
    assertEquals(gates.notes().length, ran.size);
  },
);

// ------------------------------------------------------------------ server

testFaults(
  "NatsExecutor goes on when the server is killed and restarted with its store",
  async ({ server, gates, connect, node }) => {
    await node("n1");
    const pool = await connect({ reconnectTimeWait: 50 });
    const held = pool.submit(tasks.hold, gates.folder, "a");
    const before = Array.from(
      { length: 50 },
      (_, n) => pool.submit(tasks.add, n, 1),
    );
    await until(() => gates.isReached("a"));
    await server.kill();
    const meanwhile = Array.from(
      { length: 50 },
      (_, n) => pool.submit(tasks.add, n, 2),
    );
    gates.open("a");
    await server.restart();
    assertEquals(await held, "a");
    for (const [n, future] of before.entries()) {
      assertEquals(await future, n + 1);
    }
    for (const [n, future] of meanwhile.entries()) {
      assertEquals(await future, n + 2);
    }
  },
);

testFaults(
  "NatsExecutor is broken, and says so, when the connection is lost for good",
  async ({ server, connect }) => {
    const pool = await connect({
      maxReconnectAttempts: 1,
      reconnectTimeWait: 10,
    });
    const future = pool.submit(tasks.add, 1, 2);
    await until(() => future.running() || !future.done());
    await server.kill();
    const error = await future.exception();
    assertInstanceOf(error, errors.BrokenExecutor);
    assertMatch(error.message, /lost its connection.*attach/s);
    assert(!error.message.includes("undefined"));
  },
);

testFaults(
  "NatsExecutor gets every result when it is a slow consumer that the server cuts off",
  async ({ connect, node, server }) => {
    await node("n1");
    const pool = await connect({ reconnectTimeWait: 50 });
    assertEquals(await pool.submit(nats.double, 1), 2);
    const futures = Array.from(
      { length: 200 },
      (_, n) => pool.submit(nats.fill, 500_000, n % 256),
    );
    await futures[3]; // results come
    const proxy = Deno.pid; // the manager's thread is stopped with all of this process
    const resumer = new Deno.Command("sh", {
      args: ["-c", `kill -STOP ${proxy}; sleep 3; kill -CONT ${proxy}`],
    }).spawn();
    for (const [n, future] of futures.entries()) {
      const bytes = await future;
      assertEquals([bytes.length, bytes[0]], [500_000, n % 256]);
    }
    await resumer.status;
    assertMatch(server.log, /Slow Consumer/); // else nothing was tested
  },
  { config: 'write_deadline: "1s"\nmax_pending: 8MB' },
);

// ------------------------------------------------------------------ caller

testFaults(
  "NatsExecutor.attach() gives the outcome of tasks whose caller was killed",
  async ({ server, gates, connect, node }) => {
    await node("n1", { maxWorkers: 3 });
    const program = `
      import { NatsExecutor } from ${
      JSON.stringify(import.meta.resolve("../nats_executor.ts"))
    };
      import { importTasks } from ${
      JSON.stringify(import.meta.resolve("../mod.ts"))
    };
      const tasks = importTasks(${JSON.stringify(MODULES[0])});
      const pool = await NatsExecutor.connect({ servers: "${server.url}", stream: "faults" });
      const folder = ${JSON.stringify(gates.folder)};
      const futures = [
        pool.submit(tasks.add, 1, 2),
        pool.submit(tasks.hold, folder, "a"),
        pool.submit(tasks.fail, "thrown"),
        pool.submit(tasks.hold, folder, "b"),
        pool.submit(tasks.hold, folder, "c"),
        pool.submit(tasks.note, folder, "d"),
      ];
      await futures[0];
      await futures[2].exception();
      while (!futures[4].running());
      console.log(JSON.stringify(futures.map((future) => pool.taskId(future))));
    `;
    const file = `${gates.folder}/caller.ts`;
    await Deno.writeTextFile(file, program);
    const caller = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", `--config=${CONFIG}`, file],
      stdout: "piped",
    }).spawn();
    const reader = caller.stdout.pipeThrough(new TextDecoderStream())
      .getReader();
    let text = "";
    while (!text.includes("\n")) text += (await reader.read()).value ?? "\n";
    caller.kill("SIGKILL");
    await reader.cancel();
    await caller.status;
    const ids: string[] = JSON.parse(text);

    const pool = await connect();
    const [sum, held, failed, b, c, d] = ids.map((id) => pool.attach(id));
    assertEquals(await sum, 3);
    assertInstanceOf(await failed.exception(), RangeError);
    await until(() => held.running());
    assertEquals([held.cancel(), d.cancel()], [false, true]);
    gates.openEvery();
    assertEquals([await held, await b, await c], ["a", "b", "c"]);
    assertEquals(gates.notes(), []);
    assert(d.cancelled());
  },
);

const CONFIG = `${import.meta.dirname}/../deno.json`;

testFaults(
  "NatsExecutor.attach() fails when the server knows nothing of the task",
  async ({ connect }) => {
    const pool = await connect();
    const unknown = `${"0".repeat(32)}.7`;
    await assertRejects(
      () => pool.attach(unknown).result(),
      errors.RuntimeError,
      unknown,
    );
  },
);

// --------------------------------------------------------------- 100,000

testFaults(
  "NatsExecutor accounts for each of 100,000 tasks on two nodes",
  async ({ connect, node }) => {
    await Promise.all([
      node("n1", { maxWorkers: 4 }),
      node("n2", { maxWorkers: 4 }),
    ]);
    const pool = await connect({ lease: 30_000 });
    const count = 100_000;
    const settled = new Uint8Array(count);
    let wrong = 0;
    const futures: Future<number>[] = [];
    for (let n = 0; n < count; n++) {
      const future = pool.submit(nats.double, n);
      future.addDoneCallback((future) => {
        settled[n]++;
        if (future.resultSync() !== n * 2) wrong++;
      });
      futures.push(future);
      if (n % 1_000 === 999) await delay(0);
    }
    await pool.shutdown();
    assertEquals(settled.every((times) => times === 1), true);
    assertEquals(wrong, 0);
    assertEquals(futures.every((future) => future.done()), true);
  },
);
