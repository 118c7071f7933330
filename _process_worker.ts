/**
 * The entry module of a worker process.
 *
 * @module
 */

import { guardRealm } from "./_guards.ts";
import { ProcessLoop } from "./_process_loop.ts";
import { FrameReader } from "./_frames.ts";
import { ChildMemory } from "./_child_memory.ts";
import { PROTOCOL_VERSION } from "./_process_protocol.ts";
import type { ReaderBoot } from "./_process_reader.ts";
import { SegmentWriter } from "./_segments.ts";

const PIECE_BYTES = 1 << 16;

/** Reads the manager's first frame; returns the token and what came after it. */
function readHello(): { token: string; rest: Uint8Array } {
  const frames = new FrameReader();
  let rest = new Uint8Array();
  for (;;) {
    const piece = new Uint8Array(PIECE_BYTES);
    const length = Deno.stdin.readSync(piece);
    if (length === null) Deno.exit(0); // the parent is gone already
    const both = new Uint8Array(rest.length + length);
    both.set(rest);
    both.set(piece.subarray(0, length), rest.length);
    rest = both;
    frames.push(piece.subarray(0, length));
    const hello = frames.next();
    if (hello === undefined) continue;
    const [tag, , version, token] = hello.header;
    if (tag !== "hello" || version !== PROTOCOL_VERSION) {
      throw new Error(
        `Cannot work for this pool as it must speak version ${PROTOCOL_VERSION}: received ${
          JSON.stringify(hello.header)
        }`,
      );
    }
    const end = rest.indexOf(0x0a) + 1;
    return { token: token as string, rest: rest.subarray(end) };
  }
}

const { token, rest } = readHello();
const memory = new ChildMemory();
const reader = new Worker(new URL("./_process_reader.ts", import.meta.url), {
  type: "module",
  name: "reader",
});
const boot: ReaderBoot = { memory: memory.buffer, token, rest };
reader.postMessage(boot);

const loop = new ProcessLoop(
  memory,
  new SegmentWriter(Deno.stdout, token),
  new SegmentWriter(Deno.stderr, token),
);
guardRealm((what, error) => loop.onStray(what, error));
loop.run();
