/** Clients that are slow, silent, many or rude, over raw sockets: each is cut, all others are served. */
import { mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { Admission } from '../../../src/gateway/control/admission.ts';
import { BODY_MAX_BYTES, HEADERS_MAX_BYTES } from '../../../src/gateway/control/limits.ts';
import { type ControlServer, startControl } from '../../../src/gateway/control/server.ts';
import { Token } from '../../../src/gateway/control/token.ts';
import { createLogger } from '../../../src/gateway/log.ts';
import { FakeGateway, fakeStatus } from './fake-gateway.ts';

const TOKEN = 't'.repeat(32);
const CONNECTIONS = 8;
const WAIT_MS = 60_000;
const folder = mkdtempSync(join(tmpdir(), 'hostile-'));
const socketPath = join(folder, 'gateway.sock');
const gateway = new FakeGateway();
let server: ControlServer;
let logged = '';
const open: Socket[] = [];

const log = createLogger('warn', {
  write(line: string) {
    logged += line;
  },
});

function start(): Promise<ControlServer> {
  return startControl(socketPath, gateway, log, {
    http: { host: '127.0.0.1', port: 0, admission: new Admission(new Token(TOKEN), () => performance.now()) },
    limits: { connectionsMax: CONNECTIONS, pipelinedMax: 3, requestTimeoutMs: 200, exchangeTimeoutMs: 400 },
  });
}

beforeAll(async () => {
  server = await start();
});
afterAll(async () => {
  for (const connection of open) connection.destroy();
  await server.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  gateway.now = fakeStatus();
  logged = '';
});

const WAYS = ['socket', 'tcp'] as const;
type Way = (typeof WAYS)[number];

function target(way: Way): { path: string } | { host: string; port: number } {
  return way === 'socket' ? { path: socketPath } : { host: '127.0.0.1', port: server.http?.port ?? 0 };
}

interface Client {
  readonly connection: Socket;
  /** What has come so far. */
  text(): string;
  /** Everything that came, once the server has closed. */
  readonly closed: Promise<string>;
}

function client(way: Way): Client {
  const connection = connect(target(way));
  open.push(connection);
  let text = '';
  connection.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  // Being cut off while sending is what is expected of some.
  connection.on('error', () => undefined);
  const closed = new Promise<string>((resolve) => connection.once('close', () => resolve(text)));
  return { connection, text: () => text, closed };
}

async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + WAIT_MS;
  while (!(await isTrue())) {
    if (performance.now() > endMs) throw new Error(`waited in vain: ${what}`);
    await sleep(10);
  }
}

/** Whether a good client gets its answer. */
function served(way: Way): Promise<boolean> {
  const options = way === 'socket' ? { socketPath } : { host: '127.0.0.1', port: server.http?.port };
  const headers = { authorization: `Bearer ${TOKEN}` };
  return new Promise((resolve) => {
    get({ ...options, path: '/v1/status', headers, agent: false }, (response) => {
      response.resume();
      response.once('end', () => resolve(response.statusCode === 200));
    }).on('error', () => resolve(false));
  });
}

const HEAD = `Host: x\r\nAuthorization: Bearer ${TOKEN}\r\n`;

test.each(WAYS)('one that says nothing is cut (%s)', async (way) => {
  expect(await client(way).closed).toMatch(/^(HTTP\/1\.1 408 |$)/);
});

test.each(WAYS)('half a request line, half the headers, half a body (%s)', async (way) => {
  const halves = [
    'GET /v1/st',
    `GET /v1/status HTTP/1.1\r\n${HEAD}`,
    `PUT /v1/backends/a HTTP/1.1\r\n${HEAD}Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{"id":`,
    `PUT /v1/backends/a HTTP/1.1\r\n${HEAD}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"i`,
  ];
  for (const half of halves) {
    const { connection, closed } = client(way);
    connection.write(half);
    expect(await closed).toMatch(/^HTTP\/1\.1 408 [\s\S]*"code":"REQUEST_TIMEOUT"/);
  }
});

test.each(WAYS)('a header that comes one byte at a time (%s)', async (way) => {
  const { connection, closed } = client(way);
  connection.write(`GET /v1/status HTTP/1.1\r\n${HEAD}X: `);
  const timer = setInterval(() => connection.write('x'), 20);
  const text = await closed;
  clearInterval(timer);
  expect(text).toMatch(/^HTTP\/1\.1 408 /);
});

test.each(WAYS)('one that idles after its answer (%s)', async (way) => {
  const { connection, closed } = client(way);
  connection.write(`GET /healthz HTTP/1.1\r\n${HEAD}\r\n`);
  expect(await closed).toMatch(/^HTTP\/1\.1 200 /);
});

test.each(WAYS)('one that never reads its answer (%s)', async (way) => {
  // More than the kernel's buffers take.
  const mib = 'x'.repeat(1024 * 1024);
  gateway.now = { ...fakeStatus(), addresses: Array.from({ length: 12 }, () => mib) };
  const { connection } = client(way);
  connection.pause();
  connection.write(`GET /v1/status HTTP/1.1\r\n${HEAD}\r\n`);
  let cut = false;
  connection.once('close', () => {
    cut = true;
  });
  await waitForCut(way);
  // What the kernel's buffers hold arrives; the whole answer doesn't.
  connection.resume();
  await until('cut', () => cut);
  expect(connection.bytesRead).toBeLessThan(12 * 1024 * 1024);
  gateway.now = fakeStatus();
  expect(await served(way)).toBe(true);
});

/** Until the server has let go of every connection but new ones: then all its places are free. */
async function waitForCut(way: Way): Promise<void> {
  gateway.now = fakeStatus();
  await until('all places are free', async () => {
    const asked = await Promise.all(Array.from({ length: CONNECTIONS }, () => held(way)));
    const free = asked.every(({ answered }) => answered);
    for (const { connection } of asked) connection.destroy();
    return free;
  });
}

/** Keeps a connection open after its answer. */
function held(way: Way): Promise<{ connection: Socket; answered: boolean }> {
  const { connection, closed } = client(way);
  connection.write(`GET /healthz HTTP/1.1\r\n${HEAD}\r\n`);
  return new Promise((resolve) => {
    connection.once('data', () => resolve({ connection, answered: true }));
    closed.then(() => resolve({ connection, answered: false }));
  });
}

test.each(WAYS)('headers and bodies over their bound, declared or endless (%s)', async (way) => {
  const long = 'x'.repeat(HEADERS_MAX_BYTES);
  const chunk = `${BODY_MAX_BYTES.toString(16)}\r\n${'x'.repeat(BODY_MAX_BYTES)}\r\n`;
  const put = `PUT /v1/backends/a HTTP/1.1\r\n${HEAD}Content-Type: application/json\r\n`;
  const requests: [string, number][] = [
    [`GET /v1/status HTTP/1.1\r\n${HEAD}X: ${long}\r\n\r\n`, 431],
    [`GET /${long} HTTP/1.1\r\n${HEAD}\r\n`, 431],
    [`GET /v1/status HTTP/1.1\r\n${HEAD}${'A: b\r\n'.repeat(5_000)}\r\n`, 431],
    [`${put}Content-Length: 1000000000\r\n\r\n`, 413],
    [`${put}Transfer-Encoding: chunked\r\n\r\n${chunk}${chunk}`, 413],
    [`${put}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\n`, 400],
    [`${put}Content-Length: -1\r\n\r\n`, 400],
    [`${put}Content-Length: 99999999999999999999\r\n\r\n`, 400],
  ];
  for (const [bytes, status] of requests) {
    const { connection, closed } = client(way);
    connection.write(bytes);
    expect([bytes.slice(0, 30), (await closed).slice(0, 13)]).toEqual([bytes.slice(0, 30), `HTTP/1.1 ${status} `]);
  }
});

test.each(WAYS)('one that asks far ahead is cut, and what it asked for is not even begun (%s)', async (way) => {
  const { connection, closed } = client(way);
  const put = `PUT /v1/sessions/a HTTP/1.1\r\n${HEAD}Content-Type: application/json\r\nContent-Length: 25\r\n\r\n`;
  let begun = 0;
  gateway.setSession = async () => {
    begun += 1;
    await sleep(50);
  };
  connection.write(`${put}{"backend":"a","ttlMs":1}`.repeat(300));
  await closed;
  expect(begun).toBeGreaterThan(0);
  expect(begun).toBeLessThanOrEqual(3);
  expect(await served(way)).toBe(true);
});

test.each(WAYS)('a few requests at once are answered in their order (%s)', async (way) => {
  const { connection, text } = client(way);
  connection.write(`GET /healthz HTTP/1.1\r\n${HEAD}\r\nGET /v1/nothing HTTP/1.1\r\n${HEAD}\r\n`);
  await until('both', () => /200 OK[\s\S]*404 Not Found/.test(text()));
});

test.each(WAYS)('garbage after a good request (%s)', async (way) => {
  for (const garbage of ['\x16\x03\x01', '\0'.repeat(100), 'GET\r\n\r\n', `GET / HTTP/1.1\r\nHost x\r\n\r\n`]) {
    const { connection, closed } = client(way);
    connection.write(`GET /healthz HTTP/1.1\r\n${HEAD}\r\n${garbage}`, 'latin1');
    expect(await closed).toMatch(/^HTTP\/1\.1 (200|400) /);
  }
  expect(await served(way)).toBe(true);
});

test.each(WAYS)('more connections than there are places (%s)', async (way) => {
  await waitForCut(way);
  const many = Array.from({ length: 5 * CONNECTIONS }, () => client(way));
  // The others' places are taken; the other way in has its own.
  expect(await served(way === 'tcp' ? 'socket' : 'tcp')).toBe(true);
  await Promise.all(many.map(({ closed }) => closed));
  await until('served again', () => served(way));
});

test('a peer that goes away in the middle of everything', async () => {
  for (const way of WAYS) {
    for (const bytes of [
      'G',
      `PUT /v1/backends/a HTTP/1.1\r\n${HEAD}Content-Length: 5\r\n\r\n{`,
      `GET /metrics HTTP/1.1\r\n${HEAD}\r\n`,
    ]) {
      const { connection } = client(way);
      await new Promise((resolve) => connection.write(bytes, resolve));
      if (way === 'tcp') connection.resetAndDestroy();
      else connection.destroy();
    }
    await until('served', () => served(way));
  }
  expect(logged).toBe('');
});

test('the server stops with clients in every state', async () => {
  const stuck = WAYS.flatMap((way) => {
    return ['', 'GET /v1/st', `PUT /v1/backends/a HTTP/1.1\r\n${HEAD}Content-Length: 5\r\n\r\n{`].map((bytes) => {
      const one = client(way);
      one.connection.write(bytes);
      return one;
    });
  });
  gateway.now = { ...fakeStatus(), addresses: ['x'.repeat(12 * 1024 * 1024)] };
  for (const way of WAYS) {
    const reader = client(way);
    reader.connection.pause();
    reader.connection.write(`GET /v1/status HTTP/1.1\r\n${HEAD}\r\n`);
  }
  await until('the status was asked for', async () => (await served('socket')) && (await served('tcp')));
  await server.close();
  await Promise.all(stuck.map(({ closed }) => closed));
  server = await start();
});
