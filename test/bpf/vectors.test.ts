/**
 * The vectors of an independent implementation through the whole program: a gateway in the state that each of them describes
 * answers its request with its reply, to the byte.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { backendLayout, Flag, Limit, ringSlotLayout, Status, writeBackend, writeRingSlot } from '../../src/abi.ts';
import { cookieHash } from '../../src/auth/cookie.ts';
import { NEVER } from '../../src/auth/header.ts';
import { slotOf } from '../../src/auth/placement.ts';
import { mapUpdate, openPin } from '../../src/gateway/kernel/libbpf.ts';
import { sealVector } from '../auth/support/seal-vector.ts';
import { bytes, encodeVector, hex, keyOf, type Vector, vectors } from '../auth/support/vectors.ts';
import { BpfLab, XDP } from './lab.ts';

/** Id of a backend that is draining: who is stored there is moved. No vector has it. */
const DRAINING = 1;
const NO_ADDRESS = new Uint8Array(16);
/** Each one fails only when the kernel's clock ticks between two system calls. */
const TRIES = 1_000;
const monotonicMs = (): number => Number(process.hrtime.bigint() / 1_000_000n);

let lab: BpfLab;
let maps: string;
beforeAll(() => {
  lab = new BpfLab();
  maps = join(lab.pins, fs.readdirSync(lab.pins).find((name) => name.startsWith('maps-')) ?? '');
  putBackend(DRAINING, NO_ADDRESS, 1, 0);
});
afterAll(() => lab?.close());

function putElement(map: string, index: number, value: DataView): void {
  const fd = openPin(join(maps, map));
  if (fd === undefined) throw new Error(`no map ${map}`);
  mapUpdate(fd, new Uint8Array(Uint32Array.of(index).buffer), new Uint8Array(value.buffer));
  fs.closeSync(fd);
}

/** @param id 0 = none, and nothing is put */
function putBackend(id: number, address: Uint8Array, port: number, active: number): void {
  if (id === 0) return;
  const value = new DataView(new ArrayBuffer(backendLayout.size));
  writeBackend(value, 0, { address, port, known: 1, active, shed: 0, zero: new Uint8Array(2) });
  putElement('backends', lab.datapath.settings.backendsHalf * Limit.BACKENDS + id, value);
}

/** Where one goes who has to leave a backend. */
function putMoved(hash: Uint8Array, moved: number): void {
  const value = new DataView(new ArrayBuffer(ringSlotLayout.size));
  writeRingSlot(value, 0, { placed: 0, moved, zero: 0 });
  putElement('ring', lab.datapath.settings.backendsHalf * Limit.RING_SLOTS + slotOf(hash), value);
}

interface Described {
  status: Status;
  flags: number;
  backend_id: number;
  version: string;
  ttl_s: number;
}

/** A record's version as the table takes it. */
function positionOf(version: string): { ms: number; seq: number } {
  return { ms: Number(BigInt(version) >> 20n), seq: Number(BigInt(version) & 0xfffffn) };
}

function putSession(sessionId: string, { status, flags, backend_id, version, ttl_s }: Described, timeMs: number): void {
  if (status === Status.DENIED) lab.deny(sessionId, timeMs + 1);
  if (status !== Status.FOUND) return;
  const isMoved = (flags & Flag.MOVED) !== 0;
  if (isMoved) putMoved(cookieHash(sessionId), backend_id);
  const expiresMs = ttl_s === NEVER ? 0 : timeMs + ttl_s * 1_000;
  lab.addSession(sessionId, { backendId: isMoved ? DRAINING : backend_id, expiresMs, ...positionOf(version) });
}

/** Puts into the tables what the reply says of them. */
function describeTo(vector: Vector): void {
  lab.forgetAll();
  if (vector.kind === 'lookup') {
    const { reply, request } = vector;
    putBackend(reply.backend_id, bytes(reply.address), reply.port, 1);
    putSession(request.session_id, reply, reply.time_ms);
  } else if (vector.kind === 'batch') {
    const { reply, request } = vector;
    for (const [i, entry] of reply.entries.entries()) {
      putBackend(entry.backend_id, NO_ADDRESS, 1, 1);
      putSession(request.session_ids[i] as string, entry, reply.time_ms);
    }
  } else if (vector.reply.status === Status.FOUND) {
    const { ms, seq } = positionOf(vector.reply.version);
    lab.setFact(vector.request.name, bytes(vector.reply.value), ms, seq);
  }
}

/**
 * The vector as a gateway can be: one that was never in step says STALE, one that is in step doesn't, whatever its limit is.
 * Nor can one be out of step for longer than the machine is up.
 */
function possible(vector: Vector): Vector {
  const copy = structuredClone(vector);
  if (copy.reply.age_ms !== NEVER && copy.reply.age_ms > monotonicMs() - 1_000) copy.reply.age_ms = 250;
  const replies = copy.kind === 'batch' ? copy.reply.entries : [copy.reply];
  for (const reply of replies) {
    if (copy.reply.age_ms === NEVER) reply.flags |= Flag.STALE;
    if (copy.reply.age_ms === 0) reply.flags &= ~Flag.STALE;
  }
  return copy;
}

/** The reply's payload, given at exactly the time and age that the vector has. */
function answerAt(frame: Uint8Array, { reply }: Vector): Uint8Array {
  const isStale = ((('flags' in reply ? reply.flags : reply.entries[0]?.flags) ?? 0) & Flag.STALE) !== 0;
  lab.settings.staleAfterMs = isStale ? 0 : 2 ** 40;
  let coarseMs = monotonicMs();
  for (let i = 0; i < TRIES; i++) {
    lab.settings.clockOffsetMs = reply.time_ms - coarseMs;
    lab.settings.inStepMs = reply.age_ms === NEVER ? 0 : coarseMs - reply.age_ms;
    lab.applySettings();
    const outcome = lab.run(frame);
    expect(outcome.action).toBe(XDP.TX);
    const aheadMs = lab.replyTimeMs(outcome.frame) - reply.time_ms;
    if (aheadMs === 0) return outcome.frame.slice(14 + 20 + 8);
    coarseMs += aheadMs;
  }
  throw new Error('the clock never stood still');
}

let unchanged = 0;
test.each(vectors)('%s', (_, vector) => {
  const key = lab.addKey(keyOf(vector.key));
  const described = possible(vector);
  describeTo(described);
  const request = bytes(vector.request_bytes);
  const expected = sealVector(described, encodeVector(vector, key));
  expect(hex(answerAt(lab.frame(request), described))).toBe(hex(expected));
  unchanged += Number(hex(expected) === vector.reply_bytes);
});

test('most vectors are of a gateway that can be, and their own bytes were compared', () => {
  expect(unchanged).toBeGreaterThan(vectors.length / 2);
});
