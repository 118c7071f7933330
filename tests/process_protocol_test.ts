import { assert, assertEquals, assertThrows } from "@std/assert";
import { measurePayload, toParts } from "../_bytes.ts";
import type { Child } from "../_child.ts";
import { Chunk, ChunkTable } from "../_chunks.ts";
import type { Payload } from "../_codec.ts";
import { FrameReader } from "../_frames.ts";
import { Flag, Format, Record as Field } from "../_layout.ts";
import {
  AHEAD_BYTES,
  FrameError,
  type FromChild,
  makeHeader,
  MAX_FRAME_BYTES,
  MAX_HEADER_BYTES,
  PROTOCOL_VERSION,
  readFromChild,
  RUN_NUMBERS,
} from "../_process_protocol.ts";
import { SegmentWriter } from "../_segments.ts";
import { TaskSender } from "../_task_sender.ts";

// A failing golden frame means that the format has changed: change PROTOCOL_VERSION with it.

const NOTHING = new Uint8Array();
const TOKEN = "0123456789ab";

/** `["é"]`, and buffers of 3 bytes, none, and 8. */
const RICH: Payload = {
  format: Format.RICH,
  text: '["é"]',
  buffers: [
    Uint8Array.of(1, 2, 3),
    NOTHING,
    Uint8Array.of(11, 12, 13, 14, 15, 16, 17, 18),
  ],
  moved: [],
};

// deno-fmt-ignore
const RICH_BYTES = Uint8Array.of(
  0x5b, 0x22, 0xc3, 0xa9, 0x22, 0x5d, 0, 0, // the text
  3, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, // the lengths
  1, 2, 3, 0, 0, 0, 0, 0,
  11, 12, 13, 14, 15, 16, 17, 18,
);

const PLAIN: Payload = {
  format: Format.PLAIN,
  text: "[1,2]",
  buffers: [],
  moved: [],
};
const PLAIN_BYTES = Uint8Array.of(0x5b, 0x31, 0x2c, 0x32, 0x5d);

const EMPTY: Payload = {
  format: Format.EMPTY,
  text: "",
  buffers: [],
  moved: [],
};

function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

/** A payload as bytes. */
function toBytes(payload: Payload): { bytes: Uint8Array; textBytes: number } {
  const { parts, length, textBytes } = toParts(payload);
  const bytes = concat(...parts);
  assertEquals(bytes.length, length);
  return { bytes, textBytes };
}

/** Reads frames from their bytes, as the manager does. */
function readAll(bytes: Uint8Array): FromChild[] {
  const reader = new FrameReader();
  reader.push(bytes);
  const frames: FromChild[] = [];
  for (let frame; (frame = reader.next()) !== undefined;) {
    frames.push(readFromChild(frame.header, frame.bytes));
  }
  assert(reader.isBetweenFrames);
  return frames;
}

Deno.test("the protocol's numbers are those of version 2", () => {
  assertEquals(
    {
      PROTOCOL_VERSION,
      MAX_HEADER_BYTES,
      MAX_FRAME_BYTES,
      AHEAD_BYTES,
      RUN_NUMBERS,
      Format,
    },
    {
      PROTOCOL_VERSION: 2,
      MAX_HEADER_BYTES: 65_536,
      MAX_FRAME_BYTES: 1_073_741_824,
      AHEAD_BYTES: 524_288,
      RUN_NUMBERS: 5,
      Format: { EMPTY: 0, PLAIN: 1, RICH: 2, MASK: 7 },
    },
  );
  const { WATCHED, MOVED, CHUNK, TIMED } = Flag;
  assertEquals([WATCHED, MOVED, CHUNK, TIMED], [8, 16, 32, 128]);
});

// ---------------------------------------------------- golden: to the child

/** What a task sender writes to its child, as text and bytes. */
class Wire {
  readonly #parts: Uint8Array[] = [];
  readonly #chunk = new Chunk(1, new SharedArrayBuffer(4096));
  readonly sender: TaskSender;

  constructor() {
    const mail = [{ take: 1, buffer: this.#chunk.buffer }];
    const child = {
      write: (header: string, bytes: readonly Uint8Array[] = []) => {
        this.#parts.push(encode(header), ...bytes);
      },
    } as unknown as Child; // no process is needed to see what it would be sent
    this.sender = new TaskSender(child, new ChunkTable(() => mail.shift()));
  }

  /** Adds a task whose definition is `definition`. */
  add(at: number, id: number, payload: Payload, flags = 0): void {
    const { words, bytes } = this.#chunk;
    const definition = encode(`{"n":${id}}`);
    const definitionAt = 2048 + id * 64;
    words[definitionAt >> 2] = definition.length;
    bytes.set(definition, definitionAt + 4);
    const task = toBytes(payload);
    bytes.set(task.bytes, at + 64);
    words.set(
      [id, 1, definitionAt, payload.format | flags, 1, at + 64],
      (at >> 2) + Field.CALLABLE,
    );
    words[(at >> 2) + Field.TEXT_BYTES] = task.textBytes;
    words[(at >> 2) + Field.BUFFERS] = payload.buffers.length;
    const entry = { chunk: this.#chunk, at: at >> 2, order: 0 };
    this.sender.add(entry);
  }

  take(): Uint8Array {
    return concat(...this.#parts.splice(0));
  }
}

Deno.test('makeHeader() writes "hello", "recall" and "end" to the child', () => {
  assertEquals(
    makeHeader("hello", 0, PROTOCOL_VERSION, TOKEN),
    '["hello",0,2,"0123456789ab"]\n',
  );
  assertEquals(makeHeader("recall", 0), '["recall",0]\n');
  assertEquals(makeHeader("end", 0), '["end",0]\n');
});

Deno.test('TaskSender.begin() writes "serve" without an initializer', () => {
  const wire = new Wire();
  wire.sender.begin(undefined);
  assertEquals(wire.take(), encode('["serve",0]\n'));
});

Deno.test('TaskSender.begin() writes "initialize": payload, then definition', () => {
  const wire = new Wire();
  const definition = { kind: "module", module: "file:///a.ts", name: "b" };
  wire.sender.begin({
    definition: JSON.stringify(definition),
    payload: RICH,
  });
  assertEquals(
    wire.take(),
    concat(
      encode('["initialize",92,2,6,3,40]\n'),
      RICH_BYTES,
      encode('{"kind":"module","module":"file:///a.ts","name":"b"}'),
    ),
  );
});

Deno.test('TaskSender.add() writes "define" before the first task that calls it, and tasks as one "run"', () => {
  const wire = new Wire();
  wire.add(0, 7, PLAIN);
  wire.add(256, 7, RICH, Flag.WATCHED);
  wire.add(512, 7, EMPTY, Flag.CHUNK);
  assertEquals(wire.take(), encode('["define",7,7]\n{"n":7}'));
  assert(wire.sender.flush());
  assertEquals(
    wire.take(),
    concat(
      encode('["run",45,7,1,5,0,5,7,10,6,3,40,7,32,0,0,0]\n'),
      PLAIN_BYTES,
      RICH_BYTES,
    ),
  );
  assertEquals(wire.sender.flush(), false);
  assertEquals(wire.take(), NOTHING);
});

Deno.test('TaskSender.add() writes the tasks so far before another "define"', () => {
  const wire = new Wire();
  wire.add(0, 1, PLAIN);
  wire.add(256, 2, EMPTY);
  wire.sender.flush();
  assertEquals(
    new TextDecoder().decode(wire.take()),
    '["define",7,1]\n{"n":1}["run",5,1,1,5,0,5]\n[1,2]' +
      '["define",7,2]\n{"n":2}["run",0,2,0,0,0,0]\n',
  );
});

// -------------------------------------------------- golden: from the child

interface Golden {
  readonly bytes: Uint8Array;
  readonly frame: FromChild;
  /** Writes it, as the child does. */
  readonly write: (writer: SegmentWriter) => void;
}

const PLAIN_SHAPE = { format: 1, textBytes: 5, buffers: 0 };
const RICH_SHAPE = { format: 2, textBytes: 6, buffers: 3 };
const EMPTY_SHAPE = { format: 0, textBytes: 0, buffers: 0 };

const GOLDEN: Golden[] = [
  {
    bytes: encode('["hello",0,2]\n'),
    frame: { tag: "hello", version: 2 },
    write: (writer) => writer.write("hello", PROTOCOL_VERSION),
  },
  {
    bytes: encode('["serving",0]\n'),
    frame: { tag: "serving" },
    write: (writer) => writer.write("serving"),
  },
  {
    bytes: encode('["unfit",5,1,5,0]\n[1,2]'),
    frame: { tag: "unfit", ...PLAIN_SHAPE },
    write: (writer) => writer.writePayload("unfit", [], PLAIN, []),
  },
  {
    bytes: encode('["returned",0,0,0,0,0,0]\n'),
    frame: { tag: "returned", task: 0, ...EMPTY_SHAPE, mark: 0 },
    write: (writer) => writer.writePayload("returned", [0], EMPTY, [0]),
  },
  {
    bytes: encode('["returned",5,4294967295,1,5,0,2147483647]\n[1,2]'),
    frame: {
      tag: "returned",
      task: 2 ** 32 - 1,
      ...PLAIN_SHAPE,
      mark: 2 ** 31 - 1,
    },
    write: (writer) =>
      writer.writePayload("returned", [-1 >>> 0], PLAIN, [2 ** 31 - 1]),
  },
  {
    bytes: concat(encode('["threw",40,3,2,6,3,4]\n'), RICH_BYTES),
    frame: { tag: "threw", task: 3, ...RICH_SHAPE, mark: 4 },
    write: (writer) => writer.writePayload("threw", [3], RICH, [4]),
  },
  {
    bytes: concat(encode('["part",40,3,2,6,3,0]\n'), RICH_BYTES),
    frame: { tag: "part", task: 3, ...RICH_SHAPE, mark: 0 },
    write: (writer) => writer.writePayload("part", [3], RICH, [0]),
  },
  {
    bytes: concat(encode('["died",40,2,6,3]\n'), RICH_BYTES),
    frame: { tag: "died", ...RICH_SHAPE },
    write: (writer) => writer.writePayload("died", [], RICH, []),
  },
  {
    bytes: encode('["recalled",0,3,9]\n'),
    frame: { tag: "recalled", from: 3, to: 9 },
    write: (writer) => writer.write("recalled", 3, 9),
  },
  {
    bytes: encode('["timed",0,7,1795772212856014,42]\n'),
    frame: {
      tag: "timed",
      task: 7,
      startMicros: 1_795_772_212_856_014,
      runMicros: 42,
    },
    write: (writer) => writer.write("timed", 7, 1_795_772_212_856_014, 42),
  },
  {
    bytes: encode('["mark",0,12]\n'),
    frame: { tag: "mark", mark: 12 },
    write: (writer) => writer.write("mark", 12),
  },
];

for (const { bytes, frame, write } of GOLDEN) {
  const [line] = new TextDecoder().decode(bytes).split("\n");
  Deno.test(`readFromChild() reads the golden frame ${line}`, () => {
    assertEquals(readAll(bytes), [frame]);
  });

  Deno.test(`SegmentWriter writes the golden frame ${line}`, () => {
    const pieces: Uint8Array[] = [];
    const target = {
      writeSync: (piece: Uint8Array) =>
        pieces.push(piece.slice()) * 0 +
        piece.length,
    };
    write(new SegmentWriter(target, TOKEN));
    const digits = bytes.length.toString(16).padStart(4, "0");
    assertEquals(
      concat(...pieces),
      concat(encode(`\x1e${TOKEN}0${digits}`), bytes, encode("\n")),
    );
  });
}

Deno.test("readFromChild() reads all golden frames from one stream", () => {
  assertEquals(
    readAll(concat(...GOLDEN.map(({ bytes }) => bytes))),
    GOLDEN.map(({ frame }) => frame),
  );
});

Deno.test("readFromChild() takes bytes that lie anywhere in memory", () => {
  for (let offset = 0; offset < 9; offset++) {
    const memory = new Uint8Array(offset + RICH_BYTES.length + 3).fill(0xff);
    memory.set(RICH_BYTES, offset);
    const bytes = memory.subarray(offset, offset + RICH_BYTES.length);
    assertEquals(readFromChild(["died", 40, 2, 6, 3], bytes), {
      tag: "died",
      ...RICH_SHAPE,
    });
  }
});

// ----------------------------------------------------------------- refused

/** Asserts that a frame is refused by a message that shows it, and is short. */
function assertRefused(
  header: readonly unknown[],
  bytes: Uint8Array = NOTHING,
): void {
  const error = assertThrows(
    () => readFromChild(header, bytes),
    FrameError,
    JSON.stringify(header).slice(0, 200),
  );
  assert(error.message.length < 400, `${error.message.length} characters`);
}

Deno.test("readFromChild() refuses tags that no child sends", () => {
  for (
    const tag of [
      "",
      "Hello",
      "hello ",
      "serve",
      "initialize",
      "define",
      "run",
      "recall",
      "end",
      "__proto__",
      "constructor",
      "toString",
    ]
  ) {
    for (let count = 0; count <= 6; count++) {
      assertRefused([tag, 0, ...Array(count).fill(0)]);
    }
  }
});

/** A legal frame of each tag. */
const LEGAL = GOLDEN.map(({ bytes }) => {
  const reader = new FrameReader();
  reader.push(bytes);
  return reader.next()!;
});

Deno.test("readFromChild() refuses a number too few, too many, or of a wrong kind", () => {
  const wrong = [
    -1,
    0.5,
    1e-9,
    "1",
    "",
    null,
    true,
    [],
    [1],
    {},
    NaN,
    Infinity,
  ];
  for (const { header, bytes } of LEGAL) {
    const { length } = header;
    assertRefused([...header, 0], bytes);
    assertRefused([...header, "x"], bytes);
    if (length > 2) assertRefused(header.slice(0, -1), bytes);
    for (let i = 2; i < length; i++) {
      for (const item of wrong) assertRefused(header.with(i, item), bytes);
    }
  }
});

Deno.test("readFromChild() refuses bytes after a frame that has none", () => {
  for (
    const header of [
      ["hello", 1, 1],
      ["serving", 1],
      ["recalled", 1, 0, 1],
      ["mark", 1, 1],
    ]
  ) {
    readFromChild(header, NOTHING); // legal without them
    assertRefused(header, Uint8Array.of(0));
    assertRefused(header, new Uint8Array(1000));
  }
});

/** Headers with a payload of that shape. */
function withShape(length: number, ...shape: number[]): unknown[][] {
  return [
    ["unfit", length, ...shape],
    ["died", length, ...shape],
    ["returned", length, 1, ...shape, 2],
    ["threw", length, 1, ...shape, 2],
    ["part", length, 1, ...shape, 2],
  ];
}

Deno.test("readFromChild() refuses formats other than those of values", () => {
  for (const format of [0, 1, 2]) {
    for (const header of withShape(5, format, 5, 0)) {
      assertEquals(
        (readFromChild(header, PLAIN_BYTES) as { format?: number }).format,
        format,
      );
    }
  }
  const formats = [3, 7, 1 | Flag.WATCHED, 1 | Flag.MOVED, 1 | Flag.CHUNK];
  for (const format of [...formats, 64, 255, 256, 257, 2 ** 32, 2 ** 32 + 1]) {
    for (const header of withShape(5, format, 5, 0)) {
      assertRefused(header, PLAIN_BYTES);
    }
  }
});

Deno.test("readFromChild() refuses text that is longer or shorter than the bytes", () => {
  const lengths = [0, 4, 6, 8, 2 ** 31, 2 ** 32 + 5, 2 ** 53, 1e300];
  for (const textBytes of lengths) {
    for (const header of withShape(5, 1, textBytes, 0)) {
      assertRefused(header, PLAIN_BYTES);
    }
  }
});

Deno.test("readFromChild() refuses counts of buffers that the bytes do not bear out", () => {
  const counts = [0, 1, 2, 5, 12, 13, 2 ** 29, 2 ** 30, 2 ** 31, 2 ** 32];
  for (const buffers of [...counts, 2 ** 32 + 3, 2 ** 53, 1.7e308]) {
    for (const header of withShape(40, 2, 6, buffers)) {
      assertRefused(header, RICH_BYTES);
    }
  }
  for (const textBytes of [0, 9, 16, 40, 2 ** 32 + 6, 2 ** 53, 1e300]) {
    for (const header of withShape(40, 2, textBytes, 3)) {
      assertRefused(header, RICH_BYTES);
    }
  }
});

Deno.test("readFromChild() refuses bytes cut off anywhere, and bytes beyond the last buffer", () => {
  for (let length = 0; length < RICH_BYTES.length; length++) {
    for (const header of withShape(length, 2, 6, 3)) {
      assertRefused(header, RICH_BYTES.slice(0, length));
    }
  }
  for (const extra of [1, 7, 8, 64]) {
    for (const header of withShape(40 + extra, 2, 6, 3)) {
      assertRefused(header, concat(RICH_BYTES, new Uint8Array(extra)));
    }
  }
});

Deno.test("readFromChild() refuses tables of buffers that lie", () => {
  for (let i = 0; i < 3; i++) {
    for (
      const lie of [2 ** 32 - 1, 2 ** 32 - 8, 2 ** 31, 2 ** 31 - 1, 48, 17]
    ) {
      const bytes = RICH_BYTES.slice();
      new DataView(bytes.buffer).setUint32(8 + i * 4, lie, true);
      for (const header of withShape(40, 2, 6, 3)) {
        assertRefused(header, bytes);
      }
    }
  }
  // together past 2^32, where a sum of 32 bits would come out right
  const bytes = RICH_BYTES.slice();
  const table = new DataView(bytes.buffer);
  table.setUint32(8, 2 ** 31, true);
  table.setUint32(12, 2 ** 31, true);
  table.setUint32(16, 16, true);
  for (const header of withShape(40, 2, 6, 3)) assertRefused(header, bytes);
});

Deno.test("readFromChild() does not look beyond the bytes for the table of buffers", () => {
  // behind the view lies what would make it right
  const bytes = RICH_BYTES.subarray(0, 12);
  for (const header of withShape(12, 2, 6, 3)) assertRefused(header, bytes);
});

Deno.test("readFromChild() shows the beginning of what is long", () => {
  assertRefused(["x".repeat(10_000), 0]);
  assertRefused(["run", 0, ...Array(20_000).fill(7)]);
  assertRefused(["returned", 0, "\u0000\n\u{1f600}".repeat(10_000)]);
});

Deno.test("measurePayload() gives the length of what toParts() makes", () => {
  for (const payload of [EMPTY, PLAIN, RICH]) {
    const { bytes, textBytes } = toBytes(payload);
    const { length } = payload.buffers;
    assertEquals(measurePayload(bytes, 0, textBytes, length), bytes.length);
  }
  assertEquals(toBytes(RICH), { bytes: RICH_BYTES, textBytes: 6 });
});
