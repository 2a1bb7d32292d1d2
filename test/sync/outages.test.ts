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
const running: Running[] = [];

beforeEach(async () => {
  server = await RedisServer.start();
  redis = server.client();
  functions = functionsOf(redis);
  await addBackends(redis, 3);
  for (let i = 0; i < 100; i++) await functions.sessionSet(`s${i}`, 'web-1', 600_000);
});

afterEach(async () => {
  server.resume();
  await Promise.all(running.splice(0).map(({ sync }) => sync.stop()));
  await server.stop();
});

async function start(
  ...options: Parameters<typeof newSync> extends [unknown, ...infer Rest] ? Rest : never
): Promise<Running> {
  const started = newSync(server, ...options);
  running.push(started);
  started.sync.start();
  return started;
}

async function expectEqual(started: Running): Promise<void> {
  await untilInStep(started);
  expect(started.table.live()).toEqual(await liveInRedis(redis));
}

describe('an outage', () => {
  it('at the start is told, and everything is loaded when it is over', async () => {
    await server.kill();
    const started = await start();
    await until('told', () => started.sync.status().lastError !== null);
    expect(started.sync.status()).toMatchObject({ state: 'connecting', ready: false });
    expect(started.sync.status().lastError?.message).toContain("Redis can't be used");
    await until('tried again', () => started.lines.length > 0);
    await server.launch();
    await untilReady(started);
    expect(started.lines.map(({ event }) => event)).toContain('feed-failed-over');
    // One line for the whole outage, unless its reason changed.
    expect(started.lines.filter(({ event }) => event === 'feed-failed').length).toBeLessThanOrEqual(2);
  });

  it('in which connections are cut loses nothing', async () => {
    const started = await start();
    await untilReady(started);
    for (let round = 0; round < 10; round++) {
      await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      for (let i = 0; i < 20; i++) await functions.sessionSet(`r${round}-${i}`, 'web-2', 600_000);
      await functions.sessionDelete(`s${round}`);
    }
    await expectEqual(started);
    expect(started.sync.status().counts.resyncs.gap).toBe(0);
    expect(started.sync.status().counts.connections).toBeGreaterThan(1);
  });

  it('in which Redis is restarted with all its data loses nothing', async () => {
    const started = await start();
    await untilReady(started);
    await functions.sessionSet('last', 'web-3', 600_000);
    await redis.save();
    await server.kill();
    await until('noticed', () => started.sync.status().state === 'connecting');
    expect(started.table.lookup(cookieHash('last'))).toBeDefined();
    await server.launch();
    await functions.sessionSet('next', 'web-2', 600_000);
    await expectEqual(started);
    expect(started.table.live().size).toBe(102);
    expect(started.sync.status().counts.resyncs.gap).toBe(0);
  });

  it('in which Redis is restarted with older data ends with that data', async () => {
    await redis.save();
    const started = await start();
    await untilReady(started);
    for (let i = 0; i < 50; i++) await functions.sessionSet(`lost${i}`, 'web-2', 600_000);
    await functions.sessionDelete('s1');
    await untilInStep(started);
    await server.kill();
    await server.launch();
    // More entries than were lost, so that neither the last id nor the number of entries tells.
    for (let i = 0; i < 60; i++) await functions.sessionSet(`after${i}`, 'web-3', 600_000);
    await until('found', () => started.sync.status().counts.resyncs.gap > 0);
    await expectEqual(started);
    expect(started.table.live().size).toBe(160);
    expect(started.table.lookup(cookieHash('s1'))).toBeDefined();
  });

  it('in which Redis is restarted empty ends empty, and it is said what is missing', async () => {
    const started = await start();
    await untilReady(started);
    const warnings = () => started.lines.filter(({ event }) => event === 'no-backends');
    expect(warnings()).toEqual([]);
    await server.kill();
    await server.launch();
    await until('found', () => started.sync.status().counts.resyncs.gap > 0);
    await expectEqual(started);
    expect(started.table.live().size).toBe(0);
    expect(warnings()).toHaveLength(1);
    expect(warnings()[0]?.fields['meaning']).toContain('gateway redis install');
  });

  it('in which Redis is paused is noticed and got over', async () => {
    const started = await start({ tuning: { replyGraceMs: 100 } });
    await untilReady(started);
    server.pause();
    await until('noticed', () => started.sync.status().state === 'connecting');
    expect(started.sync.status().lastError?.message).toContain('did not answer in time');
    const { inStepMs } = started.table;
    server.resume();
    await functions.sessionSet('after', 'web-3', 600_000);
    await expectEqual(started);
    expect(started.table.inStepMs ?? 0).toBeGreaterThan(inStepMs ?? 0);
    expect(started.sync.status().counts.resyncs.gap).toBe(0);
  });

  it('in which Redis is paused during the first load is got over', async () => {
    const pipeline = redis.pipeline();
    for (let i = 0; i < 4000; i++) pipeline.hset(`sess:t${i}`, 'backend', 'web-2');
    await pipeline.exec();
    const started = await start({ tuning: { replyGraceMs: 100, pageDeadlineMs: 150, pageSize: 20 } });
    await until('under way', () => started.sync.status().counts.pages > 3);
    expect(started.sync.status().ready).toBe(false);
    server.pause();
    await until('noticed', () => started.sync.status().counts.resyncsFailed > 0);
    server.resume();
    await untilReady(started);
    await expectEqual(started);
  });

  it('never stops the process from ending in time: stop comes back while Redis is paused', async () => {
    const started = await start();
    await untilReady(started);
    server.pause();
    const before = Date.now();
    await started.sync.stop();
    expect(Date.now() - before).toBeLessThan(1000);
  });
});

describe('a Redis that can not be used', () => {
  it('for its password is told, without the password', async () => {
    await redis.config('SET', 'requirepass', 'right-password');
    const started = await start({ redis: { url: server.url, password: 'wrong-password' } });
    await until('told', () => started.sync.status().lastError !== null);
    expect(started.sync.status().lastError?.message).toContain('WRONGPASS');
    expect(JSON.stringify([started.lines, started.sync.status()])).not.toContain('wrong-password');
  });

  it('for want of a password is told', async () => {
    await redis.config('SET', 'requirepass', 'right-password');
    const started = await start();
    await until('told', () => started.sync.status().lastError?.message.includes('NOAUTH') ?? false);
    await redis.config('SET', 'requirepass', '');
    await untilReady(started);
  });

  it('with the right user and password is used', async () => {
    await redis.call('ACL', 'SETUSER', 'gateway', 'on', '>p@ss:word/', '~*', '+@all');
    await redis.call('ACL', 'SETUSER', 'default', 'off');
    const started = await start({ redis: { url: server.url, username: 'gateway', password: 'p@ss:word/' } });
    await untilReady(started);
    await expectEqual(started);
  });

  it('for a database that does not exist is told, and another one is not read in its place', async () => {
    const started = await start({ redis: { url: `${server.url}?db=99` } });
    await until('told', () => started.sync.status().lastError !== null);
    expect(started.sync.status().lastError?.message).toContain('DB index is out of range');
    expect(started.sync.status().counts.connections).toBe(0);
  });

  it('for a feed of another type is told until it is put right', async () => {
    await redis.rename(FEED, 'kept');
    await redis.set(FEED, 'x');
    const started = await start();
    await until('told', () => started.sync.status().lastError?.message.includes('WRONGTYPE') ?? false);
    expect(started.sync.status().ready).toBe(false);
    await redis.rename('kept', FEED);
    await untilReady(started);
    await expectEqual(started);
  });
});
