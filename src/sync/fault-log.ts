/**
 * Logs what is wrong with entries of the backends' table, each once for as long as it is wrong in that way, and no more than
 * a few in a minute: how many there are in all is counted and logged as problems (problems.ts). May be imported by src/sync only.
 */

import type { Log } from './log.ts';
import type { Runtime } from './runtime.ts';
import type { BackendFault } from './tables/backends.ts';

/** Lines in a minute. */
export const LINES_MAX = 20;

const MINUTE_MS = 60_000;

export class FaultLog {
  readonly #runtime: Runtime;
  readonly #log: Log;
  /** What the last reading found, as far as it is logged. */
  #known: ReadonlySet<string> = new Set();
  #minuteEndsMs = Number.NEGATIVE_INFINITY;
  #lines = 0;

  constructor(runtime: Runtime, log: Log) {
    this.#runtime = runtime;
    this.#log = log;
  }

  /** @param faults all that a reading of the table found */
  note(faults: readonly BackendFault[]): void {
    const logged = new Set<string>();
    for (const fault of faults) {
      const key = `${fault.name}\n${fault.message}`;
      if (!this.#known.has(key)) {
        if (!this.#hasRoom()) continue;
        this.#write(fault);
      }
      logged.add(key);
    }
    this.#known = logged;
  }

  #hasRoom(): boolean {
    const nowMs = this.#runtime.monotonicMs();
    if (nowMs >= this.#minuteEndsMs) {
      this.#minuteEndsMs = nowMs + MINUTE_MS;
      this.#lines = 0;
    }
    return this.#lines < LINES_MAX;
  }

  #write({ name, kind, message, keepsLastGood }: BackendFault): void {
    this.#lines += 1;
    this.#log('warn', 'backend-fault', { name, kind, message, keepsLastGood });
  }
}
