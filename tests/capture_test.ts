/** Functions and what they captured, followed and made again in the same thread. */

import {
  assert,
  assertEquals,
  assertNotStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { type Capture, capture as follow } from "../_capture.ts";
import type { Use } from "../_definition.ts";
import { readFunctionSource } from "../_function_source.ts";
import { lookAt } from "../_inspector.ts";
import { SerializationError } from "../errors.ts";
import type { AnyFunction } from "./_any_function.ts";

function capture(fn: object): Capture {
  const source = readFunctionSource(Function.prototype.toString.call(fn));
  assert(source !== undefined);
  return follow(fn, source, lookAt(fn));
}

async function find(use: Use): Promise<unknown> {
  let value: unknown = use.kind === "global" ? globalThis : undefined;
  if (use.kind === "meta") {
    const load = (specifier: string) => `${specifier} of ${use.module}`;
    return { meta: { url: use.module }, load };
  }
  if (use.kind === "module") value = await import(use.module);
  for (const key of use.path) value = (value as Record<string, unknown>)[key];
  return value;
}

/** Makes a captured function again, as a worker does. */
async function make({ definition, values }: Capture): Promise<AnyFunction> {
  const factory = (0, eval)(`"use strict";${definition.text}`);
  const copies = structuredClone(values.map(({ value }) => value));
  return factory(copies, await Promise.all(definition.uses.map(find)));
}

async function again(fn: AnyFunction): Promise<AnyFunction> {
  return await make(capture(fn));
}

/** Imports JavaScript as a module of its own. */
async function load(source: string): Promise<Record<string, AnyFunction>> {
  return await import(`data:text/javascript,${encodeURIComponent(source)}`);
}

/** The `make` of a module. */
async function loadMade(source: string): Promise<AnyFunction> {
  return (await load(source)).made;
}

/** Functions that a module makes, what they give, and what they must give elsewhere. */
interface Row {
  readonly title: string;
  /** JavaScript that ends in a function. */
  readonly source: string;
  readonly args?: readonly unknown[];
}

// Each `made` is not exported by its own name where it was written, so that it travels by source.
const SAME: readonly Row[] = [
  {
    title: "values",
    source: `const limit = 3, words = new Set(["a"]);
      export const made = (w) => words.has(w) && w.length < limit;`,
    args: ["a"],
  },
  {
    title: "a variable of each kind",
    source: `let a = 1; var b = 2; const c = 3; let d;
      export const made = () => [a, b, c, d, typeof e];`,
  },
  {
    title: "a variable that two functions share",
    source: `let n = 0;
      function add() { n++; }
      const read = () => n;
      export const made = () => { add(); n++; add(); return [n, read()]; };`,
  },
  {
    title: "a variable that two functions of a scope share",
    source: `export const made = (() => {
        let n = 0;
        const add = () => ++n;
        const read = () => n;
        return () => { add(); add(); return read(); };
      })();`,
  },
  {
    title: "mutual recursion",
    source: `const even = (n) => n === 0 || odd(n - 1);
      function odd(n) { return n !== 0 && even(n - 1); }
      export const made = (n) => [even(n), odd(n)];`,
    args: [7],
  },
  {
    title: "mutual recursion of the function itself",
    source: `const even = (n) => n === 0 || odd(n - 1);
      const odd = (n) => n !== 0 && even(n - 1);
      export { even as made };`,
    args: [8],
  },
  {
    title: "mutual recursion across scopes",
    source: `let inner;
      const outer = (n) => n === 0 ? "end" : inner(n - 1);
      {
        const step = 1;
        inner = (n) => n === 0 ? "inner end" : outer(n - step);
      }
      export const made = (n) => outer(n) + outer(n + 1);`,
    args: [4],
  },
  {
    title: "recursion by a const",
    source: `const fib = (n) => n < 2 ? n : fib(n - 1) + fib(n - 2);
      export const made = (n) => fib(n);`,
    args: [10],
  },
  {
    title: "a name that hides another",
    source: `const x = "outer", read = () => x;
      export const made = (() => {
        const x = "middle", readMiddle = () => x;
        { const x = "inner"; return () => [x, readMiddle(), read()]; }
      })();`,
  },
  {
    title: "a name that hides a global",
    source: `const Math = { max: (a, b) => "mine " + a + b };
      export const made = () => Math.max(1, 2);`,
  },
  {
    title: "two functions of one name",
    source:
      `const a = (() => { const k = "a"; return function same() { return k; }; })();
      const b = (() => { const k = "b"; return function same() { return k; }; })();
      export const made = () => [a(), b(), a.name, b.name];`,
  },
  {
    title: "functions made in a loop",
    source: `const all = [];
      for (let i = 0; i < 3; i++) all.push(() => i);
      const [a, b, c] = all;
      export const made = () => [a(), b(), c()];`,
  },
  {
    title: "classes that extend each other",
    source: `const k = 1;
      class A { m() { return [k]; } static s() { return "s"; } }
      class B extends A { m() { return [...super.m(), k + 1]; } }
      class C extends B { m() { return [...super.m(), k + 2]; } }
      export const made = () => [new C().m(), C.s(), new C() instanceof A, C.name];`,
  },
  {
    title: "a class that adds nothing to what it extends",
    source: `const k = 1;
      class A { m() { return k; } }
      class B extends A {}
      export const made = () => new B().m();`,
  },
  {
    title: "a class without a name that adds nothing",
    source: `const k = 1;
      class A { m() { return k; } }
      const [B] = [class extends A {}];
      export const made = () => new B().m();`,
  },
  {
    title: "a class that uses nothing but what it extends",
    source: `const k = 1;
      class A { m() { return k; } }
      class B extends A { m() { return super.m() + 1; } }
      export const made = () => new B().m();`,
  },
  {
    title: "a class from a mixin",
    source: `const k = 1;
      class A { m() { return k; } }
      const mixin = (Base) => class extends Base { n() { return super.m() + 1; } };
      class B extends mixin(A) { o() { return this.n() + k; } }
      export const made = () => new B().o();`,
  },
  {
    title: "a class that extends a class of an inner scope",
    source: `const k = 1;
      const A = (() => { const l = 2; return class A { m() { return l; } }; })();
      class B extends A { n() { return this.m() + k; } }
      export const made = () => new B().n();`,
  },
  {
    title: "a class that extends a built-in",
    source:
      `class E extends RangeError { constructor(m) { super(m + "!"); this.k = k; } }
      const k = 1;
      export const made = () => { const e = new E("m"); return [e.message, e.k, e instanceof RangeError]; };`,
  },
  {
    title: "a class that calls a function when it is made",
    source: `const k = 2, double = (n) => n * k;
      class A { static x = double(4); static { this.y = double(5); } }
      export const made = () => [A.x, A.y];`,
  },
  {
    title: "a class expression with another name inside",
    source: `const k = 1;
      const A = class Inner { m() { return [Inner.name, k]; } };
      export const made = () => new A().m();`,
  },
  {
    title: "a class expression whose name means something else outside",
    source: `const Inner = "outside";
      const A = class Inner { m() { return typeof Inner; } };
      export const made = () => [Inner, new A().m()];`,
  },
  {
    title: "names like those of the text",
    source: `const $0_V = 1, $0_U = 2, $0_F = 3, $1_S = 4, $0_x = 5;
      const read = () => $0_V + $0_x;
      export const made = () => [$0_V, $0_U, $0_F, $1_S, read()];`,
  },
  {
    title: "names like those of the text, written with an escape",
    source: `const \\u00240_V = 1;
      export const made = () => \\u00240_V;`,
  },
  {
    title: "functions with own properties",
    source: `const k = 1;
      function f() { return f.count + k; }
      f.count = 5; f.helper = () => k; f.self = f;
      export const made = () => [f(), f.helper(), f.self === f];`,
  },
  {
    title: "own properties of the function itself",
    source: `const made = () => [made.a, made.b()];
      made.a = { x: 1 }; made.b = () => 2;
      export { made as other }; export { made };`,
  },
  {
    title: "functions in objects",
    source: `const k = 1;
      const tools = { add: (n) => n + k, list: [(n) => n * 2], deep: { sub(n) { return n - k; } } };
      export const made = (n) => [tools.add(n), tools.list[0](n), tools.deep.sub(n)];`,
    args: [5],
  },
  {
    title: "methods that use the object they are in",
    source: `const counter = { n: 1, add() { this.n++; return this.n; } };
      export const made = () => [counter.add(), counter.n];`,
  },
  {
    title: "an object with one function on two ways",
    source: `const f = () => 1, inner = { f };
      const tools = { a: inner, b: inner };
      export const made = () => [tools.a.f(), tools.b.f(), tools.a === tools.b];`,
  },
  {
    title: "the same object in two variables",
    source: `const a = { n: 1 }, b = a;
      export const made = () => { a.n++; return [a.n, b.n]; };`,
  },
  {
    title: "a global that the program has set",
    source: `globalThis.ofProgram = 7;
      export const made = () => ofProgram;`,
  },
  {
    title: "built-in functions under other names",
    source: `const { max } = Math, parse = JSON.parse, E = TypeError;
      export const made = () => [max(1, 2), parse("3"), new E("m").name];`,
  },
  {
    title: "generators, getters and setters",
    source: `const k = 1;
      function* count() { yield k; yield k + 1; }
      class A { get x() { return k; } set x(v) { this.v = v + k; } }
      export const made = () => { const a = new A(); a.x = 4; return [...count(), a.x, a.v]; };`,
  },
  {
    title: "what a parameter's default captures",
    source: `const k = 1, f = () => k;
      export const made = (x = f(), { y = k } = {}) => [x, y];`,
  },
  {
    title: "parameters of the function around",
    source: `const outer = (a, { b }, ...c) => () => [a, b, c];
      export const made = outer(1, { b: 2 }, 3, 4);`,
  },
  {
    title: "the variable of a catch",
    source: `let made;
      try { throw { code: 1 }; } catch (e) { made = () => e.code; }
      export { made };`,
  },
  {
    title: "import.meta and import()",
    source: `const k = 1;
      export const made = () => [import.meta.url.length > 0, k];`,
  },
  {
    title: "a method of an object literal that is captured by itself",
    source: `const k = 1;
      const { m } = { m(x) { return x + k; } };
      export const made = () => m(1);`,
  },
  {
    title: "names of functions",
    source: `const k = 1, named = () => k, [unnamed] = [() => k];
      const proto = { __proto__() { return k; } }.__proto__;
      export const made = () => [named.name, unnamed.name, named(), unnamed()];`,
  },
  {
    title: "a name that a string must escape",
    source:
      `const k = 1, o = { 'a"\\n\\\\b': () => k }, f = Object.values(o)[0];
      export const made = () => [f.name, f()];`,
  },
];

for (const { title, source, args = [] } of SAME) {
  Deno.test(`capture() makes a function that behaves the same: ${title}`, async () => {
    // The second instance is untouched by the run of the first.
    const made = await loadMade(source);
    const remade = await again(made);
    assertNotStrictEquals(remade, made);
    assertEquals(remade(...args), made(...args));
  });
}

Deno.test("capture() keeps variables of two modules apart that have the same name", async () => {
  const a = await loadMade(
    "const x = 'a'; export const made = (() => () => x)();",
  );
  const b = await loadMade(
    "let x = 'b'; export const made = (() => () => x + (x = 'c'))();",
  );
  const both = () => [a(), b(), a()];
  assertEquals((await again(both))(), ["a", "bc", "a"]);
});

Deno.test("capture() copies values at the time of the call", async () => {
  const list = [1];
  let n = 1;
  const fn = () => [list.length, n];
  const captured = capture(fn);
  const first = await make(captured);
  list.push(2);
  n++;
  assertEquals(first(), [1, 1]);
  assertEquals((await again(fn))(), [2, 2]);
});

Deno.test("capture() of a function that changes a variable leaves the original alone", async () => {
  let n = 0;
  const fn = () => ++n;
  const remade = await again(fn);
  assertEquals([remade(), remade(), n], [1, 2, 0]);
});

Deno.test("capture() tells imports by module and name", () => {
  const fn = () => [assertEquals, readFunctionSource, SerializationError];
  const { definition, values } = capture(fn);
  assertEquals(values.length, 0);
  const uses = definition.uses.map((use) =>
    use.kind === "module" ? `${use.path} of ${use.module}` : use.kind
  );
  assertEquals(uses.length, 3);
  for (
    const [name, path] of [
      ["readFunctionSource", "../_function_source.ts"],
      ["SerializationError", "../errors.ts"],
    ]
  ) assert(uses.includes(`${name} of ${new URL(path, import.meta.url)}`));
});

Deno.test("capture() takes one import once, whoever uses it", () => {
  const helper = () => readFunctionSource("1");
  const { definition } = capture(() => [helper(), readFunctionSource("2")]);
  assertEquals(definition.uses.length, 1);
});

/** Exported, and uses its module: travels by reference where it is captured. */
export function exportedHelper(): unknown {
  return [notExported];
}
const notExported = Math.random();

Deno.test("capture() takes an exported function by reference if it needs its module", async () => {
  const fn = () => exportedHelper();
  const { definition, values } = capture(fn);
  assertEquals(values.length, 0);
  assertEquals(definition.uses.map(({ kind }) => kind), ["module"]);
  assertEquals((await again(fn))(), [notExported]);
});

Deno.test("capture() gives an arrow function its this", async () => {
  class Counter {
    n = 1;
    many() {
      return () => [this.n, (() => this.n)()];
    }
  }
  const fn = new Counter().many();
  assertEquals(capture(fn).values.map(({ name }) => name), ["this"]);
  assertEquals((await again(fn))(), [1, 1]);
});

Deno.test("capture() gives import.meta and import() of the module where it was written", async () => {
  const extra = 1;
  const fn = () => [import.meta.url, extra, import("./x.ts" as string)];
  const [url, one, loaded] = (await again(fn))() as unknown[];
  assertEquals([url, one], [import.meta.url, 1]);
  assertEquals(loaded, `./x.ts of ${import.meta.url}`);
});

// ---------------------------------------------------------------- refusals

function assertRefused(fn: AnyFunction, ...parts: string[]): void {
  const { message } = assertThrows(() => capture(fn), SerializationError);
  for (const part of parts) assertStringIncludes(message, part);
}

Deno.test("capture() refuses a variable that has no value yet", () => {
  const fn = () => late;
  assertRefused(fn, '"fn"', '"late" captured by "fn" has no value yet');
  const late = 1;
  assertEquals(fn(), late);
});

Deno.test("capture() refuses a function that cannot travel, and names the variable", () => {
  const bound = exportedHelper.bind(null);
  const check = () => bound();
  assertRefused(check, '"check"', '"bound" captured by "check"', "bound");
});

Deno.test("capture() names who captured it, where that is another function", () => {
  const bound = exportedHelper.bind(null);
  const helper = () => bound();
  const outer = () => helper();
  assertRefused(outer, '"bound" captured by "helper"');
});

Deno.test("capture() names the place in an object of a function that cannot travel", () => {
  const tools = { list: [exportedHelper.bind(null)] };
  assertRefused(() => tools, '"tools.list.0"');
});

Deno.test("capture() refuses a shared variable if nothing shows that it is one", () => {
  function place() {
    let n = 0;
    return [() => ++n, () => n] as const;
  }
  const [add, read] = place();
  assertRefused(() => [add(), read()], '"n"', "same variable");
});

Deno.test("capture() refuses variables of two calls if they hold the same and one is changed", () => {
  const counter = () => {
    let n = 0;
    return () => ++n;
  };
  const a = counter(), b = counter();
  assertRefused(() => [a(), b()], '"n"', "same variable");
});

Deno.test("capture() tells variables of two calls apart if they hold different values", async () => {
  const counter = (n: number) => () => ++n;
  const a = counter(1), b = counter(10);
  assertEquals((await again(() => [a(), b(), a()]))(), [2, 11, 3]);
});

Deno.test("capture() takes variables of two calls that nobody changes", async () => {
  const constant = (n: number) => () => n;
  const a = constant(1), b = constant(1), c = constant(2);
  assertEquals((await again(() => [a(), b(), c()]))(), [1, 1, 2]);
});

// A function in both scopes proves nothing if it was handed from one to the other.
Deno.test("capture() does not take two scopes for one if a function of one is in both", async () => {
  function place(given?: () => number) {
    let n = 0;
    const add = given ?? (() => ++n);
    const read = () => [n, add === undefined];
    return [add, read] as const;
  }
  const [add] = place();
  const [, read] = place(add);
  const fn = () => [add(), read()[0]];
  let remade;
  try {
    remade = await again(fn);
  } catch (error) {
    assert(error instanceof SerializationError); // to refuse is right as well
    return;
  }
  assertEquals(remade(), [1, 0]);
});

// The code of `eval` is a script of its own, in the scopes of its place.
Deno.test("capture() does not split a variable between a function and code from eval", async () => {
  const made = await loadMade(`let n = 0;
    const add = eval("() => ++n");
    const read = () => n;
    export const made = () => [add(), read()];`);
  let remade;
  try {
    remade = await again(made);
  } catch (error) {
    assert(error instanceof SerializationError);
    return;
  }
  assertEquals(remade(), [1, 1]);
});

/** To refuse a function is right as well, but not to change it. */
async function assertSameOrRefused(fn: AnyFunction): Promise<void> {
  let remade;
  try {
    remade = await again(fn);
  } catch (error) {
    assert(error instanceof SerializationError);
    return;
  }
  assertEquals(remade(), fn());
}

Deno.test("capture() does not lose a property of a function that is a getter", async () => {
  const k = 1;
  const helper: AnyFunction & { seven?: number } = () => k;
  Object.defineProperty(helper, "seven", { get: () => 7, enumerable: true });
  await assertSameOrRefused(() => helper.seven);
});

Deno.test("capture() does not lose what a static property of a class was set to", async () => {
  class Config {
    static level = 1;
  }
  Config.level = 5;
  await assertSameOrRefused(() => Config.level);
});

// ----------------------------------------------------------------- isFixed

const FIXED: readonly (readonly [source: string, isFixed: boolean])[] = [
  ["const a = 1; export const made = (() => () => a)();", true],
  ["let a = 1; export const made = (() => () => a)();", true],
  [
    "let a = 1; export const set = () => { a = 2; }; export const made = (() => () => a)();",
    false,
  ],
  ["let a = 1; export const made = (() => () => a++)();", false],
  ["var a = 1; export const made = (() => () => a)();", false],
  ["const a = 1, f = () => a; export const made = (() => () => f())();", true],
  [
    "let a = 1; a = 2; const f = () => a; export const made = (() => () => f())();",
    false,
  ],
  [
    "const f = () => 1; f.x = 1; export const made = (() => () => f.x)();",
    false,
  ],
  [
    "const f = { x: () => 1 }; export const made = (() => () => f.x())();",
    false,
  ],
  ["const f = { x: 1 }; export const made = (() => () => f.x)();", true], // only the copy is made anew
  [
    "globalThis.fixedOne = 1; export const made = (() => () => fixedOne)();",
    false,
  ],
  ["let a = 1; eval(''); export const made = (() => () => a)();", false],
  ["const outer = (a) => () => a; export const made = outer(1);", true],
  [
    "const outer = (a) => { a++; return () => a; }; export const made = outer(1);",
    false,
  ],
  // what else the text of an `eval` may be assigned by is not known
  ["export const made = (0, eval)('const evalOne = 1; () => evalOne');", false],
];

for (const [source, expected] of FIXED) {
  Deno.test(`isFixed() is ${expected}: ${source}`, async () => {
    assertEquals(capture(await loadMade(source)).isFixed(), expected);
  });
}

// The assignment stands in another script than the function.
Deno.test("isFixed() is false for code from eval whose place assigns to the variable", async () => {
  const { made, set } = await load(`let a = 1;
    export const set = (x) => { a = x; };
    export const made = eval("() => a");`);
  const captured = capture(made);
  assertEquals((await make(captured))(), 1);
  set(2);
  assertEquals((await again(made))(), 2);
  assertEquals(captured.isFixed(), false);
});
