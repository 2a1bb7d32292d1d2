/** The control API over TCP. */
import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Admission } from '../../../src/gateway/control/admission.ts';
import { type ControlServer, startControl } from '../../../src/gateway/control/server.ts';
import { Token } from '../../../src/gateway/control/token.ts';
import { createLogger } from '../../../src/gateway/log.ts';
import { FakeGateway, fakeStatus } from './fake-gateway.ts';

const TOKEN = 'SENTINEL-0123456789abcdef0123456789abcdef';
const folder = mkdtempSync(join(tmpdir(), 'http-'));
const gateway = new FakeGateway();
let nowMs = 1_000;
let logged = '';
let server: ControlServer;
let port: number;

const log = createLogger('trace', {
  write(line: string) {
    logged += line;
  },
});

beforeAll(async () => {
  const admission = new Admission(new Token(TOKEN), () => nowMs);
  const http = { host: 'localhost', port: 0, admission };
  server = await startControl(join(folder, 'gateway.sock'), gateway, log, { http });
  port = server.http?.port ?? 0;
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  nowMs += 3_600_000;
  gateway.now = fakeStatus();
  logged = '';
});

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

interface Asked {
  method?: string;
  token?: string | undefined;
  body?: string;
  host?: string;
}

function ask(path: string, { method = 'GET', token, body, host = 'x' }: Asked = {}): Promise<Answer> {
  const headers = {
    host,
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
  };
  const address = server.http?.address ?? '';
  return new Promise((resolve, reject) => {
    const asked = request({ host: address, port, method, path, headers, agent: false }, async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      const text = Buffer.concat(chunks).toString();
      resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

test('with the token it is the same API as on the socket', async () => {
  expect(JSON.parse((await ask('/v1/status', { token: TOKEN })).text)).toEqual(fakeStatus());
  expect((await ask('/metrics', { token: TOKEN })).text).toContain('session_gateway_ready 1');
  const put = { method: 'PUT', token: TOKEN, body: '{"backend":"web-1","ttlMs":1000}' };
  expect((await ask('/v1/sessions/a', put)).status).toBe(204);
  expect((await ask('/v1/nothing', { token: TOKEN })).status).toBe(404);
  expect(await ask('/v1/status', { method: 'POST', token: TOKEN })).toMatchObject({
    status: 405,
    headers: { allow: 'GET' },
  });
});

test.each([
  ['GET', '/v1/status'],
  ['HEAD', '/v1/status'],
  ['GET', '/metrics'],
  ['POST', '/v1/keys/reload'],
  ['PUT', '/v1/sessions/a'],
  ['POST', '/v1/status'],
  ['GET', '/v1/nothing'],
  ['GET', '/'],
  ['OPTIONS', '/v1/status'],
  ['GET', '/healthz/'],
  ['GET', '//healthz'],
  ['GET', '/healthz/../v1/status'],
])('%s %s without the token: 401', async (method, path) => {
  gateway.sessions.clear();
  for (const token of [undefined, 'x'.repeat(32)]) {
    const answer = await ask(path, {
      method,
      token,
      ...(method === 'PUT' ? { body: '{"backend":"b","ttlMs":1}' } : {}),
    });
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toMatch(/^Bearer realm="session-gateway"/);
    expect(answer.headers['www-authenticate']?.includes('invalid_token')).toBe(token !== undefined);
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
    if (method !== 'HEAD') expect(JSON.parse(answer.text)).toMatchObject({ status: 401, code: 'TOKEN_NEEDED' });
  }
  expect(gateway.sessions.size).toBe(0);
});

test('what any other Host or Origin says changes nothing', async () => {
  expect((await ask('/v1/status', { host: 'attacker.example' })).status).toBe(401);
  expect((await ask('/v1/status', { host: 'attacker.example', token: TOKEN })).status).toBe(200);
});

test('health and readiness are open, and say no more than that', async () => {
  expect(await ask('/healthz')).toMatchObject({ status: 200, text: '{"ok":true}' });
  expect(await ask('/readyz')).toMatchObject({ status: 200, text: '{"ready":true}' });
  gateway.now = { ...fakeStatus(), ready: false };
  expect(await ask('/readyz', { token: 'wrong' })).toMatchObject({ status: 503 });
});

test('too many wrong tokens: 429 with when to come again, and then it works again', async () => {
  for (let i = 0; i < 10; i++) expect((await ask('/v1/status', { token: `wrong-${i}` })).status).toBe(401);
  const refused = await ask('/v1/status', { token: TOKEN });
  expect(refused.status).toBe(429);
  expect(refused.headers['retry-after']).toBe('1');
  expect(JSON.parse(refused.text)).toMatchObject({ status: 429, code: 'TOKEN_ATTEMPTS' });
  expect((await ask('/healthz')).status).toBe(200);
  nowMs += 1_000;
  expect((await ask('/v1/status', { token: TOKEN })).status).toBe(200);
  expect(logged.match(/wrong tokens/g)?.length ?? 0).toBeLessThanOrEqual(1);
  expect(logged).not.toContain('wrong-');
});

test('a body that nobody may send is not waited for', async () => {
  const answer = await new Promise<string>((resolve, reject) => {
    const connection = connect(port, server.http?.address);
    let text = '';
    connection.on('data', (chunk) => {
      text += chunk.toString();
    });
    connection.on('error', reject);
    connection.on('close', () => resolve(text));
    connection.write('PUT /v1/sessions/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\nx');
  });
  expect(answer).toMatch(/^HTTP\/1\.1 401 /);
});

test('streams end with the token that they were opened with, those of the socket go on', async () => {
  const admission = new Admission(new Token(TOKEN), () => 0);
  const path = join(folder, 'streams.sock');
  const http = { host: '127.0.0.1', port: 0, admission };
  const own = await startControl(path, gateway, log, { http });
  const open = (where: object) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const headers = { authorization: `Bearer ${TOKEN}` };
      request({ ...where, path: '/v1/events', headers, agent: false }, resolve)
        .on('error', reject)
        .end();
    });
  const [overTcp, bySocket] = await Promise.all([
    open({ host: '127.0.0.1', port: own.http?.port }),
    open({ socketPath: path }),
  ]);
  try {
    const cut = new Promise<boolean>((resolve) => overTcp.once('close', () => resolve(true)));
    for (const each of [overTcp, bySocket]) each.on('error', () => undefined).resume();
    admission.replace(new Token(TOKEN));
    expect(gateway.readers.size).toBe(2);
    admission.replace(new Token(`${TOKEN}2`));
    expect(await cut).toBe(true);
    await expect.poll(() => gateway.readers.size, { timeout: 60_000 }).toBe(1);
    expect(bySocket.destroyed).toBe(false);
  } finally {
    bySocket.destroy();
    await own.close();
  }
});

test('the log has no token, whatever happens', async () => {
  gateway.next = new TypeError('boom');
  expect((await ask('/v1/backends', { token: TOKEN })).status).toBe(500);
  await ask('/v1/status', { token: `${TOKEN}x` });
  expect(logged).toContain('boom');
  expect(logged).not.toContain('SENTINEL');
});

describe('where it listens', () => {
  const admission = new Admission(new Token(TOKEN), () => 0);

  test('a port that is taken: refused, and the socket is gone again', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port: taken } = other.address() as { port: number };
    const http = { host: '127.0.0.1', port: taken, admission };
    const path = join(folder, 'other.sock');
    await expect(startControl(path, gateway, log, { http })).rejects.toMatchObject({ code: 'HTTP_UNUSABLE' });
    const again = await startControl(path, gateway, log);
    expect(again.http).toBeNull();
    await again.close();
    await new Promise((resolve) => other.close(resolve));
  });

  test('an address that is not of this machine, a name that is none', async () => {
    for (const host of ['192.0.2.1', 'no.such.host.invalid']) {
      const http = { host, port: 24_001, admission };
      const starting = startControl(join(folder, 'other.sock'), gateway, log, { http });
      await expect(starting).rejects.toMatchObject({ code: 'HTTP_UNUSABLE', exitStatus: 1 });
    }
  });

  test.each([
    ['127.0.0.1', false],
    ['localhost', false],
    ['0.0.0.0', true],
  ])('%s, with a warning: %s', async (host, warned) => {
    const started = await startControl(join(folder, 'other.sock'), gateway, log, {
      http: { host, port: 0, admission },
    });
    await started.close();
    expect(logged.includes('without TLS')).toBe(warned);
  });
});
