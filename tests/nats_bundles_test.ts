/**
 * Bundles: quick tasks of one function go in one message, and nobody can tell but by looking at the
 * server. Each test has a function prove to be quick first, then publishes with no node about, so
 * that it knows what is in which bundle.
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
import { type Frame, readFrame, type TaskHeader } from "../_nats_protocol.ts";
import * as errors from "../errors.ts";
import type { Future } from "../mod.ts";
import type { NatsExecutor, NatsOptions } from "../nats_executor.ts";
import type { Gates } from "./_harness.ts";
import {
  type Admin,
  type FaultSetting,
  MODULES,
  nats,
  testFaults,
  until,
} from "./_nats_faults.ts";
import type { NodeProcess } from "./_nats_node_process.ts";

/** Tasks that are enough to fill some bundles. */
const COUNT = 60;

/** Tasks that are run to find out how quick they are. */
const BATCH = 50;

const { act } = nats;

/** A message of the stream of tasks. */
interface Shipped {
  readonly isBundle: boolean;
  /** Numbers of the tasks in it. */
  readonly numbers: readonly number[];
}

/** Reads all messages of the stream of tasks, in their order. */
async function shipped({ jsm, names }: Admin): Promise<Shipped[]> {
  const { state } = await jsm.streams.info(names.tasks);
  const all: Shipped[] = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
    const message = await jsm.streams.getMessage(names.tasks, { seq })
      .catch(() => null);
    if (message === null) continue; // it is gone
    const { header }: Frame<TaskHeader> = readFrame(message.data);
    const id = names.idOf(message.subject);
    const [, b, n] = /\.(b?)(\d+)$/.exec(id)!;
    all.push({
      isBundle: b === "b",
      numbers: header.rows?.map(([number]) => number) ?? [Number(n)],
    });
  }
  return all;
}

/** The number in a task's id. */
function numberOf(id: string): number {
  return Number(id.slice(id.indexOf(".") + 1));
}

/**
 * Waits until the stream has `count` tasks of this number and later ones; returns their messages.
 * Earlier ones may be there that are done, if their node was stopped before it could say so.
 */
async function shippedAll(
  admin: Admin,
  first: number,
  count: number = COUNT,
): Promise<Shipped[]> {
  for (;;) {
    const all = (await shipped(admin))
      .filter(({ numbers }) => numbers[0] >= first);
    if (all.flatMap(({ numbers }) => numbers).length === count) return all;
  }
}

/** Resolves once a bundle is published, whoever reads it. */
function bundleSeen({ connection, names }: Admin): { seen: boolean } {
  const seen = { seen: false };
  connection.subscribe(names.task("*.*"), {
    callback: (_, { subject }) => {
      if (/\.b\d+$/.test(subject)) seen.seen = true;
    },
  });
  return seen;
}

/** Runs a function until its tasks go in bundles. */
async function learn(
  admin: Admin,
  submit: () => Future<unknown>,
): Promise<void> {
  const bundles = bundleSeen(admin);
  while (!bundles.seen) {
    await Promise.all(Array.from({ length: BATCH }, submit));
    await admin.connection.flush();
  }
}

/** Nodes that are warm, and stopped by a signal: they start nothing until they may go on. */
class StoppedNodes {
  readonly #nodes: readonly NodeProcess[];

  constructor(nodes: readonly NodeProcess[]) {
    this.#nodes = nodes;
    for (const { child } of nodes) child.kill("SIGSTOP");
  }

  goOn(): void {
    for (const { child } of this.#nodes) child.kill("SIGCONT");
  }
}

/** Tasks that are with the server, and nodes that do not run them yet. */
interface Published {
  readonly look: Admin;
  readonly pool: NatsExecutor;
  readonly nodes: StoppedNodes;
  /** What each task returns, and what its note says. */
  readonly names: readonly string[];
  readonly futures: readonly Future<string>[];
  /** Aborts the task of that place. */
  readonly controllers: readonly AbortController[];
  /** Places of the tasks of the largest bundle. */
  readonly bundle: readonly number[];
  /** All messages, by the places of their tasks. */
  readonly messages: readonly { isBundle: boolean; places: number[] }[];
}

/** Has tasks published in bundles. */
async function publish(
  setting: FaultSetting,
  nodes: readonly NodeProcess[],
  options: Partial<NatsOptions> = {},
): Promise<Published> {
  const { admin, connect, gates: { folder } } = setting;
  const look = await admin();
  const pool = await connect({ lease: 5_000, ...options });
  const names = Array.from({ length: COUNT }, (_, n) => `n${n}`);
  for (;;) {
    await learn(look, () => pool.submit(act, folder, "learning"));
    const stopped = new StoppedNodes(nodes);
    Deno.removeSync(`${folder}/notes`);
    const controllers = names.map(() => new AbortController());
    const futures = names.map((name, n) =>
      pool.submitWith({ signal: controllers[n].signal }, act, folder, name)
    );
    const all = await shippedAll(look, numberOf(pool.taskId(futures[0])));
    const places = new Map(futures.map((future, place) => {
      const number = numberOf(pool.taskId(future));
      return [number, place];
    }));
    const messages = all.map(({ isBundle, numbers }) => ({
      isBundle,
      places: numbers.map((number) => places.get(number)!),
    }));
    const bundle = messages.filter(({ isBundle }) => isBundle)
      .map(({ places }) => places)
      .reduce((a, b) => b.length > a.length ? b : a, []);
    if (bundle.length >= 4) {
      const nodes = stopped;
      return {
        look,
        pool,
        nodes,
        names,
        futures,
        controllers,
        bundle,
        messages,
      };
    }
    // The machine was busy, and they were not so quick any more.
    for (const future of futures) future.cancel();
    stopped.goOn();
  }
}

/** Counts how often futures are settled, by their places. */
function countSettled(futures: readonly Future<unknown>[]): number[] {
  const settled = futures.map(() => 0);
  for (const [place, future] of futures.entries()) {
    future.addDoneCallback(() => settled[place]++);
  }
  return settled;
}

/** How often each task ran, by their places. */
function runs(gates: Gates, names: readonly string[]): number[] {
  const notes = gates.notes();
  return names.map((name) => notes.filter((note) => note === name).length);
}

/** `times` for each place, and `other` for those of `places`. */
function timesBut(
  places: readonly number[],
  other: number,
  times = 1,
): number[] {
  return Array.from(
    { length: COUNT },
    (_, place) => places.includes(place) ? other : times,
  );
}

/** Has the task of a name do what `act` says, when it is called next. */
function mark({ folder }: Gates, name: string, what: "die" | "hold"): void {
  Deno.writeTextFileSync(`${folder}/${name}.${what}`, "");
}

/** Everything but what is at some places. */
function without<T>(list: readonly T[], ...places: number[]): T[] {
  return list.filter((_, place) => !places.includes(place));
}

// ------------------------------------------------------------- what goes how

testFaults(
  "NatsExecutor sends quick tasks of one function in bundles, and each gets its value",
  async (setting) => {
    const { gates, node } = setting;
    const { nodes, names, futures, messages } = await publish(setting, [
      await node("n1"),
    ]);
    assert(messages.length < COUNT);
    const places = messages.flatMap(({ places }) => places);
    assertEquals(places.toSorted((a, b) => a - b), [...names.keys()]);
    const settled = countSettled(futures);
    nodes.goOn();
    assertEquals(await Promise.all(futures), names);
    assertEquals(runs(gates, names), timesBut([], 1));
    assertEquals(settled, timesBut([], 1));
  },
);

testFaults(
  "NatsExecutor tells what each row of a bundle threw",
  async ({ admin, connect, node }) => {
    const n1 = await node("n1");
    const pool = await connect();
    const look = await admin();
    await learn(look, () => pool.submit(nats.throwIfOdd, 2));
    const stopped = new StoppedNodes([n1]);
    const futures = Array.from(
      { length: COUNT },
      (_, n) => pool.submit(nats.throwIfOdd, n),
    );
    await shippedAll(look, numberOf(pool.taskId(futures[0])));
    stopped.goOn();
    for (const [n, future] of futures.entries()) {
      const error = await future.exception();
      if (n % 2 === 0) assertEquals(await future, n);
      else {
        assertInstanceOf(error, RangeError);
        assertEquals(error.message, `${n} is odd`);
      }
    }
  },
);

testFaults(
  "NatsExecutor sends chunks of map, tasks with a time limit, and long arguments by themselves",
  async (setting) => {
    const { gates: { folder }, node } = setting;
    const { look, pool, nodes, futures } = await publish(setting, [
      await node("n1"),
    ]);
    for (const future of futures) future.cancel();
    const few = Array.from({ length: 12 }, (_, n) => `m${n}`);
    const folders = few.map(() => folder);
    const results = pool.map(act, folders, few, { chunkSize: 2 });
    const limited = few.map((name) =>
      pool.submitWith({ timeout: 60_000 }, act, folder, name)
    );
    const long = few.map((name) =>
      pool.submit(act, folder, name.padEnd(2_000))
    );
    const next = numberOf(pool.taskId(futures.at(-1)!)) + 1;
    const all = await shippedAll(look, next, 2.5 * few.length);
    assertEquals(all.filter(({ isBundle }) => isBundle), []);
    nodes.goOn();
    assertEquals(await Array.fromAsync(results), few);
    assertEquals(await Promise.all(limited), few);
    assertEquals(
      await Promise.all(long),
      few.map((name) => name.padEnd(2_000)),
    );
  },
);

// ---------------------------------------------------------------- cancelled

testFaults(
  "NatsExecutor.cancel() of a row of a bundle is exact, and the others run once",
  async (setting) => {
    const { gates, node } = setting;
    const { nodes, names, futures, bundle } = await publish(setting, [
      await node("n1"),
    ]);
    const [, second, third] = bundle;
    assertEquals(futures[second].cancel(), true);
    assertEquals(futures[third].cancel(), true);
    assertEquals(futures[second].cancelled(), true);
    const settled = countSettled(futures);
    nodes.goOn();
    assertEquals(
      await Promise.all(without(futures, second, third)),
      without(names, second, third),
    );
    assertEquals(runs(gates, names), timesBut([second, third], 0));
    assertEquals(settled, timesBut([], 1));
  },
);

testFaults(
  "NatsExecutor.cancel() of all rows of bundles leaves nothing with the server",
  async (setting) => {
    const { gates, node } = setting;
    const { look, pool, nodes, names, futures } = await publish(setting, [
      await node("n1"),
    ]);
    assertEquals(
      futures.map((future) => future.cancel()),
      names.map(() => true),
    );
    await shippedAll(look, numberOf(pool.taskId(futures[0])), 0);
    nodes.goOn();
    assertEquals(await pool.submit(act, gates.folder, "after"), "after");
    assertEquals(gates.notes(), ["after"]);
  },
);

testFaults(
  "NatsExecutor aborts a row of a bundle that no node has started, and the others run once",
  async (setting) => {
    const { gates, node } = setting;
    const { nodes, names, futures, controllers, bundle } = await publish(
      setting,
      [await node("n1")],
    );
    const [first] = bundle;
    controllers[first].abort(new Error("no more"));
    assertEquals(futures[first].cancelled(), true);
    nodes.goOn();
    assertEquals(
      await Promise.all(without(futures, first)),
      without(names, first),
    );
    assertEquals(runs(gates, names), timesBut([first], 0));
  },
);

testFaults(
  "NatsExecutor aborts a row of a bundle that runs, and the others run once",
  async (setting) => {
    const { gates, node } = setting;
    const published = await publish(setting, [
      await node("n1", { maxWorkers: 1 }),
    ]);
    const { pool, nodes, names, futures, controllers, bundle } = published;
    const [, second] = bundle;
    mark(gates, names[second], "hold");
    nodes.goOn();
    await until(() => gates.isReached(names[second]));
    controllers[second].abort(new Error("no more"));
    await assertRejects(() => futures[second].result(), errors.CancelledError);
    assertEquals(
      await Promise.all(without(futures, second)),
      without(names, second),
    );
    assertEquals(runs(gates, names), timesBut([], 1));
    // Its worker is free again.
    assertEquals(await pool.submit(act, gates.folder, "after"), "after");
  },
);

testFaults(
  "NatsExecutor.cancel() or a node gets each row of a bundle, never both, when they race",
  async ({ admin, connect, gates, node }) => {
    await Promise.all([node("n1"), node("n2")]);
    const pool = await connect();
    const { folder } = gates;
    await learn(await admin(), () => pool.submit(act, folder, "learning"));
    Deno.removeSync(`${folder}/notes`);
    const names = Array.from({ length: 400 }, (_, n) => `r${n}`);
    const futures = names.map((name) => pool.submit(act, folder, name));
    const wanted = futures.map((future, n) => n % 7 !== 0 || !future.cancel());
    for (const [n, future] of futures.entries()) {
      if (wanted[n]) assertEquals(await future, names[n]);
      else assertEquals(future.cancelled(), true);
    }
    assertEquals(runs(gates, names), wanted.map(Number));
  },
);

// --------------------------------------------------------------------- slow

testFaults(
  "NatsExecutor has another node help with a bundle whose rows turn out to be slow",
  async (setting) => {
    const { gates, node } = setting;
    const published = await publish(setting, [
      await node("n1", { maxWorkers: 1 }),
      await node("n2", { maxWorkers: 1 }),
    ]);
    const { nodes, names, futures, bundle } = published;
    const [first] = bundle;
    mark(gates, names[first], "hold");
    const settled = countSettled(futures);
    nodes.goOn();
    // One node has the first row, for as long as it likes.
    await Promise.all(without(futures, first));
    assertEquals([futures[first].done(), futures[first].running()], [
      false,
      true,
    ]);
    gates.open(names[first]);
    assertEquals(await Promise.all(futures), names);
    assertEquals(runs(gates, names), timesBut([], 1));
    assertEquals(settled, timesBut([], 1));
  },
);

// ------------------------------------------------------------------- deaths

testFaults(
  "NatsExecutor runs every row of a bundle whose node was killed, and settles none twice",
  async (setting) => {
    const { gates, node } = setting;
    const published = await publish(setting, [
      await node("n1", { maxWorkers: 1 }),
      await node("n2", { maxWorkers: 1 }),
    ], { lease: 1_500 });
    const { nodes, names, futures, bundle } = published;
    mark(gates, names[bundle[2]], "die");
    const settled = countSettled(futures);
    nodes.goOn();
    assertEquals(await Promise.all(futures), names);
    assertEquals(settled, timesBut([], 1));
    for (const times of runs(gates, names)) assert(times === 1 || times === 2);
  },
);

testFaults(
  "NatsExecutor({ retries: 0 }) fails the rows of a bundle whose node was killed, and runs none again",
  async (setting) => {
    const { gates, node } = setting;
    const published = await publish(setting, [
      await node("n1", { maxWorkers: 1 }),
      await node("n2", { maxWorkers: 1 }),
    ], { lease: 3_000, retries: 0 });
    const { pool, nodes, names, futures, bundle } = published;
    mark(gates, names[bundle[2]], "die");
    const settled = countSettled(futures);
    nodes.goOn();
    assertEquals(
      await Promise.all(without(futures, ...bundle)),
      without(names, ...bundle),
    );
    for (const place of bundle) {
      const error = await futures[place].exception();
      assertInstanceOf(error, errors.BrokenExecutor);
      assertMatch(error.message, /"act" died .*"n[12]".*"retries" is 0/);
    }
    assertEquals(await pool.submit(act, gates.folder, "after"), "after");
    for (const times of runs(gates, names)) assert(times <= 1);
    assertEquals(settled, timesBut([], 1));
  },
);

testFaults(
  "NatsExecutor({ retries: 0 }) fails no row that has a result when its bundle's node is killed",
  async (setting) => {
    const { gates, node } = setting;
    const killed = await node("killed", { maxWorkers: 2 });
    const published = await publish(setting, [killed], {
      lease: 3_000,
      retries: 0,
    });
    const { nodes, names, futures, bundle } = published;
    const [, second] = bundle;
    mark(gates, names[second], "hold");
    const settled = countSettled(futures);
    nodes.goOn();
    assertEquals(
      await Promise.all(without(futures, second)),
      without(names, second),
    );
    await until(() => gates.isReached(names[second]));
    await killed.kill();
    await node("other");
    const error = await futures[second].exception();
    assertInstanceOf(error, errors.BrokenExecutor);
    assertMatch(error.message, /"act" died .*"retries" is 0/);
    assertEquals(settled, timesBut([], 1));
    assertEquals(runs(gates, names), timesBut([], 1));
  },
);

// ---------------------------------------------------------------- attaching

testFaults(
  "NatsExecutor.attach() gives the values of rows of a bundle, pending and over",
  async (setting) => {
    const { connect, gates, node } = setting;
    const published = await publish(setting, [await node("n1")]);
    const { pool, nodes, names, futures, bundle } = published;
    const ids = futures.map((future) => pool.taskId(future));
    const other = await connect({ lease: 5_000 });
    const pending = bundle.map((place) => other.attach<string>(ids[place]));
    // Once that one is there, those that were asked for before are known.
    const [session] = ids[0].split(".");
    assertEquals(await other.attach(`${session}.0`), "learning");
    // A row is not withdrawn without the others, which are not that executor's.
    assertEquals(pending[0].cancel(), false);
    nodes.goOn();
    const wanted = bundle.map((place) => names[place]);
    assertEquals(await Promise.all(pending), wanted);
    assertEquals(await Promise.all(futures), names);
    const over = ids.map((id) => other.attach<string>(id));
    assertEquals(await Promise.all(over), names);
    assertEquals(runs(gates, names), timesBut([], 1));
  },
);

/** A caller that finds out how quick a task is, submits some, tells their ids, and waits. */
const CALLER = `
  const [servers, stream, folder] = Deno.args;
  const pool = await NatsExecutor.connect({ servers, stream });
  const exists = (file) => Deno.stat(folder + "/" + file).then(() => true, () => false);
  const submit = (names) => names.map((name) => pool.submit(tasks.act, folder, name));
  const batch = Array(${BATCH}).fill("learning");
  while (!await exists("enough")) await Promise.all(submit(batch));
  console.log("enough");
  while (!await exists("go"));
  const names = Array.from({ length: ${COUNT} }, (_, n) => "n" + n);
  const futures = submit(names);
  console.log(JSON.stringify(futures.map((future) => pool.taskId(future))));
  await Promise.all(futures);
`;

function callerOf({ folder }: Gates): string {
  const url = (file: string) => JSON.stringify(import.meta.resolve(file));
  const program = `
    import { NatsExecutor } from ${url("../nats_executor.ts")};
    import { importTasks } from ${url("../mod.ts")};
    const tasks = importTasks(${JSON.stringify(MODULES[1])});
    ${CALLER}`;
  const file = `${folder}/caller.ts`;
  Deno.writeTextFileSync(file, program);
  return file;
}

/** The lines that a program writes. */
async function* linesOf(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<string, undefined> {
  let text = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (text + part).split("\n");
    text = lines.pop()!;
    yield* lines;
  }
}

testFaults(
  "NatsExecutor.attach() gives the values of rows of bundles whose caller was killed",
  async ({ admin, base, connect, gates, node }) => {
    const look = await admin();
    const n1 = await node("n1");
    const caller = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", `--config=${import.meta.dirname}/../deno.json`],
        ...[callerOf(gates), base.servers, base.stream, gates.folder],
      ],
      stdout: "piped",
    }).spawn();
    const lines = linesOf(caller.stdout);
    const bundles = bundleSeen(look);
    await until(() => bundles.seen);
    Deno.writeTextFileSync(`${gates.folder}/enough`, "");
    assertEquals((await lines.next()).value, "enough");
    const nodes = new StoppedNodes([n1]);
    Deno.removeSync(`${gates.folder}/notes`);
    Deno.writeTextFileSync(`${gates.folder}/go`, "");
    const ids: string[] = JSON.parse((await lines.next()).value!);
    await shippedAll(look, numberOf(ids[0]));
    caller.kill("SIGKILL");
    await lines.return(undefined);
    await caller.status;

    const pool = await connect();
    const names = ids.map((_, n) => `n${n}`);
    const pending = ids.map((id) => pool.attach<string>(id));
    nodes.goOn();
    assertEquals(await Promise.all(pending), names);
    const over = ids.map((id) => pool.attach<string>(id));
    assertEquals(await Promise.all(over), names);
    assertEquals(runs(gates, names), timesBut([], 1));
  },
);
