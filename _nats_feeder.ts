/**
 * Feeds a stream: claims the owner's tasks, has them published, and tells the
 * owner what came of them. To the owner it is a worker that has many tasks at
 * once; `_nats_caller.ts` talks to the server for it.
 *
 * ```text
 *                    published               a node starts it            its result
 *  PENDING --claim--> SENT ---------------------> RUNNING ----------------> DONE
 *     ^                 |                            |
 *     | withdrawn       | owner: stops it            | owner: stops it
 *     +-----------------+---------> STOPPED <--------+
 * ```
 *
 * INVARIANT: `#parcels` are the tasks whose records may be looked at here. One
 * whose record the owner may use again is taken out before the owner is told.
 *
 * @module
 */

import { measurePayload } from "./_bytes.ts";
import { type Chunk, ChunkTable } from "./_chunks.ts";
import { encodeValue, type Payload } from "./_codec.ts";
import { Control, Flag, Kind, NO_TASK, Record, State } from "./_layout.ts";
import type { CallerSink, NatsCaller } from "./_nats_caller.ts";
import { type NamedDefinition, nameModules } from "./_nats_naming.ts";
import {
  ATTACH,
  Hand,
  type NatsBoot,
  type NatsStart,
  type RecordPlace,
  type ToNatsManager,
} from "./_nats_manager_protocol.ts";
import {
  type Parcel,
  payloadPartOf,
  placeNumber,
  takeLabel,
} from "./_nats_parcel.ts";
import type { Frame, PayloadPart, ResultHeader } from "./_nats_protocol.ts";
import { receive } from "./_receive.ts";
import { ResultWriter, type Staged } from "./_result_ring.ts";
import { ring } from "./_bell.ts";
import { encodeTimes } from "./_run_times.ts";
import { Shelf } from "./_shelf.ts";
import {
  moveState,
  runningState,
  sentState,
  TaskSource,
} from "./_task_queue.ts";
import { BrokenExecutor } from "./errors.ts";

const COPY = { canMove: false };

/** How long the owner has to cancel what was withdrawn for it, until it is looked after. */
const WITHDRAWN_MS = 20;

/** How many tasks may wait here to be published. */
const MOST_QUEUED = 256;

/** Feeds one stream. */
export class NatsFeeder implements CallerSink {
  readonly #boot: NatsBoot;
  readonly #caller: NatsCaller;
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #bell: Int32Array<SharedArrayBuffer>;
  readonly #hand: Int32Array<SharedArrayBuffer>;
  readonly #chunks: ChunkTable;
  readonly #source: TaskSource;
  readonly #results: ResultWriter;
  readonly #running: number;
  readonly #sent: number;
  /** How many messages about chunks the owner knows to be taken in. */
  #toldTaken: number;

  /** By id, and by the place of the record. */
  readonly #parcels = new Map<string, Parcel>();
  readonly #places = new Map<number, Parcel>();
  /** Claimed, and not published yet. */
  readonly #queue: Parcel[] = [];
  /** Withdrawn: pending for the owner to cancel. */
  #withdrawn: Parcel[] = [];
  #withdrawnTimer: ReturnType<typeof setTimeout> | undefined;
  /** Definitions by the number of the callable, as the owner wrote them and as they are sent. */
  readonly #texts = new Shelf<string>();
  readonly #definitions = new Shelf<NamedDefinition>();
  #isPublishing = false;
  #isAsleep = false;
  #isLeaving = false;
  #isOver = false;

  constructor(boot: NatsBoot, start: NatsStart, caller: NatsCaller) {
    const { number, control, bell, ring, port, chunks, posted } = start;
    this.#boot = boot;
    this.#caller = caller;
    this.#control = new Int32Array(control);
    this.#bell = new Int32Array(bell);
    this.#hand = new Int32Array(boot.hand);
    this.#running = runningState(number);
    this.#sent = sentState(number);
    const mail = chunks.slice();
    this.#chunks = new ChunkTable(() => mail.shift() ?? receive(port));
    this.#chunks.update();
    // Those that came with the start were counted by the owner already.
    this.#chunks.taken += posted - chunks.length;
    this.#toldTaken = posted;
    this.#source = new TaskSource(this.#control, this.#chunks, number);
    this.#results = new ResultWriter(
      ring,
      (message, transfer) => port.postMessage(message, transfer),
    );
  }

  /** Takes a message of the owner's. */
  onMessage(message: Exclude<ToNatsManager, { start: NatsStart }>): void {
    if ("look" in message) this.#look();
    else if ("callBack" in message) {
      for (const place of message.callBack) this.#callBack(place);
    } else if ("stop" in message) this.#stop(message.stop, message.number);
    else this.#catchUp(message.catchUp, message.number);
  }

  // --------------------------------------------------------------- claiming

  /** Claims what there is, as long as there is room for it. */
  feed(): void {
    if (this.#isOver || this.#isLeaving) return;
    while (this.#hasRoom && this.#source.claim(this.#sent)) {
      this.#take(this.#source.chunk, this.#source.at);
    }
    this.#publish();
    if (this.#isClosing()) this.#leave();
    else this.#sleep();
  }

  get #hasRoom(): boolean {
    return this.#queue.length < MOST_QUEUED &&
      this.#places.size < this.#boot.maxWorkers;
  }

  #take(chunk: Chunk, at: number): void {
    const { words } = chunk;
    const part = payloadPartOf(chunk, at);
    const payload = this.#chunks.get(words[at + Record.PAYLOAD_CHUNK]).bytes;
    const from = words[at + Record.PAYLOAD_AT];
    const length = measurePayload(payload, from, part.textBytes, part.buffers);
    const { number, timeoutMs, arguments: args } = takeLabel(
      part,
      payload.subarray(from, from + length),
    );
    const definition = this.#definitionOf(chunk, at);
    const isAttached = definition === ATTACH;
    const id = isAttached
      ? JSON.parse(decoder.decode(args.bytes))[0]
      : `${this.#boot.session}.${number}`;
    const parcel: Parcel = {
      id,
      key: id,
      chunk,
      at,
      index: words[at + Record.TASK],
      callable: words[at + Record.CALLABLE],
      definition,
      isChunk: (words[at + Record.FORMAT] & Flag.CHUNK) !== 0,
      timeoutMs,
      arguments: args,
      isAttached,
      isSent: false,
      sequence: undefined,
      isWithdrawing: false,
      withdrawn: 0,
      isOver: false,
      next: this.#parcels.get(id),
    };
    this.#parcels.set(id, parcel);
    this.#places.set(placeNumber(chunk.id, at), parcel);
    if (isAttached) {
      parcel.isSent = true;
      this.#caller.attach(parcel);
    } else this.#queue.push(parcel);
  }

  #definitionOf({ words }: Chunk, at: number): string {
    const callable = words[at + Record.CALLABLE];
    const known = this.#texts.get(callable);
    if (known !== undefined) return known;
    const chunk = this.#chunks.get(words[at + Record.CALLABLE_CHUNK]);
    const from = words[at + Record.CALLABLE_AT];
    const textAt = from + Int32Array.BYTES_PER_ELEMENT;
    // A copy: the decoder takes no shared memory.
    const text = decoder.decode(
      chunk.bytes.slice(textAt, textAt + chunk.words[from >> 2]),
    );
    this.#texts.set(callable, text, text.length);
    return text;
  }

  // ------------------------------------------------------------- publishing

  /** Publishes what was claimed, in order; waits where something must be read or stored first. */
  async #publish(): Promise<void> {
    if (this.#isPublishing) return;
    this.#isPublishing = true;
    while (this.#queue.length > 0 && this.#caller.hasRoom) {
      const parcel = this.#queue.shift()!;
      if (parcel.isOver || parcel.isWithdrawing) continue;
      const publishing = this.#publishOne(parcel);
      if (publishing !== undefined) await publishing;
    }
    this.#isPublishing = false;
  }

  #publishOne(parcel: Parcel): Promise<void> | void {
    const definition = this.#definitions.get(parcel.callable);
    if (definition === undefined) return this.#publishFirst(parcel);
    try {
      return this.#caller.publish(parcel, definition);
    } catch (error) {
      this.onRefused(parcel, error);
    }
  }

  /** Publishes the first task of a function. */
  async #publishFirst(parcel: Parcel): Promise<void> {
    const { callable, definition } = parcel;
    try {
      const { initializer, allowSource } = this.#boot;
      const named = await nameModules(
        definition,
        initializer?.definition,
        allowSource,
      );
      this.#definitions.set(callable, named, named.text.length);
      if (parcel.isOver || parcel.isWithdrawing) return;
      await this.#caller.publish(parcel, named);
    } catch (error) {
      this.onRefused(parcel, error);
    }
  }

  onRoom(): void {
    this.feed();
  }

  onRefused(parcel: Parcel, error: unknown): void {
    if (parcel.isOver) return;
    const payload = encodeValue(error, COPY, "the error");
    this.#end(parcel, Kind.THREW, () => this.#results.stage(payload));
    this.feed();
  }

  // ---------------------------------------------------- starts and results

  onStarted(id: string): void {
    for (const parcel of this.#parcelsOf(id)) {
      if (!parcel.isWithdrawing) this.#markRunning(parcel);
    }
  }

  #markRunning({ chunk, at, index }: Parcel): void {
    if (moveState(chunk, at, this.#sent, this.#running)) {
      notifyState(chunk, at); // an owner who wants it back waits for a change
    }
    if ((chunk.words[at + Record.FORMAT] & Flag.WATCHED) === 0) return;
    this.#tell(Kind.STARTED, index, encodeValue(Date.now(), COPY, ""));
  }

  onResult(id: string, { header, parts: [bytes] }: Frame<ResultHeader>): void {
    for (const parcel of this.#parcelsOf(id)) {
      this.#onOutcome(parcel, header, bytes);
    }
    this.feed();
  }

  #onOutcome(parcel: Parcel, header: ResultHeader, bytes: Uint8Array): void {
    const { kind, outcome, startMs, endMs } = header;
    const { chunk, at, index } = parcel;
    if (kind === Kind.BROKE) return this.#break(parcel, outcome, bytes);
    if (kind === Kind.DIED) return this.#onDied(parcel, outcome, bytes);
    const isTimed = (chunk.words[at + Record.FORMAT] & Flag.TIMED) !== 0;
    this.#end(parcel, kind, () => {
      if (isTimed && startMs !== undefined && endMs !== undefined) {
        const times = this.#results.stage(encodeTimes(startMs, endMs));
        this.#results.send(Kind.TIMED, index, times);
      }
      return this.#stage(outcome, bytes);
    });
  }

  /** The nodes that were given a task have died, as often as they may. */
  #onDied(parcel: Parcel, part: PayloadPart, bytes: Uint8Array): void {
    const why = JSON.parse(decoder.decode(bytes.subarray(0, part.textBytes)));
    if (this.#boot.isBrokenByDeath) {
      const reason = [`has lost a task: ${why}`, undefined];
      const payload = encodeValue(reason, COPY, "the reason");
      return this.#breakWith(parcel, () => this.#results.stage(payload));
    }
    const error = new BrokenExecutor(
      `Cannot get the outcome of the call as ${why}; other tasks go on, submit this one again if it may run that often`,
    );
    const payload = encodeValue(error, COPY, "the error");
    this.#end(parcel, Kind.THREW, () => this.#results.stage(payload));
  }

  /** Brings a task to its end; nothing is told where the owner has stopped it. */
  #end(parcel: Parcel, kind: number, stage: () => Staged): void {
    const { chunk, at, index } = parcel;
    this.#forget(parcel);
    // ORDER: the STATE first. What is posted for an outcome that is not wanted
    // would be taken for that of the next one.
    const isWanted = moveState(chunk, at, this.#running, State.DONE) ||
      moveState(chunk, at, this.#sent, State.DONE);
    notifyState(chunk, at);
    if (!isWanted) return;
    this.#results.countFinished();
    const staged = stage();
    this.#results.send(kind, index, staged);
    ring(this.#bell);
  }

  #break(parcel: Parcel, part: PayloadPart, bytes: Uint8Array): void {
    this.#breakWith(parcel, () => this.#stage(part, bytes));
  }

  /** The pool cannot go on. */
  #breakWith({ index }: Parcel, stage: () => Staged): void {
    if (this.#isOver) return;
    this.#goAway(Kind.BROKE, index, stage());
  }

  onLost(why: string): void {
    if (this.#isOver) return;
    const payload = encodeValue([why, undefined], COPY, "the reason");
    this.#goAway(Kind.BROKE, NO_TASK, this.#results.stage(payload));
  }

  // ------------------------------------------------------------ withdrawing

  /** The owner wants a task back. */
  #callBack([chunk, at]: RecordPlace): void {
    const parcel = this.#places.get(placeNumber(chunk, at));
    if (parcel === undefined || parcel.isWithdrawing) return;
    parcel.isWithdrawing = true;
    if (!parcel.isSent) return this.#giveBack(parcel);
    this.#caller.withdraw(parcel).then(
      (isWithdrawn) => this.#onVerdict(parcel, isWithdrawn),
      () => {}, // the connection is lost for good, and so is the pool
    );
  }

  #onVerdict(parcel: Parcel, isWithdrawn: boolean): void {
    if (parcel.isOver) return;
    if (isWithdrawn) return this.#giveBack(parcel);
    parcel.isWithdrawing = false;
    this.#markRunning(parcel);
  }

  /** Makes a task pending again, for the owner to cancel. */
  #giveBack(parcel: Parcel): void {
    const { chunk, at } = parcel;
    if (!moveState(chunk, at, this.#sent, State.PENDING)) return;
    this.#withdrawn.push(parcel);
    notifyState(chunk, at);
    this.#withdrawnTimer ??= setTimeout(
      () => this.#lookAfterWithdrawn(),
      WITHDRAWN_MS,
    );
  }

  /** Forgets what the owner has cancelled; what it has not is sent again. */
  #lookAfterWithdrawn(): void {
    clearTimeout(this.#withdrawnTimer);
    this.#withdrawnTimer = undefined;
    const parcels = this.#withdrawn;
    this.#withdrawn = [];
    for (const parcel of parcels) {
      const { chunk, at } = parcel;
      if (moveState(chunk, at, State.PENDING, this.#sent)) {
        this.#sendAgain(parcel);
        continue;
      }
      this.#forget(parcel);
      if (parcel.isSent) this.#caller.remove(parcel);
      // ORDER: the last look at the record, whose memory is free hereafter.
      Atomics.store(chunk.words, at + Record.STATE, State.SKIPPED);
    }
    this.feed();
  }

  /** The owner has waited for too short a time: the task is as it was, under another key. */
  #sendAgain(parcel: Parcel): void {
    parcel.isWithdrawing = false;
    notifyState(parcel.chunk, parcel.at);
    if (!parcel.isSent) {
      if (!this.#queue.includes(parcel)) this.#queue.push(parcel);
    } else this.#caller.sendAgain(parcel);
  }

  #stop([chunk, at]: RecordPlace, number: number): void {
    const parcel = this.#places.get(placeNumber(chunk, at));
    if (parcel !== undefined) {
      this.#forget(parcel);
      if (parcel.isSent) this.#caller.stop(parcel);
    }
    this.#tell(Kind.RELEASED, number);
    this.feed();
  }

  /** The owner wants to know whether a task runs. */
  async #catchUp([chunk, at]: RecordPlace, number: number): Promise<void> {
    const parcel = this.#places.get(placeNumber(chunk, at));
    if (parcel?.isSent && await this.#caller.hasStarted(parcel)) {
      if (!parcel.isOver && !parcel.isWithdrawing) this.#markRunning(parcel);
    }
    Atomics.store(this.#hand, Hand.CAUGHT_UP, number);
    Atomics.notify(this.#hand, Hand.CAUGHT_UP);
  }

  // ---------------------------------------------------------------- parcels

  *#parcelsOf(id: string): Iterable<Parcel> {
    let parcel = this.#parcels.get(id);
    while (parcel !== undefined) {
      const { next } = parcel;
      yield parcel;
      parcel = next;
    }
  }

  /** Looks no more at the record of a task. */
  #forget(parcel: Parcel): void {
    const { id, chunk, at } = parcel;
    this.#caller.forget(parcel);
    this.#places.delete(placeNumber(chunk.id, at));
    const first = this.#parcels.get(id);
    if (first !== parcel) {
      for (let one = first; one !== undefined; one = one.next) {
        if (one.next === parcel) one.next = parcel.next;
      }
    } else if (parcel.next === undefined) this.#parcels.delete(id);
    else this.#parcels.set(id, parcel.next);
  }

  // ---------------------------------------------------------------- endings

  #isClosing(): boolean {
    return Atomics.load(this.#control, Control.CLOSING) === 1;
  }

  /** Leaves: nothing is pending. */
  async #leave(): Promise<void> {
    this.#isLeaving = true;
    if (this.#withdrawnTimer !== undefined) this.#lookAfterWithdrawn();
    await this.#caller.close();
    this.#goAway(Kind.GONE, NO_TASK);
  }

  #goAway(kind: number, index: number, staged?: Staged): void {
    this.#isOver = true;
    clearTimeout(this.#withdrawnTimer);
    // ORDER: before the end is told, as all is closed then.
    this.#results.shutMail();
    this.#chunks.update();
    this.#results.send(kind, index, staged);
    ring(this.#bell);
  }

  // ------------------------------------------------------------------ sleep

  /**
   * Waits in the event loop for the owner, while there is room for its tasks;
   * what makes room ends in `feed`, which looks at the queue again.
   */
  #sleep(): void {
    if (this.#isAsleep || !this.#hasRoom) return;
    this.#isAsleep = true;
    const control = this.#control;
    Atomics.add(control, Control.SLEEPERS, 1);
    const wake = Atomics.load(control, Control.WAKE);
    // ORDER: a last look after the announcement, see "Wake-ups" in `_layout.ts`.
    const { value } = this.#source.isEmpty() && !this.#isClosing()
      ? Atomics.waitAsync(control, Control.WAKE, wake)
      : { value: undefined };
    Promise.resolve(value).then(() => {
      this.#isAsleep = false;
      Atomics.sub(control, Control.SLEEPERS, 1);
      this.#look();
      this.feed();
    });
  }

  // ---------------------------------------------------------------- telling

  /** Takes in what the owner posted about memory. */
  #look(): void {
    const posted = Atomics.load(this.#control, Control.POSTED);
    if (this.#isOver || this.#toldTaken === posted) return;
    this.#chunks.update();
    this.#toldTaken = this.#chunks.taken;
    this.#results.setTaken(this.#toldTaken);
    this.#tell(Kind.TAKEN, NO_TASK);
  }

  #stage(part: PayloadPart, bytes: Uint8Array): Staged {
    const { format, textBytes, buffers } = part;
    return this.#results.stageBytes(format, bytes, textBytes, buffers);
  }

  #tell(kind: number, index: number, payload?: Payload): void {
    if (this.#isOver) return;
    this.#results.send(kind, index, payload && this.#results.stage(payload));
    ring(this.#bell);
  }
}

const decoder = new TextDecoder();

function notifyState({ words }: Chunk, at: number): void {
  Atomics.notify(words, at + Record.STATE);
}
