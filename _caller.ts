/**
 * Which module calls this one, by the stack.
 *
 * @module
 */

/** The folder of the library's own modules, which are not who calls. */
const OWN = new URL(".", import.meta.url).href;

/** Deep enough for the frames of the library below its caller. */
const FRAMES = 40;

/** Returns the URL of the nearest module that is not the library's. */
export function findCaller(): string | undefined {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = FRAMES;
  const { stack = "" } = new Error();
  Error.stackTraceLimit = limit;
  for (const [, url] of stack.matchAll(/(\w+:[^\s()]*):\d+:\d+\)?$/gm)) {
    if (/^(file|https?|data|blob):/.test(url) && !isOwn(url)) return url;
  }
  return undefined;
}

function isOwn(url: string): boolean {
  return url.startsWith(OWN) && !url.slice(OWN.length).includes("/");
}
