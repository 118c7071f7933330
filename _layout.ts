/**
 * The transport's one description: what lies where in the memory that an
 * owner (the thread that made the pool) shares with the pool's workers.
 *
 * ```text
 *            control block            chunks                    result ring
 *           +-------------+   +---------------------+         +--------------+
 *  owner -> | TAIL   HEAD | <- worker 1, 2, 3 ...   |  owner <- | READ  WRITE | <- worker n
 *           +-------------+   | task ring: pointers |         | messages     |
 *                 |           | task records        |         +--------------+
 *                 +---------> | payloads            |          one a worker
 *                             +---------------------+
 * ```
 *
 * **Parties.** One owner publishes tasks and alone allocates chunks. Many
 * workers claim tasks, each the next in order. Each worker writes its own
 * result ring, which the owner alone reads. Nobody holds a lock.
 *
 * **A task's life.** Its record's `STATE` word decides every race:
 *
 * ```text
 *               worker: claims               worker: has the outcome
 *   PENDING ------------------> RUNNING+w --------------------------> DONE
 *      |                            |
 *      | owner: cancel()            | owner: signal, time limit
 *      v                            v
 *   CANCELLED                    STOPPED
 *      |
 *      | worker: came upon it; owner: took it back
 *      v
 *   SKIPPED: the record's memory may be used again
 * ```
 *
 * Each arrow is one `compareExchange`, so of two that want to leave a state
 * exactly one does. A worker that loses `PENDING` goes on to the next task; an
 * owner that loses it knows that the task runs. A worker that loses `RUNNING`
 * drops its outcome and closes; an owner that loses it
 * knows that the outcome is on its way.
 *
 * | STATE       | what is true in it                                                  | who may leave it, and when                                      |
 * | ----------- | ------------------------------------------------------------------- | --------------------------------------------------------------- |
 * | `PENDING`   | the ring points to it, or one who is claiming it, or the manager's backlog    | a worker that claims it; the manager; the owner, to cancel it   |
 * | `SENT+w`    | process `w` has it, or is about to, behind another                  | the manager, when it is its turn, was not sent, or came back; the owner, when the pool breaks |
 * | `RUNNING+w` | worker `w` calls it, and nobody else ever does                      | `w`, with the outcome or as it dies; the owner, to stop it      |
 * | `DONE`      | the outcome, or that `w` is dead, is in its ring or will be at once | nobody                                                          |
 * | `CANCELLED` | the future is cancelled; the ring may still point to it             | who comes upon the pointer                                      |
 * | `STOPPED`   | the future is settled at once; `w` may still read the record        | nobody; the memory is free once `w` is gone                     |
 * | `SKIPPED`   | nothing points to it                                                | nobody                                                          |
 *
 * So a task runs once at the most: `RUNNING` is entered from `PENDING` or `SENT`
 * alone, and the only way back is from `SENT` to `PENDING`, for a task that its
 * process has not begun: it was not sent after all, was called back, or the
 * process is dead. And it is settled once: for `DONE`, `CANCELLED` and `STOPPED`
 * are entered once between them.
 *
 * **Processes** have the places of workers; the thread that manages them claims
 * for them (`_manager.ts`). A task that is sent ahead of another is `SENT+w`:
 *
 * ```text
 *           manager: sends ahead         manager: the one before it is done
 *   PENDING --------------------> SENT+w ---------------------------------> RUNNING+w
 *      ^                            |
 *      +----------------------------+----> STOPPED (owner: the pool is broken)
 *        manager: it was not sent, the process has not begun it, or is dead
 * ```
 *
 * An owner who wants to cancel such a task has it called back, and waits until
 * its STATE is another; then it is as above. Tasks that were called back are
 * pending, and are given out before those in the ring.
 *
 * **The task ring** maps tickets (32 bits, wrapping) to records. A worker reads
 * the pointer at `HEAD` and then moves `HEAD` by `compareExchange`.
 * ORDER: pointer before `HEAD`. The owner reuses the place of a ticket only
 * once `HEAD` is past it, so a successful move proves that the pointer was
 * read in time. To grow the ring or to drop cancelled tasks the owner moves
 * `HEAD` to `TAIL` in one step, which takes all that is unclaimed away from the
 * workers, and publishes it again under later tickets in the same order.
 *
 * **Wake-ups** (`WAKE`, `SLEEPERS`). None is lost: no task waits while a worker
 * sleeps that could take it.
 *
 * ```text
 *   owner, for each task                     worker with nothing to do
 *   P1  store TAIL                           S1  add 1 to SLEEPERS
 *   P2  load SLEEPERS; 0: done               S2  load WAKE, which is v
 *   P3  add 1 to WAKE                        S3  look at HEAD, TAIL, CLOSING; anything: S5
 *   P4  notify one who waits at WAKE         S4  wait at WAKE while it is v
 *                                            S5  take 1 from SLEEPERS, look again
 * ```
 *
 * All are sequentially consistent, so they have one order that everybody sees.
 * Say that a worker saw nothing in S3 and that a task was published which it did
 * not see: then S3 came before P1, hence S1 and S2 before P2. So P2 counts the
 * worker, and P3 changes WAKE after S2 has read it. Either S4 comes after P3:
 * it finds another value than v and does not sleep. Or it came before: the
 * worker is among those who wait when P4 picks one. Whoever P4 picks looks at the
 * queue before it sleeps again (S5), and finds the task, or that somebody has
 * it. (WAKE wraps: S4 would be wrong if 2^32 tasks came between S2 and S4.)
 *
 * What could break this, and what is done about it:
 *
 * - The one who was picked dies before it looks. The owner who learns of it
 *   notifies all (`#lose` of `_dispatcher.ts`).
 * - The one who was picked is held up by a callback that an earlier task left.
 *   The owner looks once more a moment later (`#doubt`).
 * - S3 sees an empty queue because the owner has moved `HEAD` to `TAIL` to publish
 *   again. The tasks then come in one P1, after which all are notified.
 * - A worker leaves its sleep without having been picked, and a later P4 picks
 *   the place that it left: no worker does (`_sleeper.ts`), unless it dies.
 *
 * The manager of processes sleeps as a worker does while any process waits or has
 * room, until the pool closes. Whatever else gives a process room ends in
 * `onChange` of `_manager.ts`, which looks at the queue again. The owner sleeps
 * at his bell (`_bell.ts`), and the main thread of a process at the
 * ring of its reader (`_child_memory.ts`), by the same steps: who sleeps
 * announces it, looks once more, and sleeps only on the value read before that
 * look. An owner who waits for a task to be called back waits at its STATE,
 * which the manager changes before it notifies.
 *
 * `tests/_schedule.ts` runs this code in the orders of its steps: in all of them
 * with two actors, in those with few switches where they are too many. It finds
 * the mistakes that are planted for it. `#doubt`, which takes a timer, and the
 * manager are not played there: they have the proof, the tests and the soak.
 *
 * **Reasons.** JSON text in shared memory costs 0.3 µs a value where
 * `postMessage` costs 6 to 85 (Deno 2.9.6, x86-64 Linux, 2026-11): so all that
 * is small goes this way, and messages carry only what must be moved, the
 * chunks themselves, and results too large for a ring.
 *
 * @module
 */

/** Word offsets in a pool's control block. HEAD and TAIL have a cache line each. */
export const Control = {
  /** Ticket of the next task to claim. Moved by workers, and by the owner to take all back. */
  HEAD: 0,
  /** Ticket that the next published task will get. Written by the owner. */
  TAIL: 16,
  /** Changes whenever sleeping workers have a reason to look. */
  WAKE: 32,
  /** How many workers sleep, or are about to. */
  SLEEPERS: 33,
  /** 1 once the pool is to end: idle workers close. Written by the owner. */
  CLOSING: 34,
  /** How many chunk messages the owner has posted to every worker. */
  POSTED: 35,
  /** Chunk that holds the task ring, and its size less one. Written by the owner. */
  RING_CHUNK: 48,
  RING_MASK: 49,
  WORDS: 64,
} as const;

/** Words of a place in the task ring: which chunk, which word in it. */
export const POINTER_WORDS = 2;

/** Word offsets in a task record. All but STATE are written before publication only. */
export const Record = {
  STATE: 0,
  /** The owner's number for the task; comes back with the outcome. */
  TASK: 1,
  /** Number of the callable, and where its definition lies. */
  CALLABLE: 2,
  CALLABLE_CHUNK: 3,
  CALLABLE_AT: 4,
  /** A `Format`, and `Flag`s. */
  FORMAT: 5,
  /** Where the payload lies: chunk, byte offset, bytes of text, number of buffers. */
  PAYLOAD_CHUNK: 6,
  PAYLOAD_AT: 7,
  TEXT_BYTES: 8,
  BUFFERS: 9,
  WORDS: 10,
} as const;

/** Values of a record's STATE; that of a running or sent task has the worker's number above the low bits. */
export const State = {
  PENDING: 1,
  RUNNING: 2,
  DONE: 3,
  CANCELLED: 4,
  STOPPED: 5,
  /** A cancelled task that no worker can come upon any more. */
  SKIPPED: 6,
  /** Sent ahead to a process, which has not begun it: it can be called back. */
  SENT: 7,
  /** Bits below the worker's number. */
  SHIFT: 3,
} as const;

/** How a payload's text is to be read. */
export const Format = {
  /** No text: `undefined`, or no arguments. */
  EMPTY: 0,
  /** JSON. */
  PLAIN: 1,
  /** The rich codec's JSON, with buffers beside it. */
  RICH: 2,
  MASK: 7,
} as const;

/** Bits above the format. */
export const Flag = {
  /** Tell the owner when the task starts: its time limit begins. */
  WATCHED: 8,
  /** Objects that only a message can carry: ask the owner for them. */
  MOVED: 16,
  /** The arguments are the columns of a chunk of `map`. */
  CHUNK: 32,
  /** The last buffer holds the numbers of the shared objects, as 32-bit words. */
  SHARED: 64,
  /** Tell the owner when the task ran, before its outcome. */
  TIMED: 128,
} as const;

/** Word offsets in the header of a result ring. */
export const Ring = {
  /** Bytes written and read, both counted from the start and wrapping at 2^32. */
  WRITE: 0,
  READ: 16,
  /** How many tasks this worker has brought to an outcome. */
  FINISHED: 1,
  /** How many chunk messages this worker has taken in. */
  TAKEN: 2,
  /** 1 while its task awaits: then it can be told to leave. */
  AWAITING: 3,
  /** A `Mail`: whether it still takes messages with memory. */
  MAIL: 4,
  WORDS: 32,
} as const;

/**
 * Values of a ring's MAIL. Deno 2.9.6 keeps the memory that a message shares
 * until it is read, and that of one which nobody reads for ever. So a worker
 * that ends shuts its mail, reads what is there, and only then tells its end;
 * and an owner posts nothing to mail that is shut. Each takes the word from
 * `OPEN`, so neither can come between what the other does.
 */
export const Mail = {
  OPEN: 0,
  /** The owner posts a message, which takes microseconds. */
  POSTING: 1,
  SHUT: 2,
} as const;

/** Word offsets in a message in a result ring, before its payload. */
export const Message = {
  KIND: 0,
  TASK: 1,
  FORMAT: 2,
  TEXT_BYTES: 3,
  BUFFERS: 4,
  /** Whole length in bytes, a multiple of 8. */
  LENGTH: 5,
  WORDS: 6,
} as const;

/** What a worker tells its owner. */
export const Kind = {
  /** The rest of the ring is unused: go on at its start. */
  WRAP: 0,
  /** The next messages are in the ring that was posted last. */
  NEXT_RING: 1,
  /** The next messages are in the ring that the worker began with. */
  FIRST_RING: 2,
  /** The worker's modules are loaded; the initializer comes next. */
  READY: 3,
  /** The initializer threw; the payload is its error. The worker closes. */
  UNFIT: 4,
  /** A watched task has started. */
  STARTED: 5,
  /** A task needs the objects that only a message can carry. */
  WANTS_MOVED: 6,
  /** Outcome: the value. */
  RETURNED: 7,
  /** Outcome: what was thrown. */
  THREW: 8,
  /** Outcome of a chunk: the values before a failing one, and its error. */
  CHUNK_THREW: 9,
  /** The worker dies, and the task that it ran with it; the payload says why. */
  DIED: 10,
  /** The worker has left its loop as it was asked to. */
  GONE: 11,
  /** The pool cannot go on for what this worker has met; the payload says why. */
  BROKE: 14,
  /** The worker, idle, has taken in all messages about chunks: memory may go. */
  TAKEN: 12,
  /** The initializer is through; the worker takes tasks. */
  SERVING: 13,
  /** When the task ran whose outcome comes next: start and end, by `wallClockMs()`. */
  TIMED: 15,
  /** The record of a stopped task is not looked at any more; TASK is the number of the stop. */
  RELEASED: 16,
} as const;

/** Bit above the format of a message: the payload was posted instead. */
export const POSTED_PAYLOAD = 64;

/** TASK of a message that is about no task. */
export const NO_TASK = -1;

/** Rounds a length up to a multiple of 8, where every record and buffer begins. */
export function align(bytes: number): number {
  return bytes + (-bytes & 7);
}
