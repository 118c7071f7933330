import { assertAlmostEquals, assertEquals } from "@std/assert";
import { TimeHistogram } from "../_histogram.ts";

Deno.test("TimeHistogram.summarize() is all 0 when nothing was recorded", () => {
  const stats = new TimeHistogram().summarize();
  assertEquals([...new Set(Object.values(stats))], [0]);
});

Deno.test("TimeHistogram.summarize() is right within 1 %", () => {
  const histogram = new TimeHistogram();
  for (let ms = 1; ms <= 1_000; ms++) histogram.record(ms);
  const { count, mean, min, p50, p90, p99, max } = histogram.summarize();
  assertEquals(count, 1_000);
  for (
    const [actual, expected] of [
      [mean, 500.5],
      [min, 1],
      [p50, 500],
      [p90, 900],
      [p99, 990],
      [max, 1_000],
    ]
  ) assertAlmostEquals(actual, expected, expected * 0.011);
});

Deno.test("TimeHistogram.record() takes any time, from none to beyond a day", () => {
  const histogram = new TimeHistogram();
  for (const ms of [0, 1e-9, 86_400e3, 1e12]) histogram.record(ms);
  const { count, min, max } = histogram.summarize();
  assertEquals(count, 4);
  assertEquals(min, 0.001);
  assertAlmostEquals(max, 86_400e3, 86_400e3 * 0.011);
});

Deno.test("TimeHistogram.record() counts a value as often as its weight says", () => {
  const weighted = new TimeHistogram(), plain = new TimeHistogram();
  for (const [ms, weight] of [[1, 64], [2, 16], [30, 4], [400, 1], [5, 1]]) {
    weighted.record(ms, weight);
    for (let i = 0; i < weight; i++) plain.record(ms);
  }
  const { count, ...rest } = weighted.summarize();
  const { count: total, ...expected } = plain.summarize();
  assertEquals([count, total], [5, 86]);
  assertEquals(rest, expected);
});
