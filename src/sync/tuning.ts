/**
 * Paces and bounds of the sync. Each has a value that suits every installation known; tests shorten some.
 * May be imported by every floor above.
 */

export interface Tuning {
  /** How long one XREAD waits for entries, ms. */
  readonly blockMs: number;
  /** The same while a resync runs, which ends with a check of the feed. */
  readonly resyncBlockMs: number;
  /** How often the feed is checked for a gap, ms. */
  readonly checkEveryMs: number;
  /** How much longer than `blockMs` a reply may take, ms. */
  readonly replyGraceMs: number;
  /** COUNT of XREAD. */
  readonly feedCount: number;
  /** COUNT of SCAN in one snapshot page, where the sessions are not too large for it. */
  readonly pageSize: number;
  /** COUNT of ZSCAN in one page of the revoked sessions. */
  readonly deniedPageSize: number;
  /** How long one snapshot page may take, ms. */
  readonly pageDeadlineMs: number;
  /** Keys that changed are read so many at once, where the sessions can't be too large for it. */
  readonly keysAtOnce: number;
  /** Keys of one master that changed and are not read yet; what is more is made up for by a resync. */
  readonly pendingKeysMax: number;
  /** Waits between tries, for a connection and for a resync, ms. */
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** A gap this soon after the last resync began waits like a failure, ms. */
  readonly gapSettleMs: number;
  /** From the end of one resync to the start of one that a change of the backends asks for: at least this, ms, … */
  readonly backendsResyncGapMs: number;
  /** … and so many times what the last resync took. */
  readonly backendsResyncGapFactor: number;
  /** The same for one that makes use of room in a table that was full: from min to max, ms, doubling while it is too small. */
  readonly roomResyncGapMinMs: number;
  readonly roomResyncGapMaxMs: number;
  readonly roomResyncGapFactor: number;
  /** The share of the time that Redis works for a periodic reconcile, 0 to 1. */
  readonly reconcileShare: number;
}

export const DEFAULT_TUNING: Tuning = {
  blockMs: 1000,
  resyncBlockMs: 50,
  checkEveryMs: 1000,
  replyGraceMs: 2000,
  feedCount: 2000,
  pageSize: 500,
  deniedPageSize: 2000,
  pageDeadlineMs: 10_000,
  keysAtOnce: 2000,
  pendingKeysMax: 100_000,
  backoffMinMs: 100,
  backoffMaxMs: 3000,
  gapSettleMs: 10_000,
  backendsResyncGapMs: 250,
  backendsResyncGapFactor: 3,
  roomResyncGapMinMs: 1000,
  roomResyncGapMaxMs: 300_000,
  roomResyncGapFactor: 10,
  reconcileShare: 0.1,
};
