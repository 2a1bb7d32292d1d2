/** Which misses the program leaves to the daemon, and that it answers by itself as soon as that is away. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Miss, Verdict } from '../../src/abi.ts';
import type { Key } from '../../src/auth/keyring.ts';
import { runOnPacket } from '../../src/gateway/kernel/libbpf.ts';
import { ipv4 } from '../model/frames.ts';
import { BpfLab, CLIENT_V6, GATEWAY_V6, XDP } from './lab.ts';

let lab: BpfLab;
let key: Key;

const monotonicMs = (): number => Number(process.hrtime.bigint() / 1_000_000n);
/** As the daemon does all the while. */
const sayAlive = (ms = monotonicMs()): void => lab.datapath.sayThatMissesAreAsked(ms);

beforeAll(async () => {
  lab = new BpfLab();
  key = lab.newKey(1);
  await lab.setBackends([{ id: 1, address: ipv4(10, 1, 0, 1), port: 80 }]);
  lab.addSession('here', { backendId: 1, expiresMs: 0 });
  lab.addSession('over', { backendId: 1, expiresMs: 1 });
  lab.deny('denied', 253_402_300_799_999);
});
afterAll(() => lab?.close());

function verdictOf(request: Uint8Array, options = {}): Verdict {
  sayAlive();
  return lab.run(lab.frame(request, options)).verdict;
}

test('a LOOKUP that finds no record goes on to the host as it came, over IPv4 and IPv6, with VLAN tags', () => {
  for (const options of [{}, { source: CLIENT_V6, destination: GATEWAY_V6 }, { vlans: [0x88a8, 0x8100] }]) {
    for (const sid of ['nobody', 'over']) {
      const frame = lab.frame(lab.request(key, sid), options);
      sayAlive();
      const { verdict, action, frame: after } = lab.run(frame);
      expect([verdict, action]).toEqual([Verdict.PASS_MISS, XDP.PASS]);
      expect(after).toEqual(frame);
    }
  }
});

test('nothing else does', () => {
  expect(verdictOf(lab.request(key, 'here'))).toBe(Verdict.REPLY_FOUND);
  expect(verdictOf(lab.request(key, 'denied'))).toBe(Verdict.REPLY_DENIED);
  expect(verdictOf(lab.factRequest(key, 'nothing'))).toBe(Verdict.REPLY_NOT_FOUND);
  expect(verdictOf(lab.batchRequest(key, ['nobody', 'here']))).toBe(Verdict.REPLY_FOUND);
  expect(verdictOf(lab.request(key, 'nobody', 1))).toBe(Verdict.REPLY_CLOCK_SKEW);
  const forged = lab.request(key, 'nobody');
  forged[45] = (forged[45] ?? 0) ^ 1;
  expect(verdictOf(forged)).toBe(Verdict.DROP_GUARD);
  lab.settings.ready = false;
  lab.applySettings();
  expect(verdictOf(lab.request(key, 'nobody'))).toBe(Verdict.REPLY_NOT_READY);
  lab.settings.ready = true;
  lab.applySettings();
});

test('without a daemon that lives, the program answers', () => {
  const ask = (): Verdict => lab.run(lab.frame(lab.request(key, 'nobody'))).verdict;
  sayAlive(0);
  expect(ask()).toBe(Verdict.REPLY_PLACED);
  sayAlive();
  expect(ask()).toBe(Verdict.PASS_MISS);
  sayAlive(monotonicMs() - Miss.ALIVE_MS - 100);
  expect(ask()).toBe(Verdict.REPLY_PLACED);
  sayAlive(0);
  expect(ask()).toBe(Verdict.REPLY_PLACED);
});

test('an answer counts for the backend that it names, once, whether the program or the daemon gives it', () => {
  const counted = (): number => lab.datapath.backendAnswers([1])[0] as number;
  const before = counted();
  expect(verdictOf(lab.request(key, 'nobody'))).toBe(Verdict.PASS_MISS);
  expect(counted() - before, 'no answer yet').toBe(0);
  lab.datapath.tables.countAnswer?.(1);
  expect(counted() - before).toBe(1);
  sayAlive(0);
  expect(lab.run(lab.frame(lab.request(key, 'nobody'))).verdict).toBe(Verdict.REPLY_PLACED);
  expect(counted() - before).toBe(2);
});

/** Asks again and again, from these sources. @returns how many were handed up, and in how many seconds */
function flood(with_: Key, number: number, sourceOf: (i: number) => Uint8Array): { handedUp: number; tookS: number } {
  const before = lab.datapath.verdictCounts().PASS_MISS;
  const frames = Array.from({ length: number }, (_, i) =>
    lab.frame(lab.request(with_, randomBytes(8).toString('hex')), { source: sourceOf(i) }),
  );
  const startMs = performance.now();
  for (const frame of frames) {
    sayAlive();
    runOnPacket(lab.datapath.programDescriptor, frame);
  }
  const tookS = (performance.now() - startMs) / 1000;
  return { handedUp: lab.datapath.verdictCounts().PASS_MISS - before, tookS };
}

const burst = (perSecond: number): number => (perSecond * Miss.BURST_MS) / 1000;

test('so many for one source and for one key; what is more is answered, and other keys and hits are as before', () => {
  const ofSource = flood(key, 2_000, () => ipv4(10, 99, 0, 9));
  expect(ofSource.handedUp).toBeGreaterThanOrEqual(burst(Miss.PER_SOURCE));
  expect(ofSource.handedUp).toBeLessThanOrEqual(burst(Miss.PER_SOURCE) + (ofSource.tookS + 0.1) * Miss.PER_SOURCE + 1);

  const second = lab.newKey(2);
  const ofKey = flood(second, 4_000, (i) => ipv4(10, 98, i >> 8, i & 0xff));
  expect(ofKey.handedUp).toBeGreaterThanOrEqual(burst(Miss.PER_KEY));
  expect(ofKey.handedUp).toBeLessThanOrEqual(burst(Miss.PER_KEY) + (ofKey.tookS + 0.1) * Miss.PER_KEY + 1);

  const third = lab.newKey(3);
  expect(verdictOf(lab.request(third, 'nobody'), { source: ipv4(10, 97, 0, 1) })).toBe(Verdict.PASS_MISS);
  expect(verdictOf(lab.request(second, 'here'))).toBe(Verdict.REPLY_FOUND);
});
