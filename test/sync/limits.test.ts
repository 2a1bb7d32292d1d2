/** What Redis holds may be absurdly large, many or slow: the sync goes on, and reads no more of it than it has to. */
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { REPLY_MAX_BYTES } from '../../src/sync/limits.ts';
import { addBackends, cookieHash, FEED, liveInRedis, newSync, type Running, until, untilInStep } from './harness.ts';
import { MemoryTable } from './memory-table.ts';
import { RedisProxy } from './proxy.ts';
import { RedisServer } from './redis-server.ts';

const MIB = 2 ** 20;

let server: RedisServer;
let redis: Redis;
let proxy: RedisProxy;
let started: Running;

beforeEach(async () => {
  server = await RedisServer.start();
  redis = server.client();
  proxy = await RedisProxy.start(join(server.directory, 'proxy.sock'), () => server.socket);
  await addBackends(redis, 3);
  for (let i = 0; i < 50; i++) await redis.hset(`sess:s${i}`, 'backend', 'web-1');
});

afterEach(async () => {
  await started.sync.stop();
  await proxy.stop();
  await server.stop();
});

async function follow(options: Parameters<typeof newSync>[1] = {}): Promise<Running> {
  started = newSync(proxy, options);
  started.sync.start();
  await until('ready', () => started.sync.status().ready);
  return started;
}

async function expectEqual(): Promise<void> {
  await until('following', () => started.sync.status().state === 'following');
  await untilInStep(started);
  expect(started.table.live()).toEqual(await liveInRedis(redis));
}

const count = (
  kind: 'feed-entry-size' | 'backends-table' | 'backend-entry' | 'record-sid' | 'record-backend',
): number => started.sync.status().counts.problems[kind];

async function set(sid: string, backend: string): Promise<void> {
  const multi = redis.multi().hset(`sess:${sid}`, 'backend', backend);
  await multi.xadd(FEED, '*', 'op', 'set', 'sid', sid, 'backend', backend, 'expires', '0').exec();
}

/** Changes everything while the follower can't read, and then lets it. */
async function meanwhile(change: () => Promise<unknown>): Promise<void> {
  proxy.target = () => join(server.directory, 'nowhere');
  proxy.cut();
  await change();
  proxy.target = () => server.socket;
}

describe('a feed entry of 100 MiB', () => {
  it('is not read: all sessions are, and the feed goes on', async () => {
    await follow();
    await meanwhile(async () => {
      await set('before', 'web-2');
      await redis.hset('sess:s1', 'backend', 'web-3');
      await redis.xadd(FEED, '*', 'op', 'set', 'backend', 'web-3', 'expires', '0', 'sid', Buffer.alloc(100 * MIB));
      await set('after', 'web-2');
      proxy.received = 0;
    });
    await until('met', () => count('feed-entry-size') === 1);
    // Until it was found out that this one entry is to blame, it was begun a few times.
    expect(proxy.received).toBeLessThan(100 * MIB);
    expect(started.lines).toContainEqual({ level: 'warn', event: 'gap', fields: { kind: 'entry-too-large' } });
    expect(started.sync.status().lastError?.message).toContain(`allowed: at most ${REPLY_MAX_BYTES} bytes`);
    await expectEqual();
    expect(started.table.lookup(cookieHash('s1'))?.backendId).toBe(3);
    await set('later', 'web-2');
    await expectEqual();
    expect(started.sync.status().counts.resyncs.gap).toBe(1);
  });
});

describe('feed entries of 1 MiB each', () => {
  it('are read a few at a time, without a gap', async () => {
    await follow();
    await meanwhile(async () => {
      const padding = Buffer.alloc(MIB);
      for (let i = 0; i < 40; i++) {
        const multi = redis.multi().hset(`sess:s${i}`, 'backend', 'web-2');
        const fields = ['op', 'set', 'sid', `s${i}`, 'backend', 'web-2', 'expires', '0', 'more', padding];
        await multi.xadd(FEED, '*', ...fields).exec();
      }
    });
    await expectEqual();
    const { counts } = started.sync.status();
    expect(counts.feed.set).toBe(40);
    expect(counts.resyncs.gap).toBe(0);
  });
});

describe('the backends', () => {
  it('of 200,000 entries are refused as a whole: the known ones stay', async () => {
    await follow();
    await redis.eval("for i = 1, 200000 do redis.call('HSET', KEYS[1], i, '{}') end", 1, 'gateway:backends');
    proxy.received = 0;
    await redis.xadd(FEED, '*', 'op', 'backends');
    await until('told', () => count('backends-table') > 0);
    expect(proxy.received).toBeLessThan(MIB);
    expect(started.table.backends).toHaveLength(3);
    expect(started.sync.status().lastError?.message).toContain('found 200003 entries, allowed: 65535');
    await set('later', 'web-2');
    await until('applied', () => started.table.lookup(cookieHash('later')) !== undefined);
  });

  it('of which one has 100 MiB, and another a name as long, are read without it', async () => {
    await redis.hset('gateway:backends', 'large', Buffer.alloc(100 * MIB));
    await redis.hset('gateway:backends', Buffer.alloc(20 * MIB, 'n'), '{}');
    await follow();
    expect(started.table.backends).toHaveLength(3);
    expect(count('backend-entry')).toBeGreaterThan(1);
    expect(proxy.received).toBeLessThan(MIB);
    expect(started.table.live().size).toBe(50);
  });
});

describe('a session', () => {
  it('whose backend or whose key has 100 MiB is none, and is not sent', async () => {
    await redis.hset('sess:large', 'backend', Buffer.alloc(100 * MIB));
    await redis.hset(Buffer.concat([Buffer.from('sess:'), Buffer.alloc(100 * MIB)]), 'backend', 'web-1');
    await follow();
    expect(started.table.live().size).toBe(50);
    expect(count('record-sid')).toBe(1);
    expect(count('record-backend')).toBe(1);
    expect(proxy.received).toBeLessThan(MIB);
  });
});

describe('a burst', () => {
  it('of entries while the feed is followed is read in order, none missed', async () => {
    await follow({ tuning: { feedCount: 2000 } });
    // Each session ends where its last entry says.
    const burst = `
      for i = 1, 100000 do
        local sid, backend = 's' .. i % 50, 'web-' .. i % 3 + 1
        redis.call('HSET', 'sess:' .. sid, 'backend', backend)
        redis.call('XADD', KEYS[1], '*', 'op', 'set', 'sid', sid, 'backend', backend, 'expires', '0')
      end`;
    await redis.eval(burst, 1, FEED);
    await until('read', () => started.sync.status().counts.feed.set === 100_000);
    await expectEqual();
    expect(started.sync.status().counts.resyncs.gap).toBe(0);
  });
});

describe('a slow Redis', () => {
  it('whose replies do not come in time is asked for less, until they do', async () => {
    await follow({ tuning: { feedCount: 1000, replyGraceMs: 100 } });
    await meanwhile(async () => {
      for (let i = 0; i < 1500; i++) await set(`s${i % 50}`, `web-${1 + (i % 3)}`);
    });
    // A full reply takes about a second.
    proxy.bytesEveryMs = 100;
    await until('read', () => started.sync.status().counts.feed.set >= 1500);
    proxy.bytesEveryMs = Number.POSITIVE_INFINITY;
    await expectEqual();
    expect(started.sync.status().counts.feed.set).toBe(1500);
    expect(started.sync.status().counts.resyncs.gap).toBe(0);
  });
});

describe('a full table', () => {
  const tuning = { roomResyncGapMinMs: 20, roomResyncGapMaxMs: 100_000, roomResyncGapFactor: 0 };

  it('takes those that it refused as soon as there is room', async () => {
    for (let i = 0; i < 30; i++) await redis.hset(`sess:t${i}`, 'backend', 'web-2');
    await follow({ table: new MemoryTable(60), tuning });
    await set('late', 'web-2');
    await until('refused', () => started.sync.status().counts.problems['table-full'] >= 21);
    expect(started.table.live().size).toBe(60);
    // Ends, and is collected, without a word in the feed.
    for (let i = 0; i < 25; i++) await redis.del(`sess:s${i}`);
    await redis.del(FEED);
    await until('read again', () => started.sync.status().counts.resyncs.gap > 0);
    await until('all are stored', async () => {
      started.table.collect();
      return started.table.live().size === 56;
    });
    await expectEqual();
    expect(started.sync.status().counts.resyncs.room).toBeGreaterThan(0);
  });

  it('is not in step while what is dead takes the places of what it refused', async () => {
    await follow({ table: new MemoryTable(60), tuning });
    await redis.flushall();
    await addBackends(redis, 3);
    for (let i = 0; i < 40; i++) await set(`other${i}`, 'web-2');
    await until('refused', () => started.sync.status().counts.problems['table-full'] > 0);
    await until('read again', () => started.sync.status().resync === null && started.table.hasGarbage);
    const { inStepMs } = started.sync.status();
    expect(started.sync.status().state).toBe('resyncing');
    const { connections } = started.sync.status().counts;
    await set('one-more', 'web-2');
    expect(started.sync.status()).toMatchObject({ state: 'resyncing', inStepMs, counts: { connections } });
    started.table.collect();
    await expectEqual();
  });

  it('is read again at once when what was dead has been collected, though that took long the last time', async () => {
    await follow({ table: new MemoryTable(60), tuning: { ...tuning, roomResyncGapMinMs: 3_600_000 } });
    await redis.flushall();
    await addBackends(redis, 3);
    // More than there will be room for: the rest waits its turn.
    for (let i = 0; i < 70; i++) await set(`other${i}`, 'web-2');
    await until('refused', () => started.sync.status().counts.problems['table-full'] > 0);
    await until('read again', () => started.sync.status().resync === null && started.table.hasGarbage);
    expect(started.sync.status().state).toBe('resyncing');
    started.table.collect();
    await until('full of what is alive', () => started.table.live().size === 60);
    await until('following', () => started.sync.status().state === 'following');
    expect(started.sync.status().counts.resyncs.room).toBe(1);
    // It holds what it can: that is in step, and what was refused is told.
    await untilInStep(started);
    expect(started.sync.status().counts.table.refused).toBeGreaterThan(0);
  });

  it('that is always too small is read again less and less often', async () => {
    for (let i = 0; i < 30; i++) await redis.hset(`sess:t${i}`, 'backend', 'web-2');
    await follow({ table: new MemoryTable(60), tuning });
    const checks = async (): Promise<number> =>
      Number(/cmdstat_eval_ro:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1]);
    for (let round = 0; round < 60; round++) {
      // Room for one, of more that want it.
      started.table.held.delete([...started.table.held.keys()][round % 50] ?? '');
      const before = await checks();
      await until('checked', async () => (await checks()) > before);
    }
    const { room } = started.sync.status().counts.resyncs;
    expect(room).toBeGreaterThan(0);
    expect(room).toBeLessThan(15);
  });
});
