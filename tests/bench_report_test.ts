/**
 * What the benches make of their figures: ratios and verdicts, the report, and the chart, from
 * figures that are made up.
 */

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { delay } from "@std/async";
import { renderChart } from "../bench/_chart.ts";
import { conclude, contend, takeTurns } from "../bench/_contest.ts";
import { renderLines, renderMarkdown } from "../bench/_markdown.ts";
import {
  bestPeerOf,
  type Measurement,
  type Opponent,
  ratioOf,
  type Results,
  summarize,
  verdictOf,
} from "../bench/_measurement.ts";
import { renderQueueMarkdown } from "../bench/_queue_markdown.ts";
import { formatFigure, formatRatio, median } from "../bench/_statistics.ts";

const MAX_CHART_BYTES = 60_000;

/** Longer than a frame of the chart's library. */
const FRAME_MS = 50;

/** Another contender whose figures are all one. */
function opponent(
  name: string,
  figure: number,
  ratio: number,
  more: Partial<Opponent> = {},
): Opponent {
  return { name, isOurs: false, ratio, ...summarize([figure]), ...more };
}

/** All but poolifier is behind. */
const WON: Measurement = {
  group: "Threads",
  question: "no-op tasks",
  unit: "/s",
  better: "higher",
  ours: { median: 438_912.4, min: 400_000.1, max: 1_440_000.6 },
  opponents: [
    opponent("piscina", 50_000.5, 8.78),
    opponent("poolifier", 219_456.2, 2),
    opponent("CPython", 100_000, 4.39),
  ],
  targets: [{ text: "at least 400,000 /s", isReached: true }],
};

/** Without poolifier, which cannot do it. */
const LOST: Measurement = {
  group: "Threads",
  question: "64 MB, moved",
  unit: "ms",
  better: "lower",
  ours: { median: 1.634, min: 1.2, max: 2 },
  opponents: [
    opponent("piscina", 0.817, 0.5, { way: "by hand" }),
    opponent("CPython", 0.0163, 0.01, { reason: "One heap." }),
  ],
  targets: [{ text: "at most 1 ms", isReached: false }],
};

/** Beside this module alone. */
const COST: Measurement = {
  group: "Functions",
  question: "a closure < a reference",
  unit: "µs",
  better: "lower",
  ours: { median: 4, min: 3, max: 5 },
  opponents: [opponent("reference", 1, 0.25, { isOurs: true })],
  targets: [],
};

const RESULTS: Results = {
  date: "2026-11-20",
  commit: "abc1234",
  isQuick: false,
  minutes: 8.25,
  machine: { cores: 2, cpu: "Abacus 9", os: "linux 6.1", arch: "x86_64" },
  versions: [["Deno", "2.9.6"], ["piscina", "5.3.2"], ["CPython", "3.14.0"]],
  hasPython: true,
  measurements: [WON, LOST, COST],
};

/** The same where there is no CPython. */
const WITHOUT_PYTHON: Results = {
  ...RESULTS,
  versions: RESULTS.versions.slice(0, 2),
  hasPython: false,
  measurements: RESULTS.measurements.map((measurement) => ({
    ...measurement,
    opponents: measurement.opponents.filter(({ name }) => name !== "CPython"),
  })),
};

/** What stands below a heading. */
function sectionOf(markdown: string, heading: string): string {
  const [, section] = markdown.split(`\n## ${heading}\n`);
  return section.split("\n## ")[0].trim();
}

/** The cells of a table's row, by the beginning of the first. */
function rowOf(section: string, start: string): string[] {
  const line = section.split("\n").find((line) =>
    line.startsWith(`| ${start}`)
  );
  return line!.split("|").slice(1, -1).map((cell) => cell.trim());
}

/** Draws, and returns once the timer that the library leaves behind, of a frame, is over. */
async function draw(results: Results): Promise<string> {
  const svg = renderChart(results);
  await delay(FRAME_MS);
  return svg;
}

Deno.test("median() is the middle, or between two", () => {
  assertEquals([median([9, 1, 5]), median([4, 1, 9, 2])], [5, 3]);
});

Deno.test("formatFigure() shows three digits, and counts as they are", () => {
  const figures = [0.01634, 1.634, 16, 163.4, 1_634.4, 20_000, 3_456_000];
  assertEquals(figures.map(formatFigure), [
    "0.0163",
    "1.63",
    "16",
    "163",
    "1,630",
    "20,000",
    "3.46 M",
  ]);
});

Deno.test("formatRatio() shows two digits at least", () => {
  const ratios = [0.00123, 0.5, 1, 9.876, 12.34, 870.4, Infinity];
  assertEquals(ratios.map(formatRatio), [
    "0.0012",
    "0.50",
    "1.00",
    "9.88",
    "12.3",
    "870",
    "∞",
  ]);
});

Deno.test("verdictOf() counts the same distance in both directions", () => {
  const ratios = [0.5, 1 / 1.03, 1 / 1.02, 1, 1.02, 1.03, Infinity];
  assertEquals(ratios.map(verdictOf), [
    "loses",
    "loses",
    "even",
    "even",
    "even",
    "wins",
    "wins",
  ]);
});

Deno.test("ratioOf() is the median of each repetition's ratio, above 1 where ours is better", () => {
  // The ratio of the medians would be 2.
  assertEquals(ratioOf([2, 4, 30], [1, 4, 2], "higher"), 2);
  assertEquals(ratioOf([1, 4, 6], [3, 2, 2], "higher"), 2);
  assertEquals(ratioOf([1, 4, 6], [3, 2, 2], "lower"), 0.5);
  assertEquals(ratioOf([20], [0], "higher"), Infinity);
});

Deno.test("bestPeerOf() is the peer with the lowest ratio, and never this module", () => {
  assertEquals(bestPeerOf(WON)?.name, "poolifier");
  assertEquals(bestPeerOf(LOST)?.name, "CPython");
  assertEquals(bestPeerOf(COST), undefined);
});

Deno.test("takeTurns() lets all take turns, and leaves out the first repetition", async () => {
  const calls: string[] = [];
  const contenders = ["a", "b"].map((name) =>
    contend(name, () => calls.push(name))
  );
  await takeTurns(2, contenders);
  assertEquals(calls.join(""), "ababab");
  assertEquals(contenders.map(({ figures }) => figures), [[3, 5], [4, 6]]);
});

Deno.test("conclude() sums up figures, and judges targets by them", () => {
  const subject = { ...contend("ours", () => 0), figures: [2, 1, 3] };
  const peer = { ...contend("a", () => 0, { way: "b" }), figures: [4, 4, 3] };
  const question = {
    group: "G",
    question: "Q",
    unit: "ms",
    better: "lower" as const,
  };
  const measured = conclude(question, subject, [peer], ({ ours }) => [
    { text: "at most 1 ms", isReached: ours.median <= 1 },
  ]);
  assertEquals(measured, {
    ...question,
    ours: { median: 2, min: 1, max: 3 },
    opponents: [{
      name: "a",
      way: "b",
      isOurs: false,
      reason: undefined,
      median: 4,
      min: 3,
      max: 4,
      ratio: 2,
    }],
    targets: [{ text: "at most 1 ms", isReached: false }],
  });
});

Deno.test("renderMarkdown() says what it was measured on", () => {
  const markdown = renderMarkdown(RESULTS);
  assertStringIncludes(markdown, "2026-11-20, commit abc1234; took 8.3 min");
  assertStringIncludes(markdown, "2 cores (Abacus 9), x86_64, linux 6.1");
  assertStringIncludes(markdown, "Deno 2.9.6, piscina 5.3.2, CPython 3.14.0");
  assertStringIncludes(markdown, "(./results.svg)");
  assert(!markdown.includes("quick run"));
  assert(!markdown.includes("no `python3`"));
});

Deno.test("renderMarkdown() says where the CPU, the commit or python3 is not known", () => {
  const { cpu: _, ...machine } = RESULTS.machine;
  const markdown = renderMarkdown({
    ...WITHOUT_PYTHON,
    machine,
    commit: undefined,
    isQuick: true,
  });
  assertStringIncludes(markdown, "commit unknown");
  assertStringIncludes(markdown, "- 2 cores, x86_64");
  assertStringIncludes(markdown, "There is no `python3` here");
  assertStringIncludes(markdown, "**A quick run**");
  assert(!markdown.includes("undefined"));
});

Deno.test("renderMarkdown() shows every peer in a column, and the verdict on the best", () => {
  const section = sectionOf(renderMarkdown(RESULTS), "Threads");
  assertEquals(rowOf(section, "question"), [
    "question",
    "ours",
    "piscina",
    "poolifier",
    "CPython",
    "ratio to the best peer",
    "verdict",
  ]);
  assertEquals(rowOf(section, "no-op"), [
    "no-op tasks (/s, higher is better)",
    "**439,000**",
    "50,000",
    "219,000",
    "100,000",
    "2.00, poolifier",
    "wins",
  ]);
  assertEquals(rowOf(section, "64 MB"), [
    "64 MB, moved (ms, lower is better)",
    "**1.63**",
    "0.817, by hand",
    "–",
    "0.0163",
    "0.010, CPython",
    "**loses**",
  ]);
  assertStringIncludes(section, "no-op tasks, at least 400,000 /s: yes");
  assertStringIncludes(section, "64 MB, moved, at most 1 ms: **no**");
});

Deno.test("renderMarkdown() gives no verdict on this module beside itself", () => {
  const markdown = renderMarkdown(RESULTS);
  const section = sectionOf(markdown, "Functions");
  assertEquals(rowOf(section, "question"), ["question", "ours", "_reference_"]);
  assertStringIncludes(
    markdown,
    "Of 2 questions with peers, this module wins 1, is even in 0, and loses 1.",
  );
});

Deno.test("renderMarkdown() says where we lose, by how much, and why", () => {
  assertEquals(
    sectionOf(renderMarkdown(RESULTS), "Where we lose"),
    "- **Threads: 64 MB, moved**, 1.63 ms: 100 times behind CPython (0.0163 ms), " +
      "2.00 times behind piscina, by hand (0.817 ms). One heap. Not explained yet.",
  );
  const measurements = [WON, COST];
  assertEquals(
    sectionOf(renderMarkdown({ ...RESULTS, measurements }), "Where we lose"),
    "Nowhere, in this run.",
  );
});

Deno.test("renderMarkdown() has no column for a peer that is not there", () => {
  const markdown = renderMarkdown(WITHOUT_PYTHON);
  const section = sectionOf(markdown, "Threads");
  assertEquals(rowOf(section, "question").slice(2, 4), [
    "piscina",
    "poolifier",
  ]);
  assertEquals(rowOf(section, "64 MB").slice(-2), [
    "0.50, piscina",
    "**loses**",
  ]);
});

Deno.test("renderMarkdown() shows the lowest and the highest of every contender", () => {
  const section = sectionOf(renderMarkdown(RESULTS), "Every figure");
  assertEquals(rowOf(section, "Threads: no-op"), [
    "Threads: no-op tasks",
    "ours",
    "439,000 /s",
    "400,000",
    "1.44 M",
    "",
  ]);
  const opponents = RESULTS.measurements.flatMap(({ opponents }) => opponents);
  const lines = section.split("\n").filter((line) => line.startsWith("|  |"));
  assertEquals(lines.length, opponents.length);
});

Deno.test("renderQueueMarkdown() shows the same tables, and how contenders were set up", () => {
  const markdown = renderQueueMarkdown({ ...RESULTS, isQuick: true });
  assertStringIncludes(markdown, "2026-11-20, commit abc1234; took 8.3 min");
  assertStringIncludes(markdown, "**A quick run**");
  assertStringIncludes(markdown, "this module wins 1, is even in 0");
  assertEquals(
    sectionOf(markdown, "Threads"),
    sectionOf(renderMarkdown(RESULTS), "Threads"),
  );
  assertStringIncludes(
    sectionOf(markdown, "How they were set up"),
    "`appendonly yes`",
  );
  assert(!markdown.includes("undefined"));
});

Deno.test("renderLines() tells the terminal of each contender and target", () => {
  assertEquals(renderLines(LOST), [
    "  Threads: 64 MB, moved: 1.63 ms",
    "    piscina, by hand: 0.817 ms, ratio 0.50, loses",
    "    CPython: 0.0163 ms, ratio 0.010, loses",
    "    target, at most 1 ms: NO",
  ]);
  assertEquals(renderLines(COST)[1], "    reference: 1 µs, ratio 0.25");
});

Deno.test("renderChart() draws each question that has a peer, with its ratio", async () => {
  const svg = await draw(RESULTS);
  assertMatch(svg, /^<!-- deno-fmt-ignore-file -->\n<svg [^]*<\/svg>\n$/);
  for (
    const text of [
      "Threads",
      "no-op tasks",
      "2.00",
      "439,000 : 219,000 /s, poolifier",
      "64 MB, moved",
      "0.010 loses",
      "1.63 : 0.0163 ms, CPython",
    ]
  ) assertStringIncludes(svg, `>${text}</text>`);
  assert(!svg.includes("a closure"));
  assert(!/NaN|undefined|null/.test(svg));
});

Deno.test("renderChart() draws the same for the same results", async () => {
  const svg = await draw(RESULTS);
  assertEquals(await draw(structuredClone(RESULTS)), svg);
});

Deno.test("renderChart() draws a bar to the left, in another color, for a loss", async () => {
  const bars = (await draw(RESULTS)).matchAll(
    /<path d="M[\d.]+ [\d.]+l(-?)[\d.]+ [^"]*Z" fill="(#\w+)"/g,
  );
  const [won, lost] = [...bars].map(([, sign, color]) => ({ sign, color }));
  assertEquals([won.sign, lost.sign], ["", "-"]);
  assert(won.color !== lost.color);
});

Deno.test("renderChart() names no peer that is not there", async () => {
  const svg = await draw(WITHOUT_PYTHON);
  assert(!svg.includes("CPython"));
  assertStringIncludes(svg, ">0.50 loses</text>");
});

Deno.test("renderChart() draws many questions, and endless ratios, in a small file", async () => {
  const endless = {
    ...WON,
    question: "a < b & c",
    opponents: [opponent("piscina", 0, Infinity)],
  };
  const measurements = Array.from({ length: 20 }, () => [WON, LOST, endless])
    .flat();
  const svg = await draw({ ...RESULTS, measurements });
  assert(svg.length < MAX_CHART_BYTES, `${svg.length} bytes`);
  assertStringIncludes(svg, ">∞</text>");
  assertStringIncludes(svg, "a &lt; b &amp; c");
  assert(!/NaN|Infinity/.test(svg));
});

Deno.test("renderChart() draws nothing where nothing was measured", async () => {
  const svg = await draw({ ...RESULTS, measurements: [] });
  assertMatch(svg, /<svg [^]*<\/svg>\n$/);
});
