/** SHA-256, HMAC-SHA-256, BLAKE2s and SipHash in BPF against independent implementations, on official vectors and random input. */
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { blake2s } from '@noble/hashes/blake2.js';
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keyLayout, writeKey } from '../../src/abi.ts';
import { Key } from '../../src/auth/keyring.ts';
import { blake2sKeyState } from '../../src/auth/pad-states.ts';
import { sipHash64, sipHash128 } from '../../src/auth/siphash.ts';
import { BpfObject, runOnPacket } from '../../src/gateway/kernel/libbpf.ts';
import { kernelKey } from '../../src/gateway/kernel-keys.ts';
import vectors from '../vectors/protocol-v1.json' with { type: 'json' };

let object: BpfObject;
beforeAll(() => {
  object = new BpfObject(fileURLToPath(new URL('../../build/primitives.bpf.o', import.meta.url)));
  object.load('hmac_sha256_40');
});
afterAll(() => object?.close());

const run = (program: string, ...input: Uint8Array[]): Uint8Array => {
  const { action, packet } = runOnPacket(object.programFd(program), Buffer.concat(input));
  expect(action).toBe(2);
  return packet;
};
const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });
const RUNS = { numRuns: 2_000 };

function hmacInBpf(secret: Uint8Array, message: Uint8Array): Uint8Array {
  const key = new Key(
    { id: 1, name: 'k', suite: 'hmac-sha256', encrypt: false, notBeforeMs: null, notAfterMs: null },
    secret,
  );
  const struct = new DataView(new ArrayBuffer(keyLayout.size));
  writeKey(struct, 0, kernelKey(key));
  return run('hmac_sha256_40', new Uint8Array(struct.buffer), message).slice(0, 32);
}

describe('HMAC-SHA-256 of 40 bytes', () => {
  test('equals @noble/hashes on random keys and messages', () => {
    fc.assert(
      fc.property(bytes(32), bytes(40), (secret, message) => {
        expect(hmacInBpf(secret, message)).toEqual(hmac(sha256, secret, message));
      }),
      RUNS,
    );
  });

  test('at the edges of its words', () => {
    for (const fill of [0x00, 0x01, 0x7f, 0x80, 0xff]) {
      const secret = new Uint8Array(32).fill(fill ^ 0xff);
      const message = new Uint8Array(40).fill(fill);
      expect(hmacInBpf(secret, message)).toEqual(hmac(sha256, secret, message));
    }
  });
});

/** FIPS 180-4, section 5.3.3 */
const SHA256_START = Uint32Array.of(
  0x6a09e667,
  0xbb67ae85,
  0x3c6ef372,
  0xa54ff53a,
  0x510e527f,
  0x9b05688c,
  0x1f83d9ab,
  0x5be0cd19,
);

/** The one block that a message of at most 55 bytes makes, as words in host order. */
function paddedBlock(message: Uint8Array): Uint32Array {
  const block = Buffer.alloc(64);
  block.set(message);
  block[message.length] = 0x80;
  block.writeUInt32BE(8 * message.length, 60);
  return Uint32Array.from({ length: 16 }, (_, i) => block.readUInt32BE(4 * i));
}

const octets = (words: Uint32Array): Uint8Array => new Uint8Array(words.buffer);
const compress = (state: Uint32Array, block: Uint32Array): Uint32Array =>
  new Uint32Array(run('sha256_block', octets(state), octets(block)).slice(0, 32).buffer);

describe("SHA-256's compression function", () => {
  test('equals node:crypto on messages of one block', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 55 }), (message) => {
        const digest = Buffer.alloc(32);
        for (const [i, word] of compress(SHA256_START, paddedBlock(message)).entries()) {
          digest.writeUInt32BE(word, 4 * i);
        }
        expect(digest.toString('hex')).toBe(createHash('sha256').update(message).digest('hex'));
      }),
      RUNS,
    );
  });
});

/** Keyed BLAKE2s by one run of the program for each block, from the state after the key's block. */
function blake2sInBpf(secret: Uint8Array, message: Uint8Array): Uint8Array {
  const u32 = (...words: number[]): Uint8Array => new Uint8Array(Uint32Array.from(words).buffer);
  let state = u32(...blake2sKeyState(secret));
  for (let at = 0; at < message.length; at += 64) {
    const block = new Uint8Array(64);
    block.set(message.subarray(at, at + 64));
    const isLast = at + 64 >= message.length;
    const bytes = 64 + Math.min(at + 64, message.length);
    state = run('blake2s_block', state, block, u32(bytes, Number(isLast))).slice(0, 32);
  }
  return state;
}

describe('keyed BLAKE2s', () => {
  test('equals @noble/hashes on random keys and messages of one to three blocks', () => {
    fc.assert(
      fc.property(bytes(32), fc.uint8Array({ minLength: 1, maxLength: 192 }), (key, message) => {
        expect(blake2sInBpf(key, message)).toEqual(blake2s(message, { key }));
      }),
      RUNS,
    );
  });

  test.each([1, 40, 63, 64, 65, 128])('at the edges of its words, %d bytes', (length) => {
    for (const fill of [0x00, 0x01, 0x7f, 0x80, 0xff]) {
      const key = new Uint8Array(32).fill(fill ^ 0xff);
      const message = new Uint8Array(length).fill(fill);
      expect(blake2sInBpf(key, message)).toEqual(blake2s(message, { key }));
    }
  });
});

describe('SipHash-2-4', () => {
  test.each([
    ['siphash64_56', 56, 'out8', 8],
    ['siphash128_64', 64, 'out16', 16],
  ] as const)('%s: the vector of that length', (program, length, field, size) => {
    const vector = vectors.siphash.find((candidate) => candidate.message.length === 2 * length);
    if (vector === undefined) throw new Error(`no vector of ${length} bytes`);
    const out = run(program, Buffer.from(vector.key, 'hex'), Buffer.from(vector.message, 'hex'));
    expect(Buffer.from(out.slice(0, size)).toString('hex')).toBe(vector[field]);
  });

  test('equals the TypeScript one on random keys and messages', () => {
    fc.assert(
      fc.property(bytes(16), bytes(64), (key, message) => {
        expect(run('siphash128_64', key, message).slice(0, 16)).toEqual(sipHash128(key, message));
        expect(run('siphash64_56', key, message.subarray(0, 56)).slice(0, 8)).toEqual(
          sipHash64(key, message.subarray(0, 56)),
        );
      }),
      RUNS,
    );
  });
});
