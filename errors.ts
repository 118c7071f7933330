/**
 * The errors of futures and executors, and `registerClass`, which lets an
 * error class of your own come back from a worker as itself.
 *
 * ```ts
 * import { CancelledError } from "@concurrent/futures/errors";
 * import { Future } from "@concurrent/futures/future";
 * import { assertInstanceOf } from "@std/assert";
 *
 * const future = new Future<number>();
 * future.cancel();
 * assertInstanceOf(await future.catch((error) => error), CancelledError);
 * ```
 *
 * @module
 */

import { addErrorClass } from "./_error_classes.ts";

/** What every error of this module takes after its message. */
export interface ErrorInit {
  /** The error or value that led to this one. */
  cause?: unknown;
}

/**
 * Tells that a result was asked of a cancelled future.
 *
 * Python: `concurrent.futures.CancelledError`.
 *
 * @example Asking a cancelled future
 * ```ts
 * import { CancelledError, Future } from "@concurrent/futures";
 * import { assertRejects } from "@std/assert";
 *
 * const future = new Future<number>();
 * future.cancel();
 * await assertRejects(() => future.result(), CancelledError);
 * ```
 */
export class CancelledError extends Error {
  static {
    setName(this, "CancelledError");
  }

  /** Creates the error; `init.cause` says why the future was cancelled. */
  constructor(message?: string, init?: ErrorInit) {
    super(message, init);
  }
}

/**
 * Tells that a wait or the time limit of a task ran out.
 *
 * Python: `concurrent.futures.TimeoutError`, which is the built-in
 * `TimeoutError` since 3.11.
 *
 * @example A wait that gives up
 * ```ts
 * import { Future, TimeoutError } from "@concurrent/futures";
 * import { assertRejects } from "@std/assert";
 *
 * const future = new Future<number>();
 * await assertRejects(() => future.result({ timeout: 5 }), TimeoutError);
 * ```
 */
export class TimeoutError extends Error {
  static {
    setName(this, "TimeoutError");
  }

  /** Creates the error. */
  constructor(message?: string, init?: ErrorInit) {
    super(message, init);
  }
}

/**
 * Tells that a future was driven through a transition that its state does not
 * allow.
 *
 * Python: `concurrent.futures.InvalidStateError`.
 *
 * @example Setting a result twice
 * ```ts
 * import { Future, InvalidStateError } from "@concurrent/futures";
 * import { assertThrows } from "@std/assert";
 *
 * const future = new Future<number>();
 * future.setResult(1);
 * assertThrows(() => future.setResult(2), InvalidStateError);
 * ```
 */
export class InvalidStateError extends Error {
  static {
    setName(this, "InvalidStateError");
  }

  /** Creates the error. */
  constructor(message?: string, init?: ErrorInit) {
    super(message, init);
  }
}

/**
 * Tells that an executor was used in a way that its state does not allow:
 * after `shutdown`, or from a module that a worker is importing.
 *
 * Python: the built-in `RuntimeError`, which JavaScript lacks.
 *
 * @example Submitting too late
 * ```ts
 * import { RuntimeError, ThreadPoolExecutor } from "@concurrent/futures";
 * import { assertThrows } from "@std/assert";
 *
 * const pool = new ThreadPoolExecutor();
 * await pool.shutdown();
 * assertThrows(() => pool.submit(Math.abs, -1), RuntimeError);
 * ```
 */
export class RuntimeError extends Error {
  static {
    setName(this, "RuntimeError");
  }

  /** Creates the error. */
  constructor(message?: string, init?: ErrorInit) {
    super(message, init);
  }
}

/**
 * Tells that an executor can run nothing any more.
 *
 * Python: `concurrent.futures.BrokenExecutor`.
 *
 * @example One class for all broken pools
 * ```ts
 * import { BrokenExecutor, BrokenThreadPool } from "@concurrent/futures";
 * import { assertInstanceOf } from "@std/assert";
 *
 * assertInstanceOf(new BrokenThreadPool("a worker died"), BrokenExecutor);
 * ```
 */
export class BrokenExecutor extends RuntimeError {
  static {
    setName(this, "BrokenExecutor");
  }
}

/**
 * Tells that an initializer of a thread pool failed, or that one of its
 * workers died.
 *
 * Python: `concurrent.futures.thread.BrokenThreadPool`. Differs: `cause` holds
 * the initializer's error, which Python only logs.
 *
 * @example An initializer that fails
 * ```ts
 * import { BrokenThreadPool, ThreadPoolExecutor } from "@concurrent/futures";
 * import { assertRejects } from "@std/assert";
 *
 * await using pool = new ThreadPoolExecutor({
 *   initializer: () => {
 *     throw new Error("no licence");
 *   },
 * });
 * await assertRejects(() => pool.submit(Math.abs, -1).result(), BrokenThreadPool);
 * ```
 */
export class BrokenThreadPool extends BrokenExecutor {
  static {
    setName(this, "BrokenThreadPool");
  }
}

/**
 * Tells that a process pool lost a worker or could not start one.
 *
 * Python: `concurrent.futures.process.BrokenProcessPool`.
 *
 * @example Telling it from other errors
 * ```ts
 * import { BrokenExecutor, BrokenProcessPool } from "@concurrent/futures";
 * import { assertInstanceOf } from "@std/assert";
 *
 * assertInstanceOf(new BrokenProcessPool("worker 2 exited"), BrokenExecutor);
 * ```
 */
export class BrokenProcessPool extends BrokenExecutor {
  static {
    setName(this, "BrokenProcessPool");
  }
}

/**
 * Tells that a callable, an argument or a result cannot travel between the
 * caller and a worker; the message names the place.
 *
 * Python: `pickle.PicklingError`.
 *
 * @example An argument that cannot travel
 * ```ts
 * import { SerializationError, ThreadPoolExecutor } from "@concurrent/futures";
 * import { assertRejects } from "@std/assert";
 *
 * await using pool = new ThreadPoolExecutor();
 * await assertRejects(
 *   () => pool.submit((o: object) => typeof o, { onDone() {} }).result(),
 *   SerializationError,
 *   "argument 1: .onDone is a function",
 * );
 * ```
 */
export class SerializationError extends TypeError {
  static {
    setName(this, "SerializationError");
  }

  /** Creates the error. */
  constructor(message?: string, init?: ErrorInit) {
    super(message, init);
  }
}

/**
 * Tells that a blocking wait was refused because nothing could ever end it.
 *
 * Python: none; there the same program hangs.
 *
 * @example Blocking on a future made by hand
 * ```ts
 * import { DeadlockError, Future } from "@concurrent/futures";
 * import { assertThrows } from "@std/assert";
 *
 * assertThrows(() => new Future<number>().resultSync(), DeadlockError);
 * ```
 */
export class DeadlockError extends RuntimeError {
  static {
    setName(this, "DeadlockError");
  }
}

/**
 * Registers an error class, so that its instances cross between caller and
 * workers as themselves: same class, message, `cause`, own fields and stack.
 *
 * Call it at the top of the module that defines the class, and import that
 * module on both sides. The constructor is not run on arrival, so private
 * `#fields` do not travel. An error of a class that is not registered arrives
 * as an `Error` with the same `name`, `message`, stack and fields.
 *
 * Python: none; pickle finds classes by module and name.
 *
 * @example An error class that keeps its identity
 * ```ts
 * import { registerClass } from "@concurrent/futures";
 * import { assertThrows } from "@std/assert";
 *
 * class QuotaError extends Error {
 *   limit = 0;
 * }
 * registerClass(QuotaError);
 *
 * class Other {
 *   static QuotaError = class QuotaError extends Error {};
 * }
 * assertThrows(() => registerClass(Other.QuotaError), TypeError, "already");
 * ```
 *
 * @param errorClass A class that extends `Error`; its `name` is its key.
 * @throws {TypeError} If it is no error class, has no name, or another class
 * of that name is registered.
 */
export function registerClass(
  errorClass: abstract new (...args: never[]) => Error,
): void {
  addErrorClass(errorClass);
}

/** Names a class as built-ins do: on the prototype, not enumerable. */
function setName(errorClass: { prototype: Error }, name: string): void {
  Object.defineProperty(errorClass.prototype, "name", {
    value: name,
    writable: true,
    configurable: true,
  });
}

for (
  const errorClass of [
    CancelledError,
    TimeoutError,
    InvalidStateError,
    RuntimeError,
    BrokenExecutor,
    BrokenThreadPool,
    BrokenProcessPool,
    SerializationError,
    DeadlockError,
  ]
) addErrorClass(errorClass);
