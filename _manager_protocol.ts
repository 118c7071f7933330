/**
 * The messages from the thread that made a process pool to the thread that
 * manages its worker processes; all else goes through shared memory
 * (`_layout.ts`), in which each process has the place of a worker.
 *
 * | message        | when                         | what for                                            |
 * | -------------- | ---------------------------- | --------------------------------------------------- |
 * | `ManagerBoot`  | first, once                  | the memory, and how processes are launched          |
 * | `{ start }`    | a worker is needed           | starts a process                                    |
 * | `{ look }`     | memory is to be dropped      | makes the manager read the port of a worker         |
 * | `{ callBack }` | a task sent ahead is wanted  | calls all back that the process has not begun       |
 * | `{ stop }`     | a worker's task was stopped  | ends the process, no other task is lost             |
 * | `{ kill }`     | it has not ended             | ends it for good                                    |
 * | `{ signal }`   | `terminateWorkers()` and the like | goes to every process                          |
 * | `ChunkMessage` | by the port of a worker, before a chunk is used | as for threads                   |
 *
 * @module
 */

import type { ChunkMessage } from "./_chunks.ts";
import type { ProcessCommand } from "./_process_command.ts";
import type { Initializer } from "./_task_runner.ts";

/** The manager's first message. */
export interface ManagerBoot {
  readonly control: SharedArrayBuffer;
  readonly bell: SharedArrayBuffer;
  readonly command: ProcessCommand;
  readonly initializer: Initializer | undefined;
  /** Tasks that a process is given before it is replaced. */
  readonly maxTasks: number;
}

/** What a process is started with. */
export interface ChildStart {
  readonly number: number;
  readonly ring: SharedArrayBuffer;
  readonly port: MessagePort;
  readonly chunks: readonly ChunkMessage[];
  /** How many chunk messages the owner had posted so far. */
  readonly posted: number;
}

/** What the manager is sent after that; numbers are those of workers. */
export type ToManager =
  | { readonly start: ChildStart }
  | { readonly look: number }
  | { readonly callBack: number }
  | { readonly stop: number }
  | { readonly kill: number }
  | { readonly signal: Deno.Signal };
