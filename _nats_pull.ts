/**
 * Pulling tasks: exactly as many as there are free slots, so that none waits in
 * a busy node while another is idle.
 *
 * The pull protocol itself is spoken, as the client's `next()` needs a
 * subscription for each task (7,000 tasks a second where this has 9,200, eight
 * slots) and its `consume()` takes tasks ahead. A request goes to
 *
 * ```text
 * $JS.API.CONSUMER.MSG.NEXT.<stream>.nodes   {"batch":3,"expires":10000000000}   reply: <inbox>.3
 * ```
 *
 * and each task comes to the inbox under its own subject, to be acknowledged at
 * its reply subject. What comes under the inbox's subject is a status, and says
 * how many tasks of a request will not come: 408 as it has expired, 404, 409 and
 * 503 as there is no consumer now.
 *
 * INVARIANT: slots = tasks taken + tasks asked for, whenever the connection is
 * up and nothing has just failed. What was asked for is kept by epoch, one inbox
 * each: nothing that was asked in the last epoch but one can still come. So where
 * a request was forgotten without a word, by a cluster that has elected another
 * leader, say, its slots are asked for again two epochs later.
 *
 * @module
 */

import { CONSUMER } from "./_nats_protocol.ts";

/** What comes to an inbox. */
export interface PullMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly reply?: string;
  readonly headers?: {
    readonly code: number;
    readonly description: string;
    get(name: string): string;
  };
  respond(data: string): boolean;
}

/** A subscription, as far as a puller needs it. */
export interface PullSubscription {
  /** Takes what is on the way, then ends. */
  drain(): Promise<void>;
  unsubscribe(): void;
}

/** A connection, as far as a puller needs it. */
export interface PullConnection {
  publish(subject: string, data: string, options: { reply: string }): void;
  subscribe(
    subject: string,
    options: { callback(error: Error | null, message: PullMessage): void },
  ): PullSubscription;
}

/** A task as it was delivered. */
export class Delivery {
  readonly #message: PullMessage;
  /** How often the task was delivered, from 1. */
  readonly attempt: number;
  /** Its number in the stream: another delivery of the same message has the same. */
  readonly sequence: number;

  /** @throws {Error} If the message is none of a consumer's. */
  constructor(message: PullMessage) {
    this.#message = message;
    const { attempt, sequence } = readReply(message.reply ?? "");
    this.attempt = attempt;
    this.sequence = sequence;
  }

  get subject(): string {
    return this.#message.subject;
  }

  get data(): Uint8Array {
    return this.#message.data;
  }

  /** Tells the server that the task is over. */
  acknowledge(): void {
    this.#tell("+ACK");
  }

  /** Renews the lease. */
  renew(): void {
    this.#tell("+WPI");
  }

  /** What cannot be told on a connection that is closed comes out when the lease ends. */
  #tell(what: string): void {
    try {
      this.#message.respond(what);
    } catch {
      // closed
    }
  }
}

/**
 * Reads how often a task was delivered, and its number, from where it is
 * acknowledged: `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.…`, or with
 * domain and account before the stream.
 */
function readReply(reply: string): Pick<Delivery, "attempt" | "sequence"> {
  const tokens = reply.split(".");
  const at = tokens.length === 9 ? 4 : 6;
  const attempt = Number(tokens[at]);
  const sequence = Number(tokens[at + 1]);
  if (
    reply.startsWith("$JS.ACK.") && tokens.length >= 9 && attempt >= 1 &&
    sequence >= 1
  ) return { attempt, sequence };
  throw new Error(
    `Cannot take a task as it must be a consumer's: it came with "${reply}"`,
  );
}

/** What a puller tells. */
export interface PullPort {
  /** Takes a task; its slot is taken until `free` is called. */
  take(delivery: Delivery): void;
  /** Hears that nothing can be pulled now, as there is no consumer, say. */
  onProblem(what: string): void;
  /**
   * Makes what is missing on the server; resolves to whether all is there. Called
   * a while after a problem, and again until it is; and when the connection is
   * back, as a server may have lost all.
   */
  restore(): Promise<boolean>;
}

/** How long a request lasts, and what is waited. Milliseconds; for tests. */
export interface PullTimes {
  readonly expiresMs: number;
  /** How much later the server may say that a request has expired. */
  readonly graceMs: number;
  /** How long to wait where there is no consumer. */
  readonly retryMs: number;
}

const TIMES: PullTimes = { expiresMs: 10_000, graceMs: 2_000, retryMs: 500 };

const NANOS = 1_000_000;
const EXPIRED = 408;
const HEARTBEAT = 100;

/** Requests that go to one inbox, and what was asked for in them. */
interface Epoch {
  readonly inbox: string;
  readonly subscription: PullSubscription;
  /** How many tasks may still come. */
  asked: number;
}

/** Pulls the tasks of a stream. */
export class Puller {
  readonly #connection: PullConnection;
  readonly #subject: string;
  readonly #slots: number;
  readonly #makeInbox: () => string;
  readonly #port: PullPort;
  readonly #times: PullTimes;
  /** Tasks that were taken and not freed. */
  #taken = 0;
  #current: Epoch | undefined;
  /** Takes no more requests; ends with the next tick. */
  #previous: Epoch | undefined;
  #ticker: ReturnType<typeof setInterval> | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #isConnected = true;
  /** Whether it waits for what is missing on the server. */
  #hasProblem = false;
  #isStopped = false;
  #isAsking = false;

  constructor(
    connection: PullConnection,
    stream: string,
    slots: number,
    makeInbox: () => string,
    port: PullPort,
    times: PullTimes = TIMES,
  ) {
    this.#connection = connection;
    this.#subject = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${CONSUMER}`;
    this.#slots = slots;
    this.#makeInbox = makeInbox;
    this.#port = port;
    this.#times = times;
  }

  /** Begins to pull. */
  start(): void {
    const { expiresMs, graceMs } = this.#times;
    this.#ticker = setInterval(() => this.#tick(), expiresMs + graceMs);
    this.#ask();
  }

  /** Takes another slot, for a task that came with others in one. */
  occupy(): void {
    this.#taken++;
  }

  /** Gives the slot of a task back. */
  free(): void {
    this.#taken--;
    this.#askSoon();
  }

  /** Hears that the connection is lost: a request would be, too. */
  disconnected(): void {
    this.#isConnected = false;
  }

  /** Hears that there is a connection again: the server knows of no request. */
  reconnected(): void {
    this.#isConnected = true;
    if (this.#current !== undefined) this.#turn();
    if (this.#previous !== undefined) this.#previous.asked = 0;
    clearTimeout(this.#retryTimer);
    this.#hasProblem = true;
    this.#restore();
  }

  /** Pulls no more; resolves once all that was on the way has come. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#ticker);
    clearTimeout(this.#retryTimer);
    const epochs = [this.#current, this.#previous].filter((one) => one);
    this.#current = this.#previous = undefined;
    if (this.#isConnected) {
      await Promise.allSettled(epochs.map((one) => one!.subscription.drain()));
    } else for (const one of epochs) one!.subscription.unsubscribe();
  }

  // --------------------------------------------------------------- requests

  /** One request for all slots that are given back in one turn. */
  #askSoon(): void {
    if (this.#isAsking) return;
    this.#isAsking = true;
    queueMicrotask(() => {
      this.#isAsking = false;
      this.#ask();
    });
  }

  #ask(): void {
    if (this.#isStopped || this.#hasProblem || !this.#isConnected) return;
    const batch = this.#slots - this.#taken - this.#asked();
    if (batch <= 0) return;
    const epoch = this.#current ??= this.#open();
    epoch.asked += batch;
    const expires = this.#times.expiresMs * NANOS;
    try {
      this.#connection.publish(
        this.#subject,
        JSON.stringify({ batch, expires }),
        // The batch, for a status that does not tell how much of it is left.
        { reply: `${epoch.inbox}.${batch}` },
      );
    } catch {
      epoch.asked -= batch; // closed
    }
  }

  #asked(): number {
    return (this.#current?.asked ?? 0) + (this.#previous?.asked ?? 0);
  }

  // ----------------------------------------------------------------- epochs

  #open(): Epoch {
    const inbox = this.#makeInbox();
    const epoch: Epoch = {
      inbox,
      asked: 0,
      subscription: this.#connection.subscribe(`${inbox}.*`, {
        callback: (error, message) => {
          if (error === null) this.#onMessage(epoch, message);
        },
      }),
    };
    return epoch;
  }

  #tick(): void {
    const forgotten = this.#previous?.asked ?? 0;
    this.#turn();
    // What is asked of a consumer that is gone may be answered by nobody.
    if (forgotten > 0) this.#onProblem("requests were forgotten");
    else this.#ask();
  }

  #turn(): void {
    this.#previous?.subscription.unsubscribe();
    this.#previous = this.#current;
    this.#current = undefined;
  }

  #onMessage(epoch: Epoch, message: PullMessage): void {
    if (message.subject.startsWith(epoch.inbox)) {
      return this.#onStatus(epoch, message);
    }
    let delivery: Delivery;
    try {
      delivery = new Delivery(message);
    } catch {
      return; // somebody else's, who knows the inbox
    }
    epoch.asked = Math.max(0, epoch.asked - 1);
    this.#taken++;
    this.#port.take(delivery);
  }

  #onStatus(epoch: Epoch, { subject, headers }: PullMessage): void {
    const code = headers?.code ?? 0;
    if (code === HEARTBEAT || code === 0) return;
    const left = headers?.get("Nats-Pending-Messages") ||
      subject.slice(subject.lastIndexOf(".") + 1);
    epoch.asked = Math.max(0, epoch.asked - Number(left));
    if (code === EXPIRED) this.#askSoon();
    else this.#onProblem(`${code} ${headers?.description ?? ""}`.trim());
  }

  #onProblem(what: string): void {
    if (this.#hasProblem || this.#isStopped) return;
    this.#hasProblem = true;
    this.#port.onProblem(what);
    this.#restoreLater();
  }

  #restoreLater(): void {
    const { retryMs } = this.#times;
    this.#retryTimer = setTimeout(() => this.#restore(), retryMs);
  }

  async #restore(): Promise<void> {
    const isThere = await this.#port.restore();
    if (this.#isStopped) return;
    if (!isThere) return this.#restoreLater();
    this.#hasProblem = false;
    this.#ask();
  }
}
