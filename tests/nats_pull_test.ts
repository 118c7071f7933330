import { assert, assertEquals, assertThrows } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  Delivery,
  type PullConnection,
  Puller,
  type PullMessage,
} from "../_nats_pull.ts";

const TIMES = { expiresMs: 10_000, graceMs: 2_000, retryMs: 500 };

/** A request as it was published. */
interface Request {
  readonly batch: number;
  readonly reply: string;
}

interface FakeSubscription {
  readonly inbox: string;
  state: "open" | "drained" | "unsubscribed";
  callback(error: Error | null, message: PullMessage): void;
}

/** A connection whose other end is the test. */
class FakeConnection implements PullConnection {
  readonly requests: Request[] = [];
  readonly subscriptions: FakeSubscription[] = [];
  isClosed = false;

  publish(subject: string, data: string, { reply }: { reply: string }): void {
    if (this.isClosed) throw new Error("closed");
    assertEquals(subject, "$JS.API.CONSUMER.MSG.NEXT.S.nodes");
    const { batch, expires } = JSON.parse(data);
    assertEquals(expires, TIMES.expiresMs * 1e6);
    this.requests.push({ batch, reply });
  }

  subscribe(
    subject: string,
    { callback }: Pick<FakeSubscription, "callback">,
  ) {
    const inbox = subject.slice(0, -".*".length);
    const one: FakeSubscription = { inbox, state: "open", callback };
    this.subscriptions.push(one);
    return {
      drain: () => Promise.resolve(void (one.state = "drained")),
      unsubscribe: () => void (one.state = "unsubscribed"),
    };
  }

  /** How many tasks each request asked for. */
  batches(): number[] {
    return this.requests.map(({ batch }) => batch);
  }

  /** Delivers a task to an inbox, the last one by default. */
  deliver(inbox = this.subscriptions.at(-1)!.inbox, attempt = 1): void {
    this.#send(inbox, {
      subject: "S.task.a.1",
      data: new Uint8Array(),
      reply: `$JS.ACK.S.nodes.${attempt}.5.5.1700000000000000000.0`,
      respond: () => true,
    });
  }

  /** Answers a request with a status. */
  answer({ reply }: Request, code: number, left?: number): void {
    this.#send(reply.slice(0, reply.lastIndexOf(".")), {
      subject: reply,
      data: new Uint8Array(),
      headers: {
        code,
        description: "Why",
        get: () => left === undefined ? "" : String(left),
      },
      respond: () => true,
    });
  }

  #send(inbox: string, message: PullMessage): void {
    const found = this.subscriptions.find((one) => one.inbox === inbox)!;
    if (found.state === "open") found.callback(null, message);
  }
}

/** A puller of a fake connection, and what it told. */
class Bench implements AsyncDisposable {
  readonly connection = new FakeConnection();
  readonly taken: Delivery[] = [];
  readonly problems: string[] = [];
  /** Whether all that is needed is on the server. */
  isThere = true;
  readonly puller: Puller;
  #inboxes = 0;

  constructor(slots: number) {
    this.puller = new Puller(
      this.connection,
      "S",
      slots,
      () => `_INBOX.${this.#inboxes++}`,
      {
        take: (delivery) => void this.taken.push(delivery),
        onProblem: (what) => void this.problems.push(what),
        restore: () => Promise.resolve(this.isThere),
      },
      TIMES,
    );
    this.puller.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.puller.stop();
  }
}

/** Lets what was put off to the end of the turn happen. */
async function endTurn(): Promise<void> {
  for (let i = 0; i < 3; i++) await Promise.resolve();
}

Deno.test("Puller asks for all slots at once, then for those that are freed", async () => {
  await using bench = new Bench(3);
  const { connection, puller, taken } = bench;
  assertEquals(connection.batches(), [3]);
  for (let i = 0; i < 3; i++) connection.deliver();
  assertEquals(taken.length, 3);
  await endTurn();
  assertEquals(connection.batches(), [3]); // nothing is free
  puller.free();
  puller.free();
  await endTurn();
  assertEquals(connection.batches(), [3, 2]); // one request for both
});

Deno.test("Puller asks again for what a request has left when it expires", async () => {
  await using bench = new Bench(4);
  const { connection } = bench;
  connection.deliver();
  connection.answer(connection.requests[0], 408, 3);
  await endTurn();
  assertEquals(connection.batches(), [4, 3]);
  connection.answer(connection.requests[1], 408); // does not say how many
  await endTurn();
  assertEquals(connection.batches(), [4, 3, 3]);
});

Deno.test("Puller takes no notice of a heartbeat, or of who is no consumer", async () => {
  await using bench = new Bench(2);
  const { connection, taken, problems } = bench;
  connection.answer(connection.requests[0], 100);
  connection.subscriptions[0].callback(null, {
    subject: "S.task.a.1",
    data: new Uint8Array(),
    reply: "_INBOX.forged",
    respond: () => true,
  });
  await endTurn();
  assertEquals([taken.length, problems.length], [0, 0]);
  assertEquals(connection.batches(), [2]);
});

for (const code of [404, 409, 503]) {
  Deno.test(`Puller asks again a while after status ${code}`, async () => {
    using time = new FakeTime();
    await using bench = new Bench(2);
    const { connection, puller, problems } = bench;
    connection.deliver();
    connection.answer(connection.requests[0], code, 1);
    puller.free();
    await endTurn();
    assertEquals(problems, [`${code} Why`]);
    assertEquals(connection.batches(), [2]); // it would fail again at once
    await time.tickAsync(TIMES.retryMs);
    assertEquals(connection.batches(), [2, 2]);
    connection.answer(connection.requests[1], code); // and so on
    await endTurn();
    await time.tickAsync(TIMES.retryMs);
    assertEquals(connection.batches(), [2, 2, 2]);
  });
}

Deno.test("Puller asks for every free slot anew when the connection is back", async () => {
  await using bench = new Bench(5);
  const { connection, puller, taken } = bench;
  connection.deliver();
  puller.disconnected();
  puller.free();
  await endTurn();
  assertEquals(connection.batches(), [5]); // it would be lost
  puller.reconnected();
  await endTurn();
  assertEquals(connection.batches(), [5, 5]);
  assert(connection.requests[0].reply !== connection.requests[1].reply);
  // The server may have kept the first request after all.
  connection.deliver("_INBOX.0");
  assertEquals(taken.length, 2);
  puller.free();
  await endTurn();
  assertEquals(connection.batches(), [5, 5]);
  for (let i = 0; i < 5; i++) connection.deliver("_INBOX.1");
  for (let i = 0; i < 5; i++) puller.free();
  await endTurn();
  assertEquals(connection.batches(), [5, 5, 5]);
});

Deno.test("Puller finds the slots of a request that was forgotten without a word", async () => {
  using time = new FakeTime();
  await using bench = new Bench(3);
  const { connection, puller, taken, problems } = bench;
  // Two of three are forgotten; the third slot stays busy all the time.
  const period = TIMES.expiresMs + TIMES.graceMs;
  connection.deliver();
  for (let i = 0; i < 2; i++) {
    puller.free();
    await endTurn();
    connection.deliver();
    await time.tickAsync(period);
  }
  assertEquals(taken.length, 3);
  assertEquals(problems, ["requests were forgotten"]);
  await time.tickAsync(TIMES.retryMs);
  assertEquals(connection.batches(), [3, 1, 1, 2]);
  assertEquals(connection.subscriptions[0].state, "unsubscribed");
});

Deno.test("Puller loses no slot whatever the server says, in any order", async () => {
  const seeds = Array.from({ length: 50 }, (_, i) => i + 1);
  for (const seed of seeds) await walk(seed);
});

/** A server and tasks that do something else each time; in the end all slots are asked for. */
async function walk(seed: number): Promise<void> {
  using time = new FakeTime();
  const slots = 1 + seed % 7;
  await using bench = new Bench(slots);
  const { connection, puller, taken } = bench;
  const random = (most: number) => {
    seed = seed * 48_271 % 2_147_483_647;
    return seed % most;
  };
  /** What the server has still to deliver, by request. */
  const left = new Map<Request, number>();
  let known = 0;
  let freed = 0;
  const learn = () => {
    for (; known < connection.requests.length; known++) {
      const request = connection.requests[known];
      left.set(request, request.batch);
    }
    const all = [...left.values()].reduce((sum, one) => sum + one, 0);
    assert(all + taken.length - freed <= slots, "more is asked for than free");
  };
  for (let step = 0; step < 60; step++) {
    learn();
    const [request, most] = [...left][random(left.size || 1)] ?? [];
    const action = random(6);
    if (action < 2 && request !== undefined) {
      connection.deliver(
        request.reply.slice(0, request.reply.lastIndexOf(".")),
      );
      if (most! > 1) left.set(request, most! - 1);
      else left.delete(request);
    } else if (action < 4 && freed < taken.length) {
      freed++;
      puller.free();
    } else if (action === 4 && request !== undefined) {
      connection.answer(request, [408, 404, 503][random(3)], most);
      left.delete(request);
    } else if (action === 5 && random(4) === 0) {
      left.clear();
      puller.disconnected();
      puller.reconnected();
    }
    await endTurn();
    if (random(3) === 0) await time.tickAsync(TIMES.retryMs);
  }
  for (; freed < taken.length; freed++) puller.free();
  await endTurn();
  await time.tickAsync(TIMES.retryMs);
  learn();
  const asked = [...left.values()].reduce((sum, one) => sum + one, 0);
  assertEquals(asked, slots);
}

Deno.test("Puller waits until what is missing on the server is there", async () => {
  using time = new FakeTime();
  await using bench = new Bench(2);
  const { connection } = bench;
  bench.isThere = false;
  connection.answer(connection.requests[0], 409);
  for (let i = 0; i < 3; i++) await time.tickAsync(TIMES.retryMs);
  assertEquals(connection.batches(), [2]);
  bench.isThere = true;
  await time.tickAsync(TIMES.retryMs);
  assertEquals(connection.batches(), [2, 2]);
});

Deno.test("Puller.stop() drains its inboxes, and asks for nothing more", async () => {
  const bench = new Bench(2);
  const { connection, puller } = bench;
  connection.deliver();
  await puller.stop();
  assertEquals(connection.subscriptions[0].state, "drained");
  puller.free();
  await endTurn();
  assertEquals(connection.batches(), [2]);
});

Deno.test("Puller.stop() does not wait for a connection that is lost", async () => {
  const bench = new Bench(2);
  bench.puller.disconnected();
  await bench.puller.stop();
  assertEquals(bench.connection.subscriptions[0].state, "unsubscribed");
});

Deno.test("Puller outlives a connection that is closed", async () => {
  await using bench = new Bench(2);
  bench.connection.deliver();
  bench.connection.isClosed = true;
  bench.puller.free();
  await endTurn();
  assertEquals(bench.connection.batches(), [2]);
});

/** A task that came with a reply subject, and what is told there. */
function deliveryAt(reply: string | undefined) {
  const told: string[] = [];
  const delivery = new Delivery({
    subject: "S.task.a.1",
    data: new Uint8Array(),
    reply,
    respond: (what) => told.push(what) > 0,
  });
  return { delivery, told };
}

Deno.test("Delivery reads how often it was delivered, and its number, in every form of the subject", () => {
  const time = "1700000000000000000";
  for (
    const reply of [
      `$JS.ACK.S.nodes.3.17.20.${time}.4`,
      `$JS.ACK.hub.AHASH.S.nodes.3.17.20.${time}.4`,
      `$JS.ACK._.AHASH.S.nodes.3.17.20.${time}.4.random`,
    ]
  ) {
    const { delivery } = deliveryAt(reply);
    assertEquals([delivery.attempt, delivery.sequence], [3, 17]);
  }
  for (const reply of [undefined, "", "_INBOX.1", "$JS.ACK.S.nodes"]) {
    assertThrows(() => deliveryAt(reply), Error, "must be a consumer's");
  }
});

Deno.test("Delivery tells the server by the protocol's words", () => {
  const { delivery, told } = deliveryAt("$JS.ACK.S.nodes.1.1.1.1.0");
  delivery.renew();
  delivery.acknowledge();
  assertEquals(told, ["+WPI", "+ACK"]);
});
