import { createHmac } from 'node:crypto';
import { blake2s } from '@noble/hashes/blake2.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createPrf, guardKey, prf, type Suite } from '../../src/auth/suites.ts';
import { SECRET, SECRET_HEX } from './support/keys.ts';
import { bytes, hex, vectors } from './support/vectors.ts';

const secrets = fc.uint8Array({ minLength: 32, maxLength: 32 });
const messages = fc.uint8Array({ maxLength: 1200 });

describe('prf', () => {
  it('is HMAC-SHA-256 as OpenSSL has it', () => {
    fc.assert(
      fc.property(secrets, messages, (secret, message) => {
        expect(hex(prf('hmac-sha256', secret, message))).toBe(
          createHmac('sha256', secret).update(message).digest('hex'),
        );
      }),
    );
  });

  it('is keyed BLAKE2s-256 for the first entry of the authors’ known answers', () => {
    const key = Uint8Array.from({ length: 32 }, (_, i) => i);
    expect(hex(prf('blake2s', key, new Uint8Array()))).toBe(
      '48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49',
    );
  });

  it('keeps its state apart from message to message', () => {
    fc.assert(
      fc.property(secrets, fc.array(messages, { minLength: 1, maxLength: 5 }), (secret, list) => {
        const keyed = createPrf('blake2s', secret);
        const outputs = list.map((message) => keyed.of(message));
        expect(outputs.map(hex)).toEqual(list.map((message) => hex(blake2s(message, { key: secret }))));
      }),
    );
  });

  it('throws after it was wiped', () => {
    for (const suite of ['hmac-sha256', 'blake2s'] as const) {
      const keyed = createPrf(suite, SECRET);
      keyed.of(new Uint8Array(3));
      keyed.wipe();
      expect(() => keyed.of(new Uint8Array(3))).toThrow();
    }
  });

  it('refuses a secret of another length, without showing it, and unknown suites', () => {
    expect(() => prf('hmac-sha256', SECRET.subarray(1), new Uint8Array())).toThrow(
      new RangeError('secret: found 31 bytes, allowed: 32'),
    );
    expect(() => prf('blake2s', SECRET_HEX as unknown as Uint8Array, new Uint8Array())).toThrow(
      new TypeError('secret: found string, allowed: a Uint8Array'),
    );
    expect(() => prf('md5' as Suite, SECRET, new Uint8Array())).toThrow(RangeError);
  });
});

describe('guardKey', () => {
  it.each(vectors)('is that of vector %s', (_, { key }) => {
    expect(hex(guardKey(key.suite, bytes(key.secret)))).toBe(key.guard_key);
  });
});
