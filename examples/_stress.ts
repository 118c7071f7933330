import { main as s } from "./synchronous.ts";
const log = console.log;
for (let i = 0; i < 200; i++) {
  Deno.stderr.writeSync(new TextEncoder().encode(i + " "));
  const t = performance.now();
  console.log = () => {};
  s();
  console.log = log;
  if (performance.now() - t > 1000) log("slow", i, performance.now() - t);
  await new Promise((r) => setTimeout(r, 5));
}
