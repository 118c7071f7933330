/**
 * What the programs have in common that measure and write a report: the command
 * line, and the way from contenders to figures.
 *
 * @module
 */

import { FULL, type Measurements, QUICK } from "./_contest.ts";
import { renderLines } from "./_markdown.ts";
import type { Measurement } from "./_measurement.ts";
import { print } from "./_print.ts";

/** The command line. */
export interface Arguments {
  /** Measurements, or groups of them; all where it is empty. */
  readonly names: readonly string[];
  readonly isQuick: boolean;
}

const FLAG = "--quick";

/**
 * Reads the command line.
 *
 * @param known All names of measurements.
 * @throws {TypeError} If there is anything else.
 */
export function parse(
  args: readonly string[],
  known: readonly string[],
): Arguments {
  const names = args.filter((arg) => arg !== FLAG);
  for (const name of names) {
    if (!known.some((one) => isWanted([name], one))) {
      throw new TypeError(
        `Cannot measure as there is no such name or flag: "${name}"`,
      );
    }
  }
  return { names, isQuick: args.includes(FLAG) };
}

/** Whether a measurement is named, by its own name or that of its group. */
function isWanted(names: readonly string[], name: string): boolean {
  return names.length === 0 ||
    names.some((wanted) => name === wanted || name.startsWith(`${wanted}-`));
}

/** Starts contenders, asks them what is wanted, and ends them. */
export async function measureWith<Contenders>(
  measurements: Measurements<Contenders>,
  open: () => Promise<Contenders>,
  stop: (contenders: Contenders) => Promise<void>,
  { names, isQuick }: Arguments,
): Promise<Measurement[]> {
  const wanted = Object.entries(measurements)
    .filter(([name]) => isWanted(names, name));
  if (wanted.length === 0) return [];
  const contenders = await open();
  try {
    const found: Measurement[] = [];
    for (const [name, measure] of wanted) {
      print(`${name} ...`);
      const started = performance.now();
      const here = await measure(contenders, isQuick ? QUICK : FULL);
      for (const line of here.flatMap(renderLines)) print(line);
      print(`  took ${((performance.now() - started) / 1e3).toFixed(1)} s`);
      found.push(...here);
    }
    return found;
  } finally {
    await stop(contenders); // what runs in other processes would outlive this one
  }
}

/** Says once more, at the end, which targets were not reached. */
export function printMissed(measurements: readonly Measurement[]): void {
  const missed = measurements.flatMap(({ group, question, targets }) =>
    targets.filter(({ isReached }) => !isReached)
      .map(({ text }) => `${group}: ${question}: ${text}`)
  );
  for (const target of missed) print(`NOT REACHED: ${target}`);
}
