import {
  assert,
  assertEquals,
  assertFalse,
  assertMatch,
  assertNotStrictEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { assertType, type IsExact } from "@std/testing/types";
import {
  asCompleted,
  BrokenThreadPool,
  Future,
  type MapResults,
  ThreadPoolExecutor,
  TimeoutError,
} from "../mod.ts";
import { progress, type ProgressOptions } from "../progress.ts";
import { Gate, passGate } from "./_gate.ts";
import { liveWorkers } from "./_leaks.ts";
import { runProgram } from "./_program.ts";
import { readFrames, Screen } from "./_screen.ts";

const TIMEOUT_MS = 60_000;
const FORMS = ["for await", "for"] as const;
const MODULE = import.meta.resolve("../progress.ts");

/** What a test with a pool is given. */
interface Setting {
  readonly pool: ThreadPoolExecutor;
  readonly screen: Screen;
  readonly gate: Gate;
}

/** Defines a test with a pool and a terminal, and asserts that no worker is left after it. */
function testPool(
  name: string,
  maxWorkers: number,
  fn: (setting: Setting) => Promise<void>,
): void {
  Deno.test(name, { timeout: TIMEOUT_MS }, async () => {
    using gate = new Gate();
    using screen = new Screen();
    const pool = new ThreadPoolExecutor({ maxWorkers });
    try {
      await fn({ pool, screen, gate });
    } finally {
      gate.open();
      await pool.shutdown({ cancelFutures: true });
    }
    assertEquals(liveWorkers(), 0);
  });
}

/** What came out of an iteration: the values, and what it threw in the end. */
interface Outcome<T> {
  values: T[];
  thrown?: unknown;
}

/** Goes through all values in one form or the other, until `stop` says so. */
async function collect<T>(
  form: (typeof FORMS)[number],
  source: AsyncIterable<T> & Iterable<T>,
  stop: (value: T) => boolean = () => false,
): Promise<Outcome<T>> {
  const values: T[] = [];
  try {
    if (form === "for") {
      for (const value of source) {
        if (values.push(value) && stop(value)) break;
      }
    } else {
      for await (const value of source) {
        if (values.push(value as T) && stop(value as T)) break;
      }
    }
  } catch (thrown) {
    return { values, thrown };
  }
  return { values };
}

function isOdd(n: number): boolean {
  if (n < 0) throw new RangeError(`${n} is negative`);
  return n % 2 === 1;
}

function finished<T>(value: T): Future<T> {
  const future = new Future<T>();
  future.setResult(value);
  return future;
}

async function* generateLater<T>(...items: T[]): AsyncGenerator<T, undefined> {
  for (const item of items) yield await Promise.resolve(item);
}

function* generate<T>(...items: T[]): Generator<T, undefined> {
  yield* items;
}

// ----------------------------------------------------------------------- map

for (const form of FORMS) {
  testPool(
    `progress() shows the calls of map (${form})`,
    2,
    async (setting) => {
      const { pool, screen } = setting;
      const results = progress(pool.map(isOdd, [1, 2, 3]), { label: "odd" });
      const { values } = await collect(form, results);
      assertEquals(values, [true, false, true]);
      assertMatch(screen.frames[0], /^odd +\d+% \| \d\/3 done \| 0 failed \| /);
      assertMatch(
        screen.frames.at(-1)!,
        /^odd +100% \| 3\/3 done \| 0 failed \| [\d.?]+\/s \| \d+s$/,
      );
      screen.assertEnded();
    },
  );

  testPool(
    `progress() shows a call that fails, and throws what map throws (${form})`,
    1,
    async (setting) => {
      const { pool, screen } = setting;
      const { values, thrown } = await collect(
        form,
        progress(pool.map(isOdd, [1, -2])),
      );
      assertEquals(values, [true]);
      assertEquals(String(thrown), "RangeError: -2 is negative");
      assertStringIncludes(screen.frames.at(-1)!, "2/2 done | 1 failed");
      screen.assertEnded();
    },
  );

  testPool(
    `progress() counts calls where map has chunks (${form})`,
    1,
    async (setting) => {
      const { pool, screen } = setting;
      const all = await collect(
        form,
        progress(pool.map(isOdd, [1, 2, 3, 4, 5], { chunkSize: 2 })),
      );
      assertEquals(all.values.length, 5);
      assertStringIncludes(screen.frames.at(-1)!, "5/5 done | 0 failed");
      // The call after the one that fails is never made.
      const some = await collect(
        form,
        progress(pool.map(isOdd, [1, 2, 3, 4, -5, 6], { chunkSize: 3 })),
      );
      assertEquals(some.values.length, 4);
      assertStringIncludes(screen.frames.at(-1)!, "5/6 done | 1 failed");
    },
  );

  testPool(
    `progress() knows no total of a generator until map has come to its end (${form})`,
    1,
    async (setting) => {
      const { pool, screen } = setting;
      const results = pool.map(isOdd, generate(1, 2, 3), { bufferSize: 1 });
      const { values } = await collect(form, progress(results));
      assertEquals(values, [true, false, true]);
      assertMatch(screen.frames[0], /^\d done \| 0 failed \| [^|]+ \| \d+s$/);
      assertStringIncludes(screen.frames.at(-1)!, "3/3 done");
    },
  );

  testPool(
    `progress() ends with the iteration that is left early, which cancels as map does (${form})`,
    1,
    async (setting) => {
      const { pool, screen, gate } = setting;
      const ran = new Int32Array(new SharedArrayBuffer(4));
      const task = (n: number, ran: Int32Array, gate: SharedArrayBuffer) => {
        Atomics.add(ran, 0, 1);
        if (n > 0) Atomics.wait(new Int32Array(gate), 0, 0);
        return n;
      };
      const numbers = [0, 1, 2, 3];
      const results = progress(
        pool.map(
          task,
          numbers,
          numbers.map(() => ran),
          numbers.map(() => gate.memory),
        ),
      );
      const first = await collect(form, results, () => true);
      assertEquals(first.values, [0]);
      assertStringIncludes(screen.frames.at(-1)!, "1/4 done | 0 failed | ");
      screen.assertEnded();
      const { text } = screen;
      gate.open();
      assertEquals(await pool.submit(isOdd, 1), true);
      assert(ran[0] <= 2, "what had not started was cancelled");
      assertEquals(await collect(form, results), { values: [] });
      assertEquals(screen.text, text);
    },
  );

  testPool(
    `progress() passes the TimeoutError of map on (${form})`,
    1,
    async (setting) => {
      const { pool, screen, gate } = setting;
      const map = () =>
        pool.map(passGate, [gate.memory], ["late"], { timeout: 1 });
      const { thrown } = await collect(form, progress(map()));
      const { thrown: bare } = await collect(form, map());
      assert(thrown instanceof TimeoutError);
      assertEquals(thrown.message, (bare as TimeoutError).message);
      assertStringIncludes(screen.frames.at(-1)!, "0/1 done | 0 failed");
      screen.assertEnded();
    },
  );
}

testPool(
  "progress() counts calls when they complete, whatever the first of them takes",
  2,
  async (setting) => {
    const { pool, screen, gate } = setting;
    const memories = [gate.memory, undefined, undefined, undefined];
    const results = progress(
      pool.map(
        (memory?: SharedArrayBuffer) =>
          memory && Atomics.wait(new Int32Array(memory), 0, 0),
        memories,
      ),
    );
    const values = Array.fromAsync(results);
    await screen.untilDrawn("3/4 done");
    gate.open();
    assertEquals((await values).length, 4);
    assertStringIncludes(screen.frames.at(-1)!, "4/4 done");
  },
);

testPool(
  "progress() shows the time going on while a call is waited for",
  1,
  async (setting) => {
    const { pool, screen, gate } = setting;
    const results = progress(
      pool.map(passGate, [gate.memory], ["a"]),
    );
    const values = Array.fromAsync(results);
    await screen.untilDrawn("0/1 done", "| 1s | ETA ?");
    gate.open();
    assertEquals(await values, ["a"]);
  },
);

testPool(
  "progress() counts what was sent and consumed before it was called",
  1,
  async (setting) => {
    const { pool, screen } = setting;
    const results = pool.map(isOdd, [1, 2, 3, 4, 5], {
      chunkSize: 2,
      bufferSize: 1,
    });
    for (let i = 0; i < 3; i++) await results.next();
    assertEquals(await Array.fromAsync(progress(results)), [false, true]);
    assertStringIncludes(screen.frames.at(-1)!, "5/5 done");
  },
);

testPool(
  "progress() counts the calls of a chunk that fails as a whole",
  1,
  async (setting) => {
    const { pool, screen } = setting;
    const exit = (n: number) => n === 4 ? Deno.exit() : n;
    const results = pool.map(exit, [1, 2, 3, 4, 5], { chunkSize: 3 });
    const { values, thrown } = await collect("for await", progress(results));
    assertEquals(values, [1, 2, 3]);
    assert(thrown instanceof BrokenThreadPool);
    assertStringIncludes(screen.frames.at(-1)!, "5/5 done | 2 failed | ");
  },
);

testPool(
  "progress() answers next() calls that do not wait for one another, in order",
  2,
  async (setting) => {
    const { pool, screen } = setting;
    const results = progress(pool.map(isOdd, [1, 2]));
    const answers = [results.next(), results.next(), results.next()];
    assertEquals(await Promise.all(answers), [
      { done: false, value: true },
      { done: false, value: false },
      { done: true, value: undefined },
    ]);
    screen.assertEnded();
  },
);

// --------------------------------------------------------------- asCompleted

for (const form of FORMS) {
  Deno.test(`progress() shows the futures of asCompleted: done, failed, cancelled (${form})`, async () => {
    using screen = new Screen();
    const futures = [finished("a"), new Future<string>(), new Future<string>()];
    futures[1].setException(new Error("no"));
    futures[2].cancel();
    futures[2].setRunningOrNotifyCancel();
    const { values } = await collect(form, progress(asCompleted(futures)));
    assertEquals(values.length, 3);
    values.forEach((future, i) => assertStrictEquals(future, futures[i]));
    assertMatch(
      screen.frames.at(-1)!,
      /3\/3 done \| 1 failed \| 1 cancelled \|/,
    );
    screen.assertEnded();
  });
}

Deno.test("progress() counts futures as they are done, and ends with asCompleted's TimeoutError", async () => {
  using screen = new Screen();
  const futures = [new Future<string>(), new Future<string>()];
  const completed = progress(asCompleted(futures, { timeout: 1 }));
  futures[0].setResult("a");
  assertStrictEquals((await completed.next()).value, futures[0]);
  await assertRejects(
    () => completed.next(),
    TimeoutError,
    "1 (of 2) futures unfinished",
  );
  assertStringIncludes(screen.frames.at(-1)!, "1/2 done");
  screen.assertEnded();
  const { text } = screen;
  futures[1].setResult("late");
  assertEquals(screen.text, text);
});

// ------------------------------------------------------------- any iterables

Deno.test("progress() shows no total where none is known", async () => {
  using screen = new Screen();
  assertEquals([...progress(generate(1, 2))], [1, 2]);
  assertMatch(screen.frames.at(-1)!, /^2 done \| 0 failed \| [^|]+ \| \d+s$/);
  assertEquals(await Array.fromAsync(progress(generateLater(1, 2, 3))), [
    1,
    2,
    3,
  ]);
  assertMatch(screen.frames.at(-1)!, /^3 done \| 0 failed \| [^|]+ \| \d+s$/);
  screen.assertEnded();
});

Deno.test("progress() knows the total of arrays, typed arrays, maps and sets", () => {
  using screen = new Screen();
  const lists = [[1, 2], new Uint8Array(2), new Map([[1, 2], [3, 4]])];
  for (const list of [...lists, new Set("ab")]) {
    assertEquals([...progress<unknown>(list)], [...list]);
    assertStringIncludes(screen.frames.at(-1)!, "100% | 2/2 done");
  }
  assertEquals([...progress([])], []);
  assertStringIncludes(screen.frames.at(-1)!, "100% | 0/0 done");
  // Its length is no number of items.
  assertEquals([...progress("a\u{1F600}")].length, 2);
  assertMatch(screen.frames.at(-1)!, /^2 done/);
});

Deno.test("progress() takes a total instead of what it knows", async () => {
  using screen = new Screen();
  for await (const _ of progress(generateLater(1, 2), { total: 8 }));
  assertStringIncludes(screen.frames.at(-1)!, "25% | 2/8 done");
  assertEquals([...progress([1, 2], { total: 4 })], [1, 2]);
  assertStringIncludes(screen.frames.at(-1)!, "50% | 2/4 done");
  assertEquals([...progress([1, 2, 3], { total: 2 })], [1, 2, 3]);
  assertMatch(screen.frames.at(-1)!, /^3 done/); // it was wrong
});

Deno.test("progress() counts an item when the next is asked for", async () => {
  using screen = new Screen();
  for (const n of progress([1, 2, 3])) if (n === 2) break;
  assertStringIncludes(screen.frames.at(-1)!, "1/3 done");
  for await (const n of progress(generateLater(1, 2, 3))) if (n === 3) break;
  assertMatch(screen.frames.at(-1)!, /^2 done/);
  screen.assertEnded();
});

Deno.test("progress() goes through an array as often as one likes", () => {
  using screen = new Screen();
  const numbers = progress([1, 2]);
  assertEquals([...numbers, ...numbers], [1, 2, 1, 2]);
  assertEquals(screen.text.split("\n").length, 3);
});

Deno.test("progress() closes what is left early, and passes on what is thrown", async () => {
  using screen = new Screen();
  const closed: string[] = [];
  function* some() {
    try {
      yield 1;
      throw new RangeError("from within");
    } finally {
      closed.push("for");
    }
  }
  async function* someLater() {
    try {
      yield await Promise.resolve(1);
      throw new RangeError("from within");
    } finally {
      closed.push("for await");
    }
  }
  for (const _ of progress(some())) break;
  for await (const _ of progress(someLater())) break;
  assertEquals(closed, ["for", "for await"]);
  assertThrows(() => [...progress(some())], RangeError, "from within");
  screen.assertEnded();
  await assertRejects(
    () => Array.fromAsync(progress(someLater())),
    RangeError,
    "from within",
  );
  screen.assertEnded();
  const unused = progress(someLater());
  assertEquals(await unused.return!(), { done: true, value: undefined });
});

Deno.test("progress() goes through a stream", async () => {
  using screen = new Screen();
  const stream = ReadableStream.from(["a", "b"]);
  assertEquals(await Array.fromAsync(progress(stream)), ["a", "b"]);
  assertMatch(screen.frames.at(-1)!, /^2 done/);
});

// ----------------------------------------------------------------- the screen

testPool(
  "progress() writes nothing where stderr is no terminal",
  1,
  async ({ pool }) => {
    using screen = new Screen(false);
    const results = pool.map(isOdd, [1]);
    assertStrictEquals<unknown>(progress(results), results);
    assertEquals(await Array.fromAsync(results), [true]);
    const completed = asCompleted([finished("a")]);
    assertStrictEquals<unknown>(progress(completed), completed);
    const numbers = [1, 2];
    assertStrictEquals(progress(numbers), numbers);
    const stream = ReadableStream.from(["a", "b"]);
    const letters = progress(stream);
    assertNotStrictEquals<unknown>(letters, stream);
    assertEquals(await Array.fromAsync(letters), ["a", "b"]);
    assertEquals(screen.text, "");
  },
);

testPool(
  "progress() draws nothing until the first value is asked for",
  1,
  async (setting) => {
    const { pool, screen } = setting;
    const results = progress(pool.map(isOdd, [1]));
    assertEquals(await pool.submit(isOdd, 2), false);
    assertEquals(screen.text, "");
    assertEquals(await results.return!(), { done: true, value: undefined });
    assertEquals(screen.text, "");
  },
);

Deno.test("progress() goes on where the terminal is gone", () => {
  using screen = new Screen();
  const seen: number[] = [];
  for (const n of progress([1, 2, 3])) {
    seen.push(n);
    screen.close();
  }
  assertEquals(seen, [1, 2, 3]);
});

Deno.test("progress() keeps the label in its line", () => {
  using screen = new Screen();
  assertEquals([...progress([1], { label: "a\nb\x1b[2J" })], [1]);
  assertMatch(screen.frames[0], /^a b \[2J +0%/);
});

// -------------------------------------------------------------------- options

Deno.test("progress() refuses wrong options and what is no iterable", () => {
  for (const isTerminal of [true, false]) {
    using screen = new Screen(isTerminal);
    const call = (source: unknown, options?: unknown) => () =>
      progress(source as number[], options as ProgressOptions);
    assertThrows(call([], { total: "1" }), TypeError, '"total" must be');
    assertThrows(call([], { total: -1 }), RangeError, "whole number >= 0");
    assertThrows(call([], { total: 0.5 }), RangeError, "whole number >= 0");
    assertThrows(call([], { label: 1 }), TypeError, '"label" must be a string');
    assertThrows(call([], 1), TypeError, '"options" must be an object');
    for (const source of [undefined, null, 1, {}, () => {}]) {
      assertThrows(call(source), TypeError, "must be iterable: received");
    }
    assertEquals(screen.text, "");
  }
});

Deno.test("progress() is typed as what it is given", async () => {
  async function types(results: MapResults<string>): Promise<void> {
    const shown = progress(results, { label: "a", total: 1 });
    assertType<
      IsExact<typeof shown, AsyncIterableIterator<string> & Iterable<string>>
    >(true);
    for await (const text of shown) {
      assertType<IsExact<typeof text, string>>(true);
    }
    for (const text of progress(results)) {
      assertType<IsExact<typeof text, string>>(true);
    }
    const later = progress(generateLater(1));
    assertType<IsExact<typeof later, AsyncIterableIterator<number>>>(true);
    const numbers = progress([1, 2]);
    assertType<IsExact<typeof numbers, Iterable<number>>>(true);
    // @ts-expect-error a number is no iterable
    progress(1);
    // @ts-expect-error totals are numbers
    progress([], { total: "1" });
    // @ts-expect-error no such option
    progress([], { desc: "a" });
    // @ts-expect-error an iterator over what comes later cannot block
    for (const _ of progress(generateLater(1)));
  }
  assert(types instanceof Function);

  using _ = new Screen(false);
  const futures = [finished("a"), finished("b")];
  const seen: string[] = [];
  // More than once: see the test of asCompleted.
  for await (const future of progress(asCompleted(futures))) {
    assertType<IsExact<typeof future, Future<string>>>(true);
    seen.push(future.resultSync());
  }
  for await (const future of progress(asCompleted(futures))) {
    assertType<IsExact<typeof future, Future<string>>>(true);
    seen.push(future.resultSync());
  }
  for (const future of progress(asCompleted(futures))) {
    assertType<IsExact<typeof future, Future<string>>>(true);
    seen.push(future.resultSync());
  }
  assertEquals(seen.join(""), "ababab");
});

// ------------------------------------------------------------------- programs

/** Whether this machine can run a program in a terminal. */
const HAS_TERMINAL = Deno.build.os === "linux" && await hasScript();

async function hasScript(): Promise<boolean> {
  try {
    const { stdout } = await new Deno.Command("script", { args: ["-V"] })
      .output();
    return new TextDecoder().decode(stdout).includes("util-linux");
  } catch {
    return false;
  }
}

/** A program that goes through `map` in a pool, with a failure in the end. */
const PROGRAM = `
import { Pool as Executor } from "@concurrent/futures";
import { progress } from "${MODULE}";

function wait(n: number): Promise<number> {
  if (n === 5) throw new RangeError("five");
  return new Promise((resolve) => setTimeout(resolve, 150, n));
}

const pool = new Executor({ maxWorkers: 1 });
try {
  const results = pool.map(wait, [0, 1, 2, 3, 4, 5]);
  for FORM (const n of progress(results, { label: "wait" })) {
    if (n === 4) console.log("four");
  }
} catch (error) {
  console.log(String(error));
}
`;

function programOf(pool: string, form: string): string {
  return PROGRAM.replace("Pool", pool).replace("FORM", form.slice(4));
}

for (const pool of ["ThreadPoolExecutor", "ProcessPoolExecutor"]) {
  for (const form of FORMS) {
    Deno.test(
      `progress() draws a bar in a terminal, and the program ends (${pool}, ${form})`,
      { timeout: TIMEOUT_MS, ignore: !HAS_TERMINAL },
      async () => {
        const { code, stdout } = await runProgram(programOf(pool, form), {
          flags: ["--allow-all"],
          inTerminal: true,
        });
        assertEquals(code, 0, stdout);
        const frames = readFrames(stdout);
        assertMatch(frames[0], /^wait +0% \| 0\/6 done \| 0 failed \| /);
        const shape =
          /^wait +\d+% \| [1-5]\/6 done \| 0 failed \| [\d.]+\/(s|min) \| \d+s \| ETA \d+s$/;
        assert(frames.some((frame) => shape.test(frame)), stdout);
        assertMatch(
          frames.at(-1)!,
          /^wait +100% \| 6\/6 done \| 1 failed \| [\d.]+\/(s|min) \| \d+s$/,
        );
        assertMatch(stdout, /four\r\n/);
        assert(stdout.endsWith("\x1b[?7h\r\nRangeError: five\r\n"), stdout);
        // The cursor is never hidden nor moved to another line.
        // deno-lint-ignore no-control-regex -- a terminal's own codes
        const codes = new Set(stdout.match(/\x1b\S[?\d]*[A-Za-z]?/g));
        assertEquals(codes, new Set(["\x1b[2K", "\x1b[?7l", "\x1b[?7h"]));
      },
    );
  }
}

Deno.test(
  "progress() writes nothing where stderr is a pipe",
  { timeout: TIMEOUT_MS },
  async () => {
    for (const form of FORMS) {
      const program = programOf("ThreadPoolExecutor", form);
      const { code, stdout, stderr } = await runProgram(program);
      assertEquals(
        [code, stdout, stderr],
        [0, "four\nRangeError: five\n", ""],
      );
    }
  },
);

Deno.test(
  "progress() keeps no program alive whose iteration was let go",
  { timeout: TIMEOUT_MS, ignore: !HAS_TERMINAL },
  async () => {
    const { code, stdout } = await runProgram(
      `
import { Future, asCompleted } from "@concurrent/futures";
import { progress } from "${MODULE}";

const futures = [new Future(), new Future()];
futures[0].setResult(1);
const completed = progress(asCompleted(futures));
await completed.next();
console.log("let go");
`,
      { inTerminal: true },
    );
    assertEquals(code, 0);
    assertStringIncludes(stdout, "1/2 done");
    assertFalse(stdout.includes("\x1b[?25l"));
  },
);
