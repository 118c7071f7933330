/**
 * The soak, for a few seconds; and its accounts, which must not be right whatever happens.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { SerializationError } from "../mod.ts";
import type { Handles } from "./_handles.ts";
import { runProgram } from "./_program.ts";
import { judgeHandles, judgeMemory } from "./_soak_left.ts";
import { Random } from "./_soak_random.ts";
import { countRecords } from "./_soak_runs.ts";
import { RECORD_MARK } from "./_soak_tasks.ts";
import {
  BROKEN,
  fail,
  finish,
  LOST,
  openBooks,
  WRONGS,
} from "./_soak_wrongs.ts";

const TIMEOUT_MS = 240_000;

// ----------------------------------------------------------------- the program

async function soak(...args: string[]) {
  const program = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--v8-flags=--expose-gc",
      `${import.meta.dirname}/soak.ts`,
      ...args,
    ],
    env: { NO_COLOR: "1" },
    stdin: "null",
  });
  const { code, stdout, stderr } = await program.output();
  const decoder = new TextDecoder();
  return {
    code,
    stdout: decoder.decode(stdout),
    stderr: decoder.decode(stderr),
  };
}

Deno.test("soak.ts accounts for every task of both pools, and leaves nothing", {
  timeout: TIMEOUT_MS,
}, async () => {
  const { code, stdout, stderr } = await soak("--seconds", "4", "--seed", "1");
  assertEquals(code, 0, `${stdout}\n${stderr}`);
  const reports = stdout.matchAll(
    /^(thread|process): (\d+) submitted, (\d+) finished, (\d+) failed, (\d+) cancelled/gm,
  );
  const names = [];
  for (const [, name, ...counts] of reports) {
    const [submitted, finished, failed, cancelled] = counts.map(Number);
    assertEquals(submitted, finished + failed + cancelled);
    assert(finished > 0);
    names.push(name);
  }
  assertEquals(names, ["thread", "process"]);
  assertMatch(stdout, /^end: .* 0 children$/m);
  assertMatch(stdout, /every task is accounted for, and nothing is left\n$/);
});

Deno.test("soak.ts refuses flags and values that it does not know", {
  timeout: TIMEOUT_MS,
}, async () => {
  for (const args of [["--pool", "fork"], ["--hours", "1"]]) {
    const { code, stderr } = await soak(...args);
    assertEquals(code, 1);
    assertStringIncludes(stderr, args[0]);
  }
});

// ---------------------------------------------------------------- the accounts

Deno.test("Ledger finds nothing wrong with tasks that came to the ends they may come to", async () => {
  const { ledger, violations, take, close } = openBooks(true);
  finish(take(), 0);
  fail(take({ error: () => undefined }), new RangeError());
  fail(
    take({ error: () => undefined, errorRuns: [0, 0] }),
    new SerializationError(),
  );
  fail(take({ isDeadly: true }), LOST);
  fail(take(), BROKEN);
  const pending = take();
  for (const account of ledger.pending) {
    if (account.future === pending) ledger.cancel(account);
  }
  await close(1, 1, 0, 1, 0, 0);
  assertEquals(violations, []);
  assertEquals([ledger.submitted, ledger.inFlight], [6, 0]);
});

for (const { name, act, runs, said } of WRONGS) {
  Deno.test(`Ledger says what is wrong where ${name}`, async () => {
    const books = openBooks();
    act(books);
    await books.close(...runs);
    assertNotEquals(books.violations, []);
    assertMatch(books.violations.join("\n"), said);
  });
}

// ------------------------------------------------------------- what it is made of

Deno.test("countRecords() counts runs, and refuses what is torn or damaged", () => {
  const records = (...words: number[]) =>
    new Uint8Array(new Uint32Array(words).buffer);
  const good = records(7, RECORD_MARK, 2, RECORD_MARK, 7, RECORD_MARK);
  assertEquals(countRecords(good), new Map([[7, 2], [2, 1]]));
  assertThrows(() => countRecords(good.subarray(0, 12)), Error, "torn");
  const mixed = records(7, RECORD_MARK, RECORD_MARK, 2);
  assertThrows(() => countRecords(mixed), Error, "damaged at byte 8");
});

Deno.test("judgeHandles() and judgeMemory() say what is left, and nothing of what is gone", () => {
  const start: Handles = {
    rssBytes: 1e9,
    heapBytes: 1e8,
    fds: 10,
    threads: 5,
    children: 0,
  };
  const judge = (change: Partial<Handles>) => {
    const end = { ...start, ...change };
    return [...judgeHandles(start, end), ...judgeMemory(start, end)].join();
  };
  assertEquals(judge({}), "");
  assertEquals(judge({ fds: 9, threads: 4, rssBytes: 1, heapBytes: 1 }), "");
  assertEquals(judge({ fds: undefined, threads: undefined }), "");
  assertMatch(judge({ fds: 11 }), /file descriptors .* from 10 to 11/);
  assertMatch(judge({ threads: 6 }), /threads .* from 5 to 6/);
  assertMatch(judge({ children: 1 }), /child processes .* from 0 to 1/);
  assertMatch(judge({ rssBytes: 2e9 }), /resident memory/);
});

Deno.test(
  "measure() counts what a program holds, and children() its processes",
  {
    timeout: TIMEOUT_MS,
  },
  async () => {
    const source = `
    import { children, measure } from ${
      JSON.stringify(import.meta.resolve("./_handles.ts"))
    };
    const before = measure();
    const child = new Deno.Command(Deno.execPath(), {
      args: ["eval", "await new Promise(() => setInterval(() => {}, 1000))"],
      stdin: "piped",
    }).spawn();
    const during = measure(), pids = children();
    child.kill("SIGKILL");
    await child.status;
    await child.stdin.close().catch(() => {});
    console.log(JSON.stringify([before, during, pids, child.pid, measure()]));
  `;
    const { code, stdout, stderr } = await runProgram(source, {
      flags: ["--allow-all"],
    });
    assertEquals([code, stderr], [0, ""]);
    const [before, during, pids, pid, after] = JSON.parse(stdout);
    assert(before.rssBytes > 0 && before.heapBytes > 0);
    if (Deno.build.os !== "linux") {
      return assertEquals([before.fds, pids], [undefined, []]);
    }
    assert(during.fds > before.fds, "the pipe is a descriptor more");
    assertEquals([before.children, during.children, after.children], [0, 1, 0]);
    assertEquals(pids, [pid]);
  },
);

Deno.test("Random gives the same numbers for the same seed, all within their bounds", () => {
  const list = (seed: number) => {
    const random = new Random(seed);
    return Array.from({ length: 1000 }, () => random.whole(-2, 2));
  };
  assertEquals(list(1), list(1));
  assertNotEquals(list(1), list(2));
  assertEquals(new Set(list(1)), new Set([-2, -1, 0, 1, 2]));
});

Deno.test("Random.fork() is not moved by what its parent gives afterwards", () => {
  const parent = new Random(5), other = new Random(5);
  const fork = parent.fork(), same = other.fork();
  other.next();
  assertEquals(fork.next(), same.next());
});

Deno.test("Random.weigh() picks items as often as their weights say", () => {
  const random = new Random(3);
  const items = [{ weight: 0 }, { weight: 1 }, { weight: 3 }];
  const counts = [0, 0, 0];
  for (let i = 0; i < 4000; i++) counts[items.indexOf(random.weigh(items))]++;
  assertEquals(counts[0], 0);
  assert(counts[1] > 800 && counts[1] < 1200);
});
