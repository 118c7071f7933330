import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { pathToFileURL } from "node:url";
import type { Definition } from "../_definition.ts";
import { placeModules } from "../_nats_definition.ts";
import {
  AllowedModules,
  nameModule,
  tellRefusal,
  toUrl,
  whyNot,
} from "../_nats_modules.ts";
import { NATS_PROTOCOL_VERSION, type NodeCard } from "../_nats_protocol.ts";
import { SerializationError } from "../mod.ts";

/** A module in a folder of its own, which is removed at the end. */
class ModuleFile implements Disposable {
  readonly #folder = Deno.makeTempDirSync();
  readonly url: string;

  constructor(text: string, name = "tasks.ts") {
    const path = `${this.#folder}/${name}`;
    Deno.writeTextFileSync(path, text);
    this.url = pathToFileURL(path).href;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

// printf 'export {};' | sha256sum
const EMPTY_HASH =
  "2e29cd9a98755c46896f7a2d56524db2d6d96b248e36db46de14c30bf47c8d05";

Deno.test("nameModule() names a file by its name and a hash of its bytes", async () => {
  using file = new ModuleFile("export {};");
  const named = await nameModule(file.url);
  assertEquals(named, { name: "tasks.ts", hash: EMPTY_HASH });
  using elsewhere = new ModuleFile("export {};");
  assertEquals(await nameModule(elsewhere.url), named);
});

Deno.test("nameModule() decodes the name of a file", async () => {
  using file = new ModuleFile("", "my tasks #1.ts");
  assertEquals((await nameModule(file.url)).name, "my tasks #1.ts");
});

Deno.test("nameModule() names by its URL what is no file", async () => {
  for (const url of ["jsr:@scope/tasks@1", "npm:left-pad", "node:fs"]) {
    assertEquals(await nameModule(url), { name: url, hash: "" });
  }
});

Deno.test("nameModule() rejects where there is no file", async () => {
  await assertRejects(
    () => nameModule("file:///no/such/module.ts"),
    Deno.errors.NotFound,
  );
});

Deno.test("toUrl() takes paths and URLs", () => {
  const here = pathToFileURL(Deno.cwd()).href;
  assertEquals(toUrl("./tasks.ts"), `${here}/tasks.ts`);
  assertEquals(toUrl("/a b/tasks.ts"), "file:///a%20b/tasks.ts");
  assertEquals(toUrl("jsr:@scope/tasks@1"), "jsr:@scope/tasks@1");
  assertEquals(toUrl(new URL("file:///tasks.ts")), "file:///tasks.ts");
});

Deno.test("AllowedModules finds the file of that name and hash, wherever it lies", async () => {
  using one = new ModuleFile("export const a = 1;");
  using other = new ModuleFile("export const a = 2;");
  const allowed = await AllowedModules.read([one.url, other.url, "jsr:@a/b"]);
  assertEquals(allowed.urlOf(await nameModule(other.url)), other.url);
  assertEquals(allowed.urlOf({ name: "jsr:@a/b", hash: "" }), "jsr:@a/b");
  for (
    const name of [
      { name: "tasks.ts", hash: "" },
      { name: "tasks.ts", hash: EMPTY_HASH },
      { name: one.url, hash: "" },
      { name: "jsr:@a/c", hash: "" },
    ]
  ) assertEquals(allowed.urlOf(name), undefined);
});

Deno.test("AllowedModules.read() rejects where a file cannot be read", async () => {
  await assertRejects(
    () => AllowedModules.read(["file:///no/such/module.ts"]),
    RangeError,
    "must be a file that can be read",
  );
});

const card: NodeCard = {
  node: "A",
  version: NATS_PROTOCOL_VERSION,
  modules: [
    { name: "tasks.ts", hash: "0123456789" },
    { name: "jsr:@a/b", hash: "" },
  ],
  allowsSource: false,
};

function demands(name: string, hash: string, isSource = false) {
  const modules = [{ name, hash }];
  return { version: NATS_PROTOCOL_VERSION, modules, isSource };
}

Deno.test("whyNot() tells another version of a module from one that is not allowed", () => {
  assertEquals(whyNot(card, demands("tasks.ts", "0123456789")), undefined);
  assertEquals(whyNot(card, demands("jsr:@a/b", "")), undefined);
  assertEquals(
    whyNot(card, demands("tasks.ts", "fedcba9876")),
    'has another "tasks.ts" (01234567)',
  );
  assertEquals(
    whyNot(card, demands("other.ts", "fedcba9876")),
    'does not allow "other.ts"',
  );
  assertEquals(
    whyNot(card, demands("node:fs", "")),
    'does not allow "node:fs"',
  );
});

Deno.test("whyNot() lets pass by source what has no hash, where source is allowed", () => {
  const open = { ...card, allowsSource: true };
  assertEquals(
    whyNot(card, demands("tasks.ts", "0123456789", true)),
    "does not run what comes by source",
  );
  assertEquals(whyNot(open, demands("node:fs", "", true)), undefined);
  assertEquals(
    whyNot(open, demands("tasks.ts", "fedcba9876", true)),
    'has another "tasks.ts" (01234567)',
  );
});

Deno.test("whyNot() refuses another version of the protocol", () => {
  assertEquals(
    whyNot({ ...card, version: 7 }, demands("jsr:@a/b", "")),
    "speaks version 7 of the protocol",
  );
});

Deno.test("tellRefusal() names function, module, versions and nodes, and what to do", () => {
  const cards = [card, { ...card, node: "B", modules: [] }];
  assertEquals(
    tellRefusal("shrink", demands("tasks.ts", "fedcba9876"), cards),
    'Cannot run "shrink" as a node must allow "tasks.ts" (fedcba98), as it was submitted: node "A" has another "tasks.ts" (01234567); node "B" does not allow "tasks.ts"; start nodes with --allow-module and the same version of it',
  );
});

// ------------------------------------------------------------- definitions

function place(definition: unknown, allowsSource = false): Definition {
  const text = JSON.stringify(definition);
  return JSON.parse(placeModules(text, ["file:///here.ts"], allowsSource));
}

const exported = {
  kind: "module",
  name: "shrink",
  module: "module:0",
  path: ["shrink"],
};

const source = {
  kind: "source",
  name: "f",
  text: "return () => 1",
  uses: [
    { kind: "meta", module: "module:0" },
    exported,
    { kind: "global", name: "Math", path: ["Math"], source: "" },
  ],
  isCapturing: false,
};

Deno.test("placeModules() puts the node's URLs in the place of numbers", () => {
  assertEquals(place(exported), {
    ...exported,
    kind: "module",
    module: "file:///here.ts",
  });
  const placed = place(source, true);
  if (placed.kind !== "source") throw new Error("it was made another one");
  assertEquals(
    placed.uses.map((use) => use.kind === "global" || use.module),
    ["file:///here.ts", "file:///here.ts", true],
  );
});

Deno.test("placeModules() refuses what comes by source, whatever its caller says of it", () => {
  const global = {
    kind: "global",
    name: "eval",
    path: ["eval"],
    source: "",
  };
  const blind = {
    kind: "blind",
    name: "f",
    module: "module:0",
    source: "() => 1",
    text: "return () => 1",
    missing: [],
    hint: "",
  };
  for (const definition of [source, global, blind, { kind: "unknown" }]) {
    assertThrows(() => place(definition), SerializationError, "by source");
  }
  assertEquals(place({ ...blind, text: undefined }).kind, "blind");
});

Deno.test("placeModules() refuses a way from an export to what every function has", () => {
  for (
    const path of [
      [],
      ["shrink", "constructor"],
      ["shrink", "call"],
      ["Tasks", "prototype", "run"],
      ["__proto__"],
    ]
  ) {
    assertThrows(
      () => place({ ...exported, path }),
      SerializationError,
      "by source",
    );
  }
  assertEquals(place({ ...exported, path: ["Tasks", "run"] }).kind, "module");
});

Deno.test("placeModules() refuses a module that is no number of the header's", () => {
  for (const module of ["file:///etc/x.ts", "module:1", "module:-1", 0]) {
    assertThrows(
      () => place({ ...exported, module }),
      SerializationError,
      "must be named by its header",
    );
  }
});
