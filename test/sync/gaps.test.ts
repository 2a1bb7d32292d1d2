import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Functions } from '../../src/sync/redis/functions.ts';
import {
  addBackends,
  cookieHash,
  FEED,
  functionsOf,
  liveInRedis,
  newSync,
  type Running,
  until,
  untilInStep,
  untilReady,
} from './harness.ts';
import { RedisServer } from './redis-server.ts';

let server: RedisServer;
let redis: Redis;
let functions: Functions;
let started: Running;

beforeEach(async () => {
  server = await RedisServer.start();
  redis = server.client();
  functions = functionsOf(redis);
  await addBackends(redis, 3);
  for (let i = 0; i < 300; i++) await functions.sessionSet(`s${i}`, 'web-1', 600_000);
  started = newSync(server);
  started.sync.start();
  await untilReady(started);
});

afterEach(async () => {
  await started.sync.stop();
  await server.stop();
});

const gaps = (): number => started.sync.status().counts.resyncs.gap;

async function expectEqualAgain(): Promise<void> {
  await until('in step again', () => started.sync.status().state === 'following');
  await untilInStep(started);
  expect(started.table.live()).toEqual(await liveInRedis(redis));
}

/** Keeps the sync from reading while `change` is made: a gap is what happened unseen. */
async function unseen(change: () => Promise<unknown>): Promise<void> {
  await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await change();
}

describe('a gap', () => {
  it('shows when unread entries are trimmed', async () => {
    await unseen(() =>
      redis
        .multi()
        .fcall('session_del', 2, 'sess:s1', FEED, 's1')
        .fcall('session_set', 2, 'sess:s2', FEED, 's2', 'web-2', '600000')
        .xtrim(FEED, 'MAXLEN', 1)
        .exec(),
    );
    await until('found', () => gaps() === 1);
    expect(started.lines).toContainEqual({ level: 'warn', event: 'gap', fields: { kind: 'trimmed' } });
    await expectEqualAgain();
    // The resync took up the feed at its end: nothing is missed a second time.
    await delay(150);
    expect(gaps()).toBe(1);
    expect(started.sync.status().position?.entriesAdded).toBe(305);
  });

  it('shows when an unread entry is deleted', async () => {
    const changes = redis.multi().xadd(FEED, '9999999999999-1', 'op', 'del', 'sid', 's1').del('sess:s1');
    await unseen(() => changes.xdel(FEED, '9999999999999-1').exec());
    await until('found', () => gaps() === 1);
    expect(started.lines).toContainEqual({ level: 'warn', event: 'gap', fields: { kind: 'deleted' } });
    await expectEqualAgain();
  });

  it('does not show when entries that were read are trimmed or deleted', async () => {
    const first = (await redis.xrange(FEED, '-', '+', 'COUNT', 1))[0]?.[0] ?? '';
    await redis.xdel(FEED, first);
    await redis.xtrim(FEED, 'MAXLEN', 0);
    await functions.sessionSet('new', 'web-1', 60_000);
    await expectEqualAgain();
    await delay(150);
    expect(gaps()).toBe(0);
  });

  it('shows when the feed is deleted', async () => {
    await redis.multi().del(FEED).del('sess:s1').exec();
    await until('found', () => gaps() === 1);
    expect(started.lines).toContainEqual({ level: 'warn', event: 'gap', fields: { kind: 'last-id-went-back' } });
    await expectEqualAgain();
    expect(started.sync.status().position?.id).toBe('0-0');
  });

  it('shows when the feed is made anew, longer and with later ids', async () => {
    const added = started.sync.status().position?.entriesAdded ?? 0;
    const changes = redis.multi().del(FEED).del('sess:s1', 'sess:s2');
    for (let i = 0; i < added + 10; i++)
      changes.xadd(FEED, '*', 'op', 'set', 'sid', 's3', 'backend', 'web-3', 'expires', '0');
    changes.hset('sess:s3', 'backend', 'web-3').persist('sess:s3');
    await changes.exec();
    await until('found', () => gaps() === 1);
    await expectEqualAgain();
  });

  it('shows when the feed is made anew with older ids, whose versions do not lose to what is held', async () => {
    await redis
      .multi()
      .del(FEED)
      .xadd(FEED, '1-1', 'op', 'set', 'sid', 's1', 'backend', 'web-2', 'expires', '0')
      .hset('sess:s1', 'backend', 'web-2')
      .persist('sess:s1')
      .exec();
    await until('found', () => gaps() === 1);
    await redis
      .multi()
      .xadd(FEED, '1-2', 'op', 'set', 'sid', 's2', 'backend', 'web-3', 'expires', '0')
      .hset('sess:s2', 'backend', 'web-3')
      .persist('sess:s2')
      .exec();
    await expectEqualAgain();
    expect(started.table.lookup(cookieHash('s1'))).toMatchObject({ ms: 1, backendId: 2 });
    expect(started.table.lookup(cookieHash('s2'))).toMatchObject({ ms: 1, backendId: 3 });
  });

  it('shows when the feed is rolled back by XSETID', async () => {
    await redis.xtrim(FEED, 'MAXLEN', 0);
    await redis.call('XSETID', FEED, '5-0');
    await until('found', () => gaps() === 1);
    await functions.sessionDelete('s1');
    await expectEqualAgain();
  });

  it('shows once when the id is set back below that of an entry deleted before, and then each time that an unread one is', async () => {
    const deleted = '9999999999999-1';
    await redis.multi().xadd(FEED, deleted, 'op', 'backends').xdel(FEED, deleted).exec();
    await until('found', () => gaps() === 1);
    await expectEqualAgain();
    await redis
      .multi()
      .xtrim(FEED, 'MAXLEN', 0)
      .call('XSETID', FEED, `${Date.now() - 60_000}-0`)
      .exec();
    await until('set back', () => gaps() === 2);
    await expectEqualAgain();
    await functions.sessionSet('new', 'web-2', 600_000);
    await expectEqualAgain();
    await delay(150);
    expect(gaps()).toBe(2);
    // Below the highest id that was ever deleted.
    const id = `${Date.now() + 60_000}-0`;
    await redis.multi().xadd(FEED, id, 'op', 'del', 'sid', 's1').del('sess:s1').xdel(FEED, id).exec();
    await until('found again', () => gaps() === 3);
    expect(started.lines.findLast(({ event }) => event === 'gap')?.fields).toEqual({ kind: 'count-differs' });
    await expectEqualAgain();
  });

  it('shows when only the number of added entries is rolled back', async () => {
    await redis.xtrim(FEED, 'MAXLEN', 0);
    const { id } = started.sync.status().position ?? { id: '' };
    await redis.call('XSETID', FEED, id, 'ENTRIESADDED', 1, 'MAXDELETEDID', id);
    await until('found', () => gaps() === 1);
    expect(started.lines).toContainEqual({ level: 'warn', event: 'gap', fields: { kind: 'count-went-back' } });
    await expectEqualAgain();
  });

  it('shows after FLUSHALL', async () => {
    await redis.flushall();
    await until('found', () => gaps() === 1);
    await expectEqualAgain();
    expect(started.table.live().size).toBe(0);
    expect(started.table.backends).toEqual([]);
    await addBackends(redis, 1);
    await functions.sessionSet('new', 'web-1', 60_000);
    await expectEqualAgain();
    expect(started.table.live().size).toBe(1);
  });

  it('starts a resync over that is under way', async () => {
    const pipeline = redis.pipeline();
    for (let i = 0; i < 3000; i++) pipeline.hset(`sess:t${i}`, 'backend', 'web-2');
    await pipeline.exec();
    for (let round = 0; round < 3; round++) {
      await redis.multi().del(FEED).xadd(FEED, '*', 'op', 'backends').exec();
      const before = gaps();
      await until('found', () => gaps() > before);
    }
    await expectEqualAgain();
    expect(started.table.live().size).toBe(3300);
  });

  it('never takes a session away on the way that Redis held throughout', async () => {
    let missed = 0;
    started.table.onChange = () => {
      if (started.table.lookup(cookieHash('s7')) === undefined) missed += 1;
    };
    for (let round = 1; round <= 3; round++) {
      const before = gaps();
      await redis.multi().del(FEED).xadd(FEED, '*', 'op', 'backends').exec();
      await until('found', () => gaps() > before);
      await expectEqualAgain();
      expect(started.table.lookup(cookieHash('s7'))).toBeDefined();
    }
    expect(missed).toBe(0);
  });

  it('does not keep entries with older ids from being applied until the resync comes', async () => {
    await started.sync.stop();
    started = newSync(server, { tuning: { gapSettleMs: 60_000, backoffMinMs: 60_000, backoffMaxMs: 60_000 } });
    started.sync.start();
    await untilReady(started);
    await redis.multi().del(FEED).xadd(FEED, '1-1', 'op', 'backends').exec();
    await until('found', () => started.sync.status().state === 'resyncing');
    await redis.xadd(FEED, '1-2', 'op', 'set', 'sid', 's1', 'backend', 'web-3', 'expires', '0');
    await until('applied', () => started.table.lookup(cookieHash('s1'))?.backendId === 3);
    expect(started.sync.status()).toMatchObject({ state: 'resyncing', counts: { resyncs: { gap: 0 } } });
    expect(started.table.commits).toBe(1);
  });

  it('is not in step until it is made up for', async () => {
    await functions.sessionSet('new', 'web-1', 60_000);
    await untilInStep(started);
    // The command connection is refused, so the resync can't even begin.
    await redis.call('ACL', 'SETUSER', 'default', '-evalsha_ro');
    await redis.del(FEED);
    await until('found', () => gaps() >= 1);
    const { inStepMs } = started.sync.status();
    await until('failed', () => started.sync.status().counts.resyncsFailed > 1);
    expect(started.sync.status()).toMatchObject({ state: 'resyncing', ready: true, inStepMs });
    expect(started.sync.status().lastError?.message).toContain('NOPERM');
    expect(started.table.lookup(cookieHash('s1'))).toBeDefined();
    await redis.call('ACL', 'SETUSER', 'default', '+evalsha_ro');
    await expectEqualAgain();
    expect(started.table.inStepMs ?? 0).toBeGreaterThan(inStepMs ?? 0);
  });

  it('is made up for where the table itself is what lost sessions', async () => {
    for (let i = 0; i < 100; i++) started.table.remove(cookieHash(`s${i}`), { ms: Date.now(), seq: 0 });
    started.table.flush();
    await untilInStep(started);
    expect(started.table.live()).not.toEqual(await liveInRedis(redis));
    started.sync.suspect('clock-set-back');
    expect(started.sync.status().state).toBe('resyncing');
    await expectEqualAgain();
    expect(gaps()).toBe(1);
  });

  it.each(['FLUSHALL', 'FLUSHDB'])('shows after %s where there was no feed before either', async (command) => {
    await redis.del(FEED);
    await until('found', () => gaps() === 1);
    await expectEqualAgain();
    // A check finds no feed, and another one, as before.
    await untilInStep(started);
    await untilInStep(started);
    await redis.call(command);
    await until('found', () => gaps() === 2);
    await expectEqualAgain();
    expect(started.table.live().size).toBe(0);
  });

  it('shows after FLUSHDB without a feed, where only the number of keys may be asked for', async () => {
    await redis.call('ACL', 'SETUSER', 'default', '-info');
    await redis.del(FEED);
    await until('found', () => gaps() >= 1);
    await expectEqualAgain();
    await untilInStep(started);
    await redis.flushdb();
    await until('empty', () => started.table.live().size === 0);
    await expectEqualAgain();
    expect(started.lines).toContainEqual({ level: 'warn', event: 'gap', fields: { kind: 'flushed' } });
  });

  it('does not keep a comparison waiting where the last id belongs to no entry', async () => {
    await functions.sessionSet('new', 'web-1', 60_000);
    await untilInStep(started);
    await redis.call('XSETID', FEED, `${Date.now() + 3_600_000}-0`);
    await untilInStep(started);
    started.sync.suspect('clock-set-back');
    await expectEqualAgain();
  });
});
