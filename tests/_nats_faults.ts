/**
 * A test of `NatsExecutor` with a server of its own, nodes, and executors that all end with it.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { delay } from "@std/async";
import {
  type JetStreamManager,
  jetstreamManager,
} from "npm:@nats-io/jetstream@3.4.0";
import { connectTo, type NatsConnection } from "../_nats_connection.ts";
import { StreamNames } from "../_nats_protocol.ts";
import { importTasks } from "../mod.ts";
import { NatsExecutor, type NatsOptions } from "../nats_executor.ts";
import { type NatsNode, type NodeOptions, startNode } from "../nats_worker.ts";
import { Gates } from "./_harness.ts";
import { liveWorkers } from "./_leaks.ts";
import { NodeProcess } from "./_nats_node_process.ts";
import { hasNatsServer, NatsServer } from "./_nats_server.ts";

const TIMEOUT_MS = 120_000;
const STREAM = "faults";

/** The modules that nodes allow. */
export const MODULES: readonly string[] = [
  import.meta.resolve("./_tasks.ts"),
  import.meta.resolve("./_nats_fault_tasks.ts"),
];

/** The tasks for nodes in processes of their own, by reference. */
export const nats = importTasks<typeof import("./_nats_fault_tasks.ts")>(
  MODULES[1],
);

/** What somebody sees who looks at the server. */
export interface Admin {
  readonly names: StreamNames;
  readonly connection: NatsConnection;
  readonly jsm: JetStreamManager;
  /** How many messages a stream has under subjects that match; all of it by default. */
  count(stream: string, subject?: string): Promise<number>;
  /** The subjects that a stream has messages under, in no order. */
  subjects(stream: string): Promise<string[]>;
}

/** What a test has. */
export interface FaultSetting {
  readonly server: NatsServer;
  readonly gates: Gates;
  /** The server and the stream, as `connect` takes them. */
  readonly base: { readonly servers: string; readonly stream: string };
  connect(options?: Partial<NatsOptions>): Promise<NatsExecutor>;
  /** Starts a node in a process of its own. */
  node(
    name: string,
    settings?: { maxWorkers?: number; args?: string[] },
  ): Promise<NodeProcess>;
  /** Starts a node in this thread, which is quicker; the test may not block for long. */
  nodeHere(options?: Partial<NodeOptions>): Promise<NatsNode>;
  /** Looks at the server. */
  admin(): Promise<Admin>;
}

/** How a test is registered. */
export interface FaultOptions {
  /** More text for the server's configuration. */
  readonly config?: string;
  /** A command that the test needs and that is not there: it is ignored, and says so. */
  readonly missing?: string;
}

/** Registers a test; ignored, by name, where the server or another command is not installed. */
export function testFaults(
  name: string,
  fn: (setting: FaultSetting) => Promise<void>,
  { config = "", missing }: FaultOptions = {},
): void {
  const without = hasNatsServer ? missing : "nats-server";
  const told = without === undefined
    ? name
    : `${name} (ignored: without the command ${without})`;
  const options = { timeout: TIMEOUT_MS, ignore: without !== undefined };
  Deno.test(told, options, async () => {
    await using stack = new AsyncDisposableStack();
    const server = stack.use(await NatsServer.start(config));
    const gates = stack.use(new Gates());
    const base = { servers: server.url, stream: STREAM };
    const pools: NatsExecutor[] = [];
    try {
      await fn({
        server,
        gates,
        base,
        async connect(options) {
          const settings = { ...base, lease: 1_000, ...options };
          const pool = await NatsExecutor.connect(settings);
          pools.push(pool);
          return pool;
        },
        async node(name, settings) {
          const command = { ...base, name, modules: MODULES, ...settings };
          return stack.use(await NodeProcess.start(command));
        },
        async nodeHere(options) {
          const settings = { ...base, allowModules: [...MODULES], ...options };
          return stack.use(await startNode(settings));
        },
        async admin() {
          const admin = await lookAt(server.url);
          stack.defer(() => admin.connection.close());
          return admin;
        },
      });
    } finally {
      gates.openEvery();
      // Before the nodes end: a task that runs has to come to its end.
      for (const pool of pools) await pool.shutdown({ cancelFutures: true });
    }
    await stack.disposeAsync();
    assertEquals(liveWorkers(), 0);
  });
}

async function lookAt(servers: string): Promise<Admin> {
  const connection = await connectTo({ servers });
  const jsm = await jetstreamManager(connection);
  const subjectsOf = async (stream: string, subject: string) => {
    const { state } = await jsm.streams.info(stream, {
      subjects_filter: subject,
    });
    return state.subjects ?? {};
  };
  return {
    names: new StreamNames(STREAM),
    connection,
    jsm,
    async count(stream, subject = ">") {
      const counts = Object.values(await subjectsOf(stream, subject));
      return counts.reduce((sum, count) => sum + count, 0);
    },
    async subjects(stream) {
      return Object.keys(await subjectsOf(stream, ">"));
    },
  };
}

/** Waits until it is so; the test's own limit ends a wait in vain. */
export async function until(
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  while (!await condition()) await delay(5);
}
