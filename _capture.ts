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
 * where one of the names is declared with a function, as that function was made
 * in the scope and in no other. Where nothing shows it, and a variable is
 * changed that several functions use, they are refused.
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
  type Script,
  type Variables,
} from "./_inspector.ts";
import {
  findExport,
  findGlobal,
  findGlobalObject,
  isModuleScope,
  makeImport,
  moduleSourceOf,
  nameOf,
  textOf,
} from "./_references.ts";
import { refusalOfFunction } from "./_function_refusal.ts";
import { FunctionRemover } from "./_members.ts";
import type { CapturedValue } from "./_payload.ts";
import { isPlatformName } from "./_realm.ts";
import { SerializationError } from "./errors.ts";

/** A function with all that it has captured. */
export interface Capture {
  readonly definition: SourceDefinition;
  readonly values: readonly CapturedValue[];
  /** Whether no variable can hold another value the next time. */
  isFixed(): boolean;
  /** Where it is fixed: whether to capture again would find the same functions. */
  isUnchanged(): boolean;
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

/** Properties that the program has given to a function; of a class, static ones too. */
export function addedProperties(fn: object, isClass = false): string[] {
  const names = Object.getOwnPropertyNames(fn).filter((name) =>
    !GIVEN.has(name)
  );
  return isClass ? names.filter((name) => !isMethod(fn, name)) : names;
}

/** Whether a static property is written as a method: it is not enumerable. */
function isMethod(holder: object, name: string): boolean {
  const { enumerable, value, get, set } = Object.getOwnPropertyDescriptor(
    holder,
    name,
  )!;
  return !enumerable && typeof (value ?? get ?? set) === "function";
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
  readonly script: Script | undefined;
  readonly scope: Scope | undefined;
  readonly names = new Map<string, Part>();
  readonly nodes: FunctionNode[] = [];
  readonly inner: CapturedScope[] = [];
  /** Which functions use a name, and whether they change it. */
  readonly users = new Map<string, Map<object, boolean>>();
  /** Whether functions were made there by code from `eval`, which is a script of its own. */
  #isOfSeveral = false;

  constructor(script?: Script, scope?: Scope) {
    this.script = script;
    this.scope = scope;
  }

  /** Returns the scope within this one that a copy shows. */
  within(script: Script | undefined, scope: Scope): CapturedScope {
    let found = this.inner.find((inner) => inner.#isShownBy(script, scope));
    if (found === undefined) {
      found = new CapturedScope(script, scope);
      this.inner.push(found);
    } else if (found.script?.id !== script?.id) found.#isOfSeveral = true;
    return found;
  }

  #isShownBy(script: Script | undefined, scope: Scope): boolean {
    const mine = this.scope!;
    if (mine.description !== scope.description) return false;
    const isSame = this.script?.id === script?.id;
    if (isSame && isModuleScope(scope)) return true;
    return (isSame || isEvaluated(this.script) || isEvaluated(script)) &&
      haveSameValues(mine.object, scope.object);
  }

  /** Names a variable that functions share and change while nothing shows that it is one. */
  findDoubtful(): [name: string, functions: object[]] | undefined {
    for (const [name, users] of this.users) {
      if (
        users.size > 1 && [...users.values()].includes(true) &&
        !this.#isCertain()
      ) return [name, [...users.keys()]];
    }
    return undefined;
  }

  #isCertain(): boolean {
    const { script, scope } = this;
    if (scope === undefined || script === undefined) return true;
    if (isModuleScope(scope) && !this.#isOfSeveral) return true;
    if (isEvaluated(script)) return false;
    return Object.getOwnPropertyNames(scope.object).some((name) => {
      const value = readVariable(scope.object, name)?.[0];
      if (typeof value !== "function") return false;
      const place = lookAt(value);
      if (place.script?.id !== script.id) return false;
      const { nameDeclaredAt, isAssigned } = moduleSourceOf(script);
      return !isAssigned(name) &&
        nameDeclaredAt(place.line, place.column) === name;
    });
  }
}

/** Whether a script is code from `eval` or the like, which names no module. */
function isEvaluated(script: Script | undefined): boolean {
  return script === undefined || !URL.canParse(script.url);
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
  /** In the order in which they can be made. */
  readonly #nodes: FunctionNode[] = [];
  #count = 0;
  readonly #uses: Use[] = [];
  readonly #usesByText = new Map<string, Part>();
  readonly #values: CapturedValue[] = [];
  readonly #slots = new Map<object, Part>();
  /** Variables whose values may change: their script and name. */
  readonly #variables: [script: Script | undefined, name: string][] = [];
  /** Whether something may change that no assignment shows. */
  #hasLooseEnds = false;
  /** Functions in objects that are values else. */
  readonly #members: Member[] = [];
  readonly #remover = new FunctionRemover();

  capture(fn: object, source: FunctionSource, place: Place): Capture {
    const { node } = this.#addNode(fn, source, place);
    this.#takeOutFunctions();
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
      isUnchanged: () => this.#isUnchanged(),
    };
  }

  #isFixed(): boolean {
    return !this.#hasLooseEnds &&
      this.#variables.every(([script, name]) =>
        !isEvaluated(script) && !moduleSourceOf(script!).isAssigned(name)
      );
  }

  /** Whether no function has come to the properties of what was captured. */
  #isUnchanged(): boolean {
    for (const [fn, { kind }] of this.#parts) {
      if (kind === "function" && Object.keys(fn).length > 0) return false;
    }
    const remover = new FunctionRemover();
    return this.#values.every(({ value }) =>
      typeof value !== "object" || value === null ||
      remover.takeOut(value) === undefined
    );
  }

  // -------------------------------------------------------------- functions

  /** Adds a function that something captured holds. */
  #addFunction(fn: object, holder: Holder, isMember = false): Part {
    const known = this.#parts.get(fn);
    if (known !== undefined) return known;
    const part = this.#addReference(fn) ??
      this.#addByText(fn, holder, isMember);
    this.#parts.set(fn, part);
    return part;
  }

  #addReference(fn: object): Part | undefined {
    const global = findGlobal(fn);
    return global && this.#addUse(global);
  }

  /** @param isMember Whether it is in an object, and comes along with it. */
  #addByText(fn: object, holder: Holder, isMember: boolean): Part {
    const read = readFunctionSource(textOf(fn));
    // Its `this` is the copy of the object.
    const source = isMember && read?.isMethod
      ? { ...read, usesThis: false }
      : read;
    if (
      refusalOfFunction(fn, source) === undefined && isAlone(fn, source!)
    ) return this.#addNode(fn, source!, undefined);
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
      index: this.#count++,
      self: undefined,
      meta: undefined,
      base: undefined,
      properties: new Map(),
    };
    const part = { kind: "function", node } as const;
    this.#parts.set(fn, part); // before what it captured, which may hold it
    const scope = place === undefined
      ? this.#outermost
      : this.#addCaptured(fn, node, place);
    scope.nodes.push(node);
    this.#nodes.push(node); // behind the class that it extends
    return part;
  }

  /** Adds what a function has captured; returns the scope that it is to be made in. */
  #addCaptured(fn: object, node: FunctionNode, place: Place): CapturedScope {
    const { source } = node;
    const by = nameOf(fn);
    const found = findCaptured(source.freeNames, place);
    const chain = this.#enter(place, Math.min(...found.values()));
    if (source.isDerived) this.#addBase(fn, node, by);
    for (const [name, index] of found) {
      this.#addVariable(fn, { name, by }, chain.get(index)!, source);
    }
    if (source.isArrow && source.usesThis) {
      node.self = this.#add(thisOfArrow(fn), { name: "this", by });
    }
    if (source.usesModule) {
      if (isEvaluated(place.script)) {
        throw new SerializationError(
          `Cannot send the function "${by}" as it imports by a path and was not written in a module: import by a URL`,
        );
      }
      node.meta = this.#addUse({
        kind: "meta",
        module: place.script!.url,
      });
    }
    this.#addProperties(fn, node, by);
    return [...chain.values()].at(-1) ?? this.#outermost;
  }

  /** The variable that a class extends need not be in a scope; the class it extends is at hand. */
  #addBase(fn: object, node: FunctionNode, by: string): void {
    const base = Object.getPrototypeOf(fn) as unknown;
    node.base = this.#add(base, { name: `the base of ${node.name}`, by });
  }

  #addProperties(fn: object, node: FunctionNode, by: string): void {
    for (const key of addedProperties(fn, node.source.isClass)) {
      const holder = { name: `${by}.${key}`, by };
      const property = Object.getOwnPropertyDescriptor(fn, key)!;
      if (property.get !== undefined || property.set !== undefined) {
        throw new SerializationError(
          `Cannot send the function "${by}" as "${holder.name}" is a getter or a setter: write a function in its place`,
        );
      }
      if (node.source.isClass && isInstance(property.value)) {
        throw new SerializationError(
          `Cannot send the function "${by}" as "${holder.name}" holds an object of a class, whose methods would stay behind: export "${by}" from its module, which the worker then imports`,
        );
      }
      this.#hasLooseEnds = true;
      node.properties.set(key, this.#add(property.value, holder));
    }
  }

  /** Returns the scopes of a function from the outermost to the one with an index. */
  #enter(
    { script, scopes }: Place,
    innermost: number,
  ): Map<number, CapturedScope> {
    const chain = new Map<number, CapturedScope>();
    let current = this.#outermost;
    for (let index = scopes.length - 1; index >= innermost; index--) {
      const scope = scopes[index];
      if (scope.object !== globalThis) {
        current = current.within(script, scope);
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
    source: FunctionSource,
  ): void {
    const { name } = holder;
    const users = scope.users.get(name) ?? new Map<object, boolean>();
    scope.users.set(name, users.set(fn, source.assigned.has(name)));
    if (scope.names.has(name)) return;
    const value = readCaptured(scope, holder);
    const imported = this.#addImport(name, value, scope);
    if (imported === undefined) this.#variables.push([scope.script, name]);
    scope.names.set(name, imported ?? this.#add(value, holder));
  }

  #addImport(
    name: string,
    value: unknown,
    { script, scope }: CapturedScope,
  ): Part | undefined {
    if (scope === undefined || !isModuleScope(scope)) return undefined;
    if (isEvaluated(script)) return undefined;
    const found = moduleSourceOf(script!).imports.get(name);
    const use = found && makeImport(found, name, value, script!.url);
    return use && this.#addUse(use);
  }

  #add(value: unknown, holder: Holder): Part {
    if (typeof value === "function") return this.#addFunction(value, holder);
    const global = typeof value === "object" && value !== null
      ? findGlobalObject(value)
      : undefined;
    return global === undefined
      ? this.#addValue(value, holder)
      : this.#addUse(global);
  }

  #addValue(value: unknown, { name, by }: Holder): Part {
    const isObject = typeof value === "object" && value !== null;
    let part = isObject ? this.#slots.get(value) : undefined;
    if (part === undefined) {
      const slot = this.#values.push({ name, by, value }) - 1;
      part = { kind: "value", slot };
      if (isObject) this.#slots.set(value, part);
    }
    return part;
  }

  /** Functions in values travel as functions do; they may bring values of their own. */
  #takeOutFunctions(): void {
    for (let slot = 0; slot < this.#values.length; slot++) {
      const { name, by, value } = this.#values[slot];
      if (typeof value !== "object" || value === null) continue;
      const taken = this.#remover.takeOut(value);
      if (taken === undefined) continue;
      this.#hasLooseEnds = true;
      this.#values[slot] = { name, by, value: taken.rest };
      for (const { path, fn } of taken.functions) {
        const holder = { name: `${name}.${path.join(".")}`, by };
        const part = this.#addFunction(fn, holder, true);
        this.#members.push({ slot, path, part });
      }
    }
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
    source.bound === undefined && !source.isDerived &&
    !(source.usesThis && (source.isArrow || source.isMethod)) &&
    addedProperties(fn, source.isClass).length === 0;
}

/** Whether a function is another one, or none, away from where it was written. */
export function needsItsPlace(
  fn: object,
  source: FunctionSource | undefined,
  place: Place,
): boolean {
  return source === undefined || refusalOfFunction(fn, source) !== undefined ||
    source.usesModule || (source.usesThis && source.isArrow) ||
    source.isDerived || findCaptured(source.freeNames, place).size > 0 ||
    addedProperties(fn, source.isClass).length > 0;
}

/** Whether an object has methods of a class of the program's. */
function isInstance(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype !== null && prototype !== Object.prototype &&
    readFunctionSource(textOf(prototype.constructor ?? Object))?.isClass ===
      true &&
    findGlobal(prototype.constructor) === undefined;
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
