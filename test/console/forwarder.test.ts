/** The console's files, and who is given them; and what `gateway console` puts before the daemon. */
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createForwarder } from '../../src/gateway/console/forwarder.ts';
import { Console, importMapHash } from '../../src/gateway/console/routes.ts';
import { Admission } from '../../src/gateway/control/admission.ts';
import { type ControlServer, startControl } from '../../src/gateway/control/server.ts';
import { Token } from '../../src/gateway/control/token.ts';
import { createLogger } from '../../src/gateway/log.ts';
import { FakeGateway, fakeStatus } from '../gateway/control/fake-gateway.ts';

const WAIT = { timeout: 60_000 };
const TOKEN = 'SENTINEL-0123456789abcdef0123456789abcdef';
const folder = mkdtempSync(join(tmpdir(), 'console-'));
const socket = join(folder, 'gateway.sock');
const gateway = new FakeGateway();
let logged = '';
const log = createLogger('trace', {
  write(line: string) {
    logged += line;
  },
});
let daemon: ControlServer;
let forwarder: FastifyInstance;
let overTcp: string;
let local: string;

beforeAll(async () => {
  const admission = new Admission(new Token(TOKEN), () => performance.now());
  daemon = await startControl(socket, gateway, log, { http: { host: '127.0.0.1', port: 0, admission } });
  overTcp = `http://127.0.0.1:${daemon.http?.port}`;
  forwarder = createForwarder({ socket, token: new Token(TOKEN), log });
  await forwarder.listen({ host: '127.0.0.1', port: 0 });
  local = `http://127.0.0.1:${(forwarder.server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  await forwarder.close();
  await daemon.close();
  rmSync(folder, { recursive: true });
});

const codeOf = (problem: string): unknown => JSON.parse(problem).code;

const authorized = { headers: { authorization: `Bearer ${TOKEN}` } };

describe.each([
  ['control.http', () => overTcp],
  ['gateway console', () => local],
])('the page, by %s', (_, origin) => {
  test('is given to anyone, with all that it imports, and a policy that allows nothing else', async () => {
    const page = await fetch(`${origin()}/console`);
    expect(page.status).toBe(200);
    const html = await page.text();
    const policy = page.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).toContain(`script-src 'self' '${importMapHash(html)}';`);
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    expect(page.headers.get('set-cookie')).toBeNull();
    const { imports } = JSON.parse(/<script type="importmap">(.*)<\/script>/.exec(html)?.[1] ?? '');
    const named = [...html.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, name]) => name);
    for (const name of [...named, ...Object.values(imports)]) {
      const file = await fetch(new URL(String(name), `${origin()}/`));
      expect([name, file.status]).toEqual([name, 200]);
      expect(file.headers.get('content-type')).toMatch(/^(text\/(javascript|css)|image\/svg)/);
      expect(file.headers.get('x-content-type-options')).toBe('nosniff');
    }
    const again = await fetch(`${origin()}/console`, {
      headers: { 'if-none-match': page.headers.get('etag') ?? '' },
    });
    expect([again.status, await again.text()]).toEqual([304, '']);
  });

  test.each(['/console/', '/console/index.html'])('has one address: %s leads to it', async (path) => {
    const answer = await fetch(`${origin()}${path}`, { redirect: 'manual' });
    expect([answer.status, answer.headers.get('location')]).toEqual([302, '../console']);
    expect((await fetch(`${origin()}${path}`)).url).toBe(`${origin()}/console`);
  });

  test.each([
    '/console/none.js',
    '/console/../v1/status',
    '/console/%2e%2e/routes.ts',
    '/console/lib/',
    '/console/page/main.js',
  ])('nothing else is: %s', async (path) => {
    expect((await fetch(`${origin()}${path}`)).status).toBeOneOf([401, 404]);
  });

  test('has no data without the token', async () => {
    for (const path of ['/v1/status', '/v1/events?stats=true', '/openapi.json', '/metrics']) {
      expect((await fetch(`${origin()}${path}`)).status).toBe(401);
      expect((await fetch(`${origin()}${path}?token=${TOKEN}`)).status).toBe(401);
    }
    const status = await (await fetch(`${origin()}/v1/status`, authorized)).json();
    expect(status).toEqual(fakeStatus());
  });
});

describe('the forwarder', () => {
  test('passes on methods, bodies, refusals and events', async () => {
    const body = JSON.stringify({ id: 1, address: '10.0.0.1:80' });
    const json = { ...authorized.headers, 'content-type': 'application/json' };
    const put = await fetch(`${local}/v1/backends/a%2Fb`, { method: 'PUT', headers: json, body });
    expect(put.status).toBe(200);
    expect([...gateway.table.keys()]).toEqual(['a/b']);
    expect((await fetch(`${local}/v1/backends/a%2Fb`, { method: 'DELETE', ...authorized })).status).toBe(204);
    const refused = await fetch(`${local}/v1/settle`, { method: 'POST', headers: json, body: '{' });
    expect([refused.status, codeOf(await refused.text())]).toEqual([400, 'REQUEST_INVALID']);
    const ending = new AbortController();
    const events = await fetch(`${local}/v1/events?stats=true`, { ...authorized, signal: ending.signal });
    const reader = events.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (!text.includes('event: stats\n')) text += (await reader?.read())?.value ?? '';
    ending.abort();
    await expect.poll(() => gateway.readers.size, WAIT).toBe(0);
    expect(logged).not.toContain('SENTINEL');
  });

  test('lets in who has the token, however many wrong ones came from the same address', async () => {
    const wrong = { headers: { authorization: `Bearer ${TOKEN}x` } };
    for (let i = 0; i < 120; i++) expect((await fetch(`${local}/v1/status`, wrong)).status).toBe(401);
    expect((await fetch(`${local}/v1/status`, authorized)).status).toBe(200);
  });

  test('says that no daemon is there', async () => {
    const alone = createForwarder({ socket: join(folder, 'none.sock'), token: new Token(TOKEN), log });
    const origin = await alone.listen({ host: '127.0.0.1', port: 0 });
    const answer = await fetch(`${origin}/v1/status`, authorized);
    expect([answer.status, codeOf(await answer.text())]).toEqual([503, 'DAEMON_NOT_RUNNING']);
    expect((await fetch(`${origin}/console`)).status).toBe(200);
    await alone.close();
  });
});

test('a page that is changed has another policy', () => {
  expect(importMapHash('<script type="importmap">{"a":1}</script>')).not.toBe(
    importMapHash('<script type="importmap">{"a":2}</script>'),
  );
  expect(new Console().find('routes.ts')).toBeUndefined();
});
