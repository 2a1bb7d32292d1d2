/**
 * Follows the feed: one connection, one request after the other, each from an explicit id. May be imported by src/sync only.
 *
 *              ┌───────────────── about once a second, and first of all ────────────────┐
 *     connect ─┴▶ check: MULTI{stream.lua, XREAD} ──▶ gap? ──▶ apply ──▶ XREAD BLOCK ────┴▶ apply ──▶ …
 *                                                      └ yes: go to the stream's end, ask for a resync
 *
 * The next request is sent before the reply to this one is applied. Only a check shows that nothing was missed, so only
 * after one the table is in step. A reply that is too large, or too slow, is asked for again in smaller pieces. Where one check after
 * the other finds a gap, the next ones come after ever longer waits, so that whatever is wrong with the stream is no busy loop; what it has
 * is applied meanwhile.
 */

import { errorMessage, SyncError } from '../errors.ts';
import { REPLY_MAX_BYTES } from '../limits.ts';
import type { Connection } from '../redis/connection.ts';
import type { RedisTarget } from '../redis/redis-target.ts';
import type { Reply as Replies } from '../redis/resp-reply.ts';
import { STREAM_SCRIPT } from '../redis/scripts.ts';
import { Backoff, type Runtime, sleep } from '../runtime.ts';
import type { RedisTable } from '../tables/redis-table.ts';
import type { Tuning } from '../tuning.ts';
import { compareStreamIds, formatStreamId, parseStreamId, type StreamId } from '../versions.ts';
import { Waiters } from '../waiters.ts';
import { EntryBatch } from './entry-batch.ts';
import { FeedTables, type FeedTablesParts } from './feed-tables.ts';
import {
  DIGEST_FIELDS,
  endOf,
  findGap,
  type GapKind,
  landmarkOf,
  marksOf,
  mayLack,
  type Position,
  parseStreamInfo,
  type StreamInfo,
} from './position.ts';

/** What the feed brings. All are called in order, and none may take long. */
export interface FeedEvents {
  /** Connected, and the first check done. */
  connected(): void;
  /** The connection failed or was lost; another one is made. */
  failed(error: unknown): void;
  /** Entries were missed (or, at the start, none was read yet); the position is the stream's end now. */
  gap(kind: GapKind | 'start'): void;
  /** Applies the entries and flushes the table. */
  apply(entries: EntryBatch): void;
  /** All that was in the stream and in the tables at `monotonicMs` is applied, and nothing was missed. */
  atEnd(monotonicMs: number): void;
}

export interface FeedOptions {
  readonly redis: RedisTarget;
  readonly stream: string;
}

/** By which the number of entries asked for is divided, and how far below its bound a reply is that makes it grow again. */
const LESS = 8;

interface Reply {
  readonly entries: EntryBatch;
  /** Only of a check. */
  readonly info: StreamInfo | null;
}

interface Request {
  readonly serial: number;
  /** Most entries that were asked for. */
  readonly count: number;
  /** A check that asked for no entries, since the next one is too large. */
  readonly skips: boolean;
  readonly sentMs: number;
  readonly reply: Promise<Reply>;
}

export class Feed {
  readonly #options: FeedOptions;
  readonly #runtime: Runtime;
  readonly #tuning: Tuning;
  readonly #events: FeedEvents;
  readonly #backoff: Backoff;
  /** All entries up to here are applied. */
  #position: Position | null = null;
  /** The newest entry that was applied before its turn, until a check finds that it was read in it. */
  #ahead: StreamId | null = null;
  #lagEntries: number | null = null;
  #connected = false;
  #opened = 0;
  #connections = 0;
  #serial = 0;
  #checkedMs = Number.NEGATIVE_INFINITY;
  /** The last check found a gap. */
  #gapBefore = false;
  /** Until when no check is sent over the same connection. */
  #settledMs = Number.NEGATIVE_INFINITY;
  readonly #gapBackoff: Backoff;
  readonly #tables: FeedTables;
  /** At the feed's end a table was still to be read. */
  #atEndWithheld = false;
  #hurried = 0;
  /** COUNT of the next XREAD. */
  #count: number;
  /** The next entry alone is too large for a reply. */
  #tooLarge = false;
  readonly #caughtUp = new Waiters<{ id: StreamId; serial: number }>();

  constructor(options: FeedOptions, tables: FeedTablesParts, runtime: Runtime, tuning: Tuning, events: FeedEvents) {
    this.#options = options;
    this.#tables = new FeedTables(tables);
    this.#runtime = runtime;
    this.#tuning = tuning;
    this.#count = tuning.feedCount;
    this.#events = events;
    this.#backoff = new Backoff(runtime, tuning.backoffMinMs, tuning.backoffMaxMs);
    this.#gapBackoff = new Backoff(runtime, tuning.backoffMinMs, tuning.backoffMaxMs);
  }

  get position(): Position | null {
    return this.#position;
  }

  /** Entries that the stream had more than were applied, at the last check; null before the first one. */
  get lagEntries(): number | null {
    return this.#lagEntries;
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** The server's replication id at the last check; null before it, and where the server doesn't tell. */
  get history(): string | null {
    return this.#position?.history ?? null;
  }

  /** Connections that were opened: one that comes after another may be to another server. */
  get opened(): number {
    return this.#opened;
  }

  /** Connections that got as far as the first check. */
  get connections(): number {
    return this.#connections;
  }

  /** Follows until `signal` is aborted; every failure is reported and followed by another try. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let connection: Connection | undefined;
      try {
        connection = await this.#options.redis.openMaster('session-gateway-feed', signal);
        this.#opened += 1;
        connection.readInPlace();
        await this.#follow(connection, signal);
      } catch (error) {
        this.#askForLess(error);
        if (!signal.aborted) this.#events.failed(error);
      } finally {
        this.#connected = false;
        connection?.drop();
      }
      if (!signal.aborted) await sleep(this.#runtime, this.#backoff.nextMs(), signal);
    }
  }

  /** This entry was applied before its turn: a server that may lack it is a gap. */
  appliedAhead(id: StreamId): void {
    if (this.#ahead === null || compareStreamIds(id, this.#ahead) > 0) this.#ahead = id;
  }

  /** Makes the feed check more often until what is returned is called. */
  hurry(): () => void {
    this.#hurried += 1;
    let over = false;
    return () => {
      if (!over) this.#hurried -= 1;
      over = true;
    };
  }

  /** This table is read again. */
  reread(table: RedisTable): void {
    this.#tables.wantAgain(table);
  }

  /** Resolves once the tables were read again, or could not be. @throws the signal's reason */
  readTables(signal: AbortSignal): Promise<void> {
    return this.#tables.readAgain(signal);
  }

  /**
   * Resolves once a check that was sent after this call found no gap, and the feed is applied at least
   * up to `id`. @throws the signal's reason; SyncError SERVERS_DIFFER where such a check shows that the stream doesn't reach `id`
   */
  caughtUp(id: StreamId, signal: AbortSignal): Promise<void> {
    return this.#caughtUp.wait({ id, serial: this.#serial }, signal);
  }

  async #follow(connection: Connection, signal: AbortSignal): Promise<void> {
    let cursor = this.#position;
    this.#checkedMs = Number.NEGATIVE_INFINITY;
    this.#settledMs = Number.NEGATIVE_INFINITY;
    this.#tables.restart();
    let request = this.#ask(connection, cursor, false);
    for (;;) {
      let { entries, info } = await request.reply;
      if (signal.aborted) return;
      this.#askForMore(request, entries.length, connection.receivedBytes);
      const atEnd = entries.length < request.count;
      let gap: GapKind | 'start' | null = null;
      if (info !== null) {
        if (cursor === null) gap = 'start';
        else gap = request.skips ? 'entry-too-large' : this.#findGap(cursor, info, entries.length, atEnd);
        if (gap !== null) {
          this.#ahead = null;
          cursor = endOf(info);
          entries = EntryBatch.none;
          if (request.skips) this.#tooLarge = false;
          this.#position = cursor;
          this.#tables.restart();
          this.#events.gap(gap);
        }
        this.#settle(gap !== null);
      }
      if (cursor === null) throw new SyncError('REDIS_REPLY', 'the first reply was not that of a check');
      cursor = advance(cursor, entries, info);
      this.#tables.note(entries);
      const table = this.#tables.ask(connection, info !== null);
      const facts = this.#tables.askForFacts(connection);
      const next = this.#ask(connection, cursor, gap !== null);
      if (table?.beforeEntries) await table.apply();
      if (entries.length > 0) this.#events.apply(entries);
      // At once: where the connection is lost while a table is awaited, that is read again, and the entries are not.
      this.#position = cursor;
      if (table?.beforeEntries === false) await table.apply();
      await facts?.apply();
      if (info !== null) this.#checked(cursor, info);
      if (info !== null && atEnd) this.#reachedEnd(request.sentMs);
      if (info !== null) this.#resolveCaughtUp(atEnd ? info.last : cursor.last, info, request.serial);
      request = next;
    }
  }

  #findGap(position: Position, info: StreamInfo, entries: number, atEnd: boolean): GapKind | null {
    const gap = findGap(position, info, entries, atEnd);
    if (gap !== null || this.#ahead === null) return gap;
    return mayLack(this.#ahead, position, info, !this.#connected) ? 'other-history' : null;
  }

  /** @param gap a check found one; the first costs no time */
  #settle(gap: boolean): void {
    if (!gap) this.#gapBackoff.reset();
    else if (this.#gapBefore) this.#settledMs = this.#runtime.monotonicMs() + this.#gapBackoff.nextMs();
    this.#gapBefore = gap;
  }

  /** @param hurry a resync is about to start */
  #ask(connection: Connection, cursor: Position | null, hurry: boolean): Request {
    const { blockMs, resyncBlockMs, checkEveryMs, replyGraceMs } = this.#tuning;
    const sentMs = this.#runtime.monotonicMs();
    const hurried = hurry || this.#hurried > 0;
    const dueMs = Math.max(this.#checkedMs + (hurried ? resyncBlockMs : checkEveryMs), this.#settledMs);
    const leftMs = dueMs - sentMs;
    const overdue = this.#atEndWithheld && this.#tables.complete && sentMs >= this.#settledMs;
    const check = cursor === null || this.#tooLarge || leftMs <= 0 || overdue;
    const waitMs = check || this.#tables.busy ? 0 : Math.ceil(Math.min(hurried ? resyncBlockMs : blockMs, leftMs));
    // BLOCK 0 would be for ever.
    const block = waitMs === 0 ? [] : ['BLOCK', waitMs];
    const count = this.#count;
    const skips = cursor !== null && this.#tooLarge;
    connection.expectReplyWithin(waitMs + replyGraceMs);
    if (check) this.#checkedMs = sentMs;
    const reply = check
      ? this.#check(connection, cursor, count)
      : connection.read(
          (read) => ({ entries: new EntryBatch(read, 0), info: null }),
          ...['XREAD', 'COUNT', count, ...block, 'STREAMS', this.#options.stream, formatStreamId(cursor.last)],
        );
    // Its failure is met when it is awaited, which is after the entries before it are applied.
    reply.catch(() => undefined);
    this.#serial += 1;
    return { serial: this.#serial, count, skips, sentMs, reply };
  }

  /** Asks for no entries where there is no position yet, or the next entry is too large. */
  #check(connection: Connection, cursor: Position | null, count: number): Promise<Reply> {
    const { stream } = this.#options;
    const { landmark, read } = cursor ?? { landmark: null, read: null };
    const info = [
      'EVAL_RO',
      STREAM_SCRIPT.text,
      1,
      stream,
      landmark === null ? '' : formatStreamId(landmark.id),
      read === null ? '' : formatStreamId(read.id),
    ] as const;
    const xread =
      cursor === null || this.#tooLarge
        ? []
        : ([['XREAD', 'COUNT', count, 'STREAMS', stream, formatStreamId(cursor.last)]] as const);
    return connection.readTransaction([info, ...xread], (replies) => {
      const streams = replies.after(1);
      return {
        info: parseStreamInfo(replies.toValue(1)),
        entries: xread.length === 0 ? EntryBatch.none : entriesOf(replies, streams),
      };
    });
  }

  /** After a reply that was too large, or didn't come in time, as from a slow server. */
  #askForLess(error: unknown): void {
    const code = error instanceof SyncError ? error.code : null;
    if (code !== 'REPLY_TOO_LARGE' && code !== 'REDIS_TIMEOUT') return;
    if (this.#count === 1) this.#tooLarge = code === 'REPLY_TOO_LARGE';
    this.#count = Math.max(1, Math.floor(this.#count / LESS));
  }

  /** After a full reply that was small and came soon. */
  #askForMore(request: Request, entries: number, bytes: number): void {
    const { feedCount, replyGraceMs } = this.#tuning;
    if (this.#count === feedCount || entries < request.count) return;
    const tookMs = this.#runtime.monotonicMs() - request.sentMs;
    if (bytes < REPLY_MAX_BYTES / LESS && tookMs < replyGraceMs / LESS)
      this.#count = Math.min(2 * this.#count, feedCount);
  }

  /** What the stream held at `sentMs` is applied; of the tables the same holds once all are read by requests sent after it. */
  #reachedEnd(sentMs: number): void {
    this.#atEndWithheld = !this.#tables.complete;
    if (!this.#atEndWithheld) this.#events.atEnd(sentMs);
  }

  #checked(position: Position, info: StreamInfo): void {
    this.#lagEntries = info.entriesAdded - position.entriesAdded;
    if (this.#ahead !== null && compareStreamIds(this.#ahead, position.last) <= 0) this.#ahead = null;
    if (this.#connected) return;
    this.#connected = true;
    this.#connections += 1;
    this.#backoff.reset();
    this.#events.connected();
  }

  /** @param reached where the stream has no entry up to there that is not applied; its last id may belong to none */
  #resolveCaughtUp(reached: StreamId, info: StreamInfo, serial: number): void {
    this.#caughtUp.reject(
      new SyncError('SERVERS_DIFFER', 'the feed does not have an entry that was there when the sessions were read'),
      (wanted) => serial > wanted.serial && compareStreamIds(info.last, wanted.id) < 0,
    );
    this.#caughtUp.resolve((wanted) => serial > wanted.serial && compareStreamIds(reached, wanted.id) >= 0);
  }
}

/** @param info of a check that found no gap */
function advance(position: Position, entries: EntryBatch, info: StreamInfo | null): Position {
  const marked = info === null ? position : { ...position, ...marksOf(info), read: null };
  if (entries.length === 0) return marked;
  const { last } = entries;
  const id = parseStreamId(entries.slice(entries.id(last)));
  const entriesAdded = position.entriesAdded + entries.length;
  // What came with a check is no newer than its landmark.
  const read = info === null ? landmarkOf(id, entries.fields(last, DIGEST_FIELDS)) : null;
  return { ...marked, last: id, entriesAdded, read };
}

function entriesOf(replies: Replies, value: number): EntryBatch {
  const refusal = replies.error(value);
  if (refusal !== null) throw new SyncError('REDIS_REFUSED', `XREAD: ${errorMessage(refusal)}`, { cause: refusal });
  return new EntryBatch(replies, value);
}
