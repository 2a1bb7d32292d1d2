/** Settling on a real Redis: what is written, and what happens meanwhile. */
import type { ChainableCommander, Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cookieHash } from '../../src/auth/cookie.ts';
import { type Placeable, PresentAnswers } from '../../src/gateway/present-answers.ts';
import { Settle, type SettleOptions, type SettleProgress, type SettleResult } from '../../src/gateway/settle.ts';
import type { BackendPatch, Functions } from '../../src/sync/redis/functions.ts';
import { type Runtime, systemRuntime } from '../../src/sync/runtime.ts';
import { parseBackends } from '../../src/sync/tables/backends.ts';
import { FEED, functionsOf, NAMES, PREFIX } from '../sync/harness.ts';
import { RedisServer } from '../sync/redis-server.ts';

const SESSIONS = 500;
const TTL_MS = 3_600_000;

let server: RedisServer;
let redis: Redis;
let other: Redis;
let functions: Functions;

beforeAll(async () => {
  server = await RedisServer.start();
  redis = server.client();
  other = server.client();
  functions = functionsOf(other);
});
afterAll(() => server?.stop());
beforeEach(async () => {
  await other.flushall();
  for (let id = 1; id <= 4; id++) await functions.backendPatch(`web-${id}`, { id, address: `10.0.0.${id}:80` });
  const storing = Array.from({ length: SESSIONS }, (_, i) => {
    return functions.sessionSet(sidOf(i), i % 5 === 0 ? 'web-2' : 'web-1', TTL_MS);
  });
  await Promise.all(storing);
});

const sidOf = (i: number) => `session ${i}`;
const patch = (name: string, fields: BackendPatch) => functions.backendPatch(name, fields);

/** Carries out `before` ahead of each transaction, after what it does was decided. */
function withRace(before: () => Promise<unknown>): Redis {
  return new Proxy(redis, {
    get(target, name) {
      if (name !== 'multi') {
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      }
      return (): ChainableCommander => {
        const transaction = target.multi();
        const exec = transaction.exec.bind(transaction);
        transaction.exec = async () => {
          await before();
          return await exec();
        };
        return transaction;
      };
    },
  });
}

interface Run extends Partial<SettleOptions> {
  readonly redis?: Redis;
  readonly runtime?: Runtime;
}

function settle(name: string, { redis: client = redis, runtime = systemRuntime, ...options }: Run = {}) {
  const sessions = { prefix: PREFIX, backend: { in: 'hash', field: 'backend' } } as const;
  const parts = { redis: client, functions, runtime, sessions, names: NAMES };
  const all = { rate: 1_000_000, dryRun: false, signal: new AbortController().signal, ...options };
  return new Settle(parts, name, all);
}

/** Sleeps take no time, but by its own clock. */
function fastRuntime(): Runtime {
  let nowMs = 0;
  const timer = (ms: number, callback: () => void) => {
    nowMs += ms;
    queueMicrotask(callback);
    return () => undefined;
  };
  return { ...systemRuntime, monotonicMs: () => nowMs, timer };
}

async function backends(): Promise<readonly Placeable[]> {
  const [table, ids] = await Promise.all([
    other.callBuffer('HGETALL', 'gateway:backends') as Promise<Buffer[]>,
    other.callBuffer('HGETALL', 'gateway:backend-ids') as Promise<Buffer[]>,
  ]);
  return parseBackends(table, ids, new Map()).backends;
}

async function stored(): Promise<(string | null)[]> {
  return await Promise.all(Array.from({ length: SESSIONS }, (_, i) => other.hget(`sess:${sidOf(i)}`, 'backend')));
}

/** Where each user is answered to now; null = there is no such session. */
async function answers(): Promise<(string | null)[]> {
  const present = new PresentAnswers(await backends());
  return (await stored()).map((name, i) => name && (present.movedTo(name, cookieHash(sidOf(i))) ?? name));
}

function count(names: readonly (string | null)[], name: string): number {
  return names.filter((each) => each === name).length;
}

function total({ targets }: SettleResult): number {
  return Object.values(targets).reduce((sum, each) => sum + each, 0);
}

describe('settling', () => {
  test('a backend that is draining: nobody is left on it, no answer and no end has changed', async () => {
    await patch('web-1', { state: 'draining' });
    const before = await answers();
    const ends = await Promise.all(before.map((_, i) => other.call('PEXPIRETIME', `sess:${sidOf(i)}`)));
    const entries = await other.xlen(FEED);
    const result = await settle('web-1').run();
    expect(result).toMatchObject({ moved: 400, staying: 0, changed: 0, complete: true });
    expect(Object.keys(result.targets).sort()).toEqual(['web-2', 'web-3', 'web-4']);
    expect(total(result)).toBe(400);
    expect(await answers()).toEqual(before);
    expect(await stored()).toEqual(before);
    expect(await Promise.all(before.map((_, i) => other.call('PEXPIRETIME', `sess:${sidOf(i)}`)))).toEqual(ends);
    expect(await other.xlen(FEED)).toBe(entries + 400);
    // Nothing is left to do.
    expect(await settle('web-1').run()).toMatchObject({ moved: 0, complete: true });
    // And nothing comes back.
    await patch('web-1', { state: 'active' });
    expect(await answers()).toEqual(before);
  });

  test('a backend that sheds: those who were shed are moved, the others stay', async () => {
    await patch('web-1', { shed: 3_000 });
    await patch('web-3', { shed: 1 });
    const before = await answers();
    const result = await settle('web-1').run();
    expect(result.moved).toBe(400 - count(before, 'web-1'));
    expect(result.moved).toBeGreaterThan(60);
    expect(result.staying).toBe(count(before, 'web-1'));
    expect(Object.keys(result.targets).sort()).toEqual(['web-2', 'web-4']);
    expect(await stored()).toEqual(before);
    expect(await answers()).toEqual(before);
  });

  test('where there is nowhere to go, all stay', async () => {
    for (let id = 1; id <= 4; id++) await patch(`web-${id}`, { state: 'draining' });
    const before = await stored();
    expect(await settle('web-1').run()).toMatchObject({ moved: 0, staying: 400, complete: true });
    expect(await stored()).toEqual(before);
  });

  test('a dry run counts and changes nothing', async () => {
    await patch('web-1', { state: 'down' });
    const before = await stored();
    const entries = await other.xlen(FEED);
    const result = await settle('web-1', { dryRun: true }).run();
    expect(result.moved).toBeGreaterThanOrEqual(400);
    expect(total(result)).toBe(result.moved);
    expect(await stored()).toEqual(before);
    expect(await other.xlen(FEED)).toBe(entries);
  });

  test('stopped half-way no answer has changed, and another run completes it', async () => {
    await patch('web-1', { state: 'draining' });
    const before = await answers();
    const stopping = new AbortController();
    const stopped = settle('web-1', {
      redis: withRace(async () => stopping.abort()),
      signal: stopping.signal,
    });
    const error = await stopped.run().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'SETTLE_STOPPED',
      message: expect.stringContaining(`it was stopped after ${stopped.moved} sessions`),
    });
    expect(stopped.moved).toBeGreaterThan(0);
    expect(stopped.moved).toBeLessThan(400);
    expect(count(await stored(), 'web-1')).toBe(400 - stopped.moved);
    expect(await answers()).toEqual(before);
    expect(await settle('web-1').run()).toMatchObject({ moved: 400 - stopped.moved, complete: true });
    expect(await answers()).toEqual(before);
  });

  test('no faster than the rate', async () => {
    await patch('web-1', { state: 'draining' });
    const runtime = fastRuntime();
    const movedAtMs: number[] = [];
    const onProgress = ({ moved }: SettleProgress) => {
      while (movedAtMs.length < moved) movedAtMs.push(runtime.monotonicMs());
    };
    await settle('web-1', { rate: 10, runtime, onProgress }).run();
    expect(movedAtMs.length).toBe(400);
    // Never more than a second's worth ahead, also at the start.
    for (const [i, atMs] of movedAtMs.entries()) expect(i + 1).toBeLessThanOrEqual(10 + atMs / 100);
    expect(runtime.monotonicMs()).toBeLessThanOrEqual(41_000);
  });

  test('progress is told, up to the end', async () => {
    await patch('web-1', { state: 'draining' });
    const told: SettleProgress[] = [];
    await settle('web-1', { rate: 10, runtime: fastRuntime(), onProgress: (progress) => told.push(progress) }).run();
    for (const pass of [1, 2]) {
      const parts = told.filter((each) => each.pass === pass).map(({ part }) => part);
      expect(parts.at(-1)).toBe(1);
      expect(parts).toEqual([...parts].sort((a, b) => a - b));
      expect(parts[0]).toBeGreaterThan(0);
    }
    // With a low rate a page takes long: it is told within one, too.
    expect(told.filter(({ pass }) => pass === 1).length).toBeGreaterThanOrEqual(40);
    expect(told.at(-1)).toEqual({ pass: 2, part: 1, moved: 400 });
  });
});

describe('meanwhile', () => {
  test('the backends change, again and again: everyone goes where they are answered to by then', async () => {
    await patch('web-1', { state: 'draining' });
    let races = 0;
    const race = async () => {
      races += 1;
      if (races % 2 === 1) await patch('web-2', { shed: races % 4 === 1 ? 5_000 : 0 });
    };
    const result = await settle('web-1', { redis: withRace(race) }).run();
    expect(result).toMatchObject({ moved: 400, staying: 0, complete: true });
    expect(total(result)).toBe(400);
    expect(races).toBeGreaterThan(4);
    // Each was moved by the table of its own transaction: now or then, nobody is on a backend that no table sent them to.
    const then = await stored();
    expect(count(then, 'web-1')).toBe(0);
  });

  test('a change between decision and transaction: the transaction is worked out anew', async () => {
    await patch('web-1', { state: 'draining' });
    let changed = false;
    const race = async () => {
      if (!changed) await patch('web-2', { state: 'down' });
      changed = true;
    };
    const before = await stored();
    const result = await settle('web-1', { redis: withRace(race) }).run();
    expect(Object.keys(result.targets).sort()).toEqual(['web-3', 'web-4']);
    const present = new PresentAnswers(await backends());
    const expected = before.map((name, i) => {
      return name === 'web-1' ? present.movedTo('web-1', cookieHash(sidOf(i))) : name;
    });
    expect(await stored()).toEqual(expected);
  });

  test('the backend is undrained: nobody else is moved', async () => {
    await patch('web-1', { state: 'draining' });
    let transactions = 0;
    const race = async () => {
      transactions += 1;
      if (transactions === 2) await patch('web-1', { state: 'active' });
    };
    const result = await settle('web-1', { redis: withRace(race) }).run();
    expect(result.moved).toBeLessThanOrEqual(100);
    expect(result.moved + result.staying).toBe(400);
    expect(count(await stored(), 'web-1')).toBe(result.staying);
  });

  test('backends that never stop changing end it', async () => {
    await patch('web-1', { state: 'draining' });
    let weight = 1;
    const race = async () => {
      weight += 1;
      await patch('web-2', { weight });
    };
    await expect(settle('web-1', { redis: withRace(race) }).run()).rejects.toMatchObject({
      code: 'SETTLE_STOPPED',
      message: expect.stringContaining('the backends changed all the time after 0 sessions'),
    });
    expect(count(await stored(), 'web-1')).toBe(400);
  });

  test('a session that is deleted stays deleted, one that is moved stays where it went', async () => {
    await patch('web-1', { state: 'draining' });
    let raced = false;
    const race = async () => {
      if (raced) return;
      raced = true;
      for (let i = 1; i <= 10; i++) if (i % 5 !== 0) await functions.sessionDelete(sidOf(i));
      await functions.sessionMove(sidOf(11), 'web-1', 'web-1b');
    };
    const result = await settle('web-1', { redis: withRace(race) }).run();
    const then = await stored();
    expect(then.slice(1, 5)).toEqual([null, null, null, null]);
    expect(then[11]).toBe('web-1b');
    expect(result).toMatchObject({ moved: 400 - 9, complete: true });
    expect(result.changed).toBeLessThanOrEqual(9);
  });

  test('writers that go on storing sessions on the backend are told of', async () => {
    await patch('web-1', { state: 'draining' });
    let writes = 0;
    const race = async () => {
      writes += 1;
      await functions.sessionSet(`new ${writes}`, 'web-1', TTL_MS);
    };
    const { complete } = await settle('web-1', { redis: withRace(race) }).run();
    expect(complete).toBe(false);
  });
});

describe('refused', () => {
  test('a backend that there is not, with the names that there are', async () => {
    await expect(settle('web-9').run()).rejects.toMatchObject({
      code: 'BACKEND_UNKNOWN',
      message: 'there is no backend "web-9"; there are "web-1", "web-2", "web-3", "web-4"',
    });
  });

  test('one whose entry is malformed', async () => {
    await other.hset('gateway:backends', 'web-1', '{"id":1}');
    await expect(settle('web-1').run()).rejects.toMatchObject({
      code: 'BACKEND_REFUSED',
      message: expect.stringContaining('address: found nothing'),
    });
  });
});
