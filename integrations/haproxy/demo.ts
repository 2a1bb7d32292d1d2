/**
 * `npm run demo:haproxy`: HAProxy with the configuration of this folder, its agent, a gateway and three backends on one machine,
 * users who go on clicking while operators and accidents happen; nothing is left behind.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { sessionRoutes } from 'session-gateway/express';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { type Listening, startAgent, startHaproxy } from './processes.ts';

const NAMES = ['app-1', 'app-2', 'app-3'];
const USERS = 60;
const CLICKING = 8;
const HAPROXY_PORT = 8080;
const AGENT_PORT = 9191;
const WAIT_MS = 30_000;
/** Longer than the 20 ms of the shipped configuration: two cores do all of this at once. */
const LOOKUP_TIMEOUT_MS = 500;
const CHANGES = [['timeout processing 50ms', 'timeout processing 1s']] as const;

const say = (line = ''): void => console.log(line);

function promise(kept: boolean, what: string): void {
  if (!kept) throw new Error(`the demo fell short of what it shows: ${what}`);
}

/** A web application that keeps its sessions in its own memory, so a user who comes elsewhere has to log in again. */
class Backend {
  readonly name: string;
  readonly #server: Server;
  readonly #users = new Map<string, string>();
  readonly #store = {
    get: (sid: string, callback: (error: unknown, session?: unknown) => void) => callback(null, this.#users.get(sid)),
    set: (sid: string, user: { name: string }, callback?: () => void) => {
      this.#users.set(sid, user.name);
      callback?.();
    },
    destroy: (_sid: string, callback?: () => void) => callback?.(),
  };

  constructor(name: string, redis: Redis) {
    this.name = name;
    // What express would do with `app.use`: the middleware hears of the store.
    sessionRoutes({ redis, backend: name })({ sessionStore: this.#store }, null, () => undefined);
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const sid = /connect\.sid=s%3A([^.]+)\./.exec(request.headers.cookie ?? '')?.[1];
    response.setHeader('x-backend', this.name);
    if (request.method === 'POST') {
      const made = crypto.randomUUID();
      const saved = new Promise<void>((resolve) => {
        this.#store.set(made, { name: request.url?.slice(1) ?? '' }, resolve);
      });
      await saved;
      response.setHeader('set-cookie', `connect.sid=s%3A${made}.signature; Path=/`);
      response.end(this.#users.get(made));
      return;
    }
    response.end((sid === undefined ? undefined : this.#users.get(sid)) ?? 'who are you?');
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** Keeps a cookie as a browser does. */
class User {
  readonly name: string;
  cookie = '';
  home = '';

  constructor(name: string) {
    this.name = name;
  }

  async logIn(): Promise<void> {
    const response = await this.#go('POST', `/${this.name}`);
    this.cookie = response.headers.getSetCookie()[0]?.split(';')[0] ?? '';
    this.home = response.headers.get('x-backend') ?? '';
    await response.text();
  }

  async click(): Promise<{ status: number; backend: string | null; text: string }> {
    const response = await this.#go('GET', '/');
    return { status: response.status, backend: response.headers.get('x-backend'), text: await response.text() };
  }

  #go(method: string, path: string): Promise<Response> {
    const headers = this.cookie === '' ? {} : { cookie: this.cookie };
    return fetch(`http://127.0.0.1:${HAPROXY_PORT}${path}`, { method, headers });
  }
}

/** Everybody clicks on while `action` runs. @returns how many clicks there were, and how many weren't answered with 200 */
async function clicking(
  users: readonly User[],
  action: () => Promise<void>,
): Promise<{ clicks: number; failed: number }> {
  let running = true;
  let clicks = 0;
  let failed = 0;
  const one = async (): Promise<void> => {
    while (running) {
      const user = users[clicks++ % users.length] as User;
      const status = await user.click().then(
        (answer) => answer.status,
        () => 0,
      );
      if (status !== 200) failed += 1;
    }
  };
  const load = Promise.all(Array.from({ length: CLICKING }, one));
  try {
    await action();
  } finally {
    running = false;
    await load;
  }
  return { clicks, failed };
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`did not come to hold within ${WAIT_MS} ms: ${holds}`);
    await sleep(20);
  }
}

async function homecomers(users: readonly User[]): Promise<number> {
  let home = 0;
  for (const user of users) {
    const { backend, text } = await user.click();
    home += Number(backend === user.home && text === user.name);
  }
  return home;
}

async function play(stage: Stage, ends: (() => unknown)[]): Promise<void> {
  say(
    'Two hosts, as network namespaces: Redis and a gateway on one; HAProxy, its agent and three backends on the other.',
  );
  stage.writeKeys([randomKey(1)]);
  await stage.startRedis();
  const redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  ends.push(() => redis.disconnect());
  const addresses: string[] = [];
  for (const [i, name] of NAMES.entries()) {
    const backend = new Backend(name, redis);
    ends.push(() => backend.close());
    const address = await backend.listen();
    addresses.push(address);
    const { exitCode, stderr } = await stage.command(
      'backend',
      'set',
      name,
      '--id',
      String(i + 1),
      '--address',
      address,
    );
    promise(exitCode === 0, stderr);
  }
  await stage.startGateway();
  const newAgent = (): Promise<Listening> =>
    startAgent({
      directory: stage.directory,
      port: AGENT_PORT,
      gateways: [`${GATEWAY_IPV4}:${stage.port}`],
      keyFile: stage.keyFile,
      timeoutMs: LOOKUP_TIMEOUT_MS,
    });
  let agent = await newAgent();
  ends.push(() => agent.stop());
  const haproxy = await startHaproxy({
    directory: stage.directory,
    port: HAPROXY_PORT,
    agentPort: AGENT_PORT,
    backends: addresses,
    changes: CHANGES,
  });
  ends.push(() => haproxy.stop('SIGKILL'));

  const users = Array.from({ length: USERS }, (_, i) => new User(`user-${i}`));
  for (const user of users) await user.logIn();
  const shares = NAMES.map((name) => `${users.filter(({ home }) => home === name).length} on ${name}`);
  say(`\n${USERS} users log in through HAProxy, which balances them: ${shares.join(', ')}.`);
  await until(async () => (await homecomers(users)) === USERS);
  say('  each of them comes back to the backend that knows them');

  say('\nAn operator drains app-1, while everybody clicks on:');
  const drained = await clicking(users, async () => {
    promise((await stage.command('drain', 'app-1')).exitCode === 0, 'drain');
    const some = users.find(({ home }) => home === 'app-1') as User;
    await until(async () => (await some.click()).backend !== 'app-1');
    await sleep(500);
  });
  promise(drained.failed === 0, `${drained.failed} of ${drained.clicks} requests failed`);
  let there = 0;
  for (const user of users) there += Number((await user.click()).backend === 'app-1');
  promise(there === 0, `${there} users came to a draining backend`);
  say(`  ${drained.clicks.toLocaleString('en')} requests, none failed; nobody comes to app-1 any more`);
  promise((await stage.command('undrain', 'app-1')).exitCode === 0, 'undrain');
  await until(async () => (await homecomers(users)) === USERS);
  say('  undrained: each of them is home again');

  say('\nThe agent is killed, and started again:');
  const killed = await clicking(users, async () => {
    await agent.stop('SIGKILL');
    await sleep(1_000);
    agent = await newAgent();
  });
  promise(killed.failed === 0, `${killed.failed} of ${killed.clicks} requests failed`);
  await until(async () => (await homecomers(users)) === USERS);
  say(
    `  ${killed.clicks.toLocaleString('en')} requests, none failed: without an agent HAProxy balances; then each is home again`,
  );

  say('\nThe gateway can’t be reached:');
  stage.network.setGatewayLink('down');
  const startedMs = performance.now();
  const alone = await Promise.all(users.slice(0, CLICKING).map((user) => user.click()));
  promise(
    alone.every(({ status }) => status === 200),
    'requests failed without a gateway',
  );
  say(`  ${CLICKING} requests answered within ${Math.ceil(performance.now() - startedMs)} ms, wherever`);
  say(`  (the agent waits ${LOOKUP_TIMEOUT_MS} ms here, 20 ms unless told otherwise)`);
  stage.network.setGatewayLink('up');
  await until(async () => (await homecomers(users)) === USERS);
  say('  it is back: each user is home again');
  say('\nAll as promised. Next: docs/integrations.md, "HAProxy".');
}

async function main(): Promise<number> {
  if (process.geteuid?.() !== 0) {
    console.error('the demo needs root, for network namespaces and XDP programs: try again with sudo');
    return 1;
  }
  const ends: (() => unknown)[] = [];
  const interrupted = Promise.withResolvers<never>();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => interrupted.reject(new Error(signal)));
  interrupted.promise.catch(() => undefined);
  let stage: Stage | undefined;
  try {
    stage = new Stage({ name: `haproxy-demo-${process.pid}`, prefix: 'route:' });
    await Promise.race([play(stage, ends), interrupted.promise]);
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  } finally {
    for (const end of ends.reverse()) await end();
    await stage?.close();
  }
}

process.exit(await main());
