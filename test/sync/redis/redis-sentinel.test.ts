import { isDeepStrictEqual } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Connection } from '../../../src/sync/redis/connection.ts';
import { redisTarget } from '../../../src/sync/redis/redis-target.ts';
import { systemRuntime } from '../../../src/sync/runtime.ts';
import {
  addBackends,
  FEED,
  functionsOf,
  liveInRedis,
  newSync,
  type Running,
  until,
  untilInStep,
  untilReady,
} from '../harness.ts';
import type { RedisNode } from '../redis-node.ts';
import { MASTER_NAME, SentinelSetup } from '../sentinel-setup.ts';

const FIRST_PORT = 23_000;
const { signal } = new AbortController();

let setup: SentinelSetup;
const running: Running[] = [];

beforeEach(async () => {
  setup = await SentinelSetup.start(FIRST_PORT, ['notify-keyspace-events Kg$hzxe']);
}, 60_000);
afterEach(async () => {
  try {
    await Promise.all(running.splice(0).map(({ sync }) => sync.stop()));
  } finally {
    await setup?.stop();
  }
});

/** Syncs that have loaded 50 sessions and follow. */
async function follow(number = 1, from: 'stream' | 'notifications' = 'stream'): Promise<Running[]> {
  const redis = (await setup.master()).client();
  await addBackends(redis, 3);
  for (let i = 0; i < 50; i++) await functionsOf(redis).sessionSet(`s${i}`, 'web-1', 3_600_000);
  await setup.replicated();
  const feed = { from, stream: FEED, reconcileEveryMs: 3_600_000 };
  for (let i = 0; i < number; i++) running.push(newSync({ url: '' }, { redis: setup.config, feed }));
  for (const { sync } of running) sync.start();
  for (const one of running) await untilReady(one);
  return running;
}

async function writeSome(node: RedisNode): Promise<void> {
  const functions = functionsOf(node.client());
  for (let i = 25; i < 75; i++) await functions.sessionSet(`s${i}`, 'web-2', 3_600_000);
  for (let i = 0; i < 10; i++) await functions.sessionDelete(`s${i}`);
}

/** Within the second in which the sentinels are asked again a master may be followed that is none any more. */
async function expectEqual({ table, sync }: Running, node: RedisNode): Promise<void> {
  const expected = await liveInRedis(node.client());
  await until('the table is what the master holds', () => isDeepStrictEqual(table.live(), expected));
  await untilInStep({ table, sync, lines: [] });
  expect(table.live()).toEqual(expected);
}

describe('a master that sentinels watch', { timeout: 60_000 }, () => {
  it('is followed over its death by two gateways alike', async () => {
    const both = await follow(2);
    const old = await setup.master();
    await old.kill();
    await until('another master', async () => (await setup.master()) !== old);
    await writeSome(setup.other(old));
    for (const one of both) await expectEqual(one, setup.other(old));
    // The old one comes back, and takes itself for a master until the sentinels tell it otherwise.
    await old.launch();
    await functionsOf(setup.other(old).client()).sessionDelete('s30');
    for (const one of both) await expectEqual(one, setup.other(old));
    expect(both[0]?.table.live()).toEqual(both[1]?.table.live());
  });

  it.each(['stream', 'notifications'] as const)('is followed over a planned failover, by %s', async (from) => {
    const [follower] = (await follow(1, from)) as [Running];
    const old = await setup.master();
    await setup.failover();
    await until('another master', async () => (await setup.master()) !== old);
    await writeSome(setup.other(old));
    await expectEqual(follower, setup.other(old));
  });

  it('that lost the last writes is taken for what it is', async () => {
    const [follower] = (await follow()) as [Running];
    const old = await setup.master();
    const next = setup.other(old);
    // Nothing more reaches the replica, and the sentinels don't put that right at once.
    await next.client().replicaof('127.0.0.1', 1);
    await writeSome(old);
    await expectEqual(follower, old);
    await old.kill();
    await until('another master', async () => (await setup.master()) === next);
    expect(await next.client().exists('sess:s60')).toBe(0);
    await functionsOf(next.client()).sessionSet('s99', 'web-3', 3_600_000);
    await expectEqual(follower, next);
    expect(follower.lines.map(({ event }) => event)).toContain('gap');
  });
});

describe('a connection to the master', { timeout: 60_000 }, () => {
  const failing = async (action: Promise<unknown>): Promise<unknown> => action.then(() => null).catch((e) => e);

  it('is dropped when the sentinels name another one, though this one says that it is a master', async () => {
    const target = redisTarget(setup.config, systemRuntime);
    const connection: Connection = await target.openMaster('test', signal);
    const old = await setup.master();
    // It is cut off from the sentinels alone: it hangs when they fail over, and later is what it was.
    old.pause();
    await until('another master', async () => (await setup.master()) === setup.other(old));
    for (const sentinel of setup.sentinels) sentinel.pause();
    old.resume();
    for (const sentinel of setup.sentinels) sentinel.resume();
    await until('dropped', () => connection.ended);
    const again = await target.openMaster('test', signal);
    expect(String(((await again.call('CONFIG', 'GET', 'port')) as Buffer[])[1])).toBe(String(setup.other(old).port));
    again.drop();
  });

  it('is made where some sentinels are away or hang, and not where all are', async () => {
    const [first, second, third] = setup.sentinels;
    await first?.kill();
    second?.pause();
    const target = redisTarget(setup.config, systemRuntime);
    (await target.openMaster('test', signal)).drop();
    await third?.kill();
    expect(await failing(target.openMaster('test', signal))).toMatchObject({
      code: 'NO_MASTER',
      message: expect.stringMatching(
        new RegExp(`no sentinel names the master of ${MASTER_NAME}: .*ECONNREFUSED.*in time`),
      ),
    });
  });

  it('is not made to a name that the sentinels do not know', async () => {
    const { sentinel } = setup.config;
    const target = redisTarget({ sentinel: { ...sentinel, name: 'other' } }, systemRuntime);
    expect(await failing(target.master('test', signal))).toMatchObject({
      code: 'NO_MASTER',
      message: expect.stringContaining('No such master with that name'),
    });
  });

  it('is not made to a replica', async () => {
    const master = await setup.master();
    for (const sentinel of setup.sentinels) sentinel.pause();
    await master.client().replicaof('127.0.0.1', setup.other(master).port);
    for (const sentinel of setup.sentinels) sentinel.resume();
    const target = redisTarget(setup.config, systemRuntime);
    expect(await failing(target.masters(signal).then(([only]) => only?.open('test', signal)))).toMatchObject({
      code: 'NO_MASTER',
      message: `${master.address} is named as master, but its role is slave`,
    });
  });
});
