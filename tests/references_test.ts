/** Functions that need not travel: found by name. */

import { assert, assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import path from "node:path";
import { leaveInspector, lookAt } from "../_inspector.ts";
import {
  findExport,
  findGlobal,
  isModuleScope,
  makeImport,
  moduleSourceOf,
} from "../_references.ts";
import { isPlatformName } from "../_realm.ts";
import type { AnyFunction } from "./_any_function.ts";

interface Loaded {
  readonly url: string;
  readonly namespace: Record<string, AnyFunction>;
}

async function load(source: string): Promise<Loaded> {
  const url = `data:text/javascript,${encodeURIComponent(source)}`;
  return { url, namespace: await import(url) };
}

function findPath(fn: object): string | undefined {
  return findExport(fn, lookAt(fn))?.path.join(".");
}

Deno.test("isPlatformName() is true for what the platform set, not for what the program set", () => {
  for (
    const name of [
      "Math",
      "fetch",
      "Deno",
      "undefined",
      "NaN",
      "globalThis",
      "Temporal",
    ]
  ) {
    assert(isPlatformName(name), name);
  }
  const holder = globalThis as Record<string, unknown>;
  holder.setByTest = 1;
  try {
    assertEquals(isPlatformName("setByTest"), false);
  } finally {
    delete holder.setByTest;
  }
});

Deno.test("findGlobal() finds built-ins, and no function of the program on the global object", () => {
  assertEquals(findGlobal(Math.max)?.path, ["Math", "max"]);
  assertEquals(findGlobal(Promise.all)?.path, ["Promise", "all"]);
  assertEquals(findGlobal(setTimeout)?.path, ["setTimeout"]);
  assertEquals(findGlobal(Map)?.path, ["Map"]);
  const holder = globalThis as Record<string, unknown>;
  const setByTest = () => 1;
  holder.setByTest = setByTest;
  try {
    assertEquals(findGlobal(setByTest), undefined);
  } finally {
    delete holder.setByTest;
  }
  assertEquals(findGlobal(() => 1), undefined);
  assertEquals(findGlobal(Math.max.bind(null)), undefined);
});

Deno.test("findGlobal() takes no other function of a built-in's name", () => {
  const max = (a: number) => a;
  assertEquals(findGlobal(max), undefined);
});

const EXPORTED: readonly (readonly [
  title: string,
  source: string,
  key: string,
  path: string | undefined,
])[] = [
  ["by its name", "export function f() {}", "f", "f"],
  ["by another name", "function f() {} export { f as g };", "g", "g"],
  ["by a string", "function f() {} export { f as 'a b' };", "a b", "a b"],
  ["by a const", "export const f = () => 1;", "f", "f"],
  ["by a pattern", "export const { a: [f] } = { a: [() => 1] };", "f", "f"],
  ["by a class", "export class A {}", "A", "A"],
  [
    "as the default, named",
    "export default function f() {}",
    "default",
    "default",
  ],
  [
    "as the default, unnamed",
    "const k = 1; export default function () { return k; }",
    "default",
    "default",
  ],
  [
    "as the default, an arrow function",
    "const k = 1; export default (x) => x + k;",
    "default",
    "default",
  ],
  [
    "as the default, a name",
    "const k = 1, f = () => k; export default f;",
    "default",
    "default",
  ],
  [
    "as the default, of a module without names",
    "export default () => import.meta.url;",
    "default",
    "default",
  ],
  [
    "by a variable that was put there later",
    "export let f; f = () => 1;",
    "f",
    "f",
  ],
  [
    "by a const that a function made",
    "const make = () => () => 1; export const f = make();",
    "f",
    "f",
  ],
  [
    "as a wrapped function",
    "const wrap = (g) => (x) => g(x); export const f = wrap((x) => x);",
    "f",
    "f",
  ],
];

for (const [title, source, key, expected] of EXPORTED) {
  Deno.test(`findExport() finds what is exported ${title}`, async () => {
    const { url, namespace } = await load(`${source}\n// ${title}`);
    const fn = namespace[key];
    const found = findExport(fn, lookAt(fn));
    assertEquals(found?.path.join("."), expected);
    assertEquals(found?.module, url);
    assertEquals(found?.source, Function.prototype.toString.call(fn));
  });
}

Deno.test("findExport() finds static methods, and methods of an exported object", async () => {
  const { namespace } = await load(`
    export class A { static s() {} m() {} static arrow = () => 1; }
    export const o = { m() {}, f: () => 1, deep: { n() {} } };`);
  const { A, o } = namespace as unknown as {
    A: { s: AnyFunction; arrow: AnyFunction; prototype: { m: AnyFunction } };
    o: { m: AnyFunction; f: AnyFunction; deep: { n: AnyFunction } };
  };
  assertEquals(findPath(A.s), "A.s");
  assertEquals(findPath(A.arrow), "A.arrow");
  assertEquals(findPath(o.m), "o.m");
  assertEquals(findPath(o.f), "o.f");
  assertEquals(findPath(A.prototype.m), undefined);
  assertEquals(findPath(o.deep.n), undefined);
});

Deno.test("findExport() does not find what is not exported", async () => {
  const { namespace } = await load(`
    const hidden = () => 1;
    export const get = () => hidden;
    export const make = () => () => 2;`);
  assertEquals(findPath(namespace.get() as object), undefined);
  assertEquals(findPath(namespace.make() as object), undefined);
  assertEquals(findPath((0, eval)("() => 1")), undefined);
  assertEquals(findPath(parseInt), undefined);
});

// In the worker the variable holds what the module puts there when it is loaded.
Deno.test("findExport() does not take what a call put into an exported variable later", async () => {
  const { namespace } = await load(`
    export let f;
    export const set = (n) => { f = () => n; };`);
  namespace.set(1);
  assertEquals(findPath(namespace.f), undefined);
});

Deno.test("findExport() calls no getter and no trap", async () => {
  const { namespace } = await load(`
    const refuse = () => { throw new Error("was called"); };
    export const trap = new Proxy({}, { get: refuse, getOwnPropertyDescriptor: refuse, has: refuse });
    export const o = { get hidden() { refuse(); } };
    export class A { static get hidden() { refuse(); } }
    function hidden() {}
    export const get = () => hidden;`);
  assertEquals(findPath(namespace.get() as object), undefined);
});

Deno.test("findExport() is not stopped by an export that has no value yet", async () => {
  const { namespace } = await load(`
    export const found = {};
    export function before() {}
    export function look(lookUp) { return lookUp(before); }
    globalThis.lookUpInTest?.(before);
    export const after = 1;`);
  assertEquals(namespace.look(findPath), "before");
});

Deno.test("findExport() finds functions of Node's modules that Deno brings", () => {
  const found = findExport(readFileSync, lookAt(readFileSync));
  assertEquals([found?.module, found?.path], ["node:fs", ["readFileSync"]]);
  const join = findExport(path.join, lookAt(path.join));
  assert(join?.module.startsWith("node:path"));
  assertEquals(join?.path, ["join"]);
});

Deno.test("moduleSourceOf() reads the script of a function as it runs", async () => {
  const { namespace } = await load("import 'node:fs'; export function f() {}");
  const { script } = lookAt(namespace.f);
  assertEquals([...moduleSourceOf(script!).exports], [["f", "f"]]);
  assert(moduleSourceOf(script!) === moduleSourceOf(script!));
});

Deno.test("isModuleScope() is true for the scope of a module alone", () => {
  const local = Math.random();
  const { scopes } = lookAt(() => local);
  assertEquals(scopes.filter(isModuleScope).length, 1);
  assertEquals(isModuleScope(scopes[0]), false);
});

const SPECIFIERS: readonly (readonly [specifier: string, module: string])[] = [
  ["./x.ts", "file:///a/b/x.ts"],
  ["../x.ts", "file:///a/x.ts"],
  ["/x.ts", "file:///x.ts"],
  ["npm:x@1", "npm:x@1"],
  ["jsr:@a/b", "jsr:@a/b"],
  ["node:fs", "node:fs"],
  ["https://example.com/x.ts", "https://example.com/x.ts"],
];

for (const [specifier, module] of SPECIFIERS) {
  Deno.test(`makeImport() makes "${specifier}" mean the same in any module`, () => {
    const use = makeImport(
      { specifier, name: "n" },
      "local",
      1,
      "file:///a/b/m.ts",
    );
    assertEquals(use, {
      kind: "module",
      name: "local",
      module,
      path: ["n"],
      source: undefined,
    });
  });
}

Deno.test("makeImport() tells the text of a function, and an empty path for a namespace", () => {
  const fn = () => 1;
  const use = makeImport(
    { specifier: "./x.ts", name: undefined },
    "x",
    fn,
    "file:///m.ts",
  );
  assert(use?.kind === "module");
  assertEquals([use.path, use.source], [[], "()=>1"]);
});

Deno.test("makeImport() gives none for a name that means something in its module alone", () => {
  const bare = { specifier: "no-such-package", name: "n" };
  assertEquals(makeImport(bare, "n", 1, "file:///m.ts"), undefined);
});

Deno.test("findGlobal() knows Worker by the guard that stands there while the inspector is asked", () => {
  lookAt(() => 1);
  const guard = Worker;
  leaveInspector();
  assert(guard !== Worker);
  assertEquals(findGlobal(guard), findGlobal(Worker));
  assertEquals(findGlobal(guard)?.path, ["Worker"]);
});
