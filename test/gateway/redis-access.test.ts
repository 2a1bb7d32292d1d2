import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseConfig } from '../../src/gateway/config.ts';
import { redisAccess, shownRedis } from '../../src/gateway/redis-access.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'session-gateway-access-'));
  writeFileSync(join(folder, 'pw'), 'hunter2\n');
  writeFileSync(join(folder, 'spw'), 'hunter3\n');
});
afterAll(() => rmSync(folder, { recursive: true }));

const configOf = (redis: object) =>
  parseConfig(JSON.stringify({ redis, feed: { from: 'notifications' } }), join(folder, 'gateway.yaml'));
const NODES = [
  { host: 'h', port: 1 },
  { host: '2001:db8::1', port: 2 },
];

test.each([
  [{ url: 'redis://u:hunter2@h:1/2' }, { url: 'redis://u:hunter2@h:1/2' }, 'redis://u:***@h:1/2'],
  [
    {
      sentinel: { name: 'm', nodes: ['h:1', '[2001:db8::1]:2'], username: 's', passwordFile: 'spw' },
      passwordFile: 'pw',
    },
    { sentinel: { name: 'm', nodes: NODES, username: 's', password: 'hunter3' }, password: 'hunter2' },
    'master m of sentinels h:1, [2001:db8::1]:2',
  ],
  [
    { cluster: { nodes: ['h:1', '[2001:db8::1]:2'] }, username: 'u', passwordFile: 'pw' },
    { cluster: { nodes: NODES }, username: 'u', password: 'hunter2' },
    'cluster of h:1, [2001:db8::1]:2',
  ],
])('%j', (redis, access, shown) => {
  const config = configOf(redis);
  expect(redisAccess(config)).toEqual({ username: null, password: null, tls: null, ...access });
  expect(shownRedis(config.redis)).toBe(shown);
});

test('a password file of the sentinels that is not there', () => {
  const config = configOf({ sentinel: { name: 'm', nodes: ['h:1'], passwordFile: 'missing' } });
  expect(() => redisAccess(config)).toThrow(expect.objectContaining({ code: 'CONFIG_UNREADABLE' }));
});
