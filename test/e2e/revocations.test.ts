/**
 * Who is revoked in Redis is denied from the first answer on, and at no moment let in again: while the daemon is dead, the
 * feed is lost, everything is loaded anew, or a program with other maps takes over.
 */
import * as fs from 'node:fs';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cookieHash } from '../../src/auth/cookie.ts';
import type { Key } from '../../src/auth/keyring.ts';
import { createLookupClient, type LookupClient } from '../../src/client/index.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { until } from './until.ts';

const FEED = 'sessions:feed';
const BOUND_MS = 60_000;
const FOREVER_MS = 253_402_300_799_999;
/** So many that they are read in more than one step. */
const OTHERS = 5_000;

let stage: Stage;
let redis: Redis;
let client: LookupClient;

const set = (sid: string): Promise<unknown> =>
  redis.fcall('session_set', 2, `sess:${sid}`, FEED, sid, 'app-1', 3_600_000);
const deny = (sid: string, untilMs: number): Promise<unknown> =>
  redis.fcall('session_deny', 2, 'gateway:denied', FEED, Buffer.from(cookieHash(sid)).toString('hex'), untilMs);
const statusOf = async (sid: string): Promise<string> => (await client.lookup(sid)).status;

beforeAll(async () => {
  stage = new Stage({ name: `sgwrev-${process.pid}`, capacity: 1_000 });
  const [key] = stage.writeKeys([randomKey(1)]) as [Key];
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  await stage.command('redis', 'install');
  await redis.fcall('backend_patch', 2, 'gateway:backends', FEED, 'app-1', '{"id":1,"address":"10.1.0.1:80"}');
  client = createLookupClient({ servers: [{ host: GATEWAY_IPV4, port: stage.port }], key, timeoutMs: 10_000 });
});
afterAll(async () => {
  await client?.close();
  redis?.disconnect();
  await stage?.close();
});

/** Asks without pause while `action` runs. @returns every status that was seen */
async function seenWhile(sids: readonly string[], action: () => Promise<void>): Promise<Set<string>> {
  const seen = new Set<string>();
  let running = true;
  const asking = (async () => {
    while (running) for (const sid of sids) seen.add(await statusOf(sid));
  })();
  try {
    await action();
  } finally {
    running = false;
    await asking;
  }
  return seen;
}

test('from the first answer on, of many', async () => {
  for (const sid of ['free', 'stored', 'passing', 'pardoned']) await set(sid);
  for (const sid of ['stored', 'unknown', 'pardoned']) await deny(sid, FOREVER_MS);
  await deny('passing', Date.now() + 1);
  await redis.fcall('fact_set', 2, 'gateway:facts', FEED, 'epoch', '7');
  const members = Array.from({ length: OTHERS }, (_, i) => [
    FOREVER_MS,
    Buffer.from(cookieHash(`other ${i}`)).toString('hex'),
  ]);
  await redis.zadd('gateway:denied', ...(members.flat() as (string | number)[]));
  await stage.startGateway();
  expect(await Promise.all(['stored', 'unknown', `other ${OTHERS - 1}`].map(statusOf))).toEqual(
    Array(3).fill('DENIED'),
  );
  expect(await Promise.all(['free', 'passing'].map(statusOf))).toEqual(['FOUND', 'FOUND']);
  expect(Buffer.from((await client.fact('epoch')).value ?? [])).toEqual(Buffer.from('7'));
});

test('while the daemon is dead, the feed is lost, and all is loaded anew', async () => {
  const seen = await seenWhile(['stored', 'unknown'], async () => {
    await stage.stopGateway('SIGKILL');
    await set('stored');
    await set('unknown');
    await deny('pardoned', 0);
    await deny('free', FOREVER_MS);
    await redis.fcall('fact_set', 2, 'gateway:facts', FEED, 'epoch', '8');
    await redis.del(FEED);
    await set('after');
    expect(await statusOf('pardoned')).toBe('DENIED'); // nobody has told the kernel yet
    await stage.startGateway();
    await until(async () => (await statusOf('pardoned')) === 'FOUND', BOUND_MS);
    await until(async () => (await statusOf('free')) === 'DENIED', BOUND_MS);
    await until(async () => Buffer.from((await client.fact('epoch')).value ?? []).toString() === '8', BOUND_MS);
  });
  expect(seen).toEqual(new Set(['DENIED']));
});

test('while a program with maps of its own takes over', async () => {
  const seen = await seenWhile(['stored', 'unknown', 'free'], async () => {
    await stage.stopGateway();
    stage.writeConfig({ capacity: 2_000 });
    await stage.startGateway();
    await until(async () => fs.readdirSync(stage.pins).filter((name) => name !== 'links').length === 2, BOUND_MS);
  });
  expect(seen).toEqual(new Set(['DENIED']));
});
