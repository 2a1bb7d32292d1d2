/** Questions about single sessions, while the feed is held up, is away, or is not used. */
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Asking } from '../../src/sync/asking.ts';
import type { Runtime } from '../../src/sync/runtime.ts';
import { systemRuntime } from '../../src/sync/runtime.ts';
import { FeedHolder } from './feed-holder.ts';
import { cookieHash, FEED, functionsOf, newSync, type Running, until, untilInStep, untilReady } from './harness.ts';
import { RedisServer } from './redis-server.ts';

let server: RedisServer;
let redis: Redis;
let holder: FeedHolder;
let running: Running;

beforeEach(async () => {
  server = await RedisServer.start();
  redis = server.client();
  const functions = functionsOf(redis);
  await functions.backendPatch('app-1', { id: 1, address: '10.1.0.1:8080' });
  await functions.backendPatch('app-2', { id: 2, address: '10.1.0.2:8080' });
});

afterEach(async () => {
  await running?.sync.stop();
  holder?.close();
  redis.disconnect();
  await server.stop();
});

/** @param replyGraceMs how long the feed may be held up before its connection is given up */
async function start(feed: 'stream' | 'notifications' = 'stream', replyGraceMs = 30_000): Promise<void> {
  holder = new FeedHolder({ path: server.socket });
  const port = await holder.listen();
  running = newSync(
    { url: `redis://127.0.0.1:${port}` },
    { asks: true, feed: { from: feed, stream: FEED, reconcileEveryMs: 3_600_000 }, tuning: { replyGraceMs } },
  );
  running.sync.start();
  await untilReady(running);
  await untilInStep(running);
}

/** Asks until Redis could be asked: a machine that is slow may take longer than the deadline. */
async function ask(sid: string): Promise<void> {
  await until('asked', () => running.sync.ask(cookieHash(sid)));
}

const found = (sid: string): string | undefined => {
  const held = running.table.lookup(cookieHash(sid));
  return held && `${held.backendId} ${held.ms}-${held.seq}`;
};

async function newestId(): Promise<string> {
  const [[id]] = (await redis.xrevrange(FEED, '+', '-', 'COUNT', 1)) as [[string, string[]]];
  return id;
}

test('a session that was just written is found while the feed is held up, under the version that the feed gives it', async () => {
  await start();
  const functions = functionsOf(redis);
  holder.hold();
  await functions.sessionSet('new', 'app-1', 60_000);
  const first = await newestId();
  expect(found('new')).toBeUndefined();
  await ask('new');
  expect(found('new')).toBe(`1 ${first}`);
  await functions.sessionMove('new', 'app-1', 'app-2');
  const second = await newestId();
  for (let i = 0; i < 2_500; i++) redis.xadd(FEED, '*', 'op', 'fact', 'name', `f${i}`);
  await redis.xadd(FEED, '*', 'op', 'set', 'sid', 'new', 'backend', 'app-1', 'expires', 'soon');
  await ask('new');
  expect(found('new'), 'the newest that is well-formed, behind thousands of others').toBe(`2 ${second}`);
  await functions.sessionDelete('new');
  await ask('new');
  expect(found('new')).toBeUndefined();
  holder.release();
  await untilInStep(running);
  expect(found('new')).toBeUndefined();
  expect(running.sync.status().counts.feed.set, 'each entry is counted once, in its turn').toBe(3);
});

test('what the feed has applied meanwhile is not undone', async () => {
  await start();
  const functions = functionsOf(redis);
  for (let i = 0; i < 50; i++) {
    const sid = `s${i}`;
    const asked: Promise<boolean>[] = [];
    for (let turn = 0; turn < 4; turn++) {
      void functions.sessionSet(sid, 'app-1', 60_000);
      asked.push(running.sync.ask(cookieHash(sid)));
      await functions.sessionDelete(sid);
    }
    await Promise.all(asked);
  }
  await untilInStep(running);
  for (let i = 0; i < 50; i++) expect(found(`s${i}`)).toBeUndefined();
  expect(running.sync.status().counts.resyncsFailed).toBe(0);
});

test('many who ask at once are served by few readings', async () => {
  await start();
  holder.hold();
  for (let i = 0; i < 300; i++) await functionsOf(redis).sessionSet(`s${i}`, 'app-2', 60_000);
  const before = holder.asked;
  await until('all are asked', async () => {
    const asked = Array.from({ length: 1_200 }, (_, i) => running.sync.ask(cookieHash(`s${i % 300}`)));
    return (await Promise.all(asked)).every(Boolean);
  });
  for (let i = 0; i < 300; i++) expect(found(`s${i}`)).toMatch(/^2 /);
  // One for the first question, one for all others, as often as the machine was too slow.
  expect(holder.asked - before).toBeLessThan(50);
});

test('where Redis is away, questions end by themselves, and then at once', async () => {
  await start('stream', 200);
  await server.stop();
  await until('not asked', async () => !(await running.sync.ask(cookieHash('nobody'))));
  expect(running.sync.canAsk).toBe(false);
  expect(await running.sync.ask(cookieHash('nobody'))).toBe(false);
  expect(running.lines.some(({ event }) => event === 'ask-failed')).toBe(true);
  expect(JSON.stringify(running.lines)).not.toContain(cookieHash('nobody'));
});

test('with notifications, all that has changed by then is read first', async () => {
  await redis.config('SET', 'notify-keyspace-events', 'KA');
  await start('notifications');
  for (let i = 0; i < 20; i++) {
    await redis.hset(`sess:n${i}`, 'backend', 'app-2');
    await ask(`n${i}`);
    expect(running.table.lookup(cookieHash(`n${i}`))?.backendId).toBe(2);
  }
});

test('a question that comes while another is read waits for a reading that begins after it', async () => {
  let now = 0;
  const timers: (() => void)[] = [];
  const runtime: Runtime = {
    ...systemRuntime,
    monotonicMs: () => now,
    timer: (_ms, callback) => {
      timers.push(callback);
      return () => void timers.splice(timers.indexOf(callback), 1);
    },
  };
  const readings: { hashes: string[]; end: PromiseWithResolvers<void>; signal: AbortSignal }[] = [];
  const failures: unknown[] = [];
  const asking = new Asking({
    runtime,
    read: (hashes, signal) => {
      const end = Promise.withResolvers<void>();
      readings.push({ hashes: [...hashes], end, signal });
      return end.promise;
    },
    failed: (error) => void failures.push(error),
    succeeded: () => undefined,
  });
  const first = asking.ask('a');
  const [second, third, again] = [asking.ask('b'), asking.ask('a'), asking.ask('b')];
  expect(readings.map(({ hashes }) => hashes)).toEqual([['a']]);
  readings[0]?.end.resolve();
  expect(await first).toBe(true);
  await until('the next reading', () => readings.length === 2);
  expect(readings[1]?.hashes).toEqual(['b', 'a']);
  timers.shift()?.();
  expect(await Promise.all([second, third, again])).toEqual([false, false, false]);
  expect(readings[1]?.signal.aborted).toBe(true);
  expect(failures).toHaveLength(1);
  expect(asking.usable).toBe(false);
  expect(await asking.ask('c')).toBe(false);
  now += 1_000;
  const later = Array.from({ length: 1_100 }, (_, i) => asking.ask(`h${i}`));
  readings[2]?.end.resolve();
  await until('one more reading', () => readings.length === 4);
  readings[3]?.end.resolve();
  expect((await Promise.all(later)).filter(Boolean), 'no more than a reading takes').toHaveLength(1_025);
});
