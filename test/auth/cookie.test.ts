import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cookieHash, factHash } from '../../src/auth/cookie.ts';
import { hex, vectors } from './support/vectors.ts';

describe('cookieHash', () => {
  it('gives the hash of every vector', () => {
    let seen = 0;
    for (const [, vector] of vectors) {
      if (vector.kind !== 'lookup') continue;
      expect(hex(cookieHash(vector.request.session_id))).toBe(vector.request.cookie_hash);
      seen += 1;
    }
    expect(seen).toBe(24);
  });

  it('is the beginning of SHA-256 over UTF-8 or raw bytes, and the same as factHash', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const expected = createHash('sha256').update(text, 'utf8').digest('hex').slice(0, 32);
        expect(hex(cookieHash(text))).toBe(expected);
        expect(hex(factHash(text))).toBe(expected);
        expect(hex(cookieHash(new TextEncoder().encode(text)))).toBe(expected);
      }),
    );
  });

  it('refuses a lone surrogate, which would share a hash with others', () => {
    expect(() => cookieHash('a\ud800')).toThrow(
      new RangeError('sessionId: found a lone surrogate, allowed: well-formed Unicode'),
    );
    expect(() => factHash('\udfff')).toThrow(/^name: found a lone surrogate/);
  });

  it('refuses other types', () => {
    expect(() => cookieHash(7 as unknown as string)).toThrow(
      new TypeError('sessionId: found number, allowed: a string or a Uint8Array'),
    );
  });
});
