/**
 * Tasks that throw errors of this package and of a registered class; workers import this module.
 *
 * @module
 */

import { registerClass, TimeoutError } from "../mod.ts";

/** A class that both sides know. */
export class QuotaError extends Error {
  override name = "QuotaError";
  readonly limit: number;

  constructor(limit: number, options?: ErrorOptions) {
    super(`Cannot go on as the quota is used up: limit is ${limit}`, options);
    this.limit = limit;
  }
}
registerClass(QuotaError);

/** Throws an error of the registered class. */
export function exceedQuota(limit: number): never {
  throw new QuotaError(limit, { cause: new RangeError("too much") });
}

/** Throws the error that waits throw, as a task of its own may. */
export function runOutOfTime(): never {
  throw new TimeoutError("the task's own");
}
