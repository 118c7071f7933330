import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import type { Payload } from "../_codec.ts";
import { FrameReader } from "../_frames.ts";
import { Format } from "../_layout.ts";
import { FrameError, readFromChild } from "../_process_protocol.ts";
import {
  makeToken,
  READER_STREAM,
  SEGMENT_BYTES,
  SegmentReader,
  SegmentWriter,
  STREAMS,
  TOKEN_BYTES,
} from "../_segments.ts";
import { writeAll } from "../_sync_writer.ts";
import { bytes } from "./_values.ts";

const TOKEN = "0123456789ab";
const OTHER = "0123456789ac";
const HEAD_BYTES = 1 + TOKEN_BYTES + 1 + 4;
const BODY_BYTES = SEGMENT_BYTES - HEAD_BYTES - 1;
const NOTHING = new Uint8Array();

function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(
    parts.reduce((sum, { length }) => sum + length, 0),
  );
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Cuts bytes at these places; a place may come twice, which gives an empty piece. */
function cut(all: Uint8Array, places: readonly number[]): Uint8Array[] {
  const ends = [
    ...places.map((place) => place % (all.length + 1)),
    all.length,
  ].sort((a, b) => a - b);
  return ends.map((end, i) => all.slice(ends[i - 1] ?? 0, end));
}

/** A segment as literal bytes. */
function makeSegment(
  body: string,
  digits?: string,
  token = TOKEN,
  stream = "0",
) {
  const { length } = encode(body);
  const lengthText = digits ?? length.toString(16).padStart(4, "0");
  return encode(`\x1e${token}${stream}${lengthText}${body}\n`);
}

/** Keeps what is written, write by write. */
class Target {
  readonly writes: Uint8Array[] = [];
  writeSync(piece: Uint8Array): number {
    this.writes.push(piece.slice());
    return piece.length;
  }
}

/** What a reader made of pieces: output and frames' bytes, each run of a kind as one. */
interface Heard {
  readonly output: Uint8Array;
  readonly frames: Uint8Array;
  /** In order; `o` for output, `f` for frames. */
  readonly parts: (readonly ["o" | "f", Uint8Array])[];
}

function read(pieces: readonly Uint8Array[], token = TOKEN): Heard {
  const parts: ["o" | "f", Uint8Array][] = [];
  const hear = (kind: "o" | "f") => (piece: Uint8Array) => {
    assert(piece.length > 0);
    const last = parts.at(-1);
    if (last?.[0] === kind) last[1] = concat(last[1], piece);
    else parts.push([kind, piece.slice()]);
  };
  const reader = new SegmentReader(token, {
    onOutput: hear("o"),
    onFrames: hear("f"),
  });
  for (const piece of pieces) reader.push(piece);
  reader.end();
  const of = (kind: "o" | "f") =>
    concat(...parts.filter(([k]) => k === kind).map(([, part]) => part));
  return { output: of("o"), frames: of("f"), parts };
}

function plain(length: number): Payload {
  return {
    format: Format.PLAIN,
    text: "1".repeat(length),
    buffers: [],
    moved: [],
  };
}

// ------------------------------------------------------------------ tokens

Deno.test("makeToken() gives another token of TOKEN_BYTES characters each time", () => {
  const tokens = Array.from({ length: 100 }, makeToken);
  assertEquals(new Set(tokens).size, 100);
  for (const token of tokens) {
    assert(/^[0-9a-f]+$/.test(token), token);
    assertEquals(token.length, TOKEN_BYTES);
  }
});

// ----------------------------------------------------------------- writing

Deno.test("SegmentWriter.write() writes one segment: separator, token, stream, length, frame", () => {
  const target = new Target();
  new SegmentWriter(target, TOKEN).write("recalled", 3, 9);
  assertEquals(target.writes, [
    encode('\x1e0123456789ab00013["recalled",0,3,9]\n\n'),
  ]);
});

Deno.test("SegmentWriter.writePayload() fills segments, each a write of its own", () => {
  for (let length = BODY_BYTES - 60; length < BODY_BYTES + 20; length++) {
    const target = new Target();
    new SegmentWriter(target, TOKEN).writePayload("died", [], plain(length), [
      0,
    ]);
    const header = `["died",${length},1,${length},0,0]\n`;
    const whole = header.length + length;
    assertEquals(
      target.writes.map((write) => write.length),
      whole <= BODY_BYTES
        ? [HEAD_BYTES + whole + 1]
        : [SEGMENT_BYTES, HEAD_BYTES + whole - BODY_BYTES + 1],
    );
    assertEquals(
      read(target.writes).frames,
      encode(header + "1".repeat(length)),
    );
  }
});

Deno.test("SegmentWriter.writePayload() writes text of any length as UTF-8", () => {
  for (const unit of ["x", "é", "€", "😀", "\ud800"]) {
    for (let count = 0; count < 140; count++) {
      const text = unit.repeat(count);
      const target = new Target();
      const writer = new SegmentWriter(target, TOKEN);
      const payload = { ...plain(0), text };
      writer.writePayload("returned", [2 ** 32 - 1], payload, [2 ** 31 - 1]);
      writer.write("serving");
      const { length } = encode(text);
      const header =
        `["returned",${length},4294967295,1,${length},0,2147483647]\n`;
      assertEquals(
        read(target.writes).frames,
        encode(`${header}${text}["serving",0]\n`),
      );
    }
  }
});

Deno.test("SegmentWriter goes on with the next frame in a segment of its own", () => {
  const target = new Target();
  const writer = new SegmentWriter(target, TOKEN);
  // ends with its segment, so that nothing is left to flush
  const header = '["died",0000,1,0000,0]\n'.length;
  writer.writePayload("died", [], plain(BODY_BYTES - header), []);
  writer.write("serving");
  writer.write("mark", 1);
  assertEquals(target.writes.slice(-2), [
    makeSegment('["serving",0]\n'),
    makeSegment('["mark",0,1]\n'),
  ]);
});

Deno.test("two SegmentWriters on one pipe: a frame in the midst of another's segments comes out whole", () => {
  // As the two threads of a child do: one recalls while the other writes a large outcome.
  const pipe: Uint8Array[] = [];
  const reader = new SegmentWriter(
    {
      writeSync: (piece) => pipe.push(piece.slice()) && piece.length,
    },
    TOKEN,
    READER_STREAM,
  );
  const main = new SegmentWriter({
    writeSync(piece) {
      pipe.push(piece.slice());
      if (pipe.length === 2) reader.write("recalled", 1, 2);
      return piece.length;
    },
  }, TOKEN);
  main.writePayload("returned", [0], plain(SEGMENT_BYTES * 4), [0]);
  main.write("serving");
  const frames = Array.from({ length: STREAMS }, () => new FrameReader());
  const tags: string[] = [];
  const segments = new SegmentReader(TOKEN, {
    onOutput: () => {},
    onFrames: (piece, stream) => {
      frames[stream].push(piece);
      for (let frame; (frame = frames[stream].next()) !== undefined;) {
        const { tag } = readFromChild(frame.header, frame.bytes);
        tags.push(tag);
        if (tag !== "returned") continue;
        assert(
          frame.bytes.every((byte) => byte === 0x31),
          "bytes of another frame are among those of the outcome",
        );
      }
    },
  });
  for (const piece of pipe) segments.push(piece);
  assertEquals(tags.toSorted(), ["recalled", "returned", "serving"]);
});

Deno.test("SegmentReader.push() throws when a segment is of a stream that there is not", () => {
  for (const stream of ["2", "9", "a", "\x1e"]) {
    assertThrows(
      () => read([makeSegment("[1]", undefined, TOKEN, stream)]),
      FrameError,
      "a segment must be of stream 0 to 1",
    );
  }
});

// ---------------------------------------------------------------- writeAll

/** Takes some bytes of each write, or refuses to; `plan` says which. */
class Balky {
  readonly writes: Uint8Array[] = [];
  readonly #plan: number[];
  constructor(plan: readonly number[]) {
    this.#plan = [...plan];
  }
  writeSync(piece: Uint8Array): number {
    const next = this.#plan.shift() ?? piece.length;
    if (next === 0) throw new Deno.errors.WouldBlock("try again");
    const length = Math.min(next, piece.length);
    this.writes.push(piece.slice(0, length));
    return length;
  }
  get all(): Uint8Array {
    return concat(...this.writes);
  }
  get isDone(): boolean {
    return this.#plan.length === 0;
  }
}

Deno.test("writeAll() writes all bytes where the target takes some, or none just now", () => {
  for (const plan of [[1], [3, 3], [0], [0, 5, 0, 0, 1], [10], [9, 0, 1]]) {
    const target = new Balky(plan);
    writeAll(target, bytes(10));
    assertEquals(target.all, bytes(10));
    assert(target.isDone);
  }
});

Deno.test("writeAll() of nothing does not write", () => {
  const target = new Target();
  writeAll(target, NOTHING);
  assertEquals(target.writes, []);
});

Deno.test("writeAll() throws what the target throws", () => {
  const error = new Deno.errors.BrokenPipe("nobody reads");
  let calls = 0;
  const target = {
    writeSync(): number {
      calls++;
      throw error;
    },
  };
  assertThrows(() => writeAll(target, bytes(10)), Deno.errors.BrokenPipe);
  assertEquals(calls, 1);
});

Deno.test("SegmentWriter on a target that takes some bytes, or none just now: all come in order", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          { weight: 9, arbitrary: fc.integer({ min: 1, max: SEGMENT_BYTES }) },
          { weight: 1, arbitrary: fc.constant(0) },
        ),
        { maxLength: 12 },
      ),
      fc.nat(BODY_BYTES * 3),
      (plan, length) => {
        const balky = new Balky(plan), smooth = new Target();
        for (const target of [balky, smooth]) {
          const writer = new SegmentWriter(target, TOKEN);
          writer.writePayload("returned", [1], plain(length), [0]);
          writer.write("serving");
        }
        assertEquals(balky.all, concat(...smooth.writes));
      },
    ),
    { numRuns: 100 },
  );
});

// ----------------------------------------------------------------- reading

Deno.test("SegmentReader tells frames from output, in order", () => {
  const { parts } = read([concat(
    encode("a\n"),
    makeSegment("[1]"),
    makeSegment("[2]"),
    encode("b"),
    makeSegment("[3]"),
    encode("\x1e"),
  )]);
  assertEquals(parts, [
    ["o", encode("a\n")],
    ["f", encode("[1][2]")],
    ["o", encode("b")],
    ["f", encode("[3]")],
    ["o", encode("\x1e")],
  ]);
});

Deno.test("SegmentReader passes on at once what cannot begin a segment", () => {
  const heard: string[] = [];
  const reader = new SegmentReader(TOKEN, {
    onOutput: (piece) => heard.push(new TextDecoder().decode(piece)),
    onFrames: (piece) => heard.push(`f:${new TextDecoder().decode(piece)}`),
  });
  for (const piece of ["abc", "\x1ex", "d\x1e0123", "4x", "\x1e"]) {
    reader.push(encode(piece));
  }
  assertEquals(heard, ["abc", "\x1ex", "d", "\x1e01234x"]);
  reader.push(makeSegment("[1]").slice(1, 15));
  assertEquals(heard.length, 4);
  reader.push(makeSegment("[1]").slice(15, -2));
  assertEquals(heard.slice(4), ["f:[1"]);
  reader.push(encode("]\n\n"));
  assertEquals(heard.slice(5), ["f:]", "\n"]);
  reader.end();
  assertEquals(heard.length, 7);
});

Deno.test("SegmentReader.end() gives a begun head as output, wherever it ends", () => {
  const segment = makeSegment("[1]");
  for (let length = 0; length < HEAD_BYTES; length++) {
    const begun = segment.slice(0, length);
    for (let place = 0; place <= length; place++) {
      const heard = read([encode("x"), ...cut(begun, [place])]);
      assertEquals(heard.output, concat(encode("x"), begun));
      assertEquals(heard.frames, NOTHING);
    }
  }
});

Deno.test("SegmentReader.end() in a segment gives what has come, and no more at a second time", () => {
  const heard: string[] = [];
  const reader = new SegmentReader(TOKEN, {
    onOutput: () => heard.push("o"),
    onFrames: () => heard.push("f"),
  });
  reader.push(makeSegment("[1]").slice(0, -1));
  reader.end();
  assertEquals(heard, ["f"]);
  const other = new SegmentReader(TOKEN, {
    onOutput: () => heard.push("o"),
    onFrames: () => heard.push("f"),
  });
  other.push(encode("\x1e0"));
  other.end();
  other.end();
  assertEquals(heard, ["f", "o"]);
});

Deno.test("SegmentReader takes a segment with another token for output", () => {
  for (const token of [OTHER, "1".repeat(12), TOKEN.toUpperCase()]) {
    const forged = makeSegment("[1]", undefined, token);
    for (let place = 0; place <= forged.length; place++) {
      const heard = read(cut(forged, [place]));
      assertEquals(heard.parts, [["o", forged]]);
    }
  }
});

Deno.test("SegmentReader finds a segment right after what nearly was one", () => {
  const segment = makeSegment("[1]");
  for (let length = 1; length <= TOKEN_BYTES; length++) {
    const near = segment.slice(0, length);
    const all = concat(near, segment);
    for (let place = 0; place <= all.length; place++) {
      assertEquals(read(cut(all, [place])).parts, [
        ["o", near],
        ["f", encode("[1]")],
      ]);
    }
  }
});

Deno.test("SegmentReader refuses a length that no segment has, wherever it is cut", () => {
  const tooLong = (BODY_BYTES + 1).toString(16).padStart(4, "0");
  const wrong = ["0000", tooLong, "ffff", "00FF", "0x10", " 100", "-001"];
  for (const digits of [...wrong, "1e1\x1e", "00:0", "00/0", "00g0", "00`0"]) {
    const forged = makeSegment("[1]", digits);
    for (let place = 0; place <= forged.length; place++) {
      const error = assertThrows(
        () => read(cut(forged, [place])),
        FrameError,
        `have 1 to ${BODY_BYTES} bytes: received ${
          JSON.stringify(`0${digits}`)
        }`,
      );
      assert(error.message.length < 200);
    }
  }
});

Deno.test("SegmentReader takes segments of 1 to BODY_BYTES bytes", () => {
  for (const length of [1, 9, 10, 15, 16, 255, 256, BODY_BYTES]) {
    const body = "1".repeat(length);
    assertEquals(read([makeSegment(body)]).frames, encode(body));
  }
});

// -------------------------------------------------------------- properties

type Event =
  | { readonly output: Uint8Array }
  | { readonly tag: string; readonly numbers: number[] }
  | { readonly text: string; readonly buffers: Uint8Array[] };

const nearToken = fc.integer({ min: 0, max: TOKEN_BYTES }).map((length) =>
  encode("\x1e" + TOKEN).slice(0, length)
);

const output: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 30 }),
  fc.array(
    fc.oneof(
      nearToken,
      fc.constant(encode("\x1e")),
      fc.constant(makeSegment("[1]", undefined, OTHER)),
      fc.constant(encode(TOKEN)),
      fc.constant(encode("line\n")),
      fc.uint8Array({ maxLength: 3 }),
    ),
    { maxLength: 6 },
  ).map((parts) => concat(...parts)),
);

/** Around the sizes at which a segment is full. */
const size = fc.oneof(
  fc.nat(50),
  fc.integer({ min: BODY_BYTES - 60, max: BODY_BYTES + 5 }),
  fc.integer({ min: BODY_BYTES * 2 - 60, max: BODY_BYTES * 2 + 5 }),
  fc.constant(BODY_BYTES * 9),
);

const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({ output }),
  fc.record({
    tag: fc.constantFrom("mark", "recalled", "serving"),
    numbers: fc.array(fc.nat(), { maxLength: 2 }),
  }),
  fc.record({
    text: size.map((length) => "x".repeat(length)),
    // bytes that look like segments, in frames
    buffers: fc.array(
      fc.oneof(
        fc.uint8Array({ maxLength: 20 }),
        fc.constant(makeSegment("[9]")),
        size.map(bytes),
      ),
      { maxLength: 3 },
    ),
  }),
);

/** Writes events as a child does, others' output too. Returns all writes. */
function writeEvents(events: readonly Event[]): {
  writes: Uint8Array[];
  /** Which of the writes are the writer's. */
  own: Set<Uint8Array>;
} {
  const target = new Target();
  const writer = new SegmentWriter(target, TOKEN);
  const own = new Set<Uint8Array>();
  for (const event of events) {
    const { length } = target.writes;
    if ("output" in event) {
      target.writeSync(event.output);
      continue;
    }
    if ("tag" in event) writer.write(event.tag, ...event.numbers);
    else {
      const { text, buffers } = event;
      const payload = { format: Format.RICH, text, buffers, moved: [] };
      writer.writePayload("returned", [1], payload, [0]);
    }
    for (const write of target.writes.slice(length)) own.add(write);
  }
  return { writes: target.writes, own };
}

/** The bytes of frames in a write, which must be one whole segment. */
function bodyOf(write: Uint8Array): Uint8Array {
  assert(write.length <= SEGMENT_BYTES, `${write.length} bytes in one write`);
  const head = new TextDecoder().decode(write.subarray(0, HEAD_BYTES));
  const length = write.length - HEAD_BYTES - 1;
  const digits = length.toString(16).padStart(4, "0");
  assertEquals(head, `\x1e${TOKEN}0${digits}`);
  assert(length > 0);
  assertEquals(write.at(-1), 0x0a); // or Deno would write it in parts
  return write.subarray(HEAD_BYTES, -1);
}

/** Pieces of output may end in what a segment's head begins with: then only the next byte tells. */
function isAmbiguous(output: Uint8Array): boolean {
  const text = Array.from(output, (b) => String.fromCharCode(b)).join("");
  return text.includes("\x1e" + TOKEN);
}

const places = fc.array(fc.nat(), { maxLength: 40 });

Deno.test("any frames and any output in any pieces: the same come out, in order", () => {
  fc.assert(
    fc.property(
      fc.array(event, { maxLength: 12 }),
      places,
      (events, places) => {
        const { writes, own } = writeEvents(events);
        const all = concat(...writes);
        // output that has the token is an attack, tested above
        const outputs = writes.filter((write) => !own.has(write));
        fc.pre(!isAmbiguous(concat(...outputs)) && !outputs.some(isAmbiguous));
        const expected: ["o" | "f", Uint8Array][] = [];
        for (const write of writes) {
          const kind = own.has(write) ? "f" : "o";
          const body = own.has(write) ? bodyOf(write) : write;
          if (body.length === 0) continue;
          const last = expected.at(-1);
          if (last?.[0] === kind) last[1] = concat(last[1], body);
          else expected.push([kind, body]);
        }
        assertEquals(read(cut(all, places)).parts, expected);
      },
    ),
    {
      numRuns: 300,
      examples: [
        // a prefix of the token, then a segment; and one more at the very end
        [[
          { output: encode("\x1e0123") },
          { tag: "mark", numbers: [1] },
          { output: encode("\x1e" + TOKEN.slice(0, 11)) },
        ], [3, 5, 6, 20]],
      ],
    },
  );
});

Deno.test("any frames through segments in any pieces: a FrameReader gives them back", () => {
  fc.assert(
    fc.property(
      fc.array(event, { maxLength: 8 }),
      places,
      (events, places) => {
        const own = events.filter((event) => !("output" in event));
        const { writes } = writeEvents(own);
        const frames = new FrameReader();
        const got: [unknown, number][] = [];
        const reader = new SegmentReader(TOKEN, {
          onOutput: () => assert(false),
          onFrames: (piece) => {
            frames.push(piece);
            for (let frame; (frame = frames.next()) !== undefined;) {
              got.push([frame.header[0], frame.bytes.length]);
              if (frame.header[0] === "returned") {
                readFromChild(frame.header, frame.bytes);
              }
            }
          },
        });
        for (const piece of cut(concat(...writes), places)) reader.push(piece);
        assert(frames.isBetweenFrames);
        assertEquals(
          got.map(([tag]) => tag),
          own.map((event) => "tag" in event ? event.tag : "returned"),
        );
      },
    ),
    { numRuns: 200 },
  );
});

Deno.test("output of somebody else between any two writes comes out whole, and breaks nothing", () => {
  fc.assert(
    fc.property(
      fc.array(event, { minLength: 1, maxLength: 6 }),
      fc.array(output, { minLength: 1, maxLength: 8 }),
      places,
      (events, others, places) => {
        const own = events.filter((event) => !("output" in event));
        const { writes } = writeEvents(own);
        const mixed = writes.flatMap((write, i) => [
          others[i % others.length],
          write,
        ]);
        mixed.push(others[0]);
        fc.pre(!others.some(isAmbiguous));
        const outputs = mixed.filter((_, i) => i % 2 === 0);
        const heard = read(cut(concat(...mixed), places));
        assertEquals(heard.frames, concat(...writes.map(bodyOf)));
        assertEquals(heard.output, concat(...outputs));
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("any bytes with the token in them: output and frames, or a FrameError, the same in any pieces", () => {
  const anything = fc.array(
    fc.oneof(
      output,
      fc.constant(encode("\x1e" + TOKEN)),
      fc.constantFrom("0001", "0003", "0fef", "0ff0", "ffff", "00").map(encode),
      fc.constant(makeSegment("[1]")),
    ),
    { maxLength: 10 },
  ).map((parts) => concat(...parts));
  const outcome = (pieces: readonly Uint8Array[]) => {
    const output: number[] = [], frames: number[] = [];
    const reader = new SegmentReader(TOKEN, {
      onOutput: (piece) => output.push(...piece),
      onFrames: (piece) => frames.push(...piece),
    });
    try {
      for (const piece of pieces) reader.push(piece);
      reader.end();
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      return { output, frames, message: error.message };
    }
    return { output, frames };
  };
  let refused = 0;
  fc.assert(
    fc.property(anything, places, (all, places) => {
      const whole = outcome([all]);
      if ("message" in whole) refused++;
      assertEquals(outcome(cut(all, places)), whole);
    }),
    { numRuns: 500 },
  );
  assert(refused > 20, `${refused} were refused`);
});
