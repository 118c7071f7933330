/**
 * Numbers of a report: the median, and figures as text.
 *
 * @module
 */

/** The middle value: less moved by one slow repetition than a mean. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? sorted[middle]
    : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** A whole number with commas. */
export function whole(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** A figure with the digits that a reader can use: a count as it is, else three. */
export function formatFigure(figure: number): string {
  if (figure >= 1e6) return `${(figure / 1e6).toPrecision(3)} M`;
  if (Number.isInteger(figure)) return whole(figure);
  const rounded = figure.toPrecision(3);
  return figure >= 1_000 ? whole(Number(rounded)) : rounded;
}

/** A ratio with two digits at least: `0.053`, `1.02`, `12.3`, `870`. */
export function formatRatio(ratio: number): string {
  if (ratio === Infinity) return "∞";
  if (ratio >= 100) return whole(ratio);
  if (ratio >= 10) return ratio.toFixed(1);
  return ratio >= 1 ? ratio.toFixed(2) : ratio.toPrecision(2);
}
