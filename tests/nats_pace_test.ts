import { assertEquals } from "@std/assert";
import { Paces } from "../_nats_pace.ts";

function noted(paces: Paces, callable: number, ...times: number[]): number {
  for (const ms of times) paces.note(callable, ms);
  return paces.rowsOf(callable);
}

const times = (count: number, ms: number) => Array<number>(count).fill(ms);

Deno.test("Paces.rowsOf() is 1 for what is not known, or hardly", () => {
  const paces = new Paces();
  assertEquals(paces.rowsOf(1), 1);
  assertEquals(noted(paces, 1, ...times(7, 0.1)), 1);
  assertEquals(noted(paces, 1, 0.1), 40);
  assertEquals(paces.rowsOf(2), 1);
});

Deno.test("Paces.rowsOf() is as many as run in a few milliseconds, 100 at the most", () => {
  const paces = new Paces();
  const rows = [2, 1, 0.5, 0.125, 0.04, 0.01, 0].map((ms, callable) =>
    noted(paces, callable, ...times(10, ms))
  );
  assertEquals(rows, [1, 4, 8, 32, 100, 100, 100]);
});

Deno.test("Paces.rowsOf() is 1 soon after tasks have become slow, and grows slowly again", () => {
  const paces = new Paces();
  noted(paces, 1, ...times(20, 0.1));
  assertEquals(noted(paces, 1, 100), 1);
  assertEquals(noted(paces, 1, ...times(10, 0.1)), 1);
  const rows = noted(paces, 1, ...times(200, 0.1));
  assertEquals(rows >= 39 && rows <= 40, true, `${rows}`);
});

Deno.test("Paces.rowsOf() is 1 for a function whose first call is slow, until others make up for it", () => {
  const paces = new Paces();
  assertEquals(noted(paces, 1, 50, ...times(10, 0.1)), 1);
  assertEquals(noted(paces, 1, ...times(60, 0.1)) > 1, true);
});

Deno.test("Paces forgets the function that it has known for longest when there are too many", () => {
  const paces = new Paces();
  for (let callable = 0; callable < 1_024; callable++) {
    noted(paces, callable, ...times(8, 0.1));
  }
  assertEquals([paces.rowsOf(0), paces.rowsOf(1)], [40, 40]);
  paces.note(9_999, 0.1);
  assertEquals([paces.rowsOf(0), paces.rowsOf(1)], [1, 40]);
});
