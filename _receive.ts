/**
 * Reads a port that was never started, without the event loop.
 *
 * @module
 */

import { receiveMessageOnPort } from "node:worker_threads";

/** Takes one message from a port, if there is one. */
export function receive<T>(port: MessagePort): T | undefined {
  return receiveMessageOnPort(port as never)?.message as T | undefined;
}
