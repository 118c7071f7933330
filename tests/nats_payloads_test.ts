/**
 * What is larger than the server takes in one message: it goes through object stores, both ways, and
 * what was stored is gone once nobody needs it.
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
import {
  DiscardPolicy,
  jetstream,
  RetentionPolicy,
} from "npm:@nats-io/jetstream@3.4.0";
import { Objm } from "npm:@nats-io/obj@3.4.0";
import { CancelledError, RuntimeError } from "../mod.ts";
import { tasks } from "./_harness.ts";
import { type Admin, nats, testFaults, until } from "./_nats_faults.ts";

const MAX_PAYLOAD = 65_536;
const config = "max_payload: 64KB";

/** More than goes in one message. */
const LARGE = 200_000;

/** Each a few bytes more or less than goes in one message, with and without what goes with it. */
const EDGES = [-5_000, -4_097, -4_096, -4_095, -1_000, -1, 0, 1, 4_096]
  .map((more) => MAX_PAYLOAD + more);

function bytesOf(length: number, n = 1): Uint8Array {
  return new Uint8Array(length).fill(n);
}

/** How many objects a store has; 0 where it was never made. */
async function objectsIn(
  { count, jsm, names }: Admin,
  which: "arguments" | "values",
): Promise<number> {
  const bucket = names[which];
  const streams = await jsm.streams.names(`$O.${bucket}.>`).next();
  // Not by a list of the client's: it waits for half a minute where one is just removed.
  return streams.length === 0
    ? 0
    : await count(`OBJ_${bucket}`, `$O.${bucket}.M.>`);
}

/** Waits until nothing is left of any argument, not even a note that it was there. */
async function argumentsGone(admin: Admin): Promise<void> {
  const { connection, count, names } = admin;
  await until(async () => await objectsIn(admin, "arguments") === 0);
  const stream = `OBJ_${names.arguments}`;
  await until(async () => await count(stream) === 0);
  const store = await new Objm(jetstream(connection)).open(names.arguments);
  assertEquals(await store.list(), []);
}

// --------------------------------------------------------------- both ways

testFaults(
  "NatsExecutor sends and gets values of any size, through object stores where they are large",
  async ({ admin, connect, nodeHere }) => {
    await nodeHere();
    const pool = await connect();
    for (const length of [0, 1_000, ...EDGES, LARGE]) {
      assertEquals(await pool.submit(nats.sum, bytesOf(length)), length);
      const filled = await pool.submit(nats.fill, length, 3);
      assertEquals([filled.length, filled.at(-1) ?? 3], [length, 3]);
      const text = "ü".repeat(length / 2);
      assert(await pool.submit(nats.echo, text) === text);
    }
    const rich = new Map<unknown, unknown>([
      [1n, bytesOf(LARGE, 7)],
      ["at", [new Date(5), bytesOf(LARGE, 8)]],
    ]);
    assertEquals(await pool.submit(nats.echo, rich), rich);
    await argumentsGone(await admin());
  },
  { config },
);

testFaults(
  "NatsExecutor.map() sends and gets large values in chunks",
  async ({ admin, connect, nodeHere }) => {
    await nodeHere();
    const pool = await connect();
    const numbers = Array.from({ length: 23 }, (_, n) => n);
    const lists = numbers.map((n) => bytesOf(30_000, n));
    for (const chunkSize of [1, 4, 23]) {
      assertEquals(
        await Array.fromAsync(pool.map(nats.sum, lists, { chunkSize })),
        numbers.map((n) => 30_000 * n),
      );
      const lengths = numbers.map(() => 30_000);
      const filled = pool.map(nats.fill, lengths, numbers, { chunkSize });
      const ends = await Array.fromAsync(filled, (bytes) => bytes.at(-1));
      assertEquals(ends, numbers);
    }
    await argumentsGone(await admin());
  },
  { config },
);

testFaults(
  "NatsExecutor({ initializer }) takes large arguments of it",
  async ({ admin, connect, nodeHere }) => {
    await nodeHere({ maxWorkers: 1 });
    const pool = await connect({
      initializer: nats.prepare,
      initArgs: [bytesOf(LARGE)],
    });
    assertEquals(await pool.submit(nats.recall), LARGE);
    assertEquals(await pool.submit(nats.sum, bytesOf(10)), 10);
    await argumentsGone(await admin());
  },
  { config },
);

testFaults(
  "NatsExecutor.attach() gives large values, of tasks that are over and that are not",
  async ({ admin, connect, nodeHere }) => {
    const look = await admin();
    const pool = await connect();
    const other = await connect();
    const futures = [
      pool.submit(nats.fill, LARGE, 5),
      pool.submit(nats.echo, bytesOf(LARGE, 5)),
    ];
    await until(async () => await look.count(look.names.tasks) === 2);
    const pending = futures.map((future) => other.attach(pool.taskId(future)));
    await nodeHere();
    const value = bytesOf(LARGE, 5);
    assertEquals(await Promise.all(futures), [value, value]);
    assertEquals(await Promise.all(pending), [value, value]);
    const over = futures.map((future) => other.attach(pool.taskId(future)));
    assertEquals(await Promise.all(over), [value, value]);
  },
  { config },
);

// ---------------------------------------------------- arguments are removed

testFaults(
  "NatsExecutor leaves nothing of the arguments of a task that threw",
  async ({ admin, connect, nodeHere }) => {
    const look = await admin();
    const pool = await connect();
    const future = pool.submit(nats.refuse, bytesOf(LARGE));
    await until(async () => await objectsIn(look, "arguments") === 1);
    await nodeHere();
    await assertRejects(() => future.result(), RangeError, "refused");
    await argumentsGone(look);
  },
  { config },
);

testFaults(
  "NatsExecutor leaves nothing of the arguments of tasks that were cancelled",
  async ({ admin, connect }) => {
    const look = await admin();
    const pool = await connect();
    const early = pool.submit(nats.sum, bytesOf(LARGE));
    assertEquals(early.cancel(), true); // perhaps while it is being stored
    const late = pool.submit(nats.sum, bytesOf(LARGE));
    await until(async () => await look.count(look.names.tasks) === 1);
    assertEquals(late.cancel(), true);
    await argumentsGone(look);
    assertEquals(await look.count(look.names.tasks), 0);
  },
  { config },
);

testFaults(
  "NatsExecutor.shutdown({ cancelFutures }) leaves nothing of the arguments of what was pending",
  async ({ admin, connect }) => {
    const look = await admin();
    const pool = await connect();
    for (let n = 0; n < 3; n++) pool.submit(nats.sum, bytesOf(LARGE));
    await until(async () => await look.count(look.names.tasks) === 3);
    await pool.shutdown({ cancelFutures: true });
    await argumentsGone(look);
    assertEquals(await look.count(look.names.tasks), 0);
  },
  { config },
);

testFaults(
  "NatsExecutor leaves nothing of the arguments of a task that was stopped while it ran",
  async ({ admin, connect, nodeHere, gates }) => {
    await nodeHere({ maxWorkers: 1 });
    const pool = await connect();
    const controller = new AbortController();
    const future = pool.submitWith(
      { signal: controller.signal },
      nats.holdWith,
      gates.folder,
      "a",
      bytesOf(LARGE),
    );
    await until(() => gates.isReached("a"));
    controller.abort();
    await assertRejects(() => future.result(), CancelledError);
    assertEquals(await pool.submit(tasks.add, 1, 2), 3);
    await argumentsGone(await admin());
  },
  { config },
);

testFaults(
  "NatsExecutor leaves nothing of the arguments of a task that was stopped before it ran",
  async ({ admin, connect, nodeHere, gates }) => {
    const look = await admin();
    const pool = await connect();
    const controller = new AbortController();
    const future = pool.submitWith(
      { signal: controller.signal },
      nats.holdWith,
      gates.folder,
      "a",
      bytesOf(LARGE),
    );
    await until(async () => await look.count(look.names.tasks) === 1);
    controller.abort();
    await assertRejects(() => future.result(), CancelledError);
    await nodeHere({ maxWorkers: 1 });
    assertEquals(await pool.submit(tasks.add, 1, 2), 3);
    await argumentsGone(look);
    assertEquals(gates.isReached("a"), false);
  },
  { config },
);

testFaults(
  "NatsExecutor leaves nothing of the arguments of a task that a full stream refuses",
  async ({ admin, base, connect }) => {
    const look = await admin();
    await look.jsm.streams.add({
      name: base.stream,
      subjects: [look.names.task(">")],
      retention: RetentionPolicy.Workqueue,
      discard: DiscardPolicy.New,
      max_msgs: 1,
    });
    const pool = await connect();
    const kept = pool.submit(nats.sum, bytesOf(LARGE));
    await until(async () => await look.count(look.names.tasks) === 1);
    const error = await pool.submit(nats.sum, bytesOf(LARGE)).exception();
    assertInstanceOf(error, RuntimeError);
    assertMatch(error.message, /is full/);
    await until(async () => await objectsIn(look, "arguments") === 1);
    assertEquals(kept.cancel(), true);
    await argumentsGone(look);
  },
  { config },
);

// --------------------------------------------------------- results are kept

testFaults(
  "NatsExecutor keeps large results for as long as small ones",
  async ({ admin, connect, nodeHere }) => {
    const look = await admin();
    const pool = await connect({ resultTtl: 1_000 });
    await nodeHere();
    const futures = [1, 2].map((n) => pool.submit(nats.fill, LARGE, n));
    await Promise.all(futures);
    const { config } = await look.jsm.streams.info(
      `OBJ_${look.names.values}`,
    );
    assertEquals(config.max_age, 1_000 * 1e6);
  },
  { config },
);

testFaults(
  "NatsExecutor.attach() says so where a large result is kept no more",
  async ({ admin, connect, nodeHere }) => {
    const look = await admin();
    const pool = await connect();
    await nodeHere();
    const future = pool.submit(nats.fill, LARGE, 1);
    await future;
    assertEquals(await objectsIn(look, "values"), 1);
    // As if their time were over.
    await look.jsm.streams.purge(`OBJ_${look.names.values}`);
    const id = pool.taskId(future);
    const halfGone = await pool.attach(id).exception();
    assertInstanceOf(halfGone, RuntimeError);
    assertMatch(halfGone.message, /result of the task .*: it is gone/);
    await look.jsm.streams.purge(look.names.results);
    const gone = await pool.attach(id).exception();
    assertInstanceOf(gone, RuntimeError);
    assertMatch(gone.message, /results are kept for 3600000 ms \("resultTtl"/);
  },
  { config },
);

testFaults(
  "NatsExecutor({ resultTtl }) holds for large results too where another value held before",
  async ({ admin, connect, nodeHere }) => {
    const look = await admin();
    const first = await connect({ resultTtl: 60_000 });
    await nodeHere();
    assertEquals((await first.submit(nats.fill, LARGE, 1)).length, LARGE);
    const second = await connect({ resultTtl: 30_000 });
    assertEquals((await second.submit(nats.fill, LARGE, 1)).length, LARGE);
    assertEquals((await first.submit(nats.fill, LARGE, 1)).length, LARGE);
    await nodeHere({ name: "later" });
    assertEquals((await second.submit(nats.fill, LARGE, 1)).length, LARGE);
    const { config } = await look.jsm.streams.info(
      `OBJ_${look.names.values}`,
    );
    assertEquals(config.max_age, 30_000 * 1e6);
  },
  { config },
);
