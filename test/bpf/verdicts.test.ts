/** Packet in, verdict and packet out, for every way out of the program. */
import { availableParallelism } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Flag, Status, Verdict } from '../../src/abi.ts';
import type { Key } from '../../src/auth/keyring.ts';
import { internetChecksum, ipv4 } from '../model/frames.ts';
import { BpfLab, CLIENT_V4, CLIENT_V6, GATEWAY_V4, GATEWAY_V6, type LabBackend, PORT, XDP } from './lab.ts';

let lab: BpfLab;
let key: Key;

beforeAll(async () => {
  lab = new BpfLab();
  key = lab.newKey(7);
  lab.newKey(8, { notAfterMs: lab.nowMs() - 60_000 });
  lab.newKey(9, { notBeforeMs: lab.nowMs() + 60_000 });
  await lab.setBackends(BACKENDS);
  lab.addSession('hourly', { backendId: 1, expiresMs: lab.nowMs() + 3_600_000 });
  lab.addSession('endless', { backendId: 65_535, expiresMs: 0 });
  lab.addSession('ending', { backendId: 1, expiresMs: lab.nowMs() + 10_000 });
  lab.addSession('ages', { backendId: 1, expiresMs: 2 ** 52 });
  lab.addSession('ended', { backendId: 1, expiresMs: lab.nowMs() - 1 });
  lab.addSession('unknown backend', { backendId: 0, expiresMs: 0 });
  lab.addSession('forgotten backend', { backendId: 2, expiresMs: 0 });
});
afterAll(() => lab?.close());

/** The second is not on the ring, so that who has no backend is placed on the first. */
const BACKENDS: readonly LabBackend[] = [
  { id: 1, address: ipv4(10, 1, 0, 1), port: 8080 },
  { id: 65_535, address: Uint8Array.of(0xfd, ...new Array(14).fill(0), 7), port: 65_535, weight: 0 },
];
const V6 = { source: CLIENT_V6, destination: GATEWAY_V6 };
const VLAN = 0x8100;
const QINQ = 0x88a8;

/** Runs a frame and expects program and model to do the same, namely this. */
function expectVerdict(frame: Uint8Array, verdict: keyof typeof Verdict): Uint8Array {
  const outcome = lab.run(frame);
  expect(nameOf(outcome.verdict)).toBe(verdict);
  expect(outcome).toEqual(lab.model(frame, outcome));
  if (outcome.action !== XDP.TX) expect(outcome.frame).toEqual(frame);
  return outcome.frame;
}

function nameOf(verdict: Verdict): string | undefined {
  return Object.entries(Verdict).find(([, value]) => value === verdict)?.[0];
}

const changed = (bytes: Uint8Array, at: number, value: number): Uint8Array => {
  const copy = bytes.slice();
  copy[at] = value;
  return copy;
};

describe.each([
  ['IPv4', {}],
  ['IPv4, one tag', { vlans: [VLAN] }],
  ['IPv4, two tags', { vlans: [QINQ, VLAN] }],
  ['IPv6', V6],
  ['IPv6, one tag', { ...V6, vlans: [VLAN] }],
  ['IPv6, two tags', { ...V6, vlans: [QINQ, VLAN] }],
])('%s', (_, layout) => {
  const ask = (sessionId: string): Uint8Array => lab.frame(lab.request(key, sessionId), layout);

  test('a session with its backend', () => {
    const reply = lab.reply(expectVerdict(ask('hourly'), 'REPLY_FOUND'));
    expect(reply).toMatchObject({ status: Status.FOUND, backendId: 1, port: 8080, address: ipv4(10, 1, 0, 1) });
    expect(reply.version).toBe(1_795_000_000_123n * 2n ** 20n + 7n);
    expect(reply.ttlS).toBeGreaterThan(3500);
    expect(reply.ttlS).toBeLessThanOrEqual(3601); // the kernel's coarse clock is up to 4 ms behind
  });

  test('a session without end, with a backend on IPv6', () => {
    const reply = lab.reply(expectVerdict(ask('endless'), 'REPLY_FOUND'));
    expect(reply).toMatchObject({ backendId: 65_535, port: 65_535, ttlS: 0xffff_ffff });
  });

  test('nobody, with where to place it', () => {
    const reply = lab.reply(expectVerdict(ask('nobody'), 'REPLY_PLACED'));
    expect(reply).toMatchObject({ status: Status.NOT_FOUND, version: 0n, ttlS: 0 });
    expect(reply).toMatchObject({ backendId: 1, port: 8080, address: ipv4(10, 1, 0, 1) });
    expect(reply.flags & ~Flag.STALE).toBe(Flag.PLACED);
  });

  test('a revoked session', () => {
    lab.deny('hourly', lab.nowMs() + 60_000);
    try {
      const reply = lab.reply(expectVerdict(ask('hourly'), 'REPLY_DENIED'));
      expect(reply).toMatchObject({ status: Status.DENIED, ...NOTHING });
    } finally {
      lab.deny('hourly', 0);
    }
    expectVerdict(ask('hourly'), 'REPLY_FOUND');
  });

  test('a fact', () => {
    const value = Uint8Array.of(1, 2, 3);
    lab.setFact('dataset', value, 5, 6);
    const out = expectVerdict(lab.frame(lab.factRequest(key, 'dataset'), layout), 'REPLY_FOUND');
    const { status, valueLength, version, ...reply } = lab.factReply(out);
    expect({ status, valueLength }).toEqual({ status: Status.FOUND, valueLength: 3 });
    expect(reply.value).toEqual(Uint8Array.of(1, 2, 3, ...new Uint8Array(21)));
    expect(Buffer.from(version).readBigUInt64BE()).toBe(5n * 2n ** 20n + 6n);
    expectVerdict(lab.frame(lab.factRequest(key, 'no such'), layout), 'REPLY_NOT_FOUND');
  });

  test('a clock that is off', () => {
    const frame = lab.frame(lab.request(key, 'hourly', lab.nowMs() - 120_000), layout);
    expect(lab.reply(expectVerdict(frame, 'REPLY_CLOCK_SKEW'))).toMatchObject({ status: Status.CLOCK_SKEW, flags: 0 });
  });

  test.each([1, 2, 3, 63, 64])('a batch of %d', (count) => {
    const names = Array.from({ length: count }, (_, i) => ['hourly', 'nobody', 'endless'][i % 3] as string);
    lab.deny('nobody', lab.nowMs() + 60_000);
    try {
      const request = lab.batchRequest(key, names);
      const out = expectVerdict(lab.frame(request, { ...layout, trailer: new Uint8Array(3) }), 'REPLY_FOUND');
      expect(out.length).toBe(lab.frame(request, layout).length + 3);
      const entries = lab.batchReply(out, count);
      expect(entries.map(({ status, backendId }) => [status, backendId])).toEqual(
        names.map((name) => {
          if (name === 'nobody') return [Status.DENIED, 0];
          return [Status.FOUND, name === 'hourly' ? 1 : 65_535];
        }),
      );
    } finally {
      lab.deny('nobody', 0);
    }
  });

  test('headers of the reply', () => {
    const frame = lab.frame(lab.request(key, 'hourly'), {
      ...layout,
      trafficClass: 0xff,
      sourcePort: 1,
      trailer: new Uint8Array(6),
    });
    const out = expectVerdict(frame, 'REPLY_FOUND');
    expect(out.length).toBe(frame.length);
    expect(out.slice(0, 12)).toEqual(Uint8Array.of(...frame.slice(6, 12), ...frame.slice(0, 6)));
  });

  test('forged', () => {
    const request = lab.request(key, 'hourly');
    for (const at of [8, 15, 16, 23, 24, 39, 40, 55, 56, 63]) {
      expectVerdict(lab.frame(changed(request, at, (request[at] ?? 0) ^ 0x10), layout), 'DROP_GUARD');
    }
  });
});

test.each([
  ['the last millisecond of an hour', 'hourly', 3600],
  ['seconds are rounded up', 'ending', 10],
  ['a time to live that the field does not hold', 'ages', 0xffff_fffe],
])('%s', (_, sessionId, ttlS) => {
  const reply = lab.reply(expectVerdict(lab.frame(lab.request(key, sessionId)), 'REPLY_FOUND'));
  expect(reply.ttlS).toBeLessThanOrEqual(Math.min(ttlS + 1, 0xffff_fffe));
  expect(reply.ttlS).toBeGreaterThan(ttlS - 9);
});

describe.each([
  ['hmac-sha256', false],
  ['hmac-sha256', true],
  ['blake2s', false],
  ['blake2s', true],
] as const)('a key of suite %s, encrypted: %s', (suite, encrypt) => {
  let other: Key;
  beforeAll(() => {
    other = lab.newKey(100, { suite, encrypt });
  });
  const requests = (timeMs = lab.nowMs()): [Uint8Array, keyof typeof Verdict][] => [
    [lab.request(other, 'endless', timeMs), 'REPLY_FOUND'],
    [lab.factRequest(other, 'no such', timeMs), 'REPLY_NOT_FOUND'],
    [lab.batchRequest(other, ['endless'], timeMs), 'REPLY_FOUND'],
    [lab.batchRequest(other, ['hourly', 'nobody', 'endless', 'ended'], timeMs), 'REPLY_FOUND'],
  ];

  test('is answered', () => {
    for (const [request, verdict] of requests()) {
      expectVerdict(lab.frame(request), verdict);
      expectVerdict(lab.frame(request, { ...V6, vlans: [VLAN] }), verdict);
    }
  });

  test('is told of a clock that is off', () => {
    for (const [request] of requests(lab.nowMs() - 120_000)) expectVerdict(lab.frame(request), 'REPLY_CLOCK_SKEW');
  });

  test('is told that nothing is loaded yet', () => {
    lab.settings.ready = false;
    lab.applySettings();
    try {
      for (const [request] of requests()) expectVerdict(lab.frame(request), 'REPLY_NOT_READY');
    } finally {
      lab.settings.ready = true;
      lab.applySettings();
    }
  });

  test('a replayed request never meets the same key stream with other bytes', () => {
    const name = `changing, ${suite}, ${encrypt}`;
    const request = lab.request(other, name);
    const bodies = new Set<string>();
    for (let seq = 0; seq < 4; seq++) {
      lab.addSession(name, { backendId: 65_535, expiresMs: 0, seq });
      bodies.add(Buffer.from(lab.run(lab.frame(request)).frame.slice(42 + 24, 42 + 64)).toString('hex'));
    }
    expect(bodies.size).toBe(4);
    const first = (hex: string): string => hex.slice(0, 16); // status to backend id, the same in all
    expect(new Set([...bodies].map(first)).size).toBe(encrypt ? 4 : 1);
  });

  test.each([0, 1, 2, 3])('request %d, forged anywhere', (which) => {
    const [request] = requests()[which] as [Uint8Array, string];
    const tagAt = request[3] === 2 ? request.length - 24 : 40;
    for (let at = 8; at < tagAt + 24; at++) {
      // byte 24 to 31 of a batch are its form, and are looked at before
      if (request[3] === 2 && at >= 24 && at < 32) continue;
      const isGuarded = request[3] !== 2 || at < 32 || at >= tagAt;
      const verdict = isGuarded ? 'DROP_GUARD' : 'DROP_TAG';
      expectVerdict(lab.frame(changed(request, at, (request[at] ?? 0) ^ 0x10)), verdict);
    }
  });
});

describe('malformed batches', () => {
  const batch = (count = 3): Uint8Array => lab.batchRequest(key, new Array<string>(count).fill('hourly'));

  test.each([
    ['no entries', () => changed(batch(), 25, 0).subarray(0, 56)],
    ['fewer entries than there are', () => changed(batch(), 25, 2)],
    ['more entries than there are', () => changed(batch(), 25, 4)],
    ['a number of two bytes', () => changed(batch(), 24, 1)],
    ['65 entries', () => Uint8Array.of(...changed(batch(64), 25, 65), ...new Uint8Array(16))],
    ['a byte too few', () => batch().subarray(0, -1)],
    ['a byte too many', () => Uint8Array.of(...batch(), 0)],
    ['half a prefix', () => batch().subarray(0, 31)],
  ])('%s', (_, payload) => {
    expectVerdict(lab.frame(payload()), 'DROP_LENGTH');
    expectVerdict(lab.frame(payload(), { ...V6, vlans: [QINQ, VLAN] }), 'DROP_LENGTH');
  });

  test.each([26, 27, 28, 29, 30, 31])('reserved byte %d', (at) => {
    expectVerdict(lab.frame(changed(batch(), at, 1)), 'DROP_RESERVED');
  });

  test('cut off anywhere inside the datagram', () => {
    for (const layout of [{}, V6]) {
      const frame = lab.frame(batch(2), layout);
      for (let cut = 1; cut <= 88; cut++) expectVerdict(frame.slice(0, frame.length - cut), 'DROP_LENGTH');
    }
  });
});

const NOTHING = { backendId: 0, port: 0, address: new Uint8Array(16), version: 0n, ttlS: 0 };

describe.each(['ended', 'unknown backend', 'forgotten backend', 'nobody'])('%s is not found', (sessionId) => {
  const ask = (): Uint8Array => lab.frame(lab.request(key, sessionId));

  test('and placed', () => {
    const reply = lab.reply(expectVerdict(ask(), 'REPLY_PLACED'));
    expect(reply).toMatchObject({ status: Status.NOT_FOUND, backendId: 1, port: 8080, version: 0n, ttlS: 0 });
  });

  test('and not placed where no backend takes anybody', async () => {
    await lab.setBackends(BACKENDS.map((backend) => ({ ...backend, state: 'draining' })));
    try {
      expect(lab.reply(expectVerdict(ask(), 'REPLY_NOT_FOUND'))).toMatchObject(NOTHING);
    } finally {
      await lab.setBackends(BACKENDS);
    }
  });
});

describe('users who do not stay', () => {
  const NAMES = Array.from({ length: 300 }, (_, i) => `user-${i}`);
  const [stored, other] = [
    { id: 10, address: ipv4(10, 1, 0, 10), port: 10 },
    { id: 11, address: ipv4(10, 1, 0, 11), port: 11 },
  ];
  beforeAll(() => {
    for (const name of NAMES) lab.addSession(name, { backendId: stored.id, expiresMs: 0, ms: 9, seq: 9 });
  });
  afterAll(() => lab.setBackends(BACKENDS));

  /** How many are answered with which backend, and how; each is compared with the model. */
  function askAll(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const name of NAMES) {
      const frame = lab.frame(lab.request(key, name));
      const outcome = lab.run(frame);
      expect(outcome).toEqual(lab.model(frame, outcome));
      const reply = lab.reply(outcome.frame);
      expect(reply).toMatchObject({ status: Status.FOUND, version: 9n * 2n ** 20n + 9n, ttlS: 0xffff_ffff });
      expect(outcome.verdict === Verdict.REPLY_MOVED).toBe((reply.flags & Flag.MOVED) !== 0);
      const answer = `${reply.backendId} ${nameOf(outcome.verdict)}`;
      counts[answer] = (counts[answer] ?? 0) + 1;
    }
    return counts;
  }

  test.each<[string, Partial<LabBackend>, Partial<LabBackend>, Record<string, number>]>([
    ['active', {}, {}, { '10 REPLY_FOUND': 300 }],
    ['draining', { state: 'draining' }, {}, { '11 REPLY_MOVED': 300 }],
    ['down', { state: 'down' }, {}, { '11 REPLY_MOVED': 300 }],
    ['shedding all', { shed: 10_000 }, {}, { '11 REPLY_MOVED': 300 }],
    ['shedding all, with nobody who sheds none', { shed: 10_000 }, { shed: 1 }, { '10 REPLY_FOUND': 300 }],
    ['draining, with nobody who sheds none', { state: 'draining' }, { shed: 1 }, { '11 REPLY_MOVED': 300 }],
    ['draining, with nobody who takes any', { state: 'draining' }, { state: 'down' }, { '10 REPLY_FOUND': 300 }],
    ['draining, with nobody of any weight', { state: 'draining' }, { weight: 0 }, { '10 REPLY_FOUND': 300 }],
  ])('stored on one that is %s', async (_, one, two, counts) => {
    await lab.setBackends([
      { ...stored, ...one },
      { ...other, ...two },
    ]);
    expect(askAll()).toEqual(counts);
  });

  test('a part is shed, and the same ones as long as it is that much', async () => {
    const moved = async (shed: number): Promise<Set<string>> => {
      await lab.setBackends([{ ...stored, shed }, other]);
      return new Set(
        NAMES.filter((name) => lab.run(lab.frame(lab.request(key, name))).verdict === Verdict.REPLY_MOVED),
      );
    };
    const [tenth, half] = [await moved(1_000), await moved(5_000)];
    expect(tenth.size).toBeGreaterThan(0);
    expect(half.size).toBeGreaterThan(tenth.size);
    expect(half.size).toBeLessThan(NAMES.length);
    expect([...tenth].filter((name) => !half.has(name))).toEqual([]);
  });
});

describe('answers by backend', () => {
  const counts = (): readonly number[] => lab.datapath.backendAnswers([0, 1, 65_535]);

  test.each([
    ['found', 'endless', [0, 0, 1]],
    ['placed', 'nobody', [0, 1, 0]],
    ['a batch', ['endless', 'nobody', 'endless', 'hourly'], [0, 2, 2]],
    ['a fact', undefined, [0, 0, 0]],
  ])('%s', (_, asked, expected) => {
    const before = counts();
    const single = typeof asked === 'string' ? lab.request(key, asked) : lab.factRequest(key, 'x');
    lab.run(lab.frame(Array.isArray(asked) ? lab.batchRequest(key, asked) : single));
    expect(counts().map((count, i) => count - (before[i] as number))).toEqual(expected);
  });

  test('moved', async () => {
    await lab.setBackends(BACKENDS.map((backend) => (backend.id === 1 ? backend : { ...backend, state: 'down' })));
    try {
      const before = counts();
      lab.run(lab.frame(lab.request(key, 'endless')));
      expect(counts().map((count, i) => count - (before[i] as number))).toEqual([0, 1, 0]);
    } finally {
      await lab.setBackends(BACKENDS);
    }
  });
});

describe('revoked sessions', () => {
  const ask = (sessionId: string): Uint8Array => lab.frame(lab.request(key, sessionId));

  test('whether or not there is a record that a lookup would find', () => {
    const names = ['nobody', 'ended', 'unknown backend', 'forgotten backend', 'endless'];
    for (const name of names) lab.deny(name, 253_402_300_799_999);
    for (const name of names) expectVerdict(ask(name), 'REPLY_DENIED');
    for (const name of names) lab.deny(name, 0);
    for (const name of names.slice(0, -1)) expectVerdict(ask(name), 'REPLY_PLACED');
    expectVerdict(ask('endless'), 'REPLY_FOUND');
  });

  test('by themselves no longer', () => {
    const untilMs = lab.nowMs() + 3_600_000;
    for (const name of ['nobody', 'endless']) lab.deny(name, untilMs);
    const kept = lab.settings.clockOffsetMs;
    const at = (ms: number): void => {
      lab.settings.clockOffsetMs = kept + ms;
      lab.applySettings();
    };
    try {
      expectVerdict(ask('nobody'), 'REPLY_DENIED');
      expectVerdict(ask('endless'), 'REPLY_DENIED');
      at(3_601_000); // the kernel's coarse clock is behind
      expectVerdict(ask('nobody'), 'REPLY_PLACED');
      expectVerdict(ask('endless'), 'REPLY_FOUND');
    } finally {
      at(0);
      for (const name of ['nobody', 'endless']) lab.deny(name, 0);
    }
  });
});

describe('facts', () => {
  const ask = (name: string): Uint8Array => lab.frame(lab.factRequest(key, name));

  test.each([0, 1, 23, 24])('a value of %d bytes', (length) => {
    lab.setFact('lengths', new Uint8Array(length).fill(0xff), 6, length);
    expect(lab.factReply(expectVerdict(ask('lengths'), 'REPLY_FOUND')).valueLength).toBe(length);
  });

  test('a removed one is not found', () => {
    lab.setFact('removed', Uint8Array.of(1));
    expectVerdict(ask('removed'), 'REPLY_FOUND');
    lab.setFact('removed', undefined);
    const { valueLength, value, version } = lab.factReply(expectVerdict(ask('removed'), 'REPLY_NOT_FOUND'));
    expect({ valueLength, value, version }).toEqual({
      valueLength: 0,
      value: new Uint8Array(24),
      version: new Uint8Array(8),
    });
  });

  test('the hash of a session is no fact’s, nor the other way round', () => {
    lab.setFact('endless', Uint8Array.of(1));
    lab.setFact('only a fact', Uint8Array.of(1));
    expectVerdict(ask('hourly'), 'REPLY_NOT_FOUND');
    expectVerdict(lab.frame(lab.request(key, 'only a fact')), 'REPLY_PLACED');
  });

  test('outside the skew', () => {
    const frame = lab.frame(lab.factRequest(key, 'lengths', 0));
    const { status, valueLength } = lab.factReply(expectVerdict(frame, 'REPLY_CLOCK_SKEW'));
    expect({ status, valueLength }).toEqual({ status: Status.CLOCK_SKEW, valueLength: 0 });
  });
});

describe('left to the host', () => {
  const payload = (): Uint8Array => lab.request(key, 'hourly');

  test.each([
    ['another port', () => lab.frame(payload(), { destinationPort: PORT + 1 })],
    ['another address', () => lab.frame(payload(), { destination: ipv4(10, 99, 0, 3) })],
    ['another IPv6 address', () => lab.frame(payload(), { ...V6, destination: CLIENT_V6 })],
    ['TCP', () => changed(lab.frame(payload()), 14 + 9, 6)],
    ['TCP over IPv6', () => changed(lab.frame(payload(), V6), 14 + 6, 6)],
    ['ARP', () => changed(changed(lab.frame(payload()), 12, 8), 13, 6)],
    ['IP version 5', () => changed(lab.frame(payload()), 14, 0x55)],
    ['IPv6 that says it is version 4', () => changed(lab.frame(payload(), V6), 14, 0x40)],
    ['a header of 4 words', () => changed(lab.frame(payload()), 14, 0x44)],
    ['an Ethernet header alone', () => lab.frame(payload()).slice(0, 14)],
    ['half a VLAN tag', () => lab.frame(payload(), { vlans: [VLAN] }).slice(0, 17)],
    ['half an IPv4 header', () => lab.frame(payload()).slice(0, 14 + 19)],
    ['half an IPv6 header', () => lab.frame(payload(), V6).slice(0, 14 + 39)],
    ['half a UDP header', () => lab.frame(payload()).slice(0, 14 + 20 + 7)],
    ['options to another address', () => lab.frame(payload(), { options: new Uint8Array(4), destination: CLIENT_V4 })],
  ])('%s', (_, frame) => {
    expectVerdict(frame(), 'PASS_OTHER');
  });

  const extension = (type: number): object => ({ ...V6, extensions: [{ type, bytes: new Uint8Array(8) }] });
  test.each([
    ['IPv4 options', () => lab.frame(payload(), { options: Uint8Array.of(1, 1, 1, 0) })],
    ['a first fragment', () => lab.frame(payload(), { fragment: 0x2000 })],
    ['a later fragment', () => lab.frame(payload(), { fragment: 0x0008 })],
    ['three VLAN tags', () => lab.frame(payload(), { vlans: [QINQ, QINQ, VLAN] })],
    ...[0, 43, 44, 51, 60, 135, 139, 140].map((type): [string, () => Uint8Array] => [
      `IPv6 extension header ${type}`,
      () => lab.frame(payload(), extension(type)),
    ]),
  ])('%s', (_, frame) => {
    expectVerdict(frame(), 'PASS_SLOW_PATH');
  });

  test('"may not be fragmented" is no fragment', () => {
    expectVerdict(lab.frame(payload(), { fragment: 0x4000 }), 'REPLY_FOUND');
    expectVerdict(lab.frame(payload(), { fragment: 0 }), 'REPLY_FOUND');
  });
});

describe('malformed', () => {
  const request = (): Uint8Array => lab.request(key, 'hourly');

  test.each([0, 1, 23, 24, 56, 79, 81, 200, 1400])('a payload of %d bytes', (length) => {
    const payload = new Uint8Array(length);
    payload.set(request().subarray(0, length));
    expectVerdict(lab.frame(payload), 'DROP_LENGTH');
    expectVerdict(lab.frame(payload, V6), 'DROP_LENGTH');
  });

  test.each([
    ['UDP length too small', { udpLength: 87 }],
    ['UDP length too large', { udpLength: 89 }],
    ['UDP length 0', { udpLength: 0 }],
    ['UDP length 7', { udpLength: 7, ipLength: 27 }],
    ['IP length too small', { ipLength: 107 }],
    ['IP length too large', { ipLength: 109 }],
    ['IP length 0', { ipLength: 0 }],
    ['both say more than there is', { udpLength: 89, ipLength: 109 }],
    ['both say far more than there is', { udpLength: 1400, ipLength: 1420 }],
  ])('%s', (_, lengths) => {
    expectVerdict(lab.frame(request(), lengths), 'DROP_LENGTH');
  });

  test('cut off anywhere inside the datagram', () => {
    for (const layout of [{}, V6]) {
      const frame = lab.frame(request(), layout);
      for (let cut = 1; cut <= 80; cut++) expectVerdict(frame.slice(0, frame.length - cut), 'DROP_LENGTH');
    }
  });

  test.each([
    [0, 0x52, 'DROP_MAGIC'],
    [1, 0x48, 'DROP_MAGIC'],
    [2, 0, 'DROP_VERSION'],
    [2, 2, 'DROP_VERSION'],
    [3, 0, 'DROP_TYPE'],
    [3, 4, 'DROP_TYPE'],
    [3, 0x81, 'DROP_TYPE'],
    [3, 2, 'DROP_LENGTH'],
    [3, 3, 'DROP_GUARD'],
    [64, 1, 'DROP_RESERVED'],
    [79, 0x80, 'DROP_RESERVED'],
  ] as const)('byte %d is %d: %s', (at, value, verdict) => {
    expectVerdict(lab.frame(changed(request(), at, value)), verdict);
  });
});

describe('not authentic', () => {
  test('a key that is not there', () => {
    expectVerdict(lab.frame(changed(lab.request(key, 'hourly'), 7, 99)), 'DROP_KEY_UNKNOWN');
    expectVerdict(lab.frame(changed(lab.request(key, 'hourly'), 7, 0)), 'DROP_KEY_UNKNOWN');
  });

  test.each([
    ['is over', 8],
    ['is to come', 9],
  ])('a key whose time %s', (_, id) => {
    const other = lab.key(id);
    if (other === undefined) throw new Error('no such key in the lab');
    expectVerdict(lab.frame(lab.request(other, 'hourly')), 'DROP_KEY_TIME');
  });

  test('a right guard over a wrong tag', async () => {
    const { sipHash64 } = await import('../../src/auth/siphash.ts');
    for (const at of [40, 47, 48, 55]) {
      const request = lab.request(key, 'hourly');
      const forged = changed(request, at, (request[at] ?? 0) ^ 1);
      forged.set(sipHash64(key.guardKey, forged.subarray(0, 56)), 56);
      expectVerdict(lab.frame(forged), 'DROP_TAG');
    }
  });

  test('outside the skew, with nothing left of the budget', () => {
    lab.datapath.settings.skewBudget = 0;
    try {
      const outcome = lab.run(lab.frame(lab.request(key, 'hourly', lab.nowMs() - 120_000)));
      expect(outcome.verdict).toBe(Verdict.DROP_SKEW_BUDGET);
      expect(outcome.action).toBe(XDP.DROP);
      expectVerdict(lab.frame(lab.request(key, 'hourly')), 'REPLY_FOUND');
    } finally {
      lab.datapath.settings.skewBudget = 0xffff_ffff;
    }
  });

  test('the budget is so many a second', async () => {
    const budget = 5;
    while (lab.nowMs() % 1000 > 500) await new Promise((resolve) => setTimeout(resolve, 50));
    await new Promise((resolve) => setTimeout(resolve, 1000)); // nothing is spent yet of the second that is now
    lab.datapath.settings.skewBudget = budget;
    try {
      const startMs = lab.nowMs();
      let looked = 0;
      for (let i = 0; i < 300; i++) {
        const outcome = lab.run(lab.frame(lab.request(key, 'hourly', startMs - 120_000)));
        looked += Number(outcome.verdict === Verdict.REPLY_CLOCK_SKEW);
      }
      const seconds = Math.floor(lab.nowMs() / 1000) - Math.floor(startMs / 1000) + 1;
      expect(looked).toBeGreaterThanOrEqual(budget);
      expect(looked).toBeLessThanOrEqual(budget * seconds * availableParallelism());
    } finally {
      lab.datapath.settings.skewBudget = 0xffff_ffff;
    }
  });

  test('far clocks, in both directions, are just outside the skew', () => {
    for (const timeMs of [0, lab.nowMs() + 120_000, Number.MAX_SAFE_INTEGER]) {
      expectVerdict(lab.frame(lab.request(key, 'hourly', timeMs)), 'REPLY_CLOCK_SKEW');
    }
    for (const aside of [-29_000, 29_000]) {
      expectVerdict(lab.frame(lab.request(key, 'hourly', lab.nowMs() + aside)), 'REPLY_FOUND');
    }
  });
});

describe('allow list', () => {
  test('only the networks of the list may ask', () => {
    lab.datapath.setAllowed([
      { bytes: ipv4(10, 99, 0, 0), prefixLength: 96 + 24 },
      { bytes: Uint8Array.of(0xfd, 0x99, ...new Array(14).fill(0)), prefixLength: 32 },
    ]);
    lab.allowOnly((source) =>
      source[10] === 0xff
        ? source[12] === 10 && source[13] === 99 && source[14] === 0
        : source[0] === 0xfd && source[1] === 0x99,
    );
    try {
      const request = lab.request(key, 'hourly');
      expectVerdict(lab.frame(request), 'REPLY_FOUND');
      expectVerdict(lab.frame(request, V6), 'REPLY_FOUND');
      expectVerdict(lab.frame(request, { source: ipv4(10, 99, 1, 1) }), 'DROP_SOURCE');
      expectVerdict(lab.frame(request, { ...V6, source: changed(CLIENT_V6, 1, 0x98) }), 'DROP_SOURCE');
      expectVerdict(lab.frame(new Uint8Array(24), { source: ipv4(9, 9, 9, 9) }), 'DROP_SOURCE');
    } finally {
      lab.datapath.setAllowed([]);
      lab.allowOnly(undefined);
    }
    expectVerdict(lab.frame(lab.request(key, 'hourly'), { source: ipv4(9, 9, 9, 9) }), 'REPLY_FOUND');
  });
});

describe('state of the copy', () => {
  const withSettings = (change: Partial<BpfLab['settings']>, check: () => void): void => {
    const kept = { ...lab.settings };
    try {
      Object.assign(lab.settings, change);
      lab.applySettings();
      check();
    } finally {
      Object.assign(lab.settings, kept);
      lab.applySettings();
    }
  };
  const ask = (sessionId = 'hourly'): Uint8Array => lab.frame(lab.request(key, sessionId));

  test('before the first load', () => {
    withSettings({ ready: false }, () => {
      expect(lab.reply(expectVerdict(ask(), 'REPLY_NOT_READY'))).toMatchObject({
        status: Status.NOT_READY,
        flags: 0,
        backendId: 0,
      });
    });
  });

  test('never in step is stale', () => {
    expect(lab.reply(expectVerdict(ask(), 'REPLY_FOUND'))).toMatchObject({ ageMs: 0xffff_ffff, flags: Flag.STALE });
  });

  test('age in ms, and the limit from which it is stale', () => {
    const monotonicMs = Number(process.hrtime.bigint() / 1_000_000n);
    withSettings({ inStepMs: monotonicMs - 5_000 }, () => {
      const { ageMs, flags } = lab.reply(expectVerdict(ask(), 'REPLY_FOUND'));
      expect(ageMs).toBeGreaterThanOrEqual(4_990);
      expect(ageMs).toBeLessThan(9_000);
      expect(flags).toBe(0);
    });
    withSettings({ inStepMs: monotonicMs - 20_000 }, () => {
      expect(lab.reply(expectVerdict(ask('nobody'), 'REPLY_PLACED')).flags).toBe(Flag.STALE | Flag.PLACED);
      lab.deny('nobody', lab.nowMs() + 60_000);
      expect(lab.reply(expectVerdict(ask('nobody'), 'REPLY_DENIED')).flags).toBe(Flag.STALE);
      lab.deny('nobody', 0);
      const fact = expectVerdict(lab.frame(lab.factRequest(key, 'no such')), 'REPLY_NOT_FOUND');
      expect(lab.factReply(fact).flags).toBe(Flag.STALE);
    });
    withSettings({ inStepMs: monotonicMs + 3_000 }, () => {
      expect(lab.reply(expectVerdict(ask(), 'REPLY_FOUND')).ageMs).toBe(0);
    });
  });

  test('a session of an older generation is gone', () => {
    withSettings({ generation: 2 }, () => {
      expectVerdict(ask(), 'REPLY_PLACED');
    });
    expectVerdict(ask(), 'REPLY_FOUND');
  });

  test('the clock steps by an hour and is put right', () => {
    withSettings({ clockOffsetMs: lab.settings.clockOffsetMs + 3_600_000 }, () => {
      expectVerdict(ask('ending'), 'REPLY_PLACED');
      expectVerdict(ask('endless'), 'REPLY_FOUND');
    });
  });
});

test('a UDP checksum that comes out as 0 is sent as 0xffff', () => {
  const request = lab.request(key, 'endless');
  const checksumFrom = (sourcePort: number): { timeMs: number; checksum: number; frame: Uint8Array } => {
    const { frame } = lab.run(lab.frame(request, { sourcePort }));
    return { timeMs: lab.replyTimeMs(frame), checksum: ((frame[40] ?? 0) << 8) | (frame[41] ?? 0), frame };
  };
  // Two replies within one step of the clock differ by the port alone, which is chosen so that the sum is 0.
  for (let attempt = 0; attempt < 100; attempt++) {
    const first = checksumFrom(1000);
    const sourcePort = ((1000 + first.checksum - 1) % 0xffff) + 1;
    const second = checksumFrom(sourcePort);
    if (second.timeMs !== first.timeMs) continue;
    expect(second.checksum).toBe(0xffff);
    const pseudo = Uint8Array.of(...second.frame.subarray(26, 34), 0, 17, 0, 88);
    expect(internetChecksum(pseudo, second.frame.subarray(34, 34 + 88))).toBe(0);
    return;
  }
  expect.unreachable('no two replies within one step of the clock');
});

test('addresses that are no longer the gateway’s', () => {
  lab.datapath.setAddresses([GATEWAY_V6]);
  try {
    expect(lab.run(lab.frame(lab.request(key, 'hourly'))).verdict).toBe(Verdict.PASS_OTHER);
    expect(lab.run(lab.frame(lab.request(key, 'hourly'), V6)).verdict).toBe(Verdict.REPLY_FOUND);
  } finally {
    lab.datapath.setAddresses([GATEWAY_V4, GATEWAY_V6]);
  }
});
