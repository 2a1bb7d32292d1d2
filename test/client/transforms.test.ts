import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { COOKIE_VALUE_MAX, cookieTransforms, sessionIdIn } from '../../src/client/transforms.ts';

const { raw, express, base64 } = cookieTransforms;

/** As cookie-signature signs. */
function signed(sessionId: string, secret: string): string {
  return `s:${sessionId}.${createHmac('sha256', secret).update(sessionId).digest('base64').replace(/=+$/, '')}`;
}

const idText = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 64 });

describe('raw', () => {
  it('gives the value as it is', () => {
    fc.assert(
      fc.property(idText, (id) => {
        expect(raw(id)).toBe(id);
      }),
    );
  });

  it.each(['', 'x\ud800'])('finds nothing in %j', (value) => expect(raw(value)).toBeUndefined());
});

describe('express', () => {
  it('takes a cookie of express-session apart', () => {
    expect(express('s%3Aabc-_123.S%2FKjyz%2B0Qs8')).toBe('abc-_123');
  });

  it('gives back what was signed, URL-encoded or decoded already', () => {
    fc.assert(
      fc.property(idText, fc.string({ minLength: 1 }), (id, secret) => {
        expect(express(encodeURIComponent(signed(id, secret)))).toBe(id);
        fc.pre(!id.includes('%'));
        expect(express(signed(id, secret))).toBe(id);
      }),
    );
  });

  it('cuts at the last dot', () => expect(express('s:a.b.c.sig')).toBe('a.b.c'));

  it.each([
    ['', 'empty'],
    ['abc.sig', 'no s:'],
    ['j:abc.sig', "another of express' forms"],
    ['s:', 'nothing after s:'],
    ['s:abc', 'no signature'],
    ['s:abc.', 'an empty signature'],
    ['s:.sig', 'an empty id'],
    ['s%3Aabc%.sig', 'a broken percent sign'],
    ['s%3A%FF.sig', 'bytes that are not UTF-8'],
    ['s%3A%ED%A0%80.sig', 'an encoded surrogate'],
    ['s:\ud800.sig', 'a lone surrogate'],
    ['s%253Aabc.sig', 'encoded twice'],
  ])('finds nothing in %j: %s', (value) => expect(express(value)).toBeUndefined());
});

describe('base64', () => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 64 });

  it('gives the bytes back, in either alphabet, padded or not, URL-encoded or not', () => {
    fc.assert(
      fc.property(bytes, (id) => {
        const padded = Buffer.from(id).toString('base64');
        const forms = [padded, padded.replace(/=+$/, ''), Buffer.from(id).toString('base64url')];
        for (const form of [...forms, ...forms.map(encodeURIComponent)]) expect(base64(form)).toEqual(id);
      }),
    );
  });

  it('takes no other text for what it gives: nothing, or the only text of those bytes', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'QRSTAz09+/-_=% \n*') }), (value) => {
        const id = base64(value);
        if (id === undefined) return;
        const digits = decodeURIComponent(value).replace(/=+$/, '').replaceAll('+', '-').replaceAll('/', '_');
        expect(Buffer.from(id as Uint8Array).toString('base64url')).toBe(digits);
      }),
    );
  });

  it.each(['', '=', 'A', 'AA=', 'AAA==', 'AA===', 'QR', 'QQ==x', 'Q Q', 'QQ\n', 'QÿQ=', '%', '=QQ', 'QQ==QQ=='])(
    'finds nothing in %j',
    (value) => expect(base64(value)).toBeUndefined(),
  );
});

describe('any of them', () => {
  it('never throws, whatever comes, and never gives an empty id or one that has no UTF-8 form', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), fc.boolean(), (text, isCut) => {
        const value = isCut ? `s:${text}\ud800`.slice(0, text.length) : text;
        for (const transform of Object.values(cookieTransforms)) {
          const id = sessionIdIn(value, transform);
          if (id === undefined) continue;
          expect(id.length).toBeGreaterThan(0);
          if (typeof id === 'string') expect(id.isWellFormed()).toBe(true);
        }
      }),
    );
  });

  it('looks at no value that is longer than cookies are', () => {
    expect(sessionIdIn('x'.repeat(COOKIE_VALUE_MAX), raw)).toHaveLength(COOKIE_VALUE_MAX);
    expect(sessionIdIn('x'.repeat(COOKIE_VALUE_MAX + 1), raw)).toBeUndefined();
  });

  it.each([null, undefined, '', new Uint8Array(0)])('takes %j of a function for no session id', (id) => {
    expect(sessionIdIn('x', () => id)).toBeUndefined();
  });
});
