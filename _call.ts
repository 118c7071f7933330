/**
 * How a worker calls a function once for each row of a chunk.
 *
 * @module
 */

import type { Loaded } from "./_loader.ts";

/** The values of a chunk, and what the next call threw. */
export class ChunkResult {
  readonly #brand = true;

  /** Tells one apart; `instanceof` would ask a proxy that a call returned. */
  static is(value: unknown): value is ChunkResult {
    return typeof value === "object" && value !== null && #brand in value;
  }

  readonly values: unknown[] = [];
  thrown: [error: unknown] | undefined;
}

/** Calls once for each row of the columns, up to the first call that throws. */
export function callChunk(
  loaded: Loaded,
  columns: unknown[][],
): ChunkResult | Promise<ChunkResult> {
  const result = new ChunkResult();
  const rows = columns[0].length;
  for (let row = 0; row < rows; row++) {
    try {
      const value = loaded.call(columns.map((column) => column[row]));
      if (isThenable(value)) {
        return finishChunk(loaded, columns, row, value, result);
      }
      result.values.push(value);
    } catch (error) {
      result.thrown = [error];
      break;
    }
  }
  return result;
}

/** Goes on with a chunk whose call for `row` returned a promise. */
async function finishChunk(
  loaded: Loaded,
  columns: unknown[][],
  row: number,
  value: unknown,
  result: ChunkResult,
): Promise<ChunkResult> {
  try {
    result.values.push(await value);
    for (let next = row + 1; next < columns[0].length; next++) {
      result.values.push(
        await loaded.call(columns.map((column) => column[next])),
      );
    }
  } catch (error) {
    result.thrown = [error];
  }
  return result;
}

/** Tells whether a call goes on after it has returned. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (typeof value === "object" || typeof value === "function") &&
    value !== null &&
    typeof (value as PromiseLike<unknown>).then === "function";
}
