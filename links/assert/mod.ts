/**
 * Stands in for `jsr:@std/assert` where the JSR registry is out of reach.
 *
 * The code is the official one, as npm carries it; the types, which npm does
 * not carry, are in `types.d.ts`. Every subpath of the package leads here, so a
 * subpath offers more names than the real one does: import by the right one.
 *
 * @module
 */

// @ts-types="./types.d.ts"
export * from "npm:deno-std@1.4.0/assert/mod.js";
