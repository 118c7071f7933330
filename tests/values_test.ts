import {
  assert,
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertMatch,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { type Future, importTasks, TimeoutError } from "../mod.ts";
import { ThreadPoolExecutor } from "../thread_pool.ts";
import { QuotaError } from "./_error_tasks.ts";
import { tasks as gateTasks, testPool } from "./_harness.ts";
import { assertSameValue, bytes, VALUES } from "./_values.ts";

const tasks = importTasks<typeof import("./_value_tasks.ts")>(
  import.meta.resolve("./_value_tasks.ts"),
);
const errorTasks = importTasks<typeof import("./_error_tasks.ts")>(
  import.meta.resolve("./_error_tasks.ts"),
);

/** A task: returns what it is given. */
function echo<T>(value: T): T {
  return value;
}

/** Does `fn` for every value, and says at the end for which it failed. */
async function forEveryValue(
  fn: (value: { name: string; make: () => unknown }) => Promise<void>,
): Promise<void> {
  const failures: string[] = [];
  for (const value of VALUES) {
    try {
      await fn(value);
    } catch (error) {
      failures.push(`${value.name}: ${error}`);
    }
  }
  assertEquals(failures, []);
}

// ------------------------------------------- what structured clone takes

testPool(
  "an argument echoed is what structuredClone() gives",
  async ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    await forEveryValue(async ({ make }) => {
      const copy = await pool.submit(echo, make());
      assertSameValue(copy, structuredClone(make()));
    });
  },
);

testPool(
  "an argument is, in the worker, what structuredClone() gives",
  async ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    await forEveryValue(async ({ name, make }) => {
      await pool.submit(tasks.check, name, make());
    });
  },
);

testPool("a result is what structuredClone() gives", async ({ own }) => {
  const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
  await forEveryValue(async ({ name, make }) => {
    const expected = structuredClone(make());
    assertSameValue(await pool.submit(tasks.make, name), expected);
    assertSameValue(await pool.submit(tasks.makeAwaiting, name), expected);
  });
});

testPool(
  "a result that is blocked for is what structuredClone() gives",
  async ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    await forEveryValue(({ name, make }) => {
      const result = pool.submit(tasks.make, name).resultSync();
      assertSameValue(result, structuredClone(make()));
      return Promise.resolve();
    });
  },
);

testPool(
  "arguments and results of map() are what structuredClone() gives, in chunks too",
  async ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 2 }));
    const names = VALUES.map(({ name }) => name);
    for (const chunkSize of [1, 7, VALUES.length]) {
      const values = VALUES.map(({ make }) => make());
      for await (
        const _ of pool.map(tasks.check, names, values, { chunkSize })
      );
      const results = pool.map(tasks.make, names, { chunkSize });
      let i = 0;
      for await (const result of results) {
        const { name, make } = VALUES[i++];
        assertSameValue({ name, result }, {
          name,
          result: structuredClone(make()),
        });
      }
      assertEquals(i, VALUES.length);
    }
  },
);

testPool(
  "all values at once, as one argument and as one result",
  async ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const all = Object.fromEntries(
      VALUES.map(({ name, make }) => [name, make()]),
    );
    await pool.submit(tasks.checkAll, all);
    const results = await pool.submit(tasks.makeAll) as typeof all;
    assertSameValue(results, structuredClone(all));
  },
);

testPool(
  "arguments share their references with each other, as in one structuredClone()",
  async ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const shared = { a: undefined };
    const isSame = await pool.submit(
      (a: object, b: { a: object }) => a === b.a,
      shared,
      { a: shared },
    );
    assert(isSame);
  },
);

testPool(
  "a copy is taken at submit(), and neither side sees the other's changes",
  async ({ own, gates }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const held = pool.submit(gateTasks.hold, gates.folder, "gate");
    const plain = { a: 1 }, data = bytes(4);
    const future = pool.submit(
      (plain: { a: number }, data: Uint8Array) => {
        const seen = [plain.a, data[0]];
        plain.a = data[0] = 99;
        return seen;
      },
      plain,
      data,
    );
    plain.a = data[0] = 50;
    gates.open("gate");
    await held;
    assertEquals(await future, [1, 3]);
    assertEquals([plain.a, data[0]], [50, 50]);
  },
);

// ----------------------------------------------------------------- sizes

/** Lengths on both sides of each limit of the transport. */
const LENGTHS = [
  ...[0, 1, 7, 8, 9, 24, 25],
  ...[1 << 12, 1 << 14, 1 << 16, 1 << 18].flatMap((limit) =>
    [-200, -24, -8, -1, 0, 1, 8].map((more) => limit + more)
  ),
  ...[(1 << 20) + 1, 1 << 22],
];

testPool("bytes arrive exact, whatever their number", async ({ own }) => {
  const pool = own(new ThreadPoolExecutor({ maxWorkers: 2 }));
  const wrong = LENGTHS.map((length) =>
    pool.submit(tasks.firstWrongByte, bytes(length))
  );
  const made = LENGTHS.map((length) => pool.submit(tasks.makeBytes, length));
  for (const [i, length] of LENGTHS.entries()) {
    assertEquals([length, await wrong[i]], [length, -1]);
    assertSameValue(await made[i], bytes(length));
  }
});

testPool(
  "text arrives exact, whatever its length and width",
  async ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 2 }));
    for (const unit of ["x", "é", "€"]) {
      const sent = LENGTHS.filter((length) => length < 1 << 20).map((length) =>
        unit.repeat(length)
      );
      const futures = sent.map((text) => pool.submit(echo, text));
      for (const [i, future] of futures.entries()) {
        const text = await future;
        assert(text === sent[i], `${sent[i].length} times ${unit}`);
      }
    }
  },
);

testPool(
  "an argument larger than the queue arrives, with others around it",
  async ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const data = bytes(6 << 20);
    const futures: Future<number>[] = [];
    for (let i = 0; i < 3; i++) {
      futures.push(
        pool.submit((a: number) => a, -1),
        pool.submit(tasks.firstWrongByte, data),
        pool.submit((text: string) => text.length - 7_000_001, "x".repeat(7e6)),
      );
    }
    assertEquals(await Promise.all(futures), futures.map(() => -1));
    assertEquals(data.byteLength, 6 << 20);
  },
);

const HUNDRED_MB = 100_000_000;

testPool("a result of 100 MB arrives as bytes", async ({ own }) => {
  const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
  const future = pool.submit((length: number) => {
    const data = new Uint8Array(length).fill(7);
    data[0] = 1;
    data[length - 1] = 2;
    return data;
  }, HUNDRED_MB);
  const after = pool.submit(echo, "after");
  const data = await future;
  assertEquals(data.length, HUNDRED_MB);
  assertEquals([data[0], data.at(-1)], [1, 2]);
  assertEquals(data.subarray(1, -1).findIndex((byte) => byte !== 7), -1);
  assertEquals(await after, "after");
});

testPool("a result of 100 MB arrives as a string", async ({ own }) => {
  const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
  const text = await pool.submit(
    (length: number) => "x".repeat(length - 1) + "y",
    HUNDRED_MB,
  );
  assertEquals(text.length, HUNDRED_MB);
  assert(text === "x".repeat(HUNDRED_MB - 1) + "y");
});

testPool(
  "results that nobody takes for a while all arrive, in any size",
  async ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 2 }));
    const lengths = Array.from(
      { length: 400 },
      (_, i) => (i * i * 37) % 40_000,
    );
    const futures = lengths.map((length) =>
      pool.submit(tasks.makeBytes, length)
    );
    const last = pool.submit(echo, "last");
    last.resultSync(); // the event loop has no part in it
    for (const [i, future] of futures.entries()) {
      assertSameValue(await future, bytes(lengths[i]));
    }
  },
);

// ---------------------------------------------------------------- errors

testPool(
  "errors thrown in a worker come back with class, message, cause and own fields",
  async ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const classes = {
      Error,
      EvalError,
      RangeError,
      ReferenceError,
      SyntaxError,
      TypeError,
      URIError,
    };
    for (const [name, ErrorClass] of Object.entries(classes)) {
      const error = await pool.submit(function throwIt(name: string): never {
        const Class =
          (globalThis as unknown as Record<string, ErrorConstructor>)[
            name
          ];
        const cause = new RangeError("too far", { cause: [1n] });
        const fields = {
          code: 7,
          at: new Map([["x", undefined]]),
          deep: [cause],
        };
        throw Object.assign(new Class("it broke", { cause }), fields);
      }, name).exception();
      assertInstanceOf(error, ErrorClass);
      assertStrictEquals(Object.getPrototypeOf(error), ErrorClass.prototype);
      assertEquals([error.name, error.message], [name, "it broke"]);
      assertInstanceOf(error.cause, RangeError);
      assertEquals([error.cause.message, error.cause.cause], ["too far", [1n]]);
      const { code, at, deep, ...rest } = error as unknown as Record<
        string,
        unknown
      >;
      assertEquals([code, at], [7, new Map([["x", undefined]])]);
      assertStrictEquals((deep as unknown[])[0], error.cause);
      assertEquals(rest, {});
    }
  },
);

testPool("an error's stack shows the worker's frames", async ({ own }) => {
  const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
  const error = await pool.submit(errorTasks.exceedQuota, 3).exception();
  assertInstanceOf(error, Error);
  assertMatch(error.stack ?? "", /^QuotaError: .*quota is used up/);
  assertMatch(error.stack ?? "", /\n +at .*exceedQuota .*_error_tasks\.ts:\d+/);
  const other = await pool.submit(() => {
    function inner(): never {
      throw new TypeError("deep inside");
    }
    inner();
  }).exception();
  assertInstanceOf(other, TypeError);
  assertMatch(other.stack ?? "", /^TypeError: deep inside\n +at inner /);
});

testPool(
  "an error of a registered class comes back as that class",
  async ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const cause = new RangeError("too much");
    // thrown there; and from here, there and back
    const thrown = await pool.submit(errorTasks.exceedQuota, 3).exception();
    const echoed = await pool.submit(echo, new QuotaError(3, { cause }));
    for (const error of [thrown, echoed]) {
      assertInstanceOf(error, QuotaError);
      assertEquals([error.limit, error.name], [3, "QuotaError"]);
      assertInstanceOf(error.cause, RangeError);
      assertStringIncludes(error.message, "limit is 3");
    }
  },
);

testPool("an error of this module comes back as its class", async ({ own }) => {
  const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
  const error = await pool.submit(errorTasks.runOutOfTime).exception();
  assertInstanceOf(error, TimeoutError);
  assertEquals(error.message, "the task's own");
});

testPool(
  "an error of an unregistered class comes back as an Error with its name, message, stack and fields",
  async ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const error = await pool.submit(function ask(): never {
      class HttpError extends TypeError {
        override name = "HttpError";
        readonly status = 503;
      }
      throw new HttpError("busy", { cause: "load" });
    }).exception();
    assertInstanceOf(error, Error);
    assertFalse(error instanceof TypeError);
    assertEquals([error.name, error.message, error.cause], [
      "HttpError",
      "busy",
      "load",
    ]);
    assertEquals((error as Error & { status?: number }).status, 503);
    assertMatch(error.stack ?? "", /\n +at ask /);
  },
);

testPool(
  "a DOMException comes back as one, from the platform and from a task",
  async ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const thrown = await pool.submit((): never => {
      throw new DOMException("stopped", "AbortError");
    }).exception();
    assertInstanceOf(thrown, DOMException);
    assertEquals([thrown.name, thrown.message, thrown.code], [
      "AbortError",
      "stopped",
      DOMException.ABORT_ERR,
    ]);
    const native = await pool.submit(() => structuredClone(() => {}))
      .exception();
    assertInstanceOf(native, DOMException);
    assertEquals(native.name, "DataCloneError");
    const nested = await pool.submit(
      (error: DOMException) => new Error("outer", { cause: error }),
      new DOMException("inner", "DataError"),
    );
    assertInstanceOf(nested.cause, DOMException);
    assertEquals(nested.cause.name, "DataError");
  },
);

testPool("what is thrown and no error comes back as it is", async ({ own }) => {
  const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
  for (const thrown of ["text", 7, undefined, null, { a: [undefined] }, -0]) {
    const future = pool.submit((value: unknown): never => {
      throw value;
    }, thrown);
    const outcome = await future.then(
      () => "returned",
      (reason) => ({ reason }),
    );
    assertSameValue(outcome, { reason: thrown });
  }
});

testPool(
  "many errors in one AggregateError share what they shared",
  async ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const error = await pool.submit((): never => {
      const shared = new RangeError("shared");
      throw new AggregateError([shared, "text", shared], "many", {
        cause: shared,
      });
    }).exception();
    assertInstanceOf(error, AggregateError);
    assertInstanceOf(error.errors[0], RangeError);
    assertStrictEquals(error.errors[2], error.errors[0]);
    assertStrictEquals(error.cause, error.errors[0]);
  },
);

// -------------------------------------------------------------- platform

testPool("a Blob travels as argument and as result", async ({ own }) => {
  const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
  const text = await pool.submit(
    async (blob: Blob) => `${blob.type} ${await blob.text()}`,
    new Blob(["some text"], { type: "text/plain" }),
  );
  assertEquals(text, "text/plain some text");
  const blob = await pool.submit(() =>
    new Blob(["more text"], { type: "text/html" })
  );
  assertInstanceOf(blob, Blob);
  assertEquals([blob.type, blob.size, await blob.text()], [
    "text/html",
    9,
    "more text",
  ]);
  const [nested, data] = await pool.submit(
    (value: unknown) => value,
    [new Blob(["x"]), bytes(300)],
  ) as [Blob, Uint8Array];
  assertEquals(await nested.text(), "x");
  assertSameValue(data, bytes(300));
});

/** A module that exports `answer`, a function without parameters that returns 42. */
const ANSWER = new Uint8Array([
  ...[0, 97, 115, 109, 1, 0, 0, 0],
  ...[1, 5, 1, 96, 0, 1, 127], // type: () -> i32
  ...[3, 2, 1, 0],
  ...[7, 10, 1, 6, 97, 110, 115, 119, 101, 114, 0, 0],
  ...[10, 6, 1, 4, 0, 65, 42, 11],
]);

function askModule(module: WebAssembly.Module): unknown {
  const { exports } = new WebAssembly.Instance(module);
  return (exports.answer as () => number)();
}

testPool(
  "a WebAssembly.Module travels as argument and as result",
  async ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const module = new WebAssembly.Module(ANSWER);
    assertEquals(await pool.submit(askModule, module), 42);
    const made = await pool.submit(
      (code: Uint8Array<ArrayBuffer>) => new WebAssembly.Module(code),
      ANSWER,
    );
    assertInstanceOf(made, WebAssembly.Module);
    assertEquals(askModule(made), 42);
    assertEquals(
      askModule(await pool.submit(echo<WebAssembly.Module>, module)),
      42,
    );
  },
);

testPool(
  "a SharedArrayBuffer is shared, as argument and as result",
  async ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const words = new Int32Array(new SharedArrayBuffer(16), 4, 2);
    const back = await pool.submit((words: Int32Array) => {
      Atomics.store(words, 1, 7);
      return words;
    }, words);
    assertEquals([words[1], back.byteOffset, back.length], [7, 4, 2]);
    words[0] = 9;
    assertEquals([...back], [9, 7]);
  },
);
