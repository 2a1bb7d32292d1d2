/** What panels of the dashboard reckon with. */
import { expect, test } from 'vitest';
import { VERDICT_NAMES } from '../../src/gateway/verdict-names.ts';
import { readDashboard } from './dashboards.ts';
import { dashboardQueries, parseQuery } from './queries.ts';

test('"Found" is a part of what was looked up, and not of what was told that it is early or late', () => {
  const shares = dashboardQueries(readDashboard()).filter(({ expression }) => {
    return /verdict=~"REPLY_FOUND\|REPLY_MOVED"\}.* \/ /.test(expression);
  });
  expect(shares).toHaveLength(1);
  const [, whole] = parseQuery(shares[0]?.expression ?? '').selectors;
  const asked = new RegExp(`^(?:${whole?.labels.find(({ name }) => name === 'verdict')?.value})$`);
  const replies = VERDICT_NAMES.filter((name) => name.startsWith('REPLY_'));
  expect(replies.filter((name) => !asked.test(name))).toEqual(['REPLY_CLOCK_SKEW', 'REPLY_NOT_READY']);
});
