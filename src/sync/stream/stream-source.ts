/**
 * Snapshots beside the feed: pages on a connection of their own, which the feed's entries may overtake
 * (page-changes.ts); they are complete once the feed is applied up to the last page. May be imported by src/sync only.
 */

import { SyncError } from '../errors.ts';
import type { Connection } from '../redis/connection.ts';
import { CONNECT_TIMEOUT_MS } from '../redis/redis-options.ts';
import type { RedisTarget } from '../redis/redis-target.ts';
import { evaluate, STREAM_SCRIPT } from '../redis/scripts.ts';
import type { Runtime } from '../runtime.ts';
import type { PagesUnderWay } from '../snapshot/page-changes.ts';
import { type Page, Pages, type SessionsOptions } from '../snapshot/pages.ts';
import type { Snapshot, SnapshotPage, SnapshotSource } from '../snapshot/snapshot.ts';
import type { Tuning } from '../tuning.ts';
import { compareStreamIds, type StreamId, ZERO_ID } from '../versions.ts';
import type { Feed } from './feed.ts';
import { parseStreamInfo } from './position.ts';

export interface StreamSourceParts extends SessionsOptions {
  readonly redis: RedisTarget;
  readonly stream: string;
  readonly feed: Feed;
  readonly underWay: PagesUnderWay;
  readonly runtime: Runtime;
  readonly tuning: Tuning;
  /** Queues a page's records and flushes the table. @returns how many sessions */
  readonly apply: (page: Page) => number;
}

export class StreamSource implements SnapshotSource {
  readonly #parts: StreamSourceParts;

  constructor(parts: StreamSourceParts) {
    this.#parts = parts;
  }

  async open(signal: AbortSignal): Promise<Snapshot> {
    return new StreamSnapshot(await this.#parts.redis.openMaster('session-gateway-resync', signal), this.#parts);
  }
}

class StreamSnapshot implements Snapshot {
  readonly #connection: Connection;
  readonly #parts: StreamSourceParts;
  readonly #pages: Pages;
  readonly #restoreFeed: () => void;
  #lastId: StreamId = ZERO_ID;
  /** The replication id of the server; null where it doesn't tell. */
  #begunIn: string | null = null;

  constructor(connection: Connection, parts: StreamSourceParts) {
    const { runtime, underWay, stream, prefix, backend, tuning } = parts;
    const { pageSize, pageDeadlineMs } = tuning;
    this.#connection = connection;
    this.#parts = parts;
    const options = { feed: stream, prefix, backend, pageSize, deadlineMs: pageDeadlineMs };
    this.#pages = new Pages(connection, runtime, underWay, options);
    connection.readInPlace();
    this.#restoreFeed = parts.feed.hurry();
  }

  async readTables(signal: AbortSignal): Promise<void> {
    this.#begunIn = await this.#history();
    await this.#parts.feed.readTables(signal);
  }

  async ask(cursor: string, ahead: (cursor: string) => void): Promise<SnapshotPage> {
    const { feed, underWay } = this.#parts;
    const applied = feed.position?.last ?? ZERO_ID;
    const page = await this.#pages.ask(cursor, ahead);
    const discard = (): void => underWay.end(page.changes);
    if (compareStreamIds(page.batch.id, applied) < 0) {
      discard();
      throw differ('what is behind the feed, as a replica is');
    }
    const apply = (): number => {
      try {
        return this.#parts.apply(page);
      } finally {
        discard();
        this.#lastId = page.batch.id;
      }
    };
    return { cursor: page.batch.cursor, tookMs: page.tookMs, apply, discard };
  }

  async caughtUp(signal: AbortSignal): Promise<void> {
    const history = await this.#history();
    this.#compare(history);
    await this.#parts.feed.caughtUp(this.#lastId, signal);
    this.#compare(history);
  }

  /** The pages are of use only if all of them, and the feed, are of one history of the data. */
  #compare(history: string | null): void {
    const of = [this.#begunIn, history, this.#parts.feed.history].filter((one) => one !== null);
    if (new Set(of).size > 1) throw differ('another server than the feed, or one that became another meanwhile');
  }

  async #history(): Promise<string | null> {
    this.#connection.expectReplyWithin(CONNECT_TIMEOUT_MS);
    const info = parseStreamInfo(await evaluate(this.#connection, STREAM_SCRIPT, [this.#parts.stream], ['']));
    this.#connection.expectNothing();
    return info.history;
  }

  close(): void {
    this.#restoreFeed();
    this.#connection.drop();
  }
}

function differ(found: string): SyncError {
  return new SyncError(
    'SERVERS_DIFFER',
    `sessions are read from ${found}; allowed: the same server for all connections`,
  );
}
