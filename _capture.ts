/**
 * Follows a function to all that it has captured: values, imports, and
 * functions that have captured something themselves.
 *
 * Each free name is looked for in the scopes that the function can see. What
 * is found there makes one part of the text that travels (`_closure_text.ts`):
 *
 * | the name holds                                | in the worker it holds                 |
 * | --------------------------------------------- | -------------------------------------- |
 * | what the module imports                       | the same, imported by module and name  |
 * | a built-in, a function that a module exports  | the same, found by name                |
 * | another function or class                     | it, made again from its text           |
 * | anything else                                 | a copy of the value                    |
 *
 * A scope that two functions share must be one again, or a variable that one of
 * them changes would be two. The inspector shows copies of scopes and does not
 * say which are the same. There is one scope of a module. Two others are taken
 * for one if all their variables hold the very same values. That is certain
 * where one of the values is a function made in that scope; where nothing shows
 * it and a variable is changed, the functions are refused.
 *
 * @module
 */

import {
  type FunctionNode,
  type Member,
  type Part,
  type ScopeText,
  writeClosure,
} from "./_closure_text.ts";
import { thisOfArrow } from "./_arrow_this.ts";
import type { SourceDefinition, Use } from "./_definition.ts";
import { type FunctionSource, readFunctionSource } from "./_function_source.ts";
import {
  lookAt,
  type Place,
  readVariable,
  type Scope,
  type Variables,
} from "./_inspector.ts";
import {
  findExport,
  findGlobal,
  isModuleScope,
  isPlatformName,
  makeImport,
  moduleSourceOf,
  nameOf,
  textOf,
} from "./_references.ts";
import { refusalOfFunction } from "./_function_refusal.ts";
import { takeOutFunctions } from "./_members.ts";
import type { CapturedValue } from "./_payload.ts";
import { SerializationError } from "./errors.ts";

/** A function with all that it has captured. */
export interface Capture {
  readonly definition: SourceDefinition;
  readonly values: readonly CapturedValue[];
  /** Whether to capture again would find the same values. */
  isFixed(): boolean;
}

/** Which scope holds each free name of a function that is not the platform's. */
export function findCaptured(
  names: readonly string[],
  { scopes }: Place,
): Map<string, number> {
  const found = new Map<string, number>();
  for (const name of names) {
    const index = scopes.findIndex(({ object }) =>
      object === globalThis ? name in globalThis : Object.hasOwn(object, name)
    );
    if (index < 0) continue; // nobody knows it: what it says there, it says here
    if (scopes[index].object === globalThis && isPlatformName(name)) continue;
    found.set(name, index);
  }
  return found;
}

/** Properties that the program has given to a function. */
export function addedProperties(fn: object): string[] {
  return Object.getOwnPropertyNames(fn).filter((name) => !GIVEN.has(name));
}

const GIVEN = new Set(["length", "name", "prototype", "arguments", "caller"]);

/**
 * Captures a function.
 *
 * @throws {SerializationError} If a part of it cannot travel; it names the variable.
 */
export function capture(
  fn: object,
  source: FunctionSource,
  place: Place,
): Capture {
  return new Graph().capture(fn, source, place);
}

/** Who captured something, under which name. */
interface Holder {
  readonly name: string;
  readonly by: string;
}

/** A scope, known again by its variables. */
class CapturedScope implements ScopeText {
  readonly script: string | undefined;
  readonly scope: Scope | undefined;
  readonly names = new Map<string, Part>();
  readonly nodes: FunctionNode[] = [];
  readonly inner: CapturedScope[] = [];
  /** The functions made in it or in scopes within it. */
  readonly functions = new Set<object>();
  /** Which functions use a name, and which of them change it. */
  readonly users = new Map<string, Map<object, boolean>>();

  constructor(script?: string, scope?: Scope) {
    this.script = script;
    this.scope = scope;
  }

  /** Returns the scope within this one that a copy shows. */
  within(script: string | undefined, scope: Scope): CapturedScope {
    let found = this.inner.find((inner) => inner.#isShownBy(script, scope));
    if (found === undefined) {
      found = new CapturedScope(script, scope);
      this.inner.push(found);
    }
    return found;
  }

  #isShownBy(script: string | undefined, scope: Scope): boolean {
    const mine = this.scope!;
    if (this.script !== script || mine.description !== scope.description) {
      return false;
    }
    return isModuleScope(scope) || haveSameValues(mine.object, scope.object);
  }

  /** Names a variable that functions share and change while nothing shows that it is one. */
  findDoubtful(): [name: string, functions: object[]] | undefined {
    if (this.scope === undefined || isModuleScope(this.scope)) return undefined;
    const { object } = this.scope;
    const isShown = Object.getOwnPropertyNames(object).some((name) =>
      this.functions.has(readVariable(object, name)?.[0] as object)
    );
    if (isShown) return undefined;
    for (const [name, users] of this.users) {
      if (users.size > 1 && [...users.values()].includes(true)) {
        return [name, [...users.keys()]];
      }
    }
    return undefined;
  }
}

function haveSameValues(a: Variables, b: Variables): boolean {
  const names = Object.getOwnPropertyNames(a);
  return names.length === Object.getOwnPropertyNames(b).length &&
    names.every((name) =>
      name in b &&
      Object.is(readVariable(a, name)?.[0], readVariable(b, name)?.[0])
    );
}

class Graph {
  readonly #outermost = new CapturedScope();
  readonly #parts = new Map<object, Part>();
  readonly #nodes: FunctionNode[] = [];
  readonly #uses: Use[] = [];
  readonly #usesByText = new Map<string, Part>();
  readonly #values: CapturedValue[] = [];
  /** Variables whose values may change: their script and name. */
  readonly #variables: [script: string | undefined, name: string][] = [];
  #hasLooseEnds = false;
  /** Functions in objects that are values else. */
  readonly #members: Member[] = [];

  capture(fn: object, source: FunctionSource, place: Place): Capture {
    const { node } = this.#addNode(fn, source, place);
    this.#checkScopes(this.#outermost);
    const definition: SourceDefinition = {
      kind: "source",
      name: nameOf(fn),
      text: writeClosure(this.#outermost, node, this.#nodes, this.#members),
      uses: this.#uses,
      isCapturing: this.#values.length > 0,
    };
    return {
      definition,
      values: this.#values,
      isFixed: () => this.#isFixed(),
    };
  }

  #isFixed(): boolean {
    return !this.#hasLooseEnds &&
      this.#variables.every(([script, name]) =>
        script !== undefined && !moduleSourceOf(script).isAssigned(name)
      );
  }

  // -------------------------------------------------------------- functions

  /** Adds a function that something captured holds. */
  #addFunction(fn: object, holder: Holder, object?: object): Part {
    const known = this.#parts.get(fn);
    if (known !== undefined) return known;
    const part = this.#addReference(fn) ?? this.#addByText(fn, holder, object);
    this.#parts.set(fn, part);
    return part;
  }

  #addReference(fn: object): Part | undefined {
    const global = findGlobal(fn);
    return global && this.#addUse(global);
  }

  /** @param object What the function is a member of, and comes along with. */
  #addByText(fn: object, holder: Holder, object?: object): Part {
    const read = readFunctionSource(textOf(fn));
    // Its `this` is the copy of the object.
    const source = object !== undefined && read?.isMethod
      ? { ...read, usesThis: false }
      : read;
    if (source !== undefined && isAlone(fn, source)) {
      return this.#addNode(fn, source, undefined);
    }
    const place = lookAt(fn);
    const exported = needsItsPlace(fn, source, place)
      ? findExport(fn, place)
      : undefined;
    if (exported !== undefined) return this.#addUse(exported);
    const why = refusalOfFunction(fn, source, place);
    if (why !== undefined) throw refuseCaptured(holder, `${why}; or export it`);
    return this.#addNode(fn, source!, place);
  }

  #addNode(
    fn: object,
    source: FunctionSource,
    place: Place | undefined,
  ): Part & { kind: "function" } {
    const { name } = fn as { name?: unknown };
    const node: FunctionNode = {
      name: typeof name === "string" ? name : "",
      source,
      index: this.#nodes.length,
      self: undefined,
      meta: undefined,
      base: undefined,
      properties: new Map(),
    };
    const part = { kind: "function", node } as const;
    this.#nodes.push(node);
    this.#parts.set(fn, part); // before what it captured, which may hold it
    const scope = place === undefined
      ? this.#outermost
      : this.#addCaptured(fn, node, place);
    scope.nodes.push(node); // behind the classes that it extends
    return part;
  }

  /** Adds what a function has captured; returns the scope that it is to be made in. */
  #addCaptured(fn: object, node: FunctionNode, place: Place): CapturedScope {
    const { source } = node;
    const by = nameOf(fn);
    const found = findCaptured(source.freeNames, place);
    const chain = this.#enter(fn, place, Math.min(...found.values()));
    if (source.isClass) this.#addBase(fn, node, by);
    for (const [name, index] of found) {
      this.#addVariable(fn, { name, by }, chain.get(index)!, place, source);
    }
    if (source.isArrow && source.usesThis) {
      node.self = this.#addValue(thisOfArrow(fn), { name: "this", by });
    }
    if (source.usesModule) {
      if (!URL.canParse(place.url)) {
        throw new SerializationError(
          `Cannot send the function "${by}" as it imports by a path and was not written in a module: import by a URL`,
        );
      }
      node.meta = this.#addUse({ kind: "meta", module: place.url });
    }
    if (!source.isClass) this.#addProperties(fn, node, by);
    return [...chain.values()].at(-1) ?? this.#outermost;
  }

  /** The variable that a class extends need not be in a scope; the class it extends is at hand. */
  #addBase(fn: object, node: FunctionNode, by: string): void {
    if (!node.source.isDerived) return;
    const base = Object.getPrototypeOf(fn) as unknown;
    node.base = this.#add(base, { name: `the base of ${node.name}`, by });
  }

  #addProperties(fn: object, node: FunctionNode, by: string): void {
    for (const key of addedProperties(fn)) {
      const value = Object.getOwnPropertyDescriptor(fn, key)!.value as unknown;
      this.#hasLooseEnds = true;
      node.properties.set(key, this.#add(value, { name: `${by}.${key}`, by }));
    }
  }

  /** Returns the scopes of a function from the outermost to the one with an index. */
  #enter(
    fn: object,
    { script, scopes }: Place,
    innermost: number,
  ): Map<number, CapturedScope> {
    const chain = new Map<number, CapturedScope>();
    let current = this.#outermost;
    for (let index = scopes.length - 1; index >= innermost; index--) {
      const scope = scopes[index];
      if (scope.object !== globalThis) {
        current = current.within(script, scope);
        current.functions.add(fn);
      }
      chain.set(index, current);
    }
    return chain;
  }

  // -------------------------------------------------------------- variables

  #addVariable(
    fn: object,
    holder: Holder,
    scope: CapturedScope,
    place: Place,
    source: FunctionSource,
  ): void {
    const { name } = holder;
    const users = scope.users.get(name) ?? new Map<object, boolean>();
    scope.users.set(name, users.set(fn, source.assigned.has(name)));
    if (scope.names.has(name)) return;
    const value = readCaptured(scope, holder);
    const imported = this.#addImport(name, value, scope, place);
    if (imported === undefined) this.#variables.push([scope.script, name]);
    scope.names.set(name, imported ?? this.#add(value, holder));
  }

  #addImport(
    name: string,
    value: unknown,
    { script, scope }: CapturedScope,
    place: Place,
  ): Part | undefined {
    if (script === undefined || scope === undefined) return undefined;
    if (!isModuleScope(scope)) return undefined;
    const found = moduleSourceOf(script).imports.get(name);
    return found && this.#addUse(makeImport(found, name, value, place.url));
  }

  #add(value: unknown, holder: Holder): Part {
    return typeof value === "function"
      ? this.#addFunction(value, holder)
      : this.#addValue(value, holder);
  }

  #addValue(value: unknown, { name, by }: Holder): Part {
    const slot = this.#values.length;
    const isObject = typeof value === "object" && value !== null;
    const found = isObject ? takeOutFunctions(value) : undefined;
    this.#values.push({ name, by, value: found?.rest ?? value });
    for (const { path, holder, fn } of found?.functions ?? []) {
      this.#hasLooseEnds = true;
      const where = { name: `${name}.${path.join(".")}`, by };
      const part = this.#addFunction(fn, where, holder);
      this.#members.push({ slot, path, part });
    }
    return { kind: "value", slot };
  }

  #addUse(use: Use): Part {
    const text = JSON.stringify(use);
    let part = this.#usesByText.get(text);
    if (part === undefined) {
      part = { kind: "use", use: this.#uses.push(use) - 1 };
      this.#usesByText.set(text, part);
    }
    return part;
  }

  #checkScopes(scope: CapturedScope): void {
    const doubtful = scope.findDoubtful();
    if (doubtful !== undefined) {
      const [name, functions] = doubtful;
      const [first, second] = functions.map(nameOf);
      throw new SerializationError(
        `Cannot send the functions "${first}" and "${second}" as they have captured "${name}", which one of them changes, ` +
          "and nothing tells whether both mean the same variable: keep what they share in an object, and pass it as an argument",
      );
    }
    for (const inner of scope.inner) this.#checkScopes(inner);
  }
}

/** Whether a function uses nothing but parameters and what it declares itself. */
export function isAlone(fn: object, source: FunctionSource): boolean {
  return source.freeNames.length === 0 && !source.usesModule &&
    source.bound === undefined &&
    !(source.usesThis && (source.isArrow || source.isMethod)) &&
    (source.isClass || addedProperties(fn).length === 0);
}

/** Whether a function is another one, or none, away from where it was written. */
export function needsItsPlace(
  fn: object,
  source: FunctionSource | undefined,
  place: Place,
): boolean {
  return source === undefined || refusalOfFunction(fn, source) !== undefined ||
    source.usesModule || (source.usesThis && source.isArrow) ||
    findCaptured(source.freeNames, place).size > 0 ||
    (!source.isClass && addedProperties(fn).length > 0);
}

function readCaptured({ scope }: CapturedScope, holder: Holder): unknown {
  const object = scope?.object ?? globalThis as unknown as Variables;
  const read = readVariable(object, holder.name);
  if (read !== undefined) return read[0];
  throw new SerializationError(
    `Cannot send the function "${holder.by}" as "${holder.name}" captured by "${holder.by}" has no value yet: submit it later`,
  );
}

function refuseCaptured({ name, by }: Holder, why: string): SerializationError {
  return new SerializationError(
    `Cannot send the function "${by}" as "${name}" captured by "${by}" holds a function that cannot travel: ${why}`,
  );
}
