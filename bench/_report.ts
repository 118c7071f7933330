/**
 * Medians and tables for the scripts that are no `deno bench` files.
 *
 * @module
 */

/** The middle value: less moved by one slow repetition than a mean. */
export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? sorted[middle]
    : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Prints rows as a Markdown table, the first row its heading. */
export function printTable(rows: string[][]): void {
  const widths = rows[0].map((_, column) =>
    Math.max(3, ...rows.map((row) => row[column].length))
  );
  const lines = rows.map((row) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(" | ")} |`
  );
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  print([lines[0], rule, ...lines.slice(1)].join("\n"));
}

/** Prints one line. */
export function print(line: string): void {
  // deno-lint-ignore no-console
  console.log(line);
}

/** A whole number with commas. */
export function whole(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** What a table was measured on, in one line. */
export function describeMachine(): string {
  const { arch, os } = Deno.build;
  return `Deno ${Deno.version.deno} (V8 ${Deno.version.v8}), ${arch} ${os}, ` +
    `${navigator.hardwareConcurrency} cores, ${
      new Date().toISOString().slice(0, 10)
    }`;
}
