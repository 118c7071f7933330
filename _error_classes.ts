/**
 * The error classes that cross between caller and worker as themselves.
 *
 * Both sides hold the same table because both import the modules that fill it.
 * An error of any other class arrives as a plain `Error` that keeps its name.
 *
 * @module
 */

/** A class whose instances are errors. */
export type ErrorClass = abstract new (...args: never[]) => Error;

/** Key: the class name that travels. */
const classes = new Map<string, ErrorClass>();

for (
  const builtin of [
    Error,
    EvalError,
    RangeError,
    ReferenceError,
    SyntaxError,
    TypeError,
    URIError,
    AggregateError,
    SuppressedError,
    ...denoErrors(),
  ]
) classes.set(builtin.name, builtin);

/** Returns `Deno.errors`' classes: what a failed file or network call throws. */
function denoErrors(): ErrorClass[] {
  return Object.values(Deno.errors).filter((value) =>
    typeof value === "function"
  );
}

/** Adds a class under its name; see `registerClass` for what it throws. */
export function addErrorClass(errorClass: ErrorClass): void {
  if (
    typeof errorClass !== "function" ||
    !(errorClass.prototype instanceof Error)
  ) {
    throw new TypeError(
      `Cannot register a class as it must extend Error: received ${
        typeof errorClass === "function" ? errorClass.name : typeof errorClass
      }`,
    );
  }
  const { name } = errorClass;
  if (name === "") {
    throw new TypeError(
      "Cannot register an error class as it has no name: give the class one",
    );
  }
  const known = classes.get(name);
  if (known !== undefined && known !== errorClass) {
    throw new TypeError(
      `Cannot register the error class "${name}" as another class of that name is registered already: rename one of them`,
    );
  }
  classes.set(name, errorClass);
}

/** Returns the name under which exactly the class of `error` is known. */
export function nameOfClass(error: Error): string | undefined {
  const prototype = Object.getPrototypeOf(error);
  // Not `error.constructor`: a field of the error's own may have that name.
  const constructor: unknown = prototype?.constructor;
  if (typeof constructor !== "function") return undefined;
  const known = classes.get(constructor.name);
  return known !== undefined && known.prototype === prototype
    ? constructor.name
    : undefined;
}

/** Returns the prototype for errors that arrive under `name`. */
export function prototypeFor(name: string): object {
  return (classes.get(name) ?? Error).prototype;
}
