import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { underLock, type WithRedis } from '../../../src/gateway/balance/lock.ts';
import { failure } from '../../../src/gateway/errors.ts';
import { type Runtime, systemRuntime } from '../../../src/sync/runtime.ts';
import { RedisServer } from '../../sync/redis-server.ts';
import { until } from '../support/balancing.ts';

const LOCK = { key: 'gateway:balancer', ttlMs: 600 };
let server: RedisServer;
let redis: Redis;

beforeAll(async () => {
  server = await RedisServer.start();
  redis = server.client();
});
afterAll(() => server?.stop());
beforeEach(() => redis.flushall());

const withRedis: WithRedis = (action) => action(redis);

/** Resolves when the signal is aborted. */
function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

describe('the lock of the balancer', () => {
  test('is held while the action runs, and is gone afterwards', async () => {
    const result = await underLock(withRedis, systemRuntime, LOCK, async () => {
      expect(await redis.pttl(LOCK.key)).toBeGreaterThan(0);
      return 7;
    });
    expect(result).toBe(7);
    expect(await redis.exists(LOCK.key)).toBe(0);
  });

  test('is let go of when the action fails', async () => {
    const failed = underLock(withRedis, systemRuntime, LOCK, () => Promise.reject(new Error('broken')));
    await expect(failed).rejects.toThrow('broken');
    expect(await redis.exists(LOCK.key)).toBe(0);
  });

  test('of several at once, one gets it', async () => {
    const others = 7;
    let refused = 0;
    let entered = 0;
    // Whoever is in stays until the others have been refused.
    const attempt = (): Promise<void> => {
      return underLock(withRedis, systemRuntime, LOCK, async () => {
        entered += 1;
        await until(async () => refused === others);
      }).catch((error: { code?: string }) => {
        expect(error.code).toBe('BALANCE_LOCKED');
        refused += 1;
      });
    };
    await Promise.all(Array.from({ length: others + 1 }, attempt));
    expect({ entered, refused }).toEqual({ entered: 1, refused: others });
  });

  test('is taken over by who stands by, and they are told once', async () => {
    let waits = 0;
    const onWait = (): void => {
      waits += 1;
    };
    const standby = { signal: new AbortController().signal, onWait };
    await redis.set(LOCK.key, 'another', 'PX', 60_000);
    let failures = 0;
    // Redis may go and come back meanwhile.
    const shaky: WithRedis = (action) => {
      if (waits === 0 || failures === 2) return action(redis);
      failures += 1;
      return Promise.reject(failure('REDIS_UNREACHABLE', { url: 'redis://h', reason: 'gone' }));
    };
    const worked = underLock(shaky, systemRuntime, LOCK, async () => redis.get(LOCK.key), standby);
    await until(async () => failures === 2);
    await redis.del(LOCK.key);
    expect(await worked).toMatch(/^[0-9a-f]{32}$/);
    expect(waits).toBe(1);
    expect(await redis.exists(LOCK.key)).toBe(0);
  });

  test('is waited for until the waiting is ended, and not where it has no end', async () => {
    const stopping = new AbortController();
    const standby = { signal: stopping.signal, onWait: () => stopping.abort(new Error('enough')) };
    const never = () => Promise.reject(new Error('not to be called'));
    await redis.set(LOCK.key, 'another', 'PX', 60_000);
    await expect(underLock(withRedis, systemRuntime, LOCK, never, standby)).rejects.toThrow('enough');
    await redis.set(LOCK.key, 'another');
    const waits = { signal: new AbortController().signal, onWait: () => undefined };
    await expect(underLock(withRedis, systemRuntime, LOCK, never, waits)).rejects.toMatchObject({
      code: 'BALANCE_LOCKED',
    });
  });

  test('is renewed for longer than it lasts by itself', async () => {
    let renewals = 0;
    const counting: WithRedis = async (action) => {
      const result = await action(redis);
      renewals += 1;
      return result;
    };
    await underLock(counting, systemRuntime, LOCK, async (lost) => {
      await until(async () => renewals >= 6);
      expect(lost.aborted).toBe(false);
    });
  });

  test.each([
    ['deleted', () => redis.del(LOCK.key)],
    ['taken by another', () => redis.set(LOCK.key, 'another')],
  ])('that is %s is lost, and what another has is left', async (_, take) => {
    const lost = underLock(withRedis, systemRuntime, LOCK, async (signal) => {
      await take();
      await aborted(signal);
      signal.throwIfAborted();
    });
    await expect(lost).rejects.toMatchObject({ code: 'BALANCE_LOCK_LOST' });
    expect(['another', null]).toContain(await redis.get(LOCK.key));
  });

  test('an action that takes no notice of the loss fails all the same', async () => {
    const lost = underLock(withRedis, systemRuntime, LOCK, async (signal) => {
      await redis.set(LOCK.key, 'another');
      await aborted(signal);
      return 'done';
    });
    await expect(lost).rejects.toMatchObject({ code: 'BALANCE_LOCK_LOST' });
  });

  test('is lost in time where Redis no longer answers', async () => {
    let nowMs = 0;
    const timers: { atMs: number; callback: () => void }[] = [];
    const runtime: Runtime = {
      ...systemRuntime,
      monotonicMs: () => nowMs,
      timer(ms, callback) {
        const timer = { atMs: nowMs + ms, callback };
        timers.push(timer);
        return () => void timers.splice(timers.indexOf(timer), timers.includes(timer) ? 1 : 0);
      },
    };
    let silent = false;
    const breaking: WithRedis = (action) => (silent ? Promise.reject(new Error('gone')) : action(redis));
    const lost = underLock(breaking, runtime, LOCK, async (signal) => {
      silent = true;
      for (let turn = 0; turn < 100 && !signal.aborted; turn++) {
        nowMs += 50;
        for (const timer of timers.splice(0)) {
          if (timer.atMs <= nowMs) timer.callback();
          else timers.push(timer);
        }
        // Lets what the timers woke go on.
        for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
      }
      expect(signal.aborted).toBe(true);
      // Not later than Redis would give it to another.
      expect(nowMs).toBeLessThanOrEqual(LOCK.ttlMs);
    });
    await expect(lost).rejects.toMatchObject({ code: 'BALANCE_LOCK_LOST' });
  });
});
