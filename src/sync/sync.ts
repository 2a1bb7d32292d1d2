/**
 * The sync: keeps a session table equal to what Redis holds. May be imported by every floor above.
 *
 *     Redis ──▶ Feed ────────▶ FeedEntries ─▶ SessionTable         or         Redis ──▶ Notifications ─▶ Records ─▶ SessionTable
 *       │         │ gap                          ▲                              │             │ gap    ▲
 *       │         ▼                              │                              │             ▼        │ pages
 *       └─────▶ Resync ─ Pages ─▶ Records ───────┘                              └──────────▶ Resync ───┘
 *
 * The table holds one generation at a time; a resync fills the next one while lookups still take both. No object is kept
 * for a session here, so the memory needed does not grow with their number.
 */

import { Asking } from './asking.ts';
import type { SyncError } from './errors.ts';
import { FailureLog } from './failure-log.ts';
import { FaultLog } from './fault-log.ts';
import type { Log } from './log.ts';
import { EVENTS_SETTING } from './notifications/keyspace-events.ts';
import { type MissedEvents, Notifications } from './notifications/notifications.ts';
import { Problems } from './problems.ts';
import type { RedisConfig } from './redis/redis-options.ts';
import { type RedisTarget, redisTarget } from './redis/redis-target.ts';
import { type Runtime, systemRuntime } from './runtime.ts';
import { PagesUnderWay } from './snapshot/page-changes.ts';
import type { Page } from './snapshot/pages.ts';
import { Records } from './snapshot/records.ts';
import { RESYNC_REASONS, Resync, type ResyncProgress, type ResyncReason } from './snapshot/resync.ts';
import type { BackendSource } from './snapshot/session-forms.ts';
import type { SnapshotSource } from './snapshot/snapshot.ts';
import { BACKEND_FAULTS_MAX, type SyncState, type SyncStatus } from './status.ts';
import { Feed } from './stream/feed.ts';
import { type FeedCounts, FeedEntries } from './stream/feed-entries.ts';
import { FeedTail } from './stream/feed-tail.ts';
import type { GapKind } from './stream/position.ts';
import { StreamSource } from './stream/stream-source.ts';
import { type FlushCounts, noChanges, type SessionTable } from './table.ts';
import { type BackendFault, parseBackends } from './tables/backends.ts';
import { BackendsTable } from './tables/backends-table.ts';
import { DeniedTable } from './tables/denied-table.ts';
import { FactsTable } from './tables/facts-table.ts';
import { KnownBackends } from './tables/known-backends.ts';
import type { RedisTable } from './tables/redis-table.ts';
import { Refused } from './tables/refused.ts';
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
    /** How changes become known; `stream` where it is absent. */
    readonly from?: 'stream' | 'notifications';
    readonly stream: string;
    /** From the end of one full comparison with Redis to the next, ms. */
    readonly reconcileEveryMs: number;
  };
  /** Whether `ask` is going to be called: a connection is kept for it. False where it is absent. */
  readonly asks?: boolean;
  readonly table: SessionTable;
  readonly log: Log;
  readonly runtime?: Runtime;
  readonly tuning?: Partial<Tuning>;
}

/** A clock that was ahead makes sessions look expired, which are collected then. */
export type TableLoss = 'clock-set-back';

/** One of the two ways to follow Redis. */
interface Follower {
  readonly connected: boolean;
  readonly connections: number;
  /** Reads one of the small tables again. */
  reread(table: RedisTable): void;
  run(signal: AbortSignal): Promise<void>;
}

interface Following {
  readonly follower: Follower;
  readonly source: SnapshotSource;
  /** What only this way has to tell. */
  status(): Pick<SyncStatus, 'position' | 'lagEntries' | 'notifications'>;
  readonly entries: Readonly<FeedCounts>;
  /** Brings what Redis says of these sessions by now into the table. @throws where that could not be asked */
  read(hashes: ReadonlySet<string>, signal: AbortSignal): Promise<void>;
  startAsking(stopping: AbortSignal): void;
}

const NO_ENTRIES: FeedCounts = { set: 0, del: 0, denied: 0, fact: 0, backends: 0, other: 0 };

export class Sync {
  readonly #options: SyncOptions;
  readonly #table: SessionTable;
  readonly #runtime: Runtime;
  readonly #problems: Problems;
  readonly #failures: FailureLog;
  readonly #backends = new KnownBackends();
  readonly #tables: { readonly backends: BackendsTable; readonly denied: DeniedTable; readonly facts: FactsTable };
  readonly #refusedDenied: Refused;
  readonly #refusedFacts: Refused;
  readonly #records: Records;
  readonly #following: Following;
  readonly #resync: Resync;
  readonly #asking: Asking;
  /** Raised with each gap: what was read before it counts no more. */
  #epoch = 0;
  readonly #stopping = new AbortController();
  #running: Promise<unknown> | null = null;

  #ready = false;
  #noBackends = false;
  /** Entries were missed, or backends have other ids, and it is not made up for: the table is not what Redis holds. */
  #behind = true;
  /** Backends have got other ids since the resync that runs began, or the last one. */
  #outdatedSinceBegin = false;
  /** When the feed's end was last reached since the last gap. */
  #atEndMs: number | null = null;
  #inStepMs: number | null = null;
  /** Sessions that found the table full and are not stored yet, and those of them since the last resync began. */
  #refused = 0;
  #refusedSinceBegin = 0;
  /** What the last resync left behind takes the places of what it refused. A resync for room doesn't lead to another one at once. */
  #sweepAwaited = false;
  #faults: readonly BackendFault[] = [];
  readonly #faultLog: FaultLog;
  #lastResync: SyncStatus['lastResync'] = null;
  #pages = 0;
  #resyncsFailed = 0;
  readonly #resyncs = Object.fromEntries(RESYNC_REASONS.map((reason) => [reason, 0])) as Record<ResyncReason, number>;
  readonly #changes: FlushCounts = noChanges();

  /** Connects to nothing yet. @throws TypeError, RangeError where an option is impossible */
  constructor(options: SyncOptions) {
    const { table, sessions, feed, log } = options;
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
    this.#faultLog = new FaultLog(runtime, log);
    const parts = { table, backends: this.#backends, problems: this.#problems };
    this.#records = new Records({ ...parts, ...sessions });
    const { roomResyncGapMinMs, roomResyncGapMaxMs } = tuning;
    this.#refusedDenied = new Refused(runtime, roomResyncGapMinMs, roomResyncGapMaxMs);
    this.#refusedFacts = new Refused(runtime, roomResyncGapMinMs, roomResyncGapMaxMs);
    this.#tables = this.#newTables(parts, tuning);
    const redis = redisTarget(options.redis, runtime);
    this.#following =
      feed.from === 'notifications' ? this.#byNotifications(redis, tuning) : this.#byStream(redis, tuning, parts);
    this.#asking = new Asking({
      runtime,
      read: (hashes, signal) => this.#following.read(hashes, signal),
      failed: (error) => this.#failures.note('ask-failed', error),
      succeeded: () => this.#failures.over('ask-failed'),
    });
    this.#resync = new Resync({ reconcileEveryMs: feed.reconcileEveryMs }, runtime, tuning, this.#following.source, {
      started: (reason) => {
        this.#resyncs[reason] += 1;
        log('info', 'resync-started', { reason });
      },
      begin: () => {
        table.beginGeneration();
        this.#refusedSinceBegin = 0;
        this.#outdatedSinceBegin = false;
        this.#backends.forgetUnknown();
      },
      page: () => {
        this.#pages += 1;
      },
      commit: (progress) => this.#commit(progress),
      failed: (reason, error) => {
        this.#resyncsFailed += 1;
        this.#failures.note('resync-failed', error, { reason });
      },
    });
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
    if (this.#options.asks) this.#following.startAsking(stopping);
    this.#running = Promise.all([this.#following.follower.run(stopping), this.#resync.run(stopping)]).finally(() =>
      signal?.removeEventListener('abort', stop),
    );
  }

  /** Resolves when every connection and timer is gone; the table keeps what it holds. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  /**
   * A session that is not in the table: Redis is asked what it knows by now. The feed says that of a session that was written to it, however
   * little time ago; with notifications what has changed by now is read.
   * @param hash cookie hash, 32 hexadecimal digits
   * @returns whether it was asked; then the table has what there is
   */
  ask(hash: string): Promise<boolean> {
    return this.#asking.ask(hash);
  }

  /** Whether it is of use to ask now. */
  get canAsk(): boolean {
    return this.#ready && this.#asking.usable;
  }

  /** The table may have lost sessions though nothing in Redis says so: all are read again. */
  suspect(kind: TableLoss): void {
    this.#gap(kind);
  }

  status(): SyncStatus {
    return {
      state: this.#state(),
      ready: this.#ready,
      ...this.#following.status(),
      inStepMs: this.#inStepMs,
      lastError: this.#failures.last,
      resync: this.#resync.progress,
      lastResync: this.#lastResync,
      backends: { known: this.#backends.byName.size, faults: this.#faults, unknown: this.#backends.unknown() },
      denied: this.#tables.denied.last,
      facts: this.#tables.facts.last,
      counts: {
        feed: { ...this.#following.entries },
        connections: this.#following.follower.connections,
        pages: this.#pages,
        resyncs: { ...this.#resyncs },
        resyncsFailed: this.#resyncsFailed,
        table: { ...this.#changes },
        problems: this.#problems.totals(),
      },
    };
  }

  #state(): SyncState {
    if (!this.#following.follower.connected) return 'connecting';
    if (!this.#ready) return 'loading';
    return this.#behind || this.#lacks() ? 'resyncing' : 'following';
  }

  #newTables(parts: { readonly table: SessionTable; readonly problems: Problems }, { deniedPageSize }: Tuning) {
    const { names } = this.#options;
    const common = { ...parts, runtime: this.#runtime, flush: () => this.#flush() };
    const readable =
      (event: string, refused: Refused) =>
      (why: SyncError | null): void => {
        if (why === null) {
          this.#failures.over(event);
          refused.ended();
        } else this.#failures.note(event, why);
      };
    const [refusedDenied, refusedFacts] = [this.#refusedDenied, this.#refusedFacts];
    return {
      backends: new BackendsTable(names, {
        read: (table, ids) => this.#setBackends(table, ids),
        unreadable: (error) => this.#backendsUnreadable(error),
      }),
      denied: new DeniedTable(names, {
        ...common,
        pageSize: deniedPageSize,
        begun: () => refusedDenied.begun(),
        readable: readable('denied-unreadable', refusedDenied),
      }),
      facts: new FactsTable(names, {
        ...common,
        begun: () => refusedFacts.begun(),
        readable: readable('facts-unreadable', refusedFacts),
      }),
    };
  }

  #byStream(
    redis: RedisTarget,
    tuning: Tuning,
    parts: { table: SessionTable; backends: KnownBackends; problems: Problems },
  ): Following {
    const runtime = this.#runtime;
    const { feed, sessions, log } = this.#options;
    const { stream } = feed;
    const underWay = new PagesUnderWay();
    const entries = new FeedEntries({ ...parts, pages: underWay });
    const follower = new Feed({ redis, stream }, this.#tables, runtime, tuning, {
      connected: () => {
        this.#failures.over('feed-failed');
        log('info', 'connected', { feed: stream });
        tail.connect();
      },
      failed: (error) => this.#failures.note('feed-failed', error),
      gap: (kind) => this.#gap(kind),
      apply: (read) => {
        entries.apply(read, runtime.wallMs());
        this.#flush();
      },
      atEnd: (monotonicMs) => this.#atEnd(monotonicMs),
    });
    const apply = (page: Page): number => {
      const number = this.#records.apply(page);
      this.#flush();
      return number;
    };
    const tail = new FeedTail({
      redis,
      stream,
      applied: () => follower.position?.last ?? null,
      epoch: () => this.#epoch,
      opened: () => follower.opened,
      appliedAhead: (id) => follower.appliedAhead(id),
      entries,
      flush: () => this.#flush(),
    });
    return {
      read: (hashes, signal) => tail.read(hashes, signal),
      startAsking: (stopping) => tail.start(stopping),
      follower,
      source: new StreamSource({ redis, stream, ...sessions, feed: follower, underWay, runtime, tuning, apply }),
      status: () => {
        const { position, lagEntries } = follower;
        const shown = position && { id: formatStreamId(position.last), entriesAdded: position.entriesAdded };
        return { position: shown, lagEntries, notifications: null };
      },
      entries: entries.counts,
    };
  }

  #byNotifications(redis: RedisTarget, tuning: Tuning): Following {
    const { sessions, log } = this.#options;
    const follower = new Notifications(
      { redis, ...sessions, tables: Object.values(this.#tables) },
      this.#runtime,
      tuning,
      {
        connected: (masters) => {
          this.#failures.over('notifications-failed');
          log('info', 'connected', { masters });
        },
        failed: (error) => this.#failures.note('notifications-failed', error),
        gap: (kind) => this.#gap(kind),
        slotsMoved: () => this.#resync.request('reconcile'),
        eventsMissing: (missing) => this.#eventsMissing(missing),
        apply: (key, value, ends, version) => this.#records.applyKey(key, value, ends, version),
        flush: () => this.#flush(),
        atEnd: (monotonicMs) => {
          this.#failures.over('notifications-failed');
          this.#atEnd(monotonicMs);
        },
      },
    );
    return {
      read: (_hashes, signal) => follower.caughtUp(signal),
      startAsking: () => undefined,
      follower,
      source: follower,
      status: () => {
        const { missingEvents: missing, pending, counts } = follower;
        return { position: null, lagEntries: null, notifications: { missing, pending, ...counts } };
      },
      entries: NO_ENTRIES,
    };
  }

  /** Redis sends what it sends: without the events the table is right after each full comparison only. */
  #eventsMissing(missing: string | null): void {
    const { log } = this.#options;
    if (missing === '') {
      log('info', 'events-sent', { setting: EVENTS_SETTING });
    } else if (missing === null) {
      const meaning =
        'Redis does not tell this user whether it sends notifications: see that it has K and A, or Kg$hzxe';
      log('warn', 'events-unknown', { setting: EVENTS_SETTING, meaning });
    } else {
      const meaning =
        'Redis does not send these: changes are found by full comparisons only. `gateway doctor --set-notifications` adds them';
      log('error', 'events-missing', { setting: EVENTS_SETTING, missing, meaning });
    }
  }

  #gap(kind: GapKind | MissedEvents | TableLoss): void {
    if (kind === 'entry-too-large') this.#problems.count('feed-entry-size');
    this.#behind = true;
    this.#epoch += 1;
    this.#atEndMs = null;
    // The entries that follow may have lower ids than what is held: in a new generation they count all the same.
    this.#table.beginGeneration();
    if (kind !== 'start') this.#options.log('warn', 'gap', { kind });
    this.#resync.request(kind === 'start' ? 'start' : 'gap');
  }

  #setBackends(entries: readonly (Buffer | null)[], ids: readonly (Buffer | null)[]): void {
    const { backends, faults } = parseBackends(entries, ids, this.#backends.byName);
    for (const { kind } of faults) this.#problems.count(kind);
    this.#faults = faults.slice(0, BACKEND_FAULTS_MAX);
    this.#faultLog.note(faults);
    this.#failures.over('backends-unreadable');
    this.#noteWhetherEmpty(entries.length === 0);
    this.#table.setBackends(backends);
    if (!this.#backends.replace(backends)) return;
    // Sessions are stored under the id of another backend, or of none, until they have been read again.
    this.#behind = true;
    this.#outdatedSinceBegin = true;
    this.#resync.request('backends');
  }

  /** A Redis that came back without its data has no backends, and no functions for writers either. */
  #noteWhetherEmpty(empty: boolean): void {
    if (empty === this.#noBackends) return;
    this.#noBackends = empty;
    if (!empty) return;
    const table = `${this.#options.names}backends`;
    const advice = `restore Redis' data, or run "gateway redis install" and "gateway backend set"`;
    this.#options.log('warn', 'no-backends', { table, meaning: `it is empty, so no session is found: ${advice}` });
  }

  #backendsUnreadable(error: SyncError): void {
    this.#problems.count('backends-table');
    this.#failures.note('backends-unreadable', error);
  }

  #atEnd(monotonicMs: number): void {
    this.#atEndMs = Math.floor(monotonicMs);
    if (!this.#behind && !this.#lacks()) this.#markInStep(this.#atEndMs);
    const { room } = this.#table;
    if (this.#refused > 0 && room > 0 && this.#resync.progress === null) this.#resync.request('room');
    if (this.#sweepAwaited && !this.#table.hasGarbage && this.#resync.progress === null) {
      this.#sweepAwaited = false;
      if (this.#refused > 0 && room > 0) this.#resync.roomAtOnce();
    }
    if (this.#refused > 0 && room >= this.#refused) this.#resync.hurryRoom();
    const { follower } = this.#following;
    if (this.#refusedDenied.isDue(this.#table.deniedRoom)) follower.reread(this.#tables.denied);
    if (this.#refusedFacts.isDue(this.#table.factsRoom)) follower.reread(this.#tables.facts);
    this.#problems.report();
  }

  /** What found the table full would find a place now, or soon. While it is full, it holds what it can, and that is in step. */
  #lacks(): boolean {
    const { room, hasGarbage, deniedRoom, factsRoom } = this.#table;
    if (this.#refused > 0 && (room > 0 || hasGarbage)) return true;
    return this.#refusedDenied.lack(deniedRoom) || this.#refusedFacts.lack(factsRoom);
  }

  #markInStep(monotonicMs: number): void {
    this.#inStepMs = monotonicMs;
    this.#table.markInStep(monotonicMs);
  }

  #flush(): void {
    const counts = this.#table.flush();
    for (const key of Object.keys(counts) as (keyof FlushCounts)[]) this.#changes[key] += counts[key];
    this.#problems.count('table-full', counts.refused);
    this.#problems.count('denied-full', counts.deniedRefused);
    this.#problems.count('facts-full', counts.factsRefused);
    this.#refusedDenied.note(counts.deniedRefused);
    this.#refusedFacts.note(counts.factsRefused);
    this.#refused += counts.refused;
    this.#refusedSinceBegin += counts.refused;
    this.#problems.report();
  }

  #commit(progress: ResyncProgress): void {
    this.#table.commitGeneration();
    this.#behind = this.#outdatedSinceBegin;
    this.#refused = this.#refusedSinceBegin;
    this.#sweepAwaited = this.#refused > 0 && this.#table.hasGarbage && progress.reason !== 'room';
    if (!this.#behind && !this.#lacks() && this.#atEndMs !== null) this.#markInStep(this.#atEndMs);
    if (this.#refused === 0) this.#resync.stored();
    this.#failures.over('resync-failed');
    const endedMs = this.#runtime.wallMs();
    this.#lastResync = { ...progress, endedMs };
    const { reason, pages, sessions } = progress;
    this.#pages += pages;
    this.#options.log('info', 'resync-done', { reason, pages, sessions, tookMs: endedMs - progress.startedMs });
    if (this.#ready) return;
    this.#ready = true;
    this.#options.log('info', 'ready', { sessions });
  }
}
