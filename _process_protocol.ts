/**
 * The pipe protocol between a pool's manager and its worker processes.
 *
 * ```text
 *             stdin: frames                        stdout: segments of frames, and output
 * manager ---------------------> reader thread    <--------------------- main thread (tasks)
 * (a thread of the parent)             |                                 reader thread
 *                                      v shared memory                   grandchildren
 *                                 main thread
 * ```
 *
 * **Parties.** The manager starts the child, speaks first, and ends it. In the
 * child one thread reads, so that it notices a recall and the parent's death
 * while the other is busy with a task; both write, as does anybody who inherits
 * the pipe.
 *
 * **Frames**, both ways: a header, then bytes.
 *
 * ```text
 * ["returned",2,17,1,2,0,0] LF  42
 *   tag    ^bytes that follow     payload: UTF-8 text, buffers beside it (_bytes.ts)
 * ```
 *
 * The header is a JSON array in UTF-8, of `MAX_HEADER_BYTES` at the most; its
 * first item is the tag, its second how many bytes follow the line feed, of
 * which there are `MAX_FRAME_BYTES` at the most. Binary data is never text.
 *
 * **Segments**, from the child alone: what shares the pipe with output comes in
 * pieces that the system writes in one go, whoever else writes meanwhile
 * (`_segments.ts`). All that is no segment is output, and is passed on.
 *
 * | to the child   | after the tag and the length                          | bytes                    | when                        | answer                |
 * | -------------- | ----------------------------------------------------- | ------------------------ | --------------------------- | --------------------- |
 * | `"hello"`      | version, token                                        |                          | first, once                 | `"hello"`             |
 * | `"initialize"` | format, bytes of text, buffers, bytes of payload      | payload, definition      | second, if at all           | `"serving"`, `"unfit"` |
 * | `"serve"`      |                                                       |                          | before the first task       | `"serving"`           |
 * | `"define"`     | number of the callable                                | definition               | before a task calls it      |                       |
 * | `"run"`        | for each task: callable, format, bytes of text, buffers, bytes of payload | payloads one by one | a task, or more sent ahead  | an outcome each       |
 * | `"recall"`     |                                                       |                          | tasks were sent ahead       | `"recalled"`          |
 * | `"end"`        |                                                       |                          | last                        | exit                  |
 *
 * | from the child | after the tag and the length                          | bytes   | what it says                                     |
 * | -------------- | ----------------------------------------------------- | ------- | ------------------------------------------------ |
 * | `"hello"`      | version                                               |         | it runs, and speaks this protocol                |
 * | `"serving"`    |                                                       |         | the initializer is through                       |
 * | `"unfit"`      | format, bytes of text, buffers                        | payload | the initializer failed with `[why, cause]`       |
 * | `"returned"`   | task, format, bytes of text, buffers, mark            | payload | the call's value; of a chunk, all values         |
 * | `"threw"`      | the same                                              | payload | what the call threw                              |
 * | `"part"`       | the same                                              | payload | of a chunk: the values before a failing one, its error |
 * | `"died"`       | format, bytes of text, buffers                        | payload | it exits, as `[why, cause]` says                 |
 * | `"started"`    | task                                                  |         | a task has begun whose time is limited           |
 * | `"timed"`      | task, start in µs since 1970, µs from there to the end |        | when the task ran whose outcome comes next, where that is asked for |
 * | `"recalled"`   | first task, task after the last                       |         | these will not be started                        |
 * | `"mark"`       | number                                                |         | on stderr: what a task printed there comes before |
 *
 * **Order.** Tasks are numbered from 0 in the order in which they are sent,
 * each child by itself, and are run in that order, one at a time. So an outcome
 * is that of the first task without one, and a frame that says otherwise is
 * refused. An outcome is written before the next task is begun: of a child that
 * dies, only the first task without an outcome can have been started.
 *
 * **Recalls.** One word in the child's shared memory, `CLAIM`, is the number of
 * the next task to begin. The main thread begins task `n` by moving it from `n`
 * to `n + 1`, the reader takes all back that was sent by moving it past them:
 * each with one `compareExchange`, so of two that want a task one gets it.
 *
 * **Endings.** End of stdin, however it comes about: the child exits, at once
 * where it is idle, else within `GRACE_MS`, by a signal to itself. End of stdout
 * between frames or inside one, an exit, a signal: the child has died; its first
 * task without an outcome fails. A frame that breaks any of these rules: the
 * child is killed and the pool is broken, with what came in the message.
 *
 * **Interrupts.** Ctrl-C and a terminal's end send a signal (`INTERRUPTS`) to the
 * parent, the children and the processes that tasks have started, all at once.
 * Whether that is the end is the parent's decision alone, as it may have a
 * listener: the child lives on, and so does its task. If the parent dies of it,
 * stdin ends, and a busy child that has seen the signal exits within
 * `INTERRUPTED_GRACE_MS`. A child that dies of it before `"hello"`, as it could
 * not listen yet, is replaced.
 *
 * **Reasons.** JSON, so that a person can read what goes on; lengths, so that
 * the manager copies payloads without a look inside.
 *
 * @module
 */

import { measurePayload } from "./_bytes.ts";
import { Format } from "./_layout.ts";
import type { Payload } from "./_payload.ts";
import { SerializationError } from "./errors.ts";

/** Changes with every change of what is written above. */
export const PROTOCOL_VERSION = 2;

/** Largest header, its line feed not counted. */
export const MAX_HEADER_BYTES = 1 << 16;

/** Largest count of bytes that follow a header. */
export const MAX_FRAME_BYTES = 2 ** 30;

/** How long a busy child goes on after the end of its stdin. */
export const GRACE_MS = 1_000;

/** The same where it was interrupted: as long as a task's own listener may need. */
export const INTERRUPTED_GRACE_MS = 100;

/** What a terminal sends to all processes of a program; on Windows not tried. */
export const INTERRUPTS: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK"]
  : ["SIGINT", "SIGHUP"];

/** Bytes of frames that the child takes in while its main thread is busy. */
export const AHEAD_BYTES = 1 << 19;

/** Numbers for each task in a `"run"` frame. */
export const RUN_NUMBERS = 5;

/** How a payload lies in the bytes of a frame. */
export interface PayloadShape {
  readonly format: number;
  readonly textBytes: number;
  readonly buffers: number;
}

/** An outcome's tag. */
export type OutcomeTag = "returned" | "threw" | "part";

/** A frame from the child, checked. */
export type FromChild =
  | { readonly tag: "hello"; readonly version: number }
  | { readonly tag: "serving" }
  | ({ readonly tag: "unfit" | "died" } & PayloadShape)
  | ({
    readonly tag: OutcomeTag;
    readonly task: number;
    /** Number of the mark on stderr that comes first; 0 for none. */
    readonly mark: number;
  } & PayloadShape)
  /** A task has begun whose time is limited. */
  | { readonly tag: "started"; readonly task: number }
  /** When a task ran, of those that are timed. */
  | {
    readonly tag: "timed";
    readonly task: number;
    readonly startMicros: number;
    readonly runMicros: number;
  }
  | { readonly tag: "recalled"; readonly from: number; readonly to: number }
  | { readonly tag: "mark"; readonly mark: number };

/** What a peer sent is no frame of this protocol. */
export class FrameError extends Error {
  override name = "FrameError";
}

/**
 * Checks that a payload fits into a frame.
 *
 * @throws {SerializationError} If it does not.
 */
export function checkSize({ text, buffers }: Payload, what: string): void {
  let bytes = 64; // for what lies between
  for (const { byteLength } of buffers) bytes += byteLength + 12;
  // A UTF-16 unit takes three bytes of UTF-8 at the most.
  if (bytes + text.length * 3 > MAX_FRAME_BYTES) {
    bytes += new TextEncoder().encode(text).length;
    if (bytes > MAX_FRAME_BYTES) {
      throw new SerializationError(
        `Cannot send ${what} as it must be smaller than ${MAX_FRAME_BYTES} bytes to travel between processes: received ${bytes}; send it in parts, or by a file`,
      );
    }
  }
}

/** A header, as both ends write it; strings are words that need no escape. */
export function makeHeader(
  tag: string,
  bytes: number,
  ...rest: (string | number)[]
): string {
  let header = `["${tag}",${bytes}`;
  for (const item of rest) {
    header += typeof item === "number" ? `,${item}` : `,"${item}"`;
  }
  return header + "]\n";
}

/**
 * Reads a header that a child sent, and checks it against the bytes that follow.
 *
 * @throws {FrameError} If it is none.
 */
export function readFromChild(
  header: readonly unknown[],
  bytes: Uint8Array,
): FromChild {
  const frame = parseFromChild(header);
  if (frame === undefined) {
    throw new FrameError(
      `the frame must be one that a worker sends: received ${show(header)}`,
    );
  }
  if ("format" in frame) checkShape(frame, header, bytes);
  else if (bytes.length > 0) {
    throw new FrameError(`no bytes must follow the frame ${show(header)}`);
  }
  return frame;
}

function parseFromChild(header: readonly unknown[]): FromChild | undefined {
  for (let i = 2; i < header.length; i++) {
    if (!Number.isInteger(header[i]) || header[i] as number < 0) {
      return undefined;
    }
  }
  const [tag, , a, b, c, d, e] = header as [string, ...number[]];
  const count = header.length - 2;
  switch (tag) {
    case "returned":
    case "threw":
    case "part":
      return count === 5
        ? { tag, task: a, format: b, textBytes: c, buffers: d, mark: e }
        : undefined;
    case "unfit":
    case "died":
      return count === 3
        ? { tag, format: a, textBytes: b, buffers: c }
        : undefined;
    case "hello":
      return count === 1 ? { tag, version: a } : undefined;
    case "serving":
      return count === 0 ? { tag } : undefined;
    case "started":
      return count === 1 ? { tag, task: a } : undefined;
    case "timed":
      return count === 3
        ? { tag, task: a, startMicros: b, runMicros: c }
        : undefined;
    case "recalled":
      return count === 2 ? { tag, from: a, to: b } : undefined;
    case "mark":
      return count === 1 ? { tag, mark: a } : undefined;
    default:
      return undefined;
  }
}

/** Checks that the bytes are as long as the text and the buffers in them say. */
function checkShape(
  shape: PayloadShape,
  header: readonly unknown[],
  bytes: Uint8Array,
): void {
  const { format, textBytes, buffers } = shape;
  const isKnown = format === Format.EMPTY || format === Format.PLAIN ||
    format === Format.RICH;
  const length = measurePayload(bytes, 0, textBytes, buffers);
  if (!isKnown || length !== bytes.length) {
    throw new FrameError(
      `the ${bytes.length} bytes that follow must be as the frame says: received ${
        show(header)
      }`,
    );
  }
}

/** The beginning of what came, for a message. */
export function show(received: unknown): string {
  const text = JSON.stringify(received);
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
}
