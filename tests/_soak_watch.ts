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

/** Most of what the lines say of themselves that is told of a program that is blocked. */
const MOST_TEXT_BYTES = 4_096;

/** What the watcher sees of the program: how often it has beaten, and what went on at the last beat. */
class Pulse {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #text: Uint8Array;

  constructor(memory = new SharedArrayBuffer(8 + MOST_TEXT_BYTES)) {
    this.memory = memory;
    this.#words = new Int32Array(memory, 0, 2);
    this.#text = new Uint8Array(memory, 8);
  }

  beat(text: string): void {
    const bytes = new TextEncoder().encode(text).subarray(0, MOST_TEXT_BYTES);
    this.#text.set(bytes);
    this.#words[1] = bytes.length;
    Atomics.add(this.#words, 0, 1);
  }

  get beats(): number {
    return Atomics.load(this.#words, 0);
  }

  get text(): string {
    return new TextDecoder().decode(this.#text.slice(0, this.#words[1]));
  }
}

/** Watches; says on stderr what is wrong, and ends the program with 1, or kills it where it is blocked. */
export class Watch implements Disposable {
  readonly #pulse = new Pulse();
  readonly #worker: Worker;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(lines: readonly Line[]) {
    this.#worker = new Worker(import.meta.url, { type: "module" });
    this.#worker.postMessage(this.#pulse.memory);
    this.#timer = setInterval(() => {
      const phases = lines.map(({ name, phase }) => `  ${name} pool: ${phase}`);
      this.#pulse.beat(phases.join("\n"));
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
function watchBeats(pulse: Pulse): void {
  let last = -1, since = performance.now();
  setInterval(() => {
    const now = pulse.beats;
    if (now !== last) {
      last = now;
      since = performance.now();
    } else if (performance.now() - since > BLOCKED_MS) {
      say(
        `LOST: the program was blocked for ${BLOCKED_MS} ms, and is killed; within a second before:\n${pulse.text}`,
      );
      Deno.kill(Deno.pid, "SIGKILL");
    }
  }, BEAT_MS);
}

/** What a worker has, and the main thread has not. */
const scope = globalThis as {
  WorkerGlobalScope?: unknown;
  onmessage?: (event: MessageEvent<SharedArrayBuffer>) => void;
};
if (scope.WorkerGlobalScope !== undefined) {
  scope.onmessage = ({ data }) => watchBeats(new Pulse(data));
}
