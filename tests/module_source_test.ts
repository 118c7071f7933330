/** What the text of a module tells of its names. */

import { assertEquals } from "@std/assert";
import { readModuleSource } from "../_module_source.ts";

const EXPORTS: readonly (readonly [source: string, expected: string])[] = [
  ["", ""],
  ["export const a = 1, b = 2;", "a:a b:b"],
  ["export let a; export var b;", "a:a b:b"],
  ["export function f() {}", "f:f"],
  ["export async function f() {}", "f:f"],
  ["export function* f() {}", "f:f"],
  ["export class A {}", "A:A"],
  [
    "export const { a, b: [c, ...d], e: { f = 1 }, ...g } = x;",
    "a:a c:c d:d f:f g:g",
  ],
  ["export const [a, , [b = 1]] = x;", "a:a b:b"],
  ["const a = 1; export { a };", "a:a"],
  ["const a = 1; export { a as b };", "a:b"],
  ["const a = 1; export { a as default };", "a:default"],
  ["const a = 1; export { a as 'odd name' };", "a:odd name"],
  ["export { a }; const a = 1;", "a:a"],
  ["export default function f() {}", "f:default"],
  ["export default class A {}", "A:default"],
  ["const a = 1; export default a;", "a:default"],
  ["export default function () {}", ""],
  ["export default () => 1;", ""],
  ["export default function f() {} export { f as g };", "f:g"],
  // names of other modules are not its own
  ["export { a } from './x.ts';", ""],
  ["export { a as b } from './x.ts';", ""],
  ["export * from './x.ts';", ""],
  ["export * as a from './x.ts';", ""],
  ["import { a } from './x.ts'; export { a };", "a:a"],
  // not at the top
  ["function f() { const a = 1; }", ""],
];

for (const [source, expected] of EXPORTS) {
  Deno.test(`readModuleSource() finds the exports: ${source}`, () => {
    const { exports } = readModuleSource(source);
    const found = [...exports].map((pair) => pair.join(":"));
    assertEquals(found.toSorted().join(" "), expected);
  });
}

const DEFAULTS: readonly (readonly [source: string, text?: string])[] = [
  ["export default () => 1;", "() => 1"],
  ["export default (() => 1);", "() => 1"],
  ["export default async (x) => x;", "async (x) => x"],
  ["export default function () { return 1; }", "function () { return 1; }"],
  ["export default (function f() {});", "function f() {}"],
  ["export default class { m() {} }", "class { m() {} }"],
  ["export default class extends A {}", "class extends A {}"],
  ["export default { a: 1 };", "{ a: 1 }"],
  ["export default function f() {}", "function f() {}"],
  ["const f = () => 1; export default f;", "() => 1"],
  ["export default f; function f() {}", "function f() {}"],
  ["export default a;", undefined],
  ["export { default } from './x.ts';", undefined],
  ["export const a = 1;", undefined],
];

for (const [source, expected] of DEFAULTS) {
  Deno.test(`readModuleSource() finds the text of the default: ${source}`, () => {
    assertEquals(readModuleSource(source).defaultText, expected);
  });
}

const IMPORTS: readonly (readonly [source: string, expected: string])[] = [
  ["import './x.ts';", ""],
  ["import a from './x.ts';", "a=default of ./x.ts"],
  ["import { a } from './x.ts';", "a=a of ./x.ts"],
  ["import { a as b } from 'x';", "b=a of x"],
  ["import { default as a } from 'x';", "a=default of x"],
  ["import { 'odd name' as a } from 'x';", "a=odd name of x"],
  ["import * as a from 'npm:x@1';", "a=all of npm:x@1"],
  ["import a, { b } from 'x';", "a=default of x b=b of x"],
  ["import a, * as b from 'x';", "a=default of x b=all of x"],
  ["import a from './x.json' with { type: 'json' };", ""],
  ["import { a } from 'x'; import { b } from 'y';", "a=a of x b=b of y"],
  ["import {} from 'x';", ""],
  ["const a = await import('x');", ""],
  ["export { a } from 'x';", ""],
];

for (const [source, expected] of IMPORTS) {
  Deno.test(`readModuleSource() finds the imports: ${source}`, () => {
    const found = [...readModuleSource(source).imports].map((
      [local, { specifier, name }],
    ) => `${local}=${name ?? "all"} of ${specifier}`);
    assertEquals(found.join(" "), expected);
  });
}

const ASSIGNED: readonly (readonly [source: string, isAssigned: boolean])[] = [
  ["const a = 1;", false],
  ["let a = 1; a.b = 2; a[0]++; f(a);", false],
  ["function a() {}", false],
  ["class a {}", false],
  ["import a from 'x';", false],
  ["let a; a = 1;", true],
  ["let a = 1; a += 1;", true],
  ["let a; a ??= 1;", true],
  ["let a = 1; a++;", true],
  ["let a = 1; --a;", true],
  ["let a; [a] = b;", true],
  ["let a; [b.c, [...a]] = b;", true],
  ["let a; ({ a } = b);", true],
  ["let a; ({ b: { c: a = 1 } } = b);", true],
  ["let a; ({ ...a } = b);", true],
  ["let a; ({ a: b.c } = d);", false],
  ["let a; for (a of b);", true],
  ["let a; for (a in b);", true],
  ["let a; for ([a] of b);", true],
  ["let a; for ({ b: a } of c);", true],
  ["for (const a of b);", false],
  // there before it has its value
  ["var a = 1;", true],
  ["{ var a; }", true],
  ["var { b: [a] } = c;", true],
  ["for (var a of b);", true],
  ["export var a = 1;", true],
  // wherever it is done
  ["let a; function f() { a = 1; }", true],
  ["let a; class B { static { a = 1; } }", true],
  ["let a; class B { x = () => a++; }", true],
  ["let a; const f = (b = (a = 1)) => b;", true],
  ["export let a; a = 1;", true],
  ["let a; (a) = 1;", true],
  // with `eval` there is no telling
  ["let a; eval('a = 1');", true],
  ["const f = () => eval(x); let a;", true],
  ["let a; (eval)('a = 1');", true],
  ["let a; (0, eval)('a = 1');", false], // sees only globals
  ["let a; b.eval('a = 1');", false],
  // text that nobody can read
  ["let a = ;", true],
  ["with (a) b;", true],
];

for (const [source, expected] of ASSIGNED) {
  Deno.test(`isAssigned() is ${expected} for "a" in ${source}`, () => {
    assertEquals(readModuleSource(source).isAssigned("a"), expected);
  });
}

Deno.test("readModuleSource() tells nothing of text that cannot be read", () => {
  const { exports, imports, defaultText } = readModuleSource(
    "export const a = 1; import b from 'x'; export default () => ;",
  );
  assertEquals([exports.size, imports.size, defaultText], [0, 0, undefined]);
});
