/**
 * What a stream's callers and nodes share on the server: made by whoever comes
 * first, found by the others. `_nats_protocol.ts` lists it.
 *
 * @module
 */

import {
  AckPolicy,
  type ConsumerInfo,
  DiscardPolicy,
  jetstream,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type StoredMsg,
  type StreamInfo,
} from "npm:@nats-io/jetstream@3.4.0";
import { type KV, Kvm } from "npm:@nats-io/kv@3.4.0";
import { describeError } from "./_describe.ts";
import type { NatsConnection } from "./_nats_connection.ts";
import { CONSUMER, StreamNames } from "./_nats_protocol.ts";
import { Publisher } from "./_nats_publisher.ts";
import { RuntimeError } from "./errors.ts";

/** What a caller may set for the stream, in milliseconds; `undefined` leaves what is there. */
export interface StreamSettings {
  readonly leaseMs?: number;
  readonly retries?: number;
  readonly resultTtlMs?: number;
}

/** What holds where nobody has set anything. */
export const DEFAULTS = {
  leaseMs: 10_000,
  retries: 2,
  resultTtlMs: 3_600_000,
} as const satisfies Required<StreamSettings>;

const NANOS = 1_000_000;

/** How long others may take to make what is to be shared, and how often that is looked at. */
const OTHERS_MS = 20;
const MOST_TRIES = 50;

/** Numbers of JetStream's errors (nats-server 2.9.10, server/errors.json). */
export const ApiError = {
  STREAM_NOT_FOUND: 10059,
  CONSUMER_NOT_FOUND: 10014,
  NO_MESSAGE: 10037,
  NO_SEQUENCE: 10043,
  WRONG_LAST_SEQUENCE: 10071,
  STORE_FAILED: 10077,
  NAME_IN_USE: 10058,
  SUBJECTS_OVERLAP: 10065,
} as const;

/** Whether an error is JetStream's of that number. */
export function isApiError(error: unknown, number: number): boolean {
  return error instanceof JetStreamApiError && error.code === number;
}

/** A stream with all that belongs to it. */
export interface Store {
  readonly names: StreamNames;
  readonly connection: NatsConnection;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
  readonly publisher: Publisher;
  /** Who started a task, or that it was cancelled. */
  readonly starts: KV;
  /** As they are on the server; see `refreshSettings`. */
  settings: Required<StreamSettings>;
}

/**
 * Finds what belongs to a stream, and makes what is missing.
 *
 * @throws {RuntimeError} If the server has no JetStream, or the stream is none of ours.
 */
export async function openStore(
  connection: NatsConnection,
  stream: string,
  wanted: StreamSettings,
  publisher: Publisher = new Publisher(connection),
): Promise<Store> {
  const names = new StreamNames(stream);
  try {
    const jsm = await jetstreamManager(connection);
    const js = jetstream(connection);
    await openTasks(jsm, names);
    const resultTtlMs = await openResults(jsm, names, wanted.resultTtlMs);
    const starts = await openStarts(js, jsm, names, resultTtlMs);
    await keepValuesFor(jsm, names, resultTtlMs);
    const { leaseMs, retries } = await openConsumer(jsm, names, wanted);
    const settings = { leaseMs, retries, resultTtlMs };
    if (Object.values(wanted).some((value) => value !== undefined)) {
      connection.publish(names.settings); // nodes renew leases by them
    }
    return { names, connection, js, jsm, publisher, starts, settings };
  } catch (error) {
    if (error instanceof RuntimeError) throw error;
    throw new RuntimeError(
      isWithoutJetStream(error)
        ? `Cannot use the stream "${stream}" as the server must have JetStream: start it with "nats-server -js", or enable it for this account`
        : `Cannot use the stream "${stream}": ${describeError(error)}`,
      { cause: error },
    );
  }
}

/** Reads again what somebody may have set. */
export async function refreshSettings(store: Store): Promise<void> {
  const { jsm, names } = store;
  const consumer = await consumerOf(jsm, names.tasks);
  const results = await infoOf(jsm, names.results);
  const { ack_wait, max_deliver } = consumer?.config ?? {};
  store.settings = {
    leaseMs: ack_wait ? ack_wait / NANOS : store.settings.leaseMs,
    retries: max_deliver ? max_deliver - 1 : store.settings.retries,
    resultTtlMs: results
      ? results.config.max_age / NANOS
      : store.settings.resultTtlMs,
  };
}

/** Whether an error says that nobody answers for JetStream. */
function isWithoutJetStream(error: unknown): boolean {
  const { name, code, status } = error as Record<string, unknown>;
  return name === "JetStreamNotEnabled" || name === "NoRespondersError" ||
    code === 503 || status === 503 || code === 10039 || code === 10076;
}

async function infoOf(
  jsm: JetStreamManager,
  name: string,
): Promise<StreamInfo | undefined> {
  try {
    return await jsm.streams.info(name);
  } catch (error) {
    if (isApiError(error, ApiError.STREAM_NOT_FOUND)) return undefined;
    throw error;
  }
}

function findOrMake(
  jsm: JetStreamManager,
  config: Parameters<JetStreamManager["streams"]["add"]>[0],
): Promise<StreamInfo> {
  return despiteOthers(async () =>
    await infoOf(jsm, config.name) ?? await jsm.streams.add(config)
  );
}

/**
 * Makes something, again where others just do so: the server then says that
 * theirs is in the way, before it can be found (nats-server 2.9.10).
 */
export async function despiteOthers<T>(make: () => Promise<T>): Promise<T> {
  for (let n = 1;; n++) {
    try {
      return await make();
    } catch (error) {
      const isInTheWay = isApiError(error, ApiError.NAME_IN_USE) ||
        isApiError(error, ApiError.SUBJECTS_OVERLAP);
      if (!isInTheWay || n === MOST_TRIES) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, OTHERS_MS));
  }
}

async function openTasks(
  jsm: JetStreamManager,
  names: StreamNames,
): Promise<void> {
  const subject = names.task(">");
  const info = await findOrMake(jsm, {
    name: names.tasks,
    subjects: [subject],
    retention: RetentionPolicy.Workqueue,
    storage: StorageType.File,
    discard: DiscardPolicy.New,
  });
  const { retention, subjects, discard } = info.config;
  if (
    retention === RetentionPolicy.Workqueue && subjects.includes(subject) &&
    discard === DiscardPolicy.New
  ) return;
  throw new RuntimeError(
    `Cannot use the stream "${names.tasks}" as one of that name must be a work queue for "${subject}" that discards what is new: it is there and is none (retention "${retention}", subjects "${
      subjects.join('", "')
    }", discard "${discard}"); take another name`,
  );
}

async function openResults(
  jsm: JetStreamManager,
  names: StreamNames,
  wantedMs: number | undefined,
): Promise<number> {
  const info = await findOrMake(jsm, {
    name: names.results,
    subjects: [names.result(">"), names.advisory],
    storage: StorageType.File,
    allow_direct: true,
    max_age: (wantedMs ?? DEFAULTS.resultTtlMs) * NANOS,
  });
  return await keepFor(jsm, info, wantedMs);
}

async function openStarts(
  js: JetStreamClient,
  jsm: JetStreamManager,
  names: StreamNames,
  ttlMs: number,
): Promise<KV> {
  const starts = await despiteOthers(() =>
    new Kvm(js).create(names.starts, {
      history: 1,
      ttl: ttlMs,
      storage: StorageType.File,
    })
  );
  await keepFor(jsm, await jsm.streams.info(`KV_${names.starts}`), ttlMs);
  return starts;
}

/** Large results, where there were any, are kept for as long as others. */
async function keepValuesFor(
  jsm: JetStreamManager,
  names: StreamNames,
  ttlMs: number,
): Promise<void> {
  const info = await infoOf(jsm, `OBJ_${names.values}`);
  if (info !== undefined) await keepFor(jsm, info, ttlMs);
}

/** Sets how long a stream keeps what it has, where that is asked for; returns it. */
async function keepFor(
  jsm: JetStreamManager,
  { config }: StreamInfo,
  wantedMs: number | undefined,
): Promise<number> {
  const ms = config.max_age / NANOS;
  if (wantedMs === undefined || wantedMs === ms) return ms;
  await jsm.streams.update(config.name, {
    ...config,
    max_age: wantedMs * NANOS,
    // The server takes no window that is longer.
    duplicate_window: Math.min(config.duplicate_window, wantedMs * NANOS),
  });
  return wantedMs;
}

async function openConsumer(
  jsm: JetStreamManager,
  { tasks }: StreamNames,
  wanted: StreamSettings,
): Promise<Pick<Required<StreamSettings>, "leaseMs" | "retries">> {
  const info = await consumerOf(jsm, tasks) ?? await jsm.consumers.add(tasks, {
    durable_name: CONSUMER,
    ack_policy: AckPolicy.Explicit,
    ack_wait: (wanted.leaseMs ?? DEFAULTS.leaseMs) * NANOS,
    max_deliver: (wanted.retries ?? DEFAULTS.retries) + 1,
    max_ack_pending: -1,
    max_waiting: 8_192,
  });
  const { ack_wait = 0, max_deliver = 0 } = info.config;
  const leaseMs = wanted.leaseMs ?? ack_wait / NANOS;
  const retries = wanted.retries ?? max_deliver - 1;
  if (leaseMs * NANOS !== ack_wait || retries + 1 !== max_deliver) {
    await jsm.consumers.update(tasks, CONSUMER, {
      ...info.config,
      ack_wait: leaseMs * NANOS,
      max_deliver: retries + 1,
    });
  }
  return { leaseMs, retries };
}

async function consumerOf(
  jsm: JetStreamManager,
  stream: string,
): Promise<ConsumerInfo | undefined> {
  try {
    return await jsm.consumers.info(stream, CONSUMER);
  } catch (error) {
    if (isApiError(error, ApiError.CONSUMER_NOT_FOUND)) return undefined;
    throw error;
  }
}

/** Returns a message of a stream, if it is there. */
export async function messageOf(
  jsm: JetStreamManager,
  stream: string,
  query: { seq: number } | { last_by_subj: string },
): Promise<StoredMsg | undefined> {
  try {
    return await jsm.streams.getMessage(stream, query) ?? undefined;
  } catch (error) {
    if (isApiError(error, ApiError.NO_MESSAGE)) return undefined;
    throw error;
  }
}
