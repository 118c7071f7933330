/**
 * Errors in one line, for messages.
 *
 * @module
 */

/** Says what an error is; never throws, whatever was thrown. */
export function describeError(error: unknown): string {
  try {
    return String(error);
  } catch {
    return "an object that cannot be written out";
  }
}
