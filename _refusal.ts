/**
 * How an object says that it cannot travel, and why.
 *
 * @module
 */

/** Key of a string that explains why the object cannot be sent to a worker. */
export const REFUSAL: unique symbol = Symbol("refusal");

/** Returns the object's own words on why it cannot travel, if it has any. */
export function refusalOf(value: object): string | undefined {
  return (value as { [REFUSAL]?: string })[REFUSAL];
}
