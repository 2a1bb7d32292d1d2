/** A table that was full: sessions that it refused come in when others have expired, without a restart and without being written again. */
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Key } from '../../src/auth/keyring.ts';
import { createLookupClient, type LookupClient } from '../../src/client/index.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { until } from './until.ts';

const FEED = 'sessions:feed';
const CAPACITY = 100;
const PASSING = 60;
const LASTING = 90;
const BOUND_MS = 60_000;

let stage: Stage;
let redis: Redis;
let client: LookupClient;

beforeAll(async () => {
  stage = new Stage({ name: `sgwfull-${process.pid}`, capacity: CAPACITY });
  const [key] = stage.writeKeys([randomKey(1)]) as [Key];
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  await stage.command('redis', 'install');
  await redis.fcall('backend_patch', 2, 'gateway:backends', FEED, 'app-1', '{"id":1,"address":"10.1.0.1:8080"}');
  await stage.startGateway();
  client = createLookupClient({ servers: [{ host: GATEWAY_IPV4, port: stage.port }], key, timeoutMs: 5_000 });
});
afterAll(async () => {
  await client?.close();
  redis?.disconnect();
  await stage?.close();
});

const set = (sid: string, ttlMs: number): Promise<unknown> =>
  redis.fcall('session_set', 2, `sess:${sid}`, FEED, sid, 'app-1', ttlMs);

async function found(): Promise<number> {
  let count = 0;
  for (let i = 0; i < LASTING; i++) count += Number((await client.lookup(`lasting-${i}`)).status === 'FOUND');
  return count;
}

test('is filled from Redis once there is room', async () => {
  for (let i = 0; i < PASSING; i++) await set(`passing-${i}`, 5_000);
  for (let i = 0; i < LASTING; i++) await set(`lasting-${i}`, 3_600_000);
  await until(async () => Number((await stage.status())?.['refused']) >= PASSING + LASTING - CAPACITY, BOUND_MS);
  expect(await found()).toBe(CAPACITY - PASSING);
  await until(async () => (await found()) === LASTING, BOUND_MS);
  await until(async () => (await stage.status())?.['sessions'] === LASTING, BOUND_MS);
  const status = (await stage.status()) as { collected: number; sync: { resyncs: { room: number } } };
  expect(status.collected).toBe(PASSING);
  expect(status.sync.resyncs.room).toBeGreaterThan(0);
});
