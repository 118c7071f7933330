/**
 * A gate in shared memory, at which tasks in threads wait: so a test says what runs when.
 *
 * @module
 */

const OPEN = 0;
const ARRIVALS = 1;

/** A gate, closed until it is opened; at the end of a `using` block it is open. */
export class Gate implements Disposable {
  /** To be given to `passGate`. */
  readonly memory = new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT);
  readonly #words = new Int32Array(this.memory);

  /** Lets through all who wait, and all to come. */
  open(): void {
    Atomics.store(this.#words, OPEN, 1);
    Atomics.notify(this.#words, OPEN);
  }

  [Symbol.dispose](): void {
    this.open();
  }

  /** How many tasks have come to the gate. */
  get arrivals(): number {
    return Atomics.load(this.#words, ARRIVALS);
  }

  /** Resolves once `count` tasks have come to the gate. */
  async arrived(count: number): Promise<void> {
    for (let now; (now = this.arrivals) < count;) {
      await Atomics.waitAsync(this.#words, ARRIVALS, now).value;
    }
  }
}

/** A task: says that it has come, waits until the gate is open, and returns `value`. */
export function passGate(memory: SharedArrayBuffer, value: string): string {
  const words = new Int32Array(memory);
  Atomics.add(words, 1, 1);
  Atomics.notify(words, 1);
  Atomics.wait(words, 0, 0);
  return value;
}

/** A task: as `passGate`, and throws a `RangeError` of that message instead. */
export function failAtGate(memory: SharedArrayBuffer, message: string): never {
  const words = new Int32Array(memory);
  Atomics.add(words, 1, 1);
  Atomics.notify(words, 1);
  Atomics.wait(words, 0, 0);
  throw new RangeError(message);
}
