/**
 * What `progress` may ask of iterators and users may not.
 *
 * `_map_results.ts` and `wait.ts` fill the table from inside of their classes,
 * so that none of it shows there, and who follows nothing pays nothing.
 *
 * @module
 */

import type { Tally } from "./_tally.ts";

/** Starts to count what becomes of an iterator's calls or futures; `undefined` where it is of another kind. */
export type Follow = (iterator: object) => Tally | undefined;

/** The table; empty until the modules of the iterators have been evaluated. */
export interface ProgressAccess {
  /** For the iterators of `map`. */
  followMap?: Follow;
  /** For the iterators of `asCompleted`. */
  followCompletions?: Follow;
}

/** The table. */
export const progressAccess: ProgressAccess = {};
