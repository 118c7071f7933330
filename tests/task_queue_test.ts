import { assert, assertEquals, assertFalse } from "@std/assert";
import { stub } from "@std/testing/mock";
import { type ChunkMessage, ChunkTable, type OwnedChunk } from "../_chunks.ts";
import { Control, POINTER_WORDS, Record, State } from "../_layout.ts";
import { runningState, TaskQueue, TaskSource } from "../_task_queue.ts";
import { type Future, ThreadPoolExecutor } from "../mod.ts";
import { liveWorkers } from "./_leaks.ts";

const RECORD_BYTES = Record.WORDS * Int32Array.BYTES_PER_ELEMENT;
const FIRST_PLACES = 1_024;
const TIMEOUT_MS = 60_000;

/** Where a task lies. */
interface Place {
  readonly chunk: OwnedChunk;
  readonly at: number;
}

/** A queue whose workers live in this thread, so that a test says who acts when. */
class Bench {
  readonly #mails: ChunkMessage[][] = [];
  readonly #tables: ChunkTable[] = [];
  readonly queue = new TaskQueue({
    post: (message) => this.#mails.forEach((mail) => mail.push(message)),
    allTaken: () => this.#mails.every((mail) => mail.length === 0),
  });
  #made = 0;

  /** Makes a worker's half; `onMail` runs when it is about to read its mail, in the middle of a claim. */
  worker(number = this.#mails.length, onMail = () => {}): TaskSource {
    const mail = this.queue.chunks.messages();
    this.#mails.push(mail);
    const chunks = new ChunkTable(() => {
      onMail();
      return mail.shift();
    });
    this.#tables.push(chunks);
    return new TaskSource(this.queue.control, chunks, number);
  }

  /** Lets all workers read their mail, as they do when they are idle. */
  readMail(): void {
    for (const table of this.#tables) table.update();
  }

  /** Publishes the next task; tasks count from 0. */
  publish(): Place {
    const chunk = this.queue.chunks.room(RECORD_BYTES);
    const at = chunk.top >> 2;
    chunk.top += RECORD_BYTES;
    chunk.live++;
    chunk.words[at + Record.TASK] = this.#made++;
    Atomics.store(chunk.words, at + Record.STATE, State.PENDING);
    this.queue.publish(chunk, at);
    return { chunk, at };
  }

  publishMany(count: number): Place[] {
    return Array.from({ length: count }, () => this.publish());
  }

  cancel({ chunk, at }: Place): boolean {
    if (!this.queue.cancel(chunk, at)) return false;
    this.queue.chunks.release(chunk);
    return true;
  }

  /** Ends a claimed task, and gives its memory back. */
  finish(source: TaskSource): void {
    assert(source.finish(source.chunk, source.at));
    const { chunks } = this.queue;
    chunks.release(chunks.get(source.chunk.id));
  }
}

function stateOf({ chunk, at }: Place): number {
  return Atomics.load(chunk.words, at + Record.STATE);
}

function claimOne(source: TaskSource): number | undefined {
  if (!source.claim()) return undefined;
  return source.chunk.words[source.at + Record.TASK];
}

function claimAll(source: TaskSource): number[] {
  const claimed: number[] = [];
  for (let task; (task = claimOne(source)) !== undefined;) claimed.push(task);
  return claimed;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

// ------------------------------------------------------- claim and cancel

Deno.test("TaskSource.claim() takes tasks in the order of publication", () => {
  const bench = new Bench();
  const worker = bench.worker();
  assertEquals(claimAll(worker), []);
  assert(worker.isEmpty());
  bench.publishMany(3);
  assertFalse(worker.isEmpty());
  assertEquals(bench.queue.length, 3);
  assertEquals(claimAll(worker), [0, 1, 2]);
  assert(worker.isEmpty());
  assertEquals(bench.queue.length, 0);
});

Deno.test("TaskSource.claim() gives a task to one of several workers", () => {
  const bench = new Bench();
  const workers = [bench.worker(), bench.worker(), bench.worker()];
  bench.publishMany(6);
  const claimed = [0, 2, 1, 1, 0, 2].map((i) => claimOne(workers[i]));
  assertEquals(claimed, [0, 1, 2, 3, 4, 5]);
  assertEquals(workers.map(claimOne), [undefined, undefined, undefined]);
});

Deno.test("TaskSource.claim() marks the task as running on this worker", () => {
  const bench = new Bench();
  const worker = bench.worker(5);
  const place = bench.publish();
  worker.claim();
  assertEquals(stateOf(place), runningState(5));
  assertEquals(stateOf(place) >> State.SHIFT, 5);
});

Deno.test("TaskQueue.cancel() before claim(): the worker passes the task by", () => {
  const bench = new Bench();
  const worker = bench.worker();
  const [first, second, third] = bench.publishMany(3);
  assert(bench.cancel(second));
  assertEquals(stateOf(second), State.CANCELLED);
  assertEquals(claimAll(worker), [0, 2]);
  assertEquals(stateOf(second), State.SKIPPED);
  assertEquals([stateOf(first), stateOf(third)], [2, 2]);
});

Deno.test("TaskQueue.cancel() after claim(): the task runs", () => {
  const bench = new Bench();
  const worker = bench.worker();
  const place = bench.publish();
  worker.claim();
  assertFalse(bench.cancel(place));
  assertEquals(stateOf(place), runningState(0));
  assert(worker.finish(worker.chunk, worker.at));
  assertEquals(stateOf(place), State.DONE);
  assertFalse(bench.cancel(place));
});

Deno.test("TaskQueue.cancel() cancels once", () => {
  const bench = new Bench();
  const place = bench.publish();
  assert(bench.queue.cancel(place.chunk, place.at));
  assertFalse(bench.queue.cancel(place.chunk, place.at));
});

Deno.test("TaskQueue.cancel() between the worker's look at the pointer and its claim: the task is cancelled", () => {
  const bench = new Bench();
  const places: Place[] = [];
  // The worker reads its mail after it has read HEAD and before it claims.
  const worker = bench.worker(0, () => {
    bench.cancel(places[0]);
  });
  places.push(bench.publish(), bench.publish());
  assertEquals(claimAll(worker), [1]);
  assertEquals(stateOf(places[0]), State.SKIPPED);
});

Deno.test("TaskSource.finish() tells that the owner had stopped the task", () => {
  const bench = new Bench();
  const worker = bench.worker();
  const { chunk, at } = bench.publish();
  worker.claim();
  Atomics.store(chunk.words, at + Record.STATE, State.STOPPED);
  assertFalse(worker.finish(chunk, at));
  assertEquals(stateOf({ chunk, at }), State.STOPPED);
});

// ------------------------------------------------------- growth, tidying

Deno.test("TaskQueue.publish() keeps the order while the ring grows", () => {
  const bench = new Bench();
  const worker = bench.worker();
  bench.publishMany(FIRST_PLACES * 9);
  assertEquals(bench.queue.length, FIRST_PLACES * 9);
  assertEquals(claimAll(worker), range(0, FIRST_PLACES * 9));
});

Deno.test("TaskQueue.publish() keeps the order while the ring grows under a worker that claims", () => {
  const bench = new Bench();
  const workers = [bench.worker(), bench.worker()];
  const claimed: number[] = [];
  for (let i = 0; i < 20_000; i++) {
    bench.publish();
    if (i % 3 === 0) claimed.push(claimOne(workers[i & 1])!);
  }
  assertEquals(claimed, range(0, claimed.length));
  assertEquals(claimAll(workers[0]), range(claimed.length, 20_000));
});

Deno.test("TaskQueue.publish() keeps a full ring in order, however often it goes round", () => {
  const bench = new Bench();
  const worker = bench.worker();
  bench.publishMany(FIRST_PLACES);
  for (let i = 0; i < FIRST_PLACES * 3; i++) {
    assertEquals(claimOne(worker), i);
    bench.publish();
  }
  assertEquals(bench.queue.length, FIRST_PLACES);
  assertEquals(
    claimAll(worker),
    range(FIRST_PLACES * 3, FIRST_PLACES * 4),
  );
});

Deno.test("TaskQueue.publish() that grows the ring between a worker's look at HEAD and its claim: no task is lost or run twice", () => {
  const bench = new Bench();
  let isFirst = true;
  const late = bench.worker(0, () => {
    if (isFirst) {
      isFirst = false;
      bench.publishMany(FIRST_PLACES * 2);
    }
  });
  const other = bench.worker(1);
  bench.publishMany(FIRST_PLACES);
  const first = claimOne(late)!;
  const rest = [...claimAll(other), ...claimAll(late)];
  assertEquals(
    [first, ...rest].sort((a, b) => a - b),
    range(0, FIRST_PLACES * 3),
  );
});

Deno.test("TaskQueue.cancel() that tidies between a worker's look at HEAD and its claim: no task is lost or run twice", () => {
  const bench = new Bench();
  let places: Place[] = [];
  const late = bench.worker(0, () => {
    places.slice(0, 1_500).forEach((place) => bench.cancel(place));
    places = [];
  });
  places = bench.publishMany(2_000);
  assertEquals(claimAll(late), range(1_500, 2_000));
});

Deno.test("TaskQueue.cancel() tidies once most are cancelled, and keeps the others in order", () => {
  const bench = new Bench();
  const worker = bench.worker();
  const places = bench.publishMany(10_000);
  places.forEach((place, i) => i % 10 === 0 || bench.cancel(place));
  assert(bench.queue.length < 5_000, `length is ${bench.queue.length}`);
  assertEquals(
    claimAll(worker),
    range(0, 1_000).map((i) => i * 10),
  );
  const states = new Set(places.filter((_, i) => i % 10 !== 0).map(stateOf));
  assertEquals(states, new Set([State.SKIPPED]));
});

Deno.test("TaskQueue.cancel() of all tasks, one after another, leaves an empty queue that works", () => {
  const bench = new Bench();
  const worker = bench.worker();
  for (const place of bench.publishMany(5_000)) assert(bench.cancel(place));
  assertEquals(claimAll(worker), []);
  assertEquals(bench.queue.length, 0);
  bench.publishMany(2);
  assertEquals(claimAll(worker), [5_000, 5_001]);
});

Deno.test("TaskQueue.cancel() that tidies leaves claimed tasks alone", () => {
  const bench = new Bench();
  const worker = bench.worker();
  const places = bench.publishMany(4_000);
  for (let i = 0; i < 100; i++) worker.claim();
  for (const place of places) bench.cancel(place);
  assertEquals(claimAll(worker), []);
  const running = places.slice(0, 100).map(stateOf);
  assertEquals(new Set(running), new Set([runningState(0)]));
});

Deno.test("TaskQueue.rest() gives the memory of a grown ring back", () => {
  const bench = new Bench();
  const worker = bench.worker();
  bench.publish();
  claimOne(worker);
  bench.finish(worker);
  bench.queue.rest();
  const before = bench.queue.chunks.byteLength;
  bench.publishMany(100_000);
  assert(bench.queue.chunks.byteLength > before * 10);
  for (let i = 0; i < 100_000; i++) {
    worker.claim();
    bench.finish(worker);
  }
  // The first time the worker has not read of what came last, so none of it may go.
  bench.queue.rest();
  bench.readMail();
  bench.queue.rest();
  assert(
    bench.queue.chunks.byteLength <= before * 2,
    `${bench.queue.chunks.byteLength} bytes are left, ${before} before`,
  );
  bench.publishMany(3_000);
  assertEquals(claimAll(worker), range(100_001, 103_001));
});

// -------------------------------------------------------------- wake-ups

const SLEEP_MS = 500;

/** Does what a worker does before it sleeps; the promise tells how its sleep ended, if it fell asleep. */
function fallAsleep(
  control: Int32Array<SharedArrayBuffer>,
  source: TaskSource,
): Promise<string> | undefined {
  Atomics.add(control, Control.SLEEPERS, 1);
  const wake = Atomics.load(control, Control.WAKE);
  if (!source.isEmpty()) {
    Atomics.sub(control, Control.SLEEPERS, 1);
    return undefined;
  }
  const { value } = Atomics.waitAsync(control, Control.WAKE, wake, SLEEP_MS);
  const timer = setTimeout(() => {}, SLEEP_MS * 2); // waitAsync keeps no process alive
  return Promise.resolve(value).then((outcome) => {
    clearTimeout(timer);
    Atomics.sub(control, Control.SLEEPERS, 1);
    return outcome;
  });
}

/**
 * Lets workers with nothing to do look at the queue just before `act` shows its tasks: the last
 * moment at which they may find it empty. Returns how the sleep of those who fell asleep ended.
 */
async function lookJustBefore(
  bench: Bench,
  workers: TaskSource[],
  act: () => void,
): Promise<string[]> {
  const { control } = bench.queue;
  const { store } = Atomics;
  const asleep: (Promise<string> | undefined)[] = [];
  const stubbed = stub(
    Atomics,
    "store",
    ((target: Int32Array, index: number, value: number) => {
      const isTail = target === control && index === Control.TAIL;
      if (isTail && asleep.length === 0) {
        for (const worker of workers) asleep.push(fallAsleep(control, worker));
      }
      return store(target, index, value);
    }) as typeof Atomics.store,
  );
  try {
    act();
  } finally {
    stubbed.restore();
  }
  assertEquals(asleep.length, workers.length);
  const outcomes = await Promise.all(asleep);
  return outcomes.filter((outcome) => outcome !== undefined);
}

Deno.test("TaskQueue.wake() after publish(): a worker that looked just before is woken", async () => {
  const bench = new Bench();
  const worker = bench.worker();
  const outcomes = await lookJustBefore(bench, [worker], () => {
    bench.publish();
    bench.queue.wake();
  });
  assertEquals(outcomes, ["ok"]);
  assertEquals(claimAll(worker), [0]);
});

// While the owner grows or tidies the ring, workers find the queue empty. Whoever falls asleep then
// has to be woken: for growth, only one was, and for tidying none, so tasks waited for ever.

Deno.test("TaskQueue.publish() that grows the ring: workers that looked meanwhile are all woken", async () => {
  const bench = new Bench();
  const workers = [bench.worker(), bench.worker(), bench.worker()];
  bench.publishMany(FIRST_PLACES);
  const outcomes = await lookJustBefore(bench, workers, () => {
    bench.publish();
    bench.queue.wake();
  });
  assertEquals(outcomes, outcomes.map(() => "ok"));
});

Deno.test("TaskQueue.cancel() that tidies the ring: workers that looked meanwhile are all woken", async () => {
  const bench = new Bench();
  const workers = [bench.worker(), bench.worker()];
  const places = bench.publishMany(4_000);
  const outcomes = await lookJustBefore(bench, workers, () => {
    for (const place of places.slice(0, 3_000)) bench.cancel(place);
  });
  assertEquals(outcomes, outcomes.map(() => "ok"));
  assertEquals(claimAll(workers[1]), range(3_000, 4_000));
});

Deno.test("TaskQueue.wake() wakes no more workers than there are tasks", async () => {
  const bench = new Bench();
  const workers = [bench.worker(), bench.worker()];
  const asleep = workers.map((worker) =>
    fallAsleep(bench.queue.control, worker)
  );
  bench.publish();
  bench.queue.wake();
  assertEquals((await Promise.all(asleep)).sort(), ["ok", "timed-out"]);
});

Deno.test("TaskQueue.wake() costs nothing where nobody sleeps", () => {
  const { queue } = new Bench();
  queue.wake();
  assertEquals(queue.control[Control.WAKE], 0);
});

Deno.test("TaskQueue.close() wakes every worker, and says so", async () => {
  const bench = new Bench();
  const workers = [bench.worker(), bench.worker()];
  const asleep = workers.map((worker) =>
    fallAsleep(bench.queue.control, worker)
  );
  bench.queue.close();
  assertEquals(await Promise.all(asleep), ["ok", "ok"]);
  assertEquals(Atomics.load(bench.queue.control, Control.CLOSING), 1);
});

// ------------------------------------------------------------ ticket wrap

for (const from of [0x7fff_fffd, -3]) {
  Deno.test(`TaskSource.claim() goes on where tickets pass ${from === -3 ? "0" : "2^31"}`, () => {
    // Two billion tasks would take minutes: so the owner's half is written by hand.
    const control = new Int32Array(new SharedArrayBuffer(Control.WORDS * 4));
    const ring = new SharedArrayBuffer(4 * POINTER_WORDS * 4);
    const tasks = new SharedArrayBuffer(6 * RECORD_BYTES);
    const words = new Int32Array(tasks), places = new Int32Array(ring);
    const mail: ChunkMessage[] = [
      { take: 1, buffer: ring },
      { take: 2, buffer: tasks },
    ];
    const worker = new TaskSource(
      control,
      new ChunkTable(() => mail.shift()),
      0,
    );
    control[Control.RING_CHUNK] = 1;
    control[Control.RING_MASK] = 3;
    control[Control.HEAD] = control[Control.TAIL] = from;
    const claimed: (number | undefined)[] = [];
    for (let i = 0; i < 6; i++) {
      const ticket = (from + i) | 0, at = i * Record.WORDS;
      words[at + Record.TASK] = i;
      words[at + Record.STATE] = State.PENDING;
      places[(ticket & 3) * POINTER_WORDS] = 2;
      places[(ticket & 3) * POINTER_WORDS + 1] = at;
      Atomics.store(control, Control.TAIL, (ticket + 1) | 0);
      claimed.push(claimOne(worker), claimOne(worker));
    }
    assertEquals(claimed, range(0, 6).flatMap((i) => [i, undefined]));
    assertEquals(control[Control.HEAD], (from + 6) | 0);
  });
}

// ------------------------------------------------------------ two threads

/** Shared words that tasks find under a global name: an argument would be handed over by the event loop. */
function keepWords(words: Int32Array): void {
  (globalThis as unknown as { words: Int32Array }).words = words;
}

/** A task: blocks until `words[gate]` is set. */
function block(gate: number): void {
  const { words } = globalThis as unknown as { words: Int32Array };
  Atomics.wait(words, gate, 0);
}

/** A task: counts its run. */
function count(index: number): void {
  const { words } = globalThis as unknown as { words: Int32Array };
  Atomics.add(words, index, 1);
}

function open(words: Int32Array, gate: number): void {
  Atomics.store(words, gate, 1);
  Atomics.notify(words, gate);
}

/** Busy, so that the event loop has no part in it. */
function waitUntilRunning(...futures: Future<unknown>[]): void {
  while (!futures.every((future) => future.running()));
}

Deno.test("cancel() of most tasks while a worker runs dry: the others run", {
  timeout: TIMEOUT_MS,
}, async () => {
  for (let round = 0; round < 3; round++) {
    const words = new Int32Array(new SharedArrayBuffer(8));
    const pool = new ThreadPoolExecutor({
      maxWorkers: 1,
      initializer: keepWords,
      initArgs: [words],
    });
    const gate = pool.submit(block, 0);
    const futures: Future<void>[] = [];
    for (let i = 0; i < 100_000; i++) futures.push(pool.submit(count, 1));
    waitUntilRunning(gate);
    for (let i = 0; i < 50_010; i++) {
      // The worker is through just before the cancel that tidies the ring.
      if (i === 49_998) open(words, 0);
      futures[99_999 - i].cancel();
    }
    const others = futures.filter((future) => !future.cancelled());
    await Promise.all(others);
    assertEquals(Atomics.load(words, 1), others.length);
    await pool.shutdown();
  }
  assertEquals(liveWorkers(), 0);
});

Deno.test(
  "submit() that grows the ring while two workers run dry: no task waits behind a busy worker",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    for (let round = 0; round < 3; round++) {
      const words = new Int32Array(new SharedArrayBuffer(12));
      const pool = new ThreadPoolExecutor({
        maxWorkers: 2,
        initializer: keepWords,
        initArgs: [words],
      });
      const gates = [pool.submit(block, 0), pool.submit(block, 0)];
      waitUntilRunning(...gates);
      const busy = pool.submit(block, 1);
      const places = 1 << 17;
      const futures: Future<void>[] = [];
      for (let i = 0; i < places; i++) {
        // Both workers are through just before the submit that grows the ring.
        if (i === places - 2) open(words, 0);
        futures.push(pool.submit(count, 2));
      }
      await Promise.all(futures);
      assertFalse(busy.done());
      open(words, 1);
      await busy;
      await pool.shutdown();
      assertEquals(Atomics.load(words, 2), places);
    }
    assertEquals(liveWorkers(), 0);
  },
);

/** Spins for a time too short for a timer. */
function spin(micros: number): void {
  const until = performance.now() + micros / 1_000;
  while (performance.now() < until);
}

Deno.test(
  "cancel() against workers that claim: cancelled tasks never run, all others run once",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    const tasks = 20_000, batch = 8;
    const words = new Int32Array(new SharedArrayBuffer((tasks + 1) * 4));
    const pool = new ThreadPoolExecutor({
      maxWorkers: 2,
      initializer: keepWords,
      initArgs: [words],
    });
    const gates = [pool.submit(block, tasks), pool.submit(block, tasks)];
    waitUntilRunning(...gates);
    const futures: Future<void>[] = [];
    const answers: boolean[] = [];
    // The owner cancels close behind the workers, without a turn of the event loop.
    for (let from = 0; from < tasks; from += batch) {
      for (let i = from; i < from + batch; i++) {
        futures.push(pool.submit(count, i));
      }
      if (from === batch) open(words, tasks); // those of the first batch are cancelled for sure
      if (from % 800 === 80) waitUntilRunning(futures[from]); // and here one runs for sure
      spin(from / batch % 40);
      for (let i = from; i < from + batch; i++) {
        answers.push(futures[i].cancel());
      }
    }
    await Promise.all(futures.map((future) => future.catch(() => {})));
    await pool.shutdown();
    const runs = answers.map((_, i) => Atomics.load(words, i));
    assertEquals(runs, answers.map((cancelled) => cancelled ? 0 : 1));
    assertEquals(futures.map((future) => future.cancelled()), answers);
    assert(answers.includes(true));
    assert(answers.includes(false));
    assertEquals(liveWorkers(), 0);
  },
);
