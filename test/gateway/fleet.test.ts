/** Gateways that tell each other how they are, on a real Redis. */
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { BEAT_MS, FLEET_MAX, Fleet, type FleetParts } from '../../src/gateway/fleet.ts';
import { createLogger } from '../../src/gateway/log.ts';
import type { Status } from '../../src/gateway/ports.ts';
import type { Runtime } from '../../src/sync/runtime.ts';
import { RedisServer } from '../sync/redis-server.ts';
import { fakeStatus } from './control/fake-gateway.ts';

const WAIT = { timeout: 60_000 };
const KEY = 'gateway:fleet';
const START_MS = 1_800_000_000_000;

let server: RedisServer;
let redis: Redis;
let logged: string;
let nowMs: number;
let timers: { ms: number; callback: () => void }[];
let fleets: Fleet[];
/** What went wrong inside `use`, which would have the connection given up. */
let thrown: unknown[];

const runtime: Runtime = {
  wallMs: () => START_MS + nowMs,
  monotonicMs: () => nowMs,
  random: () => 0,
  timer(ms, callback) {
    const timer = { ms, callback };
    timers.push(timer);
    return () => void timers.splice(timers.indexOf(timer), 1);
  },
};

beforeAll(async () => {
  server = await RedisServer.start();
  redis = server.client();
});
afterAll(() => server?.stop());
beforeEach(async () => {
  await redis.flushall();
  [logged, nowMs, timers, fleets, thrown] = ['', 0, [], [], []];
});
afterEach(async () => {
  for (const fleet of fleets) fleet.stop();
});

interface Options {
  readonly machineId?: string;
  readonly pins?: string;
  readonly announce?: boolean;
  readonly status?: () => Status;
  readonly client?: Redis;
}

function join({
  machineId = 'm',
  pins = '/a',
  announce = true,
  status = fakeStatus,
  client = redis,
}: Options = {}): Fleet {
  const log = createLogger('info', {
    write(line: string) {
      logged += line;
    },
  });
  const use: FleetParts['use'] = async (action) => {
    try {
      return await action(client);
    } catch (error) {
      thrown.push(error);
      throw error;
    }
  };
  const fleet = new Fleet({ names: 'gateway:', announce, machineId, pins, use, status, runtime, log });
  fleets.push(fleet);
  fleet.start();
  return fleet;
}

/** Everyone's next round, and until it is over: then each waits again. @returns how long they wait */
async function round(afterMs = BEAT_MS): Promise<number[]> {
  nowMs += afterMs;
  const due = timers.splice(0);
  for (const { callback } of due) callback();
  await expect.poll(() => timers.length, WAIT).toBe(due.length);
  return timers.map(({ ms }) => ms);
}

test('gateways see each other, what they do a second, and who is silent', async () => {
  let found = 0;
  const status = () => ({
    ...fakeStatus(),
    packets: { ...fakeStatus().packets, REPLY_FOUND: found, REPLY_PLACED: found / 4 },
  });
  const [a, b] = [join(), join({ pins: '/b', status })];
  a.view();
  expect(await round()).toEqual([BEAT_MS, BEAT_MS]);
  found = 800;
  await round();
  const { self, members, problem } = a.view();
  expect([members.length, problem]).toEqual([2, null]);
  expect(b.view().self).not.toBe(self);
  // Its last beat was read before or after this one was made.
  await round();
  const other = a.view().members.find(({ id }) => id !== self);
  expect(other).toMatchObject({ sessions: 12, ready: true, state: 'following' });
  expect(b.view().members.find(({ id }) => id === b.view().self)).toMatchObject({ silentMs: 0, answersPerSecond: 0 });
  b.stop();
  timers.splice(1);
  await round();
  await round(10_000);
  expect(a.view().members.find(({ id }) => id !== self)?.silentMs).toBeGreaterThanOrEqual(10_000);
  // Forgotten, by whoever reads.
  await round(600_000);
  a.view();
  await round();
  expect(a.view().members.map(({ id }) => id)).toEqual([self]);
  expect(await redis.hkeys(KEY)).toEqual([self]);
});

test('rates are of the time between two beats, and the hit ratio of lookups', async () => {
  let found = 0;
  const packets = () => ({
    ...fakeStatus().packets,
    REPLY_FOUND: found * 3,
    REPLY_MOVED: found,
    REPLY_NOT_FOUND: found * 4,
    REPLY_DENIED: found,
    PASS_MISS: found * 2,
  });
  // What the kernel left to the daemon.
  const responder = () => ({ ...fakeStatus().packets, REPLY_MOVED: found, REPLY_PLACED: found });
  const fleet = join({ status: () => ({ ...fakeStatus(), packets: packets(), responder: responder() }) });
  await round();
  expect(fleet.view().members[0]).toMatchObject({ answersPerSecond: null, hitRatio: null });
  found = 200;
  await round(2_000);
  expect(fleet.view().members[0]).toMatchObject({ answersPerSecond: 1_100, hitRatio: 0.5 });
  // Made anew.
  found = 0;
  await round(2_000);
  expect(fleet.view().members[0]).toMatchObject({ answersPerSecond: null, hitRatio: null });
});

test.each([
  ['behind', -20 * 60_000],
  ['ahead', 3_600_000],
])(
  'a gateway whose clock is %s is shown while it speaks, and forgotten ten minutes after its last word',
  async (_, aheadMs) => {
    const fleet = join();
    const others = async () => {
      fleet.view();
      await round();
      const { self, members } = fleet.view();
      return members.filter(({ id }) => id !== self);
    };
    const { self, members } = fleet.view();
    expect(members).toMatchObject([{ clockAheadMs: 0 }]);
    await round();
    const entry = JSON.parse((await redis.hget(KEY, self)) ?? '');
    const speak = () => redis.hset(KEY, 'other', JSON.stringify({ ...entry, atMs: START_MS + nowMs + aheadMs }));
    await speak();
    expect(await others()).toMatchObject([{ id: 'other', clockAheadMs: null }]);
    await speak();
    expect(await others()).toMatchObject([{ silentMs: 0, clockAheadMs: aheadMs - BEAT_MS }]);
    nowMs += 590_000;
    expect(await others()).toMatchObject([{ silentMs: 592_000 }]);
    nowMs += 8_000;
    expect(await others()).toEqual([]);
    expect(await redis.hkeys(KEY)).toEqual([self]);
  },
);

test('one that only reads forgets, though it takes nothing away', async () => {
  const [writer, reader] = [join(), join({ pins: '/b', announce: false })];
  reader.view();
  await round();
  writer.stop();
  const seen = async () => {
    reader.view();
    await round();
    return reader.view().members.length;
  };
  expect(await seen()).toBe(2);
  nowMs += 600_000;
  expect([await seen(), await seen()]).toEqual([1, 1]);
  expect(await redis.hlen(KEY)).toBe(1);
});

test('machines of one name are told apart', () => {
  const ids = [join(), join({ machineId: 'n' }), join({ pins: '/b' })].map((fleet) => fleet.view().self);
  expect(new Set(ids).size).toBe(3);
});

test('the table ends with the fleet; one that does not announce itself only reads, while it is watched', async () => {
  join();
  const silent = join({ pins: '/b', announce: false });
  await round();
  expect(await redis.hlen(KEY)).toBe(1);
  expect(await redis.pttl(KEY)).toBeGreaterThan(0);
  expect(silent.view().members).toHaveLength(1);
  await round();
  expect(silent.view().members).toHaveLength(2);
  expect(await redis.hlen(KEY)).toBe(1);
});

test('what is wrong in the table is left out, and taken away; more than may be is not read', async () => {
  const entry = {
    ...JSON.parse(JSON.stringify({ name: 'x', version: '1', startedAt: '', ready: true, state: 'following' })),
  };
  const whole = {
    ...entry,
    sessions: 1,
    capacity: 2,
    ageMs: null,
    lagEntries: null,
    answersPerSecond: null,
    hitRatio: null,
  };
  const others = Array.from({ length: FLEET_MAX + 5 }, (_, i) => [
    `id-${i}`,
    JSON.stringify({ ...whole, atMs: START_MS }),
  ]);
  await redis.hset(
    KEY,
    ...others.flat(),
    'a',
    '{',
    'b',
    'null',
    'c',
    JSON.stringify({ ...whole, atMs: START_MS, sessions: -1 }),
    'd',
    'x'.repeat(3_000),
  );
  const fleet = join();
  fleet.view();
  await round();
  expect(fleet.view().members).toHaveLength(FLEET_MAX);
  expect((await redis.hkeys(KEY)).filter((id) => id.length === 1)).toEqual([]);
  await redis.hset(KEY, ...Array.from({ length: 300 }, (_, i) => [`more-${i}`, '{}']).flat());
  await round();
  expect(fleet.view()).toMatchObject({
    members: [{ silentMs: 0 }],
    problem: expect.stringContaining('allowed: at most 256'),
  });
  expect(thrown).toEqual([]);
});

test('a user that may not write is told once, tried seldom, and there is this gateway alone', async () => {
  await redis.call(
    'ACL',
    'SETUSER',
    'reader',
    'on',
    '>pw',
    '%R~gateway:*',
    '-@all',
    '+hkeys',
    '+hstrlen',
    '+hmget',
    '+hlen',
    '+select',
    '+info',
    '+client',
  );
  const client = redis.duplicate({ username: 'reader', password: 'pw', enableReadyCheck: false });
  client.on('error', () => undefined);
  try {
    const fleet = join({ client });
    expect(await round()).toEqual([60_000]);
    await round(60_000);
    expect(fleet.view()).toMatchObject({ members: [{ silentMs: 0 }], problem: expect.stringContaining('NOPERM') });
    expect(logged.match(/Redis refuses what the gateways tell each other/g)).toHaveLength(1);
    await redis.call('ACL', 'SETUSER', 'reader', '~gateway:fleet', '+hset', '+pexpire', '+hdel');
    expect(await round(60_000)).toEqual([BEAT_MS]);
    expect(fleet.view().problem).toBeNull();
  } finally {
    client.disconnect();
  }
});

test('a replica, which takes no writes, is tried as seldom, and the one that is master then is found', async () => {
  const replica = await RedisServer.start('--replicaof', '127.0.0.1', '1');
  try {
    const client = replica.client();
    const fleet = join({ client });
    expect(await round()).toEqual([60_000]);
    expect(fleet.view().problem).toContain('READONLY');
    expect(logged.match(/Redis refuses what the gateways tell each other/g)).toHaveLength(1);
    await client.replicaof('NO', 'ONE');
    expect(await round(60_000)).toEqual([BEAT_MS]);
    expect(fleet.view().problem).toBeNull();
  } finally {
    await replica.stop();
  }
});
