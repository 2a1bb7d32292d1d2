/** How long answers take, counted in the kernel: under what, in which bucket, and of which packets. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Key } from '../../src/auth/keyring.ts';
import { LATENCY_BOUNDS_NS } from '../../src/gateway/kernel/latencies.ts';
import { BpfObject, runOnPacket } from '../../src/gateway/kernel/libbpf.ts';
import type { LatencyName } from '../../src/gateway/ports.ts';
import { ipv4 } from '../model/frames.ts';
import { BpfLab } from './lab.ts';

let lab: BpfLab;
let key: Key;

beforeAll(async () => {
  lab = new BpfLab();
  key = lab.newKey(7);
  await lab.setBackends([{ id: 1, address: ipv4(10, 1, 0, 1), port: 8080 }]);
  lab.addSession('held', { backendId: 1, expiresMs: 0 });
  lab.addSession('revoked', { backendId: 1, expiresMs: 0 });
  lab.deny('revoked', lab.nowMs() + 3_600_000);
});
afterAll(() => lab?.close());
beforeEach(() => {
  lab.datapath.settings.timedOneIn = 1;
});

/** How many were counted by kind, and the sum of their times. */
function counted(): { counts: Record<string, number>; sumNs: number } {
  const all = Object.entries(lab.datapath.latencies());
  return {
    counts: Object.fromEntries(all.map(([name, { packets }]) => [name, packets.reduce((sum, n) => sum + n, 0)])),
    sumNs: all.reduce((sum, [, { sumNs }]) => sum + sumNs, 0),
  };
}

/** The kinds that were counted in the meantime, each once. */
function countedBy(run: () => void): string[] {
  const before = counted();
  run();
  const after = counted();
  const names = Object.keys(after.counts).filter((name) => after.counts[name] !== before.counts[name]);
  for (const name of names) expect(after.counts[name]).toBe((before.counts[name] ?? 0) + 1);
  expect(after.sumNs > before.sumNs).toBe(names.length > 0);
  return names;
}

const ask = (payload: Uint8Array) => () => void lab.run(lab.frame(payload));

test.each<[string, LatencyName, () => Uint8Array]>([
  ['a session', 'FOUND', () => lab.request(key, 'held')],
  ['nobody', 'NOT_FOUND', () => lab.request(key, 'nobody')],
  ['a revoked session', 'DENIED', () => lab.request(key, 'revoked')],
  ['a clock that is off', 'CLOCK_SKEW', () => lab.request(key, 'held', lab.nowMs() - 120_000)],
  ['a fact that there is not', 'NOT_FOUND', () => lab.factRequest(key, 'none')],
  ['a batch, once', 'BATCH', () => lab.batchRequest(key, ['held', 'nobody', 'revoked'])],
  ['a batch outside the skew', 'BATCH', () => lab.batchRequest(key, ['held'], lab.nowMs() - 120_000)],
])('%s', (_, kind, request) => {
  expect(countedBy(ask(request()))).toEqual([kind]);
});

test('before the first load', () => {
  lab.datapath.settings.ready = false;
  expect(countedBy(ask(lab.request(key, 'held')))).toEqual(['NOT_READY']);
  lab.datapath.settings.ready = true;
});

test('what is not answered is not counted', () => {
  const forged = lab.request(key, 'held');
  forged[24] = (forged[24] ?? 0) ^ 1;
  expect(countedBy(ask(forged))).toEqual([]);
  expect(countedBy(() => void lab.run(lab.frame(lab.request(key, 'held'), { destinationPort: 53 })))).toEqual([]);
});

test('with 0 none is timed', () => {
  lab.datapath.settings.timedOneIn = 0;
  expect(countedBy(ask(lab.request(key, 'held')))).toEqual([]);
});

// The last: from here on CPUs let packets go by before they time the next.
test('one in so many, by chance', () => {
  const packets = 6_400;
  lab.datapath.settings.timedOneIn = 64;
  const before = counted().counts['FOUND'] ?? 0;
  const frame = lab.frame(lab.request(key, 'held'));
  for (let i = 0; i < packets; i++) runOnPacket(lab.datapath.programDescriptor, frame);
  const timed = (counted().counts['FOUND'] ?? 0) - before;
  // 100 on average, with a standard deviation of 6
  expect(timed).toBeGreaterThan(50);
  expect(timed).toBeLessThan(150);
});

describe('buckets', () => {
  const object = new BpfObject(fileURLToPath(new URL('../../build/primitives.bpf.o', import.meta.url)));
  beforeAll(() => object.load('latency_bucket'));
  afterAll(() => object.close());

  function bucketOf(ns: number): number {
    const packet = Buffer.alloc(64);
    packet.writeBigUInt64LE(BigInt(ns));
    return Number(Buffer.from(runOnPacket(object.programFd('latency_bucket'), packet).packet).readBigUInt64LE());
  }

  test('each begins above its bound and ends with it', () => {
    expect(bucketOf(0)).toBe(0);
    for (const [bucket, boundNs] of LATENCY_BOUNDS_NS.entries()) {
      expect([boundNs, bucketOf(boundNs)]).toEqual([boundNs, bucket]);
      expect([boundNs, bucketOf(boundNs + 1)]).toEqual([boundNs, bucket + 1]);
    }
    expect(bucketOf(2 ** 52)).toBe(LATENCY_BOUNDS_NS.length);
  });

  test('bounds go up from 64 ns to 1 ms, each by a quarter at most', () => {
    expect([LATENCY_BOUNDS_NS[0], LATENCY_BOUNDS_NS.at(-1)]).toEqual([64, 2 ** 20]);
    for (let i = 1; i < LATENCY_BOUNDS_NS.length; i++) {
      const ratio = (LATENCY_BOUNDS_NS[i] ?? 0) / (LATENCY_BOUNDS_NS[i - 1] ?? 0);
      expect(ratio > 1 && ratio <= 1.25).toBe(true);
    }
  });
});
