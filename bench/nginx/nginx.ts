/**
 * `npm run bench -- nginx [--rounds N] [--seconds N] [--connections N]`: what a lookup adds to a request through nginx. The
 * plain proxy, the same with a lookup by the module, and the same with HGET from Redis in Lua, over the same virtual cable
 * and to the same backends, take turns; medians of the rounds. Needs root, and wrk, which asks as fast as it is answered: with
 * one connection what it measures is the way through nginx, with many it is the worker's processor.
 */
import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { NginxProcess } from '../../integrations/nginx/nginx-process.ts';
import { integer, programOptions } from '../../scripts/program-options.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const NGINX = '127.0.0.1:8000';
const USERS = 100_000;
const FEED = 'sessions:feed';
const HOUR_MS = 3_600_000;
const PIPELINE = 1_000;
const WAYS = { plain: '/plain', gateway: '/', redis: '/redis' } as const;

type Way = keyof typeof WAYS;

interface Turn {
  readonly requests: number;
  readonly seconds: number;
  readonly failed: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Processor time of nginx's worker, user and system, for each request; the kernel's work on packets included. */
  readonly workerUs: number;
  /** The same of redis-server. */
  readonly redisUs: number;
}

const values = programOptions('npm run bench -- nginx', 'What a lookup adds to a request through nginx.', {
  rounds: { type: 'string', default: '5', value: 'N', about: 'turns of each way' },
  seconds: { type: 'string', default: '3', value: 'N', about: 'length of a turn' },
  connections: { type: 'string', default: '1', value: 'N', about: 'connections that ask at once' },
});
const ROUNDS = integer('rounds', values.rounds, 1, 1_000);
const SECONDS = integer('seconds', values.seconds, 1, 3_600);
const CONNECTIONS = integer('connections', values.connections, 1, 10_000);

const LOCATION = `proxy_http_version 1.1;
  proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;`;

/** Beside the published location: the plain proxy and the one that asks Redis, alike but for the lookup. */
const SERVER = `
  location /plain { proxy_pass http://usual; ${LOCATION} }
  location /redis {
    access_by_lua_block { require("redis-lookup").access("${GATEWAY_IPV4}") }
    proxy_pass http://redis; ${LOCATION}
  }`;

const HTTP = `keepalive_requests 100000000;
  upstream redis {
    server 0.0.0.1;
    balancer_by_lua_block { require("redis-lookup").balance() }
    keepalive 256; keepalive_requests 100000000;
  }`;

const BACKENDS = [1, 2, 3].map((i) => `127.0.1.${i}:8080`);

/** Another nginx, so that the one that is measured does nothing else. */
function backendsConf(directory: string): string {
  return `worker_processes 1; pid ${directory}/nginx.pid; error_log ${directory}/error.log;
    events { worker_connections 4096; }
    http {
      access_log off; keepalive_requests 100000000;
      server { ${BACKENDS.map((address) => `listen ${address};`).join(' ')} location / { return 200 "served"; } }
    }`;
}

/** Of a process so far, in microseconds: fields 14 and 15 of proc(5), "stat", in hundredths of a second. */
function processorUs(pid: number | undefined): number {
  const fields = fs
    .readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return 10_000 * (Number(fields[11]) + Number(fields[12]));
}

interface Processes {
  readonly worker: number | undefined;
  readonly redis: number | undefined;
}

async function turn({ worker, redis }: Processes, way: Way): Promise<Turn> {
  const [workerBefore, redisBefore] = [processorUs(worker), processorUs(redis)];
  const script = join(HERE, 'requests.lua');
  const { stdout } = await promisify(execFile)(
    'wrk',
    ['-t1', `-c${CONNECTIONS}`, `-d${SECONDS}s`, '-s', script, `http://${NGINX}`],
    { env: { ...process.env, SGW_PATH: WAYS[way], SGW_USERS: String(USERS) } },
  );
  const line = stdout.split('\n').find((text) => text.startsWith('{'));
  if (line === undefined) throw new Error(`wrk said: ${stdout}`);
  const result = JSON.parse(line) as Turn;
  if (result.failed > 0) throw new Error(`${way}: ${result.failed} of ${result.requests} requests failed`);
  const workerUs = (processorUs(worker) - workerBefore) / result.requests;
  const redisUs = (processorUs(redis) - redisBefore) / result.requests;
  return { ...result, workerUs, redisUs };
}

const median = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[list.length >> 1] ?? Number.NaN;

async function writeSessions(redis: Redis): Promise<void> {
  for (const [i, address] of BACKENDS.entries()) {
    await redis.fcall(
      'backend_patch',
      2,
      'gateway:backends',
      FEED,
      `app-${i + 1}`,
      JSON.stringify({ id: i + 1, address }),
    );
  }
  for (let done = 0; done < USERS; done += PIPELINE) {
    const pipeline = redis.pipeline();
    for (let i = done; i < done + PIPELINE; i++) {
      pipeline.fcall('session_set', 2, `sess:user-${i}`, FEED, `user-${i}`, `app-${1 + (i % 3)}`, HOUR_MS);
    }
    await pipeline.exec();
  }
}

function report(turns: Readonly<Record<Way, readonly Turn[]>>): void {
  const of = (way: Way, value: (turn: Turn) => number): number => median(turns[way].map(value));
  const plain50 = of('plain', ({ p50Us }) => p50Us);
  const plain99 = of('plain', ({ p99Us }) => p99Us);
  console.log(
    '| nginx | requests/s | p50 µs | p99 µs | added p50 µs | added p99 µs | worker µs | Redis µs |\n|---|---|---|---|---|---|---|---|',
  );
  for (const way of Object.keys(WAYS) as Way[]) {
    const p50 = of(way, ({ p50Us }) => p50Us);
    const p99 = of(way, ({ p99Us }) => p99Us);
    const rate = of(way, ({ requests, seconds }) => requests / seconds);
    const added = way === 'plain' ? ['', ''] : [p50 - plain50, p99 - plain99].map((us) => us.toFixed(0));
    const processor = [of(way, ({ workerUs }) => workerUs), of(way, ({ redisUs }) => redisUs)].map((us) =>
      us.toFixed(0),
    );
    console.log(`| ${[way, rate.toFixed(0), p50.toFixed(0), p99.toFixed(0), ...added, ...processor].join(' | ')} |`);
  }
}

async function main(): Promise<void> {
  const stage = new Stage({
    name: `ng-bench-${process.pid}`,
    capacity: 2 * USERS,
    redisArguments: ['--bind', '127.0.0.1', GATEWAY_IPV4, '--protected-mode', 'no'],
  });
  let nginx: NginxProcess | undefined;
  let backends: NginxProcess | undefined;
  let redis: Redis | undefined;
  try {
    const key = randomKey(1);
    stage.writeKeys([key]);
    await stage.startRedis();
    redis = new Redis({ path: stage.redisSocket, protocol: 2 });
    await stage.command('redis', 'install');
    await writeSessions(redis);
    await stage.startGateway();
    const backendsDirectory = join(stage.directory, 'backends');
    fs.mkdirSync(backendsDirectory);
    backends = await NginxProcess.startWith(backendsDirectory, backendsConf(backendsDirectory));
    nginx = await NginxProcess.start({
      directory: stage.directory,
      listen: NGINX,
      gateways: [`${GATEWAY_IPV4}:${stage.port}`],
      keyFile: stage.keyFile,
      usual: BACKENDS,
      luaDirectories: [HERE],
      // No request may fail here, nor go the other way: that would be measured as something that it isn't.
      options: ['timeout_ms = 1000'],
      http: HTTP,
      server: SERVER,
    });
    const processes = { worker: nginx.workers()[0], redis: stage.redis?.pid };
    const turns: Record<Way, Turn[]> = { plain: [], gateway: [], redis: [] };
    for (const way of Object.keys(WAYS) as Way[]) await turn(processes, way); // to warm up
    for (let round = 0; round < ROUNDS; round++) {
      for (const way of Object.keys(WAYS) as Way[]) turns[way].push(await turn(processes, way));
    }
    report(turns);
  } catch (error) {
    if (nginx !== undefined) console.error(nginx.log());
    throw error;
  } finally {
    await nginx?.stop();
    await backends?.stop();
    redis?.disconnect();
    await stage.close();
  }
}

await main();
