// deno-lint-ignore-file no-console -- an example prints
/**
 * How many counters should a bank open? Simulates 2,000 days for each answer, on
 * every core.
 *
 * `simulateDay` is a closure: the rates, the number of counters and the functions
 * that it calls go along to the threads. Each day has a seed of its own, so it does
 * not matter which thread simulates which day.
 *
 * ```sh
 * deno run --allow-read --allow-sys examples/monte_carlo.ts
 * ```
 *
 * It prints:
 *
 * ```text
 * 4 counters: 15.0 min on average, 68.0 % wait longer than 5 min
 * 5 counters: 2.1 min on average, 15.1 % wait longer than 5 min
 * 6 counters: 0.6 min on average, 2.3 % wait longer than 5 min
 * 7 counters: 0.2 min on average, 0.3 % wait longer than 5 min
 * ```
 *
 * @module
 */

import { type Executor, ThreadPoolExecutor } from "@concurrent/futures";

const DAYS = 2000;
/** A day takes 40 µs, less than a round trip: so a task is many days. */
const DAYS_PER_TASK = 100;

interface Rates {
  customersPerHour: number;
  minutesPerCustomer: number;
  openMinutes: number;
  patienceMinutes: number;
}

interface Day {
  customers: number;
  /** How many waited longer than they like to. */
  annoyed: number;
  waitedMinutes: number;
}

/**
 * Returns a generator of numbers from 0 up to 1: the same ones for the same seed.
 * Mulberry32 by Tommy Ettinger, as in
 * https://gist.github.com/tommyettinger/46a874533244883189143505d203312c.
 */
function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6D2B79F5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A random time of this mean, as between events that know nothing of each other. */
function exponential(mean: number, random: () => number): number {
  return -mean * Math.log(1 - random());
}

async function simulate(
  pool: Executor,
  counters: number,
  rates: Rates,
): Promise<Day> {
  const { customersPerHour, minutesPerCustomer, openMinutes } = rates;
  const simulateDay = (seed: number): Day => {
    const random = makeRandom(seed);
    const freeAt = new Array<number>(counters).fill(0);
    const day = { customers: 0, annoyed: 0, waitedMinutes: 0 };
    let now = exponential(60 / customersPerHour, random);
    while (now < openMinutes) {
      const next = freeAt.indexOf(Math.min(...freeAt)); // one queue for all
      const wait = Math.max(0, freeAt[next] - now);
      freeAt[next] = now + wait + exponential(minutesPerCustomer, random);
      day.customers++;
      day.waitedMinutes += wait;
      if (wait > rates.patienceMinutes) day.annoyed++;
      now += exponential(60 / customersPerHour, random);
    }
    return day;
  };

  const total = { customers: 0, annoyed: 0, waitedMinutes: 0 };
  const seeds = Array.from({ length: DAYS }, (_, i) => i);
  const days = pool.map(simulateDay, seeds, { chunkSize: DAYS_PER_TASK });
  for await (const day of days) {
    total.customers += day.customers;
    total.annoyed += day.annoyed;
    total.waitedMinutes += day.waitedMinutes;
  }
  return total;
}

/** Runs the example. */
export async function main(): Promise<void> {
  const rates = {
    customersPerHour: 60,
    minutesPerCustomer: 4,
    openMinutes: 8 * 60,
    patienceMinutes: 5,
  };
  await using pool = new ThreadPoolExecutor({
    maxWorkers: navigator.hardwareConcurrency,
  });
  for (const counters of [4, 5, 6, 7]) {
    const { customers, annoyed, waitedMinutes } = await simulate(
      pool,
      counters,
      rates,
    );
    const wait = (waitedMinutes / customers).toFixed(1);
    const percent = (100 * annoyed / customers).toFixed(1);
    console.log(
      `${counters} counters: ${wait} min on average, ` +
        `${percent} % wait longer than ${rates.patienceMinutes} min`,
    );
  }
}

if (import.meta.main) await main();
