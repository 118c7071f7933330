/**
 * Tasks of the scenarios in `resources.ts`.
 *
 * @module
 */

import { collectUntil, type Kind, makePool } from "./_resource_report.ts";
import { formatHandles, measure } from "./_handles.ts";

/** Returns what it is given. */
export function same(value: number): number {
  return value;
}

/** What became of a pool that a task dropped. */
export interface Inner {
  /** Whether its workers have ended. */
  readonly isGone: boolean;
  readonly before: string;
  readonly after: string;
}

/** Makes a pool in a worker, drops it, and waits for the end of its workers. */
export async function dropInner(kind: Kind): Promise<Inner> {
  const before = measure();
  await useAndDrop(kind);
  const isGone = await collectUntil(() => {
    const { threads = 0, children = 0 } = measure();
    return threads <= before.threads! && children <= before.children!;
  });
  return {
    isGone,
    before: formatHandles(before),
    after: formatHandles(measure()),
  };
}

async function useAndDrop(kind: Kind): Promise<void> {
  const pool = makePool(kind, { maxWorkers: 2 });
  await Promise.all([pool.submit(same, 1), pool.submit(same, 2)]);
}
