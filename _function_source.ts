/**
 * What the source text of a function tells: the expression that makes the
 * function again, and what in it belongs to the place where it was written.
 *
 * @module
 */

// Named in full: a worker process has the import map of the user's deno.json.
import { analyze } from "npm:periscopic@4.0.3";
import {
  addAssigned,
  type AnyNode,
  children,
  isNode,
  type NameNode,
  parseExpression,
  walk,
} from "./_syntax.ts";

/** A function's source, understood. */
export interface FunctionSource {
  readonly isClass: boolean;
  /** Whether it is a class with static fields that change, and that only its own code can read. */
  readonly hasHiddenState: boolean;
  /** Whether it is a class that extends another. */
  readonly isDerived: boolean;
  /** Whether it is written as a method of an object or a class. */
  readonly isMethod: boolean;
  /** Whether it is an arrow function, whose `this` is that of its place. */
  readonly isArrow: boolean;
  readonly isGenerator: boolean;
  /** Whether it uses `this`: its own or, in an arrow function, that of its place. */
  readonly usesThis: boolean;
  /** What it uses that no text can carry: `super`, or the `arguments` of its place. */
  readonly bound: "super" | "arguments" | undefined;
  /** Whether it names its module: `import.meta`, `import("./x.ts")`. */
  readonly usesModule: boolean;
  /** The names that it uses and does not declare. */
  readonly freeNames: readonly string[];
  /** Names that it gives new values to, its own among them. */
  readonly assigned: ReadonlySet<string>;
  /** Returns an expression whose value is the function, in strict code. */
  express(standIns: StandIns): string;
}

/** What stands in the text for what only its place could give. */
export interface StandIns {
  /** For `import.meta`. */
  readonly meta: string;
  /** For `import` in `import(x)`. */
  readonly load: string;
  /** For what a class extends. */
  readonly base: string;
}

/** What was read, for functions that are made anew again and again. */
const known = new Map<string, FunctionSource | undefined>();
const MOST_KNOWN = 1024;

/** Returns what `source` tells, or `undefined` where it is no function by itself. */
export function readFunctionSource(source: string): FunctionSource | undefined {
  if (known.has(source)) return known.get(source);
  const read = readPlain(source) ?? readMethod(source);
  if (known.size >= MOST_KNOWN) known.delete(known.keys().next().value!);
  known.set(source, read);
  return read;
}

const FUNCTIONS = new Set([
  "FunctionExpression",
  "ArrowFunctionExpression",
  "ClassExpression",
]);

function readPlain(source: string): FunctionSource | undefined {
  const text = `(${source}\n)`;
  const node = parseExpression(text);
  return node !== undefined && FUNCTIONS.has(node.type)
    ? describe(node, text, false)
    : undefined;
}

interface PropertyNode extends AnyNode {
  readonly kind: "init" | "get" | "set";
  readonly key: AnyNode;
  readonly computed: boolean;
  readonly value: AnyNode;
}

/** A method's text has no meaning outside of an object; there it needs no name of its own. */
function readMethod(source: string): FunctionSource | undefined {
  const open = "({";
  const object = parseExpression(`${open}${withoutHash(source)}\n})`);
  const property = (object?.properties as PropertyNode[] | undefined)?.[0];
  if (property?.type !== "Property") return undefined;
  const { kind, key, computed, value } = property;
  const parametersOn = withoutHash(source).slice(value.start - open.length);
  const isNamed = kind === "init" && !computed && key.type === "Identifier";
  const name = isNamed ? (key as NameNode).name : "m";
  const prefix = (value.async ? "async " : "") + (value.generator ? "*" : "");
  const text = `({${prefix}${name}${parametersOn}\n}).${name}`;
  const node = parseExpression(text);
  return node && describe(methodOf(node), text, true);
}

/** The name of a private method is private; the method need not be. */
function withoutHash(source: string): string {
  return source.replace(/^((?:async\s)?\s*\*?\s*(?:[gs]et\s)?\s*)#/, "$1");
}

/** The function in `({ name() {} }).name`. */
function methodOf(member: AnyNode): AnyNode {
  const { properties } = member.object as { properties: PropertyNode[] };
  return properties[0].value;
}

function describe(
  node: AnyNode,
  text: string,
  isMethod: boolean,
): FunctionSource {
  const isArrow = node.type === "ArrowFunctionExpression";
  const base = node.superClass as AnyNode | null | undefined;
  const isDerived = base !== undefined && base !== null &&
    base.type !== "Literal";
  const edits: Edit[] = [];
  if (isDerived) edits.push({ start: base.start, end: base.end, by: "base" });
  const isClass = node.type === "ClassExpression";
  const once = isClass ? runOnce(node) : [];
  for (const { type, start, end } of once) {
    edits.push({ start, end, by: type === "StaticBlock" ? "nothing" : "void" });
  }
  const assigned = new Set<string>();
  walk(node, (inner) => {
    // is not in the text that travels
    if (inner === base || once.includes(inner)) return false;
    const edit = editOf(inner);
    if (edit !== undefined) edits.push(edit);
    addAssigned(inner, assigned);
  });
  edits.sort((a, b) => a.start - b.start);
  return {
    isClass,
    hasHiddenState: isClass && hasHiddenState(node),
    isDerived,
    isMethod,
    isArrow,
    isGenerator: node.generator === true,
    usesThis: usesOwn(node, ({ type }) => type === "ThisExpression"),
    bound: boundTo(node, isArrow),
    usesModule: edits.some(({ by }) => by === "meta" || by === "load"),
    freeNames: findFreeNames(isClass ? withoutOnce(node, once) : node),
    assigned,
    express: (standIns) => apply(edits, text, standIns),
  };
}

// ----------------------------------------------------------------- classes

function membersOf(node: AnyNode): AnyNode[] {
  return (node.body as { body: AnyNode[] }).body;
}

/**
 * What of a class runs once, when the class is made: to make it again elsewhere
 * would do it again. What came of it is in the static fields, which follow.
 */
function runOnce(node: AnyNode): AnyNode[] {
  return membersOf(node).flatMap((member) => {
    if (member.type === "StaticBlock") return [member];
    const isFollowed = isStaticField(member) && !isPrivate(member.key);
    return isFollowed && member.value ? [member.value as AnyNode] : [];
  });
}

function isStaticField({ type, static: isStatic }: AnyNode): boolean {
  return type === "PropertyDefinition" && isStatic === true;
}

function isPrivate(key: unknown): key is NameNode {
  return (key as AnyNode).type === "PrivateIdentifier";
}

/** What a private static field may hold that is the same each time. */
const CONSTANTS =
  /^(Literal|Identifier|TemplateLiteral|(Unary|Binary)Expression|ArrowFunctionExpression|FunctionExpression)$/;

function hasHiddenState(node: AnyNode): boolean {
  const names = new Set<string>();
  for (const member of membersOf(node).filter(isStaticField)) {
    if (!isPrivate(member.key)) continue;
    const value = member.value as AnyNode | null;
    if (value === null || !CONSTANTS.test(value.type)) return true;
    names.add(member.key.name);
  }
  let isChanged = false;
  walk(node, ({ type, left, argument }) => {
    const target = type === "AssignmentExpression"
      ? left
      : type === "UpdateExpression"
      ? argument
      : undefined;
    if (target === undefined) return;
    walk(target as AnyNode, ({ type, name }) => {
      if (type === "PrivateIdentifier" && names.has(name as string)) {
        isChanged = true;
      }
    });
  });
  return isChanged;
}

/** The tree of a class without what it extends and what runs once. */
function withoutOnce(node: AnyNode, once: readonly AnyNode[]): AnyNode {
  const body = membersOf(node).filter((member) => !once.includes(member))
    .map((member) =>
      once.includes(member.value as AnyNode)
        ? { ...member, value: null }
        : member
    );
  const superClass = (node.superClass as AnyNode | null)?.type === "Literal"
    ? node.superClass
    : null;
  return { ...node, superClass, body: { ...node.body as AnyNode, body } };
}

// --------------------------------------------------------------- own place

function boundTo(node: AnyNode, isArrow: boolean): FunctionSource["bound"] {
  if (node.type === "ClassExpression") return undefined;
  if (usesOwn(node, ({ type }) => type === "Super")) return "super";
  return isArrow && usesOwn(node, isArguments) ? "arguments" : undefined;
}

function isArguments({ type, name }: AnyNode): boolean {
  return type === "Identifier" && name === "arguments";
}

/** Looks within `node`, but not within what has a `this` of its own. */
function usesOwn(node: AnyNode, test: (node: AnyNode) => boolean): boolean {
  if (node.type === "ClassExpression") return false; // `this` is of its instances
  const look = (inner: AnyNode): boolean =>
    test(inner) || below(inner).some(look);
  return children(node).some(look);
}

/** What is within a node and shares its `this`: of a class, what is computed from outside. */
function below(node: AnyNode): AnyNode[] {
  if (/^Function(Expression|Declaration)$/.test(node.type)) return [];
  if (/^Class(Expression|Declaration)$/.test(node.type)) {
    const { body } = node.body as { body: AnyNode[] };
    const keys = body.filter((member) => member.computed)
      .map((member) => member.key as AnyNode);
    return node.superClass ? [node.superClass as AnyNode, ...keys] : keys;
  }
  const label = node.computed ? undefined : node.property ?? node.key;
  return children(node).filter((child) => child !== label);
}

// -------------------------------------------------------------- free names

/** Words that periscopic takes for names. */
const NO_NAMES = new Set(["import", "new", "arguments"]);

function findFreeNames(node: AnyNode): string[] {
  const program = {
    type: "Program",
    sourceType: "module",
    body: [{ type: "ExpressionStatement", expression: scoped(node) }],
  };
  const { globals } = analyze(
    program as unknown as Parameters<typeof analyze>[0],
  );
  return [...globals.keys()].filter((name) => !NO_NAMES.has(name));
}

/**
 * Returns the tree with functions in place of three scopes that periscopic 4.0.3
 * does not know: the name of a class expression, a static block, and a body
 * whose `var` is not seen by the parameters' defaults.
 */
function scoped(node: AnyNode): AnyNode {
  const copy = { ...node };
  for (const [field, value] of Object.entries(copy)) {
    if (Array.isArray(value)) {
      copy[field] = value.map((item) => isNode(item) ? scoped(item) : item);
    } else if (isNode(value)) copy[field] = scoped(value);
  }
  if (copy.type === "ClassExpression" && copy.id) {
    return wrap(copy, [{ ...copy, type: "ClassDeclaration" }]);
  }
  const { start, end } = copy;
  if (copy.type === "StaticBlock") {
    const value = wrap(copy, copy.body as AnyNode[]);
    const key = { type: "Literal", start, end, value: "static" };
    const type = "PropertyDefinition";
    return { type, start, end, static: true, computed: false, key, value };
  }
  const { params = [], body } = copy as { params?: AnyNode[]; body?: AnyNode };
  if (
    params.some(({ type }) => type !== "Identifier") &&
    body?.type === "BlockStatement"
  ) {
    const expression = wrap(copy, body.body as AnyNode[]);
    const statement = { type: "ExpressionStatement", start, end, expression };
    return { ...copy, body: { ...body, body: [statement] } };
  }
  return copy;
}

/** A function with a body, for its scope. */
function wrap({ start, end }: AnyNode, body: AnyNode[]): AnyNode {
  return {
    type: "FunctionExpression",
    start,
    end,
    id: null,
    params: [],
    body: { type: "BlockStatement", start, end, body },
  };
}

// ----------------------------------------------------------- import.meta

/** What stands for what is not to run again: a static block, and a field's first value. */
const ALWAYS = { nothing: "", void: "void 0" } as const;

/** A place in the text where something stands in. */
interface Edit {
  readonly start: number;
  readonly end: number;
  readonly by: keyof typeof ALWAYS | keyof StandIns;
}

function editOf(node: AnyNode): Edit | undefined {
  const { start, end } = node;
  if (node.type === "MetaProperty") {
    const isMeta = (node.meta as { name: string }).name === "import";
    return isMeta ? { start, end, by: "meta" } : undefined;
  }
  if (node.type !== "ImportExpression") return undefined;
  const { value } = node.source as { value?: unknown };
  return typeof value === "string" && URL.canParse(value)
    ? undefined // means the same everywhere
    : { start, end: start + "import".length, by: "load" };
}

function apply(
  edits: readonly Edit[],
  text: string,
  standIns: StandIns,
): string {
  let result = "";
  let at = 0;
  for (const { start, end, by } of edits) {
    result += text.slice(at, start) + { ...standIns, ...ALWAYS }[by];
    at = end;
  }
  return result + text.slice(at);
}
