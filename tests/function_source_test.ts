import type { AnyFunction } from "./_any_function.ts";
/** What the text of a function tells, for every way to write one. */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  type FunctionSource,
  readFunctionSource,
} from "../_function_source.ts";

const STAND_INS = { meta: "$meta", load: "$load", base: "$base" };

/** Evaluates an expression in strict code that knows `values` by name. */
function evaluate(expression: string, values: Record<string, unknown> = {}) {
  const text = `"use strict";((${
    Object.keys(values).join()
  })=>(${expression}\n))`;
  return (0, eval)(text)(...Object.values(values));
}

function read(source: string): FunctionSource {
  const found = readFunctionSource(source);
  assert(found !== undefined, `is not taken for a function: ${source}`);
  return found;
}

function readFree(source: string): string {
  return read(source).freeNames.toSorted().join(" ");
}

function testTable(
  title: string,
  rows: readonly (readonly [source: string, expected: string])[],
  tell: (source: string) => string,
): void {
  for (const [source, expected] of rows) {
    Deno.test(`${title}: ${source.replace(/\s+/g, " ")}`, () => {
      assertEquals(tell(source), expected);
    });
  }
}

// -------------------------------------------------------------- free names

testTable("readFunctionSource() finds the free names", [
  // kinds of functions
  ["() => a", "a"],
  ["async () => a", "a"],
  ["function () { return a; }", "a"],
  ["async function* f() { yield* a; await b; }", "a b"],
  ["class { m() { return a; } }", "a"],
  ["m(x) { return x + a; }", "a"],
  ["get m() { return a; }", "a"],
  ["set m(v) { a = v; }", "a"],
  ["async *m() { yield a; }", "a"],
  // its own names are not free
  ["function f(n) { return n ? f(n - 1) : a; }", "a"],
  ["class C { static m() { return C; } n() { return a; } }", "a"],
  ["m() { return m; }", "m"], // a method's name is no variable
  ["(x, [y, ...z], { p: q, r = 1, ...s }) => [x, y, z, q, r, s, p]", "p"],
  // parameters
  ["(x = a) => x", "a"],
  ["(x, y = x) => y", ""],
  ["({ [a]: x = b }) => x", "a b"],
  ["([x = a, [y = b]]) => x + y", "a b"],
  ["(x = () => y, y = a) => x()", "a"],
  ["(...rest) => rest", ""],
  ["(x = function () { return y; }) => x", "y"],
  // blocks
  ["() => { { let a = 1; } return a; }", "a"],
  ["() => { { var a = 1; } return a; }", ""],
  ["() => { { const a = 1; a; } a; }", "a"],
  ["() => { { class A {} new A(); } return A; }", "A"],
  ["() => { { function f() {} f(); } return f; }", "f"],
  ["() => { return a; function a() {} }", ""],
  ["() => { a(); let a; }", ""],
  ["() => { if (b) { var a = 1; } return a; }", "b"],
  ["() => { for (let i = 0; i < n; i++) a(i); return i; }", "a i n"],
  ["() => { for (var i = 0; i < n; i++); return i; }", "n"],
  ["() => { for (const x of x2) x; return x; }", "x x2"],
  ["() => { for (const k in o) k; return k; }", "k o"],
  ["() => { for (x of list); }", "list x"],
  ["() => { for ([x.y, z] of list); }", "list x z"],
  ["async (s) => { for await (const x of s) a(x); }", "a"],
  ["(x) => { switch (x) { case a: let y = b; return y; } return y; }", "a b y"],
  ["(x) => { switch (x) { case 1: let y; default: return y; } }", ""],
  ["() => { try { a(); } catch (e) { b(e); } finally { c(); } }", "a b c"],
  ["() => { try {} catch (e) { e; } return e; }", "e"],
  ["() => { try {} catch { return e; } }", "e"],
  ["() => { try {} catch ({ message: m, name = a }) { m; name; } }", "a"],
  ["() => { try {} catch (e) { var x = e; } return x; }", ""],
  // names that are no variables
  ["() => ({ a: 1, 'b': 2, c() {}, get d() { return 1; } })", ""],
  ["() => ({ a, [b]: c, ...d })", "a b c d"],
  ["(x) => x.a.b.c", ""],
  ["(x) => x[a].b", "a"],
  ["(x) => x?.a?.[b]?.(c)", "b c"],
  ["(x) => { a: for (;;) { if (x) continue a; break a; } }", ""],
  ["() => { class C { a = 1; #b = 2; static c = 3; d() { this.#b; } } }", ""],
  ["(x) => { const { a: y, b: { c: z } } = x; return y + z; }", ""],
  ["() => { ({ a: b } = c); }", "b c"],
  ["() => new.target", "none"],
  ["function () { return new.target; }", ""],
  ["() => import.meta.url", ""],
  ["() => import('./a.ts')", ""],
  ["(x) => import(a + x)", "a"],
  ["() => import('./a.ts', { with: { type: b } })", "b"],
  ["function () { return arguments[a]; }", "a"],
  ["(x) => ({ new: 1, import: 2, arguments: 3 }).import + x.new", ""],
  // expressions
  ["() => `a ${b} c ${`d ${e}`}`", "b e"],
  ["() => tag`a ${b}`", "b tag"],
  ["() => /a/g.test('b')", ""],
  ["() => [...a, ...b]", "a b"],
  ["() => f(...a)", "a f"],
  ["() => new A(...b)", "A b"],
  ["() => typeof a", "a"],
  ["() => { delete a.b; }", "a"],
  ["() => void a", "a"],
  ["() => { a ||= b; c ??= d; e **= 2; f++; }", "a b c d e f"],
  ["() => (a, b, c ? d : e)", "a b c d e"],
  ["(x) => x in a && x instanceof b", "a b"],
  ["() => { throw a; }", "a"],
  ["async () => await a", "a"],
  ["() => undefined", "undefined"],
  ["(undefined) => undefined", ""],
  ["() => globalThis.a", "globalThis"],
  ["() => eval('1')", "eval"],
  ["() => async", "async"],
  ["(of, get, set, async) => of + get + set + async + from", "from"],
  ["() => { let \\u0061bc = 1; return abc; }", ""],
  ["() => $a + _b + ñ", "$a _b ñ"],
  ["() => a // b", "a"],
  ["() => /* b */ a", "a"],
  // functions within
  ["() => () => { let a; return () => a + b; }", "b"],
  ["() => { const f = (a) => a; return a; }", "a"],
  ["() => { (function a() {})(); return a; }", "a"],
  ["() => { const b = class A {}; return A; }", "A"],
  ["() => { const b = class A { m() { return A; } }; }", ""],
  ["() => { const b = class extends A {}; }", "A"],
  [
    "() => { class A extends A2 { [k] = v; static { let s = w; s; } } }",
    "A2 k v w",
  ],
  ["() => { class A { static { let s = 1; s; } } return s; }", "s"],
  ["() => { class A { static { var s = 1; s; } } return s; }", "s"],
  ["() => { class A { x = y; m(y) {} } }", "y"],
  [
    "() => { class A { get [a]() { return b; } set [c](d) { e = d; } } }",
    "a b c e",
  ],
  ["() => { class A { #p; has(o) { return #p in o && a; } } }", "a"],
  ["() => { const o = { f(x) { return f; } }; return x; }", "f x"],
  ["() => { function f(a) { var b; } return a + b; }", "a b"],
  // names that are hidden in a part only
  ["(a) => { { let a = b; } }", "b"],
  ["() => { const a = 1; { const b = a; { const a = c; } } }", "c"],
  ["() => { let x = 1; { x; let y = x; } y; }", "y"],
  // what a class extends is not in the text that travels
  ["class B extends A { m() { return c; } }", "c"],
  ["class B extends mixin(A, () => d) { m() { return super.m(); } }", ""],
], (source) => {
  const found = readFunctionSource(source);
  return found?.freeNames.toSorted().join(" ") ?? "none";
});

// A parameter's default cannot see what the body declares.
testTable("readFunctionSource() keeps parameters apart from the body", [
  ["(x = a) => { var a = 1; return x + a; }", "a"],
  ["(x = a) => { let a = 1; return x + a; }", "a"],
  ["(x = a) => { function a() {} return x + a; }", "a"],
  ["(x = () => a) => { const a = 1; return x() + a; }", "a"],
  ["function ({ x = a }) { class a {} return x + a; }", "a"],
], readFree);

// ------------------------------------------------------------------- flags

const FLAGS = [
  "isClass",
  "isDerived",
  "isMethod",
  "isArrow",
  "isGenerator",
  "usesThis",
  "usesModule",
] as const;

function tellFlags(source: string): string {
  const found = readFunctionSource(source);
  if (found === undefined) return "none";
  const words: string[] = FLAGS.filter((flag) => found[flag]);
  if (found.bound !== undefined) words.push(`bound=${found.bound}`);
  return words.join(" ");
}

testTable("readFunctionSource() tells the kind", [
  ["() => 1", "isArrow"],
  ["async (x) => x", "isArrow"],
  ["x => ({})", "isArrow"],
  ["function () {}", ""],
  ["async function () {}", ""],
  ["function* () {}", "isGenerator"],
  ["async function* f() {}", "isGenerator"],
  ["class {}", "isClass"],
  ["class A extends B {}", "isClass isDerived"],
  ["class extends null {}", "isClass"],
  ["m() {}", "isMethod"],
  ["async m() {}", "isMethod"],
  ["*m() {}", "isMethod isGenerator"],
  ["async *m() {}", "isMethod isGenerator"],
  ["get m() { return 1; }", "isMethod"],
  ["set m(x) {}", "isMethod"],
  ["get(x) { return x; }", "isMethod"],
  ["set(x) { return x; }", "isMethod"],
  ["get get() { return 1; }", "isMethod"],
  ["async(x) { return x; }", "isMethod"],
  ["static(x) { return x; }", "isMethod"],
  ["await(x) { return x; }", "isMethod"],
  ["if(x) { return x; }", "isMethod"],
  ["new(x) { return x; }", "isMethod"],
  ["'odd name'(x) { return x; }", "isMethod"],
  ["5(x) { return x; }", "isMethod"],
  ["[Symbol.iterator]() {}", "isMethod"],
  ["*[Symbol.iterator]() {}", "isMethod isGenerator"],
  ["__proto__() { return 1; }", "isMethod"],
  ["constructor(x) { return x; }", "isMethod"],
  // `this`
  ["() => this", "isArrow usesThis"],
  ["() => () => this", "isArrow usesThis"],
  ["(x = this) => x", "isArrow usesThis"],
  ["() => function () { return this; }", "isArrow"],
  ["() => ({ m() { return this; } })", "isArrow"],
  ["() => ({ m: this })", "isArrow usesThis"],
  ["() => ({ [this.k]() {} })", "isArrow usesThis"],
  ["() => class { x = this; m() { return this; } }", "isArrow"],
  ["() => class { static x = this; static { this.y = 1; } }", "isArrow"],
  ["() => class { [this.k] = 1; }", "isArrow usesThis"],
  ["() => class extends this.Base {}", "isArrow usesThis"],
  ["() => { class A { [(() => this.k)()]() {} } }", "isArrow usesThis"],
  ["function () { return this; }", "usesThis"],
  ["function () { return () => this; }", "usesThis"],
  ["function () { return function () { return this; }; }", ""],
  ["m() { return this.x; }", "isMethod usesThis"],
  ["m() { return function () { return this; }; }", "isMethod"],
  ["class { x = this; }", "isClass"],
  // what no text carries
  ["m() { return super.m(); }", "isMethod bound=super"],
  ["m() { return () => super.m(); }", "isMethod bound=super"],
  ["m() { return { n() { return super.n(); } }; }", "isMethod"],
  [
    "m() { return class extends Object { n() { return super.n(); } }; }",
    "isMethod",
  ],
  ["() => arguments", "isArrow bound=arguments"],
  ["() => () => arguments[0]", "isArrow bound=arguments"],
  ["(x = arguments[0]) => x", "isArrow bound=arguments"],
  ["() => function () { return arguments; }", "isArrow"],
  ["function () { return () => arguments; }", ""],
  ["() => super.m()", "none"],
  ["() => new.target", "none"],
  ["(o) => o.#p", "none"],
  // its module
  ["() => import.meta", "isArrow usesModule"],
  ["() => import('./x.ts')", "isArrow usesModule"],
  ["(x) => import(x)", "isArrow usesModule"],
  ["() => import(`./x.ts`)", "isArrow usesModule"],
  ["() => import('bare')", "isArrow usesModule"],
  ["() => import('node:fs')", "isArrow"],
  ["() => import('https://example.com/x.ts')", "isArrow"],
  [
    "() => () => { class A { static u = import.meta.url; } }",
    "isArrow usesModule",
  ],
  ["class extends import.meta.Base {}", "isClass isDerived"],
  [
    "class extends Base { u = import.meta.url; }",
    "isClass isDerived usesModule",
  ],
  // text that is no function
  ["", "none"],
  ["1", "none"],
  ["function () { [native code] }", "none"],
  ["{ a: 1 }", "none"],
  ["() => {", "none"],
], tellFlags);

// A property of that name is nothing of its place.
testTable('readFunctionSource() takes a property "arguments" for no variable', [
  ["(x) => x.arguments", "isArrow"],
  ["() => ({ arguments: 1 })", "isArrow"],
  ["(x) => { const { arguments: y } = x; return y; }", "isArrow"],
  ["() => class { arguments() {} }", "isArrow"],
], tellFlags);

// ---------------------------------------------------------------- assigned

testTable("readFunctionSource() finds assigned names", [
  ["() => { a = 1; }", "a"],
  ["() => { a += 1; b ??= 2; c++; --d; }", "a b c d"],
  ["() => { [a, b.c, ...d] = e; }", "a d"],
  ["() => { ({ x: a, y: [b = 1], ...c } = e); }", "a b c"],
  ["() => { ({ a, b = 1 } = e); }", "a b"],
  ["() => { for (a of b); for (c in d); }", "a c"],
  ["() => { for ({ x: a } of b); }", "a"],
  ["() => { for (const a of b); let c = 1; var d = 2; }", ""],
  ["() => { a.b = 1; a[c]++; }", ""],
  ["() => () => { class A { m(x = (a = 1)) {} } }", "a"],
  ["() => { let a; a = 1; }", "a"], // its own, too
  ["() => { (a) = 1; [(b)] = c; }", "a b"],
], (source) => [...read(source).assigned].toSorted().join(" "));

// ----------------------------------------------------------------- express

interface Row {
  /** An expression that gives the function. */
  readonly make: string;
  readonly args?: readonly unknown[];
  readonly values?: Record<string, unknown>;
  readonly self?: unknown;
}

/** The rebuilt function, with what its text may name. */
function rebuild(fn: AnyFunction, values: Record<string, unknown> = {}) {
  const source = read(Function.prototype.toString.call(fn));
  return evaluate(source.express(STAND_INS), {
    ...values,
    $meta: { url: "u:" },
    $load: (specifier: string) => `loaded ${specifier}`,
    $base: Object.getPrototypeOf(fn),
  });
}

const SAME: Record<string, Row> = {
  "arrow function": { make: "(x) => x + 1", args: [1] },
  "arrow function that returns an object": { make: "() => ({ a: 1 })" },
  "arrow function that ends in a comment": { make: "() => 1 // one" },
  "function expression": { make: "function (x) { return -x; }", args: [1] },
  "recursive function": {
    make: "function f(n) { return n ? n * f(n - 1) : 1; }",
    args: [5],
  },
  "free name": { make: "(x) => x + a", args: [1], values: { a: 2 } },
  "default parameters": {
    make: "({ x = 1, ...r } = {}, [y = x] = []) => [x, y, r]",
    args: [{ z: 3 }],
  },
  "shorthand method": { make: "({ m(x) { return x * 2; } }).m", args: [2] },
  "method with a comment before its parameters": {
    make: "({ m /* ( */ (x) { return x * 2; } }).m",
    args: [2],
  },
  "method with a reserved name": {
    make: "({ delete(x) { return x; } }).delete",
    args: [1],
  },
  "method named function": {
    make: "({ function(x) { return x; } }).function",
    args: [1],
  },
  "method named async": {
    make: "({ async(x) { return x; } }).async",
    args: [1],
  },
  "method named get": { make: "({ get(x) { return x; } }).get", args: [1] },
  "method with a string for a name": {
    make: "({ 'a b(]'(x) { return x; } })['a b(]']",
    args: [1],
  },
  "method with a number for a name": {
    make: "({ 0x10(x) { return x; } })[16]",
    args: [1],
  },
  "method named __proto__": {
    make: "({ __proto__(x) { return x; } }).__proto__",
    args: [1],
  },
  "method named constructor": {
    make: "({ constructor(x) { return x; } }).constructor",
    args: [1],
  },
  "method with a computed name": {
    make: "Object.values({ [['k']['0'] + (')')](x = [1]) { return x; } })[0]",
    args: [undefined],
  },
  "method with a computed name and a comment in it": {
    make: "Object.values({ ['k' /* ] */](x) { return x; } })[0]",
    args: [1],
  },
  "method with a computed name in parentheses": {
    make: "Object.values({ [('k')](x = (1)) { return x; } })[0]",
    args: [undefined],
  },
  "getter": {
    make: "Object.getOwnPropertyDescriptor({ get g() { return 1; } }, 'g').get",
  },
  "getter with a computed name": {
    make:
      "Object.getOwnPropertyDescriptor({ get [String('g')]() { return 1; } }, 'g').get",
  },
  "setter": {
    make:
      "Object.getOwnPropertyDescriptor({ set s(x) { x.push(1); } }, 's').set",
    args: [[]],
  },
  "static method": {
    make: "(class { static m(x) { return x; } }).m",
    args: [1],
  },
  "method of a class": {
    make: "(class { m(x) { return x; } }).prototype.m",
    args: [1],
  },
  "private method": {
    make: "(class { static #p(x) { return x; } static q = this.#p; }).q",
    args: [1],
  },
  "getter of a private name": {
    make:
      "(class { static get [Symbol.for('p')]() { return 1; } static q = Object.getOwnPropertyDescriptor(this, Symbol.for('p')).get; }).q",
  },
  "strings that look like code": {
    make: "() => '=> { import.meta }' + \"this\" + `super ${'${'} \\``",
  },
  "regular expressions": {
    make: "(s) => s.replace(/[/\\]'\"`]/g, '-') + /=>{/.source",
    args: ["a/b`c"],
  },
  "templates": {
    make: "(x) => `a${`b${x}`}c` + String.raw`\\n${x}`",
    args: [1],
  },
  "labels": {
    make:
      "() => { let n = 0; a: for (;;) { for (;;) { if (n++ > 3) break a; continue a; } } return n; }",
  },
  "var hoisting": {
    make: "() => { x = 1; if (false) { var x; } return typeof x; }",
  },
  "for-let closures": {
    make:
      "() => { const f = []; for (let i = 0; i < 3; i++) f.push(() => i); return f.map((g) => g()); }",
  },
  "switch": {
    make: "(x) => { switch (x) { case 1: return 'a'; default: return 'b'; } }",
    args: [1],
  },
  "catch": { make: "() => { try { null.x; } catch { return 'caught'; } }" },
  "class with private names and static blocks": {
    make:
      "(x) => { class A { static #n = 1; static { this.#n += 1; } #p = x; sum() { return this.#p + A.#n; } } return new A().sum(); }",
    args: [1],
  },
  "optional chaining": {
    make: "(x) => [x?.a?.[0], x?.b?.()]",
    args: [{ a: [1] }],
  },
  "arguments": {
    make: "function () { return (() => arguments.length)(); }",
    args: [1, 2],
  },
  "this": { make: "function () { return typeof this; }" },
  "new.target": { make: "function () { return new.target === undefined; }" },
  "big numbers": { make: "() => String(10n ** 20n) + 1_000 + 0b11" },
  "unicode": { make: "(π) => 'é\\u{1F600}' + π", args: [3] },
  "comma and sequence": { make: "(x) => (x, x + 1)", args: [1] },
  "html-like comment": {
    make: "(x) => { let y = 2; return x-- > y; }",
    args: [4],
  },
};

for (const [name, { make, args = [], values, self }] of Object.entries(SAME)) {
  Deno.test(`express() gives a function that behaves the same: ${name}`, () => {
    const fn = evaluate(make, values) as AnyFunction;
    const again = rebuild(fn, values);
    const given = () => structuredClone(args) as unknown[];
    assertEquals(again.apply(self, given()), fn.apply(self, given()));
    assertEquals(again.length, fn.length);
  });
}

Deno.test("express() keeps async functions and generators what they are", async () => {
  assertEquals(await rebuild(evaluate("async (x) => await x"))(1), 1);
  assertEquals(
    await rebuild(evaluate("({ async m(x) { return x; } }).m"))(1),
    1,
  );
  assertEquals([...rebuild(evaluate("function* () { yield 1; }"))()], [1]);
  assertEquals([...rebuild(evaluate("({ *m() { yield 1; } }).m"))()], [1]);
  assertEquals([...rebuild(evaluate("({ *['m']() { yield 1; } }).m"))()], [1]);
  const each = rebuild(evaluate("({ async *['m']() { yield 1; } }).m"));
  assertEquals(await Array.fromAsync(each()), [1]);
});

Deno.test("express() keeps a class what it is", () => {
  const A = rebuild(evaluate(
    "class A { #p = 1; static s = 2; get p() { return this.#p; } static { this.t = 3; } }",
  ));
  // What ran once does not run again: what came of it follows as values.
  assertEquals([new A().p, A.s, A.t, A.name], [1, undefined, undefined, "A"]);
});

Deno.test("express() writes what stands in for the base, and leaves out how it was computed", () => {
  const base = class {
    m() {
      return 1;
    }
  };
  const B = evaluate(
    "class B extends (null ?? base) { m() { return super.m() + 1; } }",
    { base },
  );
  const C = rebuild(B);
  assertEquals(new C().m(), 2);
  assert(new C() instanceof base);
});

const MODULE_ROWS: readonly (readonly [source: string, expected: unknown])[] = [
  ["() => import.meta.url", "u:"],
  ["() => import . /* x */ meta . url", "u:"],
  ["() => import('./a.ts')", "loaded ./a.ts"],
  ["() => import ( './a.ts' )", "loaded ./a.ts"],
  ["(x = import.meta.url) => x + import.meta.url", "u:u:"],
  ["() => import(import.meta.url)", "loaded u:"],
  ["() => `${import.meta.url} ${import('./a.ts')}`", "u: loaded ./a.ts"],
  [
    "() => [import.meta.url, import('./a.ts'), import.meta.url].join()",
    "u:,loaded ./a.ts,u:",
  ],
  ["() => { const { url = 1 } = import.meta; return url; }", "u:"],
  ["() => (({ x = import.meta.url }) => x + import.meta.url)({})", "u:u:"],
  [
    "() => { do { var x = import.meta.url; } while (import.meta.none); return x; }",
    "u:",
  ],
  [
    "() => { for (let i = import.meta.url; ; i += import.meta.url) { if (i.length > 2) return i + import.meta.url; } }",
    "u:u:u:",
  ],
  ["() => new (class { [import.meta.url] = import.meta.url; })()['u:']", "u:"],
  ["() => ({ [import.meta.url]() { return import.meta.url; } })['u:']()", "u:"],
  ["() => String.raw`${import.meta.url}-${import.meta.url}`", "u:-u:"],
  [
    "() => { a: { if (import.meta.url) break a; } return import.meta.url; }",
    "u:",
  ],
  ["() => 'import.meta' + import.meta.url", "import.metau:"],
  [
    "() => { switch ('u:') { case import.meta.url: return import.meta.url; } }",
    "u:",
  ],
  [
    "() => { switch ('u:') { case 1: case import.meta.url: { return 'in ' + import.meta.url; } default: return import.meta.url; } }",
    "in u:",
  ],
];

for (const [source, expected] of MODULE_ROWS) {
  Deno.test(`express() puts stand-ins into ${source}`, () => {
    const { express, usesModule } = read(source);
    assert(usesModule);
    const fn = evaluate(express(STAND_INS), {
      $meta: { url: "u:" },
      $load: (specifier: string) => `loaded ${specifier}`,
    });
    assertEquals(fn(), expected);
  });
}

Deno.test("readFunctionSource() gives the same answer for the same text, and reads many", () => {
  const source = "(x) => x + known";
  assert(read(source) === read(source));
  for (let i = 0; i < 2_000; i++) {
    assertEquals(read(`() => a${i}`).freeNames, [`a${i}`]);
  }
  assertEquals(read(source).freeNames, ["known"]);
});

// ---------------------------------------------------------- random functions

/** A piece of a function's body: text, what it uses, and what it declares for its scope. */
type Statement =
  | { kind: "use" | "set" | "typeof"; name: string }
  | {
    kind: "declare";
    how: "let" | "const" | "class" | "function";
    name: string;
    init: string;
  }
  | { kind: "var"; name: string; init: string }
  | { kind: "block" | "if" | "static"; body: Statement[] }
  | {
    kind: "for" | "forOf" | "catch";
    name: string;
    init: string;
    body: Statement[];
  }
  | {
    kind: "function" | "arrow" | "method" | "named" | "class";
    name: string;
    params: Param[];
    body: Statement[];
  };

interface Param {
  readonly name: string;
  readonly init: string | undefined;
}

const NAMES = ["a", "b", "c", "d", "e"];
/** What is hard for an analyser, each for itself. */
type Trait = "defaults" | "static blocks" | "class names";

/** Parameters and bodies of functions. */
function anyFunction(
  traits: readonly Trait[],
): fc.Arbitrary<[Param[], Statement[]]> {
  const name = fc.constantFrom(...NAMES);
  const init = traits.includes("defaults")
    ? fc.option(name, { nil: undefined })
    : fc.constant(undefined);
  const params = fc.uniqueArray(fc.record({ name, init }), {
    maxLength: 3,
    selector: ({ name }) => name,
  });
  const oneOf = <T extends string>(...kinds: T[]) => fc.constantFrom(...kinds);
  const blocks = ["block", "if"] as const;
  const functions = ["function", "arrow", "method", "named"] as const;
  const { body } = fc.letrec<{ statement: Statement; body: Statement[] }>(
    (tie) => ({
      body: fc.array(tie("statement"), {
        maxLength: 4,
        depthIdentifier: "depth",
      }),
      statement: fc.oneof(
        { depthSize: "small", depthIdentifier: "depth" },
        fc.record({ kind: oneOf("use", "set", "typeof"), name }),
        fc.record({
          kind: oneOf("declare"),
          how: oneOf("let", "const", "class", "function"),
          name,
          init: name,
        }),
        fc.record({ kind: oneOf("var"), name, init: name }),
        fc.record({
          kind: traits.includes("static blocks")
            ? oneOf(...blocks, "static")
            : oneOf(...blocks),
          body: tie("body"),
        }),
        fc.record({
          kind: oneOf("for", "forOf", "catch"),
          name,
          init: name,
          body: tie("body"),
        }),
        fc.record({
          kind: traits.includes("class names")
            ? oneOf(...functions, "class")
            : oneOf(...functions),
          name,
          params,
          body: tie("body"),
        }),
      ),
    }),
  );
  return fc.tuple(params, body);
}

/** Writes the statements, as text. */
function write(body: readonly Statement[]): string {
  return body.map(writeOne).join(" ");
}

function writeParams(params: readonly Param[]): string {
  return params.map(({ name, init }) =>
    init === undefined ? name : `${name} = ${init}`
  ).join(", ");
}

function writeOne(s: Statement): string {
  switch (s.kind) {
    case "use":
      return `f$(${s.name});`;
    case "set":
      return `${s.name} = 1;`;
    case "typeof":
      return `typeof ${s.name};`;
    case "var":
      return `var ${s.name} = ${s.init};`;
    case "declare":
      return s.how === "class"
        ? `class ${s.name} { x = ${s.init}; }`
        : s.how === "function"
        ? `function ${s.name}() { ${s.init}; }`
        : `${s.how} ${s.name} = ${s.init};`;
    case "block":
      return `{ ${write(s.body)} }`;
    case "if":
      return `if (f$) { ${write(s.body)} }`;
    case "static":
      return `(class { static { ${write(s.body)} } });`;
    case "for":
      return `for (let ${s.name} = ${s.init}; ;) { ${write(s.body)} }`;
    case "forOf":
      return `for (const ${s.name} of [${s.init}]) { ${write(s.body)} }`;
    case "catch":
      return `try { ${s.init}; } catch (${s.name}) { ${write(s.body)} }`;
    case "arrow":
      return `((${writeParams(s.params)}) => { ${write(s.body)} });`;
    case "named":
      return `(function ${s.name}(${writeParams(s.params)}) { ${
        write(s.body)
      } });`;
    case "function":
      return `(function (${writeParams(s.params)}) { ${write(s.body)} });`;
    case "method":
      return `({ ${s.name}(${writeParams(s.params)}) { ${write(s.body)} } });`;
    case "class":
      return `(class ${s.name} { m(${writeParams(s.params)}) { ${
        write(s.body)
      } } });`;
  }
}

/** What `var` declares in the function around, from blocks too. */
function vars(body: readonly Statement[]): string[] {
  return body.flatMap((s) => {
    switch (s.kind) {
      case "var":
        return [s.name];
      case "block":
      case "if":
      case "for":
      case "forOf":
      case "catch":
        return vars(s.body);
      default:
        return [];
    }
  });
}

function declared(body: readonly Statement[]): string[] {
  return body.flatMap((s) => s.kind === "declare" ? [s.name] : []);
}

type Known = ReadonlySet<string>;

function and(known: Known, names: readonly string[]): Known {
  return new Set([...known, ...names]);
}

/** Adds what a function uses and nobody within it declares. */
function collectFunction(
  params: readonly Param[],
  body: readonly Statement[],
  known: Known,
  free: Set<string>,
): void {
  const withParams = and(known, params.map(({ name }) => name));
  for (const { init } of params) {
    if (init !== undefined && !withParams.has(init)) free.add(init);
  }
  collect(body, and(withParams, vars(body)), free);
}

function collect(
  body: readonly Statement[],
  around: Known,
  free: Set<string>,
): void {
  const known = and(around, declared(body));
  const use = (name: string, names = known) => {
    if (!names.has(name)) free.add(name);
  };
  for (const s of body) {
    switch (s.kind) {
      case "use":
      case "set":
      case "typeof":
        use(s.name);
        break;
      case "declare":
      case "var":
        use(s.init);
        break;
      case "block":
      case "if":
        collect(s.body, known, free);
        break;
      case "static":
        collect(s.body, and(known, vars(s.body)), free);
        break;
      case "for":
      case "forOf": {
        const inner = and(known, [s.name]);
        use(s.init, inner);
        collect(s.body, inner, free);
        break;
      }
      case "catch":
        use(s.init);
        collect(s.body, and(known, [s.name]), free);
        break;
      case "arrow":
      case "function":
      case "method":
        collectFunction(s.params, s.body, known, free);
        break;
      case "named":
      case "class":
        collectFunction(s.params, s.body, and(known, [s.name]), free);
        break;
    }
  }
}

/** Whether it is JavaScript: that no name is declared twice, say. */
function isValid(source: string): boolean {
  try {
    (0, eval)(`"use strict"; (${source})`);
    return true;
  } catch {
    return false;
  }
}

/**
 * acorn 8.19 takes a function and a `var` of one name in a static block for two
 * names that clash; there they are one, as in a function.
 */
function doesAcornRefuse(source: string): boolean {
  return source.includes("static {") &&
    readFunctionSource(source) === undefined;
}

const RUNS = 1_000;

for (
  const traits of [
    [],
    ["class names"],
    ["static blocks"],
    ["defaults"],
    ["class names", "static blocks", "defaults"],
  ] satisfies Trait[][]
) {
  const kind = traits.length === 0 ? "" : ` with ${traits.join(" and ")}`;
  Deno.test(`readFunctionSource() finds the free names of random functions${kind}`, () => {
    let checked = 0;
    fc.assert(
      fc.property(anyFunction(traits), ([params, body]) => {
        const source = `(${writeParams(params)}) => { ${write(body)} }`;
        fc.pre(isValid(source) && !doesAcornRefuse(source));
        checked++;
        const free = new Set<string>();
        collectFunction(params, body, new Set(), free);
        const found = read(source).freeNames.filter((name) => name !== "f$");
        assertEquals(found.toSorted(), [...free].toSorted(), source);
      }),
      { numRuns: RUNS, maxSkipsPerRun: 1_000 },
    );
    assertEquals(checked, RUNS);
  });
}
