/** How the daemon starts where something is missing: it says what, and what to do. */
import * as fs from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Key } from '../../src/auth/keyring.ts';
import { createLookupClient } from '../../src/client/index.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { until } from './until.ts';

let stage: Stage;
let key: Key;

beforeEach(() => {
  stage = new Stage({ name: `sgw-start-${process.pid}` });
  const [made] = stage.writeKeys([randomKey(1)]);
  if (made === undefined) throw new Error('no key');
  key = made;
});
afterEach(() => stage.close());

function edit(change: (config: Record<string, Record<string, unknown>>) => void): void {
  const config = JSON.parse(fs.readFileSync(stage.configFile, 'utf8'));
  change(config);
  fs.writeFileSync(stage.configFile, JSON.stringify(config));
}

function readyz(): Promise<number | undefined> {
  return new Promise((resolve) => {
    get({ socketPath: join(stage.directory, 'gateway.sock'), path: '/readyz' }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).on('error', () => resolve(undefined));
  });
}

test('without Redis it starts, says NOT_READY, and is ready once Redis is there', async () => {
  const client = createLookupClient({
    servers: [{ host: GATEWAY_IPV4, port: stage.port }],
    key,
    timeoutMs: 500,
    tryTimeoutMs: 500,
  });
  const started = stage.startGateway();
  await until(async () => (await readyz()) === 503);
  await until(async () => (await client.lookup('s')).status === 'NOT_READY');
  await stage.startRedis();
  await started;
  expect(await readyz()).toBe(200);
  const redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  expect((await client.lookup('s')).status).toBe('NOT_FOUND');
  redis.disconnect();
  await client.close();
  expect(stage.logTail()).toMatch(/ECONNREFUSED|can't be used/);
});

test('when Redis goes, the last copy goes on answering and its age grows', async () => {
  await stage.startRedis();
  await stage.startGateway();
  const client = createLookupClient({
    servers: [{ host: GATEWAY_IPV4, port: stage.port }],
    key,
    timeoutMs: 500,
    tryTimeoutMs: 500,
  });
  await stage.stopRedis();
  await until(async () => ((await client.lookup('s')).ageMs ?? 0) > 2_500);
  expect((await stage.status())?.['ready']).toBe(true);
  await stage.startRedis();
  await until(async () => ((await client.lookup('s')).ageMs ?? 9_999) < 2_000);
  await client.close();
});

test('an interface that is not there', async () => {
  edit((config) => {
    (config['listen'] ?? {})['interfaces'] = ['nowhere0'];
  });
  const { exitCode, stderr, stdout } = await stage.command('run');
  expect(exitCode).toBe(1);
  expect(stderr + stdout).toMatch(/nowhere0.*ip link/);
});

test('pins outside a BPF file system', async () => {
  edit((config) => Object.assign(config, { pins: join(stage.directory, 'pins') }));
  const { exitCode, stderr, stdout } = await stage.command('run');
  expect(exitCode).toBe(1);
  expect(stderr + stdout).toMatch(/mount -t bpf/);
});

test('a driver that refuses native mode, as that of the loopback, gets generic, with a warning', async () => {
  edit((config) => {
    (config['listen'] ?? {})['interfaces'] = ['lo', stage.network.gatewayInterface];
  });
  await stage.startRedis();
  await stage.startGateway();
  const status = await stage.status();
  expect(status?.['interfaces']).toEqual([
    { name: 'lo', mode: 'generic' },
    { name: stage.network.gatewayInterface, mode: 'native' },
  ]);
  expect(stage.logTail()).toMatch(/generic/);
});

test('native alone, where it is refused', async () => {
  edit((config) => Object.assign(config['listen'] ?? {}, { interfaces: ['lo'], attach: 'native' }));
  const { exitCode, stderr, stdout } = await stage.command('run');
  expect(exitCode).toBe(1);
  expect(stderr + stdout).toMatch(/attach: generic/);
});

test('a key file that others may read', async () => {
  fs.chmodSync(stage.keyFile, 0o644);
  const { exitCode, stderr, stdout } = await stage.command('run');
  expect(exitCode).toBe(2);
  expect(stderr + stdout).toMatch(/chmod/);
});

test('bad configuration: exit 2, with path, what was found and what is allowed', async () => {
  edit((config) => Object.assign(config['listen'] ?? {}, { port: 70_000 }));
  const { exitCode, stderr } = await stage.command('run');
  expect(exitCode).toBe(2);
  expect(stderr).toMatch(/listen\.port.*70000.*65535/);
});
