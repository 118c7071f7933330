import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { MOST_WEIGHT, Sampler } from "../_sampler.ts";

/** Takes tasks that come every `everyMs`; returns their weights. */
function weightsOf(tasks: number, everyMs: number, sampler = clocked()) {
  return Array.from({ length: tasks }, () => {
    sampler.now += everyMs;
    return sampler.take();
  });
}

/** A sampler whose clock stands still but for `now`. */
function clocked(): { now: number; looks: number; take(): number } {
  const clock = { now: 1e12, looks: 0, take: () => sampler.take() };
  const sampler = new Sampler(() => {
    clock.looks++;
    return clock.now;
  });
  return clock;
}

function count(weights: readonly number[]): number {
  return weights.filter((weight) => weight > 0).length;
}

function sum(weights: readonly number[]): number {
  return weights.reduce((a, b) => a + b, 0);
}

Deno.test("Sampler.take() times every task when they come slowly", () => {
  assertEquals(sum(weightsOf(10_000, 1)), 10_000);
  assertEquals(count(weightsOf(10_000, 0.25)), 10_000);
});

Deno.test("Sampler.take() times each of a thousand tasks that come at once", () => {
  assertEquals(count(weightsOf(999, 0)), 999);
});

Deno.test("Sampler.take() times a thousand at once again when time has passed", () => {
  const sampler = clocked();
  weightsOf(100_000, 1e-3, sampler);
  sampler.now += 1_000;
  const weights = weightsOf(2_000, 0, sampler);
  // what is left of the last gap comes first
  const first = weights.findIndex((weight) => weight > 0) + 1;
  assertEquals(count(weights.slice(first, first + 900)), 900);
});

Deno.test("Sampler.take() times about 5,000 tasks a second when they come fast", () => {
  const timed = count(weightsOf(1_000_000, 0.01)); // 10 s
  assert(timed > 15_000 && timed < 60_000, `${timed} in 10 s`);
});

Deno.test("Sampler.take() times at least one of 511 tasks, however fast they come", () => {
  let since = 0, longest = 0;
  for (const weight of weightsOf(100_000, 1e-6)) {
    if (weight > 0) since = 0;
    else longest = Math.max(longest, ++since);
  }
  assert(longest < 2 * MOST_WEIGHT - 1, `${longest} in a row were not timed`);
});

Deno.test("Sampler.take() has weights that add up to the tasks", () => {
  for (const everyMs of [0, 1e-4, 1e-3, 0.01, 0.05, 0.15, 1]) {
    const tasks = 500_000;
    // of the largest weight there are 2,000: a deviation of 1.3 %
    assertAlmostEquals(sum(weightsOf(tasks, everyMs)), tasks, tasks * 0.08);
  }
});

Deno.test("Sampler.take() looks at the clock for tasks that are timed alone", () => {
  const sampler = clocked();
  assertEquals(count(weightsOf(10_000, 1e-3, sampler)), sampler.looks);
});
