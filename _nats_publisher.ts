/**
 * Publishes messages to JetStream, many at once.
 *
 * The client's own `publish` makes a timer and two errors with their stacks for
 * each message, in case it is not answered: half of a node's time with tasks that
 * take none (nats.js 3.4.0, Deno 2.9.6, 2026-11). Here one timer watches over all.
 *
 * @module
 */

import { JetStreamApiError } from "npm:@nats-io/jetstream@3.4.0";
import {
  createInbox,
  errors,
  headers,
  type Msg,
  type MsgHdrs,
} from "npm:@nats-io/transport-node@3.4.0";
import type { NatsConnection } from "./_nats_connection.ts";

/** When a message is to be stored. */
export interface Condition {
  /** Not twice under this id, within the stream's window. */
  readonly id?: string;
  /** Only if this is the number of the last message on its subject; 0 if there is none. */
  readonly last?: number;
}

/** How long an answer is waited for, and how often that is looked at. */
const ANSWER_MS = 5_000;
const LOOK_MS = 1_000;

const NO_RESPONDERS = 503;

/** A message that was not answered. */
interface Pending {
  readonly subject: string;
  readonly until: number;
  resolve(sequence: number): void;
  reject(error: Error): void;
}

/** Publishes on one connection. */
export class Publisher {
  readonly #connection: NatsConnection;
  readonly #inbox: string;
  /** In the order in which they were published. */
  readonly #pending = new Map<number, Pending>();
  #next = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(connection: NatsConnection) {
    this.#connection = connection;
    this.#inbox = createInbox();
    connection.subscribe(`${this.#inbox}.*`, {
      callback: (_, message) => this.#onAnswer(message),
    });
    this.#watch();
  }

  /**
   * Publishes a message; resolves to its number in the stream once it is stored.
   * Where it is not answered, nobody knows whether it is.
   *
   * @throws {JetStreamApiError} If the server does not store it.
   * @throws {errors.TimeoutError} If the server does not answer.
   * @throws {errors.NoRespondersError} If nobody takes it: there is no such stream.
   * @throws {errors.ConnectionError} If the connection is lost meanwhile.
   */
  publish(
    subject: string,
    data: Uint8Array,
    condition: Condition = {},
  ): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const number = this.#next++;
    const until = performance.now() + ANSWER_MS;
    this.#pending.set(number, { subject, until, resolve, reject });
    try {
      this.#connection.publish(subject, data, {
        reply: `${this.#inbox}.${number}`,
        headers: headersOf(condition),
      });
    } catch (error) {
      this.#pending.delete(number);
      reject(error as Error);
    }
    this.#timer ??= setTimeout(() => this.#look(), LOOK_MS);
    return promise;
  }

  #onAnswer(message: Msg): void {
    const number = Number(message.subject.slice(this.#inbox.length + 1));
    const pending = this.#pending.get(number);
    if (pending === undefined) return;
    this.#pending.delete(number);
    try {
      pending.resolve(readAnswer(pending.subject, message));
    } catch (error) {
      pending.reject(error as Error);
    }
  }

  #look(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const [number, pending] of this.#pending) {
      if (pending.until > now) break;
      this.#pending.delete(number);
      pending.reject(new errors.TimeoutError());
    }
    if (this.#pending.size > 0) {
      this.#timer = setTimeout(() => this.#look(), LOOK_MS);
    }
  }

  /** What the server answers to a lost connection is not heard. */
  async #watch(): Promise<void> {
    for await (const status of this.#connection.status()) {
      if (status.type === "disconnect") this.#fail("the connection is lost");
      else if (status.type === "error") this.#refuse(status.error);
    }
    this.#fail("the connection is closed");
    clearTimeout(this.#timer);
  }

  /** The server tells of a publication that it does not permit, and answers nothing. */
  #refuse(error: Error): void {
    if (!(error instanceof errors.PermissionViolationError)) return;
    for (const [number, pending] of this.#pending) {
      if (pending.subject !== error.subject) continue;
      this.#pending.delete(number);
      pending.reject(error);
    }
  }

  #fail(why: string): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(new errors.ConnectionError(why));
  }
}

function headersOf({ id, last }: Condition): MsgHdrs {
  const result = headers();
  if (id !== undefined) result.set("Nats-Msg-Id", id);
  if (last !== undefined) {
    result.set("Nats-Expected-Last-Subject-Sequence", String(last));
  }
  return result;
}

function readAnswer(subject: string, message: Msg): number {
  if (message.headers?.code === NO_RESPONDERS) {
    throw new errors.NoRespondersError(subject);
  }
  const { seq, error } = message.json<
    { seq?: number; error?: ConstructorParameters<typeof JetStreamApiError>[0] }
  >();
  if (error !== undefined) throw new JetStreamApiError(error);
  return seq!;
}
