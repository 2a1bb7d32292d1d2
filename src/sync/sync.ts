/**
 * The sync: keeps a session table equal to what Redis holds. May be imported by every floor above.
 *
 *     Redis ──▶ Feed ────────▶ FeedEntries ─▶ SessionTable
 *       │         │ gap                          ▲
 *       │         ▼                              │
 *       └─────▶ Resync ─ Pages ─▶ Records ───────┘
 *
 * The table holds one generation at a time; a resync fills the next one while lookups still take both. No object is kept
 * for a session here, so the memory needed does not grow with their number.
 */
import { type BackendFault, parseBackends } from './backends.ts';
import { FailureLog } from './failure-log.ts';
import { Feed } from './feed.ts';
import { FeedEntries } from './feed-entries.ts';
import { KnownBackends } from './known-backends.ts';
import type { Log } from './log.ts';
import { PagesUnderWay } from './page-changes.ts';
import type { BackendSource } from './pages.ts';
import type { GapKind } from './position.ts';
import { Problems } from './problems.ts';
import { Records } from './records.ts';
import { type RedisConfig, redisOptions } from './redis-options.ts';
import { RESYNC_REASONS, Resync, type ResyncProgress, type ResyncReason } from './resync.ts';
import { type Runtime, systemRuntime } from './runtime.ts';
import { BACKEND_FAULTS_MAX, type SyncState, type SyncStatus } from './status.ts';
import type { FlushCounts, SessionTable } from './table.ts';
import { DEFAULT_TUNING, type Tuning } from './tuning.ts';
import { formatStreamId } from './versions.ts';

export interface SyncOptions {
  readonly redis: RedisConfig;
  /** Prefix of the tables, as `gateway:` */
  readonly names: string;
  readonly sessions: {
    /** A session's key is this and the session id. */
    readonly prefix: string;
    readonly backend: BackendSource;
  };
  readonly feed: {
    readonly stream: string;
    /** From the end of one full comparison with Redis to the next, ms. */
    readonly reconcileEveryMs: number;
  };
  readonly table: SessionTable;
  readonly log: Log;
  readonly runtime?: Runtime;
  readonly tuning?: Partial<Tuning>;
}

export class Sync {
  readonly #options: SyncOptions;
  readonly #table: SessionTable;
  readonly #runtime: Runtime;
  readonly #problems: Problems;
  readonly #failures: FailureLog;
  readonly #backends = new KnownBackends();
  readonly #underWay = new PagesUnderWay();
  readonly #entries: FeedEntries;
  readonly #records: Records;
  readonly #feed: Feed;
  readonly #resync: Resync;
  readonly #stopping = new AbortController();
  #running: Promise<unknown> | null = null;

  #ready = false;
  /** Entries were missed and not made up for: the table is not what Redis holds. */
  #behind = true;
  /** When the feed's end was last reached since the last gap. */
  #atEndMs: number | null = null;
  #inStepMs: number | null = null;
  #faults: readonly BackendFault[] = [];
  #lastResync: SyncStatus['lastResync'] = null;
  #pages = 0;
  #resyncsFailed = 0;
  readonly #resyncs = Object.fromEntries(RESYNC_REASONS.map((reason) => [reason, 0])) as Record<ResyncReason, number>;
  readonly #changes: FlushCounts = { inserted: 0, replaced: 0, removed: 0, skipped: 0, refused: 0 };

  /** Connects to nothing yet. @throws TypeError, RangeError where an option is impossible */
  constructor(options: SyncOptions) {
    const { table, names, sessions, feed, log } = options;
    if (!(feed.reconcileEveryMs > 0)) {
      throw new RangeError(`feed.reconcileEveryMs: found ${feed.reconcileEveryMs}, allowed: more than 0`);
    }
    const runtime = options.runtime ?? systemRuntime;
    const tuning = { ...DEFAULT_TUNING, ...options.tuning };
    this.#options = options;
    this.#table = table;
    this.#runtime = runtime;
    this.#problems = new Problems(runtime, log);
    this.#failures = new FailureLog(runtime, log);
    const parts = { table, backends: this.#backends, problems: this.#problems };
    this.#entries = new FeedEntries({ ...parts, pages: this.#underWay });
    this.#records = new Records({ ...parts, prefix: sessions.prefix });
    this.#feed = new Feed(
      {
        redis: redisOptions(options.redis, 'session-gateway-feed'),
        stream: feed.stream,
        backendsKey: `${names}backends`,
        backendIdsKey: `${names}backend-ids`,
      },
      runtime,
      tuning,
      {
        connected: () => this.#connected(),
        failed: (error) => this.#failures.note('feed-failed', error),
        gap: (kind) => this.#gap(kind),
        backends: (entries, ids) => this.#setBackends(entries, ids),
        backendsUnreadable: (error) => {
          this.#problems.count('backends-table');
          this.#failures.note('backends-unreadable', error);
        },
        apply: (entries) => {
          this.#entries.apply(entries, runtime.wallMs());
          this.#flush();
        },
        atEnd: (monotonicMs) => this.#atEnd(monotonicMs),
      },
    );
    this.#resync = new Resync(
      {
        redis: redisOptions(options.redis, 'session-gateway-resync'),
        feed: feed.stream,
        prefix: sessions.prefix,
        backend: sessions.backend,
        reconcileEveryMs: feed.reconcileEveryMs,
      },
      runtime,
      tuning,
      this.#feed,
      this.#underWay,
      {
        started: (reason) => {
          this.#resyncs[reason] += 1;
          log('info', 'resync-started', { reason });
        },
        begin: () => {
          this.#table.beginGeneration();
          this.#backends.forgetUnknown();
        },
        apply: (page) => {
          const sessions = this.#records.apply(page);
          this.#flush();
          this.#pages += 1;
          return sessions;
        },
        commit: (progress) => this.#commit(progress),
        failed: (reason, error) => {
          this.#resyncsFailed += 1;
          this.#failures.note('resync-failed', error, { reason });
        },
      },
    );
  }

  /**
   * Begins to connect, to load and to follow, for ever: what fails is tried again.
   * @param signal stops it, as `stop` does
   * @throws Error where it was started already
   */
  start(signal?: AbortSignal): void {
    if (this.#running !== null) throw new Error('the sync was started already');
    const stop = (): void => this.#stopping.abort();
    signal?.addEventListener('abort', stop);
    if (signal?.aborted) stop();
    const { signal: stopping } = this.#stopping;
    this.#running = Promise.all([this.#feed.run(stopping), this.#resync.run(stopping)]).finally(() =>
      signal?.removeEventListener('abort', stop),
    );
  }

  /** Resolves when every connection and timer is gone; the table keeps what it holds. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  status(): SyncStatus {
    const position = this.#feed.position;
    return {
      state: this.#state(),
      ready: this.#ready,
      position: position === null ? null : { id: formatStreamId(position.last), entriesAdded: position.entriesAdded },
      lagEntries: this.#feed.lagEntries,
      inStepMs: this.#inStepMs,
      lastError: this.#failures.last,
      resync: this.#resync.progress,
      lastResync: this.#lastResync,
      backends: { known: this.#backends.byName.size, faults: this.#faults, unknown: this.#backends.unknown() },
      counts: {
        feed: { ...this.#entries.counts },
        connections: this.#feed.connections,
        pages: this.#pages,
        resyncs: { ...this.#resyncs },
        resyncsFailed: this.#resyncsFailed,
        table: { ...this.#changes },
        problems: this.#problems.totals(),
      },
    };
  }

  #state(): SyncState {
    if (!this.#feed.connected) return 'connecting';
    if (!this.#ready) return 'loading';
    return this.#behind ? 'resyncing' : 'following';
  }

  #connected(): void {
    this.#failures.over('feed-failed');
    this.#options.log('info', 'connected', { feed: this.#options.feed.stream });
  }

  #gap(kind: GapKind | 'start'): void {
    this.#behind = true;
    this.#atEndMs = null;
    // The entries that follow may have lower ids than what is held: in a new generation they count all the same.
    this.#table.beginGeneration();
    if (kind !== 'start') this.#options.log('warn', 'gap', { kind });
    this.#resync.request(kind === 'start' ? 'start' : 'gap');
  }

  #setBackends(entries: readonly Buffer[], ids: readonly Buffer[]): void {
    const { backends, faults } = parseBackends(entries, ids, this.#backends.byName);
    for (const { kind } of faults) this.#problems.count(kind);
    this.#faults = faults.slice(0, BACKEND_FAULTS_MAX);
    this.#failures.over('backends-unreadable');
    this.#table.setBackends(backends);
    if (this.#backends.replace(backends)) this.#resync.request('backends');
  }

  #atEnd(monotonicMs: number): void {
    this.#atEndMs = Math.floor(monotonicMs);
    if (!this.#behind) this.#markInStep(this.#atEndMs);
    this.#problems.report();
  }

  #markInStep(monotonicMs: number): void {
    this.#inStepMs = monotonicMs;
    this.#table.markInStep(monotonicMs);
  }

  #flush(): void {
    const counts = this.#table.flush();
    for (const key of Object.keys(counts) as (keyof FlushCounts)[]) this.#changes[key] += counts[key];
    if (counts.refused > 0) this.#problems.count('table-full', counts.refused);
    this.#problems.report();
  }

  #commit(progress: ResyncProgress): void {
    this.#table.commitGeneration();
    this.#behind = false;
    if (this.#atEndMs !== null) this.#markInStep(this.#atEndMs);
    this.#failures.over('resync-failed');
    const endedMs = this.#runtime.wallMs();
    this.#lastResync = { ...progress, endedMs };
    const { reason, pages, sessions } = progress;
    this.#options.log('info', 'resync-done', { reason, pages, sessions, tookMs: endedMs - progress.startedMs });
    if (this.#ready) return;
    this.#ready = true;
    this.#options.log('info', 'ready', { sessions });
  }
}
