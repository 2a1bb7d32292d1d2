/**
 * A reply that was read in place (resp-scanner.ts), value by value. May be imported by src/sync only.
 */
import { parseDecimal } from '../bytes.ts';
import { SyncError } from '../errors.ts';
import { KIND, NUMBERS, type Store } from './resp-scanner.ts';

const MINUS = 0x2d;

/** An error that Redis answered; named as ioredis names it. */
export class ReplyError extends Error {
  override readonly name = 'ReplyError';
}

/** Values are told by their place in the order in which they came; 0 is the whole reply. */
export class Reply {
  readonly bytes: Buffer;
  readonly #values: Int32Array;

  constructor({ bytes, values }: Store) {
    this.bytes = bytes;
    this.#values = values;
  }

  kind(value: number): number {
    return this.#values[NUMBERS * value] as number;
  }

  /** Where the bytes of a string begin. */
  start(value: number): number {
    return this.#values[NUMBERS * value + 1] as number;
  }

  /** Of a string its bytes; of an array the number of its values. */
  length(value: number): number {
    return this.#values[NUMBERS * value + 2] as number;
  }

  /** The bytes of a string: good only as long as the reply. */
  slice(value: number): Buffer {
    const start = this.start(value);
    return this.bytes.subarray(start, start + this.length(value));
  }

  /** The number that an integer is, exact up to 2^53. */
  integer(value: number): number {
    const start = this.start(value);
    const length = this.length(value);
    if (this.bytes[start] === MINUS) return -parseDecimal(this.bytes, start + 1, length - 1);
    return parseDecimal(this.bytes, start, length);
  }

  /** @returns the value that follows this one and all that is in it */
  after(value: number): number {
    let next = value;
    for (let left = 1; left > 0; left--) {
      if (this.kind(next) === KIND.array) left += this.length(next);
      next += 1;
    }
    return next;
  }

  /** @returns the error that a value is, or null */
  error(value: number): ReplyError | null {
    return this.kind(value) === KIND.error ? new ReplyError(this.slice(value).toString('utf8')) : null;
  }

  /** @throws SyncError REDIS_REPLY where the value is no list of `length` */
  expectList(value: number, length: number, what: string): void {
    if (this.kind(value) === KIND.array && this.length(value) === length) return;
    throw new SyncError('REDIS_REPLY', `${what}: found no list of ${length}`);
  }

  /**
   * A copy, as ioredis gives it: a buffer for a string, a number for an integer, null, an Error, or a list of those. All buffers are
   * slices of one: copy what is kept.
   */
  toValue(value = 0): unknown {
    const next = this.after(value);
    const copy = Buffer.from(this.bytes.subarray(0, this.#endOf(next - 1)));
    return new Reply({ bytes: copy, values: this.#values }).#build({ at: value });
  }

  #endOf(value: number): number {
    return this.start(value) + (this.kind(value) === KIND.array ? 0 : this.length(value));
  }

  #build(cursor: { at: number }): unknown {
    const value = cursor.at++;
    switch (this.kind(value)) {
      case KIND.null:
        return null;
      case KIND.integer:
        return this.integer(value);
      case KIND.error:
        return this.error(value);
      case KIND.array: {
        const list: unknown[] = [];
        for (let left = this.length(value); left > 0; left--) list.push(this.#build(cursor));
        return list;
      }
      default:
        return this.slice(value);
    }
  }
}
