/**
 * The daemon as an unprivileged user with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON and nothing else, in folders as the systemd
 * unit makes them: a whole life of it.
 */
import { type ChildProcess, execFile } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Key } from '../../src/auth/keyring.ts';
import { createLookupClient, type LookupClient } from '../../src/client/index.ts';
import { askDaemon } from '../../src/gateway/control/client.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import type { Status } from '../../src/gateway/ports.ts';
import { addBackends, functionsOf } from '../sync/harness.ts';

const GATEWAY = fileURLToPath(new URL('../../bin/gateway', import.meta.url));
/** A user and a group that own nothing else on this machine. */
const USER = 64_123;
const GROUP = 64_124;
const NEEDED = ['bpf', 'net_admin', 'perfmon'];
const WAIT_MS = 60_000;

let stage: Stage;
let pins: string;
let socket: string;
const daemons: ChildProcess[] = [];
let redis: Redis;
let client: LookupClient | undefined;

beforeEach(async () => {
  stage = new Stage({ name: `sgwp${process.pid % 100_000}`, capacity: 1_000 });
  // Only root may make something in the upper folder, as in /run and in a BPF file system mounted by systemd.
  fs.mkdirSync(stage.pins, { mode: 0o711 });
  pins = owned(join(stage.pins, 'own'));
  socket = join(owned(join(stage.directory, 'run')), 'gateway.sock');
  fs.chmodSync(stage.directory, 0o711);
  configure({ pins, control: { socket } });
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
});
afterEach(async () => {
  await client?.close();
  client = undefined;
  for (const daemon of daemons.splice(0)) await ended(daemon, 'SIGKILL');
  redis.disconnect();
  await command('detach');
  await stage.close();
  fs.rmSync(stage.pins, { recursive: true, force: true });
});

function owned(folder: string): string {
  fs.mkdirSync(folder, { mode: 0o700 });
  fs.chownSync(folder, USER, GROUP);
  return folder;
}

function configure(change: Record<string, unknown>): void {
  const config = JSON.parse(fs.readFileSync(stage.configFile, 'utf8'));
  fs.writeFileSync(stage.configFile, JSON.stringify({ ...config, ...change }));
}

/** A key file as a deployment leaves it: root's, and readable by the daemon's group. */
function writeKeys(ids: readonly number[]): Key {
  const keys = stage.writeKeys(ids.map(randomKey));
  fs.chownSync(stage.keyFile, 0, GROUP);
  fs.chmodSync(stage.keyFile, 0o640);
  const last = keys.at(-1);
  if (last === undefined) throw new Error('no key');
  return last;
}

/** How setpriv (util-linux) is told to keep these capabilities and nothing else. */
function asUser(capabilities: readonly string[]): string[] {
  const set = ['-all', ...capabilities.map((name) => `+${name}`)].join();
  return [
    ...['setpriv', `--reuid=${USER}`, `--regid=${GROUP}`, '--clear-groups', '--no-new-privs'],
    ...[`--inh-caps=${set}`, `--ambient-caps=${set}`, `--bounding-set=${set}`],
  ];
}

function startDaemon(capabilities: readonly string[] = NEEDED): ChildProcess {
  const log = fs.openSync(stage.logFile, 'a');
  const [executable = '', ...args] = [...asUser(capabilities), GATEWAY, 'run', '-c', stage.configFile];
  const daemon = stage.network.spawn(executable, args, { stdio: ['ignore', log, log] });
  fs.closeSync(log);
  daemons.push(daemon);
  return daemon;
}

async function readyDaemon(): Promise<ChildProcess> {
  const daemon = startDaemon();
  await until('ready', async () => {
    if (daemon.exitCode !== null) throw new Error(stage.logTail());
    const asked = askDaemon(socket, { method: 'GET', path: '/v1/status' }) as Promise<Partial<Status>>;
    const { ready, pid } = await asked.catch((): Partial<Status> => ({}));
    return ready === true && pid === daemon.pid;
  });
  return daemon;
}

async function ended(daemon: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (daemon.exitCode !== null || daemon.signalCode !== null) return daemon.exitCode;
  const exit = once(daemon, 'exit');
  daemon.kill(signal);
  await exit;
  return daemon.exitCode;
}

/** A command of the gateway's, as the same user with the same capabilities. */
function command(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const whole = [
    `--net=/run/netns/${stage.network.gatewayNamespace}`,
    ...asUser(NEEDED),
    GATEWAY,
    ...args,
    '-c',
    stage.configFile,
  ];
  return new Promise((resolve) => {
    execFile('nsenter', whole, { timeout: WAIT_MS }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + WAIT_MS;
  while (!(await isTrue())) {
    if (performance.now() > endMs) throw new Error(`waited in vain: ${what}\n${stage.logTail()}`);
    await sleep(50);
  }
}

function ask(key: Key): LookupClient {
  return createLookupClient({
    servers: [{ host: GATEWAY_IPV4, port: stage.port }],
    key,
    timeoutMs: 1_000,
    tryTimeoutMs: 300,
  });
}

/** The lines Uid, Gid, Groups and Cap… of a process. */
function privileges(daemon: ChildProcess): Record<string, string> {
  const status = fs.readFileSync(`/proc/${daemon.pid}/status`, 'utf8');
  return Object.fromEntries([...status.matchAll(/^(\w+):[\t ]*(.*?) *$/gm)].map(([, name, value]) => [name, value]));
}

test('it starts, answers, reloads keys, attaches again, is killed and taken over, makes new maps, detaches', async () => {
  const key = writeKeys([1]);
  await addBackends(redis, 2);
  await functionsOf(redis).sessionSet('a', 'web-1', 600_000);
  const first = await readyDaemon();
  expect(privileges(first)).toMatchObject({
    Uid: Array(4).fill(USER).join('\t'),
    Gid: Array(4).fill(GROUP).join('\t'),
    Groups: '',
    CapEff: '000000c000001000',
    CapBnd: '000000c000001000',
    NoNewPrivs: '1',
  });
  expect(fs.statSync(socket)).toMatchObject({ uid: USER, gid: GROUP });
  expect(fs.statSync(socket).mode & 0o7777).toBe(0o660);
  client = ask(key);
  expect(await client.lookup('a')).toMatchObject({ status: 'FOUND', backend: 1 });

  const newKey = writeKeys([1, 2]);
  expect(await command('reload-keys')).toMatchObject({ status: 1, stderr: expect.stringContaining('KEY_ID_REUSED') });
  const other = writeKeys([3]);
  expect(await command('reload-keys')).toMatchObject({ status: 0, stderr: '' });
  expect(newKey.id).toBe(2);
  await client.close();
  client = ask(other);
  expect((await client.lookup('a')).status).toBe('FOUND');

  stage.network.unplug();
  stage.network.plug();
  // Until then the daemon answers by itself.
  await until('attached again', async () => {
    const { interfaces, addresses } = (await askDaemon(socket, { method: 'GET', path: '/v1/status' })) as Status;
    return interfaces.every(({ mode }) => mode === 'native') && addresses.includes(GATEWAY_IPV4);
  });

  await ended(first, 'SIGKILL');
  expect((await client.lookup('a')).status).toBe('FOUND');
  await functionsOf(redis).sessionSet('b', 'web-2', 600_000);
  const second = await readyDaemon();
  expect(await client.lookup('b')).toMatchObject({ status: 'FOUND', backend: 2 });
  expect(await ended(second, 'SIGTERM')).toBe(0);
  expect((await client.lookup('a')).status).toBe('FOUND');

  configure({ sessions: { capacity: 2_000 } });
  const third = await readyDaemon();
  await until('old maps are gone', () => fs.readdirSync(pins).length === 3);
  expect((await client.lookup('a')).status).toBe('FOUND');

  expect(await command('detach')).toMatchObject({ status: 1, stderr: expect.stringContaining('DETACH_FAILED') });
  expect(await ended(third, 'SIGTERM')).toBe(0);
  expect(await command('detach')).toMatchObject({ status: 0, stdout: 'taken off sgw1\n' });
  expect((await client.lookup('a')).status).toMatch(/^(NO_ANSWER|UNREACHABLE)$/);
  expect(fs.readdirSync(pins)).toEqual([]);
  expect(await command('detach')).toMatchObject({ status: 0, stdout: `nothing is attached (${pins})\n` });
});

/** The daemon's exit status and its last words, when it doesn't start. */
async function refused(capabilities?: readonly string[]): Promise<[number | null, string]> {
  const logged = fs.existsSync(stage.logFile) ? fs.statSync(stage.logFile).size : 0;
  const daemon = startDaemon(capabilities);
  await until('it has ended', () => daemon.exitCode !== null);
  return [daemon.exitCode, fs.readFileSync(stage.logFile, 'utf8').slice(logged)];
}

test('what is missing is named, and nothing is left', async () => {
  writeKeys([1]);
  for (const missing of NEEDED) {
    const [status, words] = await refused(NEEDED.filter((name) => name !== missing));
    expect(status).toBe(1);
    expect(words).toContain(`CAPABILITY_MISSING: this process doesn't have CAP_${missing.toUpperCase()}; needed are`);
  }

  fs.chmodSync(stage.keyFile, 0o600);
  const [unreadable, why] = await refused();
  expect(unreadable).toBe(2);
  expect(why).toMatch(/KEY_FILE_INVALID: .*keys\.yaml: can't be read: EACCES/);
  fs.chmodSync(stage.keyFile, 0o644);
  const [exposed, words] = await refused();
  expect(exposed).toBe(2);
  expect(words).toMatch(/found mode 0644, group 64124, allowed: no access for others; run: chmod o= /);
  fs.chmodSync(stage.keyFile, 0o640);
  expect(fs.readdirSync(pins)).toEqual([]);

  fs.chownSync(pins, 0, 0);
  const [notOwn, reason] = await refused();
  expect(notOwn).toBe(1);
  expect(reason).toContain('the kernel side did not start: EACCES');
  expect(reason).toContain(pins);
});
