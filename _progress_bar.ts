/**
 * A progress bar on the terminal of stderr, drawn by cli-progress.
 *
 * @module
 */

import { type DrawBar, formatLine } from "./_progress_line.ts";
import { writeAll } from "./_sync_writer.ts";
import type { Tally } from "./_tally.ts";
import process from "node:process";
// Named in full, as everywhere here. It comes without types; those of npm's
// `@types/cli-progress` leave out `terminal` and `timer`.
import untyped from "npm:cli-progress@3.12.0";

/** What is used of cli-progress. */
interface Library {
  SingleBar: new (options: LibraryOptions) => LibraryBar;
  Presets: { shades_classic: LibraryOptions };
  Format: {
    BarFormat(share: number, options: LibraryOptions): string;
  };
}

interface LibraryBar {
  /** The next redraw, from `start` to `stop`. */
  timer: { unref(): void } | null;
  start(total: number, startValue: number): void;
  update(value: number): void;
  render(): void;
  stop(): void;
}

interface LibraryOptions {
  barsize?: number;
  fps?: number;
  terminal?: Terminal;
  format?(options: LibraryOptions, params: { maxWidth: number }): string;
}

/** What the library asks of a terminal. */
interface Terminal {
  isTTY(): boolean;
  getWidth(): number;
  write(text: string): void;
  newline(): void;
  cursorTo(): void;
  clearRight(): void;
  cursorSave(): void;
  cursorRestore(): void;
  cursor(): void;
  lineWrapping(): void;
}

// The library reads it for each bar. The first to do so makes Deno listen to the
// terminal's size from then on: now, or a user's test would be told of a leak.
void process.stderr;

const { SingleBar, Presets, Format } = untyped as unknown as Library;
const FRAMES_PER_SECOND = 10;
const BUSY_REDRAW_MS = 200;
const USUAL_WIDTH = 80;

/** A bar that a program need not wait for. */
class PassiveBar extends SingleBar {
  override render(): void {
    super.render();
    this.timer?.unref();
  }
}

/** How a bar is shown. */
export interface BarOptions {
  readonly label: string | undefined;
  /** Goes before what the tally knows. */
  readonly total: number | undefined;
}

/** The bar of one iteration; drawn from `start` to `stop`, ten times a second at most. */
export class ProgressBar {
  readonly #tally: Tally;
  readonly #options: BarOptions;
  readonly #doneBefore: number;
  readonly #start = performance.now();
  /** When the last was done. */
  #last = this.#start;
  /** When the line was made last. */
  #made = -Infinity;
  #state: "new" | "drawn" | "over" = "new";
  readonly #bar: LibraryBar;

  constructor(tally: Tally, options: BarOptions) {
    this.#tally = tally;
    this.#options = options;
    this.#doneBefore = tally.done;
    this.#bar = new PassiveBar({
      ...Presets.shades_classic,
      fps: FRAMES_PER_SECOND,
      terminal,
      format: (library, { maxWidth }) => this.#format(library, maxWidth),
    });
    tally.onChange = () => {
      this.#last = performance.now();
      this.refresh(this.#last);
    };
  }

  /** Draws the bar for the first time, unless it was drawn. */
  start(): void {
    if (this.#state !== "new") return;
    this.#state = "drawn";
    this.#bar.start(0, 0);
  }

  /** Draws the bar anew if the timer did not: while this thread is busy, none fires. */
  refresh(now: number = performance.now()): void {
    // Looked at here first: the library's own look takes ten times as long.
    if (this.#state !== "drawn" || now - this.#made < BUSY_REDRAW_MS) return;
    this.#bar.update(this.#tally.done);
  }

  /** Draws the bar for the last time and ends its line. */
  stop(): void {
    const isDrawn = this.#state === "drawn";
    this.#state = "over";
    if (isDrawn) this.#bar.stop();
  }

  #format(library: LibraryOptions, width: number): string {
    const now = this.#made = performance.now();
    const { done, failed, cancelled, total } = this.#tally;
    const drawBar: DrawBar = (share, barsize) =>
      Format.BarFormat(share, { ...library, barsize });
    const state = {
      label: this.#options.label,
      done,
      doneBefore: this.#doneBefore,
      failed,
      cancelled,
      total: this.#options.total ?? total,
      elapsedMs: now - this.#start,
      idleMs: now - this.#last,
      isOver: this.#state === "over",
    };
    return formatLine(state, width, drawBar);
  }
}

/**
 * Stderr. In place of the library's own terminal, which turns off the wrapping
 * of lines, also of what tasks print, until the bar stops; goes back at its stop
 * to where it began, over what was printed meanwhile; and fails where the
 * terminal is gone. This one hides no cursor and leaves no mode behind it, in
 * whichever way a program ends.
 */
const terminal: Terminal = {
  isTTY: () => true,
  getWidth: readWidth,
  // From the start of the line, cleared; too long a line is cut, not wrapped.
  // The last space keeps off what others print there.
  write: (text) => write(`\r\x1b[2K\x1b[?7l${text} \x1b[?7h`),
  newline: () => write("\n"),
  cursorTo() {},
  clearRight() {},
  cursorSave() {},
  cursorRestore() {},
  cursor() {},
  lineWrapping() {},
};

function readWidth(): number {
  try {
    return Deno.consoleSize().columns || USUAL_WIDTH;
  } catch {
    return USUAL_WIDTH;
  }
}

/** Writes to stderr; where that fails the iteration goes on without being seen. */
function write(text: string): void {
  try {
    writeAll(Deno.stderr, new TextEncoder().encode(text));
  } catch {
    // The terminal is gone.
  }
}
