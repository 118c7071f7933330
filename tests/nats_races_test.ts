/**
 * Orders of messages that a review found to go wrong: each was mended, and has its test here.
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
import { encodeArguments, encodeValue } from "../_codec.ts";
import type { Definition } from "../_definition.ts";
import { Format, Kind } from "../_layout.ts";
import { nameModule } from "../_nats_modules.ts";
import {
  bundleId,
  CONSUMER,
  NATS_PROTOCOL_VERSION,
  type NodeCard,
  readFrame,
  type ResultHeader,
  type Row,
  type TaskHeader,
  toPart,
  writeFrame,
} from "../_nats_protocol.ts";
import { messageOf } from "../_nats_store.ts";
import { importTasks, RuntimeError, SerializationError } from "../mod.ts";
import { NatsExecutor } from "../nats_executor.ts";
import { type NatsNode, type NodeOptions, startNode } from "../nats_worker.ts";
import { Gates, tasks } from "./_harness.ts";
import { RawCaller, TASKS_PATH, TASKS_URL } from "./_nats_caller.ts";
import { testFaults, until } from "./_nats_faults.ts";
import { type NatsServer, testNats } from "./_nats_server.ts";

const COPY = { canMove: false };

/** The tasks that nodes of the stream `S` allow, by reference. */
const onS = importTasks<typeof import("./_nats_tasks.ts")>(TASKS_URL);

/** Starts a node of the stream `S` in this thread, with one worker. */
function start(
  server: NatsServer,
  options: Partial<NodeOptions> = {},
): Promise<NatsNode> {
  return startNode({
    servers: server.url,
    stream: "S",
    allowModules: [TASKS_PATH],
    maxWorkers: 1,
    ...options,
  });
}

// ------------------------------------------------------------------ caller

testFaults(
  "NatsExecutor stops a task on its node when its signal comes just before the pool's end",
  async ({ gates, connect, nodeHere }) => {
    await nodeHere({ maxWorkers: 1 });
    for (const gate of ["a", "b", "c"]) {
      const pool = await connect();
      const controller = new AbortController();
      const { signal } = controller;
      const future = pool.submitWith(
        { signal },
        tasks.holdAwaiting,
        gates.folder,
        gate,
      );
      await until(() => gates.isReached(gate));
      controller.abort();
      await pool.shutdown();
      assert(future.cancelled());
    }
    // Its gates are shut: the node's one worker is free only if it has stopped all of them.
    const later = await connect();
    assertEquals(await later.submit(tasks.add, 1, 2), 3);
  },
);

testFaults(
  "NatsExecutor.cancel() has removed a task from the stream when it returns true",
  async ({ gates, connect, admin }) => {
    const pool = await connect();
    const { names, count } = await admin();
    for (let n = 0; n < 20; n++) {
      const future = pool.submit(tasks.note, gates.folder, `${n}`);
      await until(async () => await count(names.tasks) === 1);
      assertEquals(future.cancel(), true);
      assertEquals(await count(names.tasks), 0);
    }
  },
);

testFaults(
  "NatsExecutor settles a future with the result that the stream keeps when it hears two at once",
  async ({ server, connect }) => {
    await using raw = await RawCaller.connect(server.url);
    const pool = await connect({ stream: raw.store.names.tasks });
    for (let n = 0; n < 5; n++) {
      const future = pool.submit(tasks.add, 1, n);
      const id = pool.taskId(future);
      await until(() => hasTask(raw, id));
      const stored = await Promise.allSettled([
        publishResult(raw, id, "of the second node", 2),
        publishResult(raw, id, "of the first node", 1),
      ]);
      assertEquals(stored.map(({ status }) => status), [
        "fulfilled",
        "rejected",
      ]);
      const outcomes: unknown[] = [await future, await pool.attach(id)];
      assertEquals(outcomes, ["of the second node", "of the second node"]);
    }
  },
);

/** Publishes the result of a task as a node does, on the condition that there is none. */
async function publishResult(
  { store: { publisher, names } }: RawCaller,
  id: string,
  value: unknown,
  attempt: number,
): Promise<void> {
  const { part, bytes } = toPart(encodeValue(value, COPY, "the result"));
  const header: ResultHeader = {
    version: NATS_PROTOCOL_VERSION,
    kind: Kind.RETURNED,
    outcome: part,
    node: "by hand",
    attempt,
    parts: [bytes.length],
  };
  const message = writeFrame(header, [bytes]);
  await publisher.publish(names.result(id), message, { last: 0 });
}

/** Whether the stream has a task of that id. */
async function hasTask({ store }: RawCaller, id: string): Promise<boolean> {
  return await sequenceOf(store, id) !== undefined;
}

/** The number of a task in the stream, of its last copy. */
async function sequenceOf(
  { jsm, names }: RawCaller["store"],
  id: string,
): Promise<number | undefined> {
  const query = { last_by_subj: names.task(id) };
  return (await messageOf(jsm, names.tasks, query))?.seq;
}

const MAY_NOT_SUBMIT = `authorization { users = [{
  user: c, password: d, permissions: { publish: { deny: ["faults.task.>"] } }
}] }`;

testFaults(
  "NatsExecutor fails a task at once when the server does not permit to submit it",
  async ({ connect }) => {
    const pool = await connect({ user: "c", pass: "d" });
    const error = await pool.submit(tasks.add, 1, 2).exception();
    assertInstanceOf(error, RuntimeError);
    assertMatch(error.message, /permission/i);
    await pool.shutdown();
  },
  { config: MAY_NOT_SUBMIT },
);

Deno.test("NatsExecutor.connect() tells no password when a URL is wrong or nobody is there", async () => {
  const urls = ["nats://u:s3cret@host:notaport", "tls://u:s3cret@127.0.0.1:1"];
  for (const servers of urls) {
    const options = { servers, stream: "x", timeout: 1_000 };
    const error = await assertRejects(
      () => NatsExecutor.connect(options),
      RuntimeError,
    );
    assertEquals(/s3cret|u:/.test(Deno.inspect(error)), false);
  }
});

// ---------------------------------------------------------------- settings

testFaults(
  "NatsExecutor runs a task once when another executor lowers the lease meanwhile",
  async ({ gates, connect, nodeHere }) => {
    await nodeHere({ maxWorkers: 2 });
    const pool = await connect({ lease: 10_000 });
    let settled = false;
    const future = pool.submit(tasks.hold, gates.folder, "a");
    future.addDoneCallback(() => settled = true);
    await until(() => gates.isReached("a"));
    Deno.removeSync(`${gates.folder}/a.started`);
    await connect({ lease: 300 });
    await passed(2_000); // more leases than it may have nodes
    assertEquals(settled, false);
    gates.open("a");
    assertEquals(await future, "a");
    await pool.submit(tasks.add, 1, 2); // whatever was delivered meanwhile would be before it
    assertEquals(gates.isReached("a"), false);
  },
);

/** Lets time pass, where that is what is tested. */
function passed(ms: number): Promise<void> {
  return delay(ms);
}

testFaults(
  "NatsExecutor.attach() sees that a task runs when it does so for longer than results are kept",
  async ({ server, gates, connect, nodeHere }) => {
    const settings = { leaseMs: 10_000, resultTtlMs: 1_000 };
    await using raw = await RawCaller.connect(server.url, settings);
    const stream = raw.store.names.tasks;
    await nodeHere({ stream, allowModules: [TASKS_PATH] });
    const [pool, other] = [
      await connect({ stream, lease: undefined }),
      await connect({ stream, lease: undefined }),
    ];
    const future = pool.submit(onS.hold, gates.folder, "a");
    await until(() => gates.isReached("a"));
    // An entry that nobody renews goes after the one of the task would have gone.
    await raw.store.starts.put("unrenewed", "");
    await until(async () => await raw.store.starts.get("unrenewed") === null);
    const id = pool.taskId(future);
    assertEquals((await raw.start(id))?.state, "started");
    const attached = other.attach(id);
    await until(() => attached.running());
    assertEquals(attached.cancel(), false);
    gates.open("a");
    assertEquals([await future, await attached], ["a", "a"]);
  },
);

// ----------------------------------------------------------------- bundles

testNats(
  "a node runs a row that it passes on when an entry under its id says that it was cancelled",
  async (server) => {
    using gates = new Gates();
    await using caller = await RawCaller.connect(server.url);
    await using _node = await start(server);
    const args = ["a", "b"].map((gate) => [gates.folder, gate]);
    const bundle = await packBundle(caller, "hold", args);
    const [, second] = bundle.ids;
    await caller.write(second, { state: "cancelled" });
    await publishTask(caller, bundle.id, bundle.message);
    await until(() => gates.isReached("a"));
    await until(() => hasTask(caller, second));
    gates.openEvery();
    await caller.emptied();
    assertEquals(gates.isReached("b"), true);
    assertEquals(await caller.countResults(second), 1);
  },
);

testNats(
  "a node counts the deaths that a bundle has had for the rows that it passes on",
  async (server) => {
    using gates = new Gates();
    await using caller = await RawCaller.connect(server.url);
    await using _node = await start(server);
    const args = ["a", "b"].map((gate) => [gates.folder, gate]);
    const { id, ids: [, second], message } = await packBundle(
      caller,
      "hold",
      args,
    );
    const { header, parts } = readFrame<TaskHeader>(message);
    await publishTask(caller, id, writeFrame({ ...header, spent: 1 }, parts));
    await until(() => hasTask(caller, second));
    const { jsm, names } = caller.store;
    const passedOn = await messageOf(jsm, names.tasks, {
      last_by_subj: names.task(second),
    });
    gates.openEvery();
    await caller.emptied();
    assertEquals(readFrame<TaskHeader>(passedOn!.data).header.spent, 1);
  },
);

testNats(
  "a node takes apart the bundle that a node of its name had before, and leaves no row without a result",
  async (server) => {
    using gates = new Gates();
    await using caller = await RawCaller.connect(server.url);
    const args = ["done", "left"].map((name) => [gates.folder, name]);
    const { id, ids, message } = await packBundle(caller, "note", args);
    const [done, left] = ids;
    await caller.write(id, {
      state: "started",
      node: "A",
      life: "the former",
      attempt: 1,
    });
    await publishRows(caller, id, [done]);
    await publishTask(caller, id, message);
    await using _node = await start(server, { name: "A" });
    await caller.emptied();
    assertEquals(gates.notes(), ["left"]);
    assertEquals(await caller.countResults(id), 1);
    assertEquals((await caller.result(left)).value, "left");
  },
);

testNats(
  "a node that loses its connection for good while rows run rejects nothing that nobody awaits, and closes",
  async (server) => {
    using gates = new Gates();
    await using caller = await RawCaller.connect(server.url);
    await using node = await start(server, {
      maxWorkers: 2,
      maxReconnectAttempts: 10,
      reconnectTimeWait: 100,
    });
    await warmUp(caller, gates);
    const { connection, names } = caller.store;
    const told = connection.subscribe(names.started(">"), { max: 2 });
    await connection.flush();
    const args = ["a", "b"].map((gate) => [gates.folder, gate]);
    const bundle = await packBundle(caller, "holdAwaiting", args);
    await publishTask(caller, bundle.id, bundle.message);
    await until(() => gates.isReached("a") && gates.isReached("b"));
    for await (const _ of told); // both run for long: each has a result of its own
    for (const id of bundle.ids) assertEquals(await hasTask(caller, id), false);
    await server.kill();
    gates.open("b"); // its result waits for the connection, until that is given up
    assertInstanceOf(await node.closed, Error);
    await node.drain();
  },
);

/** Has a node of two workers start both: rows that wait for that would be passed on. */
async function warmUp(caller: RawCaller, gates: Gates): Promise<void> {
  const results = ["w1", "w2"].map((gate) =>
    caller.run({ fn: "hold", args: [gates.folder, gate] })
  );
  await until(() => gates.isReached("w1") && gates.isReached("w2"));
  for (const gate of ["w1", "w2"]) gates.open(gate);
  await Promise.all(results);
}

/** A bundle, ready to be published. */
interface RawBundle {
  readonly id: string;
  /** Of its rows. */
  readonly ids: string[];
  readonly message: Uint8Array;
}

/** Makes the message of a bundle of calls of one function. */
async function packBundle(
  caller: RawCaller,
  fn: string,
  calls: readonly unknown[][],
): Promise<RawBundle> {
  const first = caller.nextId();
  const id = bundleId(first);
  const ids = [first, ...calls.slice(1).map(() => caller.nextId())];
  const { message } = await caller.pack(id, { fn });
  const { header, parts: [definition] } = readFrame<TaskHeader>(message);
  const packed = calls.map((args) => toPart(encodeArguments(args, COPY)));
  const rows = packed.map(({ part }, row): Row => {
    const { format, textBytes, buffers } = part;
    return [numberOf(ids[row]), format, textBytes, buffers];
  });
  const parts = [
    definition,
    new Uint8Array(),
    ...packed.map(({ bytes }) => bytes),
  ];
  const lengths = parts.map(({ length }) => length);
  const bundle = { ...header, rows, parts: lengths };
  return { id, ids, message: writeFrame(bundle, parts) };
}

/** Publishes the result of rows of a bundle that have returned nothing. */
async function publishRows(
  { store: { publisher, names } }: RawCaller,
  id: string,
  rows: readonly string[],
): Promise<void> {
  const outcome = { format: Format.EMPTY, textBytes: 0, buffers: 0 };
  const header: ResultHeader = {
    version: NATS_PROTOCOL_VERSION,
    kind: Kind.RETURNED,
    outcome,
    node: "A",
    attempt: 1,
    rows: rows.map((row) =>
      [
        numberOf(row),
        Kind.RETURNED,
        Format.EMPTY,
        ...[0, 0],
        ...[0, 0],
      ] as const
    ),
    parts: rows.map(() => 0),
  };
  const message = writeFrame(header, rows.map(() => new Uint8Array()));
  await publisher.publish(names.result(id), message, { last: 0 });
}

function numberOf(id: string): number {
  return Number(id.slice(id.indexOf(".") + 1));
}

/** Publishes what was made by hand. */
async function publishTask(
  { store: { js, names } }: RawCaller,
  id: string,
  message: Uint8Array,
): Promise<void> {
  await js.publish(names.task(id), message);
}

// -------------------------------------------------------------- passing on

testNats(
  "a node counts the deaths that a task has had when it passes it on",
  async (server) => {
    const settings = { leaseMs: 200, retries: 1 };
    await using caller = await RawCaller.connect(server.url, settings);
    await answerAsNodes(caller, [JSON.stringify(await makeCard())]);
    const id = await caller.submit({ fn: "add", args: [2, 3] });
    await takeAndDie(caller);
    await using without = await start(server, { allowModules: [] });
    await until(() => isPassedOn(caller, id));
    await using _able = await start(server, { name: "able" });
    const { header, value } = await caller.result(id);
    assertEquals([value, header.node, header.attempt], [5, "able", 2]);
    assertEquals(without.name === "able", false);
  },
);

testNats(
  "a node hears of another one behind answers that are none",
  async (server) => {
    await using caller = await RawCaller.connect(server.url);
    const others = ["", "no JSON", "null", '{"node":"x"}', '{"modules":[1]}'];
    await answerAsNodes(caller, [
      ...others,
      JSON.stringify(await makeCard()),
      ...others,
    ]);
    const id = await caller.submit({ fn: "add", args: [2, 3] });
    await using _without = await start(server, { allowModules: [] });
    await until(async () =>
      await isPassedOn(caller, id) || await caller.countResults(id) === 1
    );
    assertEquals(await caller.countResults(id), 0);
    await using _able = await start(server);
    assertEquals((await caller.result(id)).value, 5);
  },
);

/** Answers as nodes do that are asked what they run. */
async function answerAsNodes(
  { store: { connection, names } }: RawCaller,
  answers: readonly string[],
): Promise<void> {
  connection.subscribe(names.nodes, {
    callback: (_, message) => {
      for (const answer of answers) message.respond(answer);
    },
  });
  await connection.flush();
}

/** The card of a node that runs the module of tasks. */
async function makeCard(): Promise<NodeCard> {
  return {
    node: "of paper",
    version: NATS_PROTOCOL_VERSION,
    modules: [await nameModule(TASKS_URL)],
    allowsSource: false,
  };
}

/** Takes a task as a node, and is not heard of any more. */
async function takeAndDie({ store: { js, names } }: RawCaller): Promise<void> {
  const consumer = await js.consumers.get(names.tasks, CONSUMER);
  assert(await consumer.next() !== null);
}

/** Whether a task has been published again: it was the first message. */
async function isPassedOn({ store }: RawCaller, id: string): Promise<boolean> {
  return (await sequenceOf(store, id) ?? 0) > 1;
}

// ------------------------------------------------------------- definitions

testNats(
  "a node refuses a path with anything in it that is no string",
  async (server) => {
    await using caller = await RawCaller.connect(server.url);
    await using _node = await start(server);
    const paths: unknown[][] = [
      [["add"]],
      ["add", ["constructor"]],
      ["add", ["__proto__"], ["__proto__"], ["constructor"], "keys"],
    ];
    for (const path of paths) {
      const definition = {
        kind: "module",
        name: "add",
        module: "module:0",
        path,
      } as unknown as Definition;
      const error = await caller.runFailing({ fn: definition, args: ["ab"] });
      assertInstanceOf(error, SerializationError);
      assertMatch(error.message, /"add".*runs nothing by source/);
    }
  },
);
