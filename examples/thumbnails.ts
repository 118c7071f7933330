// deno-lint-ignore-file no-console -- an example prints
/**
 * Makes thumbnails of a folder of pictures, in processes: one that fails or runs
 * out of memory costs its own picture only.
 *
 * npm's @jsquash has Squoosh's codecs and scaler as WebAssembly: less than 1 MB, and
 * they read nothing but their own files. A process imports this file for
 * `makeThumbnail`, and them with it. The pictures are drawn first, into a temporary
 * folder that is removed at the end; one of them is none.
 *
 * ```sh
 * deno run --allow-read --allow-write --allow-run examples/thumbnails.ts
 * ```
 *
 * It prints:
 *
 * ```text
 * julia1.png: 640 x 480 -> 160 x 120, 29818 bytes
 * julia2.png: 640 x 480 -> 160 x 120, 31608 bytes
 * julia3.png: 640 x 480 -> 160 x 120, 30664 bytes
 * julia4.png: 640 x 480 -> 160 x 120, 26289 bytes
 * notes.png: no thumbnail, Error: `unwrap_throw` failed
 * ```
 *
 * @module
 */

import { type Executor, ProcessPoolExecutor } from "@concurrent/futures";
import { basename, join } from "node:path";
import decode from "npm:@jsquash/png@3.1.1/decode.js";
import encode from "npm:@jsquash/png@3.1.1/encode.js";
import resize from "npm:@jsquash/resize@2.1.1";

/** The points whose Julia sets are drawn; each makes another picture. */
const REAL = [-0.8, -0.4, 0.285, -0.835];
const IMAGINARY = [0.156, 0.6, 0.01, -0.2321];
const THUMBNAIL_WIDTH = 160;

/** Draws a Julia set of 640 x 480 pixels. */
export async function drawPicture(
  path: string,
  re: number,
  im: number,
): Promise<void> {
  const image = new ImageData(640, 480);
  for (let i = 0; i < image.width * image.height; i++) {
    let x = (i % image.width - image.width / 2) / 200;
    let y = (Math.floor(i / image.width) - image.height / 2) / 200;
    let n = 0;
    while (n < 255 && x * x + y * y < 4) {
      [x, y] = [x * x - y * y + re, 2 * x * y + im];
      n++;
    }
    image.data.set([n, n * 3, n * 7, 255], 4 * i);
  }
  await Deno.writeFile(path, new Uint8Array(await encode(image)));
}

/** Makes a smaller copy of a picture; returns a line about it. */
export async function makeThumbnail(
  source: string,
  target: string,
): Promise<string> {
  const { buffer } = await Deno.readFile(source);
  const image = await decode(buffer);
  const height = Math.round(THUMBNAIL_WIDTH * image.height / image.width);
  const small = await resize(image, { width: THUMBNAIL_WIDTH, height });
  const bytes = new Uint8Array(await encode(small));
  await Deno.writeFile(target, bytes);
  return `${image.width} x ${image.height} -> ` +
    `${small.width} x ${small.height}, ${bytes.length} bytes`;
}

async function drawPictures(pool: Executor, folder: string): Promise<string[]> {
  const paths = REAL.map((_, i) => join(folder, `julia${i + 1}.png`));
  await Array.fromAsync(pool.map(drawPicture, paths, REAL, IMAGINARY));
  const broken = join(folder, "notes.png");
  await Deno.writeTextFile(broken, "no picture, whatever its name says");
  return [...paths, broken];
}

async function makeThumbnails(folder: string): Promise<void> {
  await using pool = new ProcessPoolExecutor({ onWorkerDeath: "replace" });
  const paths = await drawPictures(pool, folder);
  // Not by `map`, which ends at the first call that fails.
  const futures = paths.map((path) =>
    pool.submit(makeThumbnail, path, path.replace(/\.png$/, ".small.png"))
  );
  for (const [i, future] of futures.entries()) {
    const error = await future.exception();
    const outcome = error === null ? await future : `no thumbnail, ${error}`;
    console.log(`${basename(paths[i])}: ${outcome}`);
  }
}

/** Runs the example. */
export async function main(): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await makeThumbnails(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) await main();
