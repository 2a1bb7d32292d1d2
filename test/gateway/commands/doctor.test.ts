/** `gateway doctor` as its own process, on a real Redis. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { findingsText } from '../../../src/gateway/commands/doctor.ts';
import { type Finding, finding, ok } from '../../../src/gateway/doctor/finding.ts';
import { installLibrary } from '../../../src/sync/redis/functions.ts';
import { addBackends, functionsOf } from '../../sync/harness.ts';
import { RedisServer } from '../../sync/redis-server.ts';
import { gateway } from '../support/command.ts';

const folder = mkdtempSync(join(tmpdir(), 'doctor-'));
const config = join(folder, 'gateway.yaml');
const keys = join(folder, 'keys.yaml');
const control = { socket: join(folder, 'gateway.sock') };
const PINS = `/sys/fs/bpf/doctor-${process.pid}`;
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
): Promise<{ status: number | null; stderr: string; findings: Map<string, Finding> }> {
  const all = { listen: { interfaces: ['lo'] }, pins: PINS, keys, control, redis: { url: server.url }, ...settings };
  writeFileSync(config, JSON.stringify(all));
  const { status, stdout, stderr } = await gateway(['doctor', '--json', '-c', config, ...args]);
  expect(stdout + stderr).not.toContain(SECRET);
  const { findings } = JSON.parse(stdout) as { findings: Finding[] };
  return { status, stderr, findings: new Map(findings.map((one) => [one.name, one])) };
}

const NOTIFICATIONS = { feed: { from: 'notifications' } };
const eventsOf = async (): Promise<string | undefined> =>
  ((await redis.config('GET', 'notify-keyspace-events')) as string[])[1];

test('where all is well, nothing fails', async () => {
  await addBackends(redis, 1);
  await functionsOf(redis).sessionSet('s1', 'web-1', 60_000);
  const { status, stderr, findings } = await doctor();
  expect([...findings.values()].filter(({ level }) => level === 'problem')).toEqual([]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(Object.fromEntries([...findings].map(([name, { level }]) => [name, level]))).toMatchObject({
    kernel: 'ok',
    capabilities: 'ok',
    configuration: 'ok',
    'key file': 'ok',
    'interface lo': 'ok',
    daemon: 'warning',
    backends: 'ok',
    'redis rights': 'ok',
    'redis feed': 'ok',
    'redis persistence': 'warning',
    'redis replicas': 'note',
    redis: 'ok',
    'redis role': 'ok',
    'redis memory': 'ok',
    'redis clock': 'ok',
    'redis functions': 'ok',
  });
  expect(findings.has('redis notifications')).toBe(false);
});

describe('notifications', () => {
  test('that Redis does not send fail, and are not set unless that is asked for', async () => {
    await redis.config('SET', 'notify-keyspace-events', 'Ex');
    const { status, findings } = await doctor(NOTIFICATIONS);
    expect(status).toBe(1);
    expect(findings.get('redis notifications')).toMatchObject({
      code: 'notifications-missing',
      found: 'notify-keyspace-events "xE", without Kg$hze',
      remedy: expect.stringContaining('notify-keyspace-events xEKg$hze into redis.conf'),
    });
    expect(await eventsOf()).toBe('xE');
  });

  test('are added to what is there when that is asked for', async () => {
    await redis.config('SET', 'notify-keyspace-events', 'Exl');
    const { status, findings } = await doctor(NOTIFICATIONS, '--set-notifications');
    expect(status).toBe(0);
    expect(findings.get('redis notifications')?.level).toBe('ok');
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
    const { status, findings } = await doctor({ ...NOTIFICATIONS, redis: access });
    expect(findings.get('redis notifications')).toMatchObject({
      level: 'warning',
      found: expect.stringContaining('CONFIG'),
    });
    expect(findings.get('redis')).toMatchObject({ level: 'warning', found: expect.stringContaining('INFO') });
    expect(status).toBe(0);
  });
});

test('an eviction of sessions, and functions that are not there, are a warning', async () => {
  await redis.config('SET', 'maxmemory', '1gb', 'maxmemory-policy', 'volatile-lru');
  const { status, findings } = await doctor();
  expect(status).toBe(0);
  expect(findings.get('redis memory')).toMatchObject({ level: 'warning', found: 'maxmemory 1073741824, volatile-lru' });
  expect(findings.get('redis functions')).toMatchObject({ level: 'warning', remedy: 'run: gateway redis install' });
});

test('a replica is a warning', async () => {
  await redis.replicaof('127.0.0.1', 1);
  const { findings } = await doctor();
  await redis.replicaof('NO', 'ONE');
  expect(findings.get('redis role')).toMatchObject({ level: 'warning', found: 'slave' });
});

test('a password that everybody can read is named, in whichever file it is', async () => {
  const passwordFile = join(folder, 'password');
  writeFileSync(passwordFile, 'pw\n', { mode: 0o644 });
  chmodSync(passwordFile, 0o644);
  const found = async (redis: object): Promise<Finding | undefined> =>
    (await doctor({ redis })).findings.get('configuration');
  const inFile = { url: server.url, passwordFile };
  expect(await found(inFile)).toMatchObject({
    level: 'warning',
    remedy: expect.stringContaining(`run: chmod o= ${passwordFile}`),
  });
  chmodSync(passwordFile, 0o640);
  expect(await found(inFile)).toMatchObject({ level: 'ok' });
  chmodSync(config, 0o644);
  const inUrl = await found({ url: 'redis://:pw@127.0.0.1:1' });
  expect(inUrl).toMatchObject({ level: 'warning' });
  expect(inUrl?.remedy).toContain('redis.passwordFile');
});

test('what the daemon could not start with fails', async () => {
  chmodSync(keys, 0o644);
  const { status, findings } = await doctor({
    listen: { interfaces: ['lo', 'sgwnone0'] },
    pins: folder,
    redis: { url: `unix://${join(folder, 'nobody.sock')}` },
  });
  expect(status).toBe(1);
  const failed = [...findings.values()].filter(({ level }) => level === 'problem');
  expect(failed.map(({ name }) => name)).toEqual(['key file', 'BPF file system', 'interface sgwnone0', 'redis']);
  for (const { why, remedy } of failed) expect(why && remedy).toBeTruthy();
});

test('a configuration that is wrong ends it with exit status 2', async () => {
  writeFileSync(config, 'listen: 7');
  expect(await gateway(['doctor', '-c', config])).toMatchObject({ status: 2, stdout: '' });
});

test('rights that the daemon needs and this user lacks are named', async () => {
  await redis.call('ACL', 'SETUSER', 'blind', 'on', '>pass', '~*', '&*', '+@all', '-hget', '-zscan');
  const passwordFile = join(folder, 'password');
  writeFileSync(passwordFile, 'pass', { mode: 0o600 });
  chmodSync(passwordFile, 0o600);
  const { status, findings } = await doctor({ redis: { url: server.url, username: 'blind', passwordFile } });
  expect(status).toBe(1);
  expect(findings.get('redis rights')).toMatchObject({
    code: 'redis-rights-missing',
    found: 'Redis refuses HGET, ZSCAN, or the keys that they read',
  });
});

describe('a user with the documented rights', () => {
  /** @param comments of the lines of docs/redis.md that it has beside the first */
  async function doctorAs(comments: string[] = [], settings: object = {}): Promise<Map<string, Finding>> {
    const document = readFileSync(new URL('../../../docs/redis.md', import.meta.url), 'utf8');
    const [, section = ''] = document.split('## Access control');
    const rights = ['', ...comments.map((comment) => `# ${comment}\n`)].map((before) => {
      const [, line] = /^ACL SETUSER gateway (.+)$/m.exec(section.slice(section.indexOf(before))) ?? [];
      return line?.split(' ') ?? [];
    });
    await redis.call('ACL', 'SETUSER', 'small', 'reset', ...rights.flat());
    const passwordFile = join(folder, 'password');
    writeFileSync(passwordFile, 'PASSWORD', { mode: 0o600 });
    chmodSync(passwordFile, 0o600);
    return (await doctor({ redis: { url: server.url, username: 'small', passwordFile }, ...settings })).findings;
  }

  test('is refused nothing that the daemon needs', async () => {
    const findings = await doctorAs();
    expect(findings.get('redis rights')?.level).toBe('ok');
    // What it may not ask for is said, and is no problem.
    for (const name of ['redis clock', 'redis functions', 'backends'])
      expect(findings.get(name)?.level).toMatch(/note|warning/);
    expect(findings.get('redis persistence')?.code).toBe('redis-persistence-unknown');
  });

  test('may look at everything, with those that doctor needs besides', async () => {
    await addBackends(redis, 1);
    await installLibrary(redis);
    const findings = await doctorAs(['all that gateway doctor looks at']);
    for (const name of ['redis rights', 'redis clock', 'redis functions', 'backends'])
      expect(findings.get(name)).toMatchObject({ level: 'ok' });
    expect(findings.get('redis persistence')?.code).toBe('redis-not-persistent');
  });

  test('needs one more where misses are asked about', async () => {
    const asking = { sessions: { onMiss: 'ask-redis' } };
    expect((await doctorAs([], asking)).get('redis rights')).toMatchObject({
      code: 'redis-rights-missing',
      found: 'Redis refuses XREVRANGE, or the keys that they read',
    });
    const findings = await doctorAs(['sessions.onMiss: ask-redis, with a feed'], asking);
    expect(findings.get('redis rights')?.level).toBe('ok');
  });
});

test('a feed that is another thing, and one that nobody has made', async () => {
  await redis.del('sessions:feed');
  expect((await doctor()).findings.get('redis feed')?.code).toBe('feed-missing');
  await redis.set('sessions:feed', 'x');
  expect((await doctor()).findings.get('redis feed')?.code).toBe('feed-not-a-stream');
  await redis.del('sessions:feed');
});

test('a Redis that says nothing is not waited for', async () => {
  server.pause();
  try {
    expect((await doctor()).findings.get('redis')).toMatchObject({ code: 'redis-unreachable' });
  } finally {
    server.resume();
  }
});

test('for people', () => {
  const findings = [
    ok('kernel', '6.1'),
    finding('daemon-away', 'daemon', 'silent'),
    finding('redis-unreachable', 'a', 'b\u001b'),
  ];
  expect(findingsText(findings, 120)).toBe(
    [
      'ok       kernel  6.1',
      'WARNING  daemon  silent',
      '         nothing follows Redis: what the kernel holds, if it holds anything, grows old',
      '         To do: start it with: gateway run [daemon-away]',
      'PROBLEM  a       b\\u001b',
      '         the gateway goes on answering from what it holds, and that grows old',
      '         To do: see that it runs, and that redis.url, user, password and TLS are right [redis-unreachable]',
      '',
      '1 problem, 1 warning, 0 notes, 1 ok',
    ].join('\n'),
  );
});
