/**
 * What lies on the NATS server, and what is said there, between the callers of a
 * stream (`NatsExecutor`) and its nodes (`nats_worker.ts`).
 *
 * ```text
 *  caller (manager thread)                nats-server                           node
 *  ----------------------                 -----------                           ----
 *  publish task ---------------------> stream S (work queue) --- pull, lease --> has room for it
 *                                         consumer "nodes"  <-- +WPI, renews --- while it runs
 *  create: cancelled? ---------------> bucket S_starts <-------- create: started?
 *                    first one wins, the other learns who
 *  running()? -----------------------> reads S_starts
 *  runs <----------------------------- subject S.started.* <---- where it takes more than a moment
 *                                                                thread or process runs it
 *  settles <----- subject S.result.* -- stream S_results <------ publish result, first one wins
 *                                      stream S <--------------- +ACK: the task is gone
 *  stop ------------------------------- subject S.stop.* ------> aborts the task
 * ```
 *
 * **What there is**, for a stream named `S`; whoever connects first makes it:
 *
 * | name                       | kind                | holds                                                | until                          |
 * | -------------------------- | ------------------- | ---------------------------------------------------- | ------------------------------ |
 * | `S`                        | stream, work queue  | tasks: subject `S.task.<id>`                         | acknowledged, or cancelled     |
 * | `nodes`                    | its one consumer    | which node has which task, for `lease` ms            |                                |
 * | `S_results`                | stream              | results: `S.result.<id>`; advisories of `nodes`      | `resultTtl`                    |
 * | `S_starts`                 | key-value bucket    | who started a task, or that it was cancelled         | `resultTtl`, renewed meanwhile |
 * | `S_arguments`, `S_values`  | object stores       | payloads above the server's limit                    | the task is over; `resultTtl`  |
 * | `S.started.<id>`           | subject             | that a task runs, if for more than a moment          | heard or not                   |
 * | `S.stop.<id>`              | subject             | that a task is to be stopped                         | heard or not                   |
 * | `S.settings`               | subject             | that somebody has changed lease, `retries` or `resultTtl` | heard or not              |
 * | `S.nodes`                  | subject, a request  | each node answers with what it allows (`NodeCard`)   |                                |
 *
 * **A task's id** is `<session>.<n>`: 32 hexadecimal digits that an executor
 * draws by lot, and the number of the task there.
 *
 * **Bundles.** Tasks of one function that has proved to be quick go together,
 * as rows of one message, as many as run in a few milliseconds: a message has
 * its price, whatever it carries. Its id is `<session>.b<n>`, with the number of
 * its first row. A bundle is published, started, withdrawn and acknowledged as
 * one, and the results of its rows come as one. Where it takes longer than it
 * should, its node publishes the results so far under the bundle's id, and each
 * row that has not begun as a task by itself; those that run have a result each.
 * So no task waits for long behind a slow one while a node is idle. A caller that
 * withdraws one row gets all back, and publishes the others again. A bundle that
 * is delivered again is taken apart: each row without a result goes by itself,
 * with the deliveries that it has had (`spent`).
 *
 * **A task's start** is decided by one write: the first entry under its key in
 * `S_starts`. A node creates it before it begins, a caller to cancel; the server
 * takes one of them. A node that loses drops the task. A caller that loses knows
 * that the task runs, and where. A node that is given the task of a node that is
 * believed dead replaces the entry of that very revision; it drops the task if
 * there is a result, or if it was stopped meanwhile.
 *
 * **A task's end** is decided by one write too: the first message on its subject
 * in `S_results`, published on the condition that there is none. So whatever is
 * delivered twice, run twice or told twice, a future and whoever attaches later
 * see the same one result. A node acknowledges a task only once a result is
 * there.
 *
 * | what happens                             | who notices                        | what becomes of the task                             |
 * | ---------------------------------------- | ---------------------------------- | ---------------------------------------------------- |
 * | a node dies, or loses its connection     | the server, after `lease` ms       | given to another; after `retries` of them it fails   |
 * | the last of them dies                    | the server: max-deliveries advisory | fails: the advisory is kept in `S_results`          |
 * | a node is alive but slow                 | nobody: it renews its lease        | goes on                                              |
 * | a node comes back after its lease        | the server, by its result          | the result that came first counts                    |
 * | a node cannot run it: another version    | the node                           | passed on if another can, else fails and says so     |
 * | the caller dies                          | nobody                             | runs; the result is kept for `resultTtl`             |
 * | the server dies                          | all                                | waits until it is back, from its store               |
 *
 * Passing a task on is publishing it again and acknowledging the first: a
 * negative acknowledgement would count as a delivery, which only a death may.
 *
 * **Frames.** A task and a result are a `Header` as JSON behind its length (32
 * bits, little-endian), then the parts that it gives the lengths of, in their
 * order. Payloads lie in them as in `_bytes.ts`. What is larger than the server
 * takes in one message lies in an object store, and the frame says where.
 *
 * **Reasons.** JetStream has the queue, the leases and the store; this library
 * adds none of its own. A start could do without its write, as a pull gives a
 * task to one node alone; but then `cancel()` could not know. It takes 0.15 ms
 * of the 0.7 of a round trip (nats-server 2.9.10, Deno 2.9.6, x86-64 Linux,
 * 2026-11).
 *
 * @module
 */

import { toParts } from "./_bytes.ts";
import type { Payload } from "./_payload.ts";

/** Changes with every change of what is written above. */
export const NATS_PROTOCOL_VERSION = 1;

/** The consumer that all nodes share. */
export const CONSUMER = "nodes";

/** What a stream's name may be, so that it can stand in subjects, buckets and files. */
const STREAM_NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** Returns whether a stream can have that name. */
export function isStreamName(name: string): boolean {
  return STREAM_NAME.test(name);
}

/** The names of all that belongs to a stream. */
export class StreamNames {
  readonly tasks: string;
  readonly results: string;
  readonly starts: string;
  readonly arguments: string;
  readonly values: string;
  /** The advisory that a task was delivered as often as it may. */
  readonly advisory: string;
  /** What nodes answer to. */
  readonly nodes: string;
  /** Says that lease, retries or the time that results are kept have changed. */
  readonly settings: string;

  constructor(stream: string) {
    this.tasks = stream;
    this.results = `${stream}_results`;
    this.starts = `${stream}_starts`;
    this.arguments = `${stream}_arguments`;
    this.values = `${stream}_values`;
    this.advisory =
      `$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.${stream}.${CONSUMER}`;
    this.nodes = `${stream}.nodes`;
    this.settings = `${stream}.settings`;
  }

  /** The subject of a task; `*` and `>` may take the place of an id. */
  task(id: string): string {
    return `${this.tasks}.task.${id}`;
  }

  /** The subject of a task's result. */
  result(id: string): string {
    return `${this.tasks}.result.${id}`;
  }

  /** The subject that says that a task runs. */
  started(id: string): string {
    return `${this.tasks}.started.${id}`;
  }

  /** The subject that stops a task. */
  stop(id: string): string {
    return `${this.tasks}.stop.${id}`;
  }

  /** The subject of a key in the bucket of starts. */
  start(key: string): string {
    return `$KV.${this.starts}.${key}`;
  }

  /** The id in the subject of a task, a result, a start, or an order to stop. */
  idOf(subject: string): string {
    return subject.slice(subject.indexOf(".", this.tasks.length + 1) + 1);
  }
}

// ---------------------------------------------------------------- callables

/** A module that a node must have, in place of its URL in a definition. */
export interface ModuleName {
  /** The file's name; of any other module the whole URL. */
  readonly name: string;
  /** SHA-256 of the file's bytes in hexadecimal; `""` for what is no file. */
  readonly hash: string;
}

/** What a node answers on `S.nodes`. */
export interface NodeCard {
  readonly node: string;
  readonly version: number;
  readonly modules: readonly ModuleName[];
  /** Whether it runs what comes by source. */
  readonly allowsSource: boolean;
}

// ------------------------------------------------------------------- frames

/** How a payload lies in its part of a frame. */
export interface PayloadPart {
  /** A `Format`, without flags. */
  readonly format: number;
  readonly textBytes: number;
  /** How many buffers. */
  readonly buffers: number;
}

/** A row of a bundle: the task's number, and how its arguments lie in their part. */
export type Row = readonly [
  n: number,
  format: number,
  textBytes: number,
  buffers: number,
];

/** A row of a bundle's result; the times are the node's, where they are known. */
export type ResultRow = readonly [
  n: number,
  kind: number,
  format: number,
  textBytes: number,
  buffers: number,
  startMs: number,
  endMs: number,
];

/** What a task says of itself. Parts: definition, arguments, both of the initializer, each row. */
export interface TaskHeader {
  readonly version: number;
  /** Its key in the bucket of starts: the id, or another where it was withdrawn before. */
  readonly key: string;
  /** The function's name, for messages. */
  readonly name: string;
  /** The modules that its definition names, by their place there. */
  readonly modules: readonly ModuleName[];
  /** Whether anything in it comes by source. */
  readonly isSource: boolean;
  readonly arguments: PayloadPart;
  /** Whether the arguments are the columns of a chunk of `map`. */
  readonly isChunk: boolean;
  /** Longest run in milliseconds, where there is a limit. */
  readonly timeoutMs?: number;
  /** How long a lease lasts in milliseconds: it is to be renewed within. */
  readonly leaseMs: number;
  /** How often it may be given to another node after the death of one. */
  readonly retries: number;
  /** How often it was given to a node that died, in a bundle. */
  readonly spent?: number;
  /** The tasks of a bundle; its own arguments are none. */
  readonly rows?: readonly Row[];
  /** Arguments of the function that every worker calls first, where there is one. */
  readonly initializer?: PayloadPart;
  /** Bytes of each part. */
  readonly parts: readonly number[];
  /** The object that holds all parts, where they are too large for a message. */
  readonly object?: string;
}

/** What a result says of itself. Parts: the outcome; of a bundle each row's, and nothing else counts. */
export interface ResultHeader {
  readonly version: number;
  /** `Kind.RETURNED`, `THREW` or `CHUNK_THREW`; `BROKE` where the caller's pool cannot go on: `[why, cause]`. */
  readonly kind: number;
  readonly outcome: PayloadPart;
  /** The node that ran it; `""` where none did. */
  readonly node: string;
  /** Which node it was, from 1; 0 where none did. */
  readonly attempt: number;
  /** When it ran, by the node's clock, where it is known. */
  readonly startMs?: number;
  readonly endMs?: number;
  readonly rows?: readonly ResultRow[];
  readonly parts: readonly number[];
  readonly object?: string;
}

/** A frame that was read. */
export interface Frame<H> {
  readonly header: H;
  /** The parts, in order; none where they lie in an object. */
  readonly parts: Uint8Array[];
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const LENGTH_BYTES = 4;

/** Writes a frame. */
export function writeFrame(
  header: TaskHeader | ResultHeader,
  parts: readonly Uint8Array[],
): Uint8Array {
  const head = encoder.encode(JSON.stringify(header));
  let length = LENGTH_BYTES + head.length;
  for (const part of parts) length += part.length;
  const frame = new Uint8Array(length);
  new DataView(frame.buffer).setUint32(0, head.length, true);
  frame.set(head, LENGTH_BYTES);
  let at = LENGTH_BYTES + head.length;
  for (const part of parts) {
    frame.set(part, at);
    at += part.length;
  }
  return frame;
}

/**
 * Reads a frame.
 *
 * @throws {Error} If it is none, or of another version of this protocol.
 */
export function readFrame<H extends TaskHeader | ResultHeader>(
  bytes: Uint8Array,
): Frame<H> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < LENGTH_BYTES) {
    throw new Error("a frame must have a header");
  }
  const end = LENGTH_BYTES + view.getUint32(0, true);
  if (end > bytes.length) throw new Error("a header must end within its frame");
  const header: H = JSON.parse(
    decoder.decode(bytes.subarray(LENGTH_BYTES, end)),
  );
  if (header?.version !== NATS_PROTOCOL_VERSION) {
    throw new Error(
      `the protocol's version must be ${NATS_PROTOCOL_VERSION}: received ${header?.version}; run the same version of this module on both sides`,
    );
  }
  return {
    header,
    parts: header.object === undefined
      ? splitParts(header.parts, bytes.subarray(end))
      : [],
  };
}

/**
 * Takes apart what lies in a row; each part is a `Uint8Array` and no `Buffer`,
 * as the client's are, whose `slice` does not copy.
 *
 * @throws {Error} If the lengths are not those of the bytes.
 */
export function splitParts(
  lengths: readonly number[],
  bytes: Uint8Array,
): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const length of lengths) {
    if (at + length <= bytes.length) {
      parts.push(new Uint8Array(bytes.buffer, bytes.byteOffset + at, length));
    }
    at += length;
  }
  if (at !== bytes.length) {
    throw new Error(
      `the parts of a frame must fill it: they have ${at} bytes of ${bytes.length}`,
    );
  }
  return parts;
}

/** Makes a payload a part of a frame. */
export function toPart(
  payload: Payload,
): { readonly part: PayloadPart; readonly bytes: Uint8Array } {
  const { parts, length, textBytes } = toParts(payload);
  const { format, buffers } = payload;
  const bytes = parts.length === 1 ? parts[0] : new Uint8Array(length);
  if (parts.length > 1) {
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
  }
  return { part: { format, textBytes, buffers: buffers.length }, bytes };
}

/** The id of the bundle whose first task has that id. */
export function bundleId(id: string): string {
  return id.replace(".", ".b");
}

/** Whether an id is a bundle's. */
export function isBundleId(id: string): boolean {
  return id.includes(".b");
}

/** The id of a task of that number, in the session of another task or bundle. */
export function siblingId(id: string, n: number): string {
  return `${id.slice(0, id.indexOf(".") + 1)}${n}`;
}

// ------------------------------------------------------------------- starts

/** The entry of a task in the bucket of starts. */
export type Start =
  | {
    /** A node has started it. */
    readonly state: "started";
    readonly node: string;
    /** Which delivery of the task it was, from 1. */
    readonly attempt: number;
    /** Drawn by lot when the node started: another of that name is another node. */
    readonly life: string;
  }
  /** The caller has cancelled it before any node started it. */
  | { readonly state: "cancelled" }
  /** The caller has stopped it, or it is over: nobody is to start it again. */
  | { readonly state: "stopped" };

/** Writes an entry. */
export function writeStart(start: Start): Uint8Array {
  return encoder.encode(JSON.stringify(start));
}

/**
 * Reads an entry; `undefined` where it was removed.
 *
 * @throws {SyntaxError} If it is none.
 */
export function readStart(bytes: Uint8Array): Start | undefined {
  return bytes.length === 0 ? undefined : JSON.parse(decoder.decode(bytes));
}
