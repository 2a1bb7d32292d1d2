/** `gateway settle` as its own process, on a real Redis with many sessions: ended in every way, while others write. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cookieHash } from '../../../src/auth/cookie.ts';
import { PresentAnswers } from '../../../src/gateway/present-answers.ts';
import type { Functions } from '../../../src/sync/redis/functions.ts';
import { parseBackends } from '../../../src/sync/tables/backends.ts';
import { FEED, functionsOf } from '../../sync/harness.ts';
import { RedisServer } from '../../sync/redis-server.ts';
import { startGateway, until } from '../support/balancing.ts';
import { gateway } from '../support/command.ts';

const SESSIONS = 20_000;
const ON_WEB_1 = SESSIONS / 2;
const folder = mkdtempSync(join(tmpdir(), 'settle-'));
const config = join(folder, 'gateway.yaml');

let server: RedisServer;
let redis: Redis;
let functions: Functions;
let endMs: number;

const sidOf = (i: number) => `session ${i}`;
const keyOf = (i: number) => `sess:${sidOf(i)}`;
const nameOf = (i: number) => (i < ON_WEB_1 ? 'web-1' : `web-${2 + (i % 3)}`);
const users = Array.from({ length: SESSIONS }, (_, i) => i);
const hashes = users.map((i) => cookieHash(sidOf(i)));

beforeAll(async () => {
  server = await RedisServer.start();
  redis = server.client();
  functions = functionsOf(redis);
  writeFileSync(config, JSON.stringify({ control: { socket: 'none.sock' }, redis: { url: server.url } }));
});
afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true });
});
beforeEach(async () => {
  await redis.flushall();
  for (let id = 1; id <= 4; id++) await functions.backendPatch(`web-${id}`, { id, address: `10.0.0.${id}:80` });
  await functions.backendPatch('web-3', { shed: 3_000 });
  await functions.backendPatch('web-1', { state: 'draining' });
  endMs = Date.now() + 3_600_000;
  const pipeline = redis.pipeline();
  for (const i of users) pipeline.hset(keyOf(i), 'backend', nameOf(i)).pexpireat(keyOf(i), endMs + i);
  await pipeline.exec();
});

async function piped<T>(add: (pipeline: ReturnType<Redis['pipeline']>, i: number) => void): Promise<T[]> {
  const pipeline = redis.pipeline();
  for (const i of users) add(pipeline, i);
  return ((await pipeline.exec()) ?? []).map(([, value]) => value as T);
}

const stored = () => piped<string | null>((pipeline, i) => pipeline.hget(keyOf(i), 'backend'));
const ends = () => piped<number>((pipeline, i) => pipeline.call('PEXPIRETIME', keyOf(i)));

/** Where each user is answered to; null = there is no such session. */
async function answers(): Promise<(string | null)[]> {
  const read = (name: string) => redis.callBuffer('HGETALL', `gateway:${name}`) as Promise<Buffer[]>;
  const present = new PresentAnswers(
    parseBackends(await read('backends'), await read('backend-ids'), new Map()).backends,
  );
  return (await stored()).map((name, i) => name && (present.movedTo(name, hashes[i] as Uint8Array) ?? name));
}

const settle = (...args: string[]) => startGateway(['settle', 'web-1', '-c', config, ...args]);
const moved = async () => (await redis.xlen(FEED)) - 6;

describe('20,000 sessions', { timeout: 240_000 }, () => {
  test('killed, interrupted, and run to the end: at no moment is anyone answered elsewhere, and every end stays', async () => {
    const before = await answers();
    let isOver = false;
    let looks = 0;
    const watching = (async () => {
      while (!isOver) {
        const now = await answers();
        expect(users.filter((i) => now[i] !== before[i])).toEqual([]);
        looks += 1;
        // Leaves Redis to the command, too.
        await delay(50);
      }
    })();
    try {
      const killed = settle('--rate', '20000');
      await until(async () => (await moved()) >= 500);
      killed.child.kill('SIGKILL');
      expect(await killed.ended).toMatchObject({ status: null, stdout: '' });
      const first = await moved();
      expect(first).toBeLessThan(ON_WEB_1);

      const interrupted = settle('--rate', '2000', '--json');
      await until(async () => (await moved()) >= first + 500);
      interrupted.child.kill('SIGINT');
      const { status, stdout, stderr } = await interrupted.ended;
      expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
      const then = await moved();
      expect(stderr).toContain(`SETTLE_STOPPED: it was stopped after ${then - first} sessions were moved`);
      expect(then).toBeLessThan(ON_WEB_1);

      const dry = await settle('--dry-run', '--json').ended;
      expect(JSON.parse(dry.stdout)).toMatchObject({ moved: ON_WEB_1 - then, complete: true });
      expect(await moved()).toBe(then);

      const rest = await settle('--rate', '100000', '--json').ended;
      expect(rest).toMatchObject({ status: 0, stderr: '' });
      expect(JSON.parse(rest.stdout)).toMatchObject({ moved: ON_WEB_1 - then, staying: 0, changed: 0, complete: true });
    } finally {
      isOver = true;
      await watching;
    }
    expect(looks).toBeGreaterThan(1);
    expect(await stored()).toEqual(users.map((i) => (i < ON_WEB_1 ? before[i] : nameOf(i))));
    expect(await ends()).toEqual(users.map((i) => endMs + i));
    const removed = await gateway(['backend', 'remove', 'web-1', '-c', config]);
    expect(removed).toMatchObject({ status: 0, stderr: '' });
    expect(await answers()).toEqual(before);
  });

  test('meanwhile some are deleted, some end, some are stored anew: each stays what it was made', async () => {
    const before = await answers();
    const some = (n: number) => users.filter((i) => i < ON_WEB_1 && i % 40 === n);
    const [deleted, ended, elsewhere, again] = [some(0), some(1), some(2), some(3)];
    const settling = settle('--rate', '3000', '--json');
    await until(async () => (await moved()) >= 100);
    await Promise.all([
      ...deleted.map((i) => functions.sessionDelete(sidOf(i))),
      ...ended.map((i) => redis.pexpire(keyOf(i), 1)),
      ...elsewhere.map((i) => functions.sessionSet(sidOf(i), 'web-4', 60_000)),
      ...again.map((i) => functions.sessionSet(sidOf(i), 'web-1', 60_000)),
    ]);
    const { status, stdout, stderr } = await settling.ended;
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ staying: 0, complete: true });
    const then = await answers();
    const expected = [...before];
    for (const i of [...deleted, ...ended]) expected[i] = null;
    for (const i of elsewhere) expected[i] = 'web-4';
    expect(then).toEqual(expected);
    expect((await stored()).filter((name) => name === 'web-1')).toEqual([]);
    for (const [i, end] of (await ends()).entries()) {
      if (then[i] === null) expect(end).toBe(-2);
      else if (elsewhere.includes(i) || again.includes(i)) expect(end).toBeLessThan(endMs);
      else expect(end).toBe(endMs + i);
    }
  });
});
