/**
 * What the programs write to the terminal.
 *
 * @module
 */

/** Prints one line. */
export function print(line: string): void {
  // deno-lint-ignore no-console
  console.log(line);
}
