import { ProcessPoolExecutor } from "../mod.ts";
import { testExecutor } from "./_executor_contract.ts";

testExecutor(
  "ProcessPoolExecutor",
  (options) => new ProcessPoolExecutor(options),
);
