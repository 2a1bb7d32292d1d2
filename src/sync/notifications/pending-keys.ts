/**
 * Keys that changed and wait to be read, each once, in the order in which they first changed; bounded. May be
 * imported by src/sync only.
 */
import { Waiters } from '../waiters.ts';

export interface PendingKey {
  /** Its bytes as Latin-1: one character a byte. */
  readonly key: string;
  /** It is on its way to this node of the cluster, which gives it only to who asks so (ASKING). */
  readonly asking: boolean;
}

export class PendingKeys {
  readonly #max: number;
  /** Key → asking. */
  readonly #keys = new Map<string, boolean>();
  #added = 0;
  #settled = 0;
  readonly #waiters = new Waiters<number>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Those that wait; the ones that were taken and are not settled yet are not among them. */
  get size(): number {
    return this.#keys.size;
  }

  /** @returns false where there is no room: the key is not remembered */
  add(key: string, asking = false): boolean {
    const pending = this.#keys.get(key);
    if (pending === undefined) {
      if (this.#keys.size >= this.#max) return false;
      this.#added += 1;
      this.#keys.set(key, asking);
    } else if (asking && !pending) this.#keys.set(key, true);
    return true;
  }

  /** Takes the first `max`; `settle` is called with their number once they are dealt with, before the next ones are taken. */
  take(max: number): PendingKey[] {
    const taken: PendingKey[] = [];
    for (const [key, asking] of this.#keys) {
      if (taken.length === max) break;
      taken.push({ key, asking });
      this.#keys.delete(key);
    }
    return taken;
  }

  settle(number: number): void {
    this.#settled += number;
    this.#waiters.resolve((wanted) => this.#settled >= wanted);
  }

  /** Forgets those that wait. */
  clear(): void {
    const number = this.#keys.size;
    this.#keys.clear();
    this.settle(number);
  }

  /** Resolves once all that were added before this call are settled. @throws the signal's reason */
  async settled(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#settled < this.#added) await this.#waiters.wait(this.#added, signal);
  }
}
