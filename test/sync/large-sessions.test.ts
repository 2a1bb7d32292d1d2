/** Sessions of which a page, or all keys that changed, have more bytes than a reply may: they are read in smaller parts. */
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PAGE_MAX_BYTES, REPLY_MAX_BYTES } from '../../src/sync/limits.ts';
import { Connection } from '../../src/sync/redis/connection.ts';
import { redisOptions } from '../../src/sync/redis/redis-options.ts';
import { evaluate, PAGE_SCRIPT } from '../../src/sync/redis/scripts.ts';
import { systemRuntime } from '../../src/sync/runtime.ts';
import { asPage, CURSOR_START, pageArguments } from '../../src/sync/snapshot/pages.ts';
import { type BackendSource, JSON_MAX_BYTES } from '../../src/sync/snapshot/session-forms.ts';
import { DEFAULT_TUNING } from '../../src/sync/tuning.ts';
import { addBackends, FEED, liveInRedis, newSync, PREFIX, type Running, seeded, untilInStep } from './harness.ts';
import { RedisServer } from './redis-server.ts';

const FORM: BackendSource = { in: 'json', path: 'backend' };
const SESSIONS = 320;
/** Of each session, about. */
const LARGE = 60_000;

let server: RedisServer;
let redis: Redis;
let started: Running | undefined;

beforeEach(async () => {
  server = await RedisServer.start('--notify-keyspace-events', 'KA');
  redis = server.client();
  await addBackends(redis, 3);
});

afterEach(async () => {
  await started?.sync.stop();
  started = undefined;
  await server.stop();
});

async function write(bytesOf: (i: number) => number): Promise<void> {
  for (let i = 0; i < SESSIONS; i++) {
    const session = { backend: `web-${1 + (i % 3)}`, pad: 'x'.repeat(bytesOf(i)) };
    await redis.set(`sess:s${i}`, JSON.stringify(session), 'PX', 3_600_000);
  }
}

async function expectEqual(running: Running): Promise<void> {
  await untilInStep(running);
  expect(running.table.live().size).toBe(SESSIONS);
  expect(running.table.live()).toEqual(await liveInRedis(redis, PREFIX, FORM));
}

describe.each(['stream', 'notifications'] as const)('large sessions, by %s', (from) => {
  it('are loaded, and followed when all change at once', async () => {
    expect(SESSIONS * LARGE).toBeGreaterThan(REPLY_MAX_BYTES);
    await write(() => LARGE);
    const { pageSize, keysAtOnce } = DEFAULT_TUNING;
    started = newSync(server, {
      feed: { from, stream: FEED, reconcileEveryMs: 3_600_000 },
      sessions: { prefix: PREFIX, backend: FORM },
      tuning: { pageSize, keysAtOnce },
    });
    started.sync.start();
    await expectEqual(started);
    if (from === 'notifications') {
      for (let round = 1; round <= 3; round++) {
        const pipeline = redis.pipeline();
        for (let i = 0; i < SESSIONS; i++) pipeline.pexpire(`sess:s${i}`, 3_600_000 + round);
        await pipeline.exec();
        await expectEqual(started);
      }
    }
    expect(started.sync.status()).toMatchObject({
      counts: { resyncs: { start: 1, gap: 0 }, resyncsFailed: 0, connections: 1 },
    });
  });
});

describe('a page', () => {
  let connection: Connection;

  beforeEach(async () => {
    connection = await Connection.open(
      redisOptions({ url: server.url }, 'test'),
      systemRuntime,
      new AbortController().signal,
    );
  });
  afterEach(() => connection.drop());

  const page = async (cursor: string, maxBytes: number): Promise<readonly unknown[]> => {
    const args = pageArguments({ prefix: PREFIX, backend: FORM }, cursor, 500);
    expect(args[3]).toBe(PAGE_MAX_BYTES);
    args[3] = maxBytes;
    connection.expectReplyWithin(10_000);
    return asPage(await evaluate(connection, PAGE_SCRIPT, [], args));
  };

  it.each([5, 6, 7])('has as many bytes as are allowed, and all pages have all sessions, seed %i', async (seed) => {
    const random = seeded(seed);
    await write(() => Math.floor(random() ** 4 * LARGE));
    const maxBytes = 10 * JSON_MAX_BYTES;
    const found = new Set<string>();
    let cursor = CURSOR_START;
    let pages = 0;
    do {
      const records = await page(cursor, maxBytes);
      expect(connection.receivedBytes).toBeLessThan(maxBytes + 100);
      for (let i = 2; i + 2 < records.length; i += 3) found.add(String(records[i]));
      cursor = String(records[0]);
      pages += 1;
    } while (cursor !== CURSOR_START && pages < 1000);
    expect(found.size).toBe(SESSIONS);
    expect(pages).toBeGreaterThan(3);
  });

  it('of which the smallest is too large is an error, before Redis has built it', async () => {
    await write(() => LARGE);
    await expect(page(CURSOR_START, 10_000)).rejects.toMatchObject({
      code: 'REDIS_REFUSED',
      message: expect.stringContaining('the smallest page: found more bytes than are allowed: 30000'),
    });
    expect(connection.ended).toBe(false);
  });
});
