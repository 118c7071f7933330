import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { Sampler } from "../_sampler.ts";

/** Tasks from one look at the clock to the next, at the most. */
const LONGEST_GAP = 31;

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
  const first = weights.findIndex((weight) => weight > 0);
  assert(first < LONGEST_GAP, `${first} were not timed`);
  assertEquals(count(weights.slice(first, first + 900)), 900);
});

Deno.test("Sampler.take() times about 5,000 tasks a second when they come fast", () => {
  const timed = count(weightsOf(1_000_000, 0.01)); // 10 s
  assert(timed > 45_000 && timed < 55_000, `${timed} in 10 s`);
});

Deno.test("Sampler.take() has weights that add up to the tasks", () => {
  // The deviation is largest for the fastest: 0.9 %.
  for (const everyMs of [1e-3, 0.01, 0.05, 0.15, 1]) {
    const tasks = 500_000;
    const total = sum(weightsOf(tasks, everyMs));
    assertAlmostEquals(total, tasks, tasks * 0.08, `every ${everyMs} ms`);
  }
});

Deno.test("Sampler.take() times every task again soon, each for itself, when a burst is over", () => {
  const sampler = clocked();
  weightsOf(100_000, 1e-3, sampler);
  const weights = weightsOf(1_000, 20, sampler);
  const first = weights.findIndex((weight) => weight > 0);
  assert(first < LONGEST_GAP, `${first} were not timed`);
  assertEquals([...new Set(weights.slice(first))], [1]);
});

Deno.test("Sampler.take() looks at the clock once in 16 tasks when they come fast", () => {
  const sampler = clocked();
  weightsOf(10_000, 1e-6, sampler); // its credit is used up
  sampler.looks = 0;
  weightsOf(100_000, 1e-6, sampler);
  assertAlmostEquals(sampler.looks, 100_000 / 16, 600);
});

Deno.test("Sampler.take() goes on when its clock goes back", () => {
  const sampler = clocked();
  weightsOf(5_000, 0, sampler);
  sampler.now -= 3_600_000;
  assert(count(weightsOf(10_000, 1, sampler)) > 9_900);
});
