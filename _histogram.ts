/**
 * Distributions of times, by the histogram of `node:perf_hooks`: Node's copy of
 * HdrHistogram, which Deno has built in.
 *
 * It takes each value once. So there is one for each weight, a power of
 * `WEIGHT_BASE`, and they become one when somebody asks.
 *
 * @module
 */

import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import { MICROS } from "./_clock.ts";
import { WEIGHT_BASE } from "./_sampler.ts";
import type { TimeStats } from "./stats.ts";

/** Percentiles are right within 1 %, for 33 kB a histogram (Deno 2.9.6). */
const FIGURES = 2;

/** A day: longer times count as one. */
const HIGHEST_MICROS = 86_400e6;

const NONE: TimeStats = {
  count: 0,
  mean: 0,
  min: 0,
  p50: 0,
  p90: 0,
  p99: 0,
  max: 0,
};

/** A distribution of times. */
export class TimeHistogram {
  /** Those of weight 1, `WEIGHT_BASE`, its square, and so on. */
  readonly #byWeight: RecordableHistogram[] = [];

  /**
   * Takes in a time in milliseconds; those below a microsecond count as one.
   *
   * @param weight How often it counts, a power of `WEIGHT_BASE`.
   */
  record(ms: number, weight: number = 1): void {
    let histogram = this.#byWeight[0];
    for (let i = 0, w = 1; w <= weight; i++, w *= WEIGHT_BASE) {
      histogram = this.#byWeight[i] ??= make();
    }
    const micros = Math.round(ms * MICROS);
    histogram.record(Math.max(1, Math.min(micros, HIGHEST_MICROS)));
  }

  /** Returns what there is to say of it. */
  summarize(): TimeStats {
    if (this.#byWeight.length === 0) return NONE;
    let count = 0;
    for (const histogram of this.#byWeight) count += histogram.count;
    const all = this.#merge();
    const percentile = (rank: number) => all.percentile(rank) / MICROS;
    return {
      count,
      mean: all.mean / MICROS,
      min: all.min / MICROS,
      p50: percentile(50),
      p90: percentile(90),
      p99: percentile(99),
      max: all.max / MICROS,
    };
  }

  /** Adds them up by Horner's rule, the largest weight first. */
  #merge(): RecordableHistogram {
    let sum = make();
    for (const histogram of this.#byWeight.toReversed()) {
      const next = make();
      for (let i = 0; i < WEIGHT_BASE; i++) next.add(sum);
      next.add(histogram);
      sum = next;
    }
    return sum;
  }
}

function make(): RecordableHistogram {
  return createHistogram({
    lowest: 1,
    // Deno 2.9.6 drops values near the highest when it adds histograms.
    highest: 2 * HIGHEST_MICROS,
    figures: FIGURES,
  });
}
