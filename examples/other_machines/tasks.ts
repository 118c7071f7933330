/**
 * Holds what the nodes run for `main.ts`: a node allows this module, and imports
 * it; the caller only names it.
 *
 * @module
 */

/** Counts the primes from `from`, below `to`. */
export function countPrimes(from: number, to: number): number {
  let count = 0;
  for (let n = Math.max(from, 2); n < to; n++) if (isPrime(n)) count++;
  return count;
}

function isPrime(n: number): boolean {
  for (let i = 2; i * i <= n; i++) if (n % i === 0) return false;
  return true;
}
