import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { equalBytes, isZero, requireBytes, requireInteger } from '../../src/auth/bytes.ts';

describe('equalBytes', () => {
  it('says what Buffer.equals says of the two parts', () => {
    const arrays = fc.uint8Array({ maxLength: 8, max: 1 });
    const at = fc.nat({ max: 8 });
    fc.assert(
      fc.property(arrays, at, arrays, at, at, (a, aAt, b, bAt, length) => {
        const inside = aAt + length <= a.length && bAt + length <= b.length;
        const same = Buffer.from(a.slice(aAt, aAt + length)).equals(b.slice(bAt, bAt + length));
        expect(equalBytes(a, aAt, b, bAt, length)).toBe(inside && same);
      }),
      { numRuns: 2000 },
    );
  });

  it('does not take what is missing for zeros', () => {
    expect(equalBytes(new Uint8Array(4), 0, new Uint8Array(3), 0, 4)).toBe(false);
    expect(equalBytes(new Uint8Array(3), 0, new Uint8Array(4), 0, 4)).toBe(false);
  });
});

describe('isZero', () => {
  it('looks at its part alone', () => {
    expect(isZero(Uint8Array.of(1, 0, 0, 1), 1, 3)).toBe(true);
    expect(isZero(Uint8Array.of(1, 0, 0, 1), 1, 4)).toBe(false);
    expect(isZero(Uint8Array.of(1, 0, 0, 1), 0, 3)).toBe(false);
  });
});

describe('checks', () => {
  it('name the field, what was found and what is allowed', () => {
    expect(() => requireBytes('x', new Uint8Array(2), 3)).toThrow(new RangeError('x: found 2 bytes, allowed: 3'));
    expect(() => requireBytes('x', [1] as unknown as Uint8Array, 1)).toThrow(TypeError);
    expect(() => requireInteger('x', 4, 1, 3)).toThrow(new RangeError('x: found 4, allowed: an integer from 1 to 3'));
    expect(() => requireInteger('x', Number.NaN, 0, 3)).toThrow(RangeError);
    expect(() => requireInteger('x', 1n as unknown as number, 0, 3)).toThrow(
      new TypeError('x: found bigint, allowed: a number'),
    );
    expect(requireInteger('x', 3, 1, 3)).toBeUndefined();
  });
});
