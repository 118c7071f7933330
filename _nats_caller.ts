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

import type { StoredMsg } from "npm:@nats-io/jetstream@3.4.0";
import { encodeValue } from "./_codec.ts";
import { describeError } from "./_describe.ts";
import { Kind } from "./_layout.ts";
import { failExhausted, publishResult, removeTask } from "./_nats_exhausted.ts";
import { connectTo, nameServers } from "./_nats_connection.ts";
import type { NamedDefinition } from "./_nats_naming.ts";
import type { NatsBoot } from "./_nats_manager_protocol.ts";
import {
  type ArgumentPart,
  type Parcel,
  ship,
  type Shipment,
} from "./_nats_parcel.ts";
import { Payloads } from "./_nats_payloads.ts";
import { ResultFeed, type ResultSink } from "./_nats_results.ts";
import {
  type Frame,
  NATS_PROTOCOL_VERSION,
  readFrame,
  readStart,
  type ResultHeader,
  type Row,
  type Start,
  type TaskHeader,
  toPart,
  writeStart,
} from "./_nats_protocol.ts";
import {
  ApiError,
  isApiError,
  messageOf,
  openStore,
  refreshSettings,
  type Store,
} from "./_nats_store.ts";
import { CancelledError, RuntimeError } from "./errors.ts";

/** Who is told what becomes of tasks. */
export interface CallerSink {
  /** A node has started a task; told again where another does, after its death. */
  onStarted(id: string): void;
  /** Whether anybody waits for a task, or for one of a bundle. */
  wants(id: string): boolean;
  /** The one result of a task, or of a bundle. */
  onResult(id: string, result: Frame<ResultHeader>): void;
  /** Tasks did not get to the server, or are not there. */
  onRefused(shipment: Shipment, error: unknown): void;
  /** The server can take more tasks. */
  onRoom(): void;
  /** The connection is lost for good. */
  onLost(why: string): void;
}

/** How much may be on its way to the server at once, unacknowledged. */
const MOST_UNACKNOWLEDGED = 1_024;
const MOST_BYTES = 1 << 24;

/** Messages on their way with which the server has enough to do: more tasks may gather meanwhile. */
const ENOUGH_UNACKNOWLEDGED = 4;

/** How often a task is looked for before it counts as unknown. */
const MOST_ROUNDS = 3;

/** When what did not get through is sent again. */
const AGAIN_MS = 100;

/** How long a server may have no JetStream, as when it has just been started. */
const WITHOUT_JETSTREAM_MS = 10_000;

/** How long what is left to tidy may hold up the end. */
const CLOSE_MS = 500;

/** Why there is no result of a task that was cancelled. */
export const CANCELLED =
  "Cannot get the result of the call as it was cancelled";

const COPY = { canMove: false };

const NOTHING = new Uint8Array();

/** A caller's connection to a stream. */
export class NatsCaller implements ResultSink {
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
  /** What is in the stream, by its place there. */
  readonly #shipments = new Map<number, Shipment>();
  /** Places of tasks that were delivered as often as they may. */
  readonly #exhausted = new Set<number>();
  /** Sessions whose starts and results are listened to. */
  readonly #followed = new Set<string>();
  readonly #results: ResultFeed;
  /** What is being tidied, on the server. */
  readonly #chores = new Set<Promise<unknown>>();

  private constructor(boot: NatsBoot, store: Store) {
    this.#boot = boot;
    this.#store = store;
    this.#payloads = new Payloads(store);
    this.#results = new ResultFeed(store, this.#payloads, this);
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
    const { names, jsm, connection } = this.#store;
    this.#watchConnection();
    connection.closed().then((error) => this.#onClosed(error));
    const { state } = await jsm.streams.info(names.results);
    this.#follow(this.#boot.session, state.last_seq);
    connection.subscribe(names.settings, {
      callback: () => void refreshSettings(this.#store).catch(() => {}),
    });
    await connection.flush(); // the server has the subscriptions
  }

  async #watchConnection(): Promise<void> {
    for await (const { type } of this.#store.connection.status()) {
      if (type === "disconnect") this.#isConnected = false;
      else if (type === "reconnect") {
        this.#isConnected = true;
        this.#catchUp();
      }
    }
  }

  /** Reads what was missed; again, while the server is not ready yet. */
  async #catchUp(): Promise<void> {
    while (this.#isConnected && !this.#isClosing) {
      try {
        return await this.#results.catchUp();
      } catch {
        await delay(AGAIN_MS);
      }
    }
  }

  #onClosed(error: Error | void): void {
    this.#isConnected = false;
    const why = error ? `: ${describeError(error)}` : "";
    this.#lose(
      `has lost its connection to NATS at ${
        nameServers(this.#boot.connection)
      } and could not make it again${why}; tasks that were submitted are kept there, see attach()`,
    );
  }

  onDeleted(): void {
    const { tasks, results } = this.#store.names;
    this.#lose(
      `has lost "${tasks}" or "${results}": somebody has deleted it on the server, with all that was in it`,
    );
  }

  /** Listens to what becomes of the tasks of a session. */
  #follow(session: string, since: number): void {
    const { names, connection } = this.#store;
    if (this.#followed.has(session)) return;
    this.#followed.add(session);
    connection.subscribe(names.started(`${session}.>`), {
      callback: (_, { subject }) => this.#sink?.onStarted(names.idOf(subject)),
    });
    this.#results.follow(session, since);
  }

  #lose(why: string): void {
    if (this.#lost !== undefined || this.#isClosing) return;
    this.#lost = why;
    this.#sink?.onLost(why);
  }

  onResult(id: string, result: Frame<ResultHeader>): void {
    this.#sink?.onResult(id, result);
  }

  wants(id: string): boolean {
    return this.#sink?.wants(id) ?? false;
  }

  onUnreadable(id: string, error: unknown): void {
    this.#sink?.onResult(id, this.#makeFailure(error));
  }

  get isWaiting(): boolean {
    return this.#shipments.size > 0;
  }

  #makeFailure(error: unknown): Frame<ResultHeader> {
    const { part, bytes } = toPart(encodeValue(error, COPY, "the error"));
    return {
      header: {
        version: NATS_PROTOCOL_VERSION,
        kind: Kind.THREW,
        outcome: part,
        node: "",
        attempt: 0,
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

  /** Whether the server has enough to do for now. */
  get isBusy(): boolean {
    return this.#unacknowledged >= ENOUGH_UNACKNOWLEDGED;
  }

  /** Publishes tasks; returns a promise where something has to be stored first. */
  publish(
    shipment: Shipment,
    definition: NamedDefinition,
  ): Promise<void> | void {
    const { header, parts } = this.#frameOf(shipment, definition);
    const packed = this.#payloads.packTask(shipment.id, header, parts);
    if (packed instanceof Uint8Array) {
      shipment.taken = this.#post(shipment, packed);
      return;
    }
    const posted = packed.then(
      (message) => [this.#post(shipment, message)],
      (error) => void this.#refuse(shipment, error),
    );
    shipment.taken = posted.then((taken) => taken?.[0]);
    return posted.then(() => {});
  }

  #frameOf(
    { key, parcels }: Shipment,
    { name, text, initializer: first, modules, isSource }: NamedDefinition,
  ): { header: TaskHeader; parts: Uint8Array[] } {
    const [{ isChunk, timeoutMs, arguments: args }] = parcels;
    const isBundle = parcels.length > 1;
    const parts = [encoder.encode(text), isBundle ? NOTHING : args!.bytes];
    const initArgs = this.#initArgs;
    if (first !== undefined && initArgs !== undefined) {
      parts.push(encoder.encode(first), initArgs.bytes);
    }
    if (isBundle) {
      for (const { arguments: args } of parcels) parts.push(args!.bytes);
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
      retries: this.#store.settings.retries,
      rows: isBundle ? parcels.map(toRow) : undefined,
      initializer: initArgs?.part,
      parts: parts.map(({ length }) => length),
    };
    return { header, parts };
  }

  /** Resolves once the server has taken it, or never will. */
  #post(shipment: Shipment, message: Uint8Array): Promise<void> {
    this.#unacknowledged++;
    this.#bytes += message.length;
    return this.#postUntilTaken(shipment, message).then(
      (sequence) => this.#onTaken(shipment, sequence),
      (error) => {
        this.#refuse(shipment, error);
        this.#dropStored(message);
      },
    ).finally(() => {
      this.#unacknowledged--;
      this.#bytes -= message.length;
      this.#sink?.onRoom();
    });
  }

  async #postUntilTaken(
    { id, key }: Shipment,
    message: Uint8Array,
  ): Promise<number> {
    const { publisher, names } = this.#store;
    let withoutSince: number | undefined;
    for (;;) {
      try {
        return await publisher.publish(names.task(id), message, { id: key });
      } catch (error) {
        if (!isPassing(error) || this.#store.connection.isClosed()) throw error;
        const now = performance.now();
        withoutSince = isUnanswered(error) ? withoutSince ?? now : undefined;
        if (now - (withoutSince ?? now) > WITHOUT_JETSTREAM_MS) throw error;
      }
      await delay(AGAIN_MS);
    }
  }

  #onTaken(shipment: Shipment, sequence: number): void {
    shipment.sequence = sequence;
    for (const parcel of shipment.parcels) {
      if (parcel.shipment === shipment) parcel.arguments = undefined;
    }
    if (shipment.open === 0) return;
    this.#shipments.set(sequence, shipment);
    this.#results.watch();
    if (this.#exhausted.has(sequence)) this.#failExhausted(sequence);
  }

  #refuse(shipment: Shipment, error: unknown): void {
    if (this.#store.connection.isClosed()) return;
    const { tasks } = this.#store.names;
    const what = `Cannot submit the task to the stream "${tasks}"`;
    const text = isApiError(error, ApiError.STORE_FAILED)
      ? `${what} as it is full: ${
        describeError(error)
      }; wait until nodes have run some, or allow it more messages and bytes`
      : `${what}: ${describeError(error)}`;
    this.#sink?.onRefused(shipment, new RuntimeError(text, { cause: error }));
  }

  /** Removes what was stored for a task that the server has not taken. */
  #dropStored(message: Uint8Array): void {
    const { header } = readFrame<TaskHeader>(message);
    if (header.object === undefined) return;
    this.#chore(() => this.#payloads.dropTask(header));
  }

  // ------------------------------------------------- withdrawing, stopping

  /**
   * Withdraws what was published, if no node has started it.
   *
   * @returns Whether that is so; nobody will start it then.
   */
  async withdraw(shipment: Shipment): Promise<boolean> {
    const { key } = shipment;
    const { publisher, names, connection } = this.#store;
    const entry = writeStart({ state: "cancelled" });
    for (;;) {
      try {
        await publisher.publish(names.start(key), entry, { last: 0 });
        // ORDER: only then is it known where it is, to be removed.
        await shipment.taken;
        await this.#removeSingle(shipment);
        return true;
      } catch (error) {
        if (isApiError(error, ApiError.WRONG_LAST_SEQUENCE)) {
          const start = await this.#startOf(key);
          // It may be our own entry, whose acknowledgement was lost.
          if (start !== undefined) return start.state === "cancelled";
        } else if (connection.isClosed() || !isPassing(error)) throw error;
        else await delay(AGAIN_MS);
      }
    }
  }

  /**
   * Removes a task by itself before it counts as cancelled: else a node that comes
   * when the entry has expired would run it, if this program dies now.
   */
  async #removeSingle({ parcels, sequence }: Shipment): Promise<void> {
    if (parcels.length > 1 || sequence === undefined) return;
    try {
      await this.#removeMessage(sequence);
    } catch {
      // a node has dropped it, or it is removed later
    }
  }

  /** Whether a node has started a task, as far as the server can be asked. */
  async hasStarted({ key }: Shipment): Promise<boolean> {
    if (!this.#isConnected) return false;
    return (await this.#startOf(key))?.state === "started";
  }

  /** Reads who started a task: from the server that writes it, as a copy may be older. */
  async #startOf(key: string): Promise<Start | undefined> {
    const { jsm, names } = this.#store;
    try {
      const entry = await messageOf(jsm, `KV_${names.starts}`, {
        last_by_subj: names.start(key),
      });
      return entry && readStart(entry.data);
    } catch {
      return undefined; // it is asked for again
    }
  }

  /** Removes from the server what was withdrawn. */
  remove({ sequence }: Shipment): void {
    if (sequence === undefined) return; // it is not known yet where it is
    this.#shipments.delete(sequence);
    this.#chore(() => this.#removeMessage(sequence));
  }

  async #removeMessage(sequence: number): Promise<void> {
    const { jsm, names } = this.#store;
    const message = await messageOf(jsm, names.tasks, { seq: sequence });
    if (message === undefined) return;
    const { header } = readFrame<TaskHeader>(message.data);
    await removeTask(this.#store, this.#payloads, sequence, header);
  }

  /** Tells those who attach to a task that it was cancelled. */
  tellCancelled(id: string): void {
    const { header, parts } = this.#makeFailure(new CancelledError(CANCELLED));
    this.#chore(() => publishResult(this.#store, id, header, parts));
  }

  /** Stops a task that may run: its node is told, and no other will start it. */
  stop({ id, shipment }: Parcel): void {
    if (shipment === undefined) return; // it was not sent
    const { publisher, names, connection } = this.#store;
    const stopped = writeStart({ state: "stopped" });
    const error = new CancelledError(
      "Cannot get the result of the call as its caller has stopped it",
    );
    // In a bundle a task has an entry of its own for this.
    const key = shipment.parcels.length === 1 ? shipment.key : id;
    this.#chore(async () => {
      // ORDER: the entry first: a node that misses the order looks there.
      await publisher.publish(names.start(key), stopped);
      connection.publish(names.stop(id));
      const { header, parts } = this.#makeFailure(error);
      await publishResult(this.#store, id, header, parts);
    });
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
    if (parcel.isOver) return;
    parcel.isOver = true;
    parcel.arguments = undefined;
    const { shipment } = parcel;
    if (shipment === undefined || --shipment.open > 0) return;
    if (shipment.sequence !== undefined) {
      this.#shipments.delete(shipment.sequence);
    }
  }

  // ------------------------------------------------------------- exhaustion

  onExhausted(sequence: number): void {
    this.#exhausted.add(sequence);
    if (this.#shipments.has(sequence)) this.#failExhausted(sequence);
  }

  /** A task was given out as often as it may be: whoever waits for it gets to know. */
  #failExhausted(sequence: number): void {
    this.#chore(() => failExhausted(this.#store, this.#payloads, sequence));
  }

  // --------------------------------------------------------------- attaching

  /** Waits for a task that was submitted before, perhaps by another program. */
  async attach(parcel: Parcel): Promise<void> {
    try {
      await this.#attach(parcel);
    } catch (error) {
      this.#refuse(ship([parcel]), error);
    }
  }

  async #attach(parcel: Parcel): Promise<void> {
    const { id } = parcel;
    const session = id.slice(0, id.indexOf("."));
    this.#follow(session, 0);
    // A task that goes on meanwhile may be at each of these when it is looked for at
    // another: in a bundle, then by itself, then over. So it is looked for again.
    for (let round = 0; round < MOST_ROUNDS; round++) {
      await this.#results.read(id);
      if (parcel.isOver) return;
      const found = await this.#findSingle(id) ??
        await this.#findScanned(parcel, session);
      if (parcel.isOver) return;
      if (found !== undefined) return await this.#adopt(parcel, found);
    }
    const { names, settings } = this.#store;
    this.#sink?.onRefused(
      ship([parcel]),
      new RuntimeError(
        `Cannot attach to the task "${id}" as the stream "${names.tasks}" must have it, or its result: it has neither; results are kept for ${settings.resultTtlMs} ms ("resultTtl")`,
      ),
    );
  }

  /** Finds the bundle of a task, unless its result is among those of the session: they are many. */
  async #findScanned(
    parcel: Parcel,
    session: string,
  ): Promise<StoredMsg | undefined> {
    await this.#results.scanAll(session);
    return parcel.isOver ? undefined : await this.#findBundle(parcel.id);
  }

  /** Finds a task's own message. */
  #findSingle(id: string): Promise<StoredMsg | undefined> {
    const { jsm, names } = this.#store;
    return messageOf(jsm, names.tasks, { last_by_subj: names.task(id) });
  }

  /** Finds the bundle with a task. */
  async #findBundle(id: string): Promise<StoredMsg | undefined> {
    const { jsm, names } = this.#store;
    const [session, number] = id.split(".");
    const filter = names.task(`${session}.*`);
    const { state } = await jsm.streams.info(names.tasks, {
      subjects_filter: filter,
    });
    for (const subject of Object.keys(state.subjects ?? {})) {
      const [, first] = /\.b(\d+)$/.exec(subject) ?? [];
      if (first === undefined || Number(first) > Number(number)) continue;
      const query = { last_by_subj: subject };
      const message = await messageOf(jsm, names.tasks, query);
      if (message === undefined) continue;
      const { rows } = readFrame<TaskHeader>(message.data).header;
      if (rows?.some(([n]) => n === Number(number))) return message;
    }
    return undefined;
  }

  async #adopt(parcel: Parcel, message: StoredMsg): Promise<void> {
    const { key, rows } = readFrame<TaskHeader>(message.data).header;
    const shipment = ship([parcel], key);
    // A task of a bundle cannot be withdrawn without the others, which are not ours.
    shipment.isForeign = rows !== undefined;
    this.#onTaken(shipment, message.seq);
    const start = await this.#startOf(key);
    if (start?.state === "started") this.#sink?.onStarted(parcel.id);
  }

  // ----------------------------------------------------------------- closing

  /** Closes the connection when what is left is tidied up, or a while later. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await Promise.race([Promise.all(this.#chores), delay(CLOSE_MS)]);
    this.#results.stop();
    await Promise.race([this.#store.connection.close(), delay(CLOSE_MS)]);
  }
}

const encoder = new TextEncoder();

function toRow({ number, arguments: args }: Parcel): Row {
  const { format, textBytes, buffers } = args!.part;
  return [number, format, textBytes, buffers];
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

/** Whether nobody took a message: the server has no JetStream, or has only just started. */
function isUnanswered(error: unknown): boolean {
  return error instanceof Error && error.name === "NoRespondersError";
}
