/** Which sessions' routes were written lately, so that not every request writes. May be imported by src/express. */

/** Memory for at most so many; the one written longest ago is forgotten first, and merely written again too early. */
const SESSIONS_MAX = 10_000;

export class Touched {
  readonly #everyMs: number;
  readonly #monotonicMs: () => number;
  /** Session id → when; in the order of writing. */
  readonly #writtenMs = new Map<string, number>();

  constructor(everyMs: number, monotonicMs: () => number) {
    this.#everyMs = everyMs;
    this.#monotonicMs = monotonicMs;
  }

  isRecent(sid: string): boolean {
    const writtenMs = this.#writtenMs.get(sid);
    return writtenMs !== undefined && this.#monotonicMs() - writtenMs < this.#everyMs;
  }

  note(sid: string): void {
    if (this.#everyMs === 0) return;
    this.#writtenMs.delete(sid);
    this.#writtenMs.set(sid, this.#monotonicMs());
    if (this.#writtenMs.size <= SESSIONS_MAX) return;
    const [oldest] = this.#writtenMs.keys();
    if (oldest !== undefined) this.#writtenMs.delete(oldest);
  }

  forget(sid: string): void {
    this.#writtenMs.delete(sid);
  }
}
