/**
 * The real daemon at its most talkative, led through everything that can go wrong with secrets and session ids at hand:
 * afterwards none of them is in anything that it wrote or answered, nor in its arguments.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GATEWAY_IPV4 } from '../../src/gateway/demo/network.ts';
import { randomKey, Stage } from '../../src/gateway/demo/stage.ts';

const GATEWAY = fileURLToPath(new URL('../../bin/gateway', import.meta.url));
const FEED = 'sessions:feed';
const HTTP_PORT = 24_100;
const WAIT_MS = 60_000;

/** Each is told apart, so that a failure says which path leaked. */
const secrets = new Map<string, string>();

function secret(name: string, text = `${name.replaceAll(/\W/g, '')}${randomBytes(12).toString('hex')}`): string {
  secrets.set(name, text);
  return text;
}

const redisPassword = secret('redis password');
const wrongRedisPassword = secret('wrong redis password');
const token = secret('token', `tok-${randomBytes(24).toString('hex')}`);
const wrongToken = secret('wrong token', `wrong-${randomBytes(24).toString('hex')}`);
const environment = secret('environment');
const key = randomKey(1);
const keySecret = secret('key', Buffer.from(key.secret).toString('hex'));
const otherKeySecret = secret('other key', randomBytes(32).toString('hex'));

let stage: Stage;
let redis: Redis;
let daemon: ChildProcess;
let socketPath: string;
/** Everything that was answered or printed. */
let said = '';

beforeAll(async () => {
  stage = new Stage({ name: `sgws${process.pid % 100_000}`, capacity: 1_000 });
  socketPath = join(stage.directory, 'gateway.sock');
  stage.writeKeys([key]);
  fs.writeFileSync(join(stage.directory, 'token'), `${token}\n`, { mode: 0o600 });
  await stage.startRedis();
  redis = new Redis({ path: stage.redisSocket, protocol: 2 });
  // It is stopped at the end.
  redis.on('error', () => undefined);
  await redis.config('SET', 'requirepass', redisPassword);
});
afterAll(async () => {
  if (daemon !== undefined) await ended();
  redis?.disconnect();
  await stage?.close();
});

function configure(password: string): void {
  const config = JSON.parse(fs.readFileSync(stage.configFile, 'utf8'));
  config.redis = { url: `redis://:${password}@127.0.0.1:6379/0` };
  config.control = { socket: socketPath, http: `${GATEWAY_IPV4}:${HTTP_PORT}`, tokenFile: 'token' };
  fs.writeFileSync(stage.configFile, JSON.stringify(config));
}

function start(): void {
  const log = fs.openSync(stage.logFile, 'a');
  daemon = stage.network.spawn(GATEWAY, ['run', '--log-level', 'trace', '-c', stage.configFile], {
    stdio: ['ignore', log, log],
    env: { ...process.env, SOMEBODYS_SECRET: environment },
  });
  fs.closeSync(log);
}

async function ended(): Promise<void> {
  if (daemon.exitCode !== null || daemon.signalCode !== null) return;
  const exit = once(daemon, 'exit');
  daemon.kill('SIGTERM');
  await exit;
}

async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + WAIT_MS;
  while (!(await isTrue())) {
    if (performance.now() > endMs) throw new Error(`waited in vain: ${what}\n${stage.logTail()}`);
    await sleep(50);
  }
}

const log = (): string => fs.readFileSync(stage.logFile, 'utf8');

interface Asked {
  readonly body?: string;
  readonly tcp?: boolean;
  readonly authorization?: string;
  readonly headers?: Record<string, string>;
}

/** @returns the status, 0 where no answer came */
function ask(method: string, path: string, { body, tcp = false, authorization, headers }: Asked = {}): Promise<number> {
  const target = tcp ? { host: GATEWAY_IPV4, port: HTTP_PORT } : { socketPath };
  return new Promise((resolve) => {
    const asked = request({
      ...target,
      ...{ method, path, agent: false },
      headers: {
        ...(body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
        ...(authorization === undefined ? {} : { authorization }),
        ...headers,
      },
    });
    asked.on('response', async (response) => {
      said += `${method}: ${response.statusCode} ${JSON.stringify(response.rawHeaders)}\n`;
      for await (const chunk of response) said += String(chunk);
      said += '\n';
      resolve(response.statusCode ?? 0);
    });
    asked.on('error', () => resolve(0));
    asked.end(body);
  });
}

/** Bytes as they are, over the socket. */
async function raw(bytes: string): Promise<void> {
  const connection = connect(socketPath);
  connection.on('data', (chunk) => {
    said += chunk.toString();
  });
  connection.on('error', () => undefined);
  connection.write(bytes);
  await once(connection, 'close');
}

async function command(...args: string[]): Promise<void> {
  const { stdout, stderr } = await stage.command(...args);
  said += `${stdout}${stderr}\n`;
}

async function ready(): Promise<void> {
  await until('ready', async () => (await ask('GET', '/readyz')) === 200);
}

test('a wrong Redis password', async () => {
  configure(wrongRedisPassword);
  start();
  await until('it is refused', () => /WRONGPASS|invalid username-password|AUTH/i.test(log()));
  await ask('GET', '/v1/status');
  await ask('GET', `/v1/sessions/${secret('sid without redis')}`);
  await ask('PUT', `/v1/sessions/${secret('sid put without redis')}`, { body: '{"backend":"web-1","ttlMs":1000}' });
  await ask('GET', '/v1/backends');
  await command('backends');
  await command('redis', 'install');
  await ended();
});

test('records and feed entries of every kind', async () => {
  configure(redisPassword);
  const good = secret('good sid');
  await redis.hset('gateway:backends', 'web-1', '{"id":1,"address":"10.0.0.1:80"}');
  await redis.hset(`sess:${good}`, 'backend', 'web-1');
  await redis.set(`sess:${secret('sid of another type')}`, 'x');
  await redis.rpush(`sess:${secret('sid of a list')}`, 'x');
  await redis.hset(`sess:${secret('sid without backend')}`, 'user', 'u');
  await redis.hset(`sess:${secret('sid of unknown backend')}`, 'backend', 'nobody');
  await redis.hset(`sess:${secret('sid of long backend')}`, 'backend', 'x'.repeat(300));
  await redis.hset(`sess:${secret('long sid', 'l'.repeat(1_100))}`, 'backend', 'web-1');
  start();
  await ready();
  const entries = [
    ['op', 'set', 'sid', secret('fed sid'), 'backend', 'web-1', 'expires', '0'],
    ['op', 'set', 'sid', secret('fed sid of unknown backend'), 'backend', 'nobody', 'expires', '0'],
    ['op', 'set', 'sid', secret('fed sid without backend'), 'expires', '0'],
    ['op', 'set', 'sid', secret('fed sid without expiry'), 'backend', 'web-1'],
    ['op', 'set', 'sid', secret('fed sid with wrong expiry'), 'backend', 'web-1', 'expires', secret('fed expiry')],
    ['op', 'set', 'sid', secret('long fed sid', 'f'.repeat(1_100)), 'backend', 'web-1', 'expires', '0'],
    ['op', 'del', 'sid', good],
    ['op', secret('sid as op'), 'sid', secret('sid of unknown op')],
    ['sid', secret('sid without op')],
    [secret('sid as field'), secret('sid as value')],
    ['op', 'denied', 'hash', secret('sid as hash'), 'until', '0'],
    ['op', 'denied', 'hash', 'a'.repeat(32), 'until', secret('sid as until')],
    ['op', 'set', 'sid', secret('sid named twice'), 'sid', secret('sid named again'), 'backend', '', 'expires', '0'],
  ];
  for (const entry of entries) await redis.call('XADD', FEED, '*', ...entry);
  await until('the kinds are logged', () => {
    return [
      'feed-op',
      'feed-unknown-op',
      'feed-sid',
      'feed-backend',
      'feed-expires',
      'feed-denied',
      'record-type',
    ].every((kind) => log().includes(`"kind":"${kind}"`));
  });
});

test('the control API, by good and by wrong requests', async () => {
  const sid = secret('asked sid');
  const path = `/v1/sessions/${sid}`;
  const put = { body: '{"backend":"web-1","ttlMs":60000}' };
  expect(await ask('PUT', path, put)).toBe(204);
  expect(await ask('GET', path)).toBe(200);
  expect(await ask('PUT', path, { body: '{"backend":"web-1"}' })).toBe(204);
  expect(await ask('PUT', path, { body: '{"backend":"nobody"}' })).toBe(404);
  expect(await ask('PUT', `/v1/denied/${sid}`, { body: '{"forMs":60000}' })).toBe(200);
  expect(await ask('PUT', `/v1/denied/${sid}`, { body: `{"forMs":"${sid}"}` })).toBe(400);
  expect(await ask('DELETE', `/v1/denied/${sid}`)).toBe(204);
  expect(await ask('DELETE', path)).toBe(204);
  expect(await ask('PUT', path, { body: '{"backend":"web-1"}' })).toBe(404);
  expect(await ask('DELETE', path)).toBe(404);
  expect(await ask('GET', path)).toBe(404);
  expect(await ask('PUT', path, { body: '{"backend":"web-1","ttlMs":0}' })).toBe(400);
  expect(await ask('PUT', path, { body: `{"backend":${JSON.stringify(sid.repeat(20))},"ttlMs":1}` })).toBe(400);
  expect(await ask('PUT', path, { body: `{"backend":"web-1","ttlMs":"${sid}"}` })).toBe(400);
  expect(await ask('PUT', path, { body: `{"backend":"web-1",${sid}` })).toBe(400);
  expect(await ask('POST', path)).toBe(405);
  for (const wrong of [
    `${path}/more`,
    `${path}%`,
    `${path}%ff`,
    `/v1/session/${sid}`,
    `/${sid}`,
    `/v1/status?sid=${sid}`,
  ]) {
    await ask('GET', wrong);
  }
  await ask('GET', `/v1/sessions/${sid.repeat(40)}`);
  await ask('PUT', `/v1/backends/${encodeURIComponent(`${sid}`.repeat(20))}`, {
    body: '{"id":2,"address":"10.0.0.2:80"}',
  });
  await ask('GET', '/v1/nothing', { headers: { cookie: `connect.sid=${sid}`, referer: `http://x/${sid}` } });
  for (const [verb, ...rest] of [['move', 'web-1'], ['move', 'nobody'], ['deny'], ['allow']]) {
    await command(verb ?? '', sid, ...rest);
  }
  for (const of of ['sid of another type', 'sid of a list', 'long sid', 'sid without backend']) {
    const other = encodeURIComponent(secrets.get(of) ?? '');
    await ask('GET', `/v1/sessions/${other}`);
    await ask('PUT', `/v1/sessions/${other}`, put);
    await ask('PUT', `/v1/sessions/${other}`, { body: '{"backend":"web-1"}' });
    await ask('DELETE', `/v1/sessions/${other}`);
  }
  await raw(`GET ${path} HTTP/9.9\r\n\r\n`);
  await raw(`GET ${path} HTTP/1.1\r\nHost x\r\n${sid}\r\n\r\n`);
  await raw(`GET ${path} HTTP/1.1\r\nHost: x\r\nCookie: ${sid.repeat(1000)}\r\n\r\n`);
  await raw(`${sid} / HTTP/1.1\r\n\r\n`);
});

test('the control API over TCP, with the token and with others', async () => {
  expect(await ask('GET', '/v1/status', { tcp: true, authorization: `Bearer ${token}` })).toBe(200);
  expect(await ask('GET', '/v1/status', { tcp: true })).toBe(401);
  expect(await ask('GET', '/v1/status', { tcp: true, authorization: `Basic ${token}` })).toBe(401);
  expect(await ask('GET', `/v1/status?access_token=${token}`, { tcp: true })).toBe(401);
  for (let i = 0; i < 10; i++) await ask('GET', '/v1/status', { tcp: true, authorization: `Bearer ${wrongToken}` });
  expect(await ask('GET', '/v1/status', { tcp: true, authorization: `Bearer ${wrongToken}` })).toBe(429);
  expect(log()).toContain('wrong tokens');
});

test('key files and token files that are wrong', async () => {
  const good = fs.readFileSync(stage.keyFile);
  const files = [
    `keys:\n  - id: 1\n    secret: "${otherKeySecret}"\n`,
    `keys:\n  - id: ${otherKeySecret}\n    secret: "${keySecret}"\n`,
    `keys:\n  - id: 2\n    name: ${otherKeySecret}\n    secret: "${otherKeySecret}"\n`,
    `keys:\n  - id: 2\n    secret:${otherKeySecret}\n`,
    `keys:\n  - id: 2\n    ${otherKeySecret}: 1\n    secret: "${otherKeySecret}x"\n`,
    `keys:\n  - { id: 2, secret: "${otherKeySecret}", suite: ${otherKeySecret} }\n`,
    `keys: *${otherKeySecret}\n`,
    `keys: !${otherKeySecret} []\n`,
    `${otherKeySecret}\n`,
    `keys:\n  - id: 2\n    secret: "${otherKeySecret}\n`,
    `keys:\n  - { id: 2, secret: "${otherKeySecret}" }\n  - { id: 2, secret: "${otherKeySecret}" }\n`,
  ];
  for (const text of files) {
    fs.writeFileSync(stage.keyFile, text);
    expect(await ask('POST', '/v1/keys/reload')).toBe(422);
  }
  await command('reload-keys');
  const before = log().length;
  daemon.kill('SIGHUP');
  await until('the hang-up is logged', () => log().slice(before).includes('the keys were not reloaded'));
  fs.writeFileSync(stage.keyFile, good);
  fs.writeFileSync(join(stage.directory, 'token'), `${token} ${token}\n`);
  expect(await ask('POST', '/v1/keys/reload')).toBe(422);
  fs.writeFileSync(
    join(stage.directory, 'token'),
    `${secret('new token', `new-${randomBytes(24).toString('hex')}`)}\n`,
  );
  expect(await ask('POST', '/v1/keys/reload')).toBe(200);
  const newToken = secrets.get('new token');
  await until('the new token is in force', async () => {
    return (await ask('GET', '/v1/keys', { tcp: true, authorization: `Bearer ${newToken}` })) === 200;
  });
  await command('keys', 'list');
});

test('a session id on standard input is in no argument', async () => {
  const sid = secret('sid on standard input');
  const args = ['lookup', '-', '--server', '192.0.2.1:6464', '--keys', stage.keyFile, '--timeout', '1500'];
  const asking = spawn(GATEWAY, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const closed = once(asking, 'close');
  for (const stream of [asking.stdout, asking.stderr]) stream.on('data', (chunk) => (said += String(chunk)));
  asking.stdin.end(sid);
  said += fs.readFileSync(`/proc/${asking.pid}/cmdline`, 'utf8');
  await closed;
});

test('Redis goes away', async () => {
  await stage.stopRedis();
  await until('it is noticed', () => /ECONNREFUSED/.test(log()));
  const path = `/v1/sessions/${secret('sid while redis is away')}`;
  expect(await ask('GET', path)).toBe(503);
  expect(await ask('PUT', path, { body: '{"backend":"web-1","ttlMs":1000}' })).toBe(503);
  expect(await ask('DELETE', path)).toBe(503);
});

test('nothing of it shows', async () => {
  for (const path of ['/v1/status', '/metrics', '/v1/keys', '/v1/backends', '/healthz']) await ask('GET', path);
  await command('status');
  await command('status', '--json');
  const argumentsOf = fs.readFileSync(`/proc/${daemon.pid}/cmdline`, 'utf8');
  await ended();
  const written: Record<string, string> = { log: log(), answers: said, arguments: argumentsOf };
  expect(secrets.size).toBeGreaterThan(35);
  expect(written['log']?.split('\n').length).toBeGreaterThan(20);
  expect(written['answers']).toContain('session_gateway_problems_total{kind="feed-op"} ');
  const found: string[] = [];
  for (const [name, text] of secrets) {
    for (const form of formsOf(text)) {
      for (const [where, all] of Object.entries(written))
        if (all.includes(form)) found.push(`${name}, in the ${where}`);
    }
  }
  expect(found).toEqual([]);
});

/** What a secret may look like where it leaks; the beginning of a long one will do. */
function formsOf(text: string): string[] {
  const part = text.slice(0, 64);
  const hash = createHash('sha256').update(text).digest();
  return [
    part,
    Buffer.from(part).toString('hex'),
    Buffer.from(part).toString('base64').slice(0, -4),
    hash.toString('hex').slice(0, 32),
    hash.toString('base64').slice(0, 20),
  ];
}
