/** HAProxy with the configuration as it is shipped, the agent as its own process, a real gateway, three real backends. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Listening, startAgent, startHaproxy } from '../../integrations/haproxy/processes.ts';
import { until } from '../e2e/until.ts';
import { agentFrames, hello, notify } from '../gateway/spoe/haproxy.ts';
import { Browser } from '../support/express-app.ts';
import {
  type Answer,
  cookieOfUser,
  cookiesThatExpressTakesFor,
  homeOf,
  homes,
  LOOKUP_TIMEOUT_MS,
  Site,
  USERS,
  Users,
  WAIT_MS,
} from './site.ts';

/** In the namespace of this test. */
const PORT = 35_080;
const AGENT_PORT = 35_091;
/** Generous, since the machine may be busy. */
const CHANGES = [['timeout processing 50ms', 'timeout processing 2s']] as const;

const users = new Users(PORT);
let site: Site;
let haproxy: Listening;
let spoeAgent: Listening;

beforeAll(async () => {
  site = await Site.start(`ca-hap-${process.pid}`);
  spoeAgent = await newAgent();
  haproxy = await startHaproxy({
    directory: site.stage.directory,
    port: PORT,
    agentPort: AGENT_PORT,
    backends: [...site.backends.addresses.values()],
    changes: CHANGES,
  });
});

afterAll(async () => {
  users.close();
  await haproxy?.stop('SIGKILL');
  await spoeAgent?.stop();
  await site?.close();
});

function newAgent(others: readonly string[] = []): Promise<Listening> {
  return startAgent({
    directory: site.stage.directory,
    port: AGENT_PORT,
    gateways: [...others, site.gateway],
    keyFile: site.stage.keyFile,
    timeoutMs: LOOKUP_TIMEOUT_MS,
  });
}

test('each of a thousand users gets to the own backend', async () => {
  expect((await users.everyone()).map(({ backend }) => backend)).toEqual(homes());
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
  await users.underLoad(async () => {
    expect(await site.stage.command('drain', 'app-1')).toMatchObject({ exitCode: 0 });
    await until(async () => (await users.ask(cookieOfUser(0))).backend !== 'app-1', WAIT_MS);
  });
  for (const [user, { backend }] of (await users.everyone()).entries()) {
    if (homeOf(user) === 'app-1') expect([user, backend]).not.toEqual([user, 'app-1']);
    else expect([user, backend]).toEqual([user, homeOf(user)]);
  }
  await site.stage.command('undrain', 'app-1');
  await users.untilHome(0);
});

test('who is denied is refused', async () => {
  await site.stage.command('deny', 'user-7');
  await until(async () => (await users.ask(cookieOfUser(7))).status === 403, WAIT_MS);
  // Whatever else is in the header, the cookie that counts is the one that the application takes.
  for (const cookie of cookiesThatExpressTakesFor(7)) expect((await users.ask(cookie)).status, cookie).toBe(403);
  expect((await users.ask(['theme=dark', cookieOfUser(7)])).status).toBe(400);
  await site.stage.command('allow', 'user-7');
  await until(async () => (await users.ask(cookieOfUser(7))).status === 200, WAIT_MS);
});

test('an agent that is killed and started again under load fails no request', async () => {
  await users.underLoad(async () => {
    for (let i = 0; i < 3; i++) {
      await spoeAgent.stop('SIGKILL');
      // Without an agent all users are served, wherever.
      const answers = await Promise.all([0, 0, 0, 0, 0, 0].map((user) => users.ask(cookieOfUser(user))));
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200]);
      spoeAgent = await newAgent();
      await users.untilHome(1);
    }
    await spoeAgent.stop('SIGTERM');
    spoeAgent = await newAgent();
    await users.untilHome(2);
  });
});

test('keys are rotated without a failed request', async () => {
  await users.underLoad(async () => {
    await site.rotateKeys(() => spoeAgent.signal('SIGHUP'));
    await users.untilHome(2);
  });
  await users.untilHome(1);
});

test('a key file that is not one leaves the former key in force', async () => {
  const good = fs.readFileSync(site.stage.keyFile);
  fs.writeFileSync(site.stage.keyFile, 'keys: nonsense');
  spoeAgent.signal('SIGHUP');
  const log = join(site.stage.directory, 'agent.log');
  await until(async () => fs.readFileSync(log, 'utf8').includes('the former key stays'), WAIT_MS);
  await users.untilHome(0);
  fs.writeFileSync(site.stage.keyFile, good, { mode: 0o600 });
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
  await users.untilHome(0);
  for (let user = 0; user < 30; user++) expect((await users.ask(cookieOfUser(user))).backend).toBe(homeOf(user));
  expect(lies).toBeGreaterThan(0);
  await spoeAgent.stop();
  liar.close();
  spoeAgent = await newAgent();
  await users.untilHome(1);
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
        notify(first + i, { cookies: cookieOfUser((first + i) % USERS) }),
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
  await site.stage.stopGateway('SIGKILL');
  await users.untilHome(4);
  site.stage.network.setGatewayLink('down');
  const answers: Answer[] = [];
  for (let i = 0; i < 9; i++) answers.push(await users.ask(cookieOfUser(0)));
  expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
  expect(new Set(answers.map(({ backend }) => backend)).size).toBe(3);
  site.stage.network.setGatewayLink('up');
  for (const user of [0, 1, 2]) await users.untilHome(user);
});

test('HAProxy has run throughout, and the agent’s log has no session id', () => {
  expect(haproxy.isRunning).toBe(true);
  const log = fs.readFileSync(join(site.stage.directory, 'agent.log'), 'utf8');
  expect(log).toContain('listening for HAProxy');
  expect(log).not.toContain('user-');
});
