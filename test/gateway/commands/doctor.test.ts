/** `gateway doctor` as its own process, on a real Redis; and its judgement of what a test machine can't be. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { checksText } from '../../../src/gateway/commands/doctor.ts';
import { type Check, fail, ok, warn } from '../../../src/gateway/doctor/check.ts';
import { checkBtf, checkCapabilities, checkKernel } from '../../../src/gateway/doctor/host.ts';
import { functionsOf } from '../../sync/harness.ts';
import { RedisServer } from '../../sync/redis-server.ts';
import { gateway } from '../support/command.ts';

const folder = mkdtempSync(join(tmpdir(), 'doctor-'));
const config = join(folder, 'gateway.yaml');
const keys = join(folder, 'keys.yaml');
const SECRET = 'ab'.repeat(32);
let server: RedisServer;
let redis: Redis;

beforeAll(async () => {
  server = await RedisServer.start();
  redis = server.client();
  const key = `keys: [{ id: 1, name: edge, suite: hmac-sha256, encrypt: false, secret: "${SECRET}" }]`;
  writeFileSync(keys, key, { mode: 0o600 });
});
afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true });
});
afterEach(async () => {
  chmodSync(keys, 0o600);
  await redis.config('SET', 'notify-keyspace-events', '', 'maxmemory', '0', 'maxmemory-policy', 'noeviction');
  await redis.call('FUNCTION', 'FLUSH');
});

async function doctor(
  settings: object = {},
  ...args: string[]
): Promise<{ status: number | null; stderr: string; checks: Map<string, Check> }> {
  const all = { listen: { interfaces: ['lo'] }, keys, redis: { url: server.url }, ...settings };
  writeFileSync(config, JSON.stringify(all));
  const { status, stdout, stderr } = await gateway(['doctor', '--json', '-c', config, ...args]);
  expect(stdout + stderr).not.toContain(SECRET);
  const { checks } = JSON.parse(stdout) as { checks: Check[] };
  return { status, stderr, checks: new Map(checks.map((check) => [check.name, check])) };
}

const NOTIFICATIONS = { feed: { from: 'notifications' } };
const eventsOf = async (): Promise<string | undefined> =>
  ((await redis.config('GET', 'notify-keyspace-events')) as string[])[1];

test('where all is well, nothing fails', async () => {
  await functionsOf(redis).sessionSet('s1', 'web-1', 60_000);
  const { status, stderr, checks } = await doctor();
  expect([...checks.values()].filter(({ result }) => result === 'fail')).toEqual([]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(Object.fromEntries([...checks].map(([name, { result }]) => [name, result]))).toMatchObject({
    kernel: 'ok',
    capabilities: 'ok',
    configuration: 'ok',
    'key file': 'ok',
    'interface lo': 'ok',
    daemon: 'warn',
    redis: 'ok',
    'redis role': 'ok',
    'redis memory': 'ok',
    'redis clock': 'ok',
    'redis functions': 'ok',
  });
  expect(checks.has('redis notifications')).toBe(false);
});

describe('notifications', () => {
  test('that Redis does not send fail, and are not set unless that is asked for', async () => {
    await redis.config('SET', 'notify-keyspace-events', 'Ex');
    const { status, checks } = await doctor(NOTIFICATIONS);
    expect(status).toBe(1);
    expect(checks.get('redis notifications')).toEqual({
      name: 'redis notifications',
      result: 'fail',
      found: 'notify-keyspace-events "xE", without Kg$hze',
      advice: expect.stringContaining('notify-keyspace-events xEKg$hze into redis.conf'),
    });
    expect(await eventsOf()).toBe('xE');
  });

  test('are added to what is there when that is asked for', async () => {
    await redis.config('SET', 'notify-keyspace-events', 'Exl');
    const { status, checks } = await doctor(NOTIFICATIONS, '--set-notifications');
    expect(status).toBe(0);
    expect(checks.get('redis notifications')?.result).toBe('ok');
    expect([...((await eventsOf()) ?? '')].sort().join('')).toBe([...'Exlg$hzKe'].sort().join(''));
  });

  test.each(['KEA', 'AK', 'Kg$hzxe', 'Kg$lshzxetd'])('%s is enough, and is left as it is', async (flags) => {
    await redis.config('SET', 'notify-keyspace-events', flags);
    const before = await eventsOf();
    const { status } = await doctor(NOTIFICATIONS, '--set-notifications');
    expect(status).toBe(0);
    expect(await eventsOf()).toBe(before);
  });

  test('that this user may not ask for are a warning', async () => {
    await redis.call('ACL', 'SETUSER', 'gateway', 'on', '>pass', '~*', '&*', '+@all', '-config', '-info');
    const passwordFile = join(folder, 'password');
    writeFileSync(passwordFile, 'pass', { mode: 0o600 });
    const access = { url: server.url, username: 'gateway', passwordFile };
    const { status, checks } = await doctor({ ...NOTIFICATIONS, redis: access });
    expect(checks.get('redis notifications')).toMatchObject({
      result: 'warn',
      found: expect.stringContaining('CONFIG'),
    });
    expect(checks.get('redis')).toMatchObject({ result: 'warn', found: expect.stringContaining('INFO') });
    expect(status).toBe(0);
  });
});

test('an eviction of sessions, and functions that are not there, are a warning', async () => {
  await redis.config('SET', 'maxmemory', '1gb', 'maxmemory-policy', 'allkeys-lru');
  const { status, checks } = await doctor();
  expect(status).toBe(0);
  expect(checks.get('redis memory')).toMatchObject({ result: 'warn', found: 'maxmemory 1073741824, allkeys-lru' });
  expect(checks.get('redis functions')).toMatchObject({ result: 'warn', advice: 'run: gateway redis install' });
});

test('a replica is a warning', async () => {
  await redis.replicaof('127.0.0.1', 1);
  const { checks } = await doctor();
  await redis.replicaof('NO', 'ONE');
  expect(checks.get('redis role')).toMatchObject({ result: 'warn', found: 'slave' });
});

test('a password that everybody can read is named, in whichever file it is', async () => {
  const passwordFile = join(folder, 'password');
  writeFileSync(passwordFile, 'pw\n', { mode: 0o644 });
  chmodSync(passwordFile, 0o644);
  const found = async (redis: object): Promise<Check | undefined> =>
    (await doctor({ redis })).checks.get('configuration');
  const inFile = { url: server.url, passwordFile };
  expect(await found(inFile)).toMatchObject({ result: 'warn', advice: `run: chmod o= ${passwordFile}` });
  chmodSync(passwordFile, 0o640);
  expect(await found(inFile)).toMatchObject({ result: 'ok' });
  chmodSync(config, 0o644);
  const inUrl = await found({ url: 'redis://:pw@127.0.0.1:1' });
  expect(inUrl).toMatchObject({ result: 'warn' });
  expect(inUrl?.advice).toContain('redis.passwordFile');
});

test('what the daemon could not start with fails', async () => {
  chmodSync(keys, 0o644);
  const { status, checks } = await doctor({
    listen: { interfaces: ['lo', 'sgwnone0'] },
    pins: folder,
    redis: { url: `unix://${join(folder, 'nobody.sock')}` },
  });
  expect(status).toBe(1);
  const failed = [...checks.values()].filter(({ result }) => result === 'fail');
  expect(failed.map(({ name }) => name)).toEqual(['bpf file system', 'key file', 'interface sgwnone0', 'redis']);
  for (const { advice } of failed) expect(advice).toBeTruthy();
});

test('a configuration that is wrong ends it with exit status 2', async () => {
  writeFileSync(config, 'listen: 7');
  expect(await gateway(['doctor', '-c', config])).toMatchObject({ status: 2, stdout: '' });
});

test.each([
  ['6.18.0-generic', 'ok'],
  ['5.15.0', 'ok'],
  ['5.14.21-150500', 'fail'],
  ['4.19.0', 'fail'],
  ['weird', 'fail'],
])('kernel %s: %s', (version, result) => {
  expect(checkKernel(version).result).toBe(result);
});

test('what is missing is named', () => {
  expect(checkBtf(true).result).toBe('ok');
  expect(checkBtf(false).result).toBe('warn');
  expect(checkCapabilities(['CAP_BPF'])).toMatchObject({ result: 'fail', found: 'without CAP_BPF' });
});

test('for people', () => {
  const checks = [ok('kernel', '6.1'), warn('daemon', 'silent', 'start it'), fail('a', 'b\u001b', 'c')];
  expect(checksText(checks)).toBe(
    'ok    kernel  6.1\nWARN  daemon  silent\n      start it\nFAIL  a       b\\u001b\n      c',
  );
});
