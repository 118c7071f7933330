/**
 * What the comparisons find, as data: the report and the chart are made of it, and
 * of nothing else.
 *
 * @module
 */

import { median } from "./_statistics.ts";

/** Whether more or less of a unit is better. */
export type Better = "higher" | "lower";

/** The figures of one contender, of all repetitions. */
export interface Figures {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Another way to do the same work. */
export interface Opponent extends Figures {
  readonly name: string;
  /** How it does it, where its name does not say all: "by hand". */
  readonly way?: string;
  /**
   * Whether it is this module too, used in another way: it shows what something
   * costs, and nobody wins or loses.
   */
  readonly isOurs: boolean;
  /**
   * How many times as good as the opponent we are, above 1 where we are ahead,
   * whichever direction is better: the median of the ratios of each repetition.
   */
  readonly ratio: number;
  /** Why it is ahead of us, where it is. */
  readonly reason?: string;
}

/** Something that was promised. */
export interface Target {
  readonly text: string;
  readonly isReached: boolean;
}

/** The answer to one question. */
export interface Measurement {
  /** The table that it stands in. */
  readonly group: string;
  readonly question: string;
  readonly unit: string;
  readonly better: Better;
  readonly ours: Figures;
  /** In the order in which they were measured; those that are not there are left out. */
  readonly opponents: readonly Opponent[];
  readonly targets: readonly Target[];
}

/** All that one run has found, and what it ran on. */
export interface Results {
  /** As in `2026-11-20`. */
  readonly date: string;
  /** `undefined` outside of a repository. */
  readonly commit?: string;
  /** Whether it was a short run, for trying it out. */
  readonly isQuick: boolean;
  /** How long it took. */
  readonly minutes: number;
  readonly machine: {
    readonly cores: number;
    /** The model; `undefined` where the system does not tell. */
    readonly cpu?: string;
    readonly os: string;
    readonly arch: string;
  };
  /** As in `["piscina", "5.3.2"]`. */
  readonly versions: readonly (readonly [name: string, version: string])[];
  /** Whether there was a `python3`, whose version is among the others. */
  readonly hasPython: boolean;
  readonly measurements: readonly Measurement[];
}

/** How a ratio is called. */
export type Verdict = "wins" | "even" | "loses";

/** Two figures this near to each other are even: one run after another moves them more. */
export const EVEN_WITHIN = 0.02;

/** Says who is ahead; the same distance counts in both directions. */
export function verdictOf(ratio: number): Verdict {
  if (ratio > 1 + EVEN_WITHIN) return "wins";
  return ratio < 1 / (1 + EVEN_WITHIN) ? "loses" : "even";
}

/**
 * The opponent that we are least ahead of, or furthest behind; `undefined` where
 * there is none but ourselves.
 */
export function bestPeerOf(
  { opponents }: Pick<Measurement, "opponents">,
): Opponent | undefined {
  return opponents.filter(({ isOurs }) => !isOurs)
    .toSorted((a, b) => a.ratio - b.ratio)[0];
}

/** All opponents that are ahead of us, the furthest first. */
export function lossesOf(
  measurements: readonly Measurement[],
): [measurement: Measurement, opponent: Opponent][] {
  return measurements
    .flatMap((measurement) =>
      measurement.opponents.map((opponent) =>
        [measurement, opponent] as [Measurement, Opponent]
      )
    )
    .filter(([, { isOurs, ratio }]) => !isOurs && verdictOf(ratio) === "loses")
    .toSorted(([, a], [, b]) => a.ratio - b.ratio);
}

/** Sums up the figures of a contender. */
export function summarize(figures: readonly number[]): Figures {
  return {
    median: median(figures),
    min: Math.min(...figures),
    max: Math.max(...figures),
  };
}

/** How many times as good ours are: the median of the ratios of each repetition. */
export function ratioOf(
  ours: readonly number[],
  theirs: readonly number[],
  better: Better,
): number {
  return median(
    ours.map((figure, i) =>
      better === "higher" ? figure / theirs[i] : theirs[i] / figure
    ),
  );
}
