/**
 * Payloads that are larger than the server takes in one message: they lie in an
 * object store, and the frame says where.
 *
 * @module
 */

import { type ObjectStore, Objm } from "npm:@nats-io/obj@3.4.0";
import { concat } from "./_bytes.ts";
import {
  type Frame,
  type ResultHeader,
  splitParts,
  type TaskHeader,
  writeFrame,
} from "./_nats_protocol.ts";
import { despiteOthers, type Store } from "./_nats_store.ts";

/** Room that a message needs beside its frame: subject, headers. */
const MARGIN_BYTES = 4_096;

/** The object stores of a stream; each is made when it is first needed. */
export class Payloads {
  readonly #store: Store;
  #most = 0;
  readonly #buckets = new Map<string, Promise<ObjectStore>>();

  constructor(store: Store) {
    this.#store = store;
    this.#mostBytes();
  }

  /** Makes the message of a task; what is too large for it is stored first. */
  packTask(
    id: string,
    header: TaskHeader,
    parts: readonly Uint8Array[],
  ): Uint8Array | Promise<Uint8Array> {
    return this.#pack(this.#store.names.arguments, id, header, parts);
  }

  /** Makes the message of a result; what is too large for it is stored first. */
  packResult(
    id: string,
    header: ResultHeader,
    parts: readonly Uint8Array[],
  ): Uint8Array | Promise<Uint8Array> {
    return this.#pack(this.#store.names.values, id, header, parts);
  }

  /**
   * Returns a task with all its parts.
   *
   * @throws {Error} If the object that it names is not there.
   */
  completeTask(
    frame: Frame<TaskHeader>,
  ): Frame<TaskHeader> | Promise<Frame<TaskHeader>> {
    return this.#complete(this.#store.names.arguments, frame);
  }

  /**
   * Returns a result with all its parts.
   *
   * @throws {Error} If the object that it names is not there.
   */
  completeResult(
    frame: Frame<ResultHeader>,
  ): Frame<ResultHeader> | Promise<Frame<ResultHeader>> {
    return this.#complete(this.#store.names.values, frame);
  }

  /** Removes what was stored of a task that is over; nothing comes of it where it is gone. */
  async dropTask({ object }: TaskHeader): Promise<void> {
    if (object === undefined) return;
    const { jsm, names } = this.#store;
    const bucket = await this.#open(names.arguments);
    await bucket.delete(object);
    // The store keeps a note that it was deleted, for ever.
    const name = btoa(object).replaceAll("+", "-").replaceAll("/", "_");
    await jsm.streams.purge(`OBJ_${names.arguments}`, {
      filter: `$O.${names.arguments}.M.${name}`,
    });
  }

  #pack(
    bucket: string,
    id: string,
    header: TaskHeader | ResultHeader,
    parts: readonly Uint8Array[],
  ): Uint8Array | Promise<Uint8Array> {
    const frame = writeFrame(header, parts);
    return frame.length <= this.#mostBytes()
      ? frame
      : this.#packLarge(bucket, id, header, parts);
  }

  /** How large a message may be; while there is no connection, as it was at the last. */
  #mostBytes(): number {
    const { info } = this.#store.connection;
    if (info !== undefined) this.#most = info.max_payload - MARGIN_BYTES;
    return this.#most;
  }

  async #packLarge(
    bucket: string,
    id: string,
    header: TaskHeader | ResultHeader,
    parts: readonly Uint8Array[],
  ): Promise<Uint8Array> {
    // A name of its own: what runs twice must not replace what somebody reads.
    const object = `${id}.${crypto.randomUUID()}`;
    const objects = await this.#open(bucket);
    await objects.putBlob({ name: object }, parts.reduce(concat));
    return writeFrame({ ...header, object }, []);
  }

  #complete<H extends TaskHeader | ResultHeader>(
    bucket: string,
    frame: Frame<H>,
  ): Frame<H> | Promise<Frame<H>> {
    return frame.header.object === undefined
      ? frame
      : this.#readLarge(bucket, frame.header, frame.header.object);
  }

  async #readLarge<H extends TaskHeader | ResultHeader>(
    bucket: string,
    header: H,
    object: string,
  ): Promise<Frame<H>> {
    const objects = await this.#open(bucket);
    const bytes = await objects.getBlob(object);
    if (bytes === null) {
      throw new Error(
        `the object "${object}" must be in the store "${bucket}": it is gone`,
      );
    }
    return { header, parts: splitParts(header.parts, bytes) };
  }

  #open(bucket: string): Promise<ObjectStore> {
    let opened = this.#buckets.get(bucket);
    if (opened === undefined) {
      opened = this.#make(bucket);
      this.#buckets.set(bucket, opened);
      opened.catch(() => this.#buckets.delete(bucket)); // to be tried again
    }
    return opened;
  }

  async #make(bucket: string): Promise<ObjectStore> {
    const { js, jsm, names } = this.#store;
    // Arguments may have to wait for longer than any result is kept.
    if (bucket !== names.values) {
      return await despiteOthers(() => new Objm(js).create(bucket));
    }
    // As it is now: another executor may have set it since this one has connected.
    const { config } = await jsm.streams.info(names.results);
    const options = { ttl: config.max_age };
    return await despiteOthers(() => new Objm(js).create(bucket, options));
  }
}
