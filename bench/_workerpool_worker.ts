/**
 * The tasks as workerpool wants them: registered by the worker's file.
 *
 * @module
 */

import workerpool from "npm:workerpool@10.0.3";
import { TASKS } from "./_tasks.ts";

workerpool.worker({
  ...TASKS,
  move: (buffer: ArrayBuffer) => new workerpool.Transfer(buffer, [buffer]),
});
