/**
 * SipHash-2-4 with 64 and 128 bit output (Aumasson and Bernstein, "SipHash: a fast short-input PRF",
 * INDOCRYPT 2012, and the authors' reference implementation, whose byte order is used throughout).
 * May be imported by every floor above.
 *
 * 64-bit words are kept as two 32-bit halves (`l`, `h`): BigInt arithmetic allocates at every step.
 */
import { requireBytes } from './bytes.ts';

/** Bytes in a key. */
export const SIPHASH_KEY_SIZE = 16;

/**
 * SipHash-2-4, 64 bit.
 * @param key 16 bytes
 * @returns 8 bytes
 * @throws TypeError or RangeError for a key of another type or length
 */
export function sipHash64(key: Uint8Array, message: Uint8Array): Uint8Array {
  return sipHash(key, message, new Uint8Array(8), 1);
}

/** SipHash-2-4, 128 bit: as `sipHash64`, with 16 bytes of output. */
export function sipHash128(key: Uint8Array, message: Uint8Array): Uint8Array {
  return sipHash(key, message, new Uint8Array(16), 2);
}

function word(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}

/** Up to three bytes, little-endian, the missing ones zero. */
function partialWord(bytes: Uint8Array, at: number, end: number): number {
  let value = 0;
  for (let i = Math.min(end, at + 4) - 1; i >= at; i--) value = (value << 8) | (bytes[i] as number);
  return value;
}

function putWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/**
 * One turn of the outer loop is one message block (2 rounds), or one half of the output (4 rounds), so that
 * the round is written once and all of the state stays in local variables.
 */
function sipHash(key: Uint8Array, message: Uint8Array, out: Uint8Array, halves: 1 | 2): Uint8Array {
  requireBytes('key', key, SIPHASH_KEY_SIZE);
  const k0l = word(key, 0);
  const k0h = word(key, 4);
  const k1l = word(key, 8);
  const k1h = word(key, 12);
  let v0l = k0l ^ 0x70736575;
  let v0h = k0h ^ 0x736f6d65;
  let v1l = k1l ^ 0x6e646f6d;
  let v1h = k1h ^ 0x646f7261;
  let v2l = k0l ^ 0x6e657261;
  let v2h = k0h ^ 0x6c796765;
  let v3l = k1l ^ 0x79746573;
  let v3h = k1h ^ 0x74656462;
  if (halves === 2) v1l ^= 0xee;

  const length = message.length;
  const fullBlocks = length >>> 3;
  for (let turn = 0; turn <= fullBlocks + halves; turn++) {
    let ml = 0;
    let mh = 0;
    let rounds = 2;
    const at = turn << 3;
    if (turn < fullBlocks) {
      ml = word(message, at);
      mh = word(message, at + 4);
    } else if (turn === fullBlocks) {
      ml = partialWord(message, at, length);
      mh = partialWord(message, at + 4, length) | (length << 24);
    } else {
      rounds = 4;
      if (turn > fullBlocks + 1) v1l ^= 0xdd;
      else v2l ^= halves === 2 ? 0xee : 0xff;
    }

    v3l ^= ml;
    v3h ^= mh;
    for (let round = 0; round < rounds; round++) {
      let l: number;
      let h: number;
      // v0 += v1; v1 = (v1 <<< 13) ^ v0; v0 <<<= 32
      l = (v0l + v1l) | 0;
      h = (v0h + v1h + (l >>> 0 < v0l >>> 0 ? 1 : 0)) | 0;
      v0l = (v1l << 13) | (v1h >>> 19);
      v1h = ((v1h << 13) | (v1l >>> 19)) ^ h;
      v1l = v0l ^ l;
      v0l = h;
      v0h = l;
      // v2 += v3; v3 = (v3 <<< 16) ^ v2
      l = (v2l + v3l) | 0;
      v2h = (v2h + v3h + (l >>> 0 < v2l >>> 0 ? 1 : 0)) | 0;
      v2l = l;
      l = (v3l << 16) | (v3h >>> 16);
      v3h = ((v3h << 16) | (v3l >>> 16)) ^ v2h;
      v3l = l ^ v2l;
      // v0 += v3; v3 = (v3 <<< 21) ^ v0
      l = (v0l + v3l) | 0;
      v0h = (v0h + v3h + (l >>> 0 < v0l >>> 0 ? 1 : 0)) | 0;
      v0l = l;
      l = (v3l << 21) | (v3h >>> 11);
      v3h = ((v3h << 21) | (v3l >>> 11)) ^ v0h;
      v3l = l ^ v0l;
      // v2 += v1; v1 = (v1 <<< 17) ^ v2; v2 <<<= 32
      l = (v2l + v1l) | 0;
      h = (v2h + v1h + (l >>> 0 < v2l >>> 0 ? 1 : 0)) | 0;
      v2l = (v1l << 17) | (v1h >>> 15);
      v1h = ((v1h << 17) | (v1l >>> 15)) ^ h;
      v1l = v2l ^ l;
      v2l = h;
      v2h = l;
    }
    v0l ^= ml;
    v0h ^= mh;

    if (turn > fullBlocks) {
      const half = (turn - fullBlocks - 1) << 3;
      putWord(out, half, v0l ^ v1l ^ v2l ^ v3l);
      putWord(out, half + 4, v0h ^ v1h ^ v2h ^ v3h);
    }
  }
  return out;
}
