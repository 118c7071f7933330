import { ThreadPoolExecutor } from "../mod.ts";
const f = (x: number) => x;
const maxWorkers = Number(Deno.args[0]);
const pool = new ThreadPoolExecutor({ maxWorkers });
const warm = Number(Deno.args[1]);
const fs = Array.from({ length: warm }, (_, i) => pool.submit(f, i));
for (const x of fs) await x;
const b: string[] = [];
for (let k = 0; k < 30; k++) {
  const t = performance.now();
  for (let i = 0; i < 1000; i++) pool.submit(f, i).resultSync();
  b.push((performance.now() - t).toFixed(0));
  if (Deno.args[2]) await new Promise((r) => setTimeout(r, +Deno.args[2]));
}
console.log(Deno.args.join(), "blocking µs", b.join(" "));
await pool.shutdown();
