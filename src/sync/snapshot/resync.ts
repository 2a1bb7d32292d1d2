/**
 * Resyncs: reads all sessions from Redis under a new generation, and makes the table that generation's once all that
 * happened meanwhile is applied too. One at a time; a gap starts it over.
 * May be imported by src/sync only.
 */

import { Backoff, type Runtime, sleep } from '../runtime.ts';
import type { Tuning } from '../tuning.ts';
import { CURSOR_START } from './pages.ts';
import type { Snapshot, SnapshotPage, SnapshotSource } from './snapshot.ts';

/** Why everything is read again; a later one in this list goes before an earlier one. */
export const RESYNC_REASONS = [
  /** A periodic comparison, paced. */
  'reconcile',
  /** Sessions found the table full, and there is room now. */
  'room',
  /** Sessions name a backend that has become known, or whose id has changed. */
  'backends',
  /** Changes were missed. */
  'gap',
  /** The first load. */
  'start',
] as const;

export type ResyncReason = (typeof RESYNC_REASONS)[number];

export interface ResyncProgress {
  readonly reason: ResyncReason;
  /** Unix ms */
  readonly startedMs: number;
  pages: number;
  /** A session that SCAN shows twice counts twice. */
  sessions: number;
}

export interface ResyncEvents {
  started(reason: ResyncReason): void;
  /** The table is to take a new generation, and to forget what earlier records named. */
  begin(): void;
  /** A page is in the table. */
  page(): void;
  /** The table is to be the new generation's. */
  commit(progress: ResyncProgress): void;
  failed(reason: ResyncReason, error: unknown): void;
}

export interface ResyncOptions {
  /** From the end of one resync to the next periodic one, ms, less or more by up to a tenth. */
  readonly reconcileEveryMs: number;
}

/** The longest single sleep; whoever wakes looks at the clock again. */
const SLEEP_MAX_MS = 2 ** 30;

export class Resync {
  readonly #options: ResyncOptions;
  readonly #runtime: Runtime;
  readonly #tuning: Tuning;
  readonly #source: SnapshotSource;
  readonly #events: ResyncEvents;
  /** After a failure, and after a gap that came at once. */
  readonly #backoff: Backoff;
  readonly #gapBackoff: Backoff;
  /** A table that is always too small must not be one long scan. */
  readonly #roomBackoff: Backoff;
  #roomGapMs = 0;
  #roomAtOnce = false;
  #pending: ResyncReason | null = null;
  #attempt: { readonly progress: ResyncProgress; readonly controller: AbortController } | null = null;
  #wake: AbortController | null = null;
  #startedMs = Number.NEGATIVE_INFINITY;
  #endedMs = Number.NEGATIVE_INFINITY;
  #tookMs = 0;
  #retryMs = Number.NEGATIVE_INFINITY;
  #reconcileMs = Number.POSITIVE_INFINITY;

  constructor(options: ResyncOptions, runtime: Runtime, tuning: Tuning, source: SnapshotSource, events: ResyncEvents) {
    this.#options = options;
    this.#runtime = runtime;
    this.#tuning = tuning;
    this.#source = source;
    this.#events = events;
    this.#backoff = new Backoff(runtime, tuning.backoffMinMs, tuning.backoffMaxMs);
    this.#gapBackoff = new Backoff(runtime, tuning.backoffMinMs, tuning.backoffMaxMs);
    this.#roomBackoff = new Backoff(runtime, tuning.roomResyncGapMinMs, tuning.roomResyncGapMaxMs);
  }

  get progress(): Readonly<ResyncProgress> | null {
    return this.#attempt?.progress ?? null;
  }

  /** Asks for a resync. One that runs goes on unless what it has read so far is worth nothing, or it is paced. */
  request(reason: ResyncReason): void {
    const running = this.#attempt?.progress.reason;
    if (reason === 'gap') this.#settle();
    if (reason === 'room' && this.#pending === null) this.#roomGapMs = this.#roomBackoff.nextMs();
    if (this.#pending === null || rank(reason) > rank(this.#pending)) this.#pending = reason;
    if (reason === 'gap' || (running === 'reconcile' && reason !== 'room')) this.#attempt?.controller.abort();
    this.#wake?.abort();
  }

  /** All sessions were stored; the next time that some are not, room is made use of soon again. */
  stored(): void {
    this.#roomBackoff.reset();
  }

  /** The places of records that the last resync left behind are free: the next one for room doesn't wait. */
  roomAtOnce(): void {
    this.#roomAtOnce = true;
    this.#wake?.abort();
  }

  /** There is room for all: it need not wait as it does where some would be left out again. */
  hurryRoom(): void {
    if (this.#roomGapMs === 0) return;
    this.#roomGapMs = 0;
    this.#wake?.abort();
  }

  async run(signal: AbortSignal): Promise<void> {
    const stop = (): void => {
      this.#attempt?.controller.abort();
      this.#wake?.abort();
    };
    signal.addEventListener('abort', stop);
    try {
      for (let reason = await this.#next(signal); reason !== null; reason = await this.#next(signal)) {
        await this.#try(reason, signal);
      }
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** Gap upon gap, as where the feed is trimmed faster than it is read, must not become one long full-speed scan. */
  #settle(): void {
    const nowMs = this.#runtime.monotonicMs();
    if (nowMs - this.#startedMs >= this.#tuning.gapSettleMs) this.#gapBackoff.reset();
    else this.#retryMs = nowMs + this.#gapBackoff.nextMs();
  }

  /** Waits until a resync is due. @returns null when `signal` is aborted */
  async #next(signal: AbortSignal): Promise<ResyncReason | null> {
    while (!signal.aborted) {
      const waitMs = this.#dueMs() - this.#runtime.monotonicMs();
      if (waitMs <= 0) {
        const reason = this.#pending ?? 'reconcile';
        this.#pending = null;
        return reason;
      }
      this.#wake = new AbortController();
      await sleep(this.#runtime, Math.min(waitMs, SLEEP_MAX_MS), this.#wake.signal);
      this.#wake = null;
    }
    return null;
  }

  #dueMs(): number {
    if (this.#pending === null) return this.#reconcileMs;
    const { backendsResyncGapMs, backendsResyncGapFactor, roomResyncGapFactor } = this.#tuning;
    if (this.#pending === 'room') {
      if (this.#roomAtOnce) return this.#retryMs;
      const gapMs = Math.max(this.#roomGapMs, roomResyncGapFactor * this.#tookMs);
      return Math.min(this.#reconcileMs, Math.max(this.#retryMs, this.#endedMs + gapMs));
    }
    if (this.#pending !== 'backends') return this.#retryMs;
    const gapMs = Math.max(backendsResyncGapMs, backendsResyncGapFactor * this.#tookMs);
    return Math.max(this.#retryMs, this.#endedMs + gapMs);
  }

  async #try(reason: ResyncReason, signal: AbortSignal): Promise<void> {
    this.#roomAtOnce = false;
    const progress: ResyncProgress = { reason, startedMs: this.#runtime.wallMs(), pages: 0, sessions: 0 };
    const controller = new AbortController();
    this.#attempt = { progress, controller };
    this.#startedMs = this.#runtime.monotonicMs();
    this.#events.started(reason);
    try {
      await this.#carryOut(progress, controller.signal);
      this.#ended(reason);
    } catch (error) {
      // Whoever aborts it has asked for another one, or stops.
      if (!controller.signal.aborted) {
        this.#retryMs = this.#runtime.monotonicMs() + this.#backoff.nextMs();
        if (this.#pending === null || rank(reason) > rank(this.#pending)) this.#pending = reason;
        if (!signal.aborted) this.#events.failed(reason, error);
      }
    } finally {
      this.#attempt = null;
    }
  }

  #ended(reason: ResyncReason): void {
    this.#endedMs = this.#runtime.monotonicMs();
    // What a paced one slept would not be waited for by another.
    const share = reason === 'reconcile' ? this.#tuning.reconcileShare : 1;
    this.#tookMs = share * (this.#endedMs - this.#startedMs);
    this.#reconcileMs = this.#endedMs + this.#options.reconcileEveryMs * (0.9 + 0.2 * this.#runtime.random());
    this.#backoff.reset();
  }

  async #carryOut(progress: ResyncProgress, signal: AbortSignal): Promise<void> {
    const snapshot = await this.#source.open(signal);
    try {
      signal.throwIfAborted();
      this.#events.begin();
      await snapshot.readTables(signal);
      await this.#readPages(snapshot, progress, signal);
      await snapshot.caughtUp(signal);
      signal.throwIfAborted();
      this.#events.commit(progress);
    } finally {
      snapshot.close();
    }
  }

  /** Asks for the next page as soon as its cursor is known, before this one is applied, but where it is paced. */
  async #readPages(snapshot: Snapshot, progress: ResyncProgress, signal: AbortSignal): Promise<void> {
    const paced = progress.reason === 'reconcile';
    const asked: Promise<SnapshotPage>[] = [];
    const ask = (cursor: string): void => {
      const page = snapshot.ask(cursor, askAhead);
      // Its failure is met when it is awaited, which is after the page before it is applied.
      page.catch(() => undefined);
      asked.push(page);
    };
    const askAhead = (cursor: string): void => {
      if (!paced && !signal.aborted && cursor !== CURSOR_START) ask(cursor);
    };
    ask(CURSOR_START);
    try {
      while (asked[0] !== undefined) {
        const page = await asked[0];
        asked.shift();
        if (signal.aborted) page.discard();
        signal.throwIfAborted();
        const more = page.cursor !== CURSOR_START;
        if (more && !paced && asked.length === 0) ask(page.cursor);
        progress.sessions += page.apply();
        progress.pages += 1;
        this.#events.page();
        if (more && paced) {
          await sleep(this.#runtime, page.tookMs * (1 / this.#tuning.reconcileShare - 1), signal);
          ask(page.cursor);
        }
      }
    } finally {
      // What was asked for ahead is of no use any more.
      for (const page of asked) {
        page.then(
          (late) => late.discard(),
          () => undefined,
        );
      }
    }
  }
}

function rank(reason: ResyncReason): number {
  return RESYNC_REASONS.indexOf(reason);
}
