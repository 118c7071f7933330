/**
 * Keeps a socket's late error from ending the program.
 *
 * The NATS client takes all listeners off a socket that it is done with, and
 * between the steps of a connection that begins. Under Deno a socket may fail
 * after that ("read ECONNRESET", where the server has just refused who asks), and
 * an `error` that nobody listens to is an uncaught one. So each of its sockets
 * gets a listener that stays; all that the client needs to hear it hears by its
 * own. Tried with @nats-io/transport-node 3.4.0, Deno 2.9.6, 2026-11.
 *
 * @module
 */

import { NodeTransport } from "npm:@nats-io/transport-node@3.4.0/lib/node_transport.js";

/** A socket, as far as it is guarded. */
interface Emitter {
  on(event: "error", listener: () => void): unknown;
  removeAllListeners(...event: [] | [string]): unknown;
}

/** What makes a socket in the client's transport. */
type Maker = (this: unknown, ...args: unknown[]) => Promise<Emitter>;

const MAKERS = ["dial", "tlsFirst", "startTLS"] as const;

let isGuarding = false;

/** Has every socket of the NATS client guarded from now on. */
export function guardSockets(): void {
  if (isGuarding) return;
  isGuarding = true;
  const transport = NodeTransport.prototype as unknown as Record<string, Maker>;
  for (const name of MAKERS) {
    const make = transport[name];
    transport[name] = async function (...args) {
      return guard(await make.apply(this, args));
    };
  }
}

function guard(socket: Emitter): Emitter {
  const ignore = () => {};
  const removeAll = socket.removeAllListeners;
  // As it was called: to be given nothing is not to be given `undefined`.
  socket.removeAllListeners = function (...args) {
    removeAll.apply(socket, args);
    return socket.on("error", ignore);
  };
  socket.on("error", ignore);
  return socket;
}
