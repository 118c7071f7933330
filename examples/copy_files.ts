// deno-lint-ignore-file no-console -- an example prints
/**
 * Copies four files at a time; the end of the block waits until all are there.
 *
 * Python: the example of `Executor.shutdown`, `shutil.copy` in a `with` block.
 * Differs: the files are in a temporary folder that the example makes and
 * removes, and it prints the copies.
 *
 * ```sh
 * deno run --allow-read --allow-write examples/copy_files.ts
 * ```
 *
 * It prints:
 *
 * ```text
 * dest1.txt: the text of src1.txt
 * dest2.txt: the text of src2.txt
 * dest3.txt: the text of src3.txt
 * dest4.txt: the text of src4.txt
 * ```
 *
 * @module
 */

import { ThreadPoolExecutor } from "@concurrent/futures";

/** Runs the example. */
export function main(): void {
  const folder = Deno.makeTempDirSync();
  try {
    copyFour(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function copyFour(folder: string): void {
  for (const n of [1, 2, 3, 4]) {
    Deno.writeTextFileSync(`${folder}/src${n}.txt`, `the text of src${n}.txt`);
  }

  {
    using executor = new ThreadPoolExecutor({ maxWorkers: 4 });
    executor.submit(Deno.copyFile, `${folder}/src1.txt`, `${folder}/dest1.txt`);
    executor.submit(Deno.copyFile, `${folder}/src2.txt`, `${folder}/dest2.txt`);
    executor.submit(Deno.copyFile, `${folder}/src3.txt`, `${folder}/dest3.txt`);
    executor.submit(Deno.copyFile, `${folder}/src4.txt`, `${folder}/dest4.txt`);
  }

  for (const n of [1, 2, 3, 4]) {
    console.log(
      `dest${n}.txt: ${Deno.readTextFileSync(`${folder}/dest${n}.txt`)}`,
    );
  }
}

if (import.meta.main) main();
