/**
 * The results as Markdown: `RESULTS.md`, and the lines that go to the terminal.
 *
 * @module
 */

import {
  bestPeerOf,
  EVEN_WITHIN,
  type Figures,
  lossesOf,
  type Measurement,
  type Opponent,
  type Results,
  verdictOf,
} from "./_measurement.ts";
import { formatFigure, formatRatio } from "./_statistics.ts";

/** The column of this module. */
const OURS = "ours";

/** Where something was not measured, or has no verdict. */
const NOTHING = "–";

/** A generated file is no business of `deno fmt`. */
const HEADER =
  "<!-- deno-fmt-ignore-file -->\n<!-- Written by `deno task bench`. -->";

/** Above a report that is none. */
export const QUICK_RUN =
  "> **A quick run**, one repetition each: not to be quoted.";

/** What the figures of a report are. */
export const HOW_TO_READ =
  `All take turns at the same work, and every result is checked. Figures are medians. A ratio says how many times as good as a peer this module is, above 1 where it is ahead: the median of the ratios of each repetition. The verdict is on the peer that does best; within ${
    EVEN_WITHIN * 100
  } % is even.`;

const ALT =
  "How many times as good as its best peer this module is, question by question";

/** Makes the whole report. */
export function renderMarkdown(results: Results): string {
  const { measurements } = results;
  return [
    HEADER,
    "# Results",
    ...renderHead(results),
    renderScore(measurements),
    `![${ALT}](./results.svg)`,
    ...renderBody(measurements),
    "## Again on your machine",
    "`deno task bench` measures all of this and writes this file. `deno task bench thread-map process` measures only what is named, and writes nothing. With `--quick` everything has one turn: to see that it works, not for figures.",
  ].join("\n\n") + "\n";
}

function renderHead(results: Results): string[] {
  return [
    ...results.isQuick ? [QUICK_RUN] : [],
    [
      renderRun(results),
      ...results.hasPython
        ? []
        : ["- There is no `python3` here: CPython was not measured"],
    ].join("\n"),
    `Two workers each. ${HOW_TO_READ}`,
  ];
}

/** What a run was made on. */
export function renderRun(
  { date, commit, minutes, machine, versions }: Omit<Results, "hasPython">,
): string {
  const { cores, cpu, os, arch } = machine;
  return [
    `- ${date}, commit ${commit ?? "unknown"}; took ${
      minutes.toFixed(1)
    } minutes`,
    `- ${cores} cores${cpu === undefined ? "" : ` (${cpu})`}, ${arch}, ${os}`,
    `- ${versions.map(([name, version]) => `${name} ${version}`).join(", ")}`,
  ].join("\n");
}

/** Where we lose, a section a group, and every figure. */
export function renderBody(measurements: readonly Measurement[]): string[] {
  return [
    "## Where we lose",
    renderLosses(measurements),
    ...[...Map.groupBy(measurements, ({ group }) => group)].flatMap(
      ([group, members]) => [
        `## ${group}`,
        renderGroup(members),
        ...renderTargets(members),
      ],
    ),
    "## Every figure",
    "Median, lowest and highest of the repetitions. In _italics_: this module again, used in another way.",
    `<details>\n<summary>Show</summary>\n\n${
      renderFigures(measurements)
    }\n\n</details>`,
  ];
}

/** How many questions are won and lost. */
export function renderScore(measurements: readonly Measurement[]): string {
  const verdicts = measurements.map(bestPeerOf)
    .filter((best) => best !== undefined)
    .map(({ ratio }) => verdictOf(ratio));
  const count = (verdict: string) =>
    verdicts.filter((one) => one === verdict).length;
  return `Of ${verdicts.length} questions with peers, this module wins ${
    count("wins")
  }, is even in ${count("even")}, and loses ${count("loses")}.`;
}

/** A table with a column a contender. */
function renderGroup(members: readonly Measurement[]): string {
  const names = headingsOf(members);
  const hasPeers = members.some((member) => bestPeerOf(member) !== undefined);
  return renderTable([
    [
      "question",
      OURS,
      ...names,
      ...hasPeers ? ["ratio to the best peer", "verdict"] : [],
    ],
    ...members.map((member) => [
      `${member.question} (${member.unit}, ${member.better} is better)`,
      `**${formatFigure(member.ours.median)}**`,
      ...names.map((name) => formatCell(member, name)),
      ...hasPeers ? formatVerdict(bestPeerOf(member)) : [],
    ]),
  ]);
}

/** The contenders of a group, in the order in which they come, ourselves last. */
function headingsOf(members: readonly Measurement[]): string[] {
  const opponents = members.flatMap(({ opponents }) => opponents)
    .toSorted((a, b) => Number(a.isOurs) - Number(b.isOurs));
  return [...new Set(opponents.map(headingOf))];
}

function headingOf({ name, isOurs }: Opponent): string {
  return isOurs ? `_${name}_` : name;
}

function formatCell({ opponents }: Measurement, heading: string): string {
  const opponent = opponents.find((one) => headingOf(one) === heading);
  if (opponent === undefined) return NOTHING;
  return withWay(formatFigure(opponent.median), opponent);
}

function withWay(text: string, { way }: Opponent): string {
  return way === undefined ? text : `${text}, ${way}`;
}

/** The last cells of a row; a loss stands out. */
function formatVerdict(best: Opponent | undefined): string[] {
  if (best === undefined) return [NOTHING, NOTHING];
  const verdict = verdictOf(best.ratio);
  return [
    `${formatRatio(best.ratio)}, ${best.name}`,
    verdict === "loses" ? `**${verdict}**` : verdict,
  ];
}

/** What was promised, below its table; nothing where nothing was. */
function renderTargets(members: readonly Measurement[]): string[] {
  const lines = members.flatMap(({ question, targets }) =>
    targets.map(({ text, isReached }) =>
      `- ${question}, ${text}: ${isReached ? "yes" : "**no**"}`
    )
  );
  return lines.length === 0
    ? []
    : ["Targets, and whether they are reached:", lines.join("\n")];
}

/** All peers that are ahead, not the best alone, and why; the worst first. */
function renderLosses(measurements: readonly Measurement[]): string {
  const losses = Map.groupBy(
    lossesOf(measurements),
    ([measurement]) => measurement,
  );
  if (losses.size === 0) return "Nowhere, in this run.";
  return [...losses].map(([{ group, question, unit, ours }, pairs]) => {
    const opponents = pairs.map(([, opponent]) => opponent);
    const behind = opponents.map((opponent) =>
      `${formatRatio(1 / opponent.ratio)} times behind ${
        withWay(opponent.name, opponent)
      } (${formatFigure(opponent.median)} ${unit})`
    );
    const reasons = new Set(
      opponents.map(({ reason }) => reason ?? "Not explained yet."),
    );
    return `- **${group}: ${question}**, ${
      formatFigure(ours.median)
    } ${unit}: ${behind.join(", ")}. ${[...reasons].join(" ")}`;
  }).join("\n");
}

function renderFigures(measurements: readonly Measurement[]): string {
  return renderTable([
    ["question", "contender", "median", "lowest", "highest", "ratio"],
    ...measurements.flatMap(({ group, question, unit, ours, opponents }) => [
      [`${group}: ${question}`, OURS, ...formatSpread(ours, unit), ""],
      ...opponents.map((opponent) => [
        "",
        withWay(headingOf(opponent), opponent),
        ...formatSpread(opponent, unit),
        formatRatio(opponent.ratio),
      ]),
    ]),
  ]);
}

function formatSpread({ median, min, max }: Figures, unit: string): string[] {
  return [
    `${formatFigure(median)} ${unit}`,
    formatFigure(min),
    formatFigure(max),
  ];
}

/** A table, the first row its heading. */
function renderTable(rows: readonly (readonly string[])[]): string {
  const [heading, ...lines] = rows.map((cells) => `| ${cells.join(" | ")} |`);
  const rule = `|${" --- |".repeat(rows[0].length)}`;
  return [heading, rule, ...lines].join("\n");
}

/** What the terminal is told of a measurement, as soon as it is there. */
export function renderLines(measurement: Measurement): string[] {
  const { group, question, unit, ours, opponents, targets } = measurement;
  return [
    `  ${group}: ${question}: ${formatFigure(ours.median)} ${unit}`,
    ...opponents.map((opponent) => {
      const { name, median, isOurs, ratio } = opponent;
      const verdict = isOurs ? "" : `, ${verdictOf(ratio)}`;
      return `    ${withWay(name, opponent)}: ${
        formatFigure(median)
      } ${unit}, ratio ${formatRatio(ratio)}${verdict}`;
    }),
    ...targets.map(({ text, isReached }) =>
      `    target, ${text}: ${isReached ? "yes" : "NO"}`
    ),
  ];
}
