/**
 * What came of tasks on a node, and how their callers get to know.
 *
 * @module
 */

import { encodeValue } from "./_codec.ts";
import { describeError } from "./_describe.ts";
import { Format, Kind } from "./_layout.ts";
import { isTooLate } from "./_nats_claim.ts";
import type { Link, NodeLog } from "./_nats_link.ts";
import type { LocalPool, LocalPools } from "./_nats_local.ts";
import type { Payloads } from "./_nats_payloads.ts";
import {
  NATS_PROTOCOL_VERSION,
  type PayloadPart,
  type ResultHeader,
  type ResultRow,
  siblingId,
  toPart,
  writeFrame,
} from "./_nats_protocol.ts";
import type { Store } from "./_nats_store.ts";
import { type Outcome, unpass } from "./_nats_task.ts";
import { encodeReason } from "./_task_runner.ts";
import { BrokenExecutor } from "./errors.ts";

/** What came of a task. */
export interface Ending {
  readonly kind: number;
  readonly part: PayloadPart;
  readonly bytes: Uint8Array;
  readonly startMs?: number;
  readonly endMs?: number;
}

const COPY = { canMove: false };

/** Results of rows that go in one message. */
const MOST_TOGETHER_BYTES = 1 << 17;

/** What every server takes in a message; more may have to be stored, which can fail. */
const MOST_SMALL_BYTES = 1 << 13;

/** Makes an ending of what a worker has returned. */
export function endingOf([kind, payload, startMs, endMs]: Outcome): Ending {
  return { kind, ...unpass(payload), startMs, endMs };
}

/** The ending of a task that has failed with an error of this module's. */
export function threw(error: unknown, name: string): Ending {
  const told = named(error, name);
  const { part, bytes } = toPart(encodeValue(told, COPY, "the error"));
  return { kind: Kind.THREW, part, bytes };
}

/** Names the function that was submitted, not the one that the pool was given. */
function named(error: unknown, name: string): unknown {
  if (error instanceof Error && error.message.includes('"runTask"')) {
    error.message = error.message.replaceAll('"runTask"', `"${name}"`);
  }
  return error;
}

/** What a teller needs of its node. */
export interface TellerParts {
  readonly name: string;
  readonly store: Store;
  readonly link: Link;
  readonly log: NodeLog;
  readonly payloads: Payloads;
  readonly pools: LocalPools;
}

/** Tells callers what becomes of their tasks. */
export class Teller {
  readonly #parts: TellerParts;

  constructor(parts: TellerParts) {
    this.#parts = parts;
  }

  /** Tells that a task runs; whoever needs to know for certain asks the server. */
  tellStarted(id: string): void {
    const { connection, names } = this.#parts.store;
    try {
      connection.publish(names.started(id));
    } catch {
      // closed
    }
  }

  /** The ending of a task whose pool has failed, not the task: a time limit, a worker that died. */
  endingOfFailure(pool: LocalPool, error: unknown, name: string): Ending {
    if (!(error instanceof BrokenExecutor) || !pool.isBroken) {
      return threw(error, name);
    }
    this.#parts.pools.drop(pool);
    if (!pool.hasInitializer) return threw(error, name);
    const { cause } = error;
    const why =
      `cannot go on as the initializer failed on node "${this.#parts.name}": ${
        cause === undefined ? error.message : describeError(cause)
      }`;
    const { part, bytes } = toPart(encodeReason(why, cause, COPY));
    return { kind: Kind.BROKE, part, bytes };
  }

  /**
   * Stores the result of a task, unless there is one; does not give up while the
   * node lives.
   *
   * @param attempt Which node this is that was given the task, from 1.
   */
  async tell(id: string, ending: Ending, attempt: number): Promise<void> {
    const { kind, part, bytes, startMs, endMs } = ending;
    const { payloads, link } = this.#parts;
    const header: ResultHeader = {
      version: NATS_PROTOCOL_VERSION,
      kind,
      outcome: part,
      node: this.#parts.name,
      attempt,
      startMs,
      endMs,
      parts: [bytes.length],
    };
    const pack = () => payloads.packResult(id, header, [bytes]);
    const message = bytes.length < MOST_SMALL_BYTES
      ? await pack()
      : await link.insist("store a large result", async () => await pack());
    await this.#store(id, message);
  }

  /** Stores what came of rows of a bundle as one result, or one each where that would be large. */
  async tellTogether(
    id: string,
    endings: readonly (readonly [n: number, ending: Ending])[],
    attempt: number,
  ): Promise<void> {
    let bytes = 0;
    for (const [, ending] of endings) bytes += ending.bytes.length;
    if (bytes > MOST_TOGETHER_BYTES) {
      const told = endings.map(([n, ending]) =>
        this.tell(siblingId(id, n), ending, attempt)
      );
      return void await Promise.all(told);
    }
    const parts = endings.map(([, ending]) => ending.bytes);
    const header: ResultHeader = {
      version: NATS_PROTOCOL_VERSION,
      kind: Kind.RETURNED,
      outcome: { format: Format.EMPTY, textBytes: 0, buffers: 0 },
      node: this.#parts.name,
      attempt,
      rows: endings.map(toRow),
      parts: parts.map(({ length }) => length),
    };
    await this.#store(id, writeFrame(header, parts));
  }

  async #store(id: string, message: Uint8Array): Promise<void> {
    const { link, store: { publisher, names }, log } = this.#parts;
    try {
      await link.insist(
        "store a result",
        () => publisher.publish(names.result(id), message, { last: 0 }),
        isTooLate,
      );
    } catch (error) {
      if (!isTooLate(error)) throw error;
      log.debug({ task: id }, "another result was there before");
    }
  }
}

function toRow([n, ending]: readonly [n: number, ending: Ending]): ResultRow {
  const { kind, part, startMs = 0, endMs = 0 } = ending;
  const { format, textBytes, buffers } = part;
  return [n, kind, format, textBytes, buffers, startMs, endMs];
}
