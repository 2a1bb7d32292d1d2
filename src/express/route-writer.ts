/**
 * Writes the routes of sessions, `route:<sid>`, through the function library (docs/redis.md, "Functions"). No call fails or
 * takes longer than its bound: what goes wrong is reported. May be imported by src/express.
 */
import type { Functions } from '../sync/redis/functions.ts';
import type { FailureReport } from './failure-report.ts';
import type { Touched } from './touched.ts';

export interface RouteWriterOptions {
  readonly functions: Pick<Functions, 'sessionSet' | 'sessionTouch' | 'sessionDelete'>;
  /** Name of the backend that this process is. */
  readonly backend: string;
  /** Longest wait for Redis. */
  readonly timeoutMs: number;
  readonly touched: Touched;
  readonly report: FailureReport;
}

/** Calls under way at once. With a Redis that doesn't answer they would otherwise pile up in the client. */
const CALLS_MAX = 1_000;

/** A write under way. */
interface Pending {
  /** The session was destroyed meanwhile. */
  isDeleted: boolean;
}

export class RouteWriter {
  readonly #options: RouteWriterOptions;
  readonly #pending = new Map<string, Set<Pending>>();
  #calls = 0;

  constructor(options: RouteWriterOptions) {
    this.#options = options;
  }

  /**
   * The route lives on; where there is none it leads here. Where there is one it stays, wherever it leads: who is moved is
   * not taken back by a request that was still under way.
   * @param ttlMs from now
   * @param exists asked where there is no route, whether the session is still there
   */
  async keep(sid: string, ttlMs: number, exists: () => Promise<boolean>): Promise<void> {
    const { functions, backend, touched } = this.#options;
    if (touched.isRecent(sid)) return;
    await this.#bounded(async () => {
      const pending = this.#begin(sid);
      try {
        const { done } = await functions.sessionTouch(sid, ttlMs);
        if (!done) {
          if (!(await exists()) || pending.isDeleted) return;
          await functions.sessionSet(sid, backend, ttlMs);
        }
        if (!pending.isDeleted) touched.note(sid);
      } finally {
        this.#end(sid, pending);
      }
    });
  }

  async remove(sid: string): Promise<void> {
    for (const pending of this.#pending.get(sid) ?? []) pending.isDeleted = true;
    this.#options.touched.forget(sid);
    await this.#bounded(async () => {
      await this.#options.functions.sessionDelete(sid);
    });
  }

  #begin(sid: string): Pending {
    const pending = { isDeleted: false };
    const others = this.#pending.get(sid);
    if (others === undefined) this.#pending.set(sid, new Set([pending]));
    else others.add(pending);
    return pending;
  }

  #end(sid: string, pending: Pending): void {
    const others = this.#pending.get(sid);
    others?.delete(pending);
    if (others?.size === 0) this.#pending.delete(sid);
  }

  /** Resolves when the call is done, has failed, or takes too long. */
  async #bounded(call: () => Promise<void>): Promise<void> {
    const { timeoutMs, report } = this.#options;
    if (this.#calls >= CALLS_MAX) {
      report.note(new Error(`found ${CALLS_MAX} calls to Redis under way, which is what is allowed`));
      return;
    }
    this.#calls += 1;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      report.note(new Error(`found no answer of Redis within ${timeoutMs} ms`));
      resolve();
    }, timeoutMs);
    // What ends after its time still frees its place, and is still reported where it fails.
    call()
      .catch((error: unknown) => report.note(error))
      .finally(() => {
        this.#calls -= 1;
        clearTimeout(timer);
        resolve();
      });
    await promise;
  }
}
