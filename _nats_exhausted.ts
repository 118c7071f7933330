/**
 * Tasks whose nodes have died as often as they may: whoever hears of one first,
 * a caller or a node, stores a result that says so, and removes the task.
 *
 * The server tells of it once, by an advisory, when it would give the task to a
 * node again. So where no node is left, it is told when the next one comes.
 *
 * @module
 */

import { encodeValue } from "./_codec.ts";
import { Kind } from "./_layout.ts";
import type { Payloads } from "./_nats_payloads.ts";
import {
  NATS_PROTOCOL_VERSION,
  readFrame,
  readStart,
  type ResultHeader,
  siblingId,
  type TaskHeader,
  toPart,
  writeFrame,
} from "./_nats_protocol.ts";
import { ApiError, isApiError, messageOf, type Store } from "./_nats_store.ts";

const COPY = { canMove: false };

const decoder = new TextDecoder();

/** Reads which task an advisory is about: its number in the stream. */
export function readAdvisory(data: Uint8Array): number | undefined {
  try {
    const { stream_seq: sequence } = JSON.parse(decoder.decode(data));
    return typeof sequence === "number" ? sequence : undefined;
  } catch {
    return undefined; // nobody but the server may write there
  }
}

/** Stores the result of a task that was given out as often as it may be, and removes it. */
export async function failExhausted(
  store: Store,
  payloads: Payloads,
  sequence: number,
): Promise<void> {
  const { jsm, names } = store;
  const message = await messageOf(jsm, names.tasks, { seq: sequence });
  if (message === undefined) return; // somebody else was faster
  const { header } = readFrame<TaskHeader>(message.data);
  const id = names.idOf(message.subject);
  const ids = header.rows?.map(([n]) => siblingId(id, n)) ?? [id];
  const done = header.rows && await rowsWithResult(store, id);
  for (const one of ids) {
    if (done !== undefined && (done.has(one) || await isByItself(store, one))) {
      continue;
    }
    await publishExhausted(store, one, header);
  }
  await removeTask(store, payloads, sequence, header);
}

/** Whether a task that came in a bundle has a message of its own by now. */
export async function isByItself(
  { jsm, names }: Store,
  id: string,
): Promise<boolean> {
  const own = await messageOf(jsm, names.tasks, {
    last_by_subj: names.task(id),
  });
  return own !== undefined;
}

/** Stores the result of a task that was given out as often as it may be. */
export async function publishExhausted(
  store: Store,
  id: string,
  header: TaskHeader,
): Promise<void> {
  const why = await explain(store, header);
  const { part, bytes } = toPart(encodeValue(why, COPY, "the reason"));
  const result: ResultHeader = {
    version: NATS_PROTOCOL_VERSION,
    kind: Kind.DIED,
    outcome: part,
    node: "",
    attempt: 0,
    parts: [bytes.length],
  };
  await publishResult(store, id, result, [bytes]);
}

async function explain(
  { jsm, names }: Store,
  { key, name, leaseMs, retries }: TaskHeader,
): Promise<string> {
  const entry = await messageOf(jsm, `KV_${names.starts}`, {
    last_by_subj: names.start(key),
  });
  const start = entry && readStart(entry.data);
  const last = start?.state === "started"
    ? `the last of them was "${start.node}"`
    : "none of them had started it";
  const nodes = retries === 0
    ? "the node that was"
    : `${retries + 1} nodes that were`;
  return `${nodes} given "${name}" died or lost the connection (${last}): the lease of ${leaseMs} ms ran out each time, and "retries" is ${retries}`;
}

/** The ids of the tasks of a bundle that have a result in that of the bundle. */
export async function rowsWithResult(
  { jsm, names }: Store,
  id: string,
): Promise<Set<string>> {
  const message = await messageOf(jsm, names.results, {
    last_by_subj: names.result(id),
  });
  if (message === undefined) return new Set();
  const { header } = readFrame<ResultHeader>(message.data);
  return new Set(header.rows?.map(([n]) => siblingId(id, n)));
}

/** Publishes a result, unless there is one. */
export async function publishResult(
  { publisher, names }: Store,
  id: string,
  header: ResultHeader,
  parts: readonly Uint8Array[],
): Promise<void> {
  try {
    const message = writeFrame(header, parts);
    await publisher.publish(names.result(id), message, { last: 0 });
  } catch (error) {
    if (!isApiError(error, ApiError.WRONG_LAST_SEQUENCE)) throw error;
  }
}

/** Removes a task that is over and that no node will acknowledge. */
export async function removeTask(
  { jsm, names }: Store,
  payloads: Payloads,
  sequence: number,
  header: TaskHeader,
): Promise<void> {
  try {
    await jsm.streams.deleteMessage(names.tasks, sequence, false);
  } catch (error) {
    // somebody else has removed it
    if (!isApiError(error, ApiError.NO_SEQUENCE)) throw error;
  }
  await payloads.dropTask(header);
}
