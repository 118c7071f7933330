/**
 * What the soak has counted for one pool, over all its generations.
 *
 * @module
 */

import { type Account, type Label, LABELS } from "./_soak_account.ts";

/** The counts of one pool. */
export class Totals {
  readonly name: string;
  submitted = 0;
  finished = 0;
  failed = 0;
  cancelled = 0;
  /** Pools that were made and ended. */
  generations = 0;
  /** How many of those broke. */
  broken = 0;
  /** How often a worker was brought to its end, by its task or from outside. */
  deaths = 0;
  /** How often from outside. */
  kills = 0;
  /** When anything was counted last, by `performance.now()`. */
  changedAt: number = performance.now();
  /** By kind, how many came to each end. */
  readonly #table = new Map<string, Map<Label, number>>();

  constructor(name: string) {
    this.name = name;
  }

  /** How many have come to no end. */
  get open(): number {
    return this.submitted - this.finished - this.failed - this.cancelled;
  }

  /** Counts a task that was submitted, or that came to an end. */
  onChange({ call: { kind }, label }: Account): void {
    this.changedAt = performance.now();
    if (label === undefined) {
      this.submitted++;
      return;
    }
    if (label === "finished") this.finished++;
    else if (label === "cancelled") this.cancelled++;
    else this.failed++;
    const row = this.#table.get(kind) ?? new Map<Label, number>();
    this.#table.set(kind, row.set(label, (row.get(label) ?? 0) + 1));
  }

  /** One line on how far it has come. */
  line(): string {
    const { submitted, finished, failed, cancelled } = this;
    return `${this.name}: ${submitted} submitted, ${finished} finished, ${failed} failed, ` +
      `${cancelled} cancelled; ${this.deaths} deaths, ${this.generations} generations`;
  }

  /** A table of kinds and ends. */
  table(): string {
    const rows = [["kind", ...LABELS]];
    const sums = LABELS.map(() => 0);
    for (
      const [kind, row] of [...this.#table].sort(([a], [b]) => a < b ? -1 : 1)
    ) {
      const counts = LABELS.map((label) => row.get(label) ?? 0);
      counts.forEach((count, i) => sums[i] += count);
      rows.push([
        kind,
        ...counts.map((count) => count === 0 ? "" : `${count}`),
      ]);
    }
    rows.push(["all", ...sums.map(String)]);
    return rows.map(([kind, ...cells]) =>
      `  ${kind.padEnd(12)}${cells.map((cell) => cell.padStart(12)).join("")}`
    ).join("\n");
  }
}
