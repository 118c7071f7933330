/**
 * The way from a value to something in it, as a reader would write it:
 * `.options["on done"][2].get("key")`.
 *
 * @module
 */

/** Returns the path from `root` to `target`, empty where it is not found. */
export function findPath(root: unknown, target: unknown): string {
  return search(root, target, new Set()) ?? "";
}

function search(
  value: unknown,
  target: unknown,
  seen: Set<unknown>,
): string | undefined {
  if (Object.is(value, target)) return "";
  if (typeof value !== "object" || value === null || seen.has(value)) {
    return undefined;
  }
  seen.add(value);
  for (const [step, part] of parts(value)) {
    const rest = search(part, target, seen);
    if (rest !== undefined) return step + rest;
  }
  return undefined;
}

/** The parts of an object that travel with it, each with its step. */
function* parts(value: object): Generator<[step: string, part: unknown]> {
  if (value instanceof Map) {
    for (const [key, item] of value) {
      yield [`.get(${describeKey(key)})`, item];
      yield [".keys()", key];
    }
  } else if (value instanceof Set) {
    for (const item of value) yield ["", item];
  } else if (ArrayBuffer.isView(value)) {
    return yield ["", value.buffer];
  }
  const isArray = Array.isArray(value);
  for (const [key, item] of Object.entries(value)) {
    const isIndex = isArray && /^\d+$/.test(key);
    yield [isIndex ? `[${key}]` : describeStep(key), item];
  }
  if (value instanceof Error) {
    if (value.cause !== undefined) yield [".cause", value.cause];
    if (value instanceof AggregateError) yield [".errors", value.errors];
  }
}

function describeStep(key: string): string {
  return /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key)
    ? `.${key}`
    : `[${JSON.stringify(key)}]`;
}

function describeKey(key: unknown): string {
  return typeof key === "object" || typeof key === "function" ||
      typeof key === "symbol"
    ? "..."
    : typeof key === "string"
    ? JSON.stringify(key)
    : String(key);
}
