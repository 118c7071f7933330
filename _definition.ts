/**
 * What tells a worker which function a task calls: written by the owner
 * (`_callable.ts`), read by the worker (`_loader.ts`), as JSON.
 *
 * @module
 */

/** How a callable travels. */
export type Definition =
  | ModuleDefinition
  | GlobalDefinition
  | SourceDefinition;

/** An export of a module, which the worker imports. */
export interface ModuleDefinition {
  readonly kind: "module";
  readonly module: string;
  readonly name: string;
}

/** A built-in, by the way to it from the global object. */
export interface GlobalDefinition {
  readonly kind: "global";
  readonly name: string;
  readonly path: readonly string[];
  /** Its text, so that a replaced built-in is not taken for the true one. */
  readonly source: string;
}

/** A function that uses nothing but its parameters and globals. */
export interface SourceDefinition {
  readonly kind: "source";
  readonly name: string;
  /** An expression whose value is the function. */
  readonly expression: string;
}
