/**
 * Numbers that look random and come again with the same seed.
 *
 * @module
 */

/**
 * A small generator of numbers.
 *
 * The algorithm is mulberry32 by Tommy Ettinger, in the public domain:
 * https://gist.github.com/tommyettinger/46a874533244883189143505d203312c, in JavaScript as in
 * https://github.com/bryc/code/blob/master/jshash/PRNGs.md#mulberry32. It passes what a mix of
 * tasks asks of it, and nothing in it is secret.
 */
export class Random {
  #state: number;

  /** @param seed Any number; its low 32 bits count. */
  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** A number in `[0, 1)`. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from `least` to `most`, both included. */
  whole(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  /** `true` in that share of all cases. */
  chance(share: number): boolean {
    return this.next() < share;
  }

  /** One of the items. */
  pick<T>(items: readonly T[]): T {
    return items[this.whole(0, items.length - 1)];
  }

  /** One of the items, each as often as its weight says. */
  weigh<T extends { readonly weight: number }>(items: readonly T[]): T {
    let left = this.next() *
      items.reduce((sum, { weight }) => sum + weight, 0);
    for (const item of items) {
      left -= item.weight;
      if (left < 0) return item;
    }
    return items[items.length - 1];
  }

  /**
   * Another generator, seeded by this one: who takes numbers from it, when, and how many, changes
   * nothing for others.
   */
  fork(): Random {
    return new Random(this.whole(0, 2 ** 32 - 1));
  }
}
