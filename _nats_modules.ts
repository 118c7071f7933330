/**
 * Which module is meant: a caller and a node have the same file in different
 * places, and may have different versions of it. So a file is named by its name
 * and a hash of its bytes, and a node runs it only where it allows that very one.
 *
 * @module
 */

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { describeError } from "./_describe.ts";
import {
  type ModuleName,
  NATS_PROTOCOL_VERSION,
  type NodeCard,
  type TaskHeader,
} from "./_nats_protocol.ts";

/** Returns the URL of a module that is named by its path, from the current folder, or by a URL. */
export function toUrl(module: string | URL): string {
  // A scheme of one letter is a drive of Windows.
  return module instanceof URL || /^[a-z][a-z0-9+.-]+:/i.test(module)
    ? String(module)
    : pathToFileURL(resolve(module)).href;
}

/**
 * Names a module for the other side.
 *
 * @param url Its URL.
 * @returns A file's name and hash; of any other module the URL, which means the
 * same everywhere.
 * @throws {Deno.errors.NotFound} If there is no such file.
 */
export async function nameModule(url: string): Promise<ModuleName> {
  if (!url.startsWith("file:")) return { name: url, hash: "" };
  const file = new URL(url);
  const bytes = await Deno.readFile(file);
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const name = decodeURIComponent(file.pathname.split("/").at(-1)!);
  return { name, hash: toHex(hash) };
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}

/** The modules that a node runs. */
export class AllowedModules {
  readonly #urls: ReadonlyMap<string, string>;
  readonly names: readonly ModuleName[];

  private constructor(names: readonly ModuleName[], urls: readonly string[]) {
    this.names = names;
    this.#urls = new Map(names.map((name, i) => [keyOf(name), urls[i]]));
  }

  /**
   * Reads the modules that are to be allowed.
   *
   * @param urls Their URLs; their texts as of now are what is allowed.
   * @throws {RangeError} If a file cannot be read.
   */
  static async read(urls: readonly string[]): Promise<AllowedModules> {
    return new AllowedModules(await Promise.all(urls.map(nameAllowed)), urls);
  }

  /** Returns the URL of a module on this node; `undefined` where it is not allowed. */
  urlOf(name: ModuleName): string | undefined {
    return this.#urls.get(keyOf(name));
  }
}

async function nameAllowed(url: string): Promise<ModuleName> {
  try {
    return await nameModule(url);
  } catch (cause) {
    throw new RangeError(
      `Cannot allow a module as it must be a file that can be read: ${
        describeError(cause)
      }`,
      { cause },
    );
  }
}

function keyOf({ name, hash }: ModuleName): string {
  return `${hash} ${name}`;
}

/** Digits of a hash that messages show. */
const SHOWN_DIGITS = 8;

/** What a task asks of a node. */
export type Demands = Pick<TaskHeader, "version" | "modules" | "isSource">;

/**
 * Says why a node does not run a task, to come behind its name; `undefined`
 * where it does.
 */
export function whyNot(
  card: NodeCard,
  { version, modules, isSource }: Demands,
): string | undefined {
  if (card.version !== version) {
    return `speaks version ${card.version} of the protocol`;
  }
  if (isSource && !card.allowsSource) {
    return "does not run what comes by source";
  }
  for (const module of modules) {
    const why = whyNotModule(card, module);
    if (why !== undefined) return why;
  }
  return undefined;
}

function whyNotModule(card: NodeCard, wanted: ModuleName): string | undefined {
  if (wanted.hash === "" && card.allowsSource) return undefined;
  const others = card.modules.filter(({ name }) => name === wanted.name);
  if (others.some(({ hash }) => hash === wanted.hash)) return undefined;
  return others.length === 0
    ? `does not allow "${wanted.name}"`
    : `has another "${wanted.name}" (${
      others.map(({ hash }) => shorten(hash)).join(", ")
    })`;
}

function shorten(hash: string): string {
  return hash.slice(0, SHOWN_DIGITS);
}

/**
 * Says why nobody runs a task.
 *
 * @param name The function's name.
 * @param cards All nodes.
 */
export function tellRefusal(
  name: string,
  demands: Demands,
  cards: readonly NodeCard[],
): string {
  const { version, modules, isSource } = demands;
  const nodes = cards.map((card) =>
    `node "${card.node}" ${whyNot(card, demands) ?? "does"}`
  ).join("; ");
  if (version !== NATS_PROTOCOL_VERSION) {
    return `Cannot run "${name}" as a node must speak version ${version} of the protocol: ${nodes}; run the same version of this module on both sides`;
  }
  if (isSource && !cards.some(({ allowsSource }) => allowsSource)) {
    return `Cannot run "${name}" as a node must run what comes by source: ${nodes}; put it into a module that the nodes allow and submit it through importTasks, or start nodes with --allow-source`;
  }
  const list = modules.map(({ name, hash }) =>
    hash === "" ? `"${name}"` : `"${name}" (${shorten(hash)})`
  ).join(", ");
  return `Cannot run "${name}" as a node must allow ${list}, as it was submitted: ${nodes}; start nodes with --allow-module and the same version of it`;
}
