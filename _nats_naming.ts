/**
 * Definitions on their way to another machine: the URL of a module means nothing
 * there, so the module's name and hash go in its place.
 *
 * @module
 */

import type {
  BlindDefinition,
  Definition,
  MetaUse,
  ModuleDefinition,
  SourceDefinition,
} from "./_definition.ts";
import { nameModule } from "./_nats_modules.ts";
import type { ModuleName } from "./_nats_protocol.ts";
import { SerializationError } from "./errors.ts";

/** A definition that can go to another machine, with that of an initializer. */
export interface NamedDefinition {
  readonly name: string;
  /** The JSON, with `module:<i>` for the modules. */
  readonly text: string;
  /** The same for the initializer, where there is one. */
  readonly initializer: string | undefined;
  /** The modules of both. */
  readonly modules: readonly ModuleName[];
  /** Whether a node has to run what comes by source. */
  readonly isSource: boolean;
}

/** Parts of definitions that name a module. */
type OfModule = ModuleDefinition | MetaUse | BlindDefinition;

/**
 * Names the modules of a definition, and of the initializer's.
 *
 * @throws {SerializationError} If one goes by source, and that is not allowed.
 * @throws {TypeError} If a module is not there.
 */
export async function nameModules(
  text: string,
  initializer: string | undefined,
  allowSource: boolean,
): Promise<NamedDefinition> {
  const urls: string[] = [];
  const toNumber = (url: string) => {
    const known = urls.indexOf(url);
    return `module:${known >= 0 ? known : urls.push(url) - 1}`;
  };
  const texts = [text, initializer].filter((text) => text !== undefined);
  const definitions = texts.map((text): Definition => {
    const definition = JSON.parse(text);
    return allowSource ? definition : withoutText(definition);
  });
  const named = definitions.map((definition) =>
    JSON.stringify(mapModules(definition, toNumber))
  );
  const isData = urls.some((url) => url.startsWith("data:"));
  const bySource = definitions.find(goesBySource) ??
    (isData ? definitions[0] : undefined);
  if (bySource !== undefined && !allowSource) throw refuse(bySource);
  const { name } = definitions[0];
  const modules = await Promise.all(urls.map((url) => find(url, name)));
  return {
    name,
    text: named[0],
    initializer: named.at(1),
    modules,
    isSource: bySource !== undefined,
  };
}

/** A function that is looked for by its text needs the text no more where it may not run. */
function withoutText(definition: Definition): Definition {
  return definition.kind === "blind"
    ? { ...definition, text: undefined }
    : definition;
}

function goesBySource(definition: Definition): boolean {
  return definition.kind === "source" || definition.kind === "global" ||
    (definition.kind === "blind" && definition.text !== undefined);
}

function mapModules(
  definition: Definition,
  map: (module: string) => string,
): Definition {
  switch (definition.kind) {
    case "global":
      return definition;
    case "source":
      return mapUses(definition, map);
    default:
      return mapOne(definition, map);
  }
}

function mapUses(
  definition: SourceDefinition,
  map: (module: string) => string,
): SourceDefinition {
  const uses = definition.uses.map((use) =>
    use.kind === "global" ? use : mapOne(use, map)
  );
  return { ...definition, uses };
}

function mapOne<T extends OfModule>(
  part: T,
  map: (module: string) => string,
): T {
  return { ...part, module: map(part.module) };
}

async function find(url: string, name: string): Promise<ModuleName> {
  try {
    return await nameModule(url);
  } catch (cause) {
    throw new TypeError(
      `Cannot send "${name}" as its module must be there to be read: ${
        cause instanceof Deno.errors.NotFound
          ? `Module not found "${url}"`
          : `${url}: ${cause}`
      }`,
      { cause },
    );
  }
}

function refuse({ name }: Definition): SerializationError {
  return new SerializationError(
    `Cannot send "${name}" as only what a module exports is sent to other machines: export it from its module, or name it by importTasks; or set "allowSource", here and on each node`,
  );
}
