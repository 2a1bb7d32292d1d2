/** The real connect-redis under express, followed by notifications. */
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ExpressApp, startExpressApp } from '../support/express-app.ts';
import {
  addBackends,
  cookieHash,
  FEED,
  liveInRedis,
  newSync,
  PREFIX,
  type Running,
  untilInStep,
  untilReady,
} from './harness.ts';
import { RedisServer } from './redis-server.ts';

let server: RedisServer;
let redis: Redis;
let app: ExpressApp;

beforeAll(async () => {
  server = await RedisServer.start('--notify-keyspace-events', 'Kg$hzxe');
  redis = server.client();
  await addBackends(redis, 3);
  app = await startExpressApp(server.socket);
});

afterAll(async () => {
  await app?.close();
  await server?.stop();
});

describe.each(['backend', 'route.backend'])('sessions of connect-redis, %s', (path) => {
  const withSync = async (run: (started: Running) => Promise<void>): Promise<void> => {
    const started = newSync(server, {
      feed: { from: 'notifications', stream: FEED, reconcileEveryMs: 3_600_000 },
      sessions: { prefix: PREFIX, backend: { in: 'json', path } },
    });
    started.sync.start();
    try {
      await untilReady(started);
      await run(started);
    } finally {
      await started.sync.stop();
    }
  };

  it('are found as they are written, moved, touched, made anew and destroyed', async () => {
    const early = app.browser();
    await early.go('POST', '/on/web-3');
    await withSync(async (started) => {
      const held = (sid: string) => started.table.lookup(cookieHash(sid));
      const browser = app.browser();
      expect(await browser.go('GET', '/page')).toBe('nobody');
      await browser.go('POST', '/on/web-1');
      const { sid } = browser;
      await untilInStep(started);
      expect(held(early.sid)?.backendId).toBe(3);
      expect(held(sid)?.backendId).toBe(1);
      expect(held(sid)?.expiresMs).toBe(Number(await redis.call('PEXPIRETIME', `sess:${sid}`)));

      await browser.go('POST', '/on/web-2');
      await untilInStep(started);
      expect(held(sid)?.backendId).toBe(2);

      // As if most of its time had passed; the next request touches it.
      await redis.pexpire(`sess:${sid}`, 30_000);
      await untilInStep(started);
      expect(held(sid)?.expiresMs).toBeLessThan(Date.now() + 60_000);
      expect(await browser.go('GET', '/page')).toBe('web-2');
      await untilInStep(started);
      expect(held(sid)?.expiresMs).toBeGreaterThan(Date.now() + 500_000);

      if (path === 'backend') {
        await browser.go('POST', '/anew/web-3');
        expect(browser.sid).not.toBe(sid);
        await untilInStep(started);
        expect(held(sid)).toBeUndefined();
        expect(held(browser.sid)?.backendId).toBe(3);
        expect(started.table.live()).toEqual(await liveInRedis(redis, PREFIX, { in: 'json', path }));
      }

      await browser.go('POST', '/logout');
      await early.go('POST', '/logout');
      await untilInStep(started);
      expect(started.table.live().size).toBe(0);
      expect(started.sync.status().counts.resyncs).toMatchObject({ start: 1, gap: 0 });
    });
  });

  it('are never changed by the gateway', async () => {
    const browser = app.browser();
    await browser.go('POST', '/on/web-1');
    const key = `sess:${browser.sid}`;
    const before = await redis.get(key);
    await withSync(untilInStep);
    expect(await redis.get(key)).toBe(before);
    await browser.go('POST', '/logout');
  });
});
