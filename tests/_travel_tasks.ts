/**
 * Functions that need their module: its imports, its helpers, its state. Those which it exports
 * travel by reference; the others are given out by functions, and travel by source.
 *
 * @module
 */

import { basename, extname as extensionOf } from "node:path";
import * as path from "node:path";

export { capitalize as recapitalize } from "./_tasks.ts";

const SEPARATOR = ": ";
const units = { length: "m" };
let calls = 0;
let prepared: unknown;

/** A value for others to import. */
export const LIMITS = { low: 1, high: 10, seen: new Set(["a"]) };

/** A number for others to import. */
export const STEP = 5;

function label(name: string, value: unknown): string {
  return name + SEPARATOR + value;
}

/** Uses imports of its module, and a helper. */
export function describeFile(file: string): string {
  return label(basename(file), extensionOf(file).slice(1));
}

/** Counts its calls in its module. */
export function countCalls(): number {
  return ++calls;
}

function innerName(n: number): string {
  return label("inner", n);
}
export { innerName as outerName };

/** The default of its module. */
export default function describeDefault(n: number): string {
  return label("default", n);
}

/** An arrow function that uses a helper. */
export const describeArrow = (n: number): string => label("arrow", n);

/** Awaits. */
export async function describeLater(n: number): Promise<string> {
  await null;
  return label("later", n);
}

/** Holds methods. */
export const geometry = {
  factor: 3,
  /** Uses `this` and its module. */
  area(width: number, height: number): string {
    return label("area", width * height * this.factor);
  },
};

/** A class with static methods. */
export class Shape {
  static sides = 4;

  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  /** Uses `this`. */
  static describeSides(): string {
    return label("sides", this.sides);
  }

  /** Uses no `this`, but its module. */
  static describeLength(n: number): string {
    return label("length", n + units.length);
  }

  /** What a derived class inherits. */
  describe(): string {
    return label("shape", this.name);
  }
}

/** Fails, through a helper. */
export function failLabelled(n: number): never {
  throw new RangeError(label("failed", n));
}

/** An initializer: leaves a value in its module. */
export function prepare(value: unknown): void {
  prepared = value;
}

/** What the initializer left. */
export function readPrepared(): unknown {
  return prepared;
}

/** A generator that uses its module. */
export function* generateLabels(count: number): Generator<string> {
  for (let n = 0; n < count; n++) yield label("label", n);
}

// -------------------------------------------------------------- not exported

function hidden(file: string): string {
  return label(path.basename(file), units.length) + SEPARATOR + depth(3);
}

/** Calls itself. */
function depth(n: number): number {
  return n === 0 ? 0 : 1 + depth(n - 1);
}

/** Gives out a function that the module does not export. */
export function getHidden(): (file: string) => string {
  return hidden;
}

let offset = 1;

const hiddenArrow = (n: number): number => n + offset;

/** Gives out a function that reads a variable of the module, and one that changes that variable. */
export function getOffset(): {
  add: (n: number) => number;
  set: (n: number) => void;
} {
  return { add: hiddenArrow, set: (n) => void (offset = n) };
}

/** Gives out a function whose name is also that of an exported one. */
export function getOtherDescribeFile(): (file: string) => string {
  const describeFile = (file: string) => label("other", file);
  return describeFile;
}

/** Gives out a function that knows its module. */
export function getWhere(): () => string {
  return () => import.meta.url + SEPARATOR;
}
