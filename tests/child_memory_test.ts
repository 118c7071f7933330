import { assert, assertEquals, assertFalse } from "@std/assert";
import fc from "fast-check";
import { ChildMemory } from "../_child_memory.ts";
import { Control } from "../_layout.ts";
import { AHEAD_BYTES } from "../_process_protocol.ts";
import { bytes } from "./_values.ts";

const RING_BYTES = AHEAD_BYTES * 2;

/** Words that `_child_memory.ts` keeps beside those of `Control`. */
const CLAIM = 0, WRITE = 8, READ = 16;

/** What task numbers and counts begin at, so that they pass 2^31, 2^32, or neither. */
const STARTS = [
  { name: "from 0", start: 0 },
  { name: "past 2^31", start: 0x7fff_ffff - 1 },
  { name: "past 2^32", start: -2 },
];

function makeMemory({ claim = 0, count = 0 } = {}): ChildMemory {
  const memory = new ChildMemory();
  memory.words[CLAIM] = claim;
  memory.words[WRITE] = memory.words[READ] = count;
  return memory;
}

/** Writes bytes into the ring, as much as there is room for; returns how many. */
function write(memory: ChildMemory, part: Uint8Array): number {
  const room = memory.waitForRoom();
  const length = Math.min(room.length, part.length);
  room.set(part.subarray(0, length));
  memory.advance(length);
  return length;
}

function usedOf({ words }: ChildMemory): number {
  return (words[WRITE] - words[READ]) | 0;
}

// ----------------------------------------------------------- claim, recall

for (const { name, start } of STARTS) {
  Deno.test(`ChildMemory.claim() takes tasks one by one, ${name}`, () => {
    const memory = makeMemory({ claim: start });
    for (let i = 0; i < 6; i++) {
      const task = (start + i) | 0;
      assertEquals(memory.next, task);
      assert(memory.claim(task));
      assertFalse(memory.claim(task));
    }
    assertEquals(memory.next, (start + 6) | 0);
  });

  Deno.test(`ChildMemory.recall() takes all from the next task on, ${name}`, () => {
    const memory = makeMemory({ claim: start });
    const end = (start + 5) | 0;
    assert(memory.claim(start));
    assertEquals(memory.recall(end), (start + 1) | 0);
    assertEquals(memory.next, end);
    for (let i = 1; i < 5; i++) assertFalse(memory.claim((start + i) | 0));
    assert(memory.claim(end)); // the first one sent after the recall
  });

  Deno.test(`ChildMemory.recall() takes nothing where all are begun, ${name}`, () => {
    const memory = makeMemory({ claim: start });
    for (let i = 0; i < 4; i++) memory.claim((start + i) | 0);
    const end = (start + 4) | 0;
    assertEquals(memory.recall(end), end);
    assertEquals(memory.recall(end), end);
    assertEquals(memory.next, end);
  });

  Deno.test(`claims and recalls in all orders: each task is claimed or recalled, once, ${name}`, () => {
    // `c` claims the next task of those that came, `s` sends one more, `r` recalls
    for (const order of ordersOf("cccsssrr")) {
      const memory = makeMemory({ claim: start });
      const fate = new Map<number, string>();
      const settle = (task: number, what: string) => {
        assertFalse(fate.has(task), `${order}: ${task} has two fates`);
        fate.set(task, what);
      };
      let sent = start, taken = start;
      const recall = () => {
        const from = memory.recall(sent);
        for (let task = from; task !== sent; task = (task + 1) | 0) {
          settle(task, "recalled");
        }
      };
      for (const step of order) {
        if (step === "s") sent = (sent + 1) | 0;
        else if (step === "r") recall();
        else if (taken !== sent) {
          if (memory.claim(taken)) settle(taken, "claimed");
          taken = (taken + 1) | 0;
        }
      }
      recall();
      assertEquals(fate.size, 3, order);
      // one that was taken was either claimed now or recalled before
      for (let task = taken; task !== sent; task = (task + 1) | 0) {
        assertEquals(fate.get(task), "recalled", order);
      }
    }
  });
}

/** All orders of these letters, each once. */
function ordersOf(letters: string): string[] {
  if (letters === "") return [""];
  return [...new Set(letters)].flatMap((letter) =>
    ordersOf(letters.replace(letter, "")).map((rest) => letter + rest)
  );
}

/** Lets `between` run after each first look at the next task: what the other thread does just then. */
class Interrupted extends ChildMemory {
  readonly #between: (() => void)[];
  constructor(buffer: SharedArrayBuffer, between: (() => void)[]) {
    super(buffer);
    this.#between = between;
  }
  override get next(): number {
    const next = super.next;
    this.#between.shift()?.();
    return next;
  }
}

Deno.test("ChildMemory.recall() while tasks are claimed: takes those that were not", () => {
  for (const { start } of STARTS) {
    for (let claims = 0; claims <= 4; claims++) {
      const memory = makeMemory({ claim: start });
      let claimed = 0;
      const claim = () => {
        assert(memory.claim((start + claimed) | 0));
        claimed++;
      };
      const between = Array<() => void>(claims).fill(claim);
      const reader = new Interrupted(memory.buffer, between);
      const end = (start + 4) | 0;
      assertEquals(reader.recall(end), (start + claims) | 0);
      assertEquals(claimed, claims);
      assertEquals(memory.next, end);
      for (let i = claims; i < 4; i++) {
        assertFalse(memory.claim((start + i) | 0));
      }
    }
  }
});

Deno.test("claims in one thread and recalls in another: each task has one fate", async () => {
  const memory = makeMemory({ claim: -500 });
  const TASKS = 1_000;
  const url = new URL("../_child_memory.ts", import.meta.url).href;
  const claimer = `
    import { ChildMemory } from ${JSON.stringify(url)};
    onmessage = ({ data: { buffer, tasks, start, go } }) => {
      const memory = new ChildMemory(buffer);
      Atomics.wait(go, 0, 0);
      const claimed = [];
      for (let i = 0; i < tasks; i++) {
        // no task before it was sent, as in the ring
        while (Atomics.load(go, 0) <= i);
        if (memory.claim((start + i) | 0)) claimed.push(i);
      }
      postMessage(claimed);
    };
    postMessage("ready");`;
  const worker = new Worker(
    `data:text/javascript,${encodeURIComponent(claimer)}`,
    { type: "module" },
  );
  try {
    const listen = () =>
      new Promise<unknown>((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = (event) => {
          event.preventDefault();
          reject(new Error(event.message));
        };
      });
    await listen();
    const go = new Int32Array(new SharedArrayBuffer(4));
    const over = listen();
    worker.postMessage({
      buffer: memory.buffer,
      tasks: TASKS,
      start: -500,
      go,
    });
    const recalled: number[] = [];
    for (let sent = 1; sent <= TASKS; sent++) {
      Atomics.store(go, 0, sent);
      Atomics.notify(go, 0);
      if (sent % 7 !== 0) continue;
      const end = (-500 + sent) | 0;
      for (let task = memory.recall(end); task !== end; task++) {
        recalled.push(task + 500);
      }
    }
    const claimed = await over as number[];
    assertEquals(
      [...claimed, ...recalled].sort((a, b) => a - b),
      Array.from({ length: TASKS }, (_, i) => i),
    );
  } finally {
    worker.terminate();
  }
});

// -------------------------------------------------------------------- ring

Deno.test("ChildMemory.take() gives what was written, in memory of its own", () => {
  const memory = makeMemory();
  assert(memory.isEmpty());
  assertEquals(memory.take(), undefined);
  assertEquals(memory.waitForRoom().length, RING_BYTES);
  assertEquals(write(memory, bytes(100)), 100);
  assertFalse(memory.isEmpty());
  const taken = memory.take();
  assertEquals(taken, bytes(100));
  assert(taken?.buffer instanceof ArrayBuffer);
  assert(memory.isEmpty());
  assertEquals(memory.take(), undefined);
});

Deno.test("ChildMemory.put() puts bytes in, which wakes who sleeps", () => {
  const memory = makeMemory();
  const wake = memory.words[Control.WAKE];
  memory.put(bytes(10));
  memory.put(bytes(3));
  assert(memory.words[Control.WAKE] !== wake);
  assertEquals(memory.take(), new Uint8Array([...bytes(10), ...bytes(3)]));
});

for (const { name, start } of STARTS) {
  Deno.test(`ChildMemory.takeInto() takes what fits, up to the end of the ring, ${name}`, () => {
    const memory = makeMemory({ count: start - 5 });
    const before = (start - 5) & (RING_BYTES - 1);
    // up to the end of the ring in one go, so that the next bytes go around it
    for (let left = RING_BYTES - before - 8; left > 0;) {
      left -= write(memory, new Uint8Array(left));
      memory.take();
    }
    for (let left = 20; left > 0;) {
      left -= write(memory, bytes(20).subarray(20 - left));
    }
    const target = new Uint8Array(50);
    const lengths = [
      memory.takeInto(target.subarray(0, 3)),
      memory.takeInto(target.subarray(3)),
    ];
    while (!memory.isEmpty()) {
      const at = lengths.reduce((sum, length) => sum + length);
      lengths.push(memory.takeInto(target.subarray(at)));
    }
    assertEquals(target.subarray(0, 20), bytes(20));
    assertEquals(lengths.reduce((sum, length) => sum + length), 20);
    assertEquals(lengths[0], 3);
    assertEquals(memory.takeInto(target), 0);
  });
}

Deno.test("ChildMemory is one memory to both threads", () => {
  const memory = makeMemory();
  const other = new ChildMemory(memory.buffer);
  write(other, bytes(10));
  assertFalse(memory.isEmpty());
  assertEquals(memory.take(), bytes(10));
  assert(other.isEmpty());
  assert(memory.claim(0));
  assertFalse(other.claim(0));
  other.end();
  assert(memory.hasEnded());
});

Deno.test("ChildMemory.waitForRoom() gives what is free, up to the end of the ring", () => {
  const memory = makeMemory();
  memory.advance(RING_BYTES - 10);
  assertEquals(memory.waitForRoom().length, 10);
  memory.take();
  assertEquals(memory.waitForRoom().length, 10);
  memory.advance(10);
  assertEquals(memory.waitForRoom().length, RING_BYTES - 10);
  memory.advance(4);
  assertEquals(memory.waitForRoom().length, RING_BYTES - 14);
  assertEquals(memory.take()?.length, 10);
  assertEquals(memory.take()?.length, 4);
  assertEquals(memory.take(), undefined);
});

Deno.test("ChildMemory.waitForRoom() gives no byte that was not taken", () => {
  const memory = makeMemory();
  memory.advance(RING_BYTES);
  memory.take();
  memory.advance(RING_BYTES - 7);
  memory.take();
  memory.advance(7 + 100);
  const room = memory.waitForRoom();
  assertEquals([room.byteOffset - memory.words.byteLength, room.length], [
    100,
    RING_BYTES - 107,
  ]);
});

Deno.test("ChildMemory.waitForRoom() on a full ring returns once something is taken", async () => {
  for (const count of [0, 0x7fff_ffff - 5, -RING_BYTES - 5, -5]) {
    const memory = makeMemory({ count });
    while (usedOf(memory) < RING_BYTES) {
      memory.advance(memory.waitForRoom().length);
    }
    const url = new URL("../_child_memory.ts", import.meta.url).href;
    const waiter = `
      import { ChildMemory } from ${JSON.stringify(url)};
      onmessage = ({ data: { buffer, state } }) => {
        const memory = new ChildMemory(buffer);
        Atomics.store(state, 0, 1);
        Atomics.notify(state, 0);
        const { length } = memory.waitForRoom();
        // what the other thread had said when there was room
        postMessage([length, Atomics.load(state, 0)]);
      };`;
    const worker = new Worker(
      `data:text/javascript,${encodeURIComponent(waiter)}`,
      { type: "module" },
    );
    try {
      const state = new Int32Array(new SharedArrayBuffer(4));
      const { promise, resolve, reject } = Promise.withResolvers<unknown>();
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(event.message));
      };
      worker.postMessage({ buffer: memory.buffer, state });
      await Promise.race([
        Atomics.waitAsync(state, 0, 0).value,
        promise, // an error
      ]);
      Atomics.store(state, 0, 2);
      const { length } = memory.take()!;
      assertEquals(await promise, [
        Math.min(length, memory.waitForRoom().length),
        2,
      ]);
    } finally {
      worker.terminate();
    }
  }
});

Deno.test("any bytes in any sizes: all are taken as they came", () => {
  const size = fc.oneof(
    fc.integer({ min: 1, max: 1_000 }),
    fc.integer({ min: 1, max: RING_BYTES }),
    fc.constant(RING_BYTES),
    fc.constant(RING_BYTES / 2),
  );
  const counts = [0, 0x7fff_ffff - RING_BYTES, 0x7fff_ffff, -RING_BYTES, -1];
  const source = bytes(RING_BYTES + 251);
  let wrapped = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...counts),
      fc.array(fc.record({ write: size, takes: fc.nat(3) }), { maxLength: 10 }),
      (count, steps) => {
        const memory = makeMemory({ count });
        let written = 0, taken = 0;
        const takeOne = () => {
          const part = memory.take();
          assertEquals(part === undefined, written === taken);
          if (part === undefined) return false;
          assert(part.length > 0);
          // the pattern repeats after 256 bytes
          const at = taken & 255;
          const expected = source.subarray(at, at + part.length);
          for (let i = 0; i < part.length; i += 251) {
            if (part[i] !== source[(taken + i) & 255]) assert(false);
          }
          if (part.length < 1_000) assertEquals(part, expected);
          taken += part.length;
          return true;
        };
        for (const step of steps) {
          if (usedOf(memory) < RING_BYTES) {
            const at = written & 255;
            written += write(memory, source.subarray(at, at + step.write));
          }
          assertEquals(usedOf(memory), written - taken);
          for (let n = 0; n < step.takes && takeOne(); n++);
          assertEquals(memory.isEmpty(), written === taken);
        }
        while (takeOne());
        assertEquals(taken, written);
        assert(memory.isEmpty());
        if (written > RING_BYTES) wrapped++;
      },
    ),
    { numRuns: 300 },
  );
  assert(wrapped > 20, `${wrapped} went around`);
});

// ------------------------------------------------------------- wake, end

Deno.test("ChildMemory.advance() and end() change what sleepers wait on, after what they tell", () => {
  const memory = makeMemory();
  const wakes = () => memory.words[Control.WAKE];
  const before = wakes();
  write(memory, bytes(1));
  const after = wakes();
  assert(after !== before);
  assertFalse(memory.hasEnded());
  memory.end();
  assert(wakes() !== after);
  assert(memory.hasEnded());
  assertEquals(memory.take(), bytes(1));
  assert(memory.hasEnded());
});

for (const tell of ["advance", "end"] as const) {
  Deno.test(`ChildMemory.${tell}() wakes who sleeps`, async () => {
    const memory = makeMemory();
    const { words } = memory;
    Atomics.add(words, Control.SLEEPERS, 1);
    const wake = Atomics.load(words, Control.WAKE);
    const sleep = Atomics.waitAsync(words, Control.WAKE, wake);
    assert(sleep.async);
    if (tell === "advance") memory.advance(1);
    else memory.end();
    assertEquals(await sleep.value, "ok");
  });
}
