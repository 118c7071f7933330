/**
 * Stands in for `jsr:@std/async` where the JSR registry is out of reach.
 *
 * The code is the official one, as npm carries it; the types, which npm does
 * not carry, are in `types.d.ts`. npm's own `async/mod.js` can't be imported: it
 * names a file that is not in the package.
 *
 * @module
 */

export * from "./abortable.ts";
export * from "./deadline.ts";
export * from "./debounce.ts";
export * from "./delay.ts";
export * from "./mux_async_iterator.ts";
export * from "./pool.ts";
export * from "./retry.ts";
export * from "./tee.ts";
