/** Commands that ask the daemon, and those that work in Redis, each as its own process. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { parseKeyFile } from '../../../src/auth/key-file.ts';
import { askDaemon } from '../../../src/gateway/control/client.ts';
import { type ControlServer, startControl } from '../../../src/gateway/control/server.ts';
import { failure } from '../../../src/gateway/errors.ts';
import { createLogger } from '../../../src/gateway/log.ts';
import { RedisServer } from '../../sync/redis-server.ts';
import { FakeGateway, fakeStatus } from '../control/fake-gateway.ts';
import { GATEWAY, gateway } from '../support/command.ts';

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
    expect(await succeeded('keys', 'list')).toMatch(/^7 +edge +hmac-sha256 +no +- +2030-\S+Z +yes$/m);
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
      backends: [{ name: 'web-1', id: 1, address: '10.0.0.11:8080', state: 'active', weight: 7, shed: 0 }],
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

  test('an entry that is wrong is told on standard error, without what a terminal would obey', async () => {
    await redis.client().hset('gateway:backends', 'bad\u001b[2J', '{}');
    const { status, stderr } = await gateway(['backends', '-c', config]);
    expect(status).toBe(0);
    expect(stderr).toContain('backend bad\\u001b[2J is wrong in Redis: ');
    await redis.client().del('gateway:backends');
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
