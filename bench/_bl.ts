import { BlockingWorker } from "./_blocking_worker.ts";
const w = new BlockingWorker();
const b = [];
for (let k = 0; k < 30; k++) {
  const t = performance.now();
  for (let i = 0; i < 1000; i++) w.run(i);
  b.push((performance.now() - t).toFixed(0));
}
console.log("bare", b.join(" "));
w.stop();
