import { beforeEach, expect, test } from 'vitest';
import { Admission } from '../../../src/gateway/control/admission.ts';
import { Token } from '../../../src/gateway/control/token.ts';

const RIGHT = 'r'.repeat(32);
const WRONG = 'w'.repeat(32);
let nowMs: number;
let admission: Admission;

beforeEach(() => {
  nowMs = 5_000;
  admission = new Admission(new Token(RIGHT), () => nowMs);
});

function ask(token: string, address = '192.0.2.1'): string {
  const verdict = admission.judge(`Bearer ${token}`, address);
  return verdict.admitted ? 'admitted' : verdict.reason;
}

function times(number: number, token: string, address?: string): string[] {
  return Array.from({ length: number }, () => ask(token, address));
}

test.each([`Bearer ${RIGHT}`, `bearer ${RIGHT}`, `BEARER   ${RIGHT}  `])('%j is the right one', (header) => {
  expect(admission.judge(header, '192.0.2.1')).toEqual({ admitted: true });
});

test.each([
  undefined,
  '',
  'Bearer',
  'Bearer ',
  RIGHT,
  `Basic ${RIGHT}`,
  `Bearer ${RIGHT} x`,
  `Bearer${RIGHT}`,
  `Bearer\t${RIGHT}`,
])('%j is no token, which is no guess either', (header) => {
  for (let i = 0; i < 500; i++) {
    expect(admission.judge(header, '192.0.2.1')).toEqual({ admitted: false, reason: 'no-token' });
  }
  expect(ask(RIGHT)).toBe('admitted');
  expect(admission.size).toBe(1);
});

test('ten wrong ones, then one a second; the right one has to wait too', () => {
  expect(times(10, WRONG)).toEqual(Array(10).fill('wrong-token'));
  expect(times(3, WRONG)).toEqual(Array(3).fill('too-many'));
  expect(admission.judge(`Bearer ${RIGHT}`, '192.0.2.1')).toEqual({
    admitted: false,
    reason: 'too-many',
    retryAfterSeconds: 1,
  });
  nowMs += 999;
  expect(ask(RIGHT)).toBe('too-many');
  nowMs += 1;
  expect(ask(RIGHT)).toBe('admitted');
  expect(times(2, WRONG)).toEqual(['wrong-token', 'too-many']);
  nowMs += 3_600_000;
  expect(times(11, WRONG)).toEqual([...Array(10).fill('wrong-token'), 'too-many']);
});

test('right ones cost nothing', () => {
  expect(new Set(times(1_000, RIGHT))).toEqual(new Set(['admitted']));
});

test("another address isn't held up", () => {
  times(50, WRONG, '192.0.2.1');
  expect(ask(RIGHT, '192.0.2.2')).toBe('admitted');
});

test('the addresses of one IPv6 network are one source, IPv4 in IPv6 is IPv4', () => {
  times(10, WRONG, '2001:db8::1');
  expect(ask(RIGHT, '2001:db8::ffff:1')).toBe('too-many');
  expect(ask(RIGHT, '2001:db8:0:1::1')).toBe('admitted');
  times(10, WRONG, '::ffff:192.0.2.9');
  expect(ask(RIGHT, '192.0.2.9')).toBe('too-many');
  expect(ask(RIGHT, '::ffff:192.0.2.10')).toBe('admitted');
});

test('many addresses together are bounded, and who had the right token is let in all the same', () => {
  expect(ask(RIGHT, '198.51.100.1')).toBe('admitted');
  const answers = Array.from({ length: 150 }, (_, i) => ask(WRONG, `192.0.2.${i}`));
  expect(answers.filter((answer) => answer === 'wrong-token')).toHaveLength(100);
  expect(answers.slice(100)).toEqual(Array(50).fill('too-many'));
  expect(ask(RIGHT, '198.51.100.2')).toBe('too-many');
  expect(ask(RIGHT, '198.51.100.1')).toBe('admitted');
  nowMs += 100;
  expect(ask(RIGHT, '198.51.100.2')).toBe('admitted');
  times(10_000, WRONG, '192.0.2.1');
  nowMs += 10 * 60_000;
  Array.from({ length: 150 }, (_, i) => ask(WRONG, `203.0.113.${i}`));
  expect(ask(RIGHT, '198.51.100.1')).toBe('too-many');
});

test('the table of addresses has a bound; what asks often stays in it', () => {
  for (let i = 0; i < 5_000; i++) {
    nowMs += 200;
    ask(WRONG, `10.0.${i >> 8}.${i & 255}`);
    expect(ask(RIGHT, '198.51.100.1')).toBe('admitted');
  }
  expect(admission.size).toBe(1024);
});

test('a clock that stands still or an address that is none', () => {
  expect(times(11, WRONG, '').at(-1)).toBe('too-many');
  expect(ask(RIGHT, 'fe80::1%eth0')).toBe('admitted');
});

test('another token takes the place of the first', () => {
  admission.replace(new Token(WRONG));
  expect(ask(WRONG)).toBe('admitted');
  expect(ask(RIGHT)).toBe('wrong-token');
});
