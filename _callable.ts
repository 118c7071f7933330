/**
 * Decides how a callable travels, once for each function, in the order of
 * preference of the README's table:
 *
 * 1. a reference made by `importTasks`, or a built-in that the global object
 *    reaches: by name;
 * 2. a function that uses nothing of its place: by its text;
 * 3. one that its module exports, and that uses something of it: by the
 *    module and its name there (`_references.ts`);
 * 4. any other: by its text, with what it has captured (`_capture.ts`).
 *
 * Only what was captured is looked at again at the next `submit`, and not even
 * that where no statement of the module can have changed it.
 *
 * @module
 */

import { findCaller } from "./_caller.ts";
import {
  addedProperties,
  type Capture,
  capture,
  isAlone,
  needsItsPlace,
} from "./_capture.ts";
import { describeError } from "./_describe.ts";
import { writeAlone } from "./_closure_text.ts";
import type { Definition, SourceDefinition } from "./_definition.ts";
import { isNative, refusalOfFunction } from "./_function_refusal.ts";
import { type FunctionSource, readFunctionSource } from "./_function_source.ts";
import { canLook, howToLook, lookAt } from "./_inspector.ts";
import {
  findExport,
  findGlobal,
  isAtTop,
  nameOf,
  textOf,
} from "./_references.ts";
import type { CapturedValue, Payload } from "./_payload.ts";
import { TaskReference } from "./_task_reference.ts";
import { SerializationError } from "./errors.ts";

/** How a callable travels. */
export interface Travel {
  readonly name: string;
  readonly definition: Definition;
  /** The definition as JSON. */
  readonly text: string;
  /** What goes with each call: a copy of it at the time of the call. */
  readonly captured?: readonly CapturedValue[];
  /** What was captured, where all calls share one copy. */
  readonly values?: Payload;
}

/** What is known of a function that was submitted before. */
type Decision =
  | { readonly kind: "travels"; readonly travel: Travel }
  | { readonly kind: "refused"; readonly message: string }
  | { readonly kind: "captures"; readonly source: FunctionSource };

const decisions = new WeakMap<object, Decision>();

/** Functions that use nothing of their place, for those made anew again and again. */
const alone = new Map<string, Decision>();
const MOST_ALONE = 1024;

function isCallable(value: unknown): value is object {
  return typeof value === "function" || value instanceof TaskReference ||
    value instanceof BoundCallable;
}

/**
 * Returns `value` if it may be submitted.
 *
 * @param what How the error is to begin.
 * @throws {TypeError} If it is neither a function nor a task reference.
 */
export function checkCallable(
  value: unknown,
  what = "Cannot submit as what is to be called",
): object {
  if (isCallable(value)) return value;
  const type = value === null ? "null" : typeof value;
  throw new TypeError(
    `${what} must be a function or a task reference: received ${type}`,
  );
}

/** A function with a copy of what it had captured when it was bound, for many calls. */
export class BoundCallable {
  readonly #travel: Travel | SerializationError;

  /**
   * @param travel How the function travels, or why it cannot.
   * @param values A copy of the values that it has captured.
   */
  constructor(travel: Travel | SerializationError, values?: Payload) {
    this.#travel = travel instanceof SerializationError
      ? travel
      : { ...travel, captured: undefined, values };
  }

  /**
   * How it travels.
   *
   * @throws {SerializationError} If it cannot; a new error each time.
   */
  get travel(): Travel {
    if (!(this.#travel instanceof SerializationError)) return this.#travel;
    const { message, cause } = this.#travel;
    throw new SerializationError(message, cause ? { cause } : undefined);
  }
}

/** Whether what a callable that travels brings along may be another the next time. */
export function isCapturing(callable: object): boolean {
  return decisions.get(callable)?.kind === "captures";
}

/**
 * Returns how a callable travels, with what it has captured now.
 *
 * @throws {SerializationError} If it cannot travel; a new error each time.
 */
export function travelOf(callable: object): Travel {
  if (callable instanceof BoundCallable) return callable.travel;
  try {
    return decided(callable);
  } catch (cause) {
    if (cause instanceof SerializationError) throw cause;
    // A getter or a trap of the program's, a function of another realm.
    throw new SerializationError(
      `Cannot send a function as it cannot be looked at: ${
        describeError(cause)
      }`,
      { cause },
    );
  }
}

function decided(callable: object): Travel {
  const decision = decisions.get(callable);
  switch (decision?.kind) {
    case "travels":
      // Properties may have been given to the function since.
      if (
        decision.travel.definition.kind !== "source" ||
        Object.keys(callable).length === 0
      ) return decision.travel;
      break;
    case "refused":
      throw new SerializationError(decision.message);
    case "captures":
      return captureAgain(callable, decision.source);
  }
  const made = decide(callable);
  decisions.set(callable, made.decision);
  return made.travel ?? decided(callable);
}

/** What was decided, and how the callable travels this time if that may change. */
interface Decided {
  readonly decision: Decision;
  readonly travel?: Travel;
}

function decide(callable: object): Decided {
  if (callable instanceof TaskReference) {
    const { module, export: name } = callable;
    return {
      decision: travels({ kind: "module", name, module, path: [name] }),
    };
  }
  const text = textOf(callable);
  const key = `${nameOf(callable)}\0${text}`;
  const known = alone.get(key);
  if (known !== undefined && addedProperties(callable).length === 0) {
    return { decision: known };
  }
  const global = findGlobal(callable);
  if (global !== undefined) return { decision: travels(global) };
  const source = readFunctionSource(text);
  if (source?.isGenerator || source?.isClass) {
    return { decision: refuse(callable, whyNoCallable(source)) };
  }
  if (source !== undefined && isAlone(callable, source)) {
    const decision = travels(defineAlone(callable, source));
    if (alone.size >= MOST_ALONE) alone.delete(alone.keys().next().value!);
    alone.set(key, decision);
    return { decision };
  }
  return canLook()
    ? decideByPlace(callable, source)
    : { decision: decideBlindly(callable, source) };
}

function decideByPlace(
  fn: object,
  source: FunctionSource | undefined,
): Decided {
  const place = lookAt(fn);
  if (!needsItsPlace(fn, source, place)) {
    return { decision: travels(defineAlone(fn, source!)) };
  }
  const exported = findExport(fn, place);
  if (exported !== undefined) return { decision: travels(exported) };
  const why = refusalOfFunction(fn, source, place);
  if (why !== undefined) {
    const { script, scopes } = place;
    const hint = script !== undefined && URL.canParse(script.url) &&
        isAtTop(scopes)
      ? `, or export it from ${script.url}`
      : "";
    return { decision: refuse(fn, why + hint) };
  }
  return {
    decision: { kind: "captures", source: source! },
    travel: makeCapturingTravel(capture(fn, source!, place)),
  };
}

/** Decides without the inspector: names are taken for the platform's where it has them. */
function decideBlindly(
  fn: object,
  source: FunctionSource | undefined,
): Decision {
  const missing = source?.freeNames.filter((name) => !(name in globalThis)) ??
    [];
  const isPlain = source !== undefined && missing.length === 0 &&
    !source.usesModule && !(source.isArrow && source.usesThis) &&
    addedProperties(fn).length === 0;
  const why = refusalOfFunction(fn, source);
  if (isPlain && why === undefined) return travels(defineAlone(fn, source));
  const uses = missing.length > 0
    ? `it uses ${missing.map((name) => `"${name}"`).join(", ")}`
    : "it uses something";
  const hint = `${
    why ?? `${uses} of the place where it was written`
  }: ${howToLook()}`;
  const module = isNative(fn) ? undefined : findCaller();
  if (module === undefined) return refuse(fn, hint);
  const name = nameOf(fn);
  const isWritable = source !== undefined && why === undefined &&
    !source.usesModule;
  return travels({
    kind: "blind",
    name,
    module,
    source: textOf(fn),
    text: isWritable ? writeAlone(name, source) : undefined,
    missing,
    hint,
  });
}

// -------------------------------------------------------------- references

const references = new WeakMap<object, Decision>();

/**
 * Returns how a callable travels where its text must not: by the module that
 * exports it, whatever `travelOf` would prefer.
 *
 * @throws {SerializationError} If no module does; a new error each time.
 */
export function referenceOf(callable: object): Travel {
  if (callable instanceof TaskReference || callable instanceof BoundCallable) {
    return travelOf(callable);
  }
  let decision = references.get(callable);
  if (decision === undefined) {
    decision = decideReference(callable);
    references.set(callable, decision);
  }
  if (decision.kind === "travels") return decision.travel;
  const { message } = decision as { message: string };
  throw new SerializationError(message);
}

function decideReference(fn: object): Decision {
  try {
    if (canLook()) {
      const exported = findExport(fn, lookAt(fn));
      if (exported !== undefined) return travels(exported);
    } else {
      const module = isNative(fn) ? undefined : findCaller();
      if (module !== undefined) return travels(defineByText(fn, module));
    }
  } catch {
    // what cannot be looked at is no export either
  }
  return refuse(
    fn,
    'only what a module exports is sent to other machines: export it from its module, or name it by importTasks; or set "allowSource", here and on each node',
  );
}

/** The one export of a module that has this text; the worker looks for it. */
function defineByText(fn: object, module: string): Definition {
  const name = nameOf(fn);
  const hint =
    "only what a module exports is sent to other machines: name it by importTasks, or run with --allow-sys, so that it can be found";
  const source = textOf(fn);
  return {
    kind: "blind",
    name,
    module,
    source,
    text: undefined,
    missing: [],
    hint,
  };
}

// ----------------------------------------------------------------- travels

function travels(definition: Definition): Decision {
  return { kind: "travels", travel: makeTravel(definition) };
}

function makeTravel(
  definition: Definition,
  captured?: readonly CapturedValue[],
): Travel {
  const { name } = definition;
  return { name, definition, text: JSON.stringify(definition), captured };
}

/** A function that uses nothing of its place. */
function defineAlone(fn: object, source: FunctionSource): SourceDefinition {
  const name = nameOf(fn);
  const text = writeAlone(name, source);
  return { kind: "source", name, text, uses: [], isCapturing: false };
}

function makeCapturingTravel({ definition, values }: Capture): Travel {
  return makeTravel(definition, definition.isCapturing ? values : undefined);
}

/** What was captured where no variable can change, and how it travels. */
interface Fixed {
  readonly capture: Capture;
  readonly travel: Travel;
}

const fixed = new WeakMap<object, Fixed | undefined>();

/** Captures again what a function has captured now. */
function captureAgain(fn: object, source: FunctionSource): Travel {
  const known = fixed.get(fn);
  if (known?.capture.isUnchanged()) return known.travel;
  const captured = capture(fn, source, lookAt(fn));
  const travel = makeCapturingTravel(captured);
  if (!fixed.has(fn) || known !== undefined) {
    const isFixed = captured.isFixed();
    fixed.set(fn, isFixed ? { capture: captured, travel } : undefined);
  }
  return travel;
}

// ---------------------------------------------------------------- messages

function whyNoCallable({ isGenerator }: FunctionSource): string {
  return isGenerator
    ? "it is a generator function, whose values cannot travel one by one: submit a function that returns them in an array"
    : "it is a class: submit a function that makes the object and returns what you need of it";
}

function refuse(fn: object, why: string): Decision {
  return {
    kind: "refused",
    message: `Cannot send the function "${nameOf(fn)}" as ${why}`,
  };
}
