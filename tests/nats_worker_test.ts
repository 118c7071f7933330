import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { Kind } from "../_layout.ts";
import { parseCommand, UsageError } from "../_nats_command.ts";
import { connectTo } from "../_nats_connection.ts";
import { LocalPools } from "../_nats_local.ts";
import { pass } from "../_nats_task.ts";
import type { NodeCard } from "../_nats_protocol.ts";
import { RuntimeError, SerializationError, TimeoutError } from "../mod.ts";
import { type NatsNode, type NodeOptions, startNode } from "../nats_worker.ts";
import { Gates, TIMEOUT_MS } from "./_harness.ts";
import {
  RawCaller,
  type RawTask,
  TASKS_PATH,
  TASKS_URL,
} from "./_nats_caller.ts";
import { freePort, type NatsServer, testNats } from "./_nats_server.ts";
import { NodeProgram } from "./_nats_node_program.ts";

/** Starts a node of the stream `S` that runs the module of tasks. */
function start(
  server: NatsServer,
  options: Partial<NodeOptions> = {},
): Promise<NatsNode> {
  return startNode({
    servers: server.url,
    stream: "S",
    allowModules: [TASKS_PATH],
    maxWorkers: 2,
    reconnectTimeWait: 20,
    ...options,
  });
}

/** Waits for something that comes without being told. */
async function until(condition: () => boolean | Promise<boolean>) {
  while (!await condition()) await new Promise((go) => setTimeout(go, 5));
}

// ------------------------------------------------------------------- tasks

for (const processes of [false, true]) {
  const kind = processes ? "processes" : "threads";

  testNats(`a node runs tasks in ${kind}`, async (server) => {
    await using caller = await RawCaller.connect(server.url);
    await using _node = await start(server, { processes });
    assertEquals(await caller.run({ fn: "add", args: [2, 3] }), 5);
    assertEquals(await caller.run({ fn: "echo" }), undefined);
    const rich = new Map<unknown, unknown>([[1, 2n], ["d", new Date(5)]]);
    assertEquals(await caller.run({ fn: "echo", args: [rich] }), rich);
    assertEquals(
      await caller.run({ fn: "add", columns: [[1, 2], [3, 4]] }),
      [4, 6],
    );
    await caller.emptied();
  });

  testNats(`a node tells what a task threw in ${kind}`, async (server) => {
    await using caller = await RawCaller.connect(server.url);
    await using node = await start(server, { processes });
    const id = await caller.submit({ fn: "fail", args: ["no luck"] });
    const { header, value } = await caller.result(id);
    assertEquals([header.kind, header.node], [Kind.THREW, node.name]);
    assertInstanceOf(value, RangeError);
    assertEquals(value.message, "no luck");
    assertMatch(value.stack!, /at fail \(.*_nats_tasks\.ts:\d+/);
    assert(header.startMs! <= header.endMs!);
    await caller.emptied();
  });

  testNats(`a node outlives a worker that dies in ${kind}`, async (server) => {
    await using caller = await RawCaller.connect(server.url);
    await using _node = await start(server, { processes, maxWorkers: 1 });
    const error = await caller.runFailing({ fn: "exit" });
    assertStringIncludes(error.message, 'while it ran "exit"');
    assertEquals(await caller.run({ fn: "add", args: [2, 3] }), 5);
  });

  testNats(`a node initializes its workers in ${kind}`, async (server) => {
    await using caller = await RawCaller.connect(server.url);
    await using _node = await start(server, { processes });
    const recall = (what: string) =>
      caller.run({
        fn: "recall",
        initializer: { fn: "prepare", args: [what] },
      });
    assertEquals(await Promise.all([recall("one"), recall("two")]), [
      "one",
      "two",
    ]);
    assertEquals(await caller.run({ fn: "recall" }), "nothing");
  });

  testNats(`payloads of any size travel, in ${kind}`, async (server) => {
    await using caller = await RawCaller.connect(server.url);
    await using _node = await start(server, { processes });
    for (const length of [0, 100, 70_000, 3_000_000]) {
      const bytes = new Uint8Array(length);
      assertEquals(await caller.run({ fn: "measure", args: [bytes] }), length);
      const text = "ü".repeat(length / 2);
      assert(await caller.run({ fn: "echo", args: [text] }) === text);
      const filled = await caller.run({ fn: "fill", args: [length] });
      assertEquals((filled as Uint8Array).length, length);
    }
    await caller.emptied();
    await until(async () => await objects(caller, "arguments") === 0);
    assertEquals(await objects(caller, "values"), 2);
  });
}

/** How many objects a store has. */
async function objects(caller: RawCaller, which: "arguments" | "values") {
  const { jsm, names } = caller.store;
  const { state } = await jsm.streams.info(`OBJ_${names[which]}`, {
    subjects_filter: ">",
  });
  return Object.keys(state.subjects ?? {})
    .filter((subject) => subject.includes(".C.")).length;
}

testNats(
  "a node tells how an initializer failed, and tries it again",
  async (server) => {
    await using caller = await RawCaller.connect(server.url);
    await using _node = await start(server, { name: "A", maxWorkers: 1 });
    for (let i = 0; i < 2; i++) {
      const initializer = { fn: "prepareBadly", args: ["no licence"] };
      const id = await caller.submit({ fn: "recall", initializer });
      const { header, value } = await caller.result(id);
      assertEquals(header.kind, Kind.BROKE);
      const [why, cause] = value as [string, Error];
      assertEquals(
        why,
        'cannot go on as the initializer failed on node "A": RangeError: no licence',
      );
      assertInstanceOf(cause, RangeError);
    }
    assertEquals(await caller.run({ fn: "add", args: [2, 3] }), 5);
  },
);

testNats(
  "a node drops a task that was cancelled before it started",
  async (server) => {
    using gates = new Gates();
    await using caller = await RawCaller.connect(server.url);
    const args = [gates.folder, "ran"];
    const large = [...args, new Uint8Array(2_000_000)];
    const ids: string[] = [];
    for (const state of ["cancelled", "stopped"] as const) {
      const id = caller.nextId();
      await caller.write(id, { state });
      ids.push(await caller.submit({ id, fn: "note", args: large }));
    }
    await using _node = await start(server);
    await caller.emptied();
    assertEquals(gates.notes(), []);
    for (const id of ids) assertEquals(await caller.countResults(id), 0);
    await until(async () => await objects(caller, "arguments") === 0);
  },
);

testNats("a node says which it has started", async (server) => {
  using gates = new Gates();
  await using caller = await RawCaller.connect(server.url);
  await using node = await start(server, { name: "A" });
  const args = [gates.folder, "gate"];
  const id = await caller.submit({ fn: "hold", args });
  assertEquals(await caller.started(id), {
    state: "started",
    node: "A",
    attempt: 1,
  });
  gates.openEvery();
  assertEquals((await caller.result(id)).value, "gate");
  assertEquals(node.name, "A");
});

testNats("a node stops a task as its caller wants", async (server) => {
  using gates = new Gates();
  await using caller = await RawCaller.connect(server.url);
  await using _node = await start(server, { maxWorkers: 1 });
  const args = [gates.folder, "gate"];
  const id = await caller.submit({ fn: "holdAwaiting", args });
  await caller.started(id);
  await until(() => gates.isReached("gate"));
  const { connection, names } = caller.store;
  connection.publish(names.stop(id));
  await caller.emptied();
  assertEquals(await caller.countResults(id), 0);
  assertEquals(await caller.run({ fn: "add", args: [2, 3] }), 5);
});

testNats("a node makes good an order to stop that got lost", async (server) => {
  using gates = new Gates();
  await using caller = await RawCaller.connect(server.url, { leaseMs: 300 });
  await using _node = await start(server, { maxWorkers: 1 });
  const args = [gates.folder, "gate"];
  const id = await caller.submit({ fn: "holdAwaiting", args });
  await caller.started(id);
  await caller.write(id, { state: "stopped" });
  await caller.emptied();
  assertEquals(await caller.countResults(id), 0);
});

testNats("a node ends a task whose time has run out", async (server) => {
  using gates = new Gates();
  await using caller = await RawCaller.connect(server.url);
  await using _node = await start(server, { maxWorkers: 1 });
  const args = [gates.folder, "gate"];
  const task: RawTask = { fn: "holdAwaiting", args, timeoutMs: 50 };
  assertInstanceOf(await caller.runFailing(task), TimeoutError);
  assertEquals(await caller.run({ fn: "add", args: [2, 3] }), 5);
  await caller.emptied();
});

// ------------------------------------------------------------------ leases

testNats(
  "a node renews the lease of a task, however long it takes",
  async (server) => {
    using gates = new Gates();
    await using caller = await RawCaller.connect(server.url, { leaseMs: 200 });
    await using _a = await start(server, { name: "A" });
    await using _b = await start(server, { name: "B" });
    const args = [gates.folder, "gate"];
    const id = await caller.submit({ fn: "hold", args }); // blocks its thread
    const first = await caller.started(id);
    await passed(1_000); // five leases
    gates.openEvery();
    const { header } = await caller.result(id);
    assertEquals(first, { state: "started", node: header.node, attempt: 1 });
    await caller.emptied();
  },
);

/** Lets time pass, where that is what is tested. */
function passed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

testNats(
  "a node keeps the entry of a task that outlives its kind",
  async (server) => {
    using gates = new Gates();
    const settings = { leaseMs: 200, resultTtlMs: 600 };
    await using caller = await RawCaller.connect(server.url, settings);
    await using _node = await start(server);
    const args = [gates.folder, "gate"];
    const id = await caller.submit({ fn: "hold", args });
    await caller.started(id);
    await passed(1_500);
    assertEquals((await caller.start(id))?.state, "started");
    const result = caller.result(id);
    gates.openEvery();
    assertEquals((await result).value, "gate");
  },
);

testNats(
  "a node takes a task that comes again for the one that it runs",
  async (server) => {
    using gates = new Gates();
    await using caller = await RawCaller.connect(server.url);
    await using _node = await start(server, { maxWorkers: 2 });
    const args = [gates.folder, "gate"];
    const id = await caller.submit({ fn: "hold", args });
    await caller.started(id);
    await submitAgain(caller, id, { fn: "hold", args });
    // The slot of the second is free at once: both others run.
    assertEquals(await caller.run({ fn: "add", args: [2, 3] }), 5);
    gates.openEvery();
    assertEquals((await caller.result(id)).value, "gate");
    assertEquals(await caller.countResults(id), 1);
  },
);

/** Submits a task once more, as the one who passes it on does. */
async function submitAgain(caller: RawCaller, id: string, task: RawTask) {
  const { js, names } = caller.store;
  const { message } = await caller.pack(id, task);
  await js.publish(names.task(id), message, { msgID: crypto.randomUUID() });
}

testNats("a node drops a task that is over", async (server) => {
  using gates = new Gates();
  await using caller = await RawCaller.connect(server.url);
  await using _node = await start(server);
  const task: RawTask = { fn: "note", args: [gates.folder, "ran"] };
  const id = await caller.submit(task);
  await caller.result(id);
  await submitAgain(caller, id, task);
  await caller.emptied();
  assertEquals(gates.notes(), ["ran"]);
  assertEquals(await caller.countResults(id), 1);
});

testNats("a task whose node is killed runs on another one", async (server) => {
  using gates = new Gates();
  await using caller = await RawCaller.connect(server.url, { leaseMs: 300 });
  await using program = await NodeProgram.start(server, ["--name", "A"]);
  const args = [gates.folder, "gate"];
  const id = await caller.submit({ fn: "hold", args });
  assertEquals(await caller.started(id), {
    state: "started",
    node: "A",
    attempt: 1,
  });
  await program.kill();
  gates.openEvery();
  await using _node = await start(server, { name: "B" });
  const { header, value } = await caller.result(id);
  assertEquals([header.node, value], ["B", "gate"]);
  assertEquals(await caller.start(id), {
    state: "started",
    node: "B",
    attempt: 2,
  });
  await caller.emptied();
});

// ---------------------------------------------------------------- refusals

testNats(
  "a node refuses another version of a module, and says which",
  async (server) => {
    await using caller = await RawCaller.connect(server.url);
    await using _node = await start(server, { name: "A" });
    const modules = [{ name: "_nats_tasks.ts", hash: "fedcba9876" }];
    const error = await caller.runFailing({ fn: "add", modules });
    assertInstanceOf(error, SerializationError);
    assertMatch(
      error.message,
      /^Cannot run "add" as a node must allow "_nats_tasks.ts" \(fedcba98\), as it was submitted: node "A" has another "_nats_tasks.ts" \([0-9a-f]{8}\)/,
    );
    await caller.emptied();
  },
);

testNats(
  "a node refuses a module that it was not told to allow",
  async (server) => {
    await using caller = await RawCaller.connect(server.url);
    await using _node = await start(server, { name: "A", allowModules: [] });
    const error = await caller.runFailing({ fn: "add", args: [1, 2] });
    assertInstanceOf(error, SerializationError);
    assertStringIncludes(
      error.message,
      'node "A" does not allow "_nats_tasks.ts"',
    );
  },
);

const byText = {
  kind: "source",
  name: "seven",
  text: "() => () => 7",
  uses: [],
  isCapturing: false,
} as const;

testNats("a node runs source only where it was told to", async (server) => {
  await using caller = await RawCaller.connect(server.url);
  const task: RawTask = { fn: byText, modules: [], isSource: true };
  {
    await using _node = await start(server);
    const error = await caller.runFailing(task);
    assertStringIncludes(error.message, "does not run what comes by source");
    const lied = await caller.runFailing({ ...task, isSource: false });
    assertStringIncludes(lied.message, "this node runs nothing by source");
  }
  await using _node = await start(server, { allowSource: true });
  assertEquals(await caller.run(task), 7);
});

testNats("a node passes on to the node that can", async (server) => {
  await using caller = await RawCaller.connect(server.url);
  await using _a = await start(server, { name: "A", allowModules: [] });
  await using _b = await start(server, { name: "B", maxWorkers: 1 });
  const ids = await Promise.all(
    Array.from(
      { length: 20 },
      (_, i) => caller.submit({ fn: "add", args: [i, 1] }),
    ),
  );
  for (const [i, id] of ids.entries()) {
    const { header, value } = await caller.result(id);
    assertEquals([header.node, value], ["B", i + 1]);
  }
  await caller.emptied();
});

testNats("a node tells what it cannot read", async (server) => {
  await using caller = await RawCaller.connect(server.url);
  await using _node = await start(server, { name: "A" });
  const { js, names } = caller.store;
  const id = caller.nextId();
  await js.publish(names.task(id), new Uint8Array([1, 2, 3]));
  const { header, value } = await caller.result(id);
  assertEquals(header.kind, Kind.THREW);
  assertStringIncludes(
    (value as Error).message,
    'node "A" must be able to read it: a frame must have a header',
  );
  const older = await caller.runFailing({ fn: "add", version: 99 });
  assertStringIncludes(
    older.message,
    'must speak version 99 of the protocol: node "A" speaks version 1',
  );
  await caller.emptied();
});

testNats(
  "a node tells that the arguments of a task are gone",
  async (server) => {
    await using caller = await RawCaller.connect(server.url);
    const args = [new Uint8Array(2_000_000)];
    const id = caller.nextId();
    const { header, message } = await caller.pack(id, { fn: "measure", args });
    await caller.payloads.dropTask(RawCaller.header(message));
    const { js, names } = caller.store;
    await js.publish(names.task(id), message);
    await using _node = await start(server);
    const { value } = await caller.result(id);
    assertMatch((value as Error).message, /the object .* it is gone/);
    assertEquals(header.object, undefined);
    await caller.emptied();
  },
);

testNats("every node answers what it runs", async (server) => {
  await using a = await start(server, { allowSource: true });
  await using b = await start(server, { allowModules: [] });
  const connection = await connectTo({ servers: server.url });
  const answers = await connection.requestMany("S.nodes", undefined, {
    strategy: "count",
    maxMessages: 2,
    maxWait: 10_000,
  });
  const cards: NodeCard[] = [];
  for await (const answer of answers) cards.push(answer.json());
  cards.sort((one, other) => one.modules.length - other.modules.length);
  assertEquals(cards.map(({ node }) => node), [b.name, a.name]);
  assertEquals(cards.map(({ allowsSource }) => allowsSource), [false, true]);
  assertEquals(cards[1].modules.map(({ name }) => name), ["_nats_tasks.ts"]);
  await connection.close();
});

// -------------------------------------------------------------------- ends

testNats(
  "a node that drains finishes what runs, and passes on the rest",
  async (server) => {
    using gates = new Gates();
    await using caller = await RawCaller.connect(server.url);
    const node = await start(server, { maxWorkers: 2 });
    const held = await Promise.all(
      ["a", "b"].map((gate) =>
        caller.submit({ fn: "hold", args: [gates.folder, gate] })
      ),
    );
    for (const id of held) {
      await caller.started(id);
    }
    const rest = await Promise.all(
      Array.from(
        { length: 50 },
        (_, i) => caller.submit({ fn: "add", args: [i, 1] }),
      ),
    );
    const drained = node.drain();
    gates.openEvery();
    await drained;
    assertEquals(await node.closed, undefined);
    for (const id of held) {
      assertEquals((await caller.result(id)).header.kind, Kind.RETURNED);
    }
    await using _other = await start(server);
    const values = await Promise.all(
      rest.map(async (id) => (await caller.result(id)).value),
    );
    assertEquals(values, Array.from({ length: 50 }, (_, i) => i + 1));
    await caller.emptied();
  },
);

testNats(
  "a node drains under load, and no task is lost or run twice",
  async (server) => {
    using gates = new Gates();
    await using caller = await RawCaller.connect(server.url);
    const node = await start(server, { maxWorkers: 4 });
    await using _other = await start(server, { maxWorkers: 1 });
    const ids = await Promise.all(
      Array.from(
        { length: 300 },
        (_, i) => caller.submit({ fn: "note", args: [gates.folder, `${i}`] }),
      ),
    );
    await caller.result(ids[20]);
    await node.drain();
    for (const id of ids) {
      await caller.result(id);
    }
    const notes = gates.notes().map(Number).sort((a, b) => a - b);
    assertEquals(notes, Array.from({ length: 300 }, (_, i) => i));
  },
);

testNats(
  "a node goes on when the server is killed and comes back",
  async (server) => {
    using gates = new Gates();
    await using caller = await RawCaller.connect(server.url);
    await using _node = await start(server, { maxWorkers: 2 });
    const args = [gates.folder, "gate"];
    const id = await caller.submit({ fn: "hold", args });
    await caller.started(id);
    await server.kill();
    gates.openEvery(); // the result comes while nobody can take it
    await server.restart();
    await caller.back();
    assertEquals((await caller.result(id)).value, "gate");
    for (let i = 0; i < 10; i++) {
      assertEquals(await caller.run({ fn: "add", args: [i, 1] }), i + 1);
    }
    await caller.emptied();
  },
);

testNats("a node makes a stream anew that was removed", async (server) => {
  await using caller = await RawCaller.connect(server.url);
  await using _node = await start(server);
  assertEquals(await caller.run({ fn: "add", args: [2, 3] }), 5);
  const { jsm, names } = caller.store;
  await jsm.streams.delete(names.tasks);
  await until(() =>
    jsm.streams.info(names.tasks).then(() => true, () => false)
  );
  assertEquals(await caller.run({ fn: "add", args: [2, 4] }), 6);
});

testNats(
  "startNode() rejects where it cannot begin, and leaves nothing",
  async (server) => {
    await assertRejects(
      () => start(server, { servers: `nats://127.0.0.1:${freePort()}` }),
      RuntimeError,
      "Cannot connect to NATS",
    );
    await assertRejects(() => start(server, { stream: "a.b" }), RangeError);
    await assertRejects(() => start(server, { maxWorkers: 0 }), RangeError);
    await assertRejects(
      () => start(server, { allowModules: ["./no_such_module.ts"] }),
      RangeError,
      "must be a file that can be read",
    );
  },
);

testNats(
  "startNode() rejects where the server has no JetStream",
  async (server) => {
    await server.restart(
      "accounts { A { users: [{ user: a, password: b }] } }",
    );
    await assertRejects(
      () => start(server, { user: "a", pass: "b" }),
      RuntimeError,
      "must have JetStream",
    );
  },
);

// ------------------------------------------------------------ command line

const noEnv = () => undefined;

function optionsOf(
  args: string[],
  env: Record<string, string> = {},
): Record<string, unknown> {
  const command = parseCommand(args, (name) => env[name]);
  if (command.kind !== "run") throw new Error("it says something");
  const { options, logLevel } = command;
  const given = Object.entries(options)
    .filter(([, value]) => value !== undefined);
  return { logLevel, ...Object.fromEntries(given) };
}

Deno.test("parseCommand() reads every option", () => {
  assertEquals(optionsOf(["--stream", "S"]), { stream: "S", logLevel: "info" });
  assertEquals(
    optionsOf([
      ...["--stream=S", "--servers", "nats://a:1, nats://b:2", "--servers=c"],
      ...["--allow-module", "./a.ts", "--allow-module", "jsr:@a/b"],
      ...["--allow-source", "--processes", "--max-workers", "3"],
      ...["--name", "A", "--user", "u", "--token", "t"],
      ...["--tls-ca", "ca.pem", "--log-level", "debug"],
    ], { NATS_PASS: "p", NATS_TOKEN: "unused" }),
    {
      stream: "S",
      servers: ["nats://a:1", "nats://b:2", "c"],
      allowModules: ["./a.ts", "jsr:@a/b"],
      allowSource: true,
      processes: true,
      maxWorkers: 3,
      name: "A",
      user: "u",
      pass: "p",
      token: "t",
      tls: { caFile: "ca.pem" },
      logLevel: "debug",
    },
  );
  assertEquals(optionsOf(["--stream=S"], { NATS_TOKEN: "t" }), {
    stream: "S",
    token: "t",
    logLevel: "info",
  });
});

Deno.test("parseCommand() refuses what it does not know", () => {
  for (
    const args of [
      [],
      ["--stream", "S", "--nonsense"],
      ["--stream", "S", "more"],
      ["--stream", "S", "--max-workers", "2.5"],
      ["--stream", "S", "--max-workers", "0"],
      ["--stream", "S", "--log-level", "loud"],
      ["--stream", "S", "--credentials", "/no/such/file"],
    ]
  ) assertThrows(() => parseCommand(args, noEnv), UsageError);
});

Deno.test("parseCommand() says how it is used", () => {
  const help = parseCommand(["--help"], noEnv);
  assertEquals(help.kind, "say");
  assertMatch((help as { text: string }).text, /--allow-module/);
  const version = parseCommand(["--version"], noEnv);
  assertMatch((version as { text: string }).text, /^\d+\.\d+\.\d+\n$/);
});

testNats(
  "the program says that it is ready, and drains on SIGTERM",
  async (server) => {
    using gates = new Gates();
    await using caller = await RawCaller.connect(server.url);
    await using program = await NodeProgram.start(server, [
      ...["--name", "A", "--max-workers", "2"],
    ]);
    assertEquals(
      program.readyLine,
      'ready: node "A" serves stream "S" with 2 workers',
    );
    const args = [gates.folder, "gate"];
    const id = await caller.submit({ fn: "hold", args });
    await caller.started(id);
    program.signal("SIGTERM");
    await program.logged("draining");
    gates.openEvery();
    assertEquals(await program.ended(), 0);
    assertEquals((await caller.result(id)).value, "gate");
    await caller.emptied();
  },
);

testNats("the program ends at once on a second signal", async (server) => {
  using gates = new Gates();
  await using caller = await RawCaller.connect(server.url);
  for (const [signal, code] of [["SIGTERM", 143], ["SIGINT", 130]] as const) {
    await using program = await NodeProgram.start(server, [
      ...["--name", signal, "--max-workers", "1"],
    ]);
    const id = await caller.submit({
      fn: "hold",
      args: [gates.folder, signal],
    });
    await caller.started(id);
    program.signal(signal);
    await program.logged("draining");
    program.signal(signal);
    assertEquals(await program.ended(), code);
  }
});

testNats(
  "the program ends with 1 where it cannot reach the server",
  async (server) => {
    const port = freePort();
    const { code, stderr } = await NodeProgram.output([
      ...["--servers", `nats://127.0.0.1:${port}`, "--stream", "S"],
    ]);
    assertEquals(code, 1);
    assertStringIncludes(stderr, `nats://127.0.0.1:${port}`);
    assertStringIncludes(stderr, "connection was refused");
    assert(server.port !== port);
  },
);

Deno.test("the program ends with 2 where its command line is wrong", {
  timeout: TIMEOUT_MS,
}, async () => {
  for (
    const [args, why] of [
      [[], "--stream must be given"],
      [["--stream", "S", "--nonsense"], "--nonsense"],
      [["--stream", "a.b"], '"stream" must be a name'],
      [["--stream", "S", "--allow-module", "./no.ts"], "must be a file"],
    ] as const
  ) {
    const { code, stderr } = await NodeProgram.output([...args]);
    assertEquals(code, 2, stderr);
    assertStringIncludes(stderr, why);
    assertStringIncludes(stderr, "See --help");
  }
});

testNats(
  "the program ends with 1 where the server does not take it any more",
  async (server) => {
    await using program = await NodeProgram.start(server, ["--token", "one"]);
    await server.restart('authorization { token: "two" }');
    assertEquals(await program.ended(), 1);
    await program.logged("lost for good");
  },
  'authorization { token: "one" }',
);

// -------------------------------------------------------------- local pools

Deno.test(
  "LocalPools ends a pool without tasks, and keeps the one without initializer",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    const options = { maxWorkers: 1, processes: false, idleMs: 1 };
    const pools = new LocalPools(options);
    const text = JSON.stringify({
      kind: "module",
      name: "prepare",
      module: TASKS_URL,
      path: ["prepare"],
    });
    const initializer = {
      definition: text,
      args: pass({ format: 0, textBytes: 0, buffers: 0 }, new Uint8Array()),
    };
    const plain = pools.take();
    const first = pools.take(initializer);
    assert(pools.take(initializer) === first);
    pools.release(first);
    pools.release(plain);
    pools.release(first);
    await until(() => pools.size === 1);
    const next = pools.take(initializer);
    assert(next !== first);
    pools.release(next);
    assert(pools.take() === plain);
    await pools.shutdown();
  },
);
