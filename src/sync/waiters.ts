/**
 * Promises that wait for something, each with what it waits for. May be imported by src/sync only.
 */

interface Waiter<Wanted> {
  readonly wanted: Wanted;
  readonly resolve: () => void;
}

export class Waiters<Wanted> {
  readonly #waiters = new Set<Waiter<Wanted>>();

  /** @throws the signal's reason, now or as soon as it is aborted */
  wait(wanted: Wanted, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const abort = (): void => {
        this.#waiters.delete(waiter);
        reject(signal.reason);
      };
      const waiter: Waiter<Wanted> = {
        wanted,
        resolve: () => {
          signal.removeEventListener('abort', abort);
          resolve();
        },
      };
      signal.addEventListener('abort', abort, { once: true });
      this.#waiters.add(waiter);
    });
  }

  /** Resolves those whose wish `isMet`. */
  resolve(isMet: (wanted: Wanted) => boolean): void {
    for (const waiter of this.#waiters) {
      if (!isMet(waiter.wanted)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }
}
