/**
 * A node's half of how definitions travel between machines: their modules come
 * as `module:<i>`, numbers in the task's list of names, and get the node's own
 * URLs.
 *
 * What a caller says of a task is not taken for true: a node that runs nothing
 * by source looks for itself whether something is.
 *
 * @module
 */

import type {
  BlindDefinition,
  Definition,
  ModuleDefinition,
  Use,
} from "./_definition.ts";
import { SerializationError } from "./errors.ts";

/** Definitions kept, and the most characters of one; those placed first go first. */
const MOST_KEPT = 1_024;
const MOST_TEXT = 1 << 16;

/** The definitions that a node has met, with its own URLs in them. */
export class Definitions {
  readonly #allowsSource: boolean;
  readonly #placed = new Map<string, string>();

  /** @param allowsSource Whether anything may come by source. */
  constructor(allowsSource: boolean) {
    this.#allowsSource = allowsSource;
  }

  /**
   * Does as `placeModules`, once for each definition.
   *
   * @throws {SerializationError} If it is not what it is said to be.
   */
  place(text: string, urls: readonly string[]): string {
    const key = `${text}\n${urls.join("\n")}`;
    const known = this.#placed.get(key);
    if (known !== undefined) return known;
    const placed = placeModules(text, urls, this.#allowsSource);
    if (key.length <= MOST_TEXT) this.#keep(key, placed);
    return placed;
  }

  #keep(key: string, placed: string): void {
    if (this.#placed.size >= MOST_KEPT) {
      this.#placed.delete(this.#placed.keys().next().value!);
    }
    this.#placed.set(key, placed);
  }
}

const NUMBERED = /^module:(\d+)$/;

/** What every function and every object has: a way to other functions than a module exports. */
const INHERITED: ReadonlySet<string> = new Set([
  "prototype",
  ...Object.getOwnPropertyNames(Object.prototype),
  ...Object.getOwnPropertyNames(Function.prototype)
    .filter((key) => key !== "name" && key !== "length"),
]);

/**
 * Puts the URLs of modules in the place of their numbers.
 *
 * @param text The definition, as JSON.
 * @param urls The modules' URLs here.
 * @param allowsSource Whether anything may come by source.
 * @returns The definition for a worker here, as JSON.
 * @throws {SerializationError} If it is not what it is said to be.
 */
export function placeModules(
  text: string,
  urls: readonly string[],
  allowsSource: boolean,
): string {
  const definition = JSON.parse(text) as Definition;
  if (!allowsSource) checkModule(definition);
  return JSON.stringify(place(definition, urls));
}

/** Lets pass what a module exports, and nothing else. */
function checkModule(definition: Definition): void {
  const { kind, name } = definition;
  if (kind === "module" ? isExport(definition) : isFound(definition)) return;
  throw new SerializationError(
    `Cannot run "${name}" as this node runs nothing by source: what came is none of what a module exports (${kind}); submit a function that a module exports`,
  );
}

/** Whether a way from a module leads to what it exports itself. */
function isExport({ path }: ModuleDefinition): boolean {
  return path.length > 0 &&
    path.every((key) => typeof key === "string" && !INHERITED.has(key));
}

/** Whether a function is only looked for in its module. */
function isFound(definition: Definition): definition is BlindDefinition {
  return definition.kind === "blind" && definition.text === undefined;
}

function place(definition: Definition, urls: readonly string[]): Definition {
  switch (definition.kind) {
    case "module":
    case "blind":
      return { ...definition, module: find(definition.module, urls) };
    case "source": {
      const uses = definition.uses.map((use) => placeUse(use, urls));
      return { ...definition, uses };
    }
    default:
      return definition;
  }
}

function placeUse(use: Use, urls: readonly string[]): Use {
  return use.kind === "global"
    ? use
    : { ...use, module: find(use.module, urls) };
}

function find(module: string, urls: readonly string[]): string {
  const url = urls[Number(NUMBERED.exec(module)?.[1] ?? NaN)];
  if (url !== undefined) return url;
  throw new SerializationError(
    `Cannot run a task as its modules must be named by its header: received "${module}"`,
  );
}
