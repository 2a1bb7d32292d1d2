import { expect, test } from 'vitest';
import { createLogger } from '../../src/gateway/log.ts';
import type { LogLevel } from '../../src/gateway/log-levels.ts';

function capture(level: LogLevel) {
  const lines: string[] = [];
  return { log: createLogger(level, { write: (line) => lines.push(line) }), lines };
}

test('one JSON object a line, with level by name, time and process', () => {
  const { log, lines } = capture('info');
  log.info({ event: 'ready', sessions: 3 }, 'the first load is in');
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^\{.*\}\n$/);
  expect(JSON.parse(lines[0] ?? '')).toEqual({
    level: 'info',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    pid: process.pid,
    event: 'ready',
    sessions: 3,
    msg: 'the first load is in',
  });
});

test('what is below the level is not written', () => {
  const { log, lines } = capture('warn');
  log.info('no');
  log.warn('yes');
  expect(lines).toHaveLength(1);
});

test.each(['secret', 'password', 'token', 'sid', 'sessionId'])('%s is never written', (name) => {
  const { log, lines } = capture('info');
  log.info({ [name]: 'hunter2', redis: { [name]: 'hunter2', url: 'redis://h' } }, 'x');
  expect(lines.join()).not.toContain('hunter2');
  expect(lines.join()).toContain('redis://h');
});

test("an error's words, code and causes are written, and nothing else of it", () => {
  const { log, lines } = capture('info');
  const cause = Object.assign(new Error('inner'), { code: 'ECONNRESET', command: { args: ['hunter2'] } });
  const error = Object.assign(new Error('outer', { cause }), { command: { name: 'auth', args: ['hunter2'] } });
  log.error({ err: error }, 'x');
  expect(lines.join()).not.toContain('hunter2');
  expect(JSON.parse(lines[0] ?? '').err).toMatchObject({
    type: 'Error',
    message: 'outer',
    stack: expect.stringContaining('log.test.ts'),
    cause: { message: 'inner', code: 'ECONNRESET' },
  });
});

test('causes in a circle, and what is not an error', () => {
  const { log, lines } = capture('info');
  const error: Error & { cause?: unknown } = new Error('round');
  error.cause = error;
  log.error({ err: error }, 'x');
  log.error({ err: 'text' }, 'y');
  expect(lines[0]?.match(/"message":"round"/g)).toHaveLength(6);
  expect(JSON.parse(lines[1] ?? '').err).toEqual({ type: 'string', message: 'text' });
});
