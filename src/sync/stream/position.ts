/**
 * Where a reader is in the feed, and how it finds that the stream no longer continues from there. Pure.
 * May be imported by src/sync only.
 *
 * A stream's entries in the order in which they were added; a reader has read up to `last`:
 *
 *     trimmed or deleted      |        still there
 *     e1  e2  e3  e4  e5      |  e6  e7  e8  e9
 *                                    ^last: entriesAdded of the position = 7, of the stream = 9
 *
 * Numbers alone do not tell a stream from another one that was put in its place and happens to have the same. So each check
 * also remembers a landmark, the newest entry, and the next one looks whether it is still there.
 */
import { hash } from 'node:crypto';
import { SyncError } from '../errors.ts';
import { compareStreamIds, parseStreamId, type StreamId } from '../versions.ts';

/** An entry of the stream that can be recognised. */
export interface Landmark {
  readonly id: StreamId;
  /** Of its fields. */
  readonly digest: string;
}

/** What the last check found, by which the next one knows the stream again. */
export interface Marks {
  /** Null where the stream had no entries. */
  readonly landmark: Landmark | null;
  /** Redis's replication id: another one after a restart, and on another master. Null where Redis does not tell. */
  readonly history: string | null;
  /** How often FLUSHALL, FLUSHDB and SWAPDB were called. Null where Redis does not tell. */
  readonly flushes: string | null;
  /** The max deleted id where it was above the stream's last one, as after XSETID to a lower id; else null. */
  readonly deletedAbove: StreamId | null;
}

export interface Position extends Marks {
  /** The last entry read. */
  readonly last: StreamId;
  /** How many entries had ever been added to the stream when `last` was the newest. */
  readonly entriesAdded: number;
  /** The last entry read, where one was read since the last check. */
  readonly read: Landmark | null;
}

/** What stream.lua says. */
export interface StreamInfo {
  readonly length: number;
  readonly last: StreamId;
  readonly maxDeleted: StreamId;
  readonly entriesAdded: number;
  /** The oldest entry. */
  readonly first: StreamId | null;
  /** The newest entry. */
  readonly newest: Landmark | null;
  /** The digest of the entry whose id was asked for; null where there is none. */
  readonly seen: string | null;
  /** Likewise, of the last entry read. */
  readonly seenRead: string | null;
  readonly history: string | null;
  readonly flushes: string | null;
}

/** How a gap shows. */
export type GapKind =
  /** The newest entry is older than one that was read: the stream was deleted, made anew or rolled back. */
  | 'last-id-went-back'
  /** Fewer entries were added than were read: likewise. */
  | 'count-went-back'
  /** The landmark is not what it was, or it is gone though nothing was trimmed or deleted there: this is another stream. */
  | 'replaced'
  /** Another server, or one that was restarted, and no landmark to tell whether its stream is the same. */
  | 'other-history'
  /** A database was flushed or exchanged, and there is no landmark to tell whether it was this one. */
  | 'flushed'
  /** Entries that were not read were trimmed. */
  | 'trimmed'
  /** An entry that was not read was deleted. */
  | 'deleted'
  /** Not as many entries were read as were added: some came and went between two checks, or the stream is another one. */
  | 'count-differs'
  /** An entry alone is larger than a reply may be: what it says is not known. */
  | 'entry-too-large';

/** As stream.lua makes a digest: of a long entry the beginning of each of its first fields, names and values. */
export const DIGEST_FIELDS = 16;
const DIGEST_FIELD_BYTES = 512;

/** The landmark that an entry makes. @param fields name, value, name, value, …: DIGEST_FIELDS of them suffice */
export function landmarkOf(id: StreamId, fields: readonly Buffer[]): Landmark {
  const parts: Buffer[] = [];
  for (let i = 0; i < Math.min(fields.length, DIGEST_FIELDS); i++) {
    const field = fields[i] as Buffer;
    parts.push(Buffer.from(`${i === 0 ? '' : ' '}${field.length}:`, 'latin1'), field.subarray(0, DIGEST_FIELD_BYTES));
  }
  // In one call: this is done for each reply of the feed, and a Hash object costs several times as much.
  return { id, digest: hash('sha1', Buffer.concat(parts), 'hex') };
}

/**
 * @param position from which the entries of the reply were read
 * @param info read in the same transaction as the reply
 * @param entries in the reply
 * @param atEnd there are no further entries
 */
export function findGap(position: Position, info: StreamInfo, entries: number, atEnd: boolean): GapKind | null {
  if (compareStreamIds(info.last, position.last) < 0) return 'last-id-went-back';
  if (info.entriesAdded < position.entriesAdded) return 'count-went-back';
  const known = recognise(position, info);
  if (known !== null) return known;
  if (info.entriesAdded - info.length > position.entriesAdded) return 'trimmed';
  if (tellsOfDeletion(position, info) && compareStreamIds(info.maxDeleted, position.last) > 0) return 'deleted';
  if (atEnd && position.entriesAdded + entries !== info.entriesAdded) return 'count-differs';
  return null;
}

/**
 * Whether entries that were applied before their turn (feed-tail.ts) may be missing: they count for nothing in a position, so a stream that
 * lost no others goes on from there as if nothing had been.
 * @param ahead the newest of them that was not read in its turn before the last check
 * @param isNew the check is the first over its connection, so all that was read before came from the server of the last check
 */
export function mayLack(ahead: StreamId, position: Position, info: StreamInfo, isNew: boolean): boolean {
  const isRead = compareStreamIds(ahead, position.last) <= 0;
  if (position.history === null || info.history === null) return isNew && !isRead;
  // One server that became another, as a replica of another master: what was read last may be of either.
  return position.history !== info.history && !(isNew && isRead);
}

/**
 * Where the stream's id was set back below that of an entry deleted before, the max deleted id is above every entry that there is, and
 * says nothing of them until it is another one. An unread entry deleted meanwhile leaves it as it was, but was added: at the stream's
 * end, and only there is the reader in step, the count differs. It goes on differing until then, as what was added is never
 * taken from it. Of a landmark that is gone it is not known then that it was deleted: it is taken for another stream's, which at worst
 * has everything read once more.
 */
function tellsOfDeletion({ deletedAbove }: Position, { maxDeleted }: StreamInfo): boolean {
  return deletedAbove === null || compareStreamIds(maxDeleted, deletedAbove) !== 0;
}

function recognise(position: Position, info: StreamInfo): 'replaced' | 'other-history' | 'flushed' | null {
  const { landmark, read, history, flushes } = position;
  if (landmark !== null) {
    if (info.seen === landmark.digest) {
      // Of what was read after it, another server may have lost some, and have other entries in their place.
      const hasAll = read === null || info.seenRead === read.digest;
      return !hasAll && differ(history, info.history) ? 'other-history' : null;
    }
    if (info.seen !== null) return 'replaced';
    const trimmed = info.first === null || compareStreamIds(info.first, landmark.id) > 0;
    const deleted = tellsOfDeletion(position, info) && compareStreamIds(info.maxDeleted, landmark.id) >= 0;
    if (!trimmed && !deleted) return 'replaced';
  }
  if (differ(history, info.history)) return 'other-history';
  return differ(flushes, info.flushes) ? 'flushed' : null;
}

function differ(before: string | null, now: string | null): boolean {
  return before !== null && now !== null && before !== now;
}

/** The stream's end: where one goes on after a gap, once everything is read again. */
export function endOf(info: StreamInfo): Position {
  return { last: info.last, entriesAdded: info.entriesAdded, read: null, ...marksOf(info) };
}

export function marksOf({ newest, history, flushes, last, maxDeleted }: StreamInfo): Marks {
  const deletedAbove = compareStreamIds(maxDeleted, last) > 0 ? maxDeleted : null;
  return { landmark: newest, history, flushes, deletedAbove };
}

/**
 * @param reply of stream.lua; or an Error
 * @throws SyncError REDIS_TOO_OLD, REDIS_REFUSED, REDIS_REPLY
 */
export function parseStreamInfo(reply: unknown): StreamInfo {
  if (reply instanceof Error) throw new SyncError('REDIS_REFUSED', `XINFO: ${reply.message}`, { cause: reply });
  if (!Array.isArray(reply) || reply.length !== 11) {
    throw new SyncError('REDIS_REPLY', 'XINFO STREAM: found no list of eleven');
  }
  const [length, last, maxDeleted, entriesAdded, first, newest, digest, seen, history, flushes, seenRead] = reply.map(
    String,
  ) as Eleven;
  if (entriesAdded === '') {
    throw new SyncError('REDIS_TOO_OLD', 'XINFO STREAM: found no entries-added, needed: Redis 7.0 or newer');
  }
  return {
    length: number('length', length),
    last: parseStreamId(last),
    maxDeleted: parseStreamId(maxDeleted),
    entriesAdded: number('entries-added', entriesAdded),
    first: first === '' ? null : parseStreamId(first),
    newest: newest === '' ? null : { id: parseStreamId(newest), digest },
    seen: seen === '' ? null : seen,
    seenRead: seenRead === '' ? null : seenRead,
    history: history === '' ? null : history,
    flushes: flushes === '' ? null : flushes,
  };
}

type Eleven = [string, string, string, string, string, string, string, string, string, string, string];

function number(name: string, text: string): number {
  if (!/^\d{1,19}$/.test(text)) throw new SyncError('REDIS_REPLY', `XINFO STREAM: found no number for ${name}`);
  return Number(text);
}
