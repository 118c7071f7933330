import type { AnyFunction } from "./_any_function.ts";
/** The text that makes a function with what it captured, from parts put together by hand. */

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import {
  type FunctionNode,
  type Member,
  type Part,
  type ScopeText,
  writeAlone,
  writeClosure,
} from "../_closure_text.ts";
import { readFunctionSource } from "../_function_source.ts";

/** Makes nodes from texts of functions, by name. */
function makeNodes(
  texts: Record<string, string>,
): Record<string, FunctionNode> {
  const nodes = Object.entries(texts).map(([name, text], index) => {
    const source = readFunctionSource(text);
    assert(source !== undefined);
    const node: FunctionNode = {
      name,
      source,
      index,
      self: undefined,
      meta: undefined,
      base: undefined,
      properties: new Map(),
    };
    return [name, node] as const;
  });
  return Object.fromEntries(nodes);
}

const aFunction = (node: FunctionNode): Part => ({ kind: "function", node });
const aValue = (slot: number): Part => ({ kind: "value", slot });
const aUse = (use: number): Part => ({ kind: "use", use });

function scope(
  names: Record<string, Part>,
  nodes: FunctionNode[],
  inner: ScopeText[] = [],
): ScopeText {
  return { names: new Map(Object.entries(names)), nodes, inner };
}

interface Given {
  readonly values?: unknown[];
  readonly uses?: unknown[];
  readonly members?: Member[];
}

/** Writes the text and evaluates it, as a worker does. */
function make(
  outermost: ScopeText,
  main: FunctionNode,
  nodes: Record<string, FunctionNode>,
  { values = [], uses = [], members }: Given = {},
): AnyFunction {
  const text = writeClosure(outermost, main, Object.values(nodes), members);
  return evaluate(text, values, uses);
}

function evaluate(text: string, values: unknown[] = [], uses: unknown[] = []) {
  return (0, eval)(`"use strict";${text}`)(values, uses) as AnyFunction;
}

Deno.test("writeAlone() keeps a function and its name", () => {
  const write = (name: string, text: string) =>
    evaluate(writeAlone(name, readFunctionSource(text)!));
  for (
    const [name, text] of [
      ["f", "(x) => x + 1"],
      ["f", "function (x) { return x + 1; }"],
      ["f", "function f(x) { return x + 1; }"],
      ["f", "f(x) { return x + 1; }"],
      ["f", "(x) => x + 1 // the end"],
      ['odd "name"\n\\', "(x) => x + 1"],
      ["", "(x) => x + 1"],
      ["\u2028", "(x) => x + 1"],
    ]
  ) {
    const fn = write(name, text);
    assertEquals([fn.name, fn(1)], [name, 2], text);
  }
  assertEquals(write("__proto__", "() => 1")(), 1);
  assertEquals(
    write("anonymous", "function inner() { return inner.name; }")(),
    "inner",
  );
});

Deno.test("writeClosure() gives names their values and uses", () => {
  const nodes = makeNodes({ main: "() => [a, b, typeof c]" });
  const main = make(
    scope({ a: aValue(1), b: aUse(0) }, [nodes.main]),
    nodes.main,
    nodes,
    { values: ["zero", "one"], uses: ["used"] },
  );
  assertEquals(main(), ["one", "used", "undefined"]);
});

Deno.test("writeClosure() makes each variable anew with each call of the text", () => {
  const nodes = makeNodes({ main: "() => ++n" });
  const text = writeClosure(scope({ n: aValue(0) }, [nodes.main]), nodes.main, [
    nodes.main,
  ]);
  const a = evaluate(text, [1]), b = evaluate(text, [1]);
  assertEquals([a(), a(), b()], [2, 3, 2]);
});

Deno.test("writeClosure() lets functions share the variables of a scope", () => {
  const nodes = makeNodes({
    main: "() => [add(), n, add(), n]",
    add: "() => ++n",
  });
  const main = make(
    scope({ n: aValue(0), add: aFunction(nodes.add) }, [nodes.main, nodes.add]),
    nodes.main,
    nodes,
    { values: [5] },
  );
  assertEquals(main(), [6, 6, 7, 7]);
});

Deno.test("writeClosure() keeps what a name means in each scope", () => {
  const nodes = makeNodes({
    main: "() => [x, readMiddle(), readOuter()]",
    readMiddle: "() => x",
    readOuter: "() => x",
  });
  const inner = scope({ x: aValue(2) }, [nodes.main]);
  const middle = scope(
    { x: aValue(1), readMiddle: aFunction(nodes.readMiddle) },
    [nodes.readMiddle],
    [inner],
  );
  const outer = scope(
    { x: aValue(0), readOuter: aFunction(nodes.readOuter) },
    [nodes.readOuter],
    [middle],
  );
  const main = make(outer, nodes.main, nodes, { values: ["o", "m", "i"] });
  assertEquals(main(), ["i", "m", "o"]);
});

Deno.test("writeClosure() gives an outer scope what only an inner one can make", () => {
  const nodes = makeNodes({
    main: "(n) => n === 0 ? 'outer' : inner(n - 1)",
    inner: "(n) => n === 0 ? secret : main(n - 1)",
  });
  const outer = scope(
    { inner: aFunction(nodes.inner), main: aFunction(nodes.main) },
    [nodes.main],
    [scope({ secret: aValue(0) }, [nodes.inner])],
  );
  const main = make(outer, nodes.main, nodes, { values: ["inner"] });
  assertEquals([main(0), main(1), main(2), main(3)], [
    "outer",
    "inner",
    "outer",
    "inner",
  ]);
});

Deno.test("writeClosure() puts a function into two names", () => {
  const nodes = makeNodes({ main: "() => a === b && a()", f: "() => 1" });
  const parts = { a: aFunction(nodes.f), b: aFunction(nodes.f) };
  for (const order of [[nodes.main, nodes.f], [nodes.f, nodes.main]]) {
    assertEquals(make(scope(parts, order), nodes.main, nodes)(), 1);
  }
});

Deno.test("writeClosure() hides none of a function's names behind its own", () => {
  const nodes = makeNodes({
    main: "() => [$0_V, $1_U, $0_F, $2_, helper()]",
    helper: "($1_x) => $0_S",
  });
  const names = ["$0_V", "$1_U", "$0_F", "$2_", "$0_S"];
  const parts = Object.fromEntries(names.map((name, i) => [name, aValue(i)]));
  const main = make(
    scope({ ...parts, helper: aFunction(nodes.helper) }, [
      nodes.main,
      nodes.helper,
    ]),
    nodes.main,
    nodes,
    { values: [0, 1, 2, 3, 4] },
  );
  assertEquals(main(), [0, 1, 2, 3, 4]);
});

Deno.test("writeClosure() extends the base it is given, made before", () => {
  const nodes = makeNodes({
    main: "() => new B().m()",
    A: "class A { m() { return k; } }",
    B: "class B extends whatever(() => A) { m() { return super.m() + 1; } }",
  });
  nodes.B.base = aFunction(nodes.A);
  const main = make(
    scope({ B: aFunction(nodes.B), k: aValue(0) }, [
      nodes.A,
      nodes.B,
      nodes.main,
    ]),
    nodes.main,
    nodes,
    { values: [1] },
  );
  assertEquals(main(), 2);
  nodes.B.base = aUse(0);
  class Used {
    m() {
      return 10;
    }
  }
  const other = make(
    scope({ B: aFunction(nodes.B) }, [nodes.B, nodes.main]),
    nodes.main,
    { B: nodes.B, main: nodes.main },
    { uses: [Used] },
  );
  assertEquals(other(), 11);
});

Deno.test("writeClosure() gives arrow functions their this, primitives too", () => {
  const nodes = makeNodes({ main: "() => [this, (() => this)()]" });
  nodes.main.self = aValue(0);
  const self = { a: 1 };
  const run = (value: unknown) =>
    make(scope({}, [nodes.main]), nodes.main, nodes, { values: [value] })();
  assertStrictEquals((run(self) as unknown[])[0], self);
  assertEquals(run(5), [5, 5]);
  assertEquals(run(undefined), [undefined, undefined]);
});

Deno.test("writeClosure() puts in what stands for the module", () => {
  const nodes = makeNodes({
    main: "() => [import.meta.url, import('./x.ts')]",
  });
  nodes.main.meta = aUse(0);
  const uses = [{ meta: { url: "u:" }, load: (s: string) => `loaded ${s}` }];
  const main = make(scope({}, [nodes.main]), nodes.main, nodes, { uses });
  assertEquals(main(), ["u:", "loaded ./x.ts"]);
});

Deno.test("writeClosure() adds own properties: values, functions, the function itself", () => {
  const nodes = makeNodes({ main: "() => 1", f: "() => 2" });
  nodes.main.properties.set("value", aValue(0));
  nodes.main.properties.set('odd "key"', aValue(0));
  nodes.main.properties.set("__proto__", aValue(0));
  nodes.main.properties.set("later", aFunction(nodes.f));
  nodes.main.properties.set("self", aFunction(nodes.main));
  nodes.f.properties.set("before", aFunction(nodes.main));
  const main = make(scope({}, [nodes.main, nodes.f]), nodes.main, nodes, {
    values: ["v"],
  }) as AnyFunction & {
    later: AnyFunction & { before: unknown };
    self: unknown;
  };
  assertEquals(Object.keys(main).toSorted(), [
    "__proto__",
    "later",
    'odd "key"',
    "self",
    "value",
  ]);
  assertStrictEquals(main.self, main);
  assertStrictEquals(main.later.before, main);
  assertEquals(main.later(), 2);
  assertStrictEquals(Object.getPrototypeOf(main), Function.prototype);
});

Deno.test("writeClosure() puts functions back into the objects that held them", () => {
  const nodes = makeNodes({
    main: "() => [tools.f(), tools['odd \"key\"'][1]()]",
    f: "f() { return this.n; }",
    g: "() => k",
  });
  const main = make(
    scope({ tools: aValue(0), k: aValue(1) }, [nodes.main, nodes.f, nodes.g]),
    nodes.main,
    nodes,
    {
      values: [{ n: 7, f: null, 'odd "key"': [0, null] }, 8],
      members: [
        { slot: 0, path: ["f"], part: aFunction(nodes.f) },
        { slot: 0, path: ['odd "key"', "1"], part: aFunction(nodes.g) },
      ],
    },
  );
  assertEquals(main(), [7, 8]);
});
