// deno-lint-ignore-file no-console -- an example prints
/**
 * Compresses each source file of a folder tree in threads, and reads back what
 * it wrote.
 *
 * The tree is this package's. One path is of a file that is gone by the time its
 * turn comes: it is reported, and the rest goes on. The compressed copies are in a
 * temporary folder that is removed at the end.
 *
 * ```sh
 * deno run --allow-read --allow-write examples/gzip_tree.ts
 * ```
 *
 * It prints, with other figures:
 *
 * ```text
 * gone.ts: NotFound
 * 248 files, 2.05 MB compressed to 0.61 MB: 30 %
 * ```
 *
 * @module
 */

import { ThreadPoolExecutor } from "@concurrent/futures";
import { dirname, extname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";

const EXTENSIONS = new Set([".md", ".ts"]);

/** What became of a file, in bytes. */
export interface Sizes {
  plain: number;
  compressed: number;
}

/** Compresses a file, and makes sure that it can be had back. */
export async function gzipFile(source: string, target: string): Promise<Sizes> {
  const bytes = await Deno.readFile(source);
  await Deno.mkdir(dirname(target), { recursive: true });
  await Deno.writeFile(target, gzipSync(bytes, { level: 9 }));

  const compressed = await Deno.readFile(target);
  if (!gunzipSync(compressed).equals(bytes)) {
    throw new Error(`Cannot read back what was written to ${target}`);
  }
  return { plain: bytes.length, compressed: compressed.length };
}

/** The paths of the source files below a folder, hidden folders left out. */
async function* walk(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory, isFile } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isFile && EXTENSIONS.has(extname(name))) yield path;
    if (isDirectory && !name.startsWith(".") && name !== "node_modules") {
      yield* walk(path);
    }
  }
}

async function gzipTree(source: string, target: string): Promise<void> {
  await using pool = new ThreadPoolExecutor({
    maxWorkers: navigator.hardwareConcurrency,
  });
  const paths = [
    ...await Array.fromAsync(walk(source)),
    join(source, "gone.ts"),
  ];
  const futures = paths.map((path) =>
    pool.submit(gzipFile, path, join(target, `${relative(source, path)}.gz`))
  );

  let files = 0, plain = 0, compressed = 0;
  for (const [i, future] of futures.entries()) {
    try {
      const sizes = await future;
      files++;
      plain += sizes.plain;
      compressed += sizes.compressed;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      console.log(`${relative(source, paths[i])}: ${error.name}`);
    }
  }
  const percent = (100 * compressed / plain).toFixed();
  console.log(
    `${files} files, ${megabytes(plain)} compressed to ${
      megabytes(compressed)
    }: ${percent} %`,
  );
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(2)} MB`;
}

/** Runs the example. */
export async function main(): Promise<void> {
  const source = fileURLToPath(new URL("..", import.meta.url));
  const target = await Deno.makeTempDir();
  try {
    await gzipTree(source, target);
  } finally {
    await Deno.remove(target, { recursive: true });
  }
}

if (import.meta.main) await main();
