/**
 * The nodes of a stream, as each of them knows the others: who asks is answered
 * by all, with what they run.
 *
 * @module
 */

import { describeError } from "./_describe.ts";
import type { Link, NodeLog } from "./_nats_link.ts";
import { type Demands, whyNot } from "./_nats_modules.ts";
import type { NodeCard, StreamNames } from "./_nats_protocol.ts";

/** How long answers are waited for, and how long they hold. Milliseconds. */
const ANSWER_MS = 300;
const FRESH_MS = 1_000;

/** What is known of the nodes. */
interface Known {
  readonly atMs: number;
  readonly cards: Promise<NodeCard[]>;
}

/** The other nodes of a stream. */
export class Neighbours {
  readonly #link: Link;
  readonly #names: StreamNames;
  readonly #log: NodeLog;
  readonly own: NodeCard;
  #known: Known | undefined;

  constructor(link: Link, names: StreamNames, log: NodeLog, own: NodeCard) {
    this.#link = link;
    this.#names = names;
    this.#log = log;
    this.own = own;
  }

  /** Answers whoever asks. */
  answer(): void {
    const card = JSON.stringify(this.own);
    this.#link.connection.subscribe(this.#names.nodes, {
      callback: (_, message) => void message.respond(card),
    });
  }

  /** Asks all nodes; this one is the first of them. */
  cards(): Promise<NodeCard[]> {
    const now = performance.now();
    if (this.#known === undefined || now - this.#known.atMs > FRESH_MS) {
      this.#known = { atMs: now, cards: this.#ask() };
    }
    return this.#known.cards;
  }

  /** Whether another one runs what this one does not. */
  async canAnother(demands: Demands): Promise<boolean> {
    const [, ...others] = await this.cards();
    return others.some((card) => whyNot(card, demands) === undefined);
  }

  async #ask(): Promise<NodeCard[]> {
    const cards = [this.own];
    try {
      const answers = await this.#link.connection.requestMany(
        this.#names.nodes,
        undefined,
        { strategy: "timer", maxWait: ANSWER_MS },
      );
      for await (const answer of answers) {
        const card = readCard(answer.data);
        if (card !== undefined && card.node !== this.own.node) cards.push(card);
      }
    } catch (error) {
      const reason = describeError(error);
      this.#log.warn({ reason }, "cannot ask the other nodes what they run");
    }
    return cards;
  }
}

const decoder = new TextDecoder();

/** Reads a node's answer; whoever may answer could say anything. */
function readCard(data: Uint8Array): NodeCard | undefined {
  try {
    const card: NodeCard = JSON.parse(decoder.decode(data));
    const isCard = typeof card.node === "string" &&
      card.modules.every(({ name, hash }) =>
        typeof name === "string" && typeof hash === "string"
      );
    return isCard ? card : undefined;
  } catch {
    return undefined;
  }
}
