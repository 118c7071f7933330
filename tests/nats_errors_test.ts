/**
 * What `NatsExecutor` says when something is wrong: with the server, with who asks, with the stream,
 * with the options, with what is submitted.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { DiscardPolicy, RetentionPolicy } from "npm:@nats-io/jetstream@3.4.0";
import {
  Future,
  RuntimeError,
  SerializationError,
  ThreadPoolExecutor,
} from "../mod.ts";
import { NatsExecutor, type NatsOptions } from "../nats_executor.ts";
import { Certificates, hasOpenssl } from "./_certificates.ts";
import { tasks } from "./_harness.ts";
import { liveWorkers } from "./_leaks.ts";
import {
  type FaultSetting,
  MODULES,
  nats,
  testFaults,
} from "./_nats_faults.ts";
import { freePort } from "./_nats_server.ts";

type Connect = (options: NatsOptions) => Promise<NatsExecutor>;

/** Both forms; each error is the same in them. */
const CONNECTS: readonly Connect[] = [
  (options) => NatsExecutor.connect(options),
  async (options) => await NatsExecutor.connectSync(options),
];

/** What both forms say when they fail with a `RuntimeError`, which has to be the same. */
async function refusal(options: NatsOptions): Promise<string> {
  const said: string[] = [];
  for (const connect of CONNECTS) {
    const { message } = await assertRejects(
      () => connect(options),
      RuntimeError,
    );
    said.push(message);
  }
  assertEquals(said[0], said[1]);
  return said[0];
}

/** Makes sure that both forms connect. */
async function accepts(options: NatsOptions): Promise<void> {
  for (const connect of CONNECTS) {
    await using pool = await connect(options);
    assertEquals(pool.stats().tasks.submitted, 0);
  }
}

// -------------------------------------------------------------- the server

testFaults(
  "NatsExecutor.connect() says how to start a server where none is",
  async ({ base }) => {
    const servers = `nats://127.0.0.1:${freePort()}`;
    const message = await refusal({ ...base, servers });
    assertStringIncludes(message, `Cannot connect to NATS at ${servers}: `);
    assertStringIncludes(
      message,
      'start a server there with "nats-server -js"',
    );
  },
);

testFaults(
  "NatsExecutor.connect() says that the server must have JetStream",
  async ({ base, server }) => {
    await server.restart(
      "accounts { A { users: [{ user: a, password: b }] } }",
    );
    const message = await refusal({ ...base, user: "a", pass: "b" });
    assertMatch(message, /"faults" as the server must have JetStream: .*-js/);
  },
);

// ----------------------------------------------------------------- who asks

testFaults(
  "NatsExecutor.connect() says what to set where the server asks for a token",
  async ({ base }) => {
    for (const token of [undefined, "wrong-one"]) {
      const message = await refusal({ ...base, token });
      assertMatch(message, /does not accept who asks: set "token"/);
      assert(!message.includes("wrong-one"), message);
    }
    await accepts({ ...base, token: "right-one" });
  },
  { config: 'authorization { token: "right-one" }' },
);

testFaults(
  "NatsExecutor.connect() says what to set where the server asks for a user",
  async ({ base, server }) => {
    const url = (pass: string) => `nats://ada:${pass}@127.0.0.1:${server.port}`;
    const wrong: Partial<NatsOptions>[] = [
      {},
      { user: "ada" },
      { user: "ada", pass: "wrong-one" },
      { user: "bob", pass: "right-one" },
      { servers: url("wrong-one") },
      { servers: [url("wrong-one"), url("right-one-not")] },
    ];
    for (const options of wrong) {
      const message = await refusal({ ...base, ...options });
      assertMatch(message, /does not accept who asks: set .*"user" and "pass"/);
      assert(!/wrong-one|right-one/.test(message), message);
    }
    await accepts({ ...base, user: "ada", pass: "right-one" });
  },
  { config: 'authorization { user: "ada", password: "right-one" }' },
);

testFaults(
  "NatsExecutor says nothing secret when the connection is lost for good",
  async ({ connect, server }) => {
    const pool = await connect({
      servers: `nats://ada:right-one@127.0.0.1:${server.port}`,
      user: "ada",
      pass: "right-one",
      maxReconnectAttempts: 1,
      reconnectTimeWait: 10,
    });
    const future = pool.submit(tasks.add, 1, 2);
    await server.kill();
    const { message } = await future.exception() as Error;
    assertStringIncludes(message, `NATS at nats://127.0.0.1:${server.port}`);
    assert(!message.includes("right-one"), message);
  },
  { config: 'authorization { user: "ada", password: "right-one" }' },
);

testFaults(
  "NatsExecutor.connect() refuses credentials that are none",
  async ({ base }) => {
    for (const credentials of ["", "secret garbage"]) {
      const message = await refusal({ ...base, credentials });
      assertStringIncludes(message, "Cannot connect to NATS at ");
      assertStringIncludes(message, "credentials");
      assert(!message.includes("secret garbage"), message);
    }
  },
  { config: 'authorization { token: "right-one" }' },
);

// ---------------------------------------------------------------------- TLS

/** Registers a test with a server that asks for TLS. */
function testTls(
  name: string,
  fn: (
    setting: FaultSetting & { certificates: Certificates },
  ) => Promise<void>,
  isVerifying: boolean,
): void {
  const missing = hasOpenssl ? undefined : "openssl";
  testFaults(name, async (setting) => {
    using certificates = new Certificates();
    await setting.server.restart(`tls {
      cert_file: "${certificates.certificate("server")}"
      key_file: "${certificates.key("server")}"
      ca_file: "${certificates.certificate("ca")}"
      verify: ${isVerifying}
    }`);
    await fn({ ...setting, certificates });
  }, { missing });
}

testTls(
  "NatsExecutor.connect() takes an authority for TLS, and says where it is a wrong one",
  async ({ base, certificates }) => {
    const caFile = certificates.certificate("ca");
    await accepts({ ...base, tls: { caFile } });
    await accepts({ ...base, tls: { ca: Deno.readTextFileSync(caFile) } });
    const other = certificates.certificate("other");
    for (const tls of [{ caFile: other }, {}, undefined]) {
      const message = await refusal({ ...base, tls });
      assertStringIncludes(message, 'other certificates: see "tls"');
    }
  },
  false,
);

testTls(
  "NatsExecutor.connect() takes a client's certificate, and says where it is a wrong one",
  async ({ base, certificates }) => {
    const caFile = certificates.certificate("ca");
    const filesOf = (name: string) => ({
      certFile: certificates.certificate(name),
      keyFile: certificates.key(name),
    });
    await accepts({ ...base, tls: { caFile, ...filesOf("client") } });
    const { certFile, keyFile } = filesOf("client");
    const cert = Deno.readTextFileSync(certFile);
    const key = Deno.readTextFileSync(keyFile);
    await accepts({ ...base, tls: { caFile, cert, key } });
    for (const tls of [{ caFile }, { caFile, ...filesOf("stranger") }]) {
      // The client may take until its time is over to notice.
      const message = await refusal({ ...base, tls, timeout: 500 });
      assertStringIncludes(message, 'other certificates: see "tls"');
    }
  },
  true,
);

testTls(
  "NatsExecutor.connect() says which file of TLS it cannot read",
  async ({ base }) => {
    const message = await refusal({ ...base, tls: { caFile: "/no/such.pem" } });
    assertStringIncludes(message, "/no/such.pem");
  },
  false,
);

testFaults(
  "NatsExecutor.connect() says so where it is to use TLS and the server does not",
  async ({ base }) => {
    const message = await refusal({ ...base, tls: { handshakeFirst: true } });
    assertStringIncludes(message, 'see "tls"');
  },
);

// --------------------------------------------------------------- the stream

testFaults(
  "NatsExecutor.connect() refuses a stream of that name which is none of its kind",
  async ({ base, admin }) => {
    const { jsm, names } = await admin();
    const kinds = [
      { subjects: ["orders.>"] },
      { subjects: [names.task(">")] },
      {
        subjects: [names.task(">")],
        retention: RetentionPolicy.Workqueue,
        discard: DiscardPolicy.Old,
      },
    ];
    for (const kind of kinds) {
      await jsm.streams.add({ name: base.stream, ...kind });
      const message = await refusal(base);
      assertStringIncludes(message, '"faults" as one of that name must be');
      assertStringIncludes(message, kind.subjects[0]);
      assertStringIncludes(message, "take another name");
      await jsm.streams.delete(base.stream);
    }
    // What somebody has there is as it was: nothing was made beside it.
    assertEquals(await jsm.streams.names().next(), []);
  },
);

testFaults(
  "NatsExecutor says that the stream is full, and what is in it runs all the same",
  async ({ base, admin, connect, nodeHere }) => {
    const { jsm, names } = await admin();
    const most = 5;
    await jsm.streams.add({
      name: base.stream,
      subjects: [names.task(">")],
      retention: RetentionPolicy.Workqueue,
      discard: DiscardPolicy.New,
      max_msgs: most,
    });
    const pool = await connect();
    const futures = Array.from(
      { length: most + 3 },
      (_, n) => pool.submit(tasks.add, n, 1),
    );
    for (const future of futures.slice(most)) {
      const error = await future.exception();
      assertInstanceOf(error, RuntimeError);
      assertMatch(error.message, /"faults" as it is full: .*; wait until/);
    }
    assertEquals(await pool.attach(pool.taskId(futures[0])).done(), false);
    await nodeHere();
    for (const [n, future] of futures.slice(0, most).entries()) {
      assertEquals(await future, n + 1);
    }
    assertEquals(await pool.submit(tasks.add, 1, 2), 3);
  },
);

// -------------------------------------------------------------- the options

const stream = "faults";

/** Options that are wrong, by the error and a part of what it says. */
const WRONG: readonly [
  options: unknown,
  Kind: new () => Error,
  says: string,
][] = [
  [null, TypeError, '"options" must be an object: received null'],
  ["faults", TypeError, '"options" must be an object: received string'],
  [undefined, TypeError, '"stream" must be a string: it is missing'],
  [{}, TypeError, '"stream" must be a string: it is missing'],
  [{ stream: 7 }, TypeError, '"stream" must be a string: received number'],
  [{ stream: "" }, RangeError, '"stream" must be 1 to 64 of'],
  [{ stream: "a.b" }, RangeError, 'received "a.b"'],
  [{ stream: "a".repeat(65) }, RangeError, '"stream" must be 1 to 64 of'],
  [{ stream, servers: 4222 }, TypeError, '"servers" must be a string, or'],
  [{ stream, servers: ["a", 1] }, TypeError, '"servers" must be a string, or'],
  [{ stream, token: 1 }, TypeError, '"token" must be a string'],
  [{ stream, user: 1 }, TypeError, '"user" must be a string'],
  [{ stream, pass: null }, TypeError, '"pass" must be a string'],
  [{ stream, credentials: [] }, TypeError, '"credentials" must be a string'],
  [{ stream, name: 1 }, TypeError, '"name" must be a string'],
  [{ stream, tls: "ca" }, TypeError, '"tls" must be an object'],
  [{ stream, timeout: "1" }, TypeError, '"timeout" must be a number'],
  [{ stream, timeout: 0 }, RangeError, '"timeout" must be a whole'],
  [{ stream, reconnect: 1 }, TypeError, '"reconnect" must be a boolean'],
  [
    { stream, maxReconnectAttempts: -2 },
    RangeError,
    '"maxReconnectAttempts" must be a whole number >= -1',
  ],
  [
    { stream, reconnectTimeWait: -1 },
    RangeError,
    '"reconnectTimeWait" must be a whole number >= 0',
  ],
  [{ stream, maxWorkers: 0 }, RangeError, '"maxWorkers" must be a whole'],
  [{ stream, maxWorkers: 1.5 }, RangeError, '"maxWorkers" must be a whole'],
  [{ stream, maxWorkers: "2" }, TypeError, '"maxWorkers" must be a number'],
  [{ stream, lease: 99 }, RangeError, '"lease" must be a whole number >= 100'],
  [{ stream, lease: "1" }, TypeError, '"lease" must be a number'],
  [{ stream, retries: -1 }, RangeError, '"retries" must be a whole number'],
  [{ stream, retries: 0.5 }, RangeError, '"retries" must be a whole number'],
  [{ stream, resultTtl: 999 }, RangeError, '"resultTtl" must be a whole'],
  [{ stream, resultTtl: NaN }, RangeError, "received NaN"],
  [{ stream, onWorkerDeath: "die" }, RangeError, '"replace" or "break"'],
  [{ stream, onWorkerDeath: 1 }, TypeError, '"onWorkerDeath" must be a string'],
  [{ stream, allowSource: "yes" }, TypeError, '"allowSource" must be a bool'],
  [{ stream, initializer: 7 }, TypeError, '"initializer"'],
  [{ stream, initArgs: "a" }, TypeError, '"initArgs" must be an array'],
  [{ stream, trace: 1 }, TypeError, '"trace" must be'],
  [{ stream, initializer: () => {} }, SerializationError, "allowSource"],
];

Deno.test("NatsExecutor.connect() and connectSync() refuse wrong options before anything starts", async () => {
  for (const [options, Kind, says] of WRONG) {
    for (const connect of CONNECTS) {
      const error = await assertRejects(
        () => connect(options as NatsOptions),
        Kind,
      );
      assertStringIncludes(error.message, says);
    }
  }
  assertEquals(liveWorkers(), 0);
});

// ------------------------------------------------------------ what is asked

testFaults(
  "NatsExecutor.attach() refuses what is no task's id",
  async ({ connect }) => {
    const pool = await connect();
    const id = "0".repeat(32);
    for (const wrong of [undefined, null, 7, {}, [`${id}.1`]]) {
      assertThrows(() => pool.attach(wrong as string), TypeError, "its id");
    }
    const texts = ["", id, `${id}.`, `${id}.x`, `${id}.b1`, `${id}.-1`];
    for (const text of [...texts, `x${id}.1`, `${id}.1 `, `${id}.1.2`]) {
      assertThrows(() => pool.attach(text), RangeError, `received "${text}"`);
    }
    await pool.shutdown();
    assertThrows(() => pool.attach(`${id}.1`), RuntimeError, "shut down");
  },
);

testFaults(
  "NatsExecutor.taskId() knows the futures of its own executor alone",
  async ({ connect }) => {
    const pool = await connect();
    const other = await connect();
    await using threads = new ThreadPoolExecutor();
    const foreign = [
      other.submit(tasks.add, 1, 2),
      threads.submit(tasks.add, 1, 2),
      new Future<number>(),
      pool.submit(nats.echo, Symbol("travels not")),
    ];
    for (const future of foreign) {
      assertThrows(
        () => pool.taskId(future),
        TypeError,
        "must be one that this executor has submitted",
      );
    }
    const own = pool.submit(tasks.add, 1, 2);
    assertMatch(pool.taskId(own), /^[0-9a-f]{32}\.\d+$/);
    const attached = other.attach(pool.taskId(own));
    assertEquals(other.taskId(attached), pool.taskId(own));
  },
);

testFaults(
  "NatsExecutor sends no source, and nothing of the platform's, without allowSource",
  async ({ connect, nodeHere }) => {
    const pool = await connect();
    await nodeHere({ allowSource: true });
    const inner = (n: number) => n + 1;
    const hidden = 7;
    for (const fn of [inner, () => hidden, Math.sqrt]) {
      const error = await pool.submit(fn as (n: number) => number, 1)
        .exception();
      assertInstanceOf(error, SerializationError);
      assertMatch(error.message, /"allowSource", here and on each node/);
    }
    const results = pool.map(inner, [1, 2]);
    await assertRejects(() => Array.fromAsync(results), SerializationError);
    assertEquals(await pool.submit(tasks.add, 1, 2), 3);
  },
);

testFaults(
  "NatsExecutor({ allowSource }) is refused by nodes that do not allow source",
  async ({ connect, nodeHere }) => {
    const pool = await connect({ allowSource: true });
    const strict = await nodeHere({ name: "strict" });
    const error = await pool.submit((n: number) => n + 1, 1).exception();
    assertInstanceOf(error, SerializationError);
    assertMatch(error.message, /"strict" does not run what comes by source/);
    await strict.drain();
    await nodeHere({ name: "open", allowSource: true });
    assertEquals(await pool.submit((n: number) => n + 1, 1), 2);
    assertEquals(await pool.submit(Math.sqrt, 9), 3);
  },
);

testFaults(
  "NatsExecutor fails a task whose module no node allows, and says which it was",
  async ({ connect, nodeHere }) => {
    const pool = await connect();
    await nodeHere({ name: "bare", allowModules: [MODULES[0]] });
    const error = await pool.submit(nats.double, 1).exception();
    assertInstanceOf(error, SerializationError);
    assertStringIncludes(error.message, "_nats_fault_tasks.ts");
    assertStringIncludes(error.message, "bare");
  },
);
