import { assert, assertEquals, assertThrows } from "@std/assert";
import { liveWorkers } from "./_leaks.ts";
import { explore, ScheduleError } from "./_schedule.ts";
import { SCENARIOS } from "./_schedule_scenarios.ts";

const TIMEOUT_MS = 300_000;

/** Executions of a whole pool in an order drawn by lot, beyond those with few switches. */
const BY_LOT = 300;

/** What the explorer says of the mistakes that were planted. */
const FINDINGS: { readonly [name: string]: string } = {
  "planted: a sleeper that looks before it announces itself":
    "nobody wakes worker",
  "planted: an owner who wakes before he publishes": "nobody wakes worker",
  "planted: a loss of a worker after which nobody is woken":
    "nobody wakes other",
  "planted: a pool that wakes nobody when it loses a worker":
    "nobody wakes owner and",
  "planted: an owner who does not look again before he waits":
    "nobody wakes owner",
  "planted: a worker that takes a task without comparing":
    "the outcome is wrong",
  "planted: an owner who changes a place that is not past HEAD":
    "the outcome is wrong",
  "planted: an owner who looks whether mail is open, and then posts":
    "the outcome is wrong",
  "planted: a writer that shows a message before it is there":
    "the outcome is wrong",
};

for (const name of Object.keys(SCENARIOS)) {
  const finding = FINDINGS[name];
  Deno.test(`schedules of ${name}`, { timeout: TIMEOUT_MS }, () => {
    if (finding !== undefined) {
      assertThrows(() => explore(name), ScheduleError, finding);
    } else {
      const { complete, isExhausted } = explore(name);
      assert(isExhausted);
      assert(complete > 1);
    }
    assertEquals(liveWorkers(), 0);
  });
}

for (const name of Object.keys(SCENARIOS)) {
  if (!name.startsWith("pool:")) continue;
  Deno.test(`schedules by lot of ${name}`, { timeout: TIMEOUT_MS }, () => {
    const seed = 1 + Math.floor(Math.random() * 1e9);
    try {
      explore(name, { random: { executions: BY_LOT, seed } });
    } catch (error) {
      throw new Error(`Cannot pass with seed ${seed}`, { cause: error });
    }
    assertEquals(liveWorkers(), 0);
  });
}

Deno.test("every planted mistake is named in a scenario", () => {
  const planted = Object.keys(SCENARIOS)
    .filter((name) => name.startsWith("planted:"));
  assertEquals(planted.sort(), Object.keys(FINDINGS).sort());
});
