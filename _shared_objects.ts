/**
 * The objects that tasks share with their workers: `SharedArrayBuffer`s above
 * all. JSON cannot carry them, but every worker can be told of them ahead, so
 * that a task need not ask its owner, who may be waiting on that very memory.
 *
 * An object is posted once to every worker, whatever the number of tasks that
 * use it, and let go when the last of these is settled.
 *
 * @module
 */

/** What workers are told about shared objects. */
export type ShareMessage =
  | { readonly share: number; readonly object: unknown }
  | { readonly unshare: number };

/** The owner's table of shared objects. */
export class SharedObjects {
  readonly #post: (message: ShareMessage) => void;
  readonly #ids = new Map<unknown, number>();
  readonly #uses = new Map<number, { object: unknown; count: number }>();
  #nextId = 1;

  /** @param post Posts a message to every worker. */
  constructor(post: (message: ShareMessage) => void) {
    this.#post = post;
  }

  /** Every shared object there is, for a worker that starts. */
  messages(): ShareMessage[] {
    return Array.from(
      this.#uses,
      ([share, { object }]) => ({ share, object }),
    );
  }

  /** Begins a use of an object; returns its number. */
  use(object: unknown): number {
    const known = this.#ids.get(object);
    if (known !== undefined) {
      this.#uses.get(known)!.count++;
      return known;
    }
    const id = this.#nextId++;
    this.#ids.set(object, id);
    this.#uses.set(id, { object, count: 1 });
    this.#post({ share: id, object });
    return id;
  }

  /** Ends a use of an object. */
  release(id: number): void {
    const use = this.#uses.get(id)!;
    if (--use.count > 0) return;
    this.#uses.delete(id);
    this.#ids.delete(use.object);
    this.#post({ unshare: id });
  }
}
