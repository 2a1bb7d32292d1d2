/** All sessions of a real Redis, page by page, and how far that is told to be. */
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { storedSessions } from '../../src/gateway/stored-sessions.ts';
import type { SessionsOptions } from '../../src/sync/snapshot/pages.ts';
import { PREFIX } from '../sync/harness.ts';
import { RedisServer } from '../sync/redis-server.ts';

const HASHES = { prefix: PREFIX, backend: { in: 'hash', field: 'backend' } } as const;
const JSON_TEXTS = { prefix: PREFIX, backend: { in: 'json', path: 'backend' } } as const;

let server: RedisServer;
let redis: Redis;

beforeAll(async () => {
  server = await RedisServer.start();
  redis = server.client();
});
afterAll(() => server?.stop());
beforeEach(() => redis.flushall());

async function store(count: number, prefix: string = PREFIX): Promise<void> {
  const pipeline = redis.pipeline();
  for (let i = 0; i < count; i++) pipeline.hset(`${prefix}${i}`, 'backend', 'web-1');
  await pipeline.exec();
}

/** @param between carried out after each page, with how many there were */
async function parts(
  between: (pages: number) => Promise<void> = async () => undefined,
  form: SessionsOptions = HASHES,
): Promise<number[]> {
  const told: number[] = [];
  for await (const { part } of storedSessions(redis, form)) {
    told.push(part);
    await between(told.length);
  }
  return told;
}

function expectProgress(told: readonly number[]): void {
  expect(told.at(-1)).toBe(1);
  for (const [i, part] of told.slice(0, -1).entries()) {
    expect(part).toBeGreaterThan(told[i - 1] ?? 0);
    expect(part).toBeLessThan(1);
  }
}

test('an empty database is one page, and done', async () => {
  expect(await parts()).toEqual([1]);
});

test('the part grows evenly, and is 1 at the end and only there, also among other keys', async () => {
  await store(3_000);
  await store(3_000, 'other:');
  const told = await parts();
  expectProgress(told);
  expect(told.length).toBeGreaterThan(15);
  for (const [i, part] of told.entries()) expect(Math.abs(part - (i + 1) / told.length)).toBeLessThan(0.1);
});

test('also where pages are smaller than was asked for', async () => {
  const text = JSON.stringify({ backend: 'web-1', more: 'x'.repeat(60_000) });
  for (let i = 0; i < 500; i++) await redis.set(`${PREFIX}${i}`, text);
  const told = await parts(undefined, JSON_TEXTS);
  expectProgress(told);
  expect(told.length).toBeGreaterThan(5);
});

test('also while the number of keys grows and shrinks', async () => {
  await store(2_000);
  const told = await parts(async (pages) => {
    if (pages === 3) await store(20_000, 'other:');
    if (pages === 6) await redis.eval("for i = 0, 19999 do redis.call('DEL', 'other:' .. i) end", 0);
  });
  expectProgress(told);
  expect(told.length).toBeGreaterThan(6);
});
