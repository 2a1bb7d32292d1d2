/**
 * Ids of stream entries (`ms-seq`, both unsigned 64-bit numbers), and the versions made from them
 * (docs/protocol.md, "LOOKUP reply"). May be imported by every floor above.
 */
import { SyncError } from './errors.ts';
import type { Version } from './table.ts';

/** An id in full. */
export interface StreamId {
  readonly ms: bigint;
  readonly seq: bigint;
}

export const ZERO_ID: StreamId = { ms: 0n, seq: 0n };

/** Of a version; 2^43 ms is the year 2248. */
export const VERSION_MS_MAX = 2 ** 43 - 1;
export const VERSION_SEQ_MAX = 2 ** 20 - 1;

const ID = /^(\d{1,20})-(\d{1,20})$/;

/** Whether it is an id as Redis writes it. */
export function isStreamId(bytes: Buffer): boolean {
  return ID.test(bytes.toString('latin1'));
}

/** @throws SyncError REDIS_REPLY where `text` is not an id as Redis writes it */
export function parseStreamId(text: string | Buffer): StreamId {
  const match = ID.exec(text.toString('latin1'));
  if (match === null) throw noId();
  return { ms: BigInt(match[1] as string), seq: BigInt(match[2] as string) };
}

/** @returns less than, equal to or more than 0 where `a` is older than, equal to or newer than `b` */
export function compareStreamIds(a: StreamId, b: StreamId): number {
  if (a.ms !== b.ms) return a.ms < b.ms ? -1 : 1;
  if (a.seq !== b.seq) return a.seq < b.seq ? -1 : 1;
  return 0;
}

export function formatStreamId(id: StreamId): string {
  return `${id.ms}-${id.seq}`;
}

function noId(): SyncError {
  return new SyncError('REDIS_REPLY', 'a stream id: found other bytes than <ms>-<seq>');
}

/** Two numbers of 64 bits. */
const ID_MAX_BYTES = 41;
const DASH = 0x2d;
const DIGIT_0 = 0x30;

/** A version that is written again and again, so that no object is made for each entry. */
export class VersionCell implements Version {
  ms = 0;
  seq = 0;
  /** The id is too large to be told from its neighbours by its version. */
  inexact = false;

  /**
   * Takes an id, the `length` bytes at `start`. Parts beyond the largest are set to the largest: such versions are all
   * equal, and equal ones still take effect in the feed's order.
   * @throws SyncError REDIS_REPLY where it is not an id as Redis writes it
   */
  set(bytes: Buffer, start = 0, length = bytes.length): void {
    const end = start + length;
    let ms = 0;
    let at = start;
    // Negative once there was a byte that is no digit: cheaper than to ask for each.
    let wrong = 0;
    for (; at < end && bytes[at] !== DASH; at++) {
      const digit = (bytes[at] as number) - DIGIT_0;
      wrong |= digit | (9 - digit);
      ms = ms * 10 + digit;
    }
    const dash = at;
    let seq = 0;
    for (at += 1; at < end; at++) {
      const digit = (bytes[at] as number) - DIGIT_0;
      wrong |= digit | (9 - digit);
      seq = seq * 10 + digit;
    }
    if (wrong < 0 || dash === start || dash + 1 >= end || length > ID_MAX_BYTES) throw noId();
    this.inexact = ms > VERSION_MS_MAX || seq > VERSION_SEQ_MAX;
    if (ms > VERSION_MS_MAX) {
      this.ms = VERSION_MS_MAX;
      this.seq = VERSION_SEQ_MAX;
    } else {
      this.ms = ms;
      this.seq = Math.min(seq, VERSION_SEQ_MAX);
    }
  }

  /** The id's milliseconds had to be cut. */
  get absurd(): boolean {
    return this.inexact && this.ms === VERSION_MS_MAX;
  }
}
