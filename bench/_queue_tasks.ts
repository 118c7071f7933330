/**
 * The tasks that both queues run.
 *
 * @module
 */

/** The smallest useful work. */
export function add(a: number, b: number): number {
  return a + b;
}

/** Waits at a gate, and returns the process that got through. */
export async function pass(gate: string): Promise<number> {
  const response = await fetch(gate, { method: "POST", body: `${Deno.pid}` });
  await response.text(); // it is there only once the gate is open
  return Deno.pid;
}
