/**
 * Each fuzz target over its corpus and a bounded number of new inputs. A long run: `npm run fuzz -- --minutes 30`.
 */
import { beforeAll, expect, test } from 'vitest';
import { build, fuzz, TARGETS, type Target } from './run.ts';

/** New inputs for each target, seconds of work. The seed is fixed: a red test is red again. */
const RUNS = { frame: 200_000, signed: 40_000, changes: 20_000 } as const;

beforeAll(build, 120_000);

test.each(Object.keys(TARGETS) as Target[])('%s: what must hold does', { timeout: 300_000 }, (target) => {
  const { exitCode, report } = fuzz(target, `-runs=${RUNS[target]}`, '-seed=1');
  expect(exitCode, report.slice(-4000)).toBe(0);
  expect(Number(/executed_units: +(\d+)/.exec(report)?.[1])).toBeGreaterThanOrEqual(RUNS[target]);
});
