import {
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  BrokenExecutor,
  BrokenProcessPool,
  BrokenThreadPool,
  CancelledError,
  DeadlockError,
  importTasks,
  InvalidStateError,
  registerClass,
  RuntimeError,
  SerializationError,
  ThreadPoolExecutor,
  TimeoutError,
} from "../mod.ts";
import { QuotaError } from "./_error_tasks.ts";
import { liveWorkers } from "./_leaks.ts";

type ErrorClass = new (message?: string, init?: { cause?: unknown }) => Error;

/** Every error of the module, with the class that it extends. */
const ERRORS: readonly [name: string, errorClass: ErrorClass, base: unknown][] =
  [
    ["CancelledError", CancelledError, Error],
    ["TimeoutError", TimeoutError, Error],
    ["InvalidStateError", InvalidStateError, Error],
    ["RuntimeError", RuntimeError, Error],
    ["BrokenExecutor", BrokenExecutor, RuntimeError],
    ["BrokenThreadPool", BrokenThreadPool, BrokenExecutor],
    ["BrokenProcessPool", BrokenProcessPool, BrokenExecutor],
    ["SerializationError", SerializationError, TypeError],
    ["DeadlockError", DeadlockError, RuntimeError],
  ];

for (const [name, errorClass, base] of ERRORS) {
  Deno.test(`${name} extends ${(base as { name: string }).name}`, () => {
    assertStrictEquals(Object.getPrototypeOf(errorClass), base);
    const error = new errorClass("it broke");
    assertInstanceOf(error, errorClass);
    assertInstanceOf(error, Error);
    assertStrictEquals(error.constructor, errorClass);
  });

  Deno.test(`${name} has a name of its own, as built-ins have theirs`, () => {
    const error = new errorClass("it broke");
    assertEquals(errorClass.name, name);
    assertEquals(error.name, name);
    const enumerable: string[] = [];
    for (const key in error) enumerable.push(key);
    assertEquals(enumerable, []);
    assertEquals(String(error), `${name}: it broke`);
    assertEquals(error.stack?.split("\n")[0], `${name}: it broke`);
  });

  Deno.test(`${name} takes a message and a cause, or neither`, () => {
    const cause = new RangeError("too far");
    const full = new errorClass("it broke", { cause });
    assertEquals(full.message, "it broke");
    assertStrictEquals(full.cause, cause);
    assertEquals(Object.getOwnPropertyDescriptor(full, "cause")?.value, cause);

    const bare = new errorClass();
    assertEquals(bare.message, "");
    assertFalse("cause" in bare);
    assertEquals(String(bare), name);

    const withoutCause = new errorClass("it broke", {});
    assertFalse("cause" in withoutCause);
    const withUndefined = new errorClass("it broke", { cause: undefined });
    assertEquals(Object.hasOwn(withUndefined, "cause"), true);
  });
}

Deno.test("every error tells itself from those that it does not extend", () => {
  for (const [name, errorClass] of ERRORS) {
    const error = new errorClass();
    const kinds = ERRORS.filter(([, other]) => error instanceof other)
      .map(([other]) => other);
    const expected: Record<string, string[]> = {
      BrokenExecutor: ["RuntimeError", "BrokenExecutor"],
      BrokenThreadPool: ["RuntimeError", "BrokenExecutor", "BrokenThreadPool"],
      BrokenProcessPool: [
        "RuntimeError",
        "BrokenExecutor",
        "BrokenProcessPool",
      ],
      DeadlockError: ["RuntimeError", "DeadlockError"],
    };
    assertEquals(kinds, expected[name] ?? [name]);
  }
});

// --------------------------------------------------------- registerClass

// Here, since a test that is repeated would make a new class of the same name.
class TwiceError extends Error {}
class LockedError extends DeadlockError {}
class TakenError extends Error {}

Deno.test("registerClass() lets an error come back as its own class", {
  timeout: 30_000,
}, async () => {
  const tasks = importTasks<typeof import("./_error_tasks.ts")>(
    import.meta.resolve("./_error_tasks.ts"),
  );
  const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
  const error = await assertRejects(
    () => pool.submit(tasks.exceedQuota, 3).result(),
    QuotaError,
    "limit is 3",
  );
  await pool.shutdown();
  assertStrictEquals(Object.getPrototypeOf(error), QuotaError.prototype);
  assertEquals(error.name, "QuotaError");
  assertEquals(error.limit, 3);
  assertInstanceOf(error.cause, RangeError);
  assertEquals(error.cause.message, "too much");
  assertEquals(liveWorkers(), 0);
});

Deno.test("registerClass() takes the same class again", () => {
  assertEquals(registerClass(TwiceError), undefined);
  assertEquals(registerClass(TwiceError), undefined);
  registerClass(CancelledError);
});

Deno.test("registerClass() takes a class that extends an error of this module", () => {
  registerClass(LockedError);
  const other = { LockedError: class LockedError extends Error {} };
  assertThrows(() => registerClass(other.LockedError), TypeError, "already");
});

Deno.test("registerClass() throws TypeError when another class has the name", () => {
  registerClass(TakenError);
  const other = { TakenError: class TakenError extends Error {} };
  assertThrows(
    () => registerClass(other.TakenError),
    TypeError,
    '"TakenError"',
  );
  assertThrows(() => registerClass(other.TakenError), TypeError);
  registerClass(TakenError);
});

for (const [name] of ERRORS) {
  Deno.test(`registerClass() throws TypeError when the name is ${name}`, () => {
    const impostor = { [name]: class extends Error {} }[name];
    assertEquals(impostor.name, name);
    assertThrows(() => registerClass(impostor), TypeError, name);
  });
}

for (const name of ["Error", "RangeError", "AggregateError", "NotFound"]) {
  Deno.test(`registerClass() throws TypeError when a built-in is called ${name}`, () => {
    const impostor = { [name]: class extends Error {} }[name];
    assertEquals(impostor.name, name);
    assertThrows(() => registerClass(impostor), TypeError, name);
  });
}

Deno.test("registerClass() throws TypeError when the class has no name", () => {
  assertThrows(
    () => registerClass(class extends Error {}),
    TypeError,
    "no name",
  );
});

const NO_ERROR_CLASSES: readonly [what: string, value: unknown][] = [
  ["a class that does not extend Error", class Plain {}],
  ["an arrow function", () => new Error()],
  ["an error", new Error("an instance")],
  ["a string", "QuotaError"],
  ["undefined", undefined],
  ["null", null],
];

for (const [what, value] of NO_ERROR_CLASSES) {
  Deno.test(`registerClass() throws TypeError when given ${what}`, () => {
    assertThrows(
      () => registerClass(value as typeof Error),
      TypeError,
      "must extend Error",
    );
  });
}
