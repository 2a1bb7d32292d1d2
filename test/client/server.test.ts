import { afterEach, describe, expect, it } from 'vitest';
import type { ResolvedHost } from '../../src/client/environment.ts';
import { createLookupClient, type LookupClient } from '../../src/client/lookup-client.ts';
import type { LookupClientOptions } from '../../src/client/options.ts';
import { REOPEN_PAUSE_MS, REPLACE_AFTER } from '../../src/client/server.ts';
import { makeKey } from '../auth/support/keys.ts';
import { GatewayModel } from './fake-gateway.ts';
import { refusal, Simulation } from './simulation.ts';

const KEY = makeKey();
const A = '10.0.0.1';
const B = '10.0.0.2';

let simulation: Simulation;
let client: LookupClient;

function start(hosts: readonly string[], options: Partial<LookupClientOptions> = {}): void {
  const servers = hosts.map((host) => ({ host }));
  client = createLookupClient({ servers, key: KEY, spread: false, ...options }, simulation.environment);
}

function gateway(): GatewayModel {
  return new GatewayModel([KEY]).putBackend(7, '10.1.0.7', 8080).putSession('x', 7);
}

const ask = () => simulation.run(client.lookup('x'));
const stats = (i = 0) => client.stats().servers[i];

afterEach(async () => {
  await simulation.run(client.close());
  expect(simulation.timerCount).toBe(0);
  expect(simulation.openSockets).toBe(0);
});

describe('opening', () => {
  it('makes one socket for each gateway, when the client is made, that does not keep the process', async () => {
    simulation = new Simulation();
    start([A, B]);
    await simulation.pass(0);
    expect(simulation.sockets.map(({ isUnreferenced }) => isUnreferenced)).toEqual([true, true]);
    expect([stats(0), stats(1)]).toMatchObject([
      { server: '10.0.0.1:6464', socket: 'open', opened: 1, lastError: null },
      { server: '10.0.0.2:6464', socket: 'open', opened: 1 },
    ]);
  });

  it('keeps what is asked meanwhile, and sends it then', async () => {
    simulation = new Simulation();
    simulation.place(A, gateway());
    start([A]);
    expect(stats()).toMatchObject({ socket: 'opening' });
    const asked = [client.lookup('x'), client.lookup('x')];
    expect(simulation.sent).toHaveLength(0);
    expect((await simulation.run(Promise.all(asked))).map(({ status }) => status)).toEqual(['FOUND', 'FOUND']);
  });

  it('sends nothing for a lookup that was over before', async () => {
    simulation = new Simulation();
    start([A]);
    const aborter = new AbortController();
    const asked = client.lookup('x', { signal: aborter.signal });
    aborter.abort();
    expect(await asked).toMatchObject({ status: 'UNREACHABLE', reason: 'ABORTED' });
    await simulation.pass(5);
    expect(simulation.sent).toHaveLength(0);
  });

  it('that fails refuses what waits, and is tried again after a pause, not before', async () => {
    simulation = new Simulation();
    simulation.place(A, gateway());
    simulation.openError = new Error('connect ENETUNREACH');
    start([A]);
    expect(await ask()).toMatchObject({ status: 'UNREACHABLE', reason: 'REFUSED', elapsedMs: 0 });
    expect(stats()).toMatchObject({ socket: 'closed', lastError: 'connect ENETUNREACH', opened: 1, refused: 1 });
    simulation.openError = null;
    await simulation.pass(REOPEN_PAUSE_MS - 1);
    expect(await ask()).toMatchObject({ status: 'UNREACHABLE', reason: 'REFUSED', elapsedMs: 0 });
    await simulation.pass(1);
    expect(await ask()).toMatchObject({ status: 'FOUND' });
    expect(stats()).toMatchObject({ socket: 'open', opened: 2 });
    expect(simulation.openSockets).toBe(1);
  });

  it('that fails lets another gateway take over at once', async () => {
    simulation = new Simulation();
    simulation.place(B, gateway());
    start(['nowhere.invalid', B]);
    expect(await ask()).toMatchObject({ status: 'FOUND', server: `${B}:6464`, elapsedMs: 1 });
    expect(stats()).toMatchObject({ socket: 'closed', lastError: 'getaddrinfo ENOTFOUND nowhere.invalid' });
  });

  it('that never comes to an end costs a lookup its time, and keeps nothing', async () => {
    simulation = new Simulation();
    const servers = [{ host: 'slow.example' }];
    const resolve = () => new Promise<never>(() => {});
    client = createLookupClient({ servers, key: KEY }, { ...simulation.environment, resolve });
    for (let i = 0; i < 3; i++) expect(await ask()).toMatchObject({ status: 'UNREACHABLE', reason: 'TIMED_OUT' });
    expect(stats()).toMatchObject({ socket: 'opening', opened: 0, silent: 6 });
  });

  it('is not carried on after close', async () => {
    simulation = new Simulation();
    simulation.names.set('gw.example', A);
    start(['gw.example']);
    await client.close();
    await simulation.pass(10);
    expect(simulation.sockets).toHaveLength(0);
  });

  it('that throws is a failure like others', async () => {
    simulation = new Simulation();
    const createSocket = () => {
      throw new Error('EMFILE');
    };
    client = createLookupClient({ servers: [{ host: A }], key: KEY }, { ...simulation.environment, createSocket });
    expect(await ask()).toMatchObject({ status: 'UNREACHABLE', reason: 'REFUSED' });
    expect(stats()).toMatchObject({ socket: 'closed', lastError: 'EMFILE' });
  });
});

describe('names', () => {
  it('are resolved when the client is made, and once', async () => {
    simulation = new Simulation();
    simulation.names.set('gw.example', A);
    simulation.place(A, gateway());
    start(['gw.example']);
    await simulation.pass(0);
    simulation.names.set('gw.example', B);
    for (let i = 0; i < 3; i++) expect(await ask()).toMatchObject({ status: 'FOUND', server: 'gw.example:6464' });
    expect(simulation.sent.map(({ to }) => to)).toEqual([A, A, A]);
  });

  it('are resolved again once the gateway has been silent for long', async () => {
    simulation = new Simulation();
    simulation.names.set('gw.example', A);
    start(['gw.example']);
    await simulation.pass(REOPEN_PAUSE_MS);
    simulation.names.set('gw.example', B);
    simulation.place(B, gateway());
    for (let i = 0; i < REPLACE_AFTER / 2; i++) expect(await ask()).toMatchObject({ status: 'UNREACHABLE' });
    expect(await ask()).toMatchObject({ status: 'FOUND' });
    expect(simulation.openSockets).toBe(1);
  });

  /** A client that had a gateway's address, which has been refusing for so long that the name is looked up again. */
  async function startLost(resolve: () => Promise<ResolvedHost>): Promise<void> {
    simulation = new Simulation();
    simulation.hosts.set(A, 'refusing');
    let looksUp = (): Promise<ResolvedHost> => Promise.resolve({ address: A, family: 4 });
    const environment = { ...simulation.environment, resolve: () => looksUp() };
    client = createLookupClient({ servers: [{ host: 'gw.example' }], key: KEY }, environment);
    await simulation.pass(REOPEN_PAUSE_MS);
    for (let i = 0; i < REPLACE_AFTER; i++) expect(await ask()).toMatchObject({ reason: 'REFUSED' });
    looksUp = resolve;
    simulation.place(A, gateway());
  }

  it('that can’t be resolved any more keep the address that they had', async () => {
    await startLost(() => Promise.reject(new Error('getaddrinfo EAI_AGAIN gw.example')));
    expect(await ask()).toMatchObject({ status: 'FOUND' });
    expect(stats()).toMatchObject({ socket: 'open', lastError: 'getaddrinfo EAI_AGAIN gw.example' });
    expect(simulation.openSockets).toBe(1);
  });

  it('whose resolving never comes to an end don’t keep tries from the present socket', async () => {
    await startLost(() => new Promise<never>(() => {}));
    for (let i = 0; i < 3; i++) expect(await ask()).toMatchObject({ status: 'FOUND' });
    expect(stats()).toMatchObject({ socket: 'open', opened: 1, silent: 0 });
  });

  it('that are resolved after the gateway has answered again change nothing', async () => {
    const { promise, resolve } = Promise.withResolvers<ResolvedHost>();
    await startLost(() => promise);
    expect(await ask()).toMatchObject({ status: 'FOUND' });
    resolve({ address: B, family: 4 });
    await simulation.pass(REOPEN_PAUSE_MS);
    expect(await ask()).toMatchObject({ status: 'FOUND' });
    expect(stats()).toMatchObject({ opened: 1 });
  });
});

describe('replacing', () => {
  it('that fails goes on over the present socket, with what was asked meanwhile too', async () => {
    simulation = new Simulation();
    simulation.hosts.set(A, 'refusing');
    start([A]);
    await simulation.pass(REOPEN_PAUSE_MS);
    for (let i = 0; i < REPLACE_AFTER; i++) expect(await ask()).toMatchObject({ reason: 'REFUSED' });
    simulation.place(A, gateway());
    simulation.openError = new Error('connect EMFILE');
    expect(await ask()).toMatchObject({ status: 'FOUND' });
    expect(stats()).toMatchObject({ socket: 'open', opened: 2, lastError: 'connect EMFILE' });
    expect(simulation.openSockets).toBe(1);
  });

  it('happens once in a pause at most, however many tries are silent', async () => {
    simulation = new Simulation();
    start([A], { timeoutMs: 2 });
    for (let i = 0; i < 1500; i++) await simulation.run(client.lookup('x'));
    const seconds = Math.ceil((simulation.nowMs - 1000) / REOPEN_PAUSE_MS);
    expect(seconds).toBeGreaterThan(2);
    expect(stats()?.opened).toBeGreaterThan(2);
    expect(stats()?.opened).toBeLessThanOrEqual(seconds + 1);
    expect(simulation.openSockets).toBe(1);
  });

  it('does not happen where replies come', async () => {
    simulation = new Simulation();
    const { model } = simulation.place(A, gateway());
    model.isReady = false;
    start([A]);
    await simulation.pass(REOPEN_PAUSE_MS);
    for (let i = 0; i < REPLACE_AFTER * 3; i++) expect(await ask()).toMatchObject({ status: 'NOT_READY' });
    expect(stats()).toMatchObject({ opened: 1 });
  });

  it('leaves tries of the old socket to their time-outs, and ignores what still comes there', async () => {
    simulation = new Simulation();
    start([A], { timeoutMs: 20, tryTimeoutMs: 20 });
    await simulation.pass(REOPEN_PAUSE_MS);
    for (let i = 0; i < REPLACE_AFTER - 1; i++) await ask();
    const old = simulation.sockets[0];
    const first = client.lookup('x');
    await simulation.pass(10);
    const early = client.lookup('x');
    await simulation.pass(10);
    expect(await first).toMatchObject({ reason: 'TIMED_OUT' });
    const late = client.lookup('x');
    await simulation.pass(1);
    expect(simulation.sockets).toHaveLength(2);
    expect(client.stats().inFlight).toBe(2);
    expect(simulation.sent).toHaveLength(REPLACE_AFTER + 2);
    old?.emit('message', Buffer.alloc(80));
    old?.emit('error', new Error('late'));
    expect(await simulation.run(early)).toMatchObject({ reason: 'TIMED_OUT' });
    expect(await simulation.run(late)).toMatchObject({ reason: 'TIMED_OUT' });
    expect(stats()).toMatchObject({ lastError: null, ignored: 0, socket: 'open' });
  });
});

describe('sending', () => {
  it('that fails lets another gateway take over at once', async () => {
    simulation = new Simulation();
    start([A, B]);
    await simulation.pass(0);
    simulation.sendError = Object.assign(new Error('send EPERM'), { code: 'EPERM' });
    expect(await ask()).toMatchObject({ status: 'UNREACHABLE', reason: 'REFUSED', elapsedMs: 0 });
    expect([stats(0), stats(1)]).toMatchObject([
      { refused: 1, lastError: 'send EPERM', standing: 'failing', socket: 'open' },
      { refused: 1, lastError: 'send EPERM', standing: 'failing', socket: 'open' },
    ]);
  });

  it('that failed is not held against the same try again by an error of the socket', async () => {
    simulation = new Simulation();
    simulation.place(B, gateway(), 5);
    start([A, B]);
    await simulation.pass(0);
    simulation.sendError = Object.assign(new Error('send EPERM'), { code: 'EPERM' });
    const asked = client.lookup('x');
    simulation.sendError = null;
    await simulation.pass(1);
    simulation.sockets[0]?.emit('error', refusal());
    expect(await simulation.run(asked)).toMatchObject({ status: 'FOUND', server: `${B}:6464` });
    expect(stats()).toMatchObject({ refused: 1, lastError: 'recvmsg ECONNREFUSED' });
  });

  it('is done once more where it reports the refusal of an earlier datagram', async () => {
    simulation = new Simulation();
    simulation.place(A, gateway());
    start([A]);
    await simulation.pass(0);
    simulation.sendError = refusal();
    const asked = client.lookup('x');
    // The first attempt has failed; the second goes out.
    simulation.sendError = null;
    expect(await simulation.run(asked)).toMatchObject({ status: 'FOUND' });
    expect(stats()).toMatchObject({ refused: 0, tries: 1 });
  });

  it('is not done a third time', async () => {
    simulation = new Simulation();
    start([A]);
    await simulation.pass(0);
    simulation.sendError = refusal();
    expect(await ask()).toMatchObject({ status: 'UNREACHABLE', reason: 'REFUSED', elapsedMs: 0 });
  });
});

it('takes an error of the socket to mean every try that waits', async () => {
  simulation = new Simulation();
  simulation.place(B, gateway());
  start([A, B]);
  await simulation.pass(0);
  const asked = Array.from({ length: 50 }, () => client.lookup('x'));
  simulation.sockets[0]?.emit('error', refusal());
  simulation.sockets[0]?.emit('error', refusal());
  const results = await simulation.run(Promise.all(asked));
  expect(results.every(({ server, elapsedMs }) => server === `${B}:6464` && elapsedMs === 1)).toBe(true);
  expect(stats()).toMatchObject({ refused: 50, silent: 0, opened: 1, socket: 'open' });
});

it('takes a reply only from the gateway that was asked', async () => {
  simulation = new Simulation();
  start([A, B]);
  await simulation.pass(0);
  const { model } = simulation.place(A, gateway(), 5);
  const asked = client.lookup('x');
  const reply = model.answer(model.requests[0] ?? new Uint8Array(), 1_800_000_001_000);
  simulation.sockets[1]?.emit('message', Buffer.from(reply ?? []));
  expect(stats(1)).toMatchObject({ ignored: 1, replies: 0 });
  expect(await simulation.run(asked)).toMatchObject({ server: `${A}:6464`, elapsedMs: 5 });
});

it('takes a reply that has no answer once', async () => {
  simulation = new Simulation();
  start([A, B]);
  await simulation.pass(0);
  const { model } = simulation.place(A, gateway(), 1000);
  model.isReady = false;
  simulation.place(B, gateway(), 5);
  const asked = client.lookup('x');
  const reply = Buffer.from(model.answer(model.requests[0] ?? new Uint8Array(), 1_800_000_001_000) ?? []);
  for (let i = 0; i < 3; i++) simulation.sockets[0]?.emit('message', reply);
  expect(stats()).toMatchObject({ replies: 1, ignored: 2 });
  expect(await simulation.run(asked)).toMatchObject({ status: 'FOUND', server: `${B}:6464`, elapsedMs: 5 });
});
