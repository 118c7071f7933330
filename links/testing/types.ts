/**
 * Stands in for `jsr:@std/testing/types` where the JSR registry is out of reach:
 * the npm package that it was made from, under the name that it has there.
 *
 * @module
 */

export {
  type Assert,
  assert as assertType,
  type AssertFalse,
  type AssertTrue,
  type Has,
  type IsAny,
  type IsExact,
  type IsNever,
  type IsNullable,
  type IsUnknown,
  type NotHas,
} from "npm:conditional-type-checks@1.0.6";
