/**
 * Stands in for `jsr:@std/testing/mock` where the JSR registry is out of reach:
 * spies and stubs of functions and methods, with the names and types used there.
 *
 * @module
 */

import {
  assertEquals,
  AssertionError,
  assertIsError,
} from "jsr:@std/assert@^1";

/** What a spy can't be made of, or be restored, throws. */
export class MockError extends Error {
  override name = "MockError";
}

/** One call of a spy. */
export interface SpyCall<
  Self = unknown,
  Args extends unknown[] = unknown[],
  Return = unknown,
> {
  args: Args;
  returned?: Return;
  error?: Error;
  self?: Self;
}

/** A function that remembers its calls. */
export interface Spy<
  Self = unknown,
  Args extends unknown[] = unknown[],
  Return = unknown,
> {
  (this: Self, ...args: Args): Return;
  original: (this: Self, ...args: Args) => Return;
  calls: SpyCall<Self, Args, Return>[];
  readonly restored: boolean;
  restore(): void;
}

/** A spy in the place of a method, until it is restored. */
export interface MethodSpy<
  Self = unknown,
  Args extends unknown[] = unknown[],
  Return = unknown,
> extends Spy<Self, Args, Return>, Disposable {}

/** A method spy that runs `fake` instead of the method. */
export interface Stub<
  Self = unknown,
  Args extends unknown[] = unknown[],
  Return = unknown,
> extends MethodSpy<Self, Args, Return> {
  fake: (this: Self, ...args: Args) => Return;
}

/** What {@linkcode assertSpyCall} compares; a field left out is not looked at. */
export interface ExpectedSpyCall<
  Self = unknown,
  Args extends unknown[] = unknown[],
  Return = unknown,
> {
  args?: [...Args, ...unknown[]];
  returned?: Return;
  self?: Self;
  error?: {
    Class?: new (...args: never[]) => Error;
    msgIncludes?: string;
  };
}

type Method<Self, Args extends unknown[], Return> = (
  this: Self,
  ...args: Args
) => Return;
type ArgsOf<Self, Prop extends keyof Self> = Self[Prop] extends
  (...args: infer Args) => unknown ? Args : unknown[];
type ReturnOf<Self, Prop extends keyof Self> = Self[Prop] extends
  (...args: never[]) => infer Return ? Return : unknown;

/** Makes a spy that does nothing, one around a function, or one in a method's place. */
export function spy<Self = unknown, Args extends unknown[] = unknown[]>(): Spy<
  Self,
  Args,
  undefined
>;
export function spy<Self, Args extends unknown[], Return>(
  func: (this: Self, ...args: Args) => Return,
): Spy<Self, Args, Return>;
export function spy<Self extends object, Prop extends keyof Self>(
  self: Self,
  property: Prop,
): MethodSpy<Self, ArgsOf<Self, Prop>, ReturnOf<Self, Prop>>;
export function spy(
  target: object = function () {},
  property?: PropertyKey,
): Spy {
  if (property === undefined) {
    return record(target as Method<unknown, unknown[], unknown>);
  }
  const method = methodOf(target, property);
  return replace(target, property, record(method));
}

/** Replaces a method by `func`, or by one that does nothing, until it is restored. */
export function stub<Self extends object, Prop extends keyof Self>(
  self: Self,
  property: Prop,
  func?: (
    this: Self,
    ...args: ArgsOf<Self, Prop>
  ) => ReturnOf<Self, Prop>,
): Stub<Self, ArgsOf<Self, Prop>, ReturnOf<Self, Prop>> {
  const original = methodOf(self, property);
  const fake = (func ?? function () {}) as Method<unknown, unknown[], unknown>;
  const spied = Object.assign(record(fake), { original, fake });
  return replace(self, property, spied) as unknown as Stub<
    Self,
    ArgsOf<Self, Prop>,
    ReturnOf<Self, Prop>
  >;
}

/** Makes an implementation that returns one value after the other. */
export function returnsNext<Return>(
  values: Iterable<Return>,
): () => Return {
  const rest = values[Symbol.iterator]();
  let calls = 0;
  return () => {
    const { done, value } = rest.next();
    if (done) {
      throw new MockError(
        `Cannot return a value for call ${calls + 1}: only ${calls} were given`,
      );
    }
    calls++;
    return value;
  };
}

/** Asserts how often a spy was called. */
export function assertSpyCalls<Self, Args extends unknown[], Return>(
  spy: Spy<Self, Args, Return>,
  expectedCalls: number,
): void {
  if (spy.calls.length === expectedCalls) return;
  throw new AssertionError(
    `Spy not called as often as expected: ${spy.calls.length} calls, not ${expectedCalls}`,
  );
}

/** Asserts that a call came, and what it was given and did. */
export function assertSpyCall<Self, Args extends unknown[], Return>(
  spy: Spy<Self, Args, Return>,
  callIndex: number,
  expected: ExpectedSpyCall<Self, Args, Return> = {},
): void {
  const call = callAt(spy, callIndex);
  if (expected.args) assertEquals<unknown>(call.args, expected.args);
  if ("self" in expected) assertEquals(call.self, expected.self);
  if (expected.error) {
    const { Class, msgIncludes } = expected.error;
    assertIsError(call.error, Class, msgIncludes);
  }
  if ("returned" in expected) {
    assertEquals(call.error, undefined, "Spy call threw an error");
    assertEquals(call.returned, expected.returned);
  }
}

/** Asserts one argument of a call, and returns it. */
export function assertSpyCallArg<Self, Args extends unknown[], Return>(
  spy: Spy<Self, Args, Return>,
  callIndex: number,
  argIndex: number,
  expected: unknown,
): unknown {
  const arg = callAt(spy, callIndex).args[argIndex];
  assertEquals(arg, expected);
  return arg;
}

/** Asserts all arguments of a call, and returns them. */
export function assertSpyCallArgs<Self, Args extends unknown[], Return>(
  spy: Spy<Self, Args, Return>,
  callIndex: number,
  expected: unknown[],
): Args {
  const { args } = callAt(spy, callIndex);
  assertEquals<unknown>(args, expected);
  return args;
}

function callAt<Self, Args extends unknown[], Return>(
  spy: Spy<Self, Args, Return>,
  index: number,
): SpyCall<Self, Args, Return> {
  const call = spy.calls.at(index);
  if (call && index >= 0) return call;
  throw new AssertionError(
    `Spy call ${index} never came: ${spy.calls.length} did`,
  );
}

function record(original: Method<unknown, unknown[], unknown>): Spy {
  const calls: SpyCall[] = [];
  function recorder(this: unknown, ...args: unknown[]): unknown {
    const call: SpyCall = { args };
    if (this) call.self = this;
    // A call is in the list once it has ended, so a recursive one comes first.
    try {
      return call.returned = original.apply(this, args);
    } catch (error) {
      call.error = error as Error;
      throw error;
    } finally {
      calls.push(call);
    }
  }
  function restore() {
    throw new MockError(
      "Cannot restore a function: only a method can be restored",
    );
  }
  return Object.assign(recorder, { original, calls, restored: false, restore });
}

function methodOf(
  self: object,
  property: PropertyKey,
): Method<unknown, unknown[], unknown> {
  const method: unknown = Reflect.get(self, property);
  if (typeof method !== "function") {
    throw new MockError(
      `Cannot spy on "${
        String(property)
      }" as it must be a method: received ${typeof method}`,
    );
  }
  if ("calls" in method && "restored" in method) {
    throw new MockError(
      `Cannot spy on "${String(property)}": it is a spy already`,
    );
  }
  return method as Method<unknown, unknown[], unknown>;
}

function replace(self: object, property: PropertyKey, spied: Spy): MethodSpy {
  const before = Object.getOwnPropertyDescriptor(self, property);
  if (before && !before.configurable) {
    throw new MockError(
      `Cannot spy on "${String(property)}": it is not configurable`,
    );
  }
  Object.defineProperty(self, property, {
    configurable: true,
    enumerable: before?.enumerable ?? false,
    writable: before?.writable ?? true,
    value: spied,
  });
  function restore() {
    if (spied.restored) {
      throw new MockError(
        `Cannot restore "${String(property)}": it is restored already`,
      );
    }
    if (before) Object.defineProperty(self, property, before);
    else Reflect.deleteProperty(self, property);
    Object.assign(spied, { restored: true });
  }
  return Object.assign(spied, { restore, [Symbol.dispose]: restore });
}
