/** The example proxy for Node.js as its own process, a real gateway, three real backends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import type { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { endProcess } from '../../src/gateway/demo/redis-server.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { until } from '../e2e/until.ts';
import { Browser } from '../support/express-app.ts';
import { type Backends, startBackends } from './backends.ts';

const PROXY = fileURLToPath(new URL('../../integrations/node/proxy.ts', import.meta.url));
const FEED = 'sessions:feed';
const USERS = 1_000;
const HOUR_MS = 3_600_000;
const WAIT_MS = 60_000;
/** Generous, since the machine may be busy. */
const LOOKUP_TIMEOUT_MS = 1_000;

const first = randomKey(1);
const second = randomKey(2);
const agent = new Agent({ keepAlive: true });
let stage: Stage;
let redis: Redis;
let backends: Backends;
let proxy: ChildProcess;
let port: number;

beforeAll(async () => {
  stage = new Stage({ name: `ca-node-${process.pid}`, prefix: 'route:' });
  stage.writeKeys([first]);
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  backends = await startBackends(stage.redisSocket);
  for (const [i, [name, address]] of [...backends.addresses].entries()) {
    await stage.command('backend', 'set', name, '--id', String(i + 1), '--address', address);
  }
  for (let i = 0; i < USERS; i++) {
    await redis.fcall('session_set', 2, `route:user-${i}`, FEED, `user-${i}`, homeOf(i), HOUR_MS);
  }
  await stage.startGateway();
  port = await freePort();
  const args = [...backends.addresses.values()].flatMap((address) => ['--backend', `http://${address}`]);
  args.push('--listen', String(port), '--gateway', `${GATEWAY_IPV4}:${stage.port}`, '--keys', stage.keyFile);
  args.push('--timeout', String(LOOKUP_TIMEOUT_MS));
  proxy = spawn(process.execPath, [PROXY, ...args], { stdio: ['ignore', 'inherit', 'inherit'] });
  await until(async () => (await ask('').catch(() => undefined))?.status === 200, WAIT_MS);
});

afterAll(async () => {
  agent.destroy();
  if (proxy !== undefined) await endProcess(proxy, 10_000);
  await backends?.close();
  redis?.disconnect();
  await stage?.close();
});

const homeOf = (user: number): string => `app-${1 + (user % 3)}`;
/** As express writes it; whether the signature is right is the backend's affair. */
const cookieOf = (sid: string): string => `theme=dark; connect.sid=s%3A${sid}.signature`;
const cookieOfUser = (user: number): string => cookieOf(`user-${user}`);

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

interface Answer {
  status: number | undefined;
  backend: string | undefined;
}

async function ask(cookie: string): Promise<Answer> {
  const request = get({ host: '127.0.0.1', port, path: '/page', agent, headers: { cookie } });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  await buffer(response);
  return { status: response.statusCode, backend: response.headers['x-backend'] as string | undefined };
}

async function everyUser(): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (let from = 0; from < USERS; from += 50) {
    const users = Array.from({ length: 50 }, (_, i) => from + i);
    answers.push(...(await Promise.all(users.map((user) => ask(cookieOfUser(user))))));
  }
  return answers;
}

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

/** Asks for all users in turn while `action` runs; each answer must be 200. */
async function underLoad(action: () => Promise<void>): Promise<number> {
  const wrong: Answer[] = [];
  let running = true;
  let asked = 0;
  const load = (async () => {
    while (running) {
      const answer = await ask(cookieOfUser(asked++ % USERS));
      if (answer.status !== 200) wrong.push(answer);
    }
  })();
  try {
    await action();
  } finally {
    running = false;
    await load;
  }
  expect(wrong).toEqual([]);
  return asked;
}

test('each of a thousand users gets to the own backend', async () => {
  expect((await everyUser()).map(({ backend }) => backend)).toEqual(
    Array.from({ length: USERS }, (_, user) => homeOf(user)),
  );
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
  await underLoad(async () => {
    expect(await stage.command('drain', 'app-1')).toMatchObject({ exitCode: 0 });
    await until(async () => (await ask(cookieOfUser(0))).backend !== 'app-1', WAIT_MS);
  });
  const answers = await everyUser();
  expect(answers.filter(({ backend }) => backend === 'app-1')).toEqual([]);
  for (const [user, { backend }] of answers.entries()) {
    if (homeOf(user) !== 'app-1') expect([user, backend]).toEqual([user, homeOf(user)]);
  }
  expect((await upgrade(cookieOfUser(0))).response.headers['x-backend']).not.toBe('app-1');
  await stage.command('undrain', 'app-1');
  await until(async () => (await ask(cookieOfUser(0))).backend === 'app-1', WAIT_MS);
});

test('who is denied is refused, over WebSockets too', async () => {
  await stage.command('deny', 'user-7');
  await until(async () => (await ask(cookieOfUser(7))).status === 403, WAIT_MS);
  const { response, socket } = await upgrade(cookieOfUser(7));
  expect([response.statusCode, socket]).toEqual([403, undefined]);
  await stage.command('allow', 'user-7');
  await until(async () => (await ask(cookieOfUser(7))).status === 200, WAIT_MS);
});

test('keys are rotated without a failed request', async () => {
  await underLoad(async () => {
    stage.writeKeys([first, second]);
    expect(await stage.command('reload-keys')).toMatchObject({ exitCode: 0 });
    stage.writeKeys([second]);
    proxy.kill('SIGHUP');
    // Once only the new key is in force, users come home only by it.
    expect(await stage.command('reload-keys')).toMatchObject({ exitCode: 0 });
    await until(async () => (await ask(cookieOfUser(2))).backend === homeOf(2), WAIT_MS);
  });
  expect((await ask(cookieOfUser(1))).backend).toBe(homeOf(1));
});

test('a dead gateway process is not noticed, and without any gateway requests are balanced', async () => {
  await stage.stopGateway('SIGKILL');
  expect((await ask(cookieOfUser(4))).backend).toBe(homeOf(4));

  stage.network.setGatewayLink('down');
  const answers: Answer[] = [];
  for (let i = 0; i < 9; i++) answers.push(await ask(cookieOfUser(0)));
  expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
  expect(new Set(answers.map(({ backend }) => backend)).size).toBe(3);
  expect((await upgrade(cookieOfUser(0))).response.statusCode).toBe(101);

  stage.network.setGatewayLink('up');
  await until(async () => {
    const some = await Promise.all([ask(cookieOfUser(0)), ask(cookieOfUser(1)), ask(cookieOfUser(2))]);
    return some.every(({ backend }, user) => backend === homeOf(user));
  }, WAIT_MS);
});

test('a backend that is gone costs an answer, not the proxy', async () => {
  await redis.fcall(
    'backend_patch',
    2,
    'gateway:backends',
    FEED,
    'app-9',
    '{"id":9,"address":"127.0.0.1:1","weight":0}',
  );
  await redis.fcall('session_set', 2, 'route:lost', FEED, 'lost', 'app-9', HOUR_MS);
  await stage.startGateway();
  await until(async () => (await ask(cookieOf('lost'))).status === 502, WAIT_MS);
  await expect(upgrade(cookieOf('lost'))).rejects.toThrow();
  expect((await ask(cookieOfUser(5))).backend).toBe(homeOf(5));
});
