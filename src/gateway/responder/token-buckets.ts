/**
 * So many a second for each key and each source, in one number a bucket, as bpf/hand-up.h has them in the kernel. May be
 * imported by src/gateway only.
 */

/** Names that are remembered: the one that asked longest ago is forgotten first, and by then its bucket is mostly full. */
const NAMES_MAX = 16_384;

export class TokenBuckets {
  readonly #intervalMs: number;
  readonly #burstMs: number;
  /** When a bucket will be full again, the one that was used last at the end. */
  readonly #fullMs = new Map<string | number, number>();

  /**
   * @param perSecond at least 1
   * @param burstMs as many as there are in so long may come at once
   */
  constructor(perSecond: number, burstMs: number) {
    this.#intervalMs = 1000 / perSecond;
    this.#burstMs = burstMs;
  }

  /** Takes one, where there is one. @param nowMs monotonic */
  take(name: string | number, nowMs: number): boolean {
    const nextMs = Math.max(nowMs, this.#fullMs.get(name) ?? 0) + this.#intervalMs;
    if (nextMs - nowMs > this.#burstMs) return false;
    this.#fullMs.delete(name);
    this.#fullMs.set(name, nextMs);
    if (this.#fullMs.size > NAMES_MAX) this.#forgetOldest();
    return true;
  }

  #forgetOldest(): void {
    for (const name of this.#fullMs.keys()) {
      this.#fullMs.delete(name);
      return;
    }
  }
}
