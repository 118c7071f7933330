/**
 * Looks at functions from outside: where one was written, and the variables
 * that it can see. V8 tells both through its inspector, which answers a session
 * in the same thread.
 *
 * A session answers by `process.nextTick`, which is looked up at the time of
 * the call. It is replaced for the length of one question, so that the answer
 * is there when the question returns: `submit` cannot wait.
 *
 * While a session is connected, a new Worker starts a second late (Deno 2.9.6,
 * x86-64 Linux, 2026-11). So the session is left before a worker is started, by
 * a pool or by the program's `Worker` (that of `node:worker_threads` is not
 * seen), and when nobody has asked for a while. To come back takes 0.5
 * ms. Only to be told of scripts takes the debugger, 20 ms the first time, so what
 * it tells of a script is kept.
 *
 * Questions do not nest: Deno 2.9.6 ends the process where one is asked in the
 * middle of another. So nothing here runs code of the program's, and nothing is
 * asked where a REPL runs the program; a debugger's console must submit none but
 * functions that use nothing from outside.
 *
 * @module
 */

import process from "node:process";
import type { Session } from "node:inspector";

/** A function as its place shows it. */
export interface Place {
  /** Where it was written; `undefined` for a native function. */
  readonly script: Script | undefined;
  /** Where in the script its parameters begin, as V8 has it: line and column from 0. */
  readonly line: number;
  readonly column: number;
  /** The variables that it can see, from the innermost scope outwards. */
  readonly scopes: readonly Scope[];
}

/** A script that V8 has loaded; there is one object for each. */
export interface Script {
  /** V8's number of it. */
  readonly id: string;
  /** Its URL, empty for code from `eval` and the like. */
  readonly url: string;
  /** Its text as it runs: JavaScript. */
  readonly source: string;
}

/** One scope; its variables are a copy, but for the global object. */
export interface Scope {
  /** `Module`, `Global`, `Closure (outer)`, `Block`, ... */
  readonly description: string;
  readonly object: Variables;
}

/** Variables by name; even to look at one that has no value yet throws. */
export type Variables = Readonly<Record<string, unknown>>;

/** Returns the value of a variable, in a list of one; `undefined` where it has none yet. */
export function readVariable(
  variables: Variables,
  name: string,
): [value: unknown] | undefined {
  try {
    return [variables[name]];
  } catch {
    return undefined;
  }
}

/** Whether a function is a part of Deno. */
export function isOfDeno({ script }: Place): boolean {
  return script !== undefined && /^(ext|node):/.test(script.url);
}

/** Through which objects pass between this code and the inspector. */
interface Desk {
  fn: unknown;
  taken: unknown;
}

interface Connection {
  readonly session: Session;
  /** The inspector's name for the desk. */
  deskId: string;
}

interface RemoteObject {
  readonly objectId?: string;
  readonly value?: unknown;
}

interface Location {
  readonly scriptId: string;
  readonly lineNumber: number;
  readonly columnNumber: number;
}

interface RemoteProperty {
  readonly name: string;
  readonly value?: RemoteObject;
}

interface Properties {
  readonly result: readonly RemoteProperty[];
  readonly internalProperties?: readonly RemoteProperty[];
}

/** How many questions are asked before what the inspector handed out is taken back. */
const MOST_HANDED_OUT = 64;

/** How long the session is kept after the last question. */
const IDLE_MS = 20;

/** Names what the inspector hands out, so that it can be taken back. */
const GROUP = "concurrent-futures";

const DESK = Symbol.for("@concurrent/futures: the inspector's desk");
// Without a prototype, of which the inspector would tell as well.
const desk: Desk = Object.create(null);

let connection: Connection | undefined;
let lastUse = 0;
let questions = 0;
const idleWord = new Int32Array(new SharedArrayBuffer(4));

/**
 * Whether the inspector may be used; nobody is asked for a permission. A REPL
 * asks the inspector itself to run what is typed, and questions do not nest.
 */
export function canLook(): boolean {
  if (connection !== undefined) return true;
  try {
    // Deno's type of `kind` lags behind what it knows.
    const kind = "inspector" as unknown as "hostname";
    const { state } = Deno.permissions.querySync({ name: "sys", kind });
    return state === "granted" && !isRepl();
  } catch {
    return false;
  }
}

/** Says what to do where the inspector may not be used. */
export function howToLook(): string {
  const why =
    "nothing shows what a function has captured and where it was written";
  return isRepl()
    ? `run it from a file, as in a REPL ${why}`
    : `run with --allow-sys, without which ${why}`;
}

function isRepl(): boolean {
  return /\/\$deno\$(repl|jupyter)/.test(Deno.mainModule ?? "");
}

/** Looks at a function. */
export function lookAt(fn: unknown): Place {
  return ask((connection) => {
    const functionId = hand(connection, fn);
    const { internalProperties = [] } = post<Properties>(
      connection,
      "Runtime.getProperties",
      { objectId: functionId, ownProperties: true },
    );
    const location = find(internalProperties, "[[FunctionLocation]]")
      ?.value as Location | undefined;
    const scopes = find(internalProperties, "[[Scopes]]")?.objectId;
    return {
      script: location && scriptOf(location.scriptId),
      line: location?.lineNumber ?? 0,
      column: location?.columnNumber ?? 0,
      scopes: scopes === undefined ? [] : takeScopes(connection, scopes),
    };
  });
}

// ----------------------------------------------------------------- scripts

/** The scripts in which functions were found, by V8's number; it numbers no two alike. */
const scripts = new Map<string, LoadedScript>();
const MOST_SCRIPTS = 256;

function scriptOf(id: string): Script {
  let script = scripts.get(id);
  if (script === undefined) {
    script = new LoadedScript(id);
    if (scripts.size >= MOST_SCRIPTS) {
      scripts.delete(scripts.keys().next().value!);
    }
    scripts.set(id, script);
  }
  return script;
}

/** A script of which the debugger is asked when somebody wants to know. */
class LoadedScript implements Script {
  readonly id: string;
  #told: Omit<Script, "id"> | undefined;

  constructor(id: string) {
    this.id = id;
  }

  get url(): string {
    return (this.#told ??= askDebugger(this.id)).url;
  }

  get source(): string {
    return (this.#told ??= askDebugger(this.id)).source;
  }
}

/** Has the debugger tell of a script; when it is enabled it tells the URLs of all. */
function askDebugger(scriptId: string): Omit<Script, "id"> {
  return ask((connection) => {
    const { session } = connection;
    let url = "";
    const listen = (
      { params }: { params: { scriptId: string; url: string } },
    ) => {
      if (params.scriptId === scriptId) url = params.url;
    };
    session.on("Debugger.scriptParsed", listen);
    try {
      post(connection, "Debugger.enable", {});
      // A `debugger` statement would wait for somebody to go on.
      post(connection, "Debugger.setSkipAllPauses", { skip: true });
      const { scriptSource } = post<{ scriptSource: string }>(
        connection,
        "Debugger.getScriptSource",
        { scriptId },
      );
      return { url, source: scriptSource };
    } finally {
      session.off("Debugger.scriptParsed", listen);
      post(connection, "Debugger.disable", {});
    }
  });
}

/** Returns every object that inherits from `prototype`; frees what is garbage first. */
export function findInstances(prototype: object): ArrayLike<object> {
  return ask((connection) => {
    const { objects } = post<{ objects: RemoteObject }>(
      connection,
      "Runtime.queryObjects",
      { prototypeObjectId: hand(connection, prototype), objectGroup: GROUP },
    );
    return take(connection, objects.objectId!) as ArrayLike<object>;
  });
}

/** Leaves the session; the next question comes back to it. */
export function leaveInspector(): void {
  if (connection === undefined) return;
  const { session } = connection;
  connection = undefined;
  unguardWorker();
  session.disconnect();
}

// --------------------------------------------------------------- questions

/** Thrown where an answer is not there: see `ask`. */
class Unanswered extends Error {}

/**
 * Asks, in the session that there is or a new one.
 *
 * An answer waits where the session has something to tell of its own accord, a
 * new script say: it has called `nextTick` then, and does not call it again. A
 * new session has nothing of that kind.
 */
function ask<T>(question: (connection: Connection) => T): T {
  try {
    return askOnce(question);
  } catch (error) {
    if (!(error instanceof Unanswered)) throw error;
    leaveInspector();
    return askOnce(question);
  }
}

function askOnce<T>(question: (connection: Connection) => T): T {
  const current = connection ?? connect();
  lastUse = performance.now();
  try {
    return question(current);
  } finally {
    desk.fn = desk.taken = undefined;
    if (++questions % MOST_HANDED_OUT === 0 && connection === current) {
      forgetObjects(current);
    }
  }
}

function connect(): Connection {
  const { Session } = process.getBuiltinModule("node:inspector");
  const session = new Session();
  session.connect();
  try {
    const made: Connection = { session, deskId: "" };
    made.deskId = findDesk(made);
    guardWorker();
    connection = made;
    void leaveWhenIdle(made);
    return made;
  } catch (error) {
    session.disconnect();
    throw error;
  }
}

/** Returns the inspector's name for the desk. What is reached from there is in the same group. */
function findDesk(connection: Connection): string {
  const holder = globalThis as unknown as Record<symbol, unknown>;
  const key = JSON.stringify(DESK.description);
  holder[DESK] = desk;
  try {
    const { result } = post<{ result: RemoteObject }>(
      connection,
      "Runtime.evaluate",
      { expression: `globalThis[Symbol.for(${key})]`, objectGroup: GROUP },
    );
    return result.objectId!;
  } finally {
    delete holder[DESK];
  }
}

/** Takes back what the inspector has handed out. */
function forgetObjects(connection: Connection): void {
  post(connection, "Runtime.releaseObjectGroup", { objectGroup: GROUP });
  connection.deskId = findDesk(connection);
}

/** Asks one thing, and has the answer when it returns. */
function post<T>(
  { session }: Connection,
  method: string,
  params: object,
): T {
  const { nextTick } = process;
  const ticks: (() => void)[] = [];
  let answer: [error: Error | null, result: unknown] | undefined;
  process.nextTick = (fn: (...args: never[]) => void, ...args: never[]) => {
    ticks.push(() => fn(...args));
  };
  try {
    session.post(method, params, (error, result) => answer = [error, result]);
    for (let tick; (tick = ticks.shift()) !== undefined;) tick();
  } finally {
    process.nextTick = nextTick;
  }
  if (answer === undefined) throw new Unanswered(`no answer to ${method}`);
  if (answer[0] !== null) throw answer[0];
  return answer[1] as T;
}

function find(
  properties: readonly RemoteProperty[],
  name: string,
): RemoteObject | undefined {
  return properties.find((property) => property.name === name)?.value;
}

/** Hands an object to the inspector; returns its name for it. */
function hand(connection: Connection, object: unknown): string {
  desk.fn = object;
  const { result } = post<Properties>(
    connection,
    "Runtime.getProperties",
    { objectId: connection.deskId, ownProperties: true },
  );
  return find(result, "fn")!.objectId!;
}

/** Takes an object from the inspector by its name for it. */
function take(connection: Connection, objectId: string): unknown {
  post(connection, "Runtime.callFunctionOn", {
    objectId: connection.deskId,
    functionDeclaration: "function (taken) { this.taken = taken; }",
    arguments: [{ objectId }],
    silent: true,
  });
  return desk.taken;
}

function takeScopes(connection: Connection, objectId: string): Scope[] {
  // An array without a prototype.
  const scopes = take(connection, objectId) as ArrayLike<Scope>;
  return Array.from({ length: scopes.length }, (_, i) => scopes[i]);
}

// ----------------------------------------------------------------- leaving

/** Leaves the session when nobody has asked for a while, without a timer of the program's. */
async function leaveWhenIdle(mine: Connection): Promise<void> {
  do {
    await Atomics.waitAsync(idleWord, 0, 0, IDLE_MS).value;
    if (connection !== mine) return;
  } while (performance.now() - lastUse < IDLE_MS);
  leaveInspector();
}

let plainWorker: PropertyDescriptor | undefined;
let guardedWorker: unknown;

/** Makes the program's own `new Worker` leave the session first. */
function guardWorker(): void {
  plainWorker = Object.getOwnPropertyDescriptor(globalThis, "Worker");
  if (plainWorker?.configurable !== true) return;
  const guard: typeof Worker = new Proxy(globalThis.Worker, {
    construct(target, args, newTarget) {
      leaveInspector();
      const asked = newTarget as unknown === guard ? target : newTarget;
      return Reflect.construct(target, args, asked);
    },
  });
  guarded.set(guard, globalThis.Worker);
  guardedWorker = guard;
  Object.defineProperty(globalThis, "Worker", {
    ...plainWorker,
    value: guardedWorker,
  });
}

/** The classes for which guards stood, by the guard: a program may have kept one. */
const guarded = new WeakMap<object, object>();

/** Returns the class that a guard stands for; anything else as it is. */
export function withoutGuard(value: unknown): unknown {
  return guarded.get(value as object) ?? value;
}

function unguardWorker(): void {
  if (plainWorker !== undefined && globalThis.Worker === guardedWorker) {
    Object.defineProperty(globalThis, "Worker", plainWorker);
  }
  plainWorker = guardedWorker = undefined;
}
