/**
 * What may be left of the soak when all pools are shut down, and what not.
 *
 * @module
 */

import { formatBytes, type Handles } from "./_handles.ts";

/**
 * What the heap may have grown by, both measured after a collection with no pool left. At rest it
 * stays the same within 1 MB over tens of pools (Deno 2.9.6, x86-64 Linux, 2026-11); the rest is for
 * what V8 compiles and learns of code that is run late. A hundred bytes a task that stay are more
 * than that after 50,000 tasks.
 */
const HEAP_BYTES = 5e6;

/**
 * What resident memory may have grown by, where what is free was given back to the system
 * (`measure`). After a minute it was 24 MB more than at the start, after five 84, after fifteen 13
 * less: what threads have left in the allocator's pieces comes and goes (Deno 2.9.6, x86-64 Linux,
 * 2026-11). Messages that nobody read, whose memory Deno keeps, were 500 MB in ten minutes.
 */
const RSS_BYTES = 150e6;

/** Says which handles are left that must not be; nothing where all is well. */
export function judgeHandles(start: Handles, end: Handles): string[] {
  return [
    grow("file descriptors", start.fds, end.fds),
    grow("threads", start.threads, end.threads),
    grow("child processes", 0, end.children),
  ].filter((wrong) => wrong !== undefined);
}

function grow(what: string, before?: number, after?: number) {
  if (before === undefined || after === undefined || after <= before) return;
  return `${what} must not grow: from ${before} to ${after}`;
}

/** Says which memory has grown by more than it may; nothing where all is well. */
export function judgeMemory(start: Handles, end: Handles): string[] {
  // without a collection garbage counts as well, which says nothing
  const canCollect = (globalThis as { gc?: unknown }).gc !== undefined;
  return [
    canCollect
      ? weigh("heap", HEAP_BYTES, start.heapBytes, end.heapBytes)
      : undefined,
    weigh("resident memory", RSS_BYTES, start.rssBytes, end.rssBytes),
  ].filter((wrong) => wrong !== undefined);
}

function weigh(what: string, most: number, before: number, after: number) {
  if (after - before <= most) return;
  return `${what} must grow by ${formatBytes(most)} at most: from ${
    formatBytes(before)
  } to ${formatBytes(after)}`;
}
