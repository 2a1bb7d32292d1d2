/** The cookie that a lookup is about is the one that the application reads: compared with the package that Express reads cookies with. */
import { createRequire } from 'node:module';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cookieValue } from '../../src/client/cookies.ts';

const ofExpressSession = createRequire(createRequire(import.meta.url).resolve('express-session'));
const { parse } = ofExpressSession('cookie') as {
  parse(header: string, options: { decode(value: string): string }): Record<string, string>;
};
const asExpress = (header: string, name: string): string | undefined => {
  const all = parse(header, { decode: (value) => value });
  return Object.hasOwn(all, name) ? all[name] : undefined;
};

test.each([
  ['sid=a', 'a'],
  ['sid=a; sid=b', 'a'],
  ['SID=a; sid=b', 'b'],
  ['a=1,sid=a; sid=b', 'b'],
  ['x="; sid=a; y="', 'a'],
  ['sid="a"', 'a'],
  ['sid="a', '"a'],
  ['\tsid\t=\ta\t', 'a'],
  [`sid=a${' '.repeat(5000)};`, 'a'],
  ['sid=a=b', 'a=b'],
  ['sid=', ''],
  ['sid', undefined],
  ['', undefined],
])('of %j the value is %j', (header, value) => {
  expect(cookieValue(header, 'sid')).toBe(value);
});

test('there is none without a header', () => {
  expect(cookieValue(undefined, 'sid')).toBeUndefined();
});

test('it is the one that Express takes, of any header', () => {
  const header = fc.string({
    unit: fc.constantFrom('sid', 's', '=', ';', '"', ',', ' ', '\t', '%', 'SID', '\u00a0'),
    maxLength: 24,
  });
  fc.assert(
    fc.property(header, (text) => {
      expect(cookieValue(text, 'sid')).toBe(asExpress(text, 'sid'));
    }),
    { numRuns: 5_000 },
  );
});

test('a header as long as servers take is read in linear time: no run of spaces is tried again and again', () => {
  const spaces = ' '.repeat(1_000_000);
  expect(cookieValue(`a=${spaces}x; ${spaces}sid${spaces}=${spaces}b${spaces}c`, 'sid')).toBe(`b${spaces}c`);
});
