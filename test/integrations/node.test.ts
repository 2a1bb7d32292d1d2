/** The example proxy for Node.js as its own process, a real gateway, three real backends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { get, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { endProcess } from '../../src/gateway/demo/redis-server.ts';
import { until } from '../e2e/until.ts';
import { Browser } from '../support/express-app.ts';
import { freePort } from '../support/free-port.ts';
import {
  type Answer,
  cookieOf,
  cookieOfUser,
  cookiesThatExpressTakesFor,
  FEED,
  homeOf,
  homes,
  LOOKUP_TIMEOUT_MS,
  Site,
  Users,
  WAIT_MS,
} from './site.ts';

const PROXY = fileURLToPath(new URL('../../integrations/node/proxy.ts', import.meta.url));

let site: Site;
let users: Users;
let proxy: ChildProcess;
let port: number;

beforeAll(async () => {
  site = await Site.start(`ca-node-${process.pid}`);
  port = await freePort();
  users = new Users(port);
  const args = [...site.backends.addresses.values()].flatMap((address) => ['--backend', `http://${address}`]);
  args.push('--listen', String(port), '--gateway', site.gateway, '--keys', site.stage.keyFile);
  args.push('--timeout', String(LOOKUP_TIMEOUT_MS));
  proxy = spawn(process.execPath, [PROXY, ...args], { stdio: ['ignore', 'inherit', 'inherit'] });
  await until(async () => (await users.ask('').catch(() => undefined))?.status === 200, WAIT_MS);
});

afterAll(async () => {
  users?.close();
  if (proxy !== undefined) await endProcess(proxy, 10_000);
  await site?.close();
});

interface Upgraded {
  response: IncomingMessage;
  socket: Duplex | undefined;
}

async function upgrade(cookie: string): Promise<Upgraded> {
  const headers = { cookie, connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' };
  const request = get({ host: '127.0.0.1', port, path: '/', headers: { ...headers, 'sec-websocket-key': 'x' } });
  return new Promise((resolve, reject) => {
    request.on('error', reject);
    request.on('upgrade', (response, socket) => resolve({ response, socket }));
    request.on('response', (response) => resolve({ response, socket: undefined }));
  });
}

test('each of a thousand users gets to the own backend', async () => {
  expect((await users.everyone()).map(({ backend }) => backend)).toEqual(homes());
});

test('who logs in somewhere comes there again at once', async () => {
  for (let i = 0; i < 6; i++) {
    const browser = new Browser(`http://127.0.0.1:${port}`);
    await browser.go('POST', '/on/anything');
    const home = browser.headers.get('x-backend');
    await until(async () => {
      await browser.go('GET', '/page');
      return browser.headers.get('x-backend') === home;
    }, WAIT_MS);
    for (let j = 0; j < 5; j++) {
      expect(await browser.go('GET', '/page')).toBe('anything');
      expect(browser.headers.get('x-backend')).toBe(home);
    }
  }
});

test('a WebSocket goes to the own backend, both ways', async () => {
  for (const user of [0, 1, 2]) {
    const { response, socket } = await upgrade(cookieOfUser(user));
    expect([response.statusCode, response.headers['x-backend']]).toEqual([101, homeOf(user)]);
    if (socket === undefined) throw new Error('not upgraded');
    const sent = Buffer.alloc(1_000_000, `user ${user} `);
    socket.end(sent);
    expect((await buffer(socket)).equals(sent)).toBe(true);
  }
});

test('a draining backend’s users are answered elsewhere from their next request on, and none fails', async () => {
  await users.underLoad(async () => {
    expect(await site.stage.command('drain', 'app-1')).toMatchObject({ exitCode: 0 });
    await until(async () => (await users.ask(cookieOfUser(0))).backend !== 'app-1', WAIT_MS);
  });
  const answers = await users.everyone();
  expect(answers.filter(({ backend }) => backend === 'app-1')).toEqual([]);
  for (const [user, { backend }] of answers.entries()) {
    if (homeOf(user) !== 'app-1') expect([user, backend]).toEqual([user, homeOf(user)]);
  }
  expect((await upgrade(cookieOfUser(0))).response.headers['x-backend']).not.toBe('app-1');
  await site.stage.command('undrain', 'app-1');
  await users.untilHome(0);
});

test('who is denied is refused, over WebSockets too', async () => {
  await site.stage.command('deny', 'user-7');
  await until(async () => (await users.ask(cookieOfUser(7))).status === 403, WAIT_MS);
  for (const cookie of cookiesThatExpressTakesFor(7)) expect((await users.ask(cookie)).status, cookie).toBe(403);
  expect((await users.ask(['theme=dark', cookieOfUser(7)])).status).toBe(403);
  const { response, socket } = await upgrade(cookieOfUser(7));
  expect([response.statusCode, socket]).toEqual([403, undefined]);
  await site.stage.command('allow', 'user-7');
  await until(async () => (await users.ask(cookieOfUser(7))).status === 200, WAIT_MS);
});

test('keys are rotated without a failed request', async () => {
  await users.underLoad(async () => {
    await site.rotateKeys(() => proxy.kill('SIGHUP'));
    // Once only the new key is in force, users come home only by it.
    await users.untilHome(2);
  });
  expect((await users.ask(cookieOfUser(1))).backend).toBe(homeOf(1));
});

test('a dead gateway process is not noticed, and without any gateway requests are balanced', async () => {
  await site.stage.stopGateway('SIGKILL');
  expect((await users.ask(cookieOfUser(4))).backend).toBe(homeOf(4));

  site.stage.network.setGatewayLink('down');
  const answers: Answer[] = [];
  for (let i = 0; i < 9; i++) answers.push(await users.ask(cookieOfUser(0)));
  expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
  expect(new Set(answers.map(({ backend }) => backend)).size).toBe(3);
  expect((await upgrade(cookieOfUser(0))).response.statusCode).toBe(101);

  site.stage.network.setGatewayLink('up');
  await until(async () => {
    const some = await Promise.all([
      users.ask(cookieOfUser(0)),
      users.ask(cookieOfUser(1)),
      users.ask(cookieOfUser(2)),
    ]);
    return some.every(({ backend }, user) => backend === homeOf(user));
  }, WAIT_MS);
});

test('a backend that is gone costs an answer, not the proxy', async () => {
  await site.redis.fcall(
    'backend_patch',
    2,
    'gateway:backends',
    FEED,
    'app-9',
    '{"id":9,"address":"127.0.0.1:1","weight":0}',
  );
  await site.store('lost', 'app-9');
  await site.stage.startGateway();
  await until(async () => (await users.ask(cookieOf('lost'))).status === 502, WAIT_MS);
  await expect(upgrade(cookieOf('lost'))).rejects.toThrow();
  expect((await users.ask(cookieOfUser(5))).backend).toBe(homeOf(5));
});
