/**
 * Writes a function and what it has captured as one text, that makes both
 * again elsewhere.
 *
 * The text is a function of two arrays: the captured values, and what the
 * worker finds by name (imports, built-ins). Scopes become blocks, nested as
 * they were, so that two functions which shared a variable share it again, and
 * a name that hides another still does:
 *
 * ```text
 * ((V, U) => {
 *   const F = [], M = [], S = [];
 *   {                                     // the module
 *     let limit = V[0], hash = U[0], isqrt;
 *     S[0] = (x) => { isqrt = x; };
 *     M[0] = () => ({ "isqrt": (n) => Math.floor(Math.sqrt(n)) })["isqrt"];
 *     {                                   // a function in it
 *       let words = V[1];
 *       M[1] = () => ((w) => words.has(w) && isqrt(w.length) < limit);
 *     }
 *   }
 *   S[0](F[0] = M[0]());
 *   F[1] = M[1]();
 *   return F[1];
 * })
 * ```
 *
 * Functions are made when all variables are there, in an order of their own: a
 * class comes after the one that it extends, wherever that was written.
 *
 * @module
 */

import type { FunctionSource } from "./_function_source.ts";

/** What a variable holds. */
export type Part =
  | { readonly kind: "value"; readonly slot: number }
  | { readonly kind: "use"; readonly use: number }
  | { readonly kind: "function"; readonly node: FunctionNode };

/** A function that travels by source. */
export interface FunctionNode {
  readonly name: string;
  readonly source: FunctionSource;
  /** Its number among the functions of the text. */
  readonly index: number;
  /** For an arrow function that uses it: the value of `this`. */
  self: Part | undefined;
  /** What stands for its module. */
  meta: Part | undefined;
  /** What a class extends. */
  base: Part | undefined;
  /** Properties that the program has given to it. */
  readonly properties: Map<string, Part>;
}

/** A function in an object that travels as a value. */
export interface Member {
  /** The value. */
  readonly slot: number;
  /** The way from the value to the function. */
  readonly path: readonly string[];
  readonly part: Part;
}

/** The variables of a scope that are captured, and the functions that need them. */
export interface ScopeText {
  readonly names: ReadonlyMap<string, Part>;
  readonly nodes: readonly FunctionNode[];
  readonly inner: readonly ScopeText[];
}

/**
 * Writes the text of `main`.
 *
 * @param nodes All functions, in the order in which they can be made.
 */
export function writeClosure(
  outermost: ScopeText,
  main: FunctionNode,
  nodes: readonly FunctionNode[],
  members: readonly Member[] = [],
): string {
  return new ClosureWriter(nodes).write(outermost, main, members);
}

/** Writes the text of a function that has captured nothing. */
export function writeAlone(name: string, source: FunctionSource): string {
  const node: FunctionNode = {
    name,
    source,
    index: 0,
    self: undefined,
    meta: undefined,
    base: undefined,
    properties: new Map(),
  };
  const scope = { names: new Map(), nodes: [node], inner: [] };
  return writeClosure(scope, node, [node]);
}

class ClosureWriter {
  readonly #nodes: readonly FunctionNode[];
  /** What the names of this text begin with, and no function's text holds. */
  readonly #prefix: string;
  /** What is to be called with a function when it is made. */
  readonly #setters = new Map<FunctionNode, string[]>();
  #count = 0;

  constructor(nodes: readonly FunctionNode[]) {
    this.#nodes = nodes;
    const used = nodes.map(({ source }) =>
      source.express({ meta: "", load: "", base: "" }) +
      source.freeNames.join(" ")
    ).join(" ");
    let n = 0;
    while (used.includes(`$${n}_`)) n++;
    this.#prefix = `$${n}_`;
  }

  write(
    outermost: ScopeText,
    main: FunctionNode,
    members: readonly Member[],
  ): string {
    const p = this.#prefix;
    let body = this.#writeScope(outermost);
    for (const node of this.#nodes) body += this.#make(node);
    for (const node of this.#nodes) body += this.#addProperties(node);
    for (const { slot, path, part } of members) {
      const steps = path.map((key) => `[${JSON.stringify(key)}]`).join("");
      body += `${p}V[${slot}]${steps}=${this.#read(part)};`;
    }
    return `((${p}V,${p}U)=>{const ${p}F=[],${p}M=[],${p}S=[];${body}return ${
      this.#function(main)
    };})`;
  }

  #function({ index }: FunctionNode): string {
    return `${this.#prefix}F[${index}]`;
  }

  #writeScope({ names, nodes, inner }: ScopeText): string {
    let text = "";
    for (const [name, part] of names) text += this.#declare(name, part);
    for (const node of nodes) {
      text += `${this.#prefix}M[${node.index}]=()=>${this.#express(node)};`;
    }
    for (const scope of inner) text += this.#writeScope(scope);
    return text === "" ? "" : `{${text}}`;
  }

  #declare(name: string, part: Part): string {
    return part.kind === "function"
      ? `let ${name};${this.#whenMade(part.node, name)}`
      : `let ${name}=${this.#read(part)};`;
  }

  /** Writes that a variable is to hold a function once that is made. */
  #whenMade(node: FunctionNode, name: string): string {
    const p = this.#prefix;
    const setter = `${p}S[${this.#count++}]`;
    const setters = this.#setters.get(node) ?? [];
    this.#setters.set(node, [...setters, setter]);
    return `${setter}=(${p}x)=>{${name}=${p}x;};`;
  }

  #read(part: Part): string {
    if (part.kind === "function") return this.#function(part.node);
    return part.kind === "value"
      ? `${this.#prefix}V[${part.slot}]`
      : `${this.#prefix}U[${part.use}]`;
  }

  #make(node: FunctionNode): string {
    const made = this.#function(node);
    let text = `${made}=${this.#prefix}M[${node.index}]();`;
    for (const setter of this.#setters.get(node) ?? []) {
      text += `${setter}(${made});`;
    }
    return text;
  }

  #addProperties(node: FunctionNode): string {
    return [...node.properties].map(([key, part]) =>
      `Object.defineProperty(${this.#function(node)},${
        JSON.stringify(key)
      },{value:${
        this.#read(part)
      },writable:true,enumerable:true,configurable:true});`
    ).join("");
  }

  #express({ name, source, self, meta, base }: FunctionNode): string {
    const module = meta === undefined ? "" : this.#read(meta);
    let text = source.express({
      meta: `${module}.meta`,
      load: `${module}.load`,
      base: base === undefined ? "" : this.#read(base),
    });
    if (!source.isMethod && name !== "" && name !== "__proto__") {
      const key = JSON.stringify(name); // names a function that has no name of its own
      text = `({${key}:${text}})[${key}]`;
    }
    return self === undefined
      ? text
      : `(function(){return ${text};}).call(${this.#read(self)})`;
  }
}
