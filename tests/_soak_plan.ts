/**
 * What the soak plans at random for each generation of a pool: its options, its tasks, its end.
 *
 * @module
 */

import {
  BrokenProcessPool,
  BrokenThreadPool,
  type Executor,
  ProcessPoolExecutor,
  ThreadPoolExecutor,
} from "../mod.ts";
import { FAILING } from "./_soak_failures.ts";
import { type Kind, type PoolName, RETURNING } from "./_soak_kinds.ts";
import type { Ledger } from "./_soak_ledger.ts";
import type { Random } from "./_soak_random.ts";
import { failToPrepare, prepare, prepareLater } from "./_soak_tasks.ts";
import { TOGETHER } from "./_soak_waits.ts";

/** Most tasks of a generation, and a few more where the last are a `map`. */
export const MOST_TASKS = 20_000;
const LONGEST_MS = 6_000;

/**
 * In a pool that breaks by one death most generations would be over at once; and where slow tasks
 * come as often as ever, none would see many.
 */
const RARE = 0.1;

/** How a pool is ended. */
export interface Ending {
  readonly name: string;
  readonly only?: PoolName;
  /** Whether it cancels what has not started. */
  readonly cancels?: boolean;
  /** Whether it fails all that is pending. */
  readonly terminates?: boolean;
  end(pool: Executor): unknown;
}

const ENDINGS: readonly Ending[] = [
  { name: "shutdown", end: (pool) => pool.shutdown() },
  {
    name: "shutdown, cancelFutures",
    cancels: true,
    end: (pool) => pool.shutdown({ cancelFutures: true }),
  },
  { name: "shutdownSync", end: (pool) => pool.shutdownSync() },
  {
    name: "shutdownSync, cancelFutures",
    cancels: true,
    end: (pool) => pool.shutdownSync({ cancelFutures: true }),
  },
  {
    name: "shutdown without waiting, then dispose",
    end: async (pool) => {
      await pool.shutdown({ wait: false });
      await pool[Symbol.asyncDispose]();
    },
  },
  { name: "blocking dispose", end: (pool) => pool[Symbol.dispose]() },
  {
    name: "terminateWorkers",
    only: "process",
    terminates: true,
    end: (pool) => {
      (pool as ProcessPoolExecutor).terminateWorkers();
      return pool.shutdown();
    },
  },
  {
    name: "killWorkers",
    only: "process",
    terminates: true,
    end: (pool) => {
      (pool as ProcessPoolExecutor).killWorkers();
      return pool.shutdown();
    },
  },
];

/** What is to happen to one pool. */
export interface Plan {
  readonly name: PoolName;
  readonly Broken: typeof BrokenThreadPool | typeof BrokenProcessPool;
  readonly onWorkerDeath: "replace" | "break";
  /** What its initializer is given, if it has one. */
  readonly prepared: number | undefined;
  /** Whether its initializer throws. */
  readonly isUnfit: boolean;
  readonly kinds: readonly Kind[];
  readonly ending: Ending;
  /** How long, and with how many tasks. */
  readonly ms: number;
  readonly mostTasks: number;
  /** Whether its workers are killed from outside. */
  readonly hasKiller: boolean;
  /** For messages. */
  readonly text: string;
  create(): Executor;
}

const KINDS = [...RETURNING, ...FAILING, ...TOGETHER];

/** Plans a generation. */
export function makePlan(name: PoolName, random: Random): Plan {
  const isOf = ({ only }: { only?: PoolName }) =>
    only === undefined || only === name;
  const onWorkerDeath = random.chance(0.75) ? "replace" : "break";
  const maxWorkers = random.whole(1, 4);
  const prepared = random.chance(0.5) ? random.whole(1, 1e9) : undefined;
  const isUnfit = prepared !== undefined && random.chance(0.05);
  const initializer = isUnfit
    ? failToPrepare
    : random.pick([prepare, prepareLater]);
  const maxTasksPerChild = random.chance(0.3)
    ? random.whole(1, 300)
    : undefined;
  const ending = random.pick(ENDINGS.filter(isOf));
  const ms = random.whole(300, LONGEST_MS);
  const mostTasks = random.whole(MOST_TASKS / 20, MOST_TASKS);
  const hasKiller = name === "process" &&
    random.chance(onWorkerDeath === "replace" ? 0.7 : 0.2);
  const isQuick = random.chance(0.6);
  const isThread = name === "thread";
  const options = {
    maxWorkers,
    onWorkerDeath,
    ...(prepared === undefined ? {} : { initializer, initArgs: [prepared] }),
    ...(isThread ? {} : { maxTasksPerChild }),
  } as const;
  return {
    name,
    Broken: isThread ? BrokenThreadPool : BrokenProcessPool,
    onWorkerDeath,
    prepared,
    isUnfit,
    kinds: KINDS.filter(isOf).map((kind) => ({
      ...kind,
      weight: kind.weight *
        (kind.isDeadly && onWorkerDeath === "break" ? RARE : 1) *
        (kind.isSlow && isQuick ? RARE : 1),
    })),
    ending,
    ms,
    mostTasks,
    hasKiller,
    text: `${
      Deno.inspect(options, { breakLength: Infinity, compact: true })
    }, ended by ${ending.name}`,
    create: () =>
      isThread
        ? new ThreadPoolExecutor(options)
        : new ProcessPoolExecutor(options),
  };
}

/** Ends a pool as planned, with the accounts told what that may do to tasks. */
export async function endPool(
  { end, cancels, terminates }: Ending,
  pool: Executor,
  ledger: Ledger,
): Promise<void> {
  ledger.cancelsPending ||= cancels === true;
  ledger.mayFailAll ||= terminates === true;
  await end(pool);
}
