/**
 * Drives product code through every order of its steps: a stateless model checker, as CHESS
 * (Musuvathi and others, "Finding and Reproducing Heisenbugs in Concurrent Programs", OSDI 2008) and
 * Rust's loom are.
 *
 * Two or three actors, each a thread of its own, run the transport's real code on real shared
 * memory. Each stops before every atomic operation (`_schedule_actor.ts`), and one at a time is let
 * go on. The explorer runs the scenario again and again, each time with another choice at the last
 * place where there was one, until there is none left. Orders that differ only in steps which do not
 * touch the same word are tried once (sleep sets: Godefroid, "Partial-Order Methods for the
 * Verification of Concurrent Systems", 1996, chapter 5).
 *
 * Reads and writes that are not atomic belong to the step before them, but for steps that a scenario
 * names (`after`): there another may come between. All is sequentially consistent.
 *
 * An execution in which somebody sleeps whom nobody will wake is a lost wake-up, and is reported with
 * its steps.
 *
 * @module
 */

import { receive } from "../_receive.ts";
import type { ActorBoot } from "./_schedule_actor.ts";
import {
  Actor,
  BUFFERS,
  Choice,
  Effect,
  NOTES_BYTES,
  Status,
  Verdict,
  Word,
} from "./_schedule_memory.ts";
import { nameWord, type Notes, SCENARIOS } from "./_schedule_scenarios.ts";

/** How far to go. */
export interface ExploreOptions {
  /** Executions after which to give up: what is left is untried. */
  readonly most?: number;
  /** So many executions with choices at random, instead of all. */
  readonly random?: { readonly executions: number; readonly seed: number };
}

/** What came of it. */
export interface Exploration {
  /** Executions that ran to their end. */
  complete: number;
  /** Executions that were cut off, as they differ from another in nothing. */
  cut: number;
  /** Whether nothing is left untried. */
  isExhausted: boolean;
  /** Steps of the longest execution. */
  longest: number;
}

/** A scenario did not end as it must. */
export class ScheduleError extends Error {
  override name = "ScheduleError";
}

/** How long an actor may take to come to its next step. */
const LIMIT_MS = 30_000;

const EFFECT_NAMES: Readonly<Record<number, string>> = {
  [Effect.NONE]: "goes on",
  [Effect.READ]: "reads",
  [Effect.WRITE]: "writes",
  [Effect.WAIT]: "waits at",
  [Effect.NOTIFY]: "notifies",
};

/** Runs a scenario in every order. */
export function explore(
  scenario: string,
  options: ExploreOptions = {},
): Exploration {
  using stage = new Stage(scenario);
  return stage.explore(options);
}

/** The actors of one scenario. */
class Stage implements Disposable {
  readonly #scenario: string;
  readonly #names: readonly string[];
  readonly #words = new Int32Array(new SharedArrayBuffer(Word.WORDS * 4));
  readonly #notes: Int32Array<SharedArrayBuffer>;
  readonly #workers: readonly Worker[];
  readonly #reports: MessagePort[] = [];

  constructor(scenario: string) {
    this.#scenario = scenario;
    this.#names = Object.keys(SCENARIOS[scenario].actors);
    const count = this.#names.length;
    this.#notes = new Int32Array(new SharedArrayBuffer(count * NOTES_BYTES));
    const ports = connect(count);
    this.#workers = this.#names.map((name, me) =>
      this.#start(name, me, ports[me])
    );
  }

  #start(
    name: string,
    me: number,
    ports: readonly (MessagePort | undefined)[],
  ): Worker {
    const { port1, port2 } = new MessageChannel();
    this.#reports.push(port1);
    const worker = new Worker(import.meta.resolve("./_schedule_actor.ts"), {
      type: "module",
      name,
    });
    const boot: ActorBoot = {
      scenario: this.#scenario,
      me,
      words: this.#words.buffer,
      notes: this.#notes.buffer,
      ports,
      report: port2,
    };
    const moved = ports.filter((port) => port !== undefined);
    worker.postMessage(boot, [...moved, port2]);
    return worker;
  }

  /** Runs the scenario again and again. */
  explore(options: ExploreOptions): Exploration {
    const found: Exploration = {
      complete: 0,
      cut: 0,
      isExhausted: false,
      longest: 0,
    };
    const { most = Infinity, random } = options;
    const executions = random?.executions ?? most;
    const plan = new Plan(SCENARIOS[this.#scenario].preemptions);
    while (found.complete + found.cut < executions) {
      const n = found.complete + found.cut;
      this.#runOnce(plan, random && random.seed + n);
      const length = this.#words[Word.POSITION];
      found.longest = Math.max(found.longest, length);
      if (this.#words[Word.VERDICT] === Verdict.CUT) found.cut++;
      else found.complete++;
      this.#check();
      if (random !== undefined) continue;
      if (!plan.advance(this.#words, length)) {
        found.isExhausted = true;
        break;
      }
    }
    return found;
  }

  #runOnce(plan: Plan, seed = 0): void {
    const words = this.#words;
    const run = ++words[Word.RUN];
    words.fill(0, Word.RUN + 1, Word.TRACE);
    words[Word.SEED] = seed;
    words[Word.CURRENT] = 0;
    const { timesOut = false } = SCENARIOS[this.#scenario];
    words[Word.TIMES_OUT] = timesOut ? 1 : 0;
    plan.write(words);
    for (let actor = 0; actor < this.#names.length; actor++) {
      this.#set(actor, Actor.START, run);
      this.#waitFor(() => this.#statusOf(actor) !== Status.OUT);
    }
    // The first actor is let go on to its first step, where it chooses.
    if (words[Word.VERDICT] === Verdict.OPEN) this.#set(0, Actor.GATE, 1);
    this.#waitFor(() => words[Word.VERDICT] !== Verdict.OPEN);
    for (let actor = 0; actor < this.#names.length; actor++) {
      while (this.#statusOf(actor) !== Status.DONE) {
        this.#set(actor, Actor.GATE, 1);
        this.#waitFor(() => this.#statusOf(actor) === Status.DONE, 10);
      }
    }
  }

  #set(actor: number, word: number, value: number): void {
    const at = Word.ACTORS + actor * Actor.WORDS + word;
    Atomics.store(this.#words, at, value);
    Atomics.notify(this.#words, at);
  }

  #statusOf(actor: number): number {
    return this.#words[Word.ACTORS + actor * Actor.WORDS + Actor.STATUS];
  }

  #waitFor(isSo: () => boolean, limitMs = LIMIT_MS): void {
    const until = performance.now() + limitMs;
    for (;;) {
      const told = Atomics.load(this.#words, Word.TOLD);
      if (isSo()) return;
      const answer = Atomics.wait(this.#words, Word.TOLD, told, limitMs);
      if (answer !== "timed-out" || performance.now() < until) continue;
      if (limitMs < LIMIT_MS) return;
      throw new ScheduleError(
        `Cannot go on as every actor must come to its next step: "${this.#scenario}" is stuck outside of the schedule\n${this.#trace()}`,
      );
    }
  }

  /** Throws where the execution did not end as it must. */
  #check(): void {
    const verdict = this.#words[Word.VERDICT];
    if (verdict === Verdict.CUT) return;
    for (const report of this.#reports) {
      const error = receive<unknown>(report);
      if (error !== undefined) this.#fail("an actor failed", error);
    }
    if (verdict === Verdict.STUCK) {
      const waiting = this.#names.filter((_, actor) => this.#wasWaiting(actor));
      this.#fail(`nobody wakes ${waiting.join(" and ")}`);
    }
    if (verdict !== Verdict.COMPLETE) this.#fail(`the verdict is ${verdict}`);
    try {
      SCENARIOS[this.#scenario].check(this.#readNotes());
    } catch (error) {
      this.#fail("the outcome is wrong", error);
    }
  }

  #wasWaiting(actor: number): boolean {
    const base = Word.ACTORS + actor * Actor.WORDS;
    return this.#words[base + Actor.WAITS_AT] !== 0 ||
      this.#words[base + Actor.LISTENS_AT] !== 0;
  }

  #readNotes(): Notes {
    return Object.fromEntries(this.#names.map((name, actor) => {
      const from = actor * NOTES_BYTES / 4;
      const count = this.#notes[from];
      return [name, [...this.#notes.subarray(from + 1, from + 1 + count)]];
    }));
  }

  #fail(what: string, cause?: unknown): never {
    throw new ScheduleError(
      `Cannot pass "${this.#scenario}" as ${what}: ${
        cause ?? ""
      }\n${this.#trace()}`,
      { cause },
    );
  }

  /** The steps of the last execution, a line each. */
  #trace(): string {
    const words = this.#words;
    const lines: string[] = [];
    for (let n = 0; n < words[Word.POSITION]; n++) {
      const at = Word.TRACE + n * Choice.WORDS;
      const step = words[at + Choice.STEP];
      const effect = EFFECT_NAMES[step >>> 28];
      const place = step & 0xfffffff;
      const buffer = BUFFERS[place >> 22];
      const where = effect === "goes on"
        ? ""
        : ` ${buffer} ${nameWord(buffer, place & 0xffff)}`;
      lines.push(
        `  ${this.#names[words[at + Choice.CHOSEN]]}: ${effect}${where}`,
      );
    }
    return lines.join("\n");
  }

  [Symbol.dispose](): void {
    for (const worker of this.#workers) worker.terminate();
    for (const report of this.#reports) report.close();
    // Who sleeps is not ended by that alone.
    this.#names.forEach((_, actor) => this.#set(actor, Actor.START, -1));
  }
}

/** Which choices are given in the next execution. */
class Plan {
  readonly #chosen: number[] = [];
  /** At each choice: those that were tried or need not be. */
  readonly #tried: number[] = [];
  readonly #mostPreemptions: number | undefined;

  constructor(mostPreemptions: number | undefined) {
    this.#mostPreemptions = mostPreemptions;
  }

  write(words: Int32Array): void {
    words[Word.GIVEN] = this.#chosen.length;
    this.#chosen.forEach((chosen, n) => {
      words[Word.TRACE + n * Choice.WORDS + Choice.CHOSEN] = chosen;
    });
    const last = this.#chosen.length - 1;
    if (last >= 0 && this.#mostPreemptions === undefined) {
      words[Word.ASLEEP_THEN] = this.#tried[last] & ~(1 << this.#chosen[last]);
    }
  }

  /** Goes to the next execution; returns whether there is one. */
  advance(words: Int32Array, length: number): boolean {
    for (let n = this.#chosen.length; n < length; n++) {
      const at = Word.TRACE + n * Choice.WORDS;
      this.#chosen.push(words[at + Choice.CHOSEN]);
      this.#tried.push(words[at + Choice.ASLEEP] | 1 << this.#chosen[n]);
    }
    const preemptions = this.#countPreemptions(words);
    while (this.#chosen.length > 0) {
      const last = this.#chosen.length - 1;
      const at = Word.TRACE + last * Choice.WORDS;
      const left = words[at + Choice.ENABLED] & ~this.#tried[last];
      const current = words[at + Choice.CURRENT];
      const isAllowed = this.#mostPreemptions === undefined || current < 0 ||
        preemptions[last] < this.#mostPreemptions;
      if (left !== 0 && isAllowed) {
        const next = 31 - Math.clz32(left & -left);
        this.#chosen[last] = next;
        this.#tried[last] |= 1 << next;
        return true;
      }
      this.#chosen.pop();
      this.#tried.pop();
    }
    return false;
  }

  /** For each choice: how many preemptions there were before it. */
  #countPreemptions(words: Int32Array): number[] {
    let count = 0;
    return this.#chosen.map((chosen, n) => {
      const before = count;
      const current = words[Word.TRACE + n * Choice.WORDS + Choice.CURRENT];
      if (current >= 0 && current !== chosen) count++;
      return before;
    });
  }
}

/** Makes a channel between each two. */
function connect(count: number): (MessagePort | undefined)[][] {
  const ports: (MessagePort | undefined)[][] = Array.from(
    { length: count },
    () => new Array(count).fill(undefined),
  );
  for (let a = 0; a < count; a++) {
    for (let b = a + 1; b < count; b++) {
      const { port1, port2 } = new MessageChannel();
      ports[a][b] = port1;
      ports[b][a] = port2;
    }
  }
  return ports;
}
