import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { escapeGlob } from '../../../src/sync/snapshot/pages.ts';
import { RedisServer } from '../redis-server.ts';

let server: RedisServer;
let redis: Redis;

beforeAll(async () => {
  server = await RedisServer.start();
  redis = server.client();
});

afterAll(() => server.stop());

it('escapeGlob makes a pattern of SCAN that matches the text itself and nothing else', async () => {
  const text = fc.string({ unit: fc.constantFrom(...'ab*?[]\\^-é'), minLength: 1, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(text, fc.array(text, { maxLength: 5 }), async (prefix, others) => {
      const keys = [prefix, ...others].map((key) => `${key}:x`);
      await redis.flushall();
      await redis.mset(Object.fromEntries(keys.map((key) => [key, '1'])));
      const [, found] = await redis.scan(0, 'MATCH', `${escapeGlob(prefix)}*`, 'COUNT', 1000);
      expect(found.sort()).toEqual([...new Set(keys.filter((key) => key.startsWith(prefix)))].sort());
    }),
    { numRuns: 200 },
  );
});
