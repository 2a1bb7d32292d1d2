/** Requests of any method, path, headers and body: each gets an answer of the API, none fails the server or changes anything unasked. */
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, type OutgoingHttpHeaders, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type ControlServer, startControl } from '../../../src/gateway/control/server.ts';
import { errorCatalogue } from '../../../src/gateway/error-catalogue.ts';
import { createLogger } from '../../../src/gateway/log.ts';
import { runs } from '../../support/fuzz.ts';
import { FakeGateway, fakeStatus } from './fake-gateway.ts';

const folder = mkdtempSync(join(tmpdir(), 'requests-'));
const socketPath = join(folder, 'gateway.sock');
const agent = new Agent({ keepAlive: true, maxSockets: 4 });
const gateway = new FakeGateway();
let server: ControlServer;
let logged = '';

const log = createLogger('trace', {
  write(line: string) {
    logged += line;
  },
});

beforeAll(async () => {
  server = await startControl(socketPath, gateway, log);
});
afterAll(async () => {
  agent.destroy();
  await server.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  gateway.now = fakeStatus();
  gateway.table.clear();
  gateway.sessions.clear();
  logged = '';
});

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly headers: OutgoingHttpHeaders;
  readonly body: Uint8Array;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

function send({ method, path, headers, body }: Sent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    // Else Node.js sends what of GET and HEAD is no body.
    const all = { ...headers, 'content-length': body.length };
    const asked = request({ socketPath, agent, method, path, headers: all }, async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      resolve({
        status: response.statusCode ?? 0,
        type: String(response.headers['content-type']),
        text: Buffer.concat(chunks).toString(),
      });
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

const marked = 'SENTINEL';
const piece = fc.oneof(
  fc.constantFrom(
    'v1',
    'status',
    'sessions',
    'backends',
    'keys',
    'reload',
    'healthz',
    'metrics',
    marked,
    '..',
    '.',
    '',
  ),
  fc.constantFrom(
    '%',
    '%00',
    '%2f',
    '%2e%2e',
    '%ff',
    '%e2%82',
    '%F0%9F%98%80',
    ';',
    '?',
    '#',
    '*',
    '__proto__',
    'constructor',
    ':name',
  ),
  fc.string({ maxLength: 40 }).map((text) => encodeURIComponent(text.toWellFormed())),
  fc.constant('x').map((text) => text.repeat(1_100)),
);
const somePath = fc.oneof(
  fc.array(piece, { maxLength: 6 }).map((pieces) => `/${pieces.join('/')}`),
  fc.array(piece, { minLength: 1, maxLength: 3 }).map((pieces) => `/v1/sessions/${pieces.join('')}`),
  fc.array(piece, { minLength: 1, maxLength: 3 }).map((pieces) => `/v1/backends/${pieces.join('')}`),
  fc.constantFrom('*', 'http://x/v1/status', 'http://[::1', '//', '/v1/status?a=1&a=2&__proto__=3'),
);
const backend = fc.record(
  {
    id: fc.oneof(fc.integer(), fc.double(), fc.string()),
    address: fc.oneof(fc.string(), fc.constant('10.0.0.1:80')),
    state: fc.oneof(fc.string(), fc.constantFrom('active', 'down')),
    weight: fc.oneof(fc.integer(), fc.bigInt().map(String)),
    shed: fc.anything(),
    backend: fc.string(),
    ttlMs: fc.oneof(fc.integer(), fc.double()),
  },
  { requiredKeys: [] },
);
const someBody = fc.oneof(
  fc.constant(new Uint8Array()),
  fc.uint8Array({ maxLength: 300 }),
  fc.json().map((text) => Buffer.from(text)),
  backend.map((value) => Buffer.from(stringify(value))),
  fc
    .constantFrom(
      '{"__proto__":{"id":1}}',
      '{"constructor":{"prototype":{"id":1}}}',
      '{"id":1,"id":2,"address":"10.0.0.1:80"}',
      '[',
      '[['.repeat(4_000),
      `{"id":${'9'.repeat(400)},"address":"10.0.0.1:80"}`,
      '{"id":1e999,"address":"10.0.0.1:80"}',
      `"${'x'.repeat(17_000)}"`,
      '\ufeff{}',
    )
    .map((text) => Buffer.from(text)),
);
const someHeaders = fc.record(
  {
    'content-type': fc.constantFrom(
      'application/json',
      'application/json; charset=utf-16',
      'text/plain',
      'application/json;',
      'x',
      '',
    ),
    authorization: fc.string({ unit: 'grapheme-ascii', maxLength: 30 }),
    accept: fc.constantFrom('*/*', 'text/html', ''),
    'accept-encoding': fc.constantFrom('gzip', 'x'),
    'if-none-match': fc.constant('*'),
    range: fc.constant('bytes=0-1'),
    expect: fc.constant('100-continue'),
    'x-forwarded-for': fc.constant('127.0.0.1'),
    'x-http-method-override': fc.constant('DELETE'),
    cookie: fc.constant(`sid=${marked}`),
  },
  { requiredKeys: [] },
);

function stringify(value: unknown): string {
  try {
    return JSON.stringify(value) ?? '';
  } catch {
    return ''; // what fc.anything makes is not always JSON
  }
}

const methods = fc.constantFrom(
  'GET',
  'HEAD',
  'PUT',
  'PATCH',
  'POST',
  'DELETE',
  'OPTIONS',
  'TRACE',
  'PROPFIND',
  'SEARCH',
);

const nearlyGood = fc.tuple(
  fc.constantFrom('PUT', 'PATCH', 'DELETE', 'GET'),
  fc.constantFrom('/v1/sessions/a', '/v1/sessions/%F0%9F%98%80', '/v1/backends/a', '/v1/backends/__proto__'),
  fc.constant({ 'content-type': 'application/json' }),
  fc.oneof(
    fc
      .constantFrom('{"backend":"a","ttlMs":1}', '{"id":1,"address":"10.0.0.1:80"}', '{"shed":1}')
      .map((text) => Buffer.from(text)),
    backend.map((value) => Buffer.from(stringify(value))),
  ),
);
const anything = fc.tuple(methods, somePath, someHeaders, someBody);

test('well-formed HTTP, whatever it asks for', async () => {
  const statuses = new Set<number>();
  await fc.assert(
    fc.asyncProperty(fc.oneof(nearlyGood, anything), async ([method, path, headers, body]) => {
      const before = gateway.table.size + gateway.sessions.size;
      const { status, type, text } = await send({ method, path, headers, body });
      statuses.add(status);
      expect(status).toBeGreaterThanOrEqual(200);
      expect(status).toBeLessThan(500);
      if (status >= 400) {
        expect(gateway.table.size + gateway.sessions.size).toBe(before);
        if (method !== 'HEAD') {
          expect(type).toMatch(/^application\/problem\+json/);
          const problem = JSON.parse(text);
          expect(Object.hasOwn(errorCatalogue, problem.code)).toBe(true);
          expect(problem.status).toBe(status);
          expect(text.length).toBeLessThan(4_000);
          // Whatever names a backend may be said again: it is no secret.
          if (!path.startsWith('/v1/backends/')) expect(text).not.toContain(marked);
        }
      } else if (method !== 'PUT' && method !== 'PATCH') {
        expect(gateway.table.size + gateway.sessions.size).toBeLessThanOrEqual(before);
      }
    }),
    runs(1_500),
  );
  // It has got past the surface.
  for (const status of [200, 204, 400, 404, 405, 415]) expect(statuses).toContain(status);
  expect(Object.hasOwn(Object.prototype, 'id')).toBe(false);
  expect(logged).toBe('');
});

const line = fc.oneof(
  fc.constantFrom(
    'GET /v1/status HTTP/1.1',
    'GET / HTTP/1.0',
    'PRI * HTTP/2.0',
    'CONNECT x:80 HTTP/1.1',
    'Host: x',
    'Host: ',
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: gzip, chunked',
    'Transfer-Encoding : chunked',
    'Content-Length: 4',
    'Content-Length: +4',
    'Content-Length: 4, 4',
    'Connection: upgrade',
    'Upgrade: websocket',
    'Expect: 100-continue',
    ' folded',
    '',
    '0',
    'ffffffffffffffff',
    '4;x=y',
  ),
  fc.string({ maxLength: 60 }),
  fc.string({ unit: 'binary', maxLength: 30 }),
);
const bytes = fc.oneof(
  fc.array(line, { maxLength: 12 }).chain((lines) => {
    return fc.constantFrom('\r\n', '\n', '\r').map((end) => Buffer.from(lines.join(end) + end + end, 'latin1'));
  }),
  fc.uint8Array({ maxLength: 2_000 }).map((array) => Buffer.from(array)),
);

/** What comes back for bytes, when the sender has no more to say. */
function exchange(sent: Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    const connection = connect(socketPath);
    let answer = '';
    connection.on('data', (chunk) => {
      answer += chunk.toString('latin1');
    });
    connection.on('error', (error: NodeJS.ErrnoException) => {
      // Cut off while it was still sending.
      if (error.code === 'EPIPE' || error.code === 'ECONNRESET') resolve(answer);
      else reject(error);
    });
    connection.on('close', () => resolve(answer));
    connection.end(sent);
  });
}

test('bytes that are hardly HTTP', async () => {
  await fc.assert(
    fc.asyncProperty(bytes, async (sent) => {
      const answer = await exchange(sent);
      expect(answer).toMatch(/^($|HTTP\/1\.1 [1-4]\d\d )/);
      expect(answer).not.toContain('INTERNAL');
    }),
    runs(800),
  );
  expect(await send({ method: 'GET', path: '/healthz', headers: {}, body: new Uint8Array() })).toMatchObject({
    status: 200,
  });
  expect(gateway.table.size + gateway.sessions.size).toBe(0);
  expect(logged).toBe('');
});
