/**
 * Generated packets through the BPF program and the model, which must agree on every one: verdict, action and
 * each byte of what goes out. FRAMES in the environment sets how many (default 20,000), SEED where to begin.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Verdict } from '../../src/abi.ts';
import { cookieHash } from '../../src/auth/cookie.ts';
import { encodeLookupRequest } from '../../src/auth/request.ts';
import { sipHash64 } from '../../src/auth/siphash.ts';
import { ipv4 } from '../model/frames.ts';
import { BpfLab, CLIENT_V4, CLIENT_V6, GATEWAY_V4, GATEWAY_V6, PORT } from './lab.ts';

const FRAMES = Number(process.env['FRAMES'] ?? 20_000);
const KEY_IDS = [1, 2, 3, 0xffff_ffff];
const SESSIONS = ['short', 'long', 'endless', 'ended', 'unknown', 'forgotten', 'nobody'];

let lab: BpfLab;

beforeAll(() => {
  lab = new BpfLab();
  const minute = 60_000;
  lab.newKey(1);
  lab.newKey(2, null, lab.nowMs() - minute);
  lab.newKey(3, lab.nowMs() + 10 * minute);
  lab.newKey(0xffff_ffff);
  lab.setBackends([
    { id: 1, address: ipv4(10, 1, 0, 1), port: 8080 },
    { id: 300, address: Uint8Array.of(0xfd, ...new Array(14).fill(0), 9), port: 65_535 },
  ]);
  lab.addSession('short', { backendId: 1, expiresMs: lab.nowMs() + 60 * minute, seq: 0xf_ffff });
  lab.addSession('long', { backendId: 300, expiresMs: 2 ** 53 - 1 });
  lab.addSession('endless', { backendId: 300, expiresMs: 0, ms: 2 ** 43, seq: 0 });
  lab.addSession('ended', { backendId: 1, expiresMs: 1 });
  lab.addSession('unknown', { backendId: 0, expiresMs: 0 });
  lab.addSession('forgotten', { backendId: 2, expiresMs: 0 });
});
afterAll(() => lab?.close());

/** Mostly a request as it should be, with each part sometimes off. */
const mostly = <T>(usual: fc.Arbitrary<T>, off: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ arbitrary: usual, weight: 9 }, { arbitrary: off, weight: 1 });
const maybe = <T>(off: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  mostly(fc.constant<T | undefined>(undefined), off);

const plan = fc.record({
  overIpv6: fc.boolean(),
  vlans: fc.oneof(
    { arbitrary: fc.constantFrom<number[][]>([], [0x8100], [0x88a8, 0x8100], [0x8100, 0x8100]), weight: 8 },
    { arbitrary: fc.array(fc.constantFrom(0x8100, 0x88a8, 0x9100, 0x0800, 0x86dd), { maxLength: 4 }), weight: 1 },
  ),
  keyId: fc.constantFrom(...KEY_IDS),
  session: fc.constantFrom(...SESSIONS),
  type: mostly(fc.constant(1), fc.constantFrom(0, 2, 3, 4, 0x81)),
  skewMs: mostly(fc.integer({ min: -29_000, max: 29_000 }), fc.constantFrom(-120_000, 120_000, -(2 ** 41))),
  sourcePort: fc.integer({ min: 0, max: 65_535 }),
  port: mostly(fc.constant(PORT), fc.constantFrom(0, 53, 65_535)),
  elsewhere: mostly(fc.constant(false), fc.constant(true)),
  udpLength: maybe(fc.integer({ min: 0, max: 65_535 })),
  ipLength: maybe(fc.integer({ min: 0, max: 65_535 })),
  /** Both lengths agree with each other, not with the frame. */
  claimed: maybe(fc.integer({ min: 0, max: 1500 })),
  options: maybe(fc.uint8Array({ minLength: 4, maxLength: 40 }).map((bytes) => bytes.subarray(0, bytes.length & ~3))),
  fragment: maybe(fc.integer({ min: 0, max: 0xffff })),
  extension: maybe(fc.record({ type: fc.integer({ min: 0, max: 255 }), words: fc.integer({ min: 1, max: 3 }) })),
  trafficClass: fc.integer({ min: 0, max: 255 }),
  hopLimit: fc.integer({ min: 0, max: 255 }),
  trailer: fc.uint8Array({ maxLength: 20 }),
  payload: fc.oneof(
    { arbitrary: fc.constant('request' as const), weight: 12 },
    { arbitrary: fc.constant('cut' as const), weight: 1 },
    { arbitrary: fc.constant('extended' as const), weight: 1 },
    { arbitrary: fc.constant('random' as const), weight: 1 },
  ),
  /** Bytes of the request that are overwritten; `sealed` makes the guard right again. */
  changes: fc.oneof(
    { arbitrary: fc.constant([]), weight: 6 },
    {
      arbitrary: fc.array(fc.record({ at: fc.integer({ min: 0, max: 79 }), value: fc.integer({ min: 0, max: 255 }) }), {
        minLength: 1,
        maxLength: 3,
      }),
      weight: 3,
    },
  ),
  sealed: fc.boolean(),
  length: fc.integer({ min: 0, max: 1400 }),
  /** Bytes of the whole frame. */
  frameChanges: fc.oneof(
    { arbitrary: fc.constant([]), weight: 6 },
    {
      arbitrary: fc.array(fc.record({ at: fc.nat(160), value: fc.integer({ min: 0, max: 255 }) }), {
        minLength: 1,
        maxLength: 3,
      }),
      weight: 2,
    },
  ),
  keep: maybe(fc.integer({ min: 14, max: 170 })),
});
type Plan = typeof plan extends fc.Arbitrary<infer T> ? T : never;

function payloadOf(plan: Plan): Uint8Array {
  const key = lab.key(plan.keyId);
  if (key === undefined) throw new Error(`the lab has no key ${plan.keyId}`);
  const timeMs = Math.max(0, lab.nowMs() + plan.skewMs);
  const { bytes } = encodeLookupRequest(key, cookieHash(plan.session), timeMs, new Uint8Array(8).fill(plan.length));
  bytes[3] = plan.type;
  for (const { at, value } of plan.changes) bytes[at] = value;
  if (plan.sealed) bytes.set(sipHash64(key.guardKey, bytes.subarray(0, 56)), 56);
  if (plan.payload === 'cut') return bytes.subarray(0, plan.length % 80);
  if (plan.payload === 'extended') return Uint8Array.of(...bytes, ...new Uint8Array(plan.length));
  if (plan.payload === 'random') return new Uint8Array(plan.length).map((_, i) => (i * plan.sourcePort) & 0xff);
  return bytes;
}

function frameOf(plan: Plan): Uint8Array {
  const source = plan.overIpv6 ? CLIENT_V6 : CLIENT_V4;
  const own = plan.overIpv6 ? GATEWAY_V6 : GATEWAY_V4;
  const frame = lab.frame(payloadOf(plan), {
    vlans: plan.vlans,
    source,
    destination: plan.elsewhere ? source : own,
    sourcePort: plan.sourcePort,
    destinationPort: plan.port,
    trafficClass: plan.trafficClass,
    hopLimit: plan.hopLimit,
    trailer: plan.trailer,
    ...(plan.udpLength !== undefined && { udpLength: plan.udpLength }),
    ...(plan.ipLength !== undefined && { ipLength: plan.ipLength }),
    ...(plan.claimed !== undefined && {
      udpLength: plan.claimed,
      ipLength: plan.claimed + (plan.overIpv6 ? 0 : 20),
    }),
    ...(plan.options !== undefined && { options: plan.options }),
    ...(plan.fragment !== undefined && { fragment: plan.fragment }),
    ...(plan.extension !== undefined && {
      extensions: [{ type: plan.extension.type, bytes: new Uint8Array(8 * plan.extension.words) }],
    }),
  });
  for (const { at, value } of plan.frameChanges) if (at < frame.length) frame[at] = value;
  return plan.keep === undefined ? frame : frame.slice(0, Math.max(14, Math.min(plan.keep, frame.length)));
}

test(`the program and the model agree on ${FRAMES} generated packets`, { timeout: 600_000 + FRAMES }, () => {
  const seen = new Map<Verdict, number>();
  fc.assert(
    fc.property(plan, (plan) => {
      const frame = frameOf(plan);
      const outcome = lab.run(frame);
      seen.set(outcome.verdict, (seen.get(outcome.verdict) ?? 0) + 1);
      expect(outcome).toEqual(lab.model(frame, outcome));
    }),
    { numRuns: FRAMES, ...(process.env['SEED'] !== undefined && { seed: Number(process.env['SEED']) }) },
  );
  // A generator that never gets as far as an answer would prove little.
  for (const [name, verdict] of Object.entries(Verdict)) {
    if (['COUNT', 'ABORTED', 'DROP_BUSY', 'DROP_SOURCE', 'DROP_SKEW_BUDGET', 'REPLY_NOT_READY'].includes(name))
      continue;
    expect(seen.get(verdict) ?? 0, `${name} was never reached`).toBeGreaterThan(0);
  }
});
