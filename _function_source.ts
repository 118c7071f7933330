/**
 * What the source text of a function tells: the expression that makes the
 * function again, and what in it belongs to the place where it was written.
 *
 * @module
 */

import { type Node, parseExpressionAt } from "npm:acorn@8.19.0";

/** A function's source, understood. */
export interface FunctionSource {
  /** An expression whose value is the function, in strict code. */
  readonly expression: string;
  readonly isClass: boolean;
  /** Whether it is written as a method of an object or a class. */
  readonly isMethod: boolean;
  /** Whether it uses the object that it is a method of. */
  readonly usesThis: boolean;
  /** Whether it is an arrow function, whose `this` is that of its place. */
  readonly isArrow: boolean;
  /** Whether it names its module: `import.meta`, `import("./x.ts")`. */
  readonly usesModule: boolean;
}

/** Returns what `source` tells, or `undefined` where it is no function by itself. */
export function readFunctionSource(source: string): FunctionSource | undefined {
  const plain = parse(`(${source}\n)`);
  if (plain !== undefined) {
    return describe(plain, `(${source}\n)`, false);
  }
  // A method's text has no meaning outside of an object.
  const object = parse(`({${source}\n})`);
  const property = object?.properties?.[0];
  if (property === undefined || property.computed) return undefined;
  const key = JSON.stringify(property.key.name ?? String(property.key.value));
  const expression = property.kind === "init"
    ? `({${source}\n})[${key}]`
    : `Object.getOwnPropertyDescriptor({${source}\n}, ${key}).${property.kind}`;
  return describe(property.value, expression, true);
}

/** A node with the fields that are looked at here. */
interface AnyNode extends Node {
  [field: string]: unknown;
  properties?: PropertyNode[];
}

interface PropertyNode {
  kind: "init" | "get" | "set";
  computed: boolean;
  key: { name?: string; value?: unknown };
  value: AnyNode;
}

function parse(text: string): AnyNode | undefined {
  try {
    return parseExpressionAt(text, 0, {
      ecmaVersion: "latest",
      sourceType: "module",
    }) as AnyNode;
  } catch {
    return undefined; // not this form, or nothing that can stand alone
  }
}

const FUNCTIONS = new Set([
  "FunctionExpression",
  "ArrowFunctionExpression",
  "ClassExpression",
]);

function describe(
  node: AnyNode,
  expression: string,
  isMethod: boolean,
): FunctionSource | undefined {
  if (!FUNCTIONS.has(node.type)) return undefined;
  return {
    expression,
    isClass: node.type === "ClassExpression",
    isMethod,
    usesThis: contains(node, isThis, node),
    isArrow: node.type === "ArrowFunctionExpression",
    usesModule: contains(node, isModuleBound),
  };
}

function isThis(node: AnyNode): boolean {
  return node.type === "ThisExpression" || node.type === "Super";
}

/** `import.meta`, or an import by a path, which begins at the module. */
function isModuleBound(node: AnyNode): boolean {
  if (node.type === "MetaProperty") {
    return (node.meta as { name: string }).name === "import";
  }
  if (node.type !== "ImportExpression") return false;
  const { value } = node.source as { value?: unknown };
  return typeof value === "string" && /^\.{0,2}\//.test(value);
}

/**
 * Looks for a node within `node`; with `own`, not within functions and classes
 * inside of it that have a `this` of their own.
 */
function contains(
  node: AnyNode,
  test: (node: AnyNode) => boolean,
  own?: AnyNode,
): boolean {
  if (test(node)) return true;
  if (
    own !== undefined && node !== own &&
    /^(Function|Class)(Expression|Declaration)$/.test(node.type)
  ) return false;
  return children(node).some((child) => contains(child, test, own));
}

function children(node: AnyNode): AnyNode[] {
  return Object.values(node).flat().filter((value): value is AnyNode =>
    typeof value === "object" && value !== null && "type" in value
  );
}
