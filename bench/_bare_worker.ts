/**
 * The other side of `BareWorkers`: messages `[id, task, argument, moves]` come
 * in, messages `[id, result]` go out.
 *
 * @module
 */

import { TASKS, type Tasks } from "./_tasks.ts";

/** What the owner sends. `moves`: transfer the buffer of the result, which is bytes. */
export type Request = [
  id: number,
  task: keyof Tasks,
  argument: unknown,
  moves: boolean,
];

const scope = self as unknown as {
  onmessage: (event: MessageEvent<Request>) => void;
  postMessage(message: unknown, transfer: Transferable[]): void;
};

scope.onmessage = ({ data: [id, task, argument, moves] }) => {
  const result = (TASKS[task] as (argument: unknown) => unknown)(argument);
  scope.postMessage(
    [id, result],
    moves ? [(result as Uint8Array<ArrayBuffer>).buffer] : [],
  );
};
