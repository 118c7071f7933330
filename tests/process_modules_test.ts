import { assertEquals } from "@std/assert";
import { LOADED_LATER } from "../_process_modules.ts";

interface Dependency {
  readonly code?: { readonly specifier?: string };
}

interface Info {
  readonly modules: readonly {
    readonly specifier: string;
    readonly dependencies?: readonly Dependency[];
  }[];
}

/** The files that a module loads: itself, and what it imports other than types. */
async function filesOf(module: string): Promise<Set<string>> {
  const specifier = import.meta.resolve(`../${module}`);
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", specifier],
  }).output();
  const { modules }: Info = JSON.parse(new TextDecoder().decode(stdout));
  const files = new Set<string>();
  const visit = (specifier: string) => {
    if (!specifier.startsWith("file:") || files.has(specifier)) return;
    files.add(specifier);
    const found = modules.find((module) => module.specifier === specifier);
    for (const { code } of found?.dependencies ?? []) {
      if (code?.specifier !== undefined) visit(code.specifier);
    }
  };
  visit(specifier);
  return files;
}

Deno.test("LOADED_LATER lists what the reading thread and the rich codec load, and no more", async () => {
  const reader = await filesOf("_process_reader.ts");
  const files = reader.union(await filesOf("_rich.ts"));
  assertEquals(LOADED_LATER.map(String).toSorted(), [...files].toSorted());
});
