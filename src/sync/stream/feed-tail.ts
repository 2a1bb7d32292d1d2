/**
 * What the feed says of some sessions beyond what is applied: its newest entries, read over a connection of their own, so that a feed that
 * is held up holds up no question. May be imported by src/sync only.
 *
 *     applied by the feed's reader │ not yet: read here, from the newest backwards
 *     e1  e2  e3  e4  e5           │ e6  e7  e8  e9 ◀──
 *
 * A session is known here by its hash alone, and Redis knows ids: so it is the feed that is asked, never a session's key. Each entry gets
 * the version that it has in any case, and is applied again in its turn, which changes nothing.
 */

import { ASK_DEADLINE_MS } from '../asking.ts';
import { errorMessage, SyncError } from '../errors.ts';
import type { Connection } from '../redis/connection.ts';
import type { RedisTarget } from '../redis/redis-target.ts';
import type { Reply } from '../redis/resp-reply.ts';
import { compareStreamIds, formatStreamId, parseStreamId, type StreamId } from '../versions.ts';
import { EntryBatch } from './entry-batch.ts';
import type { FeedEntries } from './feed-entries.ts';

/** COUNT of one reading, and how many entries are looked at for one question: what is further back, the feed brings soon. */
const PAGE = 1000;
const ENTRIES_MAX = 20_000;

export interface FeedTailParts {
  readonly redis: RedisTarget;
  readonly stream: string;
  /** All entries up to here are applied; null = it is not known what is. */
  readonly applied: () => StreamId | null;
  /** Another number whenever entries were missed, or the stream is another one. */
  readonly epoch: () => number;
  /** Is told of each entry that is applied. */
  readonly appliedAhead: (id: StreamId) => void;
  readonly entries: FeedEntries;
  readonly flush: () => void;
}

export class FeedTail {
  readonly #parts: FeedTailParts;
  #connection: Connection | undefined;
  #opening: Promise<Connection> | undefined;
  #stopping: AbortSignal = AbortSignal.abort();

  constructor(parts: FeedTailParts) {
    this.#parts = parts;
  }

  /** Connects, so that the first question needn't wait for that. @param stopping ends the connection, and every later one */
  start(stopping: AbortSignal): void {
    this.#stopping = stopping;
    this.#connected().catch(() => undefined);
  }

  /**
   * Applies what the feed says of these sessions.
   * @param hashes 32 hexadecimal digits each
   * @throws SyncError as Connection.open and Connection.read; REDIS_CLOSED before `start` and where the feed is not followed yet
   */
  async read(hashes: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    const { stream, applied, epoch, flush } = this.#parts;
    const connection = await this.#connected();
    const from = applied();
    const begun = epoch();
    if (from === null) throw new SyncError('REDIS_CLOSED', 'the feed is not followed yet');
    const wanted = new Set(hashes);
    let upTo = '+';
    for (let left = ENTRIES_MAX; left > 0 && wanted.size > 0 && !signal.aborted; left -= PAGE) {
      connection.expectReplyWithin(ASK_DEADLINE_MS);
      const command = ['XREVRANGE', stream, upTo, `(${formatStreamId(from)}`, 'COUNT', PAGE];
      const batch = await connection.read(entriesOf, ...command);
      connection.expectNothing();
      // Ids of before and after belong to different streams, and the table is read anew; or it is closed.
      if (epoch() !== begun || this.#stopping.aborted) return;
      // What the feed's reader has applied meanwhile, a newer entry may have changed since.
      const isAtApplied = this.#apply(batch, wanted);
      flush();
      if (isAtApplied || batch.length < PAGE) return;
      upTo = `(${batch.slice(batch.id(batch.last)).toString('latin1')}`;
    }
  }

  /** @returns whether the rest of the entries, which are older, are applied already */
  #apply(batch: EntryBatch, wanted: Set<string>): boolean {
    const { applied, appliedAhead, entries } = this.#parts;
    const last = applied();
    if (last === null) return true;
    for (let i = 0, entry = batch.first; i < batch.length && wanted.size > 0; i++, entry = batch.next(entry)) {
      const id = parseStreamId(batch.slice(batch.id(entry)));
      if (compareStreamIds(id, last) <= 0) return true;
      const hash = entries.applyAsked(batch, entry, wanted);
      if (hash === null) continue;
      appliedAhead(id);
      wanted.delete(hash);
    }
    return false;
  }

  async #connected(): Promise<Connection> {
    if (this.#connection !== undefined && !this.#connection.ended) return this.#connection;
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return await this.#opening;
  }

  async #open(): Promise<Connection> {
    if (this.#stopping.aborted) throw new SyncError('REDIS_CLOSED', 'stopped');
    const connection = await this.#parts.redis.openMaster('session-gateway-ask', this.#stopping);
    connection.readInPlace();
    this.#connection = connection;
    return connection;
  }
}

function entriesOf(reply: Reply): EntryBatch {
  const refusal = reply.error(0);
  if (refusal !== null) throw new SyncError('REDIS_REFUSED', `XREVRANGE: ${errorMessage(refusal)}`, { cause: refusal });
  return EntryBatch.ofRange(reply, 0);
}
