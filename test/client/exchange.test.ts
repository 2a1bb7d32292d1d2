import { afterEach, describe, expect, it } from 'vitest';
import { Flag, Status } from '../../src/abi.ts';
import { createLookupClient, type LookupClient } from '../../src/client/lookup-client.ts';
import type { LookupClientOptions } from '../../src/client/options.ts';
import { makeKey } from '../auth/support/keys.ts';
import { GatewayModel } from './fake-gateway.ts';
import { EPOCH_MS, Simulation } from './simulation.ts';

const KEY = makeKey();
const A = '10.0.0.1';
const B = '10.0.0.2';
const C = '10.0.0.3';
const D = '10.0.0.4';

let simulation: Simulation;
let client: LookupClient;

/** A client of gateways at these addresses, its sockets open. */
async function start(hosts: readonly string[], options: Partial<LookupClientOptions> = {}): Promise<void> {
  simulation = new Simulation();
  const servers = hosts.map((host) => ({ host }));
  client = createLookupClient({ servers, key: KEY, spread: false, ...options }, simulation.environment);
  await simulation.pass(0);
}

/** A gateway that places session `x` on this backend. */
function gateway(backendId: number): GatewayModel {
  return new GatewayModel([KEY]).putBackend(backendId, `10.1.0.${backendId}`, 8080).putSession('x', backendId);
}

const ask = () => simulation.run(client.lookup('x'));
const tries = () => simulation.sent.map(({ to, atMs }) => [to, atMs]);

afterEach(async () => {
  await simulation.run(client.close());
  expect(simulation.timerCount).toBe(0);
  expect(simulation.openSockets).toBe(0);
});

describe('one gateway', () => {
  it('is asked once where it answers', async () => {
    await start([A]);
    simulation.place(A, gateway(7), 4);
    expect(await ask()).toMatchObject({ status: 'FOUND', backend: 7, server: `${A}:6464`, elapsedMs: 4 });
    expect(tries()).toEqual([[A, 0]]);
  });

  it('is asked again, with another time and nonce, where it was silent, and never a third time', async () => {
    await start([A], { tryTimeoutMs: 5 });
    const model = gateway(7);
    simulation.place(A, model, 1000);
    expect(await ask()).toMatchObject({ status: 'UNREACHABLE', reason: 'TIMED_OUT', server: null, elapsedMs: 20 });
    expect(tries()).toEqual([
      [A, 0],
      [A, 5],
    ]);
    const [first, second] = model.requests.map((bytes) => Buffer.from(bytes));
    expect(first?.readBigUInt64BE(8)).toBe(BigInt(EPOCH_MS + 1000));
    expect(second?.readBigUInt64BE(8)).toBe(BigInt(EPOCH_MS + 1005));
    expect(first?.subarray(16, 24)).not.toEqual(second?.subarray(16, 24));
    expect(first?.subarray(40, 56)).not.toEqual(second?.subarray(40, 56));
  });

  it('still counts where its reply comes after the time of a try and within that of the lookup', async () => {
    await start([A], { tryTimeoutMs: 5 });
    simulation.place(A, gateway(7), 19);
    expect(await ask()).toMatchObject({ status: 'FOUND', elapsedMs: 19 });
  });

  it('is given up at once where nobody listens', async () => {
    await start([A]);
    simulation.hosts.set(A, 'refusing');
    expect(await ask()).toMatchObject({ status: 'UNREACHABLE', reason: 'REFUSED', elapsedMs: 0 });
  });

  it('that is not ready gives NOT_READY at once, and is not asked again', async () => {
    await start([A]);
    simulation.place(A, gateway(7)).model.isReady = false;
    expect(await ask()).toMatchObject({ status: 'NOT_READY', backend: null, server: `${A}:6464`, elapsedMs: 1 });
    expect(tries()).toHaveLength(1);
  });

  it('that is stale answers all the same', async () => {
    await start([A]);
    simulation.place(A, gateway(7)).model.ageMs = 60_000;
    expect(await ask()).toMatchObject({ status: 'FOUND', backend: 7, stale: true, ageMs: 60_000, elapsedMs: 1 });
  });

  it.each([100_000, -100_000])('whose clock is off by %i ms has that reported', async (clockErrorMs) => {
    await start([A]);
    simulation.place(A, gateway(7), 0).model.clockErrorMs = clockErrorMs;
    expect(await ask()).toMatchObject({ status: 'CLOCK_SKEW', skewMs: clockErrorMs, server: `${A}:6464` });
  });

  it('has half of the way there and back taken off the clock difference', async () => {
    await start([A]);
    // The simulated gateway reads its clock when it is sent to: half of the 6 ms before the client thinks so.
    simulation.place(A, gateway(7), 6).model.clockErrorMs = 100_000;
    expect(await ask()).toMatchObject({ status: 'CLOCK_SKEW', skewMs: 99_997 });
  });
});

describe('several gateways', () => {
  it('are asked in turn, each lookup beginning with the next', async () => {
    await start([A, B, C], { spread: true });
    for (const host of [A, B, C]) simulation.place(host, gateway(7), 0);
    for (let i = 0; i < 6; i++) await ask();
    expect(simulation.sent.map(({ to }) => to)).toEqual([A, B, C, A, B, C]);
  });

  it('are asked from the first on where spread is off', async () => {
    await start([A, B]);
    for (const host of [A, B]) simulation.place(host, gateway(7), 0);
    for (let i = 0; i < 3; i++) await ask();
    expect(simulation.sent.map(({ to }) => to)).toEqual([A, A, A]);
  });

  it('all silent end the lookup at its time-out, each asked twice at most', async () => {
    await start([A, B], { tryTimeoutMs: 3 });
    expect(await ask()).toMatchObject({ status: 'UNREACHABLE', reason: 'TIMED_OUT', elapsedMs: 20 });
    expect(tries()).toEqual([
      [A, 0],
      [B, 3],
      [A, 6],
      [B, 9],
    ]);
  });

  it.each([
    [1, [0, 10]],
    [2, [0, 10]],
    [3, [0, 7, 14]],
    [4, [0, 5, 10, 15]],
    [6, [0, 5, 10, 15]],
  ])('of %i in number are by default asked at %j', async (count, at) => {
    await start(Array.from({ length: count }, (_, i) => `10.0.0.${i + 1}`));
    await ask();
    expect(simulation.sent.map(({ atMs }) => atMs)).toEqual(at);
  });

  it('take over from one that is silent', async () => {
    await start([A, B]);
    simulation.place(B, gateway(7));
    expect(await ask()).toMatchObject({ status: 'FOUND', server: `${B}:6464`, elapsedMs: 11 });
  });

  it('take over at once from one that refuses', async () => {
    await start([A, B]);
    simulation.hosts.set(A, 'refusing');
    simulation.place(B, gateway(7));
    expect(await ask()).toMatchObject({ status: 'FOUND', server: `${B}:6464`, elapsedMs: 1 });
  });

  it('take over at once from one that is not ready', async () => {
    await start([A, B]);
    simulation.place(A, gateway(7)).model.isReady = false;
    simulation.place(B, gateway(8));
    expect(await ask()).toMatchObject({ status: 'FOUND', backend: 8, server: `${B}:6464`, elapsedMs: 2 });
  });

  it('take over at once from one whose clock is wrong', async () => {
    await start([A, B]);
    simulation.place(A, gateway(7)).model.clockErrorMs = 60_000;
    simulation.place(B, gateway(8));
    expect(await ask()).toMatchObject({ status: 'FOUND', backend: 8, elapsedMs: 2 });
  });

  it('take over at once from one that is stale', async () => {
    await start([A, B]);
    simulation.place(A, gateway(7)).model.ageMs = 60_000;
    simulation.place(B, gateway(8));
    expect(await ask()).toMatchObject({ status: 'FOUND', backend: 8, stale: false, elapsedMs: 2 });
  });

  it.each([
    ['first', [20_000, 30_000, null], A],
    ['second', [30_000, 20_000, null], B],
    ['third', [null, 30_000, 20_000], C],
  ])('all stale give the answer of the freshest, the %s', async (_, ages, freshest) => {
    await start([A, B, C]);
    for (const [i, host] of [A, B, C].entries()) simulation.place(host, gateway(i + 1)).model.ageMs = ages[i] ?? null;
    const server = `${freshest}:6464`;
    expect(await ask()).toMatchObject({ status: 'FOUND', stale: true, server, ageMs: 20_000, elapsedMs: 3 });
    // For a moment it is then asked alone.
    expect(await ask()).toMatchObject({ status: 'FOUND', stale: true, server, elapsedMs: 1 });
    expect(simulation.sent.map(({ to }) => to)).toEqual([A, B, C, freshest]);
  });

  it('of which one is stale and the others dead give the stale answer', async () => {
    await start([A, B, C]);
    simulation.place(A, gateway(7)).model.ageMs = 60_000;
    simulation.hosts.set(C, 'refusing');
    expect(await ask()).toMatchObject({ status: 'FOUND', stale: true, elapsedMs: 8 });
    // The dead ones are remembered: no more time is spent on them.
    expect(await ask()).toMatchObject({ status: 'FOUND', stale: true, elapsedMs: 1 });
  });

  it.each([
    ['a stale answer before a clock difference', ['stale', 'skewed'], 'FOUND'],
    ['a stale answer before NOT_READY', ['loading', 'stale'], 'FOUND'],
    ['a clock difference before NOT_READY', ['loading', 'skewed'], 'CLOCK_SKEW'],
    ['a clock difference before NOT_READY', ['skewed', 'loading'], 'CLOCK_SKEW'],
    ['NOT_READY before silence', ['loading', 'silent'], 'NOT_READY'],
    ['NOT_READY before silence', ['silent', 'loading'], 'NOT_READY'],
    ['a clock difference before a refusal', ['refusing', 'skewed'], 'CLOCK_SKEW'],
    ['TIMED_OUT before REFUSED', ['refusing', 'silent'], 'UNREACHABLE'],
  ])('give %s (%j)', async (_, kinds, status) => {
    await start([A, B]);
    for (const [i, host] of [A, B].entries()) {
      const kind = kinds[i];
      if (kind === 'silent' || kind === 'refusing') {
        simulation.hosts.set(host, kind);
        continue;
      }
      const { model } = simulation.place(host, gateway(7));
      model.isReady = kind !== 'loading';
      model.ageMs = kind === 'stale' ? 60_000 : 0;
      model.clockErrorMs = kind === 'skewed' ? 60_000 : 0;
    }
    const result = await ask();
    expect(result.status).toBe(status);
    if (result.status === 'UNREACHABLE') expect(result.reason).toBe('TIMED_OUT');
  });

  it('all refusing end the lookup at once', async () => {
    await start([A, B, C]);
    for (const host of [A, B, C]) simulation.hosts.set(host, 'refusing');
    expect(await ask()).toMatchObject({ status: 'UNREACHABLE', reason: 'REFUSED', elapsedMs: 0 });
    expect(tries()).toHaveLength(3);
  });

  it('that all disagree with this clock are asked once each', async () => {
    await start([A, B]);
    for (const host of [A, B]) simulation.place(host, gateway(7), 0).model.clockErrorMs = -40_000;
    expect(await ask()).toMatchObject({ status: 'CLOCK_SKEW', skewMs: -40_000 });
    expect(tries()).toHaveLength(2);
  });

  it('take the first reply of two tries under way, the earlier try included', async () => {
    await start([A, B]);
    simulation.place(A, gateway(7), 12);
    simulation.place(B, gateway(8), 5);
    expect(await ask()).toMatchObject({ status: 'FOUND', backend: 7, server: `${A}:6464`, elapsedMs: 12 });
    await simulation.pass(100);
    expect(client.stats().servers.map(({ ignored }) => ignored)).toEqual([0, 1]);
  });
});

describe('a gateway in trouble', () => {
  it('is asked last for a second, then by one lookup, and by all once it has answered', async () => {
    await start([A, B]);
    simulation.place(B, gateway(8), 0);
    expect(await ask()).toMatchObject({ elapsedMs: 10 });
    expect(await ask()).toMatchObject({ elapsedMs: 0 });
    expect(client.stats().servers[0]).toMatchObject({ standing: 'failing', silent: 1 });
    await simulation.pass(1001);
    const together = [client.lookup('x'), client.lookup('x'), client.lookup('x')];
    expect((await simulation.run(Promise.all(together))).map(({ elapsedMs }) => elapsedMs)).toEqual([10, 0, 0]);
    simulation.place(A, gateway(7), 1);
    expect(await ask()).toMatchObject({ backend: 8 });
    await simulation.pass(1001);
    expect(await ask()).toMatchObject({ backend: 7, elapsedMs: 1 });
    expect(await ask()).toMatchObject({ backend: 7 });
    expect(client.stats().servers[0]).toMatchObject({ standing: 'good' });
  });

  it('is asked all the same where there is no other', async () => {
    await start([A]);
    await ask();
    simulation.place(A, gateway(7));
    expect(await ask()).toMatchObject({ status: 'FOUND', elapsedMs: 1 });
  });
});

describe('hedging', () => {
  it('is off by default', async () => {
    await start([A, B]);
    simulation.place(A, gateway(7), 9);
    await ask();
    expect(tries()).toEqual([[A, 0]]);
  });

  it('asks a second gateway early and takes the first answer', async () => {
    await start([A, B], { hedgeAfterMs: 3 });
    simulation.place(A, gateway(7), 9);
    simulation.place(B, gateway(8), 1);
    expect(await ask()).toMatchObject({ backend: 8, elapsedMs: 4 });
    expect(tries()).toEqual([
      [A, 0],
      [B, 3],
    ]);
    expect(client.stats()).toMatchObject({ hedged: 1, servers: [{ standing: 'good', silent: 0 }, {}] });
  });

  it('takes the first gateway where the second is slower', async () => {
    await start([A, B], { hedgeAfterMs: 3 });
    simulation.place(A, gateway(7), 5);
    simulation.place(B, gateway(8), 5);
    expect(await ask()).toMatchObject({ backend: 7, elapsedMs: 5 });
  });

  it('asks one more gateway, not all', async () => {
    await start([A, B, C], { hedgeAfterMs: 2, tryTimeoutMs: 8 });
    simulation.place(C, gateway(9), 0);
    await ask();
    // A from 0 to 8, B from 2 to 10; C once nobody's reply is awaited.
    expect(tries()).toEqual([
      [A, 0],
      [B, 2],
      [C, 10],
    ]);
  });

  it('asks nobody early where the other gateway is in trouble', async () => {
    await start([A, B], { hedgeAfterMs: 3 });
    simulation.hosts.set(B, 'refusing');
    simulation.place(A, gateway(7), 9);
    await ask();
    await ask();
    expect(simulation.sent.map(({ to }) => to)).toEqual([A, B, A]);
    expect(client.stats().hedged).toBe(1);
  });

  it('finds out a dead gateway that is always outrun', async () => {
    await start([A, B], { hedgeAfterMs: 3 });
    simulation.place(B, gateway(8), 0);
    for (const elapsedMs of [3, 3, 3, 0, 0]) expect(await ask()).toMatchObject({ backend: 8, elapsedMs });
  });

  it('holds it against neither gateway where the first answers first', async () => {
    await start([A, B], { hedgeAfterMs: 3 });
    simulation.place(A, gateway(7), 5);
    for (let i = 0; i < 6; i++) expect(await ask()).toMatchObject({ backend: 7, elapsedMs: 5 });
    expect(client.stats()).toMatchObject({ hedged: 6, servers: [{ standing: 'good' }, { standing: 'good' }] });
  });

  it('waits for the first where the second has no answer', async () => {
    await start([A, B], { hedgeAfterMs: 3 });
    simulation.place(A, gateway(7), 8);
    simulation.place(B, gateway(8), 1).model.isReady = false;
    expect(await ask()).toMatchObject({ status: 'FOUND', backend: 7, elapsedMs: 8 });
  });

  it('needs another gateway', async () => {
    await start([A], { hedgeAfterMs: 3 });
    simulation.place(A, gateway(7), 9);
    await ask();
    expect(tries()).toEqual([[A, 0]]);
    expect(client.stats().hedged).toBe(0);
  });
});

describe('a time-out', () => {
  it('does not overtake a reply that is there, unread', async () => {
    await start([A]);
    const host = simulation.place(A, gateway(7), 0);
    host.delayMs = 1000;
    const asked = client.lookup('x');
    await simulation.pass(0);
    // The event loop is held up past the time-out; then the timer comes first and the reply is read after it.
    const reply = host.model.answer(host.model.requests[0] ?? new Uint8Array(), EPOCH_MS + 1000);
    simulation.after(20, () => simulation.sockets[0]?.emit('message', Buffer.from(reply ?? [])));
    simulation.nowMs += 50;
    expect(await simulation.run(asked)).toMatchObject({ status: 'FOUND', elapsedMs: 50 });
  });

  it('that comes a part of a millisecond early by the clock is one all the same', async () => {
    await start([A]);
    simulation.earlyMs = 0.5;
    const asked = client.lookup('x');
    await simulation.pass(19.5);
    expect(await asked).toMatchObject({ status: 'UNREACHABLE', reason: 'TIMED_OUT', elapsedMs: 20 });
    expect(tries()).toEqual([
      [A, 0],
      [A, 9.5],
    ]);
  });
});

it('takes flags and fields of a placement and of a moved user as they come', async () => {
  await start([A]);
  const { model } = simulation.place(A, gateway(7));
  model.override = { status: Status.NOT_FOUND, flags: Flag.PLACED, backendId: 7, port: 8080 };
  expect(await ask()).toMatchObject({ status: 'NOT_FOUND', placed: true, moved: false, backend: 7, port: 8080 });
  model.override = { status: Status.FOUND, flags: Flag.MOVED, backendId: 8, ttlS: 1, version: 3n };
  expect(await ask()).toMatchObject({ status: 'FOUND', placed: false, moved: true, backend: 8, address: null });
});

it('works with the most gateways there may be, all of them dead but the last', async () => {
  const hosts = Array.from({ length: 64 }, (_, i) => `10.0.1.${i}`);
  await start(hosts);
  for (const host of hosts) simulation.hosts.set(host, 'refusing');
  simulation.place(hosts[63] ?? D, gateway(9));
  expect(await ask()).toMatchObject({ status: 'FOUND', backend: 9, elapsedMs: 1 });
});
