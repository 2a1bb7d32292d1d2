/**
 * Questions about single sessions between the changes that are followed: what Redis knows by now is brought into the table, then the
 * one who asked looks there. One reading at a time, for all who ask meanwhile; so a flood of questions asks Redis no more often
 * than it answers, and of this thread, which follows the feed too, takes half of the time at most. May be imported by src/sync only.
 *
 *     ask ─▶ waits ─▶ reading ─▶ …      asked while one is read: goes with the next, which begins after the question
 */
import { type Runtime, sleep } from './runtime.ts';

/** Sessions of one reading; who asks about more is told that nothing was asked. */
const HASHES_MAX = 1024;
/** How long a reading may take, ms. */
export const ASK_DEADLINE_MS = 200;
/** After one that failed, ms: nobody waits for a Redis that is away. */
const PAUSE_MS = 1000;

export interface AskingParts {
  readonly runtime: Runtime;
  /**
   * Brings what Redis says of these sessions into the table, as of a moment after the call.
   * @param hashes 32 hexadecimal digits each
   * @param signal aborted when nobody waits any more
   */
  read(hashes: ReadonlySet<string>, signal: AbortSignal): Promise<void>;
  failed(error: unknown): void;
  succeeded(): void;
}

const NEVER = new AbortController().signal;

interface Round {
  readonly hashes: Set<string>;
  readonly done: PromiseWithResolvers<boolean>;
}

export class Asking {
  readonly #parts: AskingParts;
  #next: Round | undefined;
  #running = false;
  #pausedUntilMs = Number.NEGATIVE_INFINITY;

  constructor(parts: AskingParts) {
    this.#parts = parts;
  }

  /** Whether it is of use to ask now. */
  get usable(): boolean {
    return this.#parts.runtime.monotonicMs() >= this.#pausedUntilMs;
  }

  /**
   * @param hash cookie hash, 32 hexadecimal digits
   * @returns once the table has what Redis says of it: true; false where that could not be asked, after three deadlines at most
   */
  ask(hash: string): Promise<boolean> {
    if (!this.usable) return Promise.resolve(false);
    this.#next ??= { hashes: new Set(), done: Promise.withResolvers() };
    const { hashes, done } = this.#next;
    if (!hashes.has(hash) && hashes.size >= HASHES_MAX) return Promise.resolve(false);
    hashes.add(hash);
    if (!this.#running) void this.#run();
    return done.promise;
  }

  async #run(): Promise<void> {
    this.#running = true;
    const { runtime } = this.#parts;
    for (let round = this.#next; round !== undefined; round = this.#next) {
      this.#next = undefined;
      const begunMs = runtime.monotonicMs();
      round.done.resolve(await this.#read(round.hashes));
      const tookMs = runtime.monotonicMs() - begunMs;
      if (tookMs > 0) await sleep(runtime, Math.min(tookMs, ASK_DEADLINE_MS), NEVER);
    }
    this.#running = false;
  }

  async #read(hashes: ReadonlySet<string>): Promise<boolean> {
    const { runtime, read, failed, succeeded } = this.#parts;
    if (!this.usable) return false;
    const waiting = new AbortController();
    const late = Promise.withResolvers<never>();
    const cancel = runtime.timer(ASK_DEADLINE_MS, () => {
      const error = new Error(`Redis did not answer a question about a session within ${ASK_DEADLINE_MS} ms`);
      waiting.abort(error);
      late.reject(error);
    });
    try {
      await Promise.race([read(hashes, waiting.signal), late.promise]);
      succeeded();
      return true;
    } catch (error) {
      this.#pausedUntilMs = runtime.monotonicMs() + PAUSE_MS;
      failed(error);
      return false;
    } finally {
      cancel();
    }
  }
}
