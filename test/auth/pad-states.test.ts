import { _BLAKE2s, blake2s } from '@noble/hashes/blake2.js';
import { hmac } from '@noble/hashes/hmac.js';
import { _SHA256, sha256 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blake2sKeyState, hmacPadStates } from '../../src/auth/pad-states.ts';
import { hex } from './support/vectors.ts';

const BLOCK = 64;

/** Goes on from a kept state, one block of 64 bytes being behind it. */
class ResumedSha256 extends _SHA256 {
  constructor(state: number[]) {
    super();
    this.set(...(state as Parameters<_SHA256['set']>));
    this.length = BLOCK;
  }
}

class ResumedBlake2s extends _BLAKE2s {
  constructor(state: number[]) {
    super();
    this.set(...(state as Parameters<_BLAKE2s['set']>));
    this.length = BLOCK;
  }
}

const secrets = fc.uint8Array({ minLength: 32, maxLength: 32 });

describe('hmacPadStates', () => {
  it('finishes to the same HMAC as a whole one', () => {
    fc.assert(
      fc.property(secrets, fc.uint8Array({ maxLength: 200 }), (secret, message) => {
        const { inner, outer } = hmacPadStates(secret);
        const digest = new ResumedSha256(inner).update(message).digest();
        const mac = new ResumedSha256(outer).update(digest).digest();
        expect(hex(mac)).toBe(hex(hmac(sha256, secret, message)));
      }),
    );
  });

  it('gives unsigned 32-bit words', () => {
    fc.assert(
      fc.property(secrets, (secret) => {
        const { inner, outer } = hmacPadStates(secret);
        expect([inner.length, outer.length]).toEqual([8, 8]);
        for (const word of [...inner, ...outer]) expect(word).toBe(word >>> 0);
      }),
    );
  });

  it('leaves the secret as it is, and refuses another length', () => {
    const secret = new Uint8Array(32).fill(7);
    hmacPadStates(secret);
    expect(secret).toEqual(new Uint8Array(32).fill(7));
    expect(() => hmacPadStates(new Uint8Array(33))).toThrow(RangeError);
  });
});

describe('blake2sKeyState', () => {
  it('finishes to the same keyed hash as a whole one', () => {
    fc.assert(
      fc.property(secrets, fc.uint8Array({ minLength: 1, maxLength: 200 }), (secret, message) => {
        const resumed = new ResumedBlake2s(blake2sKeyState(secret)).update(message).digest();
        expect(hex(resumed)).toBe(hex(blake2s(message, { key: secret })));
      }),
    );
  });
});
