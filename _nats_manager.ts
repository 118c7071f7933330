/**
 * The entry module of the thread that manages the connection of a
 * `NatsExecutor`: the connection lives on while the thread that made the
 * executor computes or blocks.
 *
 * @module
 */

import { describeError } from "./_describe.ts";
import { NatsCaller } from "./_nats_caller.ts";
import { NatsFeeder } from "./_nats_feeder.ts";
import {
  Hand,
  type NatsBoot,
  type Opened,
  type ToNatsManager,
} from "./_nats_manager_protocol.ts";

let boot: NatsBoot | undefined;
let caller: NatsCaller | undefined;
let feeder: NatsFeeder | undefined;

addEventListener("message", (event) => {
  const { data } = event as MessageEvent;
  if (boot === undefined) open(data as NatsBoot);
  else take(data as ToNatsManager);
});

// A server that does not take a client's certificate says so when the client has
// no listener on its socket, now and then; it notices by its time limit then.
addEventListener("error", (event) => {
  if (caller === undefined) event.preventDefault();
});

async function open(given: NatsBoot): Promise<void> {
  boot = given;
  let opened: Opened = {};
  try {
    caller = await NatsCaller.open(given);
  } catch (error) {
    const { message, cause } = error as Error;
    opened = {
      error: {
        message,
        cause: cause === undefined ? undefined : describeError(cause),
      },
    };
  }
  given.port.postMessage(opened);
  const hand = new Int32Array(given.hand);
  Atomics.store(hand, Hand.OPENED, 1);
  Atomics.notify(hand, Hand.OPENED);
}

function take(message: ToNatsManager): void {
  if (!("start" in message)) return feeder?.onMessage(message);
  feeder = new NatsFeeder(boot!, message.start, caller!);
  caller!.begin(feeder);
  feeder.feed();
}
