/**
 * What the client remembers of one gateway for a moment, so that one in trouble is asked last. May be imported by src/client.
 *
 * A gateway in trouble is avoided for `AVOID_MS`. Then one lookup asks it as if nothing had been, while the others go on
 * avoiding it until that one has been answered: a gateway that stays dead costs one lookup a second its time.
 */

/** `stale`: its last answer was. `failing`: it was silent, refused, not ready or its clock disagreed. */
export type Standing = 'good' | 'stale' | 'failing';

export const AVOID_MS = 1000;

/** Lookups in a row that another gateway answered first before the one that was outrun counts as failing. */
export const OUTRUN_MAX = 3;

export class ServerMemory {
  #trouble: 'stale' | 'failing' | null = null;
  #againAtMs = 0;
  #inStepMs = Number.NEGATIVE_INFINITY;
  #unanswered = 0;

  /** @param nowMs the monotonic clock, as everywhere here */
  standing(nowMs: number): Standing {
    return this.#trouble === null || nowMs >= this.#againAtMs ? 'good' : this.#trouble;
  }

  /** Monotonic ms at which the gateway knew itself in step with Redis, by its last stale answer. */
  get inStepMs(): number {
    return this.#inStepMs;
  }

  /** Tries in a row that brought no authentic reply. */
  get unanswered(): number {
    return this.#unanswered;
  }

  /** A try is made. Where it is the first since the moment is over, it alone finds out. */
  asked(nowMs: number): void {
    if (this.#trouble !== null && nowMs >= this.#againAtMs) this.#againAtMs = nowMs + AVOID_MS;
  }

  answeredFresh(): void {
    this.#trouble = null;
    this.#unanswered = 0;
  }

  answeredStale(nowMs: number, inStepMs: number): void {
    this.#trouble = 'stale';
    this.#againAtMs = nowMs + AVOID_MS;
    this.#inStepMs = inStepMs;
    this.#unanswered = 0;
  }

  /** An authentic reply without an answer: NOT_READY or CLOCK_SKEW. */
  answeredWithout(nowMs: number): void {
    this.#fail(nowMs);
    this.#unanswered = 0;
  }

  /** Silent for the time of a try, refused, or not to be reached. */
  failed(nowMs: number): void {
    this.#fail(nowMs);
    this.#unanswered += 1;
  }

  /** Not answered by the time that another gateway had, which was asked later. */
  outrun(nowMs: number): void {
    this.#unanswered += 1;
    if (this.#unanswered >= OUTRUN_MAX) this.#fail(nowMs);
  }

  #fail(nowMs: number): void {
    this.#trouble = 'failing';
    this.#againAtMs = nowMs + AVOID_MS;
  }
}
