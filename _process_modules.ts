/**
 * Which of this package's modules a worker process loads, and when.
 *
 * @module
 */

/** The entry module of a worker process. */
export const ENTRY: URL = resolve("_process_worker.ts");

/**
 * The modules that a process loads when it runs already: the reading thread's,
 * and the rich codec's. That takes a permission, where they are files; a static
 * import of the entry's takes none.
 */
export const LOADED_LATER: readonly URL[] = [
  "_bytes.ts",
  "_child_memory.ts",
  "_error_classes.ts",
  "_frames.ts",
  "_layout.ts",
  "_path.ts",
  "_plain.ts",
  "_process_protocol.ts",
  "_process_reader.ts",
  "_realm.ts",
  "_refusal.ts",
  "_rich.ts",
  "_segments.ts",
  "_sync_writer.ts",
  "_transferable.ts",
  "errors.ts",
].map(resolve);

function resolve(module: string): URL {
  return new URL(`./${module}`, import.meta.url);
}
