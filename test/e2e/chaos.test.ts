/** A short run of the chaos test: faults of each room, once each, in the order of one seed. */
import { expect, test } from 'vitest';
import { isGood, progressLine } from '../chaos/report.ts';
import { runChaos } from '../chaos/run.ts';

const FAULTS = [
  'daemon killed',
  'daemon upgraded to other maps',
  'keys reloaded',
  'Redis killed',
  'failed over with writes lost',
  'connections half-open',
  'feed trimmed',
  'interface replaced',
];

test('after every fault Redis and kernel are the same, and no lookup was unanswered or wrong on the way', async () => {
  const results = await runChaos({
    seed: 1,
    from: 'stream',
    first: 1,
    faults: FAULTS.length,
    minutes: 5,
    only: FAULTS,
    say: () => undefined,
    signal: new AbortController().signal,
  });
  expect(results.filter((result) => !isGood(result)).map(progressLine)).toEqual([]);
  expect(results.map(({ name }) => name).sort()).toEqual([...FAULTS].sort());
  for (const { differences, lookups } of results) {
    expect(differences.compared).toBeGreaterThan(1_000);
    expect(lookups.asked).toBeGreaterThan(100);
  }
}, 300_000);
