/**
 * The places that a process pool starts from: files, and the main module.
 *
 * What this file says of Deno was tried with Deno 2.9.6, 2026-11.
 *
 * @module
 */

// By hand: loading node:url and node:path takes Deno some 20 ms.

/** Turns a `file:` URL into a path. */
export function toPath(url: URL): string {
  const path = decodeURIComponent(url.pathname);
  if (Deno.build.os !== "windows") return path;
  return url.hostname === ""
    ? path.replace(/^\/+(?=[a-zA-Z]:)/, "")
    : `//${url.hostname}${path}`;
}

/** Turns a path into one that does not depend on the working folder. */
export function toAbsolute(path: string): string {
  return /^([a-zA-Z]:)?[\\/]/.test(path) ? path : `${Deno.cwd()}/${path}`;
}

/** The program's main module; in a `Worker`, `Deno.mainModule` is `undefined`. */
export function mainModule(): URL | undefined {
  const main: string | undefined = Deno.mainModule;
  return main === undefined ? undefined : new URL(main);
}
