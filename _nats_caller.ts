/**
 * A caller's half of the talk with a NATS server: publishes tasks, withdraws and
 * stops them, and hears of their starts and results. `_nats_protocol.ts` says
 * what is said; `_nats_feeder.ts` has the other end, in shared memory.
 *
 * Publishing may be tried again without being asked for: a message has an id, by
 * which the server drops the second. No task is run again for that.
 *
 * @module
 */

import type { ConsumerMessages, JsMsg } from "npm:@nats-io/jetstream@3.4.0";
import { encodeValue } from "./_codec.ts";
import { describeError } from "./_describe.ts";
import { Kind } from "./_layout.ts";
import { connectTo, nameServers } from "./_nats_connection.ts";
import type { NamedDefinition } from "./_nats_naming.ts";
import type { NatsBoot } from "./_nats_manager_protocol.ts";
import type { ArgumentPart, Parcel } from "./_nats_parcel.ts";
import { Payloads } from "./_nats_payloads.ts";
import {
  type Frame,
  NATS_PROTOCOL_VERSION,
  readFrame,
  readStart,
  type ResultHeader,
  type Start,
  type TaskHeader,
  toPart,
  writeFrame,
  writeStart,
} from "./_nats_protocol.ts";
import {
  ApiError,
  isApiError,
  messageOf,
  openStore,
  type Store,
} from "./_nats_store.ts";
import { CancelledError, RuntimeError } from "./errors.ts";

/** Who is told what becomes of tasks. */
export interface CallerSink {
  /** A node has started a task; told again where another does, after its death. */
  onStarted(id: string): void;
  /** The one result of a task. */
  onResult(id: string, result: Frame<ResultHeader>): void;
  /** A task did not get to the server, or is not there. */
  onRefused(parcel: Parcel, error: unknown): void;
  /** The server can take more tasks. */
  onRoom(): void;
  /** The connection is lost for good. */
  onLost(why: string): void;
}

/** How much may be on its way to the server at once, unacknowledged. */
const MOST_UNACKNOWLEDGED = 1_024;
const MOST_BYTES = 1 << 24;

/** How long the server may take to acknowledge a message before it is sent again. */
const PUBLISH_MS = 5_000;
const AGAIN_MS = 100;

/** How long a server may have no JetStream, as when it has just been started. */
const WITHOUT_JETSTREAM_MS = 10_000;

/** How often a server shows that the consumer of results is there: after two of it, another is made. */
const HEARTBEAT_MS = 2_000;

/** How long what is left to tidy may hold up the end. */
const CLOSE_MS = 500;

const COPY = { canMove: false };

/** A caller's connection to a stream. */
export class NatsCaller {
  readonly #boot: NatsBoot;
  readonly #store: Store;
  readonly #payloads: Payloads;
  /** The initializer's arguments, which go with every task. */
  readonly #initArgs: ArgumentPart | undefined;
  #sink: CallerSink | undefined;
  #isConnected = true;
  /** Why the connection is lost for good. */
  #lost: string | undefined;
  #isClosing = false;

  /** Messages that the server has not acknowledged, and their bytes. */
  #unacknowledged = 0;
  #bytes = 0;
  /** Tasks in the stream, by their place there. */
  readonly #parcels = new Map<number, Parcel>();
  /** Places of tasks that were delivered as often as they may. */
  readonly #exhausted = new Set<number>();
  /** Sessions whose starts and results are listened to. */
  readonly #followed = new Map<string, Promise<void>>();
  readonly #consumers: ConsumerMessages[] = [];
  /** What is being tidied, on the server. */
  readonly #chores = new Set<Promise<unknown>>();

  private constructor(boot: NatsBoot, store: Store) {
    this.#boot = boot;
    this.#store = store;
    this.#payloads = new Payloads(store);
    const payload = boot.initializer?.payload;
    if (payload !== undefined) {
      const { part, bytes } = toPart(payload);
      this.#initArgs = { part, bytes };
    }
  }

  /**
   * Connects, and makes what is missing on the server.
   *
   * @throws {RuntimeError} If that fails.
   */
  static async open(boot: NatsBoot): Promise<NatsCaller> {
    const connection = await connectTo(boot.connection);
    try {
      const store = await openStore(connection, boot.stream, boot.settings);
      const caller = new NatsCaller(boot, store);
      await caller.#listen();
      return caller;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  /** Tells from now on. */
  begin(sink: CallerSink): void {
    this.#sink = sink;
    if (this.#lost !== undefined) sink.onLost(this.#lost);
  }

  /** How long a node may be silent, in milliseconds. */
  get leaseMs(): number {
    return this.#store.settings.leaseMs;
  }

  // -------------------------------------------------------------- listening

  async #listen(): Promise<void> {
    const { names, connection } = this.#store;
    this.#watchConnection();
    connection.closed().then((error) => this.#onClosed(error));
    const advisories = this.#consume(
      names.advisory,
      (message) => this.#onAdvisory(message),
    );
    await Promise.all([advisories, this.#follow(this.#boot.session)]);
  }

  async #watchConnection(): Promise<void> {
    for await (const { type } of this.#store.connection.status()) {
      if (type === "disconnect") this.#isConnected = false;
      else if (type === "reconnect") this.#isConnected = true;
    }
  }

  #onClosed(error: Error | void): void {
    this.#isConnected = false;
    if (this.#isClosing) return;
    const why = error ? `: ${describeError(error)}` : "";
    this.#lost = `has lost its connection to NATS at ${
      nameServers(this.#boot.connection)
    } and could not make it again${why}; tasks that were submitted are kept there, see attach()`;
    this.#sink?.onLost(this.#lost);
  }

  /** Listens to what becomes of the tasks of a session. */
  #follow(session: string): Promise<void> {
    let followed = this.#followed.get(session);
    if (followed === undefined) {
      followed = this.#followNow(session);
      this.#followed.set(session, followed);
      followed.catch(() => this.#followed.delete(session));
    }
    return followed;
  }

  async #followNow(session: string): Promise<void> {
    const { names, connection } = this.#store;
    connection.subscribe(names.start(`${session}.>`), {
      callback: (_, message) => this.#onStart(message.subject, message.data),
    });
    await this.#consume(
      names.result(`${session}.>`),
      (message) => this.#onResult(message.subject, message.data),
    );
  }

  async #consume(
    subject: string,
    callback: (message: JsMsg) => void,
  ): Promise<void> {
    const { js, names } = this.#store;
    const consumer = await js.consumers.get(names.results, {
      filter_subjects: subject,
    });
    const messages = await consumer.consume({
      idle_heartbeat: HEARTBEAT_MS,
      callback,
    });
    this.#consumers.push(messages);
  }

  /**
   * ORDER: the server passes a start on before it answers the node that wrote it.
   * So after `flush()` everything is known that any node knows. It passes on as
   * well what it then refuses, but only where there is an entry already: the task
   * was started, or it is being withdrawn here.
   */
  #onStart(subject: string, data: Uint8Array): void {
    const key = subject.slice(this.#store.names.start("").length);
    const start = this.#tryStart(data);
    if (start?.state === "started") this.#sink?.onStarted(toId(key));
  }

  #tryStart(data: Uint8Array): Start | undefined {
    try {
      return readStart(data);
    } catch {
      return undefined; // nobody but who may write there has written it
    }
  }

  async #onResult(subject: string, data: Uint8Array): Promise<void> {
    const id = this.#store.names.idOf(subject);
    try {
      const read = this.#payloads.readResult(data);
      const result = read instanceof Promise ? await read : read;
      this.#sink?.onResult(id, result);
    } catch (cause) {
      const error = new RuntimeError(
        `Cannot read the result of the task "${id}": ${describeError(cause)}`,
        { cause },
      );
      this.#sink?.onResult(id, this.#makeFailure(error));
    }
  }

  #makeFailure(error: unknown): Frame<ResultHeader> {
    const { part, bytes } = toPart(encodeValue(error, COPY, "the error"));
    return {
      header: {
        version: NATS_PROTOCOL_VERSION,
        kind: Kind.THREW,
        outcome: part,
        node: "",
        parts: [bytes.length],
      },
      parts: [bytes],
    };
  }

  // ------------------------------------------------------------- publishing

  /** Whether the server can take more tasks now. */
  get hasRoom(): boolean {
    return this.#unacknowledged < MOST_UNACKNOWLEDGED &&
      this.#bytes < MOST_BYTES;
  }

  /** Publishes a task; returns a promise where something has to be stored first. */
  publish(parcel: Parcel, definition: NamedDefinition): Promise<void> | void {
    const { header, parts } = this.#frameOf(parcel, definition);
    const packed = this.#payloads.packTask(parcel.id, header, parts);
    if (packed instanceof Uint8Array) return this.#post(parcel, packed);
    return packed.then(
      (message) => this.#post(parcel, message),
      (error) => this.#refuse(parcel, error),
    );
  }

  #frameOf(
    { key, isChunk, timeoutMs, arguments: args }: Parcel,
    { name, text, initializer: first, modules, isSource }: NamedDefinition,
  ): { header: TaskHeader; parts: Uint8Array[] } {
    const parts = [encoder.encode(text), args!.bytes];
    const initArgs = this.#initArgs;
    if (first !== undefined && initArgs !== undefined) {
      parts.push(encoder.encode(first), initArgs.bytes);
    }
    const header: TaskHeader = {
      version: NATS_PROTOCOL_VERSION,
      key,
      name,
      modules,
      isSource,
      arguments: args!.part,
      isChunk,
      timeoutMs: timeoutMs === Infinity ? undefined : timeoutMs,
      leaseMs: this.leaseMs,
      initializer: initArgs?.part,
      parts: parts.map(({ length }) => length),
    };
    return { header, parts };
  }

  #post(parcel: Parcel, message: Uint8Array): void {
    parcel.isSent = true;
    this.#unacknowledged++;
    this.#bytes += message.length;
    this.#postUntilTaken(parcel, message).then(
      (sequence) => this.#onTaken(parcel, sequence),
      (error) => this.#refuse(parcel, error),
    ).finally(() => {
      this.#unacknowledged--;
      this.#bytes -= message.length;
      this.#sink?.onRoom();
    });
  }

  async #postUntilTaken(parcel: Parcel, message: Uint8Array): Promise<number> {
    const { js, names } = this.#store;
    let withoutSince: number | undefined;
    for (;;) {
      try {
        const options = { msgID: parcel.key, timeout: PUBLISH_MS };
        const ack = await js.publish(names.task(parcel.id), message, options);
        return ack.seq;
      } catch (error) {
        if (!isPassing(error) || this.#store.connection.isClosed()) throw error;
        const now = performance.now();
        withoutSince = isWithoutJetStream(error)
          ? withoutSince ?? now
          : undefined;
        if (now - (withoutSince ?? now) > WITHOUT_JETSTREAM_MS) throw error;
      }
      await delay(AGAIN_MS);
    }
  }

  /** Publishes a task again that was withdrawn in vain: its first message is dropped by who gets it. */
  sendAgain(parcel: Parcel): void {
    this.#sendAgain(parcel).catch((error) => this.#refuse(parcel, error));
  }

  async #sendAgain(parcel: Parcel): Promise<void> {
    const { jsm, names } = this.#store;
    parcel.key = `${parcel.id}-${++parcel.withdrawn}`;
    const message = parcel.sequence === undefined
      ? undefined
      : await messageOf(jsm, names.tasks, { seq: parcel.sequence });
    if (message === undefined) throw new Error("the server has it no more");
    const { header, parts } = readFrame<TaskHeader>(message.data);
    this.#post(parcel, writeFrame({ ...header, key: parcel.key }, parts));
  }

  #onTaken(parcel: Parcel, sequence: number): void {
    parcel.sequence = sequence;
    parcel.arguments = undefined;
    if (parcel.isOver) return;
    this.#parcels.set(sequence, parcel);
    if (this.#exhausted.has(sequence)) this.#failExhausted(parcel);
  }

  #refuse(parcel: Parcel, error: unknown): void {
    if (parcel.isOver || this.#store.connection.isClosed()) return;
    const { tasks } = this.#store.names;
    const what = `Cannot submit the task to the stream "${tasks}"`;
    const text = isApiError(error, ApiError.STORE_FAILED)
      ? `${what} as it is full: ${
        describeError(error)
      }; wait until nodes have run some, or allow it more messages and bytes`
      : `${what}: ${describeError(error)}`;
    this.#sink?.onRefused(parcel, new RuntimeError(text, { cause: error }));
  }

  // ------------------------------------------------- withdrawing, stopping

  /**
   * Withdraws a task that was published, if no node has started it.
   *
   * @returns Whether that is so; nobody will start it then.
   */
  async withdraw({ key }: Parcel): Promise<boolean> {
    const { starts, connection } = this.#store;
    const entry = writeStart({ state: "cancelled" });
    for (;;) {
      try {
        await starts.create(key, entry);
        return true;
      } catch (error) {
        if (isApiError(error, ApiError.WRONG_LAST_SEQUENCE)) {
          const start = await this.#startOf(key);
          // It may be our own entry, whose acknowledgement was lost.
          if (start !== undefined) return start.state === "cancelled";
        } else if (connection.isClosed()) throw error;
        else await delay(AGAIN_MS);
      }
    }
  }

  async #startOf(key: string): Promise<Start | undefined> {
    try {
      const entry = await this.#store.starts.get(key);
      return entry === null ? undefined : this.#tryStart(entry.value);
    } catch {
      return undefined; // it is asked for again
    }
  }

  /** Removes a task that was withdrawn from the server. */
  remove(parcel: Parcel): void {
    this.forget(parcel);
    const error = new CancelledError(
      "Cannot get the result of the call as it was cancelled",
    );
    this.#chore(async () => {
      await this.#publishResult(parcel.id, this.#makeFailure(error));
      await this.#removeMessage(parcel);
    });
  }

  async #removeMessage({ sequence }: Parcel): Promise<void> {
    if (sequence === undefined) return; // a node removes it
    const { jsm, names } = this.#store;
    const message = await messageOf(jsm, names.tasks, { seq: sequence });
    if (message === undefined) return;
    await jsm.streams.deleteMessage(names.tasks, sequence, false);
    await this.#payloads.dropTask(readFrame<TaskHeader>(message.data).header);
  }

  /** Stops a task that may run: its node is told, and no other will start it. */
  stop(parcel: Parcel): void {
    this.forget(parcel);
    const { id, key } = parcel;
    const { starts, names, connection } = this.#store;
    const error = new CancelledError(
      "Cannot get the result of the call as its caller has stopped it",
    );
    this.#chore(async () => {
      // ORDER: the entry first: a node that misses the order looks there.
      await starts.put(key, writeStart({ state: "stopped" }));
      connection.publish(names.stop(id));
      await this.#publishResult(id, this.#makeFailure(error));
    });
  }

  /** Publishes a result, unless there is one. */
  async #publishResult(
    id: string,
    { header, parts }: Frame<ResultHeader>,
  ): Promise<void> {
    const { js, names } = this.#store;
    try {
      await js.publish(names.result(id), writeFrame(header, parts), {
        expect: { lastSubjectSequence: 0 },
      });
    } catch (error) {
      if (!isApiError(error, ApiError.WRONG_LAST_SEQUENCE)) throw error;
    }
  }

  /** Tidies up on the server; what comes of it changes nothing here. */
  #chore(tidy: () => Promise<unknown>): void {
    const chore = tidy().catch(() => {}).finally(() =>
      this.#chores.delete(chore)
    );
    this.#chores.add(chore);
  }

  /** Nobody waits for a task any more. */
  forget(parcel: Parcel): void {
    parcel.isOver = true;
    parcel.arguments = undefined;
    if (parcel.sequence !== undefined) this.#parcels.delete(parcel.sequence);
  }

  /** Resolves once all that the server knows of starts is known here. */
  async catchUp(): Promise<void> {
    if (this.#isConnected) await this.#store.connection.flush();
  }

  // ------------------------------------------------------------- exhaustion

  #onAdvisory(message: JsMsg): void {
    const advisory = message.json<{ stream_seq?: unknown }>();
    const sequence = advisory?.stream_seq;
    if (typeof sequence !== "number") return;
    this.#exhausted.add(sequence);
    const parcel = this.#parcels.get(sequence);
    if (parcel !== undefined) this.#failExhausted(parcel);
  }

  /** A task was delivered as often as it may: whoever waits for it gets to know. */
  #failExhausted(parcel: Parcel): void {
    this.#chore(async () => {
      const start = await this.#startOf(parcel.key);
      const { leaseMs, retries } = this.#store.settings;
      const last = start?.state === "started"
        ? `the last of them was "${start.node}"`
        : "none of them had started it";
      const why = `${
        retries + 1
      } node(s) that were given it died or lost their connection (${last}): its lease of ${leaseMs} ms ran out each time, and "retries" is ${retries}`;
      const failure = this.#makeFailure(why);
      const result = {
        ...failure,
        header: { ...failure.header, kind: Kind.DIED },
      };
      await this.#publishResult(parcel.id, result);
      await this.#removeMessage(parcel);
    });
  }

  // --------------------------------------------------------------- attaching

  /** Waits for a task that was submitted before, perhaps by another program. */
  attach(parcel: Parcel): void {
    this.#attach(parcel).catch((error) => this.#refuse(parcel, error));
  }

  async #attach(parcel: Parcel): Promise<void> {
    const { jsm, names } = this.#store;
    const { id } = parcel;
    await this.#follow(id.slice(0, id.indexOf(".")));
    // ORDER: the task before the result: it goes only when that is there.
    const task = { last_by_subj: names.task(id) };
    const message = await messageOf(jsm, names.tasks, task);
    if (message !== undefined) {
      parcel.key = readFrame<TaskHeader>(message.data).header.key;
      const start = await this.#startOf(parcel.key);
      if (start?.state === "started") this.#sink?.onStarted(id);
      return this.#onTaken(parcel, message.seq);
    }
    const result = await messageOf(jsm, names.results, {
      last_by_subj: names.result(id),
    });
    if (result !== undefined) {
      return this.#onResult(result.subject, result.data);
    }
    const ms = this.#store.settings.resultTtlMs;
    this.#sink?.onRefused(
      parcel,
      new RuntimeError(
        `Cannot attach to the task "${id}" as the stream "${names.tasks}" must have it, or its result: it has neither; results are kept for ${ms} ms ("resultTtl")`,
      ),
    );
  }

  // ----------------------------------------------------------------- closing

  /** Closes the connection when what is left is tidied up, or a while later. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await Promise.race([Promise.all(this.#chores), delay(CLOSE_MS)]);
    for (const messages of this.#consumers) messages.stop();
    await Promise.race([this.#store.connection.close(), delay(CLOSE_MS)]);
  }
}

const encoder = new TextEncoder();

/** The id of a task, from its key. */
function toId(key: string): string {
  const end = key.indexOf("-");
  return end < 0 ? key : key.slice(0, end);
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Whether an error may be gone the next time: the server was away, or slow. */
function isPassing(error: unknown): boolean {
  return error instanceof Error &&
    ["TimeoutError", "RequestError", "NoRespondersError", "ConnectionError"]
      .includes(error.name);
}

function isWithoutJetStream(error: unknown): boolean {
  return error instanceof Error &&
    (error.name === "NoRespondersError" ||
      (error.cause instanceof Error &&
        error.cause.name === "NoRespondersError"));
}
