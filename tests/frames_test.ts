import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import fc from "fast-check";
import { type Frame, FrameReader } from "../_frames.ts";
import {
  FrameError,
  makeHeader,
  MAX_FRAME_BYTES,
  MAX_HEADER_BYTES,
} from "../_process_protocol.ts";
import { bytes } from "./_values.ts";

const NOTHING = new Uint8Array();

/** What a frame reader allocates ahead at the most: memory that costs nothing before it is filled. */
const AHEAD_BYTES = 1 << 27;

function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** A frame with this tag, these numbers in its header, these bytes. */
function makeFrame(tag: string, body: Uint8Array, ...rest: number[]) {
  return concat(encode(makeHeader(tag, body.length, ...rest)), body);
}

/** Takes all frames that a reader has. */
function takeAll(reader: FrameReader): Frame[] {
  const frames: Frame[] = [];
  for (let frame; (frame = reader.next()) !== undefined;) frames.push(frame);
  return frames;
}

/** Takes all frames out of pieces. */
function readPieces(
  pieces: readonly Uint8Array[],
  reader = new FrameReader(),
): Frame[] {
  return pieces.flatMap((piece) => {
    reader.push(piece);
    return takeAll(reader);
  });
}

/** Cuts bytes at these places; a place may come twice, which gives an empty piece. */
function cut(all: Uint8Array, places: readonly number[]): Uint8Array[] {
  const ends = [
    ...places.map((place) => place % (all.length + 1)),
    all.length,
  ].sort((a, b) => a - b);
  return ends.map((end, i) => all.slice(ends[i - 1] ?? 0, end));
}

// ------------------------------------------------------------ what comes out

Deno.test("FrameReader.next() gives frames from one piece, then nothing", () => {
  const reader = new FrameReader();
  assertEquals(reader.next(), undefined);
  reader.push(concat(
    makeFrame("a", NOTHING),
    makeFrame("b", bytes(3), 1, 2),
    makeFrame("c", NOTHING),
  ));
  assertEquals(takeAll(reader), [
    { header: ["a", 0], bytes: NOTHING },
    { header: ["b", 3, 1, 2], bytes: bytes(3) },
    { header: ["c", 0], bytes: NOTHING },
  ]);
  assertEquals(reader.next(), undefined);
});

Deno.test("FrameReader.next() gives the same frames wherever two cuts are", () => {
  const body = Uint8Array.of(0x0a, 0x5b, 0x22, 0x0a, 0xff, 0x1e);
  const all = concat(
    makeFrame("é", body, 7),
    makeFrame("b", NOTHING),
    makeFrame("c", body),
  );
  const expected = [
    { header: ["é", 6, 7], bytes: body },
    { header: ["b", 0], bytes: NOTHING },
    { header: ["c", 6], bytes: body },
  ];
  for (let first = 0; first <= all.length; first++) {
    for (let second = first; second <= all.length; second++) {
      assertEquals(readPieces(cut(all, [first, second])), expected);
    }
  }
});

Deno.test("FrameReader.next() gives a frame once its last byte has come, byte by byte", () => {
  const all = makeFrame("a", bytes(20), 5);
  const reader = new FrameReader();
  for (const [i, byte] of all.entries()) {
    reader.push(Uint8Array.of(byte));
    const frames = takeAll(reader);
    assertEquals(frames.length, i === all.length - 1 ? 1 : 0);
    assertEquals(reader.isBetweenFrames, i === all.length - 1);
  }
});

Deno.test("FrameReader.next() gives large bytes in many pieces", () => {
  // past where memory grows, not a power of two
  const body = bytes(5_000_001);
  const all = concat(makeFrame("a", body), makeFrame("b", bytes(9)));
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < all.length; at += 65_536) {
    pieces.push(all.subarray(at, at + 65_536));
  }
  const [a, b] = readPieces(pieces);
  assertEquals(a.bytes.length, body.length);
  assert(a.bytes.every((byte, i) => byte === body[i]));
  assertEquals(b, { header: ["b", 9], bytes: bytes(9) });
});

Deno.test("FrameReader.next() leaves the bytes of earlier frames alone", () => {
  const reader = new FrameReader();
  const given: Frame[] = [];
  for (let n = 0; n < 50; n++) {
    const all = makeFrame("a", new Uint8Array(100).fill(n));
    given.push(...readPieces(cut(all, [30 + n]), reader));
  }
  assertEquals(
    given.map((frame) => frame.bytes),
    given.map((_, n) => new Uint8Array(100).fill(n)),
  );
  assertEquals(given.length, 50);
});

/** Reads a stream as the manager's child does: bytes of a large frame go where they are to be. */
function readByRoom(all: Uint8Array, sizes: readonly number[]): Frame[] {
  const reader = new FrameReader();
  const frames: Frame[] = [];
  for (let at = 0, n = 0; at < all.length; n++) {
    const part = all.slice(at, at + sizes[n % sizes.length]);
    const { room } = reader;
    if (room === undefined) {
      reader.push(part);
      at += part.length;
    } else {
      assert(room.length > 0);
      const fitting = part.subarray(0, room.length);
      room.set(fitting);
      reader.fill(fitting.length);
      at += fitting.length;
    }
    frames.push(...takeAll(reader));
  }
  assert(reader.isBetweenFrames);
  return frames;
}

Deno.test("FrameReader.room is there once bytes of a frame have come, up to its end", () => {
  const reader = new FrameReader();
  assertEquals(reader.room, undefined);
  const all = makeFrame("a", bytes(10));
  reader.push(all.subarray(0, 4));
  assertEquals([reader.next(), reader.room], [undefined, undefined]);
  reader.push(all.subarray(4, -10));
  assertEquals([reader.next(), reader.room], [undefined, undefined]);
  reader.push(all.subarray(-10, -7));
  assertEquals(reader.next(), undefined);
  assertEquals(reader.room?.length, 7);
  reader.room?.set(bytes(10).subarray(3, 5));
  reader.fill(2);
  assertEquals(reader.next(), undefined);
  assertFalse(reader.isBetweenFrames);
  assertEquals(reader.room?.length, 5);
  reader.room?.set(bytes(10).subarray(5));
  reader.fill(5);
  assertEquals(reader.next(), { header: ["a", 10], bytes: bytes(10) });
  assertEquals([reader.next(), reader.room], [undefined, undefined]);
  assert(reader.isBetweenFrames);
});

const frameList = fc.array(
  fc.record({
    tag: fc.string({ unit: "grapheme", maxLength: 8 }),
    rest: fc.array(fc.oneof(fc.nat(), fc.double(), fc.string()), {
      maxLength: 5,
    }),
    body: fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.constant(encode('["a",3]\n["b",0]\n')),
      fc.constant(bytes(5_000)),
    ),
  }),
  { maxLength: 8 },
);

const cuts = fc.array(fc.nat(), { maxLength: 30 });

/** The stream of frames, and what comes out of it. */
function makeStream(
  list: readonly {
    tag: string;
    rest: readonly (number | string)[];
    body: Uint8Array;
  }[],
): { all: Uint8Array; expected: Frame[] } {
  // any JSON, also what the protocol itself has no use for
  const headers = list.map(({ tag, rest, body }) =>
    JSON.stringify([tag, body.length, ...rest]) + "\n"
  );
  return {
    all: concat(
      ...list.flatMap(({ body }, i) => [encode(headers[i]), body]),
    ),
    expected: list.map(({ body }, i) => ({
      header: JSON.parse(headers[i]),
      bytes: body,
    })),
  };
}

Deno.test("any frames in any pieces: all come out equal, and the stream may end", () => {
  fc.assert(
    fc.property(frameList, cuts, (list, places) => {
      const { all, expected } = makeStream(list);
      const reader = new FrameReader();
      assertEquals(readPieces(cut(all, places), reader), expected);
      assert(reader.isBetweenFrames);
    }),
    { numRuns: 500 },
  );
});

Deno.test("any frames pushed or put into the room: all come out equal", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 3_000 }), {
    minLength: 1,
    maxLength: 10,
  });
  fc.assert(
    fc.property(frameList, sizes, (list, sizes) => {
      const { all, expected } = makeStream(list);
      assertEquals(readByRoom(all, sizes), expected);
    }),
    { numRuns: 500 },
  );
});

Deno.test("any frames in any pieces: a skipping reader gives the headers alone", () => {
  fc.assert(
    fc.property(frameList, cuts, (list, places) => {
      const { all, expected } = makeStream(list);
      const reader = new FrameReader({ isSkipping: true });
      assertEquals(
        readPieces(cut(all, places), reader),
        expected.map(({ header }) => ({ header, bytes: NOTHING })),
      );
      assert(reader.isBetweenFrames);
    }),
    { numRuns: 500 },
  );
});

// -------------------------------------------------------- between the frames

Deno.test("FrameReader.isBetweenFrames is true at the ends of frames alone", () => {
  const parts = [
    makeFrame("a", bytes(5)),
    makeFrame("b", NOTHING),
    makeFrame("c", bytes(1)),
  ];
  const all = concat(...parts);
  const ends = [0, 1, 2, 3].map((n) => concat(...parts.slice(0, n)).length);
  for (const isSkipping of [false, true]) {
    for (let length = 0; length <= all.length; length++) {
      const reader = new FrameReader({ isSkipping });
      reader.push(all.subarray(0, length));
      takeAll(reader);
      assertEquals(reader.isBetweenFrames, ends.includes(length));
    }
  }
});

Deno.test("FrameReader.isBetweenFrames is false while a frame was not taken", () => {
  const reader = new FrameReader();
  reader.push(concat(makeFrame("a", NOTHING), makeFrame("b", NOTHING)));
  assertFalse(reader.isBetweenFrames);
  reader.next();
  assertFalse(reader.isBetweenFrames);
  reader.next();
  assert(reader.isBetweenFrames);
});

// ----------------------------------------------------------------- refused

/** Asserts that a line is refused by a message that shows it, and is bounded. */
function assertRefused(line: string | Uint8Array): void {
  const header = typeof line === "string" ? encode(line) : line;
  for (const isSkipping of [false, true]) {
    const reader = new FrameReader({ isSkipping });
    reader.push(concat(header, encode("\n")));
    const error = assertThrows(() => reader.next(), FrameError);
    const all = JSON.stringify(new TextDecoder().decode(header));
    const shown = all.length > 200 ? `${all.slice(0, 200)}...` : all;
    assert(error.message.includes(`received ${shown}`), error.message);
    assert(error.message.length < 400, `${error.message.length} characters`);
  }
}

Deno.test("FrameReader.next() refuses what is no header", () => {
  const lines = [
    "",
    " ",
    "Hello, world",
    "{}",
    "null",
    "1",
    '"a"',
    "[]",
    '["a"]',
    '["a",',
    '["a",0',
    '["a",0]]',
    '["a",0] x',
    '[0,"a"]',
    "[null,0]",
    '[["a"],0]',
    '["a",null]',
    '["a","0"]',
    '["a",[0]]',
    '["a",true]',
    '["a",-1]',
    '["a",0.5]',
    '["a",1e999]',
    '["a",-1e999]',
    "['a',0]",
    "\u0000".repeat(500),
    "x".repeat(5_000),
  ];
  for (const line of lines) assertRefused(line);
});

Deno.test("FrameReader.next() refuses a header that is no UTF-8", () => {
  assertRefused(Uint8Array.of(0x5b, 0x22, 0xff, 0x22, 0x2c, 0x30, 0x5d));
  assertRefused(Uint8Array.of(0x5b, 0x22, 0xc3, 0x22, 0x2c, 0x30, 0x5d));
  assertRefused(Uint8Array.of(0x5b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x2c));
});

Deno.test("FrameReader.next() refuses more bytes than MAX_FRAME_BYTES, by the header alone", () => {
  const most = new FrameReader();
  most.push(encode(`["a",${MAX_FRAME_BYTES}]\n`));
  assertEquals(most.next(), undefined);
  for (const count of [MAX_FRAME_BYTES + 1, 2 ** 32, 2 ** 53, 1e300]) {
    assertRefused(`["a",${count}]`);
  }
});

/** A header of that many bytes, its line feed not counted. */
function headerOf(length: number): Uint8Array {
  return encode(`["${"x".repeat(length - 6)}",0]\n`);
}

Deno.test("FrameReader.next() takes a header of MAX_HEADER_BYTES, and refuses a longer one", () => {
  for (const places of [[], [1], [100, 65_535], [65_536], [65_537]]) {
    const legal = headerOf(MAX_HEADER_BYTES);
    assertEquals(legal.length, MAX_HEADER_BYTES + 1);
    assertEquals(readPieces(cut(legal, places)).length, 1);
    const long = headerOf(MAX_HEADER_BYTES + 1);
    const error = assertThrows(
      () => readPieces(cut(long, places)),
      FrameError,
      "a header must end after 65536 bytes",
    );
    assert(error.message.length < 1_400);
  }
});

Deno.test("FrameReader.next() refuses a header without an end once it is too long", () => {
  for (const size of [1 << 10, 1 << 16, 1 << 20]) {
    const reader = new FrameReader();
    let sent = 0;
    assertThrows(() => {
      for (; sent <= MAX_HEADER_BYTES + size; sent += size) {
        reader.push(new Uint8Array(size).fill(0x20));
        reader.next();
      }
    }, FrameError);
    assert(sent <= MAX_HEADER_BYTES, `${sent} bytes were taken in before`);
  }
});

// ------------------------------------------------------------------ memory

/** Counts the bytes that `run` allocates in arrays of bytes; the largest array, and all. */
function countBytes(run: () => void): { largest: number; all: number } {
  const count = { largest: 0, all: 0 };
  const note = (args: readonly unknown[]) => {
    const [length] = args;
    if (typeof length !== "number") return;
    count.largest = Math.max(count.largest, length);
    count.all += length;
  };
  const descriptors = (["ArrayBuffer", "Uint8Array"] as const).map((name) => {
    const descriptor = Object.getOwnPropertyDescriptor(globalThis, name)!;
    const counting = new Proxy(globalThis[name], {
      construct(target, args, newTarget) {
        note(args);
        return Reflect.construct(target, args, newTarget);
      },
    });
    Object.defineProperty(globalThis, name, { ...descriptor, value: counting });
    return { name, descriptor };
  });
  try {
    run();
  } finally {
    for (const { name, descriptor } of descriptors) {
      Object.defineProperty(globalThis, name, descriptor);
    }
  }
  return count;
}

Deno.test("countBytes() sees what is allocated", () => {
  const count = countBytes(() => {
    new Uint8Array(1000);
    new ArrayBuffer(500);
  });
  assertEquals(count, { largest: 1000, all: 1500 });
});

Deno.test("FrameReader takes memory for what has come, not for what is announced", () => {
  const header = encode(`["a",${MAX_FRAME_BYTES}]\n`);
  const alone = new FrameReader();
  const nothing = countBytes(() => {
    alone.push(header);
    assertEquals(alone.next(), undefined);
  });
  assert(nothing.all < 1_000, `${nothing.all} bytes for a header alone`);

  const some = new FrameReader();
  const first = concat(header, bytes(10));
  const ten = countBytes(() => {
    some.push(first);
    assertEquals(some.next(), undefined);
  });
  assert(ten.largest <= AHEAD_BYTES, `${ten.largest} bytes for ten`);

  const piece = bytes(1 << 18);
  let came = 10;
  for (let n = 0; n < 520; n++) {
    came += piece.length;
    const { largest } = countBytes(() => {
      some.push(piece);
      assertEquals(some.next(), undefined);
    });
    assert(largest <= Math.max(AHEAD_BYTES, came * 2), `${largest} of ${came}`);
  }
});

Deno.test("thousands of readers that were announced a gigabyte each go on", () => {
  const first = concat(encode(`["a",${MAX_FRAME_BYTES}]\n`), bytes(10));
  let count = 0;
  for (let n = 0; n < 3_000; n++) {
    const reader = new FrameReader();
    reader.push(first);
    if (reader.next() === undefined) count++;
  }
  assertEquals(count, 3_000);
});

Deno.test("a skipping FrameReader takes no memory for bytes", () => {
  const reader = new FrameReader({ isSkipping: true });
  const pieces = Array.from({ length: 64 }, () => new Uint8Array(1 << 16));
  const announced = encode(`["a",${64 << 16}]\n`);
  let frames = 0;
  const { all } = countBytes(() => {
    for (const piece of [announced, ...pieces]) {
      reader.push(piece);
      while (reader.next() !== undefined) frames++;
    }
  });
  assert(all < 1_000, `${all} bytes`);
  assertEquals(frames, 1);
});

// --------------------------------------------------------------- corrupted

type Damage =
  | { readonly flip: number; readonly by: number }
  | { readonly insert: number; readonly bytes: Uint8Array }
  | { readonly remove: number; readonly length: number };

const damage: fc.Arbitrary<Damage> = fc.oneof(
  fc.record({ flip: fc.nat(), by: fc.integer({ min: 1, max: 255 }) }),
  fc.record({
    insert: fc.nat(),
    bytes: fc.oneof(
      fc.uint8Array({ maxLength: 10 }),
      fc.constantFrom("\n", "0", "9", '"', "]", '["a",3]\n').map(encode),
    ),
  }),
  fc.record({ remove: fc.nat(), length: fc.integer({ min: 1, max: 10 }) }),
);

function apply(all: Uint8Array, damage: Damage): Uint8Array {
  if ("flip" in damage) {
    const copy = all.slice();
    if (copy.length > 0) copy[damage.flip % copy.length] ^= damage.by;
    return copy;
  }
  if ("insert" in damage) {
    const at = damage.insert % (all.length + 1);
    return concat(all.subarray(0, at), damage.bytes, all.subarray(at));
  }
  const at = damage.remove % (all.length + 1);
  return concat(all.subarray(0, at), all.subarray(at + damage.length));
}

/** Pieces in another order, some twice. */
const shuffle = fc.array(fc.nat(), { maxLength: 12 });

Deno.test("any damage to any frames: frames come out, or a FrameError, and nothing else", () => {
  let refused = 0;
  fc.assert(
    fc.property(
      frameList,
      fc.array(damage, { maxLength: 4 }),
      cuts,
      fc.option(shuffle),
      fc.boolean(),
      (list, damages, places, order, isSkipping) => {
        const all = damages.reduce(apply, makeStream(list).all);
        let pieces = cut(all, places);
        if (order !== null) {
          pieces = order.map((n) => pieces[n % pieces.length]);
        }
        const came = concat(...pieces).length;
        const reader = new FrameReader({ isSkipping });
        let frames: Frame[] = [];
        let error: unknown;
        const { largest } = countBytes(() => {
          try {
            for (const piece of pieces) {
              reader.push(piece);
              for (let frame; (frame = reader.next()) !== undefined;) {
                frames = [...frames, frame];
                // a frame takes four bytes at the least: `[",0]` and a line feed
                assert(frames.length <= came);
              }
            }
          } catch (thrown) {
            error = thrown;
          }
        });
        if (error !== undefined && !(error instanceof FrameError)) throw error;
        if (error !== undefined) refused++;
        assert(largest <= Math.max(AHEAD_BYTES, came * 2), `${largest} bytes`);
        for (const { header, bytes } of frames) {
          assertEquals(typeof header[0], "string");
          assertEquals(bytes.length, isSkipping ? 0 : header[1]);
        }
      },
    ),
    { numRuns: 5_000 },
  );
  assert(refused > 100, `${refused} were refused`);
});

Deno.test("any bytes at all: frames come out, or a FrameError, the same in any pieces", () => {
  const anyBytes = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc.array(fc.constantFrom("[", "]", '"', ",", "0", "1", "2", "a", "\n"), {
      maxLength: 60,
    }).map((units) => encode(units.join(""))),
    fc.array(fc.constantFrom('["a",0]\n', '["a",1]\n', '["b",9]\n', "x"), {
      maxLength: 12,
    }).map((units) => encode(units.join(""))),
  );
  const outcome = (pieces: readonly Uint8Array[]) => {
    const reader = new FrameReader();
    const frames: Frame[] = [];
    try {
      for (const piece of pieces) {
        reader.push(piece);
        for (let frame; (frame = reader.next()) !== undefined;) {
          frames.push(frame);
        }
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      return { frames, message: error.message };
    }
    return { frames, isBetweenFrames: reader.isBetweenFrames };
  };
  fc.assert(
    fc.property(anyBytes, cuts, (all, places) => {
      assertEquals(outcome(cut(all, places)), outcome([all]));
    }),
    { numRuns: 5_000 },
  );
});
