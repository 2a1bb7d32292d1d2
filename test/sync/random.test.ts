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

/** Of everything that can become of the stream, with its sessions. */
const FAULTS = [
  'trim',
  'trim-by-id',
  'delete-entry',
  'delete-stream',
  'recreate',
  'roll-back',
  'flush',
  'swap',
  'set-id',
  'set-id-below-deleted',
  'restart',
  'restart-older',
  'cut',
  'pause',
] as const;

it.each([21, 22, 23, 24])(
  'every fault of the stream and of the server, with writers between, seed %i',
  async (seed) => {
    const random = seeded(seed);
    const below = (n: number): number => Math.floor(random() * n);
    const own = await RedisServer.start('--databases', '2');
    const client = own.client();
    const functions = functionsOf(client);
    const write = async (): Promise<void> => {
      const pending: Promise<unknown>[] = [];
      for (let i = 0; i < 10 + below(40); i++) {
        const sid = `s${below(SESSIONS)}`;
        if (below(3) === 0) pending.push(functions.sessionDelete(sid));
        else pending.push(functions.sessionSet(sid, `web-${1 + below(3)}`, 600_000));
      }
      await Promise.all(pending);
    };
    await addBackends(client, 3);
    await write();
    const started = newSync(own, { tuning: { pageSize: 40, feedCount: 30, gapSettleMs: 1, replyGraceMs: 150 } });
    started.sync.start();
    await until('ready', () => started.sync.status().ready);
    let dump = await client.dumpBuffer(FEED);
    await client.save();
    for (let round = 0; round < 25; round++) {
      await write();
      const ids = (await client.xrange(FEED, '-', '+')).map(([id]) => id);
      const id = ids[below(ids.length)] ?? '1-1';
      const fault = FAULTS[below(FAULTS.length)];
      if (fault === 'trim') await client.xtrim(FEED, 'MAXLEN', below(5));
      else if (fault === 'trim-by-id') await client.xtrim(FEED, 'MINID', id);
      else if (fault === 'delete-entry') await client.xdel(FEED, id);
      else if (fault === 'delete-stream')
        await client
          .multi()
          .del(FEED)
          .del(`sess:s${below(SESSIONS)}`)
          .exec();
      else if (fault === 'recreate') {
        // With as many entries and the same last id, of which none says what it did.
        const multi = client
          .multi()
          .del(FEED)
          .del(`sess:s${below(SESSIONS)}`);
        for (const one of ids) multi.xadd(FEED, one, 'op', 'backends');
        await multi.exec();
      } else if (fault === 'roll-back') {
        await client
          .multi()
          .restore(FEED, 0, dump, 'REPLACE')
          .del(`sess:s${below(SESSIONS)}`)
          .exec();
      } else if (fault === 'flush') {
        await client.flushall();
        await addBackends(client, 3);
      } else if (fault === 'swap') {
        await client.swapdb(0, 1);
        await addBackends(client, 3);
      } else if (fault === 'set-id') {
        await client
          .multi()
          .xtrim(FEED, 'MAXLEN', 0)
          .del(`sess:s${below(SESSIONS)}`)
          .exec();
        await client
          .call('XSETID', FEED, `${1 + below(1e6)}-1`, 'ENTRIESADDED', below(500), 'MAXDELETEDID', '0-0')
          .catch(() => undefined);
      } else if (fault === 'set-id-below-deleted') {
        // From here on the highest id ever deleted is above all that is added.
        await client
          .multi()
          .xadd(FEED, '9999999999999-1', 'op', 'backends')
          .xdel(FEED, '9999999999999-1')
          .xtrim(FEED, 'MAXLEN', 0)
          .del(`sess:s${below(SESSIONS)}`)
          .call('XSETID', FEED, `${Date.now() - 60_000}-0`)
          .exec();
      } else if (fault === 'restart' || fault === 'restart-older') {
        if (fault === 'restart') await client.save();
        await own.kill();
        await own.launch();
        await until('back', () =>
          client.ping().then(
            () => true,
            () => false,
          ),
        );
      } else if (fault === 'cut') await client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      else {
        own.pause();
        await delay(below(300));
        own.resume();
      }
      if (below(3) === 0) await write();
      if (below(4) === 0) {
        dump = (await client.dumpBuffer(FEED)) ?? dump;
        await client.save();
      }
      // In every third round it is compared; in the others the next fault comes upon this one.
      if (round % 3 !== 0) continue;
      await until(`in step after ${fault}`, () => started.sync.status().state === 'following');
      await untilInStep(started);
      expect(started.table.live(), `round ${round}, ${fault}`).toEqual(await liveInRedis(client));
    }
    await untilInStep(started);
    expect(started.table.live()).toEqual(await liveInRedis(client));
    await started.sync.stop();
    await own.stop();
  },
);
