/**
 * What this thread is to the pools in it.
 *
 * @module
 */

/** Set while a worker imports a module for a task: see `assertNotImporting`. */
export const realm: { importing: string | undefined } = {
  importing: undefined,
};
