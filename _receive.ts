/**
 * Reads a port that was never started, without the event loop.
 *
 * @module
 */

import { receiveMessageOnPort } from "node:worker_threads";

/**
 * Closes a port, and takes what is left in it before.
 *
 * Deno 2.9.6 keeps the memory that a message moves or shares until it is read;
 * that of a message which is dropped unread it keeps for ever.
 */
export function closePort(port: MessagePort): void {
  while (receive(port) !== undefined);
  port.close();
}

/** Takes one message from a port, if there is one. */
export function receive<T>(port: MessagePort): T | undefined {
  return receiveMessageOnPort(port as never)?.message as T | undefined;
}
