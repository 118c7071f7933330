/** Functions within objects. */

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { FunctionRemover } from "../_members.ts";

function takeOutFunctions(value: object) {
  return new FunctionRemover().takeOut(value);
}

function f() {
  return 1;
}

function g() {
  return 2;
}

/** What was found, in short. */
function tell(value: object): string[] | undefined {
  return takeOutFunctions(value)?.functions.map(({ path, fn }) =>
    `${path.join(".")}=${(fn as { name: string }).name}`
  );
}

Deno.test("takeOutFunctions() gives undefined where there is no function", () => {
  for (const value of [{}, [], { a: 1, b: { c: [null, undefined, "f"] } }]) {
    assertEquals(takeOutFunctions(value), undefined);
  }
});

Deno.test("takeOutFunctions() puts null in place of functions, and tells the way to each", () => {
  const value = { f, a: 1, list: [g, { f }], deep: { b: 2 } };
  const taken = takeOutFunctions(value)!;
  assertEquals(taken.rest, {
    f: null,
    a: 1,
    list: [null, { f: null }],
    deep: { b: 2 },
  });
  assertEquals(tell(value), ["f=f", "list.0=g", "list.1.f=f"]);
});

Deno.test("takeOutFunctions() leaves the value as it is, and copies only what holds functions", () => {
  const other = { b: 2 };
  const value = { f, other };
  const { rest } = takeOutFunctions(value)!;
  assertStrictEquals(value.f, f);
  assertStrictEquals((rest as typeof value).other, other);
});

Deno.test("takeOutFunctions() takes objects without a prototype, and arrays", () => {
  assertEquals(tell(Object.assign(Object.create(null), { f })), ["f=f"]);
  const taken = takeOutFunctions([1, f])!;
  assert(Array.isArray(taken.rest));
  assertEquals(taken.rest, [1, null]);
});

Deno.test("takeOutFunctions() looks into the fields of an object of a class", () => {
  class Box {
    f = f;
  }
  assertEquals(tell({ box: new Box() }), ["box.f=f"]);
});

Deno.test("takeOutFunctions() does not look into objects of the platform", () => {
  const error = Object.assign(new Error(), { f });
  for (const value of [new Map([["f", f]]), new Set([f]), error]) {
    assertEquals(takeOutFunctions(value), undefined);
  }
});

Deno.test("FunctionRemover.takeOut() gives one copy of what several values hold", () => {
  const remover = new FunctionRemover();
  const shared = { f };
  const first = remover.takeOut({ shared })!.rest as { shared: object };
  assertStrictEquals(remover.takeOut(shared)!.rest, first.shared);
  assertEquals(remover.takeOut(shared)!.functions, []);
});

Deno.test("FunctionRemover.takeOut() looks at the beginning of what is large", () => {
  const large: unknown[] = Array.from({ length: 1_000_000 }, (_, i) => i);
  large.push(f);
  assertEquals(takeOutFunctions(large), undefined);
});

Deno.test("takeOutFunctions() calls no getter", () => {
  const value = {
    get danger(): never {
      throw new Error("the getter was called");
    },
    a: 1,
  };
  assertEquals(takeOutFunctions(value), undefined);
});

Deno.test("takeOutFunctions() ignores what is not enumerable, and symbols", () => {
  const value = Object.defineProperty({ [Symbol("s")]: f }, "hidden", {
    value: f,
  });
  assertEquals(takeOutFunctions(value), undefined);
});

Deno.test("takeOutFunctions() comes to an end in cycles", () => {
  const plain: Record<string, unknown> = { a: 1 };
  plain.self = plain;
  assertEquals(takeOutFunctions(plain), undefined);
});

Deno.test("takeOutFunctions() leaves no function in what is reached on two ways", () => {
  const shared = { f };
  const { rest } = takeOutFunctions({ x: shared, y: shared })!;
  assertEquals(rest, { x: { f: null }, y: { f: null } });
  const { x, y } = rest as { x: unknown; y: unknown };
  assertStrictEquals(x, y);
});

Deno.test("takeOutFunctions() leaves no function in what holds itself", () => {
  const value: Record<string, unknown> = { f };
  value.self = value;
  const rest = takeOutFunctions(value)!.rest as Record<string, unknown>;
  assertEquals(rest.f, null);
  assertStrictEquals(rest.self, rest);
});

Deno.test("takeOutFunctions() leaves holes of arrays and keys like __proto__ as they are", () => {
  // deno-lint-ignore no-sparse-arrays -- holes are what is tried
  const { rest } = takeOutFunctions([, f, , 1])!;
  assertEquals(Object.keys(rest), ["1", "3"]);
  const odd = JSON.parse('{"__proto__":{"a":1}}');
  odd.f = f;
  const copy = takeOutFunctions(odd)!.rest;
  assertEquals(Object.keys(copy), ["__proto__", "f"]);
});

Deno.test("takeOutFunctions() takes a function out of the key __proto__", () => {
  const odd = Object.defineProperty({}, "__proto__", {
    value: f,
    enumerable: true,
  });
  const { rest } = takeOutFunctions(odd)!;
  assertEquals(Object.getOwnPropertyDescriptor(rest, "__proto__")?.value, null);
});

Deno.test("takeOutFunctions() looks at the beginning of a large object only", () => {
  const list: unknown[] = new Array(50_000).fill(0);
  list[10] = f;
  assertEquals(tell(list), ["10=f"]);
  list[10] = 0;
  list[49_999] = f;
  assertEquals(takeOutFunctions(list), undefined);
});
