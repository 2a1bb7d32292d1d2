/** `gateway lookup` as its own process, against a gateway on loopback. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { Status } from '../../../src/abi.ts';
import { Key } from '../../../src/auth/keyring.ts';
import { FakeGateway, refusedAddress } from '../../client/fake-gateway.ts';
import { gateway as command } from '../support/command.ts';

const folder = mkdtempSync(join(tmpdir(), 'lookup-'));
const keyFile = join(folder, 'keys.yaml');
const fields = { name: 'edge', suite: 'hmac-sha256', encrypt: false, notBeforeMs: null, notAfterMs: null } as const;
const key = new Key({ id: 1, ...fields }, new Uint8Array(32).fill(1));
const line = (id: number) => `  - { id: ${id}, secret: "${String(id).padStart(2, '0').repeat(32)}" }\n`;

let gateway: FakeGateway;
let server: string;

beforeAll(async () => {
  writeFileSync(keyFile, `keys:\n${line(1)}`, { mode: 0o600 });
  gateway = await FakeGateway.start([key]);
  server = `${gateway.address.host}:${gateway.address.port}`;
  gateway.putBackend(3, '10.1.0.3', 8080).putSession('s1', 3);
});
afterAll(async () => {
  await gateway?.close();
  rmSync(folder, { recursive: true });
});
afterEach(() => {
  gateway.override = null;
  gateway.isReady = true;
  gateway.clockErrorMs = 0;
  gateway.ageMs = 0;
});

const lookup = (sid: string, args: readonly string[] = ['--keys', keyFile], input = '') => {
  return command(['lookup', sid, '--server', server, '--timeout', '2000', ...args], { input });
};

test.each([
  ['s1', ''],
  ['-', 's1\n'],
])('found: %s', async (sid, input) => {
  const { status, stdout, stderr } = await lookup(sid, ['--keys', keyFile], input);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(
    /^FOUND {2}backend 3 {2}10\.1\.0\.3:8080\nnever expires, 127\.0\.0\.1:\d+, [\d.]+ ms, in step with Redis 0 ms ago\n$/,
  );
});

test('as JSON', async () => {
  const { status, stdout } = await lookup('s1', ['--keys', keyFile, '--json']);
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    status: 'FOUND',
    backend: 3,
    address: '10.1.0.3',
    port: 8080,
    version: '1',
    server,
  });
});

test('the key file of the configuration', async () => {
  writeFileSync(join(folder, 'gateway.yaml'), '');
  expect(await lookup('s1', ['-c', join(folder, 'gateway.yaml')])).toMatchObject({ status: 0, stderr: '' });
});

test('not found is an answer', async () => {
  const { status, stdout } = await lookup('nobody');
  expect({ status, first: stdout.split('\n')[0] }).toEqual({ status: 0, first: 'NOT_FOUND' });
});

test.each([
  [() => Object.assign(gateway, { isReady: false }), /^NOT_READY {2}the gateway has not finished its first load\n/],
  [
    () => Object.assign(gateway, { clockErrorMs: 60_000 }),
    /^CLOCK_SKEW {2}the gateway's clock is (1 min|59 s|1 min 1 s) ahead\n/,
  ],
  [() => Object.assign(gateway, { ageMs: 60_000 }), /in step with Redis 1 min ago, stale\n$/],
  [() => Object.assign(gateway, { override: { status: Status.DENIED } }), /^DENIED\n/],
  [
    () => Object.assign(gateway, { override: { status: Status.FOUND, flags: 1, backendId: 4, ttlS: 90 } }),
    /^FOUND {2}backend 4 {2}moved\nexpires in 1 min 30 s, /,
  ],
  [() => Object.assign(gateway, { override: { flags: 2, backendId: 4 } }), /^NOT_FOUND {2}backend 4 {2}placed\n127/],
])('other answers: %#', async (change, text) => {
  change();
  const { status, stdout, stderr } = await lookup('s1');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(text);
});

test('silence, as after a wrong secret: exit 1', async () => {
  const wrong = join(folder, 'wrong.yaml');
  writeFileSync(wrong, `keys:\n  - { id: 1, secret: "${'ff'.repeat(32)}" }\n`, { mode: 0o600 });
  const { status, stdout, stderr } = await lookup('s1', ['--keys', wrong, '--timeout', '200']);
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  expect(stderr).toMatch(
    /^gateway: LOOKUP_FAILED: no answer from 127\.0\.0\.1:\d+: none came in time; is the key in force there/,
  );
  expect(stderr).not.toContain('ffff');
});

test('nobody listens: exit 1', async () => {
  const { host, port } = await refusedAddress();
  const { status, stderr } = await command(['lookup', 's1', '--server', `${host}:${port}`, '--keys', keyFile]);
  expect(status).toBe(1);
  expect(stderr).toMatch(/LOOKUP_FAILED: .*(nobody listens|none came in time)/);
});

test('which key: exit 2 where it is not clear', async () => {
  const several = join(folder, 'several.yaml');
  writeFileSync(several, `keys:\n${line(1)}${line(2)}`, { mode: 0o600 });
  expect(await lookup('s1', ['--keys', several, '--key', '1'])).toMatchObject({ status: 0 });
  for (const args of [
    ['--keys', several],
    ['--keys', several, '--key', '9'],
  ]) {
    const { status, stderr } = await lookup('s1', args);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^gateway: KEY_NOT_IN_FILE: .*1, 2/);
  }
});

test('a key file that others may read: exit 2', async () => {
  const exposed = join(folder, 'exposed.yaml');
  writeFileSync(exposed, `keys:\n${line(1)}`, { mode: 0o644 });
  const { status, stderr } = await lookup('s1', ['--keys', exposed]);
  expect(status).toBe(2);
  expect(stderr).toMatch(/KEY_FILE_INVALID: .*chmod/);
});
