import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isCookieHash, isText, parseDecimal } from '../../src/sync/bytes.ts';

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

it('isText compares whole byte strings', () => {
  const some = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 3 });
  fc.assert(
    fc.property(some, some, (a, b) => {
      expect(isText(Buffer.from(a), b)).toBe(a === b);
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
