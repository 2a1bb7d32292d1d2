/** The C library against the vectors of an independent implementation, under sanitizers, and its tool against a real gateway. */
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Key } from '../../src/auth/keyring.ts';
import { GATEWAY_IPV4, GATEWAY_IPV6 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { type Vector, vectors } from '../auth/support/vectors.ts';
import { FakeGateway } from '../client/fake-gateway.ts';

const SOURCES = fileURLToPath(new URL('../../integrations/c', import.meta.url));
const DRIVERS = fileURLToPath(new URL('c', import.meta.url));
const OUT = fileURLToPath(new URL('../../build/integrations', import.meta.url));
const FLAGS = ['-O1', '-g', '-std=gnu11', '-Wall', '-Wextra', '-Werror'];
const SANITIZERS = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];

const hexOf = (text: string): string => Buffer.from(text).toString('hex');

/** Compiles the library with the program beside it. @returns its path */
function compile(source: string, name: string): string {
  fs.mkdirSync(OUT, { recursive: true });
  const program = join(OUT, name);
  const inputs = ['-I', SOURCES, join(SOURCES, 'session_gateway.c'), source, '-o', program, '-lcrypto'];
  execFileSync('clang-19', [...FLAGS, ...SANITIZERS, ...inputs]);
  return program;
}

function run(program: string, lines: readonly string[]): string[] {
  const input = `${lines.join('\n')}\n`;
  const { status, stdout, stderr } = spawnSync(program, { input, encoding: 'utf8', maxBuffer: 1 << 26 });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout.trimEnd().split('\n');
}

function keyText({ key }: Vector): string {
  return [key.id, key.suite, key.secret, ...(key.encrypt ? ['encrypt'] : [])].join(',');
}

function lineOf(vector: Vector): string {
  const { kind, request, reply_bytes } = vector;
  const ids =
    kind === 'batch' ? vector.request.session_ids : [kind === 'fact' ? vector.request.name : vector.request.session_id];
  return [kind, keyText(vector), request.time_ms, request.nonce, ids.map(hexOf).join(','), reply_bytes].join(' ');
}

/** What the driver prints of the reply. */
function fieldsOf(vector: Vector): string {
  if (vector.kind === 'batch') {
    const { time_ms, age_ms, entries } = vector.reply;
    const each = entries.map(({ status, flags, backend_id, ttl_s, version }) =>
      [status, flags, backend_id, ttl_s, version].join(','),
    );
    return [time_ms, age_ms, ...each].join(',');
  }
  if (vector.kind === 'fact') {
    const { time_ms, status, flags, value, version, age_ms } = vector.reply;
    return [time_ms, status, flags, value, version, age_ms].join(',');
  }
  const { time_ms, status, flags, port, backend_id, address, version, ttl_s, age_ms } = vector.reply;
  return [time_ms, status, flags, port, backend_id, address, version, ttl_s, age_ms].join(',');
}

describe('with sanitizers', () => {
  let driver: string;
  beforeAll(() => {
    driver = compile(join(DRIVERS, 'driver.c'), 'c-driver');
  });

  test('makes every vector’s request and reads its reply, and refuses it torn anywhere and with any bit flipped', () => {
    const all = vectors.map(([, vector]) => vector);
    const answers = run(driver, all.map(lineOf));
    expect(answers).toHaveLength(all.length);
    for (const [i, vector] of all.entries()) {
      const [request, fields = '', refused] = answers[i]?.split(' ') ?? [];
      expect(request).toBe(vector.request_bytes);
      // Of a lookup the driver also prints address and status as text.
      const text = vector.kind === 'lookup' ? fields.split(',').slice(0, -2).join(',') : fields;
      expect(text).toBe(fieldsOf(vector));
      const size = vector.reply_bytes.length / 2;
      // Every length from 0 to one too many but its own, and every bit.
      expect(Number(refused)).toBe(size + 1 + 8 * size);
    }
  });

  test('writes addresses as text', () => {
    const texts = run(
      driver,
      vectors
        .map(([, vector]) => vector)
        .filter(({ kind }) => kind === 'lookup')
        .map(lineOf),
    ).map((line) => line.split(' ')[1]?.split(',').slice(-2) ?? []);
    const unknown = texts.filter(([address]) => address === '');
    const known = texts.map(([address = '']) => address).filter((address) => address !== '');
    expect(unknown.length).toBeGreaterThan(0);
    expect(known.some((address) => /^\d+\.\d+\.\d+\.\d+:\d+$/.test(address))).toBe(true);
    expect(known.some((address) => /^\[[0-9a-f:]+\]:\d+$/.test(address))).toBe(true);
  });

  test('takes a key as text, and refuses what is not one', () => {
    const program = compile(join(DRIVERS, 'keys.c'), 'c-keys');
    const secret = '0123456789abcdef'.repeat(4);
    const good = [
      `1 hmac-sha256 ${secret}`,
      `4294967295 blake2s ${secret.toUpperCase()} encrypt`,
      ` 7\thmac-sha256 ${secret}\r`,
    ];
    const bad = [
      '',
      '1',
      `0 hmac-sha256 ${secret}`,
      `4294967296 hmac-sha256 ${secret}`,
      `99999999999999999999 hmac-sha256 ${secret}`,
      `-1 hmac-sha256 ${secret}`,
      `1x hmac-sha256 ${secret}`,
      `1 hmac-sha1 ${secret}`,
      `1 hmac ${secret}`,
      `1 ${secret}`,
      `1 hmac-sha256 ${secret.slice(1)}`,
      `1 hmac-sha256 ${secret}0`,
      `1 hmac-sha256 ${secret.slice(1)}g`,
      `1 hmac-sha256 ${secret} encrypted`,
      `1 hmac-sha256 ${secret} encrypt encrypt`,
    ];
    expect(run(program, good)).toEqual(good.map(() => '0'));
    expect(run(program, bad)).toEqual(bad.map(() => '-1'));
  });
});

describe('sgw-lookup', () => {
  let stage: Stage;
  let redis: Redis;
  let tool: string;
  let keyFile: string;
  let key: Key;

  beforeAll(async () => {
    tool = compile(join(SOURCES, 'sgw-lookup.c'), 'sgw-lookup');
    stage = new Stage({ name: `ca-c-${process.pid}` });
    const first = randomKey(1);
    [key] = stage.writeKeys([first]) as [Key];
    keyFile = join(stage.directory, 'c.key');
    const secret = Buffer.from(first.secret).toString('hex');
    fs.writeFileSync(keyFile, `1 hmac-sha256 ${secret}\n`, { mode: 0o600 });
    await stage.startRedis();
    redis = new Redis({ path: stage.redisSocket, protocol: 2 });
    await stage.command('backend', 'set', 'app-1', '--id', '1', '--address', '10.1.0.1:8080');
    await redis.fcall('session_set', 2, 'sess:alice', 'sessions:feed', 'alice', 'app-1', 3_600_000);
    await redis.fcall('fact_set', 2, 'gateway:facts', 'sessions:feed', 'epoch', '7');
    await stage.startGateway();
  });

  afterAll(async () => {
    redis?.disconnect();
    await stage?.close();
  });

  const ask = (args: readonly string[], input = ''): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(tool, ['--key-file', keyFile, ...args], { encoding: 'utf8', input });

  test('asks a real gateway, over IPv4 and IPv6', () => {
    const found = ask(['--server', `${GATEWAY_IPV4}:${stage.port}`, 'alice']);
    expect(found).toMatchObject({ status: 0, stderr: '' });
    expect(found.stdout).toMatch(/^FOUND backend=1 address=10\.1\.0\.1:8080 ttl_s=3[56]\d\d age_ms=\d+\n$/);
    expect(ask(['--server', `[${GATEWAY_IPV6}]`, '-'], 'alice\n').stdout).toMatch(/^FOUND backend=1 /);
    expect(ask(['--server', GATEWAY_IPV6, 'nobody']).stdout).toMatch(
      /^NOT_FOUND backend=1 address=10\.1\.0\.1:8080 age_ms=\d+ placed\n$/,
    );
    expect(ask(['--server', GATEWAY_IPV4, '--fact', 'epoch']).stdout).toMatch(
      /^FOUND version=\d+ value=37 age_ms=\d+\n$/,
    );
    expect(ask(['--server', GATEWAY_IPV4, '--fact', 'none']).stdout).toMatch(/^NOT_FOUND age_ms=\d+\n$/);
  });

  test('asks the next gateway where the first is silent, and says where none answers', () => {
    const silent = ['--timeout', '50', '--server', `${GATEWAY_IPV4}:6465`];
    expect(ask([...silent, '--server', GATEWAY_IPV4, '--timeout', '5000', 'alice']).stdout).toMatch(/^FOUND /);
    expect(ask([...silent, 'alice'])).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringContaining('no gateway'),
    });
  });

  describe('where gateways differ', () => {
    const gateways: FakeGateway[] = [];
    let servers: string[];
    const [good, stale, staler, notReady, skewed, silent] = [0, 1, 2, 3, 4, 5];

    beforeAll(async () => {
      // Each has another backend, so that it shows whose answer it is.
      for (let i = 0; i < 6; i++) {
        const one = await FakeGateway.start([key]);
        gateways.push(
          one
            .putBackend(1 + i, '10.1.0.1', 8080)
            .putSession('alice', 1 + i)
            .putFact('epoch', `${i}`, 7n),
        );
      }
      const changes = [{}, { ageMs: 20_000 }, { ageMs: null }, { isReady: false }, { clockErrorMs: 60_000 }];
      for (const [i, change] of changes.entries()) Object.assign(gateways[i] as FakeGateway, change);
      (gateways[silent] as FakeGateway).handle = () => undefined;
      servers = gateways.map(({ address: { host, port } }) => `${host}:${port}`);
    });

    afterAll(async () => {
      for (const one of gateways) await one.close();
    });

    /** @returns whose answer is printed, and what else is said */
    async function askAll(order: readonly number[], ...last: string[]): Promise<[string, string, number]> {
      const args = ['--key-file', keyFile, '--timeout', order.includes(silent) ? '2000' : '60000'];
      for (const one of order) args.push('--server', servers[one] as string);
      return new Promise((resolve) => {
        const child = execFile(tool, [...args, ...last], (_error, stdout, stderr) => {
          const said = stderr.replaceAll(/127\.0\.0\.1:\d+/g, (server) => String(servers.indexOf(server)));
          resolve([stdout, said, child.exitCode ?? -1]);
        });
      });
    }

    test('a stale answer is kept while the next one is asked, and the freshest is the one that is printed', async () => {
      const of = (backend: number, rest: string): string =>
        `FOUND backend=${1 + backend} address=10.1.0.1:8080 ttl_s=never age_ms=${rest}\n`;
      expect(await askAll([stale, good, staler], 'alice')).toEqual([of(good, '0'), '', 0]);
      expect(await askAll([staler, stale], 'alice')).toEqual([of(stale, '20000 stale'), '', 0]);
      expect(await askAll([stale, staler], 'alice')).toEqual([of(stale, '20000 stale'), '', 0]);
      expect(await askAll([staler], 'alice')).toEqual([of(staler, 'never stale'), '', 0]);
      expect(await askAll([stale, good], '--fact', 'epoch')).toEqual(['FOUND version=7 value=30 age_ms=0\n', '', 0]);
      expect(gateways[staler]?.requests).toHaveLength(3);
    });

    test('who has no answer is named on standard error, and one answer is printed, or none', async () => {
      const skew = /^sgw-lookup: 4: CLOCK_SKEW: its clock less this one's is 6\d{4} ms\n/;
      const [found, said, status] = await askAll([skewed, notReady, stale], 'alice');
      expect([found, status]).toEqual([expect.stringMatching(/^FOUND backend=2 .* stale\n$/), 0]);
      expect(said).toMatch(skew);
      expect(said.replace(skew, '')).toBe('sgw-lookup: 3: NOT_READY\n');
      expect(await askAll([stale, notReady], '--fact', 'epoch')).toEqual([
        'FOUND version=7 value=31 age_ms=20000 stale\n',
        'sgw-lookup: 3: NOT_READY\n',
        0,
      ]);
      expect(await askAll([notReady, silent], 'alice')).toEqual([
        '',
        expect.stringMatching(/^sgw-lookup: 3: NOT_READY\nsgw-lookup: 5: no answer\nsgw-lookup: no gateway /),
        1,
      ]);
    });
  });

  test('refuses wrong usage, and a key file that others can read', () => {
    for (const args of [
      [],
      ['alice'],
      ['--server', GATEWAY_IPV4],
      ['--server', GATEWAY_IPV4, ''],
      ['--server', GATEWAY_IPV4, 'alice', 'bob'],
      ['--server', GATEWAY_IPV4, '--timeout', '0', 'alice'],
      ['--server', GATEWAY_IPV4, '--wrong', 'alice'],
      ['--server', GATEWAY_IPV4, 'alice', '--server'],
      ['--server', GATEWAY_IPV4, 'a'.repeat(1025)],
    ]) {
      expect([args, ask(args).status]).toEqual([args, 2]);
    }
    fs.chmodSync(keyFile, 0o644);
    const { status, stderr } = ask(['--server', GATEWAY_IPV4, 'alice']);
    expect([status, stderr]).toEqual([2, expect.stringContaining('chmod 600')]);
    fs.chmodSync(keyFile, 0o600);
  });
});
