import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cookieHash } from '../../src/auth/cookie.ts';
import { parseConfig } from '../../src/gateway/config.ts';
import { RedisDirectory } from '../../src/gateway/directory.ts';
import { redisAccess } from '../../src/gateway/redis-access.ts';
import { until } from '../sync/harness.ts';
import { RedisServer } from '../sync/redis-server.ts';

const WEB_1 = { id: 1, address: '10.0.0.11:8080' };

let server: RedisServer;
let redis: Redis;
let directory: RedisDirectory;

function open(settings: object = {}): RedisDirectory {
  const config = parseConfig(JSON.stringify({ redis: { url: server.url }, ...settings }), '/etc/gateway.yaml');
  return new RedisDirectory(config, redisAccess(config));
}

beforeAll(async () => {
  server = await RedisServer.start();
  redis = server.client();
});
afterAll(async () => {
  await server?.stop();
});
beforeEach(async () => {
  await redis.flushall();
  await redis.call('FUNCTION', 'FLUSH');
  directory = open();
});
afterEach(() => directory.close());

describe('backends', () => {
  test('are made, changed and listed; the function library is installed on the way', async () => {
    expect(await directory.patchBackend('web-1', WEB_1)).toEqual({
      name: 'web-1',
      ...WEB_1,
      state: 'active',
      weight: 100,
      shed: 0,
    });
    await directory.patchBackend('web-2', { id: 2, address: '[2001:db8::2]:80', weight: 7 });
    await directory.patchBackend('web-1', { state: 'draining' });
    expect(await directory.backends()).toEqual({
      backends: [
        { name: 'web-1', ...WEB_1, state: 'draining', weight: 100, shed: 0 },
        { name: 'web-2', id: 2, address: '[2001:db8::2]:80', state: 'active', weight: 7, shed: 0 },
      ],
      faults: [],
    });
    expect(await redis.xlen('sessions:feed')).toBe(3);
  });

  test.each([
    ['web-1', { id: 2 }, /id: found 2.*1/],
    ['web-9', { id: 1, address: '10.0.0.9:80' }, /id: found 1.*web-1/],
    ['web-9', { id: 9 }, /address: found nothing/],
    ['web-9', { id: 9, address: 'localhost:80' }, /address: found/],
    ['a\nb', { id: 9, address: '10.0.0.9:80' }, /control character/],
  ])('%j with %j is refused in the words of the library', async (name, fields, message) => {
    await directory.patchBackend('web-1', WEB_1);
    await expect(directory.patchBackend(name, fields)).rejects.toMatchObject({
      code: 'BACKEND_REFUSED',
      httpStatus: 422,
      message: expect.stringMatching(message),
    });
  });

  test('one that there is not: the names that there are, and nothing is changed', async () => {
    const unknown = (there: string) => ({
      code: 'BACKEND_UNKNOWN',
      httpStatus: 404,
      message: `there is no backend "web-9"; there ${there}`,
    });
    await expect(directory.patchBackend('web-9', { state: 'draining' })).rejects.toMatchObject(
      unknown('are none: add one with "gateway backend set"'),
    );
    await directory.patchBackend('web-1', WEB_1);
    await expect(directory.patchBackend('web-9', { shed: 5 })).rejects.toMatchObject(unknown('is "web-1"'));
    await directory.patchBackend('web-2', { id: 2, address: '10.0.0.12:8080' });
    await expect(directory.removeBackend('web-9')).rejects.toMatchObject(unknown('are "web-1", "web-2"'));
    // Its id is on record, and it is no backend all the same.
    await directory.removeBackend('web-2');
    await expect(directory.patchBackend('web-2', { state: 'active' })).rejects.toMatchObject({
      code: 'BACKEND_UNKNOWN',
    });
    expect(await redis.hkeys('gateway:backends')).toEqual(['web-1']);
  });

  test('a fact is read with the version of its own value, also where it is set between two commands of a reading', async () => {
    const other = open();
    const versions = new Map<string | null, string | null>();
    const set = async (): Promise<void> => {
      const { value, version } = await other.setFact('epoch', String(versions.size));
      versions.set(value, version);
    };
    await set();
    // Each reading goes on when what it asked for first has been answered, and the fact was set again.
    const socket = join(server.directory, 'proxy.sock');
    const proxy = createServer(async (client) => {
      const to = connect(server.socket);
      client.on('close', () => to.destroy()).on('error', () => undefined);
      to.pipe(client);
      for await (const chunk of client) {
        for (const part of String(chunk).split(/(?=\*3\r\n\$4\r\nHGET)/)) {
          const answered = once(to, 'data');
          to.write(part);
          if (!part.includes('HGET') || versions.size > 4) continue;
          await answered;
          await set();
        }
      }
    });
    await new Promise<void>((resolve) => proxy.listen(socket, resolve));
    const between = open({ redis: { url: `unix://${socket}` } });
    try {
      const { value, version } = await between.fact('epoch');
      expect(version).toBe(versions.get(value));
      expect(versions.size).toBe(5);
    } finally {
      await Promise.all([between.close(), other.close()]);
      proxy.close();
    }
  });

  test('another library with the same functions is told of, and nothing is changed', async () => {
    const foreign =
      "#!lua name=other\nredis.register_function('backend_patch', function() return {1, '0-1', '{}'} end)";
    await redis.call('FUNCTION', 'LOAD', foreign);
    await expect(directory.patchBackend('web-1', WEB_1)).rejects.toMatchObject({
      code: 'REDIS_REFUSED',
      message: expect.stringMatching(/Function backend_patch already exists/),
    });
    expect(await redis.dbsize()).toBe(0);
  });

  test('a call that is not answered may have been carried out, which is said', async () => {
    await directory.patchBackend('web-1', WEB_1);
    await redis.client('PAUSE', 60_000, 'WRITE');
    const patching = directory.patchBackend('web-1', { weight: 5 }).catch((error: unknown) => error);
    const waiting = async () => {
      const clients = String(await redis.client('LIST')).split('\n');
      return clients.find((line) => line.includes('cmd=fcall') && line.includes('session-gateway-directory'));
    };
    await until('the call waits in Redis', async () => (await waiting()) !== undefined);
    await redis.client('KILL', 'ID', /\bid=(\d+)/.exec((await waiting()) ?? '')?.[1] ?? '');
    await redis.client('UNPAUSE');
    expect(await patching).toMatchObject({
      code: 'REDIS_UNREACHABLE',
      message: expect.stringMatching(/FCALL: .*\(the change may have been made all the same\)/),
    });
  });

  test('many names are not all told', async () => {
    for (let i = 0; i < 25; i++) await redis.hset('gateway:backends', `b${String(i).padStart(2, '0')}`, '{}');
    await expect(directory.removeBackend('x')).rejects.toMatchObject({
      message: expect.stringMatching(/there are "b00", .*"b19" and 5 more$/),
    });
  });

  test.each([
    [
      'web-2',
      { id: 2, address: '10.0.0.11:8080' },
      /address: found 10\.0\.0\.11:8080, which is the address of "web-1"/,
    ],
    ['web-1', { weight: 0 }, /weight: found 0 for all backends/],
    ['web-1', { shed: 10_001 }, /shed: found "10001", allowed: an integer from 0 to 10000/],
  ])('%j with %j is refused, and nothing is changed', async (name, fields, message) => {
    await directory.patchBackend('web-1', WEB_1);
    const before = await redis.hgetall('gateway:backends');
    await expect(directory.patchBackend(name, fields)).rejects.toMatchObject({
      code: 'BACKEND_REFUSED',
      message: expect.stringMatching(message),
    });
    expect(await redis.hgetall('gateway:backends')).toEqual(before);
  });

  test('in use are not removed, unless that is said', async () => {
    await directory.patchBackend('web-1', WEB_1);
    for (let i = 0; i < 600; i++) await redis.hset(`sess:${i}`, 'backend', 'web-2');
    await redis.hset('sess:last', 'backend', 'web-1');
    await redis.set('sess:text', 'web-1');
    const inUse = { code: 'BACKEND_IN_USE', httpStatus: 409, message: expect.stringContaining('gateway settle') };
    await expect(directory.removeBackend('web-1')).rejects.toMatchObject(inUse);
    // Not enough time to look at all of them.
    await redis.del('sess:last');
    await expect(directory.removeBackend('web-1', { withinMs: -1 })).rejects.toMatchObject({
      code: 'BACKEND_IN_USE',
      message: expect.stringContaining('found no time'),
    });
    expect(await redis.hkeys('gateway:backends')).toEqual(['web-1']);
    await directory.removeBackend('web-1');
    await directory.patchBackend('web-1', WEB_1);
    await redis.hset('sess:last', 'backend', 'web-1');
    await directory.removeBackend('web-1', { force: true });
    expect(await redis.hkeys('gateway:backends')).toEqual([]);
  });

  test('in use are found in every form of session', async () => {
    const other = open({ sessions: { backend: { in: 'json', path: 'backend' } } });
    await other.patchBackend('web-1', WEB_1);
    await redis.set('sess:s1', '{"backend":"web-1"}');
    await expect(other.removeBackend('web-1')).rejects.toMatchObject({ code: 'BACKEND_IN_USE' });
    await other.close();
  });

  test('entries that are wrong are told beside those that are right', async () => {
    await directory.patchBackend('web-1', WEB_1);
    await redis.hset('gateway:backends', 'web-2', '{"id":70000}', 'web-3', 'no');
    const { backends, faults } = await directory.backends();
    expect(backends.map(({ name }) => name)).toEqual(['web-1']);
    expect(faults.map(({ name }) => name).sort()).toEqual(['web-2', 'web-3']);
  });

  test('removal, once', async () => {
    await directory.patchBackend('web-1', WEB_1);
    await directory.removeBackend('web-1');
    expect((await directory.backends()).backends).toEqual([]);
    await expect(directory.removeBackend('web-1')).rejects.toMatchObject({ code: 'BACKEND_UNKNOWN', httpStatus: 404 });
  });
});

describe('sessions', () => {
  test('are written, read and ended', async () => {
    expect(await directory.session('s1')).toBeNull();
    await directory.setSession('s1', 'web-1', 60_000);
    const session = await directory.session('s1');
    expect(session).toEqual({ backend: 'web-1', ttlMs: expect.any(Number) });
    expect(session?.ttlMs).toBeLessThanOrEqual(60_000);
    await directory.removeSession('s1');
    expect(await redis.exists('sess:s1')).toBe(0);
    await expect(directory.removeSession('s1')).rejects.toMatchObject({ code: 'SESSION_UNKNOWN', httpStatus: 404 });
  });

  test('what is no session, and one that never expires', async () => {
    await redis.set('sess:text', 'x');
    await redis.hset('sess:other', 'x', 'y');
    await redis.hset('sess:ever', 'backend', 'web-1');
    expect(await directory.session('text')).toEqual({ backend: null, ttlMs: null });
    expect(await directory.session('other')).toEqual({ backend: null, ttlMs: null });
    expect(await directory.session('ever')).toEqual({ backend: 'web-1', ttlMs: null });
  });

  test('a refusal does not repeat the session id', async () => {
    await redis.set('sess:SENTINEL', 'x');
    const refused = directory.setSession('SENTINEL', 'web-1', 60_000);
    await expect(refused).rejects.toMatchObject({ code: 'SESSION_REFUSED', httpStatus: 422 });
    await expect(refused).rejects.not.toMatchObject({ message: expect.stringContaining('SENTINEL') });
  });

  test('are not written where they would not be read', async () => {
    const other = open({ sessions: { backend: { in: 'hash', field: 'node' } } });
    expect(() => other.setSession('s1', 'web-1', 60_000)).toThrow(expect.objectContaining({ code: 'SESSION_REFUSED' }));
    await redis.hset('sess:s1', 'node', 'web-2', 'backend', 'web-1');
    expect(await other.session('s1')).toEqual({ backend: 'web-2', ttlMs: null });
    await other.close();
  });

  test.each([
    [{ in: 'json', path: 'route.backend' }, '{"route":{"backend":"web-2"},"cookie":{}}', 'web-2'],
    [{ in: 'json', path: 'routes.1' }, '{"routes":["web-1","web-2"]}', 'web-2'],
    [{ in: 'json', path: '__proto__.backend' }, '{"route":{"backend":"web-2"}}', null],
    [{ in: 'json', path: 'backend' }, 'not JSON', null],
    [{ in: 'json', path: 'backend' }, `{"backend":"web-1","fill":"${'x'.repeat(65_536)}"}`, null],
    [{ in: 'value' }, 'web-2', 'web-2'],
    [{ in: 'value' }, 'x'.repeat(257), null],
  ])('in the form %j are read, and never changed', async (backend, text, name) => {
    const other = open({ sessions: { backend } });
    await redis.set('sess:s1', text);
    expect(await other.session('s1')).toEqual({ backend: name, ttlMs: null });
    expect(await other.session('s2')).toBeNull();
    const refused = expect.objectContaining({
      code: 'SESSION_REFUSED',
      message: expect.stringContaining('belong to their application'),
    });
    expect(() => other.setSession('s1', 'web-1', 60_000)).toThrow(refused);
    expect(() => other.removeSession('s1')).toThrow(refused);
    expect(await redis.get('sess:s1')).toBe(text);
    await other.close();
  });

  test('prefix, feed and names are those of the configuration', async () => {
    const other = open({
      redis: { url: server.url, names: 'gw:' },
      sessions: { prefix: 'route:' },
      feed: { stream: 'routes' },
    });
    await other.setSession('s1', 'web-1', 60_000);
    await other.patchBackend('web-1', WEB_1);
    expect((await redis.keys('*')).sort()).toEqual(['gw:backend-ids', 'gw:backends', 'route:s1', 'routes']);
    await other.close();
  });
});

describe('a session that is moved', () => {
  beforeEach(async () => {
    await directory.patchBackend('web-1', WEB_1);
    await directory.patchBackend('web-2', { id: 2, address: '10.0.0.12:8080' });
    await directory.setSession('s1', 'web-1', 60_000);
  });

  test('keeps its end', async () => {
    const end = await redis.call('PEXPIRETIME', 'sess:s1');
    expect(await directory.moveSession('s1', 'web-2')).toEqual({ from: 'web-1' });
    expect(await redis.hget('sess:s1', 'backend')).toBe('web-2');
    expect(await redis.call('PEXPIRETIME', 'sess:s1')).toBe(end);
    // Where it is already, nothing is written.
    const entries = await redis.xlen('sessions:feed');
    expect(await directory.moveSession('s1', 'web-2')).toEqual({ from: 'web-2' });
    expect(await redis.xlen('sessions:feed')).toBe(entries);
  });

  test('must be there, and so must the backend', async () => {
    await expect(directory.moveSession('s2', 'web-2')).rejects.toMatchObject({ code: 'SESSION_UNKNOWN' });
    await expect(directory.moveSession('s1', 'web-9')).rejects.toMatchObject({
      code: 'BACKEND_UNKNOWN',
      message: expect.stringContaining('"web-1", "web-2"'),
    });
    await redis.hset('sess:s3', 'user', 'u');
    await expect(directory.moveSession('s3', 'web-2')).rejects.toMatchObject({ code: 'SESSION_REFUSED' });
    expect(await redis.hgetall('sess:s1')).toEqual({ backend: 'web-1' });
  });

  test('is in hash form: others are neither moved nor settled, with that reason; drain and shed work', async () => {
    for (const backend of [{ in: 'json', path: 'backend' }, { in: 'value' }]) {
      const other = open({ sessions: { backend } });
      const refused = { code: 'SESSION_REFUSED', message: expect.stringContaining('belong to their application') };
      const options = { rate: 1_000, dryRun: false, signal: new AbortController().signal };
      await expect((async () => other.moveSession('s1', 'web-2'))()).rejects.toMatchObject(refused);
      await expect(other.settle('web-1', options)).rejects.toMatchObject(refused);
      expect(await other.patchBackend('web-1', { state: 'draining', shed: 30 })).toMatchObject({ state: 'draining' });
      await other.close();
    }
  });

  test('is settled', async () => {
    await directory.patchBackend('web-1', { state: 'draining' });
    const options = { rate: 1_000, dryRun: false, signal: new AbortController().signal };
    expect(await directory.settle('web-1', options)).toEqual({
      moved: 1,
      targets: { 'web-2': 1 },
      staying: 0,
      changed: 0,
      complete: true,
    });
    expect(await redis.hget('sess:s1', 'backend')).toBe('web-2');
    await directory.removeBackend('web-1');
  });
});

describe('a session that is denied', () => {
  test('is known by its hash alone', async () => {
    await directory.denySession('SENTINEL', 253_402_300_799_999);
    const hash = Buffer.from(cookieHash('SENTINEL')).toString('hex');
    expect(await redis.zrange('gateway:denied', '0', '-1', 'WITHSCORES')).toEqual([hash, '253402300799999']);
    expect(JSON.stringify(await redis.xrange('sessions:feed', '-', '+'))).not.toContain('SENTINEL');
    await directory.denySession('SENTINEL', 0);
    expect(await redis.zcard('gateway:denied')).toBe(0);
  });

  test('need not be in a form that the gateway writes', async () => {
    const other = open({ sessions: { backend: { in: 'value' } } });
    await other.denySession('s1', 253_402_300_799_999);
    expect(await redis.zcard('gateway:denied')).toBe(1);
    await other.close();
  });
});

describe('facts', () => {
  test('are set, got and removed', async () => {
    const record = await directory.setFact('epoch', 'ü 7');
    expect(record).toEqual({
      name: 'epoch',
      value: 'ü 7',
      hex: 'c3bc2037',
      version: expect.stringMatching(/^\d+-\d+$/),
    });
    expect(await directory.fact('epoch')).toEqual(record);
    await directory.removeFact('epoch');
    const unknown = { code: 'FACT_UNKNOWN', httpStatus: 404 };
    await expect(directory.fact('epoch')).rejects.toMatchObject(unknown);
    await expect(directory.removeFact('epoch')).rejects.toMatchObject(unknown);
  });

  test('may be any bytes, and set by hand', async () => {
    await redis.hset('gateway:facts', 'epoch', Buffer.from('ff00', 'hex'));
    expect(await directory.fact('epoch')).toEqual({ name: 'epoch', value: null, hex: 'ff00', version: null });
  });

  test.each([
    ['epoch', 'x'.repeat(25), /value: found 25 bytes, allowed: 0 to 24/],
    ['epoch', 'ü'.repeat(13), /value: found 26 bytes, allowed: 0 to 24/],
    ['a\nb', '1', /control character/],
    ['x'.repeat(257), '1', /found 257 bytes, allowed: 1 to 256/],
  ])('%j = %j is refused with the limit', async (name, value, message) => {
    await expect(directory.setFact(name, value)).rejects.toMatchObject({
      code: 'FACT_REFUSED',
      httpStatus: 422,
      message: expect.stringMatching(message),
    });
    expect(await redis.keys('*')).toEqual([]);
  });
});

describe('the library', () => {
  test('takes the place of an older one before the first change', async () => {
    const older =
      "#!lua name=session_gateway\n-- version: 1\nredis.register_function('backend_patch', function() return {1} end)";
    await redis.call('FUNCTION', 'LOAD', older);
    await directory.patchBackend('web-1', WEB_1);
    expect(await redis.hkeys('gateway:backends')).toEqual(['web-1']);
  });

  test('is installed once', async () => {
    expect(await directory.installLibrary()).toBe('installed');
    expect(await directory.installLibrary()).toBe('current');
  });
});

describe('the connection', () => {
  test('is opened again after it was cut', async () => {
    await directory.backends();
    for (let i = 0; i < 2; i++) {
      await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      await expect
        .poll(() =>
          directory.backends().then(
            () => true,
            () => false,
          ),
        )
        .toBe(true);
    }
  });

  test('is one, however many ask at once', async () => {
    await Promise.all(Array.from({ length: 10 }, () => directory.backends()));
    const clients = String(await redis.call('CLIENT', 'LIST'));
    expect(clients.match(/name=session-gateway-directory/g)).toHaveLength(1);
  });

  test('that does not answer is given up in time, and the next one works', async () => {
    await directory.backends();
    server.pause();
    try {
      await expect(directory.backends()).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' });
    } finally {
      server.resume();
    }
    expect((await directory.backends()).backends).toEqual([]);
  });

  test('without Redis: where and why', async () => {
    const nowhere = open({ redis: { url: 'redis://:hunter2@127.0.0.1:1' } });
    const refused = nowhere.backends();
    await expect(refused).rejects.toMatchObject({
      code: 'REDIS_UNREACHABLE',
      message: expect.stringMatching(/redis:\/\/:\*\*\*@127\.0\.0\.1:1.*ECONNREFUSED/),
    });
    await expect(refused).rejects.not.toMatchObject({ message: expect.stringContaining('hunter2') });
    await nowhere.close();
  });

  test('a user who may do nothing is told so', async () => {
    await redis.call('ACL', 'SETUSER', 'reader', 'on', '>secret', '+ping', '+select', '+client', '+info');
    const folder = mkdtempSync(join(tmpdir(), 'password-'));
    writeFileSync(join(folder, 'password'), 'secret\n');
    const settings = { url: server.url, username: 'reader', passwordFile: join(folder, 'password') };
    const reader = open({ redis: settings });
    await expect(reader.backends()).rejects.toMatchObject({
      code: 'REDIS_REFUSED',
      message: expect.stringMatching(/NOPERM/),
    });
    await reader.close();
    writeFileSync(join(folder, 'password'), 'wrong');
    const wrong = open({ redis: settings });
    await expect(wrong.backends()).rejects.toMatchObject({
      code: 'REDIS_UNREACHABLE',
      message: expect.stringMatching(/WRONGPASS/),
    });
    await wrong.close();
    rmSync(folder, { recursive: true });
    await redis.call('ACL', 'DELUSER', 'reader');
  });
});

describe('the password file', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'password-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const access = () => redisAccess(parseConfig('redis: { passwordFile: pw }', join(folder, 'gateway.yaml')));

  test.each([
    ['secret', 'secret'],
    ['secret\n', 'secret'],
    ['secret\r\n', 'secret'],
    [' with space \n\n', ' with space \n'],
  ])('%j', (text, password) => {
    writeFileSync(join(folder, 'pw'), text);
    expect(access().password).toBe(password);
  });

  test.each([
    ['', /empty/],
    ['\n', /empty/],
    ['x'.repeat(5000), /4096/],
  ] as const)('%j is refused', (text, message) => {
    writeFileSync(join(folder, 'pw'), text);
    expect(access).toThrow(
      expect.objectContaining({ code: 'CONFIG_UNREADABLE', exitStatus: 2, message: expect.stringMatching(message) }),
    );
  });

  test('a file that is not there', () => {
    expect(access).toThrow(
      expect.objectContaining({ code: 'CONFIG_UNREADABLE', message: expect.stringMatching(/ENOENT/) }),
    );
  });
});
