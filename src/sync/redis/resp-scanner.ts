/**
 * From the bytes of a connection to replies, in place: what is read is copied once, into a store that is used again, and described by
 * numbers; no object is made for a value. RESP2 (https://redis.io/docs/latest/develop/reference/protocol-spec/). Bytes may be
 * torn anywhere. May be imported by src/sync only.
 *
 *     *2\r\n $3\r\nfoo\r\n :12\r\n     ──▶     '*' · 2 | '$' at 8, 3 bytes | ':' at 14, 2 bytes
 */
import { SyncError } from '../errors.ts';
import { REPLY_MAX_BYTES, REPLY_VALUES_MAX } from '../limits.ts';

/** A value's kind is its first byte, or NULL. */
export const KIND = { null: 0, bulk: 0x24, array: 0x2a, text: 0x2b, error: 0x2d, integer: 0x3a } as const;

/** Numbers that describe one value: its kind; where it begins; its bytes, or of an array the number of values in it, which follow. */
export const NUMBERS = 3;

/** Arrays within arrays: EXEC with XREAD in it has six. */
const DEPTH_MAX = 16;
/** Of an error, an integer and a length; Redis's own errors have a few hundred. */
const LINE_MAX_BYTES = 65_536;
const FIRST_BYTES = 65_536;
const FIRST_VALUES = 4_096;
/** What a large reply made larger than this is not kept. */
const KEPT_BYTES = 2 ** 20;
const KEPT_VALUES = 2 ** 16;

const CR = 0x0d;
const LF = 0x0a;
const MINUS = 0x2d;

/** One reply: its bytes, and its values in the order in which they came. Both are good until the store is used again. */
export interface Store {
  bytes: Buffer;
  values: Int32Array;
}

/** A reply that is torn goes on where it ended. */
export class RespScanner {
  readonly #store: Store = emptyStore();
  /** Bytes in the store, and how many of them are understood. */
  #end = 0;
  #at = 0;
  /** Up to where the end of a line was looked for in vain. */
  #searched = 0;
  #values = 0;
  /** Values that are still to come in each array that is open. */
  readonly #open = new Int32Array(DEPTH_MAX);
  #depth = 0;

  get store(): Store {
    return this.#store;
  }

  /** Forgets the reply that is complete; what it needed above the usual is given back. */
  restart(): void {
    const { bytes, values } = this.#store;
    if (bytes.length > KEPT_BYTES) this.#store.bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
    if (values.length > KEPT_VALUES * NUMBERS) this.#store.values = new Int32Array(FIRST_VALUES * NUMBERS);
    this.#end = 0;
    this.#at = 0;
    this.#searched = 0;
    this.#values = 0;
    this.#depth = 0;
  }

  /**
   * Takes further bytes.
   * @returns how many of them complete the reply, or -1 where it is not complete yet
   * @throws SyncError REDIS_REPLY where it is no reply; REPLY_TOO_LARGE
   */
  push(chunk: Uint8Array): number {
    const before = this.#end;
    this.#append(chunk);
    do {
      if (!this.#readValue()) return -1;
    } while (this.#depth > 0);
    return this.#at - before;
  }

  #append(chunk: Uint8Array): void {
    const end = this.#end + chunk.length;
    let { bytes } = this.#store;
    if (end > bytes.length) {
      bytes = Buffer.allocUnsafeSlow(Math.max(end, 2 * bytes.length));
      bytes.set(this.#store.bytes.subarray(0, this.#end));
      this.#store.bytes = bytes;
    }
    bytes.set(chunk, this.#end);
    this.#end = end;
  }

  /** Reads one value, of an array only the beginning. @returns false where it is torn */
  #readValue(): boolean {
    const { bytes } = this.#store;
    const start = this.#at + 1;
    const lineEnd = this.#lineEnd(start);
    if (lineEnd < 0) return false;
    const kind = bytes[this.#at] as number;
    const next = lineEnd + 2;
    switch (kind) {
      case KIND.bulk: {
        const length = lengthIn(bytes, start, lineEnd, REPLY_MAX_BYTES);
        if (length < 0) {
          this.#add(KIND.null, next, 0);
          this.#at = next;
          break;
        }
        if (next + length + 2 > this.#end) return false;
        if (bytes[next + length] !== CR || bytes[next + length + 1] !== LF) throw noReply('a string without its end');
        this.#add(kind, next, length);
        this.#at = next + length + 2;
        break;
      }
      case KIND.array: {
        const length = lengthIn(bytes, start, lineEnd, REPLY_VALUES_MAX);
        this.#add(length < 0 ? KIND.null : kind, next, Math.max(0, length));
        this.#at = next;
        if (length > 0) {
          this.#descend(length);
          return true;
        }
        break;
      }
      case KIND.integer:
        if (!isInteger(bytes, start, lineEnd)) throw noReply('an integer that is none');
        this.#add(kind, start, lineEnd - start);
        this.#at = next;
        break;
      case KIND.text:
      case KIND.error:
        this.#add(kind, start, lineEnd - start);
        this.#at = next;
        break;
      default:
        throw noReply(`the first byte ${kind} of a value`);
    }
    this.#ascend();
    return true;
  }

  /** @returns where the line that the value begins with ends, or -1 */
  #lineEnd(start: number): number {
    const { bytes } = this.#store;
    const limit = this.#end - 1;
    let at = Math.max(start, this.#searched);
    while (at < limit && bytes[at] !== CR) at++;
    if (at - start > LINE_MAX_BYTES) throw noReply(`a line of more than ${LINE_MAX_BYTES} bytes`);
    if (at >= limit) {
      this.#searched = at;
      return -1;
    }
    if (bytes[at + 1] !== LF) throw noReply('a line without its end');
    // A string that is torn is begun again: its line is short.
    this.#searched = 0;
    return at;
  }

  #add(kind: number, start: number, length: number): void {
    const at = NUMBERS * this.#values;
    if (this.#values === REPLY_VALUES_MAX) throw tooLarge('values', REPLY_VALUES_MAX);
    let { values } = this.#store;
    if (at === values.length) {
      values = new Int32Array(2 * at);
      values.set(this.#store.values);
      this.#store.values = values;
    }
    values[at] = kind;
    values[at + 1] = start;
    values[at + 2] = length;
    this.#values += 1;
  }

  #descend(length: number): void {
    if (this.#depth === DEPTH_MAX) throw noReply(`more than ${DEPTH_MAX} lists within each other`);
    this.#open[this.#depth++] = length;
  }

  /** A value is complete; with it any array whose last one it was. */
  #ascend(): void {
    while (this.#depth > 0) {
      const left = (this.#open[this.#depth - 1] as number) - 1;
      this.#open[this.#depth - 1] = left;
      if (left > 0) return;
      this.#depth -= 1;
    }
  }
}

function emptyStore(): Store {
  return { bytes: Buffer.allocUnsafeSlow(FIRST_BYTES), values: new Int32Array(FIRST_VALUES * NUMBERS) };
}

/** @returns -1 for "-1", which is no value */
function lengthIn(bytes: Buffer, start: number, end: number, most: number): number {
  if (end - start === 2 && bytes[start] === MINUS && bytes[start + 1] === 0x31) return -1;
  if (end === start) throw noReply('a length without digits');
  let length = 0;
  for (let at = start; at < end; at++) {
    const digit = (bytes[at] as number) - 0x30;
    if (digit < 0 || digit > 9) throw noReply('a length that is no number');
    length = 10 * length + digit;
    if (length > most) throw tooLarge(most === REPLY_MAX_BYTES ? 'bytes' : 'values', most);
  }
  return length;
}

function isInteger(bytes: Buffer, start: number, end: number): boolean {
  const first = bytes[start] === MINUS ? start + 1 : start;
  if (first === end || end - first > 19) return false;
  for (let at = first; at < end; at++) {
    const digit = (bytes[at] as number) - 0x30;
    if (digit < 0 || digit > 9) return false;
  }
  return true;
}

function noReply(found: string): SyncError {
  return new SyncError('REDIS_REPLY', `a reply of Redis: found ${found}, allowed: RESP2`);
}

function tooLarge(what: string, most: number): SyncError {
  return new SyncError(
    'REPLY_TOO_LARGE',
    `a reply of Redis: found more than is allowed, allowed: at most ${most} ${what}`,
  );
}
