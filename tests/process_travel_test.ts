/**
 * How functions travel to processes: the contract of both pools, and what processes refuse.
 *
 * @module
 */

import { assertEquals, assertInstanceOf, assertMatch } from "@std/assert";
import { ProcessPoolExecutor, SerializationError } from "../mod.ts";
import { testProcessForms } from "./_process_tasks.ts";
import { testTravelChanges } from "./_travel_changes_contract.ts";
import { testTravel } from "./_travel_contract.ts";

testTravelChanges(
  "ProcessPoolExecutor",
  (options) => new ProcessPoolExecutor(options),
);
testTravel(
  "ProcessPoolExecutor",
  (options) => new ProcessPoolExecutor(options),
);

testProcessForms(
  "ProcessPoolExecutor.submit() fails, naming the variable, when a function has captured shared memory",
  async ({ form, own }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
    const counts = new Int32Array(new SharedArrayBuffer(8));
    const count = () => counts[0]++;
    const error = await form.exception(pool.submit(count));
    assertInstanceOf(error, SerializationError);
    assertMatch(
      error.message,
      /"counts.*" captured by "count" holds a SharedArrayBuffer/,
    );
    assertEquals(await form.result(pool.submit(Math.abs, -1)), 1);
  },
);

testProcessForms(
  "ProcessPoolExecutor.submit() runs a function with what it captured in another process",
  async ({ form, own }) => {
    const pool = own(new ProcessPoolExecutor({ maxWorkers: 1 }));
    const mine = Deno.pid;
    const isElsewhere = () => Deno.pid !== mine;
    assertEquals(await form.result(pool.submit(isElsewhere)), true);
  },
);
