/**
 * Which misses Redis is asked about before they are answered (`sessions.onMiss: ask-redis`): so many a second for each key and each source, and
 * none that was just asked about in vain. May be imported by src/gateway only.
 */
import { Miss } from '../../abi.ts';
import type { Runtime } from '../../sync/runtime.ts';
import { TokenBuckets } from './token-buckets.ts';

/** How long a session that Redis doesn't have is answered without asking again. */
export const REMEMBERED_MS = 100;
const REMEMBERED_MAX = 4_096;
/** Requests that wait for an answer of Redis; more are answered as if it was not asked. */
const WAITING_MAX = 4_096;

/** The sync. */
export interface Asked {
  readonly canAsk: boolean;
  ask(hash: string): Promise<boolean>;
}

export class Misses {
  readonly #sync: Asked;
  readonly #runtime: Pick<Runtime, 'monotonicMs'>;
  readonly #perKey = new TokenBuckets(Miss.PER_KEY, Miss.BURST_MS);
  readonly #perSource = new TokenBuckets(Miss.PER_SOURCE, Miss.BURST_MS);
  /** Hash → until when, in this order. */
  readonly #missing = new Map<string, number>();
  #waiting = 0;

  constructor(sync: Asked, runtime: Pick<Runtime, 'monotonicMs'>) {
    this.#sync = sync;
    this.#runtime = runtime;
  }

  /**
   * @param hash 32 hexadecimal digits
   * @param source 16 bytes
   * @returns undefined where the miss is to be answered as it is; else when the table has been brought up to Redis, or that failed
   */
  ask(hash: string, keyId: number, source: Uint8Array): Promise<void> | undefined {
    const nowMs = this.#runtime.monotonicMs();
    if (!this.#sync.canAsk || this.#waiting >= WAITING_MAX || this.#isMissing(hash, nowMs)) return undefined;
    if (!this.#perSource.take(Buffer.from(source).toString('latin1'), nowMs)) return undefined;
    if (!this.#perKey.take(keyId, nowMs)) return undefined;
    return this.#wait(hash);
  }

  /** Redis was asked about this session, and doesn't have it. */
  isStillMissing(hash: string): void {
    const nowMs = this.#runtime.monotonicMs();
    for (const [first, untilMs] of this.#missing) {
      if (untilMs > nowMs && this.#missing.size < REMEMBERED_MAX) break;
      this.#missing.delete(first);
    }
    this.#missing.delete(hash);
    this.#missing.set(hash, nowMs + REMEMBERED_MS);
  }

  async #wait(hash: string): Promise<void> {
    this.#waiting += 1;
    await this.#sync.ask(hash);
    this.#waiting -= 1;
  }

  #isMissing(hash: string, nowMs: number): boolean {
    const untilMs = this.#missing.get(hash);
    return untilMs !== undefined && untilMs > nowMs;
  }
}
