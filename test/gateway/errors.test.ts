import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { errorCatalogue } from '../../src/gateway/error-catalogue.ts';
import { failure, GatewayError, reasonOf, systemCode } from '../../src/gateway/errors.ts';

const documented = [...readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8').matchAll(/^### (.*)$/gm)];
const codes = Object.keys(errorCatalogue);

test('docs/errors.md has every code, and no other', () => {
  expect(documented.map(([, code]) => code).sort()).toEqual([...codes].sort());
});

test.each(Object.entries(errorCatalogue))('%s has an exit status, an HTTP status and a title', (code, entry) => {
  expect(code).toMatch(/^[A-Z][A-Z_]*[A-Z]$/);
  expect([1, 2]).toContain(entry.exitStatus);
  expect(entry.httpStatus).toBeGreaterThanOrEqual(400);
  expect(entry.httpStatus).toBeLessThan(600);
  expect(entry.title).toMatch(/^[A-Z][A-Za-z ]+$/);
});

test('an error has its code, what the catalogue says of it, and its cause', () => {
  const cause = new Error('connection refused');
  const error = failure('REDIS_UNREACHABLE', { url: 'redis://h', reason: 'refused' }, cause);
  expect(error).toBeInstanceOf(GatewayError);
  expect(error).toMatchObject({ code: 'REDIS_UNREACHABLE', exitStatus: 1, httpStatus: 503, cause });
  expect(error.message).toContain('redis://h');
  expect(error.message).toContain('refused');
  expect('cause' in failure('NOT_READY', {})).toBe(false);
});

test('the reason of anything that is thrown', () => {
  expect(reasonOf(new Error('a'))).toBe('a');
  expect(reasonOf('b')).toBe('b');
  // As connect() has it where every address of a host refuses.
  expect(reasonOf(new AggregateError([new Error('a'), new Error('b')]))).toBe('a, b');
  expect(systemCode(Object.assign(new Error('x'), { code: 'ENOENT' }))).toBe('ENOENT');
  expect(systemCode(new Error('x'))).toBeUndefined();
  expect(systemCode(null)).toBeUndefined();
});
