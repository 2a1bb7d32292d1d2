import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sipHash64, sipHash128 } from '../../src/auth/siphash.ts';
import { bytes, hex, sipHashVectors } from './support/vectors.ts';

const MASK = (1n << 64n) - 1n;
const rotate = (x: bigint, n: bigint) => ((x << n) | (x >> (64n - n))) & MASK;

/** SipHash-2-4 as the paper has it, section 2, in BigInt. */
function paperSipHash(key: Uint8Array, message: Uint8Array, outputSize: 8 | 16): Uint8Array {
  const k = new DataView(key.buffer, key.byteOffset);
  const k0 = k.getBigUint64(0, true);
  const k1 = k.getBigUint64(8, true);
  let v0 = k0 ^ 0x736f6d6570736575n;
  let v1 = k1 ^ 0x646f72616e646f6dn ^ (outputSize === 16 ? 0xeen : 0n);
  let v2 = k0 ^ 0x6c7967656e657261n;
  let v3 = k1 ^ 0x7465646279746573n;
  const rounds = (n: number) => {
    for (let i = 0; i < n; i++) {
      v0 = (v0 + v1) & MASK;
      v2 = (v2 + v3) & MASK;
      v1 = rotate(v1, 13n) ^ v0;
      v3 = rotate(v3, 16n) ^ v2;
      v0 = rotate(v0, 32n);
      v2 = (v2 + v1) & MASK;
      v0 = (v0 + v3) & MASK;
      v1 = rotate(v1, 17n) ^ v2;
      v3 = rotate(v3, 21n) ^ v0;
      v2 = rotate(v2, 32n);
    }
  };
  const padded = new Uint8Array(8 * (Math.floor(message.length / 8) + 1));
  padded.set(message);
  padded[padded.length - 1] = message.length;
  for (let at = 0; at < padded.length; at += 8) {
    const m = new DataView(padded.buffer).getBigUint64(at, true);
    v3 ^= m;
    rounds(2);
    v0 ^= m;
  }
  const out = new DataView(new ArrayBuffer(outputSize));
  v2 ^= outputSize === 16 ? 0xeen : 0xffn;
  rounds(4);
  out.setBigUint64(0, v0 ^ v1 ^ v2 ^ v3, true);
  if (outputSize === 16) {
    v1 ^= 0xddn;
    rounds(4);
    out.setBigUint64(8, v0 ^ v1 ^ v2 ^ v3, true);
  }
  return new Uint8Array(out.buffer);
}

describe('SipHash-2-4', () => {
  it.each(sipHashVectors)('gives the reference output for $message', ({ key, message, out8, out16 }) => {
    expect(hex(sipHash64(bytes(key), bytes(message)))).toBe(out8);
    expect(hex(sipHash128(bytes(key), bytes(message)))).toBe(out16);
  });

  it('is the paper’s function for every key, and messages of every length', () => {
    const key = fc.uint8Array({ minLength: 16, maxLength: 16 });
    fc.assert(
      fc.property(key, fc.uint8Array({ maxLength: 300 }), (k, message) => {
        expect(hex(sipHash64(k, message))).toBe(hex(paperSipHash(k, message, 8)));
        expect(hex(sipHash128(k, message))).toBe(hex(paperSipHash(k, message, 16)));
      }),
      { numRuns: 500 },
    );
  });

  it('carries between the halves of a word', () => {
    const ones = new Uint8Array(16).fill(0xff);
    const message = new Uint8Array(64).fill(0xff);
    expect(hex(sipHash128(ones, message))).toBe(hex(paperSipHash(ones, message, 16)));
  });

  it('reads a part of a larger buffer', () => {
    const whole = Uint8Array.from({ length: 100 }, (_, i) => i);
    const key = whole.subarray(3, 19);
    expect(hex(sipHash64(key, whole.subarray(21, 60)))).toBe(hex(sipHash64(key.slice(), whole.slice(21, 60))));
  });

  it('refuses a key of another length or type', () => {
    expect(() => sipHash64(new Uint8Array(15), new Uint8Array())).toThrow(RangeError);
    expect(() => sipHash128('0123456789abcdef' as unknown as Uint8Array, new Uint8Array())).toThrow(TypeError);
  });
});
