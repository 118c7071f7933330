// @ts-types="./types.d.ts"
export { MuxAsyncIterator } from "npm:deno-std@1.4.0/async/mux_async_iterator.js";
