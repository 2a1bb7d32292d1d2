/**
 * `npm run demo:nginx`: real nginx with the published nginx.conf, three real backends, sessions in a real Redis, a real
 * gateway behind a virtual cable. Users are moved while browsers keep asking; every request must be served. Ends by itself;
 * exit status 1 where it isn't as promised.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';
import { type BackendServer, startBackend } from './backend-server.ts';
import { Browser, counters, expressCookie } from './browser.ts';
import { NginxProcess } from './nginx-process.ts';

const NGINX = '127.0.0.1:8000';
const BACKENDS = ['app-1', 'app-2', 'app-3'];
const USERS = 60;
const FEED = 'sessions:feed';
const HOUR_MS = 3_600_000;
const PAUSE_MS = 20;
const WAIT_MS = 30_000;
/** Pages that each user sees on average before an act goes on where nothing else is waited for. */
const PAGES = 10;

const say = (line = ''): void => {
  process.stdout.write(`${line}\n`);
};

function promise(kept: boolean, what: string): void {
  if (!kept) throw new Error(`the demo fell short of what it shows: ${what}`);
}

/** A user with a browser that asks and asks. */
class User {
  readonly sid: string;
  readonly #browser: Browser;
  backend: string | null = null;
  requests = 0;
  readonly failures: string[] = [];

  constructor(i: number) {
    this.sid = `user-${i}`;
    this.#browser = new Browser(NGINX, expressCookie(this.sid));
  }

  async browse(running: AbortSignal): Promise<void> {
    while (!running.aborted) {
      this.requests += 1;
      try {
        const page = await this.#browser.get();
        if (page.status === 200) this.backend = page.backend;
        else this.failures.push(`${this.sid}: status ${page.status}`);
      } catch (error) {
        this.failures.push(`${this.sid}: ${error instanceof Error ? error.message : error}`);
      }
      await sleep(PAUSE_MS);
    }
    this.#browser.close();
  }
}

class Crowd {
  readonly users = Array.from({ length: USERS }, (_, i) => new User(i));

  get requests(): number {
    return this.users.reduce((sum, { requests }) => sum + requests, 0);
  }

  get failures(): string[] {
    return this.users.flatMap(({ failures }) => failures);
  }

  /** Until they have seen some more pages. */
  async asksOn(): Promise<void> {
    const enough = this.requests + PAGES * USERS;
    const deadline = performance.now() + WAIT_MS;
    while (this.requests < enough) {
      promise(performance.now() < deadline, 'browsers get on');
      await sleep(10);
    }
  }

  /** As `app-1: 20, app-2: 20`. */
  text(): string {
    const on = (name: string): number => this.users.filter(({ backend }) => backend === name).length;
    return BACKENDS.map((name) => `${name}: ${String(on(name)).padStart(2)}`).join(', ');
  }

  /** Until everyone's last page came from where `fits` says. */
  async settled(fits: (user: User, i: number) => boolean, what: string): Promise<void> {
    const deadline = performance.now() + WAIT_MS;
    while (!this.users.every(fits)) {
      promise(performance.now() < deadline, `${what} within ${WAIT_MS} ms; now ${this.text()}`);
      await sleep(10);
    }
    say(`  ${what.padEnd(46)} ${this.text()}   (${this.requests} requests so far, ${this.failures.length} failed)`);
  }
}

const home = (i: number): string => BACKENDS[i % BACKENDS.length] ?? '';

async function writeUsers(redis: Redis, backends: readonly BackendServer[]): Promise<void> {
  for (const [i, { name, address }] of backends.entries()) {
    await redis.fcall('backend_patch', 2, 'gateway:backends', FEED, name, JSON.stringify({ id: i + 1, address }));
  }
  for (let i = 0; i < USERS; i++) {
    await redis.fcall('session_set', 2, `sess:user-${i}`, FEED, `user-${i}`, home(i), HOUR_MS);
  }
}

async function moveUsers(stage: Stage, crowd: Crowd): Promise<void> {
  const run = async (...args: string[]): Promise<void> => {
    say(`  $ gateway ${args.join(' ')}`);
    const { exitCode, stderr } = await stage.command(...args);
    promise(exitCode === 0, `gateway ${args.join(' ')}: ${stderr}`);
  };
  await crowd.settled(({ backend }, i) => backend === home(i), 'everyone is where their session is');
  await run('drain', 'app-1');
  await crowd.settled(
    ({ backend }, i) => (home(i) === 'app-1' ? backend !== 'app-1' : backend === home(i)),
    'nobody is on app-1, nobody else was moved',
  );
  await run('undrain', 'app-1');
  await crowd.settled(({ backend }, i) => backend === home(i), 'all are back');
  await run('shed', 'app-2', '50');
  const shed = crowd.users.filter((_, i) => home(i) === 'app-2');
  await crowd.settled(
    ({ backend }, i) => home(i) === 'app-2' || backend === home(i),
    'of app-2 alone some are elsewhere',
  );
  const deadline = performance.now() + WAIT_MS;
  while (shed.every(({ backend }) => backend === 'app-2')) {
    promise(performance.now() < deadline, 'half of app-2 is shed');
    await sleep(10);
  }
  await run('shed', 'app-2', '0');
  await crowd.settled(({ backend }, i) => backend === home(i), 'all are back');
  await run('move', 'user-0', 'app-3');
  await crowd.settled(({ backend }, i) => backend === (i === 0 ? 'app-3' : home(i)), 'user-0 is on app-3');
}

/** One page each for who is no browsing user. */
async function visitors(stage: Stage): Promise<void> {
  const visit = async (cookie?: string): Promise<string> => {
    const browser = new Browser(NGINX, cookie);
    const { status, backend } = await browser.get();
    browser.close();
    return `status ${status}, ${backend === null ? 'from nginx itself' : `from ${backend}`}`;
  };
  say(`  without a cookie, by the usual upstream:   ${await visit()}`);
  say(`  a session that Redis doesn't know, placed: ${await visit(expressCookie('newcomer'))}`);
  await stage.command('deny', 'mallory');
  const deadline = performance.now() + WAIT_MS;
  let seen = '';
  while (!seen.startsWith('status 403')) {
    promise(performance.now() < deadline, `mallory is refused; now ${seen}`);
    seen = await visit(expressCookie('mallory'));
  }
  say(`  $ gateway deny mallory:                    ${seen}`);
}

async function gatewayLost(stage: Stage, crowd: Crowd): Promise<void> {
  const failOpen = async (): Promise<number> => (await counters(NGINX))['requests_total{outcome="timed_out"}'] ?? 0;
  await stage.stopGateway();
  await crowd.asksOn();
  await crowd.settled(
    ({ backend }, i) => backend === (i === 0 ? 'app-3' : home(i)),
    'the daemon is stopped; the kernel answers',
  );
  const before = await failOpen();
  stage.network.setGatewayLink('down');
  const deadline = performance.now() + WAIT_MS;
  while ((await failOpen()) < before + USERS) {
    promise(performance.now() < deadline, 'requests go to the usual upstream while no gateway answers');
    await sleep(50);
  }
  say(`  ${'the cable is cut: the usual upstream'.padEnd(46)} ${crowd.text()}`);
  stage.network.setGatewayLink('up');
  await crowd.settled(
    ({ backend }, i) => backend === (i === 0 ? 'app-3' : home(i)),
    'the cable is back, and so is everyone',
  );
}

async function keysRotated(
  stage: Stage,
  crowd: Crowd,
  nginx: NginxProcess,
  keyFile: string,
  first: RandomKey,
): Promise<void> {
  const second = randomKey(2);
  const reload = async (): Promise<void> => {
    const { exitCode, stderr } = await stage.command('reload-keys');
    promise(exitCode === 0, `reload-keys: ${stderr}`);
  };
  stage.writeKeys([first, second]);
  await reload();
  writeNginxKey(keyFile, second);
  await nginx.reload();
  stage.writeKeys([second]);
  await reload();
  await crowd.asksOn();
}

type RandomKey = ReturnType<typeof randomKey>;

/** As `gateway keys new` prints it. */
function writeNginxKey(file: string, { fields, secret }: RandomKey): void {
  const digits = Buffer.from(secret).toString('hex');
  fs.writeFileSync(file, `keys:\n  - id: ${fields.id}\n    suite: ${fields.suite}\n    secret: "${digits}"\n`, {
    mode: 0o600,
  });
}

async function play(): Promise<void> {
  const stage = new Stage({ name: `ng-demo-${process.pid}` });
  const running = new AbortController();
  const backends: BackendServer[] = [];
  let redis: Redis | undefined;
  let nginx: NginxProcess | undefined;
  let browsing: Promise<unknown> | undefined;
  try {
    const first = randomKey(1);
    const keyFile = join(stage.directory, 'nginx-keys.yaml');
    stage.writeKeys([first]);
    writeNginxKey(keyFile, first);
    await stage.startRedis();
    redis = new Redis({ path: stage.redisSocket, protocol: 2 });
    await stage.command('redis', 'install');
    for (const [i, name] of BACKENDS.entries()) backends.push(await startBackend(name, `127.0.1.${i + 1}`, 8080));
    await writeUsers(redis, backends);
    await stage.startGateway();
    nginx = await NginxProcess.start({
      directory: stage.directory,
      listen: NGINX,
      gateways: [`${GATEWAY_IPV4}:${stage.port}`],
      keyFile,
      usual: backends.map(({ address }) => address),
      workers: 2,
    });
    say(
      `nginx with integrations/nginx/nginx.conf, ${BACKENDS.length} backends, ${USERS} users of whom each asks all the time.`,
    );
    const crowd = new Crowd();
    browsing = Promise.all(crowd.users.map((user) => user.browse(running.signal)));
    say('\nUsers are moved:');
    await moveUsers(stage, crowd);
    say('\nOthers come by:');
    await visitors(stage);
    say('\nKeys are replaced, gateway and nginx reloaded:');
    await keysRotated(stage, crowd, nginx, keyFile, first);
    await crowd.settled(({ backend }, i) => backend === (i === 0 ? 'app-3' : home(i)), 'key 1 is gone, key 2 signs');
    say('\nThe gateway is lost:');
    await gatewayLost(stage, crowd);
    running.abort();
    await browsing;
    say('\nWhat nginx counted (http://…/session-gateway-status):');
    for (const [name, count] of Object.entries(await counters(NGINX))) if (count > 0) say(`  ${name} ${count}`);
    promise(
      crowd.failures.length === 0,
      `${crowd.failures.length} requests failed: ${crowd.failures.slice(0, 3).join('; ')}`,
    );
    say(`\n${crowd.requests} requests, none failed. Next: docs/integrations.md.`);
  } catch (error) {
    if (nginx !== undefined) say(`\nnginx's log ends with:\n${nginx.log()}`);
    throw error;
  } finally {
    running.abort();
    await browsing?.catch(() => undefined);
    await nginx?.stop();
    for (const backend of backends) await backend.close();
    redis?.disconnect();
    await stage.close();
  }
}

try {
  await play();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
