/** How each kind of callable travels, and that it is decided once. */

import {
  assert,
  assertEquals,
  assertNotStrictEquals,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { BoundCallable, checkCallable, travelOf } from "../_callable.ts";
import type { Definition } from "../_definition.ts";
import { SerializationError } from "../errors.ts";
import { importTasks } from "../mod.ts";
import type { AnyFunction } from "./_any_function.ts";

const moduleValue = { of: "module", random: Math.random() };

export function exported(): unknown {
  return moduleValue;
}

function renamed(): unknown {
  return [moduleValue];
}
export { renamed as "another name" };

export default function (): unknown {
  return [[moduleValue]];
}

export class Exported {
  static method(): unknown {
    return moduleValue;
  }
}

export const tools = {
  method(): unknown {
    return [moduleValue, "tools"];
  },
};

/** Exported, but uses nothing of its module. */
export function plain(n: number): number {
  return n + 1;
}

function hidden(): unknown {
  return { moduleValue };
}

/** A definition without its text, which other tests look at. */
function tell(callable: object): Record<string, unknown> {
  const definition: Definition = travelOf(callable).definition;
  switch (definition.kind) {
    case "module":
    case "global": {
      const { source: _, ...rest } = definition;
      return rest as Record<string, unknown>;
    }
    case "source": {
      const { kind, name, isCapturing, uses } = definition;
      return { kind, name, isCapturing, uses };
    }
    default:
      return { kind: definition.kind };
  }
}

const module = import.meta.url;

Deno.test("travelOf() a task reference: by module and name", () => {
  const url = import.meta.resolve("./_tasks.ts");
  const tasks = importTasks<Record<string, AnyFunction>>(url);
  assertEquals(tell(tasks.someTask as unknown as object), {
    kind: "module",
    name: "someTask",
    module: url,
    path: ["someTask"],
  });
});

Deno.test("travelOf() a built-in: by the way to it", () => {
  for (
    const [fn, ...path] of [
      [parseInt, "parseInt"],
      [Math.pow, "Math", "pow"],
      [JSON.parse, "JSON", "parse"],
      [Deno.copyFile, "Deno", "copyFile"],
      [fetch, "fetch"],
      [crypto.subtle.digest, "crypto", "subtle", "digest"],
    ] as [object, ...string[]][]
  ) {
    assertEquals(tell(fn), { kind: "global", name: path.at(-1), path });
  }
});

Deno.test("travelOf() a function that uses nothing of its place: by source, exported or not", () => {
  const alone = { kind: "source", isCapturing: false, uses: [] };
  assertEquals(tell(plain), { ...alone, name: "plain" });
  assertEquals(tell((x: number) => x), { ...alone, name: "anonymous" });
  assertEquals(tell((x: number) => Math.abs(x)), {
    ...alone,
    name: "anonymous",
  });
  const local = async (x: number) => await x;
  assertEquals(tell(local), { ...alone, name: "local" });
  assertEquals(tell({ m: (x: number) => x }.m), { ...alone, name: "m" });
});

Deno.test("travelOf() an exported function that needs its module: by module and name", async () => {
  const byName = (name: string, ...path: string[]) => ({
    kind: "module",
    name,
    module,
    path,
  });
  assertEquals(tell(exported), byName("exported", "exported"));
  assertEquals(tell(renamed), byName("renamed", "another name"));
  assertEquals(tell(Exported.method), byName("method", "Exported", "method"));
  assertEquals(tell(tools.method), byName("method", "tools", "method"));
  const { default: unnamed } = await import(module);
  assertEquals(tell(unnamed), byName("default", "default"));
});

Deno.test("travelOf() a function that is not exported: by source, with what it captured", () => {
  assertEquals(tell(hidden), {
    kind: "source",
    name: "hidden",
    isCapturing: true,
    uses: [],
  });
  const { captured } = travelOf(hidden);
  assertEquals(captured, [{
    name: "moduleValue",
    by: "hidden",
    value: moduleValue,
  }]);
  const words = new Set(["a"]);
  const check = (w: string) => words.has(w);
  assertEquals(travelOf(check).captured, [{
    name: "words",
    by: "check",
    value: words,
  }]);
});

Deno.test("travelOf() a function that captured only functions and imports: nothing goes with each call", () => {
  const add = (a: number, b: number) => a + b;
  const sum = (list: number[]) => list.reduce(add);
  const travel = travelOf(sum);
  assertEquals(travel.captured, undefined);
  assertEquals(tell(sum), {
    kind: "source",
    name: "sum",
    isCapturing: false,
    uses: [],
  });
});

Deno.test("travelOf() gives the definition's text as JSON", () => {
  for (const fn of [parseInt, plain, exported, hidden]) {
    const { definition, text, name } = travelOf(fn);
    assertEquals(JSON.parse(text), JSON.parse(JSON.stringify(definition)));
    assertEquals(name, definition.name);
  }
});

Deno.test("travelOf() gives the same object for the same function", () => {
  const tasks = importTasks<Record<string, AnyFunction>>(module);
  const reference = tasks.exported as unknown as object;
  for (const fn of [parseInt, plain, exported, () => 1, reference]) {
    assertStrictEquals(travelOf(fn), travelOf(fn));
  }
});

Deno.test("travelOf() gives the same object for functions of the same name and source that use nothing", () => {
  const make = () => (x: number) => x * 2;
  assertStrictEquals(travelOf(make()), travelOf(make()));
  const named = () => {
    const other = (x: number) => x * 2;
    return other;
  };
  assertNotStrictEquals(travelOf(make()), travelOf(named()));
});

Deno.test("travelOf() does not take a function with own properties for one without", () => {
  const make = () =>
    function same(): unknown {
      return (same as { extra?: unknown }).extra;
    };
  const without = make();
  travelOf(without);
  const extra = Object.assign(make(), { extra: 5 });
  assertNotStrictEquals(travelOf(extra), travelOf(without));
  assertEquals(travelOf(extra).captured?.map(({ value }) => value), [5]);
  assertEquals(travelOf(make()).captured, undefined);
});

Deno.test("travelOf() keeps functions of the same source apart that captured different things", () => {
  const make = (n: number) => () => n;
  const value = (fn: object) => travelOf(fn).captured?.[0].value;
  const one = make(1), two = make(2);
  assertEquals([value(one), value(two), value(one)], [1, 2, 1]);
});

Deno.test("travelOf() tells a changed variable at once, each time", () => {
  let n = 0;
  const fn = () => n;
  for (n = 0; n < 5; n++) {
    assertEquals(travelOf(fn).captured?.[0].value, n);
  }
});

Deno.test("travelOf() of a function whose variables cannot change gives the same object after the second time", () => {
  const limit = Math.random();
  const fn = () => limit;
  travelOf(fn);
  assertStrictEquals(travelOf(fn), travelOf(fn));
  assertEquals(travelOf(fn).captured?.[0].value, limit);
});

// The assignment stands in another script than the function.
Deno.test("travelOf() tells a changed variable of code from direct eval", async () => {
  const source = `let n = 0;
    export const set = (x) => { n = x; };
    export const fn = eval("() => n");`;
  const { set, fn } = await import(
    `data:text/javascript,${encodeURIComponent(source)}`
  );
  for (let n = 0; n < 5; n++) {
    set(n);
    assertEquals(travelOf(fn).captured?.[0].value, n);
  }
});

Deno.test("travelOf() sees properties that a function was given since", () => {
  const fn = Object.assign(() => (fn as { x: number }).x, { x: 1 });
  const values = () => travelOf(fn).captured?.map(({ value }) => value);
  assertEquals(values(), [1]);
  fn.x = 2;
  assertEquals(values(), [2]);
});

Deno.test("travelOf() reads many functions, and those before again", () => {
  const make = (n: number) => new Function(`return ${n}`);
  for (let n = 0; n < 3_000; n++) {
    const { definition } = travelOf(make(n));
    assert(definition.kind === "source");
    assertStringIncludes(definition.text, `return ${n}`);
  }
  assertStringIncludes(travelOf(make(0)).text, "return 0");
});

Deno.test("travelOf() of a BoundCallable shares one copy of the values", () => {
  const travel = travelOf(hidden);
  const values = {
    format: 0,
    text: "[]",
    buffers: [],
  } as unknown as ConstructorParameters<
    typeof BoundCallable
  >[1];
  const bound = new BoundCallable(travel, values);
  assertEquals(travelOf(bound), { ...travel, captured: undefined, values });
  assertStrictEquals(travelOf(bound), travelOf(bound));
});

// ---------------------------------------------------------------- refusals

/** Has all that cannot travel. */
class Owner extends Object {
  readonly #secret = 1;
  private(): number {
    return this.#secret;
  }
  usesThis(): unknown {
    return this;
  }
  override toString(): string {
    return super.toString();
  }
}

function argumentsOf(..._args: unknown[]): () => number {
  return () => arguments.length;
}

function targetOf(): () => boolean {
  return () => new.target === undefined;
}

const REFUSED: Record<string, [fn: object, why: string]> = {
  "a bound function": [exported.bind(null), "bound function"],
  "a native function that no global reaches": [
    Object.getOwnPropertyDescriptor(Map.prototype, "size")!.get!,
    "native function",
  ],
  "a Proxy of a function": [new Proxy(exported, {}), "native function"],
  "a generator": [function* gen() {}, "generator"],
  "an async generator": [async function* gen() {}, "generator"],
  "a class": [class A {}, "class"],
  "a class that its module exports": [Exported, "class"],
  "a method that uses this": [Owner.prototype.usesThis, '"this"'],
  "a method that uses super": [Owner.prototype.toString, '"super"'],
  "a method that uses a private name": [
    Owner.prototype.private,
    "private name",
  ],
  "an arrow function that uses arguments": [argumentsOf(1), '"arguments"'],
  "an arrow function that uses new.target": [targetOf(), "new.target"],
};

for (const [title, [fn, why]] of Object.entries(REFUSED)) {
  Deno.test(`travelOf() refuses ${title}, with a new error each time`, () => {
    const refuse = () =>
      assertThrows(() => travelOf(fn), SerializationError, why);
    const first = refuse(), second = refuse();
    assertNotStrictEquals(first, second);
    assertEquals(first.message, second.message);
    assertStringIncludes(first.message, "Cannot send the function");
  });
}

Deno.test("travelOf() looks again at a captured function that was refused for what may change", () => {
  let helper: unknown = exported.bind(null);
  const fn = () => helper;
  assertThrows(
    () => travelOf(fn),
    SerializationError,
    '"helper" captured by "fn"',
  );
  helper = 5;
  assertEquals(travelOf(fn).captured?.[0].value, 5);
});

Deno.test("travelOf() of a function that uses a variable before its value: an error, later none", () => {
  const fn = () => late;
  assertThrows(() => travelOf(fn), SerializationError, "no value yet");
  const late = 1;
  assertEquals(travelOf(fn).captured?.[0].value, late);
});

Deno.test("checkCallable() takes functions and references, and names the type of all else", () => {
  const tasks = importTasks<Record<string, AnyFunction>>(module);
  for (const callable of [exported, parseInt, tasks.exported, Exported]) {
    assertStrictEquals(checkCallable(callable), callable as unknown as object);
  }
  for (
    const [value, type] of [
      [null, "null"],
      [undefined, "undefined"],
      [1, "number"],
      [{}, "object"],
      ["f", "string"],
    ]
  ) {
    assertThrows(() => checkCallable(value), TypeError, `received ${type}`);
  }
  assertThrows(
    () => checkCallable(1, "Cannot call as the initializer"),
    TypeError,
    "Cannot call as the initializer must be",
  );
});
