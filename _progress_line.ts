/**
 * The text of a progress bar.
 *
 * @module
 */

/** What a line tells. */
export interface LineState {
  readonly label: string | undefined;
  readonly done: number;
  /** How many were done before anybody looked: they tell nothing of the rate. */
  readonly doneBefore: number;
  readonly failed: number;
  readonly cancelled: number;
  /** `undefined` where it is not known. */
  readonly total: number | undefined;
  /** Since the start. */
  readonly elapsedMs: number;
  /** Since the last that was done, or the start. */
  readonly idleMs: number;
  /** Whether this is the last line. */
  readonly isOver: boolean;
}

/** Draws a bar of so many characters, filled up to `share` of 1. */
export type DrawBar = (share: number, size: number) => string;

const WIDEST_BAR = 24;
const NARROWEST_BAR = 8;

/** Returns the line; its bar takes what `width` characters leave, up to 24. */
export function formatLine(
  state: LineState,
  width: number,
  drawBar: DrawBar,
): string {
  const { label, done, total } = state;
  const head = label ? `${label} ` : "";
  if (total === undefined || done > total) {
    return `${head}${done} done | ${formatRest(state)}`;
  }
  const share = total === 0 ? 1 : done / total;
  const percent = `${Math.floor(share * 100)}%`.padStart(5);
  const left = state.isOver ? "" : ` | ETA ${formatLeft(state, total)}`;
  const tail = `${percent} | ${done}/${total} done | ${
    formatRest(state)
  }${left}`;
  const size = Math.min(WIDEST_BAR, width - head.length - tail.length - 1);
  return head + (size < NARROWEST_BAR ? "" : drawBar(share, size)) + tail;
}

function formatRest(state: LineState): string {
  const { failed, cancelled, elapsedMs } = state;
  return [
    `${failed} failed`,
    ...(cancelled > 0 ? [`${cancelled} cancelled`] : []),
    formatRate(state),
    formatTime(Math.floor(elapsedMs / 1000)),
  ].join(" | ");
}

/** The mean since the start: by the second or, where that is below 1, by the minute or the hour. */
function formatRate({ done, doneBefore, elapsedMs }: LineState): string {
  const count = done - doneBefore;
  if (count <= 0 || elapsedMs <= 0) return "?/s";
  const perSecond = count * 1000 / elapsedMs;
  if (perSecond >= 100) return `${Math.round(perSecond)}/s`;
  if (perSecond >= 1) return `${perSecond.toFixed(1)}/s`;
  const perMinute = perSecond * 60;
  if (perMinute >= 1) return `${perMinute.toFixed(1)}/min`;
  return `${(perMinute * 60).toFixed(1)}/h`;
}

/**
 * The time left at the mean pace up to the last that was done. It counts down
 * until the next is done, and up again where that is long overdue.
 */
function formatLeft(state: LineState, total: number): string {
  const { done, doneBefore, elapsedMs, idleMs } = state;
  const open = total - done;
  if (open === 0) return "0s";
  const count = done - doneBefore;
  if (count <= 0) return "?";
  const onPace = open * (elapsedMs - idleMs) / count - idleMs;
  const overdue = open * idleMs / count;
  return formatTime(Math.ceil(Math.max(onPace, overdue) / 1000));
}

function formatTime(seconds: number): string {
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${pad(seconds % 60)}s`;
  return `${Math.floor(minutes / 60)}h ${pad(minutes % 60)}m`;
}

function pad(count: number): string {
  return `${count}`.padStart(2, "0");
}
