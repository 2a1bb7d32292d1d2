import { expect, test } from 'vitest';
import { durationMs, hundredths } from '../../../src/gateway/commands/arguments.ts';

test.each([
  ['1ms', 1],
  ['90s', 90_000],
  ['15m', 900_000],
  ['15min', 900_000],
  ['1h', 3_600_000],
  ['1h30m', 5_400_000],
  ['7d', 604_800_000],
  ['36525d', 3_155_760_000_000],
])('%s is %d ms', (text, ms) => {
  expect(durationMs(text)).toBe(ms);
});

test.each([
  '',
  '1',
  'h',
  '-1h',
  '1.5h',
  '1 h',
  ' 1h',
  '1H',
  '0s',
  '0h0m',
  '36526d',
  '1y',
  `${'9'.repeat(13)}s`,
  '1h'.repeat(30),
])('%j is no length of time', (text) => {
  expect(() => durationMs(text)).toThrow(/up to 100 years/);
});

test.each([
  ['0', 0],
  ['30', 3_000],
  ['30%', 3_000],
  ['12.5', 1_250],
  ['0.01', 1],
  ['1.1', 110],
  ['100.00', 10_000],
  ['007', 700],
])('%s is %d hundredths', (text, value) => {
  expect(hundredths(text)).toBe(value);
});

test.each(['', '%', '.5', '5.', '-1', '100.01', '101', '1000', '0.001', '1e1', 'NaN', '1,5', ' 1'])(
  '%j is no percentage',
  (text) => {
    expect(() => hundredths(text)).toThrow(/0 to 100/);
  },
);
