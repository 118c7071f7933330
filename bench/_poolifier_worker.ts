/**
 * The tasks as poolifier wants them: the default export of the worker's file.
 *
 * @module
 */

import { type TaskFunctions, ThreadWorker } from "npm:poolifier@5.3.2";
import { TASKS } from "./_tasks.ts";

const worker: unknown = new ThreadWorker(TASKS as unknown as TaskFunctions);

export default worker;
