import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  ChunkAllocator,
  type ChunkMessage,
  ChunkTable,
  type OwnedChunk,
} from "../_chunks.ts";
import { Record, State } from "../_layout.ts";

const FIRST_BYTES = 1 << 16;
const LARGEST_BYTES = 1 << 22;

/** An allocator with one worker in this thread, which reads its mail when it is told to. */
class Bench {
  readonly posted: ChunkMessage[] = [];
  readonly #mail: ChunkMessage[] = [];
  readonly table = new ChunkTable(() => this.#mail.shift());
  readonly chunks = new ChunkAllocator({
    post: (message) => {
      this.posted.push(message);
      this.#mail.push(message);
    },
    allTaken: () => this.table.taken === this.posted.length,
  });

  /** Takes `bytes` of the chunk that has room, as a task does. */
  use(bytes: number): OwnedChunk {
    const chunk = this.chunks.room(bytes);
    chunk.top += bytes;
    chunk.live++;
    return chunk;
  }

  /** Takes a chunk for itself. */
  useExclusive(bytes: number): OwnedChunk {
    const chunk = this.chunks.exclusive(bytes);
    chunk.live++;
    return chunk;
  }

  /** Takes room for a definition. */
  define(bytes: number): OwnedChunk {
    const chunk = this.chunks.definitionRoom(bytes);
    chunk.top += bytes;
    chunk.live++;
    return chunk;
  }

  /** The numbers of the chunks that were dropped. */
  dropped(): number[] {
    return this.posted.flatMap((message) =>
      "drop" in message ? message.drop : []
    );
  }

  /** Has the worker read its mail, then trims. */
  settle(): void {
    this.table.update();
    this.chunks.trim();
  }
}

/** Marks the task at word `at` as cancelled, where a worker may still come upon it. */
function cancelAt(chunk: OwnedChunk, at: number): void {
  chunk.words[at + Record.STATE] = State.CANCELLED;
  chunk.cancelled.push(at);
}

function skipAt(chunk: OwnedChunk, at: number): void {
  Atomics.store(chunk.words, at + Record.STATE, State.SKIPPED);
}

// ------------------------------------------------------------------ room

Deno.test("ChunkAllocator.room() stays in one chunk while there is room", () => {
  const bench = new Bench();
  const first = bench.use(FIRST_BYTES / 2);
  assertStrictEquals(bench.use(FIRST_BYTES / 2), first);
  assertEquals(first.top, FIRST_BYTES);
  assertEquals(bench.posted.length, 1);
});

Deno.test("ChunkAllocator.room() begins at the front again once nothing is in use", () => {
  const bench = new Bench();
  for (let i = 0; i < 1_000; i++) {
    const chunk = bench.use(1_000);
    assertEquals([chunk.id, chunk.top], [1, 1_000]);
    bench.chunks.release(chunk);
  }
  assertEquals(bench.chunks.byteLength, FIRST_BYTES);
});

Deno.test("ChunkAllocator.room() goes on behind what is in use", () => {
  const bench = new Bench();
  const chunk = bench.use(8);
  bench.use(8);
  bench.chunks.release(chunk);
  assertEquals(bench.chunks.room(8).top, 16);
});

Deno.test("ChunkAllocator.room() doubles its chunks while a backlog grows, up to a limit", () => {
  const bench = new Bench();
  const sizes = new Set<number>();
  for (let i = 0; i < 3_000; i++) sizes.add(bench.use(8_192).buffer.byteLength);
  const expected: number[] = [];
  for (let size = FIRST_BYTES; size <= LARGEST_BYTES; size *= 2) {
    expected.push(size);
  }
  assertEquals([...sizes], expected);
});

Deno.test("ChunkAllocator.room() makes a chunk as large as it must be", () => {
  const bench = new Bench();
  const chunk = bench.use(LARGEST_BYTES + 5);
  assertEquals(chunk.buffer.byteLength, LARGEST_BYTES + 8);
});

Deno.test("ChunkAllocator.room() takes a chunk that became free before it makes another", () => {
  const bench = new Bench();
  const first = bench.use(LARGEST_BYTES), second = bench.use(LARGEST_BYTES);
  bench.chunks.release(first);
  const { byteLength } = bench.chunks;
  assertStrictEquals(bench.use(LARGEST_BYTES), first);
  assertEquals(first.top, LARGEST_BYTES);
  assertEquals(second.live, 1);
  assertEquals(bench.chunks.byteLength, byteLength);
});

// ------------------------------------------------------------- exclusive

Deno.test("ChunkAllocator.exclusive() gives chunks that nothing else gets into", () => {
  const bench = new Bench();
  const a = bench.useExclusive(100), b = bench.useExclusive(100);
  const shared = bench.use(100);
  assertEquals(new Set([a, b, shared]).size, 3);
  assertEquals([a.top, a.buffer.byteLength], [0, 104]);
});

Deno.test("ChunkAllocator.exclusive() uses a released chunk again, from the front", () => {
  const bench = new Bench();
  const first = bench.useExclusive(1_000);
  first.top = 1_000;
  bench.chunks.release(first);
  const second = bench.useExclusive(1_000);
  assertStrictEquals(second, first);
  assertEquals(second.top, 0);
  assertEquals(bench.posted.length, 1);
});

Deno.test("ChunkAllocator.exclusive() uses no chunk again that is too small, or four times too large", () => {
  const bench = new Bench();
  const first = bench.useExclusive(1_000);
  bench.chunks.release(first);
  assert(bench.useExclusive(1_008) !== first);
  assert(bench.useExclusive(249) !== first);
  assertStrictEquals(bench.useExclusive(250), first);
});

Deno.test("ChunkAllocator.exclusive() never uses a chunk again that is used twice, before both are released", () => {
  const bench = new Bench();
  const first = bench.useExclusive(1_000);
  first.live++;
  bench.chunks.release(first);
  assert(bench.useExclusive(1_000) !== first);
  bench.chunks.release(first);
  assertStrictEquals(bench.useExclusive(1_000), first);
});

// ------------------------------------------------------------- cancelled

Deno.test("cancelled tasks: their chunk is not used again before a worker has passed them all by", () => {
  const bench = new Bench();
  const first = bench.useExclusive(1_000);
  cancelAt(first, 0);
  cancelAt(first, 20);
  bench.chunks.release(first);
  assert(bench.useExclusive(1_000) !== first);
  skipAt(first, 20);
  assert(bench.useExclusive(1_000) !== first);
  skipAt(first, 0);
  assertStrictEquals(bench.useExclusive(1_000), first);
  assertEquals(first.cancelled, []);
});

Deno.test("cancelled tasks: room() does not begin at the front before a worker has passed them by", () => {
  const bench = new Bench();
  const chunk = bench.use(40);
  cancelAt(chunk, 0);
  bench.chunks.release(chunk);
  assertEquals(bench.chunks.room(40).top, 40);
  skipAt(chunk, 0);
  assertEquals(bench.chunks.room(40).top, 0);
});

Deno.test("cancelled tasks: room() leaves a full chunk alone, and takes it again after they were passed by", () => {
  const bench = new Bench();
  const chunk = bench.use(FIRST_BYTES);
  cancelAt(chunk, 0);
  bench.chunks.release(chunk);
  const next = bench.use(FIRST_BYTES);
  assert(next !== chunk);
  skipAt(chunk, 0);
  assertStrictEquals(bench.useExclusive(FIRST_BYTES), chunk);
});

Deno.test("cancelled tasks: trim() keeps their chunk before a worker has passed them by", () => {
  const bench = new Bench();
  const chunk = bench.useExclusive(1_000);
  cancelAt(chunk, 0);
  bench.chunks.release(chunk);
  bench.settle();
  assertEquals(bench.dropped(), []);
  skipAt(chunk, 0);
  bench.settle();
  assertEquals(bench.dropped(), [chunk.id]);
});

// ------------------------------------------------------------------ trim

Deno.test("ChunkAllocator.trim() drops nothing before the worker has taken in all messages", () => {
  const bench = new Bench();
  const chunk = bench.useExclusive(1_000);
  bench.chunks.release(chunk);
  bench.chunks.trim();
  assertEquals(bench.dropped(), []);
  assertStrictEquals(bench.useExclusive(1_000), chunk); // meanwhile it waits for reuse
  bench.chunks.release(chunk);
  bench.settle();
  assertEquals(bench.dropped(), [chunk.id]);
  assertEquals(bench.chunks.byteLength, 0);
});

Deno.test("ChunkAllocator.trim() drops what is free, keeps what is in use, and tells of it once", () => {
  const bench = new Bench();
  const used = bench.useExclusive(1_000);
  const free = [1, 2, 3].map((n) => bench.useExclusive(n * 10_000));
  for (const chunk of free) bench.chunks.release(chunk);
  bench.settle();
  assertEquals(bench.dropped(), free.map(({ id }) => id));
  assertEquals(bench.chunks.messages(), [{
    take: used.id,
    buffer: used.buffer,
  }]);
  bench.settle();
  assertEquals(bench.posted.length, 5);
  bench.table.update();
  assertEquals(free.map(({ id }) => bench.table.find(id)), [
    undefined,
    undefined,
    undefined,
  ]);
  assertStrictEquals(bench.table.get(used.id).buffer, used.buffer);
});

Deno.test("ChunkAllocator.trim() lets a large current chunk go, and begins small again", () => {
  const bench = new Bench();
  const used: OwnedChunk[] = [];
  for (let i = 0; i < 1_000; i++) used.push(bench.use(4_096));
  for (const chunk of used) bench.chunks.release(chunk);
  bench.settle();
  assertEquals(bench.chunks.byteLength, 0);
  assertEquals(bench.use(8).buffer.byteLength, FIRST_BYTES);
});

Deno.test("ChunkAllocator.trim() keeps a small current chunk, so that an idle pool has one", () => {
  const bench = new Bench();
  const chunk = bench.use(8);
  bench.chunks.release(chunk);
  bench.settle();
  assertEquals(bench.dropped(), []);
  assertStrictEquals(bench.use(8), chunk);
});

Deno.test("ChunkAllocator.trim() never gives the number of a dropped chunk to another", () => {
  const bench = new Bench();
  const seen = new Set<number>();
  for (let i = 0; i < 20; i++) {
    const chunk = bench.useExclusive(1_000);
    assert(!seen.has(chunk.id));
    seen.add(chunk.id);
    bench.chunks.release(chunk);
    bench.settle();
  }
  assertEquals(bench.chunks.byteLength, 0);
});

// ----------------------------------------------------------- definitions

Deno.test("ChunkAllocator.definitionRoom() keeps definitions away from tasks", () => {
  const bench = new Bench();
  const task = bench.use(8), definition = bench.define(8);
  assert(task !== definition);
  assertStrictEquals(bench.define(8), definition);
  assertStrictEquals(bench.use(8), task);
});

Deno.test("ChunkAllocator.definitionRoom() never overwrites: it goes on in a new chunk", () => {
  const bench = new Bench();
  const first = bench.define(FIRST_BYTES);
  const second = bench.define(8);
  assert(second !== first);
  const large = bench.define(FIRST_BYTES * 3);
  assertEquals(large.buffer.byteLength, FIRST_BYTES * 3);
});

Deno.test("ChunkAllocator.definitionRoom() keeps the current chunk when its definitions are gone", () => {
  const bench = new Bench();
  const chunk = bench.define(8);
  bench.chunks.release(chunk);
  bench.settle();
  assertEquals(bench.dropped(), []);
  assertStrictEquals(bench.define(8), chunk);
  assertEquals(chunk.top, 16);
});

Deno.test("ChunkAllocator.trim() drops a former chunk of definitions once all in it are gone", () => {
  const bench = new Bench();
  const former = bench.define(FIRST_BYTES / 2);
  bench.define(FIRST_BYTES / 2);
  bench.define(8);
  bench.chunks.release(former);
  bench.settle();
  assertEquals(bench.dropped(), []);
  bench.chunks.release(former);
  bench.settle();
  assertEquals(bench.dropped(), [former.id]);
});

// ----------------------------------------------------------- ChunkTable

Deno.test("ChunkTable.find() reads the mail only for a number that it does not know", () => {
  const bench = new Bench();
  const a = bench.use(8);
  assertStrictEquals(bench.table.find(a.id)?.buffer, a.buffer);
  const b = bench.useExclusive(8);
  assertStrictEquals(bench.table.find(a.id)?.buffer, a.buffer);
  assertEquals(bench.table.taken, 1);
  assertStrictEquals(bench.table.find(b.id)?.buffer, b.buffer);
  assertEquals(bench.table.taken, 2);
});

Deno.test("ChunkTable.get() says what is wrong where a chunk was never announced", () => {
  const table = new ChunkTable(() => undefined);
  assertThrows(() => table.get(7), Error, "chunk 7 must be announced");
});

Deno.test("ChunkAllocator.messages() tells a late worker of all chunks that there are", () => {
  const bench = new Bench();
  const chunk = bench.useExclusive(1_000);
  bench.chunks.release(chunk);
  bench.settle();
  bench.use(8);
  bench.define(8);
  const mail = bench.chunks.messages();
  assertEquals(mail.length, 2);
  const late = new ChunkTable(() => mail.shift());
  late.update();
  assertEquals(late.taken, 2);
  assertEquals([late.find(chunk.id), late.get(2).id, late.get(3).id], [
    undefined,
    2,
    3,
  ]);
});
