// deno-lint-ignore-file no-console -- an example prints
/**
 * Loads five URLs with five threads, reports each page as soon as it is there.
 *
 * Python: "ThreadPoolExecutor Example" on the page of `concurrent.futures`.
 * Differs: the sites are pages of a server that the example starts on this
 * machine, the last a port where nobody listens. `loadUrl` is in `tasks.ts`,
 * named by `importTasks`.
 *
 * ```sh
 * deno run --allow-read --allow-net=127.0.0.1 examples/url_fetcher.ts
 * ```
 *
 * It prints, with other ports and perhaps in another order:
 *
 * ```text
 * "http://127.0.0.1:8000/weather" page is 2048 bytes
 * "http://127.0.0.1:8000/sport" page is 4096 bytes
 * "http://127.0.0.1:8000/culture" page is 8192 bytes
 * "http://127.0.0.1:8000/news" page is 16384 bytes
 * "http://127.0.0.1:8001/" generated an exception: TypeError: fetch failed
 * ```
 *
 * @module
 */

import {
  asCompleted,
  type Future,
  importTasks,
  ThreadPoolExecutor,
} from "@concurrent/futures";

const { loadUrl } = importTasks<typeof import("./tasks.ts")>(
  import.meta.resolve("./tasks.ts"),
);

/** The length in bytes of each local page; the longer, the later it is there. */
const PAGES = new Map([["/news", 16384], ["/culture", 8192], ["/sport", 4096], [
  "/weather",
  2048,
]]);

async function servePage(request: Request): Promise<Response> {
  const bytes = PAGES.get(new URL(request.url).pathname) ?? 0;
  await new Promise((resolve) => setTimeout(resolve, bytes / 100));
  return new Response("x".repeat(bytes));
}

function findUnusedPort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Runs the example. */
export async function main(): Promise<void> {
  const unusedPort = findUnusedPort();
  await using server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen() {},
  }, servePage);
  const urls = [...PAGES.keys()].map((path) =>
    `http://127.0.0.1:${server.addr.port}${path}`
  );
  urls.push(`http://127.0.0.1:${unusedPort}/`);

  // `await using` ensures that the threads are cleaned up promptly
  await using executor = new ThreadPoolExecutor({ maxWorkers: 5 });
  // Start the load operations and mark each future with its URL
  const futureToUrl = new Map<Future<Uint8Array>, string>();
  for (const url of urls) {
    futureToUrl.set(executor.submit(loadUrl, url, 60_000), url);
  }
  for await (const future of asCompleted(futureToUrl.keys())) {
    const url = JSON.stringify(futureToUrl.get(future));
    try {
      const data = await future.result();
      console.log(`${url} page is ${data.length} bytes`);
    } catch (error) {
      console.log(`${url} generated an exception: ${error}`);
    }
  }
}

if (import.meta.main) await main();
