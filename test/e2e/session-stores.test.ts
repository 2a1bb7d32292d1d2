/** The real connect-redis under express beside the real gateway: nothing of the application knows of a gateway. */
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLookupClient, type LookupClient } from '../../src/client/index.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { type ExpressApp, startExpressApp } from '../support/express-app.ts';
import { until } from './until.ts';

let stage: Stage;
let redis: Redis;
let app: ExpressApp;
let client: LookupClient;

beforeAll(async () => {
  stage = new Stage({
    name: `sgw-st-${process.pid}`,
    backend: { in: 'json', path: 'backend' },
    feed: { from: 'notifications' },
  });
  const [key] = stage.writeKeys([randomKey(1)]);
  if (key === undefined) throw new Error('no key');
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  for (const id of [1, 2, 3]) {
    await stage.command('backend', 'set', `web-${id}`, '--id', String(id), '--address', `10.1.0.${id}:8080`);
  }
  app = await startExpressApp(stage.redisSocket);
  await stage.startGateway();
  client = createLookupClient({ servers: [{ host: GATEWAY_IPV4, port: stage.port }], key, timeoutMs: 1000 });
});

afterAll(async () => {
  await client?.close();
  await app?.close();
  redis?.disconnect();
  await stage?.close();
});

test('a Redis that sends no notifications is told, and `gateway doctor` sets it when it is asked to', async () => {
  await until(async () => JSON.stringify(await stage.status()).includes('"missing":"Kg$hzxe"'));
  expect((await stage.command('status')).stdout).toContain('REDIS DOES NOT SEND Kg$hzxe');
  const failed = await stage.command('doctor', '--json');
  expect(failed.exitCode).toBe(1);
  const { findings } = JSON.parse(failed.stdout) as { findings: { code: string; level: string }[] };
  const problems = findings.filter(({ level }) => level === 'problem').map(({ code }) => code);
  expect(problems).toContain('notifications-missing');
  expect(await redis.config('GET', 'notify-keyspace-events')).toEqual(['notify-keyspace-events', '']);

  expect(await stage.command('doctor', '--set-notifications')).toMatchObject({ exitCode: 0 });
  await until(async () => JSON.stringify(await stage.status()).includes('"missing":""'));
});

test('sessions are found as they are written, moved, made anew and destroyed', async () => {
  // Where an unknown session would be placed doesn't matter here.
  const where = async (sid: string): Promise<number | null> => {
    const { status, backend } = await client.lookup(sid);
    return status === 'FOUND' ? backend : null;
  };
  const browser = app.browser();
  await browser.go('POST', '/on/web-1');
  const { sid } = browser;
  await until(async () => (await where(sid)) === 1);
  await browser.go('POST', '/on/web-2');
  await until(async () => (await where(sid)) === 2);
  expect(await client.lookup(sid)).toMatchObject({ status: 'FOUND', address: '10.1.0.2', port: 8080 });

  await browser.go('POST', '/anew/web-3');
  await until(async () => (await where(browser.sid)) === 3);
  await until(async () => (await where(sid)) === null);

  await browser.go('POST', '/logout');
  await until(async () => (await where(browser.sid)) === null);
});

test('what Redis lost at once is not found, though no key had an event', async () => {
  const browser = app.browser();
  await browser.go('POST', '/on/web-1');
  await until(async () => (await client.lookup(browser.sid)).status === 'FOUND');
  await redis.flushall();
  await until(async () => (await client.lookup(browser.sid)).status === 'NOT_FOUND');
});

test('a session of the application is not changed by the gateway', async () => {
  await redis.set('sess:kept', '{"backend":"web-1"}');
  const body = { backend: 'web-2', ttlMs: 60_000 };
  const { askConfigured } = await import('../../src/gateway/control/ask.ts');
  const asked = askConfigured(stage.configFile, { method: 'PUT', path: '/v1/sessions/kept', body });
  await expect(asked).rejects.toMatchObject({ message: expect.stringContaining('belong to their application') });
  expect(await redis.get('sess:kept')).toBe('{"backend":"web-1"}');
});
