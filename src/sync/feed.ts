/**
 * Follows the feed: one connection, one request after the other, each from an explicit id. May be imported by src/sync only.
 *
 *              ┌───────────────── about once a second, and first of all ────────────────┐
 *     connect ─┴▶ check: MULTI{XINFO STREAM, XREAD} ──▶ gap? ──▶ apply ──▶ XREAD BLOCK ─┴▶ apply ──▶ …
 *                                                        └ yes: go to the stream's end, ask for a resync
 *
 * The next request is sent before the reply to this one is applied.
 */
import { Connection } from './connection.ts';
import { errorMessage, SyncError } from './errors.ts';
import { type FeedEntry, namesBackends } from './feed-entries.ts';
import { findGap, type GapKind, type Position, parseStreamInfo, type StreamInfo } from './position.ts';
import type { ConnectionOptions } from './redis-options.ts';
import { Backoff, type Runtime, sleep } from './runtime.ts';
import type { Tuning } from './tuning.ts';
import { compareStreamIds, formatStreamId, parseStreamId, type StreamId, ZERO_ID } from './versions.ts';
import { Waiters } from './waiters.ts';

/** What the feed brings. All are called in order, and none may take long. */
export interface FeedEvents {
  /** Connected, and the first check done. */
  connected(): void;
  /** The connection failed or was lost; another one is made. */
  failed(error: unknown): void;
  /** Entries were missed (or, at the start, none was read yet); the position is the stream's end now. */
  gap(kind: GapKind | 'start'): void;
  /** HGETALL of `gateway:backends` and of `gateway:backend-ids`. */
  backends(table: readonly Buffer[], ids: readonly Buffer[]): void;
  backendsUnreadable(error: SyncError): void;
  /** Applies the entries and flushes the table. */
  apply(entries: readonly FeedEntry[]): void;
  /** All that was in the stream at `monotonicMs` is applied. */
  atEnd(monotonicMs: number): void;
}

export interface FeedOptions {
  readonly redis: ConnectionOptions;
  readonly stream: string;
  readonly backendsKey: string;
  readonly backendIdsKey: string;
}

interface Reply {
  readonly entries: readonly FeedEntry[];
  /** Only of a check. */
  readonly info: StreamInfo | null;
}

interface Request {
  readonly serial: number;
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
  #lagEntries: number | null = null;
  #connected = false;
  #connections = 0;
  #serial = 0;
  #checkedMs = Number.NEGATIVE_INFINITY;
  #backendsWanted = false;
  #hurried = 0;
  readonly #backendsRead = new Waiters<null>();
  readonly #caughtUp = new Waiters<{ id: StreamId; serial: number }>();

  constructor(options: FeedOptions, runtime: Runtime, tuning: Tuning, events: FeedEvents) {
    this.#options = options;
    this.#runtime = runtime;
    this.#tuning = tuning;
    this.#events = events;
    this.#backoff = new Backoff(runtime, tuning.backoffMinMs, tuning.backoffMaxMs);
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

  /** Connections that got as far as the first check. */
  get connections(): number {
    return this.#connections;
  }

  /** Follows until `signal` is aborted; every failure is reported and followed by another try. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let connection: Connection | undefined;
      try {
        connection = await Connection.open(this.#options.redis, this.#runtime, signal);
        await this.#follow(connection, signal);
      } catch (error) {
        if (!signal.aborted) this.#events.failed(error);
      } finally {
        this.#connected = false;
        connection?.drop();
      }
      if (!signal.aborted) await sleep(this.#runtime, this.#backoff.nextMs(), signal);
    }
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

  /** Resolves once the backends were read, after this call or just now. @throws the signal's reason */
  refreshBackends(signal: AbortSignal): Promise<void> {
    this.#backendsWanted = true;
    return this.#backendsRead.wait(null, signal);
  }

  /**
   * Resolves once a check that was sent after this call found no gap, and the feed is applied at least
   * up to `id`. @throws the signal's reason
   */
  caughtUp(id: StreamId, signal: AbortSignal): Promise<void> {
    return this.#caughtUp.wait({ id, serial: this.#serial }, signal);
  }

  async #follow(connection: Connection, signal: AbortSignal): Promise<void> {
    let cursor = this.#position;
    this.#checkedMs = Number.NEGATIVE_INFINITY;
    this.#backendsWanted = true;
    let request = this.#ask(connection, cursor, false);
    for (;;) {
      let { entries, info } = await request.reply;
      if (signal.aborted) return;
      const atEnd = entries.length < this.#tuning.feedCount;
      let gap: GapKind | 'start' | null = null;
      if (info !== null) {
        gap = cursor === null ? 'start' : findGap(cursor, info, entries.length, atEnd);
        if (gap !== null) {
          cursor = { last: info.last, entriesAdded: info.entriesAdded };
          entries = [];
          this.#position = cursor;
          this.#backendsWanted = true;
          this.#events.gap(gap);
        }
      }
      if (cursor === null) throw new SyncError('REDIS_REPLY', 'the first reply was not that of a check');
      cursor = advance(cursor, entries);
      const readBackends = namesBackends(entries) || (this.#backendsWanted && info !== null);
      const backends = readBackends ? this.#readBackends(connection) : null;
      const next = this.#ask(connection, cursor, gap !== null);
      if (backends !== null) this.#applyBackends(await backends);
      if (entries.length > 0) this.#events.apply(entries);
      this.#position = cursor;
      if (info !== null) this.#checked(cursor, info);
      if (atEnd) this.#events.atEnd(request.sentMs);
      if (info !== null) this.#resolveCaughtUp(cursor, request.serial);
      request = next;
    }
  }

  /** @param hurry a resync is about to start */
  #ask(connection: Connection, cursor: Position | null, hurry: boolean): Request {
    const { blockMs, resyncBlockMs, checkEveryMs, replyGraceMs, feedCount } = this.#tuning;
    const sentMs = this.#runtime.monotonicMs();
    const hurried = hurry || this.#hurried > 0;
    const waitMs = hurried ? resyncBlockMs : blockMs;
    const check = cursor === null || sentMs - this.#checkedMs >= (hurried ? resyncBlockMs : checkEveryMs);
    connection.expectReplyWithin(waitMs + replyGraceMs);
    if (check) this.#checkedMs = sentMs;
    const from = formatStreamId(cursor?.last ?? ZERO_ID);
    const reply = check
      ? this.#check(connection, cursor === null ? null : from)
      : connection
          .call('XREAD', 'COUNT', feedCount, 'BLOCK', waitMs, 'STREAMS', this.#options.stream, from)
          .then((streams) => ({ entries: entriesOf(streams), info: null }));
    // Its failure is met when it is awaited, which is after the entries before it are applied.
    reply.catch(() => undefined);
    this.#serial += 1;
    return { serial: this.#serial, sentMs, reply };
  }

  /** @param from null: no entries are wanted */
  async #check(connection: Connection, from: string | null): Promise<Reply> {
    const { stream } = this.#options;
    const xread = ['XREAD', 'COUNT', this.#tuning.feedCount, 'STREAMS', stream, from ?? ''] as const;
    const replies = await connection.transaction([['XINFO', 'STREAM', stream], ...(from === null ? [] : [xread])]);
    return { info: parseStreamInfo(replies[0]), entries: entriesOf(replies[1] ?? null) };
  }

  /** Sent after the entries were read and applied before them, so that none names a backend that is not read yet. */
  #readBackends(connection: Connection): Promise<unknown[]> {
    const { backendsKey, backendIdsKey } = this.#options;
    const replies = connection.transaction([
      ['HGETALL', backendsKey],
      ['HGETALL', backendIdsKey],
    ]);
    replies.catch(() => undefined);
    return replies;
  }

  #applyBackends(replies: readonly unknown[]): void {
    const bad = replies.find((reply) => !Array.isArray(reply));
    this.#backendsWanted = bad !== undefined;
    if (bad === undefined) this.#events.backends(replies[0] as Buffer[], replies[1] as Buffer[]);
    else this.#events.backendsUnreadable(new SyncError('REDIS_REFUSED', `HGETALL: ${errorMessage(bad)}`));
    this.#backendsRead.resolve(() => true);
  }

  #checked(position: Position, info: StreamInfo): void {
    this.#lagEntries = info.entriesAdded - position.entriesAdded;
    if (this.#connected) return;
    this.#connected = true;
    this.#connections += 1;
    this.#backoff.reset();
    this.#events.connected();
  }

  #resolveCaughtUp(position: Position, serial: number): void {
    this.#caughtUp.resolve((wanted) => serial > wanted.serial && compareStreamIds(position.last, wanted.id) >= 0);
  }
}

function advance(position: Position, entries: readonly FeedEntry[]): Position {
  const last = entries.at(-1);
  if (last === undefined) return position;
  return { last: parseStreamId(last[0]), entriesAdded: position.entriesAdded + entries.length };
}

/** @param streams XREAD's reply for one stream: null, or [[name, entries]] */
function entriesOf(streams: unknown): readonly FeedEntry[] {
  if (streams === null) return [];
  if (streams instanceof Error)
    throw new SyncError('REDIS_REFUSED', `XREAD: ${errorMessage(streams)}`, { cause: streams });
  return (streams as [[Buffer, FeedEntry[]]])[0][1];
}
