/** Options of `deadline`. */
export interface DeadlineOptions {
  signal?: AbortSignal;
}

/** Options of `debounce`. */
export interface DebounceOptions {
  signal?: AbortSignal;
}

/** A function whose calls wait until no other has come for a while. */
export interface DebouncedFunction<T extends unknown[]> {
  (...args: T): void;
  clear(): void;
  flush(): void;
  readonly pending: boolean;
}

/** Options of `delay`. */
export interface DelayOptions {
  signal?: AbortSignal;
  /** Whether the timer keeps the process alive; it does by default. */
  persistent?: boolean;
}

/** Options of `retry`; times are milliseconds. */
export interface RetryOptions {
  multiplier?: number;
  maxTimeout?: number;
  maxAttempts?: number;
  minTimeout?: number;
  jitter?: number;
  isRetriable?: (err: unknown) => boolean;
  signal?: AbortSignal;
}

/** What `retry` throws once it has made its last attempt. */
export declare class RetryError extends Error {
  constructor(cause: unknown, attempts: number);
}

/** Yields from several async iterables, each value as it comes. */
export declare class MuxAsyncIterator<T> implements AsyncIterable<T> {
  add(iterable: AsyncIterable<T>): void;
  iterate(): AsyncIterableIterator<T>;
  [Symbol.asyncIterator](): AsyncIterator<T>;
}

export declare function abortable<T>(
  p: Promise<T>,
  signal: AbortSignal,
): Promise<T>;
export declare function abortable<T>(
  p: AsyncIterable<T>,
  signal: AbortSignal,
): AsyncGenerator<T>;
export declare function deadline<T>(
  p: Promise<T>,
  ms: number,
  options?: DeadlineOptions,
): Promise<T>;
export declare function debounce<T extends unknown[]>(
  fn: (this: DebouncedFunction<T>, ...args: T) => void,
  wait: number,
  options?: DebounceOptions,
): DebouncedFunction<T>;
export declare function delay(
  ms: number,
  options?: DelayOptions,
): Promise<void>;
export declare function pooledMap<T, R>(
  poolLimit: number,
  array: Iterable<T> | AsyncIterable<T>,
  iteratorFn: (data: T) => Promise<R>,
): AsyncIterableIterator<R>;
export declare function retry<T>(
  fn: (() => Promise<T>) | (() => T),
  options?: RetryOptions,
): Promise<T>;
export declare function tee<T, N extends number = 2>(
  iterable: AsyncIterable<T>,
  n?: N,
): TupleOf<AsyncIterable<T>, N>;

type TupleOf<T, N extends number, Items extends T[] = []> = number extends N
  ? T[]
  : Items["length"] extends N ? Items
  : TupleOf<T, N, [...Items, T]>;
