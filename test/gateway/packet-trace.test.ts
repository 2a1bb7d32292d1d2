/** Packets for one who watches: renewed, read, ended, and told as what they are. */
import { beforeEach, expect, test } from 'vitest';
import { type TracedPacket, Verdict } from '../../src/abi.ts';
import { PacketTrace, type TraceSource } from '../../src/gateway/packet-trace.ts';
import type { TraceEvent, TraceFilter } from '../../src/gateway/ports.ts';
import type { Runtime } from '../../src/sync/runtime.ts';
import { ipv4 } from '../model/frames.ts';

const FILTER: TraceFilter = { verdicts: ['DROP_TAG'], keyId: null, source: null, oneIn: 1 };
const PACKET: TracedPacket = {
  beganNs: 4_999_500_000n,
  source: ipv4(192, 0, 2, 1),
  tookNs: 600,
  verdict: Verdict.REPLY_FOUND,
  keyId: 7,
  sourcePort: 4_000,
  type: 1,
  entries: 0,
  hash: Uint8Array.of(1, 2, 3, 0xff),
  hasHash: 1,
  zero: new Uint8Array(3),
};

let nowMs: number;
let timers: { ms: number; callback: () => void }[];
let waiting: TracedPacket[];
let calls: string[];
let source: { -readonly [K in keyof TraceSource]: TraceSource[K] };
let trace: PacketTrace;
let events: TraceEvent[];
let lost: number[];

beforeEach(() => {
  nowMs = 5_000;
  timers = [];
  waiting = [];
  calls = [];
  events = [];
  lost = [];
  source = {
    setFilter: ({ verdicts }) => void calls.push(`filter ${verdicts}`),
    showUntil: (ms) => void calls.push(`until ${ms}`),
    lost: 10,
    read: (take) => {
      for (const packet of waiting.splice(0)) take(packet);
    },
    end: () => void calls.push('end'),
  };
  const runtime: Runtime = {
    wallMs: () => 1_800_000_000_000 + nowMs,
    monotonicMs: () => nowMs,
    random: () => 0,
    timer(ms, callback) {
      const timer = { ms, callback };
      timers.push(timer);
      return () => void timers.splice(timers.indexOf(timer), 1);
    },
  };
  trace = new PacketTrace(source, runtime);
});

const reader = {
  packet: (event: TraceEvent) => void events.push(event),
  lost: (packets: number) => void lost.push(packets),
};

test('the permission is renewed at each look, and ends with who watches', () => {
  const end = trace.watch(FILTER, reader);
  expect(calls).toEqual(['filter DROP_TAG', 'until 7000']);
  nowMs += 50;
  timers.pop()?.callback();
  expect(calls.at(-1)).toBe('until 7050');
  expect(timers).toMatchObject([{ ms: 50 }]);
  end();
  end();
  expect(calls.filter((call) => call === 'end')).toHaveLength(1);
  expect(timers).toEqual([]);
});

test('one at a time', () => {
  const end = trace.watch(FILTER, reader);
  expect(() => trace.watch(FILTER, reader)).toThrow(expect.objectContaining({ code: 'TRACE_BUSY' }));
  end();
  trace.watch(FILTER, reader)();
});

test('packets are told as they say it', () => {
  trace.watch(FILTER, reader);
  const silent = { keyId: 0, type: 0, hasHash: 0, hash: new Uint8Array(4), verdict: Verdict.DROP_LENGTH };
  waiting = [
    PACKET,
    { ...PACKET, type: 2, entries: 64 },
    { ...PACKET, type: 77 },
    { ...PACKET, ...silent, source: new Uint8Array(16), sourcePort: 0 },
  ];
  timers.pop()?.callback();
  const found = {
    timeMs: 1_800_000_004_999.5,
    source: '192.0.2.1',
    sourcePort: 4_000,
    keyId: 7,
    op: 'LOOKUP',
    entries: null,
    hash: '010203ff',
    verdict: 'REPLY_FOUND',
    tookNs: 600,
  };
  expect(events).toEqual([
    found,
    { ...found, op: 'BATCH', entries: 64 },
    { ...found, op: '77' },
    { ...found, source: null, sourcePort: null, keyId: null, op: null, hash: null, verdict: 'DROP_LENGTH' },
  ]);
});

test('only packets that were lost while one watches are told', () => {
  trace.watch(FILTER, reader);
  expect(lost).toEqual([]);
  source.lost = 13;
  timers.pop()?.callback();
  timers.pop()?.callback();
  expect(lost).toEqual([3]);
});
