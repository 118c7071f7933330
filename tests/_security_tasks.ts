/**
 * Hostile tasks. They run in the realm of their worker's own loop, so they use what that loop is made
 * of: they put other functions in the place of the built-ins and of this package's own methods.
 *
 * Workers import this module; it imports nothing, so that a task has to get at everything itself.
 *
 * @module
 */

/** What a task has its worker send instead of its outcome. */
export interface Forgery {
  readonly format: number;
  readonly text: string;
  readonly buffers?: readonly number[][];
}

/** A method that anything may be put in the place of. */
type Method = (this: unknown, ...args: unknown[]) => unknown;
type Methods = Record<string, Method>;

async function methodsOf(file: string, name: string): Promise<Methods> {
  const module = await import(import.meta.resolve(`../${file}`));
  return module[name].prototype;
}

function toPayload({ format, text, buffers = [] }: Forgery) {
  const bytes = buffers.map((items) => Uint8Array.from(items));
  return { format, text, buffers: bytes, moved: [] };
}

/** Has its process send something else for its outcome; `tag` is that of a frame. */
export async function forgeFrame(
  tag: string,
  forgery: Forgery,
): Promise<string> {
  const methods = await methodsOf("_segments.ts", "SegmentWriter");
  const { writePayload } = methods;
  methods.writePayload = function (_tag, before, _payload, after) {
    methods.writePayload = writePayload;
    const isOutcome = ["returned", "threw", "part"].includes(tag);
    writePayload.call(
      this,
      tag,
      isOutcome ? before : [],
      toPayload(forgery),
      isOutcome ? after : [],
    );
    if (!isOutcome) Deno.exit(1);
  };
  return "not forged";
}

const OWN = "not forged";

/** Has its thread send something else for its outcome. */
export async function forgeResult(forgery: Forgery): Promise<string> {
  const methods = await methodsOf("_result_ring.ts", "ResultWriter");
  const { stage } = methods;
  methods.stage = function (payload) {
    const isOutcome = (payload as { text: string }).text === `"${OWN}"`;
    if (!isOutcome) return stage.call(this, payload); // the times
    methods.stage = stage;
    return stage.call(this, toPayload(forgery));
  };
  return OWN;
}

/** `Kind.TIMED` of `_layout.ts`. */
const TIMED = 15;

/** Has its thread send what it returns as the outcome of another task as well. */
export async function forgeIndex(index: number): Promise<string> {
  const methods = await methodsOf("_result_ring.ts", "ResultWriter");
  const { send } = methods;
  methods.send = function (kind, own, staged) {
    if (kind === TIMED) return send.call(this, kind, own, staged);
    methods.send = send;
    send.call(this, kind, index, staged);
    send.call(this, kind, own, staged);
  };
  return "forged";
}

/** Has its process send a text for the outcome of every task to come. */
export async function takeOver(text: string): Promise<number> {
  const methods = await methodsOf("_segments.ts", "SegmentWriter");
  const { writePayload } = methods;
  let isOwn = true;
  methods.writePayload = function (_tag, before, payload, after) {
    const forged = isOwn ? payload : toPayload({ format: 1, text });
    isOwn = false;
    writePayload.call(this, "returned", before, forged, after);
  };
  return Deno.pid;
}

/** What a task has seen that its worker wrote. */
const loot: { token: string; segments: Uint8Array<ArrayBuffer>[] } = {
  token: "",
  segments: [],
};

/** Sees each segment that its process writes from now on, by a built-in that the writer calls. */
export function spy(): void {
  const { subarray } = Uint8Array.prototype;
  const decoder = new TextDecoder();
  Object.defineProperty(Uint8Array.prototype, "subarray", {
    configurable: true,
    writable: true,
    value(this: Uint8Array, ...args: [number]) {
      // What is left after a write: of a segment, as it begins with its separator.
      if (args.length === 1 && this[0] === 0x1e) {
        loot.token = decoder.decode(this.slice(1, 13));
        loot.segments.push(this.slice());
      }
      return subarray.apply(this, args);
    },
  });
}

/** Returns the token that was seen. */
export function lootedToken(): string {
  return loot.token;
}

/** Writes the outcomes once more that were seen, past `Deno.stdout`; returns how many. */
export async function replay(): Promise<number> {
  const { writeSync } = await import("node:fs");
  const outcomes = seenOutcomes();
  for (const segment of outcomes) writeSync(1, segment);
  return outcomes.length;
}

/** Writes an outcome with the token that was seen, of the task so many after its own. */
export async function forgeAhead(shift: number): Promise<string> {
  const { writeSync } = await import("node:fs");
  const last = new TextDecoder().decode(seenOutcomes().at(-1));
  const own = Number(/"returned",\d+,(\d+)/.exec(last)![1]) + 1;
  const frame = `["returned",8,${own + shift},1,8,0,0]\n"forged"`;
  const length = frame.length.toString(16).padStart(4, "0");
  const segment = `\x1e${loot.token}0${length}${frame}\n`;
  writeSync(1, new TextEncoder().encode(segment));
  return "its own";
}

function seenOutcomes(): Uint8Array<ArrayBuffer>[] {
  const decoder = new TextDecoder();
  return loot.segments.filter((segment) =>
    decoder.decode(segment).includes('["returned"')
  );
}

/** Puts a function that throws in the place of built-ins. */
export function spoilGlobals(): string {
  const spoilt = () => {
    throw new Error("spoilt");
  };
  const places: [object, string][] = [
    [Array.prototype, "push"],
    [Array.prototype, "map"],
    [JSON, "parse"],
    [globalThis, "structuredClone"],
    [Object.prototype, "polluted"],
  ];
  for (const [holder, name] of places) {
    Object.defineProperty(holder, name, {
      value: spoilt,
      configurable: true,
      writable: true,
    });
  }
  return "spoilt";
}
