/** `gateway balance` as its own process, on a real Redis. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type ControlServer, startControl } from '../../../src/gateway/control/server.ts';
import { createLogger } from '../../../src/gateway/log.ts';
import type { BackendRecord } from '../../../src/gateway/ports.ts';
import { PresentAnswers } from '../../../src/gateway/present-answers.ts';
import { functionsOf } from '../../sync/harness.ts';
import { RedisServer } from '../../sync/redis-server.ts';
import { FakeGateway } from '../control/fake-gateway.ts';
import { startGateway, until } from '../support/balancing.ts';
import { gateway } from '../support/command.ts';

const folder = mkdtempSync(join(tmpdir(), 'balance-'));
const config = join(folder, 'gateway.yaml');
const LOCK = 'gateway:balancer';
let server: RedisServer;
let redis: Redis;
let control: ControlServer;

beforeAll(async () => {
  server = await RedisServer.start();
  redis = server.client();
  writeFileSync(config, JSON.stringify({ control: { socket: 'gateway.sock' }, redis: { url: server.url } }));
  control = await startControl(join(folder, 'gateway.sock'), new FakeGateway(), createLogger('fatal'));
});
afterAll(async () => {
  await control?.close();
  await server?.stop();
  rmSync(folder, { recursive: true });
});
beforeEach(async () => {
  await redis.flushall();
  await addBackends(3);
});

async function addBackends(count: number): Promise<void> {
  for (let id = 1; id <= count; id++)
    await functionsOf(redis).backendPatch(`web-${id}`, { id, address: `10.0.0.${id}:80` });
}

/** So many sessions on each backend. */
async function store(counts: Readonly<Record<string, number>>): Promise<void> {
  const pipeline = redis.pipeline();
  for (const [name, count] of Object.entries(counts)) {
    for (let i = 0; i < count; i++) pipeline.hset(`sess:${name} ${i}`, 'backend', name);
  }
  await pipeline.exec();
}

const balance = (...args: string[]) => gateway(['balance', '-c', config, ...args]);

async function table(): Promise<BackendRecord[]> {
  const found = await redis.hgetall('gateway:backends');
  return Object.entries(found).map(([name, json]) => ({ name, ...(JSON.parse(json) as Omit<BackendRecord, 'name'>) }));
}

async function shedOf(name: string): Promise<number | undefined> {
  return (await table()).find((backend) => backend.name === name)?.shed;
}

/** By name, how many of the stored sessions are answered there. */
async function answered(counts: Readonly<Record<string, number>>): Promise<Record<string, number>> {
  const answers = new PresentAnswers(await table());
  const there: Record<string, number> = {};
  for (const [name, count] of Object.entries(counts)) {
    for (let i = 0; i < count; i++) {
      const hash = createHash('sha256').update(`${name} ${i}`).digest();
      const at = answers.movedTo(name, hash) ?? name;
      there[at] = (there[at] ?? 0) + 1;
    }
  }
  return there;
}

const COUNTS = { 'web-1': 2_000, 'web-2': 1_190, 'web-3': 100 };

describe('by stored sessions', () => {
  beforeEach(() => store(COUNTS));

  test('it proposes, and changes nothing', async () => {
    const { status, stdout, stderr } = await balance('--target', '1200', '--json');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ outcome: 'reached', applied: false, total: 3_290, capacity: 3_600 });
    expect((await table()).map(({ shed, weight }) => [shed, weight])).toEqual([
      [0, 100],
      [0, 100],
      [0, 100],
    ]);
    expect(await redis.exists(LOCK)).toBe(0);
    const text = (await balance('--target', '1200')).stdout;
    expect(text).toMatch(/^web-1 +active +2,000 +1,\d{3} +1,200 +0 % -> \d\d\.\d+ % +100$/m);
    expect(text).toMatch(/^reached: 2 backends to change, 24\.\d\d % of the load moves; do it with --apply$/m);
  });

  test('--apply brings every backend under the target, counted one by one, and moves no more than that takes', async () => {
    const { status, stderr } = await balance('--target', '1200', '--apply');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const there = await answered(COUNTS);
    for (const name of Object.keys(COUNTS)) expect(there[name]).toBeLessThanOrEqual(1_200);
    expect(there['web-1']).toBeGreaterThan(1_195);
    expect(await redis.exists(LOCK)).toBe(0);
    expect((await balance('--target', '1200')).stdout).toMatch(/^nothing to do$/m);
  });

  test('when the sessions are gone, it sheds less again', async () => {
    await balance('--target', '1200', '--apply');
    await redis.del(...Array.from({ length: 1_500 }, (_, i) => `sess:web-1 ${i}`));
    await balance('--target', '1200', '--apply');
    expect(await shedOf('web-1')).toBe(0);
  });

  test('interrupted, it changes nothing more, says so, and lets go of the lock', async () => {
    await redis.client('PAUSE', 60_000, 'WRITE');
    const applying = startGateway(['balance', '-c', config, '--target', '1200', '--apply']);
    await until(async () => String(await redis.client('LIST')).includes('cmd=set '));
    applying.child.kill('SIGINT');
    await redis.client('UNPAUSE');
    const { status, stdout, stderr } = await applying.ended;
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^gateway: BALANCE_STOPPED: /);
    expect(await shedOf('web-1')).toBe(0);
    expect(await redis.exists(LOCK)).toBe(0);
  });

  test('a lock without an end is no balancer’s, which is said', async () => {
    await redis.set(LOCK, 'by hand');
    const { status, stderr } = await balance('--target', '1200', '--apply');
    expect(status).toBe(1);
    expect(stderr).toMatch(/BALANCE_LOCKED: .*has no end, so none made it: delete it/);
    expect(await redis.get(LOCK)).toBe('by hand');
  });

  test('targets can be percentages, and one backend can have its own', async () => {
    const { stdout } = await balance('--target', '200%', '--target', 'web-1=1500', '--json');
    const { loads, changes } = JSON.parse(stdout) as { loads: { target: number }[]; changes: { name: string }[] };
    expect(loads.map(({ target }) => Math.round(target))).toEqual([1_500, 2_193, 2_193]);
    expect(changes.map(({ name }) => name)).toEqual(['web-1']);
  });

  test('what is too much for all is said, by how much', async () => {
    const { status, stdout, stderr } = await balance('--target', '1000', '--apply');
    expect(status).toBe(1);
    expect(stderr).toMatch(/BALANCE_IMPOSSIBLE.*3,290.*3,000.*290 too much/);
    expect(stdout).toMatch(/impossible: nothing is changed/);
    expect(await shedOf('web-1')).toBe(0);
  });
});

describe('by what backends report', () => {
  test('it balances that', async () => {
    await redis.hset('gateway:load', { 'web-1': '80.5', 'web-2': ' 20 ', 'web-3': '1e1' });
    const { stdout } = await balance('--target', '60', '--by', 'reported', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      outcome: 'reached',
      total: 110.5,
      changes: [{ name: 'web-1', shed: 2_547 }],
    });
  });

  test.each([[null], ['much'], ['-1'], ['NaN'], ['Infinity'], [''], ['0x10'], ['1e308'], ['9'.repeat(100)]])(
    'an active backend with %j is named, and nothing is changed',
    async (load) => {
      await redis.hset('gateway:load', { 'web-1': '80', 'web-2': '0' });
      if (load !== null) await redis.hset('gateway:load', 'web-3', load);
      const { status, stderr } = await balance('--target', '60', '--by', 'reported', '--apply');
      expect(status).toBe(1);
      expect(stderr).toMatch(/BALANCE_LOADS_MISSING: gateway:load has no load of "web-3"; needed/);
      expect(await shedOf('web-1')).toBe(0);
      // Of one that is down nothing is expected.
      await functionsOf(redis).backendPatch('web-3', { state: 'down' });
      if (load === null) expect((await balance('--target', '60', '--by', 'reported')).status).toBe(0);
    },
  );
});

describe('by lookups', () => {
  test.each(['--apply', '--watch'])('%s is refused with the reason', async (how) => {
    const { status, stderr } = await balance('--target', '60', '--by', 'lookups', how);
    expect(status).toBe(2);
    expect(stderr).toMatch(/advice only.*replays/);
  });

  test('advice comes from what the gateway of this machine counts', async () => {
    const { status, stderr } = await balance('--target', '60', '--by', 'lookups');
    // The gateway that is played here knows other backends.
    expect(status).toBe(1);
    expect(stderr).toMatch(/BALANCE_LOADS_MISSING: the gateway has no load of "web-/);
  });
});

test('without backends there is nothing to balance, which is said', async () => {
  await redis.del('gateway:backends');
  const { status, stdout } = await balance('--target', '5');
  expect({ status, stdout }).toEqual({
    status: 0,
    stdout: 'there are no backends: add one with "gateway backend set"\n',
  });
});

test.each([
  [['--target', 'much'], /found "much", allowed: a load over 0/],
  [['--target', '0'], /allowed: a load over 0/],
  [['--target', '1', '--target', '2'], /found two targets/],
  [['--target', 'web-1=5'], /no target for all/],
  [
    ['--target', '5', '--target', 'web-9=5'],
    /--target: there is no backend "web-9"; there are "web-1", "web-2", "web-3"/,
  ],
  [['--target', '5', '--by', 'luck'], /sessions, reported, lookups/],
  [['--target', '5', '--apply', '--watch'], /allowed: one/],
  [['--target', '5', '--step', '0'], /--step/],
  [['--target', '5', '--margin', '100'], /--margin/],
  [['--target', '5', '--watch', '--every', '2d'], /--every/],
  [[], /--target/],
])('%j is refused', async (args, message) => {
  const { status, stderr } = await balance(...args);
  expect(stderr).toMatch(message);
  expect(status).toBe(2);
});

/** Balances at 100 by what backends report, round after round. */
function watch(...more: string[]): ReturnType<typeof startGateway> {
  const every = ['--watch', '--every', '50ms'];
  return startGateway(['balance', '-c', config, '--target', '100', '--by', 'reported', ...every, ...more]);
}

describe('--watch', () => {
  test('follows load up and down in bounded steps, and lets go of the lock when it is ended', async () => {
    await redis.hset('gateway:load', { 'web-1': '200', 'web-2': '20', 'web-3': '20' });
    const watching = watch('--step', '5');
    try {
      await until(async () => (await shedOf('web-1')) === 500);
      expect(await redis.pttl(LOCK)).toBeGreaterThan(0);
      // As a real backend would: it has less for every user that went.
      await until(async () => {
        const shed = (await shedOf('web-1')) ?? 0;
        const gone = 200 * (shed / 10_000);
        await redis.hset('gateway:load', {
          'web-1': String(200 - gone),
          'web-2': String(20 + gone / 2),
          'web-3': String(20 + gone / 2),
        });
        return shed >= 5_000;
      });
      await until(async () => {
        await redis.hset('gateway:load', { 'web-1': '30', 'web-2': '20', 'web-3': '20' });
        return (await shedOf('web-1')) === 0;
      });
      const second = await balance('--target', '100', '--by', 'reported', '--apply');
      expect(second.status).toBe(1);
      expect(second.stderr).toMatch(/BALANCE_LOCKED: another balancer holds gateway:balancer/);
    } finally {
      watching.child.kill('SIGTERM');
    }
    expect(await watching.ended).toMatchObject({ status: 0, stderr: '' });
    expect(await redis.exists(LOCK)).toBe(0);
  });

  test('a second one stands by, says so once, and takes over when the first has ended', async () => {
    await redis.hset('gateway:load', { 'web-1': '2', 'web-2': '2', 'web-3': '2' });
    const first = watch();
    await until(async () => (await redis.exists(LOCK)) === 1);
    const owner = await redis.get(LOCK);
    const second = watch();
    try {
      await until(async () => second.stderr().includes('standing by'));
      expect(await redis.get(LOCK)).toBe(owner);
      first.child.kill('SIGTERM');
      expect(await first.ended).toMatchObject({ status: 0, stderr: '' });
      await until(async () => ![null, owner].includes(await redis.get(LOCK)));
      await redis.hset('gateway:load', 'web-1', '200');
      await until(async () => ((await shedOf('web-1')) ?? 0) > 0);
    } finally {
      first.child.kill('SIGKILL');
      second.child.kill('SIGTERM');
    }
    const { status, stderr } = await second.ended;
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: 'gateway: another balancer works: standing by, to take over when it has ended\n',
    });
  });

  test('that stands by ends at once when it is told to', async () => {
    await redis.set(LOCK, 'another', 'PX', 60_000);
    const waiting = watch();
    await until(async () => waiting.stderr().includes('standing by'));
    waiting.child.kill('SIGINT');
    expect(await waiting.ended).toMatchObject({ status: 0, stdout: '' });
    expect(await redis.get(LOCK)).toBe('another');
    await redis.del(LOCK);
  });

  test('ends with the lock, and leaves that of another', async () => {
    await redis.hset('gateway:load', { 'web-1': '2', 'web-2': '2', 'web-3': '2' });
    const watching = watch();
    await until(async () => (await redis.exists(LOCK)) === 1);
    await redis.set(LOCK, 'another', 'PX', 60_000);
    const { status, stderr } = await watching.ended;
    expect(status).toBe(1);
    expect(stderr).toMatch(/BALANCE_LOCK_LOST/);
    expect(await redis.get(LOCK)).toBe('another');
  });

  test('killed, leaves a lock that keeps others out until it ends by itself', async () => {
    await redis.hset('gateway:load', { 'web-1': '2', 'web-2': '2', 'web-3': '2' });
    const killed = watch();
    await until(async () => (await redis.exists(LOCK)) === 1);
    killed.child.kill('SIGKILL');
    await killed.ended;
    const leftMs = await redis.pttl(LOCK);
    expect(leftMs).toBeGreaterThan(0);
    expect(leftMs).toBeLessThanOrEqual(15_000);
    // So that it is still there, however slow this machine is.
    await redis.pexpire(LOCK, 60_000);
    const refused = await balance('--target', '100', '--by', 'reported', '--apply');
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringMatching(/BALANCE_LOCKED: .* ends in \d+ ms/) });
    await redis.pexpire(LOCK, 1);
    await until(async () => (await redis.exists(LOCK)) === 0);
    const next = await balance('--target', '100', '--by', 'reported', '--apply');
    expect(next).toMatchObject({ status: 0, stderr: '' });
  });

  test('goes on where loads are missing for a while', async () => {
    await redis.hset('gateway:load', { 'web-1': '200', 'web-2': '2' });
    const watching = watch('--json');
    try {
      await until(async () => watching.stderr().includes('BALANCE_LOADS_MISSING'));
      await redis.hset('gateway:load', 'web-3', '2');
      await until(async () => ((await shedOf('web-1')) ?? 0) > 0);
    } finally {
      watching.child.kill('SIGINT');
    }
    const { status, stdout } = await watching.ended;
    expect(status).toBe(0);
    for (const line of stdout.trim().split('\n')) expect(JSON.parse(line)).toMatchObject({ applied: true });
  });
});

describe('a user of Redis with the documented rights', () => {
  const DOCUMENT = fileURLToPath(new URL('../../../docs/redis.md', import.meta.url));
  const COMMENTS = ['reading backends', 'changing backends', 'gateway balance, besides'];

  test.each(['sessions', 'reported'])('may balance by %s', async (by) => {
    await store(COUNTS);
    await redis.hset('gateway:load', COUNTS);
    const lines = readFileSync(DOCUMENT, 'utf8').split('## Access control')[1] ?? '';
    const rights = ['on >PASSWORD', ...COMMENTS.map((comment) => `# ${comment}`)].map((start) => {
      const after = lines.slice(lines.indexOf(start));
      return /^(?:# .*\nACL SETUSER gateway )?(.+)$/m.exec(after)?.[1]?.split(' ') ?? [];
    });
    await redis.call('ACL', 'SETUSER', 'small', 'reset', ...rights.flat());
    writeFileSync(join(folder, 'password'), 'PASSWORD', { mode: 0o600 });
    const small = join(folder, 'small.yaml');
    const login = { url: server.url, username: 'small', passwordFile: 'password' };
    writeFileSync(small, JSON.stringify({ control: { socket: 'gateway.sock' }, redis: login }));
    const { status, stderr } = await gateway(['balance', '-c', small, '--target', '1200', '--by', by, '--apply']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(await shedOf('web-1')).toBeGreaterThan(3_000);
    expect(await redis.exists(LOCK)).toBe(0);
    expect(await redis.call('ACL', 'LOG')).toEqual([]);
  });
});
