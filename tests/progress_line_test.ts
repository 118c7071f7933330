import { assertEquals } from "@std/assert";
import { formatLine } from "../_progress_line.ts";

type LineState = Parameters<typeof formatLine>[0];

const START: LineState = {
  label: undefined,
  done: 0,
  doneBefore: 0,
  failed: 0,
  cancelled: 0,
  total: 10,
  elapsedMs: 0,
  idleMs: 0,
  isOver: false,
};

function format(state: Partial<LineState>, width = 0): string {
  const drawBar = (share: number, size: number) =>
    "#".repeat(Math.round(share * size)).padEnd(size, ".");
  return formatLine({ ...START, ...state }, width, drawBar).trim();
}

Deno.test("formatLine() says what there is at each stage", () => {
  assertEquals(
    format({}),
    "0% | 0/10 done | 0 failed | ?/s | 0s | ETA ?",
  );
  assertEquals(
    format({ done: 4, failed: 1, elapsedMs: 2000 }),
    "40% | 4/10 done | 1 failed | 2.0/s | 2s | ETA 3s",
  );
  assertEquals(
    format({ done: 4, cancelled: 2, elapsedMs: 2000, label: "hash" }),
    "hash   40% | 4/10 done | 0 failed | 2 cancelled | 2.0/s | 2s | ETA 3s",
  );
  assertEquals(
    format({ done: 10, elapsedMs: 2000 }),
    "100% | 10/10 done | 0 failed | 5.0/s | 2s | ETA 0s",
  );
  assertEquals(
    format({ done: 10, elapsedMs: 2000, isOver: true }),
    "100% | 10/10 done | 0 failed | 5.0/s | 2s",
  );
});

Deno.test("formatLine() says less where the total is not known, or was wrong", () => {
  for (const total of [undefined, 3]) {
    assertEquals(
      format({ done: 4, total, elapsedMs: 2000, label: "hash" }),
      "hash 4 done | 0 failed | 2.0/s | 2s",
    );
  }
});

Deno.test("formatLine() says the rate by a unit in which it is no fraction", () => {
  const rateOf = (done: number, elapsedMs: number) =>
    format({ done, elapsedMs, total: undefined }).split(" | ")[2];
  assertEquals(rateOf(123_456, 1000), "123456/s");
  assertEquals(rateOf(1, 1000), "1.0/s");
  assertEquals(rateOf(1, 2000), "30.0/min");
  assertEquals(rateOf(1, 60_000), "1.0/min");
  assertEquals(rateOf(1, 120_000), "30.0/h");
});

Deno.test("formatLine() counts what was done before for no rate", () => {
  assertEquals(
    format({ done: 5, doneBefore: 5, elapsedMs: 1000 }),
    "50% | 5/10 done | 0 failed | ?/s | 1s | ETA ?",
  );
  assertEquals(
    format({ done: 6, doneBefore: 5, elapsedMs: 1000 }),
    "60% | 6/10 done | 0 failed | 1.0/s | 1s | ETA 4s",
  );
});

Deno.test("formatLine() counts the time left down until the next is done, and up where it is overdue", () => {
  const leftAfter = (idleMs: number) =>
    format({ done: 2, elapsedMs: 60_000 + idleMs, idleMs }).split("ETA ")[1];
  assertEquals(leftAfter(0), "4m 00s");
  assertEquals(leftAfter(30_000), "3m 30s");
  assertEquals(leftAfter(60_000), "4m 00s");
  assertEquals(leftAfter(120_000), "8m 00s");
});

Deno.test("formatLine() says times in two units", () => {
  const timeOf = (seconds: number) =>
    format({ elapsedMs: seconds * 1000 + 999, total: undefined })
      .split(" | ")[3];
  const seconds = [0, 59, 60, 3599, 3600, 360_060];
  assertEquals(seconds.map(timeOf), [
    "0s",
    "59s",
    "1m 00s",
    "59m 59s",
    "1h 00m",
    "100h 01m",
  ]);
});

Deno.test("formatLine() draws a bar in what is left of the width", () => {
  const barOf = (width: number) =>
    format({ done: 5, elapsedMs: 1000 }, width).split(" ")[0];
  assertEquals(barOf(200), "#".repeat(12) + ".".repeat(12));
  assertEquals(barOf(65).length, 14);
  assertEquals(barOf(40), "50%");
  assertEquals(
    format({ total: 0, isOver: true }, 80).split(" ")[0],
    "#".repeat(24),
  );
});
