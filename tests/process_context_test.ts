/**
 * The command line of a worker process: as text, and as what a child that it starts may really do.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertNotStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { makeCommand } from "../_process_command.ts";
import { checkContext, type ProcessContext } from "../_process_context.ts";

const CONTEXT = import.meta.resolve("../_process_context.ts");
const COMMAND = import.meta.resolve("../_process_command.ts");
const ENTRY = new URL("https://example.com/entry.ts");
const NAMES = ["read", "write", "net", "env", "sys", "run", "ffi", "import"];

/** A parent: makes the command with the context in its arguments, runs it, prints what it saw. */
const PARENT = `
import { checkContext } from "${CONTEXT}";
import { makeCommand } from "${COMMAND}";
const entry = new URL("./child.ts", import.meta.url);
const own = new URL("./own.ts", import.meta.url);
const command = makeCommand(checkContext(JSON.parse(Deno.args[0])), entry, [own]);
const { args, ...options } = command;
const child = new Deno.Command(command.execPath, { ...options, args: [...args] }).outputSync();
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
console.log(JSON.stringify({ args, output: text(child.stdout), error: text(child.stderr) }));
`;

/** A child: prints what it may. */
const CHILD = `
const granted = (descriptor: object) =>
  Deno.permissions.querySync(descriptor as Deno.PermissionDescriptor).state === "granted";
const folder = import.meta.dirname;
console.log(JSON.stringify({
  names: ${JSON.stringify(NAMES)}.filter((name) => granted({ name })),
  own: granted({ name: "read", path: folder + "/own.ts" }),
  folder: granted({ name: "read", path: folder }),
  data: granted({ name: "write", path: folder + "/data" }),
  jsr: granted({ name: "import", host: "jsr.io:443" }),
  esm: granted({ name: "import", host: "esm.sh:443" }),
  other: granted({ name: "import", host: "example.com:443" }),
  net: granted({ name: "net", host: "example.com" }),
  home: granted({ name: "env", variable: "HOME" }),
  deno: granted({ name: "run", command: Deno.execPath() }),
}));
`;

interface Seen {
  names: string[];
  own: boolean;
  folder: boolean;
  data: boolean;
  jsr: boolean;
  esm: boolean;
  other: boolean;
  net: boolean;
  home: boolean;
  deno: boolean;
}

interface Family {
  args: string[];
  seen: Seen;
  folder: string;
}

interface FamilyOptions {
  /** Flags of the parent; `FOLDER` stands for its folder. */
  flags: string[];
  context?: Record<string, unknown>;
  files?: Record<string, string>;
}

async function withFolder<T>(
  files: Record<string, string>,
  use: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  try {
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    return await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function runDeno(args: string[], cwd: string) {
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--no-lock", ...args],
    cwd,
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { out: decoder.decode(stdout), error: decoder.decode(stderr) };
}

/** Starts a parent with the flags, and its child with the context. */
function runFamily(
  { flags, context = {}, files = {} }: FamilyOptions,
): Promise<Family> {
  const all = { ...files, "main.ts": PARENT, "child.ts": CHILD };
  return withFolder(all, async (folder) => {
    const { out, error } = await runDeno([
      ...flags.map((flag) => flag.replace("FOLDER", folder)),
      `${folder}/main.ts`,
      JSON.stringify(context),
    ], folder);
    assert(out !== "", error);
    const result = JSON.parse(out);
    assert(result.output !== "", result.error);
    return { args: result.args, seen: JSON.parse(result.output), folder };
  });
}

function argsOf(context: ProcessContext, entry = ENTRY): string[] {
  return [...makeCommand(checkContext(context), entry, []).args];
}

function grantsOf(context: ProcessContext): string[] {
  return argsOf(context).filter((arg) => /^--(allow|deny)-/.test(arg));
}

// ------------------------------------------------------------------- checks

Deno.test("checkContext() returns a copy that later changes do not reach when its parts change", () => {
  const given = {
    permissions: { net: ["a.com"] },
    env: { A: "1" },
    denoArgs: ["-r"],
  };
  const checked = checkContext(given);
  given.permissions.net.push("b.com");
  given.env.A = "2";
  given.denoArgs.push("-A");
  assertNotStrictEquals(checked, given);
  assertEquals(checked.permissions, { net: ["a.com"] });
  assertEquals(checked.env, { A: "1" });
  assertEquals(checked.denoArgs, ["-r"]);
});

Deno.test("checkContext() throws TypeError that names the option when a type is wrong", () => {
  const wrong: [unknown, string][] = [
    [null, `"context" must be an object: received null`],
    ["none", `"context" must be an object: received string`],
    [{ execPath: 1 }, `"context.execPath" must be a string: received number`],
    [{ cwd: null }, `"context.cwd" must be a string: received null`],
    [{ config: {} }, `"context.config" must be a string`],
    [{ clearEnv: 1 }, `"context.clearEnv" must be a boolean`],
    [{ env: { A: 1 } }, `"context.env.A" must be a string: received number`],
    [{ env: ["A"] }, `"context.env" must be an object: received array`],
    [{ denoArgs: "-A" }, `"context.denoArgs" must be an array`],
    [{ denoArgs: [1] }, `"context.denoArgs[0]" must be a string`],
    [{ permissions: true }, `"context.permissions" must be an object`],
    [{ permissions: { hrtime: true } }, `received "hrtime"`],
    [{ permissions: { net: 1 } }, `"context.permissions.net" must be`],
    [{ permissions: { net: [1] } }, `"context.permissions.net[0]" must be`],
    [{ permissions: { net: [ENTRY] } }, `must be a string: received object`],
  ];
  for (const [context, message] of wrong) {
    assertThrows(() => checkContext(context), TypeError, message);
  }
});

Deno.test("checkContext() throws RangeError when a constant or an item is unknown to Deno", () => {
  const wrong: [unknown, string][] = [
    ["all", `must be "inherit", "none" or an object: received "all"`],
    [{ read: "all" }, `"context.permissions.read" must be`],
    [{ read: [""] }, "must not be empty"],
    [{ read: ["a,b"] }, `separates them by commas: received "a,b"`],
    [{ env: ["A,B"] }, `received "A,B"`],
    [{ read: [ENTRY] }, "must be a file: URL"],
  ];
  for (const [permissions, message] of wrong) {
    assertThrows(() => checkContext({ permissions }), RangeError, message);
  }
});

// -------------------------------------------------------------- the command

Deno.test("makeCommand() ends with the flag against prompts and the entry when there are denoArgs", () => {
  const args = argsOf({ denoArgs: ["--lock"] });
  assertEquals(args.slice(-3), ["--lock", "--no-prompt", ENTRY.href]);
  assert(!args.includes("--no-lock"));
  assert(argsOf({}).includes("--no-lock"));
});

Deno.test("makeCommand() drops flags of its own when the user's would clash", () => {
  assert(argsOf({}).includes("--quiet"));
  assert(!argsOf({ denoArgs: ["--log-level=debug"] }).includes("--quiet"));
  const config = "x.json";
  for (const flag of ["--no-config", "--config=y.json", "-cy.json"]) {
    assert(!argsOf({ config, denoArgs: [flag] }).includes("--config"));
  }
  for (const flag of ["-A", "--allow-all", "-qA"]) {
    assertEquals(
      grantsOf({ permissions: { read: true }, denoArgs: [flag] }),
      flag === "--allow-all" ? [flag] : [],
    );
  }
});

Deno.test("makeCommand() leaves a permission to the user's flag when both name a permission", () => {
  assertEquals(
    grantsOf({
      permissions: { net: ["a.com"], env: true },
      denoArgs: ["--allow-net=b.com"],
    }),
    ["--allow-env", "--allow-import=example.com:443", "--allow-net=b.com"],
  );
});

Deno.test("makeCommand() copies env, clearEnv and cwd when they are given", () => {
  const env = { A: "1" };
  const command = makeCommand(
    { env, clearEnv: true, cwd: "x", execPath: Deno.execPath() },
    ENTRY,
    [],
  );
  env.A = "2";
  assertEquals(command.env, { A: "1" });
  assertEquals(command.clearEnv, true);
  assertEquals(command.cwd, "x");
  assertEquals(command.execPath, Deno.execPath());
});

Deno.test("makeCommand() resolves relative paths by the parent's folder when an object names them", () => {
  const permissions = {
    read: ["a", "/b", new URL("file:///c%20d")],
    run: ["git", "./tool"],
    net: ["a.com:80", "b.com"],
  };
  assertEquals(grantsOf({ permissions }), [
    `--allow-read=${Deno.cwd()}/a,/b,/c d`,
    "--allow-net=a.com:80,b.com",
    `--allow-run=git,${Deno.cwd()}/./tool`,
    "--allow-import=example.com:443",
  ]);
});

Deno.test("makeCommand() grants only the hosts of its own modules when permissions is none", () => {
  const modules = [new URL("http://b.com/m.ts"), new URL("file:///lib/m.ts")];
  const { args } = makeCommand({ permissions: "none" }, ENTRY, modules);
  assertEquals(args.filter((arg) => arg.startsWith("--allow")), [
    "--allow-read=/lib/m.ts",
    "--allow-import=example.com:443,b.com:80",
  ]);
});

Deno.test("makeCommand() throws RangeError when its own module's path has a comma", () => {
  const modules = [new URL("file:///a,b/m.ts")];
  assertThrows(
    () => makeCommand({ permissions: "none" }, ENTRY, modules),
    RangeError,
    `received "/a,b/m.ts"`,
  );
});

// ----------------------------------------------------------- real processes

Deno.test("makeCommand() gives a child everything when its parent has everything", async () => {
  for (const flags of [["-A"], NAMES.map((name) => `--allow-${name}`)]) {
    const { args, seen } = await runFamily({ flags });
    assertEquals(seen.names, NAMES);
    assert(args.includes("--allow-all"));
  }
});

Deno.test("makeCommand() gives a child what its parent has when that is granted as a whole", async () => {
  const { seen } = await runFamily({
    flags: ["--allow-run", "--allow-read", "--allow-env"],
  });
  assertEquals(seen.names, ["read", "env", "run"]);
  assert(seen.own && seen.jsr && seen.esm);
  assert(!seen.other && !seen.data && !seen.net);
});

Deno.test("makeCommand() passes on nothing that its parent is denied when a grant is partial", async () => {
  const { seen } = await runFamily({
    flags: [
      "-A",
      "--deny-net=example.com",
      "--deny-read=FOLDER/secret",
      "--ignore-env=HOME",
      "--deny-import=esm.sh:443",
    ],
  });
  assertEquals(seen.names, ["write", "sys", "run", "ffi"]);
  assert(!seen.net && !seen.home && !seen.esm && !seen.folder);
  assert(seen.own && seen.jsr && seen.other === false);
});

Deno.test("makeCommand() passes on what can be asked for by name when a grant is a list", async () => {
  const { seen } = await runFamily({
    flags: [
      `--allow-run=${Deno.execPath()}`,
      "--allow-read=FOLDER",
      "--allow-write=FOLDER",
      "--allow-import=example.com",
    ],
  });
  assertEquals(seen.names, []);
  assert(seen.deno && seen.folder && seen.own && seen.data);
  assert(!seen.jsr && !seen.esm);
});

Deno.test("makeCommand() gives a child only its own modules when permissions is none", async () => {
  const { seen } = await runFamily({
    flags: ["-A"],
    context: { permissions: "none" },
  });
  assertEquals(seen, {
    names: [],
    own: true,
    folder: false,
    data: false,
    jsr: false,
    esm: false,
    other: false,
    net: false,
    home: false,
    deno: false,
  });
});

Deno.test("makeCommand() gives a child what an object names when permissions is one", async () => {
  const { seen } = await runFamily({
    flags: ["-A"],
    context: {
      permissions: {
        write: ["data"],
        net: ["example.com"],
        env: "inherit",
        sys: true,
        run: false,
        import: ["example.com"],
      },
      cwd: "/",
    },
  });
  assertEquals(seen.names, ["env", "sys"]);
  assert(seen.own && seen.data && seen.net && seen.home && seen.other);
  assert(!seen.folder && !seen.jsr && !seen.deno);
});

Deno.test("makeCommand() starts a child when the user's flags narrow a parent's everything", async () => {
  const { seen } = await runFamily({
    flags: ["-A"],
    context: { denoArgs: ["--allow-read=elsewhere", "-N"] },
  });
  assertEquals(seen.names, NAMES.filter((name) => name !== "read"));
  assert(seen.own && !seen.folder);
});

Deno.test("makeCommand() keeps its own modules out of a bare flag of the user's when that grants them", async () => {
  // a list beside a bare flag would narrow it
  const { seen } = await runFamily({
    flags: ["-A"],
    context: { permissions: "none", denoArgs: ["--allow-read"] },
  });
  assertEquals(seen.names, ["read"]);
});

Deno.test("makeCommand() starts a child when the user's flags are those that it gives itself", async () => {
  for (
    const denoArgs of [
      ["-A", "--no-prompt", "--quiet", "--no-lock", "--no-config"],
      ["-A", "--config=deno.json", "--lock"],
      ["-A", "--check"],
    ]
  ) {
    const { seen } = await runFamily({
      flags: ["-A"],
      files: { "deno.json": "{}" },
      context: { permissions: "none", denoArgs },
    });
    assertEquals(seen.names, NAMES);
  }
});

Deno.test("makeCommand() throws NotCapable when running Deno is not permitted", async () => {
  await withFolder({ "main.ts": PARENT }, async (folder) => {
    const { error } = await runDeno(
      ["--allow-read", `${folder}/main.ts`, "{}"],
      folder,
    );
    assertStringIncludes(
      error,
      `NotCapable: Cannot start a worker process as running ${Deno.execPath()} is not permitted: run with --allow-run`,
    );
  });
});

// ------------------------------------------------------------------- config

/** The flags for the config in a command line. */
function configOf(args: readonly string[]): string[] {
  const start = args.findIndex((arg) => /^--(no-)?config/.test(arg));
  return start < 0
    ? []
    : args.slice(start, args[start] === "--config" ? start + 2 : start + 1);
}

Deno.test("makeCommand() finds the main module's config when none is given", async () => {
  for (const name of ["deno.json", "deno.jsonc"]) {
    const { args, folder } = await runFamily({
      flags: ["--allow-run", "--allow-read"],
      files: { [name]: "{}" },
    });
    assertEquals(configOf(args), ["--config", `${folder}/${name}`]);
  }
});

Deno.test("makeCommand() prefers deno.json when deno.jsonc is beside it", async () => {
  const { args, folder } = await runFamily({
    flags: ["-A"],
    files: { "deno.jsonc": "{}", "deno.json": "{}" },
  });
  assertEquals(configOf(args), ["--config", `${folder}/deno.json`]);
});

Deno.test("makeCommand() lets Deno search when the parent may not read", async () => {
  const { args, seen } = await runFamily({
    flags: ["--allow-run"],
    files: { "deno.json": "{}" },
  });
  assertEquals(configOf(args), []);
  assertEquals(seen.names, ["run"]);
});

Deno.test("makeCommand() takes a path or a URL when config is given", () => {
  assertEquals(configOf(argsOf({ config: "a/x.json" })), [
    "--config",
    `${Deno.cwd()}/a/x.json`,
  ]);
  assertEquals(configOf(argsOf({ config: "file:///a%20b/x.json" })), [
    "--config",
    "/a b/x.json",
  ]);
});

Deno.test("makeCommand() falls back on the working folder's config when a Worker calls it", async () => {
  const files = {
    "deno.json": "{}",
    "main.ts": `
      new Worker(import.meta.resolve("./owner.ts"), { type: "module" });
    `,
    "owner.ts": `
      import { makeCommand } from "${COMMAND}";
      const command = makeCommand({}, new URL("https://example.com/entry.ts"), []);
      console.log(JSON.stringify(command.args));
      self.close();
    `,
  };
  await withFolder(files, async (folder) => {
    const { out, error } = await runDeno(["-A", `${folder}/main.ts`], folder);
    assert(out !== "", error);
    assertEquals(configOf(JSON.parse(out)), [
      "--config",
      `${folder}/deno.json`,
    ]);
  });
});
