import { assert, assertEquals } from "@std/assert";
import { bell, type Listener, ring } from "../_bell.ts";
import { liveWorkers } from "./_leaks.ts";

const TIMEOUT_MS = 60_000;
/** A limit that a failing test runs into, and no other. */
const FAR_MS = 20_000;

/** A listener with a letter box, which is removed at the end of a `using` block. */
class Box implements Listener, Disposable {
  mail = 0;
  drained = 0;
  drains = 0;
  expired = 0;
  deadline = Infinity;
  /** Runs in `hasMail`, the owner's last look before it waits. */
  onLook: () => void = () => {};
  onDrain: () => void = () => {};
  // a wait for the bell keeps no process alive
  readonly #alive = setInterval(() => {}, 1_000);

  drain(): boolean {
    this.drains++;
    const { mail } = this;
    this.drained += mail;
    this.mail = 0;
    this.onDrain();
    return mail > 0;
  }

  /** Answers as it was when the look began: what comes in it, comes too late for it. */
  hasMail(): boolean {
    const has = this.mail > 0;
    this.onLook();
    return has;
  }

  expire(): void {
    this.expired++;
    this.deadline = Infinity;
  }

  /** Writes a message and rings. */
  write(): void {
    this.mail++;
    ring(bell.words);
  }

  /** Resolves once a drain has found mail. */
  async taken(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.onDrain = () => {
      if (this.drained > 0) resolve();
    };
    await promise;
  }

  [Symbol.dispose](): void {
    bell.remove(this);
    clearInterval(this.#alive);
  }
}

function spin(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

// ------------------------------------------------------------ event loop

Deno.test("bell: mail that lies there before add() is taken in", {
  timeout: TIMEOUT_MS,
}, async () => {
  using box = new Box();
  box.mail = 1; // rung for nobody
  ring(bell.words);
  const taken = box.taken();
  bell.add(box);
  await taken;
  assertEquals(box.drained, 1);
});

Deno.test("bell: ring() after add() has the mail taken in", {
  timeout: TIMEOUT_MS,
}, async () => {
  using box = new Box();
  bell.add(box);
  const taken = box.taken();
  box.write();
  assertEquals(box.drained, 0); // not in the midst of other code
  await taken;
  assertEquals(box.drained, 1);
});

Deno.test("bell: ring() right after the last look has the mail taken in", {
  timeout: TIMEOUT_MS,
}, async () => {
  using box = new Box();
  let late = 1;
  box.onLook = () => {
    if (late-- === 1) box.write();
  };
  const taken = box.taken();
  bell.add(box);
  ring(bell.words); // whatever was armed before looks again
  await taken;
  assertEquals(box.drained, 1);
});

Deno.test("bell: ring() time after time, each is heard", {
  timeout: TIMEOUT_MS,
}, async () => {
  using box = new Box();
  bell.add(box);
  for (let i = 1; i <= 100; i++) {
    const { promise, resolve } = Promise.withResolvers<void>();
    box.onDrain = () => {
      if (box.drained === i) resolve();
    };
    box.write();
    await promise;
  }
  assertEquals(box.drained, 100);
});

Deno.test("bell: ring() has every listener take in its mail", {
  timeout: TIMEOUT_MS,
}, async () => {
  using a = new Box();
  using b = new Box();
  bell.add(a);
  bell.add(b);
  const both = Promise.all([a.taken(), b.taken()]);
  a.mail = 1;
  b.write();
  await both;
  assertEquals([a.drained, b.drained], [1, 1]);
});

Deno.test("bell: remove() ends it: a listener hears nothing more", {
  timeout: TIMEOUT_MS,
}, async () => {
  using gone = new Box();
  using box = new Box();
  bell.add(gone);
  bell.add(box);
  bell.remove(gone);
  const taken = box.taken();
  gone.mail = 1;
  box.write();
  await taken;
  assertEquals(gone.drains, 0);
});

Deno.test(
  "bell: add() twice counts once",
  { timeout: TIMEOUT_MS },
  async () => {
    using box = new Box();
    bell.add(box);
    bell.add(box);
    const taken = box.taken();
    box.write();
    await taken;
    assertEquals(box.drains, 1);
  },
);

Deno.test("ring() costs nothing where nobody waits", () => {
  const words = new Int32Array(new SharedArrayBuffer(4));
  ring(words);
  assertEquals(words[0], 0);
  words[0] = 1;
  ring(words);
  assertEquals(words[0], 0);
});

// --------------------------------------------------------------- block()

Deno.test("bell.block() returns at once where it is done, and takes in what lies there", () => {
  using box = new Box();
  bell.add(box);
  box.mail = 2;
  bell.block(Infinity, () => box.drained === 2);
  assertEquals(box.drained, 2);
});

Deno.test("bell.block() returns when its time is over, not before", () => {
  using box = new Box();
  bell.add(box);
  const until = performance.now() + 30;
  let asked = 0;
  bell.block(until, () => {
    asked++;
    return false;
  });
  assert(performance.now() >= until);
  assert(asked >= 2);
});

Deno.test("bell.block() does not wait where its time is over already, but looks once", () => {
  using box = new Box();
  bell.add(box);
  box.mail = 1;
  bell.block(0, () => false);
  assertEquals([box.drained, box.expired], [1, 0]);
});

Deno.test(
  "bell.block(): ring() between the last look and the wait ends the wait",
  { timeout: TIMEOUT_MS },
  () => {
    using box = new Box();
    bell.add(box);
    let late = 1;
    box.onLook = () => {
      if (late-- === 1) box.write();
    };
    const until = performance.now() + FAR_MS;
    bell.block(until, () => box.drained > 0);
    assertEquals(box.drained, 1);
    assert(performance.now() < until);
  },
);

Deno.test(
  "bell.block(): mail written just before the last look is not waited for",
  { timeout: TIMEOUT_MS },
  () => {
    using box = new Box();
    bell.add(box);
    box.onDrain = () => {
      if (box.drains === 1) box.mail = 1; // without a ring, as nobody was waiting
    };
    const until = performance.now() + FAR_MS;
    bell.block(until, () => box.drained > 0);
    assert(performance.now() < until);
  },
);

Deno.test("bell.block() wakes when another thread rings", {
  timeout: TIMEOUT_MS,
}, () => {
  using box = new Box();
  bell.add(box);
  const module = JSON.stringify(import.meta.resolve("../_bell.ts"));
  const source = `
    import { ring } from ${module};
    self.onmessage = ({ data: { bell, mail } }) => {
      while (Atomics.load(bell, 0) !== 1); // until the owner waits, or is about to
      Atomics.store(mail, 0, 1);
      ring(bell);
    };`;
  const worker = new Worker(
    `data:text/javascript,${encodeURIComponent(source)}`,
    { type: "module" },
  );
  const mail = new Int32Array(new SharedArrayBuffer(4));
  worker.postMessage({ bell: bell.words, mail });
  box.hasMail = () => Atomics.load(mail, 0) === 1;
  // Not done before it was woken: what the other thread writes first is the mail.
  bell.block(Infinity, () => Atomics.load(mail, 0) === 1);
  worker.terminate();
  assertEquals(liveWorkers(), 0);
});

Deno.test("bell.block() has listeners do what is due, and goes on", () => {
  using box = new Box();
  using other = new Box();
  bell.add(box);
  bell.add(other);
  const due = performance.now() + 20;
  box.deadline = due;
  const until = performance.now() + FAR_MS;
  bell.block(until, () => box.expired > 0);
  const now = performance.now();
  assert(now >= due - 1, `woke ${due - now} ms early`);
  assert(now < until);
});

Deno.test("bell.block() does what is overdue without a wait", () => {
  using box = new Box();
  bell.add(box);
  box.deadline = performance.now() - 1;
  bell.block(performance.now() + FAR_MS, () => box.expired > 0);
  assertEquals(box.expired, 1);
});

Deno.test("bell.block(): the event loop hears the bell again afterwards", {
  timeout: TIMEOUT_MS,
}, async () => {
  using box = new Box();
  bell.add(box);
  bell.block(performance.now() + 5, () => false);
  const taken = box.taken();
  box.write();
  await taken;
  assertEquals(box.drained, 1);
});

Deno.test(
  "bell.block(): mail that came after its last look reaches the event loop",
  { timeout: TIMEOUT_MS },
  async () => {
    using box = new Box();
    bell.add(box);
    const taken = box.taken();
    // `isDone` comes last: what is written in it finds nobody in the wait.
    bell.block(Infinity, () => {
      box.write();
      return true;
    });
    await taken;
    assertEquals(box.drained, 1);
  },
);

// ---------------------------------------------------------------- poll()

/** Lets the bell's wait in the event loop end, so that each of these tests begins anew. */
async function turn(box: Box): Promise<void> {
  box.drained = 0;
  const taken = box.taken();
  box.write();
  await taken;
  box.onDrain = () => {};
  box.drains = box.drained = 0;
}

Deno.test("bell.poll() takes in what lies there, at once", {
  timeout: TIMEOUT_MS,
}, async () => {
  using box = new Box();
  bell.add(box);
  await turn(box);
  box.mail = 1;
  bell.poll();
  assertEquals(box.drained, 1);
});

Deno.test(
  "bell.poll() stops once it has kept the event loop from its turn, until that had it",
  { timeout: TIMEOUT_MS },
  async () => {
    using box = new Box();
    bell.add(box);
    await turn(box);
    bell.poll();
    assertEquals(box.drains, 1);
    spin(5);
    box.mail = 1;
    bell.poll();
    bell.poll();
    assertEquals([box.drains, box.drained], [1, 0]);
    const taken = box.taken();
    ring(bell.words);
    await taken;
    box.mail = 1;
    bell.poll();
    assertEquals(box.drained, 2);
  },
);

Deno.test("bell.poll() counts from its first call, not from the last turn", {
  timeout: TIMEOUT_MS,
}, async () => {
  using box = new Box();
  bell.add(box);
  await turn(box);
  spin(6);
  bell.poll();
  assertEquals(box.drains, 1);
});

Deno.test(
  "bell.poll() in a loop that only awaits: mail still arrives through the event loop",
  { timeout: TIMEOUT_MS },
  async () => {
    using box = new Box();
    bell.add(box);
    await turn(box);
    bell.poll();
    spin(5);
    const taken = box.taken();
    box.write();
    let isTaken = false;
    taken.then(() => isTaken = true);
    for (let i = 0; i < 100; i++) {
      bell.poll();
      await Promise.resolve();
    }
    assertEquals(isTaken, false);
    await taken;
    assertEquals(box.drained, 1);
  },
);
