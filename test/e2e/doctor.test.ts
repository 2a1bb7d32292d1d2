/** Faults that are staged for real, and found by `gateway doctor` beside a running daemon. */
import { type ChildProcess, execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Key } from '../../src/auth/keyring.ts';
import { createLookupClient } from '../../src/client/index.ts';
import { askDaemon } from '../../src/gateway/control/client.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { endProcess } from '../../src/gateway/demo/redis-server.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import type { Finding, FindingCode } from '../../src/gateway/doctor/finding.ts';
import { attachXdp, BpfObject } from '../../src/gateway/kernel/libbpf.ts';
import { interfaceIndex } from '../../src/gateway/kernel/libc.ts';
import type { Status } from '../../src/gateway/ports.ts';
import { installLibrary } from '../../src/sync/redis/functions.ts';
import { until } from './until.ts';

const GATEWAY = fileURLToPath(new URL('../../bin/gateway', import.meta.url));
const PASS_OBJECT = fileURLToPath(new URL('../../build/pass.bpf.o', import.meta.url));
const FEED = 'sessions:feed';
const CAPACITY = 50;
const BOUND_MS = 60_000;

// Each of these takes a second or two, and starts several processes: on a machine that is ten times slower it is still to pass.
vi.setConfig({ testTimeout: 4 * BOUND_MS, hookTimeout: 4 * BOUND_MS });

let stage: Stage;
let redis: Redis;

beforeAll(async () => {
  const options = { capacity: CAPACITY, listen: { staleAfterMs: 2_000 }, readyTimeoutMs: BOUND_MS };
  stage = new Stage({ name: `sgwdoc-${process.pid}`, ...options });
  stage.writeKeys([randomKey(1)]);
  await startRedis();
  await stage.startGateway();
});
afterAll(async () => {
  redis?.disconnect();
  await stage?.close();
});

async function startRedis(): Promise<void> {
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  await installLibrary(redis);
  await redis.fcall('backend_patch', 2, 'gateway:backends', FEED, 'app-1', '{"id":1,"address":"10.1.0.1:8080"}');
}

async function stopRedis(): Promise<void> {
  redis.disconnect();
  await stage.stopRedis();
}

/** The daemon is in step with Redis, and was a moment ago. */
const inStep = () => until(async () => ((await status())?.ageMs ?? Number.POSITIVE_INFINITY) < 2_000, BOUND_MS);

/** Undefined where no daemon answers. */
async function status(): Promise<Status | undefined> {
  const asked = askDaemon(join(stage.directory, 'gateway.sock'), { method: 'GET', path: '/v1/status' });
  return (await asked.catch(() => undefined)) as Status | undefined;
}

/** @param as what runs it, as setpriv does */
async function doctor(...as: string[]): Promise<Finding[]> {
  const namespace = `--net=/run/netns/${stage.network.gatewayNamespace}`;
  const command = [namespace, ...as, GATEWAY, 'doctor', '--json', '-c', stage.configFile];
  const running = promisify(execFile)('nsenter', command, { timeout: BOUND_MS });
  const ended = await running.catch((error: unknown) => error as { code: number; stdout: string; stderr: string });
  const { stdout, stderr } = ended;
  expect(stderr).toBe('');
  const { findings } = JSON.parse(stdout) as { findings: Finding[] };
  expect('code' in ended ? ended.code : 0).toBe(findings.some(({ level }) => level === 'problem') ? 1 : 0);
  return findings;
}

async function codes(): Promise<(FindingCode | null)[]> {
  return (await doctor()).map(({ code }) => code);
}

/** What this machine is like and no test changes. */
const problems = (findings: readonly Finding[]) => findings.filter(({ level }) => level === 'problem');

/** Another program on the gateway's host, which is there once it has said a line. */
async function otherProgram(script: string): Promise<{ child: ChildProcess; said: string }> {
  const child = stage.network.spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [said] = await once(child.stdout as Readable, 'data');
  return { child, said: String(said).trim() };
}

test('all is well', async () => {
  await inStep();
  const findings = await doctor();
  expect(problems(findings)).toEqual([]);
  const ok = findings.filter(({ level }) => level === 'ok').map(({ name }) => name);
  expect(ok).toEqual(
    expect.arrayContaining(['daemon', 'age', 'sessions', 'requests', 'redis', 'redis feed', 'backends']),
  );
  expect(ok).toEqual(expect.arrayContaining(['interface sgw1', 'interface sgw1 peer', `UDP port ${stage.port}`]));
});

test('a load balancer with another secret, while it asks', async () => {
  const { fields, secret } = randomKey(1);
  const wrong = new Key(fields, secret);
  const client = createLookupClient({
    servers: [{ host: GATEWAY_IPV4, port: stage.port }],
    key: wrong,
    timeoutMs: 100,
  });
  let isOver = false;
  const asking = (async () => {
    while (!isOver) expect((await client.lookup('s')).status).toBe('UNREACHABLE');
  })();
  try {
    const found = (await doctor()).find(({ code }) => code === 'requests-forged');
    expect(found).toMatchObject({ name: 'requests', level: 'warning' });
  } finally {
    isOver = true;
    await asking;
    await client.close();
  }
});

test('a backend whose entry is wrong, and a table that can not be read: the feed is stale', async () => {
  await redis.hset('gateway:backends', 'app-2', '{"id":1}');
  await redis.set('gateway:denied', 'not a sorted set');
  for (const op of ['backends', 'denied']) await redis.xadd(FEED, '*', 'op', op);
  await until(async () => ((await status())?.ageMs ?? 0) > 2_000, BOUND_MS);
  const findings = await doctor();
  expect(findings.find(({ code }) => code === 'backend-wrong')).toMatchObject({ name: 'backend app-2' });
  expect(findings.find(({ code }) => code === 'daemon-stale')?.found).toMatch(
    /in step with Redis \d+ s ago; last failure: .*denied/,
  );
  await redis.hdel('gateway:backends', 'app-2');
  await redis.del('gateway:denied');
  await redis.xadd(FEED, '*', 'op', 'backends');
  await inStep();
});

test('a table that is full', async () => {
  for (let i = 0; i < CAPACITY + 10; i++)
    await redis.fcall('session_set', 2, `sess:${i}`, FEED, `${i}`, 'app-1', 600_000);
  await until(async () => ((await status())?.refused ?? 0) > 0, BOUND_MS);
  expect((await doctor()).find(({ code }) => code === 'table-full')?.found).toMatch(/^50 of 50, \d+ refused/);
});

test('Redis without notifications, and a UDP port that another program has', async () => {
  const { child: other } = await otherProgram(
    `require('dgram').createSocket('udp4').bind(${stage.port}, '127.0.0.1', () => console.log('there'))`,
  );
  try {
    // It is in nobody's way where the gateway has another address.
    expect(await codes()).not.toContain('udp-port-taken');
    stage.writeConfig({ feed: { from: 'notifications' }, listen: { addresses: ['127.0.0.1'] } });
    const findings = await doctor();
    expect(findings.find(({ code }) => code === 'notifications-missing')).toMatchObject({ level: 'problem' });
    expect(findings.find(({ code }) => code === 'udp-port-taken')?.found).toBe(
      `a socket of process ${other.pid} (${fs.readFileSync(`/proc/${other.pid}/comm`, 'utf8').trim()})`,
    );
  } finally {
    stage.writeConfig({ feed: {}, listen: { staleAfterMs: 2_000 } });
    await endProcess(other, 5_000);
  }
});

test('Redis is away; then its clock is off', async () => {
  await stopRedis();
  await until(async () => (await status())?.sync.state === 'connecting', BOUND_MS);
  expect(await codes()).toEqual(expect.arrayContaining(['redis-unreachable', 'daemon-not-connected']));

  const library = join(stage.directory, 'late.so');
  fs.writeFileSync(
    `${library}.c`,
    `#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>
int gettimeofday(struct timeval *now, void *zone)
{
	int result = syscall(SYS_gettimeofday, now, zone);
	now->tv_sec += 300;
	return result;
}
`,
  );
  execFileSync('clang-19', ['-shared', '-fPIC', '-o', library, `${library}.c`]);
  process.env['LD_PRELOAD'] = library;
  try {
    await startRedis();
  } finally {
    delete process.env['LD_PRELOAD'];
  }
  const found = (await doctor()).find(({ code }) => code === 'redis-clock-off');
  expect(found?.found).toMatch(/^(299|300)\d{3} ms ahead of this machine's$/);
});

test('without the daemon: its program goes on; a port of the control API that is taken; a capability that is missing', async () => {
  await stage.stopGateway();
  const token = join(stage.directory, 'token');
  fs.writeFileSync(token, 'x'.repeat(40), { mode: 0o600 });
  const config = JSON.parse(fs.readFileSync(stage.configFile, 'utf8'));
  const { child: other, said } = await otherProgram(
    "const s = require('net').createServer().listen(0, '127.0.0.1', () => console.log(s.address().port))",
  );
  try {
    const useHttp = (http: string): void => {
      const control = { ...config.control, http, tokenFile: token };
      fs.writeFileSync(stage.configFile, JSON.stringify({ ...config, control }));
    };
    useHttp(`[::1]:${said}`);
    expect(await codes()).not.toContain('http-port-taken');
    useHttp(`127.0.0.1:${said}`);
    const findings = await doctor('setpriv', '--bounding-set=-perfmon,-sys_admin', '--inh-caps=-perfmon,-sys_admin');
    const found = findings.flatMap(({ code }) => code ?? []);
    expect(found).toEqual(expect.arrayContaining(['daemon-away', 'capability-missing', 'http-port-taken']));
    expect(findings.find(({ code }) => code === 'capability-missing')?.found).toBe(
      'this process is without CAP_PERFMON',
    );
  } finally {
    fs.writeFileSync(stage.configFile, JSON.stringify(config));
    await endProcess(other, 5_000);
  }
  expect(await codes()).toContain('interface-own-program');
});

test('generic mode; an interface with a program of another owner, whose other end has none', async () => {
  const namespace = stage.network.gatewayNamespace;
  execFileSync('ip', ['-n', namespace, 'link', 'add', 'sgwd0', 'type', 'veth', 'peer', 'name', 'sgwd1']);
  execFileSync('ip', ['-n', namespace, 'link', 'set', 'sgwd0', 'mtu', '1000']);
  const pass = new BpfObject(PASS_OBJECT);
  pass.load('pass');
  const foreign = stage.network.onGatewayHost(() =>
    attachXdp(pass.programFd('pass'), interfaceIndex('sgwd0'), 'native'),
  );
  try {
    stage.writeConfig({ listen: { attach: 'generic' } });
    await stage.startGateway();
    stage.writeConfig({ listen: { interfaces: ['sgw1', 'sgwd0', 'sgwd9'] } });
    const findings = await doctor();
    const of = (name: string) =>
      findings.filter((one) => one.name === `interface ${name}`).flatMap(({ code }) => code ?? []);
    expect(of('sgw1')).toContain('interface-generic');
    expect(of('sgwd0')).toEqual(
      expect.arrayContaining(['xdp-foreign', 'interface-down', 'mtu-small', 'veth-peer-without-xdp']),
    );
    expect(of('sgwd9')).toEqual(['interface-missing']);
    expect(findings.find(({ name }) => name === 'addresses')?.found).toContain(GATEWAY_IPV4);
    stage.writeConfig({ listen: { interfaces: ['sgwd0'] } });
    expect((await doctor()).find(({ code }) => code === 'addresses-none')).toMatchObject({
      found: 'listen.addresses is empty, and on sgwd0 there is none',
    });
  } finally {
    fs.closeSync(foreign);
    pass.close();
  }
});
