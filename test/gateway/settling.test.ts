/** Settling by the daemon: one at a time, watched, stopped, and what it ended with. */
import { expect, test } from 'vitest';
import { failure } from '../../src/gateway/errors.ts';
import type { SettleOptions, SettleResult } from '../../src/gateway/settle.ts';
import { Settling } from '../../src/gateway/settling.ts';

const WAIT = { timeout: 60_000 };
const RESULT: SettleResult = { moved: 9, targets: { b: 9 }, staying: 1, changed: 0, complete: true };

/** A directory that settles as the test says. */
function lab() {
  const { promise, resolve, reject } = Promise.withResolvers<SettleResult>();
  const runs: { name: string; options: SettleOptions }[] = [];
  let open = 0;
  const settling = new Settling(() => {
    open += 1;
    return {
      settle: (name, options) => {
        runs.push({ name, options });
        options.signal.addEventListener('abort', () =>
          reject(failure('SETTLE_STOPPED', { moved: 4, reason: 'it was stopped' })),
        );
        return promise;
      },
      close: async () => {
        open -= 1;
      },
    };
  });
  return { settling, runs, finish: resolve, fail: reject, openCount: () => open };
}

test('it starts once sessions are gone through, is watched, and ends; meanwhile there is no other', async () => {
  const { settling, runs, finish, openCount } = lab();
  expect(settling.state).toBeNull();
  const starting = settling.start('web-1', 100);
  await expect.poll(() => runs.length, WAIT).toBe(1);
  await expect(settling.start('web-2', 100)).rejects.toMatchObject({ code: 'SETTLE_BUSY', httpStatus: 409 });
  runs[0]?.options.onProgress?.({ pass: 1, part: 0.25, moved: 3 });
  const running = { backend: 'web-1', state: 'running', rate: 100, pass: 1, part: 0.25, moved: 3 };
  expect(await starting).toMatchObject(running);
  runs[0]?.options.onProgress?.({ pass: 2, part: 0.5, moved: 7 });
  expect(settling.state).toMatchObject({ ...running, pass: 2, part: 0.5, moved: 7 });
  finish(RESULT);
  await expect.poll(() => settling.state?.state, WAIT).toBe('done');
  await expect.poll(openCount, WAIT).toBe(0);
  expect(settling.state).toMatchObject({ part: 1, moved: 9, complete: true, problem: null });
});

test('what ends it before it has begun is the caller’s to hear, and the last one stays', async () => {
  const { settling, runs, fail, openCount } = lab();
  const starting = settling.start('web-9', 100);
  await expect.poll(() => runs.length, WAIT).toBe(1);
  fail(failure('BACKEND_UNKNOWN', { name: 'web-9', names: [] }));
  await expect(starting).rejects.toMatchObject({ code: 'BACKEND_UNKNOWN' });
  expect([settling.state, openCount()]).toEqual([null, 0]);
});

test('what ends it later is its end, and another may begin', async () => {
  const { settling, runs, fail } = lab();
  const starting = settling.start('web-1', 100);
  await expect.poll(() => runs.length, WAIT).toBe(1);
  runs[0]?.options.onProgress?.({ pass: 1, part: 0.25, moved: 3 });
  await starting;
  fail(failure('SETTLE_STOPPED', { moved: 3, reason: 'the backends changed all the time' }));
  await expect.poll(() => settling.state?.state, WAIT).toBe('failed');
  expect(settling.state?.problem).toContain('the backends changed all the time after 3 sessions');
  await settling.stop();
  await expect(settling.start('web-2', 100)).rejects.toMatchObject({ code: 'SETTLE_STOPPED' });
  expect(runs.map(({ name }) => name)).toEqual(['web-1', 'web-2']);
});

test('it is stopped; with none there is nothing to stop', async () => {
  const { settling, runs, openCount } = lab();
  await settling.stop();
  const starting = settling.start('web-1', 100);
  await expect.poll(() => runs.length, WAIT).toBe(1);
  runs[0]?.options.onProgress?.({ pass: 1, part: 0.25, moved: 4 });
  await starting;
  await settling.stop();
  expect([settling.state, openCount()]).toMatchObject([{ state: 'stopped', moved: 4, problem: null }, 0]);
});
