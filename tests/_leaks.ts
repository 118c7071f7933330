/**
 * Counts the workers that a test leaves behind; Deno's sanitizers see none of them.
 *
 * Importing this module puts a counting subclass in the place of the global `Worker`.
 *
 * @module
 */

const live = new Set<Worker>();

class CountedWorker extends Worker {
  constructor(specifier: string | URL, options?: WorkerOptions) {
    super(specifier, options);
    live.add(this);
    this.addEventListener("error", () => live.delete(this)); // it died of it
  }

  override terminate(): void {
    live.delete(this);
    super.terminate();
  }
}

globalThis.Worker = CountedWorker;

/**
 * Counts the workers of this thread that were made, and neither terminated nor ended by an error.
 *
 * One that closed itself counts until it is terminated: its end fires no event, and who made it must
 * notice in another way.
 */
export function liveWorkers(): number {
  return live.size;
}
