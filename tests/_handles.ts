/**
 * Memory, file descriptors, threads and child processes of this process.
 *
 * The last three are read from Linux's `/proc`, which takes `--allow-all`: elsewhere, and without
 * it, they are not known.
 *
 * @module
 */

const PROC = "/proc/self";

/** What this process holds. */
export interface Handles {
  /** Resident memory of the whole process, shared memory and threads included. */
  rssBytes: number;
  /** What this thread's JavaScript heap holds; garbage included where it can't be collected. */
  heapBytes: number;
  /** Open file descriptors. */
  fds?: number;
  /** Threads: those of workers, and the runtime's own, of which idle ones end after some seconds. */
  threads?: number;
  /** Child processes, those included that have ended and were not waited for. */
  children?: number;
}

/**
 * Measures. Before that, where it is possible, garbage is collected and memory given back that V8
 * and the allocator keep for later: with `--v8-flags=--expose-gc`, and with `--allow-ffi` on Linux
 * with glibc. Else resident memory says how large the largest load was, and not what is held.
 */
export function measure(): Handles {
  collect();
  giveBack();
  const { rss, heapUsed } = Deno.memoryUsage();
  return {
    rssBytes: rss,
    heapBytes: heapUsed,
    fds: known(countFds),
    threads: known(threadNames)?.length,
    children: known(childrenOf)?.length,
  };
}

/** Collects garbage, if the program may. */
export function collect(): void {
  gc?.();
}

/** V8's, if the program may call it; "last-resort" gives empty pages of the heap back as well. */
const { gc } = globalThis as {
  gc?: (
    options?: { type: "major"; execution: "sync"; flavor: "last-resort" },
  ) => void;
};

/** glibc's `malloc_trim`, once it was looked for; `undefined` where it is not to be had. */
let mallocTrim: (() => void) | undefined | null = null;

/**
 * Gives memory back to the system that is free and kept for later: V8 keeps pages, and glibc blocks
 * of up to 32 MB once one of that size was freed (mallopt(3), M_MMAP_THRESHOLD).
 */
function giveBack(): void {
  gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
  if (mallocTrim === null) mallocTrim = findTrim();
  mallocTrim?.();
}

function findTrim(): (() => void) | undefined {
  if (Deno.build.os !== "linux") return undefined;
  try {
    const { symbols } = Deno.dlopen("libc.so.6", {
      malloc_trim: { parameters: ["usize"], result: "i32" },
    });
    return () => symbols.malloc_trim(0n);
  } catch {
    return undefined; // not allowed, or not glibc
  }
}

/** The process ids of this process's children; of nobody's where they are not known. */
export function children(): number[] {
  return known(childrenOf) ?? [];
}

/** Names of this process's threads, as the system knows them; none where they are not known. */
export function threads(): string[] {
  return known(threadNames) ?? [];
}

/** Says it in words: `rss 61.2 MB, heap 5.3 MB, 12 fds, 9 threads, 0 children`. */
export function formatHandles(handles: Handles): string {
  const { rssBytes, heapBytes, fds, threads, children } = handles;
  return [
    `rss ${formatBytes(rssBytes)}`,
    `heap ${formatBytes(heapBytes)}`,
    `${fds ?? "not known:"} fds`,
    `${threads ?? "not known:"} threads`,
    `${children ?? "not known:"} children`,
  ].join(", ");
}

/** In megabytes, of a million bytes each. */
export function formatBytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** What `read` finds, or `undefined` where the system or the permissions don't tell. */
function known<T>(read: () => T): T | undefined {
  if (Deno.build.os !== "linux") return undefined;
  try {
    return read();
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return undefined;
    throw error;
  }
}

function countFds(): number {
  const names = [...Deno.readDirSync(`${PROC}/fd`)].map(({ name }) => name);
  // the one by which the folder was read is closed by now, and does not count
  return names.filter((name) =>
    isThere(() => Deno.readLinkSync(`${PROC}/fd/${name}`))
  )
    .length;
}

function threadNames(): string[] {
  const names: string[] = [];
  for (const { name } of Deno.readDirSync(`${PROC}/task`)) {
    isThere(() =>
      names.push(Deno.readTextFileSync(`${PROC}/task/${name}/comm`).trim())
    );
  }
  return names;
}

function childrenOf(): number[] {
  const pids: number[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    isThere(() => {
      const text = Deno.readTextFileSync(`/proc/${name}/stat`);
      // the command's name stands in brackets and may hold anything, brackets and spaces too
      const [, parent] = text.slice(text.lastIndexOf(")") + 2).split(" ");
      if (Number(parent) === Deno.pid) pids.push(Number(name));
    });
  }
  return pids;
}

/** Whether what is looked at is still there: threads and processes may end meanwhile. */
function isThere(look: () => unknown): boolean {
  try {
    look();
    return true;
  } catch (error) {
    // ESRCH, which has no class of its own: ended between the file's opening and its reading
    const isGone = error instanceof Deno.errors.NotFound ||
      (error instanceof Error && error.message.includes("os error 3)"));
    if (!isGone) throw error;
    return false;
  }
}
