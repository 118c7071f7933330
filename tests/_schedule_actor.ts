/**
 * An actor of `_schedule.ts`: a thread that runs product code and stops before each atomic
 * operation until it is chosen.
 *
 * In the place of `Atomics` it puts functions that first wait for their turn. Waiting and notifying
 * are played, not done: who waits is not chosen until somebody notifies it, so a wake-up that is lost
 * leaves nobody to choose. The clock stands still, so that nothing depends on time.
 *
 * Who chooses is the actor that stops: only one runs at a time, so it may decide for all.
 *
 * @module
 */

import { receive } from "../_receive.ts";
import {
  Actor,
  areDependent,
  type BufferName,
  Choice,
  Effect,
  MOST_STEPS,
  NOTES_BYTES,
  placeOf,
  Status,
  Verdict,
  Word,
} from "./_schedule_memory.ts";
import { SCENARIOS, type Stage } from "./_schedule_scenarios.ts";

/** An actor's one message. */
export interface ActorBoot {
  readonly scenario: string;
  readonly me: number;
  readonly words: SharedArrayBuffer;
  readonly notes: SharedArrayBuffer;
  /** A port to each other actor, by its number. */
  readonly ports: readonly (MessagePort | undefined)[];
  /** What went wrong is told here. */
  readonly report: MessagePort;
}

/** Thrown where an execution ends before its time. */
class Cut extends Error {}

const real = {
  load: Atomics.load,
  store: Atomics.store,
  add: Atomics.add,
  sub: Atomics.sub,
  compareExchange: Atomics.compareExchange,
  wait: Atomics.wait,
  notify: Atomics.notify,
};

/** A message; those of executions that are over are dropped. */
interface Letter {
  readonly run: number;
  readonly message: unknown;
}

/** Any of the operations that read or write. */
type Operation = (
  array: Int32Array,
  index: number,
  ...rest: number[]
) => number;

const CLOCK_MS = 1_000_000;

/** Naps are shorter; a longer limit is there for faults, and never runs out here. */
const NAP_MS = 10;

class ActorThread implements Stage {
  readonly #boot: ActorBoot;
  readonly #words: Int32Array;
  readonly #notes: Int32Array;
  readonly #base: number;
  readonly #actors: number;
  #run = 0;
  #noted = 0;
  #buffers = new WeakMap<ArrayBufferLike, number>();
  /** Before its first step it sets up, afterwards nothing it does counts. */
  #phase: "setup" | "play" | "over" = "over";
  #listener: ((answer: "ok") => void) | undefined;
  /** Steps after which another may move before plain reads and writes. */
  #afterSteps: readonly string[] = [];

  constructor(boot: ActorBoot) {
    this.#boot = boot;
    this.#words = new Int32Array(boot.words);
    this.#notes = new Int32Array(
      boot.notes,
      boot.me * NOTES_BYTES,
      NOTES_BYTES / 4,
    );
    this.#base = this.#baseOf(boot.me);
    this.#actors = boot.ports.length;
  }

  #baseOf(actor: number): number {
    return Word.ACTORS + actor * Actor.WORDS;
  }

  // ------------------------------------------------------------ the thread

  /** Plays its part in one execution after another. */
  async run(): Promise<void> {
    const { actors, after = [] } = SCENARIOS[this.#boot.scenario];
    const play = Object.values(actors)[this.#boot.me];
    this.#afterSteps = after;
    for (;;) {
      if (this.#waitForStart() < 0) return close();
      this.#noted = 0;
      this.#notes.fill(0);
      this.#buffers = new WeakMap();
      this.#listener = undefined;
      this.#phase = "setup";
      await this.#playOnce(play);
    }
  }

  async #playOnce(
    play: (stage: Stage) => () => void | Promise<void>,
  ): Promise<void> {
    try {
      const act = play(this);
      this.#phase = "play";
      this.#stand(Effect.NONE, 0);
      this.#report();
      this.#waitForTurn();
      this.#checkOpen();
      await act();
      // What its promises have still to do is a part of it.
      await turn();
      this.#checkOpen();
      this.#phase = "over";
      this.#words[this.#base + Actor.STATUS] = Status.DONE;
      if (!this.#choose()) this.#report();
    } catch (error) {
      this.#phase = "over";
      if (!(error instanceof Cut)) this.fail(error);
      this.#words[this.#base + Actor.STATUS] = Status.DONE;
      this.#report();
    }
  }

  /** Ends the execution for an error; who waits for it is told. */
  fail(error: unknown): void {
    this.#boot.report.postMessage(error);
    this.#end(Verdict.FAILED);
    this.#report();
  }

  #report(): void {
    real.add(this.#words, Word.TOLD, 1);
    real.notify(this.#words, Word.TOLD);
  }

  /** Waits for the next execution; returns its number. */
  #waitForStart(): number {
    const start = this.#base + Actor.START;
    for (;;) {
      const run = real.load(this.#words, start);
      if (run < 0 || run > this.#run) return this.#run = run;
      real.wait(this.#words, start, run);
    }
  }

  #waitForTurn(): void {
    const gate = this.#base + Actor.GATE;
    while (real.compareExchange(this.#words, gate, 1, 0) === 0) {
      real.wait(this.#words, gate, 0);
    }
  }

  #open(actor: number): void {
    const gate = this.#baseOf(actor) + Actor.GATE;
    real.store(this.#words, gate, 1);
    real.notify(this.#words, gate);
  }

  #checkOpen(): void {
    if (this.#words[Word.VERDICT] !== Verdict.OPEN) throw new Cut();
  }

  // ---------------------------------------------------------------- choosing

  /** Ends the execution; those who wait for their turn leave. */
  #end(verdict: number): void {
    if (this.#words[Word.VERDICT] === Verdict.OPEN) {
      this.#words[Word.VERDICT] = verdict;
    }
  }

  #enabled(): number {
    let enabled = 0;
    for (let actor = 0; actor < this.#actors; actor++) {
      const base = this.#baseOf(actor);
      const status = this.#words[base + Actor.STATUS];
      if (
        status === Status.READY ||
        (status === Status.WAITING && this.#words[Word.TIMES_OUT] === 1 &&
          this.#words[base + Actor.HAS_LIMIT] === 1)
      ) enabled |= 1 << actor;
    }
    return enabled;
  }

  /** Chooses who moves next, and lets it; returns whether there is somebody. */
  #choose(): boolean {
    const words = this.#words;
    const enabled = this.#enabled();
    if (enabled === 0) {
      this.#end(this.#allDone() ? Verdict.COMPLETE : Verdict.STUCK);
      return false;
    }
    const position = words[Word.POSITION]++;
    if (position >= MOST_STEPS) {
      this.#end(Verdict.TOO_LONG);
      return false;
    }
    const current = enabled >> words[Word.CURRENT] & 1
      ? words[Word.CURRENT]
      : -1;
    const at = Word.TRACE + position * Choice.WORDS;
    words[at + Choice.ENABLED] = enabled;
    words[at + Choice.ASLEEP] = words[Word.ASLEEP];
    words[at + Choice.CURRENT] = current;
    let chosen: number;
    if (position < words[Word.GIVEN]) {
      chosen = words[at + Choice.CHOSEN];
      if ((enabled >> chosen & 1) === 0) {
        throw new Error(
          `Cannot repeat the execution as actor ${chosen} must be able to move at step ${position}`,
        );
      }
      if (position === words[Word.GIVEN] - 1) {
        words[Word.ASLEEP] = words[Word.ASLEEP_THEN];
      }
    } else {
      const awake = enabled & ~words[Word.ASLEEP];
      if (awake === 0) {
        this.#end(Verdict.CUT);
        return false;
      }
      chosen = this.#pick(awake, current);
      words[at + Choice.CHOSEN] = chosen;
    }
    const base = this.#baseOf(chosen);
    const effect = words[base + Actor.EFFECT];
    const place = words[base + Actor.PLACE];
    words[at + Choice.STEP] = effect << 28 | place;
    this.#wakeDependent(effect, place);
    words[Word.CURRENT] = chosen;
    this.#open(chosen);
    return true;
  }

  #pick(awake: number, current: number): number {
    const words = this.#words;
    const lowest = 31 - Math.clz32(awake & -awake);
    if (words[Word.SEED] === 0) {
      return current >= 0 && (awake >> current & 1) === 1 ? current : lowest;
    }
    // A linear congruential generator: Numerical Recipes, 2nd edition, chapter 7.1.
    const next = (Math.imul(words[Word.SEED], 1664525) + 1013904223) | 0;
    words[Word.SEED] = next === 0 ? 1 : next;
    for (let actor = (next >>> 16) % this.#actors;; actor++) {
      if ((awake >> (actor % this.#actors) & 1) === 1) {
        return actor % this.#actors;
      }
    }
  }

  #wakeDependent(effect: number, place: number): void {
    const words = this.#words;
    for (let actor = 0; actor < this.#actors; actor++) {
      if ((words[Word.ASLEEP] >> actor & 1) === 0) continue;
      const base = this.#baseOf(actor);
      if (
        areDependent(
          effect,
          place,
          words[base + Actor.EFFECT],
          words[base + Actor.PLACE],
        )
      ) words[Word.ASLEEP] &= ~(1 << actor);
    }
  }

  #allDone(): boolean {
    for (let actor = 0; actor < this.#actors; actor++) {
      if (this.#words[this.#baseOf(actor) + Actor.STATUS] !== Status.DONE) {
        return false;
      }
    }
    return true;
  }

  // ------------------------------------------------------------------- steps

  /** Says what this actor does next. */
  #stand(effect: number, place: number, status: number = Status.READY): void {
    this.#words[this.#base + Actor.EFFECT] = effect;
    this.#words[this.#base + Actor.PLACE] = place;
    this.#words[this.#base + Actor.STATUS] = status;
  }

  /** Waits until it is chosen to do the step. */
  #step(effect: number, place: number): void {
    if (this.#phase !== "play") return;
    this.#stand(effect, place);
    this.#pass();
  }

  /** Has somebody chosen, and waits until it is this one. */
  #pass(): void {
    if (!this.#choose()) {
      this.#report();
      throw new Cut();
    }
    this.#waitForTurn();
    this.#checkOpen();
  }

  /** Of a word: its place, or 0 where no step is made of it. */
  #place(array: Int32Array, index: number): number {
    const buffer = this.#buffers.get(array.buffer);
    if (buffer === undefined || this.#phase === "over") return 0;
    return buffer + (array.byteOffset >> 2) + index;
  }

  gate(name: keyof typeof real, effect: number): Operation {
    const operation = real[name] as unknown as Operation;
    return (array, index, ...rest) => {
      const place = this.#place(array, index);
      if (place === 0) return operation(array, index, ...rest);
      this.#step(effect, place);
      const result = operation(array, index, ...rest);
      // What follows without an atomic operation is a step of its own where it matters.
      if (this.#afterSteps.includes(`${name} ${place}`)) {
        this.#step(Effect.WRITE, placeOf("none", 1, 1));
      }
      return result;
    };
  }

  wait(
    array: Int32Array,
    index: number,
    value: number,
    ms = Infinity,
  ): "ok" | "not-equal" | "timed-out" {
    const place = this.#place(array, index);
    if (place === 0) {
      return real.wait(array as Int32Array<ArrayBuffer>, index, value, ms);
    }
    this.#step(Effect.WAIT, place);
    if (real.load(array, index) !== value) return "not-equal";
    return this.#sleep(place, ms < NAP_MS) ? "ok" : "timed-out";
  }

  /** Is not chosen until it is woken, or its time runs out; returns whether it was woken. */
  #sleep(place: number, hasLimit: boolean): boolean {
    const base = this.#base;
    this.#words[base + Actor.WAITS_AT] = place;
    this.#words[base + Actor.SINCE] = ++this.#words[Word.SEQUENCE];
    this.#words[base + Actor.HAS_LIMIT] = hasLimit ? 1 : 0;
    this.#stand(Effect.WAIT, place, Status.WAITING);
    this.#pass();
    const isWoken = this.#words[base + Actor.WAITS_AT] === 0;
    this.#words[base + Actor.WAITS_AT] = 0;
    return isWoken;
  }

  waitAsync(array: Int32Array, index: number, value: number) {
    const place = this.#place(array, index);
    // Nobody is left to wait when all is over.
    if (place === 0) return { async: true, value: new Promise(() => {}) };
    this.#step(Effect.WAIT, place);
    if (real.load(array, index) !== value) {
      return { async: false, value: "not-equal" };
    }
    const base = this.#base;
    this.#words[base + Actor.LISTENS_AT] = place;
    this.#words[base + Actor.LISTENS_SINCE] = ++this.#words[Word.SEQUENCE];
    return {
      async: true,
      value: new Promise((resolve) => this.#listener = resolve),
    };
  }

  async idle(isOver: () => boolean = () => false): Promise<void> {
    const base = this.#base;
    await turn(); // what is due goes first
    this.#checkOpen();
    if (this.#listener === undefined || isOver()) return;
    if (this.#words[base + Actor.LISTENS_AT] !== 0) {
      this.#words[base + Actor.HAS_LIMIT] = 0;
      this.#stand(
        Effect.WAIT,
        this.#words[base + Actor.LISTENS_AT],
        Status.WAITING,
      );
      this.#pass();
    } else this.#step(Effect.NONE, 0);
    const resolve = this.#listener;
    this.#listener = undefined;
    resolve("ok");
    await turn();
  }

  notify(array: Int32Array, index: number, count = Infinity): number {
    const place = this.#place(array, index);
    if (place === 0) return real.notify(array, index, count);
    this.#step(Effect.NOTIFY, place);
    let woken = 0;
    while (woken < count && this.#wakeFirst(place)) woken++;
    return woken;
  }

  /** Wakes who has waited longest; returns whether there was anybody. */
  #wakeFirst(place: number): boolean {
    const words = this.#words;
    let first = 0; // the word where its waiting is noted
    for (let actor = 0; actor < this.#actors; actor++) {
      const base = this.#baseOf(actor);
      for (const at of [Actor.WAITS_AT, Actor.LISTENS_AT]) {
        const isEarlier = first === 0 ||
          words[base + at + 1] < words[first + 1];
        if (words[base + at] === place && isEarlier) first = base + at;
      }
    }
    if (first === 0) return false;
    words[first] = 0;
    const actor = Math.floor((first - Word.ACTORS) / Actor.WORDS);
    const base = this.#baseOf(actor);
    const isInThread = first === base + Actor.WAITS_AT;
    const isIdle = words[base + Actor.WAITS_AT] === 0;
    if (
      words[base + Actor.STATUS] === Status.WAITING && (isInThread || isIdle)
    ) {
      words[base + Actor.STATUS] = Status.READY;
      words[base + Actor.EFFECT] = Effect.NONE;
    }
    return true;
  }

  // ------------------------------------------------------------------- Stage

  name(buffer: ArrayBufferLike, name: BufferName, number = 0): void {
    this.#buffers.set(buffer, placeOf(name, number, 0));
  }

  send(actor: number, message: unknown, transfer?: Transferable[]): void {
    this.#step(Effect.WRITE, placeOf("mail", actor, this.#boot.me));
    const letter: Letter = { run: this.#run, message };
    this.#boot.ports[actor]!.postMessage(letter, transfer ?? []);
    this.#wakeFirst(placeOf("mail", actor, this.#boot.me));
  }

  take<T>(actor: number): T | undefined {
    this.#step(Effect.WRITE, placeOf("mail", this.#boot.me, actor));
    for (;;) {
      const letter = receive<Letter>(this.#boot.ports[actor]!);
      if (letter === undefined) return undefined;
      if (letter.run === this.#run) return letter.message as T;
    }
  }

  waitFor<T>(actor: number): T {
    const place = placeOf("mail", this.#boot.me, actor);
    for (;;) {
      const message = this.take<T>(actor);
      if (message !== undefined) return message;
      this.#sleep(place, false);
    }
  }

  note(value: number): void {
    this.#notes[++this.#noted] = value;
    this.#notes[0] = this.#noted;
  }
}

/** Lets the event loop turn. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

let thread: ActorThread | undefined;

// What is cut off in the middle of a promise's callback is nobody's error.
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  if (!(event.reason instanceof Cut)) thread?.fail(event.reason);
});

addEventListener("message", (event) => {
  thread = new ActorThread((event as MessageEvent).data as ActorBoot);
  const played = {
    load: thread.gate("load", Effect.READ),
    store: thread.gate("store", Effect.WRITE),
    add: thread.gate("add", Effect.WRITE),
    sub: thread.gate("sub", Effect.WRITE),
    compareExchange: thread.gate("compareExchange", Effect.WRITE),
    wait: thread.wait.bind(thread),
    waitAsync: thread.waitAsync.bind(thread),
    notify: thread.notify.bind(thread),
  };
  Object.defineProperty(globalThis, "Atomics", { value: played });
  Date.now = () => CLOCK_MS;
  performance.now = () => CLOCK_MS;
  Object.defineProperty(globalThis, "setTimeout", { value: () => 0 });
  thread.run();
}, { once: true });
