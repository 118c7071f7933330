/**
 * Watches the soak for what comes to no end: a task that is lost, a wait that blocks for ever.
 *
 * As a worker, it watches the thread that started it: one that is blocked cannot watch itself.
 *
 * @module
 */

import type { Line } from "./_soak_generation.ts";

/** How long a pool may bring no task to an end, nor take any. */
const STALLED_MS = 60_000;

/** How long the program may block: longer than any single wait in it. */
const BLOCKED_MS = 120_000;

const BEAT_MS = 1_000;

/** Watches; says on stderr what is wrong, and ends the program with 1, or kills it where it is blocked. */
export class Watch implements Disposable {
  readonly #beats = new Int32Array(new SharedArrayBuffer(4));
  readonly #worker: Worker;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(lines: readonly Line[]) {
    this.#worker = new Worker(import.meta.url, { type: "module" });
    this.#worker.postMessage(this.#beats);
    this.#timer = setInterval(() => {
      Atomics.add(this.#beats, 0, 1);
      for (const line of lines) checkLine(line);
    }, BEAT_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#worker.terminate();
  }
}

function checkLine({ name, totals, phase, ledger }: Line): void {
  if (phase === "over") return;
  if (performance.now() - totals.changedAt < STALLED_MS) return;
  const pending = (ledger?.pending ?? []).map(({ call, callbacks, future }) => {
    const state = future === undefined
      ? "no future of its own"
      : Deno.inspect(future);
    return `  ${call.kind} ${call.id}: ${callbacks} callbacks, ${state}`;
  });
  say(
    `LOST: nothing in the ${name} pool for ${STALLED_MS} ms while ${phase}; pending:\n${
      pending.join("\n")
    }`,
  );
  Deno.exit(1);
}

function say(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${text}\n`));
}

/** In the worker: kills the program once its beats stop. */
function watchBeats(beats: Int32Array): void {
  let last = -1, since = performance.now();
  setInterval(() => {
    const now = Atomics.load(beats, 0);
    if (now !== last) {
      last = now;
      since = performance.now();
    } else if (performance.now() - since > BLOCKED_MS) {
      say(`LOST: the program was blocked for ${BLOCKED_MS} ms, and is killed`);
      Deno.kill(Deno.pid, "SIGKILL");
    }
  }, BEAT_MS);
}

/** What a worker has, and the main thread has not. */
const scope = globalThis as {
  WorkerGlobalScope?: unknown;
  onmessage?: (event: MessageEvent<Int32Array>) => void;
};
if (scope.WorkerGlobalScope !== undefined) {
  scope.onmessage = ({ data }) => watchBeats(data);
}
