import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { Miss, Status } from '../../../src/abi.ts';
import { openLookupReply } from '../../../src/auth/lookup.ts';
import { encodeBatchRequest, encodeFactRequest, encodeLookupRequest } from '../../../src/auth/request.ts';
import { AllowList } from '../../../src/gateway/responder/allow-list.ts';
import type { Sender } from '../../../src/gateway/responder/datagram-sockets.ts';
import { MemoryTable } from '../../../src/gateway/responder/memory-table.ts';
import { Misses, REMEMBERED_MS } from '../../../src/gateway/responder/misses.ts';
import { Responder } from '../../../src/gateway/responder/responder.ts';
import { SlowPathBudget } from '../../../src/gateway/responder/slow-path-budget.ts';
import { makeKey } from '../../auth/support/keys.ts';
import { Choices } from '../../bpf/choices.ts';
import { ipv4 } from '../../model/frames.ts';

const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 32));
const WALL_MS = 1_800_000_000_000;
const KEY = makeKey({ id: 9 });
const HERE = Buffer.from('ff0102030405060708090a0b0c0d0e0f', 'hex');
const NOBODY = Buffer.from('ee0102030405060708090a0b0c0d0e0f', 'hex');
const SOURCE = ipv4(192, 0, 2, 7);

/** A responder, its clock, and a Redis that is asked by hand. */
function setUp({ budget = null as SlowPathBudget | null, asks = true, skewBudget = 1_000 } = {}) {
  const clock = { ms: 5_000_000 };
  const runtime = { monotonicMs: () => clock.ms };
  const settings = { clockOffsetMs: 0, inStepMs: 1, staleAfterMs: 1e9, maxSkewMs: 30_000, generation: 0, ready: true };
  settings.clockOffsetMs = WALL_MS - clock.ms;
  const table = new MemoryTable(settings, 100);
  table.setBackends([{ name: 'a', id: 4, address: SOURCE, port: 80, state: 'active', weight: 1, shed: 0 }]);
  table.put(HERE.toString('hex'), { ms: 1, seq: 1 }, 0, 4);
  const named: number[] = [];
  const tables = Object.assign(table, { countAnswer: (id: number) => void named.push(id) });
  const asked: { hash: string; end: (answered: boolean) => void }[] = [];
  const redis = {
    canAsk: true,
    ask: (hash: string) => new Promise<boolean>((end) => void asked.push({ hash, end })),
  };
  const responder = new Responder({
    tables,
    key: (id) => (id === KEY.id ? KEY : undefined),
    allowList: new AllowList([]),
    skewBudget,
    budget,
    misses: asks ? new Misses(redis, runtime) : null,
    runtime,
  });
  const replies: Uint8Array[] = [];
  const sender = (source = SOURCE): Sender => ({ source, reply: (bytes) => void replies.push(bytes) });
  const lookup = (hash: Uint8Array, source = SOURCE) => {
    const sent = encodeLookupRequest(KEY, hash, WALL_MS, randomBytes(8));
    responder.receive(sent.bytes, sender(source));
    return sent;
  };
  return { clock, table, named, redis, asked, responder, replies, sender, lookup };
}

/** Promises that are settled have told so by then. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a session that Redis turns out to have is answered, once, and counted as what it is', async () => {
  const { table, named, asked, responder, replies, lookup } = setUp();
  const sent = lookup(NOBODY);
  expect(asked.map(({ hash }) => hash)).toEqual([NOBODY.toString('hex')]);
  expect(replies).toEqual([]);
  table.put(NOBODY.toString('hex'), { ms: 77, seq: 3 }, 0, 4);
  asked[0]?.end(true);
  await settle();
  expect(replies).toHaveLength(1);
  const opened = openLookupReply(sent, replies[0] as Uint8Array);
  expect(opened).toMatchObject({
    ok: true,
    reply: { status: Status.FOUND, backendId: 4, version: 77n * 2n ** 20n + 3n },
  });
  expect(named).toEqual([4]);
  expect(responder.verdictCounts()).toMatchObject({ REPLY_FOUND: 1, REPLY_PLACED: 0 });
});

test('one that Redis does not have is placed, and not asked about again for a moment', async () => {
  const { clock, asked, responder, replies, lookup } = setUp();
  lookup(NOBODY);
  asked[0]?.end(true);
  await settle();
  lookup(NOBODY);
  expect(asked).toHaveLength(1);
  expect(replies).toHaveLength(2);
  expect(responder.verdictCounts().REPLY_PLACED).toBe(2);
  clock.ms += REMEMBERED_MS;
  lookup(NOBODY);
  expect(asked).toHaveLength(2);
});

test('nothing is read of the tables once it is closed, though Redis answers then', async () => {
  const { table, asked, responder, replies, lookup } = setUp();
  lookup(NOBODY);
  responder.close();
  Object.defineProperty(table, 'settings', { get: () => expect.unreachable() });
  asked[0]?.end(true);
  await settle();
  lookup(HERE);
  expect(replies).toHaveLength(0);
});

test('what is found, or no LOOKUP, or not authentic, asks nobody', () => {
  const { asked, responder, sender, lookup, replies } = setUp();
  lookup(HERE);
  responder.receive(encodeFactRequest(KEY, NOBODY, WALL_MS, randomBytes(8)).bytes, sender());
  responder.receive(encodeBatchRequest(KEY, [NOBODY], WALL_MS, randomBytes(8)).bytes, sender());
  expect(replies).toHaveLength(3);
  const forged = encodeLookupRequest(KEY, NOBODY, WALL_MS, randomBytes(8)).bytes;
  forged[41] = (forged[41] as number) ^ 1;
  responder.receive(forged, sender());
  responder.receive(encodeLookupRequest(KEY, NOBODY, WALL_MS - 60_000, randomBytes(8)).bytes, sender());
  expect(asked).toHaveLength(0);
});

test('where Redis can not be asked, the answer comes at once', () => {
  const { redis, asked, replies, lookup } = setUp();
  redis.canAsk = false;
  lookup(NOBODY);
  expect(asked).toHaveLength(0);
  expect(replies).toHaveLength(1);
});

test('so many for one source and one key; what is more is answered at once', () => {
  const { asked, replies, lookup } = setUp();
  const burst = (perSecond: number): number => (perSecond * Miss.BURST_MS) / 1000;
  for (let i = 0; i < 1_000; i++) lookup(randomBytes(16));
  expect(asked).toHaveLength(burst(Miss.PER_SOURCE));
  expect(replies).toHaveLength(1_000 - asked.length);
  for (let i = 0; i < 1_000; i++) lookup(randomBytes(16), ipv4(10, 0, i >> 8, i & 255));
  expect(asked).toHaveLength(burst(Miss.PER_KEY));
  expect(replies).toHaveLength(2_000 - asked.length);
});

test('of a flood so many are answered a second, and the rest is counted', () => {
  const budget = new SlowPathBudget(10);
  const { clock, replies, lookup } = setUp({ budget });
  for (let i = 0; i < 10; i++) lookup(HERE);
  expect(budget.isOverrun(clock.ms)).toBe(false);
  for (let i = 0; i < 15; i++) lookup(HERE);
  expect(replies).toHaveLength(10);
  expect(budget.unread).toBe(15);
  expect(budget.isOverrun(clock.ms)).toBe(true);
  clock.ms += 1_000;
  lookup(HERE);
  expect(replies).toHaveLength(11);
  expect(budget.isOverrun(clock.ms)).toBe(true);
  clock.ms += 1_000;
  expect(budget.isOverrun(clock.ms)).toBe(false);
});

test('whoever forges, or sends what was captured long ago, takes nothing from who asks', () => {
  const budget = new SlowPathBudget(10);
  const { clock, responder, replies, sender, lookup } = setUp({ budget, skewBudget: 0 });
  const forged = encodeLookupRequest(KEY, HERE, WALL_MS, randomBytes(8)).bytes;
  forged[60] = (forged[60] as number) ^ 1;
  const old = encodeLookupRequest(KEY, HERE, WALL_MS - 60_000, randomBytes(8)).bytes;
  for (const datagram of [forged, old, randomBytes(80), randomBytes(10)]) {
    for (let i = 0; i < 200; i++) responder.receive(datagram, sender());
  }
  expect(replies).toHaveLength(0);
  for (let i = 0; i < 10; i++) lookup(HERE);
  expect(replies).toHaveLength(10);
  expect(budget.unread).toBe(0);
  expect(budget.isOverrun(clock.ms)).toBe(false);
});

test(`hostile datagrams: no throw, silence but for what is authentic, and as many bytes, seed ${SEED}`, () => {
  const { responder, replies, sender, asked, redis } = setUp();
  redis.canAsk = false;
  const choose = new Choices(SEED);
  const nonce = randomBytes(8);
  const requests = [
    encodeLookupRequest(KEY, HERE, WALL_MS, nonce).bytes,
    encodeFactRequest(KEY, HERE, WALL_MS, nonce).bytes,
    encodeBatchRequest(KEY, [HERE, NOBODY], WALL_MS, nonce).bytes,
  ];
  for (let i = 0; i < 20_000; i++) {
    let datagram: Uint8Array = choose.of(requests).slice();
    if (choose.oneIn(4)) datagram = choose.bytes(choose.below(1_200));
    if (choose.oneIn(4)) datagram = datagram.subarray(0, choose.below(datagram.length + 1));
    if (choose.oneIn(8)) datagram = Uint8Array.of(...datagram, ...choose.bytes(choose.below(100)));
    for (let changes = choose.below(4); changes > 0 && datagram.length > 0; changes--) {
      datagram[choose.below(datagram.length)] = choose.byte();
    }
    const before = replies.length;
    responder.receive(datagram, sender());
    if (replies.length === before) continue;
    expect(requests.some((request) => Buffer.compare(request, datagram) === 0)).toBe(true);
    expect(replies.at(-1)).toHaveLength(datagram.length);
  }
  expect(replies.length).toBeGreaterThan(0);
  expect(asked).toHaveLength(0);
});
