/**
 * Versions for records that come without one: each is larger than all before it. May be imported by src/sync only.
 */
import type { Runtime } from '../runtime.ts';
import type { Version } from '../table.ts';
import { VERSION_MS_MAX, VERSION_SEQ_MAX } from '../versions.ts';

export class LocalVersions {
  readonly #runtime: Runtime;
  #ms = 0;
  #seq = 0;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** @returns the time now, or where the clock stands still or went back, a little more than the last one */
  next(): Version {
    const nowMs = Math.min(Math.floor(this.#runtime.wallMs()), VERSION_MS_MAX);
    if (nowMs > this.#ms) {
      this.#ms = nowMs;
      this.#seq = 0;
    } else if (this.#seq < VERSION_SEQ_MAX) this.#seq += 1;
    else {
      this.#ms += 1;
      this.#seq = 0;
    }
    return { ms: this.#ms, seq: this.#seq };
  }
}
