/**
 * The feed's entries in one reply of XREAD, or of XREVRANGE, where they were read: no object is made for an entry. It is good until the reply after the
 * next one comes (resp-channel.ts). May be imported by src/sync only.
 *
 *     [[stream, [[id, [field, value, field, value, …]], [id, […]], …]]]
 *               entry ▲  ▲ +1 ▲ +2  ▲ +3
 */
import { isTextAt } from '../bytes.ts';
import { SyncError } from '../errors.ts';
import type { Reply } from '../redis/resp-reply.ts';
import { KIND } from '../redis/resp-scanner.ts';

/** Values of an entry that are no fields: the entry, its id, the list of fields. */
const OWN_VALUES = 3;

export class EntryBatch {
  static readonly none = new EntryBatch(null, 0);

  /**
   * @param reply in which that of XRANGE or XREVRANGE is found at `value`: the list alone
   * @throws SyncError REDIS_REPLY where it is something else
   */
  static ofRange(reply: Reply, value: number): EntryBatch {
    return new EntryBatch(reply, value, value);
  }

  readonly #reply: Reply | null;
  readonly length: number;
  /** An entry is told by the place of its first value. */
  readonly first: number = 0;
  #last = 0;

  /**
   * @param reply in which XREAD's for one stream is found at `value`: null, or as above
   * @param at where the list is, if it stands alone
   * @throws SyncError REDIS_REPLY where it is something else
   */
  constructor(reply: Reply | null, value: number, at?: number) {
    if (reply === null || reply.kind(value) === KIND.null) {
      this.#reply = null;
      this.length = 0;
      return;
    }
    this.#reply = reply;
    if (at === undefined) {
      reply.expectList(value, 1, 'XREAD');
      reply.expectList(value + 1, 2, 'XREAD');
      if (!isString(reply, value + 2)) throw noEntries();
    }
    const list = at ?? value + 3;
    if (reply.kind(list) !== KIND.array) throw noEntries();
    this.length = reply.length(list);
    this.first = list + 1;
    let next = this.first;
    for (let i = 0; i < this.length; i++) {
      this.#last = next;
      next = this.#expectEntry(reply, next);
    }
  }

  #expectEntry(reply: Reply, entry: number): number {
    reply.expectList(entry, 2, 'an entry');
    const fields = reply.length(entry + 2);
    if (!isString(reply, entry + 1) || reply.kind(entry + 2) !== KIND.array || fields % 2 !== 0) throw noEntries();
    const next = entry + OWN_VALUES + fields;
    for (let at = entry + OWN_VALUES; at < next; at++) if (!isString(reply, at)) throw noEntries();
    return next;
  }

  get #there(): Reply {
    if (this.#reply === null) throw new RangeError('entry: found none, as the batch is empty');
    return this.#reply;
  }

  /** The bytes that `start` and `size` refer to. */
  get bytes(): Buffer {
    return this.#there.bytes;
  }

  get last(): number {
    return this.#last;
  }

  next(entry: number): number {
    return entry + OWN_VALUES + this.#there.length(entry + 2);
  }

  /** Value of an entry's id. */
  id(entry: number): number {
    return entry + 1;
  }

  /** @returns the value of the first field of that name, or -1 */
  field(entry: number, name: string): number {
    const reply = this.#there;
    const { bytes } = reply;
    const end = this.next(entry);
    for (let at = entry + OWN_VALUES; at < end; at += 2) {
      if (isTextAt(bytes, reply.start(at), reply.length(at), name)) return at + 1;
    }
    return -1;
  }

  /** The first `most` of name, value, name, value, … */
  fields(entry: number, most: number): Buffer[] {
    const fields: Buffer[] = [];
    const end = Math.min(this.next(entry), entry + OWN_VALUES + most);
    for (let at = entry + OWN_VALUES; at < end; at++) fields.push(this.slice(at));
    return fields;
  }

  start(value: number): number {
    return this.#there.start(value);
  }

  /** In bytes. */
  size(value: number): number {
    return this.#there.length(value);
  }

  slice(value: number): Buffer {
    return this.#there.slice(value);
  }

  isText(value: number, text: string): boolean {
    const reply = this.#there;
    return isTextAt(reply.bytes, reply.start(value), reply.length(value), text);
  }
}

function isString(reply: Reply, value: number): boolean {
  return reply.kind(value) === KIND.bulk;
}

function noEntries(): SyncError {
  return new SyncError('REDIS_REPLY', 'XREAD: found something else than entries of a stream');
}
