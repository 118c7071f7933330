// deno-lint-ignore-file no-console -- an example prints
/**
 * Serves password hashes over HTTP and stays responsive: the hashing is done by
 * threads. Measures what the same load does to a server that hashes by itself.
 *
 * A client that leaves takes its hash out of the queue; one that a thread has begun
 * goes on to its end beside the next, as Deno cannot stop it. With
 * `--unstable-no-legacy-abort` the signal of a request says just that its client has
 * left; without, Deno 2.9 aborts it after each answer too, and prints a warning.
 *
 * ```sh
 * deno run --unstable-no-legacy-abort --allow-read --allow-net=127.0.0.1 examples/hash_server.ts
 * ```
 *
 * It prints, with other times:
 *
 * ```text
 * 400 A password has 1 to 1000 characters
 * longest hash: 36 ms
 * without a pool: event loop stuck for up to 191 ms, /health after 230 ms
 * a client left: its hash is cancelled
 * with a pool: event loop stuck for up to 30 ms, /health after 31 ms
 * ```
 *
 * @module
 */

import { ThreadPoolExecutor } from "@concurrent/futures";
import { randomBytes, scryptSync } from "node:crypto";

const MAX_LENGTH = 1000;
const TICK_MS = 5;
const PASSWORDS = Array.from({ length: 8 }, (_, i) => `password ${i}`);
const IMPATIENT = "password of a client that leaves";

type Hash = (password: string, signal: AbortSignal) => PromiseLike<string>;

/** Hashes a password with a salt of its own: slow and hungry on purpose. */
export function hashPassword(password: string): string {
  const salt = randomBytes(16);
  const hash = scryptSync(password, salt, 32, { N: 2 ** 14, r: 8, p: 1 });
  return `${salt.toString("hex")}:${hash.toString("hex")}`;
}

function serve(hash: Hash): Deno.HttpServer<Deno.NetAddr> {
  const options = { hostname: "127.0.0.1", port: 0, onListen() {} };
  return Deno.serve(options, (request) => handle(request, hash));
}

async function handle(request: Request, hash: Hash): Promise<Response> {
  const route = `${request.method} ${new URL(request.url).pathname}`;
  if (route === "GET /health") return new Response("ok");
  if (route !== "POST /hash") return new Response(null, { status: 404 });
  try {
    const password = await request.text();
    if (password === "" || password.length > MAX_LENGTH) {
      const text = `A password has 1 to ${MAX_LENGTH} characters`;
      return new Response(text, { status: 400 });
    }
    return new Response(await hash(password, request.signal));
  } catch (error) {
    if (!request.signal.aborted) throw error; // Deno prints it and answers 500
    console.log("a client left: its hash is cancelled");
    return new Response(null, { status: 499 }); // nobody reads it
  }
}

async function post(
  url: string,
  body: string,
  signal?: AbortSignal,
): Promise<void> {
  const options = { method: "POST", body, signal };
  const response = await fetch(`${url}/hash`, options);
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${text}`);
}

/** Sends requests all at once; says what it does to the event loop and /health. */
async function load(url: string): Promise<string> {
  const start = performance.now();
  let last = start, stuckMs = 0;
  function tick(): void {
    const now = performance.now();
    stuckMs = Math.max(stuckMs, now - last);
    last = now;
  }
  // Not Node's `monitorEventLoopDelay`: in Deno 2.9.6 it misses most long calls.
  const timer = setInterval(tick, TICK_MS);
  try {
    const hashes = PASSWORDS.map((password) => post(url, password));
    const health = fetch(`${url}/health`).then((response) => response.text())
      .then(() => performance.now() - start);
    const [healthMs] = await Promise.all([health, ...hashes]);
    tick();
    return `event loop stuck for up to ${stuckMs.toFixed()} ms, ` +
      `/health after ${healthMs.toFixed()} ms`;
  } finally {
    clearInterval(timer);
  }
}

async function measureWithoutPool(): Promise<void> {
  let longestMs = 0;
  await using server = serve((password) => {
    const start = performance.now();
    const hash = hashPassword(password);
    longestMs = Math.max(longestMs, performance.now() - start);
    return Promise.resolve(hash);
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  await post(url, "").catch((error: Error) => console.log(error.message));
  const delays = await load(url);
  console.log(`longest hash: ${longestMs.toFixed()} ms`);
  console.log(`without a pool: ${delays}`);
}

async function measureWithPool(): Promise<void> {
  await using pool = new ThreadPoolExecutor({
    maxWorkers: navigator.hardwareConcurrency,
  });
  const client = new AbortController();
  await using server = serve((password, signal) => {
    const future = pool.submitWith({ signal }, hashPassword, password);
    if (password === IMPATIENT) client.abort(); // leaves while its hash is queued
    return future;
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  const [delays] = await Promise.all([
    load(url),
    post(url, IMPATIENT, client.signal).catch(() => "it has left"),
  ]);
  console.log(`with a pool: ${delays}`);
}

/** Runs the example. */
export async function main(): Promise<void> {
  await measureWithoutPool();
  await measureWithPool();
}

if (import.meta.main) await main();
