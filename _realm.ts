/**
 * What this thread is to the pools in it.
 *
 * @module
 */

/** Set while a worker imports a module for a task: see `checkNotImporting`. */
export const realm: {
  importing: string | undefined;
  /** The source texts of the built-ins in whose place a worker has put its own. */
  readonly replaced: Map<unknown, string>;
} = {
  importing: undefined,
  replaced: new Map(),
};
