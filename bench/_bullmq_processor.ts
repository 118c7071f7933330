/**
 * What a worker of BullMQ does with a job: a file of its own, as BullMQ loads it
 * by itself where jobs run in threads.
 *
 * @module
 */

import * as tasks from "./_queue_tasks.ts";

/** A job that is one of the tasks; its data are the arguments. */
export interface TaskJob {
  readonly name: string;
  readonly data: readonly unknown[];
}

/** Runs the task that a job names. */
export default async function run({ name, data }: TaskJob): Promise<unknown> {
  const task = tasks[name as keyof typeof tasks] as (
    ...args: readonly unknown[]
  ) => unknown;
  return await task(...data);
}
