/**
 * Lets ways to do the same work take turns, and holds their figures against
 * targets.
 *
 * Contenders take turns (ours, a peer, ours, a peer ...), so that what else the
 * machine does slows all of them alike. A ratio is the median of the ratios of
 * each repetition. The first repetition warms up and is not counted.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import { median, whole } from "./_report.ts";

/** Before each measurement, so that collections and wake-ups of the last one are over. */
const PAUSE_MS = 20;

/** The table of targets, as `printTable` takes it. */
export const rows: string[][] = [[
  "target",
  "ours",
  "peer",
  "ratio",
  "reached?",
]];

/** One way to do the work, and its figures, one a repetition. */
export interface Contender {
  name: string;
  measure(): number | Promise<number>;
  figures: number[];
}

/** Lets contenders take turns for some repetitions. */
export async function takeTurns(
  repetitions: number,
  contenders: Contender[],
): Promise<void> {
  for (let repetition = -1; repetition < repetitions; repetition++) {
    for (const { measure, figures } of contenders) {
      await delay(PAUSE_MS);
      const figure = await measure();
      if (repetition >= 0) figures.push(figure);
    }
  }
}

/** Makes a contender without figures. */
export function contend(
  name: string,
  measure: () => number | Promise<number>,
): Contender {
  return { name, measure, figures: [] };
}

/** Milliseconds that some work takes. */
export async function timed(run: () => unknown): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

/** The median of the ratios of each repetition. */
export function ratioOf(a: Contender, b: Contender): number {
  return median(a.figures.map((figure, i) => figure / b.figures[i]));
}

/** The contender with the highest, or the lowest, median. */
export function pickBest(
  contenders: Contender[],
  better: "higher" | "lower",
): Contender {
  const sorted = contenders.toSorted((a, b) =>
    median(a.figures) - median(b.figures)
  );
  return better === "higher" ? sorted.at(-1)! : sorted[0];
}

/**
 * Adds a row to the table; without a peer the target is an absolute one, and where
 * `reached` is `undefined` there is none.
 */
export function report(
  target: string,
  subject: Contender,
  unit: string,
  reached: boolean | undefined,
  peer?: Contender,
): void {
  const round = (figure: number) =>
    figure >= 1_000 || Number.isInteger(figure)
      ? whole(figure)
      : figure.toPrecision(3);
  const show = ({ figures }: Contender) => {
    const spread = [Math.min(...figures), Math.max(...figures)].map(round);
    return `${round(median(figures))} ${unit} [${spread.join(" - ")}]`;
  };
  rows.push([
    target,
    show(subject),
    peer === undefined ? "" : `${peer.name}: ${show(peer)}`,
    peer === undefined ? "" : showRatio(ratioOf(subject, peer)),
    reached === undefined ? "" : reached ? "yes" : "NO",
  ]);
}

function showRatio(ratio: number): string {
  return ratio < 100 ? ratio.toFixed(2) : whole(ratio);
}
