/**
 * The type of functions whose parameters the compiler cannot know: they come from text.
 *
 * @module
 */

/** Takes whatever it is given; a method's parameters are not compared, so any function is one. */
export type AnyFunction = {
  call(...args: unknown[]): unknown;
}["call"];
