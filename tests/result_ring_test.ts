import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import type { Payload } from "../_codec.ts";
import { Format, Kind, Message, NO_TASK, Ring } from "../_layout.ts";
import {
  makeRing,
  type Posted,
  type Received,
  ResultReader,
  ResultWriter,
} from "../_result_ring.ts";
import { bytes } from "./_values.ts";

const HEADER_BYTES = Ring.WORDS * 4;
const MESSAGE_BYTES = Message.WORDS * 4;
const CAPACITY = 512;
/** What has to stay free for the message that names the next ring, and a wrap before it. */
const RESERVE_BYTES = MESSAGE_BYTES * 2;

const EMPTY: Payload = {
  format: Format.EMPTY,
  text: "",
  buffers: [],
  moved: [],
};

/** Both ends of a ring, in one thread. */
class Bench {
  readonly first: SharedArrayBuffer;
  /** Every ring, the first one too, in the order in which they were made. */
  readonly rings: SharedArrayBuffer[];
  readonly posted: Posted[] = [];
  readonly transferred: Transferable[][] = [];
  readonly writer: ResultWriter;
  readonly reader: ResultReader;

  constructor(capacity = CAPACITY) {
    this.first = makeRing(capacity);
    this.rings = [this.first];
    this.writer = new ResultWriter(this.first, (message, transfer) => {
      if ("ring" in message) this.rings.push(message.ring);
      this.transferred.push(transfer);
      this.posted.push(message);
    });
    this.reader = new ResultReader(this.first, () => this.posted.shift());
  }

  send(task: number, payload = EMPTY, kind: number = Kind.RETURNED): void {
    this.writer.send(kind, task, this.writer.stage(payload));
  }

  /** The numbers of the tasks of all messages that lie there. */
  readTasks(): number[] {
    const tasks: number[] = [];
    for (let message; (message = this.reader.next()) !== undefined;) {
      tasks.push(message.task);
    }
    return tasks;
  }
}

/** Bytes of a ring that are written and not yet read. */
function usedOf(ring: SharedArrayBuffer): number {
  const words = new Int32Array(ring);
  return (words[Ring.WRITE] - words[Ring.READ]) | 0;
}

function capacityOf(ring: SharedArrayBuffer): number {
  return ring.byteLength - HEADER_BYTES;
}

function textPayload(text: string): Payload {
  return { format: Format.PLAIN, text, buffers: [], moved: [] };
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

// -------------------------------------------------------------- messages

Deno.test("ResultReader.next() gives what was sent", () => {
  const bench = new Bench();
  const { writer, reader } = bench;
  assert(reader.isEmpty());
  assertStrictEquals(reader.next(), undefined);
  const payload = {
    format: Format.RICH,
    text: '["é€😀"]',
    buffers: [bytes(3), bytes(0), bytes(8)],
    moved: [],
  };
  bench.send(7, payload, Kind.THREW);
  writer.send(Kind.READY, NO_TASK);
  assertEquals(reader.isEmpty(), false);
  assertEquals(reader.next(), { ...payload, kind: Kind.THREW, task: 7 });
  assertEquals(reader.next(), {
    kind: Kind.READY,
    task: NO_TASK,
    format: 0,
    text: "",
    buffers: [],
    moved: [],
  });
  assert(reader.isEmpty());
});

Deno.test("ResultReader.next() gives copies, which later messages leave alone", () => {
  const bench = new Bench();
  const payload = { ...textPayload("x"), buffers: [bytes(64)] };
  bench.send(1, payload);
  const { buffers } = bench.reader.next()!;
  for (let task = 0; task < 50; task++) {
    bench.send(task, { ...payload, buffers: [new Uint8Array(64)] });
    bench.reader.next();
  }
  assertEquals(buffers, [bytes(64)]);
  assertEquals(buffers[0].buffer instanceof ArrayBuffer, true);
});

Deno.test("ResultWriter counts what the reader can see: tasks, messages, whether it awaits", () => {
  const { writer, reader } = new Bench();
  assertEquals([reader.finished, reader.taken, reader.isAwaiting], [
    0,
    0,
    false,
  ]);
  writer.countFinished();
  writer.countFinished();
  writer.setTaken(5);
  writer.setAwaiting(true);
  assertEquals([reader.finished, reader.taken, reader.isAwaiting], [
    2,
    5,
    true,
  ]);
  writer.setAwaiting(false);
  reader.taken = 9;
  assertEquals([reader.taken, reader.isAwaiting], [9, false]);
});

// ------------------------------------------------------------------ wrap

Deno.test("send() past the end of the ring begins at its start", () => {
  const bench = new Bench();
  for (let task = 0; task < 10_000; task++) {
    const text = "x".repeat(task % 30);
    bench.send(task, textPayload(text));
    const message = bench.reader.next()!;
    assertEquals([message.task, message.text], [task, text]);
  }
  assertEquals(bench.rings.length, 1);
  assertEquals(bench.posted, []);
});

Deno.test("send() at the very end of the ring: every place to end at", () => {
  // a message of 24 bytes, and others of 32 to 104, so that each offset is the last one once
  for (let length = 0; length <= 80; length += 8) {
    const bench = new Bench();
    const payload = { ...textPayload("[]"), buffers: [bytes(length)] };
    for (let task = 0; task < 300; task++) {
      if (task % 3 === 0) bench.send(task);
      else bench.send(task, payload);
      assertEquals(bench.readTasks(), [task]);
    }
    assertEquals(bench.rings.length, 1);
  }
});

/** What the counts of bytes come to after two billion more bytes, which would take minutes to write. */
function setCounts(ring: SharedArrayBuffer, count: number): void {
  const words = new Int32Array(ring);
  words[Ring.WRITE] = words[Ring.READ] = count;
}

for (const count of [0x7fff_ffff - 127, -128]) {
  Deno.test(`send() goes on where the counts of bytes pass ${count < 0 ? "2^32" : "2^31"}`, () => {
    const bench = new Bench();
    // Only who changes the ring reads the counts from the ring.
    let task = 0;
    while (bench.rings.length === 1) bench.send(task++);
    bench.readTasks();
    setCounts(bench.first, count);
    for (let n = 0; n < 200; n++) {
      bench.send(n, textPayload("x".repeat(n % 20)));
      bench.send(n + 1);
      assertEquals(bench.readTasks(), [n, n + 1]);
    }
    assertEquals(bench.rings.length, 2);
    const write = new Int32Array(bench.first)[Ring.WRITE];
    assert(count < 0 ? write > 0 : write < 0, `WRITE is ${write}`);
  });
}

// ----------------------------------------------------------------- rings

Deno.test("send() into a full ring goes on in one twice as large, and the reader follows", () => {
  const bench = new Bench();
  for (let task = 0; task < 200; task++) bench.send(task);
  assertEquals(
    bench.rings.map(capacityOf),
    range(0, bench.rings.length).map(
      (i) => CAPACITY * 2 ** i,
    ),
  );
  assert(bench.rings.length >= 4);
  assertEquals(bench.readTasks(), range(0, 200));
  assertEquals(bench.rings.map(usedOf), bench.rings.map(() => 0));
});

Deno.test("send() after all was read returns to the first ring", () => {
  const bench = new Bench();
  for (let task = 0; task < 100; task++) bench.send(task);
  const rings = bench.rings.length;
  assert(rings > 1);
  bench.readTasks();
  const before = new Int32Array(bench.first)[Ring.WRITE];
  bench.send(100);
  assert(new Int32Array(bench.first)[Ring.WRITE] !== before);
  bench.send(101);
  assertEquals(bench.readTasks(), [100, 101]);
  for (let task = 0; task < 100; task++) {
    bench.send(task);
    assertEquals(bench.readTasks(), [task]);
  }
  assertEquals(bench.rings.length, rings);
});

Deno.test("send() before all was read stays in the larger ring", () => {
  const bench = new Bench();
  for (let task = 0; task < 30; task++) bench.send(task);
  assertEquals(bench.rings.length, 2);
  for (let task = 0; task < 25; task++) {
    assertEquals(bench.reader.next()?.task, task);
  }
  const before = new Int32Array(bench.first)[Ring.WRITE];
  bench.send(30);
  assertEquals(new Int32Array(bench.first)[Ring.WRITE], before);
  assertEquals(bench.readTasks(), range(25, 31));
});

Deno.test("send() again and again into full rings: out to larger ones, back to the first", () => {
  const bench = new Bench();
  let sent = 0, read = 0;
  for (let round = 0; round < 40; round++) {
    for (let i = 0; i < 30 + round * 5; i++) bench.send(sent++);
    const tasks = bench.readTasks();
    assertEquals(tasks, range(read, sent));
    read = sent;
  }
  // each round begins in the first ring again
  assertEquals(
    bench.rings.filter((ring) => capacityOf(ring) === CAPACITY * 2).length,
    40,
  );
});

Deno.test("send() makes no ring above 16 MB", () => {
  const bench = new Bench(1 << 22);
  const payload = { ...textPayload("[]"), buffers: [new Uint8Array(1 << 19)] };
  for (let task = 0; task < 120; task++) bench.send(task, payload);
  assertEquals(bench.rings.map((ring) => capacityOf(ring) >> 20), [
    4,
    8,
    16,
    16,
    16,
    16,
  ]);
  assertEquals(bench.readTasks(), range(0, 120));
});

// ---------------------------------------------------------------- posted

Deno.test("send() posts a payload that takes more than a quarter of the ring", () => {
  const bench = new Bench();
  const inRing = { ...textPayload("[]"), buffers: [bytes(CAPACITY / 4 - 16)] };
  const posted = { ...textPayload("[]"), buffers: [bytes(CAPACITY / 4 - 8)] };
  bench.send(1, inRing);
  assertEquals(bench.posted.length, 0);
  bench.send(2, posted);
  assertEquals(bench.posted.length, 1);
  const messages = [bench.reader.next(), bench.reader.next()];
  assertEquals(messages.map((message) => message?.buffers), [
    inRing.buffers,
    posted.buffers,
  ]);
  assertEquals(messages.map((message) => message?.format), [1, 1]);
});

Deno.test("send() posts copies, moved, and leaves the sender's bytes alone", () => {
  const bench = new Bench();
  const own = bytes(CAPACITY);
  bench.send(1, { ...textPayload("[]"), buffers: [own.subarray(8, 508)] });
  const [message] = bench.posted;
  assert("buffers" in message);
  assertEquals(bench.transferred, [message.buffers]);
  assert(message.buffers[0] !== own.buffer);
  assertEquals(message.buffers[0].byteLength, 500);
  assertEquals(bench.reader.next()?.buffers, [own.subarray(8, 508)]);
  assertEquals(own, bytes(CAPACITY));
});

Deno.test("send() posts what only a message can carry, and moves what must be moved", () => {
  const bench = new Bench();
  const shared = new SharedArrayBuffer(8);
  const { port1, port2 } = new MessageChannel();
  try {
    const moved = [shared, port1];
    bench.send(1, { ...textPayload("[]"), moved });
    assertEquals(bench.transferred, [[port1]]);
    const message = bench.reader.next();
    assertEquals(message?.text, "[]");
    assertStrictEquals(message?.moved[0], shared);
    assertStrictEquals(message?.moved[1], port1);
  } finally {
    port1.close();
    port2.close();
  }
});

Deno.test("send() posts payloads and rings in the order in which they are read", () => {
  const bench = new Bench();
  const long = textPayload("x".repeat(CAPACITY));
  for (let task = 0; task < 100; task++) {
    bench.send(task, task % 3 === 0 ? long : textPayload(String(task)));
  }
  assert(bench.rings.length > 2);
  for (let task = 0; task < 100; task++) {
    const message = bench.reader.next()!;
    assertEquals([message.task, message.text], [
      task,
      task % 3 === 0 ? long.text : String(task),
    ]);
  }
  assertEquals(bench.posted, []);
});

Deno.test("ResultReader.next() says what is wrong where nothing was posted", () => {
  const bench = new Bench();
  bench.send(1, textPayload("x".repeat(CAPACITY)));
  bench.posted.length = 0;
  assertThrows(() => bench.reader.next(), Error, "must be posted first");
  const other = new Bench();
  while (other.rings.length === 1) other.send(1);
  other.posted.length = 0;
  assertThrows(
    () => other.readTasks(),
    Error,
    "next ring must be posted first",
  );
});

Deno.test("stage() that cannot move an object leaves the ring as it was", () => {
  const ring = makeRing(CAPACITY);
  const writer = new ResultWriter(ring, () => {
    throw new DOMException("cannot be moved", "DataCloneError");
  });
  const reader = new ResultReader(ring, () => undefined);
  const payload = { ...textPayload("[]"), moved: [{}] };
  assertThrows(() => writer.stage(payload), DOMException);
  assert(reader.isEmpty());
  writer.send(Kind.RETURNED, 1, writer.stage(textPayload("[1]")));
  assertEquals([reader.next()?.text, reader.next()], ["[1]", undefined]);
});

Deno.test("stage() of what is posted into a full ring: the next ring is posted first", () => {
  for (let filled = 0; filled < 40; filled++) {
    const bench = new Bench();
    for (let task = 0; task < filled; task++) bench.send(task);
    bench.send(filled, textPayload("x".repeat(CAPACITY)));
    assertEquals(bench.readTasks(), range(0, filled + 1));
  }
});

// -------------------------------------------------------------- property

type Step =
  | { readonly send: { text: string; buffers: number[]; kind: number } }
  | { readonly read: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      send: fc.record({
        text: fc.oneof(
          fc.constant(""),
          fc.string({ maxLength: 40, unit: "grapheme" }),
          // near the length at which a payload is posted
          fc.integer({ min: 0, max: 60 }).map((n) => "x".repeat(n)),
          fc.constant("é".repeat(300)),
        ),
        buffers: fc.array(fc.integer({ min: 0, max: 140 }), { maxLength: 3 }),
        kind: fc.constantFrom(Kind.RETURNED, Kind.THREW, Kind.STARTED),
      }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ read: fc.integer({ min: 0, max: 12 }) }),
  },
  { weight: 1, arbitrary: fc.record({ read: fc.constant(Infinity) }) },
);

/** Asserts that no unread byte was written over, and that the writer can always go on to a next ring. */
function checkRings({ rings }: Bench, beforehand: readonly number[]): void {
  for (const [i, ring] of rings.entries()) {
    const used = usedOf(ring), capacity = capacityOf(ring);
    assert(used >= 0 && used <= capacity, `${used} of ${capacity} bytes used`);
    // Only what says that the writer goes on elsewhere may lie in the reserve.
    if (used <= capacity - RESERVE_BYTES) continue;
    assert(
      used <= (beforehand[i] ?? 0) || rings.length > beforehand.length,
      `ring ${i} uses ${used} of ${capacity} bytes, and is written into`,
    );
  }
}

Deno.test("any messages and any reads: all arrive in order, and the reserve stays free", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
      const bench = new Bench();
      const sent: Received[] = [];
      let task = 0;
      const readOne = () => {
        const message = bench.reader.next();
        assertEquals(message, sent.shift());
        return message !== undefined;
      };
      for (const step of steps) {
        const beforehand = bench.rings.map(usedOf);
        if ("send" in step) {
          const { text, kind } = step.send;
          // a payload without text is an empty one
          const buffers = text === "" ? [] : step.send.buffers.map(bytes);
          const format = text === "" ? Format.EMPTY : Format.RICH;
          const payload = { format, text, buffers, moved: [] };
          bench.send(task, payload, kind);
          sent.push({ ...payload, kind, task: task++ });
        } else for (let n = 0; n < step.read && readOne(); n++);
        checkRings(bench, beforehand);
      }
      while (readOne());
      assertEquals([sent.length, bench.posted.length], [0, 0]);
      assertEquals(bench.rings.map(usedOf), bench.rings.map(() => 0));
    }),
    {
      numRuns: 400,
      examples: [
        // fills the ring to each of its last places, then goes on in the next one
        ...range(0, 12).map((skip): [Step[]] => [[
          ...range(0, skip).map((): Step => ({
            send: { text: "x", buffers: [], kind: Kind.RETURNED },
          })),
          { read: Infinity },
          ...range(0, 40).map((): Step => ({
            send: { text: "", buffers: [], kind: Kind.RETURNED },
          })),
        ]]),
      ],
    },
  );
});

Deno.test("the reserve is enough wherever the ring is full", () => {
  // the front of the free room at every offset, then filled by messages of every size
  for (let offset = 0; offset < CAPACITY; offset += 8) {
    for (let length = 0; length <= 96; length += 8) {
      const bench = new Bench();
      let task = 0;
      const write = new Int32Array(bench.first);
      // messages of 24 and of 32 bytes make up any multiple of 8 from 72 on
      const target = offset + CAPACITY;
      while (write[Ring.WRITE] < target) {
        const isLong = (target - write[Ring.WRITE]) % 24 !== 0;
        bench.send(task, isLong ? textPayload("x") : undefined);
        assertEquals(bench.reader.next()?.task, task++);
      }
      const payload = { ...textPayload("[]"), buffers: [bytes(length)] };
      const from = task;
      while (bench.rings.length === 1) bench.send(task++, payload);
      assert(usedOf(bench.first) <= CAPACITY);
      assertEquals(bench.readTasks(), range(from, task));
    }
  }
});
