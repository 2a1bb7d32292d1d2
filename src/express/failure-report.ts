/**
 * Failures as the application hears of them: by its own function, or on standard error, and then not more than one line a
 * minute for one cause. May be imported by src/express.
 */
import { errorMessage } from '../sync/errors.ts';

const WRITE_EVERY_MS = 60_000;

export interface FailureReportOptions {
  /** Called with each failure. */
  readonly onError?: ((error: Error) => void) | undefined;
  /** A clock that never steps. */
  readonly monotonicMs: () => number;
  readonly write: (line: string) => void;
}

export class FailureReport {
  readonly #options: FailureReportOptions;
  #message = '';
  #writtenMs = Number.NEGATIVE_INFINITY;
  #untold = 0;

  constructor(options: FailureReportOptions) {
    this.#options = options;
  }

  /** Never throws. */
  note(error: unknown): void {
    const failure = error instanceof Error ? error : new Error(String(error));
    const { onError } = this.#options;
    if (onError === undefined) {
      this.#write(failure);
      return;
    }
    try {
      onError(failure);
    } catch (again) {
      this.#write(again instanceof Error ? again : new Error(String(again)));
    }
  }

  #write(failure: Error): void {
    const message = errorMessage(failure);
    const nowMs = this.#options.monotonicMs();
    if (message === this.#message && nowMs - this.#writtenMs < WRITE_EVERY_MS) {
      this.#untold += 1;
      return;
    }
    const more = this.#untold === 0 ? '' : ` (and ${this.#untold} more failures since the last line)`;
    this.#options.write(`session-gateway: a session's route was not written: ${message}${more}\n`);
    this.#message = message;
    this.#writtenMs = nowMs;
    this.#untold = 0;
  }
}
