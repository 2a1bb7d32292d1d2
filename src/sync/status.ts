/**
 * What the sync tells about itself. May be imported by every floor above.
 */

import type { ProblemKind } from './problems.ts';
import type { ResyncProgress, ResyncReason } from './snapshot/resync.ts';
import type { FeedCounts } from './stream/feed-entries.ts';
import type { FlushCounts } from './table.ts';
import type { BackendFault } from './tables/backends.ts';
import type { UnknownBackend } from './tables/known-backends.ts';

export type SyncState =
  /** No connection to Redis has got as far as the feed's first check, or not every master is followed. */
  | 'connecting'
  /** The first load is under way. */
  | 'loading'
  /** Changes were missed; everything is read again, and what changes meanwhile is applied. */
  | 'resyncing'
  | 'following';

export interface SyncStatus {
  readonly state: SyncState;
  /** The first load is in; never taken back. */
  readonly ready: boolean;
  /** Null where the feed is followed. */
  readonly notifications: NotificationsStatus | null;
  /** The last feed entry applied, as `ms-seq`, and how many had been added to the feed by then. */
  readonly position: { readonly id: string; readonly entriesAdded: number } | null;
  /** Entries that the feed had more than were applied, at the last check. */
  readonly lagEntries: number | null;
  /** Monotonic ms: the table was last known to be what Redis held then. */
  readonly inStepMs: number | null;
  /** Kept until the next one, whether or not it is over. */
  readonly lastError: { readonly message: string; readonly timeMs: number } | null;
  /** The resync that runs now. */
  readonly resync: Readonly<ResyncProgress> | null;
  /** The last one that was carried out. */
  readonly lastResync: (Readonly<ResyncProgress> & { readonly endedMs: number }) | null;
  readonly backends: {
    readonly known: number;
    /** What is wrong with entries of the table, at most `BACKEND_FAULTS_MAX`. */
    readonly faults: readonly BackendFault[];
    /** Names that sessions refer to and that the table doesn't have, at most `UNKNOWN_NAMES_MAX`. */
    readonly unknown: readonly UnknownBackend[];
  };
  /** What the last reading of `gateway:denied`, and of `gateway:facts`, found; null before it. */
  readonly denied: TableReading | null;
  readonly facts: TableReading | null;
  /** Since the start. */
  readonly counts: {
    readonly feed: Readonly<FeedCounts>;
    /** Connections that got as far as the feed's first check, or the subscription. */
    readonly connections: number;
    readonly pages: number;
    /** Begun, by reason. */
    readonly resyncs: Readonly<Record<ResyncReason, number>>;
    readonly resyncsFailed: number;
    /** What became of changes in the table; `refused` found it full. */
    readonly table: Readonly<FlushCounts>;
    readonly problems: Readonly<Record<ProblemKind, number>>;
  };
}

/** Of a table as a whole; what single entries of the feed said after it is not in here. */
export interface TableReading {
  /** Revocations that are not over, or facts. */
  readonly entries: number;
  /** Entries that are none, and were left out. */
  readonly malformed: number;
  /** Unix ms */
  readonly timeMs: number;
}

export interface NotificationsStatus {
  /** Flags of notify-keyspace-events that Redis lacks: changes are not seen. Null where it can't be asked, or wasn't yet. */
  readonly missing: string | null;
  /** Keys that changed and are not read yet. */
  readonly pending: number;
  /** Notifications that came, and keys that were read because of them, since the start. */
  readonly events: number;
  readonly reads: number;
}

export const BACKEND_FAULTS_MAX = 100;
