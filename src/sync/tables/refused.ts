/**
 * Revocations, or facts, that found the session table full: the whole table is read again once there is room, more and
 * more seldom where it stays too small. May be imported by src/sync only.
 */
import { Backoff, type Runtime } from '../runtime.ts';
import type { Room } from '../table.ts';

export class Refused {
  readonly #runtime: Runtime;
  readonly #backoff: Backoff;
  #count = 0;
  #nextMs = Number.NEGATIVE_INFINITY;

  constructor(runtime: Runtime, minMs: number, maxMs: number) {
    this.#runtime = runtime;
    this.#backoff = new Backoff(runtime, minMs, maxMs);
  }

  note(count: number): void {
    this.#count += count;
  }

  /** The table is read from its beginning. */
  begun(): void {
    this.#count = 0;
  }

  /** The table is read to its end. */
  ended(): void {
    if (this.#count === 0) this.#backoff.reset();
  }

  /** Some of them would find a place now, or soon. While the table is full, it holds what it can. */
  lack({ free, hasGarbage }: Room): boolean {
    return this.#count > 0 && (free > 0 || hasGarbage);
  }

  /** Whether the table is to be read again now. @returns true once, then not until it is due again */
  isDue({ free }: Room): boolean {
    if (this.#count === 0 || free === 0) return false;
    const nowMs = this.#runtime.monotonicMs();
    if (nowMs < this.#nextMs && free < this.#count) return false;
    this.#nextMs = nowMs + this.#backoff.nextMs();
    return true;
  }
}
