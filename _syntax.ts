/**
 * JavaScript as a tree, by acorn: what both readers of source text share.
 *
 * @module
 */

import {
  type Node,
  type Options,
  parse as parseProgram,
  parseExpressionAt,
} from "npm:acorn@8.19.0";

/** A node with whatever fields its type has. */
export interface AnyNode extends Node {
  [field: string]: unknown;
}

/** An identifier. */
export interface NameNode extends AnyNode {
  readonly name: string;
}

const OPTIONS: Options = { ecmaVersion: "latest", sourceType: "module" };

/** Parses an expression; `undefined` where the text is none. */
export function parseExpression(text: string): AnyNode | undefined {
  try {
    return parseExpressionAt(text, 0, OPTIONS) as AnyNode;
  } catch {
    return undefined;
  }
}

/** Parses a module; `undefined` where the text is none that acorn knows. */
export function parseModule(text: string): AnyNode | undefined {
  try {
    return parseProgram(text, OPTIONS) as unknown as AnyNode;
  } catch {
    return undefined;
  }
}

/** Returns the nodes directly within a node. */
export function children(node: AnyNode): AnyNode[] {
  const found: AnyNode[] = [];
  for (const value of Object.values(node)) {
    if (Array.isArray(value)) found.push(...value.filter(isNode));
    else if (isNode(value)) found.push(value);
  }
  return found;
}

/** Whether a value is a node of the tree. */
export function isNode(value: unknown): value is AnyNode {
  return typeof value === "object" && value !== null && "type" in value;
}

/** Calls `visit` for a node and all in it, but not within what `visit` refuses. */
export function walk(
  node: AnyNode,
  visit: (node: AnyNode) => boolean | void,
): void {
  if (visit(node) === false) return;
  for (const child of children(node)) walk(child, visit);
}

/** Adds the names that a node gives a new value to; not those of declarations. */
export function addAssigned(node: AnyNode, names: Set<string>): void {
  switch (node.type) {
    case "AssignmentExpression":
    case "ForInStatement":
    case "ForOfStatement":
      return addNames(node.left as AnyNode, names);
    case "UpdateExpression":
      return addNames(node.argument as AnyNode, names);
  }
}

/** Adds the names in a pattern, as `a` and `b` in `{ x: [a, ...b] }`. */
export function addNames(pattern: AnyNode, names: Set<string>): void {
  switch (pattern.type) {
    case "Identifier":
      names.add((pattern as NameNode).name);
      return;
    case "ObjectPattern":
      for (const property of pattern.properties as AnyNode[]) {
        addNames((property.value ?? property.argument) as AnyNode, names);
      }
      return;
    case "ArrayPattern":
      for (const element of pattern.elements as (AnyNode | null)[]) {
        if (element !== null) addNames(element, names);
      }
      return;
    case "AssignmentPattern":
      return addNames(pattern.left as AnyNode, names);
    case "RestElement":
      return addNames(pattern.argument as AnyNode, names);
  }
}
