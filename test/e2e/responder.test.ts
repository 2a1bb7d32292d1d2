/** Without an XDP program: the daemon answers by itself, over a real Redis and real packets. */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cookieHash } from '../../src/auth/cookie.ts';
import type { Key } from '../../src/auth/keyring.ts';
import { encodeLookupRequest } from '../../src/auth/request.ts';
import { createLookupClient, type LookupClient } from '../../src/client/index.ts';
import { askDaemon } from '../../src/gateway/control/client.ts';
import { GATEWAY_IPV4, GATEWAY_IPV6 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import type { Status } from '../../src/gateway/ports.ts';
import { until } from './until.ts';

const WAIT_MS = 60_000;
const FEED = 'sessions:feed';

/** A program on the port of every address. */
const HOLDS_THE_PORT = `
  const socket = require('node:dgram').createSocket('udp6');
  socket.bind(6464, () => console.log('bound'));
`;

let stage: Stage;
let redis: Redis;
let key: Key;
const clients: LookupClient[] = [];
const first = randomKey(1);

function clientOf(key: Key, host = GATEWAY_IPV4, timeoutMs = 5_000): LookupClient {
  const client = createLookupClient({ servers: [{ host, port: stage.port }], key, timeoutMs, tryTimeoutMs: timeoutMs });
  clients.push(client);
  return client;
}

const set = (sid: string, backend: string, ttlMs = 3_600_000): Promise<unknown> =>
  redis.fcall('session_set', 2, `sess:${sid}`, FEED, sid, backend, ttlMs);

const status = (): Promise<Status> =>
  askDaemon(join(stage.directory, 'gateway.sock'), { method: 'GET', path: '/v1/status' }) as Promise<Status>;

const patch = (name: string, fields: string): Promise<unknown> =>
  redis.fcall('backend_patch', 2, 'gateway:backends', FEED, name, fields);

beforeAll(async () => {
  stage = new Stage({ name: `sgw-none-${process.pid}`, listen: { attach: 'none' }, capacity: 300 });
  const [made] = stage.writeKeys([first]);
  if (made === undefined) throw new Error('no key');
  key = made;
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  await stage.command('redis', 'install');
  await patch('app-1', '{"id":1,"address":"10.1.0.1:8080"}');
  await patch('app-2', '{"id":2,"address":"[fd00::7]:9090"}');
  for (let i = 0; i < 200; i++) await set(`s${i}`, `app-${1 + (i % 2)}`);
  await stage.startGateway();
}, WAIT_MS);

afterAll(async () => {
  for (const client of clients) await client.close();
  redis?.disconnect();
  await stage?.close();
});

test('it says at start that this is slow, and that nothing is attached', async () => {
  expect(stage.logTail()).toMatch(/"level":"warn".*listen.attach is none/);
  expect(await status()).toMatchObject({
    ready: true,
    interfaces: [{ name: stage.network.gatewayInterface, mode: 'none' }],
    sessions: 200,
    responder: null,
  });
  const doctor = await stage.command('doctor');
  expect(doctor.stdout).toMatch(/note +interface .* no XDP program is on it/);
});

test('sessions, backends, revocations and facts, over IPv4 and IPv6', async () => {
  const [client, client6] = [clientOf(key), clientOf(key, GATEWAY_IPV6)];
  for (let i = 0; i < 200; i++) {
    const asked = i % 2 === 0 ? client : client6;
    expect(await asked.lookup(`s${i}`)).toMatchObject({ status: 'FOUND', backend: 1 + (i % 2) });
  }
  expect(await client.lookup('nobody')).toMatchObject({ status: 'NOT_FOUND', placed: true });
  await set('s0', 'app-2');
  await until(async () => (await client.lookup('s0')).backend === 2, WAIT_MS);
  await redis.fcall('session_del', 2, 'sess:s0', FEED, 's0');
  await until(async () => (await client.lookup('s0')).status === 'NOT_FOUND', WAIT_MS);
  await patch('app-1', '{"state":"draining"}');
  await until(async () => (await client.lookup('s2')).backend === 2, WAIT_MS);
  await patch('app-1', '{"state":"active"}');
  await until(async () => (await client.lookup('s2')).backend === 1, WAIT_MS);
  const hash = Buffer.from(cookieHash('s4')).toString('hex');
  await redis.fcall('session_deny', 2, 'gateway:denied', FEED, hash, Date.now() + 3_600_000);
  await until(async () => (await client.lookup('s4')).status === 'DENIED', WAIT_MS);
  await redis.fcall('fact_set', 2, 'gateway:facts', FEED, 'epoch', '7');
  await until(async () => (await client.fact('epoch')).status === 'FOUND', WAIT_MS);
});

test('a table that is full refuses the newest and says so', async () => {
  for (let i = 0; i < 200; i++) await set(`more${i}`, 'app-1');
  await until(async () => (await status()).sessions === 300, WAIT_MS);
  expect(await status()).toMatchObject({ capacity: 300 });
  expect((await status()).refused).toBeGreaterThan(0);
});

test('keys come and go', async () => {
  const second = randomKey(2);
  const [, made] = stage.writeKeys([first, second]);
  if (made === undefined) throw new Error('no key');
  expect(await stage.command('reload-keys')).toMatchObject({ exitCode: 0 });
  const client = clientOf(made, GATEWAY_IPV4, 500);
  expect((await client.lookup('s1')).status).toBe('FOUND');
  stage.writeKeys([first]);
  expect(await stage.command('reload-keys')).toMatchObject({ exitCode: 0 });
  expect((await client.lookup('s1')).status).toBe('UNREACHABLE');
  stage.writeKeys([first, randomKey(2)]);
  expect((await stage.command('reload-keys')).stderr).toMatch(/never used again/);
});

test('silence for what is not authentic, and none of it ends the daemon', async () => {
  const socket = createSocket('udp4');
  let answered = 0;
  socket.on('message', () => {
    answered += 1;
  });
  await new Promise<void>((resolve) => socket.connect(stage.port, GATEWAY_IPV4, resolve));
  const good = encodeLookupRequest(key, cookieHash('s1'), Date.now(), randomBytes(8)).bytes;
  for (let at = 0; at < 80; at++) {
    const forged = good.slice();
    forged[at] = (forged[at] ?? 0) ^ (1 << (at % 8));
    socket.send(forged);
  }
  for (const length of [0, 1, 24, 79, 81, 1200, 9_000])
    socket.send(Buffer.concat([good, Buffer.alloc(9_000)]).subarray(0, length));
  for (let i = 0; i < 200; i++) socket.send(randomBytes(i));
  socket.send(good);
  // What was sent before it has been looked at by then: one socket keeps the order.
  await until(async () => answered > 0, WAIT_MS);
  expect(answered).toBe(1);
  socket.close();
  expect((await clientOf(key).lookup('s1')).status).toBe('FOUND');
});

test('an address that comes is answered on, and one that goes is not', async () => {
  const { network } = stage;
  network.gatewayIp('addr', 'add', '10.99.0.77/24', 'dev', network.gatewayInterface);
  const client = clientOf(key, '10.99.0.77', 500);
  await until(async () => (await client.lookup('s1')).status === 'FOUND', WAIT_MS);
  network.gatewayIp('addr', 'del', '10.99.0.77/24', 'dev', network.gatewayInterface);
  await until(async () => !(await status()).addresses.includes('10.99.0.77'), WAIT_MS);
  expect((await clientOf(key).lookup('s1')).status).toBe('FOUND');
});

test('what an XDP daemon left attached is taken off; a port that another process has is refused', async () => {
  await stage.stopGateway();
  stage.writeConfig({ listen: {} });
  await stage.startGateway();
  expect(await status()).toMatchObject({ interfaces: [{ mode: 'native' }] });
  await stage.stopGateway();
  stage.writeConfig({ listen: { attach: 'none' } });
  const other = stage.network.spawn(process.execPath, ['-e', HOLDS_THE_PORT], { stdio: ['ignore', 'pipe', 'ignore'] });
  await new Promise((resolve) => other.stdout?.once('data', resolve));
  await expect(stage.startGateway()).rejects.toThrow(/no address can be listened on.*EADDRINUSE/);
  other.kill();
  await once(other, 'exit');
  await stage.startGateway();
  expect(await status()).toMatchObject({ interfaces: [{ mode: 'none' }] });
  const client = clientOf(key);
  expect((await client.lookup('s1')).status).toBe('FOUND');
  await stage.stopGateway();
  expect((await clientOf(key, GATEWAY_IPV4, 300).lookup('s1')).status).toBe('UNREACHABLE');
});
