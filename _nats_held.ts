/**
 * One task on a node, from its delivery to its acknowledgement.
 *
 * ```text
 * delivered --> allowed here? --no--> passed on, or refused for all
 *                    | yes
 *                 claim ----lost----> dropped: cancelled, or over
 *                    | won
 *              thread or process  --stopped--> dropped: the caller has told the result
 *                    |  (the slot is free from here on)
 *             publish the result  -- again until it is stored
 *                    |
 *               acknowledge
 * ```
 *
 * @module
 */

import { describeError } from "./_describe.ts";
import {
  claim,
  type Claimant,
  claimBundle,
  renewClaim,
} from "./_nats_claim.ts";
import type { Definitions } from "./_nats_definition.ts";
import { type Ending, endingOf, type Teller, threw } from "./_nats_ending.ts";
import { publishExhausted } from "./_nats_exhausted.ts";
import type { Future } from "./future.ts";
import { GoneError, type Link, type NodeLog } from "./_nats_link.ts";
import type { LocalCall, LocalInitializer, LocalPools } from "./_nats_local.ts";
import {
  type AllowedModules,
  type Demands,
  tellRefusal,
  whyNot,
} from "./_nats_modules.ts";
import type { Neighbours } from "./_nats_neighbours.ts";
import type { Payloads } from "./_nats_payloads.ts";
import {
  type Frame,
  NATS_PROTOCOL_VERSION,
  readFrame,
  readStart,
  type TaskHeader,
  writeFrame,
} from "./_nats_protocol.ts";
import type { Delivery } from "./_nats_pull.ts";
import { BundleRows, type Slots } from "./_nats_rows.ts";
import type { Store } from "./_nats_store.ts";
import { pass } from "./_nats_task.ts";
import { CancelledError, SerializationError } from "./errors.ts";

/** What a task on a node has to do with. */
export interface NodeParts {
  readonly name: string;
  /** Tells it from a node of that name before it. */
  readonly life: string;
  readonly store: Store;
  readonly link: Link;
  readonly log: NodeLog;
  readonly payloads: Payloads;
  readonly modules: AllowedModules;
  readonly definitions: Definitions;
  readonly neighbours: Neighbours;
  readonly pools: LocalPools;
  readonly teller: Teller;
}

/** What a task needs to be run. */
interface Prepared {
  readonly call: LocalCall;
  readonly initializer: LocalInitializer | undefined;
}

/** How long a task that others run is kept, so that it does not come back at once. */
const PASS_MS = 100;

/** The shortest lease that an executor may ask for. */
const MIN_LEASE_MS = 100;

/** How often it is looked whether a worker has begun a task that waits behind the rows of a bundle. */
const WAITING_MS = 5;

/** A task that runs for so long is told to have started. */
const LONG_MS = 10;

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A task that this node was given, and that it has not acknowledged. */
export class HeldTask {
  readonly id: string;
  readonly #parts: NodeParts;
  readonly #slots: Slots;
  /** What is to be acknowledged: the last delivery of each copy, by its number. */
  readonly #deliveries = new Map<number, Delivery>();
  readonly #subject: string;
  readonly #data: Uint8Array;
  readonly #frame: Frame<TaskHeader> | Error;
  readonly #controller = new AbortController();
  /** Which delivery its claim names. */
  readonly #attempt: number;
  /** When the claim was written, while the task runs. */
  #claimedAtMs: number | undefined;
  /** Its rows while they run, where it is a bundle. */
  #rows: BundleRows | undefined;
  #isLookedAfter = false;
  #isSlotFree = false;
  #isLeaving = false;

  /** @param slots Where it has one, until another task may run in its place. */
  constructor(parts: NodeParts, delivery: Delivery, slots: Slots) {
    this.#parts = parts;
    this.deliverAgain(delivery);
    this.#subject = delivery.subject;
    this.#data = delivery.data;
    this.#attempt = delivery.attempt;
    this.#slots = slots;
    this.id = parts.store.names.idOf(delivery.subject);
    this.#frame = tryToRead(delivery.data);
  }

  /** How long a lease lasts. */
  get leaseMs(): number {
    const { leaseMs } = this.#parts.store.settings;
    return this.#frame instanceof Error
      ? leaseMs
      : Math.max(MIN_LEASE_MS, Math.min(leaseMs, this.#frame.header.leaseMs));
  }

  /** Whether it is on its way to another node: what comes now may be what was passed on. */
  get isLeaving(): boolean {
    return this.#isLeaving;
  }

  /** Takes note of another delivery of this task, or of a copy of it. */
  deliverAgain(delivery: Delivery): void {
    this.#deliveries.set(delivery.sequence, delivery);
  }

  /** Stops it, as its caller wants. */
  stop(): void {
    this.#controller.abort();
    this.#rows?.stopAll();
  }

  /** Renews the lease. */
  renew(): void {
    for (const delivery of this.#deliveries.values()) delivery.renew();
  }

  /** Does what is to be done now and then while it runs; `olderMs` is the least age for that. */
  async lookAfter(olderMs: number): Promise<void> {
    const { store, link, log } = this.#parts;
    const claimedAtMs = this.#claimedAtMs;
    if (
      claimedAtMs === undefined || this.#isLookedAfter || !link.isConnected ||
      this.#frame instanceof Error
    ) return;
    const nowMs = performance.now();
    if (nowMs - claimedAtMs < olderMs) return;
    const isOld = nowMs - claimedAtMs > store.settings.resultTtlMs / 3;
    this.#isLookedAfter = true;
    try {
      const { key } = this.#frame.header;
      const state = await renewClaim(store, key, this.#claimant, isOld);
      await this.#rows?.lookAfter();
      if (state === "stopped" || await this.#isStopped()) this.stop();
      else if (isOld && this.#claimedAtMs !== undefined) {
        this.#claimedAtMs = nowMs;
      }
    } catch (error) {
      const reason = describeError(error);
      log.debug({ task: this.id, reason }, "cannot look after a claim now");
    } finally {
      this.#isLookedAfter = false;
    }
  }

  /** Runs it, and does all that goes with it; never rejects. */
  async run(): Promise<void> {
    try {
      await this.#run();
    } catch (error) {
      if (!(error instanceof GoneError)) {
        this.#parts.log.error(
          { task: this.id, err: error },
          "cannot bring a task to its end; it is given to a node again",
        );
      }
    } finally {
      this.#freeSlot();
    }
  }

  /** Gives it to another node, as this one takes no more; never rejects. */
  async runElsewhere(): Promise<void> {
    try {
      await this.#passOn();
    } catch (error) {
      // Gone: it goes to another when the lease ends.
      if (!(error instanceof GoneError)) {
        const reason = describeError(error);
        this.#parts.log.error(
          { task: this.id, reason },
          "cannot pass a task on",
        );
      }
    } finally {
      this.#freeSlot();
    }
  }

  #freeSlot(): void {
    if (this.#isSlotFree) return;
    this.#isSlotFree = true;
    this.#slots.free();
  }

  get #claimant(): Claimant {
    const { name: node, life } = this.#parts;
    return { node, life, attempt: this.#attemptInAll };
  }

  // ----------------------------------------------------------------- course

  async #run(): Promise<void> {
    const frame = this.#frame;
    if (frame instanceof Error) return await this.#refuseUnreadable(frame);
    const { header } = frame;
    if (whyNot(this.#parts.neighbours.own, header) !== undefined) {
      return await this.#refuse(header);
    }
    if (header.rows !== undefined) return await this.#runBundle(frame);
    if (this.#isExhausted(header)) return await this.#failExhausted(header);
    if (!await this.#claim(header)) return this.#drop();
    const ending = await this.#prepareAndPerform(frame);
    this.#claimedAtMs = undefined;
    this.#freeSlot();
    if (ending !== undefined) await this.#publish(ending);
    this.#drop();
  }

  /** Which node this is that was given it, those counted that had it in a bundle. */
  get #attemptInAll(): number {
    const { spent = 0 } = this.#frame instanceof Error
      ? {} as Partial<TaskHeader>
      : this.#frame.header;
    return spent + this.#attempt;
  }

  /** Whether it was given to more nodes than it may be. */
  #isExhausted({ retries }: TaskHeader): boolean {
    return this.#attemptInAll > retries + 1;
  }

  async #failExhausted(header: TaskHeader): Promise<void> {
    const { link, store } = this.#parts;
    await link.insist(
      "store a result",
      () => publishExhausted(store, this.id, header),
    );
    this.#drop();
  }

  async #claim({ key, name }: TaskHeader): Promise<boolean> {
    const { link, store, log } = this.#parts;
    const isOurs = !await this.#isStopped() && await link.insist(
      "claim a task",
      () => claim(store, this.id, key, this.#claimant),
    );
    if (isOurs) this.#claimedAtMs = performance.now();
    log.debug(
      { task: this.id, name, attempt: this.#attempt },
      isOurs ? "starts a task" : "a task is cancelled, or over: it is dropped",
    );
    return isOurs;
  }

  /** Whether its caller has stopped it while it was in a bundle: that is not under its key. */
  async #isStopped(): Promise<boolean> {
    const { link, store } = this.#parts;
    if (this.#frame instanceof Error) return false;
    const { key, spent } = this.#frame.header;
    if (spent === undefined || key === this.id) return false;
    const entry = await link.insist(
      "look whether a task was stopped",
      () => store.starts.get(this.id),
    );
    return entry !== null && readStart(entry.value)?.state === "stopped";
  }

  async #prepareAndPerform(
    frame: Frame<TaskHeader>,
  ): Promise<Ending | undefined> {
    let prepared: Prepared;
    try {
      prepared = this.#prepare(await this.#readParts(frame));
    } catch (error) {
      if (error instanceof GoneError) throw error;
      return threw(error, frame.header.name);
    }
    return await this.#perform(prepared, frame.header);
  }

  /** Reads the parts of a task that are too large for a message. */
  async #readParts(frame: Frame<TaskHeader>): Promise<Frame<TaskHeader>> {
    if (frame.header.object === undefined) return frame;
    const { link, payloads } = this.#parts;
    return await link.insist(
      "read a task's arguments",
      async () => await payloads.completeTask(frame),
      // What is wrong with the object itself; the client's errors have names.
      (error) => error instanceof Error && error.name === "Error",
    );
  }

  // ---------------------------------------------------------------- bundles

  async #runBundle(frame: Frame<TaskHeader>): Promise<void> {
    const { link, store } = this.#parts;
    const { key } = frame.header;
    const rows = new BundleRows(
      this.#parts,
      this.id,
      frame,
      this.#attemptInAll,
    );
    const claim = await link.insist(
      "claim a bundle",
      () => claimBundle(store, key, this.#claimant),
    );
    if (claim === "lost") await rows.takeApart();
    if (claim === "ours") {
      this.#claimedAtMs = performance.now();
      await this.#performRows(frame, rows);
      this.#claimedAtMs = undefined;
    }
    this.#drop();
  }

  async #performRows(
    frame: Frame<TaskHeader>,
    rows: BundleRows,
  ): Promise<void> {
    let prepared: Prepared;
    try {
      prepared = this.#prepare(frame);
    } catch (error) {
      return await this.#publish(threw(error, frame.header.name));
    }
    const { pools } = this.#parts;
    const pool = pools.take(prepared.initializer);
    this.#rows = rows;
    try {
      await rows.run(prepared.call, pool, {
        occupy: () => this.#slots.occupy(),
        free: () => this.#isSlotFree ? this.#slots.free() : this.#freeSlot(),
      });
    } finally {
      pools.release(pool);
    }
  }

  /** Stops a row of a bundle, if it has that one. */
  stopRow(id: string): void {
    this.#rows?.stop(id);
  }

  // ------------------------------------------------------------- one by one

  #prepare({ header, parts }: Frame<TaskHeader>): Prepared {
    const { modules, definitions } = this.#parts;
    const urls = header.modules.map((name) => modules.urlOf(name) ?? name.name);
    const [definition, args, initializerDefinition, initializerArgs] = parts;
    const read = (bytes: Uint8Array) =>
      definitions.place(decoder.decode(bytes), urls);
    return {
      call: {
        definition: read(definition),
        args: pass(header.arguments, args),
        isChunk: header.isChunk,
      },
      initializer: header.initializer && {
        definition: read(initializerDefinition),
        args: pass(header.initializer, initializerArgs),
      },
    };
  }

  /** Runs it in a pool; resolves to nothing where it was stopped. */
  async #perform(
    { call, initializer }: Prepared,
    { name, timeoutMs }: TaskHeader,
  ): Promise<Ending | undefined> {
    const { pools } = this.#parts;
    const { signal } = this.#controller;
    const pool = pools.take(initializer);
    let stopTelling: (() => void) | undefined;
    try {
      const options = timeoutMs === undefined
        ? { signal }
        : { signal, timeout: timeoutMs };
      const future = pool.submit(options, call);
      stopTelling = this.#tellWhenRunning(
        future,
        timeoutMs === undefined ? LONG_MS : 0,
      );
      return endingOf(await future);
    } catch (error) {
      if (signal.aborted && error instanceof CancelledError) return undefined;
      return this.#parts.teller.endingOfFailure(pool, error, name);
    } finally {
      stopTelling?.();
      pools.release(pool);
    }
  }

  /** Tells the caller that it runs, once a worker has begun it: its time counts from there. */
  #tellWhenRunning(future: Future<unknown>, ms: number): () => void {
    const tell = () => {
      if (future.running()) this.#parts.teller.tellStarted(this.id);
      else timer = setTimeout(tell, WAITING_MS);
    };
    let timer = setTimeout(tell, ms);
    return () => clearTimeout(timer);
  }

  // --------------------------------------------------------------- endings

  /** Publishes what came of it; of a bundle, of each row. */
  async #publish(ending: Ending): Promise<void> {
    const rows = this.#frame instanceof Error
      ? undefined
      : this.#frame.header.rows;
    const { teller } = this.#parts;
    const attempt = this.#attemptInAll;
    if (rows === undefined) return await teller.tell(this.id, ending, attempt);
    const endings = rows.map(([n]) => [n, ending] as const);
    await teller.tellTogether(this.id, endings, attempt);
  }

  /** Acknowledges it, and removes what was stored for it. */
  #drop(): void {
    const { payloads, log } = this.#parts;
    this.#acknowledge();
    if (this.#frame instanceof Error) return;
    const { header } = this.#frame;
    if (header.object === undefined) return;
    payloads.dropTask(header).catch((error) => {
      const reason = describeError(error);
      log.debug({ task: this.id, reason }, "cannot remove a task's arguments");
    });
  }

  #acknowledge(): void {
    for (const delivery of this.#deliveries.values()) delivery.acknowledge();
  }

  /** Publishes it again, for another node: a negative acknowledgement would count as a death. */
  async #passOn(): Promise<void> {
    const { link, store } = this.#parts;
    const id = `${this.id}.${crypto.randomUUID()}`;
    this.#isLeaving = true;
    const message = this.#frame instanceof Error ? this.#data : writeFrame(
      this.#frame.header.spent === undefined && this.#attempt === 1
        ? this.#frame.header
        // What is published again has no deliveries: those that it has had go along.
        : { ...this.#frame.header, spent: this.#attemptInAll - 1 },
      this.#frame.parts,
    );
    await link.insist(
      "pass a task on",
      () => store.publisher.publish(this.#subject, message, { id }),
    );
    this.#acknowledge();
  }

  // -------------------------------------------------------------- refusals

  async #refuse(header: TaskHeader): Promise<void> {
    const { neighbours, log } = this.#parts;
    if (await this.#passOnFor(header)) return;
    if (!await this.#claim(header)) return this.#drop();
    const cards = await neighbours.cards();
    const message = tellRefusal(header.name, header, cards);
    log.warn({ task: this.id }, message);
    await this.#publish(threw(new SerializationError(message), header.name));
    this.#drop();
  }

  /** Passes it on if another node can run it. */
  async #passOnFor(demands: Demands): Promise<boolean> {
    const { neighbours, link, log } = this.#parts;
    if (!await neighbours.canAnother(demands)) return false;
    log.debug({ task: this.id }, "another node can run it: it is passed on");
    await link.pause(PASS_MS);
    await this.#passOn();
    return true;
  }

  async #refuseUnreadable(error: Error): Promise<void> {
    const { neighbours, log, name } = this.#parts;
    const version = versionOf(this.#data);
    let message =
      `Cannot run a task as node "${name}" must be able to read it: ${error.message}`;
    if (version !== undefined && version !== NATS_PROTOCOL_VERSION) {
      const demands = { version, modules: [], isSource: false };
      if (await this.#passOnFor(demands)) return;
      message = tellRefusal("a function", demands, await neighbours.cards());
    }
    log.error({ task: this.id }, message);
    await this.#publish(threw(new SerializationError(message), "a task"));
    this.#drop();
  }
}

function tryToRead(data: Uint8Array): Frame<TaskHeader> | Error {
  try {
    return readFrame<TaskHeader>(data);
  } catch (error) {
    return error as Error;
  }
}

/** Reads the version of a frame that cannot be read otherwise. */
function versionOf(data: Uint8Array): number | undefined {
  try {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const header = data.subarray(4, 4 + view.getUint32(0, true));
    const { version } = JSON.parse(decoder.decode(header));
    return typeof version === "number" ? version : undefined;
  } catch {
    return undefined;
  }
}
