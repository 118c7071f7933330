/**
 * How functions travel to threads: the contract of both pools, and what threads alone can do.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { ThreadPoolExecutor } from "../mod.ts";
import { testForms } from "./_harness.ts";
import { testTravelChanges } from "./_travel_changes_contract.ts";
import { testTravel } from "./_travel_contract.ts";

testTravelChanges(
  "ThreadPoolExecutor",
  (options) => new ThreadPoolExecutor(options),
);
testTravel("ThreadPoolExecutor", (options) => new ThreadPoolExecutor(options));

testForms(
  "ThreadPoolExecutor.submit() shares a SharedArrayBuffer that a function has captured",
  async ({ form, own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 2 }));
    const memory = new SharedArrayBuffer(8);
    const counts = new Int32Array(memory);
    const count = (index: number) => Atomics.add(counts, index, 1);
    const futures = [0, 1, 0, 1].map((index) => pool.submit(count, index));
    for (const future of futures) await form.result(future);
    assertEquals([...counts], [2, 2]);
    const isOne = () => counts.buffer === memory;
    assertEquals(await form.result(pool.submit(isOne)), true);
    const { values } = await form.collect(pool.map(count, [0, 0, 0]));
    // which of the two workers comes first is not given
    assertEquals([values.toSorted(), [...counts]], [[2, 3, 4], [5, 2]]);
  },
);

testForms(
  "ThreadPoolExecutor.submitWith() moves a captured ArrayBuffer that transfer names",
  async ({ form, own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const buffer = new Uint8Array([1, 2, 3]).buffer;
    const sum = () => new Uint8Array(buffer).reduce((a, b) => a + b);
    const future = pool.submitWith({ transfer: [buffer] }, sum);
    assertEquals(buffer.detached, true);
    assertEquals(await form.result(future), 6);
  },
);

testForms(
  "ThreadPoolExecutor.submitWith() moves a captured MessagePort that transfer names",
  async ({ form, own }) => {
    const pool = own(new ThreadPoolExecutor({ maxWorkers: 1 }));
    const { port1, port2 } = new MessageChannel();
    const received = Promise.withResolvers<unknown>();
    port1.onmessage = ({ data }) => received.resolve(data);
    const send = (text: string) => port2.postMessage(text);
    try {
      await form.result(pool.submitWith({ transfer: [port2] }, send, "sent"));
      assertEquals(await received.promise, "sent");
    } finally {
      port1.close();
    }
  },
);
