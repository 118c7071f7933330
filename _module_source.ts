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
  /** The text of `export default`, where what is exported has no name. */
  readonly defaultText: string | undefined;
  readonly imports: ReadonlyMap<string, Import>;
  /** Whether a name, wherever it is declared, may be given a new value. */
  isAssigned(name: string): boolean;
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
        addImports(node, imports);
        break;
      case "ExportNamedDeclaration":
        if (node.source === null) addExports(node, exports);
        break;
      case "ExportDefaultDeclaration": {
        const name = nameOfDefault(node.declaration as AnyNode);
        if (name !== undefined) exports.set(name, "default");
        else defaultText = textOf(node.declaration as AnyNode, source);
      }
    }
  }
  return { exports, defaultText, imports, isAssigned: assignedIn(source) };
}

/** Reads the source again when it is first asked: to keep the tree would cost more than the text. */
function assignedIn(source: string): (name: string) => boolean {
  let assigned: Set<string> | "any" | undefined;
  return (name) => {
    if (assigned === undefined) {
      const program = parseModule(source);
      assigned = program === undefined ? "any" : findAssigned(program);
    }
    return assigned === "any" || assigned.has(name);
  };
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

/** Every name in the module that something assigns to; scopes are not told apart. */
function findAssigned(program: AnyNode): Set<string> {
  const names = new Set<string>();
  walk(program, (node) => {
    addAssigned(node, names);
    // `var` is there before it has its value.
    if (node.type === "VariableDeclaration" && node.kind === "var") {
      for (const { id } of node.declarations as { id: AnyNode }[]) {
        addNames(id, names);
      }
    }
    // With `eval` there is no telling.
    if (node.type === "CallExpression" && isEval(node.callee as AnyNode)) {
      walk(program, (inner) => {
        if (inner.type === "Identifier") names.add((inner as NameNode).name);
      });
    }
  });
  return names;
}

function isEval({ type, name }: AnyNode): boolean {
  return type === "Identifier" && name === "eval";
}
