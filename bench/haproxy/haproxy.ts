/**
 * `npm run bench -- haproxy [--turns N] [--requests N]`: what a lookup adds to a request through HAProxy, by the agent and by Redis from
 * Lua, beside HAProxy without any. One HAProxy, one backend, one Redis and one gateway across the same virtual cable; the three take turns.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { Agent, get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { Listening, startAgent } from '../../integrations/haproxy/processes.ts';
import { integer, programOptions } from '../../scripts/program-options.ts';
import { summarize } from '../../src/gateway/demo/latency.ts';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';

const SPOE_FILE = fileURLToPath(new URL('../../integrations/haproxy/session-gateway-spoe.cfg', import.meta.url));
const LUA_FILE = fileURLToPath(new URL('redis.lua', import.meta.url));
const FEED = 'sessions:feed';
const USERS = 1_000;
const REDIS_PORT = 6379;
const AGENT_PORT = 9191;
const BACKEND_PORT = 8090;
/** Requests under way at once. */
const CLIENTS = 4;
const WAYS = { plain: 8081, agent: 8082, redis: 8083 } as const;
type Way = keyof typeof WAYS;

function configuration(spoeFile: string): string {
  return `
global
	setenv REDIS_HOST ${GATEWAY_IPV4}
	setenv REDIS_PORT ${REDIS_PORT}
	lua-load ${LUA_FILE}
defaults
	mode http
	timeout connect 2s
	timeout client 60s
	timeout server 60s
frontend plain
	bind 127.0.0.1:${WAYS.plain}
	default_backend apps
frontend agent
	bind 127.0.0.1:${WAYS.agent}
	filter spoe engine session-gateway config ${spoeFile}
	http-response set-header x-backend app-%[var(txn.session_gateway.backend)]
	default_backend apps
frontend redis
	bind 127.0.0.1:${WAYS.redis}
	http-request lua.redis_lookup
	http-response set-header x-backend %[var(txn.redis.backend)]
	default_backend apps
backend apps
	use-server app-%[var(txn.session_gateway.backend)] if { var(txn.session_gateway.backend) -m found }
	use-server %[var(txn.redis.backend)] if { var(txn.redis.backend) -m found }
	server app-1 127.0.0.1:${BACKEND_PORT}
	server app-2 127.0.0.1:${BACKEND_PORT}
	server app-3 127.0.0.1:${BACKEND_PORT}
frontend application
	bind 127.0.0.1:${BACKEND_PORT}
	http-request return status 200 content-type text/plain string ok
backend session-gateway-agent
	mode tcp
	server agent 127.0.0.1:${AGENT_PORT}
`;
}

const homeOf = (user: number): string => `app-${1 + (user % 3)}`;
const agent = new Agent({ keepAlive: true });
let wrong = 0;

async function ask(way: Way, user: number): Promise<number> {
  const headers = { cookie: `connect.sid=s%3Auser-${user}.signature` };
  const startedMs = performance.now();
  const request = get({ host: '127.0.0.1', port: WAYS[way], agent, headers });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.resume();
  await once(response, 'end');
  if (response.statusCode !== 200) throw new Error(`found status ${response.statusCode}`);
  if (way !== 'plain' && response.headers['x-backend'] !== homeOf(user)) {
    wrong += 1;
    if (wrong < 3) console.log(way, user, response.headers['x-backend']);
  }
  return performance.now() - startedMs;
}

async function turn(way: Way, requests: number): Promise<number[]> {
  const took: number[] = [];
  let asked = 0;
  const one = async (): Promise<void> => {
    while (asked < requests) took.push(await ask(way, asked++ % USERS));
  };
  await Promise.all(Array.from({ length: CLIENTS }, one));
  return took;
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

async function measure(stage: Stage, turns: number, requests: number, ends: (() => unknown)[]): Promise<void> {
  stage.writeKeys([randomKey(1)]);
  await stage.startRedis();
  const redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  ends.push(() => redis.disconnect());
  for (const id of [1, 2, 3]) {
    await stage.command('backend', 'set', `app-${id}`, '--id', String(id), '--address', `10.1.0.${id}:8080`);
  }
  for (let user = 0; user < USERS; user++) {
    await redis.fcall('session_set', 2, `route:user-${user}`, FEED, `user-${user}`, homeOf(user), 3_600_000);
  }
  await stage.startGateway();
  const { directory, keyFile } = stage;
  const gateways = [`${GATEWAY_IPV4}:${stage.port}`];
  const spoeAgent = await startAgent({ directory, port: AGENT_PORT, gateways, keyFile, timeoutMs: 1_000 });
  ends.push(() => spoeAgent.stop());
  const spoeFile = join(directory, 'spoe.cfg');
  // On a busy machine a lookup that is given up would count as a fast one.
  const spoe = fs.readFileSync(SPOE_FILE, 'utf8').replace('timeout processing 50ms', 'timeout processing 2s');
  fs.writeFileSync(spoeFile, spoe);
  const file = join(directory, 'haproxy.cfg');
  fs.writeFileSync(file, configuration(spoeFile));
  execFileSync('haproxy', ['-c', '-q', '-f', file], { stdio: ['ignore', 'ignore', 'inherit'] });
  const log = join(directory, 'haproxy.log');
  const haproxy = await Listening.start('haproxy', ['-db', '-f', file], WAYS.plain, log);
  ends.push(() => haproxy.stop('SIGKILL'));

  const ways = Object.keys(WAYS) as Way[];
  for (const way of ways) await turn(way, requests);
  wrong = 0;
  const results = new Map<Way, { p50: number[]; p99: number[] }>(ways.map((way) => [way, { p50: [], p99: [] }]));
  for (let i = 0; i < turns; i++) {
    for (const way of ways) {
      const { p50Us, p99Us } = summarize(await turn(way, requests));
      results.get(way)?.p50.push(p50Us);
      results.get(way)?.p99.push(p99Us);
    }
  }
  const plain = results.get('plain');
  if (plain === undefined) throw new Error('no results');
  console.log(`${turns} turns of ${requests} requests, ${CLIENTS} at once; medians of the turns, µs (times plain)`);
  for (const [way, { p50, p99 }] of results) {
    const ratio = (a: number[], b: number[]): string => (median(a) / median(b)).toFixed(2);
    const [middle, late] = [median(p50), median(p99)];
    console.log(
      `${way.padEnd(6)}  p50 ${middle} (${ratio(p50, plain.p50)})  p99 ${late} (${ratio(p99, plain.p99)})  added: p50 ${middle - median(plain.p50)}, p99 ${late - median(plain.p99)}`,
    );
  }
  console.log(`answers that were wrong: ${wrong}`);
}

async function main(): Promise<void> {
  const values = programOptions('npm run bench -- haproxy', 'What a lookup adds to a request through HAProxy.', {
    turns: { type: 'string', default: '9', value: 'N', about: 'turns of each way' },
    requests: { type: 'string', default: '2000', value: 'N', about: 'requests in a turn' },
  });
  const turns = integer('turns', values.turns, 1, 1_000);
  const requests = integer('requests', values.requests, 1, 1_000_000);
  const ends: (() => unknown)[] = [];
  const stage = new Stage({
    name: `haproxy-bench-${process.pid}`,
    prefix: 'route:',
    redisArguments: ['--bind', '0.0.0.0', '--protected-mode', 'no'],
  });
  try {
    await measure(stage, turns, requests, ends);
  } finally {
    agent.destroy();
    for (const end of ends.reverse()) await end();
    await stage.close();
  }
}

await main();
process.exit(wrong === 0 ? 0 : 1);
