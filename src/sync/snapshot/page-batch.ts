/**
 * A page of a snapshot where it was read, as page.lua returns it: no object is made for a session. It is good until the reply after
 * the next one comes (resp-channel.ts). May be imported by src/sync only.
 *
 *     [cursor, last id, key, value, end, key, value, end, …]
 */
import { SyncError } from '../errors.ts';
import type { Reply } from '../redis/resp-reply.ts';
import { KIND } from '../redis/resp-scanner.ts';
import { parseStreamId, type StreamId } from '../versions.ts';
import { isEnd } from './record-ends.ts';

/** The list, the cursor and the id come first. */
const FIRST = 3;
const RECORD = 3;
/** The list's length, the cursor's and the cursor, each of which is a number of 64 bits at most. */
const FRONT_BYTES = 80;

export class PageBatch {
  readonly #reply: Reply;
  /** Of the next page. */
  readonly cursor: string;
  /** The feed's last entry at the moment of the page. */
  readonly id: StreamId;
  /** Records. */
  readonly length: number;

  /** @throws SyncError REDIS_REPLY where it is not what page.lua returns */
  constructor(reply: Reply) {
    const values = reply.kind(0) === KIND.array ? reply.length(0) : 0;
    if (values < 2 || (values - 2) % RECORD !== 0) throw noPage();
    if (reply.kind(1) !== KIND.bulk || reply.kind(2) !== KIND.bulk) throw noPage();
    this.#reply = reply;
    this.length = (values - 2) / RECORD;
    this.cursor = reply.slice(1).toString('latin1');
    this.id = parseStreamId(reply.slice(2));
    for (let at = FIRST; at < values; at += RECORD) {
      const kind = reply.kind(at + 1);
      const isValue = kind === KIND.bulk || kind === KIND.null;
      if (reply.kind(at) !== KIND.bulk || !isValue || reply.kind(at + 2) !== KIND.integer) throw noPage();
      if (!isEnd(reply.integer(at + 2), kind === KIND.bulk)) throw noPage();
    }
  }

  /** The bytes of a record's key after `prefixLength`. */
  sid(record: number, prefixLength: number): Buffer {
    const at = FIRST + RECORD * record;
    const start = this.#reply.start(at);
    const length = this.#reply.length(at);
    return this.#reply.bytes.subarray(start + Math.min(prefixLength, length), start + length);
  }

  value(record: number): Buffer | null {
    const at = FIRST + RECORD * record + 1;
    return this.#reply.kind(at) === KIND.null ? null : this.#reply.slice(at);
  }

  ends(record: number): number {
    return this.#reply.integer(FIRST + RECORD * record + 2);
  }
}

/** The next page's cursor, where the first bytes of a page have all of it; null where they don't, and of what is no page. */
export function cursorAtFront(first: Buffer): string | null {
  return /^\*\d+\r\n\$\d+\r\n(\d+)\r\n/.exec(first.toString('latin1', 0, FRONT_BYTES))?.[1] ?? null;
}

function noPage(): SyncError {
  return new SyncError('REDIS_REPLY', 'a page: found something else than sessions');
}
