/**
 * Resyncs: reads all sessions from Redis under a new generation, and makes the table that generation's once the
 * feed is applied up to the last page. One at a time; a gap in the feed starts it over.
 * May be imported by src/sync only.
 */
import { Connection } from './connection.ts';
import type { Feed } from './feed.ts';
import type { PagesUnderWay } from './page-changes.ts';
import { CURSOR_START, type Page, Pages, type PagesOptions } from './pages.ts';
import type { ConnectionOptions } from './redis-options.ts';
import { Backoff, type Runtime, sleep } from './runtime.ts';
import type { Tuning } from './tuning.ts';
import { type StreamId, ZERO_ID } from './versions.ts';

/** Why everything is read again; a later one in this list goes before an earlier one. */
export const RESYNC_REASONS = [
  /** A periodic comparison, paced. */
  'reconcile',
  /** Sessions name a backend that has become known, or whose id has changed. */
  'backends',
  /** Entries of the feed were missed. */
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
  /** Queues a page's records and flushes the table. @returns how many sessions */
  apply(page: Page): number;
  /** The table is to be the new generation's. */
  commit(progress: ResyncProgress): void;
  failed(reason: ResyncReason, error: unknown): void;
}

export interface ResyncOptions extends Omit<PagesOptions, 'pageSize' | 'deadlineMs'> {
  readonly redis: ConnectionOptions;
  /** From the end of one resync to the next periodic one, ms, less or more by up to a tenth. */
  readonly reconcileEveryMs: number;
}

/** The longest single sleep; whoever wakes looks at the clock again. */
const SLEEP_MAX_MS = 2 ** 30;

export class Resync {
  readonly #options: ResyncOptions;
  readonly #runtime: Runtime;
  readonly #tuning: Tuning;
  readonly #feed: Feed;
  readonly #underWay: PagesUnderWay;
  readonly #events: ResyncEvents;
  /** After a failure, and after a gap that came at once. */
  readonly #backoff: Backoff;
  readonly #gapBackoff: Backoff;
  #pending: ResyncReason | null = null;
  #attempt: { readonly progress: ResyncProgress; readonly controller: AbortController } | null = null;
  #wake: AbortController | null = null;
  #startedMs = Number.NEGATIVE_INFINITY;
  #endedMs = Number.NEGATIVE_INFINITY;
  #tookMs = 0;
  #retryMs = Number.NEGATIVE_INFINITY;
  #reconcileMs = Number.POSITIVE_INFINITY;

  constructor(
    options: ResyncOptions,
    runtime: Runtime,
    tuning: Tuning,
    feed: Feed,
    underWay: PagesUnderWay,
    events: ResyncEvents,
  ) {
    this.#options = options;
    this.#runtime = runtime;
    this.#tuning = tuning;
    this.#feed = feed;
    this.#underWay = underWay;
    this.#events = events;
    this.#backoff = new Backoff(runtime, tuning.backoffMinMs, tuning.backoffMaxMs);
    this.#gapBackoff = new Backoff(runtime, tuning.backoffMinMs, tuning.backoffMaxMs);
  }

  get progress(): Readonly<ResyncProgress> | null {
    return this.#attempt?.progress ?? null;
  }

  /** Asks for a resync. One that runs goes on unless what it has read so far is worth nothing, or it is paced. */
  request(reason: ResyncReason): void {
    const running = this.#attempt?.progress.reason;
    if (reason === 'gap') this.#settle();
    if (this.#pending === null || rank(reason) > rank(this.#pending)) this.#pending = reason;
    if (reason === 'gap' || running === 'reconcile') this.#attempt?.controller.abort();
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
    if (this.#pending !== 'backends') return this.#retryMs;
    const { backendsResyncGapMs, backendsResyncGapFactor } = this.#tuning;
    const gapMs = Math.max(backendsResyncGapMs, backendsResyncGapFactor * this.#tookMs);
    return Math.max(this.#retryMs, this.#endedMs + gapMs);
  }

  async #try(reason: ResyncReason, signal: AbortSignal): Promise<void> {
    const progress: ResyncProgress = { reason, startedMs: this.#runtime.wallMs(), pages: 0, sessions: 0 };
    const controller = new AbortController();
    this.#attempt = { progress, controller };
    this.#startedMs = this.#runtime.monotonicMs();
    this.#events.started(reason);
    const restoreFeed = this.#feed.hurry();
    try {
      await this.#carryOut(progress, controller.signal);
      this.#ended();
    } catch (error) {
      // Whoever aborts it has asked for another one, or stops.
      if (!controller.signal.aborted) {
        this.#retryMs = this.#runtime.monotonicMs() + this.#backoff.nextMs();
        if (this.#pending === null || rank(reason) > rank(this.#pending)) this.#pending = reason;
        if (!signal.aborted) this.#events.failed(reason, error);
      }
    } finally {
      restoreFeed();
      this.#attempt = null;
    }
  }

  #ended(): void {
    this.#endedMs = this.#runtime.monotonicMs();
    this.#tookMs = this.#endedMs - this.#startedMs;
    this.#reconcileMs = this.#endedMs + this.#options.reconcileEveryMs * (0.9 + 0.2 * this.#runtime.random());
    this.#backoff.reset();
  }

  async #carryOut(progress: ResyncProgress, signal: AbortSignal): Promise<void> {
    const { redis, feed, prefix, backend } = this.#options;
    const { pageSize, pageDeadlineMs } = this.#tuning;
    const connection = await Connection.open(redis, this.#runtime, signal);
    try {
      signal.throwIfAborted();
      this.#events.begin();
      await this.#feed.refreshBackends(signal);
      const options = { feed, prefix, backend, pageSize, deadlineMs: pageDeadlineMs };
      const lastId = await this.#readPages(
        new Pages(connection, this.#runtime, this.#underWay, options),
        progress,
        signal,
      );
      await this.#feed.caughtUp(lastId, signal);
      signal.throwIfAborted();
      this.#events.commit(progress);
    } finally {
      connection.drop();
    }
  }

  /** Asks for the next page before this one is applied, but where it is paced. @returns the last page's feed id */
  async #readPages(pages: Pages, progress: ResyncProgress, signal: AbortSignal): Promise<StreamId> {
    const paced = progress.reason === 'reconcile';
    let lastId = ZERO_ID;
    let asked: Promise<Page> | null = pages.ask(CURSOR_START);
    try {
      while (asked !== null) {
        const page: Page = await asked;
        asked = null;
        try {
          signal.throwIfAborted();
          const more = page.cursor !== CURSOR_START;
          if (more && !paced) asked = pages.ask(page.cursor);
          progress.sessions += this.#events.apply(page);
        } finally {
          this.#underWay.end(page.changes);
        }
        progress.pages += 1;
        lastId = page.id;
        if (page.cursor !== CURSOR_START && paced) {
          await sleep(this.#runtime, page.tookMs * (1 / this.#tuning.reconcileShare - 1), signal);
          asked = pages.ask(page.cursor);
        }
      }
    } finally {
      // One that was asked for ahead is of no use any more.
      asked?.then(
        (page) => this.#underWay.end(page.changes),
        () => undefined,
      );
    }
    return lastId;
  }
}

function rank(reason: ResyncReason): number {
  return RESYNC_REASONS.indexOf(reason);
}
