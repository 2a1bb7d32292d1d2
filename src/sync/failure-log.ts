/**
 * Failures that come again and again until they are over: the last one is kept, and each is logged when it begins, when
 * its message changes, once a minute, and when it is over. May be imported by src/sync only.
 */
import { errorMessage } from './errors.ts';
import type { Log, LogFields } from './log.ts';
import type { Runtime } from './runtime.ts';

const LOG_EVERY_MS = 60_000;

interface Outage {
  message: string;
  times: number;
  loggedMs: number;
}

export class FailureLog {
  readonly #runtime: Runtime;
  readonly #log: Log;
  readonly #outages = new Map<string, Outage>();
  #last: { readonly message: string; readonly timeMs: number } | null = null;

  constructor(runtime: Runtime, log: Log) {
    this.#runtime = runtime;
    this.#log = log;
  }

  get last(): { readonly message: string; readonly timeMs: number } | null {
    return this.#last;
  }

  note(event: string, error: unknown, fields: LogFields = {}): void {
    const message = errorMessage(error);
    this.#last = { message, timeMs: this.#runtime.wallMs() };
    const nowMs = this.#runtime.monotonicMs();
    const outage = this.#outages.get(event) ?? { message: '', times: 0, loggedMs: 0 };
    this.#outages.set(event, outage);
    outage.times += 1;
    if (outage.message === message && nowMs - outage.loggedMs < LOG_EVERY_MS) return;
    outage.message = message;
    outage.loggedMs = nowMs;
    this.#log('warn', event, { ...fields, message, times: outage.times });
  }

  over(event: string): void {
    const outage = this.#outages.get(event);
    if (outage === undefined) return;
    this.#outages.delete(event);
    this.#log('info', `${event}-over`, { times: outage.times });
  }
}
