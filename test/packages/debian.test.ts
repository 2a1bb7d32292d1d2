/** The Debian package on a machine with systemd: installed, started, asked, upgraded under load, removed, purged. */
import { execFile, execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { ROOT } from '../../packaging/package-folder.ts';
import { readKeyFile } from '../../src/auth/key-file-access.ts';
import { createLookupClient, type LookupClient } from '../../src/client/index.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { Stage } from '../../src/gateway/demo/stage.ts';
import type { Finding } from '../../src/gateway/doctor/finding.ts';
import { addBackends, functionsOf } from '../sync/harness.ts';
import { SystemdMachine, until } from './systemd-machine.ts';

const PORT = 6464;
const UNIT = 'session-gateway.service';
const UNITS = '/usr/lib/systemd/system';
const CONFIG = '/etc/session-gateway/gateway.yaml';
const KEYS = '/etc/session-gateway/keys.yaml';
const DOCUMENTS = 'usr/share/doc/session-gateway';
/** CAP_NET_ADMIN, CAP_PERFMON and CAP_BPF. */
const CAPABILITIES = '000000c000001000';

const packages = fs.mkdtempSync(join(placeFor(1e9), 'debian-package-'));
let older: string;
let newer: string;
let stage: Stage;
let machine: SystemdMachine;
let client: LookupClient | undefined;

/** In memory where there is room, else on the disk, where it takes longer. */
function placeFor(bytes: number): string {
  const { bavail, bsize } = fs.statfsSync('/dev/shm');
  return bavail * bsize > bytes ? '/dev/shm' : tmpdir();
}

beforeAll(async () => {
  const script = join(ROOT, 'packaging/debian/build.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [script, '--out', packages, '--level', '1']);
  newer = stdout.trim();
  older = olderOf(newer);
}, 240_000);
afterAll(() => fs.rmSync(packages, { recursive: true }));

beforeEach(async () => {
  stage = new Stage({ name: `deb${process.pid}` });
  await stage.startRedis();
  machine = await SystemdMachine.start(`deb${process.pid}`, stage.network.gatewayNamespace);
  for (const file of [older, newer]) fs.copyFileSync(file, machine.path(`/tmp/${basename(file)}`));
});
afterEach(async () => {
  await client?.close();
  client = undefined;
  await machine?.stop();
  await stage.close();
});

/** The same package with a lower version, and a line more in the configuration that it ships. */
function olderOf(file: string): string {
  const folder = join(packages, 'older');
  execFileSync('dpkg-deb', ['--raw-extract', file, folder]);
  edit(join(folder, 'DEBIAN/control'), (text) => text.replace(/^Version: .*$/m, 'Version: 0.0.1'));
  edit(join(folder, CONFIG), (text) => `${text}# of an older version\n`);
  const built = join(packages, 'older.deb');
  execFileSync('dpkg-deb', ['--root-owner-group', '-Znone', '--build', folder, built], { stdio: 'ignore' });
  fs.rmSync(folder, { recursive: true });
  return built;
}

function edit(file: string, change: (text: string) => string): void {
  fs.writeFileSync(file, change(fs.readFileSync(file, 'utf8')));
}

function install(file: string): Promise<string> {
  return machine.must('dpkg', '--install', `/tmp/${basename(file)}`);
}

async function property(name: string): Promise<string> {
  return (await machine.must('systemctl', 'show', '--value', `--property=${name}`, UNIT)).trim();
}

async function owner(path: string): Promise<string> {
  return (await machine.must('stat', '--format=%U:%G %a', path)).trim();
}

/** Names this machine's interface, as an administrator would. */
function configure(): void {
  edit(machine.path(CONFIG), (text) => {
    return text.replace('interfaces: [eth0]', `interfaces: [${stage.network.gatewayInterface}]`);
  });
}

async function start(): Promise<void> {
  const { status } = await machine.run('systemctl', 'start', UNIT);
  if (status !== 0) throw new Error(await machine.must('journalctl', '--no-pager', '--lines=30', '--unit', UNIT));
}

async function ask(): Promise<LookupClient> {
  const file = join(packages, 'keys.yaml');
  fs.writeFileSync(file, await machine.must('cat', KEYS), { mode: 0o600 });
  const [key] = [...readKeyFile(file)];
  if (key === undefined) throw new Error('no key');
  return createLookupClient({
    servers: [{ host: GATEWAY_IPV4, port: PORT }],
    key,
    timeoutMs: 2_000,
    tryTimeoutMs: 500,
  });
}

async function writeSession(): Promise<void> {
  const redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  await addBackends(redis, 1);
  await functionsOf(redis).sessionSet('a', 'web-1', 600_000);
  redis.disconnect();
}

/** @returns what every lookup had for an answer, one after the other while something is done */
async function askedThroughout(asker: LookupClient, action: () => Promise<void>): Promise<string[]> {
  const statuses: string[] = [];
  let isOver = false;
  const asking = (async () => {
    while (!isOver) statuses.push((await asker.lookup('a')).status);
  })();
  try {
    await action();
  } finally {
    isOver = true;
    await asking;
  }
  return statuses;
}

test('its whole life: installed, configured, started, reloaded, upgraded under load, removed, installed again, purged', async () => {
  await writeSession();

  // What people read is in it, where a machine may leave out that at the installation.
  const contents = execFileSync('dpkg-deb', ['--contents', newer], { encoding: 'utf8', maxBuffer: 2 ** 24 });
  for (const file of ['docs/metrics.md', 'config/grafana/session-gateway.json', 'config/prometheus/alerts.yaml'])
    expect(contents).toContain(` ./${DOCUMENTS}/${file}\n`);
  expect(contents).toContain(' ./usr/share/man/man8/gateway.8.gz\n');

  // Installed: nothing is started, nothing is secret to nobody.
  expect(await install(older)).toContain('nothing is attached yet');
  expect(await machine.must('gateway', '--version')).toMatch(/^\d+\.\d+\.\d+/);
  expect((await machine.run('systemctl', 'is-enabled', UNIT)).stdout).toBe('disabled\n');
  expect(await property('ActiveState')).toBe('inactive');
  expect(await owner('/etc/session-gateway')).toBe('root:session-gateway 750');
  expect(await owner(CONFIG)).toBe('root:session-gateway 640');
  expect(await owner(KEYS)).toBe('session-gateway:session-gateway 600');
  const keys = await machine.must('cat', KEYS);
  expect(keys).toMatch(/^keys:\n {2}- id: 1\n {4}name: "key-1"\n {4}suite: hmac-sha256\n {4}secret: "[0-9a-f]{64}"\n$/);

  // As the unit has it: no complaint of systemd's, and little that it lays open.
  const verified = await machine.run(
    'systemd-analyze',
    'verify',
    `${UNITS}/${UNIT}`,
    `${UNITS}/session-gateway-spoe.service`,
  );
  expect(verified).toMatchObject({ status: 0, stderr: '' });
  const security = ['security', '--no-pager', '--offline=true', '--threshold=35', `${UNITS}/${UNIT}`];
  expect(await machine.run('systemd-analyze', ...security)).toMatchObject({ status: 0 });

  // A configuration for another machine: it says so, and isn't tried again for ever.
  edit(machine.path(CONFIG), (text) => `typo: 1\n${text}`);
  expect((await machine.run('systemctl', 'start', UNIT)).status).not.toBe(0);
  expect(await property('ActiveState')).toBe('failed');
  expect(await property('ExecMainStatus')).toBe('2');
  edit(machine.path(CONFIG), (text) => text.replace('typo: 1\n', ''));

  // Started, with three capabilities and no more, and watched.
  configure();
  await machine.must('systemctl', 'enable', UNIT);
  await start();
  await until('it follows Redis', async () => (await property('StatusText')) === 'Following Redis');
  const first = await property('MainPID');
  const status = await machine.must('cat', `/proc/${first}/status`);
  for (const set of ['CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) expect(status).toContain(`${set}:\t${CAPABILITIES}\n`);
  expect(status).toMatch(/^NoNewPrivs:\t1$/m);
  expect(status).toMatch(/^Seccomp:\t2$/m);
  expect(await machine.must('ps', '-o', 'user=', '-p', first)).toBe('session-gateway\n');
  expect(await property('WatchdogUSec')).toBe('30s');
  expect(await owner('/run/session-gateway/gateway.sock')).toBe('session-gateway:session-gateway 660');
  client = await ask();
  expect(await client.lookup('a')).toMatchObject({ status: 'FOUND', backend: 1 });
  const doctor = JSON.parse((await machine.run('gateway', 'doctor', '--json')).stdout) as { findings: Finding[] };
  expect(doctor.findings.filter(({ level }) => level === 'problem')).toEqual([]);

  // HAProxy's agent, with no capability, and a key that it is handed.
  await machine.must('cp', KEYS, '/etc/session-gateway/spoe-keys.yaml');
  await machine.must('systemctl', 'start', 'session-gateway-spoe');
  const listens = / 0100007F:23E7 00000000:0000 0A /; // 127.0.0.1:9191, TCP_LISTEN
  await until('it listens', async () => listens.test(await machine.must('cat', '/proc/net/tcp')));
  const agent = await machine.must('systemctl', 'show', '--value', '--property=MainPID', 'session-gateway-spoe');
  expect(await machine.must('cat', `/proc/${agent.trim()}/status`)).toMatch(/^CapBnd:\t0000000000000000$/m);
  await machine.must('systemctl', 'stop', 'session-gateway-spoe');
  await machine.must('rm', '/etc/session-gateway/spoe-keys.yaml');

  // A reload that is refused is seen to be.
  await machine.must('systemctl', 'reload', UNIT);
  edit(machine.path(KEYS), (text) => `${text}nonsense`);
  expect((await machine.run('systemctl', 'reload', UNIT)).status).not.toBe(0);
  edit(machine.path(KEYS), (text) => text.replace('nonsense', ''));
  expect(await property('ActiveState')).toBe('active');

  // Upgraded: another daemon, the same answers, no question lost, and the administrator's configuration as it was.
  const configured = await machine.must('cat', CONFIG);
  const statuses = await askedThroughout(client, async () => {
    await machine.must('dpkg', '--install', '--force-confold', `/tmp/${basename(newer)}`);
    expect(await property('ActiveState')).toBe('active');
    expect(await property('MainPID')).not.toBe(first);
    await until('the new one follows Redis', async () => (await property('StatusText')) === 'Following Redis');
  });
  expect(statuses.length).toBeGreaterThan(0);
  expect(statuses.filter((found) => found !== 'FOUND')).toEqual([]);
  expect(await machine.must('cat', CONFIG)).toBe(configured);
  expect(await machine.must('cat', KEYS)).toBe(keys);
  expect((await machine.run('systemctl', 'is-enabled', UNIT)).stdout).toBe('enabled\n');

  // Removed: the kernel goes on, and what is to be done about it is said.
  const removed = await machine.run('dpkg', '--remove', 'session-gateway');
  expect(removed).toMatchObject({ status: 0, stderr: expect.stringContaining('rm -r /sys/fs/bpf/session-gateway') });
  expect(fs.existsSync(machine.path('/usr/lib/session-gateway'))).toBe(false);
  expect(await client.lookup('a')).toMatchObject({ status: 'FOUND' });

  // Installed again: as it was.
  await install(newer);
  expect(await machine.must('cat', KEYS)).toBe(keys);
  expect((await machine.run('systemctl', 'is-enabled', UNIT)).stdout).toBe('enabled\n');
  await start();
  expect(await client.lookup('a')).toMatchObject({ status: 'FOUND' });

  // Purged: nobody answers, and nothing is left.
  await machine.must('dpkg', '--purge', 'session-gateway');
  const gone = client;
  await until('nobody answers', async () => /^(NO_ANSWER|UNREACHABLE)$/.test((await gone.lookup('a')).status));
  for (const path of ['/etc/session-gateway', '/var/lib/session-gateway', '/sys/fs/bpf/session-gateway'])
    expect(fs.existsSync(machine.path(path)), path).toBe(false);
  expect((await machine.run('getent', 'passwd', 'session-gateway')).stdout).toBe('');
}, 400_000);
