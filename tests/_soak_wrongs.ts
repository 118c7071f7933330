/**
 * What can go wrong with the tasks of a pool, made by hand for the soak's accounts, and what they must
 * say of it.
 *
 * @module
 */

import { BrokenThreadPool, CancelledError, Future } from "../mod.ts";
import type { Call } from "./_soak_account.ts";
import { isId } from "./_soak_kinds.ts";
import { Ledger } from "./_soak_ledger.ts";

/** The accounts of a pool that is not there. */
export interface Books {
  readonly ledger: Ledger;
  readonly violations: string[];
  /** Takes in a task with the next number. */
  take(rules?: Partial<Call>, future?: Future<unknown>): Future<unknown>;
  /** Lets promises settle, and closes; each task ran as often as is said here. */
  close(...runs: number[]): Promise<void>;
}

/** Opens accounts for futures that are made by hand. */
export function openBooks(mayBreak = false): Books {
  const violations: string[] = [];
  const ledger = new Ledger({
    name: "test",
    Broken: BrokenThreadPool,
    mayBreak,
    violations,
  });
  let ids = 0;
  return {
    ledger,
    violations,
    take(rules, future = new Future()) {
      ledger.take({ kind: "any", id: ids++, value: isId, ...rules }, future);
      return future;
    },
    async close(...runs) {
      // INVARIANT: promises of futures that are done settle within one turn
      await new Promise((resolve) => setTimeout(resolve));
      ledger.close(new Map(runs.entries().filter(([, count]) => count > 0)));
    },
  };
}

/** Has a task return. */
export function finish(future: Future<unknown>, value: unknown): void {
  future.setRunningOrNotifyCancel();
  future.setResult(value);
}

/** Has a task fail. */
export function fail(future: Future<unknown>, error: unknown): void {
  future.setRunningOrNotifyCancel();
  future.setException(error);
}

/** The error of a task whose worker died. */
export const LOST = new BrokenThreadPool("as the worker died");
/** The error of all that was pending in a broken pool. */
export const BROKEN = new BrokenThreadPool("as the pool is broken");

/** A future that calls its callbacks as often as it is told to. */
class OddFuture extends Future<unknown> {
  readonly #calls: number;

  constructor(calls: number) {
    super();
    this.#calls = calls;
  }

  override addDoneCallback(fn: (future: Future<unknown>) => void): void {
    super.addDoneCallback((future) => {
      for (let i = 0; i < this.#calls; i++) fn(future);
    });
  }
}

/** A future that tells another value each time. */
class FickleFuture extends Future<unknown> {
  #asked = 0;

  override resultSync(): unknown {
    return this.#asked++;
  }
}

/** What goes wrong, how often its tasks ran, and what must be said of it. */
export const WRONGS: {
  name: string;
  act(books: Books): unknown;
  runs: number[];
  said: RegExp;
}[] = [
  {
    name: "a task comes to no end",
    act: ({ take }) => take(),
    runs: [1],
    said: /any 0: was lost: no end to it/,
  },
  {
    name: "a shutdown leaves a task pending",
    act({ ledger, take }) {
      const future = take();
      ledger.checkAllDone();
      finish(future, 0);
    },
    runs: [1],
    said: /any 0: shutdown\(\) ended, and it is not done/,
  },
  {
    name: "a value is wrong",
    act: ({ take }) => finish(take(), 1),
    runs: [1],
    said: /any 0: must return 0/,
  },
  {
    name: "a task returns that never may",
    act: ({ take }) => finish(take({ value: undefined }), 0),
    runs: [1],
    said: /any 0: must never return/,
  },
  {
    name: "a task fails that never may",
    act: ({ take }) => fail(take(), new RangeError("odd")),
    runs: [1],
    said: /any 0: must throw nothing of its own: .*odd/s,
  },
  {
    name: "an error is wrong",
    act: ({ take }) =>
      fail(take({ error: () => "must be another" }), new RangeError()),
    runs: [1],
    said: /any 0: must be another/,
  },
  {
    name: "a task finishes that never ran",
    act: ({ take }) => finish(take(), 0),
    runs: [0],
    said: /any 0: finished .* must have run 1 to 1 times: 0/,
  },
  {
    name: "a task runs twice",
    act: ({ take }) => finish(take(), 0),
    runs: [2],
    said: /any 0: finished .* must have run 1 to 1 times: 2/,
  },
  {
    name: "a task runs twice, then is lost with its worker",
    act: ({ take }) => fail(take({ isDeadly: true }), LOST),
    runs: [2],
    said: /any 0: lost .* must have run 0 to 1 times: 2/,
  },
  {
    name: "a cancelled task runs",
    act: ({ ledger, take }) => {
      take();
      ledger.cancel(ledger.pending[0]);
    },
    runs: [1],
    said: /any 0: cancelled .* must have run 0 to 0 times: 1/,
  },
  {
    name: "a task is cancelled by nobody",
    act: ({ take }) => fail(take(), new CancelledError()),
    runs: [0],
    said: /any 0: must throw nothing of its own/,
  },
  {
    name: "a task is cancelled with the pool, which was not told to",
    act({ take }) {
      const future = take();
      future.cancel();
    },
    runs: [0],
    said: /any 0: nobody has cancelled it/,
  },
  {
    name: "a stopped task has another cause than its signal's reason",
    act({ take }) {
      const future = take({ signal: AbortSignal.abort("because") });
      future.cancel();
    },
    runs: [0],
    said: /any 0: .* the signal's reason as its cause/,
  },
  {
    name: "more tasks are lost than workers died",
    act({ take }) {
      fail(take({ isDeadly: true }), LOST);
      fail(take(), LOST);
    },
    runs: [1, 1],
    said: /1 deaths cost 2 tasks/,
  },
  {
    name: "tasks fail with a broken pool that nothing broke",
    act: ({ take }) => fail(take(), BROKEN),
    runs: [0],
    said: /broken pool that nothing broke/,
  },
  {
    name: "a pool refuses tasks as broken that nothing broke",
    act: ({ ledger }) => ledger.wasBroken = true,
    runs: [],
    said: /broken pool that nothing broke/,
  },
  {
    name: "a task runs that nobody submitted",
    act: ({ take }) => finish(take(), 0),
    runs: [1, 1],
    said: /task 1 ran and was never taken in/,
  },
  {
    name: "a callback is never called",
    act: ({ take }) => finish(take({}, new OddFuture(0)), 0),
    runs: [1],
    said: /any 0: its callback was called 0 times/,
  },
  {
    name: "a callback is called twice",
    act: ({ take }) => finish(take({}, new OddFuture(2)), 0),
    runs: [1],
    said: /any 0: its callback was called 2 times/,
  },
  {
    name: "a cancelled task's callback is not called",
    act({ ledger, take }) {
      take({}, new OddFuture(0));
      ledger.cancel(ledger.pending[0]);
    },
    runs: [0],
    said: /any 0: cancel\(\) must call its callback once: 0/,
  },
  {
    name: "promise and callback tell different things",
    act: ({ take }) => finish(take({}, new FickleFuture()), 0),
    runs: [1],
    said: /any 0: its promise and its state must tell the same/,
  },
  {
    name: "a row of map comes twice",
    act({ ledger }) {
      const account = ledger.open({ kind: "map", id: 0, value: isId });
      ledger.settle(account, { state: "finished", value: 0 });
      ledger.settle(account, { state: "finished", value: 0 });
    },
    runs: [1],
    said: /map 0: ended twice/,
  },
];
