/**
 * The results as a picture: a bar a question, as long as we are ahead of the best
 * peer, or behind it.
 *
 * @module
 */

// The built file: the package's own modules read the environment when they are loaded.
import * as echarts from "npm:echarts@6.1.0/dist/echarts.esm.min.mjs";
import type { EChartsOption } from "npm:echarts@6.1.0";
import {
  bestPeerOf,
  type Measurement,
  type Opponent,
  type Results,
  type Verdict,
  verdictOf,
} from "./_measurement.ts";
import { formatFigure, formatRatio } from "./_statistics.ts";

const WIDTH = 960;
const ROW_HEIGHT = 21;
const TOP = 78;
const BOTTOM = 30;
const NAMES_WIDTH = 345;
const FIGURES_WIDTH = 220;

/** Greys and hues that stand out from white and from near black alike. */
const TEXT = "#767f89";
const LINE = "#767f8955";
const COLORS: Readonly<Record<Verdict, string>> = {
  wins: "#2f86e0",
  even: "#8b949e",
  loses: "#e0681f",
};

const FONT =
  "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif";

/** A generated file is no business of `deno fmt`. */
const HEADER = "<!-- deno-fmt-ignore-file -->";

/** The bounds of the axis, in powers of ten, are moved out to these at least. */
const MIN_EXTENT = 1;
/** A ratio may be infinite, where a peer has done nothing. */
const MAX_EXTENT = 4;

/** A line of the chart: a heading, or a question with its best peer. */
type Row = { readonly heading: string } | {
  readonly measurement: Measurement;
  readonly best: Opponent;
};

/** Makes an SVG; the same for the same results. */
export function renderChart(results: Results): string {
  const rows = rowsOf(results.measurements);
  const height = TOP + BOTTOM + rows.length * ROW_HEIGHT;
  const chart = echarts.init(null, null, {
    renderer: "svg",
    ssr: true,
    width: WIDTH,
    height,
  });
  chart.setOption(describe(rows, explain(results.measurements)));
  const svg: string = chart.renderToSVGString();
  chart.dispose();
  return tidy(svg);
}

/**
 * Leaves out what only a page with scripts has use for, and a count of the charts
 * made so far; and centers text in a way that every renderer knows.
 */
function tidy(svg: string): string {
  const tidied = svg
    .replace(/<style[^>]*>[^]*?<\/style>/g, "")
    .replace(/ (?:ecmeta_\w+|class|pointer-events)="[^"]*"/g, "")
    .replace(/zr\d+-/g, "")
    .replaceAll('dominant-baseline="central"', 'dy="0.35em"');
  return `${HEADER}\n${tidied.trim()}\n`;
}

/** Questions below the headings of their groups. */
function rowsOf(measurements: readonly Measurement[]): Row[] {
  const groups = Map.groupBy(
    measurements.flatMap((measurement) => {
      const best = bestPeerOf(measurement);
      return best === undefined ? [] : [{ measurement, best }];
    }),
    ({ measurement }) => measurement.group,
  );
  return [...groups].flatMap(([heading, rows]) => [{ heading }, ...rows]);
}

/** Orders of magnitude, so that as many times better and worse are as long. */
function orderOf({ ratio }: Opponent): number {
  return Math.max(-MAX_EXTENT, Math.min(MAX_EXTENT, Math.log10(ratio)));
}

/** How to read the chart, and who the peers are. */
function explain(measurements: readonly Measurement[]): string {
  const peers = new Set(
    measurements.flatMap(({ opponents }) => opponents)
      .filter(({ isOurs }) => !isOurs)
      .map(({ name }) => name),
  );
  return [
    `Blue, to the right: ahead of the best of ${[...peers].join(", ")}.`,
    "Orange, to the left: behind. Log scale; 1 is even.",
  ].join("\n");
}

function describe(rows: readonly Row[], subtext: string): EChartsOption {
  const orders = rows.flatMap((row) =>
    "best" in row ? [orderOf(row.best)] : []
  );
  // With room for the labels at the ends of the bars.
  const left = Math.floor(Math.min(-MIN_EXTENT, ...orders) - 1);
  const right = Math.ceil(Math.max(MIN_EXTENT, ...orders) + 0.5);
  return {
    animation: false,
    textStyle: { fontFamily: FONT, color: TEXT },
    title: {
      text: "@concurrent/futures: how many times as good as its best peer",
      subtext,
      left: 0,
      top: 0,
      textStyle: { color: TEXT, fontSize: 16, fontWeight: 600 },
      subtextStyle: { color: TEXT, fontSize: 12, lineHeight: 17 },
    },
    grid: {
      left: NAMES_WIDTH,
      right: FIGURES_WIDTH,
      top: TOP,
      bottom: BOTTOM,
      containLabel: false,
    },
    xAxis: {
      type: "value",
      min: left,
      max: right,
      interval: 1,
      axisLabel: {
        color: TEXT,
        formatter: (order: number) => formatTick(order),
      },
      splitLine: { lineStyle: { color: LINE } },
    },
    yAxis: [
      describeColumn(rows, "left", NAMES_WIDTH, {
        formatter: (_: string, i: number) => formatName(rows[i]),
        color: TEXT,
        rich: { heading: { color: TEXT, fontSize: 13, fontWeight: "bold" } },
      }),
      describeColumn(rows, "right", 10, {
        formatter: (_: string, i: number) => formatFigures(rows[i]),
        color: TEXT,
        fontSize: 11,
        rich: { heading: { color: TEXT, fontSize: 11, fontWeight: "bold" } },
      }),
    ],
    series: [{
      type: "bar",
      barWidth: 11,
      data: rows.map(describeBar),
      markLine: {
        silent: true,
        symbol: "none",
        label: { show: false },
        lineStyle: { type: "solid", color: TEXT, width: 1 },
        data: [{ xAxis: 0 }],
      },
    }],
  };
}

/** A column of text beside the bars. */
function describeColumn(
  rows: readonly Row[],
  position: "left" | "right",
  margin: number,
  axisLabel: object,
) {
  return {
    type: "category" as const,
    position,
    inverse: true,
    data: rows.map((_, i) => `${i}`),
    axisLine: { show: false, onZero: false },
    axisTick: { show: false },
    axisLabel: { interval: 0, align: "left" as const, margin, ...axisLabel },
  };
}

function describeBar(row: Row) {
  if ("heading" in row) return { value: "-" };
  const { best } = row;
  const verdict = verdictOf(best.ratio);
  const order = orderOf(best);
  const ratio = formatRatio(best.ratio);
  return {
    value: order,
    itemStyle: { color: COLORS[verdict] },
    label: {
      show: true,
      position: order < 0 ? "left" as const : "right" as const,
      color: verdict === "loses" ? COLORS.loses : TEXT,
      fontWeight: "bold" as const,
      textBorderWidth: 0,
      formatter: verdict === "wins" ? ratio : `${ratio} ${verdict}`,
    },
  };
}

function formatName(row: Row): string {
  if ("heading" in row) return `{heading|${row.heading}}`;
  return row.measurement.question.replaceAll("`", "");
}

function formatFigures(row: Row): string {
  if ("heading" in row) return "{heading|ours : best peer}";
  const { measurement: { ours, unit }, best } = row;
  const figures = [ours, best].map(({ median }) => formatFigure(median));
  return `${figures.join(" : ")} ${unit}, ${best.name}`;
}

function formatTick(order: number): string {
  return order < 0 ? `1/${10 ** -order}` : `${10 ** order}`;
}
