/**
 * Promises that wait for something, each with what it waits for. May be imported by src/sync only.
 */

interface Waiter<Wanted> {
  readonly wanted: Wanted;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
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
        reject: (reason) => {
          signal.removeEventListener('abort', abort);
          reject(reason);
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

  /** Rejects those whose wish `isVain`. */
  reject(reason: unknown, isVain: (wanted: Wanted) => boolean): void {
    for (const waiter of this.#waiters) {
      if (!isVain(waiter.wanted)) continue;
      this.#waiters.delete(waiter);
      waiter.reject(reason);
    }
  }
}
