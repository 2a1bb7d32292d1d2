/**
 * The numbers, strings and typed values of SPOP 2.0 (HAProxy's SPOE.txt, section 3.1), read and written. May be imported by
 * src/gateway/spoe only.
 */
import { SpopError, SpopStatus } from './errors.ts';

/** Types of values; the other four bits of the byte are flags. */
const Type = { NULL: 0, BOOLEAN: 1, INT32: 2, UINT32: 3, INT64: 4, UINT64: 5, IPV4: 6, IPV6: 7, STRING: 8, BINARY: 9 };
const TYPE_BITS = 0x0f;
const TRUE = 0x10;
/** A number of up to 64 bits: the first byte has 4 of them beside its prefix, each other one 7. */
const VARINT_MAX = 10;
const FIRST_MAX = 240;

/** Text, a number, or nothing; other types are read over, since nothing here needs them. */
export type Value = string | number | boolean | null;

/** Reads from the front; every read is within the bytes, or throws SpopError INVALID. */
export class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  uint8(): number {
    const value = this.#bytes[this.#at];
    if (value === undefined) throw invalid('found its end in the midst of a value');
    this.#at += 1;
    return value;
  }

  uint32(): number {
    return this.take(4).readUInt32BE();
  }

  /** Beyond 2^53 it is rounded. */
  varint(): number {
    let value = this.uint8();
    if (value < FIRST_MAX) return value;
    let scale = 2 ** 4;
    for (let i = 1; i < VARINT_MAX; i++) {
      const byte = this.uint8();
      value += byte * scale;
      if (byte < 0x80) return value;
      scale *= 2 ** 7;
    }
    throw invalid('found a number of more than 64 bits');
  }

  /** The bytes of a number as they are, to be sent back. */
  varintBytes(): Buffer {
    const from = this.#at;
    this.varint();
    return this.#bytes.subarray(from, this.#at);
  }

  string(): string {
    return this.take(this.varint()).toString('utf8');
  }

  value(): Value {
    const byte = this.uint8();
    switch (byte & TYPE_BITS) {
      case Type.NULL:
        return null;
      case Type.BOOLEAN:
        return (byte & TRUE) !== 0;
      case Type.INT32:
      case Type.UINT32:
      case Type.INT64:
      case Type.UINT64:
        return this.varint();
      case Type.IPV4:
        this.take(4);
        return null;
      case Type.IPV6:
        this.take(16);
        return null;
      case Type.STRING:
      case Type.BINARY:
        return this.string();
      default:
        throw invalid(`found a value of type ${byte & TYPE_BITS}, allowed: 0 to 9`);
    }
  }

  /** Exactly `size` bytes, not copied. */
  take(size: number): Buffer {
    if (size > this.#bytes.length - this.#at) throw invalid('found its end in the midst of a value');
    this.#at += size;
    return this.#bytes.subarray(this.#at - size, this.#at);
  }
}

function invalid(problem: string): SpopError {
  return new SpopError(SpopStatus.INVALID, `frame: ${problem}`);
}

/** Parts of a frame that is written; to be joined. */
export const write = {
  uint32(value: number): Buffer {
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeUInt32BE(value);
    return bytes;
  },

  /** @param value 0 to 2^31 */
  varint(value: number): Buffer {
    if (value < FIRST_MAX) return Buffer.of(value);
    const bytes = [0xf0 | (value & 0x0f)];
    let rest = (value - FIRST_MAX) >>> 4;
    for (; rest >= 0x80; rest = (rest - 0x80) >>> 7) bytes.push(0x80 | (rest & 0x7f));
    bytes.push(rest);
    return Buffer.from(bytes);
  },

  string(value: string): Buffer {
    const bytes = Buffer.from(value, 'utf8');
    return Buffer.concat([write.varint(bytes.length), bytes]);
  },

  /** @param value text, or a number from 0 to 2^31 */
  value(value: string | number): Buffer {
    if (typeof value === 'number') return Buffer.concat([Buffer.of(Type.UINT32), write.varint(value)]);
    return Buffer.concat([Buffer.of(Type.STRING), write.string(value)]);
  },
};
