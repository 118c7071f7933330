/**
 * The contract that every executor keeps, as one suite: `testExecutor` registers it for a pool.
 *
 * What a test needs of a task it asks through files (`Gates`), since every kind of worker sees them.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertNotStrictEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  asCompleted,
  BrokenExecutor,
  type Callable,
  CancelledError,
  type Executor,
  type Future,
  importTasks,
  RuntimeError,
  SerializationError,
  type SubmitOptions,
  TimeoutError,
  wait,
  waitSync,
} from "../mod.ts";
import { type Form, tasks, testForms, testPool } from "./_harness.ts";
import { liveWorkers } from "./_leaks.ts";
import { runProgram } from "./_program.ts";
import { add, hold, holdAwaiting, note } from "./_tasks.ts";

/** The options that every pool takes. */
export interface ContractOptions {
  maxWorkers?: number;
  initializer?: Callable<never[], unknown>;
  initArgs?: unknown[];
  onWorkerDeath?: "replace" | "break";
}

/** What a child program may do: all that any kind of worker needs. */
const FLAGS = [
  "--allow-write",
  "--allow-run",
  "--allow-sys",
  "--allow-env",
];

/** How child programs come by the class. */
export interface ProgramSource {
  /** The module that exports it. */
  readonly module: string;
  /** What they may do. */
  readonly flags: readonly string[];
}

/** Makes an executor of the kind that is tested. */
export type Create = (options?: ContractOptions) => Executor;

/**
 * Registers the contract's tests for an executor.
 *
 * @param name The class, as `programs.module` exports it: child programs make their pools by this name.
 * @param create Makes one.
 * @param programs How child programs come by the class.
 */
export function testExecutor(
  name: string,
  create: Create,
  programs: ProgramSource = { module: "@concurrent/futures", flags: FLAGS },
): void {
  testSubmit(name, create);
  testOrder(name, create);
  testCancel(name, create);
  testShutdown(name, create);
  testUsing(name, create);
  testCallables(name, create);
  testRefusals(name, create);
  testValues(name, create);
  testInitializer(name, create);
  testOptions(name, create);
  testSubmitWith(name, create);
  testMap(name, create);
  testMapEnds(name, create);
  testWaits(name, create);
  testPrograms(name, programs);
}

/** What no type allows, for the checks that are made when the program runs. */
function wrong<T>(value: unknown): T {
  return value as T;
}

/** Asserts that the future failed with what `message` says, as its class says. */
async function assertFails<E extends Error>(
  form: Form,
  future: Future<unknown>,
  Class: new (...args: never[]) => E,
  message: RegExp,
): Promise<E> {
  const error = await form.exception(future);
  assertInstanceOf(error, Class);
  assertMatch(error.message, message);
  return error;
}

/** Asserts that the pool runs a task. */
async function assertGood(form: Form, pool: Executor): Promise<void> {
  assertEquals(await form.result(pool.submit(tasks.add, 20, 22)), 42);
}

// ------------------------------------------------------------------ submit

function testSubmit(name: string, create: Create): void {
  testForms(
    `${name}.submit() returns the value, awaited and blocking`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const future = pool.submit(add, 1, 2);
      assertEquals(await form.result(future), 3);
      assertEquals(await form.exception(future), null);
      assertEquals(
        [future.done(), future.running(), future.cancelled()],
        [true, false, false],
      );
      assertEquals(await future, 3);
      assertEquals(future.resultSync(), 3);
    },
  );

  testForms(
    `${name}.submit() throws the call's own error when the call throws`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      for (const task of [tasks.fail, tasks.failAwaiting]) {
        const future = pool.submit(task, "thrown");
        const error = await assertFails(form, future, RangeError, /^thrown$/);
        assertStrictEquals(await form.exception(future), error);
        assertStrictEquals(
          await assertRejects(() => form.result(future)),
          error,
        );
        assertStringIncludes(error.stack ?? "", "_tasks.ts");
      }
      await assertGood(form, pool);
    },
  );

  testForms(
    `${name}.submit() throws what is no error when the call throws that`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      for (const thrown of ["text", 7, undefined, null, { code: 1 }]) {
        const future = pool.submit((value: unknown) => {
          throw value;
        }, thrown);
        const caught = await form.result(future).then(
          () => ["returned"],
          (error) => [error],
        );
        assertEquals(caught, [thrown]);
      }
      await assertGood(form, pool);
    },
  );

  testForms(
    `${name}.submit() awaits the task when it is async`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const late = async (n: number) => {
        await new Promise((resolve) => setTimeout(resolve, 1));
        return n + 1;
      };
      assertEquals(await form.result(pool.submit(late, 1)), 2);
      const thenable = (n: number) => ({
        then: (resolve: (n: number) => void) => resolve(n + 1),
      });
      assertEquals(await form.result(pool.submit(thenable, 2)), 3);
    },
  );

  testForms(
    `${name}.submit() passes exactly the arguments given`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const count = (...args: unknown[]) => [args.length, ...args];
      const calls = [[], [undefined], [null, undefined], [1, "2", [3], {
        4: 5,
      }]];
      for (const args of calls) {
        const future = pool.submit(count, ...args);
        assertEquals(await form.result(future), [args.length, ...args]);
      }
    },
  );

  testForms(
    `${name}.submit() copies its arguments when it is called`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const held = pool.submit(tasks.hold, gates.folder, "a");
      const list = [1];
      const future = pool.submit((list: number[]) => list, list);
      list.push(2);
      gates.open("a");
      assertEquals(await form.result(future), [1]);
      assertEquals(await form.result(held), "a");
    },
  );

  testForms(
    `${name}.submit() gives every value when there are more tasks than the queue has room for`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 2 }));
      const futures = Array.from(
        { length: 3000 },
        (_, n) => pool.submit(Math.abs, -n),
      );
      for (const [n, future] of futures.entries()) {
        assertEquals(await form.result(future), n);
      }
    },
  );

  testForms(
    `${name}.submit() carries a payload larger than the queue, both ways`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const long = "long".repeat(2_000_000);
      const future = pool.submit((text: string) => text + "er", long);
      assert(await form.result(future) === long + "er", "the text is the same");
    },
  );

  testPool(
    `${name}.submit() runs done callbacks in order, once each, with the future`,
    async ({ own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const future = pool.submit(add, 1, 2);
      const calls: [string, unknown][] = [];
      const over = Promise.withResolvers<void>();
      future.addDoneCallback((self) => calls.push(["first", self]));
      future.addDoneCallback((self) => {
        calls.push(["second", self]);
        over.resolve();
      });
      await over.promise;
      future.addDoneCallback((self) => calls.push(["third", self]));
      assertEquals(calls.map(([call]) => call), ["first", "second", "third"]);
      for (const [, self] of calls) assertStrictEquals(self, future);
    },
  );

  testPool(
    `${name}.submit() leaves a task alone when a wait for it times out or is aborted`,
    async ({ own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const future = pool.submit(tasks.hold, gates.folder, "a");
      await assertRejects(() => future.result({ timeout: 0 }), TimeoutError);
      await assertRejects(() => future.exception({ timeout: 1 }), TimeoutError);
      assertThrows(() => future.resultSync({ timeout: 0 }), TimeoutError);
      assertThrows(() => future.exceptionSync({ timeout: 1 }), TimeoutError);
      const reason = new Error("enough");
      const signal = AbortSignal.abort(reason);
      const error = await assertRejects(() => future.result({ signal }));
      assertStrictEquals(error, reason);
      gates.open("a");
      assertEquals(await future, "a");
    },
  );
}

// ------------------------------------------------------------------- order

function testOrder(name: string, create: Create): void {
  testForms(
    `${name}.submit() starts tasks in the order of submission with one worker`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      pool.submit(tasks.hold, gates.folder, "a");
      const names = Array.from({ length: 30 }, (_, n) => `${n}`);
      const futures = names.map((name) =>
        pool.submit(tasks.note, gates.folder, name)
      );
      gates.open("a");
      for (const [n, future] of futures.entries()) {
        assertEquals(await form.result(future), names[n]);
      }
      assertEquals(gates.notes(), names);
    },
  );

  testForms(
    `${name}.submit() starts tasks in the order of submission with two workers`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 2 }));
      const names = ["0", "1", "2", "3", "4"];
      const futures = names.map((name) =>
        pool.submit(tasks.hold, gates.folder, name)
      );
      await form.until(() => gates.isReached("0") && gates.isReached("1"));
      assertEquals(names.map((name) => gates.isReached(name)), [
        true,
        true,
        false,
        false,
        false,
      ]);
      gates.open("1");
      await form.until(() => gates.isReached("2"));
      assertEquals(gates.isReached("3"), false);
      gates.open("0");
      await form.until(() => gates.isReached("3"));
      assertEquals(gates.isReached("4"), false);
      gates.openEvery();
      for (const [n, future] of futures.entries()) {
        assertEquals(await form.result(future), names[n]);
      }
    },
  );

  testForms(
    `${name}.submit() lets no task wait behind a busy worker while another is idle`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 2 }));
      const held = pool.submit(tasks.hold, gates.folder, "a");
      await form.until(() => held.running());
      for (let n = 0; n < 50; n++) {
        assertEquals(await form.result(pool.submit(tasks.add, n, 1)), n + 1);
      }
      const many = Array.from(
        { length: 500 },
        (_, n) => pool.submit(tasks.add, n, 1),
      );
      for (const [n, future] of many.entries()) {
        assertEquals(await form.result(future), n + 1);
      }
      assertEquals(held.done(), false);
      gates.open("a");
      assertEquals(await form.result(held), "a");
    },
  );

  testForms(
    `${name}.submit() lets no task wait behind a task that awaits while another worker is idle`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 2 }));
      const held = pool.submit(tasks.holdAwaiting, gates.folder, "a");
      await form.until(() => held.running());
      for (let n = 0; n < 50; n++) {
        assertEquals(await form.result(pool.submit(tasks.add, n, 1)), n + 1);
      }
      assertEquals(held.done(), false);
      gates.open("a");
      assertEquals(await form.result(held), "a");
    },
  );

  testForms(
    `${name} runs as many tasks at once as it has workers`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 3 }));
      const names = ["a", "b", "c", "d"];
      const futures = names.map((name) =>
        pool.submit(tasks.hold, gates.folder, name)
      );
      await form.until(() =>
        ["a", "b", "c"].every((name) => gates.isReached(name))
      );
      assertEquals(gates.isReached("d"), false);
      assertEquals(futures[3].running(), false);
      gates.openEvery();
      for (const [n, future] of futures.entries()) {
        assertEquals(await form.result(future), names[n]);
      }
    },
  );

  testForms(
    `${name} runs one task at a time in a worker while the task awaits`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const first = pool.submit(tasks.holdAwaiting, gates.folder, "a");
      const second = pool.submit(tasks.note, gates.folder, "b");
      await form.until(() => gates.isReached("a"));
      assertEquals([first.running(), second.running()], [true, false]);
      assertEquals(gates.notes(), []);
      gates.open("a");
      assertEquals(await form.result(second), "b");
      assert(first.done());
    },
  );

  testForms(
    `${name}.submit() has a future running once a worker has started it`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const first = pool.submit(tasks.hold, gates.folder, "a");
      const second = pool.submit(tasks.hold, gates.folder, "b");
      await form.until(() => gates.isReached("a"));
      assertEquals([first.running(), first.done()], [true, false]);
      assertEquals([second.running(), second.done()], [false, false]);
      gates.open("a");
      await form.until(() => gates.isReached("b"));
      assertEquals(second.running(), true);
      assertEquals(await form.result(first), "a");
      assertEquals(first.running(), false);
      gates.open("b");
      assertEquals(await form.result(second), "b");
      assertEquals([second.running(), second.done()], [false, true]);
    },
  );
}

// ------------------------------------------------------------------ cancel

function testCancel(name: string, create: Create): void {
  testForms(
    `${name} never runs a task when its cancel() returned true`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const held = pool.submit(tasks.hold, gates.folder, "a");
      const future = pool.submit(tasks.note, gates.folder, "never");
      const after = pool.submit(tasks.note, gates.folder, "after");
      const told: unknown[] = [];
      future.addDoneCallback((self) => told.push(self));
      assertEquals(future.cancel(), true);
      assertEquals(told, [future]);
      assertEquals(future.cancel(), true);
      assertEquals([future.cancelled(), future.done(), future.running()], [
        true,
        true,
        false,
      ]);
      await assertRejects(() => form.result(future), CancelledError);
      await assertRejects(() => form.exception(future), CancelledError);
      gates.open("a");
      assertEquals(await form.result(held), "a");
      assertEquals(await form.result(after), "after");
      assertEquals(gates.notes(), ["after"]);
      assertEquals(told, [future]);
    },
  );

  testForms(
    `${name} finishes a task when its cancel() returned false`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const future = pool.submit(tasks.hold, gates.folder, "a");
      await form.until(() => gates.isReached("a"));
      assertEquals(future.cancel(), false);
      assertEquals(future.cancelled(), false);
      gates.open("a");
      assertEquals(await form.result(future), "a");
      assertEquals(future.cancel(), false);
    },
  );

  testForms(
    `${name} either runs or cancels each task, when cancel() races its start`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 2 }));
      await assertGood(form, pool);
      const names = Array.from({ length: 200 }, (_, n) => `${n}`);
      const futures = names.map((name) =>
        pool.submit(tasks.note, gates.folder, name)
      );
      const ran: string[] = [];
      for (const [n, future] of futures.entries()) {
        if (n % 2 === 0 || !future.cancel()) ran.push(names[n]);
        else await assertRejects(() => form.result(future), CancelledError);
        if (n % 2 === 0) assertEquals(await form.result(future), names[n]);
      }
      await form.shutdown(pool);
      assertEquals(gates.notes().sort(), ran.sort());
    },
  );

  testForms(
    `${name} serves on after a great many cancelled tasks`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      pool.submit(tasks.hold, gates.folder, "a");
      const futures = Array.from(
        { length: 3000 },
        () => pool.submit(Math.abs, 1),
      );
      await form.until(() => gates.isReached("a"));
      for (const future of futures) assertEquals(future.cancel(), true);
      gates.open("a");
      await assertGood(form, pool);
    },
  );
}

// ---------------------------------------------------------------- shutdown

/** What there is in a pool of one worker when it is shut down. */
type State =
  | "nothing submitted"
  | "pending"
  | "running"
  | "done"
  | "shut already";
const STATES: readonly State[] = [
  "nothing submitted",
  "pending",
  "running",
  "done",
  "shut already",
];

function testShutdown(name: string, create: Create): void {
  for (const isWaiting of [true, false]) {
    for (const cancelFutures of [true, false]) {
      for (const state of STATES) {
        testForms(
          `${name}.shutdown({ wait: ${isWaiting}, cancelFutures: ${cancelFutures} }) keeps its word when there is ${state}`,
          async ({ form, own, gates }) => {
            const pool = own(create({ maxWorkers: 1 }));
            const { running, pending, done } = await bring(
              pool,
              state,
              form,
              gates.folder,
            );
            const options = { wait: isWaiting, cancelFutures };
            const opener = isWaiting && running
              ? gates.openFromElsewhere("a")
              : undefined;
            await form.shutdown(pool, options);
            opener?.terminate();
            if (isWaiting) assertEquals(liveWorkers(), 0);
            else {
              if (running) {
                assertEquals([running.running(), running.done()], [
                  true,
                  false,
                ]);
              }
              if (pending) assertEquals(pending.done(), cancelFutures);
              gates.open("a");
            }
            assertThrows(() => pool.submit(add, 1, 2), RuntimeError);
            assertThrows(() => pool.map(add, [1], [2]), RuntimeError);
            assertThrows(() => pool.submitWith({}, add, 1, 2), RuntimeError);

            if (isWaiting && running) assert(running.done());
            if (isWaiting && pending) assert(pending.done());
            if (running) assertEquals(await form.result(running), "a");
            if (pending && cancelFutures) {
              assertEquals(pending.cancelled(), true);
              await assertRejects(() => form.result(pending), CancelledError);
            } else if (pending) {
              assertEquals(await form.result(pending), "pending");
            }
            if (done) assertEquals(await form.result(done), 3);
            const ran = pending && !cancelFutures ? ["pending"] : [];
            await form.shutdown(pool, { ...options, wait: true });
            await form.shutdown(pool);
            assertEquals(gates.notes(), ran);
            assertEquals(liveWorkers(), 0);
          },
        );
      }
    }
  }

  testForms(
    `${name}.shutdown() waits for all and cancels nothing, without options`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 2 }));
      const futures = Array.from(
        { length: 20 },
        (_, n) => pool.submit(tasks.note, gates.folder, `${n}`),
      );
      await form.shutdown(pool);
      assertEquals(
        futures.map((future) => future.done()),
        futures.map(() => true),
      );
      assertEquals(gates.notes().length, 20);
      assertEquals(liveWorkers(), 0);
    },
  );

  testForms(
    `${name}.shutdown() settles every call of it, when it is called again meanwhile`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const future = pool.submit(tasks.hold, gates.folder, "a");
      await form.until(() => future.running());
      const first = pool.shutdown();
      const second = pool.shutdown({ cancelFutures: true });
      await pool.shutdown({ wait: false });
      pool.shutdownSync({ wait: false });
      assertEquals(future.done(), false);
      gates.open("a");
      await Promise.all([first, second]);
      assertEquals(future.done(), true);
      assertEquals(await future, "a");
    },
  );

  testForms(
    `${name}.shutdown({ wait: false }) lets what is pending finish`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 2 }));
      const futures = Array.from(
        { length: 20 },
        (_, n) => pool.submit(tasks.add, n, 1),
      );
      const held = pool.submit(tasks.hold, gates.folder, "a");
      await form.shutdown(pool, { wait: false });
      for (const [n, future] of futures.entries()) {
        assertEquals(await form.result(future), n + 1);
      }
      gates.open("a");
      assertEquals(await form.result(held), "a");
    },
  );

  testForms(
    `${name}.shutdown() refuses a submit in a done callback that it waits for`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const errors: unknown[] = [];
      pool.submit(add, 1, 2).addDoneCallback(() => {
        try {
          pool.submit(add, 1, 2);
        } catch (error) {
          errors.push(error);
        }
      });
      await form.shutdown(pool);
      assertEquals(errors.length, 1);
      assertInstanceOf(errors[0], RuntimeError);
    },
  );

  testForms(
    `${name}.shutdown() lets a map that was made before go on`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const results = pool.map(add, [1, 2, 3], [1, 1, 1]);
      await form.shutdown(pool);
      assertEquals(await form.collect(results), {
        values: [2, 3, 4],
        thrown: [],
      });
    },
  );

  testPool(
    `${name}.submit() says what to do when the executor was shut down`,
    async ({ own }) => {
      const pool = own(create());
      await pool.shutdown();
      const error = assertThrows(
        () => pool.submit(add, 1, 2),
        RuntimeError,
        "shut",
      );
      assertEquals(error.name, "RuntimeError");
      assertEquals(error instanceof BrokenExecutor, false);
    },
  );
}

interface Brought {
  running?: Future<string>;
  pending?: Future<string>;
  done?: Future<number>;
}

/** Brings a pool of one worker into a state; what runs waits at gate "a". */
async function bring(
  pool: Executor,
  state: State,
  form: Form,
  folder: string,
): Promise<Brought> {
  if (state === "nothing submitted") return {};
  if (state === "done") {
    const done = pool.submit(tasks.add, 1, 2);
    await form.result(done);
    return { done };
  }
  const running = pool.submit(tasks.hold, folder, "a");
  await form.until(() => running.running());
  if (state === "running") return { running };
  const pending = pool.submit(tasks.note, folder, "pending");
  if (state === "shut already") await form.shutdown(pool, { wait: false });
  return { running, pending };
}

function testUsing(name: string, create: Create): void {
  testPool(
    `${name} is shut down when an await using block ends`,
    async ({ own }) => {
      let left: Executor, future: Future<number>;
      {
        await using pool = own(create({ maxWorkers: 1 }));
        left = pool;
        future = pool.submit(tasks.add, 1, 2);
      }
      assert(future.done());
      assertEquals(liveWorkers(), 0);
      assertThrows(() => left.submit(add, 1, 2), RuntimeError);
      assertEquals(await future, 3);
    },
  );

  testPool(
    `${name} is shut down when a using block ends, without the event loop`,
    async ({ own }) => {
      let left: Executor, future: Future<number>;
      {
        using pool = own(create({ maxWorkers: 1 }));
        left = pool;
        future = pool.submit(tasks.add, 1, 2);
      }
      assert(future.done());
      assertEquals(liveWorkers(), 0);
      assertThrows(() => left.submit(add, 1, 2), RuntimeError);
      assertEquals(await future, 3);
    },
  );

  testPool(
    `${name} is shut down when a block ends by an error`,
    async ({ own }) => {
      const futures: Future<number>[] = [];
      await assertRejects(
        async () => {
          await using pool = own(create({ maxWorkers: 1 }));
          futures.push(pool.submit(tasks.add, 1, 2));
          throw new RangeError("left");
        },
        RangeError,
        "left",
      );
      assertThrows(
        () => {
          using pool = own(create({ maxWorkers: 1 }));
          futures.push(pool.submit(tasks.add, 1, 2));
          throw new RangeError("left");
        },
        RangeError,
        "left",
      );
      assertEquals(futures.map((future) => future.resultSync({ timeout: 0 })), [
        3,
        3,
      ]);
      assertEquals(liveWorkers(), 0);
    },
  );

  testPool(
    `${name} is shut down once when a block ends after a shutdown of its own`,
    async ({ own }) => {
      await using pool = own(create({ maxWorkers: 1 }));
      using same = pool;
      assertEquals(same.submit(add, 1, 2).resultSync(), 3);
      await pool.shutdown();
    },
  );
}

// --------------------------------------------------------------- callables

declare const nowhere: number;

function testCallables(name: string, create: Create): void {
  testForms(
    `${name}.submit() calls an export of a file, when importTasks names it`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      assertEquals(await form.result(pool.submit(tasks.add, 1, 2)), 3);
      // through a helper of its module
      assertEquals(
        await form.result(pool.submit(tasks.capitalize, "word")),
        "Word",
      );
    },
  );

  testForms(
    `${name}.submit() calls an export of a data: URL, when importTasks names it`,
    async ({ form, own }) => {
      const source = `
      let calls = 0;
      export const count = () => ++calls;
      export default async (n) => n + calls;
      const secret = 7, inner = () => secret;
      export { inner as "an inner" };
    `;
      const module = importTasks<
        {
          count(): number;
          default(n: number): Promise<number>;
          "an inner"(): number;
        }
      >(`data:text/javascript,${encodeURIComponent(source)}`);
      const pool = own(create({ maxWorkers: 1 }));
      assertEquals(await form.result(pool.submit(module.count)), 1);
      assertEquals(await form.result(pool.submit(module.count)), 2); // one module for all tasks
      assertEquals(await form.result(pool.submit(module.default, 40)), 42);
      assertEquals(await form.result(pool.submit(module["an inner"])), 7);
    },
  );

  testForms(
    `${name}.submit() awaits a module with top-level await`,
    async ({ form, own }) => {
      const source = `
      await new Promise((resolve) => setTimeout(resolve, 1));
      export const ready = () => true;
    `;
      const module = importTasks<{ ready(): boolean }>(
        `data:text/javascript,${encodeURIComponent(source)}`,
      );
      const pool = own(create({ maxWorkers: 1 }));
      assertEquals(await form.result(pool.submit(module.ready)), true);
    },
  );

  testForms(
    `${name}.submit() fails that future alone when a module lacks the export`,
    async ({ form, own }) => {
      const lacking = importTasks<{ nothing(): void; answer(): void }>(
        import.meta.resolve("./_tasks.ts"),
      );
      const pool = own(create({ maxWorkers: 1 }));
      await assertFails(
        form,
        pool.submit(lacking.nothing),
        SerializationError,
        /"nothing".*_tasks\.ts.*"add"/s,
      );
      await assertFails(
        form,
        pool.submit(lacking.answer),
        SerializationError,
        /"answer"/,
      );
      await assertGood(form, pool);
    },
  );

  testForms(
    `${name}.submit() fails that future alone when there is no such module`,
    async ({ form, own }) => {
      const missing = importTasks<{ f(): void }>(
        import.meta.resolve("./_no_such_tasks.ts"),
      );
      const pool = own(create({ maxWorkers: 1 }));
      await assertFails(
        form,
        pool.submit(missing.f),
        TypeError,
        /_no_such_tasks\.ts/,
      );
      await assertGood(form, pool);
    },
  );

  testForms(
    `${name}.submit() calls built-ins that the global object reaches`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const path = `${gates.folder}/text`;
      Deno.writeTextFileSync(path, "text");
      assertEquals(await form.result(pool.submit(Math.pow, 2, 10)), 1024);
      assertEquals(await form.result(pool.submit(JSON.parse, "[1]")), [1]);
      assertEquals(await form.result(pool.submit(parseInt, "ff", 16)), 255);
      assertEquals(await form.result(pool.submit(Array.of<number>, 1, 2)), [
        1,
        2,
      ]); // needs its this
      assertEquals(
        await form.result(pool.submit(Deno.readTextFileSync, path)),
        "text",
      );
      assertEquals(
        await form.result(pool.submit(Deno.readTextFile, path)),
        "text",
      );
      assertEquals(
        (await form.result(pool.submit(crypto.randomUUID))).length,
        36,
      );
      await assertFails(
        form,
        pool.submit(JSON.parse, "{"),
        SyntaxError,
        /JSON/,
      );
    },
  );

  testForms(
    `${name}.submit() calls a self-contained function of any form`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      function recursive(n: number): number {
        return n === 0 ? 1 : n * recursive(n - 1);
      }
      const object = {
        method(n: number) {
          return n + 1;
        },
        async asyncMethod(n: number) {
          await null;
          return n + 1;
        },
        "a method": (n: number) => n + 1,
        async "an async method"(n: number) {
          await null;
          return n + 1;
        },
      };
      class Holder {
        static increment(n: number) {
          return n + 1;
        }
        method(n: number) {
          return n + 1;
        }
      }
      const named = function inner(n: number): number {
        return n > 5 ? n : inner(n + 1);
      };
      const forms: [
        Callable<[number], number | Promise<number>>,
        number,
        number,
      ][] = [
        [recursive, 5, 120],
        [(n) => n + 1, 1, 2],
        [async (n) => await n + 1, 1, 2],
        [
          function (n) {
            return n + 1;
          },
          1,
          2,
        ],
        [
          async function (n) {
            await null;
            return n + 1;
          },
          1,
          2,
        ],
        [named, 1, 6],
        [object.method, 1, 2],
        [object.asyncMethod, 1, 2],
        [object["a method"], 1, 2],
        [object["an async method"], 1, 2],
        [Holder.increment, 1, 2],
        [new Holder().method, 1, 2],
        [(n, step = 2) => n + step, 1, 3],
        [(...[n]) => n + 1, 1, 2],
        [
          (n) => {
            const nested = function (this: { n: number }) {
              return this.n;
            };
            return nested.call({ n });
          },
          4,
          4,
        ],
      ];
      for (const [fn, given, wanted] of forms) {
        assertEquals(
          await form.result(pool.submit(fn, given)),
          wanted,
          String(fn),
        );
      }
      // with no `this` to lean on
      const seen = await form.result(pool.submit(function (this: unknown) {
        return this === undefined;
      }));
      assertEquals(seen, true);
    },
  );

  testForms(
    `${name}.submit() calls each of many functions with the same text and name`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 2 }));
      const futures = Array.from(
        { length: 50 },
        (_, n) => pool.submit((n: number) => n * 2, n),
      );
      for (const [n, future] of futures.entries()) {
        assertEquals(await form.result(future), n * 2);
      }
    },
  );

  testForms(
    `${name}.submit() calls each of many functions of different texts`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 2 }));
      const futures = Array.from(
        { length: 200 },
        (_, n) =>
          pool.submit(
            new Function("m", `return m + ${n}`) as (m: number) => number,
            1,
          ),
      );
      for (const [n, future] of futures.entries()) {
        assertEquals(await form.result(future), n + 1);
      }
    },
  );

  testForms(
    `${name}.submit() fails with the ReferenceError when a function uses a name that nobody knows`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const functions: Callable<[], unknown>[] = [
        function usesName() {
          return nowhere + 1;
        },
        async function usesName() {
          await null;
          return nowhere + 1;
        },
      ];
      for (const fn of functions) {
        await assertFails(
          form,
          pool.submit(fn),
          ReferenceError,
          /^nowhere is not defined$/,
        );
      }
      await assertGood(form, pool);
    },
  );
}

function testRefusals(name: string, create: Create): void {
  const counter = {
    count: 1,
    next() {
      return this.count;
    },
  };
  class Point {
    x = 1;
  }
  class Derived extends Point {
    getX() {
      return super.constructor.name;
    }
  }
  const refused: [string, () => unknown, RegExp][] = [
    ["a bound function", add.bind(null, 1, 2), /"bound add".*bound/s],
    [
      "a native function that no global reaches",
      wrong(Map.prototype.get),
      /"get".*native/s,
    ],
    ["a method that uses this", counter.next, /"next".*this/s],
    ["a method that uses super", Derived.prototype.getX, /"getX".*this/s],
    ["a class", wrong(Point), /"Point".*class/s],
  ];
  for (const [what, fn, message] of refused) {
    testForms(
      `${name}.submit() fails that future alone, naming the function, when it is ${what}`,
      async ({ form, own }) => {
        const pool = own(create({ maxWorkers: 1 }));
        const first = await assertFails(
          form,
          pool.submit(fn),
          SerializationError,
          message,
        );
        const second = await assertFails(
          form,
          pool.submit(fn),
          SerializationError,
          message,
        );
        assertNotStrictEquals(first, second);
        const { values, thrown: [error] } = await form.collect(pool.map(fn));
        assertEquals([values, error], [[], undefined]); // no iterable, no call
        await assertGood(form, pool);
      },
    );
  }

  testForms(
    `${name}.map() throws SerializationError when its function cannot travel`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      for (const chunkSize of [1, 2]) {
        const results = pool.map(wrong<(n: number) => number>(counter.next), [
          1,
          2,
        ], { chunkSize });
        const { values, thrown: [error] } = await form.collect(results);
        assertEquals(values, []);
        assertInstanceOf(error, SerializationError);
        assertStringIncludes(error.message, '"next"');
      }
      await assertGood(form, pool);
    },
  );

  testPool(
    `${name}.submit() throws TypeError when there is nothing to call`,
    async ({ own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      for (
        const value of [undefined, null, 1, "add", {}, [], Symbol("f"), tasks]
      ) {
        assertThrows(() => pool.submit(wrong<() => void>(value)), TypeError);
        assertThrows(
          () => pool.submitWith({}, wrong<() => void>(value)),
          TypeError,
        );
        assertThrows(
          () => pool.map(wrong<() => void>(value), wrong([])),
          TypeError,
        );
      }
      assertEquals(await pool.submit(add, 1, 2), 3);
    },
  );

  testPool(
    "importTasks() throws TypeError when the module is no absolute URL",
    () => {
      assertThrows(
        () => importTasks("./tasks.ts"),
        TypeError,
        "import.meta.resolve",
      );
      assertThrows(() => importTasks("tasks"), TypeError, "absolute URL");
      return Promise.resolve();
    },
  );
}

// ------------------------------------------------------------------ values

function testValues(name: string, create: Create): void {
  testForms(
    `${name}.submit() refuses a future as an argument`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const future = pool.submit(add, 1, 2);
      const take = (_: unknown) => "taken";
      await assertFails(
        form,
        pool.submit(take, future),
        SerializationError,
        /argument 1.*future/is,
      );
      await assertFails(
        form,
        pool.submit(take, { list: [future] }),
        SerializationError,
        /argument 1: \.list\[0\].*future/is,
      );
      await assertFails(
        form,
        pool.submit(take, pool),
        SerializationError,
        /argument 1.*executor/s,
      );
      await assertFails(
        form,
        pool.submit(take, tasks.add),
        SerializationError,
        /argument 1.*task reference/s,
      );
      assertEquals(await form.result(future), 3);
      await assertGood(form, pool);
    },
  );

  testForms(
    `${name}.submit() names the path when an argument cannot travel`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const take = (..._: unknown[]) => "taken";
      const refusals: [unknown[], RegExp][] = [
        [[() => {}], /argument 1\b.*is a function/],
        [[1, Symbol("s")], /argument 2\b.*is a symbol/],
        [
          [{ options: { onDone: () => {} } }],
          /argument 1: \.options\.onDone\b.*is a function/,
        ],
        [
          [1, [{ "a b": Symbol("s") }]],
          /argument 2: \[0\]\["a b"\].*is a symbol/,
        ],
        [[new WeakMap()], /argument 1.*WeakMap/],
        [[Promise.resolve(1)], /argument 1.*[Pp]romise/],
      ];
      for (const [args, message] of refusals) {
        await assertFails(
          form,
          pool.submit(take, ...args),
          SerializationError,
          message,
        );
        await assertFails(
          form,
          pool.submitWith({}, take, ...args),
          SerializationError,
          message,
        );
      }
      await assertGood(form, pool);
    },
  );

  testForms(
    `${name}.submit() names the path when a result cannot travel`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const refusals: [() => unknown, RegExp][] = [
        [function makes() {
          return () => {};
        }, /result of "makes".*is a function/],
        [function makes() {
          return { list: [1, { key: Symbol("s") }] };
        }, /result of "makes": \.list\[1\]\.key\b.*is a symbol/],
        [async function makes() {
          await null;
          return new Map([["key", () => {}]]);
        }, /result of "makes".*is a function/],
      ];
      for (const [fn, message] of refusals) {
        await assertFails(form, pool.submit(fn), SerializationError, message);
      }
      await assertGood(form, pool);
    },
  );

  testForms(
    `${name}.submit() fails that future alone when an error cannot travel`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const future = pool.submit(function throws() {
        throw Object.assign(new RangeError("told"), { field: () => {} });
      });
      const error = await assertFails(
        form,
        future,
        SerializationError,
        /error of "throws".*field.*function/s,
      );
      assertInstanceOf(error.cause, Error);
      assertEquals(error.cause.message, "told");
      await assertGood(form, pool);
    },
  );

  testForms(
    `${name}.submit() carries values and shared references, both ways`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const echo = <T>(value: T) => value;
      const values = [
        undefined,
        null,
        NaN,
        -0,
        Infinity,
        12n,
        "é\0😀",
        new Date(5),
        /a/gi,
        new Map<unknown, unknown>([[{ a: 1 }, new Set([1])]]),
        new Uint8Array([1, 2, 3]),
        [{ deep: [undefined] }],
      ];
      for (const value of values) {
        assertEquals(
          await form.result(pool.submit(echo<unknown>, value)),
          value,
        );
      }
      const shared: Record<string, unknown> = { a: 1 };
      shared.self = shared;
      const [one, two] = await form.result(
        pool.submit(echo<typeof shared[]>, [shared, shared]),
      );
      assertStrictEquals(one, two);
      assertStrictEquals(one.self, one);
    },
  );

  testForms(
    `${name}.submit() brings errors back with class, cause and fields`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const future = pool.submit(function throws() {
        const cause = new SyntaxError("inner");
        throw Object.assign(new RangeError("outer", { cause }), { code: 7 });
      });
      const error = await assertFails(form, future, RangeError, /^outer$/);
      assertInstanceOf(error.cause, SyntaxError);
      assertEquals((error as RangeError & { code: number }).code, 7);
      assertStringIncludes(error.stack ?? "", "throws");
      const named = pool.submit(() => {
        throw Object.assign(new Error("own"), { name: "OwnError" });
      });
      assertEquals(
        (await assertFails(form, named, Error, /^own$/)).name,
        "OwnError",
      );
      const aborted = pool.submit(() => {
        throw new DOMException("gone", "AbortError");
      });
      assertEquals(
        (await assertFails(form, aborted, DOMException, /gone/)).name,
        "AbortError",
      );
    },
  );
}

// ------------------------------------------------------------- initializer

function testInitializer(name: string, create: Create): void {
  const setWord = (word: string, times: number) => {
    (globalThis as unknown as { word: string }).word = word.repeat(times);
  };
  const getWord = () => (globalThis as unknown as { word: string }).word;

  testForms(
    `${name}({ initializer }) runs in each worker before its first task, with initArgs`,
    async ({ form, own, gates }) => {
      const pool = own(
        create({ maxWorkers: 2, initializer: setWord, initArgs: ["ab", 2] }),
      );
      const held = pool.submit(tasks.hold, gates.folder, "a");
      await form.until(() => gates.isReached("a"));
      assertEquals(await form.result(pool.submit(getWord)), "abab");
      gates.open("a");
      await form.result(held);
      const words = Array.from({ length: 10 }, () => pool.submit(getWord));
      for (const word of words) assertEquals(await form.result(word), "abab");
    },
  );

  testForms(
    `${name}({ initializer }) runs once in a worker`,
    async ({ form, own, gates }) => {
      const pool = own(
        create({
          maxWorkers: 1,
          initializer: note,
          initArgs: [gates.folder, "init"],
        }),
      );
      for (let n = 0; n < 3; n++) {
        await form.result(
          pool.submit(note, gates.folder, `${n}`),
        );
      }
      assertEquals(gates.notes(), ["init", "0", "1", "2"]);
    },
  );

  testForms(
    `${name}({ initializer }) is awaited when it is async`,
    async ({ form, own, gates }) => {
      const pool = own(
        create({
          maxWorkers: 1,
          initializer: tasks.holdAwaiting,
          initArgs: [gates.folder, "a"],
        }),
      );
      const future = pool.submit(note, gates.folder, "task");
      await form.until(() => gates.isReached("a"));
      assertEquals([future.done(), gates.notes()], [false, []]);
      gates.open("a");
      assertEquals(await form.result(future), "task");
    },
  );

  testForms(
    `${name}({ initArgs }) are copied when the executor is made`,
    async ({ form, own }) => {
      const keep = (list: unknown) => {
        (globalThis as unknown as { kept: unknown }).kept = list;
      };
      const list = [1], args = [list];
      const pool = own(
        create({ maxWorkers: 1, initializer: keep, initArgs: args }),
      );
      list.push(2);
      args.push([3]);
      const future = pool.submit(() =>
        (globalThis as unknown as { kept: unknown }).kept
      );
      assertEquals(await form.result(future), [1]);
    },
  );

  for (const task of [tasks.fail, tasks.failAwaiting]) {
    for (const onWorkerDeath of ["replace", "break"] as const) {
      testForms(
        `${name}({ onWorkerDeath: "${onWorkerDeath}" }) is broken when its initializer fails, by ${task.export}`,
        async ({ form, own }) => {
          const pool = own(
            create({
              maxWorkers: 2,
              onWorkerDeath,
              initializer: task,
              initArgs: ["unfit"],
            }),
          );
          const futures = [1, 2, 3].map((n) => pool.submit(Math.abs, n));
          for (const future of futures) {
            const error = await assertFails(
              form,
              future,
              BrokenExecutor,
              /initializer/,
            );
            assertInstanceOf(error.cause, RangeError);
            assertEquals(error.cause.message, "unfit");
          }
          for (
            const call of [
              () => pool.submit(add, 1, 2),
              () => pool.map(add, [1], [2]),
            ]
          ) {
            const error = assertThrows(call, BrokenExecutor);
            assertInstanceOf(error, RuntimeError);
            assertInstanceOf(error.cause, RangeError);
          }
          await form.shutdown(pool);
          assertEquals(liveWorkers(), 0);
        },
      );
    }
  }

  testPool(
    `${name}() throws SerializationError when initializer or initArgs cannot travel`,
    () => {
      assertThrows(
        () => create({ initializer: add.bind(null, 1, 2) }),
        SerializationError,
        "bound add",
      );
      assertThrows(
        () => create({ initializer: () => {}, initArgs: [{ f: () => {} }] }),
        SerializationError,
        ".f is a function",
      );
      return Promise.resolve();
    },
  );
}

// ----------------------------------------------------------------- options

function testOptions(name: string, create: Create): void {
  testPool(
    `${name}() throws RangeError when a number is out of range or a constant unknown`,
    () => {
      for (const maxWorkers of [0, -1, 1.5, NaN, Infinity]) {
        assertThrows(() => create({ maxWorkers }), RangeError, "maxWorkers");
      }
      assertThrows(
        () => create({ onWorkerDeath: wrong("ignore") }),
        RangeError,
        "onWorkerDeath",
      );
      return Promise.resolve();
    },
  );

  testPool(`${name}() throws TypeError when an option has a wrong type`, () => {
    for (const value of ["2", null, {}, 2n]) {
      assertThrows(
        () => create({ maxWorkers: wrong(value) }),
        TypeError,
        "maxWorkers",
      );
    }
    for (const value of ["add", null, {}, 1]) {
      assertThrows(
        () => create({ initializer: wrong(value) }),
        TypeError,
        "initializer",
      );
      assertThrows(
        () => create({ initializer: add, initArgs: wrong(value) }),
        TypeError,
        "initArgs",
      );
    }
    assertThrows(
      () => create({ onWorkerDeath: wrong(1) }),
      TypeError,
      "onWorkerDeath",
    );
    assertThrows(() => create(wrong(7)), TypeError, "options");
    return Promise.resolve();
  });

  testPool(
    `${name}.submitWith() throws RangeError and TypeError when an option is wrong`,
    async ({ own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const submit = (options: unknown) =>
        pool.submitWith(
          wrong<SubmitOptions>(options),
          note,
          gates.folder,
          "never",
        );
      for (const timeout of [-1, NaN]) {
        assertThrows(() => submit({ timeout }), RangeError, "timeout");
      }
      for (const timeout of ["1", null, {}]) {
        assertThrows(() => submit({ timeout }), TypeError, "timeout");
      }
      for (const signal of [{}, null, new AbortController()]) {
        assertThrows(() => submit({ signal }), TypeError, "signal");
      }
      for (const transfer of [{}, null, new ArrayBuffer(1)]) {
        assertThrows(() => submit({ transfer }), TypeError, "transfer");
      }
      for (const options of [null, 1, "x"]) {
        assertThrows(() => submit(options), TypeError, "options");
      }
      await pool.shutdown();
      assertEquals(gates.notes(), []);
    },
  );

  testPool(
    `${name}.map() throws RangeError and TypeError when an option is wrong`,
    async ({ own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const map = (options: unknown) =>
        pool.map(note, [gates.folder], ["never"], wrong(options));
      for (const count of [0, -1, 1.5, NaN]) {
        assertThrows(() => map({ chunkSize: count }), RangeError, "chunkSize");
        assertThrows(
          () => map({ bufferSize: count }),
          RangeError,
          "bufferSize",
        );
      }
      for (const count of ["1", null, 1n]) {
        assertThrows(() => map({ chunkSize: count }), TypeError, "chunkSize");
        assertThrows(() => map({ bufferSize: count }), TypeError, "bufferSize");
      }
      assertThrows(() => map({ timeout: -1 }), RangeError, "timeout");
      assertThrows(() => map({ timeout: "1" }), TypeError, "timeout");
      assertThrows(() => map({ signal: {} }), TypeError, "signal");
      assertThrows(
        () => pool.map(wrong<(n: number) => void>(add), wrong(7)),
        TypeError,
      );
      assertThrows(
        () =>
          pool.map(
            wrong<(a: unknown, b: unknown) => void>(add),
            wrong(null),
            [],
          ),
        TypeError,
      );
      await pool.shutdown();
      assertEquals(gates.notes(), []);
    },
  );

  testPool(
    `${name}.shutdown() throws TypeError and shuts nothing down when an option is wrong`,
    async ({ own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      for (
        const options of [
          { wait: 1 },
          { wait: null },
          { cancelFutures: "no" },
          null,
          1,
        ]
      ) {
        await assertRejects(
          async () => await pool.shutdown(wrong(options)),
          TypeError,
        );
        assertThrows(() => pool.shutdownSync(wrong(options)), TypeError);
      }
      assertEquals(await pool.submit(add, 1, 2), 3);
    },
  );
}

// -------------------------------------------------------------- submitWith

function testSubmitWith(name: string, create: Create): void {
  testForms(
    `${name}.submitWith() does as submit when its options are empty or far away`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const { signal } = new AbortController();
      const all: SubmitOptions[] = [
        {},
        { timeout: undefined, signal: undefined },
        { timeout: 1e6 },
        {
          timeout: Infinity,
        },
        { timeout: 2 ** 40 },
        { signal },
        { timeout: 1e6, signal, transfer: [] },
      ];
      for (const options of all) {
        assertEquals(
          await form.result(pool.submitWith(options, tasks.add, 1, 2)),
          3,
        );
      }
    },
  );

  for (const [how, task] of Object.entries({ hold, holdAwaiting })) {
    testForms(
      `${name}.submitWith({ timeout }) ends the future with TimeoutError when ${how} runs too long`,
      async ({ form, own, gates }) => {
        const pool = own(create({ maxWorkers: 1 }));
        const limited = pool.submitWith<
          [string, string],
          string | Promise<string>
        >(
          { timeout: 20 },
          task,
          gates.folder,
          "a",
        );
        const after = pool.submit(tasks.note, gates.folder, "after");
        const error = await assertFails(form, limited, TimeoutError, /./);
        assertEquals(error.name, "TimeoutError");
        assertEquals([limited.done(), limited.cancelled(), limited.running()], [
          true,
          false,
          false,
        ]);
        assertEquals(limited.cancel(), false);
        // No other task is lost, while the gate is still closed.
        assertEquals(await form.result(after), "after");
        await assertGood(form, pool);
      },
    );

    testForms(
      `${name}.submitWith({ signal }) cancels the future at once when it is aborted while ${how} runs`,
      async ({ form, own, gates }) => {
        const pool = own(create({ maxWorkers: 1 }));
        const controller = new AbortController();
        const future = pool.submitWith<
          [string, string],
          string | Promise<string>
        >(
          { signal: controller.signal },
          task,
          gates.folder,
          "a",
        );
        const after = pool.submit(tasks.note, gates.folder, "after");
        await form.until(() => gates.isReached("a"));
        const reason = new RangeError("enough");
        controller.abort(reason);
        assertEquals([future.cancelled(), future.done(), future.running()], [
          true,
          true,
          false,
        ]);
        const error = await assertRejects(
          () => form.result(future),
          CancelledError,
        );
        assertStrictEquals(error.cause, reason);
        assertEquals(await form.result(after), "after");
        await assertGood(form, pool);
      },
    );
  }

  testForms(
    `${name}.submitWith({ timeout }) counts from the start, when the task is pending first`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const held = pool.submit(tasks.hold, gates.folder, "a");
      const limited = pool.submitWith(
        { timeout: 1 },
        tasks.holdAwaiting,
        gates.folder,
        "b",
      );
      await assertRejects(() => limited.result({ timeout: 40 }), TimeoutError);
      assertThrows(() => limited.resultSync({ timeout: 10 }), TimeoutError);
      assertEquals([limited.done(), limited.running()], [false, false]);
      gates.open("a");
      assertEquals(await form.result(held), "a");
      await assertFails(form, limited, TimeoutError, /./);
    },
  );

  testForms(
    `${name}.submitWith({ timeout }) ends only the task that ran too long, when others run beside it`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 2 }));
      const beside = pool.submit(tasks.hold, gates.folder, "beside");
      await form.until(() => beside.running());
      const limited = [1, 2, 3].map((n) =>
        pool.submitWith(
          { timeout: 10 },
          tasks.holdAwaiting,
          gates.folder,
          `limited ${n}`,
        )
      );
      for (const future of limited) {
        await assertFails(form, future, TimeoutError, /./);
      }
      assertEquals(beside.running(), true);
      gates.open("beside");
      assertEquals(await form.result(beside), "beside");
      await assertGood(form, pool);
    },
  );

  testForms(
    `${name}.submitWith({ signal }) never runs the task when it is aborted already`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const reason = new RangeError("enough");
      const signal = AbortSignal.abort(reason);
      const future = pool.submitWith(
        { signal },
        tasks.note,
        gates.folder,
        "never",
      );
      assertEquals([future.cancelled(), future.done()], [true, true]);
      const error = await assertRejects(
        () => form.result(future),
        CancelledError,
      );
      assertStrictEquals(error.cause, reason);
      await assertGood(form, pool);
      await form.shutdown(pool);
      assertEquals(gates.notes(), []);
    },
  );

  testForms(
    `${name}.submitWith({ signal }) never runs the task when it is aborted while pending`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const held = pool.submit(tasks.hold, gates.folder, "a");
      const controller = new AbortController();
      const future = pool.submitWith(
        { signal: controller.signal },
        tasks.note,
        gates.folder,
        "never",
      );
      const after = pool.submit(tasks.note, gates.folder, "after");
      await form.until(() => held.running());
      controller.abort();
      assertEquals([future.cancelled(), future.done()], [true, true]);
      const error = await assertRejects(
        () => form.result(future),
        CancelledError,
      );
      assertStrictEquals(error.cause, controller.signal.reason);
      gates.open("a");
      assertEquals(await form.result(after), "after");
      assertEquals(gates.notes(), ["after"]);
    },
  );

  testForms(
    `${name}.submitWith({ signal }) changes nothing when it is aborted after the task is done`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const controller = new AbortController();
      const future = pool.submitWith(
        { signal: controller.signal },
        tasks.add,
        1,
        2,
      );
      assertEquals(await form.result(future), 3);
      controller.abort();
      assertEquals(future.cancelled(), false);
      assertEquals(await form.result(future), 3);
      await assertGood(form, pool);
    },
  );

  testForms(
    `${name}.submitWith({ signal }) ends every future of the signal, and no other`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 2 }));
      const controller = new AbortController();
      const { signal } = controller;
      const stopped = [1, 2, 3, 4].map((n) =>
        pool.submitWith({ signal }, tasks.holdAwaiting, gates.folder, `${n}`)
      );
      const kept = [1, 2, 3].map((n) => pool.submit(tasks.add, n, 1));
      await form.until(() => gates.isReached("1") && gates.isReached("2"));
      controller.abort();
      assertEquals(stopped.map((future) => future.cancelled()), [
        true,
        true,
        true,
        true,
      ]);
      for (const [n, future] of kept.entries()) {
        assertEquals(await form.result(future), n + 2);
      }
      // The replaced workers took none of what was about to be cancelled.
      assertEquals([gates.isReached("3"), gates.isReached("4")], [
        false,
        false,
      ]);
    },
  );

  testForms(
    `${name}.shutdown() waits for a task under a time limit to end`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const limited = pool.submitWith(
        { timeout: 20 },
        tasks.holdAwaiting,
        gates.folder,
        "a",
      );
      await form.shutdown(pool);
      assert(limited.done());
      await assertFails(form, limited, TimeoutError, /./);
    },
  );
}

// --------------------------------------------------------------------- map

function testMap(name: string, create: Create): void {
  for (
    const options of [undefined, {}, { chunkSize: 2 }, { chunkSize: 100 }, {
      bufferSize: 1,
    }, {
      chunkSize: 2,
      bufferSize: 2,
    }, { timeout: 1e6 }]
  ) {
    const shown = options === undefined ? "" : JSON.stringify(options);
    testForms(
      `${name}.map(${shown}) yields in input order, when later ones are done first`,
      async ({ form, own, gates }) => {
        const pool = own(create({ maxWorkers: 2 }));
        const late = async (n: number) => {
          await new Promise((resolve) =>
            setTimeout(resolve, n % 2 === 0 ? 10 : 0)
          );
          return n;
        };
        const numbers = Array.from({ length: 9 }, (_, n) => n);
        assertEquals(await form.collect(pool.map(late, numbers, options)), {
          values: numbers,
          thrown: [],
        });
        assertEquals(gates.notes(), []);
      },
    );

    testForms(
      `${name}.map(${shown}) stops at the shortest of several iterables`,
      async ({ form, own }) => {
        const pool = own(create({ maxWorkers: 2 }));
        const join = (a: number, b: string, c: boolean) => `${a}${b}${c}`;
        const results = pool.map(
          join,
          [1, 2, 3, 4],
          new Set(["a", "b", "c"]),
          endless(true),
          options,
        );
        assertEquals(await form.collect(results), {
          values: ["1atrue", "2btrue", "3ctrue"],
          thrown: [],
        });
      },
    );

    testForms(
      `${name}.map(${shown}) throws a call's error at its place, and ends`,
      async ({ form, own }) => {
        const pool = own(create({ maxWorkers: 2 }));
        const odd = (n: number) => {
          if (n === 3) throw new RangeError("three");
          return n * 2;
        };
        const results = pool.map(odd, [0, 1, 2, 3, 4, 5], options);
        const { values, thrown: [error] } = await form.collect(results);
        assertEquals(values, [0, 2, 4]);
        assertInstanceOf(error, RangeError);
        assertEquals(error.message, "three");
        assertEquals(await form.collect(results), { values: [], thrown: [] });
        await assertGood(form, pool);
      },
    );

    testForms(
      `${name}.map(${shown}) throws at its place when an argument or a result cannot travel`,
      async ({ form, own }) => {
        const pool = own(create({ maxWorkers: 2 }));
        const echo = (value: unknown) => value;
        const first = await form.collect(
          pool.map(echo, [0, 1, () => {}, 3], options),
        );
        assertEquals(first.values, [0, 1]);
        assertInstanceOf(first.thrown[0], SerializationError);
        const make = (n: number) => n === 2 ? () => {} : n;
        const second = await form.collect(
          pool.map(make, [0, 1, 2, 3], options),
        );
        assertEquals(second.values as unknown[], [0, 1]);
        assertInstanceOf(second.thrown[0], SerializationError);
        await assertGood(form, pool);
      },
    );

    testForms(
      `${name}.map(${shown}) yields nothing when an iterable is empty`,
      async ({ form, own }) => {
        const pool = own(create({ maxWorkers: 1 }));
        assertEquals(await form.collect(pool.map(add, [], [1], options)), {
          values: [],
          thrown: [],
        });
      },
    );
  }

  testForms(
    `${name}.map() calls functions of modules and built-ins`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 2 }));
      assertEquals(
        await form.collect(pool.map(tasks.capitalize, "ab")),
        { values: ["A", "B"], thrown: [] },
      );
      assertEquals(
        await form.collect(
          pool.map(Math.pow, [2, 3], [5, 2], { chunkSize: 2 }),
        ),
        { values: [32, 9], thrown: [] },
      );
    },
  );

  testForms(
    `${name}.map({ chunkSize }) makes a chunk one task`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 2 }));
      const names = ["a", "b", "c", "d"];
      const results = pool.map(
        tasks.hold,
        names.map(() => gates.folder),
        names,
        { chunkSize: 2 },
      );
      await form.until(() => gates.isReached("a") && gates.isReached("c"));
      gates.open("a");
      await form.until(() => gates.isReached("b"));
      assertEquals(gates.isReached("d"), false);
      gates.openEvery();
      assertEquals(await form.collect(results), { values: names, thrown: [] });
    },
  );

  testPool(
    `${name}.map() takes all of its iterables when it is called`,
    ({ own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const source = counted(10);
      pool.map(Math.abs, source.values);
      assertEquals(source.taken(), 10);
      return Promise.resolve();
    },
  );

  for (const chunkSize of [1, 3]) {
    testForms(
      `${name}.map({ bufferSize: 2, chunkSize: ${chunkSize} }) takes only so many tasks ahead of the consumer`,
      async ({ form, own }) => {
        const pool = own(create({ maxWorkers: 1 }));
        const source = counted(Infinity);
        const results = pool.map(Math.abs, source.values, {
          bufferSize: 2,
          chunkSize,
        });
        assertEquals(source.taken(), 2 * chunkSize);
        assertEquals(await form.take(results, 1), [0]);
        assertEquals(source.taken(), 3 * chunkSize);
        assertEquals(source.isClosed(), true);
      },
    );
  }

  testForms(
    `${name}.map() throws what its iterable throws`,
    async ({ form, own }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const failing = function* () {
        yield 1;
        throw new RangeError("dry");
      };
      assertThrows(() => pool.map(Math.abs, failing()), RangeError, "dry");
      await assertGood(form, pool);
    },
  );
}

function testMapEnds(name: string, create: Create): void {
  for (const chunkSize of [1, 2]) {
    testForms(
      `${name}.map({ timeout, chunkSize: ${chunkSize} }) throws TimeoutError and cancels the rest, when a value is not there in time`,
      async ({ form, own, gates }) => {
        const pool = own(create({ maxWorkers: 1 }));
        const names = ["a", "b", "c", "d"];
        const results = pool.map(
          tasks.hold,
          names.map(() => gates.folder),
          names,
          {
            timeout: 30,
            chunkSize,
          },
        );
        const { values, thrown: [error] } = await form.collect(results);
        assertEquals(values, []);
        assertInstanceOf(error, TimeoutError);
        gates.open("a"), gates.open("b");
        await assertGood(form, pool);
        assertEquals([gates.isReached("c"), gates.isReached("d")], [
          false,
          false,
        ]);
      },
    );
  }

  testForms(
    `${name}.map({ timeout: 0 }) throws TimeoutError when the first value is not there`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const results = pool.map(tasks.hold, [gates.folder], ["a"], {
        timeout: 0,
      });
      const { thrown: [error] } = await form.collect(results);
      assertInstanceOf(error, TimeoutError);
    },
  );

  testForms(
    `${name}.map() cancels what is left when the consumer stops early`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const names = ["a", "b", "c", "d"];
      gates.open("a");
      const results = pool.map(
        tasks.hold,
        names.map(() => gates.folder),
        names,
      );
      assertEquals(await form.take(results, 1), ["a"]);
      gates.open("b");
      await assertGood(form, pool);
      assertEquals([gates.isReached("c"), gates.isReached("d")], [
        false,
        false,
      ]);
      assertEquals(await form.collect(results), { values: [], thrown: [] });
    },
  );

  testForms(
    `${name}.map() cancels what is left when a call threw`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const act = (folder: string, gate: string): void => {
        if (gate === "a") throw new RangeError("a");
        Deno.writeTextFileSync(`${folder}/${gate}.started`, "");
        const sleeper = new Int32Array(new SharedArrayBuffer(4));
        for (;;) {
          try {
            Deno.statSync(`${folder}/b.open`);
            return;
          } catch {
            Atomics.wait(sleeper, 0, 0, 1);
          }
        }
      };
      const names = ["a", "b", "c"];
      const results = pool.map(act, names.map(() => gates.folder), names);
      const { thrown: [error] } = await form.collect(results);
      assertInstanceOf(error, RangeError);
      gates.open("b");
      await assertGood(form, pool);
      assertEquals(gates.isReached("c"), false);
    },
  );

  testForms(
    `${name}.map({ signal }) throws the reason and cancels the rest, when it is aborted`,
    async ({ form, own, gates }) => {
      const pool = own(create({ maxWorkers: 1 }));
      const controller = new AbortController();
      const names = ["a", "b", "c"];
      const results = pool.map(
        tasks.holdAwaiting,
        names.map(() => gates.folder),
        names,
        {
          signal: controller.signal,
        },
      );
      await form.until(() => gates.isReached("a"));
      const reason = new RangeError("enough");
      controller.abort(reason);
      const { values, thrown } = await form.collect(results);
      assertEquals(values, []);
      assertEquals(thrown.length, 1);
      assertStrictEquals(thrown[0], reason);
      await assertGood(form, pool);
      assertEquals([gates.isReached("b"), gates.isReached("c")], [
        false,
        false,
      ]);
    },
  );
}

/** The same value for ever. */
function* endless<T>(value: T): Generator<T> {
  for (;;) yield value;
}

/** Numbers that say how many of them were taken, and whether they were closed. */
function counted(length: number) {
  let taken = 0, isClosed = false;
  const values = (function* () {
    try {
      while (taken < length) yield taken++;
    } finally {
      isClosed = true;
    }
  })();
  return { values, taken: () => taken, isClosed: () => isClosed };
}

// ------------------------------------------------------------------- waits

function testWaits(name: string, create: Create): void {
  testPool(
    `wait() and waitSync() tell done from not done, when ${name} runs the tasks`,
    async ({ own, gates }) => {
      const pool = own(create({ maxWorkers: 2 }));
      const held = pool.submit(tasks.hold, gates.folder, "a");
      const quick = pool.submit(tasks.add, 1, 2);
      const first = { returnWhen: "FIRST_COMPLETED" } as const;
      for (
        const { done, notDone } of [
          await wait([held, quick], first),
          waitSync([held, quick], first),
        ]
      ) {
        assertEquals([[...done], [...notDone]], [[quick], [held]]);
      }
      const { notDone } = waitSync([held, quick], { timeout: 1 });
      assertEquals([...notDone], [held]);
      gates.open("a");
      assertEquals((await wait([held, quick])).done.size, 2);
      assertEquals(waitSync([held, quick]).notDone.size, 0);
    },
  );

  testPool(
    `asCompleted() yields each future as it is done, when ${name} runs the tasks`,
    async ({ own, gates }) => {
      const pool = own(create({ maxWorkers: 2 }));
      const a = pool.submit(tasks.hold, gates.folder, "a");
      const b = pool.submit(tasks.hold, gates.folder, "b");
      gates.open("b");
      const order: unknown[] = [];
      for await (const future of asCompleted([a, b])) {
        order.push(future);
        gates.open("a");
      }
      assertEquals([order[0] === b, order[1] === a, order.length], [
        true,
        true,
        2,
      ]);
      assertEquals([...asCompleted([a, b])].length, 2);
    },
  );
}

// ---------------------------------------------------------------- programs

function testPrograms(
  name: string,
  { module, flags }: ProgramSource,
): void {
  const programs: Record<string, [source: string, stdout: string]> = {
    "an executor was never used": [
      `new ${name}(); console.log("end");`,
      "end\n",
    ],
    "an executor is idle and not shut down": [
      `const pool = new ${name}({ maxWorkers: 2 });
       console.log(await pool.submit(Math.abs, -1));`,
      "1\n",
    ],
    "an executor is idle and not shut down, after blocking calls": [
      `const pool = new ${name}({ maxWorkers: 2 });
       console.log(pool.submit(Math.abs, -1).resultSync());`,
      "1\n",
    ],
    "an executor was shut down without waiting": [
      `const pool = new ${name}({ maxWorkers: 2 });
       console.log(await pool.submit(Math.abs, -1));
       pool.shutdown({ wait: false });`,
      "1\n",
    ],
    "all that was pending is cancelled": [
      `const pool = new ${name}({ maxWorkers: 1 });
       const futures = [1, 2, 3].map((n) => pool.submit(Math.abs, n));
       await futures[0];
       for (const future of futures) future.cancel();
       console.log("end");`,
      "end\n",
    ],
  };
  for (const [when, [source, stdout]] of Object.entries(programs)) {
    testPool(
      `${name} lets the program end by itself when ${when}`,
      async () => {
        const result = await runProgram(
          `import { ${name} } from "${module}";\n${source}`,
          { flags: [...flags] },
        );
        assertEquals([result.code, result.stdout, result.stderr], [
          0,
          stdout,
          "",
        ]);
      },
    );
  }

  const late = `async (n: number) => {
    await new Promise((resolve) => setTimeout(resolve, 100));
    return n;
  }`;
  const pending: Record<string, [source: string, stdout: string]> = {
    "a future is pending that has a callback": [
      `pool.submit(${late}, 7).addDoneCallback((future) => console.log(future.resultSync()));`,
      "7\n",
    ],
    "a future is awaited": [
      `console.log(await pool.submit(${late}, 7));`,
      "7\n",
    ],
    "futures are pending behind others": [
      `for (const n of [1, 2, 3]) pool.submit(${late}, n).then(console.log);`,
      "1\n2\n3\n",
    ],
    "a future is pending after an idle time": [
      `await pool.submit(Math.abs, 1);
       setTimeout(() => pool.submit(${late}, 7).then(console.log), 50);`,
      "7\n",
    ],
    "a future is pending after shutdown without waiting": [
      `pool.submit(${late}, 7).then(console.log);
       pool.shutdown({ wait: false });`,
      "7\n",
    ],
    // a file, as what a task prints may come out elsewhere
    "nobody looks at the future": [
      `const file = await Deno.makeTempFile();
       pool.submit(${
        late.replace("async (n: number)", "async (file: string)")
          .replace("return n", `await Deno.writeTextFile(file, "ran")`)
      }, file);
       globalThis.addEventListener("unload", () => {
         console.log(Deno.readTextFileSync(file));
         Deno.removeSync(file);
       });`,
      "ran\n",
    ],
    "a map is pending": [
      `(async () => { for await (const n of pool.map(${late}, [1, 2])) console.log(n); })();`,
      "1\n2\n",
    ],
  };
  for (const [when, [source, stdout]] of Object.entries(pending)) {
    testPool(`${name} keeps the program alive when ${when}`, async () => {
      const result = await runProgram(
        `import { ${name} } from "${module}";
         const pool = new ${name}({ maxWorkers: 1 });
         ${source}`,
        { flags: [...flags] },
      );
      assertEquals([result.code, result.stdout, result.stderr], [
        0,
        stdout,
        "",
      ]);
    });
  }

  testPool(
    `${name} stays silent when a failed future is looked at by nobody`,
    async () => {
      const result = await runProgram(
        `import { ${name} } from "${module}";
       const pool = new ${name}({ maxWorkers: 1 });
       pool.submit(() => { throw new RangeError("unseen"); });
       pool.submit(() => () => {});
       await pool.shutdown();
       console.log("end");`,
        { flags: [...flags] },
      );
      assertEquals([result.code, result.stdout, result.stderr], [
        0,
        "end\n",
        "",
      ]);
    },
  );
}
