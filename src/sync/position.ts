/**
 * Where a reader is in the feed, and how it finds that the stream no longer continues from there. Pure.
 * May be imported by src/sync only.
 *
 * A stream's entries in the order in which they were added; a reader has read up to `last`:
 *
 *     trimmed or deleted      |        still there
 *     e1  e2  e3  e4  e5      |  e6  e7  e8  e9
 *                                    ^last: entriesAdded of the position = 7, of the stream = 9
 */
import { SyncError } from './errors.ts';
import { compareStreamIds, parseStreamId, type StreamId, ZERO_ID } from './versions.ts';

export interface Position {
  /** The last entry read. */
  readonly last: StreamId;
  /** How many entries had ever been added to the stream when `last` was the newest. */
  readonly entriesAdded: number;
}

/** What XINFO STREAM says. */
export interface StreamInfo {
  readonly length: number;
  readonly last: StreamId;
  readonly maxDeleted: StreamId;
  readonly entriesAdded: number;
}

/** A stream that doesn't exist: one that is made later continues from here. */
export const NO_STREAM: StreamInfo = { length: 0, last: ZERO_ID, maxDeleted: ZERO_ID, entriesAdded: 0 };

/** How a gap shows. */
export type GapKind =
  /** The newest entry is older than one that was read: the stream was deleted, made anew or rolled back. */
  | 'last-id-went-back'
  /** Fewer entries were added than were read: likewise. */
  | 'count-went-back'
  /** Entries that were not read were trimmed. */
  | 'trimmed'
  /** An entry that was not read was deleted. */
  | 'deleted'
  /** Not as many entries were read as were added: some came and went between two checks, or the stream is another one. */
  | 'count-differs';

/**
 * @param position from which the entries of the reply were read
 * @param info read in the same transaction as the reply
 * @param entries in the reply
 * @param atEnd there are no further entries
 */
export function findGap(position: Position, info: StreamInfo, entries: number, atEnd: boolean): GapKind | null {
  if (compareStreamIds(info.last, position.last) < 0) return 'last-id-went-back';
  if (info.entriesAdded < position.entriesAdded) return 'count-went-back';
  if (info.entriesAdded - info.length > position.entriesAdded) return 'trimmed';
  if (compareStreamIds(info.maxDeleted, position.last) > 0) return 'deleted';
  if (atEnd && position.entriesAdded + entries !== info.entriesAdded) return 'count-differs';
  return null;
}

/**
 * @param reply of XINFO STREAM in RESP2: name, value, name, value, …; or an Error where there is no stream
 * @throws SyncError REDIS_TOO_OLD; REDIS_REFUSED for every other error than a missing key
 */
export function parseStreamInfo(reply: unknown): StreamInfo {
  if (reply instanceof Error) {
    if (reply.message.startsWith('ERR no such key')) return NO_STREAM;
    throw new SyncError('REDIS_REFUSED', `XINFO: ${reply.message}`, { cause: reply });
  }
  if (!Array.isArray(reply)) throw new SyncError('REDIS_REPLY', 'XINFO STREAM: found no list');
  const fields = new Map<string, unknown>();
  for (let i = 0; i + 1 < reply.length; i += 2) fields.set(String(reply[i]), reply[i + 1]);
  if (!fields.has('entries-added')) {
    throw new SyncError('REDIS_TOO_OLD', 'XINFO STREAM: found no entries-added, needed: Redis 7.0 or newer');
  }
  return {
    length: number(fields, 'length'),
    last: parseStreamId(String(fields.get('last-generated-id'))),
    maxDeleted: parseStreamId(String(fields.get('max-deleted-entry-id'))),
    entriesAdded: number(fields, 'entries-added'),
  };
}

function number(fields: ReadonlyMap<string, unknown>, name: string): number {
  const value = fields.get(name);
  if (typeof value !== 'number') throw new SyncError('REDIS_REPLY', `XINFO STREAM: found no number for ${name}`);
  return value;
}
