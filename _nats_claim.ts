/**
 * Who starts a task: one write decides between the nodes, and between a node and
 * a caller that cancels. See `_nats_protocol.ts`.
 *
 * @module
 */

import { readStart, type Start, writeStart } from "./_nats_protocol.ts";
import { ApiError, isApiError, type Store } from "./_nats_store.ts";

/** A node that wants to start a task. */
export interface Claimant {
  readonly node: string;
  /** Tells it from a node of that name before it. */
  readonly life: string;
  /** Which delivery it was given. */
  readonly attempt: number;
}

/** How often others may come first before it is left for a while. */
const MOST_ROUNDS = 20;

/** Whether another message was there before. */
export function isTooLate(error: unknown): boolean {
  return isApiError(error, ApiError.WRONG_LAST_SEQUENCE);
}

/**
 * Claims a task; may be called again where it is not known what came of it.
 *
 * @param id The task's id.
 * @param key Its key in the bucket of starts.
 * @returns Whether this node is to run it: not where it was cancelled, or is over.
 */
export async function claim(
  store: Store,
  id: string,
  key: string,
  claimant: Claimant,
): Promise<boolean> {
  let revision = 0;
  for (let round = 0; round < MOST_ROUNDS; round++) {
    try {
      await write(store, key, claimant, revision);
      return true;
    } catch (error) {
      if (!isTooLate(error)) throw error;
    }
    const entry = await store.starts.get(key);
    if (entry !== null) {
      const start = readStart(entry.value);
      if (start !== undefined && start.state !== "started") return false;
      if (await hasResult(store, id)) return false;
      if (start !== undefined && isOf(start, claimant)) return true;
    }
    revision = entry?.revision ?? 0;
  }
  throw new Error("others write the entry of this task all the time");
}

/** Who has a bundle: this node; nobody any more; or another node, which is dead. */
export type BundleClaim = "ours" | "over" | "lost";

/** Claims a bundle: the first node that is given it runs it, nobody else ever does. */
export async function claimBundle(
  store: Store,
  key: string,
  claimant: Claimant,
): Promise<BundleClaim> {
  for (let round = 0; round < MOST_ROUNDS; round++) {
    try {
      await write(store, key, claimant, 0);
      return "ours";
    } catch (error) {
      if (!isTooLate(error)) throw error;
    }
    const entry = await store.starts.get(key);
    const start = entry === null ? undefined : readStart(entry.value);
    if (start === undefined) continue; // it has expired just now
    if (start.state !== "started") return "over";
    return isOf(start, claimant) ? "ours" : "lost";
  }
  throw new Error("the entry of this bundle comes and goes");
}

/** Whether it was written before, by an attempt whose answer got lost. */
function isOf(
  start: Start & { readonly state: "started" },
  { node, life, attempt }: Claimant,
): boolean {
  return start.node === node && start.life === life &&
    start.attempt === attempt;
}

async function write(
  { publisher, names }: Store,
  key: string,
  claimant: Claimant,
  revision: number,
): Promise<void> {
  const start = writeStart({ state: "started", ...claimant });
  await publisher.publish(names.start(key), start, { last: revision });
}

/** Whether a task has a result. */
export async function hasResult(
  { jsm, names }: Store,
  id: string,
): Promise<boolean> {
  try {
    const found = await jsm.streams.getMessage(names.results, {
      last_by_subj: names.result(id),
    });
    return found !== null;
  } catch (error) {
    if (isApiError(error, ApiError.NO_MESSAGE)) return false;
    throw error;
  }
}

/** What became of a claim while its task runs. */
export type Claimed = "held" | "stopped";

/**
 * Looks after the entry of a task that runs: it must not expire meanwhile, and
 * tells whether an order to stop got lost.
 *
 * @param isOld Whether the entry is to be written anew.
 */
export async function renewClaim(
  store: Store,
  key: string,
  claimant: Claimant,
  isOld: boolean,
): Promise<Claimed> {
  const entry = await store.starts.get(key);
  const start = entry === null ? undefined : readStart(entry.value);
  if (start?.state === "stopped") return "stopped";
  const isOwn = start === undefined ||
    start.state === "started" && isOf(start, claimant);
  if (isOwn && (isOld || entry === null)) {
    try {
      await write(store, key, claimant, entry?.revision ?? 0);
    } catch (error) {
      if (!isTooLate(error)) throw error; // else there is another one, to be read next time
    }
  }
  return "held";
}
