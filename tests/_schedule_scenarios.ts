/**
 * The races of the transport, as small programs of two or three actors for `_schedule.ts`. What the
 * actors run is the product's code; what lies around it is made up, and so are the few lines of the
 * manager of processes that are played.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { Bell, type Listener, ring } from "../_bell.ts";
import { ChildMemory } from "../_child_memory.ts";
import { type ChunkMessage, ChunkTable, type OwnedChunk } from "../_chunks.ts";
import {
  Control,
  Kind,
  Mail,
  Message,
  Record,
  Ring,
  State,
} from "../_layout.ts";
import {
  makeRing,
  type Posted,
  type Received,
  ResultReader,
  ResultWriter,
} from "../_result_ring.ts";
import { Sleeper } from "../_sleeper.ts";
import { isRunningState } from "../_task.ts";
import {
  moveState,
  type QueueSizes,
  runningState,
  sentState,
  TaskQueue,
  TaskSource,
} from "../_task_queue.ts";
import { type BufferName, placeOf } from "./_schedule_memory.ts";
import { POOL_SCENARIOS } from "./_schedule_pools.ts";

/** What an actor is given. */
export interface Stage {
  /** Makes a step of each atomic operation on a buffer. */
  name(buffer: ArrayBufferLike, name: BufferName, number?: number): void;
  /** Sends a message to another actor: a step. */
  send(actor: number, message: unknown, transfer?: Transferable[]): void;
  /** Takes a message of another actor's, if there is one: a step. */
  take<T>(actor: number): T | undefined;
  /** Takes a message of another actor's, and waits for it where there is none. */
  waitFor<T>(actor: number): T;
  /** Writes a number down for the check. */
  note(value: number): void;
  /** Lets the event loop turn: waits until the actor's `Atomics.waitAsync` is notified, or all is over. */
  idle(isOver?: () => boolean): Promise<void>;
}

/** What the actors have written down. */
export type Notes = { readonly [actor: string]: readonly number[] };

/** A part: what it makes before the first step, and what it then does step by step. */
export type Part = (stage: Stage) => () => void | Promise<void>;

/** A race. */
export interface Scenario {
  /** In this order they are set up. */
  readonly actors: { readonly [name: string]: Part };
  /** Operations after which plain reads or writes count: the next actor may come between. */
  readonly after?: readonly string[];
  /** Where there are too many orders: most switches away from one who could go on. */
  readonly preemptions?: number;
  /** Whether naps may end at any time; else nobody who sleeps wakes by himself. */
  readonly timesOut?: boolean;
  /** Throws where the outcome of an execution is wrong. */
  check(notes: Notes): void;
}

const OWNER = 0;

const RECORD_BYTES = Record.WORDS * Int32Array.BYTES_PER_ELEMENT;
const SMALL: QueueSizes = { firstPlaces: 2, manyCancelled: 1 };

/** How steps after which plain memory counts are written down; see `Scenario.after`. */
function afterStep(operation: string, name: BufferName, index: number): string {
  return `${operation} ${placeOf(name, 0, index)}`;
}

const AFTER_POINTER = [
  afterStep("load", "control", Control.HEAD),
  afterStep("load", "control", Control.RING_MASK),
  afterStep("store", "control", Control.TAIL),
  afterStep("compareExchange", "control", Control.HEAD),
];

const AFTER_MESSAGE = [
  afterStep("load", "ring", Ring.READ),
  afterStep("load", "ring", Ring.WRITE),
  afterStep("store", "ring", Ring.WRITE),
  afterStep("store", "ring", Ring.READ),
];

/** Tells a word's name. */
export function nameWord(
  buffer: BufferName,
  index: number,
): string {
  const names: { [name: string]: { readonly [key: string]: number } } = {
    control: Control,
    ring: Ring,
    chunk: { STATE: index },
    child: { CLAIM: 0, ENDED: 1, WRITE: 8, READ: 16, ...WAKE_WORDS },
    bell: { WAITING: 0 },
  };
  const found = Object.entries(names[buffer] ?? {})
    .find(([, at]) => at === index);
  return found?.[0] ?? String(index);
}

const WAKE_WORDS = { WAKE: Control.WAKE, SLEEPERS: Control.SLEEPERS };

// ------------------------------------------------------------------- the queue

/** A task's record. */
interface Place {
  readonly chunk: OwnedChunk;
  readonly at: number;
}

/** An owner's queue; what is published before `open` is there when the others begin. */
class Owner {
  readonly queue: TaskQueue;
  readonly stage: Stage;
  readonly #workers: readonly number[];
  #isOpen = false;
  #made = 0;

  constructor(stage: Stage, workers: readonly number[], sizes?: QueueSizes) {
    this.stage = stage;
    this.#workers = workers;
    this.queue = new TaskQueue({
      post: (message) => this.#post(message),
      allTaken: () => false,
    }, sizes);
  }

  #post(message: ChunkMessage): void {
    if ("take" in message) {
      this.stage.name(message.buffer, "chunk", message.take);
    }
    if (!this.#isOpen) return;
    for (const worker of this.#workers) this.stage.send(worker, message);
  }

  /** Lets the workers know of the queue. */
  open(): void {
    const { control, chunks } = this.queue;
    this.stage.name(control.buffer, "control");
    for (const worker of this.#workers) {
      const start = { control: control.buffer, chunks: chunks.messages() };
      this.stage.send(worker, start);
    }
    this.#isOpen = true;
  }

  /** Makes the record of the next task; tasks count from 0. */
  make(): Place {
    const chunk = this.queue.chunks.room(RECORD_BYTES);
    const at = chunk.top >> 2;
    chunk.top += RECORD_BYTES;
    chunk.live++;
    chunk.words[at + Record.TASK] = this.#made++;
    chunk.words[at + Record.STATE] = State.PENDING;
    return { chunk, at };
  }

  publish({ chunk, at }: Place = this.make()): Place {
    this.queue.publish(chunk, at);
    return { chunk, at };
  }

  cancel({ chunk, at }: Place): boolean {
    return this.queue.cancel(chunk, at);
  }
}

interface QueueStart {
  readonly control: SharedArrayBuffer;
  readonly chunks: ChunkMessage[];
}

/** A worker's half, with the sleep of a worker. */
class Taker {
  readonly stage: Stage;
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly source: TaskSource;
  readonly sleeper: Sleeper;

  constructor(stage: Stage, number: number) {
    this.stage = stage;
    const { control, chunks } = stage.take<QueueStart>(OWNER)!;
    let isSetUp = false; // what comes before is not about memory
    const next = () =>
      chunks.shift() ??
        (isSetUp ? stage.take<ChunkMessage>(OWNER) : undefined);
    stage.name(control, "control");
    const table = new ChunkTable(() => {
      const message = next();
      if (message !== undefined && "take" in message) {
        stage.name(message.buffer, "chunk", message.take);
      }
      return message;
    });
    table.update();
    isSetUp = true;
    this.control = new Int32Array(control);
    this.source = new TaskSource(this.control, table, number);
    this.sleeper = new Sleeper(
      this.control,
      () => this.source.isEmpty() && !this.isClosing(),
    );
  }

  isClosing(): boolean {
    return Atomics.load(this.control, Control.CLOSING) === 1;
  }

  /** Claims and notes a task, if there is one; returns its number. */
  takeOne(): number | undefined {
    if (!this.source.claim()) return undefined;
    const { chunk, at } = this.source;
    const task = chunk.words[at + Record.TASK];
    this.stage.note(task);
    return task;
  }

  /** As a worker sleeps: a nap, then in the event loop. */
  async rest(): Promise<void> {
    if (this.sleeper.nap()) return;
    const slept = this.sleeper.sleep();
    await this.stage.idle();
    await slept;
  }

  /** Takes tasks, and rests where there are none, until one is the last or the pool closes. */
  async serve(isLast: (task: number) => boolean): Promise<void> {
    for (;;) {
      const task = this.takeOne();
      if (task !== undefined) {
        if (isLast(task)) return;
      } else if (this.isClosing()) return;
      else await this.rest();
    }
  }
}

/** A worker that takes what there is, and goes. */
function takeAll(number: number): Part {
  return (stage) => {
    const taker = new Taker(stage, number);
    return () => {
      while (taker.takeOne() !== undefined);
    };
  };
}

/** A worker that serves until it has had the task that is its last. */
function serve(
  number: number,
  isLast: (task: number) => boolean = () => true,
): Part {
  return (stage) => {
    const taker = new Taker(stage, number);
    return () => taker.serve(isLast);
  };
}

function sorted(...lists: (readonly number[])[]): number[] {
  return lists.flat().sort((a, b) => a - b);
}

const QUEUE_SCENARIOS: { readonly [name: string]: Scenario } = {
  "claim against cancel": {
    actors: {
      owner(stage) {
        const owner = new Owner(stage, [1]);
        const places = [owner.publish(), owner.publish()];
        owner.open();
        return () => {
          for (const place of places) stage.note(owner.cancel(place) ? 1 : 0);
        };
      },
      worker: takeAll(1),
    },
    after: AFTER_POINTER,
    check({ owner, worker }) {
      // Each is cancelled, or claimed, in order; a worker passes over those cancelled.
      const claimed = [0, 1].filter((task) => owner[task] === 0);
      assertEquals(worker, claimed);
    },
  },
  "claim against claim": {
    preemptions: 3,
    actors: {
      owner(stage) {
        const owner = new Owner(stage, [1, 2]);
        for (let n = 0; n < 2; n++) owner.publish();
        owner.open();
        return () => {};
      },
      first: takeAll(1),
      second: takeAll(2),
    },
    after: AFTER_POINTER,
    check({ first, second }) {
      assertEquals(sorted(first, second), [0, 1]);
    },
  },
  "stop against outcome": {
    actors: {
      owner(stage) {
        const owner = new Owner(stage, [1]);
        const { chunk, at } = owner.publish();
        owner.open();
        return () => {
          const state = Atomics.load(chunk.words, at + Record.STATE);
          const isStopped = isRunningState(state) &&
            moveState(chunk, at, state, State.STOPPED);
          stage.note(isStopped ? 1 : 0);
        };
      },
      worker(stage) {
        const { source } = new Taker(stage, 1);
        return () => {
          assert(source.claim());
          stage.note(source.finish(source.chunk, source.at) ? 1 : 0);
        };
      },
    },
    check({ owner: [isStopped], worker: [isFinished] }) {
      assertEquals(isStopped + isFinished, 1);
    },
  },
  "publication against sleep": {
    actors: {
      owner(stage) {
        const owner = new Owner(stage, [1]);
        owner.open();
        return () => {
          owner.publish();
          owner.queue.wake();
        };
      },
      worker: serve(1),
    },
    timesOut: true,
    check: ({ worker }) => assertEquals(worker, [0]),
  },
  "publication into a full ring against claims and sleep": {
    actors: {
      owner(stage) {
        const owner = new Owner(stage, [1], SMALL);
        owner.publish();
        owner.publish();
        owner.open();
        return () => {
          owner.publish();
          owner.queue.wake();
        };
      },
      worker: serve(1, (task) => task === 2),
    },
    check: ({ worker }) => assertEquals(worker, [0, 1, 2]),
  },
  "publication into a full ring against two who claim": {
    preemptions: 2,
    actors: {
      owner(stage) {
        const owner = new Owner(stage, [1, 2], SMALL);
        owner.publish();
        owner.publish();
        owner.open();
        return () => void owner.publish();
      },
      first: takeAll(1),
      second: takeAll(2),
    },
    after: AFTER_POINTER,
    check({ first, second }) {
      // Who found nothing while all was taken back has gone: what is left is a prefix's end.
      const claimed = sorted(first, second);
      assertEquals(claimed, [0, 1, 2].slice(0, claimed.length));
    },
  },
  "publication into a full ring against two who sleep": {
    preemptions: 2,
    actors: {
      owner(stage) {
        const owner = new Owner(stage, [1, 2], SMALL);
        owner.publish();
        owner.publish();
        owner.open();
        return () => {
          owner.publish();
          owner.queue.wake();
        };
      },
      first: serve(1),
      second(stage) {
        const taker = new Taker(stage, 2);
        let count = 0;
        return () => taker.serve(() => ++count === 2);
      },
    },
    check({ first, second }) {
      assertEquals(sorted(first, second), [0, 1, 2]);
    },
  },
  "cancellations that tidy the ring against claims and sleep": {
    actors: {
      owner(stage) {
        const owner = new Owner(stage, [1], SMALL);
        const places = [owner.publish(), owner.publish(), owner.publish()];
        owner.open();
        return () => {
          stage.note(owner.cancel(places[0]) ? 1 : 0);
          stage.note(owner.cancel(places[1]) ? 1 : 0);
        };
      },
      worker: serve(1, (task) => task === 2),
    },
    check({ owner, worker }) {
      const left = [0, 1, 2].filter((task) => owner[task] !== 1);
      assertEquals(worker, left);
    },
  },
  "closing against sleep": {
    actors: {
      owner(stage) {
        const owner = new Owner(stage, [1]);
        owner.open();
        return () => owner.queue.close();
      },
      worker: serve(1),
    },
    timesOut: true,
    check: ({ worker }) => assertEquals(worker, []),
  },
  "two publications against two sleepers": {
    preemptions: 2,
    actors: {
      owner(stage) {
        const owner = new Owner(stage, [1, 2]);
        owner.open();
        return () => {
          for (let n = 0; n < 2; n++) {
            owner.publish();
            owner.queue.wake();
          }
        };
      },
      // Each takes one and no more: a wake-up that only one of them gets is not enough.
      first: serve(1),
      second: serve(2),
    },
    check({ first, second }) {
      assertEquals(sorted(first, second), [0, 1]);
    },
  },
  "a task that was called back against cancel": {
    actors: {
      owner(stage) {
        const owner = new Owner(stage, [1]);
        const place = owner.publish();
        owner.open();
        return () => stage.note(cancelSent(owner, place) ? 1 : 0);
      },
      manager(stage) {
        const { source } = new Taker(stage, 1);
        return () => {
          if (!source.claim(sentState(1))) return;
          const { chunk, at } = source;
          moveState(chunk, at, sentState(1), State.PENDING);
          Atomics.notify(chunk.words, at + Record.STATE);
        };
      },
    },
    check: ({ owner }) => assertEquals(owner, [1]),
  },
  "a task that moves up against cancel": {
    actors: {
      owner(stage) {
        const owner = new Owner(stage, [1]);
        const place = owner.publish();
        owner.open();
        return () => stage.note(cancelSent(owner, place) ? 1 : 0);
      },
      manager(stage) {
        const { source } = new Taker(stage, 1);
        return () => {
          if (!source.claim(sentState(1))) return;
          const { chunk, at } = source;
          moveState(chunk, at, sentState(1), runningState(1));
          Atomics.notify(chunk.words, at + Record.STATE);
          stage.note(1);
        };
      },
    },
    check({ owner: [isCancelled], manager }) {
      assertEquals(isCancelled + manager.length, 1);
    },
  },
};

/** As the dispatcher cancels a task that was sent ahead: it waits until its STATE is another. */
function cancelSent(owner: Owner, place: Place): boolean {
  const { chunk, at } = place;
  for (;;) {
    if (owner.cancel(place)) return true;
    const state = Atomics.load(chunk.words, at + Record.STATE);
    if (state === State.PENDING) continue;
    if (state !== sentState(1)) return false;
    Atomics.wait(chunk.words, at + Record.STATE, state);
  }
}

// -------------------------------------------------------- the bell and the ring

/** Bytes of a ring that is too small for a message and what must fit behind it. */
const TIGHT_BYTES = 64;
const WIDE_BYTES = 1 << 12;

interface RingStart {
  readonly ring: SharedArrayBuffer;
  readonly bell: SharedArrayBuffer;
}

/** An owner with one bell, who reads one ring. */
class Hearer implements Listener {
  readonly stage: Stage;
  readonly bell = new Bell();
  readonly memory: SharedArrayBuffer;
  readonly reader: ResultReader;
  readonly deadline = Infinity;
  heard = 0;
  /** Runs for each message. */
  onMessage: (message: Received) => void;
  #rings = 0;

  constructor(stage: Stage, writer: number, bytes: number) {
    this.stage = stage;
    this.onMessage = ({ task }) => stage.note(task);
    const memory = this.memory = makeRing(bytes);
    stage.name(memory, "ring");
    stage.name(this.bell.words.buffer, "bell");
    this.reader = new ResultReader(memory, () => {
      const posted = stage.take<Posted>(writer);
      if (posted !== undefined && "ring" in posted) {
        stage.name(posted.ring, "ring", ++this.#rings);
      }
      return posted;
    });
    const bell = this.bell.words.buffer;
    stage.send(writer, { ring: memory, bell } satisfies RingStart);
  }

  drain(): boolean {
    const before = this.heard;
    for (let message; (message = this.reader.next()) !== undefined;) {
      this.heard++;
      this.onMessage(message);
    }
    return this.heard > before;
  }

  hasMail(): boolean {
    return !this.reader.isEmpty();
  }

  expire(): void {}

  block(count: number): void {
    this.bell.block(Infinity, () => this.heard >= count);
  }

  async listen(count: number): Promise<void> {
    const isOver = () => this.heard >= count;
    while (!isOver()) await this.stage.idle(isOver);
  }
}

/** A worker's ring, and its owner's bell. */
class Teller {
  readonly stage: Stage;
  readonly results: ResultWriter;
  readonly #bell: Int32Array;
  #rings = 0;

  constructor(stage: Stage) {
    this.stage = stage;
    const { ring, bell } = stage.take<RingStart>(OWNER)!;
    stage.name(ring, "ring");
    stage.name(bell, "bell");
    this.#bell = new Int32Array(bell);
    this.results = new ResultWriter(ring, (message, transfer) => {
      if ("ring" in message) stage.name(message.ring, "ring", ++this.#rings);
      stage.send(OWNER, message, transfer);
    });
  }

  /** Tells of an outcome with so many bytes. */
  tell(task: number, bytes = 0, kind: number = Kind.RETURNED): void {
    const text = new Uint8Array(bytes).fill(0x20);
    const staged = this.results.stageBytes(1, text, bytes, 0);
    this.results.send(kind, task, staged);
    ring(this.#bell);
  }
}

function tell(...bytes: number[]): Part {
  return (stage) => {
    const teller = new Teller(stage);
    return () => bytes.forEach((count, task) => teller.tell(task, count));
  };
}

/** An owner who publishes a task, and then learns that a worker is dead. */
function ownerWho(onLoss: (queue: TaskQueue) => void): Part {
  return (stage) => {
    const owner = new Owner(stage, [1, 2]);
    owner.open();
    const hearer = new Hearer(stage, 1, WIDE_BYTES);
    hearer.onMessage = () => onLoss(owner.queue);
    return () => {
      hearer.bell.add(hearer);
      owner.publish();
      owner.queue.wake();
      hearer.block(1);
    };
  };
}

/** A worker that goes to rest, and dies as soon as it runs again. */
function dieAfter(rest: (sleeper: Sleeper) => unknown): Part {
  return (stage) => {
    const taker = new Taker(stage, 1);
    const teller = new Teller(stage);
    return () => {
      rest(taker.sleeper);
      taker.sleeper.quit();
      teller.tell(-1, 0, Kind.DIED);
    };
  };
}

/** An owner who posts two messages about memory, and notes those that he has posted. */
function poster(
  post: (hearer: Hearer, message: () => void) => void,
): Part {
  return (stage) => {
    const hearer = new Hearer(stage, 1, WIDE_BYTES);
    return () => {
      for (const number of [1, 2]) {
        post(hearer, () => {
          stage.send(1, number);
          stage.note(number);
        });
      }
    };
  };
}

/** A worker that ends: it reads what was posted, and nothing after that. */
function shutMail(stage: Stage): () => void {
  const teller = new Teller(stage);
  return () => {
    teller.results.shutMail();
    for (let number; (number = stage.take<number>(OWNER)) !== undefined;) {
      stage.note(number);
    }
  };
}

const RING_SCENARIOS: { readonly [name: string]: Scenario } = {
  "messages about memory against a worker that ends": {
    actors: {
      owner: poster(({ reader }, post) => reader.postMail(post)),
      worker: shutMail,
    },
    check: ({ owner, worker }) => assertEquals(worker, owner),
  },
  "message against an owner who blocks": {
    actors: {
      owner(stage) {
        const hearer = new Hearer(stage, 1, WIDE_BYTES);
        return () => {
          hearer.bell.add(hearer);
          hearer.block(1);
        };
      },
      worker: tell(0),
    },
    after: AFTER_MESSAGE,
    check: ({ owner }) => assertEquals(owner, [0]),
  },
  "message against an owner in his event loop": {
    actors: {
      owner(stage) {
        const hearer = new Hearer(stage, 1, WIDE_BYTES);
        return () => {
          hearer.bell.add(hearer);
          return hearer.listen(1);
        };
      },
      worker: tell(0),
    },
    after: AFTER_MESSAGE,
    check: ({ owner }) => assertEquals(owner, [0]),
  },
  "message against an owner who blocks, then turns to his event loop": {
    preemptions: 3,
    actors: {
      owner(stage) {
        const hearer = new Hearer(stage, 1, WIDE_BYTES);
        return () => {
          hearer.bell.add(hearer);
          hearer.block(1);
          return hearer.listen(2);
        };
      },
      worker: tell(0, 0),
    },
    check: ({ owner }) => assertEquals(owner, [0, 1]),
  },
  "a full result ring against its reader": {
    preemptions: 3,
    actors: {
      owner(stage) {
        const hearer = new Hearer(stage, 1, TIGHT_BYTES);
        return () => {
          hearer.bell.add(hearer);
          hearer.block(2);
        };
      },
      worker: tell(0, 0),
    },
    check: ({ owner }) => assertEquals(owner, [0, 1]),
  },
  "payloads that are posted against their reader": {
    actors: {
      owner(stage) {
        const hearer = new Hearer(stage, 1, WIDE_BYTES);
        hearer.onMessage = ({ task, text }) => {
          stage.note(task);
          stage.note(text.length);
        };
        return () => {
          hearer.bell.add(hearer);
          hearer.block(2);
        };
      },
      worker: tell(2000, 8),
    },
    check: ({ owner }) => assertEquals(owner, [0, 2000, 1, 8]),
  },
  "death of the one that was woken": {
    preemptions: 2,
    actors: {
      owner: ownerWho((queue) => queue.wakeAll()),
      dying: dieAfter((sleeper) => sleeper.nap()),
      other: serve(2),
    },
    timesOut: true,
    check: ({ other }) => assertEquals(other, [0]),
  },
  "death in the middle of a sleep": {
    preemptions: 2,
    actors: {
      owner: ownerWho((queue) => queue.wakeAll()),
      // A timer ends it: it stays in the list of those who wait.
      dying: dieAfter((sleeper) => sleeper.sleep()),
      other: serve(2),
    },
    check: ({ other }) => assertEquals(other, [0]),
  },
  "an outcome, then death, against an owner who blocks": {
    actors: {
      owner(stage) {
        const hearer = new Hearer(stage, 1, WIDE_BYTES);
        hearer.onMessage = ({ kind }) => stage.note(kind);
        return () => {
          hearer.bell.add(hearer);
          hearer.block(2);
        };
      },
      worker(stage) {
        const teller = new Teller(stage);
        return () => {
          teller.tell(0);
          teller.tell(-1, 0, Kind.DIED);
        };
      },
    },
    check: ({ owner }) => assertEquals(owner, [Kind.RETURNED, Kind.DIED]),
  },
};

// -------------------------------------------------------------- worker processes

/** The main thread of a worker process makes the memory, its reader gets it. */
function child(
  play: (memory: ChildMemory, stage: Stage) => void | Promise<void>,
  prepare: (memory: ChildMemory) => void = () => {},
): Part {
  return (stage) => {
    const memory = new ChildMemory();
    prepare(memory);
    stage.name(memory.buffer, "child");
    stage.send(1, memory.buffer);
    return () => play(memory, stage);
  };
}

function childReader(play: (memory: ChildMemory, stage: Stage) => void): Part {
  return (stage) => {
    const buffer = stage.take<SharedArrayBuffer>(OWNER)!;
    stage.name(buffer, "child");
    const memory = new ChildMemory(buffer);
    return () => play(memory, stage);
  };
}

/** Rests as the loop of a worker process does. */
async function restOf(memory: ChildMemory, stage: Stage): Promise<void> {
  const sleeper = new Sleeper(
    memory.words,
    () => memory.isEmpty() && !memory.hasEnded(),
  );
  if (sleeper.nap()) return;
  const slept = sleeper.sleep();
  await stage.idle();
  await slept;
}

const CHILD_RING_BYTES = 1 << 20;

const CHILD_SCENARIOS: { readonly [name: string]: Scenario } = {
  "a recall against the tasks that begin": {
    actors: {
      main: child((memory, stage) => {
        for (let task = 0; task < 3; task++) {
          if (memory.claim(task)) stage.note(task);
        }
      }),
      reader: childReader((memory, stage) => {
        for (let task = memory.recall(3); task < 3; task++) stage.note(task);
      }),
    },
    check({ main, reader }) {
      // Each has begun or was recalled, and none began after one that was recalled.
      assertEquals([...main, ...reader], [0, 1, 2]);
    },
  },
  "frames against sleep": {
    actors: {
      main: child(async (memory, stage) => {
        for (let count = 0; count < 1;) {
          const bytes = memory.take();
          if (bytes === undefined) await restOf(memory, stage);
          else {
            count += bytes.length;
            bytes.forEach((byte) => stage.note(byte));
          }
        }
      }),
      reader: childReader((memory) => {
        memory.waitForRoom()[0] = 7;
        memory.advance(1);
      }),
    },
    timesOut: true,
    check: ({ main }) => assertEquals(main, [7]),
  },
  "the end of stdin against sleep": {
    actors: {
      main: child(async (memory, stage) => {
        while (!memory.hasEnded()) await restOf(memory, stage);
      }),
      reader: childReader((memory) => memory.end()),
    },
    timesOut: true,
    check() {},
  },
  "a full ring of frames against the one who empties it": {
    actors: {
      main: child(
        (memory, stage) => {
          while (memory.isEmpty());
          stage.note(memory.takeInto(new Uint8Array(8)));
        },
        (memory) => memory.put(new Uint8Array(CHILD_RING_BYTES)),
      ),
      reader: childReader((memory, stage) => {
        stage.note(memory.waitForRoom().length);
        memory.advance(1);
      }),
    },
    check: ({ main, reader }) => {
      assertEquals(main, [8]);
      assertEquals(reader, [8]);
    },
  },
};

// --------------------------------------------------------------- planted mistakes

/** Looks for work before it announces itself. */
class HastySleeper extends Sleeper {
  readonly #control: Int32Array;
  readonly #isDone: () => boolean;

  constructor(control: Int32Array, isDone: () => boolean) {
    super(control, isDone);
    this.#control = control;
    this.#isDone = isDone;
  }

  override sleep(): Promise<void> {
    if (!this.#isDone()) return Promise.resolve();
    Atomics.add(this.#control, Control.SLEEPERS, 1);
    const wake = Atomics.load(this.#control, Control.WAKE);
    Atomics.wait(this.#control, Control.WAKE, wake);
    Atomics.sub(this.#control, Control.SLEEPERS, 1);
    return Promise.resolve();
  }
}

/** Mistakes that the explorer must find; each is one that the product's code avoids by an ORDER. */
const MISTAKES: { readonly [name: string]: Scenario } = {
  "planted: a sleeper that looks before it announces itself": {
    actors: {
      owner(stage) {
        const owner = new Owner(stage, [1]);
        owner.open();
        return () => {
          owner.publish();
          owner.queue.wake();
        };
      },
      worker(stage) {
        const { source, control } = new Taker(stage, 1);
        const sleeper = new HastySleeper(control, () => source.isEmpty());
        return async () => {
          while (!source.claim()) await sleeper.sleep();
        };
      },
    },
    check() {},
  },
  "planted: an owner who wakes before he publishes": {
    actors: {
      owner(stage) {
        const owner = new Owner(stage, [1]);
        const place = owner.make();
        owner.open();
        return () => {
          owner.queue.wake();
          owner.publish(place);
        };
      },
      worker: serve(1),
    },
    check() {},
  },
  "planted: a loss of a worker after which nobody is woken": {
    ...RING_SCENARIOS["death of the one that was woken"],
    actors: {
      ...RING_SCENARIOS["death of the one that was woken"].actors,
      owner: ownerWho(() => {}),
    },
  },
  "planted: an owner who does not look again before he waits": {
    actors: {
      owner(stage) {
        const hearer = new Hearer(stage, 1, WIDE_BYTES);
        const { words } = hearer.bell;
        return () => {
          while (hearer.heard < 1) {
            hearer.drain();
            if (hearer.heard >= 1) break;
            Atomics.store(words, 0, 1);
            Atomics.wait(words, 0, 1);
          }
        };
      },
      worker: tell(0),
    },
    check() {},
  },
  "planted: a worker that takes a task without comparing": {
    actors: {
      owner(stage) {
        const owner = new Owner(stage, [1]);
        const place = owner.publish();
        owner.open();
        return () => stage.note(owner.cancel(place) ? 1 : 0);
      },
      worker(stage) {
        const { control, source } = new Taker(stage, 1);
        return () => {
          if (source.isEmpty()) return;
          Atomics.add(control, Control.HEAD, 1);
          stage.note(0);
        };
      },
    },
    check({ owner: [isCancelled], worker }) {
      assertEquals(isCancelled + worker.length, 1);
    },
  },
  "planted: an owner who changes a place that is not past HEAD": {
    actors: {
      owner(stage) {
        const owner = new Owner(stage, [1]);
        owner.publish();
        const { at } = owner.make();
        owner.open();
        const { control, chunks } = owner.queue;
        return () => {
          if (Atomics.load(control, Control.HEAD) !== 0) return;
          const ring = chunks.get(Atomics.load(control, Control.RING_CHUNK));
          ring.words[1] = at; // where the record of another task lies
          stage.note(Atomics.load(control, Control.HEAD));
        };
      },
      worker: takeAll(1),
    },
    after: AFTER_POINTER,
    check({ owner: [headAfter], worker: [task] }) {
      if (headAfter === 0) assertEquals(task, 1);
    },
  },
  "planted: an owner who looks whether mail is open, and then posts": {
    actors: {
      owner: poster(({ memory }, post) => {
        const header = new Int32Array(memory, 0, Ring.WORDS);
        if (Atomics.load(header, Ring.MAIL) === Mail.OPEN) post();
      }),
      worker: shutMail,
    },
    check: ({ owner, worker }) => assertEquals(worker, owner),
  },
  "planted: a writer that shows a message before it is there": {
    actors: {
      owner(stage) {
        const hearer = new Hearer(stage, 1, WIDE_BYTES);
        return () => {
          hearer.bell.add(hearer);
          hearer.block(1);
        };
      },
      worker(stage) {
        const { ring: memory, bell } = stage.take<RingStart>(OWNER)!;
        stage.name(memory, "ring");
        stage.name(bell, "bell");
        const header = new Int32Array(memory, 0, Ring.WORDS);
        const words = new Int32Array(memory, Ring.WORDS * 4);
        return () => {
          words[Message.KIND] = Kind.RETURNED;
          words[Message.LENGTH] = Message.WORDS * 4;
          Atomics.store(header, Ring.WRITE, Message.WORDS * 4);
          words[Message.TASK] = 7;
          ring(new Int32Array(bell));
        };
      },
    },
    after: AFTER_MESSAGE,
    check: ({ owner }) => assertEquals(owner, [7]),
  },
};

/** Every scenario by its name. */
export const SCENARIOS: { readonly [name: string]: Scenario } = {
  ...QUEUE_SCENARIOS,
  ...RING_SCENARIOS,
  ...CHILD_SCENARIOS,
  ...MISTAKES,
  ...POOL_SCENARIOS,
};
