/**
 * The workers of a pool: which of them can be counted on, which were set aside
 * because their task was stopped, and which keeps the process alive.
 *
 * @module
 */

import type { Task } from "./_task.ts";
import type { WorkerLink } from "./_worker_link.ts";

/** The workers of a pool. */
export class Staff {
  readonly #usable = new Set<WorkerLink>();
  /** Set aside, with the tasks that were stopped: their records are theirs until they are gone. */
  readonly #aside = new Map<WorkerLink, Task[]>();
  /** Those set aside that will be gone in a moment. */
  readonly #leaving = new Set<WorkerLink>();
  /** The worker that keeps the process alive, while one is to. */
  #keeper: WorkerLink | undefined;
  #isKeeping = false;

  /** How many can be counted on. */
  get size(): number {
    return this.#usable.size;
  }

  /** Whether nobody is left, those set aside included. */
  get isEmpty(): boolean {
    return this.#usable.size === 0 && this.#aside.size === 0;
  }

  /** Whether nobody is left who will be gone in a moment. */
  get hasLeft(): boolean {
    return this.#usable.size === 0 && this.#leaving.size === 0;
  }

  /** Those that can be counted on. */
  [Symbol.iterator](): IterableIterator<WorkerLink> {
    return this.#usable.values();
  }

  /** Those set aside. */
  get aside(): IterableIterator<WorkerLink> {
    return this.#aside.keys();
  }

  has(link: WorkerLink): boolean {
    return this.#usable.has(link);
  }

  isAside(link: WorkerLink): boolean {
    return this.#aside.has(link);
  }

  /** Returns the worker of that number, set aside or not. */
  find(number: number): WorkerLink | undefined {
    for (const links of [this.#usable, this.#aside.keys()]) {
      for (const link of links) if (link.number === number) return link;
    }
    return undefined;
  }

  add(link: WorkerLink): void {
    this.#usable.add(link);
    this.#keep();
  }

  /** Takes a worker out; returns whether it could be counted on. */
  remove(link: WorkerLink): boolean {
    if (!this.#usable.delete(link)) return false;
    if (this.#keeper === link) {
      this.#release();
      this.#keep();
    }
    return true;
  }

  /** Goes on without a worker, which ends as soon as its code lets it. */
  setAside(link: WorkerLink, task?: Task): void {
    this.remove(link);
    const tasks = this.#aside.get(link) ?? [];
    if (task !== undefined) tasks.push(task);
    this.#aside.set(link, tasks);
    if (link.isResponsive) this.#leaving.add(link);
    link.sendStop();
  }

  /**
   * Waits no longer for anybody to leave who could have, unless that ends it for
   * certain. An initializer is waited for, where the pool is not broken.
   */
  leaveBehind(isBroken: boolean): void {
    for (const link of this.#leaving) {
      if (!link.kill()) this.#leaving.delete(link);
    }
    for (const link of this.#usable) {
      if (link.isServing || isBroken) this.setAside(link);
    }
  }

  /** Takes out a worker that was set aside; returns the tasks that were stopped. */
  forget(link: WorkerLink): readonly Task[] {
    const tasks = this.#aside.get(link) ?? [];
    this.#aside.delete(link);
    this.#leaving.delete(link);
    return tasks;
  }

  /** Says whether one of them is to keep the process alive. */
  keepAlive(isNeeded: boolean): void {
    this.#isKeeping = isNeeded;
    if (isNeeded) this.#keep();
    else this.#release();
  }

  /** How many outcomes lie there and were not taken in: their workers are idle. */
  get unread(): number {
    let unread = 0;
    for (const { reader, takenIn } of this.#usable) {
      unread += reader.finished - takenIn;
    }
    return unread;
  }

  /** When the next worker that is not ready is to be given up. */
  get readyDeadline(): number {
    let deadline = Infinity;
    for (const link of this.#usable) {
      if (!link.isReady) deadline = Math.min(deadline, link.readyDeadline);
    }
    return deadline;
  }

  #keep(): void {
    if (!this.#isKeeping || this.#keeper !== undefined) return;
    for (const link of this.#usable) {
      link.setRef(true);
      this.#keeper = link;
      return;
    }
  }

  #release(): void {
    this.#keeper?.setRef(false);
    this.#keeper = undefined;
  }
}
