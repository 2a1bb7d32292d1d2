/**
 * What the feed says of some sessions beyond what is applied: its newest entries, read over a connection of their own, so that a feed that
 * is held up holds up no question. May be imported by src/sync only.
 *
 *     applied by the feed's reader │ not yet: read here, from the newest backwards
 *     e1  e2  e3  e4  e5           │ e6  e7  e8  e9 ◀──
 *
 * A session is known here by its hash alone, and Redis knows ids: so it is the feed that is asked, never a session's key. Each entry gets
 * the version that it has in any case, and is applied again in its turn, which changes nothing.
 *
 * An idle connection stays with a server that the name of Redis no longer leads to. The feed's reader notices when it connects anew; so
 * each connection here is used only as long as the reader has the one that it had then.
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
  /** Connections that the feed's reader has opened. */
  readonly opened: () => number;
  /** Is told of each entry that is applied. */
  readonly appliedAhead: (id: StreamId) => void;
  readonly entries: FeedEntries;
  readonly flush: () => void;
}

interface Opened {
  readonly connection: Connection;
  /** What `opened` was before it was. */
  readonly beside: number;
}

export class FeedTail {
  readonly #parts: FeedTailParts;
  #last: Opened | undefined;
  #opening: Promise<Opened> | undefined;
  #stopping: AbortSignal = AbortSignal.abort();

  constructor(parts: FeedTailParts) {
    this.#parts = parts;
  }

  /** @param stopping ends the connection, and every later one */
  start(stopping: AbortSignal): void {
    this.#stopping = stopping;
  }

  /** Once it is started, connects where the feed's reader has, so that the first question needn't wait for that. */
  connect(): void {
    this.#connected().catch(() => undefined);
  }

  /**
   * Applies what the feed says of these sessions.
   * @param hashes 32 hexadecimal digits each
   * @throws SyncError as Connection.open and Connection.read; REDIS_CLOSED before `start`, where the feed is not followed yet, and where it has
   *   connected anew meanwhile
   */
  async read(hashes: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    const { stream, applied, epoch, opened, flush } = this.#parts;
    const { connection, beside } = await this.#connected();
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
      // The reader's first check knew nothing of what would be applied now.
      if (opened() !== beside)
        throw new SyncError('REDIS_CLOSED', 'the feed has connected anew, maybe to another server');
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

  async #connected(): Promise<Opened> {
    const last = this.#last;
    if (last !== undefined && !last.connection.ended && last.beside === this.#parts.opened()) return last;
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return await this.#opening;
  }

  async #open(): Promise<Opened> {
    if (this.#stopping.aborted) throw new SyncError('REDIS_CLOSED', 'stopped');
    const { redis, opened } = this.#parts;
    const beside = opened();
    this.#last?.connection.drop();
    const connection = await redis.openMaster('session-gateway-ask', this.#stopping);
    connection.readInPlace();
    this.#last = { connection, beside };
    return this.#last;
  }
}

function entriesOf(reply: Reply): EntryBatch {
  const refusal = reply.error(0);
  if (refusal !== null) throw new SyncError('REDIS_REFUSED', `XREVRANGE: ${errorMessage(refusal)}`, { cause: refusal });
  return EntryBatch.ofRange(reply, 0);
}
