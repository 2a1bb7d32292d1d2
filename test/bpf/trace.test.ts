/** What the program shows of packets: each verdict once, the filters, and when it stops by itself. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Limit, type TracedPacket, tracedPacketLayout, Verdict } from '../../src/abi.ts';
import { cookieHash, factHash } from '../../src/auth/cookie.ts';
import type { Key } from '../../src/auth/keyring.ts';
import { sipHash64 } from '../../src/auth/siphash.ts';
import { networkBytes } from '../../src/gateway/addresses.ts';
import { runOnPacket } from '../../src/gateway/kernel/libbpf.ts';
import type { TraceFilter, VerdictName } from '../../src/gateway/ports.ts';
import { VERDICT_NAMES } from '../../src/gateway/verdict-names.ts';
import { until } from '../e2e/until.ts';
import { ipv4 } from '../model/frames.ts';
import { BpfLab, CLIENT_V4, CLIENT_V6, GATEWAY_V6 } from './lab.ts';

const BOUND_MS = 60_000;
const ALL: TraceFilter = { verdicts: VERDICT_NAMES, keyId: null, source: null, oneIn: 1 };
const VLAN = 0x8100;

let lab: BpfLab;
let key: Key;

beforeAll(async () => {
  lab = new BpfLab();
  key = lab.newKey(7);
  lab.newKey(8, { notAfterMs: lab.nowMs() - 60_000 });
  await lab.setBackends([
    { id: 1, address: ipv4(10, 1, 0, 1), port: 8080 },
    { id: 2, address: ipv4(10, 1, 0, 2), port: 8080, state: 'down' },
  ]);
  lab.addSession('held', { backendId: 1, expiresMs: 0 });
  lab.addSession('on a backend that is down', { backendId: 2, expiresMs: 0 });
  lab.addSession('revoked', { backendId: 1, expiresMs: 0 });
  lab.deny('revoked', lab.nowMs() + 3_600_000);
});
afterAll(() => lab?.close());
beforeEach(() => watch(ALL));

const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6;

function watch(filter: Partial<TraceFilter>): void {
  lab.datapath.trace.setFilter({ ...ALL, ...filter });
  lab.datapath.trace.showUntil(monotonicMs() + 3_600_000);
}

function shown(): TracedPacket[] {
  const packets: TracedPacket[] = [];
  lab.datapath.trace.read((packet) => packets.push(packet));
  return packets;
}

const nameOf = ({ verdict }: TracedPacket): VerdictName | undefined =>
  VERDICT_NAMES.find((name) => Verdict[name] === verdict);

function changed(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = value;
  return copy;
}

const flipped = (bytes: Uint8Array, at: number): Uint8Array => changed(bytes, at, (bytes[at] ?? 0) ^ 1);

/** With a guard that is right, and a tag that is not. */
function wrongTag(): Uint8Array {
  const request = flipped(lab.request(key, 'held'), 42);
  request.set(sipHash64(key.guardKey, request.subarray(0, 56)), 56);
  return request;
}

const unknownKey = (): Uint8Array => changed(lab.request(key, 'held'), 4, 1);

const CASES: [VerdictName, () => Uint8Array][] = [
  ['DROP_LENGTH', () => lab.request(key, 'held').subarray(0, 79)],
  ['DROP_MAGIC', () => changed(lab.request(key, 'held'), 0, 0)],
  ['DROP_VERSION', () => changed(lab.request(key, 'held'), 2, 2)],
  ['DROP_TYPE', () => changed(lab.request(key, 'held'), 3, 9)],
  ['DROP_RESERVED', () => changed(lab.request(key, 'held'), 79, 1)],
  ['DROP_KEY_UNKNOWN', unknownKey],
  ['DROP_KEY_TIME', () => changed(lab.request(key, 'held'), 7, 8)],
  ['DROP_GUARD', () => flipped(lab.request(key, 'held'), 56)],
  ['DROP_TAG', wrongTag],
  ['REPLY_CLOCK_SKEW', () => lab.request(key, 'held', lab.nowMs() - 120_000)],
  ['REPLY_FOUND', () => lab.request(key, 'held')],
  ['REPLY_MOVED', () => lab.request(key, 'on a backend that is down')],
  ['REPLY_PLACED', () => lab.request(key, 'nobody')],
  ['REPLY_NOT_FOUND', () => lab.factRequest(key, 'none')],
  ['REPLY_DENIED', () => lab.request(key, 'revoked')],
];

test.each(CASES)('%s is shown once', (verdict, payload) => {
  const began = monotonicMs();
  lab.run(lab.frame(payload(), { sourcePort: 4_321 }));
  const packets = shown();
  expect(packets.map(nameOf)).toEqual([verdict]);
  expect(packets[0]).toMatchObject({ source: CLIENT_V4, sourcePort: 4_321 });
  expect(packets[0]?.tookNs).toBeGreaterThan(0);
  expect(Math.abs(Number(packets[0]?.beganNs) / 1e6 - began)).toBeLessThan(60_000);
});

describe('what a packet says', () => {
  test('a lookup over IPv6, with a VLAN tag', () => {
    const layout = { source: CLIENT_V6, destination: GATEWAY_V6, vlans: [VLAN], sourcePort: 99 };
    lab.run(lab.frame(lab.request(key, 'held'), layout));
    const hash = cookieHash('held').subarray(0, 4);
    expect(shown()).toMatchObject([{ source: CLIENT_V6, sourcePort: 99, keyId: 7, type: 1, hasHash: 1, hash }]);
  });

  test('a batch: how many, and the first of its hashes', () => {
    lab.run(lab.frame(lab.batchRequest(key, ['held', 'nobody', 'revoked'])));
    const hash = cookieHash('held').subarray(0, 4);
    expect(shown()).toMatchObject([{ type: 2, entries: 3, hash, verdict: Verdict.REPLY_FOUND }]);
  });

  test('a fact', () => {
    lab.run(lab.frame(lab.factRequest(key, 'dataset')));
    expect(shown()).toMatchObject([{ type: 3, entries: 0, hash: factHash('dataset').subarray(0, 4) }]);
  });

  test('what is too short, or another protocol, says nothing', () => {
    const silent = { keyId: 0, type: 0, hasHash: 0, hash: new Uint8Array(4) };
    for (const payload of [new Uint8Array(0), new Uint8Array(23), changed(lab.request(key, 'held'), 1, 0)]) {
      lab.run(lab.frame(payload));
    }
    expect(shown()).toMatchObject([silent, silent, silent]);
  });

  test('what is left to the host is shown if it may be for the gateway, without more than its source', () => {
    lab.run(lab.frame(lab.request(key, 'held'), { destinationPort: 53 }));
    expect(shown()).toEqual([]);
    const fragment = lab.frame(lab.request(key, 'held'));
    fragment[20] = 0x20;
    lab.run(fragment);
    expect(shown()).toMatchObject([
      { verdict: Verdict.PASS_SLOW_PATH, source: CLIENT_V4, sourcePort: 0, keyId: 0, hasHash: 0 },
    ]);
    lab.run(lab.frame(lab.request(key, 'held'), { vlans: [VLAN, VLAN, VLAN] }));
    expect(shown()).toMatchObject([{ verdict: Verdict.PASS_SLOW_PATH, source: new Uint8Array(16) }]);
  });

  test('no more of a hash than four bytes leaves the kernel', () => {
    expect(tracedPacketLayout.offset.hasHash - tracedPacketLayout.offset.hash).toBe(4);
  });
});

describe('filters', () => {
  const both = (): void => {
    lab.run(lab.frame(lab.request(key, 'held')));
    lab.run(lab.frame(unknownKey()));
  };

  test('by verdict', () => {
    watch({ verdicts: ['DROP_KEY_UNKNOWN'] });
    both();
    expect(shown().map(nameOf)).toEqual(['DROP_KEY_UNKNOWN']);
  });

  test('by key', () => {
    watch({ keyId: 7 });
    both();
    expect(shown().map(nameOf)).toEqual(['REPLY_FOUND']);
  });

  test.each([
    ['10.99.0.0/24', 1],
    ['10.99.0.1/32', 1],
    ['10.99.0.0/32', 0],
    ['10.96.0.0/13', 1],
    ['10.97.0.0/16', 0],
    ['0.0.0.0/0', 1],
    ['::/0', 2],
    ['fd99::/16', 1],
    ['fd99::1/128', 1],
    ['fd99::2/127', 0],
  ])('by source %s', (network, count) => {
    watch({ source: networkBytes(network) });
    lab.run(lab.frame(lab.request(key, 'held')));
    lab.run(lab.frame(lab.request(key, 'held'), { source: CLIENT_V6, destination: GATEWAY_V6 }));
    expect(shown()).toHaveLength(count);
  });

  test('one packet in so many', () => {
    watch({ oneIn: 8 });
    const frame = lab.frame(lab.request(key, 'held'));
    for (let i = 0; i < 4_000; i++) runOnPacket(lab.datapath.programDescriptor, frame);
    // 500 on average, with a standard deviation of 21
    const { length } = shown();
    expect(length).toBeGreaterThan(300);
    expect(length).toBeLessThan(700);
  });

  test('a new one forgets what was shown under the one before', () => {
    both();
    watch({ keyId: 7 });
    expect(shown()).toEqual([]);
  });
});

test('traced packets are not in the histogram, nor timed ones shown twice', () => {
  lab.datapath.settings.timedOneIn = 0;
  const before = JSON.stringify(lab.datapath.latencies());
  lab.run(lab.frame(lab.request(key, 'held')));
  expect(JSON.stringify(lab.datapath.latencies())).toBe(before);
  lab.datapath.settings.timedOneIn = 1;
  lab.run(lab.frame(lab.request(key, 'held')));
  expect(JSON.stringify(lab.datapath.latencies())).not.toBe(before);
  lab.datapath.settings.timedOneIn = 0;
  expect(shown()).toHaveLength(2);
});

test('a full ring loses packets, counts them, and is read in order afterwards', () => {
  const room = Math.floor(Limit.TRACE_BYTES / (tracedPacketLayout.size + 8));
  const lostBefore = lab.datapath.trace.lost;
  for (let port = 1; port <= room + 50; port++) lab.run(lab.frame(lab.request(key, 'held'), { sourcePort: port }));
  const lost = lab.datapath.trace.lost - lostBefore;
  expect(lost).toBeGreaterThanOrEqual(50);
  const packets = shown();
  expect(packets.map(({ sourcePort }) => sourcePort)).toEqual(
    Array.from({ length: room + 50 - lost }, (_, i) => i + 1),
  );
  lab.run(lab.frame(lab.request(key, 'held')));
  expect(shown()).toHaveLength(1);
});

test('it ends by itself when its time is not put off, and at once when it is told to', async () => {
  lab.datapath.trace.showUntil(monotonicMs() + 200);
  const ask = (): number => {
    lab.run(lab.frame(lab.request(key, 'held')));
    return shown().length;
  };
  await until(async () => ask() === 0, BOUND_MS);
  expect(ask()).toBe(0);
  watch(ALL);
  expect(ask()).toBe(1);
  lab.datapath.trace.end();
  expect(ask()).toBe(0);
  expect(lab.datapath.trace.untilMs).toBe(0);
});
