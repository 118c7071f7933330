/**
 * What does it cost to submit a function of each kind, beside a task reference,
 * and a closure, beside what takes its place elsewhere: a function of the
 * worker's file that is given the value as an argument?
 *
 * Expected: of functions that capture nothing, all kinds cost the same, within
 * 1 µs a call, as what was decided is kept. `map` captures a closure once, so that
 * it costs what any function does: with one number a task above bare Workers,
 * with chunks below them, as they send an array as it is. A new closure at each
 * `submit` loses to all others by far: to look at what it has captured takes
 * some 0.1 ms, so that 5,000 a second are submitted. The same closure again
 * costs what the encoding of its values does, unless its variables may change:
 * then it is looked at each time. The first `submit` of a process needs a
 * process, and an arrow function with `this` takes long: both are in
 * `targets.ts`.
 *
 * Last numbers: 2 cores of a virtual machine, x86-64 Linux, Deno 2.9.6,
 * 2026-11-21: see docs/threads_or_processes.md.
 *
 * @module
 */

import {
  addByArguments,
  BURST,
  mapByArguments,
  mapClosure,
  openSides,
  reference,
  stopSides,
  submitAll,
  submitClosures,
} from "./_travel_targets.ts";
import {
  alone,
  byReference,
  makeAdder,
  makeCounting,
  STEP,
  withGlobal,
} from "./_travel_tasks.ts";

const TASKS = 10_000;
const NUMBERS = Array.from({ length: 20_000 }, (_, i) => i);

const sides = await openSides();
globalThis.addEventListener("unload", () => {
  stopSides(sides);
});

/** Benches ways to do the same work; the first is the baseline. */
function benchWays(
  group: string,
  ways: readonly (readonly [name: string, run: () => Promise<unknown>])[],
): void {
  for (const [name, run] of ways) {
    Deno.bench({
      name,
      group,
      baseline: name === ways[0][0],
      n: 10,
      warmup: 3,
      async fn() {
        await run();
      },
    });
  }
}

for (const { workers, pool, peers } of sides) {
  const adder = makeAdder(STEP);
  const { add: counting, raise } = makeCounting();
  raise();

  benchWays(`${workers}, ${TASKS} tasks that capture nothing`, [
    ["task reference", () => submitAll(pool, reference, TASKS)],
    ["self-contained", () => submitAll(pool, alone, TASKS)],
    ["with a global name", () => submitAll(pool, withGlobal, TASKS)],
    ["by reference", () => submitAll(pool, byReference, TASKS)],
  ]);

  benchWays(`${workers}, ${BURST} closures submitted`, [
    ["self-contained, no closure", () => submitAll(pool, alone, BURST)],
    ...peers.map((peer) =>
      [
        `${peer.name}, by arguments`,
        () => addByArguments(peer, BURST),
      ] as const
    ),
    ["a new one each time", () => submitClosures(pool, BURST, makeAdder)],
    ["the same one", () => submitAll(pool, adder, BURST)],
    [
      "the same one, its variable changes",
      () => submitAll(pool, counting, BURST),
    ],
  ]);

  for (const chunkSize of [1, 100]) {
    benchWays(
      `${workers}, map of ${NUMBERS.length} numbers, ${chunkSize} a task`,
      [
        ...peers.map((peer) =>
          [
            `${peer.name}, by arguments`,
            () => mapByArguments(peer, NUMBERS, chunkSize),
          ] as const
        ),
        ["a closure", () => mapClosure(pool, NUMBERS, chunkSize)],
      ],
    );
  }
}
