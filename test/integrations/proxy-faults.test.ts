/**
 * The example proxy for Node.js before gateways that are dead, slow, lying, or one of two dead: every request is served, and its
 * counts say by which way. The gateways are the responder of src/auth on loopback; the proxy runs in this process.
 */
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { SessionProxy, type SessionProxyCounts } from '../../integrations/node/proxy.ts';
import { Key } from '../../src/auth/keyring.ts';
import { createLookupClient } from '../../src/client/index.ts';
import { randomKey } from '../../src/gateway/demo/stage.ts';
import { FakeGateway, type Incoming, refusedAddress } from '../client/fake-gateway.ts';
import { type Answer, cookieOfUser, homeOf, homes, sidOf, Users } from './site.ts';

const { fields, secret } = randomKey(1);
const key = new Key(fields, secret);
const VISITORS = 60;
/** Where whoever answers at all must be waited for, however busy the machine is. */
const PATIENT_MS = 20_000;
/** Where nobody answers. */
const IMPATIENT_MS = 40;

const backends: { name: string; server: Server; port: number }[] = [];
const running: { close(): Promise<void> | void }[] = [];

beforeAll(async () => {
  for (const name of ['app-1', 'app-2', 'app-3', 'usual']) {
    const server = createServer((_request, response: ServerResponse) => response.setHeader('x-backend', name).end());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    backends.push({ name, server, port: (server.address() as AddressInfo).port });
  }
});
afterAll(() => {
  for (const { server } of backends) {
    server.closeAllConnections();
    server.close();
  }
});
afterEach(async () => {
  for (const one of running.splice(0).toReversed()) await one.close();
});

type At = { readonly host: string; readonly port: number };

async function newGateway(): Promise<FakeGateway> {
  const gateway = await FakeGateway.start([key]);
  running.push(gateway);
  for (const id of [1, 2, 3]) gateway.putBackend(id, '127.0.0.1', backends[id - 1]?.port ?? 0);
  for (let user = 0; user < VISITORS; user++) gateway.putSession(sidOf(user), Number(homeOf(user).slice(-1)));
  return gateway;
}

interface Visitors {
  readonly users: Users;
  readonly counts: SessionProxyCounts;
}

async function visit(servers: readonly At[], timeoutMs: number, tryTimeoutMs = timeoutMs): Promise<Visitors> {
  const client = createLookupClient({ servers, key, timeoutMs, tryTimeoutMs, cookieTransform: 'express' });
  const usual = `http://127.0.0.1:${backends.at(-1)?.port}`;
  const proxy = new SessionProxy({ client, cookie: 'connect.sid', backends: [usual] });
  proxy.server.listen(0, '127.0.0.1');
  await once(proxy.server, 'listening');
  const users = new Users((proxy.server.address() as AddressInfo).port);
  running.push(client, proxy, users);
  return { users, counts: proxy.counts };
}

const namesOf = (answers: readonly Answer[]) =>
  answers.map(({ status, backend }) => (status === 200 ? backend : String(status)));
const byUsual = Array.from({ length: VISITORS }, () => 'usual');

/** All but what needs the key. */
function liesAbout({ datagram, reply = datagram }: Incoming): Uint8Array[] {
  const changed = (at: number) => reply.map((byte, i) => (i === at ? byte ^ 1 : byte));
  return [changed(31), changed(16), changed(79), reply.subarray(0, 79), datagram];
}

describe('where the only gateway', () => {
  test('is dead, everyone is served, wherever', async () => {
    const { users, counts } = await visit([refusedAddress()], IMPATIENT_MS);
    expect(namesOf(await users.everyone(VISITORS))).toEqual(byUsual);
    expect(counts).toEqual({ steered: 0, balanced: VISITORS, denied: 0, failed: 0 });
  });

  test('is slower than users are kept waiting, everyone is served, and what comes late changes nothing', async () => {
    const gateway = await newGateway();
    const late: (() => void)[] = [];
    gateway.handle = ({ reply, send }) => {
      if (reply !== undefined) late.push(() => send(reply));
    };
    const { users, counts } = await visit([gateway.address], IMPATIENT_MS);
    expect(namesOf(await users.everyone(VISITORS))).toEqual(byUsual);
    for (const send of late) send();
    expect(namesOf(await users.everyone(VISITORS))).toEqual(byUsual);
    expect(counts).toEqual({ steered: 0, balanced: 2 * VISITORS, denied: 0, failed: 0 });
    expect(late.length).toBeGreaterThan(0);
  });

  test('lies, nobody goes where a lie leads', async () => {
    const gateway = await newGateway();
    gateway.handle = (incoming) => {
      for (const lie of liesAbout(incoming)) incoming.send(lie);
    };
    const { users } = await visit([gateway.address], IMPATIENT_MS);
    expect(namesOf(await users.everyone(VISITORS))).toEqual(byUsual);
    expect(gateway.requests.length).toBeGreaterThan(0);
  });

  test('is lied for, the truth after the lies is found', async () => {
    const gateway = await newGateway();
    gateway.handle = (incoming) => {
      for (const lie of liesAbout(incoming)) incoming.send(lie);
      if (incoming.reply !== undefined) incoming.send(incoming.reply);
    };
    const { users } = await visit([gateway.address], PATIENT_MS);
    expect(namesOf(await users.everyone(VISITORS))).toEqual(homes(VISITORS));
  });
});

describe('where one of two gateways', () => {
  test('is dead, everyone gets home by the other', async () => {
    const gateway = await newGateway();
    const { users, counts } = await visit([refusedAddress(), gateway.address], PATIENT_MS);
    expect(namesOf(await users.everyone(VISITORS))).toEqual(homes(VISITORS));
    expect(counts).toEqual({ steered: VISITORS, balanced: 0, denied: 0, failed: 0 });
  });

  test('is silent, so does everyone, and it is seldom asked', async () => {
    const [silent, gateway] = [await newGateway(), await newGateway()];
    silent.handle = () => undefined;
    const { users, counts } = await visit([silent.address, gateway.address], PATIENT_MS, 20);
    for (let turn = 0; turn < 5; turn++) {
      expect(namesOf(await users.everyone(VISITORS))).toEqual(homes(VISITORS));
    }
    expect(counts).toMatchObject({ steered: 5 * VISITORS, balanced: 0 });
    // Half of the requests would have begun with it.
    expect(silent.requests.length).toBeLessThan(2.5 * VISITORS);
  });

  test('lies, so does everyone', async () => {
    const [liar, gateway] = [await newGateway(), await newGateway()];
    liar.handle = (incoming) => {
      for (const lie of liesAbout(incoming)) incoming.send(lie);
    };
    const { users } = await visit([liar.address, gateway.address], PATIENT_MS, 20);
    expect(namesOf(await users.everyone(VISITORS))).toEqual(homes(VISITORS));
    expect(liar.requests.length).toBeGreaterThan(0);
  });
});

test('nothing is kept of a request', { timeout: 240_000 }, async () => {
  const gateway = await newGateway();
  const { users, counts } = await visit([gateway.address], PATIENT_MS);
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  const heldBytes = async (requests: number): Promise<number> => {
    for (let asked = 0; asked < requests; asked += VISITORS) {
      expect(namesOf(await users.everyone(VISITORS))).toEqual(homes(VISITORS));
      // Which keep what they were asked with.
      gateway.requests.length = 0;
      gateway.verdicts.length = 0;
    }
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = await heldBytes(3_000);
  const after = await heldBytes(12_000);
  // A hundred bytes for each request would be 1.2 MB.
  expect(after - before).toBeLessThan(1_000_000);
  expect(counts).toEqual({ steered: 15_000, balanced: 0, denied: 0, failed: 0 });
});

test('who has no session is asked about nowhere', async () => {
  const gateway = await newGateway();
  const { users } = await visit([gateway.address], PATIENT_MS);
  await users.ask(cookieOfUser(0));
  await users.ask('theme=dark');
  expect(gateway.requests).toHaveLength(1);
});
