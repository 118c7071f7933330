/**
 * A caller by hand: writes tasks and reads results as `_nats_protocol.ts` has them, so that a node
 * is tested without the caller's side.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { readBuffers, readText } from "../_bytes.ts";
import { decodeValue, encodeArguments, encodeColumns } from "../_codec.ts";
import type { Definition } from "../_definition.ts";
import { Kind } from "../_layout.ts";
import { connectTo } from "../_nats_connection.ts";
import { nameModule } from "../_nats_modules.ts";
import { Payloads } from "../_nats_payloads.ts";
import {
  type ModuleName,
  NATS_PROTOCOL_VERSION,
  readFrame,
  readStart,
  type ResultHeader,
  type Start,
  type TaskHeader,
  toPart,
  writeStart,
} from "../_nats_protocol.ts";
import { openStore, type Store, type StreamSettings } from "../_nats_store.ts";

const encoder = new TextEncoder();
const COPY = { canMove: false };

/** The tasks that nodes run in tests. */
export const TASKS_URL = import.meta.resolve("./_nats_tasks.ts");

/** The path of the same. */
export const TASKS_PATH = `${import.meta.dirname}/_nats_tasks.ts`;

/** A function with its arguments. */
export interface Call {
  /** An export of the module of tasks, or a definition as it travels. */
  fn: string | Definition;
  args?: unknown[];
}

/** What is not as usual with a task. */
export interface RawTask extends Call {
  /** Its id; by default the next one. */
  id?: string;
  modules?: readonly ModuleName[];
  isSource?: boolean;
  timeoutMs?: number;
  leaseMs?: number;
  initializer?: Call;
  columns?: unknown[][];
  version?: number;
}

/** A result as it came. */
export interface RawResult {
  readonly header: ResultHeader;
  readonly value: unknown;
}

/** A caller of the stream `S`. */
export class RawCaller implements AsyncDisposable {
  readonly store: Store;
  readonly payloads: Payloads;
  readonly #module: ModuleName;
  readonly #session = crypto.randomUUID().replaceAll("-", "");
  #next = 0;

  private constructor(store: Store, module: ModuleName) {
    this.store = store;
    this.payloads = new Payloads(store);
    this.#module = module;
  }

  static async connect(
    url: string,
    settings: StreamSettings = {},
  ): Promise<RawCaller> {
    const connection = await connectTo({
      servers: url,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 20,
    });
    try {
      const store = await openStore(connection, "S", settings);
      return new RawCaller(store, await nameModule(TASKS_URL));
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  /** The id of the next task. */
  nextId(): string {
    return `${this.#session}.${this.#next++}`;
  }

  /** Waits until there is a connection again. */
  async back(): Promise<void> {
    const { connection } = this.store;
    while (!await connection.rtt().then(() => true, () => false)) await pause();
  }

  /** Submits a task; returns its id. */
  async submit(task: RawTask): Promise<string> {
    const id = task.id ?? this.nextId();
    const { message } = await this.pack(id, task);
    const { js, names } = this.store;
    await js.publish(names.task(id), message, { msgID: id });
    return id;
  }

  /** Makes the message of a task. */
  async pack(id: string, task: RawTask) {
    const definition = define(task.fn);
    const args = toPart(
      task.columns === undefined
        ? encodeArguments(task.args ?? [], COPY)
        : encodeColumns(task.columns, COPY),
    );
    const parts = [encoder.encode(JSON.stringify(definition)), args.bytes];
    const initializer = task.initializer &&
      toPart(encodeArguments(task.initializer.args ?? [], COPY));
    if (task.initializer !== undefined) {
      const text = JSON.stringify(define(task.initializer.fn));
      parts.push(encoder.encode(text), initializer!.bytes);
    }
    const header: TaskHeader = {
      version: task.version ?? NATS_PROTOCOL_VERSION,
      key: id,
      name: definition.name,
      modules: task.modules ?? [this.#module],
      isSource: task.isSource ?? false,
      arguments: args.part,
      isChunk: task.columns !== undefined,
      timeoutMs: task.timeoutMs,
      retries: 2,
      leaseMs: task.leaseMs ?? this.store.settings.leaseMs,
      initializer: initializer?.part,
      parts: parts.map(({ length }) => length),
    };
    const message = await this.payloads.packTask(id, header, parts);
    return { header, message };
  }

  /** Waits for the result of a task. */
  async result(id: string): Promise<RawResult> {
    const { js, names } = this.store;
    const consumer = await js.consumers.get(names.results, {
      filter_subjects: names.result(id),
    });
    const message = await consumer.next({ expires: 60_000 });
    assert(message !== null, `no result of ${id} came`);
    const frame = await this.payloads.completeResult(
      readFrame(message.data),
    );
    const { format, textBytes, buffers } = frame.header.outcome;
    const bytes = frame.parts[0].slice();
    const value = decodeValue(
      format,
      readText(bytes, 0, textBytes),
      readBuffers(bytes, 0, textBytes, buffers),
      [],
    );
    return { header: frame.header, value };
  }

  /** Runs a task that is to return something; returns that. */
  async run(task: RawTask): Promise<unknown> {
    const { header, value } = await this.result(await this.submit(task));
    if (header.kind !== Kind.RETURNED) throw value;
    return value;
  }

  /** Runs a task that is to throw something; returns that. */
  async runFailing(task: RawTask): Promise<Error> {
    const { header, value } = await this.result(await this.submit(task));
    assertEquals(header.kind, Kind.THREW);
    return value as Error;
  }

  /** Reads the entry of a task in the bucket of starts. */
  async start(id: string): Promise<ToldStart | undefined> {
    const entry = await this.store.starts.get(id);
    return entry === null ? undefined : withoutLife(readStart(entry.value));
  }

  /** Waits until the entry of a task says something. */
  async started(
    id: string,
    state: Start["state"] = "started",
  ): Promise<ToldStart> {
    const watch = await this.store.starts.watch({ key: id });
    for await (const entry of watch) {
      const start = readStart(entry.value);
      if (start?.state === state) return withoutLife(start)!;
    }
    throw new Error("the watch has ended");
  }

  /** Writes the entry of a task. */
  async write(id: string, start: Start): Promise<void> {
    await this.store.starts.put(id, writeStart(start));
  }

  /** Waits until the stream has no task. */
  async emptied(): Promise<void> {
    const { jsm, names } = this.store;
    for (;;) {
      const { state } = await jsm.streams.info(names.tasks);
      if (state.messages === 0) return;
      await pause();
    }
  }

  /** How many results a task has. */
  async countResults(id: string): Promise<number> {
    const { jsm, names } = this.store;
    const { state } = await jsm.streams.info(names.results, {
      subjects_filter: names.result(id),
    });
    return state.subjects?.[names.result(id)] ?? 0;
  }

  /** Reads a message as a frame of a task. */
  static header(message: Uint8Array): TaskHeader {
    return readFrame<TaskHeader>(message).header;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.connection.close();
  }
}

/** A while, before something is looked at again. */
function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}

function define(fn: string | Definition): Definition {
  return typeof fn === "string"
    ? { kind: "module", name: fn, module: "module:0", path: [fn] }
    : fn;
}

/** An entry without what is drawn by lot. */
export type ToldStart = WithoutLife<Start>;

type WithoutLife<S> = S extends unknown ? Omit<S, "life"> : never;

function withoutLife(start: Start | undefined): ToldStart | undefined {
  if (start?.state !== "started") return start;
  const { life: _, ...told } = start;
  return told;
}
