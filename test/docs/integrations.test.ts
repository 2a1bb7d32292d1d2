/**
 * docs/integrations.md, followed to the letter by someone who has nothing else, then a backend drained under load: no request
 * fails, and nobody is on that backend any more.
 */
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { type BackendServer, startBackend } from '../../integrations/nginx/backend-server.ts';
import { Browser, expressCookie } from '../../integrations/nginx/browser.ts';
import { until } from '../e2e/until.ts';
import { follow, readDocument } from './document.ts';
import { Machines } from './machines.ts';
import { must, prepareGateway, USERS } from './prepared.ts';

// Dozens of commands, each a process of its own.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const WAIT_MS = 60_000;
const blocks = readDocument('docs/integrations.md');
const section = (name: string) => blocks.filter((block) => block.section === name);
const homes = USERS.map((_, i) => `app-${1 + (i % 3)}`);

let machines: Machines;
const backends: BackendServer[] = [];

beforeAll(async () => {
  machines = await Machines.make(`docs-in-${process.pid}`);
  // This process is on the load balancer's network.
  for (const i of [1, 2, 3]) backends.push(await startBackend(`app-${i}`, `10.0.0.1${i}`, 8080));
  await prepareGateway(machines);
});

afterAll(async () => {
  for (const backend of backends) await backend.close();
  await machines?.close();
});

/** Everyone's next page, as the backend's name or the status of an error. */
async function everyone(at: string): Promise<string[]> {
  return Promise.all(
    USERS.map(async (sid) => {
      const browser = new Browser(at, expressCookie(sid));
      const { backend, status } = await browser.get().finally(() => browser.close());
      return status === 200 && backend !== null ? backend : String(status);
    }),
  );
}

const untilAre = (at: string, are: (found: readonly string[]) => boolean): Promise<void> =>
  until(async () => are(await everyone(at)), WAIT_MS);

async function drainUnderLoad(at: string): Promise<void> {
  await untilAre(at, (found) => found.join() === homes.join());
  let running = true;
  let pages = 0;
  const failed: string[] = [];
  const load = USERS.map(async (sid) => {
    const browser = new Browser(at, expressCookie(sid));
    while (running) {
      const page = await browser.get().catch((error: unknown) => ({ status: String(error) }));
      pages += 1;
      if (page.status !== 200) failed.push(`${sid}: ${page.status}`);
    }
    browser.close();
  });
  try {
    await must(machines, 'gateway', 'gateway drain app-1');
    await untilAre(at, (found) => !found.includes('app-1') && found[1] === 'app-2' && found[2] === 'app-3');
    await must(machines, 'gateway', 'gateway undrain app-1');
    await untilAre(at, (found) => found.join() === homes.join());
  } finally {
    running = false;
    await Promise.all(load);
  }
  expect(failed).toEqual([]);
  expect(pages).toBeGreaterThan(USERS.length);
}

describe('nginx', () => {
  afterEach(() => must(machines, 'load-balancer', 'nginx -s quit; while [ -e /run/nginx.pid ]; do sleep 0.1; done'));

  test('with the whole configuration', async () => {
    expect(await follow(section('nginx'), machines)).toBeUndefined();
    await drainUnderLoad('127.0.0.1:80');
  });

  test('with its parts in a configuration that was there', async () => {
    const own = `user www-data; include /etc/nginx/modules-enabled/*.conf; events {}
      http {
        upstream usual { server 10.0.0.11:8080; server 10.0.0.12:8080; }
        server { listen 80; location / { proxy_pass http://usual; } }
      }`;
    const parts = section('nginx').find(({ language }) => language === 'nginx')?.text ?? '';
    // What comes into http before the server, and into the server before its locations, which are replaced.
    const [, http = '', server = ''] = /^http \{\n([\s\S]*?) {4}server \{\n([\s\S]*) {4}\}\n\}\n$/.exec(parts) ?? [];
    const merged = own
      .replace('upstream usual', `${http} upstream usual`)
      .replace('location / { proxy_pass http://usual; }', server);
    await must(machines, 'load-balancer', `cat > /etc/nginx/nginx.conf <<'END'\n${merged}\nEND\nnginx -t; nginx`);
    await drainUnderLoad('127.0.0.1:80');
  });
});

test('HAProxy', async () => {
  expect(await follow(section('HAProxy'), machines)).toBeUndefined();
  await drainUnderLoad('127.0.0.1:80');
});

test('Node.js', async () => {
  expect(await follow(section('Node.js'), machines)).toBeUndefined();
  await until(async () => (await machines.run('load-balancer', 'curl -s 127.0.0.1:8081')).exit === 0, WAIT_MS);
  await drainUnderLoad('127.0.0.1:8081');
});

test('C', async () => {
  const folder = `${ROOT}integrations/c`;
  const sources = `${folder}/session_gateway.c ${folder}/sgw-lookup.c`;
  await must(machines, 'load-balancer', `clang-19 -std=gnu11 -I ${folder} ${sources} -o /root/sgw-lookup -lcrypto`);
  expect(await follow(section('C'), machines)).toBeUndefined();
});

test('express: the application as it is written, and its route is where the gateways look', async () => {
  expect(await follow(section('express'), machines)).toBeUndefined();
  await must(
    machines,
    'load-balancer',
    `mkdir node_modules
     ln -s ${['express', 'express-session', 'connect-redis', 'redis'].map((name) => `${ROOT}node_modules/${name}`).join(' ')} node_modules/
     ln -s ${ROOT} node_modules/session-gateway
     REDIS=redis://10.0.0.20:6379 BACKEND=app-2 node app.mjs > app.log 2>&1 &`,
  );
  const visit = 'curl -s -b jar -c jar http://127.0.0.1:3000/';
  await until(async () => (await machines.run('load-balancer', visit)).exit === 0, WAIT_MS);
  expect(await must(machines, 'load-balancer', visit)).toMatch(/^visit \d+, on app-2\n$/);
  const [key = ''] = (await must(machines, 'gateway', "redis-cli --scan --pattern 'route:*'")).split('\n');
  expect(await must(machines, 'gateway', `redis-cli HGET ${key} backend`)).toBe('app-2\n');
});
