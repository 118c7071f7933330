/**
 * The `this` that an arrow function has captured.
 *
 * The inspector lists the variables of a scope, but not its `this`. A snapshot
 * of the heap has it: the function's context points to it by that name. A
 * snapshot takes 0.3 s at least and grows with the heap (Deno 2.9.6, x86-64
 * Linux, 2026-11); nothing cheaper was found that is certain, not even to call
 * the function under a breakpoint, as its body could not be kept from running.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import process from "node:process";
import { findInstances } from "./_inspector.ts";
import { SerializationError } from "./errors.ts";

/** A larger heap would be frozen for many seconds. */
const LARGEST_HEAP_BYTES = 1 << 28;

const known = new WeakMap<object, { readonly self: unknown }>();

/**
 * Returns the `this` of an arrow function.
 *
 * @throws {SerializationError} If the heap is too large to look through.
 */
export function thisOfArrow(arrow: object): unknown {
  let found = known.get(arrow);
  if (found === undefined) known.set(arrow, found = { self: search(arrow) });
  return found.self;
}

/** What the snapshot is to show; its name is how it is found there. */
class ArrowUnderSearch {
  constructor(
    readonly arrow: object,
    /** Every object there is, as a snapshot tells of an object, but does not hand it out. */
    readonly objects: ArrayLike<object>,
  ) {}
}

function search(arrow: object): unknown {
  const { heapUsed } = Deno.memoryUsage();
  if (heapUsed > LARGEST_HEAP_BYTES) {
    throw new SerializationError(
      `Cannot find the "this" of an arrow function as it takes a snapshot of the heap, which has ${
        heapUsed >> 20
      } MB: pass what it needs of "this" as an argument, or put it into a variable`,
    );
  }
  const sought = new ArrowUnderSearch(
    arrow,
    findInstances(Object.prototype),
  );
  const heap = new Heap(takeSnapshot());
  const start = heap.find(ArrowUnderSearch.name);
  const self = findThis(heap, heap.follow(start, "arrow")!);
  // None, or the platform's one `undefined`: that of a module.
  if (self === undefined || heap.nameOf(self) === "undefined") return undefined;
  const index = heap.indexIn(heap.follow(start, "objects")!, self);
  if (index !== undefined) return sought.objects[index];
  throw new SerializationError(
    'Cannot find the "this" of an arrow function as it is no object that inherits from Object: put it into a variable',
  );
}

/** Follows the function's contexts outwards, to the first with a `this`. */
function findThis(heap: Heap, arrow: number): number | undefined {
  for (
    let context = heap.follow(arrow, "context");
    context !== undefined;
    context = heap.follow(context, "previous")
  ) {
    const self = heap.follow(context, "this");
    if (self !== undefined) return self;
  }
  return undefined;
}

/** What V8 writes: https://github.com/v8/v8/blob/main/src/profiler/heap-snapshot-generator.cc */
interface Snapshot {
  readonly snapshot: {
    readonly meta: {
      readonly node_fields: readonly string[];
      readonly edge_fields: readonly string[];
      readonly edge_types: readonly [readonly string[], ...unknown[]];
    };
  };
  readonly nodes: readonly number[];
  readonly edges: readonly number[];
  readonly strings: readonly string[];
}

function takeSnapshot(): Snapshot {
  const stream = process.getBuiltinModule("node:v8").getHeapSnapshot();
  const parts: Uint8Array[] = [];
  for (let part; (part = stream.read()) !== null;) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString());
}

/** Finds the way through a snapshot; a node is known by its place in `nodes`. */
class Heap {
  readonly #snapshot: Snapshot;
  readonly #node: Fields;
  readonly #edge: Fields;
  /** The edge type of an array's elements, which have an index for a name. */
  readonly #element: number;
  /** Edge types whose name is a string's number. */
  readonly #named: ReadonlySet<number>;

  constructor(snapshot: Snapshot) {
    const { meta } = snapshot.snapshot;
    this.#snapshot = snapshot;
    this.#node = readFields(meta.node_fields);
    this.#edge = readFields(meta.edge_fields);
    const [types] = meta.edge_types;
    this.#element = types.indexOf("element");
    this.#named = new Set(
      ["context", "property", "internal"].map((name) => types.indexOf(name)),
    );
  }

  nameOf(node: number): string {
    const { nodes, strings } = this.#snapshot;
    return strings[nodes[node + this.#node.at("name")]];
  }

  /** Returns the object of a class that has one instance. */
  find(className: string): number {
    const { nodes, strings } = this.#snapshot;
    const name = strings.indexOf(className);
    for (let node = 0; node < nodes.length; node += this.#node.size) {
      // The class has the same name, but no edge of the instance's.
      if (
        nodes[node + this.#node.at("name")] === name &&
        this.follow(node, "arrow") !== undefined
      ) return node;
    }
    throw new Error(`the snapshot of the heap must show ${className}`);
  }

  /** Returns the node that an edge of a given name leads to. */
  follow(node: number, name: string): number | undefined {
    const { edges, strings } = this.#snapshot;
    for (const edge of this.#edgesOf(node)) {
      if (
        this.#named.has(edges[edge + this.#edge.at("type")]) &&
        strings[edges[edge + this.#edge.at("name_or_index")]] === name
      ) return edges[edge + this.#edge.at("to_node")];
    }
    return undefined;
  }

  /** Returns the index of an element of an array. */
  indexIn(array: number, element: number): number | undefined {
    const { edges } = this.#snapshot;
    for (const edge of this.#edgesOf(array)) {
      if (
        edges[edge + this.#edge.at("to_node")] === element &&
        edges[edge + this.#edge.at("type")] === this.#element
      ) return edges[edge + this.#edge.at("name_or_index")];
    }
    return undefined;
  }

  /** The edges of all nodes lie in a row, in the order of the nodes. */
  *#edgesOf(node: number): Generator<number> {
    const { nodes } = this.#snapshot;
    const countAt = this.#node.at("edge_count");
    let first = 0;
    for (let n = countAt; n < node; n += this.#node.size) first += nodes[n];
    for (let i = 0; i < nodes[node + countAt]; i++) {
      yield (first + i) * this.#edge.size;
    }
  }
}

interface Fields {
  /** How many numbers make up one record. */
  readonly size: number;
  /** Where in a record a field lies. */
  at(name: string): number;
}

function readFields(names: readonly string[]): Fields {
  const places = new Map(names.map((name, i) => [name, i]));
  return { size: names.length, at: (name) => places.get(name)! };
}
