/** Commands that ask the daemon, and those that work in Redis, each as its own process. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cookieHash } from '../../../src/auth/cookie.ts';
import { parseKeyFile } from '../../../src/auth/key-file.ts';
import { askDaemon } from '../../../src/gateway/control/client.ts';
import { type ControlServer, startControl } from '../../../src/gateway/control/server.ts';
import { failure } from '../../../src/gateway/errors.ts';
import { createLogger } from '../../../src/gateway/log.ts';
import { RedisServer } from '../../sync/redis-server.ts';
import { FakeGateway, fakeStatus } from '../control/fake-gateway.ts';
import { GATEWAY, gateway } from '../support/command.ts';

const WEB_1 = { id: 1, address: '10.0.0.11:8080', state: 'active', weight: 100, shed: 0 } as const;

const folder = mkdtempSync(join(tmpdir(), 'commands-'));
const config = join(folder, 'gateway.yaml');
const fake = new FakeGateway();
let control: ControlServer;
let redis: RedisServer;

beforeAll(async () => {
  redis = await RedisServer.start();
  writeFileSync(config, JSON.stringify({ control: { socket: 'gateway.sock' }, redis: { url: redis.url } }));
  control = await startControl(join(folder, 'gateway.sock'), fake, createLogger('fatal'));
});
afterAll(async () => {
  await control?.close();
  await redis?.stop();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  fake.now = fakeStatus();
});

async function succeeded(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await gateway([...args, '-c', config]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}

describe('status', () => {
  test('--json is what the daemon says', async () => {
    expect(JSON.parse(await succeeded('status', '--json'))).toEqual(fakeStatus());
  });

  test('for people', async () => {
    const text = await succeeded('status');
    expect(text).toMatch(/^gateway +0\.1\.0, process 4711, up .*, ready$/m);
    expect(text).toMatch(/^sessions +12 of 1,000 \(1\.2 %\); 3 REFUSED/m);
    expect(text).toMatch(/^backends +2 known; UNKNOWN, but named by sessions: web-9 \(3 sessions\)/m);
    expect(text).toMatch(/^ {2}REPLY_FOUND +42$/m);
    expect(text).toMatch(/^latency +FOUND 640 ns \(99 %: 1,048,576 ns\)$/m);
    expect(text).not.toContain('DROP_GUARD');
  });

  test('a reader that goes away early is no failure', async () => {
    const script = '{ "$0" status --json -c "$1"; echo "status $?" >&2; } | true';
    const { stderr } = await gateway(['-c', script, GATEWAY, config], { executable: 'sh' });
    expect(stderr).toBe('status 0\n');
  });
});

describe('keys', () => {
  test('reload-keys', async () => {
    expect(await succeeded('reload-keys')).toBe('added    8 new\nchanged  7 edge: notAfter\n0 unchanged\n');
    expect(JSON.parse(await succeeded('reload-keys', '--json'))).toMatchObject({ added: [{ id: 8, name: 'new' }] });
  });

  test('a reload that is refused: exit 1, with the reason', async () => {
    fake.next = failure('KEY_ID_REUSED', { keys: ['key 7 (edge)'] });
    const { status, stdout, stderr } = await gateway(['reload-keys', '-c', config]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(
      /^gateway: DAEMON_REFUSED: the gateway refused \(KEY_ID_REUSED\): key 7 \(edge\): found another/,
    );
  });

  test('keys list', async () => {
    expect(await succeeded('keys', 'list')).toMatch(/^7 +edge +hmac-sha256 +no +- +2030-\S+Z +yes +21$/m);
    expect(JSON.parse(await succeeded('keys', 'list', '--json')).keys).toEqual(fakeStatus().keys);
  });

  test('keys new makes a key file, and then further entries for it', async () => {
    const file = join(folder, 'keys.yaml');
    const first = await succeeded('keys', 'new');
    writeFileSync(file, '', { mode: 0o600 });
    const again = await succeeded('keys', 'new');
    writeFileSync(file, again, { mode: 0o600 });
    writeFileSync(file, again + (await succeeded('keys', 'new', '--name', 'edge')), { mode: 0o600 });
    const ring = parseKeyFile(readFileSync(file, 'utf8'), file);
    expect(ring.toJSON().map(({ id, name }) => [id, name])).toEqual([
      [1, 'key-1'],
      [2, 'edge'],
    ]);
    expect(again).not.toBe(first);
    const json = JSON.parse(await succeeded('keys', 'new', '--json'));
    expect(json).toEqual({
      id: 3,
      name: 'key-3',
      suite: 'hmac-sha256',
      secret: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    rmSync(file);
  });

  test('keys new needs no configuration', async () => {
    const { status, stdout } = await gateway(['keys', 'new', '--id', '9'], { cwd: folder });
    expect(status).toBe(0);
    expect(stdout).toMatch(/^ {2}- id: 9$/m);
    expect((await gateway(['keys', 'new'], { cwd: '/' })).stdout).toMatch(/^keys:\n {2}- id: 1\n/);
  });
});

describe('in Redis, without a daemon', () => {
  test('redis install, twice', async () => {
    expect(await succeeded('redis', 'install')).toBe('the function library is installed\n');
    expect(JSON.parse(await succeeded('redis', 'install', '--json'))).toEqual({ result: 'current' });
  });

  test('backends are set, listed and removed', async () => {
    expect(await succeeded('backends')).toContain('there are no backends');
    await succeeded('backend', 'set', 'web-1', '--id', '1', '--address', '10.0.0.11:8080');
    expect(await succeeded('backend', 'set', 'web-1', '--weight', '7')).toMatch(
      /^web-1 +1 +10\.0\.0\.11:8080 +active +7 +0 %$/m,
    );
    expect(JSON.parse(await succeeded('backends', '--json'))).toEqual({
      backends: [{ name: 'web-1', ...WEB_1, weight: 7, share: 1, sessions: null, lookupsPerSecond: null }],
      faults: [],
    });
    const refused = await gateway([
      'backend',
      'set',
      'web-2',
      '--id',
      '1',
      '--address',
      '10.0.0.12:8080',
      '-c',
      config,
    ]);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/^gateway: BACKEND_REFUSED: backend "web-2": id: found 1/);
    expect(await succeeded('backend', 'remove', 'web-1')).toBe('web-1 is removed\n');
    const gone = await gateway(['backend', 'remove', 'web-1', '-c', config]);
    expect(gone).toMatchObject({ status: 1, stderr: expect.stringMatching(/^gateway: BACKEND_UNKNOWN: /) });
  });

  test('how much they are used is what the gateway on this machine says', async () => {
    await succeeded('backend', 'set', 'web-1', '--id', '1', '--address', '10.0.0.11:8080');
    fake.table.set('web-1', { name: 'web-1', ...WEB_1 });
    expect(await succeeded('backends')).toBe(
      'NAME   ID  ADDRESS         STATE   WEIGHT  SHED    SHARE  SESSIONS  LOOKUPS/S\n' +
        'web-1   1  10.0.0.11:8080  active     100   0 %  100.0 %     1,234          -\n',
    );
    fake.next = failure('REDIS_UNREACHABLE', { url: 'redis://h', reason: 'gone' });
    const text = await succeeded('backends');
    expect(text).toMatch(/^web-1 .* 100\.0 %$/m);
    expect(text).toMatch(/^sessions and lookups are not known: the gateway refused \(REDIS_UNREACHABLE\)/m);
    fake.directory.reset();
    await succeeded('backend', 'remove', 'web-1');
  });

  test('an entry that is wrong is told on standard error, without what a terminal would obey', async () => {
    await redis.client().hset('gateway:backends', 'bad\u001b[2J', '{}');
    const { status, stderr } = await gateway(['backends', '-c', config]);
    expect(status).toBe(0);
    expect(stderr).toContain('backend bad\\u001b[2J is wrong in Redis: ');
    await redis.client().del('gateway:backends');
  });
});

describe('users are moved', () => {
  const client = () => redis.client();

  beforeEach(async () => {
    await client().flushall();
    await succeeded('backend', 'set', 'web-1', '--id', '1', '--address', '10.0.0.11:8080');
    await succeeded('backend', 'set', 'web-2', '--id', '2', '--address', '10.0.0.12:8080');
    await client().hset('sess:s1', 'backend', 'web-1');
  });

  async function entry(name: string): Promise<Record<string, unknown>> {
    return JSON.parse((await client().hget('gateway:backends', name)) ?? 'null');
  }

  test('drain, down, undrain', async () => {
    for (const [command = '', state] of [
      ['drain', 'draining'],
      ['down', 'down'],
      ['undrain', 'active'],
    ]) {
      expect(await succeeded(command, 'web-1')).toMatch(
        new RegExp(`^web-1 +1 +10\\.0\\.0\\.11:8080 +${state} +100 +0 %$`, 'm'),
      );
      expect(await entry('web-1')).toEqual({ ...WEB_1, state });
      expect(JSON.parse(await succeeded(command, 'web-1', '--json'))).toEqual({ name: 'web-1', ...WEB_1, state });
    }
  });

  test.each([
    ['30', 3_000, '30 %'],
    ['12.25', 1_225, '12.25 %'],
    ['0.01%', 1, '0.01 %'],
    ['100', 10_000, '100 %'],
    ['0', 0, '0 %'],
  ])('shed %s', async (percent, shed, shown) => {
    expect(await succeeded('shed', 'web-1', percent)).toContain(` ${shown}\n`);
    expect(await entry('web-1')).toEqual({ ...WEB_1, shed });
  });

  test('where nobody is moved by it, that is said', async () => {
    expect(await succeeded('drain', 'web-1')).not.toContain('users stay');
    expect(await succeeded('shed', 'web-2', '5')).toMatch(/^all active backends shed: nobody is moved/m);
    expect(await succeeded('down', 'web-2')).toMatch(/^no backend is left that is active.*: all users stay/m);
    expect(JSON.parse(await succeeded('drain', 'web-2', '--json'))).toMatchObject({ name: 'web-2', state: 'draining' });
  });

  test('an unknown backend: exit 1, with the names that there are', async () => {
    for (const args of [
      ['drain', 'web-9'],
      ['shed', 'web-9', '1'],
      ['settle', 'web-9'],
      ['move', 's1', 'web-9'],
    ]) {
      const { status, stdout, stderr } = await gateway([...args, '-c', config]);
      expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
      expect(stderr).toBe('gateway: BACKEND_UNKNOWN: there is no backend "web-9"; there are "web-1", "web-2"\n');
    }
  });

  test('move, by argument and by standard input', async () => {
    expect(await succeeded('move', 's1', 'web-2')).toBe('the session is moved from web-1 to web-2\n');
    expect(await client().hget('sess:s1', 'backend')).toBe('web-2');
    const { stdout } = await gateway(['move', '-', 'web-1', '--json', '-c', config], { input: 's1\n' });
    expect(JSON.parse(stdout)).toEqual({ from: 'web-2', to: 'web-1' });
    expect(await succeeded('move', 's1', 'web-1')).toBe('the session is on web-1 already\n');
  });

  test('settle, and then the backend goes without --force', async () => {
    const used = await gateway(['backend', 'remove', 'web-1', '-c', config]);
    expect(used).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^gateway: BACKEND_IN_USE: backend "web-1": found/),
    });
    expect(await succeeded('settle', 'web-1')).toBe(
      '0 sessions are moved from web-1\nstaying on web-1, where they are answered to: 1\n',
    );
    await succeeded('drain', 'web-1');
    expect(await succeeded('settle', 'web-1', '--dry-run')).toBe(
      '1 session would be moved from web-1\n  to web-2  1\n',
    );
    expect(await client().hget('sess:s1', 'backend')).toBe('web-1');
    const result = { moved: 1, targets: { 'web-2': 1 }, staying: 0, changed: 0, complete: true };
    expect(JSON.parse(await succeeded('settle', 'web-1', '--rate', '10', '--json'))).toEqual(result);
    expect(await client().hget('sess:s1', 'backend')).toBe('web-2');
    expect(await succeeded('backend', 'remove', 'web-1')).toBe('web-1 is removed\n');
    expect(await succeeded('backend', 'remove', 'web-2', '--force')).toBe('web-2 is removed\n');
  });

  test('settle ends at Ctrl-C, and says how to go on', async () => {
    for (let i = 0; i < 2_000; i++) await client().hset(`sess:more ${i}`, 'backend', 'web-1');
    await succeeded('drain', 'web-1');
    const child = spawn(GATEWAY, ['settle', 'web-1', '--rate', '100', '-c', config], { cwd: '/' });
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    const entries = await client().xlen('sessions:feed');
    await expect.poll(() => client().xlen('sessions:feed'), { timeout: 60_000 }).toBeGreaterThan(entries);
    child.kill('SIGINT');
    expect(await ended).toBe(1);
    expect(stderr).toMatch(/^gateway: SETTLE_STOPPED: it was stopped after \d+ sessions were moved; .* to go on\n$/);
  });
});

describe('sessions are revoked', () => {
  const hash = Buffer.from(cookieHash('s1')).toString('hex');
  const until = () => redis.client().zscore('gateway:denied', hash);

  test('for good, and allowed again', async () => {
    expect(await succeeded('deny', 's1')).toBe('the session is denied for good\n');
    expect(await until()).toBe('253402300799999');
    expect(await succeeded('allow', 's1')).toBe('the session is allowed\n');
    expect(await until()).toBeNull();
  });

  test('for a while', async () => {
    const before = Date.now();
    const { stdout } = await gateway(['deny', '-', '--for', '1h30m', '--json', '-c', config], { input: 's1' });
    const { untilMs } = JSON.parse(stdout);
    expect(untilMs - 5_400_000).toBeGreaterThanOrEqual(before);
    expect(untilMs - 5_400_000).toBeLessThanOrEqual(Date.now());
    expect(await until()).toBe(String(untilMs));
    expect(await succeeded('deny', 's1', '--for', '1d')).toMatch(/^the session is denied until 20\S+Z$/m);
  });
});

describe('facts', () => {
  test('are set, got and removed', async () => {
    expect(await succeeded('fact', 'set', 'epoch', '2026-11')).toBe('epoch is set\n');
    expect(await succeeded('fact', 'get', 'epoch')).toBe('2026-11\n');
    expect(JSON.parse(await succeeded('fact', 'get', 'epoch', '--json'))).toMatchObject({
      name: 'epoch',
      value: '2026-11',
      version: expect.stringMatching(/-\d+$/),
    });
    expect(await succeeded('fact', 'remove', 'epoch')).toBe('epoch is removed\n');
    const gone = await gateway(['fact', 'get', 'epoch', '-c', config]);
    expect(gone).toMatchObject({ status: 1, stderr: 'gateway: FACT_UNKNOWN: there is no fact "epoch"\n' });
  });

  test('values over 24 bytes are refused with the limit, others printed without what a terminal would obey', async () => {
    const refused = await gateway(['fact', 'set', 'epoch', 'x'.repeat(25), '-c', config]);
    expect(refused).toMatchObject({
      status: 1,
      stderr: 'gateway: FACT_REFUSED: fact "epoch": value: found 25 bytes, allowed: 0 to 24\n',
    });
    await redis.client().hset('gateway:facts', 'a', '\u001b[2J', 'b', Buffer.from([0xff, 0]));
    expect(await succeeded('fact', 'get', 'a')).toBe('\\u001b[2J\n');
    expect(await succeeded('fact', 'get', 'b')).toBe('0xff00\n');
  });

  test('are watched until Ctrl-C', async () => {
    await redis.client().del('gateway:facts');
    const child = spawn(GATEWAY, ['fact', 'watch', 'epoch', '--json', '-c', config], { cwd: '/' });
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    let seen = '';
    child.stdout.on('data', (chunk) => {
      seen += chunk;
    });
    const values = () => seen.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line).value]));
    const shown = (expected: unknown[]) => expect.poll(values, { timeout: 60_000 }).toEqual(expected);
    await shown([null]);
    await succeeded('fact', 'set', 'epoch', '1');
    await shown([null, '1']);
    await succeeded('fact', 'set', 'epoch', '2');
    await shown([null, '1', '2']);
    await succeeded('fact', 'remove', 'epoch');
    await shown([null, '1', '2', null]);
    child.kill('SIGINT');
    expect(await ended).toBe(0);
  });
});

describe('the other end is not a gateway', () => {
  const path = join(folder, 'strange.sock');
  const request = { method: 'GET', path: '/v1/status' } as const;

  async function answered(body: string | null, status = 200): Promise<unknown> {
    const server = createServer((_request, response) => {
      if (body !== null) response.writeHead(status).end(body);
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      return await askDaemon(path, request, 500);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  test.each([
    ['not JSON', 200],
    ['{}', 500],
    ['null', 500],
    ['{"code":1,"detail":"x"}', 500],
    ['x'.repeat(17 * 1024 * 1024), 200],
  ])('%.20s with status %i', async (body, status) => {
    await expect(answered(body, status)).rejects.toMatchObject({ code: 'DAEMON_ANSWER_INVALID', exitStatus: 1 });
  });

  test('one that says nothing', async () => {
    await expect(answered(null)).rejects.toMatchObject({
      code: 'DAEMON_SILENT',
      message: expect.stringContaining('500 ms'),
    });
  });

  test('one that speaks something else', async () => {
    const server = createTcpServer((connection) => connection.resume().end('SSH-2.0\r\n'));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    await expect(askDaemon(path, request)).rejects.toMatchObject({ code: 'DAEMON_ANSWER_INVALID' });
    await new Promise((resolve) => server.close(resolve));
  });

  test('a file, and a folder that does not exist', async () => {
    await expect(askDaemon(config, request)).rejects.toMatchObject({ code: 'DAEMON_NOT_RUNNING' });
    await expect(askDaemon(join(folder, 'no', 'such'), request)).rejects.toMatchObject({ code: 'DAEMON_NOT_RUNNING' });
  });
});
