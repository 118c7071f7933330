/**
 * What the source text of a module tells about its names: which it exports,
 * which it imports and from where, which it ever gives a new value.
 *
 * @module
 */

import {
  addAssigned,
  addNames,
  type AnyNode,
  type NameNode,
  parseModule,
  walk,
} from "./_syntax.ts";

/** A name that a module imports. */
export interface Import {
  readonly specifier: string;
  /** The name that the other module exports it by; `undefined` for its namespace. */
  readonly name: string | undefined;
}

/** The names of a module. */
export interface ModuleSource {
  /** Names by which others know it, by its own names. */
  readonly exports: ReadonlyMap<string, string>;
  /** The text of the function that is the default, as far as one is written in the module. */
  readonly defaultText: string | undefined;
  readonly imports: ReadonlyMap<string, Import>;
  /** Whether a name, wherever it is declared, may be given a new value. */
  isAssigned(name: string): boolean;
  /**
   * Returns the name that is declared with the function at a place, as `f` in
   * `const f = () => {}`: whenever that function is made, `f` is too.
   */
  nameDeclaredAt(line: number, column: number): string | undefined;
}

/** Returns what `source` tells; of text that cannot be read, nothing. */
export function readModuleSource(source: string): ModuleSource {
  const exports = new Map<string, string>();
  const imports = new Map<string, Import>();
  let defaultText: string | undefined;
  const program = parseModule(source);
  for (const node of (program?.body ?? []) as AnyNode[]) {
    switch (node.type) {
      case "ImportDeclaration":
        // What an attribute makes of a file, as JSON, is a value like any other.
        if ((node.attributes as unknown[]).length === 0) {
          addImports(node, imports);
        }
        break;
      case "ExportNamedDeclaration":
        if (node.source === null) addExports(node, exports);
        break;
      case "ExportDefaultDeclaration": {
        const declaration = node.declaration as AnyNode;
        const name = nameOfDefault(declaration);
        if (name !== undefined) exports.set(name, "default");
        // A name that no function uses is in no scope that could be looked at.
        const written = declaration.type === "Identifier"
          ? findFunction(program!, name!)
          : declaration;
        defaultText = written && textOf(written, source);
      }
    }
  }
  let names: Names | undefined;
  // Reads the source again when it is first asked: the tree is larger than the text.
  const read = () => names ??= findNames(parseModule(source));
  return {
    exports,
    defaultText,
    imports,
    isAssigned: (name) => read().isUnknown || read().assigned.has(name),
    nameDeclaredAt: (line, column) =>
      read().declaredAt(offsetOf(source, line, column)),
  };
}

function offsetOf(source: string, line: number, column: number): number {
  let start = 0;
  for (let i = 0; i < line; i++) start = source.indexOf("\n", start) + 1;
  return start + column;
}

/** What is known of the names of a module, wherever they are declared. */
interface Names {
  readonly isUnknown: boolean;
  /** Names that something assigns to. */
  readonly assigned: ReadonlySet<string>;
  /** Returns the name that is declared with the function whose parameters begin there. */
  declaredAt(offset: number): string | undefined;
}

/** Returns the function, declared at the top of a module, that a name stands for. */
function findFunction(program: AnyNode, name: string): AnyNode | undefined {
  for (const node of program.body as AnyNode[]) {
    const { id, declarations = [] } = node as {
      id?: NameNode;
      declarations?: { id: NameNode; init?: AnyNode }[];
    };
    if (node.type === "FunctionDeclaration" && id?.name === name) return node;
    const found = declarations.find(({ id }) => id.name === name);
    if (found?.init && isFunctionNode(found.init)) return found.init;
  }
  return undefined;
}

function isFunctionNode({ type }: AnyNode): boolean {
  return type === "ArrowFunctionExpression" || type === "FunctionExpression";
}

function textOf({ start, end }: AnyNode, source: string): string {
  return source.slice(start, end);
}

/** A name, or a string in its place. */
function nameOf(node: unknown): string {
  const { name, value } = node as { name?: string; value?: string };
  return name ?? value!;
}

function addImports(node: AnyNode, imports: Map<string, Import>): void {
  const specifier = (node.source as { value: string }).value;
  for (const { type, local, imported } of node.specifiers as AnyNode[]) {
    const name = type === "ImportSpecifier"
      ? nameOf(imported)
      : type === "ImportDefaultSpecifier"
      ? "default"
      : undefined;
    imports.set(nameOf(local), { specifier, name });
  }
}

function addExports(node: AnyNode, exports: Map<string, string>): void {
  for (const { local, exported } of node.specifiers as AnyNode[]) {
    exports.set(nameOf(local), nameOf(exported));
  }
  for (const name of declaredNames(node.declaration as AnyNode | null)) {
    exports.set(name, name);
  }
}

function declaredNames(declaration: AnyNode | null): Set<string> {
  const names = new Set<string>();
  if (declaration === null) return names;
  const { id, declarations = [] } = declaration as {
    id?: NameNode;
    declarations?: { id: AnyNode }[];
  };
  if (id) addNames(id, names);
  for (const { id } of declarations) addNames(id, names);
  return names;
}

/** The name of what is exported as the default, where it is only a name or has one. */
function nameOfDefault(declaration: AnyNode): string | undefined {
  if (declaration.type === "Identifier") return nameOf(declaration);
  const isDeclared = /Declaration$/.test(declaration.type);
  return isDeclared && declaration.id ? nameOf(declaration.id) : undefined;
}

/** Finds what the names of a module hold; scopes are not told apart. */
function findNames(program: AnyNode | undefined): Names {
  const assigned = new Set<string>();
  const heads: FunctionHead[] = [];
  const declared = new Map<AnyNode, string>();
  let isUnknown = program === undefined;
  walk(program ?? EMPTY, (node) => {
    addAssigned(node, assigned);
    switch (node.type) {
      case "VariableDeclaration":
        for (const { id, init } of node.declarations as Declarator[]) {
          // `var` is there before it has its value.
          if (node.kind === "var") addNames(id, assigned);
          else if (init && id.type === "Identifier") {
            declared.set(init, nameOf(id));
          }
        }
        return;
      case "FunctionDeclaration":
      case "FunctionExpression":
      case "ArrowFunctionExpression": {
        const { type, start, id, body } = node as FunctionNode;
        const isDeclared = type === "FunctionDeclaration" && id;
        const name = isDeclared ? nameOf(id) : declared.get(node);
        heads.push({ start, end: body.start, name });
        return;
      }
      case "CallExpression":
        // With `eval` there is no telling.
        if (isEval(node.callee as AnyNode)) isUnknown = true;
    }
  });
  // Functions within a head, in default values, begin later than the one it is of.
  const declaredAt = (offset: number) =>
    heads.findLast(({ start, end }) => start <= offset && offset <= end)?.name;
  return { isUnknown, assigned, declaredAt };
}

interface FunctionNode extends AnyNode {
  readonly id?: AnyNode | null;
  readonly body: AnyNode;
}

/** A function up to its body. */
interface FunctionHead {
  readonly start: number;
  readonly end: number;
  /** The name that is declared with it. */
  readonly name: string | undefined;
}

interface Declarator {
  readonly id: AnyNode;
  readonly init: AnyNode | null;
}

const EMPTY: AnyNode = { type: "Program", start: 0, end: 0 };

function isEval({ type, name }: AnyNode): boolean {
  return type === "Identifier" && name === "eval";
}
