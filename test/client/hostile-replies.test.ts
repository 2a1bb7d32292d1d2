/**
 * Datagrams that are not the authentic reply of that gateway to that try, whoever sends them: none may become a result, an error,
 * or the end of waiting.
 */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLookupClient, type LookupClient } from '../../src/client/lookup-client.ts';
import { makeKey } from '../auth/support/keys.ts';
import { FakeGateway, type Incoming } from './fake-gateway.ts';

const KEY = makeKey();
const OTHER_SECRET = new Uint8Array(32).fill(7);

let gateway: FakeGateway;
let client: LookupClient;

beforeEach(async () => {
  gateway = await FakeGateway.start([KEY]);
  gateway.putBackend(7, '10.0.0.11', 8080).putSession('x', 7);
  client = createLookupClient({ servers: [gateway.address], key: KEY, timeoutMs: 5000 });
});

afterEach(async () => {
  await client.close();
  await gateway.close();
});

function changed(bytes: Uint8Array, at: number, mask = 1): Uint8Array {
  const copy = bytes.slice();
  copy[at] = (copy[at] ?? 0) ^ mask;
  return copy;
}

/** What an attacker who sees the request, but hasn't the key, can make of the right reply. */
const forgeries: [string, (reply: Uint8Array, incoming: Incoming) => Uint8Array][] = [
  ['an empty datagram', () => new Uint8Array(0)],
  ['one byte', () => new Uint8Array(1)],
  ['a header alone', (reply) => reply.subarray(0, 24)],
  ['a reply cut by a byte', (reply) => reply.subarray(0, 79)],
  ['a reply with a byte more', (reply) => Uint8Array.of(...reply, 0)],
  ['a datagram as long as they get', (reply) => Uint8Array.of(...reply, ...new Uint8Array(60_000))],
  ['the request itself', (_, { datagram }) => datagram],
  ['another magic', (reply) => changed(reply, 0)],
  ['another version', (reply) => changed(reply, 2, 3)],
  ['another type', (reply) => changed(reply, 3, 2)],
  ['the type of an encrypted reply', (reply) => changed(reply, 3, 0x40)],
  ['another key id', (reply) => changed(reply, 7)],
  ['another time', (reply) => changed(reply, 15)],
  ['another nonce', (reply) => changed(reply, 16)],
  ['another last byte of the nonce', (reply) => changed(reply, 23)],
  ['another status', (reply) => changed(reply, 24, 4)],
  ['another flag', (reply) => changed(reply, 25)],
  ['another backend', (reply) => changed(reply, 31)],
  ['another address', (reply) => changed(reply, 47)],
  ['another age', (reply) => changed(reply, 63)],
  ['another tag', (reply) => changed(reply, 64)],
  ['another last byte of the tag', (reply) => changed(reply, 79)],
  ['no tag', (reply) => Uint8Array.of(...reply.subarray(0, 64), ...new Uint8Array(16))],
];

describe.each([
  ['a lookup', () => client.lookup('x'), { status: 'FOUND', backend: 7 }],
  ['a fact', () => client.fact('x'), { status: 'NOT_FOUND' }],
] as const)('%s', (_, ask, right) => {
  it.each(forgeries)('ignores %s before the right reply', async (_name, forge) => {
    gateway.handle = (incoming) => {
      if (incoming.reply === undefined) throw new Error('no reply');
      incoming.send(forge(incoming.reply, incoming));
      incoming.send(incoming.reply);
    };
    expect(await ask()).toMatchObject(right);
    expect(client.stats().servers[0]).toMatchObject({ ignored: 1, replies: 1, lastError: null });
  });
});

it.each(forgeries.slice(2))('never takes %s for an answer', async (_, forge) => {
  const hasty = createLookupClient({ servers: [gateway.address], key: KEY, timeoutMs: 20 });
  gateway.handle = (incoming) => incoming.send(forge(incoming.reply ?? new Uint8Array(), incoming));
  expect(await hasty.lookup('x')).toMatchObject({ status: 'UNREACHABLE', reason: 'TIMED_OUT' });
  await hasty.close();
});

it('ignores whatever bytes in place of those after the nonce', async () => {
  const hasty = createLookupClient({ servers: [gateway.address], key: KEY, timeoutMs: 2000 });
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 0, maxLength: 120 }), async (rest) => {
      gateway.handle = ({ reply = new Uint8Array(), send }) => {
        send(Uint8Array.of(...reply.subarray(0, 24), ...rest));
        send(reply);
      };
      expect(await hasty.lookup('x')).toMatchObject({ status: 'FOUND', backend: 7 });
    }),
    { numRuns: 200 },
  );
  await hasty.close();
});

it('ignores any single bit that changed on the way', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(79), fc.nat(7), async (at, bit) => {
      gateway.handle = ({ reply = new Uint8Array(), send }) => {
        send(changed(reply, at, 1 << bit));
        send(reply);
      };
      const before = client.stats().servers[0]?.ignored ?? 0;
      expect(await client.lookup('x')).toMatchObject({ status: 'FOUND', backend: 7, version: 1n });
      expect(client.stats().servers[0]?.ignored).toBe(before + 1);
    }),
    { numRuns: 200 },
  );
});

it('ignores a gateway that has another secret under the same id', async () => {
  const impostor = await FakeGateway.start([makeKey({}, OTHER_SECRET)]);
  const hasty = createLookupClient({ servers: [impostor.address], key: KEY, timeoutMs: 30 });
  expect(await hasty.lookup('x')).toMatchObject({ status: 'UNREACHABLE', reason: 'TIMED_OUT' });
  await hasty.close();
  await impostor.close();
});

it('ignores a reply in the clear where the key says encrypted', async () => {
  const hasty = createLookupClient({
    servers: [gateway.address],
    key: makeKey({ encrypt: true }),
    timeoutMs: 30,
  });
  expect(await hasty.lookup('x')).toMatchObject({ status: 'UNREACHABLE', reason: 'TIMED_OUT' });
  await expect.poll(() => gateway.requests.length).toBeGreaterThan(0);
  await hasty.close();
});

it('ignores the reply to another lookup', async () => {
  const replies: Uint8Array[] = [];
  gateway.handle = ({ reply = new Uint8Array(), send }) => {
    for (const earlier of replies) send(earlier);
    replies.push(reply);
    send(reply);
  };
  gateway.putSession('y', 8).putBackend(8, '10.0.0.12', 80);
  for (const [id, backend] of [
    ['x', 7],
    ['y', 8],
    ['x', 7],
  ] as const) {
    expect(await client.lookup(id)).toMatchObject({ backend });
  }
  expect(client.stats().servers[0]).toMatchObject({ replies: 3, ignored: 3 });
});

it('takes a reply once, however often it comes, and none after the time-out', async () => {
  const late: (() => void)[] = [];
  gateway.handle = ({ reply = new Uint8Array(), send }) => late.push(() => send(reply));
  const hasty = createLookupClient({ servers: [gateway.address], key: KEY, timeoutMs: 20 });
  expect(await hasty.lookup('x')).toMatchObject({ status: 'UNREACHABLE' });
  await expect.poll(() => late.length).toBeGreaterThan(0);
  const held = [...late];
  for (const send of [...held, ...held]) send();
  await expect.poll(() => hasty.stats().servers[0]?.ignored).toBe(2 * held.length);
  expect(hasty.stats()).toMatchObject({ inFlight: 0, outcomes: { ANSWER: 0, UNREACHABLE: 1 } });
  await hasty.close();
});

it('ignores the right reply where it comes from another port', async () => {
  const other = await FakeGateway.start([KEY]);
  // The other gateway learns the client's port by being asked, and then answers what the first was asked.
  let sendFromOther: ((bytes: Uint8Array) => void) | null = null;
  other.handle = ({ send }) => {
    sendFromOther = send;
  };
  let replies = 0;
  gateway.handle = ({ reply = new Uint8Array() }) => {
    if (sendFromOther === null) return;
    replies += 1;
    sendFromOther(reply);
  };
  const both = createLookupClient({
    servers: [other.address, gateway.address],
    key: KEY,
    timeoutMs: 1000,
    tryTimeoutMs: 50,
    spread: false,
  });
  expect(await both.lookup('x')).toMatchObject({ status: 'UNREACHABLE' });
  await expect.poll(() => replies).toBeGreaterThan(0);
  await expect.poll(() => both.stats().servers[0]?.ignored).toBe(replies);
  await both.close();
  await other.close();
});
