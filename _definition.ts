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
  | SourceDefinition
  | BlindDefinition;

/** What a module exports; the worker imports the module. */
export interface ModuleDefinition {
  readonly kind: "module";
  /** The function's name, for messages. */
  readonly name: string;
  /** A URL, or a bare specifier of the program's import map. */
  readonly module: string;
  /** The way from the module's namespace, empty for the namespace itself. */
  readonly path: readonly string[];
  /** The function's text, so that no other function is taken for it. */
  readonly source?: string;
}

/** A built-in, by the way to it from the global object. */
export interface GlobalDefinition {
  readonly kind: "global";
  readonly name: string;
  readonly path: readonly string[];
  /** Its text, so that a replaced built-in is not taken for the true one. */
  readonly source: string;
}

/** A function that is made again from its text. */
export interface SourceDefinition {
  readonly kind: "source";
  readonly name: string;
  /**
   * The text of a function of two arrays, the captured values and what `uses`
   * names, that returns the function; see `_closure_text.ts`.
   */
  readonly text: string;
  readonly uses: readonly Use[];
  /** Whether each call brings the captured values as its first argument. */
  readonly isCapturing: boolean;
  /** The captured values, where all calls share them. */
  readonly values?: DefinitionValues;
}

/**
 * A function of which nothing but its text is known, as the inspector is not
 * permitted: the worker looks for it in the module that submitted it.
 */
export interface BlindDefinition {
  readonly kind: "blind";
  readonly name: string;
  readonly module: string;
  /** The function's text. */
  readonly source: string;
  /** The function made from its text, for a worker where all of `missing` is global. */
  readonly text: string | undefined;
  /** Names that it uses and that the owner's global object does not have. */
  readonly missing: readonly string[];
  /** What it needs that the text does not bring, and what to do. */
  readonly hint: string;
}

/** What a function that travels by source finds in the worker. */
export type Use = ModuleDefinition | GlobalDefinition | MetaUse;

/** What `import.meta` and `import()` are in a module. */
export interface MetaUse {
  readonly kind: "meta";
  readonly module: string;
}

/** A payload as a part of a definition, which is text. */
export interface DefinitionValues {
  readonly format: number;
  readonly text: string;
  /** In base64. */
  readonly buffers: readonly string[];
  /** Numbers of the objects that the pool shares with its workers. */
  readonly shared: readonly number[];
}
