import { assertEquals } from "@std/assert";
import { makeEvents, type TracedTask } from "../_trace_events.ts";

const BEGIN_MS = 1_000;

/** A task of pool 0 that ran from `startMs` to `endMs`. */
function ran(
  submitMs: number,
  startMs: number,
  endMs: number,
  rest: Partial<TracedTask> = {},
): TracedTask {
  const outcome = "finished";
  const worker = "w_0";
  return {
    pool: 0,
    name: "square",
    submitMs,
    startMs,
    endMs,
    outcome,
    worker,
    ...rest,
  };
}

/** The events of some kind, in short. */
function shortOf(
  kind: "X" | "i" | "C" | "M",
  tasks: TracedTask[],
  pools = ["pool"],
) {
  return makeEvents(pools, tasks, BEGIN_MS)
    .filter(({ ph }) => ph === kind)
    .map(({ name, pid, tid, ts, dur, args }) => ({
      name,
      at: [pid, tid, ts, dur],
      args,
    }));
}

Deno.test("makeEvents() writes a task as Chrome's format has it", () => {
  assertEquals(makeEvents(["pool"], [ran(1_001, 1_003, 1_007)], BEGIN_MS), [
    {
      name: "process_name",
      ph: "M",
      pid: 1,
      tid: 1,
      ts: 0,
      args: { name: "pool" },
    },
    {
      name: "process_sort_index",
      ph: "M",
      pid: 1,
      tid: 1,
      ts: 0,
      args: { sort_index: 1 },
    },
    {
      name: "thread_name",
      ph: "M",
      pid: 1,
      tid: 1,
      ts: 0,
      args: { name: "submit" },
    },
    {
      name: "thread_sort_index",
      ph: "M",
      pid: 1,
      tid: 1,
      ts: 0,
      args: { sort_index: 1 },
    },
    {
      name: "thread_name",
      ph: "M",
      pid: 1,
      tid: 2,
      ts: 0,
      args: { name: "w_0" },
    },
    {
      name: "thread_sort_index",
      ph: "M",
      pid: 1,
      tid: 2,
      ts: 0,
      args: { sort_index: 2 },
    },
    {
      name: "square",
      cat: "task",
      ph: "i",
      s: "t",
      pid: 1,
      tid: 1,
      ts: 1_000,
    },
    {
      name: "tasks",
      ph: "C",
      pid: 1,
      tid: 1,
      ts: 1_000,
      args: { queued: 1, running: 0 },
    },
    {
      name: "square",
      cat: "task",
      ph: "X",
      pid: 1,
      tid: 2,
      ts: 3_000,
      dur: 4_000,
      args: { outcome: "finished", "queued, ms": 2 },
    },
    {
      name: "tasks",
      ph: "C",
      pid: 1,
      tid: 1,
      ts: 3_000,
      args: { queued: 0, running: 1 },
    },
    {
      name: "tasks",
      ph: "C",
      pid: 1,
      tid: 1,
      ts: 7_000,
      args: { queued: 0, running: 0 },
    },
  ]);
});

Deno.test("makeEvents() gives each pool and each of its workers a row", () => {
  const tasks = [
    ran(1_000, 1_001, 1_002, { worker: "b" }),
    ran(1_000, 1_001, 1_003, { worker: "a" }),
    ran(1_000, 1_002, 1_004, { worker: "b" }),
    ran(1_000, 1_002, 1_005, { pool: 1, worker: "b" }),
  ];
  const rows = shortOf("X", tasks, ["one", "two"]).map(({ at }) => at);
  assertEquals(rows, [
    [1, 3, 1_000, 1_000],
    [1, 2, 1_000, 2_000],
    [1, 3, 2_000, 2_000],
    [2, 3, 2_000, 3_000],
  ]);
  const names = shortOf("M", tasks, ["one", "two"])
    .filter(({ name }) => name.endsWith("_name"));
  assertEquals(
    names.map(({ at: [pid, tid], args }) => [pid, tid, args?.name]),
    [
      [1, 1, "one"],
      [1, 1, "submit"],
      [1, 2, "a"],
      [1, 3, "b"],
      [2, 2, "two"],
      [2, 2, "submit"],
      [2, 3, "b"],
    ],
  );
});

Deno.test("makeEvents() puts pools in their order, and workers in that of their numbers", () => {
  const workers = ["w_10", "w_2", "w_0"];
  const tasks = [0, 1].flatMap((pool) =>
    workers.map((worker) => ran(1_000, 1_001, 1_002, { pool, worker }))
  );
  // the first pool's name comes last in the alphabet
  const metas = shortOf("M", tasks, ["threads", "processes"]);
  function rowsOf(kind: string): unknown[] {
    const names = metas.filter(({ name }) => name === `${kind}_name`);
    return names.map(({ at: [pid, tid], args }) => {
      const index = metas.find(({ name, at }) =>
        name === `${kind}_sort_index` && at[0] === pid && at[1] === tid
      );
      return [args?.name, pid, index?.args?.sort_index];
    });
  }
  assertEquals(rowsOf("process"), [["threads", 1, 1], ["processes", 2, 2]]);
  assertEquals(rowsOf("thread"), [
    ["submit", 1, 1],
    ["w_0", 1, 2],
    ["w_2", 1, 3],
    ["w_10", 1, 4],
    ["submit", 2, 2],
    ["w_0", 2, 3],
    ["w_2", 2, 4],
    ["w_10", 2, 5],
  ]);
});

Deno.test("makeEvents() writes times to a thousandth of a microsecond", () => {
  const tasks = [
    ran(1_000.1, 1_000.2, 1_000.3),
    ran(1_000.1, 1_000.3, 1_001.1),
  ];
  assertEquals(shortOf("X", tasks).map(({ at }) => at), [
    [1, 2, 200, 100],
    [1, 2, 300, 800],
  ]);
  // one for the end of a task and the start of the next, which are one moment
  assertEquals(
    shortOf("C", tasks).map(({ at: [, , ts], args }) => [ts, args?.running]),
    [[100, 0], [200, 1], [300, 1], [1_100, 0]],
  );
});

Deno.test("makeEvents() shows a task that could not say its start from when its worker was free", () => {
  const lost = { outcome: "failed", error: "BrokenThreadPool: lost" } as const;
  const tasks = [
    ran(1_000, 1_001, 1_005),
    ran(1_000, 0, 1_009, { ...lost, startMs: undefined }),
    ran(1_006, 0, 1_010, { ...lost, startMs: undefined, worker: "w_1" }),
  ];
  const start = "not known, see queued", { outcome, error } = lost;
  assertEquals(shortOf("X", tasks).slice(1), [
    {
      name: "square",
      at: [1, 2, 5_000, 4_000],
      args: { outcome, "queued, ms": 5, error, start },
    },
    {
      name: "square",
      at: [1, 3, 6_000, 4_000],
      args: { outcome, "queued, ms": 0, error, start },
    },
  ]);
});

Deno.test("makeEvents() shows a task that nobody ran as submitted alone", () => {
  const nobody = { worker: undefined, startMs: undefined };
  const tasks = [
    ran(1_000, 0, 1_004, { ...nobody, outcome: "cancelled" }),
    ran(1_000, 0, Infinity, { ...nobody, outcome: "pending" }),
  ];
  assertEquals(shortOf("X", tasks), []);
  assertEquals(shortOf("i", tasks).map(({ name }) => name), [
    "square (cancelled)",
    "square (pending)",
  ]);
  assertEquals(
    shortOf("C", tasks).map(({ at: [, , ts], args }) => [ts, args]),
    [
      [0, { queued: 2, running: 0 }],
      [4_000, { queued: 1, running: 0 }],
    ],
  );
});

Deno.test("makeEvents() has counters that end at 0 where all is over", () => {
  // by the time the last one is submitted, 14.1 ms on, five have started
  const tasks = Array.from(
    { length: 100 },
    (_, n) =>
      ran(1_000 + n / 7, 1_010 + n, 1_010.5 + n, { worker: `w_${n % 3}` }),
  );
  const counters = shortOf("C", tasks).map(({ args }) => args);
  assertEquals(counters.at(-1), { queued: 0, running: 0 });
  assertEquals(Math.max(...counters.map((args) => Number(args?.queued))), 95);
  assertEquals(Math.max(...counters.map((args) => Number(args?.running))), 1);
});
