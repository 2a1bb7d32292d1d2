import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isCookieHash, isTextAt, parseDecimal } from '../../src/sync/bytes.ts';

it('parseDecimal takes decimal digits and nothing else', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (number) => {
      expect(parseDecimal(Buffer.from(String(number)))).toBe(number);
    }),
  );
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'0189-+.e /:x') }), (text) => {
      expect(parseDecimal(Buffer.from(text)) >= 0).toBe(/^\d{1,20}$/.test(text));
    }),
  );
});

it('isTextAt compares whole byte strings, and parseDecimal reads them, wherever they are', () => {
  const some = fc.string({ unit: fc.constantFrom('a', 'b', '1'), maxLength: 3 });
  fc.assert(
    fc.property(some, some, some, some, (before, a, after, b) => {
      const bytes = Buffer.from(before + a + after);
      expect(isTextAt(bytes, before.length, a.length, b)).toBe(a === b);
      expect(parseDecimal(bytes, before.length, a.length)).toBe(/^1+$/.test(a) ? Number(a) : -1);
    }),
  );
});

it('isCookieHash takes 32 hexadecimal digits in lower case and nothing else', () => {
  const digits = fc.string({ unit: fc.constantFrom(...'09af'), minLength: 31, maxLength: 33 });
  const others = fc.constantFrom('', 'g', 'A', '/', ':', '`', '\0', '\xe9');
  fc.assert(
    fc.property(digits, others, fc.nat(33), (text, other, at) => {
      for (const one of [text, text.slice(0, at) + other + text.slice(at + 1)]) {
        expect(isCookieHash(Buffer.from(one, 'latin1'))).toBe(/^[0-9a-f]{32}$/.test(one));
      }
    }),
  );
});
