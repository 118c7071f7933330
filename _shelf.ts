/**
 * What is kept for later, as much as there is room for: the oldest goes first,
 * the newest stays however large it is.
 *
 * Both ends of a pipe keep definitions so. INVARIANT: who sends keeps half of
 * what who receives does, in number and in bytes, so that what the one takes for
 * known is there.
 *
 * @module
 */

/** Definitions that a worker keeps. */
export const SHELF_ITEMS = 1024;
/** Bytes of definitions that a worker keeps. */
export const SHELF_BYTES = 1 << 26;

/** Values by number, each with a weight in bytes. */
export class Shelf<T> {
  readonly #items = new Map<number, { value: T; bytes: number }>();
  readonly #mostItems: number;
  readonly #mostBytes: number;
  #bytes = 0;

  constructor(mostItems = SHELF_ITEMS, mostBytes = SHELF_BYTES) {
    this.#mostItems = mostItems;
    this.#mostBytes = mostBytes;
  }

  get(id: number): T | undefined {
    return this.#items.get(id)?.value;
  }

  /** Puts a value on the shelf as the newest one. */
  set(id: number, value: T, bytes: number): void {
    this.#remove(id);
    this.#items.set(id, { value, bytes });
    this.#bytes += bytes;
    for (const oldest of this.#items.keys()) {
      if (
        oldest === id ||
        (this.#items.size <= this.#mostItems && this.#bytes <= this.#mostBytes)
      ) return;
      this.#remove(oldest);
    }
  }

  #remove(id: number): void {
    this.#bytes -= this.#items.get(id)?.bytes ?? 0;
    this.#items.delete(id);
  }
}
