/** HAProxy with the configuration as it is shipped, the agent as its own process, a real gateway, three real backends. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { Agent, get, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Listening, startAgent, startHaproxy } from '../../integrations/haproxy/processes.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { until } from '../e2e/until.ts';
import { agentFrames, hello, notify } from '../gateway/spoe/haproxy.ts';
import { Browser } from '../support/express-app.ts';
import { type Backends, startBackends } from './backends.ts';

const FEED = 'sessions:feed';
const USERS = 1_000;
const HOUR_MS = 3_600_000;
const WAIT_MS = 60_000;
/** In the namespace of this test. */
const PORT = 35_080;
const AGENT_PORT = 35_091;
/** Generous, since the machine may be busy; of HAProxy and of the agent. */
const CHANGES = [['timeout processing 50ms', 'timeout processing 2s']] as const;
const LOOKUP_TIMEOUT_MS = 1_000;

const first = randomKey(1);
const second = randomKey(2);
const agent = new Agent({ keepAlive: true });
let stage: Stage;
let redis: Redis;
let backends: Backends;
let haproxy: Listening;
let spoeAgent: Listening;

beforeAll(async () => {
  stage = new Stage({ name: `ca-hap-${process.pid}`, prefix: 'route:' });
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
  spoeAgent = await newAgent();
  haproxy = await startHaproxy({
    directory: stage.directory,
    port: PORT,
    agentPort: AGENT_PORT,
    backends: [...backends.addresses.values()],
    changes: CHANGES,
  });
});

afterAll(async () => {
  agent.destroy();
  await haproxy?.stop('SIGKILL');
  await spoeAgent?.stop();
  await backends?.close();
  redis?.disconnect();
  await stage?.close();
});

function newAgent(others: readonly string[] = []): Promise<Listening> {
  return startAgent({
    directory: stage.directory,
    port: AGENT_PORT,
    gateways: [...others, `${GATEWAY_IPV4}:${stage.port}`],
    keyFile: stage.keyFile,
    timeoutMs: LOOKUP_TIMEOUT_MS,
  });
}

const homeOf = (user: number): string => `app-${1 + (user % 3)}`;
const cookieOf = (sid: string): string => `theme=dark; connect.sid=s%3A${sid}.signature`;
const cookieOfUser = (user: number): string => cookieOf(`user-${user}`);

interface Answer {
  status: number | undefined;
  backend: string | undefined;
}

async function ask(cookie: string): Promise<Answer> {
  const request = get({ host: '127.0.0.1', port: PORT, path: '/page', agent, headers: { cookie } });
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

/** Asks for all users, several at once, while `action` runs; each answer must be 200. */
async function underLoad(action: () => Promise<void>): Promise<void> {
  const wrong: unknown[] = [];
  let running = true;
  let asked = 0;
  const askOn = async (): Promise<void> => {
    while (running) {
      const answer = await ask(cookieOfUser(asked++ % USERS)).catch((error: unknown) => ({ status: String(error) }));
      if (answer.status !== 200) wrong.push(answer);
    }
  };
  const load = Promise.all([askOn(), askOn(), askOn(), askOn()]);
  try {
    await action();
  } finally {
    running = false;
    await load;
  }
  expect(wrong).toEqual([]);
  expect(asked).toBeGreaterThan(0);
}

const untilHome = (user: number): Promise<void> =>
  until(async () => (await ask(cookieOfUser(user))).backend === homeOf(user), WAIT_MS);

test('each of a thousand users gets to the own backend', async () => {
  expect((await everyUser()).map(({ backend }) => backend)).toEqual(
    Array.from({ length: USERS }, (_, user) => homeOf(user)),
  );
});

test('who has no session is balanced, and comes again to where the session was made', async () => {
  const homes = new Set<string | null>();
  for (let i = 0; i < 6; i++) {
    const browser = new Browser(`http://127.0.0.1:${PORT}`);
    await browser.go('POST', '/on/anything');
    const home = browser.headers.get('x-backend');
    homes.add(home);
    await until(async () => {
      await browser.go('GET', '/page');
      return browser.headers.get('x-backend') === home;
    }, WAIT_MS);
    expect(await browser.go('GET', '/page')).toBe('anything');
  }
  expect(homes.size).toBe(3);
});

test('a draining backend’s users are answered elsewhere from their next request on, and none fails', async () => {
  await underLoad(async () => {
    expect(await stage.command('drain', 'app-1')).toMatchObject({ exitCode: 0 });
    await until(async () => (await ask(cookieOfUser(0))).backend !== 'app-1', WAIT_MS);
  });
  for (const [user, { backend }] of (await everyUser()).entries()) {
    if (homeOf(user) === 'app-1') expect([user, backend]).not.toEqual([user, 'app-1']);
    else expect([user, backend]).toEqual([user, homeOf(user)]);
  }
  await stage.command('undrain', 'app-1');
  await untilHome(0);
});

test('who is denied is refused', async () => {
  await stage.command('deny', 'user-7');
  await until(async () => (await ask(cookieOfUser(7))).status === 403, WAIT_MS);
  await stage.command('allow', 'user-7');
  await until(async () => (await ask(cookieOfUser(7))).status === 200, WAIT_MS);
});

test('an agent that is killed and started again under load fails no request', async () => {
  await underLoad(async () => {
    for (let i = 0; i < 3; i++) {
      await spoeAgent.stop('SIGKILL');
      // Without an agent all users are served, wherever.
      const answers = await Promise.all([0, 0, 0, 0, 0, 0].map((user) => ask(cookieOfUser(user))));
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200]);
      spoeAgent = await newAgent();
      await untilHome(1);
    }
    await spoeAgent.stop('SIGTERM');
    spoeAgent = await newAgent();
    await untilHome(2);
  });
});

test('keys are rotated without a failed request', async () => {
  await underLoad(async () => {
    stage.writeKeys([first, second]);
    expect(await stage.command('reload-keys')).toMatchObject({ exitCode: 0 });
    stage.writeKeys([second]);
    spoeAgent.signal('SIGHUP');
    expect(await stage.command('reload-keys')).toMatchObject({ exitCode: 0 });
    await untilHome(2);
  });
  await untilHome(1);
});

test('a key file that is not one leaves the former key in force', async () => {
  const good = fs.readFileSync(stage.keyFile);
  fs.writeFileSync(stage.keyFile, 'keys: nonsense');
  spoeAgent.signal('SIGHUP');
  const log = join(stage.directory, 'agent.log');
  await until(async () => fs.readFileSync(log, 'utf8').includes('the former key stays'), WAIT_MS);
  await untilHome(0);
  fs.writeFileSync(stage.keyFile, good, { mode: 0o600 });
});

test('beside a gateway that lies and one that is dead, each user gets to the own backend', async () => {
  let lies = 0;
  const liar = createSocket('udp4', (request, from) => {
    // All but the tag is as in a reply; it says that everybody is on app-3.
    const reply = Buffer.from(request);
    reply.writeUInt8(0x81, 3);
    reply.fill(0, 24);
    reply.writeUInt32BE(3, 28);
    reply.fill(0x5a, 64);
    lies += 1;
    liar.send(reply, from.port, from.address);
  });
  liar.bind(0, '127.0.0.1');
  await once(liar, 'listening');
  await spoeAgent.stop();
  spoeAgent = await newAgent([`127.0.0.1:${liar.address().port}`, '127.0.0.1:1']);
  await untilHome(0);
  for (let user = 0; user < 30; user++) expect((await ask(cookieOfUser(user))).backend).toBe(homeOf(user));
  expect(lies).toBeGreaterThan(0);
  await spoeAgent.stop();
  liar.close();
  spoeAgent = await newAgent();
  await untilHome(1);
});

test('the agent’s memory stays flat over 100,000 requests', async () => {
  const socket = connect(AGENT_PORT, '127.0.0.1');
  const window = 500;
  let answered = 0;
  let found = 0;
  let held = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 4 && held.length >= 4 + held.readUInt32BE()) {
      const size = 4 + held.readUInt32BE();
      for (const { type, values } of agentFrames(held.subarray(0, size))) {
        if (type !== 103) continue;
        answered += 1;
        found += Number(values['status'] === 'FOUND');
      }
      held = held.subarray(size);
    }
  });
  const askMany = async (requests: number): Promise<void> => {
    const end = answered + requests;
    while (answered < end) {
      const first = answered;
      const count = Math.min(window, end - first);
      const frames = Array.from({ length: count }, (_, i) =>
        notify(first + i, { cookie: `s%3Auser-${(first + i) % USERS}.signature` }),
      );
      socket.write(Buffer.concat(frames));
      await until(async () => answered === first + count, WAIT_MS);
    }
  };
  const residentMb = (): number => {
    const status = fs.readFileSync(`/proc/${spoeAgent.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
  };
  socket.write(hello());
  await askMany(20_000);
  const warmMb = residentMb();
  await askMany(100_000);
  // A hundred bytes kept for each request would be 10 MB.
  expect(residentMb() - warmMb).toBeLessThan(10);
  expect(found).toBeGreaterThan(0.99 * answered);
  socket.destroy();
});

test('a dead gateway process is not noticed, and without any gateway requests are balanced', async () => {
  await stage.stopGateway('SIGKILL');
  await untilHome(4);
  stage.network.setGatewayLink('down');
  const answers: Answer[] = [];
  for (let i = 0; i < 9; i++) answers.push(await ask(cookieOfUser(0)));
  expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
  expect(new Set(answers.map(({ backend }) => backend)).size).toBe(3);
  stage.network.setGatewayLink('up');
  for (const user of [0, 1, 2]) await untilHome(user);
});

test('HAProxy has run throughout, and the agent’s log has no session id', () => {
  expect(haproxy.isRunning).toBe(true);
  const log = fs.readFileSync(join(stage.directory, 'agent.log'), 'utf8');
  expect(log).toContain('listening for HAProxy');
  expect(log).not.toContain('user-');
});
