/**
 * `NatsExecutor` keeps the contract of every executor.
 *
 * @module
 */

import { testExecutor } from "./_executor_contract.ts";
import { ignoring } from "./_harness.ts";
import { TestBed } from "./_nats_bed.ts";
import { poolMaker } from "./_nats_pool.ts";
import { hasNatsServer } from "./_nats_server.ts";

const bed = hasNatsServer ? await TestBed.start() : undefined;
Deno.test.afterAll(async () => await bed?.[Symbol.asyncDispose]());

const query = new URLSearchParams({
  url: bed?.url ?? "",
  folder: bed?.folder ?? "",
});

// ignored where the binary nats-server is not installed
ignoring(
  bed === undefined,
  () =>
    testExecutor("NatsExecutor", poolMaker(bed ?? { url: "", folder: "" }), {
      module: `${import.meta.resolve("./_nats_pool.ts")}?${query}`,
      flags: [
        "--allow-write",
        "--allow-run",
        "--allow-sys",
        "--allow-env",
        "--allow-net=127.0.0.1",
      ],
    }),
);
