/** nginx beside the real gateway, over real packets: everyone reaches the right backend, whoever is moved does at once, and nothing is lost. */
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BackendServer, startBackend } from '../../../integrations/nginx/backend-server.ts';
import { Browser, expressCookie } from '../../../integrations/nginx/browser.ts';
import { NginxProcess, type NginxSettings } from '../../../integrations/nginx/nginx-process.ts';
import { GATEWAY_IPV4, GATEWAY_IPV6 } from '../../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../../src/gateway/demo/stage.ts';
import { until } from '../../e2e/until.ts';
import { counted, NGINX, PATIENT, servedBy, writeKeyFile } from './host.ts';
import { pipelined } from './pipelined.ts';

const USERS = 1_000;
const BROWSERS = 20;
const FEED = 'sessions:feed';
const WAIT_MS = 60_000;
const HOUR_MS = 3_600_000;
/** On a backend that nginx is itself, so that what is measured is nginx alone. */
const STATIC = 'app-4';

let stage: Stage;
let redis: Redis;
let nginx: NginxProcess;
let settings: NginxSettings;
const backends: BackendServer[] = [];
const users = Array.from({ length: USERS }, (_, i) => i);
const sidOf = (i: number) => `user ${i}`;
const home = (i: number) => `app-${1 + (i % 3)}`;
const firstKey = randomKey(1);

async function store(sid: string, backend: string): Promise<void> {
  await redis.fcall('session_set', 2, `sess:${sid}`, FEED, sid, backend, HOUR_MS);
}

async function run(...args: string[]): Promise<void> {
  const { exitCode, stderr } = await stage.command(...args);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
}

beforeAll(async () => {
  stage = new Stage({ name: `ng-mv-${process.pid}` });
  stage.writeKeys([firstKey]);
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  await run('redis', 'install');
  for (const i of [1, 2, 3]) backends.push(await startBackend(`app-${i}`, `127.0.1.${i}`, 8080));
  for (const i of [1, 2, 3, 4]) {
    await run('backend', 'set', `app-${i}`, '--id', String(i), '--address', `127.0.1.${i}:8080`);
  }
  // Holds nobody but who is stored there.
  await run('drain', STATIC);
  await Promise.all(users.map((i) => store(sidOf(i), home(i))));
  await stage.startGateway();
  const keyFile = join(stage.directory, 'nginx-keys.yaml');
  writeKeyFile(keyFile, [firstKey]);
  settings = {
    directory: stage.directory,
    listen: NGINX,
    gateways: [`${GATEWAY_IPV4}:${stage.port}`, `[${GATEWAY_IPV6}]:${stage.port}`],
    keyFile,
    usual: backends.map(({ address }) => address),
    options: [PATIENT],
    http: `keepalive_requests 1000000;
      server { listen 127.0.1.4:8080; access_log off; location / { return 200 "served"; } }`,
  };
  nginx = await NginxProcess.start(settings);
});

afterAll(async () => {
  await nginx?.stop();
  for (const backend of backends) await backend.close();
  redis?.disconnect();
  await stage?.close();
});

/** The backend that each user's next page comes from. */
async function everyone(): Promise<string[]> {
  const found: string[] = new Array(USERS).fill('');
  const waiting = users.values();
  const browse = async () => {
    for (const i of waiting) found[i] = await servedBy(sidOf(i));
  };
  await Promise.all(Array.from({ length: BROWSERS }, browse));
  return found;
}

test('a thousand users each reach the backend of their session', async () => {
  expect(await everyone()).toEqual(users.map(home));
  const { [`requests_total{outcome="found"}`]: found, ...others } = await counted('requests');
  expect(others).toEqual({});
  expect(found).toBe(USERS);
});

test('a drained backend’s users are elsewhere on their next request, the others stay, and all come back', async () => {
  const before = (await counted('requests'))['requests_total{outcome="moved"}'] ?? 0;
  await run('drain', 'app-1');
  await until(async () => (await servedBy(sidOf(0))) !== 'app-1', WAIT_MS);
  const found = await everyone();
  for (const i of users) {
    if (home(i) === 'app-1') expect(['app-2', 'app-3']).toContain(found[i]);
    else expect(found[i]).toBe(home(i));
  }
  const moved = ((await counted('requests'))['requests_total{outcome="moved"}'] ?? 0) - before;
  expect(moved).toBeGreaterThanOrEqual(users.filter((i) => home(i) === 'app-1').length);
  await run('undrain', 'app-1');
  await until(async () => (await servedBy(sidOf(0))) === 'app-1', WAIT_MS);
  expect(await everyone()).toEqual(users.map(home));
});

test('who is unknown is placed, always on the same backend; who is denied is refused', async () => {
  const first = await servedBy('somebody new');
  expect(['app-1', 'app-2', 'app-3']).toContain(first);
  for (let i = 0; i < 5; i++) expect(await servedBy('somebody new')).toBe(first);
  expect((await counted('requests'))['requests_total{outcome="placed"}']).toBe(6);
  await run('deny', sidOf(1));
  await until(async () => (await servedBy(sidOf(1))) === '403', WAIT_MS);
  // Whatever else is in the header, the cookie that counts is the one that the application takes.
  const value = `s%3A${encodeURIComponent(sidOf(1))}.signature`;
  const headers = [
    `connect.sid=${value}; connect.sid=x`,
    `Connect.Sid=x; connect.sid=${value}`,
    `a=1,connect.sid=x; connect.sid=${value}`,
    `a="; connect.sid=${value}`,
    `connect.sid="${value}"`,
    `connect.sid=${value}${' '.repeat(4096)}`,
    `theme=${'x'.repeat(7000)}; connect.sid=${value}`,
  ];
  for (const cookie of headers) {
    const browser = new Browser(NGINX, cookie);
    expect((await browser.get()).status, cookie).toBe(403);
    browser.close();
  }
  await run('allow', sidOf(1));
  await until(async () => (await servedBy(sidOf(1))) === home(1), WAIT_MS);
});

describe('under load', () => {
  /** Browsers that ask all the time, while `act` does something. @returns what wasn't served as it should be */
  async function underLoad(act: () => Promise<void>): Promise<{ pages: number; wrong: string[] }> {
    let pages = 0;
    let running = true;
    const wrong: string[] = [];
    const browsing = Array.from({ length: BROWSERS }, async (_, i) => {
      const browser = new Browser(NGINX, expressCookie(sidOf(i)));
      while (running) {
        const { status, backend } = await browser.get();
        pages += 1;
        if (backend !== home(i)) wrong.push(`${sidOf(i)}: ${status} from ${backend}`);
      }
      browser.close();
    });
    try {
      await act();
      // What comes after the act is part of it.
      const enough = pages + 10 * BROWSERS;
      await until(async () => pages >= enough, WAIT_MS);
    } finally {
      running = false;
      await Promise.all(browsing);
    }
    return { pages, wrong };
  }

  test('keys are replaced, and nobody notices', async () => {
    const second = randomKey(2);
    const { pages, wrong } = await underLoad(async () => {
      stage.writeKeys([firstKey, second]);
      await run('reload-keys');
      writeKeyFile(settings.keyFile, [second]);
      await nginx.reload();
      stage.writeKeys([second]);
      await run('reload-keys');
    });
    expect(wrong).toEqual([]);
    expect(pages).toBeGreaterThan(10 * BROWSERS);
    // Requests that old workers had on the way would have found key 1 gone.
    const { [`requests_total{outcome="timed_out"}`]: timedOut = 0 } = await counted('requests');
    expect(timedOut).toBe(0);
  });

  test('the daemon is killed and comes back, and nobody notices', async () => {
    const { wrong } = await underLoad(async () => {
      await stage.stopGateway('SIGKILL');
      await stage.startGateway();
    });
    expect(wrong).toEqual([]);
  });
});

test('memory and descriptors are the same after 100,000 requests more', { timeout: 240_000 }, async () => {
  for (let i = 0; i < USERS; i++) await store(`static ${i}`, STATIC);
  await run('undrain', STATIC);
  await until(async () => (await nginxAnswers()) === '200', WAIT_MS);
  const cookieOf = (i: number) => expressCookie(`static ${i % USERS}`);
  expect(await pipelined(NGINX, 20_000, cookieOf)).toEqual({ 200: 20_000 });
  const [bytes, descriptors] = [nginx.residentBytes(), nginx.openDescriptors()];
  expect(await pipelined(NGINX, 100_000, cookieOf)).toEqual({ 200: 100_000 });
  expect(nginx.residentBytes() - bytes).toBeLessThan(8 * 1024 * 1024);
  // Some of what it keeps open to backends.
  expect(nginx.openDescriptors() - descriptors).toBeLessThan(100);
  const { [`requests_total{outcome="found"}`]: found = 0 } = await counted('requests');
  expect(found).toBeGreaterThanOrEqual(120_000);
});

/** The status of a page from the backend that nginx is itself. */
async function nginxAnswers(): Promise<string> {
  const browser = new Browser(NGINX, expressCookie('static 0'));
  const { status, body } = await browser.get();
  browser.close();
  return body === 'served' ? String(status) : `${status} ${body}`;
}
