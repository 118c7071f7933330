/**
 * The work that thread pools and process pools do alike, as contenders.
 *
 * @module
 */

import { check } from "./_check.ts";
import { contend, type Contender, type Remarks, timed } from "./_contest.ts";
import type { Peer } from "./_peers.ts";

/** A pool that is made, gives its first result, and is ended: milliseconds to the result. */
export function contendFirst(peer: Peer, remarks?: Remarks): Contender {
  return contend(peer.name, async () => {
    const elapsed = await timed(async () => {
      peer.open(1);
      check(peer, await peer.run("identity", 7), 7);
    });
    await peer.stop();
    return elapsed;
  }, remarks);
}

/** So many calls, each awaited before the next: microseconds a call. */
export function contendAwaited(
  peer: Peer,
  calls: number,
  remarks?: Remarks,
): Contender {
  const roundTrips = async () => {
    for (let i = 0; i < calls; i++) {
      check(peer, await peer.run("identity", i), i);
    }
  };
  return contend(
    peer.name,
    async () => await timed(roundTrips) / calls * 1e3,
    remarks,
  );
}

/** A way to add up what so many numbers are mapped to: numbers a second. */
export function contendMap(
  name: string,
  numbers: { readonly count: number; readonly sum: number },
  add: () => number | Promise<number>,
  remarks?: Remarks,
): Contender {
  return contend(name, async () => {
    const elapsed = await timed(async () =>
      check({ name }, await add(), numbers.sum)
    );
    return numbers.count / elapsed * 1e3;
  }, remarks);
}
