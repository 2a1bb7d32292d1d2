/** Every type of request over real packets, by keys of each suite, encrypted and not, with the client and the kernel in between. */
import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLookupClient, type LookupClient } from '../../src/client/index.ts';
import { GATEWAY_IPV4, GATEWAY_IPV6 } from '../../src/gateway/demo/network.ts';
import { Stage } from '../../src/gateway/demo/stage.ts';

const FEED = 'sessions:feed';
const TIMEOUT_MS = 5_000;
const KINDS = [
  ['hmac-sha256', false],
  ['hmac-sha256', true],
  ['blake2s', false],
  ['blake2s', true],
] as const;
const KEYS = KINDS.map(([suite, encrypt], i) => {
  const fields = { id: i + 1, name: `key-${i + 1}`, suite, encrypt, notBeforeMs: null, notAfterMs: null };
  return { fields, secret: randomBytes(32) };
});

let stage: Stage;
let redis: Redis;

beforeAll(async () => {
  stage = new Stage({ name: `sgw-su-${process.pid}` });
  stage.writeKeys(KEYS);
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  expect(await stage.command('redis', 'install')).toMatchObject({ exitCode: 0 });
  await redis.fcall('backend_patch', 2, 'gateway:backends', FEED, 'app-1', '{"id":1,"address":"10.1.0.1:8080"}');
  await redis.fcall('backend_patch', 2, 'gateway:backends', FEED, 'app-2', '{"id":2,"address":"[fd00::7]:9090"}');
  for (let i = 0; i < 64; i++) {
    await redis.fcall('session_set', 2, `sess:s${i}`, FEED, `s${i}`, `app-${1 + (i % 2)}`, 3_600_000);
  }
  await redis.fcall('fact_set', 2, 'gateway:facts', FEED, 'epoch', '42');
  await stage.startGateway();
});

afterAll(async () => {
  redis?.disconnect();
  await stage?.close();
});

describe.each(KINDS.map(([suite, encrypt], i) => ({ suite, encrypt, i })))('$suite, encrypted: $encrypt', ({ i }) => {
  const clients: LookupClient[] = [];
  beforeAll(() => {
    const { fields, secret } = KEYS[i] as (typeof KEYS)[number];
    const key = { id: fields.id, secret, suite: fields.suite, encrypt: fields.encrypt };
    for (const host of [GATEWAY_IPV4, GATEWAY_IPV6]) {
      const servers = [{ host, port: stage.port }];
      clients.push(createLookupClient({ servers, key, timeoutMs: TIMEOUT_MS, tryTimeoutMs: TIMEOUT_MS }));
    }
  });
  afterAll(() => Promise.all(clients.map((client) => client.close())));

  test('a session, over IPv4 and IPv6', async () => {
    for (const client of clients) {
      expect(await client.lookup('s1')).toMatchObject({ status: 'FOUND', backend: 2, address: 'fd00::7', port: 9090 });
      expect(await client.lookup('nobody')).toMatchObject({ status: 'NOT_FOUND', placed: true });
    }
  });

  test('batches of 1 to 64', async () => {
    for (const client of clients) {
      for (const length of [1, 2, 3, 4, 33, 63, 64]) {
        const { status, entries } = await client.batch(Array.from({ length }, (_, at) => `s${at}`));
        expect(status).toBe('ANSWERED');
        expect(entries.map(({ backend }) => backend)).toEqual(Array.from({ length }, (_, at) => 1 + (at % 2)));
      }
      const { entries } = await client.batch(['s0', 'nobody', 's1']);
      expect(entries.map((entry) => entry.status)).toEqual(['FOUND', 'NOT_FOUND', 'FOUND']);
    }
  });

  test('a fact', async () => {
    for (const client of clients) {
      expect(await client.fact('epoch')).toMatchObject({ status: 'FOUND', value: Uint8Array.from(Buffer.from('42')) });
      expect(await client.fact('no such')).toMatchObject({ status: 'NOT_FOUND' });
    }
  });
});
