/**
 * Generated packets through the BPF program and the model, which must agree on every one: verdict, action and
 * each byte of what goes out. FRAMES in the environment sets how many (default 20,000), SEED where to begin.
 *
 * The generator is plain code and not fast-check's, which takes five times as long as all else here together.
 */
import { randomInt } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Verdict } from '../../src/abi.ts';
import { cookieHash, factHash } from '../../src/auth/cookie.ts';
import type { Key } from '../../src/auth/keyring.ts';
import { shedRankOf } from '../../src/auth/placement.ts';
import { encodeBatchRequest, encodeFactRequest, encodeLookupRequest } from '../../src/auth/request.ts';
import { sipHash64 } from '../../src/auth/siphash.ts';
import { ipv4 } from '../model/frames.ts';
import { Choices } from './choices.ts';
import { BpfLab, CLIENT_V4, CLIENT_V6, GATEWAY_V4, GATEWAY_V6, type Outcome, PORT, XDP } from './lab.ts';

const FRAMES = Number(process.env['FRAMES'] ?? 20_000);
const SEED = Number(process.env['SEED'] ?? randomInt(2 ** 32));
const MINUTE_MS = 60_000;
const WEEK_MS = 7 * 24 * 60 * MINUTE_MS;
/** Of each suite, encrypted and not; 2 is over and 3 is yet to come. */
const KEY_IDS = [1, 4, 5, 6, 0xffff_ffff, 2, 3] as const;
/** Backends that a world may have; sessions may name one that it hasn't. */
const BACKEND_IDS = [1, 2, 3, 300, 301, 40_000, 65_535] as const;
/** So many that slots and shed ranks are of every kind. */
const NAMES = Array.from({ length: 200 }, (_, i) => `name-${i}`);
/** Shed ranks of the two names that are asked for most. */
const RANKS = NAMES.slice(0, 2).map((name) => shedRankOf(cookieHash(name)));
/** Frames that meet the same backends, sessions, revocations and facts. */
const WORLD_FRAMES = 1_000;
/** Not part of any run: records change under no reader here, no map is missing, and nobody asks Redis. */
const OUT_OF_REACH = ['COUNT', 'ABORTED', 'DROP_BUSY', 'PASS_MISS'];

/** With a budget for requests outside the skew that is either endless or spent. */
class Lab extends BpfLab {
  budget = true;
  override spendSkewBudget(): boolean {
    return this.budget;
  }
}

let lab: Lab;

beforeAll(() => {
  lab = new Lab();
  lab.newKey(1);
  lab.newKey(2, { notAfterMs: lab.nowMs() - MINUTE_MS });
  lab.newKey(3, { notBeforeMs: lab.nowMs() + WEEK_MS });
  lab.newKey(4, { encrypt: true });
  lab.newKey(5, { suite: 'blake2s' });
  lab.newKey(6, { suite: 'blake2s', encrypt: true });
  lab.newKey(0xffff_ffff);
  lab.datapath.setAllowed([{ bytes: ipv4(10, 99, 0, 0), prefixLength: 96 + 24 }]);
});
afterAll(() => lab?.close());

/** New backends, sessions, revocations and facts, made in any order. */
async function makeWorld(choose: Choices): Promise<void> {
  lab.forgetAll();
  await lab.setBackends(
    BACKEND_IDS.filter(() => !choose.oneIn(4)).map((id) => ({
      id,
      address: choose.oneIn(2) ? ipv4(10, 1, 0, id & 0xff) : Uint8Array.of(0xfd, ...choose.bytes(15)),
      port: 1 + choose.below(65_535),
      state: choose.of(['active', 'active', 'active', 'draining', 'down']),
      weight: choose.of([0, 1, 100, 100]),
      // ranks of some of those who are asked for, that such a user is just not among the shed, or just is
      shed: choose.of([0, 0, 5_000, 10_000, RANKS[choose.below(2)] as number, (RANKS[choose.below(2)] as number) + 1]),
    })),
  );
  for (let i = 0; i < 4 * NAMES.length; i++) {
    const name = choose.of(NAMES);
    if (choose.oneIn(3)) lab.deny(name, choose.of([0, 0, 1, lab.nowMs() + WEEK_MS, 253_402_300_799_999]));
    else if (choose.oneIn(8)) lab.removeSession(name, i);
    else if (choose.oneIn(4))
      lab.setFact(name, choose.oneIn(5) ? undefined : choose.bytes(choose.below(25)), 2 ** 42, i);
    else {
      const expiresMs = choose.of([0, 0, 1, lab.nowMs() + WEEK_MS, 2 ** 53 - 1]);
      lab.addSession(name, { backendId: choose.of([0, ...BACKEND_IDS]), expiresMs, ms: 2 ** 43, seq: i });
    }
  }
}

interface Change {
  at: number;
  value: number;
}

/** A frame in the making, and the gateway that it meets. */
interface Plan {
  overIpv6: boolean;
  vlans: number[];
  keyId: (typeof KEY_IDS)[number];
  kind: 'lookup' | 'fact' | 'batch';
  /** Who is asked for: the first one, or by a batch each. */
  names: string[];
  /** What a batch says its number of entries is, after it was made; undefined = what it is. */
  count: number | undefined;
  /** A batch is cut or extended to what it then says. */
  resized: boolean;
  /** Byte 3 of the request, after it was made; undefined = as it was made. */
  type: number | undefined;
  skewMs: number;
  sourcePort: number;
  port: number;
  elsewhere: boolean;
  udpLength: number | undefined;
  ipLength: number | undefined;
  /** Both lengths agree with each other, not with the frame. */
  claimed: number | undefined;
  options: Uint8Array | undefined;
  fragment: number | undefined;
  extension: { type: number; words: number } | undefined;
  trafficClass: number;
  hopLimit: number;
  trailer: Uint8Array;
  payload: 'request' | 'cut' | 'extended' | 'random';
  length: number;
  nonce: number;
  /** Bytes of the request that are overwritten; `sealed` makes the guard right again. */
  changes: Change[];
  sealed: boolean;
  /** Bytes of the whole frame. */
  frameChanges: Change[];
  /** The frame is cut off here. */
  keep: number | undefined;
  ready: boolean;
  allowList: boolean;
  budget: boolean;
  /** How long ago the copy was in step; undefined = never. */
  ageMs: number | undefined;
}

/** As things should be. A plan that fails is shrunk towards this, field by field. */
const PLAIN: Plan = {
  overIpv6: false,
  vlans: [],
  keyId: 1,
  kind: 'lookup',
  names: NAMES.slice(0, 1),
  count: undefined,
  resized: false,
  type: undefined,
  skewMs: 0,
  sourcePort: 40_000,
  port: PORT,
  elsewhere: false,
  udpLength: undefined,
  ipLength: undefined,
  claimed: undefined,
  options: undefined,
  fragment: undefined,
  extension: undefined,
  trafficClass: 0,
  hopLimit: 64,
  trailer: new Uint8Array(0),
  payload: 'request',
  length: 0,
  nonce: 0,
  changes: [],
  sealed: false,
  frameChanges: [],
  keep: undefined,
  ready: true,
  allowList: false,
  budget: true,
  ageMs: 0,
};

/** Mostly a request as it should be, with each part sometimes off. */
function planOf(choose: Choices): Plan {
  const changes = (...ends: number[]): Change[] => {
    return choose.list(1, 3, () => ({ at: choose.below(choose.of(ends)), value: choose.byte() }));
  };
  const name = (): string =>
    choose.oneIn(20) ? 'nobody' : choose.oneIn(5) ? (NAMES[choose.below(2)] as string) : choose.of(NAMES);
  return {
    overIpv6: choose.oneIn(2),
    vlans: choose.oneIn(9)
      ? choose.list(0, 4, () => choose.of([0x8100, 0x88a8, 0x9100, 0x0800, 0x86dd]))
      : choose.of([[], [0x8100], [0x88a8, 0x8100], [0x8100, 0x8100]]),
    keyId: choose.of(KEY_IDS),
    kind: choose.of(['lookup', 'lookup', 'fact', 'batch']),
    names: choose.list(1, choose.of([1, 8, 64]), name),
    count: choose.oneIn(20) ? choose.of([choose.below(67), 0x100 * choose.byte()]) : undefined,
    resized: choose.oneIn(2),
    type: choose.oneIn(10) ? choose.of([0, 1, 2, 3, 4, 0x81]) : undefined,
    skewMs: choose.oneIn(10) ? choose.of([-120_000, 120_000, -(2 ** 41)]) : choose.below(58_001) - 29_000,
    sourcePort: choose.below(65_536),
    port: choose.oneIn(10) ? choose.of([0, 53, 65_535]) : PORT,
    elsewhere: choose.oneIn(10),
    udpLength: choose.oneIn(20) ? choose.below(65_536) : undefined,
    ipLength: choose.oneIn(20) ? choose.below(65_536) : undefined,
    claimed: choose.oneIn(20) ? choose.below(1501) : undefined,
    options: choose.oneIn(20) ? choose.bytes(4 * (1 + choose.below(10))) : undefined,
    fragment: choose.oneIn(20) ? choose.below(65_536) : undefined,
    extension: choose.oneIn(20) ? { type: choose.byte(), words: 1 + choose.below(3) } : undefined,
    trafficClass: choose.byte(),
    hopLimit: choose.byte(),
    trailer: choose.bytes(choose.below(21)),
    payload: choose.oneIn(5) ? choose.of(['cut', 'extended', 'random']) : 'request',
    length: choose.below(1401),
    nonce: choose.byte(),
    changes: choose.oneIn(3) ? changes(80, 1080) : [],
    sealed: choose.oneIn(2),
    frameChanges: choose.oneIn(4) ? changes(161, 1200) : [],
    keep: choose.oneIn(20) ? 14 + choose.below(choose.of([157, 1200])) : undefined,
    ready: !choose.oneIn(10),
    allowList: choose.oneIn(10),
    budget: !choose.oneIn(3),
    ageMs: choose.oneIn(10) ? undefined : choose.below(20_000),
  };
}

function requestOf(plan: Plan, key: Key, timeMs: number, nonce: Uint8Array): Uint8Array {
  const name = plan.names[0] as string;
  if (plan.kind === 'lookup') return encodeLookupRequest(key, cookieHash(name), timeMs, nonce).bytes;
  if (plan.kind === 'fact') return encodeFactRequest(key, factHash(name), timeMs, nonce).bytes;
  const hashes = plan.names.map((sessionId) => cookieHash(sessionId));
  const { bytes } = encodeBatchRequest(key, hashes, timeMs, nonce);
  if (plan.count === undefined) return bytes;
  bytes.set([plan.count >> 8, plan.count & 0xff], 24);
  if (!plan.resized || plan.count > 67) return bytes;
  const resized = new Uint8Array(56 + 16 * plan.count);
  resized.set(bytes.subarray(0, resized.length));
  return resized;
}

/** Makes the guard right, whatever comes before it. */
function seal(kind: Plan['kind'], key: Key, bytes: Uint8Array): void {
  if (kind !== 'batch') bytes.set(sipHash64(key.guardKey, bytes.subarray(0, 56)), 56);
  else
    bytes.set(
      sipHash64(key.guardKey, Uint8Array.of(...bytes.subarray(0, 32), ...bytes.slice(-24, -8))),
      bytes.length - 8,
    );
}

function payloadOf(plan: Plan): Uint8Array {
  const key = lab.key(plan.keyId);
  if (key === undefined) throw new Error(`the lab has no key ${plan.keyId}`);
  const timeMs = Math.max(0, lab.nowMs() + plan.skewMs);
  const nonce = new Uint8Array(8).fill(plan.nonce);
  const bytes = requestOf(plan, key, timeMs, nonce);
  if (plan.type !== undefined) bytes[3] = plan.type;
  for (const { at, value } of plan.changes) bytes[at % bytes.length] = value;
  if (plan.sealed) seal(plan.kind, key, bytes);
  if (plan.payload === 'cut') return bytes.subarray(0, plan.length % bytes.length);
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

const isAllowedV4 = (source: Uint8Array): boolean =>
  isDeepStrictEqual([...source.subarray(0, 15)], [...ipv4(10, 99, 0, 0).subarray(0, 15)]);

/** What the program made of a plan, what the model did, and what the responder would do by the maps and by the table in memory. */
function bothOf(plan: Plan): { program: Outcome; model: Outcome; responders: Outcome[]; frame: Uint8Array } {
  lab.settings.ready = plan.ready;
  lab.settings.inStepMs = plan.ageMs === undefined ? 0 : lab.nowMs() - lab.settings.clockOffsetMs - plan.ageMs;
  lab.applySettings();
  lab.budget = plan.budget;
  lab.datapath.settings.skewBudget = plan.budget ? 0xffff_ffff : 0;
  lab.datapath.settings.allowList = plan.allowList;
  lab.allowOnly(plan.allowList ? isAllowedV4 : undefined);
  const frame = frameOf(plan);
  const program = lab.run(frame);
  const responders = lab.responders().map((tables) => lab.model(frame, program, tables));
  return { program, model: lab.model(frame, program), responders, frame };
}

function differs(plan: Plan): boolean {
  const { program, model, responders } = bothOf(plan);
  return [model, ...responders].some((other) => !isDeepStrictEqual(program, other));
}

/** The plan with as many fields as possible as in `PLAIN`, still failing. */
function shrunk(plan: Plan): Plan {
  let smallest = plan;
  for (const field of Object.keys(PLAIN)) {
    const simpler = { ...smallest, [field]: PLAIN[field as keyof Plan] };
    if (differs(simpler)) smallest = simpler;
  }
  return smallest;
}

test(`the program, the model and the responder agree on ${FRAMES} generated packets, seed ${SEED}`, {
  timeout: 600_000 + FRAMES,
}, async () => {
  const seen = new Map<Verdict, number>();
  const answered = new Set<string>();
  const choose = new Choices(SEED);
  for (let i = 0; i < FRAMES; i++) {
    if (i % WORLD_FRAMES === 0) await makeWorld(choose);
    const plan = planOf(choose);
    const { program, model, responders } = bothOf(plan);
    seen.set(program.verdict, (seen.get(program.verdict) ?? 0) + 1);
    if (program.action === XDP.TX) answered.add(`${plan.kind}, key ${plan.keyId}`);
    if (i % 1_000_000 === 999_999) console.log(`${i + 1} frames`);
    if ([model, ...responders].every((other) => isDeepStrictEqual(program, other))) continue;
    const smallest = shrunk(plan);
    const again = bothOf(smallest);
    for (const other of [again.model, ...again.responders])
      expect(again.program, `frame ${i} of seed ${SEED}: ${JSON.stringify(smallest)}`).toEqual(other);
    for (const other of [model, ...responders])
      expect(program, `frame ${i} of seed ${SEED}, only once: ${JSON.stringify(plan)}`).toEqual(other);
  }
  const reachable = Object.entries(Verdict).filter(([name]) => !OUT_OF_REACH.includes(name));
  const counts = reachable.map(([name, verdict]) => `${name} ${seen.get(verdict) ?? 0}`);
  if (process.env['FRAMES'] !== undefined) console.log(counts.join('\n'));
  // A generator that never gets as far as an answer would prove little.
  for (const [name, verdict] of reachable) {
    expect(seen.get(verdict) ?? 0, `${name} was never reached`).toBeGreaterThan(0);
  }
  const due = KEY_IDS.slice(0, -2).flatMap((id) => ['lookup', 'fact', 'batch'].map((kind) => `${kind}, key ${id}`));
  expect([...answered].sort(), 'answered').toEqual(due.sort());
});
