/**
 * Manages the worker processes of a pool, as CPython's manager thread does:
 * they stay fed while the thread that made the pool computes or blocks.
 *
 * Who gets a task: a process that waits for one, before any gets one ahead. Once
 * nothing is left to give and a process waits, what was sent ahead to another
 * is called back, after `WATCH_MS`. So no task waits behind another for longer
 * while a process is idle.
 *
 * Nor does one wait behind a slow task: it is called back after `SLOW_MS`
 * (`_ahead_window.ts`). So tasks begin in the order in which they were submitted,
 * but for those that take no longer than that.
 *
 * @module
 */

import { Feeder, type FeederHost } from "./_feeder.ts";
import { Control, Record, State } from "./_layout.ts";
import type { ManagerBoot, ToManager } from "./_manager_protocol.ts";
import { spawn } from "./_spawn.ts";
import type { Entry } from "./_task_sender.ts";

/** With more tasks ahead of a process, outcomes are let gather, for so long. */
const MANY_AHEAD = 16;
const GATHER_MS = 0.05;

/** How often what was sent ahead is looked after. */
const WATCH_MS = 1;

/** Manages the worker processes of a pool. */
export class Manager implements FeederHost {
  readonly boot: ManagerBoot;
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly bell: Int32Array<SharedArrayBuffer>;
  readonly #feeders = new Map<number, Feeder>();
  /** Tasks that were taken back, older than those in the queue; pending, so they can be cancelled. */
  #backlog: Entry[] = [];
  /** Whether the next task is one that is not sent ahead. */
  #isHeld = false;
  /** How many tasks were claimed from the queue. */
  #claimed = 0;
  #isFeeding = false;
  #watchTimer: ReturnType<typeof setTimeout> | undefined;
  #isAsleep = false;
  readonly #clock = new Int32Array(new SharedArrayBuffer(4));

  /** Started ahead, for the first who needs one. */
  #firstProcess: Deno.ChildProcess | undefined;

  constructor(boot: ManagerBoot, firstProcess: Deno.ChildProcess | undefined) {
    this.boot = boot;
    this.#firstProcess = firstProcess;
    this.control = new Int32Array(boot.control as SharedArrayBuffer);
    this.bell = new Int32Array(boot.bell as SharedArrayBuffer);
  }

  /** Takes a message of the owner's. */
  onMessage(message: ToManager): void {
    if ("start" in message) {
      const feeder = new Feeder(message.start, this);
      this.#feeders.set(feeder.number, feeder);
      feeder.begin();
    } else if ("look" in message) this.#feeders.get(message.look)?.look();
    else if ("callBack" in message) {
      this.#feeders.get(message.callBack)?.callBack();
    } else if ("stop" in message) this.#feeders.get(message.stop)?.stop();
    else if ("kill" in message) {
      this.#feeders.get(message.kill)?.kill("SIGKILL");
    } else {
      for (const feeder of this.#feeders.values()) feeder.kill(message.signal);
    }
  }

  spawn(): Deno.ChildProcess {
    const first = this.#firstProcess;
    this.#firstProcess = undefined;
    return first ?? spawn(this.boot.command);
  }

  takeBack(entries: readonly Entry[]): void {
    this.#backlog.push(...entries);
    this.#backlog.sort((a, b) => a.order - b.order);
    this.#isHeld = false;
  }

  onGone(feeder: Feeder): void {
    this.#feeders.delete(feeder.number);
    this.onChange();
  }

  onChange(): void {
    if (this.#isFeeding) return;
    this.#isFeeding = true;
    this.#giveToIdle();
    this.#giveAhead();
    for (const feeder of this.#feeders.values()) feeder.flush();
    this.#isFeeding = false;
    if (this.#isClosing()) this.#close();
    this.#watch();
    this.#sleep();
    this.#gather();
  }

  /**
   * Lets outcomes gather where many are about to come: a process that writes to
   * somebody asleep pays for waking him, 2 µs each time instead of 0.6 (Deno
   * 2.9.6, x86-64 Linux, 2026-11).
   */
  #gather(): void {
    let most = 0;
    for (const { isIdle, ahead } of this.#feeders.values()) {
      if (isIdle) return;
      most = Math.max(most, ahead);
    }
    if (most > MANY_AHEAD) Atomics.wait(this.#clock, 0, 0, GATHER_MS);
  }

  /**
   * Looks after what was sent ahead. It is not to wait while a process is idle;
   * and behind a slow task it would be overtaken by later ones that others are
   * given. Not at once: a call back takes as long as many a quick task.
   */
  #watch(): void {
    if (this.#watchTimer !== undefined) return;
    if (!this.#feeders.values().some(({ ahead }) => ahead > 0)) return;
    this.#watchTimer = setTimeout(() => {
      this.#watchTimer = undefined;
      for (const feeder of this.#feeders.values()) feeder.recallIfSlow();
      if (this.#someIsIdle()) this.#callBack();
      this.#watch();
    }, WATCH_MS);
  }

  // ----------------------------------------------------------------- giving

  #giveToIdle(): void {
    for (const feeder of this.#feeders.values()) {
      if (feeder.isIdle && !this.#give(feeder, false)) return;
    }
  }

  /** Sends tasks ahead, one to each in turn. */
  #giveAhead(): void {
    for (let isGiving = true; isGiving;) {
      isGiving = false;
      for (const feeder of this.#feeders.values()) {
        if (!feeder.hasRoom) continue;
        if (!this.#give(feeder, true)) return;
        isGiving = true;
      }
    }
  }

  #give(feeder: Feeder, isAhead: boolean): boolean {
    const entry = this.#takeOld(feeder, isAhead) ??
      this.#takeNew(feeder, isAhead);
    if (entry === undefined) return false;
    feeder.give(entry);
    return true;
  }

  #takeOld(feeder: Feeder, isAhead: boolean): Entry | undefined {
    while (this.#backlog.length > 0) {
      const entry = this.#backlog[0];
      this.#isHeld = isAhead && !feeder.canSendAhead(entry);
      if (this.#isHeld) return undefined;
      this.#backlog.shift();
      if (feeder.reclaim(entry, isAhead)) return entry;
      // ORDER: the last look at the record, whose memory is free hereafter.
      Atomics.store(
        entry.chunk.words,
        entry.at + Record.STATE,
        State.SKIPPED,
      );
    }
    return undefined;
  }

  #takeNew(feeder: Feeder, isAhead: boolean): Entry | undefined {
    if (this.#isHeld) return undefined;
    const entry = feeder.claim(isAhead, this.#claimed);
    if (entry === undefined) return undefined;
    this.#claimed++;
    if (!isAhead || feeder.canSendAhead(entry)) return entry;
    feeder.unclaim(entry);
    this.#backlog.push(entry);
    this.#isHeld = true;
    return undefined;
  }

  #someIsIdle(): boolean {
    return this.#feeders.values().some(({ isIdle }) => isIdle);
  }

  /** Calls tasks back from the process that has most of them ahead. */
  #callBack(): void {
    let most: Feeder | undefined;
    for (const feeder of this.#feeders.values()) {
      if (feeder.ahead > (most?.ahead ?? 0)) most = feeder;
    }
    most?.recall();
  }

  // ------------------------------------------------------------------ sleep

  #isClosing(): boolean {
    return Atomics.load(this.control, Control.CLOSING) === 1;
  }

  #close(): void {
    for (const feeder of this.#feeders.values()) {
      if (feeder.isIdle) feeder.stop();
    }
  }

  #isQueueEmpty(): boolean {
    return Atomics.load(this.control, Control.HEAD) ===
      Atomics.load(this.control, Control.TAIL);
  }

  /** Whether a new task could be given to somebody. */
  #hasTaker(): boolean {
    return this.#feeders.values().some((feeder) =>
      feeder.isIdle || (feeder.hasRoom && !this.#isHeld)
    );
  }

  /**
   * Waits in the event loop for the owner, while there is anybody to give tasks
   * to. Not once the pool closes: nothing more comes from the queue, and who woke
   * at once each time would keep the event loop from its turn.
   */
  #sleep(): void {
    if (this.#isAsleep || this.#isClosing() || !this.#hasTaker()) return;
    this.#isAsleep = true;
    Atomics.add(this.control, Control.SLEEPERS, 1);
    const wake = Atomics.load(this.control, Control.WAKE);
    // ORDER: a last look after the announcement, see "Wake-ups" in `_layout.ts`.
    const { value } = this.#isQueueEmpty() && !this.#isClosing()
      ? Atomics.waitAsync(this.control, Control.WAKE, wake)
      : { value: undefined };
    Promise.resolve(value).then(() => this.#wakeUp());
  }

  #wakeUp(): void {
    this.#isAsleep = false;
    Atomics.sub(this.control, Control.SLEEPERS, 1);
    for (const feeder of this.#feeders.values()) feeder.look();
    this.onChange();
  }
}
