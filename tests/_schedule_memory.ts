/**
 * What the explorer of schedules (`_schedule.ts`) and its actors share.
 *
 * @module
 */

/** Word offsets. */
export const Word = {
  /** Number of the execution under way. */
  RUN: 0,
  /** Position in the trace. */
  POSITION: 1,
  /** How many choices are given; the actors choose the rest. */
  GIVEN: 2,
  /** Actors that need not be chosen, as a set of bits; put in force at the last given choice. */
  ASLEEP_THEN: 3,
  ASLEEP: 4,
  /** A `Verdict`. */
  VERDICT: 5,
  /** Orders those who wait. */
  SEQUENCE: 6,
  /** Who moved last. */
  CURRENT: 7,
  /** 1 where naps may end by themselves. */
  TIMES_OUT: 8,
  /** Seed for choices at random; 0 for none. */
  SEED: 10,
  /** Changes when an actor has something to tell the explorer. */
  TOLD: 11,
  ACTORS: 16,
  TRACE: 128,
  WORDS: 128 + (1 << 13) * 5,
} as const;

/** Words of an actor. */
export const Actor = {
  /** A `Status`. */
  STATUS: 0,
  /** What it does next: an `Effect`, and where. */
  EFFECT: 1,
  PLACE: 2,
  /** Where it waits and since when, in its thread and in its event loop; 0 for nowhere. */
  WAITS_AT: 3,
  SINCE: 4,
  LISTENS_AT: 5,
  LISTENS_SINCE: 6,
  /** 1 once it may go on. */
  GATE: 7,
  /** 1 where its wait has a time limit. */
  HAS_LIMIT: 8,
  /** Number of the execution that it may set up; -1 ends it. */
  START: 9,
  WORDS: 16,
} as const;

/** Words of a choice. */
export const Choice = {
  CHOSEN: 0,
  /** Sets of actors, as bits. */
  ENABLED: 1,
  ASLEEP: 2,
  /** Who could have gone on without a switch; -1 for nobody. */
  CURRENT: 3,
  /** The step: `effect << 28 | place`. */
  STEP: 4,
  WORDS: 5,
} as const;

/** Bytes of an actor's notes: their number, then numbers. */
export const NOTES_BYTES = 256;

/** Longest trace. */
export const MOST_STEPS = 1 << 13;

/** What an actor is doing. */
export const Status = { OUT: 0, READY: 1, WAITING: 2, DONE: 3 } as const;

/** What a step does to its place. */
export const Effect = {
  /** To none: it commutes with every step. */
  NONE: 0,
  READ: 1,
  WRITE: 2,
  WAIT: 3,
  NOTIFY: 4,
} as const;

/** How an execution ended. */
export const Verdict = {
  OPEN: 0,
  COMPLETE: 1,
  /** Somebody waits whom nobody will wake. */
  STUCK: 2,
  /** Another execution has the same steps in an order that makes no difference. */
  CUT: 3,
  FAILED: 4,
  TOO_LONG: 5,
} as const;

/** The shared buffers that steps are named after. */
export const BUFFERS = [
  "none",
  "control",
  "bell",
  "ring",
  "chunk",
  "child",
  "mail",
] as const;

/** A kind of shared buffer. */
export type BufferName = typeof BUFFERS[number];

/** Of a place: the buffer's kind, which one of it, and which word. */
export function placeOf(name: BufferName, number: number, index: number) {
  return BUFFERS.indexOf(name) << 22 | number << 16 | index;
}

/** Whether two steps of different actors must be tried in both orders. */
export function areDependent(
  effect: number,
  place: number,
  otherEffect: number,
  otherPlace: number,
): boolean {
  if (effect === Effect.NONE || otherEffect === Effect.NONE) return false;
  if (place !== otherPlace) return false;
  return effect !== Effect.READ || otherEffect !== Effect.READ;
}
