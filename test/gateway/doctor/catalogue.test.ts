import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { catalogue } from '../../../src/gateway/doctor/catalogue.ts';
import { finding, looked, ok, pastFinding } from '../../../src/gateway/doctor/finding.ts';
import { failure } from '../../../src/gateway/errors.ts';

const document = readFileSync(new URL('../../../docs/doctor.md', import.meta.url), 'utf8');
const rows = [...document.matchAll(/^\| `([a-z-]+)` \| (\w+) \| (.*) \| (.*) \|$/gm)].map(([, ...cells]) => cells);

test('docs/doctor.md has every finding, with its level, why it matters and what to do, and no other', () => {
  const entries = Object.entries(catalogue).map(([code, { level, why, remedy }]) => [code, level, why, remedy]);
  expect(rows).toEqual(entries);
});

test('files of the project that a finding names are there', () => {
  const texts = Object.values(catalogue).flatMap(({ why, remedy }) => [why, remedy]);
  const named = texts.flatMap((text) => text.match(/\b(?:config|docs|integrations|packaging)\/[\w./-]*\w/g) ?? []);
  expect(named).toContain('docs/redis.md');
  expect(named.filter((path) => !existsSync(new URL(`../../../${path}`, import.meta.url)))).toEqual([]);
});

test('words are filled in', () => {
  expect(finding('mtu-small', 'interface a', 'MTU 576', { needed: 1_128 })).toEqual({
    name: 'interface a',
    level: 'warning',
    code: 'mtu-small',
    found: 'MTU 576',
    why: 'a batch of 64 lookups is a packet of up to 1128 bytes, which does not fit: batches of that size are not answered',
    remedy: 'raise the MTU, or let clients ask for fewer sessions at once',
  });
  expect(pastFinding('requests-forged', 'requests', '3').level).toBe('note');
  expect(ok('a', 'b')).toEqual({ name: 'a', level: 'ok', code: null, found: 'b', why: null, remedy: null });
});

test('what can not be looked at is said, with advice', () => {
  const broken = (error: Error) => () => {
    throw error;
  };
  expect(looked('a', 'do b', broken(new Error('EACCES')))).toEqual([
    finding('look-failed', 'a', 'EACCES', { advice: 'do b' }),
  ]);
  const coded = failure('TOKEN_FILE_INVALID', { reason: 'c' });
  expect(looked('a', 'do b', broken(coded))[0]?.remedy).toBe('see docs/errors.md');
});
