/** The middleware under the real express, express-session and connect-redis, with a real Redis. */
import { Redis } from 'ioredis';
import type { createClient } from 'redis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type SessionRoutesOptions, sessionRoutes } from '../../src/express/index.ts';
import { until } from '../e2e/until.ts';
import { type Browser, type ExpressApp, startExpressApp } from '../support/express-app.ts';
import { RedisServer } from '../sync/redis-server.ts';

const FEED = 'sessions:feed';
/** Of express-app.ts. */
const MAX_AGE_MS = 600_000;
const WAIT_MS = 60_000;

let server: RedisServer;
let redis: Redis;

beforeAll(async () => {
  server = await RedisServer.start();
  redis = server.client();
});

afterAll(async () => {
  await server?.stop();
});

type Options = Partial<SessionRoutesOptions>;
type NodeRedis = ReturnType<typeof createClient>;

/** Starts an application with the middleware, and what it hears of failures. */
async function withApp(
  options: Options | ((client: NodeRedis) => Options),
  run: (app: ExpressApp, failures: Error[]) => Promise<void>,
): Promise<void> {
  const failures: Error[] = [];
  const app = await startExpressApp(server.socket, {
    middleware: (client) =>
      sessionRoutes({
        redis: client,
        backend: 'app-1',
        touchEveryMs: 0,
        onError: (error) => failures.push(error),
        ...(typeof options === 'function' ? options(client) : options),
      }),
  });
  try {
    await run(app, failures);
  } finally {
    await app.close();
  }
}

const route = (sid: string): Promise<string | null> => redis.hget(`route:${sid}`, 'backend');

async function loggedIn(app: ExpressApp): Promise<Browser> {
  const browser = app.browser();
  await browser.go('POST', '/on/anything');
  return browser;
}

describe('a session’s route', () => {
  test('is there when the response that makes the session has come, and ends with it', () =>
    withApp({}, async (app, failures) => {
      const browser = await loggedIn(app);
      expect(await route(browser.sid)).toBe('app-1');
      const ttlMs = await redis.pttl(`route:${browser.sid}`);
      expect(ttlMs).toBeGreaterThan(MAX_AGE_MS - WAIT_MS);
      expect(ttlMs).toBeLessThanOrEqual(MAX_AGE_MS);
      const [entry] = await redis.xrevrange(FEED, '+', '-', 'COUNT', 1);
      expect(entry?.[1]).toEqual(['op', 'set', 'sid', browser.sid, 'backend', 'app-1', 'expires', expect.any(String)]);
      expect(failures).toEqual([]);
    }));

  test('is touched with it, and stays where it leads', () =>
    withApp({}, async (app) => {
      const browser = await loggedIn(app);
      const key = `route:${browser.sid}`;
      await redis.fcall('session_move', 2, key, FEED, browser.sid, 'app-1', 'app-2');
      await redis.pexpire(key, 1_000);
      await browser.go('GET', '/page');
      await until(async () => (await redis.pttl(key)) > 1_000, WAIT_MS);
      await redis.pexpire(key, 1_000);
      await browser.go('POST', '/on/something-else');
      expect(await redis.pttl(key)).toBeGreaterThan(1_000);
      expect(await route(browser.sid)).toBe('app-2');
    }));

  test('goes with it, and another id gets its own', () =>
    withApp({}, async (app, failures) => {
      const browser = await loggedIn(app);
      const before = browser.sid;
      await browser.go('POST', '/anew/anything');
      expect(browser.sid).not.toBe(before);
      expect([await route(before), await route(browser.sid)]).toEqual([null, 'app-1']);
      await browser.go('POST', '/logout');
      expect(await redis.exists(`route:${browser.sid}`)).toBe(0);
      const [entry] = await redis.xrevrange(FEED, '+', '-', 'COUNT', 1);
      expect(entry?.[1]).toEqual(['op', 'del', 'sid', browser.sid]);
      expect(failures).toEqual([]);
    }));

  test('comes back where it was lost, but not for a session that is gone', () =>
    withApp({}, async (app) => {
      const browser = await loggedIn(app);
      await redis.del(`route:${browser.sid}`);
      await browser.go('GET', '/page');
      await until(async () => (await route(browser.sid)) === 'app-1', WAIT_MS);

      // Destroyed by another process while the session is in use here.
      const other = await loggedIn(app);
      await other.go('GET', '/vanish');
      await other.go('GET', '/page');
      expect(await redis.exists(`sess:${other.sid}`, `route:${other.sid}`)).toBe(0);
    }));

  test('is written again only after a while, and lives that much longer', () =>
    withApp({ touchEveryMs: 30_000 }, async (app) => {
      const browser = await loggedIn(app);
      expect(await redis.pttl(`route:${browser.sid}`)).toBeGreaterThan(MAX_AGE_MS);
      const entries = await redis.xlen(FEED);
      for (let i = 0; i < 5; i++) await browser.go('POST', `/on/${i}`);
      expect(await redis.xlen(FEED)).toBe(entries);
      await browser.go('POST', '/logout');
      expect(await redis.xlen(FEED)).toBe(entries + 1);
    }));

  test('is written through ioredis as well, under another prefix, to another feed', async () => {
    const client = new Redis({ path: server.socket });
    await withApp({ redis: client, prefix: 'r:', feed: 'other:feed' }, async (app, failures) => {
      const browser = await loggedIn(app);
      expect(await redis.hget(`r:${browser.sid}`, 'backend')).toBe('app-1');
      expect(await redis.xlen('other:feed')).toBe(1);
      expect(failures).toEqual([]);
    });
    client.disconnect();
  });

  test('is written where the function library was missing, or was lost', () =>
    withApp({}, async (app, failures) => {
      await redis.call('FUNCTION', 'FLUSH');
      expect(await route((await loggedIn(app)).sid)).toBe('app-1');
      expect(failures).toEqual([]);
    }));
});

describe('a failure fails no request, and says no session id', () => {
  async function served(app: ExpressApp): Promise<string> {
    const browser = await loggedIn(app);
    expect(await browser.go('GET', '/page')).toBe('anything');
    return browser.sid;
  }

  test('a call that Redis refuses', () =>
    withApp({ prefix: 'list:' }, async (app, failures) => {
      const browser = await loggedIn(app);
      await redis.del(`list:${browser.sid}`);
      await redis.lpush(`list:${browser.sid}`, 'x');
      await browser.go('POST', '/on/anything');
      // One as the session is saved, one as it is touched at the request's end.
      const message = 'its key: found a list, allowed: a hash';
      await until(async () => failures.length === 2, WAIT_MS);
      expect(failures).toMatchObject([
        { code: 'FUNCTION_REFUSED', message },
        { code: 'FUNCTION_REFUSED', message },
      ]);
      await browser.go('POST', '/logout');
      expect(failures).toHaveLength(3);
    }));

  test('a user that may not call functions', async () => {
    await redis.call('ACL', 'SETUSER', 'poor', 'on', 'nopass', '~*', '+get', '+set', '+expire', '+client', '+hello');
    const client = new Redis({ path: server.socket, username: 'poor', password: 'x', enableReadyCheck: false });
    await withApp({ redis: client }, async (app, failures) => {
      const sid = await served(app);
      expect(failures[0]).toMatchObject({ code: 'REDIS_REFUSED' });
      expect(JSON.stringify([failures, ...failures.map(String)])).not.toContain(sid);
    });
    client.disconnect();
  });

  test('a Redis that is gone', async () => {
    const client = new Redis({ path: '/nonexistent/redis.sock', enableOfflineQueue: false, lazyConnect: true });
    client.on('error', () => undefined);
    await withApp({ redis: client }, async (app, failures) => {
      await served(app);
      expect(failures[0]).toMatchObject({ code: 'REDIS_CLOSED' });
    });
    client.disconnect();
  });

  test('a Redis that never answers', () =>
    withApp({ redis: { call: () => new Promise(() => undefined) }, timeoutMs: 20 }, async (app, failures) => {
      await served(app);
      expect(failures[0]?.message).toBe('found no answer of Redis within 20 ms');
    }));

  test('a client that throws at once, and an onError that does', () =>
    withApp(
      {
        redis: {
          call: () => {
            throw new Error('broken');
          },
        },
        onError: () => {
          throw new Error('broken, too');
        },
      },
      async (app) => {
        await served(app);
      },
    ));

  test('calls that pile up', async () => {
    let calls = 0;
    const call = (): Promise<never> => {
      calls += 1;
      return new Promise(() => undefined);
    };
    const failures: Error[] = [];
    const routes = sessionRoutes({
      redis: { call },
      backend: 'app-1',
      timeoutMs: 60_000,
      onError: (e) => failures.push(e),
    });
    const store = {
      get: () => undefined,
      set: () => undefined,
      destroy: () => undefined,
    } as { get(): void; set(sid: string, session: object): void; destroy(): void };
    routes({ sessionStore: store }, {}, () => undefined);
    for (let i = 0; i < 1_010; i++) store.set(`s${i}`, {});
    await until(async () => failures.length === 10, WAIT_MS);
    expect(calls).toBe(1_000);
    expect(failures[0]?.message).toBe('found 1000 calls to Redis under way, which is what is allowed');
  });

  test('a middleware that comes before express-session', () => {
    const failures: Error[] = [];
    const routes = sessionRoutes({ redis, backend: 'app-1', onError: (error) => failures.push(error) });
    let passed = 0;
    routes({}, {}, (error) => {
      passed += error === undefined ? 1 : 0;
    });
    expect(passed).toBe(1);
    expect(failures[0]?.message).toContain('allowed: after app.use(session(…))');
  });
});

test('wrong options are refused by name', () => {
  const good = { redis: new Redis({ lazyConnect: true }), backend: 'app-1' };
  const wrong: [object, string][] = [
    [{ backend: '' }, 'backend: found 0 bytes'],
    [{ backend: 'a\nb' }, 'backend: found a control character'],
    [{ backend: 7 }, 'backend: found number'],
    [{ redis: {} }, 'redis: found something without'],
    [{ prefix: '' }, 'prefix: found 0 bytes'],
    [{ feed: 'x'.repeat(257) }, 'feed: found 257 bytes'],
    [{ ttlMs: 0 }, 'ttlMs: '],
    [{ touchEveryMs: -1 }, 'touchEveryMs: '],
    [{ timeoutMs: 60_001 }, 'timeoutMs: '],
    [{ onError: 'log' }, 'onError: found string'],
    [{ ttl: 1 }, 'options: found ttl, allowed: redis, '],
  ];
  for (const [change, message] of wrong) {
    expect(() => sessionRoutes({ ...good, ...change } as SessionRoutesOptions)).toThrow(message);
  }
});
