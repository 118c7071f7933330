/**
 * Results are checked: a contender that answers wrongly has no figures.
 *
 * @module
 */

/** Throws if a pool answered wrongly. */
export function check(
  peer: { name: string },
  actual: unknown,
  expected: unknown,
): void {
  if (actual !== expected) {
    throw new Error(
      `Cannot trust ${peer.name} as its result must be ${expected}: received ${actual}`,
    );
  }
}
