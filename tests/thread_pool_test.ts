/**
 * The thread pool: the contract of every executor, and what threads alone can do.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { delay } from "@std/async";
import {
  importTasks,
  RuntimeError,
  SerializationError,
  ThreadPoolExecutor,
  TimeoutError,
} from "../mod.ts";
import { testExecutor } from "./_executor_contract.ts";
import { Gate, passGate } from "./_gate.ts";
import { tasks, testForms, testPool } from "./_harness.ts";
import { liveWorkers } from "./_leaks.ts";
import { runProgram } from "./_program.ts";

const MODULE = import.meta.resolve("../mod.ts");

testExecutor(
  "ThreadPoolExecutor",
  (options) => new ThreadPoolExecutor(options),
);

const nameOfWorker = () => self.name;

/** A counter in shared memory, of which a test sees how far a worker has counted. */
class Counter {
  readonly memory = new SharedArrayBuffer(4);
  readonly #words = new Int32Array(this.memory);

  get count(): number {
    return Atomics.load(this.#words, 0);
  }

  /** Resolves once the count has grown by `more`. */
  async grown(more: number): Promise<void> {
    const wanted = this.count + more;
    while (this.count < wanted) await delay(1);
  }
}

/** A task: leaves a timer behind that counts. */
function startCounting(memory: SharedArrayBuffer): void {
  const words = new Int32Array(memory);
  setInterval(() => Atomics.add(words, 0, 1), 1);
}

// ------------------------------------------------------------------- names

testForms(
  "ThreadPoolExecutor({ threadNamePrefix }) names its workers by number",
  async ({ form, own, gates }) => {
    const pool = own(
      new ThreadPoolExecutor({ maxWorkers: 2, threadNamePrefix: "my pool" }),
    );
    assertEquals(await form.result(pool.submit(nameOfWorker)), "my pool_0");
    const held = pool.submit(tasks.hold, gates.folder, "a");
    await form.until(() => held.running());
    assertEquals(await form.result(pool.submit(nameOfWorker)), "my pool_1");
  },
);

testForms(
  "ThreadPoolExecutor() numbers its pools in the names of workers when there is no prefix",
  async ({ form, own }) => {
    const numbers: number[] = [];
    for (const options of [undefined, {}, { threadNamePrefix: "" }]) {
      const pool = own(new ThreadPoolExecutor(options));
      const name = await form.result(pool.submit(nameOfWorker));
      assertMatch(name, /^ThreadPoolExecutor-\d+_0$/);
      numbers.push(parseInt(name.slice("ThreadPoolExecutor-".length)));
    }
    const [first] = numbers;
    assertEquals(numbers, [first, first + 1, first + 2]);
  },
);

testPool(
  "ThreadPoolExecutor({ threadNamePrefix }) throws TypeError when it is no string",
  () => {
    for (const value of [1, null, {}]) {
      const threadNamePrefix = value as unknown as string;
      assertThrows(
        () => new ThreadPoolExecutor({ threadNamePrefix }),
        TypeError,
        "threadNamePrefix",
      );
    }
    return Promise.resolve();
  },
);

// ----------------------------------------------------------- lazy and reuse

testForms(
  "ThreadPoolExecutor starts no worker when nothing is submitted",
  async ({ form, own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 4 }));
    assertEquals(liveWorkers(), 0);
    await form.shutdown(pool);
    assertEquals(liveWorkers(), 0);
  },
);

testForms(
  "ThreadPoolExecutor reuses its one worker when submits follow each other",
  async ({ form, own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 4 }));
    const names = new Set<string>();
    for (let n = 0; n < 50; n++) {
      names.add(await form.result(pool.submit(nameOfWorker)));
      assertEquals(liveWorkers(), 1);
    }
    assertEquals(names.size, 1);
  },
);

testForms(
  "ThreadPoolExecutor starts a worker for each task that waits, and at most maxWorkers",
  async ({ form, own, gates }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 3 }));
    const counts: number[] = [];
    for (const gate of ["a", "b", "c", "d", "e"]) {
      const future = pool.submit(tasks.hold, gates.folder, gate);
      await form.until(() => future.running() || counts.length >= 3);
      counts.push(liveWorkers());
    }
    assertEquals(counts, [1, 2, 3, 3, 3]);
    gates.openEvery();
    for (let n = 0; n < 100; n++) await form.result(pool.submit(Math.abs, n));
    assertEquals(liveWorkers(), 3);
  },
);

testForms(
  "ThreadPoolExecutor() has more than one worker when maxWorkers is not given",
  async ({ form, own, gates }) => {
    const pool = own(new ThreadPoolExecutor());
    const most = Math.min(32, navigator.hardwareConcurrency + 4);
    const names = Array.from({ length: most + 2 }, (_, n) => `${n}`);
    for (const name of names) pool.submit(tasks.hold, gates.folder, name);
    const reached = () => names.filter((name) => gates.isReached(name)).length;
    await form.until(() => reached() === most);
    assertEquals(liveWorkers(), most);
    assertEquals(reached(), most);
  },
);

// ------------------------------------------------------- shared and moved

testForms(
  "ThreadPoolExecutor.submit() shares a SharedArrayBuffer, both ways",
  async ({ form, own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const memory = new SharedArrayBuffer(8);
    const words = new Int32Array(memory);
    const write = (memory: SharedArrayBuffer, value: number) => {
      Atomics.store(new Int32Array(memory), 1, value);
      return memory;
    };
    const same = await form.result(pool.submit(write, memory, 7));
    assertEquals(words[1], 7);
    Atomics.store(words, 0, 9);
    assertEquals(new Int32Array(same)[0], 9);
    const inside = { list: [words] };
    const fill = ({ list }: typeof inside) => list[0].fill(5);
    await form.result(pool.submit(fill, inside));
    assertEquals([...words], [5, 5]);
  },
);

testPool(
  "ThreadPoolExecutor.submit() lets a task be held by memory while the program goes on",
  async ({ own }) => {
    using gate = new Gate();
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const future = pool.submit(passGate, gate.memory, "through");
    await gate.arrived(1);
    assertEquals(future.done(), false);
    gate.open();
    assertEquals(await future, "through");
  },
);

testForms(
  "ThreadPoolExecutor.submitWith({ transfer }) detaches an ArrayBuffer at once, and it arrives",
  async ({ form, own, gates }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const held = pool.submit(tasks.hold, gates.folder, "a");
    const bytes = new Uint8Array([1, 2, 3]);
    const sum = (bytes: Uint8Array) => bytes[0] + bytes[1] + bytes[2];
    const future = pool.submitWith({ transfer: [bytes.buffer] }, sum, bytes);
    assertEquals([bytes.buffer.detached, bytes.length], [true, 0]);
    gates.open("a");
    assertEquals(await form.result(future), 6);
    assertEquals(await form.result(held), "a");
  },
);

testForms(
  "ThreadPoolExecutor.submitWith({ transfer }) copies an ArrayBuffer when it is not named",
  async ({ form, own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const [moved, kept] = [new ArrayBuffer(4), new ArrayBuffer(8)];
    const lengths = (...buffers: ArrayBuffer[]) =>
      buffers.map((buffer) => buffer.byteLength);
    const future = pool.submitWith({ transfer: [moved] }, lengths, moved, kept);
    assertEquals([moved.detached, kept.detached], [true, false]);
    assertEquals(await form.result(future), [4, 8]);
  },
);

testForms(
  "ThreadPoolExecutor.submitWith({ transfer }) moves back what came moved, when the result holds it",
  async ({ form, own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const double = (bytes: Uint8Array) => {
      (globalThis as unknown as { last: Uint8Array }).last = bytes;
      return bytes.map((byte) => byte * 2) && bytes;
    };
    const bytes = new Uint8Array(1 << 20).fill(3);
    const future = pool.submitWith({ transfer: [bytes.buffer] }, double, bytes);
    const back = await form.result(future);
    assertEquals([back.length, back[0], back.at(-1)], [1 << 20, 3, 3]);
    const isGone = pool.submit(() =>
      (globalThis as unknown as { last: Uint8Array<ArrayBuffer> }).last.buffer
        .detached
    );
    assertEquals(await form.result(isGone), true);
  },
);

testForms(
  "ThreadPoolExecutor.submitWith({ transfer }) fails that future alone when something cannot be moved",
  async ({ form, own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const detached = new ArrayBuffer(1);
    detached.transfer();
    const odd = [detached, {}, new SharedArrayBuffer(1)] as Transferable[];
    for (const object of odd) {
      const take = (_: unknown) => "taken";
      const future = pool.submitWith({ transfer: [object] }, take, object);
      assertInstanceOf(await form.exception(future), SerializationError);
    }
    assertEquals(await form.result(pool.submit(tasks.add, 1, 2)), 3);
  },
);

testPool(
  "ThreadPoolExecutor.submitWith({ transfer }) moves a MessagePort, and a task talks through it",
  async ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const { port1, port2 } = new MessageChannel();
    const answer = (port: MessagePort) =>
      new Promise<string>((resolve) => {
        port.onmessage = ({ data }) => {
          port.postMessage(data * 2);
          port.close();
          resolve("answered");
        };
      });
    const future = pool.submitWith({ transfer: [port2] }, answer, port2);
    const heard = Promise.withResolvers<number>();
    port1.onmessage = ({ data }) => heard.resolve(data);
    port1.postMessage(21);
    assertEquals(await heard.promise, 42);
    assertEquals(await future, "answered");
    port1.close();
  },
);

testPool(
  "ThreadPoolExecutor.submitWith({ transfer }) moves a ReadableStream, and moves it back",
  async ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const read = async (stream: ReadableStream<number>) => {
      let sum = 0;
      for await (const n of stream) sum += n;
      return sum;
    };
    const stream = ReadableStream.from([1, 2, 3]);
    const future = pool.submitWith({ transfer: [stream] }, read, stream);
    assertEquals(stream.locked, true);
    assertEquals(await future, 6);

    const same = ReadableStream.from(["a", "b"]);
    const echo = (stream: ReadableStream<string>) => stream;
    const back = await pool.submitWith({ transfer: [same] }, echo, same);
    assertEquals(await Array.fromAsync(back), ["a", "b"]);
  },
);

testForms(
  "ThreadPoolExecutor.submit() refuses a MessagePort and a stream when they are not in transfer",
  async ({ form, own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const { port1, port2 } = new MessageChannel();
    for (const value of [port1, ReadableStream.from([1])]) {
      const error = await form.exception(
        pool.submit((_: unknown) => "taken", { deep: value }),
      );
      assertInstanceOf(error, SerializationError);
      assertMatch(
        error.message,
        /argument 1: \.deep is a (MessagePort|ReadableStream)/,
      );
    }
    port1.close(), port2.close();
    assertEquals(await form.result(pool.submit(tasks.add, 1, 2)), 3);
  },
);

// ------------------------------------------------------------------ nested

testForms(
  "ThreadPoolExecutor runs in a task of its kind, awaited and blocking",
  async ({ form, own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 2 }));
    const nest = async (module: string, isBlocking: boolean) => {
      const { ThreadPoolExecutor } = await import(module);
      const name = () => self.name;
      const options = { maxWorkers: 1, threadNamePrefix: "inner" };
      if (isBlocking) {
        using inner = new ThreadPoolExecutor(options);
        return inner.submit(name).resultSync();
      }
      await using inner = new ThreadPoolExecutor(options);
      return await inner.submit(name);
    };
    for (const isBlocking of [true, false, true]) {
      const future = pool.submit(nest, MODULE, isBlocking);
      assertEquals(await form.result(future), "inner_0");
    }
  },
);

testForms(
  "ThreadPoolExecutor() throws RuntimeError naming import.meta.main when a worker imports the module that makes it",
  async ({ form, own, gates }) => {
    const path = `${gates.folder}/script.ts`;
    Deno.writeTextFileSync(
      path,
      `import { ThreadPoolExecutor } from "${MODULE}";
       export const double = (n: number) => n * 2;
       const pool = new ThreadPoolExecutor();
       await pool.submit(double, 1);`,
    );
    const script = importTasks<{ double(n: number): number }>(`file://${path}`);
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const error = await form.exception(pool.submit(script.double, 1));
    assertInstanceOf(error, RuntimeError);
    assertStringIncludes(error.message, "import.meta.main");
    assertStringIncludes(error.message, "script.ts");
    assertEquals(await form.result(pool.submit(tasks.add, 1, 2)), 3);
  },
);

testPool(
  "ThreadPoolExecutor runs the tasks of its own script when the script's work is guarded",
  async () => {
    const { code, stdout, stderr } = await runProgram(`
      import { importTasks, ThreadPoolExecutor } from "@concurrent/futures";
      export const double = (n: number) => n * 2;
      if (import.meta.main) {
        await using pool = new ThreadPoolExecutor({ maxWorkers: 1 });
        const { double } = importTasks<typeof import("./main.ts")>(import.meta.url);
        console.log(await pool.submit(double, 21));
      }
    `);
    assertEquals([code, stdout, stderr], [0, "42\n", ""]);
  },
);

// -------------------------------------------------- synchronous, too long

testForms(
  "ThreadPoolExecutor.submitWith({ timeout }) replaces the worker when its task does not return",
  async ({ form, own }) => {
    using gate = new Gate();
    const pool = own(
      new ThreadPoolExecutor({ maxWorkers: 1, threadNamePrefix: "aside" }),
    );
    const limited = pool.submitWith(
      { timeout: 20 },
      passGate,
      gate.memory,
      "late",
    );
    assertInstanceOf(await form.exception(limited), TimeoutError);
    const name = await form.result(pool.submit(nameOfWorker));
    assertNotEquals(name, "aside_0");
    assertMatch(name, /^aside_\d+$/);
    assertEquals(gate.arrivals, 1);
    await form.shutdown(pool); // while the first worker still hangs
    gate.open();
  },
);

testForms(
  "ThreadPoolExecutor.shutdown() does not wait for code that was told to stop, when it does not return",
  async ({ form, own }) => {
    using gate = new Gate();
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 2 }));
    const limited = [1, 2, 3].map(() =>
      pool.submitWith({ timeout: 20 }, passGate, gate.memory, "late")
    );
    await form.shutdown(pool);
    for (const future of limited) {
      assertInstanceOf(await form.exception(future), TimeoutError);
    }
    assertEquals(gate.arrivals, 3);
    gate.open();
  },
);

for (
  const [how, rest] of Object.entries({
    "is shut down": "await pool.shutdown();",
    "is shut down, blocking": "pool.shutdownSync();",
    "is not shut down": "",
    "runs another task": "console.log(await pool.submit(Math.abs, -1));",
  })
) {
  testPool(
    `ThreadPoolExecutor lets the program end by itself when a task under a time limit loops for ever and the pool ${how}`,
    async () => {
      const { code, stdout, stderr } = await runProgram(`
        import { ThreadPoolExecutor } from "@concurrent/futures";
        const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
        const loop = (): void => { for (;;); };
        const error = await pool.submitWith({ timeout: 30 }, loop).exception();
        console.log((error as Error).name);
        ${rest}
      `);
      const more = rest.includes("abs") ? "1\n" : "";
      assertEquals([code, stdout, stderr], [0, `TimeoutError\n${more}`, ""]);
    },
  );
}

// ------------------------------------------------------- the worker's turns

testPool(
  "ThreadPoolExecutor lets a worker's timers run while the worker is idle",
  async ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const counter = new Counter();
    await pool.submit(startCounting, counter.memory);
    await counter.grown(20);
  },
);

testPool(
  "ThreadPoolExecutor lets a worker's timers run while a task awaits",
  async ({ own, gates }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const counter = new Counter();
    await pool.submit(startCounting, counter.memory);
    const held = pool.submit(tasks.holdAwaiting, gates.folder, "a");
    while (!held.running()) await delay(1);
    await counter.grown(20);
    assertEquals(held.done(), false);
    gates.open("a");
    assertEquals(await held, "a");
  },
);

testForms(
  "ThreadPoolExecutor lets a worker's timers run under a stream of tiny tasks",
  async ({ form, own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const counter = new Counter();
    await form.result(pool.submit(startCounting, counter.memory));
    // one after the other
    for (const end = counter.count + 10; counter.count < end;) {
      await form.result(pool.submit(Math.abs, -1));
    }
    // always more in the queue than one
    const queue = Array.from({ length: 200 }, () => pool.submit(Math.abs, -1));
    for (const end = counter.count + 10; counter.count < end;) {
      queue.push(pool.submit(Math.abs, -1));
      await form.result(queue.shift()!);
    }
    for (const future of queue) assertEquals(await form.result(future), 1);
  },
);

testForms(
  "ThreadPoolExecutor lets promises that a task left behind go on while the worker is idle",
  async ({ form, own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const counter = new Counter();
    const leave = (memory: SharedArrayBuffer) => {
      (async () => {
        for (let n = 0; n < 5; n++) {
          await new Promise((resolve) => setTimeout(resolve, 1));
          await fetch("data:text/plain,x").then((response) => response.text());
          Atomics.add(new Int32Array(memory), 0, 1);
        }
      })();
    };
    await form.result(pool.submit(leave, counter.memory));
    await form.until(() => counter.count === 5);
  },
);

// ------------------------------------------------------ CPU time, threads

testPool(
  "ThreadPoolExecutor burns no CPU when it is idle",
  async () => {
    const { code, stdout, stderr } = await runProgram(`
      import { ThreadPoolExecutor } from "@concurrent/futures";
      const pool = new ThreadPoolExecutor({ maxWorkers: 4 });
      const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
      const late = async () => { await new Promise((resolve) => setTimeout(resolve, 20)); };
      await Promise.all(Array.from({ length: 8 }, () => pool.submit(late)));
      await sleep(500);
      const used = () => Deno.cpuUsage().user + Deno.cpuUsage().system;
      const before = used();
      await sleep(1000);
      console.log((used() - before) / 1000);
      await pool.shutdown();
    `);
    assertEquals([code, stderr], [0, ""]);
    // One worker that spins would take about a thousand milliseconds.
    assert(parseFloat(stdout) < 200, `took ${stdout.trim()} ms of a second`);
  },
);

testPool(
  "ThreadPoolExecutor.shutdown() leaves no thread behind",
  async () => {
    const { code, stdout, stderr } = await runProgram(
      `
      import { ThreadPoolExecutor } from "@concurrent/futures";
      const threads = () =>
        Number(/Threads:\\s*(\\d+)/.exec(Deno.readTextFileSync("/proc/self/status"))![1]);
      const meet = async (memory: SharedArrayBuffer) => {
        const words = new Int32Array(memory);
        Atomics.add(words, 0, 1);
        while (Atomics.load(words, 0) < 4) await new Promise((resolve) => setTimeout(resolve, 1));
      };
      async function round(isBlocking: boolean): Promise<void> {
        const pool = new ThreadPoolExecutor({ maxWorkers: 4 });
        const memory = new SharedArrayBuffer(4);
        await Promise.all([1, 2, 3, 4].map(() => pool.submit(meet, memory)));
        if (isBlocking) pool.shutdownSync();
        else await pool.shutdown();
      }
      await round(false);
      await round(true);
      const before = threads();
      for (let n = 0; n < 12; n++) await round(n % 2 === 0);
      // The platform ends a thread a little later, and has threads of its own: less than one a round.
      while (threads() > before + 8) await new Promise((resolve) => setTimeout(resolve, 5));
      console.log("gone");
      `,
      { flags: ["--allow-all"] },
    );
    assertEquals([code, stderr], [0, ""]);
    assertEquals(stdout, "gone\n");
  },
);

// ------------------------------------------------- shared memory, blocking

for (const isWarm of [false, true]) {
  testPool(
    `ThreadPoolExecutor.submit() starts a task whose owner blocks on the memory that they share, ${
      isWarm ? "in a worker that sleeps" : "in a worker that is new"
    }`,
    async ({ own }) => {
      const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
      if (isWarm) await pool.submit(Math.sqrt, 4);
      const words = new Int32Array(new SharedArrayBuffer(8));
      const future = pool.submit((words: Int32Array) => {
        Atomics.store(words, 0, 1);
        Atomics.notify(words, 0);
        Atomics.wait(words, 1, 0);
      }, words);
      // Nothing but the task ends this wait: no callback of this thread runs.
      assertNotEquals(Atomics.wait(words, 0, 0, 30_000), "timed-out");
      assert(future.running());
      Atomics.store(words, 1, 1);
      Atomics.notify(words, 1);
      await future;
    },
  );
}
