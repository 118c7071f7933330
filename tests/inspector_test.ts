/** Functions and their places, as the inspector shows them. */

import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import process from "node:process";
import { thisOfArrow } from "../_arrow_this.ts";
import {
  canLook,
  findInstances,
  isOfDeno,
  leaveInspector,
  lookAt,
  readVariable,
} from "../_inspector.ts";
import { SerializationError } from "../errors.ts";
import { runProgram } from "./_program.ts";

const TIMEOUT_MS = 120_000;

const moduleValue = { of: "module" };

function topLevel() {
  return moduleValue;
}

/** A function within a function within a block. */
function nest(parameter: string) {
  const middle = [parameter];
  {
    const inner = 1;
    return () => [parameter, middle, inner, moduleValue];
  }
}

/** What a name holds in the innermost scope that has it. */
function lookUp(fn: unknown, name: string): unknown {
  const scope = lookAt(fn).scopes.find(({ object }) => name in object);
  return scope && readVariable(scope.object, name)?.[0];
}

Deno.test("canLook() is true where the permission is given", () => {
  assert(canLook());
});

Deno.test("lookAt() of a function at the top of a module tells its URL and variables", () => {
  const { script, scopes } = lookAt(topLevel);
  assertEquals(script?.url, import.meta.url);
  assertEquals(scopes[0].description, "Module");
  assertStrictEquals(scopes.at(-1)!.object, globalThis);
  assertStrictEquals(lookUp(topLevel, "moduleValue"), moduleValue);
  assertStrictEquals(lookUp(topLevel, "topLevel"), topLevel);
  assertEquals(isOfDeno(lookAt(topLevel)), false);
});

Deno.test("lookAt() of a nested function tells all variables that it can see, from the inside out", () => {
  const fn = nest("p");
  assertEquals(lookUp(fn, "parameter"), "p");
  assertEquals(lookUp(fn, "middle"), ["p"]);
  assertEquals(lookUp(fn, "inner"), 1);
  assertStrictEquals(lookUp(fn, "middle"), fn()[1]);
  const kinds = lookAt(fn).scopes.map(({ description }) => description);
  assert(kinds.indexOf("Closure (nest)") < kinds.indexOf("Module"));
});

Deno.test("lookAt() of methods, getters, classes and generators tells their module", () => {
  class A {
    static s() {}
    m() {}
    get g() {
      return moduleValue;
    }
    *gen() {}
    async a() {}
  }
  const { get } = Object.getOwnPropertyDescriptor(A.prototype, "g")!;
  for (
    const fn of [
      A,
      A.s,
      A.prototype.m,
      get,
      A.prototype.gen,
      A.prototype.a,
      { m() {} }.m,
    ]
  ) {
    assertEquals(lookAt(fn).script?.url, import.meta.url);
  }
});

Deno.test("lookAt() of code from eval tells no URL", () => {
  const { script } = lookAt((0, eval)("() => 1"));
  assertEquals(script?.url, "");
  assertEquals(script?.source, "() => 1");
});

Deno.test("lookAt() of a function of direct eval tells the variables around", () => {
  const local = { of: "test" };
  const fn = eval("() => local");
  assertStrictEquals(lookUp(fn, "local"), local);
});

Deno.test("lookAt() of a data: module tells its URL and its text", async () => {
  const source = "export const f = () => 1;";
  const specifier = `data:text/javascript,${encodeURIComponent(source)}`;
  const { f } = await import(specifier);
  const { script } = lookAt(f);
  assertEquals(script?.url, specifier);
  assertEquals(script?.source, source);
});

Deno.test("lookAt() of native, bound and Proxy functions tells no place, and calls no trap", () => {
  const refuse = () => {
    throw new Error("a trap was called");
  };
  const traps = new Proxy({}, { get: () => refuse });
  for (
    const fn of [parseInt, topLevel.bind(null), new Proxy(topLevel, traps)]
  ) {
    const { script, scopes } = lookAt(fn);
    assertEquals([script, scopes.length], [undefined, 0]);
  }
});

Deno.test("lookAt() of a function of Deno's own tells so", () => {
  assert(isOfDeno(lookAt(fetch)));
});

Deno.test("readVariable() gives undefined for a variable without a value, and a list for undefined", () => {
  const fn = () => [early, late];
  const early = undefined;
  const { object } = lookAt(fn).scopes.find(({ object }) => "late" in object)!;
  assertEquals(readVariable(object, "early"), [undefined]);
  assertEquals(readVariable(object, "late"), undefined);
  const late = 1;
  assertEquals(fn(), [undefined, late]);
  assertEquals(lookUp(fn, "late"), 1);
});

Deno.test("lookAt() shows what a variable holds now", () => {
  let n = 1;
  const fn = () => n;
  assertEquals(lookUp(fn, "n"), 1);
  n = 2;
  assertEquals(lookUp(fn, "n"), 2);
});

// The session tells of each script; an answer must come all the same.
Deno.test("lookAt() answers between new scripts", () => {
  for (let i = 0; i < 200; i++) {
    const fn = (0, eval)(`(x) => ${i} + x`);
    const { script } = lookAt(fn);
    assertEquals(script?.source, `(x) => ${i} + x`);
    assertEquals(lookAt(topLevel).script?.url, import.meta.url);
  }
});

Deno.test("lookAt() answers from within eval, a getter, a proxy trap and a sort", () => {
  const urls: unknown[] = [];
  const look = () => urls.push(lookAt(topLevel).script?.url);
  (0, eval)("(look) => { look(); (0, eval)('1 + 1'); look(); }")(look);
  void ({
    get looked() {
      return look();
    },
  }).looked;
  void ("name" in new Proxy({}, { has: () => look() > 0 }));
  [2, 1].sort((a, b) => (look(), a - b));
  assertEquals(new Set(urls), new Set([import.meta.url]));
  assertEquals(urls.length, 5);
});

Deno.test("lookAt() leaves process.nextTick as it was, also after a failure", () => {
  const { nextTick } = process;
  lookAt(topLevel);
  assertStrictEquals(process.nextTick, nextTick);
  assertThrows(() => findInstances(null as unknown as object));
  assertStrictEquals(process.nextTick, nextTick);
  assertEquals(lookAt(topLevel).script?.url, import.meta.url);
});

Deno.test("lookAt() loses none of the program's own ticks", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  process.nextTick(resolve);
  lookAt(topLevel);
  await promise;
});

Deno.test("lookAt() leaves no name on the global object", () => {
  const before = Reflect.ownKeys(globalThis).length;
  lookAt(topLevel);
  leaveInspector();
  assertEquals(Reflect.ownKeys(globalThis).length, before);
});

Deno.test("findInstances() gives what inherits from a prototype", () => {
  class Kept {}
  const all = [new Kept(), new Kept()];
  const found = new Set(Array.from(findInstances(Kept.prototype)));
  assertEquals(found.size, 2);
  for (const one of all) assert(found.has(one));
});

// ------------------------------------------------------------------ Worker

Deno.test("leaveInspector() puts the global Worker back", () => {
  leaveInspector();
  const before = Object.getOwnPropertyDescriptor(globalThis, "Worker");
  lookAt(topLevel);
  leaveInspector();
  assertEquals(Object.getOwnPropertyDescriptor(globalThis, "Worker"), before);
  leaveInspector(); // twice does nothing
  assertEquals(Object.getOwnPropertyDescriptor(globalThis, "Worker"), before);
});

/** Runs `body` with another global Worker. */
function withWorker(other: typeof Worker, body: () => void): void {
  leaveInspector();
  const plain = globalThis.Worker;
  globalThis.Worker = other;
  try {
    body();
  } finally {
    leaveInspector();
    globalThis.Worker = plain;
  }
}

/** A worker that starts nothing. */
class FakeWorker extends EventTarget {
  readonly kind: string;

  constructor() {
    super();
    this.kind = new.target.name;
  }
}
const Fake = FakeWorker as unknown as typeof Worker;

Deno.test("leaveInspector() puts back the class that the program put there before", () => {
  withWorker(Fake, () => {
    lookAt(topLevel);
    const guarded = globalThis.Worker;
    assertEquals(guarded.name, "FakeWorker");
    leaveInspector();
    assertStrictEquals(globalThis.Worker, Fake);
  });
});

Deno.test("leaveInspector() leaves the class that the program put there since", () => {
  withWorker(Fake, () => {
    lookAt(topLevel);
    class Later {}
    const later = Later as unknown as typeof Worker;
    globalThis.Worker = later;
    leaveInspector();
    assertStrictEquals(globalThis.Worker, later);
    lookAt(topLevel);
    leaveInspector();
    assertStrictEquals(globalThis.Worker, later);
  });
});

Deno.test("new Worker leaves the session, and makes what it would have made", () => {
  withWorker(Fake, () => {
    lookAt(topLevel);
    const worker = new globalThis.Worker("");
    assertStrictEquals(globalThis.Worker, Fake); // the session is left
    assert(worker instanceof FakeWorker);
    assertEquals(worker.kind, "FakeWorker");
  });
});

Deno.test("a class that extends Worker while the session is there works on when it is left", () => {
  withWorker(Fake, () => {
    lookAt(topLevel);
    const Sub = class Sub extends globalThis.Worker {};
    for (let i = 0; i < 2; i++) {
      const worker: unknown = new Sub("");
      assert(worker instanceof Sub && worker instanceof FakeWorker);
      assertEquals(worker.kind, "Sub");
      lookAt(topLevel);
    }
  });
});

Deno.test("lookAt() many times keeps no object alive", {
  timeout: TIMEOUT_MS,
}, async () => {
  const inspector = import.meta.resolve("../_inspector.ts");
  const { code, stdout, stderr } = await runProgram(
    `
    import { leaveInspector, lookAt } from "${inspector}";
    const refs = [];
    function look(i) {
      const held = { i, bytes: new Uint8Array(1_000) };
      const fn = () => held;
      lookAt(fn);
      refs.push(new WeakRef(held), new WeakRef(fn));
    }
    for (let i = 0; i < 500; i++) look(i);
    const left = () => refs.filter((ref) => ref.deref() !== undefined).length;
    // Looked at since: nothing of the first ones is held while the session is there.
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => setTimeout(resolve));
      lookAt(look);
      gc();
    }
    const whileThere = left();
    leaveInspector();
    for (let i = 0; i < 200 && left() > 0; i++) {
      await new Promise((resolve) => setTimeout(resolve));
      gc();
    }
    console.log(JSON.stringify([whileThere, left()]));
  `,
    { flags: ["--allow-sys", "--v8-flags=--expose-gc"], limitMs: 100_000 },
  );
  assertEquals([code, stderr], [0, ""]);
  const [whileThere, left] = JSON.parse(stdout);
  assert(whileThere <= 200, `${whileThere} are held by the session`);
  assertEquals(left, 0);
});

Deno.test("lookAt() does not keep a program running", {
  timeout: TIMEOUT_MS,
}, async () => {
  const inspector = import.meta.resolve("../_inspector.ts");
  const { code, stdout } = await runProgram(
    `import { lookAt } from "${inspector}";
     console.log(lookAt(() => 1).script?.url === import.meta.url);`,
    { flags: ["--allow-sys"] },
  );
  assertEquals([code, stdout], [0, "true\n"]);
});

Deno.test("canLook() is false without the permission, and nobody is asked", {
  timeout: TIMEOUT_MS,
}, async () => {
  const inspector = import.meta.resolve("../_inspector.ts");
  const { code, stdout } = await runProgram(
    `import { canLook } from "${inspector}"; console.log(canLook());`,
  );
  assertEquals([code, stdout], [0, "false\n"]);
});

// ------------------------------------------------------------- thisOfArrow

class Owner {
  readonly name = "owner";
  readonly field = () => this;

  method() {
    return () => this;
  }

  nested() {
    return () => () => this;
  }

  static of() {
    return () => this;
  }
}

Deno.test("thisOfArrow() gives the object of a method, of a field, of a nested arrow, and a class", () => {
  const owner = new Owner();
  assertStrictEquals(thisOfArrow(owner.method()), owner);
  assertStrictEquals(thisOfArrow(owner.field), owner);
  assertStrictEquals(thisOfArrow(owner.nested()), owner);
  assertStrictEquals(thisOfArrow(owner.nested()()), owner);
  assertStrictEquals(thisOfArrow(Owner.of()), Owner);
});

Deno.test("thisOfArrow() tells two objects of a class apart", () => {
  const a = new Owner(), b = new Owner();
  assertStrictEquals(thisOfArrow(b.method()), b);
  assertStrictEquals(thisOfArrow(a.method()), a);
});

Deno.test("thisOfArrow() gives the this of the call, also a foreign one", () => {
  const foreign = { foreign: true };
  const make = Owner.prototype.method as unknown as (
    this: unknown,
  ) => () => unknown;
  assertStrictEquals(thisOfArrow(make.call(foreign)), foreign);
  assertStrictEquals(thisOfArrow(make.bind(foreign)()), foreign);
  const list = [1, 2];
  assertStrictEquals(thisOfArrow(make.call(list)), list);
});

Deno.test("thisOfArrow() gives undefined where there is none", async () => {
  const make = Owner.prototype.method as unknown as () => () => unknown;
  assertStrictEquals(thisOfArrow(make()), undefined);
  const { atTop } = await import(
    "data:text/javascript,export const atTop = () => this;"
  );
  assertStrictEquals(thisOfArrow(atTop), undefined);
});

/** Either is right, but never another value. */
function assertThisOrRefusal(arrow: () => unknown): void {
  let found;
  try {
    found = thisOfArrow(arrow);
  } catch (error) {
    assert(error instanceof SerializationError);
    return;
  }
  assertStrictEquals(found, arrow());
}

Deno.test("thisOfArrow() of an object without a prototype, or a primitive, gives it or refuses", () => {
  const make = Owner.prototype.method as unknown as (
    this: unknown,
  ) => () => unknown;
  const none = Object.create(null);
  for (const self of [none, 5, "text", null, true, 10n, 1.5, Symbol.iterator]) {
    assertThisOrRefusal(make.call(self));
  }
});

Deno.test("thisOfArrow() goes past functions with a this of their own", () => {
  const owner = new Owner();
  function between(this: unknown) {
    function own(this: unknown) {
      return this;
    }
    return [() => [own(), this]] as const;
  }
  const [arrow] = between.call(owner);
  assertStrictEquals(thisOfArrow(arrow), owner);
});
