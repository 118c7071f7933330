/**
 * What limits the tasks of a `NatsExecutor`, and what is left when it goes: time limits, signals, how
 * many are with the server, settings of the stream, a stream or a server that is gone.
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
import * as errors from "../errors.ts";
import { Trace } from "../mod.ts";
import { NatsExecutor } from "../nats_executor.ts";
import { tasks } from "./_harness.ts";
import { MODULES, nats, testFaults, until } from "./_nats_faults.ts";

// ---------------------------------------------------------------- how many

testFaults(
  "NatsExecutor({ maxWorkers }) has so many tasks with the server at once, and all run in the end",
  async ({ admin, connect, gates, nodeHere }) => {
    const look = await admin();
    const pool = await connect({ maxWorkers: 3 });
    let most = 0;
    const messages = async () => {
      const count = await look.count(look.names.tasks);
      most = Math.max(most, count);
      return count;
    };
    const names = Array.from({ length: 12 }, (_, n) => `${n}`);
    const futures = names.map((name) =>
      pool.submit(tasks.hold, gates.folder, name)
    );
    await until(async () => await messages() === 3);
    // One that has not left this program is cancelled here.
    assertEquals(futures.at(-1)!.cancel(), true);
    await nodeHere({ maxWorkers: 8 });
    for (const name of names.slice(0, -1)) {
      await until(() => gates.isReached(name));
      await messages();
      gates.open(name);
    }
    assertEquals(await Promise.all(futures.slice(0, -1)), names.slice(0, -1));
    assertEquals(gates.isReached(names.at(-1)!), false);
    // A result is told before its task is taken off the stream.
    assert(most <= 6, `${most} messages`);
  },
);

testFaults(
  "NatsExecutor runs tasks in the order of submit where a node has one worker",
  async ({ connect, gates, nodeHere }) => {
    const pool = await connect();
    const names = Array.from({ length: 100 }, (_, n) => `${n}`);
    const futures = names.map((name) =>
      pool.submit(tasks.note, gates.folder, name)
    );
    await nodeHere({ maxWorkers: 1 });
    await Promise.all(futures);
    assertEquals(gates.notes(), names);
  },
);

// ---------------------------------------------------------------- how long

testFaults(
  "NatsExecutor.submitWith({ timeout }) ends a task on its node, whose worker is free again",
  async ({ connect, gates, nodeHere }) => {
    const pool = await connect();
    await nodeHere({ maxWorkers: 1 });
    const future = pool.submitWith(
      { timeout: 50 },
      tasks.holdAwaiting,
      gates.folder,
      "a",
    );
    const error = await future.exception();
    assertInstanceOf(error, errors.TimeoutError);
    assertMatch(error.message, /ran for more than 50 ms/);
    assertEquals(await pool.submit(tasks.add, 1, 2), 3);
  },
);

testFaults(
  "NatsExecutor.submitWith({ timeout }) does not count the time until a node comes",
  async ({ admin, connect, nodeHere }) => {
    const look = await admin();
    const pool = await connect();
    const beginMs = performance.now();
    const future = pool.submitWith({ timeout: 300 }, tasks.add, 1, 2);
    await until(async () => await look.count(look.names.tasks) === 1);
    await until(() => performance.now() > beginMs + 400);
    await nodeHere();
    assertEquals(await future, 3);
  },
);

testFaults(
  "NatsExecutor.submitWith({ signal }) stops a task that runs, and its worker is free again",
  async ({ connect, gates, nodeHere }) => {
    const pool = await connect();
    await nodeHere({ maxWorkers: 1 });
    const controller = new AbortController();
    const future = pool.submitWith(
      { signal: controller.signal },
      tasks.holdAwaiting,
      gates.folder,
      "a",
    );
    await until(() => gates.isReached("a"));
    assertEquals(future.running(), true);
    const reason = new Error("no more");
    controller.abort(reason);
    const error = await assertRejects(
      () => future.result(),
      errors.CancelledError,
    );
    assertEquals(error.cause, reason);
    assertEquals(await pool.submit(tasks.add, 1, 2), 3);
    // Whoever attaches to it sees that it was stopped.
    const again = pool.attach(pool.taskId(future));
    await assertRejects(() => again.result(), errors.CancelledError);
  },
);

// ---------------------------------------------------------------- what it tells

testFaults(
  "NatsExecutor.stats() counts what became of tasks",
  async ({ connect, gates, nodeHere }) => {
    const pool = await connect();
    const cancelled = pool.submit(tasks.add, 1, 2);
    assertEquals(cancelled.cancel(), true);
    await nodeHere({ maxWorkers: 1 });
    await Promise.all([1, 2, 3].map((n) => pool.submit(tasks.add, n, n)));
    await pool.submit(tasks.fail, "once").exception();
    const held = pool.submit(tasks.hold, gates.folder, "a");
    const queued = pool.submit(tasks.add, 1, 2);
    await until(() => gates.isReached("a") && held.running());
    const { tasks: counts } = pool.stats();
    assertEquals(counts, {
      submitted: 7,
      queued: 1,
      running: 1,
      finished: 3,
      failed: 1,
      cancelled: 1,
    });
    gates.open("a");
    await queued;
    await held;
    const { tasks: after, runTime, queueTime } = pool.stats();
    assertEquals([after.finished, after.queued, after.running], [5, 0, 0]);
    assert(runTime.count > 0 && queueTime.count > 0);
    assert(runTime.max >= runTime.p50 && runTime.min >= 0);
  },
);

testFaults(
  "NatsExecutor({ trace }) takes note of its tasks",
  async ({ connect, nodeHere }) => {
    const trace = new Trace();
    const pool = await connect({ trace });
    await nodeHere();
    await Array.fromAsync(pool.map(tasks.add, [1, 2, 3], [4, 5, 6]));
    await pool.submit(tasks.fail, "once").exception();
    assertEquals(trace.size, 4);
    const { traceEvents } = trace.toJSON();
    const text = JSON.stringify(traceEvents);
    assertMatch(text, /NatsExecutor-\d+/);
    assertMatch(text, /"add"/);
    assertMatch(text, /RangeError: once/);
  },
);

// ------------------------------------------------------------------ endings

testFaults(
  "NatsExecutor fails what is pending when its streams are deleted, and shuts down",
  async ({ admin, connect }) => {
    const { count, jsm, names } = await admin();
    const pool = await connect();
    const futures = [1, 2, 3].map((n) => pool.submit(tasks.add, n, n));
    await until(async () => await count(names.tasks) === 3);
    for (const name of [names.tasks, names.results]) {
      await jsm.streams.delete(name);
    }
    for (const future of futures) {
      const error = await future.exception();
      assertInstanceOf(error, errors.BrokenExecutor);
      assertMatch(error.message, /somebody has deleted it on the server/);
    }
    await assertRejects(
      async () => await pool.submit(tasks.add, 1, 2),
      errors.BrokenExecutor,
    );
    await pool.shutdown();
  },
);

testFaults(
  "NatsExecutor.shutdown({ cancelFutures }) ends where the server is gone for good",
  async ({ admin, connect, server }) => {
    const { count, names } = await admin();
    const pool = await connect({
      maxReconnectAttempts: 1,
      reconnectTimeWait: 10,
    });
    const futures = [1, 2].map((n) => pool.submit(tasks.add, n, n));
    await until(async () => await count(names.tasks) === 2);
    await server.kill();
    await pool.shutdown({ cancelFutures: true });
    for (const future of futures) assert(future.done());
  },
);

testFaults(
  "NatsExecutor.shutdown() of one without tasks ends where the server is gone",
  async ({ connect, server }) => {
    const pool = await connect();
    await server.kill();
    await pool.shutdown();
    assertEquals(pool.stats().tasks.submitted, 0);
  },
);

/** Runs a program, with the stream and the tasks at hand; returns what it says. */
async function run(
  { servers, stream }: { servers: string; stream: string },
  program: string,
): Promise<{ code: number; said: string }> {
  const url = (file: string) => JSON.stringify(import.meta.resolve(file));
  const file = Deno.makeTempFileSync({ suffix: ".ts" });
  try {
    Deno.writeTextFileSync(
      file,
      `
      import { NatsExecutor } from ${url("../nats_executor.ts")};
      import { importTasks } from ${url("../mod.ts")};
      const tasks = importTasks(${JSON.stringify(MODULES[0])});
      const options = ${JSON.stringify({ servers, stream })};
      ${program}
      `,
    );
    const config = `--config=${import.meta.dirname}/../deno.json`;
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", config, file],
      stdin: "null",
    }).output();
    const decoder = new TextDecoder();
    const said = decoder.decode(stdout) + decoder.decode(stderr);
    return { code, said: said.trim() };
  } finally {
    Deno.removeSync(file);
  }
}

testFaults(
  "NatsExecutor lets its program end where nothing is pending, without a shutdown",
  async ({ base, nodeHere }) => {
    await nodeHere();
    for (
      const connect of [
        "await NatsExecutor.connect",
        "NatsExecutor.connectSync",
      ]
    ) {
      const { code, said } = await run(
        base,
        `
        const pool = ${connect}(options);
        console.log(await pool.submit(tasks.add, 1, 2));
      `,
      );
      assertEquals([code, said], [0, "3"]);
    }
  },
);

testFaults(
  "NatsExecutor keeps its program alive until what was submitted is over",
  async ({ base, nodeHere }) => {
    await nodeHere();
    const { code, said } = await run(
      base,
      `
      const pool = await NatsExecutor.connect(options);
      pool.submit(tasks.add, 1, 2).addDoneCallback((future) =>
        console.log(future.resultSync())
      );
    `,
    );
    assertEquals([code, said], [0, "3"]);
  },
);

// ----------------------------------------------------------------- settings

testFaults(
  "NatsExecutor({ lease, retries, resultTtl }) changes the stream when another one sets it",
  async ({ admin, base, connect, nodeHere }) => {
    const { jsm, names } = await admin();
    const settings = async () => {
      const consumer = await jsm.consumers.info(names.tasks, "nodes");
      const streams = await Promise.all(
        [names.results, `KV_${names.starts}`].map((name) =>
          jsm.streams.info(name)
        ),
      );
      return {
        lease: consumer.config.ack_wait! / 1e6,
        retries: consumer.config.max_deliver! - 1,
        resultTtl: streams.map(({ config }) => config.max_age / 1e6),
      };
    };
    {
      await using _pool = await NatsExecutor.connect(base);
      assertEquals(await settings(), {
        lease: 10_000,
        retries: 2,
        resultTtl: [3_600_000, 3_600_000],
      });
    }
    const first = await connect({
      lease: 2_000,
      retries: 5,
      resultTtl: 60_000,
    });
    const changed = { lease: 2_000, retries: 5, resultTtl: [60_000, 60_000] };
    assertEquals(await settings(), changed);
    await using _same = await NatsExecutor.connect(base);
    assertEquals(await settings(), changed);
    const second = await connect({ lease: 700, retries: 0, resultTtl: 1_000 });
    assertEquals(await settings(), {
      lease: 700,
      retries: 0,
      resultTtl: [1_000, 1_000],
    });
    await nodeHere();
    for (const pool of [first, second]) {
      assertEquals(await pool.submit(nats.double, 2), 4);
    }
  },
);

testFaults(
  "NatsExecutor and nodes find or make a stream, however many come at once",
  async ({ connect, nodeHere }) => {
    for (let n = 0; n < 3; n++) {
      const stream = `fresh${n}`;
      const [pool, ...others] = await Promise.all([
        ...[1, 2, 3].map(() => connect({ stream })),
        ...[1, 2, 3].map(() => nodeHere({ stream, maxWorkers: 1 })),
      ]);
      assertEquals(others.length, 5);
      // Their stores of large values are made by whoever needs one first.
      const large = (pool as NatsExecutor).map(nats.fill, [2e6, 2e6, 2e6], [
        1,
        2,
        3,
      ]);
      assertEquals((await Array.fromAsync(large)).map(([first]) => first), [
        1,
        2,
        3,
      ]);
    }
  },
);
