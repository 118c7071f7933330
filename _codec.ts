/**
 * Payloads of every kind of value, with the rich codec there from the start.
 *
 * @module
 */

import { provideRich } from "./_payload.ts";
import * as rich from "./_rich.ts";

export * from "./_payload.ts";

provideRich(rich);
