/**
 * The tasks as piscina wants them: named exports of the worker's file.
 *
 * @module
 */

import { move as transfer } from "npm:piscina@5.3.2";

export * from "./_tasks.ts";

/** Sends a buffer back by transfer. */
export function move(buffer: ArrayBuffer): unknown {
  return transfer(buffer);
}
