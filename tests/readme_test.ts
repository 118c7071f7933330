import { assertEquals, assertStringIncludes } from "@std/assert";
import { runProgram } from "./_program.ts";

const ROOT = new URL("../", import.meta.url);

async function read(path: string): Promise<string> {
  return await Deno.readTextFile(new URL(path, ROOT));
}

/** The parts of the README's section "What you can submit". */
async function readSection(): Promise<{ table: string; programs: string[] }> {
  const readme = await read("README.md");
  const [section] = readme.split("## What you can submit\n")[1].split("\n## ");
  const programs = section.match(/(?<=```ts\n)[^]*?(?=\n```)/g) ?? [];
  return { table: section.split("```")[0], programs };
}

Deno.test("README: each row of what you can submit is a line of the program below it", async () => {
  const { table, programs: [program] } = await readSection();
  const rows = table.split("\n").filter((line) => line.includes("`pool."));
  assertEquals(rows.length, 5);
  for (const row of rows) {
    const [, line] = row.split("`");
    assertStringIncludes(program, line);
  }
});

Deno.test(
  "README: the program that is guarded runs",
  { timeout: 60_000 },
  async () => {
    const { programs: [, program] } = await readSection();
    const { code, stdout, stderr } = await runProgram(program, {
      flags: ["--allow-run", "--allow-sys"],
    });
    assertEquals([code, stdout, stderr], [0, "any functi\n", ""]);
  },
);

/** The programs of a page that are guarded: a doc test skips what they do. */
async function readGuarded(page: string): Promise<string[]> {
  const programs = (await read(page)).match(/(?<=```ts\n)[^]*?(?=\n```)/g) ??
    [];
  return programs.filter((program) => program.includes("import.meta.main"));
}

for (const [page, count] of [["docs/what_travels.md", 2]] as const) {
  Deno.test(
    `${page}: the programs that are guarded run`,
    { timeout: 60_000 },
    async () => {
      const programs = await readGuarded(page);
      assertEquals(programs.length, count);
      for (const program of programs) {
        const { code, stdout, stderr } = await runProgram(program, {
          flags: ["--allow-run", "--allow-sys"],
        });
        assertEquals([code, stdout, stderr], [0, "", ""]);
      }
    },
  );
}
