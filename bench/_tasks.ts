/**
 * The work that every pool of the benches is given.
 *
 * Each task takes one argument, as piscina's and poolifier's do, and stands on
 * its own, so that `submit` sends it by source.
 *
 * @module
 */

/** A value that the no-op tasks carry there and back. */
export function identity(value: number): number {
  return value;
}

/** The smallest useful work on a number. */
export function increment(value: number): number {
  return value + 1;
}

/** A chunk of `increment`s: what the pools without a `map` are given by hand. */
export function incrementAll(values: number[]): number[] {
  return values.map((value) => value + 1);
}

/** Sends bytes back by copy. */
export function echo(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return bytes;
}

/** The same for a buffer. */
export function echoBuffer(buffer: ArrayBuffer): ArrayBuffer {
  return buffer;
}

/** Some 7 ms of integer arithmetic, the same amount for every seed. */
export function mix(seed: number): number {
  let hash = seed;
  for (let round = 0; round < 5_000_000; round++) {
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) + round | 0;
  }
  return hash;
}

/** The arithmetic of `mix` in `cpython.py`, exact in both languages. */
export function mixExact(seed: number): number {
  let value = seed;
  for (let step = 0; step < 200_000; step++) {
    value = (value * 1_664_525 + step) & 0x3fffff;
  }
  return value;
}

/** When it ran, by a clock that all processes share. */
export function clock(_value: number): number {
  return Date.now();
}

/** Counts itself in `flag[1]`, then blocks its worker until `flag[0]` is no longer 0. */
export function gate(flag: Int32Array<SharedArrayBuffer>): number {
  Atomics.add(flag, 1, 1);
  Atomics.wait(flag, 0, 0);
  return Atomics.load(flag, 0);
}

/** All tasks by name. */
export const TASKS = {
  identity,
  increment,
  incrementAll,
  echo,
  echoBuffer,
  mix,
  mixExact,
  clock,
  gate,
};

/** The type of `TASKS`. */
export type Tasks = typeof TASKS;
