/**
 * The entry module of a worker process.
 *
 * Whoever starts a process waits for its first result, so the order counts: the
 * manager is told to send the first task while this thread starts the other
 * one, which boots while the task runs already.
 *
 * @module
 */

import { ChildMemory } from "./_child_memory.ts";
import { describeError } from "./_describe.ts";
import { FrameReader } from "./_frames.ts";
import { guardRealm } from "./_guards.ts";
import { ProcessLoop } from "./_process_loop.ts";
import { INTERRUPTS, PROTOCOL_VERSION } from "./_process_protocol.ts";
import type { ReaderBoot } from "./_process_reader.ts";
import { SegmentWriter } from "./_segments.ts";
import type { SyncWriter } from "./_sync_writer.ts";

// As early as can be: an interrupt must not end this process, see
// `_process_protocol.ts`. Before that the manager starts another. Tasks cannot take the listener away, as they do not get
// hold of it; theirs are called as well. It takes 0.3 ms, and no permission
// (Deno 2.9.6).
for (const signal of INTERRUPTS) Deno.addSignalListener(signal, ignore);

function ignore(): void {}

const PIECE_BYTES = 1 << 16;
const LINE_FEED = 0x0a;

/** Waits for the next piece on stdin. */
function readPiece(): Uint8Array {
  const piece = new Uint8Array(PIECE_BYTES);
  const length = Deno.stdin.readSync(piece);
  if (length === null) Deno.exit(0); // the parent is gone already
  return piece.subarray(0, length);
}

/** Reads the manager's first frame; returns the token, and what came after the frame. */
function readHello(): { token: string; rest: Uint8Array } {
  const frames = new FrameReader();
  const piece = readPiece(); // a short frame that was written in one go
  frames.push(piece);
  const { header } = frames.next() ?? { header: [] };
  const [tag, , version, token] = header;
  if (tag !== "hello" || version !== PROTOCOL_VERSION) {
    throw new Error(
      `Cannot work for this pool as it must speak version ${PROTOCOL_VERSION}: received ${
        JSON.stringify(header)
      }`,
    );
  }
  const rest = piece.subarray(piece.indexOf(LINE_FEED) + 1);
  return { token: token as string, rest };
}

/** Taken before tasks can put something else there. */
const writeStdout = Deno.stdout.writeSync.bind(Deno.stdout);
const writeStderr = Deno.stderr.writeSync.bind(Deno.stderr);

/** The way to the manager, without which this process is of no use. */
const toManager: SyncWriter = {
  writeSync(bytes) {
    try {
      return writeStdout(bytes);
    } catch (error) {
      if (error instanceof Deno.errors.WouldBlock) throw error;
      if (!(error instanceof Deno.errors.BrokenPipe)) { // else nobody is there
        // deno-lint-ignore no-console -- the manager shows the last lines
        console.error(
          `Cannot write to the pool as stdout must be open: ${
            describeError(error)
          }`,
        );
      }
      Deno.exit(1);
    }
  },
};

/** The way on which marks go; who has closed stderr does without. */
const toStderr: SyncWriter = {
  writeSync(bytes) {
    try {
      return writeStderr(bytes);
    } catch (error) {
      if (error instanceof Deno.errors.WouldBlock) throw error;
      return bytes.length;
    }
  },
};

function giveUp(error: unknown): never {
  // deno-lint-ignore no-console -- the manager shows the last lines
  console.error("Cannot go on as the worker failed in its own code:", error);
  Deno.exit(1);
}

const { token, rest } = readHello();
const stdout = new SegmentWriter(toManager, token);
stdout.write("hello", PROTOCOL_VERSION);
const memory = new ChildMemory();
const reader = new Worker(new URL("./_process_reader.ts", import.meta.url), {
  type: "module",
  name: "reader",
});
// The reader takes over after this piece, in which the first task is.
const first = rest.length > 0 ? rest : readPiece();
memory.put(first);
const boot: ReaderBoot = { memory: memory.buffer, token, first };
reader.postMessage(boot);

const loop = new ProcessLoop(
  memory,
  stdout,
  new SegmentWriter(toStderr, token),
);
guardRealm((what, error) => loop.onStray(what, error));
// No part of it ends without a word, whatever it was.
loop.run().catch(giveUp);
reader.onerror = (event) => giveUp(event.message);
