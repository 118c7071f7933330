/**
 * A connection that may be lost and come back: what must be done is done again
 * until it is done.
 *
 * @module
 */

import { describeError } from "./_describe.ts";
import type { NatsConnection } from "./_nats_connection.ts";

/** Where a program says what happens, as loggers take it; `pino` is one. */
export interface NodeLog {
  /** Tells what is of use to whoever looks for a fault. */
  debug(fields: object, message: string): void;
  /** Tells of what is as it should be. */
  info(fields: object, message: string): void;
  /** Tells of what may need a look. */
  warn(fields: object, message: string): void;
  /** Tells of what needs one. */
  error(fields: object, message: string): void;
}

/** Hears of a connection. */
export interface LinkPort {
  onLost(): void;
  onBack(): void;
}

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5_000;

/** Tells that nothing can be done any more: the connection is closed. */
export class GoneError extends Error {}

/** A connection, and what waits for it. */
export class Link {
  readonly connection: NatsConnection;
  readonly #log: NodeLog;
  readonly #port: LinkPort;
  /** Attempts under way, which a lost connection ends. */
  readonly #attempts = new Set<(error: Error) => void>();
  /** Those that wait for another attempt. */
  readonly #waiting = new Set<() => void>();
  #isConnected = true;
  #isClosed = false;
  /** Resolves once the connection is closed for good: with the error, if that is why. */
  readonly closed: Promise<void | Error>;

  constructor(connection: NatsConnection, log: NodeLog, port: LinkPort) {
    this.connection = connection;
    this.#log = log;
    this.#port = port;
    this.closed = this.#watch();
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  async #watch(): Promise<void | Error> {
    let why = "";
    for await (const status of this.connection.status()) {
      switch (status.type) {
        case "error":
          why = describeError(status.error);
          this.#log.warn({ reason: why }, "the server reports an error");
          break;
        case "disconnect":
          this.#lose(why);
          why = "";
          break;
        case "reconnect":
          this.#log.info({ server: status.server }, "connected again");
          this.#isConnected = true;
          this.#port.onBack();
          this.#wake();
          break;
        default: // pings and tries
      }
    }
    const error = await this.connection.closed();
    this.#isConnected = false;
    this.#isClosed = true;
    this.#endAttempts(new GoneError("the connection is closed"));
    this.#wake();
    return error;
  }

  #lose(reason: string): void {
    if (!this.#isConnected) return;
    this.#log.warn(
      { server: this.connection.getServer(), reason },
      "the connection is lost; what runs goes on, and is told when it is back",
    );
    this.#isConnected = false;
    this.#port.onLost();
    // The answers to what was asked do not come any more.
    this.#endAttempts(new Error("the connection is lost"));
  }

  #endAttempts(error: Error): void {
    const attempts = [...this.#attempts];
    this.#attempts.clear();
    for (const reject of attempts) reject(error);
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }

  /**
   * Does something that may be done twice until it has been done: again where
   * the connection was lost meanwhile, or the server does not answer.
   *
   * @param what What is done, for the log.
   * @param isFinal Whether it is of no use to try again after an error.
   * @throws {GoneError} If the connection is closed.
   * @throws What `isFinal` says.
   */
  async insist<T>(
    what: string,
    attempt: () => Promise<T>,
    isFinal: (error: unknown) => boolean = () => false,
  ): Promise<T> {
    for (let pauseMs = FIRST_PAUSE_MS;; pauseMs *= 2) {
      try {
        if (this.#isConnected) return await this.#try(attempt);
      } catch (error) {
        if (error instanceof GoneError || isFinal(error)) throw error;
        if (this.#isConnected) {
          const reason = describeError(error);
          this.#log.warn({ reason }, `cannot ${what} now; it is tried again`);
        }
      }
      if (this.#isClosed) throw new GoneError("the connection is closed");
      await this.pause(Math.min(pauseMs, LONGEST_PAUSE_MS));
    }
  }

  #try<T>(attempt: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#attempts.add(reject);
      attempt().then(resolve, reject).finally(() =>
        this.#attempts.delete(reject)
      );
    });
  }

  /** Waits a while where there is a connection, else until it is back; not longer than it lasts. */
  pause(ms: number): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#isConnected ? setTimeout(() => end(), ms) : undefined;
      const end = () => {
        clearTimeout(timer);
        this.#waiting.delete(end);
        resolve();
      };
      this.#waiting.add(end);
    });
  }
}
