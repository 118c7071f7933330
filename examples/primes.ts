// deno-lint-ignore-file no-console -- an example prints
/**
 * Tells which of six large numbers are prime, on every core of the machine.
 *
 * Python: "ProcessPoolExecutor Example" on the page of `concurrent.futures`.
 * Differs: `isPrime` uses nothing from outside itself, so it travels by its
 * source, and no process imports this file. Threads compute in parallel too here:
 * with `ThreadPoolExecutor` the program prints the same.
 *
 * ```sh
 * deno run --allow-read --allow-run examples/primes.ts
 * ```
 *
 * It prints:
 *
 * ```text
 * 112272535095293 is prime: true
 * 112582705942171 is prime: true
 * 112272535095293 is prime: true
 * 115280095190773 is prime: true
 * 115797848077099 is prime: true
 * 1099726899285419 is prime: false
 * ```
 *
 * @module
 */

import { ProcessPoolExecutor } from "@concurrent/futures";

/** Python's list; each is below 2 ** 53, so a `number` holds it exactly. */
const PRIMES = [
  112272535095293,
  112582705942171,
  112272535095293,
  115280095190773,
  115797848077099,
  1099726899285419,
];

/** Tells whether `n` is prime, by trial division. */
export function isPrime(n: number): boolean {
  if (n < 2) return false;
  if (n === 2) return true;
  if (n % 2 === 0) return false;

  const sqrtN = Math.floor(Math.sqrt(n));
  for (let i = 3; i <= sqrtN; i += 2) {
    if (n % i === 0) return false;
  }
  return true;
}

/** Python's `zip`, for an iterable and an async iterable. */
async function* zip<A, B>(
  first: Iterable<A>,
  second: AsyncIterable<B>,
): AsyncGenerator<[A, B]> {
  const seconds = second[Symbol.asyncIterator]();
  for (const a of first) {
    const { done, value: b } = await seconds.next();
    if (done) return;
    yield [a, b];
  }
}

/** Runs the example. */
export async function main(): Promise<void> {
  await using executor = new ProcessPoolExecutor();
  for await (
    const [number, prime] of zip(PRIMES, executor.map(isPrime, PRIMES))
  ) {
    console.log(`${number} is prime: ${prime}`);
  }
}

if (import.meta.main) await main();
