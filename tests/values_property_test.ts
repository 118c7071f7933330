/**
 * Random graphs of values through both pools, against structured clone. A value that comes out
 * different is printed with the seed and the path that make it again.
 *
 * @module
 */

import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import { decodeValue, encodeValue } from "../_codec.ts";
import {
  type Executor,
  type Future,
  importTasks,
  ProcessPoolExecutor,
  SerializationError,
  ThreadPoolExecutor,
} from "../mod.ts";
import { anyGraph, sendableGraph } from "./_any_value.ts";
import { testPool } from "./_harness.ts";
import { testProcesses } from "./_process_tasks.ts";
import { expectedOf, type Graph, makeValue } from "./_value_graph.ts";
import { assertSameValue } from "./_values.ts";

const tasks = importTasks<typeof import("./_value_tasks.ts")>(
  import.meta.resolve("./_value_tasks.ts"),
);

const POOLS = [
  { name: "ThreadPoolExecutor", Pool: ThreadPoolExecutor, test: testPool },
  {
    name: "ProcessPoolExecutor",
    Pool: ProcessPoolExecutor,
    test: testProcesses,
  },
];

/** A task: returns what it is given. */
function echo<T>(value: T): T {
  return value;
}

/** What is to come of a value; `undefined` where structured clone refuses it. */
function outcomeOf(graph: Graph): { value: unknown } | undefined {
  try {
    return { value: expectedOf(graph) };
  } catch (error) {
    assertInstanceOf(error, DOMException);
    return undefined;
  }
}

/** Asserts that a future comes to what is expected, or that it is refused where nothing is. */
async function check(
  future: Future<unknown>,
  expected: { value: unknown } | undefined,
): Promise<void> {
  if (expected === undefined) {
    await assertRejects(() => future.result(), SerializationError);
  } else assertSameValue(await future, expected.value);
}

/** What a future's task threw, in an object that tells it from nothing. */
function thrownBy(future: Future<unknown>): Promise<{ value: unknown }> {
  return future.then(
    (value) => Promise.reject(new Error(`returned ${Deno.inspect(value)}`)),
    (value) => ({ value }),
  );
}

Deno.test("encodeValue() brings back what structuredClone() gives of any graph, or refuses it", () => {
  fc.assert(
    fc.property(anyGraph, (graph) => {
      const expected = outcomeOf(graph);
      const value = makeValue(graph);
      if (expected === undefined) {
        assertThrows(() => roundTrip(value), SerializationError);
      } else assertSameValue(roundTrip(value), expected.value);
    }),
    { numRuns: 10_000 },
  );
});

function roundTrip(value: unknown): unknown {
  const payload = encodeValue(value, { canMove: true }, "it");
  const buffers = payload.buffers.map((buffer) => buffer.slice());
  return decodeValue(payload.format, payload.text, buffers, [
    ...payload.moved,
  ]);
}

for (const { name, Pool, test } of POOLS) {
  // Registers a test in which a property holds for each of so many values.
  const testProperty = <T>(
    what: string,
    numRuns: number,
    values: fc.Arbitrary<T>,
    holds: (pool: Executor, value: T) => Promise<void>,
  ) =>
    test(`${name} ${what}`, async ({ own }) => {
      const pool = own(new Pool({ maxWorkers: 1 }));
      await fc.assert(
        fc.asyncProperty(values, (value) => holds(pool, value)),
        { numRuns },
      );
      assertEquals(await pool.submit(echo, "good"), "good");
    });

  testProperty(
    "brings any argument and result through as structuredClone() does, or refuses it",
    10_000,
    anyGraph,
    (pool, graph) =>
      check(pool.submit(echo, makeValue(graph)), outcomeOf(graph)),
  );

  testProperty(
    "brings any argument and result through when it is blocked for",
    2_000,
    sendableGraph,
    (pool, graph) => {
      const result = pool.submit(echo, makeValue(graph)).resultSync();
      return Promise.resolve(assertSameValue(result, expectedOf(graph)));
    },
  );

  testProperty(
    "has in the worker what structuredClone() gives of any argument",
    1_000,
    sendableGraph,
    async (pool, graph) => {
      await pool.submit(tasks.checkGraph, graph, makeValue(graph));
    },
  );

  testProperty(
    "brings any result of a worker through, or refuses it",
    2_000,
    anyGraph,
    (pool, graph) => {
      const expected = outcomeOf(graph);
      return check(
        pool.submit(tasks.makeGraph, graph),
        expected && { value: expected },
      );
    },
  );

  testProperty(
    "brings through whatever is thrown",
    2_000,
    sendableGraph,
    async (pool, graph) => {
      const thrown = await thrownBy(pool.submit(tasks.throwGraph, graph));
      assertSameValue(thrown.value, expectedOf(graph));
    },
  );

  testProperty(
    "brings any values through map(), in chunks of any size",
    300,
    fc.record({
      graphs: fc.array(sendableGraph, { maxLength: 20 }),
      chunkSize: fc.integer({ min: 1, max: 21 }),
    }),
    async (pool, { graphs, chunkSize }) => {
      const values = graphs.map(makeValue);
      let i = 0;
      for await (const value of pool.map(echo, values, { chunkSize })) {
        assertSameValue(value, expectedOf(graphs[i++]));
      }
      assertEquals(i, graphs.length);
    },
  );

  testProperty(
    "brings any value that a function has captured through",
    300,
    sendableGraph,
    async (pool, graph) => {
      const captured = makeValue(graph);
      const result = await pool.submit(() => captured);
      assertSameValue(result, expectedOf(graph));
    },
  );
}
