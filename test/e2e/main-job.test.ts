/** The main job over real packets: two hosts, a real Redis, the gateway as its own process. */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cookieHash } from '../../src/auth/cookie.ts';
import type { Key } from '../../src/auth/keyring.ts';
import { encodeLookupRequest } from '../../src/auth/request.ts';
import { createLookupClient, type LookupClient } from '../../src/client/index.ts';
import { GATEWAY_IPV4, GATEWAY_IPV6 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { until } from './until.ts';

const SESSIONS = 500;
const FEED = 'sessions:feed';

let stage: Stage;
let redis: Redis;
let client: LookupClient;
let client6: LookupClient;
const first = randomKey(1);
let key: Key;

function clientOf(key: Key, host = GATEWAY_IPV4, timeoutMs = 1000): LookupClient {
  return createLookupClient({ servers: [{ host, port: stage.port }], key, timeoutMs, tryTimeoutMs: timeoutMs });
}

const set = (sid: string, backend: string, ttlMs = 3_600_000): Promise<unknown> =>
  redis.fcall('session_set', 2, `sess:${sid}`, FEED, sid, backend, ttlMs);

beforeAll(async () => {
  stage = new Stage({ name: `sgw-e2e-${process.pid}` });
  const [made] = stage.writeKeys([first, randomKey(2)]);
  if (made === undefined) throw new Error('no key');
  key = made;
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  expect(await stage.command('redis', 'install')).toMatchObject({ exitCode: 0 });
  await redis.fcall('backend_patch', 2, 'gateway:backends', FEED, 'app-1', '{"id":1,"address":"10.1.0.1:8080"}');
  await redis.fcall('backend_patch', 2, 'gateway:backends', FEED, 'app-2', '{"id":2,"address":"[fd00::7]:9090"}');
  for (let i = 0; i < SESSIONS; i++) await set(`s${i}`, `app-${1 + (i % 2)}`);
  await stage.startGateway();
  client = clientOf(key);
  client6 = clientOf(key, GATEWAY_IPV6);
});

afterAll(async () => {
  await client?.close();
  await client6?.close();
  redis?.disconnect();
  await stage?.close();
});

/** Asks without pause while `action` runs; every answer must be FOUND, from the right backend. */
async function losesNothing(action: () => Promise<void>): Promise<number> {
  let running = true;
  let asked = 0;
  const wrong: unknown[] = [];
  const load = (async () => {
    while (running) {
      const i = asked++ % SESSIONS;
      const result = await client.lookup(`s${i}`);
      if (result.status !== 'FOUND' || result.backend !== 1 + (i % 2)) wrong.push(result);
    }
  })();
  try {
    await action();
  } finally {
    running = false;
    await load;
  }
  expect(wrong).toEqual([]);
  return asked;
}

describe('answers', () => {
  test('where a session is, over IPv4 and IPv6', async () => {
    expect(await client.lookup('s0')).toMatchObject({ status: 'FOUND', backend: 1, address: '10.1.0.1', port: 8080 });
    expect(await client6.lookup('s1')).toMatchObject({ status: 'FOUND', backend: 2, address: 'fd00::7', port: 9090 });
    expect(await client.lookup('nobody')).toMatchObject({ status: 'NOT_FOUND', placed: true, version: 0n });
    const { ageMs } = await client.lookup('s0');
    expect(ageMs).toBeLessThan(5_000);
  });

  test('what is written, changed, deleted and ended', async () => {
    await set('new', 'app-2');
    await until(async () => (await client.lookup('new')).backend === 2);
    await set('new', 'app-1');
    await until(async () => (await client.lookup('new')).backend === 1);
    await redis.fcall('session_del', 2, 'sess:new', FEED, 'new');
    await until(async () => (await client.lookup('new')).status === 'NOT_FOUND');
    await set('brief', 'app-1', 800);
    await until(async () => (await client.lookup('brief')).status === 'FOUND');
    await sleep(900);
    expect((await client.lookup('brief')).status).toBe('NOT_FOUND');
  });

  test('sessions of a backend that becomes known', async () => {
    await set('early', 'app-9');
    await until(async () => JSON.stringify(await stage.status()).includes('"unknown-backend":1'));
    expect((await client.lookup('early')).status).toBe('NOT_FOUND');
    await redis.fcall('backend_patch', 2, 'gateway:backends', FEED, 'app-9', '{"id":9,"address":"10.1.0.9:80"}');
    await until(async () => (await client.lookup('early')).backend === 9);
  });

  test('silence for what is not authentic', async () => {
    const socket = createSocket('udp4');
    let answered = 0;
    socket.on('message', () => {
      answered += 1;
    });
    await new Promise<void>((resolve) => socket.connect(stage.port, GATEWAY_IPV4, resolve));
    const good = encodeLookupRequest(key, cookieHash('s0'), Date.now(), randomBytes(8)).bytes;
    for (let at = 0; at < 64; at++) {
      const forged = good.slice();
      forged[at] = (forged[at] ?? 0) ^ (1 << (at % 8));
      socket.send(forged);
    }
    for (const length of [0, 1, 24, 79, 81, 1200])
      socket.send(Buffer.concat([good, Buffer.alloc(1200)]).subarray(0, length));
    await sleep(300);
    expect(answered).toBe(0);
    socket.send(good);
    await until(async () => answered === 1);
    socket.close();
  });
});

describe('nothing is lost', () => {
  test('while keys are rotated', async () => {
    const second = randomKey(3);
    const asked = await losesNothing(async () => {
      for (let i = 0; i < 4; i++) {
        stage.writeKeys(i % 2 === 0 ? [first, second] : [first, randomKey(100 + i)]);
        expect(await stage.command('reload-keys')).toMatchObject({ exitCode: 0 });
      }
    });
    expect(asked).toBeGreaterThan(100);
  });

  test('while the daemon is stopped', async () => {
    await losesNothing(async () => {
      stage.gateway?.kill('SIGSTOP');
      await sleep(500);
      stage.gateway?.kill('SIGCONT');
    });
  });

  test('while the daemon ends and another one takes over', async () => {
    await losesNothing(async () => {
      await stage.stopGateway();
      await sleep(200);
      await stage.startGateway();
    });
  });

  test('while the daemon is killed and another one takes over, which sees what was deleted meanwhile', async () => {
    await set('gone', 'app-1');
    await until(async () => (await client.lookup('gone')).status === 'FOUND');
    await losesNothing(async () => {
      await stage.stopGateway('SIGKILL');
      await redis.fcall('session_del', 2, 'sess:gone', FEED, 'gone');
      expect((await client.lookup('gone')).status).toBe('FOUND');
      await stage.startGateway();
      await until(async () => (await client.lookup('gone')).status === 'NOT_FOUND');
    });
  });
});

describe('keys', () => {
  test('a removed key is silent, a bad file changes nothing', async () => {
    const [, other] = stage.writeKeys([first, randomKey(7)]);
    if (other === undefined) throw new Error('no key');
    expect(await stage.command('reload-keys')).toMatchObject({ exitCode: 0 });
    const otherClient = clientOf(other, GATEWAY_IPV4, 300);
    expect((await otherClient.lookup('s0')).status).toBe('FOUND');
    stage.writeKeys([first]);
    expect(await stage.command('reload-keys')).toMatchObject({ exitCode: 0 });
    expect((await otherClient.lookup('s0')).status).toBe('UNREACHABLE');
    await otherClient.close();

    stage.writeKeys([randomKey(1)]);
    const refused = await stage.command('reload-keys');
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toMatch(/never used again/);
    expect((await client.lookup('s0')).status).toBe('FOUND');
    stage.writeKeys([first]);
  });

  test('an id comes back only as it was, also for the next daemon', async () => {
    const once = randomKey(50);
    stage.writeKeys([first, once]);
    expect(await stage.command('reload-keys')).toMatchObject({ exitCode: 0 });
    stage.writeKeys([first]);
    expect(await stage.command('reload-keys')).toMatchObject({ exitCode: 0 });
    await stage.stopGateway();
    await stage.startGateway();
    stage.writeKeys([first, randomKey(50)]);
    expect((await stage.command('reload-keys')).exitCode).toBe(1);
    stage.writeKeys([first, once]);
    expect(await stage.command('reload-keys')).toMatchObject({ exitCode: 0 });
    stage.writeKeys([first]);
  });
});

test('a second daemon on the same pins is refused, with the first one’s process id', async () => {
  const second = await stage.command('run');
  expect(second.exitCode).toBe(1);
  expect(second.stderr + second.stdout).toContain(String((await stage.status())?.['pid']));
  expect((await client.lookup('s0')).status).toBe('FOUND');
});

test('a table that is full refuses the newest and says so', async () => {
  const small = new Stage({ name: `sgw-full-${process.pid}`, capacity: 100 });
  let smallRedis: Redis | undefined;
  try {
    const [smallKey] = small.writeKeys([randomKey(1)]);
    if (smallKey === undefined) throw new Error('no key');
    await small.startRedis();
    smallRedis = new Redis({ path: small.redisSocket, protocol: 2 });
    await small.command('redis', 'install');
    await smallRedis.fcall('backend_patch', 2, 'gateway:backends', FEED, 'app-1', '{"id":1,"address":"10.1.0.1:8080"}');
    for (let i = 0; i < 150; i++)
      await smallRedis.fcall('session_set', 2, `sess:s${i}`, FEED, `s${i}`, 'app-1', 60_000);
    await small.startGateway();
    const smallClient = createLookupClient({
      servers: [{ host: GATEWAY_IPV4, port: small.port }],
      key: smallKey,
      timeoutMs: 1000,
    });
    let found = 0;
    for (let i = 0; i < 150; i++) found += Number((await smallClient.lookup(`s${i}`)).status === 'FOUND');
    await smallClient.close();
    expect(found).toBe(100);
    expect(await small.status()).toMatchObject({ sessions: 100, capacity: 100, refused: 50 });
    expect(small.logTail()).toMatch(/table-full|capacity/);
  } finally {
    smallRedis?.disconnect();
    await small.close();
  }
});

test('"detach" leaves nothing, and is refused while the daemon runs', async () => {
  expect((await stage.command('detach')).exitCode).toBe(1);
  expect((await client.lookup('s0')).status).toBe('FOUND');
  await stage.stopGateway();
  expect((await client.lookup('s0')).status).toBe('FOUND');
  expect(await stage.command('detach')).toMatchObject({ exitCode: 0 });
  expect((await client.lookup('s0')).status).toBe('UNREACHABLE');
});
