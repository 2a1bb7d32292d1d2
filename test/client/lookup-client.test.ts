import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Flag, Status } from '../../src/abi.ts';
import { NEVER } from '../../src/auth/header.ts';
import { Key } from '../../src/auth/keyring.ts';
import { createLookupClient, type LookupClient } from '../../src/client/lookup-client.ts';
import type { LookupClientOptions } from '../../src/client/options.ts';
import { makeKey, SECRET_HEX } from '../auth/support/keys.ts';
import { FakeGateway, mappedAddress, refusedAddress } from './fake-gateway.ts';

const KEY = makeKey();
const gateways: FakeGateway[] = [];
const clients: LookupClient[] = [];

async function startGateway(keys: readonly Key[] = [KEY], host?: string): Promise<FakeGateway> {
  const gateway = await FakeGateway.start(keys, host);
  gateways.push(gateway);
  gateway.putBackend(7, '10.0.0.11', 8080).putSession('x', 7, { version: 42n });
  return gateway;
}

/** A client with time enough that no machine is too slow for it. */
function startClient(options: Partial<LookupClientOptions> = {}): LookupClient {
  const servers = gateways.map(({ address }) => address);
  const client = createLookupClient({ servers, key: KEY, timeoutMs: 10_000, spread: false, ...options });
  clients.push(client);
  return client;
}

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await Promise.all(gateways.splice(0).map((gateway) => gateway.close()));
});

describe('lookup', () => {
  it('gives all fields of a session that is found', async () => {
    const { address } = await startGateway();
    expect(await startClient().lookup('x')).toEqual({
      status: 'FOUND',
      backend: 7,
      address: '10.0.0.11',
      port: 8080,
      moved: false,
      placed: false,
      stale: false,
      version: 42n,
      ttlSeconds: null,
      ageMs: 0,
      server: `127.0.0.1:${address.port}`,
      elapsedMs: expect.any(Number),
    });
  });

  it('gives the same for raw bytes as for text', async () => {
    const gateway = await startGateway();
    gateway.putSession('ünïcode', 7).putSession(Uint8Array.of(0xff, 0), 7);
    const client = startClient();
    expect(await client.lookup(new TextEncoder().encode('ünïcode'))).toMatchObject({ status: 'FOUND' });
    expect(await client.lookup('ünïcode')).toMatchObject({ status: 'FOUND' });
    expect(await client.lookup(Buffer.from([0xff, 0]))).toMatchObject({ status: 'FOUND' });
  });

  it('gives the seconds that are left, rounded up', async () => {
    const gateway = await startGateway();
    gateway.putSession('x', 7, { expiresMs: Date.now() + 3_600_000 });
    const { ttlSeconds } = await startClient().lookup('x');
    expect(ttlSeconds).toBeGreaterThan(3500);
    expect(ttlSeconds).toBeLessThanOrEqual(3600);
  });

  it('gives an IPv6 backend without brackets', async () => {
    const gateway = await startGateway();
    gateway.putBackend(7, Uint8Array.from(Buffer.from('20010db8000000000000000000000007', 'hex')), 65_535);
    expect(await startClient().lookup('x')).toMatchObject({ address: '2001:db8::7', port: 65_535 });
  });

  it('gives NOT_FOUND without a backend for a session that nobody knows', async () => {
    await startGateway();
    const nothing = { backend: null, address: null, port: null, version: 0n, ttlSeconds: 0, placed: false };
    expect(await startClient().lookup('y')).toMatchObject({ status: 'NOT_FOUND', ...nothing });
  });

  it('gives NOT_FOUND with the backend of a placement', async () => {
    const gateway = await startGateway();
    const address = mappedAddress('10.0.0.12');
    gateway.override = { flags: Flag.PLACED, backendId: 8, port: 80, address };
    const placed = { backend: 8, address: '10.0.0.12', port: 80, placed: true, version: 0n, ttlSeconds: 0 };
    expect(await startClient().lookup('y')).toMatchObject({ status: 'NOT_FOUND', ...placed });
  });

  it('gives DENIED for a session that is revoked', async () => {
    const gateway = await startGateway();
    gateway.override = { status: Status.DENIED };
    expect(await startClient().lookup('x')).toMatchObject({ status: 'DENIED', backend: null, ttlSeconds: 0 });
  });

  it('gives a moved user, and a last version and time as large as they can be', async () => {
    const gateway = await startGateway();
    const version = 2n ** 64n - 1n;
    gateway.override = { status: Status.FOUND, flags: Flag.MOVED, backendId: 65_535, version, ttlS: NEVER - 1 };
    const result = await startClient().lookup('x');
    expect(result).toMatchObject({ status: 'FOUND', moved: true, backend: 65_535, version, ttlSeconds: NEVER - 1 });
  });

  it('gives NOT_READY with its age, null for never', async () => {
    const gateway = await startGateway();
    gateway.isReady = false;
    gateway.ageMs = null;
    expect(await startClient().lookup('x')).toMatchObject({ status: 'NOT_READY', ageMs: null, backend: null });
  });

  it('gives a stale answer with its age, null for never', async () => {
    const gateway = await startGateway();
    gateway.ageMs = null;
    expect(await startClient().lookup('x')).toMatchObject({ status: 'FOUND', stale: true, ageMs: null });
  });

  it('gives CLOCK_SKEW with the difference', async () => {
    const gateway = await startGateway();
    gateway.clockErrorMs = -600_000;
    const result = await startClient().lookup('x');
    if (result.status !== 'CLOCK_SKEW') throw new Error(`found ${result.status}`);
    expect(Math.abs(result.skewMs + 600_000)).toBeLessThan(10_000);
    expect(result.server).toContain('127.0.0.1:');
  });

  it('gives UNREACHABLE where no gateway answers in time', async () => {
    const gateway = await startGateway();
    gateway.handle = () => {};
    const result = await startClient({ timeoutMs: 30 }).lookup('x');
    expect(result).toEqual({
      status: 'UNREACHABLE',
      reason: 'TIMED_OUT',
      backend: null,
      address: null,
      port: null,
      moved: false,
      placed: false,
      stale: false,
      version: 0n,
      ttlSeconds: 0,
      ageMs: null,
      server: null,
      elapsedMs: expect.any(Number),
    });
    expect(result.elapsedMs).toBeGreaterThanOrEqual(30);
  });

  it('gives UNREACHABLE, long before its time-out, where every port refuses', async () => {
    const servers = [refusedAddress(), refusedAddress()];
    const client = startClient({ servers, timeoutMs: 60_000 });
    expect(await client.lookup('x')).toMatchObject({ status: 'UNREACHABLE', reason: 'REFUSED' });
    expect(client.stats().servers.map(({ refused }) => refused)).toEqual([1, 1]);
    expect(client.stats().servers[0]?.lastError).toContain('ECONNREFUSED');
  });

  it('goes on to the next gateway, long before its time-out, where a port refuses', async () => {
    await startGateway();
    const servers = [refusedAddress(), ...gateways.map(({ address }) => address)];
    const client = startClient({ servers, timeoutMs: 60_000 });
    for (let i = 0; i < 5; i++) expect(await client.lookup('x')).toMatchObject({ status: 'FOUND' });
    const [refusing, answering] = client.stats().servers;
    expect(refusing?.tries).toBeGreaterThan(0);
    expect(refusing?.refused).toBe(refusing?.tries);
    expect(answering).toMatchObject({ tries: 5, replies: 5 });
  });

  it('finds a gateway again that was gone', async () => {
    const { host, port } = refusedAddress();
    const client = startClient({ servers: [{ host, port }] });
    expect(await client.lookup('x')).toMatchObject({ status: 'UNREACHABLE', reason: 'REFUSED' });
    const back = await FakeGateway.start([KEY], host, port);
    gateways.push(back);
    expect(await client.lookup('x')).toMatchObject({ status: 'NOT_FOUND' });
  });

  it('asks by name', async () => {
    const { address } = await startGateway();
    const servers = [{ host: 'localhost', port: address.port }];
    const resolve = async () => ({ address: '127.0.0.1', family: 4 as const });
    const client = createLookupClient({ servers, key: KEY, timeoutMs: 10_000 }, { resolve });
    clients.push(client);
    expect(await client.lookup('x')).toMatchObject({ status: 'FOUND', server: `localhost:${address.port}` });
  });

  it('asks over IPv6', async () => {
    const { address } = await startGateway([KEY], '::1');
    expect(await startClient().lookup('x')).toMatchObject({ status: 'FOUND', server: `[::1]:${address.port}` });
  });
});

describe.each([
  ['hmac-sha256', false],
  ['hmac-sha256', true],
  ['blake2s', false],
  ['blake2s', true],
] as const)('a key of suite %s, encrypted replies %s', (suite, encrypt) => {
  const key = makeKey({ id: 9, suite, encrypt });
  let gateway: FakeGateway;
  let client: LookupClient;

  beforeEach(async () => {
    gateway = await startGateway([key]);
    client = startClient({ key: { id: 9, secret: SECRET_HEX, suite, encrypt } });
  });

  it('asks LOOKUP', async () => {
    expect(await client.lookup('x')).toMatchObject({ status: 'FOUND', backend: 7, version: 42n });
  });

  it('asks FACT', async () => {
    gateway.putFact('dataset', 'v12', 5n);
    const result = await client.fact('dataset');
    expect(result).toMatchObject({ status: 'FOUND', version: 5n, stale: false, ageMs: 0 });
    expect(new TextDecoder().decode(result.value ?? undefined)).toBe('v12');
  });

  it('asks BATCH', async () => {
    const result = await client.batch(['x', 'y']);
    expect(result).toMatchObject({ status: 'ANSWERED', entries: [{ status: 'FOUND' }, { status: 'NOT_FOUND' }] });
  });
});

describe('fact', () => {
  it('gives NOT_FOUND without a value, and an empty value as one', async () => {
    const gateway = await startGateway();
    gateway.putFact('empty', '', 6n).putFact('full', 'x'.repeat(24), 7n);
    const client = startClient();
    expect(await client.fact('none')).toMatchObject({ status: 'NOT_FOUND', value: null, version: 0n });
    expect(await client.fact('empty')).toMatchObject({ status: 'FOUND', value: new Uint8Array(0), version: 6n });
    expect((await client.fact('full')).value).toHaveLength(24);
  });

  it('says that it is stale, where the gateway is, and what else has no answer', async () => {
    const gateway = await startGateway();
    const client = startClient();
    gateway.ageMs = 20_000;
    expect(await client.fact('none')).toMatchObject({ status: 'NOT_FOUND', stale: true, ageMs: 20_000 });
    gateway.isReady = false;
    expect(await client.fact('none')).toMatchObject({ status: 'NOT_READY', value: null, version: 0n });
    gateway.clockErrorMs = 100_000;
    expect(await client.fact('none')).toMatchObject({ status: 'CLOCK_SKEW', skewMs: expect.any(Number), value: null });
    gateway.handle = () => {};
    const hasty = startClient({ timeoutMs: 20 });
    expect(await hasty.fact('none')).toMatchObject({ status: 'UNREACHABLE', reason: 'TIMED_OUT', value: null });
  });
});

describe('batch', () => {
  it('gives an entry for each id, in their order', async () => {
    const gateway = await startGateway();
    gateway.putBackend(8, '10.0.0.12', 8080).putSession('z', 8, { version: 9n });
    const { entries, ...rest } = await startClient().batch(['z', 'y', 'x', 'z']);
    expect(rest).toEqual({ status: 'ANSWERED', server: expect.any(String), ageMs: 0, elapsedMs: expect.any(Number) });
    const known = { moved: false, placed: false, stale: false };
    const z = { status: 'FOUND', backend: 8, version: 9n, ttlSeconds: null, ...known };
    expect(entries).toEqual([
      z,
      { status: 'NOT_FOUND', backend: null, version: 0n, ttlSeconds: 0, ...known },
      { status: 'FOUND', backend: 7, version: 42n, ttlSeconds: null, ...known },
      z,
    ]);
  });

  it('takes from 1 to 64 ids', async () => {
    await startGateway();
    const client = startClient();
    const ids = Array.from({ length: 64 }, (_, i) => (i === 63 ? 'x' : `${i}`));
    const result = await client.batch(ids);
    expect(result.entries).toHaveLength(64);
    expect(result.entries[63]).toMatchObject({ backend: 7 });
    expect((await client.batch(['x'])).entries).toHaveLength(1);
    await expect(client.batch([])).rejects.toThrow(RangeError);
    await expect(client.batch([...ids, 'x'])).rejects.toThrow('sessionIds.length: found 65');
  });

  it('has no entries where there is no answer', async () => {
    const gateway = await startGateway();
    const client = startClient();
    gateway.isReady = false;
    expect(await client.batch(['x', 'y'])).toMatchObject({ status: 'NOT_READY', entries: [] });
    gateway.clockErrorMs = 100_000;
    expect(await client.batch(['x', 'y'])).toMatchObject({ status: 'CLOCK_SKEW', entries: [] });
    gateway.handle = () => {};
    expect(await startClient({ timeoutMs: 20 }).batch(['x'])).toMatchObject({ status: 'UNREACHABLE', entries: [] });
  });

  it('that is stale goes on to a gateway that is not', async () => {
    const gateway = await startGateway();
    gateway.ageMs = 20_000;
    await startGateway();
    const result = await startClient().batch(['y', 'x']);
    expect(result).toMatchObject({ status: 'ANSWERED', entries: [{ stale: false }, { stale: false }], ageMs: 0 });
    expect(gateway.requests).toHaveLength(1);
  });
});

describe('lookupCookie', () => {
  it('asks for the session id inside', async () => {
    await startGateway();
    const client = startClient({ cookieTransform: 'express' });
    expect(await client.lookupCookie('s%3Ax.signature')).toMatchObject({ status: 'FOUND', backend: 7 });
  });

  it.each([undefined, '', 's%3Ax', '%'])('gives NO_SESSION for %j and asks nobody', async (value) => {
    const gateway = await startGateway();
    const client = startClient({ cookieTransform: 'express' });
    const nothing = { backend: null, port: null, server: null, version: 0n, ttlSeconds: 0, elapsedMs: 0 };
    expect(await client.lookupCookie(value)).toMatchObject({ status: 'NO_SESSION', ...nothing });
    expect(gateway.requests).toHaveLength(0);
    expect(client.stats().outcomes.ANSWER).toBe(0);
  });

  it('uses raw where nothing is said, base64, or a function', async () => {
    await startGateway();
    expect(await startClient().lookupCookie('x')).toMatchObject({ status: 'FOUND' });
    expect(await startClient({ cookieTransform: 'base64' }).lookupCookie('eA%3D%3D')).toMatchObject({
      status: 'FOUND',
    });
    const client = startClient({ cookieTransform: (value) => value.split('--')[1] });
    expect(await client.lookupCookie('v1--x')).toMatchObject({ status: 'FOUND' });
    expect(await client.lookupCookie('v1')).toMatchObject({ status: 'NO_SESSION' });
  });
});

describe('a mistake of the caller rejects', () => {
  it.each([
    ['lookup', 5, 'sessionId: found number'],
    ['lookup', undefined, 'sessionId: found undefined'],
    ['lookupCookie', 5, 'cookieValue: found number'],
    ['batch', 'x', 'sessionIds: found string'],
    ['batch', [5], 'sessionId: found number'],
    ['fact', null, 'name: found object'],
  ] as const)('%s(%j)', async (method, argument, message) => {
    await startGateway();
    const call = startClient()[method] as unknown as (this: LookupClient, argument: unknown) => Promise<unknown>;
    await expect(call.call(clients[0] as LookupClient, argument)).rejects.toThrow(TypeError);
    await expect(call.call(clients[0] as LookupClient, argument)).rejects.toThrow(message);
  });

  it('of options', async () => {
    await startGateway();
    const client = startClient();
    await expect(client.lookup('x', 5 as never)).rejects.toThrow('options: found number, allowed: an object');
    await expect(client.lookup('x', { signal: {} as never })).rejects.toThrow('signal: found object');
    expect(client.stats().inFlight).toBe(0);
  });

  it('whose key was wiped', async () => {
    await startGateway();
    const key = makeKey();
    const client = startClient({ key });
    key.wipe();
    await expect(client.lookup('x')).rejects.toMatchObject({ code: 'KEY_WIPED' });
    expect(client.stats().inFlight).toBe(0);
  });

  it('whose key is wiped between two tries', async () => {
    const gateway = await startGateway();
    const key = makeKey();
    gateway.handle = () => key.wipe();
    await expect(startClient({ key, timeoutMs: 1000, tryTimeoutMs: 20 }).lookup('x')).rejects.toMatchObject({
      code: 'KEY_WIPED',
    });
  });
});

describe('a signal', () => {
  it('ends a lookup under way', async () => {
    const gateway = await startGateway();
    const aborter = new AbortController();
    gateway.handle = () => aborter.abort();
    const client = startClient({ timeoutMs: 60_000 });
    const result = await client.lookup('x', { signal: aborter.signal });
    expect(result).toMatchObject({ status: 'UNREACHABLE', reason: 'ABORTED' });
    expect(client.stats()).toMatchObject({ inFlight: 0, outcomes: { UNREACHABLE: 1 } });
  });

  it('that was given before has nobody asked', async () => {
    const gateway = await startGateway();
    const result = await startClient().lookup('x', { signal: AbortSignal.abort() });
    expect(result).toMatchObject({ status: 'UNREACHABLE', reason: 'ABORTED', elapsedMs: 0 });
    expect(gateway.requests).toHaveLength(0);
  });

  it('is let go of once the lookup is over', async () => {
    await startGateway();
    const { signal } = new AbortController();
    let listeners = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners += 1;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners -= 1;
      remove(...args);
    };
    expect(await startClient().lookup('x', { signal })).toMatchObject({ status: 'FOUND' });
    expect(listeners).toBe(0);
  });
});

describe('maxInFlight', () => {
  it('turns away one lookup too many at once, and takes the next when there is room', async () => {
    const gateway = await startGateway();
    const client = startClient({ maxInFlight: 2 });
    const held: (() => void)[] = [];
    const both = new Promise<void>((resolve) => {
      gateway.handle = ({ reply, send }) => {
        held.push(() => send(reply ?? new Uint8Array()));
        if (held.length === 2) resolve();
      };
    });
    const first = [client.lookup('x'), client.batch(['x'])];
    expect(await client.lookup('x')).toMatchObject({ status: 'UNREACHABLE', reason: 'BUSY', elapsedMs: 0 });
    expect(await client.fact('x')).toMatchObject({ status: 'UNREACHABLE', reason: 'BUSY' });
    expect(client.stats().inFlight).toBe(2);
    await both;
    for (const answer of held) answer();
    expect((await Promise.all(first)).map(({ status }) => status)).toEqual(['FOUND', 'ANSWERED']);
    gateway.handle = ({ reply, send }) => send(reply ?? new Uint8Array());
    expect(await client.lookup('x')).toMatchObject({ status: 'FOUND' });
  });
});

describe('close', () => {
  it('lets lookups under way end, takes no more, and may be called again', async () => {
    const gateway = await startGateway();
    const client = startClient();
    let answer = () => {};
    const asked = new Promise<void>((resolve) => {
      gateway.handle = ({ reply, send }) => {
        answer = () => send(reply ?? new Uint8Array());
        resolve();
      };
    });
    const result = client.lookup('x');
    await asked;
    let isClosed = false;
    const closing = client.close().then(() => {
      isClosed = true;
    });
    await expect(client.lookup('x')).rejects.toThrow(TypeError);
    await expect(client.lookupCookie(undefined)).rejects.toThrow('closed');
    await expect(client.batch(['x'])).rejects.toThrow('closed');
    await expect(client.fact('x')).rejects.toThrow('closed');
    expect(isClosed).toBe(false);
    answer();
    expect(await result).toMatchObject({ status: 'FOUND' });
    await closing;
    await client.close();
    expect(client.stats().servers[0]?.socket).toBe('closed');
  });

  it('comes to an end where nobody answers those under way', async () => {
    const gateway = await startGateway();
    gateway.handle = () => {};
    const client = startClient({ timeoutMs: 40 });
    const results = Array.from({ length: 100 }, () => client.lookup('x'));
    await client.close();
    expect(client.stats().inFlight).toBe(0);
    for (const result of await Promise.all(results)) expect(result.status).toBe('UNREACHABLE');
  });

  it('right after the client was made', async () => {
    await startGateway();
    await startClient().close();
  });

  it('wipes a key that the client made, and leaves a key of the caller as it is', async () => {
    await startGateway();
    const wipe = vi.spyOn(Key.prototype, 'wipe');
    try {
      await startClient().close();
      expect(wipe).not.toHaveBeenCalled();
      await startClient({ key: { id: 1, secret: SECRET_HEX } }).close();
      expect(wipe).toHaveBeenCalledOnce();
    } finally {
      wipe.mockRestore();
    }
  });
});

it('counts what happens', async () => {
  const gateway = await startGateway();
  const client = startClient();
  await client.lookup('x');
  await client.lookup('y');
  gateway.isReady = false;
  await client.lookup('x');
  gateway.handle = ({ reply, send }) => {
    send(Uint8Array.of(1, 2, 3));
    send(reply ?? new Uint8Array());
    send(reply ?? new Uint8Array());
  };
  await client.lookup('x');
  await expect.poll(() => client.stats().servers[0]?.ignored).toBe(2);
  expect(client.stats()).toEqual({
    inFlight: 0,
    outcomes: { ANSWER: 2, CLOCK_SKEW: 0, NOT_READY: 2, UNREACHABLE: 0 },
    hedged: 0,
    keyValid: true,
    servers: [
      {
        server: `127.0.0.1:${gateway.address.port}`,
        socket: 'open',
        standing: expect.stringMatching(/^(failing|good)$/),
        tries: 4,
        replies: 4,
        ignored: 2,
        silent: 0,
        refused: 0,
        opened: 1,
        lastError: null,
      },
    ],
  });
});

it('says that a key is outside its time, to which gateways are silent', async () => {
  const key = makeKey({ notAfterMs: 1 });
  await startGateway([key]);
  const client = startClient({ key, timeoutMs: 20 });
  expect(await client.lookup('x')).toMatchObject({ status: 'UNREACHABLE', reason: 'TIMED_OUT' });
  expect(client.stats().keyValid).toBe(false);
});
