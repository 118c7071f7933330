/**
 * Hears of results: as soon as a node publishes one, and by a look into the
 * stream of results where that may have been missed.
 *
 * What is heard when it is published may not be what the stream keeps: of two
 * results of one task it keeps the first, and both are heard. There are two only
 * where a task was given to a second node. So what is heard counts only if it is
 * the first node's, and nothing was missed before; else the stream is read.
 *
 * A consumer of the client's would do, at 0.1 ms more for each result, and with
 * one more thing that a restarted server has to make anew (nats.js 3.4.0,
 * nats-server 2.9.10, 2026-11).
 *
 * @module
 */

import { describeError } from "./_describe.ts";
import { readAdvisory } from "./_nats_exhausted.ts";
import type { Payloads } from "./_nats_payloads.ts";
import { type Frame, readFrame, type ResultHeader } from "./_nats_protocol.ts";
import { ApiError, isApiError, messageOf, type Store } from "./_nats_store.ts";
import { RuntimeError } from "./errors.ts";

/** Who hears of results. */
export interface ResultSink {
  onResult(id: string, result: Frame<ResultHeader>): void;
  /** Whether anybody waits for a task, or for one of a bundle. */
  wants(id: string): boolean;
  /** A result cannot be read. */
  onUnreadable(id: string, error: unknown): void;
  /** A task was delivered as often as it may be: its number in the stream. */
  onExhausted(sequence: number): void;
  /** The streams are gone, and all that was in them. */
  onDeleted(): void;
  /** Whether results are waited for. */
  readonly isWaiting: boolean;
}

/** Messages that are asked for in one go, and how long they may take. */
const MOST_SCANNED = 500;
const FETCH_MS = 5_000;

/** How often it is made sure that nothing was missed, while results are waited for. */
const LOOK_MS = 5_000;

/** While results are heard all the time, every so many times. */
const BUSY_LOOKS = 6;

/** How long the server may take to store what was heard already, and how often that is looked at. */
const STORED_MS = 20;
const MOST_READS = 50;

/** The first delivery of a task. */
const FIRST = 1;

/** Hears of the results of sessions. */
export class ResultFeed {
  readonly #store: Store;
  readonly #payloads: Payloads;
  readonly #sink: ResultSink;
  /** Sessions that are listened to, and up to where their results were read. */
  readonly #sessions = new Map<string, number>();
  /** Up to where the advisories were read. */
  #advisories = 0;
  /** Scans under way. */
  #scans = 0;
  /** Of whole sessions: the last that was begun, and the one that comes after it. */
  readonly #running = new Map<string, Promise<void>>();
  readonly #next = new Map<string, Promise<void>>();
  /** Subjects whose result is being read: what else is heard of them does not count. */
  readonly #reading = new Set<string>();
  /** Whether anything was heard since the last look, and whether a result is known to be missed. */
  #hasHeard = false;
  #hasMissed = false;
  #looks = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** How many results are asked for in one go. */
  #batch = MOST_SCANNED;
  /** Whether results were heard during a scan. */
  #isAgain = false;
  #isOver = false;

  constructor(store: Store, payloads: Payloads, sink: ResultSink) {
    this.#store = store;
    this.#payloads = payloads;
    this.#sink = sink;
    store.connection.subscribe(store.names.advisory, {
      callback: (_, { data }) => this.#onAdvisory(data),
    });
  }

  /** Listens to a session from now on; `since` is a place in the stream before its first result. */
  follow(session: string, since: number): void {
    if (this.#sessions.has(session)) return;
    this.#sessions.set(session, since);
    const { names, connection } = this.#store;
    connection.subscribe(names.result(`${session}.>`), {
      callback: (_, { subject, data }) => this.#onHeard(subject, data),
    });
  }

  /** Reads the result of a task, if it has one of its own. */
  async read(id: string): Promise<void> {
    const { jsm, names } = this.#store;
    const query = { last_by_subj: names.result(id) };
    const stored = await messageOf(jsm, names.results, query);
    if (stored !== undefined) await this.#take(stored.subject, stored.data);
  }

  /** Makes sure now and then that nothing is missed, while results are waited for. */
  watch(): void {
    this.#timer ??= setTimeout(() => this.#look(), LOOK_MS);
  }

  /** Hears no more. */
  stop(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  // ---------------------------------------------------------------- hearing

  #onHeard(subject: string, data: Uint8Array): void {
    this.#hasHeard = true;
    if (!this.#sink.wants(this.#store.names.idOf(subject))) return;
    // What is read now comes first; it is looked for in the stream after that.
    if (this.#scans > 0) this.#isAgain = true;
    else if (this.#reading.has(subject)) return;
    else {
      const frame = tryToRead(data);
      // What cannot be read is told as that.
      const isFirst = frame instanceof Error || frame.header.attempt === FIRST;
      if (isFirst) this.#tell(subject, frame);
      else this.#readStored(subject);
    }
  }

  /** Reads what the stream keeps of what was heard. */
  async #readStored(subject: string): Promise<void> {
    if (this.#reading.has(subject)) return;
    this.#reading.add(subject);
    try {
      for (let n = 0; n < MOST_READS && !this.#isOver; n++) {
        const { jsm, names } = this.#store;
        const query = { last_by_subj: subject };
        const stored = await messageOf(jsm, names.results, query);
        if (stored !== undefined) return await this.#take(subject, stored.data);
        await delay(STORED_MS);
      }
      this.#hasMissed = true;
    } catch {
      this.#hasMissed = true; // the connection is lost, say
    } finally {
      this.#reading.delete(subject);
    }
  }

  #take(subject: string, data: Uint8Array): Promise<void> {
    return this.#tell(subject, tryToRead(data));
  }

  async #tell(
    subject: string,
    frame: Frame<ResultHeader> | Error,
  ): Promise<void> {
    const id = this.#store.names.idOf(subject);
    try {
      if (frame instanceof Error) throw frame;
      const read = this.#payloads.completeResult(frame);
      const result = read instanceof Promise ? await read : read;
      this.#sink.onResult(id, result);
    } catch (cause) {
      const text = `Cannot read the result of the task "${id}": ${
        describeError(cause)
      }`;
      this.#sink.onUnreadable(id, new RuntimeError(text, { cause }));
    }
  }

  #onAdvisory(data: Uint8Array): void {
    const sequence = readAdvisory(data);
    if (sequence !== undefined) this.#sink.onExhausted(sequence);
  }

  // --------------------------------------------------------------- scanning

  /**
   * Reads what may have been missed, of all sessions; it goes on where it was
   * when it fails. The server may have cut us off for too much at once, so then
   * it asks for less.
   */
  async catchUp(): Promise<void> {
    try {
      await this.#catchUp();
      this.#batch = Math.min(MOST_SCANNED, this.#batch * 2);
    } catch (error) {
      this.#batch = Math.max(1, this.#batch >> 2);
      throw error;
    }
  }

  async #catchUp(): Promise<void> {
    const sessions = [...this.#sessions];
    await this.#scanAdvisories();
    await Promise.all(
      sessions.map(([session, since]) => this.#scanSince(session, since)),
    );
  }

  /** Reads all results of a session that there are; who asks at the same time shares it. */
  scanAll(session: string): Promise<void> {
    // ORDER: one that is under way may be past what is asked for.
    const running = this.#running.get(session) ?? Promise.resolve();
    let next = this.#next.get(session);
    if (next === undefined) {
      next = running.catch(() => {}).then(() => {
        this.#next.delete(session);
        const scan = this.#scanAdvisories().then(() =>
          this.#scanSince(session, 0)
        );
        this.#running.set(session, scan);
        return scan;
      });
      this.#next.set(session, next);
    }
    return next;
  }

  /** Reads which tasks were delivered too often, of all sessions: since the last time. */
  async #scanAdvisories(): Promise<void> {
    await this.#scan(
      this.#store.names.advisory,
      this.#advisories,
      (_, data, sequence) => {
        this.#advisories = sequence;
        this.#onAdvisory(data);
      },
    );
  }

  async #scanSince(session: string, since: number): Promise<void> {
    const { jsm, names } = this.#store;
    this.#scans++;
    try {
      const { state } = await jsm.streams.info(names.results);
      await this.#scan(
        names.result(`${session}.>`),
        since,
        async (subject, data, sequence) => {
          await this.#take(subject, data);
          this.#advance(session, sequence);
        },
      );
      this.#advance(session, state.last_seq);
    } finally {
      if (--this.#scans === 0 && this.#isAgain) this.#scanAgain();
    }
  }

  /** All results of a session up to there were read. */
  #advance(session: string, sequence: number): void {
    const since = this.#sessions.get(session);
    if (since === undefined || since >= sequence) return;
    this.#sessions.set(session, sequence);
  }

  /** Reads what was heard during a scan, once the server has stored it. */
  async #scanAgain(): Promise<void> {
    this.#isAgain = false;
    await delay(STORED_MS);
    if (this.#isOver) return;
    await this.catchUp().catch(() => this.#hasMissed = true);
  }

  async #scan(
    subject: string,
    since: number,
    take: (
      subject: string,
      data: Uint8Array,
      sequence: number,
    ) => void | Promise<void>,
  ): Promise<void> {
    const { js, names } = this.#store;
    const consumer = await js.consumers.get(names.results, {
      filter_subjects: subject,
      opt_start_seq: since + 1,
    });
    let { num_pending: left } = await consumer.info(true);
    while (left > 0 && !this.#isOver) {
      const messages = await consumer.fetch({
        max_messages: Math.min(left, this.#batch),
        expires: FETCH_MS,
      });
      let count = 0;
      for await (const { subject, data, seq } of messages) {
        count++;
        await take(subject, data, seq);
      }
      // They have expired just now, or the connection is lost: it is looked again.
      if (count === 0) {
        throw new Error("the results that were asked for did not come");
      }
      left -= count;
    }
  }

  /** Whatever was lost on the way: a task is not waited for in vain. */
  async #look(): Promise<void> {
    try {
      const isQuiet = !this.#hasHeard || ++this.#looks % BUSY_LOOKS === 0;
      if ((isQuiet || this.#hasMissed) && this.#sink.isWaiting) {
        this.#hasMissed = false;
        await this.#lookNow();
      }
    } catch {
      this.#hasMissed = true; // the connection is lost, or the server has just been started
    }
    this.#hasHeard = false;
    this.#timer = undefined;
    if (this.#sink.isWaiting && !this.#isOver) this.watch();
  }

  async #lookNow(): Promise<void> {
    const { jsm, names } = this.#store;
    for (const stream of [names.tasks, names.results]) {
      try {
        await jsm.streams.info(stream);
      } catch (error) {
        if (!isApiError(error, ApiError.STREAM_NOT_FOUND)) throw error;
        return this.#sink.onDeleted();
      }
    }
    await this.catchUp();
  }
}

function tryToRead(data: Uint8Array): Frame<ResultHeader> | Error {
  try {
    return readFrame<ResultHeader>(data);
  } catch (error) {
    return error as Error;
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
