/** `sessions.onMiss: ask-redis`: no lookup misses a session that is in the feed, and nothing hangs where Redis or the daemon is away. */
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLookupClient, type LookupClient } from '../../src/client/index.ts';
import { askDaemon } from '../../src/gateway/control/client.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import type { Status } from '../../src/gateway/ports.ts';
import { until } from './until.ts';

const WAIT_MS = 60_000;
const FEED = 'sessions:feed';

let stage: Stage;
let redis: Redis;
let client: LookupClient;
/** Gives up soon, so that silence shows. */
let hasty: LookupClient;

const status = (): Promise<Status> =>
  askDaemon(join(stage.directory, 'gateway.sock'), { method: 'GET', path: '/v1/status' }) as Promise<Status>;
const set = (sid: string): Promise<unknown> =>
  redis.fcall('session_set', 2, `sess:${sid}`, FEED, sid, 'app-1', 3_600_000);
const isPlaced = async (sid: string): Promise<boolean> => {
  const { status, placed } = await hasty.lookup(sid);
  return status === 'NOT_FOUND' && placed;
};

/** Calls of XREVRANGE: how often Redis was asked about sessions. */
async function askings(): Promise<number> {
  const stats = await redis.info('commandstats');
  return Number(/cmdstat_xrevrange:calls=(\d+)/.exec(stats)?.[1] ?? 0);
}

beforeAll(async () => {
  stage = new Stage({ name: `sgw-ask-${process.pid}`, onMiss: 'ask-redis' });
  const [key] = stage.writeKeys([randomKey(1)]);
  if (key === undefined) throw new Error('no key');
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  await stage.command('redis', 'install');
  await redis.fcall('backend_patch', 2, 'gateway:backends', FEED, 'app-1', '{"id":1,"address":"10.1.0.1:8080"}');
  await set('here');
  await stage.startGateway();
  const servers = [{ host: GATEWAY_IPV4, port: stage.port }];
  client = createLookupClient({ servers, key, timeoutMs: 10_000, tryTimeoutMs: 10_000 });
  hasty = createLookupClient({ servers, key, timeoutMs: 300, tryTimeoutMs: 300 });
  await until(async () => (await status()).ready, WAIT_MS);
  // From then on misses are handed up.
  await until(async () => {
    await client.lookup(`warm-${Math.random()}`);
    return (await status()).packets.PASS_MISS > 0;
  }, WAIT_MS);
}, WAIT_MS);

afterAll(async () => {
  await client?.close();
  await hasty?.close();
  redis?.disconnect();
  await stage?.close();
});

test('a session is found by the lookup that follows its writing, and then by the kernel alone', async () => {
  let atOnce = 0;
  for (let i = 0; i < 200; i++) {
    await set(`new-${i}`);
    atOnce += Number((await client.lookup(`new-${i}`)).status === 'FOUND');
    await until(async () => (await client.lookup(`new-${i}`)).backend === 1, WAIT_MS);
  }
  // Not all: a machine that stands still for as long as Redis may take lets the deadline pass.
  expect(atOnce).toBeGreaterThan(150);
  const before = (await status()).packets;
  for (let i = 0; i < 200; i++) expect((await client.lookup(`new-${i}`)).status).toBe('FOUND');
  const after = (await status()).packets;
  expect(after.PASS_MISS).toBe(before.PASS_MISS);
  expect(after.REPLY_FOUND - before.REPLY_FOUND).toBe(200);
});

test('many misses at once ask Redis a few times; hits are answered meanwhile', async () => {
  const before = await askings();
  const misses = Promise.all(Array.from({ length: 600 }, (_, i) => client.lookup(`nobody-${i}`)));
  for (let i = 0; i < 100; i++) expect((await client.lookup('here')).status).toBe('FOUND');
  for (const miss of await misses) expect(miss).toMatchObject({ status: 'NOT_FOUND', placed: true });
  expect((await askings()) - before).toBeLessThan(600);
});

test('a daemon that is stopped: the kernel answers misses by itself within a second or so, and hits all the while', async () => {
  stage.gateway?.kill('SIGSTOP');
  try {
    expect((await hasty.lookup('here')).status).toBe('FOUND');
    await until(() => isPlaced('stopped'), WAIT_MS);
    expect((await hasty.lookup('here')).status).toBe('FOUND');
  } finally {
    stage.gateway?.kill('SIGCONT');
  }
  const before = (await status()).packets.PASS_MISS;
  await until(async () => {
    await hasty.lookup(`again-${Math.random()}`);
    return (await status()).packets.PASS_MISS > before;
  }, WAIT_MS);
});

test('without Redis misses are answered, from what is held, and it is asked again once it is back', async () => {
  await stage.stopRedis();
  redis.disconnect();
  await until(() => isPlaced('away'), WAIT_MS);
  expect((await hasty.lookup('here')).status).toBe('FOUND');
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  await until(async () => (await status()).sync.state === 'following', WAIT_MS);
  await stage.command('redis', 'install');
  await redis.fcall('backend_patch', 2, 'gateway:backends', FEED, 'app-1', '{"id":1,"address":"10.1.0.1:8080"}');
  await until(async () => (await status()).sync.backends.known === 1, WAIT_MS);
  await until(async () => {
    const sid = `back-${Math.random()}`;
    await set(sid);
    return (await hasty.lookup(sid)).status === 'FOUND';
  }, WAIT_MS);
});

test('a daemon that is killed: the kernel answers by itself', async () => {
  await set('last');
  expect((await client.lookup('last')).status).toBe('FOUND');
  await stage.stopGateway('SIGKILL');
  expect((await hasty.lookup('last')).status).toBe('FOUND');
  await until(() => isPlaced('killed'), WAIT_MS);
});
