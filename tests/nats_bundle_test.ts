/**
 * The rows of a bundle on a node, with a pool and a port that tests move step by step.
 *
 * @module
 */

import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { Bundle, type BundlePort, type RowEnd } from "../_nats_bundle.ts";
import type { LocalCall, LocalPool } from "../_nats_local.ts";
import type { Outcome } from "../_nats_task.ts";
import { CancelledError, Future } from "../mod.ts";

/** Later than any bundle may take. */
const LATE_MS = 1_000;

/** A pool whose futures the test settles. */
class HandPool {
  readonly futures: Future<Outcome>[] = [];
  readonly signals: AbortSignal[] = [];

  submit({ signal }: { signal: AbortSignal }): Future<Outcome> {
    const future = new Future<Outcome>();
    this.futures.push(future);
    this.signals.push(signal);
    return future;
  }

  start(...rows: number[]): void {
    for (const row of rows) this.futures[row].setRunningOrNotifyCancel();
  }

  /** Ends rows that run. */
  end(...rows: number[]): void {
    for (const row of rows) this.futures[row].setResult(outcomeOf(row));
  }

  /** Starts rows and ends them. */
  run(...rows: number[]): void {
    this.start(...rows);
    this.end(...rows);
  }
}

/** An outcome that is told from others by its time. */
function outcomeOf(row: number): Outcome {
  return [0, [0, "", 0, 0], row, row];
}

/** A port that notes what it is told; tests say when a promise of it resolves. */
class Notes implements BundlePort {
  readonly count: number;
  readonly notes: string[] = [];
  readonly errors = new Map<number, unknown>();
  /** What every telling waits for. */
  told: Promise<void> = Promise.resolve();

  constructor(count: number) {
    this.count = count;
  }

  callOf(row: number): LocalCall {
    return { definition: `${row}`, args: [0, "", 0, 0], isChunk: false };
  }

  tellTogether(ends: ReadonlyMap<number, RowEnd>): Promise<void> {
    const rows = [...ends].map(([row, end]) => this.#check(row, end));
    this.notes.push(`together ${rows.toSorted().join(" ")}`);
    return this.told;
  }

  tellOne(row: number, end: RowEnd): Promise<void> {
    this.notes.push(`one ${this.#check(row, end)}`);
    return this.told;
  }

  onLong(row: number): void {
    this.notes.push(`long ${row}`);
  }

  onLongEnd(): void {
    this.notes.push("long end");
  }

  passOn(row: number): Promise<void> {
    this.notes.push(`pass ${row}`);
    return this.told;
  }

  #check(row: number, end: RowEnd): number {
    if ("error" in end) this.errors.set(row, end.error);
    else assertEquals(end.outcome, outcomeOf(row));
    return row;
  }
}

/** What a test of a bundle has; time stands still but for `late`. */
interface Setting {
  readonly pool: HandPool;
  readonly port: Notes;
  readonly bundle: Bundle;
  /** Resolves when `run()` does. */
  readonly over: Promise<void>;
  isOver(): Promise<boolean>;
  /** Lets its time run out. */
  late(): Promise<void>;
}

function testBundle(
  name: string,
  rows: number,
  fn: (setting: Setting) => Promise<void>,
): void {
  Deno.test(name, async () => {
    using time = new FakeTime();
    const pool = new HandPool();
    const port = new Notes(rows);
    const bundle = new Bundle(port, pool as unknown as LocalPool);
    let isOver = false;
    const over = bundle.run().finally(() => isOver = true);
    over.catch(() => {}); // the test awaits it later
    await fn({
      pool,
      port,
      bundle,
      over,
      async isOver() {
        await time.runMicrotasks();
        return isOver;
      },
      late: () => time.tickAsync(LATE_MS),
    });
  });
}

testBundle(
  "Bundle tells all rows together when they are over in time",
  3,
  async ({ pool, port, over, late }) => {
    pool.run(0, 2);
    pool.start(1);
    pool.futures[1].setException(new RangeError("of 1"));
    await over;
    await late();
    assertEquals(port.notes, ["together 0 1 2"]);
    assertInstanceOf(port.errors.get(1), RangeError);
  },
);

testBundle(
  "Bundle parts when it is late: done, running and waiting rows go their own ways",
  4,
  async ({ pool, port, over, isOver, late }) => {
    pool.run(0);
    pool.start(1);
    await late();
    assertEquals(port.notes, ["long 1", "together 0", "pass 2", "pass 3"]);
    assertEquals(pool.futures.map((future) => future.cancelled()), [
      false,
      false,
      true,
      true,
    ]);
    assertEquals(await isOver(), false);
    pool.end(1);
    await over;
    assertEquals(port.notes.slice(4), ["one 1", "long end"]);
  },
);

testBundle(
  "Bundle tells nothing together when no row is done in time",
  2,
  async ({ pool, port, over, late }) => {
    pool.start(0);
    await late();
    pool.end(0);
    await over;
    assertEquals(port.notes, ["long 0", "pass 1", "one 0", "long end"]);
  },
);

testBundle(
  "Bundle is over only once all is told",
  3,
  async ({ pool, port, over, isOver, late }) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    port.told = promise;
    pool.run(0);
    pool.start(1);
    await late();
    pool.end(1);
    assertEquals(await isOver(), false);
    resolve();
    await over;
  },
);

testBundle(
  "Bundle rejects when something cannot be told",
  2,
  async ({ pool, port, over, late }) => {
    port.told = Promise.reject(new Error("gone"));
    port.told.catch(() => {});
    pool.run(0);
    pool.start(1);
    await late();
    pool.end(1);
    await assertRejects(() => over, Error, "gone");
  },
);

testBundle(
  "Bundle loses no row that ends while it is parted",
  4,
  async ({ pool, port, over, late }) => {
    pool.start(0, 1, 2);
    // To cancel a row of a pool may take in what others came to.
    const { cancel } = pool.futures[0];
    pool.futures[0].cancel = function () {
      pool.end(1);
      return cancel.call(this);
    };
    await late();
    assertEquals(port.notes, ["long 0", "long 2", "together 1", "pass 3"]);
    pool.end(0, 2);
    await over;
    assertEquals(port.notes.slice(4), [
      "one 0",
      "long end",
      "one 2",
      "long end",
    ]);
  },
);

testBundle(
  "Bundle tells a row once that is found running and ends while it is parted",
  3,
  async ({ pool, port, over, late }) => {
    pool.start(0, 1);
    const { cancel } = pool.futures[1];
    pool.futures[1].cancel = function () {
      pool.end(0);
      return cancel.call(this);
    };
    await late();
    pool.end(1);
    await over;
    assertEquals(port.notes.toSorted(), [
      "long 0",
      "long 1",
      "long end",
      "long end",
      "one 0",
      "one 1",
      "pass 2",
    ]);
  },
);

testBundle(
  "Bundle tells a row once that ends as it is asked for while it is parted",
  2,
  async ({ pool, port, over, late }) => {
    pool.start(0, 1);
    const { cancel } = pool.futures[1];
    pool.futures[1].cancel = function () {
      pool.end(1);
      return cancel.call(this);
    };
    await late();
    pool.end(0);
    await over;
    assertEquals(port.notes, ["long 0", "together 1", "one 0", "long end"]);
  },
);

testBundle(
  "Bundle.stop() ends a row of which nothing is told, as its caller has told it",
  3,
  async ({ pool, port, bundle, over }) => {
    pool.run(0);
    pool.start(1);
    bundle.stop(1);
    assertEquals(pool.signals.map(({ aborted }) => aborted), [
      false,
      true,
      false,
    ]);
    pool.futures[1].setException(new CancelledError("stopped"));
    pool.run(2);
    await over;
    assertEquals(port.notes, ["together 0 2"]);
  },
);

testBundle(
  "Bundle.stop() of a row that runs for long gives its slot back",
  2,
  async ({ pool, port, bundle, over, late }) => {
    pool.start(0);
    await late();
    assertEquals([...bundle.long], [0]);
    bundle.stop(0);
    pool.futures[0].setException(new CancelledError("stopped"));
    await over;
    assertEquals(port.notes, ["long 0", "pass 1", "long end"]);
    assertEquals([...bundle.long], []);
  },
);

testBundle(
  "Bundle tells of a CancelledError that a row threw by itself",
  1,
  async ({ pool, port, over }) => {
    pool.start(0);
    pool.futures[0].setException(new CancelledError("of its own"));
    await over;
    assertEquals(port.notes, ["together 0"]);
    assertInstanceOf(port.errors.get(0), CancelledError);
  },
);
