/**
 * A clock that threads and processes of one machine share, as long as nobody sets
 * the system's clock: each takes its beginning from there, when it starts. One
 * that starts after a step is off by that much; who compares is to expect that.
 *
 * @module
 */

/** Microseconds in a millisecond. */
export const MICROS = 1_000;

// Kept, as a test may replace what it finds on `performance`.
const { timeOrigin } = performance;
const now = performance.now.bind(performance);

/**
 * Milliseconds since 1970 with fractions of microseconds, which `Date.now()` has
 * not. It does not follow the system's clock once this thread has started.
 */
export function wallClockMs(): number {
  return timeOrigin + now();
}
