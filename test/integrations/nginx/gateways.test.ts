/**
 * nginx before gateways that are dead, slow, lying, not ready or out of step: every request is served, and the counters say
 * by which way. The gateways are the responder of src/auth on loopback.
 */
import { once } from 'node:events';
import * as fs from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Status } from '../../../src/abi.ts';
import { Key } from '../../../src/auth/keyring.ts';
import { FakeGateway, type Incoming } from '../../client/fake-gateway.ts';
import { counted, keyOf, LoadBalancerHost, PATIENT, servedBy, visit, writeKeyFile } from './host.ts';

/** Where nobody waits for an answer. */
const IMPATIENT = 'timeout_ms = 40';
const A = '127.0.0.11';
const B = '127.0.0.12';
const [AT_A, AT_B] = [`${A}:6464`, `${B}:6464`];
/** Nobody listens there. */
const DEAD = '127.0.0.13:6464';
const PAGES = 12;

const signing = keyOf(1);
const key = new Key(signing.fields, signing.secret);
let host: LoadBalancerHost;
const gateways: FakeGateway[] = [];

beforeAll(async () => {
  host = await LoadBalancerHost.make(`ng-gw-${process.pid}`);
  writeKeyFile(host.keyFile, [signing]);
});
afterAll(() => host?.close());
afterEach(async () => {
  for (const gateway of gateways.splice(0)) await gateway.close();
});

/** A gateway with users user-0 to user-11 on app-1 to app-3 in turn. */
async function gatewayAt(address: string, keys: readonly Key[] = [key]): Promise<FakeGateway> {
  const gateway = await FakeGateway.start(keys, address, 6464);
  gateways.push(gateway);
  for (const id of [1, 2, 3]) gateway.putBackend(id, `127.0.1.${id}`, 8080);
  for (let i = 0; i < PAGES; i++) gateway.putSession(`user-${i}`, 1 + (i % 3));
  return gateway;
}

const everyone = () => Promise.all(Array.from({ length: PAGES }, (_, i) => servedBy(`user-${i}`)));
const atHome = Array.from({ length: PAGES }, (_, i) => `app-${1 + (i % 3)}`);
const byUsual = Array.from({ length: PAGES }, () => 'usual');
const requests = (outcome: string, count = PAGES) => ({ [`requests_total{outcome="${outcome}"}`]: count });

describe('an answer', () => {
  test.each([
    ['hmac-sha256', false],
    ['hmac-sha256', true],
    ['blake2s', false],
    ['blake2s', true],
  ] as const)('under a key of suite %s, encrypted: %s, leads to the backend', async (suite, encrypt) => {
    const other = keyOf(7, { suite, encrypt });
    const keyFile = join(host.directory, 'other-keys.yaml');
    writeKeyFile(keyFile, [other]);
    await gatewayAt(A, [new Key(other.fields, other.secret)]);
    await host.startNginx({ gateways: [AT_A], options: [PATIENT], keyFile });
    expect(await everyone()).toEqual(atHome);
    expect(await counted('requests', 'ignored')).toEqual(requests('found'));
  });

  test('without which a user has no backend leaves the choice to the usual upstream', async () => {
    const gateway = await gatewayAt(A);
    await host.startNginx({ gateways: [AT_A], options: [PATIENT] });
    expect(await servedBy(undefined)).toBe('usual');
    expect(await servedBy('nobody')).toBe('usual');
    gateway.override = { status: Status.FOUND, backendId: 9, port: 0 };
    expect(await servedBy('user-0')).toBe('usual');
    expect(await counted('requests')).toEqual({
      ...requests('no_session', 1),
      ...requests('not_found', 1),
      ...requests('no_address', 1),
    });
  });

  test('that denies ends the request, with the status that is configured', async () => {
    const gateway = await gatewayAt(A);
    gateway.override = { status: Status.DENIED };
    await host.startNginx({ gateways: [AT_A], options: [PATIENT] });
    expect(await servedBy('user-0')).toBe('403');
    await host.startNginx({ gateways: [AT_A], options: [PATIENT, 'denied_status = 451'] });
    expect(await servedBy('user-0')).toBe('451');
    expect(await counted('requests')).toEqual(requests('denied', 1));
    expect(gateway.requests).toHaveLength(2);
  });

  test('with a backend at an IPv6 address leads there', async () => {
    const gateway = await gatewayAt(A);
    gateway.putBackend(4, Uint8Array.from([...new Uint8Array(15), 1]), 8086).putSession('six', 4);
    const http = 'server { listen [::1]:8086; location / { add_header X-Backend six; return 200; } }';
    await host.startNginx({ gateways: [AT_A], options: [PATIENT], http });
    expect(await servedBy('six')).toBe('six');
  });

  test('comes from a gateway at an IPv6 address, too', async () => {
    await gatewayAt('::1');
    await host.startNginx({ gateways: ['[::1]:6464'], options: [PATIENT] });
    expect(await everyone()).toEqual(atHome);
  });
});

describe('where the only gateway', () => {
  test('is dead, everyone is served by the usual upstream', async () => {
    await host.startNginx({ gateways: [DEAD], options: [PATIENT] });
    expect(await everyone()).toEqual(byUsual);
    expect(await counted('requests', 'refused', 'tries')).toEqual({
      ...requests('refused'),
      [`tries_total{gateway="${DEAD}"}`]: PAGES,
      [`refused_total{gateway="${DEAD}"}`]: PAGES,
    });
  });

  test('is silent, everyone is served by the usual upstream', async () => {
    const gateway = await gatewayAt(A);
    gateway.handle = () => undefined;
    await host.startNginx({ gateways: [AT_A], options: [IMPATIENT] });
    expect(await everyone()).toEqual(byUsual);
    expect(await counted('requests')).toEqual(requests('timed_out'));
  });

  test('answers one user with the reply to another, late, it is taken for nobody’s', async () => {
    const gateway = await gatewayAt(A);
    let last: Uint8Array | undefined;
    gateway.handle = ({ reply, send }) => {
      if (last !== undefined) send(last);
      last = reply;
      if (reply !== undefined) send(reply);
    };
    await host.startNginx({ gateways: [AT_A], options: [PATIENT] });
    for (let i = 0; i < PAGES; i++) expect(await servedBy(`user-${i}`)).toBe(atHome[i]);
    expect(await counted('requests', 'ignored')).toEqual({
      ...requests('found'),
      [`ignored_total{gateway="${AT_A}"}`]: PAGES - 1,
    });
  });

  test('is slow, the reply to the first try counts during the second', async () => {
    const gateway = await gatewayAt(A);
    const waiting = new Map<string, Incoming>();
    // Answers nothing but the first request of each session, once the second has come.
    gateway.handle = (incoming) => {
      const session = Buffer.from(incoming.datagram.subarray(24, 40)).toString('hex');
      const first = waiting.get(session);
      if (first === undefined) waiting.set(session, incoming);
      else if (first.reply !== undefined) incoming.send(first.reply);
    };
    await host.startNginx({ gateways: [AT_A], options: [PATIENT, 'try_timeout_ms = 20'] });
    expect(await everyone()).toEqual(atHome);
    expect(await counted('requests', 'ignored')).toEqual(requests('found'));
  });

  test('lies, its lies change nothing', async () => {
    const gateway = await gatewayAt(A);
    gateway.handle = ({ datagram, reply, send }) => {
      for (const lie of liesAbout(datagram, reply ?? datagram)) send(lie);
    };
    await host.startNginx({ gateways: [AT_A], options: [IMPATIENT] });
    expect(await everyone()).toEqual(byUsual);
    const { [`ignored_total{gateway="${AT_A}"}`]: ignored = 0, ...others } = await counted('requests', 'ignored');
    expect(others).toEqual(requests('timed_out'));
    expect(ignored).toBeGreaterThan(0);
  });

  test('is lied for, the truth that comes after the lies is found', async () => {
    const gateway = await gatewayAt(A);
    gateway.handle = ({ datagram, reply, send }) => {
      for (const lie of liesAbout(datagram, reply ?? datagram)) send(lie);
      if (reply !== undefined) send(reply);
    };
    await host.startNginx({ gateways: [AT_A], options: [PATIENT] });
    expect(await everyone()).toEqual(atHome);
    expect(await counted('requests', 'ignored')).toEqual({
      ...requests('found'),
      [`ignored_total{gateway="${AT_A}"}`]: PAGES * LIES,
    });
  });

  test.each([
    ['is not ready', 'not_ready', (gateway: FakeGateway) => Object.assign(gateway, { isReady: false })],
    ['has another clock', 'clock_skew', (gateway: FakeGateway) => Object.assign(gateway, { clockErrorMs: 60_000 })],
  ])('%s, everyone is served by the usual upstream', async (_, outcome, change) => {
    change(await gatewayAt(A));
    await host.startNginx({ gateways: [AT_A], options: [PATIENT] });
    expect(await everyone()).toEqual(byUsual);
    expect(await counted('requests')).toEqual(requests(outcome));
  });

  test('is out of step, its answers are taken all the same', async () => {
    (await gatewayAt(A)).ageMs = 60_000;
    await host.startNginx({ gateways: [AT_A], options: [PATIENT] });
    expect(await everyone()).toEqual(atHome);
    expect(await counted('requests', 'stale')).toEqual({ ...requests('found'), 'stale_total{kind="lookup"}': PAGES });
  });
});

describe('where one of two gateways', () => {
  test('is dead, the other answers', async () => {
    await gatewayAt(B);
    await host.startNginx({ gateways: [DEAD, AT_B], options: [PATIENT] });
    expect(await everyone()).toEqual(atHome);
    expect(await counted('requests')).toEqual(requests('found'));
  });

  test('is silent, the other answers', async () => {
    (await gatewayAt(A)).handle = () => undefined;
    await gatewayAt(B);
    await host.startNginx({ gateways: [AT_A, AT_B], options: [PATIENT, 'try_timeout_ms = 20'] });
    for (let turn = 0; turn < 10; turn++) expect(await everyone()).toEqual(atHome);
    expect(await counted('requests')).toEqual(requests('found', 10 * PAGES));
    // Half of the requests would have begun with it; it is asked last for a while after each failure.
    const silent = (await counted('silent'))[`silent_total{gateway="${AT_A}"}`] ?? 0;
    expect(silent).toBeGreaterThan(0);
    expect(silent).toBeLessThan(5 * PAGES);
  });

  test('dies, and comes back, it is asked again', async () => {
    const first = await gatewayAt(A);
    await gatewayAt(B);
    await host.startNginx({ gateways: [AT_A, AT_B], options: [PATIENT, 'try_timeout_ms = 20', 'spread = false'] });
    expect(await everyone()).toEqual(atHome);
    const handle = first.handle;
    first.handle = () => undefined;
    expect(await everyone()).toEqual(atHome);
    first.handle = handle;
    const repliesOf = async () => (await counted('replies'))[`replies_total{gateway="${AT_A}"}`] ?? 0;
    const before = await repliesOf();
    const deadline = performance.now() + 60_000;
    while ((await repliesOf()) === before && performance.now() < deadline) await everyone();
    expect(await repliesOf()).toBeGreaterThan(before);
    const { [`requests_total{outcome="found"}`]: found, ...others } = await counted('requests');
    expect(others).toEqual({});
    expect(found).toBeGreaterThan(2 * PAGES);
  });

  test.each([
    ['is not ready', (gateway: FakeGateway) => Object.assign(gateway, { isReady: false })],
    ['has another clock', (gateway: FakeGateway) => Object.assign(gateway, { clockErrorMs: 60_000 })],
    ['is out of step', (gateway: FakeGateway) => Object.assign(gateway, { ageMs: null })],
  ])('%s, the other answers', async (_, change) => {
    const first = await gatewayAt(A);
    change(first);
    // Whoever takes what the first one says has gone wrong.
    for (let i = 0; i < PAGES; i++) first.putSession(`user-${i}`, 1 + ((i + 1) % 3));
    await gatewayAt(B);
    await host.startNginx({ gateways: [AT_A, AT_B], options: [PATIENT] });
    expect(await everyone()).toEqual(atHome);
    expect(await counted('requests', 'stale')).toEqual(requests('found'));
  });

  test('is out of step and the other more so, the fresher answer is taken', async () => {
    const [first, second] = [await gatewayAt(A), await gatewayAt(B)];
    first.ageMs = 90_000;
    second.ageMs = 60_000;
    for (let i = 0; i < PAGES; i++) first.putSession(`user-${i}`, 1 + ((i + 1) % 3));
    await host.startNginx({ gateways: [AT_A, AT_B], options: [PATIENT, 'spread = false'] });
    expect(await servedBy('user-0')).toBe('app-1');
  });
});

describe('options', () => {
  test('a cache asks once for what it was told, for no longer than it may, and not for who wasn’t found', async () => {
    const gateway = await gatewayAt(A);
    await host.startNginx({ gateways: [AT_A], options: [PATIENT, 'cache_seconds = 60', 'cache_entries = 100'] });
    for (let i = 0; i < 3; i++) expect(await servedBy('user-1')).toBe('app-2');
    expect(gateway.requests).toHaveLength(1);
    for (let i = 0; i < 3; i++) expect(await servedBy('nobody')).toBe('usual');
    expect(gateway.requests).toHaveLength(4);
    gateway.ageMs = null;
    for (let i = 0; i < 3; i++) expect(await servedBy('user-2')).toBe('app-3');
    expect(gateway.requests).toHaveLength(7);
    gateway.ageMs = 0;
    gateway.putSession('user-3', 1, { expiresMs: Date.now() + 1_500 });
    expect(await servedBy('user-3')).toBe('app-1');
    gateway.putSession('user-3', 2);
    const deadline = performance.now() + 60_000;
    while ((await servedBy('user-3')) === 'app-1' && performance.now() < deadline);
    expect(await servedBy('user-3')).toBe('app-2');
    expect(await counted('requests{', 'cached')).toMatchObject({ 'cached_total{kind="lookup"}': expect.any(Number) });
  });

  test('spares take the requests of a backend that takes no connection', async () => {
    const gateway = await gatewayAt(A);
    gateway.putBackend(4, '127.0.1.4', 8080).putSession('lost', 4);
    const spares = 'spares = { "127.0.1.4:8080", "127.0.1.3:8080" }';
    await host.startNginx({ gateways: [AT_A], options: [PATIENT, spares] });
    expect(await servedBy('lost')).toBe('app-3');
    expect(await servedBy('user-0')).toBe('app-1');
    expect(await counted('spares', 'requests')).toEqual({ ...requests('found', 2), spares_total: 1 });
    await host.startNginx({ gateways: [AT_A], options: [PATIENT] });
    expect(await servedBy('lost')).toBe('502');
  });

  test('a kept connection that the backend has closed meanwhile costs nobody a request, nor sends them to a spare', async () => {
    let closed = 0;
    const closing = createServer((socket) => {
      let answered = false;
      socket.on('error', () => undefined);
      socket.on('data', () => {
        if (answered) {
          closed += 1;
          socket.destroy();
        } else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Backend: closing\r\n\r\n');
        answered = true;
      });
    });
    closing.listen(8080, '127.0.1.5');
    await once(closing, 'listening');
    try {
      const gateway = await gatewayAt(A);
      gateway.putBackend(5, '127.0.1.5', 8080).putSession('kept', 5);
      for (const options of [[PATIENT], [PATIENT, 'spares = { "127.0.1.3:8080" }']]) {
        await host.startNginx({ gateways: [AT_A], options });
        for (let i = 0; i < 4; i++) expect(await servedBy('kept')).toBe('closing');
        expect(await counted('spares')).toEqual({});
        expect(closed).toBeGreaterThan(0);
        closed = 0;
      }
    } finally {
      closing.close();
    }
  });

  test('facts are asked for where a location does', async () => {
    const gateway = await gatewayAt(A);
    gateway.putFact('epoch', '7', 1n);
    const location = `location = /fact { content_by_lua_block {
      local fact, why = session_gateway:fact(ngx.var.arg_name)
      ngx.print(fact and (fact.status .. " " .. tostring(fact.value) .. " " .. tostring(fact.version)) or why) } }`;
    await host.startNginx({ gateways: [AT_A], options: [PATIENT], server: location });
    expect((await visit(undefined, '/fact?name=epoch')).body).toBe('FOUND 7 1ULL');
    expect((await visit(undefined, '/fact?name=none')).body).toBe('NOT_FOUND nil 0ULL');
    gateway.isReady = false;
    expect((await visit(undefined, '/fact?name=epoch')).body).toBe('not_ready');
    expect(await counted('facts')).toEqual({
      'facts_total{outcome="found"}': 1,
      'facts_total{outcome="not_found"}': 1,
      'facts_total{outcome="not_ready"}': 1,
    });
  });

  test('a function as the transform that fails leaves the choice to the usual upstream', async () => {
    await gatewayAt(A);
    const transform = 'transform = function() error("no such cookie") end';
    const nginx = await host.startNginx({ gateways: [AT_A], options: [PATIENT, transform] });
    expect(await servedBy('user-0')).toBe('usual');
    expect(await counted('requests')).toEqual(requests('failed', 1));
    expect(nginx.log()).toContain('the lookup failed, the request goes on without');
  });
});

describe('an internal redirect, after which ngx.ctx is empty,', () => {
  const ACCESS = 'access_by_lua_block { session_gateway:access() }';
  const LOCATION = `location / {
            ${ACCESS}`;

  test.each([
    ['where only the first location asks', `location / { ${ACCESS} try_files /none @app; } location @app {`],
    ['where every location asks', `${ACCESS} location / { try_files /none @app; } location @app {`],
  ])('leads to the same backend, and nobody is asked again: %s', async (_, changed) => {
    const gateway = await gatewayAt(A);
    await host.startNginx({ gateways: [AT_A], options: [PATIENT] }, (text) => {
      expect(text).toContain(LOCATION);
      return text.replace(LOCATION, changed);
    });
    expect(await everyone()).toEqual(atHome);
    expect(await counted('requests')).toMatchObject(requests('found'));
    expect(gateway.requests).toHaveLength(PAGES);
    expect(await servedBy(undefined)).toBe('usual');
  });
});

describe('what is wrong in the configuration', () => {
  test('no variable for the upstream: the request goes on, and the log says so', async () => {
    await gatewayAt(A);
    const nginx = await host.startNginx({ gateways: [AT_A], options: [PATIENT] }, (text) =>
      text.replace(/set \$session_gateway_upstream.*/, '').replaceAll('$session_gateway_upstream', 'usual'),
    );
    expect(await servedBy('user-0')).toBe('usual');
    expect(nginx.log()).toContain('found no variable $session_gateway_upstream');
  });

  test.each([
    ['timeout_ms = 0', 'timeout_ms: found 0, allowed: an integer from 1 to 60000'],
    ['try_timeout_ms = 30', 'try_timeout_ms: found 30, allowed: an integer from 1 to 20'],
    ['denied_status = 200', 'denied_status: found 200, allowed: an integer from 400 to 599'],
    ['cache_seconds = -1', 'cache_seconds: found -1, allowed: a number from 0 to 60'],
    ['spares = { "backend:80" }', 'spares[1]: found "backend:80", allowed: IP:port, IPv6 in brackets'],
    ['colour = "red"', 'options: found "colour", allowed: gateways, keys'],
    ['key = 2', 'key: found 2, allowed: one of those in'],
    ['counters = "none"', 'counters: found no lua_shared_dict none'],
    ['spread = 1', 'spread: found 1, allowed: true or false'],
  ])('%s: nginx does not start, and says why', async (option, problem) => {
    await expect(host.startNginx({ gateways: [AT_A], options: [option] })).rejects.toThrow(problem);
  });

  test.each([['gateway.example:6464'], ['10.0.0.256'], ['192.0.2.1:0'], ['2001:db8::1:6464']])(
    'gateway %s: nginx does not start',
    async (gateway) => {
      await expect(host.startNginx({ gateways: [gateway] })).rejects.toThrow('gateways[1]: found');
    },
  );

  test('a key file that others can read, at a reload: the old workers go on', async () => {
    await gatewayAt(A);
    const nginx = await host.startNginx({ gateways: [AT_A], options: [PATIENT] });
    fs.chmodSync(host.keyFile, 0o604);
    try {
      nginx.signalReload();
      const deadline = performance.now() + 60_000;
      while (!nginx.log().includes('allowed: no access for others')) {
        expect(performance.now()).toBeLessThan(deadline);
        expect(await everyone()).toEqual(atHome);
      }
      expect(await everyone()).toEqual(atHome);
      expect(nginx.log()).not.toContain(Buffer.from(signing.secret).toString('hex').slice(0, 8));
    } finally {
      fs.chmodSync(host.keyFile, 0o600);
    }
  });
});

const LIES = 5;

/** What comes to the port that asked, and isn't the reply. */
function liesAbout(datagram: Uint8Array, truth: Uint8Array): Uint8Array[] {
  const changed = (at: number): Uint8Array => truth.map((byte, i) => (i === at ? byte ^ 1 : byte));
  // All that one can make without the key.
  const forged = Uint8Array.from([
    ...datagram.subarray(0, 3),
    0x81,
    ...datagram.subarray(4, 24),
    ...new Uint8Array(56),
  ]);
  return [changed(31), changed(16), changed(79), truth.subarray(0, 79), forged];
}
