import { expect, it } from 'vitest';
import { LocalVersions } from '../../../src/sync/notifications/local-versions.ts';
import { systemRuntime } from '../../../src/sync/runtime.ts';
import { VERSION_MS_MAX, VERSION_SEQ_MAX } from '../../../src/sync/versions.ts';

it('each version is larger than the one before, whatever the clock does', () => {
  let nowMs = 1000;
  const versions = new LocalVersions({ ...systemRuntime, wallMs: () => nowMs });
  const next = (): [number, number] => {
    const { ms, seq } = versions.next();
    return [ms, seq];
  };
  expect([next(), next()]).toEqual([
    [1000, 0],
    [1000, 1],
  ]);
  nowMs = 1001.7;
  expect(next()).toEqual([1001, 0]);
  nowMs = 5;
  expect(next()).toEqual([1001, 1]);
  for (let seq = 2; seq <= VERSION_SEQ_MAX; seq++) versions.next();
  expect([next(), next()]).toEqual([
    [1002, 0],
    [1002, 1],
  ]);
  nowMs = 2 ** 50;
  expect(next()).toEqual([VERSION_MS_MAX, 0]);
});
