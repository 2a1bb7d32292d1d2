/** What the XDP program leaves to the host is answered by the daemon, from the same maps, and no better than the program would. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openBatchReply } from '../../src/auth/batch.ts';
import { cookieHash } from '../../src/auth/cookie.ts';
import type { Key } from '../../src/auth/keyring.ts';
import { openLookupReply } from '../../src/auth/lookup.ts';
import { encodeBatchRequest, encodeLookupRequest } from '../../src/auth/request.ts';
import { askDaemon } from '../../src/gateway/control/client.ts';
import { GATEWAY_IPV4, GATEWAY_IPV6 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import type { Status } from '../../src/gateway/ports.ts';
import { OptionSocket, SOCKET_OPTION } from './option-socket.ts';
import { until } from './until.ts';

const WAIT_MS = 60_000;
const FEED = 'sessions:feed';
const SESSIONS = ['on-1', 'on-2', 'moved', 'denied', 'nobody'];

let stage: Stage;
let redis: Redis;
let key: Key;

const status = (): Promise<Status> =>
  askDaemon(join(stage.directory, 'gateway.sock'), { method: 'GET', path: '/v1/status' }) as Promise<Status>;

beforeAll(async () => {
  stage = new Stage({ name: `sgw-slow-${process.pid}` });
  const [made] = stage.writeKeys([randomKey(1)]);
  if (made === undefined) throw new Error('no key');
  key = made;
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  await stage.command('redis', 'install');
  const patch = (name: string, fields: string) =>
    redis.fcall('backend_patch', 2, 'gateway:backends', FEED, name, fields);
  await patch('app-1', '{"id":1,"address":"10.1.0.1:8080"}');
  await patch('app-2', '{"id":2,"address":"[fd00::7]:9090"}');
  await patch('app-3', '{"id":3,"address":"10.1.0.3:8080","state":"draining"}');
  const set = (sid: string, backend: string) =>
    redis.fcall('session_set', 2, `sess:${sid}`, FEED, sid, backend, 3_600_000);
  await set('on-1', 'app-1');
  await set('on-2', 'app-2');
  await set('moved', 'app-3');
  const hash = cookieHash('denied');
  await redis.fcall('session_deny', 2, 'gateway:denied', FEED, Buffer.from(hash).toString('hex'), Date.now() + 1e7);
  await stage.startGateway();
  await until(async () => (await status()).sessions === 3, WAIT_MS);
}, WAIT_MS);

afterAll(async () => {
  redis?.disconnect();
  await stage?.close();
});

/** Of the reply, what doesn't depend on when it was asked. */
function lookup(socket: OptionSocket, sid: string): object {
  const sent = encodeLookupRequest(key, cookieHash(sid), Date.now(), randomBytes(8));
  socket.send(sent.bytes);
  const bytes = socket.receive();
  if (bytes === undefined) throw new Error(`no answer for ${sid}`);
  const opened = openLookupReply(sent, bytes);
  if (!opened.ok) throw new Error(`a reply that can't be opened for ${sid}`);
  const { timeMs: _time, ageMs: _age, ttlS: _ttl, ...rest } = opened.reply;
  return rest;
}

function withSocket<T>(host: string, use: (socket: OptionSocket) => T): T {
  const socket = new OptionSocket(host, stage.port, WAIT_MS);
  try {
    return use(socket);
  } finally {
    socket.close();
  }
}

const NO_OPERATION = Uint8Array.of(1, 1, 1, 0);
const RECORD_ROUTE = Uint8Array.of(7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0);
/** 8 bytes: next header and length are the kernel's to fill, then PadN. */
const PADDING = Uint8Array.of(0, 0, 1, 4, 0, 0, 0, 0);

test.each([
  ['IPv4 options', GATEWAY_IPV4, SOCKET_OPTION.ipv4Options, NO_OPERATION],
  ['IPv4, the route recorded', GATEWAY_IPV4, SOCKET_OPTION.ipv4Options, RECORD_ROUTE],
  ['IPv6 hop-by-hop options', GATEWAY_IPV6, SOCKET_OPTION.ipv6HopByHop, PADDING],
  ['IPv6 destination options', GATEWAY_IPV6, SOCKET_OPTION.ipv6Destination, PADDING],
] as const)('%s: the same answers as without', async (_what, host, option, value) => {
  const before = await status();
  const plain = withSocket(host, (socket) => SESSIONS.map((sid) => lookup(socket, sid)));
  const answers = withSocket(host, (socket) => {
    socket.set(option, value);
    return SESSIONS.map((sid) => lookup(socket, sid));
  });
  expect(answers).toEqual(plain);
  const after = await status();
  expect(after.packets.PASS_SLOW_PATH - before.packets.PASS_SLOW_PATH).toBe(SESSIONS.length);
  const answered = (of: Status) => of.responder?.REPLY_FOUND ?? 0;
  expect(answered(after) - answered(before)).toBe(2);
});

test('fragments: a batch is put together by the host and answered whole', async () => {
  const device = stage.network.clientInterface;
  const hashes = Array.from({ length: 64 }, (_, i) => cookieHash(i % 2 === 0 ? 'on-1' : 'moved'));
  const ask = (socket: OptionSocket) => {
    const sent = encodeBatchRequest(key, hashes, Date.now(), randomBytes(8));
    socket.send(sent.bytes);
    const bytes = socket.receive();
    const opened = bytes && openBatchReply(sent, bytes);
    if (!opened?.ok) throw new Error('no answer');
    return opened.reply.entries.map(({ status, flags, backendId, version }) => ({ status, flags, backendId, version }));
  };
  const plain = withSocket(GATEWAY_IPV4, ask);
  const route = [`${GATEWAY_IPV4}/32`, 'dev', device];
  stage.network.clientIp('route', 'add', ...route, 'mtu', '576');
  try {
    const fragmented = withSocket(GATEWAY_IPV4, (socket) => {
      socket.set(SOCKET_OPTION.ipv4Discover, Uint8Array.of(0, 0, 0, 0));
      return ask(socket);
    });
    expect(fragmented).toEqual(plain);
  } finally {
    stage.network.clientIp('route', 'del', ...route);
  }
});

test('silence for what is not authentic, and nothing is sent that is longer than what was asked', async () => {
  const before = await status();
  withSocket(GATEWAY_IPV4, (socket) => {
    socket.set(SOCKET_OPTION.ipv4Options, NO_OPERATION);
    const good = encodeLookupRequest(key, cookieHash('on-1'), Date.now(), randomBytes(8)).bytes;
    for (let at = 0; at < 80; at++) {
      const forged = good.slice();
      forged[at] = (forged[at] ?? 0) ^ (1 << (at % 8));
      socket.send(forged);
    }
    for (let length = 0; length < 300; length++) socket.send(randomBytes(length));
    socket.send(good);
    const answer = socket.receive();
    expect(answer).toHaveLength(80);
    expect(answer?.subarray(16, 24)).toEqual(good.subarray(16, 24));
  });
  const after = await status();
  const counts = (of: Status) => Object.entries(of.responder ?? {});
  const moved = new Map(counts(after).map(([name, count], i) => [name, count - (counts(before)[i]?.[1] ?? 0)]));
  expect([...moved].filter(([name, count]) => name.startsWith('REPLY') && count > 0)).toEqual([['REPLY_FOUND', 1]]);
  expect([...moved.values()].reduce((sum, count) => sum + count, 0)).toBe(381);
});
