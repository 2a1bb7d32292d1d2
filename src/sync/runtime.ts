/**
 * The clocks, the timer and the randomness that the sync runs on: passed in, so that a test can hold them.
 * May be imported by every floor above.
 */

export interface Runtime {
  /** Unix time, ms. */
  wallMs(): number;
  /** The monotonic clock (process.hrtime), ms. */
  monotonicMs(): number;
  /** From 0 up to, not including, 1. */
  random(): number;
  /** Calls back once after `ms`, at most 2^31 - 1. @returns what cancels it */
  timer(ms: number, callback: () => void): () => void;
}

export const systemRuntime: Runtime = {
  wallMs: () => Date.now(),
  monotonicMs: () => Number(process.hrtime.bigint() / 1000n) / 1000,
  random: () => Math.random(),
  timer(ms, callback) {
    const timeout = setTimeout(callback, ms);
    return () => clearTimeout(timeout);
  },
};

/** Resolves after `ms`, or at once when `signal` is or gets aborted: whoever sleeps looks at the signal afterwards. */
export function sleep(runtime: Runtime, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const finish = (): void => {
      cancel();
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const cancel = runtime.timer(ms, finish);
    signal.addEventListener('abort', finish);
  });
}

/** How long to wait before the next try: doubles from `minMs` to `maxMs`, with half of it at random. */
export class Backoff {
  readonly #runtime: Runtime;
  readonly #minMs: number;
  readonly #maxMs: number;
  #failures = 0;

  constructor(runtime: Runtime, minMs: number, maxMs: number) {
    this.#runtime = runtime;
    this.#minMs = minMs;
    this.#maxMs = maxMs;
  }

  /** @returns ms, from half of the present step to the whole of it */
  nextMs(): number {
    const stepMs = Math.min(this.#maxMs, this.#minMs * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return (stepMs / 2) * (1 + this.#runtime.random());
  }

  reset(): void {
    this.#failures = 0;
  }
}
