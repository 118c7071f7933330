/**
 * A node: pulls tasks, has them run, keeps their leases, and drains.
 *
 * @module
 */

import { createInbox } from "npm:@nats-io/transport-node@3.4.0";
import { describeError } from "./_describe.ts";
import {
  checkConnection,
  connectTo,
  type NatsConnection,
  type NatsConnectionOptions,
} from "./_nats_connection.ts";
import { Definitions } from "./_nats_definition.ts";
import { Teller } from "./_nats_ending.ts";
import { failExhausted, readAdvisory } from "./_nats_exhausted.ts";
import { HeldTask, type NodeParts } from "./_nats_held.ts";
import { Link, type NodeLog } from "./_nats_link.ts";
import { LocalPools } from "./_nats_local.ts";
import { AllowedModules } from "./_nats_modules.ts";
import { Neighbours } from "./_nats_neighbours.ts";
import { Payloads } from "./_nats_payloads.ts";
import { NATS_PROTOCOL_VERSION } from "./_nats_protocol.ts";
import { type Delivery, Puller } from "./_nats_pull.ts";
import { openStore, refreshSettings, type Store } from "./_nats_store.ts";

/** The options of a node, checked. */
export interface NodeConfig {
  readonly connection: NatsConnectionOptions;
  readonly stream: string;
  readonly name: string;
  /** URLs. */
  readonly allowModules: readonly string[];
  readonly allowSource: boolean;
  readonly maxWorkers: number;
  readonly processes: boolean;
  readonly log: NodeLog;
}

/** A share of the lease after which it is renewed. */
const BEATS_PER_LEASE = 3;

/** A node that runs tasks. */
export class Node {
  readonly name: string;
  /** Resolves once it is over: to nothing after a drain, to the error that it ended with. */
  readonly closed: Promise<void | Error>;
  readonly #parts: NodeParts;
  readonly #puller: Puller;
  /** By id. */
  readonly #held = new Map<string, HeldTask>();
  /** Every task that is not over; those that are passed on may be here twice. */
  readonly #courses = new Map<HeldTask, Promise<void>>();
  #beatTimer: ReturnType<typeof setTimeout> | undefined;
  #beatMs = Infinity;
  /** What went wrong with pulling last. */
  #problem = "";
  #isDraining = false;
  #drained: Promise<void> | undefined;

  /**
   * Connects, and begins to pull.
   *
   * @throws {RangeError} If an allowed module cannot be read.
   * @throws {RuntimeError} If the server cannot be reached or used.
   */
  static async start(config: NodeConfig): Promise<Node> {
    const modules = await AllowedModules.read(config.allowModules);
    const connection = await connectTo({
      maxReconnectAttempts: -1,
      ...withoutUndefined(checkConnection(config.connection)),
      name: config.name,
    });
    try {
      const store = await openStore(connection, config.stream, {});
      return new Node(config, connection, store, modules);
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  private constructor(
    config: NodeConfig,
    connection: NatsConnection,
    store: Store,
    modules: AllowedModules,
  ) {
    const { name, log, maxWorkers, processes, allowSource } = config;
    this.name = name;
    const link = new Link(connection, log, {
      onLost: () => this.#puller.disconnected(),
      onBack: () => this.#onBack(),
    });
    const neighbours = new Neighbours(link, store.names, log, {
      node: name,
      version: NATS_PROTOCOL_VERSION,
      modules: modules.names,
      allowsSource: allowSource,
    });
    const payloads = new Payloads(store);
    const pools = new LocalPools({ maxWorkers, processes });
    this.#parts = {
      name,
      life: crypto.randomUUID(),
      store,
      link,
      log,
      payloads,
      modules,
      definitions: new Definitions(allowSource),
      neighbours,
      pools,
      teller: new Teller({ name, store, link, log, payloads, pools }),
    };
    this.#puller = new Puller(
      connection,
      config.stream,
      maxWorkers,
      createInbox,
      {
        take: (delivery) => this.#take(delivery),
        onProblem: (what) => this.#onProblem(what),
        restore: () => this.#restore(),
      },
    );
    this.closed = this.#whenClosed();
    this.#serve();
  }

  #serve(): void {
    const { neighbours, store: { names, connection } } = this.#parts;
    neighbours.answer();
    connection.subscribe(names.stop(">"), {
      callback: (_, { subject }) => this.#stop(names.idOf(subject)),
    });
    connection.subscribe(names.settings, {
      callback: () => void this.#onSettings(),
    });
    connection.subscribe(names.advisory, {
      callback: (_, { data }) => this.#onExhausted(data),
    });
    this.#puller.start();
  }

  /** A caller has stopped a task: one that was delivered, or a row of a bundle. */
  #stop(id: string): void {
    this.#held.get(id)?.stop();
    for (const task of this.#courses.keys()) task.stopRow(id);
  }

  /** Somebody has changed the lease, or how long an entry of a start lives. */
  async #onSettings(): Promise<void> {
    const { store, log } = this.#parts;
    try {
      await refreshSettings(store);
      this.#beatWithin(0);
    } catch (error) {
      const reason = describeError(error);
      log.debug({ reason }, "cannot read the settings of the stream now");
    }
  }

  /** A task was given out as often as it may be; its caller may not be there to hear of it. */
  #onExhausted(data: Uint8Array): void {
    const { store, payloads, log } = this.#parts;
    const sequence = readAdvisory(data);
    if (sequence === undefined) return;
    failExhausted(store, payloads, sequence).catch((error) => {
      const reason = describeError(error);
      log.warn(
        { reason },
        "cannot store that a task has no more nodes to go to",
      );
    });
  }

  // ------------------------------------------------------------------ tasks

  #take(delivery: Delivery): void {
    this.#problem = "";
    const held = this.#held.get(
      this.#parts.store.names.idOf(delivery.subject),
    );
    if (held !== undefined && !held.isLeaving) {
      // The lease was lost, or the task was passed on: it runs here all the same.
      held.deliverAgain(delivery);
      this.#onSettings(); // it may have changed, unheard
      return this.#puller.free();
    }
    this.#follow(
      new HeldTask(this.#parts, delivery, this.#puller),
    );
  }

  #follow(task: HeldTask): void {
    this.#held.set(task.id, task);
    this.#beatWithin(this.#beatOf(task));
    const course = (this.#isDraining ? task.runElsewhere() : task.run())
      .finally(() => {
        if (this.#held.get(task.id) === task) this.#held.delete(task.id);
        this.#courses.delete(task);
      });
    this.#courses.set(task, course);
  }

  // ----------------------------------------------------------------- leases

  /** Makes sure that the next beat comes soon enough. */
  #beatWithin(ms: number): void {
    if (ms >= this.#beatMs) return;
    clearTimeout(this.#beatTimer);
    this.#beatMs = ms;
    this.#beatTimer = setTimeout(() => this.#beat(), ms);
  }

  #beat(): void {
    const olderMs = this.#beatMs;
    this.#beatMs = Infinity;
    for (const task of this.#courses.keys()) {
      task.renew();
      task.lookAfter(olderMs);
      this.#beatWithin(this.#beatOf(task));
    }
  }

  /** When a task is to be looked after next: its lease, and its entry of a start, must not run out. */
  #beatOf(task: HeldTask): number {
    const { resultTtlMs } = this.#parts.store.settings;
    return Math.min(task.leaseMs, resultTtlMs) / BEATS_PER_LEASE;
  }

  // ------------------------------------------------------------- connection

  #onBack(): void {
    // What was told meanwhile is lost.
    for (const task of this.#courses.keys()) task.renew();
    this.#puller.reconnected();
  }

  /** Tells of a problem once, however often it is met. */
  #onProblem(what: string): void {
    if (what === this.#problem) return;
    this.#problem = what;
    const { log } = this.#parts;
    log.warn({ reason: what }, "cannot pull tasks now; it is tried again");
  }

  /**
   * Makes what is missing on the server. Not at once after a problem: a stream
   * that is made while the server still removes the files of one of that name
   * loses its own (nats-server 2.9.10).
   */
  async #restore(): Promise<boolean> {
    const { log, store } = this.#parts;
    try {
      await openStore(
        store.connection,
        store.names.tasks,
        {},
        store.publisher,
      );
      return true;
    } catch (error) {
      log.debug({ reason: describeError(error) }, "the stream cannot be used");
      return false;
    }
  }

  async #whenClosed(): Promise<void | Error> {
    const error = await this.#parts.link.closed;
    clearTimeout(this.#beatTimer);
    if (this.#isDraining && !error) return;
    const why = error ?? new Error("the connection was closed");
    this.#parts.log.error({ err: why }, "the connection is lost for good");
    this.#isDraining = true;
    await this.#puller.stop();
    // Nobody can be told what comes of them; other nodes get them.
    for (const task of this.#courses.keys()) task.stop();
    await this.#parts.pools.shutdown();
    await Promise.all(this.#courses.values());
    return why;
  }

  // ------------------------------------------------------------------ drain

  /** Takes no more tasks; resolves once those that run are over and told. */
  drain(): Promise<void> {
    return this.#drained ??= this.#drain();
  }

  async #drain(): Promise<void> {
    const { log, link, pools } = this.#parts;
    if (!this.#isDraining) {
      this.#isDraining = true;
      log.info({ running: this.#courses.size }, "draining");
      await this.#puller.stop();
      await Promise.all(this.#courses.values());
      await pools.shutdown();
      await this.#close(link.connection);
    }
    await this.closed;
    log.info({}, "drained");
  }

  async #close(connection: NatsConnection): Promise<void> {
    try {
      // What was acknowledged last is to be heard.
      if (this.#parts.link.isConnected) await connection.drain();
    } catch {
      // lost at the last moment: what was acknowledged comes again, and is known
    }
    await connection.close();
  }
}

function withoutUndefined<T extends object>(options: T): T {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as T;
}
