/** Two gateways on one Redis: what an operator does, once, is in force in both, and they agree about everyone. */
import type { ChildProcess } from 'node:child_process';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLookupClient, type LookupClient, type LookupResult } from '../../src/client/index.ts';
import { askDaemon } from '../../src/gateway/control/client.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { endProcess } from '../../src/gateway/demo/redis-server.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { detachAll } from '../../src/gateway/kernel/datapath.ts';
import { GATEWAY } from '../gateway/support/command.ts';
import { until } from './until.ts';

const SESSIONS = 1_000;
const BACKENDS = 4;
const IN_FLIGHT = 50;
const FEED = 'sessions:feed';
const WAIT_MS = 60_000;
const SECOND = { interface: 'sgw3', client: 'sgw2', ipv4: '10.98.0.2', clientIpv4: '10.98.0.1' };

let stage: Stage;
let redis: Redis;
let second: ChildProcess | undefined;
let clients: LookupClient[] = [];

const sidOf = (i: number) => `user ${i}`;
// Half of them are stored.
const sids = Array.from({ length: 2 * SESSIONS }, (_, i) => sidOf(i));
const onApp1 = sids.filter((_, i) => i < SESSIONS && i % BACKENDS === 0);

/** A second pair of devices between the hosts, and a gateway of its own on it. */
async function startSecond(): Promise<void> {
  const { gatewayNamespace, clientNamespace } = stage.network;
  const ip = (...args: string[]) => execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const peer = ['type', 'veth', 'peer', 'name', SECOND.interface, 'netns', gatewayNamespace];
  ip('-n', clientNamespace, 'link', 'add', SECOND.client, ...peer);
  for (const [namespace, device, address] of [
    [clientNamespace, SECOND.client, SECOND.clientIpv4],
    [gatewayNamespace, SECOND.interface, SECOND.ipv4],
  ] as const) {
    ip('-n', namespace, 'addr', 'add', `${address}/24`, 'dev', device);
    ip('-n', namespace, 'link', 'set', device, 'up');
  }
  const config = JSON.parse(readFileSync(stage.configFile, 'utf8'));
  config.listen = { ...config.listen, interfaces: [SECOND.interface], attach: 'generic' };
  config.pins = `${stage.pins}-2`;
  config.control.socket = join(stage.directory, 'second.sock');
  const file = join(stage.directory, 'second.yaml');
  writeFileSync(file, JSON.stringify(config));
  const log = openSync(join(stage.directory, 'second.log'), 'a');
  second = stage.network.spawn(GATEWAY, ['run', '-c', file], { stdio: ['ignore', log, log] });
  closeSync(log);
  const isReady = async () => {
    const status = await askDaemon(config.control.socket, { method: 'GET', path: '/v1/status' }).catch(() => undefined);
    return (status as { ready?: boolean } | undefined)?.ready === true;
  };
  await until(isReady, WAIT_MS);
}

beforeAll(async () => {
  stage = new Stage({ name: `sgwtwo-${process.pid}`, capacity: 10_000 });
  const [key] = stage.writeKeys([randomKey(1)]);
  if (key === undefined) throw new Error('no key');
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  await run('redis', 'install');
  for (let id = 1; id <= BACKENDS; id++) {
    await run('backend', 'set', `app-${id}`, '--id', String(id), '--address', `10.1.0.${id}:8080`);
  }
  await stage.startGateway();
  await startSecond();
  clients = [GATEWAY_IPV4, SECOND.ipv4].map((host) => {
    return createLookupClient({ servers: [{ host, port: stage.port }], key, timeoutMs: 2_000 });
  });
  await Promise.all(
    sids.slice(0, SESSIONS).map((sid, i) => {
      return redis.fcall('session_set', 2, `sess:${sid}`, FEED, sid, `app-${1 + (i % BACKENDS)}`, 3_600_000);
    }),
  );
});

afterAll(async () => {
  for (const client of clients) await client.close();
  redis?.disconnect();
  if (second !== undefined) await endProcess(second, 5_000);
  detachAll(`${stage.pins}-2`);
  await stage?.close();
});

async function run(...args: string[]): Promise<void> {
  const { exitCode, stderr } = await stage.command(...args);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
}

async function ask(client: LookupClient, asked: readonly string[]): Promise<LookupResult[]> {
  const results: LookupResult[] = [];
  for (let at = 0; at < asked.length; at += IN_FLIGHT) {
    results.push(...(await Promise.all(asked.slice(at, at + IN_FLIGHT).map((sid) => client.lookup(sid)))));
  }
  return results;
}

/** What of an answer may not differ; the rest is time. */
const essence = ({ status, backend, address, port, moved, placed, version }: LookupResult) => {
  return `${status} ${backend} ${address} ${port} ${moved} ${placed} ${version}`;
};

/** Waits until it holds of both, then compares their answers about everyone. */
async function inBoth(asked: readonly string[], holds: (results: readonly LookupResult[]) => boolean): Promise<void> {
  await until(async () => {
    const both = await Promise.all(clients.map((client) => ask(client, asked)));
    return both.every(holds);
  }, WAIT_MS);
  const [one = [], two = []] = await Promise.all(clients.map(async (client) => (await ask(client, sids)).map(essence)));
  expect(sids.filter((_, i) => one[i] !== two[i])).toEqual([]);
  expect(new Set(one).size).toBeGreaterThan(BACKENDS);
}

const movedOf = (results: readonly LookupResult[]) => results.filter(({ moved }) => moved).length / results.length;

test('draining, shedding, downing, moving and revoking', { timeout: 180_000 }, async () => {
  await inBoth(sids, (results) => results.filter(({ status }) => status === 'FOUND').length === SESSIONS);
  await run('drain', 'app-1');
  await inBoth(onApp1, (results) => movedOf(results) === 1);
  await run('undrain', 'app-1');
  await inBoth(onApp1, (results) => movedOf(results) === 0);
  await run('shed', 'app-1', '30');
  await inBoth(onApp1, (results) => movedOf(results) > 0);
  await run('shed', 'app-1', '60');
  await inBoth(onApp1, (results) => movedOf(results) > 0.45);
  await run('down', 'app-1');
  await inBoth(onApp1, (results) => movedOf(results) === 1);
  const [sid = ''] = onApp1;
  await run('move', sid, 'app-3');
  await inBoth([sid], ([result]) => result?.backend === 3 && !result.moved);
  await run('deny', sid, '--for', '1h');
  await inBoth([sid], ([result]) => result?.status === 'DENIED');
  await run('allow', sid);
  await inBoth([sid], ([result]) => result?.status === 'FOUND');
  await run('undrain', 'app-1');
  await run('shed', 'app-1', '0');
  await inBoth(onApp1, (results) => movedOf(results) === 0);
});

test('a fact has one value and one version', async () => {
  const facts = () => Promise.all(clients.map((client) => client.fact('epoch')));
  let last = 0n;
  for (const value of ['7', '8']) {
    await run('fact', 'set', 'epoch', value);
    const isThere = (found: Uint8Array | null) => found !== null && Buffer.from(found).toString() === value;
    await until(async () => (await facts()).every((fact) => isThere(fact.value)), WAIT_MS);
    const [one, two] = await facts();
    expect(one?.version).toBe(two?.version);
    expect(one?.version).toBeGreaterThan(last);
    last = one?.version ?? 0n;
  }
});
