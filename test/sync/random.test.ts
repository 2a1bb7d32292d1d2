/** Writers, page boundaries, cut connections, gaps and expiry in random order: it always ends equal to Redis. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { addBackends, FEED, functionsOf, liveInRedis, newSync, seeded, until, untilInStep } from './harness.ts';
import { MemoryTable } from './memory-table.ts';
import { RedisServer } from './redis-server.ts';

let server: RedisServer;
let redis: Redis;

beforeAll(async () => {
  server = await RedisServer.start();
  redis = server.client();
});

afterAll(() => server.stop());

const SESSIONS = 400;
const STEPS = 1500;

it.each([1, 2, 3, 4, 5, 6])('everything at once, seed %i', async (seed) => {
  const random = seeded(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const functions = functionsOf(redis);
  await redis.flushall();
  await addBackends(redis, 3);
  for (let i = 0; i < SESSIONS; i++) await functions.sessionSet(`s${i}`, `web-${1 + below(3)}`, 600_000);
  const started = newSync(server, {
    table: new MemoryTable(),
    reconcileEveryMs: 20 + below(100),
    tuning: { pageSize: 1 + below(20), feedCount: 1 + below(50), reconcileShare: 0.5, gapSettleMs: 1 },
  });
  started.sync.start();
  const pending: Promise<unknown>[] = [];
  for (let step = 0; step < STEPS; step++) {
    const sid = `s${below(SESSIONS)}`;
    const backend = `web-${1 + below(4)}`;
    const dice = below(1000);
    if (dice < 350) pending.push(functions.sessionSet(sid, backend, 600_000));
    else if (dice < 600) pending.push(functions.sessionDelete(sid));
    else if (dice < 700) pending.push(functions.sessionSet(sid, backend, 1 + below(40)));
    else if (dice < 800) pending.push(functions.sessionTouch(sid, 600_000));
    else if (dice < 900) pending.push(functions.sessionMove(sid, `web-${1 + below(3)}`, backend));
    else if (dice < 990) started.table.collect();
    else if (dice < 994) pending.push(redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'));
    else if (dice < 996) pending.push(redis.xtrim(FEED, 'MAXLEN', below(5)));
    else if (dice < 997) pending.push(redis.del(FEED));
    else if (dice < 998)
      pending.push(functions.backendPatch('web-4', { id: 4, address: '10.0.0.4:80', weight: below(9) }));
    else if (dice < 999) pending.push(functions.backendRemove('web-4'));
    else pending.push(redis.script('FLUSH'));
    if (below(4) === 0) await Promise.all(pending.splice(0));
  }
  await Promise.all(pending);
  // What still has a short end ends before the comparison.
  await delay(60);
  await until('following', () => started.sync.status().state === 'following');
  await untilInStep(started);
  await until('nothing is left to read again', () =>
    started.sync.status().backends.unknown.every(({ name }) => name === 'web-4'),
  );
  await until('equal', async () => {
    const wanted = await liveInRedis(redis);
    const found = started.table.live();
    return found.size === wanted.size && [...wanted].every(([hash, value]) => found.get(hash) === value);
  });
  expect(started.sync.status().counts.pages).toBeGreaterThan(10);
  expect(started.table.live()).toEqual(await liveInRedis(redis));
  await started.sync.stop();
});

/** Sessions end this soon; after as long again they have. */
const SHORT_MS = 15;

it.each([11, 12, 13])('one resync after the other under changes, each equal at once, seed %i', async (seed) => {
  const random = seeded(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const functions = functionsOf(redis);
  await redis.flushall();
  await addBackends(redis, 3);
  await redis.hset('gateway:backends', 'spare', '{"id":1000,"address":"10.0.0.9:80"}');
  const pipeline = redis.pipeline();
  for (let i = 0; i < SESSIONS; i++) pipeline.hset(`sess:s${i}`, 'backend', `web-${1 + below(3)}`);
  await pipeline.exec();
  const started = newSync(server, { tuning: { pageSize: 10, feedCount: 20, backendsResyncGapMs: 0 } });
  started.sync.start();
  await until('ready', () => started.sync.status().ready);
  for (let round = 1; round <= 15; round++) {
    // Another id under one name makes everything be read again, at full speed, while the feed is followed.
    const changed = redis.multi().hset('gateway:backends', 'spare', `{"id":${1000 + round},"address":"10.0.0.9:80"}`);
    await changed.xadd(FEED, '*', 'op', 'backends').exec();
    let ended = false;
    const writer = async (): Promise<void> => {
      for (let i = 0; !ended && i < 5000; i++) {
        const sid = `s${below(SESSIONS)}`;
        const dice = below(10);
        if (dice < 4) await functions.sessionDelete(sid);
        else if (dice < 8) await functions.sessionSet(sid, `web-${1 + below(3)}`, 600_000);
        else await functions.sessionSet(sid, 'web-1', SHORT_MS);
        if (dice === 9) started.table.collect();
      }
    };
    const writers = [writer(), writer(), writer()];
    await until('begun or over', () => started.sync.status().counts.resyncs.backends >= round);
    await until('over', () => started.sync.status().resync === null);
    ended = true;
    await Promise.all(writers);
    await delay(2 * SHORT_MS);
    await untilInStep(started);
    expect(started.table.live()).toEqual(await liveInRedis(redis));
    expect(started.sync.status().counts.resyncs).toMatchObject({ start: 1, gap: 0, backends: round });
  }
  await started.sync.stop();
});
