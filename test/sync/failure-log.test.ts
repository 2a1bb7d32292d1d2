import { expect, it } from 'vitest';
import { errorMessage, SyncError } from '../../src/sync/errors.ts';
import { FailureLog } from '../../src/sync/failure-log.ts';

it('logs an outage once, when its reason changes, once a minute, and when it is over', () => {
  let nowMs = 1000;
  const lines: unknown[] = [];
  const runtime = { wallMs: () => nowMs + 5, monotonicMs: () => nowMs, random: () => 0, timer: () => () => undefined };
  const failures = new FailureLog(runtime, (_level, event, { message, times }) =>
    lines.push([event, message ?? null, times]),
  );
  failures.over('x');
  for (let i = 0; i < 3; i++) failures.note('x', new Error('down'));
  failures.note('x', new Error('refused'));
  failures.note('y', new Error('other'));
  nowMs += 60_000;
  failures.note('x', new Error('refused'));
  expect(failures.last).toEqual({ message: 'refused', timeMs: 61_005 });
  failures.over('x');
  failures.note('x', new Error('down'));
  expect(lines).toEqual([
    ['x', 'down', 1],
    ['x', 'refused', 4],
    ['y', 'other', 1],
    ['x', 'refused', 5],
    ['x-over', null, 5],
    ['x', 'down', 1],
  ]);
});

it('shows errors in one line of bounded length, without the arguments that Redis repeats', () => {
  expect(errorMessage(new SyncError('REDIS_REFUSED', 'a\n b'))).toBe('a b');
  expect(errorMessage(new Error("ERR unknown command 'FCALL', with args beginning with: 'x' 'sid'"))).toBe(
    "ERR unknown command 'FCALL'",
  );
  expect(errorMessage(new Error('x'.repeat(1000)))).toHaveLength(301);
  expect(errorMessage('text')).toBe('text');
  expect(errorMessage(new Error(''))).toBe('Error');
});
