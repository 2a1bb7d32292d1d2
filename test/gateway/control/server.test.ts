import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { BODY_MAX_BYTES, HEADERS_MAX_BYTES } from '../../../src/gateway/control/limits.ts';
import { apiDescription } from '../../../src/gateway/control/routes.ts';
import { type ControlServer, startControl } from '../../../src/gateway/control/server.ts';
import { failure } from '../../../src/gateway/errors.ts';
import { createLogger } from '../../../src/gateway/log.ts';
import { FAKE_FLEET, FAKE_SETTLE, FAKE_USE, FakeGateway, fakeStatus } from './fake-gateway.ts';

const folder = mkdtempSync(join(tmpdir(), 'control-'));
const socketPath = join(folder, 'gateway.sock');
const gateway = new FakeGateway();
let logged = '';
let server: ControlServer;

function keep(line: string): void {
  logged += line;
}

beforeAll(async () => {
  server = await startControl(socketPath, gateway, createLogger('trace', { write: keep }));
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  gateway.now = fakeStatus();
  gateway.directory.reset();
  logged = '';
});

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: what the API answers is what is tested
  json: any;
}

function ask(method: string, path: string, body?: string | object, type = 'application/json'): Promise<Answer> {
  const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  const headers = text === undefined ? {} : { 'content-type': type, 'content-length': Buffer.byteLength(text) };
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, method, path, headers, agent: false }, async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      const answer = Buffer.concat(chunks).toString();
      const isJson = String(response.headers['content-type']).includes('json');
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        text: answer,
        json: isJson && answer !== '' ? JSON.parse(answer) : undefined,
      });
    });
    asked.on('error', reject);
    asked.end(text);
  });
}

/** Sends bytes as they are; everything that comes back until the server closes. */
function raw(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const connection = connect(socketPath);
    let answer = '';
    connection.on('data', (chunk) => {
      answer += chunk.toString();
    });
    connection.on('error', reject);
    connection.on('close', () => resolve(answer));
    connection.write(bytes);
  });
}

function expectProblem(answer: Answer, status: number, code: string): void {
  expect(answer.json).toEqual({
    type: `urn:session-gateway:error:${code}`,
    title: expect.any(String),
    status,
    detail: expect.any(String),
    code,
  });
  expect(answer.status).toBe(status);
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
}

describe('what is served', () => {
  test('health, whatever the first load does', async () => {
    gateway.now = { ...fakeStatus(), ready: false };
    expect(await ask('GET', '/healthz')).toMatchObject({ status: 200, json: { ok: true } });
  });

  test('readiness is 503 until the first load is in', async () => {
    gateway.now = { ...fakeStatus(), ready: false };
    expectProblem(await ask('GET', '/readyz'), 503, 'NOT_READY');
    gateway.now = fakeStatus();
    expect(await ask('GET', '/readyz')).toMatchObject({ status: 200, json: { ready: true } });
  });

  test('the status, whole', async () => {
    expect((await ask('GET', '/v1/status')).json).toEqual(fakeStatus());
  });

  test('the status, with all that can be missing', async () => {
    const { sync } = fakeStatus();
    const nothing = { position: null, lagEntries: null, lastError: null, resync: null, lastResync: null };
    gateway.now = { ...fakeStatus(), ageMs: null, sync: { ...sync, ...nothing } };
    expect((await ask('GET', '/v1/status')).json).toEqual(gateway.now);
  });

  test('keys, with nothing that their schema does not name', async () => {
    const [key] = fakeStatus().keys;
    gateway.now = { ...fakeStatus(), keys: [{ ...key, secret: 'ab'.repeat(32) } as never] };
    const answer = await ask('GET', '/v1/keys');
    expect(answer.json).toEqual({ keys: [key] });
    expect((await ask('GET', '/v1/status')).text).not.toContain('abab');
  });

  test('a reload says what changed', async () => {
    expect((await ask('POST', '/v1/keys/reload')).json).toEqual({
      added: [{ id: 8, name: 'new' }],
      removed: [],
      changed: [{ id: 7, name: 'edge', fields: ['notAfter'] }],
      kept: 0,
    });
  });

  test('a reload that is refused has the code and the words', async () => {
    gateway.next = failure('KEY_ID_REUSED', { keys: ['key 7 (edge)'] });
    const answer = await ask('POST', '/v1/keys/reload');
    expectProblem(answer, 422, 'KEY_ID_REUSED');
    expect(answer.json.detail).toContain('key 7 (edge)');
  });

  test('backends are put, patched, listed and deleted', async () => {
    const put = await ask('PUT', '/v1/backends/web-1', { id: 1, address: '10.0.0.11:8080' });
    const whole = { name: 'web-1', id: 1, address: '10.0.0.11:8080', state: 'active', weight: 100, shed: 0 };
    expect(put).toMatchObject({ status: 200, json: whole });
    await ask('PATCH', '/v1/backends/web-1', { state: 'draining', weight: 5 });
    await ask('PUT', '/v1/backends/web-2', { id: 2, address: '[2001:db8::2]:80' });
    expect((await ask('GET', '/v1/backends')).json).toEqual({
      faults: [{ name: 'web-3', message: 'id: found nothing' }],
      backends: [
        { ...whole, state: 'draining', weight: 5, ...FAKE_USE },
        { ...whole, name: 'web-2', id: 2, address: '[2001:db8::2]:80', ...FAKE_USE },
      ],
    });
    // PUT makes it whole again, PATCH would have left the state.
    expect((await ask('PUT', '/v1/backends/web-1', { id: 1, address: '10.0.0.11:8080' })).json).toEqual(whole);
    expect(await ask('DELETE', '/v1/backends/web-1')).toMatchObject({ status: 204, text: '' });
    expectProblem(await ask('DELETE', '/v1/backends/web-1'), 404, 'BACKEND_UNKNOWN');
  });

  test.each(['plain', 'with/slash', 'with?query#hash', 'a+b%20c', 'ü€𝄞', '..', '.', ' ', '%', 'x'.repeat(1024)])(
    'session ids arrive as they are: %j',
    async (sid) => {
      const path = `/v1/sessions/${encodeURIComponent(sid)}`;
      expectProblem(await ask('GET', path), 404, 'SESSION_UNKNOWN');
      expect(await ask('PUT', path, { backend: 'web-1', ttlMs: 60_000 })).toMatchObject({ status: 204, text: '' });
      expect([...gateway.sessions]).toEqual([[sid, { backend: 'web-1', ttlMs: 60_000 }]]);
      expect((await ask('GET', path)).json).toEqual({
        redis: { backend: 'web-1', ttlMs: 60_000 },
        kernel: { backendId: 1, expiresMs: null, version: '1-0', live: true },
      });
      expect((await ask('DELETE', path)).status).toBe(204);
      expect(gateway.sessions.size).toBe(0);
    },
  );

  test('a backend that is in use is removed by force only', async () => {
    await ask('PUT', '/v1/backends/web-1', { id: 1, address: '10.0.0.11:8080' });
    await ask('PUT', '/v1/sessions/s1', { backend: 'web-1', ttlMs: 60_000 });
    expectProblem(await ask('DELETE', '/v1/backends/web-1'), 409, 'BACKEND_IN_USE');
    expectProblem(await ask('DELETE', '/v1/backends/web-1?force=false'), 409, 'BACKEND_IN_USE');
    expect((await ask('DELETE', '/v1/backends/web-1?force=true')).status).toBe(204);
  });

  test('a session is moved where no end is given', async () => {
    await ask('PUT', '/v1/backends/web-2', { id: 2, address: '10.0.0.12:8080' });
    await ask('PUT', '/v1/sessions/s1', { backend: 'web-1', ttlMs: 60_000 });
    expect(await ask('PUT', '/v1/sessions/s1', { backend: 'web-2' })).toMatchObject({ status: 204, text: '' });
    expect(gateway.sessions.get('s1')).toEqual({ backend: 'web-2', ttlMs: 60_000 });
    expectProblem(await ask('PUT', '/v1/sessions/s2', { backend: 'web-2' }), 404, 'SESSION_UNKNOWN');
    const unknown = await ask('PUT', '/v1/sessions/s1', { backend: 'web-9' });
    expectProblem(unknown, 404, 'BACKEND_UNKNOWN');
    expect(unknown.json.detail).toBe('there is no backend "web-9"; there is "web-2"');
  });

  test('a session is denied for a while, for good, and allowed again', async () => {
    const { denied } = gateway.directory;
    const path = `/v1/denied/${encodeURIComponent('s/1')}`;
    expect(await ask('PUT', path, { forMs: 5_000 })).toMatchObject({ status: 200, json: { untilMs: 1_005_000 } });
    expect([...denied]).toEqual([['s/1', 1_005_000]]);
    for (const body of [undefined, {}]) {
      expect((await ask('PUT', path, body)).json).toEqual({ untilMs: 253_402_300_799_999 });
    }
    expect(await ask('DELETE', path)).toMatchObject({ status: 204, text: '' });
    expect(denied.get('s/1')).toBe(0);
  });

  test('facts are set, got and removed', async () => {
    expectProblem(await ask('GET', '/v1/facts/epoch'), 404, 'FACT_UNKNOWN');
    const fact = { name: 'epoch', value: 'ü', hex: 'c3bc', version: '5-0' };
    expect(await ask('PUT', '/v1/facts/epoch', { value: 'ü' })).toMatchObject({ status: 200, json: fact });
    expect((await ask('GET', '/v1/facts/epoch')).json).toEqual(fact);
    expect((await ask('DELETE', '/v1/facts/epoch')).status).toBe(204);
    expectProblem(await ask('DELETE', '/v1/facts/epoch'), 404, 'FACT_UNKNOWN');
  });

  test('a backend is settled, watched and stopped', async () => {
    gateway.settling = null;
    expect((await ask('GET', '/v1/settle')).json).toEqual({ settle: null });
    const started = { ...FAKE_SETTLE, backend: 'web-2' };
    expect(await ask('POST', '/v1/settle', { backend: 'web-2' })).toMatchObject({ status: 202, json: started });
    expect((await ask('POST', '/v1/settle', { backend: 'web-2', rate: 7 })).json).toEqual({ ...started, rate: 7 });
    expect((await ask('GET', '/v1/settle')).json).toEqual({ settle: { ...started, rate: 7 } });
    gateway.next = failure('SETTLE_BUSY', { backend: 'web-2' });
    expectProblem(await ask('POST', '/v1/settle', { backend: 'web-1' }), 409, 'SETTLE_BUSY');
    expect(await ask('DELETE', '/v1/settle')).toMatchObject({ status: 204, text: '' });
    expect((await ask('GET', '/v1/settle')).json.settle.state).toBe('stopped');
    for (const body of [{}, { backend: '' }, { backend: 'web-1', rate: 0 }, { backend: 'web-1', rate: 100_001 }]) {
      expectProblem(await ask('POST', '/v1/settle', body), 400, 'REQUEST_INVALID');
    }
  });

  test('the fleet', async () => {
    expect((await ask('GET', '/v1/fleet')).json).toEqual(FAKE_FLEET);
  });

  test('the description has every path and method, with its parameters', async () => {
    const { json } = await ask('GET', '/openapi.json');
    expect(json.openapi).toBe('3.1.0');
    const methods = Object.entries(json.paths).map(([path, item]) => {
      return [path, Object.keys(item as object).filter((key) => key !== 'parameters')];
    });
    expect(Object.fromEntries(methods)).toEqual({
      '/healthz': ['get'],
      '/readyz': ['get'],
      '/metrics': ['get'],
      '/v1/status': ['get'],
      '/v1/trace': ['get'],
      '/v1/keys': ['get'],
      '/v1/keys/reload': ['post'],
      '/v1/backends': ['get'],
      '/v1/backends/{name}': ['put', 'patch', 'delete'],
      '/v1/sessions/{sid}': ['get', 'put', 'delete'],
      '/v1/denied/{sid}': ['put', 'delete'],
      '/v1/facts/{name}': ['get', 'put', 'delete'],
      '/v1/fleet': ['get'],
      '/v1/settle': ['get', 'post', 'delete'],
      '/v1/events': ['get'],
      '/openapi.json': ['get'],
    });
    expect(json).toEqual(JSON.parse(JSON.stringify(apiDescription())));
    const operations = Object.values(json.paths).flatMap((item) => {
      return Object.entries(item as object).filter(([key]) => key !== 'parameters');
    });
    const ids = operations.map(([, operation]) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    expect(json.paths['/healthz'].get.security).toEqual([]);
    expect(json.paths['/v1/status'].get).not.toHaveProperty('security');
    const backend = json.paths['/v1/backends/{name}'];
    expect(backend.parameters).toEqual([
      { name: 'name', in: 'path', required: true, schema: { type: 'string', minLength: 1, maxLength: 256 } },
    ]);
    expect(backend.delete.parameters).toMatchObject([{ name: 'force', in: 'query', required: false }]);
    expect(backend.patch.requestBody.required).toBe(true);
    expect(json.paths['/v1/denied/{sid}'].put.requestBody.required).toBe(false);
    expect(backend.patch.requestBody.content['application/json'].schema.properties.shed).toMatchObject({
      type: 'integer',
      minimum: 0,
      maximum: 10_000,
    });
    expect(json.paths['/v1/events'].get.responses[200].content).toHaveProperty(['text/event-stream']);
  });

  test('HEAD has the headers of GET and no body', async () => {
    const answer = await ask('HEAD', '/v1/status');
    expect(answer).toMatchObject({ status: 200, text: '' });
  });
});

describe('what is refused', () => {
  test.each([
    ['PUT', '/v1/backends/a', '{"id":1', 'REQUEST_INVALID'],
    ['PUT', '/v1/backends/a', '', 'REQUEST_INVALID'],
    ['PUT', '/v1/backends/a', '[]', 'REQUEST_INVALID'],
    ['PUT', '/v1/backends/a', 'null', 'REQUEST_INVALID'],
    ['PUT', '/v1/backends/a', '{"__proto__":{"id":1},"id":1,"address":"10.0.0.1:1"}', 'REQUEST_INVALID'],
    ['PUT', '/v1/backends/a', '{"id":"1","address":"10.0.0.1:1"}', 'REQUEST_INVALID'],
    ['PUT', '/v1/backends/a', '{"id":1.5,"address":"10.0.0.1:1"}', 'REQUEST_INVALID'],
    ['PUT', '/v1/backends/a', '{"id":0,"address":"10.0.0.1:1"}', 'REQUEST_INVALID'],
    ['PUT', '/v1/backends/a', '{"id":65536,"address":"10.0.0.1:1"}', 'REQUEST_INVALID'],
    ['PUT', '/v1/backends/a', '{"id":1}', 'REQUEST_INVALID'],
    ['PUT', '/v1/backends/a', '{"id":1,"address":"10.0.0.1:1","sate":"down"}', 'REQUEST_INVALID'],
    ['PUT', '/v1/backends/a', '{"id":1,"address":"10.0.0.1:1","state":"up"}', 'REQUEST_INVALID'],
    ['PATCH', '/v1/backends/a', '{}', 'REQUEST_INVALID'],
    ['PATCH', '/v1/backends/', '{"shed":1}', 'REQUEST_INVALID'],
    ['PATCH', '/v1/backends/a', '{"shed":10001}', 'REQUEST_INVALID'],
    ['PUT', '/v1/sessions/a', '{"ttlMs":1}', 'REQUEST_INVALID'],
    ['DELETE', '/v1/backends/a?force=yes', undefined, 'REQUEST_INVALID'],
    ['DELETE', '/v1/backends/a?forced=true', undefined, 'REQUEST_INVALID'],
    ['PUT', '/v1/denied/a', '{"forMs":0}', 'REQUEST_INVALID'],
    ['PUT', '/v1/denied/a', '{"forMs":"1h"}', 'REQUEST_INVALID'],
    ['PUT', '/v1/denied/a', '{"for":1}', 'REQUEST_INVALID'],
    ['PUT', '/v1/denied/a', '7', 'REQUEST_INVALID'],
    ['PUT', '/v1/facts/a', '{}', 'REQUEST_INVALID'],
    ['PUT', '/v1/facts/a', '{"value":7}', 'REQUEST_INVALID'],
    ['PUT', '/v1/sessions/a', '{"backend":"","ttlMs":1}', 'REQUEST_INVALID'],
    ['PUT', '/v1/sessions/a', '{"backend":"x","ttlMs":0}', 'REQUEST_INVALID'],
    ['PUT', '/v1/sessions/a', '{"backend":"x","ttlMs":1e300}', 'REQUEST_INVALID'],
  ])('%s %s with %s', async (method, path, body, code) => {
    expectProblem(await ask(method, path, body), 400, code);
    expect(gateway.table.size + gateway.sessions.size).toBe(0);
  });

  test('a wrong body is told by name what is wrong, and not by value', async () => {
    const unknown = await ask('PATCH', '/v1/backends/a', { sate: 'down' });
    expect(unknown.json.detail).toContain('"sate"');
    const enumerated = await ask('PATCH', '/v1/backends/a', { state: 'hunter2' });
    expect(enumerated.json.detail).toContain('active, draining, down');
    expect(enumerated.text).not.toContain('hunter2');
  });

  test.each(['%', '%zz', '%ff', '%e2%82'])('wrong percent-encoding %s', async (sid) => {
    const answer = await ask('GET', `/v1/sessions/SENTINEL${sid}`);
    expectProblem(answer, 400, 'REQUEST_INVALID');
    expect(answer.text).not.toContain('SENTINEL');
  });

  test('a session id that is too long in bytes', async () => {
    expectProblem(await ask('GET', `/v1/sessions/${encodeURIComponent('ü'.repeat(600))}`), 400, 'SESSION_ID_INVALID');
  });

  test('a session id that is too long', async () => {
    const answer = await ask('GET', `/v1/sessions/${'x'.repeat(1025)}`);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
    expect(answer.json.code).toMatch(/^(REQUEST_INVALID|ROUTE_UNKNOWN)$/);
  });

  test.each(['/', '/v1', '/v1/sessions', '/v1/nothing', '/v1/sessions/a/b', '/V1/status', '//v1/status'])(
    'no resource at %s',
    async (path) => {
      expectProblem(await ask('GET', path), 404, 'ROUTE_UNKNOWN');
    },
  );

  test('an unknown path is not repeated', async () => {
    expect((await ask('GET', '/v1/session/SENTINEL')).text).not.toContain('SENTINEL');
  });

  test.each([
    ['POST', '/v1/status', 'GET'],
    ['DELETE', '/healthz', 'GET'],
    ['GET', '/v1/keys/reload', 'POST'],
    ['POST', '/v1/backends/a', 'PUT, PATCH, DELETE'],
    ['PATCH', '/v1/sessions/a', 'GET, PUT, DELETE'],
  ])('%s of %s, with what is allowed', async (method, path, allowed) => {
    const answer = await ask(method, path);
    expectProblem(answer, 405, 'METHOD_NOT_ALLOWED');
    expect(answer.headers.allow).toBe(allowed);
  });

  test('a body that is too large, declared or streamed', async () => {
    const body = JSON.stringify({ address: 'x'.repeat(BODY_MAX_BYTES) });
    expectProblem(await ask('PATCH', '/v1/backends/a', body), 413, 'BODY_TOO_LARGE');
    const chunk = 'x'.repeat(BODY_MAX_BYTES / 2);
    const size = chunk.length.toString(16);
    const head =
      'PATCH /v1/backends/a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n';
    const answer = await raw(`${head}${`${size}\r\n${chunk}\r\n`.repeat(3)}0\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer).toContain('BODY_TOO_LARGE');
  });

  test('another media type', async () => {
    expectProblem(await ask('PATCH', '/v1/backends/a', '<a/>', 'application/xml'), 415, 'MEDIA_TYPE_UNSUPPORTED');
  });

  test('headers that are too large', async () => {
    const answer = await raw(`GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(HEADERS_MAX_BYTES)}\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
    expect(answer).toContain('HEADERS_TOO_LARGE');
  });

  test.each([
    '\x16\x03\x01\x02\x00',
    'GET\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    'GET /healthz HTTP/1.1\r\nHost x\r\n\r\n',
  ])('what is not HTTP: %j', async (bytes) => {
    const answer = await raw(bytes);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('"code":"REQUEST_INVALID"');
  });

  test('two lengths at once (request smuggling)', async () => {
    const answer = await raw(
      'PATCH /v1/backends/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  });

  test('what fails unexpectedly is logged, without the path, and goes on', async () => {
    gateway.next = new TypeError('boom');
    const answer = await ask('GET', '/v1/sessions/SENTINEL');
    expectProblem(answer, 500, 'INTERNAL');
    expect(logged).toContain('boom');
    expect(logged).not.toContain('SENTINEL');
    expect((await ask('GET', '/healthz')).status).toBe(200);
  });

  test('nothing else is logged', async () => {
    await ask('GET', '/v1/sessions/SENTINEL');
    await ask('GET', '/v1/sessions/SENTINEL%');
    await ask('PUT', '/v1/sessions/SENTINEL', { backend: 'a', ttlMs: 1 });
    expect(logged).toBe('');
  });
});
