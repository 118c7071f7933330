/** What a pool lets go of, seen from programs that can have their memory collected. */

import { assert, assertEquals } from "@std/assert";
import { runProgram } from "./_program.ts";

const TIMEOUT_MS = 120_000;

/** Helpers that every program here begins with. */
const PRELUDE = `
  import { ThreadPoolExecutor } from "@concurrent/futures";

  const live = new Set();
  const made = SharedArrayBuffer;
  globalThis.SharedArrayBuffer = class extends made {
    constructor(length, options) {
      super(length, options);
      live.add(new WeakRef(this));
    }
  };

  /** Bytes of all shared memory that this thread made and still holds. */
  function sharedBytes() {
    let bytes = 0;
    for (const ref of live) {
      const buffer = ref.deref();
      if (buffer === undefined) live.delete(ref);
      else bytes += buffer.byteLength;
    }
    return bytes;
  }

  const turn = () => new Promise((resolve) => setTimeout(resolve));

  /** Collects until \`isDone\`, or until it is plain that it never will be. */
  async function collectUntil(isDone) {
    for (let i = 0; i < 200 && !isDone(); i++) {
      await turn();
      gc();
    }
  }

  /** The names of those that can still be reached. */
  async function stillThere(refs) {
    const names = () =>
      Object.keys(refs).filter((name) => refs[name].deref() !== undefined);
    await collectUntil(() => names().length === 0);
    return names();
  }

  function echo(value) {
    return value;
  }
`;

/** Runs a program that prints JSON, and returns what it printed. */
async function run(source: string): Promise<unknown> {
  const { code, stdout, stderr } = await runProgram(
    "// @ts-nocheck\n" + PRELUDE + source,
    {
      flags: ["--v8-flags=--expose-gc"],
      limitMs: 100_000,
    },
  );
  assertEquals([code, stderr], [0, ""]);
  return JSON.parse(stdout);
}

/** Registers a test of a program that prints the names of what is still there: none may be. */
function testCollected(name: string, source: string): void {
  Deno.test(name, { timeout: TIMEOUT_MS }, async () => {
    assertEquals(await run(source), []);
  });
}

testCollected(
  "after a task: argument, result, callback and future are collected while the pool lives",
  `
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  async function once() {
    const argument = { list: [1, undefined, new Uint8Array(100)] };
    const callback = () => {};
    const future = pool.submit(echo, argument);
    future.addDoneCallback(callback);
    const result = await future;
    return {
      argument: new WeakRef(argument),
      result: new WeakRef(result),
      callback: new WeakRef(callback),
      future: new WeakRef(future),
    };
  }
  const refs = await once();
  console.log(JSON.stringify(await stillThere(refs)));
  await pool.shutdown();
`,
);

testCollected(
  "after a task that was blocked for: argument, result and future are collected",
  `
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  function once() {
    const argument = { list: [1, undefined] };
    const future = pool.submit(echo, argument);
    const result = future.resultSync();
    return {
      argument: new WeakRef(argument),
      result: new WeakRef(result),
      future: new WeakRef(future),
    };
  }
  const refs = once();
  console.log(JSON.stringify(await stillThere(refs)));
  await pool.shutdown();
`,
);

testCollected(
  "after a task that failed, or was cancelled: future, error and callback are collected",
  `
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  function fail() {
    throw new RangeError("it broke");
  }
  async function once() {
    const failing = pool.submit(fail);
    const cancelled = pool.submit(echo, { a: undefined });
    const isCancelled = cancelled.cancel();
    const callback = () => {};
    cancelled.addDoneCallback(callback);
    failing.addDoneCallback(callback);
    const error = await failing.exception();
    if (!isCancelled) console.error("not cancelled");
    return {
      failing: new WeakRef(failing),
      cancelled: new WeakRef(cancelled),
      error: new WeakRef(error),
      callback: new WeakRef(callback),
    };
  }
  const refs = await once();
  console.log(JSON.stringify(await stillThere(refs)));
  await pool.shutdown();
`,
);

testCollected(
  "after a task with a signal: its future is collected while the signal lives",
  `
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  const controller = new AbortController();
  async function once() {
    const { signal } = controller;
    const future = pool.submitWith({ signal, timeout: 1e6 }, echo, 1);
    const waited = future.result({ signal, timeout: 1e6 });
    await waited;
    return { future: new WeakRef(future), waited: new WeakRef(waited) };
  }
  const refs = await once();
  console.log(JSON.stringify(await stillThere(refs)));
  await pool.shutdown();
  controller.abort();
`,
);

testCollected(
  "after a task: nothing of its argument and result is left in the worker",
  `
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  await pool.submit((value) => {
    const result = { result: [value, undefined] };
    globalThis.refs = { value: new WeakRef(value), result: new WeakRef(result) };
    return result;
  }, { argument: [undefined] });
  const names = await pool.submit(async () => {
    const there = () =>
      Object.keys(refs).filter((name) => refs[name].deref() !== undefined);
    for (let i = 0; i < 200 && there().length > 0; i++) {
      await new Promise((resolve) => setTimeout(resolve));
      gc();
    }
    return there();
  });
  console.log(JSON.stringify(names));
  await pool.shutdown();
`,
);

testCollected(
  "after map(): inputs, results and the iterator are collected while the pool lives",
  `
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  async function once() {
    const inputs = Array.from({ length: 20 }, (_, i) => ({ i, a: undefined }));
    const results = pool.map(echo, inputs, { chunkSize: 3 });
    const refs = { results: new WeakRef(results), input: new WeakRef(inputs[7]) };
    for await (const result of results) refs.last = new WeakRef(result);
    return refs;
  }
  const refs = await once();
  console.log(JSON.stringify(await stillThere(refs)));
  await pool.shutdown();
`,
);

testCollected(
  "after shutdown(): the pool and its shared memory are collected",
  `
  async function once() {
    const pool = new ThreadPoolExecutor({ maxWorkers: 2 });
    await Promise.all([1, 2, 3].map((n) => pool.submit(echo, n)));
    await pool.shutdown();
    return { pool: new WeakRef(pool) };
  }
  const refs = await once();
  const names = await stillThere(refs);
  // all that is left is the bell, and what the runtime itself may hold
  await collectUntil(() => sharedBytes() < 10_000);
  if (sharedBytes() >= 10_000) names.push(sharedBytes() + " bytes");
  console.log(JSON.stringify(names));
`,
);

testCollected(
  "functions that are not used any more are collected while the pool lives",
  `
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  async function once() {
    const fn = () => 1;
    await pool.submit(fn);
    return { fn: new WeakRef(fn) };
  }
  const refs = await once();
  console.log(JSON.stringify(await stillThere(refs)));
  await pool.shutdown();
`,
);

Deno.test(
  "200,000 pending tasks, again and again: their memory is given back",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    const rounds = await run(`
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  function hold(words) {
    Atomics.wait(words, 0, 0);
  }
  const rounds = [];
  for (let round = 0; round < 4; round++) {
    const words = new Int32Array(new SharedArrayBuffer(4));
    const gate = pool.submit(hold, words);
    let futures = [];
    for (let i = 0; i < 200_000; i++) futures.push(pool.submit(echo, i));
    const most = sharedBytes();
    Atomics.store(words, 0, 1);
    Atomics.notify(words, 0);
    const results = await Promise.all(futures);
    if (results.some((result, i) => result !== i)) console.error("wrong");
    await gate;
    futures = results.length = 0;
    await collectUntil(() => sharedBytes() < 1 << 20);
    rounds.push({ most, left: sharedBytes(), rss: Deno.memoryUsage().rss });
  }
  console.log(JSON.stringify(rounds));
  await pool.shutdown();
`) as { most: number; left: number; rss: number }[];
    for (const { most, left } of rounds) {
      assert(most > 8 << 20, `${most} bytes for all tasks`);
      assert(left < 1 << 20, `${left} bytes are left of ${most}`);
    }
    // 200,000 tasks that stayed would take 100 MB a round.
    const growth = rounds[3].rss - rounds[1].rss;
    assert(
      growth < 100 << 20,
      `${growth >> 20} MB more than two rounds before`,
    );
  },
);

Deno.test("100 large arguments and results: their memory is given back", {
  timeout: TIMEOUT_MS,
}, async () => {
  const { left, results } = await run(`
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  await pool.submit(echo, "first");
  let results = 0;
  for (let i = 0; i < 100; i++) {
    const result = await pool.submit(echo, new Uint8Array(4 << 20));
    results += result.length >> 20;
  }
  await collectUntil(() => sharedBytes() < 1 << 20);
  console.log(JSON.stringify({ left: sharedBytes(), results }));
  await pool.shutdown();
`) as { left: number; results: number };
  assertEquals(results, 400);
  assert(left < 1 << 20, `${left} bytes are left`);
});

// Deno keeps what a message shares until it is read: what dead workers had not read grew without end.
Deno.test(
  "60 workers that die before they have heard of large arguments: their memory is given back",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    const growth = await run(`
  const pool = new ThreadPoolExecutor({ maxWorkers: 2 });
  const large = new Uint8Array(3 << 20).fill(1);
  let before = 0;
  for (let round = 0; round < 80; round++) {
    if (round === 20) before = Deno.memoryUsage().rss;
    const dying = pool.submit(() =>
      new Promise(() => setTimeout(() => Deno.exit(1), 60))
    );
    while (!dying.running()) await new Promise((go) => setTimeout(go, 1));
    for (let i = 0; i < 4; i++) await pool.submit(echo, large);
    await dying.exception();
  }
  await collectUntil(() => sharedBytes() < 1 << 20);
  console.log(JSON.stringify(Deno.memoryUsage().rss - before));
  await pool.shutdown();
`) as number;
    assert(growth < 100 << 20, `${growth >> 20} MB more`);
  },
);

// The same of what was moved: the owner answers a worker that has died meanwhile.
Deno.test(
  "50 workers that die before they are sent what was moved to them: its memory is given back",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    const { growth, lost } = await run(`
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  const dieLater = () => void setTimeout(() => Deno.exit(1), 10);
  let before = 0, lost = 0;
  for (let round = 0; round < 60; round++) {
    if (round === 10) before = Deno.memoryUsage().rss;
    await pool.submit(dieLater);
    const bytes = new Uint8Array(4 << 20).fill(1);
    const options = { transfer: [bytes.buffer] };
    const moved = pool.submitWith(options, (b) => b.length, bytes);
    const end = performance.now() + 50;
    while (performance.now() < end); // it asks, dies, and then is answered
    if (await moved.exception() !== null) lost++;
  }
  await collectUntil(() => sharedBytes() < 1 << 20);
  console.log(JSON.stringify({ growth: Deno.memoryUsage().rss - before, lost }));
  await pool.shutdown();
`) as { growth: number; lost: number };
    assert(lost > 25, `${lost} of 60 workers died meanwhile`);
    assert(growth < 100 << 20, `${growth >> 20} MB more`);
  },
);

Deno.test(
  "50 workers whose end was not noticed yet when large arguments came: their memory is given back",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    const growth = await run(`
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  const dieLater = () => void setTimeout(() => Deno.exit(1), 10);
  const large = new Uint8Array(4 << 20).fill(1);
  let before = 0;
  for (let round = 0; round < 60; round++) {
    if (round === 10) before = Deno.memoryUsage().rss;
    await pool.submit(dieLater);
    const end = performance.now() + 50;
    while (performance.now() < end);
    const { length } = await pool.submit(echo, large);
    if (length !== large.length) console.error("wrong");
  }
  await collectUntil(() => sharedBytes() < 1 << 20);
  console.log(JSON.stringify(Deno.memoryUsage().rss - before));
  await pool.shutdown();
`) as number;
    assert(growth < 100 << 20, `${growth >> 20} MB more`);
  },
);

// A worker is started with the chunks that there are: neither side may hold on to that list.
Deno.test(
  "a large argument that a worker starts with: its memory is given back",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    const left = await run(`
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  await pool.submit(echo, new Uint8Array(4 << 20));
  await collectUntil(() => sharedBytes() < 1 << 20);
  console.log(JSON.stringify(sharedBytes()));
  await pool.shutdown();
`) as number;
    assert(left < 1 << 20, `${left} bytes are left`);
  },
);

Deno.test(
  "functions made anew 20,000 times: their definitions do not pile up",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    const { left, names } = await run(`
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  const refs = {};
  async function calls(from, to) {
    const futures = [];
    for (let n = from; n < to; n++) {
      const fn = new Function("return " + n + "; /*" + "x".repeat(2_000) + "*/");
      futures.push(pool.submit(fn));
      if (n % 1_000 === 0) refs[n] = new WeakRef(fn);
    }
    const results = await Promise.all(futures);
    if (results.some((result, n) => result !== from + n)) console.error("wrong");
  }
  for (let i = 0; i < 20_000; i += 100) await calls(i, i + 100);
  const names = await stillThere(refs);
  await collectUntil(() => sharedBytes() < 4 << 20);
  console.log(JSON.stringify({ left: sharedBytes(), names }));
  await pool.shutdown();
`) as { left: number; names: string[] };
    // 1,024 are kept, of 2 KB each; all of them would be 40 MB.
    assert(left < 4 << 20, `${left} bytes are left`);
    assertEquals(names, []);
  },
);
