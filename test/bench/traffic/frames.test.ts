import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { forgedGuards, forgedTags, hits, memcachedGets, misses } from '../../../bench/compare/sets.ts';
import { type FrameSet, HEADERS } from '../../../bench/traffic/frames.ts';
import { backendOf, backends, benchKey, PORT, sessionHex } from '../../../bench/traffic/world.ts';
import { readTables, writeState } from '../../../bench/userspace/state.ts';
import { Verdict } from '../../../src/abi.ts';
import { type FrameTables, respondToFrame } from '../../model/frame-responder.ts';
import { internetChecksum, ipv4 } from '../../model/frames.ts';

const SESSIONS = 300;
const BACKENDS = 7;
const FRAMES = 101;
const target = { address: ipv4(10, 99, 0, 2), port: PORT };
const keys = [benchKey(1), benchKey(2, 'blake2s'), benchKey(3, 'blake2s', true)];
const order = { target, keys, count: FRAMES, sessions: SESSIONS, backends: BACKENDS };
const folder = mkdtempSync(join(tmpdir(), 'bench-frames-'));
afterAll(() => rmSync(folder, { recursive: true }));

const state = join(folder, 'state');
writeState(state, {
  settings: { maxSkewMs: 60_000, skewBudget: 0, staleAfterMs: 60_000, inStepMs: Date.now() },
  keys,
  backends: backends(BACKENDS),
  sessionCount: SESSIONS,
  session: (i) => ({ hash: sessionHex(i), version: 5n, expiresMs: 0, backendId: backendOf(i, BACKENDS) }),
});
const tables: FrameTables = {
  ...readTables(state),
  port: PORT,
  isOwn: (address) => address.every((byte, i) => byte === target.address[i]),
};

function frames(set: FrameSet): Uint8Array[] {
  return Array.from({ length: set.count }, (_, i) =>
    Uint8Array.from(set.bytes.subarray(i * set.frameBytes, (i + 1) * set.frameBytes)),
  );
}

test.each([
  ['LOOKUP, held', hits(order), Verdict.REPLY_FOUND, 128],
  ['LOOKUP, not held', misses(order), Verdict.REPLY_PLACED, 128],
  ['BATCH of 3', hits({ ...order, batch: 3 }), Verdict.REPLY_FOUND, 152],
  ['BATCH of 64', hits({ ...order, batch: 64 }), Verdict.REPLY_FOUND, 1128],
] as const)(
  '%s: the model answers every frame, and its answer is the one that is expected',
  (_, set, verdict, bytes) => {
    expect(set.frameBytes).toBe(bytes);
    const senders = new Set<string>();
    for (const frame of frames(set)) {
      expect(internetChecksum(frame.subarray(14, 34))).toBe(0);
      senders.add(Buffer.from(frame.subarray(26, 36)).toString('hex'));
      const answer = respondToFrame(frame, tables, Date.now());
      expect(answer.verdict).toBe(verdict);
      expect(set.problemOf(answer.frame as Uint8Array)).toBeUndefined();
    }
    expect(senders.size).toBe(FRAMES);
  },
);

test('a wrong answer is noticed: another backend, a changed byte, the answer to another request, the request itself', () => {
  const set = hits(order);
  const [first = new Uint8Array(), second = new Uint8Array()] = frames(set);
  const answer = respondToFrame(first, tables, Date.now()).frame as Uint8Array;
  const others: FrameTables = {
    ...tables,
    session: (hash) => ({ ...tables.session(hash), version: 5n, expiresMs: 0, generation: 0, backendId: BACKENDS + 1 }),
    backend: (id) => tables.backend(id > BACKENDS ? 1 : id),
  };
  expect(set.problemOf(respondToFrame(first, others, Date.now()).frame as Uint8Array)).toMatch(
    /^status 0, backend 8, expected 0 and/,
  );
  expect(set.problemOf(answer.with(HEADERS + 30, 7))).toBe('refused: tag');
  expect(set.problemOf(answer.with(HEADERS + 23, FRAMES))).toMatch(/^an answer to request 101 of 101/);
  const swapped = answer.slice();
  swapped.set(
    (respondToFrame(second, tables, Date.now()).frame as Uint8Array).subarray(HEADERS + 16, HEADERS + 24),
    HEADERS + 16,
  );
  expect(set.problemOf(swapped)).toMatch(/^refused/);
  expect(set.problemOf(first)).toBe('refused: type');
});

test('forged packets fail at the check that they are named after', () => {
  const plain = hits({ ...order, keys: keys.slice(0, 1) });
  const [key] = keys;
  for (const [set, verdict] of [
    [forgedGuards(plain), Verdict.DROP_GUARD],
    [forgedTags(plain, key as (typeof keys)[0]), Verdict.DROP_TAG],
  ] as const)
    for (const frame of frames(set)) expect(respondToFrame(frame, tables, Date.now())).toEqual({ verdict });
});

test('gets over UDP have one length and memcached’s frame header; its answer is known', () => {
  const set = memcachedGets(target, FRAMES, SESSIONS);
  const [frame = new Uint8Array()] = frames(set);
  const payload = Buffer.from(frame.subarray(HEADERS)).toString('latin1');
  expect([...frame.subarray(HEADERS, HEADERS + 8)]).toEqual([0, 0, 0, 0, 0, 1, 0, 0]);
  expect(payload.slice(8)).toMatch(/^get session-\d{3}\r\n\0+$/);
  const session = Number(/session-(\d+)/.exec(payload)?.[1]);
  const answered = (value: string): Uint8Array => {
    const text = `VALUE session-${session} 0 ${value.length}\r\n${value}\r\nEND\r\n`;
    const answer = Buffer.alloc(HEADERS + 8 + text.length);
    answer.writeUInt16BE(answer.length - 14, 16);
    answer.write(text, HEADERS + 8);
    return answer;
  };
  expect(set.problemOf(answered(`app-${(session % 100) + 1}`))).toBeUndefined();
  expect(set.problemOf(answered(`app-${(session % 100) + 2}`))).toBe('not the value that is stored');
});
