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
  const { stackTraceLimit, prepareStackTrace } = Error;
  // The program's own way to write a stack may give anything.
  Object.assign(Error, {
    stackTraceLimit: FRAMES,
    prepareStackTrace: undefined,
  });
  const { stack = "" } = new Error();
  Object.assign(Error, { stackTraceLimit, prepareStackTrace });
  for (const [, url] of stack.matchAll(/(\w+:[^\s()]*):\d+:\d+\)?$/gm)) {
    if (/^(file|https?|data|blob):/.test(url) && !isOwn(url)) return url;
  }
  return undefined;
}

function isOwn(url: string): boolean {
  return url.startsWith(OWN) && !url.slice(OWN.length).includes("/");
}
