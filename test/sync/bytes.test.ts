import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isText, parseDecimal } from '../../src/sync/bytes.ts';

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
