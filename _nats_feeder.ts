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
import { type CallerSink, CANCELLED, type NatsCaller } from "./_nats_caller.ts";
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
  ship,
  type Shipment,
  takeLabel,
} from "./_nats_parcel.ts";
import {
  type Frame,
  isBundleId,
  type PayloadPart,
  type ResultHeader,
  siblingId,
} from "./_nats_protocol.ts";
import { Paces } from "./_nats_pace.ts";
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
import { BrokenExecutor, CancelledError } from "./errors.ts";

const COPY = { canMove: false };

/** How long the owner has to cancel what was withdrawn for it, until it is looked after. */
const WITHDRAWN_MS = 20;

/** How many tasks may wait here to be published. */
const MOST_QUEUED = 1_024;

/** Arguments that may be in a bundle; and how large they may be to be in one at all. */
const MOST_BUNDLE_BYTES = 1 << 15;
const MOST_ROW_BYTES = 1 << 10;

/** What came of one task. */
type Outcome = Pick<ResultHeader, "kind" | "outcome" | "startMs" | "endMs">;

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
  /** Wanted back while it was not known yet where they are. */
  readonly #wanted = new Set<Parcel>();
  /** Withdrawn: pending for the owner to cancel. */
  #withdrawn: Parcel[] = [];
  /** What it went in, to be removed from the server. */
  #former: Shipment[] = [];
  #withdrawnTimer: ReturnType<typeof setTimeout> | undefined;
  /** Definitions by the number of the callable, as the owner wrote them and as they are sent. */
  readonly #texts = new Shelf<string>();
  readonly #definitions = new Shelf<NamedDefinition>();
  readonly #paces = new Paces();
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
    else if ("leave" in message) this.#leave();
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
    this.#sleep();
  }

  get #hasRoom(): boolean {
    return this.#queue.length < MOST_QUEUED &&
      this.#places.size < this.#boot.maxWorkers;
  }

  #take(chunk: Chunk, at: number): void {
    const { words } = chunk;
    const { number, timeoutMs, arguments: args } = this.#readPayload(chunk, at);
    const definition = this.#definitionOf(chunk, at);
    const isAttached = definition === ATTACH;
    const id: string = isAttached
      ? JSON.parse(decoder.decode(args.bytes))[0]
      : `${this.#boot.session}.${number}`;
    const parcel: Parcel = {
      id,
      number,
      chunk,
      at,
      index: words[at + Record.TASK],
      callable: words[at + Record.CALLABLE],
      definition,
      isChunk: (words[at + Record.FORMAT] & Flag.CHUNK) !== 0,
      timeoutMs,
      arguments: args,
      isAttached,
      shipment: undefined,
      resent: 0,
      isGivenBack: false,
      isOver: false,
      next: this.#parcels.get(id),
    };
    this.#parcels.set(id, parcel);
    this.#places.set(placeNumber(chunk.id, at), parcel);
    if (isAttached) this.#attach(parcel);
    else this.#queue.push(parcel);
  }

  async #attach(parcel: Parcel): Promise<void> {
    const { chunk, at } = parcel;
    notifyState(chunk, at); // an owner who wants to cancel it waits for that
    await this.#caller.attach(parcel);
    if (this.#wanted.delete(parcel)) this.#callBack([chunk.id, at]);
  }

  #readPayload(chunk: Chunk, at: number) {
    const part = payloadPartOf(chunk, at);
    const { words } = chunk;
    const { bytes } = this.#chunks.get(words[at + Record.PAYLOAD_CHUNK]);
    const from = words[at + Record.PAYLOAD_AT];
    const length = measurePayload(bytes, from, part.textBytes, part.buffers);
    return takeLabel(part, bytes.subarray(from, from + length));
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
      const parcels = this.#takeTogether();
      if (parcels === undefined) break;
      if (parcels.length === 0) continue;
      const publishing = this.#publishAll(parcels);
      if (publishing !== undefined) await publishing;
    }
    this.#isPublishing = false;
  }

  /**
   * Takes the next task, with those behind it that can go in one message; none
   * where it was withdrawn. Nothing, where it is better to wait for more of
   * them: while the server has enough to do, which ends with its next answer.
   */
  #takeTogether(): Parcel[] | undefined {
    const first = this.#queue[0];
    const most = canShare(first) ? this.#paces.rowsOf(first.callable) : 1;
    const parcels: Parcel[] = [];
    let bytes = 0, taken = 0;
    for (const parcel of this.#queue) {
      if (isWanted(parcel)) {
        if (parcels.length > 0) {
          if (parcel.callable !== first.callable || !canShare(parcel)) break;
          if (parcels.length >= most || bytes > MOST_BUNDLE_BYTES) break;
        }
        bytes += parcel.arguments!.bytes.length;
        parcels.push(parcel);
      }
      taken++;
    }
    const isAll = taken === this.#queue.length;
    if (
      isAll && most > 1 && parcels.length < most &&
      bytes <= MOST_BUNDLE_BYTES && this.#caller.isBusy
    ) return undefined;
    this.#queue.splice(0, taken);
    return parcels;
  }

  #publishAll(parcels: readonly Parcel[]): Promise<void> | void {
    const definition = this.#definitions.get(parcels[0].callable);
    if (definition === undefined) return this.#publishFirst(parcels[0]);
    const shipment = ship(parcels);
    try {
      return this.#caller.publish(shipment, definition);
    } catch (error) {
      this.onRefused(shipment, error);
    }
  }

  /** Publishes the first task of a function; no other goes with it. */
  async #publishFirst(parcel: Parcel): Promise<void> {
    const { callable, definition } = parcel;
    const { initializer, allowSource } = this.#boot;
    try {
      const named = await nameModules(
        definition,
        initializer?.definition,
        allowSource,
      );
      this.#definitions.set(callable, named, named.text.length);
      if (!isWanted(parcel)) return;
      await this.#caller.publish(ship([parcel]), named);
    } catch (error) {
      this.#fail(parcel, error);
    }
  }

  onRoom(): void {
    this.feed();
  }

  onRefused({ parcels }: Shipment, error: unknown): void {
    for (const parcel of parcels) this.#fail(parcel, error);
    this.feed();
  }

  #fail(parcel: Parcel, error: unknown): void {
    if (parcel.isOver) return;
    const payload = encodeValue(error, COPY, "the error");
    this.#end(parcel, Kind.THREW, () => this.#results.stage(payload));
    ring(this.#bell);
  }

  // ---------------------------------------------------- starts and results

  onStarted(id: string): void {
    for (const parcel of this.#parcelsOf(id)) {
      if (!parcel.shipment?.isWithdrawn) this.#markRunning(parcel);
    }
  }

  #markRunning({ chunk, at, index, isOver }: Parcel): void {
    if (isOver) return;
    if (moveState(chunk, at, this.#sent, this.#running)) {
      notifyState(chunk, at); // an owner who wants it back waits for a change
    }
    if ((chunk.words[at + Record.FORMAT] & Flag.WATCHED) === 0) return;
    this.#tell(Kind.STARTED, index, encodeValue(Date.now(), COPY, ""));
  }

  wants(id: string): boolean {
    return isBundleId(id) || this.#parcels.has(id);
  }

  onResult(id: string, { header, parts }: Frame<ResultHeader>): void {
    if (header.rows === undefined) this.#onOutcome(id, header, parts[0]);
    else {
      for (const [i, row] of header.rows.entries()) {
        const [n, kind, format, textBytes, buffers, startMs, endMs] = row;
        const outcome = { format, textBytes, buffers };
        const rowId = siblingId(id, n);
        const times = endMs > 0 ? { startMs, endMs } : {}; // 0: it never ran
        this.#onOutcome(rowId, { kind, outcome, ...times }, parts[i]);
      }
    }
    ring(this.#bell);
    this.feed();
  }

  #onOutcome(id: string, outcome: Outcome, bytes: Uint8Array): void {
    for (const parcel of this.#parcelsOf(id)) {
      this.#tellOutcome(parcel, outcome, bytes);
    }
  }

  #tellOutcome(
    parcel: Parcel,
    { kind, outcome, startMs, endMs }: Outcome,
    bytes: Uint8Array,
  ): void {
    const { chunk, at, index, callable } = parcel;
    if (kind === Kind.BROKE) return this.#break(parcel, outcome, bytes);
    if (kind === Kind.DIED) return this.#onDied(parcel, outcome, bytes);
    const times = startMs === undefined || endMs === undefined
      ? undefined
      : { startMs, endMs };
    if (times !== undefined) {
      this.#paces.note(callable, times.endMs - times.startMs);
    }
    const isTimed = (chunk.words[at + Record.FORMAT] & Flag.TIMED) !== 0;
    this.#end(parcel, kind, () => {
      if (isTimed && times !== undefined) {
        const staged = this.#results.stage(
          encodeTimes(times.startMs, times.endMs),
        );
        this.#results.send(Kind.TIMED, index, staged);
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

  /** Brings a task to its end; nothing is told where the owner has stopped it. The bell is to be rung. */
  #end(parcel: Parcel, kind: number, stage: () => Staged): void {
    const { chunk, at, index } = parcel;
    // The owner has it back: what becomes of its former message does not count.
    if (parcel.isOver || parcel.isGivenBack) return;
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

  /** The owner wants a task back: all that went in one message with it is withdrawn. */
  #callBack([chunk, at]: RecordPlace): void {
    const parcel = this.#places.get(placeNumber(chunk, at));
    if (parcel === undefined || parcel.isGivenBack) return;
    const { shipment } = parcel;
    if (shipment === undefined) {
      if (!parcel.isAttached) return this.#giveBack(parcel);
      // One that is being attached to is asked for once it is known what it is.
      return void this.#wanted.add(parcel);
    }
    if (shipment.isForeign) return this.#markRunning(parcel); // as good as that
    if (shipment.isWithdrawn) return;
    shipment.isWithdrawn = true;
    this.#caller.withdraw(shipment).then(
      (isWithdrawn) => this.#onVerdict(shipment, isWithdrawn),
      // The server does not let us, or the connection is lost for good.
      () => shipment.isWithdrawn = false,
    );
  }

  #onVerdict(shipment: Shipment, isWithdrawn: boolean): void {
    shipment.isWithdrawn = isWithdrawn;
    for (const parcel of shipment.parcels) {
      if (parcel.isOver) continue;
      if (isWithdrawn) this.#giveBack(parcel);
      else this.#markRunning(parcel);
    }
    if (isWithdrawn) this.#former.push(shipment);
  }

  /** Makes a task pending again, for the owner to cancel. */
  #giveBack(parcel: Parcel): void {
    const { chunk, at } = parcel;
    if (!moveState(chunk, at, this.#sent, State.PENDING)) return;
    parcel.isGivenBack = true;
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
      const { id, chunk, at, shipment } = parcel;
      if (moveState(chunk, at, State.PENDING, this.#sent)) {
        this.#sendAgain(parcel);
        continue;
      }
      this.#forget(parcel);
      if (shipment !== undefined) this.#caller.tellCancelled(id);
      // ORDER: the last look at the record, whose memory is free hereafter.
      Atomics.store(chunk.words, at + Record.STATE, State.SKIPPED);
    }
    this.feed();
    // ORDER: after what was not cancelled was sent again: who looks for it finds one of both.
    const former = this.#former;
    this.#former = [];
    for (const shipment of former) this.#caller.remove(shipment);
  }

  /** The owner does not want it, or has waited for too short a time: it goes by another key. */
  #sendAgain(parcel: Parcel): void {
    const { chunk, at, shipment } = parcel;
    parcel.isGivenBack = false;
    notifyState(chunk, at);
    if (parcel.isAttached) {
      // What its own program would send again is not known here.
      this.#caller.tellCancelled(parcel.id);
      return this.#fail(parcel, new CancelledError(CANCELLED));
    }
    if (shipment === undefined) {
      if (!this.#queue.includes(parcel)) this.#queue.push(parcel);
      return;
    }
    parcel.shipment = undefined;
    parcel.resent++;
    parcel.arguments = this.#readPayload(chunk, at).arguments;
    this.#queue.push(parcel);
  }

  #stop([chunk, at]: RecordPlace, number: number): void {
    const parcel = this.#places.get(placeNumber(chunk, at));
    if (parcel !== undefined) {
      this.#forget(parcel);
      this.#caller.stop(parcel);
    }
    this.#tell(Kind.RELEASED, number);
    this.feed();
  }

  /** The owner wants to know whether a task runs. */
  async #catchUp([chunk, at]: RecordPlace, number: number): Promise<void> {
    const parcel = this.#places.get(placeNumber(chunk, at));
    const shipment = parcel?.shipment;
    if (
      shipment !== undefined && await this.#caller.hasStarted(shipment) &&
      !shipment.isWithdrawn
    ) this.#markRunning(parcel!);
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

  /** Leaves: nothing is pending. ORDER: what the owner posted before has been done. */
  async #leave(): Promise<void> {
    if (this.#isOver || this.#isLeaving) return;
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
    if (this.#isAsleep || !this.#hasRoom || this.#isClosing()) return;
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

/** Whether a task is still to be sent. */
function isWanted({ isOver, isGivenBack }: Parcel): boolean {
  return !isOver && !isGivenBack;
}

/** Whether a task may go in a message with others: a small one, whose time does not count. */
function canShare({ isChunk, timeoutMs, arguments: args }: Parcel): boolean {
  return !isChunk && timeoutMs === Infinity &&
    (args === undefined || args.bytes.length <= MOST_ROW_BYTES);
}

function notifyState({ words }: Chunk, at: number): void {
  Atomics.notify(words, at + Record.STATE);
}
