import { ThreadPoolExecutor } from "../mod.ts";
import { testExecutor } from "./_executor_contract.ts";

testExecutor(
  "ThreadPoolExecutor",
  (options) => new ThreadPoolExecutor(options),
);
