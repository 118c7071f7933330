/**
 * Functions that travel, seen from whole programs: by reference into the program's own file and into
 * modules and packages of every kind, without permission to look, and a great many of them.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertLess,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { ProcessPoolExecutor, ThreadPoolExecutor } from "../mod.ts";
import { testPool } from "./_harness.ts";
import { testProcesses } from "./_process_tasks.ts";
import {
  type FileProgram,
  FLAGS,
  jsonOf,
  POOLS,
  runFiles,
  testProgram,
  TIMEOUT_MS,
} from "./_travel_programs.ts";

// ------------------------------------------------------- the program's file

const HASHING = `
  import { createHash } from "node:crypto";
  const ALGORITHM = "sha256";
  export function hash(text) {
    return createHash(ALGORITHM).update(text).digest("hex").slice(0, 8);
  }
`;

const PRIMES = `
  function isPrime(n: number) {
    if (n < 2 || n % 2 === 0) return n === 2;
    const root = isqrt(n);
    for (let i = 3; i <= root; i += 2) if (n % i === 0) return false;
    return true;
  }
  const isqrt = (n: number) => Math.floor(Math.sqrt(n));
`;

const WORK = `
  const limit = 1000, words = new Set(["a", "b"]), list = ["a", "c", "b"];
  using pool = new POOL({ maxWorkers: 2 });
  const prime = pool.submit(isPrime, 1099726899285419);
  const digest = pool.submit(hash, "file.txt");
  const hits = pool.map((w: string) => words.has(w) && w.length < limit, list);
  console.log(JSON.stringify([prime.resultSync(), digest.resultSync(), [...hits]]));
`;

const WORK_RESULT = [false, "aadf327c", [true, false, true]];

testProgram(
  "submit() runs the program's own exported function, another module's, and a closure, in a guarded program",
  {
    files: {
      "hashing.ts": HASHING,
      "main.ts": `
        import { POOL } from "@concurrent/futures";
        import { hash } from "./hashing.ts";
        ${PRIMES.replace("function isPrime", "export function isPrime")}
        if (import.meta.main) { ${WORK} }
      `,
    },
  },
  WORK_RESULT,
);

testProgram(
  "submit() needs no guard where the program exports nothing",
  {
    files: {
      "hashing.ts": HASHING,
      "main.ts": `
        import { POOL } from "@concurrent/futures";
        import { hash } from "./hashing.ts";
        ${PRIMES}
        ${WORK}
      `,
    },
  },
  WORK_RESULT,
);

for (const pool of POOLS) {
  Deno.test(
    `${pool}.submit() fails with RuntimeError naming import.meta.main when an unguarded program exports the function`,
    { timeout: TIMEOUT_MS },
    async () => {
      const [name, message] = await jsonOf({
        pool,
        files: {
          "main.ts": `
            import { POOL } from "@concurrent/futures";
            ${PRIMES.replace("function isPrime", "export function isPrime")}
            const pool = new POOL({ maxWorkers: 1 });
            const error = await pool.submit(isPrime, 7).exception();
            console.log(JSON.stringify([error.name, error.message]));
          `,
        },
      }) as string[];
      assertEquals(name, "RuntimeError");
      assertStringIncludes(message, "import.meta.main");
    },
  );
}

testProgram(
  "submit() of a closure leaves nothing that keeps a program alive, also where no result is asked for",
  {
    files: {
      "main.ts": `
        import { POOL } from "@concurrent/futures";
        const answer = [42];
        new POOL({ maxWorkers: 1 }).submit(() => console.log(answer[0]));
      `,
    },
  },
  42,
);

testProgram(
  "resultSync() right after submit() in code that never awaits, for each way to travel",
  {
    files: {
      "words.ts": `
        const split = (text) => text.split(" ");
        export const count = (text) => split(text).length;
      `,
      "main.ts": `
        import { POOL } from "@concurrent/futures";
        import { count } from "./words.ts";
        const pool = new POOL({ maxWorkers: 1 });
        const results = [];
        for (const factor of [2, 3]) {
          results.push(pool.submit((n) => n * factor, 10).resultSync());
          results.push(pool.submit(count, "a b c").resultSync());
          results.push(pool.submit((n) => Math.sqrt(n), 9).resultSync());
          results.push(...pool.map((n) => n + factor, [1, 2]));
        }
        pool.shutdownSync();
        console.log(JSON.stringify(results));
      `,
    },
  },
  [20, 3, 3, 3, 4, 30, 3, 3, 4, 5],
);

testProgram(
  "submit() runs functions of one program in several pools at once, each with its own captured values",
  {
    files: {
      "main.ts": `
        import { ProcessPoolExecutor, ThreadPoolExecutor } from "@concurrent/futures";
        const base = 100;
        export const addBase = (n: number) => n + base;
        if (import.meta.main) {
          const other = new ThreadPoolExecutor({ maxWorkers: 1 });
          const pools = [new POOL({ maxWorkers: 1 }), new POOL({ maxWorkers: 2 }), other];
          const futures = [];
          for (let i = 0; i < 4; i++) {
            const own = (n: number) => addBase(n) + i;
            for (const pool of pools) futures.push(pool.submit(own, 0), pool.submit(addBase, i));
          }
          console.log(JSON.stringify(await Promise.all(futures)));
        }
      `,
    },
  },
  [0, 1, 2, 3].flatMap((i) => Array.from({ length: 6 }, () => 100 + i)),
);

testProgram(
  "submit() of a closure goes on past a debugger statement, in the program and in the task",
  {
    files: {
      "main.ts": `
        import { POOL } from "@concurrent/futures";
        const pool = new POOL({ maxWorkers: 1 });
        const before = 1, after = 2;
        const first = pool.submit(() => before);
        debugger;
        const second = pool.submit(() => { debugger; return after; });
        debugger;
        console.log(JSON.stringify([first.resultSync(), await second]));
      `,
    },
  },
  [1, 2],
);

for (const inner of POOLS) {
  testProgram(
    `submit() of a closure that makes a ${inner} and submits closures to it`,
    {
      files: {
        "main.ts": `
          import { POOL, ${inner} as Inner } from "@concurrent/futures";
          const offset = 1000;
          const triple = (n: number) => 3 * n;
          const pool = new POOL({ maxWorkers: 1 });
          const nested = pool.submit((k: number) => {
            const base = 10 * k, seen = new Map([["k", k]]);
            using inner = new Inner({ maxWorkers: 1 });
            const future = inner.submit(
              (n: number) => triple(n) + base + offset + seen.get("k")!, 1);
            return [future.resultSync(), ...inner.map((n: number) => n + k, [1, 2])];
          }, 5);
          console.log(JSON.stringify(await nested));
        `,
      },
    },
    [3 + 50 + 1000 + 5, 6, 7],
  );
}

// ------------------------------------------------------- without permission

const UNSEEN: Record<string, string> = {
  "other.ts": `
    const SIDE = 3;
    export const scale = (n) => n * SIDE;
  `,
  "main.ts": `
    import { POOL } from "@concurrent/futures";
    import { scale } from "./other.ts";
    const base = 100;
    export const addBase = (n) => n + base;
    function outcome(future) {
      return future.then((value) => value, ({ name, message }) => [name, message]);
    }
    if (import.meta.main) {
      const limit = 3;
      const pool = new POOL({
        maxWorkers: 1,
        initializer: () => { globalThis.table = new Map([["k", "v"]]); },
      });
      console.log(JSON.stringify({
        alone: await outcome(pool.submit((n) => n + 1, 1)),
        global: await outcome(pool.submit((n) => Math.sqrt(n), 9)),
        builtIn: await outcome(pool.submit(Math.max, 1, 2)),
        initialized: await outcome(pool.submit((key) => table.get(key), "k")),
        exported: await outcome(pool.submit(addBase, 1)),
        mapped: await Array.fromAsync(pool.map(addBase, [1, 2])),
        closure: await outcome(pool.submit(function below(n) { return n < limit; }, 1)),
        imported: await outcome(pool.submit(scale, 2)),
        importing: await outcome(pool.submit(function scaled(n) { return scale(n); }, 2)),
        after: await outcome(pool.submit((n) => n + 1, 2)),
      }));
    }
  `,
};

for (const pool of POOLS) {
  Deno.test(
    `${pool}.submit() without --allow-sys runs what needs no look at its place, and names the permission for the rest`,
    { timeout: TIMEOUT_MS },
    async () => {
      const { closure, imported, importing, ...values } = await jsonOf({
        pool,
        files: UNSEEN,
        flags: ["--allow-read", "--allow-run"],
      }) as Record<string, string[]>;
      assertEquals<unknown>(values, {
        alone: 2,
        global: 3,
        builtIn: 2,
        initialized: "v",
        exported: 101,
        mapped: [101, 102],
        after: 3,
      });
      const refused = { below: closure, scale: imported, scaled: importing };
      for (const [name, [error, message]] of Object.entries(refused)) {
        assertEquals(error, "SerializationError");
        assertStringIncludes(message, `"${name}"`);
        assertStringIncludes(message, "--allow-sys");
      }
      assertStringIncludes(closure[1], `"limit"`);
    },
  );
}

for (const pool of POOLS) {
  Deno.test(
    `${pool}.submit() without --allow-sys refuses a variable of whose name the worker alone has a global`,
    { timeout: TIMEOUT_MS },
    async () => {
      const [name, message] = await jsonOf({
        pool,
        flags: ["--allow-read", "--allow-run"],
        files: {
          "main.ts": `
            import { POOL } from "@concurrent/futures";
            if (import.meta.main) {
              const postMessage = "mine"; // in a thread of a pool, a function of the platform
              const pool = new POOL({ maxWorkers: 1 });
              const error = await pool.submit(() => postMessage).exception();
              console.log(JSON.stringify([error?.name, error?.message]));
            }
          `,
        },
      }) as string[];
      assertEquals(name, "SerializationError");
      assertStringIncludes(message, `"postMessage"`);
      assertStringIncludes(message, "--allow-sys");
    },
  );
}

for (const pool of POOLS) {
  Deno.test(
    `${pool}.submit() of a closure without --allow-sys names the permission when the program is not guarded either`,
    { timeout: TIMEOUT_MS },
    async () => {
      // Looking for an export imports the program, which is the first thing that fails then.
      const message = await jsonOf({
        pool,
        flags: ["--allow-read", "--allow-run"],
        files: {
          "main.ts": `
            import { POOL } from "@concurrent/futures";
            const limit = 3;
            const pool = new POOL({ maxWorkers: 1 });
            const error = await pool.submit((n) => n < limit, 1).exception();
            console.log(JSON.stringify(error.message));
          `,
        },
      });
      assertStringIncludes(String(message), "--allow-sys");
    },
  );
}

// ------------------------------------------------------- the same function

for (const pool of POOLS) {
  Deno.test(
    `${pool}.submit() fails with SerializationError when the module exports another function in the worker`,
    { timeout: TIMEOUT_MS },
    async () => {
      const outcomes = await jsonOf({
        pool,
        files: {
          "main.ts": `
            import { POOL } from "@concurrent/futures";
            const base = 2;
            function plus(n) { return n + base; }
            function times(n) { return n * base; }
            export const byMain = import.meta.main ? (n) => n + base : (n) => n * base;
            export const methods = { byMain: import.meta.main ? (n) => n + base : (n) => n * base };
            export let gone = import.meta.main ? (n) => n - base : undefined;
            export { chosen as default };
            const chosen = import.meta.main ? plus : times;
            if (import.meta.main) {
              const pool = new POOL({ maxWorkers: 1 });
              const outcome = (fn) => pool.submit(fn, 10).then(
                (value) => value, ({ name, message }) => [name, message]);
              console.log(JSON.stringify([
                await outcome(byMain), await outcome(methods.byMain), await outcome(gone),
                await outcome(chosen), await outcome((n) => byMain(n)),
              ]));
            }
          `,
        },
      }) as (string[] | number)[];
      // A function that is another one in the worker may still go by its source.
      const right = [12, 12, 8, 12, 12];
      for (const [i, outcome] of outcomes.entries()) {
        if (outcome === right[i]) continue;
        const [name, message] = outcome as string[];
        assertEquals(name, "SerializationError");
        assertStringIncludes(message, "main.ts must export");
      }
      assert(
        Array.isArray(outcomes[0]),
        "nothing shows what goes by reference",
      );
    },
  );
}

testProgram(
  "submit() never calls what an export was before the program replaced it",
  {
    files: {
      "swap.ts": `
        const base = 2;
        const make = (k) => (n) => n * base + k;
        export let other = (n) => n + base;
        export let same = make(1);
        export const methods = { run: make(1) };
        export function swap() {
          other = (n) => n - base;
          same = make(5);
          methods.run = make(5);
        }
      `,
      "main.ts": `
        import { POOL } from "@concurrent/futures";
        import { methods, other, same, swap } from "./swap.ts";
        const pool = new POOL({ maxWorkers: 1 });
        const outcome = (fn) => pool.submit(fn, 10).then((value) => value, ({ name }) => name);
        const before = [await outcome(other), await outcome(same), await outcome(methods.run)];
        swap();
        const after = [await outcome(other), await outcome(same), await outcome(methods.run)];
        console.log(JSON.stringify({ before, after: after.map((value, i) =>
          value === [8, 25, 25][i] || value === "SerializationError" ? "right" : value) }));
      `,
    },
  },
  { before: [12, 21, 21], after: ["right", "right", "right"] },
);

// ------------------------------------------------------- modules

testProgram(
  "submit() of a function by reference from a module with top-level await, one that exports then, and a circle of imports",
  {
    files: {
      "slow.ts": `
        const table = await new Promise((resolve) => setTimeout(resolve, 1, new Map([["k", 7]])));
        export const look = (key) => table.get(key);
      `,
      "then.ts": `
        const base = 10;
        export function then(resolve) { resolve("mistaken for a promise"); }
        export const add = (n) => n + base;
      `,
      "even.ts": `
        import { isOdd } from "./odd.ts";
        export const isEven = (n) => n === 0 || isOdd(n - 1);
      `,
      "odd.ts": `
        import { isEven } from "./even.ts";
        export const isOdd = (n) => n !== 0 && isEven(n - 1);
      `,
      "main.ts": `
        import { POOL } from "@concurrent/futures";
        import { look } from "./slow.ts";
        import { add } from "./then.ts";
        import * as all from "./then.ts";
        import { isEven } from "./even.ts";
        import { isOdd } from "./odd.ts";
        const pool = new POOL({ maxWorkers: 1 });
        const two = 2;
        console.log(JSON.stringify(await Promise.all([
          pool.submit(look, "k"), pool.submit(() => look("k") + two),
          pool.submit(add, 1), pool.submit(() => add(two)), pool.submit(() => all.add(two)),
          pool.submit(isEven, 10), pool.submit(isOdd, 10),
          pool.submit(() => isEven(two) && !isOdd(two)),
        ])));
      `,
    },
  },
  [7, 9, 11, 12, 12, true, false, true],
);

const MINIFIED =
  "const e=7,t=(n,r=e)=>n*r,n=Symbol(),r={f:e=>t(e)+1,g(e){return t(e,2)}};" +
  "class o{static s(n){return t(n)-e}static#p=3;static q(e){return e+o.#p}}" +
  "function a(e){return e<2?e:a(e-1)+a(e-2)+t(0)}var i=async e=>{await 0;return t(e)};" +
  "let c=(e=>n=>t(e)+n)(4);function s(){return[].map.call(arguments,e=>t(e))}" +
  "export{t as mul,r as box,o as Kls,a as fib,i as default,c as add,s as all};" +
  "export const hidden=()=>[e=>t(e)+e,u];function u(e){return t(e)?e/2|0:t};";

testProgram(
  "submit() of minified functions, exported under other names or not at all",
  {
    files: {
      "min.js": MINIFIED,
      "main.ts": `
        import { POOL } from "@concurrent/futures";
        import later, { add, all, box, fib, hidden, Kls, mul } from "./min.js";
        const pool = new POOL({ maxWorkers: 1 });
        const [inner, unexported] = hidden();
        console.log(JSON.stringify(await Promise.all([
          pool.submit(mul, 6), pool.submit(box.f, 6), pool.submit(box.g, 6), pool.submit(Kls.s, 6),
          pool.submit(Kls.q, 6), pool.submit(fib, 10), pool.submit(later, 6), pool.submit(add, 6),
          pool.submit(all, 1, 2), pool.submit(inner, 6), pool.submit(unexported, 6),
          pool.submit((n) => add(n) + mul(n), 6),
        ])));
      `,
    },
  },
  [42, 43, 12, 35, 9, 55, 42, 34, [7, 14], 48, 3, 76],
);

testProgram(
  "submit() tells functions of one line of a bundle apart",
  {
    files: {
      // All of one source but for the number, and every second one of the same name.
      "bundle.js": "(()=>{var k=1;globalThis.fns=[];" +
        Array.from(
          { length: 400 },
          (_, i) =>
            `(()=>{var c=${i};function f${
              i % 2 ? i : ""
            }(e){return e+c+k}fns.push(f${i % 2 ? i : ""})})();`,
        ).join("") + "})();",
      "main.ts": `
        import { POOL } from "@concurrent/futures";
        import "./bundle.js";
        const pool = new POOL({ maxWorkers: 2 });
        const results = await Promise.all(globalThis.fns.map((fn) => pool.submit(fn, 1000)));
        console.log(JSON.stringify(results.every((value, i) => value === 1001 + i)));
      `,
    },
  },
  true,
);

// ------------------------------------------------------- packages

/** Tasks that use packages, and what comes out. */
interface Use {
  readonly how: string;
  readonly tasks: string;
  readonly results: readonly unknown[];
}

const PACKAGE_USES: readonly Use[] = [
  {
    how: "functions",
    tasks: `
      pool.submit(nanoid, 10).then((id) => id.length),
      pool.submit(customAlphabet("a", 3)),
      pool.submit(ms, "2h"),
      pool.submit(lodash.chunk, [1, 2, 3], 2),
      pool.submit(lodash.camelCase, "any function travels"),
      pool.submit(kebab, "anyFunctionTravels"),
    `,
    results: [
      10,
      "aaa",
      7_200_000,
      [[1, 2], [3]],
      "anyFunctionTravels",
      "any-function-travels",
    ],
  },
  {
    how: "closures over imports",
    tasks: `
      pool.submit(() => nanoid(size).length),
      pool.submit((n) => ms(n + unit), 3),
      pool.submit((list) => lodash.chunk(list, size), [1, 2, 3]),
      pool.submit((text) => kebab(text) + unit, "oneTwo"),
    `,
    results: [2, 10_800_000, [[1, 2], [3]], "one-twoh"],
  },
];

const NPM = {
  nanoid: "npm:nanoid@5.1.6",
  ms: "npm:ms@2.1.3",
  lodash: "npm:lodash@4.17.21",
  kebab: "npm:lodash@4.17.21/kebabCase.js",
};

const BARE = {
  nanoid: "nanoid",
  ms: "ms",
  lodash: "lodash",
  kebab: "lodash/kebabCase.js",
};

function usePackages(names: typeof NPM, tasks: string): string {
  return `
    import { POOL } from "@concurrent/futures";
    import { customAlphabet, nanoid } from "${names.nanoid}";
    import ms from "${names.ms}";
    import lodash from "${names.lodash}";
    import kebab from "${names.kebab}";
    const size = 2, unit = "h";
    const pool = new POOL({ maxWorkers: 1 });
    console.log(JSON.stringify(await Promise.all([${tasks}])));
  `;
}

for (const { how, tasks, results } of PACKAGE_USES) {
  testProgram(
    `submit() of ${how} of npm packages, ES modules and CommonJS`,
    { files: { "main.ts": usePackages(NPM, tasks) } },
    results,
  );

  testProgram(
    `submit() of ${how} of npm packages under names of the import map`,
    {
      config: { imports: NPM },
      files: {
        "main.ts": usePackages({ ...BARE, kebab: "kebab" }, tasks),
      },
    },
    results,
  );

  testProgram(
    `submit() of ${how} of npm packages in a folder node_modules, named by package.json`,
    {
      config: { nodeModulesDir: "auto" },
      files: {
        "package.json": JSON.stringify({
          dependencies: { nanoid: "5.1.6", ms: "2.1.3", lodash: "4.17.21" },
        }),
        "main.ts": usePackages(BARE, tasks),
      },
    },
    results,
  );
}

// ------------------------------------------------------- other addresses

const ANYWHERE = `
  const base = 100;
  const helper = (n) => n + base;
  export const add = (n) => helper(n);
  export const make = (k) => (n) => helper(n) * k;
  export const methods = { half: (n) => helper(n) / 2 };
  export default function (n) { return -helper(n); }
`;

const USE_MODULE = `
  const pool = new POOL({ maxWorkers: 1 });
  const { add, make, methods, default: negate } = module;
  const outcomes = await Promise.all([
    pool.submit(add, 1), pool.submit(make(3), 1), pool.submit(methods.half, 2),
    pool.submit(negate, 1), pool.submit((n) => add(n) + negate(n), 1),
  ]);
  console.log(JSON.stringify(outcomes));
`;

const MODULE_RESULT = [101, 303, 51, -101, 0];

testProgram(
  "submit() of functions from a data: URL",
  {
    files: {
      "main.ts": `
        import { POOL } from "@concurrent/futures";
        const text = ${JSON.stringify(ANYWHERE)};
        const module = await import(\`data:text/javascript,\${encodeURIComponent(text)}\`);
        ${USE_MODULE}
      `,
    },
  },
  MODULE_RESULT,
);

const BLOB = `
  import { POOL } from "@concurrent/futures";
  const blob = new Blob([${
  JSON.stringify(ANYWHERE)
}], { type: "text/javascript" });
  const module = await import(URL.createObjectURL(blob));
`;

Deno.test(
  "ThreadPoolExecutor.submit() of functions from a blob: URL",
  { timeout: TIMEOUT_MS },
  async () => {
    const files = { "main.ts": `${BLOB} ${USE_MODULE}` };
    assertEquals(
      await jsonOf({ pool: "ThreadPoolExecutor", files }),
      MODULE_RESULT,
    );
  },
);

Deno.test(
  "ProcessPoolExecutor.submit() of a function from a blob: URL, which no other process knows, fails that task alone",
  { timeout: TIMEOUT_MS },
  async () => {
    const program = `${BLOB}
      const pool = new POOL({ maxWorkers: 1 });
      const error = await pool.submit(module.add, 1).exception();
      console.log(JSON.stringify([
        error.message, await pool.submit(module.make(3), 1), await pool.submit((n) => n, 1),
      ]));
    `;
    const [message, ...values] = await jsonOf({
      pool: "ProcessPoolExecutor",
      files: { "main.ts": program },
    }) as unknown[];
    assertStringIncludes(String(message), "blob:");
    assertEquals(values, [303, 1]);
  },
);

/** Makes a certificate for this host that is its own authority. */
async function makeCertificate(folder: string): Promise<void> {
  const { code, stderr } = await new Deno.Command("openssl", {
    args: [
      ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        .split(" "),
      ...["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
      ...["-addext", "basicConstraints=critical,CA:FALSE"],
      ...["-keyout", `${folder}/key.pem`, "-out", `${folder}/cert.pem`],
    ],
  }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
}

/** Where Deno keeps what it has fetched from a host. */
async function cacheOf(host: string): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json"],
  }).output();
  const { modulesCache } = JSON.parse(new TextDecoder().decode(stdout));
  return `${modulesCache}/https/${host.replace(":", "_PORT")}`;
}

for (const pool of POOLS) {
  Deno.test(
    `${pool}.submit() of functions from an https: URL`,
    { timeout: TIMEOUT_MS },
    async () => {
      const folder = await Deno.makeTempDir();
      const asked: string[] = [];
      await makeCertificate(folder);
      const server = Deno.serve({
        hostname: "127.0.0.1",
        port: 0,
        cert: await Deno.readTextFile(`${folder}/cert.pem`),
        key: await Deno.readTextFile(`${folder}/key.pem`),
        onListen() {},
      }, ({ url }) => {
        asked.push(new URL(url).pathname);
        const body = url.endsWith("base.js")
          ? "export const base = 100;"
          : ANYWHERE.replace(
            "const base = 100;",
            `import { base } from "./base.js"; export const where = () => import.meta.url;`,
          );
        return new Response(body, {
          headers: { "content-type": "text/javascript" },
        });
      });
      const host = `127.0.0.1:${server.addr.port}`;
      const cache = await cacheOf(host);
      try {
        const result = await jsonOf({
          pool,
          env: { DENO_CERT: `${folder}/cert.pem` },
          // Whole: a process inherits no hosts that its parent names, as no API tells them.
          flags: [...FLAGS, "--allow-import"],
          files: {
            "main.ts": `
              import { POOL } from "@concurrent/futures";
              import * as module from "https://${host}/lib/anywhere.js";
              ${
              USE_MODULE.replace(
                "console.log",
                "outcomes.push(await pool.submit(module.where)); console.log",
              )
            }
            `,
          },
        });
        const url = `https://${host}/lib/anywhere.js`;
        assertEquals(result, [...MODULE_RESULT, url]);
        assertEquals(asked.sort(), ["/lib/anywhere.js", "/lib/base.js"]);
      } finally {
        await server.shutdown();
        await Deno.remove(folder, { recursive: true });
        await Deno.remove(cache, { recursive: true });
      }
    },
  );
}

testProgram(
  "submit() of functions from new Function and eval, with what an eval captured",
  {
    files: {
      "main.ts": `
        import { POOL } from "@concurrent/futures";
        const pool = new POOL({ maxWorkers: 1 });
        const here = 3;
        const indirect = eval;
        function local() {
          const inside = 4;
          return eval("(n) => n * here * inside");
        }
        globalThis.shared = { n: 5 };
        console.log(JSON.stringify(await Promise.all([
          pool.submit(new Function("a", "b", "return a + b"), 1, 2),
          pool.submit(new Function("n", "return Math.sqrt(n)"), 9),
          pool.submit(new Function("n", "return n * shared.n"), 2),
          pool.submit(eval("(n) => n * here"), 2),
          pool.submit(indirect("(n) => n * 2"), 2),
          pool.submit(indirect("const k = 7; (n) => n * k"), 2),
          pool.submit(local(), 2),
          pool.submit(eval("(function () { return here + 1; })\\n//# sourceURL=https://example.com/a.js")),
        ])));
      `,
    },
  },
  [3, 3, 10, 6, 4, 14, 24, 4],
);

// ------------------------------------------------------- a great many

/** A program that makes a function anew for each task, and prints by how much memory grew. */
function growth(count: number, options: string, submit: string): string {
  return `
    import { POOL } from "@concurrent/futures";
    const BATCH = 500;
    const pool = new POOL({ maxWorkers: 1 ${options} });
    const weigh = () => {
      gc();
      const { heapUsed, rss } = Deno.memoryUsage(); // \`external\` counts what is only reserved
      return { heap: heapUsed, rss };
    };
    async function submitMany(from, to) {
      for (let i = from; i < to; i += BATCH) {
        const futures = [];
        for (let k = i; k < i + BATCH; k++) futures.push(${submit});
        const results = await Promise.all(futures);
        if (results.some((result, k) => result !== i + k)) throw new Error("wrong result");
      }
    }
    async function weighBoth() {
      const worker = await pool.submit(weigh);
      const timeout = new Promise((resolve) => setTimeout(resolve));
      await timeout; // a turn, in which what has been let go can be found
      return { owner: weigh(), worker };
    }
    await submitMany(0, ${count / 10});
    const before = await weighBoth();
    await submitMany(${count / 10}, ${count});
    const after = await weighBoth();
    const grown = (who) => Object.fromEntries(
      Object.entries(after[who]).map(([key, bytes]) => [key, (bytes - before[who][key]) / 2 ** 20]));
    console.log(JSON.stringify({ owner: grown("owner"), worker: grown("worker") }));
  `;
}

interface Growth {
  owner: { heap: number; rss: number };
  worker: { heap: number; rss: number };
}

const MANY = [
  {
    name: "a million functions made anew",
    count: 1_000_000,
    submit: "pool.submit((n) => n, k)",
    // 36 bytes each would show, less than any function takes
    heapMB: 32,
  },
  {
    name: "20,000 closures made anew, each over a text of 4 KB",
    count: 20_000,
    submit:
      `((text) => pool.submit(() => text.length - 4096 + Number(text.slice(0, 8)), k))(String(k).padStart(8, "0") + "x".repeat(4088))`,
    // 70 MB pass, 20 % of them may stay
    heapMB: 14,
  },
];

for (const pool of POOLS) {
  for (const { name, count, submit, heapMB } of MANY) {
    Deno.test(
      `${pool}.submit() of ${name} lets go of them, here and in the worker`,
      { timeout: TIMEOUT_MS },
      async () => {
        const options = pool === "ProcessPoolExecutor"
          ? `, context: { denoArgs: ["--v8-flags=--expose-gc"] }`
          : "";
        const { owner, worker } = await jsonOf({
          pool,
          flags: [...FLAGS, "--v8-flags=--expose-gc"],
          files: { "main.ts": growth(count, options, submit) },
        }) as Growth;
        assertLess(owner.heap, heapMB);
        assertLess(worker.heap, heapMB);
        // What V8 keeps in reserve comes and goes.
        assertLess(owner.rss, 150);
        assertLess(worker.rss, 150);
      },
    );
  }
}

// ------------------------------------------------------- the program's Worker

testProgram(
  "submit() of a closure leaves the program's own Worker as it was, once it idles or a worker was started",
  {
    files: {
      "main.ts": `
        import { POOL, ThreadPoolExecutor as Threads } from "@concurrent/futures";
        const Original = Worker;
        const descriptor = JSON.stringify(Object.getOwnPropertyDescriptor(globalThis, "Worker"));
        const url = "data:text/javascript,postMessage(self.name)";
        const pool = new POOL({ maxWorkers: 1 });
        class Early extends Worker {}
        let k = 0;
        const submit = () => { const own = ++k; return pool.submit(() => own); };
        await submit(); // from now on there is a worker
        const results = [];
        async function tell(worker, Class) {
          const { data } = await new Promise((resolve) => worker.onmessage = resolve);
          worker.terminate();
          results.push([data, worker instanceof Original, worker.constructor === Class]);
        }

        submit();
        const plain = new Worker(url, { type: "module", name: "plain" });
        results.push(Worker === Original);
        await tell(plain, Original);

        submit();
        class Late extends Worker {}
        const late = new Late(url, { type: "module", name: "late" });
        results.push(Worker === Original);
        await tell(late, Late);
        await tell(new Late(url, { type: "module", name: "later" }), Late);

        submit();
        await tell(new Early(url, { type: "module", name: "early" }), Early);

        submit();
        while (Worker !== Original) await new Promise((resolve) => setTimeout(resolve, 1));
        results.push(JSON.stringify(Object.getOwnPropertyDescriptor(globalThis, "Worker")) === descriptor);

        submit();
        class Mine extends Original {}
        globalThis.Worker = Mine;
        await new Threads({ maxWorkers: 1 }).submit((n) => n, 1); // starts a worker
        results.push(Worker === Mine);
        submit();
        await tell(new Worker(url, { type: "module", name: "mine" }), Mine);
        results.push(Worker === Mine);
        console.log(JSON.stringify(results));
      `,
    },
  },
  [
    true,
    ["plain", true, true],
    true,
    ["late", true, true],
    ["later", true, true],
    ["early", true, true],
    true,
    true,
    ["mine", true, true],
    true,
  ],
);

// ------------------------------------------------------- deno test

const TESTED = `
  import { POOL } from "@concurrent/futures";
  const base = 100;
  const helper = (n) => n + base;
  export function byReference(n) { return helper(n); }
  function bySource(n) { return helper(n); }
  for (let round = 0; round < 3; round++) {
    Deno.test(\`round \${round}\`, async () => {
      await using pool = new POOL({ maxWorkers: 1 });
      const results = [
        await pool.submit((n) => n + base + round, 1), await pool.submit(byReference, 1),
        await pool.submit(bySource, 1), pool.submit(() => round).resultSync(),
      ];
      if (String(results) !== String([101 + round, 101, 101, round])) throw new Error(String(results));
    });
  }
`;

for (const pool of POOLS) {
  Deno.test(
    `${pool}.submit() in a test file of closures, and of what the file exports, with sanitizers on leaks nothing`,
    { timeout: TIMEOUT_MS },
    async () => {
      const files = {
        "deno.json": JSON.stringify({
          imports: { "@concurrent/futures": import.meta.resolve("../mod.ts") },
          lock: false,
          test: { sanitizeOps: true, sanitizeResources: true },
        }),
        "main.ts": TESTED,
      };
      const program: FileProgram = { pool, files, command: "test" };
      const { code, stdout, stderr } = await runFiles(program);
      assertEquals([code, stderr], [0, ""], stdout);
      assertStringIncludes(stdout, "3 passed | 0 failed");
    },
  );
}

// ------------------------------------------------------- in this process

testPool(
  "ThreadPoolExecutor.submit() of a closure, then resultSync() at once",
  ({ own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const words = new Set(["a"]);
    const future = pool.submit((word: string) => words.has(word), "a");
    assertEquals(future.resultSync(), true);
    return Promise.resolve();
  },
);

testProcesses(
  'ProcessPoolExecutor.submit() of closures under permissions "none"',
  async ({ own }) => {
    const context = { permissions: "none" } as const;
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1, context }));
    const limit = 3, words = new Map([["a", 1n]]);
    const isShort = (word: string) => word.length < limit;
    class Counter {
      #count = limit;
      next() {
        return ++this.#count;
      }
    }
    assertEquals(
      await Promise.all([
        pool.submit((word: string) => isShort(word) && words.get(word), "a"),
        pool.submit(() => new Counter().next()),
        pool.submit(() => Deno.permissions.querySync({ name: "read" }).state),
      ]),
      [1n, 4, "prompt"],
    );
    assertEquals(
      await Array.fromAsync(pool.map(isShort, ["a", "abc"])),
      [true, false],
    );
  },
);

// There the inspector itself runs what is typed: to ask it would end the process (Deno 2.9.6).
Deno.test("a REPL refuses a closure and goes on", {
  timeout: TIMEOUT_MS,
}, async () => {
  const repl = new Deno.Command(Deno.execPath(), {
    args: ["repl", "--quiet", "--allow-read", "--allow-sys"],
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const module = JSON.stringify(import.meta.resolve("../mod.ts"));
  const writer = repl.stdin.getWriter();
  await writer.write(new TextEncoder().encode([
    `const { ThreadPoolExecutor } = await import(${module}); const k = 3;`,
    "const pool = new ThreadPoolExecutor({ maxWorkers: 1 });",
    "String(await pool.submit((n) => n * k, 4).exception())",
    "await pool.submit((n) => n * 2, 21)",
    "await pool.shutdown()",
    "",
  ].join("\n")));
  await writer.close();
  const { code, stdout } = await repl.output();
  const text = new TextDecoder().decode(stdout);
  assertEquals(code, 0);
  assertMatch(text, /"k".*run it from a file, as in a REPL/s);
  assertMatch(text, /^42$/m);
});
