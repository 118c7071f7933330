/**
 * Lets ways to do the same work take turns, and sums up what they took.
 *
 * Contenders take turns (ours, a peer, ours, a peer ...), so that what else the
 * machine does slows all of them alike. A ratio is the median of the ratios of
 * each repetition. The first repetition warms up and is not counted.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import {
  type Measurement,
  type Opponent,
  ratioOf,
  summarize,
  type Target,
} from "./_measurement.ts";

/** Before each measurement, so that collections and wake-ups of the last one are over. */
const PAUSE_MS = 20;

/** How much is done for a figure. */
export interface Effort {
  /** How often contenders take turns, where so often is the whole of it. */
  repetitions(whole: number): number;
  /** The size of the work that fills so much memory, or time, as a whole. */
  size(whole: number): number;
}

/** For figures to be quoted. */
export const FULL: Effort = {
  repetitions: (whole) => whole,
  size: (whole) => whole,
};

/** For trying it out: about a minute in all. */
export const QUICK: Effort = {
  repetitions: () => 1,
  size: (whole) => Math.ceil(whole / 10),
};

/** What a set of contenders can be asked, by name. */
export type Measurements<Contenders> = Readonly<
  Record<
    string,
    (contenders: Contenders, effort: Effort) => Promise<Measurement[]>
  >
>;

/** One way to do the work, and its figures, one a repetition. */
export interface Contender {
  readonly name: string;
  readonly way?: string;
  readonly isOurs: boolean;
  readonly reason?: string;
  readonly measure: () => number | Promise<number>;
  readonly figures: number[];
}

/** What is said of a contender besides its name: see `Opponent`. */
export type Remarks = Partial<Pick<Opponent, "way" | "isOurs" | "reason">>;

/** What is asked: see `Measurement`. */
export type Question = Pick<
  Measurement,
  "group" | "question" | "unit" | "better"
>;

/** Makes a contender without figures. */
export function contend(
  name: string,
  measure: () => number | Promise<number>,
  { way, isOurs = false, reason }: Remarks = {},
): Contender {
  return { name, way, isOurs, reason, measure, figures: [] };
}

/** Lets contenders take turns for some repetitions. */
export async function takeTurns(
  repetitions: number,
  contenders: readonly Contender[],
): Promise<void> {
  for (let repetition = -1; repetition < repetitions; repetition++) {
    for (const { measure, figures } of contenders) {
      await delay(PAUSE_MS);
      const figure = await measure();
      if (repetition >= 0) figures.push(figure);
    }
  }
}

/** Milliseconds that some work takes. */
export async function timed(run: () => unknown): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

/**
 * Sums up what contenders took.
 *
 * @param setTargets What was promised, if anything was; is given the result without it.
 */
export function conclude(
  question: Question,
  subject: Contender,
  opponents: readonly Contender[],
  setTargets: (measured: Omit<Measurement, "targets">) => Target[] = () => [],
): Measurement {
  const measured = {
    ...question,
    ours: summarize(subject.figures),
    opponents: opponents.map(({ name, way, isOurs, reason, figures }) => ({
      name,
      way,
      isOurs,
      reason,
      ...summarize(figures),
      ratio: ratioOf(subject.figures, figures, question.better),
    })),
  };
  return { ...measured, targets: setTargets(measured) };
}

/** Lets a subject and its opponents take turns, and sums up. */
export async function compete(
  question: Question,
  repetitions: number,
  subject: Contender,
  opponents: readonly Contender[],
  setTargets?: (measured: Omit<Measurement, "targets">) => Target[],
): Promise<Measurement> {
  await takeTurns(repetitions, [subject, ...opponents]);
  return conclude(question, subject, opponents, setTargets);
}
